/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mem.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/cgroup.h"

/* What lies before each block: as long as the alignment, so that the block keeps it. */
struct head {
    size_t bytes; /* asked for */
    size_t whole; /* with this header; what counts against the budget and what was mapped */
    struct budget *budget;
    uint32_t magic;
    bool mapped;
};
_Static_assert(sizeof(struct head) <= MEM_ALIGN, "a header must fit the alignment");

enum { MAGIC = 0x6d656d21, MAGIC_FREE = 0x66726565 };

/* Blocks from here on are mapped, so that freeing them gives them back to the system whatever the
 * state of the heap. Under the address sanitizer none are: it sees only the heap's. */
#ifdef __SANITIZE_ADDRESS__
#define MAP_FROM SIZE_MAX
#else
#define MAP_FROM ((size_t)1 << 20)
#endif

/* From here on pages of 2 MiB spare most of the misses of the translation cache. */
#define HUGE_FROM ((size_t)4 << 20)

/* ---- Budgets ---- */

void budget_init(struct budget *b, size_t limit, struct budget *parent)
{
    b->limit = limit;
    b->parent = parent;
    atomic_init(&b->used, 0);
    atomic_init(&b->peak, 0);
}

static bool take(struct budget *b, size_t bytes)
{
    size_t used = atomic_load_explicit(&b->used, memory_order_relaxed), sum;
    do {
        if (!size_add(used, bytes, &sum) || sum > b->limit)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->used, &used, sum, memory_order_relaxed,
                                                    memory_order_relaxed));
    size_t peak = atomic_load_explicit(&b->peak, memory_order_relaxed);
    while (peak < sum && !atomic_compare_exchange_weak_explicit(
                             &b->peak, &peak, sum, memory_order_relaxed, memory_order_relaxed))
        ;
    return true;
}

int budget_take(struct budget *b, size_t bytes, struct err *e)
{
    if (!b)
        b = budget_process();
    for (struct budget *p = b; p; p = p->parent) {
        if (take(p, bytes))
            continue;
        for (struct budget *q = b; q != p; q = q->parent)
            atomic_fetch_sub_explicit(&q->used, bytes, memory_order_relaxed);
        return err_set(e, ERR_LIMIT, "%zu bytes wanted while %zu of a limit of %zu are in use",
                       bytes, atomic_load(&p->used), p->limit);
    }
    return 0;
}

void budget_give(struct budget *b, size_t bytes)
{
    for (b = b ? b : budget_process(); b; b = b->parent) {
        size_t before = atomic_fetch_sub_explicit(&b->used, bytes, memory_order_relaxed);
        assert(before >= bytes);
        (void)before;
    }
}

static void visit_limit(void *arg, const char *folder, bool v2)
{
    uint64_t *least = arg;
    int64_t v[2];
    if (cgroup_read(folder, v2 ? "memory.max" : "memory.limit_in_bytes", v) > 0 && v[0] > 0 &&
        (uint64_t)v[0] < *least)
        *least = (uint64_t)v[0];
}

static size_t half_available(void)
{
    uint64_t least = SIZE_MAX;
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    unsigned long long kib;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
            least = (uint64_t)kib << 10;
    if (f)
        fclose(f);
    cgroup_visit("memory", visit_limit, &least);
    return least / 2;
}

static struct budget process_budget;

static void process_init(void)
{
    budget_init(&process_budget, half_available(), NULL);
}

struct budget *budget_process(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, process_init);
    return &process_budget;
}

void budget_process_limit(size_t bytes)
{
    budget_process()->limit = bytes ? bytes : half_available();
}

/* ---- Fault injection ---- */

static _Atomic uint64_t fail_at, fail_made;
static atomic_bool fail_sticky;

void mem_fail_after(uint64_t n, bool sticky)
{
    atomic_store(&fail_at, 0);
    atomic_store(&fail_made, 0);
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_at, n);
}

uint64_t mem_fail_count(void)
{
    return atomic_load(&fail_made);
}

static bool fault(void)
{
    uint64_t made = atomic_fetch_add_explicit(&fail_made, 1, memory_order_relaxed) + 1;
    uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    return at && (made == at || (made > at && atomic_load(&fail_sticky)));
}

/* ---- Blocks ---- */

static struct head *head_of(const void *p)
{
    struct head *h = (struct head *)((char *)p - MEM_ALIGN);
    assert(h->magic == MAGIC);
    return h;
}

/* The system's part; the header's fields are set, the budget is not touched. */
static struct head *obtain(size_t bytes, size_t whole)
{
    void *p = NULL;
    bool mapped = whole >= MAP_FROM;
    if (mapped) {
        p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return NULL;
        if (whole >= HUGE_FROM)
            madvise(p, whole, MADV_HUGEPAGE); /* advice: where it is refused nothing is lost */
    } else if (posix_memalign(&p, MEM_ALIGN, whole)) {
        return NULL;
    }
    struct head *h = p;
    *h = (struct head){.bytes = bytes, .whole = whole, .magic = MAGIC, .mapped = mapped};
    return h;
}

static void give_back(struct head *h)
{
    h->magic = MAGIC_FREE;
    if (h->mapped)
        munmap(h, h->whole);
    else
        free(h);
}

void *mem_alloc(struct budget *b, size_t bytes, struct err *e)
{
    size_t whole;
    if (!b)
        b = budget_process();
    if (!size_add(bytes, MEM_ALIGN, &whole) || whole > PTRDIFF_MAX) {
        err_set(e, ERR_LIMIT, "%zu bytes wanted, more than can be addressed", bytes);
        return NULL;
    }
    if (budget_take(b, whole, e))
        return NULL;
    struct head *h = fault() ? NULL : obtain(bytes, whole);
    if (!h) {
        budget_give(b, whole);
        err_set(e, ERR_MEMORY, "the system has no %zu bytes left", bytes);
        return NULL;
    }
    h->budget = b;
    return (char *)h + MEM_ALIGN;
}

void *mem_calloc(struct budget *b, size_t n, size_t size, struct err *e)
{
    size_t bytes;
    if (!size_mul(n, size, &bytes)) {
        err_set(e, ERR_LIMIT, "%zu elements of %zu bytes wanted, more than can be addressed", n,
                size);
        return NULL;
    }
    void *p = mem_alloc(b, bytes, e);
    if (p && !head_of(p)->mapped)
        memset(p, 0, bytes);
    return p;
}

/* Grow or shrink a mapping by moving its pages. The new size is one that would be mapped too. */
static void *remap(struct head *h, size_t bytes, size_t whole, struct err *e)
{
    struct budget *b = h->budget;
    size_t old = h->whole;
    if (whole > old && budget_take(b, whole - old, e))
        return NULL;
    struct head *moved = fault() ? MAP_FAILED : mremap(h, old, whole, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) {
        if (whole > old)
            budget_give(b, whole - old);
        err_set(e, ERR_MEMORY, "the system has no %zu bytes left", bytes);
        return NULL;
    }
    if (whole < old)
        budget_give(b, old - whole);
    moved->bytes = bytes;
    moved->whole = whole;
    return (char *)moved + MEM_ALIGN;
}

void *mem_realloc(struct budget *b, void *p, size_t bytes, struct err *e)
{
    if (!p)
        return mem_alloc(b, bytes, e);
    struct head *h = head_of(p);
    size_t whole;
    if (h->mapped && size_add(bytes, MEM_ALIGN, &whole) && whole >= MAP_FROM &&
        whole <= PTRDIFF_MAX)
        return remap(h, bytes, whole, e);
    void *moved = mem_alloc(h->budget, bytes, e);
    if (!moved)
        return NULL;
    memcpy(moved, p, bytes < h->bytes ? bytes : h->bytes);
    mem_free(p);
    return moved;
}

void mem_free(void *p)
{
    if (!p)
        return;
    struct head *h = head_of(p);
    budget_give(h->budget, h->whole);
    give_back(h);
}

size_t mem_size(const void *p)
{
    return head_of(p)->bytes;
}

char *mem_strndup(struct budget *b, const char *s, size_t n, struct err *e)
{
    n = strnlen(s, n);
    char *copy = mem_alloc(b, n + 1, e);
    if (!copy)
        return NULL;
    memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

int mem_grow(struct budget *b, void **items, size_t count, size_t *capacity, size_t size,
             struct err *e)
{
    if (count < *capacity)
        return 0;
    size_t more = *capacity ? *capacity : 4, bytes;
    if (!size_mul(more, *capacity ? 2 : 1, &more) || !size_mul(more, size, &bytes))
        return err_set(e, ERR_LIMIT, "an array of %zu elements cannot grow", *capacity);
    void *p = mem_realloc(b, *items, bytes, e);
    if (!p)
        return e && e->code ? e->code : ERR_MEMORY;
    *items = p;
    *capacity = more;
    return 0;
}

/* ---- Arenas ---- */

enum {
    ARENA_ALIGN = 16,
    ARENA_FIRST = 4 << 10, /* blocks double from here ... */
    ARENA_MOST = 1 << 20,  /* ... to here */
};

struct arena_block {
    struct arena_block *next;
    size_t bytes; /* of an ordinary block; 0 for one that holds a single large request */
};
_Static_assert(sizeof(struct arena_block) <= ARENA_ALIGN, "blocks start aligned");

void arena_init(struct arena *a, struct budget *b)
{
    *a = (struct arena){.budget = b};
}

void arena_clear(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *next = a->blocks->next;
        mem_free(a->blocks);
        a->blocks = next;
    }
    a->next = a->end = NULL;
}

/* A request that would waste much of a block gets one of its own, behind the block in use. */
static void *arena_large(struct arena *a, size_t bytes, struct err *e)
{
    struct arena_block *block = mem_alloc(a->budget, bytes + ARENA_ALIGN, e);
    if (!block)
        return NULL;
    block->bytes = 0;
    if (a->blocks) {
        block->next = a->blocks->next;
        a->blocks->next = block;
    } else {
        block->next = NULL;
        a->blocks = block;
    }
    return (char *)block + ARENA_ALIGN;
}

static int arena_more(struct arena *a, size_t bytes, struct err *e)
{
    size_t size = a->blocks && a->blocks->bytes ? a->blocks->bytes * 2 : ARENA_FIRST;
    if (size > ARENA_MOST)
        size = ARENA_MOST;
    while (size < bytes + ARENA_ALIGN)
        size *= 2;
    struct arena_block *block = mem_alloc(a->budget, size, e);
    if (!block)
        return ERR_MEMORY;
    *block = (struct arena_block){.next = a->blocks, .bytes = size};
    a->blocks = block;
    a->next = (char *)block + ARENA_ALIGN;
    a->end = (char *)block + size;
    return 0;
}

void *arena_alloc(struct arena *a, size_t bytes, struct err *e)
{
    size_t rounded;
    if (!size_align(bytes ? bytes : 1, ARENA_ALIGN, &rounded) || rounded > PTRDIFF_MAX) {
        err_set(e, ERR_LIMIT, "%zu bytes wanted, more than can be addressed", bytes);
        return NULL;
    }
    char *p;
    if (a->next && rounded <= (size_t)(a->end - a->next)) {
        p = a->next;
        a->next += rounded;
    } else if (rounded > ARENA_MOST / 4) {
        p = arena_large(a, rounded, e);
    } else {
        if (arena_more(a, rounded, e))
            return NULL;
        p = a->next;
        a->next += rounded;
    }
    return p ? memset(p, 0, rounded) : NULL;
}

void *arena_array(struct arena *a, size_t n, size_t size, struct err *e)
{
    size_t bytes;
    if (!size_mul(n, size, &bytes)) {
        err_set(e, ERR_LIMIT, "%zu elements of %zu bytes wanted, more than can be addressed", n,
                size);
        return NULL;
    }
    return arena_alloc(a, bytes, e);
}

char *arena_strndup(struct arena *a, const char *s, size_t n, struct err *e)
{
    n = strnlen(s, n);
    char *copy = arena_alloc(a, n + 1, e);
    return copy ? memcpy(copy, s, n) : NULL;
}
