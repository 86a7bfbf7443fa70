/* SPDX-License-Identifier: Apache-2.0 */
/* FusedGemm: Gemm and an activation. GemmFastGelu: MatMul, a bias, and Gelu in its tanh form. Both
 * run the operators that they are made of, then the rest in place.
 */
#include <math.h>

#include "graph/attrs.h"
#include "ops/contrib/activation.h"

extern const struct op op_gemm, op_matmul;

/* ---- FusedGemm ------------------------------------------------------------------------------- */

/* Gemm's attributes come first, so that its functions find them. */
struct fused_attrs {
    struct attrs_gemm gemm;
    struct str activation;
    float params[3];
};

static int fused_read(const struct fused_attrs *at, struct activation *a, struct err *e)
{
    return activation_read(at->activation, at->params, 3, a, e);
}

static int fused_infer(struct infer *c, struct err *e)
{
    struct activation a;
    int r = fused_read(c->attrs, &a, e);
    if (r == 0 && a.some)
        r = infer_dtypes(c, 0, DT_FLOATS, e);
    return r ? r : op_gemm.infer(c, e);
}

static int fused_prepare(struct prepare *p, struct err *e)
{
    return op_gemm.prepare(p, e);
}

static size_t fused_scratch(const struct call *c, size_t *per_member)
{
    return op_gemm.scratch(c, per_member);
}

static int fused_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct activation a;
    int r = fused_read(c->attrs, &a, e);
    if (r == 0)
        r = op_gemm.run(c, begin, end, member, e);
    return r ? r : activation_finish(c, &a, NULL, e);
}

static const struct attr fused_attr_rows[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_gemm, alpha), .f = 1},
    {"beta", ATTR_FLOAT, offsetof(struct attrs_gemm, beta), .f = 1},
    {"transA", ATTR_INT, offsetof(struct attrs_gemm, transA)},
    {"transB", ATTR_INT, offsetof(struct attrs_gemm, transB)},
    {"activation", ATTR_STRING, offsetof(struct fused_attrs, activation)},
    {"activation_alpha", ATTR_FLOAT, offsetof(struct fused_attrs, params), .f = NAN},
    {"activation_beta", ATTR_FLOAT, offsetof(struct fused_attrs, params) + sizeof(float), .f = NAN},
    {"activation_gamma", ATTR_FLOAT, offsetof(struct fused_attrs, params) + 2 * sizeof(float),
     .f = NAN},
    {NULL},
};

const struct op op_ms_fusedgemm = {
    .domain = "com.microsoft", .name = "FusedGemm", .since = 1,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_LEADER,
    .attrs = fused_attr_rows, .attrs_size = sizeof(struct fused_attrs),
    .infer = fused_infer, .prepare = fused_prepare, .scratch = fused_scratch, .run = fused_run,
    .kernels = "binary unary",
};

/* ---- GemmFastGelu ---------------------------------------------------------------------------- */

static int gelu_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r == 0)
        r = op_matmul.infer(c, e);
    if (r || !infer_has(c, 2) || (r = infer_same_dtype(c, 0, 2, e)))
        return r;
    if (infer_rank(c, 2) >= 0 && infer_rank(c, 1) >= 1 &&
        (infer_rank(c, 2) != 1 ||
         sym_differ(c->syms, infer_dim(c, 2, 0), infer_dim(c, 1, infer_rank(c, 1) - 1))))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                       "the bias must have one number for each column");
    return 0;
}

static int gelu_prepare(struct prepare *p, struct err *e)
{
    return op_matmul.prepare(p, e);
}

static size_t gelu_scratch(const struct call *c, size_t *per_member)
{
    return op_matmul.scratch(c, per_member);
}

static int matmul_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    return op_matmul.run(arg, begin, end, member, e);
}

enum { GELU_COST = 4 };

static int gelu_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    static const struct activation gelu = {true, UNARY_GELU_TANH, {0}};
    const struct call *c = arg;
    const struct tensor *bias = call_in(c, 2);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, GELU_COST);
    int64_t width = bias ? bias->dims[0] : INT64_MAX;
    double v[CHUNK_ELEMS], w[CHUNK_ELEMS];
    for (int64_t i = s.first, n; i < s.last; i += n) {
        int64_t col = i % width;
        n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        n = n < width - col ? n : width - col;
        if (y->dtype == DTYPE_F64) {
            activation_f64(&gelu, tensor_at(y, i), bias ? tensor_at(bias, col) : NULL,
                           tensor_at(y, i), n);
            continue;
        }
        elems_to_f32(y->dtype, y->data, i, n, (float *)v);
        if (bias)
            elems_to_f32(y->dtype, bias->data, col, n, (float *)w);
        activation_f32(&gelu, (float *)v, bias ? (float *)w : NULL, (float *)v, n);
        elems_from_f32(y->dtype, y->data, i, n, (float *)v);
    }
    return 0;
}

static int gelu_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    int64_t tasks = op_matmul.tasks(c);
    if (tensor_count(call_out(c, 0)) == 0)
        return 0;
    int r = tasks ? call_tasks(c, tasks, matmul_tasks, c, e) : 0;
    return r ? r : call_tasks(c, span_tasks(c, GELU_COST), gelu_tasks, c, e);
}

const struct op op_ms_gemmfastgelu = {
    .domain = "com.microsoft", .name = "GemmFastGelu", .since = 1,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_LEADER,
    .infer = gelu_infer, .prepare = gelu_prepare, .scratch = gelu_scratch, .run = gelu_run,
    .kernels = "binary unary",
};
