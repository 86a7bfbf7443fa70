/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/softmax.h"

#include <math.h>

enum { CHAINS = 8 };

static void rows_run(const float *x, float *y, size_t rows, size_t n, bool log)
{
    for (size_t r = 0; r < rows; r++, x += n, y += n) {
        float max = -INFINITY, sum[CHAINS] = {0};
        for (size_t i = 0; i < n; i++)
            max = x[i] > max ? x[i] : max;
        for (size_t i = 0; i < n; i++) {
            const float e = expf(x[i] - max);
            sum[i % CHAINS] += e;
            if (!log)
                y[i] = e;
        }
        const float all = ((sum[0] + sum[1]) + (sum[2] + sum[3])) +
                          ((sum[4] + sum[5]) + (sum[6] + sum[7]));
        const float by = log ? logf(all) : all;
        for (size_t i = 0; i < n; i++)
            y[i] = log ? x[i] - max - by : y[i] / by;
    }
}

/* Blocks of columns, so that rows of the block are read in order. */
static void axis_run(const float *x, float *y, size_t n, size_t inner, size_t from, size_t to,
                     bool log)
{
    enum { BLOCK = 32 };

    for (size_t count; from < to; from += count) {
        float max[BLOCK], sum[BLOCK] = {0};
        const float *in = x + from;
        float *out = y + from;
        count = to - from < BLOCK ? to - from : BLOCK;
        for (size_t c = 0; c < count; c++)
            max[c] = -INFINITY;
        for (size_t i = 0; i < n; i++)
            for (size_t c = 0; c < count; c++)
                max[c] = in[i * inner + c] > max[c] ? in[i * inner + c] : max[c];
        for (size_t i = 0; i < n; i++) {
            for (size_t c = 0; c < count; c++) {
                const float e = expf(in[i * inner + c] - max[c]);
                sum[c] += e;
                if (!log)
                    out[i * inner + c] = e;
            }
        }
        for (size_t c = 0; c < count; c++)
            sum[c] = log ? logf(sum[c]) : sum[c];
        for (size_t i = 0; i < n; i++)
            for (size_t c = 0; c < count; c++)
                out[i * inner + c] = log ? in[i * inner + c] - max[c] - sum[c]
                                         : out[i * inner + c] / sum[c];
    }
}

void softmax_f64_axis(const double *x, double *y, size_t n, size_t inner, size_t from, size_t to,
                      bool log_form)
{
    for (size_t c = from; c < to; c++) {
        double max = -INFINITY, sum = 0;
        for (size_t i = 0; i < n; i++)
            max = x[i * inner + c] > max ? x[i * inner + c] : max;
        for (size_t i = 0; i < n; i++)
            sum += exp(x[i * inner + c] - max);
        for (size_t i = 0; i < n; i++) {
            const double u = x[i * inner + c] - max;
            y[i * inner + c] = log_form ? u - log(sum) : exp(u) / sum;
        }
    }
}

static const struct softmax_f32_kernel softmax_f32_c = {
    .name = "c",
    .level = CPU_C,
    .rows = rows_run,
    .axis = axis_run,
};

const struct softmax_f32_kernel *const softmax_f32_kernels[] = {
    &softmax_f32_c,
#if defined(__x86_64__)
    &softmax_f32_avx2,
    &softmax_f32_avx512,
#elif defined(__aarch64__)
    &softmax_f32_neon,
#endif
};
const unsigned softmax_f32_kernel_count =
    sizeof(softmax_f32_kernels) / sizeof(*softmax_f32_kernels);

const struct softmax_f32_kernel *softmax_f32_pick(void)
{
    unsigned i = softmax_f32_kernel_count - 1;
    while (i > 0 && !cpu_has(softmax_f32_kernels[i]->level))
        i--;
    return softmax_f32_kernels[i];
}
