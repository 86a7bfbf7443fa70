/* SPDX-License-Identifier: Apache-2.0 */
/* StringSplit: the parts of every string along a new last axis, padded with empty strings. Parts are
 * views into the input's bytes. */
#include <stddef.h>
#include <string.h>

#include "ops/common.h"

struct attrs_split_string {
    struct str delimiter;
    int64_t maxsplit;
};

static const struct attr split_attrs[] = {
    {"delimiter", ATTR_STRING, offsetof(struct attrs_split_string, delimiter)},
    {"maxsplit", ATTR_INT, offsetof(struct attrs_split_string, maxsplit), .i = -1},
    {0},
};

static int split_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, 0), rc = infer_dtypes(c, 0, DT(STRING), e);
    if (rc == 0)
        rc = infer_like(c, 1, 0, DTYPE_I64, e);
    if (rc < 0)
        return rc;
    if (rank < 0)
        return infer_unknown(c, 0, DTYPE_STRING, e);
    if (rank + 1 > TENSOR_RANK_MAX)
        return err_set(e, ERR_LIMIT, "the result would have more than %d dims", TENSOR_RANK_MAX);
    memcpy(dims, c->in[0]->type.dims, (size_t)rank * sizeof *dims);
    dims[rank] = SYM_UNKNOWN;
    return infer_set(c, 0, DTYPE_STRING, rank + 1, dims, e);
}

/* What is left of a string, and how many more cuts are allowed. */
struct rest {
    struct str s;
    int64_t cuts;
    bool end;
};

static bool is_space(char ch)
{
    return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

static struct rest rest_of(const struct attrs_split_string *at, struct str s)
{
    return (struct rest){s, at->maxsplit < 0 ? INT64_MAX : at->maxsplit, false};
}

static void advance(struct rest *r, size_t n)
{
    r->s.data += n;
    r->s.size -= n;
}

/* The next part between runs of white space; the last one, once cuts are used up, keeps its tail. */
static bool next_word(struct rest *r, struct str *part)
{
    while (r->s.size && is_space(*r->s.data))
        advance(r, 1);
    if (r->s.size == 0)
        return false;
    size_t n = 0;
    while (n < r->s.size && (r->cuts == 0 || !is_space(r->s.data[n])))
        n++;
    *part = (struct str){r->s.data, n};
    advance(r, n);
    r->cuts -= r->cuts > 0;
    return true;
}

static bool next_part(const struct attrs_split_string *at, struct rest *r, struct str *part)
{
    struct str d = at->delimiter;
    if (d.size == 0)
        return next_word(r, part);
    if (r->end)
        return false;
    const char *cut = r->cuts > 0 && r->s.size >= d.size ? memmem(r->s.data, r->s.size, d.data, d.size) : NULL;
    *part = (struct str){r->s.data, cut ? (size_t)(cut - r->s.data) : r->s.size};
    r->end = !cut;
    r->cuts--;
    if (cut)
        advance(r, part->size + d.size);
    return true;
}

static int split_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_split_string *at = c->attrs;
    const struct tensor *x = call_in(c, 0);
    const struct str *in = x->data;
    int64_t n = tensor_count(x), most = 0, dims[TENSOR_RANK_MAX];
    struct str part;
    int rc = call_output(c, 1, DTYPE_I64, x->rank, x->dims, e);
    int64_t *counts = rc == 0 && call_out(c, 1) ? call_out(c, 1)->data : NULL;
    for (int64_t i = 0; i < n && rc == 0; i++) {
        int64_t count = 0;
        struct rest r = rest_of(at, in[i]);
        while (next_part(at, &r, &part))
            count++;
        most = count > most ? count : most;
        if (counts)
            counts[i] = count;
    }
    memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
    dims[x->rank] = most;
    if (rc == 0)
        rc = call_output(c, 0, DTYPE_STRING, x->rank + 1, dims, e);
    struct str *out = rc == 0 && call_out(c, 0) ? call_out(c, 0)->data : NULL;
    for (int64_t i = 0; i < n && out; i++) {
        struct rest r = rest_of(at, in[i]);
        for (int64_t k = 0; k < most; k++)
            out[i * most + k] = next_part(at, &r, &part) ? part : (struct str){"", 0};
    }
    return rc;
}

const struct op op_stringsplit = {
    .domain = "", .name = "StringSplit", .since = 20,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 2,
    .flags = OP_PURE | OP_HOST | OP_DYNAMIC, .host_in = ~0u,
    .attrs = split_attrs, .attrs_size = sizeof(struct attrs_split_string),
    .infer = split_infer, .run = split_run,
};
