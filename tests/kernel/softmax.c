/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax and log-softmax, rows and axis: against double, at every length, between guard pages, a
 * row alone against a row among others, in place, and on rows with infinities and NaN. */
#include "kernels/softmax.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/check.h"

/* A few ulp of exp and of the sum; logarithms are differences, hence an absolute part that grows
 * with the values. */
static const double rtol = 2e-6, log_atol = 4e-6;

static void fill(float *x, size_t n, int kind)
{
    check_random_fill(x, n, -8, 8);
    for (size_t i = 0; kind == 1 && i < n; i++)
        x[i] = check_random_below(2) ? -INFINITY : x[i];
    for (size_t i = 0; kind == 2 && i < n; i++)
        x[i] *= 1e30f;
    if (kind == 3 && n > 0)
        x[check_random_below((unsigned)n)] = NAN;
    if (kind == 4 && n > 0)
        x[check_random_below((unsigned)n)] = INFINITY;
    for (size_t i = 0; kind == 5 && i < n; i++)
        x[i] = -INFINITY;
    for (size_t i = 0; kind == 6 && i < n; i++)
        x[i] = i % 2 ? 3.4e38f : -3.4e38f;
}

static void test_rows(size_t n, bool log, int kind)
{
    const struct softmax_f32_kernel *k = softmax_f32_pick();
    const int slack = (int)check_random_below(3) * 4 - 4;
    const size_t rows = 3;
    float *x = check_guard_alloc(rows * n * sizeof(float), slack);
    float *y = check_guard_alloc(rows * n * sizeof(float), slack);
    float *one = check_guard_alloc(n * sizeof(float), 4);
    double *dx = malloc(rows * n * sizeof(double) + 1),
           *want = malloc(rows * n * sizeof(double) + 1);

    fill(x, rows * n, 0);
    if (n > 0)
        fill(x + n, n, kind);
    for (size_t i = 0; i < rows * n; i++)
        dx[i] = x[i];
    for (size_t r = 0; r < rows; r++)
        softmax_f64_axis(dx + r * n, want + r * n, n, 1, 0, 1, log);
    /* x - max overflows in f32 where it does not in double. */
    for (size_t i = 0; kind == 6 && log && i < n; i++)
        want[n + i] = i % 2 ? want[n + i] : n > 1 ? -INFINITY : want[n + i];
    k->rows(x, y, rows, n, log);
    check_near(y, want, rows * n, rtol, log ? (kind == 2 ? 1e26 : log_atol) : 1e-37, "rows");
    for (size_t r = 0; r < rows; r++) {
        memcpy(one, x + r * n, n * sizeof(float));
        k->rows(one, one, 1, n, log);
        check_same(one, y + r * n, n * sizeof(float), "a row alone, in place");
    }
    free(dx);
    free(want);
    check_guard_free(x);
    check_guard_free(y);
    check_guard_free(one);
}

static void test_axis(size_t n, size_t inner, bool log, int kind)
{
    const struct softmax_f32_kernel *k = softmax_f32_pick();
    const size_t bytes = n * inner * sizeof(float), cut = check_random_below((unsigned)inner + 1);
    float *x = check_guard_alloc(bytes, 0), *y = check_guard_alloc(bytes, 0);
    double *dx = malloc(2 * bytes + 1), *want = malloc(2 * bytes + 1);

    fill(x, n * inner, kind);
    for (size_t i = 0; i < n * inner; i++)
        dx[i] = x[i];
    softmax_f64_axis(dx, want, n, inner, 0, inner, log);
    k->axis(x, y, n, inner, 0, inner, log);
    check_near(y, want, n * inner, rtol, log ? log_atol : 1e-37, "axis");
    k->axis(x, x, n, inner, 0, cut, log);
    k->axis(x, x, n, inner, cut, inner, log);
    check_same(x, y, bytes, "axis in two parts, in place");
    free(dx);
    free(want);
    check_guard_free(x);
    check_guard_free(y);
}

struct run {
    float *x, *y;
    size_t rows, n, inner;
};

static void run(void *arg)
{
    const struct run *r = arg;
    if (r->inner == 1)
        softmax_f32_pick()->rows(r->x, r->y, r->rows, r->n, false);
    else
        softmax_f32_pick()->axis(r->x, r->y, r->n, r->inner, 0, r->inner, false);
}

static void bench(size_t rows, size_t n, size_t inner)
{
    struct run r = {malloc(rows * n * inner * 4), malloc(rows * n * inner * 4), rows, n, inner};
    char name[64];

    snprintf(name, sizeof(name), "softmax %zux%zux%zu", rows, n, inner);
    check_random_fill(r.x, rows * n * inner, -8, 8);
    if (check_bench(name))
        check_report(name, check_time(run, &r), 0, 8.0 * (double)(rows * n * inner), 0);
    free(r.x);
    free(r.y);
}

int main(int argc, char **argv)
{
    check_init("softmax", argc, argv);
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        for (int kind = 0; kind < 7; kind++) {
            for (size_t n = 0; n <= 140; n++) {
                test_rows(n, false, kind);
                test_rows(n, true, kind);
            }
        }
        for (int kind = 0; kind < 6; kind++) {
            if (kind == 2)
                continue;
            for (int i = 0; i < 40; i++)
                test_axis(check_random_below(20), check_random_below(90), i % 2, kind);
        }
        test_rows(5000, false, 0);
        test_rows(5000, true, 0);
        bench(64, 128, 1);
        bench(8, 1024, 1);
        bench(1, 30000, 1);
        bench(1, 21, 1024);
    }
    return check_done();
}
