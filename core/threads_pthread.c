/* SPDX-License-Identifier: Apache-2.0 */
/* One pool for the process. Its threads are made when first wanted, sleep while idle and never end;
 * they belong to whichever region took them off the idle list. */
#include "core/threads_region.h"

#include <pthread.h>
#include <signal.h>
#include <stdalign.h>

#include "core/futex.h"

enum { WORKERS_MAX = 1024 };

struct region {
    region_fn *fn;
    void *arg;
    int size;
    _Atomic uint32_t running; /* members other than the caller */
};

static struct worker {
    alignas(64) _Atomic uint32_t job; /* counts the jobs given; what the worker sleeps on */
    struct region *region;
    int index;
    struct worker *next_idle;
} workers[WORKERS_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct worker *idle; /* under the lock, like made */
static int made;

static void *work(void *arg)
{
    struct worker *w = arg;
    for (uint32_t done = 0;; done++) {
        while (!futex_spin(&w->job, done))
            futex_wait(&w->job, done, 0);
        struct region *r = w->region;
        r->fn(r->arg, w->index, r->size);
        pthread_mutex_lock(&lock);
        w->next_idle = idle;
        idle = w;
        pthread_mutex_unlock(&lock);
        /* The region may be gone once the count is 0: only the word's address is used after that.
         */
        _Atomic uint32_t *running = &r->running;
        if (atomic_fetch_sub_explicit(running, 1, memory_order_acq_rel) == 1)
            futex_wake(running, 1);
    }
    return NULL;
}

/* A new worker, or NULL where the system has no more threads. Signals are the application's. */
static struct worker *make(void)
{
    if (made == WORKERS_MAX)
        return NULL;
    struct worker *w = &workers[made];
    sigset_t all, old;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc)
        return NULL;
    pthread_detach(thread);
    made++;
    return w;
}

void region_run(int n, region_fn *fn, void *arg)
{
    struct region r = {.fn = fn, .arg = arg, .size = 1};
    struct worker *taken = NULL;
    pthread_mutex_lock(&lock);
    while (r.size < n) {
        struct worker *w = idle;
        if (w)
            idle = w->next_idle;
        else if (!(w = make()))
            break;
        w->region = &r;
        w->index = r.size++;
        w->next_idle = taken;
        taken = w;
    }
    pthread_mutex_unlock(&lock);

    atomic_init(&r.running, (uint32_t)r.size - 1);
    while (taken) {
        struct worker *w = taken;
        taken = w->next_idle; /* before it runs: it may go back to the idle list at once */
        atomic_fetch_add_explicit(&w->job, 1, memory_order_release);
        futex_wake(&w->job, 1);
    }
    fn(arg, 0, r.size);
    uint32_t running;
    while ((running = atomic_load_explicit(&r.running, memory_order_acquire)))
        if (!futex_spin(&r.running, running))
            futex_wait(&r.running, running, 0);
}
