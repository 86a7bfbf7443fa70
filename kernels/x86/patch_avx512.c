/* SPDX-License-Identifier: Apache-2.0 */
/* Patches by masked loads: one load and one store for sixteen lanes where the stride is 1 and the
 * output is as wide as the image (all lanes then form one run across its rows), a few loads where a
 * vector spans several rows. Stride 2 loads twice as much and keeps the even lanes. Masked-off
 * lanes are not accessed, so loads may hang over the image's ends.
 */
#include <immintrin.h>

#include "kernels/x86/patch.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

enum { LANES = 16, RUNS_MAX = 8 };

/* Lanes of a vector whose inputs lie `stride` apart: lane l reads shift + l * stride. */
struct run {
    uint32_t shift;
    __mmask16 mask;
};

/* The runs of one vector, 0 if there are more than RUNS_MAX. */
static unsigned runs_find(const struct patch_panel *p, unsigned lane, uint32_t stride,
                          struct run *runs)
{
    const __m512i step = _mm512_mullo_epi32(
        _mm512_set1_epi32((int)stride),
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i shift = _mm512_sub_epi32(_mm512_loadu_si512(p->base + lane), step);
    uint32_t shifts[LANES];
    unsigned count = 0;
    unsigned left = p->n >= lane + LANES ? 0xffff : p->n > lane ? (1u << (p->n - lane)) - 1 : 0;

    _mm512_storeu_si512(shifts, shift);
    while (left) {
        const uint32_t first = shifts[__builtin_ctz(left)];
        const __mmask16 mask =
            _mm512_mask_cmpeq_epi32_mask((__mmask16)left, shift, _mm512_set1_epi32((int)first));
        if (count == RUNS_MAX)
            return 0;
        runs[count++] = (struct run){first, mask};
        left &= ~(unsigned)mask;
    }
    if (count == 0)
        runs[count++] = (struct run){0, 0};
    return count;
}

/* The lanes that lie inside the image at a tap. */
static __mmask16 inside(const struct patch_image *im, const struct patch_panel *p, unsigned lane,
                        int32_t dz, int32_t dy, int32_t dx)
{
    const __m512i z = _mm512_add_epi32(_mm512_loadu_si512(p->z + lane), _mm512_set1_epi32(dz));
    const __m512i y = _mm512_add_epi32(_mm512_loadu_si512(p->y + lane), _mm512_set1_epi32(dy));
    const __m512i x = _mm512_add_epi32(_mm512_loadu_si512(p->x + lane), _mm512_set1_epi32(dx));
    __mmask16 mask = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(im->in[2]));
    mask = _mm512_mask_cmplt_epu32_mask(mask, y, _mm512_set1_epi32(im->in[1]));
    return _mm512_mask_cmplt_epu32_mask(mask, z, _mm512_set1_epi32(im->in[0]));
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

/* The lanes of `count` runs, each from its own address: with stride 2 the even ones of 32 floats,
 * of which the mask says which to read. */
INLINE void runs_copy(struct column c, const float *const *from, const uint32_t *masks,
                      const unsigned count, const int stride)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);

    for (size_t i = 0; i < c.count; i++) {
        __m512 low = _mm512_setzero_ps(), high = _mm512_setzero_ps();
        UNROLL for (unsigned r = 0; r < count; r++) {
            const float *p = from[r] + i * c.plane;
            low = _mm512_mask_loadu_ps(low, (__mmask16)masks[r], p);
            if (stride == 2)
                high = _mm512_mask_loadu_ps(high, (__mmask16)(masks[r] >> 16), at(p, LANES));
        }
        _mm512_storeu_ps(c.out + i * c.step,
                         stride == 2 ? _mm512_permutex2var_ps(low, even, high) : low);
    }
}

static void column_runs(struct column c, const struct run *runs, unsigned count, uint32_t delta,
                        __mmask16 valid, int stride)
{
    const float *from[RUNS_MAX];
    uint32_t masks[RUNS_MAX];
    unsigned n = 0;

    for (unsigned r = 0; r < count; r++) {
        const unsigned mask = runs[r].mask & valid;
        if (mask) {
            masks[n] = stride == 2 ? _pdep_u32(mask, 0x55555555) : mask;
            from[n++] = at(c.x, runs[r].shift + delta);
        }
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

static void column_gather(struct column c, const uint32_t *base, uint32_t delta, __mmask16 valid)
{
    const __m512i offset =
        _mm512_add_epi32(_mm512_loadu_si512(base), _mm512_set1_epi32((int)delta));
    for (size_t i = 0; i < c.count; i++)
        _mm512_storeu_ps(c.out + i * c.step,
                         _mm512_mask_i32gather_ps(_mm512_setzero_ps(), valid, offset,
                                                  c.x + i * c.plane, 4));
}

void patch_pack_avx512(const struct patch_image *im, const struct patch_panel *panel,
                       const float *x, size_t k0, size_t k1, unsigned nr, float *out)
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
            const __mmask16 valid = inside(im, panel, lane, dz, dy, dx);
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
