/* SPDX-License-Identifier: Apache-2.0 */
/* FlexAttention (ai.onnx.preview): attention whose scores and weights may each pass through a subgraph.
 * Three steps, with the tensor of scores between them: scores, softmax, product with V, all in double
 * a row and rounded to the type of the scores. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernels/softmax.h"
#include "ops/common.h"

enum { IN_Q, IN_K, IN_V };

struct attrs_flex {
    struct graph *score_mod, *prob_mod;
    int64_t softmax_precision;
    float scale;
};

static const struct attr flex_attrs[] = {
    {"score_mod", ATTR_GRAPH, offsetof(struct attrs_flex, score_mod)},
    {"prob_mod", ATTR_GRAPH, offsetof(struct attrs_flex, prob_mod)},
    {"softmax_precision", ATTR_INT, offsetof(struct attrs_flex, softmax_precision)},
    {"scale", ATTR_FLOAT, offsetof(struct attrs_flex, scale)},
    {0},
};

/* The type of the scores. */
static enum dtype score_type(const struct attrs_flex *at, enum dtype in)
{
    if (at->softmax_precision)
        return (enum dtype)at->softmax_precision;
    return in == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

/* ---- inference -------------------------------------------------------------------------------- */

static int infer_mod(struct infer *c, struct graph *g, enum dtype t, const int64_t *dims, struct err *e)
{
    struct fact in = {.type = {.kind = TYPE_TENSOR, .dtype = t, .rank = 4}}, out;
    if (!g || !c->graph)
        return 0;
    if (g->n_inputs != 1 || g->n_outputs != 1)
        return err_set(e, ERR_MODEL, "a modifier has %d inputs and %d outputs, expected 1 and 1", g->n_inputs,
                       g->n_outputs);
    for (int k = 0; k < 4; k++)
        in.type.dims[k] = sym_is_unknown(dims[k]) ? infer_fresh(c) : dims[k];
    return c->graph(c, g, &in, 1, &out, 1, e);
}

static int flex_infer(struct infer *c, struct err *e)
{
    const struct attrs_flex *at = c->attrs;
    int64_t p = at->softmax_precision, scores[4], y[4];
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++) {
        rc = infer_dtypes(c, i, DT_FLOATS, e);
        if (rc == 0)
            rc = infer_same_dtype(c, 0, i, e);
        if (rc == 0 && infer_rank(c, i) >= 0 && infer_rank(c, i) != 4)
            rc = err_set(e, ERR_MODEL, "input %d has rank %d, expected 4", i, infer_rank(c, i));
    }
    if (rc == 0 && p != 0 && p != DTYPE_F32 && p != DTYPE_F16 && p != DTYPE_F64 && p != DTYPE_BF16)
        rc = err_set(e, ERR_MODEL, "softmax_precision %lld is no float type", (long long)p);
    if (rc < 0)
        return rc;
    for (int k = 0; k < 4; k++)
        y[k] = scores[k] = infer_rank(c, IN_Q) == 4 ? infer_dim(c, IN_Q, k) : SYM_UNKNOWN;
    y[3] = infer_rank(c, IN_V) == 4 ? infer_dim(c, IN_V, 3) : SYM_UNKNOWN;
    scores[3] = infer_rank(c, IN_K) == 4 ? infer_dim(c, IN_K, 2) : SYM_UNKNOWN;
    rc = infer_mod(c, at->score_mod, score_type(at, infer_dtype(c, 0)), scores, e);
    if (rc == 0)
        rc = infer_mod(c, at->prob_mod, score_type(at, infer_dtype(c, 0)), scores, e);
    return rc < 0 ? rc : infer_set(c, 0, infer_dtype(c, 0), 4, y, e);
}

/* ---- rows ------------------------------------------------------------------------------------- */

struct job {
    const struct tensor *q, *k, *v;
    struct tensor *scores, *y;
    double scale;
    int64_t rows, tasks;
    double *room; /* `each` doubles a member */
    size_t each;
};

/* The head of K and V that row `row` of [batch, heads, rows] reads, and its keys. */
static int64_t kv_head(const struct job *j, int64_t row)
{
    int64_t head = row / j->q->dims[2], heads = j->q->dims[1], shared = j->k->dims[1];
    return head / heads * shared + head % heads / (heads / shared);
}

static int score_rows(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    int64_t from, to, last, size = j->q->dims[3], keys = j->k->dims[2];
    double *q = j->room + (size_t)member * j->each, *k = q + size, *s = k + size;
    task_range(begin, j->tasks, j->rows, &from, &last);
    task_range(end - 1, j->tasks, j->rows, &last, &to);
    for (int64_t row = from; row < to; row++) {
        int64_t head = kv_head(j, row) * keys;
        elems_to_f64(j->q->dtype, j->q->data, row * size, size, q);
        for (int64_t i = 0; i < keys; i++) {
            double sum = 0;
            elems_to_f64(j->k->dtype, j->k->data, (head + i) * size, size, k);
            for (int64_t d = 0; d < size; d++)
                sum += q[d] * k[d];
            s[i] = sum * j->scale;
        }
        elems_from_f64(j->scores->dtype, j->scores->data, row * keys, keys, s);
    }
    return 0;
}

static int softmax_rows(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    int64_t from, to, last, keys = j->k->dims[2];
    double *s = j->room + (size_t)member * j->each;
    task_range(begin, j->tasks, j->rows, &from, &last);
    task_range(end - 1, j->tasks, j->rows, &last, &to);
    for (int64_t row = from; row < to && keys; row++) {
        elems_to_f64(j->scores->dtype, j->scores->data, row * keys, keys, s);
        softmax_f64_axis(s, s, (size_t)keys, 1, 0, 1, false);
        elems_from_f64(j->scores->dtype, j->scores->data, row * keys, keys, s);
    }
    return 0;
}

static int value_rows(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    int64_t from, to, last, keys = j->k->dims[2], size = j->v->dims[3];
    double *v = j->room + (size_t)member * j->each, *out = v + size, *s = out + size;
    task_range(begin, j->tasks, j->rows, &from, &last);
    task_range(end - 1, j->tasks, j->rows, &last, &to);
    for (int64_t row = from; row < to; row++) {
        int64_t head = kv_head(j, row) * keys;
        elems_to_f64(j->scores->dtype, j->scores->data, row * keys, keys, s);
        memset(out, 0, (size_t)size * sizeof *out);
        for (int64_t i = 0; i < keys; i++) {
            elems_to_f64(j->v->dtype, j->v->data, (head + i) * size, size, v);
            for (int64_t d = 0; d < size; d++)
                out[d] += s[i] * v[d];
        }
        elems_from_f64(j->y->dtype, j->y->data, row * size, size, out);
    }
    return 0;
}

/* ---- the node --------------------------------------------------------------------------------- */

static int check_dims(const struct job *j, struct err *e)
{
    const int64_t *q = j->q->dims, *k = j->k->dims, *v = j->v->dims;
    if (k[0] != q[0] || v[0] != q[0] || k[3] != q[3] || v[1] != k[1] || v[2] != k[2])
        return err_set(e, ERR_INPUT, "the dims of Q, K and V do not agree");
    if (k[1] < 1 || q[1] % k[1] != 0)
        return err_set(e, ERR_INPUT, "%lld query heads do not share %lld key heads", (long long)q[1],
                       (long long)k[1]);
    return 0;
}

/* Pass the scores through a subgraph; what comes out is taken in their place. */
static int modify(struct call *c, int which, struct value *scores, struct err *e)
{
    struct value out = {0};
    enum dtype dtype = scores->tensor.dtype;
    int64_t dims[4];
    memcpy(dims, scores->tensor.dims, sizeof dims);
    int rc = call_graph(c, which, scores, 1, &out, 1, e);
    value_clear(scores);
    if (rc < 0)
        return rc;
    *scores = out;
    if (out.kind != VALUE_TENSOR || out.tensor.dtype != dtype || out.tensor.rank != 4 ||
        memcmp(out.tensor.dims, dims, sizeof dims) != 0)
        return err_set(e, ERR_MODEL, "a modifier changes the shape or type of the scores");
    /* They are overwritten next, so nobody else may hold them. */
    if (out.tensor.buffer && atomic_load(&out.tensor.buffer->refs) == 1)
        return 0;
    rc = tensor_copy(&scores->tensor, &out.tensor, c->budget, e);
    if (rc < 0)
        scores->kind = VALUE_NONE;
    value_clear(&out);
    return rc;
}

static int attend(struct call *c, struct job *j, struct value *scores, struct err *e)
{
    const struct attrs_flex *at = c->attrs;
    int rc = 0;
    j->scores = &scores->tensor;
    if (j->rows)
        rc = call_tasks(c, j->tasks, score_rows, j, e);
    if (rc == 0 && at->score_mod)
        rc = modify(c, 0, scores, e);
    if (rc == 0 && j->rows)
        rc = call_tasks(c, j->tasks, softmax_rows, j, e);
    if (rc == 0 && at->prob_mod)
        rc = modify(c, at->score_mod ? 1 : 0, scores, e);
    if (rc == 0 && j->rows)
        rc = call_tasks(c, j->tasks, value_rows, j, e);
    return rc;
}

static int flex_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_flex *at = c->attrs;
    struct job j = {.q = call_in(c, IN_Q), .k = call_in(c, IN_K), .v = call_in(c, IN_V)};
    struct value scores = {0};
    int rc = check_dims(&j, e);
    if (rc < 0)
        return rc;
    int64_t dims[4] = {j.q->dims[0], j.q->dims[1], j.q->dims[2], j.k->dims[2]};
    int64_t y[4] = {dims[0], dims[1], dims[2], j.v->dims[3]}, most = j.q->dims[3] > y[3] ? j.q->dims[3] : y[3];
    size_t bytes;
    j.scale = at->scale != 0 ? at->scale : j.q->dims[3] ? 1 / sqrt((double)j.q->dims[3]) : 1;
    j.rows = dims[0] * dims[1] * dims[2];
    j.tasks = tasks_for(j.rows, dims[3] * (most + 1));
    j.each = 2 * (size_t)most + (size_t)dims[3];
    rc = call_output(c, 0, j.q->dtype, 4, y, e);
    j.y = call_out(c, 0);
    if (rc < 0 || !j.y)
        return rc;
    if (!size_mul(j.each * sizeof(double), (size_t)team_size(c->team), &bytes))
        return err_set(e, ERR_LIMIT, "the rows are too long");
    rc = tensor_new(&scores.tensor, c->budget, score_type(at, j.q->dtype), 4, dims, e);
    if (rc < 0)
        return rc;
    scores.kind = VALUE_TENSOR;
    j.room = mem_alloc(c->budget, bytes, e);
    rc = j.room ? attend(c, &j, &scores, e) : e ? e->code : ERR_MEMORY;
    mem_free(j.room);
    value_clear(&scores);
    return rc;
}

const struct op op_flexattention = {
    .domain = "ai.onnx.preview", .name = "FlexAttention", .since = 1,
    .in_min = 3, .in_max = 3, .out_min = 1, .out_max = 1,
    .flags = OP_DYNAMIC | OP_LEADER | OP_HOST, .host_in = ~0u,
    .attrs = flex_attrs, .attrs_size = sizeof(struct attrs_flex),
    .infer = flex_infer, .run = flex_run,
    .kernels = "softmax",
};
