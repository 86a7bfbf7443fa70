/* SPDX-License-Identifier: Apache-2.0 */
/* C = A x W: f32 rows by a weight of 2, 4 or 8 bits, whose columns have a scale and a zero point
 * for each block of K. The weight stays packed; it is widened in registers, inside the product.
 *
 * What is computed. An element's block sum is one chain of fused multiply-adds over the block's
 * k, from zero, in order, of a[k] and (code - zero), a difference rounded once (exact for an
 * integral zero). The chain of the blocks in order is total = fma(scale, sum, total), from zero.
 * Row 0, plain C, rounds the products as well. Vector lanes run along N only, and which rows or
 * panels are computed together does not matter: a row alone equals the same row in any batch,
 * bit for bit.
 *
 * Layout. Panels of NBITS_PANEL columns, the same at every level; columns past N are zeros. A
 * panel is its blocks of K one after the other, and a block of a panel is
 *     16 floats         scales
 *     nothing, 16 bytes or 16 floats    zero points (enum nbits_zero)
 *     block * bits / 32 rows of 16 words of 32 bits: word j of row r holds the codes of column j
 *         for k = r * 32 / bits and on, the first k in the lowest bits
 * so that the kernel reads memory in order. Codes past K are never used.
 *
 * Memory. No alignment is required beyond that of float; 64 bytes are faster. Nothing outside
 * the stated rows and columns is read or written, except that packed data has the stated size. C
 * overlaps no input. m = 0 or an empty range of panels touches nothing. Pure functions; any
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

enum { NBITS_PANEL = 16 };

enum nbits_zero {
    NBITS_ZERO_ONE,    /* the same everywhere: struct nbits.mid */
    NBITS_ZERO_BYTES,  /* an integer in [0, 255] a column and block */
    NBITS_ZERO_FLOATS, /* a float a column and block */
};

/* A packed weight. codes: NULL, the codes being the numbers 0 to 2^bits - 1; or, for bits 4, the 16
 * numbers that they stand for. */
struct nbits {
    size_t k, n, block;
    unsigned bits;
    enum nbits_zero zero;
    float mid;
    const float *codes;
    const void *data;
};

/* Fill in the shape. A block longer than K is cut to what K needs. False if bits or block (a
 * multiple of 32 / bits) are none that the kernels take, or sizes overflow. */
bool nbits_init(struct nbits *w, size_t k, size_t n, size_t block, unsigned bits,
                enum nbits_zero zero);
size_t nbits_blocks(const struct nbits *w);
size_t nbits_panels(const struct nbits *w);
size_t nbits_block_bytes(const struct nbits *w); /* of a panel */
size_t nbits_bytes(const struct nbits *w);       /* of everything */

/* Packing, panel by panel; different panels may be packed on different threads. Clear a panel
 * first, then put the columns' blocks: `size` bytes of codes, low bits first, from byte `first`
 * of the block on, a multiple of 4 (what lies past the block is left out), and the scale with
 * its zero point. */
void nbits_clear(const struct nbits *w, size_t panel, void *data);
void nbits_put_codes(const struct nbits *w, size_t column, size_t block, size_t first,
                     const uint8_t *codes, size_t size, void *data);
void nbits_put_scale(const struct nbits *w, size_t column, size_t block, float scale, float zero,
                     void *data);

/* m rows of A (row i at a + i * a_row, k floats) times panels [from, to): c[i * c_row + j],
 * where j = 0 is the first column of panel `from`; columns from N on are not written. */
typedef void nbits_fn(const struct nbits *w, const float *a, size_t a_row, size_t m, size_t from,
                      size_t to, float *c, size_t c_row);

struct nbits_kernel {
    const char *name;
    enum cpu_level level;
    nbits_fn *fn;
};
extern const struct nbits_kernel *const nbits_kernels[];
extern const unsigned nbits_kernel_count;
extern const struct nbits_kernel nbits_avx2, nbits_avx512, nbits_neon;

/* The best usable row. */
const struct nbits_kernel *nbits_pick(void);
