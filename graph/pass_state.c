/* SPDX-License-Identifier: Apache-2.0 */
/* What continues an input and is an output: a cache of past rows, joined with new ones. As Append it may
 * stay in a state between runs; without one it is the Concat that it was. */
#include "graph/attrs.h"
#include "graph/match.h"
#include "graph/pass.h"

static bool continues_input(const struct node *n)
{
    if (!node_is(n, "Concat") || n->n_in != 2 || !n->in[0] || !n->in[1] || !n->out[0])
        return false;
    const struct type *t = &n->out[0]->fact.type;
    return n->in[0]->is_input && n->out[0]->is_output && t->kind == TYPE_TENSOR && t->rank > 1 &&
           t->dtype != DTYPE_STRING && t->dtype != DTYPE_NONE;
}

int pass_state(struct graph *g, struct pass_context *c, struct err *e)
{
    const struct op *append = op_find("infer", "Append", 1, NULL);
    int count = 0;
    if (!append || g->parent)
        return 0;
    for (struct node *n = g->first; n; n = n->next) {
        if (!continues_input(n) || !pass_allow(c))
            continue;
        n->op = append; /* of the same attributes */
        n->opset = append->since;
        count++;
    }
    return count;
}
