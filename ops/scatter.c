/* SPDX-License-Identifier: Apache-2.0 */
/* Scatter, ScatterElements, ScatterND, TensorScatter: a copy of the data, then updates into it. In
 * place the copy is nothing. Updates that may meet in one element belong to one task and go in the
 * order of the indices, so that the result does not depend on the split.
 */
#include "ops/layout.h"

/* ---- reductions -------------------------------------------------------------------------------
 */

enum scatter_op { SCATTER_NONE, SCATTER_ADD, SCATTER_MUL, SCATTER_MAX, SCATTER_MIN, SCATTER_OPS };

static int read_reduction(struct str name, enum scatter_op *op, struct err *e)
{
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    *op = SCATTER_NONE;
    if (!name.data)
        return 0;
    for (int i = 0; i < SCATTER_OPS; i++) {
        if (name.size == strlen(names[i]) && memcmp(name.data, names[i], name.size) == 0) {
            *op = (enum scatter_op)i;
            return 0;
        }
    }
    return err_set(e, ERR_MODEL, "reduction '%.*s' is none of none, add, mul, max, min",
                   (int)(name.size < 32 ? name.size : 32), name.data);
}

/* y = y op x, for n elements. Integers wrap; max and min give NaN where either is NaN. */
typedef void reduce_fn(enum scatter_op op, void *y, const void *x, int64_t n);

#define REDUCE_LOOP(value)                                                                         \
    for (int64_t i = 0; i < n; i++)                                                                \
    y[i] = (value)

#define REDUCE_FN(name, type, wide)                                                                \
    static void name(enum scatter_op op, void *out, const void *in, int64_t n)                     \
    {                                                                                              \
        type *y = out;                                                                             \
        const type *x = in;                                                                        \
        if (op == SCATTER_ADD)                                                                     \
            REDUCE_LOOP((type)((wide)y[i] + (wide)x[i]));                                          \
        else if (op == SCATTER_MUL)                                                                \
            REDUCE_LOOP((type)((wide)y[i] * (wide)x[i]));                                          \
        else if (op == SCATTER_MAX)                                                                \
            REDUCE_LOOP(y[i] > x[i] || y[i] != y[i] ? y[i] : x[i]);                                \
        else                                                                                       \
            REDUCE_LOOP(y[i] < x[i] || y[i] != y[i] ? y[i] : x[i]);                                \
    }

REDUCE_FN(reduce_f32, float, float)
REDUCE_FN(reduce_f64, double, double)
REDUCE_FN(reduce_i8, int8_t, uint64_t)
REDUCE_FN(reduce_i16, int16_t, uint64_t)
REDUCE_FN(reduce_i32, int32_t, uint64_t)
REDUCE_FN(reduce_i64, int64_t, uint64_t)
REDUCE_FN(reduce_u8, uint8_t, uint64_t)
REDUCE_FN(reduce_u16, uint16_t, uint64_t)
REDUCE_FN(reduce_u32, uint32_t, uint64_t)
REDUCE_FN(reduce_u64, uint64_t, uint64_t)

/* add and max are or; mul and min are and. */
static void reduce_bool(enum scatter_op op, void *out, const void *in, int64_t n)
{
    uint8_t *y = out;
    const uint8_t *x = in;
    for (int64_t i = 0; i < n; i++)
        y[i] = op == SCATTER_ADD || op == SCATTER_MAX ? y[i] || x[i] : y[i] && x[i];
}

static void reduce_half(enum dtype t, enum scatter_op op, char *out, const char *in, int64_t n)
{
    float y[CHUNK_ELEMS], x[CHUNK_ELEMS];
    for (int64_t i = 0, k; i < n; i += k) {
        k = n - i < CHUNK_ELEMS ? n - i : CHUNK_ELEMS;
        elems_to_f32(t, out, i, k, y);
        elems_to_f32(t, in, i, k, x);
        reduce_f32(op, y, x, k);
        elems_from_f32(t, out, i, k, y);
    }
}

static void reduce_f16(enum scatter_op op, void *out, const void *in, int64_t n)
{
    reduce_half(DTYPE_F16, op, out, in, n);
}

static void reduce_bf16(enum scatter_op op, void *out, const void *in, int64_t n)
{
    reduce_half(DTYPE_BF16, op, out, in, n);
}

#define DT_REDUCE (DT_NUMERIC | DT(BOOL))

static reduce_fn *const reduce_fns[DTYPE_COUNT] = {
    [DTYPE_F32] = reduce_f32,   [DTYPE_F64] = reduce_f64, [DTYPE_F16] = reduce_f16,
    [DTYPE_BF16] = reduce_bf16, [DTYPE_I8] = reduce_i8,   [DTYPE_I16] = reduce_i16,
    [DTYPE_I32] = reduce_i32,   [DTYPE_I64] = reduce_i64, [DTYPE_U8] = reduce_u8,
    [DTYPE_U16] = reduce_u16,   [DTYPE_U32] = reduce_u32, [DTYPE_U64] = reduce_u64,
    [DTYPE_BOOL] = reduce_bool,
};

/* ---- the two phases ---------------------------------------------------------------------------
 */

struct scatter {
    struct call *call;
    const struct tensor *x, *indices, *updates;
    struct tensor *y;
    size_t size;
    enum scatter_op op;
    reduce_fn *reduce;
    int64_t units, tasks; /* what the second phase splits */
    int axis;
    bool circular;
};

static int copy_task(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct scatter *s = arg;
    struct span p = span_of(begin, end, tasks_for(tensor_count(s->y), 1), tensor_count(s->y));
    if (p.first < p.last)
        memcpy(tensor_at(s->y, p.first), tensor_at(s->x, p.first),
               (size_t)(p.last - p.first) * s->size);
    return 0;
}

static void put(const struct scatter *s, int64_t to, int64_t from, int64_t n)
{
    char *y = tensor_at(s->y, to);
    const char *x = tensor_at(s->updates, from);
    if (s->op == SCATTER_NONE)
        move_bytes(y, x, (size_t)n * s->size);
    else
        s->reduce(s->op, y, x, n);
}

static int scatter_both(struct call *c, struct scatter *s, task_fn *fn, struct err *e)
{
    int r = 0;
    if (s->y->data != s->x->data)
        r = call_tasks(c, tasks_for(tensor_count(s->y), 1), copy_task, s, e);
    if (!r && s->units > 0 && tensor_count(s->updates) > 0)
        r = call_tasks(c, s->tasks, fn, s, e);
    return r;
}

static void make_scatter(struct call *c, struct scatter *s)
{
    *s = (struct scatter){.call = c, .x = call_in(c, 0), .y = call_out(c, 0), .tasks = 1};
    s->size = dtype_size(s->x->dtype);
    s->reduce = reduce_fns[s->x->dtype];
}

static int check_types(struct infer *c, struct str reduction, struct err *e)
{
    enum scatter_op op;
    int r = read_reduction(reduction, &op, e);
    if (!r)
        r = infer_dtypes(c, 1, DT(I32) | DT(I64), e);
    if (!r)
        r = infer_same_dtype(c, 0, 2, e);
    if (!r && op != SCATTER_NONE)
        r = infer_dtypes(c, 0, DT_REDUCE, e);
    return r ? r : infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

/* ---- ScatterElements --------------------------------------------------------------------------
 */

struct elements_attrs {
    int64_t axis;
    struct str reduction;
};

static int elements_infer(struct infer *c, struct err *e)
{
    const struct elements_attrs *a = c->attrs;
    int axis, rank = infer_rank(c, 0);
    int r = check_types(c, a->reduction, e);
    if (!r && rank >= 0)
        r = infer_axis(a->axis, rank, &axis, e);
    for (int i = 1; i < 3 && !r; i++)
        if (rank >= 0 && infer_rank(c, i) >= 0 && infer_rank(c, i) != rank)
            r = err_set(e, ERR_MODEL, "input %d has rank %d, the data %d", i, infer_rank(c, i),
                        rank);
    return r;
}

/* A lane is all elements along the axis at fixed other coordinates: lanes never meet. */
static int elements_lane(const struct scatter *s, int64_t lane, struct err *e)
{
    const struct tensor *x = s->x, *n = s->indices;
    int64_t x_at = 0, n_at = 0, x_stride = 1, n_stride = 1, x_axis = 1, n_axis = 1, k;
    for (int i = x->rank - 1; i >= 0; i--) {
        if (i == s->axis) {
            x_axis = x_stride;
            n_axis = n_stride;
        } else {
            x_at += lane % n->dims[i] * x_stride;
            n_at += lane % n->dims[i] * n_stride;
            lane /= n->dims[i];
        }
        x_stride *= x->dims[i];
        n_stride *= n->dims[i];
    }
    for (int64_t i = 0; i < n->dims[s->axis]; i++, n_at += n_axis) {
        int r = norm_index(index_at(n, n_at), x->dims[s->axis], "index", &k, e);
        if (r)
            return r;
        put(s, x_at + k * x_axis, n_at, 1);
    }
    return 0;
}

static int elements_task(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct scatter *s = arg;
    struct span p = span_of(begin, end, s->tasks, s->units);
    int r = 0;
    for (int64_t lane = p.first; lane < p.last && !r; lane++)
        r = elements_lane(s, lane, e);
    return r;
}

static int elements_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct elements_attrs *a = c->attrs;
    struct scatter s;
    make_scatter(c, &s);
    s.indices = call_in(c, 1);
    s.updates = call_in(c, 2);
    s.axis = (int)(a->axis < 0 ? a->axis + s.x->rank : a->axis);
    s.units = 1;
    for (int i = 0; i < s.x->rank; i++) {
        if (s.updates->dims[i] != s.indices->dims[i])
            return err_set(e, ERR_INPUT, "dim %d of the updates is %lld, of the indices %lld", i,
                           (long long)s.updates->dims[i], (long long)s.indices->dims[i]);
        if (i == s.axis)
            continue;
        if (s.indices->dims[i] > s.x->dims[i])
            return err_set(e, ERR_INPUT, "dim %d of the indices is %lld, of the data %lld", i,
                           (long long)s.indices->dims[i], (long long)s.x->dims[i]);
        s.units *= s.indices->dims[i];
    }
    int r = read_reduction(a->reduction, &s.op, e);
    s.tasks = tasks_for(s.units, 4 * s.indices->dims[s.axis]);
    return r ? r : scatter_both(c, &s, elements_task, e);
}

static const struct attr elements_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct elements_attrs, axis)},
    {"reduction", ATTR_STRING, offsetof(struct elements_attrs, reduction), .since = 16,
     .s = "none"},
    {NULL},
};

const struct op op_scatterelements = {
    .domain = "",
    .name = "ScatterElements",
    .since = 11,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_INPLACE0 | OP_LEADER,
    .attrs = elements_attr_rows,
    .attrs_size = sizeof(struct elements_attrs),
    .infer = elements_infer,
    .run = elements_run,
};

const struct op op_scatter = {
    .domain = "",
    .name = "Scatter",
    .since = 9,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_INPLACE0 | OP_LEADER,
    .attrs = elements_attr_rows,
    .attrs_size = sizeof(struct elements_attrs),
    .infer = elements_infer,
    .run = elements_run,
};

/* ---- ScatterND --------------------------------------------------------------------------------
 */

struct nd_attrs {
    struct str reduction;
};

static int nd_infer(struct infer *c, struct err *e)
{
    const struct nd_attrs *a = c->attrs;
    int rank = infer_rank(c, 0), count = infer_rank(c, 1);
    int r = check_types(c, a->reduction, e);
    if (r || rank < 0 || count < 0)
        return r;
    if (rank < 1 || count < 1)
        return err_set(e, ERR_MODEL, "data of rank %d and indices of rank %d, expected at least 1",
                       rank, count);
    int64_t tuple = infer_dim(c, 1, count - 1);
    if (sym_is_number(tuple) && tuple > rank)
        return err_set(e, ERR_MODEL, "indices of %lld numbers into %d dims", (long long)tuple,
                       rank);
    return 0;
}

/* A task does a piece of every slice: different pieces never meet. */
static int nd_task(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct scatter *s = arg;
    struct span p = span_of(begin, end, s->tasks, s->units);
    const struct tensor *x = s->x, *n = s->indices;
    int64_t tuple = n->dims[n->rank - 1], tuples = dims_product(n->dims, 0, n->rank - 1), k;
    for (int64_t u = 0; u < tuples; u++) {
        int64_t at = 0;
        for (int i = 0; i < tuple; i++) {
            int r = norm_index(index_at(n, u * tuple + i), x->dims[i], "index", &k, e);
            if (r)
                return r;
            at = at * x->dims[i] + k;
        }
        put(s, at * s->units + p.first, u * s->units + p.first, p.last - p.first);
    }
    return 0;
}

static int nd_check(const struct scatter *s, struct err *e)
{
    const struct tensor *x = s->x, *n = s->indices, *u = s->updates;
    int tuple = n->dims[n->rank - 1] <= x->rank ? (int)n->dims[n->rank - 1] : -1;
    bool ok = tuple >= 0 && u->rank == n->rank - 1 + x->rank - tuple;
    for (int i = 0; ok && i < u->rank; i++)
        ok = u->dims[i] == (i < n->rank - 1 ? n->dims[i] : x->dims[i - (n->rank - 1) + tuple]);
    if (ok)
        return 0;
    char a[96], b[96], d[96];
    return err_set(e, ERR_INPUT, "updates %s do not fit indices %s into data %s",
                   dims_describe(u->dims, u->rank, a, sizeof a),
                   dims_describe(n->dims, n->rank, b, sizeof b),
                   dims_describe(x->dims, x->rank, d, sizeof d));
}

enum { SLICE_TASK_BYTES = 16384 };

static int nd_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct nd_attrs *a = c->attrs;
    struct scatter s;
    make_scatter(c, &s);
    s.indices = call_in(c, 1);
    s.updates = call_in(c, 2);
    int r = nd_check(&s, e);
    if (!r)
        r = read_reduction(a->reduction, &s.op, e);
    if (r)
        return r;
    s.units = dims_product(s.x->dims, (int)s.indices->dims[s.indices->rank - 1], s.x->rank);
    s.tasks = s.units * (int64_t)s.size / SLICE_TASK_BYTES;
    s.tasks = s.tasks < 1 ? 1 : s.tasks > 256 ? 256 : s.tasks;
    return scatter_both(c, &s, nd_task, e);
}

static const struct attr nd_attr_rows[] = {
    {"reduction", ATTR_STRING, offsetof(struct nd_attrs, reduction), .since = 16, .s = "none"},
    {NULL},
};

const struct op op_scatternd = {
    .domain = "",
    .name = "ScatterND",
    .since = 11,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_INPLACE0 | OP_LEADER,
    .attrs = nd_attr_rows,
    .attrs_size = sizeof(struct nd_attrs),
    .infer = nd_infer,
    .run = nd_run,
};

/* ---- TensorScatter ----------------------------------------------------------------------------
 */

struct cache_attrs {
    int64_t axis;
    struct str mode;
};

static int cache_mode(const struct cache_attrs *a, bool *circular, struct err *e)
{
    *circular = a->mode.size == 8 && memcmp(a->mode.data, "circular", 8) == 0;
    if (*circular || (a->mode.size == 6 && memcmp(a->mode.data, "linear", 6) == 0))
        return 0;
    return err_set(e, ERR_MODEL, "mode is neither linear nor circular");
}

static int cache_infer(struct infer *c, struct err *e)
{
    const struct cache_attrs *a = c->attrs;
    int rank = infer_rank(c, 0), axis;
    bool circular;
    int r = cache_mode(a, &circular, e);
    if (!r)
        r = infer_same_dtype(c, 0, 1, e);
    if (!r && infer_has(c, 2))
        r = infer_dtypes(c, 2, DT(I64), e);
    if (!r && rank >= 0)
        r = infer_axis(a->axis, rank, &axis, e);
    if (!r && rank >= 0 && axis == 0)
        r = err_set(e, ERR_MODEL, "axis 0 is the batch");
    if (!r && rank >= 0 && infer_rank(c, 1) >= 0 && infer_rank(c, 1) != rank)
        r = err_set(e, ERR_MODEL, "the update has rank %d, the cache %d", infer_rank(c, 1), rank);
    for (int i = 0; i < rank && !r && infer_rank(c, 1) == rank; i++)
        if (i != axis && sym_differ(c->syms, infer_dim(c, 0, i), infer_dim(c, 1, i)))
            r = err_set(e, ERR_MODEL, "dim %d differs between cache and update", i);
    return r ? r : infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

/* A unit is one sequence: all positions at fixed dims before the axis. */
static int cache_task(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct scatter *s = arg;
    struct span p = span_of(begin, end, s->tasks, s->units);
    int64_t length = s->updates->dims[s->axis], max = s->x->dims[s->axis];
    int64_t inner = dims_product(s->x->dims, s->axis + 1, s->x->rank);
    int64_t per_batch = dims_product(s->x->dims, 1, s->axis);
    for (int64_t u = p.first; u < p.last; u++) {
        int64_t at = s->indices ? ((const int64_t *)s->indices->data)[u / per_batch] : 0;
        if (at < 0 || (s->circular ? max == 0 : at > max - length))
            return err_set(e, ERR_INPUT, "%lld positions from %lld on do not fit a cache of %lld",
                           (long long)length, (long long)at, (long long)max);
        at = s->circular ? at % max : at;
        for (int64_t i = 0, n; i < length; i += n) {
            n = length - i < max - at ? length - i : max - at;
            put(s, (u * max + at) * inner, (u * length + i) * inner, n * inner);
            at = 0;
        }
    }
    return 0;
}

static int cache_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct cache_attrs *a = c->attrs;
    struct scatter s;
    make_scatter(c, &s);
    s.updates = call_in(c, 1);
    s.indices = call_in(c, 2);
    s.axis = (int)(a->axis < 0 ? a->axis + s.x->rank : a->axis);
    s.units = dims_product(s.x->dims, 0, s.axis);
    s.tasks = tasks_for(s.units, dims_product(s.updates->dims, s.axis, s.updates->rank));
    for (int i = 0; i < s.x->rank; i++)
        if (i != s.axis && s.updates->dims[i] != s.x->dims[i])
            return err_set(e, ERR_INPUT, "dim %d of the update is %lld, of the cache %lld", i,
                           (long long)s.updates->dims[i], (long long)s.x->dims[i]);
    if (s.indices && (s.indices->rank != 1 || s.indices->dims[0] != s.x->dims[0]))
        return err_set(e, ERR_INPUT, "%lld write indices for a batch of %lld",
                       (long long)tensor_count(s.indices), (long long)s.x->dims[0]);
    int r = cache_mode(a, &s.circular, e);
    return r ? r : scatter_both(c, &s, cache_task, e);
}

static const struct attr cache_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct cache_attrs, axis), .i = -2},
    {"mode", ATTR_STRING, offsetof(struct cache_attrs, mode), .s = "linear"},
    {NULL},
};

const struct op op_tensorscatter = {
    .domain = "",
    .name = "TensorScatter",
    .since = 24,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_INPLACE0 | OP_LEADER,
    .attrs = cache_attr_rows,
    .attrs_size = sizeof(struct cache_attrs),
    .infer = cache_infer,
    .run = cache_run,
};
