/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dtype.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const struct dtype_row {
    const char *name, *npy;
    char kind;
    uint8_t bits;
    uint8_t size; /* bytes an element in memory */
} rows[DTYPE_COUNT] = {
#define DTYPE(word, number, name, bits, kind, npy) \
    [number] = {name, npy, #kind[0], bits, #kind[0] == 'S' ? sizeof(struct str) : ((bits) + 7) / 8},
#include "core/dtype.def"
#undef DTYPE
};

static const struct dtype_row *row(enum dtype t)
{
    return &rows[(unsigned)t < DTYPE_COUNT ? t : DTYPE_NONE];
}

const char *dtype_name(enum dtype t)
{
    return (unsigned)t < DTYPE_COUNT ? rows[t].name : "?";
}

enum dtype dtype_find(const char *name)
{
    for (int t = 1; t < DTYPE_COUNT; t++)
        if (strcmp(rows[t].name, name) == 0)
            return t;
    return DTYPE_NONE;
}

bool dtype_valid(int64_t number)
{
    return number > 0 && number < DTYPE_COUNT;
}

size_t dtype_size(enum dtype t)
{
    return row(t)->size;
}

unsigned dtype_bits(enum dtype t)
{
    return row(t)->bits;
}

char dtype_kind(enum dtype t)
{
    return row(t)->kind;
}

const char *dtype_npy(enum dtype t)
{
    return row(t)->npy;
}

/* ---- Narrow floats: sign, exponent and mantissa fields of any width ---- */

/* A value's code without its sign is (exponent field << man) + mantissa field, and codes rise with
 * magnitude; so rounding that carries over an exponent needs no case of its own. */
static const struct format {
    uint8_t man;  /* mantissa bits */
    uint8_t bias; /* of the exponent field; field 0 is subnormal */
    uint16_t sign;
    uint16_t max; /* the largest finite code */
    uint16_t inf; /* 0: the type has no infinity */
    uint16_t nan; /* 0: the type has no NaN */
    bool unsigned_zero; /* "uz": one zero; its negative is the one NaN */
} formats[DTYPE_COUNT] = {
    [DTYPE_F16] = {10, 15, 0x8000, 0x7bff, 0x7c00, 0x7e00},
    [DTYPE_BF16] = {7, 127, 0x8000, 0x7f7f, 0x7f80, 0x7fc0},
    [DTYPE_F8E4M3FN] = {3, 7, 0x80, 0x7e, 0, 0x7f},
    [DTYPE_F8E4M3FNUZ] = {3, 8, 0x80, 0x7f, 0, 0x80, true},
    [DTYPE_F8E5M2] = {2, 15, 0x80, 0x7b, 0x7c, 0x7e},
    [DTYPE_F8E5M2FNUZ] = {2, 16, 0x80, 0x7f, 0, 0x80, true},
    [DTYPE_F4E2M1] = {1, 1, 0x8, 0x7, 0, 0},
    [DTYPE_F6E2M3] = {3, 1, 0x20, 0x1f, 0, 0},
    [DTYPE_F6E3M2] = {2, 3, 0x20, 0x1f, 0, 0},
};

/* The code of what lies beyond the largest finite value. */
static unsigned overflow(const struct format *f, bool saturate)
{
    if (saturate || !f->nan)
        return f->max;
    return f->inf ? f->inf : f->nan;
}

static unsigned encode(const struct format *f, double v, bool saturate)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    unsigned sign = bits >> 63 ? f->sign : 0;
    bits &= INT64_MAX;
    int exponent = (int)(bits >> 52);
    uint64_t mantissa = bits & (((uint64_t)1 << 52) - 1);
    /* A type without NaN has negative zero for it and zero for -NaN, as ml_dtypes does. */
    if (exponent == 0x7ff && mantissa)
        return f->nan ? f->nan | sign : f->sign ^ sign;
    if (exponent == 0x7ff)
        return overflow(f, saturate) | sign;
    if (exponent)
        mantissa |= (uint64_t)1 << 52;
    else
        exponent = 1;

    int least = 1 - f->bias + 1023; /* double's exponent field of the smallest normal value */
    int at = exponent > least ? exponent : least;
    int shift = 52 - f->man + (at - exponent);
    uint64_t code = 0;
    if (shift < 64) {
        uint64_t rest = mantissa & (((uint64_t)1 << shift) - 1), half = (uint64_t)1 << (shift - 1);
        code = mantissa >> shift;
        code += rest > half || (rest == half && (code & 1));
        code += (uint64_t)(at - least) << f->man;
    }
    if (code > f->max)
        return overflow(f, saturate) | sign;
    return code || !f->unsigned_zero ? (unsigned)code | sign : 0;
}

static float decode(const struct format *f, unsigned v)
{
    unsigned magnitude = v & (f->sign - 1u);
    bool negative = v & f->sign;
    if (f->unsigned_zero ? v == f->nan : magnitude > (f->inf ? f->inf : f->max))
        return negative && !f->unsigned_zero ? -NAN : NAN;
    if (f->inf && magnitude == f->inf)
        return negative ? -INFINITY : INFINITY;
    unsigned field = magnitude >> f->man, mantissa = magnitude & ((1u << f->man) - 1);
    if (field)
        mantissa |= 1u << f->man;
    else
        field = 1;
    float r = ldexpf((float)mantissa, (int)field - f->bias - f->man);
    return negative ? -r : r;
}

static uint32_t f32_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static float f32_from(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* A NaN keeps the top of its payload and becomes quiet, as the conversion instructions of x86 and
 * aarch64 have it. */
float dtype_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest > 0x7c00)
        return f32_from(sign | 0x7fc00000 | rest << 13);
    if (rest == 0x7c00)
        return f32_from(sign | 0x7f800000);
    if (rest >= 0x400)
        return f32_from(sign | ((rest << 13) + (112u << 23)));
    return f32_from(sign | f32_bits((float)rest * 0x1p-24f));
}

uint16_t dtype_f32_to_f16(float f)
{
    uint32_t bits = f32_bits(f), rest = bits & INT32_MAX;
    uint16_t sign = bits >> 16 & 0x8000;
    if (rest > 0x7f800000)
        return sign | 0x7e00 | (rest >> 13 & 0x3ff);
    if (rest >= 0x477ff000) /* 65520 and more round to infinity */
        return sign | 0x7c00;
    if (rest >= 0x38800000) {
        rest -= 112u << 23;
        return sign | ((rest + 0xfff + (rest >> 13 & 1)) >> 13);
    }
    /* Added to 1/2, a subnormal result's last bit falls on the float's last bit and is rounded
     * there. */
    return sign | (f32_bits(f32_from(rest) + 0.5f) - 0x3f000000);
}

float dtype_bf16_to_f32(uint16_t h)
{
    return f32_from((uint32_t)h << 16);
}

uint16_t dtype_f32_to_bf16(float f)
{
    uint32_t bits = f32_bits(f);
    if ((bits & INT32_MAX) > 0x7f800000)
        return bits >> 16 | 0x40;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

/* Eight bits of exponent, no sign, no zero: 2^(v - 127); 255 is NaN. */
static float decode_e8m0(uint8_t v)
{
    if (v == 0xff)
        return NAN;
    return v ? f32_from((uint32_t)v << 23) : 0x1p-127f;
}

uint8_t dtype_f32_to_e8m0(float f, enum e8m0_round round, bool saturate)
{
    uint32_t bits = f32_bits(f) & INT32_MAX;
    unsigned code = bits >> 23;
    uint32_t rest = bits & 0x7fffff;
    if (bits >= 0x7f800000)
        return saturate && !rest ? 0xfe : 0xff;
    /* Code 0 is 2^-127, a subnormal float; what is below it, zero too, has nothing smaller to be.
     */
    bool up =
        code ? rest && (round == E8M0_UP || (round == E8M0_NEAREST && rest >= 0x400000))
             : rest > 0x400000 && (round == E8M0_UP || (round == E8M0_NEAREST && rest >= 0x600000));
    code += up;
    return code == 0xff && saturate ? 0xfe : code;
}

float dtype_f8_to_f32(enum dtype t, uint8_t v)
{
    if (t == DTYPE_F8E8M0)
        return decode_e8m0(v);
    assert((unsigned)t < DTYPE_COUNT && formats[t].max && formats[t].sign <= 0x80);
    return decode(&formats[t], v & (formats[t].sign * 2u - 1));
}

uint8_t dtype_f32_to_f8(enum dtype t, float f, bool saturate)
{
    if (t == DTYPE_F8E8M0)
        return dtype_f32_to_e8m0(f, E8M0_UP, saturate);
    assert((unsigned)t < DTYPE_COUNT && formats[t].max && formats[t].sign <= 0x80);
    return encode(&formats[t], f, saturate);
}

/* ---- Single elements ---- */

/* Read or write an element as the C type that has its layout; p need not be aligned. */
#define LOAD(type, p) (*(const struct { type v; } __attribute__((packed, may_alias)) *)(p)).v
#define STORE(type, p, x)                                                                          \
    ((*(struct { type v; } __attribute__((packed, may_alias)) *)(p)).v = (type)(x))

int64_t dtype_load_i64(enum dtype t, const void *p)
{
    switch (t) {
    case DTYPE_BOOL:
        return LOAD(uint8_t, p) != 0;
    case DTYPE_U8:
    case DTYPE_U4:
    case DTYPE_U2:
        return LOAD(uint8_t, p);
    case DTYPE_I8:
    case DTYPE_I4:
    case DTYPE_I2:
        return LOAD(int8_t, p);
    case DTYPE_U16:
        return LOAD(uint16_t, p);
    case DTYPE_I16:
        return LOAD(int16_t, p);
    case DTYPE_U32:
        return LOAD(uint32_t, p);
    case DTYPE_I32:
        return LOAD(int32_t, p);
    case DTYPE_U64:
    case DTYPE_I64:
        return LOAD(int64_t, p);
    default:
        break;
    }
    double v = dtype_load_f64(t, p);
    return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}

double dtype_load_f64(enum dtype t, const void *p)
{
    switch (t) {
    case DTYPE_F64:
        return LOAD(double, p);
    case DTYPE_F32:
        return (double)LOAD(float, p);
    case DTYPE_F16:
        return (double)dtype_f16_to_f32(LOAD(uint16_t, p));
    case DTYPE_BF16:
        return (double)dtype_bf16_to_f32(LOAD(uint16_t, p));
    case DTYPE_U64:
        return (double)LOAD(uint64_t, p);
    case DTYPE_NONE:
    case DTYPE_STRING:
    case DTYPE_C64:
    case DTYPE_C128:
        assert(!"a real type");
        return 0;
    default:
        return dtype_is_float(t) ? (double)dtype_f8_to_f32(t, LOAD(uint8_t, p))
                                 : (double)dtype_load_i64(t, p);
    }
}

/* Sign-extend, or cut, the low `bits` bits of a byte. */
static uint8_t narrow(int64_t v, unsigned bits, bool is_signed)
{
    uint8_t mask = (uint8_t)((1u << bits) - 1), low = (uint8_t)v & mask;
    return is_signed && low >> (bits - 1) ? (uint8_t)(low | ~mask) : low;
}

static void store_int(enum dtype t, void *p, int64_t v)
{
    switch (rows[t].bits) {
    case 64:
        STORE(uint64_t, p, v);
        break;
    case 32:
        STORE(uint32_t, p, v);
        break;
    case 16:
        STORE(uint16_t, p, v);
        break;
    case 8:
        STORE(uint8_t, p, v);
        break;
    default:
        STORE(uint8_t, p, narrow(v, rows[t].bits, rows[t].kind == 'I'));
    }
}

static void store_float(enum dtype t, void *p, double v)
{
    if (t == DTYPE_F64)
        STORE(double, p, v);
    else if (t == DTYPE_F32)
        STORE(float, p, v);
    else if (t == DTYPE_F16 || t == DTYPE_BF16)
        STORE(uint16_t, p, encode(&formats[t], v, false));
    else if (t == DTYPE_F8E8M0)
        STORE(uint8_t, p, dtype_f32_to_f8(t, (float)v, true));
    else
        STORE(uint8_t, p, encode(&formats[t], v, true));
}

void dtype_store_f64(enum dtype t, void *p, double v)
{
    char kind = dtype_kind(t);
    if (kind == 'F') {
        store_float(t, p, v);
    } else if (kind == 'B') {
        STORE(uint8_t, p, v != 0);
    } else if (kind == 'I' || kind == 'U') {
        bool fits = v >= -0x1p63 && v < 0x1p63;
        if (t == DTYPE_U64 && v >= 0x1p63 && v < 0x1p64)
            STORE(uint64_t, p, v);
        else
            store_int(t, p, fits ? (int64_t)v : INT64_MIN);
    } else {
        assert(!"a real type");
    }
}

/* An integer as a double that any narrower type rounds from as from the integer itself: where 53
 * bits do not hold it, the last one is set if anything was cut off (rounding to odd). */
static double odd_f64(int64_t v)
{
    uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    if (magnitude >> 53)
        magnitude = (magnitude & ~(uint64_t)0x7ff) | (uint64_t)((magnitude & 0x7ff) != 0) << 11;
    return v < 0 ? -(double)magnitude : (double)magnitude;
}

void dtype_store_i64(enum dtype t, void *p, int64_t v)
{
    char kind = dtype_kind(t);
    if (kind == 'F') {
        if (t == DTYPE_F64)
            STORE(double, p, v);
        else
            store_float(t, p, odd_f64(v));
    } else if (kind == 'B') {
        STORE(uint8_t, p, v != 0);
    } else if (kind == 'I' || kind == 'U') {
        store_int(t, p, v);
    } else {
        assert(!"a real type");
    }
}

/* ---- Packed forms ---- */

size_t dtype_packed_bytes(enum dtype t, size_t n)
{
    size_t bits = dtype_bits(t);
    return n / 8 * bits + (n % 8 * bits + 7) / 8;
}

void dtype_unpack(enum dtype t, const uint8_t *packed, uint8_t *out, size_t n)
{
    unsigned bits = dtype_bits(t);
    assert(bits > 0 && bits < 8);
    unsigned mask = (1u << bits) - 1, sign = dtype_kind(t) == 'I' ? 1u << (bits - 1) : 0;
    unsigned window = 0, held = 0; /* bits read ahead, the next element's lowest */
    for (size_t i = 0; i < n; i++) {
        if (held < bits) {
            window |= (unsigned)*packed++ << held;
            held += 8;
        }
        out[i] = (uint8_t)(((window & mask) ^ sign) - sign);
        window >>= bits;
        held -= bits;
    }
}

void dtype_pack(enum dtype t, const uint8_t *in, uint8_t *packed, size_t n)
{
    unsigned bits = dtype_bits(t);
    assert(bits > 0 && bits < 8);
    unsigned mask = (1u << bits) - 1, window = 0, held = 0;
    for (size_t i = 0; i < n; i++) {
        window |= (in[i] & mask) << held;
        held += bits;
        if (held >= 8) {
            *packed++ = (uint8_t)window;
            window >>= 8;
            held -= 8;
        }
    }
    if (held)
        *packed = (uint8_t)window;
}
