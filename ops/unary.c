/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of one variable: those of unary.def, and Gelu with its two forms. The parameters of a
 * kernel are the floats at the start of the attributes, in its order.
 *
 * f32 and f64 have kernels; the 16-bit floats are computed in f32 a chunk at a time. Of the few
 * functions that take integers the simple ones are done in int64, the others in f64.
 */
#include "kernels/unary.h"

#include <string.h>

#include "graph/attrs.h"
#include "ops/span.h"

/* ---- running -------------------------------------------------------------------------------- */

static void run_f16(enum unary_op op, const struct tensor *in, struct tensor *out, struct span s,
                    const float *param)
{
    unary_f32_fn *fn = unary_f32_pick(op);
    float v[CHUNK_ELEMS];
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        elems_to_f32(in->dtype, in->data, i, n, v);
        fn(v, v, (size_t)n, param);
        elems_from_f32(out->dtype, out->data, i, n, v);
    }
}

/* Parameters as f64: those that the function has. */
static const double *widen(enum unary_op op, const float *param, double *wide)
{
    for (unsigned i = 0; i < unary_params(op); i++)
        wide[i] = param[i];
    return wide;
}

/* v holds the bits of u64, or values that fit int64. */
static void apply_i64(enum unary_op op, bool is_unsigned, int64_t *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        bool negative = !is_unsigned && v[i] < 0;
        switch (op) {
        case UNARY_ABS: v[i] = negative ? (int64_t)(0 - (uint64_t)v[i]) : v[i]; break;
        case UNARY_NEG: v[i] = (int64_t)(0 - (uint64_t)v[i]); break;
        case UNARY_SIGN: v[i] = negative ? -1 : v[i] != 0; break;
        default: v[i] = negative ? 0 : v[i]; break;
        }
    }
}

static void run_ints(enum unary_op op, const struct tensor *in, struct tensor *out, struct span s,
                     const float *param)
{
    bool simple = op == UNARY_ABS || op == UNARY_NEG || op == UNARY_SIGN || op == UNARY_RELU;
    double wide[2];
    union {
        int64_t i64[CHUNK_ELEMS];
        double f64[CHUNK_ELEMS];
    } v;
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        if (simple) {
            elems_to_i64(in->dtype, in->data, i, n, v.i64);
            apply_i64(op, dtype_kind(in->dtype) == 'U', v.i64, n);
            elems_from_i64(out->dtype, out->data, i, n, v.i64);
        } else {
            elems_to_f64(in->dtype, in->data, i, n, v.f64);
            unary_f64_pick(op)(v.f64, v.f64, (size_t)n, widen(op, param, wide));
            elems_from_f64(out->dtype, out->data, i, n, v.f64);
        }
    }
}

static int unary_run(struct call *c, enum unary_op op, int64_t begin, int64_t end, int64_t cost)
{
    const struct tensor *in = call_in(c, 0);
    struct tensor *out = call_out(c, 0);
    struct span s = span_out(c, begin, end, cost);
    double wide[2];
    if (s.first >= s.last)
        return 0;
    size_t n = (size_t)(s.last - s.first);
    if (in->dtype == DTYPE_F32)
        unary_f32_pick(op)(tensor_at(in, s.first), tensor_at(out, s.first), n, c->attrs);
    else if (in->dtype == DTYPE_F64)
        unary_f64_pick(op)(tensor_at(in, s.first), tensor_at(out, s.first), n,
                           widen(op, c->attrs, wide));
    else if (dtype_is_float(in->dtype))
        run_f16(op, in, out, s, c->attrs);
    else
        run_ints(op, in, out, s, c->attrs);
    return 0;
}

/* What an element costs: a few instructions, a vectorised approximation, a call of libm. */
enum { COST_cheap = 1, COST_vector = 4, COST_libm = 16 };

static int64_t tasks_cheap(const struct call *c)
{
    return span_tasks(c, COST_cheap);
}

static int64_t tasks_vector(const struct call *c)
{
    return span_tasks(c, COST_vector);
}

static int64_t tasks_libm(const struct call *c)
{
    return span_tasks(c, COST_libm);
}

/* ---- inference ------------------------------------------------------------------------------ */

static int infer_of(struct infer *c, uint32_t mask, struct err *e)
{
    int r = infer_dtypes(c, 0, mask, e);
    if (r)
        return r;
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int infer_floats(struct infer *c, struct err *e)
{
    return infer_of(c, DT_FLOATS, e);
}

static int64_t elem_of(struct syms *s, enum unary_op op, int64_t v)
{
    bool positive = !sym_is_unknown(v) && sym_low(s, v) >= 0;
    if (op == UNARY_NEG)
        return sym_sub(s, 0, v);
    if (op == UNARY_SIGN)
        return sym_is_number(v) ? (v > 0) - (v < 0) : SYM_UNKNOWN;
    if (positive)
        return v;
    if (!sym_is_number(v))
        return SYM_UNKNOWN;
    return op == UNARY_ABS ? sym_sub(s, 0, v) : 0;
}

static int infer_numbers_of(struct infer *c, enum unary_op op, struct err *e)
{
    int64_t n, out[FACT_ELEMS_MAX];
    int r = infer_of(c, DT_NUMERIC, e);
    if (r || !(DTYPE_BIT(infer_dtype(c, 0)) & (DT(I64) | DT(I32))) || op == UNARY_ERF ||
        op == UNARY_SHRINK)
        return r;
    const int64_t *v = infer_elems(c, 0, &n);
    if (!v || n > FACT_ELEMS_MAX)
        return 0;
    for (int64_t i = 0; i < n; i++)
        out[i] = elem_of(c->syms, op, v[i]);
    infer_set_elems(c, 0, out, n);
    return 0;
}

/* ---- attributes ----------------------------------------------------------------------------- */

/* Kernels' order: lambd, bias. */
struct attrs_shrink {
    float lambd, bias;
};
union unary_attrs {
    struct attrs_alpha alpha;
    struct attrs_alpha_beta alpha_beta;
    struct attrs_alpha_gamma alpha_gamma;
    struct attrs_shrink shrink;
};

#define CONSUMED {"consumed_inputs", ATTR_INTS, .until = 5, .ignore = true}

static const struct attr attrs_none[] = {CONSUMED, {NULL}};
static const struct attr attrs_alpha[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_alpha, alpha), .f = 1},
    CONSUMED,
    {NULL},
};
static const struct attr attrs_leakyrelu[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_alpha, alpha), .f = 0.01f},
    CONSUMED,
    {NULL},
};
static const struct attr attrs_selu[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_alpha_gamma, alpha), .until = 5, .f = 1.6732f},
    {"gamma", ATTR_FLOAT, offsetof(struct attrs_alpha_gamma, gamma), .until = 5, .f = 1.0507f},
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_alpha_gamma, alpha), .since = 6,
     .f = 1.67326319217681884765625f},
    {"gamma", ATTR_FLOAT, offsetof(struct attrs_alpha_gamma, gamma), .since = 6,
     .f = 1.05070102214813232421875f},
    CONSUMED,
    {NULL},
};
static const struct attr attrs_hardsigmoid[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_alpha_beta, alpha), .f = 0.2f},
    {"beta", ATTR_FLOAT, offsetof(struct attrs_alpha_beta, beta), .f = 0.5f},
    CONSUMED,
    {NULL},
};
static const struct attr attrs_shrink[] = {
    {"lambd", ATTR_FLOAT, offsetof(struct attrs_shrink, lambd), .f = 0.5f},
    {"bias", ATTR_FLOAT, offsetof(struct attrs_shrink, bias)},
    {NULL},
};

/* ---- rows ----------------------------------------------------------------------------------- */

#define INFER_floats(word, kernel)
#define INFER_numbers(word, kernel)                                                                \
    static int infer_numbers_##word(struct infer *c, struct err *e)                                \
    {                                                                                              \
        return infer_numbers_of(c, UNARY_##kernel, e);                                             \
    }
#define INFER_FN_floats(word) infer_floats
#define INFER_FN_numbers(word) infer_numbers_##word

#define OPERATOR(word, onnx_name, first, kernel, dtypes, attributes, cost)                         \
    INFER_##dtypes(word, kernel)                                                                   \
    static int run_##word(struct call *c, int64_t begin, int64_t end, int member, struct err *e)   \
    {                                                                                              \
        return unary_run(c, UNARY_##kernel, begin, end, COST_##cost);                              \
    }                                                                                              \
    const struct op op_##word = {                                                                  \
        .domain = "", .name = onnx_name, .since = first,                                           \
        .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,      \
        .kernels = "unary", .attrs = attrs_##attributes, .attrs_size = sizeof(union unary_attrs),  \
        .infer = INFER_FN_##dtypes(word), .tasks = tasks_##cost, .run = run_##word,                \
    };
#include "ops/unary.def"
#undef OPERATOR

/* ---- Gelu ----------------------------------------------------------------------------------- */

static bool str_is(struct str s, const char *word)
{
    return s.size == strlen(word) && (s.size == 0 || memcmp(s.data, word, s.size) == 0);
}

static int gelu_infer(struct infer *c, struct err *e)
{
    struct str form = ((const struct attrs_gelu *)c->attrs)->approximate;
    if (!str_is(form, "tanh") && !str_is(form, "none"))
        return err_set(e, ERR_MODEL, "approximate is '%.*s', expected none or tanh",
                       (int)(form.size < 32 ? form.size : 32), form.data);
    return infer_floats(c, e);
}

static int gelu_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_gelu *a = c->attrs;
    enum unary_op op = str_is(a->approximate, "tanh") ? UNARY_GELU_TANH : UNARY_GELU;
    return unary_run(c, op, begin, end, COST_vector);
}

static const struct attr gelu_attr_rows[] = {
    {"approximate", ATTR_STRING, offsetof(struct attrs_gelu, approximate), .s = "none"},
    {NULL},
};

const struct op op_gelu = {
    .domain = "", .name = "Gelu", .since = 20,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .attrs = gelu_attr_rows, .attrs_size = sizeof(struct attrs_gelu),
    .infer = gelu_infer, .tasks = tasks_vector, .run = gelu_run,
    .kernels = "unary",
};
