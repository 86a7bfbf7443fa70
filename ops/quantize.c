/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear and DequantizeLinear, per tensor, per axis and in blocks.
 *
 * The input is [outer, d, inner] around the axis; a scale and its zero point serve one tensor, one
 * index of the axis, or a block of it. Elements are taken in segments along which the scale is one
 * number or moves on by one with each element. Arithmetic is in f32: (x - zero) * scale, rounded
 * once to the output; and x / scale, rounded to the precision that is asked for, then half to even,
 * then plus zero, saturated.
 */
#include "graph/attrs.h"
#include "ops/quant.h"
#include "ops/span.h"

#define DT_NARROW_INTS (DT(U4) | DT(I4) | DT(U2) | DT(I2))
#define DT_NARROW_FLOATS (DT_FLOAT8S | DT(F4E2M1) | DT(F6E2M3) | DT(F6E3M2))
#define DT_QUANTIZED                                                                               \
    (DT(U8) | DT(I8) | DT(U16) | DT(I16) | DT_NARROW_INTS | DT_NARROW_FLOATS)

/* ---- shapes ---------------------------------------------------------------------------------- */

/* What inputs 1 and 2 must be, as far as it is known; `given` is the output's dtype attribute,
 * or 0. */
static int check_scale(struct infer *c, struct err *e)
{
    const struct attrs_quantize *a = c->attrs;
    int rank = infer_rank(c, 0), own = infer_rank(c, 1);
    if (a->block_size < 0)
        return err_set(e, ERR_MODEL, "block_size is %lld", (long long)a->block_size);
    if (infer_has(c, 2) && own >= 0 && infer_rank(c, 2) >= 0) {
        int64_t n[2] = {1, 1};
        for (int i = 0; i < 2; i++)
            for (int k = 0; k < infer_rank(c, 1 + i); k++)
                n[i] = sym_mul(c->syms, n[i], infer_dim(c, 1 + i, k));
        if (sym_differ(c->syms, n[0], n[1]))
            return err_set(e, ERR_MODEL, "scale and zero point differ in shape");
    }
    if (own > 1 && (a->block_size == 0 || (rank >= 0 && own != rank)))
        return err_set(e, ERR_MODEL, "a scale of rank %d for an input of rank %d, block_size %lld",
                       own, rank, (long long)a->block_size);
    return 0;
}

static int quantize_infer(struct infer *c, struct err *e)
{
    const struct attrs_quantize *a = c->attrs;
    int r = infer_dtypes(c, 0, DT(F32) | DT_FLOAT16S | DT(I32), e);
    if (r || (r = infer_dtypes(c, 1, DT(F32) | DT_FLOAT16S | DT(I32) | DT(F8E8M0), e)))
        return r;
    if (infer_has(c, 2) && (r = infer_dtypes(c, 2, DT_QUANTIZED, e)))
        return r;
    if ((r = check_scale(c, e)))
        return r;
    int64_t to = a->output_dtype ? a->output_dtype : DTYPE_U8;
    if (infer_has(c, 2)) {
        if (a->output_dtype && a->output_dtype != (int64_t)infer_dtype(c, 2))
            return err_set(e, ERR_MODEL, "output_dtype is not the zero point's type");
        to = infer_dtype(c, 2);
    }
    if (!dtype_valid(to) || !(DT_QUANTIZED & DTYPE_BIT(to)))
        return err_set(e, ERR_UNSUPPORTED, "output_dtype %lld", (long long)to);
    if (a->precision && a->precision != DTYPE_F32 && a->precision != DTYPE_F16 &&
        a->precision != DTYPE_BF16)
        return err_set(e, ERR_UNSUPPORTED, "precision %lld", (long long)a->precision);
    return infer_like(c, 0, 0, (enum dtype)to, e);
}

static int dequantize_infer(struct infer *c, struct err *e)
{
    const struct attrs_quantize *a = c->attrs;
    int r = infer_dtypes(c, 0, DT_QUANTIZED | DT(I32), e);
    if (r || (r = infer_dtypes(c, 1, DT(F32) | DT_FLOAT16S | DT(F8E8M0), e)) ||
        (r = infer_same_dtype(c, 0, 2, e)) || (r = check_scale(c, e)))
        return r;
    int64_t to = a->output_dtype;
    if (to == 0)
        to = infer_dtype(c, 1) == DTYPE_F8E8M0 ? DTYPE_F32 : infer_dtype(c, 1);
    if (to != DTYPE_F32 && to != DTYPE_F16 && to != DTYPE_BF16)
        return err_set(e, ERR_UNSUPPORTED, "output_dtype %lld", (long long)to);
    return infer_like(c, 0, 0, (enum dtype)to, e);
}

/* ---- segments -------------------------------------------------------------------------------- */

enum grain { PER_TENSOR, PER_AXIS, PER_BLOCK };

struct quant {
    enum grain grain;
    int64_t d, inner, block, blocks;
    const struct tensor *scale, *zero; /* zero NULL: 0 */
};

static int quant_init(struct quant *q, const struct call *c, struct err *e)
{
    const struct attrs_quantize *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    int axis, r;
    *q = (struct quant){.scale = call_in(c, 1), .zero = call_in(c, 2)};
    int64_t scales = tensor_count(q->scale);
    if (q->zero && tensor_count(q->zero) != scales)
        return err_set(e, ERR_INPUT, "scale and zero point differ in shape");
    if (scales == 1 || tensor_count(x) == 0)
        return 0;
    if ((r = infer_axis(a->axis, x->rank, &axis, e)))
        return r;
    q->d = x->dims[axis];
    q->inner = dims_product(x->dims, axis + 1, x->rank);
    if (a->block_size == 0) {
        q->grain = PER_AXIS;
        if (q->scale->rank == 1 && scales == q->d)
            return 0;
        return err_set(e, ERR_INPUT, "%lld scales for %lld indices of axis %d", (long long)scales,
                       (long long)q->d, axis);
    }
    q->grain = PER_BLOCK;
    q->block = a->block_size;
    q->blocks = (q->d - 1) / q->block + 1;
    bool fits = q->scale->rank == x->rank;
    for (int k = 0; k < x->rank && fits; k++)
        fits = q->scale->dims[k] == (k == axis ? q->blocks : x->dims[k]);
    if (!fits)
        return err_set(e, ERR_INPUT,
                       "the scale's shape is not that of blocks of %lld along axis %d",
                       (long long)q->block, axis);
    return 0;
}

/* The segment that begins at element `at` of the input: its length up to `last`, the place of
 * its first scale, and by how much the scale moves on with each element. */
static int64_t segment(const struct quant *q, int64_t at, int64_t last, int64_t *place, int *step)
{
    int64_t n = last - at;
    *place = 0;
    *step = 0;
    if (q->grain != PER_TENSOR) {
        int64_t i = at % q->inner, d = at / q->inner % q->d, outer = at / q->inner / q->d;
        int64_t most;
        if (q->grain == PER_AXIS) {
            *place = d;
            *step = q->inner == 1;
            most = q->inner == 1 ? q->d - d : q->inner - i;
        } else if (q->inner == 1) {
            *place = outer * q->blocks + d / q->block;
            most = q->d - d < q->block - d % q->block ? q->d - d : q->block - d % q->block;
        } else {
            *place = (outer * q->blocks + d / q->block) * q->inner + i;
            *step = 1;
            most = q->inner - i;
        }
        n = n < most ? n : most;
    }
    return n < CHUNK_ELEMS ? n : CHUNK_ELEMS;
}

/* n scales or zero points as f32. */
static void side_load(const struct tensor *t, int64_t place, int step, int64_t n, float *out)
{
    if (step) {
        elems_to_f32(t->dtype, t->data, place, n, out);
        return;
    }
    elems_to_f32(t->dtype, t->data, place, 1, out);
    for (int64_t i = 1; i < n; i++)
        out[i] = out[0];
}

/* ---- DequantizeLinear ------------------------------------------------------------------------ */

/* One scale, bytes to f32: the loop that quantised models spend their time in. */
static bool bytes_to_f32(const struct tensor *x, struct tensor *y, int64_t at, int64_t n,
                         float scale, float zero)
{
    float *out = (float *)y->data + at;
    if (y->dtype != DTYPE_F32)
        return false;
    if (x->dtype == DTYPE_U8) {
        const uint8_t *in = (const uint8_t *)x->data + at;
        for (int64_t i = 0; i < n; i++)
            out[i] = ((float)in[i] - zero) * scale;
        return true;
    }
    if (x->dtype == DTYPE_I8) {
        const int8_t *in = (const int8_t *)x->data + at;
        for (int64_t i = 0; i < n; i++)
            out[i] = ((float)in[i] - zero) * scale;
        return true;
    }
    return false;
}

static int dequantize_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    float v[CHUNK_ELEMS], scale[CHUNK_ELEMS], zero[CHUNK_ELEMS] = {0};
    struct quant q;
    int r = quant_init(&q, c, e);
    while (r == 0 && s.first < s.last) {
        int64_t place;
        int step;
        int64_t n = segment(&q, s.first, s.last, &place, &step);
        side_load(q.scale, place, step, step ? n : 1, scale);
        if (q.zero)
            side_load(q.zero, place, step, step ? n : 1, zero);
        if (step || !bytes_to_f32(x, y, s.first, n, scale[0], zero[0])) {
            elems_to_f32(x->dtype, x->data, s.first, n, v);
            for (int64_t i = 0; i < n; i++)
                v[i] = (v[i] - zero[step ? i : 0]) * scale[step ? i : 0];
            elems_from_f32(y->dtype, y->data, s.first, n, v);
        }
        s.first += n;
    }
    return r;
}

/* ---- QuantizeLinear -------------------------------------------------------------------------- */

static struct quant_range range_of(enum dtype t)
{
    static const struct quant_range ranges[DTYPE_COUNT] = {
        [DTYPE_U8] = {0, 255},       [DTYPE_I8] = {-128, 127},  [DTYPE_U16] = {0, 65535},
        [DTYPE_I16] = {-32768, 32767}, [DTYPE_U4] = {0, 15},    [DTYPE_I4] = {-8, 7},
        [DTYPE_U2] = {0, 3},         [DTYPE_I2] = {-2, 1},
    };
    return ranges[t];
}

/* v / scale in the precision that the scale's type or the attribute gives; onnxruntime's own
 * operator divides in f32. */
static void divide(const struct call *c, const struct quant *q, int64_t at, int64_t n, int step,
                   const float *scale, float *v)
{
    const struct attrs_quantize *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    enum dtype precision = a->precision         ? (enum dtype)a->precision
                           : c->op->domain[0] ? DTYPE_F32
                                              : q->scale->dtype;
    elems_to_f32(x->dtype, x->data, at, n, v);
    for (int64_t i = 0; i < n; i++)
        v[i] = v[i] / scale[step ? i : 0];
    if (precision == DTYPE_F16 || precision == DTYPE_BF16) {
        uint16_t h[CHUNK_ELEMS];
        elems_from_f32(precision, h, 0, n, v);
        elems_to_f32(precision, h, 0, n, v);
    }
}

static void quantize_ints(struct tensor *y, int64_t at, int64_t n, int step, const float *zero,
                          float *v)
{
    struct quant_range r = range_of(y->dtype);
    if (step) {
        for (int64_t i = 0; i < n; i++)
            v[i] = quant_round(v[i], zero[i], r);
    } else {
        float z = zero[0];
        for (int64_t i = 0; i < n; i++)
            v[i] = quant_round(v[i], z, r);
    }
    if (y->dtype == DTYPE_U8) {
        uint8_t *out = (uint8_t *)y->data + at;
        for (int64_t i = 0; i < n; i++)
            out[i] = (uint8_t)(int)v[i];
    } else if (y->dtype == DTYPE_I8) {
        int8_t *out = (int8_t *)y->data + at;
        for (int64_t i = 0; i < n; i++)
            out[i] = (int8_t)(int)v[i];
    } else {
        elems_from_f32(y->dtype, y->data, at, n, v);
    }
}

static int quantize_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_quantize *a = c->attrs;
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    float v[CHUNK_ELEMS], scale[CHUNK_ELEMS], zero[CHUNK_ELEMS] = {0};
    struct quant q;
    int r = quant_init(&q, c, e);
    while (r == 0 && s.first < s.last) {
        int64_t place;
        int step;
        int64_t n = segment(&q, s.first, s.last, &place, &step);
        side_load(q.scale, place, step, step ? n : 1, scale);
        if (q.zero)
            side_load(q.zero, place, step, step ? n : 1, zero);
        divide(c, &q, s.first, n, step, scale, v);
        if (dtype_is_int(y->dtype))
            quantize_ints(y, s.first, n, step, zero, v);
        else
            for (int64_t i = 0; i < n; i++)
                ((uint8_t *)y->data)[s.first + i] =
                    dtype_f32_to_f8(y->dtype, v[i] + zero[step ? i : 0], a->saturate != 0);
        s.first += n;
    }
    return r;
}

static int64_t quantize_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static const struct attr quantize_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_quantize, axis), .since = 13, .i = 1},
    {"saturate", ATTR_INT, offsetof(struct attrs_quantize, saturate), .since = 19, .i = 1},
    {"block_size", ATTR_INT, offsetof(struct attrs_quantize, block_size), .since = 21},
    {"output_dtype", ATTR_INT, offsetof(struct attrs_quantize, output_dtype), .since = 21},
    {"precision", ATTR_INT, offsetof(struct attrs_quantize, precision), .since = 23},
    {NULL},
};

static const struct attr dequantize_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_quantize, axis), .since = 13, .i = 1},
    {"block_size", ATTR_INT, offsetof(struct attrs_quantize, block_size), .since = 21},
    {"output_dtype", ATTR_INT, offsetof(struct attrs_quantize, output_dtype), .since = 23},
    {NULL},
};

const struct op op_quantizelinear = {
    .domain = "", .name = "QuantizeLinear", .since = 10,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = quantize_attr_rows, .attrs_size = sizeof(struct attrs_quantize),
    .infer = quantize_infer, .tasks = quantize_tasks, .run = quantize_run,
};

const struct op op_dequantizelinear = {
    .domain = "", .name = "DequantizeLinear", .since = 10,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = dequantize_attr_rows, .attrs_size = sizeof(struct attrs_quantize),
    .infer = dequantize_infer, .tasks = quantize_tasks, .run = dequantize_run,
};

/* onnxruntime's own: those of before block_size, for more types; one scale without an axis. */
static const struct attr axis_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_quantize, axis), .i = 1},
    {NULL},
};

const struct op op_ms_quantizelinear = {
    .domain = "com.microsoft", .name = "QuantizeLinear", .since = 1,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = axis_attr_rows, .attrs_size = sizeof(struct attrs_quantize),
    .infer = quantize_infer, .tasks = quantize_tasks, .run = quantize_run,
};

const struct op op_ms_dequantizelinear = {
    .domain = "com.microsoft", .name = "DequantizeLinear", .since = 1,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = axis_attr_rows, .attrs_size = sizeof(struct attrs_quantize),
    .infer = dequantize_infer, .tasks = quantize_tasks, .run = dequantize_run,
};
