/* SPDX-License-Identifier: Apache-2.0 */
/* States: keeping the past in a state gives the bits that passing it by hand gives, after forks,
 * cuts and a round through a file, too. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/contract/contract.h"

enum { ROWS = 2, STEPS = 6, LONG = 20, FORKS = 4, PAIRS_MAX = 64 };

/* The small model with a cache. Without the pass, and on a device, its present is made as a value
 * and changes hands. */
static struct infer_model *cache_load(const char *passes, const char *device)
{
    return model_load(tiny_path("cache"),
                      &(struct infer_load_options){.size = sizeof(struct infer_load_options),
                                                   .threads = 2,
                                                   .device = device,
                                                   .passes = passes});
}

/* Inputs of one step: `n` new tokens, from the seed. */
static struct infer_value *tokens(int n, uint64_t seed)
{
    float x[ROWS * 8 * 4];
    for (int i = 0; i < ROWS * n * 4; i++)
        x[i] = (float)((seed * 31 + (uint64_t)i * 17) % 101) / 50 - 1;
    return floats(3, (const int64_t[]){ROWS, n, 4}, x);
}

static int step_size(int step)
{
    return step == 0 ? 5 : 1; /* a prompt, then token by token */
}

/* All steps with the past passed by hand: y of each into want. */
static bool by_hand(struct infer_model *m, struct infer_value **want, int steps, uint64_t seed)
{
    struct job j;
    bool ok = CHECK(job_init(&j, m, "batch=2,sequence=5,past=0", 1));
    for (int s = 0; s < steps && ok; s++) {
        ok = CHECK(job_set(&j, "x", tokens(step_size(s), seed + (uint64_t)s))) && CHECK(job_ok(&j));
        if (!ok)
            break;
        want[s] = j.out[infer_model_find_output(m, "y")];
        struct infer_value *key = j.out[infer_model_find_output(m, "present.0.key")];
        struct infer_value *value = j.out[infer_model_find_output(m, "present.0.value")];
        memset(j.out, 0, sizeof j.out);
        ok = CHECK(job_set(&j, "past_key_values.0.key", key)) &&
             CHECK(job_set(&j, "past_key_values.0.value", value));
    }
    job_clear(&j);
    return ok;
}

/* One step of a state; y. */
static struct infer_value *step(struct infer_model *m, struct infer_state *s, int n, uint64_t seed)
{
    struct infer_value *in[3] = {0}, *out[3] = {0};
    struct infer_run_options o = {.size = sizeof o, .state = s};
    struct infer_error e = {0};
    int x = infer_model_find_input(m, "x"), y = infer_model_find_output(m, "y");
    in[x] = tokens(n, seed);
    if (!CHECK(infer_run(m, (const struct infer_value *const *)in, 3, out, 3, &o, &e) == 0))
        puts(e.message);
    infer_value_free(in[x]);
    for (int i = 0; i < 3; i++)
        CHECK(i == y || !out[i]); /* the state took them */
    return out[y];
}

static bool check_step(struct infer_model *m, struct infer_state *s, int n, uint64_t seed,
                       const struct infer_value *want)
{
    struct infer_value *y = step(m, s, n, seed);
    bool same = CHECK(y && values_same(y, want));
    infer_value_free(y);
    return same;
}

static struct infer_state *state_new(struct infer_model *m)
{
    struct infer_state_pair pairs[4];
    struct infer_error e = {0};
    if (!CHECK(infer_model_find_state(m, pairs, 4) == 2) || !CHECK(pairs[0].axis == 2))
        return NULL;
    struct infer_state *s = infer_state_new(m, pairs, 2, ROWS, &e);
    if (!CHECK(s && infer_state_length(s) == 0))
        puts(e.message);
    return s;
}

static void free_all(struct infer_value **v, int n)
{
    for (int i = 0; i < n; i++)
        infer_value_free(v[i]);
}

static void decode_with(const char *passes, const char *device)
{
    struct infer_model *m = cache_load(passes, device);
    struct infer_value *want[STEPS] = {0};
    struct infer_state *s = m ? state_new(m) : NULL;
    if (CHECK(s) && by_hand(m, want, STEPS, 7))
        for (int k = 0; k < STEPS && check_step(m, s, step_size(k), 7 + (uint64_t)k, want[k]); k++)
            CHECK(infer_state_length(s) == 5 + k);
    free_all(want, STEPS);
    infer_state_free(s);
    infer_model_free(m);
}

static void prefill_and_decode(void)
{
    decode_with(NULL, "cpu");
    decode_with("-state", "cpu");
    decode_with(NULL, "fake");
}

/* Two continuations of one prompt do not see each other. */
static void fork_with(const char *passes, const char *device)
{
    struct infer_model *m = cache_load(passes, device);
    struct infer_value *want[STEPS] = {0};
    struct infer_state *s = m ? state_new(m) : NULL, *fork = NULL;
    if (CHECK(s) && by_hand(m, want, STEPS, 7)) {
        for (int k = 0; k < 3; k++)
            check_step(m, s, step_size(k), 7 + (uint64_t)k, want[k]);
        fork = infer_state_fork(s, NULL);
        CHECK(fork && infer_state_length(fork) == 7);
        infer_value_free(step(m, fork, 1, 1000)); /* another token there */
        check_step(m, s, 1, 10, want[3]);
        CHECK(infer_state_truncate(fork, 7, NULL) == 0 && infer_state_length(fork) == 7);
        check_step(m, fork, 1, 10, want[3]);
        CHECK(infer_state_truncate(s, 5, NULL) == 0);
        infer_state_free(fork);
        fork = infer_state_fork(s, NULL);
        check_step(m, s, 1, 8, want[1]);
        infer_value_free(step(m, s, 1, 2000));
        check_step(m, fork, 1, 8, want[1]);
        struct infer_error e = {0};
        CHECK(infer_state_truncate(s, 100, &e) == INFER_E_USAGE &&
              infer_state_truncate(s, -1, &e) < 0);
        CHECK(infer_state_truncate(s, 0, NULL) == 0);
        check_step(m, s, 5, 7, want[0]);
    }
    infer_state_free(fork);
    infer_state_free(s);
    free_all(want, STEPS);
    infer_model_free(m);
}

static void fork_and_truncate(void)
{
    fork_with(NULL, "cpu");
    fork_with("-state", "cpu");
    fork_with(NULL, "fake");
}

/* ---- forks on threads ---- */

struct branch {
    struct infer_model *model;
    struct infer_state *state;
    uint64_t seed;
    struct infer_value *y[LONG];
};

static void *branch_run(void *arg)
{
    struct branch *b = arg;
    for (int k = 0; k < LONG; k++)
        b->y[k] = step(b->model, b->state, 1, b->seed + (uint64_t)k);
    return NULL;
}

/* Branches of one prompt at the same time give what they give one after the other. */
static void forks_on_threads(void)
{
    struct infer_model *m = tiny_load("cache", 1, "cpu");
    struct infer_state *s = m ? state_new(m) : NULL;
    struct branch alone[FORKS], together[FORKS];
    pthread_t threads[FORKS];
    if (!CHECK(s))
        return;
    infer_value_free(step(m, s, 5, 7));
    for (int i = 0; i < FORKS; i++) {
        alone[i] = (struct branch){m, infer_state_fork(s, NULL), 100 * (uint64_t)(i + 1), {0}};
        together[i] = (struct branch){m, infer_state_fork(s, NULL), 100 * (uint64_t)(i + 1), {0}};
        branch_run(&alone[i]);
    }
    infer_state_free(s);
    for (int i = 0; i < FORKS; i++)
        CHECK(pthread_create(&threads[i], NULL, branch_run, &together[i]) == 0);
    for (int i = 0; i < FORKS; i++) {
        pthread_join(threads[i], NULL);
        for (int k = 0; k < LONG; k++)
            CHECK(together[i].y[k] && values_same(together[i].y[k], alone[i].y[k]));
        CHECK(infer_state_length(together[i].state) == 5 + LONG);
    }
    for (int i = 0; i < FORKS; i++) {
        free_all(alone[i].y, LONG);
        free_all(together[i].y, LONG);
        infer_state_free(alone[i].state);
        infer_state_free(together[i].state);
    }
    infer_model_free(m);
}

/* ---- files ---- */

static void save_and_load(void)
{
    struct infer_model *m = tiny_load("cache", 1, "cpu");
    struct infer_value *want[STEPS] = {0};
    struct infer_state *s = m ? state_new(m) : NULL, *copy = NULL;
    struct infer_error e = {0};
    char path[] = "/tmp/infer-state-XXXXXX";
    int fd = mkstemp(path);
    if (CHECK(s && fd >= 0) && by_hand(m, want, 2, 7) && check_step(m, s, 5, 7, want[0])) {
        if (!CHECK(infer_state_save(s, path, &e) == 0))
            puts(e.message);
        copy = infer_state_load(m, path, &e);
        if (CHECK(copy && infer_state_length(copy) == 5))
            check_step(m, copy, 1, 8, want[1]);
        else
            puts(e.message);
        struct infer_model *other = tiny_load("mlp", 1, "cpu");
        CHECK(!infer_state_load(other, path, &e) && e.code < 0);
        infer_model_free(other);
        CHECK(truncate(path, 40) == 0 && !infer_state_load(m, path, &e) && e.code < 0);
    }
    if (fd >= 0)
        close(fd);
    unlink(path);
    infer_state_free(copy);
    infer_state_free(s);
    free_all(want, STEPS);
    infer_model_free(m);
}

static bool write_bytes(const char *path, const unsigned char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, n, f) == n;
    return f && fclose(f) == 0 && ok;
}

/* Cut anywhere, a file is refused; with any byte changed, it is refused or a state that can run. */
static void hostile_bytes(struct infer_model *m, const char *path, unsigned char *bytes, size_t n)
{
    struct infer_error e = {0};
    for (size_t i = 0; i < n; i++) {
        CHECK(write_bytes(path, bytes, i) && !infer_state_load(m, path, &e) &&
              e.code == INFER_E_INPUT);
        bytes[i] ^= i % 2 ? 0xff : 0x81;
        CHECK(write_bytes(path, bytes, n));
        struct infer_state *s = infer_state_load(m, path, &e);
        bytes[i] ^= i % 2 ? 0xff : 0x81;
        CHECK(s || (e.code < 0 && *e.message));
        infer_state_free(s);
    }
    bytes[n] = 0;
    CHECK(write_bytes(path, bytes, n + 1) && !infer_state_load(m, path, &e) &&
          e.code == INFER_E_INPUT);
}

static void hostile_files(void)
{
    struct infer_model *m = tiny_load("cache", 1, "cpu");
    struct infer_state *s = m ? state_new(m) : NULL;
    char path[] = "/tmp/infer-state-XXXXXX";
    unsigned char bytes[1024];
    int fd = mkstemp(path);
    if (CHECK(s && fd >= 0)) {
        infer_value_free(step(m, s, 2, 7));
        CHECK(infer_state_save(s, path, NULL) == 0);
        FILE *f = fopen(path, "rb");
        size_t n = f ? fread(bytes, 1, sizeof(bytes) - 1, f) : 0;
        if (f)
            fclose(f);
        if (CHECK(n > 100 && n < sizeof(bytes) - 1))
            hostile_bytes(m, path, bytes, n);
        CHECK(!infer_state_load(m, "/tmp", NULL) && !infer_state_load(m, "/nowhere/state", NULL));
        CHECK(infer_state_save(s, "/nowhere/state", NULL) == INFER_E_FILE);
    }
    if (fd >= 0)
        close(fd);
    unlink(path);
    infer_state_free(s);
    infer_model_free(m);
}

/* A state may be saved and loaded again after its model has gone. */
static void outlives_model(void)
{
    struct infer_model *m = tiny_load("cache", 1, "cpu");
    struct infer_state *s = m ? state_new(m) : NULL, *fork;
    char path[] = "/tmp/infer-state-XXXXXX";
    int fd = mkstemp(path);
    struct infer_error e = {0};
    if (CHECK(s && fd >= 0)) {
        infer_value_free(step(m, s, 5, 7));
        infer_model_free(m);
        m = tiny_load("cache", 1, "cpu");
        fork = infer_state_fork(s, NULL);
        CHECK(fork && infer_state_truncate(fork, 3, NULL) == 0 &&
              infer_state_save(fork, path, NULL) == 0);
        infer_state_free(fork);
        fork = infer_state_load(m, path, &e);
        CHECK(fork && infer_state_length(fork) == 3);
        infer_state_free(fork);
    }
    if (fd >= 0)
        close(fd);
    unlink(path);
    infer_state_free(s);
    infer_model_free(m);
}

/* ---- failures ---- */

static void wrong_pairs(void)
{
    struct infer_model *m = tiny_load("cache", 1, "cpu");
    struct infer_state_pair p[3] = {{"past_key_values.0.key", "present.0.key", 2},
                                    {"past_key_values.0.value", "present.0.key", 2},
                                    {"past_key_values.0.key", "present.0.value", 2}};
    struct infer_error e = {0};
    if (!CHECK(m))
        return;
    CHECK(!infer_state_new(m, p, 2, 1, &e) && e.code == INFER_E_USAGE);
    p[1] = p[2];
    CHECK(!infer_state_new(m, p, 2, 1, &e) && e.code == INFER_E_USAGE);
    p[0].axis = 4;
    CHECK(!infer_state_new(m, p, 1, 1, &e) && e.code == INFER_E_USAGE);
    p[0].axis = 2;
    CHECK(!infer_state_new(m, p, 1, 0, &e) && !infer_state_new(m, p, 0, 1, &e));
    p[0].past = "x";
    CHECK(!infer_state_new(m, p, 1, 1, &e) && e.code == INFER_E_USAGE);
    infer_model_free(m);
}

/* A run that fails leaves the state as it was. */
static void failed_run(void)
{
    struct infer_model *m = tiny_load("cache", 1, "cpu"), *other = tiny_load("cache", 1, "cpu");
    struct infer_value *want[STEPS] = {0};
    struct infer_state *s = m ? state_new(m) : NULL;
    struct infer_run_options o = {.size = sizeof o, .state = s};
    struct infer_error e = {0};
    if (CHECK(s && other) && by_hand(m, want, 2, 7) && check_step(m, s, 5, 7, want[0])) {
        struct infer_value *in[3] = {0}, *out[3] = {0};
        in[infer_model_find_input(m, "x")] = floats(3, (const int64_t[]){ROWS + 1, 1, 4}, NULL);
        CHECK(infer_run(m, (const struct infer_value *const *)in, 3, out, 3, &o, &e) ==
              INFER_E_INPUT);
        CHECK(infer_state_length(s) == 5);
        CHECK(infer_run(other, (const struct infer_value *const *)in, 3, out, 3, &o, &e) ==
              INFER_E_USAGE);
        /* All is computed, but the caller's buffer does not fit. */
        int x = infer_model_find_input(m, "x"), y = infer_model_find_output(m, "y");
        infer_value_free(in[x]);
        in[x] = tokens(1, 99);
        out[y] = floats(1, (const int64_t[]){1}, NULL);
        CHECK(infer_run(m, (const struct infer_value *const *)in, 3, out, 3, &o, &e) ==
              INFER_E_INPUT);
        CHECK(infer_state_length(s) == 5);
        o.cancel = infer_cancel_new(NULL);
        infer_cancel_set(o.cancel);
        CHECK(infer_run(m, (const struct infer_value *const *)in, 3, out, 3, &o, &e) ==
              INFER_E_CANCELLED);
        CHECK(infer_state_length(s) == 5);
        infer_cancel_free(o.cancel);
        check_step(m, s, 1, 8, want[1]);
        free_all(in, 3);
        free_all(out, 3);
    }
    infer_state_free(s);
    free_all(want, STEPS);
    infer_model_free(other);
    infer_model_free(m);
}

/* Whichever allocation fails: the state is as it was, and the step can be done again. */
static void short_of_memory(void)
{
    struct infer_model *m = tiny_load("cache", 1, "cpu");
    struct infer_value *want[STEPS] = {0}, *in[3] = {0}, *out[3] = {0};
    struct infer_state *s = m ? state_new(m) : NULL;
    struct infer_error e = {0};
    int rc = -1;
    if (CHECK(s) && by_hand(m, want, 2, 7) && check_step(m, s, 5, 7, want[0])) {
        in[infer_model_find_input(m, "x")] = tokens(1, 8);
        for (uint64_t i = 1; rc < 0 && i < 1000; i++) {
            struct infer_state *fork = infer_state_fork(s, NULL);
            struct infer_run_options o = {.size = sizeof o, .state = fork};
            mem_fail_after(i, true);
            rc = infer_run(m, (const struct infer_value *const *)in, 3, out, 3, &o, &e);
            mem_fail_after(0, false);
            free_all(out, 3);
            memset(out, 0, sizeof out);
            CHECK(rc == 0 || rc == INFER_E_MEMORY);
            CHECK(infer_state_length(fork) == (rc == 0 ? 6 : 5));
            if (rc < 0)
                check_step(m, fork, 1, 8, want[1]);
            infer_state_free(fork);
        }
        CHECK(rc == 0);
    }
    free_all(in, 3);
    infer_state_free(s);
    free_all(want, STEPS);
    infer_model_free(m);
}

/* Making, forking, saving and loading: what fails says so and leaves nothing behind. */
static void life_short_of_memory(void)
{
    struct infer_model *m = tiny_load("cache", 1, "cpu");
    struct infer_state *s = m ? state_new(m) : NULL;
    struct infer_state_pair pairs[4];
    char path[] = "/tmp/infer-state-XXXXXX";
    int fd = mkstemp(path), done = 0;
    if (CHECK(s && fd >= 0)) {
        int n = infer_model_find_state(m, pairs, 4);
        infer_value_free(step(m, s, 5, 7));
        CHECK(infer_state_save(s, path, NULL) == 0);
        for (uint64_t i = 1; done < 4 && i < 100; i++) {
            size_t before = budget_process()->used;
            struct infer_error e = {0};
            mem_fail_after(i, true);
            struct infer_state *made = infer_state_new(m, pairs, n, 1, &e);
            done = made != NULL;
            infer_state_free(made);
            CHECK(made || e.code == INFER_E_MEMORY);
            mem_fail_after(i, true);
            made = infer_state_fork(s, &e);
            done += made != NULL;
            infer_state_free(made);
            CHECK(made || e.code == INFER_E_MEMORY);
            mem_fail_after(i, true);
            int rc = infer_state_save(s, path, &e);
            done += rc == 0;
            CHECK(rc == 0 || rc == INFER_E_MEMORY);
            mem_fail_after(i, true);
            made = infer_state_load(m, path, &e);
            done += made != NULL;
            infer_state_free(made);
            CHECK(made || e.code == INFER_E_MEMORY);
            mem_fail_after(0, false);
            CHECK(budget_process()->used == before);
        }
        CHECK(done == 4);
    }
    if (fd >= 0)
        close(fd);
    unlink(path);
    infer_state_free(s);
    infer_model_free(m);
}

/* ---- a whole model ---- */

/* One step by hand and one with the state; the presents become the pasts. */
static bool both(struct infer_model *m, struct infer_state *s, const struct infer_state_pair *pairs,
                 int n_pairs, struct infer_value **past, int length, int n)
{
    char dims[128];
    struct job j;
    struct infer_value *in[JOB_PORTS], *out[JOB_PORTS] = {0};
    struct infer_run_options o = {.size = sizeof o, .state = s};
    struct infer_error e = {0};
    snprintf(dims, sizeof dims, "batch=1,sequence=%d,past_sequence=%d,total_sequence=%d", n, length,
             length + n);
    bool ok = CHECK(job_init(&j, m, dims, (uint64_t)length + 1));
    for (int k = 0; k < n_pairs && ok; k++) {
        ok = !past[k] || CHECK(job_set(&j, pairs[k].past, past[k]));
        past[k] = NULL;
    }
    if (ok) {
        memcpy(in, j.in, sizeof in);
        for (int k = 0; k < n_pairs; k++)
            in[infer_model_find_input(m, pairs[k].past)] = NULL;
        ok = CHECK(job_ok(&j)) && CHECK(infer_run(m, (const struct infer_value *const *)in, j.n_in,
                                                  out, j.n_out, &o, &e) == 0);
    }
    for (int k = 0; k < n_pairs && ok; k++) {
        int i = infer_model_find_output(m, pairs[k].present);
        ok = CHECK(!out[i]);
        past[k] = j.out[i];
        j.out[i] = NULL;
    }
    for (int i = 0; i < j.n_out && ok; i++)
        ok = !out[i] || CHECK(values_same(out[i], j.out[i]));
    free_all(out, j.n_out);
    job_clear(&j);
    return ok;
}

static void whole_model(void)
{
    const char *path = MODELS "/qwen2_tiny.onnx";
    struct infer_state_pair pairs[PAIRS_MAX];
    struct infer_value *past[PAIRS_MAX] = {0};
    struct infer_error e = {0};
    if (!*MODELS || access(path, R_OK) != 0) {
        unit_skip("no architecture models in " MODELS);
        return;
    }
    struct infer_model *m = model_load(path, NULL);
    int n = m ? infer_model_find_state(m, pairs, PAIRS_MAX) : 0;
    struct infer_state *s =
        CHECK(n > 0 && n <= PAIRS_MAX) ? infer_state_new(m, pairs, n, 1, &e) : NULL;
    if (CHECK(s)) {
        bool ok = both(m, s, pairs, n, past, 0, 5);
        for (int k = 0; k < LONG && ok; k++)
            ok = both(m, s, pairs, n, past, 5 + k, 1) && CHECK(infer_state_length(s) == 6 + k);
    }
    free_all(past, PAIRS_MAX);
    infer_state_free(s);
    infer_model_free(m);
}

static const struct unit_test tests[] = {
    TEST(prefill_and_decode),   TEST(fork_and_truncate), TEST(forks_on_threads),
    TEST(save_and_load),        TEST(hostile_files),     TEST(outlives_model),
    TEST(wrong_pairs),          TEST(failed_run),        TEST(short_of_memory),
    TEST(life_short_of_memory), TEST(whole_model),
};
UNIT_MAIN(tests)
