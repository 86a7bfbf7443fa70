/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution, f32: rows of one output channel from one input channel.
 *
 * Squares that dwconv_f32_plane_fits() are read in place (struct dwconv_f32_plane). For any other
 * filter the caller lays out the input in lines with the pads in place, split into phases: with
 * stride s along the width, input e of a line lies at (e % s) * phase + e / s. So every tap of
 * neighbouring outputs reads neighbouring floats, whatever the stride:
 *   y[r][j] = clip(sum of w[z][y][x] * in(r, z, y, x, j) + bias + add[r][j], lo, hi)
 *   in(r, z, y, x, j) = x[r * x_row + z * z_step + y * y_step + (e % s) * phase + e / s + j],
 *   e = x * dilation
 * The sum is one chain of fused multiply-adds in order z, y, x, from zero (row 0 rounds the
 * products as well). Reads may go up to DWCONV_SLACK floats beyond the last input that a row needs;
 * y and add are touched in columns below n only. NaN passes through the clip.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

enum { DWCONV_SLACK = 16 };

struct dwconv_f32_tile {
    const float *x, *w;
    float *y;
    const float *add; /* NULL, or with rows as y */
    size_t kernel[3];
    size_t x_row, z_step, y_step, phase, stride, dilation;
    size_t y_row, rows, n;
    float bias, lo, hi;
};
typedef void dwconv_f32_fn(const struct dwconv_f32_tile *tile);

/* Output rows [row_from, row_to) of a plane from an image of height x width, size x size taps, the
 * same stride and dilation along both. What lies outside the image adds nothing and is not read; y
 * and add (or NULL) are whole planes. The same sum in the same order. */
struct dwconv_f32_plane {
    const float *x, *w, *add;
    float *y;
    int64_t height, width, out_width, pad_y, pad_x, dilation, row_from, row_to;
    unsigned size, stride;
    float bias, lo, hi;
};
typedef void dwconv_f32_plane_fn(const struct dwconv_f32_plane *plane);

/* The planes that a row takes, if it takes any. */
static inline bool dwconv_f32_plane_fits(int64_t size, int64_t stride, int64_t dilation)
{
    return (size == 3 || size == 5 || size == 7) && (stride == 1 || (stride == 2 && dilation == 1));
}

struct dwconv_f32_kernel {
    const char *name;
    enum cpu_level level;
    dwconv_f32_fn *fn;
    dwconv_f32_plane_fn *plane; /* NULL: none */
};
extern const struct dwconv_f32_kernel dwconv_f32_kernels[];
extern const unsigned dwconv_f32_kernel_count;

/* The best usable row. */
const struct dwconv_f32_kernel *dwconv_f32_pick(void);
