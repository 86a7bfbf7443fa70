/* SPDX-License-Identifier: Apache-2.0 */
/* BatchNormalization. Applying given statistics is y = x * a + b with a and b from the channel's
 * four numbers, in double, once a channel; f32 planes run on kernels/norm.h. Training takes the
 * statistics of each channel over the whole batch first.
 */
#include <math.h>

#include "graph/attrs.h"
#include "kernels/norm.h"
#include "ops/common.h"

/* is_test ended training below version 7; from version 7 to 13 a second output asks for it. */
struct batchnorm_attrs {
    struct attrs_batchnorm norm;
    int64_t is_test;
};

static bool trains(const struct node *n, const struct batchnorm_attrs *a)
{
    if (n->opset >= 14)
        return a->norm.training_mode != 0;
    if (n->opset < 7)
        return a->is_test == 0;
    return n->n_out > 1 && n->out[1] != NULL;
}

/* Versions below 9 may normalise each element of a row by itself. */
static bool per_element(const struct node *n, const struct batchnorm_attrs *a)
{
    return n->opset < 9 && a->norm.spatial == 0;
}

static int check_channels(const struct infer *c, const struct type *x, bool elements, struct err *e)
{
    int64_t want = x->rank > 1 ? x->dims[1] : 1;
    for (int k = 2; elements && k < x->rank; k++)
        want = sym_mul(c->syms, want, x->dims[k]);
    for (int i = 1; i < 5; i++) {
        const struct type *t = &c->in[i]->type;
        int64_t count = 1;
        for (int k = 0; k < t->rank; k++)
            count = sym_mul(c->syms, count, t->dims[k]);
        if (t->rank >= 0 && ((t->rank != 1 && !elements) || sym_differ(c->syms, count, want)))
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                           "input %d must have one number for each channel", i);
    }
    return 0;
}

static int batchnorm_infer(struct infer *c, struct err *e)
{
    const struct type *x = &c->in[0]->type;
    int r = 0;
    for (int i = 0; i < 5 && r == 0; i++)
        r = infer_dtypes(c, i, DT_FLOATS, e);
    if (r || (r = infer_same_dtype(c, 1, 2, e)) || (r = infer_same_dtype(c, 3, 4, e)))
        return r;
    if (x->rank == 0)
        return err_set(e, ERR_MODEL, "the input is a scalar");
    bool elements = per_element(c->node, c->attrs);
    if (elements && trains(c->node, c->attrs))
        return err_set(e, ERR_UNSUPPORTED, "training with spatial = 0");
    if (x->rank > 0 && (r = check_channels(c, x, elements, e)))
        return r;
    r = x->rank < 0 ? infer_unknown(c, 0, x->dtype, e) : infer_like(c, 0, 0, x->dtype, e);
    for (int o = 1; o < c->n_out && r == 0; o++)
        r = infer_like(c, o, 3, infer_dtype(c, 3), e);
    return r;
}

/* x as [batch, channels, inner]. Without spatial the elements of a row are the channels. */
struct planes {
    int64_t batch, channels, inner;
};

static struct planes planes_of(const struct call *c)
{
    const struct tensor *x = call_in(c, 0);
    struct planes p = {0, 0, 0};
    if (tensor_count(x) == 0)
        return p;
    p.batch = x->dims[0];
    p.channels = x->rank > 1 ? x->dims[1] : 1;
    p.inner = x->rank > 2 ? dims_product(x->dims, 2, x->rank) : 1;
    if (per_element(c->node, c->attrs)) {
        p.channels *= p.inner;
        p.inner = 1;
    }
    return p;
}

/* A channel's y = x * scale + shift. */
struct affine {
    double scale, shift;
};

static struct affine affine_of(const struct call *c, int64_t channel, double mean, double variance)
{
    const struct batchnorm_attrs *a = c->attrs;
    double scale = tensor_float(call_in(c, 1), channel) / sqrt(variance + a->norm.epsilon);
    return (struct affine){scale, tensor_float(call_in(c, 2), channel) - mean * scale};
}

/* n elements from place `at` on. */
static void apply(const struct call *c, struct affine f, int64_t at, int64_t n)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    if (x->dtype == DTYPE_F32 && n > 1) {
        norm_f32_pick()->affine((const float *)x->data + at, (float *)y->data + at, (size_t)n,
                                (float)f.scale, (float)f.shift);
        return;
    }
    double v[CHUNK_ELEMS];
    for (int64_t i = 0; i < n; i += CHUNK_ELEMS) {
        int64_t m = n - i < CHUNK_ELEMS ? n - i : CHUNK_ELEMS;
        elems_to_f64(x->dtype, x->data, at + i, m, v);
        for (int64_t k = 0; k < m; k++)
            v[k] = v[k] * f.scale + f.shift;
        elems_from_f64(y->dtype, y->data, at + i, m, v);
    }
}

/* Rows of channels with one element each: the affine step runs along the channels, in double. Their
 * numbers lie in scratch; each run of tasks makes its own. */
static bool by_rows(const struct call *c, struct planes p)
{
    return p.inner == 1 && !trains(c->node, c->attrs);
}

static size_t batchnorm_scratch(const struct call *c, size_t *per_member)
{
    struct planes p = planes_of(c);
    if (by_rows(c, p) && !size_mul((size_t)p.channels, sizeof(struct affine), per_member))
        *per_member = SIZE_MAX;
    return 0;
}

/* Tasks are channels where statistics are taken, rows or planes otherwise. */
static int64_t batchnorm_units(const struct call *c, struct planes p)
{
    if (trains(c->node, c->attrs))
        return p.channels;
    return by_rows(c, p) ? p.batch : p.batch * p.channels;
}

static int64_t batchnorm_tasks(const struct call *c)
{
    struct planes p = planes_of(c);
    int64_t units = batchnorm_units(c, p);
    if (trains(c->node, c->attrs))
        return tasks_for(units, p.batch * p.inner * 3);
    return tasks_for(units, by_rows(c, p) ? p.channels : p.inner);
}

static void rows_run(const struct call *c, struct planes p, int64_t first, int64_t last,
                     struct affine *f)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    double v[CHUNK_ELEMS];
    for (int64_t i = 0; i < p.channels; i++)
        f[i] = affine_of(c, i, tensor_float(call_in(c, 3), i), tensor_float(call_in(c, 4), i));
    for (int64_t row = first; row < last; row++) {
        for (int64_t i = 0; i < p.channels; i += CHUNK_ELEMS) {
            int64_t m = p.channels - i < CHUNK_ELEMS ? p.channels - i : CHUNK_ELEMS;
            elems_to_f64(x->dtype, x->data, row * p.channels + i, m, v);
            for (int64_t k = 0; k < m; k++)
                v[k] = v[k] * f[i + k].scale + f[i + k].shift;
            elems_from_f64(y->dtype, y->data, row * p.channels + i, m, v);
        }
    }
}

/* Mean and variance of a channel over the batch, in double, in two passes. */
static void statistics(const struct tensor *x, struct planes p, int64_t channel, double *mean,
                       double *variance)
{
    double v[CHUNK_ELEMS], sum[2] = {0, 0}, n = (double)p.batch * (double)p.inner;
    for (int pass = 0; pass < 2; pass++) {
        double centre = pass ? sum[0] / n : 0;
        for (int64_t b = 0; b < p.batch; b++) {
            int64_t at = (b * p.channels + channel) * p.inner;
            for (int64_t i = 0; i < p.inner; i += CHUNK_ELEMS) {
                int64_t m = p.inner - i < CHUNK_ELEMS ? p.inner - i : CHUNK_ELEMS;
                elems_to_f64(x->dtype, x->data, at + i, m, v);
                for (int64_t k = 0; k < m; k++)
                    sum[pass] += pass ? (v[k] - centre) * (v[k] - centre) : v[k];
            }
        }
    }
    *mean = sum[0] / n;
    *variance = sum[1] / n;
}

static void store(struct tensor *t, int64_t i, double v)
{
    if (t)
        elems_from_f64(t->dtype, t->data, i, 1, &v);
}

static void train_channel(struct call *c, struct planes p, int64_t channel)
{
    const struct batchnorm_attrs *a = c->attrs;
    double mean, variance, keep = a->norm.momentum;
    statistics(call_in(c, 0), p, channel, &mean, &variance);
    store(call_out(c, 1), channel, tensor_float(call_in(c, 3), channel) * keep + mean * (1 - keep));
    store(call_out(c, 2), channel,
          tensor_float(call_in(c, 4), channel) * keep + variance * (1 - keep));
    store(call_out(c, 3), channel, mean);
    store(call_out(c, 4), channel, variance);
    struct affine f = affine_of(c, channel, mean, variance);
    for (int64_t b = 0; b < p.batch; b++)
        apply(c, f, (b * p.channels + channel) * p.inner, p.inner);
}

/* Without elements there are no new statistics: the running ones stay. */
static void pass_statistics(struct call *c)
{
    for (int o = 1; o < c->n_out; o++) {
        struct tensor *t = call_out(c, o);
        for (int64_t i = 0; t && i < tensor_count(t); i++)
            store(t, i, tensor_float(call_in(c, o % 2 ? 3 : 4), i));
    }
}

static int batchnorm_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct planes p = planes_of(c);
    bool train = trains(c->node, c->attrs);
    int64_t n = batchnorm_units(c, p), tasks = batchnorm_tasks(c);
    int64_t first, last, unused;
    if (begin == 0 && (!train || n == 0))
        pass_statistics(c);
    if (n == 0)
        return 0;
    task_range(begin, tasks, n, &first, &unused);
    task_range(end - 1, tasks, n, &unused, &last);
    if (by_rows(c, p)) {
        rows_run(c, p, first, last, call_member_scratch(c, member));
        return 0;
    }
    for (int64_t i = first; i < last; i++) {
        if (train) {
            train_channel(c, p, i);
            continue;
        }
        int64_t channel = i % p.channels;
        struct affine f = affine_of(c, channel, tensor_float(call_in(c, 3), channel),
                                    tensor_float(call_in(c, 4), channel));
        apply(c, f, i * p.inner, p.inner);
    }
    return 0;
}

static const struct attr batchnorm_attr_rows[] = {
    {"epsilon", ATTR_FLOAT, offsetof(struct attrs_batchnorm, epsilon), .f = 1e-5f},
    {"momentum", ATTR_FLOAT, offsetof(struct attrs_batchnorm, momentum), .f = 0.9f},
    {"training_mode", ATTR_INT, offsetof(struct attrs_batchnorm, training_mode), .since = 14},
    {"spatial", ATTR_INT, offsetof(struct attrs_batchnorm, spatial), .until = 8, .i = 1},
    {"is_test", ATTR_INT, offsetof(struct batchnorm_attrs, is_test), .until = 6},
    {"consumed_inputs", ATTR_INTS, 0, .ignore = true, .until = 5},
    {NULL},
};

const struct op op_batchnormalization = {
    .domain = "", .name = "BatchNormalization", .since = 1,
    .in_min = 5, .in_max = 5, .out_min = 1, .out_max = 5, .flags = OP_PURE | OP_INPLACE0,
    .attrs = batchnorm_attr_rows, .attrs_size = sizeof(struct batchnorm_attrs),
    .infer = batchnorm_infer, .scratch = batchnorm_scratch, .tasks = batchnorm_tasks,
    .run = batchnorm_run,
    .kernels = "norm",
};
