/* SPDX-License-Identifier: Apache-2.0 */
/* A device that computes on the CPU behind memory of its own: its pointers are real ones with a bit
 * set that no address has, so whoever forgets a copy faults at once instead of on the first GPU. */
#include "gpu/device.h"

#include <string.h>

#define FAKE_TAG ((uintptr_t)1 << 62)

static void *to_device(void *p)
{
    return p ? (void *)((uintptr_t)p | FAKE_TAG) : NULL;
}

static void *to_host(const void *p)
{
    return (void *)((uintptr_t)p & ~FAKE_TAG);
}

static void *fake_alloc(struct device *d, struct budget *b, size_t bytes, struct err *e)
{
    return to_device(mem_alloc(b, bytes, e));
}

static void fake_free(struct device *d, void *p)
{
    if (p)
        mem_free(to_host(p));
}

static int fake_copy(struct device *d, void *to, bool to_dev, const void *from, bool from_dev,
                     size_t bytes, struct err *e)
{
    memcpy(to_dev ? to_host(to) : to, from_dev ? to_host(from) : from, bytes);
    return 0;
}

static bool fake_supports(struct device *d, const struct node *n)
{
    if (n->op->flags & (OP_HOST | OP_DYNAMIC))
        return false;
    for (int i = 0; i < n->n_in + n->n_out; i++) {
        const struct graph_value *v = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
        if (v && (v->fact.type.kind != TYPE_TENSOR || v->fact.type.dtype == DTYPE_STRING))
            return false;
    }
    return true;
}

static int fake_prepare(struct device *d, struct prepare *p, struct err *e)
{
    return p->node->op->prepare ? p->node->op->prepare(p, e) : 0;
}

/* The operator sees copies of the descriptors with host pointers. */
enum { FAKE_TENSORS = 64 };

static int fake_run(struct device *d, struct call *c, struct err *e)
{
    struct value small[FAKE_TENSORS], *values = small, *pointers_small[FAKE_TENSORS],
                                      **pointers = pointers_small;
    int n = c->n_in + c->n_out, result = 0;
    if (n > FAKE_TENSORS) {
        values = mem_calloc(c->budget, (size_t)n, sizeof(*values), e);
        pointers = mem_calloc(c->budget, (size_t)n, sizeof(*pointers), e);
        if (!values || !pointers) {
            result = e ? e->code : ERR_MEMORY;
            goto out;
        }
    }
    for (int i = 0; i < n; i++) {
        struct value *from = i < c->n_in ? c->in[i] : c->out[i - c->n_in];
        pointers[i] = from ? &values[i] : NULL;
        if (from) {
            values[i] = *from;
            values[i].tensor.data = to_host(from->tensor.data);
        }
    }
    struct call host = *c;
    host.in = pointers;
    host.out = pointers + c->n_in;
    result = device_run_tasks(&host, e);
out:
    if (n > FAKE_TENSORS) {
        mem_free(values);
        mem_free(pointers);
    }
    return result;
}

static int fake_sync(struct device *d, struct err *e)
{
    return 0;
}

static const struct device_table fake_table = {
    .abi = DEVICE_ABI,
    .name = "fake",
    .alloc = fake_alloc,
    .free = fake_free,
    .copy = fake_copy,
    .supports = fake_supports,
    .prepare = fake_prepare,
    .run = fake_run,
    .sync = fake_sync,
};

struct device device_fake = {.table = &fake_table};
