/* SPDX-License-Identifier: Apache-2.0 */
#include "core/guard.h"

#include <string.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
enum { POISONS = 1 };
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
enum { POISONS = 0 };
#endif

enum { PATTERN = 0xA7 };

void guard_set(void *at, size_t bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
    memset(at, PATTERN, bytes);
    ASAN_POISON_MEMORY_REGION(at, bytes);
}

bool guard_whole(const void *at, size_t bytes)
{
    const unsigned char *p = at;
    for (size_t i = 0; i < bytes && !POISONS; i++)
        if (p[i] != PATTERN)
            return false;
    return true;
}

void guard_clear(void *at, size_t bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
}

void guards_add(struct guards *g, void *at, size_t bytes)
{
    while (atomic_flag_test_and_set_explicit(&g->busy, memory_order_acquire))
        ;
    bool there = g->n == GUARDS_MAX;
    for (int i = 0; i < g->n && !there; i++)
        there = g->list[i].at == at;
    if (!there) {
        guard_set(at, bytes);
        g->list[g->n++] = (struct guard){at, bytes};
    }
    atomic_flag_clear_explicit(&g->busy, memory_order_release);
}

int guards_broken(const struct guards *g)
{
    for (int i = 0; i < g->n; i++)
        if (!guard_whole(g->list[i].at, g->list[i].bytes))
            return i;
    return -1;
}

void guards_drop(struct guards *g)
{
    for (int i = 0; i < g->n; i++)
        guard_clear(g->list[i].at, g->list[i].bytes);
    g->n = 0;
}
