/* SPDX-License-Identifier: Apache-2.0 */
/* EyeLike: ones on diagonal k of a matrix of the input's shape. */
#include <string.h>

#include "ops/span.h"

struct eyelike_attrs {
    int64_t dtype, k;
};

static int eyelike_infer(struct infer *c, struct err *e)
{
    const struct eyelike_attrs *a = c->attrs;
    int64_t dtype = a->dtype == ATTR_ABSENT ? (int64_t)infer_dtype(c, 0) : a->dtype;
    int rank = infer_rank(c, 0);
    if (!dtype_valid(dtype) || !((DT_NUMERIC | DT(BOOL)) & DTYPE_BIT(dtype)))
        return err_set(e, ERR_MODEL, "dtype %lld is no number type", (long long)dtype);
    if (rank >= 0 && rank != 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 2", rank);
    if (rank < 0)
        return infer_unknown(c, 0, (enum dtype)dtype, e);
    return infer_like(c, 0, 0, (enum dtype)dtype, e);
}

static int64_t eyelike_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int eyelike_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct eyelike_attrs *a = c->attrs;
    struct tensor *out = call_out(c, 0);
    int64_t rows = out->dims[0], columns = out->dims[1];
    int64_t tasks = eyelike_tasks(c);
    struct span s = span_of(begin, end, tasks, rows);
    if (columns == 0 || s.first >= s.last)
        return 0;
    memset(tensor_at(out, s.first * columns), 0,
           (size_t)((s.last - s.first) * columns) * dtype_size(out->dtype));
    for (int64_t i = s.first; i < s.last; i++) {
        int64_t j;
        if (!__builtin_add_overflow(i, a->k, &j) && j >= 0 && j < columns)
            dtype_store_i64(out->dtype, tensor_at(out, i * columns + j), 1);
    }
    return 0;
}

static const struct attr eyelike_attr_rows[] = {
    {"dtype", ATTR_INT, offsetof(struct eyelike_attrs, dtype), .i = ATTR_ABSENT},
    {"k", ATTR_INT, offsetof(struct eyelike_attrs, k)},
    {NULL},
};

const struct op op_eyelike = {
    .domain = "", .name = "EyeLike", .since = 9,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_SHAPE_ONLY,
    .attrs = eyelike_attr_rows, .attrs_size = sizeof(struct eyelike_attrs),
    .infer = eyelike_infer, .tasks = eyelike_tasks, .run = eyelike_run,
};
