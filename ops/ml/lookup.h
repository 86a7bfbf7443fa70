/* SPDX-License-Identifier: Apache-2.0 */
/* Tables from keys to their places in a list, for the operators that map values by lists in their
 * attributes. A table lies in an arena and points into the keys it was made from; made once, it may be
 * read by any number of threads. For ops/ only.
 */
#pragma once

#include "ops/common.h"

/* Elements of one type in a row: a list attribute, or a tensor attribute's elements. */
struct list {
    enum dtype dtype; /* DTYPE_NONE: there is no such list */
    const void *data;
    int64_t n;
};

static inline struct list list_ints(struct ints a)
{
    return (struct list){a.v ? DTYPE_I64 : DTYPE_NONE, a.v, a.n};
}
static inline struct list list_floats(struct floats a)
{
    return (struct list){a.v ? DTYPE_F32 : DTYPE_NONE, a.v, a.n};
}
static inline struct list list_strs(struct strs a)
{
    return (struct list){a.v ? DTYPE_STRING : DTYPE_NONE, a.v, a.n};
}
static inline struct list list_tensor(const struct tensor *t)
{
    return t ? (struct list){t->dtype, t->data, tensor_count(t)} : (struct list){0};
}
/* The one of k lists that is there, into *out (DTYPE_NONE: none). An empty list counts only if no
 * other is there. ERR_MODEL if several are; `what` names them. */
int list_one(const struct list *lists, int k, const char *what, struct list *out,
             struct err *e) WARN_UNUSED;

struct lookup;
/* Numbers compare by value (0 and -0 are one, and so are all NaNs), strings by their bytes. Of keys
 * that repeat the first counts, or the last. */
struct lookup *lookup_new(struct arena *a, const struct list *keys, bool last,
                          struct err *e) WARN_UNUSED;
/* The places of elements [first, first + n) of x in the list of keys, -1 for what is not there; n is
 * at most CHUNK_ELEMS. Where keys are integers, floats are truncated to integers first; where keys are
 * strings, and only there, x holds strings. */
void lookup_places(const struct lookup *l, enum dtype t, const void *x, int64_t first, int64_t n,
                   int64_t *places);
