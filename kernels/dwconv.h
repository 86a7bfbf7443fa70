/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution, f32: rows of one output channel from one input channel.
 *
 * The caller lays out the input in lines with the pads in place, split into phases: with stride s
 * along the width, input e of a line lies at (e % s) * phase + e / s. So every tap of neighbouring
 * outputs reads neighbouring floats, whatever the stride:
 *   y[r][j] = clip(sum of w[z][y][x] * in(r, z, y, x, j) + bias + add[r][j], lo, hi)
 *   in(r, z, y, x, j) = x[r * x_row + z * z_step + y * y_step + (e % s) * phase + e / s + j],
 *   e = x * dilation
 * The sum is one chain of fused multiply-adds in order z, y, x, from zero (row 0 rounds the
 * products as well). Reads may go up to DWCONV_SLACK floats beyond the last input that a row needs;
 * y and add are touched in columns below n only. NaN passes through the clip.
 */
#pragma once

#include <stddef.h>

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

struct dwconv_f32_kernel {
    const char *name;
    enum cpu_level level;
    dwconv_f32_fn *fn;
};
extern const struct dwconv_f32_kernel dwconv_f32_kernels[];
extern const unsigned dwconv_f32_kernel_count;

/* The best usable row. */
const struct dwconv_f32_kernel *dwconv_f32_pick(void);
