/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/match.h"

#include <math.h>
#include <string.h>

#include "graph/op.h"

enum { GOALS_MAX = MATCH_ROWS * MATCH_IN };

struct goal {
    int row; /* or MATCH_ABSENT */
    struct graph_value *value;
};

/* Goals are met in order; trying inputs the other way round takes back what was added since. */
struct search {
    const struct pat *rows;
    struct match *m;
    struct goal goals[GOALS_MAX];
    int n;
};

static bool name_is(const struct op *op, const char *name, size_t size)
{
    const char *colon = memchr(name, ':', size);
    size_t domain = colon ? (size_t)(colon - name) : 0;
    if (strlen(op->domain) != domain || memcmp(op->domain, name, domain))
        return false;
    size_t from = colon ? domain + 1 : 0;
    return strlen(op->name) == size - from && !memcmp(op->name, name + from, size - from);
}

bool node_is(const struct node *n, const char *names)
{
    for (;;) {
        size_t size = strcspn(names, "|");
        if (name_is(n->op, names, size))
            return true;
        if (!names[size])
            return false;
        names += size + 1;
    }
}

const struct tensor *match_constant(const struct graph_value *v)
{
    while (v && v->outer)
        v = v->outer;
    return v ? v->constant : NULL;
}

/* How far a decimal constant may be from what an exporter rounded, relatively. */
static double precision(enum dtype t)
{
    return t == DTYPE_F64 ? 1e-12 : t == DTYPE_F32 ? 1e-6 : t == DTYPE_F16 ? 1e-3 : 8e-3;
}

bool match_number(const struct graph_value *v, double number)
{
    const struct tensor *t = match_constant(v);
    if (!t || !strchr("FIUB", dtype_kind(t->dtype)))
        return false;
    int64_t n = tensor_count(t);
    size_t size = dtype_size(t->dtype);
    double slack = dtype_is_float(t->dtype) ? fabs(number) * precision(t->dtype) : 0;
    for (int64_t i = 0; i < n; i++) {
        double d = dtype_load_f64(t->dtype, (const char *)t->data + (size_t)i * size);
        if (!(fabs(d - number) <= slack))
            return false;
    }
    return n > 0;
}

static bool inside(const struct search *s, const struct graph_value *v)
{
    for (int i = 0; i < MATCH_ROWS; i++)
        if (s->m->v[i] == v && s->rows[i].op)
            return true;
    return false;
}

static bool node_inside(const struct search *s, const struct node *n)
{
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && inside(s, n->out[i]))
            return true;
    return false;
}

/* No one outside the match reads v. */
static bool enclosed(const struct search *s, const struct graph_value *v)
{
    if (v->is_output)
        return false;
    for (size_t k = 0; k < v->n_uses; k++)
        if (v->uses[k].capture || !node_inside(s, v->uses[k].node))
            return false;
    return true;
}

/* May the nodes inside go away? */
static bool closed(const struct search *s)
{
    for (int i = 1; i < MATCH_ROWS; i++) {
        if (!s->m->v[i] || !s->rows[i].op || (s->rows[i].flags & MATCH_SHARED))
            continue;
        const struct node *n = s->m->v[i]->producer;
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k] && !enclosed(s, n->out[k]))
                return false;
    }
    return true;
}

static bool fits(const struct pat *p, const struct graph_value *v)
{
    if (p->op && (!v->producer || !node_is(v->producer, p->op)))
        return false;
    if ((p->flags & MATCH_CONST) && !match_constant(v))
        return false;
    if ((p->flags & MATCH_NUMBER) && !match_number(v, p->number))
        return false;
    return !p->check || p->check(v);
}

static void add_goals(struct search *s, const struct pat *p, const struct node *n, bool exchanged)
{
    for (int i = 0; i < MATCH_IN; i++) {
        int from = exchanged && i < 2 ? 1 - i : i;
        if (p->in[i] == 0 || s->n == GOALS_MAX)
            continue;
        s->goals[s->n++] = (struct goal){p->in[i], from < n->n_in ? n->in[from] : NULL};
    }
}

static bool solve(struct search *s, int at)
{
    if (at == s->n)
        return closed(s);
    struct goal g = s->goals[at];
    if (g.row == MATCH_ABSENT || !g.value)
        return g.row == MATCH_ABSENT && !g.value && solve(s, at + 1);
    const struct pat *p = &s->rows[g.row];
    if (s->m->v[g.row])
        return s->m->v[g.row] == g.value && solve(s, at + 1);
    if (!fits(p, g.value))
        return false;
    s->m->v[g.row] = g.value;
    int n = s->n, orders = p->op && (p->flags & MATCH_ANY_ORDER) ? 2 : 1;
    for (int order = 0; order < orders; order++) {
        s->n = n;
        if (p->op)
            add_goals(s, p, g.value->producer, order == 1);
        if (solve(s, at + 1))
            return true;
    }
    s->n = n;
    s->m->v[g.row] = NULL;
    return false;
}

bool match_find(const struct pat *rows, struct node *root, struct match *m)
{
    struct search s = {.rows = rows, .m = m, .n = 1};
    if (root->n_out == 0 || !root->out[0] || !node_is(root, rows[0].op))
        return false;
    memset(m, 0, sizeof *m);
    s.goals[0] = (struct goal){0, root->out[0]};
    return solve(&s, 0);
}
