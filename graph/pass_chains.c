/* SPDX-License-Identifier: Apache-2.0 */
/* Two of a kind in a row: casts, transpositions, reshapes. The second node reads the first one's
 * input and does both; the first stays for other readers, and goes when it has none. */
#include <limits.h>
#include <string.h>

#include "graph/attrs.h"
#include "graph/match.h"
#include "graph/pass.h"

/* The node before n, if it is one of these; n reads its output 0 and it has an input 0. */
static struct node *before(const struct node *n, const char *names)
{
    struct node *p = n->n_in > 0 && n->in[0] ? n->in[0]->producer : NULL;
    if (!p || n->in[0]->producer_index != 0 || p->n_in == 0 || !p->in[0])
        return NULL;
    return node_is(p, names) ? p : NULL;
}

/* ---- casts ---------------------------------------------------------------------------------- */

/* Bits of the largest run of integers that a type holds exactly, from 0; 0: not one of these
 * types. */
static int exact_bits(enum dtype t)
{
    switch (t) {
    case DTYPE_F16:
        return 11;
    case DTYPE_BF16:
        return 8;
    case DTYPE_F32:
        return 24;
    case DTYPE_F64:
        return 53;
    case DTYPE_BOOL:
        return 1;
    default:
        return dtype_is_int(t) ? (int)dtype_bits(t) - (dtype_kind(t) == 'I') : 0;
    }
}

/* Every value of `from` is one of `to`. */
static bool lossless(enum dtype from, enum dtype to)
{
    if (from == to)
        return true;
    if (exact_bits(from) == 0 || exact_bits(to) < exact_bits(from))
        return false;
    switch (dtype_kind(from)) {
    case 'F': /* exponents: f16's fit in f32 and f64, bf16's too, but not each other's */
        return to == DTYPE_F64 || (to == DTYPE_F32 && from != DTYPE_F64);
    case 'I':
        return dtype_kind(to) == 'I' || dtype_kind(to) == 'F';
    default:
        return true;
    }
}

/* Does from -> middle -> to give what from -> to gives? A number that went through exactly is
 * rounded, wrapped or compared with zero as it would have been; but floats become integers by
 * other rules than integers do, so the two steps must not mix them, unless nothing is lost at
 * all. */
static bool direct(enum dtype from, enum dtype middle, enum dtype to)
{
    if (!lossless(from, middle))
        return false;
    if (lossless(from, to) || dtype_kind(to) == 'B')
        return true;
    if (dtype_is_float(to))
        return exact_bits(to) > 0;
    return dtype_is_int(from) && dtype_is_int(middle) && dtype_is_int(to);
}

int pass_casts(struct graph *g, struct pass_context *c, struct err *e)
{
    int count = 0;
    for (struct node *n = g->first; n; n = n->next) {
        struct node *p = node_is(n, "Cast") ? before(n, "Cast") : NULL;
        if (!p)
            continue;
        const struct attrs_cast *a = p->attrs, *b = n->attrs;
        const struct type *t = &p->in[0]->fact.type;
        if (t->kind != TYPE_TENSOR || !direct(t->dtype, (enum dtype)a->to, (enum dtype)b->to))
            continue;
        if (!pass_allow(c))
            return count;
        int r = node_set_in(n, 0, p->in[0], e);
        if (r)
            return r;
        count++;
    }
    return count;
}

/* ---- transpositions ------------------------------------------------------------------------- */

/* The permutation of a node whose input has this rank; false if it is none. */
static bool read_perm(const struct node *n, int rank, int64_t *perm)
{
    const struct attrs_transpose *a = n->attrs;
    unsigned seen = 0;
    if (a->perm.v && a->perm.n != rank)
        return false;
    for (int i = 0; i < rank; i++) {
        perm[i] = a->perm.v ? a->perm.v[i] : rank - 1 - i;
        if (perm[i] < 0 || perm[i] >= rank || (seen & 1u << perm[i]))
            return false;
        seen |= 1u << perm[i];
    }
    return true;
}

static int compose(struct node *n, struct node *p, int rank, const int64_t *inner,
                   const int64_t *outer, struct err *e)
{
    int64_t *perm = arena_array(&n->graph->shared->arena, (size_t)rank, sizeof *perm, e);
    if (!perm)
        return pass_failed(e);
    for (int i = 0; i < rank; i++)
        perm[i] = inner[outer[i]];
    int r = node_set_in(n, 0, p->in[0], e);
    if (r == 0)
        ((struct attrs_transpose *)n->attrs)->perm = (struct ints){perm, rank};
    return r;
}

int pass_transposes(struct graph *g, struct pass_context *c, struct err *e)
{
    int64_t inner[TENSOR_RANK_MAX], outer[TENSOR_RANK_MAX];
    int count = 0;
    for (struct node *n = g->first; n; n = n->next) {
        struct node *p = node_is(n, "Transpose") ? before(n, "Transpose") : NULL;
        int rank = p ? p->in[0]->fact.type.rank : -1;
        if (rank < 1 || !read_perm(p, rank, inner) || !read_perm(n, rank, outer))
            continue;
        if (!pass_allow(c))
            return count;
        int r = compose(n, p, rank, inner, outer, e);
        if (r)
            return r;
        count++;
    }
    return count;
}

/* ---- reshapes ------------------------------------------------------------------------------- */

#define RESHAPES "Reshape|Squeeze|Unsqueeze|Flatten"

/* The target says it all, without a look at the input's dims. */
static bool reads_no_dims(const struct node *n)
{
    if (!node_is(n, "Reshape") || n->n_in < 2 || !n->in[1])
        return false;
    const struct attrs_reshape *a = n->attrs;
    const struct fact *f = &n->in[1]->fact;
    const struct tensor *t = match_constant(n->in[1]);
    int64_t count = t ? tensor_count(t) : f->elems ? f->n_elems : -1;
    if (t && t->dtype != DTYPE_I64)
        return false;
    for (int64_t i = 0; i < count; i++) {
        int64_t v = t ? ((const int64_t *)t->data)[i] : f->elems[i];
        if (sym_is_unknown(v) || (v == 0 && !a->allowzero))
            return false;
    }
    return count >= 0;
}

/* What to ask of a Reshape of x for these dims: numbers, 0 for x's own dim in that place, -1
 * once. */
static bool target_of(struct syms *s, const struct type *x, const struct type *out, int64_t *target)
{
    int holes = 0;
    for (int i = 0; i < out->rank; i++) {
        int64_t d = out->dims[i];
        if (sym_is_number(d) && d > 0)
            target[i] = d;
        else if (i < x->rank && sym_equal(s, d, x->dims[i]))
            target[i] = 0;
        else if (sym_is_number(d) || holes++)
            return false;
        else
            target[i] = -1;
    }
    return out->rank >= 0;
}

/* A Reshape of x in place of n. */
static int put_reshape(struct node *n, struct graph_value *x, const int64_t *target, struct err *e)
{
    struct graph *g = n->graph;
    struct graph_value *old = n->out[0];
    const struct op *op = op_find("", "Reshape", INT_MAX, NULL);
    int64_t rank = old->fact.type.rank;
    struct tensor t;
    if (!op)
        return 0;
    int r = tensor_new(&t, g->shared->budget, DTYPE_I64, 1, &rank, e);
    if (r)
        return r;
    memcpy(t.data, target, (size_t)rank * sizeof *target);
    struct graph_value *shape = graph_constant(g, "", &t, e);
    struct graph_value *v = shape ? graph_value_new(g, "", e) : NULL;
    struct node *made = v ? graph_node_new(g, op, n->name, 2, 1, n, e) : NULL;
    if (!made)
        return pass_failed(e);
    if ((r = node_set_in(made, 0, x, e)) || (r = node_set_in(made, 1, shape, e)))
        return r;
    v->fact = old->fact;
    node_set_out(made, 0, v);
    r = pass_bypass(n, v, e);
    return r ? r : 1;
}

static int join_reshapes(struct node *n, struct node *p, struct pass_context *c, struct err *e)
{
    struct graph_value *x = p->in[0];
    const struct type *from = &x->fact.type, *to = &n->out[0]->fact.type;
    int64_t target[TENSOR_RANK_MAX];
    bool rewire = reads_no_dims(n);
    if (!rewire && (from->kind != TYPE_TENSOR || to->kind != TYPE_TENSOR ||
                    !target_of(n->graph->shared->syms, from, to, target)))
        return 0;
    if (!pass_allow(c))
        return 0;
    int r = rewire ? node_set_in(n, 0, x, e) : put_reshape(n, x, target, e);
    return r < 0 ? r : 1;
}

int pass_reshapes(struct graph *g, struct pass_context *c, struct err *e)
{
    int count = 0;
    struct node *next;
    for (struct node *n = g->first; n; n = next) {
        next = n->next;
        bool one = n->n_out == 1 && n->out[0] && node_is(n, RESHAPES);
        struct node *p = one ? before(n, RESHAPES) : NULL;
        int r = p ? join_reshapes(n, p, c, e) : 0;
        if (r < 0)
            return r;
        count += r;
    }
    return count;
}
