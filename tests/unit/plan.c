/* SPDX-License-Identifier: Apache-2.0 */
/* Programs and plans over random graphs of real operators: no two live values overlap, in place or not,
 * and what a step reads is what was written for it. The seed is printed; PLAN_SEED sets it. */
#include <stdlib.h>

#include "graph/infer.h"
#include "ops/common.h"
#include "runtime/plan.h"
#include "tests/unit/unit.h"

enum { GRAPHS = 300, NODES = 40 };

static uint64_t state;

static uint32_t draw(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static const struct op *op_named(const char *name)
{
    int newer;
    return op_find("", name, 17, &newer);
}

/* A value of the graph so far whose producer gives float[batch,8]-like tensors. */
static struct graph_value *some_value(struct graph *g, struct graph_value **pool, size_t n)
{
    return pool[draw((uint32_t)n)];
}

static struct graph_value *add_node(struct graph *g, const char *op, struct graph_value *a,
                                    struct graph_value *b, struct err *e)
{
    char name[16];
    struct node *n = graph_node_new(g, op_named(op), "", b ? 2 : 1, 1, NULL, e);
    snprintf(name, sizeof(name), "v%zu", g->n_values);
    struct graph_value *v = n ? graph_value_new(g, name, e) : NULL;
    if (!v || node_set_in(n, 0, a, e) < 0 || (b && node_set_in(n, 1, b, e) < 0))
        return NULL;
    node_set_opset(n, 17);
    node_set_out(n, 0, v);
    return v;
}

/* The shape [0, 8]: the first dim is kept. */
static struct graph_value *shape_constant(struct graph *g, struct err *e)
{
    struct tensor t;
    if (tensor_new(&t, NULL, DTYPE_I64, 1, (int64_t[]){2}, e) < 0)
        return NULL;
    ((int64_t *)t.data)[0] = 0;
    ((int64_t *)t.data)[1] = 8;
    return graph_constant(g, "shape", &t, e);
}

static struct graph *random_graph(struct err *e)
{
    static const char *const one[] = {"Relu", "Tanh", "Softmax", "Neg", "Identity"};
    static const char *const two[] = {"Add", "Mul", "Sub"};
    struct graph_value *pool[NODES + 2];
    struct graph *g = graph_new(NULL, e);
    size_t n = 0;
    struct graph_value *shape = shape_constant(g, e);
    for (int i = 0; i < 2; i++) {
        struct graph_value *v = graph_value_new(g, i ? "y" : "x", e);
        v->fact.type = (struct type){.kind = TYPE_TENSOR, .dtype = DTYPE_F32, .rank = 2,
                                     .dims = {sym_named(g->shared->syms, "batch"), 8}};
        CHECK(graph_add_input(g, v, e) == 0);
        pool[n++] = v;
    }
    for (int i = 0; i < NODES; i++) {
        struct graph_value *a = some_value(g, pool, n);
        uint32_t kind = draw(10);
        pool[n] = kind < 4   ? add_node(g, one[draw(5)], a, NULL, e)
                  : kind < 8 ? add_node(g, two[draw(3)], a, some_value(g, pool, n), e)
                             : add_node(g, "Reshape", a, shape, e);
        CHECK(pool[n] != NULL);
        n++;
    }
    for (int i = 0; i < 3; i++) {
        struct graph_value *v = pool[n - 1 - draw(NODES / 2)];
        if (!v->is_output)
            CHECK(graph_add_output(g, v, e) == 0);
    }
    return g;
}

/* Live ranges of planned roots that share bytes must not share steps. */
static void check_overlaps(const struct program *p, const size_t *offsets, size_t bytes)
{
    for (uint32_t i = 0; i < p->n_slots; i++)
        for (uint32_t k = i + 1; k < p->n_slots; k++) {
            const struct slot *a = &p->slots[i], *b = &p->slots[k];
            if (a->place != PLACE_ARENA || b->place != PLACE_ARENA || a->root != i || b->root != k ||
                offsets[i] == PLAN_HEAP || offsets[k] == PLAN_HEAP)
                continue;
            bool apart = offsets[i] + bytes <= offsets[k] || offsets[k] + bytes <= offsets[i];
            CHECK(apart || a->last < b->first || b->last < a->first);
        }
}

/* The value that a slot's bytes hold, views counting as what they view. */
static uint32_t viewed(const struct program *p, const uint32_t *made_by, uint32_t slot)
{
    while (made_by[slot] != UINT32_MAX) {
        const struct step *s = &p->steps[made_by[slot]];
        if (!(s->node->op->flags & OP_VIEW))
            break;
        slot = s->in[0];
    }
    return slot;
}

/* Walk the steps: each root holds one value at a time, and it must be the one that is read. */
static void check_contents(const struct program *p)
{
    uint32_t *holds = calloc(p->n_slots, sizeof(*holds)), *made_by = calloc(p->n_slots, sizeof(*made_by));
    for (uint32_t i = 0; i < p->n_slots; i++) {
        holds[i] = i;
        made_by[i] = UINT32_MAX;
    }
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].out[0] != SLOT_NONE)
            made_by[p->steps[i].out[0]] = (uint32_t)i;
    for (int i = 0; i < p->n_steps; i++) {
        const struct step *s = &p->steps[i];
        for (int k = 0; k < s->node->n_in; k++)
            if (s->in[k] != SLOT_NONE && p->slots[s->in[k]].place != PLACE_CONST)
                CHECK(holds[p->slots[s->in[k]].root] == viewed(p, made_by, s->in[k]));
        if (!(s->node->op->flags & OP_VIEW))
            holds[p->slots[s->out[0]].root] = s->out[0];
    }
    for (int i = 0; i < p->graph->n_outputs; i++)
        CHECK(holds[p->slots[p->outputs[i]].root] == viewed(p, made_by, p->outputs[i]));
    free(holds);
    free(made_by);
}

static void one_graph(void)
{
    struct err e = {0};
    struct graph *g = random_graph(&e);
    struct programs all = {0};
    struct range range = {5, 6};
    CHECK(graph_infer(g, &e) == 0 && programs_build(&all, g, NULL, &e) == 0);
    if (e.code) {
        puts(e.msg);
        return;
    }
    const struct program *p = all.list[0];
    struct plan *plan = plan_new(&all, g->shared->syms, &p->binds[0].symbol, 1, &range, false, NULL, &e);
    CHECK(plan != NULL);
    check_overlaps(p, plan->offsets[0], 6 * 8 * sizeof(float));
    check_contents(p);
    plan_unref(plan);
    programs_clear(&all);
    graph_free(g);
}

static void random_graphs(void)
{
    const char *given = getenv("PLAN_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
    printf("seed %llu\n", (unsigned long long)seed);
    state = seed;
    for (int i = 0; i < GRAPHS && !unit_failures; i++)
        one_graph();
}

static void buckets(void)
{
    int64_t next = 0;
    for (int64_t v = 0; v < 5000; v++) {
        struct range r = range_bucket(v);
        CHECK(r.low <= v && v <= r.high);
        CHECK(range_bucket(r.low).high == r.high && range_bucket(r.high).low == r.low);
        CHECK(v < 4 || r.high <= 3 * v / 2 + 1);
        if (v == next) {
            CHECK(r.low == v);
            next = r.high + 1;
        }
    }
    CHECK(range_bucket(INT64_MAX).high == INT64_MAX);
}

/* A planned value whose size cannot be bounded goes to the heap instead. */
static void unbounded(void)
{
    struct err e = {0};
    struct graph *g = random_graph(&e);
    struct programs all = {0};
    struct range range = {1, INT64_MAX};
    CHECK(graph_infer(g, &e) == 0 && programs_build(&all, g, NULL, &e) == 0);
    struct plan *plan =
        plan_new(&all, g->shared->syms, &all.list[0]->binds[0].symbol, 1, &range, false, NULL, &e);
    CHECK(plan && plan->arena_bytes[0] == 0);
    plan_unref(plan);
    programs_clear(&all);
    graph_free(g);
}

static const struct unit_test tests[] = {TEST(random_graphs), TEST(buckets), TEST(unbounded)};
UNIT_MAIN(tests)
