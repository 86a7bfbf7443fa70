/* SPDX-License-Identifier: Apache-2.0 */
/* PackedAttention and PackedMultiHeadAttention: the tokens of all sequences one behind another,
 * without padding; each attends to those of its own sequence. */
#include <math.h>
#include <stddef.h>

#include "ops/contrib/merged.h"

struct attrs_packed {
    int64_t num_heads;
    struct ints sizes;
    float scale;
};

static const struct attr packed_attrs[] = {
    {"num_heads", ATTR_INT, offsetof(struct attrs_packed, num_heads), .required = true},
    {"qkv_hidden_sizes", ATTR_INTS, offsetof(struct attrs_packed, sizes)},
    {"scale", ATTR_FLOAT, offsetof(struct attrs_packed, scale)},
    {0},
};

static const struct attr packed_heads_attrs[] = {
    {"num_heads", ATTR_INT, offsetof(struct attrs_packed, num_heads), .required = true},
    {"scale", ATTR_FLOAT, offsetof(struct attrs_packed, scale)},
    {"mask_filter_value", ATTR_FLOAT, .ignore = true},
    {0},
};

/* PackedAttention: x, weights, bias, then as below; PackedMultiHeadAttention: query, key, value,
 * bias. */
enum { IN_X, IN_KEY, IN_VALUE };

static bool is_merged(const struct op *op)
{
    return op->name[6] == 'A';
}
static int bias_port(const struct op *op)
{
    return is_merged(op) ? 2 : 3;
}

/* ---- shapes, on symbols and on numbers ------------------------------------------------------- */

struct shape {
    int64_t tokens, inner, columns, batch, rows, size, v_size;
    bool apart; /* Q, K and V as three inputs */
};

static int merged_shape(struct syms *s, const struct attrs_packed *at, struct view x, struct view w,
                        struct shape *h, struct err *e)
{
    int64_t n = at->num_heads;
    const int64_t *v = at->sizes.v;
    int rc = ints_length(&at->sizes, 3, "qkv_hidden_sizes", e);
    h->inner = x.dims[1];
    h->columns = w.dims[1];
    if (rc == 0)
        rc = dims_agree(s, w.dims[0], h->inner, "rows of weights", e);
    if (rc == 0 && !v) {
        rc = head_size(s, h->columns, 3 * n, "weights", &h->size, e);
        h->v_size = h->size;
    }
    if (rc < 0 || !v)
        return rc;
    if (v[0] < 0 || v[2] < 0 || v[0] > INT32_MAX || v[2] > INT32_MAX || v[0] != v[1] || v[0] % n ||
        v[2] % n)
        return err_set(e, ERR_MODEL, "qkv_hidden_sizes %lld, %lld, %lld do not make %lld heads",
                       (long long)v[0], (long long)v[1], (long long)v[2], (long long)n);
    h->size = v[0] / n;
    h->v_size = v[2] / n;
    return dims_agree(s, h->columns, 2 * v[0] + v[2], "columns of weights", e);
}

static int heads_shape(struct syms *s, const struct attrs_packed *at, struct view q, struct view k,
                       struct view v, struct shape *h, struct err *e)
{
    int64_t n = at->num_heads;
    if (q.rank == 4) {
        int rc = dims_agree(s, q.dims[1], n, "heads of the packed query", e);
        if (rc == 0)
            rc = dims_agree(s, q.dims[2], 3, "parts of the packed query", e);
        h->size = h->v_size = q.dims[3];
        return rc < 0 || !(k.here || v.here) ? rc
                                             : err_set(e, ERR_MODEL, "a packed query comes alone");
    }
    h->apart = true;
    if (!k.here || !v.here)
        return err_set(e, ERR_MODEL, "a query of rank 2 needs a key and a value");
    int rc = head_size(s, q.dims[1], n, "query", &h->size, e);
    h->v_size = SYM_UNKNOWN;
    for (int i = 0; i < 2 && rc == 0; i++) {
        struct view t = i ? v : k;
        rc = rank_is(t, 2, i ? "value" : "key", e);
        if (rc < 0 || t.rank < 0)
            continue;
        rc = dims_agree(s, t.dims[0], h->tokens, "tokens of key and value", e);
        if (rc == 0)
            rc = i ? head_size(s, t.dims[1], n, "value", &h->v_size, e)
                   : dims_agree(s, t.dims[1], q.dims[1], "hidden size of key", e);
    }
    return rc;
}

/* in: the six or seven inputs. */
static int shape_of(struct syms *s, const struct op *op, const struct attrs_packed *at,
                    const struct view *in, struct shape *h, struct err *e)
{
    int port = bias_port(op);
    struct view offset = in[port + 1];
    *h = (struct shape){.tokens = in[IN_X].dims[0], .batch = SYM_UNKNOWN, .rows = SYM_UNKNOWN};
    int rc = is_merged(op) ? merged_shape(s, at, in[IN_X], in[IN_KEY], h, e)
                           : heads_shape(s, at, in[IN_X], in[IN_KEY], in[IN_VALUE], h, e);
    if (rc == 0)
        rc = rank_is(offset, 2, "token_offset", e);
    if (rc == 0)
        rc = rank_is(in[port + 2], 1, "cumulative_sequence_length", e);
    if (rc == 0)
        rc = rank_is(in[port], 1, "bias", e);
    if (rc < 0)
        return rc;
    if (offset.rank == 2) {
        h->batch = offset.dims[0];
        h->rows = offset.dims[1];
    }
    if (in[port + 2].rank == 1)
        rc = dims_agree(s, in[port + 2].dims[0], sym_add(s, h->batch, 1),
                        "cumulative_sequence_length's numbers", e);
    int64_t hidden = sym_mul(s, at->num_heads, sym_add(s, sym_add(s, h->size, h->size), h->v_size));
    if (rc == 0 && in[port].rank == 1)
        rc = dims_agree(s, in[port].dims[0], hidden, "numbers of bias", e);
    return rc;
}

static int packed_infer(struct infer *c, struct err *e)
{
    const struct attrs_packed *at = c->attrs;
    const struct op *op = c->node->op;
    int port = bias_port(op), n = port + 4;
    const int same[] = {IN_KEY, IN_VALUE, port, port + 3}, ints[] = {port + 1, port + 2};
    struct view in[7];
    struct shape h;
    int rc = check_heads(at->num_heads, "num_heads", e);
    if (rc == 0 && (!infer_has(c, port + 1) || !infer_has(c, port + 2) ||
                    (is_merged(op) && !infer_has(c, IN_KEY))))
        rc = err_set(e, ERR_MODEL, "token_offset and cumulative_sequence_length are needed");
    if (rc == 0)
        rc = check_dtypes(c, IN_X, DT(F32) | DT_FLOAT16S, same, 4, ints, 2, e);
    for (int i = 0; i < n; i++)
        in[i] = view_infer(c, i);
    if (rc == 0 && (is_merged(op) || in[IN_X].rank != 4))
        rc = rank_is(in[IN_X], 2, "the first input", e);
    if (rc == 0 && is_merged(op))
        rc = rank_is(in[IN_KEY], 2, "weights", e);
    if (rc < 0)
        return rc;
    if (in[IN_X].rank < 0 || (is_merged(op) && in[IN_KEY].rank < 0))
        return infer_unknown(c, 0, infer_dtype(c, IN_X), e);
    rc = shape_of(c->syms, op, at, in, &h, e);
    struct mask_shape m = {h.batch, h.rows, h.rows, h.rows};
    if (rc == 0)
        rc = bias_check(in[port + 3], &m, at->num_heads, e);
    int64_t y[2] = {h.tokens, sym_mul(c->syms, at->num_heads, h.v_size)};
    return rc < 0 ? rc : infer_set(c, 0, infer_dtype(c, IN_X), 2, y, e);
}

static int packed_prepare(struct prepare *p, struct err *e)
{
    const struct type *x = &p->in[IN_X]->type, *w = &p->in[IN_KEY]->type;
    int64_t dims[TUNE_DIMS] = {1, SYM_UNKNOWN, SYM_UNKNOWN, SYM_UNKNOWN};
    if (x->rank == 2 && w->rank == 2) {
        dims[1] = x->dims[0];
        dims[2] = w->dims[1];
        dims[3] = w->dims[0];
    }
    return product_prepare(p, false, "n", "bias", dims, e);
}

/* ---- a call ---------------------------------------------------------------------------------- */

struct job {
    struct shape shape;
    struct merged_product product;
    struct staged staged;
};

static int job_shape(const struct call *c, struct job *j, struct err *e)
{
    struct view in[7];
    for (int i = 0; i < bias_port(c->op) + 4; i++)
        in[i] = view_call(c, i);
    return shape_of(NULL, c->op, c->attrs, in, &j->shape, e);
}

/* Rows of Q (part 0), K or V, with their bias. */
static struct attention_rows finished(struct job *j, const struct call *c, int part,
                                      struct shelf *room)
{
    const struct attrs_packed *at = c->attrs;
    const struct shape *h = &j->shape;
    const struct tensor *x = call_in(c, IN_X), *bias = call_in(c, bias_port(c->op));
    int64_t n = at->num_heads, size = part == 2 ? h->v_size : h->size;
    struct attention_rows l = {
        .dtype = DTYPE_F32, .first = part * n * h->size, .head = size, .row = h->columns};
    if (is_merged(c->op)) {
        l.data = j->product.out;
        return l;
    }
    l = (struct attention_rows){.dtype = x->dtype,
                                .data = x->data,
                                .first = part * size,
                                .head = 3 * size,
                                .row = 3 * n * size};
    if (h->apart)
        l = attention_flat(call_in(c, part), h->tokens, n, size);
    if (!bias)
        return l;
    struct stage *g = &j->staged.stages[j->staged.n_stages++];
    *g = (struct stage){.from = l,
                        .batch = 1,
                        .heads = n,
                        .size = size,
                        .length = h->tokens,
                        .rows = h->tokens,
                        .alone = true,
                        .bias = bias,
                        .bias_first = part * n * h->size};
    g->to = (struct attention_rows){.dtype = DTYPE_F32, .head = size, .row = n * size};
    g->to.data = shelf_take(room, (size_t)(h->tokens * n * size), sizeof(float));
    return g->to;
}

static void job_fill(const struct call *c, struct job *j, struct shelf *room)
{
    const struct attrs_packed *at = c->attrs;
    const struct shape *h = &j->shape;
    struct attention *a = &j->staged.core;
    j->staged = (struct staged){0};
    if (is_merged(c->op)) {
        j->product = (struct merged_product){.x = call_in(c, IN_X),
                                             .weight = call_in(c, IN_KEY),
                                             .bias = call_in(c, 2),
                                             .m = h->tokens,
                                             .k = h->inner,
                                             .n = h->columns};
        merged_product_fill(&j->product, c, true, room);
    }
    *a = (struct attention){.batch = h->batch,
                            .heads = at->num_heads,
                            .kv_heads = at->num_heads,
                            .rows = h->rows,
                            .total = h->rows,
                            .size = h->size,
                            .v_size = h->v_size,
                            .left = -1,
                            .right = -1,
                            .limit = -1,
                            .pack = call_in(c, bias_port(c->op) + 2)->data};
    a->scale = at->scale != 0 ? at->scale : h->size ? (float)(1 / sqrt((double)h->size)) : 1;
    a->q = finished(j, c, 0, room);
    a->k = finished(j, c, 1, room);
    a->v = finished(j, c, 2, room);
    a->y = attention_flat(call_out(c, 0), h->tokens, at->num_heads, h->v_size);
    attention_plan(a);
}

static size_t packed_scratch(const struct call *c, size_t *per_member)
{
    struct shelf room = {0};
    struct job j;
    *per_member = 0;
    if (job_shape(c, &j, NULL) < 0)
        return 0;
    job_fill(c, &j, &room);
    size_t product = is_merged(c->op) ? product_scratch(&j.product.product) : 0;
    *per_member = staged_member_bytes(&j.staged);
    *per_member = product > *per_member ? product : *per_member;
    return room.used;
}

/* Sequences follow one another from 0, none longer than the rows, and end with the last token. */
static int check_pack(const struct job *j, struct err *e)
{
    const int32_t *pack = j->staged.core.pack;
    const struct shape *h = &j->shape;
    for (int64_t b = 0; b < h->batch; b++)
        if (pack[b + 1] < pack[b] || (int64_t)pack[b + 1] - pack[b] > h->rows)
            return err_set(e, ERR_INPUT,
                           "cumulative_sequence_length goes from %d to %d, with %lld rows at most",
                           (int)pack[b], (int)pack[b + 1], (long long)h->rows);
    if (pack[0] != 0 || pack[h->batch] != h->tokens)
        return err_set(e, ERR_INPUT,
                       "cumulative_sequence_length goes from %d to %d with %lld tokens",
                       (int)pack[0], (int)pack[h->batch], (long long)h->tokens);
    return 0;
}

static int packed_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct shelf room = {.base = c->scratch};
    struct job j;
    int rc = job_shape(c, &j, e);
    if (rc < 0)
        return rc;
    struct mask_shape m = {j.shape.batch, j.shape.rows, j.shape.rows, j.shape.rows};
    job_fill(c, &j, &room);
    rc = check_pack(&j, e);
    if (rc == 0)
        rc = bias_bind(&j.staged.core, call_in(c, bias_port(c->op) + 3), &m, e);
    if (rc == 0 && is_merged(c->op))
        rc = merged_product_run(&j.product, c, e);
    return rc < 0 ? rc : staged_run(c, &j.staged, e);
}

const struct op op_ms_packedattention = {
    .domain = "com.microsoft", .name = "PackedAttention", .since = 1,
    .in_min = 5, .in_max = 6, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_LEADER, .host_in = 1 << 4,
    .attrs = packed_attrs, .attrs_size = sizeof(struct attrs_packed),
    .infer = packed_infer, .prepare = packed_prepare, .scratch = packed_scratch, .run = packed_run,
    .kernels = "gemm softmax transpose unary",
};

const struct op op_ms_packedmultiheadattention = {
    .domain = "com.microsoft", .name = "PackedMultiHeadAttention", .since = 1,
    .in_min = 1, .in_max = 7, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_LEADER, .host_in = 1 << 5,
    .attrs = packed_heads_attrs, .attrs_size = sizeof(struct attrs_packed),
    .infer = packed_infer, .scratch = packed_scratch, .run = packed_run,
    .kernels = "gemm softmax transpose unary",
};
