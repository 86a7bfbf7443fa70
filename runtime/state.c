/* SPDX-License-Identifier: Apache-2.0 */
/* States: what a model carries from one run to the next, kept out of the caller's hands.
 *
 * Where the model itself joins past and new rows (Append), the run writes the new ones into the state's
 * room, and `present` is never handed out. Any other `present` takes the place of what the state had,
 * without a copy. */
#include "runtime/state.h"

#include <stdio.h>
#include <string.h>

#include "graph/attrs.h"
#include "runtime/model.h"

/* ---- finding pairs ------------------------------------------------------------------------------ */

/* How exporters name the two sides: %s stands for the part they share. */
static const struct {
    const char *past, *present;
} namings[] = {
    {"past_key_values.", "present."},
    {"past_key_values.", "present_key_values."},
    {"past.", "present."},
    {"past_", "present_"},
};

static int find_present(const struct infer_model *m, const char *past)
{
    for (size_t k = 0; k < sizeof(namings) / sizeof(*namings); k++) {
        size_t n = strlen(namings[k].past);
        char name[256];
        if (strncmp(past, namings[k].past, n) != 0)
            continue;
        snprintf(name, sizeof(name), "%s%s", namings[k].present, past + n);
        int i = infer_model_find_output(m, name);
        if (i >= 0)
            return i;
    }
    return -1;
}

/* The axis on which past and present differ; -1 if there is none or more than one. */
static int growing_axis(const struct type *past, const struct type *present)
{
    int axis = -1;
    if (past->kind != TYPE_TENSOR || present->kind != TYPE_TENSOR || past->rank < 1 ||
        past->rank != present->rank || past->dtype != present->dtype || past->dtype == DTYPE_STRING)
        return -1;
    for (int k = 0; k < past->rank; k++)
        if (past->dims[k] != present->dims[k]) {
            if (axis >= 0)
                return -1;
            axis = k;
        }
    return axis;
}

int infer_model_find_state(const struct infer_model *m, struct infer_state_pair *pairs, int max)
{
    int n = 0;
    for (int i = 0; i < m->n_inputs; i++) {
        int o = find_present(m, m->inputs[i].name);
        if (o < 0)
            continue;
        int axis = growing_axis(&m->graph->inputs[i]->fact.type, &m->graph->outputs[o]->fact.type);
        if (axis < 0)
            continue;
        if (n < max)
            pairs[n] = (struct infer_state_pair){m->inputs[i].name, m->outputs[o].name, axis};
        n++;
    }
    return n;
}

/* ---- what a state is of --------------------------------------------------------------------------- */

static int pair_fault(const struct infer_state_pair *p, const char *why, struct err *e)
{
    return err_set(e, ERR_USAGE, "state pair '%.100s', '%.100s', axis %d: %s", p->past, p->present, p->axis,
                   why);
}

/* Will Append offer the pair's present to a state? */
static bool pair_appends(const struct infer_model *m, const struct pair *p)
{
    if (m->programs.n == 0)
        return false;
    const struct program *main = m->programs.list[0];
    const struct slot *s = &main->slots[main->outputs[p->out]];
    if (s->present != p->out || s->past != p->in)
        return false;
    const struct attrs_concat *a = s->value->producer->attrs;
    return (a->axis < 0 ? a->axis + p->rank : a->axis) == p->axis;
}

/* Does anything want past's elements but the Append that makes the present? */
static bool past_read(const struct infer_model *m, const struct pair *p)
{
    const struct graph_value *past = m->graph->inputs[p->in];
    const struct node *append = m->graph->outputs[p->out]->producer;
    for (size_t i = 0; i < past->n_uses; i++) {
        const struct use *u = &past->uses[i];
        if (u->index >= 0 && ((u->node == append && u->index == 0) || (u->node->op->flags & OP_SHAPE_ONLY)))
            continue;
        return true;
    }
    return past->is_output;
}

static int resolve_pair(const struct infer_model *m, const struct infer_state_pair *from, struct pair *to,
                        struct err *e)
{
    to->in = infer_model_find_input(m, from->past);
    to->out = infer_model_find_output(m, from->present);
    if (to->in < 0 || to->out < 0)
        return pair_fault(from, to->in < 0 ? "the model has no such input" : "the model has no such output",
                          e);
    const struct type *t = &m->graph->inputs[to->in]->fact.type;
    const struct type *u = &m->graph->outputs[to->out]->fact.type;
    if (t->kind != TYPE_TENSOR || t->rank < 1 || from->axis < 0 || from->axis >= t->rank)
        return pair_fault(from, "the past has no such axis", e);
    if (u->kind != TYPE_TENSOR || u->dtype != t->dtype || (u->rank >= 0 && u->rank != t->rank))
        return pair_fault(from, "they are of different types", e);
    if (t->dtype == DTYPE_STRING)
        return pair_fault(from, "a state cannot hold strings", e);
    to->past = m->inputs[to->in].name;
    to->present = m->outputs[to->out].name;
    to->axis = from->axis;
    to->dtype = t->dtype;
    to->rank = t->rank;
    to->appends = pair_appends(m, to);
    to->read = past_read(m, to);
    return 0;
}

static int resolve_pairs(const struct infer_model *m, const struct infer_state_pair *from,
                         struct pairs *to, struct err *e)
{
    for (int i = 0; i < to->n; i++) {
        struct pair *p = &to->list[i];
        int rc = resolve_pair(m, &from[i], p, e);
        for (int k = 0; k < i && rc == 0; k++)
            if (to->list[k].in == p->in || to->list[k].out == p->out)
                rc = pair_fault(&from[i], "one of the two is in an earlier pair, too", e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Names of their own: a state may outlive its model. */
static int copy_names(struct pairs *all, struct err *e)
{
    size_t bytes = 0;
    for (int i = 0; i < all->n; i++)
        bytes += strlen(all->list[i].past) + strlen(all->list[i].present) + 2;
    char *at = all->names = mem_alloc(all->budget, bytes, e);
    if (!at)
        return ERR_MEMORY;
    for (int i = 0; i < all->n; i++) {
        struct pair *p = &all->list[i];
        char *past = at, *present = stpcpy(past, p->past) + 1;
        at = stpcpy(present, p->present) + 1;
        p->past = past;
        p->present = present;
    }
    return 0;
}

static void pairs_unref(struct pairs *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    mem_free(p->names);
    mem_free(p);
}

/* ---- life ---------------------------------------------------------------------------------------- */

void infer_state_free(struct infer_state *s)
{
    if (!s)
        return;
    for (int i = 0; s->rows && i < s->pairs->n; i++)
        buffer_unref(s->rows[i].buffer);
    mem_free(s->rows);
    pairs_unref(s->pairs);
    mem_free(s);
}

/* Takes the reference of `pairs` over. */
static struct infer_state *state_around(struct pairs *pairs, struct err *e)
{
    struct infer_state *s = mem_calloc(pairs->budget, 1, sizeof(*s), e);
    if (!s) {
        pairs_unref(pairs);
        return NULL;
    }
    s->pairs = pairs;
    atomic_flag_clear(&s->busy);
    s->rows = mem_calloc(pairs->budget, (size_t)pairs->n, sizeof(*s->rows), e);
    if (!s->rows) {
        infer_state_free(s);
        return NULL;
    }
    return s;
}

struct infer_state *state_alloc(const struct infer_model *m, const struct infer_state_pair *pairs, int n,
                                struct err *e)
{
    struct pairs *all = mem_calloc(m->budget, 1, sizeof(*all) + (size_t)n * sizeof(*all->list), e);
    if (!all)
        return NULL;
    atomic_init(&all->refs, 1);
    all->model = m->serial;
    all->budget = m->budget;
    all->n = n;
    if (resolve_pairs(m, pairs, all, e) < 0 || copy_names(all, e) < 0) {
        pairs_unref(all);
        return NULL;
    }
    return state_around(all, e);
}

/* A past of length 0: where a dim is not a number, it is `batch`. */
static int empty_past(const struct infer_model *m, const struct pair *p, int64_t batch, struct rows *r,
                      struct err *e)
{
    const struct type *t = &m->graph->inputs[p->in]->fact.type;
    int64_t dims[TENSOR_RANK_MAX];
    for (int k = 0; k < t->rank; k++)
        dims[k] = k == p->axis ? 0 : sym_is_number(t->dims[k]) ? t->dims[k] : batch;
    return rows_make(r, p, dims, 0, m->budget, e);
}

struct infer_state *infer_state_new(struct infer_model *m, const struct infer_state_pair *pairs, int n,
                                    int64_t batch, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    if (batch < 1 || n < 1 || n > m->n_inputs) {
        err_set(e, ERR_USAGE, "a state needs a row and from 1 to %d pairs, got %lld and %d", m->n_inputs,
                (long long)batch, n);
        return NULL;
    }
    struct infer_state *s = state_alloc(m, pairs, n, e);
    int rc = 0;
    for (int i = 0; s && i < n && rc == 0; i++)
        rc = empty_past(m, &s->pairs->list[i], batch, &s->rows[i], e);
    if (rc == 0)
        return s;
    infer_state_free(s);
    return NULL;
}

int64_t infer_state_length(const struct infer_state *s)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < s->pairs->n; i++) {
        int64_t length = s->rows[i].dims[s->pairs->list[i].axis];
        least = length < least ? length : least;
    }
    return least;
}

struct infer_state *infer_state_fork(const struct infer_state *s, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    atomic_fetch_add_explicit(&s->pairs->refs, 1, memory_order_relaxed);
    struct infer_state *copy = state_around(s->pairs, e);
    for (int i = 0; copy && i < s->pairs->n; i++) {
        copy->rows[i] = s->rows[i];
        buffer_ref(copy->rows[i].buffer);
    }
    return copy;
}

int infer_state_truncate(struct infer_state *s, int64_t length, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    if (length < 0 || length > infer_state_length(s))
        return err_set(e, ERR_USAGE, "cannot truncate a state of length %lld to %lld",
                       (long long)infer_state_length(s), (long long)length);
    for (int i = 0; i < s->pairs->n; i++)
        s->rows[i].dims[s->pairs->list[i].axis] = length;
    return 0;
}

/* ---- running ------------------------------------------------------------------------------------- */

const struct store *state_room(struct infer_state *s, int in, int out, const struct tensor *present, int *rc,
                               struct err *e)
{
    for (int i = 0; i < s->pairs->n; i++) {
        const struct pair *p = &s->pairs->list[i];
        struct rows *r = &s->rows[i];
        if (p->in != in || p->out != out || !p->appends)
            continue;
        int64_t length = present->dims[p->axis];
        bool fits = present->rank == p->rank && length >= r->dims[p->axis];
        for (int k = 0; k < p->rank && fits; k++)
            fits = k == p->axis || present->dims[k] == r->dims[k];
        *rc = fits ? rows_reserve(r, p, length, s->pairs->budget, e)
                   : err_set(e, ERR_INPUT, "'%.100s' does not continue what the state has", p->present);
        if (*rc < 0)
            return NULL;
        r->next = length;
        r->store = (struct store){r->buffer->data, r->capacity};
        return &r->store;
    }
    return NULL;
}

bool state_has(const struct infer_state *s, int out)
{
    for (int i = 0; i < s->pairs->n; i++)
        if (s->pairs->list[i].out == out)
            return s->rows[i].next >= 0;
    return false;
}

/* What the run reads as past. Append needs dims alone; others get the rows without gaps. */
static int lend_past(const struct infer_state *s, int i, struct value *v, struct err *e)
{
    const struct pair *p = &s->pairs->list[i];
    const struct rows *r = &s->rows[i];
    size_t runs, row;
    v->kind = VALUE_TENSOR;
    v->tensor = (struct tensor){.dtype = p->dtype, .rank = p->rank};
    memcpy(v->tensor.dims, r->dims, (size_t)p->rank * sizeof(*r->dims));
    if (p->appends && !p->read)
        return 0;
    rows_shape(r, p, &runs, &row);
    if (!p->appends && (runs <= 1 || r->dims[p->axis] == r->capacity)) {
        v->tensor.data = r->buffer->data;
        return 0;
    }
    /* A copy: appending may move the rows while others read them. */
    int rc = tensor_new(&v->tensor, s->pairs->budget, p->dtype, p->rank, r->dims, e);
    if (rc == 0)
        rows_export(r, p, v->tensor.data);
    return rc;
}

/* The presents that were made as values of their own, as rows; made[out] becomes nothing. */
static int take_presents(const struct infer_state *s, struct value *made, struct rows *taken, struct err *e)
{
    for (int i = 0; i < s->pairs->n; i++) {
        const struct pair *p = &s->pairs->list[i];
        struct tensor *t = &made[p->out].tensor, copy;
        if (s->rows[i].next >= 0)
            continue;
        if (made[p->out].kind != VALUE_TENSOR || t->dtype != p->dtype || t->rank != p->rank)
            return err_set(e, ERR_MODEL, "output '%.100s' cannot be the next '%.100s'", p->present, p->past);
        if (!t->buffer || t->data != t->buffer->data) {
            int rc = tensor_copy(&copy, t, s->pairs->budget, e);
            if (rc < 0)
                return rc;
            tensor_clear(t);
            *t = copy;
        }
        taken[i].buffer = t->buffer;
        taken[i].capacity = t->dims[p->axis];
        memcpy(taken[i].dims, t->dims, sizeof(t->dims));
        made[p->out] = (struct value){0};
    }
    return 0;
}

/* The run is done and cannot fail any more: what it made is the state's. */
static void commit(struct infer_state *s, struct rows *taken)
{
    for (int i = 0; i < s->pairs->n; i++) {
        struct rows *r = &s->rows[i];
        if (r->next >= 0) {
            r->dims[s->pairs->list[i].axis] = r->next;
            continue;
        }
        buffer_unref(r->buffer);
        *r = taken[i];
        taken[i].buffer = NULL;
    }
}

/* What a run with a state needs beside it. */
struct borrowed {
    struct value **in; /* all inputs */
    struct value *past, *made;
    struct rows *taken;
};

static int run_with(struct infer_model *m, struct borrowed *b, struct infer_value **out,
                    const struct infer_run_options *o, const struct stop *stop, struct err *e)
{
    struct infer_state *s = o->state;
    int rc = 0;
    for (int i = 0; i < s->pairs->n && rc == 0; i++) {
        s->rows[i].next = -1;
        rc = lend_past(s, i, &b->past[i], e);
        b->in[s->pairs->list[i].in] = &b->past[i];
    }
    if (rc == 0)
        rc = model_run(m, b->in, b->made, stop, (struct trace *)o->trace, s, e);
    if (rc == 0)
        rc = take_presents(s, b->made, b->taken, e);
    if (rc == 0)
        rc = outputs_give(m, b->made, out, e);
    if (rc == 0)
        commit(s, b->taken);
    return rc;
}

int state_run(struct infer_model *m, const struct infer_value *const *in, struct infer_value **out,
              const struct infer_run_options *o, const struct stop *stop, struct err *e)
{
    struct infer_state *s = o->state;
    if (s->pairs->model != m->serial)
        return err_set(e, ERR_USAGE, "the state belongs to another model");
    if (atomic_flag_test_and_set_explicit(&s->busy, memory_order_acquire))
        return err_set(e, ERR_USAGE, "the state is in use by another run");
    size_t n = (size_t)s->pairs->n;
    struct borrowed b = {
        .in = mem_calloc(m->budget, (size_t)m->n_inputs + 1, sizeof(*b.in), e),
        .past = mem_calloc(m->budget, n, sizeof(*b.past), e),
        .made = mem_calloc(m->budget, (size_t)m->n_outputs + 1, sizeof(*b.made), e),
        .taken = mem_calloc(m->budget, n, sizeof(*b.taken), e),
    };
    int rc = ERR_MEMORY;
    if (b.in && b.past && b.made && b.taken) {
        for (int i = 0; i < m->n_inputs; i++)
            b.in[i] = in[i] ? (struct value *)&in[i]->value : NULL;
        rc = run_with(m, &b, out, o, stop, e);
    }
    for (size_t i = 0; i < n && b.past; i++)
        value_clear(&b.past[i]);
    for (size_t i = 0; i < n && b.taken; i++)
        buffer_unref(b.taken[i].buffer);
    for (int i = 0; i < m->n_outputs && b.made; i++)
        value_clear(&b.made[i]);
    mem_free(b.in);
    mem_free(b.past);
    mem_free(b.made);
    mem_free(b.taken);
    atomic_flag_clear_explicit(&s->busy, memory_order_release);
    return rc;
}
