/* SPDX-License-Identifier: Apache-2.0 */
/* Split. */
#include "graph/attrs.h"
#include "ops/layout.h"

/* Parts, where no lengths are given. */
static int64_t part_count(const struct attrs_split *a, int n_out)
{
    return a->num_outputs == ATTR_ABSENT ? n_out : a->num_outputs;
}

/* The length of part o of dim d: of given lengths (numbers or not), or equal but for what is
 * missing at the end. */
static int64_t part_length(struct syms *s, const struct attrs_split *a, int n_out, int64_t d,
                           const int64_t *lengths, int o)
{
    if (lengths)
        return lengths[o];
    int64_t parts = part_count(a, n_out), each = sym_ceil_div(s, d, parts);
    if (o == 0 || sym_equal(s, sym_mul(s, each, parts), d))
        return each;
    int64_t left = layout_max(s, sym_sub(s, d, sym_mul(s, each, o)), 0);
    return layout_min(s, left, each);
}

/* Check lengths against the dim, as far as they are known. */
static int check_parts(struct infer *c, int64_t d, const int64_t *lengths, struct err *e)
{
    const struct attrs_split *a = c->attrs;
    int64_t sum = 0, parts = part_count(a, c->n_out);
    for (int i = 0; lengths && i < c->n_out; i++) {
        if (sym_is_number(lengths[i]) && lengths[i] < 0)
            return err_set(e, ERR_MODEL, "part %d has length %lld", i, (long long)lengths[i]);
        sum = sym_add(c->syms, sum, lengths[i]);
    }
    if (lengths && sym_is_number(sum) && sym_is_number(d) && sum != d)
        return err_set(e, ERR_MODEL, "the lengths' sum is %lld, the dim %lld", (long long)sum,
                       (long long)d);
    if (lengths)
        return 0;
    if (parts != c->n_out)
        return err_set(e, ERR_MODEL, "num_outputs is %lld, but there are %d outputs",
                       (long long)parts, c->n_out);
    if (a->num_outputs == ATTR_ABSENT && sym_is_number(d) && d % parts)
        return err_set(e, ERR_MODEL, "a dim of %lld does not make %lld equal parts", (long long)d,
                       (long long)parts);
    return 0;
}

/* Lengths from input 1: an array of n_out symbolic integers or NULL; *given says that there is one.
 */
static int read_lengths(struct infer *c, const int64_t **lengths, bool *given, struct err *e)
{
    int64_t n;
    *lengths = NULL;
    *given = infer_has(c, 1);
    if (!*given)
        return 0;
    int r = infer_dtypes(c, 1, DT(I64), e);
    if (r)
        return r;
    if (infer_rank(c, 1) > 1)
        return err_set(e, ERR_MODEL, "the lengths have rank %d, expected 1", infer_rank(c, 1));
    *lengths = infer_elems(c, 1, &n);
    if (*lengths && n != c->n_out)
        return err_set(e, ERR_MODEL, "%lld lengths for %d outputs", (long long)n, c->n_out);
    return 0;
}

static int split_infer(struct infer *c, struct err *e)
{
    const struct attrs_split *a = c->attrs;
    int rank = infer_rank(c, 0), axis = 0;
    const int64_t *lengths, *elems = NULL;
    int64_t dims[TENSOR_RANK_MAX], at = 0, n = 0;
    bool given;
    int r = read_lengths(c, &lengths, &given, e);
    if (r)
        return r;
    if (rank >= 0) {
        r = infer_axis(a->axis, rank, &axis, e);
        if (!r && (!given || lengths))
            r = check_parts(c, infer_dim(c, 0, axis), lengths, e);
        if (r)
            return r;
        elems = rank == 1 ? infer_elems(c, 0, &n) : NULL;
        memcpy(dims, c->in[0]->type.dims, sizeof dims);
    }
    for (int o = 0; o < c->n_out; o++) {
        if (rank < 0) {
            r = infer_unknown(c, o, infer_dtype(c, 0), e);
        } else {
            int64_t d = given && !lengths
                            ? SYM_UNKNOWN
                            : part_length(c->syms, a, c->n_out, infer_dim(c, 0, axis), lengths, o);
            dims[axis] = layout_dim(c, d);
            r = infer_set(c, o, infer_dtype(c, 0), rank, dims, e);
        }
        if (r)
            return r;
        if (elems && sym_is_number(dims[axis]) && dims[axis] <= n - at) {
            infer_set_elems(c, o, elems + at, dims[axis]);
            at += dims[axis];
        } else {
            elems = NULL;
        }
    }
    return 0;
}

static int64_t split_tasks(const struct call *c)
{
    return tasks_for(tensor_count(call_in(c, 0)), 1);
}

/* The length of part o at run time, checked against the output where there is one. */
static int run_length(const struct call *c, int axis, int o, int64_t *length, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *lengths = call_in(c, 1), *y = call_out(c, o);
    if (lengths && tensor_count(lengths) != c->n_out)
        return err_set(e, ERR_INPUT, "%lld lengths for %d outputs",
                       (long long)tensor_count(lengths), c->n_out);
    *length = lengths ? index_at(lengths, o)
                      : part_length(NULL, c->attrs, c->n_out, x->dims[axis], NULL, o);
    if (*length < 0 || *length > x->dims[axis] || (y && y->dims[axis] != *length))
        return err_set(e, ERR_INPUT, "part %d has length %lld of %lld", o, (long long)*length,
                       (long long)x->dims[axis]);
    return 0;
}

static int split_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_split *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct span s = span_of(begin, end, split_tasks(c), tensor_count(x));
    int axis = (int)(a->axis < 0 ? a->axis + x->rank : a->axis);
    int64_t inner = dims_product(x->dims, axis + 1, x->rank), total = x->dims[axis] * inner;
    size_t size = dtype_size(x->dtype);
    int64_t sum = 0, length = 0;
    if (s.first >= s.last)
        return 0;
    int64_t row_first = s.first / total, row_last = (s.last - 1) / total + 1;
    for (int o = 0; o < c->n_out; o++) {
        struct tensor *y = call_out(c, o);
        int r = run_length(c, axis, o, &length, e);
        if (r)
            return r;
        int64_t lo = sum * inner, hi = (sum + length) * inner;
        sum += length;
        if (sum > x->dims[axis])
            return err_set(e, ERR_INPUT, "the parts are longer than the dim, %lld",
                           (long long)x->dims[axis]);
        for (int64_t row = row_first; row < row_last && y; row++) {
            int64_t from = row * total + lo, to = row * total + hi, start = from;
            if (from < s.first)
                from = s.first;
            if (to > s.last)
                to = s.last;
            if (from < to)
                move_bytes((char *)y->data + (size_t)(row * (hi - lo) + from - start) * size,
                           (const char *)x->data + (size_t)from * size, (size_t)(to - from) * size);
        }
    }
    return sum == x->dims[axis] ? 0
                                : err_set(e, ERR_INPUT, "the parts' sum is %lld, the dim %lld",
                                          (long long)sum, (long long)x->dims[axis]);
}

static const struct attr split_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_split, axis)},
    {"num_outputs", ATTR_INT, offsetof(struct attrs_split, num_outputs), .since = 18,
     .i = ATTR_ABSENT},
    {"split", ATTR_INTS, .until = 12, .input = 1},
    {NULL},
};

static int split_fix(struct node *n, struct err *e)
{
    const struct attrs_split *a = n->attrs;
    if (a->num_outputs != ATTR_ABSENT && a->num_outputs < 1)
        return err_set(e, ERR_MODEL, "num_outputs is %lld", (long long)a->num_outputs);
    return 0;
}

const struct op op_split = {
    .domain = "",
    .name = "Split",
    .since = 1,
    .in_min = 1,
    .in_max = 2,
    .out_min = 1,
    .out_max = -1,
    .flags = OP_PURE,
    .host_in = 2,
    .attrs = split_attrs,
    .attrs_size = sizeof(struct attrs_split),
    .fix = split_fix,
    .infer = split_infer,
    .tasks = split_tasks,
    .run = split_run,
};
