/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, a character at a time. Pure, any thread. */
#pragma once

#include "core/dtype.h"

/* Bytes of the character at text[at] (at < size), its code in *code; 0 if it is none. */
size_t utf8_next(struct str text, size_t at, uint32_t *code);
/* Characters in text; -1 if it is no UTF-8. */
int64_t utf8_length(struct str text);
/* A character's bytes, at most 4; their number. */
size_t utf8_put(uint32_t code, char *out);
