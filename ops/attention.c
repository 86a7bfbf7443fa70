/* SPDX-License-Identifier: Apache-2.0 */
/* Attention: Y = softmax(softcap(scale * Q x K') + bias) x V, head by head.
 *
 * The query heads that share a key head are more rows of one problem. A task is a block of its rows:
 * the whole score rows of the block are made panel by panel of keys (K is transposed while it is
 * packed), normalised, and multiplied with V, all on the chains of kernels/gemm.h, so that a row's
 * result depends neither on the block nor on the batch. Keys come from two places, the past and the new
 * ones; presents are copied by tasks of their own. f32 and 16-bit types compute in f32, double (or
 * softmax_precision double) on plain loops. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "graph/attrs.h"
#include "kernels/gemm.h"
#include "kernels/softmax.h"
#include "kernels/transpose.h"
#include "kernels/unary.h"
#include "ops/common.h"

enum { IN_Q, IN_K, IN_V, IN_MASK, IN_PAST_K, IN_PAST_V, IN_NONPAD };
enum { OUT_Y, OUT_K, OUT_V, OUT_QK };
/* What output 3 shows. */
enum { MODE_RAW, MODE_CAPPED, MODE_BIASED, MODE_SOFTMAX };

/* Rows a block, at most; floats of its scores, where rows allow; keys of V a step; and keys to whose
 * multiple a block's first key is rounded, which keeps every score in its softmax chain. */
enum { BLOCK_ROWS = 64, BLOCK_SCORES = 1 << 18, V_KEYS = 128, KEY_ALIGN = 64, ROWS_MIN = 8 };

static const struct attr attention_attrs[] = {
    {"is_causal", ATTR_INT, offsetof(struct attrs_attention, is_causal)},
    {"q_num_heads", ATTR_INT, offsetof(struct attrs_attention, q_num_heads), .i = ATTR_ABSENT},
    {"kv_num_heads", ATTR_INT, offsetof(struct attrs_attention, kv_num_heads), .i = ATTR_ABSENT},
    {"qk_matmul_output_mode", ATTR_INT, offsetof(struct attrs_attention, qk_matmul_output_mode)},
    {"softmax_precision", ATTR_INT, offsetof(struct attrs_attention, softmax_precision)},
    {"scale", ATTR_FLOAT, offsetof(struct attrs_attention, scale)},
    {"softcap", ATTR_FLOAT, offsetof(struct attrs_attention, softcap)},
    {"left_window_size", ATTR_INT, offsetof(struct attrs_attention, left_window_size), .i = -1},
    {"right_window_size", ATTR_INT, offsetof(struct attrs_attention, right_window_size), .i = -1},
    {0},
};

/* ---- inference -------------------------------------------------------------------------------- */

/* An input as [batch, heads, length, size]. */
struct head_dims {
    int64_t batch, heads, length, size;
};

static int read_heads(struct infer *c, int i, int64_t heads, const char *name, struct head_dims *h,
                      struct err *e)
{
    const int64_t *d = c->in[i]->type.dims;
    if (infer_rank(c, i) == 4) {
        *h = (struct head_dims){d[0], d[1], d[2], d[3]};
        return 0;
    }
    if (heads == ATTR_ABSENT || heads < 1)
        return err_set(e, ERR_MODEL, "3-D inputs need attribute %s of at least 1", name);
    if (sym_is_number(d[2]) && d[2] % heads != 0)
        return err_set(e, ERR_MODEL, "input %d: %lld numbers do not make %lld heads", i, (long long)d[2],
                       (long long)heads);
    *h = (struct head_dims){d[0], heads, d[1], sym_floor_div(c->syms, d[2], heads)};
    return 0;
}

static int agree(struct infer *c, int64_t a, int64_t b, const char *what, struct err *e)
{
    return sym_differ(c->syms, a, b) ? err_set(e, ERR_MODEL, "%s do not agree", what) : 0;
}

static int check_attrs(const struct attrs_attention *at, struct err *e)
{
    int64_t p = at->softmax_precision;
    if (p != 0 && p != DTYPE_F32 && p != DTYPE_F16 && p != DTYPE_F64 && p != DTYPE_BF16)
        return err_set(e, ERR_MODEL, "softmax_precision %lld is no float type", (long long)p);
    if (at->qk_matmul_output_mode < 0 || at->qk_matmul_output_mode > MODE_SOFTMAX)
        return err_set(e, ERR_MODEL, "qk_matmul_output_mode %lld is outside 0..3",
                       (long long)at->qk_matmul_output_mode);
    if (at->left_window_size < -1 || at->right_window_size < -1)
        return err_set(e, ERR_MODEL, "a window size is below -1");
    return 0;
}

static int check_types(struct infer *c, struct err *e)
{
    static const uint32_t masks[] = {DT_FLOATS, DT_FLOATS, DT_FLOATS, DT_NUMERIC | DT(BOOL),
                                     DT_FLOATS, DT_FLOATS, DT(I64)};
    int rc = 0;
    for (int i = 0; i <= IN_NONPAD && rc == 0; i++)
        if (i <= IN_V || infer_has(c, i))
            rc = infer_dtypes(c, i, masks[i], e);
    if (rc == 0)
        rc = infer_same_dtype(c, IN_Q, IN_K, e);
    if (rc == 0)
        rc = infer_same_dtype(c, IN_K, IN_PAST_K, e);
    if (rc == 0)
        rc = infer_same_dtype(c, IN_V, IN_PAST_V, e);
    if (rc == 0 && infer_has(c, IN_PAST_K) != infer_has(c, IN_PAST_V))
        rc = err_set(e, ERR_MODEL, "past_key and past_value come together");
    if (rc == 0 && infer_has(c, IN_PAST_K) && infer_has(c, IN_NONPAD))
        rc = err_set(e, ERR_MODEL, "nonpad_kv_seqlen and a past exclude each other");
    return rc;
}

/* The mask broadcasts to [batch, heads, rows, total]; its last dim may be shorter. */
static int check_mask(struct infer *c, const int64_t full[4], struct err *e)
{
    int rank = infer_rank(c, IN_MASK);
    if (rank > 4 || rank == 0)
        return err_set(e, ERR_MODEL, "the mask has rank %d", rank);
    for (int k = 0; k < rank; k++) {
        int64_t dim = infer_dim(c, IN_MASK, k), want = full[4 - rank + k];
        bool last = k == rank - 1;
        if (sym_is_number(dim) && sym_is_number(want) && dim != want && dim != 1 &&
            !(last && dim < want))
            return err_set(e, ERR_MODEL, "the mask's dim %d is %lld, expected %lld", k, (long long)dim,
                           (long long)want);
    }
    return 0;
}

/* The past's length, checking its dims; 0 without one. */
static int past_length(struct infer *c, const struct head_dims *k, const struct head_dims *v, int64_t *past,
                       struct err *e)
{
    *past = infer_has(c, IN_PAST_K) ? SYM_UNKNOWN : 0;
    for (int i = IN_PAST_K; i <= IN_PAST_V; i++) {
        const struct head_dims *h = i == IN_PAST_K ? k : v;
        if (infer_rank(c, i) < 0)
            continue;
        if (infer_rank(c, i) != 4)
            return err_set(e, ERR_MODEL, "the past has rank %d, expected 4", infer_rank(c, i));
        int rc = agree(c, infer_dim(c, i, 0), h->batch, "batches of past and new", e);
        if (rc == 0)
            rc = agree(c, infer_dim(c, i, 1), h->heads, "heads of past and new", e);
        if (rc == 0)
            rc = agree(c, infer_dim(c, i, 3), h->size, "head sizes of past and new", e);
        if (rc == 0)
            rc = agree(c, *past, infer_dim(c, i, 2), "lengths of past_key and past_value", e);
        if (rc < 0)
            return rc;
        *past = infer_dim(c, i, 2);
    }
    return 0;
}

static int check_heads(struct infer *c, const struct head_dims *q, const struct head_dims *k,
                       const struct head_dims *v, struct err *e)
{
    int rc = agree(c, q->size, k->size, "head sizes of Q and K", e);
    if (rc == 0)
        rc = agree(c, q->batch, k->batch, "batches of Q and K", e);
    if (rc == 0)
        rc = agree(c, q->batch, v->batch, "batches of Q and V", e);
    if (rc == 0)
        rc = agree(c, k->heads, v->heads, "heads of K and V", e);
    if (rc == 0)
        rc = agree(c, k->length, v->length, "lengths of K and V", e);
    if (rc == 0 && sym_is_number(q->heads) && sym_is_number(k->heads) &&
        (k->heads < 1 || q->heads % k->heads != 0))
        rc = err_set(e, ERR_MODEL, "%lld query heads do not share %lld key heads", (long long)q->heads,
                     (long long)k->heads);
    return rc;
}

static int unknown_outputs(struct infer *c, struct err *e)
{
    int rc = infer_unknown(c, OUT_Y, infer_dtype(c, IN_Q), e);
    if (rc == 0)
        rc = infer_unknown(c, OUT_K, infer_dtype(c, IN_K), e);
    if (rc == 0)
        rc = infer_unknown(c, OUT_V, infer_dtype(c, IN_V), e);
    return rc < 0 ? rc : infer_unknown(c, OUT_QK, infer_dtype(c, IN_Q), e);
}

static int attention_infer(struct infer *c, struct err *e)
{
    const struct attrs_attention *at = c->attrs;
    struct head_dims q, k, v;
    int64_t past = 0, total;
    int rank = infer_rank(c, IN_Q), rc = check_attrs(at, e);
    if (rc == 0)
        rc = check_types(c, e);
    if (rc < 0)
        return rc;
    if (rank < 0 || infer_rank(c, IN_K) < 0 || infer_rank(c, IN_V) < 0)
        return unknown_outputs(c, e);
    if ((rank != 3 && rank != 4) || infer_rank(c, IN_K) != rank || infer_rank(c, IN_V) != rank)
        return err_set(e, ERR_MODEL, "Q, K and V have ranks %d, %d, %d, expected 3 or 4 for all", rank,
                       infer_rank(c, IN_K), infer_rank(c, IN_V));
    rc = read_heads(c, IN_Q, at->q_num_heads, "q_num_heads", &q, e);
    if (rc == 0)
        rc = read_heads(c, IN_K, at->kv_num_heads, "kv_num_heads", &k, e);
    if (rc == 0)
        rc = read_heads(c, IN_V, at->kv_num_heads, "kv_num_heads", &v, e);
    if (rc == 0)
        rc = check_heads(c, &q, &k, &v, e);
    if (rc == 0)
        rc = past_length(c, &k, &v, &past, e);
    if (rc < 0)
        return rc;
    total = sym_add(c->syms, past, k.length);
    int64_t full[4] = {q.batch, q.heads, q.length, total};
    int64_t key[4] = {k.batch, k.heads, total, k.size}, value[4] = {v.batch, v.heads, total, v.size};
    int64_t y4[4] = {q.batch, q.heads, q.length, v.size};
    int64_t y3[3] = {q.batch, q.length, sym_mul(c->syms, q.heads, v.size)};
    if (infer_has(c, IN_MASK) && infer_rank(c, IN_MASK) >= 0)
        rc = check_mask(c, full, e);
    if (rc == 0 && infer_rank(c, IN_NONPAD) >= 0 &&
        (infer_rank(c, IN_NONPAD) != 1 || sym_differ(c->syms, infer_dim(c, IN_NONPAD, 0), q.batch)))
        rc = err_set(e, ERR_MODEL, "nonpad_kv_seqlen is not one number a batch row");
    if (rc == 0)
        rc = infer_set(c, OUT_Y, infer_dtype(c, IN_Q), rank, rank == 4 ? y4 : y3, e);
    if (rc == 0)
        rc = infer_set(c, OUT_K, infer_dtype(c, IN_K), 4, key, e);
    if (rc == 0)
        rc = infer_set(c, OUT_V, infer_dtype(c, IN_V), 4, value, e);
    return rc < 0 ? rc : infer_set(c, OUT_QK, infer_dtype(c, IN_Q), 4, full, e);
}

/* ---- the problem on numbers ------------------------------------------------------------------- */

/* Strides in elements of a tensor seen as [batch, heads, length, size]. */
struct layout {
    const struct tensor *t;
    int64_t batch, head, row;
};

struct problem {
    const struct attrs_attention *at;
    struct layout q, k, v, past_k, past_v, y;
    const struct tensor *mask, *nonpad;
    struct tensor *qk, *present_k, *present_v;
    int64_t mask_step[4]; /* strides under [batch, head, row, key] */
    int64_t mask_keys;    /* keys that the mask tells of; those behind are masked */
    int64_t batch, heads, kv_heads, group, rows, length, past, total, size, v_size;
    int64_t block, blocks; /* rows a block, blocks a key head */
    bool wide;             /* compute in double */
    float scale;
};

static struct layout layout_of(const struct tensor *t, int64_t heads, int64_t size)
{
    struct layout l = {.t = t};
    if (!t)
        return l;
    bool flat = t->rank == 3;
    int64_t length = flat ? t->dims[1] : t->dims[2];
    l.row = flat ? heads * size : size;
    l.head = flat ? size : length * size;
    l.batch = heads * length * size;
    return l;
}

static void read_mask(struct problem *p, int opset)
{
    const struct tensor *m = p->mask;
    if (!m)
        return;
    int64_t strides[TENSOR_RANK_MAX];
    dims_strides(m->dims, m->rank, strides);
    for (int k = 0; k < m->rank; k++)
        p->mask_step[4 - m->rank + k] = m->dims[k] == 1 ? 0 : strides[k];
    /* Opset 23 broadcasts a last dim of 1; from 24 on a shorter one is padded. */
    p->mask_keys = m->dims[m->rank - 1];
    if (p->mask_keys == 1 && opset < 24)
        p->mask_keys = p->total;
    if (p->mask_keys > p->total)
        p->mask_keys = p->total;
}

static struct problem problem_of(const struct call *c)
{
    const struct tensor *q = call_in(c, IN_Q), *k = call_in(c, IN_K), *v = call_in(c, IN_V);
    const struct attrs_attention *at = c->attrs;
    bool flat = q->rank == 3;
    struct problem p = {.at = at, .mask = call_in(c, IN_MASK), .nonpad = call_in(c, IN_NONPAD),
                        .qk = call_out(c, OUT_QK), .present_k = call_out(c, OUT_K),
                        .present_v = call_out(c, OUT_V)};
    p.batch = q->dims[0];
    p.heads = flat ? at->q_num_heads : q->dims[1];
    p.kv_heads = flat ? at->kv_num_heads : k->dims[1];
    p.group = p.kv_heads ? p.heads / p.kv_heads : 0;
    p.rows = flat ? q->dims[1] : q->dims[2];
    p.length = flat ? k->dims[1] : k->dims[2];
    p.past = call_in(c, IN_PAST_K) ? call_in(c, IN_PAST_K)->dims[2] : 0;
    p.total = p.past + p.length;
    p.size = flat ? q->dims[2] / p.heads : q->dims[3];
    p.v_size = flat ? v->dims[2] / p.kv_heads : v->dims[3];
    p.q = layout_of(q, p.heads, p.size);
    p.k = layout_of(k, p.kv_heads, p.size);
    p.v = layout_of(v, p.kv_heads, p.v_size);
    p.past_k = layout_of(call_in(c, IN_PAST_K), p.kv_heads, p.size);
    p.past_v = layout_of(call_in(c, IN_PAST_V), p.kv_heads, p.v_size);
    p.y = layout_of(call_out(c, OUT_Y), p.heads, p.v_size);
    p.wide = q->dtype == DTYPE_F64 || v->dtype == DTYPE_F64 || at->softmax_precision == DTYPE_F64;
    p.scale = at->scale != 0 ? at->scale : p.size ? (float)(1 / sqrt((double)p.size)) : 1;
    p.block = BLOCK_ROWS;
    while (p.block > ROWS_MIN && p.block * p.total > BLOCK_SCORES)
        p.block /= 2;
    if (p.block > p.group * p.rows)
        p.block = p.group * p.rows;
    p.blocks = p.block ? (p.group * p.rows + p.block - 1) / p.block : 0;
    read_mask(&p, c->node->opset);
    return p;
}

/* Where the queries of a batch row stand among the keys: before the first one lie this many. */
static int64_t offset_of(const struct problem *p, int64_t batch)
{
    if (p->past_k.t)
        return p->past;
    return p->nonpad ? ((const int64_t *)p->nonpad->data)[batch] - p->rows : 0;
}

/* The keys [*from, *to) that position `at` may see, mask apart. */
static void visible(const struct problem *p, int64_t batch, int64_t row, int64_t *from, int64_t *to)
{
    int64_t at = offset_of(p, batch) + row, left = p->at->left_window_size;
    int64_t right = p->at->is_causal ? 0 : p->at->right_window_size;
    *from = 0;
    *to = p->total;
    if (p->nonpad && ((const int64_t *)p->nonpad->data)[batch] < *to)
        *to = ((const int64_t *)p->nonpad->data)[batch];
    if (right >= 0 && right < p->total && at + right + 1 < *to)
        *to = at + right + 1;
    if (left >= 0 && left < at && at - left > *from)
        *from = at - left;
    if (*to < 0)
        *to = 0;
    if (*from > *to)
        *from = *to;
}

/* ---- bias and softmax ------------------------------------------------------------------------- */

struct place {
    int64_t batch, head, row;
};

static int64_t mask_at(const struct problem *p, struct place a)
{
    return a.batch * p->mask_step[0] + a.head * p->mask_step[1] + a.row * p->mask_step[2];
}

/* n numbers of the mask from key `from` on, as what is added. */
static void mask_chunk(const struct problem *p, int64_t at, int64_t from, int64_t n, float *out)
{
    int64_t step = p->mask_step[3];
    for (int64_t i = 0; i < n && step == 0; i++)
        elems_to_f32(p->mask->dtype, p->mask->data, at, 1, out + i);
    if (step)
        elems_to_f32(p->mask->dtype, p->mask->data, at + from, n, out);
    for (int64_t i = 0; i < n && p->mask->dtype == DTYPE_BOOL; i++)
        out[i] = out[i] != 0 ? 0 : -INFINITY;
}

/* Add the bias to the scores of keys [from, to); false if no key is left to see. */
#define ADD_BIAS(name, type)                                                                       \
    static bool name(const struct problem *p, struct place a, int64_t from, int64_t to, type *s)   \
    {                                                                                              \
        float chunk[CHUNK_ELEMS];                                                                  \
        int64_t first, last, end = to < p->mask_keys ? to : p->mask_keys;                          \
        bool any = false;                                                                          \
        visible(p, a.batch, a.row, &first, &last);                                                 \
        for (int64_t i = from; i < to; i++)                                                        \
            if (i < first || i >= last)                                                            \
                s[i] += -INFINITY;                                                                 \
        if (!p->mask)                                                                              \
            return first < last;                                                                   \
        for (int64_t i = from; i < end; i += CHUNK_ELEMS) {                                        \
            int64_t n = end - i < CHUNK_ELEMS ? end - i : CHUNK_ELEMS;                             \
            mask_chunk(p, mask_at(p, a), i, n, chunk);                                             \
            for (int64_t j = 0; j < n; j++) {                                                      \
                s[i + j] += chunk[j];                                                              \
                any = any || (chunk[j] != -INFINITY && i + j >= first && i + j < last);            \
            }                                                                                      \
        }                                                                                          \
        for (int64_t i = from > end ? from : end; i < to; i++)                                     \
            s[i] += -INFINITY;                                                                     \
        return any;                                                                                \
    }
ADD_BIAS(add_bias_f32, float)
ADD_BIAS(add_bias_f64, double)

static int64_t qk_at(const struct problem *p, struct place a)
{
    return ((a.batch * p->heads + a.head) * p->rows + a.row) * p->total;
}

static void show_f32(const struct problem *p, int mode, struct place a, const float *s)
{
    if (p->qk && p->at->qk_matmul_output_mode == mode)
        elems_from_f32(p->qk->dtype, p->qk->data, qk_at(p, a), p->total, s);
}

static void show_f64(const struct problem *p, int mode, struct place a, const double *s)
{
    if (p->qk && p->at->qk_matmul_output_mode == mode)
        elems_from_f64(p->qk->dtype, p->qk->data, qk_at(p, a), p->total, s);
}

/* From raw scores to weights of the keys [from, to). False: the row sees no key, weights are 0. */
static bool weigh_f32(const struct problem *p, struct place a, int64_t from, int64_t to, float *s)
{
    float cap = p->at->softcap, top = -INFINITY;
    show_f32(p, MODE_RAW, a, s);
    if (cap > 0) {
        for (int64_t i = from; i < to; i++)
            s[i] /= cap;
        unary_f32_pick(UNARY_TANH)(s + from, s + from, (size_t)(to - from), NULL);
        for (int64_t i = from; i < to; i++)
            s[i] *= cap;
    }
    show_f32(p, MODE_CAPPED, a, s);
    bool any = add_bias_f32(p, a, from, to, s);
    show_f32(p, MODE_BIASED, a, s);
    for (int64_t i = from; i < to && any && top == -INFINITY; i++)
        top = s[i];
    any = any && top != -INFINITY;
    if (any)
        softmax_f32_pick()->rows(s + from, s + from, 1, (size_t)(to - from), false);
    else
        memset(s + from, 0, (size_t)(to - from) * sizeof *s);
    show_f32(p, MODE_SOFTMAX, a, s);
    return any;
}

static bool weigh_f64(const struct problem *p, struct place a, int64_t from, int64_t to, double *s)
{
    double cap = p->at->softcap, top = -INFINITY;
    show_f64(p, MODE_RAW, a, s);
    for (int64_t i = from; i < to && cap > 0; i++)
        s[i] = tanh(s[i] / cap) * cap;
    show_f64(p, MODE_CAPPED, a, s);
    bool any = add_bias_f64(p, a, from, to, s);
    show_f64(p, MODE_BIASED, a, s);
    for (int64_t i = from; i < to && any && top == -INFINITY; i++)
        top = s[i];
    any = any && top != -INFINITY;
    if (any)
        softmax_f64_axis(s + from, s + from, (size_t)(to - from), 1, 0, 1, false);
    else
        memset(s + from, 0, (size_t)(to - from) * sizeof *s);
    show_f64(p, MODE_SOFTMAX, a, s);
    return any;
}

/* ---- a block in f32 --------------------------------------------------------------------------- */

/* A block's part of a member's scratch. */
struct room {
    float *q, *scores, *out, *panel, *wide;
};

static size_t room_floats(const struct problem *p, const struct gemm_f32_kernel *g, struct room *r, float *base)
{
    size_t block = (size_t)p->block, keys = g->nr > V_KEYS ? g->nr : V_KEYS;
    size_t most = (size_t)(p->size > p->v_size ? p->size : p->v_size);
    size_t sizes[] = {block * (size_t)p->size, block * (size_t)p->total, block * (size_t)p->v_size,
                      (size_t)g->nr * (size_t)p->size, keys * most};
    float **places[] = {&r->q, &r->scores, &r->out, &r->panel, &r->wide};
    size_t at = 0;
    for (int i = 0; i < 5; i++) {
        if (base)
            *places[i] = base + at;
        at += (sizes[i] + 15) / 16 * 16;
    }
    return at;
}

static struct place place_of(const struct problem *p, int64_t batch, int64_t kv_head, int64_t row)
{
    return (struct place){batch, kv_head * p->group + row / p->rows, row % p->rows};
}

static int64_t element(const struct layout *l, int64_t batch, int64_t head, int64_t row)
{
    return batch * l->batch + head * l->head + row * l->row;
}

/* Keys (or values) [at, at + *n) of a head as f32 with row stride *stride; *n is cut at the end of the
 * past. */
static const float *keys_f32(const struct layout *past, int64_t past_len, const struct layout *new,
                             int64_t batch, int64_t head, int64_t at, int64_t *n, int64_t size, float *wide,
                             int64_t *stride)
{
    bool old = at < past_len;
    const struct layout *l = old ? past : new;
    if (old && at + *n > past_len)
        *n = past_len - at;
    int64_t first = element(l, batch, head, old ? at : at - past_len);
    *stride = l->row;
    if (l->t->dtype == DTYPE_F32)
        return (const float *)l->t->data + first;
    for (int64_t i = 0; i < *n; i++)
        elems_to_f32(l->t->dtype, l->t->data, first + i * l->row, size, wide + i * size);
    *stride = size;
    return wide;
}

/* c (+)= a x b for rows of any number, over k. */
static void multiply(const struct gemm_f32_kernel *g, const float *a, int64_t a_row, const float *b,
                     int64_t b_k, float *c, int64_t c_row, int64_t m, int64_t n, int64_t k, bool resume)
{
    struct gemm_f32_tile t = {.b = b, .a_row = (size_t)a_row, .a_k = 1, .b_k = (size_t)b_k,
                              .b_panel = g->nr, .c_row = (size_t)c_row, .k = (size_t)k, .n = (size_t)n,
                              .accumulate = resume};
    for (int64_t i = 0; i < m && n > 0; i += g->mr) {
        t.a = a + i * a_row;
        t.c = c + i * c_row;
        t.m = (unsigned)(m - i < (int64_t)g->mr ? m - i : (int64_t)g->mr);
        g->fn(&t);
    }
}

static void load_queries(const struct problem *p, int64_t batch, int64_t kv_head, int64_t first, int64_t m,
                         float *q)
{
    for (int64_t i = 0; i < m; i++) {
        struct place a = place_of(p, batch, kv_head, first + i);
        elems_to_f32(p->q.t->dtype, p->q.t->data, element(&p->q, a.batch, a.head, a.row), p->size,
                     q + i * p->size);
        for (int64_t k = 0; k < p->size; k++)
            q[i * p->size + k] *= p->scale;
    }
}

/* The keys that some row of the block sees; all where the scores are an output. */
static void block_keys(const struct problem *p, int64_t batch, int64_t first, int64_t m, int64_t *from,
                       int64_t *to)
{
    *from = p->qk ? 0 : p->total;
    *to = p->qk ? p->total : 0;
    for (int64_t i = 0; i < m && !p->qk; i++) {
        int64_t low, high;
        visible(p, batch, (first + i) % p->rows, &low, &high);
        if (low == high)
            continue;
        *from = low < *from ? low : *from;
        *to = high > *to ? high : *to;
    }
    if (*from > *to)
        *from = *to;
    *from -= *from % KEY_ALIGN;
}

static void attend_f32(const struct problem *p, const struct gemm_f32_kernel *g, int64_t batch,
                       int64_t kv_head, int64_t first, int64_t m, const struct room *r)
{
    transpose_2d_fn *transpose = transpose_2d_pick(sizeof(float));
    int64_t from, to, stride;
    bool sees[BLOCK_ROWS];
    load_queries(p, batch, kv_head, first, m, r->q);
    block_keys(p, batch, first, m, &from, &to);
    for (int64_t j = from, n; j < to; j += n) {
        n = to - j < (int64_t)g->nr ? to - j : (int64_t)g->nr;
        const float *k = keys_f32(&p->past_k, p->past, &p->k, batch, kv_head, j, &n, p->size, r->wide, &stride);
        transpose(k, (size_t)stride, r->panel, g->nr, (size_t)n, (size_t)p->size);
        multiply(g, r->q, p->size, r->panel, g->nr, r->scores + j, p->total, m, n, p->size, false);
    }
    for (int64_t i = 0; i < m; i++)
        sees[i] = weigh_f32(p, place_of(p, batch, kv_head, first + i), from, to, r->scores + i * p->total);
    for (int64_t j = from, n; j < to; j += n) {
        n = to - j < V_KEYS ? to - j : V_KEYS;
        const float *v = keys_f32(&p->past_v, p->past, &p->v, batch, kv_head, j, &n, p->v_size, r->wide, &stride);
        multiply(g, r->scores + j, p->total, v, stride, r->out, p->v_size, m, p->v_size, n, j > from);
    }
    for (int64_t i = 0; i < m; i++) {
        struct place a = place_of(p, batch, kv_head, first + i);
        if (!sees[i])
            memset(r->out + i * p->v_size, 0, (size_t)p->v_size * sizeof *r->out);
        elems_from_f32(p->y.t->dtype, p->y.t->data, element(&p->y, a.batch, a.head, a.row), p->v_size,
                       r->out + i * p->v_size);
    }
}

/* ---- a row in double -------------------------------------------------------------------------- */

static void key_f64(const struct layout *past, int64_t past_len, const struct layout *new, int64_t batch,
                    int64_t head, int64_t at, int64_t size, double *out)
{
    bool old = at < past_len;
    const struct layout *l = old ? past : new;
    elems_to_f64(l->t->dtype, l->t->data, element(l, batch, head, old ? at : at - past_len), size, out);
}

static size_t room_doubles(const struct problem *p)
{
    return (size_t)p->total + 2 * (size_t)p->size + 2 * (size_t)p->v_size;
}

static void attend_f64(const struct problem *p, struct place a, double *room)
{
    double *s = room, *q = s + p->total, *k = q + p->size, *v = k + p->size, *out = v + p->v_size;
    int64_t kv_head = a.head / p->group;
    elems_to_f64(p->q.t->dtype, p->q.t->data, element(&p->q, a.batch, a.head, a.row), p->size, q);
    for (int64_t j = 0; j < p->total; j++) {
        double sum = 0;
        key_f64(&p->past_k, p->past, &p->k, a.batch, kv_head, j, p->size, k);
        for (int64_t i = 0; i < p->size; i++)
            sum += q[i] * k[i];
        s[j] = sum * p->scale;
    }
    bool sees = weigh_f64(p, a, 0, p->total, s);
    memset(out, 0, (size_t)p->v_size * sizeof *out);
    for (int64_t j = 0; j < p->total && sees; j++) {
        key_f64(&p->past_v, p->past, &p->v, a.batch, kv_head, j, p->v_size, v);
        for (int64_t i = 0; i < p->v_size; i++)
            out[i] += s[j] * v[i];
    }
    elems_from_f64(p->y.t->dtype, p->y.t->data, element(&p->y, a.batch, a.head, a.row), p->v_size, out);
}

/* ---- presents --------------------------------------------------------------------------------- */

/* n rows of a head to `to`; returns where they end. */
static char *copy_rows(const struct layout *l, int64_t batch, int64_t head, int64_t n, int64_t size, char *to)
{
    if (n == 0 || size == 0)
        return to;
    size_t each = dtype_size(l->t->dtype), row = (size_t)size * each;
    const char *from = (const char *)l->t->data + (size_t)element(l, batch, head, 0) * each;
    if (l->row == size) {
        memcpy(to, from, (size_t)n * row);
        return to + (size_t)n * row;
    }
    for (int64_t i = 0; i < n; i++, to += row)
        memcpy(to, from + (size_t)(i * l->row) * each, row);
    return to;
}

/* A part of all presents: head `part` of the keys, or of the values behind them. */
static void copy_head(const struct problem *p, int64_t part)
{
    int64_t heads = p->batch * p->kv_heads;
    bool keys = p->present_k && part < heads;
    const struct layout *past = keys ? &p->past_k : &p->past_v, *new = keys ? &p->k : &p->v;
    const struct tensor *present = keys ? p->present_k : p->present_v;
    int64_t size = keys ? p->size : p->v_size, batch = part % heads / p->kv_heads, head = part % p->kv_heads;
    char *to = (char *)present->data + (size_t)(part % heads * p->total * size) * dtype_size(present->dtype);
    to = copy_rows(past, batch, head, p->past, size, to);
    copy_rows(new, batch, head, p->length, size, to);
}

/* ---- the node --------------------------------------------------------------------------------- */

static int64_t attention_tasks(const struct call *c)
{
    struct problem p = problem_of(c);
    int64_t heads = p.batch * p.kv_heads;
    return heads * p.blocks + (p.present_k ? heads : 0) + (p.present_v ? heads : 0);
}

static size_t attention_scratch(const struct call *c, size_t *per_member)
{
    struct problem p = problem_of(c);
    struct room r = {0};
    *per_member = p.wide ? room_doubles(&p) * sizeof(double)
                         : room_floats(&p, gemm_f32_pick(), &r, NULL) * sizeof(float);
    return 0;
}

static void run_block(const struct problem *p, int64_t task, void *scratch)
{
    int64_t head = task / p->blocks, first = task % p->blocks * p->block;
    int64_t m = p->group * p->rows - first < p->block ? p->group * p->rows - first : p->block;
    int64_t batch = head / p->kv_heads, kv_head = head % p->kv_heads;
    const struct gemm_f32_kernel *g = gemm_f32_pick();
    struct room r = {0};
    for (int64_t i = 0; i < m && p->wide; i++)
        attend_f64(p, place_of(p, batch, kv_head, first + i), scratch);
    if (p->wide)
        return;
    room_floats(p, g, &r, scratch);
    attend_f32(p, g, batch, kv_head, first, m, &r);
}

static int check_nonpad(const struct problem *p, struct err *e)
{
    for (int64_t i = 0; p->nonpad && i < p->batch; i++) {
        int64_t n = ((const int64_t *)p->nonpad->data)[i];
        if (n < 0 || n > p->total)
            return err_set(e, ERR_INPUT, "nonpad_kv_seqlen is %lld, outside [0, %lld]", (long long)n,
                           (long long)p->total);
    }
    return 0;
}

static int attention_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct problem p = problem_of(c);
    int64_t attend = p.batch * p.kv_heads * p.blocks;
    int rc = check_nonpad(&p, e);
    if (rc < 0)
        return rc;
    for (int64_t t = begin; t < end; t++)
        if (t < attend)
            run_block(&p, t, call_member_scratch(c, member));
        else
            copy_head(&p, t - attend);
    return 0;
}

const struct op op_attention = {
    .domain = "", .name = "Attention", .since = 23,
    .in_min = 3, .in_max = 7, .out_min = 1, .out_max = 4,
    .flags = OP_PURE,
    .attrs = attention_attrs, .attrs_size = sizeof(struct attrs_attention),
    .infer = attention_infer, .scratch = attention_scratch, .tasks = attention_tasks, .run = attention_run,
};
