/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: where planned values lie, for every size that the input symbols may have within a range.
 *
 * Each symbol's value falls into a bucket [low, high]; sizes are bounded over the buckets by interval
 * arithmetic, and offsets in one arena are given by lifetimes (best fit over a free list in order of
 * execution). A plan therefore holds for every call whose symbols stay in its buckets. A value whose size
 * cannot be bounded stays on the heap. Outputs are on the heap, too, but in a plan for runs with a state
 * those that a state may hold have a place as well. Immutable once made, reference-counted.
 */
#pragma once

#include <stdatomic.h>

#include "runtime/program.h"

#define PLAN_HEAP SIZE_MAX

struct range {
    int64_t low, high;
};

struct plan {
    atomic_int refs;
    bool state;              /* for runs with a state */
    uint32_t n_symbols;
    struct range *ranges;    /* of the model's input symbols, in their order */
    size_t arena_bytes[2];   /* by device */
    size_t **offsets;        /* [program][slot]: of roots with PLACE_ARENA; PLAN_HEAP: not planned */
    uint64_t used;           /* for LRU */
    struct arena memory;
};

/* The bucket of a symbol's value: exact up to 1, then ends at 2, 3, 4, 6, 8, 12, 16, 24, ... */
struct range range_bucket(int64_t value);

/* A plan for these ranges of `symbols` (indices of expressions). */
struct plan *plan_new(const struct programs *programs, const struct syms *syms, const uint32_t *symbols,
                      uint32_t n_symbols, const struct range *ranges, bool state, struct budget *b,
                      struct err *e) WARN_UNUSED;
bool plan_holds(const struct plan *p, const int64_t *values, bool state);
struct plan *plan_ref(struct plan *p);
void plan_unref(struct plan *p);
