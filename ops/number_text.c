/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/number_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Digits that decide a conversion: 17 are enough but for ties, which a last '1' breaks if anything
 * but zeros was cut. */
enum { DIGITS_MAX = 60, EXPONENT_MAX = 100000 };

struct digits {
    char text[DIGITS_MAX + 16]; /* digits, then room for "1e-100000" */
    int n;
    int64_t exponent; /* of the last digit */
    bool cut, is_int, any;
    uint64_t whole;
};

static void digit_add(struct digits *d, char c, bool after_point)
{
    d->any = true;
    if (__builtin_mul_overflow(d->whole, 10, &d->whole) ||
        __builtin_add_overflow(d->whole, (uint64_t)(c - '0'), &d->whole))
        d->is_int = false;
    if (d->n == 0 && c == '0') {
        d->exponent -= after_point;
    } else if (d->n < DIGITS_MAX) {
        d->text[d->n++] = c;
        d->exponent -= after_point;
    } else {
        d->cut |= c != '0';
        d->exponent += !after_point;
    }
}

/* [digits] [. digits] [e [sign] digits] up to end; false if anything else is there. */
static bool scan_digits(const char *s, const char *end, struct digits *d)
{
    for (; s < end && *s >= '0' && *s <= '9'; s++)
        digit_add(d, *s, false);
    if (s < end && *s == '.') {
        d->is_int = false;
        for (s++; s < end && *s >= '0' && *s <= '9'; s++)
            digit_add(d, *s, true);
    }
    if (!d->any)
        return false;
    if (s < end && (*s == 'e' || *s == 'E')) {
        int64_t x = 0;
        s++;
        bool negative = s < end && *s == '-';
        s += s < end && (*s == '-' || *s == '+');
        if (s == end)
            return false;
        for (; s < end && *s >= '0' && *s <= '9'; s++)
            x = x < EXPONENT_MAX ? x * 10 + (*s - '0') : x;
        d->exponent += negative ? -x : x;
        d->is_int = false;
    }
    return s == end;
}

static bool is_word(const char *s, const char *end, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(end - s) == n && strncasecmp(s, word, n) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool number_parse(const char *s, size_t n, struct number *out)
{
    const char *end = s + n;
    struct digits d = {.is_int = true};
    while (s < end && is_blank(*s))
        s++;
    while (end > s && is_blank(end[-1]))
        end--;
    bool negative = s < end && *s == '-';
    s += s < end && (*s == '-' || *s == '+');
    *out = (struct number){0};
    if (is_word(s, end, "nan")) {
        out->f64 = NAN;
    } else if (is_word(s, end, "inf") || is_word(s, end, "infinity")) {
        out->f64 = INFINITY;
    } else if (!scan_digits(s, end, &d)) {
        return false;
    } else if (d.n > 0) {
        if (d.cut) {
            d.text[d.n++] = '1';
            d.exponent--;
        }
        if (d.exponent > EXPONENT_MAX)
            d.exponent = EXPONENT_MAX;
        if (d.exponent < -EXPONENT_MAX)
            d.exponent = -EXPONENT_MAX;
        snprintf(d.text + d.n, sizeof d.text - (size_t)d.n, "e%d", (int)d.exponent);
        out->f64 = strtod(d.text, NULL);
        out->f32 = strtof(d.text, NULL);
    }
    if (d.n == 0)
        out->f32 = (float)out->f64;
    out->is_int = d.any && d.is_int;
    out->bits = negative ? 0 - d.whole : d.whole;
    if (negative) {
        out->f64 = -out->f64;
        out->f32 = -out->f32;
    }
    return true;
}

/* The digits of finite v != 0 to `count` places, without the point, and the exponent of the first.
 */
static int decimal_digits(double v, int count, char *digits, int *exponent)
{
    char text[NUMBER_TEXT_MAX];
    int n = 0;
    snprintf(text, sizeof text, "%.*e", count - 1, v);
    const char *s = text;
    for (; *s && *s != 'e'; s++)
        if (*s >= '0' && *s <= '9')
            digits[n++] = *s;
    *exponent = atoi(s + 1);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = 0;
    return n;
}

static double decimal_value(const char *digits, int n, int exponent)
{
    char text[NUMBER_TEXT_MAX];
    snprintf(text, sizeof text, "%.*se%d", n, digits, exponent - (n - 1));
    return strtod(text, NULL);
}

static size_t print_digits(char *out, const char *digits, int n, int exponent)
{
    char *p = out;
    if (exponent < -4 || exponent > 15) {
        *p++ = digits[0];
        if (n > 1) {
            *p++ = '.';
            memcpy(p, digits + 1, (size_t)n - 1);
            p += n - 1;
        }
        p += snprintf(p, 8, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return (size_t)(p - out);
    }
    if (exponent < 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = -1; i > exponent; i--)
            *p++ = '0';
    }
    for (int i = 0; i < n || i <= exponent; i++) {
        if (i > 0 && i == exponent + 1)
            *p++ = '.';
        *p++ = i < n ? digits[i] : '0';
    }
    return (size_t)(p - out);
}

size_t number_print(char buf[NUMBER_TEXT_MAX], double v, bool (*same)(const void *arg, double w),
                    const void *arg)
{
    char digits[NUMBER_TEXT_MAX];
    size_t sign = signbit(v) && !isnan(v);
    int n = 1, exponent = 0;
    buf[0] = '-';
    if (isnan(v) || isinf(v)) {
        memcpy(buf + sign, isnan(v) ? "NaN" : "INF", 3);
        return sign + 3;
    }
    v = fabs(v);
    memcpy(digits, "0", 2);
    if (v != 0) {
        for (int count = 1; count <= 17; count++) {
            n = decimal_digits(v, count, digits, &exponent);
            double w = decimal_value(digits, n, exponent);
            if (same(arg, sign ? -w : w))
                break;
        }
    }
    return sign + print_digits(buf + sign, digits, n, exponent);
}

size_t number_print_int(char buf[NUMBER_TEXT_MAX], uint64_t magnitude, bool negative)
{
    char reversed[24];
    size_t n = 0, at = 0;
    do {
        reversed[n++] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude);
    if (negative)
        buf[at++] = '-';
    while (n)
        buf[at++] = reversed[--n];
    return at;
}
