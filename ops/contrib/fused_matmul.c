/* SPDX-License-Identifier: Apache-2.0 */
/* FusedMatMul (and under its old name TransposeMatMul): NumPy's matmul of operands that are
 * transposed while they are read, times alpha; FusedMatMulActivation: with an activation on top.
 *
 * An operand of rank 3 or more is [batch..., rows, columns]; with transBatch [rows, batch...,
 * columns]; trans swaps rows and columns. All of that is strides, but for a B in f32 whose columns
 * are not adjacent: it is packed, at load where it is constant, else in scratch at each call.
 */
#include <math.h>

#include "ops/contrib/activation.h"
#include "ops/product.h"

struct matmul_attrs {
    int64_t transA, transB, transBatchA, transBatchB;
    float alpha;
    struct str activation;
    float params[3];
    int64_t activation_axis;
};

/* ---- operands -------------------------------------------------------------------------------- */

/* Dims of an operand as [batch..., row, col], maybe symbolic, and which dim each of them is. */
struct operand {
    int rank, batch;           /* batch: the number of batch dims */
    int at[TENSOR_RANK_MAX];   /* of the batch dims */
    int row, col;              /* -1: a vector, which has no such dim */
};

static struct operand operand_of(int rank, bool trans, bool trans_batch, bool is_b)
{
    struct operand o = {.rank = rank, .row = rank - 2, .col = rank - 1};
    if (rank == 1)
        return (struct operand){.rank = 1, .row = is_b ? 0 : -1, .col = is_b ? -1 : 0};
    o.batch = rank - 2;
    for (int i = 0; i < o.batch; i++)
        o.at[i] = i + trans_batch;
    if (trans_batch && o.batch)
        o.row = 0;
    if (trans) {
        int row = o.row;
        o.row = o.col;
        o.col = row;
    }
    return o;
}

static struct operand operand_a(const struct matmul_attrs *a, int rank)
{
    return operand_of(rank, a->transA, a->transBatchA, false);
}

static struct operand operand_b(const struct matmul_attrs *a, int rank)
{
    return operand_of(rank, a->transB, a->transBatchB, true);
}

/* ---- inference ------------------------------------------------------------------------------- */

static int read_activation(const struct matmul_attrs *a, struct activation *out, struct err *e)
{
    return activation_read(a->activation, a->params, 3, out, e);
}

static int broadcast_batch(struct infer *c, const struct operand *a, const struct operand *b,
                           int64_t *dims, struct err *e)
{
    int rank = a->batch > b->batch ? a->batch : b->batch;
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - a->batch), ib = i - (rank - b->batch);
        int64_t da = ia >= 0 ? infer_dim(c, 0, a->at[ia]) : 1;
        int64_t db = ib >= 0 ? infer_dim(c, 1, b->at[ib]) : 1;
        dims[i] = sym_broadcast(c->syms, da, db);
        if (sym_is_unknown(dims[i]) && sym_is_number(da) && sym_is_number(db))
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "batch dims %lld and %lld",
                           (long long)da, (long long)db);
    }
    return rank;
}

static int infer_with(struct infer *c, uint32_t dtypes, struct err *e)
{
    const struct matmul_attrs *at = c->attrs;
    struct activation unused;
    int ra = infer_rank(c, 0), rb = infer_rank(c, 1);
    int64_t dims[TENSOR_RANK_MAX + 2];
    int r = infer_dtypes(c, 0, dtypes, e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)) || (r = read_activation(at, &unused, e)))
        return r;
    if (ra < 0 || rb < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (ra == 0 || rb == 0)
        return err_set(e, ERR_MODEL, "an operand is a scalar");
    if ((at->transBatchA || at->transBatchB) && (ra != rb || ra < 3))
        return err_set(e, ERR_MODEL,
                       "transBatchA and transBatchB need operands of one rank above 2, "
                       "not %d and %d",
                       ra, rb);
    struct operand a = operand_a(at, ra), b = operand_b(at, rb);
    if (sym_differ(c->syms, infer_dim(c, 0, a.col), infer_dim(c, 1, b.row)))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "the inner dims do not agree");
    int rank = broadcast_batch(c, &a, &b, dims, e);
    if (rank < 0)
        return rank;
    if (a.row >= 0)
        dims[rank++] = infer_dim(c, 0, a.row);
    if (b.col >= 0)
        dims[rank++] = infer_dim(c, 1, b.col);
    return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

static int matmul_infer(struct infer *c, struct err *e)
{
    return infer_with(c, DT_FLOATS, e);
}

/* Sparse operands were made dense when they were read. */
static int sparse_infer(struct infer *c, struct err *e)
{
    const struct matmul_attrs *at = c->attrs;
    if (at->alpha != 1 && dtype_is_int(infer_dtype(c, 0)))
        return err_set(e, ERR_UNSUPPORTED, "alpha is %g, of integers", (double)at->alpha);
    if (infer_rank(c, 0) >= 0 && infer_rank(c, 0) != 2)
        return err_set(e, ERR_MODEL, "A has rank %d, expected 2", infer_rank(c, 0));
    return infer_with(c, DT_PRODUCT & ~DT_FLOAT16S, e);
}

/* ---- products -------------------------------------------------------------------------------- */

static int matmul_prepare(struct prepare *p, struct err *e)
{
    const struct matmul_attrs *a = p->attrs;
    const int64_t dims[TUNE_DIMS] = {SYM_UNKNOWN, SYM_UNKNOWN, SYM_UNKNOWN, SYM_UNKNOWN};
    static const char *const layouts[] = {"nn", "nt", "tn", "tt"};
    if (a->transBatchB || p->in[1]->type.rank < 2)
        return 0;
    return product_prepare(p, a->transB != 0, layouts[2 * (a->transA != 0) + (a->transB != 0)],
                           "none", dims, e);
}

/* A call's product. Where B's columns are not adjacent and nothing was packed, `turn`: matrix i of
 * its batch, which begins at turn_at(i), goes to turned.data + i * turned.size. */
struct job {
    struct call *call;
    struct product x;
    bool turn;
    struct packed_b turned;
    int b_batch;
    int64_t b_dims[TENSOR_RANK_MAX], b_strides[TENSOR_RANK_MAX];
};

/* Batch dims of both operands into x, with B's matrices adjacent if it was or will be packed. */
static void set_batch(struct job *j, const struct operand *a, const struct operand *b,
                      const struct tensor *ta, const struct tensor *tb)
{
    int64_t sa[TENSOR_RANK_MAX], sb[TENSOR_RANK_MAX], packed = j->x.k * j->x.n;
    struct product *x = &j->x;
    bool adjacent = j->turn || x->packed;
    dims_strides(ta->dims, ta->rank, sa);
    dims_strides(tb->dims, tb->rank, sb);
    x->batch_rank = a->batch > b->batch ? a->batch : b->batch;
    for (int i = x->batch_rank - 1; i >= 0; i--) {
        int ia = i - (x->batch_rank - a->batch), ib = i - (x->batch_rank - b->batch);
        int64_t da = ia >= 0 ? ta->dims[a->at[ia]] : 1, db = ib >= 0 ? tb->dims[b->at[ib]] : 1;
        x->batch_dims[i] = da == 1 ? db : da;
        x->a_batch[i] = da == 1 ? 0 : sa[a->at[ia]];
        x->b_batch[i] = db == 1 ? 0 : adjacent ? packed : sb[b->at[ib]];
        x->batch *= x->batch_dims[i];
        packed *= db;
    }
    j->b_batch = b->batch;
    j->turned.count = 1;
    for (int i = 0; i < b->batch; i++) {
        j->b_dims[i] = tb->dims[b->at[i]];
        j->b_strides[i] = sb[b->at[i]];
        j->turned.count *= j->b_dims[i];
    }
}

static struct job job_of(const struct call *c)
{
    const struct matmul_attrs *at = c->attrs;
    const struct tensor *ta = call_in(c, 0), *tb = call_in(c, 1);
    struct operand a = operand_a(at, ta->rank), b = operand_b(at, tb->rank);
    int64_t sa[TENSOR_RANK_MAX], sb[TENSOR_RANK_MAX];
    struct job j = {.x = {
        .dtype = ta->dtype, .a = ta->data, .b = tb->data, .c = call_out(c, 0)->data,
        .m = a.row < 0 ? 1 : ta->dims[a.row], .k = ta->dims[a.col],
        .n = b.col < 0 ? 1 : tb->dims[b.col], .batch = 1, .epilogue = GEMM_EPILOGUE_NONE,
    }};
    struct product *x = &j.x;
    product_bind(x, c);
    x->epilogue.alpha = at->alpha;
    dims_strides(ta->dims, ta->rank, sa);
    dims_strides(tb->dims, tb->rank, sb);
    x->a_row = a.row < 0 ? x->k : sa[a.row];
    x->a_k = sa[a.col];
    x->b_k = sb[b.row];
    x->b_n = b.col < 0 ? 1 : sb[b.col];
    j.turn = x->b_n != 1 && !x->packed && x->dtype == DTYPE_F32;
    set_batch(&j, &a, &b, ta, tb);
    /* One B: the batch of an A that lies row after row is more rows. */
    if (j.turned.count == 1 && a.row == ta->rank - 2 && a.row >= 0) {
        x->m *= dims_product(ta->dims, 0, ta->rank - 2);
        x->batch = 1;
        x->batch_rank = 0;
    }
    size_t bytes;
    j.turned = (struct packed_b){.kernel = x->kernel, .data = c->scratch, .k = x->k, .n = x->n,
                                 .count = j.turned.count};
    j.turn = j.turn && j.turned.count > 0 &&
             gemm_f32_packed_b_size(x->kernel, (size_t)x->k, (size_t)x->n, &j.turned.size) &&
             size_mul(j.turned.size, (size_t)j.turned.count, &bytes);
    return j;
}

static size_t matmul_scratch(const struct call *c, size_t *per_member)
{
    struct job j = job_of(c);
    *per_member = product_scratch(&j.x);
    return j.turn ? j.turned.size * (size_t)j.turned.count * sizeof(float) : 0;
}

static int turn_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    const struct product *x = &j->x;
    size_t panels = gemm_f32_panels(x->kernel, (size_t)x->n);
    for (int64_t i = begin; i < end; i++) {
        int64_t at = 0, rest = i;
        for (int k = j->b_batch - 1; k >= 0; k--) {
            at += rest % j->b_dims[k] * j->b_strides[k];
            rest /= j->b_dims[k];
        }
        gemm_f32_pack_b(x->kernel, (const float *)x->b + at, (size_t)x->b_k, (size_t)x->b_n,
                        (size_t)x->k, (size_t)x->n, 0, panels,
                        j->turned.data + (size_t)i * j->turned.size);
    }
    return 0;
}

static int run_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    product_run(&j->x, begin, end, call_member_scratch(j->call, member));
    return 0;
}

/* f64 has no epilogue. */
static void scale_f64(const struct call *c, double alpha)
{
    struct tensor *y = call_out(c, 0);
    double *v = y->data;
    for (int64_t i = 0, n = tensor_count(y); i < n && alpha != 1; i++)
        v[i] *= alpha;
}

static int matmul_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct matmul_attrs *at = c->attrs;
    struct job j = job_of(c);
    struct activation a;
    int r = read_activation(at, &a, e);
    if (r || tensor_count(call_out(c, 0)) == 0)
        return r;
    j.call = c;
    if (j.turn) {
        j.x.packed = &j.turned;
        r = call_tasks(c, j.turned.count, turn_tasks, &j, e);
    }
    if (r == 0)
        r = call_tasks(c, product_tasks(&j.x), run_tasks, &j, e);
    if (r == 0 && j.x.dtype == DTYPE_F64)
        scale_f64(c, at->alpha);
    return r ? r : activation_finish(c, &a, NULL, e);
}

#define MATMUL_ATTRS                                                                               \
    {"alpha", ATTR_FLOAT, offsetof(struct matmul_attrs, alpha), .f = 1},                           \
    {"transA", ATTR_INT, offsetof(struct matmul_attrs, transA)},                                   \
    {"transB", ATTR_INT, offsetof(struct matmul_attrs, transB)},                                   \
    {"transBatchA", ATTR_INT, offsetof(struct matmul_attrs, transBatchA)},                         \
    {"transBatchB", ATTR_INT, offsetof(struct matmul_attrs, transBatchB)}

static const struct attr matmul_attr_rows[] = {MATMUL_ATTRS, {NULL}};

static const struct attr sparse_attr_rows[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct matmul_attrs, alpha), .f = 1},
    {"transA", ATTR_INT, offsetof(struct matmul_attrs, transA)},
    {"transB", ATTR_INT, offsetof(struct matmul_attrs, transB)},
    {NULL},
};

static const struct attr activated_attr_rows[] = {
    MATMUL_ATTRS,
    {"activation", ATTR_STRING, offsetof(struct matmul_attrs, activation), .required = true},
    {"activation_alpha", ATTR_FLOAT, offsetof(struct matmul_attrs, params), .f = NAN},
    {"activation_beta", ATTR_FLOAT, offsetof(struct matmul_attrs, params) + sizeof(float),
     .f = NAN},
    {"activation_gamma", ATTR_FLOAT, offsetof(struct matmul_attrs, params) + 2 * sizeof(float),
     .f = NAN},
    {"activation_axis", ATTR_INT, offsetof(struct matmul_attrs, activation_axis)},
    {NULL},
};

#define MATMUL_ROW(word, table, fn)                                                                    \
    .domain = "com.microsoft", .name = word, .since = 1,                                           \
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_LEADER, \
    .attrs = table, .attrs_size = sizeof(struct matmul_attrs),                                     \
    .infer = fn, .prepare = matmul_prepare, .scratch = matmul_scratch, .run = matmul_run

const struct op op_ms_fusedmatmul = {MATMUL_ROW("FusedMatMul", matmul_attr_rows, matmul_infer)};
const struct op op_ms_transposematmul = {
    MATMUL_ROW("TransposeMatMul", matmul_attr_rows, matmul_infer),
    .kernels = "binary gemm unary",
};
const struct op op_ms_sparsetodensematmul = {
    MATMUL_ROW("SparseToDenseMatMul", sparse_attr_rows, sparse_infer),
    .kernels = "binary gemm unary",
};
const struct op op_ms_fusedmatmulactivation = {
    MATMUL_ROW("FusedMatMulActivation", activated_attr_rows, matmul_infer),
    .kernels = "binary gemm unary",
};
