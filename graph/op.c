/* SPDX-License-Identifier: Apache-2.0 */
/* What operators call in their infer functions. The same code serves symbols (at load) and numbers
 * (at run time, where c->syms is NULL). */
#include "graph/op.h"

#include <string.h>

#include "graph/infer.h"

/* The most elements that are turned into int64_t for an operator at run time. */
enum { RUN_ELEMS_MAX = 1 << 20 };

/* What is wrong with shapes is the model's fault at load and the input's at run time. */
static enum err_code fault(const struct infer *c)
{
    return c->syms ? ERR_MODEL : ERR_INPUT;
}

static const char *print_dims(const struct infer *c, const struct type *t, char *buf, size_t size)
{
    struct type plain = *t;
    plain.kind = TYPE_TENSOR;
    return type_print(&plain, c->syms, buf, size);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

/* Numbers that look like handles of expressions are not carried: nothing can use such values. */
static int64_t plain(int64_t v)
{
    return sym_is_number(v) ? v : SYM_UNKNOWN;
}

static bool all_numbers(const int64_t *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!sym_is_number(v[i]))
            return false;
    }
    return true;
}

const int64_t *infer_elems(struct infer *c, int i, int64_t *n)
{
    static const int64_t none;
    *n = 0;
    if (!infer_has(c, i))
        return NULL;
    const struct fact *f = c->in[i];
    if (f->elems) {
        *n = f->n_elems;
        return f->elems;
    }
    const struct tensor *t = f->data;
    if (!t || !(dtype_is_int(t->dtype) || t->dtype == DTYPE_BOOL))
        return NULL;
    int64_t count = tensor_count(t);
    if (count > (c->syms ? FACT_ELEMS_MAX : RUN_ELEMS_MAX) || (count && !t->data))
        return NULL;
    *n = count;
    if (count == 0)
        return &none;
    if (t->dtype == DTYPE_I64 && all_numbers(t->data, count))
        return t->data;
    int64_t *v = arena_array(c->arena, (size_t)count, sizeof *v, NULL);
    if (!v) {
        *n = 0;
        return NULL;
    }
    size_t size = dtype_size(t->dtype);
    for (int64_t k = 0; k < count; k++)
        v[k] = plain(dtype_load_i64(t->dtype, (const char *)t->data + (size_t)k * size));
    return v;
}

const int64_t *infer_numbers(struct infer *c, int i, int64_t *n)
{
    const int64_t *v = infer_elems(c, i, n);
    if (v && all_numbers(v, *n))
        return v;
    *n = 0;
    return NULL;
}

const struct tensor *infer_data(const struct infer *c, int i)
{
    return infer_has(c, i) ? c->in[i]->data : NULL;
}

int infer_dtypes(const struct infer *c, int i, uint32_t mask, struct err *e)
{
    if (c->probe && c->probe->input != i)
        return 0;
    if (c->probe) {
        c->probe->types = mask;
        return err_set(e, ERR_UNSUPPORTED, "asked for the types of input %d only", i);
    }
    if (!infer_has(c, i))
        return err_set(e, ERR_MODEL, "input %d is missing", i);
    const struct type *t = &c->in[i]->type;
    if (t->kind != TYPE_TENSOR) {
        char text[96];
        return err_set(e, ERR_MODEL, "input %d is %s, not a tensor", i,
                       type_print(t, c->syms, text, sizeof text));
    }
    if ((unsigned)t->dtype < DTYPE_COUNT && (mask & DTYPE_BIT(t->dtype)) && t->dtype != DTYPE_NONE)
        return 0;
    return err_set(e, ERR_UNSUPPORTED, "input %d has type %s, which the operator does not take", i,
                   dtype_name(t->dtype));
}

int infer_same_dtype(const struct infer *c, int i, int j, struct err *e)
{
    if (!infer_has(c, i) || !infer_has(c, j) || infer_dtype(c, i) == infer_dtype(c, j))
        return 0;
    return err_set(e, fault(c), "inputs %d and %d must have one type, not %s and %s", i, j,
                   dtype_name(infer_dtype(c, i)), dtype_name(infer_dtype(c, j)));
}

int infer_axis(int64_t axis, int rank, int *out, struct err *e)
{
    if (axis < -rank || axis >= rank)
        return err_set(e, ERR_MODEL, "axis %lld is outside a shape of rank %d", (long long)axis,
                       rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return 0;
}

/* ---- broadcasting ---------------------------------------------------------------------------- */

/* One dim into another; false if they certainly do not fit. Numbers are settled here, without a
 * call. */
static bool broadcast_dim(struct infer *c, int64_t *into, int64_t d)
{
    if (*into == d || d == 1)
        return true;
    if (*into == 1) {
        *into = d;
        return true;
    }
    if (sym_is_number(*into) && sym_is_number(d))
        return false;
    *into = c->syms ? sym_broadcast(c->syms, *into, d) : SYM_UNKNOWN;
    return true;
}

int infer_broadcast(struct infer *c, int first, int count, int *rank, int64_t *dims, struct err *e)
{
    int most = 0;
    *rank = -1;
    for (int i = first; i < first + count; i++) {
        if (!infer_has(c, i))
            continue;
        if (infer_rank(c, i) < 0)
            return 0;
        most = infer_rank(c, i) > most ? infer_rank(c, i) : most;
    }
    for (int k = 0; k < most; k++)
        dims[k] = 1;
    for (int i = first; i < first + count; i++) {
        if (!infer_has(c, i))
            continue;
        int own = infer_rank(c, i);
        for (int k = 0; k < own; k++) {
            if (broadcast_dim(c, &dims[most - own + k], infer_dim(c, i, k)))
                continue;
            struct type sofar = {.dtype = DTYPE_NONE, .rank = most};
            char a[160], b[160];
            memcpy(sofar.dims, dims, (size_t)most * sizeof *dims);
            return err_set(e, fault(c), "input %d, %s, does not broadcast with %s", i,
                           print_dims(c, &c->in[i]->type, a, sizeof a),
                           print_dims(c, &sofar, b, sizeof b));
        }
    }
    *rank = most;
    return 0;
}

/* ---- outputs --------------------------------------------------------------------------------- */

int infer_set(struct infer *c, int o, enum dtype dtype, int rank, const int64_t *dims,
              struct err *e)
{
    if (o >= c->n_out)
        return 0;
    if (rank < 0)
        return infer_unknown(c, o, dtype, e);
    if (rank > TENSOR_RANK_MAX)
        return err_set(e, ERR_UNSUPPORTED, "output %d has rank %d, more than %d", o, rank,
                       TENSOR_RANK_MAX);
    struct type *t = &c->out[o].type;
    for (int k = 0; k < rank; k++) {
        int64_t d = dims[k];
        if (sym_is_number(d) && d < 0)
            return err_set(e, fault(c), "dim %d of output %d would be %lld", k, o, (long long)d);
        t->dims[k] = sym_is_unknown(d) ? infer_fresh(c) : d;
    }
    t->kind = TYPE_TENSOR;
    t->dtype = dtype;
    t->rank = rank;
    t->elem = NULL;
    return 0;
}

int infer_like(struct infer *c, int o, int i, enum dtype dtype, struct err *e)
{
    if (!infer_has(c, i))
        return err_set(e, ERR_MODEL, "input %d is missing", i);
    return infer_set(c, o, dtype, infer_rank(c, i), c->in[i]->type.dims, e);
}

int infer_unknown(struct infer *c, int o, enum dtype dtype, struct err *e)
{
    if (o >= c->n_out)
        return 0;
    c->out[o].type = (struct type){.kind = TYPE_TENSOR, .dtype = dtype, .rank = -1};
    c->late = true;
    return 0;
}

void infer_set_type(struct infer *c, int o, const struct type *t)
{
    if (o >= c->n_out)
        return;
    c->out[o].type = *t;
    if (t->kind == TYPE_TENSOR && t->rank < 0)
        c->late = true;
}

void infer_set_elems(struct infer *c, int o, const int64_t *elems, int64_t n)
{
    if (o >= c->n_out || n < 0 || n > FACT_ELEMS_MAX || !c->syms)
        return;
    /* Without memory for them the elements are merely not known. */
    int64_t *own = arena_array(c->arena, (size_t)n, sizeof *own, NULL);
    if (!own)
        return;
    if (n)
        memcpy(own, elems, (size_t)n * sizeof *own);
    c->out[o].elems = own;
    c->out[o].n_elems = n;
}

int64_t infer_fresh(struct infer *c)
{
    c->late = true;
    if (!c->syms)
        return SYM_UNKNOWN;
    return c->fresh ? fresh_symbol(c) : sym_fresh(c->syms, 0);
}
