/* SPDX-License-Identifier: Apache-2.0 */
/* Polynomials with integer coefficients over numbered atoms: the normal form of symbolic integers.
 *
 * Terms are in descending order (degree, then factors), each monomial once, no coefficient zero;
 * the constant, if there is one, is the last. The order is kept by multiplication, so long
 * division works on it. Sizes are bounded: what would be larger, or overflow, returns false and
 * leaves the result unusable. Pure functions on the caller's memory, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { POLY_TERMS = 64, POLY_FACTORS = 16 };

struct term {
    int64_t coeff;
    int n;                    /* degree; 0: the constant */
    uint32_t f[POLY_FACTORS]; /* ascending, repeated for powers */
};
struct poly {
    int n;
    struct term t[POLY_TERMS];
};

/* p += t */
bool poly_add_term(struct poly *p, const struct term *t);
bool poly_add_number(struct poly *p, int64_t v);
/* p += q * scale */
bool poly_add(struct poly *p, const struct poly *q, int64_t scale);
/* out = a * b; out is another one */
bool poly_mul(struct poly *out, const struct poly *a, const struct poly *b);
/* out = a / b if a's monomial and coefficient are multiples of b's. */
bool term_div(struct term *out, const struct term *a, const struct term *b);
/* quotient = a / b if nothing remains; quotient is another one */
bool poly_div(struct poly *quotient, const struct poly *a, const struct poly *b);

bool poly_is_number(const struct poly *p, int64_t *v);
int64_t poly_constant(const struct poly *p); /* 0 if there is none */
/* The greatest common divisor of g and all coefficients (the constant too if `constant`). */
int64_t poly_gcd(const struct poly *p, int64_t g, bool constant);
/* The factors that all terms have, with coefficient 1. */
void poly_monomial(const struct poly *p, struct term *out);
/* Keep in m what it shares with t. */
void term_common(struct term *m, const struct term *t);
/* Divide all terms by a term that divides them all. */
void poly_cancel(struct poly *p, const struct term *by);
