/* SPDX-License-Identifier: Apache-2.0 */
/* The vector rows of kernels/reduce.h, compiled once a level: four vectors of chains along a row,
 * four vectors of columns along an axis. */
#include <stdbool.h>

#include "kernels/reduce.h"
#include "kernels/vec/math.h"
#include "kernels/vec/sum.h"

enum { COLUMNS = 4, AXIS_BLOCK = 64 };

INLINE vf term_exp(vf sum, vf x, vf p) { return sum + vf_exp(x - p); }

/* What an accumulator takes from x; the NaN rule is kept by the callers. */
INLINE vf pick_max(vf best, vf x, vf p) { return vf_max(x, best); }
INLINE vf pick_min(vf best, vf x, vf p) { return vf_min(x, best); }
INLINE vf pick_prod(vf part, vf x, vf p) { return part * x; }

/* Accumulators hold no NaN from max and min: a NaN in x is noted apart. */
INLINE vf row_fold(term_fn *f, const float *x, size_t n, float start, bool *nan)
{
    vf acc[SUM_CHAINS];
    vm bad = vf_is_nan(vf_set(0));
    size_t i = 0;

    UNROLL for (int c = 0; c < SUM_CHAINS; c++)
        acc[c] = vf_set(start);
    for (; i + SUM_CHAINS * LANES <= n; i += SUM_CHAINS * LANES) {
        UNROLL for (int c = 0; c < SUM_CHAINS; c++) {
            const vf u = vf_load(x + i + c * LANES);
            acc[c] = f(acc[c], u, u);
            bad = vm_or(bad, vf_is_nan(u));
        }
    }
    UNROLL for (int c = 0; c < SUM_CHAINS; c++) {
        if (i < n) {
            const vf u = vf_load_n(x + i, n - i);
            acc[c] = vf_select(vm_first(n - i), f(acc[c], u, u), acc[c]);
            bad = vm_or(bad, vf_is_nan(u));
            i += LANES;
        }
    }
    *nan = vm_bits(bad) != 0;
    return f(f(acc[0], acc[1], acc[1]), f(acc[2], acc[3], acc[3]), acc[0]);
}

static float row_max(const float *x, size_t n)
{
    bool nan;
    const float m = vf_all_max(row_fold(pick_max, x, n, -INFINITY, &nan));
    return nan ? NAN : m;
}

static float row_min(const float *x, size_t n)
{
    bool nan;
    const float m = vf_all_min(row_fold(pick_min, x, n, INFINITY, &nan));
    return nan ? NAN : m;
}

static float row_prod(const float *x, size_t n)
{
    bool nan;
    return vf_all_prod(row_fold(pick_prod, x, n, 1, &nan));
}

static float row_log_sum_exp(const float *x, size_t n)
{
    const float max = row_max(x, n);
    if (!isfinite(max))
        return max;
    return (float)(log(row_sum(term_exp, x, n, vf_set(max))) + (double)max);
}

static float row_reduce(enum reduce_op op, const float *x, size_t n)
{
    const vf none = vf_set(0);

    switch (op) {
    case REDUCE_SUM: return (float)row_sum(term_value, x, n, none);
    case REDUCE_MEAN: return (float)(row_sum(term_value, x, n, none) / (double)n);
    case REDUCE_MAX: return row_max(x, n);
    case REDUCE_MIN: return row_min(x, n);
    case REDUCE_PROD: return row_prod(x, n);
    case REDUCE_SUM_SQUARE: return (float)row_sum(term_square, x, n, none);
    case REDUCE_L1: return (float)row_sum(term_magnitude, x, n, none);
    case REDUCE_L2: return (float)sqrt(row_sum(term_square, x, n, none));
    case REDUCE_LOG_SUM: return (float)log(row_sum(term_value, x, n, none));
    default: return row_log_sum_exp(x, n);
    }
}

static void rows_run(enum reduce_op op, const float *x, float *y, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        y[r] = row_reduce(op, x + r * n, n);
}

/* A strip of columns: `vectors` vectors, the last one of `tail` lanes (all of them if there are
 * more). The accumulator keeps its NaN. */
INLINE void strip_fold(term_fn *f, const float *x, size_t n, size_t inner, const int vectors,
                       size_t tail, float start, vf *out)
{
    vf acc[COLUMNS];

    UNROLL for (int v = 0; v < vectors; v++)
        acc[v] = vf_set(start);
    for (size_t i = 0; i < n; i++, x += inner) {
        UNROLL for (int v = 0; v < vectors; v++) {
            const vf u = vf_load_n(x + v * LANES, tail);
            /* min and max give their second operand for a NaN, which is the accumulator. */
            acc[v] = vf_select(vf_is_nan(u), u, f(acc[v], u, u));
        }
    }
    UNROLL for (int v = 0; v < vectors; v++)
        out[v] = acc[v];
}

INLINE void strip_sum(term_fn *f, const float *x, size_t n, size_t inner, const int vectors,
                      size_t tail, const vf *p, vf *out)
{
    vf high[COLUMNS], low[COLUMNS];

    UNROLL for (int v = 0; v < vectors; v++)
        high[v] = low[v] = vf_set(0);
    for (size_t i = 0; i < n; i += AXIS_BLOCK) {
        const size_t count = n - i < AXIS_BLOCK ? n - i : AXIS_BLOCK;
        vf sum[COLUMNS];
        UNROLL for (int v = 0; v < vectors; v++)
            sum[v] = vf_set(0);
        for (size_t k = 0; k < count; k++, x += inner)
            UNROLL for (int v = 0; v < vectors; v++)
                sum[v] = f(sum[v], vf_load_n(x + v * LANES, tail), p[v]);
        UNROLL for (int v = 0; v < vectors; v++)
            sum_add(&high[v], &low[v], sum[v]);
    }
    /* Past an overflow the compensation is no number. */
    UNROLL for (int v = 0; v < vectors; v++)
        out[v] = high[v] + vf_keep(vf_lt(vf_abs(low[v]), vf_set(INFINITY)), low[v]);
}

INLINE vf strip_finish(enum reduce_op op, vf sum, vf max, float n)
{
    switch (op) {
    case REDUCE_MEAN: return sum / vf_set(n);
    case REDUCE_L2: return vf_sqrt(sum);
    case REDUCE_LOG_SUM: return vf_log(sum);
    case REDUCE_LOG_SUM_EXP:
        return vf_select(vf_lt(vf_abs(max), vf_set(INFINITY)), vf_log(sum) + max, max);
    default: return sum;
    }
}

INLINE void strip_run(enum reduce_op op, const float *x, float *y, size_t n, size_t inner,
                      const int vectors, size_t tail)
{
    vf acc[COLUMNS], p[COLUMNS];

    UNROLL for (int v = 0; v < vectors; v++)
        p[v] = vf_set(0);
    switch (op) {
    case REDUCE_MAX: strip_fold(pick_max, x, n, inner, vectors, tail, -INFINITY, acc); break;
    case REDUCE_MIN: strip_fold(pick_min, x, n, inner, vectors, tail, INFINITY, acc); break;
    case REDUCE_PROD: strip_fold(pick_prod, x, n, inner, vectors, tail, 1, acc); break;
    case REDUCE_SUM_SQUARE:
    case REDUCE_L2: strip_sum(term_square, x, n, inner, vectors, tail, p, acc); break;
    case REDUCE_L1: strip_sum(term_magnitude, x, n, inner, vectors, tail, p, acc); break;
    case REDUCE_LOG_SUM_EXP:
        strip_fold(pick_max, x, n, inner, vectors, tail, -INFINITY, p);
        strip_sum(term_exp, x, n, inner, vectors, tail, p, acc);
        break;
    default: strip_sum(term_value, x, n, inner, vectors, tail, p, acc); break;
    }
    UNROLL for (int v = 0; v < vectors; v++)
        vf_store_n(y + v * LANES, strip_finish(op, acc[v], p[v], (float)n), tail);
}

static void axis_run(enum reduce_op op, const float *x, float *y, size_t n, size_t inner,
                     size_t from, size_t to)
{
    for (; from + COLUMNS * LANES <= to; from += COLUMNS * LANES)
        strip_run(op, x + from, y + from, n, inner, COLUMNS, LANES);
    for (; from < to; from += LANES)
        strip_run(op, x + from, y + from, n, inner, 1, to - from < LANES ? to - from : LANES);
}

/* The first or the last place of `value`, or of a NaN; there is one. */
static int64_t row_find(const float *x, size_t n, float value, bool last)
{
    const bool nan = value != value;
    const vf want = vf_set(value);
    int64_t at = 0;

    for (size_t i = 0; i < n; i += LANES) {
        const vf u = vf_load_n(x + i, n - i);
        const unsigned hits =
            vm_bits(nan ? vf_is_nan(u) : vf_eq(u, want)) & vm_bits(vm_first(n - i));
        if (hits && !last)
            return (int64_t)i + __builtin_ctz(hits);
        if (hits)
            at = (int64_t)i + 31 - __builtin_clz(hits);
    }
    return at;
}

static void arg_rows_run(const float *x, int64_t *y, size_t rows, size_t n, bool least, bool last)
{
    for (size_t r = 0; r < rows; r++, x += n)
        y[r] = row_find(x, n, least ? row_min(x, n) : row_max(x, n), last);
}

const struct reduce_f32_kernel LEVEL(reduce_f32) = {
    .name = LEVEL_NAME,
    .level = LEVEL_CPU,
    .rows = rows_run,
    .axis = axis_run,
    .arg_rows = arg_rows_run,
};
