/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen elements a step, eight where one of them has 64 bits; tails are masked. */
#include <immintrin.h>

#include "kernels/cast.h"

#define INLINE static inline __attribute__((always_inline))

enum { STEP = 16 };

typedef void step_fn(const void *x, void *y, __mmask16 m);

INLINE void f32_f16_step(const void *x, void *y, __mmask16 m)
{
    const __m256i z = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(m, x), _MM_FROUND_TO_NEAREST_INT);
    _mm256_mask_storeu_epi16(y, m, z);
}

INLINE void f16_f32_step(const void *x, void *y, __mmask16 m)
{
    _mm512_mask_storeu_ps(y, m, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, x)));
}

INLINE void f32_bf16_step(const void *x, void *y, __mmask16 m)
{
    const __m512 value = _mm512_maskz_loadu_ps(m, x);
    const __m512i bits = _mm512_castps_si512(value), top = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(top, _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m512i z = _mm512_mask_or_epi32(_mm512_srli_epi32(up, 16), nan, top,
                                           _mm512_set1_epi32(0x40));
    _mm512_mask_cvtepi32_storeu_epi16(y, m, z);
}

INLINE void bf16_f32_step(const void *x, void *y, __mmask16 m)
{
    const __m512i z = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, x));
    _mm512_mask_storeu_epi32(y, m, _mm512_slli_epi32(z, 16));
}

INLINE void i32_f32_step(const void *x, void *y, __mmask16 m)
{
    _mm512_mask_storeu_ps(y, m, _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(m, x)));
}

INLINE void i64_f32_step(const void *x, void *y, __mmask16 m)
{
    const __m256 low = _mm512_cvtepi64_ps(_mm512_maskz_loadu_epi64((__mmask8)m, x));
    const __m256 high = _mm512_cvtepi64_ps(
        _mm512_maskz_loadu_epi64((__mmask8)(m >> 8), (const int64_t *)x + 8));
    _mm512_mask_storeu_ps(y, m, _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1));
}

INLINE void u8_f32_step(const void *x, void *y, __mmask16 m)
{
    const __m512i z = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, x));
    _mm512_mask_storeu_ps(y, m, _mm512_cvtepi32_ps(z));
}

INLINE void i8_f32_step(const void *x, void *y, __mmask16 m)
{
    const __m512i z = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(m, x));
    _mm512_mask_storeu_ps(y, m, _mm512_cvtepi32_ps(z));
}

INLINE void f32_i32_step(const void *x, void *y, __mmask16 m)
{
    _mm512_mask_storeu_epi32(y, m, _mm512_cvttps_epi32(_mm512_maskz_loadu_ps(m, x)));
}

INLINE void f32_i64_step(const void *x, void *y, __mmask16 m)
{
    const __m512 value = _mm512_maskz_loadu_ps(m, x);
    _mm512_mask_storeu_epi64(y, (__mmask8)m, _mm512_cvttps_epi64(_mm512_castps512_ps256(value)));
    _mm512_mask_storeu_epi64((int64_t *)y + 8, (__mmask8)(m >> 8),
                             _mm512_cvttps_epi64(_mm512_extractf32x8_ps(value, 1)));
}

INLINE void steps_run(step_fn *f, const unsigned char *x, size_t x_size, unsigned char *y,
                      size_t y_size, size_t n)
{
    size_t i = 0;

    for (; i + STEP <= n; i += STEP)
        f(x + i * x_size, y + i * y_size, 0xffff);
    if (i < n)
        f(x + i * x_size, y + i * y_size, (__mmask16)((1u << (n - i)) - 1));
}

#define ROW(name, x_size, y_size)                            \
    static void name(const void *x, void *y, size_t n)       \
    {                                                        \
        steps_run(name##_step, x, x_size, y, y_size, n);     \
    }
ROW(f32_f16, 4, 2) ROW(f16_f32, 2, 4) ROW(f32_bf16, 4, 2) ROW(bf16_f32, 2, 4) ROW(i32_f32, 4, 4)
ROW(i64_f32, 8, 4) ROW(u8_f32, 1, 4) ROW(i8_f32, 1, 4) ROW(f32_i32, 4, 4) ROW(f32_i64, 4, 8)

const struct cast_kernel cast_avx512 = {
    .name = "avx512",
    .level = CPU_AVX512,
    .fn = {
        [CAST_F32_F16] = f32_f16, [CAST_F16_F32] = f16_f32, [CAST_F32_BF16] = f32_bf16,
        [CAST_BF16_F32] = bf16_f32, [CAST_I32_F32] = i32_f32, [CAST_I64_F32] = i64_f32,
        [CAST_U8_F32] = u8_f32, [CAST_I8_F32] = i8_f32, [CAST_F32_I32] = f32_i32,
        [CAST_F32_I64] = f32_i64,
    },
};
