/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution as a product of the weights and the image's patches.
 *
 * Packed weights of a group: panels of up to nr output channels, exactly as wide as they are, of K
 * rows. A panel is read as rows of A with stride 1, or as a panel of B.
 *
 * CONV_PIXELS: A are the weights, B the patches: C is a part of y. Blocks of K run over the taps.
 *
 * CONV_CHANNELS: A are the patches, B the weights, so C lies pixel by pixel in scratch and is
 * transposed into y at the end. Each tap is a product of its own, cut into blocks of the input
 * channels, over those pixels alone for which the tap lies inside the image: nothing is spent on
 * pads, and no lanes are lost to planes that are no multiple of a vector.
 */
#include <math.h>
#include <string.h>

#include "kernels/conv_paths.h"
#include "kernels/patch.h"
#include "kernels/transpose.h"

/* ---- the cut --------------------------------------------------------------------------------- */

static struct patch_image image_of(const struct conv_f32 *c)
{
    const struct conv_shape *s = &c->shape;
    struct patch_image image = {.channels = c->group_channels};

    for (unsigned d = 0; d < 3; d++) {
        image.in[d] = (int32_t)s->in[d];
        image.kernel[d] = (int32_t)s->kernel[d];
        image.out[d] = (int32_t)s->out[d];
        image.stride[d] = (int32_t)s->stride[d];
        image.dilation[d] = (int32_t)s->dilation[d];
        image.pad[d] = (int32_t)s->pad[d];
    }
    return image;
}

/* Pairs of a tap and an output pixel that meet the image. */
static double pairs_count(const struct conv_f32 *c)
{
    const struct patch_image image = image_of(c);
    double all = 1;

    for (unsigned d = 0; d < 3; d++) {
        double sum = 0;
        /* Beyond this many taps the count is an estimate's business no more. */
        if (c->shape.kernel[d] > 64)
            return (double)c->taps * (double)c->out_pixels;
        for (int32_t k = 0; k < image.kernel[d]; k++) {
            const int32_t tap[3] = {d == 0 ? k : 0, d == 1 ? k : 0, d == 2 ? k : 0};
            const struct patch_walk w = patch_walk_tap(&image, tap);
            sum += w.hi[d] - w.lo[d];
        }
        all *= sum;
    }
    return all;
}

/* The patches are the image itself, as it lies. */
static bool in_place(const struct conv_f32 *c)
{
    const struct conv_shape *s = &c->shape;

    for (unsigned d = 0; d < 3; d++)
        if (s->kernel[d] != 1 || s->stride[d] != 1 || s->pad[d] != 0 || s->in[d] != s->out[d])
            return false;
    return true;
}

/* Vectors of multiply-adds either way, and what was measured beside them, in multiply-adds: packing
 * a share of them, an addition to C about 14 (2 where no tile lies apart), C's transposition 12. */
static enum conv_path path_pick(const struct conv_f32 *c)
{
    const double lane = c->kernel->nr / 2, rows = (double)c->group_rows;
    const double channels = (double)c->group_channels, pixels = (double)c->out_pixels;
    const double blocks = channels / (double)conv_most(gemm_f32_k_block(c->group_channels), 1);
    const double packing = in_place(c) ? 1 : 1.04, addition = c->taps == 1 ? 2 : 14;
    const double along_pixels = rows * ceil(pixels / lane) * (1.06 * (double)c->k + 2);
    const double along_channels =
        ceil(rows / lane) *
        (pairs_count(c) * (packing * channels + addition * ceil(blocks)) + 12 * pixels);
    return along_channels < along_pixels && c->group_channels > 0 ? CONV_CHANNELS : CONV_PIXELS;
}

/* Rows a tile: as few tiles as mr allows, of sizes alike. */
static size_t tile_rows(const struct conv_f32 *c, size_t rows)
{
    return conv_divide_up(rows, conv_divide_up(rows, c->kernel->mr));
}

/* Pixels first, in whole vectors; where that is more than enough work, output channels as well, but
 * at least 64, so that packing the patches again for each part costs little. */
static void tasks_pick(struct conv_f32 *c)
{
    enum { PATCH_FLOATS = 98304, SUM_PIXELS = 256, ROWS_MIN = 64 };
    const size_t nr = c->kernel->nr, lane = nr / 2;
    const double a_pixel = 2.0 * (double)c->group_rows * (double)(c->k + 1);
    const double work =
        a_pixel * (double)c->out_pixels * (double)c->shape.groups * (double)c->shape.batch;
    const double target = conv_task_work(c, work, 3e6, 3e7);
    const size_t vectors = conv_divide_up(c->out_pixels, lane);
    const size_t most_vectors =
        c->path == CONV_CHANNELS
            ? SUM_PIXELS / lane
            : conv_most(PATCH_FLOATS / (conv_most(c->k_block, 1) * nr), 2) * 2;
    const double wanted = ceil(target / a_pixel / (double)lane);
    size_t block = wanted < (double)most_vectors ? (size_t)wanted : most_vectors;

    block = conv_most(block, 4);
    c->pixel_count = conv_divide_up(vectors, block);
    c->pixel_block = conv_divide_up(vectors, conv_most(c->pixel_count, 1)) * lane;
    const double a_row = 2.0 * (double)(c->k + 1) * (double)c->pixel_block;
    const double rows = ceil(target / a_row);
    size_t row_block = rows < (double)c->group_rows ? (size_t)rows : c->group_rows;
    row_block = conv_most(row_block, conv_least(ROWS_MIN, c->group_rows));
    c->row_count = conv_divide_up(c->group_rows, conv_most(row_block, 1));
    row_block = conv_divide_up(c->group_rows, conv_most(c->row_count, 1));
    c->row_block = conv_divide_up(row_block, nr) * nr;
    c->row_count = conv_divide_up(c->group_rows, conv_most(c->row_block, 1));
}

void conv_product_init(struct conv_f32 *c)
{
    c->path = path_pick(c);
    c->k_block = gemm_f32_k_block(c->path == CONV_CHANNELS ? c->group_channels : c->k);
    tasks_pick(c);
    c->task_count =
        (size_t)c->shape.batch * (size_t)c->shape.groups * c->row_count * c->pixel_count;
}

void conv_product_pack(const struct conv_f32 *c, const float *w, float *out)
{
    enum { BLOCK = 16 };
    const size_t nr = c->kernel->nr, channels = c->group_channels, taps = c->taps;

    for (size_t row = 0; row < c->group_rows; row += nr) {
        const size_t width = conv_least(nr, c->group_rows - row);
        float *panel = out + row * c->k;
        for (size_t from = 0; from < channels; from += BLOCK) {
            const size_t to = conv_least(from + BLOCK, channels);
            for (size_t i = 0; i < width; i++) {
                const float *filter = w + (row + i) * c->k;
                for (size_t channel = from; channel < to; channel++)
                    for (size_t tap = 0; tap < taps; tap++)
                        panel[(tap * channels + channel) * width + i] =
                            filter[channel * taps + tap];
            }
        }
    }
}

/* Pixels, and lanes that hold a tile of them where pixels are rows. */
static size_t tile_lanes(const struct conv_f32 *c)
{
    const size_t lane = c->kernel->nr / 2;
    return conv_divide_up(c->kernel->mr, lane) * lane;
}

static size_t sum_width(const struct conv_f32 *c)
{
    const size_t line = 16;
    return conv_divide_up(conv_least(c->row_block, c->group_rows), line) * line;
}

size_t conv_product_scratch(const struct conv_f32 *c)
{
    const size_t nr = c->kernel->nr;

    if (c->path == CONV_CHANNELS) /* sums, sums of a tile, patches of a tile */
        return (conv_least(c->pixel_block, c->out_pixels) + c->kernel->mr) * sum_width(c) +
               c->k_block * tile_lanes(c);
    return c->k_block * conv_divide_up(c->pixel_block, nr) * nr;
}

/* ---- a task ---------------------------------------------------------------------------------- */

struct task {
    const struct conv_f32 *c;
    const struct conv_f32_args *args;
    struct patch_image image;
    const float *x, *weights, *bias, *add; /* of this image's group; bias, add: NULL or */
    float *y;
    size_t row_from, row_to; /* output channels */
    size_t from, to;         /* output pixels */
    float *scratch;
};

/* Pack rows [p, p + k) of the patches of the task's pixels, then run the tiles of output channels
 * over them. */
static void pixels_block_run(const struct task *task, const struct gemm_epilogue *epilogue,
                             size_t p, size_t k)
{
    const struct conv_f32 *c = task->c;
    const size_t nr = c->kernel->nr, from = task->from, to = task->to;
    const struct patch_kernel *patch = patch_pick();
    struct patch_walk walk = patch_walk_all(&task->image);
    struct patch_panel panel;

    patch_walk_start(&walk, &task->image, from);
    for (size_t at = from; at < to && k > 0; at += nr) {
        patch_panel_init(&panel, &task->image, &walk, (unsigned)conv_least(nr, to - at));
        patch->fn(&task->image, &panel, task->x, p, p + k, (unsigned)nr,
                  task->scratch + (at - from) * k);
    }
    struct gemm_f32_tile t = {
        .b = task->scratch, .a_row = 1, .b_k = nr, .b_panel = nr * k, .c_row = c->out_pixels,
        .k = k, .n = to - from, .accumulate = p > 0,
        .epilogue = p + k == c->k ? epilogue : NULL, .col = from,
    };
    for (size_t row = task->row_from; row < task->row_to; row += nr) {
        const size_t width = conv_least(nr, c->group_rows - row), step = tile_rows(c, width);
        t.a_k = width;
        for (size_t i = 0; i < width; i += step) {
            t.a = task->weights + row * c->k + p * width + i;
            t.c = task->y + (row + i) * c->out_pixels + from;
            t.m = (unsigned)conv_least(step, width - i);
            t.row = row + i;
            c->kernel->fn(&t);
        }
    }
}

static void pixels_run(const struct task *task)
{
    const struct conv_f32 *c = task->c;
    const struct gemm_epilogue epilogue = {
        .bias = task->bias, .bias_by_row = true, .add = task->add, .add_row = c->out_pixels,
        .add_col = 1, .alpha = 1, .beta = 1, .lo = task->args->lo, .hi = task->args->hi,
    };
    size_t p = 0;

    do {
        const size_t k = conv_least(c->k_block, c->k - p);
        pixels_block_run(task, &epilogue, p, k);
        p += k;
    } while (p < c->k);
}

/* ---- vectors along the output channels ------------------------------------------------------- */

/* C of t (of the task's output channels) = or += a tile of pixels (A in t) times rows [p, p + k) of
 * the weights. */
static void tile_run(const struct task *task, struct gemm_f32_tile t, size_t p)
{
    const struct conv_f32 *c = task->c;
    const size_t nr = c->kernel->nr, whole = (task->row_to - task->row_from) / nr * nr;
    const size_t rest = task->row_to - task->row_from - whole;
    const float *b = task->weights + task->row_from * c->k;
    float *sums = t.c;

    if (whole > 0) {
        t.b = b + p * nr;
        t.b_k = nr;
        t.b_panel = nr * c->k;
        t.n = whole;
        c->kernel->fn(&t);
    }
    if (rest > 0) {
        t.b = b + whole * c->k + p * rest;
        t.b_k = rest;
        t.n = rest;
        t.c = sums + whole;
        t.col = whole;
        c->kernel->fn(&t);
    }
}

/* Channels [channel, channel + k) of a tap, for those of the task's pixels that it meets: `count`.
 * epilogue: NULL, or what is to be done at the end of the only tap, which meets all pixels. */
static void tap_run(const struct task *task, struct patch_walk walk, size_t count, size_t tap,
                    size_t channel, size_t k, const struct gemm_epilogue *epilogue)
{
    const struct conv_f32 *c = task->c;
    const size_t width = sum_width(c), step = tile_rows(c, count);
    const unsigned lanes = (unsigned)tile_lanes(c);
    float *sums = task->scratch;
    float *part = sums + conv_least(c->pixel_block, c->out_pixels) * width;
    float *patches = part + c->kernel->mr * width;
    const size_t p = tap * c->group_channels + channel;
    const bool direct = in_place(c);
    struct patch_panel panel;

    for (size_t at = 0; at < count; at += step) {
        struct gemm_f32_tile t = {.a = patches, .a_row = 1, .a_k = lanes, .c_row = width, .k = k};
        t.m = (unsigned)conv_least(step, count - at);
        patch_panel_init(&panel, &task->image, &walk, t.m);
        if (direct) {
            t.a = task->x + channel * c->in_pixels + panel.pixel[0];
            t.a_k = c->in_pixels;
        } else {
            patch_pick()->fn(&task->image, &panel, task->x, p, p + k, lanes, patches);
        }
        const bool apart = panel.pixel[t.m - 1] - panel.pixel[0] != t.m - 1;
        t.c = apart ? part : sums + (panel.pixel[0] - task->from) * width;
        t.accumulate = epilogue ? channel > 0 : !apart;
        t.epilogue = channel + k == c->group_channels ? epilogue : NULL;
        tile_run(task, t, p);
        for (unsigned i = 0; i < t.m && apart; i++) {
            float *sum = sums + (panel.pixel[i] - task->from) * width;
            for (size_t j = 0; j < task->row_to - task->row_from; j++)
                sum[j] += part[i * width + j];
        }
    }
}

static inline float clip(float v, float lo, float hi)
{
    v = lo > v ? lo : v;
    return hi < v ? hi : v;
}

/* Bias and clip where tap_run() was not asked for them. */
static void sums_finish(const struct task *task, const struct gemm_epilogue *e)
{
    const size_t width = sum_width(task->c), rows = task->row_to - task->row_from;

    for (size_t i = 0; i < task->to - task->from; i++) {
        float *sum = task->scratch + i * width;
        if (e->bias)
            for (size_t j = 0; j < rows; j++)
                sum[j] += e->bias[j];
        if (e->lo > -INFINITY || e->hi < INFINITY)
            for (size_t j = 0; j < rows; j++)
                sum[j] = clip(sum[j], e->lo, e->hi);
    }
}

/* y = the sums, transposed, plus the summand. */
static void sums_store(const struct task *task)
{
    enum { TILE = 16 };
    const struct conv_f32 *c = task->c;
    const size_t width = sum_width(c), rows = task->row_to - task->row_from;
    const size_t pixels = task->to - task->from, whole = pixels / TILE * TILE;
    const size_t at = task->row_from * c->out_pixels + task->from;
    transpose_2d_fn *transpose = transpose_2d_pick(sizeof(float));
    float *y = task->y + at;

    /* The transpose runs in tiles: what is left over goes with some that are there already. */
    if (whole > 0) {
        transpose(task->scratch, width, y, c->out_pixels, whole, rows);
        if (whole < pixels)
            transpose(task->scratch + (pixels - TILE) * width, width, y + pixels - TILE,
                      c->out_pixels, TILE, rows);
    } else {
        transpose(task->scratch, width, y, c->out_pixels, pixels, rows);
    }
    for (size_t j = 0; j < rows && task->add; j++)
        for (size_t i = 0; i < pixels; i++)
            y[j * c->out_pixels + i] =
                clip(y[j * c->out_pixels + i] + task->add[at + j * c->out_pixels + i],
                     task->args->lo, task->args->hi);
}

/* A walk over those of the task's pixels that a tap meets, `count` of them. */
static struct patch_walk tap_walk(const struct task *task, size_t tap, size_t *count)
{
    const struct patch_image *image = &task->image;
    const size_t width = (size_t)image->kernel[2], height = (size_t)image->kernel[1];
    const int32_t place[3] = {(int32_t)(tap / width / height), (int32_t)(tap / width % height),
                              (int32_t)(tap % width)};
    struct patch_walk walk = patch_walk_tap(image, place);

    *count = patch_walk_count(&walk, image, task->to) - patch_walk_count(&walk, image, task->from);
    if (*count > 0)
        patch_walk_start(&walk, image, task->from);
    return walk;
}

static void channels_run(const struct task *task)
{
    const struct conv_f32 *c = task->c;
    const size_t pixels = task->to - task->from;
    const struct gemm_epilogue epilogue = {
        .bias = task->bias ? task->bias + task->row_from : NULL, .alpha = 1, .beta = 1,
        .lo = task->add ? -INFINITY : task->args->lo, .hi = task->add ? INFINITY : task->args->hi,
    };
    size_t count;

    tap_walk(task, 0, &count);
    const bool once = c->taps == 1 && count == pixels;
    if (!once)
        memset(task->scratch, 0, pixels * sum_width(c) * sizeof(float));
    for (size_t tap = 0; tap < c->taps; tap++) {
        const struct patch_walk walk = tap_walk(task, tap, &count);
        for (size_t k = 0; k < c->group_channels && count > 0; k += c->k_block)
            tap_run(task, walk, count, tap, k, conv_least(c->k_block, c->group_channels - k),
                    once ? &epilogue : NULL);
    }
    if (!once)
        sums_finish(task, &epilogue);
    sums_store(task);
}

void conv_product_run(const struct conv_f32 *c, const struct conv_f32_args *args, size_t index,
                      float *scratch)
{
    const size_t lane = c->kernel->nr / 2, vectors = conv_divide_up(c->out_pixels, lane);
    const size_t pixel = index % c->pixel_count, row = index / c->pixel_count % c->row_count;
    const size_t group = index / c->pixel_count / c->row_count; /* over all images */
    const size_t g = group % (size_t)c->shape.groups, plane = group * c->group_rows * c->out_pixels;
    const struct task task = {
        .c = c, .args = args, .image = image_of(c), .scratch = scratch,
        .x = args->x + group * c->group_channels * c->in_pixels,
        .weights = args->weights + g * c->group_rows * c->k,
        .bias = args->bias ? args->bias + g * c->group_rows : NULL,
        .add = args->add ? args->add + plane : NULL,
        .y = args->y + plane,
        .row_from = row * c->row_block,
        .row_to = conv_least((row + 1) * c->row_block, c->group_rows),
        /* Whole vectors, shared out evenly. */
        .from = pixel * vectors / c->pixel_count * lane,
        .to = conv_least((pixel + 1) * vectors / c->pixel_count * lane, c->out_pixels),
    };

    (c->path == CONV_CHANNELS ? channels_run : pixels_run)(&task);
}
