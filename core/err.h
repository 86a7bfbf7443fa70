/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: a code from one table and one bounded line of text, on the caller's stack.
 *
 * A function that can fail for a reason outside the code returns int, 0 or a negative ERR_ code, and
 * takes `struct err *` last (NULL is allowed: the text is then lost). The message is set where the
 * cause is known; the first message wins, a boundary puts its place in front once with err_at().
 * An object belongs to one thread at a time.
 */
#pragma once

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum err_code {
#define ERR(word, code, text, exit_status, http_status) ERR_##word = code,
#include "core/err.def"
#undef ERR
};

enum { ERR_MSG_BYTES = 640 };

struct err {
    int code;
    char msg[ERR_MSG_BYTES];
};

/* Store a message, unless one is there already, and return the code: `return err_set(e, ...)`.
 * Control characters in the text (names come from hostile files) are replaced by '?'. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Put "place: " in front of the message and return its code. */
int err_at(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

void err_clear(struct err *e);

/* The table's columns; unknown codes read as ERR_INTERNAL. */
const char *err_text(int code);
const char *err_word(int code);
int err_exit_status(int code);
int err_http_status(int code);
