/* SPDX-License-Identifier: Apache-2.0 */
/* MelWeightMatrix: triangles between equal steps of mel(f) = 2595 log10(1 + f / 700), a column each. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "ops/common.h"

enum { IN_BINS, IN_LENGTH, IN_RATE, IN_LOWER, IN_UPPER };

struct attrs_mel {
    int64_t output_datatype;
};

static const struct attr mel_attrs[] = {
    {"output_datatype", ATTR_INT, offsetof(struct attrs_mel, output_datatype), .i = DTYPE_F32},
    {0},
};

static int mel_infer(struct infer *c, struct err *e)
{
    const struct attrs_mel *at = c->attrs;
    int64_t value[2], n, dims[2];
    for (int i = 0; i < 5; i++) {
        int rc = infer_dtypes(c, i, i < IN_LOWER ? DT(I32) | DT(I64) : DT_FLOATS, e);
        if (rc < 0)
            return rc;
        for (int k = 0; k < infer_rank(c, i); k++)
            if (sym_differ(c->syms, infer_dim(c, i, k), 1))
                return err_set(e, ERR_MODEL, "input %d has more than one element", i);
        if (i > IN_LENGTH)
            continue;
        const int64_t *v = infer_elems(c, i, &n);
        value[i] = v && n == 1 ? *v : SYM_UNKNOWN;
        if (sym_is_number(value[i]) && value[i] < 0)
            return err_set(e, ERR_INPUT, "input %d is %lld", i, (long long)value[i]);
    }
    if (!dtype_valid(at->output_datatype) || !(DTYPE_BIT(at->output_datatype) & DT_NUMERIC))
        return err_set(e, ERR_MODEL, "output_datatype %lld is not a numeric type",
                       (long long)at->output_datatype);
    dims[0] = sym_add(c->syms, sym_floor_div(c->syms, value[IN_LENGTH], 2), 1);
    dims[1] = value[IN_BINS];
    return infer_set(c, 0, (enum dtype)at->output_datatype, 2, dims, e);
}

struct scale {
    double low, step, length, rate;
};

/* The spectrogram bin of mel point i, held within [0, bins]. */
static int64_t bin_of(const struct scale *s, int64_t i, int64_t bins)
{
    double hertz = 700 * expm1(((double)i * s->step + s->low) / 2595 * log(10));
    double bin = floor((s->length + 1) * hertz / s->rate);
    return bin >= (double)bins ? bins : bin > 0 ? (int64_t)bin : 0;
}

static void put(struct tensor *y, int64_t row, int64_t column, double v)
{
    if (row < y->dims[0])
        elems_from_f64(y->dtype, y->data, row * y->dims[1] + column, 1, &v);
}

static void triangle(struct tensor *y, int64_t column, int64_t left, int64_t peak, int64_t right)
{
    if (left == peak)
        put(y, peak, column, 1);
    for (int64_t j = left; j <= peak && left < peak; j++)
        put(y, j, column, (double)(j - left) / (double)(peak - left));
    for (int64_t j = peak; j < right; j++)
        put(y, j, column, (double)(right - j) / (double)(right - peak));
}

static double mel(double hertz)
{
    return 2595 * log1p(hertz / 700) / log(10);
}

static int mel_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct tensor *y = call_out(c, 0);
    double low = mel(tensor_float(call_in(c, IN_LOWER), 0)), high = mel(tensor_float(call_in(c, IN_UPPER), 0));
    struct scale s = {.low = low, .step = (high - low) / ((double)y->dims[1] + 2),
                      .length = (double)tensor_int(call_in(c, IN_LENGTH), 0),
                      .rate = (double)tensor_int(call_in(c, IN_RATE), 0)};
    if (!(s.rate > 0) || !isfinite(low) || !isfinite(high) || high < low)
        return err_set(e, ERR_INPUT, "edges %g and %g Hz at a sample rate of %g",
                       tensor_float(call_in(c, IN_LOWER), 0), tensor_float(call_in(c, IN_UPPER), 0), s.rate);
    if (tensor_count(y) == 0)
        return 0;
    memset(y->data, 0, tensor_bytes(y));
    for (int64_t i = 0; i < y->dims[1]; i++)
        triangle(y, i, bin_of(&s, i, y->dims[0]), bin_of(&s, i + 1, y->dims[0]),
                 bin_of(&s, i + 2, y->dims[0]));
    return 0;
}

const struct op op_melweightmatrix = {
    .domain = "", .name = "MelWeightMatrix", .since = 17,
    .in_min = 5, .in_max = 5, .out_min = 1, .out_max = 1,
    .flags = OP_PURE, .host_in = 31,
    .attrs = mel_attrs, .attrs_size = sizeof(struct attrs_mel),
    .infer = mel_infer, .run = mel_run,
};
