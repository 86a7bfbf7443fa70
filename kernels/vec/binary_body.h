/* SPDX-License-Identifier: Apache-2.0 */
/* The vector rows of kernels/binary.h, compiled once a level. Bound by memory from the second cache
 * on, so that one vector a step is enough. pow stays with libm, but for the exponents that
 * models use. */
#include <math.h>
#include <stdbool.h>

#include "kernels/binary.h"

typedef vf pair_fn(vf a, vf b);

INLINE vf pair_add(vf a, vf b) { return a + b; }
INLINE vf pair_sub(vf a, vf b) { return a - b; }
INLINE vf pair_mul(vf a, vf b) { return a * b; }
INLINE vf pair_div(vf a, vf b) { return a / b; }
INLINE vf pair_square(vf a, vf b) { return a * a; }
INLINE vf pair_cube(vf a, vf b) { return a * a * a; }
INLINE vf pair_inverse(vf a, vf b) { return vf_set(1) / a; }
INLINE vf pair_prelu(vf a, vf b) { return vf_select(vf_lt(a, vf_set(0)), a * b, a); }

/* The instruction gives its second operand where either is NaN. */
INLINE vf pair_min(vf a, vf b) { return vf_select(vf_is_nan(a), a, vf_min(a, b)); }
INLINE vf pair_max(vf a, vf b) { return vf_select(vf_is_nan(a), a, vf_max(a, b)); }

/* As pow: -0 gives 0, -infinity infinity. */
INLINE vf pair_root(vf a, vf b)
{
    return vf_select(vf_eq(a, vf_set(-INFINITY)), vf_set(INFINITY), vf_sqrt(a + vf_set(0)));
}

INLINE void pairs_map(pair_fn *f, const float *a, const float *b, const bool a_one,
                      const bool b_one, float *y, size_t n)
{
    const vf a0 = vf_set(*a), b0 = vf_set(*b);
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        vf_store(y + i, f(a_one ? a0 : vf_load(a + i), b_one ? b0 : vf_load(b + i)));
    if (i < n)
        vf_store_n(y + i,
                   f(a_one ? a0 : vf_load_n(a + i, n - i), b_one ? b0 : vf_load_n(b + i, n - i)),
                   n - i);
}

INLINE void pairs_map_any(pair_fn *f, const float *a, const float *b, unsigned scalar, float *y,
                          size_t n)
{
    if (n == 0)
        return;
    if (scalar == 0)
        pairs_map(f, a, b, false, false, y, n);
    else if (scalar == BINARY_A_SCALAR)
        pairs_map(f, a, b, true, false, y, n);
    else if (scalar == BINARY_B_SCALAR)
        pairs_map(f, a, b, false, true, y, n);
    else
        pairs_map(f, a, b, true, true, y, n);
}

#define ROW(name)                                                                             \
    static void all_##name(const void *a, const void *b, unsigned scalar, void *y, size_t n)  \
    {                                                                                         \
        pairs_map_any(pair_##name, a, b, scalar, y, n);                                       \
    }
ROW(add) ROW(sub) ROW(mul) ROW(div) ROW(min) ROW(max) ROW(prelu)
#undef ROW

static void all_pow(const void *a, const void *b, unsigned scalar, void *y, size_t n)
{
    const float power = n > 0 && (scalar & BINARY_B_SCALAR) ? *(const float *)b : 0;

    if (power == 2)
        pairs_map_any(pair_square, a, b, scalar, y, n);
    else if (power == 3)
        pairs_map_any(pair_cube, a, b, scalar, y, n);
    else if (power == -1)
        pairs_map_any(pair_inverse, a, b, scalar, y, n);
    else if (power == 0.5f)
        pairs_map_any(pair_root, a, b, scalar, y, n);
    else
        binary_f32_kernels[0]->fn[BINARY_POW](a, b, scalar, y, n);
}

const struct binary_f32_kernel LEVEL(binary_f32) = {
    .name = LEVEL_NAME,
    .level = LEVEL_CPU,
    .fn = {
        [BINARY_ADD] = all_add, [BINARY_SUB] = all_sub, [BINARY_MUL] = all_mul,
        [BINARY_DIV] = all_div, [BINARY_MIN] = all_min, [BINARY_MAX] = all_max,
        [BINARY_POW] = all_pow, [BINARY_PRELU] = all_prelu,
    },
};
