/* SPDX-License-Identifier: Apache-2.0 */
/* Trilu: the upper or lower triangle of each matrix, zeros elsewhere. */
#include <string.h>

#include "ops/span.h"

struct trilu_attrs {
    int64_t upper;
};

static int trilu_infer(struct infer *c, struct err *e)
{
    int r = 0, rank = infer_rank(c, 0);
    if (rank == 0 || rank == 1)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected at least 2", rank);
    if (infer_has(c, 1) && (r = infer_dtypes(c, 1, DT(I64) | DT(I32), e)))
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int64_t trilu_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

/* Of row i the columns [*from, *to) stay: from diagonal k on, or up to it. */
static void kept_columns(int64_t i, int64_t k, bool upper, int64_t columns, int64_t *from,
                         int64_t *to)
{
    int64_t diagonal, after;
    if (__builtin_add_overflow(i, k, &diagonal))
        diagonal = INT64_MAX - 1;
    if (diagonal < -1)
        diagonal = -1;
    if (diagonal > columns)
        diagonal = columns;
    after = diagonal + 1 < columns ? diagonal + 1 : columns;
    *from = upper ? (diagonal < 0 ? 0 : diagonal) : 0;
    *to = upper ? columns : after;
}

static int trilu_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct trilu_attrs *a = c->attrs;
    const struct tensor *in = call_in(c, 0), *k_in = call_in(c, 1);
    struct tensor *out = call_out(c, 0);
    int64_t rows = out->dims[out->rank - 2], columns = out->dims[out->rank - 1];
    size_t size = dtype_size(out->dtype);
    if (k_in && tensor_count(k_in) != 1)
        return err_set(e, ERR_INPUT, "k has %lld elements, expected one",
                       (long long)tensor_count(k_in));
    if (tensor_count(out) == 0)
        return 0;
    int64_t k = k_in ? tensor_int(k_in, 0) : 0, from, to;
    struct span s = span_of(begin, end, trilu_tasks(c), tensor_count(out) / columns);
    for (int64_t row = s.first; row < s.last; row++) {
        char *p = tensor_at(out, row * columns);
        const char *q = tensor_at(in, row * columns);
        kept_columns(row % rows, k, a->upper != 0, columns, &from, &to);
        memset(p, 0, (size_t)from * size);
        if (p != q && to > from)
            memcpy(p + (size_t)from * size, q + (size_t)from * size, (size_t)(to - from) * size);
        memset(p + (size_t)to * size, 0, (size_t)(columns - to) * size);
    }
    return 0;
}

static const struct attr trilu_attr_rows[] = {
    {"upper", ATTR_INT, offsetof(struct trilu_attrs, upper), .i = 1},
    {NULL},
};

const struct op op_trilu = {
    .domain = "", .name = "Trilu", .since = 14,
    .in_min = 1, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .host_in = 2,
    .attrs = trilu_attr_rows, .attrs_size = sizeof(struct trilu_attrs),
    .infer = trilu_infer, .tasks = trilu_tasks, .run = trilu_run,
};

const struct op op_ms_trilu = {
    .domain = "com.microsoft", .name = "Trilu", .since = 1,
    .in_min = 1, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .host_in = 2,
    .attrs = trilu_attr_rows, .attrs_size = sizeof(struct trilu_attrs),
    .infer = trilu_infer, .tasks = trilu_tasks, .run = trilu_run,
};
