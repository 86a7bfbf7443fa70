/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>
#include <stdint.h>

#include "kernels/arm/dwconv.h"

enum { LANES = 4 };
typedef float32x4_t vec;

/* A bit a lane. */
typedef unsigned mask;

static inline vec zero(void) { return vdupq_n_f32(0); }
static inline vec all(float x) { return vdupq_n_f32(x); }
static inline vec madd(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
static inline vec load(const float *p) { return vld1q_f32(p); }

static inline int within(int64_t n)
{
    return n < 0 ? 0 : n > LANES ? LANES : (int)n;
}

static inline mask mask_of(int64_t from, int64_t to)
{
    return ((1u << within(to)) - 1) & ~((1u << within(from)) - 1);
}

/* There are no masked loads: lane by lane at the edges. */
static inline vec load_some(const float *p, mask m)
{
    vec x = zero();

    if (m == (1u << LANES) - 1)
        return load(p);
    if (m & 1)
        x = vld1q_lane_f32(p, x, 0);
    if (m & 2)
        x = vld1q_lane_f32(p + 1, x, 1);
    if (m & 4)
        x = vld1q_lane_f32(p + 2, x, 2);
    if (m & 8)
        x = vld1q_lane_f32(p + 3, x, 3);
    return x;
}

static inline void pair_split(vec low, vec high, vec *even, vec *odd)
{
    *even = vuzp1q_f32(low, high);
    *odd = vuzp2q_f32(low, high);
}

static inline __attribute__((always_inline)) void
finish(const float *add, float *y, float bias, float lo, float hi, vec sum, size_t at, size_t left)
{
    const vec least = all(lo), most = all(hi);
    vec v = vaddq_f32(sum, all(bias));

    if (add)
        v = vaddq_f32(v, load_some(add + at, mask_of(0, (int64_t)left)));
    v = vbslq_f32(vcgtq_f32(least, v), least, v);
    v = vbslq_f32(vcltq_f32(most, v), most, v);
    if (left >= LANES) {
        vst1q_f32(y + at, v);
        return;
    }
    vst1q_lane_f32(y + at, v, 0);
    if (left > 1)
        vst1q_lane_f32(y + at + 1, v, 1);
    if (left > 2)
        vst1q_lane_f32(y + at + 2, v, 2);
}

#include "kernels/vec/dwconv_body.h"

void dwconv_f32_neon(const struct dwconv_f32_tile *tile)
{
    lines_run(tile);
}

void dwconv_f32_plane_neon(const struct dwconv_f32_plane *plane)
{
    plane_run(plane);
}
