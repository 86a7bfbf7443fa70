/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 16 floats. The same names as in vec_avx2.h, so that one body serves both levels;
 * there is nothing in them beyond naming. Included by the files of this level only.
 *
 * vf: floats, vi: 32-bit integers, vm: a mask of lanes. a + b, a * b, ... are written as operators.
 * The _n forms touch the first n lanes only (1 <= n <= LANES); a load sets the other lanes to zero.
 * Tails go through the same instructions as the body, so an element gets the same bits in either.
 */
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline, unused))
#define LEVEL(name) name##_avx512
#define LEVEL_CPU CPU_AVX512
#define LEVEL_NAME "avx512"

/* Before loops of constant length: unrolled early, so that the arrays that they index are
 * registers. */
#define UNROLL _Pragma("GCC unroll 32")

enum { LANES = 16 };

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

INLINE vf vf_set(float x) { return _mm512_set1_ps(x); }
INLINE vi vi_set(int32_t x) { return _mm512_set1_epi32(x); }
INLINE vm vm_first(size_t n) { return n >= LANES ? 0xffff : (vm)((1u << n) - 1); }
INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
INLINE vf vf_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(vm_first(n), p); }
INLINE void vf_store_n(float *p, vf x, size_t n) { _mm512_mask_storeu_ps(p, vm_first(n), x); }

INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
/* The second operand if either is NaN. */
INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE vf vf_sqrt(vf x) { return _mm512_sqrt_ps(x); }
INLINE vf vf_round(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vf vf_floor(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
INLINE vf vf_ceil(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}

INLINE vf vf_and(vf a, vf b) { return _mm512_and_ps(a, b); }
INLINE vf vf_or(vf a, vf b) { return _mm512_or_ps(a, b); }
INLINE vf vf_xor(vf a, vf b) { return _mm512_xor_ps(a, b); }
INLINE vf vf_abs(vf x) { return _mm512_abs_ps(x); }
INLINE vf vf_neg(vf x) { return vf_xor(x, vf_set(-0.0f)); }
/* The magnitude of a with the sign of b. */
INLINE vf vf_sign(vf a, vf b)
{
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(
        vi_set(INT32_MIN), _mm512_castps_si512(b), _mm512_castps_si512(a), 0xca));
}

INLINE vm vf_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE vm vf_gt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
INLINE vm vf_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
INLINE vm vf_is_nan(vf x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
INLINE vm vm_or(vm a, vm b) { return a | b; }
INLINE unsigned vm_bits(vm m) { return m; }
/* m ? a : b */
INLINE vf vf_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
INLINE vf vf_keep(vm m, vf a) { return _mm512_maskz_mov_ps(m, a); }

INLINE vi vf_bits(vf x) { return _mm512_castps_si512(x); }
INLINE vf vi_bits(vi x) { return _mm512_castsi512_ps(x); }
INLINE vi vf_to_vi(vf x) { return _mm512_cvtps_epi32(x); }
INLINE vf vi_to_vf(vi x) { return _mm512_cvtepi32_ps(x); }
INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
INLINE vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
#define vi_shl(x, count) _mm512_slli_epi32(x, count)
#define vi_sra(x, count) _mm512_srai_epi32(x, count)
INLINE vm vi_eq(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }

/* x * 2^n for integral n in [-151, 129], rounded once. */
INLINE vf vf_scale(vf x, vf n) { return _mm512_scalef_ps(x, n); }

/* Lanes 0, 2, 4, ... and 1, 3, 5, ... of the 2 * LANES floats a, b. */
INLINE vf vf_even(vf a, vf b)
{
    const vi at = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, at, b);
}
INLINE vf vf_odd(vf a, vf b)
{
    const vi at = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(a, at, b);
}

/* All lanes together, by a fixed tree; the sum in double. */
INLINE float vf_all_sum(vf x) { return _mm512_reduce_add_ps(x); }
INLINE float vf_all_prod(vf x) { return _mm512_reduce_mul_ps(x); }
INLINE float vf_all_min(vf x) { return _mm512_reduce_min_ps(x); }
INLINE float vf_all_max(vf x) { return _mm512_reduce_max_ps(x); }
INLINE double vf_all_sum_double(vf x)
{
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
    return _mm512_reduce_add_pd(_mm512_add_pd(low, _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1))));
}
