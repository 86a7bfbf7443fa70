/* SPDX-License-Identifier: Apache-2.0 */
/* LRN: x / (bias + alpha / size * sum of squares over neighbouring channels) ^ beta, in double. */
#include <math.h>

#include "ops/common.h"

struct lrn_attrs {
    float alpha, beta, bias;
    int64_t size;
};

static int lrn_infer(struct infer *c, struct err *e)
{
    const struct lrn_attrs *a = c->attrs;
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r)
        return r;
    if (a->size < 1)
        return err_set(e, ERR_MODEL, "size is %lld", (long long)a->size);
    if (infer_rank(c, 0) >= 0 && infer_rank(c, 0) < 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, less than 2", infer_rank(c, 0));
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int64_t plane_of(const struct tensor *x)
{
    return tensor_count(x) ? dims_product(x->dims, 2, x->rank) : 0;
}

static int64_t lrn_tasks(const struct call *c)
{
    const struct lrn_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    int64_t plane = plane_of(x), reach = a->size < 64 ? a->size : 64;
    return plane ? tasks_for(x->dims[0] * x->dims[1], plane * (reach + 4)) : 1;
}

/* v ^ beta; the usual exponent without pow(). */
static double power(double v, float beta)
{
    return beta == 0.75f ? sqrt(v) * sqrt(sqrt(v)) : pow(v, beta);
}

/* n elements from element `at` of channel `channel` of an image that begins at element `image`. */
static void chunk_run(const struct call *c, int64_t image, int64_t channel, int64_t at, int64_t n)
{
    const struct lrn_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    double v[CHUNK_ELEMS], sum[CHUNK_ELEMS] = {0};
    int64_t plane = plane_of(x), below = (a->size - 1) / 2, above = a->size / 2;
    int64_t from = channel > below ? channel - below : 0;
    int64_t to = above < x->dims[1] - channel ? channel + above + 1 : x->dims[1];
    for (int64_t i = from; i < to; i++) {
        elems_to_f64(x->dtype, x->data, image + i * plane + at, n, v);
        for (int64_t k = 0; k < n; k++)
            sum[k] += v[k] * v[k];
    }
    elems_to_f64(x->dtype, x->data, image + channel * plane + at, n, v);
    for (int64_t k = 0; k < n; k++)
        v[k] /= power(a->bias + (double)a->alpha / (double)a->size * sum[k], a->beta);
    elems_from_f64(y->dtype, y->data, image + channel * plane + at, n, v);
}

static int lrn_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    int64_t plane = plane_of(x), first, last, unused, tasks = lrn_tasks(c);
    if (plane == 0)
        return 0;
    int64_t channels = x->dims[1], planes = x->dims[0] * channels;
    task_range(begin, tasks, planes, &first, &unused);
    task_range(end - 1, tasks, planes, &unused, &last);
    for (int64_t p = first; p < last; p++) {
        for (int64_t at = 0; at < plane; at += CHUNK_ELEMS)
            chunk_run(c, p / channels * channels * plane, p % channels, at,
                      plane - at < CHUNK_ELEMS ? plane - at : CHUNK_ELEMS);
    }
    return 0;
}

static const struct attr lrn_attr_rows[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct lrn_attrs, alpha), .f = 1e-4f},
    {"beta", ATTR_FLOAT, offsetof(struct lrn_attrs, beta), .f = 0.75f},
    {"bias", ATTR_FLOAT, offsetof(struct lrn_attrs, bias), .f = 1},
    {"size", ATTR_INT, offsetof(struct lrn_attrs, size), .required = true},
    {NULL},
};

const struct op op_lrn = {
    .domain = "", .name = "LRN", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = lrn_attr_rows, .attrs_size = sizeof(struct lrn_attrs),
    .infer = lrn_infer, .tasks = lrn_tasks, .run = lrn_run,
};
