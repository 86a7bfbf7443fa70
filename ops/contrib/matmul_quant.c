/* SPDX-License-Identifier: Apache-2.0 */
/* MatMulIntegerToFloat, DynamicQuantizeMatMul, QGemm: rows over ops/matmul_integer.h.
 * MatMulInteger16: sums of 32 bits, which wrap. */
#include "ops/matmul_integer.h"
#include "ops/span.h"

static const struct integer_places to_float = {
    .b = 1, .a_zero = 4, .b_zero = 5, .a_scale = 2, .b_scale = 3, .bias = 6, .y_scale = -1,
    .y_zero = -1, .sum_bias = -1,
};
static const struct integer_places dynamic = {
    .b = 1, .a_zero = -1, .b_zero = 3, .a_scale = -1, .b_scale = 2, .bias = 4, .y_scale = -1,
    .y_zero = -1, .sum_bias = -1, .dynamic = true,
};
static const struct integer_places gemm = {
    .b = 3, .a_zero = 2, .b_zero = 5, .a_scale = 1, .b_scale = 4, .bias = -1, .y_scale = 7,
    .y_zero = 8, .sum_bias = 6, .gemm = true,
};

/* ---- MatMulIntegerToFloat -------------------------------------------------------------------- */

static int float_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 2, DT(F32) | DT(F16), e);
    if (r || (r = infer_same_dtype(c, 2, 3, e)) ||
        (infer_has(c, 6) && (r = infer_same_dtype(c, 2, 6, e))))
        return r;
    return integer_product_infer(c, &to_float, infer_dtype(c, 2), e);
}

static int float_prepare(struct prepare *p, struct err *e)
{
    return integer_product_prepare(p, &to_float, e);
}

static size_t float_scratch(const struct call *c, size_t *per_member)
{
    return integer_product_scratch(c, &to_float, per_member);
}

static int float_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return integer_product_run(c, &to_float, e);
}

/* ---- DynamicQuantizeMatMul ------------------------------------------------------------------- */

static int dynamic_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 2, DT(F32), e);
    if (r || (infer_has(c, 4) && (r = infer_dtypes(c, 4, DT(F32), e))))
        return r;
    return integer_product_infer(c, &dynamic, DTYPE_F32, e);
}

static int dynamic_prepare(struct prepare *p, struct err *e)
{
    return integer_product_prepare(p, &dynamic, e);
}

static size_t dynamic_scratch(const struct call *c, size_t *per_member)
{
    return integer_product_scratch(c, &dynamic, per_member);
}

static int dynamic_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return integer_product_run(c, &dynamic, e);
}

/* ---- QGemm ----------------------------------------------------------------------------------- */

static int qgemm_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 1, DT(F32), e);
    if (r || (r = infer_dtypes(c, 4, DT(F32), e)) ||
        (infer_has(c, 6) && (r = infer_dtypes(c, 6, DT(I32), e))))
        return r;
    if (infer_has(c, 7) != infer_has(c, 8))
        return err_set(e, ERR_MODEL, "y_scale and y_zero_point go together");
    if (!infer_has(c, 7))
        return integer_product_infer(c, &gemm, DTYPE_F32, e);
    if ((r = infer_dtypes(c, 7, DT(F32), e)) || (r = infer_dtypes(c, 8, DT(U8) | DT(I8), e)))
        return r;
    return integer_product_infer(c, &gemm, infer_dtype(c, 8), e);
}

static int qgemm_prepare(struct prepare *p, struct err *e)
{
    return integer_product_prepare(p, &gemm, e);
}

static size_t qgemm_scratch(const struct call *c, size_t *per_member)
{
    return integer_product_scratch(c, &gemm, per_member);
}

static int qgemm_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return integer_product_run(c, &gemm, e);
}

/* ---- MatMulInteger16 ------------------------------------------------------------------------- */

static int wide_infer(struct infer *c, struct err *e)
{
    uint32_t types = DT(I16) | DT(U16);
    int64_t dims[TENSOR_RANK_MAX];
    int r = infer_dtypes(c, 0, types, e), rank = 0;
    if (r || (r = infer_dtypes(c, 1, types, e)))
        return r;
    bool is_signed = infer_dtype(c, 0) == DTYPE_I16 || infer_dtype(c, 1) == DTYPE_I16;
    enum dtype to = is_signed ? DTYPE_I32 : DTYPE_U32;
    int ra = infer_rank(c, 0), rb = infer_rank(c, 1);
    if (ra < 0 || rb < 0)
        return infer_unknown(c, 0, to, e);
    if (ra == 0 || rb == 0)
        return err_set(e, ERR_MODEL, "a factor is a scalar");
    if (sym_differ(c->syms, infer_dim(c, 0, ra - 1), infer_dim(c, 1, rb > 1 ? rb - 2 : 0)))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "the inner dims do not agree");
    int ba = ra > 2 ? ra - 2 : 0, bb = rb > 2 ? rb - 2 : 0, batch = ba > bb ? ba : bb;
    for (; rank < batch; rank++) {
        int ia = rank - (batch - ba), ib = rank - (batch - bb);
        int64_t da = ia >= 0 ? infer_dim(c, 0, ia) : 1, db = ib >= 0 ? infer_dim(c, 1, ib) : 1;
        dims[rank] = sym_broadcast(c->syms, da, db);
        if (sym_is_number(da) && sym_is_number(db) && sym_is_unknown(dims[rank]))
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "the batch dims do not broadcast");
    }
    if (ra > 1)
        dims[rank++] = infer_dim(c, 0, ra - 2);
    if (rb > 1)
        dims[rank++] = infer_dim(c, 1, rb - 1);
    return infer_set(c, 0, to, rank, dims, e);
}

/* A row of the result is a task's unit. */
static int64_t wide_rows(const struct call *c, int64_t *n, int64_t *k)
{
    const struct tensor *a = call_in(c, 0), *b = call_in(c, 1);
    *k = a->dims[a->rank - 1];
    *n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    return *n ? tensor_count(call_out(c, 0)) / *n : 0;
}

static int64_t wide_tasks(const struct call *c)
{
    int64_t n, k, rows = wide_rows(c, &n, &k), cost;
    return tasks_for(rows, __builtin_mul_overflow(n, k, &cost) ? INT64_MAX : cost + 1);
}

static uint32_t word_at(const struct tensor *t, int64_t i)
{
    return t->dtype == DTYPE_U16 ? ((const uint16_t *)t->data)[i]
                                 : (uint32_t)((const int16_t *)t->data)[i];
}

/* The matrix of t that matrix i of the result is made from. */
static int64_t matrix_of(const struct tensor *t, const struct tensor *y, int64_t i, int behind)
{
    int batch = t->rank > 2 ? t->rank - 2 : 0, all = y->rank - behind;
    int64_t at = 0, step = 1;
    for (int d = 0; d < all; d++, i /= y->dims[all - d]) {
        int64_t index = i % y->dims[all - 1 - d];
        if (d < batch) {
            int64_t size = t->dims[batch - 1 - d];
            at += size == 1 ? 0 : index * step;
            step *= size;
        }
    }
    return at;
}

static int wide_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *a = call_in(c, 0), *b = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    int64_t n, k, rows = wide_rows(c, &n, &k);
    struct span s = span_of(begin, end, wide_tasks(c), rows);
    int64_t m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    int behind = (a->rank > 1) + (b->rank > 1);
    for (int64_t r = s.first; r < s.last; r++) {
        uint32_t *out = (uint32_t *)y->data + r * n;
        int64_t from = (matrix_of(a, y, r / m, behind) * m + r % m) * k;
        int64_t matrix = matrix_of(b, y, r / m, behind) * k * n;
        for (int64_t j = 0; j < n; j++)
            out[j] = 0;
        for (int64_t p = 0; p < k; p++) {
            uint32_t x = word_at(a, from + p);
            for (int64_t j = 0; j < n; j++)
                out[j] += x * word_at(b, matrix + p * n + j);
        }
    }
    return 0;
}

static const struct attr qgemm_attrs[] = {
    {"transA", ATTR_INT, offsetof(struct attrs_qgemm, trans_a)},
    {"transB", ATTR_INT, offsetof(struct attrs_qgemm, trans_b)},
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_qgemm, alpha), .f = 1},
    {NULL},
};

const struct op op_ms_matmulintegertofloat = {
    .domain = "com.microsoft", .name = "MatMulIntegerToFloat", .since = 1,
    .in_min = 4, .in_max = 7, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .infer = float_infer, .prepare = float_prepare, .scratch = float_scratch, .run = float_run,
    .kernels = "gemm",
};

const struct op op_ms_dynamicquantizematmul = {
    .domain = "com.microsoft", .name = "DynamicQuantizeMatMul", .since = 1,
    .in_min = 3, .in_max = 5, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .infer = dynamic_infer, .prepare = dynamic_prepare, .scratch = dynamic_scratch,
    .run = dynamic_run,
    .kernels = "gemm",
};

const struct op op_ms_qgemm = {
    .domain = "com.microsoft", .name = "QGemm", .since = 1,
    .in_min = 6, .in_max = 9, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = qgemm_attrs, .attrs_size = sizeof(struct attrs_qgemm),
    .infer = qgemm_infer, .prepare = qgemm_prepare, .scratch = qgemm_scratch, .run = qgemm_run,
    .kernels = "gemm",
};

const struct op op_ms_matmulinteger16 = {
    .domain = "com.microsoft", .name = "MatMulInteger16", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = wide_infer, .tasks = wide_tasks, .run = wide_run,
    .kernels = "gemm",
};
