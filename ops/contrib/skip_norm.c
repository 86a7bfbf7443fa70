/* SPDX-License-Identifier: Apache-2.0 */
/* SkipLayerNormalization and SkipSimplifiedLayerNormalization: the layer (or RMS) norm of rows of
 * input + skip + bias, and those sums where they are wanted. f32 rows run on kernels/norm.h, f16
 * and bf16 are widened a row at a time, f64 runs on plain loops.
 */
#include <math.h>
#include <string.h>

#include "kernels/binary.h"
#include "kernels/norm.h"
#include "ops/common.h"

struct skip_attrs {
    float epsilon;
};

/* Where the two operators have their inputs. */
enum { IN_X, IN_SKIP, IN_SCALE, LAYER_SHIFT = 3, LAYER_BIAS = 4, RMS_BIAS = 3 };
enum { OUT_Y, OUT_MEAN, OUT_INV, OUT_SUM };

/* ---- inference ------------------------------------------------------------------------------- */

/* Input i has one number for each column. */
static int check_row(struct infer *c, int i, struct err *e)
{
    int r = infer_has(c, i) ? infer_same_dtype(c, 0, i, e) : 0;
    if (r || infer_rank(c, i) < 0)
        return r;
    if (infer_rank(c, i) != 1)
        return err_set(e, ERR_MODEL, "input %d has rank %d, expected 1", i, infer_rank(c, i));
    if (infer_rank(c, 0) > 0 &&
        sym_differ(c->syms, infer_dim(c, i, 0), infer_dim(c, 0, infer_rank(c, 0) - 1)))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                       "input %d does not have one number for each of the last dim", i);
    return 0;
}

/* skip has the last dims of the input; leading ones may be added. */
static int check_skip(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, IN_X), own = infer_rank(c, IN_SKIP);
    bool inner = false;
    if (rank < 0 || own < 0)
        return 0;
    for (int k = 0; k < own; k++) {
        int64_t d = infer_dim(c, IN_SKIP, k);
        int at = rank - own + k;
        if (!inner && k < own - 1 && sym_is_number(d) && d == 1)
            continue;
        inner = true;
        if (at < 0 || sym_differ(c->syms, d, infer_dim(c, IN_X, at)))
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                           "the dims of skip are not the last ones of the input");
    }
    return own > 0 ? 0 : err_set(e, ERR_MODEL, "skip is a scalar");
}

static int skip_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)))
        return r;
    if (rank == 0 || rank == 1)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected at least 2", rank);
    for (int i = IN_SCALE; i < c->n_in; i++)
        if ((r = check_row(c, i, e)))
            return r;
    if ((r = check_skip(c, e)) || (r = infer_like(c, OUT_Y, 0, infer_dtype(c, 0), e)) ||
        (r = infer_like(c, OUT_SUM, 0, infer_dtype(c, 0), e)))
        return r;
    for (int i = 0; i < rank; i++)
        dims[i] = i < rank - 1 ? infer_dim(c, 0, i) : 1;
    for (int o = OUT_MEAN; o <= OUT_INV && r == 0; o++)
        r = rank < 0 ? infer_unknown(c, o, DTYPE_F32, e)
                     : infer_set(c, o, DTYPE_F32, rank, dims, e);
    return r;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* A call: `count` rows of n; skip repeats after skip_rows. */
struct rows {
    const struct tensor *x, *skip, *scale, *shift, *bias;
    struct tensor *y, *mean, *inv, *sum;
    int64_t n, count, skip_rows;
    float epsilon;
    bool rms;
};

static struct rows rows_of(const struct call *c, bool rms)
{
    struct rows r = {
        .x = call_in(c, IN_X),
        .skip = call_in(c, IN_SKIP),
        .scale = call_in(c, IN_SCALE),
        .shift = rms ? NULL : call_in(c, LAYER_SHIFT),
        .bias = call_in(c, rms ? RMS_BIAS : LAYER_BIAS),
        .y = call_out(c, OUT_Y),
        .mean = call_out(c, OUT_MEAN),
        .inv = call_out(c, OUT_INV),
        .sum = call_out(c, OUT_SUM),
        .rms = rms,
        .epsilon = ((const struct skip_attrs *)c->attrs)->epsilon,
    };
    r.n = r.x->dims[r.x->rank - 1];
    r.count = dims_product(r.x->dims, 0, r.x->rank - 1);
    r.skip_rows = dims_product(r.skip->dims, 0, r.skip->rank - 1);
    return r;
}

enum { ROW_COST = 3, WIDE_ROWS = 6 };

/* Rows of x (or its sum), skip, scale, shift, bias and y, widened. */
static size_t skip_scratch(const struct call *c, size_t *per_member)
{
    const struct tensor *x = call_in(c, 0);
    size_t n = (size_t)x->dims[x->rank - 1];
    *per_member = x->dtype == DTYPE_F64 ? n * sizeof(double) : n * WIDE_ROWS * sizeof(float);
    return 0;
}

static int64_t skip_tasks(const struct call *c)
{
    const struct tensor *x = call_in(c, 0);
    return tasks_for(dims_product(x->dims, 0, x->rank - 1), x->dims[x->rank - 1] * ROW_COST);
}

static void run_f64(const struct rows *r, int64_t row, double *v)
{
    const double *x = (const double *)r->x->data + row * r->n;
    const double *skip = (const double *)r->skip->data + row % r->skip_rows * r->n;
    const double *bias = r->bias ? r->bias->data : NULL, *shift = r->shift ? r->shift->data : NULL;
    double *y = (double *)r->y->data + row * r->n, mean = 0, squares = 0;
    for (int64_t i = 0; i < r->n; i++) {
        v[i] = x[i] + skip[i] + (bias ? bias[i] : 0);
        mean += v[i];
    }
    mean = r->rms ? 0 : mean / (double)r->n;
    for (int64_t i = 0; i < r->n; i++)
        squares += (v[i] - mean) * (v[i] - mean);
    double inv = 1 / sqrt(squares / (double)r->n + r->epsilon);
    if (r->sum && r->n)
        memcpy((double *)r->sum->data + row * r->n, v, (size_t)r->n * sizeof *v);
    for (int64_t i = 0; i < r->n; i++)
        y[i] = (v[i] - mean) * inv * ((const double *)r->scale->data)[i] + (shift ? shift[i] : 0);
    if (r->mean)
        ((float *)r->mean->data)[row] = (float)mean;
    if (r->inv)
        ((float *)r->inv->data)[row] = (float)inv;
}

/* n elements from `at` as f32: in place, or widened into `to`. */
static const float *widen(const struct tensor *t, int64_t at, int64_t n, float *to)
{
    if (!t)
        return NULL;
    if (t->dtype == DTYPE_F32)
        return (const float *)t->data + at;
    elems_to_f32(t->dtype, t->data, at, n, to);
    return to;
}

/* Rows [first, last) in f32; w has WIDE_ROWS rows of room. */
static void run_f32(const struct rows *r, int64_t first, int64_t last, float *w)
{
    const struct norm_f32_kernel *k = norm_f32_pick();
    int64_t n = r->n;
    bool narrow = r->x->dtype != DTYPE_F32;
    struct norm_args args = {
        .scale = widen(r->scale, 0, n, w + n), .bias = widen(r->shift, 0, n, w + 2 * n),
        .n = (size_t)n, .epsilon = r->epsilon,
    };
    const float *bias = widen(r->bias, 0, n, w + 3 * n);
    for (int64_t row = first; row < last; row++) {
        args.x = widen(r->x, row * n, n, w);
        args.add = widen(r->skip, row % r->skip_rows * n, n, w + 4 * n);
        if (bias) {
            binary_f32_pick(BINARY_ADD)(args.x, args.add, 0, w, (size_t)n);
            args.x = w;
            args.add = bias;
        }
        args.y = narrow ? w + 5 * n : (float *)r->y->data + row * n;
        args.sum = r->sum ? (narrow ? w : (float *)r->sum->data + row * n) : NULL;
        args.mean = r->mean && !r->rms ? (float *)r->mean->data + row : NULL;
        args.inv_std = r->inv ? (float *)r->inv->data + row : NULL;
        if (r->mean && r->rms)
            ((float *)r->mean->data)[row] = 0;
        (r->rms ? k->rms : k->layer)(&args, 0, 1);
        if (narrow)
            elems_from_f32(r->y->dtype, r->y->data, row * n, n, w + 5 * n);
        if (narrow && r->sum)
            elems_from_f32(r->sum->dtype, r->sum->data, row * n, n, w);
    }
}

static int run(struct call *c, bool rms, int64_t begin, int64_t end, int member)
{
    struct rows r = rows_of(c, rms);
    int64_t first, last, unused, tasks = skip_tasks(c);
    if (r.count == 0)
        return 0;
    task_range(begin, tasks, r.count, &first, &unused);
    task_range(end - 1, tasks, r.count, &unused, &last);
    if (r.x->dtype != DTYPE_F64)
        run_f32(&r, first, last, call_member_scratch(c, member));
    else
        for (int64_t row = first; row < last; row++)
            run_f64(&r, row, call_member_scratch(c, member));
    return 0;
}

static int layer_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run(c, false, begin, end, member);
}

static int rms_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run(c, true, begin, end, member);
}

static const struct attr skip_attr_rows[] = {
    {"epsilon", ATTR_FLOAT, offsetof(struct skip_attrs, epsilon), .f = 1e-12f},
    {NULL},
};

const struct op op_ms_skiplayernormalization = {
    .domain = "com.microsoft", .name = "SkipLayerNormalization", .since = 1,
    .in_min = 3, .in_max = 5, .out_min = 1, .out_max = 4, .flags = OP_PURE | OP_EXACT,
    .attrs = skip_attr_rows, .attrs_size = sizeof(struct skip_attrs),
    .infer = skip_infer, .scratch = skip_scratch, .tasks = skip_tasks, .run = layer_run,
    .kernels = "binary norm",
};

#define SKIP_RMS_ROW(in)                                                                           \
    .domain = in, .name = "SkipSimplifiedLayerNormalization", .since = 1,                          \
    .in_min = 3, .in_max = 4, .out_min = 1, .out_max = 4, .flags = OP_PURE | OP_EXACT,             \
    .attrs = skip_attr_rows, .attrs_size = sizeof(struct skip_attrs),                              \
    .infer = skip_infer, .scratch = skip_scratch, .tasks = skip_tasks, .run = rms_run

const struct op op_ms_skipsimplifiedlayernormalization = {SKIP_RMS_ROW("com.microsoft")};
const struct op op_skipsimplifiedlayernormalization = {SKIP_RMS_ROW("")};
