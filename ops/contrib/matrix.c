/* SPDX-License-Identifier: Apache-2.0 */
/* Inverse of square matrices, by elimination with partial pivoting in double; CDist, the distances
 * between the rows of two matrices.
 */
#include <math.h>
#include <string.h>

#include "ops/common.h"

static bool text_is(struct str s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

/* ---- Inverse --------------------------------------------------------------------------------- */

static int inverse_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r)
        return r;
    if (rank >= 0 && (rank < 2 || sym_differ(c->syms, infer_dim(c, 0, rank - 1),
                                             infer_dim(c, 0, rank - 2))))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                       "the last two dims are not a square matrix");
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int64_t inverse_count(const struct tensor *x)
{
    return tensor_count(x) ? dims_product(x->dims, 0, x->rank - 2) : 0;
}

static int64_t inverse_tasks(const struct call *c)
{
    const struct tensor *x = call_in(c, 0);
    int64_t n = x->dims[x->rank - 1], cost;
    if (__builtin_mul_overflow(n * n, n, &cost))
        cost = INT64_MAX;
    return tasks_for(inverse_count(x), cost);
}

/* The matrix and its inverse in the making. */
static size_t inverse_scratch(const struct call *c, size_t *per_member)
{
    const struct tensor *x = call_in(c, 0);
    size_t n = (size_t)x->dims[x->rank - 1];
    *per_member = inverse_count(x) ? 2 * n * n * sizeof(double) : 0;
    return 0;
}

static void swap_rows(double *m, int64_t a, int64_t b, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        double t = m[a * n + k];
        m[a * n + k] = m[b * n + k];
        m[b * n + k] = t;
    }
}

/* a becomes the identity, b (the identity) its inverse; a singular matrix gives infinities, NaN. */
static void invert(double *a, double *b, int64_t n)
{
    for (int64_t col = 0; col < n; col++) {
        int64_t pivot = col;
        for (int64_t i = col + 1; i < n; i++)
            if (fabs(a[i * n + col]) > fabs(a[pivot * n + col]))
                pivot = i;
        swap_rows(a, col, pivot, n);
        swap_rows(b, col, pivot, n);
        double scale = 1 / a[col * n + col];
        for (int64_t k = 0; k < n; k++) {
            a[col * n + k] *= scale;
            b[col * n + k] *= scale;
        }
        for (int64_t i = 0; i < n; i++) {
            double times = a[i * n + col];
            if (i == col || times == 0)
                continue;
            for (int64_t k = 0; k < n; k++) {
                a[i * n + k] -= times * a[col * n + k];
                b[i * n + k] -= times * b[col * n + k];
            }
        }
    }
}

static int inverse_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    int64_t n = x->dims[x->rank - 1], count = inverse_count(x), tasks = inverse_tasks(c);
    int64_t first, last, unused;
    if (count == 0)
        return 0;
    double *a = call_member_scratch(c, member), *b = a + n * n;
    task_range(begin, tasks, count, &first, &unused);
    task_range(end - 1, tasks, count, &unused, &last);
    for (int64_t i = first; i < last; i++) {
        elems_to_f64(x->dtype, x->data, i * n * n, n * n, a);
        memset(b, 0, (size_t)(n * n) * sizeof *b);
        for (int64_t k = 0; k < n; k++)
            b[k * n + k] = 1;
        invert(a, b, n);
        elems_from_f64(y->dtype, y->data, i * n * n, n * n, b);
    }
    return 0;
}

const struct op op_ms_inverse = {
    .domain = "com.microsoft", .name = "Inverse", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_INPLACE0,
    .infer = inverse_infer, .scratch = inverse_scratch, .tasks = inverse_tasks, .run = inverse_run,
};

/* ---- CDist ----------------------------------------------------------------------------------- */

struct cdist_attrs {
    struct str metric;
};

static int cdist_infer(struct infer *c, struct err *e)
{
    const struct cdist_attrs *a = c->attrs;
    int64_t dims[2];
    int r = infer_dtypes(c, 0, DT(F32) | DT(F64), e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)))
        return r;
    if (!text_is(a->metric, "sqeuclidean") && !text_is(a->metric, "euclidean"))
        return err_set(e, ERR_UNSUPPORTED, "metric '%.*s' is neither sqeuclidean nor euclidean",
                       (int)(a->metric.size < 32 ? a->metric.size : 32), a->metric.data);
    for (int i = 0; i < 2; i++) {
        if (infer_rank(c, i) >= 0 && infer_rank(c, i) != 2)
            return err_set(e, ERR_MODEL, "input %d has rank %d, expected 2", i, infer_rank(c, i));
        dims[i] = infer_rank(c, i) < 0 ? infer_fresh(c) : infer_dim(c, i, 0);
    }
    if (infer_rank(c, 0) == 2 && infer_rank(c, 1) == 2 &&
        sym_differ(c->syms, infer_dim(c, 0, 1), infer_dim(c, 1, 1)))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "rows of different lengths");
    return infer_set(c, 0, infer_dtype(c, 0), 2, dims, e);
}

static int64_t cdist_tasks(const struct call *c)
{
    const struct tensor *a = call_in(c, 0), *b = call_in(c, 1);
    int64_t cost;
    if (__builtin_mul_overflow(b->dims[0], a->dims[1] + 1, &cost))
        cost = INT64_MAX;
    return tasks_for(a->dims[0], cost);
}

/* The sum of squares of differences, in chains that vectors can run. */
enum { CHAINS = 16 };
#define SQUARED(name, type)                                                                        \
    static type name(const type *a, const type *b, int64_t n)                                      \
    {                                                                                              \
        type chain[CHAINS] = {0}, sum = 0;                                                         \
        int64_t i = 0;                                                                             \
        for (; i + CHAINS <= n; i += CHAINS)                                                       \
            for (int k = 0; k < CHAINS; k++)                                                       \
                chain[k] += (a[i + k] - b[i + k]) * (a[i + k] - b[i + k]);                         \
        for (int k = 0; k < CHAINS; k++)                                                           \
            sum += chain[k];                                                                       \
        for (; i < n; i++)                                                                         \
            sum += (a[i] - b[i]) * (a[i] - b[i]);                                                  \
        return sum;                                                                                \
    }
SQUARED(squared_f32, float)
SQUARED(squared_f64, double)

static int cdist_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *a = call_in(c, 0), *b = call_in(c, 1);
    bool root = text_is(((const struct cdist_attrs *)c->attrs)->metric, "euclidean");
    int64_t n = a->dims[1], cols = b->dims[0], first, last, unused, tasks = cdist_tasks(c);
    task_range(begin, tasks, a->dims[0], &first, &unused);
    task_range(end - 1, tasks, a->dims[0], &unused, &last);
    for (int64_t i = first; i < last; i++) {
        for (int64_t k = 0; k < cols; k++) {
            if (a->dtype == DTYPE_F32) {
                float v =
                    squared_f32((const float *)a->data + i * n, (const float *)b->data + k * n, n);
                ((float *)call_out(c, 0)->data)[i * cols + k] = root ? sqrtf(v) : v;
            } else {
                double v = squared_f64((const double *)a->data + i * n,
                                       (const double *)b->data + k * n, n);
                ((double *)call_out(c, 0)->data)[i * cols + k] = root ? sqrt(v) : v;
            }
        }
    }
    return 0;
}

static const struct attr cdist_attr_rows[] = {
    {"metric", ATTR_STRING, offsetof(struct cdist_attrs, metric), .s = "sqeuclidean"},
    {NULL},
};

const struct op op_ms_cdist = {
    .domain = "com.microsoft", .name = "CDist", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = cdist_attr_rows, .attrs_size = sizeof(struct cdist_attrs),
    .infer = cdist_infer, .tasks = cdist_tasks, .run = cdist_run,
};
