/* SPDX-License-Identifier: Apache-2.0 */
/* What the operators that move elements share: axes read from an input, dims read from contents,
 * copies of strided elements by size. Elements are never interpreted, so strings move like any
 * other. For ops/ only; pure functions, any thread.
 */
#pragma once

#include <string.h>

#include "ops/common.h"
#include "ops/span.h"

/* ---- inference --------------------------------------------------------------------------------
 */

/* A dim that contents name: the element itself, or a fresh dim where it is unknown or may be
 * negative. */
int64_t layout_dim(struct infer *c, int64_t elem);
/* The contents of output 0 are those of input 0, in order. As everything about contents here,
 * nothing at run time: the elements themselves follow then. */
void layout_pass_elems(struct infer *c);
/* Output 0, of numeric dims, reads the contents of input 0 at these strides from `offset` on. */
void layout_move_elems(struct infer *c, int rank, const int64_t *dims, const int64_t *strides,
                       int64_t offset);
/* A list of axes, each in [-rank, rank) and none twice, to [0, rank); ERR_MODEL otherwise. */
int layout_axes(const int64_t *list, int64_t n, int rank, int *axes, struct err *e) WARN_UNUSED;
/* The elements of 1-D input i as a list of numbers (int32 or int64), its length in *n and at most
 * TENSOR_RANK_MAX * 2: 1 with *out set, 0 with *out NULL where they are not known (*n is then the
 * length, or -1), negative on a wrong type. An absent input gives 1, NULL and n = -1. */
int layout_list(struct infer *c, int i, const int64_t **out, int64_t *n, struct err *e) WARN_UNUSED;
/* Input i as a shape: its elements, or NULL where they are not known, and how many there are, SYM_UNKNOWN
 * where that is not known either. ERR_MODEL if it is no list or longer than ranks may be. */
int layout_shape(struct infer *c, int i, const int64_t **elems, int64_t *n, struct err *e) WARN_UNUSED;
/* min and max that see which one it is from lower bounds. */
int64_t layout_min(struct syms *s, int64_t a, int64_t b);
int64_t layout_max(struct syms *s, int64_t a, int64_t b);

/* ---- moving -----------------------------------------------------------------------------------
 */

enum { MOVE_RANK = 2 * TENSOR_RANK_MAX };

/* An output whose element at coordinates k is the input's at sum(k[d] * strides[d]). */
struct move {
    size_t size; /* bytes an element */
    int rank;    /* at least 1 */
    int64_t dims[MOVE_RANK],
        strides[MOVE_RANK]; /* merged; strides in elements, 0 and negative too */
};

void move_init(struct move *m, size_t size, int rank, const int64_t *dims, const int64_t *strides);
/* Write elements [first, last) of the output; `in` is the element of coordinates 0. */
void move_run(const struct move *m, const void *in, void *out, int64_t first, int64_t last);
/* n elements, `stride` elements apart in the input. */
void move_row(void *out, const void *in, int64_t n, int64_t stride, size_t size);
/* n copies of one element. */
void move_fill(void *out, const void *elem, int64_t n, size_t size);

/* Copy of a short run, quick for the usual sizes of one element. */
static inline void move_bytes(void *out, const void *in, size_t n)
{
    switch (n) {
    case 0:
        break;
    case 1:
        memcpy(out, in, 1);
        break;
    case 2:
        memcpy(out, in, 2);
        break;
    case 4:
        memcpy(out, in, 4);
        break;
    case 8:
        memcpy(out, in, 8);
        break;
    case 16:
        memcpy(out, in, 16);
        break;
    default:
        memcpy(out, in, n);
    }
}

/* An element of an int32 or int64 tensor of indices. */
static inline int64_t index_at(const struct tensor *t, int64_t i)
{
    return t->dtype == DTYPE_I64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
}
