/* SPDX-License-Identifier: Apache-2.0 */
/* Identity: any value under another name. */
#include "ops/common.h"

static int identity_infer(struct infer *c, struct err *e)
{
    const struct type *t = &c->in[0]->type;
    int64_t n;
    if (t->kind == TYPE_TENSOR && t->rank < 0)
        return infer_unknown(c, 0, t->dtype, e);
    infer_set_type(c, 0, t);
    if (t->kind != TYPE_TENSOR || !(DTYPE_BIT(t->dtype) & (DT_INTS | DT(BOOL))))
        return 0;
    const int64_t *elems = infer_elems(c, 0, &n);
    if (elems)
        infer_set_elems(c, 0, elems, n);
    return 0;
}

const struct op op_identity = {
    .domain = "", .name = "Identity", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_VIEW | OP_VALUES,
    .infer = identity_infer,
};

const struct op op_ms_sampleop = {
    .domain = "com.microsoft", .name = "SampleOp", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_VIEW,
    .infer = identity_infer,
};
