/* SPDX-License-Identifier: Apache-2.0 */
/* One vector a panel, 12 rows: 12 block sums and 12 totals. Codes of 4 bits are widened by one
 * lookup, which reads the low four bits of each lane. */
#include "kernels/x86/vec_avx512.h"

enum { MANY = 12, SOME = 4 };
struct lookup;
INLINE vf lookup_take(vi codes, const struct lookup *t);
INLINE vi vi_load(const char *p) { return _mm512_loadu_si512(p); }
INLINE vi vi_shr(vi x, int by) { return _mm512_srli_epi32(x, (unsigned)by); }
INLINE vi vi_from_bytes(const char *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}

#include "kernels/vec/nbits_body.h"

INLINE vf lookup_take(vi codes, const struct lookup *t)
{
    return _mm512_permutexvar_ps(codes, t->part[0]);
}
