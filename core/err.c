/* SPDX-License-Identifier: Apache-2.0 */
#include "core/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct err_row {
    const char *word, *text;
    int code, exit_status, http_status;
} rows[] = {
#define ERR(word, code, text, exit_status, http_status)                                            \
    {#word, text, code, exit_status, http_status},
#include "core/err.def"
#undef ERR
};

static const struct err_row *row(int code)
{
    const struct err_row *internal = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].code == code)
            return &rows[i];
        if (rows[i].code == ERR_INTERNAL)
            internal = &rows[i];
    }
    return internal;
}

/* Terminals act on C0 and C1 control characters (the latter are C2 80..C2 9F in UTF-8). A cut in
 * the middle of a character would leave bytes that are not UTF-8, so a partial one at the end goes.
 */
static void tidy(char *s, int cut)
{
    unsigned char *p = (unsigned char *)s;
    for (; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
        else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
            p[0] = p[1] = '?';
    }
    if (!cut)
        return;
    unsigned char *start = p;
    while (start > (unsigned char *)s && p - start < 3 && (start[-1] & 0xc0) == 0x80)
        start--;
    if (start > (unsigned char *)s && start[-1] >= 0xc0) {
        unsigned char lead = start[-1];
        int want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (p - start < want)
            start[-1] = 0;
    }
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    if (!e)
        return code;
    if (e->code)
        return e->code;
    e->code = code;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, args);
    va_end(args);
    if (n < 0)
        e->msg[0] = 0;
    tidy(e->msg, n >= (int)sizeof e->msg);
    return code;
}

int err_at(struct err *e, int code, const char *fmt, ...)
{
    if (!e)
        return code;
    char place[ERR_MSG_BYTES], rest[ERR_MSG_BYTES];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(place, sizeof place, fmt, args);
    va_end(args);
    if (n < 0)
        place[0] = 0;
    /* The cause matters more than the place: a long place is cut, not the cause. */
    enum { PLACE_MAX = ERR_MSG_BYTES / 3 };
    if (n > PLACE_MAX) {
        place[PLACE_MAX] = 0;
        tidy(place, 1);
    }
    if (!e->code) {
        e->code = code;
        snprintf(e->msg, sizeof e->msg, "%s", err_text(code));
    }
    memcpy(rest, e->msg, sizeof rest);
    n = snprintf(e->msg, sizeof e->msg, "%s: %s", place, rest);
    tidy(e->msg, n >= (int)sizeof e->msg);
    return code;
}

void err_clear(struct err *e)
{
    if (!e)
        return;
    e->code = 0;
    e->msg[0] = 0;
}

const char *err_text(int code)
{
    return row(code)->text;
}

const char *err_word(int code)
{
    return row(code)->word;
}

int err_exit_status(int code)
{
    return row(code)->exit_status;
}

int err_http_status(int code)
{
    return row(code)->http_status;
}
