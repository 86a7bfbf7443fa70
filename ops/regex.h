/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions for text operators: PCRE2's automaton, over UTF-8.
 *
 * Leftmost, longest matches, as RE2 gives them when asked for longest ones; \d \w \s are ASCII. The
 * automaton has no back references and never tries a text twice, so no pattern is slow; what RE2 lacks
 * too is ERR_MODEL. Bytes that are no UTF-8 match nothing. A compiled pattern lies in the arena that it
 * was made in and is read-only: any number of threads may match with it. A build without PCRE2 refuses
 * all patterns with ERR_UNSUPPORTED.
 */
#pragma once

#include "core/dtype.h"
#include "core/err.h"
#include "core/mem.h"

struct regex;

int regex_new(struct regex **out, struct arena *a, struct str pattern, struct err *e) WARN_UNUSED;
/* 1 if the whole text matches, else 0; or an error. */
int regex_matches(const struct regex *r, struct budget *b, struct str text, struct err *e) WARN_UNUSED;
/* The first match in text[from..), the longest that begins at the least place: 1 with its bytes, 0 if there
 * is none; or an error. An empty match is passed over. */
int regex_find(const struct regex *r, struct budget *b, struct str text, size_t from, size_t *begin,
               size_t *end, struct err *e) WARN_UNUSED;
