/* SPDX-License-Identifier: Apache-2.0 */
/* DynamicTimeWarping: the cheapest path through a matrix of costs from its first corner to its
 * last, by steps down, right or both. WordConvEmbedding: for each word, the greatest of each filter
 * over the windows of its characters' embeddings.
 */
#include <math.h>
#include <string.h>

#include "kernels/unary.h"
#include "ops/common.h"

/* ---- DynamicTimeWarping ---------------------------------------------------------------------- */

static int warp_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT(F32), e);
    if (r)
        return r;
    if (rank >= 0 && rank != 2 &&
        !(rank == 3 && !sym_differ(c->syms, infer_dim(c, 0, 0), 1)))
        return err_set(e, ERR_MODEL, "the input is no matrix");
    int64_t dims[2] = {2, infer_fresh(c)};
    return infer_set(c, 0, DTYPE_I32, 2, dims, e);
}

enum { FROM_BOTH, FROM_ABOVE, FROM_LEFT };

/* The costs of the cheapest paths to each column of the row so far, and where they come from. */
static void warp_row(const float *x, int64_t row, int64_t cols, float *cost, uint8_t *from)
{
    float corner = row == 0 ? 0 : INFINITY, left = INFINITY;
    for (int64_t k = 0; k < cols; k++) {
        float above = cost[k], best = left;
        from[k] = FROM_LEFT;
        if (corner < above && corner < left) {
            best = corner;
            from[k] = FROM_BOTH;
        } else if (above < corner && above < left) {
            best = above;
            from[k] = FROM_ABOVE;
        }
        left = cost[k] = best + x[k];
        corner = above;
    }
}

/* Steps of the path, counted, and stored from the last to the first where `out` is given. */
static int64_t warp_path(const uint8_t *from, int64_t rows, int64_t cols, int32_t *out,
                         int64_t length)
{
    int64_t i = rows - 1, k = cols - 1, count = 0;
    while (i >= 0 && k >= 0) {
        uint8_t step = from[i * cols + k];
        if (out) {
            out[length - 1 - count] = (int32_t)i;
            out[2 * length - 1 - count] = (int32_t)k;
        }
        count++;
        i -= step != FROM_LEFT;
        k -= step != FROM_ABOVE;
    }
    return count;
}

static int warp_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    if (x->rank != 2 && (x->rank != 3 || x->dims[0] != 1))
        return err_set(e, ERR_INPUT, "the input is no matrix");
    int64_t rows = x->dims[x->rank - 2], cols = x->dims[x->rank - 1], dims[2] = {2, 0};
    if (rows > INT32_MAX || cols > INT32_MAX)
        return err_set(e, ERR_LIMIT, "the matrix is too large");
    size_t count = (size_t)tensor_count(x);
    float *cost = mem_calloc(c->budget, (size_t)cols, sizeof *cost, e);
    uint8_t *from = cost ? mem_calloc(c->budget, count, 1, e) : NULL;
    int r = from ? 0 : e && e->code ? e->code : ERR_MEMORY;
    for (int64_t k = 0; k < cols && cost; k++)
        cost[k] = INFINITY;
    for (int64_t i = 0; i < rows && r == 0; i++) {
        warp_row((const float *)x->data + i * cols, i, cols, cost, from + i * cols);
        r = i % 256 ? 0 : call_poll(c, e);
    }
    if (r == 0) {
        dims[1] = warp_path(from, rows, cols, NULL, 0);
        r = call_output(c, 0, DTYPE_I32, 2, dims, e);
    }
    if (r == 0 && call_out(c, 0))
        warp_path(from, rows, cols, call_out(c, 0)->data, dims[1]);
    mem_free(from);
    mem_free(cost);
    return r;
}

const struct op op_ms_dynamictimewarping = {
    .domain = "com.microsoft", .name = "DynamicTimeWarping", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_DYNAMIC,
    .host_in = 1,
    .infer = warp_infer, .run = warp_run,
    .kernels = "unary",
};

/* ---- WordConvEmbedding ----------------------------------------------------------------------- */

struct word_attrs {
    int64_t embedding_size, conv_window_size,
        char_embedding_size; /* what the weights' dims must be */
};

enum { IN_WORDS, IN_WEIGHTS, IN_BIAS, IN_CHARS };

static int check_dim(struct infer *c, int i, int k, int64_t want, struct err *e)
{
    if (infer_rank(c, i) < 0 || sym_is_unknown(want) ||
        !sym_differ(c->syms, infer_dim(c, i, k), want))
        return 0;
    return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                   "dim %d of input %d is not as the others say", k, i);
}

static int word_infer(struct infer *c, struct err *e)
{
    static const int ranks[] = {2, 4, 1, 2};
    const struct word_attrs *a = c->attrs;
    int r = infer_dtypes(c, IN_WORDS, DT(I32), e);
    for (int i = 0; i < 4 && r == 0; i++) {
        if (i > 0)
            r = infer_dtypes(c, i, DT(F32), e);
        if (r == 0 && infer_rank(c, i) >= 0 && infer_rank(c, i) != ranks[i])
            r = err_set(e, ERR_MODEL, "input %d has rank %d, expected %d", i, infer_rank(c, i),
                        ranks[i]);
    }
    const int64_t want[][3] = {{IN_WEIGHTS, 0, a->embedding_size},
                               {IN_WEIGHTS, 2, a->conv_window_size},
                               {IN_CHARS, 1, a->char_embedding_size}};
    for (int i = 0; i < 3 && r == 0; i++)
        if (want[i][2] != ATTR_ABSENT)
            r = check_dim(c, (int)want[i][0], (int)want[i][1], want[i][2], e);
    if (r)
        return r;
    int64_t dims[2] = {SYM_UNKNOWN, SYM_UNKNOWN};
    if (infer_rank(c, IN_WORDS) >= 0)
        dims[0] = infer_dim(c, IN_WORDS, 0);
    if (infer_rank(c, IN_WEIGHTS) >= 0) {
        dims[1] = infer_dim(c, IN_WEIGHTS, 0);
        if ((r = check_dim(c, IN_BIAS, 0, dims[1], e)) || (r = check_dim(c, IN_WEIGHTS, 1, 1, e)) ||
            (r = check_dim(c, IN_CHARS, 1, infer_dim(c, IN_WEIGHTS, 3), e)))
            return r;
    }
    return infer_set(c, 0, DTYPE_F32, 2, dims, e);
}

static int64_t word_tasks(const struct call *c)
{
    const struct tensor *words = call_in(c, IN_WORDS), *w = call_in(c, IN_WEIGHTS);
    int64_t cost;
    if (__builtin_mul_overflow(words->dims[1] + 1, tensor_count(w), &cost))
        cost = INT64_MAX;
    return tasks_for(words->dims[0], cost);
}

static float window_sum(const struct call *c, const int32_t *word, const float *filter)
{
    const struct tensor *w = call_in(c, IN_WEIGHTS), *chars = call_in(c, IN_CHARS);
    double sum = 0;
    for (int64_t i = 0; i < w->dims[2]; i++) {
        const float *row = (const float *)chars->data + word[i] * w->dims[3];
        for (int64_t k = 0; k < w->dims[3]; k++)
            sum += (double)row[k] * (double)filter[i * w->dims[3] + k];
    }
    return (float)sum;
}

/* A word's characters are those above 0; a word that begins with another is none, and gives zeros.
 */
static int run_word(const struct call *c, const int32_t *word, float *y, struct err *e)
{
    const struct tensor *words = call_in(c, IN_WORDS), *w = call_in(c, IN_WEIGHTS);
    int64_t length = 0, window = w->dims[2], filters = w->dims[0], size = window * w->dims[3],
            unused;
    for (int64_t i = 0; i < words->dims[1] && word[0] > 0; i++)
        length += word[i] > 0;
    int64_t used = length > window ? length : window;
    for (int64_t f = 0; f < filters; f++)
        y[f] = length ? -INFINITY : 0;
    if (length == 0)
        return 0;
    if (used > words->dims[1])
        return err_set(e, ERR_INPUT, "windows of %lld characters in words of %lld",
                       (long long)window, (long long)words->dims[1]);
    for (int64_t i = 0; i < used; i++) {
        if (word[i] < 0)
            return err_set(e, ERR_INPUT, "character %d", (int)word[i]);
        int r = norm_index(word[i], call_in(c, IN_CHARS)->dims[0], "character", &unused, e);
        if (r)
            return r;
    }
    for (int64_t at = 0; at + window <= used; at++)
        for (int64_t f = 0; f < filters; f++) {
            float v = window_sum(c, word + at, (const float *)w->data + f * size) +
                      ((const float *)call_in(c, IN_BIAS)->data)[f];
            y[f] = v > y[f] ? v : y[f];
        }
    unary_f32_pick(UNARY_TANH)(y, y, (size_t)filters, NULL); /* it does not change the order */
    return 0;
}

static int word_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *words = call_in(c, IN_WORDS);
    struct tensor *y = call_out(c, 0);
    int64_t first, last, unused;
    if (tensor_count(y) == 0)
        return 0;
    if (words->dims[1] == 0) {
        memset(y->data, 0, tensor_bytes(y));
        return 0;
    }
    task_range(begin, word_tasks(c), words->dims[0], &first, &unused);
    task_range(end - 1, word_tasks(c), words->dims[0], &unused, &last);
    for (int64_t i = first; i < last; i++) {
        int r = run_word(c, (const int32_t *)words->data + i * words->dims[1],
                         (float *)y->data + i * y->dims[1], e);
        if (r)
            return r;
    }
    return 0;
}

static const struct attr word_attr_rows[] = {
    {"embedding_size", ATTR_INT, offsetof(struct word_attrs, embedding_size), .i = ATTR_ABSENT},
    {"conv_window_size", ATTR_INT, offsetof(struct word_attrs, conv_window_size), .i = ATTR_ABSENT},
    {"char_embedding_size", ATTR_INT, offsetof(struct word_attrs, char_embedding_size),
     .i = ATTR_ABSENT},
    {NULL},
};

const struct op op_ms_wordconvembedding = {
    .domain = "com.microsoft", .name = "WordConvEmbedding", .since = 1,
    .in_min = 4, .in_max = 4, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = word_attr_rows, .attrs_size = sizeof(struct word_attrs),
    .infer = word_infer, .tasks = word_tasks, .run = word_run,
    .kernels = "unary",
};
