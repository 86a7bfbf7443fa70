/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/knobs.h"
#include "runtime/tuner.h"

/* ---- answers ------------------------------------------------------------------------------------ */

int tuner_new(struct tuner **out, bool measure, int threads, struct budget *b, struct err *e)
{
    bool on = strcmp(knob_get(KNOB_TUNING), "on") == 0;
    *out = NULL;
    if (!on && strcmp(knob_get(KNOB_TUNING), "off") != 0)
        return err_set(e, ERR_USAGE, "--tuning takes on or off, not \"%.40s\"", knob_get(KNOB_TUNING));
    if (!on && !measure)
        return 0;
    char machine[TUNE_MACHINE_MAX], *path = measure ? NULL : tune_path(b);
    tune_machine(threads, machine);
    struct tune_cache *c = path ? tune_cache_read(path, machine, b) : NULL;
    mem_free(path);
    if (!tune_cache_size(c) && !measure) {
        tune_cache_free(c);
        return 0;
    }
    struct tuner *t = mem_calloc(b, 1, sizeof(*t), e);
    if (!t) {
        tune_cache_free(c);
        return ERR_MEMORY;
    }
    t->budget = b;
    t->cache = c;
    t->measure = measure;
    t->threads = threads;
    t->end = &t->trials;
    memcpy(t->machine, machine, sizeof(machine));
    arena_init(&t->arena, b);
    pthread_mutex_init(&t->running, NULL);
    *out = t;
    return 0;
}

void tuner_free(struct tuner *t)
{
    if (!t)
        return;
    tune_cache_free(t->cache);
    arena_clear(&t->arena);
    pthread_mutex_destroy(&t->running);
    mem_free(t->by_node);
    mem_free(t);
}

static struct trial *trial_for(struct tuner *t, const struct tune_ask *a, uint32_t where)
{
    char key[sizeof(t->trials->key)];
    tune_key_print(a, where, key, sizeof(key));
    for (struct trial *x = t->trials; x; x = x->next)
        if (strcmp(x->key, key) == 0)
            return x;
    struct trial *x = arena_alloc(&t->arena, sizeof(*x), NULL);
    if (!x)
        return NULL;
    *x = (struct trial){.ask = a, .where = where};
    memcpy(x->key, key, sizeof(key));
    *t->end = x;
    t->end = &x->next;
    return x;
}

/* Which case these dims are; a new one is made by the leader, who asks first. */
static int measure(struct tune_site *site, const int64_t *dims)
{
    struct own_site *s = (struct own_site *)site;
    const struct tune_ask *a = site->ask;
    uint32_t where = tune_where(a, dims);
    int i = 0;
    for (int k = 0; k < a->n_dims; k++)
        if (a->dims[k] != TUNE_ANY && a->dims[k] != dims[k])
            return 0; /* another product than the key says */
    while (i < site->n && site->cases[i].where != where)
        i++;
    if (i == site->n) {
        struct trial *x = i < TUNE_CASES ? trial_for(s->tuner, a, where) : NULL;
        if (!x)
            return 0;
        if (!x->cost.worth) {
            x->cost = a->cost(a, dims);
            x->cost.worth |= 1;
        }
        s->trials[i] = x;
        site->cases[i] = (struct tune_case){where, 0};
        site->n++;
    }
    atomic_store_explicit(&s->last, i, memory_order_relaxed);
    return site->cases[i].choice;
}

static struct tune_site *measuring_site(struct tuner *t, const struct node *n, const struct tune_ask *a,
                                        struct arena *arena)
{
    size_t count = n->graph->shared->n_nodes;
    if (!t->by_node) {
        t->by_node = mem_calloc(t->budget, count, sizeof(struct own_site *), NULL);
        t->n_nodes = count;
    }
    struct own_site *s = arena_alloc(arena, sizeof(*s), NULL);
    struct tune_case *cases = arena_array(arena, TUNE_CASES, sizeof(*cases), NULL);
    if (!t->by_node || n->id >= t->n_nodes || !s || !cases)
        return NULL;
    *s = (struct own_site){.site = {.ask = a, .cases = cases, .measure = measure}, .tuner = t,
                           .next = t->sites, .last = -1};
    t->sites = t->by_node[n->id] = s;
    return &s->site;
}

struct tune_site *tuner_site(struct tuner *t, const struct node *n, const struct tune_ask *a,
                             struct arena *arena)
{
    struct tune_case found[TUNE_CASES];
    if (!t || a->n_names < 2 || a->n_names > TUNE_NAMES || a->n_dims > TUNE_DIMS)
        return NULL;
    if (t->measure)
        return measuring_site(t, n, a, arena);
    int count = tune_cache_find(t->cache, a, found, TUNE_CASES);
    if (!count)
        return NULL;
    struct tune_site *s = arena_alloc(arena, sizeof(*s), NULL);
    struct tune_case *cases = arena_array(arena, (size_t)count, sizeof(*cases), NULL);
    if (!s || !cases)
        return NULL;
    memcpy(cases, found, (size_t)count * sizeof(*cases));
    *s = (struct tune_site){.ask = a, .n = count, .cases = cases};
    return s;
}

void tuner_lock(struct tuner *t)
{
    pthread_mutex_lock(&t->running);
}

void tuner_unlock(struct tuner *t)
{
    pthread_mutex_unlock(&t->running);
}

void tuner_step(struct tuner *t, const struct node *n, int64_t ns)
{
    struct own_site *s = t->by_node && n->id < t->n_nodes ? t->by_node[n->id] : NULL;
    int last = s ? atomic_load_explicit(&s->last, memory_order_relaxed) : -1;
    if (last < 0)
        return;
    s->trials[last]->ns += ns;
    s->trials[last]->steps++;
    atomic_store_explicit(&s->last, -1, memory_order_relaxed);
}
