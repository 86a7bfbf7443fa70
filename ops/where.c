/* SPDX-License-Identifier: Apache-2.0 */
/* Where: of X and Y, what the condition says. */
#include "ops/pair.h"

/* Contents: a list where all three are at most one-dimensional. */
static void where_elems(struct infer *c, int rank)
{
    int64_t n[3], count = 1, out[FACT_ELEMS_MAX];
    const int64_t *v[3];
    if (rank > 1 || !(DTYPE_BIT(infer_dtype(c, 1)) & (DT(I64) | DT(I32) | DT(BOOL))))
        return;
    for (int i = 0; i < 3; i++) {
        v[i] = infer_elems(c, i, &n[i]);
        if (!v[i])
            return;
        count = n[i] != 1 ? n[i] : count;
    }
    if (count > FACT_ELEMS_MAX)
        return;
    for (int i = 0; i < 3; i++)
        if (n[i] != 1 && n[i] != count)
            return;
    for (int64_t i = 0; i < count; i++) {
        int64_t cond = v[0][n[0] == 1 ? 0 : i];
        int64_t x = v[1][n[1] == 1 ? 0 : i], y = v[2][n[2] == 1 ? 0 : i];
        if (sym_is_number(cond))
            out[i] = cond ? x : y;
        else
            out[i] = sym_equal(c->syms, x, y) ? x : SYM_UNKNOWN;
    }
    infer_set_elems(c, 0, out, count);
}

static int where_infer(struct infer *c, struct err *e)
{
    int rank;
    int64_t dims[TENSOR_RANK_MAX];
    enum dtype dtype = infer_dtype(c, 1);
    int r = infer_dtypes(c, 0, DT(BOOL), e);
    if (r || (r = infer_same_dtype(c, 1, 2, e)) || (r = infer_broadcast(c, 0, 3, &rank, dims, e)))
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, dtype, e);
    r = infer_set(c, 0, dtype, rank, dims, e);
    if (!r)
        where_elems(c, rank);
    return r;
}

static int64_t where_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

struct wide16 {
    uint64_t v[2];
};

/* One loop an element size; where X or Y is one element its step is 0. */
#define LOOP(name, type)                                                                           \
    static void name(void *arg, const void *const *in, unsigned scalar, void *out, size_t n)       \
    {                                                                                              \
        const uint8_t *cond = in[0];                                                               \
        const type *x = in[1], *y = in[2];                                                         \
        size_t step_c = !(scalar & 1), step_x = !(scalar & 2), step_y = !(scalar & 4);             \
        type *z = out;                                                                             \
        if (scalar == 0)                                                                           \
            for (size_t i = 0; i < n; i++)                                                         \
                z[i] = cond[i] ? x[i] : y[i];                                                      \
        else                                                                                       \
            for (size_t i = 0; i < n; i++)                                                         \
                z[i] = cond[i * step_c] ? x[i * step_x] : y[i * step_y];                           \
    }
LOOP(where_1, uint8_t)
LOOP(where_2, uint16_t)
LOOP(where_4, uint32_t)
LOOP(where_8, uint64_t)
LOOP(where_16, struct wide16)

static broadcast_fn *fn_of_size(size_t size)
{
    switch (size) {
    case 1: return where_1;
    case 2: return where_2;
    case 4: return where_4;
    case 8: return where_8;
    default: return where_16;
    }
}

static int where_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct tensor *out = call_out(c, 0);
    const void *in[3] = {call_in(c, 0)->data, call_in(c, 1)->data, call_in(c, 2)->data};
    struct span s = span_out(c, begin, end, 1);
    struct broadcast shape;
    int r = s.first < s.last ? call_broadcast(c, 0, 3, &shape, e) : 0;
    if (!r && s.first < s.last)
        broadcast_run(&shape, in, out->data, (size_t)s.first, (size_t)s.last,
                      fn_of_size(dtype_size(out->dtype)), NULL);
    return r;
}

const struct op op_where = {
    .domain = "", .name = "Where", .since = 9,
    .in_min = 3, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_EXACT | OP_INPLACE1,
    .infer = where_infer, .tasks = where_tasks, .run = where_run,
    .kernels = "broadcast",
};
