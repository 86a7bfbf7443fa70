/* SPDX-License-Identifier: Apache-2.0 */
#include "core/threads.h"

#include <assert.h>
#include <limits.h>
#include <sched.h>
#include <stdalign.h>
#include <string.h>

#include "core/cgroup.h"
#include "core/futex.h"
#include "core/threads_region.h"

enum {
    PLACE_WAIT_NS = 2000000, /* how often the wait for a place looks at the stop */
    CPU_SETS = 16,           /* 16384 processors */
};

/* ---- Time ---- */

int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int stop_poll(const struct stop *s, struct err *e)
{
    if (!s)
        return 0;
    if (s->cancel && atomic_load_explicit(s->cancel, memory_order_relaxed))
        return err_set(e, ERR_CANCELLED, "cancelled by the caller");
    if (s->deadline && clock_ns() >= s->deadline)
        return err_set(e, ERR_DEADLINE, "the deadline passed");
    return 0;
}

/* ---- The cap ---- */

static void visit_quota(void *arg, const char *folder, bool v2)
{
    int64_t *least = arg, v[2], period[2] = {0, 0};
    if (v2) {
        if (cgroup_read(folder, "cpu.max", v) != 2)
            return;
        period[0] = v[1];
    } else if (!cgroup_read(folder, "cpu.cfs_quota_us", v) ||
               !cgroup_read(folder, "cpu.cfs_period_us", period)) {
        return;
    }
    if (v[0] <= 0 || v[0] == INT64_MAX || period[0] <= 0)
        return; /* no quota */
    int64_t whole = v[0] / period[0] + (v[0] % period[0] != 0);
    if (whole < *least)
        *least = whole;
}

int threads_available(void)
{
    cpu_set_t sets[CPU_SETS];
    int64_t n = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof sets, sets) == 0)
        n = CPU_COUNT_S(sizeof sets, sets);
    cgroup_visit("cpu", visit_quota, &n);
    return n < 1 ? 1 : n > INT_MAX ? INT_MAX : (int)n;
}

static atomic_int cap;           /* 0: not known yet */
static _Atomic uint32_t in_use;  /* places taken; what waiting teams sleep on */
static atomic_int waiting, peak;

void threads_cap_set(int n)
{
    atomic_store(&cap, n > 0 ? n : threads_available());
    futex_wake(&in_use, INT_MAX);
}

int threads_cap(void)
{
    int n = atomic_load_explicit(&cap, memory_order_relaxed);
    if (n)
        return n;
    int fresh = threads_available();
    return atomic_compare_exchange_strong(&cap, &n, fresh) ? fresh : n;
}

int threads_peak_reset(void)
{
    return atomic_exchange(&peak, (int)atomic_load(&in_use));
}

/* Take what is free of n places; 0 if nothing is. *used is the count that was seen. */
static int places_try(int n, uint32_t *used)
{
    *used = atomic_load(&in_use);
    int most, got;
    do {
        most = threads_cap() - (int)*used;
        got = n < most ? n : most;
        if (got <= 0)
            return 0;
    } while (!atomic_compare_exchange_weak(&in_use, used, *used + (uint32_t)got));
    int now = (int)*used + got, seen = atomic_load(&peak);
    while (seen < now && !atomic_compare_exchange_weak(&peak, &seen, now))
        ;
    return got;
}

/* The number of places, or a negative code. */
static int places_take(int n, const struct stop *stop, struct err *e)
{
    uint32_t used;
    int got = places_try(n, &used);
    if (got)
        return got;
    int rc = 0;
    atomic_fetch_add(&waiting, 1);
    while (!(got = places_try(n, &used)) && !(rc = stop_poll(stop, e)))
        futex_wait(&in_use, used, PLACE_WAIT_NS);
    atomic_fetch_sub(&waiting, 1);
    return rc ? rc : got;
}

static void places_give(int n)
{
    atomic_fetch_sub(&in_use, (uint32_t)n);
    if (atomic_load(&waiting))
        futex_wake(&in_use, INT_MAX);
}

/* ---- Teams ---- */

/* A job is published by opening `door`; members enter through it, and the leader closes it when no
 * task is left and waits for those inside. Members that come late find it closed, so a sleeping
 * member never holds up a job that the others finish. */
#define DOOR_OPEN ((uint64_t)1 << 31)
#define DOOR_INSIDE (DOOR_OPEN - 1) /* the low bits count the members inside */
#define DOOR_JOB 32                 /* the high bits number the job */

struct team {
    int size;
    const struct stop *stop;
    int (*body)(struct team *t, void *arg, struct err *e);
    void *body_arg;
    int body_rc;
    struct err *body_err;
    /* The job; read only by members inside. */
    task_fn *fn;
    void *arg;
    int64_t tasks;
    uint32_t job;
    int rc;
    struct err err; /* of the first task that failed; written by whoever set `failed` */
    alignas(64) _Atomic uint64_t door;
    alignas(64) _Atomic uint32_t signal; /* number of the last job; members sleep on it */
    atomic_int sleepers;
    atomic_bool quit;
    alignas(64) _Atomic uint32_t left; /* what the leader sleeps on */
    atomic_bool leader_sleeps;
    alignas(64) _Atomic int64_t next; /* task to take */
    alignas(64) atomic_bool failed;
};

/* Set on a thread that computes for a team: what it runs must not wait for places itself. */
static _Thread_local bool inside;

int team_size(const struct team *t)
{
    return t->size;
}

int team_poll(const struct team *t, struct err *e)
{
    return stop_poll(t->stop, e);
}

/* Take tasks, one at a time, until there is none or one has failed. */
static void take_tasks(struct team *t, int member)
{
    struct err e;
    e.code = 0;
    e.msg[0] = 0;
    while (!atomic_load_explicit(&t->failed, memory_order_relaxed)) {
        int64_t i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
        if (i >= t->tasks)
            return;
        int rc = stop_poll(t->stop, &e);
        if (!rc)
            rc = t->fn(t->arg, i, i + 1, member, &e);
        if (!rc)
            continue;
        if (!atomic_exchange_explicit(&t->failed, true, memory_order_relaxed)) {
            t->rc = rc;
            t->err = e;
        }
        return;
    }
}

static void publish(struct team *t)
{
    t->job++;
    atomic_store(&t->door, (uint64_t)t->job << DOOR_JOB | DOOR_OPEN);
    atomic_store(&t->signal, t->job);
    int sleepers = atomic_load(&t->sleepers);
    int64_t useful = t->tasks - 1;
    if (sleepers)
        futex_wake(&t->signal, useful < sleepers ? (int)useful : sleepers);
}

/* Close the door and wait until nobody is inside. */
static void settle(struct team *t)
{
    uint64_t door = atomic_fetch_and(&t->door, ~DOOR_OPEN);
    if (!(door & DOOR_INSIDE))
        return;
    for (;;) {
        uint32_t left = atomic_load(&t->left);
        if (!(atomic_load(&t->door) & DOOR_INSIDE))
            return;
        if (futex_spin(&t->left, left))
            continue;
        atomic_store(&t->leader_sleeps, true);
        if (atomic_load(&t->door) & DOOR_INSIDE)
            futex_wait(&t->left, left, 0);
        atomic_store(&t->leader_sleeps, false);
    }
}

int team_tasks(struct team *t, int64_t tasks, task_fn *fn, void *arg, struct err *e)
{
    if (tasks <= 0)
        return 0;
    t->fn = fn;
    t->arg = arg;
    t->tasks = tasks;
    atomic_store_explicit(&t->next, 0, memory_order_relaxed);
    atomic_store_explicit(&t->failed, false, memory_order_relaxed);
    bool shared = t->size > 1 && tasks > 1;
    if (shared)
        publish(t);
    take_tasks(t, 0);
    if (shared)
        settle(t);
    if (!atomic_load_explicit(&t->failed, memory_order_relaxed))
        return 0;
    if (e && !e->code && t->err.code)
        *e = t->err;
    return err_set(e, t->rc, "%s", err_text(t->rc));
}

/* Go through the door if it is open to a job that this member has not seen; *seen is that job. */
static bool enter(struct team *t, uint32_t *seen)
{
    uint64_t door = atomic_load(&t->door);
    do {
        if (!(door & DOOR_OPEN) || (uint32_t)(door >> DOOR_JOB) == *seen)
            return false;
    } while (!atomic_compare_exchange_weak(&t->door, &door, door + 1));
    *seen = (uint32_t)(door >> DOOR_JOB);
    return true;
}

static void leave(struct team *t)
{
    uint64_t door = atomic_fetch_sub(&t->door, 1);
    if ((door & DOOR_INSIDE) != 1)
        return;
    atomic_fetch_add(&t->left, 1);
    if (atomic_load(&t->leader_sleeps))
        futex_wake(&t->left, 1);
}

static void member_run(struct team *t, int member)
{
    uint32_t seen = 0, signal = 0;
    for (;;) {
        if (!futex_spin(&t->signal, signal)) {
            atomic_fetch_add(&t->sleepers, 1);
            while (atomic_load(&t->signal) == signal)
                futex_wait(&t->signal, signal, 0);
            atomic_fetch_sub(&t->sleepers, 1);
        }
        signal = atomic_load(&t->signal);
        if (atomic_load(&t->quit))
            return;
        if (enter(t, &seen)) {
            take_tasks(t, member);
            leave(t);
        }
    }
}

static void region(void *arg, int index, int size)
{
    struct team *t = arg;
    inside = true;
    if (index) {
        member_run(t, index);
    } else {
        t->size = size;
        t->body_rc = t->body(t, t->body_arg, t->body_err);
        atomic_store(&t->quit, true);
        atomic_store(&t->signal, t->job + 1);
        futex_wake(&t->signal, INT_MAX);
    }
    inside = false;
}

int team_solo(const struct stop *stop, int (*body)(struct team *t, void *arg, struct err *e),
              void *arg, struct err *e)
{
    struct team t;
    memset(&t, 0, offsetof(struct team, err));
    t.size = 1;
    t.stop = stop;
    return body(&t, arg, e);
}

int team_run(int n, const struct stop *stop, int (*body)(struct team *t, void *arg, struct err *e),
             void *arg, struct err *e)
{
    assert(n >= 1);
    if (inside)
        return team_solo(stop, body, arg, e);
    int places = places_take(n, stop, e);
    if (places < 0)
        return places;
    struct team t = {.size = 1, .stop = stop, .body = body, .body_arg = arg, .body_err = e};
    if (places > 1)
        region_run(places, region, &t);
    else
        region(&t, 0, 1);
    places_give(places);
    return t.body_rc;
}
