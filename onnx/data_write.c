/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/file.h"
#include "onnx/data.h"
#include "onnx/onnx.pb-c.h"

/* elem_type of SequenceProto and OptionalProto. */
enum { ELEM_NONE, ELEM_TENSOR, ELEM_SPARSE, ELEM_SEQUENCE, ELEM_MAP, ELEM_OPTIONAL };

enum { WRITE_DEPTH_MAX = 32 };

static int code_of(const struct err *e)
{
    return e && e->code ? e->code : ERR_MEMORY;
}

/* Messages are built in an arena around the tensors' own memory. */
static int put_strings(struct arena *a, const struct tensor *t, Onnx__TensorProto *p, struct err *e)
{
    size_t n = (size_t)tensor_count(t);
    const struct str *s = t->data;
    p->string_data = arena_array(a, n, sizeof *p->string_data, e);
    if (!p->string_data)
        return code_of(e);
    p->n_string_data = n;
    for (size_t i = 0; i < n; i++)
        p->string_data[i] = (ProtobufCBinaryData){s[i].size, (uint8_t *)s[i].data};
    return 0;
}

int data_tensor_message(struct arena *a, const struct tensor *t, const char *name,
                        Onnx__TensorProto **out, struct err *e)
{
    Onnx__TensorProto *p = arena_alloc(a, sizeof *p, e);
    if (!p)
        return code_of(e);
    *out = p;
    onnx__tensor_proto__init(p);
    p->name = (char *)(name && *name ? name : NULL);
    p->has_data_type = 1;
    p->data_type = (int32_t)t->dtype;
    p->n_dims = (size_t)t->rank;
    p->dims = (int64_t *)t->dims;
    if (t->dtype == DTYPE_STRING)
        return put_strings(a, t, p, e);
    size_t n = (size_t)tensor_count(t);
    p->has_raw_data = 1;
    p->raw_data = (ProtobufCBinaryData){tensor_bytes(t), t->data};
    if (dtype_bits(t->dtype) >= 8)
        return 0;
    p->raw_data.len = dtype_packed_bytes(t->dtype, n);
    p->raw_data.data = arena_alloc(a, p->raw_data.len, e);
    if (!p->raw_data.data)
        return code_of(e);
    dtype_pack(t->dtype, t->data, p->raw_data.data, n);
    return 0;
}

static int put_seq(struct arena *a, const struct seq *s, const char *name, int depth,
                   Onnx__SequenceProto **out, struct err *e);

static int put_keys(struct arena *a, const struct map *m, size_t n, Onnx__MapProto *p,
                    struct err *e)
{
    p->has_key_type = 1;
    p->key_type = (int32_t)m->keys.dtype;
    if (m->keys.dtype == DTYPE_STRING) {
        const struct str *s = m->keys.data;
        p->string_keys = arena_array(a, n, sizeof *p->string_keys, e);
        p->n_string_keys = p->string_keys ? n : 0;
        for (size_t i = 0; i < p->n_string_keys; i++)
            p->string_keys[i] = (ProtobufCBinaryData){s[i].size, (uint8_t *)s[i].data};
    } else {
        size_t size = dtype_size(m->keys.dtype);
        p->keys = arena_array(a, n, sizeof *p->keys, e);
        p->n_keys = p->keys ? n : 0;
        for (size_t i = 0; i < p->n_keys; i++)
            p->keys[i] = dtype_load_i64(m->keys.dtype, (const char *)m->keys.data + i * size);
    }
    return p->string_keys || p->keys ? 0 : code_of(e);
}

/* The values of a map, a scalar each. */
static int put_scalars(struct arena *a, const struct tensor *t, Onnx__SequenceProto **out,
                       struct err *e)
{
    size_t n = (size_t)tensor_count(t);
    Onnx__SequenceProto *p = arena_alloc(a, sizeof *p, e);
    if (!p)
        return code_of(e);
    *out = p;
    onnx__sequence_proto__init(p);
    p->has_elem_type = 1;
    p->elem_type = ELEM_TENSOR;
    p->tensor_values = arena_array(a, n, sizeof *p->tensor_values, e);
    int rc = p->tensor_values ? 0 : code_of(e);
    for (size_t i = 0; i < n && !rc; i++) {
        struct tensor one = {.dtype = t->dtype, .data = (char *)t->data + i * dtype_size(t->dtype)};
        rc = data_tensor_message(a, &one, NULL, &p->tensor_values[i], e);
        if (!rc) {
            p->tensor_values[i]->dims = NULL;
            p->n_tensor_values = i + 1;
        }
    }
    return rc;
}

static int put_map(struct arena *a, const struct map *m, const char *name, int depth,
                   Onnx__MapProto **out, struct err *e)
{
    Onnx__MapProto *p = arena_alloc(a, sizeof *p, e);
    if (!p)
        return code_of(e);
    *out = p;
    onnx__map_proto__init(p);
    p->name = (char *)(name && *name ? name : NULL);
    int rc = put_keys(a, m, (size_t)tensor_count(&m->keys), p, e);
    if (rc)
        return rc;
    return m->values.kind == VALUE_SEQUENCE
               ? put_seq(a, m->values.seq, NULL, depth + 1, &p->values, e)
               : put_scalars(a, &m->values.tensor, &p->values, e);
}

static int elem_type(const struct seq *s)
{
    enum value_kind kind = s->count ? s->items[0].kind : VALUE_TENSOR;
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i].kind != kind)
            return ELEM_NONE;
    return kind == VALUE_TENSOR     ? ELEM_TENSOR
           : kind == VALUE_SEQUENCE ? ELEM_SEQUENCE
           : kind == VALUE_MAP      ? ELEM_MAP
                                    : ELEM_NONE;
}

static int put_seq(struct arena *a, const struct seq *s, const char *name, int depth,
                   Onnx__SequenceProto **out, struct err *e)
{
    Onnx__SequenceProto *p = arena_alloc(a, sizeof *p, e);
    void **list = arena_array(a, s->count, sizeof *list, e);
    if (!p || !list)
        return code_of(e);
    *out = p;
    onnx__sequence_proto__init(p);
    p->name = (char *)(name && *name ? name : NULL);
    p->has_elem_type = 1;
    p->elem_type = elem_type(s);
    if (p->elem_type == ELEM_NONE)
        return err_set(e, ERR_UNSUPPORTED, "a sequence of different kinds of values");
    if (depth > WRITE_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "values nested deeper than %d", WRITE_DEPTH_MAX);
    int rc = 0;
    for (size_t i = 0; i < s->count && !rc; i++) {
        const struct value *v = &s->items[i];
        if (p->elem_type == ELEM_TENSOR)
            rc = data_tensor_message(a, &v->tensor, NULL, (Onnx__TensorProto **)&list[i], e);
        else if (p->elem_type == ELEM_MAP)
            rc = put_map(a, v->map, NULL, depth + 1, (Onnx__MapProto **)&list[i], e);
        else
            rc = put_seq(a, v->seq, NULL, depth + 1, (Onnx__SequenceProto **)&list[i], e);
    }
    p->tensor_values = p->elem_type == ELEM_TENSOR ? (Onnx__TensorProto **)list : NULL;
    p->n_tensor_values = p->tensor_values ? s->count : 0;
    p->map_values = p->elem_type == ELEM_MAP ? (Onnx__MapProto **)list : NULL;
    p->n_map_values = p->map_values ? s->count : 0;
    p->sequence_values = p->elem_type == ELEM_SEQUENCE ? (Onnx__SequenceProto **)list : NULL;
    p->n_sequence_values = p->sequence_values ? s->count : 0;
    return rc;
}

static int put_value(struct arena *a, const struct value *v, const char *name, bool optional,
                     const ProtobufCMessage **out, struct err *e)
{
    Onnx__OptionalProto *p = arena_alloc(a, sizeof *p, e);
    if (!p)
        return code_of(e);
    onnx__optional_proto__init(p);
    const char *inner = optional ? NULL : name;
    int rc = 0;
    switch (v->kind) {
    case VALUE_TENSOR:
        p->elem_type = ELEM_TENSOR;
        rc = data_tensor_message(a, &v->tensor, inner, &p->tensor_value, e);
        *out = (const ProtobufCMessage *)p->tensor_value;
        break;
    case VALUE_SEQUENCE:
        p->elem_type = ELEM_SEQUENCE;
        rc = put_seq(a, v->seq, inner, 0, &p->sequence_value, e);
        *out = (const ProtobufCMessage *)p->sequence_value;
        break;
    case VALUE_MAP:
        p->elem_type = ELEM_MAP;
        rc = put_map(a, v->map, inner, 0, &p->map_value, e);
        *out = (const ProtobufCMessage *)p->map_value;
        break;
    default:
        optional = true;
        break;
    }
    if (rc || !optional)
        return rc;
    p->has_elem_type = 1;
    p->name = (char *)(name && *name ? name : NULL);
    *out = (const ProtobufCMessage *)p;
    return 0;
}

int data_format(const struct value *v, const char *name, bool optional, struct budget *b,
                uint8_t **out, size_t *size, struct err *e)
{
    struct arena a;
    const ProtobufCMessage *p;
    arena_init(&a, b);
    int rc = put_value(&a, v, name, optional, &p, e);
    if (!rc) {
        *size = protobuf_c_message_get_packed_size(p);
        *out = mem_alloc(b, *size, e);
        rc = *out ? 0 : code_of(e);
    }
    if (!rc)
        protobuf_c_message_pack(p, *out);
    arena_clear(&a);
    return rc;
}

int data_write(const struct value *v, const char *name, bool optional, const char *path,
               struct err *e)
{
    uint8_t *data;
    size_t size;
    int rc = data_format(v, name, optional, NULL, &data, &size, e);
    if (rc)
        return rc;
    rc = file_write(path, data, size, e);
    mem_free(data);
    return rc;
}
