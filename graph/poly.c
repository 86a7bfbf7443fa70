/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/poly.h"

#include <assert.h>
#include <string.h>

static int term_compare(const struct term *a, const struct term *b)
{
    if (a->n != b->n)
        return a->n > b->n ? -1 : 1;
    for (int i = 0; i < a->n; i++)
        if (a->f[i] != b->f[i])
            return a->f[i] < b->f[i] ? -1 : 1;
    return 0;
}

bool poly_add_term(struct poly *p, const struct term *t)
{
    if (t->coeff == 0)
        return true;
    int at = 0, order = 1;
    while (at < p->n && (order = term_compare(&p->t[at], t)) < 0)
        at++;
    if (at < p->n && order == 0) {
        int64_t sum;
        if (__builtin_add_overflow(p->t[at].coeff, t->coeff, &sum) || sum == INT64_MIN)
            return false;
        p->t[at].coeff = sum;
        if (sum == 0)
            memmove(&p->t[at], &p->t[at + 1], (size_t)(--p->n - at) * sizeof *t);
        return true;
    }
    /* The least number is left out so that every coefficient can be negated. */
    if (p->n == POLY_TERMS || t->coeff == INT64_MIN)
        return false;
    memmove(&p->t[at + 1], &p->t[at], (size_t)(p->n++ - at) * sizeof *t);
    p->t[at] = *t;
    return true;
}

bool poly_add_number(struct poly *p, int64_t v)
{
    struct term t = {.coeff = v};
    return poly_add_term(p, &t);
}

bool poly_add(struct poly *p, const struct poly *q, int64_t scale)
{
    for (int i = 0; i < q->n; i++) {
        struct term t = q->t[i];
        if (__builtin_mul_overflow(t.coeff, scale, &t.coeff) || !poly_add_term(p, &t))
            return false;
    }
    return true;
}

static bool term_mul(struct term *out, const struct term *a, const struct term *b)
{
    if (a->n + b->n > POLY_FACTORS || __builtin_mul_overflow(a->coeff, b->coeff, &out->coeff))
        return false;
    int i = 0, j = 0, n = 0;
    while (i < a->n || j < b->n)
        out->f[n++] = j == b->n || (i < a->n && a->f[i] <= b->f[j]) ? a->f[i++] : b->f[j++];
    out->n = n;
    return true;
}

bool poly_mul(struct poly *out, const struct poly *a, const struct poly *b)
{
    out->n = 0;
    for (int i = 0; i < a->n; i++)
        for (int j = 0; j < b->n; j++) {
            struct term t;
            if (!term_mul(&t, &a->t[i], &b->t[j]) || !poly_add_term(out, &t))
                return false;
        }
    return true;
}

bool term_div(struct term *out, const struct term *a, const struct term *b)
{
    if (a->n < b->n || a->coeff % b->coeff)
        return false;
    int j = 0, n = 0;
    struct term t = {.coeff = a->coeff / b->coeff};
    for (int i = 0; i < a->n; i++) {
        if (j < b->n && a->f[i] == b->f[j])
            j++;
        else
            t.f[n++] = a->f[i];
    }
    t.n = n;
    *out = t;
    return j == b->n;
}

bool poly_div(struct poly *quotient, const struct poly *a, const struct poly *b)
{
    struct poly rest = *a;
    quotient->n = 0;
    assert(b->n > 0);
    while (rest.n > 0) {
        struct term q, t;
        if (!term_div(&q, &rest.t[0], &b->t[0]) || !poly_add_term(quotient, &q))
            return false;
        q.coeff = -q.coeff;
        for (int i = 0; i < b->n; i++)
            if (!term_mul(&t, &q, &b->t[i]) || !poly_add_term(&rest, &t))
                return false;
    }
    return true;
}

bool poly_is_number(const struct poly *p, int64_t *v)
{
    *v = poly_constant(p);
    return p->n == 0 || (p->n == 1 && p->t[0].n == 0);
}

int64_t poly_constant(const struct poly *p)
{
    return p->n > 0 && p->t[p->n - 1].n == 0 ? p->t[p->n - 1].coeff : 0;
}

int64_t poly_gcd(const struct poly *p, int64_t g, bool constant)
{
    for (int i = 0; i < p->n && g != 1; i++) {
        if (p->t[i].n == 0 && !constant)
            continue;
        int64_t a = p->t[i].coeff < 0 ? -p->t[i].coeff : p->t[i].coeff;
        while (a != 0) {
            int64_t rest = g % a;
            g = a;
            a = rest;
        }
    }
    return g;
}

void term_common(struct term *m, const struct term *t)
{
    int n = 0;
    for (int i = 0, j = 0; i < m->n && j < t->n;) {
        if (m->f[i] == t->f[j]) {
            m->f[n++] = m->f[i++];
            j++;
        } else if (m->f[i] < t->f[j]) {
            i++;
        } else {
            j++;
        }
    }
    m->n = n;
}

void poly_monomial(const struct poly *p, struct term *out)
{
    *out = p->n > 0 ? p->t[0] : (struct term){0};
    out->coeff = 1;
    for (int i = 1; i < p->n; i++)
        term_common(out, &p->t[i]);
}

void poly_cancel(struct poly *p, const struct term *by)
{
    for (int i = 0; i < p->n; i++) {
        bool exact = term_div(&p->t[i], &p->t[i], by);
        assert(exact);
        (void)exact;
    }
}
