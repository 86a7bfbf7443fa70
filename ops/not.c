/* SPDX-License-Identifier: Apache-2.0 */
/* Not and BitwiseNot. */
#include "ops/span.h"

static int64_t not_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int infer_same(struct infer *c, uint32_t mask, struct err *e)
{
    int r = infer_dtypes(c, 0, mask, e);
    if (r)
        return r;
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int not_infer(struct infer *c, struct err *e)
{
    int64_t n, out[FACT_ELEMS_MAX];
    int r = infer_same(c, DT(BOOL), e);
    const int64_t *v = r ? NULL : infer_elems(c, 0, &n);
    if (!v || n > FACT_ELEMS_MAX)
        return r;
    for (int64_t i = 0; i < n; i++)
        out[i] = sym_is_number(v[i]) ? !v[i] : SYM_UNKNOWN;
    infer_set_elems(c, 0, out, n);
    return 0;
}

static int not_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct span s = span_out(c, begin, end, 1);
    const uint8_t *x = call_in(c, 0)->data;
    uint8_t *y = call_out(c, 0)->data;
    for (int64_t i = s.first; i < s.last; i++)
        y[i] = !x[i];
    return 0;
}

const struct op op_not = {
    .domain = "", .name = "Not", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .infer = not_infer, .tasks = not_tasks, .run = not_run,
};

static int bitwise_infer(struct infer *c, struct err *e)
{
    return infer_same(c, DT_INTS, e);
}

/* The bytes of an element are inverted, whatever its type. */
static int bitwise_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct span s = span_out(c, begin, end, 1);
    size_t size = dtype_size(call_in(c, 0)->dtype);
    const uint8_t *x = call_in(c, 0)->data;
    uint8_t *y = call_out(c, 0)->data;
    for (size_t i = (size_t)s.first * size; i < (size_t)s.last * size; i++)
        y[i] = (uint8_t)~x[i];
    return 0;
}

const struct op op_bitwisenot = {
    .domain = "", .name = "BitwiseNot", .since = 18,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .infer = bitwise_infer, .tasks = not_tasks, .run = bitwise_run,
};
