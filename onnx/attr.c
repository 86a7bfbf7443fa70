/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <limits.h>
#include <string.h>

#include "onnx/importer.h"

#define TYPE(word) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##word

static const struct kind_row {
    int type;
    const char *name;
} kinds[] = {
    [ATTR_INT] = {TYPE(INT), "an integer"},
    [ATTR_FLOAT] = {TYPE(FLOAT), "a float"},
    [ATTR_STRING] = {TYPE(STRING), "a string"},
    [ATTR_TENSOR] = {TYPE(TENSOR), "a tensor"},
    [ATTR_GRAPH] = {TYPE(GRAPH), "a graph"},
    [ATTR_INTS] = {TYPE(INTS), "integers"},
    [ATTR_FLOATS] = {TYPE(FLOATS), "floats"},
    [ATTR_STRINGS] = {TYPE(STRINGS), "strings"},
    [ATTR_SPARSE] = {TYPE(SPARSE_TENSOR), "a sparse tensor"},
    [ATTR_TYPE] = {TYPE(TYPE_PROTO), "a type"},
};

/* ---- which attribute it is ----------------------------------------------------------------- */

int attr_resolve(const struct scope *s, const Onnx__AttributeProto *p, struct bound *out,
                 struct err *e)
{
    *out = (struct bound){text_of(p->name), p, s};
    if (!p->ref_attr_name || !*p->ref_attr_name)
        return 0;
    if (!s->call)
        return err_set(e, ERR_MODEL, "attribute '%.80s' refers to '%.80s', but is in no function",
                       out->name, p->ref_attr_name);
    out->attr = NULL;
    for (size_t i = 0; i < s->call->n; i++) {
        if (strcmp(s->call->attrs[i].name, p->ref_attr_name))
            continue;
        out->attr = s->call->attrs[i].attr;
        out->scope = s->call->attrs[i].scope;
        return 0;
    }
    return 0;
}

int attr_type(const Onnx__AttributeProto *p)
{
    if (p->has_type && p->type)
        return p->type;
    const struct {
        bool there;
        int type;
    } rows[] = {{p->has_f, TYPE(FLOAT)},       {p->has_i, TYPE(INT)},
                {p->has_s, TYPE(STRING)},      {p->t != NULL, TYPE(TENSOR)},
                {p->g != NULL, TYPE(GRAPH)},   {p->n_floats > 0, TYPE(FLOATS)},
                {p->n_ints > 0, TYPE(INTS)},   {p->n_strings > 0, TYPE(STRINGS)},
                {p->tp != NULL, TYPE(TYPE_PROTO)}, {p->sparse_tensor != NULL, TYPE(SPARSE_TENSOR)}};
    int type = TYPE(UNDEFINED);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].there)
            type = type == TYPE(UNDEFINED) ? rows[i].type : INT_MAX;
    return type == INT_MAX ? TYPE(UNDEFINED) : type;
}

/* The row for an attribute in this version, or -1; then *other tells if another version has it. */
static int find_row(const struct op *op, int opset, const char *name, bool *other)
{
    *other = false;
    for (int i = 0; op->attrs && op->attrs[i].name; i++) {
        if (strcmp(op->attrs[i].name, name))
            continue;
        if (attr_has(&op->attrs[i], opset))
            return i;
        *other = true;
    }
    return -1;
}

/* Operators that files used before ONNX had them, each engine with its own idea of their
 * attributes: what is unknown is skipped there, as those engines do. */
static bool is_lenient(const struct op *op, int opset)
{
    static const struct {
        const char *name;
        int since;
    } rows[] = {{"LayerNormalization", 17}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!*op->domain && !strcmp(op->name, rows[i].name) && opset < rows[i].since)
            return true;
    return false;
}

static int match(const struct op *op, int opset, const struct bound *b, struct bound *given,
                 struct err *e)
{
    bool other;
    int i = find_row(op, opset, b->name, &other);
    if (i < 0 && is_lenient(op, opset))
        return 0;
    if (i < 0)
        return err_set(e, ERR_MODEL,
                       other ? "the operator has no attribute '%.80s' in this opset"
                             : "the operator has no attribute '%.80s'",
                       b->name);
    const struct attr *a = &op->attrs[i];
    if (given[i].attr)
        return err_set(e, ERR_MODEL, "attribute '%.80s' is given twice", b->name);
    int type = attr_type(b->attr);
    bool whole = (type != TYPE(TENSOR) || b->attr->t) && (type != TYPE(GRAPH) || b->attr->g) &&
                 (type != TYPE(SPARSE_TENSOR) || b->attr->sparse_tensor) &&
                 (type != TYPE(TYPE_PROTO) || b->attr->tp);
    /* An empty list in an old file has neither a type nor a field. */
    bool empty = type == TYPE(UNDEFINED) && !b->attr->has_type &&
                 (a->kind == ATTR_INTS || a->kind == ATTR_FLOATS || a->kind == ATTR_STRINGS);
    if ((type != kinds[a->kind].type && !empty) || !whole)
        return err_set(e, ERR_MODEL, "attribute '%.80s' must be %s", b->name, kinds[a->kind].name);
    given[i] = *b;
    return 0;
}

int attr_match(struct importer *m, const struct scope *s, const struct op *op, int opset,
               const Onnx__NodeProto *p, struct bound given[IMPORT_ATTR_ROWS_MAX], struct err *e)
{
    memset(given, 0, IMPORT_ATTR_ROWS_MAX * sizeof *given);
    for (size_t i = 0; i < p->n_attribute; i++) {
        struct bound b;
        int rc = attr_resolve(s, p->attribute[i], &b, e);
        if (!rc && b.attr)
            rc = match(op, opset, &b, given, e);
        if (rc)
            return rc;
    }
    for (int i = 0; op->attrs && op->attrs[i].name; i++) {
        assert(i < IMPORT_ATTR_ROWS_MAX);
        if (op->attrs[i].required && attr_has(&op->attrs[i], opset) && !given[i].attr)
            return err_set(e, ERR_MODEL, "the attribute '%s' is missing", op->attrs[i].name);
    }
    return 0;
}

int attr_inputs(const struct op *op, const struct bound *given)
{
    int n = 0;
    for (int i = 0; op->attrs && op->attrs[i].name; i++)
        if (given[i].attr && op->attrs[i].input >= n)
            n = op->attrs[i].input + 1;
    return n > 1 ? n : 0;
}

/* ---- values -------------------------------------------------------------------------------- */

static int copy_str(struct arena *a, const ProtobufCBinaryData *p, struct str *out, struct err *e)
{
    char *data = arena_alloc(a, p->len + 1, e);
    if (!data)
        return err_code_of(e, ERR_MEMORY);
    if (p->len)
        memcpy(data, p->data, p->len);
    *out = (struct str){data, p->len};
    return 0;
}

/* A copy of n elements; a list of none is not NULL, which would mean that it is absent. */
static int copy_list(struct arena *a, const void *from, size_t n, size_t size, const void **out,
                     struct err *e)
{
    void *list = arena_array(a, n, size, e);
    if (!list)
        return err_code_of(e, ERR_MEMORY);
    if (n)
        memcpy(list, from, n * size);
    *out = list;
    return 0;
}

static int copy_strs(struct arena *a, const Onnx__AttributeProto *p, struct strs *out,
                     struct err *e)
{
    struct str *list = arena_array(a, p->n_strings, sizeof *list, e);
    if (!list)
        return err_code_of(e, ERR_MEMORY);
    *out = (struct strs){list, (int64_t)p->n_strings};
    for (size_t i = 0; i < p->n_strings; i++) {
        int rc = copy_str(a, &p->strings[i], &list[i], e);
        if (rc)
            return rc;
    }
    return 0;
}

/* A tensor that the graph frees with its constants. */
static int own_tensor(struct graph_shared *s, struct tensor *t, const struct tensor **out,
                      struct err *e)
{
    struct tensor *own = arena_alloc(&s->arena, sizeof *own, e);
    void *items = s->constants;
    if (!own ||
        mem_grow(s->budget, &items, s->n_constants, &s->cap_constants, sizeof *s->constants, e)) {
        tensor_clear(t);
        return err_code_of(e, ERR_MEMORY);
    }
    s->constants = items;
    s->constants[s->n_constants++] = own;
    *own = *t;
    *out = own;
    return 0;
}

static int read_tensor(struct importer *m, const Onnx__AttributeProto *p, bool sparse,
                       const struct tensor **out, struct err *e)
{
    struct tensor t;
    struct onnx_source *source = &m->model->source;
    int rc = sparse ? onnx_sparse_read(source, p->sparse_tensor, &t, e)
                    : onnx_tensor_read(source, p->t, &t, e);
    return rc ? rc : own_tensor(m->main->shared, &t, out, e);
}

static int read_graph(struct importer *m, struct node *n, const struct bound *b, struct graph **out,
                      struct err *e)
{
    int rc = import_subgraph(m, b->scope, n->graph, b->attr->g, out, e);
    return rc ? rc : node_add_graph(n, *out, e);
}

static int read_type(struct importer *m, const Onnx__TypeProto *p, const struct type **out,
                     struct err *e)
{
    struct type *t = arena_alloc(&m->main->shared->arena, sizeof *t, e);
    if (!t)
        return err_code_of(e, ERR_MEMORY);
    *out = t;
    return type_read(m, p, false, t, e);
}

/* Store one attribute in the operator's structure. */
static int store(struct importer *m, struct node *n, const struct attr *a, const struct bound *b,
                 struct err *e)
{
    const Onnx__AttributeProto *p = b->attr;
    struct arena *arena = &m->main->shared->arena;
    void *at = (char *)n->attrs + a->offset;
    struct ints *ints = at;
    struct floats *floats = at;
    switch (a->kind) {
    case ATTR_INT:
        *(int64_t *)at = p->i;
        return 0;
    case ATTR_FLOAT:
        *(float *)at = p->f;
        return 0;
    case ATTR_STRING:
        return copy_str(arena, &p->s, at, e);
    case ATTR_INTS:
        ints->n = (int64_t)p->n_ints;
        return copy_list(arena, p->ints, p->n_ints, sizeof *p->ints, (const void **)&ints->v, e);
    case ATTR_FLOATS:
        floats->n = (int64_t)p->n_floats;
        return copy_list(arena, p->floats, p->n_floats, sizeof *p->floats,
                         (const void **)&floats->v, e);
    case ATTR_STRINGS:
        return copy_strs(arena, p, at, e);
    case ATTR_TENSOR:
    case ATTR_SPARSE:
        return read_tensor(m, p, a->kind == ATTR_SPARSE, at, e);
    case ATTR_GRAPH:
        return read_graph(m, n, b, at, e);
    case ATTR_TYPE:
        return read_type(m, p->tp, at, e);
    }
    return err_set(e, ERR_INTERNAL, "attribute '%s' has no kind", a->name);
}

/* ---- attributes that became inputs --------------------------------------------------------- */

/* The elements of an attribute of one of the plain kinds, in storage of their own. */
static int make_tensor(struct budget *b, const Onnx__AttributeProto *p, struct tensor *t,
                       struct err *e)
{
    int64_t n;
    int rc;
    switch (attr_type(p)) {
    case TYPE(INT):
    case TYPE(INTS):
        n = (int64_t)p->n_ints;
        rc = tensor_new(t, b, DTYPE_I64, attr_type(p) == TYPE(INTS), &n, e);
        if (!rc && attr_type(p) == TYPE(INT))
            *(int64_t *)t->data = p->i;
        else if (!rc && n)
            memcpy(t->data, p->ints, (size_t)n * sizeof *p->ints);
        return rc;
    case TYPE(FLOAT):
    case TYPE(FLOATS):
        n = (int64_t)p->n_floats;
        rc = tensor_new(t, b, DTYPE_F32, attr_type(p) == TYPE(FLOATS), &n, e);
        if (!rc && attr_type(p) == TYPE(FLOAT))
            *(float *)t->data = p->f;
        else if (!rc && n)
            memcpy(t->data, p->floats, (size_t)n * sizeof *p->floats);
        return rc;
    case TYPE(STRING):
        rc = tensor_new(t, b, DTYPE_STRING, 0, NULL, e);
        return rc ? rc : tensor_set_str(t, 0, (const char *)p->s.data, p->s.len, e);
    case TYPE(STRINGS):
        n = (int64_t)p->n_strings;
        rc = tensor_new(t, b, DTYPE_STRING, 1, &n, e);
        for (int64_t i = 0; i < n && !rc; i++)
            rc = tensor_set_str(t, i, (const char *)p->strings[i].data, p->strings[i].len, e);
        return rc;
    default:
        /* An empty list of an old file: of integers, the only kind that became inputs then. */
        n = 0;
        return tensor_new(t, b, DTYPE_I64, 1, &n, e);
    }
}

/* Floats into another type, where that is known already. */
static int convert(struct budget *b, enum dtype to, struct tensor *t, struct err *e)
{
    struct tensor out;
    if (t->dtype == to || t->dtype != DTYPE_F32)
        return 0;
    int rc = tensor_new(&out, b, to, t->rank, t->dims, e);
    if (rc)
        return rc;
    for (int64_t i = 0, n = tensor_count(t); i < n; i++)
        dtype_store_f64(to, (char *)out.data + (size_t)i * dtype_size(to),
                        ((const float *)t->data)[i]);
    tensor_clear(t);
    *t = out;
    return 0;
}

/* The constant as one of input 0's type, which only inference will know: a CastLike sees to it. */
static int cast_like(struct importer *m, struct node *n, struct graph_value **v, struct err *e)
{
    const struct op *op = op_find("", "CastLike", INT_MAX, NULL);
    if (!op)
        return err_set(e, ERR_INTERNAL, "there is no operator CastLike");
    struct node *c = graph_node_new(n->graph, op, n->name, 2, 1, n, e);
    struct graph_value *out = c ? graph_value_new(n->graph, "", e) : NULL;
    if (!out)
        return err_code_of(e, ERR_MEMORY);
    node_set_out(c, 0, out);
    int rc = node_set_in(c, 0, *v, e);
    *v = out;
    return rc ? rc : node_set_in(c, 1, n->in[0], e);
}

static int make_input(struct importer *m, struct node *n, const struct attr *a,
                      const struct bound *b, struct err *e)
{
    struct budget *budget = m->model->source.budget;
    struct tensor t = {0};
    if (n->in[a->input])
        return err_set(e, ERR_MODEL, "'%s' is given both as an attribute and as an input", a->name);
    if (a->as_in0 && !n->in[0])
        return err_set(e, ERR_MODEL, "input 0 is missing");
    const struct graph_value *like = n->in[0];
    /* Types of inputs and constants are certain at this point, no others. */
    bool known = like && !like->hint && !like->producer && like->fact.type.kind == TYPE_TENSOR &&
                 (dtype_is_float(like->fact.type.dtype) || dtype_is_int(like->fact.type.dtype));
    int rc = make_tensor(budget, b->attr, &t, e);
    if (!rc && a->as_in0 && known)
        rc = convert(budget, like->fact.type.dtype, &t, e);
    if (rc) {
        tensor_clear(&t);
        return rc;
    }
    struct graph_value *v = graph_constant(n->graph, "", &t, e);
    if (!v)
        return err_code_of(e, ERR_MEMORY);
    if (a->as_in0 && !known)
        rc = cast_like(m, n, &v, e);
    return rc ? rc : node_set_in(n, a->input, v, e);
}

int attr_fill(struct importer *m, const struct scope *s, struct node *n, const struct bound *given,
              struct err *e)
{
    for (int i = 0; n->op->attrs && n->op->attrs[i].name; i++) {
        const struct attr *a = &n->op->attrs[i];
        if (!given[i].attr || a->ignore)
            continue;
        int rc = a->input > 0 ? make_input(m, n, a, &given[i], e) : store(m, n, a, &given[i], e);
        if (rc)
            return err_at(e, rc, "attribute '%s'", a->name);
    }
    return 0;
}

/* ---- Constant ------------------------------------------------------------------------------ */

int attr_constant(struct importer *m, const struct scope *s, const Onnx__NodeProto *p,
                  struct tensor *out, struct err *e)
{
    struct onnx_source *source = &m->model->source;
    struct bound b;
    if (p->n_attribute != 1)
        return err_set(e, ERR_MODEL, "a Constant with %zu attributes, it must have one",
                       p->n_attribute);
    int rc = attr_resolve(s, p->attribute[0], &b, e);
    if (rc)
        return rc;
    static const struct {
        const char *name;
        int type;
    } rows[] = {{"value", TYPE(TENSOR)},          {"sparse_value", TYPE(SPARSE_TENSOR)},
                {"value_float", TYPE(FLOAT)},     {"value_floats", TYPE(FLOATS)},
                {"value_int", TYPE(INT)},         {"value_ints", TYPE(INTS)},
                {"value_string", TYPE(STRING)},   {"value_strings", TYPE(STRINGS)}};
    size_t i = 0;
    while (i < sizeof rows / sizeof *rows && strcmp(rows[i].name, b.name))
        i++;
    if (i == sizeof rows / sizeof *rows)
        return err_set(e, ERR_MODEL, "the operator has no attribute '%.80s'", b.name);
    if (!b.attr)
        return err_set(e, ERR_MODEL, "the attribute '%.80s' is missing", b.name);
    int type = attr_type(b.attr);
    if (type != rows[i].type || (type == TYPE(TENSOR) && !b.attr->t) ||
        (type == TYPE(SPARSE_TENSOR) && !b.attr->sparse_tensor))
        return err_set(e, ERR_MODEL, "attribute '%s' is of the wrong kind", b.name);
    if (type == TYPE(TENSOR))
        return onnx_tensor_read(source, b.attr->t, out, e);
    if (type == TYPE(SPARSE_TENSOR))
        return onnx_sparse_read(source, b.attr->sparse_tensor, out, e);
    rc = make_tensor(source->budget, b.attr, out, e);
    if (rc)
        tensor_clear(out);
    return rc;
}
