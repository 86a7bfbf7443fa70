/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/order.h"

#include <string.h>

/* Bits of a float in the order of its value: the sign decides which way the rest counts. */
static uint64_t key_f64(double v)
{
    uint64_t b;
    if (v != v)
        return UINT64_MAX;
    v += 0.0; /* -0 to 0 */
    memcpy(&b, &v, sizeof b);
    return b >> 63 ? ~b : b | UINT64_C(1) << 63;
}

static uint64_t key_f32(float v)
{
    uint32_t b;
    if (v != v)
        return UINT64_MAX;
    v += 0.0f;
    memcpy(&b, &v, sizeof b);
    return b >> 31 ? (uint32_t)~b : b | UINT32_C(1) << 31;
}

#define SIGN (UINT64_C(1) << 63)
#define KEYS(type, expression)                                                                     \
    do {                                                                                           \
        const type *x = (const type *)p + first;                                                   \
        for (int64_t i = 0; i < n; i++, x += stride)                                               \
            keys[i] = (expression);                                                                \
    } while (0)

void order_keys(enum dtype t, const void *p, int64_t first, int64_t stride, int64_t n,
                uint64_t *keys)
{
    switch (t) {
    case DTYPE_F32:
        KEYS(float, key_f32(*x));
        break;
    case DTYPE_F64:
        KEYS(double, key_f64(*x));
        break;
    case DTYPE_F16:
        KEYS(uint16_t, key_f32(dtype_f16_to_f32(*x)));
        break;
    case DTYPE_BF16:
        KEYS(uint16_t, key_f32(dtype_bf16_to_f32(*x)));
        break;
    case DTYPE_I8:
        KEYS(int8_t, (uint64_t)(int64_t)*x ^ SIGN);
        break;
    case DTYPE_I16:
        KEYS(int16_t, (uint64_t)(int64_t)*x ^ SIGN);
        break;
    case DTYPE_I32:
        KEYS(int32_t, (uint64_t)(int64_t)*x ^ SIGN);
        break;
    case DTYPE_I64:
        KEYS(int64_t, (uint64_t)*x ^ SIGN);
        break;
    case DTYPE_U16:
        KEYS(uint16_t, *x);
        break;
    case DTYPE_U32:
        KEYS(uint32_t, *x);
        break;
    case DTYPE_U64:
        KEYS(uint64_t, *x);
        break;
    default: /* uint8, bool */
        KEYS(uint8_t, *x);
    }
}
