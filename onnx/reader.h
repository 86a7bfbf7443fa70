/* SPDX-License-Identifier: Apache-2.0 */
/* A model file opened: its bytes, its messages unpacked, the places of its tensors' elements.
 *
 * The file is mapped (or read, if asked) and goes through the wire pass; what that leaves is
 * unpacked by protobuf-c into an arena of limited size. Tensors are made later (onnx/tensor.h) and
 * hold the file themselves, so they may outlive the model. Closing frees everything else. Opening
 * is for one thread; the messages are read-only afterwards.
 */
#pragma once

#include "core/file.h"
#include "core/tensor.h"
#include "core/threads.h"
#include "onnx/onnx.pb-c.h"
#include "onnx/wire.h"

struct onnx_external;

/* Where tensors of a message take their elements from. */
struct onnx_source {
    struct budget *budget;
    struct file *file;   /* NULL: the caller's memory, which must stay as long as the tensors do */
    const uint8_t *data; /* the whole message */
    size_t size;
    struct wire_payload *payloads;
    size_t n_payloads;
    char *folder;        /* of external data; NULL: external data is refused */
    bool in_memory, allow_links;
    struct onnx_external *externals; /* opened so far */
    size_t n_externals;
    const struct stop *stop; /* the options' */
};

struct onnx_options {
    bool in_memory;     /* read files instead of mapping them */
    bool allow_links;   /* external data may be links that leave the folder */
    const char *folder; /* of external data; NULL: the model's own (none for a model in memory) */
    const struct stop *stop; /* polled by opening and import; NULL: nothing */
};

struct onnx_model {
    struct onnx_source source;
    struct budget limit; /* of the messages; a child of the source's */
    struct arena arena;  /* of the messages */
    const Onnx__ModelProto *proto; /* has a graph and a known IR version */
};

enum { ONNX_IR_MAX = 14 };

/* `o` may be NULL. */
struct onnx_model *onnx_open(struct budget *b, const char *path, const struct onnx_options *o,
                             struct err *e) WARN_UNUSED;
/* The bytes must stay until onnx_close and as long as any tensor made from the model. */
struct onnx_model *onnx_open_memory(struct budget *b, const void *data, size_t size,
                                    const struct onnx_options *o, struct err *e) WARN_UNUSED;
void onnx_close(struct onnx_model *m);

/* "producer", "producer_version", "domain", "doc", "graph", "ir_version", "model_version", "opset"
 * (as "ai.onnx 17, com.microsoft 1"), or a key of the model's own entries; NULL if absent. Numbers
 * are printed into buf. */
const char *onnx_metadata(const struct onnx_model *m, const char *key, char *buf, size_t size);
/* The i-th of the model's own entries; false past the end. */
bool onnx_metadata_entry(const struct onnx_model *m, size_t i, const char **key,
                         const char **value);

/* Give back the pages that a tensor's elements have in a mapped file (it can still be read). */
void onnx_release_pages(const struct tensor *t);

/* Reduce and unpack one message of this kind. The source is set up but for its folder; the message
 * lies in the arena, whose budget is `limit` (both initialised here, cleared by the caller on
 * success). */
int onnx_unpack(struct onnx_source *s, struct budget *limit, struct arena *arena, enum wire_msg msg,
                const ProtobufCMessageDescriptor *type, ProtobufCMessage **out,
                struct err *e) WARN_UNUSED;
void onnx_source_clear(struct onnx_source *s);
