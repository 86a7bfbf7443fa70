/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling an ensemble: which entries a walk from the roots finds, their numbers, their tests. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "ops/ml/tree.h"

void tree_source_clear(struct tree_source *s)
{
    mem_free(s->entries);
    mem_free(s->roots);
    mem_free(s->votes);
    mem_free(s->members);
    mem_free(s->set_first);
    *s = (struct tree_source){0};
}

/* ---- finding entries ------------------------------------------------------------------------- */

/* The next branch to walk. */
enum state { STATE_NEW, STATE_TRUE, STATE_FALSE, STATE_LAST, STATE_DONE };

struct finder {
    const struct tree_source *s;
    uint8_t *state;    /* of each entry */
    uint32_t *number;  /* of each entry: among inner nodes or among leaves */
    uint32_t *order;   /* entries of inner nodes by number */
    uint32_t *stack;
    uint32_t n_inner, n_leaves, depth, deepest;
};

static int enter(struct finder *w, uint32_t i, struct err *e)
{
    const struct tree_source *s = w->s;
    if (w->state[i] == STATE_DONE)
        return 0;
    if (w->state[i] != STATE_NEW)
        return err_set(e, ERR_MODEL, "node %lld of the ensemble is its own descendant",
                       (long long)i);
    if (s->entries[i].mode == TREE_LEAF) {
        w->state[i] = STATE_DONE;
        w->number[i] = w->n_leaves++;
        return 0;
    }
    w->state[i] = STATE_TRUE;
    w->number[i] = w->n_inner;
    w->order[w->n_inner++] = i;
    w->stack[w->depth++] = i;
    w->deepest = w->depth > w->deepest ? w->depth : w->deepest;
    return 0;
}

static int find_from(struct finder *w, uint32_t root, struct err *e)
{
    int rc = enter(w, root, e);
    while (w->depth && rc == 0) {
        uint32_t i = w->stack[w->depth - 1];
        w->state[i]++;
        if (w->state[i] == STATE_DONE)
            w->depth--;
        else
            rc = enter(w, w->s->entries[i].child[w->state[i] == STATE_FALSE], e);
    }
    return rc;
}

static int find(struct finder *w, struct err *e)
{
    int rc = 0;
    for (uint32_t t = 0; t < w->s->n_roots && rc == 0; t++)
        rc = find_from(w, w->s->roots[t], e);
    for (uint32_t i = 0; i < w->s->n_entries && w->s->whole && rc == 0; i++)
        if (w->s->entries[i].mode != TREE_LEAF)
            rc = find_from(w, i, e);
    return rc;
}

static int finder_init(struct finder *w, const struct tree_source *s, struct budget *b,
                       struct err *e)
{
    *w = (struct finder){.s = s};
    w->state = mem_calloc(b, s->n_entries, sizeof *w->state, e);
    w->number = w->state ? mem_calloc(b, s->n_entries, sizeof *w->number, e) : NULL;
    w->order = w->number ? mem_calloc(b, s->n_entries, sizeof *w->order, e) : NULL;
    w->stack = w->order ? mem_calloc(b, s->n_entries, sizeof *w->stack, e) : NULL;
    return w->stack ? 0 : e ? e->code : ERR_MEMORY;
}

static void finder_clear(struct finder *w)
{
    mem_free(w->state);
    mem_free(w->number);
    mem_free(w->order);
    mem_free(w->stack);
}

/* ---- tests ----------------------------------------------------------------------------------- */

struct test {
    double value;
    uint32_t side;
    bool swap;
};

/* x < v is x <= below(v); below the least number there is none, and nothing is <= NaN. */
static double below(double v, bool f64)
{
    if (v == -INFINITY)
        return NAN;
    return f64 ? nextafter(v, -INFINITY) : nextafterf((float)v, -INFINITY);
}

static struct test test_of(const struct tree_entry *n, bool f64)
{
    struct test t = {n->value, n->missing ? SIDE_MISSING : 0, false};
    switch (n->mode) {
    case TREE_LT:
        t.value = below(n->value, f64);
        break;
    case TREE_GT:
    case TREE_GTE:
        /* Not (x <= value), which must then hold for NaN unless the test itself does. Against NaN
         * nothing is greater: any number is <= infinity. */
        t.swap = true;
        t.side ^= SIDE_MISSING;
        t.value = isnan(n->value) ? INFINITY : n->mode == TREE_GT ? n->value : below(n->value, f64);
        break;
    case TREE_EQ:
        t.side |= SIDE_EQ;
        break;
    case TREE_NEQ:
        t.swap = true;
        t.side = SIDE_EQ; /* NaN differs from everything */
        break;
    case TREE_MEMBER:
        t.side |= SIDE_MEMBER | (uint32_t)n->value << SIDE_SET;
        break;
    default:
        break;
    }
    return t;
}

/* ---- the arrays ------------------------------------------------------------------------------ */

/* n elements of `size` bytes that live with the model. */
static void *keep(struct prepare *p, size_t n, size_t size, struct err *e)
{
    size_t bytes;
    if (!size_mul(n, size, &bytes)) {
        err_set(e, ERR_LIMIT, "the ensemble is too large");
        return NULL;
    }
    return p->pack_alloc(p, bytes, e);
}

static void put_node(const struct forest *f, void *nodes, uint32_t i, double value,
                     uint32_t feature, uint32_t no, uint32_t yes)
{
    if (f->f64)
        ((struct tree_node_f64 *)nodes)[i] = (struct tree_node_f64){value, feature, {no, yes}};
    else
        ((struct tree_node_f32 *)nodes)[i] =
            (struct tree_node_f32){(float)value, feature, {no, yes}};
}

static uint32_t place(const struct finder *w, uint32_t entry)
{
    return w->number[entry] + (w->s->entries[entry].mode == TREE_LEAF ? w->n_inner : 0);
}

static int make_nodes(struct forest *f, const struct finder *w, struct prepare *p, struct err *e)
{
    const struct tree_source *s = w->s;
    uint32_t n = w->n_inner + w->n_leaves, all = 0;
    void *nodes =
        keep(p, n, f->f64 ? sizeof(struct tree_node_f64) : sizeof(struct tree_node_f32), e);
    uint32_t *sides = nodes ? keep(p, n, sizeof *sides, e) : NULL;
    uint32_t *roots = sides ? keep(p, s->n_roots, sizeof *roots, e) : NULL;
    if (!roots)
        return e ? e->code : ERR_MEMORY;
    for (uint32_t i = 0; i < w->n_inner; i++) {
        const struct tree_entry *from = &s->entries[w->order[i]];
        struct test t = test_of(from, f->f64);
        put_node(f, nodes, i, t.value, (uint32_t)from->feature, place(w, from->child[t.swap]),
                 place(w, from->child[!t.swap]));
        sides[i] = t.side;
        all |= t.side;
        f->features = from->feature >= f->features ? from->feature + 1 : f->features;
    }
    for (uint32_t i = w->n_inner; i < n; i++) {
        put_node(f, nodes, i, 0, 0, i, i);
        sides[i] = 0;
    }
    for (uint32_t t = 0; t < s->n_roots; t++)
        roots[t] = place(w, s->roots[t]);
    f->walk = all & (SIDE_EQ | SIDE_MEMBER) ? WALK_ANY : all ? WALK_MISSING : WALK_PLAIN;
    f->nodes = nodes;
    f->sides = sides;
    f->roots = roots;
    f->n_roots = s->n_roots;
    f->n_inner = w->n_inner;
    return 0;
}

static bool counts(const struct finder *w, const struct tree_vote *v)
{
    return w->state[v->entry] == STATE_DONE && w->s->entries[v->entry].mode == TREE_LEAF;
}

/* Votes in the order of leaves, those of a leaf in the order of the file. */
static int make_votes(struct forest *f, const struct finder *w, struct prepare *p, struct err *e)
{
    const struct tree_source *s = w->s;
    uint32_t *first = keep(p, (size_t)w->n_leaves + 1, sizeof *first, e);
    uint32_t *target = first ? keep(p, s->n_votes, sizeof *target, e) : NULL;
    void *weight = target ? keep(p, s->n_votes, f->f64 ? sizeof(double) : sizeof(float), e) : NULL;
    bool single = true;
    if (!weight)
        return e ? e->code : ERR_MEMORY;
    memset(first, 0, ((size_t)w->n_leaves + 1) * sizeof *first);
    for (size_t i = 0; i < s->n_votes; i++)
        if (counts(w, &s->votes[i]))
            first[w->number[s->votes[i].entry] + 1]++;
    for (uint32_t i = 0; i < w->n_leaves; i++) {
        single &= first[i + 1] == 1;
        first[i + 1] += first[i];
    }
    /* first[i] is where the next vote of leaf i goes, and so the start of leaf i + 1 in the end. */
    for (size_t i = 0; i < s->n_votes; i++) {
        const struct tree_vote *v = &s->votes[i];
        if (!counts(w, v))
            continue;
        uint32_t at = first[w->number[v->entry]]++;
        target[at] = v->target;
        if (f->f64)
            ((double *)weight)[at] = v->weight;
        else
            ((float *)weight)[at] = (float)v->weight;
    }
    memmove(first + 1, first, (size_t)w->n_leaves * sizeof *first);
    first[0] = 0;
    f->first = single ? NULL : first;
    f->target = target;
    f->weight = weight;
    return 0;
}

/* ---- sets ------------------------------------------------------------------------------------ */

static void sift(double *v, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && v[child + 1] > v[child];
        if (v[child] <= v[i])
            return;
        double t = v[i];
        v[i] = v[child];
        v[child] = t;
    }
}

static void sort(double *v, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(v, i, n);
    for (size_t i = n; i-- > 1;) {
        double t = v[0];
        v[0] = v[i];
        v[i] = t;
        sift(v, 0, i);
    }
}

static struct tree_set set_of(const double *v, size_t first, size_t n)
{
    struct tree_set s = {0, first, 0};
    for (size_t i = first; i < first + n; i++) {
        if (!(v[i] >= 0 && v[i] < 64 && v[i] == (int)v[i]))
            return (struct tree_set){0, first, n};
        s.mask |= UINT64_C(1) << (int)v[i];
    }
    return s;
}

static int make_sets(struct forest *f, const struct tree_source *s, struct prepare *p,
                     struct err *e)
{
    if (s->n_sets == 0)
        return 0;
    size_t n = s->set_first[s->n_sets];
    struct tree_set *sets = keep(p, s->n_sets, sizeof *sets, e);
    void *members = sets ? keep(p, n, f->f64 ? sizeof(double) : sizeof(float), e) : NULL;
    if (!members)
        return e ? e->code : ERR_MEMORY;
    for (uint32_t i = 0; i < s->n_sets; i++) {
        size_t first = s->set_first[i], end = s->set_first[i + 1];
        sort(s->members + first, end - first);
        sets[i] = set_of(s->members, first, end - first);
    }
    for (size_t i = 0; i < n; i++)
        if (f->f64)
            ((double *)members)[i] = s->members[i];
        else
            ((float *)members)[i] = (float)s->members[i];
    f->sets = sets;
    f->members = members;
    return 0;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int check_features(const struct forest *f, const struct prepare *p, struct err *e)
{
    const struct type *x = &p->in[0]->type;
    int64_t have = x->rank > 0 ? x->dims[x->rank - 1] : SYM_UNKNOWN;
    return sym_is_number(have) && have < f->features
               ? err_set(e, ERR_MODEL, "a node tests feature %lld, but the input has %lld features",
                         (long long)f->features - 1, (long long)have)
               : 0;
}

int forest_build(struct forest *f, const struct tree_source *s, struct prepare *p, struct err *e)
{
    struct finder w;
    *f = (struct forest){.f64 = s->f64};
    int rc = finder_init(&w, s, p->budget, e);
    if (rc == 0)
        rc = find(&w, e);
    if (rc == 0)
        rc = make_nodes(f, &w, p, e);
    if (rc == 0)
        rc = check_features(f, p, e);
    if (rc == 0)
        rc = make_votes(f, &w, p, e);
    if (rc == 0)
        rc = make_sets(f, s, p, e);
    /* A step costs a few operations; a row takes at most `deepest` of them a tree. */
    int64_t depth = 1;
    while (depth < w.deepest && (int64_t)1 << depth <= w.n_inner / (s->n_roots ? s->n_roots : 1))
        depth++;
    f->cost = 4 * (depth + 2) * (int64_t)s->n_roots + 1;
    finder_clear(&w);
    return rc;
}
