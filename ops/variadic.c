/* SPDX-License-Identifier: Apache-2.0 */
/* Sum, Mean, Max and Min of any number of operands, from the first to the last.
 *
 * Where a kernel computes on the dtype itself, the output is the running result; else a chunk of
 * it is held in a wide type until all operands are in, and rounded once.
 */
#include "kernels/binary.h"

#include <string.h>

#include "ops/pair.h"

#define MINMAX_U64(name, sign)                                                                     \
    static void name(const void *a, const void *b, unsigned scalar, void *y, size_t n)             \
    {                                                                                              \
        const uint64_t *u = a, *v = b;                                                             \
        size_t step_a = !(scalar & BINARY_A_SCALAR), step_b = !(scalar & BINARY_B_SCALAR);         \
        uint64_t *out = y;                                                                         \
        for (size_t i = 0; i < n; i++)                                                             \
            out[i] = u[i * step_a] sign v[i * step_b] ? u[i * step_a] : v[i * step_b];             \
    }
MINMAX_U64(min_u64, <)
MINMAX_U64(max_u64, >)

static binary_fn *fn_pick(enum binary_op op, enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32: return binary_f32_pick(op);
    case DTYPE_F64: return binary_f64_pick(op);
    case DTYPE_I32: return binary_i32_pick(op);
    case DTYPE_I64: return binary_i64_pick(op);
    case DTYPE_U64:
        return op == BINARY_MIN ? min_u64 : op == BINARY_MAX ? max_u64 : binary_i64_pick(op);
    default: return NULL;
    }
}

/* ---- running -------------------------------------------------------------------------------- */

static int64_t variadic_tasks(const struct call *c)
{
    return span_tasks(c, c->n_in);
}

/* The running result: the output, or scratch of the wide type. */
struct fold {
    binary_fn *fn;
    enum dtype wide, dtype;
    void *acc;
};

static void fold_init(const struct call *c, enum binary_op op, struct fold *f)
{
    f->dtype = call_out(c, 0)->dtype;
    f->wide = fn_pick(op, f->dtype) ? f->dtype : wide_dtype(f->dtype, f->dtype);
    f->fn = fn_pick(op, f->wide);
    f->acc = f->wide == f->dtype ? call_out(c, 0)->data : c->scratch;
}

static size_t variadic_scratch(const struct call *c, size_t *per_member)
{
    enum dtype dtype = call_out(c, 0)->dtype, wide = wide_dtype(dtype, dtype);
    return fn_pick(BINARY_ADD, dtype) ? 0 : (size_t)tensor_count(call_out(c, 0)) * dtype_size(wide);
}

/* Of the first operand n elements. */
static void fold_first(void *arg, const void *const *in, unsigned scalar, void *out, size_t n)
{
    const struct fold *f = arg;
    size_t size = dtype_size(f->wide);
    union wide_chunk v;
    for (size_t i = 0; i < n; i += CHUNK_ELEMS) {
        size_t part = n - i < CHUNK_ELEMS ? n - i : CHUNK_ELEMS;
        wide_load(f->wide, f->dtype, (const char *)in[0] + (scalar ? 0 : i * dtype_size(f->dtype)),
                  scalar ? 1 : (int64_t)part, &v);
        for (size_t j = 0; j < part; j++)
            memcpy((char *)out + (i + j) * size, (const char *)&v + (scalar ? 0 : j * size), size);
    }
}

/* Of a further one, into the running result. */
static void fold_next(void *arg, const void *const *in, unsigned scalar, void *out, size_t n)
{
    const struct fold *f = arg;
    size_t size = dtype_size(f->wide);
    bool one = scalar & BINARY_B_SCALAR;
    union wide_chunk v;
    if (f->wide == f->dtype) {
        f->fn(in[0], in[1], scalar, out, n);
        return;
    }
    for (size_t i = 0; i < n; i += CHUNK_ELEMS) {
        size_t part = n - i < CHUNK_ELEMS ? n - i : CHUNK_ELEMS;
        wide_load(f->wide, f->dtype, (const char *)in[1] + (one ? 0 : i * dtype_size(f->dtype)),
                  one ? 1 : (int64_t)part, &v);
        f->fn((const char *)in[0] + (scalar & BINARY_A_SCALAR ? 0 : i * size), &v, scalar,
              (char *)out + i * size, part);
    }
}

/* Operand i goes in; the running result has the output's shape and the wide type's size. */
static int fold_in(const struct call *c, struct fold *f, int i, struct span s, struct err *e)
{
    struct broadcast_shape acc = tensor_shape(call_out(c, 0)), in[2];
    const void *data[2] = {f->acc, call_in(c, i)->data};
    struct broadcast b;
    acc.size = dtype_size(f->wide);
    in[0] = acc;
    in[1] = tensor_shape(call_in(c, i));
    if (!broadcast_init(&b, &acc, i == 0 ? 1 : 2, i == 0 ? in + 1 : in))
        return err_set(e, ERR_INPUT, "input %d does not broadcast to the output", i);
    broadcast_run(&b, i == 0 ? data + 1 : data, f->acc, (size_t)s.first, (size_t)s.last,
                  i == 0 ? fold_first : fold_next, f);
    return 0;
}

/* The first two at once, where nothing is converted. */
static int fold_two(const struct call *c, struct fold *f, struct span s, struct err *e)
{
    struct broadcast b;
    int r = call_broadcast(c, 0, 2, &b, e);
    if (!r)
        binary_broadcast(&b, f->fn, call_in(c, 0)->data, call_in(c, 1)->data, f->acc,
                         (size_t)s.first, (size_t)s.last);
    return r;
}

/* Divide by the number of operands, and narrow. */
static void fold_end(const struct call *c, struct fold *f, struct span s, bool mean)
{
    struct tensor *out = call_out(c, 0);
    size_t size = dtype_size(f->wide);
    char *acc = (char *)f->acc + (size_t)s.first * size;
    if (mean) {
        float n32 = (float)c->n_in;
        double n64 = c->n_in;
        fn_pick(BINARY_DIV, f->wide)(acc, f->wide == DTYPE_F32 ? (void *)&n32 : (void *)&n64,
                                     BINARY_B_SCALAR, acc, (size_t)(s.last - s.first));
    }
    if (f->wide == DTYPE_F32 && f->dtype != DTYPE_F32)
        elems_from_f32(f->dtype, out->data, s.first, s.last - s.first, (const float *)acc);
    else if (f->wide == DTYPE_I64 && f->dtype != DTYPE_I64)
        elems_from_i64(f->dtype, out->data, s.first, s.last - s.first, (const int64_t *)acc);
}

static int fold_run(struct call *c, enum binary_op op, bool mean, int64_t begin, int64_t end,
                    struct err *e)
{
    struct span s = span_out(c, begin, end, c->n_in);
    struct fold f;
    int i = 0;
    if (s.first >= s.last)
        return 0;
    fold_init(c, op, &f);
    if (f.wide == f.dtype && c->n_in > 1) {
        int r = fold_two(c, &f, s, e);
        if (r)
            return r;
        i = 2;
    }
    for (; i < c->n_in; i++) {
        int r = fold_in(c, &f, i, s, e);
        if (r)
            return r;
    }
    fold_end(c, &f, s, mean);
    return 0;
}

/* ---- inference ------------------------------------------------------------------------------ */

static void infer_elems_of_all(struct infer *c, enum dtype dtype, elem_fn *fn)
{
    int64_t acc[FACT_ELEMS_MAX], n, count;
    const int64_t *v = infer_elems(c, 0, &count);
    if (!v || count > FACT_ELEMS_MAX || infer_rank(c, 0) > 1)
        return;
    memcpy(acc, v, (size_t)count * sizeof *v);
    for (int i = 1; i < c->n_in; i++) {
        int64_t out[FACT_ELEMS_MAX];
        v = infer_elems(c, i, &n);
        if (!v || infer_rank(c, i) > 1)
            return;
        count = elems_combine(c->syms, dtype, acc, count, v, n, fn, out);
        if (count < 0)
            return;
        memcpy(acc, out, (size_t)count * sizeof *acc);
    }
    infer_set_elems(c, 0, acc, count);
}

static int variadic_infer(struct infer *c, uint32_t mask, elem_fn *fn, struct err *e)
{
    int rank, r = infer_dtypes(c, 0, mask, e);
    int64_t dims[TENSOR_RANK_MAX];
    enum dtype dtype = infer_dtype(c, 0);
    for (int i = 1; i < c->n_in && !r; i++) {
        if (!infer_has(c, i))
            return err_set(e, ERR_MODEL, "input %d is missing", i);
        r = infer_same_dtype(c, 0, i, e);
    }
    if (r || (r = infer_broadcast(c, 0, c->n_in, &rank, dims, e)))
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, dtype, e);
    r = infer_set(c, 0, dtype, rank, dims, e);
    if (!r && fn && DTYPE_BIT(dtype) & (DT(I64) | DT(I32)))
        infer_elems_of_all(c, dtype, fn);
    return r;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static const struct attr variadic_attr_rows[] = {
    {"consumed_inputs", ATTR_INTS, .until = 5, .ignore = true},
    {NULL},
};

#define VARIADIC(word, onnx_name, binary, mean, elem)                                              \
    static int word##_infer(struct infer *c, struct err *e)                                        \
    {                                                                                              \
        return variadic_infer(c, mean ? DT_FLOATS : DT_NUMERIC, elem, e);                          \
    }                                                                                              \
    static int word##_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)   \
    {                                                                                              \
        return fold_run(c, binary, mean, begin, end, e);                                           \
    }                                                                                              \
    const struct op op_##word = {                                                                  \
        .domain = "", .name = onnx_name, .since = 1,                                               \
        .in_min = 1, .in_max = -1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT,        \
        .attrs = variadic_attr_rows,                                                               \
        .infer = word##_infer, .scratch = variadic_scratch, .tasks = variadic_tasks,               \
        .kernels = "binary broadcast", .run = word##_run,                                          \
    };
VARIADIC(sum, "Sum", BINARY_ADD, false, sym_add)
VARIADIC(mean, "Mean", BINARY_ADD, true, NULL)
VARIADIC(max, "Max", BINARY_MAX, false, sym_max)
VARIADIC(min, "Min", BINARY_MIN, false, sym_min)
