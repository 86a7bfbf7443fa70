/* SPDX-License-Identifier: Apache-2.0 */
/* Binary functions: every row, form and tail against scalar C, exactly but for pow; broadcasting of
 * random shapes against a walk by coordinates, cut into ranges. */
#include "kernels/binary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/check.h"

static const float special[] = {0.0f,   -0.0f, INFINITY, -INFINITY, NAN,  1e-45f, -1e-40f, 3e38f,
                                -3e38f, 1,     -1,       2,         0.5f, 3,      -2.5f};
enum { SPECIAL = sizeof(special) / sizeof(*special), LONG = 90 };

static double want_of(enum binary_op op, double a, double b)
{
    switch (op) {
    case BINARY_ADD: return a + b;
    case BINARY_SUB: return a - b;
    case BINARY_MUL: return a * b;
    case BINARY_DIV: return a / b;
    case BINARY_MIN: return isnan(a) || isnan(b) ? NAN : fmin(a, b);
    case BINARY_MAX: return isnan(a) || isnan(b) ? NAN : fmax(a, b);
    case BINARY_POW: return pow(a, b);
    default: return a < 0 ? a * b : a;
    }
}

static void values_fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = check_random_below(3) ? check_random_float(-4, 4)
                                     : special[check_random_below(SPECIAL)];
}

static bool result_ok(enum binary_op op, float a, float b, float got)
{
    const double want = want_of(op, a, b);
    const float rounded = (float)want;
    if (isnan(want))
        return isnan(got);
    return got == rounded ||
           (op == BINARY_POW && fabs(got - want) <= 0x1p-22 * fabs(want) + 0x1p-148);
}

static void test_form(enum binary_op op, unsigned scalar, size_t n)
{
    const int slack = (int)check_random_below(3) * 4 - 4;
    float all_a[LONG], all_b[LONG], all_y[LONG];
    const size_t from = check_random_below(10);
    float *a = check_guard_alloc((scalar & BINARY_A_SCALAR ? n > 0 : n) * sizeof(float), slack);
    float *b = check_guard_alloc((scalar & BINARY_B_SCALAR ? n > 0 : n) * sizeof(float), slack);
    float *y = check_guard_alloc(n * sizeof(float), slack);

    values_fill(all_a, LONG);
    values_fill(all_b, LONG);
    if (scalar & BINARY_A_SCALAR)
        for (size_t i = 0; i < LONG; i++)
            all_a[i] = all_a[0];
    if (scalar & BINARY_B_SCALAR)
        for (size_t i = 0; i < LONG; i++)
            all_b[i] = all_b[0];
    /* The exponents with a way of their own, often. */
    if (op == BINARY_POW && (scalar & BINARY_B_SCALAR) && check_random_below(2)) {
        static const float powers[] = {2, 3, -1, 0.5f};
        const float power = powers[check_random_below(4)];
        for (size_t i = 0; i < LONG; i++)
            all_b[i] = power;
    }
    memcpy(a, all_a + from, (scalar & BINARY_A_SCALAR ? n > 0 : n) * sizeof(float));
    memcpy(b, all_b + from, (scalar & BINARY_B_SCALAR ? n > 0 : n) * sizeof(float));
    binary_f32_pick(op)(a, b, scalar, y, n);
    for (size_t i = 0; i < n; i++)
        if (!result_ok(op, all_a[from + i], all_b[from + i], y[i]))
            CHECK(false, "%s(%g, %g) is %g", binary_name(op), all_a[from + i], all_b[from + i],
                  y[i]);
    /* The vector form of a long call gives the same bits. */
    binary_f32_pick(op)(all_a, all_b, 0, all_y, LONG);
    check_same(y, all_y + from, n * sizeof(float), binary_name(op));
    if (!(scalar & BINARY_A_SCALAR)) {
        binary_f32_pick(op)(a, b, scalar, a, n);
        check_same(a, y, n * sizeof(float), "in place");
    }
    check_guard_free(a);
    check_guard_free(b);
    check_guard_free(y);
}

static void test_integers(void)
{
    const int64_t least = INT64_MIN;
    const int64_t a[] = {least, least, 7, -7, 0, 3, -1, 2, INT64_MAX};
    const int64_t b[] = {-1, 0, 2, 2, 0, 5, -3, 63, 1};
    const int64_t div[] = {least, 0, 3, -3, 0, 0, 0, 0, INT64_MAX};
    const int64_t power[] = {0, 1, 49, 49, 1, 243, -1, least, INT64_MAX};
    int64_t y[9];
    int32_t x32 = INT32_MIN, y32 = -1, z32;

    binary_i64_pick(BINARY_DIV)(a, b, 0, y, 9);
    check_same(y, div, sizeof(y), "i64 div");
    binary_i64_pick(BINARY_POW)(a, b, 0, y, 9);
    y[0] = 0;
    check_same(y, power, sizeof(y), "i64 pow");
    binary_i32_pick(BINARY_DIV)(&x32, &y32, 0, &z32, 1);
    CHECK(z32 == INT32_MIN, "i32 div");
    binary_i32_pick(BINARY_SUB)(&x32, &y32, BINARY_B_SCALAR, &z32, 1);
    CHECK(z32 == INT32_MIN + 1, "i32 sub");
    binary_i32_pick(BINARY_ADD)(&x32, &y32, BINARY_A_SCALAR, &z32, 1);
    CHECK(z32 == INT32_MAX, "i32 add wraps");
}

/* Where, on elements of any size: the picked element. */
struct where {
    size_t size;
};

static void where_run(void *arg, const void *const *in, unsigned scalar, void *out, size_t n)
{
    const struct where *w = arg;
    const unsigned char *cond = in[0];
    for (size_t i = 0; i < n; i++) {
        const unsigned which = cond[scalar & 1 ? 0 : i] ? 1 : 2;
        memcpy((unsigned char *)out + i * w->size,
               (const unsigned char *)in[which] + (scalar >> which & 1 ? 0 : i) * w->size, w->size);
    }
}

static void test_broadcast(void)
{
    static const size_t sizes[] = {1, 2, 4, 8, 16, 3};
    int64_t out_dims[BROADCAST_RANK], dims[3][BROADCAST_RANK];
    struct broadcast_shape out = {check_random_below(7), out_dims, 0}, in[3];
    const size_t size = sizes[check_random_below(6)];
    struct broadcast b;
    size_t count = 1, counts[3];
    unsigned char *x[3], *y, *want;

    for (unsigned d = 0; d < out.rank; d++) {
        out_dims[d] = 1 + check_random_below(check_random_below(4) ? 4 : 40);
        if (count * (size_t)out_dims[d] > 20000)
            out_dims[d] = 1;
        count *= (size_t)out_dims[d];
    }
    if (check_random_below(20) == 0 && out.rank > 0) {
        out_dims[check_random_below(out.rank)] = 0;
        count = 0;
    }
    out.size = size;
    const bool coarse = check_random_below(2);
    for (unsigned i = 0; i < 3; i++) {
        const bool ones = check_random_below(2);
        in[i] = (struct broadcast_shape){out.rank - check_random_below(out.rank + 1) / 2, dims[i],
                                         i == 0 ? 1 : size};
        counts[i] = 1;
        for (unsigned d = 0; d < in[i].rank; d++) {
            const int64_t whole = out_dims[d + out.rank - in[i].rank];
            dims[i][d] = (coarse ? ones : check_random_below(2)) ? 1 : whole;
            counts[i] *= (size_t)dims[i][d];
        }
        x[i] = check_guard_alloc(counts[i] * in[i].size, 0);
        for (size_t k = 0; k < counts[i] * in[i].size; k++)
            x[i][k] = i == 0 ? (unsigned char)check_random_below(2) : (unsigned char)check_random();
    }
    y = check_guard_alloc(count * size, 0);
    want = check_guard_alloc(count * size, 0);
    if (!CHECK(broadcast_init(&b, &out, 3, in) && b.count == count, "broadcast_init"))
        return;
    for (size_t k = 0; k < count; k++) {
        size_t at[3] = {0}, step[3] = {1, 1, 1}, rest = k;
        for (unsigned d = out.rank; d-- > 0;) {
            const size_t c = rest % (size_t)out_dims[d];
            rest /= (size_t)out_dims[d];
            for (unsigned i = 0; i < 3; i++) {
                if (d < out.rank - in[i].rank)
                    continue;
                const int64_t dim = dims[i][d - (out.rank - in[i].rank)];
                at[i] += dim == 1 ? 0 : c * step[i];
                step[i] *= (size_t)dim;
            }
        }
        const unsigned which = x[0][at[0]] ? 1 : 2;
        memcpy(want + k * size, x[which] + at[which] * size, size);
    }
    struct where w = {size};
    for (size_t begin = 0, end; begin < count; begin = end) {
        end = begin + 1 + check_random_below((unsigned)count);
        end = end > count ? count : end;
        broadcast_run(&b, (const void *const[]){x[0], x[1], x[2]}, y, begin, end, where_run, &w);
    }
    check_same(y, want, count * size, "broadcast");
    for (unsigned i = 0; i < 3; i++)
        check_guard_free(x[i]);
    check_guard_free(y);
    check_guard_free(want);
}

static void test_refused(void)
{
    const int64_t big[] = {INT64_MAX, INT64_MAX}, zero[] = {0, INT64_MAX}, minus[] = {-1},
                  two[] = {2}, three[] = {3}, many[BROADCAST_RANK + 1] = {1};
    const struct broadcast_shape ok = {1, three, 4}, bad[] = {
        {2, big, 4}, {1, minus, 4}, {1, two, 4}, {BROADCAST_RANK + 1, many, 4}, {1, three, 17},
        {1, three, 0},
    };
    const struct broadcast_shape empty = {2, zero, 4};
    struct broadcast b;

    for (unsigned i = 0; i < 6; i++) {
        CHECK(!broadcast_init(&b, &ok, 1, &bad[i]), "input %u was accepted", i);
        CHECK(!broadcast_init(&b, &bad[i], 1, &ok), "output %u was accepted", i);
    }
    CHECK(!broadcast_init(&b, &ok, 4, &ok) && !broadcast_init(&b, &ok, 0, &ok), "inputs");
    CHECK(broadcast_init(&b, &empty, 1, &empty) && b.count == 0, "an empty tensor");
}

struct run {
    enum binary_op op;
    unsigned scalar;
    float *a, *b, *y;
    size_t n;
    struct broadcast shape;
};

static void run(void *arg)
{
    const struct run *r = arg;
    binary_f32_pick(r->op)(r->a, r->b, r->scalar, r->y, r->n);
}

static void run_shape(void *arg)
{
    const struct run *r = arg;
    binary_broadcast(&r->shape, binary_f32_pick(r->op), r->a, r->b, r->y, 0, r->shape.count);
}

static void bench(void)
{
    static float a[1 << 16], b[1 << 16], y[1 << 16];
    static const int64_t shapes[][2][3] = {
        {{64, 32, 32}, {64, 1, 1}}, {{64, 32, 32}, {1, 1, 32}}, {{1, 16384, 3}, {1, 1, 3}},
        {{1, 16384, 3}, {1, 16384, 1}}, {{1, 512, 128}, {1, 512, 1}},
    };
    struct run r = {.a = a, .b = b, .y = y};
    char name[80];

    check_random_fill(a, 1 << 16, 1, 4);
    check_random_fill(b, 1 << 16, 1, 4);
    for (r.op = 0; r.op < BINARY_COUNT; r.op++) {
        for (r.scalar = 0; r.scalar < 3; r.scalar += 2) {
            r.n = 1 << 12;
            snprintf(name, sizeof(name), "%s %s", binary_name(r.op), r.scalar ? "vs" : "vv");
            if (check_bench(name))
                check_report(name, check_time(run, &r), 0, (r.scalar ? 8.0 : 12.0) * (double)r.n,
                             0);
        }
    }
    r.op = BINARY_ADD;
    for (unsigned i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        const struct broadcast_shape in[] = {{3, shapes[i][0], 4}, {3, shapes[i][1], 4}};
        broadcast_init(&r.shape, &in[0], 2, in);
        snprintf(name, sizeof(name), "add %dx%dx%d %dx%dx%d", (int)shapes[i][0][0],
                 (int)shapes[i][0][1], (int)shapes[i][0][2], (int)shapes[i][1][0],
                 (int)shapes[i][1][1], (int)shapes[i][1][2]);
        if (check_bench(name))
            check_report(name, check_time(run_shape, &r), 0, 8.0 * (double)r.shape.count, 0);
    }
}

int main(int argc, char **argv)
{
    check_init("binary", argc, argv);
    test_integers();
    test_refused();
    for (int i = 0; i < 400; i++)
        test_broadcast();
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        for (enum binary_op op = 0; op < BINARY_COUNT; op++)
            for (unsigned scalar = 0; scalar < 4; scalar++)
                for (size_t n = 0; n <= 70; n++)
                    test_form(op, scalar, n);
        bench();
    }
    return check_done();
}
