/* SPDX-License-Identifier: Apache-2.0 */
/* A call: checking inputs, binding symbols, finding a plan and a context. */
#include <stdio.h>
#include <string.h>

#include "runtime/model.h"

/* ---- inputs and symbols ------------------------------------------------------------------------ */

static int wrong_input(const struct infer_model *m, int i, const struct value *got, const char *why,
                       struct err *e)
{
    char have[160] = "nothing";
    if (got && got->kind == VALUE_TENSOR)
        tensor_describe(&got->tensor, have, sizeof(have));
    else if (got && got->kind != VALUE_NONE)
        snprintf(have, sizeof(have), got->kind == VALUE_SEQUENCE ? "a sequence" : "a map");
    return err_set(e, ERR_INPUT, "input '%.100s' is %s, expected %s%s%s", m->inputs[i].name, have,
                   m->inputs[i].text, *why ? ": " : "", why);
}

/* Is v of this type, whatever the dims? An empty sequence need not know of what. */
static bool holds(const struct type *want, const struct value *v)
{
    switch (want->kind) {
    case TYPE_TENSOR:
        return v->kind == VALUE_TENSOR && v->tensor.dtype == want->dtype;
    case TYPE_OPTIONAL:
        return v->kind == VALUE_NONE || holds(want->elem, v);
    case TYPE_MAP:
        if (v->kind != VALUE_MAP || v->map->keys.dtype != want->dtype)
            return false;
        v = &v->map->values; /* a tensor of all, or a sequence */
        if (v->kind == VALUE_TENSOR)
            return holds(want->elem, v);
        break;
    default:
        if (v->kind != VALUE_SEQUENCE || (want->elem->kind == TYPE_TENSOR && v->seq->dtype != DTYPE_NONE &&
                                          v->seq->dtype != want->elem->dtype))
            return false;
    }
    for (size_t i = 0; i < v->seq->count; i++)
        if (!holds(want->elem, &v->seq->items[i]))
            return false;
    return true;
}

static int check_input(const struct infer_model *m, int i, const struct value *v, struct err *e)
{
    const struct type *want = &m->graph->inputs[i]->fact.type;
    if (!v)
        return err_set(e, ERR_INPUT, "input '%.100s' is missing, expected %s", m->inputs[i].name,
                       m->inputs[i].text);
    if (want->kind == TYPE_OPTIONAL) {
        if (v->kind == VALUE_NONE)
            return 0;
        want = want->elem;
    }
    enum value_kind kind = want->kind == TYPE_SEQUENCE ? VALUE_SEQUENCE
                           : want->kind == TYPE_MAP    ? VALUE_MAP
                                                       : VALUE_TENSOR;
    if (v->kind != kind)
        return wrong_input(m, i, v, "", e);
    if (kind != VALUE_TENSOR)
        return holds(want, v) ? 0 : wrong_input(m, i, v, "its items are of another type", e);
    if (v->tensor.dtype != want->dtype || (want->rank >= 0 && v->tensor.rank != want->rank))
        return wrong_input(m, i, v, "", e);
    for (int k = 0; k < want->rank; k++)
        if (sym_is_number(want->dims[k]) && want->dims[k] != v->tensor.dims[k])
            return wrong_input(m, i, v, "", e);
    return 0;
}

/* The numbers of the input symbols; a symbol in two places must have one. */
static int bind_symbols(const struct infer_model *m, struct value *const *in, int64_t *numbers,
                        struct err *e)
{
    const struct program *p = m->programs.list[0];
    for (uint32_t i = 0; i < m->runnable.n_symbols; i++)
        numbers[i] = -1;
    for (int i = 0; i < p->n_binds; i++) {
        const struct bind *b = &p->binds[i];
        uint32_t k = 0;
        while (m->symbols[k] != b->symbol)
            k++;
        if (in[b->out]->kind != VALUE_TENSOR)
            continue;
        int64_t got = in[b->out]->tensor.dims[b->dim];
        if (numbers[k] >= 0 && numbers[k] != got) {
            char why[200];
            const char *name = m->inputs[b->out].symbols[b->dim];
            snprintf(why, sizeof(why), "'%.80s' is %lld there and %lld in an earlier input",
                     name ? name : "", (long long)got, (long long)numbers[k]);
            return wrong_input(m, b->out, in[b->out], why, e);
        }
        numbers[k] = got;
    }
    for (uint32_t i = 0; i < m->runnable.n_symbols; i++)
        if (numbers[i] < 0)
            numbers[i] = 0; /* of an absent optional */
    return 0;
}

/* ---- plans ------------------------------------------------------------------------------------- */

static struct plan *find_plan(struct infer_model *m, const int64_t *numbers, bool state)
{
    for (int i = 0; i < m->n_plans; i++)
        if (plan_holds(m->plans[i], numbers, state)) {
            m->plans[i]->used = ++m->clock;
            return plan_ref(m->plans[i]);
        }
    return NULL;
}

static void keep_plan(struct infer_model *m, struct plan *p)
{
    int at = m->n_plans;
    if (at == PLANS_MAX) {
        at = 0;
        for (int i = 1; i < PLANS_MAX; i++)
            if (m->plans[i]->used < m->plans[at]->used)
                at = i;
        plan_unref(m->plans[at]);
    } else {
        m->n_plans++;
    }
    p->used = ++m->clock;
    m->plans[at] = plan_ref(p);
}

/* A plan for the buckets around these numbers, or for exactly these. */
static struct plan *plan_for(struct infer_model *m, const int64_t *numbers, bool exact, bool state,
                             struct err *e)
{
    struct range ranges[RUN_SYMBOLS_MAX];
    for (uint32_t i = 0; i < m->runnable.n_symbols; i++)
        ranges[i] = exact ? (struct range){numbers[i], numbers[i]} : range_bucket(numbers[i]);
    int64_t begin = clock_ns();
    struct plan *p = plan_new(&m->programs, m->graph->shared->syms, m->symbols, m->runnable.n_symbols,
                              ranges, state, m->budget, e);
    if (p) {
        pthread_mutex_lock(&m->lock);
        m->plan_ms = (double)(clock_ns() - begin) / 1e6;
        m->plans_made++;
        m->arena_bytes = p->arena_bytes[0] + p->arena_bytes[1];
        keep_plan(m, p);
        pthread_mutex_unlock(&m->lock);
    }
    return p;
}

/* ---- contexts ---------------------------------------------------------------------------------- */

/* An idle context, one bound to this plan if there is one. */
static struct context *take_context(struct infer_model *m, const struct plan *p)
{
    struct context *c = NULL;
    pthread_mutex_lock(&m->lock);
    if (m->n_idle) {
        int at = m->n_idle - 1;
        for (int i = 0; i < m->n_idle; i++)
            if (context_plan(m->idle[i]) == p)
                at = i;
        c = m->idle[at];
        m->idle[at] = m->idle[--m->n_idle];
        m->idle_bytes -= context_bytes(c);
    }
    pthread_mutex_unlock(&m->lock);
    return c;
}

static void give_context(struct infer_model *m, struct context *c)
{
    size_t bytes = context_bytes(c);
    pthread_mutex_lock(&m->lock);
    m->dims_ms = (double)context_dims_ns(c) / 1e6;
    bool keep = m->n_idle < CONTEXTS_MAX &&
                (m->n_idle == 0 || m->idle_bytes + bytes <= m->budget->limit / 4);
    if (keep) {
        m->idle[m->n_idle++] = c;
        m->idle_bytes += bytes;
    } else {
        m->contexts--;
    }
    pthread_mutex_unlock(&m->lock);
    if (!keep)
        context_free(c);
}

static struct context *get_context(struct infer_model *m, const struct plan *p, struct err *e)
{
    struct context *c = take_context(m, p);
    if (c)
        return c;
    c = context_new(&m->runnable, e);
    pthread_mutex_lock(&m->lock);
    m->contexts += c != NULL;
    pthread_mutex_unlock(&m->lock);
    return c;
}

/* ---- the call ---------------------------------------------------------------------------------- */

static int run_planned(struct infer_model *m, struct plan *p, const int64_t *numbers,
                       struct value *const *in, struct value *out, const struct run_options *o,
                       struct err *e)
{
    struct context *c = get_context(m, p, e);
    if (!c)
        return e ? e->code : ERR_MEMORY;
    if (o->tuner)
        tuner_lock(o->tuner);
    int rc = context_run(c, p, numbers, in, out, o, e);
    if (o->tuner)
        tuner_unlock(o->tuner);
    give_context(m, c);
    return rc;
}

int model_run(struct infer_model *m, struct value *const *in, struct value *out, const struct stop *stop,
              struct trace *trace, struct infer_state *state, struct err *e)
{
    int64_t numbers[RUN_SYMBOLS_MAX];
    struct run_options o = {.threads = m->threads, .state = state, .trace = trace, .tuner = m->tuner};
    struct err local = {0};
    e = e ? e : &local;
    int rc = 0;
    if (stop)
        o.stop = *stop;
    for (int i = 0; i < m->n_inputs && rc == 0; i++)
        rc = check_input(m, i, in[i], e);
    if (rc == 0)
        rc = bind_symbols(m, in, numbers, e);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&m->lock);
    struct plan *p = find_plan(m, numbers, state != NULL);
    m->runs++;
    pthread_mutex_unlock(&m->lock);
    if (!p)
        p = plan_for(m, numbers, false, state != NULL, e);
    if (!p)
        return e->code;
    rc = run_planned(m, p, numbers, in, out, &o, e);
    plan_unref(p);
    if (rc == ERR_LIMIT || rc == ERR_MEMORY) {
        /* A bucket's capacity may be more than this call needs. */
        struct err first = *e;
        err_clear(e);
        for (int i = 0; i < m->n_outputs; i++)
            value_clear(&out[i]); /* the first outputs may have been made */
        p = plan_for(m, numbers, true, state != NULL, e);
        rc = p ? run_planned(m, p, numbers, in, out, &o, e) : e->code;
        plan_unref(p);
        if (rc < 0 && rc != ERR_INPUT)
            *e = first;
    }
    return rc;
}

int infer_model_memory(struct infer_model *m, const struct infer_dim *dims, int n, uint64_t *bytes,
                       struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    int64_t numbers[RUN_SYMBOLS_MAX];
    if (*m->missing)
        return err_set(e, ERR_UNSUPPORTED, "this model cannot run: %.400s", m->missing);
    for (uint32_t i = 0; i < m->runnable.n_symbols; i++) {
        const char *name = sym_name(m->graph->shared->syms, SYM_UNKNOWN | m->symbols[i]);
        numbers[i] = 1;
        for (int k = 0; k < n; k++)
            if (name && strcmp(name, dims[k].name) == 0)
                numbers[i] = dims[k].value;
        if (numbers[i] < 0)
            return err_set(e, ERR_USAGE, "a dim of %lld", (long long)numbers[i]);
    }
    struct plan *p = plan_for(m, numbers, true, false, e);
    if (!p)
        return e->code;
    *bytes = p->arena_bytes[0] + p->arena_bytes[1];
    plan_unref(p);
    return 0;
}

int outputs_give(struct infer_model *m, struct value *made, struct infer_value **out, struct err *e)
{
    for (int i = 0; i < m->n_outputs; i++) {
        if (made[i].kind == VALUE_NONE && m->graph->outputs[i]->fact.type.kind == TYPE_TENSOR)
            continue; /* a state took it */
        if (!out[i]) {
            out[i] = mem_calloc(m->budget, 1, sizeof(**out), e);
            if (!out[i])
                return ERR_MEMORY;
            out[i]->value = made[i];
            made[i] = (struct value){0};
            continue;
        }
        struct tensor *to = &out[i]->value.tensor, *from = &made[i].tensor;
        if (out[i]->value.kind != VALUE_TENSOR || made[i].kind != VALUE_TENSOR ||
            to->dtype != from->dtype || to->dtype == DTYPE_STRING || to->rank != from->rank ||
            memcmp(to->dims, from->dims, (size_t)from->rank * sizeof(*to->dims)) != 0) {
            char have[160], want[160];
            return err_set(e, ERR_INPUT, "the buffer for output '%.100s' is %s, the result is %s",
                           m->outputs[i].name,
                           out[i]->value.kind == VALUE_TENSOR ? tensor_describe(to, have, sizeof(have))
                                                              : "no tensor",
                           tensor_describe(from, want, sizeof(want)));
        }
        memcpy(to->data, from->data, tensor_bytes(from));
    }
    return 0;
}

int infer_run(struct infer_model *m, const struct infer_value *const *in, int n_in,
              struct infer_value **out, int n_out, const struct infer_run_options *o,
              struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    struct stop stop = {0};
    if (*m->missing)
        return err_set(e, ERR_UNSUPPORTED, "this model cannot run: %.400s", m->missing);
    if (n_in != m->n_inputs || n_out != m->n_outputs)
        return err_set(e, ERR_USAGE, "the model has %d inputs and %d outputs, got %d and %d", m->n_inputs,
                       m->n_outputs, n_in, n_out);
    if (o && o->timeout_ms > 0)
        stop.deadline = clock_ns() + (int64_t)o->timeout_ms * 1000000;
    if (o && o->cancel)
        stop.cancel = &o->cancel->flag;
    if (o && o->state)
        return state_run(m, in, out, o, &stop, e);
    struct value **list = NULL, *made = NULL;
    int rc = ERR_MEMORY;
    list = mem_calloc(m->budget, (size_t)n_in + 1, sizeof(*list), e);
    made = mem_calloc(m->budget, (size_t)n_out + 1, sizeof(*made), e);
    if (list && made) {
        for (int i = 0; i < n_in; i++)
            list[i] = in[i] ? (struct value *)&in[i]->value : NULL;
        rc = model_run(m, list, made, &stop, o ? (struct trace *)o->trace : NULL, NULL, e);
        if (rc == 0)
            rc = outputs_give(m, made, out, e);
        for (int i = 0; i < n_out; i++)
            value_clear(&made[i]);
    }
    mem_free(list);
    mem_free(made);
    return rc;
}
