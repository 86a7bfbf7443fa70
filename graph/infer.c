/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/infer.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/threads.h"

/* Inputs and outputs of a node that need no memory of their own. */
enum { FEW = 6 };

/* The symbols that a node made for dims that only running tells. Inferring it again takes them in
 * the same order, so that a graph inferred after every pass does not fill the table. Within one
 * sweep each is given once: a loop's body is inferred several times, on different facts. */
struct fresh {
    uint32_t sweep;
    size_t used, count, cap;
    int64_t *symbols;
};

/* Loops infer their bodies several times, so that nested loops of a hostile file would take for
 * ever: nodes may be inferred this many times on average. */
enum { REPEATS_MAX = 256 };

/* One call of graph_infer. */
struct sweep {
    uint64_t left; /* nodes that may still be inferred */
    bool placed;   /* the error has its place in front already */
    struct infer_report *report; /* NULL: the first error ends it */
};

/* A node's inference and what it belongs to. */
struct driver {
    struct infer infer;
    struct graph_shared *shared;
    struct sweep *sweep;
};

static int infer_nodes(struct graph *g, struct sweep *w, struct err *e);

static int failed(const struct err *e)
{
    return e && e->code ? e->code : ERR_MEMORY;
}

int64_t fresh_symbol(struct infer *c)
{
    struct driver *d = (struct driver *)((char *)c - offsetof(struct driver, infer));
    struct fresh *f = *c->fresh;
    if (!f) {
        f = arena_alloc(&d->shared->arena, sizeof *f, NULL);
        if (!f)
            return SYM_UNKNOWN;
        *c->fresh = f;
    }
    if (f->sweep != d->shared->sweep) {
        f->sweep = d->shared->sweep;
        f->used = 0;
    }
    if (f->used < f->count)
        return f->symbols[f->used++];
    int64_t s = sym_fresh(c->syms, 0);
    if (f->count == f->cap && sym_is_expr(s)) {
        size_t cap = f->cap ? f->cap * 2 : 2;
        int64_t *more = arena_array(&d->shared->arena, cap, sizeof *more, NULL);
        if (!more)
            return s;
        if (f->count)
            memcpy(more, f->symbols, f->count * sizeof *more);
        f->symbols = more;
        f->cap = cap;
    }
    if (sym_is_expr(s)) {
        f->symbols[f->count++] = s;
        f->used = f->count;
    }
    return s;
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* "x float[1,3], w float[4,5]": at most four inputs, of names and shapes that may be long. */
static void list_inputs(const struct infer *c, char *buf, size_t size)
{
    size_t n = 0;
    int shown = 0;
    buf[0] = '\0';
    for (int i = 0; i < c->n_in && n < size; i++) {
        char type[96];
        if (shown == 4) {
            snprintf(buf + n, size - n, ", ...");
            return;
        }
        const char *sep = shown++ ? ", " : "";
        int k;
        if (c->in[i])
            k = snprintf(buf + n, size - n, "%s%.40s %s", sep,
                         c->node->in[i] ? value_name(c->node->in[i]) : "",
                         type_print(&c->in[i]->type, c->syms, type, sizeof type));
        else
            k = snprintf(buf + n, size - n, "%sabsent", sep);
        n += k > 0 ? (size_t)k : 0;
    }
}

static int put_place(const struct infer *c, int code, struct err *e)
{
    char node[192], inputs[400];
    if (!e)
        return code;
    node_describe(c->node, node, sizeof node);
    list_inputs(c, inputs, sizeof inputs);
    if (!inputs[0])
        return err_at(e, code, "%s", node);
    return err_at(e, code, "%s with input%s %s", node, c->n_in > 1 ? "s" : "", inputs);
}

/* ---- around an operator's infer -------------------------------------------------------------- */

static bool takes_values(const struct op *op)
{
    return op->flags & (OP_HOST | OP_VALUES);
}

/* What every operator may rely on. */
static int check_inputs(const struct infer *c, struct err *e)
{
    const struct op *op = c->node->op;
    if (c->n_in < op->in_min || (op->in_max >= 0 && c->n_in > op->in_max))
        return err_set(e, ERR_MODEL, "%d inputs are given", c->n_in);
    for (int i = 0; i < c->n_in; i++) {
        if (!c->in[i] && i < op->in_min)
            return err_set(e, ERR_MODEL, "input %d is missing", i);
        if (c->in[i] && c->in[i]->type.kind != TYPE_TENSOR && !takes_values(op)) {
            char text[96];
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "input %d is %s, not a tensor", i,
                           type_print(&c->in[i]->type, c->syms, text, sizeof text));
        }
    }
    return 0;
}

/* What everyone may rely on after an operator. */
static int check_outputs(const struct infer *c, struct err *e)
{
    for (int o = 0; o < c->n_out; o++) {
        const struct fact *f = &c->out[o];
        const struct type *t = &f->type;
        if (!c->node->out[o])
            continue;
        if (t->kind == TYPE_UNKNOWN)
            return err_set(e, ERR_INTERNAL, "the type of output %d was not inferred", o);
        if (t->kind == TYPE_TENSOR && t->rank > TENSOR_RANK_MAX)
            return err_set(e, ERR_INTERNAL, "output %d was inferred with rank %d", o, t->rank);
        if (t->kind != TYPE_TENSOR || t->rank < 0 || !f->elems)
            continue;
        int64_t count = 1;
        for (int k = 0; k < t->rank; k++)
            count = sym_mul(c->syms, count, t->dims[k]);
        if (sym_is_number(count) && count != f->n_elems)
            return err_set(e, ERR_INTERNAL,
                           "output %d was inferred with %lld elements in %lld places", o,
                           (long long)f->n_elems, (long long)count);
    }
    return 0;
}

static int infer_one(struct infer *c, struct err *e)
{
    const struct op *op = c->node->op;
    if (!op->infer)
        return err_set(e, ERR_INTERNAL, "the operator has no inference");
    int r = check_inputs(c, e);
    if (r == 0)
        r = op->infer(c, e);
    return r ? r : check_outputs(c, e);
}

/* ---- load time ------------------------------------------------------------------------------- */

static bool symbolic(const struct fact *f)
{
    if (f->type.kind == TYPE_TENSOR && f->type.rank < 0)
        return true;
    for (int k = 0; k < f->type.rank; k++) {
        if (!sym_is_number(f->type.dims[k]))
            return true;
    }
    for (int64_t i = 0; f->elems && i < f->n_elems; i++) {
        if (!sym_is_number(f->elems[i]))
            return true;
    }
    return false;
}

static bool same_dims(const struct type *a, const struct type *b)
{
    if (a->kind != TYPE_TENSOR || b->kind != TYPE_TENSOR || a->rank != b->rank || a->rank < 0)
        return false;
    return memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

static bool one_element(const struct type *t)
{
    for (int k = 0; k < t->rank; k++) {
        if (t->dims[k] != 1)
            return false;
    }
    return t->kind == TYPE_TENSOR && t->rank >= 0;
}

/* Must the node be inferred again on numbers before it runs? Operators take symbolic dims for right
 * unless they are certainly wrong (channels of a weight, the inner dim of a product), and kernels
 * rely on them. Numbers were settled here; nothing was supposed where all dims are those of
 * input 0, as in element-wise operators, or only dims are read. */
static bool needs_check(const struct infer *c)
{
    bool any = false, same = true;
    const struct fact *first = NULL;
    if (c->node->op->flags & OP_SHAPE_ONLY)
        return false;
    for (int i = 0; i < c->n_in; i++) {
        const struct fact *f = c->in[i];
        if (!f)
            continue;
        first = first ? first : f;
        any |= symbolic(f);
        same &= same_dims(&f->type, &first->type) || one_element(&f->type);
    }
    for (int o = 0; o < c->n_out && first; o++) {
        if (c->node->out[o])
            same &= same_dims(&c->out[o].type, &first->type);
    }
    return any && !same;
}

static int gather_inputs(const struct node *n, const struct fact **in, struct err *e)
{
    for (int i = 0; i < n->n_in; i++) {
        const struct graph_value *v = n->in[i];
        in[i] = v ? &v->fact : NULL;
        if (v && v->fact.type.kind == TYPE_UNKNOWN)
            return err_set(e, ERR_INTERNAL, "the type of '%.80s' is not known before it is read",
                           value_name(v));
    }
    return 0;
}

static int infer_graph(struct infer *c, struct graph *g, const struct fact *in, int n_in,
                       struct fact *out, int n_out, struct err *e)
{
    struct driver *d = (struct driver *)((char *)c - offsetof(struct driver, infer));
    if (!g)
        return err_set(e, ERR_MODEL, "a subgraph is missing");
    if (n_in != g->n_inputs || n_out != g->n_outputs)
        return err_set(e, ERR_MODEL, "a subgraph has %d inputs and %d outputs, not %d and %d",
                       g->n_inputs, g->n_outputs, n_in, n_out);
    for (int i = 0; i < n_in; i++) {
        g->inputs[i]->fact = in[i];
        g->inputs[i]->fact.value = NULL;
        g->inputs[i]->hint = false;
    }
    for (size_t i = 0; i < g->n_values; i++) {
        if (g->values[i]->outer)
            g->values[i]->fact = g->values[i]->outer->fact;
    }
    int r = infer_nodes(g, d->sweep, e);
    for (int i = 0; i < n_out && r == 0; i++) {
        if (g->outputs[i]->fact.type.kind == TYPE_UNKNOWN)
            return err_set(e, ERR_MODEL, "output '%.80s' of a subgraph is made by no node",
                           value_name(g->outputs[i]));
        out[i] = g->outputs[i]->fact;
    }
    return r;
}

static int infer_node(struct node *n, struct sweep *w, struct err *e)
{
    struct graph_shared *s = n->graph->shared;
    struct fact few_out[FEW], *out = few_out;
    const struct fact *few_in[FEW], **in = few_in;
    struct driver d = {.shared = s, .sweep = w};
    if (w->left-- == 0)
        return err_set(e, ERR_LIMIT, "inference takes too long: loops are nested too deep");
    if (n->n_in > FEW && !(in = arena_array(&s->facts, (size_t)n->n_in, sizeof *in, e)))
        return failed(e);
    if (n->n_out > FEW && !(out = arena_array(&s->facts, (size_t)n->n_out, sizeof *out, e)))
        return failed(e);
    memset(out, 0, (size_t)n->n_out * sizeof *out);
    d.infer = (struct infer){.node = n,
                             .attrs = n->attrs,
                             .syms = s->syms,
                             .arena = &s->facts,
                             .in = in,
                             .out = out,
                             .n_in = n->n_in,
                             .n_out = n->n_out,
                             .graph = infer_graph,
                             .fresh = &n->fresh};
    memset(in, 0, (size_t)n->n_in * sizeof *in);
    int r = gather_inputs(n, in, e);
    syms_undecided(s->syms);
    if (r == 0)
        r = infer_one(&d.infer, e);
    if (r) {
        if (!w->placed && !(w->report && r == ERR_UNSUPPORTED))
            put_place(&d.infer, r, e);
        w->placed = true;
        return r;
    }
    n->late = d.infer.late;
    n->checked = !n->late && (n->op->flags & OP_EXACT ? syms_undecided(s->syms) : needs_check(&d.infer));
    for (int o = 0; o < n->n_out; o++) {
        if (!n->out[o])
            continue;
        n->out[o]->fact = out[o];
        n->out[o]->fact.value = NULL;
        n->out[o]->hint = false;
    }
    return 0;
}

static bool reads_unknown(const struct node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->fact.type.kind == TYPE_UNKNOWN)
            return true;
    for (int i = 0; i < n->n_graphs; i++)
        for (size_t k = 0; k < n->graphs[i]->n_values; k++) {
            const struct graph_value *outer = n->graphs[i]->values[k]->outer;
            if (outer && outer->graph == n->graph && outer->fact.type.kind == TYPE_UNKNOWN)
                return true;
        }
    return false;
}

/* As infer_node, but going on after what is not supported. */
static int infer_or_tell(struct node *n, struct sweep *w, struct err *e)
{
    struct err local = {0};
    if (reads_unknown(n)) {
        w->report->behind++;
        return 0;
    }
    size_t lacking = w->report->told + w->report->behind;
    int r = infer_node(n, w, &local);
    if (r == 0)
        return 0;
    w->placed = false;
    if (n->n_graphs && w->report->told + w->report->behind > lacking) {
        w->report->behind++; /* its subgraph lacks what was not inferred there */
        return 0;
    }
    if (r == ERR_UNSUPPORTED) {
        w->report->told++;
        return w->report->unsupported(w->report, n, local.msg, e);
    }
    return err_set(e, (enum err_code)r, "%s", local.msg);
}

static int infer_nodes(struct graph *g, struct sweep *w, struct err *e)
{
    for (struct node *n = g->first; n; n = n->next) {
        int r = stop_poll(g->shared->stop, e);
        if (r == 0)
            r = w->report ? infer_or_tell(n, w, e) : infer_node(n, w, e);
        if (r)
            return r;
    }
    return 0;
}

static void constant_elems(struct graph_value *v, struct graph_shared *s)
{
    struct fact f = v->fact;
    const struct fact *in = &f;
    struct infer c = {.syms = s->syms, .arena = &s->facts, .in = &in, .n_in = 1};
    v->fact.elems = infer_elems(&c, 0, &v->fact.n_elems);
}

/* Forget what an earlier inference found, here and below, and note what constants say. */
static void forget(struct graph *g)
{
    for (size_t i = 0; i < g->n_values; i++) {
        struct graph_value *v = g->values[i];
        const struct tensor *t = v->constant;
        v->fact.elems = NULL;
        v->fact.n_elems = 0;
        v->fact.data = t;
        v->fact.value = NULL;
        if (v->is_input && !g->parent)
            continue;
        v->fact.type = (struct type){.rank = -1};
        if (!t)
            continue;
        v->fact.type = (struct type){.kind = TYPE_TENSOR, .dtype = t->dtype, .rank = t->rank};
        memcpy(v->fact.type.dims, t->dims, (size_t)t->rank * sizeof *t->dims);
        constant_elems(v, g->shared);
    }
    for (struct node *n = g->first; n; n = n->next) {
        n->late = n->checked = false;
        for (int i = 0; i < n->n_graphs; i++)
            forget(n->graphs[i]);
    }
}

int graph_infer(struct graph *main, struct err *e)
{
    return graph_infer_report(main, NULL, e);
}

int graph_infer_report(struct graph *main, struct infer_report *report, struct err *e)
{
    struct graph_shared *s = main->shared;
    struct sweep w = {.left = ((uint64_t)s->n_nodes + 16) * REPEATS_MAX, .report = report};
    arena_clear(&s->facts);
    arena_init(&s->facts, s->budget);
    s->sweep++;
    forget(main);
    for (int i = 0; i < main->n_inputs; i++) {
        if (main->inputs[i]->fact.type.kind == TYPE_UNKNOWN)
            return err_set(e, ERR_MODEL, "input '%.80s' has no type", main->inputs[i]->name);
    }
    return infer_nodes(main, &w, e);
}

/* ---- run time -------------------------------------------------------------------------------- */

static int run_graph(struct infer *c, struct graph *g, const struct fact *in, int n_in,
                     struct fact *out, int n_out, struct err *e)
{
    return err_set(e, ERR_INTERNAL, "a subgraph cannot be inferred at run time");
}

/* A sequence's or a map's element type is told as far as the value itself knows it. */
static int set_kind(struct type *t, const struct value *v, struct arena *scratch, struct err *e)
{
    struct type *elem = arena_alloc(scratch, sizeof *elem, e);
    if (!elem)
        return failed(e);
    *elem = (struct type){.kind = TYPE_TENSOR, .rank = -1};
    *t = (struct type){.kind = TYPE_OPTIONAL, .rank = -1, .elem = elem};
    if (v->kind == VALUE_SEQUENCE) {
        t->kind = TYPE_SEQUENCE;
        elem->dtype = v->seq->dtype;
    } else if (v->kind == VALUE_MAP) {
        t->kind = TYPE_MAP;
        t->dtype = v->map->keys.dtype;
        elem->dtype =
            v->map->values.kind == VALUE_TENSOR ? v->map->values.tensor.dtype : DTYPE_NONE;
    }
    return 0;
}

static int fact_of(struct fact *f, const struct value *v, struct arena *scratch, struct err *e)
{
    const struct tensor *t = &v->tensor;
    f->elems = NULL;
    f->n_elems = 0;
    f->data = NULL;
    f->value = v;
    if (v->kind != VALUE_TENSOR)
        return set_kind(&f->type, v, scratch, e);
    f->type.kind = TYPE_TENSOR;
    f->type.dtype = t->dtype;
    f->type.rank = t->rank;
    f->type.elem = NULL;
    bool empty = false;
    for (int k = 0; k < t->rank; k++) {
        f->type.dims[k] = t->dims[k];
        empty |= t->dims[k] == 0;
    }
    if (t->data || empty)
        f->data = t;
    return 0;
}

int node_infer_run(const struct node *n, struct value *const *in, struct fact *out,
                   struct arena *scratch, bool *late, struct err *e)
{
    struct fact few_facts[FEW], *facts = few_facts;
    const struct fact *few_in[FEW], **list = few_in;
    int r = 0;
    if (n->n_in > FEW && (!(facts = arena_array(scratch, (size_t)n->n_in, sizeof *facts, e)) ||
                          !(list = arena_array(scratch, (size_t)n->n_in, sizeof *list, e))))
        return failed(e);
    for (int i = 0; i < n->n_in && r == 0; i++) {
        list[i] = in[i] ? &facts[i] : NULL;
        if (in[i])
            r = fact_of(&facts[i], in[i], scratch, e);
    }
    if (r)
        return r;
    for (int o = 0; o < n->n_out; o++)
        out[o] = (struct fact){0};
    struct infer c = {.node = n,
                      .attrs = n->attrs,
                      .arena = scratch,
                      .in = list,
                      .out = out,
                      .n_in = n->n_in,
                      .n_out = n->n_out,
                      .graph = run_graph};
    r = infer_one(&c, e);
    *late = c.late;
    return r ? put_place(&c, r, e) : 0;
}
