/* SPDX-License-Identifier: Apache-2.0 */
/* y[i] = f(x[i], param): functions of one variable on contiguous vectors.
 *
 * Memory. No alignment beyond that of the element; nothing outside x[0..n) and y[0..n) is touched;
 * n may be 0; y may be x itself, and overlaps it in no other way. Any thread; no state.
 *
 * Same bits. On one level y[i] depends on x[i] and param alone: neither on i, nor on n, nor on the
 * alignment. So a caller may cut a vector anywhere.
 *
 * Functions, with their parameters p0, p1 (`param` may be NULL where there are none):
 *   abs neg floor ceil sqrt exp log erf tanh sin cos tan asin acos atan sinh cosh asinh acosh atanh
 *   sign               -1, 0 (either zero gives +0) or 1
 *   round              to the nearest integer, halves to even
 *   reciprocal         1 / x
 *   sigmoid            1 / (1 + exp(-x))
 *   relu               x < 0 ? 0 : x
 *   leaky_relu         x < 0 ? p0 * x : x
 *   thresholded_relu   x > p0 ? x : 0
 *   elu                x < 0 ? p0 * (exp(x) - 1) : x
 *   selu               x < 0 ? p1 * p0 * (exp(x) - 1) : p1 * x           p0 alpha, p1 gamma
 *   celu               x < 0 ? p0 * (exp(x / p0) - 1) : x
 *   softplus           log(1 + exp(x))
 *   softsign           x / (1 + |x|)
 *   hard_sigmoid       max(0, min(1, p0 * x + p1))
 *   hard_swish         x * max(0, min(1, x / 6 + 1/2))
 *   mish               x * tanh(softplus(x))
 *   gelu               x * (1 + erf(x / sqrt(2))) / 2
 *   gelu_tanh          x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2
 *   silu, swish        x * sigmoid(x), x * sigmoid(p0 * x)
 *   clip               min(max(x, p0), p1), p1 winning where p0 > p1
 *   shrink             x < -p0 ? x + p1 : x > p0 ? x - p1 : 0            p0 lambd, p1 bias
 *
 * NaN gives NaN in every function, but for thresholded_relu and shrink, which give 0, by ONNX's
 * formulas. Infinities, zeros and their signs, subnormal arguments and results are as in C's Annex
 * F, or as the formula gives them: mish, gelu, silu and hard_swish of -infinity are 0 * -infinity,
 * a NaN.
 *
 * Accuracy of the f32 rows against the exact value, in ulp of the result (tested densely):
 *   exp 2, log 2, erf 4, tanh 4, sigmoid 4, sin and cos 2;
 *   softplus, elu, selu, celu 4 on results above 1e-30;
 *   mish, gelu, gelu_tanh, silu, swish: 8 ulp of the result or 1e-7 * |x|, whichever is larger, as
 *   they are products with a difference that tends to zero on the left.
 * The others round once or twice. Functions not in this list call libm's f32 function.
 */
#pragma once

#include <stddef.h>

#include "kernels/cpu.h"

enum unary_op {
#define UNARY(word, name, params) UNARY_##word,
#include "kernels/unary.def"
#undef UNARY
    UNARY_COUNT,
};

typedef void unary_f32_fn(const float *x, float *y, size_t n, const float *param);
typedef void unary_f64_fn(const double *x, double *y, size_t n, const double *param);

/* "abs", ...; and the number of parameters, 0 to 2. */
const char *unary_name(enum unary_op op);
unsigned unary_params(enum unary_op op);

/* A row of the table; a NULL function is taken from the row below. */
struct unary_f32_kernel {
    const char *name;
    enum cpu_level level;
    unary_f32_fn *fn[UNARY_COUNT];
};
extern const struct unary_f32_kernel *const unary_f32_kernels[];
extern const unsigned unary_f32_kernel_count;
extern const struct unary_f32_kernel unary_f32_avx2, unary_f32_avx512, unary_f32_neon;

/* The best usable function; never NULL. */
unary_f32_fn *unary_f32_pick(enum unary_op op);

/* Plain C through libm. */
unary_f64_fn *unary_f64_pick(enum unary_op op);
