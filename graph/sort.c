/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting the list of nodes: depth first over what a node reads, in the order of the list, without
 * recursion; so a list that is in order already stays as it is. */
#include <string.h>

#include "graph/graph.h"

/* A node on the way down, and which of the values that it needs come next: first its inputs, then
 * what its subgraphs capture. */
struct frame {
    struct node *node;
    int in, graph;
    size_t value;
};

enum { NODE_NEW, NODE_OPEN, NODE_DONE };

/* The maker of the next value that the node needs; NULL at the end. Sets *end then. */
static struct node *next_need(struct frame *f, bool *end)
{
    const struct node *n = f->node;
    *end = false;
    if (f->in < n->n_in) {
        const struct graph_value *v = n->in[f->in++];
        return v ? v->producer : NULL;
    }
    while (f->graph < n->n_graphs) {
        const struct graph *g = n->graphs[f->graph];
        while (f->value < g->n_values) {
            const struct graph_value *outer = g->values[f->value++]->outer;
            if (outer && outer->producer)
                return outer->producer;
        }
        f->graph++;
        f->value = 0;
    }
    *end = true;
    return NULL;
}

static void emit(struct graph *g, struct node *n, struct node **last)
{
    n->prev = *last;
    n->next = NULL;
    *(*last ? &(*last)->next : &g->first) = n;
    *last = n;
}

/* Everything that the node of stack[0] needs and then that node, into `order`. */
static int visit(struct frame *stack, unsigned char *state, struct node **order, size_t *done,
                 struct err *e)
{
    size_t depth = 1;
    state[stack[0].node->id] = NODE_OPEN;
    while (depth) {
        struct frame *f = &stack[depth - 1];
        bool end;
        struct node *need = next_need(f, &end);
        if (end) {
            state[f->node->id] = NODE_DONE;
            order[(*done)++] = f->node;
            depth--;
        } else if (!need || need->graph != f->node->graph) {
            continue;
        } else if (state[need->id] == NODE_OPEN) {
            char place[256];
            return err_set(e, ERR_MODEL, "the graph has a cycle through %s",
                           node_describe(need, place, sizeof place));
        } else if (state[need->id] == NODE_NEW) {
            stack[depth++] = (struct frame){.node = need};
            state[need->id] = NODE_OPEN;
        }
    }
    return 0;
}

int graph_sort(struct graph *g, struct err *e)
{
    struct budget *b = g->shared->budget;
    size_t n = 0, done = 0;
    int r = 0;
    for (const struct node *p = g->first; p; p = p->next)
        n++;
    unsigned char *state = mem_calloc(b, g->shared->n_nodes, 1, e);
    struct frame *stack = state ? mem_calloc(b, n, sizeof *stack, e) : NULL;
    struct node **order = stack ? mem_calloc(b, n, sizeof *order, e) : NULL;
    if (!order)
        r = e && e->code ? e->code : ERR_MEMORY;
    for (struct node *p = g->first; p && r == 0; p = p->next) {
        if (state[p->id] != NODE_NEW)
            continue;
        stack[0] = (struct frame){.node = p};
        r = visit(stack, state, order, &done, e);
    }
    if (r == 0) {
        struct node *last = NULL;
        g->first = NULL;
        for (size_t i = 0; i < done; i++)
            emit(g, order[i], &last);
        g->last = last;
    }
    mem_free(order);
    mem_free(stack);
    mem_free(state);
    return r;
}
