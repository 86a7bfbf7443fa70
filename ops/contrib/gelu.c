/* SPDX-License-Identifier: Apache-2.0 */
/* com.microsoft's activations, with or without a bias along the last dim: Gelu, BiasGelu, FastGelu,
 * QuickGelu, and what diffusion models fuse: BiasAdd, BiasSplitGelu. f16 and bf16 are computed in
 * f32 a chunk at a time and rounded once.
 */
#include <string.h>

#include "graph/attrs.h"
#include "kernels/binary.h"
#include "ops/contrib/activation.h"

enum { GELU_COST = 4 };

/* ---- inference ------------------------------------------------------------------------------- */

/* Input i is one number for each column of input 0. */
static int check_bias(struct infer *c, int i, struct err *e)
{
    int rank = infer_rank(c, 0), own = infer_rank(c, i);
    int r = infer_has(c, i) ? infer_same_dtype(c, 0, i, e) : 0;
    if (r || own < 0)
        return r;
    if (own != 1)
        return err_set(e, ERR_MODEL, "the bias has rank %d, expected 1", own);
    if (rank == 0 ||
        (rank > 0 && sym_differ(c->syms, infer_dim(c, 0, rank - 1), infer_dim(c, i, 0))))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                       "the bias does not have one number for each of the last dim");
    return 0;
}

static int gelu_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = check_bias(c, 1, e)))
        return r;
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

/* ---- one function of x + bias ---------------------------------------------------------------- */

static int64_t gelu_tasks(const struct call *c)
{
    return span_tasks(c, GELU_COST);
}

static int run_activation(struct call *c, const struct activation *a, int64_t begin, int64_t end)
{
    const struct tensor *x = call_in(c, 0), *bias = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, GELU_COST);
    int64_t width = bias ? bias->dims[0] : INT64_MAX;
    float v[CHUNK_ELEMS], w[CHUNK_ELEMS];
    for (int64_t i = s.first, n; i < s.last; i += n) {
        int64_t col = i % width;
        n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        n = n < width - col ? n : width - col;
        const void *from = tensor_at(x, i), *add = bias ? tensor_at(bias, col) : NULL;
        if (x->dtype == DTYPE_F32) {
            activation_f32(a, from, add, tensor_at(y, i), n);
        } else if (x->dtype == DTYPE_F64) {
            activation_f64(a, from, add, tensor_at(y, i), n);
        } else {
            elems_to_f32(x->dtype, x->data, i, n, v);
            if (bias)
                elems_to_f32(bias->dtype, bias->data, col, n, w);
            activation_f32(a, v, bias ? w : NULL, v, n);
            elems_from_f32(y->dtype, y->data, i, n, v);
        }
    }
    return 0;
}

static int gelu_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    static const struct activation erf_form = {true, UNARY_GELU, {0}};
    return run_activation(c, &erf_form, begin, end);
}

static int fastgelu_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    static const struct activation tanh_form = {true, UNARY_GELU_TANH, {0}};
    return run_activation(c, &tanh_form, begin, end);
}

static int quickgelu_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_alpha *at = c->attrs;
    struct activation a = {true, UNARY_SWISH, {at->alpha}};
    return run_activation(c, &a, begin, end);
}

static const struct attr quick_attrs[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_alpha, alpha), .f = 1.702f},
    {NULL},
};

/* ---- BiasAdd --------------------------------------------------------------------------------- */

static int biasadd_infer(struct infer *c, struct err *e)
{
    int r = gelu_infer(c, e);
    if (r || (r = infer_same_dtype(c, 0, 2, e)))
        return r;
    if (infer_rank(c, 0) < 0 || infer_rank(c, 2) < 0)
        return 0;
    bool same = infer_rank(c, 0) == infer_rank(c, 2);
    for (int k = 0; same && k < infer_rank(c, 0); k++)
        same = !sym_differ(c->syms, infer_dim(c, 0, k), infer_dim(c, 2, k));
    return same ? 0 : err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "skip has other dims than X");
}

/* x + bias rounded, then + skip, as the operators that it stands for would; in f32 for f16. */
static int biasadd_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    static const struct activation none = {.some = false};
    const struct tensor *x = call_in(c, 0), *bias = call_in(c, 1), *skip = call_in(c, 2);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, GELU_COST);
    double v[CHUNK_ELEMS], w[CHUNK_ELEMS];
    float *v32 = (float *)v, *w32 = (float *)w;
    for (int64_t i = s.first, n; i < s.last; i += n) {
        int64_t width = bias->dims[0], col = i % width;
        n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        n = n < width - col ? n : width - col;
        if (x->dtype == DTYPE_F64) {
            activation_f64(&none, tensor_at(x, i), tensor_at(bias, col), v, n);
            activation_f64(&none, v, tensor_at(skip, i), tensor_at(y, i), n);
            continue;
        }
        elems_to_f32(x->dtype, x->data, i, n, v32);
        elems_to_f32(x->dtype, bias->data, col, n, w32);
        activation_f32(&none, v32, w32, v32, n);
        elems_to_f32(x->dtype, skip->data, i, n, w32);
        activation_f32(&none, v32, w32, v32, n);
        elems_from_f32(y->dtype, y->data, i, n, v32);
    }
    return 0;
}

/* ---- BiasSplitGelu --------------------------------------------------------------------------- */

static int split_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), r = gelu_infer(c, e);
    if (r)
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank == 0)
        return err_set(e, ERR_MODEL, "the input is a scalar");
    memcpy(dims, c->in[0]->type.dims, sizeof dims);
    if (sym_is_number(dims[rank - 1]) && dims[rank - 1] % 2 != 0)
        return err_set(e, ERR_MODEL, "the last dim is %lld, which is odd",
                       (long long)dims[rank - 1]);
    dims[rank - 1] = sym_div(c->syms, dims[rank - 1], 2);
    return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

/* y = (x + bias)[left half] * gelu((x + bias)[right half]). */
static int split_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    static const struct activation none = {.some = false}, gelu = {true, UNARY_GELU, {0}};
    const struct tensor *x = call_in(c, 0), *bias = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, GELU_COST);
    int64_t half = y->dims[y->rank - 1];
    double v[2][CHUNK_ELEMS], w[CHUNK_ELEMS];
    for (int64_t i = s.first, n; i < s.last; i += n) {
        int64_t row = i / half, col = i % half;
        n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        n = n < half - col ? n : half - col;
        for (int64_t side = 0; side < 2; side++) {
            int64_t at = row * 2 * half + side * half + col;
            if (x->dtype == DTYPE_F64) {
                elems_to_f64(x->dtype, x->data, at, n, v[side]);
                elems_to_f64(x->dtype, bias->data, side * half + col, n, w);
                activation_f64(side ? &gelu : &none, v[side], w, v[side], n);
            } else {
                elems_to_f32(x->dtype, x->data, at, n, (float *)v[side]);
                elems_to_f32(x->dtype, bias->data, side * half + col, n, (float *)w);
                activation_f32(side ? &gelu : &none, (float *)v[side], (float *)w,
                               (float *)v[side], n);
            }
        }
        if (x->dtype == DTYPE_F64) {
            binary_f64_pick(BINARY_MUL)(v[0], v[1], 0, tensor_at(y, i), (size_t)n);
        } else {
            binary_f32_pick(BINARY_MUL)(v[0], v[1], 0, v[0], (size_t)n);
            elems_from_f32(y->dtype, y->data, i, n, (float *)v[0]);
        }
    }
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

const struct op op_ms_gelu = {
    .domain = "com.microsoft", .name = "Gelu", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_INPLACE0,
    .infer = gelu_infer, .tasks = gelu_tasks, .run = gelu_run,
    .kernels = "binary unary",
};

const struct op op_ms_biasgelu = {
    .domain = "com.microsoft", .name = "BiasGelu", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_INPLACE0,
    .infer = gelu_infer, .tasks = gelu_tasks, .run = gelu_run,
    .kernels = "binary unary",
};

const struct op op_ms_fastgelu = {
    .domain = "com.microsoft", .name = "FastGelu", .since = 1,
    .in_min = 1, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_INPLACE0,
    .infer = gelu_infer, .tasks = gelu_tasks, .run = fastgelu_run,
    .kernels = "binary unary",
};

const struct op op_ms_quickgelu = {
    .domain = "com.microsoft", .name = "QuickGelu", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_INPLACE0,
    .attrs = quick_attrs, .attrs_size = sizeof(struct attrs_alpha),
    .infer = gelu_infer, .tasks = gelu_tasks, .run = quickgelu_run,
    .kernels = "binary unary",
};

const struct op op_ms_biasadd = {
    .domain = "com.microsoft", .name = "BiasAdd", .since = 1,
    .in_min = 3, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_INPLACE0,
    .infer = biasadd_infer, .tasks = gelu_tasks, .run = biasadd_run,
    .kernels = "binary unary",
};

const struct op op_ms_biassplitgelu = {
    .domain = "com.microsoft", .name = "BiasSplitGelu", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = split_infer, .tasks = gelu_tasks, .run = split_run,
    .kernels = "binary unary",
};
