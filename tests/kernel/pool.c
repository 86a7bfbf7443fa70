/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling of random shapes against a walk over every window in double; planes between guard pages,
 * one alone against several, with NaN and infinities. */
#include "kernels/pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/check.h"

static double want_of(const struct pool_shape *s, const float *x, int64_t oh, int64_t ow, bool max)
{
    double y = max ? -INFINITY : 0;
    int64_t count = 0;

    for (int64_t i = 0; i < s->kernel[0]; i++) {
        for (int64_t j = 0; j < s->kernel[1]; j++) {
            const int64_t h = oh * s->stride[0] + i * s->dilation[0] - s->pad[0];
            const int64_t w = ow * s->stride[1] + j * s->dilation[1] - s->pad[1];
            const bool inside = h >= 0 && h < s->in[0] && w >= 0 && w < s->in[1];
            const bool padded = h < s->in[0] + s->pad_end[0] && w < s->in[1] + s->pad_end[1];
            count += s->count_pad ? padded : inside;
            if (inside) {
                const double u = x[h * s->in[1] + w];
                y = !max ? y + u : isnan(y) || y > u ? y : u;
            }
        }
    }
    return max ? y : count ? y / (double)count : 0;
}

static void test_shape(const struct pool_shape *s, int kind)
{
    const size_t planes = 2, in = (size_t)(s->in[0] * s->in[1]),
                 out = (size_t)(s->out[0] * s->out[1]);
    const int slack = (int)check_random_below(3) * 4 - 4;
    float *x = check_guard_alloc(planes * in * sizeof(float), slack);
    float *y = check_guard_alloc(planes * out * sizeof(float), slack);
    float *one = check_guard_alloc(out * sizeof(float), 0);
    double *want = malloc(planes * out * sizeof(double) + 1);

    check_random_fill(x, planes * in, -1, 1);
    if (kind == 1 && in > 0)
        x[check_random_below((unsigned)in)] = NAN;
    if (kind == 2 && in > 0)
        x[check_random_below((unsigned)in)] = -INFINITY;
    for (int max = 0; max < 2; max++) {
        pool_fn *fn = max ? pool_f32_pick()->max : pool_f32_pick()->average;
        for (size_t i = 0; i < planes * out; i++)
            want[i] = want_of(s, x + i / out * in, (int64_t)(i % out) / s->out[1],
                              (int64_t)(i % out) % s->out[1], max);
        fn(s, x, y, planes);
        check_near(y, want, planes * out, max ? 0 : 1e-6, max ? 0 : 1e-6, max ? "max" : "average");
        fn(s, x + in, one, 1);
        check_same(one, y + out, out * sizeof(float), "a plane alone");
    }
    free(want);
    check_guard_free(x);
    check_guard_free(y);
    check_guard_free(one);
}

static void test_random(int kind)
{
    struct pool_shape s = {.count_pad = check_random_below(2)};

    for (int d = 0; d < 2; d++) {
        s.kernel[d] = 1 + check_random_below(5);
        s.stride[d] = 1 + check_random_below(check_random_below(3) ? 2 : 4);
        s.dilation[d] = check_random_below(3) ? 1 : 1 + check_random_below(3);
        s.pad[d] = check_random_below((unsigned)s.kernel[d] + 1);
        s.pad_end[d] = check_random_below((unsigned)s.kernel[d] + 1);
        s.in[d] = check_random_below(d ? 90 : 12);
        /* With one more or less than the rule gives, as rounding up may. */
        s.out[d] = (s.in[d] + s.pad[d] + s.pad_end[d] - (s.kernel[d] - 1) * s.dilation[d] - 1) /
                       s.stride[d] + (int64_t)check_random_below(3);
        s.out[d] = s.out[d] < 0 ? 0 : s.out[d];
    }
    test_shape(&s, kind);
}

/* Rows wider than the buffers of the vector rows, and windows that reach further. */
static void test_wide(void)
{
    const struct pool_shape wide = {{2, 3001}, {1, 1501}, {2, 3}, {1, 2},
                                    {1, 1},    {0, 1},    {0, 1}, true};
    const struct pool_shape thin = {{2, 3001}, {2, 2990}, {1, 12}, {1, 1},
                                    {1, 1},    {0, 0},    {0, 0},  false};
    const struct pool_shape far = {{1, 3001}, {1, 1000}, {1, 3}, {1, 1},
                                   {1, 999},  {0, 5},    {0, 5}, false};
    const struct pool_shape rare = {{1, 3001}, {1, 3}, {1, 2}, {1, 1300},
                                    {1, 1},    {0, 0}, {0, 0}, false};
    test_shape(&wide, 0);
    test_shape(&thin, 0);
    test_shape(&far, 0);
    test_shape(&rare, 0);
}

struct run {
    struct pool_shape s;
    float *x, *y;
    bool max;
};

static void run(void *arg)
{
    const struct run *r = arg;
    (r->max ? pool_f32_pick()->max : pool_f32_pick()->average)(&r->s, r->x, r->y, 16);
}

static void bench(int64_t side, int64_t kernel, int64_t stride, int64_t pad)
{
    const int64_t out = (side + 2 * pad - kernel) / stride + 1;
    struct run r = {{{side, side},
                     {out, out},
                     {kernel, kernel},
                     {stride, stride},
                     {1, 1},
                     {pad, pad},
                     {pad, pad},
                     false},
                    malloc((size_t)(16 * side * side) * 4),
                    malloc((size_t)(16 * out * out) * 4),
                    false};
    char name[64];

    check_random_fill(r.x, (size_t)(16 * side * side), -1, 1);
    for (int max = 0; max < 2; max++) {
        r.max = max;
        snprintf(name, sizeof(name), "%s 16x%dx%d k%d s%d p%d", max ? "max" : "average", (int)side,
                 (int)side, (int)kernel, (int)stride, (int)pad);
        if (check_bench(name))
            check_report(name, check_time(run, &r), 0, 64.0 * (double)(side * side + out * out), 0);
    }
    free(r.x);
    free(r.y);
}

int main(int argc, char **argv)
{
    check_init("pool", argc, argv);
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        for (int i = 0; i < 600; i++)
            test_random(i % 3);
        test_wide();
        bench(112, 3, 2, 1);
        bench(56, 2, 2, 0);
        bench(28, 3, 1, 1);
        bench(13, 5, 1, 2);
    }
    return check_done();
}
