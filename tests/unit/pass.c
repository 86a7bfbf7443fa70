/* SPDX-License-Identifier: Apache-2.0 */
/* Passes and matching: each with a graph before and after, both written as text:
 *
 *   "a=Relu(x);y=Add(a,c)"      values are floats of shape [2,3] unless the test says otherwise;
 *                               "-" is an absent input, "_" a value without a name
 */
#include "graph/pass.h"

#include <math.h>
#include <stdlib.h>

#include "graph/attrs.h"
#include "graph/match.h"
#include "tests/unit/unit.h"

/* ---- operators: what passes look at, nothing that runs ---- */

#define AT(type, field) offsetof(struct attrs_##type, field)

static const struct attr cast_rows[] = {{"to", ATTR_INT, AT(cast, to)}, {NULL}};
static const struct attr perm_rows[] = {{"perm", ATTR_INTS, AT(transpose, perm)}, {NULL}};
static const struct attr axis_rows[] = {{"axis", ATTR_INT, AT(concat, axis)}, {NULL}};
static const struct attr reshape_rows[] = {{"allowzero", ATTR_INT, AT(reshape, allowzero)}, {NULL}};
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
    PLAIN("Div"), PLAIN("Sum"), PLAIN("Shape"), PLAIN("Expand"), PLAIN("Slice"), PLAIN("Pad"),
    PLAIN("Squeeze"), PLAIN("Unsqueeze"), PLAIN("If"), PLAIN("Split"),
    WITH("Cast", cast_rows, cast), WITH("Transpose", perm_rows, transpose),
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

static struct graph_value *find_in(const struct graph *in, const char *name)
{
    for (size_t i = 0; i < in->n_values; i++)
        if (!strcmp(in->values[i]->name, name))
            return in->values[i];
    return NULL;
}

static void set_type(struct graph_value *v, enum dtype dtype, int rank, const int64_t *dims)
{
    v->fact.type = (struct type){.kind = TYPE_TENSOR, .dtype = dtype, .rank = rank};
    for (int i = 0; i < rank; i++)
        v->fact.type.dims[i] = dims[i];
}
#define DIMS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__}

static struct graph_value *value(struct graph *in, const char *name)
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

static void add_node(struct graph *to, const char *text)
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

static void add_nodes(struct graph *to, const char *text)
{
    char one[256];
    while (*text)
        add_node(to, word(&text, ";", one));
}

static void add_outputs(struct graph *to, const char *text)
{
    char name[64];
    while (*text)
        if (graph_add_output(to, value(to, word(&text, ",", name)), &e))
            abort();
}

static void begin(const char *inputs)
{
    char name[64];
    err_clear(&e);
    g = graph_new(NULL, &e);
    while (*inputs)
        if (graph_add_input(g, value(g, word(&inputs, ",", name)), &e))
            abort();
}

/* A constant of these floats (or integers, by dtype). */
static void constant(const char *name, enum dtype dtype, int rank, const int64_t *dims,
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

static void number(const char *name, double v)
{
    constant(name, DTYPE_F32, 0, NULL, &v);
}

static char *print_to(const struct graph *of, char *p)
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

static bool is(const char *want)
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

static bool run(const char *passes)
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
static bool becomes(const char *passes, const char *after)
{
    char select[64];
    snprintf(select, sizeof select, "none,%s,dead", passes);
    bool ok = run(select) && is(after);
    graph_free(g);
    return ok;
}

static void start(const char *nodes, const char *outputs)
{
    add_nodes(g, nodes);
    add_outputs(g, outputs);
}

static void *attrs(const char *out)
{
    return find_in(g, out)->producer->attrs;
}

/* ---- one pass each ---- */

static void dead(void)
{
    begin("x");
    constant("c", DTYPE_F32, DIMS(2), NUMBERS(1, 2));
    start("a=Relu(x);b=Add(a,c);r=RandomNormal();y=Relu(x)", "y");
    CHECK(becomes("dead", "y=Relu(x)"));
    begin("x");
    start("y,mask=Dropout(x)", "y");
    CHECK(becomes("dead", "y,-=Dropout(x)"));
    begin("x");
    start("y,mask=Dropout(x)", "y,mask");
    CHECK(becomes("dead", "y,mask=Dropout(x)"));
}

static struct graph *subgraph(const char *owner_out, const char *nodes, const char *outputs)
{
    struct graph *sub = graph_new_sub(g, &e);
    if (node_add_graph(find_in(g, owner_out)->producer, sub, &e))
        abort();
    add_nodes(sub, nodes);
    add_outputs(sub, outputs);
    return sub;
}

static void subgraphs(void)
{
    begin("x,cond");
    start("a=Relu(x);b=Sigmoid(x);y=If(cond)", "y");
    subgraph("y", "p=Identity(a);q=Relu(b);r=Relu(p)", "r");
    CHECK(becomes("identity", "a=Relu(x);y=If(cond){r=Relu(a)}"));
    begin("x,cond");
    start("a=Relu(x);y=If(cond)", "y");
    subgraph("y", "p=Identity(a)", "p"); /* a capture cannot be an output */
    CHECK(becomes("identity", "a=Relu(x);y=If(cond){p=Identity(a)}"));
}

static void put_if(const char *cond_out, const char *then_nodes, const char *then_outs,
                   const char *else_nodes, const char *else_outs)
{
    subgraph(cond_out, then_nodes, then_outs);
    subgraph(cond_out, else_nodes, else_outs);
}

static void known_if(void)
{
    for (int pick = 0; pick < 2; pick++) { /* a scalar and one of [1]; values of both scopes */
        double number_of[] = {pick};
        begin("x");
        constant("cond", DTYPE_BOOL, pick, (int64_t[]){1}, number_of);
        start("a=Relu(x);y=If(cond)", "y");
        put_if("y", "t=Sigmoid(a);u=Add(t,x)", "u", "t=Relu(a);u=Relu(t)", "u");
        CHECK(becomes("if", pick ? "a=Relu(x);_=Sigmoid(a);y=Add(_,x)"
                                 : "a=Relu(x);_=Relu(a);y=Relu(_)"));
    }
    begin("x,cond"); /* not known */
    start("y=If(cond)", "y");
    put_if("y", "t=Relu(x)", "t", "t=Sigmoid(x)", "t");
    CHECK(becomes("if", "y=If(cond){t=Relu(x)}{t=Sigmoid(x)}"));
    begin("x,cond"); /* known by inference alone */
    start("y=If(cond)", "y");
    put_if("y", "t=Relu(x)", "t", "t=Sigmoid(x)", "t");
    static const int64_t no[] = {0};
    find_in(g, "cond")->fact.elems = no;
    find_in(g, "cond")->fact.n_elems = 1;
    CHECK(becomes("if", "y=Sigmoid(x)"));
    begin("x"); /* not one element: an error of the run */
    constant("cond", DTYPE_BOOL, DIMS(2), NUMBERS(1, 1));
    start("y=If(cond)", "y");
    put_if("y", "t=Relu(x)", "t", "t=Sigmoid(x)", "t");
    CHECK(becomes("if", "y=If(cond){t=Relu(x)}{t=Sigmoid(x)}"));
}

/* What a branch gives back may be anything: a capture, a constant, one value twice. */
static void known_if_outputs(void)
{
    begin("x");
    constant("cond", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    number("c", 3);
    start("a=Relu(x);y,z=If(cond);w=Add(y,z)", "w");
    put_if("y", "", "a,c", "t=Relu(x);u=Relu(t)", "t,u");
    CHECK(becomes("if", "a=Relu(x);w=Add(a,c)"));
    begin("x");
    constant("cond", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    number("c", 3);
    start("y,z=If(cond)", "y,z"); /* outputs keep their names and types */
    put_if("y", "", "x,c", "t=Relu(x);u=Relu(t)", "t,u");
    CHECK(run("none,if,dead") && is("y=Identity(x);z=Identity(c)"));
    CHECK(g->n_outputs == 2 && g->outputs[1]->fact.type.rank == 0 &&
          g->outputs[0]->fact.type.dims[1] == 3);
    graph_free(g);
    begin("x");
    constant("cond", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    start("y,z=If(cond)", "y,z");
    put_if("y", "t=Relu(x)", "t,t", "t=Sigmoid(x)", "t,t");
    CHECK(becomes("if", "y=Relu(x);z=Identity(y)"));
    begin("x");
    constant("cond", DTYPE_BOOL, 0, NULL, NUMBERS(0));
    start("y,z=If(cond);w=Relu(z)", "w"); /* what nobody reads is not made */
    put_if("y", "t=Relu(x)", "t,t", "t=Sigmoid(x);u=Relu(x)", "t,u");
    CHECK(becomes("if", "_=Relu(x);w=Relu(_)"));
}

/* In a branch: an If with a known condition, which goes too, and one without, whose captures end at
 * the graph that the branch stood in. The same names in two branches. */
static void known_if_nested(void)
{
    begin("x,cond");
    constant("yes", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    start("a=Relu(x);y=If(yes)", "y");
    struct graph *then = subgraph("y", "p=Sigmoid(a);u=If(cond);v=If(yes);w=Add(u,v)", "w");
    subgraph("y", "q=Relu(a)", "q");
    struct node *inner[] = {find_in(then, "u")->producer, find_in(then, "v")->producer};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            struct graph *sub = graph_new_sub(then, &e);
            if (!sub || node_add_graph(inner[i], sub, &e))
                abort();
            add_nodes(sub, k ? "p2=Relu(p);s=Add(p2,a)" : "p2=Relu(a);s=Add(p2,p)");
            add_outputs(sub, "s");
        }
    CHECK(becomes("if", "a=Relu(x);_=Sigmoid(a);_=If(cond){p2=Relu(a);s=Add(p2,_)}"
                        "{p2=Relu(_);s=Add(p2,a)};_=Relu(a);_=Add(_,_);y=Add(_,_)"));
    begin("x"); /* a branch's own subgraph, of an If that stays an If's */
    constant("yes", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    start("y=If(yes);z=If(yes);w=Add(y,z)", "w");
    put_if("y", "t=Relu(x)", "t", "t=Sigmoid(x)", "t");
    put_if("z", "t=Sigmoid(x)", "t", "t=Relu(x)", "t");
    CHECK(becomes("if", "_=Relu(x);_=Sigmoid(x);w=Add(_,_)"));
}

static void identity(void)
{
    begin("x");
    start("a=Identity(x);b=Relu(a);y=Identity(b)", "y");
    CHECK(becomes("identity", "y=Relu(x)"));
    begin("x");
    start("y=Identity(x)", "y"); /* input to output: something must be there */
    CHECK(becomes("identity", "y=Identity(x)"));
    begin("x");
    start("a=Relu(x);y=Identity(a);z=Identity(a)", "y,z"); /* one value, two names */
    CHECK(becomes("identity", "y=Relu(x);z=Identity(y)"));
    begin("x");
    start("a,mask=Dropout(x);b=Concat(a);c=Sum(b);y=Relu(c)", "y");
    CHECK(becomes("identity", "y=Relu(x)"));
    begin("x");
    constant("train", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    start("a=Dropout(x,-,train);y=Relu(a)", "y");
    CHECK(becomes("identity", "a=Dropout(x,-,train);y=Relu(a)"));
}

static void identity_arithmetic(void)
{
    begin("x,s");
    number("one", 1);
    number("zero", 0);
    number("near", 1 + 1e-6);
    set_type(find_in(g, "s"), DTYPE_F32, 0, NULL);
    start("a=Mul(x,one);b=Div(a,one);c=Sub(b,zero);d=Add(c,zero);f=Mul(d,near);h=Mul(one,f);"
          "y=Relu(h)", "y");
    CHECK(becomes("identity", "d=Add(x,zero);f=Mul(d,near);y=Relu(f)"));
    begin("s");
    constant("ones", DTYPE_F32, DIMS(2, 3), NUMBERS(1, 1, 1, 1, 1, 1));
    set_type(find_in(g, "s"), DTYPE_F32, 0, NULL);
    start("a=Mul(s,ones);y=Relu(a)", "y"); /* it broadcasts */
    CHECK(becomes("identity", "a=Mul(s,ones);y=Relu(a)"));
}

static void identity_dims(void)
{
    begin("x,n");
    struct graph_value *x = find_in(g, "x");
    int64_t batch = sym_named(g->shared->syms, "batch");
    set_type(x, DTYPE_F32, DIMS(batch, 3));
    constant("no", DTYPE_I64, DIMS(4), NUMBERS(0, 0, 0, 0));
    constant("shift", DTYPE_I64, DIMS(4), NUMBERS(1, 0, -1, 0));
    constant("up", DTYPE_I64, DIMS(1), NUMBERS(1));
    constant("down", DTYPE_I64, DIMS(1), NUMBERS(-1));
    start("a=Reshape(x,n);b=Expand(a,n);c=Pad(b,no);d=Slice(c,n,n,n,up);"
          "f=Pad(d,shift);h=Slice(f,n,n,n,down);y=Relu(h)", "y");
    for (struct node *n = g->first; n; n = n->next)
        set_type(n->out[0], DTYPE_F32, DIMS(batch, 3));
    CHECK(becomes("identity", "f=Pad(x,shift);h=Slice(f,n,n,n,down);y=Relu(h)"));
    begin("x,n");
    start("a=Expand(x,n);y=Relu(a)", "y");
    set_type(find_in(g, "a"), DTYPE_F32, DIMS(sym_named(g->shared->syms, "batch"), 3));
    CHECK(becomes("identity", "a=Expand(x,n);y=Relu(a)"));
    begin("x");
    start("a=Transpose(x);b=Transpose(x);y=Add(a,b)", "y");
    static const int64_t same[] = {0, 1}, other[] = {1, 0};
    ((struct attrs_transpose *)attrs("a"))->perm = (struct ints){same, 2};
    ((struct attrs_transpose *)attrs("b"))->perm = (struct ints){other, 2};
    CHECK(becomes("identity", "b=Transpose(x);y=Add(x,b)"));
}

static void casts(void)
{
    static const struct row {
        enum dtype from, middle, to;
        bool joined;
    } rows[] = {
        {DTYPE_F16, DTYPE_F32, DTYPE_F16, true},   {DTYPE_F32, DTYPE_F16, DTYPE_F32, false},
        {DTYPE_F16, DTYPE_F32, DTYPE_BF16, true},  {DTYPE_F16, DTYPE_BF16, DTYPE_F32, false},
        {DTYPE_I32, DTYPE_I64, DTYPE_I32, true},   {DTYPE_I64, DTYPE_I32, DTYPE_I64, false},
        {DTYPE_I32, DTYPE_I64, DTYPE_I8, true},    {DTYPE_I8, DTYPE_U8, DTYPE_I32, false},
        {DTYPE_I64, DTYPE_F64, DTYPE_I64, false},  {DTYPE_I32, DTYPE_F64, DTYPE_I32, true},
        {DTYPE_I32, DTYPE_F64, DTYPE_I8, false},   {DTYPE_I32, DTYPE_F32, DTYPE_F64, false},
        {DTYPE_BOOL, DTYPE_F32, DTYPE_BOOL, true}, {DTYPE_BOOL, DTYPE_I32, DTYPE_F32, true},
        {DTYPE_U8, DTYPE_I16, DTYPE_F32, true},    {DTYPE_F32, DTYPE_I32, DTYPE_F32, false},
        {DTYPE_F32, DTYPE_F64, DTYPE_I32, false},  {DTYPE_I32, DTYPE_STRING, DTYPE_I32, false},
        {DTYPE_F32, DTYPE_F64, DTYPE_BOOL, true},  {DTYPE_U32, DTYPE_I32, DTYPE_I64, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin("x");
        start("a=Cast(x);b=Cast(a);y=Relu(b)", "y");
        set_type(find_in(g, "x"), rows[i].from, DIMS(2));
        set_type(find_in(g, "a"), rows[i].middle, DIMS(2));
        set_type(find_in(g, "b"), rows[i].to, DIMS(2));
        ((struct attrs_cast *)attrs("a"))->to = rows[i].middle;
        ((struct attrs_cast *)attrs("b"))->to = rows[i].to;
        bool same = rows[i].from == rows[i].to;
        if (!CHECK(becomes("casts,identity", !rows[i].joined ? "a=Cast(x);b=Cast(a);y=Relu(b)"
                                             : same ? "y=Relu(x)" : "b=Cast(x);y=Relu(b)")))
            printf("row %zu\n", i);
    }
}

static void transposes(void)
{
    static const int64_t first[] = {1, 2, 0}, second[] = {0, 2, 1}, back[] = {2, 0, 1};
    begin("x");
    start("a=Transpose(x);b=Transpose(a);y=Relu(b)", "y");
    set_type(find_in(g, "x"), DTYPE_F32, DIMS(2, 3, 4));
    ((struct attrs_transpose *)attrs("a"))->perm = (struct ints){first, 3};
    struct attrs_transpose *b = attrs("b");
    b->perm = (struct ints){second, 3};
    CHECK(run("none,transposes,dead") && is("b=Transpose(x);y=Relu(b)"));
    CHECK(b->perm.n == 3 && b->perm.v[0] == 1 && b->perm.v[1] == 0 && b->perm.v[2] == 2);
    graph_free(g);
    begin("x");
    start("a=Transpose(x);b=Transpose(a);y=Add(a,b)", "y");
    set_type(find_in(g, "x"), DTYPE_F32, DIMS(2, 3, 4));
    ((struct attrs_transpose *)attrs("a"))->perm = (struct ints){first, 3};
    ((struct attrs_transpose *)attrs("b"))->perm = (struct ints){back, 3};
    CHECK(becomes("transposes,identity", "a=Transpose(x);y=Add(a,x)"));
}

static void reshapes(void)
{
    begin("x,n");
    constant("to", DTYPE_I64, DIMS(2), NUMBERS(3, -1));
    start("a=Reshape(x,n);b=Reshape(a,to);y=Relu(b)", "y");
    CHECK(becomes("reshapes", "b=Reshape(x,to);y=Relu(b)"));
    /* 0 in the target is a dim of the first reshape's output, but the dims of the result are
     * known */
    begin("x,n");
    constant("to", DTYPE_I64, DIMS(2), NUMBERS(0, -1));
    start("a=Reshape(x,n);b=Reshape(a,to);y=Relu(b)", "y");
    set_type(find_in(g, "b"), DTYPE_F32, DIMS(sym_named(g->shared->syms, "batch"), 6));
    CHECK(run("none,reshapes,dead") && is("_=Reshape(x,_);y=Relu(_)"));
    const struct tensor *t = match_constant(g->first->in[1]);
    CHECK(t && t->dims[0] == 2 && ((int64_t *)t->data)[0] == -1 && ((int64_t *)t->data)[1] == 6);
    graph_free(g);
    begin("x,n");
    start("a=Unsqueeze(x,n);b=Squeeze(a,n);y=Relu(b)", "y");
    set_type(find_in(g, "a"), DTYPE_F32, DIMS(1, 2, 3));
    CHECK(becomes("reshapes,identity", "y=Relu(x)"));
    begin("x,n"); /* two dims that are not known: it stays */
    start("a=Unsqueeze(x,n);b=Reshape(a,n);y=Relu(b)", "y");
    set_type(find_in(g, "b"), DTYPE_F32,
             DIMS(sym_fresh(g->shared->syms, 0), sym_fresh(g->shared->syms, 0)));
    CHECK(becomes("reshapes", "a=Unsqueeze(x,n);b=Reshape(a,n);y=Relu(b)"));
}

static void cse(void)
{
    begin("x,z");
    number("one", 2);
    number("other", 2);
    number("third", 3);
    start("a=Add(x,one);b=Add(x,other);c=Add(x,third);d=Mul(a,b);y=Sum(d,c)", "y");
    CHECK(becomes("cse", "a=Add(x,one);c=Add(x,third);d=Mul(a,a);y=Sum(d,c)"));
    begin("x");
    start("a=LeakyRelu(x);b=LeakyRelu(x);c=LeakyRelu(x);y=Sum(a,b,c)", "y");
    ((struct attrs_alpha *)attrs("b"))->alpha = 0.5f;
    CHECK(becomes("cse", "a=LeakyRelu(x);b=LeakyRelu(x);y=Sum(a,b,a)"));
    begin("x");
    start("a=Transpose(x);b=Transpose(x);c=Transpose(x);y=Sum(a,b,c)", "y");
    int64_t p[] = {1, 0}, q[] = {1, 0};
    ((struct attrs_transpose *)attrs("a"))->perm = (struct ints){p, 2};
    ((struct attrs_transpose *)attrs("b"))->perm = (struct ints){q, 2};
    CHECK(becomes("cse", "a=Transpose(x);c=Transpose(x);y=Sum(a,a,c)"));
    begin("x");
    start("a=RandomNormal();b=RandomNormal();y=Sum(a,b)", "y");
    CHECK(becomes("cse", "a=RandomNormal();b=RandomNormal();y=Sum(a,b)"));
    begin("x");
    start("a=Relu(x);y=Relu(x);z=Relu(a);w=Relu(a)", "y,z,w");
    CHECK(becomes("cse", "y=Relu(x);z=Relu(y);w=Identity(z)"));
    begin("x");
    start("y=Conv(x);z=Conv(x)", "y,z");
    ((struct attrs_conv *)attrs("z"))->auto_pad = (struct str){"VALID", 5};
    CHECK(becomes("cse", "y=Conv(x);z=Conv(x)"));
}

static void shapes(void)
{
    static const int64_t known[] = {1, 64, -1};
    begin("x");
    start("s=Shape(x);t=Mul(s,s);u=Mul(s,t);y=Reshape(x,u)", "y");
    int64_t batch = sym_named(g->shared->syms, "batch"), unknown[] = {batch, 2, 3};
    const char *const names[] = {"s", "t", "u"};
    for (int i = 0; i < 3; i++) {
        struct graph_value *v = find_in(g, names[i]);
        set_type(v, i == 2 ? DTYPE_I32 : DTYPE_I64, DIMS(3));
        v->fact.elems = i == 2 ? known : unknown;
        v->fact.n_elems = 3;
    }
    CHECK(run("none,shapes,dead") && is("y=Reshape(x,u)"));
    const struct tensor *t = find_in(g, "u")->constant;
    CHECK(t && t->dtype == DTYPE_I32 && t->rank == 1 && ((int32_t *)t->data)[1] == 64 &&
          ((int32_t *)t->data)[2] == -1);
    graph_free(g);
    /* one of several outputs: the node keeps it */
    begin("x");
    start("a,b=Split(x);c=Relu(b);y=Sum(a,c)", "y");
    struct graph_value *a = find_in(g, "a");
    set_type(a, DTYPE_I64, DIMS(3));
    a->fact.elems = known;
    a->fact.n_elems = 3;
    CHECK(run("none,shapes") && is("a,b=Split(x);c=Relu(b);y=Sum(_,c)"));
    graph_free(g);
}

static int fold_relu(struct node *n, void *arg, struct err *err)
{
    struct tensor t;
    if (!node_is(n, "Relu"))
        return 0;
    int r = tensor_copy(&t, n->in[0]->constant, NULL, err);
    return r ? r : (r = graph_make_constant(n->out[0], &t, err)) ? r : 1;
}

static void fold(void)
{
    begin("x");
    number("c", 4);
    start("a=Relu(c);b=Relu(a);d=Sigmoid(b);f=Relu(x);y=Sum(d,f)", "y");
    fold_hook = fold_relu;
    CHECK(becomes("fold", "d=Sigmoid(b);f=Relu(x);y=Sum(d,f)"));
    CHECK(report.rewrites[PASS_fold] == 2);
    fold_hook = NULL;
}

/* ---- convolutions ---- */

static bool near(const struct tensor *t, const double *want)
{
    bool ok = t != NULL;
    for (int64_t i = 0; ok && i < tensor_count(t); i++)
        ok = fabs(((float *)t->data)[i] - want[i]) <= 1e-6 * (1 + fabs(want[i]));
    return ok;
}

static void norm_constants(void)
{
    constant("scale", DTYPE_F32, DIMS(2), NUMBERS(2, 3));
    constant("shift", DTYPE_F32, DIMS(2), NUMBERS(10, 20));
    constant("mean", DTYPE_F32, DIMS(2), NUMBERS(1, -1));
    constant("var", DTYPE_F32, DIMS(2), NUMBERS(4 - 1e-5, 9 - 1e-5));
}

static void conv_norm(void)
{
    begin("x");
    norm_constants();
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    start("a=Conv(x,w);y=BatchNormalization(a,scale,shift,mean,var)", "y");
    CHECK(run("none,conv_scale,dead") && is("y=Conv(x,w,_)"));
    CHECK(near(find_in(g, "w")->constant, NUMBERS(1, 2, 3, 4)));
    CHECK(near(g->first->in[2]->constant, NUMBERS(9, 21)));
    graph_free(g);
    /* with a bias, and with Mul and Add on top */
    begin("x");
    norm_constants();
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    constant("b", DTYPE_F32, DIMS(2), NUMBERS(5, 6));
    constant("m", DTYPE_F32, DIMS(2, 1, 1), NUMBERS(10, 100));
    number("one", 1);
    start("a=Conv(x,w,b);c=BatchNormalization(a,scale,shift,mean,var);d=Mul(m,c);f=Sub(d,one);"
          "y=Relu(f)", "y");
    CHECK(run("none,conv_scale,dead") && is("a=Conv(x,w,b);y=Relu(a)"));
    CHECK(near(g->first->in[1]->constant, NUMBERS(10, 20, 300, 400)));
    CHECK(near(g->first->in[2]->constant, NUMBERS(139, 2699)));
    graph_free(g);
}

static void conv_kept(void)
{
    begin("x"); /* someone else reads the convolution */
    norm_constants();
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    start("a=Conv(x,w);b=BatchNormalization(a,scale,shift,mean,var);y=Add(a,b)", "y");
    CHECK(becomes("conv_scale",
                  "a=Conv(x,w);b=BatchNormalization(a,scale,shift,mean,var);y=Add(a,b)"));
    begin("x"); /* not by channel */
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    constant("m", DTYPE_F32, DIMS(2), NUMBERS(10, 100));
    start("a=Conv(x,w);y=Mul(a,m)", "y");
    CHECK(becomes("conv_scale", "a=Conv(x,w);y=Mul(a,m)"));
    begin("x"); /* it would divide by zero */
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    number("zero", 0);
    start("a=Conv(x,w);y=Div(a,zero)", "y");
    CHECK(becomes("conv_scale", "a=Conv(x,w);y=Div(a,zero)"));
}

static void conv_transposed(void)
{
    begin("x"); /* W is [C = 2, M/g = 1, 1, 2], two groups */
    norm_constants();
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    constant("m", DTYPE_F32, DIMS(1, 2, 1, 1), NUMBERS(10, 100));
    start("a=ConvTranspose(x,w);y=Mul(a,m)", "y");
    ((struct attrs_conv_transpose *)attrs("a"))->group = 2;
    CHECK(run("none,conv_scale,dead"));
    CHECK(near(g->first->in[1]->constant, NUMBERS(10, 20, 300, 400)));
    graph_free(g);
    begin("x"); /* W is [1, 2, 1, 2], one group */
    constant("w", DTYPE_F32, DIMS(1, 2, 1, 2), NUMBERS(1, 2, 3, 4));
    constant("m", DTYPE_F32, DIMS(2, 1, 1), NUMBERS(10, 100));
    start("a=ConvTranspose(x,w);y=Add(a,m)", "y");
    CHECK(run("none,conv_scale,dead"));
    CHECK(near(g->first->in[1]->constant, NUMBERS(1, 2, 3, 4)));
    CHECK(near(g->first->in[2]->constant, NUMBERS(10, 100)));
    graph_free(g);
}

/* ---- matching ---- */

static void matching(void)
{
    enum { ROOT, X, SIGMOID, HALF };
    static const struct pat silu[] = {
        [ROOT] = {"Mul", {X, SIGMOID}, MATCH_ANY_ORDER},
        [X] = {NULL},
        [SIGMOID] = {"Sigmoid|Relu", {X}},
    };
    static const struct pat halved[] = {
        [ROOT] = {"Mul", {X, HALF, MATCH_ABSENT}, MATCH_ANY_ORDER},
        [X] = {NULL}, [HALF] = {.flags = MATCH_NUMBER, .number = 0.5},
    };
    struct match m;
    begin("x,z");
    number("half", 0.5f * (1 + 1e-7f));
    number("more", 0.501f);
    start("s=Sigmoid(x);a=Mul(s,x);t=Sigmoid(x);b=Mul(t,z);u=Sigmoid(x);c=Mul(x,u);d=Relu(u);"
          "f=Mul(half,x);h=Mul(x,more)", "a,b,c,d,f,h");
    CHECK(match_find(silu, find_in(g, "a")->producer, &m) && m.v[X] == find_in(g, "x") &&
          match_node(&m, SIGMOID)->out[0] == find_in(g, "s"));
    CHECK(!match_find(silu, find_in(g, "b")->producer, &m)); /* not the same x */
    CHECK(!match_find(silu, find_in(g, "c")->producer, &m)); /* its sigmoid has another reader */
    CHECK(!match_find(silu, find_in(g, "d")->producer, &m));
    CHECK(match_find(halved, find_in(g, "f")->producer, &m) && m.v[X] == find_in(g, "x"));
    CHECK(!match_find(halved, find_in(g, "h")->producer, &m));
    graph_free(g);
    begin("x"); /* an inner value that is an output */
    start("s=Sigmoid(x);a=Mul(s,x)", "a,s");
    CHECK(!match_find(silu, find_in(g, "a")->producer, &m));
    graph_free(g);
}

/* An inner value with two readers, both of the match: (x - mean) / sqrt((x - mean)^2 ...) and the
 * like. */
static void matching_joins(void)
{
    enum { ROOT, DIFF, SQUARE, X, Y };
    static const struct pat p[] = {
        [ROOT] = {"Div", {DIFF, SQUARE}}, [DIFF] = {"Sub", {X, Y}},
        [SQUARE] = {"Mul", {DIFF, DIFF}}, [X] = {NULL}, [Y] = {NULL},
    };
    struct match m;
    begin("x,z");
    start("d=Sub(x,z);s=Mul(d,d);y=Div(d,s)", "y");
    CHECK(match_find(p, g->last, &m) && m.v[Y] == find_in(g, "z"));
    add_nodes(g, "k=Relu(d)");
    add_outputs(g, "k");
    CHECK(!match_find(p, find_in(g, "y")->producer, &m));
    graph_free(g);
}

/* ---- the driver ---- */

static void selection(void)
{
    static const char nodes[] = "a=Identity(x);b=Relu(a);c=Relu(a);d=Add(b,c);y=Identity(d)";
    begin("x");
    start(nodes, "y");
    CHECK(run("none") && is(nodes) && report.rounds == 1);
    CHECK(run("-identity,-cse") && is(nodes));
    CHECK(run("none,+cse") && is("a=Identity(x);b=Relu(a);d=Add(b,b);y=Identity(d)"));
    CHECK(report.rewrites[PASS_cse] == 1);
    CHECK(run("") && is("b=Relu(x);y=Add(b,b)") && report.rewrites[PASS_identity] == 2);
    struct pass_context c = {.select = "-cse,-nosuch"};
    CHECK(graph_passes(g, &c, &e) == ERR_USAGE && strstr(e.msg, "nosuch"));
    CHECK(pass_count() == PASS_COUNT && !strcmp(pass_name(PASS_cse), "cse") && pass_help(0)[0]);
    graph_free(g);
}

/* With one rewrite more each time the end is the same. */
static void limits(void)
{
    for (limit = 1; limit < 12; limit++) {
        begin("x");
        start("a=Identity(x);b=Relu(a);c=Relu(a);d=Add(b,c);f=Relu(x);y=Identity(d)", "y");
        CHECK(run(NULL));
        uint64_t done = 0;
        for (int i = 0; i < PASS_COUNT; i++)
            done += report.rewrites[i];
        CHECK(done <= limit);
        if (limit >= 10)
            CHECK(is("b=Relu(x);y=Add(b,b)"));
        graph_free(g);
    }
    limit = 0;
}

static void no_memory(void)
{
    for (uint64_t n = 1; n < 200; n++) {
        begin("x");
        norm_constants();
        constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
        start("a=Conv(x,w);b=BatchNormalization(a,scale,shift,mean,var);c=Identity(b);"
              "d=Transpose(c);f=Transpose(d);h=Reshape(f,x);i=Squeeze(h,x);j=Relu(i);k=Relu(i);"
              "y=Add(j,k)", "y");
        struct pass_context c = {.report = &report};
        mem_fail_after(n, true);
        int r = graph_passes(g, &c, &e);
        uint64_t count = mem_fail_count();
        mem_fail_after(0, false);
        CHECK(r == 0 || r == ERR_MEMORY);
        CHECK(r == 0 || count >= n);
        graph_free(g);
        if (r == 0)
            break;
    }
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(dead),          TEST(subgraphs),       TEST(identity),   TEST(identity_arithmetic),
        TEST(identity_dims), TEST(casts),           TEST(transposes), TEST(reshapes),
        TEST(cse),           TEST(shapes),          TEST(fold),       TEST(conv_norm),
        TEST(conv_kept),     TEST(conv_transposed), TEST(matching),   TEST(matching_joins),
        TEST(selection),     TEST(limits),          TEST(no_memory),  TEST(known_if),
        TEST(known_if_outputs), TEST(known_if_nested),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
