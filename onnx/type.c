/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "onnx/importer.h"

/* Some exporters write these where they mean a dim without a name: several may then differ. */
static bool names_nothing(const char *param)
{
    return !param || !*param || strcmp(param, "?") == 0 || strcmp(param, "-1") == 0;
}

static int read_dim(struct importer *m, const Onnx__TensorShapeProto__Dimension *d, bool hint,
                    int64_t *out, struct err *e)
{
    struct syms *syms = m->main->shared->syms;
    if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
        d->dim_value >= 0) {
        if (!sym_is_number(d->dim_value))
            return err_set(e, ERR_LIMIT, "a dim of %" PRId64 " is too large", d->dim_value);
        *out = d->dim_value;
        return 0;
    }
    if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
        !names_nothing(d->dim_param))
        *out = sym_named(syms, d->dim_param);
    else
        *out = hint ? SYM_UNKNOWN : sym_fresh(syms, 0);
    if (sym_is_unknown(*out) && !hint)
        return err_set(e, ERR_LIMIT, "too many symbolic dims");
    return 0;
}

static int read_tensor(struct importer *m, int64_t elem, const Onnx__TensorShapeProto *shape,
                       bool hint, struct type *out, struct err *e)
{
    if (elem != 0 && !dtype_valid(elem))
        return err_set(e, ERR_MODEL, "element type %" PRId64 " does not exist", elem);
    if (elem == 0 && !hint)
        return err_set(e, ERR_MODEL, "a tensor without an element type");
    out->dtype = (enum dtype)elem;
    out->rank = -1;
    if (!shape)
        return 0;
    if (shape->n_dim > TENSOR_RANK_MAX)
        return hint ? 0
                    : err_set(e, ERR_LIMIT, "a rank of %zu, at most %d is supported", shape->n_dim,
                              TENSOR_RANK_MAX);
    out->rank = (int)shape->n_dim;
    for (size_t i = 0; i < shape->n_dim; i++) {
        int rc = read_dim(m, shape->dim[i], hint, &out->dims[i], e);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_type(struct importer *m, const Onnx__TypeProto *p, bool hint, int depth,
                     struct type *out, struct err *e);

static int read_elem(struct importer *m, const Onnx__TypeProto *p, bool hint, int depth,
                     struct type *out, struct err *e)
{
    if (!p && hint)
        return 0;
    if (!p)
        return err_set(e, ERR_MODEL, "a container without a type of its elements");
    struct type *elem = arena_alloc(&m->main->shared->arena, sizeof *elem, e);
    if (!elem)
        return err_code_of(e, ERR_MEMORY);
    out->elem = elem;
    return read_type(m, p, hint, depth + 1, elem, e);
}

static int read_map(struct importer *m, const Onnx__TypeProto__Map *p, bool hint, int depth,
                    struct type *out, struct err *e)
{
    enum dtype key =
        p->has_key_type && dtype_valid(p->key_type) ? (enum dtype)p->key_type : DTYPE_NONE;
    if (key != DTYPE_STRING && !dtype_is_int(key) && !hint)
        return err_set(e, ERR_MODEL, "a map with keys of type %d", (int)p->key_type);
    out->dtype = key;
    return read_elem(m, p->value_type, hint, depth, out, e);
}

static int read_type(struct importer *m, const Onnx__TypeProto *p, bool hint, int depth,
                     struct type *out, struct err *e)
{
    *out = (struct type){.rank = -1};
    if (depth > IMPORT_TYPE_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "a type nested deeper than %d", IMPORT_TYPE_DEPTH_MAX);
    switch (p->value_case) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        out->kind = TYPE_TENSOR;
        return read_tensor(m, p->tensor_type->elem_type, p->tensor_type->shape, hint, out, e);
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
        out->kind = TYPE_SPARSE;
        return read_tensor(m, p->sparse_tensor_type->elem_type, p->sparse_tensor_type->shape, hint,
                           out, e);
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        out->kind = TYPE_SEQUENCE;
        return read_elem(m, p->sequence_type->elem_type, hint, depth, out, e);
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        out->kind = TYPE_OPTIONAL;
        return read_elem(m, p->optional_type->elem_type, hint, depth, out, e);
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        out->kind = TYPE_MAP;
        return read_map(m, p->map_type, hint, depth, out, e);
    case ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE:
        return 0;
    default:
        return hint ? 0 : err_set(e, ERR_MODEL, "a type that is none of ONNX's");
    }
}

int type_read(struct importer *m, const Onnx__TypeProto *p, bool hint, struct type *out,
              struct err *e)
{
    return read_type(m, p, hint, 0, out, e);
}
