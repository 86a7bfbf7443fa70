/* SPDX-License-Identifier: Apache-2.0 */
/* Same bits: a result depends neither on the number of threads nor on the batch around a row, and
 * the fake device computes what the CPU does. On the small models and on every architecture model
 * that is there. */
#include <dirent.h>
#include <stdlib.h>

#include "core/threads.h"
#include "tests/contract/contract.h"

enum { BATCH = 3 };

static bool is_batch(const char *symbol)
{
    return symbol && (strncmp(symbol, "batch", 5) == 0 || strcmp(symbol, "N") == 0);
}

/* The axis that counts rows, or -1. */
static int batch_axis(const struct infer_port *p)
{
    for (int k = 0; k < p->rank; k++)
        if (is_batch(p->symbols[k]))
            return k;
    return -1;
}

/* Results of `dims` with so many threads; the model is dropped. */
static bool run_with(struct job *j, const char *path, const char *dims, int threads,
                     const char *device)
{
    struct infer_load_options o = {.size = sizeof o, .threads = threads, .device = device};
    struct infer_model *m = model_load(path, &o);
    bool ok = CHECK(job_init(j, m, dims, 1)) && CHECK(job_ok(j));
    infer_model_free(m);
    return ok;
}

/* Row `row` of the inputs of `all`, alone, gives row `row` of its results. */
static bool row_alone(struct infer_model *m, const struct job *all, int64_t row)
{
    struct job one = {.model = m, .n_in = all->n_in, .n_out = all->n_out};
    for (int i = 0; i < all->n_in; i++) {
        int axis = batch_axis(infer_model_input(m, i));
        const struct infer_value *v = all->in[i];
        one.in[i] =
            axis < 0 ? value_rows(v, 0, 0, infer_value_dims(v)[0]) : value_rows(v, axis, row, 1);
    }
    bool same = CHECK(job_ok(&one));
    for (int i = 0; i < all->n_out && same; i++) {
        int axis = batch_axis(infer_model_output(m, i));
        const struct infer_value *v = all->out[i];
        if (axis < 0 && infer_value_rank(v) && infer_value_dims(v)[0] == BATCH)
            axis = 0; /* a dim whose symbol the engine could not name */
        if (axis < 0)
            continue;
        struct infer_value *want = value_rows(v, axis, row, 1);
        same = CHECK(values_same(want, one.out[i]));
        if (!same)
            printf("output '%s', row %d\n", infer_model_output(m, i)->name, (int)row);
        infer_value_free(want);
    }
    job_clear(&one);
    return same;
}

static bool has_batch(const struct infer_model *m)
{
    for (int i = 0; i < infer_model_inputs(m); i++)
        if (batch_axis(infer_model_input(m, i)) >= 0)
            return true;
    return false;
}

static void check_rows(const char *path, const char *dims)
{
    struct infer_load_options o = {.size = sizeof o, .threads = 2};
    struct infer_model *m = model_load(path, &o);
    struct job all = {0};
    if (CHECK(m) && has_batch(m) && CHECK(job_init(&all, m, dims, 1)) && CHECK(job_ok(&all)))
        for (int64_t row = 0; row < dims_find(dims, "batch"); row++)
            if (!row_alone(m, &all, row))
                break;
    job_clear(&all);
    infer_model_free(m);
}

static void check_threads(const char *path, const char *dims)
{
    struct job one = {0}, many = {0};
    if (run_with(&one, path, dims, 1, "cpu"))
        for (int threads = 2; threads <= 3; threads++) {
            if (run_with(&many, path, dims, threads, "cpu") && !CHECK(jobs_same(&one, &many)))
                printf("%s: %d threads differ from one\n", path, threads);
            job_clear(&many);
        }
    job_clear(&one);
}

static void check_device(const char *path, const char *dims)
{
    struct job cpu = {0}, fake = {0};
    if (run_with(&cpu, path, dims, 2, "cpu") && run_with(&fake, path, dims, 2, "fake") &&
        !CHECK(jobs_same(&cpu, &fake)))
        printf("%s: the fake device differs\n", path);
    job_clear(&cpu);
    job_clear(&fake);
}

static const char *const tiny[][2] = {
    {"mlp", "batch=3"},
    {"conv", "batch=3"},
    {"encoder", "batch=3,sequence=13"},
    {"cache", "batch=3,sequence=5,past=7"},
    {"dims", "a=3,b=5"},
    {"late", "n=40"},
    {"tied", "batch=3,sequence=5"},
    {"loop_sum", "k=9"},
    {"scan_sum", "n=6"},
    {"if_else", "n=5"},
    {"sequence", "n=4"},
    {"grow", "n=33"},
    {"functions", "n=17"},
    {"quantized", "n=50"},
};
enum { TINY_MODELS = sizeof tiny / sizeof *tiny };

static void tiny_threads(void)
{
    for (int i = 0; i < TINY_MODELS; i++)
        check_threads(tiny_path(tiny[i][0]), tiny[i][1]);
}

static void tiny_rows(void)
{
    for (int i = 0; i < TINY_MODELS; i++)
        check_rows(tiny_path(tiny[i][0]), tiny[i][1]);
}

static void tiny_device(void)
{
    for (int i = 0; i < TINY_MODELS; i++)
        check_device(tiny_path(tiny[i][0]), tiny[i][1]);
}

/* Some exporters fix the batch in the middle of a graph that calls it symbolic. */
static bool takes(const char *path, const char *dims)
{
    struct infer_model *m = model_load(path, NULL);
    struct job j = {0};
    struct infer_error e = {0};
    int rc = job_init(&j, m, dims, 1) ? job_run(&j, NULL, &e) : INFER_E_FILE;
    bool ok = rc != INFER_E_INPUT && rc != INFER_E_MODEL;
    job_clear(&j);
    infer_model_free(m);
    return ok;
}

static void each_architecture(void (*check)(const char *path, const char *dims))
{
    static const char *const dims = "batch=3,sequence=5,past_sequence=4,total_sequence=9";
    static const char *const one = "batch=1,sequence=5,past_sequence=4,total_sequence=9";
    char path[4096];
    int found = 0;
    DIR *d = *MODELS ? opendir(MODELS) : NULL;
    for (struct dirent *f; d && (f = readdir(d));) {
        size_t n = strlen(f->d_name);
        if (n < 6 || strcmp(f->d_name + n - 5, ".onnx") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", MODELS, f->d_name);
        check(path, takes(path, dims) ? dims : one);
        found++;
    }
    if (d)
        closedir(d);
    if (!found)
        unit_skip("no architecture models in " MODELS);
}

static void architecture_threads(void)
{
    each_architecture(check_threads);
}

static void architecture_rows(void)
{
    each_architecture(check_rows);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(tiny_threads),         TEST(tiny_rows),         TEST(tiny_device),
        TEST(architecture_threads), TEST(architecture_rows),
    };
    threads_cap_set(3); /* even where there are fewer processors */
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
