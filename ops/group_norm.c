/* SPDX-License-Identifier: Apache-2.0 */
/* GroupNormalization and InstanceNormalization, which has groups of one channel. A group of an
 * image is contiguous and one task's: its moments, then for each of its channels y = x * a + b with
 * a and b from the moments, scale and bias, in double. f32 runs on kernels/norm.h, f16 and bf16 are
 * widened a group at a time.
 */
#include <math.h>

#include "graph/attrs.h"
#include "kernels/norm.h"
#include "ops/common.h"

/* ---- inference ------------------------------------------------------------------------------- */

static int norm_infer(struct infer *c, int64_t want, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)) || (r = infer_same_dtype(c, 0, 2, e)))
        return r;
    for (int i = 1; i < 3; i++) {
        if (infer_rank(c, i) >= 0 && (infer_rank(c, i) != 1 ||
                                      (want >= 0 && sym_differ(c->syms, infer_dim(c, i, 0), want))))
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                           "input %d must have one number for each channel or group", i);
    }
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int instance_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0);
    if (rank >= 0 && rank < 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, less than 2", rank);
    return norm_infer(c, rank < 0 ? -1 : infer_dim(c, 0, 1), e);
}

/* Scale and bias were one number a group before version 21. */
static int group_infer(struct infer *c, struct err *e)
{
    const struct attrs_groupnorm *a = c->attrs;
    int rank = infer_rank(c, 0);
    if (rank >= 0 && rank < 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, less than 2", rank);
    if (a->num_groups < 1)
        return err_set(e, ERR_MODEL, "num_groups is %lld", (long long)a->num_groups);
    if (rank >= 0 && sym_is_number(infer_dim(c, 0, 1)) && infer_dim(c, 0, 1) % a->num_groups != 0)
        return err_set(e, ERR_MODEL, "%lld channels do not divide into %lld groups",
                       (long long)infer_dim(c, 0, 1), (long long)a->num_groups);
    if (c->node->opset < 21)
        return norm_infer(c, a->num_groups, e);
    return norm_infer(c, rank < 0 ? -1 : infer_dim(c, 0, 1), e);
}

/* ---- running --------------------------------------------------------------------------------- */

/* x as [units, channels of a group, inner]; units are the groups of all images. */
struct groups {
    int64_t units, groups, channels, inner;
    bool by_group; /* scale and bias are */
};

static struct groups groups_of(const struct call *c, int64_t groups, bool by_group)
{
    const struct tensor *x = call_in(c, 0);
    struct groups g = {.by_group = by_group};
    if (tensor_count(x) == 0)
        return g;
    g.groups = groups;
    g.channels = x->dims[1] / groups;
    g.units = x->dims[0] * groups;
    g.inner = dims_product(x->dims, 2, x->rank);
    return g;
}

static struct groups of_instance(const struct call *c)
{
    return groups_of(c, call_in(c, 0)->dims[1], false);
}

static struct groups of_group(const struct call *c)
{
    const struct attrs_groupnorm *a = c->attrs;
    return groups_of(c, a->num_groups, c->node->opset < 21);
}

static int64_t norm_tasks(struct groups g)
{
    return tasks_for(g.units, g.channels * g.inner);
}

static size_t norm_scratch(const struct call *c, struct groups g)
{
    enum dtype t = call_in(c, 0)->dtype;
    return t == DTYPE_F16 || t == DTYPE_BF16 ? (size_t)(g.channels * g.inner) * sizeof(float) : 0;
}

static void moments_f64(const double *x, int64_t n, double *mean, double *variance)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *variance = squares / (double)n;
}

/* A unit whose elements, f32 or f64, are x; results to y, which may be x. */
static void unit_run(const struct call *c, struct groups g, int64_t unit, double epsilon,
                     const void *x, void *y, bool is_f64)
{
    const struct norm_f32_kernel *k = norm_f32_pick();
    double mean, variance;
    if (is_f64) {
        moments_f64(x, g.channels * g.inner, &mean, &variance);
    } else {
        float m, v;
        k->moments(x, (size_t)(g.channels * g.inner), &m, &v);
        mean = m;
        variance = v;
    }
    double inv = 1 / sqrt(variance + epsilon);
    for (int64_t i = 0; i < g.channels; i++) {
        int64_t group = unit % g.groups, at = g.by_group ? group : group * g.channels + i;
        double scale = tensor_float(call_in(c, 1), at) * inv;
        double shift = tensor_float(call_in(c, 2), at) - mean * scale;
        if (!is_f64) {
            k->affine((const float *)x + i * g.inner, (float *)y + i * g.inner, (size_t)g.inner,
                      (float)scale, (float)shift);
            continue;
        }
        for (int64_t p = i * g.inner; p < (i + 1) * g.inner; p++)
            ((double *)y)[p] = ((const double *)x)[p] * scale + shift;
    }
}

static int norm_run(struct call *c, struct groups g, int64_t begin, int64_t end, float *scratch,
                    double epsilon)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    int64_t first, last, unused, tasks = norm_tasks(g), n = g.channels * g.inner;
    if (g.units == 0)
        return 0;
    task_range(begin, tasks, g.units, &first, &unused);
    task_range(end - 1, tasks, g.units, &unused, &last);
    size_t size = dtype_size(x->dtype);
    for (int64_t u = first; u < last; u++) {
        if (x->dtype == DTYPE_F32 || x->dtype == DTYPE_F64) {
            unit_run(c, g, u, epsilon, (const char *)x->data + (size_t)(u * n) * size,
                     (char *)y->data + (size_t)(u * n) * size, x->dtype == DTYPE_F64);
            continue;
        }
        elems_to_f32(x->dtype, x->data, u * n, n, scratch);
        unit_run(c, g, u, epsilon, scratch, scratch, false);
        elems_from_f32(y->dtype, y->data, u * n, n, scratch);
    }
    return 0;
}

static size_t instance_scratch(const struct call *c, size_t *per_member)
{
    *per_member = norm_scratch(c, of_instance(c));
    return 0;
}

static int64_t instance_tasks(const struct call *c)
{
    return norm_tasks(of_instance(c));
}

static int instance_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_instancenorm *a = c->attrs;
    return norm_run(c, of_instance(c), begin, end, call_member_scratch(c, member), a->epsilon);
}

static size_t group_scratch(const struct call *c, size_t *per_member)
{
    *per_member = norm_scratch(c, of_group(c));
    return 0;
}

static int64_t group_tasks(const struct call *c)
{
    return norm_tasks(of_group(c));
}

static int group_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_groupnorm *a = c->attrs;
    return norm_run(c, of_group(c), begin, end, call_member_scratch(c, member), a->epsilon);
}

static const struct attr instance_attrs[] = {
    {"epsilon", ATTR_FLOAT, offsetof(struct attrs_instancenorm, epsilon), .f = 1e-5f},
    {"consumed_inputs", ATTR_INTS, 0, .ignore = true, .until = 5},
    {NULL},
};

const struct op op_instancenormalization = {
    .domain = "", .name = "InstanceNormalization", .since = 1,
    .in_min = 3, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .attrs = instance_attrs, .attrs_size = sizeof(struct attrs_instancenorm),
    .infer = instance_infer, .scratch = instance_scratch, .tasks = instance_tasks,
    .run = instance_run,
    .kernels = "norm",
};

static const struct attr group_attrs[] = {
    {"epsilon", ATTR_FLOAT, offsetof(struct attrs_groupnorm, epsilon), .f = 1e-5f},
    {"num_groups", ATTR_INT, offsetof(struct attrs_groupnorm, num_groups), .required = true},
    {"stash_type", ATTR_INT, offsetof(struct attrs_groupnorm, stash_type), .since = 21, .i = 1},
    {NULL},
};

const struct op op_groupnormalization = {
    .domain = "", .name = "GroupNormalization", .since = 18,
    .in_min = 3, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .attrs = group_attrs, .attrs_size = sizeof(struct attrs_groupnorm),
    .infer = group_infer, .scratch = group_scratch, .tasks = group_tasks, .run = group_run,
    .kernels = "norm",
};
