/* SPDX-License-Identifier: Apache-2.0 */
/* Constant folding: a pure node whose inputs are all constants is run once at load. */
#include <string.h>

#include "runtime/model.h"

enum { FOLD_BYTES_MAX = 64 << 20, FOLD_ENDS_MAX = 64 };

static bool foldable(const struct node *n)
{
    bool wanted = false;
    for (int i = 0; i < n->n_out; i++)
        wanted |= n->out[i] != NULL; /* a node folded before has none left */
    if (!wanted)
        return false;
    if (!(n->op->flags & OP_PURE) || n->n_graphs || n->n_in > FOLD_ENDS_MAX || n->n_out > FOLD_ENDS_MAX)
        return false;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !n->in[i]->constant)
            return false;
    return true;
}

/* Folding must not blow a small file up: results are bounded by the inputs' size or a fixed limit. */
static bool small_enough(const struct node *n)
{
    size_t in = 0, out = 0;
    for (int i = 0; i < n->n_in; i++)
        in += n->in[i] ? tensor_bytes(n->in[i]->constant) : 0;
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i])
            continue;
        const struct type *t = &n->out[i]->fact.type;
        size_t bytes = dtype_size(t->dtype);
        if (t->kind != TYPE_TENSOR)
            return false;
        if (t->rank < 0)
            continue; /* known only by running; the run itself is bounded by the budget */
        for (int k = 0; k < t->rank; k++)
            if (sym_is_number(t->dims[k]) && !size_mul(bytes, (size_t)t->dims[k], &bytes))
                return false;
        if (!size_add(out, bytes, &out))
            return false;
    }
    return out <= FOLD_BYTES_MAX || out <= in;
}

int model_fold(struct node *n, void *arg, struct err *e)
{
    struct infer_model *m = arg;
    if (!foldable(n) || !small_enough(n))
        return 0;
    struct value in[FOLD_ENDS_MAX], *pointers[FOLD_ENDS_MAX], out[FOLD_ENDS_MAX];
    for (int i = 0; i < n->n_in; i++) {
        in[i] = (struct value){.kind = VALUE_TENSOR};
        if (n->in[i])
            in[i].tensor = *n->in[i]->constant;
        pointers[i] = n->in[i] ? &in[i] : NULL;
    }
    struct err why = {0};
    int rc = node_run_alone(n, pointers, out, m->budget, &why);
    if (rc == ERR_UNSUPPORTED || rc == ERR_LIMIT || rc == ERR_INPUT)
        return 0; /* left in the graph; if it is ever needed, its run reports it */
    if (rc < 0) {
        char text[256];
        err_set(e, why.code, "%s", why.msg);
        return err_at(e, rc, "%s", node_describe(n, text, sizeof(text)));
    }
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i])
            continue;
        if (out[i].kind != VALUE_TENSOR) {
            rc = 0;
            break;
        }
        rc = graph_make_constant(n->out[i], &out[i].tensor, e);
        out[i] = (struct value){0};
        if (rc < 0)
            break;
        rc = 1;
    }
    for (int i = 0; i < n->n_out; i++)
        value_clear(&out[i]);
    return rc;
}
