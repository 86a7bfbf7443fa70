/* SPDX-License-Identifier: Apache-2.0 */
/* CastMap, DictVectorizer, ZipMap: maps into tensors and back. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ml/lookup.h"
#include "ops/number_text.h"

/* ---- maps as inputs ----------------------------------------------------------------------------- */

/* The input is a map with such keys, and values that are tensors of one of the dtypes of the mask. */
static int check_map(const struct infer *c, enum dtype keys, uint32_t mask, enum dtype *values, struct err *e)
{
    const struct type *t = &c->in[0]->type;
    if (t->kind != TYPE_MAP || t->dtype != keys || !t->elem || t->elem->kind != TYPE_TENSOR)
        return err_set(e, ERR_MODEL, "the input is no map from %s to numbers or strings", dtype_name(keys));
    *values = t->elem->dtype;
    if (!c->syms && *values == DTYPE_NONE) { /* empty, and of what was said at load */
        const struct type *said = &c->node->in[0]->fact.type;
        *values = said->kind == TYPE_MAP && said->elem ? said->elem->dtype : DTYPE_NONE;
    }
    if (*values >= DTYPE_COUNT || !(mask & DTYPE_BIT(*values)))
        return err_set(e, ERR_UNSUPPORTED, "a map to %s", dtype_name(*values));
    return 0;
}

/* Input 0's keys and values, as many; the values of one of the dtypes of the mask. */
static int open_map(const struct call *c, enum dtype key, uint32_t mask, const struct tensor **keys,
                    const struct tensor **values, struct err *e)
{
    const struct value *v = c->in[0];
    if (v->kind != VALUE_MAP)
        return err_set(e, ERR_INPUT, "the input is no map");
    *keys = &v->map->keys;
    *values = &v->map->values.tensor;
    if (tensor_count(*keys) == 0) /* what an empty map maps to may be unknown */
        return 0;
    if (v->map->values.kind != VALUE_TENSOR)
        return err_set(e, ERR_INPUT, "the input is no map to numbers or strings");
    if ((*keys)->dtype != key || !(mask & DTYPE_BIT((*values)->dtype)) ||
        tensor_count(*keys) != tensor_count(*values))
        return err_set(e, ERR_INPUT, "the input is a map from %lld %s to %lld %s", (long long)tensor_count(*keys),
                       dtype_name((*keys)->dtype), (long long)tensor_count(*values),
                       dtype_name((*values)->dtype));
    return 0;
}

/* ---- CastMap ------------------------------------------------------------------------------------ */

#define DT_CASTABLE (DT(STRING) | DT(F32))

struct attrs_cast_map {
    struct str cast_to, map_form;
    int64_t max_map;
};

static const struct attr castmap_attrs[] = {
    {"cast_to", ATTR_STRING, offsetof(struct attrs_cast_map, cast_to), .s = "TO_FLOAT"},
    {"map_form", ATTR_STRING, offsetof(struct attrs_cast_map, map_form), .s = "DENSE"},
    {"max_map", ATTR_INT, offsetof(struct attrs_cast_map, max_map), .i = 1},
    {0},
};

static bool is_word(struct str s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

static enum dtype cast_to(const struct attrs_cast_map *at)
{
    return is_word(at->cast_to, "TO_FLOAT")    ? DTYPE_F32
           : is_word(at->cast_to, "TO_STRING") ? DTYPE_STRING
           : is_word(at->cast_to, "TO_INT64")  ? DTYPE_I64
                                               : DTYPE_NONE;
}

static bool is_sparse(const struct attrs_cast_map *at)
{
    return is_word(at->map_form, "SPARSE");
}

static int castmap_infer(struct infer *c, struct err *e)
{
    const struct attrs_cast_map *at = c->attrs;
    enum dtype from, to = cast_to(at);
    int rc = check_map(c, DTYPE_I64, DT_CASTABLE, &from, e);
    if (rc < 0)
        return rc;
    if (to == DTYPE_NONE)
        return err_set(e, ERR_MODEL, "cast_to is not TO_FLOAT, TO_STRING or TO_INT64");
    if (!is_sparse(at) && !is_word(at->map_form, "DENSE"))
        return err_set(e, ERR_MODEL, "map_form is not DENSE or SPARSE");
    if (is_sparse(at) && (at->max_map < 1 || !sym_is_number(at->max_map)))
        return err_set(e, ERR_MODEL, "max_map is %lld", (long long)at->max_map);
    return infer_set(c, 0, to, 2, (int64_t[]){1, is_sparse(at) ? at->max_map : infer_fresh(c)}, e);
}

/* Element i of the values into element `place` of the output. */
static int cast_value(const struct tensor *from, int64_t i, struct tensor *to, int64_t place, struct err *e)
{
    const struct str *text = from->dtype == DTYPE_STRING ? (const struct str *)from->data + i : NULL;
    float f = text ? 0 : ((const float *)from->data)[i];
    char buf[64];
    struct number n;
    if (to->dtype == DTYPE_STRING) {
        if (text)
            return tensor_set_str(to, place, text->data, text->size, e);
        return tensor_set_str(to, place, buf, (size_t)snprintf(buf, sizeof buf, "%f", f), e);
    }
    if (text && (!number_parse(text->data, text->size, &n) || (to->dtype == DTYPE_I64 && n.f64 != n.f64)))
        return err_set(e, ERR_INPUT, "'%.*s' is no number", (int)(text->size < 60 ? text->size : 60), text->data);
    if (to->dtype == DTYPE_F32)
        ((float *)to->data)[place] = text ? n.f32 : f;
    else if (text && n.is_int)
        ((int64_t *)to->data)[place] = (int64_t)n.bits;
    else
        elems_from_f64(DTYPE_I64, to->data, place, 1, text ? &n.f64 : &(double){f});
    return 0;
}

struct entry {
    int64_t key, place;
};

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key ? -1 : 1) : (x->place < y->place ? -1 : x->place > y->place);
}

/* The entries in order of keys; of a key that repeats the last stays. Returns how many. */
static int64_t sort_entries(const struct tensor *keys, struct entry *list)
{
    int64_t n = tensor_count(keys), kept = 0;
    for (int64_t i = 0; i < n; i++)
        list[i] = (struct entry){((const int64_t *)keys->data)[i], i};
    if (n > 1)
        qsort(list, (size_t)n, sizeof *list, by_key);
    for (int64_t i = 0; i < n; i++)
        if (i + 1 == n || list[i].key != list[i + 1].key)
            list[kept++] = list[i];
    return kept;
}

/* What a sparse result has where the map has nothing: zero, and for strings "0.f" as onnxruntime has it
 * (the specification does not say). */
static int fill_sparse(struct tensor *y, struct err *e)
{
    int64_t n = tensor_count(y);
    struct str *s = y->data;
    if (y->dtype != DTYPE_STRING) {
        memset(y->data, 0, tensor_bytes(y));
        return 0;
    }
    int rc = tensor_set_str(y, 0, "0.f", 3, e);
    for (int64_t i = 1; i < n && rc == 0; i++)
        s[i] = s[0];
    return rc;
}

static int cast_entries(struct call *c, const struct entry *list, int64_t n, const struct tensor *values,
                        struct err *e)
{
    const struct attrs_cast_map *at = c->attrs;
    bool sparse = is_sparse(at);
    if (sparse && n && (list[0].key < 0 || list[n - 1].key >= at->max_map))
        return err_set(e, ERR_INPUT, "key %lld is outside the result's length of %lld",
                       (long long)(list[0].key < 0 ? list[0].key : list[n - 1].key), (long long)at->max_map);
    int rc = call_output(c, 0, cast_to(at), 2, (int64_t[]){1, sparse ? at->max_map : n}, e);
    struct tensor *y = call_out(c, 0);
    if (rc == 0 && sparse)
        rc = fill_sparse(y, e);
    for (int64_t i = 0; i < n && rc == 0; i++)
        rc = cast_value(values, list[i].place, y, sparse ? list[i].key : i, e);
    return rc;
}

static int castmap_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *keys, *values;
    int rc = open_map(c, DTYPE_I64, DT_CASTABLE, &keys, &values, e);
    if (rc < 0)
        return rc;
    struct entry *list = mem_calloc(c->budget, (size_t)tensor_count(keys), sizeof *list, e);
    if (!list)
        return e && e->code ? e->code : ERR_MEMORY;
    rc = cast_entries(c, list, sort_entries(keys, list), values, e);
    mem_free(list);
    return rc;
}

/* ---- DictVectorizer ----------------------------------------------------------------------------- */

struct attrs_dict {
    struct ints int64_vocabulary;
    struct strs string_vocabulary;
};

static const struct attr dict_attrs[] = {
    {"int64_vocabulary", ATTR_INTS, offsetof(struct attrs_dict, int64_vocabulary)},
    {"string_vocabulary", ATTR_STRINGS, offsetof(struct attrs_dict, string_vocabulary)},
    {0},
};

/* `first[i]` is where the word of place i stands first; NULL where no word repeats. */
struct vocabulary {
    struct lookup *table;
    enum dtype dtype;
    int64_t *first;
};

static int words_of(const struct attrs_dict *at, struct list *out, struct err *e)
{
    const struct list lists[] = {list_ints(at->int64_vocabulary), list_strs(at->string_vocabulary)};
    int rc = list_one(lists, 2, "int64_vocabulary and string_vocabulary", out, e);
    if (rc == 0 && out->n == 0)
        return err_set(e, ERR_MODEL, "one of int64_vocabulary and string_vocabulary is needed");
    return rc;
}

static int dict_infer(struct infer *c, struct err *e)
{
    struct list words;
    enum dtype values;
    int rc = words_of(c->attrs, &words, e);
    rc = rc ? rc : check_map(c, words.dtype, DT(I64) | DT(F32) | DT(F64) | DT(STRING), &values, e);
    return rc ? rc : infer_set(c, 0, values, 2, (int64_t[]){1, words.n}, e);
}

static int dict_prepare(struct prepare *p, struct err *e)
{
    struct list words;
    int rc = words_of(p->attrs, &words, e);
    struct vocabulary *v = rc ? NULL : arena_alloc(p->arena, sizeof *v, e);
    int64_t *first = v ? arena_array(p->arena, (size_t)words.n, sizeof *first, e) : NULL;
    if (!first)
        return rc ? rc : ERR_MEMORY;
    *v = (struct vocabulary){.table = lookup_new(p->arena, &words, false, e), .dtype = words.dtype};
    if (!v->table)
        return ERR_MEMORY;
    for (int64_t i = 0; i < words.n; i += CHUNK_ELEMS)
        lookup_places(v->table, words.dtype, words.data, i, words.n - i < CHUNK_ELEMS ? words.n - i : CHUNK_ELEMS,
                      first + i);
    for (int64_t i = 0; i < words.n; i++)
        if (first[i] != i)
            v->first = first;
    p->prepared = v;
    return 0;
}

/* Entries that no word of the vocabulary names are left out. */
static int put_entries(const struct vocabulary *v, const struct tensor *keys, const struct tensor *values,
                       struct tensor *y, struct err *e)
{
    int64_t n = tensor_count(keys), places[CHUNK_ELEMS];
    size_t size = dtype_size(y->dtype);
    int rc = 0;
    for (int64_t i = 0; i < n; i += CHUNK_ELEMS) {
        int64_t part = n - i < CHUNK_ELEMS ? n - i : CHUNK_ELEMS;
        lookup_places(v->table, keys->dtype, keys->data, i, part, places);
        for (int64_t k = 0; k < part && rc == 0; k++) {
            const char *from = (const char *)values->data + (size_t)(i + k) * size;
            const struct str *s = (const struct str *)from;
            if (places[k] >= 0 && y->dtype == DTYPE_STRING)
                rc = tensor_set_str(y, places[k], s->data, s->size, e);
            else if (places[k] >= 0)
                memcpy((char *)y->data + (size_t)places[k] * size, from, size);
        }
    }
    return rc;
}

static int dict_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct vocabulary *v = c->prepared;
    const struct tensor *keys, *values;
    struct tensor *y = call_out(c, 0);
    int64_t n = tensor_count(y);
    size_t size = dtype_size(y->dtype);
    int rc = open_map(c, v->dtype, DTYPE_BIT(y->dtype), &keys, &values, e);
    if (rc < 0)
        return rc;
    if (y->dtype != DTYPE_STRING)
        memset(y->data, 0, tensor_bytes(y));
    for (int64_t i = 0; y->dtype == DTYPE_STRING && i < n; i++)
        ((struct str *)y->data)[i] = (struct str){"", 0};
    rc = put_entries(v, keys, values, y, e);
    for (int64_t i = 0; v->first && i < n && rc == 0; i++)
        memcpy((char *)y->data + (size_t)i * size, (char *)y->data + (size_t)v->first[i] * size, size);
    return rc;
}

/* ---- ZipMap ------------------------------------------------------------------------------------- */

struct attrs_zip {
    struct ints classlabels_int64s;
    struct strs classlabels_strings;
};

static const struct attr zip_attrs[] = {
    {"classlabels_int64s", ATTR_INTS, offsetof(struct attrs_zip, classlabels_int64s)},
    {"classlabels_strings", ATTR_STRINGS, offsetof(struct attrs_zip, classlabels_strings)},
    {0},
};

/* The labels that maps have, and from which column each takes its value: of labels that repeat the last
 * column counts. NULL: all labels, in order. */
struct zip {
    struct list labels;
    int64_t n, *columns;
};

static int labels_of(const struct attrs_zip *at, struct list *out, struct err *e)
{
    const struct list lists[] = {list_ints(at->classlabels_int64s), list_strs(at->classlabels_strings)};
    int rc = list_one(lists, 2, "classlabels_*", out, e);
    if (rc == 0 && out->n == 0)
        return err_set(e, ERR_MODEL, "one of classlabels_int64s and classlabels_strings is needed");
    return rc;
}

static int zip_infer(struct infer *c, struct err *e)
{
    struct list labels;
    int rank = infer_rank(c, 0), rc = labels_of(c->attrs, &labels, e);
    rc = rc ? rc : infer_dtypes(c, 0, DT(F32), e);
    if (rc < 0)
        return rc;
    if (rank == 0 || rank > 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 1 or 2", rank);
    if (rank > 0 && sym_differ(c->syms, infer_dim(c, 0, rank - 1), labels.n))
        return err_set(e, ERR_MODEL, "the input has not as many columns as there are labels, %lld",
                       (long long)labels.n);
    struct type *types = arena_array(c->arena, 2, sizeof *types, e);
    if (!types)
        return ERR_MEMORY;
    types[0] = (struct type){.kind = TYPE_MAP, .dtype = labels.dtype, .rank = -1, .elem = &types[1]};
    types[1] = (struct type){.kind = TYPE_TENSOR, .dtype = DTYPE_F32, .rank = -1};
    infer_set_type(c, 0, &(struct type){.kind = TYPE_SEQUENCE, .rank = -1, .elem = &types[0]});
    c->late = true;
    return 0;
}

static int zip_prepare(struct prepare *p, struct err *e)
{
    struct zip *z = arena_alloc(p->arena, sizeof *z, e);
    int rc = z ? labels_of(p->attrs, &z->labels, e) : ERR_MEMORY;
    if (rc < 0)
        return rc;
    const struct list *l = &z->labels;
    struct lookup *table = lookup_new(p->arena, l, true, e);
    int64_t *columns = arena_array(p->arena, (size_t)l->n, sizeof *columns, e), place;
    if (!table || !columns)
        return ERR_MEMORY;
    for (int64_t i = 0; i < l->n; i++) {
        lookup_places(table, l->dtype, l->data, i, 1, &place);
        if (place == i)
            columns[z->n++] = i;
    }
    z->columns = z->n < l->n ? columns : NULL;
    p->prepared = z;
    return 0;
}

/* Keys for all maps of a call. They may outlive the model, so strings are copied. */
static int make_keys(struct call *c, const struct zip *z, struct tensor *keys, struct err *e)
{
    int rc = tensor_new(keys, c->budget, z->labels.dtype, 1, &z->n, e);
    for (int64_t i = 0; i < z->n && rc == 0; i++) {
        int64_t from = z->columns ? z->columns[i] : i;
        const struct str *s = (const struct str *)z->labels.data + from;
        if (z->labels.dtype == DTYPE_STRING)
            rc = tensor_set_str(keys, i, s->data, s->size, e);
        else
            ((int64_t *)keys->data)[i] = ((const int64_t *)z->labels.data)[from];
    }
    return rc;
}

/* The numbers of all maps in one buffer. */
static int make_rows(struct call *c, const struct zip *z, int64_t rows, struct tensor *out, struct err *e)
{
    const float *x = call_in(c, 0)->data;
    int rc = tensor_new(out, c->budget, DTYPE_F32, 2, (int64_t[]){rows, z->n}, e);
    if (rc < 0)
        return rc;
    float *y = out->data;
    if (!z->columns && rows)
        memcpy(y, x, tensor_bytes(out));
    for (int64_t r = 0; z->columns && r < rows; r++)
        for (int64_t i = 0; i < z->n; i++)
            y[r * z->n + i] = x[r * z->labels.n + z->columns[i]];
    return 0;
}

static int append_map(struct call *c, struct seq *s, const struct tensor *keys, const struct tensor *rows,
                      int64_t r, struct err *e)
{
    struct value v = {.kind = VALUE_MAP, .map = map_new(c->budget, e)};
    if (!v.map)
        return e && e->code ? e->code : ERR_MEMORY;
    struct tensor *values = &v.map->values.tensor;
    tensor_ref(&v.map->keys, keys);
    v.map->values.kind = VALUE_TENSOR;
    tensor_ref(values, rows);
    values->rank = 1;
    values->dims[0] = rows->dims[1];
    values->data = (float *)rows->data + r * rows->dims[1];
    return seq_insert(s, s->count, &v, e);
}

/* Maps are views of the same keys and of one buffer of numbers. */
static int zip_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct zip *z = c->prepared;
    const struct tensor *x = call_in(c, 0);
    int64_t rows = x->rank == 2 ? x->dims[0] : 1;
    struct tensor keys = {0}, numbers = {0};
    if (x->rank < 1 || x->rank > 2 || x->dims[x->rank - 1] != z->labels.n)
        return err_set(e, ERR_INPUT, "the input has not as many columns as there are labels, %lld",
                       (long long)z->labels.n);
    int rc = make_keys(c, z, &keys, e);
    rc = rc ? rc : make_rows(c, z, rows, &numbers, e);
    struct value v = {.kind = VALUE_SEQUENCE};
    v.seq = rc ? NULL : seq_new(c->budget, DTYPE_NONE, e);
    rc = rc || v.seq ? rc : ERR_MEMORY;
    for (int64_t r = 0; r < rows && rc == 0; r++) {
        rc = append_map(c, v.seq, &keys, &numbers, r, e);
        if (rc == 0 && r % 1024 == 0)
            rc = call_poll(c, e);
    }
    tensor_clear(&keys);
    tensor_clear(&numbers);
    if (rc == 0)
        return call_output_value(c, 0, &v, e);
    seq_unref(v.seq);
    return rc;
}

/* Not OP_PURE: they take or give maps, or run with their tables only. */
#define MAP_ROW(row_name, word, attr_struct)                                                          \
    .domain = "ai.onnx.ml", .name = row_name, .since = 1, .in_min = 1, .in_max = 1, .out_min = 1,     \
    .out_max = 1, .host_in = 1, .attrs = word##_attrs, .attrs_size = sizeof(struct attr_struct),      \
    .infer = word##_infer, .run = word##_run

const struct op op_castmap = {MAP_ROW("CastMap", castmap, attrs_cast_map), .flags = OP_HOST | OP_DYNAMIC};
const struct op op_dictvectorizer = {MAP_ROW("DictVectorizer", dict, attrs_dict), .flags = OP_HOST,
                                     .prepare = dict_prepare};
const struct op op_zipmap = {MAP_ROW("ZipMap", zip, attrs_zip), .flags = OP_HOST | OP_DYNAMIC,
                             .prepare = zip_prepare};
