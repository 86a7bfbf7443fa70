/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/tensor.h"

#include <inttypes.h>
#include <string.h>

#include "onnx/external.h"

/* Numbers of the fields of TensorProto that hold elements. */
enum {
    FIELD_FLOAT = 4,
    FIELD_INT32,
    FIELD_STRING,
    FIELD_INT64,
    FIELD_RAW = 9,
    FIELD_DOUBLE,
    FIELD_UINT64
};

/* Which typed field elements of a type go into. */
static int typed_field(enum dtype t)
{
    switch (t) {
    case DTYPE_F32:
    case DTYPE_C64:
        return FIELD_FLOAT;
    case DTYPE_F64:
    case DTYPE_C128:
        return FIELD_DOUBLE;
    case DTYPE_I64:
        return FIELD_INT64;
    case DTYPE_U32:
    case DTYPE_U64:
        return FIELD_UINT64;
    case DTYPE_STRING:
        return FIELD_STRING;
    default:
        return FIELD_INT32;
    }
}

/* Elements as they lie in the message or in a file. */
struct elems {
    int field;            /* 0: none */
    const uint8_t *bytes; /* raw, or a typed field as in the file */
    size_t size;
    struct file *file;    /* that the bytes lie in; NULL: the message or the caller's memory */
    bool stays;           /* the bytes live as long as the source's data */
};

/* ---- views --------------------------------------------------------------------------------- */

static void view_release(struct buffer *b)
{
    file_unref(b->owner);
}

void onnx_release_pages(const struct tensor *t)
{
    const struct buffer *b = t->buffer;
    if (!b || b->release != view_release)
        return;
    const struct file *f = b->owner;
    file_release_pages(f, (size_t)((const uint8_t *)b->data - f->data), b->bytes);
}

static int view(struct onnx_source *s, const struct elems *x, struct tensor *t, struct err *e)
{
    t->data = (void *)x->bytes;
    if (!x->file)
        return 0;
    t->buffer = buffer_wrap(s->budget, t->data, x->size, view_release, x->file, e);
    if (!t->buffer)
        return e && e->code ? e->code : ERR_MEMORY;
    file_ref(x->file);
    return 0;
}

/* The scalar that an element of this type is read by. */
static size_t alignment(enum dtype t)
{
    size_t size = dtype_size(t);
    return dtype_kind(t) == 'C' ? size / 2 : size;
}

/* Storage for a tensor of which type and dims are set. */
static int make(struct onnx_source *s, struct tensor *t, struct err *e)
{
    struct tensor shape = *t;
    return tensor_new(t, s->budget, shape.dtype, shape.rank, shape.dims, e);
}

/* ---- raw elements -------------------------------------------------------------------------- */

static int wrong_length(const struct tensor *t, size_t have, const char *unit, int64_t want,
                        struct err *e)
{
    char text[256];
    return err_set(e, ERR_MODEL, "%s needs %" PRId64 " %s, the file has %zu",
                   tensor_describe(t, text, sizeof text), want, unit, have);
}

/* Elements out of their file, whose pages are given back on the way. */
static void copy_raw(uint8_t *out, const struct elems *x)
{
    const size_t piece = (size_t)16 << 20;
    for (size_t at = 0; at < x->size; at += piece) {
        size_t n = x->size - at < piece ? x->size - at : piece;
        memcpy(out + at, x->bytes + at, n);
        if (x->file)
            file_release_pages(x->file, (size_t)(x->bytes - x->file->data) + at, n);
    }
}

static int read_raw(struct onnx_source *s, const struct elems *x, struct tensor *t, struct err *e)
{
    size_t n = (size_t)tensor_count(t), need = dtype_packed_bytes(t->dtype, n);
    bool packed = dtype_bits(t->dtype) < 8, boolean = t->dtype == DTYPE_BOOL;
    if (x->size != need)
        return wrong_length(t, x->size, "bytes", (int64_t)need, e);
    if (x->stays && n && !packed && !boolean && (uintptr_t)x->bytes % alignment(t->dtype) == 0)
        return view(s, x, t, e);
    int rc = make(s, t, e);
    if (rc || !n)
        return rc;
    uint8_t *out = t->data;
    if (packed)
        dtype_unpack(t->dtype, x->bytes, out, n);
    else
        copy_raw(out, x);
    for (size_t i = 0; boolean && i < n; i++)
        out[i] = out[i] != 0;
    return 0;
}

/* ---- typed fields -------------------------------------------------------------------------- */

/* Values of a typed field: those that protobuf-c unpacked, or varints of a payload. */
struct numbers {
    const int32_t *i32;
    const int64_t *i64; /* uint64 too: the same bits */
    size_t n;
    const uint8_t *wire;
    size_t size, at;
};

static int64_t next_number(struct numbers *x, size_t i)
{
    uint64_t v = 0;
    if (!x->wire)
        return x->i32 ? x->i32[i] : x->i64[i];
    (void)wire_varint(x->wire, x->size, &x->at, &v); /* counted before */
    return (int64_t)v;
}

static bool count_varints(struct numbers *x)
{
    uint64_t v;
    for (x->n = 0, x->at = 0; x->at < x->size; x->n++)
        if (!wire_varint(x->wire, x->size, &x->at, &v))
            return false;
    x->at = 0;
    return true;
}

static void store(enum dtype t, void *data, size_t i, int64_t v)
{
    switch (dtype_size(t)) {
    case 1:
        ((uint8_t *)data)[i] = t == DTYPE_BOOL ? v != 0 : (uint8_t)v;
        break;
    case 2:
        ((uint16_t *)data)[i] = (uint16_t)v;
        break;
    case 4:
        ((uint32_t *)data)[i] = (uint32_t)v;
        break;
    default:
        ((uint64_t *)data)[i] = (uint64_t)v;
        break;
    }
}

/* Integers, and floats of at most 16 bits as their bit patterns; types narrower than a byte come a
 * packed byte at a time. */
static int read_numbers(struct onnx_source *s, struct numbers *x, struct tensor *t, struct err *e)
{
    size_t n = (size_t)tensor_count(t);
    bool packed = dtype_bits(t->dtype) < 8;
    size_t need = packed ? dtype_packed_bytes(t->dtype, n) : n;
    if (x->wire && !count_varints(x))
        return err_set(e, ERR_MODEL, "a bad varint among the elements");
    if (x->n != need)
        return wrong_length(t, x->n, "values", (int64_t)need, e);
    int rc = make(s, t, e);
    if (rc || !packed) {
        for (size_t i = 0; !rc && i < n; i++)
            store(t->dtype, t->data, i, next_number(x, i));
        return rc;
    }
    uint8_t *bytes = mem_alloc(s->budget, need, e);
    if (!bytes) {
        tensor_clear(t);
        return e && e->code ? e->code : ERR_MEMORY;
    }
    for (size_t i = 0; i < need; i++)
        bytes[i] = (uint8_t)next_number(x, i);
    dtype_unpack(t->dtype, bytes, t->data, n);
    mem_free(bytes);
    return 0;
}

static int read_strings(struct onnx_source *s, const Onnx__TensorProto *p, struct tensor *t,
                        struct err *e)
{
    int64_t n = tensor_count(t);
    if (p->n_string_data != (size_t)n)
        return wrong_length(t, p->n_string_data, "strings", n, e);
    int rc = make(s, t, e);
    for (int64_t i = 0; i < n && !rc; i++)
        rc = tensor_set_str(t, i, (const char *)p->string_data[i].data, p->string_data[i].len, e);
    if (rc)
        tensor_clear(t);
    return rc;
}

/* ---- finding the elements ------------------------------------------------------------------ */

/* The one field that holds elements; several are refused. */
static int find(const struct onnx_source *s, const Onnx__TensorProto *p, struct elems *x,
                struct err *e)
{
    const struct {
        int field;
        bool there;
    } rows[] = {{FIELD_RAW, p->has_raw_data && p->raw_data.len}, {FIELD_FLOAT, p->n_float_data},
                {FIELD_INT32, p->n_int32_data},                  {FIELD_STRING, p->n_string_data},
                {FIELD_INT64, p->n_int64_data},                  {FIELD_DOUBLE, p->n_double_data},
                {FIELD_UINT64, p->n_uint64_data}};
    *x = (struct elems){0};
    if (p->has_payload) {
        if (p->payload >= s->n_payloads)
            return err_set(e, ERR_INTERNAL, "payload %u of %zu", p->payload, s->n_payloads);
        const struct wire_payload *w = &s->payloads[p->payload];
        *x = (struct elems){w->field, s->data + w->offset, w->size, s->file, true};
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rows[i].there)
            continue;
        if (x->field)
            return err_set(e, ERR_MODEL, "a tensor with its elements in two fields");
        x->field = rows[i].field;
    }
    if (x->field || !p->has_raw_data)
        return 0;
    x->field = FIELD_RAW; /* present, but empty */
    return 0;
}

/* What a fixed-size typed field was unpacked to, as bytes. */
static void unpacked(const Onnx__TensorProto *p, struct elems *x)
{
    const void *data = NULL;
    if (x->bytes)
        return;
    if (x->field == FIELD_RAW) {
        data = p->raw_data.data;
        x->size = p->raw_data.len;
    } else if (x->field == FIELD_FLOAT) {
        data = p->float_data;
        x->size = p->n_float_data * sizeof *p->float_data;
    } else if (x->field == FIELD_DOUBLE) {
        data = p->double_data;
        x->size = p->n_double_data * sizeof *p->double_data;
    }
    x->bytes = data;
}

static int read_elems(struct onnx_source *s, const Onnx__TensorProto *p, struct elems *x,
                      struct tensor *t, struct err *e)
{
    int want = typed_field(t->dtype);
    if (x->field && x->field != FIELD_RAW && x->field != want)
        return err_set(e, ERR_MODEL, "elements of type %s in the field of another type",
                       dtype_name(t->dtype));
    if (want == FIELD_STRING) {
        if (x->field == FIELD_RAW)
            return err_set(e, ERR_MODEL, "strings as raw data");
        return read_strings(s, p, t, e);
    }
    if (x->field == FIELD_RAW || want == FIELD_FLOAT || want == FIELD_DOUBLE) {
        unpacked(p, x);
        return read_raw(s, x, t, e);
    }
    struct numbers numbers = {.wire = x->bytes, .size = x->size};
    if (!x->bytes && x->field == FIELD_INT32) {
        numbers.i32 = p->int32_data;
        numbers.n = p->n_int32_data;
    } else if (!x->bytes && x->field == FIELD_INT64) {
        numbers.i64 = p->int64_data;
        numbers.n = p->n_int64_data;
    } else if (!x->bytes && x->field == FIELD_UINT64) {
        numbers.i64 = (const int64_t *)p->uint64_data;
        numbers.n = p->n_uint64_data;
    }
    return read_numbers(s, &numbers, t, e);
}

static int read_external(struct onnx_source *s, const Onnx__TensorProto *p,
                         const struct elems *inner, struct tensor *t, struct err *e)
{
    size_t offset, bytes = dtype_packed_bytes(t->dtype, (size_t)tensor_count(t));
    struct elems x = {.field = FIELD_RAW, .size = bytes, .stays = true};
    if (inner->field && (inner->field != FIELD_RAW || inner->size || p->raw_data.len))
        return err_set(e, ERR_MODEL, "elements in the file and in external data");
    if (t->dtype == DTYPE_STRING)
        return err_set(e, ERR_MODEL, "strings as external data");
    int rc = onnx_external_find(s, p, bytes, &x.file, &offset, e);
    if (rc)
        return rc;
    x.bytes = x.file->data + offset;
    return read_raw(s, &x, t, e);
}

/* ---- tensors ------------------------------------------------------------------------------- */

/* Type and dims, with room for twelve bits of element size before anything can overflow. */
static int read_shape(int64_t type, size_t rank, const int64_t *dims, struct tensor *t,
                      struct err *e)
{
    int64_t count;
    char text[256];
    *t = (struct tensor){0};
    if (!dtype_valid(type))
        return err_set(e, ERR_MODEL, "element type %" PRId64 " does not exist", type);
    if (rank > TENSOR_RANK_MAX)
        return err_set(e, ERR_LIMIT, "a tensor of rank %zu, at most %d is supported", rank,
                       TENSOR_RANK_MAX);
    t->dtype = (enum dtype)type;
    t->rank = (int)rank;
    for (size_t i = 0; i < rank; i++)
        t->dims[i] = dims[i];
    if (!dims_count(t->dims, t->rank, &count))
        return err_set(e, ERR_MODEL, "the dims %s are negative or too large",
                       dims_describe(t->dims, t->rank, text, sizeof text));
    if (count > PTRDIFF_MAX / 4096)
        return err_set(e, ERR_LIMIT, "the dims %s are too large",
                       dims_describe(t->dims, t->rank, text, sizeof text));
    return 0;
}

static int read_proto(struct onnx_source *s, const Onnx__TensorProto *p, struct tensor *t,
                      struct err *e)
{
    struct elems x;
    int rc = read_shape(p->data_type, p->n_dims, p->dims, t, e);
    if (rc)
        return rc;
    if (p->segment)
        return err_set(e, ERR_MODEL, "a segment of a larger tensor");
    rc = find(s, p, &x, e);
    if (rc)
        return rc;
    if (p->has_data_location && p->data_location == 1)
        return read_external(s, p, &x, t, e);
    if (p->has_data_location && p->data_location != 0)
        return err_set(e, ERR_MODEL, "data location %d does not exist", (int)p->data_location);
    return read_elems(s, p, &x, t, e);
}

int onnx_tensor_read(struct onnx_source *s, const Onnx__TensorProto *p, struct tensor *out,
                     struct err *e)
{
    struct err local = {0};
    int rc = read_proto(s, p, out, &local);
    if (!rc)
        return 0;
    *out = (struct tensor){0};
    return err_set(e, rc, "tensor '%.80s': %s", p->name ? p->name : "", local.msg);
}

/* ---- sparse tensors ------------------------------------------------------------------------ */

/* The place of element i among the dense ones. */
static int sparse_place(const struct tensor *indices, const struct tensor *dense, int64_t i,
                        int64_t count, int64_t *place, struct err *e)
{
    const int64_t *v = indices->data;
    if (indices->rank == 1) {
        *place = v[i];
        if (v[i] < 0 || v[i] >= count)
            return err_set(e, ERR_MODEL, "index %" PRId64 " of %" PRId64 " elements", v[i], count);
        return 0;
    }
    *place = 0;
    for (int k = 0; k < dense->rank; k++) {
        int64_t index = v[i * dense->rank + k];
        if (index < 0 || index >= dense->dims[k])
            return err_set(e, ERR_MODEL, "index %" PRId64 " of a dim of %" PRId64, index,
                           dense->dims[k]);
        *place = *place * dense->dims[k] + index;
    }
    return 0;
}

static int scatter(const struct tensor *values, const struct tensor *indices, struct tensor *dense,
                   struct err *e)
{
    size_t size = dtype_size(dense->dtype);
    int64_t n = tensor_count(values), count = tensor_count(dense), place;
    bool linear = indices->rank == 1;
    if (values->rank != 1 || indices->dtype != DTYPE_I64 || (!linear && indices->rank != 2) ||
        indices->dims[0] != n || (!linear && indices->dims[1] != dense->rank))
        return err_set(e, ERR_MODEL, "values and indices do not fit each other");
    for (int64_t i = 0; i < n; i++) {
        int rc = sparse_place(indices, dense, i, count, &place, e);
        if (rc)
            return rc;
        memcpy((char *)dense->data + (size_t)place * size,
               (const char *)values->data + (size_t)i * size, size);
    }
    return 0;
}

static int make_dense(struct onnx_source *s, const struct tensor *values,
                      const struct tensor *indices, struct tensor *dense, struct err *e)
{
    size_t bytes = tensor_bytes(dense);
    if (dense->dtype == DTYPE_STRING)
        return err_set(e, ERR_UNSUPPORTED, "sparse strings");
    if (bytes > ONNX_DENSE_MAX)
        return err_set(e, ERR_LIMIT, "%zu bytes when made dense, at most %zu are supported", bytes,
                       ONNX_DENSE_MAX);
    int rc = make(s, dense, e);
    if (rc)
        return rc;
    memset(dense->data, 0, bytes);
    rc = scatter(values, indices, dense, e);
    if (rc)
        tensor_clear(dense);
    return rc;
}

int onnx_sparse_read(struct onnx_source *s, const Onnx__SparseTensorProto *p, struct tensor *out,
                     struct err *e)
{
    struct tensor values = {0}, indices = {0};
    struct err local = {0};
    if (!p->values || !p->indices)
        return err_set(e, ERR_MODEL, "a sparse tensor without values or indices");
    int rc = onnx_tensor_read(s, p->values, &values, &local);
    rc = rc ? rc : onnx_tensor_read(s, p->indices, &indices, &local);
    rc = rc ? rc : read_shape(values.dtype, p->n_dims, p->dims, out, &local);
    rc = rc ? rc : make_dense(s, &values, &indices, out, &local);
    tensor_clear(&values);
    tensor_clear(&indices);
    if (!rc)
        return 0;
    *out = (struct tensor){0};
    return err_set(e, rc, "sparse tensor '%.80s': %s", p->values->name ? p->values->name : "",
                   local.msg);
}
