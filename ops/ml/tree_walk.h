/* SPDX-License-Identifier: Apache-2.0 */
/* Walks through a forest of one type, included once for each: T is the element, NAME(f) the name of
 * a function or structure. */

typedef uint32_t NAME(next_fn)(const struct forest *f, uint32_t i, const T *x);

static inline uint32_t NAME(next_plain)(const struct forest *f, uint32_t i, const T *x)
{
    const struct NAME(tree_node) *n = (const struct NAME(tree_node) *)f->nodes + i;
    return n->child[x[n->feature] <= n->value];
}

static inline uint32_t NAME(next_missing)(const struct forest *f, uint32_t i, const T *x)
{
    const struct NAME(tree_node) *n = (const struct NAME(tree_node) *)f->nodes + i;
    T v = x[n->feature];
    return n->child[(v <= n->value) | ((v != v) & (f->sides[i] == SIDE_MISSING))];
}

static bool NAME(is_member)(const struct forest *f, const struct tree_set *s, T v)
{
    const T *members = (const T *)f->members + s->first;
    if (s->n == 0)
        return v >= 0 && v < 64 && v == (T)(int)v && (s->mask >> (int)v & 1);
    for (size_t from = 0, to = s->n; from < to;) {
        size_t at = from + (to - from) / 2;
        if (members[at] == v)
            return true;
        if (members[at] < v)
            from = at + 1;
        else
            to = at;
    }
    return false;
}

static inline uint32_t NAME(next_any)(const struct forest *f, uint32_t i, const T *x)
{
    const struct NAME(tree_node) *n = (const struct NAME(tree_node) *)f->nodes + i;
    uint32_t side = f->sides[i];
    T v = x[n->feature];
    bool holds = v <= n->value;
    if (side & SIDE_EQ)
        holds = v == n->value;
    else if (side & SIDE_MEMBER)
        holds = v == v && NAME(is_member)(f, &f->sets[side >> SIDE_SET], v);
    return n->child[holds | ((v != v) & (side & SIDE_MISSING) >> 2)];
}

static inline void NAME(vote)(const struct forest *f, uint32_t leaf, enum tree_aggregate how,
                              T *score, uint8_t *voted)
{
    uint32_t v = f->first ? f->first[leaf] : leaf, end = f->first ? f->first[leaf + 1] : leaf + 1;
    for (; v < end; v++) {
        uint32_t t = f->target[v];
        T w = ((const T *)f->weight)[v];
        if (how == TREE_SUM || how == TREE_AVERAGE)
            score[t] += w;
        else if (!voted[t] || (how == TREE_MIN ? w < score[t] : w > score[t]))
            score[t] = w;
        voted[t] = 1;
    }
}

/* Rows are walked LANES at a time, which hides the latency of each step behind the others'. */
static inline __attribute__((always_inline)) void
NAME(walk)(const struct forest *f, NAME(next_fn) *next, const T *x, size_t stride, int64_t rows,
           enum tree_aggregate how, T *score, uint8_t *voted, int64_t targets)
{
    for (uint32_t t = 0; t < f->n_roots; t++) {
        int64_t row = 0;
        uint32_t root = f->roots[t], low = root, at[LANES];
        for (; row + LANES <= rows; row += LANES, low = root) {
            for (int k = 0; k < LANES; k++)
                at[k] = root;
            while (low < f->n_inner) {
                low = UINT32_MAX;
                for (int k = 0; k < LANES; k++) {
                    at[k] = next(f, at[k], x + (size_t)(row + k) * stride);
                    low = at[k] < low ? at[k] : low;
                }
            }
            for (int k = 0; k < LANES; k++)
                NAME(vote)(f, at[k] - f->n_inner, how, score + (row + k) * targets,
                           voted + (row + k) * targets);
        }
        for (; row < rows; row++) {
            uint32_t i = root;
            while (i < f->n_inner)
                i = next(f, i, x + (size_t)row * stride);
            NAME(vote)(f, i - f->n_inner, how, score + row * targets, voted + row * targets);
        }
    }
}

void NAME(forest_run)(const struct forest *f, const T *x, size_t stride, int64_t rows,
                      enum tree_aggregate how, T *score, uint8_t *voted, int64_t targets)
{
    if (f->walk == WALK_PLAIN)
        NAME(walk)(f, NAME(next_plain), x, stride, rows, how, score, voted, targets);
    else if (f->walk == WALK_MISSING)
        NAME(walk)(f, NAME(next_missing), x, stride, rows, how, score, voted, targets);
    else
        NAME(walk)(f, NAME(next_any), x, stride, rows, how, score, voted, targets);
}
