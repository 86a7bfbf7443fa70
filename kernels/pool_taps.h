/* SPDX-License-Identifier: Apache-2.0 */
/* Which taps of a window are inside the plane, and the slow way to take one: what the rows of
 * kernels/pool.h share. d is 0 for height, 1 for width. */
#pragma once

#include <math.h>

#include "kernels/pool.h"

/* Taps [first, last) are inside; the first tap's place, which may be in the pad; positions that
 * count. */
struct pool_taps {
    int64_t first, last, start, count;
};

static inline int64_t pool_ceil(int64_t a, int64_t b)
{
    return a <= 0 ? 0 : (a - 1) / b + 1;
}

/* Taps, at most k of them, whose place from `start` on is below `end`. */
static inline int64_t pool_taps_below(const struct pool_shape *s, int d, int64_t start, int64_t end)
{
    const int64_t n = pool_ceil(end - start, s->dilation[d]);
    return n < s->kernel[d] ? n : s->kernel[d];
}

static inline struct pool_taps pool_taps(const struct pool_shape *s, int d, int64_t out)
{
    struct pool_taps t = {.start = out * s->stride[d] - s->pad[d]};

    t.first = pool_ceil(-t.start, s->dilation[d]);
    t.last = pool_taps_below(s, d, t.start, s->in[d]);
    if (t.last < t.first)
        t.last = t.first;
    t.count = s->count_pad ? pool_taps_below(s, d, t.start, s->in[d] + s->pad_end[d])
                           : t.last - t.first;
    return t;
}

static inline float pool_max_of(float m, float x)
{
    return x > m || x != x ? x : m;
}

static inline float pool_point(const struct pool_shape *s, const float *x,
                               const struct pool_taps *h, const struct pool_taps *w, bool max)
{
    const int64_t count = h->count * w->count;
    float y = max ? -INFINITY : 0;

    for (int64_t i = h->first; i < h->last; i++) {
        const float *row = x + (h->start + i * s->dilation[0]) * s->in[1];
        for (int64_t j = w->first; j < w->last; j++) {
            const float u = row[w->start + j * s->dilation[1]];
            y = max ? pool_max_of(y, u) : y + u;
        }
    }
    return max ? y : count > 0 ? y / (float)count : 0;
}
