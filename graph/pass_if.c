/* SPDX-License-Identifier: Apache-2.0 */
/* If with a condition that is known: the branch that it picks stands in its place. Inference of the
 * next round then sees the branch's dims instead of what two branches have in common.
 */
#include "graph/match.h"
#include "graph/pass.h"

/* The subgraph that a known condition picks, -1 if it is not known. */
static int branch(const struct node *n)
{
    const struct tensor *t = match_constant(n->in[0]);
    const struct fact *f = &n->in[0]->fact;
    if (t && t->dtype == DTYPE_BOOL && tensor_count(t) == 1)
        return *(const uint8_t *)t->data ? 0 : 1;
    if (!t && f->elems && f->n_elems == 1 && sym_is_number(f->elems[0]))
        return f->elems[0] ? 0 : 1;
    return -1;
}

static bool is_if(const struct node *n)
{
    return node_is(n, "If") && n->n_in == 1 && n->in[0] && n->n_graphs == 2;
}

int pass_if(struct graph *g, struct pass_context *c, struct err *e)
{
    int count = 0;
    struct node *next;
    for (struct node *n = g->first; n; n = next) {
        int i = is_if(n) ? branch(n) : -1;
        next = n->next;
        if (i < 0 || n->graphs[i]->n_inputs || n->graphs[i]->n_outputs != n->n_out)
            continue;
        if (!pass_allow(c))
            return count;
        struct node *before = n->prev;
        int r = graph_splice(n, i, e);
        if (r)
            return r;
        count++;
        next = before ? before->next : g->first; /* the branch may hold such nodes, too */
    }
    return count;
}
