/* SPDX-License-Identifier: Apache-2.0 */
#include "core/threads.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "tests/unit/unit.h"

enum { TASKS = 2000, JOBS = 300 };

static void pause_us(long us)
{
    nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

/* ---- All tasks run once, whatever the number of threads ---- */

struct work {
    atomic_int ran[TASKS];
    int64_t out[TASKS];
    int members;
    int64_t sum;
};

static int one(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct work *w = arg;
    CHECK(member >= 0 && member < w->members);
    for (int64_t i = begin; i < end; i++) {
        atomic_fetch_add(&w->ran[i], 1);
        w->out[i] = i * i + 1; /* plain: visible to the leader after the call */
    }
    return 0;
}

static int many_jobs(struct team *t, void *arg, struct err *e)
{
    struct work *w = arg;
    w->members = team_size(t);
    for (int job = 0; job < JOBS; job++) {
        int64_t tasks = job % 7 == 0 ? 1 : job % 5 == 0 ? TASKS : job % 11;
        memset(w->out, 0, sizeof w->out);
        int rc = team_tasks(t, tasks, one, w, e);
        if (rc)
            return rc;
        for (int64_t i = 0; i < tasks; i++)
            w->sum += w->out[i] * (job + 1);
        if (job % 50 == 49)
            pause_us(200); /* members fall asleep */
    }
    return 0;
}

static void same_for_any_n(void)
{
    static struct work w;
    int64_t want = 0;
    int runs[TASKS];
    threads_cap_set(8);
    for (int n = 1; n <= 8; n++) {
        memset(&w, 0, sizeof w);
        CHECK(team_run(n, NULL, many_jobs, &w, NULL) == 0);
        CHECK(w.members >= 1 && w.members <= n);
        if (n == 1)
            for (int i = 0; i < TASKS; i++)
                runs[i] = atomic_load(&w.ran[i]);
        want = n == 1 ? w.sum : want;
        CHECK(w.sum == want);
        for (int i = 0; i < TASKS; i++)
            CHECK(atomic_load(&w.ran[i]) == runs[i]);
    }
    memset(&w, 0, sizeof w);
    CHECK(team_solo(NULL, many_jobs, &w, NULL) == 0 && w.members == 1 && w.sum == want);
    threads_cap_set(0);
}

/* ---- Errors ---- */

static int fails(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    if (begin % 100 == 42)
        return err_set(e, ERR_INPUT, "task 42 of a hundred");
    if (begin == 7)
        pause_us(100);
    return 0;
}

static int fails_silently(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    return begin == 3 ? ERR_MODEL : 0;
}

static int error_body(struct team *t, void *arg, struct err *e)
{
    struct err first = {0};
    CHECK(team_tasks(t, 1000000, fails, arg, &first) == ERR_INPUT);
    CHECK(first.code == ERR_INPUT && strcmp(first.msg, "task 42 of a hundred") == 0);
    CHECK(atomic_load((atomic_int *)arg) < 1000);
    err_clear(&first);
    CHECK(team_tasks(t, 10, fails_silently, NULL, &first) == ERR_MODEL);
    CHECK(strcmp(first.msg, err_text(ERR_MODEL)) == 0);
    CHECK(team_tasks(t, 10, fails, arg, NULL) == 0); /* the team is usable after an error */
    CHECK(team_tasks(t, 0, fails, arg, NULL) == 0);
    return err_set(e, ERR_UNSUPPORTED, "body's own");
}

static void errors(void)
{
    threads_cap_set(4);
    for (int n = 1; n <= 4; n++) {
        atomic_int ran = 0;
        struct err e = {0};
        CHECK(team_run(n, NULL, error_body, &ran, &e) == ERR_UNSUPPORTED);
        CHECK(strcmp(e.msg, "body's own") == 0);
    }
    threads_cap_set(0);
}

/* ---- Deadline and cancel ---- */

static int slow(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    pause_us(500);
    if (arg && begin == 20)
        atomic_store((atomic_bool *)arg, true);
    return 0;
}

static int slow_body(struct team *t, void *arg, struct err *e)
{
    return team_tasks(t, 100000, slow, arg, e);
}

static void stops(void)
{
    threads_cap_set(3);
    for (int n = 1; n <= 3; n++) {
        struct err e = {0};
        int64_t begin = clock_ns();
        struct stop stop = {.deadline = begin + 20000000};
        CHECK(team_run(n, &stop, slow_body, NULL, &e) == ERR_DEADLINE && e.code == ERR_DEADLINE);
        CHECK(clock_ns() - begin >= 20000000 && clock_ns() - begin < 5000000000);
        err_clear(&e);
        atomic_bool cancel = false;
        stop = (struct stop){.cancel = &cancel};
        CHECK(team_run(n, &stop, slow_body, &cancel, &e) == ERR_CANCELLED &&
              e.code == ERR_CANCELLED);
    }
    CHECK(stop_poll(NULL, NULL) == 0 && stop_poll(&(struct stop){0}, NULL) == 0);
    threads_cap_set(0);
}

/* ---- The cap ---- */

enum { CAP = 3, CALLERS = 4 };
static atomic_int computing, most;

static int counted(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    int now = atomic_fetch_add(&computing, 1) + 1, seen = atomic_load(&most);
    while (seen < now && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
    pause_us(50);
    atomic_fetch_sub(&computing, 1);
    return 0;
}

static int counted_body(struct team *t, void *arg, struct err *e)
{
    return team_tasks(t, 40, counted, NULL, e);
}

static void *caller(void *arg)
{
    for (int i = 0; i < 30; i++)
        CHECK(team_run(1 + i % 4, NULL, counted_body, NULL, NULL) == 0);
    return arg;
}

static void cap_holds(void)
{
    pthread_t t[CALLERS];
    threads_cap_set(CAP);
    CHECK(threads_cap() == CAP);
    threads_peak_reset();
    for (int i = 0; i < CALLERS; i++)
        pthread_create(&t[i], NULL, caller, NULL);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(t[i], NULL);
    int peak = threads_peak_reset();
    CHECK(atomic_load(&most) <= CAP && peak <= CAP && peak >= 2);
    CHECK(threads_peak_reset() == 0);
    threads_cap_set(0);
    CHECK(threads_cap() == threads_available() && threads_available() >= 1);
}

static int hold_body(struct team *t, void *arg, struct err *e)
{
    while (!atomic_load((atomic_bool *)arg))
        pause_us(200);
    return 0;
}

static void *hold(void *arg)
{
    CHECK(team_run(1, NULL, hold_body, arg, NULL) == 0);
    return NULL;
}

static void waiting_for_a_place(void)
{
    pthread_t t;
    atomic_bool done = false;
    threads_cap_set(1);
    threads_peak_reset();
    pthread_create(&t, NULL, hold, &done);
    while (threads_peak_reset() == 0)
        pause_us(100);
    struct err e = {0};
    struct stop stop = {.deadline = clock_ns() + 10000000};
    CHECK(team_run(2, &stop, counted_body, NULL, &e) == ERR_DEADLINE);
    atomic_store(&done, true);
    CHECK(team_run(2, NULL, counted_body, NULL, NULL) == 0);
    pthread_join(t, NULL);
    threads_cap_set(0);
}

/* ---- Nesting ---- */

static int nested(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    return team_run(4, NULL, counted_body, NULL, e);
}

static int nesting_body(struct team *t, void *arg, struct err *e)
{
    CHECK(team_run(4, NULL, counted_body, NULL, e) == 0);
    return team_tasks(t, 8, nested, NULL, e);
}

static void nesting(void)
{
    threads_cap_set(2);
    CHECK(team_run(2, NULL, nesting_body, NULL, NULL) == 0);
    threads_cap_set(0);
}

static const struct unit_test tests[] = {
    TEST(same_for_any_n),      TEST(errors),  TEST(stops), TEST(cap_holds),
    TEST(waiting_for_a_place), TEST(nesting),
};
UNIT_MAIN(tests)
