/* SPDX-License-Identifier: Apache-2.0 */
/* f32 product, 6 x 16: 12 accumulators, 2 registers of B, 1 or 2 broadcasts of A.
 *
 * Built like the AVX-512 row: rows in groups of three share a pointer, one body serves every count
 * of rows, up to two rows take several panels at once. Tails load and store through a mask of
 * lanes.
 */
#include <immintrin.h>

#include "kernels/x86/gemm.h"

#define INLINE static inline __attribute__((always_inline))
/* Before loops of constant length: unrolled early, so that the arrays that they index are
 * registers. */
#define UNROLL _Pragma("GCC unroll 32")

enum { MR = 6, NR = 16, LANES = 8, GROUPS = (MR + 2) / 3, PREFETCH = 1024 };

INLINE __m256i lanes(size_t n)
{
    static const int32_t ones[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(ones + LANES - (n < LANES ? n : LANES)));
}

INLINE __m256 load(const float *p, const bool whole, __m256i mask)
{
    return whole ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask);
}

/* The epilogue on sums in registers, a pass over all of them at each step. */
INLINE void finish(const struct gemm_f32_tile *t, __m256 (*sum)[8], size_t col, const unsigned m,
                   const unsigned vectors, const bool whole, __m256i tail)
{
    const struct gemm_epilogue *e = t->epilogue;
    const __m256 alpha = _mm256_set1_ps(e->alpha);
    const float *by_row = e->bias_by_row ? e->bias : NULL;
    const float *by_col = e->bias_by_row ? NULL : e->bias;
    const float *add = e->add;

    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[i][v] = _mm256_mul_ps(sum[i][v], alpha);
    if (by_row) {
        UNROLL for (unsigned i = 0; i < m; i++) {
            const __m256 bias = _mm256_set1_ps(by_row[t->row + i]);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] = _mm256_add_ps(sum[i][v], bias);
        }
    }
    if (by_col) {
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            const __m256 bias = load(by_col + t->col + col + v * LANES, whole || v + 1 < vectors,
                                     tail);
            UNROLL for (unsigned i = 0; i < m; i++)
                sum[i][v] = _mm256_add_ps(sum[i][v], bias);
        }
    }
    if (add) {
        const __m256 beta = _mm256_set1_ps(e->beta);
        if (e->add_col) {
            add += t->row * e->add_row + t->col + col;
            UNROLL for (unsigned i = 0; i < m; i++)
                UNROLL for (unsigned v = 0; v < vectors; v++)
                    sum[i][v] = _mm256_fmadd_ps(beta, load(add + i * e->add_row + v * LANES,
                                                           whole || v + 1 < vectors, tail),
                                                sum[i][v]);
        } else {
            UNROLL for (unsigned i = 0; i < m; i++) {
                const __m256 x = _mm256_set1_ps(add[(t->row + i) * e->add_row]);
                UNROLL for (unsigned v = 0; v < vectors; v++)
                    sum[i][v] = _mm256_fmadd_ps(beta, x, sum[i][v]);
            }
        }
    }
    const __m256 lo = _mm256_set1_ps(e->lo), hi = _mm256_set1_ps(e->hi);
    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[i][v] = _mm256_min_ps(hi, _mm256_max_ps(lo, sum[i][v]));
}

/* As in the AVX-512 row; `whole` says that the last vector needs no mask. */
INLINE void tile_run(const struct gemm_f32_tile *t, size_t col, const unsigned m,
                     const unsigned vectors, const bool whole, __m256i tail)
{
    const float *a[GROUPS];
    const float *b = t->b + col / NR * t->b_panel;
    float *c = t->c + col;
    const size_t a_row = t->a_row, a_k = t->a_k, b_k = t->b_k, b_panel = t->b_panel;
    __m256 sum[MR][8];

    UNROLL for (unsigned g = 0; g < (m + 2) / 3; g++)
        a[g] = t->a + 3 * g * a_row;
    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[i][v] = _mm256_setzero_ps();
    for (size_t k = t->k; k > 0; k--) {
        __m256 row[8];
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            const float *p = b + v / 2 * b_panel + v % 2 * LANES;
            row[v] = load(p, whole || v + 1 < vectors, tail);
            if (m <= 2 && v % 2 == 0)
                _mm_prefetch((const char *)p + PREFETCH, _MM_HINT_T0);
        }
        b += b_k;
        UNROLL for (unsigned i = 0; i < m; i++) {
            const __m256 x = _mm256_set1_ps(a[i / 3][i % 3 * a_row]);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] = _mm256_fmadd_ps(x, row[v], sum[i][v]);
        }
        UNROLL for (unsigned g = 0; g < (m + 2) / 3; g++)
            a[g] += a_k;
    }
    if (t->accumulate)
        UNROLL for (unsigned i = 0; i < m; i++)
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] += load(c + i * t->c_row + v * LANES, whole || v + 1 < vectors, tail);
    if (t->epilogue)
        finish(t, sum, col, m, vectors, whole, tail);
    UNROLL for (unsigned i = 0; i < m; i++) {
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            float *to = c + i * t->c_row + v * LANES;
            if (whole || v + 1 < vectors)
                _mm256_storeu_ps(to, sum[i][v]);
            else
                _mm256_maskstore_ps(to, tail, sum[i][v]);
        }
    }
}

INLINE void rows_run(const struct gemm_f32_tile *t, const unsigned m)
{
    const __m256i all = _mm256_set1_epi32(-1);
    size_t col = 0;

    if (m == 1)
        for (; col + 4 * NR <= t->n; col += 4 * NR)
            tile_run(t, col, m, 8, true, all);
    if (m <= 2)
        for (; col + 2 * NR <= t->n; col += 2 * NR)
            tile_run(t, col, m, 4, true, all);
    for (; col + NR <= t->n; col += NR)
        tile_run(t, col, m, 2, true, all);
    if (col + LANES < t->n)
        tile_run(t, col, m, 2, false, lanes(t->n - col - LANES));
    else if (col < t->n)
        tile_run(t, col, m, 1, false, lanes(t->n - col));
}

#define ROWS(m) \
    static void rows_##m(const struct gemm_f32_tile *t) { rows_run(t, m); }
ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6)

void gemm_f32_avx2(const struct gemm_f32_tile *tile)
{
    static gemm_f32_fn *const by_rows[MR] = {rows_1, rows_2, rows_3, rows_4, rows_5, rows_6};
    by_rows[tile->m - 1](tile);
}

double gemm_peak_avx2(long rounds)
{
    enum { CHAINS = 12 };
    __m256 sum[CHAINS], x = _mm256_set1_ps(0.5f);

    UNROLL for (unsigned i = 0; i < CHAINS; i++)
        sum[i] = _mm256_set1_ps((float)i);
    for (long r = 0; r < rounds; r++)
        UNROLL for (unsigned i = 0; i < CHAINS; i++)
            sum[i] = _mm256_fmadd_ps(sum[i], x, x);
    /* The sums stay alive without being stored. */
    UNROLL for (unsigned i = 0; i < CHAINS; i++)
        __asm__ volatile("" : : "x"(sum[i]));
    return 2.0 * LANES * CHAINS * (double)rounds;
}
