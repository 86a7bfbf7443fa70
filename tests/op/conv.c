/* SPDX-License-Identifier: Apache-2.0 */
/* Conv, ConvTranspose, ConvInteger, QLinearConv: straight from the sums over the window. */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* As for products: sums of a few hundred terms, eps of the sum of magnitudes, few times over. */
#define TOL 8
#define FLOATS "f32 f64 f16 bf16"

struct window {
    int n;
    int64_t kernel[8], stride[8], dilation[8], pad[16], in[8], out[8];
};

static void fill(const struct op_run *r, const char *name, int64_t *v, int n, int64_t value)
{
    if (op_ints(r, name, v) == 0)
        for (int k = 0; k < n; k++)
            v[k] = value;
}

static struct window window_of(const struct op_run *r, const struct op_tensor *x,
                               const struct op_tensor *w)
{
    struct window win = {.n = x->rank - 2};
    fill(r, "strides", win.stride, win.n, 1);
    fill(r, "dilations", win.dilation, win.n, 1);
    fill(r, "pads", win.pad, 2 * win.n, 0);
    for (int k = 0; k < win.n; k++) {
        win.in[k] = x->dims[k + 2];
        win.kernel[k] = w->dims[k + 2];
    }
    return win;
}

/* pads of Conv's auto_pad, and out dims. */
static void conv_dims(const struct op_run *r, struct window *w)
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
        }
        w->out[k] = (w->in[k] + w->pad[k] + w->pad[k + w->n] - reach) / w->stride[k] + 1;
    }
}

/* The sum for output channel m at `at` of image b; x and w less their zero points. */
static double conv_at(const struct window *win, const struct op_tensor *x,
                      const struct op_tensor *w,
                      int64_t groups, int64_t b, int64_t m, const int64_t *at, double zx, double zw,
                      double *all)
{
    int64_t c = w->dims[1], g = m / (w->dims[0] / groups), tap[8], taps = op_product(win->kernel, 0,
                                                                                     win->n);
    int64_t plane = op_product(win->in, 0, win->n);
    double sum = 0;
    for (int64_t t = 0; t < taps; t++) {
        int64_t place = 0;
        bool inside = true;
        op_unravel(t, win->kernel, win->n, tap);
        for (int k = 0; k < win->n; k++) {
            int64_t i = at[k] * win->stride[k] - win->pad[k] + tap[k] * win->dilation[k];
            inside &= i >= 0 && i < win->in[k];
            place = place * win->in[k] + i;
        }
        for (int64_t i = 0; i < c && inside; i++) {
            double one = (x->v[(b * x->dims[1] + g * c + i) * plane + place] - zx) *
                         (w->v[(m * c + i) * taps + t] - zw);
            sum += one;
            *all += fabs(one);
        }
    }
    return sum;
}

/* The places of x, w, the bias and the zero points among the inputs. */
struct roles {
    int x, w, bias, zx, zw;
};

static void conv_sums(struct op_run *r, struct roles p, enum dtype out)
{
    const struct op_tensor *x = &r->in[p.x], *w = &r->in[p.w];
    struct window win = window_of(r, x, w);
    int64_t dims[TENSOR_RANK_MAX] = {x->dims[0], w->dims[0]}, index[TENSOR_RANK_MAX];
    conv_dims(r, &win);
    memcpy(dims + 2, win.out, (size_t)win.n * sizeof *dims);
    struct op_tensor *y = op_out(r, 0, out, x->rank, dims);
    double *scale = op_scale(y);
    for (int64_t i = 0; i < y->n; i++) {
        op_unravel(i, dims, x->rank, index);
        int64_t m = index[1];
        double zx = p.zx && op_has(r, p.zx) ? r->in[p.zx].v[0] : 0;
        double zw = p.zw && op_has(r, p.zw) ? r->in[p.zw].v[r->in[p.zw].n > 1 ? m : 0] : 0;
        y->v[i] = conv_at(&win, x, w, op_int(r, "group", 1), index[0], m, index + 2, zx, zw,
                          &scale[i]);
        if (p.bias && op_has(r, p.bias)) {
            y->v[i] += r->in[p.bias].v[m];
            scale[i] += fabs(r->in[p.bias].v[m]);
        }
    }
}

static void conv(struct op_run *r)
{
    conv_sums(r, (struct roles){0, 1, 2, 0, 0}, r->in[0].dtype);
}

static void conv_integer(struct op_run *r)
{
    conv_sums(r, (struct roles){0, 1, 0, 2, 3}, DTYPE_I32);
}

static void qlinear_conv(struct op_run *r)
{
    conv_sums(r, (struct roles){0, 3, 8, 2, 5}, r->in[7].dtype);
    struct op_tensor *y = &r->out[0];
    double low = y->dtype == DTYPE_U8 ? 0 : -128;
    int64_t plane = op_product(y->dims, 2, y->rank);
    for (int64_t i = 0; i < y->n; i++) {
        int64_t m = i / plane % y->dims[1];
        double v = y->v[i] * r->in[1].v[0] * r->in[4].v[r->in[4].n > 1 ? m : 0] / r->in[6].v[0];
        y->v[i] = fmin(fmax(nearbyint(v) + r->in[7].v[0], low), low + 255);
    }
}

#define CONV(attrs_, in_) \
    {.name = "Conv", .attrs = attrs_, .in = in_, .types = FLOATS, .ref = conv, .tol = TOL}
#define CONV32(attrs_, in_) {.name = "Conv", .attrs = attrs_, .in = in_, .ref = conv, .tol = TOL}

static const struct op_case conv_rows[] = {
    CONV("", "T[B,3,9,8] T[5,3,3,3] T[5]"),
    CONV("pads=1,2,0,1 strides=2,3", "T[B,4,9,11] T[6,4,3,2]"),
    CONV("pads=2,2,2,2 dilations=2,3 group=2", "T[B,4,9,11] T[6,2,3,2] T[6]"),
    CONV("group=8 pads=1,1,1,1", "T[B,8,10,19] T[8,1,3,3] T[8]"),
    CONV32("group=16 pads=2,2,2,2 strides=2,2", "f32[B,16,15,17] f32[16,1,5,5] f32[16]"),
    CONV32("group=5 pads=1,1,1,1 dilations=2,2", "f32[B,5,9,9] f32[5,1,3,3]"),
    CONV32("group=4 pads=0,1,1,0", "f32[B,4,7,7] f32[12,1,3,3] f32[12]"),
    CONV32("", "f32[B,17,7,7] f32[33,17,1,1] f32[33]"),
    CONV32("strides=2,2", "f32[B,16,9,9] f32[32,16,1,1]"),
    CONV32("auto_pad=SAME_UPPER strides=2,2", "f32[B,3,8,9] f32[4,3,3,4] f32[4]"),
    CONV32("auto_pad=SAME_LOWER strides=2,3", "f32[B,3,8,9] f32[4,3,3,4] f32[4]"),
    CONV32("auto_pad=VALID", "f32[B,3,8,9] f32[4,3,3,4]"),
    CONV32("pads=3,3,3,3 strides=2,2 kernel_shape=7,7", "f32[B,3,33,35] f32[16,3,7,7] f32[16]"),
    CONV32("pads=1,1,1,1", "f32[B,40,30,30] f32[48,40,3,3] f32[48]"),
    CONV("pads=2,1 strides=2 dilations=2", "T[B,3,17] T[4,3,3] T[4]"),
    CONV32("group=6 pads=1,1", "f32[B,6,40] f32[6,1,3] f32[6]"),
    CONV("pads=1,0,1,1,1,0 strides=1,2,1", "T[B,2,5,6,7] T[3,2,2,3,2] T[3]"),
    CONV32("group=4 pads=1,1,1,1,1,1", "f32[B,4,5,6,7] f32[4,1,3,3,3]"),
    CONV32("pads=4,4,4,4", "f32[B,2,2,2] f32[3,2,3,3] f32[3]"),
};

static const struct op_case integer_rows[] = {
    {.name = "ConvInteger", .in = "u8[B,3,7,6]:0:255 u8[4,3,3,3]:0:255 u8[]=5 u8[]=9",
     .ref = conv_integer,
     .attrs = "pads=1,1,1,1"},
    {.name = "ConvInteger", .in = "u8[B,4,7,6]:0:255 i8[4,2,3,3]:-128:127 - i8[4]=1,2,-3,4",
     .ref = conv_integer, .attrs = "group=2 strides=2,1"},
    {.name = "ConvInteger", .in = "i8[B,3,9]:-128:127 i8[4,3,3]:-128:127", .ref = conv_integer},
    /* Halfway between integers, f32 may fall either way. */
    {.name = "QLinearConv", .attrs = "pads=1,1,1,1", .quantum = 1, .ref = qlinear_conv,
     .in = "u8[B,3,7,6]:0:255 f32[]=0.02 u8[]=120 i8[4,3,3,3]:-128:127 "
           "f32[4]=0.01,0.02,0.03,0.01 i8[4]=0 "
           "f32[]=0.3 u8[]=100 i32[4]:-500:500"},
    {.name = "QLinearConv", .attrs = "group=4 strides=2,2", .quantum = 1, .ref = qlinear_conv,
     .in = "i8[B,4,9,9]:-128:127 f32[]=0.02 i8[]=3 i8[4,1,3,3]:-128:127 f32[]=0.01 i8[]=0 "
           "f32[]=0.3 i8[]=-10"},
};

static void transpose_dims(const struct op_run *r, struct window *w)
{
    int64_t given[8], more[8];
    bool shape = op_ints(r, "output_shape", given) > 0;
    bool upper = op_is(r, "auto_pad", "SAME_UPPER"), lower = op_is(r, "auto_pad", "SAME_LOWER");
    fill(r, "output_padding", more, w->n, 0);
    for (int k = 0; k < w->n; k++) {
        int64_t reach = (w->kernel[k] - 1) * w->dilation[k] + 1;
        int64_t full = w->stride[k] * (w->in[k] - 1) + more[k] + reach;
        w->out[k] = shape ? given[k] : upper || lower ? w->in[k] * w->stride[k]
                                                      : full - w->pad[k] - w->pad[k + w->n];
        if (shape || upper || lower) {
            int64_t all = full > w->out[k] ? full - w->out[k] : 0; /* more is zeros at the end */
            w->pad[k] = upper ? all / 2 : all - all / 2;
        }
    }
}

static void conv_transpose(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0], *w = &r->in[1];
    struct window win = window_of(r, x, w);
    int64_t groups = op_int(r, "group",
                            1), per = w->dims[1], c = x->dims[1] / groups, tap[8], from[8];
    int64_t dims[TENSOR_RANK_MAX] = {x->dims[0], per * groups};
    transpose_dims(r, &win);
    memcpy(dims + 2, win.out, (size_t)win.n * sizeof *dims);
    struct op_tensor *y = op_out(r, 0, x->dtype, x->rank, dims);
    double *scale = op_scale(y);
    int64_t taps = op_product(win.kernel, 0, win.n), plane = op_product(win.in, 0, win.n);
    int64_t out_plane = op_product(win.out, 0, win.n);
    for (int64_t i = 0; i < y->n && op_has(r, 2); i++) {
        y->v[i] = r->in[2].v[i / out_plane % dims[1]];
        scale[i] = fabs(y->v[i]);
    }
    for (int64_t e = 0; e < x->dims[0] * x->dims[1] * plane * per * taps; e++) {
        int64_t t = e % taps, m = e / taps % per, p = e / taps / per % plane;
        int64_t unit = e / taps / per / plane, channel = unit % x->dims[1], b = unit / x->dims[1];
        int64_t place = 0;
        bool inside = true;
        op_unravel(t, win.kernel, win.n, tap);
        op_unravel(p, win.in, win.n, from);
        for (int k = 0; k < win.n; k++) {
            int64_t o = from[k] * win.stride[k] + tap[k] * win.dilation[k] - win.pad[k];
            inside &= o >= 0 && o < win.out[k];
            place = place * win.out[k] + o;
        }
        if (!inside)
            continue;
        double one = x->v[unit * plane + p] * w->v[(channel * per + m) * taps + t];
        int64_t at = (b * dims[1] + channel / c * per + m) * out_plane + place;
        y->v[at] += one;
        scale[at] += fabs(one);
    }
}

#define TRANSPOSE(attrs_, in_) \
    {.name = "ConvTranspose", .attrs = attrs_, .in = in_, .ref = conv_transpose, .tol = TOL}

static const struct op_case transpose_rows[] = {
    {.name = "ConvTranspose", .in = "T[B,3,4,5] T[3,2,3,3] T[2]", .types = FLOATS,
     .ref = conv_transpose,
     .tol = TOL},
    TRANSPOSE("strides=2,3 pads=1,0,1,2 output_padding=1,2", "f32[B,4,4,5] f32[4,3,3,4] f32[3]"),
    TRANSPOSE("group=2 dilations=2,2 strides=2,1", "f32[B,4,4,5] f32[4,3,3,2]"),
    TRANSPOSE("group=4 strides=2,2 pads=1,1,1,1", "f32[B,4,4,5] f32[4,1,4,4] f32[4]"),
    TRANSPOSE("strides=2,2", "f32[B,32,14,14] f32[32,24,2,2] f32[24]"),
    TRANSPOSE("auto_pad=SAME_UPPER strides=2,2", "f32[B,3,4,5] f32[3,2,3,3]"),
    TRANSPOSE("auto_pad=SAME_LOWER strides=2,2", "f32[B,3,4,5] f32[3,2,3,3]"),
    TRANSPOSE("output_shape=10,9 strides=3,2", "f32[B,1,3,3] f32[1,2,3,3]"),
    TRANSPOSE("strides=2 pads=1,1", "f32[B,3,9] f32[3,5,4] f32[5]"),
    TRANSPOSE("strides=2,1,2", "f32[B,2,3,4,3] f32[2,3,2,3,2] f32[3]"),
};

OP_MAIN("op conv", OP_TABLE(conv_rows), OP_TABLE(integer_rows), OP_TABLE(transpose_rows))
