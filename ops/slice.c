/* SPDX-License-Identifier: Apache-2.0 */
/* Slice: starts, ends, axes and steps are inputs 1 to 4 in every version. */
#include "ops/layout.h"

/* Numbers from here on mean "to the end", numbers below the negative "from the beginning":
 * exporters write the extremes of int32 or of int64. */
enum { SLICE_FAR = INT32_MAX };

static bool nonnegative(struct syms *s, int64_t v)
{
    return sym_low(s, v) >= 0;
}

/* A position v along a dim d: counted from the end where negative, then clamped to [low, d + over].
 * SYM_UNKNOWN where its sign is not known. */
static int64_t clamp(struct syms *s, int64_t v, int64_t d, int64_t low, int64_t over)
{
    int64_t high = sym_add(s, d, over);
    if (sym_is_unknown(v) || sym_is_unknown(d))
        return SYM_UNKNOWN;
    if (sym_is_number(v) && !sym_is_number(d)) {
        if (v >= SLICE_FAR)
            return high;
        if (v < -SLICE_FAR)
            return low;
    }
    if (sym_is_number(v) ? v < 0 : !nonnegative(s, v)) {
        /* d + v cannot overflow: it is of opposite signs. */
        if (!sym_is_number(v) && !nonnegative(s, sym_sub(s, -1, v)))
            return SYM_UNKNOWN;
        v = sym_add(s, d, v);
    }
    return layout_min(s, layout_max(s, v, low), high);
}

/* Where the slice of a dim starts and how many elements it takes. */
static void slice_dim(struct syms *s, int64_t d, int64_t start, int64_t end, int64_t step,
                      int64_t *from, int64_t *count)
{
    /* Longer steps than any dim are all the same. */
    if (step > INT64_MAX / 4)
        step = INT64_MAX / 4;
    if (step < -(INT64_MAX / 4))
        step = -(INT64_MAX / 4);
    int64_t a = clamp(s, start, d, 0, step > 0 ? 0 : -1);
    int64_t b = clamp(s, end, d, step > 0 ? 0 : -1, step > 0 ? 0 : -1);
    int64_t length = step > 0 ? sym_sub(s, b, a) : sym_sub(s, a, b);
    *from = a;
    *count = layout_max(s, sym_ceil_div(s, length, step > 0 ? step : -step), 0);
}

/* The lists as far as they are known: NULL or n entries each. */
struct lists {
    int64_t n; /* -1: not even that */
    const int64_t *starts, *ends, *steps;
    bool has_axes, has_steps;
    const int64_t *axes;
};

static int read_list(struct infer *c, int i, const char *what, struct lists *l, const int64_t **out,
                     struct err *e)
{
    int64_t n;
    *out = NULL;
    if (!infer_has(c, i))
        return 0;
    int r = infer_dtypes(c, i, DT(I32) | DT(I64), e);
    if (r)
        return r;
    if (infer_rank(c, i) > 1)
        return err_set(e, ERR_MODEL, "%s has rank %d, expected 1", what, infer_rank(c, i));
    *out = infer_elems(c, i, &n);
    if (!*out)
        n = infer_rank(c, i) == 1 && sym_is_number(infer_dim(c, i, 0)) ? infer_dim(c, i, 0) : -1;
    if (n < 0)
        return 0;
    if (l->n >= 0 && n != l->n)
        return err_set(e, ERR_MODEL, "%s has %lld elements, starts %lld", what, (long long)n,
                       (long long)l->n);
    l->n = n;
    return 0;
}

static int read_lists(struct infer *c, struct lists *l, struct err *e)
{
    *l = (struct lists){.n = -1, .has_axes = infer_has(c, 3), .has_steps = infer_has(c, 4)};
    if (!infer_has(c, 1) || !infer_has(c, 2))
        return err_set(e, ERR_MODEL, "has no starts or no ends");
    int r = read_list(c, 1, "starts", l, &l->starts, e);
    if (!r)
        r = read_list(c, 2, "ends", l, &l->ends, e);
    if (!r)
        r = read_list(c, 3, "axes", l, &l->axes, e);
    if (!r)
        r = read_list(c, 4, "steps", l, &l->steps, e);
    for (int64_t i = 0; l->axes && i < l->n; i++)
        if (!sym_is_number(l->axes[i]))
            l->axes = NULL;
    return r;
}

/* Dims of the output into dims, positions into from, strides in elements of the input into steps
 * (SYM_UNKNOWN where not known). */
static int slice_dims(struct infer *c, const struct lists *l, int rank, int64_t *dims,
                      int64_t *from, int64_t *steps, struct err *e)
{
    int axes[TENSOR_RANK_MAX];
    int64_t order[TENSOR_RANK_MAX];
    if (l->n > rank)
        return err_set(e, ERR_MODEL, "starts has %lld elements, the input rank %d", (long long)l->n,
                       rank);
    for (int i = 0; i < rank; i++)
        order[i] = i;
    int r = layout_axes(l->axes ? l->axes : order, l->n, rank, axes, e);
    for (int64_t i = 0; i < l->n && !r; i++) {
        int k = axes[i];
        int64_t step = !l->has_steps ? 1 : l->steps ? l->steps[i] : SYM_UNKNOWN;
        if (step == 0)
            return err_set(e, ERR_MODEL, "the step of axis %d is 0", k);
        int64_t count = SYM_UNKNOWN;
        from[k] = SYM_UNKNOWN;
        if (l->starts && l->ends && sym_is_number(step))
            slice_dim(c->syms, dims[k], l->starts[i], l->ends[i], step, &from[k], &count);
        dims[k] = sym_is_unknown(count) ? infer_fresh(c) : layout_dim(c, count);
        steps[k] = step;
    }
    return r;
}

static int slice_infer(struct infer *c, struct err *e)
{
    struct lists l;
    int rank = infer_rank(c, 0);
    int64_t dims[TENSOR_RANK_MAX], from[TENSOR_RANK_MAX] = {0}, steps[TENSOR_RANK_MAX];
    int r = read_lists(c, &l, e);
    if (r)
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    memcpy(dims, c->in[0]->type.dims, sizeof dims);
    for (int i = 0; i < rank; i++)
        steps[i] = 1;
    if (l.n < 0 || (l.has_axes && !l.axes)) {
        for (int i = 0; i < rank; i++)
            dims[i] = infer_fresh(c);
        return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    }
    r = slice_dims(c, &l, rank, dims, from, steps, e);
    if (!r)
        r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    if (!r && rank == 1 && sym_is_number(from[0]) && sym_is_number(steps[0]))
        layout_move_elems(c, 1, dims, steps, from[0]);
    return r;
}

static int64_t slice_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

/* Offset of the first element and strides in the input, from the numbers of this call. */
static int read_call(const struct call *c, int64_t *offset, int64_t *strides, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0), *starts = call_in(c, 1);
    const struct tensor *ends = call_in(c, 2), *axes = call_in(c, 3), *steps = call_in(c, 4);
    int64_t n = tensor_count(starts);
    dims_strides(x->dims, x->rank, strides);
    *offset = 0;
    if (n > x->rank || tensor_count(ends) != n || (axes && tensor_count(axes) != n) ||
        (steps && tensor_count(steps) != n))
        return err_set(e, ERR_INPUT, "starts, ends, axes and steps are not of one length");
    unsigned sliced = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t k = i, step = steps ? index_at(steps, i) : 1, from, count;
        int r = axes ? norm_index(index_at(axes, i), x->rank, "axis", &k, e) : 0;
        if (r)
            return r;
        if (step == 0)
            return err_set(e, ERR_INPUT, "the step of axis %lld is 0", (long long)k);
        slice_dim(NULL, x->dims[k], index_at(starts, i), index_at(ends, i), step, &from, &count);
        if (count != y->dims[k] || sliced >> k & 1)
            return err_set(e, ERR_INPUT, "axis %lld has %lld elements, expected %lld", (long long)k,
                           (long long)count, (long long)y->dims[k]);
        sliced |= 1u << k;
        *offset += from * strides[k];
        strides[k] = count > 1 ? strides[k] * step : 0;
    }
    for (int k = 0; k < x->rank; k++)
        if (!(sliced >> k & 1) && x->dims[k] != y->dims[k])
            return err_set(e, ERR_INPUT, "axis %d has %lld elements, expected %lld", k,
                           (long long)x->dims[k], (long long)y->dims[k]);
    return 0;
}

static int slice_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int64_t strides[TENSOR_RANK_MAX], offset;
    struct move m;
    int r = read_call(c, &offset, strides, e);
    if (r || s.first >= s.last)
        return r;
    move_init(&m, dtype_size(x->dtype), y->rank, y->dims, strides);
    move_run(&m, tensor_at(x, offset), y->data, s.first, s.last);
    return 0;
}

static const struct attr slice_attrs[] = {
    {"starts", ATTR_INTS, .until = 9, .input = 1, .required = true},
    {"ends", ATTR_INTS, .until = 9, .input = 2, .required = true},
    {"axes", ATTR_INTS, .until = 9, .input = 3},
    {NULL},
};

const struct op op_slice = {
    .domain = "",
    .name = "Slice",
    .since = 1,
    .in_min = 1,
    .in_max = 5,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_EXACT,
    .host_in = 2 | 4 | 8 | 16,
    .attrs = slice_attrs,
    .infer = slice_infer,
    .tasks = slice_tasks,
    .run = slice_run,
};

/* Slice as an experiment, before it had inputs itself. */
const struct op op_dynamicslice = {
    .domain = "",
    .name = "DynamicSlice",
    .since = 1,
    .until = 9,
    .in_min = 3,
    .in_max = 4,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_EXACT,
    .host_in = 2 | 4 | 8,
    .infer = slice_infer,
    .tasks = slice_tasks,
    .run = slice_run,
};
