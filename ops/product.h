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

/* B packed at load: `count` matrices of `size` floats each. */
struct packed_b {
    const struct gemm_f32_kernel *kernel;
    float *data;
    int64_t k, n, count;
    size_t size;
};

/* What prepare leaves for a node's calls. */
struct product_ready {
    const struct gemm_f32_kernel *kernel;
    const struct packed_b *packed; /* NULL: nothing was packed */
    struct tune_site *site;        /* NULL: no choice but the heuristic's */
    struct tune_ask ask;
    const char *names[GEMM_CUTS];
    char layout[32];
};

/* One call. Strides are in elements. Matrix i of the batch starts at the offsets that a_batch and b_batch
 * give: strides under the broadcast batch dims. */
struct product {
    enum dtype dtype;
    const struct gemm_f32_kernel *kernel;
    const struct packed_b *packed; /* NULL: read b */
    struct tune_site *site;        /* how to cut; NULL: by the heuristic */
    const void *a, *b;
    void *c;
    int64_t m, n, k, batch;
    int64_t a_row, a_k, b_k, b_n;
    int batch_rank;
    int64_t batch_dims[TENSOR_RANK_MAX], a_batch[TENSOR_RANK_MAX], b_batch[TENSOR_RANK_MAX];
    struct gemm_epilogue epilogue; /* f32, f16, bf16; vectors are f32; only where batch is 1 */
};

/* Prepare a node's product of inputs 0 and 1: pack a constant B (dims [..., K, N], or [N, K] if transposed)
 * of floats of at most 32 bits, and ask the tuner how to cut f32 (`layout` and `epilogue` are words of its
 * key). dims: batch, M, N, K, symbolic, SYM_UNKNOWN where not known. Sets p->prepared. */
int product_prepare(struct prepare *p, bool transposed, const char *layout, const char *epilogue,
                    const int64_t dims[TUNE_DIMS], struct err *e) WARN_UNUSED;
/* Set the kernel, the packed B and the site of a call from c->prepared, which may be NULL. */
void product_bind(struct product *x, const struct call *c);
/* Tasks, scratch bytes a member, and the work. */
int64_t product_tasks(const struct product *x);
size_t product_scratch(const struct product *x);
void product_run(const struct product *x, int64_t begin, int64_t end, void *scratch);
/* Dtypes that products compute in. */
#define DT_PRODUCT (DT_FLOATS | DT(I32) | DT(U32) | DT(I64) | DT(U64))
