/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: checked sizes, allocations that count against a budget, and arenas.
 *
 * Every allocation of the library goes through mem_alloc() so that it counts against a budget and so
 * that tests can make the n-th one fail. A budget may have a parent (a run's counts in its model's,
 * a model's in the process's). Blocks remember their size and budget; mem_free() needs no size.
 * All functions may be called from any thread; an arena belongs to one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

/* out = a * b, a + b, a rounded up to a multiple of `to` (a power of two): false on overflow. */
static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool size_align(size_t a, size_t to, size_t *out)
{
    if (__builtin_add_overflow(a, to - 1, out))
        return false;
    *out &= ~(to - 1);
    return true;
}

/* A limit in bytes and what is used of it. Initialise with budget_init; limit SIZE_MAX is none. */
struct budget {
    size_t limit;
    _Atomic size_t used, peak;
    struct budget *parent;
};

void budget_init(struct budget *b, size_t limit, struct budget *parent);

/* Count bytes that were obtained elsewhere (a mapping); ERR_LIMIT beyond the limit. */
int budget_take(struct budget *b, size_t bytes, struct err *e) WARN_UNUSED;
void budget_give(struct budget *b, size_t bytes);

/* The budget of the process: half of the smaller of the cgroup's limit and what is available, or what
 * budget_process_limit() set. */
struct budget *budget_process(void);
void budget_process_limit(size_t bytes);

enum { MEM_ALIGN = 64 };

/* `bytes` bytes aligned to MEM_ALIGN, or NULL with ERR_LIMIT (budget) or ERR_MEMORY (system). Zero
 * bytes gives a valid pointer. b NULL means the process's budget. */
void *mem_alloc(struct budget *b, size_t bytes, struct err *e) WARN_UNUSED;
/* The same, zeroed, for n * size bytes, overflow checked. */
void *mem_calloc(struct budget *b, size_t n, size_t size, struct err *e) WARN_UNUSED;
/* Grow or shrink; p NULL allocates. On failure the old block is untouched. */
void *mem_realloc(struct budget *b, void *p, size_t bytes, struct err *e) WARN_UNUSED;
void mem_free(void *p);
/* The size asked for. */
size_t mem_size(const void *p);
/* strndup within a budget. */
char *mem_strndup(struct budget *b, const char *s, size_t n, struct err *e) WARN_UNUSED;

/* Make room for one more element in a growing array: doubles *items (element size `size`). */
int mem_grow(struct budget *b, void **items, size_t count, size_t *capacity, size_t size,
             struct err *e) WARN_UNUSED;

/* Fault injection: the n-th allocation from now on fails, and all after it if `sticky`; 0 is off.
 * mem_fail_count() tells how many allocations were made since. For tests. */
void mem_fail_after(uint64_t n, bool sticky);
uint64_t mem_fail_count(void);

/* Bump memory with one end of life: what a model, a run or a request owns. */
struct arena_block;
struct arena {
    struct budget *budget;
    struct arena_block *blocks;
    char *next, *end;
};

void arena_init(struct arena *a, struct budget *b);
void arena_clear(struct arena *a);
/* Zeroed memory aligned to 16 bytes. */
void *arena_alloc(struct arena *a, size_t bytes, struct err *e) WARN_UNUSED;
void *arena_array(struct arena *a, size_t n, size_t size, struct err *e) WARN_UNUSED;
char *arena_strndup(struct arena *a, const char *s, size_t n, struct err *e) WARN_UNUSED;
