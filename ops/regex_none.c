/* SPDX-License-Identifier: Apache-2.0 */
/* In place of ops/regex.c in builds without PCRE2. */
#include "ops/regex.h"

int regex_new(struct regex **out, struct arena *a, struct str pattern, struct err *e)
{
    *out = NULL;
    return err_set(e, ERR_UNSUPPORTED, "regular expressions were left out of this build");
}

int regex_matches(const struct regex *r, struct budget *b, struct str text, struct err *e)
{
    return err_set(e, ERR_INTERNAL, "there is no compiled pattern");
}

int regex_find(const struct regex *r, struct budget *b, struct str text, size_t from, size_t *begin,
               size_t *end, struct err *e)
{
    return err_set(e, ERR_INTERNAL, "there is no compiled pattern");
}
