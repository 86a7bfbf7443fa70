/* SPDX-License-Identifier: Apache-2.0 */
/* Max and average pooling of f32 planes (NCHW: a plane is one image's channel), 2-D windows.
 *
 * y[oh][ow] is taken over x[oh * stride + kh * dilation - pad][...] for kh, kw in the kernel,
 * those inside the plane only. max: NaN if one of them is NaN; -infinity if there are none.
 * average: the sum in f32, divided by the number of positions: those inside the plane, or with
 * count_pad those inside the plane with its pads on both sides; 0 if there are none. The sum is
 * taken in order of (kh, kw) by plain C; by the vector rows over kh for each column, then over kw.
 * A plane's result depends on the plane alone. A global average is REDUCE_MEAN of rows
 * (kernels/reduce.h). A 1-D pool has height 1.
 *
 * Memory. Planes are contiguous; no alignment; nothing outside of them is touched; y does not
 * overlap x. Any thread; no scratch.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

/* Height, width. The caller computes out[] by ONNX's rules. All of in, out >= 0, kernel, stride and
 * dilation >= 1, pads >= 0, and out * stride + kernel * dilation fits in 62 bits. */
struct pool_shape {
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], pad[2], pad_end[2];
    bool count_pad;
};

typedef void pool_fn(const struct pool_shape *shape, const float *x, float *y, size_t planes);

struct pool_f32_kernel {
    const char *name;
    enum cpu_level level;
    pool_fn *max, *average;
};
extern const struct pool_f32_kernel *const pool_f32_kernels[];
extern const unsigned pool_f32_kernel_count;
extern const struct pool_f32_kernel pool_f32_avx2, pool_f32_avx512, pool_f32_neon;

/* The best usable row. */
const struct pool_f32_kernel *pool_f32_pick(void);
