/* SPDX-License-Identifier: Apache-2.0 */
/* infer-bench tune: measure what a model's steps can choose from, and fill the tuning cache. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench.h"

const char bench_tune_usage[] =
    "infer-bench tune MODEL [--dim NAME=N ...] [--threads N] [--seconds S] [--json]";
static const char about[] =
    "Runs a model again and again with each way that its steps have, and puts the best into the tuning\n"
    "cache, for later loads with as many threads and dims of like size. Prints a line a key: the step's least\n"
    "mean time under each candidate (the first is taken where nothing was measured), what was chosen, its\n"
    "gain over the first, and the time that this processor's peaks allow. Results never depend on it.";

static double gain(const struct infer_tuned *t)
{
    return t->us[t->chosen] > 0 ? 100 * (t->us[0] / t->us[t->chosen] - 1) : 0;
}

static void print_json(const struct infer_tuned *t, bool first)
{
    printf("%s\n  {\"key\": \"%s\", \"steps\": %d, \"us\": {", first ? "" : ",", t->key, t->steps);
    bool any = false;
    for (int i = 0; i < t->candidates; i++)
        if (t->us[i] > 0) {
            printf("%s\"%s\": %.1f", any ? ", " : "", t->names[i], t->us[i]);
            any = true;
        }
    printf("}, \"chosen\": \"%s\", \"gain_percent\": %.1f, \"bound_us\": %.1f}", t->names[t->chosen], gain(t),
           t->bound_us);
}

static void print_line(const struct infer_tuned *t)
{
    printf("%s  (x%d, bound %.1f us)\n   ", t->key, t->steps, t->bound_us);
    for (int i = 0; i < t->candidates; i++)
        if (t->us[i] > 0)
            printf(" %s %.1f", t->names[i], t->us[i]);
    printf("  ->  %s, %+.1f %%\n", t->names[t->chosen], gain(t));
}

static void report(const struct infer_model *m, const char *path, bool json)
{
    const struct infer_tuned *t;
    double before = 0, after = 0;
    int n = 0;
    if (json)
        printf("{\"model\": \"%s\", \"keys\": [", path);
    for (; (t = infer_model_tuned(m, n)) != NULL; n++) {
        if (json)
            print_json(t, n == 0);
        else
            print_line(t);
        before += t->steps * t->us[0];
        after += t->steps * t->us[t->chosen];
    }
    if (json)
        printf("], \"heuristic_ms\": %.3f, \"chosen_ms\": %.3f}\n", before * 1e-3, after * 1e-3);
    else
        printf("%d keys; their steps take %.3f ms a run, %.3f before\n", n, after * 1e-3, before * 1e-3);
}

static int tune(const char *path, const struct input_options *how, int64_t threads, double seconds, bool json,
                struct err *e)
{
    struct infer_error inner = {0};
    struct infer_load_options load = {
        .size = sizeof(load), .threads = (int)threads, .tuning = INFER_TUNING_MEASURE};
    struct infer_tune_options o = {.size = sizeof(o), .seconds = seconds};
    struct infer_model *m = infer_model_load(path, &load, &inner);
    if (!m)
        return from_infer(&inner, e);
    struct infer_value **in = NULL;
    int rc = inputs_check_dims(m, how, e);
    if (rc == 0) {
        in = bench_inputs(m, how, e);
        rc = in ? 0 : e->code;
    }
    if (rc == 0) {
        rc = infer_model_tune(m, (const struct infer_value *const *)in, infer_model_inputs(m), &o, &inner);
        if (rc == 0 || rc == INFER_E_FILE)
            report(m, path, json);
        if (rc < 0)
            rc = from_infer(&inner, e);
    }
    bench_inputs_free(in);
    infer_model_free(m);
    return rc;
}

int bench_tune(int argc, char **argv)
{
    struct input_options how = {0};
    const char *args[1] = {NULL};
    int64_t threads = 0;
    double seconds = 10;
    bool json = false, help = false;
    struct err e = {0};
    const struct opt rows[] = {
        {OPT_LIST, "dim", "NAME=N", "the value of a symbolic dimension (1)", &how.dims},
        {OPT_INT, "threads", "N", "computing threads (as many as the process may use)", &threads, 0, 4096},
        {OPT_FLOAT, "seconds", "S", "how long to measure (10)", &seconds},
        BENCH_KNOBS,
        {OPT_FLAG, "json", NULL, "one JSON object", &json},
        {OPT_FLAG, "help", NULL, "print this", &help},
        {0},
    };
    int n = opt_parse(rows, argc, argv, args, 1, &e);
    if (n < 0)
        return opt_fail("infer-bench", &e);
    if (help) {
        opt_help(bench_tune_usage, about, rows);
        return 0;
    }
    if (n < 1) {
        err_set(&e, ERR_USAGE, "expected: %s", bench_tune_usage);
        return opt_fail("infer-bench", &e);
    }
    int rc = tune(args[0], &how, threads, seconds, json, &e);
    return rc < 0 ? opt_fail("infer-bench", &e) : 0;
}
