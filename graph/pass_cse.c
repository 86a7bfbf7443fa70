/* SPDX-License-Identifier: Apache-2.0 */
/* Common subexpressions: a pure node with the operator, attributes and inputs of an earlier one of
 * the same graph gives way to it. Small constants with the same contents become one value first,
 * since exporters write a constant anew wherever it is used.
 */
#include <string.h>

#include "graph/pass.h"

/* Larger constants are compared by nobody. */
enum { CONSTANT_BYTES_MAX = 4096 };

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static uint64_t mix_bytes(uint64_t h, const void *p, size_t n)
{
    const unsigned char *c = p;
    for (; n >= 8; n -= 8, c += 8) {
        uint64_t v;
        memcpy(&v, c, 8);
        h = mix(h, v);
    }
    for (; n > 0; n--)
        h = mix(h, *c++);
    return h;
}

/* ---- tensors -------------------------------------------------------------------------------- */

static bool same_tensor(const struct tensor *a, const struct tensor *b)
{
    if (a == b || !a || !b)
        return a == b;
    if (a->dtype != b->dtype || a->rank != b->rank || dtype_kind(a->dtype) == 'S' ||
        memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims))
        return false;
    size_t bytes = tensor_bytes(a);
    return bytes == 0 || memcmp(a->data, b->data, bytes) == 0;
}

static uint64_t hash_tensor(const struct tensor *t)
{
    uint64_t h = mix_bytes(mix((uint64_t)t->dtype, (uint64_t)t->rank), t->dims,
                           (size_t)t->rank * sizeof *t->dims);
    size_t bytes = tensor_bytes(t);
    return bytes ? mix_bytes(h, t->data, bytes) : h;
}

/* ---- attributes, through the operator's table ----------------------------------------------- */

static bool same_bytes(const void *a, const void *b, size_t n)
{
    return n == 0 || memcmp(a, b, n) == 0;
}

static bool same_str(const struct str *a, const struct str *b)
{
    return a->size == b->size && !a->data == !b->data && same_bytes(a->data, b->data, a->size);
}

static bool same_strs(const struct strs *a, const struct strs *b)
{
    if (a->n != b->n || !a->v != !b->v)
        return false;
    for (int64_t i = 0; i < a->n; i++)
        if (!same_str(&a->v[i], &b->v[i]))
            return false;
    return true;
}

static bool same_attr(enum attr_kind kind, const void *a, const void *b)
{
    switch (kind) {
    case ATTR_INT:
        return *(const int64_t *)a == *(const int64_t *)b;
    case ATTR_FLOAT: /* by bits: zeros differ, NaNs need not */
        return memcmp(a, b, sizeof(float)) == 0;
    case ATTR_STRING:
        return same_str(a, b);
    case ATTR_TENSOR:
    case ATTR_SPARSE:
        return same_tensor(*(const struct tensor *const *)a, *(const struct tensor *const *)b);
    case ATTR_INTS: {
        const struct ints *x = a, *y = b;
        size_t bytes = (size_t)x->n * sizeof *x->v;
        return x->n == y->n && !x->v == !y->v && same_bytes(x->v, y->v, bytes);
    }
    case ATTR_FLOATS: {
        const struct floats *x = a, *y = b;
        size_t bytes = (size_t)x->n * sizeof *x->v;
        return x->n == y->n && !x->v == !y->v && same_bytes(x->v, y->v, bytes);
    }
    case ATTR_STRINGS:
        return same_strs(a, b);
    default: /* graphs, types */
        return *(const void *const *)a == *(const void *const *)b;
    }
}

static bool same_attrs(const struct node *a, const struct node *b)
{
    for (const struct attr *row = a->op->attrs; row && row->name; row++)
        if (!row->ignore && row->input == 0 &&
            !same_attr(row->kind, (const char *)a->attrs + row->offset,
                       (const char *)b->attrs + row->offset))
            return false;
    return true;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static bool eligible(const struct node *n)
{
    if (!(n->op->flags & OP_PURE) || n->n_graphs)
        return false;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i])
            return true;
    return false;
}

static uint64_t hash_node(const struct node *n)
{
    uint64_t h = mix((uint64_t)(uintptr_t)n->op, (uint64_t)n->n_in);
    for (int i = 0; i < n->n_in; i++)
        h = mix(h, n->in[i] ? n->in[i]->id : UINT64_MAX);
    return h;
}

/* a does all that b does. */
static bool same_node(const struct node *a, const struct node *b)
{
    if (a->op != b->op || a->opset != b->opset || a->n_in != b->n_in || a->n_out != b->n_out)
        return false;
    for (int i = 0; i < a->n_in; i++)
        if (a->in[i] != b->in[i])
            return false;
    for (int i = 0; i < a->n_out; i++)
        if (!a->out[i] != !b->out[i])
            return false;
    return same_attrs(a, b);
}

static int replace_node(struct node *n, struct node *by, struct err *e)
{
    for (int i = 0; i < n->n_out; i++) {
        int r = n->out[i] ? graph_replace(n->out[i], by->out[i], e) : 0;
        if (r)
            return r;
    }
    graph_remove(n);
    return 0;
}

/* ---- the table ------------------------------------------------------------------------------ */

/* Items seen so far by hash; open addressing, at most half full. */
struct seen {
    void **items;
    uint64_t *hashes;
    size_t slots;
};

static int seen_init(struct seen *s, struct budget *b, size_t items, struct err *e)
{
    s->slots = 16;
    while (s->slots < items * 2)
        s->slots *= 2;
    s->hashes = NULL;
    s->items = mem_calloc(b, s->slots, sizeof *s->items, e);
    if (s->items)
        s->hashes = mem_calloc(b, s->slots, sizeof *s->hashes, e);
    return s->hashes ? 0 : pass_failed(e);
}

static void seen_clear(struct seen *s)
{
    mem_free(s->items);
    mem_free(s->hashes);
}

/* The earlier item that is the same, or NULL once this one is noted. */
static void *seen_find(struct seen *s, void *item, uint64_t hash,
                       bool (*same)(const void *, const void *))
{
    size_t i = hash & (s->slots - 1);
    for (; s->items[i]; i = (i + 1) & (s->slots - 1))
        if (s->hashes[i] == hash && same(s->items[i], item))
            return s->items[i];
    s->items[i] = item;
    s->hashes[i] = hash;
    return NULL;
}

static bool same_constants(const void *a, const void *b)
{
    const struct graph_value *x = a, *y = b;
    return same_tensor(x->constant, y->constant);
}

static bool same_nodes(const void *a, const void *b)
{
    return same_node(a, b);
}

static int join_constants(struct graph *g, struct seen *s, struct pass_context *c, struct err *e)
{
    int count = 0;
    for (size_t i = 0; i < g->n_values; i++) {
        struct graph_value *v = g->values[i];
        if (!v->constant || v->is_output || v->is_input || v->n_uses == 0 ||
            dtype_kind(v->constant->dtype) == 'S' || tensor_bytes(v->constant) > CONSTANT_BYTES_MAX)
            continue;
        struct graph_value *first = seen_find(s, v, hash_tensor(v->constant), same_constants);
        if (!first)
            continue;
        if (!pass_allow(c))
            return count;
        int r = graph_replace(v, first, e);
        if (r)
            return r;
        count++;
    }
    return count;
}

static int join_nodes(struct graph *g, struct seen *s, struct pass_context *c, struct err *e)
{
    int count = 0;
    struct node *next;
    for (struct node *n = g->first; n; n = next) {
        next = n->next;
        struct node *first = eligible(n) ? seen_find(s, n, hash_node(n), same_nodes) : NULL;
        if (!first)
            continue;
        if (!pass_allow(c))
            return count;
        int r = replace_node(n, first, e);
        if (r)
            return r;
        count++;
    }
    return count;
}

int pass_cse(struct graph *g, struct pass_context *c, struct err *e)
{
    struct seen constants, nodes;
    size_t n_nodes = 0;
    for (const struct node *n = g->first; n; n = n->next)
        n_nodes++;
    int count = seen_init(&constants, g->shared->budget, g->n_values, e);
    if (count == 0)
        count = join_constants(g, &constants, c, e);
    seen_clear(&constants);
    if (count < 0)
        return count;
    int more = seen_init(&nodes, g->shared->budget, n_nodes, e);
    if (more == 0)
        more = join_nodes(g, &nodes, c, e);
    seen_clear(&nodes);
    return more < 0 ? more : count + more;
}
