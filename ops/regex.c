/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/regex.h"

#include <stdbool.h>
#include <stdio.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    PATTERN_BYTES_MAX = 1 << 16,
    MATCH_LIMIT = 1000000,
    WORKSPACE = 4096, /* of the automaton, in ints: two lists of states */
};

struct regex {
    struct arena *arena; /* while compiling */
    pcre2_code *code;
};

/* ---- memory -------------------------------------------------------------------------------------- */

static void *take_arena(size_t n, void *arena)
{
    return arena_alloc(arena, n, NULL);
}

/* The arena goes as a whole. */
static void leave_there(void *p, void *arena)
{
}

static void *take_budget(size_t n, void *budget)
{
    return mem_alloc(budget, n, NULL);
}

static void give_budget(void *p, void *budget)
{
    mem_free(p);
}

/* ---- compiling ----------------------------------------------------------------------------------- */

static int fault(int code, const char *what, struct err *e)
{
    char text[160] = "";
    pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
    bool memory = code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAPLIMIT;
    bool limit = code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_DEPTHLIMIT ||
                 code == PCRE2_ERROR_DFA_WSSIZE || code == PCRE2_ERROR_DFA_RECURSE;
    return err_set(e, memory ? ERR_MEMORY : limit ? ERR_LIMIT : ERR_MODEL, "%s: %s", what, text);
}

static int compile(struct regex *r, struct str pattern, pcre2_compile_context *c, struct err *e)
{
    int code;
    char what[64];
    PCRE2_SIZE at;
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE;
    pcre2_set_max_pattern_length(c, PATTERN_BYTES_MAX);
    r->code = pcre2_compile((PCRE2_SPTR)(pattern.data ? pattern.data : ""), pattern.size, options, &code, &at, c);
    if (r->code)
        return 0;
    snprintf(what, sizeof what, "a wrong pattern at byte %zu", (size_t)at);
    return fault(code, what, e);
}

int regex_new(struct regex **out, struct arena *a, struct str pattern, struct err *e)
{
    struct regex *r = arena_alloc(a, sizeof *r, e);
    pcre2_general_context *g = r ? pcre2_general_context_create(take_arena, leave_there, a) : NULL;
    pcre2_compile_context *c = g ? pcre2_compile_context_create(g) : NULL;
    *out = r;
    return c ? compile(r, pattern, c, e) : err_set(e, ERR_MEMORY, "no memory for a pattern");
}

/* ---- matching ------------------------------------------------------------------------------------ */

static int match(const struct regex *r, struct budget *b, struct str text, size_t from, uint32_t options,
                 size_t *begin, size_t *end, struct err *e)
{
    int workspace[WORKSPACE], rc = PCRE2_ERROR_NOMEMORY;
    pcre2_general_context *g = pcre2_general_context_create(take_budget, give_budget, b);
    pcre2_match_context *m = g ? pcre2_match_context_create(g) : NULL;
    pcre2_match_data *found = m ? pcre2_match_data_create(1, g) : NULL;
    if (found) {
        pcre2_set_match_limit(m, MATCH_LIMIT);
        rc = pcre2_dfa_match(r->code, (PCRE2_SPTR)(text.data ? text.data : ""), text.size, from, options, found, m,
                             workspace, WORKSPACE);
        *begin = rc >= 0 ? pcre2_get_ovector_pointer(found)[0] : 0;
        *end = rc >= 0 ? pcre2_get_ovector_pointer(found)[1] : 0;
    }
    pcre2_match_data_free(found);
    pcre2_match_context_free(m);
    pcre2_general_context_free(g);
    bool none = rc == PCRE2_ERROR_NOMATCH || (rc <= PCRE2_ERROR_UTF8_ERR1 && rc >= PCRE2_ERROR_UTF8_ERR21);
    return rc >= 0 ? 1 : none ? 0 : fault(rc, "a pattern cannot be matched", e);
}

int regex_matches(const struct regex *r, struct budget *b, struct str text, struct err *e)
{
    size_t begin, end;
    return match(r, b, text, 0, PCRE2_ANCHORED | PCRE2_ENDANCHORED, &begin, &end, e);
}

int regex_find(const struct regex *r, struct budget *b, struct str text, size_t from, size_t *begin,
               size_t *end, struct err *e)
{
    return match(r, b, text, from, PCRE2_NOTEMPTY, begin, end, e);
}
