/* SPDX-License-Identifier: Apache-2.0 */
/* CropAndResize: boxes of images, each resized to one size; corners are aligned. */
#include <math.h>
#include <string.h>

#include "ops/layout.h"

struct crop_attrs {
    struct str mode;
    float extrapolation_value;
};

enum { IN_X, IN_ROIS, IN_BATCH, IN_SIZE };

static bool text_is(struct str s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

static int check_rank(struct infer *c, int i, int rank, struct err *e)
{
    if (infer_rank(c, i) < 0 || infer_rank(c, i) == rank)
        return 0;
    return err_set(e, ERR_MODEL, "input %d has rank %d, expected %d", i, infer_rank(c, i), rank);
}

static int check_inputs(struct infer *c, struct err *e)
{
    static const int ranks[] = {4, 2, 1, 1};
    const struct crop_attrs *a = c->attrs;
    int r = infer_dtypes(c, IN_X, DT_FLOATS, e);
    if (r || (r = infer_same_dtype(c, IN_X, IN_ROIS, e)))
        return r;
    if (!text_is(a->mode, "bilinear") && !text_is(a->mode, "nearest"))
        return err_set(e, ERR_MODEL, "mode is neither bilinear nor nearest");
    for (int i = 0; i < 4 && r == 0; i++) {
        r = check_rank(c, i, ranks[i], e);
        if (r == 0 && i >= IN_BATCH)
            r = infer_dtypes(c, i, DT(I32) | DT(I64), e);
    }
    if (r == 0 && infer_rank(c, IN_ROIS) == 2 &&
        (sym_differ(c->syms, infer_dim(c, IN_ROIS, 1), 4) ||
         (infer_rank(c, IN_BATCH) == 1 &&
          sym_differ(c->syms, infer_dim(c, IN_ROIS, 0), infer_dim(c, IN_BATCH, 0)))))
        r = err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                    "rois is not four numbers for each batch index");
    return r;
}

static int crop_infer(struct infer *c, struct err *e)
{
    int64_t n, dims[4];
    int r = check_inputs(c, e);
    if (r)
        return r;
    const int64_t *size = infer_elems(c, IN_SIZE, &n);
    if (size && n != 2)
        return err_set(e, ERR_MODEL, "crop_size has %lld elements, expected 2", (long long)n);
    dims[0] = infer_rank(c, IN_BATCH) < 0 ? infer_fresh(c) : infer_dim(c, IN_BATCH, 0);
    dims[1] = infer_rank(c, IN_X) < 0 ? infer_fresh(c) : infer_dim(c, IN_X, 1);
    for (int k = 0; k < 2; k++)
        dims[2 + k] = size ? layout_dim(c, size[k]) : infer_fresh(c);
    for (int k = 0; k < 2; k++)
        if (size && sym_is_number(size[k]) && size[k] < 1)
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "crop_size holds %lld",
                           (long long)size[k]);
    return infer_set(c, 0, infer_dtype(c, IN_X), 4, dims, e);
}

static int64_t crop_tasks(const struct call *c)
{
    const struct tensor *y = call_out(c, 0);
    return tasks_for(y->dims[0] * y->dims[2], y->dims[1] * y->dims[3] * 8);
}

/* The place in a dim of n that output i of `count` shows, for a box from `low` to `high`; rounded
 * to f32 as other engines do, so that they agree on what lies outside. */
static double place_of(double low, double high, int64_t n, int64_t i, int64_t count)
{
    float from = (float)low, to = (float)high, most = (float)(n - 1);
    if (count == 1)
        return (float)(0.5 * (double)(from + to) * (double)most);
    if (i == 0)
        return from * most;
    if (i == count - 1)
        return to * most;
    float step = (to - from) * most / (float)(count - 1);
    return from * most + (float)i * step;
}

static double sample(const struct tensor *x, int64_t plane, double py, double px, bool nearest)
{
    int64_t w = x->dims[3];
    double y0 = floor(py), x0 = floor(px), y1 = ceil(py), x1 = ceil(px);
    if (nearest)
        return tensor_float(x, plane + (int64_t)round(py) * w + (int64_t)round(px));
    const int64_t rows[2] = {plane + (int64_t)y0 * w, plane + (int64_t)y1 * w};
    double v[2];
    for (int k = 0; k < 2; k++) {
        double left = tensor_float(x, rows[k] + (int64_t)x0);
        v[k] = left + (tensor_float(x, rows[k] + (int64_t)x1) - left) * (px - x0);
    }
    return v[0] + (v[1] - v[0]) * (py - y0);
}

/* Row `row` of box `box`, all channels. */
static int crop_row(const struct call *c, int64_t box, int64_t row, struct err *e)
{
    const struct crop_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, IN_X), *rois = call_in(c, IN_ROIS);
    struct tensor *y = call_out(c, 0);
    int64_t batch, height = x->dims[2], width = x->dims[3], channels = x->dims[1];
    double b[4];
    int r = norm_index(index_at(call_in(c, IN_BATCH), box), x->dims[0], "batch index", &batch, e);
    if (r)
        return r;
    elems_to_f64(rois->dtype, rois->data, box * 4, 4, b);
    double py = place_of(b[0], b[2], height, row, y->dims[2]);
    for (int64_t i = 0; i < y->dims[3]; i++) {
        double px = place_of(b[1], b[3], width, i, y->dims[3]);
        bool inside = py >= 0 && py <= (double)(height - 1) && px >= 0 && px <= (double)(width - 1);
        for (int64_t k = 0; k < channels; k++) {
            double v = a->extrapolation_value;
            if (inside)
                v = sample(x, (batch * channels + k) * height * width, py, px,
                           text_is(a->mode, "nearest"));
            elems_from_f64(y->dtype, y->data,
                           ((box * channels + k) * y->dims[2] + row) * y->dims[3] + i, 1, &v);
        }
    }
    return 0;
}

static int crop_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *y = call_out(c, 0);
    if (tensor_count(y) == 0)
        return 0;
    if (call_in(c, IN_ROIS)->dims[0] != y->dims[0] || call_in(c, IN_ROIS)->dims[1] != 4)
        return err_set(e, ERR_INPUT, "rois is not four numbers for each batch index");
    struct span s = span_of(begin, end, crop_tasks(c), y->dims[0] * y->dims[2]);
    for (int64_t u = s.first; u < s.last; u++) {
        int r = crop_row(c, u / y->dims[2], u % y->dims[2], e);
        if (r)
            return r;
    }
    return 0;
}

static const struct attr crop_attr_rows[] = {
    {"mode", ATTR_STRING, offsetof(struct crop_attrs, mode), .s = "bilinear"},
    {"extrapolation_value", ATTR_FLOAT, offsetof(struct crop_attrs, extrapolation_value)},
    {NULL},
};

const struct op op_ms_cropandresize = {
    .domain = "com.microsoft", .name = "CropAndResize", .since = 1,
    .in_min = 4, .in_max = 4, .out_min = 1, .out_max = 1, .flags = OP_PURE, .host_in = 4 | 8,
    .attrs = crop_attr_rows, .attrs_size = sizeof(struct crop_attrs),
    .infer = crop_infer, .tasks = crop_tasks, .run = crop_run,
};
