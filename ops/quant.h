/* SPDX-License-Identifier: Apache-2.0 */
/* What the quantising operators share: rounding to a saturated integer. For ops/ only; pure
 * functions, any thread.
 */
#pragma once

#include <math.h>

/* The values of an integer type of at most 16 bits. */
struct quant_range {
    float low, high;
};

/* v rounded half to even, plus zero, within the range; NaN takes the low end. Without a call:
 * adding and taking away 1.5 * 2^23 rounds what is smaller than 2^22, what is larger saturates
 * in any case. */
static inline float quant_round(float v, float zero, struct quant_range r)
{
    const float magic = 12582912.0f, most = 4194303.0f;
    v = v > -most ? v : -most;
    v = v < most ? v : most;
    v = (v + magic) - magic + zero;
    v = v > r.low ? v : r.low;
    return v < r.high ? v : r.high;
}

/* DynamicQuantizeLinear's rule: the range [low, high], which holds zero, as 256 steps. */
struct quant_step {
    float scale, zero;
};
static inline struct quant_step quant_step_of(float low, float high)
{
    struct quant_step s = {.scale = high == low ? 1 : (high - low) / 255};
    /* A range of subnormal numbers may have no step of its own. */
    if (!(s.scale > 0))
        s.scale = 1;
    float z = 0 - low / s.scale;
    z = z > 0 ? z : 0;
    s.zero = rintf(z < 255 ? z : 255);
    return s;
}
