/* SPDX-License-Identifier: Apache-2.0 */
/* AffineGrid: theta times the coordinates of every place, x first. */
#include "ops/layout.h"

struct affine_attrs {
    int64_t align_corners;
};

static int affine_infer(struct infer *c, struct err *e)
{
    int64_t n, dims[5];
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    const int64_t *size = NULL;
    if (!r)
        r = infer_dtypes(c, 1, DT(I64), e);
    if (!r)
        r = layout_shape(c, 1, &size, &n, e);
    if (r)
        return r;
    if (infer_rank(c, 0) >= 0 && infer_rank(c, 0) != 3)
        return err_set(e, ERR_MODEL, "theta has rank %d, expected 3", infer_rank(c, 0));
    if (!sym_is_number(n))
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (n != 4 && n != 5)
        return err_set(e, ERR_MODEL, "a size of %lld dims, expected 4 or 5", (long long)n);
    for (int i = 1; i < 3 && infer_rank(c, 0) == 3; i++)
        if (sym_differ(c->syms, infer_dim(c, 0, i), n - 3 + i))
            return err_set(e, ERR_MODEL, "theta's dim %d is not %lld", i, (long long)(n - 3 + i));
    dims[0] = layout_dim(c, size ? size[0] : SYM_UNKNOWN);
    for (int i = 2; i < n; i++)
        dims[i - 1] = layout_dim(c, size ? size[i] : SYM_UNKNOWN);
    dims[n - 1] = n - 2;
    return infer_set(c, 0, infer_dtype(c, 0), (int)n, dims, e);
}

static int64_t affine_tasks(const struct call *c)
{
    return span_tasks(c, 4);
}

/* Place i of n, from -1 to 1. */
static double position(const struct affine_attrs *a, int64_t i, int64_t n)
{
    if (a->align_corners)
        return n > 1 ? -1 + 2.0 * (double)i / (double)(n - 1) : -1;
    return (2.0 * (double)i + 1) / (double)n - 1;
}

static int affine_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct affine_attrs *a = c->attrs;
    const struct tensor *theta = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 4);
    int n = y->rank - 2;
    int64_t places = dims_product(y->dims, 1, y->rank - 1);
    if (theta->dims[0] != y->dims[0] || theta->dims[1] != n || theta->dims[2] != n + 1)
        return err_set(e, ERR_INPUT,
                       "theta [%lld,%lld,%lld] does not fit a batch of %lld and %d dims",
                       (long long)theta->dims[0], (long long)theta->dims[1],
                       (long long)theta->dims[2], (long long)y->dims[0], n);
    for (int64_t i = s.first; i < s.last; i++) {
        int64_t rest = i / n % places, batch = i / n / places;
        double m[4], at[4], v;
        elems_to_f64(theta->dtype, theta->data, (batch * n + i % n) * (n + 1), n + 1, m);
        v = m[n];
        for (int k = 0; k < n; k++) {
            int64_t d = y->dims[n - k];
            at[k] = position(a, rest % d, d);
            rest /= d;
        }
        for (int k = 0; k < n; k++)
            v += m[k] * at[k];
        elems_from_f64(y->dtype, y->data, i, 1, &v);
    }
    return 0;
}

static const struct attr affine_attr_rows[] = {
    {"align_corners", ATTR_INT, offsetof(struct affine_attrs, align_corners)},
    {NULL},
};

const struct op op_affinegrid = {
    .domain = "",
    .name = "AffineGrid",
    .since = 20,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .host_in = 2,
    .attrs = affine_attr_rows,
    .attrs_size = sizeof(struct affine_attrs),
    .infer = affine_infer,
    .tasks = affine_tasks,
    .run = affine_run,
};
