/* SPDX-License-Identifier: Apache-2.0 */
/* Layer norm, RMS norm, moments and the affine step: against double, at every length, with and
 * without each optional operand, between guard pages, a row alone, in place. */
#include "kernels/norm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/check.h"

enum { ROWS = 3, ADD = 1, SUM = 2, SCALE = 4, BIAS = 8, STATS = 16, RMS = 32, ALL = 64 };
static const float epsilon = 1e-5f;

/* The statistics of a row whose f32 elements are given, and its normalised elements. */
static void row_want(const double *x, const float *scale, const float *bias, size_t n, bool rms,
                     double *y, double *mean, double *inv_std)
{
    double sum = 0, square = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i];
    *mean = rms ? 0 : sum / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - *mean) * (x[i] - *mean);
    *inv_std = 1 / sqrt(square / (double)n + (double)epsilon);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - *mean) * *inv_std * (scale ? (double)scale[i] : 1) +
               (bias && !rms ? (double)bias[i] : 0);
}

static void test_rows(size_t n, unsigned with, float offset)
{
    const struct norm_f32_kernel *k = norm_f32_pick();
    norm_rows_fn *fn = with & RMS ? k->rms : k->layer;
    const int slack = (int)check_random_below(3) * 4 - 4;
    const size_t bytes = ROWS * n * sizeof(float);
    float *x = check_guard_alloc(bytes, slack), *add = check_guard_alloc(bytes, slack);
    float *sum = check_guard_alloc(bytes, slack), *y = check_guard_alloc(bytes, slack);
    float *scale = check_guard_alloc(n * sizeof(float), slack);
    float *bias = check_guard_alloc(n * sizeof(float), slack);
    float mean[ROWS], inv_std[ROWS];
    double *dx = malloc(2 * n * sizeof(double) + 1), *want = dx + n;
    struct norm_args a = {
        .x = x, .add = with & ADD ? add : NULL, .sum = with & SUM ? sum : NULL, .y = y,
        .scale = with & SCALE ? scale : NULL, .bias = with & BIAS ? bias : NULL,
        .mean = with & STATS ? mean : NULL, .inv_std = with & STATS ? inv_std : NULL,
        .n = n, .epsilon = epsilon,
    };

    check_random_fill(x, ROWS * n, -2 + offset, 2 + offset);
    check_random_fill(add, ROWS * n, -1, 1);
    check_random_fill(scale, n, -2, 2);
    check_random_fill(bias, n, -1, 1);
    fn(&a, 0, 2);
    fn(&a, 2, ROWS);
    for (size_t r = 0; r < ROWS; r++) {
        double m, s;
        for (size_t i = 0; i < n; i++)
            dx[i] = with & ADD ? x[r * n + i] + add[r * n + i] : x[r * n + i];
        row_want(dx, a.scale, a.bias, n, with & RMS, want, &m, &s);
        /* x - mean cancels what elements share, but for the rounding of x and of the mean. */
        check_near(y + r * n, want, n, 3e-6, 3e-6 * (1 + s * (2 + fabs(offset))), "rows");
        if (with & STATS && n > 0) {
            CHECK(with & RMS || fabs(mean[r] - m) <= 2e-7 * (3 + fabs(offset)), "mean of %zu", n);
            CHECK(fabs(inv_std[r] - s) <= 2e-6 * (1 + s * (2 + fabs(offset))) * s, "inv_std of %zu",
                  n);
        }
        for (size_t i = 0; with & SUM && i < n; i++)
            if (sum[r * n + i] != (float)dx[i])
                CHECK(false, "sum");
    }
    /* In place, y over x, and the sum over what is added. */
    a.y = x;
    if (with & SUM)
        a.sum = with & ADD ? add : sum;
    fn(&a, 0, ROWS);
    check_same(x, y, bytes, "in place");
    free(dx);
    check_guard_free(x);
    check_guard_free(add);
    check_guard_free(sum);
    check_guard_free(y);
    check_guard_free(scale);
    check_guard_free(bias);
}

static void test_moments(size_t n, float offset)
{
    float *x = check_guard_alloc(n * sizeof(float), 0),
          *y = check_guard_alloc(n * sizeof(float), 0);
    double sum = 0, square = 0;
    float mean, variance;

    check_random_fill(x, n, offset - 1, offset + 1);
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    sum /= (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - sum) * (x[i] - sum);
    square /= (double)n;
    norm_f32_pick()->moments(x, n, &mean, &variance);
    CHECK(n == 0 ? isnan(mean) : fabs(mean - sum) <= 3e-7 * (1 + fabs(offset)), "mean of %zu", n);
    CHECK(n == 0 ? isnan(variance)
                 : fabs(variance - square) <= 2e-6 * (square + fabs(offset * 1e-3)),
          "variance of %zu: %.9g, not %.9g", n, variance, square);
    norm_f32_pick()->affine(x, y, n, 1.5f, -0.25f);
    for (size_t i = 0; i < n; i++)
        if (fabs(y[i] - (x[i] * 1.5 - 0.25)) > 3e-7 * (1 + fabs(x[i])))
            CHECK(false, "affine");
    norm_f32_pick()->affine(x, x, n, 1.5f, -0.25f);
    check_same(x, y, n * sizeof(float), "affine in place");
    check_guard_free(x);
    check_guard_free(y);
}

static void test_special(void)
{
    float x[40], y[40];
    const struct norm_args a = {.x = x, .y = y, .n = 40, .epsilon = epsilon};

    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < 40; i++)
            x[i] = 3;
        norm_f32_pick()->layer(&a, 0, 1);
        CHECK(y[0] == 0 && y[39] == 0, "a constant row");
        x[37] = kind ? INFINITY : NAN;
        norm_f32_pick()->layer(&a, 0, 1);
        for (int i = 0; i < 40; i++)
            CHECK(isnan(y[i]), "NaN spreads through a row");
    }
}

struct run {
    struct norm_args args;
    size_t rows;
    bool rms;
};

static void run(void *arg)
{
    const struct run *r = arg;
    (r->rms ? norm_f32_pick()->rms : norm_f32_pick()->layer)(&r->args, 0, r->rows);
}

static void bench(size_t rows, size_t n)
{
    float *x = malloc(rows * n * 4), *y = malloc(rows * n * 4), *s = malloc(n * 4);
    struct run r = {
        {.x = x, .y = y, .scale = s, .bias = s, .n = n, .epsilon = epsilon}, rows, false};
    char name[64];

    check_random_fill(x, rows * n, -1, 1);
    check_random_fill(s, n, -1, 1);
    for (int rms = 0; rms < 2; rms++) {
        r.rms = rms;
        snprintf(name, sizeof(name), "%s %zux%zu", rms ? "rms" : "layer", rows, n);
        if (check_bench(name))
            check_report(name, check_time(run, &r), 0, 8.0 * (double)(rows * n), 0);
    }
    free(x);
    free(y);
    free(s);
}

int main(int argc, char **argv)
{
    check_init("norm", argc, argv);
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        for (size_t n = 0; n <= 140; n++) {
            test_rows(n, check_random_below(ALL), 0);
            test_rows(n, check_random_below(ALL), 100);
            test_moments(n, 0);
            test_moments(n, 10);
        }
        for (unsigned with = 0; with < ALL; with++)
            test_rows(77, with, 1);
        test_rows(9001, SCALE | BIAS, 1);
        test_moments(50176, 1);
        test_special();
        bench(128, 768);
        bench(16, 4096);
    }
    return check_done();
}
