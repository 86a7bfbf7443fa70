/* SPDX-License-Identifier: Apache-2.0 */
/* States inside: pairs and the rows that each holds. Private to runtime/.
 *
 * A pair's rows lie in one buffer with room for more of them along the pair's axis, so that a step adds
 * to them where they are:
 *
 *     [dims before the axis][capacity][dims behind it]
 *
 * Forks share buffers. Only a state that is a buffer's one holder writes into it, and only behind its
 * length, so what a failed run has written is never seen. What a state is of (names, places, types) is
 * shared by its forks and immutable. A state belongs to one thread at a time; forks are independent.
 */
#pragma once

#include "core/tensor.h"
#include "graph/op.h"
#include "runtime/infer.h"

struct pair {
    const char *past, *present; /* in pairs->names */
    int in, out, axis;
    enum dtype dtype;
    int rank;
    bool appends; /* the model's own Append makes `present` */
    bool read;    /* something else than that reads `past` */
};

struct pairs {
    atomic_int refs;
    uint64_t model; /* its serial */
    struct budget *budget;
    char *names;
    int n;
    struct pair list[];
};

struct rows {
    struct buffer *buffer;
    int64_t capacity;
    int64_t dims[TENSOR_RANK_MAX]; /* with the length on the axis */
    int64_t next;                  /* the length that this run will leave; -1: nothing was appended */
    struct store store;            /* what Append sees of it */
};

struct infer_state {
    struct pairs *pairs;
    struct rows *rows; /* one a pair */
    atomic_flag busy;
};

/* A state whose rows are not there yet, for `n` pairs of a model: they are checked. */
struct infer_state *state_alloc(const struct infer_model *m, const struct infer_state_pair *pairs, int n,
                                struct err *e) WARN_UNUSED;
/* Storage for rows of these dims and `capacity` of them; dims are copied, nothing is written. */
int rows_make(struct rows *r, const struct pair *p, const int64_t *dims, int64_t capacity,
              struct budget *b, struct err *e) WARN_UNUSED;
/* Runs of rows that follow each other without a gap, and bytes of one row. */
void rows_shape(const struct rows *r, const struct pair *p, size_t *runs, size_t *row);
/* Room for `length` rows in a buffer that no fork sees. */
int rows_reserve(struct rows *r, const struct pair *p, int64_t length, struct budget *b,
                 struct err *e) WARN_UNUSED;
/* Copy all rows to or from `flat`, where they lie without gaps. Returns their bytes; flat NULL: only that. */
size_t rows_export(const struct rows *r, const struct pair *p, void *flat);
size_t rows_import(struct rows *r, const struct pair *p, const void *flat);

/* For the executor. Room for the rows of `present`, which Append makes from graph input `in` as graph output
 * `out`, in storage that nobody else sees. NULL with *rc 0: the state has no such pair. */
const struct store *state_room(struct infer_state *s, int in, int out, const struct tensor *present, int *rc,
                               struct err *e) WARN_UNUSED;
/* Output `out` of this run was appended to the state. */
bool state_has(const struct infer_state *s, int out);
