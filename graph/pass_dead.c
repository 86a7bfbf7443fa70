/* SPDX-License-Identifier: Apache-2.0 */
/* What nothing reads goes: nodes, optional outputs, captures, constants with their memory.
 *
 * A fact may point to the tensor of a constant that its value was inferred from. So constants are
 * cleared only here, at the start of a round, when facts are fresh: then whatever points to a
 * constant reads it, and the constant is not dead.
 */
#include "graph/pass.h"

static bool unused(const struct graph_value *v)
{
    return v->n_uses == 0 && !v->is_output;
}

static bool dead(const struct node *n)
{
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && !unused(n->out[i]))
            return false;
    return true;
}

/* An optional output that nothing reads need not be computed. */
static int drop_outputs(struct node *n, struct pass_context *c)
{
    int count = 0;
    if (n->op->out_max < 0 || n->n_graphs)
        return 0;
    for (int i = n->op->out_min; i < n->n_out; i++) {
        struct graph_value *v = n->out[i];
        if (!v || !unused(v) || !pass_allow(c))
            continue;
        node_set_out(n, i, NULL);
        graph_drop(v);
        count++;
    }
    return count;
}

static int drop_values(struct graph *g, struct pass_context *c)
{
    int count = 0;
    for (size_t i = g->n_values; i-- > 0;) {
        struct graph_value *v = g->values[i];
        if (v->producer || v->is_input || !unused(v) || !pass_allow(c))
            continue;
        if (v->constant)
            tensor_clear(v->constant);
        graph_drop(v);
        count++;
    }
    return count;
}

int pass_dead(struct graph *g, struct pass_context *c, struct err *e)
{
    int count = 0;
    struct node *before;
    for (struct node *n = g->last; n; n = before) {
        before = n->prev;
        if (!dead(n)) {
            count += drop_outputs(n, c);
        } else if (pass_allow(c)) {
            graph_remove(n);
            count++;
        }
    }
    return count + drop_values(g, c);
}
