/* SPDX-License-Identifier: Apache-2.0 */
/* Rfft and Irfft along the last dim, one-sided, the inverse divided by its length; ComplexMul and
 * ComplexMulConj of numbers that are pairs along the last dim. All in double, rounded once.
 */
#include <string.h>

#include "ops/common.h"
#include "ops/fft.h"

struct fft_attrs {
    int64_t onesided, normalized, signal_ndim;
};

static int check_attrs(const struct fft_attrs *a, struct err *e)
{
    if (a->onesided != 1 || a->normalized != 0)
        return err_set(e, ERR_MODEL, "onesided is %lld, normalized %lld, expected 1 and 0",
                       (long long)a->onesided, (long long)a->normalized);
    if (a->signal_ndim != 1)
        return err_set(e, a->signal_ndim < 1 ? ERR_MODEL : ERR_UNSUPPORTED, "signals of %lld dims",
                       (long long)a->signal_ndim);
    return 0;
}

static int rfft_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = check_attrs(c->attrs, e)))
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank < 1 || rank == TENSOR_RANK_MAX)
        return err_set(e, ERR_MODEL, "the input has rank %d", rank);
    memcpy(dims, c->in[0]->type.dims, sizeof dims);
    dims[rank - 1] = sym_add(c->syms, sym_floor_div(c->syms, dims[rank - 1], 2), 1);
    dims[rank] = 2;
    return infer_set(c, 0, infer_dtype(c, 0), rank + 1, dims, e);
}

static int irfft_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = check_attrs(c->attrs, e)))
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank < 2 || sym_differ(c->syms, infer_dim(c, 0, rank - 1), 2) ||
        (sym_is_number(infer_dim(c, 0, rank - 2)) && infer_dim(c, 0, rank - 2) < 1))
        return err_set(e, ERR_MODEL, "the input is not a list of complex numbers");
    memcpy(dims, c->in[0]->type.dims, sizeof dims);
    dims[rank - 2] = sym_mul(c->syms, sym_sub(c->syms, dims[rank - 2], 1), 2);
    return infer_set(c, 0, infer_dtype(c, 0), rank - 1, dims, e);
}

/* `count` signals of n numbers; half of the spectrum is n / 2 + 1. */
struct signals {
    int64_t n, count, half;
};

static struct signals signals_of(const struct tensor *real)
{
    int64_t n = real->dims[real->rank - 1];
    return (struct signals){n, tensor_count(real) ? tensor_count(real) / n : 0, n / 2 + 1};
}

static int64_t fft_tasks(struct signals s)
{
    return tasks_for(s.count, s.n * 32);
}

/* Table, work space, and two complex signals. */
static size_t fft_scratch(struct signals s)
{
    size_t table, work;
    if (s.count == 0 || !fft_sizes(s.n, &table, &work))
        return 0;
    return (table + work + 4 * (size_t)s.n) * sizeof(double);
}

/* The spectrum of a real signal. */
static void forward(const struct call *c, const struct signals *s, const struct fft *f, int64_t i,
                    double *in, double *out, double *work)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    elems_to_f64(x->dtype, x->data, i * s->n, s->n, out);
    for (int64_t k = 0; k < s->n; k++) {
        in[2 * k] = out[k];
        in[2 * k + 1] = 0;
    }
    fft_run(f, in, out, work);
    elems_from_f64(y->dtype, y->data, i * s->half * 2, s->half * 2, out);
}

/* The real signal of half a spectrum: real and imaginary parts are swapped on both sides. */
static void backward(const struct call *c, const struct signals *s, const struct fft *f, int64_t i,
                     double *in, double *out, double *work)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    double pair[2];
    for (int64_t k = 0; k < s->half; k++) {
        elems_to_f64(x->dtype, x->data, (i * s->half + k) * 2, 2, pair);
        bool alone = k == 0 || 2 * k == s->n;
        in[2 * k] = alone ? 0 : pair[1];
        in[2 * k + 1] = pair[0];
        if (!alone) {
            in[2 * (s->n - k)] = -pair[1];
            in[2 * (s->n - k) + 1] = pair[0];
        }
    }
    fft_run(f, in, out, work);
    for (int64_t k = 0; k < s->n; k++)
        out[k] = out[2 * k + 1] / (double)s->n;
    elems_from_f64(y->dtype, y->data, i * s->n, s->n, out);
}

static int run(struct call *c, bool inverse, int64_t begin, int64_t end, int member, struct err *e)
{
    struct signals s = signals_of(inverse ? call_out(c, 0) : call_in(c, 0));
    int64_t first, last, unused;
    size_t table, work;
    struct fft f;
    if (s.count == 0)
        return 0;
    if (!fft_sizes(s.n, &table, &work))
        return err_set(e, ERR_LIMIT, "signals of %lld", (long long)s.n);
    double *at = call_member_scratch(c, member), *space = at + table, *in = space + work;
    fft_init(&f, s.n, at, space);
    task_range(begin, fft_tasks(s), s.count, &first, &unused);
    task_range(end - 1, fft_tasks(s), s.count, &unused, &last);
    for (int64_t i = first; i < last; i++)
        (inverse ? backward : forward)(c, &s, &f, i, in, in + 2 * s.n, space);
    return 0;
}

static int64_t rfft_tasks(const struct call *c)
{
    return fft_tasks(signals_of(call_in(c, 0)));
}

static size_t rfft_scratch(const struct call *c, size_t *per_member)
{
    *per_member = fft_scratch(signals_of(call_in(c, 0)));
    return 0;
}

static int rfft_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run(c, false, begin, end, member, e);
}

static int64_t irfft_tasks(const struct call *c)
{
    return fft_tasks(signals_of(call_out(c, 0)));
}

static size_t irfft_scratch(const struct call *c, size_t *per_member)
{
    *per_member = fft_scratch(signals_of(call_out(c, 0)));
    return 0;
}

static int irfft_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run(c, true, begin, end, member, e);
}

static const struct attr fft_attr_rows[] = {
    {"onesided", ATTR_INT, offsetof(struct fft_attrs, onesided), .i = 1},
    {"normalized", ATTR_INT, offsetof(struct fft_attrs, normalized)},
    {"signal_ndim", ATTR_INT, offsetof(struct fft_attrs, signal_ndim), .i = 1},
    {NULL},
};

const struct op op_ms_rfft = {
    .domain = "com.microsoft", .name = "Rfft", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = fft_attr_rows, .attrs_size = sizeof(struct fft_attrs),
    .infer = rfft_infer, .scratch = rfft_scratch, .tasks = rfft_tasks, .run = rfft_run,
};

const struct op op_ms_irfft = {
    .domain = "com.microsoft", .name = "Irfft", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = fft_attr_rows, .attrs_size = sizeof(struct fft_attrs),
    .infer = irfft_infer, .scratch = irfft_scratch, .tasks = irfft_tasks, .run = irfft_run,
};

/* ---- ComplexMul ------------------------------------------------------------------------------ */

static int mul_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    int rank, r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)))
        return r;
    for (int i = 0; i < 2; i++)
        if (infer_rank(c, i) == 0 ||
            (infer_rank(c, i) > 0 && sym_differ(c->syms, infer_dim(c, i, infer_rank(c, i) - 1), 2)))
            return err_set(e, ERR_MODEL, "the last dim of input %d is not 2", i);
    if ((r = infer_broadcast(c, 0, 2, &rank, dims, e)))
        return r;
    return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

static int64_t mul_tasks(const struct call *c)
{
    return tasks_for(tensor_count(call_out(c, 0)) / 2, 8);
}

/* Where pair i of the output is found in t. */
static int64_t pair_at(const struct tensor *y, const int64_t *strides, int64_t i)
{
    int64_t at = 0;
    for (int k = y->rank - 2; k >= 0; k--) {
        at += i % y->dims[k] * strides[k];
        i /= y->dims[k];
    }
    return at;
}

static int multiply(struct call *c, double sign, int64_t begin, int64_t end)
{
    const struct tensor *a = call_in(c, 0), *b = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    int64_t sa[TENSOR_RANK_MAX], sb[TENSOR_RANK_MAX], first, last, unused,
        count = tensor_count(y) / 2;
    task_range(begin, mul_tasks(c), count, &first, &unused);
    task_range(end - 1, mul_tasks(c), count, &unused, &last);
    broadcast_strides(a, y->rank, sa);
    broadcast_strides(b, y->rank, sb);
    for (int64_t i = first; i < last; i++) {
        double v[2], w[2];
        elems_to_f64(a->dtype, a->data, pair_at(y, sa, i), 2, v);
        elems_to_f64(b->dtype, b->data, pair_at(y, sb, i), 2, w);
        w[1] *= sign;
        double out[2] = {v[0] * w[0] - v[1] * w[1], v[0] * w[1] + v[1] * w[0]};
        elems_from_f64(y->dtype, y->data, 2 * i, 2, out);
    }
    return 0;
}

static int mul_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return multiply(c, 1, begin, end);
}

static int conj_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return multiply(c, -1, begin, end);
}

const struct op op_ms_complexmul = {
    .domain = "com.microsoft", .name = "ComplexMul", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = mul_infer, .tasks = mul_tasks, .run = mul_run,
};

const struct op op_ms_complexmulconj = {
    .domain = "com.microsoft", .name = "ComplexMulConj", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = mul_infer, .tasks = mul_tasks, .run = conj_run,
};
