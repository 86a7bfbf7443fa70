/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous runs: a bounded queue and a few threads of the library, started when first needed. Their
 * runs count under the process-wide cap like any other. */
#include "runtime/model.h"

enum { QUEUE_MAX = 1024, RUNNERS_MAX = 64 };

struct job {
    struct infer_model *model;
    const struct infer_value *const *in;
    struct infer_value **out;
    int n_in, n_out;
    struct infer_run_options options;
    void (*done)(void *arg, const struct infer_error *e);
    void *arg;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job jobs[QUEUE_MAX];
    unsigned head, count;
    int runners, idle;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

static void *runner(void *unused)
{
    for (;;) {
        pthread_mutex_lock(&queue.lock);
        queue.idle++;
        while (queue.count == 0)
            pthread_cond_wait(&queue.filled, &queue.lock);
        queue.idle--;
        struct job j = queue.jobs[queue.head];
        queue.head = (queue.head + 1) % QUEUE_MAX;
        queue.count--;
        pthread_mutex_unlock(&queue.lock);
        struct infer_error e = {0};
        e.code = infer_run(j.model, j.in, j.n_in, j.out, j.n_out, &j.options, &e);
        j.done(j.arg, &e);
    }
    return NULL;
}

/* With the lock held: one more thread if all are busy. */
static int add_runner(struct err *e)
{
    pthread_t thread;
    if (queue.idle > 0 || queue.runners >= RUNNERS_MAX || queue.runners >= threads_cap())
        return 0;
    if (pthread_create(&thread, NULL, runner, NULL) != 0)
        return queue.runners ? 0 : err_set(e, ERR_MEMORY, "no thread can be started");
    pthread_detach(thread);
    queue.runners++;
    return 0;
}

int infer_submit(struct infer_model *m, const struct infer_value *const *in, int n_in,
                 struct infer_value **out, int n_out, const struct infer_run_options *o,
                 void (*done)(void *arg, const struct infer_error *e), void *arg,
                 struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    pthread_mutex_lock(&queue.lock);
    int rc = queue.count == QUEUE_MAX
                 ? err_set(e, ERR_LIMIT, "%d runs wait already, the most that may", QUEUE_MAX)
                 : add_runner(e);
    if (rc == 0) {
        queue.jobs[(queue.head + queue.count++) % QUEUE_MAX] =
            (struct job){m, in, out, n_in, n_out, o ? *o : (struct infer_run_options){0}, done, arg};
        pthread_cond_signal(&queue.filled);
    }
    pthread_mutex_unlock(&queue.lock);
    return rc;
}
