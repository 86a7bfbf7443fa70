/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning changes no bit: every candidate is forced in turn, through the cache file itself, and gives what
 * the heuristic gives. Measuring fills the cache, says what it found and stands beside other runs. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/file.h"
#include "core/knobs.h"
#include "core/text.h"
#include "ops/product.h"
#include "runtime/model.h"
#include "tests/contract/contract.h"

static char path[64];

static void begin(void)
{
    snprintf(path, sizeof path, "/tmp/infer-tune-XXXXXX");
    int fd = mkstemp(path);
    if (CHECK(fd >= 0))
        close(fd);
    knob_set(KNOB_TUNING_CACHE, path);
}

static void end(void)
{
    knob_set(KNOB_TUNING_CACHE, NULL);
    unlink(path);
}

/* Measure a model shortly; its keys are then in the cache. */
static struct infer_model *measured(const char *model, const char *dims, struct job *j)
{
    struct infer_load_options o = {.size = sizeof o, .threads = 2, .tuning = INFER_TUNING_MEASURE};
    struct infer_tune_options how = {.size = sizeof how, .seconds = 0.01};
    struct infer_error e = {0};
    struct infer_model *m = model_load(model, &o);
    if (CHECK(m) && CHECK(job_init(j, m, dims, 1)) &&
        !CHECK(infer_model_tune(m, (const struct infer_value *const *)j->in, j->n_in, &how, &e) == 0))
        printf("%s\n", e.message);
    return m;
}

/* A cache that gives every key that m met candidate `choice` (or its last one). */
static void force(const struct infer_model *m, int choice)
{
    char machine[TUNE_MACHINE_MAX], line[TUNE_LINE_MAX];
    struct text all = {0};
    struct err e = {0};
    tune_machine(2, machine);
    for (const struct node *n = m->graph->first; n; n = n->next) {
        const struct product_ready *own = n->prepared;
        if ((strcmp(n->op->name, "MatMul") && strcmp(n->op->name, "Gemm")) || !own->site)
            continue;
        for (int i = 0; i < own->site->n; i++) {
            int last = own->ask.n_names - 1;
            tune_record(line, machine, &own->ask, own->site->cases[i].where, choice < last ? choice : last, 1);
            text_add(&all, "%s", line);
        }
    }
    char *text = text_take(&all, &e);
    CHECK(text && file_write(path, text, strlen(text), &e) == 0);
    mem_free(text);
}

/* Sites of a loaded model that answer `choice` for something. */
static int taken(const struct infer_model *m, int choice)
{
    int n = 0;
    for (const struct node *x = m->graph->first; x; x = x->next) {
        const struct product_ready *own = x->prepared;
        if ((strcmp(x->op->name, "MatMul") && strcmp(x->op->name, "Gemm")) || !own->site)
            continue;
        for (int i = 0; i < own->site->n; i++)
            n += own->site->cases[i].choice == choice;
    }
    return n;
}

static void forced(const char *model, const char *dims)
{
    struct infer_load_options o = {.size = sizeof o, .threads = 2};
    struct job none = {0}, probe = {0};
    begin();
    struct infer_model *plain = model_load(model, &o); /* the cache is empty */
    CHECK(plain && job_init(&none, plain, dims, 1) && job_ok(&none));
    struct infer_model *m = measured(model, dims, &probe);
    CHECK(m && job_ok(&probe) && jobs_same(&none, &probe));
    for (int choice = 0; choice < GEMM_CUTS && m; choice++) {
        struct job j = {0};
        force(m, choice);
        struct infer_model *other = model_load(model, &o);
        CHECK(other && taken(other, choice) > 0);
        if (!CHECK(other && job_init(&j, other, dims, 1) && job_ok(&j) && jobs_same(&none, &j)))
            printf("%s: '%s' differs\n", model, gemm_f32_cuts[choice].name);
        job_clear(&j);
        infer_model_free(other);
    }
    job_clear(&none);
    job_clear(&probe);
    infer_model_free(plain);
    infer_model_free(m);
    end();
}

static void forced_products(void)
{
    forced(tiny_path("products"), "m=130,n=517");
    forced(tiny_path("products"), "m=3,n=1000");
}

static void forced_encoder(void)
{
    forced(tiny_path("encoder"), "batch=3,sequence=13");
}

static void forced_architecture(void)
{
    char model[4096];
    snprintf(model, sizeof model, "%s/minilm_l6.onnx", MODELS);
    if (access(model, R_OK))
        unit_skip("no minilm_l6.onnx in " MODELS);
    else
        forced(model, "batch=2,sequence=40");
}

/* What measuring reports, and that a second load finds all of it. */
static void reports(void)
{
    struct infer_load_options o = {.size = sizeof o, .threads = 2};
    struct job j = {0};
    struct infer_error e = {0};
    begin();
    struct infer_model *m = measured(tiny_path("products"), "m=130,n=517", &j);
    const struct infer_tuned *t;
    int n = 0;
    for (; m && (t = infer_model_tuned(m, n)); n++) {
        CHECK(t->candidates == GEMM_CUTS && t->chosen >= 0 && t->chosen < t->candidates && t->steps == 1);
        CHECK(t->us[0] > 0 && t->us[t->chosen] > 0 && t->bound_us > 0 && strlen(t->key) > 10);
    }
    CHECK(n == 5);
    struct infer_model *later = model_load(tiny_path("products"), &o);
    int found = 0;
    for (int choice = 0; later && choice < GEMM_CUTS; choice++)
        found += taken(later, choice);
    CHECK(found == n);
    /* Only a model that was loaded for it measures, into a cache that can be written. */
    CHECK(infer_model_tune(later, (const struct infer_value *const *)j.in, j.n_in, NULL, &e) == INFER_E_USAGE);
    CHECK(infer_model_tune(m, NULL, 0, NULL, NULL) == INFER_E_USAGE && !infer_model_tuned(later, 0));
    knob_set(KNOB_TUNING_CACHE, "/proc/nowhere/tuning.txt");
    struct infer_tune_options how = {.size = sizeof how, .seconds = 0.01};
    e = (struct infer_error){0};
    CHECK(infer_model_tune(m, (const struct infer_value *const *)j.in, j.n_in, &how, &e) == INFER_E_FILE);
    CHECK(strstr(e.message, "/proc/nowhere") && infer_model_tuned(m, 4) && !infer_model_tuned(m, 5));
    struct infer_cancel *stop = infer_cancel_new(NULL);
    infer_cancel_set(stop);
    how.cancel = stop;
    CHECK(infer_model_tune(m, (const struct infer_value *const *)j.in, j.n_in, &how, NULL) ==
          INFER_E_CANCELLED);
    infer_cancel_free(stop);
    job_clear(&j);
    infer_model_free(later);
    infer_model_free(m);
    end();
}

/* Each allocation of a load that finds records, and of a measurement, fails once: never more than an error. */
static void failing(void)
{
    struct infer_load_options o = {.size = sizeof o, .threads = 2};
    struct infer_tune_options how = {.size = sizeof how, .seconds = 0.001};
    struct job j = {0};
    begin();
    struct infer_model *m = measured(tiny_path("products"), "m=5,n=7", &j), *again = NULL;
    for (uint64_t n = 1; !again && n < 100000; n++) {
        struct infer_error e = {0};
        mem_fail_after(n, false);
        again = infer_model_load(tiny_path("products"), &o, &e);
        bool failed = mem_fail_count() >= n;
        mem_fail_after(0, false);
        if (!CHECK(again || e.code < 0))
            break;
        if (failed) { /* a cache that was not read for want of memory is none */
            infer_model_free(again);
            again = NULL;
        }
    }
    infer_model_free(again);
    for (uint64_t n = 1; n < 100; n += 1 + n / 8) {
        struct infer_error e = {0};
        mem_fail_after(n, false);
        int rc = infer_model_tune(m, (const struct infer_value *const *)j.in, j.n_in, &how, &e);
        mem_fail_after(0, false);
        CHECK(rc == 0 || e.code == rc);
    }
    job_clear(&j);
    infer_model_free(m);
    end();
}

static void *run_beside(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < 20; i++)
        CHECK(job_ok(j));
    return NULL;
}

/* Runs of a model that is being measured wait their turn and give the same bits. */
static void beside(void)
{
    struct infer_load_options o = {.size = sizeof o, .threads = 2, .tuning = INFER_TUNING_MEASURE};
    struct infer_tune_options how = {.size = sizeof how, .seconds = 0.05};
    struct job j = {0}, other = {0};
    pthread_t thread;
    begin();
    struct infer_model *m = model_load(tiny_path("products"), &o);
    if (CHECK(m && job_init(&j, m, "m=130,n=517", 1) && job_init(&other, m, "m=40,n=90", 1)) &&
        CHECK(pthread_create(&thread, NULL, run_beside, &other) == 0)) {
        CHECK(infer_model_tune(m, (const struct infer_value *const *)j.in, j.n_in, &how, NULL) == 0);
        pthread_join(thread, NULL);
        struct infer_model *plain = tiny_load("products", 2, NULL);
        struct job again = {0};
        CHECK(job_init(&again, plain, "m=40,n=90", 1) && job_ok(&again) && jobs_same(&again, &other));
        job_clear(&again);
        infer_model_free(plain);
    }
    job_clear(&j);
    job_clear(&other);
    infer_model_free(m);
    end();
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(forced_products), TEST(forced_encoder), TEST(forced_architecture), TEST(reports), TEST(failing),
        TEST(beside),
    };
    threads_cap_set(3); /* even where there are fewer processors */
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
