/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pool.h"

#include "kernels/pool_taps.h"

/* Outputs [*from, *to) of a row whose windows are wholly inside. */
static void row_interior(const struct pool_shape *s, int64_t *from, int64_t *to)
{
    const int64_t out = s->out[1],
                  rest = s->in[1] - 1 - (s->kernel[1] - 1) * s->dilation[1] + s->pad[1];
    const int64_t lo = pool_ceil(s->pad[1], s->stride[1]),
                  hi = rest < 0 ? 0 : rest / s->stride[1] + 1;

    *from = lo < out ? lo : out;
    *to = hi < out ? hi : out;
    if (*to < *from)
        *to = *from;
}

/* The outputs of a row that row_interior() leaves out. */
static void row_edges(const struct pool_shape *s, const float *x, float *y,
                              const struct pool_taps *h, int64_t from, int64_t to, bool max)
{
    for (int64_t ow = 0; ow < s->out[1]; ow++) {
        if (ow == from)
            ow = to;
        if (ow >= s->out[1])
            break;
        const struct pool_taps w = pool_taps(s, 1, ow);
        y[ow] = pool_point(s, x, h, &w, max);
    }
}

/* The interior of a row, a tap at a time over all of it. Constant strides let the compiler
 * vectorise. */
static inline __attribute__((always_inline)) void interior_run(const struct pool_shape *s,
                                                               const float *x, float *y,
                                                               const struct pool_taps *h, int64_t n,
                                                               int64_t stride, bool max)
{
    const float count = (float)(h->count * s->kernel[1]);

    for (int64_t k = 0; k < n; k++)
        y[k] = max ? -INFINITY : 0;
    for (int64_t i = h->first; i < h->last; i++) {
        for (int64_t j = 0; j < s->kernel[1]; j++) {
            const float *row = x + i * s->dilation[0] * s->in[1] + j * s->dilation[1];
            for (int64_t k = 0; k < n; k++)
                y[k] = max ? pool_max_of(y[k], row[k * stride]) : y[k] + row[k * stride];
        }
    }
    for (int64_t k = 0; !max && k < n; k++)
        y[k] = count > 0 ? y[k] / count : 0;
}

static inline __attribute__((always_inline)) void
planes_run(const struct pool_shape *s, const float *x, float *y, size_t planes, bool max)
{
    int64_t from, to;

    row_interior(s, &from, &to);
    for (size_t p = 0; p < planes; p++, x += s->in[0] * s->in[1]) {
        for (int64_t oh = 0; oh < s->out[0]; oh++, y += s->out[1]) {
            const struct pool_taps h = pool_taps(s, 0, oh);
            row_edges(s, x, y, &h, from, to, max);
            if (from == to)
                continue;
            const float *in = x + h.start * s->in[1] + from * s->stride[1] - s->pad[1];
            if (s->stride[1] == 1)
                interior_run(s, in, y + from, &h, to - from, 1, max);
            else if (s->stride[1] == 2)
                interior_run(s, in, y + from, &h, to - from, 2, max);
            else
                interior_run(s, in, y + from, &h, to - from, s->stride[1], max);
        }
    }
}

static void max_run(const struct pool_shape *s, const float *x, float *y, size_t planes)
{
    planes_run(s, x, y, planes, true);
}

static void average_run(const struct pool_shape *s, const float *x, float *y, size_t planes)
{
    planes_run(s, x, y, planes, false);
}

static const struct pool_f32_kernel pool_f32_c = {
    .name = "c",
    .level = CPU_C,
    .max = max_run,
    .average = average_run,
};

const struct pool_f32_kernel *const pool_f32_kernels[] = {
    &pool_f32_c,
#if defined(__x86_64__)
    &pool_f32_avx2,
    &pool_f32_avx512,
#elif defined(__aarch64__)
    &pool_f32_neon,
#endif
};
const unsigned pool_f32_kernel_count = sizeof(pool_f32_kernels) / sizeof(*pool_f32_kernels);

const struct pool_f32_kernel *pool_f32_pick(void)
{
    unsigned i = pool_f32_kernel_count - 1;
    while (i > 0 && !cpu_has(pool_f32_kernels[i]->level))
        i--;
    return pool_f32_kernels[i];
}
