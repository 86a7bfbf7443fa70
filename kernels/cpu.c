/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

static const char *const level_names[CPU_LEVELS] = {
    [CPU_C] = "c",
    [CPU_AVX2] = "avx2",
    [CPU_AVXVNNI] = "avxvnni",
    [CPU_AVX512] = "avx512",
    [CPU_AVX512VNNI] = "avx512vnni",
    [CPU_AVX512BF16] = "avx512bf16",
    [CPU_NEON] = "neon",
    [CPU_NEONDOT] = "neondot",
};

static struct {
    pthread_once_t once;
    bool has[CPU_LEVELS];
    struct cpu_cache cache;
    char name[64];
} probe = {.once = PTHREAD_ONCE_INIT};

static atomic_int mask = CPU_LEVELS - 1;

static void cache_keep(unsigned level, size_t bytes)
{
    if (bytes == 0 || bytes > UINT32_MAX)
        return;
    if (level == 1)
        probe.cache.l1 = (unsigned)bytes;
    else if (level == 2)
        probe.cache.l2 = (unsigned)bytes;
    else if (level == 3)
        probe.cache.l3 = (unsigned)bytes;
}

#if defined(__x86_64__)

static bool bit(unsigned word, unsigned n)
{
    return word >> n & 1;
}

/* The register states that the system saves at a context switch: without them, an instruction set
 * that the processor has must not be used. */
static uint64_t xgetbv(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static void probe_levels(void)
{
    const uint64_t ymm_state = 0x06, zmm_state = 0xe6;
    unsigned a, b, c, d, b7, c7, a71 = 0;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27))
        return;
    bool fma = bit(c, 12), avx = bit(c, 28), f16c = bit(c, 29);
    uint64_t saved = xgetbv();
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d))
        return;
    if (a >= 1)
        __get_cpuid_count(7, 1, &a71, &b, &c, &d);
    bool avx2 = (saved & ymm_state) == ymm_state && avx && fma && f16c && bit(b7, 5) && bit(b7, 8);
    bool avx512 = avx2 && (saved & zmm_state) == zmm_state && bit(b7, 16) && bit(b7, 17) &&
                  bit(b7, 30) && bit(b7, 31);

    probe.has[CPU_AVX2] = avx2;
    probe.has[CPU_AVXVNNI] = avx2 && bit(a71, 4);
    probe.has[CPU_AVX512] = avx512;
    probe.has[CPU_AVX512VNNI] = avx512 && bit(c7, 11);
    probe.has[CPU_AVX512BF16] = probe.has[CPU_AVX512VNNI] && bit(a71, 5);
}

/* Intel describes its caches in leaf 4, AMD in leaf 0x8000001d of the same form. */
static void probe_caches(void)
{
    static const unsigned leaves[] = {0x8000001d, 4};
    unsigned a, b, c, d;

    for (unsigned l = 0; l < sizeof(leaves) / sizeof(leaves[0]); l++) {
        for (unsigned i = 0; i < 8; i++) {
            if (!__get_cpuid_count(leaves[l], i, &a, &b, &c, &d) || (a & 31) == 0)
                break;
            if ((a & 31) == 2)
                continue; /* instructions */
            size_t ways = (b >> 22) + 1, parts = (b >> 12 & 0x3ff) + 1, line = (b & 0xfff) + 1;
            cache_keep(a >> 5 & 7, ways * parts * line * ((size_t)c + 1));
        }
    }
}

static void probe_name(void)
{
    unsigned words[12] = {0};
    char text[sizeof(words) + 1] = {0};

    for (unsigned i = 0; i < 3; i++) {
        unsigned *w = words + 4 * i;
        if (!__get_cpuid(0x80000002 + i, &w[0], &w[1], &w[2], &w[3]))
            break;
    }
    memcpy(text, words, sizeof(words));
    const char *start = text + strspn(text, " ");
    size_t n = strlen(start);
    while (n > 0 && start[n - 1] == ' ')
        n--;
    if (n > 0)
        snprintf(probe.name, sizeof(probe.name), "%.*s", (int)n, start);
}

#else

static void probe_levels(void)
{
#if defined(__aarch64__)
    const unsigned long asimd = 1ul << 1, asimddp = 1ul << 20;
    unsigned long caps = getauxval(AT_HWCAP);
    probe.has[CPU_NEON] = caps & asimd;
    probe.has[CPU_NEONDOT] = (caps & asimd) && (caps & asimddp);
#endif
}

static void probe_caches(void)
{
#ifdef _SC_LEVEL1_DCACHE_SIZE
    static const int keys[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE,
                               _SC_LEVEL3_CACHE_SIZE};
    for (unsigned i = 0; i < 3; i++) {
        long bytes = sysconf(keys[i]);
        cache_keep(i + 1, bytes > 0 ? (size_t)bytes : 0);
    }
#endif
}

/* Arm processors carry no name, only a register of maker and part numbers. */
static void probe_name(void)
{
    const char *path = "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1";
    FILE *f = fopen(path, "re");
    char text[32];

    if (!f)
        return;
    if (fgets(text, sizeof(text), f)) {
        text[strcspn(text, "\n")] = 0;
        snprintf(probe.name, sizeof(probe.name), "midr %s", text);
    }
    fclose(f);
}

#endif

static void probe_all(void)
{
    probe.has[CPU_C] = true;
    probe.cache = (struct cpu_cache){.l1 = 32u << 10, .l2 = 512u << 10, .l3 = 4u << 20};
    snprintf(probe.name, sizeof(probe.name), "unknown");
    probe_levels();
    probe_caches();
    probe_name();
}

bool cpu_has(enum cpu_level level)
{
    pthread_once(&probe.once, probe_all);
    return (unsigned)level < CPU_LEVELS && probe.has[level] &&
           (int)level <= atomic_load_explicit(&mask, memory_order_relaxed);
}

enum cpu_level cpu_best(void)
{
    int level = CPU_LEVELS - 1;
    while (level > CPU_C && !cpu_has(level))
        level--;
    return level;
}

const char *cpu_level_name(enum cpu_level level)
{
    return (unsigned)level < CPU_LEVELS ? level_names[level] : "?";
}

int cpu_level_find(const char *name)
{
    for (int i = 0; i < CPU_LEVELS; i++)
        if (strcmp(level_names[i], name) == 0)
            return i;
    return -1;
}

void cpu_mask_set(enum cpu_level level)
{
    atomic_store_explicit(&mask, (int)level, memory_order_relaxed);
}

const struct cpu_cache *cpu_cache(void)
{
    pthread_once(&probe.once, probe_all);
    return &probe.cache;
}

const char *cpu_name(void)
{
    pthread_once(&probe.once, probe_all);
    return probe.name;
}
