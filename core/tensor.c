/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tensor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- Buffers ---- */

struct buffer *buffer_wrap(struct budget *b, void *data, size_t bytes,
                           void (*release)(struct buffer *), void *owner, struct err *e)
{
    struct buffer *buffer = mem_alloc(b, sizeof *buffer, e);
    if (!buffer)
        return NULL;
    *buffer = (struct buffer){.data = data, .bytes = bytes, .release = release, .owner = owner};
    atomic_init(&buffer->refs, 1);
    arena_init(&buffer->strings, b);
    return buffer;
}

struct buffer *buffer_new(struct budget *b, size_t bytes, struct err *e)
{
    void *data = mem_alloc(b, bytes, e);
    if (!data)
        return NULL;
    struct buffer *buffer = buffer_wrap(b, data, bytes, NULL, NULL, e);
    if (!buffer)
        mem_free(data);
    return buffer;
}

/* A reference is only ever made from one that is held, so nothing needs ordering here. */
static void ref(atomic_int *refs)
{
    int before = atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

/* True if that was the last one; all that other holders did is then visible. */
static bool unref(atomic_int *refs)
{
    int before = atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel);
    assert(before > 0);
    return before == 1;
}

struct buffer *buffer_ref(struct buffer *b)
{
    if (b)
        ref(&b->refs);
    return b;
}

/* Drop a reference; a buffer that dies gives up its data and is put on the list of the dead, linked
 * through `owner`. */
static void drop(struct buffer *b, struct buffer **dead)
{
    if (!b || !unref(&b->refs))
        return;
    if (b->release)
        b->release(b);
    else
        mem_free(b->data);
    b->owner = *dead;
    *dead = b;
}

/* Buffers may keep each other in long chains (a loop that moves strings on), hence no recursion. */
void buffer_unref(struct buffer *b)
{
    struct buffer *dead = NULL;
    drop(b, &dead);
    while (dead) {
        struct buffer *d = dead;
        dead = d->owner;
        for (size_t i = 0; i < d->n_keeps; i++)
            drop(d->keeps[i], &dead);
        mem_free(d->keeps);
        arena_clear(&d->strings);
        mem_free(d);
    }
}

int buffer_keep(struct buffer *b, struct buffer *other, struct err *e)
{
    if (!other || other == b)
        return 0;
    for (size_t i = b->n_keeps; i > 0; i--)
        if (b->keeps[i - 1] == other)
            return 0;
    void *keeps = b->keeps;
    int rc = mem_grow(b->strings.budget, &keeps, b->n_keeps, &b->cap_keeps, sizeof *b->keeps, e);
    if (rc)
        return rc;
    b->keeps = keeps;
    b->keeps[b->n_keeps++] = buffer_ref(other);
    return 0;
}

/* ---- Dims ---- */

bool dims_count(const int64_t *dims, int rank, int64_t *count)
{
    int64_t n = 1;
    bool zero = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return false;
        zero |= dims[i] == 0;
    }
    for (int i = 0; i < rank && !zero; i++)
        if (__builtin_mul_overflow(n, dims[i], &n))
            return false;
    *count = zero ? 0 : n;
    return true;
}

int64_t tensor_count(const struct tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n = (int64_t)((uint64_t)n * (uint64_t)t->dims[i]); /* a 0 may follow a product that wraps */
    return n;
}

size_t tensor_bytes(const struct tensor *t)
{
    return (size_t)tensor_count(t) * dtype_size(t->dtype);
}

const char *dims_describe(const int64_t *dims, int rank, char *buf, size_t size)
{
    size_t at = 0;
    if (size)
        buf[0] = 0;
    for (int i = 0; i < rank && at < size; i++) {
        int n = snprintf(buf + at, size - at, i ? ",%lld" : "[%lld", (long long)dims[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    if (at < size)
        snprintf(buf + at, size - at, rank ? "]" : "[]");
    return buf;
}

const char *tensor_describe(const struct tensor *t, char *buf, size_t size)
{
    int n = snprintf(buf, size, "%s", dtype_name(t->dtype));
    if (n > 0 && (size_t)n < size)
        dims_describe(t->dims, t->rank, buf + n, size - n);
    return buf;
}

/* ---- Tensors ---- */

int tensor_new(struct tensor *t, struct budget *b, enum dtype dtype, int rank, const int64_t *dims,
               struct err *e)
{
    char text[256];
    int64_t count;
    size_t bytes;
    *t = (struct tensor){0};
    if (!dtype_valid(dtype))
        return err_set(e, ERR_INTERNAL, "a tensor of no element type (%d)", (int)dtype);
    if (rank < 0 || rank > TENSOR_RANK_MAX)
        return err_set(e, ERR_LIMIT, "a tensor of rank %d; at most %d is supported", rank,
                       TENSOR_RANK_MAX);
    if (!dims_count(dims, rank, &count) || !size_mul((size_t)count, dtype_size(dtype), &bytes) ||
        bytes > PTRDIFF_MAX)
        return err_set(e, ERR_LIMIT, "a tensor %s%s is larger than can be addressed",
                       dtype_name(dtype), dims_describe(dims, rank, text, sizeof text));
    t->buffer = buffer_new(b, bytes, e);
    if (!t->buffer) {
        int code = e && e->code ? e->code : ERR_MEMORY;
        return err_at(e, code, "a tensor %s%s", dtype_name(dtype),
                      dims_describe(dims, rank, text, sizeof text));
    }
    t->dtype = dtype;
    t->rank = rank;
    if (rank)
        memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    t->data = t->buffer->data;
    if (dtype == DTYPE_STRING)
        memset(t->data, 0, bytes);
    return 0;
}

/* All bytes of n strings in one piece of the arena, and the strings that point there. */
static int copy_strings(struct arena *a, struct str *out, const struct str *in, size_t n,
                        struct err *e)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        if (!size_add(total, in[i].size, &total))
            return err_set(e, ERR_LIMIT, "%zu strings are longer than can be addressed", n);
    char *at = total ? arena_alloc(a, total, e) : "";
    if (!at)
        return e && e->code ? e->code : ERR_MEMORY;
    for (size_t i = 0; i < n; i++) {
        if (in[i].size)
            memcpy(at, in[i].data, in[i].size);
        out[i] = (struct str){at, in[i].size};
        at += in[i].size;
    }
    return 0;
}

int tensor_copy(struct tensor *out, const struct tensor *t, struct budget *b, struct err *e)
{
    struct tensor copy;
    int rc = tensor_new(&copy, b, t->dtype, t->rank, t->dims, e);
    if (rc)
        return rc;
    size_t bytes = tensor_bytes(t);
    if (t->dtype == DTYPE_STRING)
        rc = copy_strings(&copy.buffer->strings, copy.data, t->data, bytes / sizeof(struct str), e);
    else if (bytes)
        memcpy(copy.data, t->data, bytes);
    if (rc) {
        tensor_clear(&copy);
        return rc;
    }
    *out = copy;
    return 0;
}

void tensor_ref(struct tensor *out, const struct tensor *t)
{
    *out = *t;
    buffer_ref(out->buffer);
}

void tensor_clear(struct tensor *t)
{
    buffer_unref(t->buffer);
    *t = (struct tensor){0};
}

int tensor_set_str(struct tensor *t, int64_t i, const char *s, size_t n, struct err *e)
{
    assert(t->dtype == DTYPE_STRING && t->buffer && i >= 0 && i < tensor_count(t));
    char *copy = n ? arena_alloc(&t->buffer->strings, n, e) : "";
    if (!copy)
        return e && e->code ? e->code : ERR_MEMORY;
    if (n)
        memcpy(copy, s, n);
    ((struct str *)t->data)[i] = (struct str){copy, n};
    return 0;
}

/* ---- Sequences and maps ---- */

struct seq *seq_new(struct budget *b, enum dtype dtype, struct err *e)
{
    struct seq *s = mem_alloc(b, sizeof *s, e);
    if (!s)
        return NULL;
    *s = (struct seq){.budget = b, .dtype = dtype};
    atomic_init(&s->refs, 1);
    return s;
}

struct seq *seq_clone(const struct seq *s, struct err *e)
{
    struct seq *copy = seq_new(s->budget, s->dtype, e);
    if (!copy || s->count == 0)
        return copy;
    copy->items = mem_calloc(s->budget, s->count, sizeof *s->items, e);
    if (!copy->items) {
        seq_unref(copy);
        return NULL;
    }
    copy->capacity = s->count;
    for (; copy->count < s->count; copy->count++)
        value_ref(&copy->items[copy->count], &s->items[copy->count]);
    return copy;
}

int seq_insert(struct seq *s, size_t i, struct value *v, struct err *e)
{
    assert(atomic_load(&s->refs) == 1 && i <= s->count);
    void *items = s->items;
    int rc = mem_grow(s->budget, &items, s->count, &s->capacity, sizeof *s->items, e);
    if (rc) {
        value_clear(v);
        return rc;
    }
    s->items = items;
    memmove(&s->items[i + 1], &s->items[i], (s->count - i) * sizeof *s->items);
    s->items[i] = *v;
    s->count++;
    *v = (struct value){0};
    return 0;
}

void seq_erase(struct seq *s, size_t i)
{
    assert(atomic_load(&s->refs) == 1 && i < s->count);
    value_clear(&s->items[i]);
    s->count--;
    memmove(&s->items[i], &s->items[i + 1], (s->count - i) * sizeof *s->items);
}

void seq_unref(struct seq *s)
{
    if (!s || !unref(&s->refs))
        return;
    for (size_t i = 0; i < s->count; i++)
        value_clear(&s->items[i]);
    mem_free(s->items);
    mem_free(s);
}

struct map *map_new(struct budget *b, struct err *e)
{
    struct map *m = mem_calloc(b, 1, sizeof *m, e);
    if (m)
        atomic_init(&m->refs, 1);
    return m;
}

void map_unref(struct map *m)
{
    if (!m || !unref(&m->refs))
        return;
    tensor_clear(&m->keys);
    value_clear(&m->values);
    mem_free(m);
}

/* ---- Values ---- */

void value_ref(struct value *out, const struct value *v)
{
    *out = *v;
    if (v->kind == VALUE_TENSOR)
        buffer_ref(v->tensor.buffer);
    else if (v->kind == VALUE_SEQUENCE)
        ref(&v->seq->refs);
    else if (v->kind == VALUE_MAP)
        ref(&v->map->refs);
}

void value_clear(struct value *v)
{
    if (v->kind == VALUE_TENSOR)
        tensor_clear(&v->tensor);
    else if (v->kind == VALUE_SEQUENCE)
        seq_unref(v->seq);
    else if (v->kind == VALUE_MAP)
        map_unref(v->map);
    *v = (struct value){0};
}

int value_retain(struct value *out, const struct value *v, struct budget *b, struct err *e)
{
    if (v->kind != VALUE_TENSOR || v->tensor.buffer) {
        value_ref(out, v);
        return 0;
    }
    struct value copy = {.kind = VALUE_TENSOR};
    int rc = tensor_copy(&copy.tensor, &v->tensor, b, e);
    if (!rc)
        *out = copy;
    return rc;
}
