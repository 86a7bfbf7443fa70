/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/frame.h"

#include <stdio.h>
#include <string.h>

#include "graph/infer.h"
#include "ops/append.h"
#include "ops/copy.h"
#include "runtime/state.h"
#include "runtime/tune.h"

struct value *frame_value(struct frame *f, uint32_t slot)
{
    while (f->program->slots[slot].place == PLACE_OUTER) {
        slot = f->program->slots[slot].outer;
        f = &f->context->frames[f->program->parent->index];
    }
    return &f->values[slot];
}

/* ---- numbers and dims -------------------------------------------------------------------------- */

static int64_t number_of(const struct context *c, int64_t v)
{
    return sym_is_expr(v) ? c->numbers[sym_index(v)] : v;
}

static int fail_at(const struct node *n, int rc, struct err *e)
{
    char text[256];
    return err_at(e, rc, "%s", node_describe(n, text, sizeof(text)));
}

static int no_number(const struct frame *f, const struct write *w, struct err *e)
{
    const struct graph_value *v = f->program->slots[w->slot].value;
    char text[256];
    return err_set(e, ERR_INPUT, "value '%.100s': dim %u of %s cannot be computed from these inputs",
                   value_name(v), w->at,
                   type_print(&v->fact.type, f->context->model->shared->syms, text, sizeof(text)));
}

static int check_input_dims(const struct frame *f, const struct slot *s, const struct tensor *got,
                            struct err *e)
{
    const struct type *type = &s->value->fact.type;
    char have[160], want[256];
    if (type->kind != TYPE_TENSOR || type->rank < 0)
        return 0;
    bool same = got->rank == type->rank;
    for (int k = 0; same && k < type->rank; k++) {
        int64_t d = number_of(f->context, type->dims[k]);
        same = !sym_is_number(d) || d == got->dims[k];
    }
    return same ? 0
                : err_set(e, ERR_INPUT, "'%.100s' is %s, expected %s", s->value->name,
                          tensor_describe(got, have, sizeof(have)),
                          type_print(type, f->context->model->shared->syms, want, sizeof(want)));
}

/* Infer a step on the numbers that are known now. */
static int infer_step(struct frame *f, const struct step *s, struct value *const *in, struct fact *out,
                      bool *late, struct err *e)
{
    struct context *c = f->context;
    arena_clear(&c->infer);
    arena_init(&c->infer, c->budget);
    return node_infer_run(s->node, in, out, &c->infer, late, e);
}

/* The step's inputs as they are known before anything is computed: without elements, but for constants
 * and contents that are known as expressions. */
static void known_inputs(const struct frame *f, const struct step *s, struct value *copies,
                         struct value **in)
{
    const struct call *call = &f->calls[s - f->program->steps].call;
    for (int i = 0; i < call->n_in; i++) {
        in[i] = call->in[i];
        if (s->in[i] == SLOT_NONE)
            continue;
        enum place place = f->program->slots[s->in[i]].place;
        if (place == PLACE_CONST || place == PLACE_ELEMS || place == PLACE_INPUT)
            continue;
        copies[i] = *call->in[i];
        copies[i].tensor.data = NULL;
        in[i] = &copies[i];
    }
}

/* Nodes that took dims for equal are inferred again on numbers, before anything is computed. */
static int check_step(struct frame *f, const struct step *s, struct err *e)
{
    struct fact out[STEP_ENDS_MAX];
    struct value copies[STEP_ENDS_MAX], *in[STEP_ENDS_MAX];
    bool late = false;
    known_inputs(f, s, copies, in);
    int rc = infer_step(f, s, in, out, &late, e);
    if (rc < 0)
        return rc; /* which says where */
    for (int i = 0; i < s->node->n_out && rc == 0 && !late; i++) {
        if (s->out[i] == SLOT_NONE)
            continue;
        const struct tensor *t = &f->values[s->out[i]].tensor;
        bool same = out[i].type.rank == t->rank;
        for (int k = 0; same && k < t->rank; k++)
            same = out[i].type.dims[k] == t->dims[k];
        if (!same)
            rc = err_set(e, ERR_INPUT, "these input dims do not fit the shape of output %d", i);
    }
    return rc < 0 ? fail_at(s->node, rc, e) : 0;
}

int frame_set_dims(struct frame *f, struct err *e)
{
    struct context *c = f->context;
    const struct program *p = f->program;
    const struct syms *syms = c->model->shared->syms;
    int rc = 0;
    for (int64_t i = 0; i < p->n_exprs; i++)
        sym_eval_one(syms, p->exprs[i], c->numbers);
    for (uint32_t i = 0; i < p->n_dim_writes; i++) {
        const struct write *w = &p->dim_writes[i];
        int64_t n = c->numbers[w->expr];
        if (n < 0 || !sym_is_number(n))
            return no_number(f, w, e);
        f->values[w->slot].tensor.dims[w->at] = n;
    }
    for (uint32_t i = 0; i < p->n_elem_writes; i++) {
        const struct write *w = &p->elem_writes[i];
        enum dtype t = f->values[w->slot].tensor.dtype;
        dtype_store_i64(t, (char *)f->elems[w->slot] + w->at * dtype_size(t), c->numbers[w->expr]);
    }
    for (int i = 0; i < p->n_checks && rc == 0; i++)
        rc = check_step(f, &p->steps[p->checks[i]], e);
    return rc;
}

/* ---- storage at run time ----------------------------------------------------------------------- */

static void release_device(struct buffer *b)
{
    struct device *d = b->owner;
    d->table->free(d, b->data);
}

/* A tensor's elements on the heap of its device; type and dims are set. */
static int heap_tensor(struct context *c, struct tensor *t, int device, struct err *e)
{
    if (device == DEVICE_CPU) {
        struct tensor made;
        int rc = tensor_new(&made, c->budget, t->dtype, t->rank, t->dims, e);
        if (rc == 0)
            *t = made;
        return rc;
    }
    struct device *d = c->model->device;
    size_t bytes = tensor_bytes(t);
    void *data = d->table->alloc(d, c->budget, bytes, e);
    if (!data)
        return e ? e->code : ERR_MEMORY;
    t->buffer = buffer_wrap(c->budget, data, bytes, release_device, d, e);
    if (!t->buffer) {
        d->table->free(d, data);
        return e ? e->code : ERR_MEMORY;
    }
    t->data = data;
    return 0;
}

int scratch_measure(struct call *call, int members, struct scratch *s, struct err *e)
{
    size_t member = 0, shared, pieces;
    call->guards = NULL;
    shared = call->op->scratch(call, &member);
    *s = (struct scratch){.shared = shared, .member = member, .members = members};
    if (!size_align(member, MEM_ALIGN, &member) || !size_align(shared, MEM_ALIGN, &shared) ||
        !size_add(member, GUARD_BYTES, &member) || !size_add(shared, 2 * GUARD_BYTES, &shared) ||
        !size_mul(member, (size_t)members, &pieces) || !size_add(pieces, shared, &s->total))
        return err_set(e, ERR_LIMIT, "scratch memory is too large");
    return 0;
}

/* From the end of a piece to the beginning of the next one. */
static void close_piece(struct guards *g, char *from, char *to)
{
    if (GUARD_BYTES)
        guards_add(g, from, (size_t)(to - from));
}

void scratch_give(struct call *call, const struct scratch *s, char *base, struct guards *g)
{
    size_t shared = (s->shared + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    call->guards = g;
    call->scratch = base + GUARD_BYTES;
    call->member_bytes = (s->member + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN + GUARD_BYTES;
    call->member_scratch = base + GUARD_BYTES + shared + GUARD_BYTES;
    close_piece(g, base, call->scratch);
    close_piece(g, (char *)call->scratch + s->shared, call->member_scratch);
    for (int i = 0; i < s->members; i++) {
        char *piece = call_member_scratch(call, i);
        close_piece(g, piece + s->member, piece + call->member_bytes);
    }
}

int scratch_check(const struct call *call, struct err *e)
{
    int i = GUARD_BYTES && call->guards ? guards_broken(call->guards) : -1;
    if (i < 0)
        return 0;
    return err_set(e, ERR_INTERNAL, "wrote over the end of a piece of its scratch, %lld bytes from its start",
                   (long long)(call->guards->list[i].at - (char *)call->scratch));
}

static int scratch_for(struct context *c, struct call *call, struct err *e)
{
    struct scratch s;
    int rc = scratch_measure(call, team_size(c->team), &s, e);
    if (rc < 0)
        return rc;
    guards_drop(&c->guards);
    if (s.total > c->scratch_bytes) {
        mem_free(c->scratch);
        c->scratch_bytes = 0;
        c->scratch = mem_alloc(c->budget, s.total, e);
        if (!c->scratch)
            return e ? e->code : ERR_MEMORY;
        c->scratch_bytes = s.total;
    }
    scratch_give(call, &s, c->scratch, &c->guards);
    return 0;
}

/* String elements point into the buffers of the inputs: the output's keeps them. */
static int keep_strings(struct call *c, struct err *e)
{
    for (int o = 0; o < c->n_out; o++) {
        const struct tensor *t = call_out(c, o);
        if (!t || t->dtype != DTYPE_STRING || !t->buffer)
            continue;
        for (int i = 0; i < c->n_in; i++) {
            const struct tensor *x = call_in(c, i);
            if (!x || x->dtype != DTYPE_STRING || !x->buffer || x->buffer == t->buffer)
                continue;
            int rc = buffer_keep(t->buffer, x->buffer, e);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* ---- steps ------------------------------------------------------------------------------------- */

static void bind_symbols(struct frame *f, const struct step *s)
{
    for (int i = 0; i < s->n_binds; i++) {
        const struct bind *b = &s->binds[i];
        const struct value *v = &f->values[s->out[b->out]];
        if (s->out[b->out] != SLOT_NONE && v->kind == VALUE_TENSOR && b->dim < v->tensor.rank)
            f->context->numbers[b->symbol] = v->tensor.dims[b->dim];
    }
}

/* Errors come with the node's place in front. */
static int late_shapes(struct frame *f, const struct step *s, struct err *e)
{
    struct fact out[STEP_ENDS_MAX];
    bool unknown = false;
    if (s->node->n_out > STEP_ENDS_MAX) {
        err_set(e, ERR_UNSUPPORTED, "more than %d outputs of unknown size", STEP_ENDS_MAX);
        return fail_at(s->node, ERR_UNSUPPORTED, e);
    }
    int rc = infer_step(f, s, f->calls[s - f->program->steps].call.in, out, &unknown, e);
    if (rc < 0)
        return rc;
    for (int i = 0; i < s->node->n_out && rc == 0; i++) {
        if (s->out[i] == SLOT_NONE)
            continue;
        struct value *v = &f->values[s->out[i]];
        const struct type *t = &out[i].type;
        int64_t count;
        bool known = t->kind == TYPE_TENSOR && t->rank >= 0;
        for (int k = 0; known && k < t->rank; k++)
            known = sym_is_number(t->dims[k]);
        if (!known)
            rc = err_set(e, ERR_INTERNAL, "output %d has no shape on numbers", i);
        else if (!dims_count(t->dims, t->rank, &count))
            rc = err_set(e, ERR_LIMIT, "output %d would have too many elements", i);
        else {
            v->kind = VALUE_TENSOR;
            v->tensor.dtype = t->dtype;
            v->tensor.rank = t->rank;
            memcpy(v->tensor.dims, t->dims, sizeof(v->tensor.dims));
        }
    }
    return rc < 0 ? fail_at(s->node, rc, e) : 0;
}

/* Guards around a planned value; its place had others before. */
static void fence(struct tensor *t)
{
    char *at = t->data, *end = at + tensor_bytes(t);
    char *next = at + (tensor_bytes(t) + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN + GUARD_BYTES;
    guard_clear(at - GUARD_BYTES, (size_t)(next - at) + GUARD_BYTES);
    guard_set(at - GUARD_BYTES, GUARD_BYTES);
    guard_set(end, (size_t)(next - end));
}

/* The slot's storage is planned, on the host. */
static bool has_fence(const struct frame *f, uint32_t slot)
{
    uint32_t r = f->program->slots[slot].root;
    const struct slot *root = &f->program->slots[r];
    return GUARD_BYTES && root->device == DEVICE_CPU && f->offsets[r] != PLAN_HEAP &&
           f->values[slot].tensor.data == f->context->arena[DEVICE_CPU] + f->offsets[r];
}

/* Did the step write beyond its planned outputs? */
static int check_fences(const struct frame *f, const struct step *s, struct err *e)
{
    for (int i = 0; i < s->node->n_out && GUARD_BYTES; i++) {
        if (s->out[i] == SLOT_NONE || !has_fence(f, s->out[i]))
            continue;
        const struct tensor *t = &f->values[s->out[i]].tensor;
        const char *at = t->data;
        if (!guard_whole(at - GUARD_BYTES, GUARD_BYTES))
            return err_set(e, ERR_INTERNAL, "wrote before the start of output %d", i);
        if (!guard_whole(at + tensor_bytes(t), GUARD_BYTES))
            return err_set(e, ERR_INTERNAL, "wrote over the end of output %d", i);
    }
    return 0;
}

/* Make sure the outputs have storage: planned, shared or on the heap. */
static int step_storage(struct frame *f, const struct step *s, struct err *e)
{
    const struct program *p = f->program;
    for (int i = 0; i < s->node->n_out; i++) {
        uint32_t o = s->out[i];
        if (o == SLOT_NONE)
            continue;
        const struct slot *slot = &p->slots[o];
        struct tensor *t = &f->values[o].tensor;
        if (slot->root != o) {
            t->data = f->values[slot->root].tensor.data;
            continue;
        }
        bool planned = slot->place == PLACE_ARENA && f->offsets[o] != PLAN_HEAP;
        if (f->calls[s - p->steps].call.store && f->offsets[o] != PLAN_HEAP) {
            t->data = f->context->arena[slot->device] + f->offsets[o];
            planned = true;
        }
        if (planned && has_fence(f, o))
            fence(t);
        if (planned)
            continue;
        int rc = heap_tensor(f->context, t, slot->device, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int run_copy(struct frame *f, const struct step *s, struct err *e)
{
    struct device *d = f->context->model->device;
    bool to = s->node->op == &op_copy_to_device;
    const struct tensor *x = &f->calls[s - f->program->steps].call.in[0]->tensor;
    struct tensor *y = &f->values[s->out[0]].tensor;
    return d->table->copy(d, y->data, to, x->data, !to, tensor_bytes(x), e);
}

static int run_dynamic(struct frame *f, const struct step *s, struct call *call, struct err *e)
{
    for (int i = 0; i < s->node->n_out; i++)
        if (s->out[i] != SLOT_NONE && f->program->slots[s->out[i]].late)
            f->values[s->out[i]] = (struct value){0};
    int rc = device_run_tasks(call, e);
    for (int i = 0; i < s->node->n_out && rc == 0; i++) {
        const struct slot *slot = s->out[i] == SLOT_NONE ? NULL : &f->program->slots[s->out[i]];
        if (slot && !slot->late && f->values[s->out[i]].kind == VALUE_TENSOR)
            rc = check_input_dims(f, slot, &f->values[s->out[i]].tensor, e);
    }
    return rc;
}

/* Append in a run whose state has its pair writes there. */
static int find_store(struct frame *f, const struct step *s, struct call *call, struct err *e)
{
    const struct slot *slot = &f->program->slots[s->out[0]];
    struct infer_state *state = f->context->options->state;
    int rc = 0;
    call->store = NULL;
    if (state && slot->present >= 0)
        call->store = state_room(state, slot->past, slot->present, call_out(call, 0), &rc, e);
    return rc;
}

static int run_step(struct frame *f, const struct step *s, struct err *e)
{
    struct context *c = f->context;
    struct call *call = &f->calls[s - f->program->steps].call;
    const struct op *op = s->node->op;
    int rc = 0;
    call->team = c->team;
    if (op->flags & OP_VIEW && call->in[0] && call->in[0]->kind != VALUE_TENSOR) {
        value_clear(&f->values[s->out[0]]); /* Identity of a sequence or of nothing */
        value_ref(&f->values[s->out[0]], call->in[0]);
        return 0;
    }
    if (s->late && !(op->flags & OP_DYNAMIC)) {
        rc = late_shapes(f, s, e);
        if (rc < 0)
            return rc;
    }
    if (op->flags & OP_VIEW) {
        f->values[s->out[0]].tensor.data = call->in[0]->tensor.data;
    } else {
        if (op->scratch)
            rc = scratch_for(c, call, e);
        if (rc == 0 && op == &op_append)
            rc = find_store(f, s, call, e);
        if (rc == 0 && !(op->flags & OP_DYNAMIC))
            rc = step_storage(f, s, e);
        if (rc == 0 && (op == &op_copy_to_device || op == &op_copy_to_host))
            rc = run_copy(f, s, e);
        else if (rc == 0 && (op->flags & OP_DYNAMIC))
            rc = run_dynamic(f, s, call, e);
        else if (rc == 0 && s->node->device == DEVICE_CPU)
            rc = device_run_tasks(call, e);
        else if (rc == 0)
            rc = c->model->device->table->run(c->model->device, call, e);
        if (rc == 0)
            rc = check_fences(f, s, e);
        if (rc == 0 && op->scratch)
            rc = scratch_check(call, e);
        if (rc == 0)
            rc = keep_strings(call, e);
    }
    if (rc < 0)
        return fail_at(s->node, rc, e);
    bind_symbols(f, s);
    return 0;
}

bool frame_kept(const struct frame *f, int i)
{
    const struct infer_state *s = f->context->options->state;
    return s && !f->program->parent && state_has(s, i);
}

static void drop_dead(struct frame *f, const struct step *s)
{
    for (int i = 0; i < s->n_drop; i++) {
        struct value *v = &f->values[s->drop[i]];
        int present = f->program->slots[s->drop[i]].present;
        if (present >= 0 && !frame_kept(f, present))
            continue; /* nobody reads it any more but the caller */
        if (v->kind == VALUE_TENSOR && !v->tensor.buffer)
            continue; /* planned after all */
        if (v->kind == VALUE_TENSOR) {
            buffer_unref(v->tensor.buffer);
            v->tensor.buffer = NULL;
            v->tensor.data = NULL;
        } else {
            value_clear(v);
        }
    }
}

static void trace_step(const struct frame *f, const struct step *s, int64_t begin)
{
    char detail[256] = "";
    const struct call *call = &f->calls[s - f->program->steps].call;
    size_t used = 0;
    for (int i = 0; i < call->n_in && used < sizeof(detail) - 64; i++)
        if (call->in[i] && call->in[i]->kind == VALUE_TENSOR) {
            char one[96];
            used += (size_t)snprintf(detail + used, sizeof(detail) - used, "%s%s", used ? " " : "",
                                     tensor_describe(&call->in[i]->tensor, one, sizeof(one)));
        }
    trace_span(f->context->options->trace, *s->node->name ? s->node->name : s->node->op->name,
               s->node->op->name, 0, begin, clock_ns(), detail);
}

int frame_run(struct frame *f, struct err *e)
{
    const struct program *p = f->program;
    struct trace *trace = f->context->options->trace;
    struct tuner *tuner = f->context->options->tuner;
    for (int i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        int64_t begin = trace || tuner ? clock_ns() : 0;
        int rc = run_step(f, s, e);
        if (rc == 0 && (i & 15) == 0)
            rc = team_poll(f->context->team, e);
        if (rc < 0)
            return rc;
        if (trace)
            trace_step(f, s, begin);
        if (tuner)
            tuner_step(tuner, s->node, clock_ns() - begin);
        if (s->n_drop)
            drop_dead(f, s);
    }
    return 0;
}

int frame_output(struct frame *f, int i, struct value *out, struct err *e)
{
    uint32_t o = f->program->outputs[i], r = f->program->slots[o].root;
    const struct slot *root = &f->program->slots[r];
    struct value whole = *frame_value(f, o);
    if (whole.kind == VALUE_TENSOR && root->place == PLACE_HEAP)
        whole.tensor.buffer = f->values[r].tensor.buffer;
    else if (whole.kind == VALUE_TENSOR && !f->program->parent) {
        out->kind = VALUE_TENSOR; /* inputs and constants stay their owners' */
        return tensor_copy(&out->tensor, &whole.tensor, f->context->budget, e);
    }
    return value_retain(out, &whole, f->context->budget, e);
}

void frame_clear(struct frame *f)
{
    const struct program *p = f->program;
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const struct slot *s = &p->slots[i];
        struct value *v = &f->values[i];
        if (s->place == PLACE_CONST || s->place == PLACE_OUTER || s->place == PLACE_ELEMS)
            continue;
        if (s->place == PLACE_INPUT) {
            *v = (struct value){0};
        } else if (v->kind != VALUE_TENSOR) {
            value_clear(v);
        } else if (v->tensor.buffer) {
            buffer_unref(v->tensor.buffer);
            v->tensor.buffer = NULL;
            v->tensor.data = NULL;
        }
    }
}

/* ---- what operators may call -------------------------------------------------------------------- */

static struct step_call *outer_of(struct call *c)
{
    return (struct step_call *)((char *)c - offsetof(struct step_call, call));
}

static int table_output(struct call *c, int o, enum dtype dtype, int rank, const int64_t *dims,
                        struct err *e)
{
    if (o >= c->n_out || !c->out[o])
        return 0;
    struct value v = {.kind = VALUE_TENSOR};
    int rc = tensor_new(&v.tensor, c->budget, dtype, rank, dims, e);
    if (rc < 0)
        return rc;
    value_clear(c->out[o]);
    *c->out[o] = v;
    return 0;
}

static int table_output_value(struct call *c, int o, struct value *v, struct err *e)
{
    if (o >= c->n_out || !c->out[o]) {
        value_clear(v);
        return 0;
    }
    struct value kept = {0};
    int rc = 0;
    if (v->kind == VALUE_TENSOR && !v->tensor.buffer) { /* borrowed storage may go away */
        rc = value_retain(&kept, v, c->budget, e);
        *v = (struct value){0};
    } else {
        kept = *v;
        *v = (struct value){0};
    }
    if (rc < 0)
        return rc;
    value_clear(c->out[o]);
    *c->out[o] = kept;
    return 0;
}

static int table_tasks(struct call *c, int64_t tasks, task_fn *fn, void *arg, struct err *e)
{
    return team_tasks(c->team, tasks, fn, arg, e);
}

static int table_poll(struct call *c, struct err *e)
{
    return team_poll(c->team, e);
}

/* Give the body's inputs and the symbols of their dims. */
static int enter_subgraph(struct frame *f, struct value *in, int n_in, struct err *e)
{
    const struct program *p = f->program;
    if (n_in != p->graph->n_inputs)
        return err_set(e, ERR_MODEL, "subgraph takes %d inputs, got %d", p->graph->n_inputs, n_in);
    for (int i = 0; i < n_in; i++)
        f->values[p->inputs[i]] = in[i];
    for (int i = 0; i < p->n_binds; i++) {
        const struct bind *b = &p->binds[i];
        const struct value *v = &in[b->out];
        f->context->numbers[b->symbol] =
            v->kind == VALUE_TENSOR && b->dim < v->tensor.rank ? v->tensor.dims[b->dim] : SYM_UNKNOWN;
    }
    int rc = frame_set_dims(f, e);
    for (int i = 0; i < n_in && rc == 0; i++)
        if (in[i].kind == VALUE_TENSOR)
            rc = check_input_dims(f, &p->slots[p->inputs[i]], &in[i].tensor, e);
    return rc;
}

static int table_graph(struct call *c, int index, struct value *in, int n_in, struct value *out,
                       int n_out, struct err *e)
{
    struct step_call *sc = outer_of(c);
    struct context *ctx = sc->frame->context;
    struct frame *f = &ctx->frames[sc->step->graphs[index]->index];
    memset(out, 0, (size_t)n_out * sizeof(*out));
    if (n_out != f->program->graph->n_outputs)
        return err_set(e, ERR_MODEL, "subgraph has %d outputs, expected %d",
                       f->program->graph->n_outputs, n_out);
    int rc = enter_subgraph(f, in, n_in, e);
    if (rc == 0)
        rc = frame_run(f, e);
    for (int i = 0; i < n_out && rc == 0; i++)
        rc = frame_output(f, i, &out[i], e);
    for (int i = 0; i < n_in && i < f->program->graph->n_inputs; i++)
        in[i] = f->values[f->program->inputs[i]]; /* nothing where it was taken over */
    frame_clear(f);
    for (int i = 0; i < n_out && rc < 0; i++)
        value_clear(&out[i]);
    return rc;
}

/* A value that dies with this step is moved: made on the heap, or given to a subgraph. */
static void table_take(struct call *c, int i, struct value *out)
{
    struct step_call *sc = outer_of(c);
    const struct program *p = sc->frame->program;
    uint32_t slot = sc->step->in[i];
    const struct slot *s = &p->slots[slot];
    int at = (int)(sc->step - p->steps), uses = 0;
    for (int k = 0; k < c->n_in; k++)
        uses += sc->step->in[k] == slot;
    bool owned = s->place == PLACE_HEAP || (s->place == PLACE_INPUT && p->parent);
    if (c->in[i]->kind != VALUE_TENSOR && owned && s->root == slot && s->last == at && uses == 1) {
        *out = *c->in[i];
        *c->in[i] = (struct value){0};
        return;
    }
    *out = (struct value){0};
    value_ref(out, c->in[i]);
}

const struct call_table exec_table = {
    .output = table_output,
    .output_value = table_output_value,
    .tasks = table_tasks,
    .graph = table_graph,
    .poll = table_poll,
    .take = table_take,
};
