/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs as text for tests of passes and matching: each test has a graph before and one after.
 *
 *   "a=Relu(x);y=Add(a,c)"      values are floats of shape [2,3] unless the test says otherwise;
 *                               "-" is an absent input, "_" a value without a name
 *
 * begin() starts the graph of a test with its inputs; the operators are what passes look at, nothing that
 * runs. For one file of tests, whose op_find() this is.
 */
#pragma once

#include <math.h>
#include <stdlib.h>

#include "graph/attrs.h"
#include "graph/match.h"
#include "graph/pass.h"
#include "tests/unit/unit.h"

/* ---- operators: what passes look at, nothing that runs ---- */

#define AT(type, field) offsetof(struct attrs_##type, field)

static const struct attr cast_rows[] = {{"to", ATTR_INT, AT(cast, to)}, {NULL}};
static const struct attr perm_rows[] = {{"perm", ATTR_INTS, AT(transpose, perm)}, {NULL}};
static const struct attr axis_rows[] = {{"axis", ATTR_INT, AT(concat, axis)}, {NULL}};
static const struct attr reshape_rows[] = {{"allowzero", ATTR_INT, AT(reshape, allowzero)}, {NULL}};
static const struct attr shape_rows[] = {
    {"start", ATTR_INT, AT(shape, start)},
    {"end", ATTR_INT, AT(shape, end), .i = ATTR_ABSENT},
    {NULL}};
static const struct attr gemm_rows[] = {{"transB", ATTR_INT, AT(gemm, transB)}, {NULL}};
static const struct attr leaky_rows[] = {{"alpha", ATTR_FLOAT, AT(alpha, alpha), .f = 0.01f},
                                         {NULL}};
static const struct attr conv_rows[] = {
    {"group", ATTR_INT, AT(conv, group), .i = 1},
    {"auto_pad", ATTR_STRING, AT(conv, auto_pad), .s = "NOTSET"},
    {NULL}};
static const struct attr convt_rows[] = {{"group", ATTR_INT, AT(conv_transpose, group), .i = 1},
                                         {NULL}};
static const struct attr norm_rows[] = {
    {"epsilon", ATTR_FLOAT, AT(batchnorm, epsilon), .f = 1e-5f},
    {"training_mode", ATTR_INT, AT(batchnorm, training_mode), .since = 14},
    {"spatial", ATTR_INT, AT(batchnorm, spatial), .until = 8, .i = 1},
    {NULL}};

#define WITH_BYTES(n, rows_, bytes)                                                     \
    {.domain = "", .name = n, .since = 1, .flags = OP_PURE, .in_max = -1, .out_min = 1, \
     .out_max = 2, .attrs = rows_, .attrs_size = bytes}
#define WITH(n, rows_, type) WITH_BYTES(n, rows_, sizeof(struct attrs_##type))
#define PLAIN(n) WITH_BYTES(n, NULL, 0)

static const struct op ops[] = {
    PLAIN("Identity"), PLAIN("Relu"), PLAIN("Sigmoid"), PLAIN("Add"), PLAIN("Sub"), PLAIN("Mul"),
    PLAIN("Div"), PLAIN("Sum"), PLAIN("MatMul"), PLAIN("Expand"), PLAIN("Slice"), PLAIN("Pad"),
    PLAIN("Squeeze"), PLAIN("Unsqueeze"), PLAIN("If"), PLAIN("Split"),
    WITH("Cast", cast_rows, cast), WITH("Transpose", perm_rows, transpose),
    WITH("Shape", shape_rows, shape), WITH("Gemm", gemm_rows, gemm),
    WITH("Concat", axis_rows, concat), WITH("Reshape", reshape_rows, reshape),
    WITH("LeakyRelu", leaky_rows, alpha), WITH("Dropout", NULL, dropout),
    WITH("Conv", conv_rows, conv), WITH("ConvTranspose", convt_rows, conv_transpose),
    WITH("BatchNormalization", norm_rows, batchnorm),
    {.domain = "", .name = "RandomNormal", .since = 1, .in_max = -1, .out_min = 1, .out_max = 1},
};

const struct op *op_find(const char *domain, const char *name, int opset, int *newer)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!strcmp(ops[i].name, name) && !strcmp(ops[i].domain, domain))
            return &ops[i];
    return NULL;
}

/* ---- graphs from and to text ---- */

static struct graph *g;
static struct err e;

static inline struct graph_value *find_in(const struct graph *in, const char *name)
{
    for (size_t i = 0; i < in->n_values; i++)
        if (!strcmp(in->values[i]->name, name))
            return in->values[i];
    return NULL;
}

static inline void set_type(struct graph_value *v, enum dtype dtype, int rank, const int64_t *dims)
{
    v->fact.type = (struct type){.kind = TYPE_TENSOR, .dtype = dtype, .rank = rank};
    for (int i = 0; i < rank; i++)
        v->fact.type.dims[i] = dims[i];
}
#define DIMS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__}

static inline struct graph_value *value(struct graph *in, const char *name)
{
    struct graph_value *v = find_in(in, name);
    if (v)
        return v;
    for (struct graph *up = in->parent; up; up = up->parent)
        if (find_in(up, name))
            return graph_capture(in, find_in(up, name), &e);
    v = graph_value_new(in, name, &e);
    set_type(v, DTYPE_F32, DIMS(2, 3));
    return v;
}

/* A word up to one of `ends`; moves on behind it. */
static const char *word(const char **at, const char *ends, char *buf)
{
    size_t n = strcspn(*at, ends);
    memcpy(buf, *at, n);
    buf[n] = 0;
    *at += n + ((*at)[n] != 0);
    return buf;
}

static inline void add_node(struct graph *to, const char *text)
{
    char outs[64], op[32], ins[128], name[64];
    word(&text, "=", outs);
    word(&text, "(", op);
    word(&text, ")", ins);
    struct node *n = graph_node_new(to, op_find("", op, 0, NULL), "", 0, 2, NULL, &e);
    int k = 0;
    for (const char *p = ins; *p; k++) {
        if (pass_widen(n, k + 1, &e))
            abort();
        word(&p, ",", name);
        if (*name != '-' && node_set_in(n, k, value(to, name), &e))
            abort();
    }
    k = 0;
    for (const char *p = outs; *p; k++)
        node_set_out(n, k, value(to, word(&p, ",", name)));
    n->n_out = k;
    n->opset = 17;
}

static inline void add_nodes(struct graph *to, const char *text)
{
    char one[256];
    while (*text)
        add_node(to, word(&text, ";", one));
}

static inline void add_outputs(struct graph *to, const char *text)
{
    char name[64];
    while (*text)
        if (graph_add_output(to, value(to, word(&text, ",", name)), &e))
            abort();
}

static inline void begin(const char *inputs)
{
    char name[64];
    err_clear(&e);
    g = graph_new(NULL, &e);
    while (*inputs)
        if (graph_add_input(g, value(g, word(&inputs, ",", name)), &e))
            abort();
}

/* A constant of these floats (or integers, by dtype). */
static inline void constant(const char *name, enum dtype dtype, int rank, const int64_t *dims,
                     const double *v)
{
    struct tensor t;
    if (tensor_new(&t, NULL, dtype, rank, dims, &e))
        abort();
    for (int64_t i = 0; i < tensor_count(&t); i++)
        dtype_store_f64(dtype, (char *)t.data + (size_t)i * dtype_size(dtype), v[i]);
    if (!graph_constant(g, name, &t, &e))
        abort();
}
#define NUMBERS(...) (double[]){__VA_ARGS__}

static inline void number(const char *name, double v)
{
    constant(name, DTYPE_F32, 0, NULL, &v);
}

static inline char *print_to(const struct graph *of, char *p)
{
    for (const struct node *n = of->first; n; n = n->next) {
        p += sprintf(p, n->prev ? ";" : "");
        for (int i = 0; i < n->n_out; i++)
            p += sprintf(p, "%s%s", i ? "," : "",
                         !n->out[i] ? "-" : *value_name(n->out[i]) ? value_name(n->out[i]) : "_");
        p += sprintf(p, "=%s(", n->op->name);
        for (int i = 0; i < n->n_in; i++)
            p += sprintf(p, "%s%s", i ? "," : "",
                         !n->in[i] ? "-" : *value_name(n->in[i]) ? value_name(n->in[i]) : "_");
        p += sprintf(p, ")");
        for (int i = 0; i < n->n_graphs; i++)
            p = print_to(n->graphs[i], p + sprintf(p, "{")), p += sprintf(p, "}");
    }
    return p;
}

static inline bool is(const char *want)
{
    char got[2048] = "";
    print_to(g, got);
    if (strcmp(got, want) == 0)
        return true;
    printf("have %s\nwant %s\n", got, want);
    return false;
}

static struct pass_report report;
static uint64_t limit;
static int (*fold_hook)(struct node *n, void *arg, struct err *err);

static inline bool run(const char *passes)
{
    struct pass_context c = {.select = passes, .verify = true, .report = &report, .limit = limit,
                             .fold = fold_hook};
    memset(&report, 0, sizeof report);
    int r = graph_verify(g, &e);
    if (r == 0)
        r = graph_passes(g, &c, &e);
    if (r)
        printf("%s\n", e.msg);
    return r == 0;
}

/* Run these passes, and dead, and compare; the graph is gone afterwards. */
static inline bool becomes(const char *passes, const char *after)
{
    char select[64];
    snprintf(select, sizeof select, "none,%s,dead", passes);
    bool ok = run(select) && is(after);
    graph_free(g);
    return ok;
}

static inline void start(const char *nodes, const char *outputs)
{
    add_nodes(g, nodes);
    add_outputs(g, outputs);
}

static inline void *attrs(const char *out)
{
    return find_in(g, out)->producer->attrs;
}

static inline struct graph *subgraph(const char *owner_out, const char *nodes, const char *outputs)
{
    struct graph *sub = graph_new_sub(g, &e);
    if (node_add_graph(find_in(g, owner_out)->producer, sub, &e))
        abort();
    add_nodes(sub, nodes);
    add_outputs(sub, outputs);
    return sub;
}
