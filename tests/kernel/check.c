/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/kernel/check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kernels/cpu.h"

enum { PATTERN = 0xff, SHOWN_MAX = 50, BLOCKS_MAX = 64 };

struct block {
    unsigned char *map, *start;
    size_t mapped, bytes;
};

static struct {
    const char *family, *filter;
    uint64_t seed, state;
    long passed, failed;
    int only_level, level;
    bool bench;
    struct block blocks[BLOCKS_MAX];
} check = {.only_level = -1, .level = -1};

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: %s [--seed N] [--level NAME] [--bench] [--filter TEXT]\n",
            check.family);
    exit(2);
}

void check_init(const char *family, int argc, char **argv)
{
    check.family = family;
    check.seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--bench") == 0) {
            check.bench = true;
            continue;
        }
        if (!value)
            usage();
        if (strcmp(argv[i], "--seed") == 0)
            check.seed = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--filter") == 0)
            check.filter = value;
        else if (strcmp(argv[i], "--level") == 0 && cpu_level_find(value) >= 0)
            check.only_level = cpu_level_find(value);
        else
            usage();
        i++;
    }
    check.state = check.seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
    if (check.state == 0)
        check.state = 1;
    printf("%s: --seed %llu, %s\n", family, (unsigned long long)check.seed, cpu_name());
}

int check_done(void)
{
    printf("%s: %ld passed, %ld failed\n", check.family, check.passed, check.failed);
    return check.failed > 0;
}

bool check_that(bool ok, const char *file, int line, const char *format, ...)
{
    if (ok) {
        check.passed++;
        return true;
    }
    if (check.failed++ < SHOWN_MAX) {
        va_list args;
        printf("%s:%d: %s: ", file, line, check.level < 0 ? "-" : cpu_level_name(check.level));
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        putchar('\n');
    }
    return false;
}

int check_level_next(int level)
{
    cpu_mask_set(CPU_LEVELS - 1);
    for (level++; level < CPU_LEVELS; level++) {
        if (!cpu_has(level) || (check.only_level >= 0 && level != check.only_level))
            continue;
        cpu_mask_set(level);
        check.level = level;
        return level;
    }
    check.level = -1;
    return -1;
}

uint64_t check_random(void)
{
    uint64_t x = check.state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    check.state = x;
    return x * 0x2545f4914f6cdd1du;
}

unsigned check_random_below(unsigned n)
{
    return n ? (unsigned)((check_random() >> 32) * n >> 32) : 0;
}

float check_random_float(float lo, float hi)
{
    return lo + (hi - lo) * ((float)(check_random() >> 40) * 0x1p-24f);
}

void check_random_fill(float *x, size_t n, float lo, float hi)
{
    for (size_t i = 0; i < n; i++)
        x[i] = check_random_float(lo, hi);
}

void *check_guard_alloc(size_t bytes, int slack)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = bytes + (slack > 0 ? (size_t)slack : 0);
    size_t body = (room + page - 1) / page * page + (room == 0 ? page : 0);
    struct block *b = check.blocks;

    while (b < check.blocks + BLOCKS_MAX && b->map)
        b++;
    if (b == check.blocks + BLOCKS_MAX) {
        fprintf(stderr, "%s: more than %d guarded buffers\n", check.family, BLOCKS_MAX);
        exit(2);
    }
    unsigned char *map = mmap(NULL, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, body, PROT_READ | PROT_WRITE) != 0) {
        perror("mmap");
        exit(2);
    }
    memset(map + page, PATTERN, body);
    b->map = map;
    b->mapped = body + 2 * page;
    b->bytes = bytes;
    b->start = slack < 0 ? map + page : map + page + body - (size_t)slack - bytes;
    return b->start;
}

static bool pattern_kept(const unsigned char *from, const unsigned char *to)
{
    for (; from < to; from++)
        if (*from != PATTERN)
            return false;
    return true;
}

void check_guard_free(void *p)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct block *b = check.blocks;

    if (!p)
        return;
    while (b < check.blocks + BLOCKS_MAX && b->start != p)
        b++;
    if (b == check.blocks + BLOCKS_MAX)
        abort();
    bool kept = pattern_kept(b->map + page, b->start) &&
                pattern_kept(b->start + b->bytes, b->map + b->mapped - page);
    CHECK(kept, "bytes around a buffer of %zu bytes were written", b->bytes);
    munmap(b->map, b->mapped);
    *b = (struct block){0};
}

static bool near_one(double got, double want, double rtol, double atol)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got))
        return got == want;
    return fabs(got - want) <= atol + rtol * fabs(want);
}

bool check_near(const float *got, const double *want, size_t n, double rtol, double atol,
                const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (!near_one(got[i], want[i], rtol, atol))
            return CHECK(false, "%s: [%zu] of %zu is %.9g, not %.9g", what, i, n, got[i], want[i]);
    return CHECK(true, "%s", what);
}

bool check_same(const void *got, const void *want, size_t bytes, const char *what)
{
    const unsigned char *g = got, *w = want;
    size_t i = 0;

    if (bytes == 0 || memcmp(g, w, bytes) == 0)
        return CHECK(true, "%s", what);
    while (g[i] == w[i])
        i++;
    return CHECK(false, "%s: byte %zu of %zu differs", what, i, bytes);
}

bool check_bench(const char *name)
{
    return check.bench && (!name || !check.filter || strstr(name, check.filter));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double check_time(void (*fn)(void *arg), void *arg)
{
    double start = now(), once, best;
    long calls = 1;

    fn(arg);
    once = now() - start;
    best = once;
    /* Enough calls a sample that reading the clock does not show. */
    if (once < 5e-6)
        calls = (long)(5e-6 / (once + 1e-9)) + 1;
    for (int samples = 0; samples < 3 || now() - start < 0.3; samples++) {
        double t = now();
        for (long i = 0; i < calls; i++)
            fn(arg);
        t = (now() - t) / (double)calls;
        if (t < best)
            best = t;
    }
    return best;
}

void check_report(const char *name, double seconds, double flops, double bytes, double peak)
{
    printf("%-10s %-10s %-40s %10.2f us", check.family,
           check.level < 0 ? "-" : cpu_level_name(check.level), name, seconds * 1e6);
    if (flops > 0)
        printf(" %8.2f GFLOP/s", flops / seconds * 1e-9);
    if (flops > 0 && peak > 0)
        printf(" %5.1f %%", flops / seconds * 1e-7 / peak);
    if (bytes > 0)
        printf(" %8.2f GB/s", bytes / seconds * 1e-9);
    putchar('\n');
    fflush(stdout);
}
