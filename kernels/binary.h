/* SPDX-License-Identifier: Apache-2.0 */
/* y[i] = f(a[i], b[i]), where either operand may be a single element; and the same on tensors of
 * any shapes that broadcast.
 *
 * Memory. No alignment beyond that of the element; nothing outside the n elements is touched; n
 * may be 0; y may be a or b itself, where that operand is a vector, and overlaps them in no other
 * way. Any thread; no state. Same bits: on one level y[i] depends on the two operands alone, not
 * on i, n, alignment or on which operand is a single element.
 *
 * Functions. add, sub, mul, div of floats round once, as in IEEE 754. min and max give NaN if
 * either operand is NaN; of zeros of different signs either. pow is C's powf within 2 ulp (2, 3,
 * -1 and 1/2 go by products, a quotient and a root). prelu: a < 0 ? a * b : a. Integers wrap; x /
 * 0 is 0 and the least integer divided by -1 is itself, so that hostile inputs cannot trap;
 * integer pow by repeated multiplication, wrapping, with a negative exponent as in 1 / a^-b
 * truncated (0 where that would be a division by zero).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/broadcast.h"
#include "kernels/cpu.h"

enum binary_op {
    BINARY_ADD,
    BINARY_SUB,
    BINARY_MUL,
    BINARY_DIV,
    BINARY_MIN,
    BINARY_MAX,
    BINARY_POW,
    BINARY_PRELU,
    BINARY_COUNT,
};

/* scalar: the operands that are single elements; the bits are those of broadcast_fn. */
enum { BINARY_A_SCALAR = 1, BINARY_B_SCALAR = 2 };
typedef void binary_fn(const void *a, const void *b, unsigned scalar, void *y, size_t n);

const char *binary_name(enum binary_op op);

/* A row of the f32 table; a NULL function is taken from the row below. */
struct binary_f32_kernel {
    const char *name;
    enum cpu_level level;
    binary_fn *fn[BINARY_COUNT];
};
extern const struct binary_f32_kernel *const binary_f32_kernels[];
extern const unsigned binary_f32_kernel_count;
extern const struct binary_f32_kernel binary_f32_avx2, binary_f32_avx512, binary_f32_neon;

/* The best usable function; never NULL. f64, i32 and i64 are plain C. u32 and u64 can use add, sub
 * and mul of i32 and i64. */
binary_fn *binary_f32_pick(enum binary_op op);
binary_fn *binary_f64_pick(enum binary_op op);
binary_fn *binary_i32_pick(enum binary_op op);
binary_fn *binary_i64_pick(enum binary_op op);

/* Elements [begin, end) of the broadcast output, through fn. */
void binary_broadcast(const struct broadcast *shape, binary_fn *fn, const void *a, const void *b,
                      void *y, size_t begin, size_t end);
