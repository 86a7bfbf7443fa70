/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: limits that are kept, allocations that fail, runs that leave nothing behind.
 *
 * What the process's budget counts before and after must be the same; a run in a steady state
 * allocates its outputs and nothing that grows with the model. */
#include <stdatomic.h>
#include <stdlib.h>

#include "core/mem.h"
#include "tests/contract/contract.h"

static size_t used(void)
{
    return atomic_load(&budget_process()->used);
}

static size_t resident_kb(void)
{
    char line[256];
    unsigned long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %lu", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

/* ---- limits
 * --------------------------------------------------------------------------------------- */

static void limit(void)
{
    size_t before = used(), old = budget_process()->limit;
    budget_process_limit(used() + (32u << 20));
    struct infer_model *m = tiny_load("expand_bomb", 1, "cpu");
    struct job j = {0};
    struct infer_error e = {0};
    if (CHECK(job_init(&j, m, "", 1))) {
        static const int64_t sizes[] = {(int64_t)1 << 26, (int64_t)1 << 40, INT64_MAX};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            CHECK(job_set(&j, "n", int64s(1, &sizes[i])));
            CHECK(job_run(&j, NULL, &e) == INFER_E_LIMIT && *e.message);
        }
        CHECK(job_set(&j, "n", int64s(1, &(int64_t){100})) && job_ok(&j));
    }
    job_clear(&j);
    infer_model_free(m);
    CHECK(used() == before);
    budget_process_limit(old);
}

static void limit_at_load(void)
{
    size_t before = used(), old = budget_process()->limit;
    struct infer_error e = {0};
    budget_process_limit(used() + 4096);
    struct infer_model *m = infer_model_load(tiny_path("encoder"), NULL, &e);
    CHECK(!m && (e.code == INFER_E_LIMIT || e.code == INFER_E_MEMORY));
    infer_model_free(m);
    CHECK(used() == before);
    budget_process_limit(old);
}

/* ---- failing allocations
 * -------------------------------------------------------------------------- */

static struct infer_value *small_map(const struct infer_port *p, struct infer_error *e)
{
    struct infer_value *keys = infer_value_new(p->type, 1, (int64_t[]){1}, e), *map = NULL;
    struct infer_value *values = keys ? infer_value_new(p->value_type, 1, (int64_t[]){1}, e) : NULL;
    if (values)
        map = infer_value_map(keys, values, e);
    infer_value_free(keys);
    infer_value_free(values);
    return map;
}

/* Load and run. 0, or the code of what failed. */
static int attempt(const char *name, const char *dims, const char *device)
{
    struct infer_error e = {0};
    struct infer_load_options o = {.size = sizeof o, .threads = 2, .device = device};
    struct infer_model *m = infer_model_load(tiny_path(name), &o, &e);
    if (!m)
        return e.code;
    struct infer_value *in[8] = {0}, *out[8] = {0};
    int n_in = infer_model_inputs(m), n_out = infer_model_outputs(m);
    for (int i = 0; i < n_in && e.code == 0; i++) {
        const struct infer_port *p = infer_model_input(m, i);
        int64_t d[INFER_RANK_MAX];
        for (int k = 0; k < p->rank; k++)
            d[k] = p->dims[k] >= 0 ? p->dims[k] : dims_find(dims, p->symbols[k]);
        in[i] = p->kind == INFER_MAP ? small_map(p, &e) : infer_value_new(p->type, p->rank, d, &e);
    }
    if (e.code == 0)
        infer_run(m, (const struct infer_value *const *)in, n_in, out, n_out, NULL, &e);
    for (int i = 0; i < n_in; i++)
        infer_value_free(in[i]);
    for (int i = 0; i < n_out; i++)
        infer_value_free(out[i]);
    infer_model_free(m);
    return e.code;
}

/* Every allocation of a load and a run fails once. Some failures may be survived (a smaller plan, a
 * span of a trace); none may leak or end in another error. protobuf-c does not say why it gave up,
 * so the reader's is that of its limit. */
static void fail_each(const char *name, const char *dims, const char *device, bool sticky)
{
    CHECK(attempt(name, dims, device) == 0); /* what the process allocates once is there now */
    size_t before = used();
    mem_fail_after(0, false);
    CHECK(attempt(name, dims, device) == 0);
    uint64_t n = mem_fail_count();
    for (uint64_t i = 1; i <= n; i++) {
        mem_fail_after(i, sticky);
        int rc = attempt(name, dims, device);
        mem_fail_after(0, false);
        if (!CHECK(rc == INFER_E_MEMORY || rc == INFER_E_LIMIT || rc == 0) ||
            !CHECK(used() == before)) {
            printf("%s: allocation %d of %d: code %d, %zd bytes left behind\n", name, (int)i,
                   (int)n, rc, (ssize_t)(used() - before));
            return;
        }
    }
}

static void failing_mlp(void)
{
    fail_each("mlp", "batch=3", "cpu", false);
    fail_each("mlp", "batch=3", "cpu", true);
    fail_each("mlp", "batch=3", "fake", false);
}

static void failing_conv(void)
{
    fail_each("conv", "batch=2", "cpu", false);
}

static void failing_encoder(void)
{
    fail_each("encoder", "batch=2,sequence=5", "cpu", false);
}

static void failing_control(void)
{
    fail_each("loop_sum", "k=3", "cpu", false);
    fail_each("scan_sum", "n=4", "cpu", false);
    fail_each("if_else", "n=4", "cpu", false);
    fail_each("sequence", "n=3", "cpu", false);
    fail_each("maps", "n=3", "cpu", false);
    fail_each("late", "n=9", "cpu", false);
}

static void failing_text(void)
{
    fail_each("text", "n=3", "cpu", false);
    fail_each("functions", "n=3", "cpu", false);
    fail_each("external", "n=3", "cpu", false);
    fail_each("cache", "batch=1,sequence=2,past=3", "cpu", false);
}

/* ---- a steady state
 * ------------------------------------------------------------------------------- */

/* Outputs are three blocks each (value, buffer, elements); the call has its two lists. */
static void steady(const char *name, const char *dims)
{
    struct infer_model *m = tiny_load(name, 2, "cpu");
    struct job j = {0};
    if (CHECK(job_init(&j, m, dims, 1)) && CHECK(job_ok(&j)) && CHECK(job_ok(&j)))
        for (int k = 0; k < 3; k++) {
            mem_fail_after(0, false);
            CHECK(job_ok(&j));
            uint64_t made = mem_fail_count();
            if (!CHECK(made <= 2 + 3 * (uint64_t)j.n_out))
                printf("%s: %d allocations in a steady run of %d outputs\n", name, (int)made,
                       j.n_out);
        }
    job_clear(&j);
    infer_model_free(m);
}

static void steady_runs(void)
{
    steady("mlp", "batch=3");
    steady("conv", "batch=2");
    steady("encoder", "batch=2,sequence=7");
    steady("cache", "batch=2,sequence=3,past=4");
}

/* Dims that stay within their bucket take no new plan. */
static void plans_are_kept(void)
{
    struct infer_model *m = tiny_load("encoder", 1, "cpu");
    struct infer_model_stats first = {.size = sizeof first}, last = first;
    for (int sequence = 33; sequence <= 48; sequence++) {
        char dims[64];
        struct job j = {0};
        snprintf(dims, sizeof dims, "batch=1,sequence=%d", sequence);
        CHECK(job_init(&j, m, dims, 1) && job_ok(&j));
        job_clear(&j);
        infer_model_stats(m, sequence == 33 ? &first : &last);
    }
    CHECK(first.plans >= 1 && last.plans <= first.plans + 2 && last.runs == 16);
    infer_model_free(m);
}

static void random_dims(void)
{
    enum { WARM = 100, RUNS = 600 };
    struct infer_model *m = tiny_load("encoder", 2, "cpu");
    size_t budget = 0, resident = resident_kb();
    for (int k = 0; k < WARM + RUNS && CHECK(m); k++) {
        char dims[64];
        struct job j = {0};
        snprintf(dims, sizeof dims, "batch=%d,sequence=%d", 1 + k * 7 % 5, 1 + k * 37 % 83);
        if (!CHECK(job_init(&j, m, dims, 1)) || !CHECK(job_ok(&j))) {
            job_clear(&j);
            break;
        }
        job_clear(&j);
        if (k == WARM) {
            budget = used();
            resident = resident_kb();
        }
    }
    /* Plans and contexts come and go within their bounds, hence the slack. */
    CHECK(used() <= budget + (4u << 20));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    unit_skip("sanitizers keep freed memory: resident memory is not looked at");
#else
    CHECK(resident_kb() <= resident + 16 * 1024);
#endif
    infer_model_free(m);
}

/* Everything that a model took is given back with it. */
static void nothing_stays(void)
{
    static const char *const names[][2] = {{"mlp", "batch=2"},
                                           {"encoder", "batch=2,sequence=5"},
                                           {"loop_sum", "k=4"},
                                           {"sequence", "n=4"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK(attempt(names[i][0], names[i][1], "cpu") == 0);
    size_t before = used();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CHECK(attempt(names[i][0], names[i][1], "cpu") == 0);
        CHECK(used() == before);
    }
}

static const struct unit_test tests[] = {
    TEST(nothing_stays), TEST(limit),           TEST(limit_at_load),   TEST(failing_mlp),
    TEST(failing_conv),  TEST(failing_encoder), TEST(failing_control), TEST(failing_text),
    TEST(steady_runs),   TEST(plans_are_kept),  TEST(random_dims),
};
UNIT_MAIN(tests)
