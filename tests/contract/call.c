/* SPDX-License-Identifier: Apache-2.0 */
/* What a call promises: symbols that disagree are an error, wrong inputs are named, values have the
 * contents that the operators define, reports say where nodes run. */
#include <math.h>

#include "tests/contract/contract.h"

static void symbols_disagree(void)
{
    struct infer_model *m = tiny_load("same_dim", 1, "cpu");
    struct job j = {0};
    struct infer_error e = {0};
    if (CHECK(job_init(&j, m, "n=3", 1)) && CHECK(job_ok(&j)) &&
        CHECK(job_set(&j, "b", floats(2, (const int64_t[]){1, 4}, NULL)))) {
        /* [3,4] + [1,4] would broadcast: it is the name that says they are equal. */
        CHECK(job_run(&j, NULL, &e) == INFER_E_INPUT);
        CHECK(strstr(e.message, "'n'") && strstr(e.message, "'b'"));
    }
    job_clear(&j);
    infer_model_free(m);
}

static void expect_input_error(const char *name, const char *input, struct infer_value *v,
                               const char *in_message)
{
    struct infer_model *m = tiny_load(name, 1, "cpu");
    struct job j = {0};
    struct infer_error e = {0};
    if (CHECK(job_init(&j, m, "", 1)) && CHECK(job_set(&j, input, v))) {
        CHECK(job_run(&j, NULL, &e) == INFER_E_INPUT);
        if (!CHECK(strstr(e.message, input) && strstr(e.message, in_message)))
            puts(e.message);
    }
    job_clear(&j);
    infer_model_free(m);
}

static void wrong_inputs(void)
{
    expect_input_error("mlp", "x", floats(1, (const int64_t[]){8}, NULL), "float[8]");
    expect_input_error("mlp", "x", floats(2, (const int64_t[]){1, 9}, NULL), "float[1,9]");
    expect_input_error("mlp", "x", infer_value_new(INFER_DOUBLE, 2, (const int64_t[]){1, 8}, NULL),
                       "double[1,8]");
    expect_input_error("mlp", "x", infer_value_none(NULL), "");
    expect_input_error("mlp", "x", infer_value_sequence(INFER_FLOAT, NULL), "sequence");
}

static void wrong_counts(void)
{
    struct infer_model *m = tiny_load("mlp", 1, "cpu");
    struct job j = {0};
    struct infer_error e = {0};
    if (CHECK(job_init(&j, m, "", 1))) {
        CHECK(infer_run(m, (const struct infer_value *const *)j.in, 0, j.out, 1, NULL, &e) ==
              INFER_E_USAGE);
        CHECK(infer_run(m, (const struct infer_value *const *)j.in, 1, j.out, 0, NULL, &e) ==
              INFER_E_USAGE);
        CHECK(infer_run(m, (const struct infer_value *const *)(struct infer_value *[]){NULL}, 1,
                        j.out, 1, NULL, &e) == INFER_E_INPUT);
    }
    job_clear(&j);
    infer_model_free(m);
}

static void empty_batch(void)
{
    static const char *const names[][2] = {
        {"mlp", "batch=0"}, {"conv", "batch=0"}, {"encoder", "batch=0,sequence=3"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct infer_model *m = tiny_load(names[i][0], 2, "cpu");
        struct job j = {0};
        if (CHECK(job_init(&j, m, names[i][1], 1)) && CHECK(job_ok(&j)))
            CHECK(infer_value_dims(j.out[0])[0] == 0 && infer_value_count(j.out[0]) == 0);
        job_clear(&j);
        infer_model_free(m);
    }
}

static void loop_values(void)
{
    struct infer_model *m = tiny_load("loop_sum", 2, "cpu");
    struct job j = {0};
    static const float x[] = {1, -2};
    for (int64_t trips = 0; trips <= 4; trips += 2)
        if (CHECK(job_init(&j, m, "k=2", 1)) && CHECK(job_set(&j, "trips", int64_scalar(trips))) &&
            CHECK(job_set(&j, "x", floats(1, (const int64_t[]){2}, x))) && CHECK(job_ok(&j))) {
            const float *y = infer_value_data(j.out[0]), *all = infer_value_data(j.out[1]);
            CHECK(y[0] == (float)(trips + 1) && y[1] == -2 * (float)(trips + 1));
            CHECK(infer_value_rank(j.out[1]) == 2 && infer_value_dims(j.out[1])[0] == trips);
            for (int64_t k = 0; k < trips; k++)
                CHECK(all[2 * k] == (float)(k + 2));
            job_clear(&j);
        }
    infer_model_free(m);
}

/* The body's trip number and condition have the dims that it declares. */
static void loop_ones(void)
{
    struct infer_model *m = tiny_load("loop_of_ones", 1, "cpu");
    struct job j = {0};
    static const int64_t trips = 3, x[] = {7, 8};
    if (CHECK(job_init(&j, m, "", 1)) && CHECK(job_set(&j, "trips", int64s(1, &trips))) &&
        CHECK(job_set(&j, "x", int64s(2, x))) && CHECK(job_ok(&j))) {
        const int64_t *y = infer_value_data(j.out[0]), *dims = infer_value_dims(j.out[1]);
        CHECK(y[0] == 2 && y[1] == 1);
        CHECK(infer_value_rank(j.out[1]) == 2 && dims[0] == 3 && dims[1] == 1);
    }
    job_clear(&j);
    infer_model_free(m);
}

/* An If whose condition is known at load is the branch that it picks: the other one need not even fit,
 * and dims behind it are known. Without the pass the run is the same. */
static void known_if(void)
{
    static const char *const passes[] = {"", "-if", "none"};
    struct job want = {0};
    struct infer_model *kept = NULL;
    for (int i = 0; i < 3; i++) {
        struct infer_load_options o = {.size = sizeof o, .threads = 1, .passes = passes[i]};
        struct infer_model *m = model_load(tiny_path("known_if"), &o);
        const struct infer_port *y = m ? infer_model_output(m, 0) : NULL;
        struct job j = {0};
        CHECK(y && y->rank == 2 && y->dims[1] == 6 && (i || (y->symbols[0] && !strcmp(y->symbols[0], "n"))));
        if (CHECK(job_init(&j, m, "n=4", 1)) && CHECK(job_ok(&j)))
            CHECK(infer_value_dims(j.out[0])[0] == 4 && (i == 0 || jobs_same(&j, &want)));
        if (i == 0) {
            want = j;
            kept = m;
            continue;
        }
        job_clear(&j);
        infer_model_free(m);
    }
    job_clear(&want);
    infer_model_free(kept);
}

/* A product by a constant's transpose is not changed by reading the constant as it lies. */
static void tied_table(void)
{
    static const char *const passes[] = {"none", "", "-linear"};
    struct job want = {0};
    struct infer_model *models[3];
    for (int i = 0; i < 3; i++) {
        struct infer_load_options o = {.size = sizeof o, .threads = 1, .passes = passes[i]};
        struct job j = {0};
        models[i] = model_load(tiny_path("tied"), &o);
        if (CHECK(job_init(i ? &j : &want, models[i], "batch=2,sequence=3", 1)) &&
            CHECK(job_ok(i ? &j : &want)) && i)
            CHECK(jobs_same(&j, &want));
        job_clear(&j);
    }
    job_clear(&want);
    for (int i = 0; i < 3; i++)
        infer_model_free(models[i]);
}

static void sequence_values(void)
{
    struct infer_model *m = tiny_load("sequence", 1, "cpu");
    struct job j = {0};
    if (CHECK(job_init(&j, m, "n=3", 1)) && CHECK(job_ok(&j))) {
        CHECK(infer_value_kind(j.out[0]) == INFER_SEQUENCE && infer_value_count(j.out[0]) == 4);
        CHECK(values_same(j.out[1], j.in[0]));
        CHECK(*(int64_t *)infer_value_data(j.out[2]) == 4);
        struct infer_value *row = infer_value_item(j.out[0], 1, NULL),
                           *want = value_rows(j.in[0], 0, 1, 1);
        CHECK(values_same(row, want));
        infer_value_free(row);
        infer_value_free(want);
        CHECK(!infer_value_item(j.out[0], 4, NULL) && !infer_value_item(j.out[0], -1, NULL));
    }
    job_clear(&j);
    infer_model_free(m);
}

static void text_values(void)
{
    struct infer_model *m = tiny_load("text", 1, "cpu");
    struct job j = {0};
    if (CHECK(job_init(&j, m, "n=3", 1)) &&
        CHECK(infer_value_set_string(j.in[0], 1, "a\0b", 3, NULL) == 0) && CHECK(job_ok(&j))) {
        size_t size;
        CHECK(values_same(j.in[0], j.out[0]));
        job_run(&j, NULL, NULL);
        infer_model_free(m); /* values outlive their model */
        m = NULL;
        const char *s = infer_value_string(j.out[0], 1, &size);
        CHECK(size == 3 && memcmp(s, "a\0b", 3) == 0);
    }
    job_clear(&j);
    infer_model_free(m);
}

static void optional_values(void)
{
    struct infer_model *m = tiny_load("optional_input", 1, "cpu");
    struct job j = {0};
    if (CHECK(job_init(&j, m, "", 1)) && CHECK(job_ok(&j)) &&
        CHECK(*(uint8_t *)infer_value_data(j.out[0]) == 0) &&
        CHECK(job_set(&j, "o", floats(1, (const int64_t[]){2}, NULL))) && CHECK(job_ok(&j)))
        CHECK(*(uint8_t *)infer_value_data(j.out[0]) == 1);
    job_clear(&j);
    infer_model_free(m);
}

static void external_values(void)
{
    struct infer_model *m = tiny_load("external", 1, "cpu");
    struct job j = {0};
    float unit[64] = {0};
    for (int i = 0; i < 8; i++)
        unit[9 * i] = 1;
    if (CHECK(job_init(&j, m, "n=8", 1)) &&
        CHECK(job_set(&j, "x", floats(2, (const int64_t[]){8, 8}, unit))) && CHECK(job_ok(&j))) {
        FILE *f = fopen(TINY "/external.bin", "rb");
        float want[64];
        CHECK(f && fread(want, sizeof want, 1, f) == 1 &&
              memcmp(want, infer_value_data(j.out[0]), sizeof want) == 0);
        if (f)
            fclose(f);
    }
    job_clear(&j);
    infer_model_free(m);
}

static void reports(void)
{
    static const char *const kinds[] = {"describe", "check", "graph", "dot", "passes", "placement"};
    struct infer_model *m = tiny_load("encoder", 1, "fake");
    struct infer_error e = {0};
    for (size_t i = 0; m && i < sizeof kinds / sizeof *kinds; i++) {
        char *text = infer_model_text(m, kinds[i], &e);
        if (!CHECK(text && (*text != 0) == (strcmp(kinds[i], "check") != 0)))
            printf("report %s: %s\n", kinds[i], text ? text : e.message);
        if (text && strcmp(kinds[i], "placement") == 0)
            CHECK(strstr(text, "fake"));
        infer_free(text);
    }
    CHECK(m && !infer_model_text(m, "nonsense", &e) && e.code == INFER_E_USAGE);
    infer_model_free(m);
}

/* What cannot run can still be described. */
static void check_report(void)
{
    struct infer_load_options o = {.size = sizeof o, .check = 1};
    struct infer_error e = {0};
    CHECK(!infer_model_load(tiny_path("unsupported"), NULL, &e) && e.code == INFER_E_UNSUPPORTED);
    struct infer_model *m = model_load(tiny_path("unsupported"), &o);
    char *text = m ? infer_model_text(m, "check", &e) : NULL;
    CHECK(text && strstr(text, "NoSuchOperator") &&
          strstr(text, "my.own")); /* all, not the first */
    infer_free(text);
    CHECK(m && infer_model_inputs(m) == 1 && strcmp(infer_model_input(m, 0)->name, "x") == 0);
    struct job j = {0};
    CHECK(job_init(&j, m, "", 1) && job_run(&j, NULL, &e) == INFER_E_UNSUPPORTED);
    job_clear(&j);
    infer_model_free(m);
}

static const struct unit_test tests[] = {
    TEST(symbols_disagree), TEST(wrong_inputs), TEST(wrong_counts),    TEST(empty_batch),
    TEST(loop_values),      TEST(loop_ones),    TEST(known_if),        TEST(sequence_values),
    TEST(text_values),      TEST(reports),      TEST(optional_values), TEST(external_values),
    TEST(check_report),     TEST(tied_table),
};
UNIT_MAIN(tests)
