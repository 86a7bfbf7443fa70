/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind symbolic integers, for the files sym*.c alone: entries, their ranges, interning.
 *
 * Entries are an array, operands before users, found again by hash. A sum is a program of words:
 * for each term the coefficient (two words), the number of factors, and their indices. Every other
 * kind has two operands, numbers or handles. Ceiling and truncating division are written with
 * floors, so that one form stands for them all. Each entry knows the range of its values, from the
 * lower bounds of its symbols; ranges saturate, and the ends of int64 read as infinite.
 *
 * Models are hostile: entries, operands, depth and the size of the tree below an entry are bounded,
 * so recursion over a tree is safe wherever it is done.
 */
#pragma once

#include <assert.h>

#include "graph/poly.h"
#include "graph/sym.h"

enum sym_kind { SYMBOL, SUM, FLOOR, MOD, MIN, MAX, BROADCAST };

struct range {
    int64_t low, high;
};

struct expr {
    enum sym_kind kind;
    uint32_t hash;
    uint32_t depth, size; /* of the tree */
    uint32_t words;       /* of a sum */
    uint32_t n_symbols;
    const uint32_t *code;
    int64_t a, b; /* operands of the other kinds */
    const char *name;
    const uint32_t *symbols; /* below it, ascending */
    struct range range;
};

enum {
    EXPRS_MAX = 1 << 18,
    EXPR_DEPTH_MAX = 400,
    EXPR_SIZE_MAX = 1 << 14,
    EXPR_SYMBOLS_MAX = 256,
    EXPR_WORDS_MAX = POLY_TERMS * (3 + POLY_FACTORS),
};

struct syms {
    struct budget *budget;
    struct arena arena;
    struct expr *exprs; /* exprs[0] is unused */
    size_t count, capacity;
    uint32_t *table; /* indices by hash; 0: free */
    size_t slots;    /* a power of two */
    bool undecided;  /* see syms_undecided */
};

static inline int64_t expr_handle(uint32_t index)
{
    return SYM_TAG << 32 | index;
}
static inline const struct expr *expr_of(const struct syms *s, int64_t v)
{
    assert(sym_index(v) > 0 && sym_index(v) < s->count);
    return &s->exprs[sym_index(v)];
}
/* A number that looks like a handle is none that can be told. */
static inline int64_t expr_number(int64_t v)
{
    return sym_is_number(v) ? v : SYM_UNKNOWN;
}
static inline int64_t floor_number(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

/* The handle (or number) of a polynomial; SYM_UNKNOWN when a limit is reached. */
int64_t expr_poly(struct syms *s, const struct poly *p);
/* The handle of kind(a, b), which are not both numbers, as it stands (a number if its range is
 * one). */
int64_t expr_pair(struct syms *s, enum sym_kind kind, int64_t a, int64_t b);
/* v as a polynomial; false if it is SYM_UNKNOWN. */
bool expr_to_poly(const struct syms *s, int64_t v, struct poly *p);

static inline bool range_end(int64_t v)
{
    return v == INT64_MIN || v == INT64_MAX;
}
/* floor of an end of a range, infinite ones staying so */
static inline int64_t range_floor_end(int64_t a, int64_t b)
{
    return range_end(a) ? a : floor_number(a, b);
}
/* The range of v, with those of symbols from the caller, or (low NULL) as entries keep them. */
struct range range_of(const struct syms *s, int64_t v, const int64_t *low, const int64_t *high);
struct range range_poly(const struct syms *s, const struct poly *p);
struct range range_sum(const struct syms *s, const struct expr *x, const int64_t *low,
                       const int64_t *high);
struct range range_pair(enum sym_kind kind, struct range a, struct range b);
