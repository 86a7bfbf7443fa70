/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/append.h"

#include "graph/attrs.h"
#include "ops/layout.h"

static int64_t append_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

/* Row-major, a line of the output is everything along the axis and behind it: past and then new. A line of
 * the store begins alike and has room after that. */
static int append_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_concat *a = c->attrs;
    const struct tensor *past = call_in(c, 0), *added = call_in(c, 1), *out = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    int axis = (int)(a->axis < 0 ? a->axis + out->rank : a->axis);
    size_t size = dtype_size(out->dtype);
    if (s.first >= s.last)
        return 0;
    int64_t inner = dims_product(out->dims, axis + 1, out->rank), line = out->dims[axis] * inner;
    int64_t old = past->dims[axis] * inner, room = c->store ? c->store->capacity * inner : old;
    const char *from = c->store ? c->store->data : past->data;
    if (old + added->dims[axis] * inner != line)
        return err_set(e, ERR_INPUT, "the inputs' dims do not add up to the output's");
    int64_t row = s.first / line, at = s.first % line;
    char *o = tensor_at(out, s.first);
    for (int64_t left = s.last - s.first, n; left > 0; left -= n, o += (size_t)n * size) {
        int64_t stop = at < old ? old : line;
        n = stop - at < left ? stop - at : left;
        if (at < old) {
            move_bytes(o, from + (size_t)(row * room + at) * size, (size_t)n * size);
        } else {
            const char *x = (const char *)added->data + (size_t)(row * (line - old) + at - old) * size;
            move_bytes(o, x, (size_t)n * size);
            if (c->store)
                move_bytes((char *)c->store->data + (size_t)(row * room + at) * size, x, (size_t)n * size);
        }
        at += n;
        row += at == line;
        at = at == line ? 0 : at;
    }
    return 0;
}

static const struct attr append_attrs[] = {
    {"axis", ATTR_INT, offsetof(struct attrs_concat, axis), .required = true},
    {NULL},
};

const struct op op_append = {
    .domain = "infer",
    .name = "Append",
    .since = 1,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = append_attrs,
    .attrs_size = sizeof(struct attrs_concat),
    .infer = concat_infer,
    .tasks = append_tasks,
    .run = append_run,
};
