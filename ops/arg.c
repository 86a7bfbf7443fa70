/* SPDX-License-Identifier: Apache-2.0 */
/* ArgMax and ArgMin: the index of the greatest or least element along an axis. */
#include <stddef.h>

#include "graph/attrs.h"
#include "kernels/reduce.h"
#include "ops/common.h"

static const struct attr arg_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_arg, axis)},
    {"keepdims", ATTR_INT, offsetof(struct attrs_arg, keepdims), .i = 1},
    {"select_last_index", ATTR_INT, offsetof(struct attrs_arg, select_last_index), .since = 12},
    {0},
};

static int arg_infer(struct infer *c, struct err *e)
{
    const struct attrs_arg *at = c->attrs;
    int rank = infer_rank(c, 0), n = 0, axis, rc = infer_dtypes(c, 0, DT_NUMERIC, e);
    int64_t dims[TENSOR_RANK_MAX];
    if (rc < 0)
        return rc;
    if (rank < 0)
        return infer_unknown(c, 0, DTYPE_I64, e);
    rc = infer_axis(at->axis, rank, &axis, e);
    if (rc < 0)
        return rc;
    if (infer_dim(c, 0, axis) == 0)
        return err_set(e, ERR_INPUT, "axis %d has no elements", axis);
    for (int k = 0; k < rank; k++)
        if (k != axis)
            dims[n++] = infer_dim(c, 0, k);
        else if (at->keepdims)
            dims[n++] = 1;
    return infer_set(c, 0, DTYPE_I64, n, dims, e);
}

struct view {
    int64_t outer, n, inner;
};

static struct view view_of(const struct call *c)
{
    const struct attrs_arg *at = c->attrs;
    const struct tensor *x = call_in(c, 0);
    int axis = (int)(at->axis < 0 ? at->axis + x->rank : at->axis);
    return (struct view){dims_product(x->dims, 0, axis), x->dims[axis],
                         dims_product(x->dims, axis + 1, x->rank)};
}

static int64_t arg_tasks(const struct call *c)
{
    struct view v = view_of(c);
    return tasks_for(v.outer, v.n * v.inner);
}

/* Does b beat a? A NaN beats all but a NaN. */
static bool beats(enum dtype t, const char *a, const char *b, bool least)
{
    if (dtype_is_float(t)) {
        double x = dtype_load_f64(t, a), y = dtype_load_f64(t, b);
        return x != x ? false : y != y ? true : least ? y < x : y > x;
    }
    int64_t x = dtype_load_i64(t, a), y = dtype_load_i64(t, b);
    if (t == DTYPE_U64)
        return least ? (uint64_t)y < (uint64_t)x : (uint64_t)y > (uint64_t)x;
    return least ? y < x : y > x;
}

static int64_t find(enum dtype t, const char *x, int64_t n, size_t step, bool least, bool last)
{
    int64_t best = last ? n - 1 : 0;
    for (int64_t k = 1; k < n; k++) {
        int64_t i = last ? n - 1 - k : k;
        if (beats(t, x + (size_t)best * step, x + (size_t)i * step, least))
            best = i;
    }
    return best;
}

static int arg_run(struct call *c, int64_t begin, int64_t end, bool least)
{
    const struct attrs_arg *at = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct view v = view_of(c);
    int64_t tasks = arg_tasks(c), from, to, unused, *y = call_out(c, 0)->data;
    task_range(begin, tasks, v.outer, &from, &unused);
    task_range(end - 1, tasks, v.outer, &unused, &to);
    bool last = at->select_last_index;
    size_t size = dtype_size(x->dtype);
    if (x->dtype == DTYPE_F32 && v.inner == 1) {
        reduce_f32_pick()->arg_rows((const float *)x->data + from * v.n, y + from, (size_t)(to - from),
                                    (size_t)v.n, least, last);
        return 0;
    }
    for (int64_t o = from; o < to; o++) {
        const char *base = (const char *)x->data + (size_t)(o * v.n * v.inner) * size;
        if (x->dtype == DTYPE_F32)
            reduce_f32_arg_axis((const float *)base, y + o * v.inner, (size_t)v.n, (size_t)v.inner, 0,
                                (size_t)v.inner, least, last);
        for (int64_t i = 0; x->dtype != DTYPE_F32 && i < v.inner; i++)
            y[o * v.inner + i] = find(x->dtype, base + (size_t)i * size, v.n, (size_t)v.inner * size,
                                      least, last);
    }
    return 0;
}

static int argmax_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return arg_run(c, begin, end, false);
}

static int argmin_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return arg_run(c, begin, end, true);
}

#define ARG_ROW(row_name, run_fn)                                                                   \
    {                                                                                               \
        .domain = "", .name = row_name, .since = 1, .in_min = 1, .in_max = 1, .out_min = 1,         \
        .out_max = 1, .flags = OP_PURE, .attrs = arg_attrs, .attrs_size = sizeof(struct attrs_arg), \
        .infer = arg_infer, .tasks = arg_tasks, .kernels = "reduce", .run = run_fn,                 \
    }
const struct op op_argmax = ARG_ROW("ArgMax", argmax_run);
const struct op op_argmin = ARG_ROW("ArgMin", argmin_run);
