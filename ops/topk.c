/* SPDX-License-Identifier: Apache-2.0 */
/* TopK. Equal values go by lower index; NaN counts as larger than every number, whether the largest
 * or the smallest are asked for. The result is always in order, also with sorted 0.
 *
 * A lane along the axis keeps its k best in a heap whose root is the worst of them.
 */
#include "ops/layout.h"
#include "ops/order.h"

struct topk_attrs {
    int64_t axis, largest, sorted;
};

struct entry {
    uint64_t key; /* larger is better */
    int64_t index;
};

static int topk_infer(struct infer *c, struct err *e)
{
    const struct topk_attrs *a = c->attrs;
    int rank = infer_rank(c, 0), axis;
    int64_t dims[TENSOR_RANK_MAX], n, k = SYM_UNKNOWN;
    if (!infer_has(c, 1))
        return err_set(e, ERR_MODEL, "has no k");
    int r = infer_dtypes(c, 0, DT_NUMERIC, e);
    if (!r)
        r = infer_dtypes(c, 1, DT_INTS, e);
    if (r)
        return r;
    const int64_t *elems = infer_elems(c, 1, &n);
    if (elems && n != 1)
        return err_set(e, ERR_MODEL, "k has %lld elements, expected one", (long long)n);
    if (elems)
        k = elems[0];
    if (rank < 0) {
        r = infer_unknown(c, 0, infer_dtype(c, 0), e);
        return r ? r : infer_unknown(c, 1, DTYPE_I64, e);
    }
    r = infer_axis(a->axis, rank, &axis, e);
    if (r)
        return r;
    memcpy(dims, c->in[0]->type.dims, sizeof dims);
    if (sym_is_number(k) && (k < 0 || (sym_is_number(dims[axis]) && k > dims[axis])))
        return err_set(e, ERR_MODEL, "k is %lld, the dim %lld", (long long)k,
                       sym_is_number(dims[axis]) ? (long long)dims[axis] : -1LL);
    dims[axis] = layout_dim(c, k);
    r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    return r ? r : infer_set(c, 1, DTYPE_I64, rank, dims, e);
}

/* Output 0 or, where only the indices are asked for, output 1. */
static const struct tensor *any_out(const struct call *c)
{
    const struct tensor *y = call_out(c, 0);
    return y ? y : call_out(c, 1);
}

static int topk_axis(const struct call *c)
{
    const struct topk_attrs *a = c->attrs;
    return (int)(a->axis < 0 ? a->axis + call_in(c, 0)->rank : a->axis);
}

static size_t topk_scratch(const struct call *c, size_t *per_member)
{
    const struct tensor *y = any_out(c);
    *per_member = y ? (size_t)y->dims[topk_axis(c)] * sizeof(struct entry) : 0;
    return 0;
}

static int64_t lanes(const struct call *c)
{
    const struct tensor *x = call_in(c, 0);
    int axis = topk_axis(c);
    return dims_product(x->dims, 0, axis) * dims_product(x->dims, axis + 1, x->rank);
}

static int64_t topk_tasks(const struct call *c)
{
    int64_t length = call_in(c, 0)->dims[topk_axis(c)];
    return tasks_for(lanes(c), 4 * (length ? length : 1));
}

static inline bool better(const struct entry *a, const struct entry *b)
{
    return a->key != b->key ? a->key > b->key : a->index < b->index;
}

/* Put v at place i of a heap of n or below, where its children are worse no more. */
static void sift(struct entry *heap, int64_t n, int64_t i, struct entry v)
{
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && better(&heap[child], &heap[child + 1]))
            child++;
        if (!better(&v, &heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = v;
}

static void select_best(const struct tensor *x, int64_t first, int64_t stride, int64_t length,
                        int64_t k, bool largest, struct entry *heap)
{
    uint64_t keys[CHUNK_ELEMS], flip = largest ? 0 : UINT64_MAX;
    for (int64_t i = 0, n; i < length; i += n) {
        n = length - i < CHUNK_ELEMS ? length - i : CHUNK_ELEMS;
        order_keys(x->dtype, x->data, first + i * stride, stride, n, keys);
        for (int64_t j = 0; j < n; j++) {
            struct entry v = {keys[j] ^ flip, i + j};
            if (i + j < k) {
                heap[i + j] = v;
                if (i + j == k - 1)
                    for (int64_t h = k / 2 - 1; h >= 0; h--)
                        sift(heap, k, h, heap[h]);
            } else if (v.key > heap[0].key) { /* an equal one came earlier */
                sift(heap, k, 0, v);
            }
        }
    }
    /* The worst goes to the end, again and again: best first. */
    for (int64_t n = k - 1; n > 0; n--) {
        struct entry v = heap[n];
        heap[n] = heap[0];
        sift(heap, n, 0, v);
    }
}

static int topk_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct topk_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct tensor *values = call_out(c, 0), *indices = call_out(c, 1);
    int axis = topk_axis(c);
    if (!any_out(c))
        return 0;
    int64_t length = x->dims[axis], k = any_out(c)->dims[axis];
    int64_t inner = dims_product(x->dims, axis + 1, x->rank), given;
    struct span s = span_of(begin, end, topk_tasks(c), lanes(c));
    struct entry *heap = call_member_scratch(c, member);
    elems_to_i64(call_in(c, 1)->dtype, call_in(c, 1)->data, 0, 1, &given);
    if (k > length || given != k)
        return err_set(e, ERR_INPUT, "k is %lld, the dim %lld", (long long)given,
                       (long long)length);
    for (int64_t lane = s.first; lane < s.last && k > 0; lane++) {
        int64_t from = lane / inner * length * inner + lane % inner;
        int64_t to = lane / inner * k * inner + lane % inner;
        select_best(x, from, inner, length, k, a->largest != 0, heap);
        for (int64_t i = 0; i < k; i++) {
            if (values)
                move_bytes(tensor_at(values, to + i * inner),
                           tensor_at(x, from + heap[i].index * inner), dtype_size(x->dtype));
            if (indices)
                ((int64_t *)indices->data)[to + i * inner] = heap[i].index;
        }
    }
    return 0;
}

static const struct attr topk_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct topk_attrs, axis), .i = -1},
    {"largest", ATTR_INT, offsetof(struct topk_attrs, largest), .since = 11, .i = 1},
    {"sorted", ATTR_INT, offsetof(struct topk_attrs, sorted), .since = 11, .i = 1},
    {"k", ATTR_INT, .until = 9, .input = 1, .required = true},
    {NULL},
};

const struct op op_topk = {
    .domain = "",
    .name = "TopK",
    .since = 1,
    .in_min = 1,
    .in_max = 2,
    .out_min = 1,
    .out_max = 2,
    .flags = OP_PURE,
    .host_in = 2,
    .attrs = topk_attr_rows,
    .attrs_size = sizeof(struct topk_attrs),
    .infer = topk_infer,
    .scratch = topk_scratch,
    .tasks = topk_tasks,
    .run = topk_run,
};
