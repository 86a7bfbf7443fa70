/* SPDX-License-Identifier: Apache-2.0 */
/* Elementary functions of a vector of floats, on the names of vec_avx2.h, vec_avx512.h or
 * vec_neon.h, one of which is included before. Bounds are in kernels/unary.h. The polynomials are
 * weighted minimax fits by iteratively reweighted least squares, their coefficients rounded to f32
 * one after the other, with a refit of the rest after each; the stated errors are those of the
 * polynomial in exact arithmetic.
 */
#pragma once

#include <math.h>

/* exp(x) - 1 = 2^n * (q + 1) - 1 with |x - n log 2| <= log(2) / 2; returns q = exp(r) - 1, relative
 * error of the fit 1.4e-8. log 2 in two parts, the first short enough for exact products with n. */
INLINE vf vf_exp_reduce(vf x, vf n)
{
    const vf r = vf_fnma(n, vf_set(1.42860677e-6f), vf_fnma(n, vf_set(0.693145752f), x));
    vf p = vf_set(0x1.6d6458p-10f);
    p = vf_fma(p, r, vf_set(0x1.1227c2p-7f));
    p = vf_fma(p, r, vf_set(0x1.5554d4p-5f));
    p = vf_fma(p, r, vf_set(0x1.5554bp-3f));
    p = vf_fma(p, r, vf_set(0.5f));
    return vf_fma(p, r * r, r);
}

/* For -104 <= x <= 89, and NaN. */
INLINE vf vf_exp_inside(vf x)
{
    const vf n = vf_round(x * vf_set(1.44269504f));
    return vf_scale(vf_exp_reduce(x, n) + vf_set(1), n);
}

INLINE vf vf_exp(vf x)
{
    /* Beyond these bounds the result is 0 or infinity, as it is at them. */
    return vf_exp_inside(vf_max(vf_set(-104), vf_min(vf_set(89), x)));
}

/* n stops at 127, so that 2^n stays finite; the reduced argument may then reach 1. */
INLINE vf vf_expm1(vf x)
{
    const vf inside = vf_max(vf_set(-30), vf_min(vf_set(89), x));
    const vf n = vf_min(vf_set(127), vf_round(inside * vf_set(1.44269504f)));
    const vf scale = vf_scale(vf_set(1), n);
    return vf_fma(vf_exp_reduce(inside, n), scale, scale - vf_set(1));
}

/* log(2^e * m) with m in [sqrt(1/2), sqrt(2)): e log 2 + f - f^2/2 + f^3 P(f), f = m - 1; error of
 * the fit relative to f: 6e-9. */
INLINE vf vf_log(vf x)
{
    const vm tiny = vf_lt(x, vf_set(0x1p-126f));
    const vi sqrt_half = vi_set(0x3f3504f3);
    const vi bits = vf_bits(vf_select(tiny, x * vf_set(0x1p24f), x));
    const vi exponent = vi_sra(vi_sub(bits, sqrt_half), 23);
    const vf f = vi_bits(vi_sub(bits, vi_shl(exponent, 23))) - vf_set(1);
    const vf e = vi_to_vf(exponent) - vf_keep(tiny, vf_set(24));
    const vf f2 = f * f;
    vf p = vf_set(-0x1.42141ap-4f);
    p = vf_fma(p, f, vf_set(0x1.07de78p-3f));
    p = vf_fma(p, f, vf_set(-0x1.0cdf32p-3f));
    p = vf_fma(p, f, vf_set(0x1.226c36p-3f));
    p = vf_fma(p, f, vf_set(-0x1.547884p-3f));
    p = vf_fma(p, f, vf_set(0x1.99a5bp-3f));
    p = vf_fma(p, f, vf_set(-0x1.000222p-2f));
    p = vf_fma(p, f, vf_set(0x1.55554ap-2f));
    p = vf_fma(e, vf_set(-2.12194440e-4f), f * f2 * p);
    p = f + vf_fma(f2, vf_set(-0.5f), p);
    p = vf_fma(e, vf_set(0.693359375f), p);
    /* Zero, infinity and NaN, negative numbers. */
    p = vf_select(vf_eq(x, vf_set(0)), vf_set(-INFINITY), p);
    p = vf_select(vf_lt(x, vf_set(INFINITY)), p, x);
    return vf_select(vf_lt(x, vf_set(0)), vf_set(NAN), p);
}

/* log(1 + t) = 2 s (1 + s^2 P(s^2)), s = t / (2 + t), for 0 <= t <= 1; error of the fit 2e-10. */
INLINE vf vf_log1p_inside(vf t)
{
    const vf s = t / (t + vf_set(2)), z = s * s;
    vf p = vf_set(0x1.f08af8p-4f);
    p = vf_fma(p, z, vf_set(0x1.b72bb8p-4f));
    p = vf_fma(p, z, vf_set(0x1.250510p-3f));
    p = vf_fma(p, z, vf_set(0x1.9996d8p-3f));
    p = vf_fma(p, z, vf_set(0x1.555558p-2f));
    return vf_fma(s + s, z * p, s + s);
}

/* Below 1: x + x P(x^2), error of the fit 1.3e-9; from 1 on: 1 - exp(P(|x|)), P being fitted to
 * log(erfc), error 1.6e-9 in erf; from 4 on it rounds to 1. */
INLINE vf vf_erf(vf x)
{
    const vf a = vf_abs(x), z = x * x, b = vf_min(vf_set(4), a);
    vf p = vf_set(0x1.4c344ep-14f), q = vf_set(0x1.9d8530p-13f);
    p = vf_fma(p, z, vf_set(-0x1.a50b0ep-11f));
    q = vf_fma(q, b, vf_set(-0x1.908134p-9f));
    p = vf_fma(p, z, vf_set(0x1.542e10p-8f));
    q = vf_fma(q, b, vf_set(0x1.6cfce4p-6f));
    p = vf_fma(p, z, vf_set(-0x1.b7fe90p-6f));
    q = vf_fma(q, b, vf_set(-0x1.aa2316p-4f));
    p = vf_fma(p, z, vf_set(0x1.ce2d50p-4f));
    q = vf_fma(q, b, vf_set(-0x1.462cb2p-1f));
    p = vf_fma(p, z, vf_set(-0x1.812740p-2f));
    q = vf_fma(q, b, vf_set(-0x1.20b432p+0f));
    p = vf_fma(p, z, vf_set(0x1.06eba8p-3f));
    q = vf_fma(q, b, vf_set(-0x1.743c2cp-13f));
    q = vf_sign(vf_set(1) - vf_exp_inside(q), x);
    return vf_select(vf_lt(a, vf_set(1)), vf_fma(x, p, x), q);
}

/* -t / (t + 2) with t = exp(-2 |x|) - 1. */
INLINE vf vf_tanh(vf x)
{
    const vf t = vf_expm1(vf_abs(x) * vf_set(-2));
    return vf_sign(t / (t + vf_set(2)), x);
}

/* With e = exp(-|x|): 1 / (1 + e) on the right, e / (1 + e) on the left, which does not overflow.
 * */
INLINE vf vf_sigmoid(vf x)
{
    const vf e = vf_exp(vf_neg(vf_abs(x)));
    return vf_select(vf_lt(x, vf_set(0)), e, vf_set(1)) / (e + vf_set(1));
}

/* sin(x + quarter * pi / 2) for |x| <= 1e5. The first product is exact with a fused multiply-add,
 * as the difference is a multiple of 2^-23 below 1; pi / 2 has 72 bits. */
INLINE vf vf_sin_inside(vf x, int quarter)
{
    const vf n = vf_round(x * vf_set(0.636619772f));
    vf r = vf_fnma(n, vf_set(0x1.921fb6p+0f), x);
    r = vf_fnma(n, vf_set(-0x1.777a5cp-25f), r);
    r = vf_fnma(n, vf_set(-0x1.ee59dap-50f), r);
    const vi q = vi_add(vf_to_vi(n), vi_set(quarter));
    const vf z = r * r;
    vf s = vf_set(0x1.7bf19cp-19f), c = vf_set(0x1.99def4p-16f);
    s = vf_fma(s, z, vf_set(-0x1.a058e4p-13f));
    c = vf_fma(c, z, vf_set(-0x1.6c0c16p-10f));
    s = vf_fma(s, z, vf_set(0x1.111174p-7f));
    c = vf_fma(c, z, vf_set(0x1.55554ap-5f));
    s = vf_fma(s, z, vf_set(-0x1.555556p-3f));
    c = vf_fma(c, z, vf_set(-0.5f));
    s = vf_fma(s * z, r, r);
    c = vf_fma(c, z, vf_set(1));
    const vf y = vf_select(vi_eq(vi_and(q, vi_set(1)), vi_set(0)), s, c);
    return vf_xor(y, vi_bits(vi_shl(vi_and(q, vi_set(2)), 30)));
}

static __attribute__((noinline, unused)) vf vf_sin_far(vf x, vf near, int quarter)
{
    float from[LANES], to[LANES];
    vf_store(from, x);
    vf_store(to, near);
    for (int i = 0; i < LANES; i++)
        if (fabsf(from[i]) > 1e5f)
            to[i] = quarter ? cosf(from[i]) : sinf(from[i]);
    return vf_load(to);
}

/* Far arguments, whose reduction takes more of pi, go to libm one by one. -0 stays -0. */
INLINE vf vf_sin(vf x)
{
    const vf y = vf_select(vf_eq(x, vf_set(0)), x, vf_sin_inside(x, 0));
    return vm_bits(vf_gt(vf_abs(x), vf_set(1e5f))) ? vf_sin_far(x, y, 0) : y;
}

INLINE vf vf_cos(vf x)
{
    const vf y = vf_sin_inside(x, 1);
    return vm_bits(vf_gt(vf_abs(x), vf_set(1e5f))) ? vf_sin_far(x, y, 1) : y;
}
