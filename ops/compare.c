/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons and logic of two operands; the result is bool. */
#include <string.h>

#include "ops/pair.h"

/* Functions on the types that compare; others are widened to one of them. */
struct compare_row {
    broadcast_fn *f32, *f64, *i64, *u64, *i32;
};

/* Vectors and single elements apart, so that each loop is simple enough for the compiler. */
#define LOOP(name, type, expression)                                                               \
    static void name(void *arg, const void *const *in, unsigned scalar, void *out, size_t n)       \
    {                                                                                              \
        const type *a = in[0], *b = in[1];                                                         \
        uint8_t *y = out;                                                                          \
        if (scalar == 0) {                                                                         \
            for (size_t i = 0; i < n; i++) {                                                       \
                type u = a[i], v = b[i];                                                           \
                y[i] = (expression);                                                               \
            }                                                                                      \
        } else if (scalar == 2) {                                                                  \
            type v = b[0];                                                                         \
            for (size_t i = 0; i < n; i++) {                                                       \
                type u = a[i];                                                                     \
                y[i] = (expression);                                                               \
            }                                                                                      \
        } else {                                                                                   \
            type u = a[0];                                                                         \
            for (size_t i = 0; i < n; i++) {                                                       \
                type v = b[scalar & 2 ? 0 : i];                                                    \
                y[i] = (expression);                                                               \
            }                                                                                      \
        }                                                                                          \
    }
#define ROW(word, expression)                                                                      \
    LOOP(word##_f32, float, expression)                                                            \
    LOOP(word##_f64, double, expression)                                                           \
    LOOP(word##_i64, int64_t, expression)                                                          \
    LOOP(word##_u64, uint64_t, expression)                                                         \
    LOOP(word##_i32, int32_t, expression)                                                          \
    static const struct compare_row row_##word = {word##_f32, word##_f64, word##_i64, word##_u64,  \
                                                  word##_i32};
ROW(equal, u == v)
ROW(less, u < v)
ROW(greater, u > v)
ROW(less_equal, u <= v)
ROW(greater_equal, u >= v)
LOOP(and_u8, uint8_t, u && v)
LOOP(or_u8, uint8_t, u || v)
LOOP(xor_u8, uint8_t, !u != !v)

static void equal_str(void *arg, const void *const *in, unsigned scalar, void *out, size_t n)
{
    const struct str *a = in[0], *b = in[1];
    uint8_t *y = out;
    for (size_t i = 0; i < n; i++) {
        const struct str *u = &a[scalar & 1 ? 0 : i], *v = &b[scalar & 2 ? 0 : i];
        y[i] = u->size == v->size && (u->size == 0 || memcmp(u->data, v->data, u->size) == 0);
    }
}

static broadcast_fn *row_find(const struct compare_row *row, enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32: return row->f32;
    case DTYPE_F64: return row->f64;
    case DTYPE_I64: return row->i64;
    case DTYPE_U64: return row->u64;
    case DTYPE_I32: return row->i32;
    default: return NULL;
    }
}

/* ---- running -------------------------------------------------------------------------------- */

struct compare_work {
    broadcast_fn *fn;
    enum dtype wide, dtype;
};

/* A chunk at a time through the wide type. */
static void compare_wide(void *arg, const void *const *in, unsigned scalar, void *out, size_t n)
{
    struct compare_work *w = arg;
    union wide_chunk v[2];
    const void *wide_in[2] = {&v[0], &v[1]};
    size_t size = dtype_size(w->dtype);
    for (int k = 0; k < 2; k++)
        if (scalar >> k & 1)
            wide_load(w->wide, w->dtype, in[k], 1, &v[k]);
    for (size_t i = 0; i < n; i += CHUNK_ELEMS) {
        size_t part = n - i < CHUNK_ELEMS ? n - i : CHUNK_ELEMS;
        for (int k = 0; k < 2; k++)
            if (!(scalar >> k & 1))
                wide_load(w->wide, w->dtype, (const char *)in[k] + i * size, (int64_t)part, &v[k]);
        w->fn(NULL, wide_in, scalar, (uint8_t *)out + i, part);
    }
}

static int64_t compare_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int compare_with(struct call *c, broadcast_fn *fn, void *arg, int64_t begin, int64_t end,
                        struct err *e)
{
    const void *in[2] = {call_in(c, 0)->data, call_in(c, 1)->data};
    struct span s = span_out(c, begin, end, 1);
    struct broadcast shape;
    int r = s.first < s.last ? pair_broadcast(c, c->attrs, &shape, e) : 0;
    if (!r && s.first < s.last)
        broadcast_run(&shape, in, call_out(c, 0)->data, (size_t)s.first, (size_t)s.last, fn, arg);
    return r;
}

static int compare_run(struct call *c, const struct compare_row *row, int64_t begin, int64_t end,
                       struct err *e)
{
    enum dtype dtype = call_in(c, 0)->dtype;
    struct compare_work w = {row_find(row, dtype), dtype, dtype};
    if (dtype == DTYPE_STRING)
        return compare_with(c, equal_str, NULL, begin, end, e);
    if (w.fn)
        return compare_with(c, w.fn, NULL, begin, end, e);
    w.wide = wide_dtype(dtype, dtype);
    w.fn = row_find(row, w.wide);
    return compare_with(c, compare_wide, &w, begin, end, e);
}

/* ---- inference ------------------------------------------------------------------------------ */

static int infer_bool(struct infer *c, uint32_t mask, elem_fn *elems, struct err *e)
{
    int r = infer_dtypes(c, 0, mask, e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)) || (r = pair_infer(c, DTYPE_BOOL, c->attrs, e)))
        return r;
    if (DTYPE_BIT(infer_dtype(c, 0)) & (DT(I64) | DT(I32) | DT(BOOL)))
        pair_elems(c, DTYPE_BOOL, elems);
    return 0;
}

static int64_t equal_elem(struct syms *s, int64_t a, int64_t b)
{
    return sym_equal(s, a, b) ? 1 : sym_differ(s, a, b) ? 0 : SYM_UNKNOWN;
}

/* a < b where one is a number or both are: from lower bounds. */
static int64_t less_elem(struct syms *s, int64_t a, int64_t b)
{
    if (sym_is_number(a) && sym_is_number(b))
        return a < b;
    if (sym_equal(s, a, b) || (sym_is_number(b) && sym_low(s, a) >= b))
        return 0;
    return sym_is_number(a) && sym_low(s, b) > a ? 1 : SYM_UNKNOWN;
}

static int64_t not_elem(int64_t v)
{
    return sym_is_unknown(v) ? v : !v;
}

static int64_t greater_elem(struct syms *s, int64_t a, int64_t b)
{
    return less_elem(s, b, a);
}

static int64_t less_equal_elem(struct syms *s, int64_t a, int64_t b)
{
    return not_elem(less_elem(s, b, a));
}

static int64_t greater_equal_elem(struct syms *s, int64_t a, int64_t b)
{
    return not_elem(less_elem(s, a, b));
}

static int64_t and_elem(struct syms *s, int64_t a, int64_t b)
{
    return sym_is_number(a) && sym_is_number(b) ? a && b : SYM_UNKNOWN;
}

static int64_t or_elem(struct syms *s, int64_t a, int64_t b)
{
    return sym_is_number(a) && sym_is_number(b) ? a || b : SYM_UNKNOWN;
}

static int64_t xor_elem(struct syms *s, int64_t a, int64_t b)
{
    return sym_is_number(a) && sym_is_number(b) ? !a != !b : SYM_UNKNOWN;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static const struct attr compare_attr_rows[] = {PAIR_ATTR_ROWS, {NULL}};

#define OPERATOR(word, onnx_name, first)                                                           \
    const struct op op_##word = {                                                                  \
        .domain = "", .name = onnx_name, .since = first,                                           \
        .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT,                    \
        .attrs = compare_attr_rows, .attrs_size = sizeof(struct pair_attrs),                       \
        .infer = infer_##word, .tasks = compare_tasks, .run = run_##word,                          \
    };
#define COMPARE(word, onnx_name, first, mask, row, elem)                                           \
    static int infer_##word(struct infer *c, struct err *e)                                        \
    {                                                                                              \
        return infer_bool(c, mask, elem, e);                                                       \
    }                                                                                              \
    static int run_##word(struct call *c, int64_t begin, int64_t end, int member, struct err *e)   \
    {                                                                                              \
        return compare_run(c, row, begin, end, e);                                                 \
    }                                                                                              \
    OPERATOR(word, onnx_name, first)
#define LOGIC(word, onnx_name, fn, elem)                                                           \
    static int infer_##word(struct infer *c, struct err *e)                                        \
    {                                                                                              \
        return infer_bool(c, DT(BOOL), elem, e);                                                   \
    }                                                                                              \
    static int run_##word(struct call *c, int64_t begin, int64_t end, int member, struct err *e)   \
    {                                                                                              \
        return compare_with(c, fn, NULL, begin, end, e);                                           \
    }                                                                                              \
    OPERATOR(word, onnx_name, 1)

COMPARE(equal, "Equal", 1, DT_NUMERIC | DT(BOOL) | DT(STRING), &row_equal, equal_elem)
COMPARE(less, "Less", 1, DT_NUMERIC, &row_less, less_elem)
COMPARE(greater, "Greater", 1, DT_NUMERIC, &row_greater, greater_elem)
COMPARE(lessorequal, "LessOrEqual", 12, DT_NUMERIC, &row_less_equal, less_equal_elem)
COMPARE(greaterorequal, "GreaterOrEqual", 12, DT_NUMERIC, &row_greater_equal, greater_equal_elem)
LOGIC(and, "And", and_u8, and_elem)
LOGIC(or, "Or", or_u8, or_elem)
LOGIC(xor, "Xor", xor_u8, xor_elem)
