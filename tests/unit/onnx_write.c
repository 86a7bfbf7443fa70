/* SPDX-License-Identifier: Apache-2.0 */
/* Models that go through a graph and a file come back the same: their graphs print alike. */
#include "onnx/write.h"

#include <stdio.h>
#include <unistd.h>

#include "graph/op.h"
#include "onnx/import.h"
#include "tests/unit/onnx_bytes.h"
#include "tests/unit/unit.h"

static const int64_t two_three[] = {2, 3};

/* ---- there and back -------------------------------------------------------------------------- */

struct read {
    struct onnx_model *model;
    struct graph *graph;
};

static void read_clear(struct read *r)
{
    graph_free(r->graph);
    onnx_close(r->model);
    *r = (struct read){0};
}

/* Takes the model over; imports it. */
static int read_model(struct onnx_model *model, struct read *r, struct err *e)
{
    struct import_report report = {0};
    *r = (struct read){model, NULL};
    int rc = model ? onnx_import(model, &r->graph, &report, e) : e->code;
    import_report_clear(&report);
    return rc;
}

/* Paths of the written file and of its weights. */
static void paths_init(char path[64], char data[64])
{
    snprintf(path, 64, "/tmp/infer-unit-write-%d.onnx", (int)getpid());
    snprintf(data, 64, "%.50s.data", path);
}

static void paths_remove(void)
{
    char path[64], data[64];
    paths_init(path, data);
    unlink(path);
    unlink(data);
}

/* Names are made up for values that have none, so that nodes are compared by what they are. */
static bool same_nodes(const struct graph *a, const struct graph *b)
{
    const struct node *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next) {
        if (x->op != y->op || x->opset != y->opset || x->n_in != y->n_in ||
            x->n_graphs != y->n_graphs)
            return false;
        for (int i = 0; i < x->n_in; i++) {
            const struct tensor *c = x->in[i] ? x->in[i]->constant : NULL;
            const struct tensor *d = y->in[i] ? y->in[i]->constant : NULL;
            if (!x->in[i] != !y->in[i] || !c != !d)
                return false;
            if (c && (c->dtype != d->dtype || c->rank != d->rank ||
                      tensor_count(c) != tensor_count(d) ||
                      (c->dtype != DTYPE_STRING && memcmp(c->data, d->data, tensor_bytes(c)))))
                return false;
        }
        for (int i = 0; i < x->n_graphs; i++)
            if (!same_nodes(x->graphs[i], y->graphs[i]))
                return false;
    }
    return !x && !y;
}

static bool same_ports(const struct read *a, const struct read *b)
{
    char one[256], two[256];
    if (a->graph->n_inputs != b->graph->n_inputs || a->graph->n_outputs != b->graph->n_outputs)
        return false;
    for (int i = 0; i < a->graph->n_inputs; i++) {
        const struct graph_value *v = a->graph->inputs[i], *w = b->graph->inputs[i];
        type_print(&v->fact.type, a->graph->shared->syms, one, sizeof one);
        type_print(&w->fact.type, b->graph->shared->syms, two, sizeof two);
        if (strcmp(one, two) || strcmp(v->name, w->name)) {
            printf("%s %s, then %s %s\n", v->name, one, w->name, two);
            return false;
        }
    }
    return !strcmp(a->graph->outputs[0]->name, b->graph->outputs[0]->name);
}

/* Takes the bytes. */
static bool returns(struct bytes m, bool external)
{
    char path[64], data[64];
    struct err e = {0};
    struct read a, b = {0};
    paths_init(path, data);
    int rc = read_model(onnx_open_memory(NULL, m.data, m.n, NULL, &e), &a, &e);
    rc = rc ? rc : onnx_write(a.graph, a.model, path, external, &e);
    rc = rc ? rc : read_model(onnx_open(NULL, path, NULL, &e), &b, &e);
    bool ok = !rc && same_nodes(a.graph, b.graph) && same_ports(&a, &b) &&
              (access(data, F_OK) == 0) == external;
    if (!ok)
        printf("%d %s\n", rc, e.msg);
    read_clear(&a);
    read_clear(&b);
    paths_remove();
    free(m.data);
    return ok;
}

/* ---- models ---------------------------------------------------------------------------------- */

static struct bytes graph_of(struct bytes nodes)
{
    bytes_sub(&nodes, 11, info_bytes("x", 1, 2, two_three));
    bytes_sub(&nodes, 12, info_bytes("y", 1, 0, NULL));
    return nodes;
}

static struct bytes attr_of(const char *name, int kind)
{
    struct bytes a = {0};
    bytes_text(&a, 1, name);
    bytes_int(&a, 20, kind);
    return a;
}

static struct bytes attr_ints(const char *name, int n, const int64_t *v)
{
    struct bytes a = attr_of(name, 7);
    for (int i = 0; i < n; i++)
        bytes_int(&a, 8, v[i]);
    return a;
}

static struct bytes attr_text(const char *name, const char *v)
{
    struct bytes a = attr_of(name, 3);
    bytes_text(&a, 4, v);
    return a;
}

static struct bytes node_with(const char *type, const char *const *in, struct bytes first,
                              struct bytes second)
{
    struct bytes n = node_bytes(type, NULL, in, NAMES("y"));
    bytes_sub(&n, 5, first);
    if (second.n)
        bytes_sub(&n, 5, second);
    return n;
}

static struct bytes one(struct bytes node, int opset)
{
    struct bytes g = {0};
    bytes_sub(&g, 1, node);
    return model_bytes(graph_of(g), opset);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* Attributes of old versions are inputs in the graph, and attributes again in the file. */
static void old_attributes(void)
{
    const struct bytes none = {0};
    struct bytes f = attr_of("max", 1), scales = attr_of("scales", 6);
    bytes_float(&f, 2, 6);
    CHECK(returns(one(node_with("Clip", NAMES("x"), f, none), 6), false));
    CHECK(returns(one(node_with("Unsqueeze", NAMES("x"),
                                attr_ints("axes", 2, (int64_t[]){0, 3}), none), 11), false));
    CHECK(returns(one(node_with("Pad", NAMES("x"), attr_ints("pads", 4, (int64_t[]){0, 1, 0, 1}),
                                attr_text("mode", "edge")), 2), false));
    bytes_float(&scales, 7, 2);
    bytes_float(&scales, 7, 1);
    CHECK(returns(one(node_with("Upsample", NAMES("x"), scales, none), 7), false));
}

static struct bytes attr_graph(const char *name, const char *type)
{
    struct bytes a = attr_of(name, 5), g = {0};
    bytes_sub(&g, 1, node_bytes(type, NULL, NAMES("x"), NAMES("out")));
    bytes_sub(&g, 12, info_bytes("out", 1, 2, two_three));
    bytes_sub(&a, 6, g);
    return a;
}

static void attributes(void)
{
    const struct bytes none = {0};
    struct bytes n, words = attr_of("stopwords", 8), value = attr_of("value", 4), g = {0};
    n = node_with("If", NAMES("c"), attr_graph("then_branch", "Relu"),
                  attr_graph("else_branch", "Neg"));
    bytes_sub(&g, 1, n);
    bytes_sub(&g, 5, tensor_bytes_of("c", 9, 0, NULL, "\1", 1));
    CHECK(returns(model_bytes(graph_of(g), 17), false));
    bytes_sub(&value, 5, tensor_bytes_of(NULL, 1, 1, (int64_t[]){1}, (float[]){7}, 4));
    g = (struct bytes){0};
    bytes_sub(&g, 1, node_bytes("Shape", NULL, NAMES("x"), NAMES("s")));
    bytes_sub(&g, 1, node_with("ConstantOfShape", NAMES("s"), value, none));
    CHECK(returns(model_bytes(graph_of(g), 17), false));
    bytes_text(&words, 9, "the");
    bytes_text(&words, 9, "a");
    g = (struct bytes){0};
    bytes_sub(&g, 1, node_with("StringNormalizer", NAMES("x"), words,
                               attr_text("case_change_action", "LOWER")));
    bytes_sub(&g, 11, info_bytes("x", 8, 1, (int64_t[]){-1}));
    bytes_sub(&g, 12, info_bytes("y", 8, 0, NULL));
    CHECK(returns(model_bytes(g, 17), false));
}

/* TypeProto of a container: field 4 a sequence, 9 an optional, 5 a map of int64 to `elem`. */
static struct bytes type_of(int field, struct bytes elem)
{
    struct bytes inner = {0}, t = {0};
    if (field == 5)
        bytes_int(&inner, 1, 7);
    bytes_sub(&inner, field == 5 ? 2 : 1, elem);
    bytes_sub(&t, field, inner);
    return t;
}

static struct bytes tensor_type(void)
{
    struct bytes tensor = {0}, t = {0};
    bytes_int(&tensor, 1, 1);
    bytes_sub(&t, 1, tensor);
    return t;
}

static struct bytes port(const char *name, struct bytes type)
{
    struct bytes info = {0};
    bytes_text(&info, 1, name);
    bytes_sub(&info, 2, type);
    return info;
}

static void types(void)
{
    struct bytes g = {0}, a = attr_of("type", 13);
    bytes_sub(&g, 1, node_bytes("Identity", NULL, NAMES("x"), NAMES("y")));
    bytes_sub(&g, 11, port("x", type_of(9, type_of(4, tensor_type()))));
    bytes_sub(&g, 12, port("y", type_of(9, type_of(4, tensor_type()))));
    CHECK(returns(model_bytes(g, 17), false));
    g = (struct bytes){0};
    bytes_sub(&g, 1, node_bytes("Identity", NULL, NAMES("x"), NAMES("y")));
    bytes_sub(&g, 11, port("x", type_of(4, type_of(5, tensor_type()))));
    bytes_sub(&g, 12, port("y", type_of(4, type_of(5, tensor_type()))));
    CHECK(returns(model_bytes(g, 17), false));
    g = (struct bytes){0};
    bytes_sub(&a, 14, type_of(4, tensor_type()));
    bytes_sub(&g, 1, node_with("Optional", NO_NAMES, a, (struct bytes){0}));
    bytes_sub(&g, 11, info_bytes("x", 1, 2, (int64_t[]){-1, 3}));
    bytes_sub(&g, 12, port("y", type_of(9, type_of(4, tensor_type()))));
    CHECK(returns(model_bytes(g, 17), false));
}

/* A function imports another version than the model; its node comes back as a call of our own. */
static struct bytes calling(void)
{
    struct bytes f = {0}, n = node_bytes("Softmax", NULL, NAMES("a"), NAMES("c"));
    struct bytes m = one(node_bytes("F", "my", NAMES("x"), NAMES("y")), 17);
    bytes_sub(&n, 5, attr_int_bytes("axis", 1));
    bytes_text(&f, 1, "F");
    bytes_text(&f, 4, "a");
    bytes_text(&f, 5, "c");
    bytes_sub(&f, 7, n);
    bytes_sub(&f, 9, opset_bytes("", 11));
    bytes_text(&f, 10, "my");
    bytes_sub(&m, 8, opset_bytes("my", 1));
    bytes_sub(&m, 25, f);
    return m;
}

static void versions(void)
{
    CHECK(returns(calling(), false));
}

static void external(void)
{
    struct bytes g = {0};
    float weights[600];
    for (int i = 0; i < 600; i++)
        weights[i] = (float)i;
    for (int i = 0; i < 2; i++) {
        g = (struct bytes){0};
        bytes_sub(&g, 1, node_bytes("MatMul", NULL, NAMES("x", "w"), NAMES("t")));
        bytes_sub(&g, 1, node_bytes("Mul", NULL, NAMES("t", "v"), NAMES("y")));
        bytes_sub(&g, 5, tensor_bytes_of("w", 1, 2, (int64_t[]){3, 200}, weights, sizeof weights));
        bytes_sub(&g, 5, tensor_bytes_of("v", 1, 2, (int64_t[]){1, 200}, weights, 800));
        CHECK(returns(model_bytes(graph_of(g), 17), i));
    }
}

/* Every allocation fails once: no file is left behind, nor memory. */
static void no_memory(void)
{
    struct bytes m = calling();
    char path[64], data[64];
    struct budget b;
    struct err e = {0};
    struct read a;
    paths_init(path, data);
    budget_init(&b, SIZE_MAX, NULL);
    if (!CHECK(read_model(onnx_open_memory(&b, m.data, m.n, NULL, &e), &a, &e) == 0))
        return;
    size_t used = atomic_load(&b.used);
    for (uint64_t n = 1; n < 10000; n++) {
        e = (struct err){0};
        mem_fail_after(n, n & 1);
        int rc = onnx_write(a.graph, a.model, path, true, &e);
        uint64_t made = mem_fail_count();
        mem_fail_after(0, false);
        CHECK(atomic_load(&b.used) == used);
        CHECK(rc == (made < n ? 0 : ERR_MEMORY) && (access(path, F_OK) == 0) == (rc == 0));
        paths_remove();
        if (made < n)
            break;
    }
    read_clear(&a);
    free(m.data);
}

static void refuses(void)
{
    struct bytes m = calling();
    struct err e = {0};
    struct read a;
    if (CHECK(read_model(onnx_open_memory(NULL, m.data, m.n, NULL, &e), &a, &e) == 0))
        CHECK(onnx_write(a.graph, a.model, "/nowhere/model.onnx", false, &e) == ERR_FILE);
    read_clear(&a);
    free(m.data);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(old_attributes), TEST(attributes), TEST(types), TEST(versions),
        TEST(external), TEST(no_memory), TEST(refuses),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
