/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution: at every level against conv_f64, which is itself checked against a table worked out
 * by hand; between guard pages; the same bits for any batch and order of tasks. */
#include "kernels/conv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/kernel/check.h"

struct layer {
    const char *name;
    int batch, channels, out_channels, groups;
    int in[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3];
};

/* out by ONNX's rule; false if the filter does not fit. */
static bool shape_of(const struct layer *l, struct conv_shape *s)
{
    *s = (struct conv_shape){.batch = l->batch, .channels = l->channels,
                             .out_channels = l->out_channels, .groups = l->groups};
    for (unsigned d = 0; d < 3; d++) {
        const int span = (l->kernel[d] - 1) * l->dilation[d] + 1;
        const int room = l->in[d] + l->pad[d] + l->pad_end[d] - span;
        s->in[d] = l->in[d];
        s->kernel[d] = l->kernel[d];
        s->stride[d] = l->stride[d];
        s->dilation[d] = l->dilation[d];
        s->pad[d] = l->pad[d];
        s->out[d] = room < 0 ? 0 : room / l->stride[d] + 1;
        if (room < 0)
            return false;
    }
    return true;
}

struct fixture {
    struct conv_f32 c;
    float *x, *w, *bias, *add, *y, *packed, *scratch;
    size_t x_count, w_count, y_count;
};

static float *guarded(size_t n, int slack)
{
    float *x = check_guard_alloc(n * sizeof(float), slack);
    check_random_fill(x, n, -1, 1);
    return x;
}

static bool fixture_init(struct fixture *f, const struct layer *l, int slack)
{
    struct conv_shape s;
    *f = (struct fixture){.x = NULL};
    if (!shape_of(l, &s) || !conv_f32_init(&f->c, &s))
        return false;
    f->x_count = (size_t)(s.batch * s.channels) * f->c.in_pixels;
    f->w_count = (size_t)(s.out_channels * (s.channels / s.groups)) * f->c.taps;
    f->y_count = (size_t)(s.batch * s.out_channels) * f->c.out_pixels;
    f->x = guarded(f->x_count, slack);
    f->w = guarded(f->w_count, 0);
    f->bias = guarded((size_t)s.out_channels, 0);
    f->add = guarded(f->y_count, 0);
    f->y = check_guard_alloc(f->y_count * sizeof(float), slack);
    f->packed = check_guard_alloc(conv_f32_packed_size(&f->c) * sizeof(float), 0);
    f->scratch = check_guard_alloc(conv_f32_scratch(&f->c) * sizeof(float), 0);
    conv_f32_pack(&f->c, f->w, s.groups / 2, s.groups, f->packed);
    conv_f32_pack(&f->c, f->w, 0, s.groups / 2, f->packed);
    return true;
}

static void fixture_clear(struct fixture *f)
{
    check_guard_free(f->x);
    check_guard_free(f->w);
    check_guard_free(f->bias);
    check_guard_free(f->add);
    check_guard_free(f->y);
    check_guard_free(f->packed);
    check_guard_free(f->scratch);
}

static void fixture_run(struct fixture *f, const struct conv_f32_args *args)
{
    for (size_t t = f->c.task_count; t-- > 0;)
        conv_f32_run(&f->c, args, t, f->scratch);
}

static double *doubles(const float *x, size_t n)
{
    double *d = malloc((n + 1) * sizeof(double));
    for (size_t i = 0; i < n; i++)
        d[i] = x[i];
    return d;
}

static void reference_check(struct fixture *f, const struct conv_f32_args *args, const char *name)
{
    const struct conv_shape *s = &f->c.shape;
    double *x = doubles(f->x, f->x_count), *w = doubles(f->w, f->w_count);
    double *bias = doubles(f->bias, (size_t)s->out_channels);
    double *want = malloc((f->y_count + 1) * sizeof(double));

    conv_f64(s, x, w, args->bias ? bias : NULL, want, 0, s->batch * s->out_channels);
    for (size_t i = 0; i < f->y_count; i++) {
        if (args->add)
            want[i] += f->add[i];
        want[i] = fmin(fmax(want[i], args->lo), args->hi);
    }
    check_near(f->y, want, f->y_count, 1e-6, 1e-6 + 1.2e-7 * (double)f->c.k, name);
    free(x);
    free(w);
    free(bias);
    free(want);
}

/* The last image alone, and y holding the summand, give the same bits. */
static void same_bits_check(struct fixture *f, struct conv_f32_args args, const char *name)
{
    const struct conv_f32 whole = f->c;
    const size_t batch = (size_t)whole.shape.batch;
    const size_t image = f->y_count / batch, last = f->y_count - image;
    float *first = malloc((f->y_count + 1) * sizeof(float));
    struct conv_shape one = whole.shape;

    memcpy(first, f->y, f->y_count * sizeof(float));
    one.batch = 1;
    CHECK(conv_f32_init(&f->c, &one), "one image is refused");
    float *scratch = f->scratch;
    f->scratch = check_guard_alloc(conv_f32_scratch(&f->c) * sizeof(float), 0);
    args.x += f->x_count / batch * (batch - 1);
    if (args.add)
        args.add += last;
    fixture_run(f, &args);
    check_same(f->y, first + last, image * sizeof(float), name);
    check_guard_free(f->scratch);
    f->scratch = scratch;
    f->c = whole;
    free(first);
}

static void layer_check(const struct layer *l, unsigned turn)
{
    struct fixture f;
    const int slacks[] = {0, CHECK_BEGIN, 4, 20};

    if (!fixture_init(&f, l, slacks[turn % 4]))
        return;
    struct conv_f32_args args = {
        .x = f.x, .weights = f.packed, .y = f.y, .bias = turn & 1 ? f.bias : NULL,
        .add = turn & 2 ? f.add : NULL, .lo = turn & 4 ? 0 : -INFINITY,
        .hi = turn & 8 ? 0.5f : INFINITY,
    };
    char name[160];
    snprintf(name, sizeof(name), "%s: %dx%d->%d/%d in %dx%dx%d kernel %dx%dx%d stride %d,%d "
             "dilation %d,%d pad %d,%d", l->name, l->batch, l->channels, l->out_channels, l->groups,
             l->in[0], l->in[1], l->in[2], l->kernel[0], l->kernel[1], l->kernel[2], l->stride[1],
             l->stride[2], l->dilation[1], l->dilation[2], l->pad[1], l->pad[2]);
    fixture_run(&f, &args);
    reference_check(&f, &args, name);
    same_bits_check(&f, args, name);
    fixture_clear(&f);
}

static const struct layer layers[] = {
    {"1x1", 2, 19, 45, 1, {1, 9, 11}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
    {"same 3x3", 2, 8, 30, 1, {1, 14, 14}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {"7x7", 1, 5, 70, 1, {1, 7, 7}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {"stride 2", 2, 6, 20, 1, {1, 28, 28}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {"first", 1, 3, 64, 1, {1, 40, 44}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}},
    {"long K", 1, 130, 33, 1, {1, 10, 13}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {"dilated", 1, 4, 9, 1, {1, 20, 17}, {1, 3, 3}, {1, 1, 1}, {1, 2, 3}, {0, 2, 3}, {0, 2, 3}},
    {"groups", 2, 32, 32, 8, {1, 12, 12}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {"1-D", 2, 5, 12, 1, {1, 1, 200}, {1, 1, 10}, {1, 1, 5}, {1, 1, 1}, {0, 0, 0}, {0, 0, 4}},
    {"1-D same", 1, 20, 30, 1, {1, 1, 77}, {1, 1, 3}, {1, 1, 1}, {1, 1, 1}, {0, 0, 1}, {0, 0, 1}},
    {"rate 6", 2, 40, 70, 1, {1, 16, 16}, {1, 3, 3}, {1, 1, 1}, {1, 6, 6}, {0, 6, 6}, {0, 6, 6}},
    {"rate 18", 1, 300, 20, 1, {1, 16, 16}, {1, 3, 3}, {1, 1, 1}, {1, 18, 18}, {0, 18, 18},
     {0, 18, 18}},
    {"small planes", 2, 80, 67, 1, {1, 7, 7}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1},
     {0, 1, 1}},
    {"small planes/2", 1, 80, 64, 1, {1, 15, 14}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 0},
     {0, 1, 1}},
    {"bands of rate 9", 1, 96, 33, 1, {1, 30, 31}, {1, 3, 3}, {1, 1, 1}, {1, 9, 9}, {0, 9, 9},
     {0, 9, 9}},
    {"1x1 in place", 2, 290, 100, 1, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0},
     {0, 0, 0}},
    {"1x1 in bands", 1, 300, 64, 1, {1, 19, 19}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0},
     {0, 0, 0}},
    {"1x1 with pads", 1, 200, 64, 1, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1},
     {0, 1, 1}},
    {"groups of small planes", 2, 96, 96, 3, {1, 6, 5}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1},
     {0, 1, 1}},
    {"deep, 3-D", 1, 64, 40, 1, {3, 4, 5}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {"3-D", 1, 3, 8, 1, {6, 7, 9}, {3, 3, 3}, {1, 1, 2}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {"3-D deep", 2, 2, 5, 1, {5, 4, 6}, {2, 3, 2}, {2, 1, 1}, {2, 1, 2}, {1, 1, 0}, {0, 1, 1}},
    {"far pads", 1, 2, 3, 1, {1, 4, 5}, {1, 2, 2}, {1, 1, 1}, {1, 1, 1}, {0, 6, 9}, {0, 5, 7}},
    {"one pixel", 1, 70, 90, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
    {"no channels", 1, 0, 3, 1, {1, 4, 4}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
    {"depthwise 3x3", 2, 9, 9, 9, {1, 13, 37}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1},
     {0, 1, 1}},
    {"depthwise 3x3/2", 2, 5, 5, 5, {1, 29, 30}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 0},
     {0, 1, 1}},
    {"depthwise 5x5", 1, 7, 7, 7, {1, 14, 14}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2},
     {0, 2, 2}},
    {"depthwise 5x5/2", 1, 7, 7, 7, {1, 28, 27}, {1, 5, 5}, {1, 2, 2}, {1, 1, 1}, {0, 2, 1},
     {0, 2, 2}},
    {"multiplier", 1, 4, 12, 4, {1, 10, 70}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {"depthwise 7x7", 1, 3, 3, 3, {1, 20, 33}, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {0, 3, 3},
     {0, 3, 3}},
    {"depthwise 7x7/2", 1, 3, 3, 3, {1, 23, 35}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3},
     {0, 2, 3}},
    {"depthwise small", 2, 6, 6, 6, {1, 7, 7}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1},
     {0, 1, 1}},
    {"depthwise tiny", 1, 5, 5, 5, {1, 2, 1}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2},
     {0, 2, 2}},
    {"depthwise far pads", 1, 2, 2, 2, {1, 4, 5}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 9, 40},
     {0, 8, 40}},
    {"depthwise rate 2", 1, 6, 6, 6, {1, 16, 16}, {1, 5, 5}, {1, 1, 1}, {1, 2, 2}, {0, 4, 4},
     {0, 4, 4}},
    {"depthwise rate 7", 1, 4, 8, 4, {1, 17, 50}, {1, 3, 3}, {1, 1, 1}, {1, 7, 7}, {0, 7, 7},
     {0, 7, 7}},
    {"depthwise dilated", 1, 3, 3, 3, {1, 20, 33}, {1, 3, 3}, {1, 2, 3}, {1, 3, 2}, {0, 3, 2},
     {0, 3, 2}},
    {"depthwise 1-D", 2, 3, 3, 3, {1, 1, 2500}, {1, 1, 31}, {1, 1, 1}, {1, 1, 1}, {0, 0, 15},
     {0, 0, 15}},
    {"depthwise 3-D", 1, 3, 3, 3, {6, 9, 11}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1},
     {1, 1, 1}},
};

static int between(int lo, int hi)
{
    return lo + (int)check_random_below((unsigned)(hi - lo + 1));
}

static void random_check(unsigned turn)
{
    struct layer l = {.name = "random", .batch = between(1, 2), .groups = between(1, 3)};
    const bool depthwise = turn % 2;

    l.channels = l.groups * (depthwise ? 1 : between(1, 5));
    l.out_channels = l.groups * between(1, depthwise ? 4 : 20);
    for (unsigned d = 0; d < 3; d++) {
        const bool used = d > 0 || turn % 8 == 0;
        l.in[d] = used ? between(1, d == 2 ? 40 : 12) : 1;
        l.kernel[d] = used ? between(1, 5) : 1;
        l.stride[d] = used ? between(1, 4) : 1;
        l.dilation[d] = used ? between(1, 3) : 1;
        l.pad[d] = used ? between(0, 4) : 0;
        l.pad_end[d] = used ? between(0, 4) : 0;
    }
    layer_check(&l, turn / 2);
}

/* conv_f64 against sums done by hand. */
static void hand_check(void)
{
    const struct conv_shape s = {.batch = 1, .channels = 1, .out_channels = 1, .groups = 1,
                                 .in = {1, 2, 3}, .kernel = {1, 2, 2}, .out = {1, 2, 2},
                                 .stride = {1, 1, 2}, .dilation = {1, 1, 1}, .pad = {0, 1, 1}};
    const double x[] = {1, 2, 3, 4, 5, 6}, w[] = {1, 10, 100, 1000}, bias[] = {0.5};
    const double want[] = {1000.5, 3200.5, 4010.5, 6532.5};
    double y[4];

    conv_f64(&s, x, w, bias, y, 0, 1);
    for (unsigned i = 0; i < 4; i++)
        CHECK(y[i] == want[i], "conv_f64: [%u] is %g, not %g", i, y[i], want[i]);
}

static void refusal_check(void)
{
    struct conv_f32 c;
    const struct conv_shape good = {.batch = 1, .channels = 4, .out_channels = 4, .groups = 2,
                                    .in = {1, 4, 4}, .kernel = {1, 1, 1}, .out = {1, 4, 4},
                                    .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    struct conv_shape s = good;
    CHECK(conv_f32_init(&c, &s), "a good shape is refused");
    s.groups = 3;
    CHECK(!conv_f32_init(&c, &s), "groups that do not divide the channels");
    s = good, s.stride[1] = 0;
    CHECK(!conv_f32_init(&c, &s), "stride 0");
    s = good, s.in[1] = s.in[2] = 65536;
    CHECK(!conv_f32_init(&c, &s), "an image of 2^32 elements");
    s = good, s.batch = INT64_MAX;
    CHECK(!conv_f32_init(&c, &s), "a size that overflows");
    s = good, s.batch = 0;
    CHECK(conv_f32_init(&c, &s) && c.task_count == 0, "an empty batch has tasks");
    s = good, s.out_channels = 0;
    CHECK(conv_f32_init(&c, &s) && c.task_count == 0, "no output channels have tasks");
}

struct peak {
    const struct gemm_f32_kernel *kernel;
    double flops;
};

static void peak_run(void *arg)
{
    struct peak *p = arg;
    p->flops = p->kernel->peak(100000);
}

struct bench {
    struct conv_f32 c;
    struct conv_f32_args args;
    float *scratch;
};

static void bench_run(void *arg)
{
    struct bench *b = arg;
    for (size_t t = 0; t < b->c.task_count; t++)
        conv_f32_run(&b->c, &b->args, t, b->scratch);
}

/* In huge pages, as the engine's memory is. */
static float *floats(size_t n)
{
    const size_t huge = (size_t)2 << 20, bytes = (n * sizeof(float) + huge) & ~(huge - 1);
    float *x = aligned_alloc(huge, bytes);
    if (!x)
        abort();
    madvise(x, bytes, MADV_HUGEPAGE);
    check_random_fill(x, n, -1, 1);
    return x;
}

static void bench(const struct layer *l, double peak)
{
    struct bench b;
    struct conv_shape s;
    char name[80];

    if (!check_bench(l->name) || !shape_of(l, &s) || !conv_f32_init(&b.c, &s))
        return;
    float *x = floats((size_t)s.channels * b.c.in_pixels);
    float *w = floats(conv_f32_packed_size(&b.c));
    b.scratch = floats(conv_f32_scratch(&b.c));
    b.args = (struct conv_f32_args){
        .x = x, .weights = w, .y = floats((size_t)s.out_channels * b.c.out_pixels),
        .lo = 0, .hi = INFINITY};
    snprintf(name, sizeof(name), "%s, %zu tasks", l->name, b.c.task_count);
    check_report(name, check_time(bench_run, &b),
                 2.0 * (double)b.c.k * (double)s.out_channels * (double)b.c.out_pixels, 0, peak);
    free(x);
    free(w);
    free(b.args.y);
    free(b.scratch);
}

#define SQUARE(name, ic, oc, g, size, k, s, p) \
    {name, 1, ic, oc, g, {1, size, size}, {1, k, k}, {1, s, s}, {1, 1, 1}, {0, p, p}, {0, p, p}}

static const struct layer bench_layers[] = {
    SQUARE("resnet first 7x7/2", 3, 64, 1, 224, 7, 2, 3),
    SQUARE("resnet 3x3 64 at 56", 64, 64, 1, 56, 3, 1, 1),
    SQUARE("resnet 3x3 128 at 28", 128, 128, 1, 28, 3, 1, 1),
    SQUARE("resnet 3x3 256 at 14", 256, 256, 1, 14, 3, 1, 1),
    SQUARE("resnet 3x3 512 at 7", 512, 512, 1, 7, 3, 1, 1),
    SQUARE("resnet 3x3/2 128 at 56", 128, 128, 1, 56, 3, 2, 1),
    SQUARE("resnet 3x3/2 512 at 14", 512, 512, 1, 14, 3, 2, 1),
    SQUARE("resnet 1x1 64-64 at 56", 64, 64, 1, 56, 1, 1, 0),
    SQUARE("resnet 1x1 64-256 at 56", 64, 256, 1, 56, 1, 1, 0),
    SQUARE("resnet 1x1 256-64 at 56", 256, 64, 1, 56, 1, 1, 0),
    SQUARE("resnet 1x1 512-128 at 28", 512, 128, 1, 28, 1, 1, 0),
    SQUARE("resnet 1x1 1024-256 at 14", 1024, 256, 1, 14, 1, 1, 0),
    SQUARE("resnet 1x1 256-1024 at 14", 256, 1024, 1, 14, 1, 1, 0),
    SQUARE("resnet 1x1 2048-512 at 7", 2048, 512, 1, 7, 1, 1, 0),
    SQUARE("resnet 1x1 512-2048 at 7", 512, 2048, 1, 7, 1, 1, 0),
    SQUARE("resnet 1x1/2 256-512 at 56", 256, 512, 1, 56, 1, 2, 0),
    SQUARE("resnext 3x3 32x4 at 56", 128, 128, 32, 56, 3, 1, 1),
    SQUARE("1x1 16-96 at 112", 16, 96, 1, 112, 1, 1, 0),
    SQUARE("1x1 96-576 at 14", 96, 576, 1, 14, 1, 1, 0),
    SQUARE("1x1 64-384 at 14", 64, 384, 1, 14, 1, 1, 0),
    SQUARE("1x1 160-960 at 7", 160, 960, 1, 7, 1, 1, 0),
    SQUARE("1x1 160-960 at 16", 160, 960, 1, 16, 1, 1, 0),
    SQUARE("1x1 960-160 at 16", 960, 160, 1, 16, 1, 1, 0),
    SQUARE("1x1 256-256 at 32", 256, 256, 1, 32, 1, 1, 0),
    SQUARE("1x1 256-256 at 64", 256, 256, 1, 64, 1, 1, 0),
    SQUARE("1x1 960-160 at 7", 960, 160, 1, 7, 1, 1, 0),
    SQUARE("1x1 1152-48 at 1", 1152, 48, 1, 1, 1, 1, 0),
    SQUARE("3x3/2 3-32 at 224", 3, 32, 1, 224, 3, 2, 1),
    {"3x3 960-256 rate 6 at 16", 1, 960, 256, 1, {1, 16, 16}, {1, 3, 3}, {1, 1, 1}, {1, 6, 6},
     {0, 6, 6}, {0, 6, 6}},
    SQUARE("depthwise 3x3 32 at 112", 32, 32, 32, 112, 3, 1, 1),
    SQUARE("depthwise 3x3/2 96 at 112", 96, 96, 96, 112, 3, 2, 1),
    SQUARE("depthwise 3x3 192 at 28", 192, 192, 192, 28, 3, 1, 1),
    SQUARE("depthwise 3x3 960 at 7", 960, 960, 960, 7, 3, 1, 1),
    SQUARE("depthwise 5x5 240 at 28", 240, 240, 240, 28, 5, 1, 2),
    SQUARE("depthwise 5x5/2 240 at 28", 240, 240, 240, 28, 5, 2, 2),
    SQUARE("depthwise 3x3 576 at 14", 576, 576, 576, 14, 3, 1, 1),
    SQUARE("depthwise 5x5 1152 at 7", 1152, 1152, 1152, 7, 5, 1, 2),
    SQUARE("depthwise 7x7 96 at 56", 96, 96, 96, 56, 7, 1, 3),
    SQUARE("depthwise 7x7 384 at 14", 384, 384, 384, 14, 7, 1, 3),
    SQUARE("depthwise 7x7 768 at 7", 768, 768, 768, 7, 7, 1, 3),
    {"1-D 80-512 k3", 1, 80, 512, 1, {1, 1, 3000}, {1, 1, 3}, {1, 1, 1}, {1, 1, 1}, {0, 0, 1},
     {0, 0, 1}},
};

static void bench_all(void)
{
    struct peak p = {.kernel = gemm_f32_pick()};

    if (!check_bench(NULL))
        return;
    const double seconds = check_time(peak_run, &p), peak = p.flops / seconds * 1e-9;
    check_report("peak", seconds, p.flops, 0, 0);
    for (unsigned i = 0; i < sizeof(bench_layers) / sizeof(bench_layers[0]); i++)
        bench(&bench_layers[i], peak);
}

int main(int argc, char **argv)
{
    const struct gemm_f32_kernel *last = NULL;

    check_init("conv", argc, argv);
    hand_check();
    refusal_check();
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        if (gemm_f32_pick() == last)
            continue;
        last = gemm_f32_pick();
        for (unsigned i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
            for (unsigned turn = 0; turn < 4; turn++)
                layer_check(&layers[i], (turn * 5 + i) % 16);
        for (unsigned turn = 0; turn < 300; turn++)
            random_check(turn);
        bench_all();
    }
    return check_done();
}
