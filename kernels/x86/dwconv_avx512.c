/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution, sixteen columns: the weights of 3x3 and 5x5 stay in registers. */
#include <immintrin.h>
#include <stdint.h>

#include "kernels/x86/dwconv.h"

enum { LANES = 16 };
typedef __m512 vec;
typedef __mmask16 mask;

static inline vec zero(void) { return _mm512_setzero_ps(); }
static inline vec all(float x) { return _mm512_set1_ps(x); }
static inline vec madd(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec load(const float *p) { return _mm512_loadu_ps(p); }
static inline vec load_some(const float *p, mask m) { return _mm512_maskz_loadu_ps(m, p); }

static inline mask mask_of(int64_t from, int64_t to)
{
    const unsigned low = from <= 0 ? 0xffff : from < LANES ? 0xffffu << from : 0;
    const unsigned high = to >= LANES ? 0xffff : to > 0 ? (1u << to) - 1 : 0;
    return (mask)(low & high);
}

static inline void pair_split(vec low, vec high, vec *even, vec *odd)
{
    const __m512i evens =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(low, evens, high);
    *odd = _mm512_permutex2var_ps(low, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), high);
}

static inline __attribute__((always_inline)) void
finish(const float *add, float *y, float bias, float lo, float hi, vec sum, size_t at, size_t left)
{
    const mask m = left >= LANES ? 0xffff : (mask)((1u << left) - 1);
    vec v = _mm512_add_ps(sum, _mm512_set1_ps(bias));
    if (add)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(m, add + at));
    v = _mm512_min_ps(_mm512_set1_ps(hi), _mm512_max_ps(_mm512_set1_ps(lo), v));
    _mm512_mask_storeu_ps(y + at, m, v);
}

#include "kernels/vec/dwconv_body.h"

void dwconv_f32_avx512(const struct dwconv_f32_tile *tile)
{
    lines_run(tile);
}

void dwconv_f32_plane_avx512(const struct dwconv_f32_plane *plane)
{
    plane_run(plane);
}
