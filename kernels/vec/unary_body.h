/* SPDX-License-Identifier: Apache-2.0 */
/* The vector rows of kernels/unary.h, compiled once a level. Each function is an expression on a
 * vector and its parameters; vectors_map() loops over it, the tail through the same expression. */
#include "kernels/unary.h"
#include "kernels/vec/math.h"

typedef vf map_fn(vf x, vf p0, vf p1);

INLINE vf one_abs(vf x, vf p0, vf p1) { return vf_abs(x); }
INLINE vf one_neg(vf x, vf p0, vf p1) { return vf_neg(x); }
INLINE vf one_floor(vf x, vf p0, vf p1) { return vf_floor(x); }
INLINE vf one_ceil(vf x, vf p0, vf p1) { return vf_ceil(x); }
INLINE vf one_round(vf x, vf p0, vf p1) { return vf_round(x); }
INLINE vf one_sqrt(vf x, vf p0, vf p1) { return vf_sqrt(x); }
INLINE vf one_reciprocal(vf x, vf p0, vf p1) { return vf_set(1) / x; }
INLINE vf one_exp(vf x, vf p0, vf p1) { return vf_exp(x); }
INLINE vf one_log(vf x, vf p0, vf p1) { return vf_log(x); }
INLINE vf one_erf(vf x, vf p0, vf p1) { return vf_erf(x); }
INLINE vf one_tanh(vf x, vf p0, vf p1) { return vf_tanh(x); }
INLINE vf one_sigmoid(vf x, vf p0, vf p1) { return vf_sigmoid(x); }
INLINE vf one_sin(vf x, vf p0, vf p1) { return vf_sin(x); }
INLINE vf one_cos(vf x, vf p0, vf p1) { return vf_cos(x); }
INLINE vf one_relu(vf x, vf p0, vf p1) { return vf_max(vf_set(0), x); }
INLINE vf one_softsign(vf x, vf p0, vf p1) { return x / (vf_abs(x) + vf_set(1)); }
INLINE vf one_silu(vf x, vf p0, vf p1) { return x / (vf_exp(vf_neg(x)) + vf_set(1)); }
INLINE vf one_clip(vf x, vf p0, vf p1) { return vf_min(p1, vf_max(p0, x)); }

INLINE vf one_sign(vf x, vf p0, vf p1)
{
    const vf y = vf_or(vf_keep(vf_gt(x, vf_set(0)), vf_set(1)),
                       vf_keep(vf_lt(x, vf_set(0)), vf_set(-1)));
    return vf_select(vf_is_nan(x), x, y);
}

INLINE vf one_leaky_relu(vf x, vf p0, vf p1)
{
    return vf_select(vf_lt(x, vf_set(0)), p0 * x, x);
}

INLINE vf one_thresholded_relu(vf x, vf p0, vf p1)
{
    return vf_keep(vf_gt(x, p0), x);
}

INLINE vf one_elu(vf x, vf p0, vf p1)
{
    return vf_select(vf_lt(x, vf_set(0)), p0 * vf_expm1(x), x);
}

INLINE vf one_selu(vf x, vf p0, vf p1)
{
    return vf_select(vf_lt(x, vf_set(0)), p1 * p0 * vf_expm1(x), p1 * x);
}

INLINE vf one_celu(vf x, vf p0, vf p1)
{
    return vf_select(vf_lt(x, vf_set(0)), p0 * vf_expm1(x / p0), x);
}

INLINE vf one_softplus(vf x, vf p0, vf p1)
{
    return vf_max(vf_set(0), x) + vf_log1p_inside(vf_exp(vf_neg(vf_abs(x))));
}

INLINE vf one_hard_sigmoid(vf x, vf p0, vf p1)
{
    return vf_max(vf_set(0), vf_min(vf_set(1), p0 * x + p1));
}

INLINE vf one_hard_swish(vf x, vf p0, vf p1)
{
    return x * one_hard_sigmoid(x, vf_set(1 / 6.0f), vf_set(0.5f));
}

/* As in unary_any.h. */
INLINE vf one_mish(vf x, vf p0, vf p1)
{
    const vf e = vf_exp(vf_min(vf_set(20), x)), u = e * (e + vf_set(2));
    return x * (u / (u + vf_set(2)));
}

INLINE vf one_gelu(vf x, vf p0, vf p1)
{
    const vf half = x * vf_set(0.5f);
    return half * (vf_erf(x * vf_set(0.707106781f)) + vf_set(1));
}

INLINE vf one_gelu_tanh(vf x, vf p0, vf p1)
{
    const vf half = x * vf_set(0.5f), u = vf_fma(x * vf_set(0.044715f), x, vf_set(1)) * x;
    return half * (vf_tanh(u * vf_set(0.797884561f)) + vf_set(1));
}

INLINE vf one_swish(vf x, vf p0, vf p1)
{
    return x / (vf_exp(vf_neg(p0) * x) + vf_set(1));
}

INLINE vf one_shrink(vf x, vf p0, vf p1)
{
    return vf_select(vf_lt(x, vf_neg(p0)), x + p1, vf_keep(vf_gt(x, p0), x - p1));
}

INLINE void vectors_map(map_fn *f, const float *x, float *y, size_t n, const float *param,
                        unsigned params)
{
    const vf p0 = vf_set(params > 0 ? param[0] : 0), p1 = vf_set(params > 1 ? param[1] : 0);
    size_t i = 0;

    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        const vf a = f(vf_load(x + i), p0, p1);
        const vf b = f(vf_load(x + i + LANES), p0, p1);
        vf_store(y + i, a);
        vf_store(y + i + LANES, b);
    }
    for (; i < n; i += LANES) {
        const size_t rest = n - i < LANES ? n - i : LANES;
        vf_store_n(y + i, f(vf_load_n(x + i, rest), p0, p1), rest);
    }
}

#define ROW(name, params)                                                                  \
    static void all_##name(const float *x, float *y, size_t n, const float *param)         \
    {                                                                                      \
        vectors_map(one_##name, x, y, n, param, params);                                   \
    }
ROW(abs, 0) ROW(neg, 0) ROW(sign, 0) ROW(floor, 0) ROW(ceil, 0) ROW(round, 0) ROW(sqrt, 0)
ROW(reciprocal, 0) ROW(exp, 0) ROW(log, 0) ROW(erf, 0) ROW(tanh, 0) ROW(sigmoid, 0) ROW(sin, 0)
ROW(cos, 0) ROW(relu, 0) ROW(leaky_relu, 1) ROW(thresholded_relu, 1) ROW(elu, 1) ROW(selu, 2)
ROW(celu, 1) ROW(softplus, 0) ROW(softsign, 0) ROW(hard_sigmoid, 2) ROW(hard_swish, 0) ROW(mish, 0)
ROW(gelu, 0) ROW(gelu_tanh, 0) ROW(silu, 0) ROW(swish, 1) ROW(clip, 2) ROW(shrink, 2)
#undef ROW

#define ROW(word, name) [UNARY_##word] = all_##name
const struct unary_f32_kernel LEVEL(unary_f32) = {
    .name = LEVEL_NAME,
    .level = LEVEL_CPU,
    .fn = {
        ROW(ABS, abs), ROW(NEG, neg), ROW(SIGN, sign), ROW(FLOOR, floor), ROW(CEIL, ceil),
        ROW(ROUND, round), ROW(SQRT, sqrt), ROW(RECIPROCAL, reciprocal), ROW(EXP, exp),
        ROW(LOG, log), ROW(ERF, erf), ROW(TANH, tanh), ROW(SIGMOID, sigmoid), ROW(SIN, sin),
        ROW(COS, cos), ROW(RELU, relu), ROW(LEAKY_RELU, leaky_relu),
        ROW(THRESHOLDED_RELU, thresholded_relu), ROW(ELU, elu), ROW(SELU, selu), ROW(CELU, celu),
        ROW(SOFTPLUS, softplus), ROW(SOFTSIGN, softsign), ROW(HARD_SIGMOID, hard_sigmoid),
        ROW(HARD_SWISH, hard_swish), ROW(MISH, mish), ROW(GELU, gelu), ROW(GELU_TANH, gelu_tanh),
        ROW(SILU, silu), ROW(SWISH, swish), ROW(CLIP, clip), ROW(SHRINK, shrink),
    },
};
#undef ROW
