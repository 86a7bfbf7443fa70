/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 4 floats: the names of kernels/x86/vec_avx512.h, which says what they mean. A mask is
 * a vector whose lanes are all ones or all zeros. There are no masked loads here: the first n lanes
 * are put together from pairs and single ones. */
#pragma once

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline, unused))
#define LEVEL(name) name##_neon
#define LEVEL_CPU CPU_NEON
#define LEVEL_NAME "neon"

/* Before loops of constant length: unrolled early, so that the arrays that they index are
 * registers. */
#define UNROLL _Pragma("GCC unroll 32")

enum { LANES = 4 };

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vm;

INLINE vf vf_set(float x) { return vdupq_n_f32(x); }
INLINE vi vi_set(int32_t x) { return vdupq_n_s32(x); }
INLINE vf vi_bits(vi x) { return vreinterpretq_f32_s32(x); }
INLINE vi vf_bits(vf x) { return vreinterpretq_s32_f32(x); }
INLINE vm vm_first(size_t n)
{
    const vm lane = {0, 1, 2, 3};
    return vcltq_u32(lane, vdupq_n_u32(n > LANES ? LANES : (uint32_t)n));
}
INLINE vf vf_load(const float *p) { return vld1q_f32(p); }
INLINE void vf_store(float *p, vf x) { vst1q_f32(p, x); }
INLINE vf vf_load_n(const float *p, size_t n)
{
    if (n >= LANES)
        return vf_load(p);
    if (n == 1)
        return vld1q_lane_f32(p, vf_set(0), 0);
    const vf two = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
    return n == 2 ? two : vld1q_lane_f32(p + 2, two, 2);
}
INLINE void vf_store_n(float *p, vf x, size_t n)
{
    if (n >= LANES) {
        vf_store(p, x);
    } else if (n == 1) {
        vst1q_lane_f32(p, x, 0);
    } else {
        vst1_f32(p, vget_low_f32(x));
        if (n == 3)
            vst1q_lane_f32(p + 2, x, 2);
    }
}

INLINE vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
INLINE vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
/* The instructions give NaN if either is NaN; these the second operand, as the bodies expect. */
INLINE vf vf_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
INLINE vf vf_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INLINE vf vf_sqrt(vf x) { return vsqrtq_f32(x); }
INLINE vf vf_round(vf x) { return vrndnq_f32(x); }
INLINE vf vf_floor(vf x) { return vrndmq_f32(x); }
INLINE vf vf_ceil(vf x) { return vrndpq_f32(x); }

INLINE vf vf_and(vf a, vf b) { return vi_bits(vandq_s32(vf_bits(a), vf_bits(b))); }
INLINE vf vf_or(vf a, vf b) { return vi_bits(vorrq_s32(vf_bits(a), vf_bits(b))); }
INLINE vf vf_xor(vf a, vf b) { return vi_bits(veorq_s32(vf_bits(a), vf_bits(b))); }
INLINE vf vf_abs(vf x) { return vabsq_f32(x); }
INLINE vf vf_neg(vf x) { return vnegq_f32(x); }
INLINE vf vf_sign(vf a, vf b) { return vbslq_f32(vdupq_n_u32(0x80000000), b, a); }

INLINE vm vf_lt(vf a, vf b) { return vcltq_f32(a, b); }
INLINE vm vf_gt(vf a, vf b) { return vcgtq_f32(a, b); }
INLINE vm vf_eq(vf a, vf b) { return vceqq_f32(a, b); }
INLINE vm vf_is_nan(vf x) { return vmvnq_u32(vceqq_f32(x, x)); }
INLINE vm vm_or(vm a, vm b) { return vorrq_u32(a, b); }
INLINE unsigned vm_bits(vm m)
{
    const vm lane = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(m, lane));
}
INLINE vf vf_select(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }
INLINE vf vf_keep(vm m, vf a) { return vi_bits(vandq_s32(vreinterpretq_s32_u32(m), vf_bits(a))); }

INLINE vi vf_to_vi(vf x) { return vcvtnq_s32_f32(x); }
INLINE vf vi_to_vf(vi x) { return vcvtq_f32_s32(x); }
INLINE vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
INLINE vi vi_sub(vi a, vi b) { return vsubq_s32(a, b); }
INLINE vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
#define vi_shl(x, count) vshlq_n_s32(x, count)
#define vi_sra(x, count) vshrq_n_s32(x, count)
INLINE vm vi_eq(vi a, vi b) { return vceqq_s32(a, b); }

/* Two factors, as 2^n may not be a normal float; the first product is exact, so that one rounding
 * is left. */
INLINE vf vf_scale(vf x, vf n)
{
    const vi whole = vf_to_vi(n), half = vi_sra(whole, 1);
    const vi first = vi_shl(vi_add(half, vi_set(127)), 23);
    const vi second = vi_shl(vi_add(vi_sub(whole, half), vi_set(127)), 23);
    return x * vi_bits(first) * vi_bits(second);
}

INLINE vf vf_even(vf a, vf b) { return vuzp1q_f32(a, b); }
INLINE vf vf_odd(vf a, vf b) { return vuzp2q_f32(a, b); }

INLINE float vf_all_sum(vf x) { return vaddvq_f32(x); }
INLINE float vf_all_prod(vf x)
{
    const float32x2_t y = vmul_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(y, 0) * vget_lane_f32(y, 1);
}
INLINE float vf_all_min(vf x) { return vminvq_f32(x); }
INLINE float vf_all_max(vf x) { return vmaxvq_f32(x); }
INLINE double vf_all_sum_double(vf x)
{
    return vaddvq_f64(vaddq_f64(vcvt_f64_f32(vget_low_f32(x)), vcvt_high_f64_f32(x)));
}
