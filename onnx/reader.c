/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "onnx/tensor.h"

/* ---- unpacking ----------------------------------------------------------------------------- */

/* What protobuf-c allocates while it unpacks, all in one arena. It reports no reasons: the first
 * one is kept here. */
struct unpacker {
    struct arena *arena;
    struct err *err;
    int code;
};

static void *unpack_alloc(void *data, size_t size)
{
    struct unpacker *u = data;
    void *p = u->code ? NULL : arena_alloc(u->arena, size, u->err);
    if (!p && !u->code)
        u->code = u->err->code;
    return p;
}

static void unpack_free(void *data, void *p)
{
}

/* Bytes of unpacked messages, for each reduced byte. An empty message is the worst: two bytes
 * become some three hundred; real models stay below a tenth of that. */
enum { UNPACKED_RATIO = 64, UNPACKED_MIN = 1 << 20 };

int onnx_unpack(struct onnx_source *s, struct budget *limit, struct arena *arena, enum wire_msg msg,
                const ProtobufCMessageDescriptor *type, ProtobufCMessage **out, struct err *e)
{
    struct wire w;
    struct err local = {0};
    int rc = wire_reduce(&w, s->budget, msg, s->data, s->size, e);
    if (rc)
        return rc;
    rc = stop_poll(s->stop, e);
    if (rc) {
        wire_clear(&w);
        return rc;
    }
    budget_init(limit, w.size * UNPACKED_RATIO + UNPACKED_MIN,
                s->budget ? s->budget : budget_process());
    arena_init(arena, limit);
    struct unpacker u = {.arena = arena, .err = &local};
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &u};
    *out = protobuf_c_message_unpack(type, &allocator, w.size, w.data);
    s->payloads = w.payloads;
    s->n_payloads = w.n_payloads;
    w.payloads = NULL;
    wire_clear(&w);
    if (*out)
        return 0;
    arena_clear(arena);
    if (u.code)
        return err_set(e, u.code, "unpacking the file's messages: %s", local.msg);
    return err_set(e, ERR_MODEL, "not a valid ONNX file: its messages cannot be unpacked");
}

/* ---- opening ------------------------------------------------------------------------------- */

static int check(struct onnx_model *m, struct err *e)
{
    const Onnx__ModelProto *p = m->proto;
    if (!p->graph)
        return err_set(e, ERR_MODEL, "the file has no graph: it is not an ONNX model");
    if (!p->has_ir_version)
        return err_set(e, ERR_MODEL, "the model does not say which IR version it has");
    if (p->ir_version < 1)
        return err_set(e, ERR_MODEL, "IR version %" PRId64 " does not exist", p->ir_version);
    if (p->ir_version > ONNX_IR_MAX)
        return err_set(e, ERR_UNSUPPORTED,
                       "IR version %" PRId64 "; %d is the newest that is supported", p->ir_version,
                       ONNX_IR_MAX);
    return 0;
}

static int load(struct onnx_model *m, const struct onnx_options *o, struct err *e)
{
    struct onnx_source *s = &m->source;
    ProtobufCMessage *message;
    if (!s->size)
        return err_set(e, ERR_MODEL, "the file is empty");
    s->in_memory = o && o->in_memory;
    s->allow_links = o && o->allow_links;
    s->stop = o ? o->stop : NULL;
    int rc = stop_poll(s->stop, e);
    rc = rc ? rc : onnx_unpack(s, &m->limit, &m->arena, WIRE_MODEL, &onnx__model_proto__descriptor,
                               &message, e);
    if (rc)
        return rc;
    m->proto = (const Onnx__ModelProto *)message;
    return check(m, e);
}

struct onnx_model *onnx_open(struct budget *b, const char *path, const struct onnx_options *o,
                             struct err *e)
{
    struct onnx_model *m = mem_calloc(b, 1, sizeof *m, e);
    if (!m)
        return NULL;
    struct onnx_source *s = &m->source;
    s->budget = b;
    s->file = file_open(b, path, o && o->in_memory, e);
    if (s->file) {
        s->data = s->file->data;
        s->size = s->file->size;
        s->folder = o && o->folder ? mem_strndup(b, o->folder, strlen(o->folder), e)
                                   : file_folder(b, path, e);
    }
    if (s->folder && !load(m, o, e))
        return m;
    onnx_close(m);
    return NULL;
}

struct onnx_model *onnx_open_memory(struct budget *b, const void *data, size_t size,
                                    const struct onnx_options *o, struct err *e)
{
    struct onnx_model *m = mem_calloc(b, 1, sizeof *m, e);
    if (!m)
        return NULL;
    struct onnx_source *s = &m->source;
    const char *folder = o ? o->folder : NULL;
    s->budget = b;
    s->data = data;
    s->size = size;
    if (folder)
        s->folder = mem_strndup(b, folder, strlen(folder), e);
    if ((!folder || s->folder) && !load(m, o, e))
        return m;
    onnx_close(m);
    return NULL;
}

void onnx_source_clear(struct onnx_source *s)
{
    onnx_externals_free(s->externals);
    mem_free(s->payloads);
    mem_free(s->folder);
    file_unref(s->file);
    *s = (struct onnx_source){0};
}

void onnx_close(struct onnx_model *m)
{
    if (!m)
        return;
    arena_clear(&m->arena);
    onnx_source_clear(&m->source);
    mem_free(m);
}

/* ---- metadata ------------------------------------------------------------------------------ */

static const char *number(bool has, int64_t v, char *buf, size_t size)
{
    snprintf(buf, size, "%" PRId64, v);
    return has ? buf : NULL;
}

static const char *opsets(const Onnx__ModelProto *p, char *buf, size_t size)
{
    size_t at = 0;
    if (size)
        buf[0] = 0;
    for (size_t i = 0; i < p->n_opset_import && at < size; i++) {
        const Onnx__OperatorSetIdProto *o = p->opset_import[i];
        int n = snprintf(buf + at, size - at, "%s%.64s %" PRId64, i ? ", " : "",
                         o->domain && *o->domain ? o->domain : "ai.onnx", o->version);
        at += n > 0 ? (size_t)n : 0;
    }
    return buf;
}

const char *onnx_metadata(const struct onnx_model *m, const char *key, char *buf, size_t size)
{
    const Onnx__ModelProto *p = m->proto;
    const struct {
        const char *key, *text;
    } rows[] = {{"producer", p->producer_name},
                {"producer_version", p->producer_version},
                {"domain", p->domain},
                {"doc", p->doc_string},
                {"graph", p->graph->name}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(key, rows[i].key))
            return rows[i].text && *rows[i].text ? rows[i].text : NULL;
    if (!strcmp(key, "ir_version"))
        return number(p->has_ir_version, p->ir_version, buf, size);
    if (!strcmp(key, "model_version"))
        return number(p->has_model_version, p->model_version, buf, size);
    if (!strcmp(key, "opset"))
        return opsets(p, buf, size);
    const char *own, *value;
    for (size_t i = 0; onnx_metadata_entry(m, i, &own, &value); i++)
        if (!strcmp(key, own))
            return value;
    return NULL;
}

bool onnx_metadata_entry(const struct onnx_model *m, size_t i, const char **key, const char **value)
{
    if (i >= m->proto->n_metadata_props)
        return false;
    const Onnx__StringStringEntryProto *entry = m->proto->metadata_props[i];
    *key = entry->key ? entry->key : "";
    *value = entry->value ? entry->value : "";
    return true;
}
