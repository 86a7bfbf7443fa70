/* SPDX-License-Identifier: Apache-2.0 */
/* Unary functions: accuracy against libm's double over a dense walk of all floats, special values,
 * row against row 0, every tail between guard pages, cuts anywhere, in place. */
#include "kernels/unary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernel/check.h"

enum { BLOCK = 4096 };

/* Error allowed: `ulp` of the result, or `scale` * |x| + `floor`, whichever is larger; far:
 * arguments of a magnitude above it are left out (0: none are). */
struct bound {
    double ulp, scale, floor, far;
    float param[2];
};

static const struct bound bounds[UNARY_COUNT] = {
    [UNARY_ABS] = {0}, [UNARY_NEG] = {0}, [UNARY_SIGN] = {0}, [UNARY_FLOOR] = {0},
    [UNARY_CEIL] = {0}, [UNARY_ROUND] = {0}, [UNARY_SQRT] = {0.51}, [UNARY_RECIPROCAL] = {0.51},
    [UNARY_EXP] = {2}, [UNARY_LOG] = {2}, [UNARY_ERF] = {4}, [UNARY_TANH] = {4},
    [UNARY_SIGMOID] = {4}, [UNARY_SIN] = {2}, [UNARY_COS] = {2},
    [UNARY_RELU] = {0}, [UNARY_LEAKY_RELU] = {0.51, .param = {0.01f}},
    [UNARY_THRESHOLDED_RELU] = {0, .param = {1}},
    [UNARY_ELU] = {4, .floor = 1e-36, .param = {1.3f}},
    [UNARY_SELU] = {4, .floor = 1e-36, .param = {1.67326319f, 1.05070102f}},
    [UNARY_CELU] = {4, .floor = 1e-36, .param = {0.7f}},
    [UNARY_SOFTPLUS] = {4, .floor = 1e-36},
    [UNARY_SOFTSIGN] = {2, .far = 1e38},
    [UNARY_HARD_SIGMOID] = {2, .floor = 2e-7, .param = {0.2f, 0.5f}},
    [UNARY_HARD_SWISH] = {2, .scale = 2e-7, .far = 1e38},
    [UNARY_MISH] = {8, 1e-7, .far = 1e38}, [UNARY_GELU] = {8, 1e-7},
    [UNARY_GELU_TANH] = {8, 1e-7}, [UNARY_SILU] = {8, 1e-7},
    [UNARY_SWISH] = {8, 1e-7, .param = {1.702f}, .far = 1e38},
    [UNARY_CLIP] = {0, .param = {-1.5f, 2.5f}}, [UNARY_SHRINK] = {0.51, .param = {0.5f, 0.25f}},
    /* libm's own, in every row. */
    [UNARY_TAN] = {4}, [UNARY_ASIN] = {4}, [UNARY_ACOS] = {4}, [UNARY_ATAN] = {4},
    [UNARY_SINH] = {4}, [UNARY_COSH] = {4}, [UNARY_ASINH] = {4}, [UNARY_ACOSH] = {4},
    [UNARY_ATANH] = {4},
};

static double ulp_of(double want)
{
    int exponent;
    if (want == 0)
        return 0x1p-149;
    frexp(want, &exponent);
    return ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
}

/* The error of got in units of what is allowed. */
static double error_of(const struct bound *b, float x, float got, double want)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    /* What rounds to infinity within the bound may be it. */
    if (isinf(got) && fabs(want) >= 0x1.fffffcp127 && (got > 0) == (want > 0))
        return 0;
    if (isinf(got) || isinf(want))
        return got == want ? 0 : INFINITY;
    if (got == want)
        return 0;
    const double error = fabs((double)got - want), ulp = error / ulp_of(want);
    const double slack = b->scale * fabs((double)x) + b->floor;
    if (error <= slack)
        return 0;
    return ulp <= b->ulp ? ulp / b->ulp : 1 + ulp;
}

static void test_accuracy(enum unary_op op)
{
    static float x[BLOCK], y[BLOCK];
    static double dx[BLOCK], dy[BLOCK];
    const struct bound *b = &bounds[op];
    const double param[2] = {b->param[0], b->param[1]};
    const uint32_t step = 4001 + 2 * check_random_below(100);
    uint32_t bits = check_random_below(1000);
    double worst = 0, worst_ulp = 0;
    float at = 0, gave = 0;

    for (bool more = true; more;) {
        for (int i = 0; i < BLOCK; i++) {
            memcpy(&x[i], &bits, sizeof(bits));
            /* Signalling NaNs are not of interest; 0x100000000 ends the walk. */
            if (isnan(x[i]) || (b->far > 0 && fabsf(x[i]) > b->far))
                x[i] = 1;
            dx[i] = x[i];
            more = more && bits + step > bits;
            bits += step;
        }
        unary_f32_pick(op)(x, y, BLOCK, b->param);
        unary_f64_pick(op)(dx, dy, BLOCK, param);
        for (int i = 0; i < BLOCK; i++) {
            const double e = error_of(b, x[i], y[i], dy[i]);
            const double ulp = e > 0 && !isinf(e) ? fabs(y[i] - dy[i]) / ulp_of(dy[i]) : 0;
            if (ulp > worst_ulp && ulp <= b->ulp)
                worst_ulp = ulp;
            if (e > worst) {
                worst = e;
                at = x[i];
                gave = y[i];
            }
        }
    }
    const double ref_x = at;
    double want;
    unary_f64_pick(op)(&ref_x, &want, 1, param);
    CHECK(worst <= 1, "%s(%.9g = %a) is %.9g, not %.9g: %.3g ulp, %.3g allowed",
          unary_name(op), at, at, gave, want, fabs(gave - want) / ulp_of(want), b->ulp);
    if (check_bench(unary_name(op)))
        printf("%s: worst %.2f ulp\n", unary_name(op), worst_ulp);
}

static void test_special(enum unary_op op)
{
    static const float values[] = {
        0.0f,          -0.0f,          INFINITY,  -INFINITY,  NAN,
        1e-45f,        -1e-45f,        0x1p-126f, -0x1p-126f, 0x1.fffffep-127f,
        3.4028235e38f, -3.4028235e38f, 88.72283f, 88.72284f,  -87.33654f,
        -103.97f,      -103.98f,       -104.5f,   1,          -1,
        0.5f,          -0.5f,          1.5f,      2.5f,       -2.5f,
        1e5f,          1.00001e5f,     -3e20f,    8388607.5f, 8388608,
        16777215,
    };
    enum { COUNT = sizeof(values) / sizeof(*values) };
    const struct bound *b = &bounds[op];
    const double param[2] = {b->param[0], b->param[1]};
    float y[COUNT], c[COUNT];

    unary_f32_pick(op)(values, y, COUNT, b->param);
    unary_f32_kernels[0]->fn[op](values, c, COUNT, b->param);
    for (int i = 0; i < COUNT; i++) {
        const double x = values[i];
        double want;
        unary_f64_pick(op)(&x, &want, 1, param);
        /* Where f32 overflows half-way, row 0 says what the formula gives. */
        bool ok =
            error_of(b, values[i], y[i], want) <= 1 || error_of(b, values[i], y[i], c[i]) <= 1;
        CHECK(ok, "%s(%.9g) is %.9g, not %.9g", unary_name(op), values[i], y[i], want);
        if (want == 0 && x == 0)
            CHECK(signbit(y[i]) == signbit(c[i]), "%s(%g): sign", unary_name(op), x);
    }
}

/* Every length up to 70 and some starts, guarded; the same as from one long call; in place. */
static void test_tails(enum unary_op op)
{
    unary_f32_fn *fn = unary_f32_pick(op);
    const float *param = unary_params(op) ? bounds[op].param : NULL;
    float whole[80], all[80];

    check_random_fill(whole, 80, -4, 4);
    whole[17] = 1e9f;
    whole[31] = NAN;
    fn(whole, all, 80, param);
    for (size_t n = 0; n <= 70; n++) {
        const size_t from = check_random_below(10);
        for (int slack = CHECK_BEGIN; slack <= 4; slack += 5 - 4 * (slack >= 0)) {
            float *x = check_guard_alloc(n * sizeof(float), slack);
            float *y = check_guard_alloc(n * sizeof(float), slack);
            memcpy(x, whole + from, n * sizeof(float));
            fn(x, y, n, param);
            check_same(y, all + from, n * sizeof(float), unary_name(op));
            fn(x, x, n, param);
            check_same(x, all + from, n * sizeof(float), "in place");
            check_guard_free(x);
            check_guard_free(y);
        }
    }
}

struct run {
    enum unary_op op;
    float *x, *y;
    size_t n;
};

static void run(void *arg)
{
    const struct run *r = arg;
    unary_f32_pick(r->op)(r->x, r->y, r->n, bounds[r->op].param);
}

static void bench(enum unary_op op)
{
    static float x[1 << 14], y[1 << 14];
    struct run r = {op, x, y, 1 << 14};

    if (!check_bench(unary_name(op)))
        return;
    check_random_fill(x, r.n, op == UNARY_LOG ? 0.01f : -5, 5);
    check_report(unary_name(op), check_time(run, &r), 0, 8.0 * (double)r.n, 0);
}

int main(int argc, char **argv)
{
    check_init("unary", argc, argv);
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        for (enum unary_op op = 0; op < UNARY_COUNT; op++) {
            test_accuracy(op);
            test_special(op);
            test_tails(op);
            bench(op);
        }
    }
    return check_done();
}
