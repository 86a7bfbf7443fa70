/* SPDX-License-Identifier: Apache-2.0 */
/* If: one of two subgraphs. */
#include <stddef.h>
#include <string.h>

#include "ops/common.h"

enum { BRANCH_OUTPUTS = 64 };

struct attrs_if {
    struct graph *then_branch, *else_branch;
};

static const struct attr if_attrs[] = {
    {"then_branch", ATTR_GRAPH, offsetof(struct attrs_if, then_branch), .required = true},
    {"else_branch", ATTR_GRAPH, offsetof(struct attrs_if, else_branch), .required = true},
    {0},
};

/* What holds of both branches' outputs. */
static int merge(struct infer *c, int o, const struct type *a, const struct type *b, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    if (a->kind != TYPE_TENSOR || b->kind != TYPE_TENSOR) {
        infer_set_type(c, o, a->kind == TYPE_TENSOR ? b : a);
        c->late = true;
        return 0;
    }
    if (a->dtype != b->dtype)
        return err_set(e, ERR_MODEL, "output %d is %s in one branch, %s in the other", o,
                       dtype_name(a->dtype), dtype_name(b->dtype));
    if (a->rank < 0 || a->rank != b->rank)
        return infer_unknown(c, o, a->dtype, e);
    for (int k = 0; k < a->rank; k++)
        dims[k] = a->dims[k] == b->dims[k] && !sym_is_unknown(a->dims[k]) ? a->dims[k] : infer_fresh(c);
    return infer_set(c, o, a->dtype, a->rank, dims, e);
}

/* What the branch that a known condition picks makes. The other one may not fit at all: exporters write
 * both a Squeeze of a dim that is 1 and what to do if it is not. */
static int one_branch(struct infer *c, struct graph *branch, struct fact *out, struct err *e)
{
    int rc = c->graph(c, branch, NULL, 0, out, c->n_out, e);
    for (int o = 0; o < c->n_out && rc == 0; o++)
        rc = merge(c, o, &out[o].type, &out[o].type, e);
    return rc;
}

static int if_infer(struct infer *c, struct err *e)
{
    const struct attrs_if *at = c->attrs;
    struct fact then[BRANCH_OUTPUTS], other[BRANCH_OUTPUTS];
    int64_t n;
    int rc = infer_dtypes(c, 0, DT(BOOL), e);
    if (rc == 0 && c->n_out > BRANCH_OUTPUTS)
        rc = err_set(e, ERR_LIMIT, "%d outputs, at most %d are supported", c->n_out, BRANCH_OUTPUTS);
    if (rc == 0 && (at->then_branch->n_outputs != c->n_out || at->else_branch->n_outputs != c->n_out))
        rc = err_set(e, ERR_MODEL, "the branches have %d and %d outputs, the node %d",
                     at->then_branch->n_outputs, at->else_branch->n_outputs, c->n_out);
    const int64_t *cond = rc == 0 ? infer_numbers(c, 0, &n) : NULL;
    if (cond && n == 1)
        return one_branch(c, *cond ? at->then_branch : at->else_branch, then, e);
    if (rc == 0)
        rc = c->graph(c, at->then_branch, NULL, 0, then, c->n_out, e);
    if (rc == 0)
        rc = c->graph(c, at->else_branch, NULL, 0, other, c->n_out, e);
    for (int o = 0; o < c->n_out && rc == 0; o++)
        rc = merge(c, o, &then[o].type, &other[o].type, e);
    return rc;
}

static int if_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct value out[BRANCH_OUTPUTS];
    const struct tensor *cond = call_in(c, 0);
    if (tensor_count(cond) != 1)
        return err_set(e, ERR_INPUT, "the condition has %lld elements, expected 1",
                       (long long)tensor_count(cond));
    int rc = call_graph(c, *(const uint8_t *)cond->data ? 0 : 1, NULL, 0, out, c->n_out, e);
    if (rc < 0)
        return rc;
    for (int o = 0; o < c->n_out; o++) {
        int r = call_output_value(c, o, &out[o], e);
        rc = rc < 0 ? rc : r;
    }
    return rc;
}

const struct op op_if = {
    .domain = "", .name = "If", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = -1,
    .flags = OP_DYNAMIC | OP_HOST,
    .attrs = if_attrs, .attrs_size = sizeof(struct attrs_if),
    .infer = if_infer, .run = if_run,
};
