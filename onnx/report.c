/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "onnx/import.h"

enum { NAME_MAX_BYTES = 120 };

static bool same(const struct import_item *x, enum import_kind kind, const char *domain,
                 const char *name, int version)
{
    return x->kind == kind && x->version == version && !strncmp(x->name, name, NAME_MAX_BYTES) &&
           !strncmp(x->domain, domain, NAME_MAX_BYTES);
}

int import_report_add(struct import_report *r, enum import_kind kind, const char *domain,
                      const char *name, int version, int other, const char *where, struct err *e)
{
    domain = *domain ? domain : "ai.onnx";
    struct import_item *x = NULL;
    for (size_t i = 0; i < r->n && !x; i++)
        if (same(&r->items[i], kind, domain, name, version))
            x = &r->items[i];
    if (!x && r->n == IMPORT_ITEMS_MAX) {
        r->more++;
        return 0;
    }
    if (!x) {
        void *items = r->items;
        int rc = mem_grow(r->arena.budget, &items, r->n, &r->capacity, sizeof *r->items, e);
        if (rc)
            return rc;
        r->items = items;
        x = &r->items[r->n];
        *x = (struct import_item){.kind = kind, .version = version, .other = other};
        x->domain = arena_strndup(&r->arena, domain, NAME_MAX_BYTES, e);
        x->name = arena_strndup(&r->arena, name, NAME_MAX_BYTES, e);
        if (!x->domain || !x->name)
            return e && e->code ? e->code : ERR_MEMORY;
        r->n++;
    }
    if (x->count < IMPORT_NAMES_MAX) {
        x->where[x->count] = arena_strndup(&r->arena, where, NAME_MAX_BYTES, e);
        if (!x->where[x->count])
            return e && e->code ? e->code : ERR_MEMORY;
    }
    x->count++;
    return 0;
}

static void print_name(const struct import_item *x, char *buf, size_t size)
{
    bool plain = !strcmp(x->domain, "ai.onnx") && x->kind != IMPORT_OPSET;
    snprintf(buf, size, "%s%s%s", plain ? "" : x->domain, plain || !*x->name ? "" : ".", x->name);
}

static void print_item(struct text *t, const struct import_item *x)
{
    char name[2 * NAME_MAX_BYTES + 8];
    print_name(x, name, sizeof name);
    switch (x->kind) {
    case IMPORT_OPERATOR:
        text_add(t, "operator %s (opset %d) is not supported", name, x->version);
        break;
    case IMPORT_VERSION:
        text_add(t,
                 x->other > x->version
                     ? "operator %s is supported from opset %d on, the model imports %d"
                     : "operator %s of opset %d is not in the imported opset %d",
                 name, x->other, x->version);
        break;
    case IMPORT_OPSET:
        text_add(t, "opset %d of %s is newer than %d, the last one known", x->version, name,
                 x->other);
        break;
    case IMPORT_TYPE:
        text_add(t, "type %s is not supported", x->name);
        break;
    case IMPORT_NODE:
        text_add(t, "operator %s", name);
        break;
    }
    if (x->kind == IMPORT_OPSET)
        return;
    text_add(t, ": %zu %s", x->count, x->count == 1 ? "use" : "uses");
    for (size_t i = 0; i < x->count && i < IMPORT_NAMES_MAX; i++) {
        text_add(t, i ? ", '" : ": '");
        text_add_bytes(t, x->where[i], strlen(x->where[i]));
        text_add(t, "'");
    }
    if (x->count > IMPORT_NAMES_MAX)
        text_add(t, ", ...");
}

char *import_report_text(const struct import_report *r, struct budget *b, struct err *e)
{
    struct text t = {.budget = b};
    for (size_t i = 0; i < r->n; i++) {
        print_item(&t, &r->items[i]);
        text_add(&t, "\n");
    }
    if (r->more)
        text_add(&t, "and %zu more\n", r->more);
    if (r->note && r->n)
        text_add(&t, "%s\n", r->note);
    return text_take(&t, e);
}

/* All of ONNX's operators are known here: one of its own set that is not is the model's mistake. */
static bool is_mistake(const struct import_item *x)
{
    return x->kind == IMPORT_OPERATOR && !strcmp(x->domain, "ai.onnx");
}

int import_report_error(const struct import_report *r, struct err *e)
{
    char line[512];
    size_t at = 0, operators = 0, mistakes = 0;
    for (size_t i = 0; i < r->n; i++) {
        mistakes += is_mistake(&r->items[i]);
        operators += r->items[i].kind == IMPORT_OPERATOR || r->items[i].kind == IMPORT_VERSION;
    }
    line[0] = 0;
    for (size_t i = 0; i < r->n && at + 2 < sizeof line; i++) {
        const struct import_item *x = &r->items[i];
        char name[2 * NAME_MAX_BYTES + 8];
        print_name(x, name, sizeof name);
        int n = snprintf(line + at, sizeof line - at, "%s%s", i ? ", " : "", name);
        at += n > 0 ? (size_t)n : 0;
        if (at + 2 >= sizeof line)
            break;
        if (x->kind == IMPORT_VERSION || x->kind == IMPORT_OPSET)
            n = snprintf(line + at, sizeof line - at, " (opset %d; known: %s %d)", x->version,
                         x->other > x->version ? "from" : "up to", x->other);
        else
            n = snprintf(line + at, sizeof line - at, " (%zu node%s)", x->count,
                         x->count == 1 ? "" : "s");
        at += n > 0 ? (size_t)n : 0;
    }
    if (mistakes == r->n + r->more)
        return err_set(e, ERR_MODEL, "%zu operator%s not in ONNX: %s", mistakes, mistakes == 1 ? " is" : "s are", line);
    if (operators == r->n + r->more)
        return err_set(e, ERR_UNSUPPORTED, "%zu operator%s not supported: %s", r->n + r->more,
                       r->n + r->more == 1 ? " is" : "s are", line);
    return err_set(e, ERR_UNSUPPORTED, "%zu thing%s not supported: %s", r->n + r->more,
                   r->n + r->more == 1 ? " is" : "s are", line);
}

void import_report_clear(struct import_report *r)
{
    mem_free(r->items);
    arena_clear(&r->arena);
    *r = (struct import_report){0};
}
