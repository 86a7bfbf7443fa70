/* SPDX-License-Identifier: Apache-2.0 */
/* Patches four lanes at a time. Lanes that read neighbours, or every other input, are one load or
 * two where all of them lie inside the image; where only some do, or where a row of the output ends
 * among them, they are read one by one.
 */
#include <arm_neon.h>
#include <stdbool.h>

#include "kernels/arm/patch.h"

enum { LANES = 4 };

/* One tap of four lanes over the channels: from x + i * plane to out + i * step. */
struct column {
    const float *x;
    float *out;
    size_t count, plane, step;
};

/* 0 <= v + delta < limit, for a limit below 2^31. */
static inline uint32x4_t below(const int32_t *v, int32_t delta, int32_t limit)
{
    const int32x4_t x = vaddq_s32(vld1q_s32(v), vdupq_n_s32(delta));
    return vcltq_u32(vreinterpretq_u32_s32(x), vdupq_n_u32((uint32_t)limit));
}

/* Whether the lanes read inputs `stride` apart, in order. */
static bool lanes_even(const uint32_t *base, uint32_t stride)
{
    return base[1] - base[0] == stride && base[2] - base[1] == stride && base[3] - base[2] == stride;
}

static void column_clear(struct column c)
{
    for (size_t i = 0; i < c.count; i++)
        vst1q_f32(c.out + i * c.step, vdupq_n_f32(0));
}

static void column_copy(struct column c)
{
    for (size_t i = 0; i < c.count; i++)
        vst1q_f32(c.out + i * c.step, vld1q_f32(c.x + i * c.plane));
}

/* Inputs 0, 2, 4, 6, touching none behind them. */
static void column_halve(struct column c)
{
    for (size_t i = 0; i < c.count; i++) {
        const float32x4_t low = vld1q_f32(c.x + i * c.plane), high = vld1q_f32(c.x + i * c.plane + 3);
        vst1q_f32(c.out + i * c.step, vcombine_f32(vget_low_f32(vuzp1q_f32(low, low)),
                                                   vget_low_f32(vuzp2q_f32(high, high))));
    }
}

static void column_gather(struct column c, uint32x4_t offset, uint32x4_t valid)
{
    uint32_t at[LANES], inside[LANES];

    vst1q_u32(at, offset);
    vst1q_u32(inside, valid);
    for (size_t i = 0; i < c.count; i++, c.x += c.plane)
        for (unsigned l = 0; l < LANES; l++)
            c.out[i * c.step + l] = inside[l] ? c.x[at[l]] : 0;
}

static void column_run(struct column c, uint32x4_t offset, uint32x4_t valid, int32_t stride)
{
    if (vmaxvq_u32(valid) == 0) {
        column_clear(c);
    } else if (stride == 0 || vminvq_u32(valid) == 0) {
        column_gather(c, offset, valid);
    } else {
        c.x += vgetq_lane_u32(offset, 0);
        (stride == 1 ? column_copy : column_halve)(c);
    }
}

void patch_pack_neon(const struct patch_image *im, const struct patch_panel *panel, const float *x,
                     size_t k0, size_t k1, unsigned nr, float *out)
{
    const size_t kernel_x = (size_t)im->kernel[2], kernel_y = (size_t)im->kernel[1];
    struct column c = {
        .plane = (size_t)im->in[0] * (size_t)im->in[1] * (size_t)im->in[2],
        .step = nr,
    };

    for (unsigned lane = 0; lane < nr; lane += LANES) {
        const uint32_t *base = panel->base + lane;
        const int32_t stride =
            im->stride[2] <= 2 && lanes_even(base, (uint32_t)im->stride[2]) ? im->stride[2] : 0;
        size_t tap = k0 / im->channels, channel = k0 % im->channels;

        for (size_t k = k0; k < k1; k += c.count) {
            const int32_t dx = (int32_t)(tap % kernel_x) * im->dilation[2];
            const int32_t dy = (int32_t)(tap / kernel_x % kernel_y) * im->dilation[1];
            const int32_t dz = (int32_t)(tap / kernel_x / kernel_y) * im->dilation[0];
            const uint32_t delta = ((uint32_t)dz * (uint32_t)im->in[1] + (uint32_t)dy) *
                                       (uint32_t)im->in[2] + (uint32_t)dx;
            const uint32x4_t valid = vandq_u32(below(panel->x + lane, dx, im->in[2]),
                vandq_u32(below(panel->y + lane, dy, im->in[1]),
                          below(panel->z + lane, dz, im->in[0])));
            c.x = x + channel * c.plane;
            c.out = out + (k - k0) * nr + lane;
            c.count = im->channels - channel < k1 - k ? im->channels - channel : k1 - k;
            column_run(c, vaddq_u32(vld1q_u32(base), vdupq_n_u32(delta)), valid, stride);
            tap++;
            channel = 0;
        }
    }
}
