/* SPDX-License-Identifier: Apache-2.0 */
/* Unique: slices along an axis (or elements) compared by their elements in order, -0 as 0, NaN as
 * NaN and last, complex numbers by their real parts first, strings by their bytes. A stable merge
 * sort brings equal ones together, the first of each first.
 */
#include "ops/layout.h"
#include "ops/order.h"

struct unique_attrs {
    int64_t axis, sorted;
};

/* n slices, each of `outer` runs of `inner` numbers or strings, a run of slice i being the i-th of n.
 */
struct slices {
    const struct tensor *x;
    int64_t n, outer, inner;
    size_t size; /* bytes of one of inner: half a complex number */
    const uint64_t *keys; /* of all elements; NULL for strings */
};

static int unique_infer(struct infer *c, struct err *e)
{
    const struct unique_attrs *a = c->attrs;
    int rank = infer_rank(c, 0), axis = 0, r;
    int64_t dims[TENSOR_RANK_MAX], count, all;
    r = infer_dtypes(c, 0, DT_ORDERED | DT_COMPLEX | DT(STRING), e);
    if (r)
        return r;
    count = infer_fresh(c);
    if (a->axis == ATTR_ABSENT) {
        all = rank < 0 ? SYM_UNKNOWN : 1;
        for (int i = 0; i < rank; i++)
            all = sym_mul(c->syms, all, infer_dim(c, 0, i));
        r = infer_set(c, 0, infer_dtype(c, 0), 1, &count, e);
    } else if (rank < 0) {
        all = SYM_UNKNOWN;
        r = infer_unknown(c, 0, infer_dtype(c, 0), e);
    } else {
        r = infer_axis(a->axis, rank, &axis, e);
        if (r)
            return r;
        memcpy(dims, c->in[0]->type.dims, sizeof dims);
        all = dims[axis];
        dims[axis] = count;
        r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    }
    if (!r)
        r = infer_set(c, 1, DTYPE_I64, 1, &count, e);
    all = layout_dim(c, all);
    if (!r)
        r = infer_set(c, 2, DTYPE_I64, 1, &all, e);
    return r ? r : infer_set(c, 3, DTYPE_I64, 1, &count, e);
}

static int compare_str(const struct str *a, const struct str *b)
{
    size_t n = a->size < b->size ? a->size : b->size;
    int r = n ? memcmp(a->data, b->data, n) : 0;
    return r ? r : (a->size > b->size) - (a->size < b->size);
}

static int compare(const struct slices *s, int64_t a, int64_t b)
{
    const struct str *text = s->x->data;
    for (int64_t o = 0; o < s->outer; o++) {
        int64_t i = (o * s->n + a) * s->inner, j = (o * s->n + b) * s->inner;
        for (int64_t k = 0; k < s->inner; k++, i++, j++) {
            int r = s->keys ? (s->keys[i] > s->keys[j]) - (s->keys[i] < s->keys[j])
                            : compare_str(&text[i], &text[j]);
            if (r)
                return r;
        }
    }
    return 0;
}

/* Sort the indices in a, with b as room; returns the one that holds the result. */
static int64_t *merge_sort(const struct slices *s, int64_t *a, int64_t *b)
{
    for (int64_t run = 1; run < s->n; run *= 2) {
        for (int64_t from = 0; from < s->n; from += 2 * run) {
            int64_t mid = from + run < s->n ? from + run : s->n;
            int64_t to = mid + run < s->n ? mid + run : s->n;
            int64_t i = from, j = mid, o = from;
            while (i < mid || j < to)
                b[o++] = j == to || (i < mid && compare(s, a[i], a[j]) <= 0) ? a[i++] : a[j++];
        }
        int64_t *t = a;
        a = b;
        b = t;
    }
    return a;
}

/* What is found: group of each slice, and of each group its first slice and its size. */
struct groups {
    int64_t count, *of, *first, *size;
};

/* Groups in ascending order, from sorted indices. */
static void group_sorted(const struct slices *s, const int64_t *order, struct groups *g)
{
    g->count = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (i == 0 || compare(s, order[i - 1], order[i]) != 0) {
            g->first[g->count] = order[i];
            g->size[g->count++] = 0;
        }
        g->of[order[i]] = g->count - 1;
        g->size[g->count - 1]++;
    }
}

/* Number the groups by their first slices instead; `room` has a place for each group. */
static void group_by_place(const struct slices *s, struct groups *g, int64_t *room)
{
    int64_t next = 0;
    for (int64_t i = 0; i < s->n; i++) {
        int64_t old = g->of[i];
        if (g->first[old] == i)
            room[old] = next++;
    }
    for (int64_t i = 0; i < s->n; i++)
        g->of[i] = room[g->of[i]];
    for (int64_t i = 0; i < g->count; i++)
        g->size[i] = 0;
    for (int64_t i = s->n - 1; i >= 0; i--) {
        g->first[g->of[i]] = i;
        g->size[g->of[i]]++;
    }
}

/* Output o of com.microsoft's Unique, which has no list of first slices. */
static int output_of(const struct call *c, int o)
{
    return c->op->domain[0] && o > 1 ? o - 1 : o;
}

static int write_outputs(struct call *c, const struct slices *s, const struct groups *g, int axis,
                         struct err *e)
{
    const struct tensor *x = s->x;
    const int64_t *lists[4] = {NULL, g->first, g->of, g->size};
    int64_t dims[TENSOR_RANK_MAX] = {g->count};
    if (axis >= 0) {
        memcpy(dims, x->dims, sizeof dims);
        dims[axis] = g->count;
    }
    int r = call_output(c, 0, x->dtype, axis < 0 ? 1 : x->rank, dims, e);
    size_t run = (size_t)s->inner * s->size;
    struct tensor *y = call_out(c, 0);
    for (int64_t o = 0; !r && y && run && o < s->outer; o++)
        for (int64_t i = 0; i < g->count; i++)
            move_bytes((char *)y->data + (size_t)(o * g->count + i) * run,
                       (const char *)x->data + (size_t)(o * s->n + g->first[i]) * run, run);
    for (int k = c->op->domain[0] ? 2 : 1; k < 4 && !r; k++) {
        int64_t n = k == 2 ? s->n : g->count;
        int o = output_of(c, k);
        r = call_output(c, o, DTYPE_I64, 1, &n, e);
        if (!r && call_out(c, o) && n)
            memcpy(call_out(c, o)->data, lists[k], (size_t)n * sizeof n);
    }
    return r;
}

/* The type of the two parts of a complex number, else the type itself. */
static enum dtype part_of(enum dtype t)
{
    return t == DTYPE_C64 ? DTYPE_F32 : t == DTYPE_C128 ? DTYPE_F64 : t;
}

static int run_with(struct call *c, const struct unique_attrs *a, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    int axis = a->axis == ATTR_ABSENT ? -1 : (int)(a->axis < 0 ? a->axis + x->rank : a->axis);
    int64_t count = tensor_count(x);
    enum dtype type = part_of(x->dtype);
    int64_t parts = type == x->dtype ? 1 : 2;
    struct slices s = {.x = x, .n = count, .outer = 1, .inner = parts, .size = dtype_size(type)};
    if (axis >= 0) {
        s.n = x->dims[axis];
        s.outer = dims_product(x->dims, 0, axis);
        s.inner = dims_product(x->dims, axis + 1, x->rank) * parts;
    }
    bool text = x->dtype == DTYPE_STRING;
    int64_t *room = mem_calloc(c->budget, (size_t)s.n, 5 * sizeof *room, e);
    size_t numbers = text ? 0 : (size_t)(count * parts);
    uint64_t *keys = room ? mem_calloc(c->budget, numbers, sizeof *keys, e) : NULL;
    int r = ERR_MEMORY;
    if (!room || !keys) {
        r = e && e->code ? e->code : r;
        goto done;
    }
    if (!text) {
        order_keys(type, x->data, 0, 1, count * parts, keys);
        s.keys = keys;
    }
    struct groups g = {0, room, room + s.n, room + 2 * s.n};
    int64_t *order = room + 3 * s.n, *spare = room + 4 * s.n;
    for (int64_t i = 0; i < s.n; i++)
        order[i] = i;
    order = merge_sort(&s, order, spare);
    group_sorted(&s, order, &g);
    if (!a->sorted)
        group_by_place(&s, &g, room + 3 * s.n);
    r = write_outputs(c, &s, &g, axis, e);
done:
    mem_free(keys);
    mem_free(room);
    return r;
}

static int unique_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run_with(c, c->attrs, e);
}

static const struct attr unique_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct unique_attrs, axis), .i = ATTR_ABSENT},
    {"sorted", ATTR_INT, offsetof(struct unique_attrs, sorted), .i = 1},
    {NULL},
};

const struct op op_unique = {
    .domain = "",
    .name = "Unique",
    .since = 11,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 4,
    .flags = OP_PURE | OP_DYNAMIC,
    .attrs = unique_attr_rows,
    .attrs_size = sizeof(struct unique_attrs),
    .infer = unique_infer,
    .run = unique_run,
};

/* Of a list, in the order of their first places. */
static int ms_infer(struct infer *c, struct err *e)
{
    int64_t count, all;
    int r = infer_dtypes(c, 0, DT_ORDERED | DT(STRING), e);
    if (r)
        return r;
    if (infer_rank(c, 0) >= 0 && infer_rank(c, 0) != 1)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 1", infer_rank(c, 0));
    count = infer_fresh(c);
    all = infer_rank(c, 0) < 0 ? infer_fresh(c) : infer_dim(c, 0, 0);
    if ((r = infer_set(c, 0, infer_dtype(c, 0), 1, &count, e)) ||
        (r = infer_set(c, 1, DTYPE_I64, 1, &all, e)))
        return r;
    return infer_set(c, 2, DTYPE_I64, 1, &count, e);
}

static int ms_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    static const struct unique_attrs list = {.axis = ATTR_ABSENT, .sorted = 0};
    if (call_in(c, 0)->rank != 1)
        return err_set(e, ERR_INPUT, "the input has rank %d, expected 1", call_in(c, 0)->rank);
    return run_with(c, &list, e);
}

const struct op op_ms_unique = {
    .domain = "com.microsoft",
    .name = "Unique",
    .since = 1,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 3,
    .flags = OP_PURE | OP_DYNAMIC,
    .infer = ms_infer,
    .run = ms_run,
};
