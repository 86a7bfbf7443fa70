/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs, types and nodes as text. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "graph/op.h"

/* ---- types and nodes, into bounded buffers --------------------------------------------------- */

/* A piece at the end of a bounded buffer, cut where it does not fit. */
static void PRINTF_LIKE(4, 5) add(char *buf, size_t size, size_t *n, const char *fmt, ...)
{
    va_list args;
    if (*n + 1 >= size)
        return;
    va_start(args, fmt);
    int k = vsnprintf(buf + *n, size - *n, fmt, args);
    va_end(args);
    *n += k > 0 ? (size_t)k : 0;
    *n = *n < size ? *n : size - 1;
}

static void add_tensor(const struct type *t, const struct syms *s, char *buf, size_t size,
                       size_t *n)
{
    add(buf, size, n, "%s", t->dtype == DTYPE_NONE ? "" : dtype_name(t->dtype));
    if (t->rank < 0) {
        add(buf, size, n, "[...]");
        return;
    }
    add(buf, size, n, "[");
    for (int k = 0; k < t->rank; k++) {
        char dim[128];
        const char *text = dim;
        if (sym_is_number(t->dims[k]))
            snprintf(dim, sizeof dim, "%lld", (long long)t->dims[k]);
        else if (s && sym_is_expr(t->dims[k]))
            text = sym_print(s, t->dims[k], dim, sizeof dim);
        else
            text = "?";
        add(buf, size, n, "%s%s", k ? "," : "", text);
    }
    add(buf, size, n, "]");
}

const char *type_print(const struct type *t, const struct syms *s, char *buf, size_t size)
{
    static const char *const kinds[] = {
        [TYPE_UNKNOWN] = "?",          [TYPE_SPARSE] = "sparse(", [TYPE_SEQUENCE] = "sequence(",
        [TYPE_OPTIONAL] = "optional(", [TYPE_MAP] = "map(",
    };
    size_t n = 0;
    int open = 0;
    if (size)
        buf[0] = '\0';
    while (t && t->kind != TYPE_TENSOR && t->kind != TYPE_UNKNOWN && open < 16) {
        add(buf, size, &n, "%s", kinds[t->kind]);
        open++;
        if (t->kind == TYPE_MAP)
            add(buf, size, &n, "%s,", dtype_name(t->dtype));
        if (t->kind == TYPE_SPARSE)
            break;
        t = t->elem;
    }
    if (t && (t->kind == TYPE_TENSOR || t->kind == TYPE_SPARSE))
        add_tensor(t, s, buf, size, &n);
    else
        add(buf, size, &n, "?");
    while (open-- > 0)
        add(buf, size, &n, ")");
    return buf;
}

const char *node_describe(const struct node *n, char *buf, size_t size)
{
    const char *domain = n->op->domain;
    size_t used = 0;
    if (size)
        buf[0] = '\0';
    if (n->name[0])
        add(buf, size, &used, "node '%.64s' (", n->name);
    else
        add(buf, size, &used, "a node (");
    add(buf, size, &used, "%s%s%s, opset %d)", domain, domain[0] ? "." : "", n->op->name, n->opset);
    return buf;
}

/* ---- text that grows ------------------------------------------------------------------------- */

struct text {
    struct budget *budget;
    char *p;
    size_t n, cap;
    int code;
    struct err *err;
};

static void PRINTF_LIKE(2, 3) put(struct text *t, const char *fmt, ...)
{
    va_list args;
    if (t->code)
        return;
    va_start(args, fmt);
    int k = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    size_t need = t->n + (k > 0 ? (size_t)k : 0) + 1;
    if (need > t->cap) {
        size_t cap = need < 256 ? 256 : need * 2;
        char *p = mem_realloc(t->budget, t->p, cap, t->err);
        if (!p) {
            t->code = t->err && t->err->code ? t->err->code : ERR_MEMORY;
            return;
        }
        t->p = p;
        t->cap = cap;
    }
    va_start(args, fmt);
    vsnprintf(t->p + t->n, t->cap - t->n, fmt, args);
    va_end(args);
    t->n = need - 1;
}

/* What is left of a text: it, or NULL. */
static char *finish(struct text *t)
{
    if (t->code == 0)
        put(t, "%s", "");
    if (t->code == 0)
        return t->p;
    mem_free(t->p);
    return NULL;
}

/* A name from a file on one line; without one, %id. `quote` also guards what ends a quoted string.
 */
static void put_name(struct text *t, const struct graph_value *v, bool quote)
{
    char name[128];
    size_t n = 0;
    while (v->outer)
        v = v->outer;
    if (!v->name[0]) {
        put(t, "%%%u", (unsigned)v->id);
        return;
    }
    for (const char *p = v->name; *p && n + 2 < sizeof name; p++) {
        if (quote && (*p == '"' || *p == '\\'))
            name[n++] = '\\';
        name[n++] = (unsigned char)*p < ' ' || *p == 127 ? '?' : *p;
    }
    name[n] = '\0';
    put(t, "%s", name);
}

static void put_value(struct text *t, const struct graph_value *v)
{
    char type[256];
    put_name(t, v, false);
    put(t, " %s", type_print(&v->fact.type, v->graph->shared->syms, type, sizeof type));
}

static void put_list(struct text *t, struct graph_value *const *v, int n, bool types)
{
    for (int i = 0; i < n; i++) {
        put(t, "%s", i ? ", " : "");
        if (!v[i])
            put(t, "_");
        else if (types)
            put_value(t, v[i]);
        else
            put_name(t, v[i], false);
    }
}

static void put_graph(struct text *t, const struct graph *g, int depth);

static void put_node(struct text *t, const struct node *n, int depth)
{
    const char *domain = n->op->domain;
    put(t, "%*s", depth * 4, "");
    put_list(t, n->out, n->n_out, true);
    put(t, " = %s%s%s(", domain, domain[0] ? "." : "", n->op->name);
    put_list(t, n->in, n->n_in, false);
    put(t, ")%s%s\n", n->late ? " late" : "", n->device ? " device" : "");
    for (int i = 0; i < n->n_graphs; i++)
        put_graph(t, n->graphs[i], depth + 1);
}

static void put_graph(struct text *t, const struct graph *g, int depth)
{
    put(t, "%*sgraph (", depth * 4, "");
    put_list(t, g->inputs, g->n_inputs, true);
    put(t, ") -> (");
    put_list(t, g->outputs, g->n_outputs, false);
    put(t, ") {\n");
    for (size_t i = 0; i < g->n_values; i++) {
        const struct graph_value *v = g->values[i];
        if (!v->constant && !v->outer)
            continue;
        put(t, "%*s%s ", (depth + 1) * 4, "", v->constant ? "constant" : "capture");
        put_value(t, v);
        put(t, "\n");
    }
    for (const struct node *n = g->first; n; n = n->next)
        put_node(t, n, depth + 1);
    put(t, "%*s}\n", depth * 4, "");
}

char *graph_print(const struct graph *g, struct err *e)
{
    struct text t = {.budget = g->shared->budget, .err = e};
    put_graph(&t, g, 0);
    return finish(&t);
}

/* ---- Graphviz -------------------------------------------------------------------------------- */

/* The point where a value is made: its node, or a point of its own for inputs and so on. */
static void dot_source(struct text *t, const struct graph_value *v)
{
    while (v->outer)
        v = v->outer;
    if (v->producer)
        put(t, "n%u", (unsigned)v->producer->id);
    else
        put(t, "v%u", (unsigned)v->id);
}

static void dot_edge(struct text *t, const struct graph_value *v, const char *to, uint32_t id)
{
    char type[256];
    put(t, "  ");
    dot_source(t, v);
    put(t, " -> %s%u [label=\"", to, (unsigned)id);
    put_name(t, v, true);
    put(t, "\\n%s\"];\n", type_print(&v->fact.type, v->graph->shared->syms, type, sizeof type));
}

static void dot_graph(struct text *t, const struct graph *g)
{
    for (size_t i = 0; i < g->n_values; i++) {
        const struct graph_value *v = g->values[i];
        if (!v->is_input && !v->constant)
            continue;
        put(t, "  v%u [shape=%s, label=\"", (unsigned)v->id, v->constant ? "plaintext" : "ellipse");
        put_name(t, v, true);
        put(t, "\"];\n");
    }
    for (const struct node *n = g->first; n; n = n->next) {
        put(t, "  n%u [shape=box, label=\"%s\"];\n", (unsigned)n->id, n->op->name);
        for (int i = 0; i < n->n_in; i++) {
            if (n->in[i])
                dot_edge(t, n->in[i], "n", n->id);
        }
        for (int i = 0; i < n->n_graphs; i++) {
            put(t, "  subgraph cluster_%u_%d {\n", (unsigned)n->id, i);
            dot_graph(t, n->graphs[i]);
            put(t, "  }\n");
        }
    }
    for (int i = 0; i < g->n_outputs; i++) {
        const struct graph_value *v = g->outputs[i];
        put(t, "  o%u [shape=ellipse, label=\"", (unsigned)v->id);
        put_name(t, v, true);
        put(t, "\"];\n");
        dot_edge(t, v, "o", v->id);
    }
}

char *graph_dot(const struct graph *g, struct err *e)
{
    struct text t = {.budget = g->shared->budget, .err = e};
    put(&t, "digraph model {\n");
    dot_graph(&t, g);
    put(&t, "}\n");
    return finish(&t);
}
