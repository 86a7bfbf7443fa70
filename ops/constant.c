/* SPDX-License-Identifier: Apache-2.0 */
/* Constant and ConstantOfShape. The elements of Constant lie in its attribute; whoever imports a
 * model may well make it a constant value without a node.
 */
#include <string.h>

#include "ops/span.h"

/* ---- Constant ------------------------------------------------------------------------------- */

/* value_float is absent if it has exactly these bits: no file holds them but on purpose. */
#define FLOAT_ABSENT __builtin_nanf("0x2b5e1d")

struct constant_attrs {
    const struct tensor *value, *sparse_value;
    int64_t value_int;
    float value_float;
    struct str value_string;
    struct ints value_ints;
    struct floats value_floats;
    struct strs value_strings;
};

static bool float_present(float f)
{
    float absent = FLOAT_ABSENT;
    return memcmp(&f, &absent, sizeof f) != 0;
}

/* The attribute as a borrowed tensor; false if there is none. */
static bool constant_tensor(const struct constant_attrs *a, struct tensor *t)
{
    if (a->value || a->sparse_value) {
        *t = *(a->value ? a->value : a->sparse_value);
        return true;
    }
    *t = (struct tensor){.rank = 1};
    if (a->value_ints.v) {
        t->dtype = DTYPE_I64;
        t->data = (void *)a->value_ints.v;
        t->dims[0] = a->value_ints.n;
    } else if (a->value_floats.v) {
        t->dtype = DTYPE_F32;
        t->data = (void *)a->value_floats.v;
        t->dims[0] = a->value_floats.n;
    } else if (a->value_strings.v) {
        t->dtype = DTYPE_STRING;
        t->data = (void *)a->value_strings.v;
        t->dims[0] = a->value_strings.n;
    } else if (a->value_int != ATTR_ABSENT) {
        t->dtype = DTYPE_I64;
        t->data = (void *)&a->value_int;
        t->rank = 0;
    } else if (a->value_string.data) {
        t->dtype = DTYPE_STRING;
        t->data = (void *)&a->value_string;
        t->rank = 0;
    } else if (float_present(a->value_float)) {
        t->dtype = DTYPE_F32;
        t->data = (void *)&a->value_float;
        t->rank = 0;
    } else {
        return false;
    }
    return true;
}

static int constant_infer(struct infer *c, struct err *e)
{
    struct tensor t;
    if (!constant_tensor(c->attrs, &t))
        return err_set(e, ERR_MODEL, "has no attribute with a value");
    int r = infer_set(c, 0, t.dtype, t.rank, t.dims, e);
    int64_t n = tensor_count(&t), elems[FACT_ELEMS_MAX];
    if (r || n > FACT_ELEMS_MAX || !((DT(I64) | DT(I32) | DT(BOOL)) & DTYPE_BIT(t.dtype)))
        return r;
    elems_to_i64(t.dtype, t.data, 0, n, elems);
    infer_set_elems(c, 0, elems, n);
    return 0;
}

static int constant_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct tensor t, *out = call_out(c, 0);
    if (!constant_tensor(c->attrs, &t))
        return err_set(e, ERR_MODEL, "has no attribute with a value");
    if (t.dtype != DTYPE_STRING) {
        size_t bytes = tensor_bytes(out);
        if (bytes)
            memcpy(out->data, t.data, bytes);
        return 0;
    }
    const struct str *s = t.data;
    for (int64_t i = 0, n = tensor_count(out); i < n; i++) {
        int r = tensor_set_str(out, i, s[i].data, s[i].size, e);
        if (r)
            return r;
    }
    return 0;
}

static const struct attr constant_attr_rows[] = {
    {"value", ATTR_TENSOR, offsetof(struct constant_attrs, value)},
    {"sparse_value", ATTR_SPARSE, offsetof(struct constant_attrs, sparse_value), .since = 11},
    {"value_int", ATTR_INT, offsetof(struct constant_attrs, value_int), .since = 12,
     .i = ATTR_ABSENT},
    {"value_ints", ATTR_INTS, offsetof(struct constant_attrs, value_ints), .since = 12},
    {"value_float", ATTR_FLOAT, offsetof(struct constant_attrs, value_float), .since = 12,
     .f = FLOAT_ABSENT},
    {"value_floats", ATTR_FLOATS, offsetof(struct constant_attrs, value_floats), .since = 12},
    {"value_string", ATTR_STRING, offsetof(struct constant_attrs, value_string), .since = 12},
    {"value_strings", ATTR_STRINGS, offsetof(struct constant_attrs, value_strings), .since = 12},
    {NULL},
};

const struct op op_constant = {
    .domain = "", .name = "Constant", .since = 1,
    .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = constant_attr_rows, .attrs_size = sizeof(struct constant_attrs),
    .infer = constant_infer, .run = constant_run,
};

/* ---- ConstantOfShape ------------------------------------------------------------------------ */

struct of_shape_attrs {
    const struct tensor *value;
};

/* Contents of a small integer output: n copies of the value. */
static void of_shape_elems(struct infer *c, enum dtype dtype, int rank, const int64_t *dims)
{
    const struct of_shape_attrs *a = c->attrs;
    int64_t n = 1, v = 0, elems[FACT_ELEMS_MAX];
    if (!((DT(I64) | DT(I32) | DT(BOOL)) & DTYPE_BIT(dtype)))
        return;
    for (int i = 0; i < rank; i++)
        n = sym_mul(c->syms, n, dims[i]);
    if (!sym_is_number(n) || n < 0 || n > FACT_ELEMS_MAX)
        return;
    elems_to_i64(dtype, a->value->data, 0, 1, &v);
    for (int64_t i = 0; i < n; i++)
        elems[i] = v;
    infer_set_elems(c, 0, elems, n);
}

static int of_shape_infer(struct infer *c, struct err *e)
{
    const struct of_shape_attrs *a = c->attrs;
    enum dtype dtype = a->value ? a->value->dtype : DTYPE_F32;
    int64_t n, dims[TENSOR_RANK_MAX], value_count = 0;
    int r = infer_dtypes(c, 0, DT_INTS, e);
    if (r)
        return r;
    if (a->value && (!dims_count(a->value->dims, a->value->rank, &value_count) || value_count != 1))
        return err_set(e, ERR_MODEL, "value has %lld elements, expected one",
                       (long long)value_count);
    if (dtype == DTYPE_STRING)
        return err_set(e, ERR_UNSUPPORTED, "a value of dtype string");
    if (infer_rank(c, 0) > 1)
        return err_set(e, ERR_MODEL, "the shape has rank %d, expected 1", infer_rank(c, 0));
    const int64_t *elems = infer_elems(c, 0, &n);
    if (!elems) {
        n = infer_rank(c, 0) == 1 ? infer_dim(c, 0, 0) : SYM_UNKNOWN;
        if (!sym_is_number(n))
            return infer_unknown(c, 0, dtype, e);
    }
    if (n > TENSOR_RANK_MAX)
        return err_set(e, ERR_MODEL, "a shape of %lld dims, at most %d are supported", (long long)n,
                       TENSOR_RANK_MAX);
    for (int i = 0; i < n; i++)
        dims[i] = elems && !sym_is_unknown(elems[i]) ? elems[i] : infer_fresh(c);
    r = infer_set(c, 0, dtype, (int)n, dims, e);
    if (!r && a->value)
        of_shape_elems(c, dtype, (int)n, dims);
    return r;
}

static int64_t of_shape_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int of_shape_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct of_shape_attrs *a = c->attrs;
    struct tensor *out = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    size_t size = dtype_size(out->dtype), all = (size_t)(s.last - s.first) * size;
    char *p = tensor_at(out, s.first);
    if (all == 0)
        return 0;
    if (!a->value) {
        memset(p, 0, all);
        return 0;
    }
    /* Each round copies what is filled so far. */
    memcpy(p, a->value->data, size);
    for (size_t done = size; done < all;) {
        size_t part = done < all - done ? done : all - done;
        memcpy(p + done, p, part);
        done += part;
    }
    return 0;
}

static const struct attr of_shape_attr_rows[] = {
    {"value", ATTR_TENSOR, offsetof(struct of_shape_attrs, value)},
    {NULL},
};

const struct op op_constantofshape = {
    .domain = "", .name = "ConstantOfShape", .since = 9,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE, .host_in = 1,
    .attrs = of_shape_attr_rows, .attrs_size = sizeof(struct of_shape_attrs),
    .infer = of_shape_infer, .tasks = of_shape_tasks, .run = of_shape_run,
};
