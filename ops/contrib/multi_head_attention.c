/* SPDX-License-Identifier: Apache-2.0 */
/* MultiHeadAttention and DecoderMaskedMultiHeadAttention: attention of projected Q, K and V, which
 * come apart or packed, with the bias of the projection, or as a finished cache (cross attention).
 * With a present the keys are put together there and read from it; without one the past is read
 * where it lies. The caches of the decoder operator are plain [batch, heads, keys, size]: the order
 * that its schema tells of belongs to another device. */
#include <math.h>
#include <stddef.h>

#include "ops/contrib/attention_parts.h"

struct attrs_mha {
    int64_t num_heads, unidirectional, share, output_qk;
    float scale, mask_filter;
};

static const struct attr mha_attrs[] = {
    {"num_heads", ATTR_INT, offsetof(struct attrs_mha, num_heads), .required = true},
    {"unidirectional", ATTR_INT, offsetof(struct attrs_mha, unidirectional)},
    {"scale", ATTR_FLOAT, offsetof(struct attrs_mha, scale)},
    {"mask_filter_value", ATTR_FLOAT, offsetof(struct attrs_mha, mask_filter), .f = -10000},
    {0},
};

static const struct attr decoder_attrs[] = {
    {"num_heads", ATTR_INT, offsetof(struct attrs_mha, num_heads), .required = true},
    {"past_present_share_buffer", ATTR_INT, offsetof(struct attrs_mha, share)},
    {"output_qk", ATTR_INT, offsetof(struct attrs_mha, output_qk)},
    {"scale", ATTR_FLOAT, offsetof(struct attrs_mha, scale)},
    {"mask_filter_value", ATTR_FLOAT, offsetof(struct attrs_mha, mask_filter), .f = -10000},
    {0},
};

enum { IN_Q, IN_K, IN_V };
enum { OUT_Y, OUT_K, OUT_V, OUT_QK };

/* Where an operator has its other inputs; 0: it has no such. */
struct ports {
    int bias, mask, add, past_k, past_v, past_length, beams, indirection;
};
static const struct ports mha_ports = {3, 4, 5, 6, 7, 8, 0, 9};
static const struct ports decoder_ports = {10, 3, 4, 5, 6, 7, 8, 9};

static bool is_decoder(const struct op *op)
{
    return op->name[0] == 'D';
}

static const struct ports *ports_of(const struct op *op)
{
    return is_decoder(op) ? &decoder_ports : &mha_ports;
}

/* ---- shapes, on symbols and on numbers ------------------------------------------------------- */

/* How Q, K and V come. */
enum form {
    FORM_APART,  /* [batch, rows, hidden], thrice */
    FORM_QKV,    /* [batch, rows, heads, 3, size] */
    FORM_KV,     /* K and V as [batch, length, heads, 2, size] */
    FORM_CACHE,  /* K and V as [batch, heads, length, size] */
    FORM_JOINED, /* [batch, rows, hidden + hidden + v_hidden] */
};

struct shape {
    enum form form;
    int64_t batch, rows, length, size, v_size;
    int64_t past, total, room; /* room: keys that the caches have places for */
};

static int read_query(struct syms *s, struct view q, struct view k, const struct op *op,
                      int64_t heads, struct shape *x, struct err *e)
{
    x->batch = q.dims[0];
    x->rows = x->length = q.dims[1];
    if (q.rank == 5) {
        int rc = dims_agree(s, q.dims[2], heads, "heads of the packed query", e);
        x->form = FORM_QKV;
        x->size = x->v_size = q.dims[4];
        return rc < 0 ? rc : dims_agree(s, q.dims[3], 3, "parts of the packed query", e);
    }
    if (q.rank != 3)
        return err_set(e, ERR_MODEL, "query has rank %d, expected 3 or 5", q.rank);
    if (k.here)
        return head_size(s, q.dims[2], heads, "query", &x->size, e);
    if (!is_decoder(op))
        return err_set(e, ERR_MODEL, "a query of rank 3 needs a key");
    x->form = FORM_JOINED;
    int rc = head_size(s, q.dims[2], 3 * heads, "the packed query", &x->size, e);
    x->v_size = x->size;
    return rc;
}

static int read_keys(struct syms *s, struct view k, struct view v, int64_t heads, struct shape *x,
                     struct err *e)
{
    int rc = dims_agree(s, k.dims[0], x->batch, "batch of key", e);
    x->form = k.rank == 3 ? FORM_APART : k.rank == 4 ? FORM_CACHE : FORM_KV;
    x->length = k.dims[k.rank == 4 ? 2 : 1];
    if (k.rank == 3 && rc == 0) {
        rc = dims_agree(s, k.dims[2], sym_mul(s, x->size, heads), "hidden size of key", e);
    } else if (k.rank == 4 && rc == 0) {
        rc = dims_agree(s, k.dims[1], heads, "heads of key", e);
        if (rc == 0)
            rc = dims_agree(s, k.dims[3], x->size, "head size of key", e);
    } else if (k.rank == 5 && rc == 0) {
        rc = dims_agree(s, k.dims[2], heads, "heads of key", e);
        if (rc == 0)
            rc = dims_agree(s, k.dims[3], 2, "parts of the packed key", e);
        if (rc == 0)
            rc = dims_agree(s, k.dims[4], x->size, "head size of key", e);
        x->v_size = x->size;
    }
    if (rc < 0 || k.rank == 5)
        return rc < 0 || !v.here ? rc : err_set(e, ERR_MODEL, "a packed key comes without a value");
    if (!v.here || (v.rank >= 0 && v.rank != k.rank))
        return err_set(e, ERR_MODEL, "key and value have ranks %d and %d", k.rank, v.rank);
    x->v_size = SYM_UNKNOWN;
    if (v.rank < 0)
        return 0;
    rc = dims_agree(s, v.dims[0], x->batch, "batch of value", e);
    if (rc == 0)
        rc = dims_agree(s, v.dims[k.rank == 4 ? 2 : 1], x->length, "length of value", e);
    if (rc == 0 && k.rank == 4)
        rc = dims_agree(s, v.dims[1], heads, "heads of value", e);
    x->v_size = v.dims[3];
    return rc < 0 || k.rank == 4 ? rc : head_size(s, v.dims[2], heads, "value", &x->v_size, e);
}

static int read_past(struct syms *s, struct view k, struct view v, int64_t heads, bool share,
                     int64_t past_length, struct shape *x, struct err *e)
{
    int64_t most = SYM_UNKNOWN;
    for (int i = 0; i < 2; i++) {
        struct view p = i ? v : k;
        int rc = rank_is(p, 4, "a past", e);
        if (rc < 0 || p.rank < 0) {
            if (rc < 0)
                return rc;
            continue;
        }
        rc = dims_agree(s, p.dims[0], x->batch, "batch of a past", e);
        if (rc == 0)
            rc = dims_agree(s, p.dims[1], heads, "heads of a past", e);
        if (rc == 0)
            rc = dims_agree(s, p.dims[3], i ? x->v_size : x->size, "head size of a past", e);
        if (rc == 0)
            rc = dims_agree(s, most, p.dims[2], "lengths of past_key and past_value", e);
        if (rc < 0)
            return rc;
        most = p.dims[2];
    }
    x->past = share ? past_length : most;
    x->total = sym_add(s, x->past, x->length);
    x->room = share ? most : x->total;
    if (share && sym_is_number(x->past) && sym_is_number(x->total) && sym_is_number(most) &&
        (x->past < 0 || x->total > most))
        return err_set(e, ERR_INPUT, "past_sequence_length is %lld, the buffer has %lld places",
                       (long long)x->past, (long long)most);
    return 0;
}

/* The shape from views of the first inputs and of the pasts. */
static int shape_of(struct syms *s, const struct op *op, const struct attrs_mha *at,
                    const struct view *in, struct view past_k, struct view past_v, bool share,
                    int64_t past_length, struct shape *x, struct err *e)
{
    *x = (struct shape){.form = FORM_APART};
    if (in[IN_Q].rank == 5 && (in[IN_K].here || in[IN_V].here))
        return err_set(e, ERR_MODEL, "a packed query comes without key and value");
    if (!in[IN_K].here && in[IN_V].here)
        return err_set(e, ERR_MODEL, "a value comes without a key");
    int rc = read_query(s, in[IN_Q], in[IN_K], op, at->num_heads, x, e);
    if (rc == 0 && in[IN_K].here)
        rc = read_keys(s, in[IN_K], in[IN_V], at->num_heads, x, e);
    if (rc < 0)
        return rc;
    x->total = x->room = x->length;
    if (past_k.here != past_v.here)
        return err_set(e, ERR_MODEL, "past_key and past_value come together");
    if (!past_k.here)
        return share ? err_set(e, ERR_MODEL, "a buffer is shared, but there is no past") : 0;
    if (x->form == FORM_CACHE)
        return err_set(e, ERR_MODEL, "a past comes with keys that are a cache");
    return read_past(s, past_k, past_v, at->num_heads, share, past_length, x, e);
}

static int check_types(struct infer *c, const struct ports *p, struct err *e)
{
    const int same[] = {IN_K, IN_V, p->bias, p->add, p->past_k, p->past_v};
    const int ints[] = {p->mask, p->past_length, p->beams ? p->beams : p->mask, p->indirection};
    int rc = check_dtypes(c, IN_Q, DT(F32) | DT_FLOAT16S, same, 6, ints, 4, e);
    if (rc == 0)
        rc = scalar_check(c, p->past_length, "elements of past_sequence_length", e);
    if (rc == 0 && p->beams)
        rc = scalar_check(c, p->beams, "elements of beam_width", e);
    return rc;
}

/* The buffer is shared: MultiHeadAttention says so by telling the past's length. */
static bool shares(const struct attrs_mha *at, bool decoder, bool has_length, bool has_past)
{
    return has_past && (decoder ? at->share != 0 : has_length);
}

static int set_outputs(struct infer *c, const struct shape *x, int64_t heads, struct err *e)
{
    enum dtype t = infer_dtype(c, IN_Q);
    int64_t y[3] = {x->batch, x->rows, sym_mul(c->syms, heads, x->v_size)};
    int64_t k[4] = {x->batch, heads, x->room, x->size},
            v[4] = {x->batch, heads, x->room, x->v_size};
    int64_t qk[4] = {x->batch, heads, x->rows, x->total};
    if (sym_is_unknown(x->room))
        k[2] = v[2] = infer_fresh(c);
    if (sym_is_unknown(x->total))
        qk[3] = infer_fresh(c);
    int rc = infer_set(c, OUT_Y, t, 3, y, e);
    if (rc == 0)
        rc = infer_set(c, OUT_K, t, 4, k, e);
    if (rc == 0)
        rc = infer_set(c, OUT_V, t, 4, v, e);
    return rc < 0 ? rc : infer_set(c, OUT_QK, t, 4, qk, e);
}

static int mha_infer(struct infer *c, struct err *e)
{
    const struct attrs_mha *at = c->attrs;
    const struct ports *p = ports_of(c->node->op);
    bool decoder = is_decoder(c->node->op);
    struct view in[3] = {view_infer(c, 0), view_infer(c, 1), view_infer(c, 2)};
    struct shape x;
    int rc = check_heads(at->num_heads, "num_heads", e);
    if (rc == 0)
        rc = check_types(c, p, e);
    if (rc < 0)
        return rc;
    if (in[IN_Q].rank < 0 || (in[IN_K].here && in[IN_K].rank < 0)) {
        for (int o = OUT_Y; o <= OUT_QK && rc == 0; o++)
            rc = infer_unknown(c, o, infer_dtype(c, IN_Q), e);
        return rc;
    }
    if (in[IN_K].here && (in[IN_K].rank < 3 || in[IN_K].rank > 5))
        return err_set(e, ERR_MODEL, "key has rank %d, expected 3, 4 or 5", in[IN_K].rank);
    bool share = shares(at, decoder, infer_has(c, p->past_length), infer_has(c, p->past_k));
    if (share && !infer_has(c, p->past_length))
        return err_set(e, ERR_MODEL, "a shared buffer needs past_sequence_length");
    rc = shape_of(c->syms, c->node->op, at, in, view_infer(c, p->past_k), view_infer(c, p->past_v),
                  share, share ? scalar_infer(c, p->past_length) : 0, &x, e);
    if (rc == 0 && decoder)
        rc = dims_agree(c->syms, x.rows, 1, "rows of the query", e);
    struct mask_shape m = {x.batch, x.rows, x.length, x.total};
    if (rc == 0)
        rc = mask_check(view_infer(c, p->mask), &m, e);
    if (rc == 0)
        rc = bias_check(view_infer(c, p->add), &m, at->num_heads, e);
    struct view bias = view_infer(c, p->bias);
    if (rc == 0)
        rc = rank_is(bias, 1, "bias", e);
    if (rc == 0 && bias.rank == 1) {
        int64_t hidden = sym_mul(
            c->syms, sym_add(c->syms, sym_add(c->syms, x.size, x.size), x.v_size), at->num_heads);
        rc = dims_agree(c->syms, bias.dims[0], hidden, "numbers of bias", e);
    }
    return rc < 0 ? rc : set_outputs(c, &x, at->num_heads, e);
}

/* ---- a call ---------------------------------------------------------------------------------- */

/* Part `part` (0 Q, 1 K, 2 V) of the new rows. */
static struct attention_rows new_rows(const struct call *c, const struct shape *x, int64_t heads,
                                      int part)
{
    const struct tensor *q = call_in(c, IN_Q), *t = part ? call_in(c, part) : q;
    int64_t size = part == 2 ? x->v_size : x->size, packed = x->form == FORM_KV ? 2 : 3;
    struct attention_rows l = {.dtype = q->dtype, .data = q->data, .head = size};
    if (x->form == FORM_CACHE && part)
        return attention_apart(t, x->length, heads, size);
    if (x->form == FORM_APART || (x->form != FORM_QKV && x->form != FORM_JOINED && part == 0))
        return attention_flat(t, part ? x->length : x->rows, heads, size);
    if (x->form == FORM_JOINED) {
        l.first = part * heads * size;
    } else {
        l.data = x->form == FORM_KV ? call_in(c, IN_K)->data : q->data;
        l.first = (x->form == FORM_KV ? part - 1 : part) * size;
        l.head = packed * size;
    }
    l.row = packed * heads * size;
    l.batch = l.row * x->length;
    return l;
}

static struct stage *add_stage(struct staged *s, const struct call *c, const struct shape *x,
                               int part, struct attention_rows from)
{
    const struct ports *p = ports_of(c->op);
    int64_t heads = s->core.heads, size = part == 2 ? x->v_size : x->size;
    struct stage *g = &s->stages[s->n_stages++];
    *g = (struct stage){.from = from, .batch = x->batch, .heads = heads, .size = size,
                        .length = part ? x->length : x->rows};
    g->rows = g->length;
    g->alone = true;
    if (x->form != FORM_CACHE || part == 0)
        g->bias = call_in(c, p->bias);
    g->bias_first = part * heads * x->size;
    return g;
}

/* The new rows of Q, or of K or V without a present: as they are, or with their bias in scratch. */
static struct attention_rows finished(struct staged *s, const struct call *c, const struct shape *x,
                                      int part, struct shelf *room)
{
    const struct ports *p = ports_of(c->op);
    struct attention_rows from = new_rows(c, x, s->core.heads, part);
    if (!call_in(c, p->bias) || (x->form == FORM_CACHE && part))
        return from;
    struct stage *g = add_stage(s, c, x, part, from);
    int64_t row = g->heads * g->size;
    g->to = (struct attention_rows){
        .dtype = DTYPE_F32, .head = g->size, .row = row, .batch = row * g->length};
    g->to.data = shelf_take(room, (size_t)(g->batch * g->to.batch), sizeof(float));
    return g->to;
}

/* Keys (part 1) or values: in the present, or past and new ones each in their place. */
static void place_keys(struct staged *s, const struct call *c, const struct shape *x, int part,
                       struct shelf *room)
{
    const struct ports *p = ports_of(c->op);
    const struct tensor *past = call_in(c, part == 1 ? p->past_k : p->past_v);
    struct tensor *present = call_out(c, part == 1 ? OUT_K : OUT_V);
    struct attention *a = &s->core;
    struct attention_rows *old = part == 1 ? &a->past_k : &a->past_v,
                          *new = part == 1 ? &a->k : &a->v;
    int64_t size = part == 1 ? x->size : x->v_size;
    if (past)
        *old = attention_apart(past, past->dims[2], a->heads, size);
    if (!present) {
        *new = finished(s, c, x, part, room);
        return;
    }
    struct stage *g = add_stage(s, c, x, part, new_rows(c, x, a->heads, part));
    g->to = attention_apart(present, present->dims[2], a->heads, size);
    g->past = *old;
    g->alone = false;
    g->old = x->past;
    g->rows = present->dims[2];
    g->past_rows = past ? past->dims[2] : 0;
    g->keep = true;
    /* Both places are the present: its rows are the past's and, from row `past` on, the new ones.
     */
    *old = *new = g->to;
    new->first += x->past * new->row;
}

static int mha_shape(const struct call *c, struct shape *x, struct err *e)
{
    const struct attrs_mha *at = c->attrs;
    const struct ports *p = ports_of(c->op);
    struct view in[3] = {view_call(c, 0), view_call(c, 1), view_call(c, 2)};
    bool share = shares(at, is_decoder(c->op), call_in(c, p->past_length), call_in(c, p->past_k));
    return shape_of(NULL, c->op, at, in, view_call(c, p->past_k), view_call(c, p->past_v), share,
                    share ? scalar_call(c, p->past_length) : 0, x, e);
}

static void mha_fill(const struct call *c, const struct shape *x, struct staged *s,
                     struct shelf *room)
{
    const struct attrs_mha *at = c->attrs;
    struct attention *a = &s->core;
    const struct tensor *y = call_out(c, OUT_Y);
    *s = (struct staged){0};
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
                            .right = at->unidirectional ? 0 : -1,
                            .qk = call_out(c, OUT_QK),
                            .show = ATTENTION_BIASED};
    a->scale = at->scale != 0 ? at->scale : x->size ? (float)(1 / sqrt((double)x->size)) : 1;
    a->q = finished(s, c, x, 0, room);
    a->y = attention_flat(y, x->rows, a->heads, x->v_size);
    place_keys(s, c, x, 1, room);
    place_keys(s, c, x, 2, room);
    attention_plan(a);
}

static size_t mha_scratch(const struct call *c, size_t *per_member)
{
    struct shelf room = {0};
    struct staged s;
    struct shape x;
    *per_member = 0;
    if (mha_shape(c, &x, NULL) < 0)
        return 0;
    mha_fill(c, &x, &s, &room);
    *per_member = staged_member_bytes(&s);
    return room.used;
}

static int mha_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_mha *at = c->attrs;
    const struct ports *p = ports_of(c->op);
    struct shelf room = {.base = c->scratch};
    struct staged s;
    struct shape x;
    int rc = mha_shape(c, &x, e);
    if (rc < 0)
        return rc;
    struct mask_shape m = {x.batch, x.rows, x.length, x.total};
    mha_fill(c, &x, &s, &room);
    rc = mask_bind(&s.core, call_in(c, p->mask), &m, at->mask_filter, e);
    if (rc == 0)
        rc = bias_bind(&s.core, call_in(c, p->add), &m, e);
    if (rc == 0 && p->beams && call_in(c, p->beams) && !call_in(c, p->indirection) &&
        scalar_call(c, p->beams) > 1)
        rc = err_set(e, ERR_MODEL, "beams without cache_indirection");
    if (rc == 0 && x.past > 0)
        rc = beams_bind(&s.core, call_in(c, p->indirection), x.past, e);
    return rc < 0 ? rc : staged_run(c, &s, e);
}

const struct op op_ms_multiheadattention = {
    .domain = "com.microsoft", .name = "MultiHeadAttention", .since = 1,
    .in_min = 1, .in_max = 10, .out_min = 1, .out_max = 4,
    .flags = OP_PURE | OP_LEADER, .host_in = 1 << 8 | 1 << 9 | 1 << 4,
    .attrs = mha_attrs, .attrs_size = sizeof(struct attrs_mha),
    .infer = mha_infer, .scratch = mha_scratch, .run = mha_run,
    .kernels = "gemm softmax transpose unary",
};

const struct op op_ms_decodermaskedmultiheadattention = {
    .domain = "com.microsoft", .name = "DecoderMaskedMultiHeadAttention", .since = 1,
    .in_min = 1, .in_max = 11, .out_min = 1, .out_max = 4,
    .flags = OP_PURE | OP_LEADER, .host_in = 1 << 7 | 1 << 8 | 1 << 9,
    .attrs = decoder_attrs, .attrs_size = sizeof(struct attrs_mha),
    .infer = mha_infer, .scratch = mha_scratch, .run = mha_run,
    .kernels = "gemm softmax transpose unary",
};
