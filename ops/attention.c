/* SPDX-License-Identifier: Apache-2.0 */
/* Attention: shapes, and the problem for ops/attention_core.h. Keys come from two places, the past and the
 * new ones; presents are copied by tasks of their own. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "graph/attrs.h"
#include "ops/attention_core.h"

enum { IN_Q, IN_K, IN_V, IN_MASK, IN_PAST_K, IN_PAST_V, IN_NONPAD };
enum { OUT_Y, OUT_K, OUT_V, OUT_QK };

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

/* ---- inference ------------------------------------------------------------------------------- */

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
    if (at->qk_matmul_output_mode < 0 || at->qk_matmul_output_mode > ATTENTION_WEIGHTS)
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

/* ---- the problem on numbers ------------------------------------------------------------------ */

static struct attention_rows rows_of(const struct tensor *t, int64_t heads, int64_t size)
{
    if (!t)
        return (struct attention_rows){0};
    return t->rank == 3 ? attention_flat(t, t->dims[1], heads, size)
                        : attention_apart(t, t->dims[2], heads, size);
}

static void read_mask(struct attention *a, const struct tensor *m, int opset)
{
    if (!m)
        return;
    attention_mask_broadcast(&a->masks[0], m);
    /* Opset 23 broadcasts a last dim of 1; from 24 on a shorter one is padded: those keys are hidden. */
    int64_t keys = m->dims[m->rank - 1];
    if ((keys == 1 && opset < 24) || keys > a->total)
        keys = a->total;
    a->masks[0].to = a->limit = keys;
    a->masks[0].flags = m->dtype == DTYPE_BOOL;
    a->masks[0].hidden = -INFINITY;
}

static struct attention problem_of(const struct call *c)
{
    const struct tensor *q = call_in(c, IN_Q), *k = call_in(c, IN_K), *v = call_in(c, IN_V);
    const struct tensor *past_k = call_in(c, IN_PAST_K), *nonpad = call_in(c, IN_NONPAD);
    const struct attrs_attention *at = c->attrs;
    bool flat = q->rank == 3;
    struct attention a = {.lengths = nonpad, .from_end = nonpad && !past_k, .limit = -1,
                          .left = at->left_window_size, .right = at->is_causal ? 0 : at->right_window_size,
                          .softcap = at->softcap, .qk = call_out(c, OUT_QK),
                          .show = (enum attention_show)at->qk_matmul_output_mode};
    a.batch = q->dims[0];
    a.heads = flat ? at->q_num_heads : q->dims[1];
    a.kv_heads = flat ? at->kv_num_heads : k->dims[1];
    a.rows = flat ? q->dims[1] : q->dims[2];
    a.past = a.offset = past_k ? past_k->dims[2] : 0;
    a.total = a.past + (flat ? k->dims[1] : k->dims[2]);
    a.size = flat ? q->dims[2] / a.heads : q->dims[3];
    a.v_size = flat ? v->dims[2] / a.kv_heads : v->dims[3];
    a.q = rows_of(q, a.heads, a.size);
    a.k = rows_of(k, a.kv_heads, a.size);
    a.v = rows_of(v, a.kv_heads, a.v_size);
    a.past_k = rows_of(past_k, a.kv_heads, a.size);
    a.past_v = rows_of(call_in(c, IN_PAST_V), a.kv_heads, a.v_size);
    a.y = rows_of(call_out(c, OUT_Y), a.heads, a.v_size);
    a.wide = q->dtype == DTYPE_F64 || v->dtype == DTYPE_F64 || at->softmax_precision == DTYPE_F64;
    a.scale = at->scale != 0 ? at->scale : a.size ? (float)(1 / sqrt((double)a.size)) : 1;
    read_mask(&a, call_in(c, IN_MASK), c->node->opset);
    attention_plan(&a);
    return a;
}

/* ---- presents -------------------------------------------------------------------------------- */

/* n rows of a head to `to`; returns where they end. */
static char *copy_rows(const struct attention_rows *l, int64_t batch, int64_t head, int64_t n, int64_t size,
                       char *to)
{
    if (n == 0 || size == 0)
        return to;
    size_t each = dtype_size(l->dtype), row = (size_t)size * each;
    const char *from = (const char *)l->data + (size_t)attention_element(l, batch, head, 0) * each;
    if (l->row == size) {
        memcpy(to, from, (size_t)n * row);
        return to + (size_t)n * row;
    }
    for (int64_t i = 0; i < n; i++, to += row)
        memcpy(to, from + (size_t)(i * l->row) * each, row);
    return to;
}

/* A part of all presents: head `part` of the keys, or of the values behind them. */
static void copy_head(const struct call *c, const struct attention *a, int64_t part)
{
    int64_t heads = a->batch * a->kv_heads;
    bool keys = call_out(c, OUT_K) && part < heads;
    const struct attention_rows *past = keys ? &a->past_k : &a->past_v, *new = keys ? &a->k : &a->v;
    const struct tensor *present = call_out(c, keys ? OUT_K : OUT_V);
    int64_t size = keys ? a->size : a->v_size, batch = part % heads / a->kv_heads, head = part % a->kv_heads;
    char *to = (char *)present->data + (size_t)(part % heads * a->total * size) * dtype_size(present->dtype);
    to = copy_rows(past, batch, head, a->past, size, to);
    copy_rows(new, batch, head, a->total - a->past, size, to);
}

/* ---- the node -------------------------------------------------------------------------------- */

static int64_t attention_node_tasks(const struct call *c)
{
    struct attention a = problem_of(c);
    int64_t heads = a.batch * a.kv_heads;
    return attention_tasks(&a) + (call_out(c, OUT_K) ? heads : 0) + (call_out(c, OUT_V) ? heads : 0);
}

static size_t attention_scratch(const struct call *c, size_t *per_member)
{
    struct attention a = problem_of(c);
    *per_member = attention_member_bytes(&a);
    return 0;
}

static int check_nonpad(const struct attention *a, struct err *e)
{
    for (int64_t i = 0; a->lengths && i < a->batch; i++) {
        int64_t n = tensor_int(a->lengths, i);
        if (n < 0 || n > a->total)
            return err_set(e, ERR_INPUT, "nonpad_kv_seqlen is %lld, outside [0, %lld]", (long long)n,
                           (long long)a->total);
    }
    return 0;
}

static int attention_node_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct attention a = problem_of(c);
    int64_t attend = attention_tasks(&a);
    int rc = check_nonpad(&a, e);
    if (rc < 0)
        return rc;
    for (int64_t t = begin; t < end; t++)
        if (t < attend)
            attention_run(&a, t, call_member_scratch(c, member));
        else
            copy_head(c, &a, t - attend);
    return 0;
}

const struct op op_attention = {
    .domain = "", .name = "Attention", .since = 23,
    .in_min = 3, .in_max = 7, .out_min = 1, .out_max = 4,
    .flags = OP_PURE,
    .attrs = attention_attrs, .attrs_size = sizeof(struct attrs_attention),
    .infer = attention_infer, .scratch = attention_scratch, .tasks = attention_node_tasks,
    .run = attention_node_run,
    .kernels = "gemm softmax transpose unary",
};
