/* SPDX-License-Identifier: Apache-2.0 */
/* QAttention: Attention whose one product, of bytes by bytes, makes Q, K and V of all heads;
 * they attend as floats. */
#include <math.h>

#include "ops/contrib/attention_parts.h"
#include "ops/matmul_integer.h"

struct attrs_qattention {
    int64_t num_heads, unidirectional, share, do_rotary;
    float scale, mask_filter;
};

enum { IN_X, IN_WEIGHT, IN_BIAS, IN_X_SCALE, IN_W_SCALE, IN_MASK, IN_X_ZERO, IN_W_ZERO, IN_PAST };
enum { OUT_Y, OUT_PRESENT };

static const struct integer_places places = {
    .b = IN_WEIGHT, .a_zero = IN_X_ZERO, .b_zero = IN_W_ZERO, .a_scale = IN_X_SCALE,
    .b_scale = IN_W_SCALE, .bias = IN_BIAS, .y_scale = -1, .y_zero = -1, .sum_bias = -1,
};

/* ---- shapes, on symbols and on numbers
 * -------------------------------------------------------- */

struct shape {
    int64_t batch, rows, columns, size, past, total;
};

static int shape_of(struct syms *s, int64_t heads, struct view x, struct view weight,
                    struct view past, struct shape *out, struct err *e)
{
    *out = (struct shape){.batch = x.dims[0], .rows = x.dims[1], .columns = weight.dims[1]};
    out->total = out->rows;
    int r = dims_agree(s, weight.dims[0], x.dims[2], "rows of weight", e);
    if (r == 0)
        r = head_size(s, out->columns, 3 * heads, "weight", &out->size, e);
    if (r || !past.here)
        return r;
    if ((r = rank_is(past, 5, "past", e)))
        return r;
    out->past = past.rank < 0 ? SYM_UNKNOWN : past.dims[3];
    out->total = sym_add(s, out->past, out->rows);
    const int64_t want[5] = {2, out->batch, heads, SYM_UNKNOWN, out->size};
    for (int k = 0; k < 5 && past.rank == 5 && r == 0; k++)
        r = dims_agree(s, past.dims[k], want[k], "a dim of past", e);
    return r;
}

static int check_inputs(struct infer *c, const struct attrs_qattention *at, struct err *e)
{
    static const uint32_t bytes = DT(U8) | DT(I8);
    static const int floats[] = {IN_BIAS, IN_W_SCALE, IN_PAST};
    int r = check_heads(at->num_heads, "num_heads", e);
    if (r || (r = infer_dtypes(c, IN_X, bytes, e)) || (r = infer_dtypes(c, IN_WEIGHT, bytes, e)) ||
        (r = infer_same_dtype(c, IN_X, IN_X_ZERO, e)) ||
        (r = infer_same_dtype(c, IN_WEIGHT, IN_W_ZERO, e)) ||
        (r = infer_dtypes(c, IN_X_SCALE, DT(F32) | DT(F16), e)))
        return r;
    for (int i = 0; i < 3 && r == 0; i++)
        r = infer_same_dtype(c, IN_X_SCALE, floats[i], e);
    if (r == 0 && infer_has(c, IN_MASK))
        r = infer_dtypes(c, IN_MASK, DT(I32), e);
    if (r == 0 && (at->share || at->do_rotary))
        r = err_set(e, ERR_UNSUPPORTED, "past_present_share_buffer or do_rotary");
    if (r == 0)
        r = rank_is(view_infer(c, IN_X), 3, "the input", e);
    if (r == 0)
        r = rank_is(view_infer(c, IN_BIAS), 1, "bias", e);
    return r ? r : rank_is(view_infer(c, IN_WEIGHT), 2, "weight", e);
}

static int qattention_infer(struct infer *c, struct err *e)
{
    const struct attrs_qattention *at = c->attrs;
    struct shape x;
    int r = check_inputs(c, at, e);
    if (r)
        return r;
    enum dtype t = infer_dtype(c, IN_X_SCALE);
    if (infer_rank(c, IN_X) < 0 || infer_rank(c, IN_WEIGHT) < 0) {
        r = infer_unknown(c, OUT_Y, t, e);
        return r ? r : infer_unknown(c, OUT_PRESENT, t, e);
    }
    r = shape_of(c->syms, at->num_heads, view_infer(c, IN_X), view_infer(c, IN_WEIGHT),
                 view_infer(c, IN_PAST), &x, e);
    if (r == 0 && infer_rank(c, IN_BIAS) == 1)
        r = dims_agree(c->syms, infer_dim(c, IN_BIAS, 0), x.columns, "numbers of bias", e);
    struct mask_shape m = {x.batch, x.rows, x.rows, x.total};
    if (r == 0)
        r = mask_check(view_infer(c, IN_MASK), &m, e);
    if (r)
        return r;
    if (sym_is_unknown(x.total))
        x.total = infer_fresh(c);
    int64_t y[3] = {x.batch, x.rows, sym_mul(c->syms, at->num_heads, x.size)};
    int64_t present[5] = {2, x.batch, at->num_heads, x.total, x.size};
    r = infer_set(c, OUT_Y, t, 3, y, e);
    return r ? r : infer_set(c, OUT_PRESENT, t, 5, present, e);
}

static int qattention_prepare(struct prepare *p, struct err *e)
{
    return integer_product_prepare(p, &places, e);
}

/* ---- a call
 * ----------------------------------------------------------------------------------- */

struct job {
    struct shape shape;
    struct tensor qkv; /* the product, f32 */
    void *product;     /* its scratch */
    struct staged staged;
};

/* Q (part 0), K or V as the product leaves them. */
static struct attention_rows projected(const struct job *j, int64_t heads, int part)
{
    const struct shape *x = &j->shape;
    return (struct attention_rows){.dtype = DTYPE_F32, .data = j->qkv.data,
                                   .first = part * heads * x->size, .batch = x->rows * x->columns,
                                   .head = x->size, .row = x->columns};
}

/* Keys (part 1) or values: in the present, or the past where it lies and the product's behind
 * it. */
static void place_keys(struct job *j, const struct call *c, int part)
{
    const struct tensor *past = call_in(c, IN_PAST);
    struct tensor *present = call_out(c, OUT_PRESENT);
    const struct shape *x = &j->shape;
    struct attention *a = &j->staged.core;
    struct attention_rows *old = part == 1 ? &a->past_k : &a->past_v;
    struct attention_rows *new = part == 1 ? &a->k : &a->v;
    if (past) {
        *old = attention_apart(past, x->past, a->heads, x->size);
        old->first = (part - 1) * x->batch * old->batch;
    }
    *new = projected(j, a->heads, part);
    if (!present)
        return;
    struct stage *g = &j->staged.stages[j->staged.n_stages++];
    *g = (struct stage){.from = *new, .batch = x->batch, .heads = a->heads, .size = x->size,
                        .length = x->rows, .rows = x->total, .old = x->past, .past = *old,
                        .past_rows = x->past, .keep = true};
    g->to = attention_apart(present, x->total, a->heads, x->size);
    g->to.first = (part - 1) * x->batch * g->to.batch;
    *old = *new = g->to;
    new->first += x->past * new->row;
}

static int job_fill(const struct call *c, struct job *j, struct shelf *room, size_t *member,
                    struct err *e)
{
    const struct attrs_qattention *at = c->attrs;
    struct attention *a = &j->staged.core;
    struct shape *x = &j->shape;
    *j = (struct job){0};
    int r = shape_of(NULL, at->num_heads, view_call(c, IN_X), view_call(c, IN_WEIGHT),
                     view_call(c, IN_PAST), x, e);
    if (r)
        return r;
    j->qkv = (struct tensor){.dtype = DTYPE_F32, .rank = 3,
                             .dims = {x->batch, x->rows, x->columns}};
    j->qkv.data = shelf_take(room, (size_t)tensor_count(&j->qkv), sizeof(float));
    j->product = shelf_take(room, integer_product_scratch(c, &places, member), 1);
    *a = (struct attention){.batch = x->batch, .heads = at->num_heads, .kv_heads = at->num_heads,
                            .rows = x->rows, .past = x->past, .total = x->total, .size = x->size,
                            .v_size = x->size, .room_keys = x->total, .offset = x->past,
                            .left = -1, .limit = -1, .right = at->unidirectional ? 0 : -1};
    a->scale = at->scale != 0 ? at->scale : x->size ? (float)(1 / sqrt((double)x->size)) : 1;
    a->q = projected(j, a->heads, 0);
    a->y = attention_flat(call_out(c, OUT_Y), x->rows, a->heads, x->size);
    place_keys(j, c, 1);
    place_keys(j, c, 2);
    attention_plan(a);
    size_t staged = staged_member_bytes(&j->staged);
    *member = *member > staged ? *member : staged;
    return 0;
}

static size_t qattention_scratch(const struct call *c, size_t *per_member)
{
    struct shelf room = {0};
    struct job j;
    *per_member = 0;
    return job_fill(c, &j, &room, per_member, NULL) == 0 ? room.used : 0;
}

static int qattention_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_qattention *at = c->attrs;
    struct shelf room = {.base = c->scratch};
    struct job j;
    size_t unused;
    int r = job_fill(c, &j, &room, &unused, e);
    if (r)
        return r;
    struct mask_shape m = {j.shape.batch, j.shape.rows, j.shape.rows, j.shape.total};
    if ((r = mask_bind(&j.staged.core, call_in(c, IN_MASK), &m, at->mask_filter, e)) ||
        (r = integer_product_into(c, &places, &j.qkv, j.product, e)))
        return r;
    return staged_run(c, &j.staged, e);
}

static const struct attr qattention_attrs[] = {
    {"num_heads", ATTR_INT, offsetof(struct attrs_qattention, num_heads), .required = true},
    {"unidirectional", ATTR_INT, offsetof(struct attrs_qattention, unidirectional)},
    {"past_present_share_buffer", ATTR_INT, offsetof(struct attrs_qattention, share)},
    {"do_rotary", ATTR_INT, offsetof(struct attrs_qattention, do_rotary)},
    {"scale", ATTR_FLOAT, offsetof(struct attrs_qattention, scale)},
    {"mask_filter_value", ATTR_FLOAT, offsetof(struct attrs_qattention, mask_filter), .f = -10000},
    {NULL},
};

const struct op op_ms_qattention = {
    .domain = "com.microsoft", .name = "QAttention", .since = 1,
    .in_min = 5, .in_max = 9, .out_min = 1, .out_max = 2,
    .flags = OP_PURE | OP_LEADER, .host_in = 1 << IN_MASK,
    .attrs = qattention_attrs, .attrs_size = sizeof(struct attrs_qattention),
    .infer = qattention_infer, .prepare = qattention_prepare, .scratch = qattention_scratch,
    .run = qattention_run,
    .kernels = "gemm softmax transpose unary",
};
