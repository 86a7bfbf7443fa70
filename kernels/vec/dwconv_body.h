/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution, one body for the x86 levels. A file defines, before it includes this:
 * LANES; vec, mask; zero(), all(x), madd(a, b, c), load(p); mask_of(from, to), the lanes
 * from <= l < to (which may lie outside of 0..LANES); load_some(p, mask), zeros where the mask is
 * off, which is not read; pair_split(low, high, &even, &odd), the even and the odd ones of two
 * vectors; finish(add, y, bias, lo, hi, sum, at, left): all that follows the sum, and the store of
 * the first `left` lanes at element `at` of y.
 *
 * Squares of 3x3, 5x5 and 7x7 read the image where it lies and keep their weights at hand. Four
 * output rows are computed at a time, so that each vector that is loaded serves all the rows that
 * it is a tap of; with a dilation these rows lie as far apart. What a number of rows leaves over is
 * computed by moving the last four rows up, over some that are there already. A 3x3 spends 36
 * multiply-adds on 18 loads; planes of 14 x 14 come to a third of peak, of 28 x 28 and 5x5 to 60 %.
 */
#include <stdbool.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
/* Before loops of constant length: unrolled early, so that the arrays that they index are
 * registers. */
#define UNROLL _Pragma("GCC unroll 32")

/* ---- in place -------------------------------------------------------------------------------- */

enum { ROWS = 4, SIDE = 7 };

/* Addresses may lie outside the image where no lane is loaded: integers, not pointers. */
INLINE const float *at(const float *x, int64_t offset)
{
    return (const float *)((uintptr_t)x + (uintptr_t)(offset * 4));
}

/* The image's row at p for all taps along the width: in[k] holds what tap k multiplies. */
INLINE void taps_load(const float *p, int64_t dilation, const mask *m, const bool full,
                      const unsigned size, const unsigned stride, vec *in)
{
    if (stride == 1) {
        UNROLL for (unsigned k = 0; k < size; k++) {
            const float *q = at(p, (int64_t)k * dilation);
            in[k] = full ? load(q) : load_some(q, m[k]);
        }
        return;
    }
    UNROLL for (unsigned k = 0; k < size; k += 2) {
        const vec low = full ? load(at(p, k)) : load_some(at(p, k), m[k]);
        const vec high = full ? load(at(p, k + LANES)) : load_some(at(p, k + LANES), m[k + 1]);
        vec odd;
        pair_split(low, high, &in[k], &odd);
        if (k + 1 < size)
            in[k + 1] = odd;
    }
}

/* `rows` output rows r, r + dilation, ... in columns [j, j + LANES). inside: all their taps meet
 * the image. */
INLINE void block_run(const struct dwconv_f32_plane *t, vec (*w)[SIDE], int64_t r, int64_t j,
                      const bool inside, const unsigned size, const unsigned stride,
                      const unsigned rows)
{
    const int64_t dilation = t->dilation, width = t->width;
    const int64_t top = r * stride - t->pad_y, left = j * stride - t->pad_x;
    mask m[SIDE + 1];
    vec sum[ROWS], in[SIDE];

    if (!inside && stride == 1)
        UNROLL for (unsigned k = 0; k < size; k++)
            m[k] = mask_of(-(left + k * dilation), width - (left + k * dilation));
    if (!inside && stride == 2)
        UNROLL for (unsigned k = 0; k < size + 1; k++) {
            const int64_t first = left + (k & ~1u) + (k & 1) * LANES;
            m[k] = mask_of(-first, width - first);
        }
    UNROLL for (unsigned q = 0; q < rows; q++)
        sum[q] = zero();
    UNROLL for (unsigned i = 0; i < (rows - 1) * stride + size; i++) {
        const int64_t y = top + i * dilation;
        if (!inside && (y < 0 || y >= t->height))
            continue;
        taps_load(at(t->x, y * width + left), dilation, m, inside, size, stride, in);
        UNROLL for (unsigned k = 0; k < size; k++)
            UNROLL for (unsigned q = 0; q < rows; q++)
                if (i >= q * stride && i < q * stride + size)
                    sum[q] = madd(w[i - q * stride][k], in[k], sum[q]);
    }
    UNROLL for (unsigned q = 0; q < rows; q++)
        finish(t->add, t->y, t->bias, t->lo, t->hi, sum[q],
               (size_t)((r + q * dilation) * t->out_width + j), (size_t)(t->out_width - j));
}

INLINE void rows_run(const struct dwconv_f32_plane *t, int64_t r, const unsigned size,
                     const unsigned stride, const unsigned rows)
{
    const int64_t dilation = t->dilation, top = r * stride - t->pad_y;
    const int64_t bottom = top + ((rows - 1) * stride + size - 1) * dilation;
    const bool tall = top >= 0 && bottom < t->height;
    /* What a vector of outputs reads along the width, the neighbours of its pairs included. */
    const int64_t reach = stride == 1 ? LANES + (size - 1) * dilation : 2 * LANES + size - 1;
    vec w[SIDE][SIDE];

    UNROLL for (unsigned i = 0; i < size; i++)
        UNROLL for (unsigned k = 0; k < size; k++)
            w[i][k] = all(t->w[i * size + k]);
    for (int64_t j = 0; j < t->out_width; j += LANES) {
        const int64_t left = j * stride - t->pad_x;
        if (tall && left >= 0 && left + reach <= t->width)
            block_run(t, w, r, j, true, size, stride, rows);
        else
            block_run(t, w, r, j, false, size, stride, rows);
    }
}

/* Rows [from, to): those of one remainder by the dilation after those of another. */
INLINE void square_run(const struct dwconv_f32_plane *t, const unsigned size, const unsigned stride)
{
    const int64_t dilation = t->dilation, to = t->row_to, four = ROWS * dilation;

    for (int64_t first = t->row_from; first < t->row_from + dilation && first < to; first++) {
        const int64_t count = (to - first + dilation - 1) / dilation;
        const int64_t end = first + count * dilation;
        int64_t r = first;
        if (count < ROWS)
            for (; r < end; r += dilation)
                rows_run(t, r, size, stride, 1);
        for (; r + four <= end; r += four)
            rows_run(t, r, size, stride, ROWS);
        if (r < end)
            rows_run(t, end - four, size, stride, ROWS);
    }
}

static void square_3_1(const struct dwconv_f32_plane *t) { square_run(t, 3, 1); }
static void square_3_2(const struct dwconv_f32_plane *t) { square_run(t, 3, 2); }
static void square_5_1(const struct dwconv_f32_plane *t) { square_run(t, 5, 1); }
static void square_5_2(const struct dwconv_f32_plane *t) { square_run(t, 5, 2); }
static void square_7_1(const struct dwconv_f32_plane *t) { square_run(t, 7, 1); }
static void square_7_2(const struct dwconv_f32_plane *t) { square_run(t, 7, 2); }

static void plane_run(const struct dwconv_f32_plane *t)
{
    static dwconv_f32_plane_fn *const by_size[3][2] = {
        {square_3_1, square_3_2}, {square_5_1, square_5_2}, {square_7_1, square_7_2},
    };
    by_size[t->size / 2 - 1][t->stride - 1](t);
}

/* ---- from lines ------------------------------------------------------------------------------ */

/* `vectors` vectors of one output row, tap by tap. */
INLINE void general_run(const struct dwconv_f32_tile *t, size_t r, size_t j, const unsigned vectors)
{
    const size_t phase_step = t->dilation % t->stride, at_step = t->dilation / t->stride;
    vec sum[4];
    const float *w = t->w;

    UNROLL for (unsigned v = 0; v < vectors; v++)
        sum[v] = zero();
    for (size_t z = 0; z < t->kernel[0]; z++) {
        for (size_t y = 0; y < t->kernel[1]; y++) {
            const float *line = t->x + r * t->x_row + z * t->z_step + y * t->y_step + j;
            size_t phase = 0, place = 0;
            for (size_t k = 0; k < t->kernel[2]; k++) {
                const float *in = line + phase * t->phase + place;
                const vec weight = all(*w++);
                UNROLL for (unsigned v = 0; v < vectors; v++)
                    sum[v] = madd(weight, load(in + v * LANES), sum[v]);
                phase += phase_step;
                place += at_step;
                if (phase >= t->stride) {
                    phase -= t->stride;
                    place++;
                }
            }
        }
    }
    UNROLL for (unsigned v = 0; v < vectors; v++)
        finish(t->add, t->y, t->bias, t->lo, t->hi, sum[v], r * t->y_row + j + v * LANES,
               t->n - j - v * LANES);
}

static void lines_run(const struct dwconv_f32_tile *t)
{
    for (size_t r = 0; r < t->rows; r++) {
        size_t j = 0;
        for (; j + 3 * LANES < t->n; j += 4 * LANES)
            general_run(t, r, j, 4);
        for (; j < t->n; j += LANES)
            general_run(t, r, j, 1);
    }
}
