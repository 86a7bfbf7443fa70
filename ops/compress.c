/* SPDX-License-Identifier: Apache-2.0 */
/* Compress: the slices along an axis, or the elements, whose condition is true. */
#include "ops/layout.h"

struct compress_attrs {
    int64_t axis;
};

static int compress_infer(struct infer *c, struct err *e)
{
    const struct compress_attrs *a = c->attrs;
    int rank = infer_rank(c, 0), axis;
    int64_t dims[TENSOR_RANK_MAX];
    int r = infer_dtypes(c, 1, DT(BOOL), e);
    if (r)
        return r;
    if (infer_rank(c, 1) >= 0 && infer_rank(c, 1) != 1)
        return err_set(e, ERR_MODEL, "the condition has rank %d, expected 1", infer_rank(c, 1));
    if (a->axis == ATTR_ABSENT) {
        dims[0] = infer_fresh(c);
        return infer_set(c, 0, infer_dtype(c, 0), 1, dims, e);
    }
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    r = infer_axis(a->axis, rank, &axis, e);
    if (r)
        return r;
    memcpy(dims, c->in[0]->type.dims, sizeof dims);
    dims[axis] = infer_fresh(c);
    return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

static int compress_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct compress_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *condition = call_in(c, 1);
    bool flat = a->axis == ATTR_ABSENT;
    int axis = flat ? 0 : (int)(a->axis < 0 ? a->axis + x->rank : a->axis);
    int64_t length = flat ? tensor_count(x) : x->dims[axis], n = tensor_count(condition), count = 0;
    const uint8_t *take = condition->data;
    /* A longer condition may only say no behind the end. */
    for (int64_t i = 0; i < n; i++) {
        if (take[i] && i >= length)
            return err_set(e, ERR_INPUT, "the condition takes place %lld of %lld", (long long)i,
                           (long long)length);
        count += take[i] != 0;
    }
    int64_t dims[TENSOR_RANK_MAX] = {count};
    if (!flat) {
        memcpy(dims, x->dims, sizeof dims);
        dims[axis] = count;
    }
    int r = call_output(c, 0, x->dtype, flat ? 1 : x->rank, dims, e);
    if (r || !call_out(c, 0))
        return r;
    int64_t outer = flat ? 1 : dims_product(x->dims, 0, axis);
    size_t block =
        dtype_size(x->dtype) * (size_t)(flat ? 1 : dims_product(x->dims, axis + 1, x->rank));
    char *o = call_out(c, 0)->data;
    for (int64_t row = 0; row < outer && block && count; row++) {
        const char *in = (const char *)x->data + (size_t)(row * length) * block;
        for (int64_t i = 0; i < n && i < length; i++) {
            if (!take[i])
                continue;
            move_bytes(o, in + (size_t)i * block, block);
            o += block;
        }
    }
    return 0;
}

static const struct attr compress_attr_rows[] = {
    {"axis", ATTR_INT, offsetof(struct compress_attrs, axis), .i = ATTR_ABSENT},
    {NULL},
};

const struct op op_compress = {
    .domain = "",
    .name = "Compress",
    .since = 9,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_DYNAMIC,
    .attrs = compress_attr_rows,
    .attrs_size = sizeof(struct compress_attrs),
    .infer = compress_infer,
    .run = compress_run,
};
