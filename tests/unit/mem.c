/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mem.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static bool aligned(const void *p)
{
    return ((uintptr_t)p & (MEM_ALIGN - 1)) == 0;
}

static void sizes(void)
{
    size_t v;
    CHECK(!size_mul(SIZE_MAX / 2, 3, &v) && size_mul(6, 7, &v) && v == 42);
    CHECK(!size_add(SIZE_MAX, 1, &v) && size_add(1, 2, &v) && v == 3);
    CHECK(!size_align(SIZE_MAX - 2, 64, &v) && size_align(65, 64, &v) && v == 128);
    CHECK(size_align(0, 64, &v) && v == 0);
}

static void blocks(void)
{
    static const size_t steps[] = {0,       1,       63,      64,      65,      4096,    1 << 20,
                                   5 << 20, 3 << 20, 9 << 20, 1 << 19, 2 << 20, 100000, 17};
    struct budget b;
    budget_init(&b, SIZE_MAX, NULL);
    unsigned char *p = NULL;
    size_t held = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        p = mem_realloc(&b, p, steps[i], NULL);
        if (!CHECK(p && aligned(p) && mem_size(p) == steps[i] && b.used >= steps[i]))
            return;
        size_t same = held < steps[i] ? held : steps[i];
        bool kept = true;
        for (size_t k = 0; k < same; k++)
            kept &= p[k] == (unsigned char)(k * 7);
        CHECK(kept);
        for (size_t k = 0; k < steps[i]; k++)
            p[k] = (unsigned char)(k * 7);
        held = steps[i];
    }
    mem_free(p);
    mem_free(NULL);
    CHECK(b.used == 0 && b.peak >= (size_t)9 << 20);
}

static void zeroed(void)
{
    struct err e = {0};
    for (size_t n = 1; n < (size_t)4 << 20; n = n * 5 + 1) {
        char *dirty = mem_alloc(NULL, n, NULL);
        memset(dirty, 0x55, n);
        mem_free(dirty);
        char *p = mem_calloc(NULL, n, 1, NULL);
        CHECK(p && p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
        mem_free(p);
    }
    CHECK(!mem_calloc(NULL, SIZE_MAX / 2, 3, &e) && e.code == ERR_LIMIT);
    err_clear(&e);
    CHECK(!mem_alloc(NULL, SIZE_MAX - 3, &e) && e.code == ERR_LIMIT);
}

static void budgets(void)
{
    struct budget whole, part;
    struct err e = {0};
    budget_init(&whole, 10000, NULL);
    budget_init(&part, SIZE_MAX, &whole);
    void *p = mem_alloc(&part, 5000, &e), *q = mem_alloc(&part, 6000, &e);
    CHECK(p && !q && e.code == ERR_LIMIT);
    CHECK(part.used == whole.used && part.used >= 5000);
    void *moved = mem_realloc(&part, p, 9000, NULL);
    CHECK(!moved); /* both copies do not fit; the old one stays */
    size_t before = whole.used;
    CHECK(budget_take(&part, 1000, NULL) == 0 && whole.used == before + 1000);
    budget_give(&part, 1000);
    mem_free(p);
    CHECK(whole.used == 0 && part.used == 0 && whole.peak >= 6000);
    CHECK(budget_process()->limit > (size_t)16 << 20);
}

#ifndef __SANITIZE_ADDRESS__
static long resident_kib(void)
{
    long pages = 0, skip;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &skip, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * 4;
}
#endif

static void large_blocks_go_back(void)
{
#ifdef __SANITIZE_ADDRESS__
    unit_skip("the address sanitizer keeps freed memory");
#else
    long before = resident_kib();
    for (int i = 0; i < 20; i++) {
        void *p[8], *small[8];
        for (int k = 0; k < 8; k++) {
            p[k] = mem_alloc(NULL, ((size_t)2 + k) << 20, NULL);
            small[k] = mem_alloc(NULL, 100, NULL);
            memset(p[k], 1, mem_size(p[k]));
        }
        for (int k = 0; k < 8; k++) {
            mem_free(p[k]);
            mem_free(small[k]);
        }
    }
    CHECK(resident_kib() - before < 8 << 10);
#endif
}

static void strings_and_arrays(void)
{
    struct budget b;
    budget_init(&b, SIZE_MAX, NULL);
    char *s = mem_strndup(&b, "hello", 3, NULL);
    CHECK(s && strcmp(s, "hel") == 0);
    mem_free(s);
    int *items = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < 1000; i++) {
        void *p = items;
        CHECK(mem_grow(&b, &p, i, &capacity, sizeof *items, NULL) == 0);
        items = p;
        items[i] = (int)i;
    }
    CHECK(items[999] == 999 && items[0] == 0 && capacity >= 1000);
    mem_free(items);
    struct err e = {0};
    size_t huge = SIZE_MAX / 2 + 1;
    void *none = NULL;
    CHECK(mem_grow(&b, &none, huge, &huge, 8, &e) == ERR_LIMIT);
    CHECK(b.used == 0);
}

static void arenas(void)
{
    struct budget b;
    struct arena a;
    budget_init(&b, SIZE_MAX, NULL);
    arena_init(&a, &b);
    unsigned seed = 1;
    for (int i = 0; i < 3000; i++) {
        seed = seed * 1103515245 + 12345;
        size_t n = i % 500 == 7 ? (size_t)700000 : (seed >> 16) % 300;
        unsigned char *p = arena_alloc(&a, n, NULL);
        bool zero = true;
        for (size_t k = 0; k < n; k++)
            zero &= p[k] == 0;
        CHECK(p && zero && ((uintptr_t)p & 15) == 0);
        memset(p, 0xff, n);
    }
    char *s = arena_strndup(&a, "word", SIZE_MAX, NULL);
    CHECK(s && strcmp(s, "word") == 0);
    struct err e = {0};
    CHECK(!arena_array(&a, SIZE_MAX / 4, 8, &e) && e.code == ERR_LIMIT);
    CHECK(!arena_alloc(&a, SIZE_MAX - 4, NULL));
    arena_clear(&a);
    CHECK(b.used == 0);
    CHECK(arena_alloc(&a, 10, NULL)); /* usable after clearing */
    arena_clear(&a);
}

static int everything(struct budget *b, struct err *e)
{
    struct arena a;
    arena_init(&a, b);
    void *list = NULL, *p = mem_alloc(b, 100, e), *grown;
    size_t capacity = 0;
    int rc = p ? 0 : ERR_MEMORY;
    if (!rc && (grown = mem_realloc(b, p, (size_t)3 << 20, e)))
        p = grown;
    else
        rc = ERR_MEMORY;
    if (!rc && (grown = mem_realloc(b, p, (size_t)5 << 20, e)))
        p = grown;
    else
        rc = ERR_MEMORY;
    for (size_t i = 0; !rc && i < 20; i++)
        rc = mem_grow(b, &list, i, &capacity, 8, e);
    for (int i = 0; !rc && i < 40; i++)
        rc = arena_alloc(&a, 1000, e) ? 0 : ERR_MEMORY;
    if (!rc)
        rc = arena_alloc(&a, 1 << 20, e) ? 0 : ERR_MEMORY;
    mem_free(p);
    mem_free(list);
    arena_clear(&a);
    return rc;
}

static void faults(void)
{
    for (int sticky = 0; sticky < 2; sticky++) {
        for (uint64_t n = 1;; n++) {
            struct budget b;
            struct err e = {0};
            budget_init(&b, SIZE_MAX, NULL);
            mem_fail_after(n, sticky);
            int rc = everything(&b, &e);
            bool reached = mem_fail_count() >= n;
            mem_fail_after(0, false);
            CHECK(b.used == 0 && reached == (rc != 0));
            CHECK(!rc || e.code == ERR_MEMORY);
            if (!rc || n > 1000)
                break;
        }
    }
}

static struct budget shared;

static void *churn(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        void *p = mem_alloc(&shared, 1000, NULL), *q = mem_alloc(&shared, 2000, NULL);
        mem_free(p);
        mem_free(q);
    }
    return arg;
}

static void threads(void)
{
    pthread_t t[4];
    budget_init(&shared, 9000, NULL);
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, churn, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK(shared.used == 0 && shared.peak <= 9000);
}

static const struct unit_test tests[] = {
    TEST(sizes),  TEST(blocks), TEST(zeroed), TEST(budgets), TEST(large_blocks_go_back),
    TEST(strings_and_arrays),   TEST(arenas), TEST(faults),  TEST(threads),
};
UNIT_MAIN(tests)
