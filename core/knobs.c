/* SPDX-License-Identifier: Apache-2.0 */
#include "core/knobs.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct knob_row rows[KNOB_COUNT] = {
#define KNOB(word, name, fallback, takes, help) [KNOB_##word] = {name, fallback, takes, help},
#include "core/knobs.def"
#undef KNOB
};

static const char *set_values[KNOB_COUNT];

const struct knob_row *knob_row(enum knob k)
{
    assert((unsigned)k < KNOB_COUNT);
    return &rows[k];
}

void knob_set(enum knob k, const char *value)
{
    assert((unsigned)k < KNOB_COUNT);
    set_values[k] = value;
}

/* An empty variable is as good as none: that is how shells switch one off. */
static const char *environment(enum knob k)
{
    char name[64] = "INFER_";
    size_t at = strlen(name);
    for (const char *s = rows[k].name; *s && at + 1 < sizeof name; s++)
        name[at++] = *s == '-' ? '_' : (char)toupper((unsigned char)*s);
    name[at] = 0;
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const char *knob_get(enum knob k)
{
    assert((unsigned)k < KNOB_COUNT);
    if (set_values[k])
        return set_values[k];
    const char *value = environment(k);
    return value ? value : rows[k].fallback;
}

int knob_int(enum knob k, int64_t low, int64_t high, int64_t *out, struct err *e)
{
    const char *text = knob_get(k);
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || isspace((unsigned char)*text) || v < low || v > high)
        return err_set(e, ERR_USAGE,
                       "--%s takes a whole number from %" PRId64 " to %" PRId64 ", not \"%s\"",
                       rows[k].name, low, high, text);
    *out = v;
    return 0;
}

int knob_bytes(enum knob k, uint64_t *out, struct err *e)
{
    const char *text = knob_get(k);
    char *end = (char *)text;
    uint64_t v = 0;
    errno = 0;
    if (isdigit((unsigned char)*text))
        v = strtoull(text, &end, 10);
    int shift = 0;
    if (end > text && *end) {
        const char *units = "KMG", *unit = strchr(units, toupper((unsigned char)*end));
        if (unit) {
            shift = 10 * (int)(unit - units + 1);
            end++;
        }
    }
    if (errno || end == text || *end || v > UINT64_MAX >> shift)
        return err_set(e, ERR_USAGE, "--%s takes bytes, with an optional K, M or G, not \"%s\"",
                       rows[k].name, text);
    *out = v << shift;
    return 0;
}
