/* SPDX-License-Identifier: Apache-2.0 */
/* Loop: a subgraph run trip after trip, carrying values and gathering others.
 *
 *   node  in: trips, condition, carried...       out: carried..., gathered...
 *   body  in: trip number, condition, carried... out: condition, carried..., gathered...
 *
 * The trip number and the condition are scalars, but of dims [1] for a body that says so of its inputs, as
 * exporters write it.
 */
#include <stddef.h>
#include <string.h>

#include "ops/common.h"
#include "ops/stack.h"

enum { LOOP_ENDS = 64, LOOP_ROUNDS = 6 };

struct attrs_loop {
    struct graph *body;
    int ranks[2]; /* of the body's trip number and condition: 0 or 1; set by fix */
};

static const struct attr loop_attrs[] = {
    {"body", ATTR_GRAPH, offsetof(struct attrs_loop, body), .required = true},
    {0},
};

/* ---- inference ------------------------------------------------------------------------------------ */

/* What the file claims of the body's inputs is only there until inference starts. */
static int loop_fix(struct node *n, struct err *e)
{
    struct attrs_loop *at = n->attrs;
    for (int i = 0; i < 2 && i < at->body->n_inputs; i++) {
        const struct type *t = &at->body->inputs[i]->fact.type;
        at->ranks[i] = t->kind == TYPE_TENSOR && t->rank == 1;
    }
    return 0;
}

static struct fact one_element(enum dtype t, int rank)
{
    return (struct fact){.type = {.kind = TYPE_TENSOR, .dtype = t, .rank = rank, .dims = {1}}};
}

/* Make `in`, what the body is given, wide enough to hold what a trip returns as well: a dim that changes
 * becomes a symbol of the body (`loose` remembers which). Returns whether it had to change. */
static bool widen(struct infer *c, struct type *in, const struct type *out, unsigned *loose)
{
    bool changed = false;
    if (in->kind != TYPE_TENSOR || out->kind != TYPE_TENSOR) {
        bool vague = in->kind == TYPE_UNKNOWN || (in->kind == TYPE_SEQUENCE && in->dtype == DTYPE_NONE);
        changed = vague && (out->kind != in->kind || out->dtype != in->dtype);
        if (changed)
            *in = *out;
        return changed;
    }
    if (in->rank >= 0 && out->rank != in->rank) {
        in->rank = -1;
        return true;
    }
    for (int k = 0; k < in->rank; k++)
        if (in->dims[k] != out->dims[k] && !(*loose >> k & 1)) {
            in->dims[k] = infer_fresh(c);
            *loose |= 1u << k;
            changed = true;
        }
    return changed;
}

static int body_facts(struct infer *c, const struct graph *body, struct fact *in, struct fact *out,
                      struct err *e)
{
    int carried = body->n_inputs - 2, rc = 0;
    unsigned loose[LOOP_ENDS] = {0};
    in[0] = one_element(DTYPE_I64, ((const struct attrs_loop *)c->attrs)->ranks[0]);
    in[1] = one_element(DTYPE_BOOL, ((const struct attrs_loop *)c->attrs)->ranks[1]);
    for (int i = 0; i < carried; i++) {
        in[2 + i] = (struct fact){0};
        if (infer_has(c, 2 + i))
            in[2 + i].type = c->in[2 + i]->type;
    }
    for (int round = 0; round < LOOP_ROUNDS; round++) {
        bool changed = false;
        rc = c->graph(c, (struct graph *)body, in, body->n_inputs, out, body->n_outputs, e);
        for (int i = 0; i < carried && rc == 0; i++) {
            struct type *t = &in[2 + i].type;
            const struct type *o = &out[1 + i].type;
            if (t->kind == TYPE_TENSOR && o->kind == TYPE_TENSOR && t->dtype != o->dtype)
                return err_set(e, ERR_MODEL, "carried value %d is %s at first, %s after a trip", i,
                               dtype_name(t->dtype), dtype_name(o->dtype));
            changed |= widen(c, t, o, &loose[i]);
        }
        if (rc < 0 || !changed)
            return rc;
    }
    return err_set(e, ERR_UNSUPPORTED, "the carried values' types do not settle");
}

/* After the loop a carried value has its first type where the body keeps it. */
static int carried_out(struct infer *c, int i, const struct type *in, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    const struct type *first = infer_has(c, 2 + i) ? &c->in[2 + i]->type : in;
    if (in->kind != TYPE_TENSOR) {
        infer_set_type(c, i, in);
        c->late = true;
        return 0;
    }
    if (in->rank < 0)
        return infer_unknown(c, i, in->dtype, e);
    for (int k = 0; k < in->rank; k++)
        dims[k] = first->rank == in->rank && first->dims[k] == in->dims[k] ? in->dims[k] : infer_fresh(c);
    return infer_set(c, i, in->dtype, in->rank, dims, e);
}

static int gathered_out(struct infer *c, int o, const struct type *t, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    if (t->kind != TYPE_TENSOR)
        return err_set(e, ERR_MODEL, "gathered output %d is not a tensor", o);
    if (t->rank < 0 || t->rank + 1 > TENSOR_RANK_MAX)
        return infer_unknown(c, o, t->dtype, e);
    dims[0] = infer_fresh(c);
    for (int k = 0; k < t->rank; k++)
        dims[k + 1] = sym_is_number(t->dims[k]) ? t->dims[k] : infer_fresh(c);
    return infer_set(c, o, t->dtype, t->rank + 1, dims, e);
}

static int loop_infer(struct infer *c, struct err *e)
{
    const struct graph *body = ((const struct attrs_loop *)c->attrs)->body;
    struct fact in[LOOP_ENDS], out[LOOP_ENDS];
    int carried = c->n_in > 2 ? c->n_in - 2 : 0, rc = 0;
    if (infer_has(c, 0))
        rc = infer_dtypes(c, 0, DT(I64), e);
    if (rc == 0 && infer_has(c, 1))
        rc = infer_dtypes(c, 1, DT(BOOL), e);
    if (rc == 0 && (body->n_inputs > LOOP_ENDS || body->n_outputs > LOOP_ENDS))
        rc = err_set(e, ERR_LIMIT, "more than %d values, which are supported", LOOP_ENDS);
    if (rc == 0 && (body->n_inputs != carried + 2 || body->n_outputs < carried + 1 ||
                    c->n_out != body->n_outputs - 1))
        rc = err_set(e, ERR_MODEL,
                     "%d carried values, but the body has %d inputs and %d outputs and the node %d outputs",
                     carried, body->n_inputs, body->n_outputs, c->n_out);
    if (rc == 0)
        rc = body_facts(c, body, in, out, e);
    for (int i = 0; i < carried && rc == 0; i++)
        rc = carried_out(c, i, &in[2 + i].type, e);
    for (int o = carried; o < c->n_out && rc == 0; o++)
        rc = gathered_out(c, o, &out[1 + o].type, e);
    return rc;
}

/* ---- running -------------------------------------------------------------------------------------- */

struct loop {
    struct call *call;
    const struct graph *body;
    int carried, gathered;
    int64_t trip;
    uint8_t go;
    struct value in[LOOP_ENDS], out[LOOP_ENDS];
    struct stack stacks[LOOP_ENDS];
};

static void loop_clear(struct loop *l)
{
    for (int i = 0; i < l->carried; i++)
        value_clear(&l->in[2 + i]);
    for (int i = 0; i < l->gathered; i++)
        stack_clear(&l->stacks[i]);
}

static int one_trip(struct loop *l, struct err *e)
{
    const struct attrs_loop *at = l->call->attrs;
    for (int i = 0; i < 2; i++)
        l->in[i] = (struct value){.kind = VALUE_TENSOR, .tensor = {.rank = at->ranks[i], .dims = {1}}};
    l->in[0].tensor.dtype = DTYPE_I64;
    l->in[0].tensor.data = &l->trip;
    l->in[1].tensor.dtype = DTYPE_BOOL;
    l->in[1].tensor.data = &l->go;
    int n_out = l->body->n_outputs;
    int rc = call_graph(l->call, 0, l->in, l->body->n_inputs, l->out, n_out, e);
    if (rc < 0)
        return rc;
    if (l->out[0].kind != VALUE_TENSOR || l->out[0].tensor.dtype != DTYPE_BOOL ||
        tensor_count(&l->out[0].tensor) != 1)
        rc = err_set(e, ERR_MODEL, "the body's condition is not one bool");
    else
        l->go = *(const uint8_t *)l->out[0].tensor.data;
    value_clear(&l->out[0]);
    for (int i = 0; i < l->carried; i++) {
        value_clear(&l->in[2 + i]);
        l->in[2 + i] = l->out[1 + i];
    }
    for (int i = 0; i < l->gathered; i++) {
        int r = stack_push(&l->stacks[i], l->call->budget, &l->out[1 + l->carried + i], e);
        rc = rc < 0 ? rc : r;
    }
    return rc;
}

static int give_outputs(struct loop *l, struct err *e)
{
    struct call *c = l->call;
    int rc = 0;
    for (int i = 0; i < l->carried && rc == 0; i++) {
        if (l->trip == 0 && l->in[2 + i].kind == VALUE_TENSOR && !l->in[2 + i].tensor.buffer) {
            struct value kept = {0};
            rc = value_retain(&kept, &l->in[2 + i], c->budget, e);
            l->in[2 + i] = kept;
        }
        if (rc == 0)
            rc = call_output_value(c, i, &l->in[2 + i], e);
    }
    for (int i = 0; i < l->gathered && rc == 0; i++) {
        struct value whole = {0};
        rc = stack_join(&l->stacks[i], 0, false, &l->body->outputs[1 + l->carried + i]->fact.type,
                        c->budget, &whole, e);
        if (rc == 0)
            rc = call_output_value(c, l->carried + i, &whole, e);
    }
    return rc;
}

static int loop_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *trips = call_in(c, 0), *cond = call_in(c, 1);
    struct loop l = {.call = c, .body = ((const struct attrs_loop *)c->attrs)->body, .go = 1};
    if ((trips && tensor_count(trips) != 1) || (cond && tensor_count(cond) != 1))
        return err_set(e, ERR_INPUT, "the number of trips and the condition must have one element");
    int64_t most = trips ? tensor_int(trips, 0) : INT64_MAX;
    l.go = cond ? *(const uint8_t *)cond->data : 1;
    l.carried = l.body->n_inputs - 2;
    l.gathered = l.body->n_outputs - 1 - l.carried;
    for (int i = 0; i < l.carried; i++)
        if (c->in[2 + i])
            call_take(c, 2 + i, &l.in[2 + i]);
    int rc = 0;
    while (rc == 0 && l.trip < most && l.go) {
        rc = call_poll(c, e);
        if (rc == 0)
            rc = one_trip(&l, e);
        l.trip++;
    }
    if (rc == 0)
        rc = give_outputs(&l, e);
    loop_clear(&l);
    return rc;
}

const struct op op_loop = {
    .domain = "", .name = "Loop", .since = 1,
    .in_min = 0, .in_max = -1, .out_min = 1, .out_max = -1,
    .flags = OP_DYNAMIC | OP_HOST,
    .attrs = loop_attrs, .attrs_size = sizeof(struct attrs_loop),
    .fix = loop_fix, .infer = loop_infer, .run = loop_run,
};
