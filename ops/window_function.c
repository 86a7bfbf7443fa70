/* SPDX-License-Identifier: Apache-2.0 */
/* HannWindow, HammingWindow, BlackmanWindow: sums of cosines over one period. */
#include <math.h>
#include <stddef.h>

#include "ops/span.h"

struct attrs_window {
    int64_t output_datatype, periodic;
};

static const struct attr window_attrs[] = {
    {"output_datatype", ATTR_INT, offsetof(struct attrs_window, output_datatype), .i = DTYPE_F32},
    {"periodic", ATTR_INT, offsetof(struct attrs_window, periodic), .i = 1},
    {0},
};

static int window_infer(struct infer *c, struct err *e)
{
    const struct attrs_window *at = c->attrs;
    int64_t n, size;
    int rc = infer_dtypes(c, 0, DT(I32) | DT(I64), e);
    if (rc < 0)
        return rc;
    if (!dtype_valid(at->output_datatype) || !(DTYPE_BIT(at->output_datatype) & DT_NUMERIC))
        return err_set(e, ERR_MODEL, "output_datatype %lld is not a numeric type",
                       (long long)at->output_datatype);
    const int64_t *v = infer_elems(c, 0, &n);
    if (v && n != 1)
        return err_set(e, ERR_MODEL, "size has %lld elements, expected 1", (long long)n);
    size = v ? *v : SYM_UNKNOWN;
    return infer_set(c, 0, (enum dtype)at->output_datatype, 1, &size, e);
}

/* w[i] = a - b cos(x) + c cos(2x), x = 2 pi i / period. */
struct shape {
    double a, b, c;
};

static int fill(struct call *c, struct shape s, int64_t begin, int64_t end)
{
    const struct attrs_window *at = c->attrs;
    struct tensor *y = call_out(c, 0);
    struct span p = span_out(c, begin, end, 64);
    int64_t n = y->dims[0], period = at->periodic ? n : n - 1;
    double chunk[CHUNK_ELEMS];
    for (int64_t i = p.first; i < p.last; i += CHUNK_ELEMS) {
        int64_t count = p.last - i < CHUNK_ELEMS ? p.last - i : CHUNK_ELEMS;
        for (int64_t k = 0; k < count; k++) {
            /* A symmetric window of one point is its peak. */
            double x = period ? 2 * 3.14159265358979323846 * (double)(i + k) / (double)period
                              : 3.14159265358979323846;
            chunk[k] = s.a - s.b * cos(x) + s.c * cos(2 * x);
            /* An integer is what a float is cut to: 1 at the peak, not the 0.999.. of a double. */
            chunk[k] = dtype_is_float(y->dtype) ? chunk[k] : (float)chunk[k];
        }
        elems_from_f64(y->dtype, y->data, i, count, chunk);
    }
    return 0;
}

static int64_t window_tasks(const struct call *c)
{
    return span_tasks(c, 64);
}

static int hann_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return fill(c, (struct shape){0.5, 0.5, 0}, begin, end);
}

static int hamming_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return fill(c, (struct shape){25.0 / 46, 21.0 / 46, 0}, begin, end);
}

static int blackman_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return fill(c, (struct shape){0.42, 0.5, 0.08}, begin, end);
}

#define WINDOW_ROW(row_name, run_fn)                                                                 \
    {                                                                                                \
        .domain = "", .name = row_name, .since = 17, .in_min = 1, .in_max = 1, .out_min = 1,         \
        .out_max = 1, .flags = OP_PURE, .host_in = 1, .attrs = window_attrs,                         \
        .attrs_size = sizeof(struct attrs_window), .infer = window_infer, .tasks = window_tasks,     \
        .run = run_fn,                                                                               \
    }
const struct op op_hannwindow = WINDOW_ROW("HannWindow", hann_run);
const struct op op_hammingwindow = WINDOW_ROW("HammingWindow", hamming_run);
const struct op op_blackmanwindow = WINDOW_ROW("BlackmanWindow", blackman_run);
