/* SPDX-License-Identifier: Apache-2.0 */
/* Gather, GatherElements, GatherND. Indices are checked as they are read: no element outside the
 * data is touched, whatever they are.
 */
#include "graph/attrs.h"
#include "ops/layout.h"

static const struct attr gather_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_gather, axis)},
    {NULL},
};

static int gather_axis(const struct call *c)
{
    const struct attrs_gather *a = c->attrs;
    return (int)(a->axis < 0 ? a->axis + call_in(c, 0)->rank : a->axis);
}

/* ---- Gather -----------------------------------------------------------------------------------
 */

/* Contents picked from a 1-D input by known indices. */
static void pick_elems(struct infer *c)
{
    int64_t n, count, out[FACT_ELEMS_MAX];
    const int64_t *elems = infer_elems(c, 0, &n);
    if (!elems)
        return;
    const int64_t *indices = infer_numbers(c, 1, &count);
    if (!indices || count > FACT_ELEMS_MAX)
        return;
    for (int64_t i = 0; i < count; i++) {
        int64_t k = indices[i] < 0 ? indices[i] + n : indices[i];
        if (k < 0 || k >= n)
            return;
        out[i] = elems[k];
    }
    infer_set_elems(c, 0, out, count);
}

static int gather_infer(struct infer *c, struct err *e)
{
    const struct attrs_gather *a = c->attrs;
    int rank = infer_rank(c, 0), count = infer_rank(c, 1), axis, n = 0;
    int64_t dims[TENSOR_RANK_MAX];
    int r = infer_dtypes(c, 1, DT(I32) | DT(I64), e);
    if (r)
        return r;
    if (rank < 0 || count < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    r = infer_axis(a->axis, rank, &axis, e);
    if (r)
        return r;
    if (rank - 1 + count > TENSOR_RANK_MAX)
        return err_set(e, ERR_UNSUPPORTED, "an output of rank %d, at most %d is supported",
                       rank - 1 + count, TENSOR_RANK_MAX);
    for (int i = 0; i < axis; i++)
        dims[n++] = infer_dim(c, 0, i);
    for (int i = 0; i < count; i++)
        dims[n++] = infer_dim(c, 1, i);
    for (int i = axis + 1; i < rank; i++)
        dims[n++] = infer_dim(c, 0, i);
    r = infer_set(c, 0, infer_dtype(c, 0), n, dims, e);
    if (!r && rank == 1 && c->syms)
        pick_elems(c);
    return r;
}

static int64_t gather_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int gather_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *indices = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int axis = gather_axis(c);
    int64_t inner = dims_product(x->dims, axis + 1, x->rank), length = x->dims[axis];
    int64_t count = tensor_count(indices), k;
    size_t size = dtype_size(x->dtype);
    if (s.first >= s.last)
        return 0;
    int64_t unit = s.first / inner, at = s.first % inner, row = unit / count, i = unit % count;
    char *o = tensor_at(y, s.first);
    for (int64_t left = s.last - s.first; left > 0; at = 0) {
        int64_t n = inner - at < left ? inner - at : left;
        int r = norm_index(index_at(indices, i), length, "index", &k, e);
        if (r)
            return r;
        move_bytes(o, (const char *)x->data + (size_t)((row * length + k) * inner + at) * size,
                   (size_t)n * size);
        o += (size_t)n * size;
        left -= n;
        if (++i == count) {
            i = 0;
            row++;
        }
    }
    return 0;
}

const struct op op_gather = {
    .domain = "",
    .name = "Gather",
    .since = 1,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_EXACT,
    .attrs = gather_attrs,
    .attrs_size = sizeof(struct attrs_gather),
    .infer = gather_infer,
    .tasks = gather_tasks,
    .run = gather_run,
};

/* TorchEmbedding: rows of a table; its padding index and scale are of use to training alone. */
static const struct attr embedding_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_gather, axis), .since = 2},
    {NULL},
};

const struct op op_ms_torchembedding = {
    .domain = "com.microsoft",
    .name = "TorchEmbedding",
    .since = 1,
    .in_min = 2,
    .in_max = 4,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_EXACT,
    .attrs = embedding_attrs,
    .attrs_size = sizeof(struct attrs_gather),
    .infer = gather_infer,
    .tasks = gather_tasks,
    .run = gather_run,
};

/* ---- GatherElements ---------------------------------------------------------------------------
 */

static int elements_infer(struct infer *c, struct err *e)
{
    const struct attrs_gather *a = c->attrs;
    int rank = infer_rank(c, 0), count = infer_rank(c, 1), axis;
    int r = infer_dtypes(c, 1, DT(I32) | DT(I64), e);
    if (r)
        return r;
    if (rank >= 0 && count >= 0 && rank != count)
        return err_set(e, ERR_MODEL, "the indices have rank %d, the data %d", count, rank);
    if (rank < 0)
        rank = count;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    r = infer_axis(a->axis, rank, &axis, e);
    if (r)
        return r;
    for (int i = 0; i < rank && infer_rank(c, 0) >= 0 && count >= 0; i++) {
        int64_t d = infer_dim(c, 0, i), n = infer_dim(c, 1, i);
        if (i != axis && sym_is_number(d) && sym_is_number(n) && n > d)
            return err_set(e, ERR_MODEL, "dim %d of the indices is %lld, of the data %lld", i,
                           (long long)n, (long long)d);
    }
    if (count < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    return infer_like(c, 0, 1, infer_dtype(c, 0), e);
}

static int elements_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *indices = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int axis = gather_axis(c), last = y->rank - 1;
    int64_t strides[TENSOR_RANK_MAX], at[TENSOR_RANK_MAX], base = 0, k, rest = s.first;
    size_t size = dtype_size(x->dtype);
    if (s.first >= s.last)
        return 0;
    dims_strides(x->dims, x->rank, strides);
    for (int i = last; i >= 0; i--) {
        if (i != axis && y->dims[i] > x->dims[i])
            return err_set(e, ERR_INPUT, "dim %d of the indices is %lld, of the data %lld", i,
                           (long long)y->dims[i], (long long)x->dims[i]);
        at[i] = rest % y->dims[i];
        rest /= y->dims[i];
        base += i == axis ? 0 : at[i] * strides[i];
    }
    /* base is the place of these coordinates at 0 on the axis. */
    char *o = tensor_at(y, s.first);
    for (int64_t j = s.first; j < s.last; j++, o += size) {
        int r = norm_index(index_at(indices, j), x->dims[axis], "index", &k, e);
        if (r)
            return r;
        move_bytes(o, (const char *)x->data + (size_t)(base + k * strides[axis]) * size, size);
        for (int i = last; i >= 0; i--) {
            int64_t step = i == axis ? 0 : strides[i];
            base += step;
            if (++at[i] < y->dims[i])
                break;
            base -= step * y->dims[i];
            at[i] = 0;
        }
    }
    return 0;
}

const struct op op_gatherelements = {
    .domain = "",
    .name = "GatherElements",
    .since = 11,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = gather_attrs,
    .attrs_size = sizeof(struct attrs_gather),
    .infer = elements_infer,
    .tasks = gather_tasks,
    .run = elements_run,
};

/* ---- GatherND ---------------------------------------------------------------------------------
 */

struct nd_attrs {
    int64_t batch_dims;
};

static int nd_infer(struct infer *c, struct err *e)
{
    const struct nd_attrs *a = c->attrs;
    int rank = infer_rank(c, 0), count = infer_rank(c, 1), n = 0;
    int64_t dims[2 * TENSOR_RANK_MAX], b = a->batch_dims;
    int r = infer_dtypes(c, 1, DT(I32) | DT(I64), e);
    if (r)
        return r;
    if (rank < 0 || count < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank < 1 || count < 1)
        return err_set(e, ERR_MODEL, "data of rank %d and indices of rank %d, expected at least 1",
                       rank, count);
    if (b < 0 || b >= rank || b >= count)
        return err_set(e, ERR_MODEL, "batch_dims is %lld, with ranks %d and %d", (long long)b, rank,
                       count);
    int64_t tuple = infer_dim(c, 1, count - 1);
    if (!sym_is_number(tuple))
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (tuple < 0 || tuple > rank - b)
        return err_set(e, ERR_MODEL, "indices of %lld numbers into %lld dims", (long long)tuple,
                       (long long)(rank - b));
    for (int i = 0; i < b; i++)
        if (sym_differ(c->syms, infer_dim(c, 0, i), infer_dim(c, 1, i)))
            return err_set(e, ERR_MODEL, "batch dim %d differs between data and indices", i);
    for (int i = 0; i < count - 1; i++)
        dims[n++] = infer_dim(c, 1, i);
    for (int i = (int)(b + tuple); i < rank; i++)
        dims[n++] = infer_dim(c, 0, i);
    return infer_set(c, 0, infer_dtype(c, 0), n, dims, e);
}

/* Where the slice of tuple `unit` starts in the data, in elements. */
static int nd_offset(const struct call *c, int64_t unit, int64_t inner, int64_t *offset,
                     struct err *e)
{
    const struct nd_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *indices = call_in(c, 1);
    int b = (int)a->batch_dims;
    int64_t tuple = indices->dims[indices->rank - 1], k;
    int64_t per_batch = dims_product(indices->dims, b, indices->rank - 1), at = unit / per_batch;
    for (int i = 0; i < tuple; i++) {
        int r = norm_index(index_at(indices, unit * tuple + i), x->dims[b + i], "index", &k, e);
        if (r)
            return r;
        at = at * x->dims[b + i] + k;
    }
    *offset = at * inner;
    return 0;
}

static int nd_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct nd_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *indices = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int b = (int)a->batch_dims;
    size_t size = dtype_size(x->dtype);
    if (s.first >= s.last)
        return 0;
    for (int i = 0; i < b; i++)
        if (x->dims[i] != indices->dims[i])
            return err_set(e, ERR_INPUT, "batch dim %d is %lld in the data, %lld in the indices", i,
                           (long long)x->dims[i], (long long)indices->dims[i]);
    int64_t inner = dims_product(x->dims, b + (int)indices->dims[indices->rank - 1], x->rank);
    int64_t unit = s.first / inner, at = s.first % inner, offset;
    char *o = tensor_at(y, s.first);
    for (int64_t left = s.last - s.first; left > 0; at = 0) {
        int64_t n = inner - at < left ? inner - at : left;
        int r = nd_offset(c, unit++, inner, &offset, e);
        if (r)
            return r;
        move_bytes(o, (const char *)x->data + (size_t)(offset + at) * size, (size_t)n * size);
        o += (size_t)n * size;
        left -= n;
    }
    return 0;
}

static const struct attr nd_attr_rows[] = {
    {"batch_dims", ATTR_INT, offsetof(struct nd_attrs, batch_dims), .since = 12},
    {NULL},
};

const struct op op_gathernd = {
    .domain = "",
    .name = "GatherND",
    .since = 11,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = nd_attr_rows,
    .attrs_size = sizeof(struct nd_attrs),
    .infer = nd_infer,
    .tasks = gather_tasks,
    .run = nd_run,
};

const struct op op_ms_gathernd = {
    .domain = "com.microsoft",
    .name = "GatherND",
    .since = 1,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = nd_attr_rows,
    .attrs_size = sizeof(struct nd_attrs),
    .infer = nd_infer,
    .tasks = gather_tasks,
    .run = nd_run,
};
