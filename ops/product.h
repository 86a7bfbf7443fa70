/* SPDX-License-Identifier: Apache-2.0 */
/* What MatMul, Gemm and their kin share: batches of products C = A x B of one dtype, cut into tasks.
 *
 * A product is described on actual dims by struct product; its B may have been packed at load. f32 runs
 * on kernels/gemm.h; f16 and bf16 are widened a block at a time and rounded once; f64 and the 32- and
 * 64-bit integers run on plain loops.
 */
#pragma once

#include "kernels/gemm.h"
#include "ops/common.h"

/* B packed at load: `count` matrices of `size` floats each; NULL data: not packed. */
struct packed_b {
    const struct gemm_f32_kernel *kernel;
    float *data;
    int64_t k, n, count;
    size_t size;
};

/* One call. Strides are in elements. Matrix i of the batch starts at the offsets that a_batch and b_batch
 * give: strides under the broadcast batch dims. */
struct product {
    enum dtype dtype;
    const struct gemm_f32_kernel *kernel;
    const struct packed_b *packed; /* NULL: read b */
    const void *a, *b;
    void *c;
    int64_t m, n, k, batch;
    int64_t a_row, a_k, b_k, b_n;
    int batch_rank;
    int64_t batch_dims[TENSOR_RANK_MAX], a_batch[TENSOR_RANK_MAX], b_batch[TENSOR_RANK_MAX];
    struct gemm_epilogue epilogue; /* f32, f16, bf16; vectors are f32; only where batch is 1 */
};

/* Pack constant input i of p (dims [..., K, N], or [N, K] if transposed) if its dtype is a float of at most
 * 32 bits and B is plain enough to gain; p->prepared then points to a struct packed_b. */
int product_pack(struct prepare *p, int i, bool transposed, struct err *e) WARN_UNUSED;
/* Tasks, scratch bytes a member, and the work. */
int64_t product_tasks(const struct product *x);
size_t product_scratch(const struct product *x);
void product_run(const struct product *x, int64_t begin, int64_t end, void *scratch);
/* Dtypes that products compute in. */
#define DT_PRODUCT (DT_FLOATS | DT(I32) | DT(U32) | DT(I64) | DT(U64))
