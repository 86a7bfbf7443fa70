/* SPDX-License-Identifier: Apache-2.0 */
/* LpNormalization: x divided by its L1 or L2 norm along an axis; 0 where the norm is 0. A tensor is
 * [outer, n, inner] around the axis; the sums are in double, in order.
 */
#include <math.h>

#include "ops/common.h"

struct lp_attrs {
    int64_t axis, p;
};

static int lp_infer(struct infer *c, struct err *e)
{
    const struct lp_attrs *a = c->attrs;
    int axis, r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r)
        return r;
    if (a->p != 1 && a->p != 2)
        return err_set(e, ERR_MODEL, "p is %lld, not 1 or 2", (long long)a->p);
    if (infer_rank(c, 0) >= 0 && (r = infer_axis(a->axis, infer_rank(c, 0), &axis, e)))
        return r;
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

/* Lanes side by side along inner go together, up to a chunk of them: a unit. */
struct lanes {
    int64_t outer, n, inner, chunks;
};

static struct lanes lanes_of(const struct call *c)
{
    const struct lp_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct lanes l = {0, 0, 0, 0};
    int axis;
    if (tensor_count(x) == 0 || infer_axis(a->axis, x->rank, &axis, NULL) != 0)
        return l;
    l.outer = dims_product(x->dims, 0, axis);
    l.n = x->dims[axis];
    l.inner = dims_product(x->dims, axis + 1, x->rank);
    l.chunks = (l.inner - 1) / CHUNK_ELEMS + 1;
    return l;
}

static int64_t lp_tasks(const struct call *c)
{
    struct lanes l = lanes_of(c);
    int64_t width = l.inner < CHUNK_ELEMS ? l.inner : CHUNK_ELEMS;
    return tasks_for(l.outer * l.chunks, l.n * width * 4);
}

/* v[i] against the norm of its lane. */
static double divided(double v, double norm)
{
    return norm == 0 ? 0 : v / norm;
}

/* Lanes next to each other: `width` of them from element `at` on, steps of `inner`. */
static void unit_run(const struct call *c, int64_t at, int64_t width, struct lanes l)
{
    const struct lp_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    double v[CHUNK_ELEMS], norm[CHUNK_ELEMS] = {0};
    for (int64_t k = 0; k < l.n; k++) {
        elems_to_f64(x->dtype, x->data, at + k * l.inner, width, v);
        for (int64_t i = 0; i < width; i++)
            norm[i] += a->p == 2 ? v[i] * v[i] : fabs(v[i]);
    }
    for (int64_t i = 0; i < width && a->p == 2; i++)
        norm[i] = sqrt(norm[i]);
    for (int64_t k = 0; k < l.n; k++) {
        elems_to_f64(x->dtype, x->data, at + k * l.inner, width, v);
        for (int64_t i = 0; i < width; i++)
            v[i] = divided(v[i], norm[i]);
        elems_from_f64(y->dtype, y->data, at + k * l.inner, width, v);
    }
}

/* A contiguous lane. */
static void row_run(const struct call *c, int64_t at, int64_t n)
{
    const struct lp_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    double v[CHUNK_ELEMS], norm = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t k = 0; k < n; k += CHUNK_ELEMS) {
            int64_t m = n - k < CHUNK_ELEMS ? n - k : CHUNK_ELEMS;
            elems_to_f64(x->dtype, x->data, at + k, m, v);
            for (int64_t i = 0; i < m && pass == 0; i++)
                norm += a->p == 2 ? v[i] * v[i] : fabs(v[i]);
            for (int64_t i = 0; i < m && pass == 1; i++)
                v[i] = divided(v[i], norm);
            if (pass == 1)
                elems_from_f64(y->dtype, y->data, at + k, m, v);
        }
        norm = pass == 0 && a->p == 2 ? sqrt(norm) : norm;
    }
}

static int lp_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct lanes l = lanes_of(c);
    int64_t first, last, unused, units = l.outer * l.chunks, tasks = lp_tasks(c);
    if (units == 0)
        return 0;
    task_range(begin, tasks, units, &first, &unused);
    task_range(end - 1, tasks, units, &unused, &last);
    for (int64_t u = first; u < last; u++) {
        int64_t lane = u % l.chunks * CHUNK_ELEMS, at = u / l.chunks * l.n * l.inner + lane;
        if (l.inner == 1)
            row_run(c, at, l.n);
        else
            unit_run(c, at, l.inner - lane < CHUNK_ELEMS ? l.inner - lane : CHUNK_ELEMS, l);
    }
    return 0;
}

static const struct attr lp_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct lp_attrs, axis), .i = -1},
    {"p", ATTR_INT, offsetof(struct lp_attrs, p), .i = 2},
    {NULL},
};

const struct op op_lpnormalization = {
    .domain = "", .name = "LpNormalization", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .attrs = lp_attr_rows, .attrs_size = sizeof(struct lp_attrs),
    .infer = lp_infer, .tasks = lp_tasks, .run = lp_run,
};
