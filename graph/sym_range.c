/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/sym_table.h"

#include <string.h>

static const struct range anything = {INT64_MIN, INT64_MAX};

static int64_t clamp(__int128 v)
{
    return v <= INT64_MIN ? INT64_MIN : v >= INT64_MAX ? INT64_MAX : (int64_t)v;
}

/* Sums of two lower ends or of two upper ends: an infinite one stays so. */
static int64_t add_ends(int64_t a, int64_t b, int64_t infinity)
{
    return a == infinity || b == infinity ? infinity : clamp((__int128)a + b);
}

static struct range range_add(struct range a, struct range b)
{
    return (struct range){add_ends(a.low, b.low, INT64_MIN), add_ends(a.high, b.high, INT64_MAX)};
}

static int64_t mul_ends(int64_t a, int64_t b)
{
    if (a == 0 || b == 0)
        return 0;
    if (range_end(a) || range_end(b))
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    return clamp((__int128)a * b);
}

static struct range hull(const int64_t *ends, int n)
{
    struct range r = {ends[0], ends[0]};
    for (int i = 1; i < n; i++) {
        r.low = ends[i] < r.low ? ends[i] : r.low;
        r.high = ends[i] > r.high ? ends[i] : r.high;
    }
    return r;
}

static struct range range_mul(struct range a, struct range b)
{
    int64_t ends[] = {mul_ends(a.low, b.low), mul_ends(a.low, b.high), mul_ends(a.high, b.low),
                      mul_ends(a.high, b.high)};
    return hull(ends, 4);
}

/* Divisors are not zero where there is a value. */
static struct range range_floor(struct range a, struct range b)
{
    if (b.low == 0)
        b.low = 1;
    if (b.low > b.high)
        return anything;
    if (b.low > 0) {
        int64_t ends[] = {range_floor_end(a.low, b.low), range_floor_end(a.low, b.high),
                          range_floor_end(a.high, b.low), range_floor_end(a.high, b.high)};
        return hull(ends, 4);
    }
    if (range_end(a.low) || range_end(a.high))
        return anything;
    int64_t most = a.high > -a.low ? a.high : -a.low;
    return (struct range){-most, most};
}

static struct range range_mod(struct range a, struct range b)
{
    if (b.low == 0)
        b.low = 1;
    if (b.low > b.high)
        return anything;
    if (b.low < 0)
        return (struct range){b.low == INT64_MIN ? b.low : b.low + 1,
                              b.high == INT64_MAX ? b.high : b.high > 0 ? b.high - 1 : 0};
    if (a.low >= 0 && a.high < b.low)
        return a;
    int64_t high = b.high == INT64_MAX ? b.high : b.high - 1;
    return (struct range){0, a.low >= 0 && a.high < high ? a.high : high};
}

struct range range_pair(enum sym_kind kind, struct range a, struct range b)
{
    int64_t low_min = a.low < b.low ? a.low : b.low, low_max = a.low > b.low ? a.low : b.low;
    int64_t high_min = a.high < b.high ? a.high : b.high;
    int64_t high_max = a.high > b.high ? a.high : b.high;
    switch (kind) {
    case FLOOR:
        return range_floor(a, b);
    case MOD:
        return range_mod(a, b);
    case MIN:
        return (struct range){low_min, high_min};
    case MAX:
        return (struct range){low_max, high_max};
    case BROADCAST: /* the larger one, but for a zero against a one */
        return (struct range){low_min >= 1 ? low_max : low_min, high_max};
    default:
        return anything;
    }
}

static struct range range_term(const struct syms *s, int64_t coeff, const uint32_t *f, uint32_t n,
                               const int64_t *low, const int64_t *high)
{
    struct range r = {coeff, coeff};
    for (uint32_t i = 0; i < n; i++)
        r = range_mul(r, range_of(s, expr_handle(f[i]), low, high));
    return r;
}

struct range range_sum(const struct syms *s, const struct expr *x, const int64_t *low,
                              const int64_t *high)
{
    struct range r = {0, 0};
    for (const uint32_t *c = x->code, *end = c + x->words; c < end; c += 3 + c[2]) {
        int64_t coeff;
        memcpy(&coeff, c, sizeof coeff);
        r = range_add(r, range_term(s, coeff, c + 3, c[2], low, high));
    }
    return r;
}

struct range range_of(const struct syms *s, int64_t v, const int64_t *low, const int64_t *high)
{
    if (sym_is_number(v))
        return (struct range){v, v};
    if (sym_is_unknown(v))
        return anything;
    const struct expr *x = expr_of(s, v);
    if (!low)
        return x->range;
    if (x->kind == SYMBOL)
        return (struct range){low[sym_index(v)], high[sym_index(v)]};
    if (x->kind == SUM)
        return range_sum(s, x, low, high);
    return range_pair(x->kind, range_of(s, x->a, low, high), range_of(s, x->b, low, high));
}

struct range range_poly(const struct syms *s, const struct poly *p)
{
    struct range r = {0, 0};
    for (int i = 0; i < p->n; i++) {
        const struct term *t = &p->t[i];
        r = range_add(r, range_term(s, t->coeff, t->f, (uint32_t)t->n, NULL, NULL));
    }
    return r;
}
