/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul, Gemm, MatMulInteger, QLinearMatMul, Einsum. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op/op_test.h"

/* A chain of k fused or unfused multiply-adds is within k * eps of the sum of magnitudes; random
 * signs stay far below: 8 covers the k of these rows. */
#define TOL 8
#define FLOATS "f32 f64 f16 bf16"

static void matmul(struct op_run *r)
{
    struct op_tensor a = r->in[0], b = r->in[1];
    bool row = a.rank == 1, column = b.rank == 1;
    int64_t dims[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX];
    if (row)
        a.rank = 2, a.dims[1] = a.dims[0], a.dims[0] = 1;
    if (column)
        b.rank = 2, b.dims[1] = 1;
    int64_t m = a.dims[a.rank - 2], k = a.dims[a.rank - 1], n = b.dims[b.rank - 1];
    int ra = a.rank - 2, rb = b.rank - 2, batch = ra > rb ? ra : rb, rank = batch;
    for (int i = 0; i < batch; i++) {
        int64_t da = i - (batch - ra) >= 0 ? a.dims[i - (batch - ra)] : 1;
        int64_t db = i - (batch - rb) >= 0 ? b.dims[i - (batch - rb)] : 1;
        dims[i] = da == 1 ? db : da;
    }
    if (!row)
        dims[rank++] = m;
    if (!column)
        dims[rank++] = n;
    enum dtype out = strcmp(r->row->name, "MatMulInteger") == 0 ? DTYPE_I32 : a.dtype;
    struct op_tensor *y = op_out(r, 0, out, rank, dims);
    double *scale = op_scale(y);
    a.rank = ra;
    b.rank = rb;
    bool zeros = out == DTYPE_I32 && a.dtype != DTYPE_I32;
    for (int64_t i = 0; i < y->n; i++) {
        int64_t at = i / (m * n), p = i / n % m, q = i % n;
        op_unravel(at, dims, batch, index);
        const double *pa = a.v + op_place(&a, index, batch) * m * k + p * k;
        const double *pb = b.v + op_place(&b, index, batch) * k * n + q;
        double za = zeros && op_has(r, 2) ? r->in[2].v[r->in[2].n > 1 ? p : 0] : 0;
        double zb = zeros && op_has(r, 3) ? r->in[3].v[r->in[3].n > 1 ? q : 0] : 0;
        for (int64_t j = 0; j < k; j++) {
            y->v[i] += (pa[j] - za) * (pb[j * n] - zb);
            scale[i] += fabs(pa[j] * pb[j * n]);
        }
    }
}

static const struct op_case matmul_rows[] = {
    {.name = "MatMul", .in = "T[B,5] T[5,7]", .types = FLOATS " i32 i64 u32 u64", .ref = matmul,
     .tol = TOL},
    {.name = "MatMul", .in = "T[4,33] T[33,50]", .types = FLOATS, .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "f32[B,200] f32[200,129]", .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "f32[B,17,64] f32[64,48]", .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "T[B,2,5,9] T[B,2,9,6]", .types = FLOATS, .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "f32[B,1,5,9] f32[4,9,6]", .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "f32[2,1,5,9] f32[1,4,9,6]", .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "f32[3,4] f32[B,4,6]", .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "f32[9] f32[9]", .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "f32[9] f32[B,9,4]", .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "f32[B,4,9] f32[9]", .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "f32[B,0] f32[0,4]", .ref = matmul, .tol = TOL},
    {.name = "MatMul", .in = "f32[130,70] f32[70,300]", .ref = matmul, .tol = TOL},
    {.name = "MatMulInteger", .in = "u8[B,33] u8[33,20]:0:255", .ref = matmul},
    {.name = "MatMulInteger", .in = "u8[4,33]:0:255 i8[33,20]:-128:127 u8[]=7 i8[]=-3",
     .ref = matmul},
    {.name = "MatMulInteger", .in = "i8[2,4,9]:-128:127 i8[2,9,5]:-128:127", .ref = matmul},
    {.name = "MatMulInteger", .in = "u8[3,9]:0:255 u8[9,5]:0:255 u8[3]=1,2,3 u8[5]=9,8,7,6,5",
     .ref = matmul},
    {.name = "MatMulInteger", .in = "u8[B,300]:0:255 i8[300,65]:-128:127 u8[]=128", .ref = matmul},
};

static void gemm(struct op_run *r)
{
    const struct op_tensor *a = &r->in[0], *b = &r->in[1];
    bool ta = op_int(r, "transA", 0), tb = op_int(r, "transB", 0);
    double alpha = op_float(r, "alpha", 1), beta = op_float(r, "beta", 1);
    int64_t m = a->dims[ta], k = a->dims[!ta], n = b->dims[!tb];
    struct op_tensor *y = op_out(r, 0, a->dtype, 2, (int64_t[]){m, n});
    double *scale = op_scale(y);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0, all = 0, c = 0;
            for (int64_t p = 0; p < k; p++) {
                double one = a->v[ta ? p * m + i : i * k + p] * b->v[tb ? j * k + p : p * n + j];
                sum += one;
                all += fabs(one);
            }
            if (op_has(r, 2))
                c = r->in[2].v[op_place(&r->in[2], (int64_t[]){i, j}, 2)];
            y->v[i * n + j] = alpha * sum + beta * c;
            scale[i * n + j] = fabs(alpha) * all + fabs(beta * c);
        }
}

static const struct op_case gemm_rows[] = {
    {.name = "Gemm", .in = "T[B,5] T[5,7] T[7]", .types = FLOATS, .ref = gemm, .tol = TOL},
    {.name = "Gemm", .in = "f32[B,50] f32[70,50] f32[70]", .attrs = "transB=1", .ref = gemm,
     .tol = TOL},
    {.name = "Gemm", .in = "T[50,4] T[50,17] T[4,1]", .attrs = "transA=1 alpha=0.5 beta=-2",
     .types = FLOATS,
     .ref = gemm, .tol = TOL},
    {.name = "Gemm", .in = "f32[6,4] f32[9,6] f32[]", .attrs = "transA=1 transB=1 beta=0.25",
     .ref = gemm,
     .tol = TOL},
    {.name = "Gemm", .in = "f32[4,6] f32[6,9] f32[4,9]", .attrs = "alpha=2", .ref = gemm,
     .tol = TOL},
    {.name = "Gemm", .in = "T[4,6] T[6,9]", .types = FLOATS " i32 i64 u32 u64", .ref = gemm,
     .tol = TOL},
    {.name = "Gemm", .in = "f32[4,6] f32[6,9] f32[1,9]", .attrs = "beta=0", .ref = gemm,
     .tol = TOL},
    {.name = "Gemm", .in = "f32[B,0] f32[0,4] f32[4]", .ref = gemm, .tol = TOL},
    {.name = "Gemm", .in = "f32[B,257] f32[257,140] f32[140]", .ref = gemm, .tol = TOL},
};

/* Inputs a, scale, zero, b, scale, zero, y's scale, zero; scalars, or b's by column. */
static void qlinear(struct op_run *r)
{
    const struct op_tensor *a = &r->in[0], *b = &r->in[3];
    int64_t m = a->dims[0], k = a->dims[1], n = b->dims[1];
    struct op_tensor *y = op_out(r, 0, r->in[7].dtype, 2, (int64_t[]){m, n});
    double low = y->dtype == DTYPE_U8 ? 0 : -128;
    for (int64_t i = 0; i < m * n; i++) {
        int64_t p = i / n, q = i % n;
        double sum = 0, zero = r->in[5].v[r->in[5].n > 1 ? q : 0];
        for (int64_t j = 0; j < k; j++)
            sum += (a->v[p * k + j] - r->in[2].v[0]) * (b->v[j * n + q] - zero);
        sum *= r->in[1].v[0] * r->in[4].v[r->in[4].n > 1 ? q : 0] / r->in[6].v[0];
        y->v[i] = fmin(fmax(nearbyint(sum) + r->in[7].v[0], low), low + 255);
    }
}

/* A value halfway between two integers in exact arithmetic may fall either way in f32. */
static const struct op_case qlinear_rows[] = {
    {.name = "QLinearMatMul", .quantum = 1, .ref = qlinear,
     .in = "u8[B,9]:0:255 f32[]=0.01 u8[]=113 u8[9,7]:0:255 f32[]=0.02 u8[]=114 "
           "f32[]=0.011 u8[]=118"},
    {.name = "QLinearMatMul", .quantum = 1, .ref = qlinear,
     .in = "i8[4,40]:-128:127 f32[]=0.01 i8[]=3 i8[40,5]:-128:127 f32[5]=0.02,0.01,0.03 "
           "i8[5]=1,-4,3,0,5 f32[]=0.5 i8[]=-8"},
};

/* Every letter a loop over its dim. */
static void einsum(struct op_run *r)
{
    int64_t size[128] = {0}, index[128] = {0}, dims[TENSOR_RANK_MAX], from[TENSOR_RANK_MAX];
    char text[64], letters[64] = "", *out;
    strcpy(text, op_text(r, "equation"));
    out = strstr(text, "->");
    *out = '\0';
    out += 2;
    const char *term[OP_ENDS];
    int n_terms = 0, n_letters = 0;
    for (char *p = strtok(text, ","); p; p = strtok(NULL, ","))
        term[n_terms++] = p;
    for (int i = 0; i < n_terms; i++)
        for (int k = 0; term[i][k]; k++) {
            unsigned char l = (unsigned char)term[i][k];
            if (!strchr(letters, l))
                letters[n_letters++] = (char)l;
            size[l] = r->in[i].dims[k];
        }
    int rank = (int)strlen(out);
    for (int k = 0; k < rank; k++)
        dims[k] = size[(unsigned char)out[k]];
    struct op_tensor *y = op_out(r, 0, r->in[0].dtype, rank, dims);
    double *scale = op_scale(y);
    for (;;) {
        double v = 1;
        for (int i = 0; i < n_terms; i++) {
            for (int k = 0; term[i][k]; k++)
                from[k] = index[(unsigned char)term[i][k]];
            v *= r->in[i].v[op_place(&r->in[i], from, r->in[i].rank)];
        }
        for (int k = 0; k < rank; k++)
            from[k] = index[(unsigned char)out[k]];
        int64_t at = op_place(y, from, rank);
        y->v[at] += v;
        scale[at] += fabs(v);
        int k = 0;
        while (k < n_letters &&
               ++index[(unsigned char)letters[k]] == size[(unsigned char)letters[k]])
            index[(unsigned char)letters[k++]] = 0;
        if (k == n_letters)
            return;
    }
}

static const struct op_case einsum_rows[] = {
    {.name = "Einsum", .in = "T[B,5] T[5,7]", .attrs = "equation=ij,jk->ik", .types = FLOATS " i32",
     .ref = einsum, .tol = TOL},
    {.name = "Einsum", .in = "f32[2,5,3] f32[2,3,7]", .attrs = "equation=bij,bjk->bik",
     .ref = einsum,
     .tol = TOL},
    {.name = "Einsum", .in = "f32[2,6,4,5] f32[2,7,4,5]", .attrs = "equation=bqhd,bkhd->bhqk",
     .ref = einsum,
     .tol = TOL},
    {.name = "Einsum", .in = "f32[3,4]", .attrs = "equation=ij->ji", .ref = einsum},
    {.name = "Einsum", .in = "f32[3,4,5]", .attrs = "equation=ijk->j", .ref = einsum, .tol = TOL},
    {.name = "Einsum", .in = "f32[4,4]", .attrs = "equation=ii->i", .ref = einsum},
    {.name = "Einsum", .in = "f32[4,4]", .attrs = "equation=ii->", .ref = einsum, .tol = TOL},
    {.name = "Einsum", .in = "f32[4] f32[5]", .attrs = "equation=i,j->ij", .ref = einsum,
     .tol = TOL},
    {.name = "Einsum", .in = "f32[2,3] f32[3,4] f32[4,5]", .attrs = "equation=ij,jk,kl->il",
     .ref = einsum,
     .tol = TOL},
    {.name = "Einsum", .in = "f32[3,4,2] f32[2,4,3]", .attrs = "equation=abc,cba->", .ref = einsum,
     .tol = TOL},
};

OP_MAIN("op product", OP_TABLE(matmul_rows), OP_TABLE(gemm_rows), OP_TABLE(qlinear_rows),
        OP_TABLE(einsum_rows))
