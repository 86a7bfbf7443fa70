/* SPDX-License-Identifier: Apache-2.0 */
/* Attention and DecoderMaskedSelfAttention: one product makes Q, K and V of all heads, in f32; then
 * heads attend, over a past too. The rotary form turns numbers i and i + half of a head by position
 * / 10000^(2i / dim). */
#include <math.h>
#include <stddef.h>

#include "ops/contrib/merged.h"

struct attrs_merged {
    int64_t num_heads, unidirectional, share, do_rotary, rotary_dim;
    struct ints sizes;
    float scale, mask_filter;
};

static const struct attr merged_attrs[] = {
    {"num_heads", ATTR_INT, offsetof(struct attrs_merged, num_heads), .required = true},
    {"unidirectional", ATTR_INT, offsetof(struct attrs_merged, unidirectional)},
    {"past_present_share_buffer", ATTR_INT, offsetof(struct attrs_merged, share)},
    {"do_rotary", ATTR_INT, offsetof(struct attrs_merged, do_rotary)},
    {"rotary_embedding_dim", ATTR_INT, offsetof(struct attrs_merged, rotary_dim)},
    {"qkv_hidden_sizes", ATTR_INTS, offsetof(struct attrs_merged, sizes)},
    {"scale", ATTR_FLOAT, offsetof(struct attrs_merged, scale)},
    {"mask_filter_value", ATTR_FLOAT, offsetof(struct attrs_merged, mask_filter), .f = -10000},
    {0},
};

enum {
    IN_X,
    IN_WEIGHT,
    IN_BIAS,
    IN_MASK,
    IN_PAST,
    IN_ADD,
    IN_PAST_LENGTH,
    IN_BEAMS,
    IN_INDIRECTION
};
enum { OUT_Y, OUT_PRESENT };

static bool is_decoder(const struct op *op)
{
    return op->name[0] == 'D';
}

/* ---- shapes, on symbols and on numbers ------------------------------------------------------- */

struct shape {
    int64_t batch, rows, inner, columns; /* of the product */
    int64_t size, v_size, past, total, room;
};

static int read_sizes(struct syms *s, const struct attrs_merged *at, struct shape *x, struct err *e)
{
    int64_t n = at->num_heads, third = sym_floor_div(s, x->columns, 3);
    int rc = ints_length(&at->sizes, 3, "qkv_hidden_sizes", e);
    if (rc < 0)
        return rc;
    if (!at->sizes.v) {
        rc = head_size(s, x->columns, 3 * n, "weights", &x->size, e);
        x->v_size = x->size;
        return rc;
    }
    const int64_t *v = at->sizes.v;
    if (v[0] < 0 || v[2] < 0 || v[0] > INT32_MAX || v[2] > INT32_MAX || v[0] != v[1] || v[0] % n ||
        v[2] % n)
        return err_set(e, ERR_MODEL, "qkv_hidden_sizes %lld, %lld, %lld do not make %lld heads",
                       (long long)v[0], (long long)v[1], (long long)v[2], (long long)n);
    x->size = v[0] / n;
    x->v_size = v[2] / n;
    return sym_is_unknown(third)
               ? 0
               : dims_agree(s, x->columns, 2 * v[0] + v[2], "columns of weights", e);
}

static int read_past(struct syms *s, const struct attrs_merged *at, struct view p,
                     int64_t past_length, struct shape *x, struct err *e)
{
    if (!p.here)
        return 0;
    int rc = rank_is(p, 5, "past", e);
    if (rc == 0)
        rc = dims_agree(s, x->size, x->v_size, "sizes of keys and values with a past", e);
    x->past = x->total = x->room = SYM_UNKNOWN;
    if (rc < 0 || p.rank < 0)
        return rc;
    const int64_t want[5] = {2, x->batch, at->num_heads, SYM_UNKNOWN, x->size};
    for (int k = 0; k < 5 && rc == 0; k++)
        rc = dims_agree(s, p.dims[k], want[k], "a dim of past", e);
    x->past = at->share ? past_length : p.dims[3];
    x->total = sym_add(s, x->past, x->rows);
    x->room = at->share ? p.dims[3] : x->total;
    if (rc == 0 && at->share && sym_is_number(x->past) && sym_is_number(x->total) &&
        sym_is_number(x->room) && (x->past < 0 || x->total > x->room))
        rc = err_set(e, ERR_INPUT, "past_sequence_length is %lld, the buffer has %lld places",
                     (long long)x->past, (long long)x->room);
    return rc;
}

static int shape_of(struct syms *s, const struct attrs_merged *at, struct view in,
                    struct view weight, struct view past, int64_t past_length, struct shape *x,
                    struct err *e)
{
    *x = (struct shape){
        .batch = in.dims[0], .rows = in.dims[1], .inner = in.dims[2], .columns = weight.dims[1]};
    x->total = x->room = x->rows;
    int rc = dims_agree(s, weight.dims[0], x->inner, "rows of weights", e);
    if (rc == 0)
        rc = read_sizes(s, at, x, e);
    return rc < 0 ? rc : read_past(s, at, past, past_length, x, e);
}

static int check_rotary(const struct attrs_merged *at, const struct shape *x, struct err *e)
{
    int64_t dim = at->rotary_dim ? at->rotary_dim : x->size;
    if (!at->do_rotary || !sym_is_number(dim) || !sym_is_number(x->size))
        return 0;
    if (dim > 0 && dim % 2 == 0 && dim <= x->size)
        return 0;
    return err_set(e, ERR_MODEL, "%lld numbers of a head cannot be turned in pairs",
                   (long long)dim);
}

static int check_inputs(struct infer *c, const struct attrs_merged *at, struct err *e)
{
    static const int same[] = {IN_WEIGHT, IN_BIAS, IN_PAST, IN_ADD};
    static const int ints[] = {IN_MASK, IN_PAST_LENGTH, IN_BEAMS, IN_INDIRECTION};
    int rc = check_heads(at->num_heads, "num_heads", e);
    if (rc == 0)
        rc = check_dtypes(c, IN_X, DT(F32) | DT_FLOAT16S, same, 4, ints, 4, e);
    if (rc == 0)
        rc = scalar_check(c, IN_PAST_LENGTH, "elements of past_sequence_length", e);
    if (rc == 0)
        rc = scalar_check(c, IN_BEAMS, "elements of beam_width", e);
    if (rc == 0 && at->share && infer_has(c, IN_PAST) && !infer_has(c, IN_PAST_LENGTH))
        rc = err_set(e, ERR_MODEL, "a shared buffer needs past_sequence_length");
    if (rc == 0)
        rc = rank_is(view_infer(c, IN_X), 3, "the input", e);
    return rc < 0 ? rc : rank_is(view_infer(c, IN_WEIGHT), 2, "weights", e);
}

static int merged_infer(struct infer *c, struct err *e)
{
    const struct attrs_merged *at = c->attrs;
    enum dtype t = infer_dtype(c, IN_X);
    struct shape x;
    int rc = check_inputs(c, at, e);
    if (rc == 0 && (infer_rank(c, IN_X) < 0 || infer_rank(c, IN_WEIGHT) < 0)) {
        rc = infer_unknown(c, OUT_Y, t, e);
        return rc < 0 ? rc : infer_unknown(c, OUT_PRESENT, t, e);
    }
    if (rc == 0)
        rc = shape_of(
            c->syms, at, view_infer(c, IN_X), view_infer(c, IN_WEIGHT), view_infer(c, IN_PAST),
            at->share && infer_has(c, IN_PAST) ? scalar_infer(c, IN_PAST_LENGTH) : 0, &x, e);
    if (rc == 0)
        rc = check_rotary(at, &x, e);
    struct view bias = view_infer(c, IN_BIAS);
    if (rc == 0)
        rc = rank_is(bias, 1, "bias", e);
    if (rc == 0 && bias.rank == 1)
        rc = dims_agree(c->syms, bias.dims[0], x.columns, "numbers of bias", e);
    struct mask_shape m = {x.batch, x.rows, x.rows, x.total};
    if (rc == 0)
        rc = mask_check(view_infer(c, IN_MASK), &m, e);
    if (rc == 0)
        rc = bias_check(view_infer(c, IN_ADD), &m, at->num_heads, e);
    if (rc == 0 && is_decoder(c->node->op))
        rc = dims_agree(c->syms, x.rows, 1, "rows of the input", e);
    if (rc == 0 && c->n_out > 1)
        rc = dims_agree(c->syms, x.size, x.v_size, "sizes of keys and values with a present", e);
    if (rc < 0)
        return rc;
    if (sym_is_unknown(x.room))
        x.room = infer_fresh(c);
    int64_t y[3] = {x.batch, x.rows, sym_mul(c->syms, at->num_heads, x.v_size)};
    int64_t present[5] = {2, x.batch, at->num_heads, x.room, x.size};
    rc = infer_set(c, OUT_Y, t, 3, y, e);
    return rc < 0 ? rc : infer_set(c, OUT_PRESENT, t, 5, present, e);
}

static int merged_prepare(struct prepare *p, struct err *e)
{
    const struct type *x = &p->in[IN_X]->type, *w = &p->in[IN_WEIGHT]->type;
    int64_t dims[TUNE_DIMS] = {1, SYM_UNKNOWN, SYM_UNKNOWN, SYM_UNKNOWN};
    if (x->rank == 3 && w->rank == 2) {
        dims[1] = sym_is_number(x->dims[0]) && sym_is_number(x->dims[1]) ? x->dims[0] * x->dims[1]
                                                                         : SYM_UNKNOWN;
        dims[2] = w->dims[1];
        dims[3] = w->dims[0];
    }
    return product_prepare(p, false, "n", "bias", dims, e);
}

/* ---- a call ---------------------------------------------------------------------------------- */

struct job {
    struct shape shape;
    struct merged_product projection;
    struct staged staged;
    struct tensor cosine, sine; /* made here, of the rows' positions */
};

static int job_shape(const struct call *c, struct job *j, struct err *e)
{
    const struct attrs_merged *at = c->attrs;
    bool share = at->share && call_in(c, IN_PAST);
    return shape_of(NULL, at, view_call(c, IN_X), view_call(c, IN_WEIGHT), view_call(c, IN_PAST),
                    share ? scalar_call(c, IN_PAST_LENGTH) : 0, &j->shape, e);
}

static void take_tables(struct job *j, const struct attrs_merged *at, struct shelf *room)
{
    const struct shape *x = &j->shape;
    int64_t half = (at->rotary_dim ? at->rotary_dim : x->size) / 2;
    j->cosine = (struct tensor){.dtype = DTYPE_F32, .rank = 2, .dims = {x->rows, half}};
    j->sine = j->cosine;
    j->cosine.data = shelf_take(room, (size_t)(x->rows * half), sizeof(float));
    j->sine.data = shelf_take(room, (size_t)(x->rows * half), sizeof(float));
    j->staged.turn = (struct stage_turn){
        .cosine = &j->cosine, .sine = &j->sine, .half = half, .columns = half, .first = x->past};
}

static void make_tables(const struct job *j)
{
    int64_t half = j->cosine.dims[1];
    for (int64_t r = 0; r < j->shape.rows; r++)
        for (int64_t i = 0; i < half; i++) {
            double angle = (double)(j->shape.past + r) * pow(10000, -(double)i / (double)half);
            ((float *)j->cosine.data)[r * half + i] = (float)cos(angle);
            ((float *)j->sine.data)[r * half + i] = (float)sin(angle);
        }
}

/* Q (part 0), K or V as the product leaves them. */
static struct attention_rows projected(const struct job *j, int64_t heads, int part)
{
    const struct shape *x = &j->shape;
    return (struct attention_rows){.dtype = DTYPE_F32,
                                   .data = j->projection.out,
                                   .first = part * heads * x->size,
                                   .batch = x->rows * x->columns,
                                   .head = part == 2 ? x->v_size : x->size,
                                   .row = x->columns};
}

static struct stage *add_stage(struct job *j, int64_t heads, int part, bool turn)
{
    const struct shape *x = &j->shape;
    struct stage *g = &j->staged.stages[j->staged.n_stages++];
    *g = (struct stage){.from = projected(j, heads, part),
                        .batch = x->batch,
                        .heads = heads,
                        .size = part == 2 ? x->v_size : x->size,
                        .length = x->rows,
                        .rows = x->rows,
                        .old = x->past,
                        .alone = true,
                        .turn = turn && part < 2 ? &j->staged.turn : NULL};
    g->to = g->from;
    return g;
}

/* Keys (part 1) or values: in the present, or the past where it lies and the product's behind it.
 */
static void place_keys(struct job *j, const struct call *c, int part)
{
    const struct attrs_merged *at = c->attrs;
    const struct tensor *past = call_in(c, IN_PAST);
    struct tensor *present = call_out(c, OUT_PRESENT);
    const struct shape *x = &j->shape;
    struct attention *a = &j->staged.core;
    struct attention_rows *old = part == 1 ? &a->past_k : &a->past_v,
                          *new = part == 1 ? &a->k : &a->v;
    if (past) {
        *old = attention_apart(past, past->dims[3], a->heads, x->size);
        old->first = (part - 1) * x->batch * old->batch;
    }
    *new = projected(j, a->heads, part);
    if (!present) {
        if (at->do_rotary && part == 1)
            add_stage(j, a->heads, part, true);
        return;
    }
    struct stage *g = add_stage(j, a->heads, part, at->do_rotary != 0);
    g->to = attention_apart(present, x->room, a->heads, x->size);
    g->to.first = (part - 1) * x->batch * g->to.batch;
    g->alone = false;
    g->rows = x->room;
    g->past = *old;
    g->past_rows = past ? past->dims[3] : 0;
    g->keep = true;
    *old = *new = g->to;
    new->first += x->past * new->row;
}

static void job_fill(const struct call *c, struct job *j, struct shelf *room)
{
    const struct attrs_merged *at = c->attrs;
    const struct shape *x = &j->shape;
    struct attention *a = &j->staged.core;
    j->projection = (struct merged_product){.x = call_in(c, IN_X),
                                            .weight = call_in(c, IN_WEIGHT),
                                            .bias = call_in(c, IN_BIAS),
                                            .m = x->batch * x->rows,
                                            .k = x->inner,
                                            .n = x->columns};
    merged_product_fill(&j->projection, c, true, room);
    j->staged = (struct staged){0};
    *a = (struct attention){.batch = x->batch,
                            .heads = at->num_heads,
                            .kv_heads = at->num_heads,
                            .rows = x->rows,
                            .past = x->past,
                            .total = x->total,
                            .size = x->size,
                            .v_size = x->v_size,
                            .room_keys = x->room,
                            .offset = x->past,
                            .left = -1,
                            .limit = -1,
                            .right = at->unidirectional ? 0 : -1};
    a->scale = at->scale != 0 ? at->scale : x->size ? (float)(1 / sqrt((double)x->size)) : 1;
    if (at->do_rotary) {
        take_tables(j, at, room);
        add_stage(j, a->heads, 0, true);
    }
    a->q = projected(j, a->heads, 0);
    a->y = attention_flat(call_out(c, OUT_Y), x->rows, a->heads, x->v_size);
    place_keys(j, c, 1);
    place_keys(j, c, 2);
    attention_plan(a);
}

static size_t merged_scratch(const struct call *c, size_t *per_member)
{
    struct shelf room = {0};
    struct job j;
    *per_member = 0;
    if (job_shape(c, &j, NULL) < 0)
        return 0;
    job_fill(c, &j, &room);
    size_t product = product_scratch(&j.projection.product),
           staged = staged_member_bytes(&j.staged);
    *per_member = product > staged ? product : staged;
    return room.used;
}

static int merged_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_merged *at = c->attrs;
    struct shelf room = {.base = c->scratch};
    struct job j;
    int rc = job_shape(c, &j, e);
    if (rc < 0)
        return rc;
    struct mask_shape m = {j.shape.batch, j.shape.rows, j.shape.rows, j.shape.total};
    job_fill(c, &j, &room);
    rc = mask_bind(&j.staged.core, call_in(c, IN_MASK), &m, at->mask_filter, e);
    if (rc == 0)
        rc = bias_bind(&j.staged.core, call_in(c, IN_ADD), &m, e);
    if (rc == 0 && call_in(c, IN_BEAMS) && !call_in(c, IN_INDIRECTION) &&
        scalar_call(c, IN_BEAMS) > 1)
        rc = err_set(e, ERR_MODEL, "beams without cache_indirection");
    if (rc == 0 && j.shape.past > 0)
        rc = beams_bind(&j.staged.core, call_in(c, IN_INDIRECTION), j.shape.past, e);
    if (rc == 0 && at->do_rotary)
        make_tables(&j);
    if (rc == 0)
        rc = merged_product_run(&j.projection, c, e);
    return rc < 0 ? rc : staged_run(c, &j.staged, e);
}

const struct op op_ms_attention = {
    .domain = "com.microsoft", .name = "Attention", .since = 1,
    .in_min = 2, .in_max = 7, .out_min = 1, .out_max = 2,
    .flags = OP_PURE | OP_LEADER, .host_in = 1 << IN_MASK | 1 << IN_PAST_LENGTH,
    .attrs = merged_attrs, .attrs_size = sizeof(struct attrs_merged),
    .infer = merged_infer, .prepare = merged_prepare, .scratch = merged_scratch, .run = merged_run,
    .kernels = "gemm softmax transpose unary",
};

const struct op op_ms_decodermaskedselfattention = {
    .domain = "com.microsoft",
    .name = "DecoderMaskedSelfAttention",
    .since = 1,
    .in_min = 2,
    .in_max = 9,
    .out_min = 1,
    .out_max = 2,
    .flags = OP_PURE | OP_LEADER,
    .host_in = 1 << IN_PAST_LENGTH | 1 << IN_BEAMS | 1 << IN_INDIRECTION,
    .attrs = merged_attrs,
    .attrs_size = sizeof(struct attrs_merged),
    .infer = merged_infer,
    .prepare = merged_prepare,
    .scratch = merged_scratch,
    .run = merged_run,
    .kernels = "gemm softmax transpose unary",
};
