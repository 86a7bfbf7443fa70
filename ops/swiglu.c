/* SPDX-License-Identifier: Apache-2.0 */
/* SwiGLU: a * sigmoid(alpha * a) * b. */
#include <stddef.h>

#include "graph/attrs.h"
#include "kernels/unary.h"
#include "ops/span.h"

static const struct attr swiglu_attrs[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_alpha, alpha), .f = 1},
    {0},
};

static int swiglu_infer(struct infer *c, struct err *e)
{
    int rc = infer_dtypes(c, 0, DT_FLOATS, e);
    if (rc == 0)
        rc = infer_same_dtype(c, 0, 1, e);
    if (rc < 0)
        return rc;
    int rank = infer_rank(c, 0), other = infer_rank(c, 1);
    bool same = rank < 0 || other < 0 || rank == other;
    for (int k = 0; k < rank && k < other && same; k++)
        same = !sym_differ(c->syms, infer_dim(c, 0, k), infer_dim(c, 1, k));
    if (!same)
        return err_set(e, ERR_MODEL, "the inputs do not have one shape");
    return infer_like(c, 0, rank < 0 ? 1 : 0, infer_dtype(c, 0), e);
}

enum { SWIGLU_COST = 8 };

static int64_t swiglu_tasks(const struct call *c)
{
    return span_tasks(c, SWIGLU_COST);
}

static void chunk_f64(const struct call *c, int64_t at, int64_t n, double alpha)
{
    const double *a = call_in(c, 0)->data, *b = call_in(c, 1)->data;
    double gate[CHUNK_ELEMS], *y = call_out(c, 0)->data;
    unary_f64_pick(UNARY_SWISH)(a + at, gate, (size_t)n, &alpha);
    for (int64_t i = 0; i < n; i++)
        y[at + i] = gate[i] * b[at + i];
}

static int swiglu_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *a = call_in(c, 0), *b = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    float alpha = ((const struct attrs_alpha *)c->attrs)->alpha, gate[CHUNK_ELEMS], wide[CHUNK_ELEMS];
    struct span s = span_out(c, begin, end, SWIGLU_COST);
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        if (a->dtype == DTYPE_F64) {
            chunk_f64(c, i, n, alpha);
            continue;
        }
        elems_to_f32(a->dtype, a->data, i, n, gate);
        elems_to_f32(b->dtype, b->data, i, n, wide);
        unary_f32_pick(UNARY_SWISH)(gate, gate, (size_t)n, &alpha);
        for (int64_t k = 0; k < n; k++)
            gate[k] *= wide[k];
        elems_from_f32(y->dtype, y->data, i, n, gate);
    }
    return 0;
}

const struct op op_swiglu = {
    .domain = "", .name = "SwiGLU", .since = 28,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_INPLACE0 | OP_INPLACE1,
    .attrs = swiglu_attrs, .attrs_size = sizeof(struct attrs_alpha),
    .infer = swiglu_infer, .tasks = swiglu_tasks, .run = swiglu_run,
    .kernels = "unary",
};
