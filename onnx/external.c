/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/external.h"

#include <string.h>

#include "onnx/tensor.h"

struct onnx_external {
    struct onnx_external *next;
    char *name;
    struct file *file;
};

/* The system gives a process some 65000 mappings in all. */
enum { EXTERNAL_FILES_MAX = 16384 };

static int open_named(struct onnx_source *s, const char *name, struct file **file, struct err *e)
{
    for (struct onnx_external *x = s->externals; x; x = x->next) {
        if (!strcmp(x->name, name)) {
            *file = x->file;
            return 0;
        }
    }
    if (s->n_externals >= EXTERNAL_FILES_MAX)
        return err_set(e, ERR_LIMIT, "external data in more than %d files", EXTERNAL_FILES_MAX);
    struct err local = {0};
    struct onnx_external *x = mem_calloc(s->budget, 1, sizeof *x, &local);
    if (x)
        x->name = mem_strndup(s->budget, name, strlen(name), &local);
    if (x && x->name)
        x->file =
            file_open_beneath(s->budget, s->folder, name, s->allow_links, s->in_memory, &local);
    if (!x || !x->file) {
        if (x)
            mem_free(x->name);
        mem_free(x);
        return err_set(e, local.code, "external data: %s", local.msg);
    }
    x->next = s->externals;
    s->externals = x;
    s->n_externals++;
    *file = x->file;
    return 0;
}

void onnx_externals_free(struct onnx_external *x)
{
    while (x) {
        struct onnx_external *next = x->next;
        file_unref(x->file);
        mem_free(x->name);
        mem_free(x);
        x = next;
    }
}

static int parse(const char *key, const char *text, size_t *out, struct err *e)
{
    size_t v = 0;
    bool ok = *text != 0;
    for (const char *p = text; *p && ok; p++)
        ok = *p >= '0' && *p <= '9' && size_mul(v, 10, &v) && size_add(v, (size_t)(*p - '0'), &v);
    if (!ok)
        return err_set(e, ERR_MODEL, "external data: the %s \"%.40s\" is not a number of bytes",
                       key, text);
    *out = v;
    return 0;
}

/* The entry of this key, NULL if absent; twice is refused. */
static int entry(const Onnx__TensorProto *p, const char *key, const char **value, struct err *e)
{
    *value = NULL;
    for (size_t i = 0; i < p->n_external_data; i++) {
        const Onnx__StringStringEntryProto *x = p->external_data[i];
        if (!x->key || strcmp(x->key, key))
            continue;
        if (*value)
            return err_set(e, ERR_MODEL, "external data: %s is given twice", key);
        *value = x->value ? x->value : "";
    }
    return 0;
}

int onnx_external_find(struct onnx_source *s, const Onnx__TensorProto *p, size_t bytes,
                       struct file **file, size_t *offset, struct err *e)
{
    const char *location, *offset_text, *length_text;
    size_t length = bytes, end;
    int rc = entry(p, "location", &location, e);
    rc = rc ? rc : entry(p, "offset", &offset_text, e);
    rc = rc ? rc : entry(p, "length", &length_text, e);
    if (rc)
        return rc;
    if (!location)
        return err_set(e, ERR_MODEL, "external data without a location");
    *offset = 0;
    if (offset_text)
        rc = parse("offset", offset_text, offset, e);
    if (!rc && length_text)
        rc = parse("length", length_text, &length, e);
    if (rc)
        return rc;
    if (length != bytes)
        return err_set(e, ERR_MODEL, "external data of %zu bytes, its type and dims need %zu",
                       length, bytes);
    if (!s->folder)
        return err_set(e, ERR_MODEL,
                       "external data, but there is no folder to look for \"%.80s\" in", location);
    rc = open_named(s, location, file, e);
    if (rc)
        return rc;
    if (!size_add(*offset, bytes, &end) || end > (*file)->size)
        return err_set(e, ERR_MODEL, "external data: %zu bytes at %zu of \"%.80s\", which has %zu",
                       bytes, *offset, location, (*file)->size);
    return 0;
}
