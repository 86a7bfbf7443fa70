/* SPDX-License-Identifier: Apache-2.0 */
/* Concat. Contents are joined too: this is how exporters build shapes. */
#include "graph/attrs.h"
#include "ops/append.h"
#include "ops/layout.h"

/* The contents of 1-D inputs, one after the other; unknown ones of known length stay unknown. */
static void join_elems(struct infer *c)
{
    int64_t out[FACT_ELEMS_MAX], count = 0;
    if (!((DT(I64) | DT(I32) | DT(BOOL)) & DTYPE_BIT(infer_dtype(c, 0))))
        return;
    for (int i = 0; i < c->n_in; i++) {
        int64_t n = infer_dim(c, i, 0), known;
        if (!sym_is_number(n) || n < 0 || n > FACT_ELEMS_MAX - count)
            return;
        const int64_t *elems = infer_elems(c, i, &known);
        for (int64_t k = 0; k < n; k++)
            out[count++] = elems && k < known ? elems[k] : SYM_UNKNOWN;
    }
    infer_set_elems(c, 0, out, count);
}

/* One more input's dims into the output's. */
static int join_dims(struct infer *c, int i, int rank, int axis, int64_t *dims, struct err *e)
{
    for (int k = 0; k < rank; k++) {
        int64_t d = infer_dim(c, i, k);
        if (k == axis) {
            dims[k] = sym_add(c->syms, dims[k], d);
            continue;
        }
        if (sym_differ(c->syms, dims[k], d)) {
            if (sym_is_number(d) && sym_is_number(dims[k]))
                return err_set(e, ERR_MODEL,
                               "input %d has dim %d of %lld, the inputs before it %lld", i, k,
                               (long long)d, (long long)dims[k]);
            return err_set(e, ERR_MODEL, "input %d has another dim %d than the inputs before it", i,
                           k);
        }
        /* A number says more than an expression, and an expression more than nothing. */
        if (sym_is_unknown(dims[k]) || (sym_is_number(d) && !sym_is_number(dims[k])))
            dims[k] = d;
    }
    return 0;
}

int concat_infer(struct infer *c, struct err *e)
{
    const struct attrs_concat *a = c->attrs;
    int rank = -1, axis, r;
    bool all = true, first = true;
    int64_t dims[TENSOR_RANK_MAX];
    for (int i = 0; i < c->n_in; i++) {
        if (!infer_has(c, i))
            return err_set(e, ERR_MODEL, "input %d is missing", i);
        r = infer_same_dtype(c, 0, i, e);
        if (r)
            return r;
        if (infer_rank(c, i) < 0)
            all = false;
        else if (rank < 0)
            rank = infer_rank(c, i);
        else if (infer_rank(c, i) != rank)
            return err_set(e, ERR_MODEL, "input %d has rank %d, the inputs before it %d", i,
                           infer_rank(c, i), rank);
    }
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    r = infer_axis(a->axis, rank, &axis, e);
    if (r)
        return r;
    for (int i = 0; i < c->n_in; i++) {
        if (infer_rank(c, i) < 0)
            continue;
        if (first)
            memcpy(dims, c->in[i]->type.dims, sizeof dims);
        else if ((r = join_dims(c, i, rank, axis, dims, e)))
            return r;
        first = false;
    }
    if (!all)
        dims[axis] = SYM_UNKNOWN;
    for (int k = 0; k < rank; k++)
        if (sym_is_unknown(dims[k]))
            dims[k] = infer_fresh(c);
    r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    if (!r && rank == 1 && all && c->syms)
        join_elems(c);
    return r;
}

static int64_t concat_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int concat_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_concat *a = c->attrs;
    struct tensor *out = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int axis = (int)(a->axis < 0 ? a->axis + out->rank : a->axis), k = 0;
    size_t size = dtype_size(out->dtype);
    if (s.first >= s.last)
        return 0;
    int64_t inner = dims_product(out->dims, axis + 1, out->rank), total = out->dims[axis] * inner;
    int64_t row = s.first / total, at = s.first % total, sum = 0;
    for (int i = 0; i < c->n_in; i++)
        sum += call_in(c, i)->dims[axis] * inner;
    if (sum != total)
        return err_set(e, ERR_INPUT, "the inputs' dims do not add up to the output's");
    while (at >= call_in(c, k)->dims[axis] * inner)
        at -= call_in(c, k++)->dims[axis] * inner;
    char *o = tensor_at(out, s.first);
    for (int64_t left = s.last - s.first; left > 0; at = 0) {
        const struct tensor *x = call_in(c, k);
        int64_t length = x->dims[axis] * inner, n = length - at < left ? length - at : left;
        move_bytes(o, (const char *)x->data + (size_t)(row * length + at) * size, (size_t)n * size);
        o += (size_t)n * size;
        left -= n;
        if (++k == c->n_in) {
            k = 0;
            row++;
        }
    }
    return 0;
}

static const struct attr concat_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_concat, axis), .until = 3, .i = 1},
    {"axis", ATTR_INT, offsetof(struct attrs_concat, axis), .since = 4, .required = true},
    {NULL},
};

const struct op op_concat = {
    .domain = "",
    .name = "Concat",
    .since = 1,
    .in_min = 1,
    .in_max = -1,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_EXACT,
    .attrs = concat_attrs,
    .attrs_size = sizeof(struct attrs_concat),
    .infer = concat_infer,
    .tasks = concat_tasks,
    .run = concat_run,
};
