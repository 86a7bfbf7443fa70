/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "onnx/reader.h"
#include "runtime/model.h"

/* Per constant: how many node inputs read it, and how many of them have packed it. */
struct readers {
    uint32_t reads, packed;
};

/* What pack_alloc and packed find behind the struct prepare that an operator was given. */
struct preparer {
    struct prepare prepare;
    struct infer_model *model;
    struct readers *readers; /* by value id */
    struct team *team;
};

static struct graph_value *constant_of(struct graph_value *v)
{
    while (v && v->outer)
        v = v->outer;
    return v && v->constant ? v : NULL;
}

static void *pack_alloc(struct prepare *p, size_t bytes, struct err *e)
{
    struct infer_model *m = ((struct preparer *)p)->model;
    struct pack *k = mem_calloc(m->budget, 1, sizeof(*k), e);
    if (!k)
        return NULL;
    k->data = mem_alloc(m->budget, bytes, e);
    if (!k->data) {
        mem_free(k);
        return NULL;
    }
    k->next = m->packs;
    m->packs = k;
    m->packed_bytes += bytes;
    return k->data;
}

/* The last reader has packed it: the original's pages are not needed any more. */
static void packed(struct prepare *p, int i)
{
    struct preparer *self = (struct preparer *)p;
    struct graph_value *v = constant_of(p->node->in[i]);
    if (!v)
        return;
    struct readers *r = &self->readers[v->id];
    if (++r->packed == r->reads && v->constant->buffer)
        onnx_release_pages(v->constant);
}

static void count_readers(struct preparer *self, const struct graph *g)
{
    for (const struct node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_in; i++) {
            struct graph_value *v = constant_of(n->in[i]);
            if (v)
                self->readers[v->id].reads++;
        }
        for (int i = 0; i < n->n_graphs; i++)
            count_readers(self, n->graphs[i]);
    }
    for (int i = 0; i < g->n_outputs; i++) {
        struct graph_value *v = constant_of(g->outputs[i]);
        if (v)
            self->readers[v->id].reads++;
    }
}

static struct tune_site *tune(struct prepare *p, const struct tune_ask *a)
{
    struct infer_model *m = ((struct preparer *)p)->model;
    return tuner_site(m->tuner, p->node, a, &m->arena);
}

enum { PREPARE_ENDS = 64 };

static int prepare_node(struct preparer *self, struct node *n, struct err *e)
{
    struct infer_model *m = self->model;
    const struct fact *small[PREPARE_ENDS], **in = small;
    if (!n->op->prepare)
        return 0;
    if (n->n_in > PREPARE_ENDS) {
        in = mem_calloc(m->budget, (size_t)n->n_in, sizeof(*in), e);
        if (!in)
            return ERR_MEMORY;
    }
    for (int i = 0; i < n->n_in; i++)
        in[i] = n->in[i] ? &n->in[i]->fact : NULL;
    self->prepare = (struct prepare){
        .node = n, .attrs = n->attrs, .arena = &m->arena, .budget = m->budget, .in = in,
        .out = n->n_out && n->out[0] ? &n->out[0]->fact : NULL, .n_in = n->n_in, .n_out = n->n_out,
        .pack_alloc = pack_alloc, .packed = packed, .tune = tune,
        .team = self->team,
    };
    struct device *d = n->device == DEVICE_CPU ? &device_cpu : m->device;
    int rc = d->table->prepare(d, &self->prepare, e);
    n->prepared = self->prepare.prepared;
    if (in != small)
        mem_free(in);
    if (rc < 0) {
        char text[256];
        return err_at(e, rc, "%s", node_describe(n, text, sizeof(text)));
    }
    return 0;
}

/* While a weight is packed it is resident twice, so the largest come first, when little else is. */
struct turn {
    struct node *node;
    size_t bytes, place;
};

static int compare_turns(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static void list_turns(struct graph *g, struct turn *list, size_t *count)
{
    for (struct node *n = g->first; n; n = n->next) {
        struct turn *t = &list[*count];
        *t = (struct turn){.node = n, .place = (*count)++};
        for (int i = 0; i < n->n_in; i++) {
            const struct graph_value *v = constant_of(n->in[i]);
            t->bytes += v ? tensor_bytes(v->constant) : 0;
        }
        for (int i = 0; i < n->n_graphs; i++)
            list_turns(n->graphs[i], list, count);
    }
}

static int prepare_graph(struct preparer *self, struct graph *g, struct err *e)
{
    size_t count = 0;
    struct turn *list = mem_calloc(self->model->budget, graph_count(g) + 1, sizeof(*list), e);
    if (!list)
        return ERR_MEMORY;
    list_turns(g, list, &count);
    qsort(list, count, sizeof(*list), compare_turns);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = prepare_node(self, list[i].node, e);
    mem_free(list);
    return rc;
}

/* Constants that steps read on the other device. */
static int upload(struct infer_model *m, struct err *e)
{
    if (m->device == &device_cpu)
        return 0;
    m->device_constants =
        mem_calloc(m->budget, m->graph->shared->n_values, sizeof(*m->device_constants), e);
    if (!m->device_constants)
        return ERR_MEMORY;
    const struct program *p = m->programs.list[0];
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const struct slot *s = &p->slots[i];
        if (s->place != PLACE_CONST || s->device == DEVICE_CPU)
            continue;
        const struct tensor *from = s->value->constant;
        size_t bytes = tensor_bytes(from);
        void *to = m->device->table->alloc(m->device, m->budget, bytes, e);
        if (!to)
            return e ? e->code : ERR_MEMORY;
        m->device_constants[s->value->id] = (struct tensor){.data = to};
        int rc = m->device->table->copy(m->device, to, true, from->data, false, bytes, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int prepare_all(struct team *t, void *arg, struct err *e)
{
    struct preparer *self = arg;
    self->team = t;
    return prepare_graph(self, self->model->graph, e);
}

int model_prepare(struct infer_model *m, const struct stop *stop, struct err *e)
{
    struct preparer self = {.model = m};
    self.readers = mem_calloc(m->budget, m->graph->shared->n_values, sizeof(*self.readers), e);
    if (!self.readers)
        return ERR_MEMORY;
    count_readers(&self, m->graph);
    /* Uploads read the originals, so they come before packing gives them back. */
    int rc = upload(m, e);
    if (rc == 0)
        rc = tuner_new(&m->tuner, m->measures, m->threads, m->budget, e);
    if (rc == 0)
        rc = team_run(m->threads, stop, prepare_all, &self, e);
    mem_free(self.readers);
    if (!m->measures) {
        tuner_free(m->tuner); /* the answers stand in the model's arena */
        m->tuner = NULL;
    }
    return rc;
}

void model_release_packs(struct infer_model *m)
{
    for (struct pack *k = m->packs, *next; k; k = next) {
        next = k->next;
        mem_free(k->data);
        mem_free(k);
    }
    m->packs = NULL;
    tuner_free(m->tuner);
    m->tuner = NULL;
    if (m->device_constants)
        for (uint32_t i = 0; i < m->graph->shared->n_values; i++)
            if (m->device_constants[i].data)
                m->device->table->free(m->device, m->device_constants[i].data);
    mem_free(m->device_constants);
    m->device_constants = NULL;
}
