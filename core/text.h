/* SPDX-License-Identifier: Apache-2.0 */
/* Growing text, for reports. A struct text starts zeroed; text_take() gives the string (mem_free). Once
 * an append finds no memory the text is failed and stays so; text_take() then returns NULL. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/mem.h"

struct text {
    struct budget *budget;
    char *data;
    size_t size, capacity;
    bool failed;
};

void text_add(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Bytes, with control characters as '?'. */
void text_add_bytes(struct text *t, const char *s, size_t n);
char *text_take(struct text *t, struct err *e) WARN_UNUSED;
