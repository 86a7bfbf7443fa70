/* SPDX-License-Identifier: Apache-2.0 */
/* Patches by masked loads of eight lanes; built like the AVX-512 row, masks being vectors. */
#include <immintrin.h>

#include "kernels/x86/patch.h"

enum { LANES = 8, RUNS_MAX = 4 };

/* Lanes of a vector whose inputs lie `stride` apart: lane l reads shift + l * stride. */
struct run {
    uint32_t shift;
    __m256i mask;
};

static inline __m256i load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* The runs of one vector, 0 if there are more than RUNS_MAX. */
static unsigned runs_find(const struct patch_panel *p, unsigned lane, uint32_t stride,
                          struct run *runs)
{
    const __m256i step = _mm256_mullo_epi32(_mm256_set1_epi32((int)stride),
                                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const __m256i shift = _mm256_sub_epi32(load(p->base + lane), step);
    uint32_t shifts[LANES];
    unsigned count = 0;
    unsigned left = p->n >= lane + LANES ? 0xff : p->n > lane ? (1u << (p->n - lane)) - 1 : 0;

    _mm256_storeu_si256((__m256i *)shifts, shift);
    while (left) {
        const uint32_t first = shifts[__builtin_ctz(left)];
        const __m256i mask = _mm256_cmpeq_epi32(shift, _mm256_set1_epi32((int)first));
        if (count == RUNS_MAX)
            return 0;
        /* A lane from n on may be equal by chance: it is never inside. */
        runs[count++] = (struct run){first, mask};
        left &= ~(unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(mask));
    }
    if (count == 0)
        runs[count++] = (struct run){0, _mm256_setzero_si256()};
    return count;
}

/* 0 <= v < limit, for a limit below 2^31. */
static inline __m256i below(const int32_t *v, int32_t delta, int32_t limit)
{
    const __m256i x = _mm256_add_epi32(load(v), _mm256_set1_epi32(delta));
    return _mm256_andnot_si256(_mm256_srai_epi32(x, 31),
                               _mm256_cmpgt_epi32(_mm256_set1_epi32(limit), x));
}

/* Addresses may lie outside the image where no lane is loaded: integers, not pointers. */
static inline const float *at(const float *x, uint32_t offset)
{
    return (const float *)((uintptr_t)x + (uintptr_t)((intptr_t)(int32_t)offset * 4));
}

/* The even ones of sixteen, of which only those are read that a lane of the mask keeps. */
static inline __m256 load_even(const float *p, __m256i mask)
{
    const __m256i odd_off = _mm256_set1_epi64x(0xffffffff);
    const __m256i low_mask = _mm256_and_si256(
        _mm256_permutevar8x32_epi32(mask, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)), odd_off);
    const __m256i high_mask = _mm256_and_si256(
        _mm256_permutevar8x32_epi32(mask, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)), odd_off);
    const __m256 low = _mm256_maskload_ps(p, low_mask);
    const __m256 high = _mm256_maskload_ps(at(p, LANES), high_mask);
    const __m256 both = _mm256_shuffle_ps(low, high, 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(both), 0xd8));
}

/* One tap of one vector of lanes over the channels. */
struct column {
    const float *x;
    float *out;
    size_t count, plane, step;
};

static void column_runs(struct column c, const struct run *runs, unsigned count, uint32_t delta,
                        __m256i valid, int stride)
{
    if (count == 1 && stride == 1) {
        const __m256i mask = _mm256_and_si256(runs[0].mask, valid);
        const float *from = at(c.x, runs[0].shift + delta);
        for (size_t i = 0; i < c.count; i++)
            _mm256_storeu_ps(c.out + i * c.step, _mm256_maskload_ps(from + i * c.plane, mask));
        return;
    }
    for (size_t i = 0; i < c.count; i++) {
        __m256 v = _mm256_setzero_ps();
        for (unsigned r = 0; r < count; r++) {
            const float *from = at(c.x, runs[r].shift + delta) + i * c.plane;
            const __m256i mask = _mm256_and_si256(runs[r].mask, valid);
            v = _mm256_or_ps(v, stride == 1 ? _mm256_maskload_ps(from, mask)
                                            : load_even(from, mask));
        }
        _mm256_storeu_ps(c.out + i * c.step, v);
    }
}

static void column_gather(struct column c, const uint32_t *base, uint32_t delta, __m256i valid)
{
    const __m256i offset = _mm256_add_epi32(load(base), _mm256_set1_epi32((int)delta));
    for (size_t i = 0; i < c.count; i++)
        _mm256_storeu_ps(c.out + i * c.step,
                         _mm256_mask_i32gather_ps(_mm256_setzero_ps(), c.x + i * c.plane, offset,
                                                  _mm256_castsi256_ps(valid), 4));
}

void patch_pack_avx2(const struct patch_image *image, const struct patch_panel *panel,
                     const float *x, size_t k0, size_t k1, unsigned nr, float *out)
{
    const size_t kernel_x = (size_t)image->kernel[2], kernel_y = (size_t)image->kernel[1];
    const size_t taps = kernel_x * kernel_y * (size_t)image->kernel[0];
    struct column c = {
        .plane = (size_t)image->in[0] * (size_t)image->in[1] * (size_t)image->in[2],
        .step = taps * nr,
    };

    for (unsigned lane = 0; lane < nr; lane += LANES) {
        struct run runs[RUNS_MAX];
        const unsigned count =
            image->stride <= 2 ? runs_find(panel, lane, (uint32_t)image->stride, runs) : 0;
        size_t tap = k0 % taps, channel = k0 / taps;

        for (size_t k = k0; k < k1 && k < k0 + taps; k++) {
            const int32_t dx = (int32_t)(tap % kernel_x) * image->dilation[2];
            const int32_t dy = (int32_t)(tap / kernel_x % kernel_y) * image->dilation[1];
            const int32_t dz = (int32_t)(tap / kernel_x / kernel_y) * image->dilation[0];
            const uint32_t delta = ((uint32_t)dz * (uint32_t)image->in[1] + (uint32_t)dy) *
                                       (uint32_t)image->in[2] + (uint32_t)dx;
            const __m256i valid = _mm256_and_si256(
                below(panel->x + lane, dx, image->in[2]),
                _mm256_and_si256(below(panel->y + lane, dy, image->in[1]),
                                 below(panel->z + lane, dz, image->in[0])));
            c.x = x + channel * c.plane;
            c.out = out + (k - k0) * nr + lane;
            c.count = (k1 - k + taps - 1) / taps;
            if (count > 0)
                column_runs(c, runs, count, delta, valid, image->stride);
            else
                column_gather(c, panel->base + lane, delta, valid);
            if (++tap == taps) {
                tap = 0;
                channel++;
            }
        }
    }
}
