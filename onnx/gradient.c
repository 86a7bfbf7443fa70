/* SPDX-License-Identifier: Apache-2.0 */
/* Gradient (ai.onnx.preview.training) as nodes: reverse-mode differentiation while importing.
 *
 * The node names tensors, xs and zs, that a tensor y depends on, and is given values for them. Where
 * the values are not the named tensors themselves, what lies between is copied onto them first. Then
 * the nodes from y back to xs are walked, each by the rule of its operator: its adjoint (dy by its
 * output) gives nodes for those of its inputs. An adjoint has its value's shape: SumTo adds up what
 * broadcasting repeated.
 */
#include <limits.h>
#include <string.h>

#include "onnx/importer.h"

struct adjoints {
    struct importer *m;
    struct graph *graph;
    struct graph_value **of; /* by value id: dy by it, or NULL */
    bool *active;            /* by value id: it depends on xs */
    uint32_t n;              /* ids there were when the walk began */
};

/* ---- making nodes ---------------------------------------------------------------------------- */

static struct node *emit_node(struct graph *g, const char *domain, const char *name,
                              struct graph_value *const *in, int n_in, struct err *e)
{
    const struct op *op = op_find(domain, name, *domain ? 1 : g->shared->opset, NULL);
    op = op ? op : op_find(domain, name, INT_MAX, NULL);
    struct node *n = op ? graph_node_new(g, op, "", n_in, 1, NULL, e) : NULL;
    struct graph_value *out = n ? graph_value_new(g, "", e) : NULL;
    if (!op)
        err_set(e, ERR_INTERNAL, "there is no operator %s", name);
    if (!out)
        return NULL;
    node_set_out(n, 0, out);
    for (int i = 0; i < n_in; i++)
        if (!in[i] || node_set_in(n, i, in[i], e))
            return NULL;
    return n;
}

/* A node of one or two inputs; NULL passes through, so that calls can be nested. */
static struct graph_value *emit(struct graph *g, const char *name, struct graph_value *a,
                                struct graph_value *b, struct err *e)
{
    struct graph_value *in[] = {a, b};
    const char *domain = strcmp(name, "SumTo") ? "" : "infer";
    struct node *n = a ? emit_node(g, domain, name, in, b ? 2 : 1, e) : NULL;
    return n ? n->out[0] : NULL;
}

static struct graph_value *emit_einsum(struct graph *g, const char *equation, struct graph_value *a,
                                       struct graph_value *b, struct err *e)
{
    struct graph_value *in[] = {a, b};
    struct node *n = emit_node(g, "", "Einsum", in, 2, e);
    for (const struct attr *x = n ? n->op->attrs : NULL; x && x->name; x++)
        if (!strcmp(x->name, "equation"))
            *(struct str *)((char *)n->attrs + x->offset) = (struct str){equation, strlen(equation)};
    return n ? n->out[0] : NULL;
}

/* A number of x's type and shape. */
static struct graph_value *emit_filled(struct graph *g, struct graph_value *x, float number, struct err *e)
{
    struct tensor t;
    if (tensor_new(&t, g->shared->budget, DTYPE_F32, 0, NULL, e))
        return NULL;
    *(float *)t.data = number;
    struct graph_value *c = graph_constant(g, "", &t, e);
    c = c ? emit(g, "CastLike", c, x, e) : NULL;
    struct graph_value *shape = emit(g, "Shape", x, NULL, e);
    return c && shape ? emit(g, "Expand", c, shape, e) : NULL;
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* dy by input i, from g = dy by the output; x and z are the inputs, y the output. */
typedef struct graph_value *rule_fn(struct graph *at, struct graph_value *g, const struct node *n, int i,
                                    struct err *e);

#define RULE(name)                                                                                           \
    static struct graph_value *name(struct graph *at, struct graph_value *g, const struct node *n, int i,   \
                                    struct err *e)
#define X n->in[0]
#define Z n->in[1]
#define Y n->out[0]
#define OF1(op, a) emit(at, op, a, NULL, e)
#define OF2(op, a, b) emit(at, op, a, b, e)

RULE(same) { return g; }
RULE(sub) { return i ? OF1("Neg", g) : g; }
RULE(mul) { return OF2("Mul", g, n->in[!i]); }
RULE(div_rule)
{
    struct graph_value *quotient = OF2("Div", g, Z);
    return i ? OF1("Neg", OF2("Mul", quotient, Y)) : quotient;
}
RULE(neg) { return OF1("Neg", g); }
RULE(exp_rule) { return OF2("Mul", g, Y); }
RULE(log_rule) { return OF2("Div", g, X); }
RULE(sqrt_rule) { return OF2("Div", g, OF2("Add", Y, Y)); }
RULE(reciprocal) { return OF1("Neg", OF2("Mul", g, OF2("Mul", Y, Y))); }
RULE(tanh_rule) { return OF2("Sub", g, OF2("Mul", g, OF2("Mul", Y, Y))); }
RULE(sigmoid) { return OF2("Mul", g, OF2("Sub", Y, OF2("Mul", Y, Y))); }
RULE(relu) { return OF2("Mul", g, OF1("Sign", Y)); }
RULE(abs_rule) { return OF2("Mul", g, OF1("Sign", X)); }
RULE(sin_rule) { return OF2("Mul", g, OF1("Cos", X)); }
RULE(cos_rule) { return OF1("Neg", OF2("Mul", g, OF1("Sin", X))); }
RULE(reshape) { return OF2("Reshape", g, OF1("Shape", X)); }
RULE(pow_rule)
{
    if (i)
        return OF2("Mul", g, OF2("Mul", Y, OF1("Log", X)));
    struct graph_value *less = OF2("Sub", Z, emit_filled(at, Z, 1, e));
    return OF2("Mul", g, OF2("Mul", Z, OF2("Pow", X, less)));
}
RULE(matmul)
{
    return i ? emit_einsum(at, "...ji,...jk->...ik", X, g, e) : emit_einsum(at, "...ij,...kj->...ik", g, Z, e);
}
#undef X
#undef Z
#undef Y
#undef OF1
#undef OF2

static const struct {
    const char *name;
    rule_fn *rule;
    int inputs; /* that have a derivative: the first so many */
} rules[] = {
    {"Identity", same, 1},      {"Add", same, 2},           {"Sum", same, INT_MAX},
    {"Sub", sub, 2},            {"Mul", mul, 2},            {"Div", div_rule, 2},
    {"Neg", neg, 1},            {"Exp", exp_rule, 1},       {"Log", log_rule, 1},
    {"Sqrt", sqrt_rule, 1},     {"Reciprocal", reciprocal, 1}, {"Tanh", tanh_rule, 1},
    {"Sigmoid", sigmoid, 1},    {"Relu", relu, 1},          {"Abs", abs_rule, 1},
    {"Sin", sin_rule, 1},       {"Cos", cos_rule, 1},       {"Pow", pow_rule, 2},
    {"Reshape", reshape, 1},    {"Flatten", reshape, 1},    {"Squeeze", reshape, 1},
    {"Unsqueeze", reshape, 1},  {"MatMul", matmul, 2},
};

/* ---- the walk -------------------------------------------------------------------------------- */

static bool is_active(const struct adjoints *a, const struct graph_value *v)
{
    return v && v->id < a->n && a->active[v->id];
}

static int add_to(struct adjoints *a, struct graph_value *x, struct graph_value *g, struct err *e)
{
    g = emit(a->graph, "SumTo", g, x, e);
    if (g && a->of[x->id])
        g = emit(a->graph, "Add", a->of[x->id], g, e);
    a->of[x->id] = g;
    return g ? 0 : err_code_of(e, ERR_MEMORY);
}

static int step_back(struct adjoints *a, const struct node *n, struct err *e)
{
    size_t k = 0;
    int rc = 0;
    while (k < sizeof rules / sizeof *rules && (*n->op->domain || strcmp(rules[k].name, n->op->name)))
        k++;
    for (int i = 0; i < n->n_in && !rc; i++) {
        if (!is_active(a, n->in[i]))
            continue;
        if (k == sizeof rules / sizeof *rules)
            return err_set(e, ERR_UNSUPPORTED, "Gradient has no rule for %s", n->op->name);
        if (i >= rules[k].inputs)
            continue;
        struct graph_value *g = rules[k].rule(a->graph, a->of[n->out[0]->id], n, i, e);
        rc = g ? add_to(a, n->in[i], g, e) : err_code_of(e, ERR_MEMORY);
    }
    return rc;
}

static int walk(struct adjoints *a, struct graph_value *y, struct graph_value *const *xs, int n_xs,
                struct err *e)
{
    struct node *last = a->graph->last;
    for (int i = 0; i < n_xs; i++)
        a->active[xs[i]->id] = true;
    for (struct node *n = a->graph->first; n; n = n->next)
        for (int i = 0, on = 0; i < n->n_in; i++) {
            on |= is_active(a, n->in[i]);
            for (int k = 0; k < n->n_out && on; k++)
                if (n->out[k])
                    a->active[n->out[k]->id] = true;
        }
    a->of[y->id] = emit_filled(a->graph, y, 1, e);
    int rc = a->of[y->id] ? 0 : err_code_of(e, ERR_MEMORY);
    for (struct node *n = last; n && !rc; n = n->prev) {
        bool here = n->n_out && n->out[0] && n->out[0]->id < a->n && a->of[n->out[0]->id];
        rc = here && is_active(a, n->out[0]) ? step_back(a, n, e) : stop_poll(a->m->model->source.stop, e);
    }
    return rc;
}

/* ---- values that are not the named tensors --------------------------------------------------- */

/* Copy the nodes that depend on a replaced value; `to` maps ids to values that take their place. */
static int copy_nodes(struct graph *g, struct graph_value **to, uint32_t n_ids, struct err *e)
{
    struct node *last = g->last;
    for (struct node *n = g->first; n; n = n == last ? NULL : n->next) {
        bool on = false;
        for (int i = 0; i < n->n_in; i++)
            on |= n->in[i] && n->in[i]->id < n_ids && to[n->in[i]->id];
        for (int i = 0; i < n->n_out; i++)
            on &= !(n->out[i] && to[n->out[i]->id]); /* a tensor that is replaced itself */
        if (!on)
            continue;
        if (n->n_graphs)
            return err_set(e, ERR_UNSUPPORTED, "Gradient cannot copy %s, which has subgraphs", n->op->name);
        struct node *c = graph_node_new(g, n->op, "", n->n_in, n->n_out, NULL, e);
        if (!c)
            return err_code_of(e, ERR_MEMORY);
        c->opset = n->opset;
        if (n->op->attrs_size)
            memcpy(c->attrs, n->attrs, n->op->attrs_size);
        int rc = 0;
        for (int i = 0; i < n->n_in && !rc; i++)
            rc = node_set_in(c, i, n->in[i] && to[n->in[i]->id] ? to[n->in[i]->id] : n->in[i], e);
        for (int i = 0; i < n->n_out && !rc; i++) {
            if (!n->out[i])
                continue;
            struct graph_value *v = graph_value_new(g, "", e);
            rc = v ? 0 : err_code_of(e, ERR_MEMORY);
            if (v)
                node_set_out(c, i, to[n->out[i]->id] = v);
        }
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the node -------------------------------------------------------------------------------- */

static const Onnx__AttributeProto *find_attr(const Onnx__NodeProto *p, const char *name)
{
    for (size_t i = 0; i < p->n_attribute; i++)
        if (!strcmp(text_of(p->attribute[i]->name), name))
            return p->attribute[i];
    return NULL;
}

/* The tensor that an attribute names, of this graph. */
static int named(struct importer *m, const struct scope *s, const ProtobufCBinaryData *name,
                 struct graph_value **out, struct err *e)
{
    char *text = arena_strndup(&m->arena, (const char *)name->data, name->len, e);
    if (!text)
        return err_code_of(e, ERR_MEMORY);
    int rc = scope_find(m, s, s->graph, text, out, e);
    if (!rc && !*out)
        rc = err_set(e, ERR_MODEL, "an empty name of a tensor");
    return rc;
}

static int bind(struct adjoints *a, const struct scope *s, const Onnx__NodeProto *p,
                struct graph_value *const *xs, struct err *e)
{
    const struct op *identity = op_find("", "Identity", INT_MAX, NULL);
    int rc = 0;
    for (size_t i = 0; i < p->n_output && !rc; i++) {
        if (!*p->output[i])
            continue;
        struct graph_value *d = a->of[xs[i]->id];
        d = d ? d : emit_filled(a->graph, xs[i], 0, e);
        struct node *n = d ? graph_node_new(a->graph, identity, "", 1, 1, NULL, e) : NULL;
        rc = n ? node_set_in(n, 0, d, e) : err_code_of(e, ERR_MEMORY);
        if (!rc)
            node_set_out(n, 0, scope_own(a->m, s, p->output[i])->value);
    }
    return rc;
}

/* xs and zs by name and by value; *y becomes the tensor to differentiate. */
static int resolve(struct importer *m, const struct scope *s, const Onnx__NodeProto *p,
                   struct graph_value **values, struct graph_value **y, struct err *e)
{
    const Onnx__AttributeProto *lists[] = {find_attr(p, "xs"), find_attr(p, "zs")}, *target = find_attr(p, "y");
    struct graph *g = s->graph;
    uint32_t n_ids = g->shared->n_values + (uint32_t)p->n_input;
    struct graph_value **to = arena_array(&m->arena, n_ids, sizeof *to, e), *v;
    int rc = to ? 0 : err_code_of(e, ERR_MEMORY);
    bool replaced = false;
    for (size_t k = 0, at = 0; k < 2 && !rc; k++)
        for (size_t i = 0; lists[k] && i < lists[k]->n_strings && !rc; i++, at++) {
            rc = named(m, s, &lists[k]->strings[i], &v, e);
            rc = rc ? rc : scope_find(m, s, g, p->input[at], &values[at], e);
            if (!rc && !values[at])
                rc = err_set(e, ERR_MODEL, "input %zu is missing", at);
            if (!rc && v != values[at] && v->id < n_ids) {
                to[v->id] = values[at];
                replaced = true;
            }
        }
    rc = rc ? rc : named(m, s, &target->s, y, e);
    rc = rc || !replaced ? rc : graph_sort(g, e);
    n_ids = g->shared->n_values < n_ids ? g->shared->n_values : n_ids;
    rc = rc || !replaced ? rc : copy_nodes(g, to, n_ids, e);
    if (!rc && (*y)->id < n_ids && to[(*y)->id])
        *y = to[(*y)->id];
    return rc;
}

int gradient_expand(struct importer *m, const struct scope *s, const Onnx__NodeProto *p, struct err *e)
{
    const Onnx__AttributeProto *xs = find_attr(p, "xs"), *zs = find_attr(p, "zs"), *y = find_attr(p, "y");
    struct graph_value **values, *target;
    if (!xs || !xs->n_strings || !y || !y->has_s)
        return err_set(e, ERR_MODEL, "Gradient needs the attributes xs and y");
    if (p->n_input != xs->n_strings + (zs ? zs->n_strings : 0) || p->n_output > xs->n_strings)
        return err_set(e, ERR_MODEL, "%zu inputs and %zu outputs for %zu xs and %zu zs", p->n_input, p->n_output,
                       xs->n_strings, zs ? zs->n_strings : 0);
    values = arena_array(&m->arena, p->n_input, sizeof *values, e);
    int rc = values ? resolve(m, s, p, values, &target, e) : err_code_of(e, ERR_MEMORY);
    rc = rc ? rc : graph_sort(s->graph, e);
    if (rc)
        return rc;
    struct adjoints a = {.m = m, .graph = s->graph, .n = s->graph->shared->n_values};
    a.of = arena_array(&m->arena, a.n, sizeof *a.of, e);
    a.active = arena_array(&m->arena, a.n, sizeof *a.active, e);
    if (!a.of || !a.active)
        return err_code_of(e, ERR_MEMORY);
    rc = walk(&a, target, values, (int)xs->n_strings, e);
    return rc ? rc : bind(&a, s, p, values, e);
}
