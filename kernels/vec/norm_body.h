/* SPDX-License-Identifier: Apache-2.0 */
/* The vector rows of kernels/norm.h, compiled once a level. A row stays in the first cache between
 * its passes: sum, squares, scale. */
#include <stdbool.h>

#include "kernels/norm.h"
#include "kernels/vec/sum.h"

/* x + add, where it is wanted; the row to normalise. */
INLINE const float *row_start(const struct norm_args *a, size_t at)
{
    const float *x = a->x + at, *add = a->add ? a->add + at : NULL;
    float *to = a->sum ? a->sum + at : a->y + at;

    if (!a->add && !a->sum)
        return x;
    for (size_t i = 0; i < a->n; i += LANES) {
        const size_t rest = a->n - i;
        const vf u = vf_load_n(x + i, rest);
        vf_store_n(to + i, add ? (vf)(u + vf_load_n(add + i, rest)) : u, rest);
    }
    return to;
}

INLINE void row_scale(const float *x, const float *scale, const float *bias, float *y, size_t n,
                      const bool has_scale, const bool has_bias, float mean, float inv_std)
{
    const vf m = vf_set(mean), s = vf_set(inv_std);

    for (size_t i = 0; i < n; i += LANES) {
        const size_t rest = n - i;
        vf u = (vf_load_n(x + i, rest) - m) * s;
        if (has_scale && has_bias)
            u = vf_fma(u, vf_load_n(scale + i, rest), vf_load_n(bias + i, rest));
        else if (has_scale)
            u = u * vf_load_n(scale + i, rest);
        else if (has_bias)
            u = u + vf_load_n(bias + i, rest);
        vf_store_n(y + i, u, rest);
    }
}

INLINE void row_finish(const struct norm_args *a, const float *x, size_t r, const float *bias,
                       float mean, float inv_std)
{
    float *y = a->y + r * a->n;

    if (a->scale && bias)
        row_scale(x, a->scale, bias, y, a->n, true, true, mean, inv_std);
    else if (a->scale)
        row_scale(x, a->scale, bias, y, a->n, true, false, mean, inv_std);
    else if (bias)
        row_scale(x, a->scale, bias, y, a->n, false, true, mean, inv_std);
    else
        row_scale(x, a->scale, bias, y, a->n, false, false, mean, inv_std);
    if (a->inv_std)
        a->inv_std[r] = inv_std;
}

INLINE float inverse_std(double variance, float epsilon)
{
    return (float)(1 / sqrt(variance + (double)epsilon));
}

static void layer_run(const struct norm_args *a, size_t from, size_t to)
{
    const double n = (double)a->n;

    for (size_t r = from; r < to; r++) {
        const float *x = row_start(a, r * a->n);
        const float mean = (float)(row_sum(term_value, x, a->n, vf_set(0)) / n);
        const double variance = row_sum(term_deviation, x, a->n, vf_set(mean)) / n;
        row_finish(a, x, r, a->bias, mean, inverse_std(variance, a->epsilon));
        if (a->mean)
            a->mean[r] = mean;
    }
}

static void rms_run(const struct norm_args *a, size_t from, size_t to)
{
    const double n = (double)a->n;

    for (size_t r = from; r < to; r++) {
        const float *x = row_start(a, r * a->n);
        const double square = row_sum(term_square, x, a->n, vf_set(0)) / n;
        row_finish(a, x, r, NULL, 0, inverse_std(square, a->epsilon));
    }
}

static void moments_run(const float *x, size_t n, float *mean, float *variance)
{
    const float m = (float)(row_sum(term_value, x, n, vf_set(0)) / (double)n);
    if (mean)
        *mean = m;
    if (variance)
        *variance = (float)(row_sum(term_deviation, x, n, vf_set(m)) / (double)n);
}

static void affine_run(const float *x, float *y, size_t n, float scale, float shift)
{
    const vf s = vf_set(scale), t = vf_set(shift);
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        vf_store(y + i, vf_fma(vf_load(x + i), s, t));
    if (i < n)
        vf_store_n(y + i, vf_fma(vf_load_n(x + i, n - i), s, t), n - i);
}

const struct norm_f32_kernel LEVEL(norm_f32) = {
    .name = LEVEL_NAME,
    .level = LEVEL_CPU,
    .layer = layer_run,
    .rms = rms_run,
    .moments = moments_run,
    .affine = affine_run,
};
