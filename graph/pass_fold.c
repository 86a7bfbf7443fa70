/* SPDX-License-Identifier: Apache-2.0 */
/* Constants: values whose elements inference knows, and nodes that the runtime can run at load. */
#include "graph/pass.h"

#include "graph/match.h"

/* The number of elements if the fact says what all of them are; -1 otherwise. */
static int64_t known_elems(const struct fact *f)
{
    int64_t n;
    if (!f->elems || f->type.kind != TYPE_TENSOR || f->type.rank < 0 ||
        !(dtype_is_int(f->type.dtype) || f->type.dtype == DTYPE_BOOL))
        return -1;
    for (int i = 0; i < f->type.rank; i++)
        if (!sym_is_number(f->type.dims[i]))
            return -1;
    if (!dims_count(f->type.dims, f->type.rank, &n) || n != f->n_elems)
        return -1;
    for (int64_t i = 0; i < n; i++)
        if (!sym_is_number(f->elems[i]))
            return -1;
    return n;
}

static int make_constant(struct graph_value *v, int64_t n, struct err *e)
{
    const struct fact *f = &v->fact;
    struct tensor t;
    int r = tensor_new(&t, v->graph->shared->budget, f->type.dtype, f->type.rank, f->type.dims, e);
    if (r)
        return r;
    size_t size = dtype_size(t.dtype);
    for (int64_t i = 0; i < n; i++)
        dtype_store_i64(t.dtype, (char *)t.data + (size_t)i * size, f->elems[i]);
    if (v->producer->n_out == 1)
        return graph_make_constant(v, &t, e);
    /* A node with other outputs keeps this one: not every operator can do without it. */
    struct graph_value *constant = graph_constant(v->graph, "", &t, e);
    return constant ? graph_replace(v, constant, e) : pass_failed(e);
}

int pass_shapes(struct graph *g, struct pass_context *c, struct err *e)
{
    int count = 0;
    for (struct node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_out; i++) {
            struct graph_value *v = n->out[i];
            int64_t elems = v && !v->is_output && v->n_uses ? known_elems(&v->fact) : -1;
            if (elems < 0)
                continue;
            if (!pass_allow(c))
                return count;
            int r = make_constant(v, elems, e);
            if (r)
                return r;
            count++;
        }
    return count;
}

static bool constant_inputs(const struct node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !match_constant(n->in[i]))
            return false;
    return true;
}

int pass_fold(struct graph *g, struct pass_context *c, struct err *e)
{
    int count = 0;
    for (struct node *n = g->first; n && c->fold; n = n->next) {
        if (!(n->op->flags & OP_PURE) || n->n_graphs || !constant_inputs(n))
            continue;
        if (!pass_allow(c))
            return count;
        int r = c->stop ? stop_poll(c->stop, e) : 0;
        if (r == 0)
            r = c->fold(n, c->arg, e);
        if (r < 0)
            return r;
        c->done -= r == 0; /* left alone */
        count += r > 0;
    }
    return count;
}
