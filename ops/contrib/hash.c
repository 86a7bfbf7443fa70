/* SPDX-License-Identifier: Apache-2.0 */
/* MurmurHash3 (the 32-bit one of x86) of every element's bytes; IsAllFinite. */
#include <math.h>
#include <string.h>

#include "ops/span.h"

/* ---- MurmurHash3 ----------------------------------------------------------------------------- */

struct hash_attrs {
    int64_t positive, seed;
};

static int hash_infer(struct infer *c, struct err *e)
{
    const struct hash_attrs *a = c->attrs;
    int r = infer_dtypes(c, 0,
                         DT(I32) | DT(U32) | DT(I64) | DT(U64) | DT(F32) | DT(F64) | DT(STRING), e);
    return r ? r : infer_like(c, 0, 0, a->positive ? DTYPE_U32 : DTYPE_I32, e);
}

enum { HASH_COST = 8 };

static int64_t hash_tasks(const struct call *c)
{
    return span_tasks(c, HASH_COST);
}

static uint32_t turn(uint32_t v, int bits)
{
    return v << bits | v >> (32 - bits);
}

static uint32_t scramble(uint32_t k)
{
    return turn(k * UINT32_C(0xcc9e2d51), 15) * UINT32_C(0x1b873593);
}

/* Words are little-endian. */
static uint32_t hash(const unsigned char *p, size_t n, uint32_t h)
{
    size_t i = 0;
    uint32_t k;
    for (; i + 4 <= n; i += 4) {
        k = (uint32_t)p[i] | (uint32_t)p[i + 1] << 8 | (uint32_t)p[i + 2] << 16 |
            (uint32_t)p[i + 3] << 24;
        h = turn(h ^ scramble(k), 13) * 5 + UINT32_C(0xe6546b64);
    }
    k = 0;
    for (size_t left = n - i; left > 0; left--)
        k = k << 8 | p[i + left - 1];
    h ^= scramble(k) ^ (uint32_t)n;
    h = (h ^ h >> 16) * UINT32_C(0x85ebca6b);
    h = (h ^ h >> 13) * UINT32_C(0xc2b2ae35);
    return h ^ h >> 16;
}

static int hash_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct hash_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    uint32_t *y = call_out(c, 0)->data;
    struct span s = span_out(c, begin, end, HASH_COST);
    for (int64_t i = s.first; i < s.last; i++) {
        const unsigned char *p = tensor_at(x, i);
        size_t n = dtype_size(x->dtype);
        if (x->dtype == DTYPE_STRING) {
            n = ((const struct str *)x->data)[i].size;
            p = (const unsigned char *)((const struct str *)x->data)[i].data;
        }
        y[i] = hash(p, n, (uint32_t)a->seed);
    }
    return 0;
}

static const struct attr hash_attr_rows[] = {
    {"positive", ATTR_INT, offsetof(struct hash_attrs, positive), .i = 1},
    {"seed", ATTR_INT, offsetof(struct hash_attrs, seed)},
    {NULL},
};

const struct op op_ms_murmurhash3 = {
    .domain = "com.microsoft", .name = "MurmurHash3", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_HOST,
    .host_in = 1,
    .attrs = hash_attr_rows, .attrs_size = sizeof(struct hash_attrs),
    .infer = hash_infer, .tasks = hash_tasks, .run = hash_run,
};

/* ---- IsAllFinite ----------------------------------------------------------------------------- */

struct finite_attrs {
    int64_t isinf_only, isnan_only;
};

static int finite_infer(struct infer *c, struct err *e)
{
    const struct finite_attrs *a = c->attrs;
    if (a->isinf_only && a->isnan_only)
        return err_set(e, ERR_MODEL, "isinf_only and isnan_only exclude each other");
    for (int i = 0; i < c->n_in; i++) {
        int r = infer_dtypes(c, i, DT_FLOATS, e);
        if (r)
            return r;
    }
    return infer_set(c, 0, DTYPE_BOOL, 0, NULL, e);
}

static int finite_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct finite_attrs *a = c->attrs;
    double v[CHUNK_ELEMS];
    bool good = true;
    for (int i = 0; i < c->n_in && good; i++) {
        const struct tensor *x = call_in(c, i);
        int64_t count = tensor_count(x);
        for (int64_t k = 0, n; k < count && good; k += n) {
            n = count - k < CHUNK_ELEMS ? count - k : CHUNK_ELEMS;
            elems_to_f64(x->dtype, x->data, k, n, v);
            for (int64_t j = 0; j < n; j++)
                good &= !(isnan(v[j]) && !a->isinf_only) && !(isinf(v[j]) && !a->isnan_only);
        }
    }
    *(uint8_t *)call_out(c, 0)->data = good;
    return 0;
}

static const struct attr finite_attr_rows[] = {
    {"isinf_only", ATTR_INT, offsetof(struct finite_attrs, isinf_only)},
    {"isnan_only", ATTR_INT, offsetof(struct finite_attrs, isnan_only)},
    {NULL},
};

const struct op op_ms_isallfinite = {
    .domain = "com.microsoft", .name = "IsAllFinite", .since = 1,
    .in_min = 1, .in_max = -1, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = finite_attr_rows, .attrs_size = sizeof(struct finite_attrs),
    .infer = finite_infer, .run = finite_run,
};
