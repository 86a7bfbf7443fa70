/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers from and to the text that Cast reads and writes, whatever the process's locale. Pure
 * functions, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A decimal number as read: its value as double and f32, each rounded once, and where it is a whole
 * number without point or exponent also as a 64-bit integer (two's complement if negative). */
struct number {
    double f64;
    float f32;
    bool is_int;
    uint64_t bits;
};

/* Optional blanks around [+-] digits [. digits] [e [+-] digits], or inf, infinity, nan in any case.
 * False if the text is something else. */
bool number_parse(const char *s, size_t n, struct number *out);

enum { NUMBER_TEXT_MAX = 40 };

/* The shortest text that reads back as v when rounded to the narrower type: `same(v, w)` tells
 * whether w rounds to v there. Plain digits for exponents -4 to 15, else as 1.5e+20; NaN, INF,
 * -INF. Returns the length. */
size_t number_print(char buf[NUMBER_TEXT_MAX], double v, bool (*same)(const void *arg, double w),
                    const void *arg);
size_t number_print_int(char buf[NUMBER_TEXT_MAX], uint64_t magnitude, bool negative);
