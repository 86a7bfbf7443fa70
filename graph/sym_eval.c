/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/sym.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "graph/sym_table.h"

/* ---- evaluation ---- */

static bool apply(enum sym_kind kind, int64_t a, int64_t b, int64_t *out)
{
    if (!sym_is_number(a) || !sym_is_number(b))
        return false;
    switch (kind) {
    case FLOOR:
        if (b == 0 || (a == INT64_MIN && b == -1))
            return false;
        *out = floor_number(a, b);
        return true;
    case MOD:
        if (b == 0)
            return false;
        *out = b == -1 ? 0 : a % b;
        if (*out != 0 && (*out < 0) != (b < 0))
            *out += b;
        return true;
    case MIN:
        *out = a < b ? a : b;
        return true;
    case MAX:
        *out = a > b ? a : b;
        return true;
    default:
        *out = a == 1 ? b : a;
        return a == b || a == 1 || b == 1;
    }
}

/* An operand's value: taken from the list, or (deep) worked out unless it is a symbol. */
static int64_t value_of(const struct syms *s, int64_t v, const int64_t *values, bool deep)
{
    if (!sym_is_expr(v))
        return v;
    if (!deep || expr_of(s, v)->kind == SYMBOL)
        return values[sym_index(v)];
    return sym_eval(s, v, values);
}

static bool eval_sum(const struct syms *s, const struct expr *x, const int64_t *values, bool deep,
                     int64_t *out)
{
    int64_t sum = 0;
    for (const uint32_t *c = x->code, *end = c + x->words; c < end;) {
        int64_t product;
        memcpy(&product, c, sizeof product);
        uint32_t n = c[2];
        c += 3;
        for (; n > 0; n--, c++) {
            int64_t v = value_of(s, expr_handle(*c), values, deep);
            if (!sym_is_number(v) || __builtin_mul_overflow(product, v, &product))
                return false;
        }
        if (__builtin_add_overflow(sum, product, &sum))
            return false;
    }
    *out = sum;
    return true;
}

static int64_t eval(const struct syms *s, const struct expr *x, const int64_t *values, bool deep)
{
    int64_t v;
    bool ok = x->kind == SUM ? eval_sum(s, x, values, deep, &v)
                             : apply(x->kind, value_of(s, x->a, values, deep),
                                     value_of(s, x->b, values, deep), &v);
    return ok ? expr_number(v) : SYM_UNKNOWN;
}

bool sym_eval_one(const struct syms *s, uint32_t index, int64_t *values)
{
    assert(index > 0 && index < s->count);
    const struct expr *x = &s->exprs[index];
    if (x->kind != SYMBOL)
        values[index] = eval(s, x, values, false);
    return sym_is_number(values[index]);
}

int64_t sym_eval(const struct syms *s, int64_t v, const int64_t *values)
{
    if (!sym_is_expr(v))
        return v;
    const struct expr *x = expr_of(s, v);
    return x->kind == SYMBOL ? values[sym_index(v)] : eval(s, x, values, true);
}

int64_t sym_collect(const struct syms *s, int64_t v, uint32_t *list, int64_t count, int64_t max,
                    uint8_t *seen)
{
    if (!sym_is_expr(v) || seen[sym_index(v)] || count < 0)
        return count;
    const struct expr *x = expr_of(s, v);
    seen[sym_index(v)] = 1;
    if (x->kind == SUM) {
        for (const uint32_t *c = x->code, *end = c + x->words; c < end; c += 3 + c[2])
            for (uint32_t i = 0; i < c[2]; i++)
                count = sym_collect(s, expr_handle(c[3 + i]), list, count, max, seen);
    } else if (x->kind != SYMBOL) {
        count = sym_collect(s, x->a, list, count, max, seen);
        count = sym_collect(s, x->b, list, count, max, seen);
    }
    if (count < 0 || count >= max)
        return -1;
    list[count] = sym_index(v);
    return count + 1;
}

bool sym_bounds(const struct syms *s, int64_t v, const int64_t *low, const int64_t *high,
                int64_t *out_low, int64_t *out_high)
{
    struct range r = range_of(s, v, low, high);
    *out_low = r.low;
    *out_high = r.high;
    return !range_end(r.low) && !range_end(r.high);
}

/* ---- text ---- */

struct out {
    char *buf;
    size_t size, used;
};

static PRINTF_LIKE(2, 3) void put(struct out *o, const char *format, ...)
{
    va_list args;
    if (o->used + 1 >= o->size)
        return;
    va_start(args, format);
    int n = vsnprintf(o->buf + o->used, o->size - o->used, format, args);
    va_end(args);
    if (n > 0)
        o->used = o->used + (size_t)n < o->size ? o->used + (size_t)n : o->size - 1;
}

static void put_expr(struct out *o, const struct syms *s, int64_t v);

static void put_sum(struct out *o, const struct syms *s, const struct expr *x)
{
    for (const uint32_t *c = x->code, *end = c + x->words; c < end; c += 3 + c[2]) {
        int64_t coeff;
        memcpy(&coeff, c, sizeof coeff);
        bool first = c == x->code, minus = coeff < 0;
        put(o, first ? (minus ? "-" : "") : minus ? " - " : " + ");
        coeff = minus ? -coeff : coeff;
        if (coeff != 1 || c[2] == 0)
            put(o, c[2] ? "%lld*" : "%lld", (long long)coeff);
        for (uint32_t i = 0; i < c[2]; i++) {
            put(o, "%s", i ? "*" : "");
            put_expr(o, s, expr_handle(c[3 + i]));
        }
    }
}

static void put_operand(struct out *o, const struct syms *s, int64_t v)
{
    bool sum = sym_is_expr(v) && expr_of(s, v)->kind == SUM;
    put(o, "%s", sum ? "(" : "");
    put_expr(o, s, v);
    put(o, "%s", sum ? ")" : "");
}

static void put_expr(struct out *o, const struct syms *s, int64_t v)
{
    static const char *const words[] = {[MOD] = "mod", [MIN] = "min", [MAX] = "max",
                                        [BROADCAST] = "broadcast"};
    if (o->used + 1 >= o->size)
        return;
    if (sym_is_number(v)) {
        put(o, "%lld", (long long)v);
        return;
    }
    if (sym_is_unknown(v)) {
        put(o, "?");
        return;
    }
    const struct expr *x = expr_of(s, v);
    if (x->kind == SYMBOL) {
        if (x->name)
            put(o, "%s", x->name);
        else
            put(o, "?%u", sym_index(v));
    } else if (x->kind == SUM) {
        put_sum(o, s, x);
    } else if (x->kind == FLOOR) {
        put(o, "floor(");
        put_operand(o, s, x->a);
        put(o, "/");
        put_operand(o, s, x->b);
        put(o, ")");
    } else {
        put(o, "%s(", words[x->kind]);
        put_expr(o, s, x->a);
        put(o, ", ");
        put_expr(o, s, x->b);
        put(o, ")");
    }
}

const char *sym_print(const struct syms *s, int64_t v, char *buf, size_t size)
{
    struct out o = {buf, size, 0};
    if (size > 0)
        buf[0] = 0;
    put_expr(&o, s, v);
    return buf;
}
