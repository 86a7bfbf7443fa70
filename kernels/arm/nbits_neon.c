/* SPDX-License-Identifier: Apache-2.0 */
/* Four vectors a panel, 4 rows: 16 block sums; totals lie on the stack. A table of 16 is one lookup
 * of bytes in four registers. */
#include <string.h>

#include "kernels/arm/vec_neon.h"

enum { MANY = 4, SOME = 4 };
struct lookup;
INLINE vf lookup_take(vi codes, const struct lookup *t);
INLINE vi vi_load(const char *p) { return vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)p)); }
INLINE vi vi_shr(vi x, int by)
{
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(x), vi_set(-by)));
}
INLINE vi vi_from_bytes(const char *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof(four));
    const uint8x8_t bytes = vreinterpret_u8_u32(vdup_n_u32(four));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))));
}

#include "kernels/vec/nbits_body.h"

/* Byte b of a lane's number lies at 4 * code + b. */
INLINE vf lookup_take(vi codes, const struct lookup *t)
{
    const uint8x16x4_t table = {{
        vreinterpretq_u8_f32(t->part[0]), vreinterpretq_u8_f32(t->part[1]),
        vreinterpretq_u8_f32(t->part[2]), vreinterpretq_u8_f32(t->part[3]),
    }};
    const vi at = vmlaq_n_s32(vi_set(0x03020100), vi_and(codes, vi_set(15)), 0x04040404);
    return vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_s32(at)));
}
