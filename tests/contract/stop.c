/* SPDX-License-Identifier: Apache-2.0 */
/* Time limits: a deadline or a flag stops a loop without end, and the model can be used afterwards.
 */
#include <pthread.h>
#include <time.h>

#include "core/threads.h"
#include "tests/contract/contract.h"

enum { SOON_MS = 50, LATE_MS = 5000 };

static double ms_since(int64_t begin)
{
    return (double)(clock_ns() - begin) / 1e6;
}

static void deadline(void)
{
    struct infer_model *m = tiny_load("loop_forever", 1, "cpu");
    struct infer_run_options o = {.size = sizeof o, .timeout_ms = SOON_MS};
    struct job j = {0};
    struct infer_error e = {0};
    if (CHECK(job_init(&j, m, "", 1)))
        for (int k = 0; k < 3; k++) {
            int64_t begin = clock_ns();
            CHECK(job_run(&j, &o, &e) == INFER_E_DEADLINE && *e.message);
            double ms = ms_since(begin);
            CHECK(ms >= SOON_MS && ms < LATE_MS);
        }
    job_clear(&j);
    infer_model_free(m);
}

static void *cancel_soon(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = SOON_MS * 1000000}, NULL);
    infer_cancel_set(arg);
    return NULL;
}

static void cancel(void)
{
    struct infer_model *m = tiny_load("loop_forever", 1, "cpu");
    struct infer_cancel *flag = infer_cancel_new(NULL);
    struct infer_run_options o = {.size = sizeof o, .timeout_ms = 4 * LATE_MS, .cancel = flag};
    struct job j = {0};
    struct infer_error e = {0};
    pthread_t thread;
    if (CHECK(flag && job_init(&j, m, "", 1)) &&
        CHECK(pthread_create(&thread, NULL, cancel_soon, flag) == 0)) {
        int64_t begin = clock_ns();
        CHECK(job_run(&j, &o, &e) == INFER_E_CANCELLED);
        CHECK(ms_since(begin) < LATE_MS);
        pthread_join(thread, NULL);
        CHECK(job_run(&j, &o, &e) == INFER_E_CANCELLED); /* the flag stays up */
    }
    job_clear(&j);
    infer_cancel_free(flag);
    infer_model_free(m);
}

/* A run that was stopped leaves nothing behind that the next one sees. */
static void used_again(void)
{
    struct infer_model *m = tiny_load("loop_sum", 2, "cpu");
    struct infer_run_options o = {.size = sizeof o, .timeout_ms = SOON_MS};
    struct job j = {0}, want = {0};
    struct infer_error e = {0};
    if (CHECK(job_init(&want, m, "k=3", 1)) && CHECK(job_set(&want, "trips", int64_scalar(10))) &&
        CHECK(job_ok(&want)) && CHECK(job_init(&j, m, "k=3", 1)) &&
        CHECK(job_set(&j, "trips", int64_scalar((int64_t)1 << 40)))) {
        int rc = job_run(&j, &o, &e);
        CHECK(rc == INFER_E_DEADLINE || rc == INFER_E_LIMIT);
        CHECK(job_set(&j, "trips", int64_scalar(10)) && job_ok(&j) && jobs_same(&j, &want));
    }
    job_clear(&j);
    job_clear(&want);
    infer_model_free(m);
}

/* A load stops within what takes long: expanding functions, inferring, all before the first pass. */
static void loading(void)
{
    struct infer_load_options o = {.size = sizeof o};
    struct infer_error e = {0};
    int64_t begin = clock_ns();
    struct infer_model *m = model_load(tiny_path("deep_functions"), &o);
    double whole = ms_since(begin);
    CHECK(m != NULL);
    infer_model_free(m);
    for (int part = 64; part > 2; part /= 4) {
        o.timeout_ms = (int)(whole / part) + 1;
        begin = clock_ns();
        m = infer_model_load(tiny_path("deep_functions"), &o, &e);
        CHECK(!m && e.code == INFER_E_DEADLINE && *e.message);
        CHECK(ms_since(begin) < whole / 2 + o.timeout_ms);
        infer_model_free(m);
    }
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {TEST(deadline), TEST(cancel), TEST(used_again),
                                             TEST(loading)};
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
