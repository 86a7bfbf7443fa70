/* SPDX-License-Identifier: Apache-2.0 */
/* GroupNorm and SkipGroupNorm, channels first or last, with SiLU on top if wanted. A unit is a
 * group of channels of an image: gathered as f32, x + skip + bias, its moments taken, then y = s *
 * a + b with a and b by channel from the moments, gamma and beta, in double.
 */
#include <math.h>
#include <string.h>

#include "kernels/norm.h"
#include "kernels/unary.h"
#include "ops/span.h"

struct group_attrs {
    int64_t channels_last, activation, groups;
    float epsilon;
};

enum { IN_X, IN_GAMMA, IN_BETA, IN_SKIP, IN_BIAS };

/* ---- inference ------------------------------------------------------------------------------- */

static int channel_dim(const struct group_attrs *a, int rank)
{
    return a->channels_last ? rank - 1 : 1;
}

/* Input i has one number for each channel. */
static int check_channels(struct infer *c, int i, enum dtype dtype, struct err *e)
{
    const struct group_attrs *a = c->attrs;
    int rank = infer_rank(c, 0);
    if (!infer_has(c, i))
        return 0;
    if (infer_dtype(c, i) != dtype)
        return err_set(e, ERR_MODEL, "input %d has another type than its like", i);
    if (infer_rank(c, i) < 0 || rank < 0)
        return 0;
    if (infer_rank(c, i) != 1 ||
        sym_differ(c->syms, infer_dim(c, i, 0), infer_dim(c, 0, channel_dim(a, rank))))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                       "input %d must have one number for each channel", i);
    return 0;
}

static int group_infer(struct infer *c, struct err *e)
{
    const struct group_attrs *a = c->attrs;
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT_FLOATS & ~DT(F64), e);
    if (r || (r = infer_dtypes(c, 1, DT_FLOATS & ~DT(F64), e)))
        return r;
    if (rank == 0 || rank == 1 || rank == 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 4", rank);
    if (a->groups < 1 || a->activation < 0 || a->activation > 1)
        return err_set(e, ERR_MODEL, "groups is %lld, activation %lld", (long long)a->groups,
                       (long long)a->activation);
    int64_t channels = rank < 0 ? SYM_UNKNOWN : infer_dim(c, 0, channel_dim(a, rank));
    if (sym_is_number(channels) && channels % a->groups != 0)
        return err_set(e, ERR_MODEL, "%lld channels do not divide into %lld groups",
                       (long long)channels, (long long)a->groups);
    if ((r = check_channels(c, IN_GAMMA, infer_dtype(c, 1), e)) ||
        (r = check_channels(c, IN_BETA, infer_dtype(c, 1), e)) ||
        (r = check_channels(c, IN_BIAS, infer_dtype(c, 0), e)))
        return r;
    if (infer_has(c, IN_SKIP) && (r = infer_same_dtype(c, 0, IN_SKIP, e)))
        return r;
    r = infer_like(c, 0, 0, infer_dtype(c, 0), e);
    return r ? r : infer_like(c, 1, 0, infer_dtype(c, 0), e);
}

/* ---- running --------------------------------------------------------------------------------- */

/* skip has an element for every one of x, or one for each channel of an image. */
struct job {
    const struct group_attrs *a;
    int64_t images, channels, inner, per_group;
    bool skip_channels;
};

static struct job job_of(const struct call *c)
{
    const struct group_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, IN_X), *skip = call_in(c, IN_SKIP);
    int channel = channel_dim(a, x->rank);
    struct job j = {.a = a, .images = x->dims[0], .channels = x->dims[channel]};
    j.inner = a->channels_last ? dims_product(x->dims, 1, x->rank - 1)
                               : dims_product(x->dims, 2, x->rank);
    j.per_group = j.channels / a->groups;
    j.skip_channels = skip && tensor_count(skip) != tensor_count(x);
    return j;
}

enum { NORM_COST = 4 };

static int64_t group_tasks(const struct call *c)
{
    struct job j = job_of(c);
    return tasks_for(j.images * j.a->groups, j.per_group * j.inner * NORM_COST);
}

static size_t group_scratch(const struct call *c, size_t *per_member)
{
    struct job j = job_of(c);
    *per_member = (size_t)(j.per_group * j.inner) * sizeof(float);
    return 0;
}

/* Runs of neighbouring elements of a unit: a pixel's channels, or a channel's pixels. */
static int64_t run_at(const struct job *j, int64_t image, int64_t group, int64_t run)
{
    if (j->a->channels_last)
        return (image * j->inner + run) * j->channels + group * j->per_group;
    return (image * j->channels + group * j->per_group + run) * j->inner;
}

static float value_at(const struct tensor *t, int64_t i)
{
    return t->dtype == DTYPE_F32 ? ((const float *)t->data)[i] : (float)tensor_float(t, i);
}

/* v: a run of n elements with skip and bias added. */
static void load_run(const struct call *c, const struct job *j, int64_t image, int64_t group,
                     int64_t run, int64_t n, float *v)
{
    const struct tensor *x = call_in(c, IN_X), *skip = call_in(c, IN_SKIP),
                        *bias = call_in(c, IN_BIAS);
    int64_t at = run_at(j, image, group, run);
    elems_to_f32(x->dtype, x->data, at, n, v);
    for (int64_t i = 0; (skip || bias) && i < n; i++) {
        int64_t channel = group * j->per_group + (j->a->channels_last ? i : run);
        if (skip)
            v[i] += value_at(skip, j->skip_channels ? image * j->channels + channel : at + i);
        if (bias)
            v[i] += value_at(bias, channel);
    }
}

static void unit_run(const struct call *c, const struct job *j, int64_t unit, float *v)
{
    const struct tensor *gamma = call_in(c, IN_GAMMA), *beta = call_in(c, IN_BETA);
    struct tensor *y = call_out(c, 0), *sum = call_out(c, 1);
    bool last = j->a->channels_last != 0;
    int64_t image = unit / j->a->groups, group = unit % j->a->groups;
    int64_t n = last ? j->per_group : j->inner, runs = last ? j->inner : j->per_group;
    float mean, variance;
    for (int64_t i = 0; i < runs; i++) {
        load_run(c, j, image, group, i, n, v + i * n);
        if (sum)
            elems_from_f32(sum->dtype, sum->data, run_at(j, image, group, i), n, v + i * n);
    }
    norm_f32_pick()->moments(v, (size_t)(runs * n), &mean, &variance);
    double inv = 1 / sqrt((double)variance + j->a->epsilon);
    for (int64_t i = 0; i < runs; i++) {
        float *at = v + i * n;
        for (int64_t k = 0; k < n; k++) {
            int64_t channel = group * j->per_group + (last ? k : i);
            double scale = value_at(gamma, channel) * inv;
            at[k] = (float)(at[k] * scale + (value_at(beta, channel) - mean * scale));
        }
    }
    if (j->a->activation)
        unary_f32_pick(UNARY_SILU)(v, v, (size_t)(runs * n), NULL);
    for (int64_t i = 0; i < runs; i++)
        elems_from_f32(y->dtype, y->data, run_at(j, image, group, i), n, v + i * n);
}

static int group_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, IN_X), *skip = call_in(c, IN_SKIP);
    struct job j = job_of(c);
    if (tensor_count(x) == 0)
        return 0;
    if (j.skip_channels && tensor_count(skip) != j.images * j.channels)
        return err_set(e, ERR_INPUT, "skip has neither the elements of X nor one for each channel");
    struct span s = span_of(begin, end, group_tasks(c), j.images * j.a->groups);
    for (int64_t u = s.first; u < s.last; u++)
        unit_run(c, &j, u, call_member_scratch(c, member));
    return 0;
}

static const struct attr group_attr_rows[] = {
    {"channels_last", ATTR_INT, offsetof(struct group_attrs, channels_last), .i = 1},
    {"activation", ATTR_INT, offsetof(struct group_attrs, activation), .required = true},
    {"groups", ATTR_INT, offsetof(struct group_attrs, groups), .required = true},
    {"epsilon", ATTR_FLOAT, offsetof(struct group_attrs, epsilon), .f = 1e-5f},
    {NULL},
};

const struct op op_ms_groupnorm = {
    .domain = "com.microsoft", .name = "GroupNorm", .since = 1,
    .in_min = 3, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = group_attr_rows, .attrs_size = sizeof(struct group_attrs),
    .infer = group_infer, .scratch = group_scratch, .tasks = group_tasks, .run = group_run,
    .kernels = "norm unary",
};

const struct op op_ms_skipgroupnorm = {
    .domain = "com.microsoft", .name = "SkipGroupNorm", .since = 1,
    .in_min = 4, .in_max = 5, .out_min = 1, .out_max = 2, .flags = OP_PURE,
    .attrs = group_attr_rows, .attrs_size = sizeof(struct group_attrs),
    .infer = group_infer, .scratch = group_scratch, .tasks = group_tasks, .run = group_run,
    .kernels = "norm unary",
};
