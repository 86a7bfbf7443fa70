/* SPDX-License-Identifier: Apache-2.0 */
/* Resize: nearest, linear and cubic on the dims that change, with the coordinate modes. */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* f32 coordinates of size up to 40 and their weights: eps times the coordinate, of the values'
 * size; scale is the sum of |weight * value|, at least 1. */
#define TOL 100

static double coordinate(const struct op_run *r, double i, double scale, double in, double out)
{
    if (op_is(r, "coordinate_transformation_mode", "asymmetric"))
        return i / scale;
    if (op_is(r, "coordinate_transformation_mode", "align_corners"))
        return out == 1 ? 0 : i * (in - 1) / (out - 1);
    if (op_is(r, "coordinate_transformation_mode", "pytorch_half_pixel"))
        return out > 1 ? (i + 0.5) / scale - 0.5 : 0;
    if (op_is(r, "coordinate_transformation_mode", "half_pixel_symmetric"))
        return in / 2 * (1 - out / (scale * in)) + (i + 0.5) / scale - 0.5;
    return (i + 0.5) / scale - 0.5;
}

static double nearest(const struct op_run *r, double x)
{
    if (op_is(r, "nearest_mode", "floor"))
        return floor(x);
    if (op_is(r, "nearest_mode", "ceil"))
        return ceil(x);
    if (op_is(r, "nearest_mode", "round_prefer_ceil"))
        return floor(x + 0.5);
    return ceil(x - 0.5);
}

struct taps {
    int n;
    int64_t at[4];
    double weight[4];
};

static double cubic_weight(double t, double a)
{
    t = fabs(t);
    if (t <= 1)
        return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? a * (((t - 5) * t + 8) * t - 4) : 0;
}

static struct taps taps_at(const struct op_run *r, double x, int64_t in)
{
    struct taps t = {.n = op_is(r, "mode", "linear") ? 2 : op_is(r, "mode", "cubic") ? 4 : 1};
    double low = floor(x), part = x - low, sum = 0, a = op_float(r, "cubic_coeff_a", -0.75);
    for (int k = 0; k < t.n; k++) {
        double at = t.n == 1 ? nearest(r, x) : low + k - (t.n == 4);
        t.weight[k] = t.n == 1 ? 1 : t.n == 2 ? (k ? part : 1 - part) : cubic_weight(x - at, a);
        if (t.n == 4 && op_int(r, "exclude_outside", 0) && (at < 0 || at >= (double)in))
            t.weight[k] = 0;
        sum += t.weight[k];
        t.at[k] = (int64_t)fmin(fmax(at, 0), (double)in - 1);
    }
    for (int k = 0; k < t.n; k++)
        t.weight[k] /= op_int(r, "exclude_outside", 0) ? sum : 1;
    return t;
}

static void resize(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int64_t dims[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX], at[TENSOR_RANK_MAX], axes[16];
    double scale[TENSOR_RANK_MAX];
    bool sized = op_has(r, 3);
    int n = op_ints(r, "axes", axes);
    for (int k = 0; k < x->rank; k++) {
        dims[k] = x->dims[k];
        scale[k] = 1;
    }
    for (int k = 0; k < (n ? n : x->rank); k++) {
        int d = n ? op_axis(axes[k], x->rank) : k;
        dims[d] = (int64_t)(sized ? r->in[3].v[k] : floor(r->in[2].v[k] * (double)x->dims[d]));
        scale[d] = sized ? (double)dims[d] / (double)x->dims[d] : r->in[2].v[k];
    }
    struct op_tensor *y = op_out(r, 0, x->dtype, x->rank, dims);
    double *size = op_scale(y);
    for (int64_t i = 0; i < y->n; i++) {
        struct taps t[TENSOR_RANK_MAX];
        int64_t all = 1;
        op_unravel(i, dims, x->rank, index);
        for (int k = 0; k < x->rank; k++) {
            bool same = dims[k] == x->dims[k] && scale[k] == 1;
            double from = (double)x->dims[k], to = (double)dims[k];
            t[k] = taps_at(r, coordinate(r, (double)index[k], scale[k], from, to),
                           x->dims[k]);
            if (same)
                t[k] = (struct taps){1, {index[k]}, {1}};
            all *= t[k].n;
        }
        size[i] = 1;
        for (int64_t c = 0; c < all; c++) {
            int64_t rest = c;
            double w = 1;
            for (int k = 0; k < x->rank; k++) {
                at[k] = t[k].at[rest % t[k].n];
                w *= t[k].weight[rest % t[k].n];
                rest /= t[k].n;
            }
            double v = w * x->v[op_place(x, at, x->rank)];
            y->v[i] += v;
            size[i] += fabs(v);
        }
    }
}

#define NEAREST(attrs_, in_) \
    {.name = "Resize", .attrs = "mode=nearest " attrs_, .in = in_, .ref = resize}
#define SMOOTH(attrs_, in_) \
    {.name = "Resize", .attrs = attrs_, .in = in_, .ref = resize, .tol = TOL}
#define CT "coordinate_transformation_mode="

static const struct op_case rows[] = {
    {.name = "Resize", .attrs = "mode=nearest", .in = "T[B,3,4,5] - f32[4]=1,1,2,2", .ref = resize,
     .types = "f32 f64 f16 bf16 u8 i8 i32 i64"},
    NEAREST("axes=2,3", "f32[B,3,7,9] - - i64[2]=5,4"),
    NEAREST(CT "asymmetric nearest_mode=floor", "f32[B,3,7,9] - f32[4]=1,1,2,3"),
    NEAREST(CT "asymmetric nearest_mode=ceil", "f32[B,3,7,9] - f32[4]=1,1,0.5,1.5"),
    NEAREST(CT "half_pixel nearest_mode=round_prefer_ceil", "f32[B,3,8,8] - f32[4]=1,1,0.5,0.25"),
    NEAREST(CT "align_corners axes=2,3", "f32[B,3,5,9] - - i64[2]=9,5"),
    NEAREST("axes=2,3", "f32[B,3,5,9] - f32[2]=2,2"),
    NEAREST("", "f32[B,3,40] - f32[3]=1,1,4"),
    {.name = "Resize", .attrs = "mode=linear", .in = "T[B,3,4,5] - f32[4]=1,1,2,2", .ref = resize,
     .tol = TOL,
     .types = "f32 f64 f16 bf16"},
    SMOOTH("mode=linear axes=2,3", "f32[B,3,7,9] - - i64[2]=11,4"),
    SMOOTH("mode=linear " CT "align_corners axes=2,3", "f32[B,3,5,9] - - i64[2]=11,20"),
    SMOOTH("mode=linear " CT "asymmetric", "f32[B,3,5,9] - f32[4]=1,1,1.5,3"),
    SMOOTH("mode=linear " CT "pytorch_half_pixel axes=2,3", "f32[B,3,5,9] - - i64[2]=1,20"),
    SMOOTH("mode=linear " CT "half_pixel_symmetric", "f32[B,3,5,9] - f32[4]=1,1,1.3,0.7"),
    SMOOTH("mode=linear axes=1", "f32[B,5] - f32[1]=2.5"),
    SMOOTH("mode=linear", "f32[B,2,4,5,6] - f32[5]=1,1,2,0.5,1.5"),
    SMOOTH("mode=linear", "f32[B,4,40,33] - f32[4]=1,1,2,2"),
    SMOOTH("mode=cubic", "f32[B,3,7,9] - f32[4]=1,1,1.7,0.6"),
    SMOOTH("mode=cubic cubic_coeff_a=-0.5 exclude_outside=1 axes=2,3",
           "f32[B,3,7,9] - - i64[2]=9,12"),
};

OP_MAIN("op resize", OP_TABLE(rows))
