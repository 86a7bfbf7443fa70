/* SPDX-License-Identifier: Apache-2.0 */
/* Every invariant of graph.h, checked in time linear in the graph; a pointer is only trusted to be
 * NULL or to point to what its type says. */
#include <string.h>

#include "graph/op.h"

/* Subgraphs within subgraphs; importers allow fewer. */
enum { DEPTH_MAX = 64 };

struct verify {
    const struct graph_shared *shared;
    const struct graph_value **values; /* by id: the one value that has it */
    const struct node **nodes;         /* by id */
    uint32_t *order;                   /* by node id: its place in its list, from 1 */
    size_t *first_slot; /* by node id: of its inputs, among all inputs of all nodes */
    bool *marked;       /* by slot: the input's value knows of this use */
    size_t n_slots;
    struct err *err;
};

static int wrong(const struct verify *v, const struct graph_value *value, const char *what)
{
    return err_set(v->err, ERR_INTERNAL, "value '%.80s' (%u) %s", value->name ? value->name : "",
                   (unsigned)value->id, what);
}

static int wrong_node(const struct verify *v, const struct node *n, const char *what)
{
    char text[256];
    return err_set(v->err, ERR_INTERNAL, "%s %s", node_describe(n, text, sizeof text), what);
}

static int wrong_graph(const struct verify *v, const char *what)
{
    return err_set(v->err, ERR_INTERNAL, "a graph %s", what);
}

/* ---- first: who is there --------------------------------------------------------------------- */

static int note_values(struct verify *v, const struct graph *g)
{
    for (size_t i = 0; i < g->n_values; i++) {
        const struct graph_value *x = g->values[i];
        if (!x)
            return wrong_graph(v, "has a NULL among its values");
        if (x->graph != g || x->place != i)
            return wrong(v, x, "is listed where it does not belong");
        if (!x->name)
            return wrong(v, x, "has a NULL name");
        if (x->id >= v->shared->n_values || v->values[x->id])
            return wrong(v, x, "has an id that is taken or was never given");
        v->values[x->id] = x;
    }
    return 0;
}

static int note_node(struct verify *v, const struct node *n)
{
    if (!n->op || !n->name || (n->n_in && !n->in) || (n->n_out && !n->out) ||
        (n->n_graphs && !n->graphs))
        return wrong_graph(v, "has a node without an operator, a name or its lists");
    if (n->id >= v->shared->n_nodes || v->nodes[n->id])
        return wrong_node(v, n, "has an id that is taken or was never given");
    if (n->op->attrs_size && !n->attrs)
        return wrong_node(v, n, "has no attributes");
    v->nodes[n->id] = n;
    v->first_slot[n->id] = v->n_slots;
    v->n_slots += (size_t)n->n_in;
    return 0;
}

/* Number the nodes and values of a graph and all below it. */
static int note(struct verify *v, const struct graph *g, int depth)
{
    uint32_t place = 0;
    const struct node *prev = NULL;
    if (depth > DEPTH_MAX)
        return wrong_graph(v, "lies too deep");
    if (g->shared != v->shared)
        return wrong_graph(v, "is of another model");
    int r = note_values(v, g);
    for (const struct node *n = g->first; n && r == 0; prev = n, n = n->next) {
        r = note_node(v, n); /* ends a list that goes in a circle, too */
        if (r)
            return r;
        if (n->graph != g || n->prev != prev)
            return wrong_node(v, n, "is not linked into its graph");
        v->order[n->id] = ++place;
        for (int i = 0; i < n->n_graphs && r == 0; i++) {
            const struct graph *sub = n->graphs[i];
            if (!sub || sub->owner != n || sub->parent != g)
                return wrong_node(v, n, "does not own its subgraph");
            r = note(v, sub, depth + 1);
        }
    }
    if (r == 0 && g->last != prev)
        return wrong_graph(v, "does not end with its last node");
    return r;
}

static bool known(const struct verify *v, const struct graph_value *x, const struct graph *g)
{
    return x && x->id < v->shared->n_values && v->values[x->id] == x && x->graph == g;
}

/* ---- then: links both ways ------------------------------------------------------------------- */

static int check_use(struct verify *v, const struct graph_value *x, const struct use *u)
{
    const struct node *n = u->node;
    if (u->capture) {
        const struct graph_value *c = u->capture;
        if (u->index != -1 || c->outer != x || !c->graph || c->graph->parent != x->graph)
            return wrong(v, x, "has a use by a capture that captures another value");
        return c->graph->owner == n && known(v, c, c->graph)
                   ? 0
                   : wrong(v, x, "has a use by a capture whose graph the node does not own");
    }
    if (!n || n->id >= v->shared->n_nodes || v->nodes[n->id] != n || n->graph != x->graph)
        return wrong(v, x, "has a use by a node that is not in its graph");
    if (u->index < 0 || u->index >= n->n_in || n->in[u->index] != x)
        return wrong(v, x, "has a use by a node that does not read it there");
    size_t slot = v->first_slot[n->id] + (size_t)u->index;
    if (v->marked[slot])
        return wrong(v, x, "has the same use twice");
    v->marked[slot] = true;
    return 0;
}

static int check_capture(struct verify *v, const struct graph_value *x)
{
    const struct graph_value *outer = x->outer;
    size_t times = 0;
    if (!known(v, outer, x->graph->parent))
        return wrong(v, x, "captures a value that is not of the enclosing graph");
    for (size_t i = 0; i < outer->n_uses; i++)
        times += outer->uses[i].capture == x;
    return times == 1 ? 0 : wrong(v, x, "is a capture that the outer value does not know once");
}

static int check_constant(struct verify *v, const struct graph_value *x)
{
    const struct tensor *t = x->constant;
    int64_t count;
    if (!dtype_valid(t->dtype) || t->rank < 0 || t->rank > TENSOR_RANK_MAX ||
        !dims_count(t->dims, t->rank, &count) || (count && !t->data))
        return wrong(v, x, "is a constant without elements");
    return x->fact.data == t ? 0 : wrong(v, x, "is a constant that its fact does not show");
}

static int check_value(struct verify *v, const struct graph_value *x)
{
    const struct node *p = x->producer;
    int sources = (p != NULL) + x->is_input + (x->constant != NULL) + (x->outer != NULL);
    if (sources > 1)
        return wrong(v, x, "has more than one source");
    if (sources == 0 && (x->n_uses || x->is_output))
        return wrong(v, x, "is read but has no source");
    if (p && (p->id >= v->shared->n_nodes || v->nodes[p->id] != p || p->graph != x->graph))
        return wrong(v, x, "is made by a node that is not in its graph");
    if (p &&
        (x->producer_index < 0 || x->producer_index >= p->n_out || p->out[x->producer_index] != x))
        return wrong(v, x, "is not the output of the node that it names");
    if (x->n_uses > x->cap_uses)
        return wrong(v, x, "has more uses than room for them");
    int r = x->outer ? check_capture(v, x) : 0;
    if (r == 0 && x->constant)
        r = check_constant(v, x);
    for (size_t i = 0; i < x->n_uses && r == 0; i++)
        r = check_use(v, x, &x->uses[i]);
    return r;
}

/* What a node of the list reads is made before it. */
static int check_made(struct verify *v, const struct node *n, const struct graph_value *x)
{
    if (!x->producer || v->order[x->producer->id] < v->order[n->id])
        return 0;
    return wrong_node(v, n, "reads a value that is made after it");
}

static int check_graph_attrs(struct verify *v, const struct node *n)
{
    for (const struct attr *a = n->op->attrs; a && a->name; a++) {
        if (a->kind != ATTR_GRAPH || a->ignore || !n->attrs)
            continue;
        const struct graph *g = *(struct graph *const *)((const char *)n->attrs + a->offset);
        bool found = !g;
        for (int i = 0; i < n->n_graphs; i++)
            found |= n->graphs[i] == g;
        if (!found)
            return wrong_node(v, n, "has a subgraph attribute that is not in its list");
    }
    return 0;
}

static int check_node(struct verify *v, const struct node *n)
{
    const struct op *op = n->op;
    if (n->n_in < op->in_min || (op->in_max >= 0 && n->n_in > op->in_max) ||
        n->n_out < op->out_min || (op->out_max >= 0 && n->n_out > op->out_max))
        return wrong_node(v, n, "has more or fewer inputs or outputs than the operator allows");
    for (int i = 0; i < n->n_in; i++) {
        const struct graph_value *x = n->in[i];
        if (!x)
            continue;
        if (!known(v, x, n->graph))
            return wrong_node(v, n, "reads a value that is not of its graph");
        if (!v->marked[v->first_slot[n->id] + (size_t)i])
            return wrong_node(v, n, "reads a value that does not know of it");
        int r = check_made(v, n, x);
        if (r)
            return r;
    }
    for (int i = 0; i < n->n_out; i++) {
        const struct graph_value *x = n->out[i];
        if (x && (!known(v, x, n->graph) || x->producer != n || x->producer_index != i))
            return wrong_node(v, n, "has an output that does not name it");
    }
    for (int i = 0; i < n->n_graphs; i++) {
        const struct graph *sub = n->graphs[i];
        for (size_t k = 0; k < sub->n_values; k++) {
            int r = sub->values[k]->outer ? check_made(v, n, sub->values[k]->outer) : 0;
            if (r)
                return r;
        }
    }
    return check_graph_attrs(v, n);
}

/* ---- inputs, outputs, names ------------------------------------------------------------------ */

static int check_ends(struct verify *v, const struct graph *g)
{
    size_t in = 0, out = 0;
    for (int i = 0; i < g->n_inputs; i++) {
        if (!known(v, g->inputs[i], g) || !g->inputs[i]->is_input)
            return wrong_graph(v, "has an input that is not marked as one");
    }
    for (int i = 0; i < g->n_outputs; i++) {
        if (!known(v, g->outputs[i], g) || !g->outputs[i]->is_output)
            return wrong_graph(v, "has an output that is not marked as one");
        bool again = false;
        for (int k = 0; k < i && !again; k++)
            again = g->outputs[k] == g->outputs[i];
        out += !again;
    }
    for (size_t i = 0; i < g->n_values; i++) {
        in -= g->values[i]->is_input;
        out -= g->values[i]->is_output;
    }
    in += (size_t)g->n_inputs;
    if (in != 0 || out != 0)
        return wrong_graph(v, "has a value that is marked as an input or output but not listed");
    return 0;
}

/* Names by open addressing. */
static int check_names(struct verify *v, const struct graph *g)
{
    size_t size = 16;
    int r = 0;
    while (size / 2 < g->n_values)
        size *= 2;
    const struct graph_value **table = mem_calloc(v->shared->budget, size, sizeof *table, v->err);
    if (!table)
        return v->err && v->err->code ? v->err->code : ERR_MEMORY;
    for (size_t i = 0; i < g->n_values && r == 0; i++) {
        const char *name = g->values[i]->name;
        size_t h = 14695981039346656037u;
        for (const char *p = name; *p; p++)
            h = (h ^ (unsigned char)*p) * 1099511628211u;
        h = (h ^ h >> 29) & (size - 1);
        while (name[0] && table[h] && strcmp(table[h]->name, name) != 0)
            h = (h + 1) & (size - 1);
        if (name[0] && table[h])
            r = wrong(v, g->values[i], "has a name that another value has");
        else if (name[0])
            table[h] = g->values[i];
    }
    mem_free(table);
    return r;
}

static int check(struct verify *v, const struct graph *g)
{
    int r = check_ends(v, g);
    if (r == 0)
        r = check_names(v, g);
    for (size_t i = 0; i < g->n_values && r == 0; i++)
        r = check_value(v, g->values[i]);
    for (const struct node *n = g->first; n && r == 0; n = n->next) {
        r = check_node(v, n);
        for (int i = 0; i < n->n_graphs && r == 0; i++)
            r = check(v, n->graphs[i]);
    }
    return r;
}

int graph_verify(const struct graph *g, struct err *e)
{
    while (g->parent) /* a subgraph's captures lead out of it */
        g = g->parent;
    const struct graph_shared *s = g->shared;
    struct verify v = {.shared = s, .err = e};
    int r = ERR_MEMORY;
    if (!(v.values = mem_calloc(s->budget, s->n_values, sizeof *v.values, e)) ||
        !(v.nodes = mem_calloc(s->budget, s->n_nodes, sizeof *v.nodes, e)) ||
        !(v.order = mem_calloc(s->budget, s->n_nodes, sizeof *v.order, e)) ||
        !(v.first_slot = mem_calloc(s->budget, s->n_nodes, sizeof *v.first_slot, e)))
        goto done;
    r = note(&v, g, 0);
    if (r)
        goto done;
    v.marked = mem_calloc(s->budget, v.n_slots, sizeof *v.marked, e);
    r = v.marked ? check(&v, g) : ERR_MEMORY;
done:
    mem_free(v.marked);
    mem_free(v.first_slot);
    mem_free(v.order);
    mem_free(v.nodes);
    mem_free(v.values);
    return r == ERR_MEMORY && e && e->code ? e->code : r;
}
