/* SPDX-License-Identifier: Apache-2.0 */
/* States: what a model carries from one run to the next, kept out of the caller's hands.
 *
 * A pair's contents are a value that the next run reads as `past`; the run's `present` takes its place
 * without a copy. A fork shares contents until either side runs: values are immutable once made. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "onnx/data.h"
#include "runtime/model.h"

struct pair {
    int in, out, axis;
};

struct infer_state {
    struct infer_model *model;
    int n;
    struct pair *pairs;
    struct value *contents;
};

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
        past->rank != present->rank || past->dtype != present->dtype)
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

/* ---- life ---------------------------------------------------------------------------------------- */

void infer_state_free(struct infer_state *s)
{
    if (!s)
        return;
    for (int i = 0; s->contents && i < s->n; i++)
        value_clear(&s->contents[i]);
    mem_free(s->contents);
    mem_free(s->pairs);
    mem_free(s);
}

static struct infer_state *state_alloc(struct infer_model *m, int n, struct err *e)
{
    struct infer_state *s = mem_calloc(m->budget, 1, sizeof(*s), e);
    if (!s)
        return NULL;
    s->model = m;
    s->n = n;
    s->pairs = mem_calloc(m->budget, (size_t)n + 1, sizeof(*s->pairs), e);
    s->contents = mem_calloc(m->budget, (size_t)n + 1, sizeof(*s->contents), e);
    if (!s->pairs || !s->contents) {
        infer_state_free(s);
        return NULL;
    }
    return s;
}

static int resolve_pair(const struct infer_model *m, const struct infer_state_pair *from, struct pair *to,
                        struct err *e)
{
    to->in = infer_model_find_input(m, from->past);
    to->out = infer_model_find_output(m, from->present);
    if (to->in < 0 || to->out < 0)
        return err_set(e, ERR_USAGE, "state pair '%.100s', '%.100s': the model has no such %s",
                       from->past, from->present, to->in < 0 ? "input" : "output");
    const struct type *t = &m->graph->inputs[to->in]->fact.type;
    if (t->kind != TYPE_TENSOR || t->rank < 1 || from->axis < 0 || from->axis >= t->rank)
        return err_set(e, ERR_USAGE, "state pair '%.100s': axis %d does not fit %s", from->past, from->axis,
                       m->inputs[to->in].text);
    to->axis = from->axis;
    return 0;
}

/* A past of length 0: other dims are the model's, symbols on axis 0 or named like a batch are `batch`. */
static int empty_past(const struct infer_model *m, const struct pair *p, int64_t batch, struct value *v,
                      struct err *e)
{
    const struct type *t = &m->graph->inputs[p->in]->fact.type;
    int64_t dims[TENSOR_RANK_MAX];
    for (int k = 0; k < t->rank; k++)
        dims[k] = k == p->axis ? 0 : sym_is_number(t->dims[k]) ? t->dims[k] : batch;
    v->kind = VALUE_TENSOR;
    return tensor_new(&v->tensor, m->budget, t->dtype, t->rank, dims, e);
}

struct infer_state *infer_state_new(struct infer_model *m, const struct infer_state_pair *pairs, int n,
                                    int64_t batch, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    if (batch < 1 || n < 1) {
        err_set(e, ERR_USAGE, "a state needs at least one pair and one row, got %d and %lld", n,
                (long long)batch);
        return NULL;
    }
    struct infer_state *s = state_alloc(m, n, e);
    int rc = s ? 0 : ERR_MEMORY;
    for (int i = 0; i < n && rc == 0; i++) {
        rc = resolve_pair(m, &pairs[i], &s->pairs[i], e);
        if (rc == 0)
            rc = empty_past(m, &s->pairs[i], batch, &s->contents[i], e);
    }
    if (rc < 0) {
        infer_state_free(s);
        return NULL;
    }
    return s;
}

int64_t infer_state_length(const struct infer_state *s)
{
    return s->contents[0].tensor.dims[s->pairs[0].axis];
}

struct infer_state *infer_state_fork(const struct infer_state *s, struct infer_error *error)
{
    struct infer_state *copy = state_alloc(s->model, s->n, to_err(error));
    if (!copy)
        return NULL;
    memcpy(copy->pairs, s->pairs, (size_t)s->n * sizeof(*s->pairs));
    for (int i = 0; i < s->n; i++)
        value_ref(&copy->contents[i], &s->contents[i]);
    return copy;
}

static int cut(struct tensor *t, int axis, int64_t length, struct budget *b, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX], outer, inner;
    struct tensor shorter;
    memcpy(dims, t->dims, sizeof(dims));
    dims[axis] = length;
    int rc = tensor_new(&shorter, b, t->dtype, t->rank, dims, e);
    if (rc < 0)
        return rc;
    dims_count(dims, axis, &outer);
    dims_count(dims + axis + 1, t->rank - axis - 1, &inner);
    size_t row = (size_t)inner * dtype_size(t->dtype);
    for (int64_t i = 0; i < outer; i++)
        memcpy((char *)shorter.data + (size_t)(i * length) * row,
               (const char *)t->data + (size_t)(i * t->dims[axis]) * row, (size_t)length * row);
    tensor_clear(t);
    *t = shorter;
    return 0;
}

int infer_state_truncate(struct infer_state *s, int64_t length, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    if (length < 0 || length > infer_state_length(s))
        return err_set(e, ERR_USAGE, "cannot truncate a state of length %lld to %lld",
                       (long long)infer_state_length(s), (long long)length);
    int rc = 0;
    for (int i = 0; i < s->n && rc == 0; i++)
        rc = cut(&s->contents[i].tensor, s->pairs[i].axis, length, s->model->budget, e);
    return rc;
}

/* ---- running ------------------------------------------------------------------------------------- */

/* in and out with the state's values in their places. */
int state_run(struct infer_model *m, const struct infer_value *const *in, struct infer_value **out,
              const struct infer_run_options *o, const struct stop *stop, struct err *e)
{
    struct infer_state *s = o->state;
    struct value **list = mem_calloc(m->budget, (size_t)m->n_inputs + 1, sizeof(*list), e);
    struct value *made = mem_calloc(m->budget, (size_t)m->n_outputs + 1, sizeof(*made), e);
    int rc = list && made ? 0 : ERR_MEMORY;
    if (rc == 0 && s->model != m)
        rc = err_set(e, ERR_USAGE, "the state belongs to another model");
    for (int i = 0; i < m->n_inputs && rc == 0; i++)
        list[i] = in[i] ? (struct value *)&in[i]->value : NULL;
    for (int i = 0; i < s->n && rc == 0; i++)
        list[s->pairs[i].in] = &s->contents[i];
    if (rc == 0)
        rc = model_run(m, list, made, stop, (struct trace *)o->trace, e);
    if (rc == 0) {
        for (int i = 0; i < s->n; i++) {
            value_clear(&s->contents[i]);
            s->contents[i] = made[s->pairs[i].out];
            made[s->pairs[i].out] = (struct value){0};
        }
        rc = outputs_give(m, made, out, e);
    }
    for (int i = 0; made && i < m->n_outputs; i++)
        value_clear(&made[i]);
    mem_free(list);
    mem_free(made);
    return rc;
}
