/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic in canonical form. A divisor is taken to be other than zero, so that what it shares
 * with the dividend cancels: B*S*768 over B*S is 768. Only signs and orders that the lower bounds
 * of the symbols prove are used.
 */
#include "graph/sym.h"

#include "graph/sym_table.h"

enum { LEAVES_MAX = 8 }; /* operands of nested min, max and broadcast that are sorted */

static bool unknown(int64_t a, int64_t b)
{
    return sym_is_unknown(a) || sym_is_unknown(b);
}

static bool numbers(int64_t a, int64_t b)
{
    return sym_is_number(a) && sym_is_number(b);
}

/* ---- sums and products ---- */

static int64_t add_scaled(struct syms *s, int64_t a, int64_t b, int64_t scale)
{
    struct poly p, q;
    if (!expr_to_poly(s, a, &p) || !expr_to_poly(s, b, &q) || !poly_add(&p, &q, scale))
        return SYM_UNKNOWN;
    return expr_poly(s, &p);
}

int64_t sym_add(struct syms *s, int64_t a, int64_t b)
{
    int64_t v;
    if (numbers(a, b))
        return __builtin_add_overflow(a, b, &v) ? SYM_UNKNOWN : expr_number(v);
    if (unknown(a, b))
        return SYM_UNKNOWN;
    return a == 0 ? b : b == 0 ? a : add_scaled(s, a, b, 1);
}

int64_t sym_sub(struct syms *s, int64_t a, int64_t b)
{
    int64_t v;
    if (numbers(a, b))
        return __builtin_sub_overflow(a, b, &v) ? SYM_UNKNOWN : expr_number(v);
    if (unknown(a, b))
        return SYM_UNKNOWN;
    return a == b ? 0 : b == 0 ? a : add_scaled(s, a, b, -1);
}

int64_t sym_mul(struct syms *s, int64_t a, int64_t b)
{
    int64_t v;
    if (numbers(a, b))
        return __builtin_mul_overflow(a, b, &v) ? SYM_UNKNOWN : expr_number(v);
    if (unknown(a, b))
        return SYM_UNKNOWN;
    if (a == 1 || b == 1)
        return a == 1 ? b : a;
    struct poly p, q, out;
    if (!expr_to_poly(s, a, &p) || !expr_to_poly(s, b, &q) || !poly_mul(&out, &p, &q))
        return SYM_UNKNOWN;
    return expr_poly(s, &out);
}

/* a - b, not entered into the table. */
static bool difference(const struct syms *s, int64_t a, int64_t b, struct poly *p)
{
    struct poly q;
    return expr_to_poly(s, a, p) && expr_to_poly(s, b, &q) && poly_add(p, &q, -1);
}

/* ---- division ---- */

/* What a and b share (number and monomial) goes out of both; b's leading coefficient becomes
 * positive. a / b stays, and a mod b is *common times what it was. */
static void reduce(struct poly *a, struct poly *b, struct term *common)
{
    poly_monomial(b, common);
    for (int i = 0; i < a->n; i++)
        term_common(common, &a->t[i]);
    common->coeff = poly_gcd(b, poly_gcd(a, 0, true), true);
    if (b->t[0].coeff < 0)
        common->coeff = -common->coeff;
    poly_cancel(a, common);
    poly_cancel(b, common);
}

/* a = quotient * b + rest, where b is one term. */
static bool divide_terms(const struct poly *a, const struct poly *b, struct poly *quotient,
                         struct poly *rest)
{
    quotient->n = rest->n = 0;
    for (int i = 0; i < a->n; i++) {
        struct term t;
        bool fits = term_div(&t, &a->t[i], &b->t[0]);
        if (!(fits ? poly_add_term(quotient, &t) : poly_add_term(rest, &a->t[i])))
            return false;
    }
    return true;
}

/* floor(a / n), a number if a's range lies in one interval of n. */
static bool floor_from_range(const struct syms *s, const struct poly *a, int64_t n, int64_t *out)
{
    struct range r = range_poly(s, a);
    *out = range_floor_end(r.low, n);
    return !range_end(r.low) && !range_end(r.high) && *out == range_floor_end(r.high, n);
}

static int64_t floor_poly(struct syms *s, struct poly *a, struct poly *b);

/* floor((floor(x / m) + c) / n) = floor((x + c * m) / (m * n)); true if `rest` was of that form. */
static bool floor_nested(struct syms *s, const struct poly *rest, int64_t n, int64_t *out)
{
    int64_t c = poly_constant(rest), m;
    const struct term *t = &rest->t[0];
    if (rest->n != 1 + (c != 0) || t->n != 1 || t->coeff != 1)
        return false;
    const struct expr *x = &s->exprs[t->f[0]];
    if (x->kind != FLOOR || !sym_is_number(x->b) || x->b <= 0)
        return false;
    struct poly a, b = {.n = 0};
    m = x->b;
    if (!expr_to_poly(s, x->a, &a) || __builtin_mul_overflow(c, m, &c) || !poly_add_number(&a, c) ||
        __builtin_mul_overflow(n, m, &n) || !poly_add_number(&b, n))
        return false;
    *out = floor_poly(s, &a, &b);
    return true;
}

/* floor(a / n), n > 1. */
static int64_t floor_by_number(struct syms *s, const struct poly *a, int64_t n)
{
    struct poly b = {.n = 1, .t = {{.coeff = n}}}, quotient, rest;
    int64_t c = poly_constant(a), part;
    if (!divide_terms(a, &b, &quotient, &rest))
        return SYM_UNKNOWN;
    /* Of a constant that is no multiple the whole part goes out too. */
    if (c % n != 0 && (!poly_add_number(&quotient, floor_number(c, n)) ||
                       !poly_add_number(&rest, -c) ||
                       !poly_add_number(&rest, c - floor_number(c, n) * n)))
        return SYM_UNKNOWN;
    if (floor_from_range(s, &rest, n, &part))
        return poly_add_number(&quotient, part) ? expr_poly(s, &quotient) : SYM_UNKNOWN;
    /* floor((g y + c) / (g n)) = floor((y + floor(c / g)) / n) */
    int64_t g = poly_gcd(&rest, n, false);
    c = poly_constant(&rest);
    if (g > 1) {
        struct term by = {.coeff = g};
        if (!poly_add_number(&rest, -(c % g)))
            return SYM_UNKNOWN;
        poly_cancel(&rest, &by);
        n /= g;
    }
    if (!floor_nested(s, &rest, n, &part))
        part = expr_pair(s, FLOOR, expr_poly(s, &rest), n);
    return quotient.n ? sym_add(s, expr_poly(s, &quotient), part) : part;
}

/* Is 0 <= a < b certain? */
static bool below(const struct syms *s, const struct poly *a, const struct poly *b)
{
    struct poly gap = *b;
    return range_poly(s, a).low >= 0 && poly_add(&gap, a, -1) && range_poly(s, &gap).low >= 1;
}

/* floor(a / b), which become something else. */
static int64_t floor_poly(struct syms *s, struct poly *a, struct poly *b)
{
    struct term common;
    struct poly quotient, rest;
    int64_t n;
    if (a->n == 0)
        return 0;
    reduce(a, b, &common);
    if (poly_is_number(b, &n))
        return n == 1 ? expr_poly(s, a) : floor_by_number(s, a, n);
    if (b->n == 1) {
        if (!divide_terms(a, b, &quotient, &rest))
            return SYM_UNKNOWN;
    } else {
        /* By a sum: exactly, or not at all; what b's terms share is divided by afterwards. */
        struct poly primitive = *b;
        poly_monomial(b, &common);
        common.coeff = poly_gcd(b, 0, true);
        poly_cancel(&primitive, &common);
        if (poly_div(&quotient, a, &primitive)) {
            rest = (struct poly){.n = 1, .t = {common}};
            return floor_poly(s, &quotient, &rest);
        }
        quotient.n = 0;
        rest = *a;
    }
    if (rest.n == 0 || below(s, &rest, b))
        return expr_poly(s, &quotient);
    int64_t part = expr_pair(s, FLOOR, expr_poly(s, &rest), expr_poly(s, b));
    return quotient.n ? sym_add(s, expr_poly(s, &quotient), part) : part;
}

int64_t sym_floor_div(struct syms *s, int64_t a, int64_t b)
{
    if (unknown(a, b) || b == 0 || (a == INT64_MIN && b == -1))
        return SYM_UNKNOWN;
    if (numbers(a, b))
        return expr_number(floor_number(a, b));
    if (a == b)
        return 1;
    struct poly p, q;
    if (!expr_to_poly(s, a, &p) || !expr_to_poly(s, b, &q))
        return SYM_UNKNOWN;
    return floor_poly(s, &p, &q);
}

int64_t sym_ceil_div(struct syms *s, int64_t a, int64_t b)
{
    if (numbers(a, b)) {
        int64_t q = sym_floor_div(s, a, b);
        return sym_is_unknown(q) ? q : sym_add(s, q, a % b != 0);
    }
    if (sym_low(s, b) >= 0) /* zero is no divisor */
        return sym_floor_div(s, sym_add(s, a, sym_sub(s, b, 1)), b);
    return sym_sub(s, 0, sym_floor_div(s, sym_sub(s, 0, a), b));
}

int64_t sym_div(struct syms *s, int64_t a, int64_t b)
{
    if (unknown(a, b) || b == 0 || (a == INT64_MIN && b == -1))
        return SYM_UNKNOWN;
    if (numbers(a, b))
        return expr_number(a / b);
    if (sym_is_number(b) && b < 0)
        return b == INT64_MIN ? SYM_UNKNOWN : sym_sub(s, 0, sym_div(s, a, -b));
    if (sym_low(s, b) < 0)
        return SYM_UNKNOWN;
    if (range_of(s, a, NULL, NULL).high <= 0)
        return sym_ceil_div(s, a, b);
    if (sym_low(s, a) >= 0)
        return sym_floor_div(s, a, b);
    return sym_add(s, sym_floor_div(s, sym_max(s, a, 0), b), sym_ceil_div(s, sym_min(s, a, 0), b));
}

/* a mod n, n > 1. */
static int64_t mod_by_number(struct syms *s, struct poly *a, int64_t n)
{
    struct poly rest = {.n = 0};
    int64_t whole;
    /* Within one interval it is a difference, and the range is that of a. */
    if (floor_from_range(s, a, n, &whole)) {
        if (__builtin_mul_overflow(whole, -n, &whole) || !poly_add_number(a, whole))
            return SYM_UNKNOWN;
        return expr_poly(s, a);
    }
    for (int i = 0; i < a->n; i++) {
        struct term t = a->t[i];
        t.coeff -= floor_number(t.coeff, n) * n;
        if (!poly_add_term(&rest, &t))
            return SYM_UNKNOWN;
    }
    struct range r = range_poly(s, &rest);
    if (rest.n == 0 || (r.low >= 0 && r.high < n))
        return expr_poly(s, &rest);
    int64_t g = poly_gcd(&rest, n, true);
    struct term by = {.coeff = g};
    poly_cancel(&rest, &by);
    return sym_mul(s, expr_pair(s, MOD, expr_poly(s, &rest), n / g), g);
}

int64_t sym_mod(struct syms *s, int64_t a, int64_t b)
{
    if (unknown(a, b) || b == 0)
        return SYM_UNKNOWN;
    if (a == 0 || b == 1 || b == -1 || a == b)
        return 0;
    if (numbers(a, b)) {
        int64_t m = a % b;
        return expr_number(m != 0 && (m < 0) != (b < 0) ? m + b : m);
    }
    struct poly p, q, quotient, rest, factor = {.n = 1};
    int64_t n, m;
    if (!expr_to_poly(s, a, &p) || !expr_to_poly(s, b, &q))
        return SYM_UNKNOWN;
    reduce(&p, &q, &factor.t[0]);
    if (poly_is_number(&q, &n)) {
        m = n == 1 ? 0 : mod_by_number(s, &p, n);
    } else if (q.n == 1 ? !divide_terms(&p, &q, &quotient, &rest) : false) {
        return SYM_UNKNOWN;
    } else {
        if (q.n > 1 && poly_div(&quotient, &p, &q))
            return 0;
        const struct poly *r = q.n == 1 ? &rest : &p;
        m = expr_poly(s, r);
        if (r->n > 0 && !below(s, r, &q))
            m = expr_pair(s, MOD, m, expr_poly(s, &q));
    }
    return sym_mul(s, m, expr_poly(s, &factor));
}

/* ---- min, max, broadcast ---- */

/* The operands of v if it is of this kind (v itself if not) after the n in list; -1: too many. */
static int leaves(const struct syms *s, enum sym_kind kind, int64_t v, int64_t *list, int n)
{
    if (sym_is_expr(v) && expr_of(s, v)->kind == kind) {
        n = leaves(s, kind, expr_of(s, v)->a, list, n);
        return n < 0 ? n : leaves(s, kind, expr_of(s, v)->b, list, n);
    }
    if (n == LEAVES_MAX)
        return -1;
    list[n] = v;
    return n + 1;
}

static bool has_leaf(const struct syms *s, enum sym_kind kind, int64_t v, int64_t leaf)
{
    int64_t list[LEAVES_MAX];
    int n = leaves(s, kind, v, list, 0);
    for (int i = 0; i < n; i++)
        if (n > 1 && list[i] == leaf)
            return true;
    return false;
}

/* max(a, b) is certainly a (or, for MIN, min(a, b)). */
static bool dominates(const struct syms *s, enum sym_kind kind, int64_t a, int64_t b)
{
    struct poly d;
    if (a == b || has_leaf(s, kind == MAX ? MIN : MAX, b, a))
        return true;
    if (!difference(s, a, b, &d))
        return false;
    struct range r = range_poly(s, &d);
    return kind == MAX ? r.low >= 0 : r.high <= 0;
}

/* Numbers first, then by index: one order of operands for each set of them. */
static bool leaf_before(int64_t a, int64_t b)
{
    return sym_is_number(a) != sym_is_number(b) ? sym_is_number(a) : a < b;
}

/* kind(list[0], kind(list[1], ...)) without repeats, sorted. */
static int64_t fold(struct syms *s, enum sym_kind kind, int64_t *list, int n)
{
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && leaf_before(list[k], list[k - 1]); k--) {
            int64_t v = list[k];
            list[k] = list[k - 1];
            list[k - 1] = v;
        }
    int64_t v = list[0];
    for (int i = 1; i < n; i++)
        if (list[i] != list[i - 1])
            v = expr_pair(s, kind, v, list[i]);
    return v;
}

static int64_t extreme(struct syms *s, enum sym_kind kind, int64_t a, int64_t b)
{
    int64_t list[LEAVES_MAX];
    int n;
    if (unknown(a, b))
        return SYM_UNKNOWN;
    if (dominates(s, kind, a, b) || dominates(s, kind, b, a))
        return dominates(s, kind, a, b) ? a : b;
    n = leaves(s, kind, a, list, 0);
    n = n < 0 ? n : leaves(s, kind, b, list, n);
    if (n < 0)
        return leaf_before(a, b) ? expr_pair(s, kind, a, b) : expr_pair(s, kind, b, a);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            if (k != i && dominates(s, kind, list[i], list[k])) {
                list[k] = list[--n];
                i = -1; /* places changed: look at all again */
                break;
            }
    return fold(s, kind, list, n);
}

int64_t sym_min(struct syms *s, int64_t a, int64_t b)
{
    if (numbers(a, b))
        return a < b ? a : b;
    return extreme(s, MIN, a, b);
}

int64_t sym_max(struct syms *s, int64_t a, int64_t b)
{
    if (numbers(a, b))
        return a > b ? a : b;
    return extreme(s, MAX, a, b);
}

/* v is min(n, x) with n above 1: where it and x broadcast at all, x is at most n, and the result. */
static bool clipped(const struct syms *s, int64_t v, int64_t x)
{
    if (!sym_is_expr(v) || !sym_is_expr(x))
        return false;
    const struct expr *e = expr_of(s, v);
    return e->kind == MIN && sym_is_number(e->a) && e->a > 1 && e->b == x;
}

int64_t sym_broadcast(struct syms *s, int64_t a, int64_t b)
{
    int64_t list[LEAVES_MAX];
    if (a == 1 || b == 1 || a == b)
        return a == 1 ? b : a;
    if (unknown(a, b) || numbers(a, b))
        return SYM_UNKNOWN;
    if (sym_is_number(a) || sym_is_number(b)) {
        s->undecided = true;
        return sym_is_number(a) ? a : b;
    }
    int n = leaves(s, BROADCAST, a, list, 0);
    n = n < 0 ? n : leaves(s, BROADCAST, b, list, n);
    if (n < 0) {
        list[0] = a;
        list[1] = b;
        n = 2;
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            if (k != i && clipped(s, list[k], list[i])) {
                list[k] = list[--n];
                i = -1; /* places changed: look at all again */
                break;
            }
    /* One that cannot be 1 is the result. */
    int64_t best = SYM_UNKNOWN;
    for (int i = 0; i < n; i++)
        if (sym_low(s, list[i]) > 1 && (sym_is_unknown(best) || list[i] < best))
            best = list[i];
    s->undecided |= !sym_is_unknown(best) && n > 1;
    return sym_is_unknown(best) ? fold(s, BROADCAST, list, n) : best;
}

/* ---- questions ---- */

bool sym_equal(struct syms *s, int64_t a, int64_t b)
{
    struct poly d;
    if (unknown(a, b) || numbers(a, b) || a == b)
        return a == b && !sym_is_unknown(a);
    return difference(s, a, b, &d) && d.n == 0;
}

static bool differ(struct syms *s, int64_t a, int64_t b)
{
    struct poly d;
    if (!difference(s, a, b, &d)) {
        s->undecided = true;
        return false;
    }
    struct range r = range_poly(s, &d);
    if (r.low > 0 || r.high < 0)
        return true;
    int64_t g = poly_gcd(&d, 0, false);
    bool certain = g > 1 && poly_constant(&d) % g != 0;
    s->undecided |= !certain && d.n != 0;
    return certain;
}

bool sym_differ(struct syms *s, int64_t a, int64_t b)
{
    if (numbers(a, b) || a == b)
        return a != b;
    if (!unknown(a, b))
        return differ(s, a, b);
    if (s)
        s->undecided = true;
    return false;
}

bool syms_undecided(struct syms *s)
{
    bool was = s->undecided;
    s->undecided = false;
    return was;
}

int64_t sym_low(const struct syms *s, int64_t v)
{
    return range_of(s, v, NULL, NULL).low;
}

bool sym_depends(const struct syms *s, int64_t v, int64_t symbol)
{
    if (!sym_is_expr(v))
        return false;
    const struct expr *x = expr_of(s, v);
    uint32_t low = 0, high = x->n_symbols;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (x->symbols[middle] < sym_index(symbol))
            low = middle + 1;
        else
            high = middle;
    }
    return low < x->n_symbols && x->symbols[low] == sym_index(symbol);
}

void sym_each(const struct syms *s, int64_t v, void (*fn)(void *arg, int64_t symbol), void *arg)
{
    if (!sym_is_expr(v))
        return;
    const struct expr *x = expr_of(s, v);
    for (uint32_t i = 0; i < x->n_symbols; i++)
        fn(arg, expr_handle(x->symbols[i]));
}
