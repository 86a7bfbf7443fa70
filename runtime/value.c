/* SPDX-License-Identifier: Apache-2.0 */
/* The public face of values, and their files. */
#include <string.h>

#include "core/file.h"
#include "core/knobs.h"
#include "onnx/data.h"
#include "onnx/npy.h"
#include "runtime/model.h"

static struct infer_value *value_new(struct err *e)
{
    return mem_calloc(budget_process(), 1, sizeof(struct infer_value), e);
}

static int check_type(int type, int rank, const int64_t *dims, struct err *e)
{
    int64_t count;
    if (!dtype_valid(type))
        return err_set(e, ERR_USAGE, "element type %d is not one of ONNX's", type);
    if (rank < 0 || rank > TENSOR_RANK_MAX)
        return err_set(e, ERR_USAGE, "rank %d is outside 0 to %d", rank, TENSOR_RANK_MAX);
    if (!dims_count(dims, rank, &count))
        return err_set(e, ERR_USAGE, "a dim is negative or there are too many elements");
    return 0;
}

struct infer_value *infer_value_new(int type, int rank, const int64_t *dims, struct infer_error *error)
{
    struct err *e = to_err(error);
    if (check_type(type, rank, dims, e) < 0)
        return NULL;
    struct infer_value *v = value_new(e);
    if (!v)
        return NULL;
    v->value.kind = VALUE_TENSOR;
    if (tensor_new(&v->value.tensor, budget_process(), (enum dtype)type, rank, dims, e) < 0) {
        mem_free(v);
        return NULL;
    }
    memset(v->value.tensor.data, 0, tensor_bytes(&v->value.tensor));
    return v;
}

struct wrapped {
    void (*release)(void *arg);
    void *arg;
};

static void release_wrapped(struct buffer *b)
{
    struct wrapped *w = b->owner;
    if (w->release)
        w->release(w->arg);
    mem_free(w);
}

struct infer_value *infer_value_wrap(int type, int rank, const int64_t *dims, void *data, size_t bytes,
                                     void (*release)(void *arg), void *arg, struct infer_error *error)
{
    struct err *e = to_err(error);
    if (check_type(type, rank, dims, e) < 0)
        return NULL;
    struct tensor t = {.dtype = (enum dtype)type, .rank = rank, .data = data};
    if (rank)
        memcpy(t.dims, dims, (size_t)rank * sizeof(*dims));
    if (type == DTYPE_STRING || tensor_bytes(&t) != bytes) {
        char text[160];
        err_set(e, ERR_USAGE, "%s takes %zu bytes, got %zu", tensor_describe(&t, text, sizeof(text)),
                type == DTYPE_STRING ? 0 : tensor_bytes(&t), bytes);
        return NULL;
    }
    struct infer_value *v = value_new(e);
    struct wrapped *w = mem_calloc(budget_process(), 1, sizeof(*w), e);
    if (v && w) {
        *w = (struct wrapped){release, arg};
        t.buffer = buffer_wrap(budget_process(), data, bytes, release_wrapped, w, e);
    }
    if (!t.buffer) {
        mem_free(v);
        mem_free(w);
        return NULL;
    }
    v->value.kind = VALUE_TENSOR;
    v->value.tensor = t;
    return v;
}

struct infer_value *infer_value_none(struct infer_error *error)
{
    return value_new(to_err(error));
}

struct infer_value *infer_value_sequence(int type, struct infer_error *error)
{
    struct err *e = to_err(error);
    if (type && !dtype_valid(type)) {
        err_set(e, ERR_USAGE, "element type %d is not one of ONNX's", type);
        return NULL;
    }
    struct infer_value *v = value_new(e);
    if (!v)
        return NULL;
    v->value.kind = VALUE_SEQUENCE;
    v->value.seq = seq_new(budget_process(), (enum dtype)type, e);
    if (!v->value.seq) {
        mem_free(v);
        return NULL;
    }
    return v;
}

/* Items are of one kind, and tensors of one type. */
static bool fits(const struct seq *s, const struct value *item)
{
    if (item->kind == VALUE_NONE || (s->count && item->kind != s->items[0].kind))
        return false;
    return s->dtype == DTYPE_NONE || (item->kind == VALUE_TENSOR && item->tensor.dtype == s->dtype);
}

int infer_value_append(struct infer_value *sequence, const struct infer_value *item,
                       struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    if (sequence->value.kind != VALUE_SEQUENCE)
        return err_set(e, ERR_USAGE, "the value is not a sequence");
    struct seq *s = sequence->value.seq;
    if (!fits(s, &item->value))
        return err_set(e, ERR_USAGE, "a sequence of %s%s cannot take another kind of value",
                       s->dtype ? dtype_name(s->dtype) : "values", s->dtype ? " tensors" : " of one kind");
    struct value v = {0};
    int rc = value_retain(&v, &item->value, budget_process(), e);
    if (rc == 0 && atomic_load(&s->refs) > 1) { /* other holders keep what they have */
        s = seq_clone(s, e);
        if (!s) {
            value_clear(&v);
            return e->code;
        }
        seq_unref(sequence->value.seq);
        sequence->value.seq = s;
    }
    enum dtype dtype = v.kind == VALUE_TENSOR ? v.tensor.dtype : DTYPE_NONE;
    rc = rc < 0 ? rc : seq_insert(s, s->count, &v, e);
    if (rc == 0)
        s->dtype = dtype;
    return rc;
}

/* Has the second part of a map as many values as there are keys? */
static bool as_many(const struct value *v, int64_t n)
{
    return v->kind == VALUE_TENSOR ? v->tensor.rank == 1 && v->tensor.dims[0] == n
                                   : v->kind == VALUE_SEQUENCE && v->seq->count == (size_t)n;
}

struct infer_value *infer_value_map(const struct infer_value *keys, const struct infer_value *values,
                                    struct infer_error *error)
{
    struct err *e = to_err(error);
    const struct tensor *k = &keys->value.tensor;
    if (keys->value.kind != VALUE_TENSOR || k->rank != 1 ||
        (k->dtype != DTYPE_STRING && !dtype_is_int(k->dtype)) || !as_many(&values->value, k->dims[0])) {
        err_set(e, ERR_USAGE, "a map takes a 1-D tensor of integers or strings, and as many values");
        return NULL;
    }
    struct value kept = {0};
    struct infer_value *v = value_new(e);
    struct map *m = v ? map_new(budget_process(), e) : NULL;
    if (m && value_retain(&kept, &keys->value, budget_process(), e) == 0) {
        m->keys = kept.tensor;
        if (value_retain(&m->values, &values->value, budget_process(), e) == 0) {
            v->value = (struct value){.kind = VALUE_MAP, .map = m};
            return v;
        }
    }
    map_unref(m);
    mem_free(v);
    return NULL;
}

void infer_value_free(struct infer_value *v)
{
    if (v) {
        value_clear(&v->value);
        mem_free(v);
    }
}

enum infer_kind infer_value_kind(const struct infer_value *v)
{
    return (enum infer_kind)v->value.kind;
}

int infer_value_type(const struct infer_value *v)
{
    return v->value.kind == VALUE_TENSOR     ? (int)v->value.tensor.dtype
           : v->value.kind == VALUE_SEQUENCE ? (int)v->value.seq->dtype
                                             : 0;
}

int infer_value_rank(const struct infer_value *v)
{
    return v->value.kind == VALUE_TENSOR ? v->value.tensor.rank : 0;
}

const int64_t *infer_value_dims(const struct infer_value *v)
{
    return v->value.tensor.dims;
}

int64_t infer_value_count(const struct infer_value *v)
{
    switch (v->value.kind) {
    case VALUE_TENSOR:
        return tensor_count(&v->value.tensor);
    case VALUE_SEQUENCE:
        return (int64_t)v->value.seq->count;
    case VALUE_MAP:
        return tensor_count(&v->value.map->keys);
    default:
        return 0;
    }
}

void *infer_value_data(const struct infer_value *v)
{
    return v->value.kind == VALUE_TENSOR && v->value.tensor.dtype != DTYPE_STRING ? v->value.tensor.data
                                                                                 : NULL;
}

size_t infer_value_bytes(const struct infer_value *v)
{
    return infer_value_data(v) ? tensor_bytes(&v->value.tensor) : 0;
}

struct infer_value *infer_value_item(const struct infer_value *v, int64_t i, struct infer_error *error)
{
    struct err *e = to_err(error);
    bool map = v->value.kind == VALUE_MAP;
    int64_t n = map ? 2 : v->value.kind == VALUE_SEQUENCE ? (int64_t)v->value.seq->count : 0;
    if (i < 0 || i >= n) {
        err_set(e, ERR_USAGE, "item %lld of %lld", (long long)i, (long long)n);
        return NULL;
    }
    struct infer_value *out = value_new(e);
    if (!out)
        return NULL;
    struct value keys = {.kind = VALUE_TENSOR};
    if (map && i == 0)
        keys.tensor = v->value.map->keys;
    value_ref(&out->value, !map ? &v->value.seq->items[i] : i == 0 ? &keys : &v->value.map->values);
    return out;
}

const char *infer_value_string(const struct infer_value *v, int64_t i, size_t *size)
{
    if (v->value.kind != VALUE_TENSOR || v->value.tensor.dtype != DTYPE_STRING || i < 0 ||
        i >= tensor_count(&v->value.tensor)) {
        *size = 0;
        return NULL;
    }
    const struct str *s = (const struct str *)v->value.tensor.data + i;
    *size = s->size;
    return s->data ? s->data : "";
}

int infer_value_set_string(struct infer_value *v, int64_t i, const char *s, size_t size,
                           struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    if (v->value.kind != VALUE_TENSOR || v->value.tensor.dtype != DTYPE_STRING || i < 0 ||
        i >= tensor_count(&v->value.tensor))
        return err_set(e, ERR_USAGE, "no string at element %lld", (long long)i);
    return tensor_set_str(&v->value.tensor, i, s, size, e);
}

/* ---- files --------------------------------------------------------------------------------------- */

static bool path_ends(const char *path, const char *end)
{
    size_t n = strlen(path), k = strlen(end);
    return n >= k && strcmp(path + n - k, end) == 0;
}

static struct infer_value *read_bytes(const struct file *f, const char *name, char *name_out,
                                      size_t name_size, struct err *e)
{
    struct infer_value *v = value_new(e);
    struct budget *b = budget_process();
    int rc = v ? 0 : ERR_MEMORY;
    if (name_size)
        *name_out = 0;
    if (rc == 0 && npy_known(f->data, f->size)) {
        v->value.kind = VALUE_TENSOR;
        rc = npy_parse(&v->value.tensor, b, f->data, f->size, e);
    } else if (rc == 0 && npz_known(f->data, f->size)) {
        char first[256], second[256];
        bool one = npz_name(f->data, f->size, 0, first, sizeof(first)) &&
                   !npz_name(f->data, f->size, 1, second, sizeof(second));
        v->value.kind = VALUE_TENSOR;
        rc = npz_parse(&v->value.tensor, b, f->data, f->size, one ? NULL : name, e);
    } else if (rc == 0) {
        rc = data_parse(&v->value, b, f->data, f->size, DATA_GUESS, name_out, name_size, e);
    }
    if (rc < 0) {
        mem_free(v);
        return NULL;
    }
    return v;
}

struct infer_value *infer_value_read(const char *path, const char *name, char *name_out, size_t name_size,
                                     struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    struct file *f = file_open(budget_process(), path, false, e);
    if (!f)
        return NULL;
    struct infer_value *v = read_bytes(f, name, name_out, name_size, e);
    file_unref(f);
    if (!v)
        err_at(e, e->code, "%.200s", path);
    return v;
}

/* Was it an optional's message that was read? It could be the bare value's: of a tensor no more than its
 * type may have been understood, of a sequence that it has a tensor. */
static bool is_optional(const struct infer_port *p, const struct value *v, int rc)
{
    if (rc < 0)
        return false;
    return v->kind == VALUE_NONE ? p->kind != INFER_TENSOR : (enum infer_kind)v->kind == p->kind;
}

struct infer_value *infer_value_read_for(const struct infer_port *p, const char *path, char *name_out,
                                         size_t name_size, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    enum data_message as = p->kind == INFER_SEQUENCE ? DATA_SEQUENCE
                           : p->kind == INFER_MAP    ? DATA_MAP
                                                     : DATA_TENSOR;
    struct infer_value *v = value_new(e);
    if (!v)
        return NULL;
    int rc = data_read(&v->value, budget_process(), path, p->optional ? DATA_OPTIONAL : as, name_out,
                       name_size, e);
    if (p->optional && !is_optional(p, &v->value, rc)) {
        struct value bare;
        if (data_read(&bare, budget_process(), path, as, name_out, name_size, NULL) == 0) {
            value_clear(&v->value);
            v->value = bare;
            rc = 0;
        }
    }
    if (rc < 0) {
        mem_free(v);
        return NULL;
    }
    return v;
}

int infer_value_write(const struct infer_value *v, const char *name, const char *path,
                      struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    if (path_ends(path, ".pb"))
        return data_write(&v->value, name, false, path, e);
    if (!path_ends(path, ".npy"))
        return err_set(e, ERR_USAGE, "'%.200s': expected a name that ends in .npy or .pb", path);
    if (v->value.kind != VALUE_TENSOR)
        return err_set(e, ERR_USAGE, "'%.200s': only a tensor fits into .npy", path);
    return npy_write(&v->value.tensor, path, e);
}

int infer_value_write_for(const struct infer_port *p, const struct infer_value *v, const char *path,
                          struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    if (!path_ends(path, ".pb"))
        return infer_value_write(v, p->name, path, error);
    return data_write(&v->value, p->name, p->optional, path, e);
}
