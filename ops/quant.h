/* SPDX-License-Identifier: Apache-2.0 */
/* What the quantising operators share: rounding to a saturated integer. For ops/ only; pure
 * functions, any thread.
 */
#pragma once

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
