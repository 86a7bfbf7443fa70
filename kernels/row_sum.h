/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over a row in plain C, in the order that kernels/reduce.h fixes; for the plain C rows of
 * reduce and norm. */
#pragma once

#include <math.h>
#include <stddef.h>

enum { ROW_SUM_CHAINS = 32, ROW_SUM_BLOCK = 4096 };

/* A term; p is what terms depend on besides x. */
typedef float row_term_fn(float x, float p);

static inline float row_term_value(float x, float p) { return x; }
static inline float row_term_magnitude(float x, float p) { return fabsf(x); }
static inline float row_term_square(float x, float p) { return x * x; }
static inline float row_term_deviation(float x, float p) { return (x - p) * (x - p); }
static inline float row_term_exp(float x, float p) { return expf(x - p); }

/* f is a constant where this is inlined. Blocks are added in double, which is the compensation. */
static inline __attribute__((always_inline)) double row_sum(row_term_fn *f, const float *x,
                                                            size_t n, float p)
{
    double total[ROW_SUM_CHAINS] = {0}, all = 0;

    while (n > 0) {
        const size_t count = n < ROW_SUM_BLOCK ? n : ROW_SUM_BLOCK;
        float sum[ROW_SUM_CHAINS] = {0};
        size_t i = 0;
        for (; i + ROW_SUM_CHAINS <= count; i += ROW_SUM_CHAINS)
            for (int c = 0; c < ROW_SUM_CHAINS; c++)
                sum[c] += f(x[i + c], p);
        for (int c = 0; i + c < count; c++)
            sum[c] += f(x[i + c], p);
        for (int c = 0; c < ROW_SUM_CHAINS; c++)
            total[c] += sum[c];
        x += count;
        n -= count;
    }
    for (int c = 0; c < ROW_SUM_CHAINS; c++)
        all += total[c];
    return all;
}
