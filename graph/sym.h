/* SPDX-License-Identifier: Apache-2.0 */
/* Symbolic integers: what a dimension or an element of a shape tensor is before it is known.
 *
 * A symbolic integer is an int64_t. Almost every bit pattern is just that number; those whose upper half
 * is SYM_TAG are handles of expressions in a struct syms, or SYM_UNKNOWN. So code that handles shapes is
 * the same on symbols (at load) and on numbers (at run time, with a NULL table). Expressions are
 * hash-consed in a canonical form (sums of products with integer coefficients over atoms; an atom is a
 * symbol or a floor/ceil division, mod, min, max or broadcast), so equal handles mean equal values, and
 * as far as the form goes the other way round.
 *
 * One table serves a model and its subgraphs. Building is for one thread; evaluation only reads the
 * table and may run in any number of threads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/mem.h"

#define SYM_TAG INT64_C(0x7A5C3E1D)
#define SYM_UNKNOWN (SYM_TAG << 32)

struct syms;

static inline bool sym_is_number(int64_t v)
{
    return v >> 32 != SYM_TAG;
}
static inline bool sym_is_unknown(int64_t v)
{
    return v == SYM_UNKNOWN;
}
static inline bool sym_is_expr(int64_t v)
{
    return !sym_is_number(v) && !sym_is_unknown(v);
}
/* The place of an expression in evaluation tables: 1 .. syms_count()-1; operands come before users. */
static inline uint32_t sym_index(int64_t v)
{
    return (uint32_t)v;
}

struct syms *syms_new(struct budget *b, struct err *e) WARN_UNUSED;
void syms_free(struct syms *s);
uint32_t syms_count(const struct syms *s); /* expressions so far, plus one */

/* The symbol of this name (made on first use). Dims are never negative; `low` 0 says so. */
int64_t sym_named(struct syms *s, const char *name);
/* A new symbol; values below `low` are not expected (0 for dims, INT64_MIN for any integer). */
int64_t sym_fresh(struct syms *s, int64_t low);
/* Is this handle a plain symbol, and its name (NULL for unnamed ones). */
bool sym_is_symbol(const struct syms *s, int64_t v);
const char *sym_name(const struct syms *s, int64_t v);

/* Arithmetic. On numbers the result is a number; overflow, division by zero, an unknown operand, a full
 * table or lack of memory give SYM_UNKNOWN; `s` may be NULL if both operands are numbers.
 * floor_div rounds to minus infinity; div truncates as C does; mod has the sign of the divisor. */
int64_t sym_add(struct syms *s, int64_t a, int64_t b);
int64_t sym_sub(struct syms *s, int64_t a, int64_t b);
int64_t sym_mul(struct syms *s, int64_t a, int64_t b);
int64_t sym_floor_div(struct syms *s, int64_t a, int64_t b);
int64_t sym_ceil_div(struct syms *s, int64_t a, int64_t b);
int64_t sym_div(struct syms *s, int64_t a, int64_t b); /* truncating; exact floor where a, b >= 0 */
int64_t sym_mod(struct syms *s, int64_t a, int64_t b);
int64_t sym_min(struct syms *s, int64_t a, int64_t b);
int64_t sym_max(struct syms *s, int64_t a, int64_t b);
/* NumPy's rule: equal, or one of them 1. A symbol against a number above 1 is that number: another
 * value would be an error at run time, which the operator reports. */
int64_t sym_broadcast(struct syms *s, int64_t a, int64_t b);

/* Since the last call of this: did sym_differ() see a pair that is neither certainly equal nor certainly
 * different, or sym_broadcast() take a symbol for what it need not be? Who went on as if dims agreed must
 * look again on numbers. */
bool syms_undecided(struct syms *s);

/* Certainly equal / certainly different, from the canonical difference and the lower bounds. */
bool sym_equal(struct syms *s, int64_t a, int64_t b);
bool sym_differ(struct syms *s, int64_t a, int64_t b);
/* A lower bound of v over all values its symbols may have. */
int64_t sym_low(const struct syms *s, int64_t v);

/* Does v depend on the symbol? */
bool sym_depends(const struct syms *s, int64_t v, int64_t symbol);
/* Calls fn for each plain symbol in v (repeats possible). */
void sym_each(const struct syms *s, int64_t v, void (*fn)(void *arg, int64_t symbol), void *arg);

/* Evaluation. `values` has syms_count() entries; those of symbols are set by the caller, and
 * sym_eval_one() computes expression `index` from operands that were computed before. Returns false if
 * it has no value (overflow, division by zero, dims that do not broadcast, an operand SYM_UNKNOWN),
 * storing SYM_UNKNOWN. */
bool sym_eval_one(const struct syms *s, uint32_t index, int64_t *values);
/* Recursive evaluation of v without a prepared order. */
int64_t sym_eval(const struct syms *s, int64_t v, const int64_t *values);
/* Append to `list` (cap `max`) the indices that v needs, operands first, without repeats (`seen` has
 * syms_count() flags); returns the new count, or -1 when the list is full. */
int64_t sym_collect(const struct syms *s, int64_t v, uint32_t *list, int64_t count, int64_t max,
                    uint8_t *seen);
/* An interval that holds v for all symbols in [low[i], high[i]] (indexed like `values`, for symbols);
 * false if it cannot be bounded. */
bool sym_bounds(const struct syms *s, int64_t v, const int64_t *low, const int64_t *high,
                int64_t *out_low, int64_t *out_high);

/* "batch*sequence + 2" into buf; returns buf. */
const char *sym_print(const struct syms *s, int64_t v, char *buf, size_t size);
