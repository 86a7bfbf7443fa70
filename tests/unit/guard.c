/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: an operator that writes over the end of its output, or of a piece of its scratch, fails the run
 * in builds that have them. Under address sanitizer it ends the process, so each is tried in a child.
 */
#include "core/guard.h"

#include <sys/wait.h>
#include <unistd.h>

#include "graph/infer.h"
#include "ops/common.h"
#include "runtime/model.h"
#include "tests/unit/unit.h"

enum { COUNT = 19, PART = 5, MEMBER = 7 };

/* Where the operator writes one float. */
enum wrong {
    NOWHERE, OUTPUT_END, OUTPUT_START, SHARED_END, SHARED_START, MEMBER_END, PART_END, LAST_PART_END,
};

static enum wrong wrong;

static int wild_infer(struct infer *c, struct err *e)
{
    return infer_like(c, 0, 0, DTYPE_F32, e);
}

/* Two parts in the member's piece. */
static size_t lay_out(struct parts p, float *parts[2])
{
    parts[0] = parts_take(&p, PART, sizeof(float));
    parts[1] = parts_take(&p, MEMBER, sizeof(float));
    return p.bytes;
}

static size_t wild_scratch(const struct call *c, size_t *per_member)
{
    float *parts[2];
    *per_member = lay_out(parts_member(c, 0), parts);
    return COUNT * sizeof(float);
}

static int wild_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    float *out = call_out(c, 0)->data, *shared = c->scratch, *parts[2];
    size_t all = lay_out(parts_member(c, member), parts);
    for (int i = 0; i < COUNT; i++)
        out[i] = shared[i] = 1;
    for (int i = 0; i < PART; i++)
        parts[0][i] = 2;
    for (int i = 0; i < MEMBER; i++)
        parts[1][i] = 3;
    float *const at[] = {
        [NOWHERE] = out, [OUTPUT_END] = out + COUNT, [OUTPUT_START] = out - 1,
        [SHARED_END] = shared + COUNT, [SHARED_START] = shared - 1,
        [MEMBER_END] = (float *)((char *)parts[0] + all), [PART_END] = parts[0] + PART,
        [LAST_PART_END] = parts[1] + MEMBER,
    };
    *(volatile float *)at[wrong] = 4;
    return 0;
}

static const struct op op_wild = {
    .domain = "", .name = "Wild", .since = 1, .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .flags = OP_PURE, .infer = wild_infer, .scratch = wild_scratch, .run = wild_run,
};

static struct graph_value *follow(struct graph *g, const struct op *op, struct graph_value *x,
                                  struct err *e)
{
    struct node *n = graph_node_new(g, op, "", 1, 1, NULL, e);
    struct graph_value *v = n ? graph_value_new(g, "", e) : NULL;
    if (!v || node_set_in(n, 0, x, e))
        return NULL;
    node_set_out(n, 0, v);
    return v;
}

/* x -> Neg -> Wild -> Neg -> y: the operator's output is planned memory. */
static int build(struct infer_model *m, struct err *e)
{
    struct graph *g = m->graph;
    const struct op *neg = op_find("", "Neg", 13, NULL);
    struct graph_value *v = graph_value_new(g, "x", e);
    if (!v)
        return e->code;
    v->fact.type = (struct type){.kind = TYPE_TENSOR, .dtype = DTYPE_F32, .rank = 1, .dims = {COUNT}};
    if (graph_add_input(g, v, e) || !(v = follow(g, neg, v, e)) || !(v = follow(g, &op_wild, v, e)) ||
        !(v = follow(g, neg, v, e)) || graph_add_output(g, v, e))
        return e->code;
    struct stop stop = {0};
    int rc = graph_infer(g, e);
    rc = rc ? rc : graph_place(g, m->device, e);
    rc = rc ? rc : model_ports(m, e);
    return rc ? rc : model_ready(m, &stop, e);
}

static int run_once(struct err *e)
{
    struct infer_model *m = mem_calloc(budget_process(), 1, sizeof *m, e);
    float x[COUNT] = {0};
    struct value v = {.kind = VALUE_TENSOR, .tensor = {DTYPE_F32, 1, {COUNT}, x, NULL}};
    struct value *in[] = {&v}, out[1] = {{0}};
    if (!m)
        return ERR_MEMORY;
    m->budget = budget_process();
    m->device = &device_cpu;
    m->threads = 2;
    arena_init(&m->arena, m->budget);
    pthread_mutex_init(&m->lock, NULL);
    m->graph = graph_new(m->budget, e);
    int rc = m->graph ? build(m, e) : e->code;
    for (int i = 0; i < 2 && rc == 0; i++) { /* the second run finds the context of the first */
        rc = model_run(m, in, out, NULL, NULL, NULL, e);
        if (rc == 0)
            CHECK(((float *)out[0].tensor.data)[COUNT - 1] == -1);
        value_clear(&out[0]);
    }
    infer_model_free(m);
    return rc;
}

/* 0, the error, or 1 if the process did not end by itself. */
static int try(enum wrong where)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct err e = {0};
        wrong = where;
        if (!freopen("/dev/null", "w", stderr))
            _exit(9);
        int rc = run_once(&e);
        if (rc == ERR_INTERNAL && !strstr(e.msg, "Wild"))
            _exit(8);
        _exit(rc == 0 ? 0 : rc == ERR_INTERNAL ? 7 : 9);
    }
    int status = 0;
    if (!CHECK(child > 0 && waitpid(child, &status, 0) == child))
        return ERR_INTERNAL;
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) < 7))
        return 1;
    return WEXITSTATUS(status) == 0 ? 0 : WEXITSTATUS(status) == 7 ? ERR_INTERNAL : ERR_MODEL;
}

static void overruns(void)
{
    CHECK(try(NOWHERE) == 0);
    if (!GUARD_BYTES) {
        unit_skip("this build has no guards");
        return;
    }
    for (int where = OUTPUT_END; where <= LAST_PART_END; where++) {
        int rc = try((enum wrong)where);
        if (!CHECK(rc == ERR_INTERNAL || rc == 1))
            printf("case %d: %d\n", where, rc);
    }
}

/* Measuring and placing agree, parts are aligned, and what overflows cannot be had. */
static void parts(void)
{
    struct call c = {0};
    struct parts measured = parts_shared(&c), huge = measured;
    CHECK(!parts_take(&measured, 3, 4) && !parts_take(&measured, 0, 8) && !parts_take(&measured, 65, 1));
    _Alignas(MEM_ALIGN) static char room[1024];
    struct guards guards = {.busy = ATOMIC_FLAG_INIT};
    c.scratch = room;
    c.guards = &guards;
    struct parts placed = parts_shared(&c);
    char *a = parts_take(&placed, 3, 4), *b = parts_take(&placed, 0, 8), *d = parts_take(&placed, 65, 1);
    CHECK(a == room && b > a && d >= b && (b - a) % MEM_ALIGN == 0 && (d - b) % MEM_ALIGN == 0);
    CHECK(placed.bytes == measured.bytes && d + 65 <= room + placed.bytes);
    CHECK(guards_broken(&guards) < 0 && guards.n == (GUARD_BYTES ? 3 : 0));
    guards_drop(&guards);
    CHECK(!parts_take(&huge, SIZE_MAX / 2, 8) && huge.bytes == SIZE_MAX);
    CHECK(!parts_take(&huge, 1, 8) && huge.bytes == SIZE_MAX);
}

static const struct unit_test tests[] = {TEST(overruns), TEST(parts)};
UNIT_MAIN(tests)
