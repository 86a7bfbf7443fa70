/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX messages for tests, written field by field, so that wrong ones can be written too. Field
 * numbers are those of onnx/onnx.proto. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *data;
    size_t n, capacity;
};

static inline void bytes_raw(struct bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->capacity) {
        b->capacity = 2 * (b->n + n) + 64;
        b->data = realloc(b->data, b->capacity);
        if (!b->data)
            abort();
    }
    if (n)
        memcpy(b->data + b->n, p, n);
    b->n += n;
}

static inline void bytes_varint(struct bytes *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        bytes_raw(b, &(uint8_t){(uint8_t)(v | 128)}, 1);
    bytes_raw(b, &(uint8_t){(uint8_t)v}, 1);
}

static inline void bytes_int(struct bytes *b, int field, int64_t v)
{
    bytes_varint(b, (uint64_t)field << 3);
    bytes_varint(b, (uint64_t)v);
}

static inline void bytes_data(struct bytes *b, int field, const void *p, size_t n)
{
    bytes_varint(b, (uint64_t)field << 3 | 2);
    bytes_varint(b, n);
    bytes_raw(b, p, n);
}

static inline void bytes_text(struct bytes *b, int field, const char *s)
{
    bytes_data(b, field, s, strlen(s));
}

static inline void bytes_float(struct bytes *b, int field, float f)
{
    bytes_varint(b, (uint64_t)field << 3 | 5);
    bytes_raw(b, &f, 4);
}

/* Append a message as a field and free it. */
static inline void bytes_sub(struct bytes *b, int field, struct bytes sub)
{
    bytes_data(b, field, sub.data, sub.n);
    free(sub.data);
}

/* ---- parts of models ----------------------------------------------------------------------- */

static inline struct bytes tensor_bytes_of(const char *name, int type, int rank,
                                           const int64_t *dims, const void *raw, size_t size)
{
    struct bytes t = {0};
    for (int i = 0; i < rank; i++)
        bytes_int(&t, 1, dims[i]);
    bytes_int(&t, 2, type);
    if (name)
        bytes_text(&t, 8, name);
    if (raw)
        bytes_data(&t, 9, raw, size);
    return t;
}

/* ValueInfoProto of a tensor; a dim below 0 is the symbol "n". */
static inline struct bytes info_bytes(const char *name, int type, int rank, const int64_t *dims)
{
    struct bytes shape = {0}, tensor = {0}, tp = {0}, info = {0};
    for (int i = 0; i < rank; i++) {
        struct bytes dim = {0};
        if (dims[i] < 0)
            bytes_text(&dim, 2, "n");
        else
            bytes_int(&dim, 1, dims[i]);
        bytes_sub(&shape, 1, dim);
    }
    bytes_int(&tensor, 1, type);
    bytes_sub(&tensor, 2, shape);
    bytes_sub(&tp, 1, tensor);
    bytes_text(&info, 1, name);
    bytes_sub(&info, 2, tp);
    return info;
}

/* A node without attributes; lists of names end with NULL. */
static inline struct bytes node_bytes(const char *type, const char *domain, const char *const *in,
                                      const char *const *out)
{
    struct bytes n = {0};
    for (; *in; in++)
        bytes_text(&n, 1, *in);
    for (; *out; out++)
        bytes_text(&n, 2, *out);
    bytes_text(&n, 4, type);
    if (domain)
        bytes_text(&n, 7, domain);
    return n;
}
#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_NAMES ((const char *const[]){NULL})

static inline struct bytes attr_int_bytes(const char *name, int64_t v)
{
    struct bytes a = {0};
    bytes_text(&a, 1, name);
    bytes_int(&a, 3, v);
    bytes_int(&a, 20, 2);
    return a;
}

static inline struct bytes opset_bytes(const char *domain, int64_t version)
{
    struct bytes o = {0};
    bytes_text(&o, 1, domain);
    bytes_int(&o, 2, version);
    return o;
}

/* A model around a graph, of IR version 8 and this opset. */
static inline struct bytes model_bytes(struct bytes graph, int64_t opset)
{
    struct bytes m = {0};
    bytes_int(&m, 1, 8);
    bytes_sub(&m, 8, opset_bytes("", opset));
    bytes_sub(&m, 7, graph);
    return m;
}
