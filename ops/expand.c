/* SPDX-License-Identifier: Apache-2.0 */
/* Expand and Tile. */
#include "ops/layout.h"

static int64_t expand_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

/* ---- Expand -----------------------------------------------------------------------------------
 */

/* A dim of input and shape together; an unknown one is the input's where that is known to be
 * above 1. */
static int64_t expand_dim(struct infer *c, int64_t d, int64_t want)
{
    if (sym_is_unknown(want))
        return sym_low(c->syms, d) > 1 && !sym_is_unknown(d) ? d : SYM_UNKNOWN;
    return sym_broadcast(c->syms, d, want);
}

/* Row-major strides of input 0 under the output's rank, 0 where it repeats; false if not numbers.
 */
static bool repeat_strides(const int64_t *in, int in_rank, const int64_t *out, int rank,
                           int64_t *strides)
{
    int64_t step = 1;
    for (int k = rank - 1, i = in_rank - 1; k >= 0; k--, i--) {
        if (i >= 0 && !sym_is_number(in[i]))
            return false;
        strides[k] = i < 0 || (in[i] == 1 && out[k] != 1) ? 0 : step;
        if (i >= 0 && __builtin_mul_overflow(step, in[i], &step))
            return false;
    }
    return true;
}

static int expand_infer(struct infer *c, struct err *e)
{
    int in_rank = infer_rank(c, 0);
    int64_t n, dims[TENSOR_RANK_MAX], strides[TENSOR_RANK_MAX];
    const int64_t *elems;
    int r = infer_dtypes(c, 1, DT(I64) | DT(I32), e);
    if (!r)
        r = layout_shape(c, 1, &elems, &n, e);
    if (r)
        return r;
    if (in_rank < 0 || !sym_is_number(n))
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    int rank = in_rank > n ? in_rank : (int)n;
    for (int k = 0; k < rank; k++) {
        int i = k - (rank - in_rank), j = k - (rank - (int)n);
        int64_t d = i >= 0 ? infer_dim(c, 0, i) : 1;
        int64_t want = j < 0 ? 1 : elems ? elems[j] : SYM_UNKNOWN;
        c->late |= sym_is_unknown(want); /* only running tells if it fits */
        if (sym_is_number(want) && want < 0)
            return err_set(e, ERR_MODEL, "element %d of the shape is %lld", j, (long long)want);
        dims[k] = expand_dim(c, d, want);
        if (sym_is_number(d) && sym_is_number(want) && sym_is_unknown(dims[k]))
            return err_set(e, ERR_MODEL, "dim %d of the input is %lld, of the shape %lld", i,
                           (long long)d, (long long)want);
        dims[k] = layout_dim(c, dims[k]);
    }
    r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    if (!r && repeat_strides(c->in[0]->type.dims, in_rank, dims, rank, strides))
        layout_move_elems(c, rank, dims, strides, 0);
    return r;
}

static int expand_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int64_t strides[TENSOR_RANK_MAX];
    struct move m;
    if (s.first >= s.last)
        return 0;
    for (int i = 0; i < x->rank; i++)
        if (x->dims[i] != 1 && x->dims[i] != y->dims[i + y->rank - x->rank])
            return err_set(e, ERR_INPUT, "dim %d of the input is %lld, of the output %lld", i,
                           (long long)x->dims[i], (long long)y->dims[i + y->rank - x->rank]);
    repeat_strides(x->dims, x->rank, y->dims, y->rank, strides);
    move_init(&m, dtype_size(x->dtype), y->rank, y->dims, strides);
    move_run(&m, x->data, y->data, s.first, s.last);
    return 0;
}

const struct op op_expand = {
    .domain = "",
    .name = "Expand",
    .since = 8,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .host_in = 2,
    .infer = expand_infer,
    .tasks = expand_tasks,
    .run = expand_run,
};

/* ---- Tile -------------------------------------------------------------------------------------
 */

/* Version 1 has one count and one axis, both as scalars of any type. */
static int tile_first(struct infer *c, int rank, int64_t *repeats, struct err *e)
{
    const struct tensor *count = infer_data(c, 1), *axis = infer_data(c, 2);
    for (int i = 0; i < rank; i++)
        repeats[i] = count && axis ? 1 : SYM_UNKNOWN;
    if (!count || !axis)
        return 0;
    double n = tensor_count(count) == 1 ? tensor_float(count, 0) : -1;
    double at = tensor_count(axis) == 1 ? tensor_float(axis, 0) : -1;
    if (!(n >= 0 && n < 1e9) || !(at >= 0 && at < rank))
        return err_set(e, ERR_MODEL, "tiles %g along axis %g of %d dims", n, at, rank);
    repeats[(int)at] = (int64_t)n;
    return 0;
}

static int tile_repeats(struct infer *c, int rank, int64_t *repeats, struct err *e)
{
    int64_t n;
    if (c->node->opset < 6)
        return tile_first(c, rank, repeats, e);
    int r = infer_dtypes(c, 1, DT(I64), e);
    if (r)
        return r;
    const int64_t *elems = infer_elems(c, 1, &n);
    if (elems && n != rank)
        return err_set(e, ERR_MODEL, "%lld repeats for an input of rank %d", (long long)n, rank);
    for (int i = 0; i < rank; i++) {
        repeats[i] = elems ? elems[i] : SYM_UNKNOWN;
        if (sym_is_number(repeats[i]) && repeats[i] < 0)
            return err_set(e, ERR_MODEL, "repeat %d is %lld", i, (long long)repeats[i]);
    }
    return 0;
}

static int tile_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0);
    int64_t dims[TENSOR_RANK_MAX], repeats[TENSOR_RANK_MAX], pair[2], strides[2] = {0, 1};
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    int r = tile_repeats(c, rank, repeats, e);
    if (r)
        return r;
    for (int i = 0; i < rank; i++)
        dims[i] = layout_dim(c, sym_mul(c->syms, infer_dim(c, 0, i), repeats[i]));
    r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    if (!r && rank == 1) {
        int64_t n;
        const int64_t *elems = c->syms ? infer_elems(c, 0, &n) : NULL;
        pair[0] = repeats[0];
        pair[1] = infer_dim(c, 0, 0);
        struct move m;
        int64_t out[FACT_ELEMS_MAX];
        if (elems && sym_is_number(dims[0]) && sym_is_number(pair[0]) &&
            dims[0] <= FACT_ELEMS_MAX) {
            move_init(&m, sizeof *elems, 2, pair, strides);
            move_run(&m, elems, out, 0, dims[0]);
            infer_set_elems(c, 0, out, dims[0]);
        }
    }
    return r;
}

static int tile_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int64_t dims[MOVE_RANK], strides[MOVE_RANK], own[TENSOR_RANK_MAX];
    struct move m;
    if (s.first >= s.last)
        return 0;
    /* Each dim is (repeats, length), the first of which stands still in the input. */
    dims_strides(x->dims, x->rank, own);
    for (int i = 0; i < x->rank; i++) {
        if (x->dims[i] == 0 || y->dims[i] % x->dims[i])
            return err_set(e, ERR_INPUT, "dim %d of the output is %lld, of the input %lld", i,
                           (long long)y->dims[i], (long long)x->dims[i]);
        dims[2 * i] = y->dims[i] / x->dims[i];
        dims[2 * i + 1] = x->dims[i];
        strides[2 * i] = 0;
        strides[2 * i + 1] = own[i];
    }
    move_init(&m, dtype_size(x->dtype), 2 * x->rank, dims, strides);
    move_run(&m, x->data, y->data, s.first, s.last);
    return 0;
}

const struct op op_tile = {
    .domain = "",
    .name = "Tile",
    .since = 1,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .host_in = 2 | 4,
    .infer = tile_infer,
    .tasks = expand_tasks,
    .run = tile_run,
};
