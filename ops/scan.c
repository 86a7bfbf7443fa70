/* SPDX-License-Identifier: Apache-2.0 */
/* Scan: a subgraph run over slices of tensors, carrying states and gathering others.
 *
 *   node  in: [lengths, opset 8 only] states..., scanned...   out: states..., gathered...
 *   body  in: states..., slices...                            out: states..., gathered slices...
 *
 * Opset 8 has a batch axis in front of everything: each batch row is a scan of its own. */
#include <stddef.h>
#include <string.h>

#include "ops/common.h"
#include "ops/stack.h"

enum { SCAN_ENDS = 64, SCAN_ROUNDS = 6 };

struct attrs_scan {
    struct graph *body;
    int64_t num_scan_inputs;
    struct ints in_axes, in_directions, out_axes, out_directions;
};

static const struct attr scan_attrs[] = {
    {"body", ATTR_GRAPH, offsetof(struct attrs_scan, body), .required = true},
    {"num_scan_inputs", ATTR_INT, offsetof(struct attrs_scan, num_scan_inputs), .required = true},
    {"directions", ATTR_INTS, offsetof(struct attrs_scan, in_directions), .until = 8},
    {"scan_input_axes", ATTR_INTS, offsetof(struct attrs_scan, in_axes), .since = 9},
    {"scan_input_directions", ATTR_INTS, offsetof(struct attrs_scan, in_directions), .since = 9},
    {"scan_output_axes", ATTR_INTS, offsetof(struct attrs_scan, out_axes), .since = 9},
    {"scan_output_directions", ATTR_INTS, offsetof(struct attrs_scan, out_directions), .since = 9},
    {0},
};

/* The numbers that follow from a node. */
struct form {
    const struct graph *body;
    int first;   /* input where states begin: 1 with lengths */
    int batch;   /* 1 with a batch axis in front */
    int states, scanned, gathered;
};

static int check_directions(const struct ints *a, struct err *e)
{
    for (int64_t i = 0; i < a->n; i++)
        if (a->v[i] != 0 && a->v[i] != 1)
            return err_set(e, ERR_MODEL, "direction %lld is %lld, expected 0 or 1", (long long)i,
                           (long long)a->v[i]);
    return 0;
}

static int scan_form(const struct node *n, const struct attrs_scan *at, struct form *f, struct err *e)
{
    f->body = at->body;
    f->batch = f->first = n->opset < 9;
    f->states = f->body->n_inputs - (int)at->num_scan_inputs;
    f->scanned = (int)at->num_scan_inputs;
    f->gathered = f->body->n_outputs - f->states;
    if (at->num_scan_inputs < 1 || at->num_scan_inputs > f->body->n_inputs)
        return err_set(e, ERR_MODEL, "num_scan_inputs is %lld, the body has %d inputs",
                       (long long)at->num_scan_inputs, f->body->n_inputs);
    if (f->body->n_inputs > SCAN_ENDS || f->body->n_outputs > SCAN_ENDS)
        return err_set(e, ERR_LIMIT, "more than %d values, which are supported", SCAN_ENDS);
    if (f->gathered < 0 || n->n_in != f->first + f->body->n_inputs || n->n_out != f->body->n_outputs)
        return err_set(e, ERR_MODEL, "the node has %d inputs and %d outputs, its body %d and %d", n->n_in,
                       n->n_out, f->body->n_inputs, f->body->n_outputs);
    int rc = ints_length(&at->in_axes, f->scanned, "scan_input_axes", e);
    if (rc == 0)
        rc = ints_length(&at->in_directions, f->scanned, "scan_input_directions", e);
    if (rc == 0)
        rc = ints_length(&at->out_axes, f->gathered, "scan_output_axes", e);
    if (rc == 0)
        rc = ints_length(&at->out_directions, f->gathered, "scan_output_directions", e);
    if (rc == 0)
        rc = check_directions(&at->in_directions, e);
    return rc ? rc : check_directions(&at->out_directions, e);
}

static int64_t at_or(const struct ints *a, int i, int64_t fallback)
{
    return a->v ? a->v[i] : fallback;
}

/* ---- inference ------------------------------------------------------------------------------------ */

/* The type without the batch axis and without the scanned axis (-1: none). */
static void drop_axes(struct type *t, int batch, int axis)
{
    int n = 0;
    for (int k = 0; k < t->rank; k++)
        if (k >= batch && k != axis + batch)
            t->dims[n++] = t->dims[k];
    if (t->rank >= 0)
        t->rank = n;
}

static int body_inputs(struct infer *c, const struct form *f, struct fact *in, int64_t *length,
                       struct err *e)
{
    const struct attrs_scan *at = c->attrs;
    *length = SYM_UNKNOWN;
    for (int i = 0; i < f->body->n_inputs; i++) {
        if (!infer_has(c, f->first + i) || c->in[f->first + i]->type.kind != TYPE_TENSOR)
            return err_set(e, ERR_MODEL, "input %d must be a tensor", f->first + i);
        in[i] = (struct fact){.type = c->in[f->first + i]->type};
        struct type *t = &in[i].type;
        int axis = -1 - f->batch, rc;
        if (t->rank >= 0 && t->rank < f->batch + (i >= f->states))
            return err_set(e, ERR_MODEL, "input %d has rank %d, too few to scan", f->first + i, t->rank);
        if (i >= f->states && t->rank >= 0) {
            rc = infer_axis(at_or(&at->in_axes, i - f->states, 0), t->rank - f->batch, &axis, e);
            if (rc < 0)
                return rc;
            int64_t d = t->dims[axis + f->batch];
            if (!sym_is_unknown(*length) && sym_differ(c->syms, *length, d))
                return err_set(e, ERR_MODEL, "the scanned inputs differ in length");
            *length = sym_is_unknown(*length) || sym_is_number(d) ? d : *length;
        }
        drop_axes(t, f->batch, axis);
    }
    return 0;
}

/* Until a trip returns states no wider than it was given. */
static int settle(struct infer *c, const struct form *f, struct fact *in, struct fact *out, struct err *e)
{
    unsigned loose[SCAN_ENDS] = {0};
    for (int round = 0; round < SCAN_ROUNDS; round++) {
        bool changed = false;
        int rc = c->graph(c, (struct graph *)f->body, in, f->body->n_inputs, out, f->body->n_outputs, e);
        if (rc < 0)
            return rc;
        for (int i = 0; i < f->states; i++) {
            struct type *t = &in[i].type;
            const struct type *o = &out[i].type;
            if (t->rank >= 0 && o->rank != t->rank) {
                t->rank = -1;
                changed = true;
            }
            for (int k = 0; k < t->rank; k++)
                if (t->dims[k] != o->dims[k] && !(loose[i] >> k & 1)) {
                    t->dims[k] = infer_fresh(c);
                    loose[i] |= 1u << k;
                    changed = true;
                }
        }
        if (!changed)
            return 0;
    }
    return err_set(e, ERR_UNSUPPORTED, "the states' types do not settle");
}

static int gathered_out(struct infer *c, const struct form *f, int o, const struct type *t, int64_t length,
                        struct err *e)
{
    const struct attrs_scan *at = c->attrs;
    int64_t dims[TENSOR_RANK_MAX];
    int axis, n = 0;
    if (t->rank < 0 || t->rank + 1 + f->batch > TENSOR_RANK_MAX)
        return infer_unknown(c, o, t->dtype, e);
    int rc = infer_axis(at_or(&at->out_axes, o - f->states, 0), t->rank + 1, &axis, e);
    if (rc < 0)
        return rc;
    if (f->batch)
        dims[n++] = infer_fresh(c);
    for (int k = 0; k <= t->rank; k++) {
        int from = k < axis ? k : k - 1;
        dims[n++] = k != axis                        ? (sym_is_number(t->dims[from]) ? t->dims[from] : infer_fresh(c))
                    : f->batch || sym_is_unknown(length) ? infer_fresh(c)
                                                         : length;
    }
    return infer_set(c, o, t->dtype, n, dims, e);
}

static int scan_infer(struct infer *c, struct err *e)
{
    struct form f;
    struct fact in[SCAN_ENDS], out[SCAN_ENDS];
    int64_t length;
    int rc = scan_form(c->node, c->attrs, &f, e);
    if (rc == 0)
        rc = body_inputs(c, &f, in, &length, e);
    if (rc == 0)
        rc = settle(c, &f, in, out, e);
    for (int i = 0; i < f.states && rc == 0; i++) {
        const struct type *first = &c->in[f.first + i]->type;
        bool same = first->rank >= 0 && in[i].type.rank == first->rank - f.batch;
        for (int k = 0; same && k < in[i].type.rank; k++)
            same = in[i].type.dims[k] == first->dims[k + f.batch];
        rc = same ? infer_set(c, i, first->dtype, first->rank, first->dims, e)
                  : infer_unknown(c, i, first->dtype, e);
    }
    for (int o = f.states; o < c->n_out && rc == 0; o++)
        rc = gathered_out(c, &f, o, &out[o].type, length, e);
    return rc;
}

/* ---- running -------------------------------------------------------------------------------------- */

struct scan {
    struct call *call;
    struct form form;
    int64_t length;
    struct value in[SCAN_ENDS], out[SCAN_ENDS];
    struct value slices[SCAN_ENDS]; /* storage for slices that are not contiguous */
    struct stack stacks[SCAN_ENDS];
};

static int scan_axis(const struct scan *s, int i, const struct tensor *x)
{
    const struct attrs_scan *at = s->call->attrs;
    int64_t axis = at_or(&at->in_axes, i, 0);
    return (int)(axis < 0 ? axis + x->rank : axis);
}

/* Row `b` of a batch, or all of it. */
static struct tensor batch_row(const struct scan *s, const struct tensor *x, int64_t b)
{
    struct tensor t = *x;
    t.buffer = NULL;
    if (s->form.batch) {
        t.rank--;
        memmove(t.dims, t.dims + 1, (size_t)t.rank * sizeof(*t.dims));
        t.data = (char *)x->data + (size_t)(b * dims_product(t.dims, 0, t.rank)) * dtype_size(t.dtype);
    }
    return t;
}

/* Element `at` along the axis: a view where it is contiguous. */
static int slice(struct scan *s, int i, const struct tensor *x, int axis, int64_t at, struct value *out,
                 struct err *e)
{
    size_t size = dtype_size(x->dtype);
    int64_t outer = dims_product(x->dims, 0, axis), inner = dims_product(x->dims, axis + 1, x->rank);
    struct tensor t = *x;
    t.buffer = NULL;
    t.rank--;
    memmove(t.dims + axis, t.dims + axis + 1, (size_t)(t.rank - axis) * sizeof(*t.dims));
    if (outer == 1) {
        t.data = (char *)x->data + (size_t)(at * inner) * size;
    } else {
        struct value *own = &s->slices[i];
        if (own->kind == VALUE_NONE) {
            own->kind = VALUE_TENSOR;
            int rc = tensor_new(&own->tensor, s->call->budget, t.dtype, t.rank, t.dims, e);
            if (rc < 0)
                return rc;
        }
        for (int64_t o = 0; o < outer; o++)
            memcpy((char *)own->tensor.data + (size_t)(o * inner) * size,
                   (const char *)x->data + (size_t)((o * x->dims[axis] + at) * inner) * size,
                   (size_t)inner * size);
        t.data = own->tensor.data;
    }
    *out = (struct value){.kind = VALUE_TENSOR, .tensor = t};
    return 0;
}

static int one_trip(struct scan *s, int64_t trip, int64_t b, struct err *e)
{
    const struct form *f = &s->form;
    const struct attrs_scan *at = s->call->attrs;
    int rc = call_poll(s->call, e);
    for (int i = 0; i < f->scanned && rc == 0; i++) {
        struct tensor x = batch_row(s, call_in(s->call, f->first + f->states + i), b);
        int64_t from = at_or(&at->in_directions, i, 0) ? s->length - 1 - trip : trip;
        rc = slice(s, i, &x, scan_axis(s, i, &x), from, &s->in[f->states + i], e);
    }
    if (rc == 0)
        rc = call_graph(s->call, 0, s->in, f->body->n_inputs, s->out, f->body->n_outputs, e);
    if (rc < 0)
        return rc;
    for (int i = 0; i < f->states; i++) {
        value_clear(&s->in[i]);
        s->in[i] = s->out[i];
    }
    for (int i = 0; i < f->gathered; i++) {
        int r = stack_push(&s->stacks[i], s->call->budget, &s->out[f->states + i], e);
        rc = rc < 0 ? rc : r;
    }
    return rc;
}

/* Zeros for the trips that a row of a batch is shorter than the longest. */
static int pad_stack(struct scan *s, struct stack *k, struct err *e)
{
    int rc = 0;
    while (rc == 0 && k->n && k->n < (size_t)s->length) {
        struct value v = {.kind = VALUE_TENSOR};
        rc = tensor_new(&v.tensor, s->call->budget, k->items->dtype, k->items->rank, k->items->dims, e);
        if (rc == 0) {
            memset(v.tensor.data, 0, tensor_bytes(&v.tensor));
            rc = stack_push(k, s->call->budget, &v, e);
        }
    }
    return rc;
}

/* All trips of one batch row; `joined` gets states, then gathered tensors. */
static int scan_row(struct scan *s, int64_t b, int64_t trips, struct value *joined, struct err *e)
{
    const struct form *f = &s->form;
    const struct attrs_scan *at = s->call->attrs;
    int rc = 0;
    for (int i = 0; i < f->states; i++)
        s->in[i] = (struct value){.kind = VALUE_TENSOR,
                                  .tensor = batch_row(s, call_in(s->call, f->first + i), b)};
    for (int64_t t = 0; t < trips && rc == 0; t++)
        rc = one_trip(s, t, b, e);
    for (int i = 0; i < f->states && rc == 0; i++)
        rc = value_retain(&joined[i], &s->in[i], s->call->budget, e);
    for (int i = 0; f->batch && i < f->gathered && rc == 0; i++)
        rc = pad_stack(s, &s->stacks[i], e);
    for (int i = 0; i < f->gathered && rc == 0; i++)
        rc = stack_join(&s->stacks[i], (int)at_or(&at->out_axes, i, 0), at_or(&at->out_directions, i, 0),
                        &f->body->outputs[f->states + i]->fact.type, s->call->budget,
                        &joined[f->states + i], e);
    for (int i = 0; i < f->states; i++)
        value_clear(&s->in[i]);
    for (int i = 0; i < f->gathered; i++)
        stack_clear(&s->stacks[i]);
    return rc;
}

/* The common length of the scanned inputs, and that each has the axis. */
static int check_lengths(struct scan *s, struct err *e)
{
    const struct form *f = &s->form;
    s->length = -1;
    for (int i = 0; i < f->scanned; i++) {
        const struct tensor *x = call_in(s->call, f->first + f->states + i);
        struct tensor row = *x;
        row.rank -= f->batch;
        int axis = row.rank > 0 ? scan_axis(s, i, &row) : -1;
        if (axis < 0 || axis >= row.rank)
            return err_set(e, ERR_INPUT, "scanned input %d has rank %d, too few to scan", i, x->rank);
        int64_t n = x->dims[axis + f->batch];
        if (s->length >= 0 && n != s->length)
            return err_set(e, ERR_INPUT, "the scanned inputs have lengths %lld and %lld",
                           (long long)s->length, (long long)n);
        s->length = n;
    }
    return 0;
}

/* Rows of a batch, each a scan of its own, put together again along axis 0. */
static int scan_batch(struct scan *s, struct err *e)
{
    const struct form *f = &s->form;
    const struct tensor *lengths = call_in(s->call, 0);
    int n_out = f->states + f->gathered, rc = 0;
    int64_t rows = call_in(s->call, f->first + f->states)->dims[0];
    struct stack all[SCAN_ENDS] = {{0}};
    for (int64_t b = 0; b < rows && rc == 0; b++) {
        struct value joined[SCAN_ENDS] = {{0}};
        int64_t trips = lengths ? tensor_int(lengths, b) : s->length;
        if (trips < 0 || trips > s->length)
            rc = err_set(e, ERR_INPUT, "sequence length %lld is outside 0 to %lld", (long long)trips,
                         (long long)s->length);
        if (rc == 0)
            rc = scan_row(s, b, trips, joined, e);
        for (int o = 0; o < n_out; o++) {
            int r = rc == 0 ? stack_push(&all[o], s->call->budget, &joined[o], e) : 0;
            value_clear(&joined[o]);
            rc = rc < 0 ? rc : r;
        }
    }
    for (int o = 0; o < n_out; o++) {
        struct value whole = {0};
        if (rc == 0)
            rc = stack_join(&all[o], 0, false, &f->body->outputs[o]->fact.type, s->call->budget, &whole, e);
        if (rc == 0)
            rc = call_output_value(s->call, o, &whole, e);
        stack_clear(&all[o]);
    }
    return rc;
}

static int scan_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct scan s = {.call = c};
    int rc = scan_form(c->node, c->attrs, &s.form, e);
    if (rc == 0)
        rc = check_lengths(&s, e);
    if (rc == 0 && s.form.batch) {
        rc = scan_batch(&s, e);
    } else if (rc == 0) {
        struct value joined[SCAN_ENDS] = {{0}};
        rc = scan_row(&s, 0, s.length, joined, e);
        for (int o = 0; o < s.form.body->n_outputs; o++) {
            if (rc == 0)
                rc = call_output_value(c, o, &joined[o], e);
            value_clear(&joined[o]);
        }
    }
    for (int i = 0; i < s.form.scanned; i++)
        value_clear(&s.slices[i]);
    return rc;
}

/* Its first input, the lengths, may be left out. */
const struct op op_scan8 = {
    .domain = "", .name = "Scan", .since = 8, .until = 8,
    .in_min = 0, .in_max = -1, .out_min = 1, .out_max = -1,
    .flags = OP_DYNAMIC | OP_HOST,
    .attrs = scan_attrs, .attrs_size = sizeof(struct attrs_scan),
    .infer = scan_infer, .run = scan_run,
};

const struct op op_scan = {
    .domain = "", .name = "Scan", .since = 9,
    .in_min = 1, .in_max = -1, .out_min = 1, .out_max = -1,
    .flags = OP_DYNAMIC | OP_HOST,
    .attrs = scan_attrs, .attrs_size = sizeof(struct attrs_scan),
    .infer = scan_infer, .run = scan_run,
};
