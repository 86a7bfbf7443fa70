/* SPDX-License-Identifier: Apache-2.0 */
/* Scores are sums in the forest's type in the order of trees, as other engines have them, so that
 * ties between classes fall as they do there; what follows the sums is rounded to that type at each
 * step.
 */
#include "ops/ml/tree_rows.h"

#include <string.h>

int tree_rows_base(struct tree_rows *r, struct floats floats, const struct tensor *t,
                   struct prepare *p, struct err *e)
{
    r->n_base = t ? tensor_count(t) : floats.n;
    double *base = arena_array(p->arena, (size_t)r->n_base, sizeof *base, e);
    if (!base)
        return e ? e->code : ERR_MEMORY;
    if (t)
        elems_to_f64(t->dtype, t->data, 0, r->n_base, base);
    for (int64_t i = 0; i < r->n_base && !t; i++)
        base[i] = floats.v[i];
    r->base = base;
    return 0;
}

/* ---- a member's scratch ---------------------------------------------------------------------- */

struct layout {
    size_t score, voted, row, x, bytes;
};

static struct layout layout_of(const struct tree_rows *r, const struct tensor *x)
{
    size_t size = r->forest.f64 ? sizeof(double) : sizeof(float);
    bool same = x->dtype == (r->forest.f64 ? DTYPE_F64 : DTYPE_F32);
    struct layout l = {0};
    l.voted = bytes_of(r->targets, size * BLOCK_ROWS);
    l.row = bytes_add(l.voted, bytes_of(r->targets, BLOCK_ROWS));
    l.x = bytes_add(l.row, bytes_of(r->targets, sizeof(double)));
    l.bytes = same ? l.x : bytes_add(l.x, bytes_of(features_of(x), size * BLOCK_ROWS));
    return l;
}

size_t tree_rows_scratch(const struct call *c, size_t *per_member)
{
    const struct tree_rows *r = c->prepared;
    *per_member = layout_of(r, call_in(c, 0)).bytes;
    return r->classifier ? labels_scratch(&r->labels, rows_of(call_in(c, 0))) : 0;
}

int64_t tree_rows_tasks(const struct call *c)
{
    const struct tree_rows *r = c->prepared;
    return tasks_for(rows_of(call_in(c, 0)), r->forest.cost + 4 * r->targets);
}

/* ---- the end of a row ------------------------------------------------------------------------ */

static double rounded(const struct tree_rows *r, double v)
{
    return r->forest.f64 ? v : (float)v;
}

static void add_base(const struct tree_rows *r, double *s)
{
    for (int64_t i = 0; i < r->targets && i < r->n_base; i++)
        s[i] = rounded(r, s[i] + r->base[i]);
}

static void finish_regression(const struct tree_rows *r, double *s)
{
    for (int64_t i = 0; i < r->targets && r->how == TREE_AVERAGE && r->forest.n_roots; i++)
        s[i] = rounded(r, s[i] / r->forest.n_roots);
    add_base(r, s);
    post_apply(r->post, s, r->targets);
}

/* Two classes, votes for one of them: the first one's are the score of the second, as exporters
 * write binary models; with votes for the second the first has a score of zero. */
static int32_t finish_single(const struct tree_rows *r, double *s)
{
    double v = s[r->only];
    if (r->only == 0) {
        v = r->n_base ? rounded(r, v + r->base[0]) : v;
        post_pair(r->post, v, r->like_probability, s);
    } else {
        post_apply(r->post, s, 2);
    }
    return v > (r->like_probability ? 0.5 : 0);
}

/* The winner; a class without a vote and a base value cannot win. */
static int32_t finish_classes(const struct tree_rows *r, double *s, const uint8_t *voted)
{
    int64_t best = -1;
    add_base(r, s);
    for (int64_t i = 0; i < r->targets; i++)
        if ((voted[i] || i < r->n_base) && (best < 0 || s[i] > s[best]))
            best = i;
    int32_t winner = r->targets == 1 ? s[0] > 0 : best < 0 ? 0 : (int32_t)best;
    post_apply(r->post, s, r->targets);
    return winner;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void load_row(const struct tree_rows *r, const void *score, int64_t row, double *s)
{
    for (int64_t i = 0; i < r->targets; i++)
        s[i] = r->forest.f64 ? ((const double *)score)[row * r->targets + i]
                             : ((const float *)score)[row * r->targets + i];
}

static void run_block(const struct call *c, int64_t first, int64_t rows, char *scratch)
{
    const struct tree_rows *r = c->prepared;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, r->classifier);
    struct layout l = layout_of(r, x);
    size_t stride = (size_t)features_of(x), n = (size_t)(rows * r->targets);
    const void *in = rows_as(x, r->forest.f64, first, rows, scratch + l.x);
    void *score = scratch + l.score;
    uint8_t *voted = (uint8_t *)scratch + l.voted;
    double *s = (double *)(scratch + l.row);
    memset(voted, 0, n);
    memset(score, 0, n * (r->forest.f64 ? sizeof(double) : sizeof(float)));
    if (r->forest.f64)
        forest_run_f64(&r->forest, in, stride, rows, r->how, score, voted, r->targets);
    else
        forest_run_f32(&r->forest, in, stride, rows, r->how, score, voted, r->targets);
    for (int64_t i = 0; i < rows; i++) {
        load_row(r, score, i, s);
        if (!r->classifier)
            finish_regression(r, s);
        else
            labels_winners(c)[first + i] = r->single ? finish_single(r, s)
                                                     : finish_classes(r, s, voted + i * r->targets);
        if (y)
            elems_from_f64(y->dtype, y->data, (first + i) * r->targets, r->targets, s);
    }
}

int tree_rows_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tree_rows *r = c->prepared;
    const struct tensor *x = call_in(c, 0);
    struct span s = span_of(begin, end, tree_rows_tasks(c), rows_of(x));
    if (features_of(x) < r->forest.features)
        return err_set(e, ERR_INPUT, "a node tests feature %lld, but the input has %lld features",
                       (long long)r->forest.features - 1, (long long)features_of(x));
    for (int64_t i = s.first; i < s.last; i += BLOCK_ROWS)
        run_block(c, i, s.last - i < BLOCK_ROWS ? s.last - i : BLOCK_ROWS,
                  call_member_scratch(c, member));
    return 0;
}
