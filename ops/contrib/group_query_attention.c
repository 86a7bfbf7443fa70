/* SPDX-License-Identifier: Apache-2.0 */
/* GroupQueryAttention and SparseAttention: attention with fewer key heads than query heads and a
 * cache. New keys and values are normed and turned if asked, and go behind the past of their batch
 * row, whose length an input tells; the core reads everything from there. Prompts of a batch are
 * padded on the right. The sparse form sees only the blocks of keys that a table names for the
 * block of the row. Quantised caches and caches of a window are refused. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "ops/contrib/attention_parts.h"

struct attrs_gqa {
    int64_t num_heads, kv_num_heads, do_rotary, interleaved, causal, window, smooth, qk_output,
        windowed_cache;
    int64_t sparse_block;
    float scale, softcap, norm_epsilon;
    struct str k_quant, v_quant;
};

static const struct attr gqa_attrs[] = {
    {"num_heads", ATTR_INT, offsetof(struct attrs_gqa, num_heads), .required = true},
    {"kv_num_heads", ATTR_INT, offsetof(struct attrs_gqa, kv_num_heads), .required = true},
    {"do_rotary", ATTR_INT, offsetof(struct attrs_gqa, do_rotary)},
    {"rotary_interleaved", ATTR_INT, offsetof(struct attrs_gqa, interleaved)},
    {"causal", ATTR_INT, offsetof(struct attrs_gqa, causal), .i = 1},
    {"local_window_size", ATTR_INT, offsetof(struct attrs_gqa, window), .i = -1},
    {"smooth_softmax", ATTR_INT, offsetof(struct attrs_gqa, smooth), .i = -1},
    {"qk_output", ATTR_INT, offsetof(struct attrs_gqa, qk_output)},
    {"sliding_window_cache", ATTR_INT, offsetof(struct attrs_gqa, windowed_cache)},
    {"kv_cache_bit_width", ATTR_INT, .ignore = true},
    {"scale", ATTR_FLOAT, offsetof(struct attrs_gqa, scale)},
    {"softcap", ATTR_FLOAT, offsetof(struct attrs_gqa, softcap)},
    {"qk_norm_epsilon", ATTR_FLOAT, offsetof(struct attrs_gqa, norm_epsilon), .f = 1e-6f},
    {"k_quant_type", ATTR_STRING, offsetof(struct attrs_gqa, k_quant), .s = "NONE"},
    {"v_quant_type", ATTR_STRING, offsetof(struct attrs_gqa, v_quant), .s = "NONE"},
    {0},
};

static const struct attr sparse_attrs[] = {
    {"num_heads", ATTR_INT, offsetof(struct attrs_gqa, num_heads), .required = true},
    {"kv_num_heads", ATTR_INT, offsetof(struct attrs_gqa, kv_num_heads), .required = true},
    {"sparse_block_size", ATTR_INT, offsetof(struct attrs_gqa, sparse_block), .required = true},
    {"do_rotary", ATTR_INT, offsetof(struct attrs_gqa, do_rotary)},
    {"rotary_interleaved", ATTR_INT, offsetof(struct attrs_gqa, interleaved)},
    {"scale", ATTR_FLOAT, offsetof(struct attrs_gqa, scale)},
    {0},
};

enum { IN_Q, IN_K, IN_V, IN_PAST_K, IN_PAST_V, IN_FIRST };
enum { OUT_Y, OUT_K, OUT_V, OUT_QK };

/* Where an operator has its inputs from IN_FIRST on; NOWHERE: it has no such. lengths + plus are
 * the keys. */
enum { NOWHERE = 31 };
struct ports {
    int lengths, plus, total, cosine, sine, ids, bias, sink, q_norm, k_norm, block_rows,
        block_columns;
};
static const struct ports gqa_ports = {5, 1, 6, 7, 8, 9, 10, 11, 14, 15, NOWHERE, NOWHERE};
static const struct ports sparse_ports = {8,       0,       7,       9,       10, NOWHERE,
                                          NOWHERE, NOWHERE, NOWHERE, NOWHERE, 5,  6};

static bool is_sparse(const struct op *op)
{
    return op->name[0] == 'S';
}
static const struct ports *ports_of(const struct op *op)
{
    return is_sparse(op) ? &sparse_ports : &gqa_ports;
}

/* ---- inference ------------------------------------------------------------------------------- */

static bool str_is(struct str s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

static int check_attrs(const struct attrs_gqa *at, bool sparse, struct err *e)
{
    int rc = check_heads(at->num_heads, "num_heads", e);
    if (rc == 0)
        rc = check_heads(at->kv_num_heads, "kv_num_heads", e);
    if (rc == 0 && at->num_heads % at->kv_num_heads != 0)
        rc = err_set(e, ERR_MODEL, "%lld query heads do not share %lld key heads",
                     (long long)at->num_heads, (long long)at->kv_num_heads);
    if (rc == 0 && sparse && (at->sparse_block < 1 || at->sparse_block > INT32_MAX))
        rc = err_set(e, ERR_MODEL, "sparse_block_size is %lld", (long long)at->sparse_block);
    if (rc < 0 || sparse)
        return rc;
    if (rc == 0 && (!str_is(at->k_quant, "NONE") || !str_is(at->v_quant, "NONE")))
        rc = err_set(e, ERR_UNSUPPORTED, "a quantised cache is not supported");
    if (rc == 0 && at->windowed_cache != 0)
        rc = err_set(e, ERR_UNSUPPORTED, "sliding_window_cache is not supported");
    if (rc == 0 && (at->window == 0 || at->window < -1 || at->qk_output < 0 || at->qk_output > 2 ||
                    at->causal < 0 || at->causal > 1))
        rc = err_set(e, ERR_MODEL, "local_window_size is %lld, qk_output %lld, causal %lld",
                     (long long)at->window, (long long)at->qk_output, (long long)at->causal);
    return rc;
}

static int check_types(struct infer *c, struct err *e)
{
    const struct ports *p = ports_of(c->node->op);
    const int same[] = {IN_K,    IN_V,    IN_PAST_K, IN_PAST_V, p->cosine,
                        p->sine, p->bias, p->sink,   p->q_norm, p->k_norm};
    const int ints[] = {p->lengths, p->total, p->block_rows, p->block_columns};
    if (!infer_has(c, p->lengths) || !infer_has(c, p->total))
        return err_set(e, ERR_MODEL,
                       "the lengths of the keys and total_sequence_length are needed");
    int rc = check_dtypes(c, IN_Q, DT(F32) | DT_FLOAT16S, same, 10, ints, 4, e);
    if (rc == 0 && infer_has(c, p->ids))
        rc = infer_dtypes(c, p->ids, DT(I64), e);
    if (rc == 0 && (infer_has(c, IN_PAST_K) != infer_has(c, IN_PAST_V) ||
                    infer_has(c, IN_K) != infer_has(c, IN_V) ||
                    infer_has(c, p->q_norm) != infer_has(c, p->k_norm)))
        rc = err_set(e, ERR_MODEL, "inputs of keys and of values come together");
    if (rc == 0 && is_sparse(c->node->op) &&
        (!infer_has(c, p->block_rows) || !infer_has(c, p->block_columns) ||
         !infer_has(c, IN_PAST_K)))
        rc = err_set(e, ERR_MODEL, "the caches and the tables of blocks are needed");
    return rc < 0 ? rc : scalar_check(c, p->total, "elements of total_sequence_length", e);
}

struct shape {
    int64_t batch, rows, length, size, past, total, room;
};

static int read_new(struct syms *s, const struct attrs_gqa *at, const struct view *in,
                    struct shape *x, struct err *e)
{
    struct view q = in[IN_Q];
    int64_t heads = at->num_heads + (in[IN_K].here ? 0 : 2 * at->kv_num_heads);
    x->batch = q.dims[0];
    x->rows = x->length = q.dims[1];
    int rc = head_size(s, q.dims[2], heads, "query", &x->size, e);
    for (int i = IN_K; i <= IN_V && rc == 0; i++) {
        rc = rank_is(in[i], 3, i == IN_K ? "key" : "value", e);
        if (rc < 0 || in[i].rank < 0)
            continue;
        rc = dims_agree(s, in[i].dims[0], x->batch, "batch of key and value", e);
        if (rc == 0)
            rc = dims_agree(s, in[i].dims[2], sym_mul(s, x->size, at->kv_num_heads),
                            "hidden size of key and value", e);
        if (rc == 0 && i == IN_V)
            rc = dims_agree(s, in[i].dims[1], x->length, "length of value", e);
        x->length = in[i].dims[1];
    }
    if (rc == 0 && sym_is_number(x->length) && x->length != 0)
        rc = dims_agree(s, x->length, x->rows, "length of key", e);
    return rc;
}

static int read_past(struct syms *s, const struct attrs_gqa *at, const struct view *in,
                     struct shape *x, struct err *e)
{
    int rc = 0;
    x->past = in[IN_PAST_K].here ? SYM_UNKNOWN : 0;
    for (int i = IN_PAST_K; i <= IN_PAST_V && rc == 0; i++) {
        rc = rank_is(in[i], 4, "a past", e);
        if (rc < 0 || in[i].rank < 0)
            continue;
        rc = dims_agree(s, in[i].dims[0], x->batch, "batch of a past", e);
        if (rc == 0)
            rc = dims_agree(s, in[i].dims[1], at->kv_num_heads, "heads of a past", e);
        if (rc == 0)
            rc = dims_agree(s, in[i].dims[3], x->size, "head size of a past", e);
        if (rc == 0)
            rc = dims_agree(s, x->past, in[i].dims[2], "lengths of past_key and past_value", e);
        x->past = in[i].dims[2];
    }
    return rc;
}

/* From the views of the inputs before IN_FIRST and the total, on symbols or on numbers. */
static int shape_of(struct syms *s, const struct attrs_gqa *at, const struct view *in,
                    int64_t total, struct shape *x, struct err *e)
{
    int rc = read_new(s, at, in, x, e);
    if (rc == 0)
        rc = read_past(s, at, in, x, e);
    x->total = total;
    x->room = sym_max(s, x->past, total);
    if (rc < 0 || !sym_is_number(total) || !sym_is_number(x->rows) || !sym_is_number(x->past))
        return rc;
    if (total < x->rows || (total > x->past && total - x->past > x->rows))
        return err_set(e, ERR_INPUT,
                       "total_sequence_length is %lld with %lld new rows behind at most %lld",
                       (long long)total, (long long)x->rows, (long long)x->past);
    return 0;
}

static int check_caches(struct infer *c, const struct attrs_gqa *at, const struct shape *x,
                        struct err *e)
{
    const struct ports *p = ports_of(c->node->op);
    struct view caches[2] = {view_infer(c, p->cosine), view_infer(c, p->sine)},
                ids = view_infer(c, p->ids);
    int rc = 0;
    if (!at->do_rotary)
        return 0;
    if (!caches[0].here || !caches[1].here)
        return err_set(e, ERR_MODEL, "do_rotary needs cos_cache and sin_cache");
    for (int i = 0; i < 2 && rc == 0; i++) {
        rc = rank_is(caches[i], 2, "a cache of angles", e);
        if (rc < 0 || caches[i].rank < 0)
            continue;
        if (sym_is_number(caches[i].dims[1]) && sym_is_number(x->size) &&
            2 * caches[i].dims[1] > x->size)
            rc = err_set(e, ERR_MODEL, "%lld angles for heads of %lld numbers",
                         (long long)caches[i].dims[1], (long long)x->size);
    }
    for (int k = 0; k < 2 && rc == 0 && caches[0].rank == 2 && caches[1].rank == 2; k++)
        rc = dims_agree(c->syms, caches[1].dims[k], caches[0].dims[k], "dims of sin_cache", e);
    if (rc == 0)
        rc = rank_is(ids, 2, "position_ids", e);
    if (rc == 0 && ids.rank == 2)
        rc = dims_agree(c->syms, ids.dims[0], x->batch, "batch of position_ids", e);
    if (rc == 0 && ids.rank == 2)
        rc = dims_agree(c->syms, ids.dims[1], x->rows, "rows of position_ids", e);
    return rc;
}

/* Input i, a vector of n numbers. */
static int check_vector(struct infer *c, int i, int64_t n, const char *what, struct err *e)
{
    int64_t all = 1;
    for (int k = 0; k < infer_rank(c, i); k++)
        all = sym_mul(c->syms, all, infer_dim(c, i, k));
    return infer_rank(c, i) >= 0 ? dims_agree(c->syms, all, n, what, e) : 0;
}

/* The tables: [layouts, blocks + 1] and [layouts, entries]; layouts share the heads. */
static int check_tables(struct infer *c, const struct attrs_gqa *at, struct err *e)
{
    const struct ports *p = ports_of(c->node->op);
    struct view rows = view_infer(c, p->block_rows), columns = view_infer(c, p->block_columns);
    int rc = rank_is(rows, 2, "block_row_indices", e);
    if (rc == 0)
        rc = rank_is(columns, 2, "block_col_indices", e);
    if (rc < 0 || rows.rank < 0 || columns.rank < 0)
        return rc;
    rc = dims_agree(c->syms, columns.dims[0], rows.dims[0], "layouts of block_col_indices", e);
    if (rc == 0 && sym_is_number(rows.dims[0]) &&
        (rows.dims[0] < 1 || at->num_heads % rows.dims[0] != 0))
        rc = err_set(e, ERR_MODEL, "%lld layouts do not share %lld heads", (long long)rows.dims[0],
                     (long long)at->num_heads);
    if (rc == 0 && sym_is_number(rows.dims[1]) && rows.dims[1] < 1)
        rc = err_set(e, ERR_MODEL, "block_row_indices has no columns");
    return rc;
}

static int gqa_infer(struct infer *c, struct err *e)
{
    const struct ports *p = ports_of(c->node->op);
    const struct attrs_gqa *at = c->attrs;
    enum dtype t = infer_dtype(c, IN_Q);
    struct view in[IN_FIRST];
    struct shape x;
    int rc = check_attrs(at, is_sparse(c->node->op), e);
    if (rc == 0)
        rc = check_types(c, e);
    for (int i = 0; i < IN_FIRST; i++)
        in[i] = view_infer(c, i);
    if (rc == 0)
        rc = rank_is(in[IN_Q], 3, "query", e);
    for (int o = OUT_Y; o <= OUT_QK && rc == 0 && in[IN_Q].rank < 0; o++)
        rc = infer_unknown(c, o, t, e);
    if (rc < 0 || in[IN_Q].rank < 0)
        return rc;
    rc = shape_of(c->syms, at, in, scalar_infer(c, p->total), &x, e);
    if (rc == 0)
        rc = check_caches(c, at, &x, e);
    if (rc == 0)
        rc = check_vector(c, p->lengths, x.batch, "lengths of the keys", e);
    if (rc == 0)
        rc = check_vector(c, p->sink, at->num_heads, "elements of head_sink", e);
    if (rc == 0)
        rc = check_vector(c, p->q_norm, x.size, "elements of q_norm_weight", e);
    if (rc == 0)
        rc = check_vector(c, p->k_norm, x.size, "elements of k_norm_weight", e);
    if (rc == 0)
        rc = check_tables(c, at, e);
    struct mask_shape m = {x.batch, x.rows, x.length, x.total};
    if (rc == 0)
        rc = bias_check(view_infer(c, p->bias), &m, at->num_heads, e);
    if (rc < 0)
        return rc;
    if (sym_is_unknown(x.total))
        x.total = infer_fresh(c);
    if (sym_is_unknown(x.room))
        x.room = x.past == 0 ? x.total : infer_fresh(c);
    int64_t y[3] = {x.batch, x.rows, sym_mul(c->syms, at->num_heads, x.size)};
    int64_t cache[4] = {x.batch, at->kv_num_heads, x.room, x.size};
    int64_t qk[4] = {x.batch, at->num_heads, x.rows, x.total};
    rc = infer_set(c, OUT_Y, t, 3, y, e);
    for (int o = OUT_K; o <= OUT_V && rc == 0; o++)
        rc = infer_set(c, o, t, 4, cache, e);
    return rc < 0 ? rc : infer_set(c, OUT_QK, t, 4, qk, e);
}

/* ---- a call ---------------------------------------------------------------------------------- */

static int gqa_shape(const struct call *c, struct shape *x, struct err *e)
{
    struct view in[IN_FIRST];
    for (int i = 0; i < IN_FIRST; i++)
        in[i] = view_call(c, i);
    return shape_of(NULL, c->attrs, in, scalar_call(c, ports_of(c->op)->total), x, e);
}

/* Is this the prompt that opens the sequences? Then no batch row has a past, whatever its length.
 */
static bool opens(const struct shape *x)
{
    return x->rows == x->total && x->length > 0;
}

/* Rows of part `part` (0 Q, 1 K, 2 V) as they come. */
static struct attention_rows new_rows(const struct call *c, const struct shape *x, int part)
{
    const struct attrs_gqa *at = c->attrs;
    int64_t heads = at->num_heads + 2 * at->kv_num_heads;
    if (call_in(c, IN_K))
        return attention_flat(call_in(c, part), part ? x->length : x->rows,
                              part ? at->kv_num_heads : at->num_heads, x->size);
    struct attention_rows l = attention_flat(call_in(c, IN_Q), x->rows, heads, x->size);
    l.first = (part ? at->num_heads + (part - 1) * at->kv_num_heads : 0) * x->size;
    return l;
}

static struct stage *add_stage(struct staged *s, const struct call *c, const struct shape *x,
                               int part)
{
    const struct attrs_gqa *at = c->attrs;
    const struct ports *p = ports_of(c->op);
    struct stage *g = &s->stages[s->n_stages++];
    *g = (struct stage){.from = new_rows(c, x, part),
                        .batch = x->batch,
                        .size = x->size,
                        .heads = part ? at->kv_num_heads : at->num_heads,
                        .length = part ? x->length : x->rows,
                        .epsilon = at->norm_epsilon};
    if (!opens(x)) {
        g->lengths = call_in(c, p->lengths);
        g->lengths_plus = p->plus - g->length;
    }
    if (part < 2) {
        g->norm = call_in(c, part ? p->k_norm : p->q_norm);
        g->turn = at->do_rotary ? &s->turn : NULL;
    }
    return g;
}

static struct attention_rows place_queries(struct staged *s, const struct call *c,
                                           const struct shape *x, struct shelf *room)
{
    const struct attrs_gqa *at = c->attrs;
    if (!at->do_rotary && !call_in(c, ports_of(c->op)->q_norm))
        return new_rows(c, x, 0);
    struct stage *g = add_stage(s, c, x, 0);
    int64_t row = at->num_heads * x->size;
    g->alone = true;
    g->rows = x->rows;
    g->to = (struct attention_rows){
        .dtype = DTYPE_F32, .batch = x->rows * row, .head = x->size, .row = row};
    g->to.data = shelf_take(room, (size_t)(x->batch * x->rows * row), sizeof(float));
    return g->to;
}

/* Keys (part 1) or values behind those of the past, in the present or in scratch. */
static struct attention_rows place_keys(struct staged *s, const struct call *c,
                                        const struct shape *x, int part, struct shelf *room)
{
    const struct attrs_gqa *at = c->attrs;
    const struct tensor *past = call_in(c, part == 1 ? IN_PAST_K : IN_PAST_V);
    struct tensor *present = call_out(c, part == 1 ? OUT_K : OUT_V);
    struct stage *g = add_stage(s, c, x, part);
    g->rows = x->room;
    g->keep = is_sparse(c->op); /* its buffers are shared by definition */
    if (past) {
        g->past = attention_apart(past, x->past, at->kv_num_heads, x->size);
        g->past_rows = x->past;
    }
    if (present) {
        g->to = attention_apart(present, x->room, at->kv_num_heads, x->size);
        return g->to;
    }
    g->to = (struct attention_rows){.dtype = DTYPE_F32, .row = x->size, .head = x->room * x->size,
                                    .batch = at->kv_num_heads * x->room * x->size};
    g->to.data = shelf_take(room, (size_t)(x->batch * g->to.batch), sizeof(float));
    return g->to;
}

/* Keys of the blocks that the row's block does not name. Names need no order and may repeat. */
static void hide_blocks(const struct attention *a, struct attention_place at, int64_t from,
                        int64_t to, float *s)
{
    const struct call *c = a->own;
    const struct attrs_gqa *attrs = c->attrs;
    const struct tensor *rows = call_in(c, sparse_ports.block_rows),
                        *columns = call_in(c, sparse_ports.block_columns);
    int64_t layout = at.head % rows->dims[0], size = attrs->sparse_block;
    int64_t row = at.row + (a->from_end ? tensor_int(a->lengths, at.batch) - a->rows : 0),
            block = row / size;
    const int32_t *ends = (const int32_t *)rows->data + layout * rows->dims[1];
    const int32_t *names = (const int32_t *)columns->data + layout * columns->dims[1];
    for (int64_t key = from; key < to;) {
        int64_t end = (key / size + 1) * size < to ? (key / size + 1) * size : to;
        bool named = false;
        for (int32_t i = ends[block]; i < ends[block + 1] && !named; i++)
            named = names[i] == key / size;
        for (; key < end; key++)
            if (!named)
                s[key] = -INFINITY;
    }
}

static void gqa_fill(const struct call *c, const struct shape *x, struct staged *s,
                     struct shelf *room)
{
    const struct attrs_gqa *at = c->attrs;
    const struct ports *p = ports_of(c->op);
    struct attention *a = &s->core;
    *s = (struct staged){0};
    if (at->do_rotary) {
        s->turn = (struct stage_turn){.cosine = call_in(c, p->cosine),
                                      .sine = call_in(c, p->sine),
                                      .ids = call_in(c, p->ids),
                                      .interleaved = at->interleaved != 0,
                                      .one_id = opens(x)};
        s->turn.half = s->turn.columns = s->turn.cosine->dims[1];
    }
    *a = (struct attention){.batch = x->batch,
                            .heads = at->num_heads,
                            .kv_heads = at->kv_num_heads,
                            .rows = x->rows,
                            .total = x->total,
                            .size = x->size,
                            .v_size = x->size,
                            .room_keys = x->room,
                            .softcap = at->softcap,
                            .lengths = call_in(c, p->lengths),
                            .lengths_plus = p->plus,
                            .from_end = !opens(x),
                            .left = at->window > 0 ? at->window - 1 : -1,
                            .right = at->causal ? 0 : -1,
                            .limit = -1,
                            .sink = call_in(c, p->sink),
                            .smooth = at->smooth == 1,
                            .unseen_zero = true,
                            .show = at->qk_output == 2 ? ATTENTION_WEIGHTS : ATTENTION_BIASED};
    a->qk = at->qk_output ? call_out(c, OUT_QK) : NULL;
    a->scale = at->scale != 0 ? at->scale : x->size ? (float)(1 / sqrt((double)x->size)) : 1;
    a->q = place_queries(s, c, x, room);
    a->k = place_keys(s, c, x, 1, room);
    a->v = place_keys(s, c, x, 2, room);
    a->y = attention_flat(call_out(c, OUT_Y), x->rows, at->num_heads, x->size);
    if (is_sparse(c->op)) {
        a->left = -1;
        a->right = 0;
        a->hide = hide_blocks;
        a->own = c;
    }
    attention_plan(a);
}

static size_t gqa_scratch(const struct call *c, size_t *per_member)
{
    struct shelf room = {0};
    struct staged s;
    struct shape x;
    *per_member = 0;
    if (gqa_shape(c, &x, NULL) < 0)
        return 0;
    gqa_fill(c, &x, &s, &room);
    *per_member = staged_member_bytes(&s);
    return room.used;
}

/* Lengths fit the rows and the buffers. */
static int check_lengths(const struct call *c, const struct shape *x, struct err *e)
{
    const struct ports *p = ports_of(c->op);
    for (int64_t b = 0; b < x->batch; b++) {
        int64_t n = tensor_int(call_in(c, p->lengths), b) + p->plus,
                old = opens(x) ? 0 : n - x->length;
        if (n < 1 || n > x->total || old < 0 || old > x->past || (!opens(x) && n < x->rows))
            return err_set(
                e, ERR_INPUT,
                "a batch row has %lld keys of %lld, with %lld new ones behind at most %lld",
                (long long)n, (long long)x->total, (long long)x->length, (long long)x->past);
    }
    return 0;
}

/* Every block that a row can be in has its names. */
static int check_blocks(const struct call *c, const struct shape *x, struct err *e)
{
    const struct attrs_gqa *at = c->attrs;
    const struct tensor *rows = call_in(c, sparse_ports.block_rows),
                        *columns = call_in(c, sparse_ports.block_columns);
    int64_t blocks = rows->dims[1] - 1;
    if (x->total > x->past || (x->total - 1) / at->sparse_block >= blocks)
        return err_set(e, ERR_INPUT,
                       "%lld keys, the caches have %lld places, the tables %lld blocks of %lld",
                       (long long)x->total, (long long)x->past, (long long)blocks,
                       (long long)at->sparse_block);
    for (int64_t l = 0; l < rows->dims[0]; l++)
        for (int64_t i = 0; i <= blocks; i++) {
            int32_t v = ((const int32_t *)rows->data)[l * rows->dims[1] + i];
            if (v < 0 || v > columns->dims[1])
                return err_set(e, ERR_INPUT, "block_row_indices holds %d, outside of %lld names",
                               (int)v, (long long)columns->dims[1]);
        }
    return 0;
}

static int gqa_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_gqa *at = c->attrs;
    struct shelf room = {.base = c->scratch};
    struct staged s;
    struct shape x;
    int rc = gqa_shape(c, &x, e);
    if (rc == 0)
        rc = check_lengths(c, &x, e);
    if (rc == 0 && is_sparse(c->op))
        rc = check_blocks(c, &x, e);
    if (rc < 0)
        return rc;
    struct mask_shape m = {x.batch, x.rows, x.length, x.total};
    gqa_fill(c, &x, &s, &room);
    rc = bias_bind(&s.core, call_in(c, ports_of(c->op)->bias), &m, e);
    for (int i = 0; i < s.n_stages && rc == 0 && at->do_rotary; i++)
        if (s.stages[i].turn)
            rc = stage_turn_check(&s.stages[i], e);
    if (rc == 0 && call_out(c, OUT_QK) && !s.core.qk)
        memset(call_out(c, OUT_QK)->data, 0, tensor_bytes(call_out(c, OUT_QK)));
    return rc < 0 ? rc : staged_run(c, &s, e);
}

const struct op op_ms_groupqueryattention = {
    .domain = "com.microsoft", .name = "GroupQueryAttention", .since = 1,
    .in_min = 1, .in_max = 16, .out_min = 1, .out_max = 4,
    .flags = OP_PURE | OP_LEADER, .host_in = 1 << 5 | 1 << 6 | 1 << 9,
    .attrs = gqa_attrs, .attrs_size = sizeof(struct attrs_gqa),
    .infer = gqa_infer, .scratch = gqa_scratch, .run = gqa_run,
    .kernels = "gemm softmax transpose unary",
};

const struct op op_ms_sparseattention = {
    .domain = "com.microsoft", .name = "SparseAttention", .since = 1,
    .in_min = 1, .in_max = 11, .out_min = 1, .out_max = 3,
    .flags = OP_PURE | OP_LEADER, .host_in = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8,
    .attrs = sparse_attrs, .attrs_size = sizeof(struct attrs_gqa),
    .infer = gqa_infer, .scratch = gqa_scratch, .run = gqa_run,
    .kernels = "gemm softmax transpose unary",
};
