/* SPDX-License-Identifier: Apache-2.0 */
/* 2-D transposes in registers: 16 x 16 floats and 8 x 8 doubles. Smaller elements stay with the
 * level below. */
#include <immintrin.h>

#include "kernels/vec/transpose_tiles.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

/* 16 bytes of the rows at p, p + step, ... */
INLINE __m512 quarters(const unsigned char *p, size_t step)
{
    __m512 a = _mm512_castps128_ps512(_mm_loadu_ps((const float *)p));
    a = _mm512_insertf32x4(a, _mm_loadu_ps((const float *)(p + step)), 1);
    a = _mm512_insertf32x4(a, _mm_loadu_ps((const float *)(p + 2 * step)), 2);
    return _mm512_insertf32x4(a, _mm_loadu_ps((const float *)(p + 3 * step)), 3);
}

/* Whole rows, as lines of a large power-of-two stride evict each other if they are touched twice:
 * 4 x 4 blocks within quarters of registers first, then the quarters. */
INLINE void tile_4(const unsigned char *x, size_t x_row, unsigned char *y, size_t y_row)
{
    __m512 a[16], b[16];

    UNROLL for (int i = 0; i < 16; i++)
        a[i] = _mm512_loadu_ps(x + i * x_row);
    UNROLL for (int i = 0; i < 16; i += 4) {
        const __m512 b0 = _mm512_unpacklo_ps(a[i], a[i + 1]);
        const __m512 b1 = _mm512_unpackhi_ps(a[i], a[i + 1]);
        const __m512 b2 = _mm512_unpacklo_ps(a[i + 2], a[i + 3]);
        const __m512 b3 = _mm512_unpackhi_ps(a[i + 2], a[i + 3]);
        b[i] = _mm512_shuffle_ps(b0, b2, 0x44);
        b[i + 1] = _mm512_shuffle_ps(b0, b2, 0xee);
        b[i + 2] = _mm512_shuffle_ps(b1, b3, 0x44);
        b[i + 3] = _mm512_shuffle_ps(b1, b3, 0xee);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        const __m512 low0 = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x44);
        const __m512 high0 = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xee);
        const __m512 low1 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x44);
        const __m512 high1 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xee);
        _mm512_storeu_ps(y + i * y_row, _mm512_shuffle_f32x4(low0, low1, 0x88));
        _mm512_storeu_ps(y + (i + 4) * y_row, _mm512_shuffle_f32x4(low0, low1, 0xdd));
        _mm512_storeu_ps(y + (i + 8) * y_row, _mm512_shuffle_f32x4(high0, high1, 0x88));
        _mm512_storeu_ps(y + (i + 12) * y_row, _mm512_shuffle_f32x4(high0, high1, 0xdd));
    }
}

INLINE void tile_8(const unsigned char *x, size_t x_row, unsigned char *y, size_t y_row)
{
    UNROLL for (int side = 0; side < 4; side++) {
        const __m512d a = _mm512_castps_pd(quarters(x + 16 * side, 2 * x_row));
        const __m512d b = _mm512_castps_pd(quarters(x + x_row + 16 * side, 2 * x_row));
        unsigned char *to = y + 2 * side * y_row;
        _mm512_storeu_pd(to, _mm512_unpacklo_pd(a, b));
        _mm512_storeu_pd(to + y_row, _mm512_unpackhi_pd(a, b));
    }
}

#define ROW(log2_size, size, side)                                                             \
    static void all_##size(const void *x, size_t x_row, void *y, size_t y_row, size_t rows,    \
                           size_t cols)                                                        \
    {                                                                                          \
        tiles_walk(tile_##size, side, log2_size, x, x_row, y, y_row, rows, cols);              \
    }
ROW(2, 4, 16) ROW(3, 8, 8)

const struct transpose_kernel transpose_avx512 = {
    .name = "avx512",
    .level = CPU_AVX512,
    .fn = {NULL, NULL, all_4, all_8, NULL},
};
