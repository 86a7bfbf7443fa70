/* SPDX-License-Identifier: Apache-2.0 */
/* infer-bench kernel: the rate of each row of a kernel table on one thread, beside what this machine can do:
 * the best level's multiply-adds from registers, or copying or reading as many bytes as the kernel touches. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/knobs.h"
#include "core/mem.h"
#include "core/threads.h"
#include "kernels/binary.h"
#include "kernels/conv.h"
#include "kernels/norm.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "kernels/transpose.h"
#include "kernels/unary.h"
#include "tools/bench.h"

const char bench_kernel_usage[] = "infer-bench kernel FAMILY [--size N] [--columns N] [--m N --n N --k N] "
                                  "[--seconds S] [--json]";
static const char about[] =
    "FAMILY is gemm, conv, unary, binary, softmax, norm, reduce or transpose. Each row that can run here is\n"
    "timed on one thread, in the least of many calls on f32. The share is of this machine's peak as measured\n"
    "just then: multiply-adds from registers at the best level, or the faster of copying and reading as many\n"
    "bytes as the call touches, from wherever they then lie (--size says which cache that is).";

struct bench {
    double seconds, peak_flops;
    size_t size, columns, m, n, k;
    bool json;
    const char *family;
    int lines;
    float *x, *y, *z; /* of `size` rounded up to whole rows */
};

typedef void run_fn(void *arg);

/* The least time of a call, over samples long enough for the clock. */
static double time_of(const struct bench *b, run_fn *run, void *arg)
{
    int64_t begin = clock_ns(), end = begin + (int64_t)(b->seconds * 1e9), now = begin;
    double least = INFINITY;
    long calls = 1;
    run_fn *volatile call = run; /* not to be looked into */
    run(arg);
    do {
        int64_t from = clock_ns();
        for (long i = 0; i < calls; i++)
            call(arg);
        now = clock_ns();
        if (now - from < 20000 && calls < 1 << 24) {
            calls *= 2;
            continue;
        }
        least = fmin(least, (double)(now - from) / (double)calls * 1e-9);
    } while (now < end || !isfinite(least));
    return least;
}

static float *floats(size_t n)
{
    float *x = mem_alloc(NULL, (n + 16) * sizeof(*x), NULL);
    for (size_t i = 0; x && i < n + 16; i++)
        x[i] = 0.5f + (float)(i * 7919 % 1000) / 1000;
    return x;
}

/* ---- peaks -------------------------------------------------------------------------------------- */

struct area {
    const uint64_t *from;
    uint64_t *to;
    size_t n;
};

static void run_peak(void *arg)
{
    *(double *)arg = gemm_f32_pick()->peak(20000);
}

static void run_copy(void *arg)
{
    struct area *a = arg;
    memcpy(a->to, a->from, a->n * sizeof(*a->to));
}

static volatile uint64_t read_sum;

static void run_read(void *arg)
{
    struct area *a = arg;
    uint64_t sum[4] = {0};
    for (size_t i = 0; i + 4 <= a->n; i += 4)
        for (int j = 0; j < 4; j++)
            sum[j] += a->from[i + (size_t)j];
    read_sum = sum[0] + sum[1] + sum[2] + sum[3];
}

/* Bytes a second, of so many in all. */
static double peak_bytes(const struct bench *b, double bytes)
{
    static double last_bytes, last_rate;
    if (bytes == last_bytes)
        return last_rate;
    size_t n = (size_t)bytes / 16 + 8;
    uint64_t *from = mem_calloc(NULL, n * 2, sizeof(*from), NULL), *to = mem_calloc(NULL, n, sizeof(*to), NULL);
    double rate = 0;
    if (from && to) {
        memset(from, 1, 2 * n * sizeof(*from));
        struct area half = {from, to, n}, whole = {from, to, 2 * n};
        double copy = time_of(b, run_copy, &half), all = time_of(b, run_read, &whole);
        rate = 16 * (double)n / fmin(copy, all);
    }
    mem_free(from);
    mem_free(to);
    last_bytes = bytes;
    return last_rate = rate;
}

/* ---- lines -------------------------------------------------------------------------------------- */

/* One line: flops > 0 is a rate of operations, else of bytes. */
static void report(struct bench *b, const char *row, const char *what, double flops, double bytes,
                   run_fn *run, void *arg)
{
    double seconds = time_of(b, run, arg), rate = (flops > 0 ? flops : bytes) / seconds * 1e-9;
    double peak = (flops > 0 ? b->peak_flops : peak_bytes(b, bytes)) * 1e-9, share = peak > 0 ? rate / peak : 0;
    const char *unit = flops > 0 ? "GFLOP/s" : "GB/s";
    if (b->json)
        printf("%s\n  {\"family\": \"%s\", \"row\": \"%s\", \"what\": \"%s\", \"us\": %.3f, \"rate\": %.2f, "
               "\"unit\": \"%s\", \"peak\": %.2f, \"share\": %.3f}",
               b->lines ? "," : "[", b->family, row, what, seconds * 1e6, rate, unit, peak, share);
    else
        printf("%-8s %-8s %-30s %10.2f us %9.2f %-7s %4.0f %% of %.1f\n", b->family, row, what, seconds * 1e6,
               rate, unit, 100 * share, peak);
    fflush(stdout);
    b->lines++;
}

/* ---- families ----------------------------------------------------------------------------------- */

struct gemm_bench {
    struct gemm_f32 g;
    struct gemm_tasks tasks;
    float *scratch;
};

static void run_gemm(void *arg)
{
    struct gemm_bench *x = arg;
    for (size_t i = 0; i < x->tasks.m_count * x->tasks.n_count; i++)
        gemm_f32_run(&x->g, &x->tasks, i / x->tasks.n_count, i % x->tasks.n_count, x->scratch);
}

static void bench_gemm_one(struct bench *b, const struct gemm_f32_kernel *kernel, size_t m, size_t n,
                           size_t k, bool packed)
{
    char what[64];
    size_t size, a_size, c_size;
    if (!gemm_f32_packed_b_size(kernel, k, n, &size) || !size_mul(m, k, &a_size) || !size_mul(m, n, &c_size))
        return;
    float *a = floats(a_size), *bs = floats(size), *c = floats(c_size);
    float *scratch = floats(gemm_f32_scratch(kernel, k));
    struct gemm_bench x = {
        .g = {.kernel = kernel, .m = m, .n = n, .k = k, .a = a, .b = bs, .c = c, .a_row = k, .a_k = 1,
              .b_k = n, .c_row = n, .b_packed = packed, .epilogue = GEMM_EPILOGUE_NONE},
        .tasks = gemm_f32_tasks(kernel, m, n, k),
        .scratch = scratch,
    };
    snprintf(what, sizeof(what), "%zux%zux%zu %s", m, n, k, packed ? "packed" : "plain");
    if (a && bs && c && scratch)
        report(b, kernel->name, what, 2.0 * (double)m * (double)n * (double)k, 0, run_gemm, &x);
    mem_free(a);
    mem_free(bs);
    mem_free(c);
    mem_free(scratch);
}

static void bench_gemm(struct bench *b)
{
    static const size_t shapes[][3] = {{1, 4096, 1024}, {16, 768, 768}, {128, 768, 768}, {512, 1024, 1024}};
    bool own = b->m && b->n && b->k;
    for (unsigned i = 0; i < gemm_f32_kernel_count; i++)
        for (size_t s = 0; s < (own ? 1 : 4) && cpu_has(gemm_f32_kernels[i].level); s++)
            for (int packed = 1; packed >= 0; packed--)
                bench_gemm_one(b, &gemm_f32_kernels[i], own ? b->m : shapes[s][0], own ? b->n : shapes[s][1],
                               own ? b->k : shapes[s][2], packed);
}

struct conv_bench {
    struct conv_f32 c;
    struct conv_f32_args args;
    float *scratch;
};

static void run_conv(void *arg)
{
    struct conv_bench *x = arg;
    for (size_t t = 0; t < x->c.task_count; t++)
        conv_f32_run(&x->c, &x->args, t, x->scratch);
}

/* channels, out channels, groups, side, kernel, stride */
static const struct {
    const char *name;
    int ic, oc, groups, side, kernel, stride;
} layers[] = {
    {"7x7/2 3-64 at 224", 3, 64, 1, 224, 7, 2},      {"3x3 64-64 at 56", 64, 64, 1, 56, 3, 1},
    {"3x3 256-256 at 14", 256, 256, 1, 14, 3, 1},    {"1x1 64-256 at 56", 64, 256, 1, 56, 1, 1},
    {"1x1 512-2048 at 7", 512, 2048, 1, 7, 1, 1},    {"depthwise 3x3 192 at 28", 192, 192, 192, 28, 3, 1},
    {"depthwise 5x5/2 240 at 28", 240, 240, 240, 28, 5, 2},
};

static void bench_layer(struct bench *b, size_t i)
{
    int64_t pad = layers[i].kernel / 2, out = (layers[i].side + 2 * pad - layers[i].kernel) / layers[i].stride + 1;
    struct conv_shape s = {
        .batch = 1, .channels = layers[i].ic, .out_channels = layers[i].oc, .groups = layers[i].groups,
        .in = {1, layers[i].side, layers[i].side}, .kernel = {1, layers[i].kernel, layers[i].kernel},
        .out = {1, out, out}, .stride = {1, layers[i].stride, layers[i].stride}, .dilation = {1, 1, 1},
        .pad = {0, pad, pad},
    };
    struct conv_bench x;
    if (!conv_f32_init(&x.c, &s))
        return;
    float *image = floats((size_t)s.channels * x.c.in_pixels), *w = floats(conv_f32_packed_size(&x.c));
    float *y = floats((size_t)s.out_channels * x.c.out_pixels);
    x.scratch = floats(conv_f32_scratch(&x.c));
    x.args = (struct conv_f32_args){.x = image, .weights = w, .y = y, .lo = 0, .hi = INFINITY};
    if (image && w && y && x.scratch)
        report(b, x.c.kernel->name, layers[i].name,
               2.0 * (double)x.c.k * (double)s.out_channels * (double)x.c.out_pixels, 0, run_conv, &x);
    mem_free(image);
    mem_free(w);
    mem_free(y);
    mem_free(x.scratch);
}

/* Its rows are those of gemm, picked by the level. */
static void bench_conv(struct bench *b)
{
    enum cpu_level best = cpu_best();
    for (unsigned i = 0; i < gemm_f32_kernel_count; i++) {
        if (!cpu_has(gemm_f32_kernels[i].level))
            continue;
        cpu_mask_set(gemm_f32_kernels[i].level);
        for (size_t l = 0; l < sizeof(layers) / sizeof(*layers); l++)
            bench_layer(b, l);
        cpu_mask_set(best);
    }
}

/* A call of an element-wise or row-wise kernel. */
struct flat {
    const struct bench *b;
    size_t rows, n;
    unary_f32_fn *unary;
    binary_fn *binary;
    const struct softmax_f32_kernel *softmax;
    norm_rows_fn *norm;
    const struct reduce_f32_kernel *reduce;
    transpose_2d_fn *transpose;
    enum reduce_op op;
};

static void run_unary(void *arg)
{
    struct flat *f = arg;
    f->unary(f->b->x, f->b->y, f->n, (const float[]){0.5f, 0.5f});
}
static void run_binary(void *arg)
{
    struct flat *f = arg;
    f->binary(f->b->x, f->b->z, 0, f->b->y, f->n);
}
static void run_softmax(void *arg)
{
    struct flat *f = arg;
    f->softmax->rows(f->b->x, f->b->y, f->rows, f->n, false);
}
static void run_softmax_axis(void *arg)
{
    struct flat *f = arg;
    f->softmax->axis(f->b->x, f->b->y, f->rows, f->n, 0, f->n, false);
}
static void run_norm(void *arg)
{
    struct flat *f = arg;
    f->norm(&(struct norm_args){.x = f->b->x, .scale = f->b->z, .bias = f->b->z, .y = f->b->y, .n = f->n,
                                .epsilon = 1e-5f}, 0, f->rows);
}
static void run_reduce(void *arg)
{
    struct flat *f = arg;
    f->reduce->rows(f->op, f->b->x, f->b->y, f->rows, f->n);
}
static void run_reduce_axis(void *arg)
{
    struct flat *f = arg;
    f->reduce->axis(f->op, f->b->x, f->b->y, f->rows, f->n, 0, f->n);
}
static void run_transpose(void *arg)
{
    struct flat *f = arg;
    f->transpose(f->b->x, f->n, f->b->y, f->rows, f->rows, f->n);
}

static void bench_unary(struct bench *b)
{
    for (int op = 0; op < UNARY_COUNT; op++)
        for (unsigned i = 0; i < unary_f32_kernel_count; i++) {
            const struct unary_f32_kernel *k = unary_f32_kernels[i];
            struct flat f = {.b = b, .n = b->size, .unary = k->fn[op]};
            if (cpu_has(k->level) && f.unary)
                report(b, k->name, unary_name((enum unary_op)op), 0, 8 * (double)f.n, run_unary, &f);
        }
}

static void bench_binary(struct bench *b)
{
    for (int op = 0; op < BINARY_COUNT; op++)
        for (unsigned i = 0; i < binary_f32_kernel_count; i++) {
            const struct binary_f32_kernel *k = binary_f32_kernels[i];
            struct flat f = {.b = b, .n = b->size, .binary = k->fn[op]};
            if (cpu_has(k->level) && f.binary)
                report(b, k->name, binary_name((enum binary_op)op), 0, 12 * (double)f.n, run_binary, &f);
        }
}

static struct flat rows_of(const struct bench *b)
{
    size_t n = b->columns < b->size ? b->columns : b->size;
    return (struct flat){.b = b, .n = n, .rows = b->size / n};
}

static void bench_softmax(struct bench *b)
{
    struct flat f = rows_of(b);
    for (unsigned i = 0; i < softmax_f32_kernel_count; i++) {
        f.softmax = softmax_f32_kernels[i];
        double bytes = 8 * (double)f.n * (double)f.rows;
        if (cpu_has(f.softmax->level) && f.softmax->rows)
            report(b, f.softmax->name, "rows", 0, bytes, run_softmax, &f);
        if (cpu_has(f.softmax->level) && f.softmax->axis)
            report(b, f.softmax->name, "middle axis", 0, bytes, run_softmax_axis, &f);
    }
}

static void bench_norm(struct bench *b)
{
    struct flat f = rows_of(b);
    for (unsigned i = 0; i < norm_f32_kernel_count; i++) {
        const struct norm_f32_kernel *k = norm_f32_kernels[i];
        for (int rms = 0; rms < 2; rms++) {
            f.norm = rms ? k->rms : k->layer;
            if (cpu_has(k->level) && f.norm)
                report(b, k->name, rms ? "rms rows" : "layer rows", 0, 8 * (double)f.n * (double)f.rows,
                       run_norm, &f);
        }
    }
}

static void bench_reduce(struct bench *b)
{
    struct flat f = rows_of(b);
    for (int op = 0; op < REDUCE_COUNT; op++)
        for (unsigned i = 0; i < reduce_f32_kernel_count; i++) {
            char what[64];
            f.reduce = reduce_f32_kernels[i];
            f.op = (enum reduce_op)op;
            double bytes = 4 * (double)f.n * (double)f.rows;
            snprintf(what, sizeof(what), "%s rows", reduce_name(f.op));
            if (cpu_has(f.reduce->level) && f.reduce->rows)
                report(b, f.reduce->name, what, 0, bytes, run_reduce, &f);
            snprintf(what, sizeof(what), "%s middle axis", reduce_name(f.op));
            if (cpu_has(f.reduce->level) && f.reduce->axis)
                report(b, f.reduce->name, what, 0, bytes, run_reduce_axis, &f);
        }
}

static void bench_transpose(struct bench *b)
{
    for (int log = 0; log < 5; log++)
        for (unsigned i = 0; i < transpose_kernel_count; i++) {
            const struct transpose_kernel *k = transpose_kernels[i];
            struct flat f = {.b = b, .transpose = k->fn[log]};
            char what[64];
            f.n = f.rows = (size_t)sqrt((double)b->size * 4 / (1 << log));
            snprintf(what, sizeof(what), "%zux%zu of %d bytes", f.rows, f.n, 1 << log);
            if (cpu_has(k->level) && f.transpose && f.n)
                report(b, k->name, what, 0, 2.0 * (double)f.n * (double)f.rows * (1 << log), run_transpose, &f);
        }
}

static const struct {
    const char *name;
    void (*run)(struct bench *b);
} families[] = {
    {"gemm", bench_gemm},       {"conv", bench_conv}, {"unary", bench_unary},   {"binary", bench_binary},
    {"softmax", bench_softmax}, {"norm", bench_norm}, {"reduce", bench_reduce}, {"transpose", bench_transpose},
};

/* ---- the command -------------------------------------------------------------------------------- */

static int bench(struct bench *b, const char *name, struct err *e)
{
    size_t i = 0;
    double flops = 0;
    const char *cpu = knob_get(KNOB_CPU);
    while (i < sizeof(families) / sizeof(*families) && strcmp(families[i].name, name) != 0)
        i++;
    if (i == sizeof(families) / sizeof(*families))
        return err_set(e, ERR_USAGE, "no kernels are named '%.40s': gemm, conv, unary, binary, softmax, norm, "
                                     "reduce or transpose", name);
    if (*cpu && cpu_level_find(cpu) < 0)
        return err_set(e, ERR_USAGE, "cpu level '%.40s' is unknown", cpu);
    double seconds = time_of(b, run_peak, &flops);
    b->peak_flops = flops / seconds;
    if (*cpu)
        cpu_mask_set((enum cpu_level)cpu_level_find(cpu));
    b->family = families[i].name;
    b->x = floats(b->size);
    b->y = floats(b->size);
    b->z = floats(b->size);
    int rc = b->x && b->y && b->z ? 0 : err_set(e, ERR_MEMORY, "no memory for arrays of %zu", b->size);
    if (rc == 0)
        families[i].run(b);
    if (rc == 0 && b->json)
        printf("%s]\n", b->lines ? "\n" : "[");
    mem_free(b->x);
    mem_free(b->y);
    mem_free(b->z);
    return rc;
}

int bench_kernel(int argc, char **argv)
{
    struct bench b = {.seconds = 0.1};
    const char *args[1] = {NULL};
    int64_t size = 65536, columns = 768, m = 0, n = 0, k = 0;
    bool help = false;
    struct err e = {0};
    const struct opt rows[] = {
        {OPT_INT, "size", "N", "floats in the input of element-wise and row-wise kernels (65536)", &size, 1, 1 << 28},
        {OPT_INT, "columns", "N", "floats in a row of softmax, norm and reduce (768)", &columns, 1, 1 << 28},
        {OPT_INT, "m", "N", "rows of a gemm", &m, 1, 1 << 20},
        {OPT_INT, "n", "N", "its columns", &n, 1, 1 << 20},
        {OPT_INT, "k", "N", "the dim that is summed", &k, 1, 1 << 20},
        {OPT_FLOAT, "seconds", "S", "how long to measure each line (0.1)", &b.seconds},
        {OPT_KNOB, "cpu", "LEVEL", "hide kernels above a level"},
        {OPT_FLAG, "json", NULL, "a JSON array", &b.json},
        {OPT_FLAG, "help", NULL, "print this", &help},
        {0},
    };
    int given = opt_parse(rows, argc, argv, args, 1, &e);
    if (given < 0)
        return opt_fail("infer-bench", &e);
    if (help) {
        opt_help(bench_kernel_usage, about, rows);
        return 0;
    }
    if (given < 1) {
        err_set(&e, ERR_USAGE, "expected: %s", bench_kernel_usage);
        return opt_fail("infer-bench", &e);
    }
    b.size = (size_t)size;
    b.columns = (size_t)columns;
    b.m = (size_t)m;
    b.n = (size_t)n;
    b.k = (size_t)k;
    int rc = bench(&b, args[0], &e);
    return rc < 0 ? opt_fail("infer-bench", &e) : 0;
}
