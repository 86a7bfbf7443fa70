/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/reduce.h"

#include <math.h>

#include "kernels/row_sum.h"

/* Columns taken together along an axis, and elements of a column summed before a total takes them.
 * */
enum { COLUMNS = 32, BLOCK = 64 };

const char *reduce_name(enum reduce_op op)
{
    static const char *const names[REDUCE_COUNT] = {
        [REDUCE_SUM] = "sum", [REDUCE_MEAN] = "mean", [REDUCE_MAX] = "max", [REDUCE_MIN] = "min",
        [REDUCE_PROD] = "prod", [REDUCE_SUM_SQUARE] = "sum_square", [REDUCE_L1] = "l1",
        [REDUCE_L2] = "l2", [REDUCE_LOG_SUM] = "log_sum", [REDUCE_LOG_SUM_EXP] = "log_sum_exp",
    };
    return names[op];
}

static float row_max(const float *x, size_t n)
{
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++)
        m = x[i] > m || x[i] != x[i] ? x[i] : m;
    return m;
}

static float row_min(const float *x, size_t n)
{
    float m = INFINITY;
    for (size_t i = 0; i < n; i++)
        m = x[i] < m || x[i] != x[i] ? x[i] : m;
    return m;
}

static float row_prod(const float *x, size_t n)
{
    float part[ROW_SUM_CHAINS], all = 1;

    for (int c = 0; c < ROW_SUM_CHAINS; c++)
        part[c] = 1;
    for (size_t i = 0; i < n; i++)
        part[i % ROW_SUM_CHAINS] *= x[i];
    for (int c = 0; c < ROW_SUM_CHAINS; c++)
        all *= part[c];
    return all;
}

static float row_log_sum_exp(const float *x, size_t n)
{
    const float max = row_max(x, n);
    if (!isfinite(max))
        return max;
    return (float)(log(row_sum(row_term_exp, x, n, max)) + (double)max);
}

static float row_reduce(enum reduce_op op, const float *x, size_t n)
{
    switch (op) {
    case REDUCE_SUM: return (float)row_sum(row_term_value, x, n, 0);
    case REDUCE_MEAN: return (float)(row_sum(row_term_value, x, n, 0) / (double)n);
    case REDUCE_MAX: return row_max(x, n);
    case REDUCE_MIN: return row_min(x, n);
    case REDUCE_PROD: return row_prod(x, n);
    case REDUCE_SUM_SQUARE: return (float)row_sum(row_term_square, x, n, 0);
    case REDUCE_L1: return (float)row_sum(row_term_magnitude, x, n, 0);
    case REDUCE_L2: return (float)sqrt(row_sum(row_term_square, x, n, 0));
    case REDUCE_LOG_SUM: return (float)log(row_sum(row_term_value, x, n, 0));
    default: return row_log_sum_exp(x, n);
    }
}

static void rows_run(enum reduce_op op, const float *x, float *y, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        y[r] = row_reduce(op, x + r * n, n);
}

static void strip_pick(const float *x, float *y, size_t n, size_t inner, size_t count, bool least)
{
    float m[COLUMNS];

    for (size_t c = 0; c < count; c++)
        m[c] = least ? INFINITY : -INFINITY;
    for (size_t i = 0; i < n; i++, x += inner)
        for (size_t c = 0; c < count; c++)
            m[c] = m[c] != m[c] || (least ? x[c] >= m[c] : x[c] <= m[c]) ? m[c] : x[c];
    for (size_t c = 0; c < count; c++)
        y[c] = m[c];
}

static void strip_prod(const float *x, float *y, size_t n, size_t inner, size_t count)
{
    float part[COLUMNS];

    for (size_t c = 0; c < count; c++)
        part[c] = 1;
    for (size_t i = 0; i < n; i++, x += inner)
        for (size_t c = 0; c < count; c++)
            part[c] *= x[c];
    for (size_t c = 0; c < count; c++)
        y[c] = part[c];
}

static inline __attribute__((always_inline)) void strip_sum(row_term_fn *f, const float *x,
                                                            size_t n, size_t inner, size_t count,
                                                            const float *p, double *total)
{
    for (size_t c = 0; c < count; c++)
        total[c] = 0;
    for (size_t i = 0; i < n; i += BLOCK) {
        float sum[COLUMNS] = {0};
        for (size_t k = 0; k < BLOCK && i + k < n; k++)
            for (size_t c = 0; c < count; c++)
                sum[c] += f(x[(i + k) * inner + c], p[c]);
        for (size_t c = 0; c < count; c++)
            total[c] += sum[c];
    }
}

static void strip_reduce(enum reduce_op op, const float *x, float *y, size_t n, size_t inner,
                         size_t count)
{
    float p[COLUMNS] = {0};
    double total[COLUMNS];

    if (op == REDUCE_MAX || op == REDUCE_MIN || op == REDUCE_LOG_SUM_EXP) {
        strip_pick(x, p, n, inner, count, op == REDUCE_MIN);
        if (op == REDUCE_LOG_SUM_EXP)
            strip_sum(row_term_exp, x, n, inner, count, p, total);
    } else if (op == REDUCE_PROD) {
        strip_prod(x, p, n, inner, count);
    } else if (op == REDUCE_SUM_SQUARE || op == REDUCE_L2) {
        strip_sum(row_term_square, x, n, inner, count, p, total);
    } else if (op == REDUCE_L1) {
        strip_sum(row_term_magnitude, x, n, inner, count, p, total);
    } else {
        strip_sum(row_term_value, x, n, inner, count, p, total);
    }
    for (size_t c = 0; c < count; c++) {
        switch (op) {
        case REDUCE_MAX:
        case REDUCE_MIN:
        case REDUCE_PROD: y[c] = p[c]; break;
        case REDUCE_MEAN: y[c] = (float)(total[c] / (double)n); break;
        case REDUCE_L2: y[c] = (float)sqrt(total[c]); break;
        case REDUCE_LOG_SUM: y[c] = (float)log(total[c]); break;
        case REDUCE_LOG_SUM_EXP:
            y[c] = isfinite(p[c]) ? (float)(log(total[c]) + (double)p[c]) : p[c];
            break;
        default: y[c] = (float)total[c]; break;
        }
    }
}

static void axis_run(enum reduce_op op, const float *x, float *y, size_t n, size_t inner,
                     size_t from, size_t to)
{
    for (; from < to; from += COLUMNS)
        strip_reduce(op, x + from, y + from, n, inner, to - from < COLUMNS ? to - from : COLUMNS);
}

/* Whether `x` takes the place of `best`; of NaN the first, or the last. */
static inline bool better(float x, float best, bool least, bool last)
{
    if (best != best)
        return last && x != x;
    if (x != x || (last && x == best))
        return true;
    return least ? x < best : x > best;
}

void reduce_f32_arg_axis(const float *x, int64_t *y, size_t n, size_t inner, size_t from, size_t to,
                         bool least, bool last)
{
    for (size_t count; from < to; from += count) {
        float best[COLUMNS];
        count = to - from < COLUMNS ? to - from : COLUMNS;
        for (size_t c = 0; c < count; c++) {
            best[c] = x[from + c];
            y[from + c] = 0;
        }
        for (size_t i = 1; i < n; i++) {
            const float *row = x + i * inner + from;
            for (size_t c = 0; c < count; c++) {
                if (better(row[c], best[c], least, last)) {
                    best[c] = row[c];
                    y[from + c] = (int64_t)i;
                }
            }
        }
    }
}

static void arg_rows_run(const float *x, int64_t *y, size_t rows, size_t n, bool least, bool last)
{
    for (size_t r = 0; r < rows; r++)
        reduce_f32_arg_axis(x + r * n, y + r, n, 1, 0, 1, least, last);
}

static const struct reduce_f32_kernel reduce_f32_c = {
    .name = "c",
    .level = CPU_C,
    .rows = rows_run,
    .axis = axis_run,
    .arg_rows = arg_rows_run,
};

const struct reduce_f32_kernel *const reduce_f32_kernels[] = {
    &reduce_f32_c,
#if defined(__x86_64__)
    &reduce_f32_avx2,
    &reduce_f32_avx512,
#elif defined(__aarch64__)
    &reduce_f32_neon,
#endif
};
const unsigned reduce_f32_kernel_count = sizeof(reduce_f32_kernels) / sizeof(*reduce_f32_kernels);

const struct reduce_f32_kernel *reduce_f32_pick(void)
{
    unsigned i = reduce_f32_kernel_count - 1;
    while (i > 0 && !cpu_has(reduce_f32_kernels[i]->level))
        i--;
    return reduce_f32_kernels[i];
}
