/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions whose groups have one input channel: see kernels/dwconv.h for the arithmetic. */
#include <math.h>
#include <string.h>

#include "kernels/conv_paths.h"
#include "kernels/dwconv.h"

/* Outputs of a row taken together, and floats of lines laid out at a time. */
enum { STRIP = 2048, LINES_MAX = 16384 };

/* Whole channels, several where they are small, or bands of rows where they are large. */
void conv_depthwise_init(struct conv_f32 *c)
{
    const size_t groups = (size_t)c->shape.groups;
    const size_t rows = (size_t)c->shape.out[0] * (size_t)c->shape.out[1];
    const double a_channel =
        2.0 * (double)c->group_rows * (double)c->taps * (double)(c->out_pixels + 1);
    const double target =
        conv_task_work(c, a_channel * (double)groups * (double)c->shape.batch, 1e5, 5e6);
    const double many = ceil(target / a_channel);
    const double parts = fmin(ceil(a_channel / target), ceil((double)rows / 8));

    c->row_block = many < (double)groups ? (size_t)many : groups;
    c->row_count = conv_divide_up(groups, conv_most(c->row_block, 1));
    c->pixel_count = rows > 0 ? (size_t)fmax(parts, 1) : 0;
    c->pixel_block = conv_divide_up(rows, conv_most(c->pixel_count, 1));
    c->pixel_count = conv_divide_up(rows, conv_most(c->pixel_block, 1));
    c->task_count = (size_t)c->shape.batch * c->row_count * c->pixel_count;
}

/* The lines that a band of a depthwise task lays out: see kernels/dwconv.h. */
struct lines {
    size_t columns, rows; /* outputs of a strip and of a band, at most */
    size_t phase, length; /* floats of a phase and of a line */
    size_t count;         /* lines a slice of depth */
    size_t channel;       /* floats of all lines of a channel */
    size_t channels;      /* channels laid out at a time */
};

static size_t lines_of(const struct conv_shape *s, size_t rows)
{
    return (rows - 1) * (size_t)s->stride[1] + (size_t)((s->kernel[1] - 1) * s->dilation[1]) + 1;
}

static struct lines lines_pick(const struct conv_f32 *c)
{
    const struct conv_shape *s = &c->shape;
    const size_t stride = (size_t)s->stride[2];
    struct lines l = {.columns = conv_least((size_t)s->out[2], STRIP)};
    const size_t width =
        (conv_most(l.columns, 1) - 1) * stride + (size_t)((s->kernel[2] - 1) * s->dilation[2]) + 1;

    l.phase = conv_divide_up(width, stride) + DWCONV_SLACK;
    l.length = l.phase * stride;
    l.rows = conv_most(conv_least((size_t)s->out[1], c->pixel_block), 1);
    while (l.rows > 4 && lines_of(s, l.rows) * l.length * (size_t)s->kernel[0] > LINES_MAX)
        l.rows = conv_divide_up(l.rows, 2);
    l.count = lines_of(s, l.rows);
    l.channel = l.count * l.length * (size_t)s->kernel[0];
    /* Loads that overlap stores still in flight wait for them: with small images, many channels are
     * laid out before the first one is read. */
    l.channels = conv_least(conv_most(LINES_MAX / 2 / l.channel, 1), c->row_block);
    return l;
}

/* The kernel reads the image in place. */
static bool in_place(const struct conv_f32 *c)
{
    const struct conv_shape *s = &c->shape;

    return dwconv_f32_pick()->plane && s->in[0] == 1 && s->out[0] == 1 && s->kernel[0] == 1 &&
           s->kernel[1] == s->kernel[2] && s->stride[1] == s->stride[2] &&
           s->dilation[1] == s->dilation[2] &&
           dwconv_f32_plane_fits(s->kernel[1], s->stride[1], s->dilation[1]);
}

size_t conv_depthwise_scratch(const struct conv_f32 *c)
{
    if (in_place(c))
        return 0;
    const struct lines l = lines_pick(c);
    return l.channel * l.channels;
}

typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

/* Lines are short: loops of their own cost less than calls of memset() and memcpy(). */
static inline void zeros_fill(float *to, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        *(quad *)(to + i) = (quad){0};
    for (; i < n; i++)
        to[i] = 0;
}

static inline void floats_copy(float *restrict to, const float *restrict from, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        *(quad *)(to + i) = *(const quad *)(from + i);
    for (; i < n; i++)
        to[i] = from[i];
}

/* to[i] = from[2 * i], without reading from[2 * n - 1]. */
static inline void floats_halve(float *restrict to, const float *restrict from, size_t n)
{
    size_t i = 0;
    for (; i + 5 <= n; i += 4) {
        const quad low = *(const quad *)(from + 2 * i), high = *(const quad *)(from + 2 * i + 4);
        const quad even = {low[0], low[2], high[0], high[2]};
        *(quad *)(to + i) = even;
    }
    for (; i < n; i++)
        to[i] = from[2 * i];
}

/* One phase of a line: zeros, inputs `in`, `in` + stride, ... in [from, to), zeros. */
static inline void phase_fill(float *line, const float *in, size_t stride, size_t from, size_t to,
                              size_t phase)
{
    zeros_fill(line, from);
    if (stride == 1)
        floats_copy(line + from, in, to - from);
    else if (stride == 2)
        floats_halve(line + from, in, to - from);
    else
        for (size_t i = from; i < to; i++)
            line[i] = in[(i - from) * stride];
    zeros_fill(line + to, phase - to);
}

/* The lines of output rows [y0, y0 + rows) at depth z and of the columns from `column` on. */
static void lines_fill(const struct conv_f32 *c, const struct lines *l, const float *x, int64_t z,
                       int64_t y0, size_t rows, int64_t column, float *scratch)
{
    const struct conv_shape *s = &c->shape;
    const int64_t count = (int64_t)lines_of(s, rows), phase = (int64_t)l->phase;
    const int64_t stride = s->stride[2], width = s->in[2];

    for (int64_t p = 0; p < stride; p++) {
        /* Element i is input first + i * stride: inside the image's row for i in [from, to). */
        const int64_t first = column * stride - s->pad[2] + p;
        int64_t from = first < 0 ? (-first + stride - 1) / stride : 0;
        int64_t to = first < width ? (width - first + stride - 1) / stride : 0;
        from = from < phase ? from : phase;
        to = to < phase ? to : phase;
        to = to > from ? to : from;
        for (int64_t kz = 0; kz < s->kernel[0]; kz++) {
            const int64_t iz = z * s->stride[0] - s->pad[0] + kz * s->dilation[0];
            float *line = scratch + (size_t)kz * l->count * l->length + (size_t)(p * phase);
            for (int64_t i = 0; i < count; i++, line += l->length) {
                const int64_t iy = y0 * s->stride[1] - s->pad[1] + i;
                if (iz < 0 || iz >= s->in[0] || iy < 0 || iy >= s->in[1] || from == to)
                    zeros_fill(line, (size_t)phase);
                else
                    phase_fill(line, x + (iz * s->in[1] + iy) * width + first + from * stride,
                               (size_t)stride, (size_t)from, (size_t)to, (size_t)phase);
            }
        }
    }
}

/* A block of outputs of up to l->channels groups: lay out the lines of all, then run them. Groups
 * are counted over all images; t holds what is common to them, `at` is the block's place in a
 * plane. */
static void block_run(const struct conv_f32 *c, const struct conv_f32_args *args,
                      const struct lines *l, struct dwconv_f32_tile t, size_t group, size_t count,
                      size_t row, size_t column, float *scratch)
{
    const size_t height = (size_t)c->shape.out[1], width = (size_t)c->shape.out[2];
    const struct dwconv_f32_kernel *kernel = dwconv_f32_pick();

    for (size_t i = 0; i < count; i++)
        lines_fill(c, l, args->x + (group + i) * c->in_pixels, (int64_t)(row / height),
                   (int64_t)(row % height), t.rows, (int64_t)column, scratch + i * l->channel);
    for (size_t i = 0; i < count; i++) {
        t.x = scratch + i * l->channel;
        for (size_t m = 0; m < c->group_rows; m++) {
            const size_t plane = (group + i) * c->group_rows + m;
            const size_t channel = plane % (size_t)c->shape.out_channels;
            const size_t at = plane * c->out_pixels + row * width + column;
            t.w = args->weights + channel * c->taps;
            t.bias = args->bias ? args->bias[channel] : 0;
            t.y = args->y + at;
            t.add = args->add ? args->add + at : NULL;
            kernel->fn(&t);
        }
    }
}

/* Rows [from, to) of the planes of groups [first, last) of an image. */
static void planes_run(const struct conv_f32 *c, const struct conv_f32_args *args, size_t n,
                       size_t first, size_t last, size_t from, size_t to)
{
    const struct conv_shape *s = &c->shape;
    const size_t groups = (size_t)s->groups;
    dwconv_f32_plane_fn *run = dwconv_f32_pick()->plane;
    struct dwconv_f32_plane t = {
        .height = s->in[1], .width = s->in[2], .out_width = s->out[2], .pad_y = s->pad[1],
        .pad_x = s->pad[2], .dilation = s->dilation[1], .row_from = (int64_t)from,
        .row_to = (int64_t)to, .size = (unsigned)s->kernel[1], .stride = (unsigned)s->stride[1],
        .lo = args->lo, .hi = args->hi,
    };

    for (size_t channel = first * c->group_rows; channel < last * c->group_rows; channel++) {
        const size_t at = (n * groups * c->group_rows + channel) * c->out_pixels;
        t.x = args->x + (n * groups + channel / c->group_rows) * c->in_pixels;
        t.w = args->weights + channel * c->taps;
        t.bias = args->bias ? args->bias[channel] : 0;
        t.y = args->y + at;
        t.add = args->add ? args->add + at : NULL;
        run(&t);
    }
}

void conv_depthwise_run(const struct conv_f32 *c, const struct conv_f32_args *args, size_t task,
                        float *scratch)
{
    const struct conv_shape *s = &c->shape;
    const size_t part = task % c->pixel_count, block = task / c->pixel_count % c->row_count;
    const size_t n = task / c->pixel_count / c->row_count;
    const size_t groups = (size_t)s->groups, height = (size_t)s->out[1], width = (size_t)s->out[2];
    const size_t from = part * c->pixel_block;
    const size_t to = conv_least(from + c->pixel_block, (size_t)s->out[0] * height);
    const size_t last = conv_least((block + 1) * c->row_block, groups);

    if (in_place(c)) {
        planes_run(c, args, n, block * c->row_block, last, from, to);
        return;
    }
    const struct lines l = lines_pick(c);
    struct dwconv_f32_tile t = {
        .kernel = {(size_t)s->kernel[0], (size_t)s->kernel[1], (size_t)s->kernel[2]},
        .x_row = (size_t)s->stride[1] * l.length, .z_step = l.count * l.length,
        .y_step = (size_t)s->dilation[1] * l.length, .phase = l.phase,
        .stride = (size_t)s->stride[2], .dilation = (size_t)s->dilation[2], .y_row = width,
        .lo = args->lo, .hi = args->hi,
    };

    for (size_t g = block * c->row_block; g < last; g += l.channels) {
        for (size_t row = from; row < to; row += t.rows) {
            t.rows = conv_least(conv_least(l.rows, height - row % height), to - row);
            for (size_t column = 0; column < width; column += l.columns) {
                t.n = conv_least(l.columns, width - column);
                block_run(c, args, &l, t, n * groups + g, conv_least(l.channels, last - g), row,
                          column, scratch);
            }
        }
    }
}
