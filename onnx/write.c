/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/write.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "graph/op.h"
#include "onnx/data.h"
#include "onnx/importer.h"

enum { IR_LEAST = 4, IR_FUNCTIONS = 8 }; /* initializers that are no inputs; functions */
enum { MORE_SETS = 8 };
enum { EXTERNAL_LEAST = 1024 };           /* smaller tensors stay in the file */
#define OWN_DOMAIN "infer.versions"       /* of the functions that are made here */

struct writer {
    struct arena arena; /* of the messages */
    const struct onnx_model *source;
    const struct graph *main;
    char **names;   /* by value id; NULL: no name yet */
    char **taken;   /* a hash table of the names */
    size_t n_taken; /* its capacity, a power of two */
    size_t used, made;
    bool external;
    const char *data_name; /* as the model names the file of weights */
    struct file_writer model, data;
    Onnx__FunctionProto **functions;
    size_t n_functions, cap_functions;
    /* Domains that the source uses without importing them. */
    struct {
        const char *domain;
        int version;
    } more[MORE_SETS];
    size_t n_more;
};

static int code_of(const struct err *e)
{
    return e && e->code ? e->code : ERR_MEMORY;
}

static char *text(const char *s)
{
    return (char *)s; /* messages are never changed, but their fields are not const */
}

/* ---- names ------------------------------------------------------------------------------------- */

static char **place_of(const struct writer *w, const char *name)
{
    uint64_t h = UINT64_C(0xCBF29CE484222325);
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        h = (h ^ *p) * UINT64_C(0x100000001B3);
    size_t i = (size_t)(h ^ h >> 32) & (w->n_taken - 1);
    while (w->taken[i] && strcmp(w->taken[i], name))
        i = (i + 1) & (w->n_taken - 1);
    return &w->taken[i];
}

/* Room for a name of every value of the model, at most half full. */
static int names_init(struct writer *w, struct err *e)
{
    size_t n = w->main->shared->n_values;
    for (w->n_taken = 16; w->n_taken < 2 * n + 2;)
        w->n_taken *= 2;
    w->names = arena_array(&w->arena, n + 1, sizeof *w->names, e);
    w->taken = arena_array(&w->arena, w->n_taken, sizeof *w->taken, e);
    return w->names && w->taken ? 0 : code_of(e);
}

/* The value's own name where it is free, else a new one. */
static int name_value(struct writer *w, const struct graph_value *v, struct err *e)
{
    char fresh[32];
    const char *name = v->name;
    if (v->outer || w->names[v->id])
        return 0;
    while (!*name || *place_of(w, name)) {
        snprintf(fresh, sizeof fresh, "v%zu", w->made++);
        name = fresh;
    }
    char *own = name == fresh ? arena_strndup(&w->arena, fresh, strlen(fresh), e) : text(name);
    if (!own)
        return code_of(e);
    w->names[v->id] = *place_of(w, own) = own;
    return 0;
}

/* Those that callers know come first, so that they keep their names. */
static int name_graph(struct writer *w, const struct graph *g, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < g->n_inputs && !rc; i++)
        rc = name_value(w, g->inputs[i], e);
    for (int i = 0; i < g->n_outputs && !rc; i++)
        rc = name_value(w, g->outputs[i], e);
    for (size_t i = 0; i < g->n_values && !rc; i++)
        rc = name_value(w, g->values[i], e);
    for (const struct node *n = g->first; n && !rc; n = n->next)
        for (int i = 0; i < n->n_graphs && !rc; i++)
            rc = name_graph(w, n->graphs[i], e);
    return rc;
}

static char *name_of(const struct writer *w, const struct graph_value *v)
{
    while (v && v->outer)
        v = v->outer;
    return v ? w->names[v->id] : text("");
}

/* ---- types ------------------------------------------------------------------------------------- */

static int put_shape(struct writer *w, const struct type *t, Onnx__TensorShapeProto **out, struct err *e)
{
    const struct syms *syms = w->main->shared->syms;
    Onnx__TensorShapeProto *p = arena_alloc(&w->arena, sizeof *p, e);
    Onnx__TensorShapeProto__Dimension *dims = arena_array(&w->arena, (size_t)t->rank, sizeof *dims, e);
    if (!p || !dims)
        return code_of(e);
    onnx__tensor_shape_proto__init(p);
    p->n_dim = (size_t)t->rank;
    p->dim = arena_array(&w->arena, p->n_dim, sizeof *p->dim, e);
    if (!p->dim)
        return code_of(e);
    for (int i = 0; i < t->rank; i++) {
        p->dim[i] = &dims[i];
        onnx__tensor_shape_proto__dimension__init(&dims[i]);
        const char *name = sym_is_symbol(syms, t->dims[i]) ? sym_name(syms, t->dims[i]) : NULL;
        if (sym_is_number(t->dims[i])) {
            dims[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dims[i].dim_value = t->dims[i];
        } else if (name) {
            dims[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dims[i].dim_param = text(name);
        }
    }
    *out = p;
    return 0;
}

static int put_type(struct writer *w, const struct type *t, Onnx__TypeProto **out, struct err *e);

static int put_tensor_type(struct writer *w, const struct type *t, Onnx__TypeProto *p, struct err *e)
{
    p->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    p->tensor_type = arena_alloc(&w->arena, sizeof *p->tensor_type, e);
    if (!p->tensor_type)
        return code_of(e);
    onnx__type_proto__tensor__init(p->tensor_type);
    p->tensor_type->has_elem_type = 1;
    p->tensor_type->elem_type = (int32_t)t->dtype;
    return t->rank >= 0 ? put_shape(w, t, &p->tensor_type->shape, e) : 0;
}

static int put_type(struct writer *w, const struct type *t, Onnx__TypeProto **out, struct err *e)
{
    Onnx__TypeProto *p = arena_alloc(&w->arena, sizeof *p, e), *elem = NULL;
    if (!p)
        return code_of(e);
    onnx__type_proto__init(p);
    *out = p;
    if (t->kind == TYPE_TENSOR)
        return put_tensor_type(w, t, p, e);
    int rc = t->elem ? put_type(w, t->elem, &elem, e) : 0;
    void *inner = arena_alloc(&w->arena, sizeof(Onnx__TypeProto__Map), e); /* the largest of them */
    if (rc || !inner)
        return rc ? rc : code_of(e);
    switch (t->kind) {
    case TYPE_SEQUENCE:
        onnx__type_proto__sequence__init(p->sequence_type = inner);
        p->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
        p->sequence_type->elem_type = elem;
        return 0;
    case TYPE_OPTIONAL:
        onnx__type_proto__optional__init(p->optional_type = inner);
        p->value_case = ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
        p->optional_type->elem_type = elem;
        return 0;
    case TYPE_MAP:
        onnx__type_proto__map__init(p->map_type = inner);
        p->value_case = ONNX__TYPE_PROTO__VALUE_MAP_TYPE;
        p->map_type->has_key_type = 1;
        p->map_type->key_type = (int32_t)t->dtype;
        p->map_type->value_type = elem;
        return 0;
    default:
        *out = NULL;
        return 0;
    }
}

static int put_port(struct writer *w, const struct graph_value *v, Onnx__ValueInfoProto **out,
                    struct err *e)
{
    Onnx__ValueInfoProto *p = arena_alloc(&w->arena, sizeof *p, e);
    if (!p)
        return code_of(e);
    onnx__value_info_proto__init(p);
    p->name = name_of(w, v);
    *out = p;
    return put_type(w, &v->fact.type, &p->type, e);
}

/* Checkers want the rank of every input and output, even where it is known only when running: then
 * what the source claims is said again, as it is where the source knows another kind of value. */
static bool whole(const struct type *t)
{
    return t && (t->kind == TYPE_TENSOR ? t->rank >= 0 : whole(t->elem));
}

static void claim(const struct writer *w, const struct graph_value *v, Onnx__ValueInfoProto *p)
{
    const Onnx__GraphProto *g = w->source->proto->graph;
    for (size_t i = 0; v->graph == w->main && i < g->n_output; i++) {
        Onnx__TypeProto *t = g->output[i]->type;
        if (g->output[i]->name && !strcmp(g->output[i]->name, p->name) && t &&
            (!whole(&v->fact.type) || !p->type || t->value_case != p->type->value_case))
            p->type = t;
    }
}

static int put_ports(struct writer *w, struct graph_value *const *list, int n,
                     Onnx__ValueInfoProto ***out, size_t *n_out, struct err *e)
{
    *out = arena_array(&w->arena, (size_t)n, sizeof **out, e);
    if (!*out)
        return code_of(e);
    *n_out = (size_t)n;
    int rc = 0;
    for (int i = 0; i < n && !rc; i++) {
        rc = put_port(w, list[i], &(*out)[i], e);
        if (!rc)
            claim(w, list[i], (*out)[i]);
    }
    return rc;
}

/* ---- weights ----------------------------------------------------------------------------------- */

static int entry(struct writer *w, Onnx__StringStringEntryProto **out, const char *key,
                 const char *value, struct err *e)
{
    *out = arena_alloc(&w->arena, sizeof **out, e);
    if (!*out)
        return code_of(e);
    onnx__string_string_entry_proto__init(*out);
    (*out)->key = text(key);
    (*out)->value = arena_strndup(&w->arena, value, strlen(value), e);
    return (*out)->value ? 0 : code_of(e);
}

/* Move the elements of a tensor's message to the file of weights. */
static int move_out(struct writer *w, Onnx__TensorProto *p, struct err *e)
{
    static const char zeros[ONNX_DATA_ALIGN];
    char number[24];
    if (w->data.size % ONNX_DATA_ALIGN)
        file_writer_put(&w->data, zeros, ONNX_DATA_ALIGN - w->data.size % ONNX_DATA_ALIGN);
    p->external_data = arena_array(&w->arena, 3, sizeof *p->external_data, e);
    if (!p->external_data)
        return code_of(e);
    p->n_external_data = 3;
    int rc = entry(w, &p->external_data[0], "location", w->data_name, e);
    snprintf(number, sizeof number, "%" PRIu64, w->data.size);
    rc = rc ? rc : entry(w, &p->external_data[1], "offset", number, e);
    snprintf(number, sizeof number, "%zu", p->raw_data.len);
    rc = rc ? rc : entry(w, &p->external_data[2], "length", number, e);
    file_writer_put(&w->data, p->raw_data.data, p->raw_data.len);
    p->has_data_location = 1;
    p->data_location = 1;
    p->has_raw_data = 0;
    return rc;
}

static int put_constants(struct writer *w, const struct graph *g, Onnx__GraphProto *p, struct err *e)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_values; i++)
        n += g->values[i]->constant != NULL;
    p->initializer = arena_array(&w->arena, n, sizeof *p->initializer, e);
    if (!p->initializer)
        return code_of(e);
    for (size_t i = 0; i < g->n_values; i++) {
        const struct graph_value *v = g->values[i];
        if (!v->constant)
            continue;
        Onnx__TensorProto **out = &p->initializer[p->n_initializer++];
        int rc = data_tensor_message(&w->arena, v->constant, name_of(w, v), out, e);
        if (!rc && w->external && (*out)->has_raw_data && (*out)->raw_data.len >= EXTERNAL_LEAST)
            rc = move_out(w, *out, e);
        if (rc)
            return rc;
    }
    return 0;
}

static uint64_t weight_bytes(const struct graph *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g->n_values; i++)
        sum += g->values[i]->constant ? tensor_bytes(g->values[i]->constant) : 0;
    for (const struct node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_graphs; i++)
            sum += weight_bytes(n->graphs[i]);
    return sum;
}

/* ---- attributes -------------------------------------------------------------------------------- */

static int put_graph(struct writer *w, const struct graph *g, Onnx__GraphProto **out, struct err *e);

static int put_bytes(struct writer *w, const struct str *s, int64_t n, ProtobufCBinaryData **out,
                     size_t *n_out, struct err *e)
{
    *out = arena_array(&w->arena, (size_t)n, sizeof **out, e);
    if (!*out)
        return code_of(e);
    *n_out = (size_t)n;
    for (int64_t i = 0; i < n; i++)
        (*out)[i] = (ProtobufCBinaryData){s[i].size, (uint8_t *)s[i].data};
    return 0;
}

/* Is the field what a node without the attribute has? */
static bool is_default(const struct attr *a, const void *at)
{
    const struct str *s = at;
    const float *f = at;
    switch (a->kind) {
    case ATTR_INT:
        return *(const int64_t *)at == a->i;
    case ATTR_FLOAT:
        return memcmp(f, &a->f, sizeof *f) == 0;
    case ATTR_STRING:
        return !s->data || (a->s && s->size == strlen(a->s) && memcmp(s->data, a->s, s->size) == 0);
    case ATTR_INTS:
        return !((const struct ints *)at)->v;
    case ATTR_FLOATS:
        return !((const struct floats *)at)->v;
    case ATTR_STRINGS:
        return !((const struct strs *)at)->v;
    default:
        return !*(void *const *)at;
    }
}

/* A field of the operator's structure. */
static int put_field(struct writer *w, enum attr_kind kind, const void *at, Onnx__AttributeProto *p,
                     struct err *e)
{
#define KIND(word) (p->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##word)
    const struct ints *ints = at;
    const struct floats *floats = at;
    const struct strs *strs = at;
    const struct str *s = at;
    switch (kind) {
    case ATTR_INT:
        KIND(INT);
        p->has_i = 1;
        p->i = *(const int64_t *)at;
        return 0;
    case ATTR_FLOAT:
        KIND(FLOAT);
        p->has_f = 1;
        p->f = *(const float *)at;
        return 0;
    case ATTR_STRING:
        KIND(STRING);
        p->has_s = 1;
        p->s = (ProtobufCBinaryData){s->size, (uint8_t *)s->data};
        return 0;
    case ATTR_INTS:
        KIND(INTS);
        p->n_ints = (size_t)ints->n;
        p->ints = (int64_t *)ints->v;
        return 0;
    case ATTR_FLOATS:
        KIND(FLOATS);
        p->n_floats = (size_t)floats->n;
        p->floats = (float *)floats->v;
        return 0;
    case ATTR_STRINGS:
        KIND(STRINGS);
        return put_bytes(w, strs->v, strs->n, &p->strings, &p->n_strings, e);
    case ATTR_TENSOR:
        KIND(TENSOR);
        return data_tensor_message(&w->arena, *(const struct tensor *const *)at, NULL, &p->t, e);
    case ATTR_GRAPH:
        KIND(GRAPH);
        return put_graph(w, *(struct graph *const *)at, &p->g, e);
    case ATTR_TYPE:
        KIND(TYPE_PROTO);
        return put_type(w, *(const struct type *const *)at, &p->tp, e);
    case ATTR_SPARSE:
        break;
    }
    return err_set(e, ERR_UNSUPPORTED, "a sparse attribute cannot be written");
}

/* An input that is an attribute in the version that is written. */
static int put_input(struct writer *w, enum attr_kind kind, const struct tensor *t,
                     Onnx__AttributeProto *p, struct err *e)
{
    int64_t n = tensor_count(t);
    int64_t *ints = arena_array(&w->arena, (size_t)n, sizeof *ints, e);
    float *floats = arena_array(&w->arena, (size_t)n, sizeof *floats, e);
    if (!ints || !floats)
        return code_of(e);
    for (int64_t i = 0; i < n && t->dtype != DTYPE_STRING; i++) {
        const char *at = (const char *)t->data + (size_t)i * dtype_size(t->dtype);
        ints[i] = dtype_load_i64(t->dtype, at);
        floats[i] = (float)dtype_load_f64(t->dtype, at);
    }
    bool list = kind == ATTR_INTS || kind == ATTR_FLOATS || kind == ATTR_STRINGS;
    if (!list && n != 1)
        return err_set(e, ERR_MODEL, "an attribute of %" PRId64 " elements, 1 expected", n);
    if (kind == ATTR_INT || kind == ATTR_INTS)
        return put_field(w, kind, list ? (void *)&(struct ints){ints, n} : ints, p, e);
    if (kind == ATTR_FLOAT || kind == ATTR_FLOATS)
        return put_field(w, kind, list ? (void *)&(struct floats){floats, n} : floats, p, e);
    return put_field(w, kind, list ? (void *)&(struct strs){t->data, n} : t->data, p, e);
}

static const struct tensor *constant_in(const struct node *n, int i)
{
    const struct graph_value *v = i < n->n_in ? n->in[i] : NULL;
    while (v && v->outer)
        v = v->outer;
    return v ? v->constant : NULL;
}

/* The attributes of a node in its version; inputs that are attributes there are set to "". */
static int put_attributes(struct writer *w, const struct node *n, Onnx__NodeProto *p, struct err *e)
{
    size_t rows = 0;
    while (n->op->attrs && n->op->attrs[rows].name)
        rows++;
    p->attribute = arena_array(&w->arena, rows, sizeof *p->attribute, e);
    if (!p->attribute)
        return code_of(e);
    for (const struct attr *a = n->op->attrs; a && a->name; a++) {
        const void *at = (const char *)n->attrs + a->offset;
        if (a->ignore || !attr_has(a, n->opset))
            continue;
        if (a->input > 0 ? a->input >= n->n_in || !n->in[a->input] : !a->required && is_default(a, at))
            continue;
        Onnx__AttributeProto *x = arena_alloc(&w->arena, sizeof *x, e);
        if (!x)
            return code_of(e);
        onnx__attribute_proto__init(x);
        x->name = text(a->name);
        x->has_type = 1;
        p->attribute[p->n_attribute++] = x;
        const struct tensor *t = a->input > 0 ? constant_in(n, a->input) : NULL;
        if (a->input > 0 && !t)
            return err_set(e, ERR_UNSUPPORTED, "%s is an attribute in opset %d, but is not constant here",
                           a->name, n->opset);
        int rc = t ? put_input(w, a->kind, t, x, e) : put_field(w, a->kind, at, x, e);
        if (rc)
            return rc;
        if (t)
            p->input[a->input] = text("");
    }
    return 0;
}

/* ---- nodes ------------------------------------------------------------------------------------- */

/* Our own operators and the ones of ONNX that say the same. */
static const struct {
    const char *ours, *name;
} translations[] = {{"Append", "Concat"}, {"CopyToDevice", "Identity"}, {"CopyToHost", "Identity"}};

static int imported(const struct writer *w, const char *domain)
{
    const Onnx__ModelProto *m = w->source->proto;
    for (size_t i = 0; i < m->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *x = m->opset_import[i];
        if (!strcmp(plain_domain(x->domain), domain))
            return (int)x->version;
    }
    for (size_t i = 0; i < w->n_more; i++)
        if (!strcmp(w->more[i].domain, domain))
            return w->more[i].version;
    return m->n_opset_import || *domain ? 0 : 1; /* files of before there were sets */
}

/* A file may use a domain that it does not import: the first of its nodes says the version. */
static void import_used(struct writer *w, const struct node *n)
{
    const char *domain = n->op->domain;
    if (!*domain || !strcmp(domain, "infer") || imported(w, domain) || w->n_more == MORE_SETS)
        return;
    w->more[w->n_more].domain = domain;
    w->more[w->n_more++].version = n->opset;
}

static int translate(const struct node *n, Onnx__NodeProto *p, struct err *e)
{
    for (size_t i = 0; i < sizeof translations / sizeof *translations; i++)
        if (!strcmp(n->op->name, translations[i].ours)) {
            p->op_type = text(translations[i].name);
            return 0;
        }
    return err_set(e, ERR_UNSUPPORTED, "ONNX has nothing like our operator %s", n->op->name);
}

/* The node as a message, its inputs and outputs by the names of the values, or if `places` by i0, o0, ... */
static int put_node(struct writer *w, const struct node *n, bool places, Onnx__NodeProto **out,
                    struct err *e)
{
    Onnx__NodeProto *p = arena_alloc(&w->arena, sizeof *p, e);
    if (!p)
        return code_of(e);
    onnx__node_proto__init(p);
    *out = p;
    bool ours = !strcmp(n->op->domain, "infer");
    p->name = *n->name ? text(n->name) : NULL;
    p->op_type = text(n->op->name);
    p->domain = *n->op->domain && !ours ? text(n->op->domain) : NULL;
    p->n_input = (size_t)n->n_in;
    p->n_output = (size_t)n->n_out;
    p->input = arena_array(&w->arena, p->n_input, sizeof *p->input, e);
    p->output = arena_array(&w->arena, p->n_output, sizeof *p->output, e);
    if (!p->input || !p->output)
        return code_of(e);
    for (int i = 0; i < n->n_in + n->n_out; i++) {
        bool in = i < n->n_in;
        int k = in ? i : i - n->n_in;
        const struct graph_value *v = in ? n->in[k] : n->out[k];
        char place[16], **to = in ? &p->input[k] : &p->output[k];
        snprintf(place, sizeof place, "%c%d", in ? 'i' : 'o', k);
        *to = !v ? text("") : places ? arena_strndup(&w->arena, place, strlen(place), e) : name_of(w, v);
        if (!*to)
            return code_of(e);
    }
    int rc = ours ? translate(n, p, e) : 0;
    rc = rc ? rc : put_attributes(w, n, p, e);
    while (n->op->in_max >= 0 && p->n_input && !*p->input[p->n_input - 1])
        p->n_input--;
    return rc;
}

/* ---- nodes of another version ------------------------------------------------------------------ */

/* Names of a node's inputs or outputs that are there, each once in `list`. */
static size_t present(char *const *names, size_t n, char **list)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (*names[i])
            list[count++] = names[i];
    return count;
}

/* Turn a node of another version into the call of a function that imports that version. */
static int put_call(struct writer *w, const struct node *n, Onnx__NodeProto **out, struct err *e)
{
    void *list = w->functions;
    char name[160];
    if (n->n_graphs)
        return err_set(e, ERR_UNSUPPORTED, "it is of opset %d and has subgraphs, in a model of opset %d",
                       n->opset, imported(w, n->op->domain));
    Onnx__FunctionProto *f = arena_alloc(&w->arena, sizeof *f, e);
    Onnx__OperatorSetIdProto *set = arena_alloc(&w->arena, sizeof *set, e);
    Onnx__NodeProto *call = arena_alloc(&w->arena, sizeof *call, e), *body, *names;
    if (!f || !set || !call ||
        mem_grow(w->arena.budget, &list, w->n_functions, &w->cap_functions, sizeof *w->functions, e))
        return code_of(e);
    w->functions = list;
    onnx__function_proto__init(f);
    onnx__operator_set_id_proto__init(set);
    onnx__node_proto__init(call);
    int rc = put_node(w, n, true, &body, e);
    rc = rc ? rc : put_node(w, n, false, &names, e);
    if (rc)
        return rc;
    snprintf(name, sizeof name, "%.100s_%d_%zu", n->op->name, n->opset, w->n_functions);
    f->domain = call->domain = text(OWN_DOMAIN);
    f->name = call->op_type = arena_strndup(&w->arena, name, strlen(name), e);
    f->node = arena_array(&w->arena, 1, sizeof *f->node, e);
    f->opset_import = arena_array(&w->arena, 1, sizeof *f->opset_import, e);
    f->input = arena_array(&w->arena, body->n_input, sizeof *f->input, e);
    f->output = arena_array(&w->arena, body->n_output, sizeof *f->output, e);
    call->input = arena_array(&w->arena, body->n_input, sizeof *call->input, e);
    call->output = arena_array(&w->arena, body->n_output, sizeof *call->output, e);
    if (!f->name || !f->node || !f->opset_import || !f->input || !f->output || !call->input || !call->output)
        return code_of(e);
    call->name = names->name;
    f->node[0] = body;
    f->n_node = f->n_opset_import = 1;
    f->opset_import[0] = set;
    set->domain = body->domain ? body->domain : text("");
    set->has_version = 1;
    set->version = n->opset;
    f->n_input = present(body->input, body->n_input, f->input);
    f->n_output = present(body->output, body->n_output, f->output);
    call->n_input = present(names->input, names->n_input, call->input);
    call->n_output = present(names->output, names->n_output, call->output);
    w->functions[w->n_functions++] = f;
    *out = call;
    return 0;
}

static bool has_row(const struct node *n, const char *name)
{
    for (const struct attr *a = n->op->attrs; a->name; a++)
        if (!strcmp(a->name, name) && !a->ignore && attr_has(a, n->opset))
            return true;
    return false;
}

/* The version that says all of a node: its own, or a later one whose attributes a pass has set. */
static int version_of(const struct node *n)
{
    int version = n->opset;
    for (const struct attr *a = n->op->attrs; a && a->name; a++) {
        const void *at = (const char *)n->attrs + a->offset;
        if (a->since > version && a->input == 0 && !a->ignore && !has_row(n, a->name) && !is_default(a, at))
            version = a->since;
    }
    return version;
}

/* A node goes as it is where the file's version is the node's own. */
static int put_any(struct writer *w, const struct node *n, Onnx__NodeProto **out, struct err *e)
{
    bool ours = !strcmp(n->op->domain, "infer");
    struct node own = *n;
    own.opset = version_of(n);
    import_used(w, &own);
    int rc = ours || own.opset == imported(w, n->op->domain) ? put_node(w, &own, false, out, e)
                                                             : put_call(w, &own, out, e);
    char where[256];
    return rc ? err_at(e, rc, "%s", node_describe(n, where, sizeof where)) : 0;
}

/* ---- graphs ------------------------------------------------------------------------------------ */

static int put_graph(struct writer *w, const struct graph *g, Onnx__GraphProto **out, struct err *e)
{
    Onnx__GraphProto *p = arena_alloc(&w->arena, sizeof *p, e);
    size_t n = 0;
    for (const struct node *x = g->first; x; x = x->next)
        n++;
    Onnx__NodeProto **nodes = arena_array(&w->arena, n, sizeof *nodes, e);
    if (!p || !nodes)
        return code_of(e);
    onnx__graph_proto__init(p);
    *out = p;
    p->name = text(g->name && *g->name ? g->name : "graph");
    p->node = nodes;
    int rc = put_constants(w, g, p, e);
    rc = rc ? rc : put_ports(w, g->inputs, g->n_inputs, &p->input, &p->n_input, e);
    rc = rc ? rc : put_ports(w, g->outputs, g->n_outputs, &p->output, &p->n_output, e);
    for (const struct node *x = g->first; x && !rc; x = x->next)
        rc = put_any(w, x, &nodes[p->n_node++], e);
    return rc;
}

/* ---- the model --------------------------------------------------------------------------------- */

/* The source's operator sets, and ours if there are functions. */
static int put_sets(struct writer *w, Onnx__ModelProto *p, struct err *e)
{
    const Onnx__ModelProto *from = w->source->proto;
    Onnx__OperatorSetIdProto *own = arena_array(&w->arena, 2 + w->n_more, sizeof *own, e);
    p->opset_import = arena_array(&w->arena, from->n_opset_import + 2 + w->n_more, sizeof *p->opset_import, e);
    if (!own || !p->opset_import)
        return code_of(e);
    for (size_t i = 0; i < from->n_opset_import; i++)
        p->opset_import[p->n_opset_import++] = from->opset_import[i];
    for (int i = 0; i < 2; i++) {
        const char *domain = i ? OWN_DOMAIN : "";
        if (i ? !w->n_functions : from->n_opset_import > 0)
            continue;
        onnx__operator_set_id_proto__init(&own[i]);
        own[i].domain = text(domain);
        own[i].has_version = 1;
        own[i].version = 1;
        p->opset_import[p->n_opset_import++] = &own[i];
    }
    for (size_t i = 0; i < w->n_more; i++) {
        onnx__operator_set_id_proto__init(&own[2 + i]);
        own[2 + i].domain = text(w->more[i].domain);
        own[2 + i].has_version = 1;
        own[2 + i].version = w->more[i].version;
        p->opset_import[p->n_opset_import++] = &own[2 + i];
    }
    return 0;
}

static int put_model(struct writer *w, Onnx__ModelProto *p, struct err *e)
{
    const Onnx__ModelProto *from = w->source->proto;
    onnx__model_proto__init(p);
    int rc = names_init(w, e);
    rc = rc ? rc : name_graph(w, w->main, e);
    rc = rc ? rc : put_graph(w, w->main, &p->graph, e);
    rc = rc ? rc : put_sets(w, p, e);
    int64_t least = w->n_functions ? IR_FUNCTIONS : IR_LEAST;
    p->has_ir_version = 1;
    p->ir_version = from->ir_version > least ? from->ir_version : least;
    p->producer_name = text("infer");
    p->domain = from->domain;
    p->has_model_version = from->has_model_version;
    p->model_version = from->model_version;
    p->doc_string = from->doc_string;
    p->n_metadata_props = from->n_metadata_props;
    p->metadata_props = from->metadata_props;
    p->n_functions = w->n_functions;
    p->functions = w->functions;
    return rc;
}

/* protobuf-c gives the bytes of the message in pieces. */
struct pieces {
    ProtobufCBuffer base;
    struct file_writer *file;
};

static void put_piece(ProtobufCBuffer *b, size_t n, const uint8_t *data)
{
    file_writer_put(((struct pieces *)b)->file, data, n);
}

static int write_model(struct writer *w, const Onnx__ModelProto *p, const char *path, struct err *e)
{
    size_t size = protobuf_c_message_get_packed_size(&p->base);
    if (size > INT_MAX)
        return err_set(e, ERR_LIMIT, "the model takes %zu bytes, a message may have %d", size, INT_MAX);
    int rc = file_writer_open(&w->model, path, e);
    if (rc)
        return rc;
    struct pieces pieces = {{put_piece}, &w->model};
    protobuf_c_message_pack_to_buffer(&p->base, &pieces.base);
    return file_writer_close(&w->model, e);
}

/* Both files are whole before either takes its place; the model, which names the other, is last. */
static int write_files(struct writer *w, const char *path, const char *data_path, struct err *e)
{
    Onnx__ModelProto p;
    int rc = w->external ? file_writer_open(&w->data, data_path, e) : 0;
    rc = rc ? rc : put_model(w, &p, e);
    rc = rc ? rc : write_model(w, &p, path, e);
    if (!rc && w->external)
        rc = file_writer_close(&w->data, e);
    if (!rc && w->external)
        rc = file_writer_place(&w->data, e);
    return rc ? rc : file_writer_place(&w->model, e);
}

int onnx_write(const struct graph *main, const struct onnx_model *source, const char *path,
               bool external, struct err *e)
{
    struct writer w = {.source = source, .main = main,
                       .external = external || weight_bytes(main) > ONNX_INLINE_MAX};
    arena_init(&w.arena, main->shared->budget);
    size_t n = strlen(path) + sizeof ".data";
    char *data_path = arena_alloc(&w.arena, n, e);
    int rc = data_path ? 0 : code_of(e);
    if (!rc) {
        snprintf(data_path, n, "%s.data", path);
        const char *slash = strrchr(data_path, '/');
        w.data_name = slash ? slash + 1 : data_path;
        rc = write_files(&w, path, data_path, e);
    }
    file_writer_abort(&w.model);
    file_writer_abort(&w.data);
    mem_free(w.functions);
    arena_clear(&w.arena);
    return rc;
}
