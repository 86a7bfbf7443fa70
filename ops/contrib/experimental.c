/* SPDX-License-Identifier: Apache-2.0 */
/* Experiments that ai.onnx had up to opset 9 and old files still carry: Affine, Scale, ImageScaler,
 * ParametricSoftplus, ScaledTanh (numbers around a simple function, computed in double and rounded
 * once) and Crop.
 */
#include <math.h>

#include "ops/layout.h"

struct scale_attrs {
    float alpha, beta;
    struct floats bias; /* ImageScaler: one for each channel */
};

static int scale_infer(struct infer *c, struct err *e)
{
    const struct scale_attrs *a = c->attrs;
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r == 0 && a->bias.v && rank >= 0 &&
        (rank < 2 || sym_differ(c->syms, infer_dim(c, 0, 1), a->bias.n)))
        r = err_set(e, ERR_MODEL, "%lld biases do not fit the channels", (long long)a->bias.n);
    return r ? r : infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

enum { SCALE_COST = 4 };

static int64_t scale_tasks(const struct call *c)
{
    return span_tasks(c, SCALE_COST);
}

enum form { FORM_AFFINE, FORM_IMAGE, FORM_SOFTPLUS, FORM_TANH };

static double apply(enum form form, const struct scale_attrs *a, double v, double bias)
{
    double w = a->beta * v;
    switch (form) {
    case FORM_AFFINE: return a->alpha * v + a->beta;
    case FORM_IMAGE: return a->alpha * v + bias;
    case FORM_SOFTPLUS: return a->alpha * (w > 0 ? w + log1p(exp(-w)) : log1p(exp(w)));
    default: return a->alpha * tanh(w);
    }
}

static int run(struct call *c, enum form form, int64_t begin, int64_t end, struct err *e)
{
    const struct scale_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, SCALE_COST);
    int64_t plane = a->bias.v ? dims_product(x->dims, 2, x->rank) : 1;
    double v[CHUNK_ELEMS];
    if (a->bias.v && x->dims[1] != a->bias.n)
        return err_set(e, ERR_INPUT, "%lld biases for %lld channels", (long long)a->bias.n,
                       (long long)x->dims[1]);
    for (int64_t i = s.first, n; i < s.last; i += n) {
        n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        elems_to_f64(x->dtype, x->data, i, n, v);
        for (int64_t k = 0; k < n; k++)
            v[k] = apply(form, a, v[k], a->bias.v ? a->bias.v[(i + k) / plane % a->bias.n] : 0);
        elems_from_f64(y->dtype, y->data, i, n, v);
    }
    return 0;
}

static int affine_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run(c, FORM_AFFINE, begin, end, e);
}

static int image_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run(c, FORM_IMAGE, begin, end, e);
}

static int softplus_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run(c, FORM_SOFTPLUS, begin, end, e);
}

static int tanh_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run(c, FORM_TANH, begin, end, e);
}

/* Both numbers default to 1 but for Affine's second. */
#define NUMBER(word, field, value)                                                                 \
    {word, ATTR_FLOAT, offsetof(struct scale_attrs, field), .f = value}

static const struct attr affine_attrs[] = {
    NUMBER("alpha", alpha, 1), NUMBER("beta", beta, 0), {NULL}};
static const struct attr curve_attrs[] = {
    NUMBER("alpha", alpha, 1), NUMBER("beta", beta, 1), {NULL}};
static const struct attr times_attrs[] = {NUMBER("scale", alpha, 1), {NULL}};
static const struct attr image_attrs[] = {
    NUMBER("scale", alpha, 1),
    {"bias", ATTR_FLOATS, offsetof(struct scale_attrs, bias)},
    {NULL},
};

#define SCALE_ROW(word, table, fn)                                                                 \
    .domain = "", .name = word, .since = 1, .until = 9,                                            \
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,          \
    .attrs = table, .attrs_size = sizeof(struct scale_attrs),                                      \
    .infer = scale_infer, .tasks = scale_tasks, .run = fn

const struct op op_affine = {SCALE_ROW("Affine", affine_attrs, affine_run)};
const struct op op_ms_scale = {SCALE_ROW("Scale", times_attrs, affine_run)};
const struct op op_imagescaler = {SCALE_ROW("ImageScaler", image_attrs, image_run)};
const struct op op_parametricsoftplus = {
    SCALE_ROW("ParametricSoftplus", curve_attrs, softplus_run)};
const struct op op_scaledtanh = {SCALE_ROW("ScaledTanh", curve_attrs, tanh_run)};

/* ---- Crop ------------------------------------------------------------------------------------ */

struct crop_attrs {
    struct ints border; /* left, top, right, bottom */
    struct ints scale;  /* height, width, in place of the last two */
};

/* What is left of dim 2 + k, of size d. */
static int crop_dim(const struct crop_attrs *a, struct syms *s, int k, int64_t d, int64_t *out,
                    struct err *e)
{
    int64_t before = a->border.v[1 - k], after = a->border.v[3 - k];
    *out = a->scale.v ? a->scale.v[k] : sym_sub(s, d, before + after);
    int64_t most = sym_sub(s, d, before);
    if ((sym_is_number(*out) && *out < 0) ||
        (sym_is_number(most) && sym_is_number(*out) && *out > most))
        return err_set(e, s ? ERR_MODEL : ERR_INPUT, "dim %d is too small to be cropped", 2 + k);
    return 0;
}

static int crop_infer(struct infer *c, struct err *e)
{
    const struct crop_attrs *a = c->attrs;
    int64_t dims[4];
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = ints_length(&a->border, 4, "border", e)) ||
        (r = ints_length(&a->scale, 2, "scale", e)))
        return r;
    for (int k = 0; k < 4; k++)
        if (a->border.v[k] < 0 || a->border.v[k] > INT32_MAX)
            return err_set(e, ERR_MODEL, "border holds %lld", (long long)a->border.v[k]);
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (infer_rank(c, 0) != 4)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 4", infer_rank(c, 0));
    for (int k = 0; k < 2; k++) {
        dims[k] = infer_dim(c, 0, k);
        if ((r = crop_dim(a, c->syms, k, infer_dim(c, 0, 2 + k), &dims[2 + k], e)))
            return r;
    }
    return infer_set(c, 0, infer_dtype(c, 0), 4, dims, e);
}

static int64_t crop_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int crop_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct crop_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int64_t strides[TENSOR_RANK_MAX], unused;
    struct move m;
    for (int k = 0; k < 2; k++) {
        int r = crop_dim(a, NULL, k, x->dims[2 + k], &unused, e);
        if (r)
            return r;
    }
    if (s.first >= s.last)
        return 0;
    dims_strides(x->dims, 4, strides);
    move_init(&m, dtype_size(x->dtype), 4, y->dims, strides);
    move_run(&m, tensor_at(x, a->border.v[1] * strides[2] + a->border.v[0]), y->data, s.first,
             s.last);
    return 0;
}

static const struct attr crop_attr_rows[] = {
    {"border", ATTR_INTS, offsetof(struct crop_attrs, border), .required = true},
    {"scale", ATTR_INTS, offsetof(struct crop_attrs, scale)},
    {NULL},
};

const struct op op_crop = {
    .domain = "", .name = "Crop", .since = 1, .until = 9,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = crop_attr_rows, .attrs_size = sizeof(struct crop_attrs),
    .infer = crop_infer, .tasks = crop_tasks, .run = crop_run,
};
