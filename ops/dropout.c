/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout. In training each element is kept with probability 1 - ratio and scaled, drawn by the
 * generator of ops/random.h; else the output is the input. Since opset 12 an input asks for
 * training, from 7 to 11 there is none, below an attribute decides.
 */
#include <string.h>

#include "graph/attrs.h"
#include "ops/random.h"
#include "ops/span.h"

static int dropout_infer(struct infer *c, struct err *e)
{
    enum dtype dtype = infer_dtype(c, 0), mask = c->node->opset < 10 ? dtype : DTYPE_BOOL;
    int r = infer_dtypes(c, 0, DT_FLOATS | DT_FLOAT8S, e);
    if (!r && infer_has(c, 1))
        r = infer_dtypes(c, 1, DT_FLOATS | DT_FLOAT8S, e);
    if (!r && infer_has(c, 2))
        r = infer_dtypes(c, 2, DT(BOOL), e);
    if (r)
        return r;
    if (infer_rank(c, 0) < 0) {
        r = infer_unknown(c, 0, dtype, e);
        return r ? r : infer_unknown(c, 1, mask, e);
    }
    r = infer_like(c, 0, 0, dtype, e);
    return r ? r : infer_like(c, 1, 0, mask, e);
}

enum { DROPOUT_COST = 2 };

static int64_t dropout_tasks(const struct call *c)
{
    return span_tasks(c, DROPOUT_COST);
}

/* Is this training, and with which ratio. */
static int dropout_mode(const struct call *c, bool *training, double *ratio, struct err *e)
{
    const struct attrs_dropout *a = c->attrs;
    const struct tensor *r = call_in(c, 1), *t = call_in(c, 2);
    *training = false;
    *ratio = 0.5;
    if ((r && tensor_count(r) != 1) || (t && tensor_count(t) != 1))
        return err_set(e, ERR_INPUT, "ratio and training_mode must have one element");
    if (r)
        *ratio = tensor_float(r, 0);
    *training = c->node->opset < 7 ? !a->is_test : t && *(const uint8_t *)t->data;
    *training &= *ratio != 0;
    if (*training && !(*ratio >= 0 && *ratio < 1))
        return err_set(e, ERR_INPUT, "ratio is %g, expected [0, 1)", *ratio);
    return 0;
}

static void drop(const struct tensor *in, struct tensor *out, struct tensor *mask, struct span s,
                 double ratio, uint64_t seed)
{
    double v[CHUNK_ELEMS], scale = 1 / (1 - ratio);
    int64_t keep[CHUNK_ELEMS];
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        elems_to_f64(in->dtype, in->data, i, n, v);
        for (int64_t j = 0; j < n; j++) {
            keep[j] = random_uniform(seed, (uint64_t)(i + j)) >= ratio;
            v[j] = keep[j] ? v[j] * scale : 0;
        }
        elems_from_f64(out->dtype, out->data, i, n, v);
        if (mask)
            elems_from_i64(mask->dtype, mask->data, i, n, keep);
    }
}

static int dropout_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_dropout *a = c->attrs;
    const struct tensor *in = call_in(c, 0);
    struct tensor *out = call_out(c, 0), *mask = call_out(c, 1);
    struct span s = span_out(c, begin, end, DROPOUT_COST);
    bool training;
    double ratio;
    int r = dropout_mode(c, &training, &ratio, e);
    if (r || s.first >= s.last)
        return r;
    if (training) {
        drop(in, out, mask, s, ratio, random_seed_int(a->seed));
        return 0;
    }
    if (out->data != in->data)
        memcpy(tensor_at(out, s.first), tensor_at(in, s.first),
               (size_t)(s.last - s.first) * dtype_size(in->dtype));
    if (mask && mask->dtype == DTYPE_BOOL) {
        memset(tensor_at(mask, s.first), 1, (size_t)(s.last - s.first));
    } else if (mask) {
        for (int64_t i = s.first; i < s.last; i++)
            dtype_store_i64(mask->dtype, tensor_at(mask, i), 1);
    }
    return 0;
}

static const struct attr dropout_attr_rows[] = {
    {"seed", ATTR_INT, offsetof(struct attrs_dropout, seed), .since = 12, .i = ATTR_ABSENT},
    {"ratio", ATTR_FLOAT, .until = 6, .input = 1, .as_in0 = true, .f = 0.5f},
    {"ratio", ATTR_FLOAT, .since = 7, .until = 11, .ignore = true},
    {"is_test", ATTR_INT, offsetof(struct attrs_dropout, is_test), .until = 6},
    {"consumed_inputs", ATTR_INTS, .until = 5, .ignore = true},
    {NULL},
};

const struct op op_dropout = {
    .domain = "", .name = "Dropout", .since = 1,
    .in_min = 1, .in_max = 3, .out_min = 1, .out_max = 2, .flags = OP_INPLACE0, .host_in = 6,
    .attrs = dropout_attr_rows, .attrs_size = sizeof(struct attrs_dropout),
    .infer = dropout_infer, .tasks = dropout_tasks, .run = dropout_run,
};
