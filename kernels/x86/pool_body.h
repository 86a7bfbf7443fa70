/* SPDX-License-Identifier: Apache-2.0 */
/* The vector rows of kernels/pool.h, compiled once a level: a vector of outputs along the width at a
 * time, for strides 1 and 2; other strides and the edges of rows are taken one by one. */
#include "kernels/pool_taps.h"

INLINE vf take(vf acc, vf x, const bool max)
{
    /* The instruction gives its second operand where x is NaN. */
    return max ? vf_select(vf_is_nan(x), x, vf_max(x, acc)) : (vf)(acc + x);
}

/* n outputs at stride 1; x is where the first tap of the first output would be. */
INLINE vf window_1(const struct pool_shape *s, const float *x, const struct pool_taps *h, size_t n,
                   const bool max)
{
    vf acc = vf_set(max ? -INFINITY : 0);

    for (int64_t i = h->first; i < h->last; i++)
        for (int64_t j = 0; j < s->kernel[1]; j++)
            acc = take(acc, vf_load_n(x + i * s->dilation[0] * s->in[1] + j * s->dilation[1], n), max);
    return acc;
}

/* At stride 2: two vectors hold the even lanes of a tap and, at dilation 1, the odd ones of the next.
 * The last odd lane is read only if it belongs to a tap. */
INLINE vf window_2(const struct pool_shape *s, const float *x, const struct pool_taps *h, size_t n,
                   const bool max)
{
    const bool pairs = s->dilation[1] == 1;
    vf acc = vf_set(max ? -INFINITY : 0);

    for (int64_t i = h->first; i < h->last; i++) {
        for (int64_t j = 0; j < s->kernel[1]; j += 1 + pairs) {
            const bool both = pairs && j + 1 < s->kernel[1];
            const float *p = x + i * s->dilation[0] * s->in[1] + j * s->dilation[1];
            const size_t need = 2 * n - !both;
            const vf a = vf_load_n(p, need);
            const vf b = need > LANES ? vf_load_n(p + LANES, need - LANES) : vf_set(0);
            acc = take(acc, vf_even(a, b), max);
            if (both)
                acc = take(acc, vf_odd(a, b), max);
        }
    }
    return acc;
}

INLINE void interior_run(const struct pool_shape *s, const float *x, float *y,
                         const struct pool_taps *h, size_t n, const bool max)
{
    const int64_t count = h->count * s->kernel[1];
    const vf by = vf_set((float)count);

    for (size_t k = 0; k < n; k += LANES) {
        const size_t rest = n - k < LANES ? n - k : LANES;
        vf acc = s->stride[1] == 1 ? window_1(s, x + k, h, rest, max)
                                   : window_2(s, x + 2 * k, h, rest, max);
        if (!max)
            acc = count > 0 ? (vf)(acc / by) : vf_set(0);
        vf_store_n(y + k, acc, rest);
    }
}

INLINE void planes_run(const struct pool_shape *s, const float *x, float *y, size_t planes,
                       const bool max)
{
    int64_t from, to;

    pool_interior(s, &from, &to);
    if (s->stride[1] > 2)
        to = from;
    for (size_t p = 0; p < planes; p++, x += s->in[0] * s->in[1]) {
        for (int64_t oh = 0; oh < s->out[0]; oh++, y += s->out[1]) {
            const struct pool_taps h = pool_taps(s, 0, oh);
            pool_edges(s, x, y, &h, from, to, max);
            if (from < to)
                interior_run(s, x + h.start * s->in[1] + from * s->stride[1] - s->pad[1], y + from, &h,
                             (size_t)(to - from), max);
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

const struct pool_f32_kernel LEVEL(pool_f32) = {
    .name = LEVEL_NAME,
    .level = LEVEL_CPU,
    .max = max_run,
    .average = average_run,
};
