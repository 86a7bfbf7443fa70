/* SPDX-License-Identifier: Apache-2.0 */
/* Layer, RMS, batch, instance and group normalisation, LRN, LpNormalization. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op/op_test.h"

/* A mean and a variance of some hundred terms, a root and two roundings; relative to the largest
 * term of the last sum, as the mean is subtracted. */
#define TOL 24
#define FLOATS "f32 f64 f16 bf16"

struct statistics {
    double mean, size, inverse; /* size: the mean magnitude; inverse: of the deviation */
};

static struct statistics statistics_of(const double *x, int64_t n, double epsilon, bool about_zero)
{
    double sum = 0, squares = 0, all = 0;
    for (int64_t i = 0; i < n && !about_zero; i++) {
        sum += x[i];
        all += fabs(x[i]);
    }
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    return (struct statistics){mean, all / (double)n, 1 / sqrt(squares / (double)n + epsilon)};
}

/* y = (x - mean) * inverse * w + b, with the size of what was added up. */
static void put(struct op_tensor *y, int64_t i, double x, struct statistics s, double w, double b)
{
    y->v[i] = (x - s.mean) * s.inverse * w + b;
    y->scale[i] = (fabs(x) + s.size) * s.inverse * fabs(w) + fabs(b);
}

static void layer_norm(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    bool rms = strcmp(r->row->name, "LayerNormalization") != 0;
    struct op_tensor *y = op_out_like(r, 0, 0);
    int axis = op_axis(op_int(r, "axis", -1), x->rank);
    int64_t rows = op_product(x->dims, 0, axis), n = op_product(x->dims, axis, x->rank);
    int64_t dims[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX];
    op_scale(y);
    for (int k = 0; k < x->rank; k++)
        dims[k] = k < axis ? x->dims[k] : 1;
    for (int o = 1; o < r->n_out; o++)
        op_scale(op_out(r, o, DTYPE_F32, x->rank, dims)); /* the type of stash_type */
    for (int64_t i = 0; i < rows; i++) {
        struct statistics s = statistics_of(x->v + i * n, n, op_float(r, "epsilon", 1e-5f), rms);
        for (int64_t k = 0; k < n; k++) {
            op_unravel(i * n + k, x->dims, x->rank, index);
            double w = r->in[1].v[op_place(&r->in[1], index, x->rank)];
            double b = op_has(r, 2) ? r->in[2].v[op_place(&r->in[2], index, x->rank)] : 0;
            put(y, i * n + k, x->v[i * n + k], s, w, b);
        }
        if (r->n_out > 1) {
            r->out[1].v[i] = rms ? s.inverse : s.mean;
            r->out[1].scale[i] = rms ? s.inverse : s.size;
        }
        if (r->n_out > 2)
            r->out[2].v[i] = r->out[2].scale[i] = s.inverse;
    }
}

static void batch_norm(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor *y = op_out_like(r, 0, 0);
    int64_t inner = op_product(x->dims, 2, x->rank), c = x->dims[1];
    op_scale(y);
    for (int64_t i = 0; i < y->n; i++) {
        int64_t k = i / inner % c;
        double mean = r->in[3].v[k], inverse = 1 / sqrt(r->in[4].v[k] + op_float(r, "epsilon",
                                                                                 1e-5f));
        put(y, i, x->v[i], (struct statistics){mean, fabs(mean), inverse}, r->in[1].v[k],
            r->in[2].v[k]);
    }
}

/* Instance normalisation is a group a channel. */
static void group_norm(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor *y = op_out_like(r, 0, 0);
    int64_t c = x->dims[1], groups = op_int(r, "num_groups", c), inner = op_product(x->dims, 2,
                                                                                    x->rank);
    int64_t n = c / groups * inner;
    op_scale(y);
    for (int64_t g = 0; g < x->dims[0] * groups; g++) {
        struct statistics s = statistics_of(x->v + g * n, n, op_float(r, "epsilon", 1e-5f), false);
        for (int64_t i = 0; i < n; i++) {
            int64_t k = (g * n + i) / inner % c;
            put(y, g * n + i, x->v[g * n + i], s, r->in[1].v[k], r->in[2].v[k]);
        }
    }
}

static void lrn(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor *y = op_out_like(r, 0, 0);
    int64_t c = x->dims[1], inner = op_product(x->dims, 2, x->rank), size = op_int(r, "size", 0);
    for (int64_t i = 0; i < y->n; i++) {
        int64_t k = i / inner % c, low = k - (size - 1) / 2, high = k + size / 2;
        double sum = 0;
        for (int64_t j = low < 0 ? 0 : low; j <= high && j < c; j++)
            sum += x->v[i + (j - k) * inner] * x->v[i + (j - k) * inner];
        y->v[i] = x->v[i] / pow(op_float(r, "bias", 1) + op_float(r, "alpha",
                                                                  1e-4f) / (double)size * sum,
                                op_float(r, "beta", 0.75));
    }
}

static void lp_norm(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor *y = op_out_like(r, 0, 0);
    int axis = op_axis(op_int(r, "axis", -1), x->rank);
    int64_t n = x->dims[axis], inner = op_product(x->dims, axis + 1, x->rank);
    for (int64_t i = 0; i < y->n; i++) {
        const double *first = x->v + i / inner / n * n * inner + i % inner;
        double sum = 0;
        for (int64_t k = 0; k < n; k++)
            sum += op_int(r, "p",
                          2) == 1 ? fabs(first[k * inner]) : first[k * inner] * first[k * inner];
        sum = op_int(r, "p", 2) == 1 ? sum : sqrt(sum);
        y->v[i] = sum == 0 ? 0 : x->v[i] / sum;
    }
}

static const struct op_case rows[] = {
    {.name = "LayerNormalization", .in = "T[B,4,37] T[37] T[37]", .types = FLOATS,
     .ref = layer_norm, .tol = TOL},
    {.name = "LayerNormalization", .in = "f32[B,5,64] f32[64]", .ref = layer_norm, .tol = TOL},
    {.name = "LayerNormalization", .in = "f32[B,768]:2:6 f32[768] f32[768]", .ref = layer_norm,
     .tol = TOL},
    {.name = "LayerNormalization", .in = "T[B,4,5,6] T[5,6] T[5,6]", .attrs = "axis=2 epsilon=0.01",
     .types = FLOATS, .outs = 3, .ref = layer_norm, .tol = TOL},
    {.name = "LayerNormalization", .in = "f32[B,4,5] f32[1,5] f32[4,5]", .attrs = "axis=1",
     .ref = layer_norm,
     .tol = TOL},
    {.name = "RMSNormalization", .in = "T[B,4,37] T[37]", .types = FLOATS, .ref = layer_norm,
     .tol = TOL},
    {.name = "RMSNormalization", .in = "f32[B,4,5,6] f32[5,6]", .attrs = "axis=-2 epsilon=0.1",
     .ref = layer_norm, .tol = TOL},
    {.name = "RMSNormalization", .in = "f32[B,900] f32[900]", .ref = layer_norm, .tol = TOL},
    {.name = "BatchNormalization", .in = "T[B,5,7,9] T[5] T[5] T[5] T[5]:0.1:2", .types = FLOATS,
     .ref = batch_norm, .tol = TOL},
    {.name = "BatchNormalization", .in = "f32[B,33] f32[33] f32[33] f32[33] f32[33]:0.1:2",
     .attrs = "epsilon=0.01", .ref = batch_norm, .tol = TOL},
    {.name = "BatchNormalization", .in = "f32[B,6,50,50] f32[6] f32[6] f32[6] f32[6]:0.1:2",
     .ref = batch_norm, .tol = TOL},
    {.name = "InstanceNormalization", .in = "T[B,5,7,9] T[5] T[5]", .types = FLOATS,
     .ref = group_norm,
     .tol = TOL},
    {.name = "InstanceNormalization", .in = "f32[B,3,60,60]:1:3 f32[3] f32[3]", .ref = group_norm,
     .tol = TOL},
    {.name = "GroupNormalization", .in = "T[B,6,5,4] T[6] T[6]", .attrs = "num_groups=3",
     .types = FLOATS,
     .ref = group_norm, .tol = TOL},
    {.name = "GroupNormalization", .in = "f32[B,8,30,30] f32[8] f32[8]",
     .attrs = "num_groups=2 epsilon=0.001",
     .ref = group_norm, .tol = TOL},
    {.name = "LRN", .in = "T[B,7,4,5]", .attrs = "size=3", .types = FLOATS, .ref = lrn, .tol = TOL},
    {.name = "LRN", .in = "f32[B,9,4,5]:-3:3", .attrs = "size=4 alpha=0.5 beta=0.6 bias=2",
     .ref = lrn,
     .tol = TOL},
    {.name = "LpNormalization", .in = "T[B,7,4]", .types = FLOATS, .attrs = "axis=1",
     .ref = lp_norm, .tol = TOL},
    {.name = "LpNormalization", .in = "f32[B,70]", .attrs = "p=1", .ref = lp_norm, .tol = TOL},
    {.name = "LpNormalization", .in = "f32[2,3]=0,0,0,1,2,2", .ref = lp_norm, .tol = TOL},
};

OP_MAIN("op norm", OP_TABLE(rows))
