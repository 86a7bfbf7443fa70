/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "onnx/importer.h"

/* Names come from the file: with an unknown seed it cannot make them collide. */
static size_t hash(const struct importer *m, const char *name)
{
    uint64_t h = m->seed;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        h = (h ^ *p) * UINT64_C(0x9E3779B97F4A7C15);
        h ^= h >> 29;
    }
    return (size_t)(h ^ h >> 32);
}

static struct name_slot *slot(const struct importer *m, const struct names *names, const char *name)
{
    size_t i = hash(m, name) & (names->capacity - 1);
    while (names->slots[i].name && strcmp(names->slots[i].name, name))
        i = (i + 1) & (names->capacity - 1);
    return &names->slots[i];
}

struct name_slot *scope_own(const struct importer *m, const struct scope *s, const char *name)
{
    if (!s->names.capacity)
        return NULL;
    struct name_slot *x = slot(m, &s->names, name);
    return x->name ? x : NULL;
}

static int grow(struct importer *m, struct names *names, struct err *e)
{
    struct names more = {.n = names->n, .capacity = names->capacity ? names->capacity * 4 : 16};
    if (names->n < names->capacity / 2)
        return 0;
    more.slots = arena_array(&m->arena, more.capacity, sizeof *more.slots, e);
    if (!more.slots)
        return err_code_of(e, ERR_MEMORY);
    for (size_t i = 0; i < names->capacity; i++)
        if (names->slots[i].name)
            *slot(m, &more, names->slots[i].name) = names->slots[i];
    *names = more;
    return 0;
}

int scope_put(struct importer *m, struct scope *s, const char *name, struct graph_value *v,
              bool wanted, struct err *e)
{
    if (!name || !*name)
        return err_set(e, ERR_MODEL, "a value without a name");
    int rc = grow(m, &s->names, e);
    if (rc)
        return rc;
    struct name_slot *x = slot(m, &s->names, name);
    if (x->name)
        return err_set(e, ERR_MODEL, "two values are named '%.80s'", name);
    *x = (struct name_slot){name, v, wanted};
    s->names.n++;
    return 0;
}

int scope_find(struct importer *m, const struct scope *s, struct graph *into, const char *name,
               struct graph_value **out, struct err *e)
{
    *out = NULL;
    if (!name || !*name)
        return 0;
    for (; s; s = s->parent) {
        const struct name_slot *x = scope_own(m, s, name);
        if (!x)
            continue;
        if (!x->value)
            return 0;
        *out = graph_capture(into, x->value, e);
        return *out ? 0 : err_code_of(e, ERR_MEMORY);
    }
    return err_set(e, ERR_MODEL, "'%.80s' is not an input, a constant or any node's output", name);
}
