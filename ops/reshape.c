/* SPDX-License-Identifier: Apache-2.0 */
/* Reshape, Flatten, Squeeze, Unsqueeze: views, so that all there is to do is dims. */
#include "graph/attrs.h"
#include "ops/layout.h"

static int64_t product(struct infer *c, const int64_t *dims, int n)
{
    int64_t p = 1;
    for (int i = 0; i < n; i++)
        p = sym_mul(c->syms, p, dims[i]);
    return p;
}

/* ---- Reshape ----------------------------------------------------------------------------------
 */

/* The dim at `hole` so that the elements are as many as the input's. Factors that both sides have
 * are taken out first: what is left usually divides as numbers. */
static int64_t fill_hole(struct infer *c, const int64_t *dims, int rank, int hole)
{
    int64_t have[TENSOR_RANK_MAX], want[TENSOR_RANK_MAX];
    int n_have = infer_rank(c, 0), n_want = 0;
    for (int i = 0; i < n_have; i++)
        have[i] = infer_dim(c, 0, i);
    for (int i = 0; i < rank; i++) {
        int k = 0;
        if (i == hole)
            continue;
        while (k < n_have && !(sym_is_expr(dims[i]) && have[k] == dims[i]))
            k++;
        if (k < n_have)
            have[k] = have[--n_have];
        else
            want[n_want++] = dims[i];
    }
    int64_t up = product(c, have, n_have), down = product(c, want, n_want);
    if (sym_is_number(up) && sym_is_number(down)) {
        if (down == 0)
            return up == 0 ? 0 : -1;
        return up % down ? -1 : up / down;
    }
    return sym_floor_div(c->syms, up, down);
}

/* Dims from the shape's contents; *hole is the one left to find, or -1. */
static int read_shape(struct infer *c, const int64_t *elems, int rank, int64_t *dims, int *hole,
                      struct err *e)
{
    const struct attrs_reshape *a = c->attrs;
    int in_rank = infer_rank(c, 0), unknown = 0, last_unknown = -1;
    *hole = -1;
    for (int i = 0; i < rank; i++) {
        dims[i] = elems[i];
        if (dims[i] == -1) {
            if (*hole >= 0)
                return err_set(e, ERR_MODEL, "the shape has more than one -1");
            *hole = i;
        } else if (dims[i] == 0 && !a->allowzero) {
            if (in_rank >= 0 && i >= in_rank)
                return err_set(e, ERR_MODEL,
                               "the shape's element %d is 0, but the input has rank %d", i,
                               in_rank);
            dims[i] = in_rank < 0 ? SYM_UNKNOWN : infer_dim(c, 0, i);
        } else if (sym_is_number(dims[i]) && dims[i] < 0) {
            return err_set(e, ERR_MODEL, "the shape's element %d is %lld", i, (long long)dims[i]);
        }
        if (sym_is_unknown(dims[i])) {
            unknown++;
            last_unknown = i;
        }
    }
    if (*hole >= 0 && a->allowzero)
        for (int i = 0; i < rank; i++)
            if (elems[i] == 0)
                return err_set(e, ERR_MODEL, "the shape has both -1 and 0 with allowzero");
    /* A single unknown element follows from the others as -1 does. */
    if (*hole < 0 && unknown == 1)
        *hole = last_unknown;
    else if (unknown)
        *hole = -2;
    return 0;
}

static int reshape_infer(struct infer *c, struct err *e)
{
    int64_t n, dims[TENSOR_RANK_MAX];
    int in_rank = infer_rank(c, 0), hole;
    if (!infer_has(c, 1))
        return err_set(e, ERR_MODEL, "has no shape");
    const int64_t *elems;
    int r = infer_dtypes(c, 1, DT(I64), e);
    if (!r)
        r = layout_shape(c, 1, &elems, &n, e);
    if (r)
        return r;
    if (!sym_is_number(n))
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (!elems) {
        for (int i = 0; i < n; i++)
            dims[i] = infer_fresh(c);
        return infer_set(c, 0, infer_dtype(c, 0), (int)n, dims, e);
    }
    r = read_shape(c, elems, (int)n, dims, &hole, e);
    if (r)
        return r;
    if (hole >= 0)
        dims[hole] = in_rank < 0 ? SYM_UNKNOWN : fill_hole(c, dims, (int)n, hole);
    if (hole >= 0 && dims[hole] == -1)
        return err_set(e, ERR_MODEL, "no dim %d makes the shape's elements as many as the input's",
                       hole);
    if (hole == -2)
        for (int i = 0; i < n; i++)
            dims[i] = dims[i] == -1 ? SYM_UNKNOWN : dims[i];
    int64_t have = in_rank < 0 ? SYM_UNKNOWN : product(c, c->in[0]->type.dims, in_rank);
    int64_t want = product(c, dims, (int)n);
    for (int i = 0; i < n; i++)
        dims[i] = layout_dim(c, dims[i]);
    if (sym_differ(c->syms, have, want))
        return err_set(e, ERR_MODEL, "the shape has %lld elements, the input %lld", (long long)want,
                       (long long)have);
    r = infer_set(c, 0, infer_dtype(c, 0), (int)n, dims, e);
    if (!r)
        layout_pass_elems(c);
    return r;
}

static const struct attr reshape_attrs[] = {
    {"allowzero", ATTR_INT, offsetof(struct attrs_reshape, allowzero), .since = 14},
    {"shape", ATTR_INTS, .until = 4, .input = 1},
    {"consumed_inputs", ATTR_INTS, .until = 4, .ignore = true},
    {NULL},
};

const struct op op_reshape = {
    .domain = "",
    .name = "Reshape",
    .since = 1,
    .in_min = 1,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_EXACT | OP_VIEW,
    .host_in = 2,
    .attrs = reshape_attrs,
    .attrs_size = sizeof(struct attrs_reshape),
    .infer = reshape_infer,
};

/* ---- Flatten ----------------------------------------------------------------------------------
 */

static int flatten_infer(struct infer *c, struct err *e)
{
    const struct attrs_flatten *a = c->attrs;
    int rank = infer_rank(c, 0), low = c->node->opset < 11 ? 0 : -rank;
    int64_t dims[2];
    if (rank < 0) {
        dims[0] = infer_fresh(c);
        dims[1] = infer_fresh(c);
        return infer_set(c, 0, infer_dtype(c, 0), 2, dims, e);
    }
    if (a->axis < low || a->axis > rank)
        return err_set(e, ERR_MODEL, "axis %lld is outside [%d, %d]", (long long)a->axis, low,
                       rank);
    int axis = (int)(a->axis < 0 ? a->axis + rank : a->axis);
    for (int k = 0; k < 2; k++) {
        dims[k] = k ? product(c, c->in[0]->type.dims + axis, rank - axis)
                    : product(c, c->in[0]->type.dims, axis);
        if (sym_is_unknown(dims[k]))
            dims[k] = infer_fresh(c);
    }
    int r = infer_set(c, 0, infer_dtype(c, 0), 2, dims, e);
    if (!r)
        layout_pass_elems(c);
    return r;
}

static const struct attr flatten_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_flatten, axis), .i = 1},
    {NULL},
};

const struct op op_flatten = {
    .domain = "",
    .name = "Flatten",
    .since = 1,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_EXACT | OP_VIEW,
    .attrs = flatten_attrs,
    .attrs_size = sizeof(struct attrs_flatten),
    .infer = flatten_infer,
};

/* ---- Squeeze ----------------------------------------------------------------------------------
 */

/* Which dims go: a set of bits; 1 where that is known, 0 where not, or an error. */
static int squeeze_set(struct infer *c, unsigned *drop, struct err *e)
{
    const int64_t *list, *dims = c->in[0]->type.dims;
    int64_t n;
    int rank = infer_rank(c, 0), axes[TENSOR_RANK_MAX];
    int known = layout_list(c, 1, &list, &n, e);
    *drop = 0;
    if (known <= 0 || rank < 0)
        return known < 0 ? known : 0;
    if (!list) {
        for (int i = 0; i < rank; i++) {
            if (sym_equal(c->syms, dims[i], 1))
                *drop |= 1u << i;
            else if (!sym_differ(c->syms, dims[i], 1))
                return 0;
        }
        return 1;
    }
    /* Exporters squeeze axis 0 of the scalar that counts a loop's trips. */
    if (rank == 0 && n == 1 && (list[0] == 0 || list[0] == -1))
        return 1;
    int r = layout_axes(list, n, rank, axes, e);
    if (r)
        return r;
    for (int64_t i = 0; i < n; i++) {
        int64_t d = dims[axes[i]];
        if (sym_differ(c->syms, d, 1))
            return sym_is_number(d)
                       ? err_set(e, ERR_MODEL, "dim %d is %lld, expected 1", axes[i], (long long)d)
                       : err_set(e, ERR_MODEL, "dim %d cannot be 1", axes[i]);
        *drop |= 1u << axes[i];
    }
    return 1;
}

static int squeeze_infer(struct infer *c, struct err *e)
{
    unsigned drop;
    int64_t dims[TENSOR_RANK_MAX];
    int rank = 0, known = squeeze_set(c, &drop, e);
    if (known < 0)
        return known;
    if (!known) {
        const int64_t *list;
        int64_t n;
        int r = layout_list(c, 1, &list, &n, e);
        if (r < 0)
            return r;
        if (infer_rank(c, 0) < 0 || !infer_has(c, 1) || n < 0 || n >= infer_rank(c, 0))
            return infer_unknown(c, 0, infer_dtype(c, 0), e);
        for (int i = 0; i < infer_rank(c, 0) - n; i++)
            dims[i] = infer_fresh(c);
        return infer_set(c, 0, infer_dtype(c, 0), (int)(infer_rank(c, 0) - n), dims, e);
    }
    for (int i = 0; i < infer_rank(c, 0); i++)
        if (!(drop >> i & 1))
            dims[rank++] = infer_dim(c, 0, i);
    int r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    if (!r)
        layout_pass_elems(c);
    return r;
}

static const struct attr axes_attrs[] = {
    {"axes", ATTR_INTS, .until = 12, .input = 1},
    {NULL},
};

const struct op op_squeeze = {
    .domain = "",
    .name = "Squeeze",
    .since = 1,
    .in_min = 1,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_EXACT | OP_VIEW,
    .host_in = 2,
    .attrs = axes_attrs,
    .infer = squeeze_infer,
};

/* ---- Unsqueeze --------------------------------------------------------------------------------
 */

static int unsqueeze_infer(struct infer *c, struct err *e)
{
    const int64_t *list;
    int64_t n, dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), axes[TENSOR_RANK_MAX];
    int known = layout_list(c, 1, &list, &n, e);
    if (known < 0)
        return known;
    if (!infer_has(c, 1))
        return err_set(e, ERR_MODEL, "has no axes");
    if (rank < 0 || n < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank + n > TENSOR_RANK_MAX)
        return err_set(e, ERR_UNSUPPORTED, "an output of rank %lld, at most %d is supported",
                       (long long)(rank + n), TENSOR_RANK_MAX);
    rank += (int)n;
    if (!list) {
        for (int i = 0; i < rank; i++)
            dims[i] = infer_fresh(c);
        return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    }
    int r = layout_axes(list, n, rank, axes, e);
    if (r)
        return r;
    unsigned add = 0;
    for (int64_t i = 0; i < n; i++)
        add |= 1u << axes[i];
    for (int i = 0, from = 0; i < rank; i++)
        dims[i] = add >> i & 1 ? 1 : infer_dim(c, 0, from++);
    r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    if (!r)
        layout_pass_elems(c);
    return r;
}

const struct op op_unsqueeze = {
    .domain = "",
    .name = "Unsqueeze",
    .since = 1,
    .in_min = 1,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_EXACT | OP_VIEW,
    .host_in = 2,
    .attrs = axes_attrs,
    .infer = unsqueeze_infer,
};
