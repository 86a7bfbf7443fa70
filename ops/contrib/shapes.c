/* SPDX-License-Identifier: Apache-2.0 */
/* com.microsoft's operators that only move elements: ExpandDims, UnfoldTensor (windows along a dim
 * as a new last dim), RemovePadding and RestorePadding (rows of tokens without and with what pads
 * them).
 */
#include <string.h>

#include "ops/layout.h"

/* ---- ExpandDims ------------------------------------------------------------------------------ */

static int expand_infer(struct infer *c, struct err *e)
{
    int64_t n, dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), at, r = infer_dtypes(c, 1, DT(I32) | DT(I64), e);
    if (r)
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank == TENSOR_RANK_MAX)
        return err_set(e, ERR_UNSUPPORTED, "an output of rank %d", rank + 1);
    const int64_t *axis = infer_numbers(c, 1, &n);
    if (axis && n != 1)
        return err_set(e, ERR_MODEL, "the axis has %lld elements, expected one", (long long)n);
    if (axis && (r = infer_axis(*axis, rank + 1, &at, e)))
        return r;
    for (int k = 0, from = 0; k <= rank; k++)
        dims[k] = !axis ? infer_fresh(c) : k == at ? 1 : infer_dim(c, 0, from++);
    r = infer_set(c, 0, infer_dtype(c, 0), rank + 1, dims, e);
    if (r == 0)
        layout_pass_elems(c);
    return r;
}

const struct op op_ms_expanddims = {
    .domain = "com.microsoft", .name = "ExpandDims", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_EXACT | OP_VIEW, .host_in = 2,
    .infer = expand_infer,
};

/* ---- UnfoldTensor ---------------------------------------------------------------------------- */

struct unfold_attrs {
    int64_t dim, size, step;
};

static int unfold_infer(struct infer *c, struct err *e)
{
    const struct unfold_attrs *a = c->attrs;
    int64_t dims[TENSOR_RANK_MAX];
    int axis, rank = infer_rank(c, 0);
    if (a->size < 0 || a->step < 1)
        return err_set(e, ERR_MODEL, "size is %lld, step %lld", (long long)a->size,
                       (long long)a->step);
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank == TENSOR_RANK_MAX)
        return err_set(e, ERR_UNSUPPORTED, "an output of rank %d", rank + 1);
    int r = infer_axis(a->dim, rank, &axis, e);
    if (r)
        return r;
    memcpy(dims, c->in[0]->type.dims, sizeof dims);
    if (sym_is_number(dims[axis]) && dims[axis] < a->size)
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "windows of %lld in a dim of %lld",
                       (long long)a->size, (long long)dims[axis]);
    dims[rank] = a->size;
    dims[axis] = sym_add(c->syms, sym_floor_div(c->syms, sym_sub(c->syms, dims[axis], a->size),
                                                a->step), 1);
    return infer_set(c, 0, infer_dtype(c, 0), rank + 1, dims, e);
}

static int64_t move_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int unfold_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct unfold_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int64_t strides[TENSOR_RANK_MAX];
    int axis, r = infer_axis(a->dim, x->rank, &axis, e);
    struct move m;
    if (r || s.first >= s.last)
        return r;
    dims_strides(x->dims, x->rank, strides);
    strides[x->rank] = strides[axis];
    /* One window alone may have any step. */
    strides[axis] = y->dims[axis] > 1 ? strides[axis] * a->step : 0;
    move_init(&m, dtype_size(x->dtype), y->rank, y->dims, strides);
    move_run(&m, x->data, y->data, s.first, s.last);
    return 0;
}

static const struct attr unfold_attr_rows[] = {
    {"dim", ATTR_INT, offsetof(struct unfold_attrs, dim), .i = -1},
    {"size", ATTR_INT, offsetof(struct unfold_attrs, size), .required = true},
    {"step", ATTR_INT, offsetof(struct unfold_attrs, step), .i = 1},
    {NULL},
};

const struct op op_ms_unfoldtensor = {
    .domain = "com.microsoft", .name = "UnfoldTensor", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = unfold_attr_rows, .attrs_size = sizeof(struct unfold_attrs),
    .infer = unfold_infer, .tasks = move_tasks, .run = unfold_run,
};

/* ---- RemovePadding --------------------------------------------------------------------------- */

static int remove_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 1, DT(I32), e);
    if (r)
        return r;
    if (rank >= 0 && rank != 3)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 3", rank);
    if (infer_rank(c, 1) >= 0 &&
        (infer_rank(c, 1) != 1 ||
         (rank == 3 && sym_differ(c->syms, infer_dim(c, 1, 0), infer_dim(c, 0, 0)))))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                       "there must be one count for each sequence");
    int64_t rows[2] = {infer_fresh(c), rank < 0 ? infer_fresh(c) : infer_dim(c, 0, 2)}, one = 1;
    int64_t offsets[2], sums;
    for (int k = 0; k < 2; k++)
        offsets[k] = rank < 0 ? infer_fresh(c) : infer_dim(c, 0, k);
    sums = sym_add(c->syms, offsets[0], 1);
    if ((r = infer_set(c, 0, infer_dtype(c, 0), 2, rows, e)) ||
        (r = infer_set(c, 1, DTYPE_I32, 2, offsets, e)) ||
        (r = infer_set(c, 2, DTYPE_I32, 1, &sums, e)))
        return r;
    return infer_set(c, 3, DTYPE_I32, 1, &one, e);
}

/* Places of the tokens, then of the padding, by counts that were checked; sums of the counts. */
static void list_tokens(const struct tensor *x, const int32_t *counts, int32_t *offsets,
                        int32_t *sums)
{
    int64_t token = 0, pad = 0, rows = x->dims[0], length = x->dims[1];
    for (int64_t b = 0; b < rows; b++)
        pad += counts[b];
    for (int64_t b = 0; b < rows; b++) {
        if (sums)
            sums[b] = (int32_t)token;
        for (int64_t i = 0; offsets && i < length; i++)
            offsets[i < counts[b] ? token + i : pad++] = (int32_t)(b * length + i);
        token += counts[b];
    }
    if (sums)
        sums[rows] = (int32_t)token;
}

static int remove_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    const int32_t *counts = call_in(c, 1)->data;
    int64_t total = 0, most = 0, sums = x->dims[0] + 1, one = 1, length = x->dims[1];
    if (x->rank != 3 || call_in(c, 1)->rank != 1 || call_in(c, 1)->dims[0] != x->dims[0])
        return err_set(e, ERR_INPUT,
                       "the input is not of rank 3, or has not one count for each sequence");
    for (int64_t b = 0; b < x->dims[0]; b++) {
        if (counts[b] < 0 || counts[b] > length)
            return err_set(e, ERR_INPUT, "%d tokens in a sequence of %lld", (int)counts[b],
                           (long long)length);
        total += counts[b];
        most = counts[b] > most ? counts[b] : most;
    }
    if (x->dims[0] && length > INT32_MAX / x->dims[0])
        return err_set(e, ERR_LIMIT, "%lld tokens are too many", (long long)length);
    const int64_t rows[2] = {total, x->dims[2]};
    int r = call_output(c, 0, x->dtype, 2, rows, e);
    r = r ? r : call_output(c, 1, DTYPE_I32, 2, x->dims, e);
    r = r ? r : call_output(c, 2, DTYPE_I32, 1, &sums, e);
    r = r ? r : call_output(c, 3, DTYPE_I32, 1, &one, e);
    if (r)
        return r;
    list_tokens(x, counts, call_out(c, 1) ? call_out(c, 1)->data : NULL,
                call_out(c, 2) ? call_out(c, 2)->data : NULL);
    if (call_out(c, 3))
        *(int32_t *)call_out(c, 3)->data = (int32_t)most;
    size_t row = (size_t)x->dims[2] * dtype_size(x->dtype);
    char *y = call_out(c, 0) ? call_out(c, 0)->data : NULL;
    for (int64_t b = 0; y && row && b < x->dims[0]; b++) {
        if (counts[b])
            memcpy(y, (const char *)x->data + (size_t)(b * length) * row, (size_t)counts[b] * row);
        y += (size_t)counts[b] * row;
    }
    return 0;
}

const struct op op_ms_removepadding = {
    .domain = "com.microsoft", .name = "RemovePadding", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 4, .flags = OP_PURE | OP_DYNAMIC,
    .host_in = 2,
    .infer = remove_infer, .run = remove_run,
};

/* ---- RestorePadding -------------------------------------------------------------------------- */

static int restore_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0), from = infer_rank(c, 1), r = infer_dtypes(c, 1, DT(I32), e);
    if (r)
        return r;
    if ((rank >= 0 && rank != 2) || (from >= 0 && from != 2))
        return err_set(e, ERR_MODEL, "inputs of rank %d and %d, expected 2", rank, from);
    int64_t dims[3];
    for (int k = 0; k < 2; k++)
        dims[k] = from < 0 ? infer_fresh(c) : infer_dim(c, 1, k);
    dims[2] = rank < 0 ? infer_fresh(c) : infer_dim(c, 0, 1);
    return infer_set(c, 0, infer_dtype(c, 0), 3, dims, e);
}

static int restore_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *offsets = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    int64_t places = tensor_count(offsets), n = x->dims[1], at;
    if (x->dims[0] > places)
        return err_set(e, ERR_INPUT, "%lld tokens for %lld places", (long long)x->dims[0],
                       (long long)places);
    memset(y->data, 0, tensor_bytes(y));
    for (int64_t i = 0; i < x->dims[0]; i++) {
        int r = norm_index(index_at(offsets, i), places, "token_offset", &at, e);
        if (r)
            return r;
        if (n)
            memcpy(tensor_at(y, at * n), tensor_at(x, i * n), (size_t)n * dtype_size(x->dtype));
    }
    return 0;
}

const struct op op_ms_restorepadding = {
    .domain = "com.microsoft", .name = "RestorePadding", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = restore_infer, .run = restore_run,
};
