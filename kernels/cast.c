/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cast.h"

#include <string.h>

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* Drop `shift` low bits, to nearest, halves to even. */
static inline uint32_t round_off(uint32_t x, unsigned shift)
{
    return (x + ((1u << (shift - 1)) - 1) + (x >> shift & 1)) >> shift;
}

/* Exponents differ by 112; a carry out of the mantissa raises the exponent, up to infinity. Below
 * 2^-14 the mantissa, with its leading one, moves down by what the exponent lacks. */
uint16_t cast_f32_to_f16(float value)
{
    const uint32_t bits = bits_of(value), x = bits & 0x7fffffff;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);

    if (x > 0x7f800000)
        return sign | 0x7e00 | (uint16_t)(x >> 13 & 0x3ff);
    if (x >= 0x477ff000)
        return sign | 0x7c00;
    if (x >= 0x38800000)
        return sign | (uint16_t)round_off(x - (112u << 23), 13);
    if (x <= 0x33000000)
        return sign;
    return sign | (uint16_t)round_off((x & 0x7fffff) | 0x800000, 126 - (x >> 23));
}

/* A subnormal is scaled by a product, which is exact. */
float cast_f16_to_f32(uint16_t value)
{
    const uint32_t sign = (uint32_t)(value & 0x8000) << 16, x = value & 0x7fff;

    if (x > 0x7c00)
        return float_of(sign | 0x7fc00000 | x << 13);
    if (x == 0x7c00)
        return float_of(sign | 0x7f800000);
    if (x >= 0x400)
        return float_of(sign | ((x << 13) + (112u << 23)));
    return float_of(sign | bits_of((float)x * 0x1p-24f));
}

uint16_t cast_f32_to_bf16(float value)
{
    const uint32_t x = bits_of(value);

    if ((x & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(x >> 16 | 0x40);
    return (uint16_t)((x + 0x7fff + (x >> 16 & 1)) >> 16);
}

float cast_bf16_to_f32(uint16_t value)
{
    return float_of((uint32_t)value << 16);
}

/* Rounded to odd: what f32 cannot hold leaves a trace in the last bit, so that a second rounding to
 * fewer bits is as if it were the only one. */
static float f32_odd(double value)
{
    const float near = (float)value;
    uint32_t bits = bits_of(near);

    if (value != value || (double)near == value)
        return near;
    /* Truncate, then set the last bit. */
    if ((value > 0 && (double)near > value) || (value < 0 && (double)near < value))
        bits--;
    return float_of(bits | 1);
}

uint16_t cast_f64_to_f16(double x)
{
    return cast_f32_to_f16(f32_odd(x));
}

uint16_t cast_f64_to_bf16(double x)
{
    return cast_f32_to_bf16(f32_odd(x));
}

static int32_t f32_to_i32(float x)
{
    return x >= -0x1p31f && x < 0x1p31f ? (int32_t)x : INT32_MIN;
}

static int64_t f32_to_i64(float x)
{
    return x >= -0x1p63f && x < 0x1p63f ? (int64_t)x : INT64_MIN;
}

#define ROW(name, from, to, expression)                       \
    static void name(const void *in, void *out, size_t n)     \
    {                                                         \
        const from *x = in;                                   \
        to *y = out;                                          \
        for (size_t i = 0; i < n; i++)                        \
            y[i] = expression;                                \
    }
ROW(f32_f16, float, uint16_t, cast_f32_to_f16(x[i]))
ROW(f16_f32, uint16_t, float, cast_f16_to_f32(x[i]))
ROW(f32_bf16, float, uint16_t, cast_f32_to_bf16(x[i]))
ROW(bf16_f32, uint16_t, float, cast_bf16_to_f32(x[i]))
ROW(i32_f32, int32_t, float, (float)x[i])
ROW(i64_f32, int64_t, float, (float)x[i])
ROW(u8_f32, uint8_t, float, (float)x[i])
ROW(i8_f32, int8_t, float, (float)x[i])
ROW(f32_i32, float, int32_t, f32_to_i32(x[i]))
ROW(f32_i64, float, int64_t, f32_to_i64(x[i]))
#undef ROW

static const struct cast_kernel cast_c = {
    .name = "c",
    .level = CPU_C,
    .fn = {
        [CAST_F32_F16] = f32_f16, [CAST_F16_F32] = f16_f32, [CAST_F32_BF16] = f32_bf16,
        [CAST_BF16_F32] = bf16_f32, [CAST_I32_F32] = i32_f32, [CAST_I64_F32] = i64_f32,
        [CAST_U8_F32] = u8_f32, [CAST_I8_F32] = i8_f32, [CAST_F32_I32] = f32_i32,
        [CAST_F32_I64] = f32_i64,
    },
};

const struct cast_kernel *const cast_kernels[] = {
    &cast_c,
#if defined(__x86_64__)
    &cast_avx2,
    &cast_avx512,
#elif defined(__aarch64__)
    &cast_neon,
#endif
};
const unsigned cast_kernel_count = sizeof(cast_kernels) / sizeof(*cast_kernels);

const char *cast_name(enum cast_op op)
{
    static const char *const names[CAST_COUNT] = {
        [CAST_F32_F16] = "f32 to f16", [CAST_F16_F32] = "f16 to f32",
        [CAST_F32_BF16] = "f32 to bf16", [CAST_BF16_F32] = "bf16 to f32",
        [CAST_I32_F32] = "i32 to f32", [CAST_I64_F32] = "i64 to f32", [CAST_U8_F32] = "u8 to f32",
        [CAST_I8_F32] = "i8 to f32", [CAST_F32_I32] = "f32 to i32", [CAST_F32_I64] = "f32 to i64",
    };
    return names[op];
}

cast_fn *cast_pick(enum cast_op op)
{
    for (unsigned i = cast_kernel_count; i-- > 1;)
        if (cpu_has(cast_kernels[i]->level) && cast_kernels[i]->fn[op])
            return cast_kernels[i]->fn[op];
    return cast_c.fn[op];
}
