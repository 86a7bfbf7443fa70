/* SPDX-License-Identifier: Apache-2.0 */
/* QLinearAveragePool, QLinearGlobalAveragePool, NhwcMaxPool, QLinearReduceMean,
 * ReduceSumInteger: sums and maxima of bytes. Sums are exact integers, scaled and rounded once.
 * With channels_last the channel is the innermost dim; a plane's pixels are then `channels`
 * apart.
 */
#include <string.h>

#include "graph/attrs.h"
#include "ops/contrib/qlinear.h"
#include "ops/span.h"
#include "ops/window.h"

struct attrs_qpool {
    struct attrs_pool pool;
    int64_t channels_last;
};

/* ---- windows --------------------------------------------------------------------------------- */

static int window_infer(struct infer *c, bool last, struct err *e)
{
    const struct attrs_pool *a = &((const struct attrs_qpool *)c->attrs)->pool;
    struct window_lists lists = WINDOW_LISTS(a);
    int64_t dims[TENSOR_RANK_MAX], out[TENSOR_RANK_MAX];
    struct window w;
    int rank = infer_rank(c, 0), r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if ((r = window_read(&w, &lists, rank - 2, NULL, e)))
        return r;
    w.ceil = a->ceil_mode != 0;
    window_channels_first(c->in[0]->type.dims, rank, last, dims);
    if ((r = window_size(&w, c->syms, dims + 2, e)))
        return r;
    memcpy(dims + 2, window_out(&w), (size_t)w.rank * sizeof *dims);
    window_channels_back(dims, rank, last, out);
    return infer_set(c, 0, infer_dtype(c, 0), rank, out, e);
}

static int average_infer(struct infer *c, struct err *e)
{
    const struct attrs_qpool *a = c->attrs;
    int r = qlinear_infer(c, 0, 1, 2, e);
    if (r || (r = qlinear_infer(c, 0, 3, 4, e)))
        return r;
    return window_infer(c, a->channels_last != 0, e);
}

static int nhwc_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_BYTES, e);
    return r ? r : window_infer(c, true, e);
}

/* A plane is one channel of one image; `step` is the distance of its pixels. */
struct pool {
    struct window w;
    int64_t planes, channels, in, out, step;
    bool max, count_pad, last;
    struct qlinear x, y;
};

static int pool_init(struct pool *p, const struct call *c, struct err *e)
{
    const struct attrs_qpool *q = c->attrs;
    const struct attrs_pool *a = &q->pool;
    const struct tensor *x = call_in(c, 0);
    struct window_lists lists = WINDOW_LISTS(a);
    int64_t dims[TENSOR_RANK_MAX];
    *p = (struct pool){.max = c->op->name[0] == 'N', .count_pad = a->count_include_pad != 0};
    p->last = p->max || q->channels_last;
    window_channels_first(x->dims, x->rank, p->last, dims);
    int r = window_read(&p->w, &lists, x->rank - 2, NULL, e);
    if (r)
        return r;
    p->w.ceil = a->ceil_mode != 0;
    if ((r = window_size(&p->w, NULL, dims + 2, e)))
        return r;
    window_place(&p->w);
    if (tensor_count(call_out(c, 0)) == 0)
        return 0;
    p->channels = dims[1];
    p->planes = dims[0] * dims[1];
    p->in = window_product(p->w.in);
    p->out = window_product(p->w.out);
    p->step = p->last ? p->channels : 1;
    p->x.is_signed = x->dtype == DTYPE_I8;
    if (p->max)
        return 0;
    r = qlinear_read(c, 0, 1, 2, &p->x, e);
    return r ? r : qlinear_read(c, 0, 3, 4, &p->y, e);
}

static int64_t pool_tasks(const struct call *c)
{
    struct pool p;
    int64_t cost;
    if (pool_init(&p, c, NULL) != 0)
        return 1;
    if (__builtin_mul_overflow(p.out, p.w.kernel[1] * p.w.kernel[2], &cost) ||
        __builtin_mul_overflow(cost, p.w.kernel[0], &cost))
        cost = INT64_MAX;
    return tasks_for(p.planes, cost);
}

/* One window: the sum of its elements less the zero point, or their maximum; `taps` of them. */
static int64_t window_value(const struct pool *p, const uint8_t *x, const int64_t at[3],
                            int64_t *taps)
{
    const struct window *w = &p->w;
    struct window_reach r[3];
    int64_t value = p->max ? INT8_MIN * (int64_t)p->x.is_signed : 0, zero = (int64_t)p->x.zero;
    *taps = 1;
    for (int i = 0; i < 3; i++) {
        r[i] = window_reach(w, i, at[i]);
        *taps *= p->count_pad ? window_padded_taps(w, i, at[i])
                              : r[i].to > r[i].from ? r[i].to - r[i].from : 0;
    }
    for (int64_t z = r[0].from; z < r[0].to; z++)
        for (int64_t y = r[1].from; y < r[1].to; y++) {
            int64_t line = (r[0].first + z * w->dilation[0]) * w->in[1] + r[1].first +
                           y * w->dilation[1];
            for (int64_t k = r[2].from; k < r[2].to; k++) {
                int64_t pixel = line * w->in[2] + r[2].first + k * w->dilation[2];
                int v = qlinear_int(&p->x, x[pixel * p->step]);
                value = !p->max ? value + v - zero : v > value ? v : value;
            }
        }
    return value;
}

static void pool_plane(const struct pool *p, const uint8_t *x, uint8_t *y)
{
    const struct window *w = &p->w;
    int64_t at[3], taps;
    for (at[0] = 0; at[0] < w->out[0]; at[0]++)
        for (at[1] = 0; at[1] < w->out[1]; at[1]++)
            for (at[2] = 0; at[2] < w->out[2]; at[2]++, y += p->step) {
                int64_t v = window_value(p, x, at, &taps);
                if (p->max)
                    *y = (uint8_t)v;
                else
                    *y = qlinear_byte(&p->y, taps ? (float)((double)v * (double)p->x.scale /
                                                            (double)taps)
                                                  : 0);
            }
}

static int pool_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct pool p;
    int r = pool_init(&p, c, e);
    if (r || p.planes == 0)
        return r;
    struct span s = span_of(begin, end, pool_tasks(c), p.planes);
    for (int64_t i = s.first; i < s.last; i++) {
        int64_t image = i / p.channels, channel = i % p.channels;
        int64_t x = p.last ? image * p.in * p.channels + channel : i * p.in;
        int64_t y = p.last ? image * p.out * p.channels + channel : i * p.out;
        pool_plane(&p, (const uint8_t *)call_in(c, 0)->data + x,
                   (uint8_t *)call_out(c, 0)->data + y);
    }
    return 0;
}

/* ---- QLinearGlobalAveragePool ---------------------------------------------------------------- */

struct attrs_global {
    int64_t channels_last;
};

static int global_infer(struct infer *c, struct err *e)
{
    const struct attrs_global *a = c->attrs;
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), r = qlinear_infer(c, 0, 1, 2, e);
    if (r || (r = qlinear_infer(c, 0, 3, 4, e)))
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank < 3)
        return err_set(e, ERR_MODEL, "the input has rank %d, less than 3", rank);
    for (int i = 0; i < rank; i++)
        dims[i] = i == 0 || i == (a->channels_last ? rank - 1 : 1) ? infer_dim(c, 0, i) : 1;
    return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

/* The mean of n bytes `step` apart. */
static uint8_t mean(const struct qlinear *from, const struct qlinear *to, const uint8_t *x,
                    int64_t n, int64_t step)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += qlinear_int(from, x[i * step]);
    sum -= n * (int64_t)from->zero;
    return qlinear_byte(to, n ? (float)((double)sum * (double)from->scale / (double)n) : 0);
}

static int64_t global_size(const struct call *c)
{
    int64_t outs = tensor_count(call_out(c, 0));
    return outs ? tensor_count(call_in(c, 0)) / outs : 0;
}

static int64_t global_tasks(const struct call *c)
{
    return tasks_for(tensor_count(call_out(c, 0)), global_size(c) + 1);
}

static int global_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_global *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    int64_t n = global_size(c), outs = tensor_count(call_out(c, 0));
    int64_t channels = a->channels_last ? x->dims[x->rank - 1] : 1;
    struct span s = span_of(begin, end, global_tasks(c), outs);
    struct qlinear from, to;
    int r = qlinear_read(c, 0, 1, 2, &from, e);
    if (r || (r = qlinear_read(c, 0, 3, 4, &to, e)))
        return r;
    for (int64_t i = s.first; i < s.last; i++) {
        int64_t at = i / channels * n * channels + i % channels;
        ((uint8_t *)call_out(c, 0)->data)[i] =
            mean(&from, &to, (const uint8_t *)x->data + at, n, channels);
    }
    return 0;
}

/* ---- QLinearReduceMean, ReduceSumInteger ----------------------------------------------------- */

struct attrs_qreduce {
    struct ints axes;
    int64_t keepdims;
};

/* The axes as bits; none given is all. */
static int read_axes(const struct attrs_qreduce *a, int rank, unsigned *mask, struct err *e)
{
    *mask = a->axes.n == 0 ? (1u << rank) - 1 : 0;
    for (int64_t i = 0; i < a->axes.n; i++) {
        int axis, r = infer_axis(a->axes.v[i], rank, &axis, e);
        if (r)
            return r;
        *mask |= 1u << axis;
    }
    return 0;
}

static int reduce_infer(struct infer *c, enum dtype to, struct err *e)
{
    const struct attrs_qreduce *a = c->attrs;
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), n = 0;
    unsigned mask;
    if (rank < 0)
        return infer_unknown(c, 0, to, e);
    int r = read_axes(a, rank, &mask, e);
    if (r)
        return r;
    for (int i = 0; i < rank; i++)
        if (!(mask >> i & 1))
            dims[n++] = infer_dim(c, 0, i);
        else if (a->keepdims)
            dims[n++] = 1;
    return infer_set(c, 0, to, n, dims, e);
}

static int mean_infer(struct infer *c, struct err *e)
{
    int r = qlinear_infer(c, 0, 1, 2, e);
    if (r || (r = qlinear_infer(c, 0, 3, 4, e)))
        return r;
    return reduce_infer(c, infer_dtype(c, 0), e);
}

static int sum_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_BYTES, e);
    return r ? r : reduce_infer(c, infer_dtype(c, 0) == DTYPE_I8 ? DTYPE_I32 : DTYPE_U32, e);
}

static int64_t reduce_tasks(const struct call *c)
{
    return tasks_for(tensor_count(call_out(c, 0)), 2 * global_size(c) + 1);
}

/* The sum of the elements of x that output i is reduced from, dim by dim. */
static int64_t reduced_sum(const struct tensor *x, unsigned mask, const struct qlinear *q,
                           int64_t i, int64_t count)
{
    int64_t place = 0, stride = 1, sum = 0;
    for (int d = x->rank - 1; d >= 0; d--) {
        if (!(mask >> d & 1)) {
            place += i % x->dims[d] * stride;
            i /= x->dims[d];
        }
        stride *= x->dims[d];
    }
    for (int64_t k = 0; k < count; k++) {
        int64_t at = place, left = k, step = 1;
        for (int d = x->rank - 1; d >= 0; d--) {
            if (mask >> d & 1) {
                at += left % x->dims[d] * step;
                left /= x->dims[d];
            }
            step *= x->dims[d];
        }
        sum += qlinear_int(q, ((const uint8_t *)x->data)[at]);
    }
    return sum;
}

static int reduce_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_of(begin, end, reduce_tasks(c), tensor_count(y));
    struct qlinear from = {.is_signed = x->dtype == DTYPE_I8}, to;
    bool is_mean = c->op->name[0] == 'Q';
    int64_t n = global_size(c);
    unsigned mask;
    int r = read_axes(c->attrs, x->rank, &mask, e);
    if (r || (is_mean && ((r = qlinear_read(c, 0, 1, 2, &from, e)) ||
                          (r = qlinear_read(c, 0, 3, 4, &to, e)))))
        return r;
    for (int64_t i = s.first; i < s.last; i++) {
        int64_t sum = reduced_sum(x, mask, &from, i, n);
        if (!is_mean) {
            ((uint32_t *)y->data)[i] = (uint32_t)sum;
            continue;
        }
        double v = (double)(sum - n * (int64_t)from.zero) * (double)from.scale;
        ((uint8_t *)y->data)[i] = qlinear_byte(&to, n ? (float)(v / (double)n) : 0);
    }
    return 0;
}

#define POOL_ATTR(name, kind) {#name, kind, offsetof(struct attrs_qpool, pool.name)}
static const struct attr average_attrs[] = {
    {"auto_pad", ATTR_STRING, offsetof(struct attrs_qpool, pool.auto_pad), .s = "NOTSET"},
    POOL_ATTR(kernel_shape, ATTR_INTS),
    POOL_ATTR(strides, ATTR_INTS),
    POOL_ATTR(pads, ATTR_INTS),
    POOL_ATTR(ceil_mode, ATTR_INT),
    POOL_ATTR(count_include_pad, ATTR_INT),
    {"channels_last", ATTR_INT, offsetof(struct attrs_qpool, channels_last)},
    {NULL},
};
static const struct attr nhwc_attrs[] = {
    {"auto_pad", ATTR_STRING, offsetof(struct attrs_qpool, pool.auto_pad), .s = "NOTSET"},
    POOL_ATTR(kernel_shape, ATTR_INTS),
    POOL_ATTR(strides, ATTR_INTS),
    POOL_ATTR(pads, ATTR_INTS),
    POOL_ATTR(dilations, ATTR_INTS),
    POOL_ATTR(ceil_mode, ATTR_INT),
    {NULL},
};
static const struct attr global_attrs[] = {
    {"channels_last", ATTR_INT, offsetof(struct attrs_global, channels_last)},
    {NULL},
};
static const struct attr reduce_attrs[] = {
    {"axes", ATTR_INTS, offsetof(struct attrs_qreduce, axes)},
    {"keepdims", ATTR_INT, offsetof(struct attrs_qreduce, keepdims), .i = 1},
    {NULL},
};

const struct op op_ms_qlinearaveragepool = {
    .domain = "com.microsoft", .name = "QLinearAveragePool", .since = 1,
    .in_min = 2, .in_max = 5, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = average_attrs, .attrs_size = sizeof(struct attrs_qpool),
    .infer = average_infer, .tasks = pool_tasks, .run = pool_run,
};

const struct op op_ms_nhwcmaxpool = {
    .domain = "com.microsoft", .name = "NhwcMaxPool", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = nhwc_attrs, .attrs_size = sizeof(struct attrs_qpool),
    .infer = nhwc_infer, .tasks = pool_tasks, .run = pool_run,
};

const struct op op_ms_qlinearglobalaveragepool = {
    .domain = "com.microsoft", .name = "QLinearGlobalAveragePool", .since = 1,
    .in_min = 5, .in_max = 5, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = global_attrs, .attrs_size = sizeof(struct attrs_global),
    .infer = global_infer, .tasks = global_tasks, .run = global_run,
};

const struct op op_ms_qlinearreducemean = {
    .domain = "com.microsoft", .name = "QLinearReduceMean", .since = 1,
    .in_min = 2, .in_max = 5, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = reduce_attrs, .attrs_size = sizeof(struct attrs_qreduce),
    .infer = mean_infer, .tasks = reduce_tasks, .run = reduce_run,
};

const struct op op_ms_reducesuminteger = {
    .domain = "com.microsoft", .name = "ReduceSumInteger", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = reduce_attrs, .attrs_size = sizeof(struct attrs_qreduce),
    .infer = sum_infer, .tasks = reduce_tasks, .run = reduce_run,
};
