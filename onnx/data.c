/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/data.h"

#include <stdio.h>
#include <string.h>

#include "onnx/tensor.h"

/* elem_type of SequenceProto and OptionalProto. */
enum { ELEM_NONE, ELEM_TENSOR, ELEM_SPARSE, ELEM_SEQUENCE, ELEM_MAP, ELEM_OPTIONAL };

enum { DATA_DEPTH_MAX = 32 };

struct reader {
    struct onnx_source *source;
    int depth;
};

static int code_of(const struct err *e)
{
    return e && e->code ? e->code : ERR_MEMORY;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int read_seq(struct reader *r, const Onnx__SequenceProto *p, struct value *out,
                    struct err *e);
static int read_map(struct reader *r, const Onnx__MapProto *p, struct value *out, struct err *e);
static int read_optional(struct reader *r, const Onnx__OptionalProto *p, struct value *out,
                         struct err *e);

static int read_tensor(struct reader *r, const Onnx__TensorProto *p, struct value *out,
                       struct err *e)
{
    *out = (struct value){.kind = VALUE_TENSOR};
    int rc = onnx_tensor_read(r->source, p, &out->tensor, e);
    if (rc)
        *out = (struct value){0};
    return rc;
}

static int read_sparse(struct reader *r, const Onnx__SparseTensorProto *p, struct value *out,
                       struct err *e)
{
    *out = (struct value){.kind = VALUE_TENSOR};
    int rc = onnx_sparse_read(r->source, p, &out->tensor, e);
    if (rc)
        *out = (struct value){0};
    return rc;
}

/* Item i of a sequence, by the kind that it says it has. */
static int read_item(struct reader *r, const Onnx__SequenceProto *p, size_t i, struct value *out,
                     struct err *e)
{
    switch (p->elem_type) {
    case ELEM_TENSOR:
        return read_tensor(r, p->tensor_values[i], out, e);
    case ELEM_SPARSE:
        return read_sparse(r, p->sparse_tensor_values[i], out, e);
    case ELEM_SEQUENCE:
        return read_seq(r, p->sequence_values[i], out, e);
    case ELEM_MAP:
        return read_map(r, p->map_values[i], out, e);
    default:
        return read_optional(r, p->optional_values[i], out, e);
    }
}

/* Items there are, or SIZE_MAX if they are of another kind than the sequence says. */
static size_t count_items(const Onnx__SequenceProto *p)
{
    const size_t counts[] = {0, p->n_tensor_values, p->n_sparse_tensor_values, p->n_sequence_values,
                             p->n_map_values, p->n_optional_values};
    size_t all = 0;
    if (p->elem_type < 0 || p->elem_type > ELEM_OPTIONAL)
        return SIZE_MAX;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        all += counts[i];
    return all == counts[p->elem_type] ? all : SIZE_MAX;
}

static int read_items(struct reader *r, const Onnx__SequenceProto *p, size_t n, struct seq *s,
                      struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        struct value item = {0};
        int rc = read_item(r, p, i, &item, e);
        if (!rc && item.kind == VALUE_TENSOR)
            s->dtype = item.tensor.dtype;
        rc = rc ? rc : seq_insert(s, s->count, &item, e);
        if (rc) {
            value_clear(&item);
            return rc;
        }
    }
    return 0;
}

static int read_seq(struct reader *r, const Onnx__SequenceProto *p, struct value *out,
                    struct err *e)
{
    *out = (struct value){0};
    size_t n = count_items(p);
    if (n == SIZE_MAX)
        return err_set(e, ERR_MODEL, "a sequence with items of another kind than %d",
                       (int)p->elem_type);
    if (r->depth >= DATA_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "values nested deeper than %d", DATA_DEPTH_MAX);
    struct seq *s = seq_new(r->source->budget, DTYPE_NONE, e);
    if (!s)
        return code_of(e);
    r->depth++;
    int rc = read_items(r, p, n, s, e);
    r->depth--;
    if (rc)
        seq_unref(s);
    else
        *out = (struct value){.kind = VALUE_SEQUENCE, .seq = s};
    return rc;
}

static int read_keys(struct reader *r, const Onnx__MapProto *p, struct tensor *t, struct err *e)
{
    bool strings = p->key_type == DTYPE_STRING;
    int64_t n = (int64_t)(strings ? p->n_string_keys : p->n_keys);
    if (!dtype_valid(p->key_type) || (!strings && !dtype_is_int((enum dtype)p->key_type)) ||
        (strings ? p->n_keys : p->n_string_keys))
        return err_set(e, ERR_MODEL, "a map with keys of type %d", (int)p->key_type);
    int rc = tensor_new(t, r->source->budget, (enum dtype)p->key_type, 1, &n, e);
    for (int64_t i = 0; i < n && !rc; i++) {
        if (strings)
            rc = tensor_set_str(t, i, (const char *)p->string_keys[i].data, p->string_keys[i].len,
                                e);
        else
            dtype_store_i64(t->dtype, (char *)t->data + (size_t)i * dtype_size(t->dtype),
                            p->keys[i]);
    }
    return rc;
}

/* One-element tensors of one type, in a row: the form in which some writers give a map's values. */
static int join(struct budget *b, const struct seq *s, struct tensor *t, struct err *e)
{
    int64_t n = (int64_t)s->count;
    size_t size = dtype_size(s->items[0].tensor.dtype);
    int rc = tensor_new(t, b, s->items[0].tensor.dtype, 1, &n, e);
    for (int64_t i = 0; i < n && !rc; i++) {
        const struct tensor *x = &s->items[i].tensor;
        const struct str *str = x->data;
        if (t->dtype == DTYPE_STRING)
            rc = tensor_set_str(t, i, str->data, str->size, e);
        else
            memcpy((char *)t->data + (size_t)i * size, x->data, size);
    }
    if (rc)
        tensor_clear(t);
    return rc;
}

static bool scalars(const struct seq *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct value *v = &s->items[i];
        if (v->kind != VALUE_TENSOR || v->tensor.dtype != s->items[0].tensor.dtype ||
            tensor_count(&v->tensor) != 1 || v->tensor.rank > 1)
            return false;
    }
    return s->count > 0;
}

/* The values as one 1-D tensor where they are numbers or strings, else as a sequence. */
static int set_values(struct reader *r, struct map *m, struct value *values, struct err *e)
{
    int64_t n = tensor_count(&m->keys);
    struct seq *s = values->seq;
    if (s->count == 1 && s->items[0].kind == VALUE_TENSOR && s->items[0].tensor.rank == 1 &&
        s->items[0].tensor.dims[0] == n) {
        value_ref(&m->values, &s->items[0]);
        value_clear(values);
        return 0;
    }
    if (s->count != (size_t)n)
        return err_set(e, ERR_MODEL, "a map with %lld keys and %zu values", (long long)n, s->count);
    if (scalars(s)) {
        m->values = (struct value){.kind = VALUE_TENSOR};
        int rc = join(r->source->budget, s, &m->values.tensor, e);
        value_clear(values);
        return rc;
    }
    m->values = *values;
    *values = (struct value){0};
    return 0;
}

static int read_map(struct reader *r, const Onnx__MapProto *p, struct value *out, struct err *e)
{
    struct value values = {0};
    *out = (struct value){0};
    if (!p->values)
        return err_set(e, ERR_MODEL, "a map without values");
    struct map *m = map_new(r->source->budget, e);
    if (!m)
        return code_of(e);
    int rc = read_keys(r, p, &m->keys, e);
    rc = rc ? rc : read_seq(r, p->values, &values, e);
    rc = rc ? rc : set_values(r, m, &values, e);
    value_clear(&values);
    if (rc)
        map_unref(m);
    else
        *out = (struct value){.kind = VALUE_MAP, .map = m};
    return rc;
}

static int read_optional(struct reader *r, const Onnx__OptionalProto *p, struct value *out,
                         struct err *e)
{
    *out = (struct value){0};
    if (r->depth >= DATA_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "values nested deeper than %d", DATA_DEPTH_MAX);
    if (p->elem_type < 0 || p->elem_type > ELEM_OPTIONAL)
        return err_set(e, ERR_MODEL, "an optional of kind %d", (int)p->elem_type);
    r->depth++;
    int rc = p->tensor_value          ? read_tensor(r, p->tensor_value, out, e)
             : p->sparse_tensor_value ? read_sparse(r, p->sparse_tensor_value, out, e)
             : p->sequence_value      ? read_seq(r, p->sequence_value, out, e)
             : p->map_value           ? read_map(r, p->map_value, out, e)
             : p->optional_value      ? read_optional(r, p->optional_value, out, e)
                                      : 0;
    r->depth--;
    return rc;
}

/* ---- files --------------------------------------------------------------------------------- */

static void give_name(const char *from, char *name, size_t size)
{
    if (name && size)
        snprintf(name, size, "%s", from ? from : "");
}

static int read_as(struct onnx_source *s, enum data_message as, struct value *out, char *name,
                   size_t name_size, struct err *e)
{
    static const struct {
        enum wire_msg msg;
        const ProtobufCMessageDescriptor *type;
    } rows[] = {[DATA_TENSOR] = {WIRE_TENSOR, &onnx__tensor_proto__descriptor},
                [DATA_SEQUENCE] = {WIRE_SEQUENCE, &onnx__sequence_proto__descriptor},
                [DATA_MAP] = {WIRE_MAP, &onnx__map_proto__descriptor},
                [DATA_OPTIONAL] = {WIRE_OPTIONAL, &onnx__optional_proto__descriptor}};
    struct reader r = {.source = s};
    struct budget limit;
    struct arena arena;
    ProtobufCMessage *p;
    int rc = onnx_unpack(s, &limit, &arena, rows[as].msg, rows[as].type, &p, e);
    if (rc)
        return rc;
    if (as == DATA_TENSOR) {
        rc = read_tensor(&r, (const Onnx__TensorProto *)p, out, e);
        give_name(((const Onnx__TensorProto *)p)->name, name, name_size);
    } else if (as == DATA_SEQUENCE) {
        rc = read_seq(&r, (const Onnx__SequenceProto *)p, out, e);
        give_name(((const Onnx__SequenceProto *)p)->name, name, name_size);
    } else if (as == DATA_MAP) {
        rc = read_map(&r, (const Onnx__MapProto *)p, out, e);
        give_name(((const Onnx__MapProto *)p)->name, name, name_size);
    } else {
        rc = read_optional(&r, (const Onnx__OptionalProto *)p, out, e);
        give_name(((const Onnx__OptionalProto *)p)->name, name, name_size);
    }
    arena_clear(&arena);
    mem_free(s->payloads);
    s->payloads = NULL;
    s->n_payloads = 0;
    return rc;
}

static int read_message(struct onnx_source *s, enum data_message as, struct value *out, char *name,
                        size_t name_size, struct err *e)
{
    struct err first = {0};
    int rc = ERR_INPUT;
    *out = (struct value){0};
    enum data_message from = as == DATA_GUESS ? DATA_TENSOR : as;
    enum data_message to = as == DATA_GUESS ? DATA_OPTIONAL : as;
    for (enum data_message k = from; k <= to && rc; k++) {
        struct err local = {0};
        rc = read_as(s, k, out, name, name_size, &local);
        if (k == from)
            first = local;
        if (rc == ERR_MEMORY) {
            first = local;
            break;
        }
    }
    if (!rc)
        return 0;
    rc = first.code == ERR_MODEL || !first.code ? ERR_INPUT : first.code;
    return err_set(e, rc, "%s", first.msg);
}

/* Make a value independent of the memory that it was read from. */
static int keep(struct value *v, struct budget *b, struct err *e);

static int keep_tensor(struct tensor *t, struct budget *b, struct err *e)
{
    struct tensor copy;
    if (t->buffer || !t->dtype)
        return 0;
    int rc = tensor_copy(&copy, t, b, e);
    if (!rc)
        *t = copy;
    return rc;
}

static int keep(struct value *v, struct budget *b, struct err *e)
{
    int rc = 0;
    if (v->kind == VALUE_TENSOR)
        return keep_tensor(&v->tensor, b, e);
    if (v->kind == VALUE_MAP)
        return keep(&v->map->values, b, e);
    for (size_t i = 0; v->kind == VALUE_SEQUENCE && i < v->seq->count && !rc; i++)
        rc = keep(&v->seq->items[i], b, e);
    return rc;
}

int data_parse(struct value *out, struct budget *b, const void *data, size_t size,
               enum data_message as, char *name, size_t name_size, struct err *e)
{
    struct onnx_source s = {.budget = b, .data = data, .size = size};
    int rc = read_message(&s, as, out, name, name_size, e);
    onnx_source_clear(&s);
    if (rc)
        return rc;
    rc = keep(out, b, e);
    if (rc)
        value_clear(out);
    return rc;
}

int data_read(struct value *out, struct budget *b, const char *path, enum data_message as,
              char *name, size_t name_size, struct err *e)
{
    struct onnx_source s = {.budget = b, .file = file_open(b, path, false, e)};
    *out = (struct value){0};
    if (!s.file)
        return code_of(e);
    s.data = s.file->data;
    s.size = s.file->size;
    int rc = read_message(&s, as, out, name, name_size, e);
    onnx_source_clear(&s);
    return rc ? err_at(e, rc, "%s", path) : 0;
}
