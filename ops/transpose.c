/* SPDX-License-Identifier: Apache-2.0 */
/* Transpose, on kernels/transpose.h. */
#include "graph/attrs.h"
#include "ops/layout.h"
#include "ops/turn.h"

/* perm as numbers, reversed where absent. */
static int read_perm(const struct attrs_transpose *a, int rank, int64_t *perm, struct err *e)
{
    unsigned seen = 0;
    int r = ints_length(&a->perm, rank, "perm", e);
    if (r)
        return r;
    for (int i = 0; i < rank; i++) {
        perm[i] = a->perm.v ? a->perm.v[i] : rank - 1 - i;
        if (perm[i] < 0 || perm[i] >= rank || seen >> perm[i] & 1)
            return err_set(e, ERR_MODEL, "perm is no permutation: element %d is %lld, of %d dims",
                           i, (long long)perm[i], rank);
        seen |= 1u << perm[i];
    }
    return 0;
}

static int transpose_infer(struct infer *c, struct err *e)
{
    const struct attrs_transpose *a = c->attrs;
    int rank = infer_rank(c, 0);
    int64_t perm[TENSOR_RANK_MAX], dims[TENSOR_RANK_MAX], strides[TENSOR_RANK_MAX];
    bool numbers = true;
    if (rank < 0 && a->perm.v && a->perm.n <= TENSOR_RANK_MAX) {
        for (int i = 0; i < a->perm.n; i++)
            dims[i] = infer_fresh(c);
        return infer_set(c, 0, infer_dtype(c, 0), (int)a->perm.n, dims, e);
    }
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    int r = read_perm(a, rank, perm, e);
    if (r)
        return r;
    for (int i = 0; i < rank; i++) {
        dims[i] = infer_dim(c, 0, (int)perm[i]);
        numbers &= sym_is_number(dims[i]) && dims[i] <= FACT_ELEMS_MAX;
    }
    r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    if (r || !numbers)
        return r;
    for (int i = 0; i < rank; i++) {
        strides[i] = 1;
        for (int k = (int)perm[i] + 1; k < rank; k++)
            if (__builtin_mul_overflow(strides[i], infer_dim(c, 0, k), &strides[i]))
                return 0;
    }
    layout_move_elems(c, rank, dims, strides, 0);
    return 0;
}

static int make_transpose(const struct call *c, struct transpose *t, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    int64_t perm[TENSOR_RANK_MAX];
    int r = read_perm(c->attrs, x->rank, perm, e);
    if (r)
        return r;
    if (!transpose_init(t, (unsigned)x->rank, x->dims, perm, dtype_size(x->dtype)))
        return err_set(e, ERR_LIMIT, "the tensor is too large");
    return 0;
}

static int64_t transpose_tasks(const struct call *c)
{
    return turn_tasks(c, make_transpose);
}

static int transpose_call(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return turn_run(c, make_transpose, begin, end, e);
}

static const struct attr transpose_attrs[] = {
    {"perm", ATTR_INTS, offsetof(struct attrs_transpose, perm)},
    {NULL},
};

const struct op op_transpose = {
    .domain = "",
    .name = "Transpose",
    .since = 1,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_EXACT,
    .attrs = transpose_attrs,
    .attrs_size = sizeof(struct attrs_transpose),
    .infer = transpose_infer,
    .tasks = transpose_tasks,
    .run = transpose_call,
    .kernels = "transpose",
};
