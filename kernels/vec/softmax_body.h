/* SPDX-License-Identifier: Apache-2.0 */
/* The vector rows of kernels/softmax.h, compiled once a level. Three passes, the row being in the
 * first cache from the first on: maximum, exp and sum, scale. */
#include "kernels/softmax.h"
#include "kernels/vec/math.h"

enum { CHAINS = 4 };

/* A NaN may be lost here; it comes back through the sum. */
INLINE float row_max(const float *x, size_t n)
{
    vf m[CHAINS];
    size_t i = 0;

    UNROLL for (int c = 0; c < CHAINS; c++)
        m[c] = vf_set(-INFINITY);
    for (; i + CHAINS * LANES <= n; i += CHAINS * LANES)
        UNROLL for (int c = 0; c < CHAINS; c++)
            m[c] = vf_max(m[c], vf_load(x + i + c * LANES));
    for (; i < n; i += LANES) {
        const size_t rest = n - i;
        m[0] = vf_max(m[0], vf_select(vm_first(rest), vf_load_n(x + i, rest), vf_set(-INFINITY)));
    }
    return vf_all_max(vf_max(vf_max(m[0], m[1]), vf_max(m[2], m[3])));
}

/* The sum of exp(x - max), whose terms are stored in y unless that is NULL. */
INLINE float row_exp(const float *x, float *y, size_t n, float max)
{
    const vf m = vf_set(max);
    vf sum[CHAINS];
    size_t i = 0;

    UNROLL for (int c = 0; c < CHAINS; c++)
        sum[c] = vf_set(0);
    for (; i + CHAINS * LANES <= n; i += CHAINS * LANES) {
        UNROLL for (int c = 0; c < CHAINS; c++) {
            const vf e = vf_exp(vf_load(x + i + c * LANES) - m);
            sum[c] = sum[c] + e;
            if (y)
                vf_store(y + i + c * LANES, e);
        }
    }
    UNROLL for (int c = 0; c < CHAINS; c++) {
        if (i < n) {
            const size_t rest = n - i;
            const vf e = vf_exp(vf_load_n(x + i, rest) - m);
            sum[c] = sum[c] + vf_keep(vm_first(rest), e);
            if (y)
                vf_store_n(y + i, e, rest);
            i += LANES;
        }
    }
    return vf_all_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* log: y = x - max - by; else y = y / by. */
INLINE void row_finish(const float *x, float *y, size_t n, const bool log, float max, float by)
{
    const vf m = vf_set(max), b = vf_set(by);

    for (size_t i = 0; i < n; i += LANES) {
        const size_t rest = n - i;
        const vf u = vf_load_n((log ? x : y) + i, rest);
        vf_store_n(y + i, log ? (vf)(u - m - b) : (vf)(u / b), rest);
    }
}

static void rows_run(const float *x, float *y, size_t rows, size_t n, bool log)
{
    for (size_t r = 0; r < rows; r++, x += n, y += n) {
        if (n == 0)
            return;
        const float max = row_max(x, n);
        if (log)
            row_finish(x, y, n, true, max, logf(row_exp(x, NULL, n, max)));
        else
            row_finish(x, y, n, false, 0, row_exp(x, y, n, max));
    }
}

/* `vectors` vectors of columns, the last one of `tail` lanes. */
INLINE void strip_run(const float *x, float *y, size_t n, size_t inner, const int vectors,
                      size_t tail, bool log)
{
    vf max[CHAINS], sum[CHAINS];

    UNROLL for (int v = 0; v < vectors; v++) {
        max[v] = vf_set(-INFINITY);
        sum[v] = vf_set(0);
    }
    for (size_t i = 0; i < n; i++)
        UNROLL for (int v = 0; v < vectors; v++)
            max[v] = vf_max(max[v], vf_load_n(x + i * inner + v * LANES, tail));
    for (size_t i = 0; i < n; i++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            const vf e = vf_exp(vf_load_n(x + i * inner + v * LANES, tail) - max[v]);
            sum[v] = sum[v] + e;
            if (!log)
                vf_store_n(y + i * inner + v * LANES, e, tail);
        }
    }
    UNROLL for (int v = 0; v < vectors; v++)
        sum[v] = log ? vf_log(sum[v]) : sum[v];
    for (size_t i = 0; i < n; i++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            const size_t at = i * inner + v * LANES;
            const vf u = vf_load_n((log ? x : y) + at, tail);
            vf_store_n(y + at, log ? (vf)(u - max[v] - sum[v]) : (vf)(u / sum[v]), tail);
        }
    }
}

static void axis_run(const float *x, float *y, size_t n, size_t inner, size_t from, size_t to,
                     bool log)
{
    for (; from + CHAINS * LANES <= to; from += CHAINS * LANES)
        strip_run(x + from, y + from, n, inner, CHAINS, LANES, log);
    for (; from < to; from += LANES)
        strip_run(x + from, y + from, n, inner, 1, to - from < LANES ? to - from : LANES, log);
}

const struct softmax_f32_kernel LEVEL(softmax_f32) = {
    .name = LEVEL_NAME,
    .level = LEVEL_CPU,
    .rows = rows_run,
    .axis = axis_run,
};
