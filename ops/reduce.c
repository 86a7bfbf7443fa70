/* SPDX-License-Identifier: Apache-2.0 */
/* ReduceSum and its nine kin; the axes are an attribute in old versions, an input since. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "graph/attrs.h"
#include "kernels/reduce.h"
#include "kernels/transpose.h"
#include "ops/common.h"

/* ---- shapes -------------------------------------------------------------------------------------- */

/* Which axes are reduced, as a bit mask. No axes: all of them, or none if the attribute says so. */
static int axes_mask(const int64_t *axes, int64_t n, int rank, bool noop, unsigned *mask, struct err *e)
{
    *mask = 0;
    if (n == 0) {
        *mask = noop ? 0 : (1u << rank) - 1;
        return 0;
    }
    for (int64_t i = 0; i < n; i++) {
        int axis, rc = infer_axis(axes[i], rank, &axis, e);
        if (rc < 0)
            return rc;
        *mask |= 1u << axis;
    }
    return 0;
}

/* Small integer contents of a vector reduced to one element. */
static void carry_elems(struct infer *c, enum reduce_op op)
{
    int64_t n, acc = op == REDUCE_PROD ? 1 : 0;
    const int64_t *x = infer_elems(c, 0, &n);
    if (!x || n < 1 || infer_rank(c, 0) != 1 || !dtype_is_int(infer_dtype(c, 0)))
        return;
    for (int64_t i = 0; i < n; i++) {
        if (op == REDUCE_SUM)
            acc = sym_add(c->syms, acc, x[i]);
        else if (op == REDUCE_PROD)
            acc = sym_mul(c->syms, acc, x[i]);
        else if (op == REDUCE_MAX)
            acc = i ? sym_max(c->syms, acc, x[i]) : x[i];
        else if (op == REDUCE_MIN)
            acc = i ? sym_min(c->syms, acc, x[i]) : x[i];
        else
            return;
    }
    infer_set_elems(c, 0, &acc, 1);
}

static int reduce_infer_op(struct infer *c, enum reduce_op op, uint32_t types, struct err *e)
{
    const struct attrs_reduce *at = c->attrs;
    int rank = infer_rank(c, 0), out_rank = 0, rc = infer_dtypes(c, 0, types, e);
    int64_t n = 0, dims[TENSOR_RANK_MAX];
    unsigned mask;
    if (rc < 0)
        return rc;
    const int64_t *axes = infer_has(c, 1) ? infer_numbers(c, 1, &n) : NULL;
    if (rank < 0 || (infer_has(c, 1) && !axes && !at->keepdims))
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (infer_has(c, 1) && !axes) {
        for (int k = 0; k < rank; k++)
            dims[k] = infer_fresh(c);
        return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    }
    rc = axes_mask(axes, n, rank, at->noop_with_empty_axes, &mask, e);
    if (rc < 0)
        return rc;
    for (int k = 0; k < rank; k++)
        if (!(mask >> k & 1))
            dims[out_rank++] = infer_dim(c, 0, k);
        else if (at->keepdims)
            dims[out_rank++] = 1;
    rc = infer_set(c, 0, infer_dtype(c, 0), out_rank, dims, e);
    if (rc == 0 && mask == 1)
        carry_elems(c, op);
    return rc;
}

/* The input as [outer, n, inner] with n reduced; where kept and reduced dims alternate more often it is
 * permuted first, so that the reduced ones come last. */
struct view {
    int64_t outer, n, inner, count;
    bool permuted;
    unsigned mask;
};

static struct view view_of(const struct call *c)
{
    const struct attrs_reduce *at = c->attrs;
    const struct tensor *x = call_in(c, 0), *axes = call_in(c, 1);
    struct view v = {1, 1, 1, tensor_count(x), false, 0};
    int64_t list[TENSOR_RANK_MAX * 2], n = 0;
    for (int64_t i = 0; axes && i < tensor_count(axes) && n < TENSOR_RANK_MAX * 2; i++)
        list[n++] = tensor_int(axes, i);
    axes_mask(list, n, x->rank, at->noop_with_empty_axes, &v.mask, NULL);
    int changes = 0, state = 0; /* 0 before, 1 in, 2 behind the reduced dims */
    for (int k = 0; k < x->rank; k++) {
        bool reduced = v.mask >> k & 1;
        if (x->dims[k] == 1)
            continue;
        if (reduced != (state == 1)) {
            state++;
            changes += state > 2;
        }
        *(state == 0 ? &v.outer : state == 1 ? &v.n : &v.inner) *= x->dims[k];
    }
    if (changes) {
        v.permuted = true;
        v.outer = v.n = 1;
        v.inner = 1;
        for (int k = 0; k < x->rank; k++)
            *(v.mask >> k & 1 ? &v.n : &v.outer) *= x->dims[k];
    }
    /* A dim of 1 that is skipped must not hide that nothing is left. */
    if (v.count == 0) {
        v.n = v.outer = 1;
        for (int k = 0; k < x->rank; k++)
            *(v.mask >> k & 1 ? &v.n : &v.outer) *= x->dims[k];
        v.inner = 1;
    }
    return v;
}

static size_t reduce_scratch(const struct call *c, size_t *per_member)
{
    struct view v = view_of(c);
    *per_member = 0;
    return v.permuted ? (size_t)v.count * dtype_size(call_in(c, 0)->dtype) : 0;
}

/* ---- arithmetic ----------------------------------------------------------------------------------- */

/* One result of a type that is not f32, in double. */
static double reduce_real(enum reduce_op op, enum dtype t, const char *x, int64_t n, size_t step)
{
    double acc = op == REDUCE_PROD  ? 1
                 : op == REDUCE_MAX ? -INFINITY
                 : op == REDUCE_MIN ? INFINITY
                                    : 0,
           top = -INFINITY;
    for (int64_t i = 0; i < n && op == REDUCE_LOG_SUM_EXP; i++)
        top = fmax(top, dtype_load_f64(t, x + (size_t)i * step));
    for (int64_t i = 0; i < n; i++) {
        double v = dtype_load_f64(t, x + (size_t)i * step);
        switch (op) {
        case REDUCE_MAX:
            acc = isnan(v) || v > acc ? v : acc;
            break;
        case REDUCE_MIN:
            acc = isnan(v) || v < acc ? v : acc;
            break;
        case REDUCE_PROD:
            acc *= v;
            break;
        case REDUCE_SUM_SQUARE:
        case REDUCE_L2:
            acc += v * v;
            break;
        case REDUCE_L1:
            acc += fabs(v);
            break;
        case REDUCE_LOG_SUM_EXP:
            acc += isinf(top) ? 0 : exp(v - top);
            break;
        default:
            acc += v;
        }
    }
    switch (op) {
    case REDUCE_MEAN:
        return acc / (double)n;
    case REDUCE_L2:
        return sqrt(acc);
    case REDUCE_LOG_SUM:
        return log(acc);
    case REDUCE_LOG_SUM_EXP:
        return isinf(top) ? top : log(acc) + top;
    default:
        return acc;
    }
}

/* Integers wrap; means truncate. */
static int64_t reduce_int(enum reduce_op op, enum dtype t, const char *x, int64_t n, size_t step)
{
    bool is_unsigned = dtype_kind(t) != 'I';
    uint64_t acc = op == REDUCE_PROD;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = dtype_load_i64(t, x + (size_t)i * step);
        bool more = is_unsigned ? (uint64_t)v > acc : v > (int64_t)acc;
        if (op == REDUCE_PROD)
            acc *= (uint64_t)v;
        else if (op == REDUCE_SUM_SQUARE)
            acc += (uint64_t)v * (uint64_t)v;
        else if (op == REDUCE_L1)
            acc += (uint64_t)(!is_unsigned && v < 0 ? -v : v);
        else if (op == REDUCE_MAX)
            acc = i == 0 || more ? (uint64_t)v : acc;
        else if (op == REDUCE_MIN)
            acc = i == 0 || !more ? (uint64_t)v : acc;
        else
            acc += (uint64_t)v;
    }
    if (op == REDUCE_MEAN && n > 0)
        return is_unsigned ? (int64_t)(acc / (uint64_t)n) : (int64_t)acc / n;
    return (int64_t)acc;
}

/* The limits of an integer type, for the extremes of nothing. */
static int64_t int_limit(enum dtype t, bool low)
{
    unsigned bits = dtype_bits(t);
    if (dtype_kind(t) == 'I')
        return low ? INT64_MIN >> (64 - bits) : INT64_MAX >> (64 - bits);
    return low || t == DTYPE_BOOL ? !low : (int64_t)(UINT64_MAX >> (64 - bits));
}

/* Towards zero; what no integer holds becomes the nearest limit, NaN 0. */
static int64_t whole_part(double v)
{
    if (!(v > -0x1p63))
        return v != v ? 0 : INT64_MIN;
    return v < 0x1p63 ? (int64_t)v : INT64_MAX;
}

static void reduce_one(enum reduce_op op, enum dtype t, const char *x, int64_t n, size_t step, char *y)
{
    bool whole = !dtype_is_float(t) && op != REDUCE_L2 && op != REDUCE_LOG_SUM && op != REDUCE_LOG_SUM_EXP;
    if (whole && n == 0 && (op == REDUCE_MAX || op == REDUCE_MIN))
        dtype_store_i64(t, y, int_limit(t, op == REDUCE_MAX));
    else if (whole)
        dtype_store_i64(t, y, reduce_int(op, t, x, n, step));
    else if (dtype_is_float(t))
        dtype_store_f64(t, y, reduce_real(op, t, x, n, step));
    else
        dtype_store_i64(t, y, whole_part(reduce_real(op, t, x, n, step)));
}

/* ---- running -------------------------------------------------------------------------------------- */

struct job {
    struct call *call;
    struct view view;
    enum reduce_op op;
    const void *x;
    int64_t tasks;
    struct transpose transpose;
};

static void results_f32(const struct job *j, int64_t from, int64_t to)
{
    const struct reduce_f32_kernel *k = reduce_f32_pick();
    const struct view *v = &j->view;
    const float *x = j->x;
    float *y = call_out(j->call, 0)->data;
    if (v->inner == 1) {
        k->rows(j->op, x + from * v->n, y + from, (size_t)(to - from), (size_t)v->n);
        return;
    }
    while (from < to) {
        int64_t outer = from / v->inner, first = from % v->inner;
        int64_t last = to - outer * v->inner > v->inner ? v->inner : to - outer * v->inner;
        k->axis(j->op, x + outer * v->n * v->inner, y + outer * v->inner, (size_t)v->n, (size_t)v->inner,
                (size_t)first, (size_t)last);
        from = outer * v->inner + last;
    }
}

static int run_results(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    const struct view *v = &j->view;
    enum dtype t = call_in(j->call, 0)->dtype;
    size_t size = dtype_size(t);
    int64_t from, to, unused;
    task_range(begin, j->tasks, v->outer * v->inner, &from, &unused);
    task_range(end - 1, j->tasks, v->outer * v->inner, &unused, &to);
    if (t == DTYPE_F32) {
        results_f32(j, from, to);
        return 0;
    }
    for (int64_t i = from; i < to; i++) {
        const char *x = (const char *)j->x + (size_t)(i / v->inner * v->n * v->inner + i % v->inner) * size;
        reduce_one(j->op, t, x, v->n, (size_t)v->inner * size, (char *)call_out(j->call, 0)->data + (size_t)i * size);
    }
    return 0;
}

static int run_permute(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    transpose_run(&j->transpose, call_in(j->call, 0)->data, j->call->scratch, (size_t)begin, (size_t)end);
    return 0;
}

/* Kept dims first, reduced ones last, in scratch. */
static int permute(struct job *j, struct err *e)
{
    const struct tensor *x = call_in(j->call, 0);
    int64_t perm[TENSOR_RANK_MAX];
    int n = 0;
    for (unsigned pass = 0; pass < 2; pass++)
        for (int k = 0; k < x->rank; k++)
            if ((j->view.mask >> k & 1) == pass)
                perm[n++] = k;
    if (!transpose_init(&j->transpose, (unsigned)n, x->dims, perm, dtype_size(x->dtype)))
        return err_set(e, ERR_LIMIT, "the tensor is too large");
    j->x = j->call->scratch;
    return call_tasks(j->call, (int64_t)j->transpose.tasks, run_permute, j, e);
}

static int reduce_run_op(struct call *c, enum reduce_op op, struct err *e)
{
    struct job j = {.call = c, .view = view_of(c), .op = op, .x = call_in(c, 0)->data};
    int rc = 0;
    if (j.view.outer * j.view.inner == 0)
        return 0;
    if (j.view.permuted && j.view.count)
        rc = permute(&j, e);
    j.tasks = tasks_for(j.view.outer * j.view.inner, j.view.n);
    return rc < 0 ? rc : call_tasks(c, j.tasks, run_results, &j, e);
}

/* ---- rows ----------------------------------------------------------------------------------------- */

#define DT_REDUCE (DT_FLOATS | DT(I32) | DT(I64) | DT(U32) | DT(U64))
#define DT_EXTREME (DT_REDUCE | DT(I8) | DT(U8) | DT(BOOL))

/* The axes became an input in opset 18, of ReduceSum in 13. */
#define REDUCE_ATTRS(last_attr)                                                                       \
    {                                                                                                 \
        {"keepdims", ATTR_INT, offsetof(struct attrs_reduce, keepdims), .i = 1},                      \
        {"noop_with_empty_axes", ATTR_INT, offsetof(struct attrs_reduce, noop_with_empty_axes),       \
         .since = last_attr + 1},                                                                     \
        {"axes", ATTR_INTS, .until = last_attr, .input = 1}, {0},                                     \
    }
static const struct attr attrs_17[] = REDUCE_ATTRS(17);
static const struct attr attrs_12[] = REDUCE_ATTRS(12);

#define REDUCE_FNS(word, op, types)                                                                   \
    static int word##_infer(struct infer *c, struct err *e)                                           \
    {                                                                                                 \
        return reduce_infer_op(c, op, types, e);                                                      \
    }                                                                                                 \
    static int word##_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)      \
    {                                                                                                 \
        return reduce_run_op(c, op, e);                                                               \
    }
#define REDUCE_ROW(row_name, word, table)                                                            \
    {                                                                                                \
        .domain = "", .name = row_name, .since = 1, .in_min = 1, .in_max = 2, .out_min = 1,          \
        .out_max = 1, .flags = OP_PURE | OP_LEADER, .host_in = 2, .attrs = table,                    \
        .attrs_size = sizeof(struct attrs_reduce), .infer = word##_infer, .scratch = reduce_scratch, \
        .kernels = "reduce transpose", .run = word##_run,                                            \
    }

REDUCE_FNS(sum, REDUCE_SUM, DT_REDUCE)
REDUCE_FNS(mean, REDUCE_MEAN, DT_REDUCE)
REDUCE_FNS(max, REDUCE_MAX, DT_EXTREME)
REDUCE_FNS(min, REDUCE_MIN, DT_EXTREME)
REDUCE_FNS(prod, REDUCE_PROD, DT_REDUCE)
REDUCE_FNS(sum_square, REDUCE_SUM_SQUARE, DT_REDUCE)
REDUCE_FNS(l1, REDUCE_L1, DT_REDUCE)
REDUCE_FNS(l2, REDUCE_L2, DT_REDUCE)
REDUCE_FNS(log_sum, REDUCE_LOG_SUM, DT_REDUCE)
REDUCE_FNS(log_sum_exp, REDUCE_LOG_SUM_EXP, DT_REDUCE)

const struct op op_reducesum = REDUCE_ROW("ReduceSum", sum, attrs_12);
const struct op op_reducemean = REDUCE_ROW("ReduceMean", mean, attrs_17);
const struct op op_reducemax = REDUCE_ROW("ReduceMax", max, attrs_17);
const struct op op_reducemin = REDUCE_ROW("ReduceMin", min, attrs_17);
const struct op op_reduceprod = REDUCE_ROW("ReduceProd", prod, attrs_17);
const struct op op_reducesumsquare = REDUCE_ROW("ReduceSumSquare", sum_square, attrs_17);
const struct op op_reducel1 = REDUCE_ROW("ReduceL1", l1, attrs_17);
const struct op op_reducel2 = REDUCE_ROW("ReduceL2", l2, attrs_17);
const struct op op_reducelogsum = REDUCE_ROW("ReduceLogSum", log_sum, attrs_17);
const struct op op_reducelogsumexp = REDUCE_ROW("ReduceLogSumExp", log_sum_exp, attrs_17);
