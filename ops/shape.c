/* SPDX-License-Identifier: Apache-2.0 */
/* Shape and Size: dims as contents. */
#include "graph/attrs.h"
#include "ops/layout.h"

/* The dims [*from, *to) of `rank` that are asked for. */
static void shape_range(const struct attrs_shape *a, int rank, int *from, int *to)
{
    int64_t start = a->start, end = a->end == ATTR_ABSENT ? rank : a->end;
    start += start < 0 ? rank : 0;
    end += end < 0 ? rank : 0;
    start = start < 0 ? 0 : start > rank ? rank : start;
    end = end < start ? start : end > rank ? rank : end;
    *from = (int)start;
    *to = (int)end;
}

static int shape_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0), from, to;
    int64_t length;
    if (rank < 0) {
        length = infer_fresh(c);
        return infer_set(c, 0, DTYPE_I64, 1, &length, e);
    }
    shape_range(c->attrs, rank, &from, &to);
    length = to - from;
    int r = infer_set(c, 0, DTYPE_I64, 1, &length, e);
    if (!r)
        infer_set_elems(c, 0, c->in[0]->type.dims + from, length);
    return r;
}

static int shape_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    int from, to;
    shape_range(c->attrs, x->rank, &from, &to);
    if (to > from)
        memcpy(call_out(c, 0)->data, x->dims + from, (size_t)(to - from) * sizeof x->dims[0]);
    return 0;
}

static const struct attr shape_attrs[] = {
    {"start", ATTR_INT, offsetof(struct attrs_shape, start), .since = 15},
    {"end", ATTR_INT, offsetof(struct attrs_shape, end), .since = 15, .i = ATTR_ABSENT},
    {NULL},
};

const struct op op_shape = {
    .domain = "",
    .name = "Shape",
    .since = 1,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_SHAPE_ONLY,
    .attrs = shape_attrs,
    .attrs_size = sizeof(struct attrs_shape),
    .infer = shape_infer,
    .run = shape_run,
};

static int size_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0);
    int64_t count = rank < 0 ? SYM_UNKNOWN : 1;
    for (int i = 0; i < rank; i++)
        count = sym_mul(c->syms, count, infer_dim(c, 0, i));
    int r = infer_set(c, 0, DTYPE_I64, 0, NULL, e);
    if (!r)
        infer_set_elems(c, 0, &count, 1);
    return r;
}

static int size_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    *(int64_t *)call_out(c, 0)->data = tensor_count(call_in(c, 0));
    return 0;
}

const struct op op_size = {
    .domain = "",
    .name = "Size",
    .since = 1,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_SHAPE_ONLY,
    .infer = size_infer,
    .run = size_run,
};
