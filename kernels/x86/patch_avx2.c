/* SPDX-License-Identifier: Apache-2.0 */
/* Patches by masked loads of eight lanes; built like the AVX-512 row, masks being vectors. */
#include <immintrin.h>

#include "kernels/x86/patch.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

enum { LANES = 8, RUNS_MAX = 8 };

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

/* One tap of one vector of lanes over the channels. */
struct column {
    const float *x;
    float *out;
    size_t count, plane, step;
};

/* The lanes of `count` runs, each from its own address: with stride 2 the even ones of sixteen
 * floats, of which the masks say which to read. */
INLINE void runs_copy(struct column c, const float *const *from, __m256i (*masks)[2],
                      const unsigned count, const int stride)
{
    for (size_t i = 0; i < c.count; i++) {
        __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
        UNROLL for (unsigned r = 0; r < count; r++) {
            const float *p = from[r] + i * c.plane;
            low = _mm256_or_ps(low, _mm256_maskload_ps(p, masks[r][0]));
            if (stride == 2)
                high = _mm256_or_ps(high, _mm256_maskload_ps(at(p, LANES), masks[r][1]));
        }
        if (stride == 2)
            low = _mm256_castpd_ps(_mm256_permute4x64_pd(
                _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0x88)), 0xd8));
        _mm256_storeu_ps(c.out + i * c.step, low);
    }
}

static void column_runs(struct column c, const struct run *runs, unsigned count, uint32_t delta,
                        __m256i valid, int stride)
{
    const __m256i odd_off = _mm256_set1_epi64x(0xffffffff);
    const float *from[RUNS_MAX];
    __m256i masks[RUNS_MAX][2];
    unsigned n = 0;

    for (unsigned r = 0; r < count; r++) {
        const __m256i mask = _mm256_and_si256(runs[r].mask, valid);
        if (_mm256_testz_si256(mask, mask))
            continue;
        masks[n][0] = mask;
        if (stride == 2) {
            masks[n][0] = _mm256_and_si256(odd_off,
                _mm256_permutevar8x32_epi32(mask, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)));
            masks[n][1] = _mm256_and_si256(odd_off,
                _mm256_permutevar8x32_epi32(mask, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)));
        }
        from[n++] = at(c.x, runs[r].shift + delta);
    }
    switch (stride * 4 + (n < 4 ? (int)n : 0)) {
    case 4 + 1: runs_copy(c, from, masks, 1, 1); break;
    case 4 + 2: runs_copy(c, from, masks, 2, 1); break;
    case 4 + 3: runs_copy(c, from, masks, 3, 1); break;
    case 4: runs_copy(c, from, masks, n, 1); break;
    case 8 + 1: runs_copy(c, from, masks, 1, 2); break;
    case 8 + 2: runs_copy(c, from, masks, 2, 2); break;
    case 8 + 3: runs_copy(c, from, masks, 3, 2); break;
    default: runs_copy(c, from, masks, n, 2); break;
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

void patch_pack_avx2(const struct patch_image *im, const struct patch_panel *panel, const float *x,
                       size_t k0, size_t k1, unsigned nr, float *out)
{
    const size_t kernel_x = (size_t)im->kernel[2], kernel_y = (size_t)im->kernel[1];
    struct column c = {
        .plane = (size_t)im->in[0] * (size_t)im->in[1] * (size_t)im->in[2],
        .step = nr,
    };

    for (unsigned lane = 0; lane < nr; lane += LANES) {
        struct run runs[RUNS_MAX];
        const unsigned count =
            im->stride[2] <= 2 ? runs_find(panel, lane, (uint32_t)im->stride[2], runs) : 0;
        size_t tap = k0 / im->channels, channel = k0 % im->channels;

        for (size_t k = k0; k < k1; k += c.count) {
            const int32_t dx = (int32_t)(tap % kernel_x) * im->dilation[2];
            const int32_t dy = (int32_t)(tap / kernel_x % kernel_y) * im->dilation[1];
            const int32_t dz = (int32_t)(tap / kernel_x / kernel_y) * im->dilation[0];
            const uint32_t delta = ((uint32_t)dz * (uint32_t)im->in[1] + (uint32_t)dy) *
                                       (uint32_t)im->in[2] + (uint32_t)dx;
            const __m256i valid = _mm256_and_si256(
                below(panel->x + lane, dx, im->in[2]),
                _mm256_and_si256(below(panel->y + lane, dy, im->in[1]),
                                 below(panel->z + lane, dz, im->in[0])));
            c.x = x + channel * c.plane;
            c.out = out + (k - k0) * nr + lane;
            c.count = im->channels - channel < k1 - k ? im->channels - channel : k1 - k;
            if (count > 0)
                column_runs(c, runs, count, delta, valid, im->stride[2]);
            else
                column_gather(c, panel->base + lane, delta, valid);
            tap++;
            channel = 0;
        }
    }
}
