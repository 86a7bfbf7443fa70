/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions, ArgMax and ArgMin, CumSum and CumProd. */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* Sums of up to some thousand terms in partial sums: few eps of the sum of magnitudes. */
#define TOL 16
#define FLOATS "f32 f64 f16 bf16"
#define NUMBERS FLOATS " i32 i64 u32 u64"

static bool kind_is(const struct op_run *r, const char *word)
{
    return strcmp(r->row->name + 6, word) == 0;
}

static double first_value(const struct op_run *r, enum dtype t)
{
    if (kind_is(r, "Prod"))
        return 1;
    if (kind_is(r, "Max"))
        return t == DTYPE_BOOL ? 0 : -INFINITY;
    return kind_is(r, "Min") ? (t == DTYPE_BOOL ? 1 : INFINITY) : 0;
}

static double join(const struct op_run *r, double sum, double x)
{
    if (kind_is(r, "Prod"))
        return sum * x;
    if (kind_is(r, "Max"))
        return fmax(sum, x);
    if (kind_is(r, "Min"))
        return fmin(sum, x);
    if (kind_is(r, "SumSquare") || kind_is(r, "L2"))
        return sum + x * x;
    if (kind_is(r, "L1"))
        return sum + fabs(x);
    return kind_is(r, "LogSumExp") ? sum + exp(x) : sum + x;
}

static double last(const struct op_run *r, double sum, double n)
{
    if (kind_is(r, "Mean"))
        return dtype_is_float(r->in[0].dtype) ? sum / n : trunc(sum / n);
    if (kind_is(r, "L2"))
        return sqrt(sum);
    return kind_is(r, "LogSum") || kind_is(r, "LogSumExp") ? log(sum) : sum;
}

static void reduce(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    bool gone[TENSOR_RANK_MAX] = {false}, any = op_has(r, 1) && r->in[1].n > 0;
    bool keep = op_int(r, "keepdims", 1), none = !any && op_int(r, "noop_with_empty_axes", 0);
    int64_t dims[TENSOR_RANK_MAX], whole[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX];
    int rank = 0;
    double n = 1;
    for (int k = 0; k < x->rank; k++)
        gone[k] = !any && !none;
    for (int64_t i = 0; any && i < r->in[1].n; i++)
        gone[op_axis((int64_t)r->in[1].v[i], x->rank)] = true;
    for (int k = 0; k < x->rank; k++) {
        whole[k] = gone[k] ? 1 : x->dims[k];
        n *= gone[k] ? (double)x->dims[k] : 1;
        if (keep || !gone[k])
            dims[rank++] = whole[k];
    }
    struct op_tensor *y = op_out(r, 0, x->dtype, rank, dims), shape = {.rank = x->rank};
    double *scale = op_scale(y);
    memcpy(shape.dims, whole, sizeof whole);
    for (int64_t i = 0; i < y->n; i++)
        y->v[i] = first_value(r, x->dtype);
    for (int64_t i = 0; i < x->n; i++) {
        op_unravel(i, x->dims, x->rank, index);
        int64_t at = op_place(&shape, index, x->rank);
        y->v[at] = join(r, y->v[at], x->v[i]);
        scale[at] += fabs(x->v[i]);
    }
    for (int64_t i = 0; i < y->n; i++) {
        double sum = y->v[i];
        y->v[i] = last(r, sum, n);
        scale[i] = kind_is(r, "Sum") ? scale[i] : kind_is(r, "Mean") ? scale[i] / n : fabs(y->v[i]);
        if (kind_is(r, "LogSum") || kind_is(r, "LogSumExp"))
            scale[i] = 1 + fabs(y->v[i]);
        if (kind_is(r, "LogSum"))
            scale[i] += 1 / fabs(sum);
    }
}

/* Where exp itself would overflow. */
static void log_sum_exp(struct op_run *r)
{
    const double *x = r->in[0].v;
    struct op_tensor *y = op_out(r, 0, DTYPE_F32, 2, (int64_t[]){2, 1});
    for (int i = 0; i < 2; i++)
        y->v[i] = fmax(x[2 * i], x[2 * i + 1]) + log1p(exp(-1));
}

#define ROW(word, types_, in_, attrs_)                                                       \
    {.name = "Reduce" word, .in = in_, .attrs = attrs_, .types = types_, .ref = reduce,      \
     .tol = TOL}
#define REDUCE(word, types_)                                                                 \
    ROW(word, types_, "T[B,5,7] i64[1]=-1", ""),                                             \
    ROW(word, types_, "T[4,B,33] i64[2]=0,2", "keepdims=0"),                                 \
    ROW(word, "f32", "f32[B,9,20] i64[1]=1", ""), ROW(word, "f32", "f32[3,4]", "keepdims=0"), \
    ROW(word, "f32", "f32[3,4,5,6] i64[2]=1,-2", "")

static const struct op_case reduce_rows[] = {
    REDUCE("Sum", NUMBERS), REDUCE("Mean", NUMBERS), REDUCE("Max", NUMBERS " i8 u8"),
    REDUCE("Min", NUMBERS " i8 u8"), REDUCE("SumSquare", NUMBERS), REDUCE("L1", NUMBERS),
    REDUCE("L2", FLOATS),
    REDUCE("LogSumExp", FLOATS),
    {.name = "ReduceProd", .in = "T[B,5,7]:1:3 i64[1]=-1", .types = FLOATS " i64 u32",
     .ref = reduce, .tol = TOL},
    {.name = "ReduceProd", .in = "f32[4,33]:0.5:1.5 i64[1]=0", .ref = reduce, .tol = 40},
    {.name = "ReduceLogSum", .in = "T[B,5,7]:0.5:3 i64[1]=1", .types = FLOATS, .ref = reduce,
     .tol = TOL},
    {.name = "ReduceSum", .in = "f32[B,4] i64[0]", .attrs = "noop_with_empty_axes=1",
     .ref = reduce},
    {.name = "ReduceSum", .in = "f32[B,0,4] i64[1]=1", .ref = reduce},
    {.name = "ReduceProd", .in = "f32[B,0] i64[1]=1", .ref = reduce},
    {.name = "ReduceSum", .in = "f32[]", .ref = reduce, .tol = TOL},
    {.name = "ReduceSum", .in = "f32[B,3000] i64[1]=1", .ref = reduce, .tol = TOL},
    {.name = "ReduceMean", .in = "f32[B,300,40]:1:2 i64[1]=1", .ref = reduce, .tol = TOL},
    {.name = "ReduceMean", .in = "f32[B,30,40,40]:1:2 i64[2]=2,3", .ref = reduce, .tol = TOL},
    {.name = "ReduceMax", .in = "bool[B,5] i64[1]=1", .ref = reduce},
    {.name = "ReduceMin", .in = "bool[B,5] i64[1]=1", .ref = reduce},
    {.name = "ReduceLogSumExp", .in = "f32[2,2]=1000,1001,-1000,-1001 i64[1]=1", .ref = log_sum_exp,
     .tol = 4},
};

static void arg(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int axis = op_axis(op_int(r, "axis", 0), x->rank), rank = 0;
    bool keep = op_int(r, "keepdims", 1), late = op_int(r, "select_last_index", 0);
    double sign = strcmp(r->row->name, "ArgMin") == 0 ? -1 : 1;
    int64_t dims[TENSOR_RANK_MAX], n = x->dims[axis], inner = op_product(x->dims, axis + 1,
                                                                         x->rank);
    for (int k = 0; k < x->rank; k++)
        if (k != axis || keep)
            dims[rank++] = k == axis ? 1 : x->dims[k];
    struct op_tensor *y = op_out(r, 0, DTYPE_I64, rank, dims);
    for (int64_t i = 0; i < y->n; i++) {
        const double *from = x->v + i / inner * n * inner + i % inner;
        int64_t at = 0;
        for (int64_t k = 1; k < n; k++) {
            double d = sign * (from[k * inner] - from[at * inner]);
            if (d > 0 || (d == 0 && late))
                at = k;
        }
        y->v[i] = (double)at;
    }
}

static const struct op_case arg_rows[] = {
    {.name = "ArgMax", .in = "T[B,9]", .attrs = "axis=1", .types = NUMBERS " i8 u8 i16 u16",
     .ref = arg},
    {.name = "ArgMin", .in = "T[B,9]", .attrs = "axis=-1 keepdims=0", .types = NUMBERS, .ref = arg},
    {.name = "ArgMax", .in = "i64[B,40,3]", .attrs = "axis=1 select_last_index=1", .ref = arg},
    {.name = "ArgMin", .in = "i32[B,40,3]", .attrs = "axis=1 keepdims=0 select_last_index=1",
     .ref = arg},
    {.name = "ArgMax", .in = "f32[B,4,1000]", .attrs = "axis=2", .ref = arg},
    {.name = "ArgMax", .in = "f32[7,5]", .ref = arg},
    {.name = "ArgMin", .in = "f32[2,5]=1,1,0,0,2,-inf,3,-inf,inf,0", .attrs = "axis=1", .ref = arg},
};

static void cumulate(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor *y = op_out_like(r, 0, 0);
    int axis = op_axis((int64_t)r->in[1].v[0], x->rank);
    bool product = strcmp(r->row->name, "CumProd") == 0, back = op_int(r, "reverse", 0);
    int64_t n = x->dims[axis], inner = op_product(x->dims, axis + 1, x->rank);
    double *scale = op_scale(y);
    for (int64_t i = 0; i < y->n; i++) {
        int64_t k = i / inner % n;
        double sum = product, all = product;
        for (int64_t j = 0; j < n; j++) {
            bool counts = back ? j >= k : j <= k;
            if (!counts || (j == k && op_int(r, "exclusive", 0)))
                continue;
            double v = x->v[i + (j - k) * inner];
            sum = product ? sum * v : sum + v;
            all = product ? fabs(sum) : all + fabs(v);
        }
        y->v[i] = sum;
        scale[i] = all;
    }
}

static const struct op_case cumulate_rows[] = {
    {.name = "CumSum", .in = "T[B,9] i64[]=1", .types = NUMBERS, .ref = cumulate, .tol = TOL},
    {.name = "CumSum", .in = "f32[B,9,5] i32[]=1", .attrs = "exclusive=1", .ref = cumulate,
     .tol = TOL},
    {.name = "CumSum", .in = "f32[B,9,5] i64[]=-1", .attrs = "reverse=1", .ref = cumulate,
     .tol = TOL},
    {.name = "CumSum", .in = "f32[6,5] i64[]=0", .attrs = "reverse=1 exclusive=1", .ref = cumulate,
     .tol = TOL},
    {.name = "CumProd", .in = "f32[B,9]:0.5:1.5 i64[]=1", .ref = cumulate, .tol = TOL},
};

OP_MAIN("op reduce", OP_TABLE(reduce_rows), OP_TABLE(arg_rows), OP_TABLE(cumulate_rows))
