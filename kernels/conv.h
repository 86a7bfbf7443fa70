/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution of f32 images in NCHW order: one, two or three spatial dims, groups, strides,
 * dilations, pads; bias, a second summand and a clip fused.
 *
 * What is computed. y[n][o][pixel] = clip(sum + bias[o] + add[n][o][pixel]), where sum runs over
 * (kernel depth, row, column, input channel) in this order, in chains of fused multiply-adds over
 * fixed blocks whose sums are added in order. The order follows from the shape of one image and the
 * level alone: the same bits for any tasks, any batch. A tap that lies in the pads adds zero: its
 * weight is either multiplied by zero or left out, which differs only where the weight is infinite
 * or NaN.
 *
 * How. A convolution is the product of the weights (OC/groups x K, K = taps * IC/groups, packed
 * once) and the image's patches (K x pixels), which each task packs for its own pixels. Vectors run
 * along the pixels, or along the output channels where planes are small or many taps meet only
 * pads: those are then left out (conv_product.c). Where a group has one input channel, a direct
 * kernel runs along the image's rows (conv_depthwise.c). The packed layout follows from the
 * weights' shape and the level, and serves every way.
 *
 * Who calls. conv_f32_init() is cheap (no memory): call it whenever the dims are known. x, y and
 * add are contiguous; nothing outside of them is touched; y overlaps no input. Any thread may run
 * any task, with a scratch of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/gemm.h"

/* Spatial dims in order depth, height, width; missing ones are in front: size, kernel, out, stride
 * and dilation 1, pad 0. pad is what stands before the image; what follows it is implied by
 * `out`. */
struct conv_shape {
    int64_t batch, channels, out_channels, groups;
    int64_t in[3], kernel[3], out[3], stride[3], dilation[3], pad[3];
};

enum conv_path {
    CONV_PIXELS,    /* a product, vectors along the pixels */
    CONV_CHANNELS,  /* a product, vectors along the output channels */
    CONV_DEPTHWISE,
};

struct conv_f32 {
    struct conv_shape shape;
    const struct gemm_f32_kernel *kernel;
    enum conv_path path;
    size_t in_pixels, out_pixels, taps, k;       /* k: taps * IC / groups */
    size_t group_rows, group_channels;           /* OC / groups, IC / groups */
    size_t k_block;                              /* the K of one chain */
    size_t pixel_block, pixel_count;             /* pixels a task, tasks an image */
    size_t row_block, row_count;                 /* output channels a task, tasks a group */
    size_t task_count;
};

/* Fill *c. False if a size overflows, a stride, dilation, kernel or group count is below 1, groups
 * do not divide the channels, pad is negative, or an image of one channel has 2^31 elements or
 * more; `batch`, channels and in[] may be 0. The caller computes out[] by ONNX's rules. */
bool conv_f32_init(struct conv_f32 *c, const struct conv_shape *shape);

/* Packed weights from w[OC][IC / groups][taps]: their size in floats, and the packing of groups
 * [from, to), which may be split among tasks. Size and layout do not depend on batch, in, out,
 * stride and pad. */
size_t conv_f32_packed_size(const struct conv_f32 *c);
void conv_f32_pack(const struct conv_f32 *c, const float *w, int64_t from, int64_t to, float *out);

/* Floats of scratch a thread. */
size_t conv_f32_scratch(const struct conv_f32 *c);

/* bias: OC values or NULL; add: laid out as y, or NULL; lo, hi as in kernels/gemm.h. */
struct conv_f32_args {
    const float *x, *weights, *bias, *add;
    float *y;
    float lo, hi;
};

/* Task t of c->task_count, each of about 0.1 to 1 ms, or less for a small convolution. */
void conv_f32_run(const struct conv_f32 *c, const struct conv_f32_args *args, size_t task,
                  float *scratch);

/* The same convolution for doubles, plain C, weights as ONNX stores them, no scratch: output
 * channels [from, to) of the batch * OC planes, for tasks. bias may be NULL. */
void conv_f64(const struct conv_shape *shape, const double *x, const double *w, const double *bias,
              double *y, int64_t from, int64_t to);
