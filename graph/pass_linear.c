/* SPDX-License-Identifier: Apache-2.0 */
/* Products by a transposed constant: MatMul(x, Transpose(w)) is Gemm(x, w, transB=1), and a Gemm's own
 * transB turns. Where x has more dims than two they are made one around the Gemm:
 *
 *   x ─► Reshape [-1, k] ─► Gemm(w) ─► Reshape [dims of x without the last.., n]
 *
 * Folding would copy the weight only to be packed from the copy, and with a tied embedding the original
 * stays in use as well. Reshapes cost nothing, and the target is known as soon as x's dims are.
 */
#include <limits.h>
#include <string.h>

#include "graph/attrs.h"
#include "graph/match.h"
#include "graph/pass.h"

#define FLOAT_BITS (DTYPE_BIT(DTYPE_F32) | DTYPE_BIT(DTYPE_F16) | DTYPE_BIT(DTYPE_BF16))

/* The constant matrix that input 1 is the transpose of, or NULL. Types that are not packed gain nothing. */
static struct graph_value *turned_weight(const struct node *n)
{
    const struct node *t = n->n_in > 1 && n->in[1] ? n->in[1]->producer : NULL;
    if (!t || !node_is(t, "Transpose") || !t->in[0])
        return NULL;
    const struct tensor *w = match_constant(t->in[0]);
    const struct ints *perm = &((const struct attrs_transpose *)t->attrs)->perm;
    if (!w || w->rank != 2 || w->dims[0] < 1 || w->dims[1] < 1 || !(DTYPE_BIT(w->dtype) & FLOAT_BITS))
        return NULL;
    return !perm->v || (perm->n == 2 && perm->v[0] == 1 && perm->v[1] == 0) ? t->in[0] : NULL;
}

/* ---- new nodes ------------------------------------------------------------------------------- */

static struct graph_value *put(struct node *before, const char *name, struct graph_value *a,
                               struct graph_value *b, const struct type *type, struct err *e)
{
    struct graph *g = before->graph;
    const struct op *op = op_find("", name, INT_MAX, NULL);
    struct graph_value *v = op ? graph_value_new(g, "", e) : NULL;
    struct node *n = v ? graph_node_new(g, op, before->name, b ? 2 : 1, 1, before, e) : NULL;
    if (!op)
        err_set(e, ERR_INTERNAL, "there is no operator %s", name);
    if (!n || node_set_in(n, 0, a, e) || (b && node_set_in(n, 1, b, e)))
        return NULL;
    v->fact.type = *type;
    node_set_out(n, 0, v);
    return v;
}

static struct graph_value *numbers(struct graph *g, int64_t count, const int64_t *from, struct err *e)
{
    struct tensor t;
    if (tensor_new(&t, g->shared->budget, DTYPE_I64, 1, &count, e))
        return NULL;
    memcpy(t.data, from, (size_t)count * sizeof *from);
    return graph_constant(g, "", &t, e);
}

static struct type matrix(enum dtype dtype, int64_t rows, int64_t cols)
{
    return (struct type){.kind = TYPE_TENSOR, .dtype = dtype, .rank = 2, .dims = {rows, cols}};
}

static struct type list(int64_t count)
{
    return (struct type){.kind = TYPE_TENSOR, .dtype = DTYPE_I64, .rank = 1, .dims = {count}};
}

/* x with all dims before the last made one. */
static struct graph_value *flatten(struct node *n, int64_t rows, int64_t k, struct err *e)
{
    struct type to = matrix(n->in[0]->fact.type.dtype, rows, k);
    struct graph_value *target = numbers(n->graph, 2, (int64_t[]){-1, k}, e);
    return target ? put(n, "Reshape", n->in[0], target, &to, e) : NULL;
}

/* The product y with x's dims in front again. */
static struct graph_value *unflatten(struct node *n, struct graph_value *y, int64_t columns,
                                     struct err *e)
{
    int rank = n->in[0]->fact.type.rank;
    struct type front = list(rank - 1), whole = list(rank);
    struct graph_value *shape = put(n, "Shape", n->in[0], NULL, &front, e);
    struct graph_value *last = shape ? numbers(n->graph, 1, &columns, e) : NULL;
    if (!last)
        return NULL;
    ((struct attrs_shape *)shape->producer->attrs)->end = -1;
    struct graph_value *target = put(n, "Concat", shape, last, &whole, e);
    if (!target)
        return NULL;
    ((struct attrs_concat *)target->producer->attrs)->axis = 0;
    return put(n, "Reshape", y, target, &n->out[0]->fact.type, e);
}

static int make_gemm(struct node *n, struct graph_value *w, struct err *e)
{
    const struct type *t = &n->in[0]->fact.type;
    const struct tensor *data = match_constant(w);
    int64_t rows = 1;
    bool flat = t->rank == 2;
    for (int i = 0; i < t->rank - 1; i++)
        rows = sym_mul(n->graph->shared->syms, rows, t->dims[i]);
    struct type product = matrix(t->dtype, rows, data->dims[0]);
    struct graph_value *x = flat ? n->in[0] : flatten(n, rows, data->dims[1], e);
    struct graph_value *y = x ? put(n, "Gemm", x, w, &product, e) : NULL;
    if (!y)
        return pass_failed(e);
    ((struct attrs_gemm *)y->producer->attrs)->transB = 1;
    struct graph_value *out = flat ? y : unflatten(n, y, data->dims[0], e);
    return out ? pass_bypass(n, out, e) : pass_failed(e);
}

static bool applies(const struct node *n)
{
    if (node_is(n, "Gemm"))
        return true;
    if (!node_is(n, "MatMul") || !n->in[0] || !n->out[0])
        return false;
    const struct type *t = &n->in[0]->fact.type;
    /* The model's opset must have the forms that are put in, so that it can say them when it is saved:
     * Gemm without C, Shape of some dims. 0: unknown. */
    int opset = n->graph->shared->opset, needed = t->rank == 2 ? 11 : 15;
    return t->kind == TYPE_TENSOR && t->rank >= 2 && !match_constant(n->in[0]) && (!opset || opset >= needed);
}

int pass_linear(struct graph *g, struct pass_context *c, struct err *e)
{
    int count = 0;
    struct node *next;
    for (struct node *n = g->first; n; n = next) {
        next = n->next;
        struct graph_value *w = applies(n) ? turned_weight(n) : NULL;
        if (!w)
            continue;
        if (!pass_allow(c))
            return count;
        int r;
        if (node_is(n, "Gemm")) {
            struct attrs_gemm *at = n->attrs;
            at->transB = !at->transB;
            r = node_set_in(n, 1, w, e);
        } else {
            r = make_gemm(n, w, e);
        }
        if (r)
            return r;
        count++;
    }
    return count;
}
