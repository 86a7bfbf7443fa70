/* SPDX-License-Identifier: Apache-2.0 */
/* infer.h through the shared library, as a program of somebody else uses it. */
#include "infer.h"

#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static const char *model_path(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s.onnx", TINY, name);
    return path;
}

/* ---- values
 * --------------------------------------------------------------------------------------- */

static void types(void)
{
    static const struct {
        int type;
        const char *name;
        size_t size;
    } rows[] = {
        {INFER_FLOAT, "float", 4},     {INFER_INT64, "int64", 8},
        {INFER_BOOL, "bool", 1},       {INFER_DOUBLE, "double", 8},
        {INFER_FLOAT16, "float16", 2}, {INFER_COMPLEX128, "complex128", 16},
        {INFER_UINT8, "uint8", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK(strcmp(infer_type_name(rows[i].type), rows[i].name) == 0);
        CHECK(infer_type_size(rows[i].type) == rows[i].size);
    }
    /* Whatever the number, a text and no crash. */
    for (int t = -3; t < 70; t++)
        CHECK(infer_type_name(t) != NULL && infer_type_size(t) <= 16);
}

static void new_values(void)
{
    static const int64_t dims[] = {2, 3}, huge[] = {INT64_MAX, 2}, negative[] = {-1};
    struct infer_error e = {0};
    struct infer_value *v = infer_value_new(INFER_FLOAT, 2, dims, &e);
    if (CHECK(v)) {
        CHECK(infer_value_kind(v) == INFER_TENSOR && infer_value_type(v) == INFER_FLOAT);
        CHECK(infer_value_rank(v) == 2 && memcmp(infer_value_dims(v), dims, sizeof dims) == 0);
        CHECK(infer_value_count(v) == 6 && infer_value_bytes(v) == 24);
        const float *x = infer_value_data(v);
        for (int i = 0; i < 6; i++)
            CHECK(x[i] == 0);
    }
    infer_value_free(v);
    CHECK(!infer_value_new(INFER_FLOAT, 2, huge, &e) && e.code < 0 && *e.message);
    CHECK(!infer_value_new(INFER_FLOAT, 1, negative, &e) && e.code < 0);
    CHECK(!infer_value_new(INFER_FLOAT, INFER_RANK_MAX + 1, dims, &e) && e.code < 0);
    CHECK(!infer_value_new(INFER_FLOAT, -1, dims, &e) && e.code < 0);
    CHECK(!infer_value_new(0, 1, dims, &e) && !infer_value_new(999, 1, dims, &e));
    CHECK(!infer_value_new(INFER_FLOAT, 2, huge, NULL)); /* the error may be left out */
    infer_value_free(NULL);
}

static void count_release(void *arg)
{
    ++*(int *)arg;
}

static void wrapped(void)
{
    float mine[6] = {1, 2, 3, 4, 5, 6};
    static const int64_t dims[] = {2, 3};
    int released = 0;
    struct infer_error e = {0};
    struct infer_value *v =
        infer_value_wrap(INFER_FLOAT, 2, dims, mine, sizeof mine, count_release, &released, &e);
    struct infer_value *list = infer_value_sequence(INFER_FLOAT, &e);
    CHECK(v && infer_value_data(v) == mine && released == 0);
    CHECK(list && infer_value_append(list, v, &e) == 0);
    infer_value_free(v);
    CHECK(released == 0); /* the sequence holds it */
    infer_value_free(list);
    CHECK(released == 1);
    CHECK(!infer_value_wrap(INFER_FLOAT, 2, dims, mine, sizeof mine - 4, NULL, NULL, &e) &&
          e.code == INFER_E_USAGE);
    CHECK(!infer_value_wrap(INFER_STRING, 2, dims, mine, sizeof mine, NULL, NULL, &e) &&
          e.code < 0);
}

static void strings(void)
{
    struct infer_error e = {0};
    struct infer_value *v = infer_value_new(INFER_STRING, 1, (const int64_t[]){2}, &e);
    size_t size = 9;
    if (!CHECK(v))
        return;
    CHECK(infer_value_data(v) == NULL);
    CHECK(infer_value_string(v, 0, &size) && size == 0);
    CHECK(infer_value_set_string(v, 1, "xyz", 3, &e) == 0);
    const char *s = infer_value_string(v, 1, &size);
    CHECK(s && size == 3 && memcmp(s, "xyz", 3) == 0);
    CHECK(infer_value_set_string(v, 2, "", 0, &e) == INFER_E_USAGE);
    CHECK(infer_value_set_string(v, -1, "", 0, &e) == INFER_E_USAGE);
    infer_value_free(v);
}

static void sequences(void)
{
    struct infer_error e = {0};
    struct infer_value *s = infer_value_sequence(INFER_FLOAT, &e), *none = infer_value_none(&e);
    struct infer_value *x = infer_value_new(INFER_FLOAT, 0, NULL, &e);
    struct infer_value *wrong = infer_value_new(INFER_INT64, 0, NULL, &e);
    CHECK(s && infer_value_kind(s) == INFER_SEQUENCE && infer_value_count(s) == 0);
    CHECK(none && infer_value_kind(none) == INFER_NONE);
    CHECK(infer_value_append(s, x, &e) == 0 && infer_value_append(s, x, &e) == 0 &&
          infer_value_count(s) == 2);
    CHECK(infer_value_append(s, wrong, &e) < 0 && infer_value_append(x, x, &e) < 0);
    struct infer_value *item = infer_value_item(s, 1, &e);
    infer_value_free(s);
    CHECK(item && infer_value_count(item) == 1);
    infer_value_free(item);
    infer_value_free(x);
    infer_value_free(wrong);
    infer_value_free(none);
}

static struct infer_value *float_map(void)
{
    struct infer_error e = {0};
    struct infer_value *keys = infer_value_new(INFER_INT64, 1, (const int64_t[]){2}, &e);
    struct infer_value *values = infer_value_new(INFER_FLOAT, 1, (const int64_t[]){2}, &e);
    struct infer_value *m = infer_value_map(keys, values, &e);
    ((int64_t *)infer_value_data(keys))[1] = 7; /* shared: before anyone else reads it */
    ((float *)infer_value_data(values))[1] = 0.5f;
    CHECK(!infer_value_map(values, keys, &e) && e.code == INFER_E_USAGE);
    CHECK(!infer_value_map(keys, m, &e) && e.code == INFER_E_USAGE);
    infer_value_free(keys);
    infer_value_free(values);
    return m;
}

static void maps(void)
{
    char folder[] = "/tmp/infer-api-XXXXXX", path[64];
    struct infer_error e = {0};
    struct infer_value *m = float_map(), *s = infer_value_sequence(0, &e);
    struct infer_value *x = infer_value_new(INFER_FLOAT, 0, NULL, &e);
    if (!CHECK(m && s && x && mkdtemp(folder)))
        return;
    CHECK(infer_value_kind(m) == INFER_MAP && infer_value_count(m) == 2);
    CHECK(infer_value_append(s, m, &e) == 0 && infer_value_append(s, m, &e) == 0);
    CHECK(infer_value_append(s, x, &e) == INFER_E_USAGE && infer_value_append(s, s, &e) < 0);
    snprintf(path, sizeof path, "%s/s.pb", folder);
    CHECK(infer_value_write(s, "s", path, &e) == 0);
    struct infer_value *back = infer_value_read(path, NULL, NULL, 0, &e);
    struct infer_value *item = back ? infer_value_item(back, 1, &e) : NULL;
    struct infer_value *keys = item ? infer_value_item(item, 0, &e) : NULL;
    struct infer_value *values = item ? infer_value_item(item, 1, &e) : NULL;
    CHECK(back && infer_value_kind(back) == INFER_SEQUENCE && infer_value_count(back) == 2);
    CHECK(keys && infer_value_type(keys) == INFER_INT64 && ((int64_t *)infer_value_data(keys))[1] == 7);
    CHECK(values && infer_value_type(values) == INFER_FLOAT && infer_value_count(values) == 2 &&
          ((float *)infer_value_data(values))[1] == 0.5f);
    CHECK(item && !infer_value_item(item, 2, &e) && e.code == INFER_E_USAGE);
    /* A sequence may hold one, and it is left alone when the other grows. */
    struct infer_value *outer = infer_value_sequence(0, &e);
    CHECK(outer && infer_value_append(outer, s, &e) == 0 && infer_value_append(s, m, &e) == 0);
    struct infer_value *inner = outer ? infer_value_item(outer, 0, &e) : NULL;
    CHECK(inner && infer_value_count(inner) == 2 && infer_value_count(s) == 3);
    CHECK(infer_value_append(outer, outer, &e) == 0 && infer_value_count(outer) == 2);
    struct infer_value *all[] = {m, s, x, back, item, keys, values, outer, inner};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        infer_value_free(all[i]);
    unlink(path);
    rmdir(folder);
}

static void files(void)
{
    char folder[] = "/tmp/infer-api-XXXXXX", path[64], name[16];
    struct infer_error e = {0};
    struct infer_value *v = infer_value_new(INFER_FLOAT, 2, (const int64_t[]){3, 2}, &e);
    if (!CHECK(v && mkdtemp(folder)))
        return;
    for (int i = 0; i < 6; i++)
        ((float *)infer_value_data(v))[i] = (float)i / 3;
    static const char *const ends[] = {"npy", "pb"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/x.%s", folder, ends[i]);
        CHECK(infer_value_write(v, "a name", path, &e) == 0);
        struct infer_value *back = infer_value_read(path, NULL, name, sizeof name, &e);
        CHECK(back && infer_value_bytes(back) == 24 &&
              memcmp(infer_value_data(back), infer_value_data(v), 24) == 0);
        if (i == 1)
            CHECK(strcmp(name, "a name") == 0);
        infer_value_free(back);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/x.bmp", folder);
    CHECK(infer_value_write(v, "x", path, &e) < 0 && access(path, F_OK) != 0);
    CHECK(!infer_value_read("/nonexistent.npy", NULL, NULL, 0, &e) && e.code == INFER_E_FILE);
    infer_value_free(v);
    rmdir(folder);
}

/* ---- models
 * --------------------------------------------------------------------------------------- */

static void describe(void)
{
    struct infer_error e = {0};
    struct infer_model *m = infer_model_load(model_path("mlp"), NULL, &e);
    if (!CHECK(m)) {
        puts(e.message);
        return;
    }
    CHECK(infer_model_inputs(m) == 1 && infer_model_outputs(m) == 1);
    const struct infer_port *p = infer_model_input(m, 0);
    CHECK(strcmp(p->name, "x") == 0 && p->kind == INFER_TENSOR && !p->optional &&
          p->type == INFER_FLOAT);
    CHECK(p->rank == 2 && p->dims[0] == -1 && strcmp(p->symbols[0], "batch") == 0 &&
          p->dims[1] == 8);
    CHECK(strcmp(p->text, "float[batch,8]") == 0);
    CHECK(!infer_model_input(m, 1) && !infer_model_input(m, -1) && !infer_model_output(m, 1));
    CHECK(infer_model_find_input(m, "x") == 0 && infer_model_find_input(m, "y") == -1);
    CHECK(infer_model_find_output(m, "y") == 0);
    CHECK(strcmp(infer_model_metadata(m, "producer", 0), "infer tests") == 0);
    CHECK(strcmp(infer_model_metadata(m, "author", 0), "a test") == 0);
    CHECK(strcmp(infer_model_metadata(m, NULL, 0), "author") == 0 &&
          !infer_model_metadata(m, NULL, 1));
    CHECK(!infer_model_metadata(m, "no such key", 0) &&
          strstr(infer_model_metadata(m, "opset", 0), "17"));
    struct infer_model_stats st = {.size = sizeof st};
    infer_model_stats(m, &st);
    CHECK(st.parameters == 8 * 16 + 16 + 12 * 16 + 12 && st.weight_bytes == 4 * st.parameters &&
          st.runs == 0);
    CHECK(st.load_ms > 0);
    infer_model_free(m);
    infer_model_free(NULL);
}

/* Run mlp on ones; y goes to out. */
static int run_mlp(struct infer_model *m, struct infer_value **out, struct infer_error *e)
{
    float ones[24];
    for (int i = 0; i < 24; i++)
        ones[i] = 1;
    struct infer_value *x =
        infer_value_wrap(INFER_FLOAT, 2, (const int64_t[]){3, 8}, ones, sizeof ones, NULL, NULL, e);
    int rc = infer_run(m, (const struct infer_value *const[]){x}, 1, out, 1, NULL, e);
    infer_value_free(x);
    return rc;
}

static void bound_outputs(void)
{
    struct infer_error e = {0};
    struct infer_model *m = infer_model_load(model_path("mlp"), NULL, &e);
    float mine[36] = {0};
    struct infer_value *free_one = NULL, *bound, *wrong;
    bound = infer_value_wrap(INFER_FLOAT, 2, (const int64_t[]){3, 12}, mine, sizeof mine, NULL,
                             NULL, &e);
    wrong = infer_value_new(INFER_FLOAT, 2, (const int64_t[]){3, 11}, &e);
    struct infer_value *out[1] = {bound};
    if (CHECK(m) && CHECK(run_mlp(m, &free_one, &e) == 0) && CHECK(run_mlp(m, out, &e) == 0)) {
        CHECK(out[0] == bound && infer_value_data(bound) == mine);
        CHECK(memcmp(mine, infer_value_data(free_one), sizeof mine) == 0);
        double sum = 0;
        for (int i = 0; i < 12; i++)
            sum += mine[i];
        CHECK(sum > 0.999 && sum < 1.001); /* it ends in Softmax */
        out[0] = wrong;
        CHECK(run_mlp(m, out, &e) < 0 && out[0] == wrong && strstr(e.message, "float[3,11]"));
    }
    infer_value_free(free_one);
    infer_value_free(bound);
    infer_value_free(wrong);
    infer_model_free(m);
}

static void from_memory(void)
{
    struct infer_error e = {0};
    static char bytes[1 << 16];
    FILE *f = fopen(model_path("mlp"), "rb");
    size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f)
        fclose(f);
    struct infer_model *m = infer_model_load_memory(bytes, n, NULL, &e),
                       *file = infer_model_load(model_path("mlp"), NULL, &e);
    struct infer_value *a = NULL, *b = NULL;
    if (CHECK(m && file) && CHECK(run_mlp(m, &a, &e) == 0) && CHECK(run_mlp(file, &b, &e) == 0))
        CHECK(memcmp(infer_value_data(a), infer_value_data(b), infer_value_bytes(a)) == 0);
    infer_value_free(a);
    infer_value_free(b);
    infer_model_free(m);
    infer_model_free(file);
    /* Every shorter message is refused or is a whole one; none is read past its end. */
    for (size_t cut = 0; cut < n; cut += 1 + cut / 40) {
        char *exact = malloc(cut ? cut : 1);
        memcpy(exact, bytes, cut);
        m = infer_model_load_memory(exact, cut, NULL, &e);
        CHECK(m || (e.code < 0 && *e.message));
        infer_model_free(m);
        free(exact);
    }
}

static void in_memory(void)
{
    struct infer_error e = {0};
    struct infer_load_options o = {.size = sizeof o, .in_memory = 1};
    struct infer_model *m = infer_model_load(model_path("external"), &o, &e);
    if (!CHECK(m))
        puts(e.message);
    infer_model_free(m);
    /* Options of an older caller are shorter; what is beyond their size is not read. */
    struct infer_load_options old = {.size = offsetof(struct infer_load_options, device),
                                     .device = "nonsense"};
    m = infer_model_load(model_path("mlp"), &old, &e);
    CHECK(m);
    infer_model_free(m);
}

static void wrong_loads(void)
{
    static const struct {
        const char *name;
        int code;
    } rows[] = {{"unsupported", INFER_E_UNSUPPORTED},
                {"wrong_graph", INFER_E_MODEL},
                {"nothing", INFER_E_FILE}};
    struct infer_error e = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct infer_model *m = infer_model_load(model_path(rows[i].name), NULL, &e);
        if (!CHECK(!m && e.code == rows[i].code && *e.message))
            printf("%s: code %d, %s\n", rows[i].name, e.code, e.message);
        infer_model_free(m);
    }
    CHECK(!infer_model_load(TINY, NULL, &e) && e.code == INFER_E_FILE); /* a folder */
    CHECK(!infer_model_load("/dev/zero", NULL, &e) && e.code == INFER_E_FILE);
    struct infer_load_options device = {.size = sizeof device, .device = "abacus"};
    CHECK(!infer_model_load(model_path("mlp"), &device, &e) && e.code == INFER_E_USAGE);
    struct infer_load_options precision = {.size = sizeof precision, .precision = "f8"};
    CHECK(!infer_model_load(model_path("mlp"), &precision, &e) && e.code == INFER_E_USAGE);
    struct infer_load_options passes = {.size = sizeof passes, .passes = "-nonsense"};
    CHECK(!infer_model_load(model_path("mlp"), &passes, &e) && e.code == INFER_E_USAGE);
}

static void lists(void)
{
    static const char *const kinds[] = {"ops", "kernels", "passes", "knobs"};
    struct infer_error e = {0};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *text = infer_list(kinds[i], &e);
        if (!CHECK(text && strchr(text, '\n')))
            printf("%s: %s\n", kinds[i], e.message);
        infer_free(text);
    }
    CHECK(!infer_list("nonsense", &e) && e.code == INFER_E_USAGE);
    CHECK(infer_set_option("nonsense", "1", &e) == INFER_E_USAGE);
    for (int code = INFER_OK; code >= INFER_E_INTERNAL; code--)
        CHECK(*infer_code_text(code) && infer_code_exit_status(code) < 7 &&
              infer_code_http_status(code) >= 200);
}

static const struct unit_test tests[] = {
    TEST(types),       TEST(new_values), TEST(wrapped),     TEST(strings),
    TEST(sequences),   TEST(maps),        TEST(files),      TEST(describe),    TEST(bound_outputs),
    TEST(from_memory), TEST(in_memory),  TEST(wrong_loads), TEST(lists),
};
UNIT_MAIN(tests)
