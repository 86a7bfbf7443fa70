/* SPDX-License-Identifier: Apache-2.0 */
/* QLinearAdd, QLinearMul, MulInteger, QLinearWhere: element by element, broadcast. */
#include "ops/contrib/qlinear.h"
#include "ops/pair.h"

/* Where the inputs of the two-operand ones stand. */
struct places {
    int a, a_scale, a_zero, b, b_scale, b_zero, c_scale, c_zero;
};
static const struct places scaled = {0, 1, 2, 3, 4, 5, 6, 7};

/* Output 0 of this dtype has the dims that n inputs broadcast to. */
static int infer_dims(struct infer *c, const int *which, int n, enum dtype dtype, struct err *e)
{
    const struct fact *in[3];
    int64_t dims[TENSOR_RANK_MAX];
    int rank;
    struct infer one = qlinear_pick(c, which, n, in);
    int r = infer_broadcast(&one, 0, n, &rank, dims, e);
    c->late |= one.late;
    if (r)
        return r;
    return rank < 0 ? infer_unknown(c, 0, dtype, e) : infer_set(c, 0, dtype, rank, dims, e);
}

static int scaled_infer(struct infer *c, struct err *e)
{
    const struct places *p = &scaled;
    if (!infer_has(c, p->b))
        return err_set(e, ERR_MODEL, "input %d is missing", p->b);
    int r = qlinear_infer(c, p->a, p->a_scale, p->a_zero, e);
    if (r || (r = infer_same_dtype(c, p->a, p->b, e)) ||
        (r = qlinear_infer(c, p->b, p->b_scale, p->b_zero, e)) ||
        (r = qlinear_infer(c, p->a, p->c_scale, p->c_zero, e)))
        return r;
    return infer_dims(c, (const int[]){p->a, p->b}, 2, infer_dtype(c, p->a), e);
}

static int init_loop(const struct call *c, const int *which, unsigned n, struct broadcast *b,
                     const void **in, struct err *e)
{
    struct broadcast_shape out = tensor_shape(call_out(c, 0)), shapes[3];
    for (unsigned i = 0; i < n; i++) {
        shapes[i] = tensor_shape(call_in(c, which[i]));
        in[i] = call_in(c, which[i])->data;
    }
    return broadcast_init(b, &out, n, shapes)
               ? 0
               : err_set(e, ERR_INPUT, "the inputs do not broadcast to the output");
}

static int64_t pair_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

/* ---- QLinearAdd, QLinearMul ------------------------------------------------------------------ */

struct pair {
    struct qlinear a, b, c;
};

/* An operand of a run, less its zero point. */
static void load(const struct qlinear *q, const uint8_t *from, bool one, size_t at, size_t n,
                 float *out)
{
    qlinear_load(q, one ? from : from + at, one ? 1 : (int64_t)n, out);
    for (size_t i = 1; one && i < n; i++)
        out[i] = out[0];
}

/* The output's zero point is added before the one rounding: with an odd one, ties go the other
 * way than if it were added behind. */
#define RUN(name, expression)                                                                      \
    static void name(void *arg, const void *const *in, unsigned one, void *out, size_t n)          \
    {                                                                                              \
        const struct pair *p = arg;                                                                \
        const float sa = p->a.scale, sb = p->b.scale, sc = p->c.scale, zero = p->c.zero;           \
        const float product = sa * sb / sc;                                                        \
        const struct quant_range range = qlinear_range(&p->c);                                     \
        uint8_t *to = out;                                                                         \
        float a[CHUNK_ELEMS], b[CHUNK_ELEMS];                                                      \
        (void)product;                                                                             \
        for (size_t at = 0; at < n; at += CHUNK_ELEMS) {                                           \
            size_t some = n - at < CHUNK_ELEMS ? n - at : CHUNK_ELEMS;                             \
            load(&p->a, in[0], one & 1, at, some, a);                                              \
            load(&p->b, in[1], one & 2, at, some, b);                                              \
            for (size_t i = 0; i < some; i++)                                                      \
                to[at + i] = (uint8_t)(int)quant_round((expression) + zero, 0, range);             \
        }                                                                                          \
    }
RUN(add_bytes, (sa * a[i] + sb * b[i]) / sc)
RUN(mul_bytes, a[i] * b[i] * product)

static int scaled_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct places *p = &scaled;
    struct span s = span_out(c, begin, end, 1);
    struct broadcast shape;
    struct pair pair;
    const void *in[2];
    int r = qlinear_read(c, p->a, p->a_scale, p->a_zero, &pair.a, e);
    if (r || (r = qlinear_read(c, p->b, p->b_scale, p->b_zero, &pair.b, e)) ||
        (r = qlinear_read(c, p->a, p->c_scale, p->c_zero, &pair.c, e)) || s.first >= s.last ||
        (r = init_loop(c, (const int[]){p->a, p->b}, 2, &shape, in, e)))
        return r;
    broadcast_run(&shape, in, call_out(c, 0)->data, (size_t)s.first, (size_t)s.last,
                  c->op->name[7] == 'A' ? add_bytes : mul_bytes, &pair);
    return 0;
}

/* ---- MulInteger ------------------------------------------------------------------------------ */

static int integer_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_BYTES, e);
    if (!infer_has(c, 2))
        return err_set(e, ERR_MODEL, "input 2 is missing");
    if (r || (r = infer_same_dtype(c, 0, 2, e)) ||
        (infer_has(c, 1) && (r = infer_same_dtype(c, 0, 1, e))) ||
        (infer_has(c, 3) && (r = infer_same_dtype(c, 0, 3, e))))
        return r;
    return infer_dims(c, (const int[]){0, 2}, 2, DTYPE_I32, e);
}

static void mul_ints(void *arg, const void *const *in, unsigned one, void *out, size_t n)
{
    const struct pair *p = arg;
    const uint8_t *a = in[0], *b = in[1];
    int za = (int)p->a.zero, zb = (int)p->b.zero;
    for (size_t i = 0; i < n; i++)
        ((int32_t *)out)[i] = (qlinear_int(&p->a, a[one & 1 ? 0 : i]) - za) *
                              (qlinear_int(&p->b, b[one & 2 ? 0 : i]) - zb);
}

static int integer_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct span s = span_out(c, begin, end, 1);
    bool is_signed = call_in(c, 0)->dtype == DTYPE_I8;
    struct pair pair = {.a = {.is_signed = is_signed}, .b = {.is_signed = is_signed}};
    struct broadcast shape;
    const void *in[2];
    for (int i = 0; i < 2; i++) {
        const struct tensor *zero = call_in(c, 2 * i + 1);
        if (zero && tensor_count(zero) != 1)
            return err_set(e, ERR_INPUT, "a zero point is not one number");
        if (zero)
            (i ? &pair.b : &pair.a)->zero = (float)tensor_int(zero, 0);
    }
    int r = s.first < s.last ? init_loop(c, (const int[]){0, 2}, 2, &shape, in, e) : 0;
    if (!r && s.first < s.last)
        broadcast_run(&shape, in, call_out(c, 0)->data, (size_t)s.first, (size_t)s.last, mul_ints,
                      &pair);
    return r;
}

/* ---- QLinearWhere ---------------------------------------------------------------------------- */

static int where_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT(BOOL), e);
    if (r || (r = qlinear_infer(c, 1, 2, 3, e)) || (r = infer_same_dtype(c, 1, 4, e)) ||
        (r = qlinear_infer(c, 4, 5, 6, e)) || (r = qlinear_infer(c, 1, 7, 8, e)))
        return r;
    return infer_dims(c, (const int[]){0, 1, 4}, 3, infer_dtype(c, 1), e);
}

struct where {
    uint8_t x[256], y[256];
};

static void where_bytes(void *arg, const void *const *in, unsigned one, void *out, size_t n)
{
    const struct where *w = arg;
    const uint8_t *cond = in[0], *x = in[1], *y = in[2];
    size_t step_c = !(one & 1), step_x = !(one & 2), step_y = !(one & 4);
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)out)[i] = cond[i * step_c] ? w->x[x[i * step_x]] : w->y[y[i * step_y]];
}

static int where_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct span s = span_out(c, begin, end, 1);
    struct qlinear x, y, z;
    struct broadcast shape;
    struct where w;
    const void *in[3];
    int r = qlinear_read(c, 1, 2, 3, &x, e);
    if (r || (r = qlinear_read(c, 4, 5, 6, &y, e)) || (r = qlinear_read(c, 1, 7, 8, &z, e)) ||
        s.first >= s.last || (r = init_loop(c, (const int[]){0, 1, 4}, 3, &shape, in, e)))
        return r;
    qlinear_table(&x, &z, w.x);
    qlinear_table(&y, &z, w.y);
    broadcast_run(&shape, in, call_out(c, 0)->data, (size_t)s.first, (size_t)s.last, where_bytes,
                  &w);
    return 0;
}

#define PAIR_ROW(row_name)                                                                         \
    {                                                                                              \
        .domain = "com.microsoft", .name = row_name, .since = 1, .in_min = 2, .in_max = 8,         \
        .out_min = 1, .out_max = 1, .flags = OP_PURE, .infer = scaled_infer, .tasks = pair_tasks,  \
        .run = scaled_run,                                                                         \
    }
const struct op op_ms_qlinearadd = PAIR_ROW("QLinearAdd");
const struct op op_ms_qlinearmul = PAIR_ROW("QLinearMul");

const struct op op_ms_mulinteger = {
    .domain = "com.microsoft", .name = "MulInteger", .since = 1,
    .in_min = 1, .in_max = 4, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = integer_infer, .tasks = pair_tasks, .run = integer_run,
    .kernels = "broadcast",
};

const struct op op_ms_qlinearwhere = {
    .domain = "com.microsoft", .name = "QLinearWhere", .since = 1,
    .in_min = 9, .in_max = 9, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .infer = where_infer, .tasks = pair_tasks, .run = where_run,
    .kernels = "broadcast",
};
