/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic and bitwise operators of two operands.
 *
 * Each has a row of functions on wide types (f32, f64, i32, i64, u64). Tensors of such a type go
 * through their function as they are; other types are widened a chunk at a time, and the result is
 * narrowed once. Integers wrap; an integer divided by zero is an error.
 */
#include "kernels/binary.h"

#include <math.h>

#include "ops/pair.h"

struct binary_attrs {
    struct pair_attrs legacy;
    int64_t fmod;
    struct str direction;
};

/* Which function: one of the kernels', or one of this file's tables. */
struct binary_row {
    int kernel; /* enum binary_op, -1: none */
    binary_fn *f32, *f64, *i64, *u64;
    bool nonzero; /* integers: input 1 must not be zero */
};

/* ---- plain functions ------------------------------------------------------------------------ */

#define LOOP(name, type, expression)                                                               \
    static void name(const void *a, const void *b, unsigned scalar, void *y, size_t n)             \
    {                                                                                              \
        size_t step_a = !(scalar & BINARY_A_SCALAR), step_b = !(scalar & BINARY_B_SCALAR);         \
        const type *p = a, *q = b;                                                                 \
        type *out = y;                                                                             \
        for (size_t i = 0; i < n; i++) {                                                           \
            type u = p[i * step_a], v = q[i * step_b];                                             \
            out[i] = (expression);                                                                 \
        }                                                                                          \
    }

static double floor_mod_f64(double u, double v)
{
    double r = fmod(u, v);
    if (r == 0)
        return copysign(0, v);
    return (r < 0) != (v < 0) && !isnan(r) ? r + v : r;
}

static float floor_mod_f32(float u, float v)
{
    float r = fmodf(u, v);
    if (r == 0)
        return copysignf(0, v);
    return (r < 0) != (v < 0) && !isnan(r) ? r + v : r;
}

/* v == -1 apart: the least integer would trap. */
static int64_t floor_mod_i64(int64_t u, int64_t v)
{
    int64_t r = v == 0 || v == -1 ? 0 : u % v;
    return r != 0 && (r < 0) != (v < 0) ? r + v : r;
}

/* Beyond the width only the sign is left; a count above INT64_MAX reads as negative. */
static int64_t shift_left(int64_t u, int64_t v)
{
    return v >= 0 && v < 64 ? (int64_t)((uint64_t)u << v) : 0;
}

static uint64_t pow_u64(uint64_t u, uint64_t v)
{
    uint64_t r = 1;
    for (; v; v >>= 1, u *= u)
        r *= v & 1 ? u : 1;
    return r;
}

LOOP(mod_f32, float, floor_mod_f32(u, v))
LOOP(mod_f64, double, floor_mod_f64(u, v))
LOOP(mod_i64, int64_t, floor_mod_i64(u, v))
LOOP(mod_u64, uint64_t, v ? u % v : 0)
LOOP(fmod_f32, float, fmodf(u, v))
LOOP(fmod_f64, double, fmod(u, v))
LOOP(fmod_i64, int64_t, v == 0 || v == -1 ? 0 : u % v)
LOOP(div_u64, uint64_t, v ? u / v : 0)
LOOP(prelu_u64, uint64_t, ((void)v, u))
LOOP(power_u64, uint64_t, pow_u64(u, v))
LOOP(and_i64, int64_t, u & v)
LOOP(or_i64, int64_t, u | v)
LOOP(xor_i64, int64_t, u ^ v)
LOOP(left_i64, int64_t, shift_left(u, v))
LOOP(right_i64, int64_t, u >> (v >= 0 && v < 64 ? v : 63))
LOOP(right_u64, uint64_t, v < 64 ? u >> v : 0)

static const struct binary_row row_add = {BINARY_ADD};
static const struct binary_row row_sub = {BINARY_SUB};
static const struct binary_row row_mul = {BINARY_MUL};
static const struct binary_row row_div = {BINARY_DIV, .u64 = div_u64, .nonzero = true};
static const struct binary_row row_pow = {BINARY_POW, .u64 = power_u64};
static const struct binary_row row_prelu = {BINARY_PRELU, .u64 = prelu_u64};
static const struct binary_row row_mod = {-1, mod_f32, mod_f64, mod_i64, mod_u64, .nonzero = true};
static const struct binary_row row_fmod = {-1, fmod_f32, fmod_f64, fmod_i64, mod_u64,
                                           .nonzero = true};
static const struct binary_row row_and = {-1, .i64 = and_i64, .u64 = and_i64};
static const struct binary_row row_or = {-1, .i64 = or_i64, .u64 = or_i64};
static const struct binary_row row_xor = {-1, .i64 = xor_i64, .u64 = xor_i64};
static const struct binary_row row_left = {-1, .i64 = left_i64, .u64 = left_i64};
static const struct binary_row row_right = {-1, .i64 = right_i64, .u64 = right_u64};

/* The function of a row on a type, or NULL. */
static binary_fn *row_find(const struct binary_row *row, enum dtype dtype)
{
    enum binary_op op = (enum binary_op)row->kernel;
    bool kernel = row->kernel >= 0;
    switch (dtype) {
    case DTYPE_F32: return kernel ? binary_f32_pick(op) : row->f32;
    case DTYPE_F64: return kernel ? binary_f64_pick(op) : row->f64;
    case DTYPE_I32: return kernel ? binary_i32_pick(op) : NULL;
    case DTYPE_I64: return kernel ? binary_i64_pick(op) : row->i64;
    case DTYPE_U64: return row->u64 ? row->u64 : kernel ? binary_i64_pick(op) : NULL;
    default: return NULL;
    }
}

/* ---- running -------------------------------------------------------------------------------- */

/* A run of elements on its way through a wide type. */
struct binary_work {
    binary_fn *fn;
    enum dtype wide, a, b, out;
    bool direct; /* all three are the wide type */
    bool check, zero;
};

static bool any_zero(const struct binary_work *w, const void *b, size_t n)
{
    union wide_chunk v;
    for (size_t i = 0; i < n; i += CHUNK_ELEMS) {
        int64_t part = (int64_t)(n - i < CHUNK_ELEMS ? n - i : CHUNK_ELEMS), zeros = 0;
        wide_load(DTYPE_I64, w->b, (const char *)b + i * dtype_size(w->b), part, &v);
        for (int64_t j = 0; j < part; j++)
            zeros += v.i64[j] == 0;
        if (zeros)
            return true;
    }
    return false;
}

static void binary_run_fn(void *arg, const void *const *in, unsigned scalar, void *out, size_t n)
{
    struct binary_work *w = arg;
    bool one_a = scalar & BINARY_A_SCALAR, one_b = scalar & BINARY_B_SCALAR;
    union wide_chunk a, b;
    if (w->check)
        w->zero |= any_zero(w, in[1], one_b ? 1 : n);
    if (w->direct) {
        w->fn(in[0], in[1], scalar, out, n);
        return;
    }
    if (one_a)
        wide_load(w->wide, w->a, in[0], 1, &a);
    if (one_b)
        wide_load(w->wide, w->b, in[1], 1, &b);
    for (size_t i = 0; i < n; i += CHUNK_ELEMS) {
        int64_t part = (int64_t)(n - i < CHUNK_ELEMS ? n - i : CHUNK_ELEMS);
        union wide_chunk y;
        if (!one_a)
            wide_load(w->wide, w->a, (const char *)in[0] + i * dtype_size(w->a), part, &a);
        if (!one_b)
            wide_load(w->wide, w->b, (const char *)in[1] + i * dtype_size(w->b), part, &b);
        w->fn(&a, &b, scalar, &y, (size_t)part);
        wide_store(w->wide, w->out, (char *)out + i * dtype_size(w->out), part, &y);
    }
}

/* As they are, if the row has a function for them; unsigned 32 bits widen. */
static bool work_init(struct binary_work *w, const struct binary_row *row, enum dtype a,
                      enum dtype b, enum dtype out)
{
    *w = (struct binary_work){.a = a, .b = b, .out = out};
    if (a == b && a == out) {
        w->wide = a;
        w->fn = row_find(row, a);
    }
    w->direct = w->fn != NULL;
    if (!w->fn) {
        w->wide = wide_dtype(a, b);
        w->fn = row_find(row, w->wide);
    }
    w->check = row->nonzero && dtype_is_int(b);
    return w->fn != NULL;
}

static int binary_run(struct call *c, const struct binary_row *row, int64_t begin, int64_t end,
                      int64_t cost, const struct pair_attrs *legacy, struct err *e)
{
    const struct tensor *a = call_in(c, 0), *b = call_in(c, 1);
    struct tensor *out = call_out(c, 0);
    struct span s = span_out(c, begin, end, cost);
    struct broadcast shape;
    struct binary_work w;
    if (s.first >= s.last)
        return 0;
    if (!work_init(&w, row, a->dtype, b->dtype, out->dtype))
        return err_set(e, ERR_UNSUPPORTED, "dtype %s", dtype_name(a->dtype));
    int r = pair_broadcast(c, legacy, &shape, e);
    if (r)
        return r;
    const void *in[2] = {a->data, b->data};
    if (w.direct && !w.check)
        binary_broadcast(&shape, w.fn, in[0], in[1], out->data, (size_t)s.first, (size_t)s.last);
    else
        broadcast_run(&shape, in, out->data, (size_t)s.first, (size_t)s.last, binary_run_fn, &w);
    return w.zero ? err_set(e, ERR_INPUT, "an integer is divided by zero") : 0;
}

/* Cheap functions, and those that call libm. */
enum { COST_CHEAP = 1, COST_DEAR = 8 };

static int64_t cheap_tasks(const struct call *c)
{
    return span_tasks(c, COST_CHEAP);
}

static int64_t dear_tasks(const struct call *c)
{
    return span_tasks(c, COST_DEAR);
}

/* ---- inference ------------------------------------------------------------------------------ */

static int infer_pair(struct infer *c, uint32_t mask, elem_fn *elems, struct err *e)
{
    const struct binary_attrs *a = c->attrs;
    enum dtype dtype = infer_dtype(c, 0);
    int r = infer_dtypes(c, 0, mask, e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)) || (r = pair_infer(c, dtype, &a->legacy, e)))
        return r;
    if (elems && dtype != DTYPE_BOOL)
        pair_elems(c, dtype, elems);
    return 0;
}

static int add_infer(struct infer *c, struct err *e)
{
    return infer_pair(c, DT_NUMERIC, sym_add, e);
}

static int sub_infer(struct infer *c, struct err *e)
{
    return infer_pair(c, DT_NUMERIC, sym_sub, e);
}

static int mul_infer(struct infer *c, struct err *e)
{
    return infer_pair(c, DT_NUMERIC, sym_mul, e);
}

static int div_infer(struct infer *c, struct err *e)
{
    return infer_pair(c, DT_NUMERIC, sym_div, e);
}

/* C's remainder agrees with sym_mod where neither is negative. */
static int64_t fmod_elem(struct syms *s, int64_t a, int64_t b)
{
    return sym_low(s, a) >= 0 && sym_low(s, b) >= 0 ? sym_mod(s, a, b) : SYM_UNKNOWN;
}

static int mod_infer(struct infer *c, struct err *e)
{
    const struct binary_attrs *a = c->attrs;
    if (a->fmod != 0 && a->fmod != 1)
        return err_set(e, ERR_MODEL, "fmod is %lld, expected 0 or 1", (long long)a->fmod);
    return infer_pair(c, DT_NUMERIC, a->fmod ? fmod_elem : sym_mod, e);
}

static int pow_infer(struct infer *c, struct err *e)
{
    const struct binary_attrs *a = c->attrs;
    int r = infer_dtypes(c, 0, DT_NUMERIC, e);
    if (r || (r = infer_dtypes(c, 1, DT_NUMERIC, e)))
        return r;
    return pair_infer(c, infer_dtype(c, 0), &a->legacy, e);
}

/* Below opset 7 a slope of several elements belongs to dim 1. */
static const struct pair_attrs prelu_legacy = {.axis = 1, .broadcast = 1};

static int prelu_infer(struct infer *c, struct err *e)
{
    int rank, r = infer_dtypes(c, 0, DT_NUMERIC, e);
    int64_t dims[TENSOR_RANK_MAX];
    if (r || (r = infer_same_dtype(c, 0, 1, e)))
        return r;
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (c->node->opset >= 7) {
        r = infer_broadcast(c, 0, 2, &rank, dims, e);
        if (r)
            return r;
        if (infer_rank(c, 1) > infer_rank(c, 0))
            return err_set(e, ERR_MODEL, "the slope has rank %d, the input %d", infer_rank(c, 1),
                           infer_rank(c, 0));
    }
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int bits_infer(struct infer *c, struct err *e)
{
    return infer_pair(c, DT_INTS, NULL, e);
}

static bool str_is(struct str s, const char *word)
{
    size_t i = 0;
    while (i < s.size && word[i] && s.data[i] == word[i])
        i++;
    return i == s.size && !word[i];
}

static int shift_infer(struct infer *c, struct err *e)
{
    const struct binary_attrs *a = c->attrs;
    if (!str_is(a->direction, "LEFT") && !str_is(a->direction, "RIGHT"))
        return err_set(e, ERR_MODEL, "direction is '%.*s', expected LEFT or RIGHT",
                       (int)(a->direction.size < 32 ? a->direction.size : 32), a->direction.data);
    return infer_pair(c, DT_INTS, NULL, e);
}

/* ---- rows ----------------------------------------------------------------------------------- */

#define RUN(name, row, cost)                                                                       \
    static int name(struct call *c, int64_t begin, int64_t end, int member, struct err *e)         \
    {                                                                                              \
        const struct binary_attrs *a = c->attrs;                                                   \
        return binary_run(c, row, begin, end, cost, &a->legacy, e);                                \
    }
RUN(add_run, &row_add, COST_CHEAP)
RUN(sub_run, &row_sub, COST_CHEAP)
RUN(mul_run, &row_mul, COST_CHEAP)
RUN(div_run, &row_div, COST_CHEAP)
RUN(pow_run, &row_pow, COST_DEAR)
RUN(mod_run, a->fmod ? &row_fmod : &row_mod, COST_DEAR)
RUN(and_run, &row_and, COST_CHEAP)
RUN(or_run, &row_or, COST_CHEAP)
RUN(xor_run, &row_xor, COST_CHEAP)
RUN(shift_run, str_is(a->direction, "LEFT") ? &row_left : &row_right, COST_CHEAP)

static int prelu_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return binary_run(c, &row_prelu, begin, end, COST_CHEAP, &prelu_legacy, e);
}

static const struct attr pair_attr_rows[] = {PAIR_ATTR_ROWS, {NULL}};
static const struct attr mod_attr_rows[] = {
    {"fmod", ATTR_INT, offsetof(struct binary_attrs, fmod)},
    {NULL},
};
static const struct attr prelu_attr_rows[] = {
    {"consumed_inputs", ATTR_INTS, .until = 5, .ignore = true},
    {NULL},
};
static const struct attr shift_attr_rows[] = {
    {"direction", ATTR_STRING, offsetof(struct binary_attrs, direction), .required = true},
    {NULL},
};

#define BINARY(word, onnx_name, first, rows, infer_fn, tasks_fn, run_fn)                           \
    const struct op op_##word = {                                                                  \
        .domain = "", .name = onnx_name, .since = first,                                           \
        .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1,                                      \
        .flags = OP_PURE | OP_EXACT | OP_INPLACE0 | OP_INPLACE1, .kernels = "binary broadcast",    \
        .attrs = rows, .attrs_size = sizeof(struct binary_attrs),                                  \
        .infer = infer_fn, .tasks = tasks_fn, .run = run_fn,                                       \
    }
BINARY(add, "Add", 1, pair_attr_rows, add_infer, cheap_tasks, add_run);
BINARY(sub, "Sub", 1, pair_attr_rows, sub_infer, cheap_tasks, sub_run);
BINARY(mul, "Mul", 1, pair_attr_rows, mul_infer, cheap_tasks, mul_run);
BINARY(div, "Div", 1, pair_attr_rows, div_infer, cheap_tasks, div_run);
BINARY(pow, "Pow", 1, pair_attr_rows, pow_infer, dear_tasks, pow_run);
BINARY(mod, "Mod", 10, mod_attr_rows, mod_infer, dear_tasks, mod_run);
BINARY(prelu, "PRelu", 1, prelu_attr_rows, prelu_infer, cheap_tasks, prelu_run);
BINARY(bitwiseand, "BitwiseAnd", 18, NULL, bits_infer, cheap_tasks, and_run);
BINARY(bitwiseor, "BitwiseOr", 18, NULL, bits_infer, cheap_tasks, or_run);
BINARY(bitwisexor, "BitwiseXor", 18, NULL, bits_infer, cheap_tasks, xor_run);
BINARY(bitshift, "BitShift", 11, shift_attr_rows, shift_infer, cheap_tasks, shift_run);
