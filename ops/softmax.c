/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax, LogSoftmax, Hardmax: along one axis; below opset 13 over all dims from the axis on. */
#include <math.h>
#include <stddef.h>

#include "graph/attrs.h"
#include "kernels/softmax.h"
#include "ops/common.h"

enum kind { KIND_SOFTMAX, KIND_LOG, KIND_HARD };

static const struct attr softmax_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_softmax, axis), .since = 13, .i = -1},
    {"axis", ATTR_INT, offsetof(struct attrs_softmax, axis), .until = 12, .i = 1},
    {0},
};

static int softmax_infer(struct infer *c, struct err *e)
{
    const struct attrs_softmax *at = c->attrs;
    int axis, rc = infer_dtypes(c, 0, DT_FLOATS, e);
    if (rc < 0)
        return rc;
    int rank = infer_rank(c, 0);
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    /* The old form may cut behind the last dim: every element is then a row of its own. */
    if (!(c->node->opset < 13 && at->axis == rank) && rank > 0)
        rc = infer_axis(at->axis, rank, &axis, e);
    return rc < 0 ? rc : infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

/* The tensor as [outer, n, inner]. */
struct view {
    int64_t outer, n, inner;
};

static struct view view_of(const struct call *c)
{
    const struct attrs_softmax *at = c->attrs;
    const struct tensor *x = call_in(c, 0);
    int axis = (int)(at->axis < 0 ? at->axis + x->rank : at->axis);
    if (x->rank == 0)
        return (struct view){1, 1, 1};
    if (c->node->opset < 13)
        return (struct view){dims_product(x->dims, 0, axis), dims_product(x->dims, axis, x->rank), 1};
    return (struct view){dims_product(x->dims, 0, axis), x->dims[axis],
                         dims_product(x->dims, axis + 1, x->rank)};
}

/* A column is a row of n elements, stride inner apart: the unit of work. */
static int64_t softmax_tasks(const struct call *c)
{
    struct view v = view_of(c);
    int64_t tasks = tasks_for(v.outer * v.inner, v.n);
    return v.inner == 1 || tasks < v.outer ? tasks : v.outer * tasks_for(v.inner, v.n);
}

static size_t softmax_scratch(const struct call *c, size_t *per_member)
{
    *per_member = call_in(c, 0)->dtype == DTYPE_F32 ? 0 : (size_t)view_of(c).n * sizeof(double);
    return 0;
}

static void hardmax(const struct view *v, enum dtype t, const char *x, char *y)
{
    size_t size = dtype_size(t);
    int64_t best = 0;
    for (int64_t i = 0; i < v->n; i++)
        if (dtype_load_f64(t, x + (size_t)(i * v->inner) * size) >
            dtype_load_f64(t, x + (size_t)(best * v->inner) * size))
            best = i;
    for (int64_t i = 0; i < v->n; i++)
        dtype_store_f64(t, y + (size_t)(i * v->inner) * size, i == best);
}

/* One column of a type that is not f32, through double. */
static void column(const struct view *v, enum kind kind, enum dtype t, const char *x, char *y,
                   double *wide)
{
    size_t size = dtype_size(t);
    if (kind == KIND_HARD) {
        hardmax(v, t, x, y);
        return;
    }
    for (int64_t i = 0; i < v->n; i++)
        wide[i] = dtype_load_f64(t, x + (size_t)(i * v->inner) * size);
    softmax_f64_axis(wide, wide, (size_t)v->n, 1, 0, 1, kind == KIND_LOG);
    for (int64_t i = 0; i < v->n; i++)
        dtype_store_f64(t, y + (size_t)(i * v->inner) * size, wide[i]);
}

static void columns_f32(const struct view *v, bool log, const float *x, float *y, int64_t from, int64_t to)
{
    const struct softmax_f32_kernel *k = softmax_f32_pick();
    if (v->inner == 1) {
        k->rows(x + from * v->n, y + from * v->n, (size_t)(to - from), (size_t)v->n, log);
        return;
    }
    while (from < to) {
        int64_t outer = from / v->inner, first = from % v->inner;
        int64_t last = to - outer * v->inner > v->inner ? v->inner : to - outer * v->inner;
        int64_t base = outer * v->n * v->inner;
        k->axis(x + base, y + base, (size_t)v->n, (size_t)v->inner, (size_t)first, (size_t)last, log);
        from = outer * v->inner + last;
    }
}

static int run_kind(struct call *c, enum kind kind, int64_t begin, int64_t end, int member)
{
    const struct tensor *x = call_in(c, 0);
    struct view v = view_of(c);
    int64_t tasks = softmax_tasks(c), from, to, last;
    task_range(begin, tasks, v.outer * v.inner, &from, &last);
    task_range(end - 1, tasks, v.outer * v.inner, &last, &to);
    if (v.n == 0)
        return 0;
    if (x->dtype == DTYPE_F32 && kind != KIND_HARD) {
        columns_f32(&v, kind == KIND_LOG, x->data, call_out(c, 0)->data, from, to);
        return 0;
    }
    size_t size = dtype_size(x->dtype);
    for (int64_t i = from; i < to; i++) {
        size_t at = (size_t)(i / v.inner * v.n * v.inner + i % v.inner) * size;
        column(&v, kind, x->dtype, (const char *)x->data + at, (char *)call_out(c, 0)->data + at,
               call_member_scratch(c, member));
    }
    return 0;
}

static int softmax_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run_kind(c, KIND_SOFTMAX, begin, end, member);
}

static int log_softmax_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run_kind(c, KIND_LOG, begin, end, member);
}

static int hardmax_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run_kind(c, KIND_HARD, begin, end, member);
}

#define SOFTMAX_ROW(row_name, run_fn)                                                               \
    {                                                                                               \
        .domain = "", .name = row_name, .since = 1, .in_min = 1, .in_max = 1, .out_min = 1,         \
        .out_max = 1, .flags = OP_PURE | OP_EXACT, .attrs = softmax_attrs,                          \
        .attrs_size = sizeof(struct attrs_softmax), .infer = softmax_infer, .tasks = softmax_tasks, \
        .scratch = softmax_scratch, .kernels = "softmax", .run = run_fn,                            \
    }
const struct op op_softmax = SOFTMAX_ROW("Softmax", softmax_run);
const struct op op_logsoftmax = SOFTMAX_ROW("LogSoftmax", log_softmax_run);
const struct op op_hardmax = SOFTMAX_ROW("Hardmax", hardmax_run);
