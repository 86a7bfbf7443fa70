/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul: NumPy's matmul. A constant B is packed once, whatever the batch around A. */
#include <string.h>

#include "ops/product.h"

/* The matrix parts of a shape: a vector counts as one row (A) or one column (B). */
struct sides {
    int a_rank, b_rank;
    int64_t m, n, k, b_k;
};

static struct sides sides_of(const int64_t *a, int a_rank, const int64_t *b, int b_rank)
{
    return (struct sides){
        .a_rank = a_rank,
        .b_rank = b_rank,
        .m = a_rank > 1 ? a[a_rank - 2] : 1,
        .k = a[a_rank - 1],
        .b_k = b[b_rank > 1 ? b_rank - 2 : 0],
        .n = b_rank > 1 ? b[b_rank - 1] : 1,
    };
}

static int matmul_infer(struct infer *c, struct err *e)
{
    int rc = infer_dtypes(c, 0, DT_PRODUCT, e);
    if (rc == 0)
        rc = infer_same_dtype(c, 0, 1, e);
    if (rc < 0)
        return rc;
    const struct type *a = &c->in[0]->type, *b = &c->in[1]->type;
    if (a->rank < 0 || b->rank < 0)
        return infer_unknown(c, 0, a->dtype, e);
    if (a->rank == 0 || b->rank == 0)
        return err_set(e, ERR_MODEL, "MatMul takes no scalars");
    struct sides s = sides_of(a->dims, a->rank, b->dims, b->rank);
    if (sym_differ(c->syms, s.k, s.b_k))
        return err_set(e, ERR_MODEL, "the inner dims do not agree");
    int64_t dims[TENSOR_RANK_MAX];
    int batch_a = a->rank > 2 ? a->rank - 2 : 0, batch_b = b->rank > 2 ? b->rank - 2 : 0;
    int rank = batch_a > batch_b ? batch_a : batch_b;
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - batch_a), ib = i - (rank - batch_b);
        dims[i] = sym_broadcast(c->syms, ia >= 0 ? a->dims[ia] : 1, ib >= 0 ? b->dims[ib] : 1);
        if (sym_is_unknown(dims[i]) && ia >= 0 && ib >= 0 && sym_is_number(a->dims[ia]) &&
            sym_is_number(b->dims[ib]))
            return err_set(e, ERR_MODEL, "the batch dims do not broadcast");
    }
    if (a->rank > 1)
        dims[rank++] = s.m;
    if (b->rank > 1)
        dims[rank++] = s.n;
    return infer_set(c, 0, a->dtype, rank, dims, e);
}

/* The product of symbolic dims [0, n), if it is a number. */
static int64_t batch_of(const int64_t *dims, int n)
{
    size_t all = 1;
    for (int i = 0; i < n; i++)
        if (!sym_is_number(dims[i]) || !size_mul(all, (size_t)dims[i], &all) || all > INT32_MAX)
            return SYM_UNKNOWN;
    return (int64_t)all;
}

static int matmul_prepare(struct prepare *p, struct err *e)
{
    const struct type *a = &p->in[0]->type, *b = &p->in[1]->type;
    int64_t dims[TUNE_DIMS] = {SYM_UNKNOWN, SYM_UNKNOWN, SYM_UNKNOWN, SYM_UNKNOWN};
    if (a->rank > 0 && b->rank > 0) {
        struct sides s = sides_of(a->dims, a->rank, b->dims, b->rank);
        int batch_a = a->rank > 2 ? a->rank - 2 : 0, batch_b = b->rank > 2 ? b->rank - 2 : 0;
        int64_t of_a = batch_of(a->dims, batch_a), of_b = batch_of(b->dims, batch_b);
        dims[2] = s.n;
        dims[3] = s.k;
        if (of_b == 1) {
            dims[0] = 1;
            dims[1] = of_a == 1 ? s.m : SYM_UNKNOWN;
            if (sym_is_number(of_a) && sym_is_number(s.m))
                dims[1] = batch_of((const int64_t[]){of_a, s.m}, 2);
        } else if (sym_is_number(of_b)) {
            dims[0] = of_a == of_b && batch_a == batch_b ? of_b : SYM_UNKNOWN;
            dims[1] = s.m;
        }
    }
    return product_prepare(p, false, "nn", "none", dims, e);
}

/* Where B is one matrix, the batch of A is more rows. */
static struct product product_of(const struct call *c)
{
    const struct tensor *a = call_in(c, 0), *b = call_in(c, 1), *y = call_out(c, 0);
    struct sides s = sides_of(a->dims, a->rank, b->dims, b->rank);
    struct product x = {
        .dtype = a->dtype, .a = a->data, .b = b->data, .c = y->data,
        .m = s.m, .n = s.n, .k = s.k, .batch = 1,
        .a_row = s.k, .a_k = 1, .b_k = s.n, .b_n = 1, .epilogue = GEMM_EPILOGUE_NONE,
    };
    product_bind(&x, c);
    int batch_a = a->rank > 2 ? a->rank - 2 : 0, batch_b = b->rank > 2 ? b->rank - 2 : 0;
    if (dims_product(b->dims, 0, batch_b) == 1) {
        x.m *= dims_product(a->dims, 0, batch_a);
        return x;
    }
    x.batch_rank = batch_a > batch_b ? batch_a : batch_b;
    int64_t sa = s.m * s.k, sb = s.k * s.n;
    for (int i = x.batch_rank - 1; i >= 0; i--) {
        int ia = i - (x.batch_rank - batch_a), ib = i - (x.batch_rank - batch_b);
        int64_t da = ia >= 0 ? a->dims[ia] : 1, db = ib >= 0 ? b->dims[ib] : 1;
        x.batch_dims[i] = da > db || db == 1 ? da : db;
        if (da == 0 || db == 0)
            x.batch_dims[i] = 0;
        x.a_batch[i] = da == 1 ? 0 : sa;
        x.b_batch[i] = db == 1 ? 0 : sb;
        sa *= da;
        sb *= db;
        x.batch *= x.batch_dims[i];
    }
    return x;
}

static int64_t matmul_tasks(const struct call *c)
{
    struct product x = product_of(c);
    return product_tasks(&x);
}

static size_t matmul_scratch(const struct call *c, size_t *per_member)
{
    struct product x = product_of(c);
    *per_member = product_scratch(&x);
    return 0;
}

static int matmul_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct product x = product_of(c);
    product_run(&x, begin, end, call_member_scratch(c, member));
    return 0;
}

const struct op op_matmul = {
    .name = "MatMul", .domain = "", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_EXACT,
    .infer = matmul_infer, .prepare = matmul_prepare,
    .scratch = matmul_scratch, .tasks = matmul_tasks, .run = matmul_run,
    .kernels = "gemm",
};
