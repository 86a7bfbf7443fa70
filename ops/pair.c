/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/pair.h"

static bool is_legacy(const struct node *n, const struct pair_attrs *a)
{
    return a && n->opset < 7 && a->broadcast;
}

int pair_infer(struct infer *c, enum dtype dtype, const struct pair_attrs *legacy, struct err *e)
{
    int rank;
    int64_t dims[TENSOR_RANK_MAX];
    if (is_legacy(c->node, legacy)) {
        if (infer_rank(c, 0) < 0)
            return infer_unknown(c, 0, dtype, e);
        return infer_like(c, 0, 0, dtype, e);
    }
    int r = infer_broadcast(c, 0, 2, &rank, dims, e);
    if (r)
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, dtype, e);
    return infer_set(c, 0, dtype, rank, dims, e);
}

struct broadcast_shape tensor_shape(const struct tensor *t)
{
    return (struct broadcast_shape){(unsigned)t->rank, t->dims, dtype_size(t->dtype)};
}

static int shape_error(const struct call *c, int i, struct err *e)
{
    char in[96], out[96];
    return err_set(e, ERR_INPUT, "input %d, %s, does not broadcast to %s", i,
                   tensor_describe(call_in(c, i), in, sizeof in),
                   tensor_describe(call_out(c, 0), out, sizeof out));
}

int call_broadcast(const struct call *c, int first, int count, struct broadcast *b, struct err *e)
{
    struct broadcast_shape out = tensor_shape(call_out(c, 0)), in[BROADCAST_INPUTS];
    for (int i = 0; i < count; i++)
        in[i] = tensor_shape(call_in(c, first + i));
    if (!broadcast_init(b, &out, (unsigned)count, in))
        return shape_error(c, first + count - 1, e);
    return 0;
}

/* B's dims, then ones up to A's rank: *dims holds them. */
static int legacy_shape(const struct call *c, const struct pair_attrs *legacy, int64_t *dims,
                        struct broadcast_shape *shape, struct err *e)
{
    const struct tensor *a = call_in(c, 0), *b = call_in(c, 1);
    int64_t axis = legacy->axis;
    *shape = tensor_shape(b);
    if (tensor_count(b) == 1) {
        shape->rank = 0;
        return 0;
    }
    if (axis == ATTR_ABSENT)
        axis = a->rank - b->rank;
    else if (axis < 0)
        axis += a->rank;
    if (axis < 0 || axis > a->rank - b->rank)
        return shape_error(c, 1, e);
    for (int64_t i = 0; i < a->rank - axis; i++)
        dims[i] = i < b->rank ? b->dims[i] : 1;
    shape->rank = (unsigned)(a->rank - axis);
    shape->dims = dims;
    return 0;
}

int pair_broadcast(const struct call *c, const struct pair_attrs *legacy, struct broadcast *b,
                   struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    if (!is_legacy(c->node, legacy))
        return call_broadcast(c, 0, 2, b, e);
    struct broadcast_shape out = tensor_shape(call_out(c, 0)), in[2];
    in[0] = tensor_shape(call_in(c, 0));
    int r = legacy_shape(c, legacy, dims, &in[1], e);
    if (r)
        return r;
    return broadcast_init(b, &out, 2, in) ? 0 : shape_error(c, 1, e);
}

int64_t elems_combine(struct syms *s, enum dtype dtype, const int64_t *a, int64_t n_a,
                      const int64_t *b, int64_t n_b, elem_fn *fn, int64_t *out)
{
    int64_t n = n_a == 1 ? n_b : n_a;
    if ((n_b != 1 && n_b != n) || n > FACT_ELEMS_MAX)
        return -1;
    for (int64_t i = 0; i < n; i++) {
        int64_t x = a[n_a == 1 ? 0 : i], y = b[n_b == 1 ? 0 : i], v = SYM_UNKNOWN;
        if (!sym_is_unknown(x) && !sym_is_unknown(y))
            v = fn(s, x, y);
        /* int32 wraps: rare enough not to be followed. */
        if (dtype == DTYPE_I32 && sym_is_number(v) && v != (int32_t)v)
            v = SYM_UNKNOWN;
        out[i] = v;
    }
    return n;
}

void pair_elems(struct infer *c, enum dtype dtype, elem_fn *fn)
{
    int64_t n_a, n_b, out[FACT_ELEMS_MAX];
    if (!(DTYPE_BIT(dtype) & (DT(I64) | DT(I32) | DT(BOOL))) || infer_rank(c, 0) > 1 ||
        infer_rank(c, 1) > 1)
        return;
    const int64_t *a = infer_elems(c, 0, &n_a), *b = infer_elems(c, 1, &n_b);
    if (!a || !b)
        return;
    int64_t n = elems_combine(c->syms, dtype, a, n_a, b, n_b, fn, out);
    if (n >= 0)
        infer_set_elems(c, 0, out, n);
}

enum dtype wide_dtype(enum dtype a, enum dtype b)
{
    bool floats = dtype_is_float(a) || dtype_is_float(b);
    if (!floats)
        return a == DTYPE_U64 && b == DTYPE_U64 ? DTYPE_U64 : DTYPE_I64;
    /* An integer of 32 bits or more does not fit f32, unless it is the power of one. */
    if (a == DTYPE_F64 || b == DTYPE_F64 || !dtype_is_float(a))
        return DTYPE_F64;
    return DTYPE_F32;
}

void wide_load(enum dtype wide, enum dtype dtype, const void *p, int64_t n, union wide_chunk *out)
{
    if (wide == DTYPE_F32)
        elems_to_f32(dtype, p, 0, n, out->f32);
    else if (wide == DTYPE_F64)
        elems_to_f64(dtype, p, 0, n, out->f64);
    else
        elems_to_i64(dtype, p, 0, n, out->i64);
}

void wide_store(enum dtype wide, enum dtype dtype, void *p, int64_t n, const union wide_chunk *in)
{
    if (wide == DTYPE_F32)
        elems_from_f32(dtype, p, 0, n, in->f32);
    else if (wide == DTYPE_F64)
        elems_from_f64(dtype, p, 0, n, in->f64);
    else
        elems_from_i64(dtype, p, 0, n, in->i64);
}
