/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/device.h"

#include <string.h>

static int run_range(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct call *c = arg;
    return c->op->run(c, begin, end, member, e);
}

int device_run_tasks(struct call *c, struct err *e)
{
    if (c->op->flags & (OP_LEADER | OP_DYNAMIC))
        return c->op->run(c, 0, 1, 0, e);
    int64_t tasks = c->op->tasks ? c->op->tasks(c) : 1;
    if (tasks == 1)
        return c->op->run(c, 0, 1, 0, e);
    return tasks > 0 ? team_tasks(c->team, tasks, run_range, c, e) : 0;
}

static void *cpu_alloc(struct device *d, struct budget *b, size_t bytes, struct err *e)
{
    return mem_alloc(b, bytes, e);
}

static void cpu_free(struct device *d, void *p)
{
    mem_free(p);
}

static int cpu_copy(struct device *d, void *to, bool to_device, const void *from, bool from_device,
                    size_t bytes, struct err *e)
{
    memcpy(to, from, bytes);
    return 0;
}

static bool cpu_supports(struct device *d, const struct node *n)
{
    return true;
}

static int cpu_prepare(struct device *d, struct prepare *p, struct err *e)
{
    return p->node->op->prepare ? p->node->op->prepare(p, e) : 0;
}

static int cpu_run(struct device *d, struct call *c, struct err *e)
{
    return device_run_tasks(c, e);
}

static int cpu_sync(struct device *d, struct err *e)
{
    return 0;
}

static const struct device_table cpu_table = {
    .abi = DEVICE_ABI,
    .name = "cpu",
    .alloc = cpu_alloc,
    .free = cpu_free,
    .copy = cpu_copy,
    .supports = cpu_supports,
    .prepare = cpu_prepare,
    .run = cpu_run,
    .sync = cpu_sync,
};

struct device device_cpu = {.table = &cpu_table};
