/* SPDX-License-Identifier: Apache-2.0 */
/* The vector rows of kernels/pool.h, compiled once a level.
 *
 * A row of outputs is taken in two steps: down the kernel's rows into a buffer as wide as the
 * input with its pads, then along the buffer. Pads hold what changes nothing (-infinity, or 0), so
 * edges need no code, and a K x K window costs 2K steps instead of K^2. Rows too wide for the
 * buffer are cut. Kernels that reach too far for it, which no model has, go window by window.
 */
#include "kernels/pool_taps.h"

enum { BUFFER = 2048, COLUMNS = 512, SPARE = 4 * LANES };

INLINE vf take(vf acc, vf x, const bool max)
{
    /* The instruction gives its second operand where x is NaN. */
    return max ? vf_select(vf_is_nan(x), x, vf_max(x, acc)) : (vf)(acc + x);
}

/* buffer[i] is column `start` + i of the plane over the rows that h says. */
INLINE void rows_take(const struct pool_shape *s, const float *x, const struct pool_taps *h,
                      int64_t start, int64_t span, float *buffer, const bool max)
{
    const int64_t in = s->in[1], step = s->dilation[0] * in;
    const int64_t from = start < 0 ? (-start < span ? -start : span) : 0;
    const int64_t inside = in - start < span ? in - start : span,
                  to = inside < from ? from : inside;
    const vf none = vf_set(max ? -INFINITY : 0);
    const float *top = x + (h->start + h->first * s->dilation[0]) * in + start;
    const int64_t rows = h->last - h->first;

    for (int64_t i = 0; i < from; i += LANES)
        vf_store(buffer + i, none);
    for (int64_t i = from; i < to; i += LANES) {
        const size_t rest = (size_t)(to - i);
        vf acc = none;
        for (int64_t r = 0; r < rows; r++)
            acc = take(acc, vf_load_n(top + r * step + i, rest), max);
        vf_store(buffer + i, acc);
    }
    for (int64_t i = to; i < span; i += LANES)
        vf_store(buffer + i, none);
}

/* The LANES windows from `p` on; what the last ones read beyond the row is not stored. */
INLINE vf windows_take(const float *p, int64_t kernel, int64_t stride, int64_t dilation,
                       const bool max)
{
    vf acc = vf_set(max ? -INFINITY : 0);

    if (stride == 1) {
        for (int64_t j = 0; j < kernel; j++)
            acc = take(acc, vf_load(p + j * dilation), max);
    } else if (dilation == 1) {
        for (int64_t j = 0; j < kernel; j += 2) {
            const vf a = vf_load(p + j), b = vf_load(p + j + LANES);
            acc = take(acc, vf_even(a, b), max);
            if (j + 1 < kernel)
                acc = take(acc, vf_odd(a, b), max);
        }
    } else {
        for (int64_t j = 0; j < kernel; j++) {
            const float *q = p + j * dilation;
            acc = take(acc, vf_even(vf_load(q), vf_load(q + LANES)), max);
        }
    }
    return acc;
}

/* The same at other strides, for n windows. */
static vf windows_gather(const float *p, int64_t kernel, int64_t stride, int64_t dilation, size_t n,
                         bool max)
{
    float y[LANES];

    for (size_t i = 0; i < LANES; i++) {
        y[i] = max ? -INFINITY : 0;
        for (int64_t j = 0; i < n && j < kernel; j++) {
            const float u = p[(int64_t)i * stride + j * dilation];
            y[i] = max ? pool_max_of(y[i], u) : y[i] + u;
        }
    }
    return vf_load(y);
}

/* `count` outputs of a row from the buffer; columns: how many positions of each count. */
INLINE void row_take(const struct pool_shape *s, const float *buffer, const float *columns,
                     int64_t rows, float *y, size_t count, const int64_t kernel,
                     const int64_t stride, const bool max)
{
    const vf high = vf_set((float)rows);

    for (size_t i = 0; i < count; i += LANES) {
        const size_t rest = count - i;
        vf acc = stride <= 2 ? windows_take(buffer + (int64_t)i * stride, kernel, stride,
                                            s->dilation[1], max)
                             : windows_gather(buffer + (int64_t)i * stride, kernel, stride,
                                              s->dilation[1], rest, max);
        if (!max) {
            const vf all = high * vf_load(columns + i);
            acc = acc / vf_max(all, vf_set(1));
        }
        vf_store_n(y + i, acc, rest);
    }
}

/* The usual windows with their sizes known. */
INLINE void row_take_any(const struct pool_shape *s, const float *buffer, const float *columns,
                         int64_t rows, float *y, size_t count, const bool max)
{
    const int64_t kernel = s->kernel[1], stride = s->stride[1];

    if (kernel == 3 && stride == 2)
        row_take(s, buffer, columns, rows, y, count, 3, 2, max);
    else if (kernel == 2 && stride == 2)
        row_take(s, buffer, columns, rows, y, count, 2, 2, max);
    else if (kernel == 3 && stride == 1)
        row_take(s, buffer, columns, rows, y, count, 3, 1, max);
    else if (stride == 1)
        row_take(s, buffer, columns, rows, y, count, kernel, 1, max);
    else if (stride == 2)
        row_take(s, buffer, columns, rows, y, count, kernel, 2, max);
    else
        row_take(s, buffer, columns, rows, y, count, kernel, stride, max);
}

/* Outputs [from, from + count) of every row of every plane. */
INLINE void strip_run(const struct pool_shape *s, const float *x, float *y, size_t planes,
                      int64_t from, int64_t count, const bool max)
{
    const int64_t reach = (s->kernel[1] - 1) * s->dilation[1] + 1;
    const int64_t start = from * s->stride[1] - s->pad[1];
    _Alignas(64) float buffer[BUFFER + SPARE] = {0};
    _Alignas(64) float columns[COLUMNS + LANES] = {0};

    for (int64_t i = 0; !max && i < count; i++)
        columns[i] = (float)pool_taps(s, 1, from + i).count;
    for (size_t p = 0; p < planes; p++, x += s->in[0] * s->in[1]) {
        for (int64_t oh = 0; oh < s->out[0]; oh++, y += s->out[1]) {
            const struct pool_taps h = pool_taps(s, 0, oh);
            rows_take(s, x, &h, start, (count - 1) * s->stride[1] + reach, buffer, max);
            row_take_any(s, buffer, columns, h.count, y + from, (size_t)count, max);
        }
    }
}

static void windows_run(const struct pool_shape *s, const float *x, float *y, size_t planes,
                        bool max)
{
    for (size_t p = 0; p < planes; p++, x += s->in[0] * s->in[1]) {
        for (int64_t oh = 0; oh < s->out[0]; oh++) {
            const struct pool_taps h = pool_taps(s, 0, oh);
            for (int64_t ow = 0; ow < s->out[1]; ow++) {
                const struct pool_taps w = pool_taps(s, 1, ow);
                *y++ = pool_point(s, x, &h, &w, max);
            }
        }
    }
}

INLINE void planes_run(const struct pool_shape *s, const float *x, float *y, size_t planes,
                       const bool max)
{
    const int64_t reach = (s->kernel[1] - 1) * s->dilation[1] + 1;

    if (reach > BUFFER / 2 || s->stride[1] > BUFFER / 2) {
        windows_run(s, x, y, planes, max);
        return;
    }
    const int64_t fits = (BUFFER - reach) / s->stride[1] + 1;
    const int64_t most = fits < COLUMNS ? fits : COLUMNS;
    for (int64_t from = 0; from < s->out[1]; from += most)
        strip_run(s, x, y, planes, from, s->out[1] - from < most ? s->out[1] - from : most, max);
}

static void max_run(const struct pool_shape *s, const float *x, float *y, size_t planes)
{
    planes_run(s, x, y, planes, true);
}

static void average_run(const struct pool_shape *s, const float *x, float *y, size_t planes)
{
    planes_run(s, x, y, planes, false);
}

const struct pool_f32_kernel LEVEL(pool_f32) = {
    .name = LEVEL_NAME,
    .level = LEVEL_CPU,
    .max = max_run,
    .average = average_run,
};
