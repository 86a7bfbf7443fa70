/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions of f32: along contiguous rows, and along the middle dim of [outer, n, inner].
 *
 * Functions. sum, mean, max, min, prod; sum_square; l1 (sum of |x|); l2 (sqrt of sum_square);
 * log_sum (log of sum); log_sum_exp (log(sum(exp(x - m))) + m, m the maximum; m itself where m is
 * infinite). Of nothing (n = 0): sum, sum_square, l1, l2: 0; prod 1; max -infinity; min +infinity;
 * mean NaN; log_sum and log_sum_exp -infinity. max and min give NaN if an element is NaN; so do
 * all others.
 *
 * Order. Sums of a row: blocks of 4096 elements; in a block, element i goes to chain i mod C in
 * f32 (C is 64 for avx512, 32 for avx2 and c, 16 for neon), chains are added by a fixed tree into
 * lanes; blocks are added lane by lane with a compensation (two-sum; plain C: in double), and the
 * lanes at last in double, rounded once. So a sum of a million like-signed terms keeps a relative
 * error of 1e-6 or less. Along an axis: blocks of 64 elements in order, in f32; blocks are added
 * with a compensation. Products: f32, the same chains, no blocks. A row's or column's result
 * depends on its elements alone, not on its neighbours or address.
 *
 * Memory. No alignment; nothing outside the stated elements is touched; y overlaps no input. Any
 * thread; no scratch.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

enum reduce_op {
    REDUCE_SUM,
    REDUCE_MEAN,
    REDUCE_MAX,
    REDUCE_MIN,
    REDUCE_PROD,
    REDUCE_SUM_SQUARE,
    REDUCE_L1,
    REDUCE_L2,
    REDUCE_LOG_SUM,
    REDUCE_LOG_SUM_EXP,
    REDUCE_COUNT,
};
const char *reduce_name(enum reduce_op op);

/* y[r] of `rows` contiguous rows of n elements. */
typedef void reduce_rows_fn(enum reduce_op op, const float *x, float *y, size_t rows, size_t n);

/* One outer index of [outer, n, inner]: y[c] over x[0..n)[c] for the columns [from, to) of inner; x
 * points to [outer][0][0], y to [outer][0]. */
typedef void reduce_axis_fn(enum reduce_op op, const float *x, float *y, size_t n, size_t inner,
                            size_t from, size_t to);

/* The index of the greatest (least: the least) element, the first of equals or, with `last`, the
 * last; a NaN counts as beyond all others. n >= 1. */
typedef void reduce_arg_rows_fn(const float *x, int64_t *y, size_t rows, size_t n, bool least,
                                bool last);

struct reduce_f32_kernel {
    const char *name;
    enum cpu_level level;
    reduce_rows_fn *rows;
    reduce_axis_fn *axis;
    reduce_arg_rows_fn *arg_rows;
};
extern const struct reduce_f32_kernel *const reduce_f32_kernels[];
extern const unsigned reduce_f32_kernel_count;
extern const struct reduce_f32_kernel reduce_f32_avx2, reduce_f32_avx512, reduce_f32_neon;

/* The best usable row. */
const struct reduce_f32_kernel *reduce_f32_pick(void);

/* The index along the middle dim of [outer, n, inner], for columns [from, to); plain C. */
void reduce_f32_arg_axis(const float *x, int64_t *y, size_t n, size_t inner, size_t from, size_t to,
                         bool least, bool last);
