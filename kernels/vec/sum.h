/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over a row in the order that kernels/reduce.h fixes, on the names of vec_avx2.h,
 * vec_avx512.h or vec_neon.h, one of which is included before. */
#pragma once

#include <math.h>

enum { SUM_CHAINS = 4, SUM_BLOCK = 4096 };

/* A term added to its chain; p is what the terms depend on besides x. */
typedef vf term_fn(vf sum, vf x, vf p);

INLINE vf term_value(vf sum, vf x, vf p) { return sum + x; }
INLINE vf term_magnitude(vf sum, vf x, vf p) { return sum + vf_abs(x); }
INLINE vf term_square(vf sum, vf x, vf p) { return vf_fma(x, x, sum); }
INLINE vf term_deviation(vf sum, vf x, vf p) { return vf_fma(x - p, x - p, sum); }

INLINE vf block_sum(term_fn *f, const float *x, size_t n, vf p)
{
    vf sum[SUM_CHAINS];
    size_t i = 0;

    UNROLL for (int c = 0; c < SUM_CHAINS; c++)
        sum[c] = vf_set(0);
    for (; i + SUM_CHAINS * LANES <= n; i += SUM_CHAINS * LANES)
        UNROLL for (int c = 0; c < SUM_CHAINS; c++)
            sum[c] = f(sum[c], vf_load(x + i + c * LANES), p);
    UNROLL for (int c = 0; c < SUM_CHAINS; c++) {
        if (i < n) {
            const size_t rest = n - i;
            const vf with = f(sum[c], rest < LANES ? vf_load_n(x + i, rest) : vf_load(x + i), p);
            sum[c] = rest < LANES ? vf_select(vm_first(rest), with, sum[c]) : with;
            i += LANES;
        }
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* high + low += x, without losing what the addition rounds away. */
INLINE void sum_add(vf *high, vf *low, vf x)
{
    const vf t = *high + x, part = t - *high;
    *low = *low + ((*high - (t - part)) + (x - part));
    *high = t;
}

INLINE double row_sum(term_fn *f, const float *x, size_t n, vf p)
{
    if (n <= SUM_BLOCK)
        return vf_all_sum_double(block_sum(f, x, n, p));

    vf high = vf_set(0), low = vf_set(0);
    for (size_t i = 0; i < n; i += SUM_BLOCK)
        sum_add(&high, &low, block_sum(f, x + i, n - i < SUM_BLOCK ? n - i : SUM_BLOCK, p));
    const double rest = vf_all_sum_double(low);
    /* Past an overflow the compensation is no number. */
    return vf_all_sum_double(high) + (isfinite(rest) ? rest : 0);
}
