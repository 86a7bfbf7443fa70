/* SPDX-License-Identifier: Apache-2.0 */
/* The plain C functions, included once for each type: T is the element, M(f) libm's function f for
 * it, NAME(f) the name of ours. Formulas are those of unary.h, arranged so that nothing overflows
 * early. */

#define ROW(name) static void NAME(name)(const T *x, T *y, size_t n, const T *param)
#define EACH for (size_t i = 0; i < n; i++)

ROW(abs) { EACH y[i] = M(fabs)(x[i]); }
ROW(neg) { EACH y[i] = -x[i]; }
ROW(sign) { EACH y[i] = x[i] != x[i] ? x[i] : (T)((x[i] > 0) - (x[i] < 0)); }
ROW(floor) { EACH y[i] = M(floor)(x[i]); }
ROW(ceil) { EACH y[i] = M(ceil)(x[i]); }
ROW(round) { EACH y[i] = M(rint)(x[i]); }
ROW(sqrt) { EACH y[i] = M(sqrt)(x[i]); }
ROW(reciprocal) { EACH y[i] = 1 / x[i]; }
ROW(exp) { EACH y[i] = M(exp)(x[i]); }
ROW(log) { EACH y[i] = M(log)(x[i]); }
ROW(erf) { EACH y[i] = M(erf)(x[i]); }
ROW(tanh) { EACH y[i] = M(tanh)(x[i]); }
ROW(sin) { EACH y[i] = M(sin)(x[i]); }
ROW(cos) { EACH y[i] = M(cos)(x[i]); }
ROW(tan) { EACH y[i] = M(tan)(x[i]); }
ROW(asin) { EACH y[i] = M(asin)(x[i]); }
ROW(acos) { EACH y[i] = M(acos)(x[i]); }
ROW(atan) { EACH y[i] = M(atan)(x[i]); }
ROW(sinh) { EACH y[i] = M(sinh)(x[i]); }
ROW(cosh) { EACH y[i] = M(cosh)(x[i]); }
ROW(asinh) { EACH y[i] = M(asinh)(x[i]); }
ROW(acosh) { EACH y[i] = M(acosh)(x[i]); }
ROW(atanh) { EACH y[i] = M(atanh)(x[i]); }
ROW(relu) { EACH y[i] = x[i] < 0 ? 0 : x[i]; }
ROW(leaky_relu) { EACH y[i] = x[i] < 0 ? param[0] * x[i] : x[i]; }
ROW(thresholded_relu) { EACH y[i] = x[i] > param[0] ? x[i] : 0; }
ROW(elu) { EACH y[i] = x[i] < 0 ? param[0] * M(expm1)(x[i]) : x[i]; }
ROW(celu) { EACH y[i] = x[i] < 0 ? param[0] * M(expm1)(x[i] / param[0]) : x[i]; }
ROW(softsign) { EACH y[i] = x[i] / (1 + M(fabs)(x[i])); }
ROW(softplus) { EACH y[i] = (x[i] < 0 ? 0 : x[i]) + M(log1p)(M(exp)(-M(fabs)(x[i]))); }

ROW(selu)
{
    const T left = param[1] * param[0];
    EACH y[i] = x[i] < 0 ? left * M(expm1)(x[i]) : param[1] * x[i];
}

ROW(sigmoid)
{
    EACH {
        const T e = M(exp)(-M(fabs)(x[i]));
        y[i] = (x[i] < 0 ? e : 1) / (1 + e);
    }
}

ROW(hard_sigmoid)
{
    EACH {
        const T u = param[0] * x[i] + param[1];
        y[i] = u < 0 ? 0 : u > 1 ? 1 : u;
    }
}

ROW(hard_swish)
{
    EACH {
        const T u = x[i] * (1 / (T)6) + (T)0.5;
        y[i] = x[i] * (u < 0 ? 0 : u > 1 ? 1 : u);
    }
}

/* tanh(log(1 + e)) = (e^2 + 2e) / (e^2 + 2e + 2), which is 1 from e = exp(20) on. */
ROW(mish)
{
    EACH {
        const T e = M(exp)(x[i] > 20 ? 20 : x[i]), u = e * (e + 2);
        y[i] = x[i] * (u / (u + 2));
    }
}

ROW(gelu) { EACH y[i] = (T)0.5 * x[i] * (1 + M(erf)(x[i] * (T)0.70710678118654752440)); }

ROW(gelu_tanh)
{
    EACH {
        const T u = x[i] * (1 + (T)0.044715 * x[i] * x[i]);
        y[i] = (T)0.5 * x[i] * (1 + M(tanh)(u * (T)0.79788456080286535588));
    }
}

ROW(silu) { EACH y[i] = x[i] / (1 + M(exp)(-x[i])); }
ROW(swish) { EACH y[i] = x[i] / (1 + M(exp)(-param[0] * x[i])); }

ROW(clip)
{
    EACH {
        const T u = x[i] < param[0] ? param[0] : x[i];
        y[i] = u > param[1] ? param[1] : u;
    }
}

ROW(shrink)
{
    EACH y[i] = x[i] < -param[0] ? x[i] + param[1] : x[i] > param[0] ? x[i] - param[1] : 0;
}

#undef ROW
#undef EACH
