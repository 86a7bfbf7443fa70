/* SPDX-License-Identifier: Apache-2.0 */
/* Cast between the dtypes, with rounding, saturation and truncation. */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* To the nearest multiple of the step that the format has at |v|, halves to even. */
static double round_to(double v, int bits, int least, double most)
{
    if (v == 0 || isnan(v) || isinf(v))
        return v;
    int exponent = ilogb(v) < least ? least : ilogb(v);
    double step = ldexp(1, exponent - bits), near = nearbyint(v / step) * step;
    return fabs(near) > most ? copysign(INFINITY, v) : near;
}

static double convert(enum dtype from, enum dtype to, double v)
{
    switch (to) {
    case DTYPE_F16: return round_to(v, 10, -14, 65504);
    case DTYPE_BF16: return round_to(v, 7, -126, 0x1.fep127);
    case DTYPE_F32: return round_to(v, 23, -126, 0x1.fffffep127);
    case DTYPE_F64: return v;
    case DTYPE_BOOL: return v != 0;
    case DTYPE_F8E4M3FN: v = round_to(v, 3, -6, 448); return isinf(v) ? copysign(448, v) : v;
    case DTYPE_F8E5M2: v = round_to(v, 2, -14, 57344); return isinf(v) ? copysign(57344, v) : v;
    default: break;
    }
    if (dtype_is_float(from))
        return trunc(v);
    double range = ldexp(1, (int)dtype_bits(to));
    if (dtype_bits(to) == 64)
        return v;
    v -= floor(v / range) * range;
    return dtype_kind(to) == 'I' && v >= range / 2 ? v - range : v;
}

static void cast(struct op_run *r)
{
    struct op_tensor *x = &r->in[0];
    enum dtype to = r->n_in > 1 ? r->in[1].dtype : dtype_find(op_text(r, "to"));
    struct op_tensor *y = op_out(r, 0, to, x->rank, x->dims);
    for (int64_t i = 0; i < y->n; i++)
        y->v[i] = convert(x->dtype, to, x->v[i]);
}

#define FLOATS "f32 f64 f16 bf16"
#define INTS "i8 i16 i32 i64 u8 u16 u32 u64"
#define CAST(to, types_, in_) \
    {.name = "Cast", .attrs = "to=" to, .in = in_, .types = types_, .ref = cast}
#define ROWS(to)                                     \
    CAST(to, FLOATS " bool " INTS, "T[B,37]:0:100"), \
    CAST(to, "f32 f16 i8 i64", "T[B,5,33]:-100:100")

static const struct op_case rows[] = {
    ROWS("float"), ROWS("double"), ROWS("float16"), ROWS("bfloat16"), ROWS("int64"), ROWS("int32"),
    ROWS("int16"), ROWS("int8"), ROWS("bool"),
    CAST("uint8", FLOATS " bool " INTS, "T[B,37]:0:100"),
    CAST("uint64", FLOATS " " INTS, "T[B,37]:0:100"),
    CAST("uint32", FLOATS " " INTS, "T[B,37]:0:100"),
    CAST("uint16", FLOATS " " INTS, "T[B,37]:0:100"),
    CAST("uint8", "i16 i32 i64", "T[6]=256,-1,255,300,-300,128"),
    CAST("int8", "i16 i32 i64", "T[6]=256,-1,255,300,-300,128"),
    CAST("float16", "f32 f64", "T[9]=65504,65519,65520,1e-8,6e-8,-0,inf,-inf,nan"),
    CAST("float16", "f32 f64", "T[4]=1.00048828125,1.00146484375,5.9604645e-8,2.9802322e-8"),
    CAST("float16", "f64", "T[1]=1.00048828125000001"),
    CAST("bfloat16", "f32 f64", "T[7]=1.00390625,1.01171875,3.4e38,-0,inf,-inf,nan"),
    CAST("float8e4m3fn", "f32 f16", "T[9]=0.1,1.06,1.19,448,460,1000,-0.001,0.002,nan"),
    CAST("float8e5m2", "f32 f16", "T[8]=0.1,1.06,1.19,448,60000,-65504,1e-6,nan"),
    CAST("float", "f8e4m3fn f8e5m2", "T[7]=0.1,1,-3,448,0.002,0,-0"),
    CAST("bool", "f32 f64", "T[4]=0,-0,0.5,nan"),
    CAST("float", "f16 bf16", "T[B,40,300]:-9:9"), CAST("float16", "f32", "T[B,40,300]:-9:9"),
    {.name = "CastLike", .in = "f32[B,9]:-9:9 i32[1]", .ref = cast},
    {.name = "CastLike", .in = "i64[B,9] f16[2,2]", .ref = cast},
};

OP_MAIN("op cast", OP_TABLE(rows))
