/* SPDX-License-Identifier: Apache-2.0 */
/* com.microsoft's fused activations, normalisations and products. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op/op_test.h"

#define MS "com.microsoft"

/* ---- references ------------------------------------------------------------------------------ */

static double gelu_of(const char *name, double alpha, double v)
{
    if (strcmp(name, "FastGelu") == 0 || strcmp(name, "GemmFastGelu") == 0)
        return v / 2 * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    if (strcmp(name, "QuickGelu") == 0)
        return v / (1 + exp(-alpha * v));
    return v / 2 * (1 + erf(v / sqrt(2)));
}

static void gelu(struct op_run *r)
{
    struct op_tensor *y = op_out_like(r, 0, 0);
    op_scale(y);
    for (int64_t i = 0; i < y->n; i++) {
        double v = r->in[0].v[i] + (op_has(r, 1) ? r->in[1].v[i % r->in[1].n] : 0);
        y->v[i] = gelu_of(r->row->name, op_float(r, "alpha", 1.702f), v);
        y->scale[i] = fabs(v) + 0.1;
    }
}

static void skip_norm(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0], *skip = &r->in[1];
    bool rms = strcmp(r->row->name, "SkipLayerNormalization") != 0;
    int64_t n = x->dims[x->rank - 1], rows = x->n / (n ? n : 1), dims[TENSOR_RANK_MAX];
    int bias = rms ? 3 : 4;
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank - 1] = 1;
    op_scale(op_out_like(r, 0, 0));
    for (int o = 1; o < 3 && o < r->n_out; o++)
        op_scale(op_out(r, o, DTYPE_F32, x->rank, dims));
    if (r->n_out > 3)
        op_scale(op_out_like(r, 3, 0));
    for (int64_t row = 0; row < rows; row++) {
        double v[1024], mean = 0, size = 0, squares = 0, *y = r->out[0].v + row * n;
        for (int64_t i = 0; i < n; i++) {
            v[i] = x->v[row * n + i] + skip->v[(row * n + i) % skip->n] +
                   (op_has(r, bias) ? r->in[bias].v[i] : 0);
            mean += rms ? 0 : v[i] / (double)n;
            size += fabs(v[i]) / (double)n;
        }
        for (int64_t i = 0; i < n; i++)
            squares += (v[i] - mean) * (v[i] - mean);
        double inverse = 1 / sqrt(squares / (double)n + op_float(r, "epsilon", 1e-12f));
        for (int64_t i = 0; i < n; i++) {
            double w = r->in[2].v[i], b = !rms && op_has(r, 3) ? r->in[3].v[i] : 0;
            y[i] = (v[i] - mean) * inverse * w + b;
            r->out[0].scale[row * n + i] = (fabs(v[i]) + size + 1) * inverse * fabs(w) + fabs(b);
            if (r->n_out > 3) {
                r->out[3].v[row * n + i] = v[i];
                r->out[3].scale[row * n + i] = fabs(v[i]) + 2;
            }
        }
        if (r->n_out > 2) {
            r->out[1].v[row] = mean;
            r->out[1].scale[row] = size;
            r->out[2].v[row] = r->out[2].scale[row] = inverse;
        }
    }
}

static void group_norm(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor *y = op_out_like(r, 0, 0);
    bool last = op_int(r, "channels_last", 1) != 0, silu = op_int(r, "activation", 0) != 0;
    int64_t c = x->dims[last ? x->rank - 1 : 1], inner = x->n / (x->n ? x->dims[0] * c : 1);
    int64_t groups = op_int(r, "groups", 1), size = c / groups * inner;
    op_scale(y);
    for (int64_t unit = 0; unit < x->dims[0] * groups; unit++) {
        double mean = 0, squares = 0, all = 0;
        for (int pass = 0; pass < 3; pass++) {
            for (int64_t i = 0; i < size; i++) {
                int64_t channel = unit % groups * (c / groups) + i / inner, p = i % inner;
                int64_t image = unit / groups;
                int64_t at =
                    last ? (image * inner + p) * c + channel : (image * c + channel) * inner + p;
                double v = x->v[at];
                mean += pass == 0 ? v / (double)size : 0;
                all += pass == 0 ? fabs(v) / (double)size : 0;
                squares += pass == 1 ? (v - mean) * (v - mean) : 0;
                if (pass < 2)
                    continue;
                double inverse = 1 / sqrt(squares / (double)size + op_float(r, "epsilon", 1e-5f));
                double w = (v - mean) * inverse * r->in[1].v[channel] + r->in[2].v[channel];
                y->v[at] = silu ? w / (1 + exp(-w)) : w;
                y->scale[at] = (fabs(v) + all) * inverse * fabs(r->in[1].v[channel]) +
                               fabs(r->in[2].v[channel]) + 0.1;
            }
        }
    }
}

/* A of dims [batch, m, k], or as transA and transBatchA say; B alike. */
static int64_t place(const struct op_run *r, int side, int64_t batch, int64_t row, int64_t col)
{
    const struct op_tensor *t = &r->in[side];
    bool trans = op_int(r, side ? "transB" : "transA", 0) != 0;
    bool turned = op_int(r, side ? "transBatchB" : "transBatchA", 0) != 0;
    int64_t index[3] = {batch, trans ? col : row, trans ? row : col};
    if (turned) {
        index[0] = trans ? col : row;
        index[1] = batch;
        index[2] = trans ? row : col;
    }
    return op_place(t, index + 3 - t->rank, t->rank);
}

static void matmul(struct op_run *r)
{
    const struct op_tensor *a = &r->in[0], *b = &r->in[1];
    bool turned = op_int(r, "transBatchA", 0) != 0, trans = op_int(r, "transA", 0) != 0;
    int row = turned ? 0 : 1, batch = turned ? 1 : 0;
    int64_t dims[3] = {a->dims[batch], a->dims[trans ? 2 : row]}, k = a->dims[trans ? row : 2];
    bool turned_b = op_int(r, "transBatchB", 0) != 0;
    dims[2] = b->dims[op_int(r, "transB", 0) ? (turned_b ? 0 : b->rank - 2) : b->rank - 1];
    struct op_tensor *y = op_out(r, 0, a->dtype, 3, dims);
    op_scale(y);
    for (int64_t i = 0; i < y->n; i++) {
        int64_t at[3];
        op_unravel(i, dims, 3, at);
        for (int64_t p = 0; p < k; p++) {
            double v = a->v[place(r, 0, at[0], at[1], p)] * b->v[place(r, 1, at[0], p, at[2])];
            y->v[i] += v * op_float(r, "alpha", 1);
            y->scale[i] += fabs(v);
        }
        if (op_is(r, "activation", "Relu"))
            y->v[i] = y->v[i] < 0 ? 0 : y->v[i];
    }
}

/* FusedGemm without transposition, GemmFastGelu. */
static void gemm(struct op_run *r)
{
    const struct op_tensor *a = &r->in[0], *b = &r->in[1];
    int64_t dims[2] = {a->dims[0], b->dims[1]}, k = a->dims[1];
    struct op_tensor *y = op_out(r, 0, a->dtype, 2, dims);
    op_scale(y);
    for (int64_t i = 0; i < y->n; i++) {
        for (int64_t p = 0; p < k; p++) {
            double v = a->v[i / dims[1] * k + p] * b->v[p * dims[1] + i % dims[1]];
            y->v[i] += v;
            y->scale[i] += fabs(v);
        }
        y->v[i] += r->in[2].v[i % dims[1]];
        y->scale[i] += fabs(r->in[2].v[i % dims[1]]);
        if (strcmp(r->row->name, "GemmFastGelu") == 0)
            y->v[i] = gelu_of(r->row->name, 0, y->v[i]);
        else if (op_is(r, "activation", "Tanh"))
            y->v[i] = tanh(y->v[i]);
    }
}

static void moe(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0], *fc1 = &r->in[2], *fc2 = &r->in[4];
    int64_t h = x->dims[1], e = fc2->dims[0], n = fc2->dims[2];
    struct op_tensor *y = op_out_like(r, 0, 0);
    op_scale(y);
    for (int64_t t = 0; t < x->dims[0]; t++) {
        const double *p = r->in[1].v + t * e;
        double sum = 0;
        for (int64_t i = 0; i < e; i++)
            sum += exp(p[i]);
        for (int64_t i = 0; i < e; i++) {
            int above = 0;
            for (int64_t k = 0; k < e; k++)
                above += p[k] > p[i] || (p[k] == p[i] && k < i);
            if (above >= op_int(r, "k", 1))
                continue;
            for (int64_t j = 0; j < n; j++) {
                double v = 0;
                for (int64_t k = 0; k < h; k++)
                    v += fc1->v[(i * n + j) * h + k] * x->v[t * h + k];
                for (int64_t k = 0; k < h; k++) {
                    double term = exp(p[i]) / sum * fc2->v[(i * h + k) * n + j] * v / (1 + exp(-v));
                    y->v[t * h + k] += term;
                    y->scale[t * h + k] += fabs(term) + 0.1 / (double)n;
                }
            }
        }
    }
}

static void cdist(struct op_run *r)
{
    const struct op_tensor *a = &r->in[0], *b = &r->in[1];
    int64_t dims[2] = {a->dims[0], b->dims[0]}, n = a->dims[1];
    struct op_tensor *y = op_out(r, 0, a->dtype, 2, dims);
    for (int64_t i = 0; i < y->n; i++)
        for (int64_t k = 0; k < n; k++) {
            double d = a->v[i / dims[1] * n + k] - b->v[i % dims[1] * n + k];
            y->v[i] += d * d;
        }
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Functions within 8 ulp of their argument after an addition; moments of some hundred terms; sums
 * in chains, far below their bound. */
#define TOL 24
#define FLOATS "f32 f64 f16 bf16"

static const struct op_case rows[] = {
    {.name = "Gelu",
     .domain = MS,
     .in = "T[B,4,37]:-4:4",
     .types = FLOATS,
     .ref = gelu,
     .tol = TOL},
    {.name = "BiasGelu",
     .domain = MS,
     .in = "T[B,4,37]:-4:4 T[37]",
     .types = FLOATS,
     .ref = gelu,
     .tol = TOL},
    {.name = "FastGelu",
     .domain = MS,
     .in = "T[B,700]:-4:4 T[700]",
     .types = FLOATS,
     .ref = gelu,
     .tol = TOL},
    {.name = "QuickGelu",
     .domain = MS,
     .in = "T[B,90]:-4:4",
     .types = FLOATS,
     .attrs = "alpha=0.7",
     .ref = gelu,
     .tol = TOL},
    {.name = "SkipLayerNormalization",
     .domain = MS,
     .in = "T[B,4,37] T[B,4,37] T[37] T[37] T[37]",
     .types = FLOATS,
     .attrs = "epsilon=0.01",
     .outs = 4,
     .ref = skip_norm,
     .tol = TOL},
    {.name = "SkipLayerNormalization",
     .domain = MS,
     .in = "f32[B,5,768] f32[5,768] f32[768]",
     .attrs = "epsilon=0.001",
     .ref = skip_norm,
     .tol = TOL},
    {.name = "SkipSimplifiedLayerNormalization",
     .domain = MS,
     .in = "T[B,4,64] T[B,4,64] T[64] T[64]",
     .types = FLOATS,
     .attrs = "epsilon=0.01",
     .ref = skip_norm,
     .tol = TOL},
    {.name = "GroupNorm",
     .domain = MS,
     .in = "T[B,5,4,12] f32[12] f32[12]",
     .types = "f32 f16",
     .attrs = "groups=3 activation=1",
     .ref = group_norm,
     .tol = TOL},
    {.name = "GroupNorm",
     .domain = MS,
     .in = "f32[B,12,5,4] f32[12] f32[12]",
     .attrs = "groups=4 activation=0 channels_last=0",
     .ref = group_norm,
     .tol = TOL},
    {.name = "FusedMatMul",
     .domain = MS,
     .in = "T[B,7,40] T[B,9,40]",
     .types = FLOATS,
     .attrs = "transB=1 alpha=0.5",
     .ref = matmul,
     .tol = TOL},
    {.name = "FusedMatMul",
     .domain = MS,
     .in = "f32[B,40,7] f32[40,70]",
     .attrs = "transA=1",
     .ref = matmul,
     .tol = TOL},
    {.name = "FusedMatMul",
     .domain = MS,
     .in = "f32[7,5,300] f32[300,5,33]",
     .attrs = "transBatchA=1 transBatchB=1",
     .ref = matmul,
     .tol = TOL},
    {.name = "FusedMatMul",
     .domain = MS,
     .in = "f32[7,5,300] f32[33,5,300]",
     .attrs = "transBatchA=1 transBatchB=1 transB=1",
     .ref = matmul,
     .tol = TOL},
    {.name = "FusedMatMulActivation",
     .domain = MS,
     .in = "f32[B,7,40] f32[40,9]",
     .attrs = "activation=Relu",
     .ref = matmul,
     .tol = TOL},
    {.name = "FusedGemm",
     .domain = MS,
     .in = "T[B,40] T[40,9] T[9]",
     .types = "f32 f64",
     .attrs = "activation=Tanh",
     .ref = gemm,
     .tol = TOL},
    {.name = "GemmFastGelu",
     .domain = MS,
     .in = "f32[B,300] f32[300,90] f32[90]",
     .ref = gemm,
     .tol = TOL},
    {.name = "MoE",
     .domain = MS,
     .in = "f32[B,20] f32[B,4] f32[4,30,20] - f32[4,20,30]",
     .attrs = "k=2 activation_type=silu",
     .ref = moe,
     .tol = TOL},
    {.name = "CDist",
     .domain = MS,
     .in = "T[B,50] T[20,50]",
     .types = "f32 f64",
     .ref = cdist,
     .tol = TOL},
};

OP_MAIN("op fused", OP_TABLE(rows))
