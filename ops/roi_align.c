/* SPDX-License-Identifier: Apache-2.0 */
/* RoiAlign and MaxRoiPool: pieces of a picture, named by boxes, at a fixed size. They compute in
 * f64, an output element at a time, so that the split does not matter, and round once.
 */
#include <math.h>

#include "ops/layout.h"

static double load(const struct tensor *t, int64_t i)
{
    switch (t->dtype) {
    case DTYPE_F32:
        return ((const float *)t->data)[i];
    case DTYPE_F64:
        return ((const double *)t->data)[i];
    case DTYPE_F16:
        return dtype_f16_to_f32(((const uint16_t *)t->data)[i]);
    default:
        return dtype_bf16_to_f32(((const uint16_t *)t->data)[i]);
    }
}

/* Checks what both have in common; output [rois, C, height, width]. */
static int pool_infer(struct infer *c, int64_t height, int64_t width, int columns, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (!r)
        r = infer_same_dtype(c, 0, 1, e);
    if (r)
        return r;
    if (infer_rank(c, 0) >= 0 && infer_rank(c, 0) != 4)
        return err_set(e, ERR_MODEL, "X has rank %d, expected 4", infer_rank(c, 0));
    if (infer_rank(c, 1) >= 0 && infer_rank(c, 1) != 2)
        return err_set(e, ERR_MODEL, "the rois have rank %d, expected 2", infer_rank(c, 1));
    if (infer_rank(c, 1) == 2 && sym_differ(c->syms, infer_dim(c, 1, 1), columns))
        return err_set(e, ERR_MODEL, "a roi is not of %d numbers", columns);
    if (height < 1 || width < 1)
        return err_set(e, ERR_MODEL, "an output of %lld by %lld", (long long)height,
                       (long long)width);
    int64_t dims[4] = {infer_rank(c, 1) < 0 ? infer_fresh(c) : infer_dim(c, 1, 0),
                       infer_rank(c, 0) < 0 ? infer_fresh(c) : infer_dim(c, 0, 1), height, width};
    return infer_set(c, 0, infer_dtype(c, 0), 4, dims, e);
}

/* ---- RoiAlign ---------------------------------------------------------------------------------
 */

struct align_attrs {
    struct str mode, coordinate_transformation_mode;
    int64_t output_height, output_width, sampling_ratio;
    float spatial_scale;
};

static bool is_word(struct str s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

static int align_infer(struct infer *c, struct err *e)
{
    const struct align_attrs *a = c->attrs;
    if (!is_word(a->mode, "avg") && !is_word(a->mode, "max"))
        return err_set(e, ERR_MODEL, "mode is neither avg nor max");
    if (!is_word(a->coordinate_transformation_mode, "half_pixel") &&
        !is_word(a->coordinate_transformation_mode, "output_half_pixel"))
        return err_set(
            e, ERR_MODEL,
            "coordinate_transformation_mode is neither half_pixel nor output_half_pixel");
    if (a->sampling_ratio < 0 || a->sampling_ratio > 4096)
        return err_set(e, ERR_MODEL, "sampling_ratio is %lld", (long long)a->sampling_ratio);
    int r = infer_dtypes(c, 2, DT(I64) | DT(I32), e);
    if (r)
        return r;
    if (infer_rank(c, 2) >= 0 && infer_rank(c, 2) != 1)
        return err_set(e, ERR_MODEL, "the batch indices have rank %d, expected 1",
                       infer_rank(c, 2));
    return pool_infer(c, a->output_height, a->output_width, 4, e);
}

/* A box in the picture's coordinates, and the samples a bin. */
struct roi {
    int64_t batch, grid_h, grid_w;
    double y, x, bin_h, bin_w;
};

static int read_roi(const struct call *c, int64_t n, struct roi *roi, struct err *e)
{
    const struct align_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *rois = call_in(c, 1), *batches = call_in(c, 2);
    bool half = is_word(a->coordinate_transformation_mode, "half_pixel");
    double scale = a->spatial_scale, offset = half ? 0.5 : 0;
    int64_t index = index_at(batches, n); /* none counts from the end */
    int r = norm_index(index >= 0 ? index : -1 - x->dims[0], x->dims[0], "batch index", &roi->batch,
                       e);
    if (r)
        return r;
    roi->x = load(rois, 4 * n) * scale - offset;
    roi->y = load(rois, 4 * n + 1) * scale - offset;
    double w = load(rois, 4 * n + 2) * scale - offset - roi->x;
    double h = load(rois, 4 * n + 3) * scale - offset - roi->y;
    if (!half) {
        w = w > 1 ? w : 1;
        h = h > 1 ? h : 1;
    }
    roi->bin_h = h / (double)a->output_height;
    roi->bin_w = w / (double)a->output_width;
    double grid_h = a->sampling_ratio ? (double)a->sampling_ratio : ceil(roi->bin_h);
    double grid_w = a->sampling_ratio ? (double)a->sampling_ratio : ceil(roi->bin_w);
    if (!(grid_h <= 65536) || !(grid_w <= 65536))
        return err_set(e, ERR_INPUT, "roi %lld is of %g by %g", (long long)n, w, h);
    roi->grid_h = grid_h > 0 ? (int64_t)grid_h : 0;
    roi->grid_w = grid_w > 0 ? (int64_t)grid_w : 0;
    return 0;
}

/* The two places around a coordinate and the weight of the second; false outside the picture. */
static bool around(double v, int64_t n, int64_t *low, int64_t *high, double *part)
{
    if (!(v >= -1 && v <= (double)n))
        return false;
    v = v > 0 ? v : 0;
    *low = (int64_t)v;
    *high = *low + 1;
    if (*low >= n - 1) {
        *low = *high = n - 1;
        v = (double)*low;
    }
    *part = v - (double)*low;
    return true;
}

/* One output element. Its maximum is that of the weighted corners, as the operator has always had
 * it. */
static double align_bin(const struct call *c, const struct roi *roi, int64_t channel, int64_t ph,
                        int64_t pw)
{
    const struct align_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    int64_t height = x->dims[2], width = x->dims[3];
    int64_t plane = (roi->batch * x->dims[1] + channel) * height * width;
    bool max = is_word(a->mode, "max"), any = false;
    double sum = 0, best = 0;
    for (int64_t iy = 0; iy < roi->grid_h; iy++) {
        double y = roi->y + (double)ph * roi->bin_h +
                   ((double)iy + 0.5) * roi->bin_h / (double)roi->grid_h;
        for (int64_t ix = 0; ix < roi->grid_w; ix++) {
            double v = roi->x + (double)pw * roi->bin_w +
                       ((double)ix + 0.5) * roi->bin_w / (double)roi->grid_w;
            double ly = 0, lx = 0, part[4] = {0};
            int64_t y0, y1, x0, x1;
            if (around(y, height, &y0, &y1, &ly) && around(v, width, &x0, &x1, &lx)) {
                part[0] = (1 - ly) * (1 - lx) * load(x, plane + y0 * width + x0);
                part[1] = (1 - ly) * lx * load(x, plane + y0 * width + x1);
                part[2] = ly * (1 - lx) * load(x, plane + y1 * width + x0);
                part[3] = ly * lx * load(x, plane + y1 * width + x1);
            }
            for (int i = 0; i < 4; i++) {
                best = any && !(part[i] > best) ? best : part[i];
                any = true;
            }
            sum += part[0] + part[1] + part[2] + part[3];
        }
    }
    int64_t count = roi->grid_h * roi->grid_w;
    return max ? best : sum / (double)(count > 1 ? count : 1);
}

static int64_t align_tasks(const struct call *c)
{
    return span_tasks(c, 64);
}

static int align_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 64);
    struct roi roi = {0};
    int64_t bins = y->dims[2] * y->dims[3], last = -1;
    if (call_in(c, 2)->dims[0] != call_in(c, 1)->dims[0])
        return err_set(e, ERR_INPUT, "%lld batch indices for %lld rois",
                       (long long)call_in(c, 2)->dims[0], (long long)call_in(c, 1)->dims[0]);
    if (s.first < s.last && dims_product(call_in(c, 0)->dims, 2, 4) == 0)
        return err_set(e, ERR_INPUT, "X has no elements");
    for (int64_t i = s.first; i < s.last; i++) {
        int64_t n = i / bins / y->dims[1], at = i % bins;
        int r = n != last ? read_roi(c, n, &roi, e) : 0;
        if (r)
            return r;
        last = n;
        double v = align_bin(c, &roi, i / bins % y->dims[1], at / y->dims[3], at % y->dims[3]);
        elems_from_f64(y->dtype, y->data, i, 1, &v);
    }
    return 0;
}

#define ALIGN_AT(field) offsetof(struct align_attrs, field)

/* Below version 16 there is no attribute for the coordinates: no shift. */
static int align_fix(struct node *n, struct err *e)
{
    struct align_attrs *a = n->attrs;
    if (n->opset < 16)
        a->coordinate_transformation_mode = (struct str){"output_half_pixel", 17};
    return 0;
}

static const struct attr align_attr_rows[] = {
    {"mode", ATTR_STRING, ALIGN_AT(mode), .s = "avg"},
    {"coordinate_transformation_mode", ATTR_STRING, ALIGN_AT(coordinate_transformation_mode),
     .since = 16, .s = "half_pixel"},
    {"output_height", ATTR_INT, ALIGN_AT(output_height), .i = 1},
    {"output_width", ATTR_INT, ALIGN_AT(output_width), .i = 1},
    {"sampling_ratio", ATTR_INT, ALIGN_AT(sampling_ratio)},
    {"spatial_scale", ATTR_FLOAT, ALIGN_AT(spatial_scale), .f = 1},
    {NULL},
};

const struct op op_roialign = {
    .domain = "",
    .name = "RoiAlign",
    .since = 10,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = align_attr_rows,
    .attrs_size = sizeof(struct align_attrs),
    .fix = align_fix,
    .infer = align_infer,
    .tasks = align_tasks,
    .run = align_run,
};

/* ---- MaxRoiPool -------------------------------------------------------------------------------
 */

struct pool_attrs {
    struct ints pooled_shape;
    float spatial_scale;
};

static int max_infer(struct infer *c, struct err *e)
{
    const struct pool_attrs *a = c->attrs;
    int r = ints_length(&a->pooled_shape, 2, "pooled_shape", e);
    if (r)
        return r;
    if (!a->pooled_shape.v)
        return err_set(e, ERR_MODEL, "has no pooled_shape");
    return pool_infer(c, a->pooled_shape.v[0], a->pooled_shape.v[1], 5, e);
}

/* Places [*from, *to) of n that bin `at` of `bins` of a roi from `start` to `end` takes. */
static void bin_range(double start, double end, int64_t at, int64_t bins, int64_t n, int64_t *from,
                      int64_t *to)
{
    double size = end - start + 1 > 1 ? end - start + 1 : 1, each = size / (double)bins;
    double low = floor((double)at * each) + start, high = ceil((double)(at + 1) * each) + start;
    low = low > 0 ? low : 0;
    high = high < (double)n ? high : (double)n;
    *from = low < (double)n ? (int64_t)low : n;
    *to = high > (double)*from ? (int64_t)high : *from;
}

static int max_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct pool_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *rois = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 64);
    int64_t bins = y->dims[2] * y->dims[3], y0, y1, x0, x1, batch;
    for (int64_t i = s.first; i < s.last; i++) {
        int64_t n = i / bins / y->dims[1], channel = i / bins % y->dims[1], at = i % bins;
        double index = load(rois, 5 * n), box[4], best = 0;
        int r = norm_index(index >= 0 && index < 1e9 ? (int64_t)index : -1 - x->dims[0], x->dims[0],
                           "batch index", &batch, e);
        if (r)
            return r;
        for (int k = 0; k < 4; k++)
            box[k] = round(load(rois, 5 * n + 1 + k) * a->spatial_scale);
        bin_range(box[1], box[3], at / y->dims[3], y->dims[2], x->dims[2], &y0, &y1);
        bin_range(box[0], box[2], at % y->dims[3], y->dims[3], x->dims[3], &x0, &x1);
        bool any = false;
        for (int64_t py = y0; py < y1; py++) {
            for (int64_t px = x0; px < x1; px++) {
                double v =
                    load(x, ((batch * x->dims[1] + channel) * x->dims[2] + py) * x->dims[3] + px);
                best = any && !(v > best) ? best : v;
                any = true;
            }
        }
        elems_from_f64(y->dtype, y->data, i, 1, &best);
    }
    return 0;
}

static const struct attr pool_attr_rows[] = {
    {"pooled_shape", ATTR_INTS, offsetof(struct pool_attrs, pooled_shape), .required = true},
    {"spatial_scale", ATTR_FLOAT, offsetof(struct pool_attrs, spatial_scale), .f = 1},
    {NULL},
};

const struct op op_maxroipool = {
    .domain = "",
    .name = "MaxRoiPool",
    .since = 1,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = pool_attr_rows,
    .attrs_size = sizeof(struct pool_attrs),
    .infer = max_infer,
    .tasks = align_tasks,
    .run = max_run,
};
