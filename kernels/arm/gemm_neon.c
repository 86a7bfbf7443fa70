/* SPDX-License-Identifier: Apache-2.0 */
/* f32 product, 8 x 12: 24 accumulators, 3 registers of B, 1 scalar of A at a time.
 *
 * Each row has a pointer of its own and all share one offset along K, so that any strides of A cost
 * the same. One body serves every count of rows; it is compiled for each with one to three vectors
 * of columns. Few rows take several panels of B at once: eight chains or more keep two pipes with a
 * latency of four cycles busy. There are no masked loads here: the last vector of a tail is put
 * together from its one, two or three lanes. Its share of peak is not known: it was checked under
 * emulation, never timed.
 */
#include <arm_neon.h>

#include "kernels/arm/gemm.h"

#define INLINE static inline __attribute__((always_inline))
/* Before loops of constant length: unrolled early, so that the arrays that they index are
 * registers. */
#define UNROLL _Pragma("GCC unroll 32")

enum { MR = 8, NR = 12, LANES = 4, PANEL = NR / LANES, MOST = 4 * PANEL };

/* How a tile's last vector is read and written: `whole` at once, else its first `lanes` (1 to 4).
 * `whole` is constant wherever it is used. */
struct tail {
    bool whole;
    size_t lanes;
};

INLINE float32x4_t load(const float *p, const bool whole, size_t lanes)
{
    if (whole || lanes == LANES)
        return vld1q_f32(p);
    if (lanes == 1)
        return vld1q_lane_f32(p, vdupq_n_f32(0), 0);
    const float32x4_t two = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
    return lanes == 2 ? two : vld1q_lane_f32(p + 2, two, 2);
}

INLINE void store(float *p, float32x4_t x, const bool whole, size_t lanes)
{
    if (whole || lanes == LANES) {
        vst1q_f32(p, x);
    } else if (lanes == 1) {
        vst1q_lane_f32(p, x, 0);
    } else {
        vst1_f32(p, vget_low_f32(x));
        if (lanes == 3)
            vst1q_lane_f32(p + 2, x, 2);
    }
}

/* As plain C has it: NaN stays, and so does the sign of a zero at the limit. */
INLINE float32x4_t clip(float32x4_t x, float32x4_t lo, float32x4_t hi)
{
    x = vbslq_f32(vcgtq_f32(lo, x), lo, x);
    return vbslq_f32(vcltq_f32(hi, x), hi, x);
}

/* The epilogue on sums in registers, a pass over all of them at each step. */
INLINE void finish(const struct gemm_f32_tile *t, float32x4_t (*sum)[MOST], size_t col,
                   const unsigned m, const unsigned vectors, const struct tail tail)
{
    const struct gemm_epilogue *e = t->epilogue;
    const float *by_row = e->bias_by_row ? e->bias : NULL;
    const float *by_col = e->bias_by_row ? NULL : e->bias;
    const float *add = e->add;

    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[i][v] = vmulq_n_f32(sum[i][v], e->alpha);
    if (by_row) {
        UNROLL for (unsigned i = 0; i < m; i++) {
            const float32x4_t bias = vdupq_n_f32(by_row[t->row + i]);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] = vaddq_f32(sum[i][v], bias);
        }
    }
    if (by_col) {
        UNROLL for (unsigned v = 0; v < vectors; v++) {
            const float32x4_t bias = load(by_col + t->col + col + v * LANES,
                                          tail.whole || v + 1 < vectors, tail.lanes);
            UNROLL for (unsigned i = 0; i < m; i++)
                sum[i][v] = vaddq_f32(sum[i][v], bias);
        }
    }
    if (add && e->add_col) {
        add += t->row * e->add_row + t->col + col;
        UNROLL for (unsigned i = 0; i < m; i++)
            UNROLL for (unsigned v = 0; v < vectors; v++) {
                const float32x4_t x = load(add + i * e->add_row + v * LANES,
                                           tail.whole || v + 1 < vectors, tail.lanes);
                sum[i][v] = vfmaq_n_f32(sum[i][v], x, e->beta);
            }
    } else if (add) {
        UNROLL for (unsigned i = 0; i < m; i++) {
            const float32x4_t x = vdupq_n_f32(add[(t->row + i) * e->add_row]);
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] = vfmaq_n_f32(sum[i][v], x, e->beta);
        }
    }
    const float32x4_t lo = vdupq_n_f32(e->lo), hi = vdupq_n_f32(e->hi);
    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[i][v] = clip(sum[i][v], lo, hi);
}

/* Columns [col, col + vectors * LANES), the last vector as `tail` says. */
INLINE void tile_run(const struct gemm_f32_tile *t, size_t col, const unsigned m,
                     const unsigned vectors, const struct tail tail)
{
    const float *a[MR];
    const float *b = t->b + col / NR * t->b_panel;
    float *c = t->c + col;
    const size_t a_k = t->a_k, b_k = t->b_k, b_panel = t->b_panel, c_row = t->c_row;
    float32x4_t sum[MR][MOST];
    size_t at = 0;

    UNROLL for (unsigned i = 0; i < m; i++)
        a[i] = t->a + i * t->a_row;
    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            sum[i][v] = vdupq_n_f32(0);
    for (size_t k = t->k; k > 0; k--) {
        float32x4_t row[MOST];
        UNROLL for (unsigned v = 0; v < vectors; v++)
            row[v] = load(b + v / PANEL * b_panel + v % PANEL * LANES,
                          tail.whole || v + 1 < vectors, tail.lanes);
        UNROLL for (unsigned i = 0; i < m; i++) {
            const float x = a[i][at];
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] = vfmaq_n_f32(sum[i][v], row[v], x);
        }
        b += b_k;
        at += a_k;
    }
    if (t->accumulate)
        UNROLL for (unsigned i = 0; i < m; i++)
            UNROLL for (unsigned v = 0; v < vectors; v++)
                sum[i][v] = vaddq_f32(sum[i][v], load(c + i * c_row + v * LANES,
                                                      tail.whole || v + 1 < vectors, tail.lanes));
    if (t->epilogue)
        finish(t, sum, col, m, vectors, tail);
    UNROLL for (unsigned i = 0; i < m; i++)
        UNROLL for (unsigned v = 0; v < vectors; v++)
            store(c + i * c_row + v * LANES, sum[i][v], tail.whole || v + 1 < vectors, tail.lanes);
}

INLINE void rows_run(const struct gemm_f32_tile *t, const unsigned m)
{
    const struct tail whole = {.whole = true};
    size_t col = 0;

    if (m == 1)
        for (; col + 4 * NR <= t->n; col += 4 * NR)
            tile_run(t, col, m, 4 * PANEL, whole);
    if (m <= 2)
        for (; col + 2 * NR <= t->n; col += 2 * NR)
            tile_run(t, col, m, 2 * PANEL, whole);
    for (; col + NR <= t->n; col += NR)
        tile_run(t, col, m, PANEL, whole);
    const size_t left = t->n - col;
    if (left > 2 * LANES)
        tile_run(t, col, m, 3, (struct tail){.lanes = left - 2 * LANES});
    else if (left > LANES)
        tile_run(t, col, m, 2, (struct tail){.lanes = left - LANES});
    else if (left > 0)
        tile_run(t, col, m, 1, (struct tail){.lanes = left});
}

#define ROWS(m) \
    static void rows_##m(const struct gemm_f32_tile *t) { rows_run(t, m); }
ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8)

void gemm_f32_neon(const struct gemm_f32_tile *tile)
{
    static gemm_f32_fn *const by_rows[MR] = {rows_1, rows_2, rows_3, rows_4,
                                             rows_5, rows_6, rows_7, rows_8};
    by_rows[tile->m - 1](tile);
}

double gemm_peak_neon(long rounds)
{
    enum { CHAINS = 24 };
    float32x4_t sum[CHAINS], x = vdupq_n_f32(0.5f);

    UNROLL for (unsigned i = 0; i < CHAINS; i++)
        sum[i] = vdupq_n_f32((float)i);
    for (long r = 0; r < rounds; r++)
        UNROLL for (unsigned i = 0; i < CHAINS; i++)
            sum[i] = vfmaq_f32(x, sum[i], x);
    /* The sums stay alive without being stored. */
    UNROLL for (unsigned i = 0; i < CHAINS; i++)
        __asm__ volatile("" : : "w"(sum[i]));
    return 2.0 * LANES * CHAINS * (double)rounds;
}
