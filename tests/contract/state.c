/* SPDX-License-Identifier: Apache-2.0 */
/* States: keeping the past in a state gives the bits that passing it by hand gives, after forks, cuts and
 * a round through a file, too. */
#include <stdlib.h>
#include <unistd.h>

#include "tests/contract/contract.h"

enum { ROWS = 2, STEPS = 6 };

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

static void prefill_and_decode(void)
{
    struct infer_model *m = tiny_load("cache", 2, "cpu");
    struct infer_value *want[STEPS] = {0};
    struct infer_state *s = m ? state_new(m) : NULL;
    if (CHECK(s) && by_hand(m, want, STEPS, 7))
        for (int k = 0; k < STEPS && check_step(m, s, step_size(k), 7 + (uint64_t)k, want[k]); k++)
            CHECK(infer_state_length(s) == 5 + k);
    free_all(want, STEPS);
    infer_state_free(s);
    infer_model_free(m);
}

/* Two continuations of one prompt do not see each other. */
static void fork_and_truncate(void)
{
    struct infer_model *m = tiny_load("cache", 1, "cpu");
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
        check_step(m, s, 1, 8, want[1]);
        struct infer_error e = {0};
        CHECK(infer_state_truncate(s, 100, &e) == INFER_E_USAGE && infer_state_truncate(s, -1, &e) < 0);
        CHECK(infer_state_truncate(s, 0, NULL) == 0);
        check_step(m, s, 5, 7, want[0]);
    }
    infer_state_free(fork);
    infer_state_free(s);
    free_all(want, STEPS);
    infer_model_free(m);
}

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
        CHECK(infer_run(m, (const struct infer_value *const *)in, 3, out, 3, &o, &e) == INFER_E_INPUT);
        CHECK(infer_state_length(s) == 5);
        CHECK(infer_run(other, (const struct infer_value *const *)in, 3, out, 3, &o, &e) == INFER_E_USAGE);
        check_step(m, s, 1, 8, want[1]);
        free_all(in, 3);
        free_all(out, 3);
    }
    infer_state_free(s);
    free_all(want, STEPS);
    infer_model_free(other);
    infer_model_free(m);
}

static const struct unit_test tests[] = {TEST(prefill_and_decode), TEST(fork_and_truncate), TEST(save_and_load),
                                         TEST(failed_run)};
UNIT_MAIN(tests)
