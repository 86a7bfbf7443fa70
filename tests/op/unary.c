/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of one variable, Clip, Not, IsNaN, IsInf, Identity: an element by itself. */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* kernels/unary.h states 2 to 4 ulp of the f32 functions, an ulp being up to 2 eps; the gated ones
 * have 1e-7 * |x| on top, which atol of their rows allows for |x| < 9. */
#define TOL 8
#define GATED 16, .atol = 1e-6
#define FLOATS "f32 f64 f16 bf16"
#define NUMBERS FLOATS " i8 i16 i32 i64 u8 u16 u32 u64"

static double value_of(const struct op_run *r, double x)
{
    const char *name = r->row->name;
    double alpha = op_float(r, "alpha", 1), sigmoid = 1 / (1 + exp(-x));
#define IS(word) (strcmp(name, word) == 0)
    if (IS("Abs"))
        return fabs(x);
    if (IS("Neg"))
        return -x;
    if (IS("Sign"))
        return isnan(x) ? x : (x > 0) - (x < 0);
    if (IS("Floor"))
        return floor(x);
    if (IS("Ceil"))
        return ceil(x);
    if (IS("Round"))
        return nearbyint(x);
    if (IS("Sqrt"))
        return sqrt(x);
    if (IS("Reciprocal"))
        return 1 / x;
    if (IS("Exp"))
        return exp(x);
    if (IS("Log"))
        return log(x);
    if (IS("Erf"))
        return erf(x);
    if (IS("Sin") || IS("Cos") || IS("Tan"))
        return IS("Sin") ? sin(x) : IS("Cos") ? cos(x) : tan(x);
    if (IS("Asin") || IS("Acos") || IS("Atan"))
        return IS("Asin") ? asin(x) : IS("Acos") ? acos(x) : atan(x);
    if (IS("Sinh") || IS("Cosh") || IS("Tanh"))
        return IS("Sinh") ? sinh(x) : IS("Cosh") ? cosh(x) : tanh(x);
    if (IS("Asinh") || IS("Acosh") || IS("Atanh"))
        return IS("Asinh") ? asinh(x) : IS("Acosh") ? acosh(x) : atanh(x);
    if (IS("Sigmoid"))
        return sigmoid;
    if (IS("Relu"))
        return x < 0 ? 0 : x;
    if (IS("LeakyRelu"))
        return x < 0 ? op_float(r, "alpha", 0.01f) * x : x;
    if (IS("Elu"))
        return x < 0 ? alpha * expm1(x) : x;
    if (IS("Selu"))
        return 1.05070102214813232421875 * (x < 0 ? 1.67326319217681884765625 * expm1(x) : x);
    if (IS("Celu"))
        return fmax(0, x) + fmin(0, alpha * expm1(x / alpha));
    if (IS("Softplus"))
        return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    if (IS("Softsign"))
        return x / (1 + fabs(x));
    if (IS("HardSigmoid"))
        return fmax(0, fmin(1, op_float(r, "alpha", 0.2f) * x + op_float(r, "beta", 0.5)));
    if (IS("HardSwish"))
        return x * fmax(0, fmin(1, x / 6 + 0.5));
    if (IS("Mish"))
        return x * tanh(log1p(exp(x)));
    if (IS("ThresholdedRelu"))
        return x > alpha ? x : 0;
    if (IS("Shrink")) {
        double lambd = op_float(r, "lambd", 0.5), bias = op_float(r, "bias", 0);
        return x < -lambd ? x + bias : x > lambd ? x - bias : 0;
    }
    if (IS("Swish"))
        return x / (1 + exp(-alpha * x));
    if (IS("Gelu"))
        return op_is(r, "approximate", "tanh")
                   ? 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)))
                   : 0.5 * x * (1 + erf(x / sqrt(2)));
    if (IS("IsNaN"))
        return isnan(x);
    if (IS("IsInf"))
        return (x == INFINITY && op_int(r, "detect_positive", 1)) ||
               (x == -INFINITY && op_int(r, "detect_negative", 1));
    return IS("Not") ? x == 0 : x;
#undef IS
}

static void unary(struct op_run *r)
{
    bool test = strncmp(r->row->name, "Is", 2) == 0;
    struct op_tensor *y = op_out(r, 0, test ? DTYPE_BOOL : r->in[0].dtype, r->in[0].rank,
                                 r->in[0].dims);
    for (int64_t i = 0; i < y->n; i++)
        y->v[i] = value_of(r, r->in[0].v[i]);
}

#define EXACT(op, types_, in_) {.name = op, .in = in_, .types = types_, .ref = unary}
#define NEAR(op, in_) {.name = op, .in = in_, .types = FLOATS, .ref = unary, .tol = TOL}
#define WITH(op, attrs_, in_) \
    {.name = op, .attrs = attrs_, .in = in_, .types = FLOATS, .ref = unary, .tol = TOL}
#define EDGES "T[9]=0,-0,inf,-inf,nan,1,-1,0.5,-2"

static const struct op_case rows[] = {
    EXACT("Abs", NUMBERS, "T[B,5,7]"), EXACT("Neg", FLOATS " i8 i16 i32 i64", "T[B,5,7]"),
    EXACT("Sign", NUMBERS, "T[B,35]"), EXACT("Sign", FLOATS, EDGES),
    EXACT("Floor", FLOATS, "T[B,37]:-9:9"), EXACT("Ceil", FLOATS, "T[B,37]:-9:9"),
    EXACT("Round", FLOATS, "T[9]=0.5,1.5,2.5,-0.5,-1.5,-2.5,0.4999,7,inf"),
    EXACT("Relu", NUMBERS, "T[B,5,7]"), EXACT("Relu", FLOATS, EDGES),
    EXACT("Identity", NUMBERS " bool", "T[B,5,7]"), EXACT("Identity", "f32", "f32[]"),
    EXACT("Not", "bool", "bool[B,33]"), EXACT("IsNaN", FLOATS, EDGES),
    EXACT("IsInf", "f32 f64 f16", EDGES),
    {.name = "IsInf", .attrs = "detect_negative=0", .in = EDGES, .ref = unary},
    {.name = "IsInf", .attrs = "detect_positive=0", .in = EDGES, .types = "f64", .ref = unary},
    EXACT("ThresholdedRelu", FLOATS, "T[B,35]:-3:3"),
    NEAR("Sqrt", "T[B,37]:0:9"), NEAR("Reciprocal", "T[B,37]:0.1:9"),
    NEAR("Sqrt", "f32[4]=0,-1,inf,nan"),
    NEAR("Exp", "T[B,37]:-9:9"), NEAR("Exp", "f32[6]=-inf,inf,nan,100,-200,0"),
    NEAR("Log", "T[B,37]:0.01:9"),
    NEAR("Log", "f32[6]=0,-1,inf,nan,1,1e-40"), NEAR("Erf", "T[B,37]:-4:4"),
    NEAR("Sin", "T[B,37]:-9:9"),
    NEAR("Cos", "T[B,37]:-9:9"), NEAR("Tan", "T[B,37]:-1.5:1.5"), NEAR("Asin", "T[B,37]"),
    NEAR("Acos", "T[B,37]"),
    NEAR("Atan", "T[B,37]:-9:9"), NEAR("Sinh", "T[B,37]:-9:9"), NEAR("Cosh", "T[B,37]:-9:9"),
    NEAR("Tanh", "T[B,37]:-9:9"), NEAR("Tanh", EDGES), NEAR("Asinh", "T[B,37]:-9:9"),
    NEAR("Acosh", "T[B,37]:1.5:9"), NEAR("Atanh", "T[B,37]:-0.9:0.9"),
    NEAR("Sigmoid", "T[B,37]:-20:20"),
    NEAR("Sigmoid", "T[5]=inf,-inf,nan,-200,200"), NEAR("Elu", "T[B,37]:-9:9"),
    NEAR("Selu", "T[B,37]:-9:9"),
    NEAR("Celu", "T[B,37]:-9:9"), NEAR("Softplus", "T[B,37]:-20:20"),
    NEAR("Softsign", "T[B,37]:-9:9"),
    NEAR("LeakyRelu", "T[B,37]:-9:9"),
    WITH("LeakyRelu", "alpha=0.3", "T[B,37]"), WITH("Elu", "alpha=2", "T[B,37]"),
    WITH("Celu", "alpha=2", "T[B,37]:-9:9"), WITH("ThresholdedRelu", "alpha=-0.5", "T[B,35]"),
    WITH("Shrink", "lambd=0.3 bias=0.1", "T[B,35]"),
    /* A difference from a bound that is computed, of numbers of size 1. */
    {.name = "HardSigmoid", .in = "T[B,37]:-4:4", .types = FLOATS, .ref = unary, .tol = TOL,
     .atol = 3e-7},
    {.name = "HardSigmoid", .attrs = "alpha=0.5 beta=0.25", .in = "T[B,37]:-4:4", .types = FLOATS,
     .ref = unary,
     .tol = TOL, .atol = 3e-7},
    {.name = "HardSwish", .in = "T[B,37]:-5:5", .types = FLOATS, .ref = unary, .tol = TOL,
     .atol = 1e-6},
    {.name = "HardSwish", .in = "f32[B,300,100]:-5:5", .ref = unary, .tol = TOL, .atol = 1e-6},
    {.name = "Mish", .in = "T[B,37]:-9:9", .types = FLOATS, .ref = unary, .tol = GATED},
    {.name = "Swish", .in = "T[B,37]:-9:9", .types = FLOATS, .ref = unary, .tol = GATED},
    {.name = "Swish", .attrs = "alpha=1.7", .in = "T[B,37]:-9:9", .types = FLOATS, .ref = unary,
     .tol = GATED},
    {.name = "Gelu", .in = "T[B,37]:-9:9", .types = FLOATS, .ref = unary, .tol = GATED},
    {.name = "Gelu", .attrs = "approximate=tanh", .in = "T[B,37]:-9:9", .types = FLOATS,
     .ref = unary,
     .tol = GATED},
    {.name = "Gelu", .in = "f32[B,100,300]:-5:5", .ref = unary, .tol = GATED},
};

static void clip(struct op_run *r)
{
    struct op_tensor *y = op_out_like(r, 0, 0);
    for (int64_t i = 0; i < y->n; i++) {
        double v = r->in[0].v[i];
        if (op_has(r, 1) && v < r->in[1].v[0])
            v = r->in[1].v[0];
        if (op_has(r, 2) && v > r->in[2].v[0])
            v = r->in[2].v[0];
        y->v[i] = v;
    }
}

static const struct op_case clip_rows[] = {
    {.name = "Clip", .in = "T[B,37] T[]=2 T[]=4", .types = NUMBERS, .ref = clip},
    {.name = "Clip", .in = "T[B,37]:-3:3 T[]=-1", .types = FLOATS " i8 i64", .ref = clip},
    {.name = "Clip", .in = "T[B,37] - T[]=1", .types = NUMBERS, .ref = clip},
    {.name = "Clip", .in = "f32[B,5] f32[]=2 f32[]=-2", .ref = clip},
    {.name = "Clip", .in = "f32[4]=nan,inf,-inf,0 f32[]=-2 f32[]=2", .ref = clip},
    {.name = "Clip", .in = "f32[B,37]", .ref = clip},
};

OP_MAIN("op unary", OP_TABLE(rows), OP_TABLE(clip_rows))
