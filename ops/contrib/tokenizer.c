/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizer: what is left of each string between separators, or the matches of an expression, or its
 * characters, along a new last axis; with marks around them if wanted, and padding behind. Tokens are
 * views into the input's bytes. Of no strings there are no tokens: the new dim is 0.
 */
#include <string.h>

#include "ops/common.h"
#include "ops/regex.h"
#include "ops/utf8.h"

enum { SEPARATORS_MAX = 64 }; /* each is a level of recursion */

struct token_attrs {
    int64_t mark, mincharnum;
    struct str pad_value, tokenexp;
    struct strs separators;
};

/* The separators, or the expression of a token; neither: characters. */
struct tokenizer {
    int64_t n, shortest;
    bool separate;
    struct regex **list;
};

static bool by_characters(const struct token_attrs *a)
{
    if (a->separators.n > 0)
        return a->separators.n == 1 && a->separators.v[0].size == 0;
    return a->tokenexp.size == 1 && a->tokenexp.data[0] == '.';
}

static int check_attrs(const struct token_attrs *a, struct err *e)
{
    if (a->separators.n == 0 && a->tokenexp.size == 0)
        return err_set(e, ERR_MODEL, "one of separators and tokenexp is needed");
    if (a->mincharnum < 1 || (by_characters(a) && a->mincharnum > 1))
        return err_set(e, ERR_MODEL, "mincharnum is %lld", (long long)a->mincharnum);
    if (a->separators.n > SEPARATORS_MAX)
        return err_set(e, ERR_UNSUPPORTED, "%lld separators, more than %d",
                       (long long)a->separators.n, SEPARATORS_MAX);
    return 0;
}

static int token_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), r = infer_dtypes(c, 0, DT(STRING), e);
    if (r || (r = check_attrs(c->attrs, e)))
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, DTYPE_STRING, e);
    if (rank < 1 || rank > 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 1 or 2", rank);
    memcpy(dims, c->in[0]->type.dims, sizeof dims);
    dims[rank] = SYM_UNKNOWN;
    return infer_set(c, 0, DTYPE_STRING, rank + 1, dims, e);
}

static int token_prepare(struct prepare *p, struct err *e)
{
    const struct token_attrs *a = p->attrs;
    struct tokenizer *t = arena_alloc(p->arena, sizeof *t, e);
    int r = check_attrs(a, e);
    if (r || !t)
        return r ? r : ERR_MEMORY;
    *t = (struct tokenizer){.shortest = a->mincharnum, .separate = a->separators.n > 0};
    p->prepared = t;
    if (by_characters(a))
        return 0;
    t->n = t->separate ? a->separators.n : 1;
    t->list = arena_array(p->arena, (size_t)t->n, sizeof *t->list, e);
    if (!t->list)
        return ERR_MEMORY;
    for (int64_t i = 0; i < t->n && r == 0; i++)
        r = regex_new(&t->list[i], p->arena, t->separate ? a->separators.v[i] : a->tokenexp, e);
    return r;
}

/* ---- one string --------------------------------------------------------------------------------- */

/* Where tokens go, as far as there is room; counted in any case. */
struct sink {
    struct str *out;
    int64_t count, room;
    struct budget *budget;
};

static void put(struct sink *s, const char *data, size_t size)
{
    if (s->count < s->room)
        s->out[s->count] = (struct str){data, size};
    s->count++;
}

static bool long_enough(const struct tokenizer *t, struct str s)
{
    return s.size > 0 && ((int64_t)s.size >= t->shortest) && utf8_length(s) >= t->shortest;
}

/* What separators from `level` on leave of `text`. */
static int separate(const struct tokenizer *t, int64_t level, struct str text, struct sink *s, struct err *e)
{
    if (level == t->n) {
        put(s, text.data, text.size);
        return 0;
    }
    size_t from = 0, begin, end;
    int more = 1, r = 0;
    while (more && r == 0) {
        more = regex_find(t->list[level], s->budget, text, from, &begin, &end, e);
        if (more < 0)
            return more;
        struct str part = {text.data + from, (more ? begin : text.size) - from};
        if (long_enough(t, part))
            r = separate(t, level + 1, part, s, e);
        from = more ? end : text.size;
    }
    return r;
}

static int tokenize(const struct tokenizer *t, struct str text, struct sink *s, struct err *e)
{
    size_t begin, end;
    uint32_t code;
    int r = 0;
    if (t->separate && t->n) {
        r = separate(t, 0, text, s, e);
    } else if (t->n) {
        for (size_t from = 0; (r = regex_find(*t->list, s->budget, text, from, &begin, &end, e)) > 0; from = end)
            if (long_enough(t, (struct str){text.data + begin, end - begin}))
                put(s, text.data + begin, end - begin);
    } else {
        for (size_t at = 0, n; at < text.size; at += n) {
            n = utf8_next(text, at, &code);
            n = n ? n : 1;
            put(s, text.data + at, n);
        }
    }
    return r;
}

/* ---- running ------------------------------------------------------------------------------------ */

/* The most tokens of a string. */
static int count_tokens(const struct call *c, int64_t *most, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    *most = 0;
    for (int64_t i = 0; i < tensor_count(x); i++) {
        struct str text = ((const struct str *)x->data)[i];
        struct sink s = {.budget = c->budget};
        if (utf8_length(text) < 0)
            return err_set(e, ERR_INPUT, "string %lld is no UTF-8", (long long)i);
        int r = tokenize(c->prepared, text, &s, e);
        if (r)
            return r;
        *most = s.count > *most ? s.count : *most;
    }
    return 0;
}

/* The string, made once in y at `at`, in *made. */
static int make_once(struct tensor *y, int64_t at, struct str value, struct str *made, struct err *e)
{
    int r = 0;
    if (!made->data) {
        r = tensor_set_str(y, at, value.size ? value.data : "", value.size, e);
        *made = ((struct str *)y->data)[at];
    }
    ((struct str *)y->data)[at] = *made;
    return r;
}

static int token_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct token_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    const struct str start = {"\x02", 1}, stop = {"\x03", 1};
    struct str marks[2] = {{0}}, pad = {0};
    int64_t most, dims[TENSOR_RANK_MAX], marked = a->mark != 0;
    if (x->rank < 1 || x->rank > 2)
        return err_set(e, ERR_INPUT, "the input has rank %d, expected 1 or 2", x->rank);
    int r = count_tokens(c, &most, e);
    if (r)
        return r;
    int64_t width = most ? most + 2 * marked : 0;
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank] = width;
    r = call_output(c, 0, DTYPE_STRING, x->rank + 1, dims, e);
    struct tensor *y = call_out(c, 0);
    for (int64_t i = 0; r == 0 && y && width && i < tensor_count(x); i++) {
        int64_t at = i * width;
        struct sink s = {.out = (struct str *)y->data + at + marked, .room = most, .budget = c->budget};
        r = tokenize(c->prepared, ((const struct str *)x->data)[i], &s, e);
        if (r == 0 && marked && (r = make_once(y, at, start, &marks[0], e)) == 0)
            r = make_once(y, at + 1 + s.count, stop, &marks[1], e);
        for (int64_t k = s.count + 2 * marked; k < width && r == 0; k++)
            r = make_once(y, at + k, a->pad_value, &pad, e);
    }
    return r;
}

static const struct attr token_attr_rows[] = {
    {"mark", ATTR_INT, offsetof(struct token_attrs, mark), .required = true},
    {"mincharnum", ATTR_INT, offsetof(struct token_attrs, mincharnum), .required = true},
    {"pad_value", ATTR_STRING, offsetof(struct token_attrs, pad_value), .required = true},
    {"separators", ATTR_STRINGS, offsetof(struct token_attrs, separators)},
    {"tokenexp", ATTR_STRING, offsetof(struct token_attrs, tokenexp)},
    {NULL},
};

/* Not OP_PURE: it runs with what was prepared only. */
const struct op op_ms_tokenizer = {
    .domain = "com.microsoft", .name = "Tokenizer", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_HOST | OP_DYNAMIC,
    .host_in = ~0u,
    .attrs = token_attr_rows, .attrs_size = sizeof(struct token_attrs),
    .infer = token_infer, .prepare = token_prepare, .run = token_run,
};
