/* SPDX-License-Identifier: Apache-2.0 */
/* infer-bench: how long loading, the first run and steady runs of a model take, and its peak memory; the
 * other subcommands are in files of their own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/threads.h"
#include "tools/bench.h"

static const char usage[] = "infer-bench model MODEL [--dim NAME=N ...] [--threads N] [--seconds S] [--json]";
static const char about[] =
    "Times one model. Inputs are drawn from a fixed seed: floats uniform in [0, 1), integers in [0, 100),\n"
    "ones if the name has \"mask\", zeros if it has \"type\". load_ms is loading, first_ms the first run; the\n"
    "steady runs come after two more. peak_rss_mb is VmHWM, the process's peak resident memory.";

/* Without a subcommand's name. */
static const char others[] = "\nsubcommands, each with its own --help:\n  %s\n  %s\n  %s\n";

struct settings {
    struct input_options how;
    struct opt_list then;
    double seconds;
    bool json, help;
};

struct times {
    double load, first;
    double *runs;
    size_t n, capacity;
};

static double ms_since(int64_t begin)
{
    return (double)(clock_ns() - begin) / 1e6;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double peak_rss_mb(void)
{
    char line[256];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "VmHWM: %ld", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return (double)kb / 1024;
}

struct infer_value **bench_inputs(struct infer_model *m, const struct input_options *how, struct err *e)
{
    int n = infer_model_inputs(m);
    struct infer_value **in = mem_calloc(NULL, (size_t)n + 1, sizeof(*in), e);
    for (int i = 0; in && i < n; i++) {
        in[i] = inputs_random(m, i, how, e);
        if (!in[i]) {
            bench_inputs_free(in);
            return NULL;
        }
    }
    return in;
}

void bench_inputs_free(struct infer_value **in)
{
    for (int i = 0; in && in[i]; i++)
        infer_value_free(in[i]);
    mem_free(in);
}

static int run_once(struct infer_model *m, struct infer_value **in, struct infer_value **out, double *ms,
                    struct err *e)
{
    struct infer_error inner = {0};
    for (int i = 0; i < infer_model_outputs(m); i++) {
        infer_value_free(out[i]);
        out[i] = NULL;
    }
    int64_t begin = clock_ns();
    int rc = infer_run(m, (const struct infer_value *const *)in, infer_model_inputs(m), out,
                       infer_model_outputs(m), NULL, &inner);
    *ms = ms_since(begin);
    return rc < 0 ? from_infer(&inner, e) : 0;
}

static int time_runs(const struct settings *s, struct infer_model *m, struct infer_value **in,
                     struct infer_value **out, struct times *t, struct err *e)
{
    double ms;
    int rc = run_once(m, in, out, &t->first, e);
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = run_once(m, in, out, &ms, e);
    int64_t begin = clock_ns();
    while (rc == 0 && (t->n < 5 || ms_since(begin) < s->seconds * 1e3)) {
        rc = run_once(m, in, out, &ms, e);
        if (rc == 0)
            rc = mem_grow(NULL, (void **)&t->runs, t->n, &t->capacity, sizeof(*t->runs), e);
        if (rc == 0)
            t->runs[t->n++] = ms;
    }
    return rc;
}

/* One more run with other dims: what a new size costs (plan_ms, dims_ms of the statistics). */
static int run_then(const struct settings *s, struct infer_model *m, struct infer_value **out, struct err *e)
{
    struct input_options how = s->how;
    double ms;
    how.dims = s->then;
    struct infer_value **in = bench_inputs(m, &how, e);
    int rc = in ? run_once(m, in, out, &ms, e) : e->code;
    bench_inputs_free(in);
    return rc;
}

static double quantile(const struct times *t, double q)
{
    size_t i = (size_t)(q * (double)t->n);
    return t->runs[i < t->n ? i : t->n - 1];
}

static void report(const struct settings *s, const char *path, int threads, struct infer_model *m,
                   struct times *t)
{
    struct infer_model_stats st = {.size = sizeof(st)};
    double sum = 0;
    infer_model_stats(m, &st);
    qsort(t->runs, t->n, sizeof(*t->runs), ascending);
    for (size_t i = 0; i < t->n; i++)
        sum += t->runs[i];
    if (s->json) {
        printf("{\"engine\": \"infer\", \"model\": \"%s\", \"threads\": %d, \"load_ms\": %.3f, "
               "\"first_ms\": %.3f, \"p50_ms\": %.4f, \"p90_ms\": %.4f, \"p99_ms\": %.4f, \"min_ms\": %.4f, "
               "\"mean_ms\": %.4f, \"runs\": %zu, \"peak_rss_mb\": %.1f, \"plan_ms\": %.4f, "
               "\"dims_ms\": %.4f}\n",
               path, threads, t->load, t->first, quantile(t, .5), quantile(t, .9), quantile(t, .99),
               t->runs[0], sum / (double)t->n, t->n, peak_rss_mb(), st.plan_ms, st.dims_ms);
        return;
    }
    printf("load    %10.3f ms\nfirst   %10.3f ms\np50     %10.4f ms\np90     %10.4f ms\np99     %10.4f ms\n"
           "min     %10.4f ms\nmean    %10.4f ms  (%zu runs, %d threads)\n",
           t->load, t->first, quantile(t, .5), quantile(t, .9), quantile(t, .99), t->runs[0],
           sum / (double)t->n, t->n, threads);
    printf("weights %10.1f MiB, %.1f packed\narena   %10.1f MiB\nplan    %10.4f ms\ndims    %10.4f ms\n"
           "peak    %10.1f MiB resident\n",
           (double)st.weight_bytes / 1048576, (double)st.packed_bytes / 1048576,
           (double)st.arena_bytes / 1048576, st.plan_ms, st.dims_ms, peak_rss_mb());
}

static int bench_model(struct settings *s, const char *path, int64_t threads, struct err *e)
{
    struct infer_error inner = {0};
    struct infer_load_options o = {.size = sizeof(o), .threads = (int)threads};
    struct times t = {0};
    int64_t begin = clock_ns();
    struct infer_model *m = infer_model_load(path, &o, &inner);
    t.load = ms_since(begin);
    if (!m)
        return from_infer(&inner, e);
    int n_out = infer_model_outputs(m);
    struct infer_value **in = NULL, **out = mem_calloc(NULL, (size_t)n_out + 1, sizeof(*out), e);
    int rc = out ? inputs_check_dims(m, &s->how, e) : ERR_MEMORY;
    if (rc == 0) {
        in = bench_inputs(m, &s->how, e);
        rc = in ? 0 : e->code;
    }
    if (rc == 0)
        rc = time_runs(s, m, in, out, &t, e);
    if (rc == 0 && s->then.n)
        rc = run_then(s, m, out, e);
    if (rc == 0)
        report(s, path, threads ? (int)threads : threads_available(), m, &t);
    bench_inputs_free(in);
    for (int i = 0; out && i < n_out; i++)
        infer_value_free(out[i]);
    mem_free(out);
    mem_free(t.runs);
    infer_model_free(m);
    return rc;
}

int main(int argc, char **argv)
{
    struct settings s = {.seconds = 2};
    const char *args[2] = {NULL};
    int64_t threads = 0;
    struct err e = {0};
    const struct opt rows[] = {
        {OPT_LIST, "dim", "NAME=N", "the value of a symbolic dimension (1)", &s.how.dims},
        {OPT_LIST, "then", "NAME=N", "other dims for a last run, whose plan and dims times are printed", &s.then},
        {OPT_INT, "threads", "N", "computing threads (as many as the process may use)", &threads, 0, 4096},
        {OPT_FLOAT, "seconds", "S", "how long to measure (2)", &s.seconds},
        BENCH_KNOBS,
        {OPT_KNOB, "tuning", "on|off", "off: do not look choices up in the tuning cache"},
        {OPT_FLAG, "json", NULL, "one JSON object", &s.json},
        {OPT_FLAG, "help", NULL, "print this", &s.help},
        {0},
    };
    if (argc > 1 && strcmp(argv[1], "tune") == 0)
        return bench_tune(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "kernel") == 0)
        return bench_kernel(argc - 1, argv + 1);
    int n = opt_parse(rows, argc, argv, args, 2, &e);
    if (n < 0)
        return opt_fail("infer-bench", &e);
    if (s.help) {
        opt_help(usage, about, rows);
        printf(others, usage, bench_tune_usage, bench_kernel_usage);
        return 0;
    }
    if (n < 2 || strcmp(args[0], "model") != 0) {
        err_set(&e, ERR_USAGE, "expected: %s", usage);
        return opt_fail("infer-bench", &e);
    }
    int rc = bench_model(&s, args[1], threads, &e);
    return rc < 0 ? opt_fail("infer-bench", &e) : 0;
}
