/* SPDX-License-Identifier: Apache-2.0 */
/* ReverseSequence. */
#include "ops/layout.h"

struct reverse_attrs {
    int64_t batch_axis, time_axis;
};

static int reverse_infer(struct infer *c, struct err *e)
{
    const struct reverse_attrs *a = c->attrs;
    int rank = infer_rank(c, 0);
    int r = infer_dtypes(c, 1, DT(I64), e);
    if (r)
        return r;
    if ((a->batch_axis != 0 && a->batch_axis != 1) || a->time_axis != 1 - a->batch_axis)
        return err_set(e, ERR_MODEL,
                       "batch_axis is %lld and time_axis %lld, expected 0 and 1 or 1 and 0",
                       (long long)a->batch_axis, (long long)a->time_axis);
    if (rank >= 0 && rank < 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected at least 2", rank);
    if (infer_rank(c, 1) >= 0 && infer_rank(c, 1) != 1)
        return err_set(e, ERR_MODEL, "the lengths have rank %d, expected 1", infer_rank(c, 1));
    if (rank >= 0 && infer_rank(c, 1) == 1 &&
        sym_differ(c->syms, infer_dim(c, 1, 0), infer_dim(c, 0, (int)a->batch_axis)))
        return err_set(e, ERR_MODEL, "there are not as many lengths as sequences");
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int64_t reverse_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int reverse_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct reverse_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *lengths = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    bool batch_first = a->batch_axis == 0;
    size_t size = dtype_size(x->dtype);
    if (s.first >= s.last)
        return 0;
    int64_t inner = dims_product(x->dims, 2, x->rank), times = x->dims[a->time_axis];
    if (lengths->rank != 1 || lengths->dims[0] != x->dims[a->batch_axis])
        return err_set(e, ERR_INPUT, "there are %lld lengths for %lld sequences",
                       (long long)tensor_count(lengths), (long long)x->dims[a->batch_axis]);
    int64_t unit = s.first / inner, at = s.first % inner;
    char *o = tensor_at(y, s.first);
    for (int64_t left = s.last - s.first; left > 0; unit++, at = 0) {
        int64_t n = inner - at < left ? inner - at : left;
        int64_t b = batch_first ? unit / times : unit % x->dims[1];
        int64_t t = batch_first ? unit % times : unit / x->dims[1];
        int64_t length = ((const int64_t *)lengths->data)[b];
        if (length < 0 || length > times)
            return err_set(e, ERR_INPUT, "length %lld of sequence %lld is outside [0, %lld]",
                           (long long)length, (long long)b, (long long)times);
        if (t < length)
            t = length - 1 - t;
        int64_t from = batch_first ? b * times + t : t * x->dims[1] + b;
        move_bytes(o, tensor_at(x, from * inner + at), (size_t)n * size);
        o += (size_t)n * size;
        left -= n;
    }
    return 0;
}

static const struct attr reverse_attr_rows[] = {
    {"batch_axis", ATTR_INT, offsetof(struct reverse_attrs, batch_axis), .i = 1},
    {"time_axis", ATTR_INT, offsetof(struct reverse_attrs, time_axis)},
    {NULL},
};

const struct op op_reversesequence = {
    .domain = "",
    .name = "ReverseSequence",
    .since = 10,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = reverse_attr_rows,
    .attrs_size = sizeof(struct reverse_attrs),
    .infer = reverse_infer,
    .tasks = reverse_tasks,
    .run = reverse_run,
};
