/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: the one place that runs tasks, and the only one with OpenMP.
 *
 * team_run() opens one parallel region; its leader (the caller) runs `body`, which may call
 * team_tasks() any number of times; the other members take tasks from a shared counter, spinning for
 * microseconds between calls and then sleeping on a futex. What a task computes must not depend on
 * which member runs it. A process-wide cap (threads_cap) bounds the threads of all teams together: a
 * team gets what is free, at least its leader, and waits for a place while none is free.
 * A build with -Dthreads=pthreads has the same functions on POSIX threads.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/* Processors that this process may use: affinity mask and cgroup CPU quota (rounded up), at least 1. */
int threads_available(void);
/* The cap on computing threads of all teams together; 0 restores threads_available(). */
void threads_cap_set(int n);
int threads_cap(void);
/* The most threads that have computed at the same time since the last call (for tests). */
int threads_peak_reset(void);

/* Why to stop early: a deadline in nanoseconds of CLOCK_MONOTONIC (0: none) and a flag that any
 * thread may set (NULL: none). */
struct stop {
    int64_t deadline;
    const atomic_bool *cancel;
};
int64_t clock_ns(void); /* CLOCK_MONOTONIC */
/* 0, ERR_DEADLINE or ERR_CANCELLED. */
int stop_poll(const struct stop *s, struct err *e) WARN_UNUSED;

struct team;

/* Tasks begin..end-1 (a run of consecutive ones); `member` < team_size() names scratch space. */
typedef int task_fn(void *arg, int64_t begin, int64_t end, int member, struct err *e);

/* Run body with a team of at most n threads (n >= 1). Returns body's result. Inside another team's
 * body or task it is a team of one, which takes no place of the cap. */
int team_run(int n, const struct stop *stop, int (*body)(struct team *t, void *arg, struct err *e),
             void *arg, struct err *e) WARN_UNUSED;

/* Leader only, inside body: run `tasks` tasks and wait for all. The first error (by time) is
 * returned, tasks not yet begun are then dropped. The deadline and the cancel flag are polled between
 * tasks. A single task runs on the leader without waking anyone. */
int team_tasks(struct team *t, int64_t tasks, task_fn *fn, void *arg, struct err *e) WARN_UNUSED;

/* Members of this team, leader included; its size does not change during body. */
int team_size(const struct team *t);
/* Poll the deadline and the cancel flag. */
int team_poll(const struct team *t, struct err *e) WARN_UNUSED;

/* A team of one, without a region or a place of the cap: for folding constants and for tests. Embedded
 * on the stack. */
int team_solo(const struct stop *stop, int (*body)(struct team *t, void *arg, struct err *e), void *arg,
              struct err *e) WARN_UNUSED;
