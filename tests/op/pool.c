/* SPDX-License-Identifier: Apache-2.0 */
/* MaxPool, AveragePool, LpPool and the global ones. */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* A sum of at most a few hundred terms, divided once; for LpPool powers through libm. */
#define TOL 16
#define FLOATS "f32 f64 f16 bf16"

static void fill(const struct op_run *r, const char *name, int64_t *v, int n, int64_t value)
{
    if (op_ints(r, name, v) == 0)
        for (int k = 0; k < n; k++)
            v[k] = value;
}

struct window {
    int n;
    int64_t kernel[8], stride[8], dilation[8], pad[16], in[8], out[8];
};

static void place_window(const struct op_run *r, struct window *w)
{
    bool upper = op_is(r, "auto_pad", "SAME_UPPER"), lower = op_is(r, "auto_pad", "SAME_LOWER");
    for (int k = 0; k < w->n; k++) {
        int64_t reach = (w->kernel[k] - 1) * w->dilation[k] + 1;
        if (upper || lower) {
            w->out[k] = (w->in[k] + w->stride[k] - 1) / w->stride[k];
            int64_t all = (w->out[k] - 1) * w->stride[k] + reach - w->in[k];
            all = all < 0 ? 0 : all;
            w->pad[k] = upper ? all / 2 : all - all / 2;
            w->pad[k + w->n] = all - w->pad[k];
            continue;
        }
        int64_t room = w->in[k] + w->pad[k] + w->pad[k + w->n] - reach;
        w->out[k] = room / w->stride[k] + 1;
        /* Rounded up, but a window never starts in the padding at the end. */
        if (op_int(r, "ceil_mode", 0) && room % w->stride[k] &&
            w->out[k] * w->stride[k] < w->in[k] + w->pad[k])
            w->out[k]++;
    }
}

/* One result: what the taps inside give, and how many count. */
struct pooled {
    double most, sum, powers, magnitude;
    int64_t at, inside, counted;
};

static struct pooled pool_at(const struct window *w, const double *plane, const int64_t *index,
                             double p)
{
    struct pooled out = {.most = -INFINITY, .at = -1};
    int64_t taps = op_product(w->kernel, 0, w->n), tap[8];
    for (int64_t t = 0; t < taps; t++) {
        int64_t place = 0;
        bool inside = true, padded = true;
        op_unravel(t, w->kernel, w->n, tap);
        for (int k = 0; k < w->n; k++) {
            int64_t i = index[k] * w->stride[k] - w->pad[k] + tap[k] * w->dilation[k];
            inside &= i >= 0 && i < w->in[k];
            padded &= i < w->in[k] + w->pad[k + w->n];
            place = place * w->in[k] + i;
        }
        out.counted += padded;
        if (!inside)
            continue;
        double v = plane[place];
        out.inside++;
        out.sum += v;
        out.magnitude += fabs(v);
        out.powers += pow(fabs(v), p);
        if (v > out.most || out.at < 0) {
            out.most = v;
            out.at = place;
        }
    }
    return out;
}

static struct window pool_window(const struct op_run *r, bool global)
{
    const struct op_tensor *x = &r->in[0];
    struct window w = {.n = x->rank - 2};
    fill(r, "strides", w.stride, w.n, 1);
    fill(r, "dilations", w.dilation, w.n, 1);
    fill(r, "pads", w.pad, 2 * w.n, 0);
    memcpy(w.in, x->dims + 2, (size_t)w.n * sizeof *w.in);
    memcpy(w.kernel, w.in, sizeof w.kernel);
    if (!global)
        fill(r, "kernel_shape", w.kernel, w.n, 1);
    place_window(r, &w);
    return w;
}

static void pool(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    const char *name = r->row->name;
    bool global = strncmp(name, "Global", 6) == 0;
    struct window w = pool_window(r, global);
    name += global ? 6 : 0;
    int64_t dims[TENSOR_RANK_MAX] = {x->dims[0], x->dims[1]}, index[TENSOR_RANK_MAX];
    memcpy(dims + 2, w.out, (size_t)w.n * sizeof *dims);
    struct op_tensor *y = op_out(r, 0, x->dtype, x->rank, dims);
    double *scale = op_scale(y), p = (double)op_int(r, "p", 2);
    int64_t plane = op_product(w.in, 0, w.n);
    if (r->n_out > 1)
        op_out(r, 1, DTYPE_I64, x->rank, dims);
    for (int64_t i = 0; i < y->n; i++) {
        op_unravel(i, dims, x->rank, index);
        int64_t base = (index[0] * dims[1] + index[1]) * plane;
        struct pooled v = pool_at(&w, x->v + base, index + 2, p);
        if (strcmp(name, "MaxPool") == 0) {
            y->v[i] = v.most;
            if (r->n_out > 1)
                r->out[1].v[i] = (double)(base + v.at);
        } else if (strcmp(name, "AveragePool") == 0) {
            int64_t n = op_int(r, "count_include_pad", 0) ? v.counted : v.inside;
            y->v[i] = v.sum / (double)n;
            scale[i] = v.magnitude / (double)n;
        } else {
            y->v[i] = scale[i] = pow(v.powers, 1 / p);
        }
    }
}

#define MAX_(attrs_, in_, types_) \
    {.name = "MaxPool", .attrs = attrs_, .in = in_, .types = types_, .ref = pool}
#define MAX2(attrs_, in_) {.name = "MaxPool", .attrs = attrs_, .in = in_, .outs = 2, .ref = pool}
#define AVERAGE(attrs_, in_, types_) \
    {.name = "AveragePool", .attrs = attrs_, .in = in_, .types = types_, .ref = pool, .tol = TOL}

static const struct op_case rows[] = {
    MAX_("kernel_shape=2,2 strides=2,2", "T[B,3,8,10]", FLOATS " i8 u8"),
    MAX_("kernel_shape=3,3 strides=2,2 pads=1,1,1,1", "T[B,5,15,37]", FLOATS),
    MAX_("kernel_shape=3,2 pads=1,0,1,1 dilations=2,3", "f32[B,3,9,11]", "f32"),
    MAX_("kernel_shape=3,3 strides=2,2 ceil_mode=1", "f32[B,3,8,9]", "f32"),
    MAX_("kernel_shape=3,3 strides=2,2 auto_pad=SAME_UPPER", "f32[B,3,8,9]", "f32"),
    MAX_("kernel_shape=4,3 strides=3,2 auto_pad=SAME_LOWER", "f32[B,3,8,9]", "f32"),
    MAX_("kernel_shape=5 strides=3", "f32[B,3,50]", "f32"),
    MAX_("kernel_shape=2,3,2 strides=2,1,1 pads=0,1,0,1,1,1", "f32[B,2,5,6,7]", "f32"),
    /* Indices count through the batch, so rows are not alike. */
    MAX2("kernel_shape=2,2 strides=2,2", "f32[3,3,8,10]"),
    MAX2("kernel_shape=3,3 pads=1,1,1,1", "f32[2,3,6,5]=1,1,2,2"),
    AVERAGE("kernel_shape=2,2 strides=2,2", "T[B,3,8,10]", FLOATS),
    AVERAGE("kernel_shape=3,3 pads=1,1,1,1", "T[B,3,9,21]", FLOATS),
    AVERAGE("kernel_shape=3,3 pads=1,1,1,1 count_include_pad=1 strides=2,1", "f32[B,3,9,21]",
            "f32"),
    AVERAGE("kernel_shape=3,3 strides=2,2 ceil_mode=1", "f32[B,3,8,9]", "f32"),
    AVERAGE("kernel_shape=3,3 strides=3,3 pads=1,1,1,1 ceil_mode=1 count_include_pad=1",
            "f32[B,3,9,8]",
            "f32"),
    AVERAGE("kernel_shape=2,3 dilations=3,2 pads=1,1,1,1", "f32[B,3,9,11]", "f32"),
    AVERAGE("kernel_shape=4,4 strides=2,2 auto_pad=SAME_UPPER", "f32[B,3,9,7]", "f32"),
    AVERAGE("kernel_shape=3 pads=1,1", "f32[B,3,33]", "f32"),
    AVERAGE("kernel_shape=2,2,2", "f32[B,2,4,5,6]", "f32"),
    {.name = "LpPool", .attrs = "kernel_shape=3,3 strides=2,1 pads=1,1,1,1", .in = "T[B,3,8,9]",
     .types = FLOATS, .ref = pool, .tol = TOL},
    {.name = "LpPool", .attrs = "kernel_shape=2,2 p=3", .in = "f32[B,3,8,9]", .ref = pool,
     .tol = 64},
    {.name = "LpPool", .attrs = "kernel_shape=2,2 p=1", .in = "f32[B,3,8,9]", .ref = pool,
     .tol = TOL},
    {.name = "GlobalAveragePool", .in = "T[B,5,7,9]", .types = FLOATS, .ref = pool, .tol = TOL},
    {.name = "GlobalAveragePool", .in = "f32[B,5,40,40]:0:1", .ref = pool, .tol = TOL},
    {.name = "GlobalAveragePool", .in = "f32[B,5,1,1]", .ref = pool, .tol = TOL},
    {.name = "GlobalAveragePool", .in = "f32[B,5,17]", .ref = pool, .tol = TOL},
    {.name = "GlobalMaxPool", .in = "T[B,5,7,9]", .types = FLOATS, .ref = pool},
    {.name = "GlobalMaxPool", .in = "f32[B,5,3,4,5]", .ref = pool},
    {.name = "GlobalLpPool", .in = "T[B,5,7,9]", .types = FLOATS, .ref = pool, .tol = TOL},
};

OP_MAIN("op pool", OP_TABLE(rows))
