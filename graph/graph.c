/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "graph/op.h"

/* The code of a failure that gave NULL. */
static int failed(const struct err *e)
{
    return e && e->code ? e->code : ERR_MEMORY;
}

/* Room for one more element in an array of the arena; what it outgrows stays there unused. */
static int grow(struct arena *a, void **items, size_t n, size_t *cap, size_t size, struct err *e)
{
    if (n < *cap)
        return 0;
    if (*cap > SIZE_MAX / 2)
        return err_set(e, ERR_LIMIT, "an array of a graph is too long");
    size_t more = *cap ? *cap * 2 : 4;
    void *p = arena_array(a, more, size, e);
    if (!p)
        return failed(e);
    if (n)
        memcpy(p, *items, n * size);
    *items = p;
    *cap = more;
    return 0;
}

static char *copy_name(struct graph *g, const char *name, struct err *e)
{
    return arena_strndup(&g->shared->arena, name ? name : "", name ? strlen(name) : 0, e);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

struct graph *graph_new(struct budget *b, struct err *e)
{
    struct graph_shared *s = mem_calloc(b, 1, sizeof *s, e);
    if (!s)
        return NULL;
    s->budget = b;
    arena_init(&s->arena, b);
    arena_init(&s->facts, b);
    struct graph *g = arena_alloc(&s->arena, sizeof *g, e);
    if (!g)
        goto fail;
    s->syms = syms_new(b, e);
    if (!s->syms)
        goto fail;
    g->shared = s;
    g->name = "";
    return g;
fail:
    arena_clear(&s->arena);
    mem_free(s);
    return NULL;
}

struct graph *graph_new_sub(struct graph *parent, struct err *e)
{
    struct graph *g = arena_alloc(&parent->shared->arena, sizeof *g, e);
    if (!g)
        return NULL;
    g->parent = parent;
    g->shared = parent->shared;
    g->name = "";
    return g;
}

void graph_free(struct graph *main)
{
    if (!main)
        return;
    struct graph_shared *s = main->shared;
    for (size_t i = 0; i < s->n_constants; i++)
        tensor_clear(s->constants[i]);
    mem_free(s->constants);
    syms_free(s->syms);
    arena_clear(&s->facts);
    arena_clear(&s->arena);
    mem_free(s);
}

size_t graph_count(const struct graph *g)
{
    size_t n = 0;
    for (const struct node *p = g->first; p; p = p->next) {
        n++;
        for (int i = 0; i < p->n_graphs; i++)
            n += graph_count(p->graphs[i]);
    }
    return n;
}

/* ---- uses ------------------------------------------------------------------------------------ */

/* Room for `more` further uses, so that adding them cannot fail. */
static int reserve_uses(struct graph_value *v, size_t more, struct err *e)
{
    size_t need;
    if (!size_add(v->n_uses, more, &need))
        return err_set(e, ERR_LIMIT, "a value has too many uses");
    while (v->cap_uses < need) {
        void *items = v->uses;
        int r =
            grow(&v->graph->shared->arena, &items, v->cap_uses, &v->cap_uses, sizeof *v->uses, e);
        v->uses = items;
        if (r)
            return r;
    }
    return 0;
}

static void add_use(struct graph_value *v, struct use u)
{
    assert(v->n_uses < v->cap_uses);
    v->uses[v->n_uses++] = u;
}

static void drop_use_at(struct graph_value *v, size_t i)
{
    memmove(v->uses + i, v->uses + i + 1, (v->n_uses - i - 1) * sizeof *v->uses);
    v->n_uses--;
}

static void drop_use(struct graph_value *v, const struct node *n, int index,
                     const struct graph_value *capture)
{
    /* From the end: what was added last is often dropped first. */
    for (size_t i = v->n_uses; i-- > 0;) {
        const struct use *u = &v->uses[i];
        if (u->capture == capture && (capture || (u->node == n && u->index == index))) {
            drop_use_at(v, i);
            return;
        }
    }
    assert(!"a use that the value does not know");
}

/* ---- values ---------------------------------------------------------------------------------- */

const char *value_name(const struct graph_value *v)
{
    while (v->outer)
        v = v->outer;
    return v->name;
}

static void take_out_value(struct graph_value *v)
{
    struct graph *g = v->graph;
    assert(v->place < g->n_values && g->values[v->place] == v);
    struct graph_value *last = g->values[--g->n_values];
    g->values[v->place] = last;
    last->place = v->place;
    v->place = SIZE_MAX;
}

struct graph_value *graph_value_new(struct graph *g, const char *name, struct err *e)
{
    struct graph_shared *s = g->shared;
    if (s->n_values == UINT32_MAX) {
        err_set(e, ERR_LIMIT, "too many values");
        return NULL;
    }
    struct graph_value *v = arena_alloc(&s->arena, sizeof *v, e);
    char *own = v ? copy_name(g, name, e) : NULL;
    void *items = g->values;
    if (!own || grow(&s->arena, &items, g->n_values, &g->cap_values, sizeof *g->values, e))
        return NULL;
    g->values = items;
    v->name = own;
    v->id = s->n_values++;
    v->graph = g;
    v->fact.type.rank = -1;
    v->place = g->n_values;
    g->values[g->n_values++] = v;
    return v;
}

/* Inputs and outputs are few: the array grows by one, doubling at the powers of two. */
static int append(struct graph *g, struct graph_value ***list, int *n, struct graph_value *v,
                  struct err *e)
{
    if (*n == INT_MAX)
        return err_set(e, ERR_LIMIT, "a graph has too many inputs or outputs");
    size_t cap = (size_t)*n;
    if ((*n & (*n - 1)) == 0) {
        void *items = *list;
        size_t room = cap;
        int r = grow(&g->shared->arena, &items, cap, &room, sizeof **list, e);
        if (r)
            return r;
        *list = items;
    }
    (*list)[(*n)++] = v;
    return 0;
}

int graph_add_input(struct graph *g, struct graph_value *v, struct err *e)
{
    if (v->graph != g || v->is_input || v->producer || v->constant || v->outer)
        return err_set(e, ERR_MODEL,
                       "'%.80s' cannot be an input of the graph: it has a source already", v->name);
    int r = append(g, &g->inputs, &g->n_inputs, v, e);
    if (r == 0)
        v->is_input = true;
    return r;
}

int graph_add_output(struct graph *g, struct graph_value *v, struct err *e)
{
    if (v->graph != g)
        return err_set(e, ERR_INTERNAL, "output '%.80s' is of another graph", v->name);
    int r = append(g, &g->outputs, &g->n_outputs, v, e);
    if (r == 0)
        v->is_output = true;
    return r;
}

/* A tensor that the model owns; takes the reference over. */
static struct tensor *own_tensor(struct graph_shared *s, struct tensor *t, struct err *e)
{
    struct tensor *own = arena_alloc(&s->arena, sizeof *own, e);
    void *items = s->constants;
    if (!own ||
        mem_grow(s->budget, &items, s->n_constants, &s->cap_constants, sizeof *s->constants, e)) {
        tensor_clear(t);
        return NULL;
    }
    s->constants = items;
    s->constants[s->n_constants++] = own;
    *own = *t;
    memset(t, 0, sizeof *t);
    return own;
}

static void constant_fact(struct graph_value *v)
{
    const struct tensor *t = v->constant;
    v->fact = (struct fact){.data = t};
    v->fact.type = (struct type){.kind = TYPE_TENSOR, .dtype = t->dtype, .rank = t->rank};
    memcpy(v->fact.type.dims, t->dims, sizeof t->dims);
    v->hint = false;
}

struct graph_value *graph_constant(struct graph *g, const char *name, struct tensor *t,
                                   struct err *e)
{
    struct tensor *own = own_tensor(g->shared, t, e);
    struct graph_value *v = own ? graph_value_new(g, name, e) : NULL;
    if (!v)
        return NULL;
    v->constant = own;
    constant_fact(v);
    return v;
}

int graph_make_constant(struct graph_value *v, struct tensor *t, struct err *e)
{
    if (v->is_input) {
        tensor_clear(t);
        return err_set(e, ERR_INTERNAL, "input '%.80s' cannot become a constant", v->name);
    }
    struct tensor *own = own_tensor(v->graph->shared, t, e);
    if (!own)
        return failed(e);
    if (v->producer) {
        v->producer->out[v->producer_index] = NULL;
        v->producer = NULL;
        v->producer_index = 0;
    }
    if (v->outer) {
        drop_use(v->outer, NULL, -1, v);
        v->outer = NULL;
    }
    if (v->constant)
        tensor_clear(v->constant);
    v->constant = own;
    constant_fact(v);
    return 0;
}

void graph_drop(struct graph_value *v)
{
    assert(!v->producer && !v->n_uses && !v->is_input && !v->is_output && v->place != SIZE_MAX);
    if (v->outer)
        drop_use(v->outer, NULL, -1, v);
    v->outer = NULL;
    take_out_value(v);
}

static bool encloses(const struct graph *outer, const struct graph *g)
{
    while (g && g != outer)
        g = g->parent;
    return g != NULL;
}

struct graph_value *graph_capture(struct graph *g, struct graph_value *outer, struct err *e)
{
    if (outer->graph == g)
        return outer;
    if (!encloses(outer->graph, g)) {
        err_set(e, ERR_INTERNAL, "'%.80s' is not of an enclosing graph", outer->name);
        return NULL;
    }
    outer = graph_capture(g->parent, outer, e);
    if (!outer)
        return NULL;
    for (size_t i = 0; i < outer->n_uses; i++) {
        struct graph_value *c = outer->uses[i].capture;
        if (c && c->graph == g)
            return c;
    }
    if (reserve_uses(outer, 1, e))
        return NULL;
    struct graph_value *v = graph_value_new(g, "", e);
    if (!v)
        return NULL;
    v->outer = outer;
    v->fact = outer->fact;
    add_use(outer, (struct use){.node = g->owner, .index = -1, .capture = v});
    return v;
}

int graph_set_outer(struct graph_value *capture, struct graph_value *outer, struct err *e)
{
    if (!capture->outer || outer->graph != capture->graph->parent)
        return err_set(e, ERR_INTERNAL, "'%.80s' is no capture of that graph's values",
                       capture->name);
    int r = reserve_uses(outer, 1, e);
    if (r)
        return r;
    drop_use(capture->outer, NULL, -1, capture);
    capture->outer = outer;
    capture->fact = outer->fact;
    add_use(outer, (struct use){.node = capture->graph->owner, .index = -1, .capture = capture});
    return 0;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void set_default(const struct attr *a, char *attrs)
{
    void *p = attrs + a->offset;
    if (a->ignore || a->input > 0)
        return;
    if (a->kind == ATTR_INT)
        *(int64_t *)p = a->i;
    else if (a->kind == ATTR_FLOAT)
        *(float *)p = a->f;
    else if (a->kind == ATTR_STRING)
        *(struct str *)p = (struct str){a->s, a->s ? strlen(a->s) : 0};
}

void node_set_opset(struct node *n, int opset)
{
    const struct attr *rows = n->op->attrs;
    n->opset = opset;
    if (!rows || !n->attrs)
        return;
    /* What the version lacks keeps another version's default, which it must behave like. */
    memset(n->attrs, 0, n->op->attrs_size);
    for (const struct attr *a = rows; a->name; a++)
        set_default(a, n->attrs);
    for (const struct attr *a = rows; a->name; a++) {
        if (attr_has(a, opset))
            set_default(a, n->attrs);
    }
}

/* The first version that has the row's attributes in their newest form. */
static int newest(const struct op *op)
{
    int version = op->since;
    for (const struct attr *a = op->attrs; a && a->name; a++) {
        version = a->since > version ? a->since : version;
        version = a->until >= version ? a->until + 1 : version;
    }
    return op->until && version > op->until ? op->until : version;
}

/* The model's own opset, if the row has its newest form there but for attributes that came later: a
 * version without them behaves like their defaults. */
static int version_of(const struct op *op, int opset)
{
    bool fits = !*op->domain && opset >= op->since && (!op->until || opset <= op->until);
    for (const struct attr *a = op->attrs; a && a->name && fits; a++)
        fits = !a->until || a->until < opset;
    return fits ? opset : newest(op);
}

static void link_before(struct node *n, struct node *before)
{
    struct graph *g = n->graph;
    n->next = before;
    n->prev = before ? before->prev : g->last;
    *(n->prev ? &n->prev->next : &g->first) = n;
    *(before ? &before->prev : &g->last) = n;
}

static void unlink(struct node *n)
{
    struct graph *g = n->graph;
    *(n->prev ? &n->prev->next : &g->first) = n->next;
    *(n->next ? &n->next->prev : &g->last) = n->prev;
    n->prev = n->next = NULL;
}

struct node *graph_node_new(struct graph *g, const struct op *op, const char *name, int n_in,
                            int n_out, struct node *before, struct err *e)
{
    struct graph_shared *s = g->shared;
    assert(!before || before->graph == g);
    if (n_in < 0 || n_out < 0 || s->n_nodes == UINT32_MAX) {
        err_set(e, ERR_LIMIT, "too many nodes");
        return NULL;
    }
    struct node *n = arena_alloc(&s->arena, sizeof *n, e);
    if (!n || !(n->name = copy_name(g, name, e)) ||
        !(n->in = arena_array(&s->arena, (size_t)n_in, sizeof *n->in, e)) ||
        !(n->out = arena_array(&s->arena, (size_t)n_out, sizeof *n->out, e)) ||
        (op->attrs_size && !(n->attrs = arena_alloc(&s->arena, op->attrs_size, e))))
        return NULL;
    n->op = op;
    n->graph = g;
    n->n_in = n_in;
    n->n_out = n_out;
    n->id = s->n_nodes++;
    node_set_opset(n, version_of(op, s->opset));
    link_before(n, before);
    return n;
}

int node_set_in(struct node *n, int i, struct graph_value *v, struct err *e)
{
    assert(i >= 0 && i < n->n_in);
    if (v && v->graph != n->graph)
        return err_set(e, ERR_INTERNAL, "input %d is a value of another graph", i);
    if (v == n->in[i])
        return 0;
    int r = v ? reserve_uses(v, 1, e) : 0;
    if (r)
        return r;
    if (n->in[i])
        drop_use(n->in[i], n, i, NULL);
    n->in[i] = v;
    if (v)
        add_use(v, (struct use){.node = n, .index = i});
    return 0;
}

void node_set_out(struct node *n, int i, struct graph_value *v)
{
    assert(i >= 0 && i < n->n_out);
    if (n->out[i] == v)
        return;
    assert(!v ||
           (v->graph == n->graph && !v->producer && !v->constant && !v->outer && !v->is_input));
    if (n->out[i]) {
        n->out[i]->producer = NULL;
        n->out[i]->producer_index = 0;
    }
    n->out[i] = v;
    if (v) {
        v->producer = n;
        v->producer_index = i;
    }
}

int node_add_graph(struct node *n, struct graph *sub, struct err *e)
{
    if (sub->parent != n->graph || sub->owner)
        return err_set(e, ERR_INTERNAL, "a subgraph was made for another graph");
    struct graph **list =
        arena_array(&n->graph->shared->arena, (size_t)n->n_graphs + 1, sizeof *list, e);
    if (!list)
        return failed(e);
    if (n->n_graphs)
        memcpy(list, n->graphs, (size_t)n->n_graphs * sizeof *list);
    list[n->n_graphs++] = sub;
    n->graphs = list;
    sub->owner = n;
    for (size_t i = 0; i < sub->n_values; i++) {
        struct graph_value *outer = sub->values[i]->outer;
        for (size_t k = 0; outer && k < outer->n_uses; k++) {
            if (outer->uses[k].capture == sub->values[i])
                outer->uses[k].node = n;
        }
    }
    return 0;
}

/* ---- rewriting ------------------------------------------------------------------------------- */

/* to -> Identity -> a new value, for an output whose place `to` itself cannot take. */
static struct graph_value *put_identity(struct graph_value *from, struct graph_value *to,
                                        struct err *e)
{
    struct graph *g = from->graph;
    const struct op *op = op_find("", "Identity", INT_MAX, NULL);
    if (!op) {
        err_set(e, ERR_INTERNAL, "there is no operator Identity");
        return NULL;
    }
    struct node *n = graph_node_new(g, op, "", 1, 1, NULL, e);
    struct graph_value *v = n ? graph_value_new(g, "", e) : NULL;
    if (!v || node_set_in(n, 0, to, e)) {
        if (n)
            graph_remove(n);
        return NULL;
    }
    if (from->producer && strcmp(from->producer->op->domain, "") == 0)
        n->opset = from->producer->opset;
    v->fact = to->fact;
    node_set_out(n, 0, v);
    return v;
}

static int replace_output(struct graph_value *from, struct graph_value *to, struct err *e)
{
    struct graph *g = from->graph;
    if (from->is_input)
        return 0;
    struct graph_value *out = to;
    if (!to->producer || to->is_output)
        out = put_identity(from, to, e);
    if (!out)
        return failed(e);
    for (int i = 0; i < g->n_outputs; i++) {
        if (g->outputs[i] == from)
            g->outputs[i] = out;
    }
    from->is_output = false;
    out->is_output = true;
    out->name = from->name;
    from->name = "";
    return 0;
}

/* What reads `from` reads `to` afterwards, which has room for it. */
static void move_uses(struct graph_value *from, struct graph_value *to)
{
    for (size_t i = 0; i < from->n_uses; i++) {
        struct use u = from->uses[i];
        if (u.capture)
            u.capture->outer = to;
        else
            u.node->in[u.index] = to;
        add_use(to, u);
    }
    from->n_uses = 0;
}

int graph_replace(struct graph_value *from, struct graph_value *to, struct err *e)
{
    if (to->graph != from->graph)
        to = graph_capture(from->graph, to, e);
    if (!to)
        return failed(e);
    if (from == to)
        return 0;
    int r = reserve_uses(to, from->n_uses + 1, e); /* one more for the Identity */
    if (r == 0 && from->is_output)
        r = replace_output(from, to, e);
    if (r)
        return r;
    move_uses(from, to);
    return 0;
}

void graph_remove(struct node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i])
            drop_use(n->in[i], n, i, NULL);
        n->in[i] = NULL;
    }
    for (int i = 0; i < n->n_graphs; i++) {
        struct graph *sub = n->graphs[i];
        for (size_t k = 0; k < sub->n_values; k++) {
            if (sub->values[k]->outer)
                drop_use(sub->values[k]->outer, NULL, -1, sub->values[k]);
            sub->values[k]->outer = NULL;
        }
    }
    n->n_graphs = 0;
    for (int i = 0; i < n->n_out; i++) {
        struct graph_value *v = n->out[i];
        if (!v)
            continue;
        assert(v->n_uses == 0 && !v->is_output);
        node_set_out(n, i, NULL);
        take_out_value(v);
    }
    unlink(n);
}

/* ---- splicing -------------------------------------------------------------------------------- */

/* What reads the capture reads its outer value; it was the output in places of `sub`, too. */
static int uncapture(struct graph *sub, struct graph_value *capture, struct err *e)
{
    struct graph_value *outer = capture->outer;
    int r = reserve_uses(outer, capture->n_uses, e);
    if (r)
        return r;
    move_uses(capture, outer);
    for (int i = 0; i < sub->n_outputs; i++) {
        if (sub->outputs[i] == capture)
            sub->outputs[i] = outer;
    }
    capture->is_output = false;
    graph_drop(capture);
    return 0;
}

/* The last value of `sub` becomes one of g, without the name, which another there may have. */
static int adopt_value(struct graph *g, struct graph *sub, struct err *e)
{
    void *items = g->values;
    int r = grow(&g->shared->arena, &items, g->n_values, &g->cap_values, sizeof *g->values, e);
    if (r)
        return r;
    struct graph_value *v = sub->values[--sub->n_values];
    g->values = items;
    v->graph = g;
    v->place = g->n_values;
    v->name = "";
    v->is_output = false;
    g->values[g->n_values++] = v;
    return 0;
}

static void adopt_nodes(struct graph *g, struct graph *sub, struct node *before)
{
    for (struct node *n = sub->first, *next; n; n = next) {
        next = n->next;
        unlink(n);
        n->graph = g;
        link_before(n, before);
        for (int i = 0; i < n->n_graphs; i++)
            n->graphs[i]->parent = g;
    }
}

int graph_splice(struct node *n, int index, struct err *e)
{
    struct graph *g = n->graph, *sub = n->graphs[index];
    int r = 0;
    if (sub->n_inputs || sub->n_outputs != n->n_out)
        return err_set(e, ERR_INTERNAL, "a subgraph with %d inputs and %d outputs cannot replace its node",
                       sub->n_inputs, sub->n_outputs);
    for (size_t i = sub->n_values; i-- > 0 && r == 0;) {
        if (sub->values[i]->outer)
            r = uncapture(sub, sub->values[i], e);
    }
    while (sub->n_values && r == 0)
        r = adopt_value(g, sub, e);
    if (r)
        return r;
    adopt_nodes(g, sub, n);
    for (int i = 0; i < n->n_out && r == 0; i++) {
        if (n->out[i])
            r = graph_replace(n->out[i], sub->outputs[i], e);
    }
    if (r == 0)
        graph_remove(n);
    return r;
}
