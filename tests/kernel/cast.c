/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions: the single-element functions against rounding worked out in double, every row
 * against them bit for bit, all f16 and bf16 values, every tail between guard pages. */
#include "kernels/cast.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernel/check.h"

static const size_t x_size[CAST_COUNT] = {4, 2, 4, 2, 4, 8, 1, 1, 4, 4};
static const size_t y_size[CAST_COUNT] = {2, 4, 2, 4, 4, 4, 4, 4, 4, 8};

/* To a format of `bits` bits of mantissa (the leading one included), least exponent `low`, greatest
 * value `most`; rint() rounds halves to even. */
static double rounded(double x, int bits, int low, double most)
{
    int exponent;
    if (x == 0 || !isfinite(x))
        return x;
    frexp(x, &exponent);
    const double unit = ldexp(1, (exponent < low ? low : exponent) - bits);
    const double y = rint(x / unit) * unit;
    return fabs(y) > most ? copysign(INFINITY, x) : y;
}

static bool same(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

static void test_one(float x)
{
    const double f16 = cast_f16_to_f32(cast_f32_to_f16(x));
    const double bf16 = cast_bf16_to_f32(cast_f32_to_bf16(x));
    CHECK(same(rounded(x, 11, -13, 65504), f16), "f16 of %.9g is %.9g", x, f16);
    CHECK(same(rounded(x, 8, -125, 0x1.fep127), bf16), "bf16 of %.9g is %.9g", x, bf16);
    const double d = x * (1 + 1e-12 * (check_random_below(3) - 1.0));
    CHECK(same(rounded(d, 11, -13, 65504), cast_f16_to_f32(cast_f64_to_f16(d))), "f16 of %.17g", d);
    CHECK(same(rounded(d, 8, -125, 0x1.fep127), cast_bf16_to_f32(cast_f64_to_bf16(d))),
          "bf16 of %.17g", d);
}

static void test_ones(void)
{
    for (uint32_t i = 0; i < 0x10000; i++) {
        /* Every f16 and bf16 value, and what lies half-way to the next. */
        const float f16 = cast_f16_to_f32((uint16_t)i), next = cast_f16_to_f32((uint16_t)(i + 1));
        const float bf16 = cast_bf16_to_f32((uint16_t)i);
        if (isnan(f16) || isnan(bf16)) {
            CHECK(isnan(cast_f16_to_f32(cast_f32_to_f16(f16))) == isnan(f16), "f16 NaN %x", i);
            CHECK(isnan(cast_bf16_to_f32(cast_f32_to_bf16(bf16))) == isnan(bf16), "bf16 NaN %x", i);
        }
        test_one(f16);
        test_one(bf16);
        if (isfinite(f16) && isfinite(next))
            test_one((f16 + next) / 2);
        const uint32_t half = i << 16 | 0x8000, random = (uint32_t)check_random();
        float x;
        memcpy(&x, &half, 4);
        test_one(x);
        memcpy(&x, &random, 4);
        test_one(x);
    }
    test_one(65519.996f);
    test_one(65520);
    test_one(0x1p-25f);
    test_one(0x1.000002p-25f);
    test_one(3.4028235e38f);
}

static void fill(enum cast_op op, unsigned char *x, size_t n)
{
    static const float special[] = {NAN, INFINITY, -INFINITY, -0.0f, 65520, 1e-7f, 2147483648.0f,
                                    -2147483648.0f, 9.3e18f, -3e38f};
    for (size_t i = 0; i < n * x_size[op]; i++)
        x[i] = (unsigned char)check_random();
    for (size_t i = 0; x_size[op] == 4 && op != CAST_I32_F32 && i < n; i++) {
        const float u = check_random_below(2) ? check_random_float(-1e5f, 1e5f)
                                              : special[check_random_below(10)];
        if (check_random_below(3))
            memcpy(x + i * 4, &u, 4);
    }
}

static void test_rows(enum cast_op op)
{
    for (size_t n = 0; n <= 70; n++) {
        const int slack = (int)check_random_below(5) - 1;
        unsigned char *x = check_guard_alloc(n * x_size[op], slack * (int)x_size[op]);
        unsigned char *y = check_guard_alloc(n * y_size[op], slack * (int)y_size[op]);
        unsigned char want[70 * 8];
        if (slack < 0)
            check_guard_free(x), x = check_guard_alloc(n * x_size[op], CHECK_BEGIN);
        fill(op, x, n);
        cast_kernels[0]->fn[op](x, want, n);
        cast_pick(op)(x, y, n);
        check_same(y, want, n * y_size[op], cast_name(op));
        if (x_size[op] == y_size[op]) {
            cast_pick(op)(x, x, n);
            check_same(x, want, n * y_size[op], "in place");
        }
        check_guard_free(x);
        check_guard_free(y);
    }
}

/* Every 16-bit value, and a walk through all floats. */
static void test_all(enum cast_op op)
{
    static uint32_t x[0x10000];
    static uint64_t y[0x10000], want[0x10000];

    for (uint32_t i = 0; i < 0x10000; i++) {
        const uint32_t bits = x_size[op] == 2 ? 0 : i * 65521u;
        x[i] = bits;
        if (x_size[op] == 2)
            ((uint16_t *)x)[i] = (uint16_t)i;
    }
    cast_kernels[0]->fn[op](x, want, 0x8000);
    cast_pick(op)(x, y, 0x8000);
    check_same(y, want, 0x8000 * y_size[op], cast_name(op));
}

struct run {
    enum cast_op op;
    void *x, *y;
};

static void run(void *arg)
{
    const struct run *r = arg;
    cast_pick(r->op)(r->x, r->y, 1 << 12);
}

static void bench(enum cast_op op)
{
    static uint64_t x[1 << 12], y[1 << 12];
    struct run r = {op, x, y};

    if (check_bench(cast_name(op)))
        check_report(cast_name(op), check_time(run, &r), 0,
                     (double)((x_size[op] + y_size[op]) << 12), 0);
}

int main(int argc, char **argv)
{
    check_init("cast", argc, argv);
    test_ones();
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        for (enum cast_op op = 0; op < CAST_COUNT; op++) {
            test_rows(op);
            test_all(op);
            bench(op);
        }
    }
    return check_done();
}
