/* SPDX-License-Identifier: Apache-2.0 */
/* Values: tensors, sequences, maps, and nothing (an absent optional).
 *
 * A tensor is a small descriptor, copied freely: type, dims, a pointer to contiguous row-major
 * elements, and the buffer that keeps them alive (NULL: borrowed from an arena, a mapping or the
 * caller, whose life must be longer). A buffer, sequence or map is reference-counted with atomics; the
 * descriptor itself belongs to one thread at a time. A string tensor's buffer keeps the buffers that
 * its bytes lie in, so moving string elements is copying struct str.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/dtype.h"
#include "core/err.h"
#include "core/mem.h"

enum { TENSOR_RANK_MAX = 12 };

/* Reference-counted storage. */
struct buffer {
    atomic_int refs;
    void *data;
    size_t bytes;
    void (*release)(struct buffer *b); /* frees data; NULL: data is mem_free'd */
    void *owner;                       /* release's own */
    struct buffer **keeps;             /* buffers that string elements point into */
    size_t n_keeps, cap_keeps;
    struct arena strings;              /* bytes of strings made for this buffer */
};

/* A buffer of `bytes` bytes counted in b, aligned to MEM_ALIGN, or NULL. */
struct buffer *buffer_new(struct budget *b, size_t bytes, struct err *e) WARN_UNUSED;
/* A buffer around memory that someone else made; release is called at the last unref. */
struct buffer *buffer_wrap(struct budget *b, void *data, size_t bytes,
                           void (*release)(struct buffer *), void *owner, struct err *e) WARN_UNUSED;
struct buffer *buffer_ref(struct buffer *b);
void buffer_unref(struct buffer *b); /* NULL is allowed */
/* `b` keeps `other` alive (once). */
int buffer_keep(struct buffer *b, struct buffer *other, struct err *e) WARN_UNUSED;

struct tensor {
    enum dtype dtype;
    int rank;
    int64_t dims[TENSOR_RANK_MAX];
    void *data;
    struct buffer *buffer;
};

/* Elements in dims[0..rank), 1 for rank 0; false on overflow of int64 or a negative dim. */
bool dims_count(const int64_t *dims, int rank, int64_t *count);
/* Elements and bytes of a tensor whose dims are known good (checked when it was made). */
int64_t tensor_count(const struct tensor *t);
size_t tensor_bytes(const struct tensor *t);
/* "float[2,3]" into buf, at most size bytes; returns buf. */
const char *tensor_describe(const struct tensor *t, char *buf, size_t size);
const char *dims_describe(const int64_t *dims, int rank, char *buf, size_t size);

/* A tensor with storage of its own (zeroed for strings only); sizes are checked: ERR_LIMIT. */
int tensor_new(struct tensor *t, struct budget *b, enum dtype dtype, int rank, const int64_t *dims,
               struct err *e) WARN_UNUSED;
/* The same elements in a buffer of their own; strings are copied too. */
int tensor_copy(struct tensor *out, const struct tensor *t, struct budget *b, struct err *e) WARN_UNUSED;
void tensor_ref(struct tensor *out, const struct tensor *t); /* out shares t's storage */
void tensor_clear(struct tensor *t);                        /* drops its reference, zeroes it */
/* Store a string (copied into the tensor's buffer) at element i of a string tensor. */
int tensor_set_str(struct tensor *t, int64_t i, const char *s, size_t n, struct err *e) WARN_UNUSED;

enum value_kind { VALUE_NONE, VALUE_TENSOR, VALUE_SEQUENCE, VALUE_MAP };

struct seq;
struct map;
struct value {
    enum value_kind kind;
    struct tensor tensor;
    union {
        struct seq *seq;
        struct map *map;
    };
};

/* A sequence's items are values of one kind; dtype is that of its tensors (DTYPE_NONE if unknown). */
struct seq {
    atomic_int refs;
    struct budget *budget;
    enum dtype dtype;
    size_t count, capacity;
    struct value *items;
};

/* A map: keys is a 1-D tensor of an integer type or strings, values a 1-D tensor or a sequence of as many. */
struct map {
    atomic_int refs;
    struct tensor keys;
    struct value values;
};

struct seq *seq_new(struct budget *b, enum dtype dtype, struct err *e) WARN_UNUSED;
/* A sequence with the same items (each shared), for edits while others hold `s`. */
struct seq *seq_clone(const struct seq *s, struct err *e) WARN_UNUSED;
/* Put a value (its reference is taken over, on failure, too) before position i (count appends); `s` must be
 * unshared. */
int seq_insert(struct seq *s, size_t i, struct value *v, struct err *e) WARN_UNUSED;
void seq_erase(struct seq *s, size_t i);
void seq_unref(struct seq *s);
struct map *map_new(struct budget *b, struct err *e) WARN_UNUSED;
void map_unref(struct map *m);

void value_ref(struct value *out, const struct value *v); /* out becomes a second holder */
void value_clear(struct value *v);
/* As value_ref, but a borrowed tensor is copied into storage of its own. */
int value_retain(struct value *out, const struct value *v, struct budget *b, struct err *e) WARN_UNUSED;
