/* SPDX-License-Identifier: Apache-2.0 */
/* CenterCropPad: half of what is too much or too little on each side, the odd one at the end. */
#include "ops/pad.h"

struct center_attrs {
    struct ints axes;
};

/* The axes that the shape's elements are for, all where the attribute is absent. */
static int read_axes(const struct center_attrs *a, int rank, int *axes, int64_t *n, struct err *e)
{
    *n = a->axes.v ? a->axes.n : rank;
    for (int i = 0; i < rank; i++)
        axes[i] = i;
    return a->axes.v ? layout_axes(a->axes.v, a->axes.n, rank, axes, e) : 0;
}

static int center_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0), axes[TENSOR_RANK_MAX];
    int64_t dims[TENSOR_RANK_MAX], n, count;
    int r = infer_dtypes(c, 1, DT(I32) | DT(I64), e);
    if (r)
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    r = read_axes(c->attrs, rank, axes, &count, e);
    if (r)
        return r;
    const int64_t *elems = infer_elems(c, 1, &n);
    if (elems && n != count)
        return err_set(e, ERR_MODEL, "a shape of %lld dims for %lld axes", (long long)n,
                       (long long)count);
    memcpy(dims, c->in[0]->type.dims, sizeof dims);
    for (int64_t i = 0; i < count; i++)
        dims[axes[i]] = layout_dim(c, elems ? elems[i] : SYM_UNKNOWN);
    return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

static int64_t center_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int center_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    int64_t before[TENSOR_RANK_MAX], after[TENSOR_RANK_MAX];
    for (int i = 0; i < x->rank; i++) {
        int64_t more = y->dims[i] - x->dims[i];
        before[i] = more / 2;
        after[i] = more - before[i];
    }
    return pad_elements(x, y, PAD_CONSTANT, before, after, NULL, span_out(c, begin, end, 1), e);
}

static const struct attr center_attr_rows[] = {
    {"axes", ATTR_INTS, offsetof(struct center_attrs, axes)},
    {NULL},
};

const struct op op_centercroppad = {
    .domain = "",
    .name = "CenterCropPad",
    .since = 18,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .host_in = 2,
    .attrs = center_attr_rows,
    .attrs_size = sizeof(struct center_attrs),
    .infer = center_infer,
    .tasks = center_tasks,
    .run = center_run,
};
