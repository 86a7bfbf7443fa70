/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: building, rewriting, sorting, the verifier on damaged graphs, printing, inference. The
 * operators here are the test's own. */
#include "graph/graph.h"

#include <stdlib.h>

#include "graph/infer.h"
#include "graph/op.h"
#include "tests/unit/unit.h"

/* ---- operators ------------------------------------------------------------------------------- */

static int relu_infer(struct infer *c, struct err *e)
{
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int add_infer(struct infer *c, struct err *e)
{
    int rank;
    int64_t dims[TENSOR_RANK_MAX];
    int r = infer_same_dtype(c, 0, 1, e);
    if (r == 0)
        r = infer_broadcast(c, 0, 2, &rank, dims, e);
    return r ? r : infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

static int shape_infer(struct infer *c, struct err *e)
{
    int64_t rank = infer_rank(c, 0);
    int r = infer_set(c, 0, DTYPE_I64, 1, &rank, e);
    if (r == 0)
        infer_set_elems(c, 0, c->in[0]->type.dims, rank);
    return r;
}

static int reshape_infer(struct infer *c, struct err *e)
{
    int64_t n;
    const int64_t *dims = infer_elems(c, 1, &n);
    if (!dims)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    return infer_set(c, 0, infer_dtype(c, 0), (int)n, dims, e);
}

static int nonzero_infer(struct infer *c, struct err *e)
{
    int64_t dims[2] = {infer_rank(c, 0), infer_fresh(c)};
    return infer_set(c, 0, DTYPE_I64, 2, dims, e);
}

static int lazy_infer(struct infer *c, struct err *e)
{
    return 0;
}

static int if_infer(struct infer *c, struct err *e)
{
    struct fact out[4] = {0};
    for (int i = 0; i < c->node->n_graphs; i++) {
        int r = c->graph(c, c->node->graphs[i], NULL, 0, out, c->n_out, e);
        if (r)
            return r;
    }
    for (int o = 0; o < c->n_out; o++)
        infer_set_type(c, o, &out[o].type);
    return 0;
}

struct soft_attrs {
    int64_t axis, old;
    float scale;
    struct str mode;
    struct graph *body;
};
static const struct attr soft_rows[] = {
    {"axis", ATTR_INT, offsetof(struct soft_attrs, axis), .since = 13, .i = -1},
    {"axis", ATTR_INT, offsetof(struct soft_attrs, axis), .until = 12, .i = 1},
    {"old", ATTR_INT, offsetof(struct soft_attrs, old), .until = 6, .i = 7},
    {"scale", ATTR_FLOAT, offsetof(struct soft_attrs, scale), .f = 0.5f},
    {"mode", ATTR_STRING, offsetof(struct soft_attrs, mode), .s = "up"},
    {"ratio", ATTR_FLOAT, .since = 2, .input = 1, .f = 3},
    {"body", ATTR_GRAPH, offsetof(struct soft_attrs, body)},
    {NULL},
};

#define ROW(...)                                                                                   \
    {                                                                                              \
        .domain = "", .since = 1, .out_min = 1, .out_max = 1, __VA_ARGS__                          \
    }
static const struct op op_identity_row =
    ROW(.name = "Identity", .in_min = 1, .in_max = 1, .infer = relu_infer);
static const struct op op_relu_row =
    ROW(.name = "Relu", .in_min = 1, .in_max = 1, .infer = relu_infer);
static const struct op op_add_row =
    ROW(.name = "Add", .in_min = 2, .in_max = 2, .infer = add_infer);
static const struct op op_shape_row =
    ROW(.name = "Shape", .in_min = 1, .in_max = 1, .infer = shape_infer, .flags = OP_SHAPE_ONLY);
static const struct op op_reshape_row =
    ROW(.name = "Reshape", .in_min = 2, .in_max = 2, .infer = reshape_infer);
static const struct op op_nonzero_row =
    ROW(.name = "NonZero", .in_min = 1, .in_max = 1, .infer = nonzero_infer);
static const struct op op_lazy_row =
    ROW(.name = "Lazy", .in_min = 0, .in_max = -1, .infer = lazy_infer);
static const struct op op_if_row =
    ROW(.name = "If", .in_min = 1, .in_max = 1, .infer = if_infer, .flags = OP_HOST);
static const struct op op_soft_row =
    ROW(.name = "Soft", .in_min = 1, .in_max = 2, .infer = relu_infer, .attrs = soft_rows,
        .attrs_size = sizeof(struct soft_attrs));

const struct op *op_find(const char *domain, const char *name, int opset, int *newer)
{
    return strcmp(name, "Identity") == 0 ? &op_identity_row : NULL;
}

/* ---- making graphs --------------------------------------------------------------------------- */

static struct graph_value *input(struct graph *g, const char *name, enum dtype t, int rank,
                                 const int64_t *dims)
{
    struct graph_value *v = graph_value_new(g, name, NULL);
    CHECK(graph_add_input(g, v, NULL) == 0);
    v->fact.type = (struct type){.kind = TYPE_TENSOR, .dtype = t, .rank = rank};
    for (int k = 0; k < rank; k++)
        v->fact.type.dims[k] = dims[k];
    return v;
}

static struct graph_value *node(struct graph *g, const struct op *op, const char *name,
                                struct graph_value *a, struct graph_value *b)
{
    struct node *n = graph_node_new(g, op, name, b ? 2 : a ? 1 : 0, 1, NULL, NULL);
    struct graph_value *v = graph_value_new(g, name, NULL);
    if (a)
        CHECK(node_set_in(n, 0, a, NULL) == 0);
    if (b)
        CHECK(node_set_in(n, 1, b, NULL) == 0);
    node_set_out(n, 0, v);
    return v;
}

static struct graph_value *constant_i64(struct graph *g, const char *name, int64_t n,
                                        const int64_t *v)
{
    struct tensor t;
    CHECK(tensor_new(&t, NULL, DTYPE_I64, 1, &n, NULL) == 0);
    memcpy(t.data, v, (size_t)n * sizeof *v);
    struct graph_value *c = graph_constant(g, name, &t, NULL);
    CHECK(t.data == NULL);
    return c;
}

static bool verifies(const struct graph *g)
{
    struct err e = {0};
    if (graph_verify(g, &e) == 0)
        return true;
    printf("%s\n", e.msg);
    return false;
}

static const int64_t two_three[] = {2, 3};

/* x -> a = Relu(x) -> y = Add(a, x) */
struct small {
    struct graph *g;
    struct graph_value *x, *a, *y;
};

static struct small small(void)
{
    struct small s;
    s.g = graph_new(NULL, NULL);
    s.x = input(s.g, "x", DTYPE_F32, 2, two_three);
    s.a = node(s.g, &op_relu_row, "a", s.x, NULL);
    s.y = node(s.g, &op_add_row, "y", s.a, s.x);
    CHECK(graph_add_output(s.g, s.y, NULL) == 0);
    return s;
}

/* x, c -> If(c) { If(xc) { z = Relu(x) } }: x is captured through two levels. */
struct nested {
    struct graph *g, *sub, *subsub;
    struct graph_value *x, *a, *outer_if, *inner_if, *z;
};

static struct nested nested(void)
{
    struct nested s;
    s.g = graph_new(NULL, NULL);
    s.x = input(s.g, "x", DTYPE_F32, 2, two_three);
    s.a = node(s.g, &op_relu_row, "a", s.x, NULL);
    s.outer_if = node(s.g, &op_if_row, "outer", s.x, NULL);
    CHECK(graph_add_output(s.g, s.outer_if, NULL) == 0);
    s.sub = graph_new_sub(s.g, NULL);
    s.inner_if = node(s.sub, &op_if_row, "inner", graph_capture(s.sub, s.x, NULL), NULL);
    CHECK(graph_add_output(s.sub, s.inner_if, NULL) == 0);
    s.subsub = graph_new_sub(s.sub, NULL);
    s.z = node(s.subsub, &op_relu_row, "z", graph_capture(s.subsub, s.a, NULL), NULL);
    CHECK(graph_add_output(s.subsub, s.z, NULL) == 0);
    CHECK(node_add_graph(s.inner_if->producer, s.subsub, NULL) == 0);
    CHECK(node_add_graph(s.outer_if->producer, s.sub, NULL) == 0);
    return s;
}

/* ---- building -------------------------------------------------------------------------------- */

static void build(void)
{
    struct small s = small();
    struct err e = {0};
    CHECK(verifies(s.g));
    CHECK(s.x->n_uses == 2 && s.a->n_uses == 1 && s.y->n_uses == 0);
    CHECK(s.y->producer->prev == s.a->producer && s.g->last == s.y->producer);
    CHECK(graph_count(s.g) == 2);
    CHECK(node_set_in(s.y->producer, 0, s.x, NULL) == 0);
    CHECK(s.x->n_uses == 3 && s.a->n_uses == 0 && verifies(s.g));
    CHECK(graph_add_input(s.g, s.a, &e) == ERR_MODEL);
    CHECK(graph_capture(s.g, s.x, &e) == s.x);
    graph_free(s.g);
    graph_free(NULL);
}

static void many(void)
{
    struct graph *g = graph_new(NULL, NULL);
    struct graph_value *x = input(g, "x", DTYPE_F32, 2, two_three);
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "y%d", i);
        CHECK(graph_add_output(g, node(g, &op_relu_row, name, x, NULL), NULL) == 0);
        snprintf(name, sizeof name, "x%d", i);
        input(g, name, DTYPE_F32, 0, NULL);
    }
    CHECK(x->n_uses == 100 && g->n_outputs == 100 && g->n_inputs == 101 && verifies(g));
    for (int i = 0; i < 100; i++)
        CHECK(g->outputs[i]->producer->in[0] == x);
    graph_free(g);
}

static void defaults(void)
{
    struct graph *g = graph_new(NULL, NULL);
    struct node *n = graph_node_new(g, &op_soft_row, "n", 1, 1, NULL, NULL);
    const struct soft_attrs *a = n->attrs;
    CHECK(n->opset == 13 && a->axis == -1 && a->scale == 0.5f && a->old == 7);
    CHECK(a->mode.size == 2 && memcmp(a->mode.data, "up", 2) == 0 && !a->body);
    node_set_opset(n, 11);
    CHECK(n->opset == 11 && a->axis == 1 && a->old == 7 && a->scale == 0.5f);
    CHECK(graph_node_new(g, &op_relu_row, "r", 1, 1, n, NULL)->next == n && g->first->next == n);
    graph_free(g);
}

static void captures(void)
{
    struct nested s = nested();
    CHECK(verifies(s.g));
    CHECK(s.a->n_uses == 1 && s.a->uses[0].index == -1);
    CHECK(s.a->uses[0].node == s.outer_if->producer);
    struct graph_value *mid = s.a->uses[0].capture;
    CHECK(mid->graph == s.sub && mid->outer == s.a);
    CHECK(mid->n_uses == 1 && mid->uses[0].node == s.inner_if->producer);
    CHECK(mid->uses[0].capture == s.z->producer->in[0]);
    CHECK(graph_capture(s.subsub, s.a, NULL) == s.z->producer->in[0]);
    CHECK(graph_count(s.g) == 4);
    struct err e = {0};
    CHECK(graph_capture(s.g, s.z, &e) == NULL && e.code == ERR_INTERNAL);
    graph_free(s.g);
}

/* ---- rewriting ------------------------------------------------------------------------------- */

static void replace_node(void)
{
    struct small s = small();
    CHECK(graph_replace(s.a, s.x, NULL) == 0);
    CHECK(s.a->n_uses == 0 && s.y->producer->in[0] == s.x && s.x->n_uses == 3);
    graph_remove(s.a->producer);
    CHECK(s.x->n_uses == 2 && graph_count(s.g) == 1 && verifies(s.g));
    graph_free(s.g);
}

static void replace_output(void)
{
    struct small s = small();
    struct graph_value *b = node(s.g, &op_relu_row, "b", s.x, NULL);
    struct graph_value *more = node(s.g, &op_relu_row, "more", s.y, NULL);
    CHECK(graph_replace(s.y, b, NULL) == 0);
    CHECK(s.g->outputs[0] == b && b->is_output && !s.y->is_output);
    CHECK(strcmp(b->name, "y") == 0 && s.y->name[0] == '\0' && more->producer->in[0] == b);
    graph_remove(s.y->producer);
    CHECK(verifies(s.g));
    /* To an input: an Identity keeps the name. */
    CHECK(graph_replace(b, s.x, NULL) == 0);
    struct graph_value *out = s.g->outputs[0];
    CHECK(out->producer->op == &op_identity_row && out->producer->in[0] == s.x);
    CHECK(strcmp(out->name, "y") == 0 && more->producer->in[0] == s.x && verifies(s.g));
    /* To another output: an Identity again. */
    CHECK(graph_add_output(s.g, more, NULL) == 0);
    CHECK(graph_replace(more, out, NULL) == 0);
    CHECK(s.g->outputs[0] == out && s.g->outputs[1]->producer->in[0] == out && verifies(s.g));
    CHECK(strcmp(s.g->outputs[1]->name, "more") == 0);
    graph_free(s.g);
}

static void replace_capture(void)
{
    struct nested s = nested();
    CHECK(graph_replace(s.a, s.x, NULL) == 0);
    CHECK(s.a->n_uses == 0);
    graph_remove(s.a->producer);
    CHECK(verifies(s.g));
    /* In a subgraph, to a value of the main graph. */
    struct graph_value *in = s.z->producer->in[0];
    struct graph_value *w = node(s.subsub, &op_relu_row, "w", in, NULL);
    CHECK(graph_replace(w, s.x, NULL) == 0);
    CHECK(verifies(s.g));
    struct graph_value *c = s.x->uses[s.x->n_uses - 1].capture;
    struct graph_value *b = node(s.g, &op_relu_row, "b", s.x, NULL);
    CHECK(c->graph == s.sub && graph_set_outer(c, b, NULL) == 0 && b->uses[0].capture == c);
    CHECK(graph_sort(s.g, NULL) == 0 && verifies(s.g));
    graph_free(s.g);
}

static void remove_owner(void)
{
    struct nested s = nested();
    struct graph_value *b = node(s.g, &op_relu_row, "b", s.x, NULL);
    CHECK(graph_replace(s.outer_if, b, NULL) == 0);
    graph_remove(s.outer_if->producer);
    CHECK(s.a->n_uses == 0 && s.x->n_uses == 2 && verifies(s.g));
    graph_free(s.g);
}

static void constants(void)
{
    struct small s = small();
    struct err e = {0};
    struct tensor t;
    struct graph_value *c = constant_i64(s.g, "c", 2, two_three);
    CHECK(c->fact.data == c->constant && c->fact.type.dims[0] == 2 && verifies(s.g));
    graph_drop(c);
    CHECK(verifies(s.g));
    CHECK(tensor_new(&t, NULL, DTYPE_F32, 2, two_three, NULL) == 0);
    CHECK(graph_make_constant(s.a, &t, NULL) == 0);
    CHECK(!s.a->producer && s.a->constant && s.a->n_uses == 1 && s.x->n_uses == 2);
    struct node *relu = s.g->first;
    CHECK(relu->out[0] == NULL);
    graph_remove(relu);
    CHECK(s.x->n_uses == 1 && verifies(s.g));
    CHECK(tensor_new(&t, NULL, DTYPE_F32, 2, two_three, NULL) == 0);
    CHECK(graph_make_constant(s.x, &t, &e) == ERR_INTERNAL && t.data == NULL);
    graph_free(s.g);
    struct nested n = nested();
    CHECK(tensor_new(&t, NULL, DTYPE_F32, 2, two_three, NULL) == 0);
    CHECK(graph_make_constant(n.z->producer->in[0], &t, NULL) == 0);
    CHECK(verifies(n.g));
    graph_free(n.g);
}

static void sort(void)
{
    struct graph *g = graph_new(NULL, NULL);
    struct err e = {0};
    struct graph_value *x = input(g, "x", DTYPE_F32, 2, two_three);
    struct graph_value *a = node(g, &op_relu_row, "a", x, NULL);
    struct graph_value *b = node(g, &op_relu_row, "b", x, NULL);
    struct graph_value *c = node(g, &op_add_row, "c", b, a);
    struct graph_value *d = node(g, &op_relu_row, "d", x, NULL);
    CHECK(graph_sort(g, &e) == 0);
    CHECK(g->first->out[0] == a && g->first->next->out[0] == b && g->last->out[0] == d);
    /* b comes to depend on d. */
    CHECK(node_set_in(b->producer, 0, d, NULL) == 0);
    CHECK(graph_verify(g, &e) == ERR_INTERNAL && strstr(e.msg, "after it"));
    err_clear(&e);
    CHECK(graph_sort(g, &e) == 0 && verifies(g));
    CHECK(g->first->out[0] == a && g->first->next->out[0] == d && g->last->out[0] == c);
    CHECK(node_set_in(d->producer, 0, c, NULL) == 0);
    CHECK(graph_sort(g, &e) == ERR_MODEL && strstr(e.msg, "cycle through node '"));
    graph_free(g);
    /* What a subgraph captures comes first as well. */
    err_clear(&e);
    struct nested s = nested();
    struct graph_value *late = node(s.g, &op_relu_row, "late", s.x, NULL);
    CHECK(node_set_in(s.z->producer, 0, graph_capture(s.subsub, late, NULL), NULL) == 0);
    CHECK(graph_verify(s.g, &e) == ERR_INTERNAL);
    CHECK(graph_sort(s.g, NULL) == 0 && verifies(s.g) && s.g->last == s.outer_if->producer);
    graph_free(s.g);
}

static uint32_t random_below(uint64_t *state, size_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % n);
}

/* A value of the main graph that is still in it. */
static struct graph_value *random_value(struct graph *g, uint64_t *state)
{
    return g->values[random_below(state, g->n_values)];
}

static bool made(const struct graph_value *v)
{
    return v->producer || v->is_input;
}

/* Random edits of all kinds; the graph verifies after each, or sorting names the cycle. */
static void random_edits(void)
{
    const char *text = getenv("SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : 20240521, state = seed;
    for (int round = 0; round < 20; round++) {
        struct nested s = nested();
        bool cycle = false;
        for (int i = 0; i < 120 && !cycle; i++) {
            struct graph_value *a = random_value(s.g, &state), *b = random_value(s.g, &state);
            if (!made(a) || !made(b))
                continue;
            uint32_t what = random_below(&state, 8);
            if (what < 4)
                node(s.g, &op_add_row, "", a, b);
            else if (what == 4 && !a->is_input)
                CHECK(graph_replace(a, b, NULL) == 0);
            else if (what == 5 && a->producer && !a->n_uses && !a->is_output)
                graph_remove(a->producer);
            else if (what == 6)
                CHECK(node_set_in(s.z->producer, 0, graph_capture(s.subsub, a, NULL), NULL) == 0);
            else if (what == 7 && !a->is_output)
                CHECK(graph_add_output(s.g, a, NULL) == 0);
            struct err e = {0};
            cycle = graph_sort(s.g, &e) != 0;
            CHECK(cycle ? e.code == ERR_MODEL && strstr(e.msg, "cycle") : verifies(s.g));
        }
        graph_free(s.g);
    }
    if (atomic_load(&unit_failures))
        printf("SEED=%llu\n", (unsigned long long)seed);
}

/* ---- the verifier ---------------------------------------------------------------------------- */

struct damage {
    const char *says;
    void (*fn)(struct small *s, struct nested *n);
};

/* One way to damage the small graph (g, x, a, y) or the nested one (n). */
#define DAMAGE(name, statement)                                                                    \
    static void name(struct small *s, struct nested *n)                                            \
    {                                                                                              \
        statement;                                                                                 \
    }
DAMAGE(bad_use, s->x->uses[0].index = 1)
DAMAGE(bad_use_node, s->x->uses[0].node = s->y->producer)
DAMAGE(lost_use, s->x->n_uses--)
DAMAGE(double_use, s->x->uses[1] = s->x->uses[0])
DAMAGE(bad_producer, s->a->producer = s->y->producer)
DAMAGE(no_producer, s->a->producer = NULL)
DAMAGE(bad_index, s->a->producer_index = 3)
DAMAGE(two_sources, s->a->is_input = true)
DAMAGE(bad_id, s->a->id = s->x->id)
DAMAGE(high_id, s->a->id = 1000)
DAMAGE(bad_node_id, s->a->producer->id = s->y->producer->id)
DAMAGE(bad_place, s->a->place = 0)
DAMAGE(bad_graph, s->a->graph = n->g)
DAMAGE(bad_name, s->a->name = "x")
DAMAGE(bad_prev, s->y->producer->prev = NULL)
DAMAGE(bad_last, s->g->last = s->g->first)
DAMAGE(circle, s->y->producer->next = s->a->producer)
DAMAGE(bad_node_graph, s->y->producer->graph = n->g)
DAMAGE(few_inputs, s->y->producer->n_in = 3)
DAMAGE(hidden_output, s->g->n_outputs = 0)
DAMAGE(not_output, s->y->is_output = false)
DAMAGE(hidden_input, s->g->n_inputs = 0)
DAMAGE(foreign_in, s->y->producer->in[0] = n->x)
DAMAGE(bad_out, s->y->producer->out[0] = s->a)
DAMAGE(bad_outer, s->a->uses[0].capture = s->x)
DAMAGE(lost_capture, n->a->n_uses = 0)
DAMAGE(moved_capture, n->a->uses[0].capture->outer = n->x)
DAMAGE(bad_owner, n->sub->owner = NULL)
DAMAGE(bad_parent, n->subsub->parent = n->g)
DAMAGE(capture_node, n->a->uses[0].node = n->g->first)
DAMAGE(bad_constant, constant_i64(s->g, "c", 2, two_three)->constant->rank = -1)
DAMAGE(bad_fact, constant_i64(s->g, "c", 2, two_three)->fact.data = NULL)
DAMAGE(bad_order, CHECK(node_set_in(s->g->first, 0, s->y, NULL) == 0))

static const struct damage damages[] = {
    {"read it there", bad_use},
    {"read it there", bad_use_node},
    {"does not know of it", lost_use},
    {"same use twice", double_use},
    {"output of the node", bad_producer},
    {"no source", no_producer},
    {"output of the node", bad_index},
    {"marked", two_sources},
    {"id that is taken", bad_id},
    {"id that is taken", high_id},
    {"id that is taken", bad_node_id},
    {"does not belong", bad_place},
    {"does not belong", bad_graph},
    {"another value has", bad_name},
    {"not linked", bad_prev},
    {"last node", bad_last},
    {"id that is taken", circle},
    {"not linked", bad_node_graph},
    {"more or fewer", few_inputs},
    {"marked", hidden_output},
    {"not marked", not_output},
    {"marked", hidden_input},
    {"does not read it", foreign_in},
    {"output of the node", bad_out},
    {"captures another value", bad_outer},
    {"does not know once", lost_capture},
    {"another value", moved_capture},
    {"own its subgraph", bad_owner},
    {"own its subgraph", bad_parent},
    {"does not own", capture_node},
    {"without elements", bad_constant},
    {"fact does not show", bad_fact},
    {"after it", bad_order},
};

static void verify(void)
{
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct small s = small();
        struct nested n = nested();
        struct err e = {0}, e2 = {0};
        struct node *p = s.y->producer;
        struct graph_value *in[3] = {s.a, s.x, NULL}, **own = p->in;
        p->in = in; /* room for the test with one too many */
        damages[i].fn(&s, &n);
        int r = graph_verify(s.g, &e), r2 = graph_verify(n.g, &e2);
        if (!CHECK((r == ERR_INTERNAL) != (r2 == ERR_INTERNAL)) ||
            !CHECK(strstr(r ? e.msg : e2.msg, damages[i].says)))
            printf("%zu (%s): '%s' '%s'\n", i, damages[i].says, e.msg, e2.msg);
        p->in = own;
        graph_free(n.g);
        graph_free(s.g);
    }
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print(void)
{
    struct nested s = nested();
    struct err e = {0};
    struct graph_value *c = constant_i64(s.g, "c\n\"", 2, two_three);
    CHECK(graph_infer(s.g, &e) == 0);
    char *text = graph_print(s.g, &e), *dot = graph_dot(s.g, &e);
    CHECK(strcmp(text, "graph (x float[2,3]) -> (outer) {\n"
                       "    constant c?\" int64[2]\n"
                       "    a float[2,3] = Relu(x)\n"
                       "    outer float[2,3] = If(x)\n"
                       "        graph () -> (inner) {\n"
                       "            capture x float[2,3]\n"
                       "            capture a float[2,3]\n"
                       "            inner float[2,3] = If(x)\n"
                       "                graph () -> (z) {\n"
                       "                    capture a float[2,3]\n"
                       "                    z float[2,3] = Relu(a)\n"
                       "                }\n"
                       "        }\n"
                       "}\n") == 0);
    CHECK(strcmp(dot, "digraph model {\n"
                      "  v0 [shape=ellipse, label=\"x\"];\n"
                      "  v8 [shape=plaintext, label=\"c?\\\"\"];\n"
                      "  n0 [shape=box, label=\"Relu\"];\n"
                      "  v0 -> n0 [label=\"x\\nfloat[2,3]\"];\n"
                      "  n1 [shape=box, label=\"If\"];\n"
                      "  v0 -> n1 [label=\"x\\nfloat[2,3]\"];\n"
                      "  subgraph cluster_1_0 {\n"
                      "  n2 [shape=box, label=\"If\"];\n"
                      "  v0 -> n2 [label=\"x\\nfloat[2,3]\"];\n"
                      "  subgraph cluster_2_0 {\n"
                      "  n3 [shape=box, label=\"Relu\"];\n"
                      "  n0 -> n3 [label=\"a\\nfloat[2,3]\"];\n"
                      "  o7 [shape=ellipse, label=\"z\"];\n"
                      "  n3 -> o7 [label=\"z\\nfloat[2,3]\"];\n"
                      "  }\n"
                      "  o4 [shape=ellipse, label=\"inner\"];\n"
                      "  n2 -> o4 [label=\"inner\\nfloat[2,3]\"];\n"
                      "  }\n"
                      "  o2 [shape=ellipse, label=\"outer\"];\n"
                      "  n1 -> o2 [label=\"outer\\nfloat[2,3]\"];\n"
                      "}\n") == 0);
    if (atomic_load(&unit_failures))
        printf("%s%s", text, dot);
    CHECK(c->n_uses == 0);
    mem_free(text);
    mem_free(dot);
    graph_free(s.g);
}

static void types(void)
{
    struct err e = {0};
    struct graph *g = graph_new(NULL, NULL);
    char buf[64], tiny[8];
    struct type t = {.kind = TYPE_TENSOR, .dtype = DTYPE_F32, .rank = 2};
    t.dims[0] = sym_named(g->shared->syms, "batch");
    t.dims[1] = 128;
    CHECK(strcmp(type_print(&t, g->shared->syms, buf, sizeof buf), "float[batch,128]") == 0);
    CHECK(strcmp(type_print(&t, NULL, buf, sizeof buf), "float[?,128]") == 0);
    CHECK(strcmp(type_print(&t, g->shared->syms, tiny, sizeof tiny), "float[b") == 0);
    struct type s = {.kind = TYPE_SEQUENCE, .elem = &t};
    struct type m = {.kind = TYPE_MAP, .dtype = DTYPE_I64, .elem = &s};
    CHECK(strcmp(type_print(&m, g->shared->syms, buf, sizeof buf),
                 "map(int64,sequence(float[batch,128]))") == 0);
    t.rank = -1;
    CHECK(strcmp(type_print(&t, NULL, buf, sizeof buf), "float[...]") == 0);
    s.elem = NULL;
    CHECK(strcmp(type_print(&s, NULL, buf, sizeof buf), "sequence(?)") == 0);
    struct node *n = graph_node_new(g, &op_soft_row, "n1", 1, 1, NULL, &e);
    CHECK(strcmp(node_describe(n, buf, sizeof buf), "node 'n1' (Soft, opset 13)") == 0);
    graph_free(g);
}

/* ---- inference ------------------------------------------------------------------------------- */

static void infer_symbols(void)
{
    struct err e = {0};
    struct graph *g = graph_new(NULL, NULL);
    int64_t n = sym_named(g->shared->syms, "n"), dims[] = {n, 4};
    struct graph_value *x = input(g, "x", DTYPE_F32, 2, dims);
    struct graph_value *s = node(g, &op_shape_row, "s", x, NULL);
    struct graph_value *r = node(g, &op_reshape_row, "r", x, s);
    struct graph_value *a = node(g, &op_add_row, "a", x, r);
    struct graph_value *z = node(g, &op_nonzero_row, "z", a, NULL);
    CHECK(graph_infer(g, &e) == 0);
    CHECK(s->fact.n_elems == 2 && s->fact.elems[0] == n && s->fact.elems[1] == 4);
    CHECK(r->fact.type.rank == 2 && r->fact.type.dims[0] == n && !r->producer->late);
    CHECK(a->fact.type.dims[0] == n && !a->producer->checked && !s->producer->checked);
    CHECK(r->producer->checked); /* an operator of two inputs that are not alike */
    CHECK(z->producer->late && sym_is_symbol(g->shared->syms, z->fact.type.dims[1]));
    int64_t fresh = z->fact.type.dims[1];
    uint32_t symbols = syms_count(g->shared->syms);
    for (int i = 0; i < 10; i++)
        CHECK(graph_infer(g, &e) == 0);
    CHECK(z->fact.type.dims[1] == fresh && syms_count(g->shared->syms) == symbols);
    graph_free(g);
}

static void infer_constants(void)
{
    struct err e = {0};
    struct graph *g = graph_new(NULL, NULL);
    struct graph_value *x = input(g, "x", DTYPE_F32, 2, two_three);
    const int64_t dims[] = {3, 2};
    struct graph_value *c = constant_i64(g, "c", 2, dims);
    struct graph_value *r = node(g, &op_reshape_row, "r", x, c);
    CHECK(graph_infer(g, &e) == 0);
    CHECK(r->fact.type.rank == 2 && r->fact.type.dims[0] == 3 && !r->producer->checked);
    CHECK(c->fact.n_elems == 2 && c->fact.elems[1] == 2);
    /* A number that looks like a handle is not taken for one. */
    ((int64_t *)c->constant->data)[0] = SYM_UNKNOWN | 5;
    CHECK(graph_infer(g, &e) == 0);
    CHECK(c->fact.elems[0] == SYM_UNKNOWN && r->producer->late);
    ((int64_t *)c->constant->data)[0] = -3;
    CHECK(graph_infer(g, &e) == ERR_MODEL);
    CHECK(strcmp(e.msg, "node 'r' (Reshape, opset 1) with inputs x float[2,3], c int64[2]: "
                        "dim 0 of output 0 would be -3") == 0);
    graph_free(g);
}

static void infer_errors(void)
{
    struct err e = {0};
    struct nested s = nested();
    struct graph_value *w = constant_i64(s.subsub, "w", 2, two_three);
    struct graph_value *bad = node(s.subsub, &op_add_row, "bad", s.z, w);
    CHECK(graph_infer(s.g, &e) == ERR_MODEL && bad);
    CHECK(strcmp(e.msg,
                 "node 'bad' (Add, opset 1) with inputs z float[2,3], w int64[2]: inputs 0 and 1 "
                 "must have one type, not float and int64") == 0);
    graph_free(s.g);
    struct small t = small();
    const int64_t four = 4;
    struct graph_value *x4 = input(t.g, "x4", DTYPE_F32, 1, &four);
    CHECK(node_set_in(t.y->producer, 1, x4, NULL) == 0);
    err_clear(&e);
    CHECK(graph_infer(t.g, &e) == ERR_MODEL);
    CHECK(strstr(e.msg, "input 1, float[4], does not broadcast with [2,3]"));
    node(t.g, &op_lazy_row, "lazy", NULL, NULL);
    CHECK(node_set_in(t.y->producer, 1, t.x, NULL) == 0);
    err_clear(&e);
    CHECK(graph_infer(t.g, &e) == ERR_INTERNAL && strstr(e.msg, "was not inferred"));
    /* A sequence where a tensor must be. */
    struct type seq = {.kind = TYPE_SEQUENCE, .rank = -1, .elem = &x4->fact.type};
    t.x->fact.type = seq;
    err_clear(&e);
    CHECK(graph_infer(t.g, &e) == ERR_MODEL && strstr(e.msg, "sequence(float[4]), not a tensor"));
    graph_free(t.g);
}

static void infer_run(void)
{
    struct err e = {0};
    struct graph *g = graph_new(NULL, NULL);
    struct graph_value *x = input(g, "x", DTYPE_F32, 2, two_three);
    struct graph_value *s = input(g, "s", DTYPE_I64, 1, two_three);
    struct graph_value *r = node(g, &op_reshape_row, "r", x, s);
    struct graph_value *z = node(g, &op_nonzero_row, "z", x, NULL);
    struct graph_value *a = node(g, &op_add_row, "a", x, s);
    int64_t two = 2, shape[] = {6, 1};
    struct value vx = {.kind = VALUE_TENSOR}, vs = {.kind = VALUE_TENSOR};
    vx.tensor = (struct tensor){.dtype = DTYPE_F32, .rank = 2, .dims = {2, 3}};
    vs.tensor = (struct tensor){.dtype = DTYPE_I64, .rank = 1, .dims = {two}, .data = shape};
    struct value *in[] = {&vx, &vs};
    struct fact out[1];
    struct arena scratch;
    bool late;
    arena_init(&scratch, NULL);
    CHECK(node_infer_run(r->producer, in, out, &scratch, &late, &e) == 0 && !late);
    CHECK(out[0].type.rank == 2 && out[0].type.dims[0] == 6 && out[0].type.dims[1] == 1);
    vs.tensor.data = NULL; /* not computed yet */
    CHECK(node_infer_run(r->producer, in, out, &scratch, &late, &e) == 0 && late);
    CHECK(out[0].type.rank == -1);
    CHECK(node_infer_run(z->producer, in, out, &scratch, &late, &e) == 0 && late);
    CHECK(out[0].type.dims[0] == 2 && out[0].type.dims[1] == SYM_UNKNOWN);
    CHECK(scratch.blocks == NULL);
    CHECK(node_infer_run(a->producer, in, out, &scratch, &late, &e) == ERR_INPUT);
    CHECK(strncmp(e.msg, "node 'a' (Add, opset 1) with inputs x float[2,3], s int64[2]: ", 62) ==
          0);
    vx.kind = VALUE_NONE;
    err_clear(&e);
    CHECK(node_infer_run(a->producer, in, out, &scratch, &late, &e) == ERR_INPUT);
    arena_clear(&scratch);
    graph_free(g);
}

/* Every allocation of a life fails once: an error each time, no leak, no crash. */
static int life(struct err *e)
{
    struct graph *g = graph_new(NULL, e);
    struct graph *sub = g ? graph_new_sub(g, e) : NULL;
    struct graph_value *x = sub ? graph_value_new(g, "x", e) : NULL;
    struct graph_value *y = x ? graph_value_new(sub, "y", e) : NULL;
    struct node *n = y ? graph_node_new(g, &op_if_row, "n", 1, 1, NULL, e) : NULL;
    struct node *m = n ? graph_node_new(sub, &op_soft_row, "m", 1, 1, NULL, e) : NULL;
    struct graph_value *c = m ? graph_capture(sub, x, e) : NULL;
    char *text = NULL;
    bool ok = false;
    if (c && graph_add_input(g, x, e) == 0 && node_set_in(m, 0, c, e) == 0 &&
        node_set_in(n, 0, x, e) == 0 && graph_add_output(sub, y, e) == 0 &&
        node_add_graph(n, sub, e) == 0) {
        x->fact.type = (struct type){.kind = TYPE_TENSOR, .dtype = DTYPE_F32};
        node_set_out(m, 0, y);
        ok = graph_sort(g, e) == 0 && graph_verify(g, e) == 0 && graph_infer(g, e) == 0 &&
             (text = graph_print(g, e)) && graph_replace(y, c, e) == 0 && graph_verify(g, e) == 0;
    }
    mem_free(text);
    graph_free(g);
    return ok ? 0 : e->code;
}

static void failing_memory(void)
{
    int r = -1;
    uint64_t n = 1;
    size_t before = atomic_load(&budget_process()->used);
    for (; r != 0 && n < 1000; n++) {
        struct err e = {0};
        mem_fail_after(n, false);
        r = life(&e);
        mem_fail_after(0, false);
        CHECK(r == 0 || r == ERR_MEMORY);
        CHECK(atomic_load(&budget_process()->used) == before);
    }
    CHECK(r == 0 && n > 3);
}

static const struct unit_test tests[] = {
    TEST(build),        TEST(many),           TEST(defaults),        TEST(captures),
    TEST(replace_node), TEST(replace_output), TEST(replace_capture), TEST(remove_owner),
    TEST(constants),    TEST(sort),           TEST(random_edits),    TEST(verify),
    TEST(print),        TEST(types),          TEST(infer_symbols),   TEST(infer_constants),
    TEST(infer_errors), TEST(infer_run),      TEST(failing_memory),
};
UNIT_MAIN(tests)
