/* SPDX-License-Identifier: Apache-2.0 */
/* MaxUnpool: elements go back to where MaxPool's indices say, the rest is zero. The indices count
 * in the shape that the attributes lead to; under a larger output_shape that shape is its front
 * part.
 */
#include <string.h>

#include "ops/window.h"

struct unpool_attrs {
    struct ints kernel_shape, strides, pads;
};

/* The shape that x's dims lead to: [N, C, (d - 1) * stride - pads + kernel]. */
static int natural_dims(const struct unpool_attrs *a, struct syms *s, const int64_t *x, int rank,
                        int64_t *dims, struct err *e)
{
    struct window_lists lists = {.kernel_shape = a->kernel_shape, .strides = a->strides,
                                 .pads = a->pads};
    struct window w;
    int r = window_read(&w, &lists, rank - 2, NULL, e);
    if (r)
        return r;
    dims[0] = x[0];
    dims[1] = x[1];
    for (int k = 0; k < w.rank; k++) {
        int i = WINDOW_DIMS - w.rank + k;
        int64_t steps = sym_mul(s, sym_sub(s, x[2 + k], 1), w.stride[i]);
        dims[2 + k] = sym_add(s, steps, w.kernel[i] - w.pad[i] - w.pad_end[i]);
        if (sym_is_number(x[2 + k]) && (sym_is_unknown(dims[2 + k]) || dims[2 + k] < 0))
            return err_set(e, ERR_MODEL,
                           "spatial dim %d of the output would be negative or too large", k);
    }
    return 0;
}

static int unpool_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX], n;
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = infer_dtypes(c, 1, DT(I64), e)))
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (infer_rank(c, 1) >= 0 && infer_rank(c, 1) != rank)
        return err_set(e, ERR_MODEL, "the indices must have the input's shape");
    for (int i = 0; i < rank && infer_rank(c, 1) >= 0; i++) {
        if (sym_differ(c->syms, infer_dim(c, 0, i), infer_dim(c, 1, i)))
            return err_set(e, ERR_MODEL, "the indices must have the input's shape");
    }
    if ((r = natural_dims(c->attrs, c->syms, c->in[0]->type.dims, rank, dims, e)))
        return r;
    if (!infer_has(c, 2))
        return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    if ((r = infer_dtypes(c, 2, DT(I64), e)))
        return r;
    const int64_t *given = infer_elems(c, 2, &n);
    if (given && n != rank)
        return err_set(e, ERR_MODEL, "output_shape has %lld numbers, not %d", (long long)n, rank);
    for (int i = 0; i < rank && !given; i++)
        dims[i] = infer_fresh(c);
    return infer_set(c, 0, infer_dtype(c, 0), rank, given ? given : dims, e);
}

/* Where element `index` of the natural shape lies in y; -1 if outside. */
static int64_t place_of(const struct tensor *y, const int64_t *natural, int64_t index)
{
    int64_t at = 0, step = 1;
    for (int i = y->rank - 1; i >= 0; i--) {
        int64_t d = natural[i], k = index % d;
        if (k >= y->dims[i])
            return -1;
        at += k * step;
        step *= y->dims[i];
        index /= d;
    }
    return at;
}

static int unpool_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *index = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    int64_t natural[TENSOR_RANK_MAX], count, n = tensor_count(x);
    int r = natural_dims(c->attrs, NULL, x->dims, x->rank, natural, e);
    if (r)
        return r;
    if (tensor_bytes(y))
        memset(y->data, 0, tensor_bytes(y));
    if (!dims_count(natural, x->rank, &count))
        return err_set(e, ERR_LIMIT, "the output is too large");
    if (tensor_count(index) != n)
        return err_set(e, ERR_INPUT, "the indices must have the input's shape");
    size_t size = dtype_size(x->dtype);
    for (int64_t i = 0; i < n; i++) {
        int64_t at, to;
        r = norm_index(((const int64_t *)index->data)[i], count, "index", &at, e);
        if (r)
            return r;
        to = tensor_count(y) ? place_of(y, natural, at) : -1;
        if (to < 0)
            return err_set(e, ERR_INPUT, "index %lld lies outside of output_shape", (long long)at);
        memcpy((char *)y->data + (size_t)to * size, (const char *)x->data + (size_t)i * size, size);
    }
    return 0;
}

static const struct attr unpool_attr_rows[] = {
    {"kernel_shape", ATTR_INTS, offsetof(struct unpool_attrs, kernel_shape), .required = true},
    {"strides", ATTR_INTS, offsetof(struct unpool_attrs, strides)},
    {"pads", ATTR_INTS, offsetof(struct unpool_attrs, pads)},
    {NULL},
};

const struct op op_maxunpool = {
    .domain = "", .name = "MaxUnpool", .since = 9,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE, .host_in = 4,
    .attrs = unpool_attr_rows, .attrs_size = sizeof(struct unpool_attrs),
    .infer = unpool_infer, .run = unpool_run,
};
