/* SPDX-License-Identifier: Apache-2.0 */
/* Det: the product of the pivots of an elimination with row exchanges, in double, a matrix a unit. */
#include <math.h>
#include <string.h>

#include "ops/span.h"

static int det_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0), rc = infer_dtypes(c, 0, DT_FLOATS, e);
    if (rc < 0)
        return rc;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank < 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, needs at least 2", rank);
    if (sym_differ(c->syms, infer_dim(c, 0, rank - 2), infer_dim(c, 0, rank - 1)))
        return err_set(e, ERR_MODEL, "the matrices are not square");
    return infer_set(c, 0, infer_dtype(c, 0), rank - 2, c->in[0]->type.dims, e);
}

static int64_t side(const struct call *c)
{
    const struct tensor *x = call_in(c, 0);
    return x->dims[x->rank - 1];
}

static int64_t det_tasks(const struct call *c)
{
    double work = pow((double)side(c), 3) / 3;
    return span_tasks(c, work < TASK_ELEMS ? (int64_t)work + 1 : TASK_ELEMS);
}

static size_t det_scratch(const struct call *c, size_t *per_member)
{
    *per_member = (size_t)side(c) * (size_t)side(c) * sizeof(double);
    return 0;
}

/* The determinant of an n x n matrix, which is overwritten. */
static double eliminate(double *a, int64_t n)
{
    double det = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t best = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[best * n + k]))
                best = i;
        double pivot = a[best * n + k];
        det *= best == k ? pivot : -pivot;
        if (pivot == 0)
            return 0;
        for (int64_t j = k; j < n && best != k; j++) {
            double t = a[k * n + j];
            a[k * n + j] = a[best * n + j];
            a[best * n + j] = t;
        }
        for (int64_t i = k + 1; i < n; i++) {
            double f = a[i * n + k] / pivot;
            for (int64_t j = k + 1; j < n; j++)
                a[i * n + j] -= f * a[k * n + j];
        }
    }
    return det;
}

static int det_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_of(begin, end, det_tasks(c), tensor_count(y));
    int64_t n = side(c);
    double *a = call_member_scratch(c, member);
    for (int64_t i = s.first; i < s.last; i++) {
        elems_to_f64(x->dtype, x->data, i * n * n, n * n, a);
        double det = eliminate(a, n);
        elems_from_f64(y->dtype, y->data, i, 1, &det);
    }
    return 0;
}

const struct op op_det = {
    .domain = "", .name = "Det", .since = 11,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .flags = OP_PURE,
    .infer = det_infer, .scratch = det_scratch, .tasks = det_tasks, .run = det_run,
};
