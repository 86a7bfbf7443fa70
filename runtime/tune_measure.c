/* SPDX-License-Identifier: Apache-2.0 */
/* The search: peaks, pairs of runs, what is better for certain, the records of it. */
#include <math.h>
#include <string.h>

#include "core/text.h"
#include "kernels/cpu.h"
#include "kernels/gemm.h"
#include "runtime/tuner.h"

/* ---- what the processor can do ------------------------------------------------------------------ */

enum { PEAK_ROUNDS = 20000, PEAK_MEMORY = 64 << 20 };

struct peak {
    struct tuner *tuner;
    const uint64_t *memory;
    size_t n; /* words a task */
    _Atomic uint64_t keep;
    double flops; /* of a task */
};

static int peak_flops(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct peak *p = arg;
    for (int64_t i = begin; i < end; i++) {
        double flops = gemm_f32_pick()->peak(PEAK_ROUNDS);
        if (i == 0)
            p->flops = flops;
    }
    return 0;
}

static int peak_bytes(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct peak *p = arg;
    uint64_t sum = 0;
    for (size_t i = (size_t)begin * p->n; i < (size_t)end * p->n; i++)
        sum += p->memory[i];
    p->keep += sum;
    return 0;
}

static int measure_peaks(struct team *team, void *arg, struct err *e)
{
    struct peak *p = arg;
    struct tuner *t = p->tuner;
    int64_t tasks = 4 * (int64_t)team_size(team), begin = clock_ns();
    int rc = team_tasks(team, tasks, peak_flops, p, e);
    int64_t middle = clock_ns();
    if (rc == 0 && p->memory) {
        p->n = PEAK_MEMORY / sizeof(uint64_t) / (size_t)tasks;
        rc = team_tasks(team, tasks, peak_bytes, p, e);
    }
    int64_t end = clock_ns();
    if (rc < 0)
        return rc;
    double flops = p->flops * (double)tasks / ((double)(middle - begin) * 1e-9);
    double bytes = (double)p->n * 8 * (double)tasks / ((double)(end - middle) * 1e-9);
    t->peak_flops = flops > t->peak_flops ? flops : t->peak_flops;
    t->peak_bytes = bytes > t->peak_bytes ? bytes : t->peak_bytes;
    return 0;
}

/* Once a round: on a machine with other work a peak is the most that was ever seen. Without memory for
 * it, reading has no bound. */
static int find_peaks(struct tuner *t, const struct stop *stop, struct err *e)
{
    uint64_t *memory = mem_alloc(t->budget, PEAK_MEMORY, NULL);
    struct peak p = {.tuner = t, .memory = memory};
    if (memory)
        memset(memory, 1, PEAK_MEMORY);
    int rc = team_run(t->threads, stop, measure_peaks, &p, e);
    mem_free(memory);
    return rc;
}

/* No step is faster than its arithmetic, nor, where it is more than the caches hold, its memory. */
static double bound_us(const struct tuner *t, const struct trial *x)
{
    double us = x->cost.flops / t->peak_flops * 1e6;
    double memory = t->peak_bytes > 0 ? x->cost.bytes / t->peak_bytes * 1e6 : 0;
    return x->cost.bytes > 2.0 * cpu_cache()->l3 && memory > us ? memory : us;
}

/* ---- measuring ---------------------------------------------------------------------------------- */

struct session {
    struct infer_model *model;
    struct value **in, *out;
    struct stop stop;
    int64_t middle, end; /* of the search, of the time given */
};

static bool wants(const struct trial *x, int choice)
{
    return x->out.steps && !x->done && (x->worth >> choice & 1);
}

enum { ALL_BEST = TUNE_NAMES, ALL_HEURISTIC };

/* Every key that still wants this candidate takes it in the next run, the others their best. False if no
 * key does. Or all keys alike. */
static bool choose(struct tuner *t, int choice)
{
    bool any = false;
    for (struct trial *x = t->trials; x; x = x->next) {
        bool here = choice < TUNE_NAMES && wants(x, choice);
        x->now = here ? choice : choice == ALL_HEURISTIC ? 0 : x->best;
        x->ns = x->steps = 0;
        any |= here;
    }
    for (struct own_site *s = t->sites; s; s = s->next)
        for (int i = 0; i < s->site.n; i++)
            s->site.cases[i].choice = s->trials[i]->now;
    return any;
}

/* The session holds the lock but for its runs, between which others may slip in. */
static int run_once(struct session *s, struct err *e)
{
    struct infer_model *m = s->model;
    tuner_unlock(m->tuner);
    int rc = model_run(m, s->in, s->out, &s->stop, NULL, NULL, e);
    for (int i = 0; i < m->n_outputs; i++)
        value_clear(&s->out[i]);
    tuner_lock(m->tuner);
    return rc;
}

/* Keep ratios sorted; once full, the newest takes the place of the farthest on the other side. */
static void add_ratio(struct trial *x, int choice, float ratio)
{
    float *r = x->ratios[choice];
    int n = x->n[choice];
    if (n == RATIOS) {
        if (ratio > r[n / 2])
            memmove(r, r + 1, (size_t)(n - 1) * sizeof(*r));
        n--;
    }
    int at = n;
    for (; at > 0 && r[at - 1] > ratio; at--)
        r[at] = r[at - 1];
    r[at] = ratio;
    x->n[choice] = n + 1;
    x->runs[choice]++;
    x->wins[choice] += ratio < 1;
}

/* Take over what a run of this candidate said. Other work comes and goes on most machines and halves the
 * speed for seconds: times are compared with the heuristic's in the run before, not with the best ever. */
static void learn(struct tuner *t, int choice)
{
    for (struct trial *x = t->trials; x; x = x->next) {
        if (!wants(x, choice) || x->now != choice || !x->steps)
            continue;
        double us = (double)x->ns / (double)x->steps * 1e-3;
        if (choice)
            add_ratio(x, choice, (float)(us / x->base));
        else
            x->us[0] = x->us[0] == 0 || us < x->us[0] ? us : x->us[0];
        x->base = choice ? x->base : us;
    }
}

/* So many of n runs are more than chance: two standard deviations of a fair coin. */
static bool certain(int times, int n)
{
    return n > 0 && times >= n / 2.0 + sqrt(n);
}

/* The best by the medians; but the heuristic where nothing is better for certain. */
static void rank(struct trial *x)
{
    x->best = 0;
    for (int i = 1; i < x->ask->n_names; i++) {
        if (!x->n[i])
            continue;
        x->us[i] = (double)x->ratios[i][x->n[i] / 2] * x->us[0];
        if (x->us[i] < TUNE_GAIN * x->us[0] && x->us[i] < x->us[x->best] &&
            certain(x->wins[i], x->runs[i]))
            x->best = i;
    }
}

/* After some rounds: what is slower for certain will not win, and what is near its bound has nothing to
 * win. */
static void narrow(struct tuner *t, int round)
{
    for (struct trial *x = t->trials; x; x = x->next) {
        if (!x->out.steps)
            continue;
        rank(x);
        x->out.bound_us = bound_us(t, x);
        if (round + 1 < ROUNDS_MIN)
            continue;
        x->done = x->us[x->best] <= TUNE_NEAR * x->out.bound_us;
        for (int i = 1; i < x->ask->n_names; i++)
            if (x->us[i] > 1.1 * x->us[x->best] && certain(x->runs[i] - x->wins[i], x->runs[i]))
                x->worth &= ~(1u << i);
    }
}

/* What the pairs of the search chose has to win again, in pairs of all keys' heuristics and all keys' best:
 * the best of several by chance does not. */
static void settle(struct trial *x)
{
    int i = x->best;
    if (i == 0)
        return;
    x->us[i] = (double)x->ratios[i][x->n[i] / 2] * x->us[0];
    if (x->us[i] > TUNE_GAIN * x->us[0] || !certain(x->wins[i], x->runs[i]))
        x->best = 0;
}

static int confirm(struct session *s, struct tuner *t, struct err *e)
{
    bool any = false;
    int rc = 0;
    for (struct trial *x = t->trials; x; x = x->next) {
        any |= x->out.steps && x->best;
        if (x->best)
            x->n[x->best] = x->runs[x->best] = x->wins[x->best] = 0;
    }
    for (int pair = 0; any && rc == 0 && (pair < ROUNDS_MIN || clock_ns() < s->end); pair++) {
        choose(t, ALL_HEURISTIC);
        rc = run_once(s, e);
        for (struct trial *x = t->trials; x; x = x->next)
            x->base = x->steps ? (double)x->ns / (double)x->steps * 1e-3 : 0;
        choose(t, ALL_BEST);
        if (rc == 0)
            rc = run_once(s, e);
        for (struct trial *x = t->trials; x && rc == 0; x = x->next)
            if (x->best && x->steps && x->base > 0)
                add_ratio(x, x->best, (float)((double)x->ns / (double)x->steps * 1e-3 / x->base));
    }
    for (struct trial *x = t->trials; x && rc == 0; x = x->next)
        if (x->out.steps)
            settle(x);
    return rc;
}

static void finish_trial(struct trial *x)
{
    x->out.key = x->key;
    x->out.names = x->ask->names;
    x->out.us = x->us;
    x->out.candidates = x->ask->n_names;
    x->out.chosen = x->best;
}

/* The first run says which keys there are, the second warms up. */
static int discover(struct session *s, struct tuner *t, struct err *e)
{
    for (struct trial *x = t->trials; x; x = x->next)
        x->out.steps = 0;
    choose(t, 0);
    int rc = run_once(s, e);
    for (struct trial *x = t->trials; x && rc == 0; x = x->next) {
        x->out.steps = (int)x->steps;
        if (!x->steps)
            continue;
        memset(x->us, 0, sizeof(x->us));
        memset(x->n, 0, sizeof(x->n));
        memset(x->runs, 0, sizeof(x->runs));
        memset(x->wins, 0, sizeof(x->wins));
        x->worth = x->cost.worth;
        x->best = 0;
        x->done = false;
    }
    return rc == 0 ? run_once(s, e) : rc;
}

/* One candidate in all keys that want it. *runs counts. */
static int try(struct session *s, struct tuner *t, int choice, int *runs, struct err *e)
{
    if (!choose(t, choice))
        return 0;
    ++*runs;
    int rc = run_once(s, e);
    if (rc == 0)
        learn(t, choice);
    return rc;
}

static bool wanted(const struct tuner *t, int choice)
{
    for (const struct trial *x = t->trials; x; x = x->next)
        if (wants(x, choice))
            return true;
    return false;
}

static int search(struct session *s, struct tuner *t, struct err *e)
{
    int rc = discover(s, t, e);
    for (int round = 0, runs = 1; rc == 0 && runs && (round < ROUNDS_MIN || clock_ns() < s->middle); round++) {
        runs = 0;
        rc = find_peaks(t, &s->stop, e);
        for (int choice = 1; choice < TUNE_NAMES && rc == 0; choice++) {
            if (!wanted(t, choice))
                continue;
            rc = try(s, t, 0, &runs, e);
            if (rc == 0)
                rc = try(s, t, choice, &runs, e);
        }
        narrow(t, round);
    }
    if (rc == 0)
        rc = confirm(s, t, e);
    for (struct trial *x = t->trials; x; x = x->next)
        if (x->out.steps)
            finish_trial(x);
    choose(t, ALL_BEST);
    return rc;
}

static int store(struct tuner *t, struct err *e)
{
    char line[TUNE_LINE_MAX];
    struct text all = {.budget = t->budget};
    for (struct trial *x = t->trials; x; x = x->next)
        if (x->out.steps && tune_record(line, t->machine, x->ask, x->where, x->best, x->us[x->best]))
            text_add(&all, "%s", line);
    size_t size = all.size;
    char *lines = text_take(&all, e), *path = lines ? tune_path(t->budget) : NULL;
    int rc = lines ? 0 : ERR_MEMORY;
    if (lines && !path)
        rc = err_set(e, ERR_FILE, "there is no folder for the tuning cache: set HOME, XDG_CACHE_HOME or "
                                  "INFER_TUNING_CACHE");
    if (path && size)
        rc = tune_cache_append(path, lines, size, e);
    mem_free(path);
    mem_free(lines);
    return rc;
}

int infer_model_tune(struct infer_model *m, const struct infer_value *const *in, int n_in,
                     const struct infer_tune_options *given, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    struct infer_tune_options o = {.size = sizeof(o)};
    struct session s = {.model = m};
    struct tuner *t = m->tuner;
    if (given)
        memcpy(&o, given, given->size < sizeof(o) ? given->size : sizeof(o));
    if (!t)
        return err_set(e, ERR_USAGE, "the model was not loaded for measuring, or it has nothing to tune");
    if (n_in != m->n_inputs)
        return err_set(e, ERR_USAGE, "the model has %d inputs, got %d", m->n_inputs, n_in);
    if (atomic_exchange(&t->busy, true))
        return err_set(e, ERR_USAGE, "the model is being measured already");
    s.stop.cancel = o.cancel ? &o.cancel->flag : NULL;
    double seconds = o.seconds > 0 ? fmin(o.seconds, 1e6) : 10;
    int64_t ns = (int64_t)(seconds * 1e9), begin = clock_ns();
    s.middle = begin + ns / 4 * 3;
    s.end = begin + ns;
    s.in = mem_calloc(m->budget, (size_t)n_in + 1, sizeof(*s.in), e);
    s.out = mem_calloc(m->budget, (size_t)m->n_outputs + 1, sizeof(*s.out), e);
    int rc = s.in && s.out ? 0 : ERR_MEMORY;
    for (int i = 0; i < n_in && rc == 0; i++)
        s.in[i] = in[i] ? (struct value *)&in[i]->value : NULL;
    tuner_lock(t);
    if (rc == 0)
        rc = search(&s, t, e);
    if (rc == 0)
        rc = store(t, e);
    tuner_unlock(t);
    mem_free(s.in);
    mem_free(s.out);
    atomic_store(&t->busy, false);
    return rc;
}

const struct infer_tuned *infer_model_tuned(const struct infer_model *m, int i)
{
    struct trial *x = m->tuner ? m->tuner->trials : NULL;
    for (; x; x = x->next)
        if (x->out.steps && i-- == 0)
            return &x->out;
    return NULL;
}
