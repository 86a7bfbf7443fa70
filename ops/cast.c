/* SPDX-License-Identifier: Apache-2.0 */
/* Cast, CastLike and BitCast.
 *
 * Two types meet in one of three wide ones: int64 between integers (higher bits are cut), f32 or
 * f64 where a float takes part, so that a value is rounded once. Where one of the two is the wide
 * type itself, nothing is stored in between, and some pairs have kernels. What a float out of an
 * integer type's range becomes, ONNX leaves open: here the low bits of its whole part, or the
 * least integer where a kernel says so.
 */
#include <math.h>
#include <string.h>

#include "graph/attrs.h"
#include "kernels/cast.h"
#include "ops/number_text.h"
#include "ops/span.h"

/* What a cast needs besides the two tensors. */
struct cast_how {
    bool saturate;
    char round; /* of float8e8m0: 'u'p, 'd'own, 'n'earest */
};

/* ---- numbers -------------------------------------------------------------------------------- */

/* A power of two next to |f|: only exponents, no sign, no zero. */
static uint8_t f32_to_e8m0(float f, struct cast_how how)
{
    int exponent;
    float a = fabsf(f);
    if (isnan(f))
        return 0xff;
    if (isinf(a))
        return how.saturate ? 0xfe : 0xff;
    if (a < 0x1p-127f)
        return how.saturate ? 0 : 0xff;
    float fraction = frexpf(a, &exponent); /* [1/2, 1) */
    int code = exponent - 1 + 127;
    if ((how.round == 'u' && fraction > 0.5f) || (how.round == 'n' && fraction >= 0.75f))
        code++;
    if (code > 0xfe)
        return how.saturate ? 0xfe : 0xff;
    return (uint8_t)code;
}

static void store_f8(enum dtype t, uint8_t *out, const float *in, int64_t n, struct cast_how how)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = t == DTYPE_F8E8M0 ? f32_to_e8m0(in[i], how)
                                   : dtype_f32_to_f8(t, in[i], how.saturate);
}

enum wide_way { WIDE_NONZERO, WIDE_TRUNCATE, WIDE_I64, WIDE_F32, WIDE_F64 };

/* Where the types meet. Integers go to f32 at once: by way of f64 they would round twice. */
static enum wide_way wide_of(enum dtype from, enum dtype to)
{
    bool from_float = dtype_is_float(from), to_float = dtype_is_float(to);
    if (to == DTYPE_BOOL)
        return WIDE_NONZERO;
    if (!to_float)
        return from_float ? WIDE_TRUNCATE : WIDE_I64;
    if (!from_float && (to == DTYPE_F32 || dtype_bits(to) <= 8))
        return WIDE_F32;
    return !from_float || from == DTYPE_F64 || to == DTYPE_F64 ? WIDE_F64 : WIDE_F32;
}

union wide {
    int64_t i64[CHUNK_ELEMS];
    double f64[CHUNK_ELEMS];
    float f32[CHUNK_ELEMS];
};

/* f32 values to any float type. */
static void store_f32(struct tensor *out, int64_t first, int64_t n, const float *v,
                      struct cast_how how)
{
    if (dtype_is_float(out->dtype) && dtype_bits(out->dtype) <= 8)
        store_f8(out->dtype, tensor_at(out, first), v, n, how);
    else
        elems_from_f32(out->dtype, out->data, first, n, v);
}

static void chunk_nonzero(const struct tensor *in, uint8_t *out, int64_t first, int64_t n)
{
    union wide w;
    if (dtype_is_float(in->dtype)) {
        elems_to_f64(in->dtype, in->data, first, n, w.f64);
        for (int64_t i = 0; i < n; i++)
            out[i] = w.f64[i] != 0;
    } else {
        elems_to_i64(in->dtype, in->data, first, n, w.i64);
        for (int64_t i = 0; i < n; i++)
            out[i] = w.i64[i] != 0;
    }
}

/* Towards zero, then the low bits, as between integers; beyond 64 bits the nearest, NaN is 0. */
static void store_truncated(const double *in, struct tensor *out, int64_t first, int64_t n)
{
    bool is_u64 = out->dtype == DTYPE_U64;
    int64_t v[CHUNK_ELEMS];
    for (int64_t i = 0; i < n; i++) {
        double x = in[i];
        if (x >= 0x1p63)
            v[i] = !is_u64 ? INT64_MAX : x < 0x1p64 ? (int64_t)(uint64_t)x : -1;
        else
            v[i] = x >= -0x1p63 ? (int64_t)x : x < 0 ? INT64_MIN : 0;
    }
    elems_from_i64(out->dtype, out->data, first, n, v);
}

/* At most CHUNK_ELEMS elements. */
static void cast_chunk(const struct tensor *in, struct tensor *out, int64_t first, int64_t n,
                       struct cast_how how)
{
    union wide w;
    switch (wide_of(in->dtype, out->dtype)) {
    case WIDE_NONZERO:
        chunk_nonzero(in, tensor_at(out, first), first, n);
        break;
    case WIDE_TRUNCATE:
        elems_to_f64(in->dtype, in->data, first, n, w.f64);
        store_truncated(w.f64, out, first, n);
        break;
    case WIDE_I64:
        elems_to_i64(in->dtype, in->data, first, n, w.i64);
        elems_from_i64(out->dtype, out->data, first, n, w.i64);
        break;
    case WIDE_F32:
        elems_to_f32(in->dtype, in->data, first, n, w.f32);
        store_f32(out, first, n, w.f32, how);
        break;
    case WIDE_F64:
        if (dtype_is_float(out->dtype) && dtype_bits(out->dtype) <= 8) {
            elems_to_f32(in->dtype, in->data, first, n, w.f32);
            store_f32(out, first, n, w.f32, how);
        } else {
            elems_to_f64(in->dtype, in->data, first, n, w.f64);
            elems_from_f64(out->dtype, out->data, first, n, w.f64);
        }
    }
}

/* The kernel for a pair of types, CAST_COUNT if there is none. */
static enum cast_op kernel_of(enum dtype from, enum dtype to)
{
    static const struct {
        enum dtype from, to;
        enum cast_op op;
    } rows[] = {
        {DTYPE_F32, DTYPE_F16, CAST_F32_F16}, {DTYPE_F16, DTYPE_F32, CAST_F16_F32},
        {DTYPE_F32, DTYPE_BF16, CAST_F32_BF16}, {DTYPE_BF16, DTYPE_F32, CAST_BF16_F32},
        {DTYPE_I32, DTYPE_F32, CAST_I32_F32}, {DTYPE_I64, DTYPE_F32, CAST_I64_F32},
        {DTYPE_U8, DTYPE_F32, CAST_U8_F32}, {DTYPE_BOOL, DTYPE_F32, CAST_U8_F32},
        {DTYPE_I8, DTYPE_F32, CAST_I8_F32}, {DTYPE_F32, DTYPE_I32, CAST_F32_I32},
        {DTYPE_F32, DTYPE_I64, CAST_F32_I64},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].from == from && rows[i].to == to)
            return rows[i].op;
    return CAST_COUNT;
}

/* Whole spans without a store in between, where one of the types is the wide one. */
static bool cast_direct(const struct tensor *in, struct tensor *out, struct span s)
{
    enum cast_op kernel = kernel_of(in->dtype, out->dtype);
    enum wide_way wide = wide_of(in->dtype, out->dtype);
    int64_t n = s.last - s.first;
    if (kernel != CAST_COUNT)
        cast_pick(kernel)(tensor_at(in, s.first), tensor_at(out, s.first), (size_t)n);
    else if (wide == WIDE_F32 && out->dtype == DTYPE_F32)
        elems_to_f32(in->dtype, in->data, s.first, n, tensor_at(out, s.first));
    else if (wide == WIDE_F32 && in->dtype == DTYPE_F32 &&
             !(dtype_is_float(out->dtype) && dtype_bits(out->dtype) <= 8))
        elems_from_f32(out->dtype, out->data, s.first, n, tensor_at(in, s.first));
    else if (wide == WIDE_F64 && out->dtype == DTYPE_F64)
        elems_to_f64(in->dtype, in->data, s.first, n, tensor_at(out, s.first));
    else if (wide == WIDE_I64 && out->dtype == DTYPE_I64)
        elems_to_i64(in->dtype, in->data, s.first, n, tensor_at(out, s.first));
    else if (wide == WIDE_I64 && in->dtype == DTYPE_I64)
        elems_from_i64(out->dtype, out->data, s.first, n, tensor_at(in, s.first));
    else
        return false;
    return true;
}

/* ---- strings -------------------------------------------------------------------------------- */

static int from_strings(const struct tensor *in, struct tensor *out, struct span s,
                        struct cast_how how, struct err *e)
{
    const struct str *text = in->data;
    enum dtype t = out->dtype;
    for (int64_t i = s.first; i < s.last; i++) {
        struct number v;
        void *p = tensor_at(out, i);
        if (!number_parse(text[i].data, text[i].size, &v))
            return err_set(e, ERR_INPUT, "'%.*s' at element %lld is not a number",
                           (int)(text[i].size < 64 ? text[i].size : 64), text[i].data,
                           (long long)i);
        if (t == DTYPE_BOOL)
            *(uint8_t *)p = v.is_int ? v.bits != 0 : v.f64 != 0;
        else if (t == DTYPE_F32 || (dtype_is_float(t) && dtype_bits(t) <= 8))
            store_f32(out, i, 1, &v.f32, how);
        else if (dtype_is_float(t))
            elems_from_f64(t, out->data, i, 1, &v.f64);
        else if (!v.is_int)
            store_truncated(&v.f64, out, i, 1);
        else
            dtype_store_i64(t, p, (int64_t)v.bits);
    }
    return 0;
}

/* The element that number_print must find again. */
struct printed {
    enum dtype dtype;
    double v;
};

static bool same_element(const void *arg, double w)
{
    const struct printed *want = arg;
    uint64_t bits = 0;
    dtype_store_f64(want->dtype, &bits, w);
    return dtype_load_f64(want->dtype, &bits) == want->v;
}

static int to_strings(const struct tensor *in, struct tensor *out, struct span s, struct err *e)
{
    char text[NUMBER_TEXT_MAX];
    for (int64_t i = s.first; i < s.last; i++) {
        const void *p = tensor_at(in, i);
        size_t n;
        if (dtype_is_float(in->dtype)) {
            struct printed want = {in->dtype, dtype_load_f64(in->dtype, p)};
            n = number_print(text, want.v, same_element, &want);
        } else {
            int64_t v = dtype_load_i64(in->dtype, p);
            bool negative = v < 0 && in->dtype != DTYPE_U64;
            n = number_print_int(text, negative ? 0 - (uint64_t)v : (uint64_t)v, negative);
        }
        int r = tensor_set_str(out, i, text, n, e);
        if (r)
            return r;
    }
    return 0;
}

/* ---- Cast, CastLike ------------------------------------------------------------------------- */

struct cast_attrs {
    struct attrs_cast common; /* what passes know; first */
    struct str to_name;       /* versions below 6 */
};

static int cast_fix(struct node *n, struct err *e)
{
    struct cast_attrs *a = n->attrs;
    if (n->opset < 6) {
        char name[24] = "";
        for (size_t i = 0; i < a->to_name.size && i < sizeof name - 1; i++) {
            char c = a->to_name.data[i];
            name[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
        a->common.to = dtype_find(name);
    }
    if (!dtype_valid(a->common.to))
        return err_set(e, ERR_MODEL, "to is %lld, which is no dtype", (long long)a->common.to);
    return 0;
}

/* Contents go on between the integers of shapes. */
static void cast_elems(struct infer *c, enum dtype to)
{
    int64_t n, out[FACT_ELEMS_MAX];
    const uint32_t small = DT(I64) | DT(I32) | DT(BOOL);
    if (!(DTYPE_BIT(to) & small) || !(DTYPE_BIT(infer_dtype(c, 0)) & small))
        return;
    const int64_t *v = infer_elems(c, 0, &n);
    if (!v || n > FACT_ELEMS_MAX)
        return;
    for (int64_t i = 0; i < n; i++) {
        out[i] = v[i];
        if (to == DTYPE_BOOL && sym_is_number(v[i]))
            out[i] = v[i] != 0;
        else if (to == DTYPE_BOOL)
            out[i] = sym_is_expr(v[i]) && sym_low(c->syms, v[i]) > 0 ? 1 : SYM_UNKNOWN;
        else if (to == DTYPE_I32 && sym_is_number(v[i]))
            out[i] = (int32_t)v[i];
    }
    infer_set_elems(c, 0, out, n);
}

static int infer_to(struct infer *c, enum dtype to, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_ANY & ~DT_COMPLEX, e);
    if (r)
        return r;
    if (DT_COMPLEX & DTYPE_BIT(to))
        return err_set(e, ERR_UNSUPPORTED, "a cast to %s", dtype_name(to));
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, to, e);
    r = infer_like(c, 0, 0, to, e);
    if (!r)
        cast_elems(c, to);
    return r;
}

static int cast_infer(struct infer *c, struct err *e)
{
    const struct cast_attrs *a = c->attrs;
    if (!dtype_valid(a->common.to))
        return err_set(e, ERR_MODEL, "to is %lld, which is no dtype", (long long)a->common.to);
    return infer_to(c, (enum dtype)a->common.to, e);
}

static int cast_like_infer(struct infer *c, struct err *e)
{
    return infer_to(c, infer_dtype(c, 1), e);
}

/* Text costs more than numbers; new strings are made by one thread. */
static int64_t cast_tasks(const struct call *c)
{
    if (call_out(c, 0)->dtype == DTYPE_STRING)
        return 1;
    return span_tasks(c, call_in(c, 0)->dtype == DTYPE_STRING ? 64 : 2);
}

static int cast_span(const struct call *c, int64_t begin, int64_t end, struct cast_how how,
                     struct err *e)
{
    const struct tensor *in = call_in(c, 0);
    struct tensor *out = call_out(c, 0);
    struct span s = span_of(begin, end, cast_tasks(c), tensor_count(out));
    if (s.first >= s.last)
        return 0;
    if (in->dtype == out->dtype) {
        memcpy(tensor_at(out, s.first), tensor_at(in, s.first),
               (size_t)(s.last - s.first) * dtype_size(in->dtype));
        return 0;
    }
    if (in->dtype == DTYPE_STRING)
        return from_strings(in, out, s, how, e);
    if (out->dtype == DTYPE_STRING)
        return to_strings(in, out, s, e);
    if (cast_direct(in, out, s))
        return 0;
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS)
        cast_chunk(in, out, i, s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS, how);
    return 0;
}

/* Another or no word is the default, "up". */
static struct cast_how cast_how_of(int64_t saturate, struct str round_mode)
{
    struct cast_how how = {saturate != 0, 'u'};
    if (round_mode.size && (round_mode.data[0] == 'd' || round_mode.data[0] == 'n'))
        how.round = round_mode.data[0];
    return how;
}

static int cast_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct cast_attrs *a = c->attrs;
    return cast_span(c, begin, end, cast_how_of(a->common.saturate, a->common.round_mode), e);
}

static int cast_like_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_cast_like *a = c->attrs;
    return cast_span(c, begin, end, cast_how_of(a->saturate, a->round_mode), e);
}

static const struct attr cast_attr_rows[] = {
    {"to", ATTR_STRING, offsetof(struct cast_attrs, to_name), .required = true, .until = 5},
    {"to", ATTR_INT, offsetof(struct cast_attrs, common.to), .required = true, .since = 6},
    {"saturate", ATTR_INT, offsetof(struct cast_attrs, common.saturate), .since = 19, .i = 1},
    {"round_mode", ATTR_STRING, offsetof(struct cast_attrs, common.round_mode), .since = 24,
     .s = "up"},
    {NULL},
};

const struct op op_cast = {
    .domain = "", .name = "Cast", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = cast_attr_rows, .attrs_size = sizeof(struct cast_attrs),
    .fix = cast_fix, .infer = cast_infer, .tasks = cast_tasks, .run = cast_run,
    .kernels = "cast",
};

static const struct attr cast_like_attr_rows[] = {
    {"saturate", ATTR_INT, offsetof(struct attrs_cast_like, saturate), .since = 19, .i = 1},
    {"round_mode", ATTR_STRING, offsetof(struct attrs_cast_like, round_mode), .since = 24,
     .s = "up"},
    {NULL},
};

const struct op op_castlike = {
    .domain = "", .name = "CastLike", .since = 15,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = cast_like_attr_rows, .attrs_size = sizeof(struct attrs_cast_like),
    .infer = cast_like_infer, .tasks = cast_tasks, .run = cast_like_run,
    .kernels = "cast",
};

/* ---- BitCast -------------------------------------------------------------------------------- */

struct bitcast_attrs {
    int64_t to;
};

static int bitcast_infer(struct infer *c, struct err *e)
{
    const struct bitcast_attrs *a = c->attrs;
    int r = infer_dtypes(c, 0, DT_ANY & ~DT(STRING), e);
    if (r)
        return r;
    if (!dtype_valid(a->to) || a->to == DTYPE_STRING)
        return err_set(e, ERR_MODEL, "to is %lld, which is no dtype of bits", (long long)a->to);
    enum dtype from = infer_dtype(c, 0), to = (enum dtype)a->to;
    if (dtype_bits(from) != dtype_bits(to))
        return err_set(e, ERR_MODEL, "%s has %u bits and %s has %u", dtype_name(from),
                       dtype_bits(from), dtype_name(to), dtype_bits(to));
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, to, e);
    return infer_like(c, 0, 0, to, e);
}

static int64_t bitcast_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

/* Narrow elements are sign-extended in memory where signed, and a bool is 0 or 1. */
static int bitcast_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *in = call_in(c, 0);
    struct tensor *out = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    unsigned bits = dtype_bits(out->dtype);
    const uint8_t *x = tensor_at(in, s.first);
    uint8_t *y = tensor_at(out, s.first);
    int64_t n = s.last - s.first;
    if (bits >= 8 && out->dtype != DTYPE_BOOL && n > 0) {
        memcpy(y, x, (size_t)n * dtype_size(out->dtype));
        return 0;
    }
    for (int64_t i = 0; i < n; i++) {
        unsigned mask = (1u << bits) - 1, v = x[i] & mask;
        if (out->dtype == DTYPE_BOOL)
            v = v != 0;
        else if (dtype_kind(out->dtype) == 'I' && v >> (bits - 1))
            v |= ~mask;
        y[i] = (uint8_t)v;
    }
    return 0;
}

static const struct attr bitcast_attr_rows[] = {
    {"to", ATTR_INT, offsetof(struct bitcast_attrs, to), .required = true},
    {NULL},
};

const struct op op_bitcast = {
    .domain = "", .name = "BitCast", .since = 26,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = bitcast_attr_rows, .attrs_size = sizeof(struct bitcast_attrs),
    .infer = bitcast_infer, .tasks = bitcast_tasks, .run = bitcast_run,
    .kernels = "cast",
};
