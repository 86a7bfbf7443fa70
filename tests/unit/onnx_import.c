/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/import.h"

#include <dirent.h>
#include <stdio.h>

#include "core/threads.h"
#include "graph/op.h"
#include "tests/unit/onnx_bytes.h"
#include "tests/unit/unit.h"

static const int64_t two_three[] = {2, 3};

/* ---- small models -------------------------------------------------------------------------- */

/* x -> y, both float[2,3]. */
static struct bytes graph_of(struct bytes nodes)
{
    struct bytes g = nodes;
    bytes_sub(&g, 11, info_bytes("x", 1, 2, two_three));
    bytes_sub(&g, 12, info_bytes("y", 1, 2, two_three));
    return g;
}

static int import(struct bytes m, struct graph **g, struct import_report *r, struct err *e)
{
    *e = (struct err){0};
    *g = NULL;
    *r = (struct import_report){0};
    struct onnx_model *model = onnx_open_memory(NULL, m.data, m.n, NULL, e);
    int rc = model ? onnx_import(model, g, r, e) : e->code;
    onnx_close(model);
    return rc;
}

/* The import's result, and a part of its message; the graph must be whole where there is one. */
static bool gives(struct bytes m, int code, const char *text)
{
    struct graph *g;
    struct import_report r;
    struct err e, verify = {0};
    int rc = import(m, &g, &r, &e);
    if (!rc && graph_verify(g, &verify))
        printf("verify: %s\n", verify.msg);
    bool ok = rc == code && strstr(e.msg, text) && !verify.code;
    if (!ok)
        printf("%d %s\n", rc, e.msg);
    ok &= rc == 0 || r.n ? g != NULL : g == NULL;
    import_report_clear(&r);
    graph_free(g);
    free(m.data);
    return ok;
}

static struct bytes one(struct bytes node)
{
    struct bytes g = {0};
    bytes_sub(&g, 1, node);
    return model_bytes(graph_of(g), 17);
}

static void names(void)
{
    struct bytes g = {0};
    CHECK(gives(one(node_bytes("Relu", NULL, NAMES("x"), NAMES("y"))), 0, ""));
    CHECK(gives(one(node_bytes("Relu", "ai.onnx", NAMES("x"), NAMES("y"))), 0, ""));
    CHECK(gives(one(node_bytes("Relu", NULL, NAMES("z"), NAMES("y"))), ERR_MODEL, "'z' is not"));
    CHECK(gives(one(node_bytes("Relu", NULL, NAMES("x"), NAMES("z"))), ERR_MODEL, "'y' is not"));
    CHECK(gives(one(node_bytes("Relu", NULL, NAMES("x"), NAMES("x"))), ERR_MODEL, "two values"));
    CHECK(gives(one(node_bytes("Relu", NULL, NAMES("y"), NAMES("y"))), ERR_MODEL, "cycle"));
    CHECK(gives(one(node_bytes("Relu", NULL, NAMES("x", "x"), NAMES("y"))), ERR_MODEL, "2 inputs"));
    CHECK(
        gives(one(node_bytes("Relu", NULL, NAMES("x"), NAMES("y", "z"))), ERR_MODEL, "2 outputs"));
    CHECK(gives(one(node_bytes("Add", NULL, NAMES("x", ""), NAMES("y"))), ERR_MODEL, "1 inputs"));
    CHECK(gives(one(node_bytes("Add", NULL, NAMES("", "x"), NAMES("y"))), ERR_MODEL, "input 0"));
    /* Out of order, which is fine. */
    bytes_sub(&g, 1, node_bytes("Relu", NULL, NAMES("t"), NAMES("y")));
    bytes_sub(&g, 1, node_bytes("Neg", NULL, NAMES("x"), NAMES("t")));
    CHECK(gives(model_bytes(graph_of(g), 17), 0, ""));
    g = (struct bytes){0};
    bytes_sub(&g, 1, node_bytes("Relu", NULL, NAMES("t"), NAMES("y")));
    bytes_sub(&g, 1, node_bytes("Neg", NULL, NAMES("y"), NAMES("t")));
    CHECK(gives(model_bytes(graph_of(g), 17), ERR_MODEL, "cycle"));
}

static void versions(void)
{
    CHECK(gives(one(node_bytes("Frob", "my.own", NAMES("x"), NAMES("y"))), ERR_UNSUPPORTED,
                "1 operator is not supported: my.own.Frob (1 node)"));
    /* All of ONNX's own are known. */
    CHECK(gives(one(node_bytes("Frob", NULL, NAMES("x"), NAMES("y"))), ERR_MODEL,
                "1 operator is not in ONNX: Frob (1 node)"));
    CHECK(gives(one(node_bytes("Gelu", NULL, NAMES("x"), NAMES("y"))), ERR_UNSUPPORTED, "Gelu"));
    struct bytes g = {0};
    bytes_sub(&g, 1, node_bytes("Relu", NULL, NAMES("x"), NAMES("y")));
    CHECK(gives(model_bytes(graph_of(g), 0), ERR_MODEL, "opset 0"));
    g = (struct bytes){0};
    bytes_sub(&g, 1, node_bytes("Relu", NULL, NAMES("x"), NAMES("y")));
    CHECK(gives(model_bytes(graph_of(g), 9999), ERR_UNSUPPORTED, "9999"));
    CHECK(gives((struct bytes){0}, ERR_MODEL, "empty"));
    g = (struct bytes){0};
    bytes_int(&g, 1, 99);
    bytes_sub(&g, 7, (struct bytes){0});
    CHECK(gives(g, ERR_UNSUPPORTED, "IR version 99")); /* before a graph is made */
}

static void report(void)
{
    struct bytes g = {0};
    bytes_sub(&g, 1, node_bytes("Frob", "com.microsoft", NAMES("x"), NAMES("a")));
    bytes_sub(&g, 1, node_bytes("Frob", "com.microsoft", NAMES("x"), NAMES("b")));
    bytes_sub(&g, 1, node_bytes("Bar", NULL, NAMES("a"), NAMES("c")));
    bytes_sub(&g, 1, node_bytes("Relu", NULL, NAMES("c"), NAMES("y")));
    struct bytes m = model_bytes(graph_of(g), 17);
    struct graph *main;
    struct import_report r;
    struct err e;
    CHECK(import(m, &main, &r, &e) == ERR_UNSUPPORTED);
    CHECK(!strcmp(e.msg,
                  "2 operators are not supported: com.microsoft.Frob (2 nodes), Bar (1 node)"));
    CHECK(r.n == 2 && r.items[0].count == 2 && r.items[1].version == 17);
    if (CHECK(main != NULL))
        CHECK(main->n_inputs == 1 && main->n_outputs == 1 && main->inputs[0]->fact.type.rank == 2);
    char *text = import_report_text(&r, NULL, &e);
    CHECK(text && strstr(text, "operator com.microsoft.Frob (opset 1) is not supported: 2 uses"));
    mem_free(text);
    import_report_clear(&r);
    graph_free(main);
    free(m.data);
}

static void attributes(void)
{
    struct bytes n = node_bytes("Concat", NULL, NAMES("x", "x"), NAMES("y")), a;
    CHECK(gives(one(n), ERR_MODEL, "'axis' is missing"));
    n = node_bytes("Concat", NULL, NAMES("x", "x"), NAMES("y"));
    bytes_sub(&n, 5, attr_int_bytes("axis", 0));
    CHECK(gives(one(n), 0, ""));
    n = node_bytes("Concat", NULL, NAMES("x", "x"), NAMES("y"));
    bytes_sub(&n, 5, attr_int_bytes("axis", 0));
    bytes_sub(&n, 5, attr_int_bytes("axis", 0));
    CHECK(gives(one(n), ERR_MODEL, "twice"));
    n = node_bytes("Concat", NULL, NAMES("x", "x"), NAMES("y"));
    bytes_sub(&n, 5, attr_int_bytes("axle", 0));
    CHECK(gives(one(n), ERR_MODEL, "no attribute 'axle'"));
    n = node_bytes("Concat", NULL, NAMES("x", "x"), NAMES("y"));
    a = (struct bytes){0};
    bytes_text(&a, 1, "axis");
    bytes_float(&a, 2, 1);
    bytes_int(&a, 20, 1);
    bytes_sub(&n, 5, a);
    CHECK(gives(one(n), ERR_MODEL, "must be an integer"));
    n = node_bytes("Concat", NULL, NAMES("x", "x"), NAMES("y"));
    a = attr_int_bytes("axis", 0);
    bytes_text(&a, 21, "other");
    bytes_sub(&n, 5, a);
    CHECK(gives(one(n), ERR_MODEL, "is in no function"));
}

/* Clip's bounds were attributes once: they become constants, of the type of x. */
static void attribute_inputs(void)
{
    struct bytes n = node_bytes("Clip", NULL, NAMES("x"), NAMES("y")), a = {0}, g = {0};
    bytes_text(&a, 1, "max");
    bytes_float(&a, 2, 6);
    bytes_int(&a, 20, 1);
    bytes_sub(&n, 5, a);
    bytes_sub(&g, 1, n);
    bytes_sub(&g, 11, info_bytes("x", 10, 2, two_three));
    bytes_sub(&g, 12, info_bytes("y", 10, 2, two_three));
    struct bytes m = model_bytes(g, 6);
    struct graph *main;
    struct import_report r;
    struct err e;
    if (CHECK(import(m, &main, &r, &e) == 0)) {
        const struct node *clip = main->last;
        CHECK(clip->n_in == 3 && !clip->in[1] && clip->in[2] && clip->in[2]->constant);
        const struct tensor *t = clip->in[2] ? clip->in[2]->constant : NULL;
        CHECK(t && t->dtype == DTYPE_F16 && t->rank == 0 && *(uint16_t *)t->data == 0x4600);
    }
    import_report_clear(&r);
    graph_free(main);
    free(m.data);
}

static void types(void)
{
    struct bytes g = {0}, info = {0};
    bytes_sub(&g, 1, node_bytes("Relu", NULL, NAMES("x"), NAMES("y")));
    bytes_sub(&g, 11, info_bytes("x", 1, 3, (int64_t[]){-1, 7, -1}));
    bytes_sub(&g, 12, info_bytes("y", 0, 0, NULL));
    struct bytes m = model_bytes(g, 17);
    struct graph *main;
    struct import_report r;
    struct err e;
    if (CHECK(import(m, &main, &r, &e) == 0)) {
        const struct type *t = &main->inputs[0]->fact.type;
        CHECK(t->rank == 3 && t->dims[1] == 7 && sym_is_expr(t->dims[0]) &&
              t->dims[0] == t->dims[2]);
        CHECK(!strcmp(sym_name(main->shared->syms, t->dims[0]), "n"));
        CHECK(main->outputs[0]->hint);
    }
    import_report_clear(&r);
    graph_free(main);
    free(m.data);
    static const int bad[] = {0, 9999, -1};
    for (int i = 0; i < 3; i++) {
        g = (struct bytes){0};
        bytes_sub(&g, 11, info_bytes("x", bad[i], 2, two_three));
        CHECK(gives(model_bytes(g, 17), ERR_MODEL, "input 'x'"));
    }
    g = (struct bytes){0};
    bytes_text(&info, 1, "x");
    bytes_sub(&g, 11, info);
    CHECK(gives(model_bytes(g, 17), ERR_MODEL, "no type"));
}

/* ---- functions ----------------------------------------------------------------------------- */

static struct bytes function_bytes(const char *name, const char *const *in, const char *const *out)
{
    struct bytes f = {0};
    bytes_text(&f, 1, name);
    for (; *in; in++)
        bytes_text(&f, 4, *in);
    for (; *out; out++)
        bytes_text(&f, 5, *out);
    bytes_text(&f, 10, "my");
    bytes_sub(&f, 9, opset_bytes("", 17));
    bytes_sub(&f, 9, opset_bytes("my", 1));
    return f;
}

static struct bytes with_functions(struct bytes node, struct bytes f, struct bytes g)
{
    struct bytes m = one(node);
    bytes_sub(&m, 8, opset_bytes("my", 1));
    bytes_sub(&m, 25, f);
    if (g.n)
        bytes_sub(&m, 25, g);
    return m;
}

static void functions(void)
{
    struct bytes none = {0}, f = function_bytes("F", NAMES("a", "b"), NAMES("c")), n, a;
    bytes_sub(&f, 7, node_bytes("Add", NULL, NAMES("a", "b"), NAMES("t")));
    bytes_sub(&f, 7, node_bytes("Neg", NULL, NAMES("t"), NAMES("c")));
    CHECK(
        gives(with_functions(node_bytes("F", "my", NAMES("x", "x"), NAMES("y")), f, none), 0, ""));
    /* An output that is an input. */
    f = function_bytes("F", NAMES("a"), NAMES("a"));
    CHECK(gives(with_functions(node_bytes("F", "my", NAMES("x"), NAMES("y")), f, none), 0, ""));
    f = function_bytes("F", NAMES("a"), NAMES("c"));
    CHECK(gives(with_functions(node_bytes("F", "my", NAMES("x"), NAMES("y")), f, none), ERR_MODEL,
                "no node of the function makes"));
    f = function_bytes("F", NAMES("a"), NAMES("c"));
    bytes_sub(&f, 7, node_bytes("Neg", NULL, NAMES("x"), NAMES("c"))); /* the caller's name */
    CHECK(gives(with_functions(node_bytes("F", "my", NAMES("x"), NAMES("y")), f, none), ERR_MODEL,
                "'x' is not"));
    f = function_bytes("F", NAMES("a"), NAMES("c"));
    CHECK(gives(with_functions(node_bytes("F", "my", NAMES("x", "x"), NAMES("y")), f, none),
                ERR_MODEL, "1 inputs"));
    /* A reference to the call's attribute. */
    f = function_bytes("F", NAMES("a"), NAMES("c"));
    n = node_bytes("Concat", NULL, NAMES("a", "a"), NAMES("c"));
    a = (struct bytes){0};
    bytes_text(&a, 1, "axis");
    bytes_int(&a, 20, 2);
    bytes_text(&a, 21, "k");
    bytes_sub(&n, 5, a);
    bytes_sub(&f, 7, n);
    struct bytes copy = {0};
    bytes_raw(&copy, f.data, f.n);
    n = node_bytes("F", "my", NAMES("x"), NAMES("y"));
    bytes_sub(&n, 5, attr_int_bytes("k", 1));
    CHECK(gives(with_functions(n, f, none), 0, ""));
    CHECK(gives(with_functions(node_bytes("F", "my", NAMES("x"), NAMES("y")), copy, none),
                ERR_MODEL, "'axis' is missing"));
}

static void recursion(void)
{
    struct bytes f = function_bytes("F", NAMES("a"), NAMES("c"));
    struct bytes g = function_bytes("G", NAMES("a"), NAMES("c"));
    bytes_sub(&f, 7, node_bytes("G", "my", NAMES("a"), NAMES("c")));
    bytes_sub(&g, 7, node_bytes("F", "my", NAMES("a"), NAMES("c")));
    CHECK(gives(with_functions(node_bytes("F", "my", NAMES("x"), NAMES("y")), f, g), ERR_MODEL,
                "calls itself"));
    /* Two calls each, forty deep. */
    struct bytes m = one(node_bytes("F0", "my", NAMES("x"), NAMES("y")));
    bytes_sub(&m, 8, opset_bytes("my", 1));
    for (int i = 0; i < 40; i++) {
        char name[8], next[8];
        snprintf(name, sizeof name, "F%d", i);
        snprintf(next, sizeof next, "F%d", i + 1);
        f = function_bytes(name, NAMES("a"), NAMES("c"));
        bytes_sub(&f, 7,
                  node_bytes(i < 39 ? next : "Neg", i < 39 ? "my" : NULL, NAMES("a"), NAMES("t")));
        bytes_sub(&f, 7,
                  node_bytes(i < 39 ? next : "Neg", i < 39 ? "my" : NULL, NAMES("t"), NAMES("c")));
        bytes_sub(&m, 25, f);
    }
    CHECK(gives(m, ERR_LIMIT, "expands to more than"));
}

/* ---- subgraphs ----------------------------------------------------------------------------- */

static struct bytes attr_graph(const char *name, struct bytes g)
{
    struct bytes a = {0};
    bytes_text(&a, 1, name);
    bytes_sub(&a, 6, g);
    bytes_int(&a, 20, 5);
    return a;
}

static struct bytes branch(const char *type, const char *from)
{
    struct bytes g = {0};
    bytes_sub(&g, 1, node_bytes(type, NULL, NAMES(from), NAMES("out")));
    bytes_sub(&g, 12, info_bytes("out", 1, 2, two_three));
    return g;
}

static struct bytes if_model(const char *from)
{
    struct bytes n = node_bytes("If", NULL, NAMES("c"), NAMES("y")), g = {0};
    bytes_sub(&n, 5, attr_graph("then_branch", branch("Relu", from)));
    bytes_sub(&n, 5, attr_graph("else_branch", branch("Neg", "x")));
    bytes_sub(&g, 1, n);
    bytes_sub(&g, 1, node_bytes("Abs", NULL, NAMES("x"), NAMES("t"))); /* after its use */
    bytes_sub(&g, 5, tensor_bytes_of("c", 9, 0, NULL, "\1", 1));
    return model_bytes(graph_of(g), 17);
}

static void subgraphs(void)
{
    if (!op_find("", "If", 17, NULL)) {
        unit_skip("there is no If");
        return;
    }
    CHECK(gives(if_model("x"), 0, ""));
    CHECK(gives(if_model("t"), 0, ""));
    CHECK(gives(if_model("y"), ERR_MODEL, "cycle"));
    CHECK(gives(if_model("q"), ERR_MODEL, "'q' is not"));
    struct bytes m = if_model("t");
    struct graph *g;
    struct import_report r;
    struct err e;
    if (CHECK(import(m, &g, &r, &e) == 0)) {
        const struct node *n = g->last;
        CHECK(n->n_graphs == 2 && n->graphs[0]->first->in[0]->outer == n->prev->out[0]);
    }
    import_report_clear(&r);
    graph_free(g);
    free(m.data);
}

/* ---- damage -------------------------------------------------------------------------------- */

static struct bytes sample(void)
{
    struct bytes f = function_bytes("F", NAMES("a"), NAMES("c")), g = {0}, n;
    bytes_sub(&f, 7, node_bytes("Neg", NULL, NAMES("a"), NAMES("c")));
    n = node_bytes("Concat", NULL, NAMES("t", "w"), NAMES("y"));
    bytes_sub(&n, 5, attr_int_bytes("axis", 0));
    bytes_sub(&g, 1, node_bytes("F", "my", NAMES("x"), NAMES("t")));
    bytes_sub(&g, 1, n);
    bytes_sub(&g, 5, tensor_bytes_of("w", 1, 2, two_three, (float[6]){0}, 24));
    struct bytes m = model_bytes(graph_of(g), 17);
    bytes_sub(&m, 8, opset_bytes("my", 1));
    bytes_sub(&m, 25, f);
    return m;
}

static void try(struct bytes m)
{
    struct graph *g;
    struct import_report r;
    struct err e;
    int rc = import(m, &g, &r, &e);
    CHECK((rc == 0) == (e.msg[0] == 0) && rc != ERR_INTERNAL);
    struct err verify = {0};
    if (!rc && !CHECK(graph_verify(g, &verify) == 0))
        printf("%s\n", verify.msg);
    import_report_clear(&r);
    graph_free(g);
}

static void mutations(void)
{
    struct bytes m = sample();
    for (size_t i = 0; i < m.n; i++) {
        struct bytes part = {m.data, i, i};
        try(part);
        for (int bit = 0; bit < 8; bit++) {
            m.data[i] ^= (uint8_t)(1 << bit);
            try(m);
            m.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    free(m.data);
}

/* Every allocation fails once; nothing is left behind. */
static void no_memory(void)
{
    struct bytes m = sample();
    for (uint64_t n = 1; n < 100000; n++) {
        struct budget b;
        struct err e = {0};
        struct graph *g = NULL;
        struct import_report r = {0};
        budget_init(&b, SIZE_MAX, NULL);
        mem_fail_after(n, n & 1);
        struct onnx_model *model = onnx_open_memory(&b, m.data, m.n, NULL, &e);
        int rc = model ? onnx_import(model, &g, &r, &e) : e.code;
        uint64_t made = mem_fail_count();
        mem_fail_after(0, false);
        import_report_clear(&r);
        graph_free(g);
        onnx_close(model);
        CHECK(atomic_load(&b.used) == 0);
        if (!CHECK(rc == 0 || rc == ERR_MEMORY))
            printf("allocation %d: %d %s\n", (int)n, rc, e.msg);
        if (made < n)
            break;
    }
    free(m.data);
}

/* Whoever opens and imports may be stopped. */
static void stopped(void)
{
    struct bytes m = sample();
    atomic_bool cancel = true;
    struct stop stop = {.cancel = &cancel};
    struct onnx_options o = {.stop = &stop};
    struct err e = {0};
    struct graph *g = NULL;
    struct import_report r = {0};
    CHECK(!onnx_open_memory(NULL, m.data, m.n, &o, &e) && e.code == ERR_CANCELLED);
    atomic_store(&cancel, false);
    err_clear(&e);
    struct onnx_model *model = onnx_open_memory(NULL, m.data, m.n, &o, &e);
    atomic_store(&cancel, true);
    CHECK(model && onnx_import(model, &g, &r, &e) == ERR_CANCELLED && !g);
    atomic_store(&cancel, false);
    import_report_clear(&r);
    CHECK(model && onnx_import(model, &g, &r, &e) == 0 && g);
    import_report_clear(&r);
    graph_free(g);
    onnx_close(model);
    free(m.data);
}

/* ---- real files ---------------------------------------------------------------------------- */

static int load(const char *path, double *ms, size_t *bytes)
{
    struct budget b;
    struct err e = {0}, verify = {0};
    struct graph *g = NULL;
    struct import_report r = {0};
    budget_init(&b, SIZE_MAX, NULL);
    int64_t begin = clock_ns();
    struct onnx_model *model = onnx_open(&b, path, NULL, &e);
    int rc = model ? onnx_import(model, &g, &r, &e) : e.code;
    *ms = (double)(clock_ns() - begin) / 1e6;
    *bytes = atomic_load(&b.peak);
    if (!rc && !CHECK(graph_verify(g, &verify) == 0))
        printf("%s: %s\n", path, verify.msg);
    import_report_clear(&r);
    graph_free(g);
    onnx_close(model);
    CHECK(atomic_load(&b.used) == 0);
    return rc;
}

/* Loads folder / * / model.onnx; counts the results by code. */
static void load_all(const char *folder, int counts[16])
{
    char path[4096];
    double most = 0;
    size_t most_bytes = 0;
    DIR *d = opendir(folder);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        if (entry->d_name[0] == '.')
            continue;
        double ms;
        size_t bytes;
        snprintf(path, sizeof path, "%s/%s/model.onnx", folder, entry->d_name);
        int rc = load(path, &ms, &bytes);
        CHECK(rc <= 0 && rc > -16 && rc != ERR_INTERNAL);
        counts[-rc & 15]++;
        most = ms > most ? ms : most;
        most_bytes = bytes > most_bytes ? bytes : most_bytes;
    }
    if (d)
        closedir(d);
    else
        unit_skip("there is no test data " TESTDATA);
    printf("%s: %d load, %d not supported, %d wrong; at most %.1f ms, %zu KiB\n", folder, counts[0],
           counts[-ERR_UNSUPPORTED], counts[-ERR_MODEL] + counts[-ERR_FILE] + counts[-ERR_LIMIT],
           most, most_bytes >> 10);
}

static void real_models(void)
{
    int counts[16] = {0};
    load_all(TESTDATA "/models/real", counts);
    CHECK(counts[-ERR_MODEL] + counts[-ERR_FILE] + counts[-ERR_LIMIT] == 0);
}

static void broken_models(void)
{
    int counts[16] = {0};
    load_all(TESTDATA "/models/broken", counts);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(names),         TEST(versions),         TEST(report),
        TEST(attributes),    TEST(attribute_inputs), TEST(types),
        TEST(functions),     TEST(recursion),        TEST(subgraphs),
        TEST(mutations),     TEST(no_memory), TEST(stopped),        TEST(real_models),
        TEST(broken_models),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
