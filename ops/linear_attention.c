/* SPDX-License-Identifier: Apache-2.0 */
/* LinearAttention: a matrix S of every key head, changed and read token by token:
 *     S *= exp(decay)    v' = beta * (v - S' k)    S += k (x) v'    o = scale * S' q
 * with the parts that update_rule names. Columns of S (numbers of v) do not see each other, so a task is
 * a block of columns of one head over all tokens; it runs in f32. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernels/unary.h"
#include "ops/common.h"

enum { IN_Q, IN_K, IN_V, IN_PAST, IN_DECAY, IN_BETA };
enum { OUT_Y, OUT_STATE };
enum { COLUMNS = 64 };

struct attrs_linear {
    int64_t chunk_size, kv_num_heads, q_num_heads;
    float scale;
    struct str update_rule;
};

#define LINEAR_ATTRS \
    {"chunk_size", ATTR_INT, offsetof(struct attrs_linear, chunk_size), .i = 64}, \
    {"kv_num_heads", ATTR_INT, offsetof(struct attrs_linear, kv_num_heads), .required = true}, \
    {"q_num_heads", ATTR_INT, offsetof(struct attrs_linear, q_num_heads), .required = true}, \
    {"scale", ATTR_FLOAT, offsetof(struct attrs_linear, scale)}, \
    {"update_rule", ATTR_STRING, offsetof(struct attrs_linear, update_rule), .s = "gated_delta"}
static const struct attr linear_attrs[] = {
    LINEAR_ATTRS,
    {0},
};

/* ---- inference -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool decay, beta;
} rules[] = {{"linear", false, false}, {"gated", true, false}, {"delta", false, true}, {"gated_delta", true, true}};

static int check_attrs(const struct infer *c, struct err *e)
{
    const struct attrs_linear *at = c->attrs;
    size_t i = 0, n = sizeof rules / sizeof *rules;
    while (i < n && (at->update_rule.size != strlen(rules[i].name) ||
                     memcmp(at->update_rule.data, rules[i].name, at->update_rule.size) != 0))
        i++;
    if (i == n)
        return err_set(e, ERR_MODEL, "update_rule is none of linear, gated, delta, gated_delta");
    if (infer_has(c, IN_DECAY) != rules[i].decay || infer_has(c, IN_BETA) != rules[i].beta)
        return err_set(e, ERR_MODEL, "update_rule %s takes %s decay and %s beta", rules[i].name,
                       rules[i].decay ? "a" : "no", rules[i].beta ? "a" : "no");
    if (at->kv_num_heads < 1 || at->q_num_heads < 1 || at->q_num_heads % at->kv_num_heads != 0)
        return err_set(e, ERR_MODEL, "%lld query heads do not share %lld key heads",
                       (long long)at->q_num_heads, (long long)at->kv_num_heads);
    return 0;
}

static int check_types(struct infer *c, struct err *e)
{
    int rc = 0;
    for (int i = 0; i <= IN_BETA && rc == 0; i++) {
        if (i > IN_V && !infer_has(c, i))
            continue;
        rc = infer_dtypes(c, i, DT_FLOATS, e);
        if (rc == 0 && i != IN_PAST)
            rc = infer_same_dtype(c, 0, i, e);
        if (rc == 0 && infer_rank(c, i) >= 0 && infer_rank(c, i) != (i == IN_PAST ? 4 : 3))
            rc = err_set(e, ERR_MODEL, "input %d has rank %d, expected %d", i, infer_rank(c, i),
                         i == IN_PAST ? 4 : 3);
    }
    return rc;
}

static int heads_size(struct infer *c, int i, int64_t heads, int64_t *size, struct err *e)
{
    int64_t all = infer_dim(c, i, 2);
    if (sym_is_number(all) && all % heads != 0)
        return err_set(e, ERR_MODEL, "input %d: %lld numbers do not make %lld heads", i, (long long)all,
                       (long long)heads);
    *size = sym_floor_div(c->syms, all, heads);
    return 0;
}

/* Batch and tokens agree; the last dim is one of two. */
static int check_rows(struct infer *c, int i, int64_t a, int64_t b, struct err *e)
{
    if (infer_rank(c, i) < 0)
        return 0;
    int64_t last = infer_dim(c, i, 2);
    if (sym_differ(c->syms, infer_dim(c, i, 0), infer_dim(c, 0, 0)) ||
        sym_differ(c->syms, infer_dim(c, i, 1), infer_dim(c, 0, 1)))
        return err_set(e, ERR_MODEL, "input %d does not have the query's batch and tokens", i);
    if (sym_differ(c->syms, last, a) && sym_differ(c->syms, last, b))
        return err_set(e, ERR_MODEL, "the last dim of input %d does not fit the heads", i);
    return 0;
}

static int linear_infer(struct infer *c, struct err *e)
{
    const struct attrs_linear *at = c->attrs;
    int64_t dk = SYM_UNKNOWN, dv = SYM_UNKNOWN, kv = at->kv_num_heads;
    int rc = check_attrs(c, e);
    if (rc == 0)
        rc = check_types(c, e);
    if (rc < 0)
        return rc;
    enum dtype state = infer_dtype(c, infer_has(c, IN_PAST) ? IN_PAST : IN_Q);
    if (infer_rank(c, IN_Q) < 0 || infer_rank(c, IN_K) < 0 || infer_rank(c, IN_V) < 0) {
        rc = infer_unknown(c, OUT_Y, infer_dtype(c, IN_Q), e);
        return rc < 0 ? rc : infer_unknown(c, OUT_STATE, state, e);
    }
    rc = heads_size(c, IN_Q, at->q_num_heads, &dk, e);
    if (rc == 0)
        rc = heads_size(c, IN_V, kv, &dv, e);
    if (rc < 0)
        return rc;
    int64_t keys = sym_mul(c->syms, dk, kv), y[3] = {infer_dim(c, 0, 0), infer_dim(c, 0, 1)};
    int64_t s[4] = {y[0], kv, dk, dv};
    y[2] = sym_mul(c->syms, dv, at->q_num_heads);
    rc = check_rows(c, IN_K, keys, keys, e);
    if (rc == 0)
        rc = check_rows(c, IN_V, infer_dim(c, IN_V, 2), infer_dim(c, IN_V, 2), e);
    if (rc == 0 && infer_has(c, IN_DECAY))
        rc = check_rows(c, IN_DECAY, kv, keys, e);
    if (rc == 0 && infer_has(c, IN_BETA))
        rc = check_rows(c, IN_BETA, kv, 1, e);
    for (int k = 0; k < 4 && rc == 0 && infer_rank(c, IN_PAST) == 4; k++)
        if (sym_differ(c->syms, infer_dim(c, IN_PAST, k), s[k]))
            rc = err_set(e, ERR_MODEL, "dim %d of past_state does not fit the heads", k);
    if (rc == 0)
        rc = infer_set(c, OUT_Y, infer_dtype(c, IN_Q), 3, y, e);
    return rc < 0 ? rc : infer_set(c, OUT_STATE, state, 4, s, e);
}

/* ---- running ---------------------------------------------------------------------------------- */

struct sizes {
    int64_t batch, tokens, heads, group, dk, dv, blocks;
    float scale;
};

static struct sizes sizes_of(const struct call *c)
{
    const struct attrs_linear *at = c->attrs;
    const struct tensor *q = call_in(c, IN_Q), *v = call_in(c, IN_V);
    struct sizes s = {.batch = q->dims[0], .tokens = q->dims[1], .heads = at->kv_num_heads,
                      .group = at->q_num_heads / at->kv_num_heads, .dk = q->dims[2] / at->q_num_heads,
                      .dv = v->dims[2] / at->kv_num_heads};
    s.blocks = (s.dv + COLUMNS - 1) / COLUMNS;
    s.scale = at->scale != 0 ? at->scale : s.dk ? (float)(1 / sqrt((double)s.dk)) : 1;
    return s;
}

static int64_t linear_tasks(const struct call *c)
{
    struct sizes s = sizes_of(c);
    return s.batch * s.heads * s.blocks;
}

/* A task: columns [first, first + n) of head `head` in batch row `batch`. */
struct block {
    const struct call *c;
    struct sizes s;
    int64_t batch, head, first, n;
    float *state, *key, *decay;
};

/* The columns of S, and a key (or query) and its decay; returns the bytes of all. */
static size_t lay_out(struct block *b, struct parts p)
{
    b->state = parts_take(&p, (size_t)b->s.dk * COLUMNS, sizeof(float));
    b->key = parts_take(&p, (size_t)b->s.dk, sizeof(float));
    b->decay = parts_take(&p, (size_t)b->s.dk, sizeof(float));
    return p.bytes;
}

static size_t linear_scratch(const struct call *c, size_t *per_member)
{
    struct block b = {.c = c, .s = sizes_of(c)};
    *per_member = lay_out(&b, (struct parts){0});
    return 0;
}

static void load_decay(const struct block *b, int64_t token)
{
    const struct tensor *t = call_in(b->c, IN_DECAY);
    int64_t dk = b->s.dk, last = t->dims[2], row = (b->batch * b->s.tokens + token) * last;
    if (last == b->s.heads) {
        float v;
        elems_to_f32(t->dtype, t->data, row + b->head, 1, &v);
        for (int64_t i = 0; i < dk; i++)
            b->decay[i] = v;
    } else {
        elems_to_f32(t->dtype, t->data, row + b->head * dk, dk, b->decay);
    }
    unary_f32_pick(UNARY_EXP)(b->decay, b->decay, (size_t)dk, NULL);
    for (int64_t i = 0; i < dk; i++)
        for (int64_t j = 0; j < b->n; j++)
            b->state[i * COLUMNS + j] *= b->decay[i];
}

/* out = S' times `by`. */
static void read_state(const struct block *b, const float *by, float *out)
{
    memset(out, 0, COLUMNS * sizeof *out);
    for (int64_t i = 0; i < b->s.dk; i++)
        for (int64_t j = 0; j < b->n; j++)
            out[j] += b->state[i * COLUMNS + j] * by[i];
}

static void step(const struct block *b, int64_t token)
{
    const struct tensor *q = call_in(b->c, IN_Q), *k = call_in(b->c, IN_K), *v = call_in(b->c, IN_V);
    const struct tensor *beta = call_in(b->c, IN_BETA), *y = call_out(b->c, OUT_Y);
    const struct sizes *s = &b->s;
    int64_t at = b->batch * s->tokens + token;
    float value[COLUMNS], seen[COLUMNS], rate;
    elems_to_f32(k->dtype, k->data, (at * s->heads + b->head) * s->dk, s->dk, b->key);
    elems_to_f32(v->dtype, v->data, (at * s->heads + b->head) * s->dv + b->first, b->n, value);
    if (call_in(b->c, IN_DECAY))
        load_decay(b, token);
    if (beta) {
        elems_to_f32(beta->dtype, beta->data, at * beta->dims[2] + (beta->dims[2] == 1 ? 0 : b->head), 1, &rate);
        read_state(b, b->key, seen);
        for (int64_t j = 0; j < b->n; j++)
            value[j] = rate * (value[j] - seen[j]);
    }
    for (int64_t i = 0; i < s->dk; i++)
        for (int64_t j = 0; j < b->n; j++)
            b->state[i * COLUMNS + j] += b->key[i] * value[j];
    for (int64_t g = 0; g < s->group && y; g++) {
        int64_t place = at * s->heads * s->group + b->head * s->group + g;
        elems_to_f32(q->dtype, q->data, place * s->dk, s->dk, b->key);
        read_state(b, b->key, seen);
        for (int64_t j = 0; j < b->n; j++)
            seen[j] *= s->scale;
        elems_from_f32(y->dtype, y->data, place * s->dv + b->first, b->n, seen);
    }
}

static void run_block(struct block *b)
{
    const struct tensor *past = call_in(b->c, IN_PAST), *state = call_out(b->c, OUT_STATE);
    int64_t base = (b->batch * b->s.heads + b->head) * b->s.dk * b->s.dv + b->first;
    for (int64_t i = 0; i < b->s.dk; i++) {
        memset(b->state + i * COLUMNS, 0, COLUMNS * sizeof *b->state);
        if (past)
            elems_to_f32(past->dtype, past->data, base + i * b->s.dv, b->n, b->state + i * COLUMNS);
    }
    for (int64_t t = 0; t < b->s.tokens; t++)
        step(b, t);
    for (int64_t i = 0; i < b->s.dk && state; i++)
        elems_from_f32(state->dtype, state->data, base + i * b->s.dv, b->n, b->state + i * COLUMNS);
}

static int linear_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct block b = {.c = c, .s = sizes_of(c)};
    lay_out(&b, parts_member(c, member));
    for (int64_t t = begin; t < end; t++) {
        int64_t head = t / b.s.blocks;
        b.first = t % b.s.blocks * COLUMNS;
        b.n = b.s.dv - b.first < COLUMNS ? b.s.dv - b.first : COLUMNS;
        b.batch = head / b.s.heads;
        b.head = head % b.s.heads;
        run_block(&b);
    }
    return 0;
}

const struct op op_linearattention = {
    .domain = "", .name = "LinearAttention", .since = 27,
    .in_min = 3, .in_max = 6, .out_min = 1, .out_max = 2,
    .flags = OP_PURE,
    .attrs = linear_attrs, .attrs_size = sizeof(struct attrs_linear),
    .infer = linear_infer, .scratch = linear_scratch, .tasks = linear_tasks, .run = linear_run,
    .kernels = "unary",
};

/* ---- com.microsoft ----------------------------------------------------------------------------- */

struct attrs_windowed {
    struct attrs_linear common; /* first */
    int64_t state_window;
};

static int windowed_fix(struct node *n, struct err *e)
{
    int64_t window = ((const struct attrs_windowed *)n->attrs)->state_window;
    return window ? err_set(e, ERR_UNSUPPORTED, "a state_window of %lld", (long long)window) : 0;
}

static const struct attr windowed_attrs[] = {
    LINEAR_ATTRS,
    {"state_window", ATTR_INT, offsetof(struct attrs_windowed, state_window)},
    {NULL},
};

const struct op op_ms_linearattention = {
    .domain = "com.microsoft", .name = "LinearAttention", .since = 1,
    .in_min = 3, .in_max = 6, .out_min = 1, .out_max = 2,
    .flags = OP_PURE,
    .attrs = windowed_attrs, .attrs_size = sizeof(struct attrs_windowed), .fix = windowed_fix,
    .infer = linear_infer, .scratch = linear_scratch, .tasks = linear_tasks, .run = linear_run,
    .kernels = "unary",
};
