/* SPDX-License-Identifier: Apache-2.0 */
/* Two vectors a panel, 4 rows: 8 block sums; totals lie on the stack. A table of 16 is two
 * lookups by the low three bits of each lane, and a choice by the fourth. */
#include "kernels/x86/vec_avx2.h"

enum { MANY = 4, SOME = 4 };
struct lookup;
INLINE vf lookup_take(vi codes, const struct lookup *t);
INLINE vi vi_load(const char *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE vi vi_shr(vi x, int by) { return _mm256_srl_epi32(x, _mm_cvtsi32_si128(by)); }
INLINE vi vi_from_bytes(const char *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}

#include "kernels/vec/nbits_body.h"

INLINE vf lookup_take(vi codes, const struct lookup *t)
{
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t->part[0], codes),
                            _mm256_permutevar8x32_ps(t->part[1], codes),
                            vi_bits(vi_shl(codes, 28)));
}
