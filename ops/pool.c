/* SPDX-License-Identifier: Apache-2.0 */
/* MaxPool, AveragePool, LpPool. A plane is one channel of one image; tasks are runs of planes. f32
 * with one or two spatial dims runs on kernels/pool.h; the rest on plain loops, f16 and bf16
 * widened a plane at a time. A NaN in a window is its maximum; a window without elements has
 * maximum -infinity (the least integer), index -1, average and norm 0.
 */
#include <math.h>
#include <string.h>

#include "graph/attrs.h"
#include "kernels/pool.h"
#include "ops/window.h"

/* p was a float in version 1. */
struct lppool_attrs {
    struct attrs_pool pool;
    float p1;
};

static int pool_infer(struct infer *c, uint32_t dtypes, struct err *e)
{
    const struct attrs_pool *a = c->attrs;
    struct window_lists lists = WINDOW_LISTS(a);
    int64_t dims[TENSOR_RANK_MAX];
    struct window w;
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, dtypes, e);
    if (r)
        return r;
    if (rank < 0) {
        if ((r = infer_unknown(c, 0, infer_dtype(c, 0), e)))
            return r;
        return infer_unknown(c, 1, DTYPE_I64, e);
    }
    if ((r = window_read(&w, &lists, rank - 2, NULL, e)))
        return r;
    w.ceil = a->ceil_mode != 0;
    memcpy(dims, c->in[0]->type.dims, 2 * sizeof *dims);
    if ((r = window_size(&w, c->syms, c->in[0]->type.dims + 2, e)))
        return r;
    memcpy(dims + 2, window_out(&w), (size_t)w.rank * sizeof *dims);
    if ((r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e)))
        return r;
    return infer_set(c, 1, DTYPE_I64, rank, dims, e);
}

static int maxpool_infer(struct infer *c, struct err *e)
{
    return pool_infer(c, DT_FLOATS | DT(I8) | DT(U8), e);
}

static int floatpool_infer(struct infer *c, struct err *e)
{
    return pool_infer(c, DT_FLOATS, e);
}

/* ---- plain loops ----------------------------------------------------------------------------- */

/* What a call's planes share. */
struct pool {
    struct window w;
    enum dtype dtype;
    int64_t planes, in, out;
    bool columns;   /* MaxPool: indices run down the columns */
    bool count_pad; /* AveragePool */
    double p;       /* LpPool */
};

static void each_window(const struct pool *p,
                        void (*fn)(const struct pool *p, const void *x, void *y, int64_t *index,
                                   const struct window_reach r[3], const int64_t at[3],
                                   int64_t base),
                        const void *x, char *y, size_t size, int64_t *index, int64_t base)
{
    const struct window *w = &p->w;
    struct window_reach r[3];
    int64_t at[3];
    for (at[0] = 0; at[0] < w->out[0]; at[0]++) {
        r[0] = window_reach(w, 0, at[0]);
        for (at[1] = 0; at[1] < w->out[1]; at[1]++) {
            r[1] = window_reach(w, 1, at[1]);
            for (at[2] = 0; at[2] < w->out[2]; at[2]++, y += size) {
                r[2] = window_reach(w, 2, at[2]);
                fn(p, x, y, index, r, at, base);
                index += index != NULL;
            }
        }
    }
}

/* Loops over the taps inside, with `i` the element's place in the plane. */
#define EACH_TAP(w, r)                                                                             \
    for (int64_t kz = r[0].from; kz < r[0].to; kz++)                                               \
        for (int64_t ky = r[1].from; ky < r[1].to; ky++)                                           \
            for (int64_t kx = r[2].from,                                                           \
                         i = ((r[0].first + kz * w->dilation[0]) * w->in[1] + r[1].first +         \
                              ky * w->dilation[1]) * w->in[2] + r[2].first + kx * w->dilation[2];  \
                 kx < r[2].to; kx++, i += w->dilation[2])

/* The place of element i of a plane, counted down its columns: height first, then width, then
 * depth. */
static int64_t column_place(const struct window *w, int64_t i)
{
    int64_t x = i % w->in[2], y = i / w->in[2] % w->in[1], z = i / w->in[2] / w->in[1];
    if (w->rank == 3)
        return z + y * w->in[0] + x * w->in[0] * w->in[1];
    return y + x * w->in[1];
}

#define MAX_WINDOW(name, type, least)                                                              \
    static void name(const struct pool *p, const void *in, void *out, int64_t *index,              \
                     const struct window_reach r[3], const int64_t at[3], int64_t base)            \
    {                                                                                              \
        const struct window *w = &p->w;                                                            \
        const type *x = in;                                                                        \
        type best = least;                                                                         \
        int64_t place = -1;                                                                        \
        EACH_TAP(w, r) {                                                                           \
            if (place < 0 || x[i] > best || (x[i] != x[i] && best == best)) {                      \
                best = x[i];                                                                       \
                place = i;                                                                         \
            }                                                                                      \
        }                                                                                          \
        *(type *)out = best;                                                                       \
        if (index && place >= 0)                                                                   \
            *index = base + (p->columns ? column_place(w, place) : place);                         \
        else if (index)                                                                            \
            *index = -1;                                                                           \
    }
MAX_WINDOW(max_f32, float, -INFINITY)
MAX_WINDOW(max_f64, double, -INFINITY)
MAX_WINDOW(max_i8, int8_t, INT8_MIN)
MAX_WINDOW(max_u8, uint8_t, 0)

/* The outputs [from, to) of a row that find their tap k inside the image. */
static void row_reach(const struct window *w, int64_t k, int64_t *from, int64_t *to)
{
    int64_t first = k * w->dilation[2] - w->pad[2], s = w->stride[2];
    *from = first < 0 ? (-first + s - 1) / s : 0;
    *to = first < w->in[2] ? (w->in[2] - first + s - 1) / s : 0;
    *to = *to < w->out[2] ? *to : w->out[2];
}

/* A plane's maxima without their places, a row of outputs and a tap at a time. */
#define MAX_PLANE(name, type, least)                                                               \
    static void name(const struct window *w, const void *in, void *out)                            \
    {                                                                                              \
        type *y = out;                                                                             \
        for (int64_t row = 0; row < w->out[0] * w->out[1]; row++, y += w->out[2]) {                \
            struct window_reach rz = window_reach(w, 0, row / w->out[1]);                          \
            struct window_reach ry = window_reach(w, 1, row % w->out[1]);                          \
            for (int64_t i = 0; i < w->out[2]; i++)                                                \
                y[i] = least;                                                                      \
            for (int64_t kz = rz.from; kz < rz.to; kz++) {                                         \
                for (int64_t ky = ry.from; ky < ry.to; ky++) {                                     \
                    const type *x = (const type *)in +                                             \
                                    ((rz.first + kz * w->dilation[0]) * w->in[1] + ry.first +      \
                                     ky * w->dilation[1]) * w->in[2];                              \
                    for (int64_t kx = 0; kx < w->kernel[2]; kx++) {                                \
                        int64_t from, to, s = w->stride[2], at = kx * w->dilation[2] - w->pad[2];  \
                        row_reach(w, kx, &from, &to);                                              \
                        for (int64_t i = from; i < to; i++) {                                      \
                            type v = x[at + i * s];                                                \
                            y[i] = v > y[i] || v != v ? v : y[i];                                  \
                        }                                                                          \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
MAX_PLANE(max_plane_f32, float, -INFINITY)
MAX_PLANE(max_plane_f64, double, -INFINITY)
MAX_PLANE(max_plane_i8, int8_t, INT8_MIN)
MAX_PLANE(max_plane_u8, uint8_t, 0)

typedef void plane_fn(const struct window *w, const void *in, void *out);

static plane_fn *pick_max_plane(enum dtype dtype)
{
    return dtype == DTYPE_F64  ? max_plane_f64
           : dtype == DTYPE_I8 ? max_plane_i8
           : dtype == DTYPE_U8 ? max_plane_u8
                               : max_plane_f32;
}

#define AVERAGE_WINDOW(name, type)                                                                 \
    static void name(const struct pool *p, const void *in, void *out, int64_t *index,              \
                     const struct window_reach r[3], const int64_t at[3], int64_t base)            \
    {                                                                                              \
        const struct window *w = &p->w;                                                            \
        const type *x = in;                                                                        \
        double sum = 0;                                                                            \
        int64_t count = 1;                                                                         \
        EACH_TAP(w, r)                                                                             \
            sum += x[i];                                                                           \
        for (int k = 0; k < 3; k++)                                                                \
            count *= p->count_pad ? window_padded_taps(w, k, at[k])                                \
                                  : r[k].to > r[k].from ? r[k].to - r[k].from : 0;                 \
        *(type *)out = count ? (type)(sum / (double)count) : 0;                                    \
    }
AVERAGE_WINDOW(average_f32, float)
AVERAGE_WINDOW(average_f64, double)

#define NORM_WINDOW(name, type)                                                                    \
    static void name(const struct pool *p, const void *in, void *out, int64_t *index,              \
                     const struct window_reach r[3], const int64_t at[3], int64_t base)            \
    {                                                                                              \
        const struct window *w = &p->w;                                                            \
        const type *x = in;                                                                        \
        double sum = 0;                                                                            \
        EACH_TAP(w, r) {                                                                           \
            double v = fabs((double)x[i]);                                                         \
            sum += p->p == 2 ? v * v : p->p == 1 ? v : pow(v, p->p);                               \
        }                                                                                          \
        *(type *)out = (type)(p->p == 2 ? sqrt(sum) : p->p == 1 ? sum : pow(sum, 1 / p->p));       \
    }
NORM_WINDOW(norm_f32, float)
NORM_WINDOW(norm_f64, double)

/* ---- calls ----------------------------------------------------------------------------------- */

enum pool_kind { POOL_MAX, POOL_AVERAGE, POOL_NORM };

typedef void window_fn(const struct pool *p, const void *x, void *y, int64_t *index,
                       const struct window_reach r[3], const int64_t at[3], int64_t base);

static window_fn *pick(enum pool_kind kind, enum dtype dtype)
{
    static window_fn *const fns[3][4] = {
        {max_f32, max_f64, max_i8, max_u8},
        {average_f32, average_f64},
        {norm_f32, norm_f64},
    };
    return fns[kind][dtype == DTYPE_F64 ? 1 : dtype == DTYPE_I8 ? 2 : dtype == DTYPE_U8 ? 3 : 0];
}

static int pool_init(struct pool *p, const struct call *c, struct err *e)
{
    const struct attrs_pool *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct window_lists lists = WINDOW_LISTS(a);
    int r = window_read(&p->w, &lists, x->rank - 2, NULL, e);
    if (r)
        return r;
    p->w.ceil = a->ceil_mode != 0;
    if ((r = window_size(&p->w, NULL, x->dims + 2, e)))
        return r;
    window_place(&p->w);
    p->dtype = x->dtype;
    p->columns = a->storage_order != 0;
    p->count_pad = a->count_include_pad != 0;
    p->planes = p->in = p->out = 0;
    if (tensor_count(call_out(c, 0)) > 0) {
        p->planes = x->dims[0] * x->dims[1];
        p->in = window_product(p->w.in);
        p->out = window_product(p->w.out);
    }
    return 0;
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
    return tasks_for(p.planes, cost / 4 + 1);
}

static bool narrow(const struct pool *p)
{
    return p->dtype == DTYPE_F16 || p->dtype == DTYPE_BF16;
}

static size_t pool_scratch(const struct call *c, size_t *per_member)
{
    struct pool p;
    if (pool_init(&p, c, NULL) == 0 && narrow(&p))
        *per_member = (size_t)(p.in + p.out) * sizeof(float);
    return 0;
}

/* Planes of f32, f64 or bytes. `base` is the first element's place in the tensor. */
static void run_planes(const struct pool *p, enum pool_kind kind, const char *x, char *y,
                       int64_t *index, int64_t base, int64_t planes)
{
    enum dtype dtype = narrow(p) ? DTYPE_F32 : p->dtype;
    size_t size = dtype_size(dtype);
    const struct window *w = &p->w;
    if (dtype == DTYPE_F32 && w->rank <= 2 && !index && kind != POOL_NORM) {
        const struct pool_f32_kernel *k = pool_f32_pick();
        struct pool_shape s = {.count_pad = p->count_pad};
        for (int i = 0; i < 2; i++) {
            s.in[i] = w->in[i + 1];
            s.out[i] = w->out[i + 1];
            s.kernel[i] = w->kernel[i + 1];
            s.stride[i] = w->stride[i + 1];
            s.dilation[i] = w->dilation[i + 1];
            s.pad[i] = w->pad[i + 1];
            s.pad_end[i] = w->pad_end[i + 1];
        }
        (kind == POOL_MAX ? k->max : k->average)(&s, (const float *)x, (float *)y, (size_t)planes);
        return;
    }
    for (int64_t i = 0; i < planes && kind == POOL_MAX && !index; i++)
        pick_max_plane(dtype)(w, x + (size_t)(i * p->in) * size, y + (size_t)(i * p->out) * size);
    for (int64_t i = 0; i < planes && (kind != POOL_MAX || index); i++)
        each_window(p, pick(kind, dtype), x + (size_t)(i * p->in) * size,
                    y + (size_t)(i * p->out) * size, size, index ? index + i * p->out : NULL,
                    base + i * p->in);
}

static int pool_run(struct call *c, int64_t begin, int64_t end, int member, enum pool_kind kind,
                    double norm, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0), *indices = call_out(c, 1);
    struct pool p;
    int64_t first, last, unused, tasks = pool_tasks(c);
    int r = pool_init(&p, c, e);
    if (r || p.planes == 0)
        return r;
    p.p = norm;
    task_range(begin, tasks, p.planes, &first, &unused);
    task_range(end - 1, tasks, p.planes, &unused, &last);
    int64_t *index = indices ? (int64_t *)indices->data + first * p.out : NULL;
    size_t size = dtype_size(x->dtype);
    if (!narrow(&p)) {
        run_planes(&p, kind, (const char *)x->data + (size_t)(first * p.in) * size,
                   (char *)y->data + (size_t)(first * p.out) * size, index, first * p.in,
                   last - first);
        return 0;
    }
    float *wide_x = call_member_scratch(c, member), *wide_y = wide_x + p.in;
    for (int64_t i = first; i < last; i++, index += index ? p.out : 0) {
        elems_to_f32(x->dtype, x->data, i * p.in, p.in, wide_x);
        run_planes(&p, kind, (const char *)wide_x, (char *)wide_y, index, i * p.in, 1);
        elems_from_f32(y->dtype, y->data, i * p.out, p.out, wide_y);
    }
    return 0;
}

static int maxpool_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return pool_run(c, begin, end, member, POOL_MAX, 0, e);
}

static int averagepool_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return pool_run(c, begin, end, member, POOL_AVERAGE, 0, e);
}

static int lppool_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct lppool_attrs *a = c->attrs;
    double p = c->node->opset < 2 ? a->p1 : (double)a->pool.p;
    return pool_run(c, begin, end, member, POOL_NORM, p, e);
}

static int lppool_infer(struct infer *c, struct err *e)
{
    const struct lppool_attrs *a = c->attrs;
    if (c->node->opset < 2 ? !(a->p1 > 0) : a->pool.p < 1)
        return err_set(e, ERR_MODEL, "p must be above zero");
    return floatpool_infer(c, e);
}

#define WINDOW_ATTRS                                                                               \
    {"auto_pad", ATTR_STRING, offsetof(struct attrs_pool, auto_pad), .s = "NOTSET"},               \
    {"kernel_shape", ATTR_INTS, offsetof(struct attrs_pool, kernel_shape)},                        \
    {"strides", ATTR_INTS, offsetof(struct attrs_pool, strides)},                                  \
    {"pads", ATTR_INTS, offsetof(struct attrs_pool, pads)}

static const struct attr maxpool_attrs[] = {
    WINDOW_ATTRS,
    {"dilations", ATTR_INTS, offsetof(struct attrs_pool, dilations), .since = 10},
    {"ceil_mode", ATTR_INT, offsetof(struct attrs_pool, ceil_mode), .since = 10},
    {"storage_order", ATTR_INT, offsetof(struct attrs_pool, storage_order), .since = 8},
    {NULL},
};

static const struct attr averagepool_attrs[] = {
    WINDOW_ATTRS,
    {"dilations", ATTR_INTS, offsetof(struct attrs_pool, dilations), .since = 19},
    {"ceil_mode", ATTR_INT, offsetof(struct attrs_pool, ceil_mode), .since = 10},
    {"count_include_pad", ATTR_INT, offsetof(struct attrs_pool, count_include_pad), .since = 7},
    {NULL},
};

static const struct attr lppool_attr_rows[] = {
    WINDOW_ATTRS,
    {"dilations", ATTR_INTS, offsetof(struct attrs_pool, dilations), .since = 18},
    {"ceil_mode", ATTR_INT, offsetof(struct attrs_pool, ceil_mode), .since = 18},
    {"p", ATTR_FLOAT, offsetof(struct lppool_attrs, p1), .until = 1, .f = 2},
    {"p", ATTR_INT, offsetof(struct attrs_pool, p), .since = 2, .i = 2},
    {NULL},
};

const struct op op_maxpool = {
    .domain = "", .name = "MaxPool", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 2, .flags = OP_PURE,
    .attrs = maxpool_attrs, .attrs_size = sizeof(struct attrs_pool),
    .infer = maxpool_infer, .scratch = pool_scratch, .tasks = pool_tasks, .run = maxpool_run,
    .kernels = "pool",
};

const struct op op_averagepool = {
    .domain = "", .name = "AveragePool", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = averagepool_attrs, .attrs_size = sizeof(struct attrs_pool),
    .infer = floatpool_infer, .scratch = pool_scratch, .tasks = pool_tasks, .run = averagepool_run,
    .kernels = "pool",
};

const struct op op_lppool = {
    .domain = "", .name = "LpPool", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = lppool_attr_rows, .attrs_size = sizeof(struct lppool_attrs),
    .infer = lppool_infer, .scratch = pool_scratch, .tasks = pool_tasks, .run = lppool_run,
    .kernels = "pool",
};
