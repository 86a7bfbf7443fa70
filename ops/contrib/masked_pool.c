/* SPDX-License-Identifier: Apache-2.0 */
/* MaxpoolWithMask: MaxPool whose windows end, along the last dim, at the first masked element (mask
 * 0; the first element of a plane is never masked in more than one dim). A window without elements
 * gives the least float. A mask of fewer planes serves them in turn.
 */
#include <float.h>
#include <string.h>

#include "ops/window.h"

struct pool_attrs {
    struct str auto_pad;
    struct ints kernel_shape, strides, pads, dilations;
    int64_t storage_order;
};

static int pool_infer(struct infer *c, struct err *e)
{
    const struct pool_attrs *a = c->attrs;
    struct window_lists lists = WINDOW_LISTS(a);
    int64_t dims[TENSOR_RANK_MAX];
    struct window w;
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT(F32), e);
    if (r || (r = infer_dtypes(c, 1, DT(I32), e)))
        return r;
    if (rank < 0 || infer_rank(c, 1) < 0)
        return infer_unknown(c, 0, DTYPE_F32, e);
    if (infer_rank(c, 1) != rank)
        return err_set(e, ERR_MODEL, "an input of rank %d and a mask of rank %d", rank,
                       infer_rank(c, 1));
    if ((r = window_read(&w, &lists, rank - 2, NULL, e)) ||
        (r = window_size(&w, c->syms, c->in[0]->type.dims + 2, e)))
        return r;
    for (int k = 2; k < rank; k++)
        if (sym_differ(c->syms, infer_dim(c, 0, k), infer_dim(c, 1, k)))
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                           "the mask differs from the input in dim %d", k);
    memcpy(dims, c->in[0]->type.dims, 2 * sizeof *dims);
    memcpy(dims + 2, window_out(&w), (size_t)w.rank * sizeof *dims);
    return infer_set(c, 0, DTYPE_F32, rank, dims, e);
}

static int window_of(const struct call *c, struct window *w, struct err *e)
{
    const struct pool_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct window_lists lists = WINDOW_LISTS(a);
    int r = window_read(w, &lists, x->rank - 2, NULL, e);
    if (r == 0)
        r = window_size(w, NULL, x->dims + 2, e);
    if (r == 0)
        window_place(w);
    return r;
}

static int64_t pool_tasks(const struct call *c)
{
    const struct tensor *y = call_out(c, 0);
    int64_t planes = dims_product(y->dims, 0, 2);
    return planes ? tasks_for(planes, tensor_count(y) / planes * 8) : 1;
}

/* The elements [*from, *to) of dim i that window o covers. */
static void reach(const struct window *w, int i, int64_t o, int64_t *from, int64_t *to)
{
    *from = o * w->stride[i] - w->pad[i];
    *to = *from + w->kernel[i];
    *to = *to < w->in[i] ? *to : w->in[i];
    *from = *from > 0 ? *from : 0;
}

static float pool_window(const struct window *w, const float *x, const int32_t *mask,
                         const int64_t *o)
{
    int64_t from[WINDOW_DIMS], to[WINDOW_DIMS];
    float best = -FLT_MAX;
    for (int i = 0; i < WINDOW_DIMS; i++)
        reach(w, i, o[i], &from[i], &to[i]);
    for (int64_t z = from[0]; z < to[0]; z++)
        for (int64_t y = from[1]; y < to[1]; y++)
            for (int64_t k = from[2]; k < to[2]; k++) {
                int64_t at = (z * w->in[1] + y) * w->in[2] + k;
                if (mask[at] == 0 && (at > 0 || w->rank == 1))
                    break;
                best = x[at] > best ? x[at] : best;
            }
    return best;
}

static int pool_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *mask = call_in(c, 1);
    struct window w;
    int r = window_of(c, &w, e);
    int64_t planes = dims_product(x->dims, 0, 2), masks = dims_product(mask->dims, 0, 2);
    int64_t first, last, unused, in = dims_product(x->dims, 2, x->rank), o[WINDOW_DIMS];
    if (r || tensor_count(call_out(c, 0)) == 0)
        return r;
    if (masks == 0)
        return err_set(e, ERR_INPUT, "the mask has no planes");
    task_range(begin, pool_tasks(c), planes, &first, &unused);
    task_range(end - 1, pool_tasks(c), planes, &unused, &last);
    float *y = (float *)call_out(c, 0)->data + first * window_product(w.out);
    for (int64_t p = first; p < last; p++)
        for (o[0] = 0; o[0] < w.out[0]; o[0]++)
            for (o[1] = 0; o[1] < w.out[1]; o[1]++)
                for (o[2] = 0; o[2] < w.out[2]; o[2]++)
                    *y++ = pool_window(&w, (const float *)x->data + p * in,
                                       (const int32_t *)mask->data + p % masks * in, o);
    return 0;
}

static const struct attr pool_attr_rows[] = {
    {"auto_pad", ATTR_STRING, offsetof(struct pool_attrs, auto_pad), .s = "NOTSET"},
    {"kernel_shape", ATTR_INTS, offsetof(struct pool_attrs, kernel_shape)},
    {"strides", ATTR_INTS, offsetof(struct pool_attrs, strides)},
    {"pads", ATTR_INTS, offsetof(struct pool_attrs, pads)},
    {"storage_order", ATTR_INT, offsetof(struct pool_attrs, storage_order)},
    {NULL},
};

const struct op op_ms_maxpoolwithmask = {
    .domain = "com.microsoft", .name = "MaxpoolWithMask", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = pool_attr_rows, .attrs_size = sizeof(struct pool_attrs),
    .infer = pool_infer, .tasks = pool_tasks, .run = pool_run,
};
