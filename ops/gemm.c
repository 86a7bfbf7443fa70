/* SPDX-License-Identifier: Apache-2.0 */
/* Gemm: Y = alpha * A' x B' + beta * C. */
#include <stddef.h>

#include "graph/attrs.h"
#include "ops/product.h"

static const struct attr gemm_attrs[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_gemm, alpha), .f = 1},
    {"beta", ATTR_FLOAT, offsetof(struct attrs_gemm, beta), .f = 1},
    {"transA", ATTR_INT, offsetof(struct attrs_gemm, transA)},
    {"transB", ATTR_INT, offsetof(struct attrs_gemm, transB)},
    {"broadcast", ATTR_INT, .ignore = true, .until = 6},
    {0},
};

static int gemm_infer(struct infer *c, struct err *e)
{
    const struct attrs_gemm *at = c->attrs;
    int rc = infer_dtypes(c, 0, DT_PRODUCT, e);
    if (rc == 0)
        rc = infer_same_dtype(c, 0, 1, e);
    if (rc == 0 && infer_has(c, 2))
        rc = infer_same_dtype(c, 0, 2, e);
    if (rc < 0)
        return rc;
    const struct type *a = &c->in[0]->type, *b = &c->in[1]->type;
    if (a->rank < 0 || b->rank < 0)
        return infer_unknown(c, 0, a->dtype, e);
    if (a->rank != 2 || b->rank != 2)
        return err_set(e, ERR_MODEL, "A and B must be matrices, their ranks are %d and %d", a->rank, b->rank);
    int64_t dims[2] = {a->dims[at->transA ? 1 : 0], b->dims[at->transB ? 0 : 1]};
    if (sym_differ(c->syms, a->dims[at->transA ? 0 : 1], b->dims[at->transB ? 1 : 0]))
        return err_set(e, ERR_MODEL, "the inner dims do not agree");
    int add = infer_rank(c, 2);
    if (add > 2)
        return err_set(e, ERR_MODEL, "C has rank %d, at most 2 is allowed", add);
    for (int k = 0; k < add; k++) {
        int64_t d = infer_dim(c, 2, k), to = dims[2 - add + k];
        if (d != 1 && sym_differ(c->syms, d, to))
            return err_set(e, ERR_MODEL, "C does not broadcast to the product");
    }
    return infer_set(c, 0, a->dtype, 2, dims, e);
}

static int gemm_prepare(struct prepare *p, struct err *e)
{
    const struct attrs_gemm *at = p->attrs;
    const struct type *a = &p->in[0]->type, *b = &p->in[1]->type;
    int64_t dims[TUNE_DIMS] = {1, SYM_UNKNOWN, SYM_UNKNOWN, SYM_UNKNOWN};
    if (a->rank == 2 && b->rank == 2) {
        dims[1] = a->dims[at->transA ? 1 : 0];
        dims[2] = b->dims[at->transB ? 0 : 1];
        dims[3] = a->dims[at->transA ? 0 : 1];
    }
    return product_prepare(p, at->transB != 0, at->transA ? at->transB ? "tt" : "tn" : at->transB ? "nt" : "nn",
                           p->n_in > 2 && p->in[2] && at->beta != 0 ? "add" : "none", dims, e);
}

/* C widened, of 16-bit floats: the epilogue adds f32. */
static int64_t add_count(const struct call *c)
{
    const struct tensor *add = call_in(c, 2);
    return add && (DTYPE_BIT(add->dtype) & DT_FLOAT16S) ? tensor_count(add) : 0;
}

static struct product product_of(const struct call *c)
{
    const struct attrs_gemm *at = c->attrs;
    const struct tensor *a = call_in(c, 0), *b = call_in(c, 1), *add = call_in(c, 2), *y = call_out(c, 0);
    struct product x = {
        .dtype = a->dtype, .a = a->data, .b = b->data, .c = y->data,
        .m = y->dims[0], .n = y->dims[1], .k = a->dims[at->transA ? 0 : 1], .batch = 1,
        .epilogue = GEMM_EPILOGUE_NONE,
    };
    product_bind(&x, c);
    x.a_row = at->transA ? 1 : x.k;
    x.a_k = at->transA ? x.m : 1;
    x.b_k = at->transB ? 1 : x.n;
    x.b_n = at->transB ? x.k : 1;
    x.epilogue.alpha = at->alpha;
    x.epilogue.beta = at->beta;
    if (add && at->beta != 0) {
        int64_t cols = add->rank ? add->dims[add->rank - 1] : 1;
        int64_t rows = add->rank > 1 ? add->dims[0] : 1;
        x.epilogue.add = add->dtype == DTYPE_F32 ? add->data : c->scratch;
        x.epilogue.add_col = cols != 1;
        x.epilogue.add_row = rows != 1 ? (size_t)cols : 0;
    }
    return x;
}

/* A transposed B that was not packed is turned round in scratch, once a call. */
static bool turns_b(const struct product *x)
{
    return x->b_n != 1 && !x->packed && x->dtype == DTYPE_F32;
}

static size_t gemm_scratch(const struct call *c, size_t *per_member)
{
    struct product x = product_of(c);
    size_t size = 0;
    *per_member = product_scratch(&x);
    if (turns_b(&x) && gemm_f32_packed_b_size(x.kernel, (size_t)x.k, (size_t)x.n, &size))
        size *= sizeof(float);
    return size + (size_t)add_count(c) * sizeof(float);
}

static int run_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct call *c = arg;
    struct product x = product_of(c);
    struct packed_b turned = {.kernel = x.kernel, .data = c->scratch, .k = x.k, .n = x.n, .count = 1};
    if (turns_b(&x))
        x.packed = &turned;
    product_run(&x, begin, end, call_member_scratch(c, member));
    return 0;
}

/* Types without an epilogue: alpha and beta * C after the sums, in f64 or wrapping integers. */
static void finish_plain(const struct call *c, const struct product *x)
{
    const struct attrs_gemm *at = c->attrs;
    const struct tensor *add = call_in(c, 2);
    int64_t cols = add && add->rank ? add->dims[add->rank - 1] : 1;
    int64_t rows = add && add->rank > 1 ? add->dims[0] : 1;
    size_t size = dtype_size(x->dtype);
    for (int64_t i = 0; i < x->m; i++)
        for (int64_t j = 0; j < x->n; j++) {
            char *y = (char *)x->c + (size_t)(i * x->n + j) * size;
            int64_t from = (rows != 1 ? i * cols : 0) + (cols != 1 ? j : 0);
            if (x->dtype == DTYPE_F64 || at->alpha != 1 || at->beta != 1) {
                double v = at->alpha * dtype_load_f64(x->dtype, y);
                if (add)
                    v += at->beta * tensor_float(add, from);
                dtype_store_f64(x->dtype, y, v);
            } else if (add) {
                dtype_store_i64(x->dtype, y,
                                (int64_t)((uint64_t)dtype_load_i64(x->dtype, y) +
                                          (uint64_t)tensor_int(add, from)));
            }
        }
}

static int gemm_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct product x = product_of(c);
    if (add_count(c))
        elems_to_f32(call_in(c, 2)->dtype, call_in(c, 2)->data, 0, add_count(c), c->scratch);
    if (turns_b(&x))
        gemm_f32_pack_b(x.kernel, x.b, 1, (size_t)x.k, (size_t)x.k, (size_t)x.n, 0,
                        gemm_f32_panels(x.kernel, (size_t)x.n), c->scratch);
    int rc = call_tasks(c, product_tasks(&x), run_tasks, c, e);
    if (rc == 0 && !(DTYPE_BIT(x.dtype) & (DT(F32) | DT_FLOAT16S)))
        finish_plain(c, &x);
    return rc;
}

const struct op op_gemm = {
    .name = "Gemm", .domain = "", .since = 1,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_EXACT | OP_LEADER,
    .attrs = gemm_attrs, .attrs_size = sizeof(struct attrs_gemm),
    .infer = gemm_infer, .prepare = gemm_prepare,
    .scratch = gemm_scratch, .run = gemm_run,
    .kernels = "gemm",
};
