/* SPDX-License-Identifier: Apache-2.0 */
/* CumSum and CumProd. A tensor is outer x n x inner around the axis; every (outer, inner) is a
 * lane that one task walks alone in order, with as many lanes side by side as fit an accumulator
 * on the stack.
 */
#include "ops/span.h"

struct cumsum_attrs {
    int64_t exclusive, reverse;
};

static int cumsum_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_FLOATS | DT(I32) | DT(I64) | DT(U32) | DT(U64), e);
    if (r || (r = infer_dtypes(c, 1, DT(I32) | DT(I64), e)))
        return r;
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

/* One element of each of n lanes: acc (op)= in; out gets acc from before or after. */
typedef void step_fn(const void *in, void *out, void *acc, int64_t n, bool exclusive);

#define STEP(name, type, mem, load, store, op)                                                     \
    static void name(const void *in, void *out, void *acc, int64_t n, bool exclusive)              \
    {                                                                                              \
        const mem *x = in;                                                                         \
        mem *y = out;                                                                              \
        type *a = acc;                                                                             \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type before = a[i], after = before op load(x[i]);                                      \
            a[i] = after;                                                                          \
            y[i] = store(exclusive ? before : after);                                              \
        }                                                                                          \
    }
#define SAME(v) (v)
STEP(sum_f32, float, float, SAME, SAME, +)
STEP(sum_f64, double, double, SAME, SAME, +)
STEP(sum_f16, float, uint16_t, dtype_f16_to_f32, dtype_f32_to_f16, +)
STEP(sum_bf16, float, uint16_t, dtype_bf16_to_f32, dtype_f32_to_bf16, +)
STEP(sum_u32, uint32_t, uint32_t, SAME, SAME, +)
STEP(sum_u64, uint64_t, uint64_t, SAME, SAME, +)
STEP(prod_f32, float, float, SAME, SAME, *)
STEP(prod_f64, double, double, SAME, SAME, *)
STEP(prod_f16, float, uint16_t, dtype_f16_to_f32, dtype_f32_to_f16, *)
STEP(prod_bf16, float, uint16_t, dtype_bf16_to_f32, dtype_f32_to_bf16, *)
STEP(prod_u32, uint32_t, uint32_t, SAME, SAME, *)
STEP(prod_u64, uint64_t, uint64_t, SAME, SAME, *)

/* Integers wrap, so the unsigned rows serve the signed types. */
static step_fn *const steps[2][DTYPE_COUNT] = {
    {[DTYPE_F32] = sum_f32, [DTYPE_F64] = sum_f64, [DTYPE_F16] = sum_f16, [DTYPE_BF16] = sum_bf16,
     [DTYPE_I32] = sum_u32, [DTYPE_U32] = sum_u32, [DTYPE_I64] = sum_u64, [DTYPE_U64] = sum_u64},
    {[DTYPE_F32] = prod_f32, [DTYPE_F64] = prod_f64, [DTYPE_F16] = prod_f16,
     [DTYPE_BF16] = prod_bf16, [DTYPE_I32] = prod_u32, [DTYPE_U32] = prod_u32,
     [DTYPE_I64] = prod_u64, [DTYPE_U64] = prod_u64},
};

static int64_t cumsum_tasks(const struct call *c)
{
    return span_tasks(c, 2);
}

/* n accumulators of the type that computes, at 0 or 1. */
static void acc_fill(enum dtype dtype, void *acc, int64_t n, int v)
{
    enum dtype wide = dtype == DTYPE_F16 || dtype == DTYPE_BF16 ? DTYPE_F32 : dtype;
    size_t size = dtype_size(wide);
    for (int64_t i = 0; i < n; i++)
        dtype_store_i64(wide, (char *)acc + (size_t)i * size, v);
}

static int cumsum_axis(const struct call *c, int *axis, struct err *e)
{
    const struct tensor *t = call_in(c, 1);
    int64_t a;
    if (tensor_count(t) != 1)
        return err_set(e, ERR_INPUT, "axis has %lld elements, expected one",
                       (long long)tensor_count(t));
    int r = norm_index(tensor_int(t, 0), call_in(c, 0)->rank, "axis", &a, e);
    *axis = (int)a;
    return r;
}

static int cum_run(struct call *c, int64_t begin, int64_t end, bool product, struct err *e)
{
    const struct cumsum_attrs *a = c->attrs;
    const struct tensor *in = call_in(c, 0);
    struct tensor *out = call_out(c, 0);
    step_fn *step = steps[product][in->dtype];
    double acc[CHUNK_ELEMS];
    int axis = 0;
    int r = cumsum_axis(c, &axis, e);
    if (r || tensor_count(in) == 0)
        return r;
    int64_t n = in->dims[axis], inner = dims_product(in->dims, axis + 1, in->rank);
    struct span s = span_of(begin, end, cumsum_tasks(c), tensor_count(in) / n);
    while (s.first < s.last) {
        int64_t outer = s.first / inner, lane = s.first % inner;
        int64_t lanes = inner - lane < s.last - s.first ? inner - lane : s.last - s.first;
        if (lanes > CHUNK_ELEMS)
            lanes = CHUNK_ELEMS;
        acc_fill(in->dtype, acc, lanes, product);
        for (int64_t j = 0; j < n; j++) {
            int64_t at = (outer * n + (a->reverse ? n - 1 - j : j)) * inner + lane;
            step(tensor_at(in, at), tensor_at(out, at), acc, lanes, a->exclusive != 0);
        }
        s.first += lanes;
    }
    return 0;
}

static int cumsum_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return cum_run(c, begin, end, false, e);
}

static int cumprod_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return cum_run(c, begin, end, true, e);
}

static const struct attr cumsum_attr_rows[] = {
    {"exclusive", ATTR_INT, offsetof(struct cumsum_attrs, exclusive)},
    {"reverse", ATTR_INT, offsetof(struct cumsum_attrs, reverse)},
    {NULL},
};

const struct op op_cumsum = {
    .domain = "", .name = "CumSum", .since = 11,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .host_in = 2,
    .attrs = cumsum_attr_rows, .attrs_size = sizeof(struct cumsum_attrs),
    .infer = cumsum_infer, .tasks = cumsum_tasks, .run = cumsum_run,
};

const struct op op_cumprod = {
    .domain = "", .name = "CumProd", .since = 26,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .host_in = 2,
    .attrs = cumsum_attr_rows, .attrs_size = sizeof(struct cumsum_attrs),
    .infer = cumsum_infer, .tasks = cumsum_tasks, .run = cumprod_run,
};
