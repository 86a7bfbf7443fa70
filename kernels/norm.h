/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation of f32: layer norm and RMS norm of rows, moments, and the affine step of batch
 * norm.
 *
 * Order. Sums over a row are those of kernels/reduce.h (blocks of 4096 elements in f32 chains, the
 * blocks' sums with a compensation, the last step in double). mean = sum(x) / n; variance = sum((x
 * - mean)^2) / n, a second pass, with the mean rounded to f32; inv_std = 1 / sqrt(variance +
 * epsilon) in double, rounded to f32. y = fma((x - mean) * inv_std, scale, bias). RMS norm leaves
 * the mean out: y = (x * inv_rms) * scale, inv_rms = 1 / sqrt(sum(x^2) / n + epsilon). A row's
 * result depends on the row alone. A NaN or an infinity in a row makes the whole row NaN, as the
 * formulas say.
 *
 * Memory. No alignment; nothing outside the stated elements is touched; y may be x or add or sum.
 * n = 0 touches nothing but mean and inv_std (NaN). Any thread; no scratch.
 */
#pragma once

#include <stddef.h>

#include "kernels/cpu.h"

/* Rows of n elements, contiguous. Optional (NULL): add, a second summand of x laid out as x; sum,
 * where x + add is stored as well (it may be x or add); scale and bias, n elements; mean and
 * inv_std, outputs, one value a row. RMS norm reads no bias and writes no mean; inv_std is
 * inv_rms. */
struct norm_args {
    const float *x, *add, *scale, *bias;
    float *sum, *y, *mean, *inv_std;
    size_t n;
    float epsilon;
};

/* Rows [from, to). */
typedef void norm_rows_fn(const struct norm_args *args, size_t from, size_t to);

/* Mean and variance (divided by n) of one row, for instance and group norm. Either may be NULL. */
typedef void norm_moments_fn(const float *x, size_t n, float *mean, float *variance);

/* y[i] = fma(x[i], scale, shift): a channel of batch, instance or group norm. (The plain C row
 * rounds the product as well.) */
typedef void norm_affine_fn(const float *x, float *y, size_t n, float scale, float shift);

struct norm_f32_kernel {
    const char *name;
    enum cpu_level level;
    norm_rows_fn *layer, *rms;
    norm_moments_fn *moments;
    norm_affine_fn *affine;
};
extern const struct norm_f32_kernel *const norm_f32_kernels[];
extern const unsigned norm_f32_kernel_count;
extern const struct norm_f32_kernel norm_f32_avx2, norm_f32_avx512, norm_f32_neon;

/* The best usable row. */
const struct norm_f32_kernel *norm_f32_pick(void);
