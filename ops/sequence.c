/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences: SequenceEmpty, SequenceConstruct, SequenceInsert, SequenceErase, SequenceAt, SequenceLength,
 * SequenceMap. An item is shared, not copied; a sequence that nobody else holds is changed in place. */
#include <stddef.h>
#include <string.h>

#include "ops/common.h"

enum { MAP_ENDS = 64 };

/* A sequence type whose items have this dtype and unknown dims. */
static int sequence_type(struct infer *c, int o, enum dtype dtype, struct err *e)
{
    struct type *item = arena_alloc(c->arena, sizeof(*item), e);
    if (!item)
        return ERR_MEMORY;
    *item = (struct type){.kind = TYPE_TENSOR, .dtype = dtype, .rank = -1};
    infer_set_type(c, o, &(struct type){.kind = TYPE_SEQUENCE, .dtype = dtype, .rank = -1, .elem = item});
    c->late = true;
    return 0;
}

static int check_sequence(const struct infer *c, int i, struct err *e)
{
    if (c->in[i]->type.kind != TYPE_SEQUENCE)
        return err_set(e, ERR_MODEL, "input %d must be a sequence", i);
    return 0;
}

static enum dtype item_dtype(const struct infer *c, int i)
{
    const struct type *t = &c->in[i]->type;
    return t->elem && t->elem->kind == TYPE_TENSOR ? t->elem->dtype : t->dtype;
}

static int check_position(const struct infer *c, int i, struct err *e)
{
    return infer_has(c, i) ? infer_dtypes(c, i, DT(I32) | DT(I64), e) : 0;
}

/* ---- SequenceEmpty --------------------------------------------------------------------------------- */

struct attrs_empty {
    int64_t dtype;
};

static const struct attr empty_attrs[] = {
    {"dtype", ATTR_INT, offsetof(struct attrs_empty, dtype), .i = DTYPE_F32},
    {0},
};

static int empty_infer(struct infer *c, struct err *e)
{
    const struct attrs_empty *at = c->attrs;
    if (!dtype_valid(at->dtype))
        return err_set(e, ERR_MODEL, "dtype %lld is not one of ONNX's", (long long)at->dtype);
    return sequence_type(c, 0, (enum dtype)at->dtype, e);
}

static int empty_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct value v = {.kind = VALUE_SEQUENCE};
    v.seq = seq_new(c->budget, (enum dtype)((const struct attrs_empty *)c->attrs)->dtype, e);
    return v.seq ? call_output_value(c, 0, &v, e) : ERR_MEMORY;
}

/* ---- SequenceConstruct ------------------------------------------------------------------------------ */

static int construct_infer(struct infer *c, struct err *e)
{
    int rc = 0;
    for (int i = 1; i < c->n_in && rc == 0; i++)
        rc = infer_same_dtype(c, 0, i, e);
    return rc < 0 ? rc : sequence_type(c, 0, infer_dtype(c, 0), e);
}

static int append(struct call *c, struct seq *s, size_t at, const struct value *from, struct err *e)
{
    struct value item = {0};
    int rc = value_retain(&item, from, c->budget, e);
    return rc < 0 ? rc : seq_insert(s, at, &item, e);
}

static int construct_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct value v = {.kind = VALUE_SEQUENCE, .seq = seq_new(c->budget, c->in[0]->tensor.dtype, e)};
    int rc = v.seq ? 0 : ERR_MEMORY;
    for (int i = 0; i < c->n_in && rc == 0; i++)
        rc = append(c, v.seq, v.seq->count, c->in[i], e);
    if (rc == 0)
        return call_output_value(c, 0, &v, e);
    seq_unref(v.seq);
    return rc;
}

/* ---- SequenceInsert, SequenceErase ------------------------------------------------------------------- */

static int insert_infer(struct infer *c, struct err *e)
{
    int rc = check_sequence(c, 0, e);
    if (rc == 0)
        rc = check_position(c, 2, e);
    if (rc == 0 && item_dtype(c, 0) != DTYPE_NONE && item_dtype(c, 0) != infer_dtype(c, 1))
        return err_set(e, ERR_MODEL, "a sequence of %s takes no %s", dtype_name(item_dtype(c, 0)),
                       dtype_name(infer_dtype(c, 1)));
    return rc < 0 ? rc : sequence_type(c, 0, infer_dtype(c, 1), e);
}

static int erase_infer(struct infer *c, struct err *e)
{
    int rc = check_sequence(c, 0, e);
    if (rc == 0)
        rc = check_position(c, 1, e);
    return rc < 0 ? rc : sequence_type(c, 0, item_dtype(c, 0), e);
}

/* Input 0's sequence, unshared. */
static struct seq *take_sequence(struct call *c, struct err *e)
{
    struct value v = {0};
    if (c->in[0]->kind != VALUE_SEQUENCE) {
        err_set(e, ERR_INPUT, "input 0 is not a sequence");
        return NULL;
    }
    call_take(c, 0, &v);
    if (atomic_load(&v.seq->refs) == 1)
        return v.seq;
    struct seq *own = seq_clone(v.seq, e);
    seq_unref(v.seq);
    return own;
}

static int give_sequence(struct call *c, struct seq *s, int rc, struct err *e)
{
    struct value v = {.kind = VALUE_SEQUENCE, .seq = s};
    if (rc == 0)
        return call_output_value(c, 0, &v, e);
    seq_unref(s);
    return rc;
}

static int position(const struct call *c, int i, int64_t count, int64_t fallback, int64_t *at, struct err *e)
{
    const struct tensor *t = call_in(c, i);
    if (t && tensor_count(t) != 1)
        return err_set(e, ERR_INPUT, "the position has %lld elements, expected 1", (long long)tensor_count(t));
    int64_t p = t ? tensor_int(t, 0) : fallback;
    return norm_index(p, count, "position in the sequence", at, e);
}

static int insert_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct seq *s = take_sequence(c, e);
    int64_t at = s ? (int64_t)s->count : 0;
    if (!s)
        return e ? e->code : ERR_MEMORY;
    int rc = 0;
    if (call_in(c, 2)) {
        /* Behind the last item is a position, too; negative ones count from the number of items. */
        int64_t n = (int64_t)s->count, p = tensor_count(call_in(c, 2)) == 1 ? tensor_int(call_in(c, 2), 0) : n + 1;
        at = p < 0 ? p + n : p;
        if (at < 0 || at > n)
            rc = err_set(e, ERR_INPUT, "position %lld in a sequence of %lld", (long long)p, (long long)n);
    }
    if (rc == 0)
        rc = append(c, s, (size_t)at, c->in[1], e);
    return give_sequence(c, s, rc, e);
}

static int erase_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct seq *s = take_sequence(c, e);
    int64_t at;
    if (!s)
        return e ? e->code : ERR_MEMORY;
    int rc = position(c, 1, (int64_t)s->count, (int64_t)s->count - 1, &at, e);
    if (rc == 0)
        seq_erase(s, (size_t)at);
    return give_sequence(c, s, rc, e);
}

/* ---- SequenceAt, SequenceLength ---------------------------------------------------------------------- */

static int at_infer(struct infer *c, struct err *e)
{
    int rc = check_sequence(c, 0, e);
    if (rc == 0)
        rc = check_position(c, 1, e);
    return rc < 0 ? rc : infer_unknown(c, 0, item_dtype(c, 0), e);
}

static int at_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    if (c->in[0]->kind != VALUE_SEQUENCE)
        return err_set(e, ERR_INPUT, "input 0 is not a sequence");
    const struct seq *s = c->in[0]->seq;
    struct value v = {0};
    int64_t at;
    int rc = position(c, 1, (int64_t)s->count, 0, &at, e);
    if (rc < 0)
        return rc;
    value_ref(&v, &s->items[at]);
    return call_output_value(c, 0, &v, e);
}

static int length_infer(struct infer *c, struct err *e)
{
    int rc = check_sequence(c, 0, e);
    return rc < 0 ? rc : infer_set(c, 0, DTYPE_I64, 0, NULL, e);
}

static int length_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    if (c->in[0]->kind != VALUE_SEQUENCE)
        return err_set(e, ERR_INPUT, "input 0 is not a sequence");
    *(int64_t *)call_out(c, 0)->data = (int64_t)c->in[0]->seq->count;
    return 0;
}

/* ---- SequenceMap -------------------------------------------------------------------------------------- */

struct attrs_map {
    struct graph *body;
};

static const struct attr map_attrs[] = {
    {"body", ATTR_GRAPH, offsetof(struct attrs_map, body), .required = true},
    {0},
};

static int map_infer(struct infer *c, struct err *e)
{
    const struct graph *body = ((const struct attrs_map *)c->attrs)->body;
    struct fact in[MAP_ENDS] = {{{0}}}, out[MAP_ENDS];
    int rc = check_sequence(c, 0, e);
    if (rc == 0 && (body->n_inputs != c->n_in || body->n_outputs != c->n_out || c->n_in > MAP_ENDS ||
                    c->n_out > MAP_ENDS))
        rc = err_set(e, ERR_MODEL, "the node has %d inputs and %d outputs, its body %d and %d", c->n_in,
                     c->n_out, body->n_inputs, body->n_outputs);
    for (int i = 0; i < c->n_in && rc == 0; i++) {
        const struct type *t = &c->in[i]->type;
        in[i].type = t->kind != TYPE_SEQUENCE
                         ? *t
                         : (struct type){.kind = TYPE_TENSOR, .dtype = item_dtype(c, i), .rank = -1};
    }
    if (rc == 0)
        rc = c->graph(c, (struct graph *)body, in, c->n_in, out, c->n_out, e);
    for (int o = 0; o < c->n_out && rc == 0; o++)
        rc = sequence_type(c, o, out[o].type.dtype, e);
    return rc;
}

static int map_item(struct call *c, size_t at, struct value *results, struct err *e)
{
    struct value in[MAP_ENDS], out[MAP_ENDS];
    int rc = call_poll(c, e);
    for (int i = 0; i < c->n_in && rc == 0; i++) {
        const struct value *v = c->in[i];
        in[i] = (struct value){0};
        if (v->kind == VALUE_SEQUENCE && at >= v->seq->count)
            rc = err_set(e, ERR_INPUT, "sequence %d is shorter than the first", i);
        else
            value_ref(&in[i], v->kind == VALUE_SEQUENCE ? &v->seq->items[at] : v);
    }
    if (rc < 0)
        return rc;
    rc = call_graph(c, 0, in, c->n_in, out, c->n_out, e);
    for (int i = 0; i < c->n_in; i++)
        value_clear(&in[i]);
    for (int o = 0; o < c->n_out && rc == 0; o++) {
        if (!results[o].seq) {
            results[o].kind = VALUE_SEQUENCE;
            results[o].seq = seq_new(c->budget, out[o].tensor.dtype, e);
        }
        if (!results[o].seq)
            rc = ERR_MEMORY;
        else
            rc = seq_insert(results[o].seq, results[o].seq->count, &out[o], e);
        value_clear(&out[o]);
    }
    return rc;
}

static int map_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct value results[MAP_ENDS] = {{0}};
    int rc = c->in[0]->kind == VALUE_SEQUENCE ? 0 : err_set(e, ERR_INPUT, "input 0 is not a sequence");
    for (size_t i = 0; rc == 0 && i < c->in[0]->seq->count; i++)
        rc = map_item(c, i, results, e);
    for (int o = 0; o < c->n_out; o++) {
        if (rc == 0 && !results[o].seq) { /* no items */
            results[o].kind = VALUE_SEQUENCE;
            results[o].seq = seq_new(c->budget, c->node->out[o] ? c->node->out[o]->fact.type.dtype : DTYPE_F32, e);
            rc = results[o].seq ? 0 : ERR_MEMORY;
        }
        if (rc == 0)
            rc = call_output_value(c, o, &results[o], e);
        else if (results[o].seq)
            seq_unref(results[o].seq);
    }
    return rc;
}

#define SEQUENCE_ROW(row_name, word, n_min, n_max, extra)                                             \
    .domain = "", .name = row_name, .since = 11, .in_min = n_min, .in_max = n_max, .out_min = 1,      \
    .out_max = 1, .flags = OP_HOST | (extra), .host_in = ~0u, .infer = word##_infer, .run = word##_run

const struct op op_sequenceempty = {SEQUENCE_ROW("SequenceEmpty", empty, 0, 0, OP_DYNAMIC),
                                    .attrs = empty_attrs, .attrs_size = sizeof(struct attrs_empty)};
const struct op op_sequenceconstruct = {SEQUENCE_ROW("SequenceConstruct", construct, 1, -1, OP_DYNAMIC)};
const struct op op_sequenceinsert = {SEQUENCE_ROW("SequenceInsert", insert, 2, 3, OP_DYNAMIC)};
const struct op op_sequenceerase = {SEQUENCE_ROW("SequenceErase", erase, 1, 2, OP_DYNAMIC)};
const struct op op_sequenceat = {SEQUENCE_ROW("SequenceAt", at, 2, 2, OP_DYNAMIC)};
const struct op op_sequencelength = {SEQUENCE_ROW("SequenceLength", length, 1, 1, 0)};
const struct op op_sequencemap = {
    .domain = "", .name = "SequenceMap", .since = 17,
    .in_min = 1, .in_max = -1, .out_min = 1, .out_max = -1,
    .flags = OP_DYNAMIC | OP_HOST, .host_in = ~0u,
    .attrs = map_attrs, .attrs_size = sizeof(struct attrs_map),
    .infer = map_infer, .run = map_run,
};
