/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/sym_table.h"

#include <string.h>

struct syms *syms_new(struct budget *b, struct err *e)
{
    struct syms *s = mem_calloc(b, 1, sizeof *s, e);
    if (!s)
        return NULL;
    s->budget = b;
    s->count = 1;
    s->slots = 256;
    arena_init(&s->arena, b);
    s->table = mem_calloc(b, s->slots, sizeof *s->table, e);
    void *exprs = NULL;
    if (!s->table || mem_grow(b, &exprs, s->count, &s->capacity, sizeof *s->exprs, e)) {
        syms_free(s);
        return NULL;
    }
    s->exprs = exprs;
    memset(&s->exprs[0], 0, sizeof s->exprs[0]);
    return s;
}

void syms_free(struct syms *s)
{
    if (!s)
        return;
    arena_clear(&s->arena);
    mem_free(s->exprs);
    mem_free(s->table);
    mem_free(s);
}

uint32_t syms_count(const struct syms *s)
{
    return (uint32_t)s->count;
}

static uint32_t hash_bytes(uint32_t h, const void *p, size_t n)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ c[i]) * 16777619u;
    return h ^ h >> 15;
}

static uint32_t hash_expr(const struct expr *x)
{
    uint32_t h = hash_bytes(2166136261u, &x->kind, sizeof x->kind);
    if (x->kind == SYMBOL)
        return hash_bytes(h, x->name, strlen(x->name));
    if (x->kind == SUM)
        return hash_bytes(h, x->code, x->words * sizeof *x->code);
    return hash_bytes(hash_bytes(h, &x->a, sizeof x->a), &x->b, sizeof x->b);
}

static bool same(const struct expr *x, const struct expr *y)
{
    if (x->hash != y->hash || x->kind != y->kind)
        return false;
    if (x->kind == SYMBOL)
        return strcmp(x->name, y->name) == 0;
    if (x->kind == SUM)
        return x->words == y->words && !memcmp(x->code, y->code, x->words * sizeof *x->code);
    return x->a == y->a && x->b == y->b;
}

/* The place of x in the table: its index is there, or a 0 where it would go. */
static uint32_t *slot_of(const struct syms *s, const struct expr *x)
{
    size_t i = x->hash & (s->slots - 1);
    while (s->table[i] && !same(&s->exprs[s->table[i]], x))
        i = (i + 1) & (s->slots - 1);
    return &s->table[i];
}

static bool table_grow(struct syms *s)
{
    if (s->count * 2 < s->slots)
        return true;
    uint32_t *old = s->table, *table = mem_calloc(s->budget, s->slots * 2, sizeof *table, NULL);
    if (!table)
        return false;
    size_t n = s->slots;
    s->table = table;
    s->slots *= 2;
    for (size_t i = 0; i < n; i++)
        if (old[i])
            *slot_of(s, &s->exprs[old[i]]) = old[i];
    mem_free(old);
    return true;
}

/* Append an entry, its arrays being where they stay. */
static int64_t append(struct syms *s, const struct expr *x, bool find_again)
{
    void *exprs = s->exprs;
    if (s->count == EXPRS_MAX || !table_grow(s) ||
        mem_grow(s->budget, &exprs, s->count, &s->capacity, sizeof *s->exprs, NULL))
        return SYM_UNKNOWN;
    s->exprs = exprs;
    uint32_t index = (uint32_t)s->count++;
    s->exprs[index] = *x;
    if (find_again)
        *slot_of(s, x) = index;
    return expr_handle(index);
}

static int64_t symbol_new(struct syms *s, const char *name, int64_t low)
{
    uint32_t *self = arena_array(&s->arena, 1, sizeof *self, NULL);
    if (!self)
        return SYM_UNKNOWN;
    *self = (uint32_t)s->count;
    struct expr x = {.kind = SYMBOL, .depth = 1, .size = 1, .n_symbols = 1, .symbols = self,
                     .name = name, .range = {low, INT64_MAX}};
    x.hash = name ? hash_expr(&x) : 0;
    return append(s, &x, name != NULL);
}

int64_t sym_named(struct syms *s, const char *name)
{
    struct expr x = {.kind = SYMBOL, .name = name};
    x.hash = hash_expr(&x);
    uint32_t found = *slot_of(s, &x);
    if (found)
        return expr_handle(found);
    const char *copy = arena_strndup(&s->arena, name, strlen(name), NULL);
    return copy ? symbol_new(s, copy, 0) : SYM_UNKNOWN;
}

int64_t sym_fresh(struct syms *s, int64_t low)
{
    return symbol_new(s, NULL, low);
}

bool sym_is_symbol(const struct syms *s, int64_t v)
{
    return sym_is_expr(v) && expr_of(s, v)->kind == SYMBOL;
}

const char *sym_name(const struct syms *s, int64_t v)
{
    return sym_is_symbol(s, v) ? expr_of(s, v)->name : NULL;
}

/* Count operand v in x; its symbols go to `set`, of which x->n_symbols are in use. */
static bool count_operand(const struct syms *s, struct expr *x, int64_t v, uint32_t *set)
{
    if (sym_is_number(v))
        return true;
    const struct expr *y = expr_of(s, v);
    if (y->depth + 1 > x->depth)
        x->depth = y->depth + 1;
    x->size += y->size;
    uint32_t merged[EXPR_SYMBOLS_MAX], n = 0;
    for (uint32_t i = 0, j = 0; i < x->n_symbols || j < y->n_symbols; n++) {
        uint32_t p = i < x->n_symbols ? set[i] : UINT32_MAX;
        uint32_t q = j < y->n_symbols ? y->symbols[j] : UINT32_MAX;
        if (n == EXPR_SYMBOLS_MAX)
            return false;
        merged[n] = p < q ? p : q;
        i += p <= q;
        j += q <= p;
    }
    /* An operand with the same set lends its array. */
    if (n == y->n_symbols)
        x->symbols = y->symbols;
    else if (n != x->n_symbols)
        x->symbols = NULL;
    memcpy(set, merged, n * sizeof *set);
    x->n_symbols = n;
    return x->depth <= EXPR_DEPTH_MAX && x->size <= EXPR_SIZE_MAX;
}

/* The handle of x: kind, operands or code are set, the rest is worked out here if it is new. */
static int64_t intern(struct syms *s, struct expr *x)
{
    x->hash = hash_expr(x);
    uint32_t found = *slot_of(s, x), set[EXPR_SYMBOLS_MAX];
    if (found)
        return expr_handle(found);
    x->size = x->depth = 1;
    if (x->kind != SUM) {
        if (!count_operand(s, x, x->a, set) || !count_operand(s, x, x->b, set))
            return SYM_UNKNOWN;
    } else {
        for (const uint32_t *c = x->code, *end = c + x->words; c < end; c += 3 + c[2])
            for (uint32_t i = 0; i < c[2]; i++)
                if (!count_operand(s, x, expr_handle(c[3 + i]), set))
                    return SYM_UNKNOWN;
        x->range = range_sum(s, x, NULL, NULL);
        uint32_t *code = arena_array(&s->arena, x->words, sizeof *code, NULL);
        if (!code)
            return SYM_UNKNOWN;
        x->code = memcpy(code, x->code, x->words * sizeof *code);
    }
    if (!x->symbols) {
        uint32_t *symbols = arena_array(&s->arena, x->n_symbols, sizeof *symbols, NULL);
        if (!symbols)
            return SYM_UNKNOWN;
        x->symbols = memcpy(symbols, set, x->n_symbols * sizeof *set);
    }
    return append(s, x, true);
}

/* The two operands of every kind but sums are not both numbers. */
int64_t expr_pair(struct syms *s, enum sym_kind kind, int64_t a, int64_t b)
{
    if (sym_is_unknown(a) || sym_is_unknown(b))
        return SYM_UNKNOWN;
    struct expr x = {.kind = kind, .a = a, .b = b};
    x.range = range_pair(kind, range_of(s, a, NULL, NULL), range_of(s, b, NULL, NULL));
    if (x.range.low == x.range.high && !range_end(x.range.low))
        return expr_number(x.range.low);
    return intern(s, &x);
}

int64_t expr_poly(struct syms *s, const struct poly *p)
{
    int64_t v;
    if (poly_is_number(p, &v))
        return expr_number(v);
    if (p->n == 1 && p->t[0].n == 1 && p->t[0].coeff == 1)
        return expr_handle(p->t[0].f[0]);
    uint32_t code[EXPR_WORDS_MAX], n = 0;
    for (int i = 0; i < p->n; i++) {
        memcpy(&code[n], &p->t[i].coeff, sizeof p->t[i].coeff);
        code[n + 2] = (uint32_t)p->t[i].n;
        n += 3;
        for (int k = 0; k < p->t[i].n; k++)
            code[n++] = p->t[i].f[k];
    }
    struct expr x = {.kind = SUM, .code = code, .words = n};
    return intern(s, &x);
}

bool expr_to_poly(const struct syms *s, int64_t v, struct poly *p)
{
    p->n = 0;
    if (sym_is_unknown(v))
        return false;
    if (sym_is_number(v))
        return poly_add_number(p, v);
    const struct expr *x = expr_of(s, v);
    if (x->kind != SUM) {
        p->n = 1;
        p->t[0] = (struct term){.coeff = 1, .n = 1, .f = {sym_index(v)}};
        return true;
    }
    for (const uint32_t *c = x->code, *end = c + x->words; c < end; c += 3 + c[2]) {
        struct term *t = &p->t[p->n++];
        memcpy(&t->coeff, c, sizeof t->coeff);
        t->n = (int)c[2];
        memcpy(t->f, c + 3, c[2] * sizeof *c);
    }
    return true;
}
