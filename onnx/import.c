/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "onnx/importer.h"

/* The newest versions of operator sets whose meaning is known here. */
static const struct {
    const char *domain;
    int version;
} opsets[] = {{"", 28}, {"ai.onnx", 28}, {"ai.onnx.ml", 5}};

/* ---- one node ------------------------------------------------------------------------------ */

/* Names of values without those at the end that are empty. */
static size_t trimmed(char *const *names, size_t n, bool variadic)
{
    while (n && !variadic && !*names[n - 1])
        n--;
    return n;
}

/* Inputs that must be there: the leading in_min, and all of a list of any length. Two operators
 * have optional inputs in front of such a list: Loop, and Scan in its first version. */
static bool may_be_absent(const struct node *n, int i)
{
    const struct op *op = n->op;
    if (op->in_max >= 0)
        return i >= op->in_min;
    return (i < 2 && !strcmp(op->name, "Loop")) ||
           (i == 0 && n->opset < 9 && !strcmp(op->name, "Scan"));
}

static int check_counts(const struct op *op, const Onnx__NodeProto *p, int n_in, int n_out,
                        struct err *e)
{
    if (n_in < op->in_min || (op->in_max >= 0 && n_in > op->in_max))
        return err_set(e, ERR_MODEL, "%d inputs; the operator takes %d to %d", n_in, op->in_min,
                       op->in_max < 0 ? INT_MAX : op->in_max);
    if (n_out < op->out_min || (op->out_max >= 0 && n_out > op->out_max))
        return err_set(e, ERR_MODEL, "%d outputs; the operator has %d to %d", n_out, op->out_min,
                       op->out_max < 0 ? INT_MAX : op->out_max);
    for (int i = 0; i < op->out_min && op->out_max >= 0; i++)
        if (!*p->output[i])
            return err_set(e, ERR_MODEL, "output %d has no name, but is not optional", i);
    return 0;
}

static int set_inputs(struct importer *m, const struct scope *s, struct node *n,
                      const Onnx__NodeProto *p, size_t given, struct err *e)
{
    for (size_t i = 0; i < given; i++) {
        struct graph_value *v;
        int rc = scope_find(m, s, n->graph, p->input[i], &v, e);
        rc = rc ? rc : node_set_in(n, (int)i, v, e);
        if (rc)
            return rc;
    }
    return 0;
}

static int check_inputs(const struct node *n, struct err *e)
{
    for (int i = 0; i < n->n_in; i++)
        if (!n->in[i] && !may_be_absent(n, i))
            return err_set(e, ERR_MODEL, "input %d is missing", i);
    return 0;
}

static void set_outputs(struct importer *m, const struct scope *s, struct node *n,
                        const Onnx__NodeProto *p)
{
    for (int i = 0; i < n->n_out; i++)
        if (*p->output[i])
            node_set_out(n, i, scope_own(m, s, p->output[i])->value);
}

static int full_name(struct importer *m, const struct scope *s, const Onnx__NodeProto *p,
                     const char **out, struct err *e)
{
    *out = text_of(p->name);
    if (!s->call)
        return 0;
    size_t prefix = strlen(s->call->prefix), n = strlen(*out);
    char *name = arena_alloc(&m->arena, prefix + n + 1, e);
    if (!name)
        return err_code_of(e, ERR_MEMORY);
    memcpy(name, s->call->prefix, prefix);
    memcpy(name + prefix, *out, n);
    *out = name;
    return 0;
}

static int make_node(struct importer *m, const struct scope *s, const struct target *t,
                     const Onnx__NodeProto *p, struct err *e)
{
    struct bound given[IMPORT_ATTR_ROWS_MAX];
    const struct op *op = t->op;
    const char *name;
    size_t n_in = trimmed(p->input, p->n_input, op->in_max < 0);
    size_t n_out = trimmed(p->output, p->n_output, op->out_max < 0);
    if (n_in > INT_MAX / 2 || n_out > INT_MAX / 2)
        return err_set(e, ERR_LIMIT, "too many inputs or outputs");
    int rc = attr_match(m, s, op, t->opset, p, given, e);
    rc = rc ? rc : full_name(m, s, p, &name, e);
    if (rc)
        return rc;
    int more = attr_inputs(op, given), total = (int)n_in > more ? (int)n_in : more;
    rc = check_counts(op, p, total, (int)n_out, e);
    if (rc)
        return rc;
    struct node *n = graph_node_new(s->graph, op, name, total, (int)n_out, NULL, e);
    if (!n)
        return err_code_of(e, ERR_MEMORY);
    node_set_opset(n, t->opset);
    set_outputs(m, s, n, p);
    rc = set_inputs(m, s, n, p, n_in, e);
    rc = rc ? rc : attr_fill(m, s, n, given, e);
    rc = rc ? rc : check_inputs(n, e);
    return rc || !op->fix ? rc : op->fix(n, e);
}

static int make_constant(struct importer *m, const struct scope *s, const Onnx__NodeProto *p,
                         struct err *e)
{
    struct tensor t;
    if (p->n_input || p->n_output != 1 || !*p->output[0])
        return err_set(e, ERR_MODEL, "a Constant with %zu inputs and %zu outputs", p->n_input,
                       p->n_output);
    int rc = attr_constant(m, s, p, &t, e);
    return rc ? rc : graph_make_constant(scope_own(m, s, p->output[0])->value, &t, e);
}

/* A node whose outputs all lack a name computes nothing. */
static bool is_dead(const Onnx__NodeProto *p)
{
    for (size_t i = 0; i < p->n_output; i++)
        if (*p->output[i])
            return false;
    return true;
}

static bool is_gradient(const Onnx__NodeProto *p)
{
    return !strcmp(text_of(p->domain), "ai.onnx.preview.training") &&
           !strcmp(text_of(p->op_type), "Gradient") && !is_dead(p);
}

static int import_node(struct importer *m, struct scope *s, const Onnx__NodeProto *p, struct err *e)
{
    struct target t;
    int stopped = stop_poll(m->model->source.stop, e);
    if (stopped || is_dead(p))
        return stopped;
    function_target(m, s->imports, p, &t);
    const char *type = text_of(p->op_type);
    if (++m->nodes > IMPORT_NODES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d nodes", IMPORT_NODES_MAX);
    if (t.function)
        return function_expand(m, s, t.function, p, e);
    if (is_gradient(p))
        return 0; /* when all other nodes are there */
    if (!t.op)
        return import_report_add(m->report, t.newer ? IMPORT_VERSION : IMPORT_OPERATOR, t.domain,
                                 type, t.opset, t.newer, text_of(p->name), e);
    if (!*t.domain && !strcmp(type, "Constant"))
        return make_constant(m, s, p, e);
    struct err local = {0};
    int rc = make_node(m, s, &t, p, &local);
    if (!rc)
        return 0;
    if (rc != ERR_UNSUPPORTED)
        return err_set(e, rc, "%s", local.msg);
    char name[160];
    snprintf(name, sizeof name, "%s: %.110s", type, local.msg);
    return import_report_add(m->report, IMPORT_NODE, t.domain, name, t.opset, 0, text_of(p->name),
                             e);
}

/* ---- lists of nodes ------------------------------------------------------------------------ */

/* Values first, so that the order of nodes does not matter. Those of a function's body have no
 * names. */
static int declare(struct importer *m, struct scope *s, const char *name, struct err *e)
{
    struct name_slot *there = scope_own(m, s, name);
    if (there && there->wanted) {
        there->wanted = false;
        return 0;
    }
    if (there)
        return err_set(e, ERR_MODEL, "two values are named '%.80s'", name);
    struct graph_value *v = graph_value_new(s->graph, s->call ? "" : name, e);
    return v ? scope_put(m, s, name, v, false, e) : err_code_of(e, ERR_MEMORY);
}

static int at_node(const Onnx__NodeProto *p, int rc, struct err *e)
{
    return err_at(e, rc, "node '%.80s' (%.60s)", text_of(p->name), text_of(p->op_type));
}

int import_nodes(struct importer *m, struct scope *s, Onnx__NodeProto *const *nodes, size_t n,
                 struct err *e)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < nodes[i]->n_output; k++) {
            int rc = *nodes[i]->output[k] ? declare(m, s, nodes[i]->output[k], e) : 0;
            if (rc)
                return at_node(nodes[i], rc, e);
        }
    for (size_t i = 0; i < n; i++) {
        int rc = import_node(m, s, nodes[i], e);
        if (rc)
            return at_node(nodes[i], rc, e);
    }
    for (size_t i = 0; i < n; i++) {
        int rc = is_gradient(nodes[i]) ? gradient_expand(m, s, nodes[i], e) : 0;
        if (rc)
            return at_node(nodes[i], rc, e);
    }
    return 0;
}

/* ---- graphs -------------------------------------------------------------------------------- */

static int add_constant(struct importer *m, struct scope *s, const char *name, struct tensor *t,
                        struct err *e)
{
    if (scope_own(m, s, text_of(name))) {
        tensor_clear(t);
        return err_set(e, ERR_MODEL, "two initializers are named '%.80s'", text_of(name));
    }
    struct graph_value *v = graph_constant(s->graph, s->call ? "" : text_of(name), t, e);
    return v ? scope_put(m, s, name, v, false, e) : err_code_of(e, ERR_MEMORY);
}

static int import_initializers(struct importer *m, struct scope *s, const Onnx__GraphProto *p,
                               struct err *e)
{
    struct onnx_source *source = &m->model->source;
    struct tensor t;
    for (size_t i = 0; i < p->n_initializer; i++) {
        int rc = stop_poll(source->stop, e);
        rc = rc ? rc : onnx_tensor_read(source, p->initializer[i], &t, e);
        rc = rc ? rc : add_constant(m, s, p->initializer[i]->name, &t, e);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < p->n_sparse_initializer; i++) {
        const Onnx__SparseTensorProto *x = p->sparse_initializer[i];
        int rc = stop_poll(source->stop, e);
        rc = rc ? rc : onnx_sparse_read(source, x, &t, e);
        rc = rc ? rc : add_constant(m, s, x->values->name, &t, e);
        if (rc)
            return rc;
    }
    return 0;
}

/* A type that nothing here can hold: the value stays of unknown kind. */
static bool opaque(const struct type *t)
{
    for (; t; t = t->elem)
        if (t->kind == TYPE_UNKNOWN || t->kind == TYPE_SPARSE)
            return true;
    return false;
}

static int add_input(struct importer *m, struct scope *s, const Onnx__ValueInfoProto *p,
                     struct err *e)
{
    const char *name = text_of(p->name);
    bool main = s->graph == m->main;
    struct graph_value *v = graph_value_new(s->graph, s->call ? "" : name, e);
    int rc = v ? scope_put(m, s, name, v, false, e) : err_code_of(e, ERR_MEMORY);
    if (rc)
        return rc;
    /* A subgraph's inputs get their types from the node that owns it; the file's are hints. */
    v->hint = !main;
    if (main && !p->type)
        return err_set(e, ERR_MODEL, "input '%.80s' has no type", name);
    if (p->type)
        rc = type_read(m, p->type, !main, &v->fact.type, e);
    if (rc)
        return err_at(e, rc, "input '%.80s'", name);
    if (main && opaque(&v->fact.type))
        rc = import_report_add(m->report, IMPORT_TYPE, "", "sparse or opaque", 0, 0, name, e);
    return rc ? rc : graph_add_input(s->graph, v, e);
}

/* Inputs that have an initializer are constants: nothing can set them here. */
static int import_inputs(struct importer *m, struct scope *s, const Onnx__GraphProto *p,
                         struct err *e)
{
    for (size_t i = 0; i < p->n_input; i++) {
        const struct name_slot *there = scope_own(m, s, text_of(p->input[i]->name));
        if (there && there->value->constant)
            continue;
        int rc = add_input(m, s, p->input[i], e);
        if (rc)
            return rc;
    }
    return 0;
}

/* What the file claims of a value that inference will find out. */
static int add_hint(struct importer *m, struct graph_value *v, const Onnx__TypeProto *p,
                    struct err *e)
{
    if (!p || v->is_input || v->constant || v->outer)
        return 0;
    int rc = type_read(m, p, true, &v->fact.type, e);
    v->hint = true;
    return rc;
}

static int import_hints(struct importer *m, struct scope *s, const Onnx__GraphProto *p,
                        struct err *e)
{
    for (size_t i = 0; i < p->n_value_info; i++) {
        const Onnx__ValueInfoProto *x = p->value_info[i];
        const struct name_slot *there = scope_own(m, s, text_of(x->name));
        int rc = there ? add_hint(m, there->value, x->type, e) : 0;
        if (rc)
            return err_at(e, rc, "value '%.80s'", text_of(x->name));
    }
    return 0;
}

static int import_outputs(struct importer *m, struct scope *s, const Onnx__GraphProto *p,
                          struct err *e)
{
    for (size_t i = 0; i < p->n_output; i++) {
        const char *name = text_of(p->output[i]->name);
        struct graph_value *v;
        int rc = scope_find(m, s, s->graph, name, &v, e);
        if (rc || !v)
            return err_set(e, ERR_MODEL, "output %zu has no name", i);
        if (v->is_output && s->graph == m->main)
            return err_set(e, ERR_MODEL, "two outputs are named '%.80s'", name);
        rc = add_hint(m, v, p->output[i]->type, e);
        rc = rc ? rc : graph_add_output(s->graph, v, e);
        if (rc)
            return err_at(e, rc, "output '%.80s'", name);
    }
    return 0;
}

static int import_graph(struct importer *m, struct scope *s, const Onnx__GraphProto *p,
                        struct err *e)
{
    struct arena *arena = &m->main->shared->arena;
    const char *name = text_of(p->name);
    s->graph->name = arena_strndup(arena, name, strlen(name), e);
    if (!s->graph->name)
        return err_code_of(e, ERR_MEMORY);
    int rc = import_initializers(m, s, p, e);
    rc = rc ? rc : import_inputs(m, s, p, e);
    rc = rc ? rc : import_nodes(m, s, p->node, p->n_node, e);
    rc = rc ? rc : import_hints(m, s, p, e);
    rc = rc ? rc : import_outputs(m, s, p, e);
    return rc ? rc : graph_sort(s->graph, e);
}

int import_subgraph(struct importer *m, const struct scope *outer, struct graph *parent,
                    const Onnx__GraphProto *p, struct graph **out, struct err *e)
{
    struct graph *g = graph_new_sub(parent, e);
    struct scope s = {.parent = outer, .graph = g, .imports = outer->imports, .call = outer->call,
                      .depth = outer->depth + 1};
    if (!g)
        return err_code_of(e, ERR_MEMORY);
    if (s.depth > IMPORT_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "functions and subgraphs more than %d deep", IMPORT_DEPTH_MAX);
    *out = g;
    return import_graph(m, &s, p, e);
}

/* ---- the model ----------------------------------------------------------------------------- */

static int check_opsets(struct importer *m, const struct imports *imports, struct err *e)
{
    if (imports->n > IMPORT_OPSETS_MAX)
        return err_set(e, ERR_LIMIT, "%zu operator sets are imported, at most %d are supported",
                       imports->n, IMPORT_OPSETS_MAX);
    for (size_t i = 0; i < imports->n; i++) {
        const Onnx__OperatorSetIdProto *x = imports->list[i];
        const char *domain = text_of(x->domain);
        if (x->version < 1 || x->version > INT_MAX)
            return err_set(e, ERR_MODEL, "opset %" PRId64 " of '%.80s' does not exist", x->version,
                           domain);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(domain, text_of(imports->list[k]->domain)) &&
                imports->list[k]->version != x->version)
                return err_set(e, ERR_MODEL, "two opsets of '%.80s' are imported", domain);
        for (size_t k = 0; k < sizeof opsets / sizeof *opsets; k++) {
            if (strcmp(domain, opsets[k].domain) || x->version <= opsets[k].version)
                continue;
            int rc = import_report_add(m->report, IMPORT_OPSET, domain, "", (int)x->version,
                                       opsets[k].version, "", e);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int import_model(struct importer *m, struct err *e)
{
    const Onnx__ModelProto *p = m->model->proto;
    struct scope s = {.graph = m->main, .imports = &m->imports};
    m->imports = (struct imports){p->opset_import, p->n_opset_import};
    if (!m->imports.n && p->ir_version >= 3)
        return err_set(e, ERR_MODEL, "the model imports no operator set");
    int rc = check_opsets(m, &m->imports, e);
    for (size_t i = 0; i < m->imports.n && !rc; i++)
        if (!*plain_domain(m->imports.list[i]->domain))
            m->main->shared->opset = (int)m->imports.list[i]->version;
    rc = rc ? rc : functions_load(m, e);
    for (size_t i = 0; i < m->n_functions && !rc; i++) {
        rc = stop_poll(m->model->source.stop, e);
        rc = rc ? rc : check_opsets(m, &m->functions[i].imports, e);
    }
    if (m->n_functions && !rc)
        rc = functions_measure(m, e);
    rc = rc ? rc : import_graph(m, &s, p->graph, e);
    return rc;
}

int onnx_import(struct onnx_model *model, struct graph **out, struct import_report *report,
                struct err *e)
{
    struct importer m = {.model = model, .report = report};
    struct err local = {0};
    *out = NULL;
    if (!report->arena.budget)
        arena_init(&report->arena, model->source.budget);
    arena_init(&m.arena, model->source.budget);
    /* Without it tables are merely not protected against chosen names. */
    if (getrandom(&m.seed, sizeof m.seed, GRND_NONBLOCK) != sizeof m.seed)
        m.seed = (uintptr_t)&m;
    m.main = graph_new(model->source.budget, &local);
    int rc = m.main ? import_model(&m, &local) : err_code_of(&local, ERR_MEMORY);
    arena_clear(&m.arena);
    if (rc) {
        graph_free(m.main);
        return err_set(e, rc, "%s", local.msg);
    }
    *out = m.main;
    return report->n ? import_report_error(report, e) : 0;
}
