/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/pass.h"

#include <string.h>
#include <time.h>

/* Passes feed each other; in practice the third round finds nothing. */
enum { ROUNDS_MAX = 8 };

static const struct row {
    const char *name, *help;
    pass_fn *fn;
    bool on;
} rows[] = {
#define PASS(word, function, on_, help_) {.name = #word, .help = help_, .fn = function, .on = on_},
#include "graph/passes.def"
#undef PASS
};

int pass_count(void)
{
    return PASS_COUNT;
}

const char *pass_name(int i)
{
    return rows[i].name;
}

const char *pass_help(int i)
{
    return rows[i].help;
}

bool pass_on(int i)
{
    return rows[i].on;
}

int pass_none(struct graph *g, struct pass_context *c, struct err *e)
{
    return 0;
}

/* ---- selection ------------------------------------------------------------------------------ */

static int find(const char *name, size_t n)
{
    for (int i = 0; i < PASS_COUNT; i++)
        if (strlen(rows[i].name) == n && !memcmp(rows[i].name, name, n))
            return i;
    return -1;
}

static bool is_word(const char *item, size_t n, const char *word)
{
    return n == strlen(word) && !memcmp(item, word, n);
}

/* "-cse", "+cse", "cse", "none", "all", one after the other, with commas between. */
static int select_passes(const char *text, bool *on, struct err *e)
{
    for (int i = 0; i < PASS_COUNT; i++)
        on[i] = rows[i].on;
    while (text && *text) {
        size_t n = strcspn(text, ",");
        bool sign = n > 0 && (*text == '-' || *text == '+'), wanted = *text != '-';
        const char *item = text + sign;
        size_t size = n - sign;
        int i = find(item, size);
        if (!sign && (is_word(item, size, "none") || is_word(item, size, "all")))
            memset(on, *item == 'a', PASS_COUNT * sizeof *on);
        else if (i >= 0)
            on[i] = wanted;
        else if (n > 0)
            return err_set(e, ERR_USAGE, "there is no pass '%.*s'; --list passes names them",
                           (int)(size < 40 ? size : 40), item);
        text += n + (text[n] == ',');
    }
    return 0;
}

/* ---- running -------------------------------------------------------------------------------- */

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Rewrites in g and all below it; a graph's own first, since they may take subgraphs away. */
static int64_t run_tree(pass_fn *fn, struct graph *g, struct pass_context *c, struct err *e)
{
    int64_t count = fn(g, c, e);
    for (struct node *n = g->first; n && count >= 0; n = n->next)
        for (int i = 0; i < n->n_graphs && count >= 0; i++) {
            int64_t more = run_tree(fn, n->graphs[i], c, e);
            count = more < 0 ? more : count + more;
        }
    return count;
}

static int64_t run_pass(int i, struct graph *main, struct pass_context *c, struct err *e)
{
    uint64_t start = now();
    int stopped = c->stop ? stop_poll(c->stop, e) : 0;
    if (stopped)
        return stopped;
    int64_t count = run_tree(rows[i].fn, main, c, e);
    if (count < 0)
        return err_at(e, (int)count, "pass %s", rows[i].name);
    if (c->report) {
        c->report->rewrites[i] += (uint64_t)count;
        c->report->nanoseconds[i] += now() - start;
    }
    if (count > 0 && c->verify) {
        int r = graph_verify(main, e);
        if (r)
            return err_at(e, r, "after pass %s", rows[i].name);
    }
    return count;
}

static int infer_again(struct graph *main, struct pass_context *c, struct err *e)
{
    uint64_t start = now();
    int r = c->infer ? c->infer(main, c->arg, e) : 0;
    if (c->report)
        c->report->infer_nanoseconds += now() - start;
    return r;
}

int graph_passes(struct graph *main, struct pass_context *c, struct err *e)
{
    bool on[PASS_COUNT];
    int r = select_passes(c->select, on, e);
    for (int round = 0; round < ROUNDS_MAX && r == 0; round++) {
        int64_t changes = 0;
        for (int i = 0; i < PASS_COUNT; i++) {
            int64_t count = on[i] ? run_pass(i, main, c, e) : 0;
            if (count < 0)
                return (int)count;
            changes += count;
        }
        if (c->report)
            c->report->rounds++;
        if (changes == 0)
            return 0;
        r = infer_again(main, c, e);
    }
    return r;
}

/* ---- for passes ----------------------------------------------------------------------------- */

int pass_failed(const struct err *e)
{
    return e && e->code ? e->code : ERR_MEMORY;
}

bool pass_allow(struct pass_context *c)
{
    if (c->limit && c->done == c->limit)
        return false;
    c->done++;
    return true;
}

bool pass_can_replace(const struct graph_value *from, const struct graph_value *to)
{
    return !from->is_output || (to->producer && !to->is_output && to->graph == from->graph);
}

int pass_bypass(struct node *n, struct graph_value *to, struct err *e)
{
    int r = graph_replace(n->out[0], to, e);
    if (r == 0)
        graph_remove(n);
    return r;
}

bool pass_same_type(struct graph *g, const struct type *a, const struct type *b)
{
    if (a->kind != TYPE_TENSOR || b->kind != TYPE_TENSOR || a->dtype != b->dtype || a->rank < 0 ||
        a->rank != b->rank || a->dtype == DTYPE_NONE)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (!sym_equal(g->shared->syms, a->dims[i], b->dims[i]))
            return false;
    return true;
}

bool pass_only_first(const struct node *n)
{
    for (int i = 1; i < n->n_out; i++)
        if (n->out[i] && (n->out[i]->n_uses || n->out[i]->is_output))
            return false;
    return n->n_out > 0 && n->out[0];
}

int pass_widen(struct node *n, int n_in, struct err *e)
{
    if (n->n_in >= n_in)
        return 0;
    struct graph_value **in =
        arena_array(&n->graph->shared->arena, (size_t)n_in, sizeof *in, e);
    if (!in)
        return pass_failed(e);
    if (n->n_in)
        memcpy(in, n->in, (size_t)n->n_in * sizeof *in);
    n->in = in;
    n->n_in = n_in;
    return 0;
}
