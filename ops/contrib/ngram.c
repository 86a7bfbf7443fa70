/* SPDX-License-Identifier: Apache-2.0 */
/* What decoders do with n-grams: NGramRepeatBlock forbids tokens that would repeat one,
 * BifurcationDetector takes over predicted tokens as far as they agree with the source and looks
 * for the place where the source goes on.
 */
#include <math.h>
#include <string.h>

#include "ops/common.h"

/* ---- NGramRepeatBlock ------------------------------------------------------------------------ */

struct block_attrs {
    int64_t ngram_size;
};

static int block_infer(struct infer *c, struct err *e)
{
    const struct block_attrs *a = c->attrs;
    int r = infer_dtypes(c, 0, DT(I64) | DT(I32), e);
    if (r || (r = infer_dtypes(c, 1, DT_FLOATS, e)))
        return r;
    if (a->ngram_size < 1)
        return err_set(e, ERR_MODEL, "ngram_size is %lld", (long long)a->ngram_size);
    for (int i = 0; i < 2; i++)
        if (infer_rank(c, i) >= 0 && infer_rank(c, i) != 2)
            return err_set(e, ERR_MODEL, "input %d has rank %d, expected 2", i, infer_rank(c, i));
    if (infer_rank(c, 0) == 2 && infer_rank(c, 1) == 2 &&
        sym_differ(c->syms, infer_dim(c, 0, 0), infer_dim(c, 1, 0)))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "ids and scores have different batches");
    return infer_like(c, 0, 1, infer_dtype(c, 1), e);
}

static int64_t block_tasks(const struct call *c)
{
    const struct tensor *ids = call_in(c, 0), *scores = call_in(c, 1);
    return tasks_for(ids->dims[0], ids->dims[1] + scores->dims[1]);
}

/* Forbid in row b what follows the places that read as the row's end does. */
static int block_row(const struct call *c, int64_t b, struct err *e)
{
    const struct tensor *ids = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    int64_t size = ((const struct block_attrs *)c->attrs)->ngram_size;
    int64_t length = ids->dims[1], words = y->dims[1], row = b * length, token;
    for (int64_t i = 0; size <= length && i <= length - size; i++) {
        bool same = true;
        for (int64_t k = 0; k < size - 1 && same; k++)
            same = tensor_int(ids, row + i + k) == tensor_int(ids, row + length - size + 1 + k);
        if (!same)
            continue;
        int r = norm_index(tensor_int(ids, row + i + size - 1), words, "token", &token, e);
        if (r)
            return r;
        dtype_store_f64(y->dtype,
                        (char *)y->data + (size_t)(b * words + token) * dtype_size(y->dtype),
                        -INFINITY);
    }
    return 0;
}

static int block_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *scores = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    size_t row = (size_t)y->dims[1] * dtype_size(y->dtype);
    int64_t first, last, unused, tasks = block_tasks(c);
    task_range(begin, tasks, y->dims[0], &first, &unused);
    task_range(end - 1, tasks, y->dims[0], &unused, &last);
    for (int64_t b = first; b < last; b++) {
        if (row && y->data != scores->data)
            memcpy((char *)y->data + (size_t)b * row, (const char *)scores->data + (size_t)b * row,
                   row);
        int r = block_row(c, b, e);
        if (r)
            return r;
    }
    return 0;
}

static const struct attr block_attr_rows[] = {
    {"ngram_size", ATTR_INT, offsetof(struct block_attrs, ngram_size), .required = true},
    {NULL},
};

const struct op op_ms_ngramrepeatblock = {
    .domain = "com.microsoft", .name = "NGramRepeatBlock", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE1,
    .attrs = block_attr_rows, .attrs_size = sizeof(struct block_attrs),
    .infer = block_infer, .tasks = block_tasks, .run = block_run,
};

/* ---- BifurcationDetector --------------------------------------------------------------------- */

struct fork_attrs {
    int64_t min_ngram_size, max_ngram_size;
};

enum { IN_SOURCE, IN_NOW, IN_MATCH, IN_PREDICTED };

static int fork_infer(struct infer *c, struct err *e)
{
    const struct fork_attrs *a = c->attrs;
    int64_t n;
    int r = 0;
    if (a->min_ngram_size < 1 || a->max_ngram_size < a->min_ngram_size)
        return err_set(e, ERR_MODEL, "n-grams of %lld to %lld tokens", (long long)a->min_ngram_size,
                       (long long)a->max_ngram_size);
    for (int i = 0; i < c->n_in && r == 0; i++) {
        if (!infer_has(c, i))
            continue;
        r = infer_dtypes(c, i, DT(I64), e);
        if (r == 0 && i != IN_MATCH && infer_rank(c, i) >= 0 && infer_rank(c, i) != 1)
            r = err_set(e, ERR_MODEL, "input %d has rank %d, expected 1", i, infer_rank(c, i));
    }
    if (r)
        return r;
    n = infer_has(c, IN_PREDICTED) || infer_rank(c, IN_NOW) < 0 ? infer_fresh(c)
                                                                : infer_dim(c, IN_NOW, 0);
    r = infer_set(c, 0, DTYPE_I64, 1, &n, e);
    return r ? r : infer_like(c, 1, IN_MATCH, DTYPE_I64, e);
}

struct tokens {
    const int64_t *v;
    int64_t n;
};

/* The first place at or after `from` where `what` stands in t; -1: nowhere. */
static int64_t search(struct tokens t, struct tokens what, int64_t from)
{
    for (int64_t i = from; i <= t.n - what.n; i++)
        if (memcmp(t.v + i, what.v, (size_t)what.n * sizeof *what.v) == 0)
            return i;
    return -1;
}

/* Where the source goes on after the end of `out`: behind the one place that has its last n-gram.
 */
static int64_t find_match(const struct fork_attrs *a, struct tokens source, struct tokens out)
{
    int64_t match = -1;
    for (int64_t n = a->min_ngram_size; n <= a->max_ngram_size && n <= out.n; n++) {
        struct tokens end = {out.v + out.n - n, n};
        int64_t at = search(source, end, 0);
        if (at < 0)
            break;
        match = at + n;
        if (match >= source.n)
            break;
        if (search(source, end, at + 1) >= 0)
            match = -1;
    }
    return match;
}

/* How many predicted tokens are taken: those that agree with the source, and the next. */
static int count_taken(struct tokens source, struct tokens predicted, int64_t from, int64_t *taken,
                       struct err *e)
{
    if (from < 0 || from > source.n || predicted.n != source.n + 1 - from)
        return err_set(e, ERR_INPUT, "%lld predicted tokens from place %lld on of %lld",
                       (long long)predicted.n, (long long)from, (long long)source.n);
    *taken = 0;
    while (*taken < source.n - from && predicted.v[*taken] == source.v[from + *taken])
        ++*taken;
    ++*taken;
    return 0;
}

static int fork_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *source_in = call_in(c, IN_SOURCE), *now = call_in(c, IN_NOW);
    const struct tensor *match = call_in(c, IN_MATCH), *predicted = call_in(c, IN_PREDICTED);
    struct tokens source = {source_in->data, source_in->dims[0]};
    int64_t taken = 0, n = now->dims[0];
    if (tensor_count(match) != 1)
        return err_set(e, ERR_INPUT, "prev_suffix_match_idx has %lld elements, expected one",
                       (long long)tensor_count(match));
    if (source_in->rank != 1 || now->rank != 1 || (predicted && predicted->rank != 1))
        return err_set(e, ERR_INPUT, "a list of tokens has not rank 1");
    int r = 0;
    if (predicted)
        r = count_taken(source, (struct tokens){predicted->data, predicted->dims[0]},
                        tensor_int(match, 0), &taken, e);
    int64_t total = n + taken;
    r = r ? r : call_output(c, 0, DTYPE_I64, 1, &total, e);
    r = r ? r : call_output(c, 1, DTYPE_I64, match->rank, match->dims, e);
    if (r || !call_out(c, 0))
        return r;
    int64_t *y = call_out(c, 0)->data;
    if (n)
        memcpy(y, now->data, (size_t)n * sizeof *y);
    if (taken)
        memcpy(y + n, predicted->data, (size_t)taken * sizeof *y);
    if (call_out(c, 1))
        *(int64_t *)call_out(c, 1)->data = find_match(c->attrs, source, (struct tokens){y, total});
    return 0;
}

static const struct attr fork_attr_rows[] = {
    {"min_ngram_size", ATTR_INT, offsetof(struct fork_attrs, min_ngram_size), .i = 1},
    {"max_ngram_size", ATTR_INT, offsetof(struct fork_attrs, max_ngram_size), .i = 3},
    {NULL},
};

const struct op op_ms_bifurcationdetector = {
    .domain = "com.microsoft", .name = "BifurcationDetector", .since = 1,
    .in_min = 3, .in_max = 4, .out_min = 1, .out_max = 2, .flags = OP_PURE | OP_DYNAMIC,
    .host_in = ~0u,
    .attrs = fork_attr_rows, .attrs_size = sizeof(struct fork_attrs),
    .infer = fork_infer, .run = fork_run,
};
