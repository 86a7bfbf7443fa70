/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions along rows and along an axis, and the place of the greatest or least: against double,
 * at every length, between guard pages, a row alone and columns cut, special values, long sums. */
#include "kernels/reduce.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/check.h"

/* In double, and how much of f32's rounding the terms can gather: the sum of their magnitudes. */
static double want_of(enum reduce_op op, const float *x, size_t n, size_t step, double *scale)
{
    double sum = 0, square = 0, l1 = 0, prod = 1, max = -INFINITY, min = INFINITY, exps = 0;

    for (size_t i = 0; i < n; i++) {
        const double u = x[i * step];
        sum += u;
        square += u * u;
        l1 += fabs(u);
        prod *= u;
        max = isnan(max) || max > u ? max : u;
        min = isnan(min) || min < u ? min : u;
    }
    for (size_t i = 0; i < n; i++)
        exps += exp(x[i * step] - max);
    *scale = 0;
    switch (op) {
    case REDUCE_SUM: *scale = l1; return sum;
    case REDUCE_MEAN: *scale = l1 / (double)(n ? n : 1); return sum / (double)n;
    case REDUCE_MAX: return max;
    case REDUCE_MIN: return min;
    case REDUCE_PROD: *scale = fabs(prod) * (double)n + 1e-37; return prod;
    case REDUCE_SUM_SQUARE: return square;
    case REDUCE_L1: return l1;
    case REDUCE_L2: return sqrt(square);
    case REDUCE_LOG_SUM: *scale = 4 * l1 / fabs(sum) + 1; return log(sum);
    default:
        if (isinf(max) || isnan(max))
            return max;
        *scale = 1;
        return log(exps) + max;
    }
}

static bool result_ok(double want, double scale, float got)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got))
        return got == (float)want;
    return fabs(got - want) <= 1e-6 * (fabs(want) + (isfinite(scale) ? scale : 0)) + 1e-44;
}

static void fill(enum reduce_op op, float *x, size_t n, int kind)
{
    check_random_fill(x, n, op == REDUCE_LOG_SUM ? 0.01f : op == REDUCE_PROD ? 0.5f : -4,
                      op == REDUCE_PROD ? 2 : 4);
    if (n == 0)
        return;
    if (kind == 1)
        x[check_random_below((unsigned)n)] = NAN;
    if (kind == 2)
        x[check_random_below((unsigned)n)] = INFINITY;
    for (size_t i = 0; kind == 3 && i < n; i++)
        x[i] = -INFINITY;
    for (size_t i = 0; kind == 4 && i < n; i++)
        x[i] = 1e-41f;
}

static void test_rows(enum reduce_op op, size_t n, int kind)
{
    const struct reduce_f32_kernel *k = reduce_f32_pick();
    const size_t rows = 2;
    float *x = check_guard_alloc(rows * n * sizeof(float), (int)check_random_below(3) * 4 - 4);
    float *y = check_guard_alloc(rows * sizeof(float), 0), one;

    fill(op, x, rows * n, kind);
    k->rows(op, x, y, rows, n);
    for (size_t r = 0; r < rows; r++) {
        double scale, want = want_of(op, x + r * n, n, 1, &scale);
        CHECK(result_ok(want, scale, y[r]), "%s of %zu, kind %d: %.9g, not %.9g", reduce_name(op),
              n, kind, y[r], want);
        k->rows(op, x + r * n, &one, 1, n);
        check_same(&one, &y[r], sizeof(one), "a row alone");
    }
    check_guard_free(x);
    check_guard_free(y);
}

static void test_axis(enum reduce_op op, size_t n, size_t inner, int kind)
{
    const struct reduce_f32_kernel *k = reduce_f32_pick();
    float *x = check_guard_alloc(n * inner * sizeof(float), (int)check_random_below(3) * 4 - 4);
    float *y = check_guard_alloc(inner * sizeof(float), 0);
    float *z = check_guard_alloc(inner * sizeof(float), 4);
    const size_t cut = check_random_below((unsigned)inner + 1);

    fill(op, x, n * inner, kind);
    k->axis(op, x, y, n, inner, 0, inner);
    for (size_t c = 0; c < inner; c++) {
        double scale, want = want_of(op, x + c, n, inner, &scale);
        if (!result_ok(want, scale, y[c]))
            CHECK(false, "%s along %zux%zu, kind %d: [%zu] is %.9g, not %.9g", reduce_name(op), n,
                  inner, kind, c, y[c], want);
    }
    k->axis(op, x, z, n, inner, cut, inner);
    k->axis(op, x, z, n, inner, 0, cut);
    check_same(z, y, inner * sizeof(float), "axis in two parts");
    check_guard_free(x);
    check_guard_free(y);
    check_guard_free(z);
}

static size_t arg_of(const float *x, size_t n, size_t step, bool least, bool last)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        const float u = x[i * step], v = x[best * step];
        const bool beyond = isnan(u) || (!isnan(v) && (least ? u < v : u > v));
        const bool equal = isnan(v) ? isnan(u) : u == v;
        if (equal ? last : !isnan(v) && beyond)
            best = i;
    }
    return best;
}

static void test_arg(size_t n, bool least, bool last)
{
    float *x = check_guard_alloc(n * 3 * sizeof(float), 0);
    int64_t y[3], z[3];

    for (size_t i = 0; i < n * 3; i++)
        x[i] = check_random_below(8) ? (float)check_random_below(5) - 2 : -INFINITY;
    for (int nans = (int)check_random_below(3); nans > 0; nans--)
        x[check_random_below(3 * (unsigned)n)] = NAN;
    reduce_f32_pick()->arg_rows(x, y, 3, n, least, last);
    reduce_f32_arg_axis(x, z, n, 3, 0, 2, least, last);
    reduce_f32_arg_axis(x, z, n, 3, 2, 3, least, last);
    for (size_t r = 0; r < 3; r++) {
        CHECK(y[r] == (int64_t)arg_of(x + r * n, n, 1, least, last), "arg of a row of %zu", n);
        CHECK(z[r] == (int64_t)arg_of(x + r, n, 3, least, last), "arg along an axis of %zu", n);
    }
    check_guard_free(x);
}

/* A million terms of one sign: within 1e-6. */
static void test_long(enum reduce_op op)
{
    const size_t n = 1000003;
    float *x = malloc(n * sizeof(float)), y, z;
    double scale;

    check_random_fill(x, n, 0, 1);
    const double want = want_of(op, x, n, 1, &scale);
    reduce_f32_pick()->rows(op, x, &y, 1, n);
    reduce_f32_pick()->axis(op, x, &z, n, 1, 0, 1);
    CHECK(fabs(y - want) <= 1e-6 * want, "%s of %zu: %.9g, not %.9g", reduce_name(op), n, y, want);
    CHECK(fabs(z - want) <= 1e-6 * want, "%s along %zu: %.9g, not %.9g", reduce_name(op), n, z,
          want);
    free(x);
}

struct run {
    enum reduce_op op;
    float *x, *y;
    size_t n, inner;
};

static void run_rows(void *arg)
{
    const struct run *r = arg;
    reduce_f32_pick()->rows(r->op, r->x, r->y, r->inner, r->n);
}

static void run_axis(void *arg)
{
    const struct run *r = arg;
    reduce_f32_pick()->axis(r->op, r->x, r->y, r->n, r->inner, 0, r->inner);
}

static void run_arg(void *arg)
{
    const struct run *r = arg;
    reduce_f32_pick()->arg_rows(r->x, (int64_t *)r->y, r->inner, r->n, false, false);
}

static void bench(void)
{
    static const size_t shapes[][2] = {{49, 256}, {1024, 64}, {512, 768}};
    struct run r = {.x = malloc(512 * 768 * 4), .y = malloc(1024 * 8)};
    char name[64];

    check_random_fill(r.x, 512 * 768, 0, 1);
    for (unsigned i = 0; i < 3; i++) {
        r.n = shapes[i][0];
        r.inner = shapes[i][1];
        const double bytes = 4.0 * (double)(r.n * r.inner);
        for (r.op = 0; r.op < REDUCE_COUNT; r.op++) {
            snprintf(name, sizeof(name), "%s %zu rows of %zu", reduce_name(r.op), r.inner, r.n);
            if (check_bench(name))
                check_report(name, check_time(run_rows, &r), 0, bytes, 0);
            snprintf(name, sizeof(name), "%s axis %zux%zu", reduce_name(r.op), r.n, r.inner);
            if (check_bench(name))
                check_report(name, check_time(run_axis, &r), 0, bytes, 0);
        }
        snprintf(name, sizeof(name), "argmax %zu rows of %zu", r.inner, r.n);
        if (check_bench(name))
            check_report(name, check_time(run_arg, &r), 0, bytes, 0);
    }
    free(r.x);
    free(r.y);
}

int main(int argc, char **argv)
{
    check_init("reduce", argc, argv);
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        for (enum reduce_op op = 0; op < REDUCE_COUNT; op++) {
            /* The squares of kind 4 are below the least float. */
            for (int kind = 0; kind < (op == REDUCE_L2 ? 4 : 5); kind++) {
                for (size_t n = 0; n <= 140; n++)
                    test_rows(op, n, kind);
                for (int i = 0; i < 30; i++)
                    test_axis(op, check_random_below(150), check_random_below(90), kind);
            }
            if (op != REDUCE_PROD)
                test_rows(op, 9000 + check_random_below(1000), 0);
            if (op == REDUCE_SUM || op == REDUCE_L1 || op == REDUCE_SUM_SQUARE || op == REDUCE_MEAN)
                test_long(op);
        }
        for (size_t n = 1; n <= 140; n++)
            for (int i = 0; i < 4; i++)
                test_arg(n, i & 1, i & 2);
        bench();
    }
    return check_done();
}
