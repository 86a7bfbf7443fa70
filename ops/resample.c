/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/resample.h"

#include <math.h>

bool resample_same(const struct resample *r, const struct resample_axis *a)
{
    return a->in == a->out && fabs(a->scale - 1) < 1e-9 &&
           (r->coord != COORD_TF_CROP || (a->start == 0 && a->end == 1));
}

/* In f32, as it has always been: whether a place on the region's edge is outside hangs on the
 * rounding. */
static double crop_coordinate(const struct resample_axis *a, float x)
{
    float start = (float)a->start, end = (float)a->end, last = (float)(a->in - 1);
    if (a->out == 1)
        return 0.5f * (start + end) * last;
    return start * last + x * (end - start) * last / (float)(a->out - 1);
}

/* The coordinate in the input of place i of the output. Divisions by a scale of whole sizes are
 * exact where the quotient is: width / in is the scale. */
static double coordinate(const struct resample *r, const struct resample_axis *a, int64_t i)
{
    double x = (double)i, in = (double)a->in, width = a->width;
    switch (r->coord) {
    case COORD_HALF_PIXEL:
        return (x + 0.5) * in / width - 0.5;
    case COORD_HALF_PIXEL_SYMMETRIC:
        return in / 2 * (1 - (double)a->out / width) + (x + 0.5) * in / width - 0.5;
    case COORD_PYTORCH_HALF_PIXEL:
        return a->out > 1 ? (x + 0.5) * in / width - 0.5 : 0;
    case COORD_ALIGN_CORNERS:
        return width == 1 || a->out == 1 ? 0 : x * (in - 1) / (width - 1);
    case COORD_TF_CROP:
        return crop_coordinate(a, (float)i);
    case COORD_TF_HALF_PIXEL_NN:
        return (x + 0.5) * in / width;
    default:
        return x * in / width;
    }
}

/* Keeps what hostile scales and regions make within integers; NaN becomes 0. */
static double bounded(double x, const struct resample_axis *a)
{
    double far = 4 * (double)a->in + 16;
    return x > -far ? (x < far ? x : far) : x <= -far ? -far : 0;
}

static int64_t place(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static int64_t nearest(const struct resample *r, const struct resample_axis *a, double x)
{
    switch (r->nearest) {
    case NEAREST_HALF_DOWN:
        return (int64_t)ceil(x - 0.5);
    case NEAREST_HALF_UP:
        return (int64_t)floor(x + 0.5);
    case NEAREST_CEIL:
        return (int64_t)ceil(x);
    case NEAREST_SIMPLE:
        return (int64_t)(a->scale < 1 ? ceil(x) : floor(x));
    default:
        return (int64_t)floor(x);
    }
}

static double stretch(const struct resample *r, const struct resample_axis *a)
{
    return r->antialias && a->scale < 1 ? a->scale : 1;
}

int64_t resample_taps(const struct resample *r, const struct resample_axis *a)
{
    double radius = r->filter == RESAMPLE_CUBIC ? 2 : 1, s = stretch(r, a);
    if (r->filter == RESAMPLE_NEAREST)
        return 1;
    /* Places whose distance is below radius / s on either side. */
    double half = ceil(radius / s), most = 2 * (double)a->in + 4;
    return 2 * (int64_t)(half < most ? half : most);
}

/* The filter at distance x: a triangle, or Keys' cubic with parameter `a` (IEEE ASSP 29, 1981,
 * (4)). */
static double filter(const struct resample *r, double x)
{
    double a = r->cubic_a;
    x = fabs(x);
    if (r->filter == RESAMPLE_LINEAR)
        return x < 1 ? 1 - x : 0;
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static void fill_taps(const struct resample *r, const struct resample_axis *a, double x,
                      int64_t *index, double *weight)
{
    double s = stretch(r, a), sum = 0;
    int64_t from = (int64_t)floor(x) + 1 - a->taps / 2;
    for (int64_t t = 0; t < a->taps; t++) {
        int64_t i = from + t;
        weight[t] = filter(r, ((double)i - x) * s);
        if (r->exclude_outside && (i < 0 || i >= a->in))
            weight[t] = 0;
        index[t] = place(i, a->in);
        sum += weight[t];
    }
    if (!(r->exclude_outside || s < 1) || sum == 0)
        return;
    for (int64_t t = 0; t < a->taps; t++)
        weight[t] /= sum;
}

void resample_table(const struct resample *r, const struct resample_axis *a)
{
    for (int64_t o = 0; o < a->out; o++) {
        double x = coordinate(r, a, o);
        bool outside = r->coord == COORD_TF_CROP && !(x >= 0 && x <= (double)(a->in - 1));
        x = bounded(x, a);
        if (r->filter == RESAMPLE_NEAREST)
            a->index[o] = place(nearest(r, a, x), a->in);
        else
            fill_taps(r, a, x, a->index + o * a->taps, a->weight + o * a->taps);
        if (outside)
            a->index[o * a->taps] = -1;
    }
}

/* Runs of one element, runs of two taps, and the rest in pieces that stay in the first cache. */
#define RESAMPLE_FN(name, type)                                                                    \
    static void name##_run(const struct resample_axis *a, const int64_t *index,                    \
                           const double *weight, const type *in, type *out, int64_t inner)         \
    {                                                                                              \
        if (a->taps == 2) {                                                                        \
            type w0 = (type)weight[0], w1 = (type)weight[1];                                       \
            const type *x0 = in + index[0] * inner, *x1 = in + index[1] * inner;                   \
            for (int64_t i = 0; i < inner; i++)                                                    \
                out[i] = x0[i] * w0 + x1[i] * w1;                                                  \
            return;                                                                                \
        }                                                                                          \
        for (int64_t from = 0; from < inner; from += CHUNK_ELEMS) {                                \
            int64_t n = inner - from < CHUNK_ELEMS ? inner - from : CHUNK_ELEMS;                   \
            type sum[CHUNK_ELEMS];                                                                 \
            for (int64_t i = 0; i < n; i++)                                                        \
                sum[i] = 0;                                                                        \
            for (int64_t t = 0; t < a->taps; t++) {                                                \
                type w = (type)weight[t];                                                          \
                const type *x = in + index[t] * inner + from;                                      \
                for (int64_t i = 0; i < n; i++)                                                    \
                    sum[i] += x[i] * w;                                                            \
            }                                                                                      \
            for (int64_t i = 0; i < n; i++)                                                        \
                out[from + i] = sum[i];                                                            \
        }                                                                                          \
    }                                                                                              \
    void name(const struct resample_axis *a, const type *in, type *out, int64_t inner,             \
              type extrapolation, int64_t first, int64_t last)                                     \
    {                                                                                              \
        int64_t row = first / a->out, o = first % a->out;                                          \
        for (int64_t u = first; u < last; u++) {                                                   \
            const int64_t *index = a->index + o * a->taps;                                         \
            const double *weight = a->weight + o * a->taps;                                        \
            const type *x = in + row * a->in * inner;                                              \
            if (index[0] < 0) {                                                                    \
                for (int64_t i = 0; i < inner; i++)                                                \
                    out[u * inner + i] = extrapolation;                                            \
            } else if (inner == 1) {                                                               \
                type sum = 0;                                                                      \
                for (int64_t t = 0; t < a->taps; t++)                                              \
                    sum += x[index[t]] * (type)weight[t];                                          \
                out[u] = sum;                                                                      \
            } else {                                                                               \
                name##_run(a, index, weight, x, out + u * inner, inner);                           \
            }                                                                                      \
            if (++o == a->out) {                                                                   \
                o = 0;                                                                             \
                row++;                                                                             \
            }                                                                                      \
        }                                                                                          \
    }

RESAMPLE_FN(resample_f32, float)
RESAMPLE_FN(resample_f64, double)
