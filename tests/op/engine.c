/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/op/engine.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/infer.h"
#include "runtime/model.h"

enum { NEWEST = 99 }; /* any version after the last */

struct subject {
    struct infer_model *m;
    struct node *node;
    const char *what;
    enum op_dims dims;
    int port[OP_ENDS];                          /* the graph's input that is the node's, or -1 */
    int64_t symbol[OP_ENDS][TENSOR_RANK_MAX];   /* dims of inputs as the graph has them */
};

static bool good(const struct subject *s, int rc, const struct err *e)
{
    return CHECK(rc >= 0, "%s: %s (%s)", s->what, e->msg, err_word(e->code));
}

/* ---- attributes ------------------------------------------------------------------------------ */

static int64_t number_of(const char *text)
{
    char *end;
    long long v = strtoll(text, &end, 10);
    return *end && *end != ' ' && *end != ',' ? (int64_t)dtype_find(text) : v;
}

/* Set one attribute; `text` ends at its end. Lists go to the graph's arena. */
static int set_attr(struct node *n, const struct attr *a, const char *text, struct err *e)
{
    char *at = (char *)n->attrs + a->offset;
    struct arena *arena = &n->graph->shared->arena;
    if (a->kind == ATTR_INT) {
        *(int64_t *)at = number_of(text);
    } else if (a->kind == ATTR_FLOAT) {
        *(float *)at = strtof(text, NULL);
    } else if (a->kind == ATTR_STRING) {
        struct str s = {arena_strndup(arena, text, strlen(text), e), strlen(text)};
        *(struct str *)at = s;
    } else if (a->kind == ATTR_INTS || a->kind == ATTR_FLOATS || a->kind == ATTR_STRINGS) {
        int64_t n_items = 0;
        int64_t *ints = arena_array(arena, 32, sizeof *ints, e);
        float *floats = arena_array(arena, 32, sizeof *floats, e);
        struct str *strs = arena_array(arena, 32, sizeof *strs, e);
        if (!ints || !floats || !strs)
            return ERR_MEMORY;
        for (const char *p = text; *p && n_items < 32; n_items++) {
            size_t len = strcspn(p, ",");
            ints[n_items] = strtoll(p, NULL, 10);
            floats[n_items] = strtof(p, NULL);
            strs[n_items] = (struct str){arena_strndup(arena, p, len, e), len};
            p += len + (p[len] == ',');
        }
        if (a->kind == ATTR_INTS)
            *(struct ints *)at = (struct ints){ints, n_items};
        else if (a->kind == ATTR_FLOATS)
            *(struct floats *)at = (struct floats){floats, n_items};
        else
            *(struct strs *)at = (struct strs){strs, n_items};
    } else {
        return err_set(e, ERR_USAGE, "attribute %s is of a kind that rows cannot write", a->name);
    }
    return 0;
}

static int set_attrs(struct node *n, const char *text, struct err *e)
{
    int rc = 0;
    char word[256];
    while (text && *text && rc == 0) {
        size_t len = strcspn(text, " ");
        snprintf(word, sizeof word, "%.*s", (int)len, text);
        text += len + (text[len] == ' ');
        char *value = strchr(word, '=');
        const struct attr *a = n->op->attrs;
        if (!value)
            return err_set(e, ERR_USAGE, "attribute without a value: %s", word);
        *value++ = '\0';
        while (a && a->name && (strcmp(a->name, word) || a->ignore || a->input ||
                                n->opset < a->since || (a->until && n->opset > a->until)))
            a++;
        if (!a || !a->name)
            return err_set(e, ERR_USAGE, "no attribute is named %s", word);
        rc = set_attr(n, a, value, e);
    }
    return rc;
}

/* ---- the graph ------------------------------------------------------------------------------- */

static struct graph_value *middle_copy(struct graph *g, struct graph_value *v, struct err *e)
{
    struct node *n = graph_node_new(g, op_find("", "Concat", 13, NULL), "", 1, 1, NULL, e);
    struct graph_value *out = n ? graph_value_new(g, "", e) : NULL;
    if (!out || node_set_in(n, 0, v, e) < 0)
        return NULL;
    node_set_out(n, 0, out);
    return out;
}

static struct graph_value *constant_input(struct graph *g, const struct op_tensor *x, struct err *e)
{
    struct tensor t;
    return tensor_copy(&t, &x->t, g->shared->budget, e) < 0 ? NULL : graph_constant(g, "", &t, e);
}

static struct graph_value *run_input(struct subject *s, struct graph *g, const struct op_tensor *x,
                                     int i, struct err *e)
{
    char name[32];
    snprintf(name, sizeof name, "x%d", i);
    struct graph_value *v = graph_value_new(g, name, e);
    if (!v)
        return NULL;
    v->fact.type = (struct type){.kind = TYPE_TENSOR, .dtype = x->dtype, .rank = x->rank};
    for (int k = 0; k < x->rank; k++) {
        int64_t d = x->dims[k];
        if (s->dims == DIMS_BATCH && x->batch[k])
            d = sym_named(g->shared->syms, "B");
        else if (s->dims == DIMS_FRESH)
            d = sym_fresh(g->shared->syms, 0);
        v->fact.type.dims[k] = s->symbol[i][k] = d;
    }
    if (s->dims == DIMS_UNKNOWN)
        v->fact.type.rank = -1;
    return graph_add_input(g, v, e) < 0 ? NULL : v;
}

static int build_inputs(struct subject *s, const struct op_run *r, uint64_t constants, bool middle,
                        struct graph_value **in, struct err *e)
{
    struct graph *g = s->m->graph;
    int ports = 0;
    for (int i = 0; i < r->n_in; i++) {
        const struct op_tensor *x = &r->in[i];
        s->port[i] = -1;
        in[i] = NULL;
        if (!x->here)
            continue;
        bool constant = constants >> i & 1;
        in[i] = constant ? constant_input(g, x, e) : run_input(s, g, x, i, e);
        if (in[i] && !constant)
            s->port[i] = ports++;
        if (in[i] && !constant && middle && x->rank > 0)
            in[i] = middle_copy(g, in[i], e);
        if (!in[i])
            return e->code;
    }
    return 0;
}

static int build_graph(struct subject *s, const struct op_run *r, uint64_t constants, bool middle,
                       struct err *e)
{
    const struct op_case *c = r->row;
    int opset = c->opset ? c->opset : NEWEST;
    const struct op *op = op_find(c->domain ? c->domain : "", c->name, opset, NULL);
    struct graph_value *in[OP_ENDS];
    struct graph *g = s->m->graph;
    if (!op)
        return err_set(e, ERR_USAGE, "no such operator");
    int rc = build_inputs(s, r, constants, middle, in, e);
    struct node *n = rc < 0 ? NULL : graph_node_new(g, op, "", r->n_in, r->n_out, NULL, e);
    if (!n)
        return e->code;
    s->node = n;
    node_set_opset(n, opset);
    rc = set_attrs(n, c->attrs, e);
    for (int i = 0; i < r->n_in && rc == 0; i++)
        rc = node_set_in(n, i, in[i], e);
    for (int o = 0; o < r->n_out && rc == 0; o++) {
        struct graph_value *v = graph_value_new(g, "", e);
        if (!v)
            return e->code;
        node_set_out(n, o, v);
    }
    if (rc == 0 && op->fix)
        rc = op->fix(n, e);
    for (int o = 0; o < r->n_out && rc == 0; o++) {
        struct graph_value *v = n->out[o];
        if (middle && r->out[o].rank > 0)
            v = middle_copy(g, v, e);
        rc = v ? graph_add_output(g, v, e) : e->code;
    }
    return rc == 0 ? graph_verify(g, e) : rc;
}

/* ---- a model of it --------------------------------------------------------------------------- */

static int make_ready(struct infer_model *m, struct err *e)
{
    struct stop stop = {0};
    int rc = graph_infer(m->graph, e);
    if (rc == 0)
        rc = graph_place(m->graph, m->device, e);
    if (rc == 0)
        rc = model_ports(m, e);
    if (rc == 0)
        rc = model_ready(m, &stop, e);
    return rc;
}

void subject_free(struct subject *s)
{
    if (!s)
        return;
    infer_model_free(s->m);
    free(s);
}

struct subject *subject_new(const struct op_run *r, enum op_dims dims, uint64_t constants,
                            bool middle, const char *what)
{
    struct err e = {0};
    struct subject *s = calloc(1, sizeof *s);
    struct infer_model *m = mem_calloc(budget_process(), 1, sizeof *m, &e);
    if (!s || !m)
        abort();
    s->m = m;
    s->what = what;
    s->dims = dims;
    m->budget = budget_process();
    m->device = &device_cpu;
    m->threads = 1;
    arena_init(&m->arena, m->budget);
    pthread_mutex_init(&m->lock, NULL);
    m->graph = graph_new(m->budget, &e);
    int rc = m->graph ? build_graph(s, r, constants, middle, &e) : e.code;
    if (rc == 0)
        rc = make_ready(m, &e);
    if (good(s, rc, &e))
        return s;
    subject_free(s);
    return NULL;
}

/* ---- running --------------------------------------------------------------------------------- */

bool subject_run(struct subject *s, const struct op_run *r, int threads, struct value *out)
{
    struct err e = {0};
    struct value values[OP_ENDS], *in[OP_ENDS];
    for (int i = 0; i < r->n_in; i++) {
        values[i] = (struct value){.kind = VALUE_TENSOR, .tensor = r->in[i].t};
        if (s->port[i] >= 0)
            in[s->port[i]] = &values[i];
    }
    s->m->threads = threads;
    return good(s, model_run(s->m, in, out, NULL, NULL, NULL, &e), &e);
}

bool subject_alone(struct subject *s, const struct op_run *r, struct value *out)
{
    struct err e = {0};
    struct value values[OP_ENDS], *in[OP_ENDS];
    for (int i = 0; i < r->n_in; i++) {
        values[i] = (struct value){.kind = VALUE_TENSOR, .tensor = r->in[i].t};
        in[i] = r->in[i].here ? &values[i] : NULL;
    }
    return good(s, node_run_alone(s->node, in, out, s->m->budget, &e), &e);
}

/* ---- facts ----------------------------------------------------------------------------------- */

static void check_fact(const struct subject *s, const struct fact *f, const struct tensor *got,
                       const int64_t *values, int o, const char *when)
{
    const struct syms *syms = s->m->graph->shared->syms;
    if (f->type.kind != TYPE_TENSOR) {
        CHECK(false, "%s: output %d has no tensor type %s", s->what, o, when);
        return;
    }
    CHECK(f->type.dtype == got->dtype, "%s: output %d has another dtype %s", s->what, o, when);
    if (f->type.rank < 0)
        return;
    CHECK(f->type.rank == got->rank, "%s: output %d has another rank %s", s->what, o, when);
    int64_t count = 1;
    for (int k = 0; k < f->type.rank && k < got->rank; k++) {
        int64_t d = sym_eval(syms, f->type.dims[k], values);
        CHECK(sym_is_unknown(d) || d == got->dims[k], "%s: output %d, dim %d is %lld %s, %lld then",
              s->what, o, k, (long long)d, when, (long long)got->dims[k]);
        count *= got->dims[k];
    }
    for (int64_t i = 0; f->elems && i < f->n_elems && f->n_elems == count; i++) {
        int64_t v = sym_eval(syms, f->elems[i], values);
        CHECK(sym_is_unknown(v) ||
                  v == dtype_load_i64(got->dtype,
                                      (char *)got->data + i * (int64_t)dtype_size(got->dtype)),
              "%s: output %d, element %lld is %lld %s", s->what, o,
              (long long)i, (long long)v, when);
    }
}

bool subject_facts(struct subject *s, const struct op_run *r, const struct value *out)
{
    struct err e = {0};
    struct syms *syms = s->m->graph->shared->syms;
    uint32_t n = syms_count(syms);
    int64_t *values = malloc((n + 1) * sizeof *values);
    for (uint32_t i = 0; i <= n; i++)
        values[i] = SYM_UNKNOWN;
    for (int i = 0; i < r->n_in; i++)
        for (int k = 0; s->port[i] >= 0 && s->dims != DIMS_UNKNOWN && k < r->in[i].rank; k++)
            if (sym_is_expr(s->symbol[i][k]))
                values[sym_index(s->symbol[i][k])] = r->in[i].dims[k];
    for (int o = 0; o < r->n_out; o++)
        check_fact(s, &s->node->out[o]->fact, &out[o].tensor, values, o, "at load");

    struct value here[OP_ENDS], *in[OP_ENDS];
    struct fact facts[OP_ENDS];
    struct arena scratch;
    bool late = false;
    arena_init(&scratch, s->m->budget);
    for (int i = 0; i < r->n_in; i++) {
        here[i] = (struct value){.kind = VALUE_TENSOR, .tensor = r->in[i].t};
        in[i] = r->in[i].here ? &here[i] : NULL;
    }
    bool ok = good(s, node_infer_run(s->node, in, facts, &scratch, &late, &e), &e);
    for (int o = 0; o < r->n_out && ok; o++)
        check_fact(s, &facts[o], &out[o].tensor, values, o, "on numbers");
    arena_clear(&scratch);
    free(values);
    return ok;
}
