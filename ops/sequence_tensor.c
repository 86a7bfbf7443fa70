/* SPDX-License-Identifier: Apache-2.0 */
/* ConcatFromSequence and SplitToSequence: from a sequence to one tensor, and back. */
#include <stddef.h>
#include <string.h>

#include "ops/common.h"

/* ---- ConcatFromSequence ------------------------------------------------------------------------ */

struct attrs_join {
    int64_t axis, new_axis;
};

static const struct attr join_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_join, axis), .required = true},
    {"new_axis", ATTR_INT, offsetof(struct attrs_join, new_axis)},
    {0},
};

static int join_infer(struct infer *c, struct err *e)
{
    const struct attrs_join *at = c->attrs;
    const struct type *t = &c->in[0]->type;
    if (t->kind != TYPE_SEQUENCE)
        return err_set(e, ERR_MODEL, "input 0 must be a sequence");
    if (at->new_axis != 0 && at->new_axis != 1)
        return err_set(e, ERR_MODEL, "new_axis is %lld, not 0 or 1", (long long)at->new_axis);
    return infer_unknown(c, 0, t->elem && t->elem->kind == TYPE_TENSOR ? t->elem->dtype : t->dtype, e);
}

/* The result's dims; every item must fit the first. */
static int join_dims(const struct seq *s, bool new_axis, int64_t at, int *axis, int *rank, int64_t *dims,
                     struct err *e)
{
    const struct tensor *first = &s->items[0].tensor;
    char a[160], b[160];
    int64_t place;
    *rank = first->rank + new_axis;
    int rc = norm_index(at, *rank, "axis", &place, e);
    if (rc < 0)
        return rc;
    *axis = (int)place;
    if (*rank > TENSOR_RANK_MAX)
        return err_set(e, ERR_LIMIT, "the result would have more than %d dims", TENSOR_RANK_MAX);
    for (int k = 0; k < *rank; k++)
        dims[k] = new_axis && k >= *axis ? (k == *axis ? 0 : first->dims[k - 1]) : first->dims[k];
    dims[*axis] = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct tensor *t = &s->items[i].tensor;
        bool fits = s->items[i].kind == VALUE_TENSOR && t->dtype == first->dtype && t->rank == first->rank;
        for (int k = 0; k < first->rank && fits; k++)
            fits = t->dims[k] == first->dims[k] || (!new_axis && k == *axis);
        if (!fits)
            return err_set(e, ERR_INPUT, "item %zu is %s, the first one %s", i,
                           tensor_describe(t, a, sizeof a), tensor_describe(first, b, sizeof b));
        if (__builtin_add_overflow(dims[*axis], new_axis ? 1 : t->dims[*axis], &dims[*axis]))
            return err_set(e, ERR_LIMIT, "the result would be too large");
    }
    return 0;
}

static int join_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_join *at = c->attrs;
    int64_t dims[TENSOR_RANK_MAX];
    int axis = 0, rank = 0;
    if (c->in[0]->kind != VALUE_SEQUENCE)
        return err_set(e, ERR_INPUT, "input 0 is not a sequence");
    const struct seq *s = c->in[0]->seq;
    if (s->count == 0)
        return err_set(e, ERR_INPUT, "the sequence is empty");
    if (s->items[0].kind != VALUE_TENSOR)
        return err_set(e, ERR_INPUT, "the sequence does not hold tensors");
    enum dtype dtype = s->items[0].tensor.dtype;
    int rc = join_dims(s, at->new_axis != 0, at->axis, &axis, &rank, dims, e);
    if (rc == 0)
        rc = call_output(c, 0, dtype, rank, dims, e);
    struct tensor *y = call_out(c, 0);
    if (rc < 0 || !y || tensor_count(y) == 0)
        return rc;
    int64_t outer = dims_product(dims, 0, axis), inner = dims_product(dims, axis + 1, rank);
    size_t run = (size_t)(dims[axis] * inner) * dtype_size(dtype), done = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct tensor *t = &s->items[i].tensor;
        size_t part = (size_t)((at->new_axis ? 1 : t->dims[axis]) * inner) * dtype_size(dtype);
        for (int64_t o = 0; o < outer && part; o++)
            memcpy((char *)y->data + (size_t)o * run + done, (const char *)t->data + (size_t)o * part, part);
        done += part;
        if (dtype == DTYPE_STRING && t->buffer && y->buffer && rc == 0)
            rc = buffer_keep(y->buffer, t->buffer, e);
    }
    return rc;
}

/* ---- SplitToSequence --------------------------------------------------------------------------- */

struct attrs_cut {
    int64_t axis, keepdims;
};

static const struct attr cut_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_cut, axis)},
    {"keepdims", ATTR_INT, offsetof(struct attrs_cut, keepdims), .i = 1},
    {0},
};

static int cut_infer(struct infer *c, struct err *e)
{
    const struct attrs_cut *at = c->attrs;
    int axis, rank = infer_rank(c, 0), rc = infer_dtypes(c, 0, DT_ANY, e);
    if (rc == 0 && infer_has(c, 1))
        rc = infer_dtypes(c, 1, DT(I32) | DT(I64), e);
    if (rc == 0 && infer_rank(c, 1) > 1)
        rc = err_set(e, ERR_MODEL, "split has rank %d, expected 0 or 1", infer_rank(c, 1));
    if (rc == 0 && rank >= 0)
        rc = infer_axis(at->axis, rank, &axis, e);
    struct type *item = rc == 0 ? arena_alloc(c->arena, sizeof(*item), e) : NULL;
    if (!item)
        return rc < 0 ? rc : ERR_MEMORY;
    *item = (struct type){.kind = TYPE_TENSOR, .dtype = infer_dtype(c, 0), .rank = -1};
    infer_set_type(c, 0, &(struct type){.kind = TYPE_SEQUENCE, .dtype = item->dtype, .rank = -1, .elem = item});
    c->late = true;
    return 0;
}

/* Append elements [from, from + n) along the axis. */
static int append_part(struct call *c, struct seq *s, const struct tensor *x, int axis, int64_t from, int64_t n,
                       bool drop, struct err *e)
{
    struct value v = {.kind = VALUE_TENSOR};
    int64_t dims[TENSOR_RANK_MAX];
    int rank = x->rank - drop;
    memcpy(dims, x->dims, (size_t)axis * sizeof *dims);
    memcpy(dims + axis, x->dims + axis + drop, (size_t)(rank - axis) * sizeof *dims);
    if (!drop)
        dims[axis] = n;
    int rc = tensor_new(&v.tensor, c->budget, x->dtype, rank, dims, e);
    if (rc < 0)
        return rc;
    int64_t outer = dims_product(x->dims, 0, axis);
    size_t unit = (size_t)dims_product(x->dims, axis + 1, x->rank) * dtype_size(x->dtype);
    size_t part = (size_t)n * unit, row = (size_t)x->dims[axis] * unit;
    for (int64_t o = 0; o < outer && part; o++)
        memcpy((char *)v.tensor.data + (size_t)o * part,
               (const char *)x->data + (size_t)o * row + (size_t)from * unit, part);
    if (x->dtype == DTYPE_STRING && x->buffer)
        rc = buffer_keep(v.tensor.buffer, x->buffer, e);
    if (rc < 0) {
        value_clear(&v);
        return rc;
    }
    return seq_insert(s, s->count, &v, e);
}

/* Fill the sequence: parts of a length, the last one shorter, or of given lengths. */
static int cut(struct call *c, struct seq *s, const struct tensor *x, int axis, struct err *e)
{
    const struct attrs_cut *at = c->attrs;
    const struct tensor *split = call_in(c, 1);
    int64_t dim = x->dims[axis], from = 0, each = split && split->rank == 0 ? tensor_int(split, 0) : 1;
    bool listed = split && split->rank == 1, drop = !split && !at->keepdims;
    int64_t parts = listed ? split->dims[0] : 0;
    if (each < 1)
        return err_set(e, ERR_INPUT, "split is %lld", (long long)each);
    if (!listed)
        parts = dim / each + (dim % each != 0);
    for (int64_t i = 0; i < parts; i++) {
        int64_t n = listed ? tensor_int(split, i) : dim - from < each ? dim - from : each;
        if (n < 0 || n > dim - from)
            return err_set(e, ERR_INPUT, "part %lld of %lld behind %lld does not fit a dim of %lld",
                           (long long)i, (long long)n, (long long)from, (long long)dim);
        int rc = append_part(c, s, x, axis, from, n, drop, e);
        if (rc == 0)
            rc = call_poll(c, e);
        if (rc < 0)
            return rc;
        from += n;
    }
    if (from != dim)
        return err_set(e, ERR_INPUT, "the parts add up to %lld, the dim is %lld", (long long)from,
                       (long long)dim);
    return 0;
}

static int cut_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_cut *at = c->attrs;
    const struct tensor *x = call_in(c, 0);
    int64_t axis;
    int rc = norm_index(at->axis, x->rank, "axis", &axis, e);
    if (rc < 0)
        return rc;
    struct value v = {.kind = VALUE_SEQUENCE, .seq = seq_new(c->budget, x->dtype, e)};
    if (!v.seq)
        return e ? e->code : ERR_MEMORY;
    rc = cut(c, v.seq, x, (int)axis, e);
    if (rc == 0)
        return call_output_value(c, 0, &v, e);
    seq_unref(v.seq);
    return rc;
}

const struct op op_concatfromsequence = {
    .domain = "", .name = "ConcatFromSequence", .since = 11,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .flags = OP_HOST | OP_DYNAMIC | OP_PURE, .host_in = ~0u,
    .attrs = join_attrs, .attrs_size = sizeof(struct attrs_join),
    .infer = join_infer, .run = join_run,
};

const struct op op_splittosequence = {
    .domain = "", .name = "SplitToSequence", .since = 11,
    .in_min = 1, .in_max = 2, .out_min = 1, .out_max = 1,
    .flags = OP_HOST | OP_DYNAMIC, .host_in = ~0u,
    .attrs = cut_attrs, .attrs_size = sizeof(struct attrs_cut),
    .infer = cut_infer, .run = cut_run,
};
