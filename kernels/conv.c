/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv.h"

#include <string.h>

#include "kernels/dwconv.h"
#include "kernels/patch.h"

/* Depthwise blocks: outputs of a row taken together, and floats of lines laid out at a time. */
enum { STRIP = 2048, LINES_MAX = 16384 };

static size_t divide_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

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
static enum conv_path path_pick(const struct conv_shape *s)
{
    const int64_t multiplier_max = 4;
    return s->channels == s->groups && s->out_channels / s->groups <= multiplier_max
               ? CONV_DEPTHWISE
               : CONV_GEMM;
}

static double target_pick(const struct conv_f32 *c, double work, double lo, double hi)
{
    const double scale = c->kernel->level == CPU_C ? 0.2 : 1;
    const double target = work / 128;
    return target < lo * scale ? lo * scale : target > hi * scale ? hi * scale : target;
}

/* Pixels first, at least two panels; where that is more than enough work, output channels as well,
 * but at least 64, so that packing the patches again for each part costs little. */
static void gemm_tasks_pick(struct conv_f32 *c)
{
    enum { PATCH_FLOATS = 98304, ROWS_MIN = 64 };
    const size_t nr = c->kernel->nr, lane = nr / 2;
    const size_t r = gemm_f32_panel_rows(c->kernel, c->group_rows);
    const double a_pixel = 2.0 * (double)c->group_rows * (double)(c->k + 1);
    const double work =
        a_pixel * (double)c->out_pixels * (double)c->shape.groups * (double)c->shape.batch;
    const double target = target_pick(c, work, 3e6, 3e7);
    const size_t vectors = divide_up(c->out_pixels, lane);
    const size_t most_vectors = most(PATCH_FLOATS / (most(c->k_block, 1) * nr), 2) * 2;
    const double wanted = ceil(target / a_pixel / (double)lane);
    size_t block = wanted < (double)most_vectors ? (size_t)wanted : most_vectors;

    block = most(block, 4);
    c->pixel_count = divide_up(vectors, block);
    c->pixel_block = divide_up(vectors, most(c->pixel_count, 1)) * lane;
    const double a_row = 2.0 * (double)(c->k + 1) * (double)c->pixel_block;
    const double rows = ceil(target / a_row);
    size_t row_block = rows < (double)c->group_rows ? (size_t)rows : c->group_rows;
    row_block = most(row_block, least(ROWS_MIN, c->group_rows));
    c->row_count = divide_up(c->group_rows, most(row_block, 1));
    row_block = divide_up(c->group_rows, most(c->row_count, 1));
    c->row_block = divide_up(row_block, r) * r;
    c->row_count = divide_up(c->group_rows, most(c->row_block, 1));
}

/* Whole channels, several where they are small, or bands of rows where they are large. */
static void depthwise_tasks_pick(struct conv_f32 *c)
{
    const size_t groups = (size_t)c->shape.groups;
    const size_t rows = (size_t)c->shape.out[0] * (size_t)c->shape.out[1];
    const double a_channel =
        2.0 * (double)c->group_rows * (double)c->taps * (double)(c->out_pixels + 1);
    const double target =
        target_pick(c, a_channel * (double)groups * (double)c->shape.batch, 1e5, 5e6);
    const double many = ceil(target / a_channel);
    const double parts = fmin(ceil(a_channel / target), ceil((double)rows / 8));

    c->row_block = many < (double)groups ? (size_t)many : groups;
    c->row_count = divide_up(groups, most(c->row_block, 1));
    c->pixel_count = rows > 0 ? (size_t)fmax(parts, 1) : 0;
    c->pixel_block = divide_up(rows, most(c->pixel_count, 1));
    c->pixel_count = divide_up(rows, most(c->pixel_block, 1));
}

bool conv_f32_init(struct conv_f32 *c, const struct conv_shape *s)
{
    if (!shape_valid(s))
        return false;
    *c = (struct conv_f32){
        .shape = *s,
        .kernel = gemm_f32_pick(),
        .path = path_pick(s),
        .in_pixels = (size_t)(s->in[0] * s->in[1] * s->in[2]),
        .out_pixels = (size_t)(s->out[0] * s->out[1] * s->out[2]),
        .taps = (size_t)(s->kernel[0] * s->kernel[1] * s->kernel[2]),
        .group_rows = (size_t)(s->out_channels / s->groups),
    };
    const int64_t group_channels = s->channels / s->groups;
    if (!fits(s->batch, s->channels, (int64_t)c->in_pixels, 1) ||
        !fits(s->batch, s->out_channels, (int64_t)c->out_pixels, 1) ||
        !fits(s->out_channels, group_channels, (int64_t)c->taps, c->kernel->mr))
        return false;
    c->k = (size_t)group_channels * c->taps;
    if (c->path == CONV_DEPTHWISE) {
        c->group_weights = c->group_rows * c->taps;
        depthwise_tasks_pick(c);
        c->task_count = (size_t)s->batch * c->row_count * c->pixel_count;
    } else {
        if (!gemm_f32_packed_a_size(c->kernel, c->group_rows, c->k, &c->group_weights) ||
            !fits((int64_t)c->k, c->kernel->nr, 1, 1))
            return false;
        c->k_block = gemm_f32_k_block(c->k);
        gemm_tasks_pick(c);
        c->task_count =
            (size_t)s->batch * (size_t)s->groups * c->row_count * c->pixel_count;
    }
    return conv_f32_scratch(c) <= PTRDIFF_MAX / sizeof(float);
}

size_t conv_f32_packed_size(const struct conv_f32 *c)
{
    return (size_t)c->shape.groups * c->group_weights;
}

void conv_f32_pack(const struct conv_f32 *c, const float *w, int64_t from, int64_t to, float *out)
{
    const size_t group = c->group_rows * c->k;
    for (size_t g = (size_t)from; g < (size_t)to; g++) {
        if (c->path == CONV_DEPTHWISE)
            memcpy(out + g * group, w + g * group, group * sizeof(float));
        else
            gemm_f32_pack_a(c->kernel, w + g * group, c->k, 1, c->group_rows, c->k, 0,
                            gemm_f32_a_panels(c->kernel, c->group_rows),
                            out + g * c->group_weights);
    }
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
    struct lines l = {.columns = least((size_t)s->out[2], STRIP)};
    const size_t width =
        (most(l.columns, 1) - 1) * stride + (size_t)((s->kernel[2] - 1) * s->dilation[2]) + 1;

    l.phase = divide_up(width, stride) + DWCONV_SLACK;
    l.length = l.phase * stride;
    l.rows = most(least((size_t)s->out[1], c->pixel_block), 1);
    while (l.rows > 4 && lines_of(s, l.rows) * l.length * (size_t)s->kernel[0] > LINES_MAX)
        l.rows = divide_up(l.rows, 2);
    l.count = lines_of(s, l.rows);
    l.channel = l.count * l.length * (size_t)s->kernel[0];
    /* Loads that overlap stores still in flight wait for them: with small images, many channels are
     * laid out before the first one is read. */
    l.channels = least(most(LINES_MAX / 2 / l.channel, 1), c->row_block);
    return l;
}

size_t conv_f32_scratch(const struct conv_f32 *c)
{
    if (c->path == CONV_DEPTHWISE) {
        const struct lines l = lines_pick(c);
        return l.channel * l.channels;
    }
    /* A whole panel where the sums cannot wait in y. */
    const size_t nr = c->kernel->nr;
    return c->k_block * divide_up(c->pixel_block, nr) * nr;
}

struct gemm_task {
    const struct conv_f32 *c;
    struct gemm_epilogue epilogue;
    const float *x, *weights; /* of this image's group */
    float *y;
    size_t row_from, row_to;
};

/* Pack rows [p, p + k) of the patches of the pixels [from, to), then run the tiles of output
 * channels over them. */
static void patches_run(const struct gemm_task *task, size_t p, size_t k, size_t from, size_t to,
                        float *scratch)
{
    const struct conv_f32 *c = task->c;
    const struct conv_shape *s = &c->shape;
    const size_t r = gemm_f32_panel_rows(c->kernel, c->group_rows), nr = c->kernel->nr;
    const struct patch_kernel *patch = patch_pick();
    struct patch_image image = {.stride = (int32_t)s->stride[2]};
    struct patch_panel panel;

    for (unsigned d = 0; d < 3; d++) {
        image.in[d] = (int32_t)s->in[d];
        image.kernel[d] = (int32_t)s->kernel[d];
        image.dilation[d] = (int32_t)s->dilation[d];
    }
    for (size_t at = from; at < to; at += nr) {
        patch_panel_init(&panel, &image, s->out, s->stride, s->pad, at,
                         (unsigned)least(nr, to - at));
        patch->fn(&image, &panel, task->x, p, p + k, (unsigned)nr,
                  scratch + (at - from) * k);
    }
    struct gemm_f32_tile t = {
        .b = scratch, .a_row = 1, .a_k = r, .b_k = nr, .b_panel = nr * k,
        .c_row = c->out_pixels, .k = k, .n = to - from, .accumulate = p > 0,
        .epilogue = p + k == c->k ? &task->epilogue : NULL, .col = from,
    };
    for (size_t row = task->row_from; row < task->row_to; row += r) {
        t.a = task->weights + row * c->k + p * r;
        t.c = task->y + row * c->out_pixels + from;
        t.m = (unsigned)least(r, task->row_to - row);
        t.row = row;
        c->kernel->fn(&t);
    }
}

static void gemm_task_run(const struct conv_f32 *c, const struct conv_f32_args *args, size_t index,
                          float *scratch)
{
    const size_t lane = c->kernel->nr / 2, vectors = divide_up(c->out_pixels, lane);
    const size_t pixel = index % c->pixel_count, row = index / c->pixel_count % c->row_count;
    const size_t group = index / c->pixel_count / c->row_count; /* over all images */
    const size_t groups = (size_t)c->shape.groups, g = group % groups;
    /* Whole vectors, shared out evenly. */
    const size_t from = pixel * vectors / c->pixel_count * lane;
    const size_t to = least((pixel + 1) * vectors / c->pixel_count * lane, c->out_pixels);
    const size_t plane = group * c->group_rows * c->out_pixels;
    struct gemm_task task = {
        .c = c,
        .epilogue = {.bias = args->bias ? args->bias + g * c->group_rows : NULL,
                     .bias_by_row = true, .add = args->add ? args->add + plane : NULL,
                     .add_row = c->out_pixels, .add_col = 1, .alpha = 1, .beta = 1,
                     .lo = args->lo, .hi = args->hi},
        .x = args->x + group * (size_t)(c->shape.channels / c->shape.groups) * c->in_pixels,
        .weights = args->weights + g * c->group_weights,
        .y = args->y + plane,
        .row_from = row * c->row_block,
        .row_to = least((row + 1) * c->row_block, c->group_rows),
    };

    size_t p = 0;
    do {
        const size_t k = least(c->k_block, c->k - p);
        patches_run(&task, p, k, from, to, scratch);
        p += k;
    } while (p < c->k);
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

static void depthwise_task_run(const struct conv_f32 *c, const struct conv_f32_args *args,
                               size_t task, float *scratch)
{
    const struct conv_shape *s = &c->shape;
    const struct lines l = lines_pick(c);
    const size_t part = task % c->pixel_count, block = task / c->pixel_count % c->row_count;
    const size_t n = task / c->pixel_count / c->row_count;
    const size_t groups = (size_t)s->groups, height = (size_t)s->out[1], width = (size_t)s->out[2];
    const size_t from = part * c->pixel_block;
    const size_t to = least(from + c->pixel_block, (size_t)s->out[0] * height);
    const size_t last = least((block + 1) * c->row_block, groups);
    struct dwconv_f32_tile t = {
        .kernel = {(size_t)s->kernel[0], (size_t)s->kernel[1], (size_t)s->kernel[2]},
        .x_row = (size_t)s->stride[1] * l.length, .z_step = l.count * l.length,
        .y_step = (size_t)s->dilation[1] * l.length, .phase = l.phase,
        .stride = (size_t)s->stride[2], .dilation = (size_t)s->dilation[2], .y_row = width,
        .lo = args->lo, .hi = args->hi,
    };

    for (size_t g = block * c->row_block; g < last; g += l.channels) {
        for (size_t row = from; row < to; row += t.rows) {
            t.rows = least(least(l.rows, height - row % height), to - row);
            for (size_t column = 0; column < width; column += l.columns) {
                t.n = least(l.columns, width - column);
                block_run(c, args, &l, t, n * groups + g, least(l.channels, last - g), row, column,
                          scratch);
            }
        }
    }
}

void conv_f32_run(const struct conv_f32 *c, const struct conv_f32_args *args, size_t task,
                  float *scratch)
{
    if (c->path == CONV_GEMM)
        gemm_task_run(c, args, task, scratch);
    else
        depthwise_task_run(c, args, task, scratch);
}
