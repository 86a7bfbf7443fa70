/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "graph/infer.h"
#include "runtime/frame.h"

/* ---- making a context --------------------------------------------------------------------------- */

static int make_elems(struct frame *f, struct err *e)
{
    const struct program *p = f->program;
    f->elems = arena_array(&f->context->memory, p->n_slots + 1, sizeof(*f->elems), e);
    if (!f->elems)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const struct fact *fact = &p->slots[i].value->fact;
        if (p->slots[i].place != PLACE_ELEMS)
            continue;
        f->elems[i] = arena_array(&f->context->memory, (size_t)fact->n_elems + 1,
                                  dtype_size(fact->type.dtype), e);
        if (!f->elems[i])
            return ERR_MEMORY;
    }
    return 0;
}

static void set_constant(struct frame *f, uint32_t i)
{
    const struct slot *s = &f->program->slots[i];
    const struct tensor *t = s->value->constant;
    f->values[i].kind = VALUE_TENSOR;
    f->values[i].tensor = *t;
    if (s->device != DEVICE_CPU)
        f->values[i].tensor.data = f->context->model->device_constants[s->value->id].data;
    f->values[i].tensor.buffer = t->dtype == DTYPE_STRING ? t->buffer : NULL;
}

/* What is known of dims and contents without any symbol. */
static void preset_slots(struct frame *f)
{
    const struct program *p = f->program;
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const struct fact *fact = &p->slots[i].value->fact;
        struct tensor *t = &f->values[i].tensor;
        if (!slot_preset(&p->slots[i]))
            continue;
        f->values[i].kind = VALUE_TENSOR;
        t->dtype = fact->type.dtype;
        t->rank = fact->type.rank;
        for (int k = 0; k < t->rank; k++)
            t->dims[k] = sym_is_number(fact->type.dims[k]) ? fact->type.dims[k] : 0;
        if (p->slots[i].place != PLACE_ELEMS)
            continue;
        t->data = f->elems[i];
        for (int64_t k = 0; k < fact->n_elems; k++)
            if (sym_is_number(fact->elems[k]))
                dtype_store_i64(t->dtype, (char *)t->data + (size_t)k * dtype_size(t->dtype),
                                fact->elems[k]);
    }
}

static int make_frame(struct context *c, struct frame *f, const struct program *p, struct err *e)
{
    size_t links = 0;
    for (int i = 0; i < p->n_steps; i++)
        links += (size_t)(p->steps[i].node->n_in + p->steps[i].node->n_out);
    f->program = p;
    f->context = c;
    f->values = arena_array(&c->memory, p->n_slots + 1, sizeof(*f->values), e);
    f->calls = arena_array(&c->memory, (size_t)p->n_steps + 1, sizeof(*f->calls), e);
    f->links = arena_array(&c->memory, links + 1, sizeof(*f->links), e);
    if (!f->values || !f->calls || !f->links)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < p->n_slots; i++)
        if (p->slots[i].place == PLACE_CONST)
            set_constant(f, i);
    int rc = make_elems(f, e);
    if (rc == 0)
        preset_slots(f);
    return rc;
}

/* After all frames stand: captures point into enclosing ones. */
static void link_frame(struct frame *f)
{
    const struct program *p = f->program;
    struct value **next = f->links;
    for (int i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        struct node *n = s->node;
        struct step_call *sc = &f->calls[i];
        *sc = (struct step_call){
            .call = {.node = n, .op = n->op, .attrs = n->attrs, .prepared = n->prepared, .n_in = n->n_in,
                     .n_out = n->n_out, .in = next, .out = next + n->n_in,
                     .budget = f->context->budget, .table = &exec_table},
            .frame = f,
            .step = s,
        };
        for (int j = 0; j < n->n_in; j++)
            *next++ = s->in[j] == SLOT_NONE ? NULL : frame_value(f, s->in[j]);
        for (int j = 0; j < n->n_out; j++)
            *next++ = s->out[j] == SLOT_NONE ? NULL : &f->values[s->out[j]];
    }
}

struct context *context_new(const struct runnable *r, struct err *e)
{
    struct context *c = mem_calloc(r->budget, 1, sizeof(*c), e);
    if (!c)
        return NULL;
    const struct programs *all = r->programs;
    c->model = r;
    c->budget = r->budget;
    arena_init(&c->memory, r->budget);
    arena_init(&c->infer, r->budget);
    c->numbers = arena_array(&c->memory, all->n_exprs + 1, sizeof(*c->numbers), e);
    c->last = arena_array(&c->memory, r->n_symbols + 1, sizeof(*c->last), e);
    c->frames = arena_array(&c->memory, all->n, sizeof(*c->frames), e);
    int rc = c->numbers && c->last && c->frames ? 0 : ERR_MEMORY;
    for (uint32_t i = 0; i < all->n && rc == 0; i++)
        rc = make_frame(c, &c->frames[i], all->list[i], e);
    if (rc < 0) {
        context_free(c);
        return NULL;
    }
    for (uint32_t i = 0; i < all->n; i++)
        link_frame(&c->frames[i]);
    for (uint32_t i = 0; i < all->n_exprs; i++)
        c->numbers[i] = SYM_UNKNOWN;
    return c;
}

static void free_arenas(struct context *c)
{
    if (c->arena[DEVICE_CPU])
        guard_clear(c->arena[DEVICE_CPU], c->arena_bytes[DEVICE_CPU]);
    mem_free(c->arena[DEVICE_CPU]);
    if (c->arena[DEVICE_OTHER])
        c->model->device->table->free(c->model->device, c->arena[DEVICE_OTHER]);
    c->arena[0] = c->arena[1] = NULL;
    c->arena_bytes[0] = c->arena_bytes[1] = 0;
}

void context_free(struct context *c)
{
    if (!c)
        return;
    free_arenas(c);
    plan_unref(c->plan);
    guards_drop(&c->guards);
    mem_free(c->scratch);
    arena_clear(&c->infer);
    arena_clear(&c->memory);
    mem_free(c);
}

size_t context_bytes(const struct context *c)
{
    return c->arena_bytes[0] + c->arena_bytes[1] + c->scratch_bytes;
}

int64_t context_dims_ns(const struct context *c)
{
    return c->dims_ns;
}

const struct plan *context_plan(const struct context *c)
{
    return c->plan;
}

/* ---- running ------------------------------------------------------------------------------------ */

static void place_slots(struct frame *f, const size_t *offsets)
{
    const struct program *p = f->program;
    f->offsets = offsets;
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const struct slot *s = &p->slots[i];
        if (s->place == PLACE_ARENA && s->root == i)
            f->values[i].tensor.data =
                offsets[i] != PLAN_HEAP ? f->context->arena[s->device] + offsets[i] : NULL;
    }
}

static int bind_plan(struct context *c, struct plan *plan, struct err *e)
{
    if (c->plan == plan)
        return 0;
    c->dims_set = false;
    plan_unref(c->plan);
    c->plan = NULL;
    for (int d = 0; d < 2; d++) {
        if (plan->arena_bytes[d] <= c->arena_bytes[d] &&
            c->arena_bytes[d] / 2 <= plan->arena_bytes[d])
            continue;
        struct device *on = d == DEVICE_CPU ? &device_cpu : c->model->device;
        if (c->arena[d] && d == DEVICE_CPU)
            guard_clear(c->arena[d], c->arena_bytes[d]);
        if (c->arena[d])
            on->table->free(on, c->arena[d]);
        c->arena[d] = NULL;
        c->arena_bytes[d] = 0;
        if (plan->arena_bytes[d]) {
            c->arena[d] = on->table->alloc(on, c->budget, plan->arena_bytes[d], e);
            if (!c->arena[d])
                return e ? e->code : ERR_MEMORY;
            c->arena_bytes[d] = plan->arena_bytes[d];
        }
    }
    for (uint32_t i = 0; i < c->model->programs->n; i++)
        place_slots(&c->frames[i], plan->offsets[i]);
    c->plan = plan_ref(plan);
    return 0;
}

static int set_symbols(struct context *c, const int64_t *symbols, struct err *e)
{
    size_t bytes = c->model->n_symbols * sizeof(*symbols);
    if (c->dims_set && memcmp(c->last, symbols, bytes) == 0)
        return 0;
    int64_t begin = clock_ns();
    c->dims_set = false;
    for (uint32_t i = 0; i < c->model->n_symbols; i++)
        c->numbers[c->model->symbols[i]] = symbols[i];
    int rc = frame_set_dims(&c->frames[0], e);
    if (rc == 0) {
        memcpy(c->last, symbols, bytes);
        c->dims_set = true;
        c->dims_ns = clock_ns() - begin;
    }
    return rc;
}

static int run_body(struct team *t, void *arg, struct err *e)
{
    struct context *c = arg;
    c->team = t;
    return frame_run(&c->frames[0], e);
}

int context_run(struct context *c, struct plan *plan, const int64_t *symbols, struct value *const *in,
                struct value *out, const struct run_options *o, struct err *e)
{
    struct frame *f = &c->frames[0];
    const struct program *p = f->program;
    memset(out, 0, (size_t)p->graph->n_outputs * sizeof(*out));
    c->options = o;
    int rc = bind_plan(c, plan, e);
    for (int i = 0; i < p->graph->n_inputs && rc == 0; i++)
        f->values[p->inputs[i]] = *in[i];
    if (rc == 0)
        rc = set_symbols(c, symbols, e);
    if (rc == 0)
        rc = team_run(o->threads, &o->stop, run_body, c, e);
    for (int i = 0; i < p->graph->n_outputs && rc == 0; i++)
        rc = frame_kept(f, i) ? 0 : frame_output(f, i, &out[i], e);
    frame_clear(f);
    if (rc < 0) {
        for (int i = 0; i < p->graph->n_outputs; i++)
            value_clear(&out[i]);
        c->dims_set = false;
    }
    return rc;
}

/* ---- one node alone ------------------------------------------------------------------------------ */


static int alone_graph(struct call *c, int index, struct value *in, int n_in, struct value *out, int n_out,
                       struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "a subgraph cannot run here");
}

static void alone_take(struct call *c, int i, struct value *out)
{
    *out = (struct value){0};
    value_ref(out, c->in[i]);
}

static int alone_body(struct team *t, void *arg, struct err *e)
{
    struct call *c = arg;
    struct guards guards = {.busy = ATOMIC_FLAG_INIT};
    char *scratch = NULL;
    c->team = t;
    if (c->op->scratch) {
        struct scratch s;
        int rc = scratch_measure(c, team_size(t), &s, e);
        if (rc < 0)
            return rc;
        scratch = mem_alloc(c->budget, s.total, e);
        if (!scratch)
            return e ? e->code : ERR_MEMORY;
        scratch_give(c, &s, scratch, &guards);
    }
    int rc = device_run_tasks(c, e);
    if (rc == 0 && scratch)
        rc = scratch_check(c, e);
    guards_drop(&guards);
    mem_free(scratch);
    return rc;
}

/* Types and storage of the outputs from inference on numbers. */
static int alone_outputs(const struct node *n, struct value *const *in, struct value *out,
                         struct budget *b, struct err *e)
{
    struct fact *facts = mem_calloc(b, (size_t)n->n_out + 1, sizeof(*facts), e);
    struct arena scratch;
    bool late = false;
    arena_init(&scratch, b);
    int rc = facts ? node_infer_run(n, in, facts, &scratch, &late, e) : ERR_MEMORY;
    for (int i = 0; i < n->n_out && rc == 0; i++) {
        if (!n->out[i] || (n->op->flags & OP_DYNAMIC))
            continue;
        if (facts[i].type.kind != TYPE_TENSOR || late)
            rc = err_set(e, ERR_INTERNAL, "output %d has no shape on numbers", i);
        else
            rc = tensor_new(&out[i].tensor, b, facts[i].type.dtype, facts[i].type.rank,
                            facts[i].type.dims, e);
        if (rc == 0)
            out[i].kind = VALUE_TENSOR;
    }
    arena_clear(&scratch);
    mem_free(facts);
    return rc;
}

int node_run_alone(const struct node *n, struct value *const *in, struct value *out, struct budget *b,
                   struct err *e)
{
    struct call_table table = exec_table;
    table.graph = alone_graph;
    table.take = alone_take;
    struct value **to = mem_calloc(b, (size_t)n->n_out + 1, sizeof(*to), e);
    memset(out, 0, (size_t)n->n_out * sizeof(*out));
    int rc = to ? alone_outputs(n, in, out, b, e) : ERR_MEMORY;
    for (int i = 0; i < n->n_out && rc == 0; i++)
        to[i] = n->out[i] ? &out[i] : NULL;
    struct call c = {.node = n, .op = n->op, .attrs = n->attrs, .prepared = n->prepared, .in = in,
                     .out = to, .n_in = n->n_in, .n_out = n->n_out, .budget = b, .table = &table};
    if (rc == 0 && (n->op->flags & OP_VIEW)) {
        const struct tensor *x = &in[0]->tensor;
        if (x->dtype == DTYPE_STRING) {
            int rank = out[0].tensor.rank;
            int64_t dims[TENSOR_RANK_MAX];
            memcpy(dims, out[0].tensor.dims, sizeof(dims));
            tensor_clear(&out[0].tensor);
            rc = tensor_copy(&out[0].tensor, x, b, e);
            out[0].tensor.rank = rank;
            memcpy(out[0].tensor.dims, dims, sizeof(dims));
        } else if (tensor_bytes(x)) {
            memcpy(out[0].tensor.data, x->data, tensor_bytes(x));
        }
    } else if (rc == 0) {
        rc = team_solo(n->graph->shared->stop, alone_body, &c, e);
    }
    for (int i = 0; i < n->n_out && rc < 0; i++)
        value_clear(&out[i]);
    mem_free(to);
    return rc;
}
