/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/program.h"

#include <string.h>

#include "gpu/device.h"
#include "ops/append.h"

/* Where a symbol gets its number: when a frame of `program` starts, or at a step of it. */
struct origin {
    int32_t program; /* -1: nowhere */
    bool at_step;
};

/* A value is read; the node that makes it runs (not so for contents known as expressions). */
enum { NEED_VALUE = 1, NEED_NODE = 2 };

struct builder {
    struct programs *all;
    struct graph_shared *shared;
    struct budget *budget;
    uint32_t *slot_of;       /* by value id, two a value: on the host, on the device */
    struct origin *origins;  /* by symbol index */
    uint8_t *needed, *seen;  /* by value id; by expression */
    struct err *e;
};

static int oom(struct builder *b)
{
    return b->e ? b->e->code : ERR_MEMORY;
}

static void *take(struct builder *b, size_t n, size_t size)
{
    return arena_array(&b->all->arena, n ? n : 1, size, b->e);
}

/* ---- which symbols are known when ------------------------------------------------------------- */

struct static_query {
    const struct builder *b;
    const struct program *p;
    bool known;
};

static void check_symbol(void *arg, int64_t symbol)
{
    struct static_query *q = arg;
    struct origin o = q->b->origins[sym_index(symbol)];
    if (o.program < 0 || (o.program == (int32_t)q->p->index && o.at_step))
        q->known = false;
    else if (o.program != (int32_t)q->p->index) {
        const struct program *up = q->p->parent;
        while (up && (int32_t)up->index != o.program)
            up = up->parent;
        if (!up)
            q->known = false;
    }
}

static bool known_at_start(const struct builder *b, const struct program *p, int64_t v)
{
    struct static_query q = {b, p, true};
    if (sym_is_number(v))
        return true;
    if (sym_is_unknown(v))
        return false;
    sym_each(b->shared->syms, v, check_symbol, &q);
    return q.known;
}

static bool dims_known(const struct builder *b, const struct program *p, const struct type *t)
{
    if (t->kind != TYPE_TENSOR || t->rank < 0)
        return false;
    for (int k = 0; k < t->rank; k++)
        if (!known_at_start(b, p, t->dims[k]))
            return false;
    return true;
}

static bool elems_known(const struct builder *b, const struct program *p, const struct fact *f)
{
    if (!f->elems || !dims_known(b, p, &f->type))
        return false;
    for (int64_t i = 0; i < f->n_elems; i++)
        if (!known_at_start(b, p, f->elems[i]))
            return false;
    return true;
}

/* Dims of t that are symbols without an origin get this one. Returns how many, storing them if asked. */
static int claim_symbols(struct builder *b, const struct program *p, const struct type *t, int index,
                         bool at_step, struct bind *binds)
{
    int n = 0;
    if (t->kind != TYPE_TENSOR)
        return 0;
    for (int k = 0; k < t->rank; k++) {
        int64_t d = t->dims[k];
        if (!sym_is_expr(d) || !sym_is_symbol(b->shared->syms, d))
            continue;
        struct origin *o = &b->origins[sym_index(d)];
        bool ours = o->program == (int32_t)p->index && o->at_step == at_step;
        if (o->program >= 0 && !(ours && !at_step))
            continue;
        *o = (struct origin){(int32_t)p->index, at_step};
        if (binds)
            binds[n] = (struct bind){sym_index(d), index, k};
        n++;
    }
    return n;
}

/* ---- slots ------------------------------------------------------------------------------------ */

static uint32_t slot_add(struct builder *b, struct program *p, struct graph_value *v, enum place place,
                         int device)
{
    uint32_t i = p->n_slots++;
    p->slots[i] = (struct slot){.value = v, .place = place, .device = device, .root = i, .first = -1,
                                .last = -1, .outer = SLOT_NONE, .past = -1, .present = -1};
    b->slot_of[2 * (size_t)v->id + (size_t)device] = i;
    return i;
}

static uint32_t slot_find(const struct builder *b, const struct graph_value *v, int device)
{
    return b->slot_of[2 * (size_t)v->id + (size_t)device];
}

/* The slot that reads v on `device`; constants have one on each side. */
static uint32_t slot_for(struct builder *b, struct program *p, struct graph_value *v, int device)
{
    if (v->constant) {
        uint32_t s = slot_find(b, v, device);
        return s != SLOT_NONE ? s : slot_add(b, p, v, PLACE_CONST, device);
    }
    uint32_t s = slot_find(b, v, DEVICE_CPU);
    return s != SLOT_NONE ? s : slot_find(b, v, DEVICE_OTHER);
}

static void need_subgraph(struct builder *b, struct program *p, const struct graph *g)
{
    for (size_t i = 0; i < g->n_values; i++)
        if (g->values[i]->outer && g->values[i]->outer->graph == p->graph)
            b->needed[g->values[i]->outer->id] |= NEED_VALUE;
    for (const struct node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_graphs; i++)
            need_subgraph(b, p, n->graphs[i]);
}

/* Nodes are visited last to first, so that one sweep finds all that is needed. */
static void find_needed(struct builder *b, struct program *p)
{
    for (int i = 0; i < p->graph->n_outputs; i++)
        b->needed[p->graph->outputs[i]->id] |= NEED_VALUE;
    for (struct node *n = p->graph->last; n; n = n->prev) {
        bool wanted = false;
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i] && (b->needed[n->out[i]->id] & NEED_VALUE) && !elems_known(b, p, &n->out[i]->fact))
                wanted = true;
        if (!wanted)
            continue;
        for (int i = 0; i < n->n_out; i++)
            if (n->out[i])
                b->needed[n->out[i]->id] |= NEED_NODE;
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i])
                b->needed[n->in[i]->id] |= NEED_VALUE;
        for (int i = 0; i < n->n_graphs; i++)
            need_subgraph(b, p, n->graphs[i]);
    }
}

static bool node_runs(const struct builder *b, const struct node *n)
{
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && (b->needed[n->out[i]->id] & NEED_NODE))
            return true;
    return false;
}

/* ---- sharing storage -------------------------------------------------------------------------- */

static bool same_bytes(const struct fact *x, const struct fact *y)
{
    if (x->type.kind != TYPE_TENSOR || y->type.kind != TYPE_TENSOR || x->type.rank < 0 ||
        x->type.rank != y->type.rank || x->type.dtype == DTYPE_STRING ||
        y->type.dtype == DTYPE_STRING || dtype_size(x->type.dtype) != dtype_size(y->type.dtype))
        return false;
    for (int k = 0; k < x->type.rank; k++)
        if (x->type.dims[k] != y->type.dims[k] || sym_is_unknown(x->type.dims[k]))
            return false;
    return true;
}

static uint32_t root_of(const struct program *p, uint32_t slot)
{
    while (p->slots[slot].root != slot)
        slot = p->slots[slot].root;
    return slot;
}

static bool inplace_ok(const struct program *p, const struct step *s, int at, int input)
{
    if (input >= s->node->n_in || s->in[input] == SLOT_NONE || s->out[0] == SLOT_NONE)
        return false;
    const struct slot *x = &p->slots[s->in[input]], *y = &p->slots[s->out[0]];
    uint32_t r = root_of(p, s->in[input]);
    const struct slot *root = &p->slots[r];
    if ((root->place != PLACE_ARENA && root->place != PLACE_HEAP) || root->last != at ||
        root->place != y->place || root->device != y->device || y->late != root->late ||
        !same_bytes(&x->value->fact, &y->value->fact))
        return false;
    /* No other input may lie in that storage under other dims. */
    for (int i = 0; i < s->node->n_in; i++)
        if (s->in[i] != SLOT_NONE && s->in[i] != s->in[input] && root_of(p, s->in[i]) == r)
            return false;
    return true;
}

static void share_storage(struct program *p, struct step *s, int at)
{
    unsigned flags = s->node->op->flags;
    int input = (flags & OP_INPLACE0) && inplace_ok(p, s, at, 0)   ? 0
                : (flags & OP_INPLACE1) && inplace_ok(p, s, at, 1) ? 1
                                                                   : -1;
    if (input < 0)
        return;
    struct slot *y = &p->slots[s->out[0]], *root = &p->slots[root_of(p, s->in[input])];
    y->root = root->root;
    if (y->last > root->last)
        root->last = y->last;
    s->inplace = true;
}

/* Lifetimes of roots: views are resolved first, so that in-place sees true last uses. */
static void find_lifetimes(struct program *p)
{
    for (int i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        if ((s->node->op->flags & OP_VIEW) && s->out[0] != SLOT_NONE && s->in[0] != SLOT_NONE)
            p->slots[s->out[0]].root = p->slots[s->in[0]].root;
        for (int j = 0; j < s->node->n_out; j++) {
            if (s->out[j] == SLOT_NONE)
                continue;
            struct slot *root = &p->slots[p->slots[s->out[j]].root];
            if (root->first < 0)
                root->first = i;
            if (root->last < i)
                root->last = i;
        }
        for (int j = 0; j < s->node->n_in; j++)
            if (s->in[j] != SLOT_NONE)
                p->slots[p->slots[s->in[j]].root].last = i;
    }
}

static void extend_captures(struct builder *b, struct program *p, const struct graph *g, int at)
{
    for (size_t i = 0; i < g->n_values; i++) {
        struct graph_value *outer = g->values[i]->outer;
        if (!outer || outer->graph != p->graph)
            continue;
        uint32_t s = slot_find(b, outer, DEVICE_CPU);
        if (s != SLOT_NONE && p->slots[p->slots[s].root].last < at)
            p->slots[p->slots[s].root].last = at;
    }
    for (const struct node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_graphs; i++)
            extend_captures(b, p, n->graphs[i], at);
}

/* Outputs that continue an input: in a run with a state, the state has their rows and they die with
 * their last reader. */
static void find_presents(struct program *p)
{
    const struct graph *g = p->graph;
    for (int i = 0; i < g->n_outputs && !p->parent; i++) {
        struct slot *s = &p->slots[p->outputs[i]];
        const struct node *n = g->outputs[i]->producer;
        if (s->place != PLACE_ARENA && s->place != PLACE_HEAP)
            continue;
        if (!n || n->op != &op_append || n->device != DEVICE_CPU || s->root != p->outputs[i])
            continue;
        int owners = 0, past = 0;
        for (int k = 0; k < g->n_outputs; k++)
            owners += p->slots[p->outputs[k]].root == s->root;
        while (past < g->n_inputs && g->inputs[past] != n->in[0])
            past++;
        if (owners != 1 || past == g->n_inputs)
            continue;
        s->past = past;
        s->present = i;
        s->spent = s->last;
    }
}

static void plan_storage(struct builder *b, struct program *p)
{
    find_lifetimes(p);
    for (int i = 0; i < p->n_steps; i++)
        for (int j = 0; j < p->steps[i].node->n_graphs; j++)
            extend_captures(b, p, p->steps[i].node->graphs[j], i);
    find_presents(p);
    /* What outlives the run is on the heap: its owner changes hands. */
    for (int i = 0; i < p->graph->n_outputs; i++) {
        struct slot *root = &p->slots[p->slots[p->outputs[i]].root];
        root->last = p->n_steps;
        if (root->place == PLACE_ARENA)
            root->place = PLACE_HEAP;
    }
    for (int i = 0; i < p->n_steps; i++) {
        struct step *s = &p->steps[i];
        if (!(s->node->op->flags & (OP_VIEW | OP_DYNAMIC)))
            share_storage(p, s, i);
    }
    for (uint32_t i = 0; i < p->n_slots; i++)
        p->slots[i].root = root_of(p, i);
}

static int list_drops(struct builder *b, struct program *p)
{
    for (int i = 0; i < p->n_steps; i++) {
        struct step *s = &p->steps[i];
        uint32_t found[64];
        int n = 0;
        for (int pass = 0; pass < 2; pass++) {
            int count = pass ? s->node->n_out : s->node->n_in;
            const uint32_t *list = pass ? s->out : s->in;
            for (int j = 0; j < count && n < 64; j++) {
                if (list[j] == SLOT_NONE)
                    continue;
                uint32_t r = p->slots[list[j]].root;
                const struct slot *root = &p->slots[r];
                bool again = false;
                for (int k = 0; k < n; k++)
                    again |= found[k] == r;
                /* An arena slot may have gone to the heap in a plan that cannot bound it. */
                if (!again && (root->place == PLACE_HEAP || root->place == PLACE_ARENA) &&
                    (root->last == i || (root->present >= 0 && root->spent == i)))
                    found[n++] = r;
            }
        }
        if (!n)
            continue;
        uint32_t *drop = take(b, (size_t)n, sizeof(*drop));
        if (!drop)
            return oom(b);
        memcpy(drop, found, (size_t)n * sizeof(*drop));
        s->drop = drop;
        s->n_drop = n;
    }
    return 0;
}

/* ---- steps ------------------------------------------------------------------------------------ */

static int build_program(struct builder *b, struct graph *g, struct program *parent,
                         struct program **out);

static int step_slots(struct builder *b, struct program *p, struct step *s)
{
    struct node *n = s->node;
    uint32_t *in = take(b, (size_t)n->n_in, sizeof(*in)), *out = take(b, (size_t)n->n_out, sizeof(*out));
    if (!in || !out)
        return oom(b);
    bool device = n->device != DEVICE_CPU;
    for (int i = 0; i < n->n_in; i++) {
        bool host_in = i < 32 && (n->op->host_in >> i & 1);
        in[i] = n->in[i] ? slot_for(b, p, n->in[i], device && !host_in ? DEVICE_OTHER : DEVICE_CPU)
                         : SLOT_NONE;
    }
    for (int i = 0; i < n->n_out; i++) {
        out[i] = SLOT_NONE;
        struct graph_value *v = n->out[i];
        if (!v)
            continue;
        bool late = !dims_known(b, p, &v->fact.type);
        bool heap = s->late || late || v->fact.type.kind != TYPE_TENSOR || v->fact.type.dtype == DTYPE_STRING ||
                    (n->op->flags & OP_DYNAMIC);
        int side = device && !(n->op->flags & OP_SHAPE_ONLY) &&
                           strcmp(n->op->name, "CopyToHost") != 0
                       ? DEVICE_OTHER
                       : DEVICE_CPU;
        out[i] = slot_add(b, p, v, heap ? PLACE_HEAP : PLACE_ARENA, side);
        p->slots[out[i]].late = late;
    }
    s->in = in;
    s->out = out;
    return 0;
}

static int step_binds(struct builder *b, struct program *p, struct step *s)
{
    struct bind found[64];
    int n = 0;
    for (int i = 0; i < s->node->n_out; i++)
        if (s->node->out[i] && n + TENSOR_RANK_MAX <= 64)
            n += claim_symbols(b, p, &s->node->out[i]->fact.type, i, true, found + n);
    if (n == 0)
        return 0;
    struct bind *binds = take(b, (size_t)n, sizeof(*binds));
    if (!binds)
        return oom(b);
    memcpy(binds, found, (size_t)n * sizeof(*binds));
    s->binds = binds;
    s->n_binds = n;
    return 0;
}

static bool step_late(const struct builder *b, const struct program *p, const struct node *n)
{
    if (n->late || (n->checked && (n->n_in > STEP_ENDS_MAX || n->n_out > STEP_ENDS_MAX)))
        return true;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && !dims_known(b, p, &n->out[i]->fact.type))
            return true;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !dims_known(b, p, &n->in[i]->fact.type))
            return true;
    return false;
}

static int build_steps(struct builder *b, struct program *p)
{
    int count = 0, rc = 0;
    for (struct node *n = p->graph->first; n; n = n->next)
        count += node_runs(b, n);
    p->steps = take(b, (size_t)count, sizeof(*p->steps));
    if (!p->steps)
        return oom(b);
    for (struct node *n = p->graph->first; n && rc == 0; n = n->next) {
        if (!node_runs(b, n)) {
            for (int i = 0; i < n->n_out; i++)
                if (n->out[i] && (b->needed[n->out[i]->id] & NEED_VALUE))
                    slot_add(b, p, n->out[i], PLACE_ELEMS, DEVICE_CPU);
            continue;
        }
        struct step *s = &p->steps[p->n_steps++];
        s->node = n;
        rc = step_binds(b, p, s);
        s->late = step_late(b, p, n);
        if (rc == 0)
            rc = step_slots(b, p, s);
        if (rc == 0 && n->n_graphs) {
            s->graphs = take(b, (size_t)n->n_graphs, sizeof(*s->graphs));
            if (!s->graphs)
                return oom(b);
            for (int i = 0; i < n->n_graphs && rc == 0; i++)
                rc = build_program(b, n->graphs[i], p, &s->graphs[i]);
        }
    }
    return rc;
}

static int build_inputs(struct builder *b, struct program *p)
{
    struct graph *g = p->graph;
    uint32_t *inputs = take(b, (size_t)g->n_inputs, sizeof(*inputs));
    p->binds = take(b, (size_t)g->n_inputs * TENSOR_RANK_MAX, sizeof(*p->binds));
    if (!inputs || !p->binds)
        return oom(b);
    for (int i = 0; i < g->n_inputs; i++) {
        inputs[i] = slot_add(b, p, g->inputs[i], PLACE_INPUT, DEVICE_CPU);
        p->n_binds += claim_symbols(b, p, &g->inputs[i]->fact.type, i, false, p->binds + p->n_binds);
        p->slots[inputs[i]].late = !dims_known(b, p, &g->inputs[i]->fact.type);
    }
    p->inputs = inputs;
    for (size_t i = 0; i < g->n_values; i++) {
        struct graph_value *v = g->values[i];
        if (!v->outer)
            continue;
        uint32_t outer = slot_for(b, p->parent, v->outer, DEVICE_CPU);
        if (outer == SLOT_NONE)
            continue; /* nobody needs it: its reader was removed */
        uint32_t s = slot_add(b, p, v, PLACE_OUTER, DEVICE_CPU);
        p->slots[s].outer = outer;
    }
    return 0;
}

static int build_outputs(struct builder *b, struct program *p)
{
    struct graph *g = p->graph;
    uint32_t *outputs = take(b, (size_t)g->n_outputs, sizeof(*outputs));
    if (!outputs)
        return oom(b);
    for (int i = 0; i < g->n_outputs; i++) {
        outputs[i] = slot_for(b, p, g->outputs[i], DEVICE_CPU);
        if (outputs[i] == SLOT_NONE)
            return err_set(b->e, ERR_INTERNAL, "output '%s' has no slot", g->outputs[i]->name);
    }
    p->outputs = outputs;
    return 0;
}

/* All expressions that dims and contents known at the start need, operands first. */
static int build_exprs(struct builder *b, struct program *p)
{
    int64_t max = b->all->n_exprs, n = 0;
    uint32_t *list = mem_calloc(b->budget, (size_t)max, sizeof(*list), b->e);
    if (!list)
        return oom(b);
    memset(b->seen, 0, b->all->n_exprs);
    for (uint32_t i = 0; i < p->n_slots && n >= 0; i++) {
        const struct slot *s = &p->slots[i];
        const struct fact *f = &s->value->fact;
        if (s->late || s->place == PLACE_CONST || s->place == PLACE_OUTER || f->type.kind != TYPE_TENSOR)
            continue;
        for (int k = 0; k < f->type.rank && n >= 0; k++)
            if (sym_is_expr(f->type.dims[k]))
                n = sym_collect(b->shared->syms, f->type.dims[k], list, n, max, b->seen);
        for (int64_t k = 0; s->place == PLACE_ELEMS && k < f->n_elems && n >= 0; k++)
            if (sym_is_expr(f->elems[k]))
                n = sym_collect(b->shared->syms, f->elems[k], list, n, max, b->seen);
    }
    int rc = 0;
    if (n < 0 || !(p->exprs = take(b, (size_t)n, sizeof(*list))))
        rc = n < 0 ? err_set(b->e, ERR_INTERNAL, "expression table is inconsistent") : oom(b);
    else
        memcpy(p->exprs, list, (size_t)n * sizeof(*list));
    p->n_exprs = rc == 0 ? n : 0;
    mem_free(list);
    return rc;
}

static void add_write(struct write *list, uint32_t *n, uint32_t slot, int64_t at, int64_t v)
{
    if (!sym_is_expr(v))
        return;
    if (list)
        list[*n] = (struct write){slot, (uint32_t)at, sym_index(v)};
    ++*n;
}

/* Counts without lists, fills with them. */
static void gather_writes(struct program *p, struct write *dims, struct write *elems)
{
    p->n_dim_writes = p->n_elem_writes = 0;
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const struct fact *f = &p->slots[i].value->fact;
        if (!slot_preset(&p->slots[i]))
            continue;
        for (int k = 0; k < f->type.rank; k++)
            add_write(dims, &p->n_dim_writes, i, k, f->type.dims[k]);
        for (int64_t k = 0; p->slots[i].place == PLACE_ELEMS && k < f->n_elems; k++)
            add_write(elems, &p->n_elem_writes, i, k, f->elems[k]);
    }
}

static int build_writes(struct builder *b, struct program *p)
{
    gather_writes(p, NULL, NULL);
    p->dim_writes = take(b, p->n_dim_writes, sizeof(*p->dim_writes));
    p->elem_writes = take(b, p->n_elem_writes, sizeof(*p->elem_writes));
    if (!p->dim_writes || !p->elem_writes)
        return oom(b);
    gather_writes(p, p->dim_writes, p->elem_writes);
    return 0;
}

static int list_checks(struct builder *b, struct program *p)
{
    p->checks = take(b, (size_t)p->n_steps, sizeof(*p->checks));
    if (!p->checks)
        return oom(b);
    for (int i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        if (s->node->checked && !s->late && !(s->node->op->flags & OP_DYNAMIC))
            p->checks[p->n_checks++] = i;
    }
    return 0;
}

static int build_program(struct builder *b, struct graph *g, struct program *parent,
                         struct program **out)
{
    struct program *p = take(b, 1, sizeof(*p));
    if (!p)
        return oom(b);
    size_t capacity = b->all->capacity;
    if (mem_grow(b->budget, (void **)&b->all->list, b->all->n, &capacity, sizeof(*b->all->list), b->e) < 0)
        return oom(b);
    b->all->capacity = (uint32_t)capacity;
    p->graph = g;
    p->parent = parent;
    p->index = b->all->n;
    b->all->list[b->all->n++] = p;
    *out = p;
    p->slots = take(b, 2 * g->n_values, sizeof(*p->slots));
    if (!p->slots)
        return oom(b);
    int rc = build_inputs(b, p);
    if (rc == 0) {
        /* Which symbols steps will define decides what is known at the start: claim before asking. */
        find_needed(b, p);
        rc = build_steps(b, p);
    }
    if (rc == 0)
        rc = build_outputs(b, p);
    if (rc < 0)
        return rc;
    plan_storage(b, p);
    rc = list_drops(b, p);
    if (rc == 0)
        rc = build_writes(b, p);
    if (rc == 0)
        rc = list_checks(b, p);
    return rc < 0 ? rc : build_exprs(b, p);
}

int programs_build(struct programs *all, struct graph *main, struct budget *budget, struct err *e)
{
    struct graph_shared *shared = main->shared;
    arena_init(&all->arena, budget);
    all->n_exprs = syms_count(shared->syms);
    struct builder b = {.all = all, .shared = shared, .budget = budget, .e = e};
    size_t ids = shared->n_values;
    int rc = ERR_MEMORY;
    b.slot_of = mem_calloc(budget, 2 * ids, sizeof(*b.slot_of), e);
    b.origins = mem_calloc(budget, all->n_exprs, sizeof(*b.origins), e);
    b.needed = mem_calloc(budget, ids, 1, e);
    b.seen = mem_calloc(budget, all->n_exprs, 1, e);
    if (b.slot_of && b.origins && b.needed && b.seen) {
        memset(b.slot_of, 0xff, 2 * ids * sizeof(*b.slot_of));
        for (uint32_t i = 0; i < all->n_exprs; i++)
            b.origins[i].program = -1;
        struct program *first;
        rc = build_program(&b, main, NULL, &first);
    }
    mem_free(b.slot_of);
    mem_free(b.origins);
    mem_free(b.needed);
    mem_free(b.seen);
    if (rc < 0)
        programs_clear(all);
    return rc;
}

void programs_clear(struct programs *all)
{
    mem_free(all->list);
    arena_clear(&all->arena);
    *all = (struct programs){0};
}
