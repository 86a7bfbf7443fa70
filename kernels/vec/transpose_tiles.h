/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over square tiles that the vector rows of kernels/transpose.h share: what the tiles
 * leave on the right and below goes to the plain C row. */
#pragma once

#include "kernels/transpose.h"

/* One tile of side x side elements; strides in bytes. */
typedef void tile_fn(const unsigned char *x, size_t x_row, unsigned char *y, size_t y_row);

/* Two tiles side by side in x before the next ones below, as a tile may be half a cache line. */
static inline __attribute__((always_inline)) void
tiles_walk(tile_fn *f, size_t side, int log2_size, const unsigned char *x, size_t x_row,
           unsigned char *y, size_t y_row, size_t rows, size_t cols)
{
    transpose_2d_fn *rest = transpose_kernels[0]->fn[log2_size];
    const size_t size = (size_t)1 << log2_size;
    const size_t whole_rows = rows / side * side, whole_cols = cols / side * side;

    for (size_t c = 0; c < whole_cols; c += 2 * side) {
        for (size_t r = 0; r < whole_rows; r += side) {
            f(x + (r * x_row + c) * size, x_row * size, y + (c * y_row + r) * size, y_row * size);
            if (c + side < whole_cols)
                f(x + (r * x_row + c + side) * size, x_row * size,
                  y + ((c + side) * y_row + r) * size, y_row * size);
        }
    }
    if (whole_cols < cols)
        rest(x + whole_cols * size, x_row, y + whole_cols * y_row * size, y_row, rows,
             cols - whole_cols);
    if (whole_rows < rows)
        rest(x + whole_rows * x_row * size, x_row, y + whole_rows * size, y_row, rows - whole_rows,
             whole_cols);
}
