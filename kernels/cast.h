/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions between element types on contiguous vectors, those worth a fast row.
 *
 * Rounding. To f16 and bf16: to nearest, halves to even, overflow to infinity, subnormal results
 * exact by the same rule; NaN stays NaN, with the upper bits of its payload and the quiet bit set;
 * the sign is kept. From f16 and bf16: exact (a signalling NaN becomes quiet from f16, is kept
 * from bf16). Integer to f32: to nearest even. f32 to integer: towards zero; NaN and what does not
 * fit give the least integer of the type. Every level gives the same bits.
 *
 * Memory. No alignment beyond that of the elements; nothing outside the n elements is touched; n
 * may be 0; y may be x itself where both elements have the same size, and overlaps it in no other
 * way. y[i] depends on x[i] alone. Any thread; no state.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

enum cast_op {
    CAST_F32_F16,
    CAST_F16_F32,
    CAST_F32_BF16,
    CAST_BF16_F32,
    CAST_I32_F32,
    CAST_I64_F32,
    CAST_U8_F32,
    CAST_I8_F32,
    CAST_F32_I32,
    CAST_F32_I64,
    CAST_COUNT,
};
typedef void cast_fn(const void *x, void *y, size_t n);

const char *cast_name(enum cast_op op);

/* A row of the table; a NULL function is taken from the row below. */
struct cast_kernel {
    const char *name;
    enum cpu_level level;
    cast_fn *fn[CAST_COUNT];
};
extern const struct cast_kernel *const cast_kernels[];
extern const unsigned cast_kernel_count;
extern const struct cast_kernel cast_avx2, cast_avx512, cast_neon;

/* The best usable function; never NULL. */
cast_fn *cast_pick(enum cast_op op);

/* One element. The f64 forms round once, not twice. */
uint16_t cast_f32_to_f16(float x);
float cast_f16_to_f32(uint16_t x);
uint16_t cast_f32_to_bf16(float x);
float cast_bf16_to_f32(uint16_t x);
uint16_t cast_f64_to_f16(double x);
uint16_t cast_f64_to_bf16(double x);
