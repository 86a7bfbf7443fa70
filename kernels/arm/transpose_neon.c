/* SPDX-License-Identifier: Apache-2.0 */
/* 2-D transposes in registers: 16 x 16 bytes, 8 x 8 pairs, 4 x 4 words, 2 x 2 double words. Each
 * stage interleaves rows half the tile apart; log2(rows) of them transpose it. */
#include <arm_neon.h>

#include "kernels/vec/transpose_tiles.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

#define TILE(size, rows, stages, vector, bits)                                                     \
    INLINE void tile_##size(const unsigned char *x, size_t x_row, unsigned char *y, size_t y_row)  \
    {                                                                                              \
        vector a[rows], b[rows];                                                                   \
        UNROLL for (int i = 0; i < rows; i++)                                                      \
            a[i] = (vector)vld1q_u8(x + i * x_row);                                                \
        UNROLL for (int stage = 0; stage < stages; stage++) {                                      \
            UNROLL for (int i = 0; i < rows / 2; i++) {                                            \
                b[2 * i] = vzip1q_##bits(a[i], a[i + rows / 2]);                                   \
                b[2 * i + 1] = vzip2q_##bits(a[i], a[i + rows / 2]);                               \
            }                                                                                      \
            UNROLL for (int i = 0; i < rows; i++)                                                  \
                a[i] = b[i];                                                                       \
        }                                                                                          \
        UNROLL for (int i = 0; i < rows; i++)                                                      \
            vst1q_u8(y + i * y_row, (uint8x16_t)a[i]);                                             \
    }
TILE(1, 16, 4, uint8x16_t, u8)
TILE(2, 8, 3, uint16x8_t, u16)
TILE(4, 4, 2, uint32x4_t, u32)
TILE(8, 2, 1, uint64x2_t, u64)

#define ROW(log2_size, size, side)                                                             \
    static void all_##size(const void *x, size_t x_row, void *y, size_t y_row, size_t rows,    \
                           size_t cols)                                                        \
    {                                                                                          \
        tiles_walk(tile_##size, side, log2_size, x, x_row, y, y_row, rows, cols);              \
    }
ROW(0, 1, 16) ROW(1, 2, 8) ROW(2, 4, 4) ROW(3, 8, 2)

const struct transpose_kernel transpose_neon = {
    .name = "neon",
    .level = CPU_NEON,
    .fn = {all_1, all_2, all_4, all_8, NULL},
};
