/* SPDX-License-Identifier: Apache-2.0 */
/* Eight elements a step. A tail passes through the same step on padded copies. */
#include <arm_neon.h>

#include "kernels/vec/cast_steps.h"

/* Two registers of four floats. */
static inline void pair_store(float *y, float32x4_t low, float32x4_t high)
{
    vst1q_f32(y, low);
    vst1q_f32(y + 4, high);
}

static inline void f32_f16_step(const void *x, void *y)
{
    const float *from = x;
    const float16x4_t low = vcvt_f16_f32(vld1q_f32(from)), high = vcvt_f16_f32(vld1q_f32(from + 4));
    vst1q_u16(y, vreinterpretq_u16_f16(vcombine_f16(low, high)));
}

static inline void f16_f32_step(const void *x, void *y)
{
    const float16x8_t in = vreinterpretq_f16_u16(vld1q_u16(x));
    pair_store(y, vcvt_f32_f16(vget_low_f16(in)), vcvt_high_f32_f16(in));
}

static inline uint32x4_t bf16_of(const float *x)
{
    const float32x4_t value = vld1q_f32(x);
    const uint32x4_t bits = vreinterpretq_u32_f32(value), top = vshrq_n_u32(bits, 16);
    const uint32x4_t odd = vandq_u32(top, vdupq_n_u32(1));
    const uint32x4_t up = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    const uint32x4_t quiet = vorrq_u32(top, vdupq_n_u32(0x40));
    return vbslq_u32(vceqq_f32(value, value), vshrq_n_u32(up, 16), quiet);
}

static inline void f32_bf16_step(const void *x, void *y)
{
    const float *from = x;
    vst1q_u16(y, vcombine_u16(vmovn_u32(bf16_of(from)), vmovn_u32(bf16_of(from + 4))));
}

static inline void bf16_f32_step(const void *x, void *y)
{
    const uint16x8_t in = vld1q_u16(x);
    pair_store(y, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(in), 16)),
               vreinterpretq_f32_u32(vshll_high_n_u16(in, 16)));
}

static inline void i32_f32_step(const void *x, void *y)
{
    const int32_t *from = x;
    pair_store(y, vcvtq_f32_s32(vld1q_s32(from)), vcvtq_f32_s32(vld1q_s32(from + 4)));
}

static inline void u8_f32_step(const void *x, void *y)
{
    const uint16x8_t in = vmovl_u8(vld1_u8(x));
    pair_store(y, vcvtq_f32_u32(vmovl_u16(vget_low_u16(in))), vcvtq_f32_u32(vmovl_high_u16(in)));
}

static inline void i8_f32_step(const void *x, void *y)
{
    const int16x8_t in = vmovl_s8(vld1_s8(x));
    pair_store(y, vcvtq_f32_s32(vmovl_s16(vget_low_s16(in))), vcvtq_f32_s32(vmovl_high_s16(in)));
}

/* The instruction gives the nearest integer for what does not fit, and 0 for NaN. */
static inline void f32_i32_step(const void *x, void *y)
{
    const float *from = x;
    int32_t *to = y;

    for (int i = 0; i < STEP; i += 4) {
        const float32x4_t value = vld1q_f32(from + i);
        const uint32x4_t fits = vcltq_f32(value, vdupq_n_f32(0x1p31f));
        vst1q_s32(to + i, vbslq_s32(fits, vcvtq_s32_f32(value), vdupq_n_s32(INT32_MIN)));
    }
}

ROW(f32_f16, 4, 2) ROW(f16_f32, 2, 4) ROW(f32_bf16, 4, 2) ROW(bf16_f32, 2, 4) ROW(i32_f32, 4, 4)
ROW(u8_f32, 1, 4) ROW(i8_f32, 1, 4) ROW(f32_i32, 4, 4)

const struct cast_kernel cast_neon = {
    .name = "neon",
    .level = CPU_NEON,
    .fn = {
        [CAST_F32_F16] = f32_f16, [CAST_F16_F32] = f16_f32, [CAST_F32_BF16] = f32_bf16,
        [CAST_BF16_F32] = bf16_f32, [CAST_I32_F32] = i32_f32, [CAST_U8_F32] = u8_f32,
        [CAST_I8_F32] = i8_f32, [CAST_F32_I32] = f32_i32,
    },
};
