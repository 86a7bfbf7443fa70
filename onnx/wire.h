/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of an ONNX message before they are unpacked: checked, and relieved of their payloads.
 *
 * A pass over the wire format follows the messages of onnx.proto and writes a reduced copy:
 * elements of tensors above WIRE_PAYLOAD_MIN bytes stay where they are (their place goes into a
 * table, its index into the private field of TensorProto), unknown fields are dropped. So what is
 * unpacked afterwards is small whatever the size of the model. What the unpacker could stumble over
 * is refused here, with its offset: bad varints and lengths, groups, field zero, NUL in names,
 * nesting without end. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/mem.h"

enum wire_msg {
    WIRE_NONE,
    WIRE_MODEL, WIRE_OPSET, WIRE_ENTRY, WIRE_GRAPH, WIRE_NODE, WIRE_ATTR, WIRE_TENSOR, WIRE_SEGMENT,
    WIRE_SPARSE, WIRE_ANNOTATION, WIRE_INFO, WIRE_SHAPE, WIRE_DIM, WIRE_TYPE, WIRE_TYPE_TENSOR,
    WIRE_TYPE_ELEM, WIRE_TYPE_MAP, WIRE_TYPE_OPAQUE, WIRE_FUNCTION, WIRE_SEQUENCE, WIRE_MAP,
    WIRE_OPTIONAL,
    WIRE_COUNT,
};

enum {
    WIRE_PAYLOAD_MIN = 256,
    WIRE_DEPTH_MAX = 220,       /* messages in messages */
    WIRE_GRAPH_DEPTH_MAX = 64,  /* graphs in graphs */
    WIRE_PAYLOAD_FIELD = 15000, /* TensorProto.payload */
};

struct wire_payload {
    size_t offset, size; /* in the bytes that were read */
    int field;           /* of TensorProto: 9 raw_data, 4 float_data, ... */
};

struct wire {
    uint8_t *data; /* the reduced message; mem_alloc'd */
    size_t size;
    struct wire_payload *payloads;
    size_t n_payloads, cap_payloads;
};

/* ERR_MODEL names the offset. On failure nothing is left to clear. */
int wire_reduce(struct wire *w, struct budget *b, enum wire_msg root, const uint8_t *data,
                size_t size, struct err *e) WARN_UNUSED;
void wire_clear(struct wire *w);

/* One varint at *at (before `size`): at most ten bytes, 64 bits. False if there is none. */
static inline bool wire_varint(const uint8_t *data, size_t size, size_t *at, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && *at < size; shift += 7) {
        uint8_t byte = data[(*at)++];
        if (shift == 63 && byte > 1)
            return false;
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *out = v;
            return true;
        }
    }
    return false;
}
