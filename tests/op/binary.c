/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of two and more: arithmetic with broadcasting over dtypes, comparisons, bits, Where,
 * and the variadic ones.
 */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* One rounding, and one more that f32 or its kernels may do; powers are libm's or exp of log. */
#define TOL 2
#define POWER 16
#define FLOATS "f32 f64 f16 bf16"
#define INTS "i8 i16 i32 i64 u8 u16 u32 u64"
#define NUMBERS FLOATS " " INTS

/* An integer result in its dtype: modulo 2^bits. */
static double wrap(enum dtype t, double v)
{
    if (!dtype_is_int(t) || t == DTYPE_I64 || (t == DTYPE_U64 && v >= 0))
        return v;
    double range = ldexp(1, 8 * (int)dtype_size(t));
    v -= floor(v / range) * range;
    return dtype_kind(t) == 'I' && v >= range / 2 ? v - range : v;
}

static double modulo(const struct op_run *r, double a, double b)
{
    double c = fmod(a, b);
    return !op_int(r, "fmod", 0) && c != 0 && (c < 0) != (b < 0) ? c + b : c;
}

static double pair(const struct op_run *r, double a, double b)
{
    const char *name = r->row->name;
    int64_t i = (int64_t)a, k = (int64_t)b;
#define IS(word) (strcmp(name, word) == 0)
    if (IS("Add") || IS("Sum") || IS("Mean"))
        return a + b;
    if (IS("Sub"))
        return a - b;
    if (IS("Mul"))
        return a * b;
    if (IS("Div"))
        return dtype_is_float(r->in[0].dtype) ? a / b : trunc(a / b);
    if (IS("Pow"))
        return pow(a, b);
    if (IS("Mod"))
        return modulo(r, a, b);
    if (IS("PRelu"))
        return a < 0 ? a * b : a;
    if (IS("Max"))
        return isnan(a) || isnan(b) ? NAN : fmax(a, b);
    if (IS("Min"))
        return isnan(a) || isnan(b) ? NAN : fmin(a, b);
    if (IS("Equal"))
        return a == b;
    if (IS("Less"))
        return a < b;
    if (IS("LessOrEqual"))
        return a <= b;
    if (IS("Greater"))
        return a > b;
    if (IS("GreaterOrEqual"))
        return a >= b;
    if (IS("And") || IS("BitwiseAnd"))
        return (double)(i & k);
    if (IS("Or") || IS("BitwiseOr"))
        return (double)(i | k);
    if (IS("Xor") || IS("BitwiseXor"))
        return (double)(i ^ k);
    return op_is(r, "direction", "LEFT") ? a * ldexp(1, (int)k) : floor(a / ldexp(1, (int)k));
#undef IS
}

static bool compares(const char *name)
{
    return strcmp(name, "Equal") == 0 || strncmp(name, "Less", 4) == 0 || strncmp(name, "Greater",
                                                                                  7) == 0;
}

static void binary(struct op_run *r)
{
    int64_t dims[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX];
    int rank = op_broadcast(r, 0, r->n_in, dims);
    enum dtype t = compares(r->row->name) ? DTYPE_BOOL : r->in[0].dtype;
    struct op_tensor *y = op_out(r, 0, t, rank, dims);
    double *scale = op_scale(y);
    for (int64_t i = 0; i < y->n; i++) {
        op_unravel(i, dims, rank, index);
        y->v[i] = r->in[0].v[op_place(&r->in[0], index, rank)];
        scale[i] = fabs(y->v[i]);
        for (int k = 1; k < r->n_in; k++) {
            double b = r->in[k].v[op_place(&r->in[k], index, rank)];
            y->v[i] = wrap(t, pair(r, y->v[i], b));
            scale[i] = fmax(scale[i] + fabs(b), fabs(y->v[i]));
        }
        if (strcmp(r->row->name, "Mean") == 0)
            y->v[i] /= r->n_in;
        if (r->n_in < 3 && t != DTYPE_BOOL)
            scale[i] = fabs(y->v[i]);
    }
}

#define SHAPES(op, types_, range)                                                            \
    ONE(op, types_, "T[B,5,7]" range " T[B,5,7]" range),                                     \
    ONE(op, types_, "T[B,37]" range " T[37]" range),                                         \
    ONE(op, types_, "T[B,37]" range " T[]" range),                                           \
    ONE(op, types_, "T[]" range " T[B,37]" range),                                           \
    ONE(op, types_, "T[B,1,7]" range " T[4,1]" range),                                       \
    ONE(op, types_, "T[B,4,1]" range " T[1,1,9]" range)
#define ONE(op, types_, in_) {.name = op, .in = in_, .types = types_, .ref = binary, .tol = TOL}

static const struct op_case rows[] = {
    SHAPES("Add", NUMBERS, ""), SHAPES("Sub", NUMBERS, ""), SHAPES("Mul", NUMBERS, ""),
    SHAPES("Div", NUMBERS, ":1:9"), SHAPES("Mod", INTS, ":1:9"),
    /* The slope broadcasts to x, not x to the slope. */
    ONE("PRelu", FLOATS " i32 i64 u32 u64", "T[B,5,7] T[B,5,7]"),
    ONE("PRelu", FLOATS " i32 i64 u32 u64", "T[B,5,7,3] T[5,1,1]"),
    ONE("PRelu", FLOATS, "T[B,37] T[]"),
    SHAPES("Equal", NUMBERS " bool", ""),
    SHAPES("Less", NUMBERS, ""), SHAPES("Greater", NUMBERS, ""), SHAPES("LessOrEqual", NUMBERS, ""),
    SHAPES("GreaterOrEqual", NUMBERS, ""), SHAPES("And", "bool", ""), SHAPES("Or", "bool", ""),
    SHAPES("Xor", "bool", ""), SHAPES("BitwiseAnd", INTS, ""), SHAPES("BitwiseOr", INTS, ""),
    SHAPES("BitwiseXor", INTS, ""), SHAPES("Max", NUMBERS, ""), SHAPES("Min", NUMBERS, ""),
    ONE("Add", "f32", "f32[B,16,20,20] f32[16,1,1]"),
    ONE("Mul", "f32", "f32[B,16,20,20] f32[B,16,1,1]"),
    ONE("Add", "f32", "f32[B,300,100] f32[B,300,100]"),
    ONE("Sub", "f32", "f32[B,4,1,6,1] f32[4,5,1,7]"),
    ONE("Add", "f32", "f32[B,0,4] f32[4]"), ONE("Mul", "f32", "f32[3,1] f32[1,0]"),
    ONE("Add", "f32", "f32[] f32[]"),
    ONE("Div", "i8 i32 i64", "T[6]=7,-7,7,-7,6,-6 T[6]=2,2,-2,-2,-4,-4"),
    ONE("Mod", INTS, "T[B,5]:0:90 T[5]:1:9"),
    ONE("Mod", "i8 i16 i32 i64", "T[6]=7,-7,7,-7,6,0 T[6]=3,3,-3,-3,-3,-3"),
    {.name = "Mod", .attrs = "fmod=1", .in = "T[6]=7,-7,7,-7,6,0 T[6]=3,3,-3,-3,-3,-3",
     .types = "i8 i32 i64 f32 f64 f16", .ref = binary},
    {.name = "Mod", .attrs = "fmod=1", .in = "f32[B,9]:-9:9 f32[9]:1:3", .ref = binary, .tol = TOL},
    ONE("Equal", FLOATS, "T[5]=nan,inf,-inf,0,1 T[5]=nan,inf,inf,-0,1"),
    ONE("Less", FLOATS, "T[5]=nan,inf,-inf,0,1 T[5]=1,inf,inf,-0,nan"),
    ONE("Max", FLOATS, "T[4]=nan,inf,1,0 T[4]=1,2,nan,3"),
    ONE("Min", FLOATS, "T[4]=nan,inf,1,0 T[4]=1,2,nan,3"),
    ONE("Add", "i8 u8", "T[4]=100,127,-128,60 T[4]=100,1,-1,-100"),
    ONE("Mul", "i16 u16", "T[4]=300,-300,255,7 T[4]=300,300,255,9"),
    {.name = "Pow", .in = "T[B,37]:0.2:3 T[37]:-2:3", .types = FLOATS, .ref = binary, .tol = POWER},
    {.name = "Pow", .in = "T[B,37]:-3:3 T[]=2", .types = FLOATS " i32 i64", .ref = binary,
     .tol = POWER},
    {.name = "Pow", .in = "f32[B,37]:0:9 f32[]=0.5", .ref = binary, .tol = POWER},
    {.name = "Pow", .in = "f32[6]=-2,-2,0,0,2,-1 f32[6]=3,2,0,2,-1,-3", .ref = binary,
     .tol = POWER},
    {.name = "Pow", .in = "f32[B,7] i64[7]:0:3", .ref = binary, .tol = POWER},
    {.name = "BitShift", .attrs = "direction=LEFT", .in = "T[B,5] T[5]:0:3",
     .types = "u8 u16 u32 u64",
     .ref = binary},
    {.name = "BitShift", .attrs = "direction=RIGHT", .in = "T[B,5]:0:200 T[5]:0:3",
     .types = "u8 u16 u32 u64",
     .ref = binary},
    ONE("Sum", FLOATS, "T[B,5,7] T[5,7] T[1,7]"), ONE("Mean", FLOATS, "T[B,5,7] T[5,7] T[]"),
    ONE("Max", NUMBERS, "T[B,5,7] T[5,1] T[7]"), ONE("Min", NUMBERS, "T[B,5,7] T[5,1] T[7]"),
    ONE("Sum", "f32", "f32[B,5]"), ONE("Max", "f32", "f32[B,1] f32[1,6] f32[B,6]"),
};

static void where(struct op_run *r)
{
    int64_t dims[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX];
    int rank = op_broadcast(r, 0, 3, dims);
    struct op_tensor *y = op_out(r, 0, r->in[1].dtype, rank, dims);
    for (int64_t i = 0; i < y->n; i++) {
        op_unravel(i, dims, rank, index);
        const struct op_tensor *x = &r->in[r->in[0].v[op_place(&r->in[0], index,
                                                               rank)] != 0 ? 1 : 2];
        y->v[i] = x->v[op_place(x, index, rank)];
    }
}

#define WHERE(types_, in_) {.name = "Where", .in = in_, .types = types_, .ref = where}

static const struct op_case where_rows[] = {
    WHERE(NUMBERS " bool", "bool[B,5,7] T[B,5,7] T[B,5,7]"),
    WHERE(NUMBERS, "bool[B,1,7] T[5,1] T[]"),
    WHERE("f32 i64", "bool[5,7] T[B,5,7] T[]"), WHERE("f32", "bool[B,1,1,9] T[B,4,9,9] T[]"),
    WHERE("f32", "bool[] T[B,9] T[9]"), WHERE("f32 u8", "bool[B,9] T[] T[1]"),
    WHERE("f32", "bool[B,300,99] T[99] T[B,300,1]"),
};

OP_MAIN("op binary", OP_TABLE(rows), OP_TABLE(where_rows))
