/* SPDX-License-Identifier: Apache-2.0 */
/* QLinearLeakyRelu, QLinearSigmoid (a table of 256 bytes each), QLinearSoftmax, QLinearConcat. */
#include <math.h>
#include <string.h>

#include "graph/attrs.h"
#include "ops/append.h"
#include "ops/contrib/qlinear.h"
#include "ops/layout.h"
#include "ops/span.h"

struct attrs_leaky {
    float alpha;
};

static int unary_infer(struct infer *c, struct err *e)
{
    int r = qlinear_infer(c, 0, 1, 2, e);
    if (r || (r = qlinear_infer(c, 0, 3, 4, e)))
        return r;
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int64_t unary_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static float leaky(float v, const void *attrs)
{
    return v >= 0 ? v : v * ((const struct attrs_leaky *)attrs)->alpha;
}

static float sigmoid(float v, const void *attrs)
{
    return (float)(1 / (1 + exp(-(double)v)));
}

static int table_run(struct call *c, int64_t begin, int64_t end, float (*fn)(float, const void *),
                     struct err *e)
{
    struct span s = span_out(c, begin, end, 1);
    const uint8_t *x = call_in(c, 0)->data;
    uint8_t *y = call_out(c, 0)->data, table[256];
    struct qlinear from, to;
    int r = qlinear_read(c, 0, 1, 2, &from, e);
    if (r || (r = qlinear_read(c, 0, 3, 4, &to, e)))
        return r;
    for (int i = 0; i < 256 && s.first < s.last; i++)
        table[i] = qlinear_byte(&to, fn(qlinear_value(&from, (uint8_t)i), c->attrs));
    for (int64_t i = s.first; i < s.last; i++)
        y[i] = table[x[i]];
    return 0;
}

static int leaky_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return table_run(c, begin, end, leaky, e);
}

static int sigmoid_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return table_run(c, begin, end, sigmoid, e);
}

/* ---- QLinearSoftmax -------------------------------------------------------------------------- */

struct attrs_qsoftmax {
    int64_t axis, opset;
};

static int softmax_infer(struct infer *c, struct err *e)
{
    const struct attrs_qsoftmax *a = c->attrs;
    int axis, r;
    if (infer_rank(c, 0) >= 0 && (r = infer_axis(a->axis, infer_rank(c, 0), &axis, e)))
        return r;
    return unary_infer(c, e);
}

/* Rows of n elements `step` apart; before opset 13 the dims from the axis on are one. */
static void softmax_shape(const struct call *c, int64_t *n, int64_t *step)
{
    const struct attrs_qsoftmax *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    int axis = (int)(a->axis < 0 ? a->axis + x->rank : a->axis);
    *step = a->opset < 13 ? 1 : dims_product(x->dims, axis + 1, x->rank);
    *n = a->opset < 13 ? dims_product(x->dims, axis, x->rank) : x->dims[axis];
}

static int64_t softmax_tasks(const struct call *c)
{
    int64_t n, step, count = tensor_count(call_in(c, 0));
    softmax_shape(c, &n, &step);
    return count ? tasks_for(count / n, 8 * n) : 1;
}

/* e[d] is what an element d below the row's maximum counts. The scale of x is positive in any model
 * that means something; where it is not, the table is still one of this row's largest byte. */
static void softmax_row(const uint8_t *x, uint8_t *y, int64_t n, int64_t step,
                        const struct qlinear *from, const struct qlinear *to,
                        const double e[256])
{
    int most = INT32_MIN;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        int v = qlinear_int(from, x[i * step]);
        most = v > most ? v : most;
    }
    for (int64_t i = 0; i < n; i++)
        sum += e[most - qlinear_int(from, x[i * step])];
    for (int64_t i = 0; i < n; i++)
        y[i * step] = qlinear_byte(to, (float)(e[most - qlinear_int(from, x[i * step])] / sum));
}

static int softmax_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    int64_t n, step, count = tensor_count(x);
    double table[256];
    struct qlinear from, to;
    int r = qlinear_read(c, 0, 1, 2, &from, e);
    if (r || (r = qlinear_read(c, 0, 3, 4, &to, e)) || count == 0)
        return r;
    softmax_shape(c, &n, &step);
    for (int i = 0; i < 256; i++)
        table[i] = exp(-i * (double)from.scale);
    struct span s = span_of(begin, end, softmax_tasks(c), count / n);
    for (int64_t i = s.first; i < s.last; i++) {
        int64_t at = i / step * n * step + i % step;
        softmax_row((const uint8_t *)x->data + at, (uint8_t *)call_out(c, 0)->data + at, n, step,
                    &from, &to, table);
    }
    return 0;
}

/* ---- QLinearConcat --------------------------------------------------------------------------- */

static int qconcat_infer(struct infer *c, struct err *e)
{
    int n = (c->n_in - 2) / 3, r;
    if ((c->n_in - 2) % 3 != 0)
        return err_set(e, ERR_MODEL, "%d inputs: not threes of a tensor, its scale and zero point",
                       c->n_in);
    const struct fact **in = arena_alloc(c->arena, (size_t)n * sizeof *in, e);
    if (!in)
        return ERR_MEMORY;
    if (!infer_has(c, 1))
        return err_set(e, ERR_MODEL, "the output's zero point is missing");
    if ((r = qlinear_infer(c, 1, 0, 1, e)))
        return r;
    for (int i = 0; i < n; i++) {
        int at = 2 + 3 * i;
        if (!infer_has(c, at) || !infer_has(c, at + 2))
            return err_set(e, ERR_MODEL, "input %d or its zero point is missing", at);
        if ((r = qlinear_infer(c, at, at + 1, at + 2, e)) || (r = infer_same_dtype(c, 1, at, e)))
            return r;
        in[i] = c->in[at];
    }
    struct infer one = *c;
    one.in = in;
    one.n_in = n;
    r = concat_infer(&one, e);
    c->late |= one.late;
    return r;
}

static int qconcat_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_concat *a = c->attrs;
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int axis = (int)(a->axis < 0 ? a->axis + y->rank : a->axis), n = (c->n_in - 2) / 3;
    int64_t inner = dims_product(y->dims, axis + 1, y->rank), row = y->dims[axis] * inner;
    int64_t before = 0;
    struct qlinear to, from;
    int r = qlinear_read(c, 1, 0, 1, &to, e);
    for (int i = 0; i < n && r == 0; i++) {
        const struct tensor *x = call_in(c, 2 + 3 * i);
        int64_t length = x->dims[axis] * inner;
        uint8_t table[256];
        if (before + length > row)
            return err_set(e, ERR_INPUT, "the inputs' dims do not add up to the output's");
        if ((r = qlinear_read(c, 2 + 3 * i, 3 + 3 * i, 4 + 3 * i, &from, e)))
            return r;
        qlinear_table(&from, &to, table);
        /* This input's part of every row that the span touches. */
        for (int64_t k = row ? s.first / row : 0; k * row < s.last; k++) {
            int64_t first = k * row + before, last = first + length;
            int64_t from_at = k * length - first;
            first = first > s.first ? first : s.first;
            last = last < s.last ? last : s.last;
            for (int64_t p = first; p < last; p++)
                ((uint8_t *)y->data)[p] = table[((const uint8_t *)x->data)[from_at + p]];
        }
        before += length;
    }
    return r;
}

static const struct attr leaky_attrs[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_leaky, alpha), .f = 0.01f},
    {NULL},
};
static const struct attr softmax_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_qsoftmax, axis), .i = -1},
    {"opset", ATTR_INT, offsetof(struct attrs_qsoftmax, opset), .required = true},
    {NULL},
};
static const struct attr qconcat_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_concat, axis), .required = true},
    {NULL},
};

const struct op op_ms_qlinearleakyrelu = {
    .domain = "com.microsoft", .name = "QLinearLeakyRelu", .since = 1,
    .in_min = 2, .in_max = 5, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = leaky_attrs, .attrs_size = sizeof(struct attrs_leaky),
    .infer = unary_infer, .tasks = unary_tasks, .run = leaky_run,
};

const struct op op_ms_qlinearsigmoid = {
    .domain = "com.microsoft", .name = "QLinearSigmoid", .since = 1,
    .in_min = 2, .in_max = 5, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = unary_infer, .tasks = unary_tasks, .run = sigmoid_run,
};

const struct op op_ms_qlinearsoftmax = {
    .domain = "com.microsoft", .name = "QLinearSoftmax", .since = 1,
    .in_min = 2, .in_max = 5, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = softmax_attrs, .attrs_size = sizeof(struct attrs_qsoftmax),
    .infer = softmax_infer, .tasks = softmax_tasks, .run = softmax_run,
};

const struct op op_ms_qlinearconcat = {
    .domain = "com.microsoft", .name = "QLinearConcat", .since = 1,
    .in_min = 5, .in_max = -1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = qconcat_attrs, .attrs_size = sizeof(struct attrs_concat),
    .infer = qconcat_infer, .tasks = unary_tasks, .run = qconcat_run,
};
