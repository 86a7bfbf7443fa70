/* SPDX-License-Identifier: Apache-2.0 */
/* What a model tells about itself: its ports, and reports as text. */
#include <string.h>

#include "core/text.h"
#include "onnx/write.h"
#include "runtime/model.h"

/* ---- ports ------------------------------------------------------------------------------------- */

static enum infer_kind port_kind(const struct type *t)
{
    switch (t->kind) {
    case TYPE_TENSOR:
    case TYPE_SPARSE:
        return INFER_TENSOR;
    case TYPE_SEQUENCE:
        return INFER_SEQUENCE;
    case TYPE_MAP:
        return INFER_MAP;
    default:
        return INFER_NONE;
    }
}

static int fill_port(struct infer_model *m, const struct graph_value *v, struct infer_port *p,
                     struct err *e)
{
    const struct syms *syms = m->graph->shared->syms;
    const struct type *t = &v->fact.type;
    char text[512];
    p->name = v->name;
    p->optional = t->kind == TYPE_OPTIONAL;
    p->text = arena_strndup(&m->arena, type_print(t, syms, text, sizeof(text)), sizeof(text), e);
    if (!p->text)
        return ERR_MEMORY;
    if (t->kind == TYPE_OPTIONAL && t->elem)
        t = t->elem;
    p->kind = port_kind(t);
    if (t->kind == TYPE_SEQUENCE && t->elem) {
        t = t->elem;
        p->item = port_kind(t);
    }
    if (t->kind == TYPE_MAP && t->elem && t->elem->kind == TYPE_TENSOR)
        p->value_type = (int)t->elem->dtype;
    p->type = (int)t->dtype;
    p->rank = t->kind == TYPE_TENSOR ? t->rank : -1;
    for (int k = 0; k < p->rank; k++) {
        bool number = sym_is_number(t->dims[k]);
        p->dims[k] = number ? t->dims[k] : -1;
        if (number)
            continue;
        p->symbols[k] = arena_strndup(&m->arena, sym_print(syms, t->dims[k], text, sizeof(text)),
                                      sizeof(text), e);
        if (!p->symbols[k])
            return ERR_MEMORY;
        /* Symbols without a name print as ?N, which is no name to give a number to. */
        if (*p->symbols[k] == '?')
            p->symbols[k] = "";
    }
    return 0;
}

int model_ports(struct infer_model *m, struct err *e)
{
    const struct graph *g = m->graph;
    int rc = 0;
    m->n_inputs = g->n_inputs;
    m->n_outputs = g->n_outputs;
    m->inputs = arena_array(&m->arena, (size_t)g->n_inputs + 1, sizeof(*m->inputs), e);
    m->outputs = arena_array(&m->arena, (size_t)g->n_outputs + 1, sizeof(*m->outputs), e);
    if (!m->inputs || !m->outputs)
        return ERR_MEMORY;
    for (int i = 0; i < g->n_inputs && rc == 0; i++)
        rc = fill_port(m, g->inputs[i], &m->inputs[i], e);
    for (int i = 0; i < g->n_outputs && rc == 0; i++)
        rc = fill_port(m, g->outputs[i], &m->outputs[i], e);
    return rc;
}

int model_ports_inferred(struct infer_model *m, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < m->n_outputs && rc == 0; i++) {
        const struct type *t = &m->graph->outputs[i]->fact.type;
        const char *name = m->outputs[i].name;
        if (t->kind == TYPE_TENSOR && t->rank >= 0 && m->outputs[i].kind == INFER_TENSOR) {
            m->outputs[i] = (struct infer_port){0};
            rc = fill_port(m, m->graph->outputs[i], &m->outputs[i], e);
            m->outputs[i].name = name;
        }
    }
    return rc;
}

int infer_model_inputs(const struct infer_model *m)
{
    return m->n_inputs;
}

int infer_model_outputs(const struct infer_model *m)
{
    return m->n_outputs;
}

const struct infer_port *infer_model_input(const struct infer_model *m, int i)
{
    return i >= 0 && i < m->n_inputs ? &m->inputs[i] : NULL;
}

const struct infer_port *infer_model_output(const struct infer_model *m, int i)
{
    return i >= 0 && i < m->n_outputs ? &m->outputs[i] : NULL;
}

static int find_port(const struct infer_port *ports, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(ports[i].name, name) == 0)
            return i;
    return -1;
}

int infer_model_find_input(const struct infer_model *m, const char *name)
{
    return find_port(m->inputs, m->n_inputs, name);
}

int infer_model_find_output(const struct infer_model *m, const char *name)
{
    return find_port(m->outputs, m->n_outputs, name);
}

/* ---- texts ------------------------------------------------------------------------------------- */

struct tally {
    const struct op *op;
    size_t count;
};

/* Operators by name with their counts, subgraphs included. */
static size_t tally_ops(const struct graph *g, struct tally *t, size_t n, size_t max)
{
    for (const struct node *node = g->first; node; node = node->next) {
        size_t i = 0;
        while (i < n && t[i].op != node->op)
            i++;
        if (i == n && n < max)
            t[n++] = (struct tally){node->op, 0};
        if (i < n)
            t[i].count++;
        for (int k = 0; k < node->n_graphs; k++)
            n = tally_ops(node->graphs[k], t, n, max);
    }
    return n;
}

static void add_ports(struct text *t, const char *what, const struct infer_port *p, int n)
{
    text_add(t, "%s\n", what);
    for (int i = 0; i < n; i++) {
        text_add(t, "  ");
        text_add_bytes(t, p[i].name, strlen(p[i].name));
        text_add(t, "  ");
        text_add_bytes(t, p[i].text, strlen(p[i].text));
        text_add(t, "\n");
    }
}

static void add_symbols(struct text *t, const struct infer_model *m)
{
    const char *seen[64];
    int n = 0;
    for (int i = 0; i < m->n_inputs; i++)
        for (int k = 0; k < m->inputs[i].rank; k++) {
            const char *s = m->inputs[i].symbols[k];
            bool known = !s || !*s;
            for (int j = 0; j < n && !known; j++)
                known = strcmp(seen[j], s) == 0;
            if (!known && n < 64)
                seen[n++] = s;
        }
    if (n == 0)
        return;
    text_add(t, "symbols\n ");
    for (int i = 0; i < n; i++) {
        text_add(t, " ");
        text_add_bytes(t, seen[i], strlen(seen[i]));
    }
    text_add(t, "\n");
}

static void describe(struct text *t, const struct infer_model *m)
{
    struct tally ops[512];
    size_t n = tally_ops(m->graph, ops, 0, 512);
    const char *producer = infer_model_metadata(m, "producer", 0);
    const char *opset = infer_model_metadata(m, "opset", 0);
    text_add(t, "model\n  ");
    if (producer && *producer) {
        text_add_bytes(t, producer, strlen(producer));
        text_add(t, ", ");
    }
    text_add(t, "opset %s\n", opset ? opset : "?");
    add_ports(t, "inputs", m->inputs, m->n_inputs);
    add_ports(t, "outputs", m->outputs, m->n_outputs);
    add_symbols(t, m);
    text_add(t, "operators (%zu nodes after the passes, %llu in the file)\n ", graph_count(m->graph),
             (unsigned long long)m->nodes);
    for (size_t i = 0; i < n; i++)
        text_add(t, " %s%s%s x%zu", ops[i].op->domain, *ops[i].op->domain ? "." : "", ops[i].op->name,
                 ops[i].count);
    text_add(t, "\nparameters\n  %llu (%.1f MiB)\n", (unsigned long long)m->parameters,
             (double)m->weight_bytes / 1048576);
    text_add(t, "memory\n  %.1f MiB of weights packed for this processor's kernels\n",
             (double)m->packed_bytes / 1048576);
    if (*m->missing)
        text_add(t, "not supported\n%s", m->missing);
}

static void add_placement(struct text *t, const struct graph *g, const char *device, int depth)
{
    for (const struct node *n = g->first; n; n = n->next) {
        text_add(t, "%*s%s %s ", 2 * depth, "", n->device == DEVICE_CPU ? "cpu" : device, n->op->name);
        text_add_bytes(t, n->name, strlen(n->name));
        text_add(t, "\n");
        for (int i = 0; i < n->n_graphs; i++)
            add_placement(t, n->graphs[i], device, depth + 1);
    }
}

static char *passes_text(const struct infer_model *m, struct err *e)
{
    struct text t = {.budget = m->budget};
    for (int i = 0; i < pass_count(); i++)
        text_add(&t, "%-16s %6llu rewrites  %8.3f ms\n", pass_name(i),
                 (unsigned long long)m->passes.rewrites[i], (double)m->passes.nanoseconds[i] / 1e6);
    return text_take(&t, e);
}

char *model_text(const struct infer_model *m, const char *what, struct err *e)
{
    struct text t = {.budget = m->budget};
    if (strcmp(what, "graph") == 0)
        return graph_print(m->graph, e);
    if (strcmp(what, "dot") == 0)
        return graph_dot(m->graph, e);
    if (strcmp(what, "passes") == 0)
        return passes_text(m, e);
    if (strcmp(what, "describe") == 0)
        describe(&t, m);
    else if (strcmp(what, "check") == 0)
        text_add(&t, "%s", m->missing);
    else if (strcmp(what, "placement") == 0)
        add_placement(&t, m->graph, m->device->table->name, 0);
    else {
        err_set(e, ERR_USAGE, "'%.40s': expected describe, check, graph, dot, passes or placement", what);
        return NULL;
    }
    return text_take(&t, e);
}

char *infer_model_text(const struct infer_model *m, const char *what, struct infer_error *error)
{
    return model_text(m, what, to_err(error));
}

int infer_model_save(const struct infer_model *m, const char *path, const struct infer_save_options *given,
                     struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    struct infer_save_options o = {.size = sizeof(o)};
    if (given)
        memcpy(&o, given, given->size < sizeof(o) ? given->size : sizeof(o));
    if (*m->missing)
        return err_set(e, ERR_UNSUPPORTED, "a model with parts that are not supported cannot be saved");
    return onnx_write(m->graph, m->file, path, o.external_data != 0, e);
}

void infer_model_stats(const struct infer_model *m, struct infer_model_stats *s)
{
    struct infer_model *locked = (struct infer_model *)m;
    pthread_mutex_lock(&locked->lock);
    struct infer_model_stats all = {
        .size = sizeof(all),
        .parameters = m->parameters,
        .weight_bytes = m->weight_bytes,
        .packed_bytes = m->packed_bytes,
        .nodes = graph_count(m->graph),
        .runs = m->runs,
        .plans = m->plans_made,
        .contexts = m->contexts,
        .arena_bytes = m->arena_bytes,
        .load_ms = m->load_ms,
        .plan_ms = m->plan_ms,
        .dims_ms = m->dims_ms,
    };
    pthread_mutex_unlock(&locked->lock);
    size_t n = s->size < sizeof(all) ? s->size : sizeof(all);
    size_t size = s->size;
    memcpy(s, &all, n);
    s->size = size;
}
