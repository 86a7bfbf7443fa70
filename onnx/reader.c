/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/knobs.h"
#include "onnx/tensor.h"

/* ---- unpacking -------------------------------------------------------------------------------- */

/* What protobuf-c allocates while it unpacks, all in one arena. It reports no reasons: the first one is
 * kept here. */
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

/* Bytes of unpacked messages, for each reduced byte. An empty message is the worst: two bytes become
 * some three hundred; real models stay below a tenth of that. */
enum { UNPACKED_RATIO = 64, UNPACKED_MIN = 1 << 20 };

int onnx_unpack(struct onnx_source *s, struct budget *limit, struct arena *arena, enum wire_msg msg,
                const ProtobufCMessageDescriptor *type, ProtobufCMessage **out, struct err *e)
{
    struct wire w;
    struct err local = {0};
    int rc = wire_reduce(&w, s->budget, msg, s->data, s->size, e);
    if (rc)
        return rc;
    budget_init(limit, w.size * UNPACKED_RATIO + UNPACKED_MIN, s->budget ? s->budget : budget_process());
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

/* ---- opening ---------------------------------------------------------------------------------- */

static void print_numbers(struct onnx_model *m)
{
    const Onnx__ModelProto *p = m->proto;
    size_t at = 0;
    snprintf(m->ir_version, sizeof m->ir_version, "%" PRId64, p->ir_version);
    snprintf(m->model_version, sizeof m->model_version, "%" PRId64, p->model_version);
    for (size_t i = 0; i < p->n_opset_import && at < sizeof m->opsets; i++) {
        const Onnx__OperatorSetIdProto *o = p->opset_import[i];
        int n = snprintf(m->opsets + at, sizeof m->opsets - at, "%s%.64s %" PRId64, i ? ", " : "",
                         o->domain && *o->domain ? o->domain : "ai.onnx", o->version);
        at += n > 0 ? (size_t)n : 0;
    }
}

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
        return err_set(e, ERR_UNSUPPORTED, "IR version %" PRId64 "; %d is the newest that is supported",
                       p->ir_version, ONNX_IR_MAX);
    return 0;
}

static int load(struct onnx_model *m, struct err *e)
{
    struct onnx_source *s = &m->source;
    ProtobufCMessage *message;
    int64_t links;
    int rc = knob_int(KNOB_LINKS, 0, 1, &links, e);
    if (rc)
        return rc;
    s->allow_links = links;
    if (!s->size)
        return err_set(e, ERR_MODEL, "the file is empty");
    rc = onnx_unpack(s, &m->limit, &m->arena, WIRE_MODEL, &onnx__model_proto__descriptor, &message, e);
    if (rc)
        return rc;
    m->proto = (const Onnx__ModelProto *)message;
    rc = check(m, e);
    if (!rc)
        print_numbers(m);
    return rc;
}

struct onnx_model *onnx_open(struct budget *b, const char *path, bool in_memory, struct err *e)
{
    struct onnx_model *m = mem_calloc(b, 1, sizeof *m, e);
    if (!m)
        return NULL;
    struct onnx_source *s = &m->source;
    s->budget = b;
    s->in_memory = in_memory;
    s->file = file_open(b, path, in_memory, e);
    if (s->file) {
        s->data = s->file->data;
        s->size = s->file->size;
        s->folder = file_folder(b, path, e);
    }
    if (s->folder && !load(m, e))
        return m;
    onnx_close(m);
    return NULL;
}

struct onnx_model *onnx_open_memory(struct budget *b, const void *data, size_t size, const char *folder,
                                    struct err *e)
{
    struct onnx_model *m = mem_calloc(b, 1, sizeof *m, e);
    if (!m)
        return NULL;
    struct onnx_source *s = &m->source;
    s->budget = b;
    s->data = data;
    s->size = size;
    if (folder)
        s->folder = mem_strndup(b, folder, strlen(folder), e);
    if ((!folder || s->folder) && !load(m, e))
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

/* ---- metadata --------------------------------------------------------------------------------- */

const char *onnx_metadata(const struct onnx_model *m, const char *key, int i)
{
    const Onnx__ModelProto *p = m->proto;
    const struct {
        const char *key, *text;
    } rows[] = {
        {"producer", p->producer_name}, {"producer_version", p->producer_version},
        {"domain", p->domain},          {"doc", p->doc_string},
        {"graph", p->graph->name},      {"ir_version", m->ir_version},
        {"opset", m->opsets},           {"model_version", p->has_model_version ? m->model_version : ""},
    };
    size_t n = p->n_metadata_props;
    if (!key)
        return i >= 0 && (size_t)i < n && p->metadata_props[i]->key ? p->metadata_props[i]->key : NULL;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        if (!strcmp(key, rows[k].key))
            return rows[k].text && *rows[k].text ? rows[k].text : NULL;
    for (size_t k = 0; k < n; k++)
        if (p->metadata_props[k]->key && !strcmp(key, p->metadata_props[k]->key))
            return p->metadata_props[k]->value ? p->metadata_props[k]->value : "";
    return NULL;
}
