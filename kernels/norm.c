/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/norm.h"

#include "kernels/row_sum.h"

/* x + add, where it is wanted; the row to normalise. */
static const float *row_start(const struct norm_args *a, size_t at)
{
    const float *x = a->x + at, *add = a->add ? a->add + at : NULL;
    float *to = a->sum ? a->sum + at : a->y + at;

    if (!a->add && !a->sum)
        return x;
    for (size_t i = 0; i < a->n; i++)
        to[i] = add ? x[i] + add[i] : x[i];
    return to;
}

static float inverse_std(double variance, float epsilon)
{
    return (float)(1 / sqrt(variance + (double)epsilon));
}

static void layer_run(const struct norm_args *a, size_t from, size_t to)
{
    for (size_t r = from; r < to; r++) {
        const float *x = row_start(a, r * a->n);
        const float mean = (float)(row_sum(row_term_value, x, a->n, 0) / (double)a->n);
        const double variance = row_sum(row_term_deviation, x, a->n, mean) / (double)a->n;
        const float inv_std = inverse_std(variance, a->epsilon);
        float *y = a->y + r * a->n;
        for (size_t i = 0; i < a->n; i++) {
            const float u = (x[i] - mean) * inv_std * (a->scale ? a->scale[i] : 1);
            y[i] = a->bias ? u + a->bias[i] : u;
        }
        if (a->mean)
            a->mean[r] = mean;
        if (a->inv_std)
            a->inv_std[r] = inv_std;
    }
}

static void rms_run(const struct norm_args *a, size_t from, size_t to)
{
    for (size_t r = from; r < to; r++) {
        const float *x = row_start(a, r * a->n);
        const double square = row_sum(row_term_square, x, a->n, 0) / (double)a->n;
        const float inv_rms = inverse_std(square, a->epsilon);
        float *y = a->y + r * a->n;
        for (size_t i = 0; i < a->n; i++)
            y[i] = x[i] * inv_rms * (a->scale ? a->scale[i] : 1);
        if (a->inv_std)
            a->inv_std[r] = inv_rms;
    }
}

static void moments_run(const float *x, size_t n, float *mean, float *variance)
{
    const float m = (float)(row_sum(row_term_value, x, n, 0) / (double)n);
    if (mean)
        *mean = m;
    if (variance)
        *variance = (float)(row_sum(row_term_deviation, x, n, m) / (double)n);
}

static void affine_run(const float *x, float *y, size_t n, float scale, float shift)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * scale + shift;
}

static const struct norm_f32_kernel norm_f32_c = {
    .name = "c",
    .level = CPU_C,
    .layer = layer_run,
    .rms = rms_run,
    .moments = moments_run,
    .affine = affine_run,
};

const struct norm_f32_kernel *const norm_f32_kernels[] = {
    &norm_f32_c,
#if defined(__x86_64__)
    &norm_f32_avx2,
    &norm_f32_avx512,
#elif defined(__aarch64__)
    &norm_f32_neon,
#endif
};
const unsigned norm_f32_kernel_count = sizeof(norm_f32_kernels) / sizeof(*norm_f32_kernels);

const struct norm_f32_kernel *norm_f32_pick(void)
{
    unsigned i = norm_f32_kernel_count - 1;
    while (i > 0 && !cpu_has(norm_f32_kernels[i]->level))
        i--;
    return norm_f32_kernels[i];
}
