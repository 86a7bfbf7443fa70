/* SPDX-License-Identifier: Apache-2.0 */
/* LabelEncoder and CategoryMapper: every element is looked up in a list and replaced by what stands at
 * its place in another. */
#include <stddef.h>
#include <string.h>

#include "ops/ml/lookup.h"

#define DT_LABELS (DT(STRING) | DT(I64) | DT(F32) | DT(I32) | DT(I16) | DT(F64))

/* From which list to which, and the element for what is not found. */
struct mapping {
    struct list keys, values;
    const void *fallback;
    bool last; /* of keys that repeat the last counts */
};

struct encoder {
    struct mapping map;
    struct lookup *table;
};

/* ---- LabelEncoder ------------------------------------------------------------------------------- */

struct attrs_labels {
    struct strs classes_strings, keys_strings, values_strings;
    struct ints keys_int64s, values_int64s;
    struct floats keys_floats, values_floats;
    const struct tensor *keys_tensor, *values_tensor, *default_tensor;
    struct str default_string;
    int64_t default_int64;
    float default_float;
};

static const struct attr label_attrs[] = {
    {"classes_strings", ATTR_STRINGS, offsetof(struct attrs_labels, classes_strings), .until = 1},
    {"keys_strings", ATTR_STRINGS, offsetof(struct attrs_labels, keys_strings), .since = 2},
    {"keys_int64s", ATTR_INTS, offsetof(struct attrs_labels, keys_int64s), .since = 2},
    {"keys_floats", ATTR_FLOATS, offsetof(struct attrs_labels, keys_floats), .since = 2},
    {"keys_tensor", ATTR_TENSOR, offsetof(struct attrs_labels, keys_tensor), .since = 4},
    {"values_strings", ATTR_STRINGS, offsetof(struct attrs_labels, values_strings), .since = 2},
    {"values_int64s", ATTR_INTS, offsetof(struct attrs_labels, values_int64s), .since = 2},
    {"values_floats", ATTR_FLOATS, offsetof(struct attrs_labels, values_floats), .since = 2},
    {"values_tensor", ATTR_TENSOR, offsetof(struct attrs_labels, values_tensor), .since = 4},
    {"default_string", ATTR_STRING, offsetof(struct attrs_labels, default_string), .s = "_Unused"},
    {"default_int64", ATTR_INT, offsetof(struct attrs_labels, default_int64), .i = -1},
    {"default_float", ATTR_FLOAT, offsetof(struct attrs_labels, default_float), .f = -0.0f, .since = 2},
    {"default_tensor", ATTR_TENSOR, offsetof(struct attrs_labels, default_tensor), .since = 4},
    {0},
};

/* What is given for values of this type where they have no attribute of their own. */
static const void *plain_default(const struct attrs_labels *at, enum dtype t)
{
    static const int32_t minus_one = -1;
    static const int16_t minus_one_short = -1;
    static const double minus_zero = -0.0;
    return t == DTYPE_STRING ? (const void *)&at->default_string
           : t == DTYPE_I64  ? (const void *)&at->default_int64
           : t == DTYPE_F32  ? (const void *)&at->default_float
           : t == DTYPE_I32  ? (const void *)&minus_one
           : t == DTYPE_I16  ? (const void *)&minus_one_short
                             : (const void *)&minus_zero;
}

static int check_list(const struct list *l, const char *what, struct err *e)
{
    if (l->dtype == DTYPE_NONE)
        return err_set(e, ERR_MODEL, "one of %s is needed", what);
    if (!(DT_LABELS & DTYPE_BIT(l->dtype)))
        return err_set(e, ERR_UNSUPPORTED, "%s of type %s", what, dtype_name(l->dtype));
    return 0;
}

static int label_lists(const struct attrs_labels *at, int opset, struct mapping *m, struct err *e)
{
    const struct list keys[] = {list_strs(at->keys_strings), list_ints(at->keys_int64s),
                                list_floats(at->keys_floats), list_tensor(at->keys_tensor)};
    const struct list values[] = {list_strs(at->values_strings), list_ints(at->values_int64s),
                                  list_floats(at->values_floats), list_tensor(at->values_tensor)};
    const struct tensor *given = at->default_tensor;
    *m = (struct mapping){.last = opset >= 4};
    int rc = list_one(keys, 4, "keys_*", &m->keys, e);
    rc = rc ? rc : list_one(values, 4, "values_*", &m->values, e);
    rc = rc ? rc : check_list(&m->keys, "keys_*", e);
    rc = rc ? rc : check_list(&m->values, "values_*", e);
    if (rc < 0)
        return rc;
    if (m->keys.n != m->values.n)
        return err_set(e, ERR_MODEL, "%lld keys but %lld values", (long long)m->keys.n,
                       (long long)m->values.n);
    if (given && (given->dtype != m->values.dtype || tensor_count(given) != 1))
        return err_set(e, ERR_MODEL, "default_tensor is %lld elements of type %s, expected one of type %s",
                       (long long)tensor_count(given), dtype_name(given->dtype), dtype_name(m->values.dtype));
    m->fallback = given ? given->data : plain_default(at, m->values.dtype);
    return 0;
}

static int check_input(const struct infer *c, const struct mapping *m, struct err *e)
{
    int rc = infer_dtypes(c, 0, DT_LABELS, e);
    if (rc == 0 && infer_dtype(c, 0) != m->keys.dtype)
        return err_set(e, ERR_MODEL, "the input has type %s, the keys have type %s",
                       dtype_name(infer_dtype(c, 0)), dtype_name(m->keys.dtype));
    return rc;
}

static int label_infer(struct infer *c, struct err *e)
{
    struct mapping m;
    int rc = label_lists(c->attrs, c->node->opset, &m, e);
    rc = rc ? rc : check_input(c, &m, e);
    return rc ? rc : infer_like(c, 0, 0, m.values.dtype, e);
}

static int make_encoder(struct prepare *p, const struct mapping *m, struct err *e)
{
    struct encoder *enc = arena_alloc(p->arena, sizeof *enc, e);
    if (!enc)
        return ERR_MEMORY;
    enc->map = *m;
    enc->table = lookup_new(p->arena, &m->keys, m->last, e);
    p->prepared = enc;
    return enc->table ? 0 : ERR_MEMORY;
}

static int label_prepare(struct prepare *p, struct err *e)
{
    struct mapping m;
    int rc = label_lists(p->attrs, p->node->opset, &m, e);
    return rc ? rc : make_encoder(p, &m, e);
}

/* ---- LabelEncoder of the first version ---------------------------------------------------------- */

static int classes_infer(struct infer *c, struct err *e)
{
    const struct attrs_labels *at = c->attrs;
    int rc = infer_dtypes(c, 0, DT(STRING) | DT(I64), e);
    if (rc == 0 && !at->classes_strings.v)
        rc = err_set(e, ERR_MODEL, "attribute classes_strings is missing");
    return rc ? rc : infer_like(c, 0, 0, infer_dtype(c, 0) == DTYPE_I64 ? DTYPE_STRING : DTYPE_I64, e);
}

/* A class and its place in the list, one from the other. */
static int classes_prepare(struct prepare *p, struct err *e)
{
    const struct attrs_labels *at = p->attrs;
    struct list names = list_strs(at->classes_strings);
    int64_t *places = arena_array(p->arena, (size_t)names.n, sizeof *places, e);
    if (!places)
        return ERR_MEMORY;
    for (int64_t i = 0; i < names.n; i++)
        places[i] = i;
    struct list numbers = {DTYPE_I64, places, names.n};
    struct mapping m = {names, numbers, &at->default_int64, true};
    if (p->in[0]->type.dtype == DTYPE_I64)
        m = (struct mapping){numbers, names, &at->default_string, true};
    return make_encoder(p, &m, e);
}

/* ---- CategoryMapper ----------------------------------------------------------------------------- */

struct attrs_categories {
    struct strs cats_strings;
    struct ints cats_int64s;
    struct str default_string;
    int64_t default_int64;
};

static const struct attr category_attrs[] = {
    {"cats_strings", ATTR_STRINGS, offsetof(struct attrs_categories, cats_strings)},
    {"cats_int64s", ATTR_INTS, offsetof(struct attrs_categories, cats_int64s)},
    {"default_string", ATTR_STRING, offsetof(struct attrs_categories, default_string), .s = "_Unused"},
    {"default_int64", ATTR_INT, offsetof(struct attrs_categories, default_int64), .i = -1},
    {0},
};

static int category_infer(struct infer *c, struct err *e)
{
    const struct attrs_categories *at = c->attrs;
    int rc = infer_dtypes(c, 0, DT(STRING) | DT(I64), e);
    if (rc == 0 && (!at->cats_strings.v || !at->cats_int64s.v || at->cats_strings.n != at->cats_int64s.n))
        rc = err_set(e, ERR_MODEL, "%lld cats_strings but %lld cats_int64s", (long long)at->cats_strings.n,
                     (long long)at->cats_int64s.n);
    return rc ? rc : infer_like(c, 0, 0, infer_dtype(c, 0) == DTYPE_I64 ? DTYPE_STRING : DTYPE_I64, e);
}

static int category_prepare(struct prepare *p, struct err *e)
{
    const struct attrs_categories *at = p->attrs;
    struct list names = list_strs(at->cats_strings), numbers = list_ints(at->cats_int64s);
    struct mapping m = {names, numbers, &at->default_int64, true};
    if (p->in[0]->type.dtype == DTYPE_I64)
        m = (struct mapping){numbers, names, &at->default_string, true};
    return make_encoder(p, &m, e);
}

/* ---- running ------------------------------------------------------------------------------------ */

static bool gives_strings(const struct call *c)
{
    return call_out(c, 0)->dtype == DTYPE_STRING;
}

/* Is it worth to remember which values were copied? */
static bool remembers(const struct call *c)
{
    const struct encoder *enc = c->prepared;
    return gives_strings(c) && enc->map.values.n < tensor_count(call_out(c, 0));
}

static size_t encode_scratch(const struct call *c, size_t *per_member)
{
    const struct encoder *enc = c->prepared;
    *per_member = 0;
    return remembers(c) ? ((size_t)enc->map.values.n + 1) * sizeof(struct str) : 0;
}

static int64_t encode_tasks(const struct call *c)
{
    return gives_strings(c) ? 1 : tasks_for(tensor_count(call_in(c, 0)), 16);
}

static const void *value_at(const struct mapping *m, int64_t place, size_t size)
{
    return place < 0 ? m->fallback : (const char *)m->values.data + (size_t)place * size;
}

static void encode_numbers(const struct call *c, int64_t first, int64_t n)
{
    const struct encoder *enc = c->prepared;
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    int64_t places[CHUNK_ELEMS];
    size_t size = dtype_size(y->dtype);
    char *out = (char *)y->data + (size_t)first * size;
    lookup_places(enc->table, x->dtype, x->data, first, n, places);
    for (int64_t i = 0; i < n; i++)
        memcpy(out + (size_t)i * size, value_at(&enc->map, places[i], size), size);
}

/* The result may outlive the model, so it has strings of its own: one of each value, where there are
 * more elements than values. `own` is indexed by place + 1. */
static int encode_strings(const struct call *c, int64_t first, int64_t n, struct str *own, struct err *e)
{
    const struct encoder *enc = c->prepared;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    int64_t places[CHUNK_ELEMS];
    lookup_places(enc->table, x->dtype, x->data, first, n, places);
    for (int64_t i = 0; i < n; i++) {
        const struct str *s = value_at(&enc->map, places[i], sizeof *s);
        struct str *to = (struct str *)y->data + first + i;
        if (own && own[places[i] + 1].data) {
            *to = own[places[i] + 1];
            continue;
        }
        int rc = tensor_set_str(y, first + i, s->data, s->size, e);
        if (rc < 0)
            return rc;
        if (own)
            own[places[i] + 1] = *to;
    }
    return 0;
}

static int encode_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    int64_t count = tensor_count(call_in(c, 0)), from, to, skip, tasks = encode_tasks(c);
    size_t none;
    struct str *own = remembers(c) ? c->scratch : NULL;
    int rc = 0;
    if (own)
        memset(own, 0, encode_scratch(c, &none));
    task_range(begin, tasks, count, &from, &skip);
    task_range(end - 1, tasks, count, &skip, &to);
    for (int64_t i = from; i < to && rc == 0; i += CHUNK_ELEMS) {
        int64_t n = to - i < CHUNK_ELEMS ? to - i : CHUNK_ELEMS;
        if (gives_strings(c))
            rc = encode_strings(c, i, n, own, e);
        else
            encode_numbers(c, i, n);
    }
    return rc;
}

/* Not OP_PURE: they run with their tables only. */
#define ENCODER_ROW(row_name, word, attr_table, attr_struct)                                          \
    .domain = "ai.onnx.ml", .name = row_name, .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,   \
    .flags = OP_HOST, .host_in = 1, .attrs = attr_table, .attrs_size = sizeof(struct attr_struct),    \
    .infer = word##_infer, .prepare = word##_prepare, .scratch = encode_scratch,                      \
    .tasks = encode_tasks, .run = encode_run

const struct op op_labelencoder1 = {ENCODER_ROW("LabelEncoder", classes, label_attrs, attrs_labels),
                                    .since = 1, .until = 1};
const struct op op_labelencoder = {ENCODER_ROW("LabelEncoder", label, label_attrs, attrs_labels), .since = 2};
const struct op op_categorymapper = {ENCODER_ROW("CategoryMapper", category, category_attrs, attrs_categories),
                                     .since = 1};
