/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/importer.h"

/* ---- the table ----------------------------------------------------------------------------- */

static int compare_names(const char *domain, const char *name, const char *overload,
                         const Onnx__FunctionProto *f)
{
    int c = strcmp(name, text_of(f->name));
    c = c ? c : strcmp(domain, plain_domain(f->domain));
    return c ? c : strcmp(overload, text_of(f->overload));
}

static int compare(const void *a, const void *b)
{
    const Onnx__FunctionProto *x = ((const struct function *)a)->proto;
    return compare_names(plain_domain(x->domain), text_of(x->name), text_of(x->overload),
                         ((const struct function *)b)->proto);
}

int functions_load(struct importer *m, struct err *e)
{
    const Onnx__ModelProto *p = m->model->proto;
    m->functions = arena_array(&m->arena, p->n_functions, sizeof *m->functions, e);
    if (!m->functions)
        return err_code_of(e, ERR_MEMORY);
    m->n_functions = p->n_functions;
    for (size_t i = 0; i < m->n_functions; i++) {
        const Onnx__FunctionProto *f = p->functions[i];
        m->functions[i] =
            (struct function){.proto = f, .imports = {f->opset_import, f->n_opset_import}};
    }
    if (m->n_functions > 1)
        qsort(m->functions, m->n_functions, sizeof *m->functions, compare);
    for (size_t i = 1; i < m->n_functions; i++)
        if (!compare(&m->functions[i - 1], &m->functions[i]))
            return err_set(e, ERR_MODEL, "two functions are named '%.80s'",
                           text_of(m->functions[i].proto->name));
    return 0;
}

static struct function *find(const struct importer *m, const char *domain, const char *name,
                             const char *overload)
{
    size_t low = 0, high = m->n_functions;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = compare_names(domain, name, overload, m->functions[mid].proto);
        if (!c)
            return &m->functions[mid];
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

static int version_of(const struct imports *imports, const char *domain)
{
    for (size_t i = 0; i < imports->n; i++)
        if (!strcmp(plain_domain(imports->list[i]->domain), domain))
            return (int)imports->list[i]->version;
    return 0;
}

/* A function of the model goes before an operator of the same name, but not in ONNX's own domain:
 * what stands there is the same operator spelt out. */
void function_target(const struct importer *m, const struct imports *imports,
                     const Onnx__NodeProto *p, struct target *out)
{
    const char *name = text_of(p->op_type);
    *out = (struct target){.domain = plain_domain(p->domain)};
    out->opset = version_of(imports, out->domain);
    if (!out->opset)
        out->opset = version_of(&m->imports, out->domain);
    if (*out->domain)
        out->function = find(m, out->domain, name, text_of(p->overload));
    if (out->function)
        return;
    /* Many files use a domain without importing it: its first version then, or the first that has
     * it. */
    bool imported = out->opset != 0;
    out->opset = imported ? out->opset : 1;
    out->op = op_find(out->domain, name, out->opset, &out->newer);
    if (!out->op && !imported && out->newer) {
        out->opset = out->newer;
        out->op = op_find(out->domain, name, out->opset, &out->newer);
    }
    if (!out->op && !*out->domain)
        out->function = find(m, out->domain, name, text_of(p->overload));
}

/* ---- measuring ----------------------------------------------------------------------------- */

static int measure_function(struct importer *m, struct function *f, int calls, struct err *e);

static int measure(struct importer *m, const struct imports *imports, Onnx__NodeProto *const *nodes,
                   size_t n, int calls, size_t *count, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        struct target t;
        int rc = stop_poll(m->model->source.stop, e);
        function_target(m, imports, nodes[i], &t);
        if (t.function && !rc)
            rc = measure_function(m, t.function, calls + 1, e);
        *count += t.function && !rc ? t.function->nodes : 1;
        for (size_t k = 0; k < nodes[i]->n_attribute && !rc; k++) {
            const Onnx__GraphProto *g = nodes[i]->attribute[k]->g;
            if (g)
                rc = measure(m, imports, g->node, g->n_node, calls, count, e);
        }
        if (rc)
            return rc;
        if (*count > IMPORT_NODES_MAX)
            return err_set(e, ERR_LIMIT, "the model expands to more than %d nodes",
                           IMPORT_NODES_MAX);
    }
    return 0;
}

static int measure_function(struct importer *m, struct function *f, int calls, struct err *e)
{
    if (f->state == FUNCTION_DONE)
        return 0;
    if (f->state == FUNCTION_OPEN)
        return err_set(e, ERR_MODEL, "the function '%.80s' calls itself", text_of(f->proto->name));
    if (calls > IMPORT_CALLS_MAX)
        return err_set(e, ERR_LIMIT, "functions call each other more than %d deep",
                       IMPORT_CALLS_MAX);
    f->state = FUNCTION_OPEN;
    f->nodes = 1;
    int rc = measure(m, &f->imports, f->proto->node, f->proto->n_node, calls, &f->nodes, e);
    f->state = FUNCTION_DONE;
    return rc;
}

int functions_measure(struct importer *m, struct err *e)
{
    size_t count = 0;
    const Onnx__GraphProto *g = m->model->proto->graph;
    return measure(m, &m->imports, g->node, g->n_node, 0, &count, e);
}

/* ---- expansion ----------------------------------------------------------------------------- */

/* What the body's references stand for: the call's attributes, then the function's defaults. */
static int bind(struct importer *m, struct scope *caller, struct scope *body,
                const struct function *f, const Onnx__NodeProto *p, struct call_site *call,
                struct err *e)
{
    size_t n = p->n_attribute + f->proto->n_attribute_proto;
    if (n > IMPORT_CALL_ATTRS_MAX)
        return err_set(e, ERR_LIMIT, "a call with %zu attributes, at most %d are supported", n,
                       IMPORT_CALL_ATTRS_MAX);
    struct bound *list = arena_array(&m->arena, n, sizeof *list, e);
    if (!list)
        return err_code_of(e, ERR_MEMORY);
    call->attrs = list;
    for (size_t i = 0; i < p->n_attribute; i++) {
        int rc = attr_resolve(caller, p->attribute[i], &list[call->n], e);
        if (rc)
            return rc;
        call->n += list[call->n].attr != NULL;
    }
    for (size_t i = 0; i < f->proto->n_attribute_proto; i++) {
        const Onnx__AttributeProto *a = f->proto->attribute_proto[i];
        list[call->n++] = (struct bound){text_of(a->name), a, body};
    }
    char prefix[96];
    int length = snprintf(prefix, sizeof prefix, "%.60s_%zu/", text_of(f->proto->name), ++m->calls);
    call->prefix = arena_strndup(&m->arena, prefix, (size_t)length, e);
    return call->prefix ? 0 : err_code_of(e, ERR_MEMORY);
}

static int bind_inputs(struct importer *m, struct scope *caller, struct scope *body,
                       const Onnx__FunctionProto *f, const Onnx__NodeProto *p, struct err *e)
{
    if (p->n_input > f->n_input || p->n_output > f->n_output)
        return err_set(e, ERR_MODEL,
                       "the function has %zu inputs and %zu outputs, the call %zu and %zu",
                       f->n_input, f->n_output, p->n_input, p->n_output);
    for (size_t i = 0; i < f->n_input; i++) {
        struct graph_value *v = NULL;
        int rc = i < p->n_input ? scope_find(m, caller, caller->graph, p->input[i], &v, e) : 0;
        rc = rc ? rc : scope_put(m, body, f->input[i], v, false, e);
        if (rc)
            return rc;
    }
    return 0;
}

/* An output that is an input of the function too, or another output: the caller's value is a copy.
 */
static int copy_value(struct importer *m, struct graph_value *from, struct graph_value *to,
                      struct err *e)
{
    const struct op *op = op_find("", "Identity", INT_MAX, NULL);
    if (!op)
        return err_set(e, ERR_INTERNAL, "there is no operator Identity");
    struct node *n = graph_node_new(to->graph, op, "", 1, 1, NULL, e);
    if (!n)
        return err_code_of(e, ERR_MEMORY);
    node_set_out(n, 0, to);
    return node_set_in(n, 0, from, e);
}

/* The caller's values stand for the body's outputs. */
static int bind_outputs(struct importer *m, struct scope *caller, struct scope *body,
                        const Onnx__FunctionProto *f, const Onnx__NodeProto *p, struct err *e)
{
    for (size_t i = 0; i < p->n_output; i++) {
        if (!*p->output[i])
            continue;
        const struct name_slot *mine = scope_own(m, caller, p->output[i]);
        const struct name_slot *there = scope_own(m, body, f->output[i]);
        if (!mine || !mine->value)
            return err_set(e, ERR_INTERNAL, "output '%.80s' was not declared", p->output[i]);
        if (there && !there->value)
            return err_set(e, ERR_MODEL, "output '%.80s' is an input that was left out",
                           f->output[i]);
        int rc = there ? copy_value(m, there->value, mine->value, e)
                       : scope_put(m, body, f->output[i], mine->value, true, e);
        if (rc)
            return rc;
    }
    return 0;
}

int function_expand(struct importer *m, struct scope *s, struct function *f,
                    const Onnx__NodeProto *p, struct err *e)
{
    struct call_site call = {0};
    struct scope body = {
        .graph = s->graph, .imports = &f->imports, .call = &call, .depth = s->depth + 1};
    if (body.depth > IMPORT_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "functions and subgraphs more than %d deep", IMPORT_DEPTH_MAX);
    int rc = bind(m, s, &body, f, p, &call, e);
    rc = rc ? rc : bind_inputs(m, s, &body, f->proto, p, e);
    rc = rc ? rc : bind_outputs(m, s, &body, f->proto, p, e);
    rc = rc ? rc : import_nodes(m, &body, f->proto->node, f->proto->n_node, e);
    for (size_t i = 0; i < body.names.capacity && !rc; i++)
        if (body.names.slots[i].name && body.names.slots[i].wanted)
            rc = err_set(e, ERR_MODEL, "no node of the function makes its output '%.80s'",
                         body.names.slots[i].name);
    return rc ? err_at(e, rc, "function '%.80s'", text_of(f->proto->name)) : 0;
}
