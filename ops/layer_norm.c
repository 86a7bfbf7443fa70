/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNormalization and RMSNormalization (also under the name that fused graphs give the latter,
 * SimplifiedLayerNormalization). A row is all dims from the axis on. f32 runs on kernels/norm.h,
 * f16 and bf16 are widened a row at a time and rounded once, f64 runs on plain loops. Scale and
 * bias may broadcast to the input in any way; where they are one row for all rows they are read
 * once.
 */
#include <math.h>

#include "graph/attrs.h"
#include "kernels/norm.h"
#include "ops/common.h"

static enum dtype stash_dtype(const struct attrs_layernorm *a)
{
    return a->stash_type == DTYPE_F64 || a->stash_type == DTYPE_F16 || a->stash_type == DTYPE_BF16
               ? (enum dtype)a->stash_type
               : DTYPE_F32;
}

/* Input i must broadcast to input 0. */
static int check_affine(struct infer *c, int i, struct err *e)
{
    int rank = infer_rank(c, 0), own = infer_rank(c, i);
    if (rank < 0 || own < 0)
        return 0;
    for (int k = 0; k < own; k++) {
        int64_t d = infer_dim(c, i, k);
        if (own > rank || (!(sym_is_number(d) && d == 1) &&
                           sym_differ(c->syms, d, infer_dim(c, 0, rank - own + k)) &&
                           sym_is_number(d)))
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                           "input %d does not broadcast to the first input", i);
    }
    return 0;
}

static int norm_infer(struct infer *c, bool same_dtypes, struct err *e)
{
    const struct attrs_layernorm *a = c->attrs;
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), axis;
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    for (int i = 1; i < c->n_in && r == 0; i++) {
        if (!infer_has(c, i))
            continue;
        r = infer_dtypes(c, i, DT_FLOATS, e);
        if (r == 0 && same_dtypes)
            r = infer_same_dtype(c, 0, i, e);
        if (r == 0)
            r = check_affine(c, i, e);
    }
    if (r)
        return r;
    enum dtype dtype = infer_dtype(c, 1); /* the output's is the scale's, where they may differ */
    if (rank < 0) {
        r = infer_unknown(c, 0, dtype, e);
        for (int o = 1; o < c->n_out && r == 0; o++)
            r = infer_unknown(c, o, stash_dtype(a), e);
        return r;
    }
    if ((r = infer_axis(a->axis, rank, &axis, e)) ||
        (r = infer_like(c, 0, 0, dtype, e)))
        return r;
    for (int i = 0; i < rank; i++)
        dims[i] = i < axis ? infer_dim(c, 0, i) : 1;
    for (int o = 1; o < c->n_out && r == 0; o++)
        r = infer_set(c, o, stash_dtype(a), rank, dims, e);
    return r;
}

/* Below opset 17 the name is that of an operator beside the standard, whose scale may have a type of its
 * own. */
static int layernorm_infer(struct infer *c, struct err *e)
{
    return norm_infer(c, c->node->opset >= 17 && c->node->op->domain[0] == 0, e);
}

static int rmsnorm_infer(struct infer *c, struct err *e)
{
    return norm_infer(c, false, e);
}

/* ---- scale and bias -------------------------------------------------------------------------- */

/* Scale or bias as rows of n; `row` has the values where `fixed`. */
struct side {
    const struct tensor *t; /* NULL: absent */
    bool fixed, dense;
    int64_t strides[TENSOR_RANK_MAX];
};

/* A call. */
struct rows {
    const struct tensor *x;
    int axis;
    int64_t n, count;
    struct side scale, bias;
};

static void side_init(struct side *s, const struct tensor *t, const struct rows *rows)
{
    *s = (struct side){.t = t, .fixed = true};
    if (!t)
        return;
    broadcast_strides(t, rows->x->rank, s->strides);
    for (int k = 0; k < rows->axis; k++)
        s->fixed &= s->strides[k] == 0 || rows->x->dims[k] == 1;
    s->dense = s->fixed && tensor_count(t) == rows->n;
}

static int rows_init(struct rows *r, const struct call *c, struct err *e)
{
    const struct attrs_layernorm *a = c->attrs;
    *r = (struct rows){.x = call_in(c, 0)};
    int rc = infer_axis(a->axis, r->x->rank, &r->axis, e);
    if (rc || tensor_count(r->x) == 0)
        return rc;
    r->n = dims_product(r->x->dims, r->axis, r->x->rank);
    r->count = dims_product(r->x->dims, 0, r->axis);
    side_init(&r->scale, call_in(c, 1), r);
    side_init(&r->bias, call_in(c, 2), r);
    return 0;
}

/* Where the values of row `row` begin in the side's tensor. */
static int64_t side_start(const struct side *s, const struct rows *r, int64_t row)
{
    int64_t at = 0;
    for (int k = r->axis - 1; k >= 0; k--) {
        at += row % r->x->dims[k] * s->strides[k];
        row /= r->x->dims[k];
    }
    return at;
}

/* The side's values for one row, in f32 or f64. */
static void side_load(const struct side *s, const struct rows *r, int64_t row, float *f, double *d)
{
    int64_t at[TENSOR_RANK_MAX] = {0}, from = side_start(s, r, row);
    if (s->dense && f)
        elems_to_f32(s->t->dtype, s->t->data, 0, r->n, f);
    else if (s->dense)
        elems_to_f64(s->t->dtype, s->t->data, 0, r->n, d);
    for (int64_t i = 0; i < r->n && !s->dense; i++) {
        if (f)
            elems_to_f32(s->t->dtype, s->t->data, from, 1, f + i);
        else
            elems_to_f64(s->t->dtype, s->t->data, from, 1, d + i);
        for (int k = r->x->rank - 1; k >= r->axis; k--) {
            from += s->strides[k];
            if (++at[k] < r->x->dims[k])
                break;
            from -= at[k] * s->strides[k];
            at[k] = 0;
        }
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int64_t norm_tasks(const struct call *c)
{
    struct rows r;
    return rows_init(&r, c, NULL) == 0 ? tasks_for(r.count, r.n * 2) : 1;
}

/* A row of x (where widened), of scale and of bias, as f32 or f64; returns the bytes of all. */
static size_t row_parts(const struct rows *r, struct parts p, void *rows[3])
{
    for (int i = 0; i < 3; i++)
        rows[i] = parts_take(&p, (size_t)r->n, r->x->dtype == DTYPE_F64 ? sizeof(double) : sizeof(float));
    return p.bytes;
}

static size_t norm_scratch(const struct call *c, size_t *per_member)
{
    struct rows r;
    void *rows[3];
    if (rows_init(&r, c, NULL) == 0)
        *per_member = row_parts(&r, (struct parts){0}, rows);
    return 0;
}

static void store(struct tensor *t, int64_t row, double v)
{
    if (t)
        elems_from_f64(t->dtype, t->data, row, 1, &v);
}

/* Mean and inv_std of row, wanted as outputs 1 and 2, or inv_rms as the last. */
static void store_moments(struct call *c, bool rms, int64_t row, double mean, double inv_std)
{
    if (!rms)
        store(call_out(c, 1), row, mean);
    store(call_out(c, rms ? 1 : 2), row, inv_std);
}

static void row_f64(struct call *c, const struct rows *r, bool rms, int64_t row,
                    const double *scale, const double *bias)
{
    const struct attrs_layernorm *a = c->attrs;
    const double *x = (const double *)r->x->data + row * r->n;
    double mean = 0, sum = 0;
    for (int64_t i = 0; i < r->n && !rms; i++)
        mean += x[i];
    mean /= (double)r->n;
    for (int64_t i = 0; i < r->n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    double inv = 1 / sqrt(sum / (double)r->n + a->epsilon);
    for (int64_t i = 0; i < r->n; i++) {
        double v = (x[i] - mean) * inv;
        v = v * (scale ? scale[i] : 1) + (bias ? bias[i] : 0);
        store(call_out(c, 0), row * r->n + i, v);
    }
    store_moments(c, rms, row, mean, inv);
}

static void run_f64(struct call *c, const struct rows *r, bool rms, int64_t first, int64_t last,
                    void *const rows[3])
{
    double *scale = r->scale.t ? rows[1] : NULL, *bias = r->bias.t ? rows[2] : NULL;
    for (int64_t row = first; row < last; row++) {
        if (scale && (row == first || !r->scale.fixed))
            side_load(&r->scale, r, row, NULL, scale);
        if (bias && (row == first || !r->bias.fixed))
            side_load(&r->bias, r, row, NULL, bias);
        row_f64(c, r, rms, row, scale, bias);
    }
}

/* The side's values in `args`: in place, or in scratch, loaded at the first row. */
static const float *side_values(const struct side *s, const struct rows *r, int64_t row, bool first,
                                float *scratch)
{
    if (!s->t)
        return NULL;
    if (s->dense && s->t->dtype == DTYPE_F32)
        return s->t->data;
    if (first || !s->fixed)
        side_load(s, r, row, scratch, NULL);
    return scratch;
}

static void run_rows(struct call *c, const struct rows *r, bool rms, int64_t first, int64_t last,
                     void *const rows[3])
{
    const struct attrs_layernorm *a = c->attrs;
    const struct norm_f32_kernel *k = norm_f32_pick();
    struct tensor *y = call_out(c, 0);
    bool narrow = r->x->dtype != DTYPE_F32 || y->dtype != DTYPE_F32, moments = call_out(c, 1) || call_out(c, 2);
    bool whole = !narrow && !moments && r->scale.fixed && r->bias.fixed;
    float mean = 0, inv_std = 0;
    struct norm_args args = {.x = r->x->data, .y = y->data, .n = (size_t)r->n,
                             .epsilon = a->epsilon};
    if (narrow)
        args.x = args.y = rows[0];
    for (int64_t row = first; row < last; row++) {
        args.scale = side_values(&r->scale, r, row, row == first, rows[1]);
        args.bias = side_values(&r->bias, r, row, row == first, rows[2]);
        if (whole) {
            (rms ? k->rms : k->layer)(&args, (size_t)first, (size_t)last);
            return;
        }
        args.mean = moments && !rms ? &mean : NULL;
        args.inv_std = moments ? &inv_std : NULL;
        if (narrow) {
            elems_to_f32(r->x->dtype, r->x->data, row * r->n, r->n, rows[0]);
        } else {
            args.x = (const float *)r->x->data + row * r->n;
            args.y = (float *)y->data + row * r->n;
        }
        (rms ? k->rms : k->layer)(&args, 0, 1);
        if (narrow)
            elems_from_f32(y->dtype, y->data, row * r->n, r->n, rows[0]);
        if (moments)
            store_moments(c, rms, row, mean, inv_std);
    }
}

/* Rows without elements have moments all the same: not a number. */
static void empty_moments(struct call *c)
{
    for (int o = 1; o < c->n_out; o++) {
        struct tensor *t = call_out(c, o);
        for (int64_t i = 0; t && i < tensor_count(t); i++)
            store(t, i, NAN);
    }
}

static int norm_run(struct call *c, int64_t begin, int64_t end, int member, bool rms, struct err *e)
{
    struct rows r;
    int64_t first, last, unused, tasks = norm_tasks(c);
    int rc = rows_init(&r, c, e);
    if (rc)
        return rc;
    if (r.count == 0) {
        empty_moments(c);
        return 0;
    }
    task_range(begin, tasks, r.count, &first, &unused);
    task_range(end - 1, tasks, r.count, &unused, &last);
    void *parts[3];
    row_parts(&r, parts_member(c, member), parts);
    if (r.x->dtype == DTYPE_F64)
        run_f64(c, &r, rms, first, last, parts);
    else
        run_rows(c, &r, rms, first, last, parts);
    return 0;
}

static int layernorm_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return norm_run(c, begin, end, member, false, e);
}

static int rmsnorm_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return norm_run(c, begin, end, member, true, e);
}

static const struct attr norm_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_layernorm, axis), .i = -1},
    {"epsilon", ATTR_FLOAT, offsetof(struct attrs_layernorm, epsilon), .f = 1e-5f},
    {"stash_type", ATTR_INT, offsetof(struct attrs_layernorm, stash_type), .i = 1},
    {NULL},
};

const struct op op_layernormalization = {
    .domain = "", .name = "LayerNormalization", .since = 1,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 3, .flags = OP_PURE | OP_EXACT | OP_INPLACE0,
    .attrs = norm_attr_rows, .attrs_size = sizeof(struct attrs_layernorm),
    .infer = layernorm_infer, .scratch = norm_scratch, .tasks = norm_tasks, .run = layernorm_run,
    .kernels = "norm",
};

const struct op op_rmsnormalization = {
    .domain = "", .name = "RMSNormalization", .since = 23,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_INPLACE0,
    .attrs = norm_attr_rows, .attrs_size = sizeof(struct attrs_layernorm),
    .infer = rmsnorm_infer, .scratch = norm_scratch, .tasks = norm_tasks, .run = rmsnorm_run,
    .kernels = "norm",
};

/* Fused graphs have these in either domain. */
#define FUSED_ROW(in, word, inputs, outputs)                                                       \
    .domain = in, .name = word, .since = 1, .in_min = 2, .in_max = inputs, .out_min = 1,           \
    .out_max = outputs, .flags = OP_PURE | OP_EXACT | OP_INPLACE0,                                 \
    .attrs = norm_attr_rows, .attrs_size = sizeof(struct attrs_layernorm),                         \
    .scratch = norm_scratch, .tasks = norm_tasks

const struct op op_simplifiedlayernormalization = {
    FUSED_ROW("", "SimplifiedLayerNormalization", 2, 2), .infer = rmsnorm_infer, .run = rmsnorm_run,
    .kernels = "norm",
};
const struct op op_ms_simplifiedlayernormalization = {
    FUSED_ROW("com.microsoft", "SimplifiedLayerNormalization", 2, 2), .infer = rmsnorm_infer,
    .run = rmsnorm_run,
    .kernels = "norm",
};
const struct op op_ms_layernormalization = {
    FUSED_ROW("com.microsoft", "LayerNormalization", 3, 3), .infer = layernorm_infer,
    .run = layernorm_run,
    .kernels = "norm",
};
