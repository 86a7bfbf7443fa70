/* SPDX-License-Identifier: Apache-2.0 */
/* Knobs: every setting of the process, once, with its name, default and help.
 *
 * Values are strings; the typed getters check them. knob_set() (the tools' options) is for start-up,
 * before other threads exist; the getters may be called from any thread after that.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

enum knob {
#define KNOB(word, name, fallback, takes, help) KNOB_##word,
#include "core/knobs.def"
#undef KNOB
    KNOB_COUNT,
};

struct knob_row {
    const char *name, *fallback, *takes, *help;
};
const struct knob_row *knob_row(enum knob k);

/* The option's value, else the environment's, else the default. */
const char *knob_get(enum knob k);
void knob_set(enum knob k, const char *value); /* value must outlive its use */
/* As a whole number in [low, high]; ERR_USAGE names the knob, the text and the range. */
int knob_int(enum knob k, int64_t low, int64_t high, int64_t *out, struct err *e) WARN_UNUSED;
/* As bytes, with an optional suffix K, M, G (powers of 1024). */
int knob_bytes(enum knob k, uint64_t *out, struct err *e) WARN_UNUSED;
