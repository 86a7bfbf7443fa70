/* SPDX-License-Identifier: Apache-2.0 */
/* OneHotEncoder: a new last axis with a one at the place of the element in a list of categories. */
#include <stddef.h>
#include <string.h>

#include "ops/ml/lookup.h"

struct attrs_onehot_encoder {
    struct ints cats_int64s;
    struct strs cats_strings;
    int64_t zeros;
};

static const struct attr onehot_attrs[] = {
    {"cats_int64s", ATTR_INTS, offsetof(struct attrs_onehot_encoder, cats_int64s)},
    {"cats_strings", ATTR_STRINGS, offsetof(struct attrs_onehot_encoder, cats_strings)},
    {"zeros", ATTR_INT, offsetof(struct attrs_onehot_encoder, zeros), .i = 1},
    {0},
};

static int categories(const struct attrs_onehot_encoder *at, struct list *out, struct err *e)
{
    const struct list lists[] = {list_ints(at->cats_int64s), list_strs(at->cats_strings)};
    int rc = list_one(lists, 2, "cats_*", out, e);
    if (rc == 0 && out->n == 0)
        return err_set(e, ERR_MODEL, "one of cats_int64s and cats_strings is needed");
    return rc;
}

static int onehot_infer(struct infer *c, struct err *e)
{
    struct list cats;
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), rc = categories(c->attrs, &cats, e);
    rc = rc ? rc : infer_dtypes(c, 0, DT(STRING) | DT(I64) | DT(I32) | DT(F32) | DT(F64), e);
    if (rc == 0 && (infer_dtype(c, 0) == DTYPE_STRING) != (cats.dtype == DTYPE_STRING))
        rc = err_set(e, ERR_MODEL, "the input has type %s, the categories have type %s",
                     dtype_name(infer_dtype(c, 0)), dtype_name(cats.dtype));
    if (rc < 0)
        return rc;
    if (rank < 0)
        return infer_unknown(c, 0, DTYPE_F32, e);
    if (rank >= TENSOR_RANK_MAX)
        return err_set(e, ERR_LIMIT, "the result would have more than %d dims", TENSOR_RANK_MAX);
    memcpy(dims, c->in[0]->type.dims, (size_t)rank * sizeof *dims);
    dims[rank] = cats.n;
    return infer_set(c, 0, DTYPE_F32, rank + 1, dims, e);
}

static int onehot_prepare(struct prepare *p, struct err *e)
{
    struct list cats;
    int rc = categories(p->attrs, &cats, e);
    if (rc < 0)
        return rc;
    p->prepared = lookup_new(p->arena, &cats, true, e);
    return p->prepared ? 0 : ERR_MEMORY;
}

static int64_t width_of(const struct tensor *y)
{
    return y->dims[y->rank - 1];
}

static int64_t onehot_tasks(const struct call *c)
{
    return tasks_for(tensor_count(call_in(c, 0)), 16 + width_of(call_out(c, 0)) / 4);
}

static int onehot_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_onehot_encoder *at = c->attrs;
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    int64_t count = tensor_count(x), width = width_of(y), tasks = onehot_tasks(c), from, to, skip;
    int64_t places[CHUNK_ELEMS];
    task_range(begin, tasks, count, &from, &skip);
    task_range(end - 1, tasks, count, &skip, &to);
    for (int64_t i = from; i < to; i += CHUNK_ELEMS) {
        int64_t n = to - i < CHUNK_ELEMS ? to - i : CHUNK_ELEMS;
        float *out = (float *)y->data + i * width;
        memset(out, 0, (size_t)(n * width) * sizeof *out);
        lookup_places(c->prepared, x->dtype, x->data, i, n, places);
        for (int64_t k = 0; k < n; k++) {
            if (places[k] >= 0)
                out[k * width + places[k]] = 1;
            else if (!at->zeros)
                return err_set(e, ERR_INPUT, "element %lld is none of the %lld categories",
                               (long long)(i + k), (long long)width);
        }
    }
    return 0;
}

/* Not OP_PURE: it runs with its table only. */
const struct op op_onehotencoder = {
    .domain = "ai.onnx.ml", .name = "OneHotEncoder", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .flags = OP_HOST, .host_in = 1,
    .attrs = onehot_attrs, .attrs_size = sizeof(struct attrs_onehot_encoder),
    .infer = onehot_infer, .prepare = onehot_prepare, .tasks = onehot_tasks, .run = onehot_run,
};
