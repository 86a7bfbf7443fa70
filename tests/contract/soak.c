/* SPDX-License-Identifier: Apache-2.0 */
/* What takes long, for tools/soak.sh:
 *
 *     soak fail MODEL DIMS [FROM TO]   each allocation of a load and a run fails, one after the
 * other soak runs MODEL N SYMBOL:MAX ... N runs with random dims; resident memory must stay flat
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/threads.h"
#include "tests/contract/contract.h"

static size_t used(void)
{
    return atomic_load(&budget_process()->used);
}

static size_t resident_mb(void)
{
    char line[256];
    unsigned long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %lu", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb >> 10;
}

static int attempt(const char *path, const char *dims, struct infer_error *e)
{
    struct infer_load_options o = {.size = sizeof o, .threads = 1};
    struct infer_model *m = infer_model_load(path, &o, e);
    struct job j = {.model = m};
    if (!m)
        return e->code;
    j.n_in = infer_model_inputs(m);
    j.n_out = infer_model_outputs(m);
    for (int i = 0; i < j.n_in && e->code == 0; i++) {
        const struct infer_port *p = infer_model_input(m, i);
        int64_t d[INFER_RANK_MAX];
        for (int k = 0; k < p->rank; k++)
            d[k] = p->dims[k] >= 0 ? p->dims[k] : dims_find(dims, p->symbols[k]);
        j.in[i] = infer_value_new(p->type, p->rank < 0 ? 0 : p->rank, d, e);
    }
    int rc = e->code ? e->code : job_run(&j, NULL, e);
    job_clear(&j);
    infer_model_free(m);
    return rc;
}

static int fail_each(const char *path, const char *dims, uint64_t from, uint64_t to)
{
    struct infer_error e = {0};
    if (attempt(path, dims, &e) < 0) {
        printf("%s: %s\n", path, e.message);
        return 1;
    }
    size_t before = used();
    mem_fail_after(0, false);
    int rc = attempt(path, dims, &e), survived = 0;
    uint64_t n = mem_fail_count();
    for (uint64_t i = from; i <= n && i <= to && rc == 0; i++) {
        e = (struct infer_error){0};
        mem_fail_after(i, false);
        int got = attempt(path, dims, &e);
        mem_fail_after(0, false);
        survived += got == 0;
        if ((got != 0 && got != INFER_E_MEMORY && got != INFER_E_LIMIT) || used() != before) {
            printf("%s: allocation %d of %d: code %d (%s), %zd bytes left behind\n", path, (int)i,
                   (int)n, got, e.message, (ssize_t)(used() - before));
            rc = 1;
        }
    }
    printf("%s: %d allocations, %d failures survived: %s\n", path, (int)n, survived,
           rc == 0 ? "ok" : "failed");
    return rc != 0;
}

/* A number in [1, max], from SYMBOL:MAX; the text goes to dims as SYMBOL=N. */
static void draw(const char *range, uint64_t *state, char *dims, size_t size)
{
    const char *colon = strchr(range, ':');
    size_t used_bytes = strlen(dims);
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    long max = colon ? strtol(colon + 1, NULL, 10) : 1;
    snprintf(dims + used_bytes, size - used_bytes, "%s%.*s=%ld", used_bytes ? "," : "",
             (int)(colon ? colon - range : 0), range,
             1 + (long)((*state >> 33) % (uint64_t)(max > 0 ? max : 1)));
}

static int run_many(const char *path, long n, char **ranges, int n_ranges)
{
    struct infer_model *m = model_load(path, NULL);
    uint64_t state = 1;
    size_t warm = 0, most = 0, after = 0;
    for (long k = 0; k < n && m; k++) {
        struct job j;
        char dims[256] = "";
        for (int i = 0; i < n_ranges; i++)
            draw(ranges[i], &state, dims, sizeof dims);
        bool ok = job_init(&j, m, dims, (uint64_t)k) && job_ok(&j);
        job_clear(&j);
        if (!ok) {
            printf("%s: run %ld with %s failed\n", path, k, dims);
            return 1;
        }
        after = resident_mb();
        most = after > most ? after : most;
        if (k == n / 4)
            warm = most;
    }
    infer_model_free(m);
    bool flat = most <= warm + warm / 10 + 16;
    printf("%s: %ld runs, %zu MB resident after a quarter, %zu at most: %s\n", path, n, warm, most,
           flat ? "flat" : "growing");
    return !m || !flat;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "fail") == 0)
        return fail_each(argv[2], argv[3], argc > 4 ? strtoull(argv[4], NULL, 10) : 1,
                         argc > 5 ? strtoull(argv[5], NULL, 10) : UINT64_MAX);
    if (argc >= 4 && strcmp(argv[1], "runs") == 0)
        return run_many(argv[2], strtol(argv[3], NULL, 10), argv + 4, argc - 4);
    fprintf(stderr, "usage: soak fail MODEL DIMS [FROM TO] | soak runs MODEL N SYMBOL:MAX ...\n");
    return 2;
}
