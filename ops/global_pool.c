/* SPDX-License-Identifier: Apache-2.0 */
/* GlobalAveragePool, GlobalMaxPool, GlobalLpPool: one number a plane. f32 averages and maxima are
 * rows of kernels/reduce.h; the others accumulate in double.
 */
#include <math.h>

#include "kernels/reduce.h"
#include "ops/common.h"

/* p was a float in version 1. */
struct globallp_attrs {
    int64_t p;
    float p1;
};

static int global_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r)
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank < 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, less than 2", rank);
    for (int i = 0; i < rank; i++)
        dims[i] = i < 2 ? infer_dim(c, 0, i) : 1;
    return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

/* Elements of a plane; planes are the output's elements. */
static int64_t plane_size(const struct call *c)
{
    const struct tensor *x = call_in(c, 0);
    return tensor_count(call_out(c, 0)) ? dims_product(x->dims, 2, x->rank) : 0;
}

static int64_t global_tasks(const struct call *c)
{
    return tasks_for(tensor_count(call_out(c, 0)), plane_size(c) / 2 + 1);
}

enum global_kind { GLOBAL_AVERAGE, GLOBAL_MAX, GLOBAL_NORM };

static double plane_value(const struct tensor *x, int64_t first, int64_t n, enum global_kind kind,
                          double p)
{
    double v[CHUNK_ELEMS], sum = 0, most = -INFINITY;
    for (int64_t i = 0; i < n; i += CHUNK_ELEMS) {
        int64_t m = n - i < CHUNK_ELEMS ? n - i : CHUNK_ELEMS;
        elems_to_f64(x->dtype, x->data, first + i, m, v);
        for (int64_t k = 0; k < m; k++) {
            if (kind == GLOBAL_MAX)
                most = v[k] > most || v[k] != v[k] ? v[k] : most;
            else if (kind == GLOBAL_AVERAGE)
                sum += v[k];
            else
                sum += p == 2 ? v[k] * v[k] : p == 1 ? fabs(v[k]) : pow(fabs(v[k]), p);
        }
    }
    switch (kind) {
    case GLOBAL_MAX:
        return most;
    case GLOBAL_AVERAGE:
        return sum / (double)n;
    default:
        return p == 2 ? sqrt(sum) : p == 1 ? sum : pow(sum, 1 / p);
    }
}

static int global_run(struct call *c, int64_t begin, int64_t end, enum global_kind kind, double p)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    int64_t planes = tensor_count(y), n = plane_size(c), tasks = global_tasks(c);
    int64_t first, last, unused;
    if (planes == 0)
        return 0;
    task_range(begin, tasks, planes, &first, &unused);
    task_range(end - 1, tasks, planes, &unused, &last);
    if (x->dtype == DTYPE_F32 && kind != GLOBAL_NORM) {
        reduce_f32_pick()->rows(kind == GLOBAL_MAX ? REDUCE_MAX : REDUCE_MEAN,
                                (const float *)x->data + first * n, (float *)y->data + first,
                                (size_t)(last - first), (size_t)n);
        return 0;
    }
    for (int64_t i = first; i < last; i++) {
        double v = plane_value(x, i * n, n, kind, p);
        elems_from_f64(y->dtype, y->data, i, 1, &v);
    }
    return 0;
}

static int average_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return global_run(c, begin, end, GLOBAL_AVERAGE, 0);
}

static int max_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return global_run(c, begin, end, GLOBAL_MAX, 0);
}

static double norm_of(const struct node *n, const struct globallp_attrs *a)
{
    return n->opset < 2 ? a->p1 : (double)a->p;
}

static int norm_infer(struct infer *c, struct err *e)
{
    if (!(norm_of(c->node, c->attrs) > 0))
        return err_set(e, ERR_MODEL, "p must be above zero");
    return global_infer(c, e);
}

static int norm_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return global_run(c, begin, end, GLOBAL_NORM, norm_of(c->node, c->attrs));
}

static const struct attr norm_attrs[] = {
    {"p", ATTR_FLOAT, offsetof(struct globallp_attrs, p1), .until = 1, .f = 2},
    {"p", ATTR_INT, offsetof(struct globallp_attrs, p), .since = 2, .i = 2},
    {NULL},
};

const struct op op_globalaveragepool = {
    .domain = "", .name = "GlobalAveragePool", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = global_infer, .tasks = global_tasks, .run = average_run,
    .kernels = "reduce",
};

const struct op op_globalmaxpool = {
    .domain = "", .name = "GlobalMaxPool", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = global_infer, .tasks = global_tasks, .run = max_run,
    .kernels = "reduce",
};

const struct op op_globallppool = {
    .domain = "", .name = "GlobalLpPool", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = norm_attrs, .attrs_size = sizeof(struct globallp_attrs),
    .infer = norm_infer, .tasks = global_tasks, .run = norm_run,
    .kernels = "reduce",
};
