/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution, eight columns: the weights lie spread over vectors in the first cache. */
#include <immintrin.h>
#include <stdint.h>

#include "kernels/x86/dwconv.h"

enum { LANES = 8 };
typedef __m256 vec;
typedef __m256i mask;

static inline vec zero(void) { return _mm256_setzero_ps(); }
static inline vec all(float x) { return _mm256_set1_ps(x); }
static inline vec madd(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec load(const float *p) { return _mm256_loadu_ps(p); }
static inline vec load_some(const float *p, mask m) { return _mm256_maskload_ps(p, m); }

static inline int within(int64_t n)
{
    return n < 0 ? 0 : n > LANES ? LANES : (int)n;
}

static inline mask mask_of(int64_t from, int64_t to)
{
    const mask lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(within(from)), lane),
                               _mm256_cmpgt_epi32(_mm256_set1_epi32(within(to)), lane));
}

/* Lanes below n, for n < LANES. */
static inline mask first(size_t n)
{
    static const int32_t ones[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(ones + LANES - n));
}

static inline void pair_split(vec low, vec high, vec *even, vec *odd)
{
    *even = _mm256_castpd_ps(_mm256_permute4x64_pd(
        _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0x88)), 0xd8));
    *odd = _mm256_castpd_ps(_mm256_permute4x64_pd(
        _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0xdd)), 0xd8));
}

static inline __attribute__((always_inline)) void
finish(const float *add, float *y, float bias, float lo, float hi, vec sum, size_t at, size_t left)
{
    vec v = _mm256_add_ps(sum, _mm256_set1_ps(bias));
    if (add)
        v = _mm256_add_ps(v, left >= LANES ? _mm256_loadu_ps(add + at)
                                           : _mm256_maskload_ps(add + at, first(left)));
    v = _mm256_min_ps(_mm256_set1_ps(hi), _mm256_max_ps(_mm256_set1_ps(lo), v));
    if (left >= LANES)
        _mm256_storeu_ps(y + at, v);
    else
        _mm256_maskstore_ps(y + at, first(left), v);
}

#include "kernels/vec/dwconv_body.h"

void dwconv_f32_avx2(const struct dwconv_f32_tile *tile)
{
    lines_run(tile);
}

void dwconv_f32_plane_avx2(const struct dwconv_f32_plane *plane)
{
    plane_run(plane);
}
