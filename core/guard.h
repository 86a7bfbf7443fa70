/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: bytes that nobody may touch between pieces of memory handed out from one block, where neither
 * the allocator nor a tool would see a write over a piece's end.
 *
 * They exist in debug builds and in those with address sanitizer: elsewhere GUARD_BYTES is 0, and what
 * asks for it first compiles to nothing. With the sanitizer a touched guard ends the process at once; else
 * guards hold a pattern that is looked at after each step. Memory that had guards is cleared of them
 * before it is used otherwise, freed too. Functions are for whoever owns the memory; a list may be added
 * to from several threads.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef INFER_GUARDS
enum { GUARD_BYTES = 64 };
#else
enum { GUARD_BYTES = 0 };
#endif

void guard_set(void *at, size_t bytes);
bool guard_whole(const void *at, size_t bytes);
void guard_clear(void *at, size_t bytes);

/* The guards within one block. What does not fit in the list is not guarded. */
enum { GUARDS_MAX = 96 };
struct guards {
    atomic_flag busy;
    int n;
    struct guard {
        char *at;
        size_t bytes;
    } list[GUARDS_MAX];
};

/* A guard, set unless it is in the list already. */
void guards_add(struct guards *g, void *at, size_t bytes);
/* The index of the first that was written over, -1 if none was. */
int guards_broken(const struct guards *g);
/* Clear them all. */
void guards_drop(struct guards *g);
