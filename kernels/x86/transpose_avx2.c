/* SPDX-License-Identifier: Apache-2.0 */
/* 2-D transposes in registers: 16 x 16 bytes and 8 x 8 pairs of bytes in 128-bit registers, 8 x 8
 * floats and 4 x 4 doubles in 256-bit ones. Each stage interleaves rows twice as far apart as the
 * one before; memory limits them all from the second cache on. */
#include <immintrin.h>

#include "kernels/vec/transpose_tiles.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

/* a[i], a[i + half] interleaved, log2(rows) times, transposes bytes, where half is half the rows.
 * */
INLINE void tile_1(const unsigned char *x, size_t x_row, unsigned char *y, size_t y_row)
{
    __m128i a[16], b[16];

    UNROLL for (int i = 0; i < 16; i++)
        a[i] = _mm_loadu_si128((const __m128i *)(x + i * x_row));
    UNROLL for (int stage = 0; stage < 4; stage++) {
        UNROLL for (int i = 0; i < 8; i++) {
            b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
            b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
        }
        UNROLL for (int i = 0; i < 16; i++)
            a[i] = b[i];
    }
    UNROLL for (int i = 0; i < 16; i++)
        _mm_storeu_si128((__m128i *)(y + i * y_row), a[i]);
}

INLINE void tile_2(const unsigned char *x, size_t x_row, unsigned char *y, size_t y_row)
{
    __m128i a[8], b[8];

    UNROLL for (int i = 0; i < 8; i++)
        a[i] = _mm_loadu_si128((const __m128i *)(x + i * x_row));
    UNROLL for (int stage = 0; stage < 3; stage++) {
        UNROLL for (int i = 0; i < 4; i++) {
            b[2 * i] = _mm_unpacklo_epi16(a[i], a[i + 4]);
            b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i + 4]);
        }
        UNROLL for (int i = 0; i < 8; i++)
            a[i] = b[i];
    }
    UNROLL for (int i = 0; i < 8; i++)
        _mm_storeu_si128((__m128i *)(y + i * y_row), a[i]);
}

/* The left halves of rows i and i + 4 in one register, then the right ones: what is left is two 4
 * x 4 transposes in the halves. */
INLINE void tile_4(const unsigned char *x, size_t x_row, unsigned char *y, size_t y_row)
{
    UNROLL for (int side = 0; side < 2; side++) {
        __m256 a[4];
        UNROLL for (int i = 0; i < 4; i++) {
            const float *top = (const float *)(x + i * x_row) + 4 * side;
            const float *low = (const float *)(x + (i + 4) * x_row) + 4 * side;
            a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(top)),
                                        _mm_loadu_ps(low), 1);
        }
        const __m256 b0 = _mm256_unpacklo_ps(a[0], a[1]), b1 = _mm256_unpackhi_ps(a[0], a[1]);
        const __m256 b2 = _mm256_unpacklo_ps(a[2], a[3]), b3 = _mm256_unpackhi_ps(a[2], a[3]);
        unsigned char *to = y + 4 * side * y_row;
        _mm256_storeu_ps((float *)to, _mm256_shuffle_ps(b0, b2, 0x44));
        _mm256_storeu_ps((float *)(to + y_row), _mm256_shuffle_ps(b0, b2, 0xee));
        _mm256_storeu_ps((float *)(to + 2 * y_row), _mm256_shuffle_ps(b1, b3, 0x44));
        _mm256_storeu_ps((float *)(to + 3 * y_row), _mm256_shuffle_ps(b1, b3, 0xee));
    }
}

INLINE void tile_8(const unsigned char *x, size_t x_row, unsigned char *y, size_t y_row)
{
    UNROLL for (int side = 0; side < 2; side++) {
        __m256d a[2];
        UNROLL for (int i = 0; i < 2; i++) {
            const double *top = (const double *)(x + i * x_row) + 2 * side;
            const double *low = (const double *)(x + (i + 2) * x_row) + 2 * side;
            a[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(top)),
                                        _mm_loadu_pd(low), 1);
        }
        unsigned char *to = y + 2 * side * y_row;
        _mm256_storeu_pd((double *)to, _mm256_unpacklo_pd(a[0], a[1]));
        _mm256_storeu_pd((double *)(to + y_row), _mm256_unpackhi_pd(a[0], a[1]));
    }
}

#define ROW(log2_size, size, side)                                                             \
    static void all_##size(const void *x, size_t x_row, void *y, size_t y_row, size_t rows,    \
                           size_t cols)                                                        \
    {                                                                                          \
        tiles_walk(tile_##size, side, log2_size, x, x_row, y, y_row, rows, cols);              \
    }
ROW(0, 1, 16) ROW(1, 2, 8) ROW(2, 4, 8) ROW(3, 8, 4)

const struct transpose_kernel transpose_avx2 = {
    .name = "avx2",
    .level = CPU_AVX2,
    .fn = {all_1, all_2, all_4, all_8, NULL},
};
