/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution: 3x3 and 5x5 with strides 1 and 2 keep their weights in registers and
 * compute four output rows at a time, so that each vector of input that is loaded serves all the
 * rows that it is a tap of. Others run tap by tap over four vectors of one row.
 */
#include <immintrin.h>

#include "kernels/x86/dwconv.h"

#define INLINE static inline __attribute__((always_inline))
/* Before loops of constant length: unrolled early, so that the arrays that they index are
 * registers. */
#define UNROLL _Pragma("GCC unroll 32")

enum { LANES = 16 };

INLINE void finish(const struct dwconv_f32_tile *t, __m512 sum, size_t r, size_t j)
{
    const size_t left = t->n - j, at = r * t->y_row + j;
    const __mmask16 mask = left >= LANES ? 0xffff : (__mmask16)((1u << left) - 1);
    __m512 v = _mm512_add_ps(sum, _mm512_set1_ps(t->bias));
    if (t->add)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, t->add + at));
    v = _mm512_max_ps(_mm512_set1_ps(t->lo), v);
    _mm512_mask_storeu_ps(t->y + at, mask, _mm512_min_ps(_mm512_set1_ps(t->hi), v));
}

/* A square filter of `size` taps a side, no dilation, `rows` output rows from row r on. */
INLINE void square_rows(const struct dwconv_f32_tile *t, size_t r, const unsigned size,
                        const unsigned stride, const unsigned rows)
{
    const size_t phase = t->phase, line = t->y_step;
    const float *x = t->x + r * t->x_row;
    __m512 w[5][5];

    UNROLL for (unsigned i = 0; i < size; i++)
        UNROLL for (unsigned k = 0; k < size; k++)
            w[i][k] = _mm512_set1_ps(t->w[i * size + k]);
    for (size_t j = 0; j < t->n; j += LANES) {
        __m512 sum[4];
        UNROLL for (unsigned q = 0; q < rows; q++)
            sum[q] = _mm512_setzero_ps();
        UNROLL for (unsigned i = 0; i < (rows - 1) * stride + size; i++) {
            UNROLL for (unsigned k = 0; k < size; k++) {
                const __m512 in =
                    _mm512_loadu_ps(x + i * line + k % stride * phase + k / stride + j);
                UNROLL for (unsigned q = 0; q < rows; q++)
                    if (i >= q * stride && i < q * stride + size)
                        sum[q] = _mm512_fmadd_ps(w[i - q * stride][k], in, sum[q]);
            }
        }
        UNROLL for (unsigned q = 0; q < rows; q++)
            finish(t, sum[q], r + q, j);
    }
}

INLINE void square_run(const struct dwconv_f32_tile *t, const unsigned size, const unsigned stride)
{
    size_t r = 0;
    for (; r + 4 <= t->rows; r += 4)
        square_rows(t, r, size, stride, 4);
    for (; r < t->rows; r++)
        square_rows(t, r, size, stride, 1);
}

static void square_3_1(const struct dwconv_f32_tile *t) { square_run(t, 3, 1); }
static void square_3_2(const struct dwconv_f32_tile *t) { square_run(t, 3, 2); }
static void square_5_1(const struct dwconv_f32_tile *t) { square_run(t, 5, 1); }
static void square_5_2(const struct dwconv_f32_tile *t) { square_run(t, 5, 2); }

/* `vectors` vectors of one output row, tap by tap. */
INLINE void general_run(const struct dwconv_f32_tile *t, size_t r, size_t j, const unsigned vectors)
{
    const size_t phase_step = t->dilation % t->stride, at_step = t->dilation / t->stride;
    __m512 sum[4];
    const float *w = t->w;

    UNROLL for (unsigned v = 0; v < vectors; v++)
        sum[v] = _mm512_setzero_ps();
    for (size_t z = 0; z < t->kernel[0]; z++) {
        for (size_t y = 0; y < t->kernel[1]; y++) {
            const float *line = t->x + r * t->x_row + z * t->z_step + y * t->y_step + j;
            size_t phase = 0, at = 0;
            for (size_t k = 0; k < t->kernel[2]; k++) {
                const float *in = line + phase * t->phase + at;
                const __m512 weight = _mm512_set1_ps(*w++);
                UNROLL for (unsigned v = 0; v < vectors; v++)
                    sum[v] = _mm512_fmadd_ps(weight, _mm512_loadu_ps(in + v * LANES), sum[v]);
                phase += phase_step;
                at += at_step;
                if (phase >= t->stride) {
                    phase -= t->stride;
                    at++;
                }
            }
        }
    }
    UNROLL for (unsigned v = 0; v < vectors; v++)
        finish(t, sum[v], r, j + v * LANES);
}

void dwconv_f32_avx512(const struct dwconv_f32_tile *t)
{
    const size_t size = t->kernel[2];

    if (t->kernel[0] == 1 && t->kernel[1] == size && (size == 3 || size == 5) &&
        t->dilation == 1 && t->stride <= 2 && t->x_row == t->stride * t->y_step) {
        if (size == 3)
            (t->stride == 1 ? square_3_1 : square_3_2)(t);
        else
            (t->stride == 1 ? square_5_1 : square_5_2)(t);
        return;
    }
    for (size_t r = 0; r < t->rows; r++) {
        size_t j = 0;
        for (; j + 3 * LANES < t->n; j += 4 * LANES)
            general_run(t, r, j, 4);
        for (; j < t->n; j += LANES)
            general_run(t, r, j, 1);
    }
}
