/* SPDX-License-Identifier: Apache-2.0 */
/* Placement: a node goes to the device if the device supports it, and copies stand where a value is
 * read on the side that it is not on: one copy a value and direction. Views follow their input, so that
 * shape arithmetic stays on the host. Subgraphs run on the host; what they capture is copied. */
#include "gpu/device.h"

#include "ops/copy.h"

struct placer {
    struct graph *graph;
    struct device *device;
    struct graph_value **twin; /* by value id: the copy on the other side */
    uint8_t *side;             /* by value id */
    uint32_t n_ids;
};

static int twin_of(struct placer *p, struct graph_value *v, int side, struct graph_value **out,
                   struct err *e)
{
    if (p->twin[v->id]) {
        *out = p->twin[v->id];
        return 0;
    }
    struct node *after = v->producer, *before = after ? after->next : p->graph->first;
    struct node *copy = graph_node_new(p->graph, side == DEVICE_CPU ? &op_copy_to_host : &op_copy_to_device,
                                       "", 1, 1, before, e);
    struct graph_value *to = copy ? graph_value_new(p->graph, "", e) : NULL;
    if (!to)
        return e ? e->code : ERR_MEMORY;
    int rc = node_set_in(copy, 0, v, e);
    if (rc < 0)
        return rc;
    node_set_out(copy, 0, to);
    to->fact = v->fact;
    copy->device = DEVICE_OTHER;
    *out = p->twin[v->id] = to;
    return 0;
}

static bool wants_device(const struct placer *p, const struct node *n)
{
    if (!p->device->table->supports(p->device, n))
        return false;
    if (n->op->flags & (OP_VIEW | OP_SHAPE_ONLY))
        return n->n_in && n->in[0] && p->side[n->in[0]->id] == DEVICE_OTHER;
    /* Small integer arithmetic is shape arithmetic: cheaper where it is read. */
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && !n->out[i]->fact.elems)
            return true;
    return false;
}

static int place_node(struct placer *p, struct node *n, struct err *e)
{
    int side = wants_device(p, n) ? DEVICE_OTHER : DEVICE_CPU;
    n->device = side;
    for (int i = 0; i < n->n_in; i++) {
        struct graph_value *v = n->in[i], *to;
        if (!v || v->id >= p->n_ids)
            continue;
        bool host_in = i < 32 && (n->op->host_in >> i & 1);
        int want = host_in ? DEVICE_CPU : side;
        if (v->constant || p->side[v->id] == want)
            continue; /* constants are there on both sides */
        if (n->op->flags & OP_SHAPE_ONLY)
            continue;
        int rc = twin_of(p, v, want, &to, e);
        if (rc == 0)
            rc = node_set_in(n, i, to, e);
        if (rc < 0)
            return rc;
    }
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i])
            p->side[n->out[i]->id] = (uint8_t)(n->op->flags & OP_SHAPE_ONLY ? DEVICE_CPU : side);
    return 0;
}

/* Captures in the subgraphs of n read host values. */
static int place_captures(struct placer *p, struct graph *g, struct err *e)
{
    for (size_t i = 0; i < g->n_values; i++) {
        struct graph_value *v = g->values[i], *to;
        if (!v->outer || v->outer->graph != p->graph || v->outer->constant ||
            p->side[v->outer->id] == DEVICE_CPU)
            continue;
        int rc = twin_of(p, v->outer, DEVICE_CPU, &to, e);
        if (rc < 0)
            return rc;
        rc = graph_set_outer(v, to, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int place_subgraphs(struct placer *p, struct graph *g, struct err *e)
{
    int rc = place_captures(p, g, e);
    for (struct node *n = g->first; n && rc == 0; n = n->next)
        for (int i = 0; i < n->n_graphs && rc == 0; i++)
            rc = place_subgraphs(p, n->graphs[i], e);
    return rc;
}

int graph_place(struct graph *main, struct device *d, struct err *e)
{
    if (d == &device_cpu)
        return 0;
    uint32_t ids = main->shared->n_values;
    struct placer p = {.graph = main, .device = d, .n_ids = ids};
    int rc = ERR_MEMORY;
    p.twin = mem_calloc(main->shared->budget, ids, sizeof(*p.twin), e);
    p.side = mem_calloc(main->shared->budget, ids, 1, e);
    if (!p.twin || !p.side)
        goto out;
    rc = 0;
    for (struct node *n = main->first, *next; n && rc == 0; n = next) {
        next = n->next;
        rc = place_node(&p, n, e);
        for (int i = 0; i < n->n_graphs && rc == 0; i++)
            rc = place_subgraphs(&p, n->graphs[i], e);
    }
    /* Outputs are read on the host: the value computed on the device gets another name's twin. */
    for (int i = 0; i < main->n_outputs && rc == 0; i++) {
        struct graph_value *v = main->outputs[i], *to;
        if (p.side[v->id] != DEVICE_OTHER)
            continue;
        rc = twin_of(&p, v, DEVICE_CPU, &to, e);
        if (rc == 0) {
            main->outputs[i] = to;
            to->name = v->name;
            v->name = "";
            v->is_output = false;
            to->is_output = true;
        }
    }
out:
    mem_free(p.twin);
    mem_free(p.side);
    return rc;
}
