/* SPDX-License-Identifier: Apache-2.0 */
/* com.microsoft's products by quantised weights: MatMulNBits, MatMulIntegerToFloat; and
 * GatherBlockQuantized of packed bytes. */
#include <math.h>

#include "tests/op/op_test.h"

#define MS "com.microsoft"

/* Code i of a run of bytes, low bits first. */
static double code_at(const struct op_tensor *t, int64_t byte, int64_t i, int64_t bits)
{
    int64_t v = (int64_t)t->v[byte + i * bits / 8];
    return (double)(v >> i * bits % 8 & ((1 << bits) - 1));
}

static double zero_of(const struct op_run *r, int64_t column, int64_t b, int64_t blocks,
                      int64_t bits)
{
    if (!op_has(r, 3))
        return ldexp(1, (int)bits - 1);
    if (r->in[3].dtype == DTYPE_U8)
        return code_at(&r->in[3], column * ((blocks * bits + 7) / 8), b, bits);
    return r->in[3].v[column * blocks + b];
}

static void nbits(struct op_run *r)
{
    const struct op_tensor *a = &r->in[0];
    int64_t k = op_int(r, "K", 0), n = op_int(r, "N", 0), bits = op_int(r, "bits", 4);
    int64_t block = op_int(r, "block_size", 0), blocks = (k + block - 1) / block;
    int64_t dims[TENSOR_RANK_MAX];
    for (int i = 0; i < a->rank; i++)
        dims[i] = a->dims[i];
    dims[a->rank - 1] = n;
    struct op_tensor *y = op_out(r, 0, a->dtype, a->rank, dims);
    op_scale(y);
    for (int64_t i = 0; i < y->n; i++) {
        int64_t row = i / n, j = i % n;
        for (int64_t p = 0; p < k; p++) {
            int64_t b = p / block;
            double w = code_at(&r->in[1], (j * blocks + b) * block * bits / 8, p % block, bits) -
                       zero_of(r, j, b, blocks, bits);
            double term = a->v[row * k + p] * w * r->in[2].v[j * blocks + b];
            y->v[i] += term;
            y->scale[i] += fabs(term);
        }
        if (op_has(r, 5)) {
            y->v[i] += r->in[5].v[j];
            y->scale[i] += fabs(r->in[5].v[j]);
        }
    }
}

static void to_float(struct op_run *r)
{
    const struct op_tensor *a = &r->in[0], *b = &r->in[1];
    int64_t k = a->dims[1], n = b->dims[1], dims[2] = {a->dims[0], n};
    struct op_tensor *y = op_out(r, 0, DTYPE_F32, 2, dims);
    op_scale(y);
    for (int64_t i = 0; i < y->n; i++) {
        double sum = 0;
        for (int64_t p = 0; p < k; p++)
            sum += (a->v[i / n * k + p] - r->in[4].v[0]) * (b->v[p * n + i % n] - r->in[5].v[0]);
        y->v[i] = sum * r->in[2].v[0] * r->in[3].v[r->in[3].n == 1 ? 0 : i % n] + r->in[6].v[i % n];
        y->scale[i] = fabs(y->v[i]) + 2 * fabs(r->in[6].v[i % n]);
    }
}

static void gather(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0], *at = &r->in[1];
    int64_t bits = op_int(r, "bits", 4), block = op_int(r, "block_size", 128);
    int64_t n = x->dims[1] * 8 / bits, blocks = (n + block - 1) / block, dims[2] = {at->n, n};
    struct op_tensor *y = op_out(r, 0, r->in[2].dtype, 2, dims);
    for (int64_t i = 0; i < y->n; i++) {
        int64_t row = (int64_t)at->v[i / n], k = i % n;
        y->v[i] = (code_at(x, row * x->dims[1], k, bits) - ldexp(1, (int)bits - 1)) *
                  r->in[2].v[row * blocks + k / block];
    }
}

/* Chains of at most 32 or 64 products, then one a block: far below this bound. */
#define TOL 16
static const struct op_case rows[] = {
    {.name = "MatMulNBits", .domain = MS, .attrs = "K=96 N=70 bits=4 block_size=32",
     .in = "T[B,96] u8[70,3,16]:0:255 T[70,3]:0.01:0.1 u8[70,2]:0:255", .types = "f32 f16 bf16",
     .ref = nbits, .tol = TOL},
    {.name = "MatMulNBits", .domain = MS, .attrs = "K=100 N=33 bits=8 block_size=64",
     .in = "T[B,7,100] u8[33,2,64]:0:255 T[33,2]:0.01:0.1 - - T[33]", .types = "f32 f16",
     .ref = nbits, .tol = TOL},
    {.name = "MatMulNBits", .domain = MS, .attrs = "K=50 N=20 bits=2 block_size=16",
     .in = "f32[B,50] u8[20,4,4]:0:255 f32[20,4]:0.01:0.1 f32[20,4]:0:3", .ref = nbits, .tol = TOL},
    {.name = "MatMulNBits", .domain = MS, .attrs = "K=256 N=600 bits=4 block_size=32",
     .in = "f32[60,256] u8[600,8,16]:0:255 f32[600,8]:0.01:0.1", .ref = nbits, .tol = TOL},
    {.name = "MatMulIntegerToFloat", .domain = MS,
     .in = "T[B,300]:0:120 u8[300,70]:0:255 f32[]=0.02 f32[70]:0.01:0.1 T[]=3 u8[]=100 f32[70]",
     .types = "u8 i8", .ref = to_float, .tol = 4},
    {.name = "GatherBlockQuantized", .domain = MS, .attrs = "bits=4 block_size=16",
     .in = "u8[9,20]:0:255 i64[4]=8,0,3,3 T[9,3]:0.1:1", .types = "f32 f16",
     .ref = gather, .tol = 2},
};

OP_MAIN("op nbits", OP_TABLE(rows))
