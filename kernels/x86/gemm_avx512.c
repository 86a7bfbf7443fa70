/* SPDX-License-Identifier: Apache-2.0 */
/* f32 product, 14 x 32: 28 accumulators, 2 registers of B, 1 broadcast of A.
 *
 * Rows are addressed in groups of three (p, p + stride, p + 2 * stride), so that fourteen rows at
 * any stride take five pointers, and a packed A is only the case of stride 1. One body serves every
 * count of rows; it is compiled once for each, with one or two vectors of columns, the last one
 * masked. Few rows leave registers free: up to four rows then take several panels of B at once,
 * which hides the latency of the chains and keeps more streams from memory in flight.
 */
#include <immintrin.h>

#include "kernels/x86/gemm.h"

#define INLINE static inline __attribute__((always_inline))
/* Before loops of constant length: unrolled early, so that the arrays that they index are
 * registers. */
#define UNROLL _Pragma("GCC unroll 32")

enum { MR = 14, NR = 32, LANES = 16, GROUPS = (MR + 2) / 3, PREFETCH = 1024 };

INLINE __mmask16 lanes(size_t n)
{
    return n >= LANES ? 0xffff : (__mmask16)((1u << n) - 1);
}

/* The epilogue on sums in registers, a pass over all of them at each step. */
INLINE void finish(const struct gemm_f32_tile *t, __m512 (*sum)[8], size_t col, const unsigned m,
                   const unsigned vectors, __mmask16 tail)
{
    const struct gemm_epilogue *e = t->epilogue;
    const __m512 alpha = _mm512_set1_ps(e->alpha), beta = _mm512_set1_ps(e->beta);
    const __m512 lo = _mm512_set1_ps(e->lo), hi = _mm512_set1_ps(e->hi);
    const float *by_row = e->bias_by_row ? e->bias : NULL;
    const float *by_col = e->bias_by_row ? NULL : e->bias;
    const float *add = e->add;

    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[i][v] = _mm512_mul_ps(sum[i][v], alpha);
    if (by_row) {
        UNROLL for (unsigned i = 0; i < m; i++) {
            const __m512 bias = _mm512_set1_ps(by_row[t->row + i]);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] = _mm512_add_ps(sum[i][v], bias);
        }
    }
    if (by_col) {
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            const __mmask16 mask = v + 1 < vectors ? 0xffff : tail;
            const __m512 bias = _mm512_maskz_loadu_ps(mask, by_col + t->col + col + v * LANES);
            UNROLL for (unsigned i = 0; i < m; i++)
                sum[i][v] = _mm512_add_ps(sum[i][v], bias);
        }
    }
    if (add && e->add_col) {
        add += t->row * e->add_row + t->col + col;
        UNROLL for (unsigned i = 0; i < m; i++) {
            UNROLL for (unsigned v = 0; v < vectors; v++) {
                const __mmask16 mask = v + 1 < vectors ? 0xffff : tail;
                const __m512 x = _mm512_maskz_loadu_ps(mask, add + i * e->add_row + v * LANES);
                sum[i][v] = _mm512_fmadd_ps(beta, x, sum[i][v]);
            }
        }
    } else if (add) {
        UNROLL for (unsigned i = 0; i < m; i++) {
            const __m512 x = _mm512_set1_ps(add[(t->row + i) * e->add_row]);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] = _mm512_fmadd_ps(beta, x, sum[i][v]);
        }
    }
    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[i][v] = _mm512_min_ps(hi, _mm512_max_ps(lo, sum[i][v]));
}

/* m rows of `vectors` vectors, which lie side by side in a panel, or `vectors` / 2 whole panels.
 * The last vector has the lanes `tail`. */
INLINE void tile_run(const struct gemm_f32_tile *t, size_t col, const unsigned m,
                     const unsigned vectors, __mmask16 tail)
{
    const float *a[GROUPS];
    const float *b = t->b + col / NR * t->b_panel;
    float *c = t->c + col;
    const size_t a_row = t->a_row, a_k = t->a_k, b_k = t->b_k, b_panel = t->b_panel;
    __m512 sum[MR][8];

    UNROLL for (unsigned g = 0; g < (m + 2) / 3; g++)
        a[g] = t->a + 3 * g * a_row;
    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[i][v] = _mm512_setzero_ps();
    for (size_t k = t->k; k > 0; k--) {
        __m512 row[8];
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            const float *p = b + v / 2 * b_panel + v % 2 * LANES;
            row[v] = v + 1 < vectors ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(tail, p);
            if (m <= 4)
                _mm_prefetch((const char *)p + PREFETCH, _MM_HINT_T0);
        }
        b += b_k;
        UNROLL for (unsigned i = 0; i < m; i++) {
            const __m512 x = _mm512_set1_ps(a[i / 3][i % 3 * a_row]);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] = _mm512_fmadd_ps(x, row[v], sum[i][v]);
        }
        UNROLL for (unsigned g = 0; g < (m + 2) / 3; g++)
            a[g] += a_k;
    }
    if (t->accumulate)
        UNROLL for (unsigned i = 0; i < m; i++)
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] += _mm512_maskz_loadu_ps(v + 1 < vectors ? 0xffff : tail,
                                                   c + i * t->c_row + v * LANES);
    if (t->epilogue)
        finish(t, sum, col, m, vectors, tail);
    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            _mm512_mask_storeu_ps(c + i * t->c_row + v * LANES,
                                  v + 1 < vectors ? 0xffff : tail, sum[i][v]);
}

INLINE void rows_run(const struct gemm_f32_tile *t, const unsigned m)
{
    size_t col = 0;

    if (m <= 2)
        for (; col + 4 * NR <= t->n; col += 4 * NR)
            tile_run(t, col, m, 8, 0xffff);
    if (m <= 4)
        for (; col + 2 * NR <= t->n; col += 2 * NR)
            tile_run(t, col, m, 4, 0xffff);
    for (; col + LANES < t->n; col += NR)
        tile_run(t, col, m, 2, lanes(t->n - col - LANES));
    if (col < t->n)
        tile_run(t, col, m, 1, lanes(t->n - col));
}

#define ROWS(m) \
    static void rows_##m(const struct gemm_f32_tile *t) { rows_run(t, m); }
ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7)
ROWS(8) ROWS(9) ROWS(10) ROWS(11) ROWS(12) ROWS(13) ROWS(14)

void gemm_f32_avx512(const struct gemm_f32_tile *tile)
{
    static gemm_f32_fn *const by_rows[MR] = {
        rows_1, rows_2, rows_3, rows_4,  rows_5,  rows_6,  rows_7,
        rows_8, rows_9, rows_10, rows_11, rows_12, rows_13, rows_14,
    };
    by_rows[tile->m - 1](tile);
}

double gemm_peak_avx512(long rounds)
{
    enum { CHAINS = 24 };
    __m512 sum[CHAINS], x = _mm512_set1_ps(0.5f);

    UNROLL for (unsigned i = 0; i < CHAINS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (long r = 0; r < rounds; r++)
        UNROLL for (unsigned i = 0; i < CHAINS; i++)
            sum[i] = _mm512_fmadd_ps(sum[i], x, x);
    /* The sums stay alive without being stored. */
    UNROLL for (unsigned i = 0; i < CHAINS; i++)
        __asm__ volatile("" : : "v"(sum[i]));
    return 2.0 * LANES * CHAINS * (double)rounds;
}
