/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 8 floats: the names of vec_avx512.h, which says what they mean. A mask is a vector
 * whose lanes are all ones or all zeros. */
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline, unused))
#define LEVEL(name) name##_avx2
#define LEVEL_CPU CPU_AVX2
#define LEVEL_NAME "avx2"

/* Before loops of constant length: unrolled early, so that the arrays that they index are
 * registers. */
#define UNROLL _Pragma("GCC unroll 32")

enum { LANES = 8 };

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;

INLINE vf vf_set(float x) { return _mm256_set1_ps(x); }
INLINE vi vi_set(int32_t x) { return _mm256_set1_epi32(x); }
INLINE vf vi_bits(vi x) { return _mm256_castsi256_ps(x); }
INLINE vi vf_bits(vf x) { return _mm256_castps_si256(x); }
INLINE vm vm_first(size_t n)
{
    const vi lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return vi_bits(_mm256_cmpgt_epi32(vi_set(n > LANES ? LANES : (int32_t)n), lane));
}
INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
/* Masked stores are slow on some processors: none for whole vectors. */
INLINE vf vf_load_n(const float *p, size_t n)
{
    return n >= LANES ? vf_load(p) : _mm256_maskload_ps(p, vf_bits(vm_first(n)));
}
INLINE void vf_store_n(float *p, vf x, size_t n)
{
    if (n >= LANES)
        vf_store(p, x);
    else
        _mm256_maskstore_ps(p, vf_bits(vm_first(n)), x);
}

INLINE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
INLINE vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE vf vf_sqrt(vf x) { return _mm256_sqrt_ps(x); }
INLINE vf vf_round(vf x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vf vf_floor(vf x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
INLINE vf vf_ceil(vf x) { return _mm256_round_ps(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }

INLINE vf vf_and(vf a, vf b) { return _mm256_and_ps(a, b); }
INLINE vf vf_or(vf a, vf b) { return _mm256_or_ps(a, b); }
INLINE vf vf_xor(vf a, vf b) { return _mm256_xor_ps(a, b); }
INLINE vf vf_abs(vf x) { return _mm256_andnot_ps(vf_set(-0.0f), x); }
INLINE vf vf_neg(vf x) { return vf_xor(x, vf_set(-0.0f)); }
INLINE vf vf_sign(vf a, vf b) { return vf_or(vf_abs(a), vf_and(b, vf_set(-0.0f))); }

INLINE vm vf_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
INLINE vm vf_gt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
INLINE vm vf_eq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
INLINE vm vf_is_nan(vf x) { return _mm256_cmp_ps(x, x, _CMP_UNORD_Q); }
INLINE vm vm_or(vm a, vm b) { return _mm256_or_ps(a, b); }
INLINE unsigned vm_bits(vm m) { return (unsigned)_mm256_movemask_ps(m); }
INLINE vf vf_select(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }
INLINE vf vf_keep(vm m, vf a) { return _mm256_and_ps(m, a); }

INLINE vi vf_to_vi(vf x) { return _mm256_cvtps_epi32(x); }
INLINE vf vi_to_vf(vi x) { return _mm256_cvtepi32_ps(x); }
INLINE vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
INLINE vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
#define vi_shl(x, count) _mm256_slli_epi32(x, count)
#define vi_sra(x, count) _mm256_srai_epi32(x, count)
INLINE vm vi_eq(vi a, vi b) { return vi_bits(_mm256_cmpeq_epi32(a, b)); }

/* Two factors, as 2^n may not be a normal float; the first product is exact, so that one rounding
 * is left. */
INLINE vf vf_scale(vf x, vf n)
{
    const vi whole = vf_to_vi(n), half = vi_sra(whole, 1);
    const vi first = vi_shl(vi_add(half, vi_set(127)), 23);
    const vi second = vi_shl(vi_add(vi_sub(whole, half), vi_set(127)), 23);
    return x * vi_bits(first) * vi_bits(second);
}

INLINE vf vf_even(vf a, vf b)
{
    const __m256d x = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(x, 0xd8));
}
INLINE vf vf_odd(vf a, vf b)
{
    const __m256d x = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(x, 0xd8));
}

INLINE float vf_all_sum(vf x)
{
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
INLINE float vf_all_prod(vf x)
{
    __m128 y = _mm_mul_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_mul_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_mul_ss(y, _mm_movehdup_ps(y)));
}
INLINE float vf_all_min(vf x)
{
    __m128 y = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_min_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_min_ss(y, _mm_movehdup_ps(y)));
}
INLINE float vf_all_max(vf x)
{
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}
INLINE double vf_all_sum_double(vf x)
{
    const __m256d y = _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
                                    _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
    const __m128d z = _mm_add_pd(_mm256_castpd256_pd128(y), _mm256_extractf128_pd(y, 1));
    return _mm_cvtsd_f64(_mm_add_sd(z, _mm_unpackhi_pd(z, z)));
}
