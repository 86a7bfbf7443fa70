/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax and log-softmax of f32.
 *
 * softmax: e / sum(e) with e = exp(x - max); log-softmax: (x
 * - max) - log(sum(e)). exp is that of kernels/unary.h (2 ulp). The sum is taken in f32: of a row,
 * element i into chain i mod C, C being 64 (avx512), 32 (avx2), 16 (neon) or 8 (c), each chain in
 * order, then the chains by a fixed tree; along an axis, in order of the axis. So a row's result
 * depends on the row alone: not on the rows beside it, its address or, along an axis, its column's
 * place.
 *
 * NaN. As x - max gives by IEEE 754: a NaN or a +infinity in a row, or a row all of -infinity,
 * makes the row NaN; a -infinity beside finite values gives 0 (log: -infinity).
 *
 * Memory. No alignment; nothing outside the stated elements is touched; y may be x itself. rows, n
 * and the range of columns may be empty. Any thread; no scratch.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "kernels/cpu.h"

/* `rows` contiguous rows of n elements. log: log-softmax. */
typedef void softmax_rows_fn(const float *x, float *y, size_t rows, size_t n, bool log);

/* One outer index of [outer, n, inner]: along the middle dim, for the columns [from, to) of inner;
 * x and y point to [outer][0][0]. */
typedef void softmax_axis_fn(const float *x, float *y, size_t n, size_t inner, size_t from,
                             size_t to, bool log);

struct softmax_f32_kernel {
    const char *name;
    enum cpu_level level;
    softmax_rows_fn *rows;
    softmax_axis_fn *axis;
};
extern const struct softmax_f32_kernel *const softmax_f32_kernels[];
extern const unsigned softmax_f32_kernel_count;
extern const struct softmax_f32_kernel softmax_f32_avx2, softmax_f32_avx512, softmax_f32_neon;

/* The best usable row. */
const struct softmax_f32_kernel *softmax_f32_pick(void);

/* Plain C through libm, sums in order. */
void softmax_f64_axis(const double *x, double *y, size_t n, size_t inner, size_t from, size_t to,
                      bool log);
