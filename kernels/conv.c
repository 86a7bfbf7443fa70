/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv.h"

#include <string.h>

#include "kernels/conv_paths.h"

/* a * b * c * d floats fit in memory. */
static bool fits(int64_t a, int64_t b, int64_t c, size_t d)
{
    size_t n;
    return a >= 0 && b >= 0 && c >= 0 && !__builtin_mul_overflow((size_t)a, (size_t)b, &n) &&
           !__builtin_mul_overflow(n, (size_t)c, &n) && !__builtin_mul_overflow(n, d, &n) &&
           n <= PTRDIFF_MAX / sizeof(double);
}

/* Every coordinate of an image of this shape stays within +-2^30, and its size below 2^31. */
static bool shape_valid(const struct conv_shape *s)
{
    const int64_t far = 1 << 30;

    for (unsigned d = 0; d < 3; d++) {
        if (s->in[d] < 0 || s->in[d] >= far || s->kernel[d] < 1 || s->kernel[d] >= far ||
            s->stride[d] < 1 || s->stride[d] >= far || s->dilation[d] < 1 ||
            s->dilation[d] >= far || s->pad[d] < 0 || s->pad[d] >= far || s->out[d] < 0 ||
            s->out[d] >= far || (s->kernel[d] - 1) * s->dilation[d] >= far ||
            (s->out[d] - 1) * s->stride[d] >= far)
            return false;
    }
    return s->batch >= 0 && s->channels >= 0 && s->out_channels >= 0 && s->groups >= 1 &&
           s->channels % s->groups == 0 && s->out_channels % s->groups == 0 &&
           fits(s->in[0], s->in[1], s->in[2], 1) &&
           s->in[0] * s->in[1] * s->in[2] <= INT32_MAX &&
           fits(s->kernel[0], s->kernel[1], s->kernel[2], 1) &&
           fits(s->out[0], s->out[1], s->out[2], 1);
}

/* A direct kernel pays where a product would have few rows and K only the taps. */
static bool depthwise(const struct conv_shape *s)
{
    const int64_t multiplier_max = 4;
    return s->channels == s->groups && s->out_channels / s->groups <= multiplier_max;
}

bool conv_f32_init(struct conv_f32 *c, const struct conv_shape *s)
{
    if (!shape_valid(s))
        return false;
    *c = (struct conv_f32){
        .shape = *s,
        .kernel = gemm_f32_pick(),
        .path = CONV_DEPTHWISE,
        .in_pixels = (size_t)(s->in[0] * s->in[1] * s->in[2]),
        .out_pixels = (size_t)(s->out[0] * s->out[1] * s->out[2]),
        .taps = (size_t)(s->kernel[0] * s->kernel[1] * s->kernel[2]),
        .group_rows = (size_t)(s->out_channels / s->groups),
        .group_channels = (size_t)(s->channels / s->groups),
    };
    if (!fits(s->batch, s->channels, (int64_t)c->in_pixels, 1) ||
        !fits(s->batch, s->out_channels, (int64_t)c->out_pixels, 1) ||
        !fits(s->out_channels, s->channels / s->groups, (int64_t)c->taps, 1))
        return false;
    c->k = c->group_channels * c->taps;
    if (!fits((int64_t)c->k, 1, 1, c->kernel->nr))
        return false;
    (depthwise(s) ? conv_depthwise_init : conv_product_init)(c);
    return conv_f32_scratch(c) <= PTRDIFF_MAX / sizeof(float);
}

size_t conv_f32_packed_size(const struct conv_f32 *c)
{
    return (size_t)c->shape.groups * c->group_rows * c->k;
}

void conv_f32_pack(const struct conv_f32 *c, const float *w, int64_t from, int64_t to, float *out)
{
    const size_t group = c->group_rows * c->k;
    for (size_t g = (size_t)from; g < (size_t)to; g++) {
        if (c->path == CONV_DEPTHWISE)
            memcpy(out + g * group, w + g * group, group * sizeof(float));
        else
            conv_product_pack(c, w + g * group, out + g * group);
    }
}

size_t conv_f32_scratch(const struct conv_f32 *c)
{
    return c->path == CONV_DEPTHWISE ? conv_depthwise_scratch(c) : conv_product_scratch(c);
}

void conv_f32_run(const struct conv_f32 *c, const struct conv_f32_args *args, size_t task,
                  float *scratch)
{
    if (c->path == CONV_DEPTHWISE)
        conv_depthwise_run(c, args, task, scratch);
    else
        conv_product_run(c, args, task, scratch);
}
