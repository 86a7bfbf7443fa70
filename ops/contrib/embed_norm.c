/* SPDX-License-Identifier: Apache-2.0 */
/* EmbedLayerNormalization: the layer norm of the sum of a word's, a place's and (optionally) a
 * segment's embedding, and the number of words that a mask leaves in each row.
 */
#include <string.h>

#include "kernels/binary.h"
#include "kernels/norm.h"
#include "ops/common.h"

struct embed_attrs {
    float epsilon;
    int64_t mask_index_type; /* says what consumers make of output 1 */
};

enum { IN_IDS, IN_SEGMENTS, IN_WORD, IN_PLACE, IN_SEGMENT, IN_GAMMA, IN_BETA, IN_MASK, IN_PLACES };
enum { OUT_Y, OUT_MASK, OUT_SUM };

/* ---- inference ------------------------------------------------------------------------------- */

static int check_rank(struct infer *c, int i, int rank, struct err *e)
{
    if (infer_rank(c, i) < 0 || infer_rank(c, i) == rank)
        return 0;
    return err_set(e, ERR_MODEL, "input %d has rank %d, expected %d", i, infer_rank(c, i), rank);
}

static int check_inputs(struct infer *c, struct err *e)
{
    static const int ids[] = {IN_IDS, IN_SEGMENTS, IN_MASK, IN_PLACES};
    static const int tables[] = {IN_WORD, IN_PLACE, IN_SEGMENT, IN_GAMMA, IN_BETA};
    int r = 0;
    if (!infer_has(c, IN_WORD) || !infer_has(c, IN_PLACE) || !infer_has(c, IN_GAMMA) ||
        !infer_has(c, IN_BETA))
        return err_set(e, ERR_MODEL, "an embedding, gamma or beta is missing");
    if (infer_has(c, IN_SEGMENTS) != infer_has(c, IN_SEGMENT))
        return err_set(e, ERR_MODEL, "segment_ids and segment_embedding must be given together");
    for (int i = 0; i < 4 && r == 0; i++)
        if (infer_has(c, ids[i]) && (r = infer_dtypes(c, ids[i], DT(I32) | DT(I64), e)) == 0)
            r = check_rank(c, ids[i], 2, e);
    r = r ? r : infer_dtypes(c, IN_WORD, DT_FLOATS, e);
    for (int i = 0; i < 5 && r == 0; i++) {
        int k = tables[i];
        if (!infer_has(c, k) || (r = infer_same_dtype(c, IN_WORD, k, e)) ||
            (r = check_rank(c, k, k < IN_GAMMA ? 2 : 1, e)))
            continue;
        if (infer_rank(c, k) > 0 && infer_rank(c, IN_WORD) > 0 &&
            sym_differ(c->syms, infer_dim(c, k, infer_rank(c, k) - 1), infer_dim(c, IN_WORD, 1)))
            r = err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                        "input %d and the word embedding differ in their hidden size", k);
    }
    return r;
}

/* Input i has the dims of the ids; those of a first dim 1 serve every row, if it may. */
static int check_ids(struct infer *c, int i, bool one, struct err *e)
{
    if (infer_rank(c, IN_IDS) < 0 || infer_rank(c, i) < 0)
        return 0;
    for (int k = 0; k < 2; k++) {
        int64_t d = infer_dim(c, i, k);
        if (one && k == 0 && sym_is_number(d) && d == 1)
            continue;
        if (sym_differ(c->syms, d, infer_dim(c, IN_IDS, k)))
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                           "input %d and input_ids have different dims", i);
    }
    return 0;
}

static int embed_infer(struct infer *c, struct err *e)
{
    int r = check_inputs(c, e);
    if (r || (r = check_ids(c, IN_SEGMENTS, false, e)) || (r = check_ids(c, IN_MASK, false, e)) ||
        (r = check_ids(c, IN_PLACES, true, e)))
        return r;
    enum dtype dtype = infer_dtype(c, IN_WORD);
    int64_t dims[3];
    for (int k = 0; k < 2; k++)
        dims[k] = infer_rank(c, IN_IDS) < 0 ? infer_fresh(c) : infer_dim(c, IN_IDS, k);
    dims[2] = infer_rank(c, IN_WORD) < 0 ? infer_fresh(c) : infer_dim(c, IN_WORD, 1);
    if ((r = infer_set(c, OUT_Y, dtype, 3, dims, e)) ||
        (r = infer_set(c, OUT_SUM, dtype, 3, dims, e)))
        return r;
    return infer_set(c, OUT_MASK, DTYPE_I32, 1, dims, e);
}

/* ---- running --------------------------------------------------------------------------------- */

enum { ROW_COST = 4, WIDE_ROWS = 4 };

/* Rows: the sum, an embedding widened, gamma, beta. */
static size_t embed_scratch(const struct call *c, size_t *per_member)
{
    *per_member = (size_t)call_in(c, IN_WORD)->dims[1] * WIDE_ROWS * sizeof(float);
    return 0;
}

static int64_t embed_tasks(const struct call *c)
{
    const struct tensor *ids = call_in(c, IN_IDS);
    return tasks_for(tensor_count(ids), call_in(c, IN_WORD)->dims[1] * ROW_COST);
}

/* Row `index` of a table as f32. */
static int look_up(const struct tensor *table, int64_t index, const char *what, float *wide,
                   const float **row, struct err *e)
{
    int64_t n = table->dims[1];
    if (index < 0 || index >= table->dims[0])
        return err_set(e, ERR_INPUT, "%s %lld is outside of [0, %lld)", what, (long long)index,
                       (long long)table->dims[0]);
    if (table->dtype == DTYPE_F32) {
        *row = (const float *)table->data + index * n;
        return 0;
    }
    elems_to_f32(table->dtype, table->data, index * n, n, wide);
    *row = wide;
    return 0;
}

/* sum: word + place + segment of the word at `at`. */
static int sum_row(const struct call *c, int64_t at, float *sum, float *wide, struct err *e)
{
    const struct tensor *ids = call_in(c, IN_IDS), *places = call_in(c, IN_PLACES);
    const struct tensor *segments = call_in(c, IN_SEGMENTS), *word = call_in(c, IN_WORD);
    size_t n = (size_t)word->dims[1];
    int64_t place = at % ids->dims[1];
    const float *row = NULL;
    if (places)
        place = tensor_int(places, places->dims[0] == 1 ? place : at);
    int r = look_up(word, tensor_int(ids, at), "word", wide, &row, e);
    if (r)
        return r;
    memcpy(sum, row, n * sizeof *sum);
    if ((r = look_up(call_in(c, IN_PLACE), place, "place", wide, &row, e)))
        return r;
    binary_f32_pick(BINARY_ADD)(sum, row, 0, sum, n);
    if (!segments)
        return 0;
    if ((r = look_up(call_in(c, IN_SEGMENT), tensor_int(segments, at), "segment", wide, &row, e)))
        return r;
    binary_f32_pick(BINARY_ADD)(sum, row, 0, sum, n);
    return 0;
}

/* Words of row b that its mask keeps, those where it is 1; 0 without a mask. */
static int32_t words_of(const struct tensor *mask, int64_t b)
{
    int32_t count = 0;
    for (int64_t i = 0; mask && i < mask->dims[1]; i++)
        count += tensor_int(mask, b * mask->dims[1] + i) == 1;
    return count;
}

static int embed_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *ids = call_in(c, IN_IDS);
    struct tensor *y = call_out(c, OUT_Y), *total = call_out(c, OUT_SUM);
    struct tensor *words = call_out(c, OUT_MASK);
    int64_t n = y->dims[2], first, last, unused, tasks = embed_tasks(c);
    float *sum = call_member_scratch(c, member);
    for (int64_t b = 0; begin == 0 && words && b < ids->dims[0]; b++)
        ((int32_t *)words->data)[b] = words_of(call_in(c, IN_MASK), b);
    if (tensor_count(y) == 0)
        return 0;
    struct norm_args args = {
        .x = sum, .y = sum, .scale = sum + 2 * n, .bias = sum + 3 * n, .n = (size_t)n,
        .epsilon = ((const struct embed_attrs *)c->attrs)->epsilon,
    };
    elems_to_f32(y->dtype, call_in(c, IN_GAMMA)->data, 0, n, sum + 2 * n);
    elems_to_f32(y->dtype, call_in(c, IN_BETA)->data, 0, n, sum + 3 * n);
    task_range(begin, tasks, tensor_count(ids), &first, &unused);
    task_range(end - 1, tasks, tensor_count(ids), &unused, &last);
    for (int64_t i = first; i < last; i++) {
        int r = sum_row(c, i, sum, sum + n, e);
        if (r)
            return r;
        if (total)
            elems_from_f32(total->dtype, total->data, i * n, n, sum);
        norm_f32_pick()->layer(&args, 0, 1);
        elems_from_f32(y->dtype, y->data, i * n, n, sum);
    }
    return 0;
}

static const struct attr embed_attr_rows[] = {
    {"epsilon", ATTR_FLOAT, offsetof(struct embed_attrs, epsilon), .f = 1e-12f},
    {"mask_index_type", ATTR_INT, offsetof(struct embed_attrs, mask_index_type)},
    {NULL},
};

const struct op op_ms_embedlayernormalization = {
    .domain = "com.microsoft", .name = "EmbedLayerNormalization", .since = 1,
    .in_min = 1, .in_max = 9, .out_min = 1, .out_max = 3, .flags = OP_PURE | OP_EXACT,
    .attrs = embed_attr_rows, .attrs_size = sizeof(struct embed_attrs),
    .infer = embed_infer, .scratch = embed_scratch, .tasks = embed_tasks, .run = embed_run,
    .kernels = "binary norm",
};
