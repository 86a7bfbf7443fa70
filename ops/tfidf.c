/* SPDX-License-Identifier: Apache-2.0 */
/* TfIdfVectorizer: counts of n-grams with skips. The pool becomes a hash table at load, keyed by a hash
 * that grows item by item, so that a walk over a row looks up every length on its way. */
#include <stddef.h>
#include <string.h>

#include "ops/common.h"

struct attrs_tfidf {
    struct str mode;
    int64_t max_gram_length, max_skip_count, min_gram_length;
    struct ints ngram_counts, ngram_indexes, pool_int64s;
    struct strs pool_strings;
    struct floats weights;
};

static const struct attr tfidf_attrs[] = {
    {"mode", ATTR_STRING, offsetof(struct attrs_tfidf, mode), .required = true},
    {"max_gram_length", ATTR_INT, offsetof(struct attrs_tfidf, max_gram_length), .required = true},
    {"max_skip_count", ATTR_INT, offsetof(struct attrs_tfidf, max_skip_count), .required = true},
    {"min_gram_length", ATTR_INT, offsetof(struct attrs_tfidf, min_gram_length), .required = true},
    {"ngram_counts", ATTR_INTS, offsetof(struct attrs_tfidf, ngram_counts), .required = true},
    {"ngram_indexes", ATTR_INTS, offsetof(struct attrs_tfidf, ngram_indexes), .required = true},
    {"pool_int64s", ATTR_INTS, offsetof(struct attrs_tfidf, pool_int64s)},
    {"pool_strings", ATTR_STRINGS, offsetof(struct attrs_tfidf, pool_strings)},
    {"weights", ATTR_FLOATS, offsetof(struct attrs_tfidf, weights)},
    {0},
};

/* ---- attributes -------------------------------------------------------------------------------- */

static bool is_word(struct str s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

static int64_t pool_size(const struct attrs_tfidf *at)
{
    return at->pool_strings.v ? at->pool_strings.n : at->pool_int64s.n;
}

/* The n-grams of length n: items [*from, *to) of the pool. */
static void section(const struct attrs_tfidf *at, int64_t n, int64_t *from, int64_t *to)
{
    *from = at->ngram_counts.v[n - 1];
    *to = n < at->ngram_counts.n ? at->ngram_counts.v[n] : pool_size(at);
}

/* The number of n-grams, or an error: every n-gram has a place in the output. */
static int check_pool(const struct attrs_tfidf *at, int64_t *grams, struct err *e)
{
    *grams = 0;
    for (int64_t n = 1, from, to, last = 0; n <= at->ngram_counts.n; n++) {
        section(at, n, &from, &to);
        if (from < last || to < from || to > pool_size(at))
            return err_set(e, ERR_MODEL, "ngram_counts is no list of places in a pool of %lld",
                           (long long)pool_size(at));
        *grams += (to - from) / n;
        last = from;
    }
    if (*grams > at->ngram_indexes.n)
        return err_set(e, ERR_MODEL, "%lld n-grams but %lld ngram_indexes", (long long)*grams,
                       (long long)at->ngram_indexes.n);
    return at->weights.v ? (at->weights.n == at->ngram_indexes.n
                                ? 0
                                : err_set(e, ERR_MODEL, "%lld weights but %lld ngram_indexes",
                                          (long long)at->weights.n, (long long)at->ngram_indexes.n))
                         : 0;
}

static int check_attrs(const struct attrs_tfidf *at, int64_t *grams, int64_t *width, struct err *e)
{
    if (!is_word(at->mode, "TF") && !is_word(at->mode, "IDF") && !is_word(at->mode, "TFIDF"))
        return err_set(e, ERR_MODEL, "mode is not TF, IDF or TFIDF");
    if (!at->pool_strings.v == !at->pool_int64s.v)
        return err_set(e, ERR_MODEL, "one of pool_strings and pool_int64s is needed");
    if (at->min_gram_length < 1 || at->max_gram_length < at->min_gram_length || at->max_skip_count < 0)
        return err_set(e, ERR_MODEL, "n-grams of %lld to %lld items with %lld skips",
                       (long long)at->min_gram_length, (long long)at->max_gram_length,
                       (long long)at->max_skip_count);
    *width = 0;
    for (int64_t i = 0; i < at->ngram_indexes.n; i++) {
        int64_t v = at->ngram_indexes.v[i];
        if (v < 0 || v == INT64_MAX)
            return err_set(e, ERR_MODEL, "ngram_indexes has %lld", (long long)v);
        *width = v + 1 > *width ? v + 1 : *width;
    }
    if (*width == 0)
        return err_set(e, ERR_MODEL, "ngram_indexes is empty");
    return check_pool(at, grams, e);
}

static int tfidf_infer(struct infer *c, struct err *e)
{
    const struct attrs_tfidf *at = c->attrs;
    int64_t grams, dims[2];
    int rank = infer_rank(c, 0), rc = check_attrs(at, &grams, &dims[1], e);
    if (rc == 0)
        rc = infer_dtypes(c, 0, at->pool_strings.v ? DT(STRING) : DT(I32) | DT(I64), e);
    if (rc < 0)
        return rc;
    if (rank < 0)
        return infer_unknown(c, 0, DTYPE_F32, e);
    if (rank > 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 1 or 2", rank);
    dims[0] = rank == 2 ? infer_dim(c, 0, 0) : 0;
    return infer_set(c, 0, DTYPE_F32, rank == 2 ? 2 : 1, rank == 2 ? dims : dims + 1, e);
}

/* ---- the table --------------------------------------------------------------------------------- */

struct gram {
    uint64_t hash;
    int64_t first, n, id; /* place and length in the pool; number in ngram_indexes; n 0: a free slot */
};

struct grams {
    struct gram *slots;
    uint64_t mask;
    int64_t longest;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static uint64_t hash_str(struct str s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < s.size; i++)
        h = (h ^ (unsigned char)s.data[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t hash_pool(const struct attrs_tfidf *at, int64_t i)
{
    return at->pool_strings.v ? hash_str(at->pool_strings.v[i]) : (uint64_t)at->pool_int64s.v[i];
}

static int tfidf_prepare(struct prepare *p, struct err *e)
{
    const struct attrs_tfidf *at = p->attrs;
    int64_t grams, width;
    int rc = check_attrs(at, &grams, &width, e);
    struct grams *g = rc == 0 ? arena_alloc(p->arena, sizeof *g, e) : NULL;
    if (!g)
        return rc < 0 ? rc : ERR_MEMORY;
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)grams)
        slots *= 2;
    *g = (struct grams){arena_array(p->arena, slots, sizeof *g->slots, e), slots - 1, 0};
    if (!g->slots)
        return ERR_MEMORY;
    for (int64_t n = 1, id = 0, from, to; n <= at->ngram_counts.n; n++) {
        section(at, n, &from, &to);
        for (; to - from >= n; from += n, id++) {
            if (n < at->min_gram_length || n > at->max_gram_length)
                continue;
            uint64_t h = 0;
            for (int64_t i = 0; i < n; i++)
                h = mix(h, hash_pool(at, from + i));
            uint64_t slot = h & g->mask;
            while (g->slots[slot].n)
                slot = (slot + 1) & g->mask;
            g->slots[slot] = (struct gram){h, from, n, id};
            g->longest = n;
        }
    }
    p->prepared = g;
    return 0;
}

/* ---- rows -------------------------------------------------------------------------------------- */

struct row {
    const struct tensor *x;
    int64_t first, n;
};

static bool same_item(const struct attrs_tfidf *at, int64_t pool, const struct tensor *x, int64_t i)
{
    if (!at->pool_strings.v)
        return at->pool_int64s.v[pool] == tensor_int(x, i);
    struct str a = at->pool_strings.v[pool], b = ((const struct str *)x->data)[i];
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void count(const struct attrs_tfidf *at, const struct grams *g, const struct row *r, int64_t start,
                  int64_t n, int64_t step, uint64_t h, float *y)
{
    for (uint64_t slot = h & g->mask; g->slots[slot].n; slot = (slot + 1) & g->mask) {
        const struct gram *m = &g->slots[slot];
        bool same = m->hash == h && m->n == n;
        for (int64_t i = 0; i < n && same; i++)
            same = same_item(at, m->first + i, r->x, r->first + start + i * step);
        if (!same)
            continue;
        float w = at->weights.v && !is_word(at->mode, "TF") ? at->weights.v[m->id] : 1;
        float *to = &y[at->ngram_indexes.v[m->id]];
        *to = is_word(at->mode, "IDF") ? w : *to + w;
    }
}

static void run_row(const struct attrs_tfidf *at, const struct grams *g, const struct row *r, float *y)
{
    int64_t shortest = at->min_gram_length;
    for (int64_t step = 1; step - 1 <= at->max_skip_count; step++) {
        /* Skips do not change single items, which are counted once. */
        if (step == 2 && shortest == 1)
            shortest = 2;
        if (shortest > g->longest || (shortest > 1 && step > (r->n - 1) / (shortest - 1)))
            return;
        for (int64_t start = 0; start < r->n; start++) {
            uint64_t h = 0;
            for (int64_t n = 1, at_item = start; n <= g->longest && at_item < r->n; n++, at_item += step) {
                int64_t i = r->first + at_item;
                h = mix(h, at->pool_strings.v ? hash_str(((const struct str *)r->x->data)[i])
                                              : (uint64_t)tensor_int(r->x, i));
                if (n >= shortest)
                    count(at, g, r, start, n, step, h, y);
            }
        }
    }
}

static int64_t tfidf_tasks(const struct call *c)
{
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    return x->rank == 2 ? tasks_for(x->dims[0], x->dims[1] * 64 + y->dims[1]) : 1;
}

static int tfidf_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    int64_t rows = x->rank == 2 ? x->dims[0] : 1, width = y->dims[y->rank - 1], from, to, last;
    int64_t n = x->rank == 0 ? 1 : x->dims[x->rank - 1];
    task_range(begin, tfidf_tasks(c), rows, &from, &last);
    task_range(end - 1, tfidf_tasks(c), rows, &last, &to);
    for (int64_t i = from; i < to; i++) {
        struct row r = {x, i * n, n};
        memset((float *)y->data + i * width, 0, (size_t)width * sizeof(float));
        run_row(c->attrs, c->prepared, &r, (float *)y->data + i * width);
    }
    return 0;
}

/* Not OP_PURE: it runs with its table only. */
const struct op op_tfidfvectorizer = {
    .domain = "", .name = "TfIdfVectorizer", .since = 9,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .flags = OP_HOST, .host_in = ~0u,
    .attrs = tfidf_attrs, .attrs_size = sizeof(struct attrs_tfidf),
    .infer = tfidf_infer, .prepare = tfidf_prepare, .tasks = tfidf_tasks, .run = tfidf_run,
};
