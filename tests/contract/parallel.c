/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: a model shared by eight of them, the process-wide cap, submitted runs. */
#include <pthread.h>
#include <stdlib.h>

#include "core/threads.h"
#include "tests/contract/contract.h"

enum { THREADS = 8, ROUNDS = 20, SUBMITTED = 40, CAP = 2 };

struct worker {
    struct infer_model *model;
    const struct job *want;
    int index, wrong;
};

/* Each thread has dims of its own, so that plans and contexts are made and shared while others run.
 */
static void dims_of(int index, char *text, size_t size)
{
    snprintf(text, size, "batch=%d,sequence=%d", 1 + index % 3, 3 + 5 * index);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    char dims[64];
    dims_of(w->index, dims, sizeof dims);
    for (int k = 0; k < ROUNDS; k++) {
        struct job j;
        struct infer_error e = {0};
        if (!job_init(&j, w->model, dims, 1) || job_run(&j, NULL, &e) < 0 ||
            !jobs_same(&j, w->want)) {
            printf("thread %d, round %d: %s\n", w->index, k, e.message);
            w->wrong++;
        }
        job_clear(&j);
    }
    return NULL;
}

static void share(const char *name)
{
    struct infer_model *alone = tiny_load(name, 1, "cpu"), *m = tiny_load(name, CAP, "cpu");
    struct worker workers[THREADS] = {0};
    struct job want[THREADS];
    pthread_t threads[THREADS];
    memset(want, 0, sizeof want);
    bool ok = CHECK(alone && m);
    for (int i = 0; i < THREADS && ok; i++) {
        char dims[64];
        dims_of(i, dims, sizeof dims);
        ok = CHECK(job_init(&want[i], alone, dims, 1)) && CHECK(job_ok(&want[i]));
        workers[i] = (struct worker){m, &want[i], i, 0};
    }
    if (ok) {
        threads_peak_reset();
        for (int i = 0; i < THREADS; i++)
            ok &= CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < THREADS; i++)
            CHECK(workers[i].wrong == 0);
        CHECK(threads_peak_reset() <= CAP);
    }
    for (int i = 0; i < THREADS; i++)
        job_clear(&want[i]);
    infer_model_free(m);
    infer_model_free(alone);
}

static void shared_encoder(void)
{
    share("encoder");
}

static void shared_conv(void)
{
    share("conv");
}

/* The loops' bodies are programs of the same model with frames of their own in each run. */
static void shared_loop(void)
{
    share("loop_sum");
    share("sequence");
}

/* ---- submitted runs
 * ------------------------------------------------------------------------------- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int done, failed;
};

static void finished(void *arg, const struct infer_error *e)
{
    struct waiter *w = arg;
    pthread_mutex_lock(&w->lock);
    w->done++;
    w->failed += e->code != 0;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void wait_for(struct waiter *w, int n)
{
    pthread_mutex_lock(&w->lock);
    while (w->done < n)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

static void submitted(void)
{
    struct infer_model *m = tiny_load("encoder", CAP, "cpu");
    struct waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct job *jobs = calloc(SUBMITTED, sizeof *jobs), want = {0};
    int sent = 0;
    threads_peak_reset();
    if (CHECK(jobs && job_init(&want, m, "batch=2,sequence=9", 1)) && CHECK(job_ok(&want)))
        for (int i = 0; i < SUBMITTED; i++) {
            struct infer_error e = {0};
            struct job *j = &jobs[i];
            if (!CHECK(job_init(j, m, "batch=2,sequence=9", 1)))
                break;
            if (!CHECK(infer_submit(m, (const struct infer_value *const *)j->in, j->n_in, j->out,
                                    j->n_out, NULL, finished, &w, &e) == 0))
                break;
            sent++;
        }
    wait_for(&w, sent);
    CHECK(w.failed == 0);
    CHECK(threads_peak_reset() <= CAP);
    for (int i = 0; i < sent; i++)
        CHECK(jobs_same(&jobs[i], &want));
    for (int i = 0; jobs && i < SUBMITTED; i++)
        job_clear(&jobs[i]);
    free(jobs);
    job_clear(&want);
    infer_model_free(m);
}

/* What is wrong with a submitted run is told to its callback. */
static void submitted_wrong(void)
{
    struct infer_model *m = tiny_load("mlp", 1, "cpu");
    struct waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct job j = {0};
    struct infer_error e = {0};
    if (CHECK(job_init(&j, m, "batch=2", 1)) &&
        CHECK(job_set(&j, "x", floats(2, (const int64_t[]){2, 9}, NULL))) &&
        CHECK(infer_submit(m, (const struct infer_value *const *)j.in, j.n_in, j.out, j.n_out, NULL,
                           finished, &w, &e) == 0)) {
        wait_for(&w, 1);
        CHECK(w.failed == 1);
    }
    job_clear(&j);
    infer_model_free(m);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(shared_encoder), TEST(shared_conv),     TEST(shared_loop),
        TEST(submitted),      TEST(submitted_wrong),
    };
    threads_cap_set(CAP);
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
