/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv.h"

/* One output: the taps inside the image, in order. */
static double pixel(const struct conv_shape *s, const double *x, const double *w,
                    const int64_t at[3])
{
    const int64_t plane = s->in[0] * s->in[1] * s->in[2];
    double sum = 0;

    for (int64_t c = 0; c < s->channels / s->groups; c++, x += plane) {
        for (int64_t kz = 0; kz < s->kernel[0]; kz++) {
            const int64_t z = at[0] * s->stride[0] - s->pad[0] + kz * s->dilation[0];
            for (int64_t ky = 0; ky < s->kernel[1]; ky++) {
                const int64_t y = at[1] * s->stride[1] - s->pad[1] + ky * s->dilation[1];
                for (int64_t kx = 0; kx < s->kernel[2]; kx++, w++) {
                    const int64_t ix = at[2] * s->stride[2] - s->pad[2] + kx * s->dilation[2];
                    if (z >= 0 && z < s->in[0] && y >= 0 && y < s->in[1] && ix >= 0 &&
                        ix < s->in[2])
                        sum += *w * x[(z * s->in[1] + y) * s->in[2] + ix];
                }
            }
        }
    }
    return sum;
}

void conv_f64(const struct conv_shape *s, const double *x, const double *w, const double *bias,
              double *y, int64_t from, int64_t to)
{
    const int64_t group_channels = s->channels / s->groups;
    const int64_t group_rows = s->out_channels / s->groups;
    const int64_t taps = s->kernel[0] * s->kernel[1] * s->kernel[2];
    const int64_t in = s->in[0] * s->in[1] * s->in[2], out = s->out[0] * s->out[1] * s->out[2];

    for (int64_t plane = from; plane < to; plane++) {
        const int64_t n = plane / s->out_channels, o = plane % s->out_channels;
        const double *image = x + (n * s->channels + o / group_rows * group_channels) * in;
        const double *filter = w + o * group_channels * taps;
        double *to_plane = y + plane * out;
        int64_t at[3];
        for (at[0] = 0; at[0] < s->out[0]; at[0]++)
            for (at[1] = 0; at[1] < s->out[1]; at[1]++)
                for (at[2] = 0; at[2] < s->out[2]; at[2]++)
                    *to_plane++ = pixel(s, image, filter, at) + (bias ? bias[o] : 0);
    }
}
