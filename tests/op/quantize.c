/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear: by tensor, by axis, by block. */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* A difference of integers, exact, times a scale: one rounding. */
#define TOL 2

/* Element i's place in the scale and the zero point. */
static int64_t scale_place(const struct op_run *r, int64_t i)
{
    const struct op_tensor *x = &r->in[0], *s = &r->in[1];
    int axis = op_axis(op_int(r, "axis", 1), x->rank);
    int64_t index[TENSOR_RANK_MAX], block = op_int(r, "block_size", 0), at = 0;
    if (s->n == 1)
        return 0;
    op_unravel(i, x->dims, x->rank, index);
    if (s->rank == 1)
        return index[axis];
    index[axis] /= block;
    for (int k = 0; k < x->rank; k++)
        at = at * s->dims[k] + index[k];
    return at;
}

static void range_of(enum dtype t, double *low, double *high)
{
    double half = ldexp(1, (int)dtype_bits(t) - 1);
    bool minus = dtype_kind(t) == 'I';
    *low = minus ? -half : 0;
    *high = minus ? half - 1 : 2 * half - 1;
}

static void quantize(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    enum dtype t = op_has(r, 2) ? r->in[2].dtype : DTYPE_U8;
    if (op_text(r, "output_dtype"))
        t = dtype_find(op_text(r, "output_dtype"));
    struct op_tensor *y = op_out(r, 0, t, x->rank, x->dims);
    double low, high;
    range_of(t, &low, &high);
    for (int64_t i = 0; i < y->n; i++) {
        int64_t at = scale_place(r, i);
        float q = (float)x->v[i] / (float)r->in[1].v[at]; /* the definition divides in f32 */
        double v = nearbyint(q) + (op_has(r, 2) ? r->in[2].v[at] : 0);
        y->v[i] = fmin(fmax(v, low), high);
    }
}

static void dequantize(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor *y = op_out(r, 0, r->in[1].dtype, x->rank, x->dims);
    for (int64_t i = 0; i < y->n; i++) {
        int64_t at = scale_place(r, i);
        y->v[i] = (x->v[i] - (op_has(r, 2) ? r->in[2].v[at] : 0)) * r->in[1].v[at];
    }
}

static void dynamic(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    double low = 0, high = 0;
    for (int64_t i = 0; i < x->n; i++) {
        low = fmin(low, x->v[i]);
        high = fmax(high, x->v[i]);
    }
    float scale = (float)((float)(high - low) / 255.0f);
    float zero = nearbyintf((float)fmin(fmax(0 - (float)low / scale, 0), 255));
    struct op_tensor *y = op_out(r, 0, DTYPE_U8, x->rank, x->dims);
    op_out(r, 1, DTYPE_F32, 0, NULL)->v[0] = scale;
    op_out(r, 2, DTYPE_U8, 0, NULL)->v[0] = zero;
    for (int64_t i = 0; i < x->n; i++)
        y->v[i] = fmin(fmax(nearbyintf((float)x->v[i] / scale) + zero, 0), 255);
}

static const struct op_case rows[] = {
    {.name = "QuantizeLinear", .in = "f32[B,37]:-9:9 f32[]=0.05 T[]=3", .types = "u8 i8 u16 i16",
     .ref = quantize},
    {.name = "QuantizeLinear", .in = "f32[B,37]:-9:9 f32[]=0.5", .ref = quantize},
    {.name = "QuantizeLinear", .in = "f32[6]=0.5,1.5,2.5,-0.5,1000,-1000 f32[]=1 T[]=0",
     .types = "i8 u8",
     .ref = quantize},
    {.name = "QuantizeLinear", .in = "f32[6]=0.5,1.5,2.5,-0.5,1000,-1000 f32[]=1 T[]=3",
     .types = "i8 u8",
     .ref = quantize},
    {.name = "QuantizeLinear", .in = "f32[B,4,9]:-9:9 f32[4]=0.05,0.1,0.2,0.3 i8[4]=1,-2,3,0",
     .ref = quantize},
    {.name = "QuantizeLinear", .in = "f32[B,9]:-9:9 f32[]=0.7 T[]=1", .types = "i4 u4",
     .ref = quantize},
    {.name = "QuantizeLinear", .in = "f32[B,3]:-9:9 f32[]=0.7", .attrs = "output_dtype=int16",
     .ref = quantize},
    {.name = "QuantizeLinear", .in = "f32[5,6]:-9:9 f32[5,2]:0.1:1 u8[5,2]",
     .attrs = "block_size=3", .ref = quantize},
    {.name = "QuantizeLinear", .in = "f32[B,100,300]:-9:9 f32[]=0.05 u8[]=120", .ref = quantize},
    {.name = "DequantizeLinear", .in = "T[B,37]:0:7 f32[]=0.05 T[]=3",
     .types = "u8 i8 u16 i16 i4 u4", .ref = dequantize,
     .tol = TOL},
    {.name = "DequantizeLinear", .in = "i32[B,37]:-90000:90000 f32[]=0.05", .ref = dequantize,
     .tol = TOL},
    {.name = "DequantizeLinear", .in = "i8[B,4,9]:-128:127 f32[4]=0.05,0.1,0.2,0.3 i8[4]=1,-2,3,0",
     .ref = dequantize,
     .tol = TOL},
    {.name = "DequantizeLinear", .in = "u8[4,9]:0:255 f32[4]=0.05,0.1,0.2,0.3", .attrs = "axis=0",
     .ref = dequantize,
     .tol = TOL},
    {.name = "DequantizeLinear", .in = "i8[B,9]:-128:127 f16[]=0.25 i8[]=4", .ref = dequantize,
     .tol = TOL},
    {.name = "DequantizeLinear", .in = "u8[6,5]:0:255 f32[2,5]:0.1:1 u8[2,5]",
     .attrs = "axis=0 block_size=3",
     .ref = dequantize, .tol = TOL},
    {.name = "DequantizeLinear", .in = "u8[B,100,300]:0:255 f32[]=0.05 u8[]=120", .ref = dequantize,
     .tol = TOL},
    {.name = "DynamicQuantizeLinear", .in = "f32[5,9]:-3:5", .outs = 3, .ref = dynamic},
    {.name = "DynamicQuantizeLinear", .in = "f32[5,9]:1:5", .outs = 3, .ref = dynamic},
    {.name = "DynamicQuantizeLinear", .in = "f32[100,700]:-5:-1", .outs = 3, .ref = dynamic},
};

OP_MAIN("op quantize", OP_TABLE(rows))
