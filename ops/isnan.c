/* SPDX-License-Identifier: Apache-2.0 */
/* IsNaN and IsInf, of every float type through f64. */
#include <math.h>

#include "ops/span.h"

struct isinf_attrs {
    int64_t detect_negative, detect_positive;
};

static int float_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_FLOATS | DT_FLOAT8S, e);
    if (r)
        return r;
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, DTYPE_BOOL, e);
    return infer_like(c, 0, 0, DTYPE_BOOL, e);
}

static int64_t float_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

/* Each element of a chunk in f64, where infinities and NaN stay what they are. */
typedef void test_fn(const struct isinf_attrs *a, const double *x, uint8_t *y, int64_t n);

static void test_nan(const struct isinf_attrs *a, const double *x, uint8_t *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = isnan(x[i]) != 0;
}

static void test_inf(const struct isinf_attrs *a, const double *x, uint8_t *y, int64_t n)
{
    uint8_t negative = a->detect_negative != 0, positive = a->detect_positive != 0;
    for (int64_t i = 0; i < n; i++)
        y[i] = (positive & (x[i] == INFINITY)) | (negative & (x[i] == -INFINITY));
}

static int float_run(struct call *c, test_fn *test, int64_t begin, int64_t end)
{
    const struct tensor *in = call_in(c, 0);
    struct span s = span_out(c, begin, end, 1);
    double v[CHUNK_ELEMS];
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        elems_to_f64(in->dtype, in->data, i, n, v);
        test(c->attrs, v, tensor_at(call_out(c, 0), i), n);
    }
    return 0;
}

static int isnan_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return float_run(c, test_nan, begin, end);
}

static int isinf_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return float_run(c, test_inf, begin, end);
}

const struct op op_isnan = {
    .domain = "", .name = "IsNaN", .since = 9,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = float_infer, .tasks = float_tasks, .run = isnan_run,
};

static const struct attr isinf_attr_rows[] = {
    {"detect_negative", ATTR_INT, offsetof(struct isinf_attrs, detect_negative), .i = 1},
    {"detect_positive", ATTR_INT, offsetof(struct isinf_attrs, detect_positive), .i = 1},
    {NULL},
};

const struct op op_isinf = {
    .domain = "", .name = "IsInf", .since = 10,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = isinf_attr_rows, .attrs_size = sizeof(struct isinf_attrs),
    .infer = float_infer, .tasks = float_tasks, .run = isinf_run,
};
