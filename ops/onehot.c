/* SPDX-License-Identifier: Apache-2.0 */
/* OneHot: off values everywhere, then the on values. */
#include "ops/layout.h"

struct onehot_attrs {
    int64_t axis;
};

/* The depth as a symbolic integer; a number of any real dtype is truncated. */
static int read_depth(struct infer *c, int64_t *depth, struct err *e)
{
    int64_t n;
    const int64_t *elems = infer_elems(c, 1, &n);
    const struct tensor *t = infer_data(c, 1);
    *depth = SYM_UNKNOWN;
    if ((elems && n != 1) || (!elems && t && tensor_count(t) != 1))
        return err_set(e, ERR_MODEL, "the depth has more or less than one element");
    if (elems)
        *depth = elems[0];
    else if (t && t->data)
        elems_to_i64(t->dtype, t->data, 0, 1, depth);
    if (sym_is_number(*depth) && *depth < 0)
        return err_set(e, ERR_MODEL, "the depth is %lld", (long long)*depth);
    return 0;
}

static int onehot_infer(struct infer *c, struct err *e)
{
    const struct onehot_attrs *a = c->attrs;
    int rank = infer_rank(c, 0), axis;
    int64_t dims[TENSOR_RANK_MAX + 1], depth;
    int r = infer_dtypes(c, 0, DT_NUMERIC, e);
    if (!r)
        r = infer_dtypes(c, 1, DT_NUMERIC, e);
    if (!r)
        r = read_depth(c, &depth, e);
    if (r)
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 2), e);
    if (rank == TENSOR_RANK_MAX)
        return err_set(e, ERR_UNSUPPORTED, "an output of rank %d, at most %d is supported",
                       rank + 1, TENSOR_RANK_MAX);
    r = infer_axis(a->axis, rank + 1, &axis, e);
    if (r)
        return r;
    for (int i = 0; i <= rank; i++)
        dims[i] = i == axis ? layout_dim(c, depth) : infer_dim(c, 0, i - (i > axis));
    return infer_set(c, 0, infer_dtype(c, 2), rank + 1, dims, e);
}

static int64_t onehot_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int onehot_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct onehot_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *values = call_in(c, 2);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int axis = (int)(a->axis < 0 ? a->axis + y->rank : a->axis);
    size_t size = dtype_size(y->dtype);
    if (tensor_count(values) != 2)
        return err_set(e, ERR_INPUT, "the values have %lld elements, expected two",
                       (long long)tensor_count(values));
    if (s.first >= s.last)
        return 0;
    int64_t inner = dims_product(y->dims, axis + 1, y->rank), depth = y->dims[axis];
    int64_t row = s.first / (depth * inner), rows = (s.last - 1) / (depth * inner) + 1;
    move_fill(tensor_at(y, s.first), values->data, s.last - s.first, size);
    for (; row < rows; row++) {
        int64_t index[CHUNK_ELEMS];
        for (int64_t i = 0, n; i < inner; i += n) {
            n = inner - i < CHUNK_ELEMS ? inner - i : CHUNK_ELEMS;
            elems_to_i64(x->dtype, x->data, row * inner + i, n, index);
            for (int64_t j = 0; j < n; j++) {
                int64_t k = index[j] < 0 ? index[j] + depth : index[j];
                int64_t at = k >= 0 && k < depth ? (row * depth + k) * inner + i + j : -1;
                if (at >= s.first && at < s.last)
                    move_bytes(tensor_at(y, at), tensor_at(values, 1), size);
            }
        }
    }
    return 0;
}

static const struct attr onehot_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct onehot_attrs, axis), .i = -1},
    {NULL},
};

const struct op op_onehot = {
    .domain = "",
    .name = "OneHot",
    .since = 9,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .host_in = 2,
    .attrs = onehot_attr_rows,
    .attrs_size = sizeof(struct onehot_attrs),
    .infer = onehot_infer,
    .tasks = onehot_tasks,
    .run = onehot_run,
};
