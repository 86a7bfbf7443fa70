/* SPDX-License-Identifier: Apache-2.0 */
/* ScaledSiLU: z = scale * x, y = z * sigmoid(z), each step rounded to the input's type. */
#include "graph/attrs.h"
#include "kernels/binary.h"
#include "kernels/unary.h"
#include "ops/span.h"

static int silu_infer(struct infer *c, struct err *e)
{
    const uint32_t floats = DT(F32) | DT_FLOAT16S;
    int r = infer_dtypes(c, 0, floats, e);
    if (r == 0 && infer_has(c, 1))
        r = infer_dtypes(c, 1, floats, e);
    return r ? r : infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

enum { SILU_COST = 6 };

static int64_t silu_tasks(const struct call *c)
{
    return span_tasks(c, SILU_COST);
}

/* v as the type would hold it; y has room for it. */
static void round_to(struct tensor *y, int64_t at, int64_t n, float *v)
{
    if (y->dtype == DTYPE_F32)
        return;
    elems_from_f32(y->dtype, y->data, at, n, v);
    elems_to_f32(y->dtype, y->data, at, n, v);
}

static int silu_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *scale_in = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, SILU_COST);
    float z[CHUNK_ELEMS], v[CHUNK_ELEMS], scale = ((const struct attrs_alpha *)c->attrs)->alpha;
    if (scale_in && tensor_count(scale_in) != 1)
        return err_set(e, ERR_INPUT, "the scale has %lld elements, expected one",
                       (long long)tensor_count(scale_in));
    if (scale_in)
        elems_to_f32(scale_in->dtype, scale_in->data, 0, 1, &scale);
    for (int64_t i = s.first, n; i < s.last; i += n) {
        n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        elems_to_f32(x->dtype, x->data, i, n, z);
        binary_f32_pick(BINARY_MUL)(z, &scale, BINARY_B_SCALAR, z, (size_t)n);
        round_to(y, i, n, z);
        unary_f32_pick(UNARY_SIGMOID)(z, v, (size_t)n, NULL);
        round_to(y, i, n, v);
        binary_f32_pick(BINARY_MUL)(z, v, 0, z, (size_t)n);
        elems_from_f32(y->dtype, y->data, i, n, z);
    }
    return 0;
}

static const struct attr silu_attr_rows[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_alpha, alpha), .f = 1},
    {NULL},
};

const struct op op_ms_scaledsilu = {
    .domain = "com.microsoft", .name = "ScaledSiLU", .since = 1,
    .in_min = 1, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .attrs = silu_attr_rows, .attrs_size = sizeof(struct attrs_alpha),
    .infer = silu_infer, .tasks = silu_tasks, .run = silu_run,
    .kernels = "binary unary",
};
