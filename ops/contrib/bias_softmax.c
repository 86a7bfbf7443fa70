/* SPDX-License-Identifier: Apache-2.0 */
/* BiasSoftmax: softmax(data + bias) over the dims from the axis on as one row. The bias has fewer
 * rows: each serves a run of neighbouring rows (is_inner_broadcast), or they are gone through again
 * and again. BiasDropout: Dropout(data + bias) + residual, in inference.
 */
#include <math.h>
#include <string.h>

#include "kernels/binary.h"
#include "kernels/softmax.h"
#include "ops/span.h"

struct softmax_attrs {
    int64_t axis, is_inner_broadcast;
};

static int softmax_infer(struct infer *c, struct err *e)
{
    const struct softmax_attrs *a = c->attrs;
    int axis, rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)))
        return r;
    if (rank >= 0 && (r = infer_axis(a->axis, rank, &axis, e)))
        return r;
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

/* Rows of n; `bias` of them in the bias. */
struct rows {
    int64_t n, count, bias;
};

static int rows_of(const struct call *c, struct rows *s, struct err *e)
{
    const struct softmax_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *bias = call_in(c, 1);
    int axis, r = infer_axis(a->axis, x->rank, &axis, e);
    if (r)
        return r;
    s->n = dims_product(x->dims, axis, x->rank);
    s->count = dims_product(x->dims, 0, axis);
    s->bias = s->n ? tensor_count(bias) / s->n : 0;
    if (tensor_count(x) == 0)
        s->count = 0;
    else if (tensor_count(bias) % s->n != 0 || s->bias == 0 || s->count % s->bias != 0)
        return err_set(e, ERR_INPUT, "a bias of %lld elements for %lld rows of %lld",
                       (long long)tensor_count(bias), (long long)s->count, (long long)s->n);
    return 0;
}

enum { SOFTMAX_COST = 4 };

static int64_t softmax_tasks(const struct call *c)
{
    struct rows s;
    return rows_of(c, &s, NULL) ? 1 : tasks_for(s.count, s.n * SOFTMAX_COST);
}

static size_t softmax_scratch(const struct call *c, size_t *per_member)
{
    struct rows s;
    if (rows_of(c, &s, NULL) == 0)
        *per_member = (size_t)s.n * 2 * sizeof(double);
    return 0;
}

static void row_f64(const double *x, const double *bias, double *y, int64_t n)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] + bias[i];
        most = y[i] > most || isnan(y[i]) ? y[i] : most;
    }
    for (int64_t i = 0; i < n; i++)
        sum += y[i] = exp(y[i] - most);
    for (int64_t i = 0; i < n; i++)
        y[i] /= sum;
}

static int softmax_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct softmax_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *bias = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct rows s;
    int r = rows_of(c, &s, e);
    if (r || s.count == 0)
        return r;
    struct span rows = span_of(begin, end, softmax_tasks(c), s.count);
    float *v = call_member_scratch(c, member), *w = v + s.n;
    for (int64_t row = rows.first; row < rows.last; row++) {
        int64_t from = a->is_inner_broadcast ? row / (s.count / s.bias) : row % s.bias;
        if (x->dtype == DTYPE_F64) {
            row_f64(tensor_at(x, row * s.n), tensor_at(bias, from * s.n), tensor_at(y, row * s.n),
                    s.n);
            continue;
        }
        elems_to_f32(x->dtype, x->data, row * s.n, s.n, v);
        elems_to_f32(x->dtype, bias->data, from * s.n, s.n, w);
        binary_f32_pick(BINARY_ADD)(v, w, 0, v, (size_t)s.n);
        softmax_f32_pick()->rows(v, v, 1, (size_t)s.n, false);
        elems_from_f32(y->dtype, y->data, row * s.n, s.n, v);
    }
    return 0;
}

static const struct attr softmax_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct softmax_attrs, axis), .i = 1},
    {"is_inner_broadcast", ATTR_INT, offsetof(struct softmax_attrs, is_inner_broadcast),
     .required = true},
    {NULL},
};

const struct op op_ms_biassoftmax = {
    .domain = "com.microsoft", .name = "BiasSoftmax", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT,
    .attrs = softmax_attr_rows, .attrs_size = sizeof(struct softmax_attrs),
    .infer = softmax_infer, .scratch = softmax_scratch, .tasks = softmax_tasks, .run = softmax_run,
    .kernels = "binary softmax",
};

/* ---- BiasDropout ----------------------------------------------------------------------------- */

struct dropout_attrs {
    int64_t seed;
};

/* Input i has input 0's dims, or its last one alone. */
static int check_like(struct infer *c, int i, bool row, struct err *e)
{
    int rank = infer_rank(c, 0), own = infer_rank(c, i);
    int r = infer_has(c, i) ? infer_same_dtype(c, 0, i, e) : 0;
    if (r || rank < 0 || own < 0)
        return r;
    bool good = own == rank || (row && own == 1 && rank > 0);
    for (int k = 0; good && k < own; k++)
        good = !sym_differ(c->syms, infer_dim(c, i, k), infer_dim(c, 0, rank - own + k));
    return good ? 0 : err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "input %d has unfitting dims", i);
}

static int dropout_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = check_like(c, 1, true, e)) || (r = check_like(c, 2, false, e)))
        return r;
    if (infer_has(c, 3) && (r = infer_dtypes(c, 3, DT_FLOATS, e)))
        return r;
    if (infer_has(c, 4) && (r = infer_dtypes(c, 4, DT(BOOL), e)))
        return r;
    r = infer_like(c, 0, 0, infer_dtype(c, 0), e);
    return r ? r : infer_like(c, 1, 0, DTYPE_BOOL, e);
}

static int64_t dropout_tasks(const struct call *c)
{
    return span_tasks(c, 2);
}

static int dropout_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *bias = call_in(c, 1), *residual = call_in(c, 2);
    const struct tensor *ratio = call_in(c, 3), *training = call_in(c, 4);
    struct tensor *y = call_out(c, 0), *mask = call_out(c, 1);
    struct span s = span_out(c, begin, end, 2);
    double v[CHUNK_ELEMS], w[CHUNK_ELEMS];
    if ((training && tensor_count(training) != 1) || (ratio && tensor_count(ratio) != 1))
        return err_set(e, ERR_INPUT, "ratio and training_mode must have one element");
    if (training && *(const uint8_t *)training->data && (!ratio || tensor_float(ratio, 0) != 0))
        return err_set(e, ERR_UNSUPPORTED, "training_mode is not supported");
    for (int64_t i = s.first, n; i < s.last; i += n) {
        int64_t width = tensor_count(bias), col = i % width;
        n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        n = n < width - col ? n : width - col;
        elems_to_f64(x->dtype, x->data, i, n, v);
        elems_to_f64(x->dtype, bias->data, col, n, w);
        binary_f64_pick(BINARY_ADD)(v, w, 0, v, (size_t)n);
        if (residual) {
            elems_to_f64(x->dtype, residual->data, i, n, w);
            binary_f64_pick(BINARY_ADD)(v, w, 0, v, (size_t)n);
        }
        elems_from_f64(y->dtype, y->data, i, n, v);
        if (mask)
            memset(tensor_at(mask, i), 1, (size_t)n);
    }
    return 0;
}

static const struct attr dropout_attr_rows[] = {
    {"seed", ATTR_INT, offsetof(struct dropout_attrs, seed)},
    {NULL},
};

const struct op op_ms_biasdropout = {
    .domain = "com.microsoft", .name = "BiasDropout", .since = 1,
    .in_min = 2, .in_max = 5, .out_min = 1, .out_max = 2, .host_in = 8 | 16,
    .attrs = dropout_attr_rows, .attrs_size = sizeof(struct dropout_attrs),
    .infer = dropout_infer, .tasks = dropout_tasks, .run = dropout_run,
    .kernels = "binary softmax",
};
