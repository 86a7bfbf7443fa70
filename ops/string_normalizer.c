/* SPDX-License-Identifier: Apache-2.0 */
/* StringNormalizer: drops stop words, then changes case. Case is that of simple one-to-one pairs of
 * Unicode letters in the alphabets below, whatever `locale` says; a pair has one length in UTF-8, so
 * text changes in place. Other bytes, broken UTF-8 too, stay as they are. */
#include <stddef.h>
#include <string.h>

#include "ops/common.h"

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

/* Capitals first, first + step, ... last; the small letter is `delta` further on. */
static const struct {
    uint32_t first, last;
    int step, delta;
} capitals[] = {
    {0x41, 0x5a, 1, 32},        {0xc0, 0xd6, 1, 32},        {0xd8, 0xde, 1, 32},
    {0x100, 0x12e, 2, 1},       {0x132, 0x136, 2, 1},       {0x139, 0x147, 2, 1},
    {0x14a, 0x176, 2, 1},       {0x178, 0x178, 1, -121},    {0x179, 0x17d, 2, 1},
    {0x1cd, 0x1db, 2, 1},       {0x1de, 0x1ee, 2, 1},       {0x1f8, 0x21e, 2, 1},
    {0x222, 0x232, 2, 1},       {0x386, 0x386, 1, 38},      {0x388, 0x38a, 1, 37},
    {0x38c, 0x38c, 1, 64},      {0x38e, 0x38f, 1, 63},      {0x391, 0x3a1, 1, 32},
    {0x3a3, 0x3ab, 1, 32},      {0x3d8, 0x3ee, 2, 1},       {0x400, 0x40f, 1, 80},
    {0x410, 0x42f, 1, 32},      {0x460, 0x480, 2, 1},       {0x48a, 0x4be, 2, 1},
    {0x4c0, 0x4c0, 1, 15},      {0x4c1, 0x4cd, 2, 1},       {0x4d0, 0x52e, 2, 1},
    {0x531, 0x556, 1, 48},      {0x1e00, 0x1e94, 2, 1},     {0x1ea0, 0x1efe, 2, 1},
    {0x2160, 0x216f, 1, 16},    {0x24b6, 0x24cf, 1, 26},    {0xff21, 0xff3a, 1, 32},
    {0x10400, 0x10427, 1, 40},
};

static uint32_t change(uint32_t ch, enum action action)
{
    for (size_t i = 0; i < sizeof capitals / sizeof *capitals && action != ACTION_NONE; i++) {
        int delta = capitals[i].delta;
        uint32_t from = action == ACTION_LOWER ? ch : ch - (uint32_t)delta;
        if (from >= capitals[i].first && from <= capitals[i].last &&
            (from - capitals[i].first) % (uint32_t)capitals[i].step == 0)
            return action == ACTION_LOWER ? ch + (uint32_t)delta : from;
    }
    return ch;
}

/* The character at s (n bytes follow) and its length; a broken one is a byte of its own. */
static uint32_t decode(const unsigned char *s, size_t n, size_t *length)
{
    size_t want = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    uint32_t ch = want == 1 ? s[0] : s[0] & (0x7fu >> want);
    *length = 1;
    if (want == 0 || want > n)
        return UINT32_MAX;
    for (size_t i = 1; i < want; i++) {
        if (s[i] >> 6 != 2)
            return UINT32_MAX;
        ch = ch << 6 | (s[i] & 0x3f);
    }
    *length = want;
    return ch;
}

static void encode(uint32_t ch, unsigned char *s, size_t length)
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length; i-- > 1; ch >>= 6)
        s[i] = (unsigned char)(0x80 | (ch & 0x3f));
    s[0] = (unsigned char)(lead[length] | ch);
}

static void change_text(unsigned char *s, size_t n, enum action action)
{
    for (size_t i = 0, length; i < n; i += length) {
        uint32_t ch = decode(s + i, n - i, &length), other = ch == UINT32_MAX ? ch : change(ch, action);
        if (other != ch)
            encode(other, s + i, length);
    }
}

static bool same_text(struct str a, struct str b, bool sensitive)
{
    if (a.size != b.size)
        return false;
    if (sensitive)
        return a.size == 0 || memcmp(a.data, b.data, a.size) == 0;
    const unsigned char *x = (const unsigned char *)a.data, *y = (const unsigned char *)b.data;
    for (size_t i = 0, nx, ny; i < a.size; i += nx) {
        uint32_t p = decode(x + i, a.size - i, &nx), q = decode(y + i, a.size - i, &ny);
        if (nx != ny || (p == UINT32_MAX ? x[i] != y[i] || q != p
                                         : change(p, ACTION_LOWER) != change(q, ACTION_LOWER)))
            return false;
    }
    return true;
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
        rc = tensor_set_str(y, o, in[i].data, in[i].size, e);
        /* The copy is the output's own. */
        if (rc == 0)
            change_text((unsigned char *)((struct str *)y->data)[o++].data, in[i].size, action);
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
