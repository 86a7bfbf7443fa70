/* SPDX-License-Identifier: Apache-2.0 */
/* MeanVarianceNormalization: (x - mean) / (deviation + 1e-9) over the given axes, in double. Each
 * index of the other dims is a cell; a cell's elements are runs along the last dims, as far as
 * those are axes.
 */
#include <math.h>

#include "ops/common.h"

struct mvn_attrs {
    struct ints axes;
    int64_t across_channels, normalize_variance; /* below opset 9, in place of axes */
};

/* Bit k: dim k is an axis. */
static int axes_mask(const struct mvn_attrs *a, int rank, unsigned *mask, struct err *e)
{
    static const int64_t usual[] = {0, 2, 3, 1};
    struct ints axes = a->axes.v ? a->axes : (struct ints){usual, a->across_channels ? 4 : 3};
    *mask = 0;
    for (int64_t i = 0; i < axes.n; i++) {
        int k, r = infer_axis(axes.v[i], rank, &k, e);
        if (r)
            return r;
        *mask |= 1u << k;
    }
    return 0;
}

static int mvn_infer(struct infer *c, struct err *e)
{
    unsigned mask;
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r)
        return r;
    if (infer_rank(c, 0) >= 0 && (r = axes_mask(c->attrs, infer_rank(c, 0), &mask, e)))
        return r;
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

struct cells {
    unsigned mask;
    int tail; /* dims from here on are a run */
    int64_t count, run, runs; /* cells; elements a run; runs a cell */
    int64_t strides[TENSOR_RANK_MAX];
};

static void cells_init(struct cells *s, const struct call *c)
{
    const struct tensor *x = call_in(c, 0);
    *s = (struct cells){.tail = x->rank};
    if (tensor_count(x) == 0 || axes_mask(c->attrs, x->rank, &s->mask, NULL) != 0)
        return;
    dims_strides(x->dims, x->rank, s->strides);
    while (s->tail > 0 && s->mask >> (s->tail - 1) & 1)
        s->tail--;
    s->count = s->runs = 1;
    s->run = dims_product(x->dims, s->tail, x->rank);
    for (int k = 0; k < s->tail; k++)
        *(s->mask >> k & 1 ? &s->runs : &s->count) *= x->dims[k];
}

/* Where run r of cell i begins. */
static int64_t run_start(const struct cells *s, const struct tensor *x, int64_t i, int64_t r)
{
    int64_t at = 0;
    for (int k = s->tail - 1; k >= 0; k--) {
        int64_t *from = s->mask >> k & 1 ? &r : &i;
        at += *from % x->dims[k] * s->strides[k];
        *from /= x->dims[k];
    }
    return at;
}

/* Passes: the mean, the variance, the output. */
static void cell_run(const struct call *c, const struct cells *s, int64_t i)
{
    const struct mvn_attrs *a = c->attrs;
    bool mean_only = c->node->opset < 9 && !a->normalize_variance;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    double v[CHUNK_ELEMS], sum[3] = {0, 0, 0}, n = (double)s->run * (double)s->runs;
    double mean = 0, factor = 0;
    for (int pass = 0; pass < 3; pass++) {
        for (int64_t r = 0; r < s->runs; r++) {
            int64_t at = run_start(s, x, i, r);
            for (int64_t k = 0; k < s->run; k += CHUNK_ELEMS) {
                int64_t m = s->run - k < CHUNK_ELEMS ? s->run - k : CHUNK_ELEMS;
                elems_to_f64(x->dtype, x->data, at + k, m, v);
                for (int64_t j = 0; j < m; j++) {
                    sum[pass] += pass == 0 ? v[j] : (v[j] - mean) * (v[j] - mean);
                    v[j] = (v[j] - mean) * factor;
                }
                if (pass == 2)
                    elems_from_f64(y->dtype, y->data, at + k, m, v);
            }
        }
        if (pass == 0)
            mean = sum[0] / n;
        else
            factor = mean_only ? 1 : 1 / (sqrt(sum[1] / n) + 1e-9);
    }
}

static int64_t mvn_tasks(const struct call *c)
{
    struct cells s;
    cells_init(&s, c);
    return tasks_for(s.count, s.run * s.runs * 3);
}

static int mvn_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct cells s;
    int64_t first, last, unused, tasks = mvn_tasks(c);
    cells_init(&s, c);
    if (s.count == 0)
        return 0;
    task_range(begin, tasks, s.count, &first, &unused);
    task_range(end - 1, tasks, s.count, &unused, &last);
    for (int64_t i = first; i < last; i++)
        cell_run(c, &s, i);
    return 0;
}

static const struct attr mvn_attr_rows[] = {
    {"axes", ATTR_INTS, offsetof(struct mvn_attrs, axes), .since = 9},
    {"across_channels", ATTR_INT, offsetof(struct mvn_attrs, across_channels), .until = 8},
    {"normalize_variance", ATTR_INT, offsetof(struct mvn_attrs, normalize_variance), .until = 8, .i = 1},
    {NULL},
};

const struct op op_meanvariancenormalization = {
    .domain = "", .name = "MeanVarianceNormalization", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .attrs = mvn_attr_rows, .attrs_size = sizeof(struct mvn_attrs),
    .infer = mvn_infer, .tasks = mvn_tasks, .run = mvn_run,
};
