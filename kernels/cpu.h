/* SPDX-License-Identifier: Apache-2.0 */
/* What the processor can do, as a rising list of levels, and the mask that tests and users set.
 *
 * A level stands for a group of instruction sets that processors ship together and that the
 * operating system has enabled (the x86 probe asks xgetbv). A kernel table's row names the one level
 * that it needs; a family's pick function takes the best row whose level is usable. cpu_levels() is
 * computed once, on first use, from the probe and from the mask; any thread may call it.
 * cpu_mask_set() must be called before the first model is loaded (tests may call it between runs).
 */
#pragma once

#include <stdbool.h>

enum cpu_level {
    CPU_C,          /* plain C, always usable */
    CPU_AVX2,       /* AVX2, FMA, F16C, BMI2 */
    CPU_AVXVNNI,    /* 256-bit int8 dot products */
    CPU_AVX512,     /* F, BW, DQ, VL */
    CPU_AVX512VNNI, /* 512-bit int8 dot products */
    CPU_AVX512BF16, /* bfloat16 dot products */
    CPU_NEON,       /* aarch64 base */
    CPU_NEONDOT,    /* aarch64 int8 dot products */
    CPU_LEVELS,
};

/* True if kernels of this level may run here: the processor and the system have it, and the mask
 * allows it. */
bool cpu_has(enum cpu_level level);

/* The best usable level; its name is part of every tuning key. */
enum cpu_level cpu_best(void);

/* "c", "avx2", ... */
const char *cpu_level_name(enum cpu_level level);

/* The level of this name, or -1. */
int cpu_level_find(const char *name);

/* Hide every level above `level` (and, on x86, AVX-VNNI when `level` is below it). The knob
 * INFER_CPU=<level> does the same; kernels do not read the environment, the runtime calls this. */
void cpu_mask_set(enum cpu_level level);

/* Data cache sizes in bytes, with fallbacks (32 KiB, 512 KiB, 4 MiB) where they cannot be read. */
struct cpu_cache {
    unsigned l1, l2, l3;
};
const struct cpu_cache *cpu_cache(void);

/* The processor's name as the system prints it, for reports and tuning keys. */
const char *cpu_name(void);
