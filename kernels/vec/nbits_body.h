/* SPDX-License-Identifier: Apache-2.0 */
/* The product by a packed weight, for the vectors of vec_avx2.h, vec_avx512.h or vec_neon.h.
 *
 * A tile is `m` rows by `panels` panels of 16 columns: few rows take several panels, which keeps
 * enough chains in flight; many rows take one, whose widening (a shift, a lookup or a
 * conversion, a subtraction for 16 weights) they share. Block sums are in registers; totals are
 * touched once a block. Rows are addressed in groups of three (p, p + stride, p + 2 * stride).
 *
 * A level gives vi_load(), vi_shr(), vi_from_bytes() and lookup_take(codes, table): what the low
 * four bits of each lane stand for. Where a table takes several registers, codes that stand for
 * themselves are converted instead.
 */
#pragma once

#include "kernels/nbits.h"

enum { PANEL = NBITS_PANEL, VECS = PANEL / LANES };

/* What the 4-bit codes stand for, in registers. */
struct lookup {
    vf part[16 / LANES];
};

INLINE struct lookup lookup_make(const struct nbits *w)
{
    static const float plain[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const float *from = w->codes ? w->codes : plain;
    struct lookup t;
    UNROLL for (unsigned i = 0; i < 16 / LANES; i++)
        t.part[i] = vf_load(from + i * LANES);
    return t;
}

/* BITS is 2, 4 or 8, or 0 for 4 bits whose codes are looked up. */
INLINE vf widen(vi words, const int bits, const int by, const struct lookup *t)
{
    if (bits == 0)
        return lookup_take(vi_shr(words, by), t);
    return vi_to_vf(vi_and(vi_shr(words, by), vi_set((1 << bits) - 1)));
}

INLINE vf zero_load(const struct nbits *w, const char *at, unsigned v)
{
    if (w->zero == NBITS_ZERO_BYTES)
        return vi_to_vf(vi_from_bytes(at + v * LANES));
    if (w->zero == NBITS_ZERO_FLOATS)
        return vf_load((const float *)at + v * LANES);
    return vf_set(w->mid);
}

INLINE void tile_run(const struct nbits *w, const float *a, size_t a_row, size_t panel, float *c,
                     size_t c_row, const unsigned m, const unsigned panels, const int bits,
                     size_t last)
{
    const int width = bits ? bits : 4, each = 32 / width;
    const size_t blocks = nbits_blocks(w), step = nbits_block_bytes(w), stride = blocks * step;
    const size_t zeros = PANEL * sizeof(float);
    const size_t words = step - w->block * (size_t)width / 32 * PANEL * sizeof(uint32_t);
    const char *block = (const char *)w->data + panel * stride;
    const struct lookup t = lookup_make(w);
    const float *row[(12 + 2) / 3];
    vf total[12][8];

    UNROLL for (unsigned g = 0; g < (m + 2) / 3; g++)
        row[g] = a + 3 * g * a_row;
    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < panels * VECS; v++)
            total[i][v] = vf_set(0);
    for (size_t b = 0; b < blocks; b++, block += step) {
        size_t k = w->k - b * w->block < w->block ? w->k - b * w->block : w->block;
        const char *from = block + words;
        vf sum[12][8], zero[8], x[8];
        vi codes[8];
        UNROLL for (unsigned v = 0; v < panels * VECS; v++)
            zero[v] = zero_load(w, block + v / VECS * stride + zeros, v % VECS);
        UNROLL for (unsigned i = 0; i < m; i++)
            UNROLL for (unsigned v = 0; v < panels * VECS; v++)
                sum[i][v] = vf_set(0);
        for (; k >= (size_t)each; k -= (size_t)each, from += PANEL * sizeof(uint32_t)) {
            UNROLL for (unsigned v = 0; v < panels * VECS; v++)
                codes[v] = vi_load(from + v / VECS * stride + v % VECS * sizeof(vi));
            UNROLL for (int p = 0; p < each; p++) {
                UNROLL for (unsigned v = 0; v < panels * VECS; v++)
                    x[v] = widen(codes[v], bits, p * width, &t) - zero[v];
                UNROLL for (unsigned i = 0; i < m; i++)
                    UNROLL for (unsigned v = 0; v < panels * VECS; v++)
                        sum[i][v] = vf_fma(vf_set(row[i / 3][i % 3 * a_row + (size_t)p]), x[v],
                                           sum[i][v]);
            }
            UNROLL for (unsigned g = 0; g < (m + 2) / 3; g++)
                row[g] += each;
        }
        for (int p = 0; k > 0; k--, p += width) {
            UNROLL for (unsigned v = 0; v < panels * VECS; v++)
                x[v] = widen(vi_load(from + v / VECS * stride + v % VECS * sizeof(vi)), bits, p,
                             &t) - zero[v];
            UNROLL for (unsigned i = 0; i < m; i++)
                UNROLL for (unsigned v = 0; v < panels * VECS; v++)
                    sum[i][v] = vf_fma(vf_set(row[i / 3][i % 3 * a_row]), x[v], sum[i][v]);
            UNROLL for (unsigned g = 0; g < (m + 2) / 3; g++)
                row[g]++;
        }
        UNROLL for (unsigned v = 0; v < panels * VECS; v++) {
            const vf scale = vf_load((const float *)(block + v / VECS * stride) + v % VECS * LANES);
            UNROLL for (unsigned i = 0; i < m; i++)
                total[i][v] = vf_fma(scale, sum[i][v], total[i][v]);
        }
    }
    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < panels * VECS; v++) {
            const size_t n = v / VECS + 1 < panels ? PANEL : last;
            if (n > v % VECS * LANES)
                vf_store_n(c + i * c_row + v * LANES, total[i][v], n - v % VECS * LANES);
        }
}

/* All panels of `m` rows: `wide` at once, then one by one. */
INLINE void rows_run(const struct nbits *w, const float *a, size_t a_row, size_t from, size_t to,
                     float *c, size_t c_row, const unsigned m, const unsigned wide, const int bits)
{
    size_t p = from;
    for (; to - p >= wide; p += wide, c += wide * PANEL)
        tile_run(w, a, a_row, p, c, c_row, m, wide, bits,
                 w->n - (p + wide - 1) * PANEL < PANEL ? w->n - (p + wide - 1) * PANEL : PANEL);
    for (; wide > 1 && p < to; p++, c += PANEL)
        tile_run(w, a, a_row, p, c, c_row, m, 1, bits,
                 w->n - p * PANEL < PANEL ? w->n - p * PANEL : PANEL);
}

#define ROWS(bits)                                                                                 \
    static void rows_##bits(const struct nbits *w, const float *a, size_t a_row, size_t m,         \
                            size_t from, size_t to, float *c, size_t c_row)                        \
    {                                                                                              \
        for (; m >= MANY; m -= MANY, a += MANY * a_row, c += MANY * c_row)                         \
            rows_run(w, a, a_row, from, to, c, c_row, MANY, 1, bits);                              \
        for (; m >= SOME && SOME < MANY; m -= SOME, a += SOME * a_row, c += SOME * c_row)          \
            rows_run(w, a, a_row, from, to, c, c_row, SOME, 1, bits);                              \
        for (; m >= 2; m -= 2, a += 2 * a_row, c += 2 * c_row)                                     \
            rows_run(w, a, a_row, from, to, c, c_row, 2, 4 / VECS, bits);                          \
        if (m > 0)                                                                                 \
            rows_run(w, a, a_row, from, to, c, c_row, 1, 4 / VECS, bits);                          \
    }
ROWS(0)
ROWS(2)
ROWS(4)
ROWS(8)

static void nbits_run(const struct nbits *w, const float *a, size_t a_row, size_t m, size_t from,
                      size_t to, float *c, size_t c_row)
{
    if (from >= to)
        return;
    if (LANES < 16 && w->bits == 4 && !w->codes) {
        rows_4(w, a, a_row, m, from, to, c, c_row);
        return;
    }
    (w->bits == 2 ? rows_2 : w->bits == 8 ? rows_8 : rows_0)(w, a, a_row, m, from, to, c, c_row);
}

const struct nbits_kernel LEVEL(nbits) = {.name = LEVEL_NAME, .level = LEVEL_CPU, .fn = nbits_run};
