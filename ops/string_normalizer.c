/* SPDX-License-Identifier: Apache-2.0 */
/* StringNormalizer: drops stop words, then changes case by Unicode's one-to-one rules, whatever `locale`
 * says. Bytes that are no UTF-8 stay as they are. */
#include <stddef.h>
#include <string.h>

#include "ops/common.h"
#include "ops/letters.h"
#include "ops/utf8.h"

enum { CASE_GROWTH = 2 }; /* a letter of 2 bytes may have a pair of 3, one of 1 byte none of more than 2 */
enum action { ACTION_NONE, ACTION_LOWER, ACTION_UPPER };

struct attrs_normalizer {
    struct str case_change_action, locale;
    int64_t is_case_sensitive;
    struct strs stopwords;
};

static const struct attr normalizer_attrs[] = {
    {"case_change_action", ATTR_STRING, offsetof(struct attrs_normalizer, case_change_action), .s = "NONE"},
    {"locale", ATTR_STRING, offsetof(struct attrs_normalizer, locale)},
    {"is_case_sensitive", ATTR_INT, offsetof(struct attrs_normalizer, is_case_sensitive)},
    {"stopwords", ATTR_STRINGS, offsetof(struct attrs_normalizer, stopwords)},
    {0},
};

/* ---- letters ---------------------------------------------------------------------------------- */

static uint32_t change(uint32_t code, enum action action)
{
    return action == ACTION_LOWER   ? letter_lower(code)
           : action == ACTION_UPPER ? letter_upper(code)
                                    : code;
}

/* The character at text[at]; UINT32_MAX for a byte that is none. */
static uint32_t next(struct str text, size_t at, size_t *length)
{
    uint32_t code;
    *length = utf8_next(text, at, &code);
    if (*length)
        return code;
    *length = 1;
    return UINT32_MAX;
}

/* The text in another case into `out`, which has room for CASE_GROWTH times its bytes; the new size. */
static size_t change_text(struct str text, enum action action, char *out)
{
    size_t n = 0;
    for (size_t i = 0, length; i < text.size; i += length) {
        uint32_t code = next(text, i, &length);
        if (code == UINT32_MAX)
            out[n++] = text.data[i];
        else
            n += utf8_put(change(code, action), out + n);
    }
    return n;
}

static bool same_text(struct str a, struct str b, bool sensitive)
{
    if (sensitive)
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
    size_t i = 0, k = 0, nx, ny;
    for (; i < a.size && k < b.size; i += nx, k += ny) {
        uint32_t p = next(a, i, &nx), q = next(b, k, &ny);
        if (p == UINT32_MAX || q == UINT32_MAX ? p != q || a.data[i] != b.data[k] : letter_lower(p) != letter_lower(q))
            return false;
    }
    return i == a.size && k == b.size;
}

/* ---- the node --------------------------------------------------------------------------------- */

static int action_of(const struct attrs_normalizer *at, enum action *action, struct err *e)
{
    static const char *const words[] = {"NONE", "LOWER", "UPPER"};
    for (int i = 0; i < 3; i++)
        if (same_text(at->case_change_action, (struct str){words[i], strlen(words[i])}, true)) {
            *action = (enum action)i;
            return 0;
        }
    return err_set(e, ERR_MODEL, "case_change_action is not NONE, LOWER or UPPER");
}

static int normalizer_infer(struct infer *c, struct err *e)
{
    int64_t dims[2] = {1, SYM_UNKNOWN};
    enum action action;
    int rank = infer_rank(c, 0), rc = infer_dtypes(c, 0, DT(STRING), e);
    if (rc == 0)
        rc = action_of(c->attrs, &action, e);
    if (rc < 0)
        return rc;
    if (rank < 0)
        return infer_unknown(c, 0, DTYPE_STRING, e);
    if (rank != 1 && (rank != 2 || sym_differ(c->syms, infer_dim(c, 0, 0), 1)))
        return err_set(e, ERR_MODEL, "the input is neither [C] nor [1, C]");
    return infer_set(c, 0, DTYPE_STRING, rank, rank == 1 ? dims + 1 : dims, e);
}

static bool stops(const struct attrs_normalizer *at, struct str s)
{
    for (int64_t i = 0; i < at->stopwords.n; i++)
        if (same_text(s, at->stopwords.v[i], at->is_case_sensitive != 0))
            return true;
    return false;
}

static int put_text(struct call *c, struct tensor *y, int64_t o, struct str text, enum action action,
                    struct err *e)
{
    size_t room;
    if (action == ACTION_NONE)
        return tensor_set_str(y, o, text.data, text.size, e);
    if (!size_mul(text.size, CASE_GROWTH, &room))
        return err_set(e, ERR_LIMIT, "a string of %zu bytes", text.size);
    char *changed = mem_alloc(c->budget, room, e);
    if (!changed)
        return e->code;
    int rc = tensor_set_str(y, o, changed, change_text(text, action, changed), e);
    mem_free(changed);
    return rc;
}

static int normalizer_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_normalizer *at = c->attrs;
    const struct tensor *x = call_in(c, 0);
    const struct str *in = x->data;
    int64_t n = tensor_count(x), kept = 0, dims[2] = {1, 0};
    enum action action = ACTION_NONE;
    int rc = action_of(at, &action, e);
    if (rc == 0 && x->rank != 1 && (x->rank != 2 || x->dims[0] != 1))
        rc = err_set(e, ERR_INPUT, "the input is neither [C] nor [1, C]");
    for (int64_t i = 0; i < n && rc == 0; i++)
        kept += !stops(at, in[i]);
    dims[1] = kept ? kept : 1;
    if (rc == 0)
        rc = call_output(c, 0, DTYPE_STRING, x->rank, x->rank == 1 ? dims + 1 : dims, e);
    struct tensor *y = call_out(c, 0);
    if (rc < 0 || !y)
        return rc;
    if (kept == 0)
        return tensor_set_str(y, 0, "", 0, e);
    for (int64_t i = 0, o = 0; i < n && rc == 0; i++) {
        if (stops(at, in[i]))
            continue;
        rc = put_text(c, y, o++, in[i], action, e);
    }
    return rc;
}

const struct op op_stringnormalizer = {
    .domain = "", .name = "StringNormalizer", .since = 10,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_HOST | OP_DYNAMIC, .host_in = ~0u,
    .attrs = normalizer_attrs, .attrs_size = sizeof(struct attrs_normalizer),
    .infer = normalizer_infer, .run = normalizer_run,
};
