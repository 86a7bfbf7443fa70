/* SPDX-License-Identifier: Apache-2.0 */
/* Eight elements a step. A tail passes through the same step on padded copies. */
#include <immintrin.h>

#include "kernels/vec/cast_steps.h"

static inline void f32_f16_step(const void *x, void *y)
{
    _mm_storeu_si128(y, _mm256_cvtps_ph(_mm256_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT));
}

static inline void f16_f32_step(const void *x, void *y)
{
    _mm256_storeu_ps(y, _mm256_cvtph_ps(_mm_loadu_si128(x)));
}

static inline void f32_bf16_step(const void *x, void *y)
{
    const __m256 value = _mm256_loadu_ps(x);
    const __m256i bits = _mm256_castps_si256(value), top = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
    const __m256i z = _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), quiet, nan);
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(z, z), 0xd8);
    _mm_storeu_si128(y, _mm256_castsi256_si128(both));
}

static inline void bf16_f32_step(const void *x, void *y)
{
    _mm256_storeu_si256(y, _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(x)), 16));
}

static inline void i32_f32_step(const void *x, void *y)
{
    _mm256_storeu_ps(y, _mm256_cvtepi32_ps(_mm256_loadu_si256(x)));
}

static inline void u8_f32_step(const void *x, void *y)
{
    _mm256_storeu_ps(y, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(x))));
}

static inline void i8_f32_step(const void *x, void *y)
{
    _mm256_storeu_ps(y, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(x))));
}

static inline void f32_i32_step(const void *x, void *y)
{
    _mm256_storeu_si256(y, _mm256_cvttps_epi32(_mm256_loadu_ps(x)));
}

ROW(f32_f16, 4, 2) ROW(f16_f32, 2, 4) ROW(f32_bf16, 4, 2) ROW(bf16_f32, 2, 4) ROW(i32_f32, 4, 4)
ROW(u8_f32, 1, 4) ROW(i8_f32, 1, 4) ROW(f32_i32, 4, 4)

const struct cast_kernel cast_avx2 = {
    .name = "avx2",
    .level = CPU_AVX2,
    .fn = {
        [CAST_F32_F16] = f32_f16, [CAST_F16_F32] = f16_f32, [CAST_F32_BF16] = f32_bf16,
        [CAST_BF16_F32] = bf16_f32, [CAST_I32_F32] = i32_f32, [CAST_U8_F32] = u8_f32,
        [CAST_I8_F32] = i8_f32, [CAST_F32_I32] = f32_i32,
    },
};
