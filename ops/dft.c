/* SPDX-License-Identifier: Apache-2.0 */
/* DFT and STFT: lanes of a tensor, each a transform by ops/fft.h in double. Forward, inverse, one-sided
 * (real to half a spectrum, and back). The leader makes the tables, tasks do the lanes. */
#include <stddef.h>

#include "ops/common.h"
#include "ops/fft.h"
#include "ops/span.h"

struct attrs_dft {
    int64_t axis, inverse, onesided;
};

static const struct attr dft_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_dft, axis), .until = 19, .i = 1},
    {"inverse", ATTR_INT, offsetof(struct attrs_dft, inverse)},
    {"onesided", ATTR_INT, offsetof(struct attrs_dft, onesided)},
    {0},
};

struct attrs_stft {
    int64_t onesided;
};

static const struct attr stft_attrs[] = {
    {"onesided", ATTR_INT, offsetof(struct attrs_stft, onesided), .i = 1},
    {0},
};

/* ---- inference -------------------------------------------------------------------------------- */

/* The one element of integer input i in *out, fresh where it is not known; 1 if it is there. */
static int scalar(struct infer *c, int i, int64_t *out, struct err *e)
{
    int64_t n;
    if (!infer_has(c, i))
        return 0;
    int rc = infer_dtypes(c, i, DT(I32) | DT(I64), e);
    if (rc < 0)
        return rc;
    const int64_t *v = infer_elems(c, i, &n);
    if (v && n != 1)
        return err_set(e, ERR_MODEL, "input %d has %lld elements, expected 1", i, (long long)n);
    *out = v ? *v : SYM_UNKNOWN;
    return 1;
}

/* Bins of a transform of length n; a known length must be positive where bins come out of nothing. */
static int bins_of(struct infer *c, int64_t n, bool half, int64_t *out, struct err *e)
{
    if (sym_is_number(n) && n < (half ? 1 : 0))
        return err_set(e, ERR_INPUT, "a transform of length %lld", (long long)n);
    *out = half ? sym_add(c->syms, sym_floor_div(c->syms, n, 2), 1) : n;
    return 0;
}

/* Length and output's dim along the axis. */
static int dft_length(struct infer *c, int64_t dim, int64_t *out, struct err *e)
{
    const struct attrs_dft *at = c->attrs;
    int64_t n = at->inverse && at->onesided ? sym_mul(c->syms, sym_sub(c->syms, dim, 1), 2) : dim;
    int rc = scalar(c, 1, &n, e);
    if (rc >= 0 && at->inverse && at->onesided && sym_is_number(n) && n < 1)
        rc = err_set(e, ERR_INPUT, "a transform of length %lld", (long long)n);
    return rc < 0 ? rc : bins_of(c, n, at->onesided && !at->inverse, out, e);
}

static int parts_of(const struct infer *c, bool real, struct err *e)
{
    int64_t parts = infer_dim(c, 0, infer_rank(c, 0) - 1);
    if (sym_is_number(parts) && parts != 1 && parts != 2)
        return err_set(e, ERR_MODEL, "the last dim is %lld, not 1 (real) or 2 (complex)", (long long)parts);
    if (real && sym_is_number(parts) && parts != 1)
        return err_set(e, ERR_MODEL, "a one-sided transform needs real input, last dim 1");
    return 0;
}

static int dft_infer(struct infer *c, struct err *e)
{
    const struct attrs_dft *at = c->attrs;
    int64_t axis = c->node->opset < 20 ? at->axis : -2, dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), rc = infer_dtypes(c, 0, DT_FLOATS, e), k;
    if (rc == 0 && c->node->opset >= 20)
        rc = scalar(c, 2, &axis, e);
    if (rc < 0)
        return rc;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank < 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, needs at least 2", rank);
    rc = parts_of(c, at->onesided && !at->inverse, e);
    for (int i = 0; i < rank; i++)
        dims[i] = infer_dim(c, 0, i);
    dims[rank - 1] = at->onesided && at->inverse ? 1 : 2;
    if (rc == 0 && !sym_is_number(axis)) {
        for (int i = 0; i + 1 < rank; i++)
            dims[i] = SYM_UNKNOWN;
    } else if (rc == 0) {
        rc = infer_axis(axis, rank, &k, e);
        if (rc == 0 && k == rank - 1)
            rc = err_set(e, ERR_MODEL, "axis %lld is that of the complex parts", (long long)axis);
        if (rc == 0)
            rc = dft_length(c, dims[k], &dims[k], e);
    }
    return rc < 0 ? rc : infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

/* frame_length: input 3, else the window's, else the signal's. */
static int frame_length(struct infer *c, int64_t *out, struct err *e)
{
    int64_t window = SYM_UNKNOWN;
    *out = infer_dim(c, 0, 1);
    if (infer_has(c, 2)) {
        int rank = infer_rank(c, 2), rc = infer_same_dtype(c, 0, 2, e);
        if (rc == 0 && rank >= 0 && rank != 1)
            rc = err_set(e, ERR_MODEL, "the window has rank %d, expected 1", rank);
        if (rc < 0)
            return rc;
        *out = window = rank == 1 ? infer_dim(c, 2, 0) : SYM_UNKNOWN;
    }
    int rc = scalar(c, 3, out, e);
    if (rc < 0)
        return rc;
    if (sym_differ(c->syms, window, *out))
        return err_set(e, ERR_INPUT, "the window's length is not frame_length");
    if (sym_is_number(*out) && *out < 1)
        return err_set(e, ERR_INPUT, "frame_length is %lld", (long long)*out);
    return 0;
}

static int stft_infer(struct infer *c, struct err *e)
{
    const struct attrs_stft *at = c->attrs;
    int64_t step = SYM_UNKNOWN, length, dims[4];
    int rc = infer_dtypes(c, 0, DT_FLOATS, e);
    if (rc == 0)
        rc = scalar(c, 1, &step, e);
    if (rc >= 0 && sym_is_number(step) && step < 1)
        rc = err_set(e, ERR_INPUT, "frame_step is %lld", (long long)step);
    if (rc < 0)
        return rc;
    if (infer_rank(c, 0) < 0) {
        dims[0] = dims[1] = dims[2] = SYM_UNKNOWN;
        dims[3] = 2;
        return infer_set(c, 0, infer_dtype(c, 0), 4, dims, e);
    }
    if (infer_rank(c, 0) != 3)
        return err_set(e, ERR_MODEL, "the signal has rank %d, expected 3", infer_rank(c, 0));
    rc = parts_of(c, at->onesided != 0, e);
    if (rc == 0)
        rc = frame_length(c, &length, e);
    if (rc < 0)
        return rc;
    int64_t rest = sym_sub(c->syms, infer_dim(c, 0, 1), length);
    if (sym_is_number(rest) && rest < 0)
        return err_set(e, ERR_INPUT, "a frame of %lld does not fit into the signal", (long long)length);
    dims[0] = infer_dim(c, 0, 0);
    dims[1] = sym_add(c->syms, sym_floor_div(c->syms, rest, step), 1);
    dims[3] = 2;
    rc = bins_of(c, length, at->onesided != 0, &dims[2], e);
    return rc < 0 ? rc : infer_set(c, 0, infer_dtype(c, 0), 4, dims, e);
}

/* ---- lanes ------------------------------------------------------------------------------------ */

/* Many transforms of length n. Lane i reads `in_len` numbers of `in_parts` parts and writes `out_len` of
 * `out_parts`; the places are DFT's, or STFT's (frames) where step is not 0. */
struct lanes {
    const struct tensor *in, *window;
    struct tensor *out;
    int64_t n, lanes, tasks, in_len, out_len, inner, in_parts, out_parts;
    int64_t step, frames, signal; /* STFT */
    bool inverse, mirror;         /* mirror: half a spectrum to a real signal */
    size_t table, work;           /* doubles */
    struct fft fft;
};

static bool lanes_size(struct lanes *v)
{
    size_t bytes;
    v->table = v->work = 0;
    if (v->n < 1)
        return true;
    if (!fft_sizes(v->n, &v->table, &v->work))
        return false;
    return size_mul(v->table, sizeof(double), &bytes);
}

static struct lanes dft_lanes(const struct call *c)
{
    const struct attrs_dft *at = c->attrs;
    const struct tensor *x = call_in(c, 0), *axes = c->node->opset < 20 ? NULL : call_in(c, 2);
    int64_t axis = c->node->opset < 20 ? at->axis : axes ? tensor_int(axes, 0) : -2;
    int k = (int)(axis < 0 ? axis + x->rank : axis);
    struct lanes v = {.in = x, .out = call_out(c, 0), .inverse = at->inverse != 0};
    v.mirror = at->inverse && at->onesided;
    v.n = call_in(c, 1) ? tensor_int(call_in(c, 1), 0) : v.mirror ? 2 * (x->dims[k] - 1) : x->dims[k];
    v.inner = dims_product(x->dims, k + 1, x->rank - 1);
    v.lanes = v.inner * dims_product(x->dims, 0, k);
    v.in_len = x->dims[k];
    v.out_len = v.out->dims[k];
    v.in_parts = x->dims[x->rank - 1];
    v.out_parts = v.out->dims[x->rank - 1];
    return v;
}

static struct lanes stft_lanes(const struct call *c)
{
    const struct tensor *x = call_in(c, 0), *length = call_in(c, 3);
    struct lanes v = {.in = x, .window = call_in(c, 2), .out = call_out(c, 0), .inner = 1};
    v.n = length ? tensor_int(length, 0) : v.window ? v.window->dims[0] : x->dims[1];
    v.step = tensor_int(call_in(c, 1), 0);
    v.frames = v.out->dims[1];
    v.signal = x->dims[1];
    v.lanes = v.frames * x->dims[0];
    v.in_len = v.n;
    v.out_len = v.out->dims[2];
    v.in_parts = x->dims[2];
    v.out_parts = 2;
    return v;
}

/* Lane `lane` as n complex numbers, zeros behind its end. */
static void load(const struct lanes *v, int64_t lane, double *z)
{
    int64_t n = v->in_len < v->n ? v->in_len : v->n, half = v->n / 2 + 1, parts = v->in_parts;
    int64_t start = v->step ? lane / v->frames * v->signal + lane % v->frames * v->step
                            : lane / v->inner * v->in_len * v->inner + lane % v->inner;
    if (v->mirror && n > half)
        n = half;
    for (int64_t i = 0; i < v->n; i++)
        z[2 * i] = z[2 * i + 1] = 0;
    if (v->inner == 1 && parts == 2)
        elems_to_f64(v->in->dtype, v->in->data, start * 2, n * 2, z);
    else
        for (int64_t i = 0; i < n; i++)
            elems_to_f64(v->in->dtype, v->in->data, (start + i * v->inner) * parts, parts, z + 2 * i);
    for (int64_t i = 0; v->window && i < n; i++) {
        double w = tensor_float(v->window, i);
        z[2 * i] *= w;
        z[2 * i + 1] *= w;
    }
    if (!v->mirror)
        return;
    /* A real signal's spectrum: the other half is the conjugate; what is its own mirror is real. */
    z[1] = 0;
    if (v->n % 2 == 0)
        z[v->n + 1] = 0;
    for (int64_t i = 1; 2 * i < v->n; i++) {
        z[2 * (v->n - i)] = z[2 * i];
        z[2 * (v->n - i) + 1] = -z[2 * i + 1];
    }
}

static void store(const struct lanes *v, int64_t lane, const double *z)
{
    int64_t parts = v->out_parts;
    int64_t start = lane / v->inner * v->out_len * v->inner + lane % v->inner;
    if (v->inner == 1 && parts == 2)
        elems_from_f64(v->out->dtype, v->out->data, start * 2, v->out_len * 2, z);
    else
        for (int64_t i = 0; i < v->out_len; i++)
            elems_from_f64(v->out->dtype, v->out->data, (start + i * v->inner) * parts, parts, z + 2 * i);
}

/* Swap real and imaginary parts, times `scale`. */
static void swap_parts(double *z, int64_t n, double scale)
{
    for (int64_t i = 0; i < n; i++) {
        double re = z[2 * i];
        z[2 * i] = z[2 * i + 1] * scale;
        z[2 * i + 1] = re * scale;
    }
}

/* What goes in, what comes out, and the transform's own; returns the bytes of all. */
static size_t lane_parts(const struct lanes *v, struct parts p, double **in, double **out, double **work)
{
    *in = parts_take(&p, 2 * (size_t)v->n, sizeof(double));
    *out = parts_take(&p, 2 * (size_t)v->n, sizeof(double));
    *work = parts_take(&p, v->work, sizeof(double));
    return p.bytes;
}

static int lane_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    void *const *args = arg;
    const struct lanes *v = args[0];
    double *in, *out, *work;
    lane_parts(v, parts_member(args[1], member), &in, &out, &work);
    struct span s = span_of(begin, end, v->tasks, v->lanes);
    for (int64_t i = s.first; i < s.last; i++) {
        load(v, i, in);
        if (v->inverse)
            swap_parts(in, v->n, 1);
        fft_run(&v->fft, in, out, work);
        if (v->inverse)
            swap_parts(out, v->n, 1 / (double)v->n);
        store(v, i, out);
    }
    return 0;
}

static size_t lanes_scratch(struct lanes v, size_t *per_member)
{
    struct parts none = {0};
    double *in, *out, *work;
    if (!lanes_size(&v))
        return SIZE_MAX;
    *per_member = v.n < 1 ? 0 : lane_parts(&v, none, &in, &out, &work);
    return v.table * sizeof(double);
}

static int lanes_run(struct call *c, struct lanes v, struct err *e)
{
    if (v.lanes == 0 || v.out_len == 0)
        return 0;
    if (v.n < 1 || !lanes_size(&v))
        return err_set(e, ERR_LIMIT, "a transform of length %lld", (long long)v.n);
    double *in, *out, *work;
    lane_parts(&v, parts_member(c, 0), &in, &out, &work);
    fft_init(&v.fft, v.n, c->scratch, work);
    v.tasks = tasks_for(v.lanes, v.n * 16);
    void *args[] = {&v, c};
    return call_tasks(c, v.tasks, lane_tasks, args, e);
}

static size_t dft_scratch(const struct call *c, size_t *per_member)
{
    return lanes_scratch(dft_lanes(c), per_member);
}

static size_t stft_scratch(const struct call *c, size_t *per_member)
{
    return lanes_scratch(stft_lanes(c), per_member);
}

static int dft_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return lanes_run(c, dft_lanes(c), e);
}

static int stft_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return lanes_run(c, stft_lanes(c), e);
}

const struct op op_dft = {
    .domain = "", .name = "DFT", .since = 17,
    .in_min = 1, .in_max = 3, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_LEADER, .host_in = 6,
    .attrs = dft_attrs, .attrs_size = sizeof(struct attrs_dft),
    .infer = dft_infer, .scratch = dft_scratch, .run = dft_run,
};

const struct op op_stft = {
    .domain = "", .name = "STFT", .since = 17,
    .in_min = 2, .in_max = 4, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_LEADER, .host_in = 10,
    .attrs = stft_attrs, .attrs_size = sizeof(struct attrs_stft),
    .infer = stft_infer, .scratch = stft_scratch, .run = stft_run,
};
