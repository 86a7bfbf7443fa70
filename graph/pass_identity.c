/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes whose output is one of their inputs: a table of operators and when they are that.
 *
 * Arithmetic counts only where it is exact for every value: x + 0 is not (it makes -0 a +0), x - 0
 * is.
 */
#include "graph/pass.h"

#include <math.h>
#include <string.h>

#include "graph/attrs.h"
#include "graph/match.h"

/* The input that the output equals, or -1. */
typedef int source_fn(const struct node *n);

static bool has_in(const struct node *n, int i)
{
    return i < n->n_in && n->in[i];
}

static bool same_type(const struct node *n, int i)
{
    return has_in(n, i) &&
           pass_same_type(n->graph, &n->in[i]->fact.type, &n->out[0]->fact.type);
}

static int first(const struct node *n)
{
    return has_in(n, 0) ? 0 : -1;
}

static int dropout(const struct node *n)
{
    const struct attrs_dropout *a = n->attrs;
    bool training = n->opset < 7 ? !a->is_test : has_in(n, 2) && !match_number(n->in[2], 0);
    return training ? -1 : 0;
}

static int cast(const struct node *n)
{
    const struct attrs_cast *a = n->attrs;
    return has_in(n, 0) && n->in[0]->fact.type.kind == TYPE_TENSOR && a->to != DTYPE_NONE &&
           n->in[0]->fact.type.dtype == (enum dtype)a->to ? 0 : -1;
}

static int cast_like(const struct node *n)
{
    if (!has_in(n, 0) || !has_in(n, 1))
        return -1;
    const struct type *a = &n->in[0]->fact.type, *b = &n->in[1]->fact.type;
    return a->kind == TYPE_TENSOR && a->dtype != DTYPE_NONE && a->dtype == b->dtype ? 0 : -1;
}

/* Is all of input i's contents known, as numbers or expressions, or the input absent? */
static bool known(const struct node *n, int i)
{
    if (!has_in(n, i) || match_constant(n->in[i]))
        return true;
    const struct fact *f = &n->in[i]->fact;
    for (int64_t k = 0; f->elems && k < f->n_elems; k++)
        if (sym_is_unknown(f->elems[k]))
            return false;
    return f->elems != NULL;
}

/* Elements stay in order and their number tells that none were added. What only running tells (a
 * shape, axes) may still be wrong: then the node stays, to say so. */
static int same_dims(const struct node *n)
{
    return same_type(n, 0) && known(n, 1) ? 0 : -1;
}

/* Each element of input i is a known number that fits. */
static bool elems_are(const struct node *n, int i, bool (*fits)(int64_t v))
{
    if (!has_in(n, i))
        return false;
    const struct fact *f = &n->in[i]->fact;
    const struct tensor *t = match_constant(n->in[i]);
    int64_t count = t ? tensor_count(t) : f->elems ? f->n_elems : -1;
    if (t && !dtype_is_int(t->dtype))
        return false;
    for (int64_t k = 0; k < count; k++) {
        size_t at = t ? (size_t)k * dtype_size(t->dtype) : 0;
        int64_t v = t ? dtype_load_i64(t->dtype, (const char *)t->data + at) : f->elems[k];
        if ((!t && !sym_is_number(v)) || !fits(v))
            return false;
    }
    return count >= 0;
}

static bool positive(int64_t v)
{
    return v > 0;
}

static bool zero(int64_t v)
{
    return v == 0;
}

/* With positive steps the only slice as long as the dim is the dim. */
static int slice(const struct node *n)
{
    return same_type(n, 0) && (!has_in(n, 4) || elems_are(n, 4, positive)) ? 0 : -1;
}

static int pad(const struct node *n)
{
    return same_type(n, 0) && elems_are(n, 1, zero) ? 0 : -1;
}

static int transpose(const struct node *n)
{
    const struct attrs_transpose *a = n->attrs;
    int rank = has_in(n, 0) ? n->in[0]->fact.type.rank : -1;
    if (!a->perm.v)
        return rank == 0 || rank == 1 ? 0 : -1;
    for (int64_t i = 0; i < a->perm.n; i++)
        if (a->perm.v[i] != i)
            return -1;
    return 0;
}

static int alone(const struct node *n)
{
    return n->n_in == 1 && has_in(n, 0) ? 0 : -1;
}

/* A constant of one element that is exactly this number. */
static bool is_exactly(const struct graph_value *v, double number)
{
    const struct tensor *t = match_constant(v);
    if (!t || tensor_count(t) != 1 || !strchr("FIU", dtype_kind(t->dtype)))
        return false;
    double d = dtype_load_f64(t->dtype, t->data);
    return d == number && signbit(d) == signbit(number);
}

/* The operand that is left when the other one is `neutral`. */
static int arithmetic(const struct node *n, double neutral, bool either)
{
    if (n->n_in != 2)
        return -1;
    for (int i = 0; i < 1 + either; i++)
        if (same_type(n, i) && has_in(n, 1 - i) && is_exactly(n->in[1 - i], neutral))
            return i;
    return -1;
}

static int times_one(const struct node *n)
{
    return arithmetic(n, 1, true);
}

static int divided_by_one(const struct node *n)
{
    return arithmetic(n, 1, false);
}

static int plus_zero(const struct node *n)
{
    return dtype_is_int(n->out[0]->fact.type.dtype) ? arithmetic(n, 0, true) : -1;
}

static int minus_zero(const struct node *n)
{
    return arithmetic(n, 0, false);
}

static const struct rule {
    const char *ops;
    source_fn *source;
} rules[] = {
    {"Identity", first},
    {"Dropout", dropout},
    {"Cast", cast},
    {"CastLike", cast_like},
    {"Reshape|Squeeze|Unsqueeze|Flatten|Expand|Tile", same_dims},
    {"Slice", slice},
    {"Pad", pad},
    {"Transpose", transpose},
    {"Concat|Sum|Max|Min|Mean", alone},
    {"Mul", times_one},
    {"Div|Pow", divided_by_one},
    {"Add", plus_zero},
    {"Sub", minus_zero},
};

static int source_of(const struct node *n)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (node_is(n, rules[i].ops))
            return rules[i].source(n);
    return -1;
}

int pass_identity(struct graph *g, struct pass_context *c, struct err *e)
{
    int count = 0;
    struct node *next;
    for (struct node *n = g->first; n; n = next) {
        next = n->next;
        int i = pass_only_first(n) ? source_of(n) : -1;
        if (i < 0 || !has_in(n, i) || !pass_can_replace(n->out[0], n->in[i]))
            continue;
        if (!pass_allow(c))
            return count;
        int r = pass_bypass(n, n->in[i], e);
        if (r)
            return r;
        count++;
    }
    return count;
}
