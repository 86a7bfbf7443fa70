/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/patch.h"

#include <stdbool.h>

#if defined(__x86_64__)
#include "kernels/x86/patch.h"
#elif defined(__aarch64__)
#include "kernels/arm/patch.h"
#endif

static int32_t clamp(int64_t x, int64_t lo, int64_t hi)
{
    return (int32_t)(x < lo ? lo : x > hi ? hi : x);
}

struct patch_walk patch_walk_all(const struct patch_image *im)
{
    return (struct patch_walk){.hi = {im->out[0], im->out[1], im->out[2]}};
}

struct patch_walk patch_walk_tap(const struct patch_image *im, const int32_t tap[3])
{
    struct patch_walk w = {.at = {0}};

    for (unsigned d = 0; d < 3; d++) {
        /* Output o reads input o * stride - before. */
        const int64_t stride = im->stride[d];
        const int64_t before = im->pad[d] - (int64_t)tap[d] * im->dilation[d];
        const int64_t end = im->in[d] + before;
        w.lo[d] = before > 0 ? clamp((before + stride - 1) / stride, 0, im->out[d]) : 0;
        w.hi[d] = end > 0 ? clamp((end + stride - 1) / stride, w.lo[d], im->out[d]) : w.lo[d];
        w.at[d] = w.lo[d];
    }
    return w;
}

/* A pixel's place in each dim; past the last one, a depth past the last. */
static void place(const struct patch_image *im, size_t pixel, int64_t at[3])
{
    const size_t width = (size_t)im->out[2], height = (size_t)im->out[1];

    at[2] = (int64_t)(pixel % width);
    at[1] = (int64_t)(pixel / width % height);
    at[0] = (int64_t)(pixel / width / height);
}

size_t patch_walk_count(const struct patch_walk *w, const struct patch_image *im, size_t limit)
{
    const int64_t width = w->hi[2] - w->lo[2], height = w->hi[1] - w->lo[1];
    int64_t at[3], n;

    place(im, limit, at);
    n = (clamp(at[0], w->lo[0], w->hi[0]) - w->lo[0]) * height * width;
    if (at[0] < w->lo[0] || at[0] >= w->hi[0])
        return (size_t)n;
    n += (clamp(at[1], w->lo[1], w->hi[1]) - w->lo[1]) * width;
    if (at[1] < w->lo[1] || at[1] >= w->hi[1])
        return (size_t)n;
    return (size_t)(n + clamp(at[2], w->lo[2], w->hi[2]) - w->lo[2]);
}

static void step(struct patch_walk *w)
{
    unsigned d = 2;

    while (++w->at[d] >= w->hi[d] && d > 0) {
        w->at[d] = w->lo[d];
        d--;
    }
}

void patch_walk_start(struct patch_walk *w, const struct patch_image *im, size_t first)
{
    int64_t at[3];
    unsigned d = 0;

    place(im, first, at);
    for (; d < 3 && at[d] >= w->lo[d] && at[d] < w->hi[d]; d++)
        w->at[d] = (int32_t)at[d];
    if (d == 3)
        return;
    /* Before the box in this dim: at its start. Behind it: one on from its end. */
    const bool behind = at[d] >= w->hi[d];
    for (unsigned i = d; i < 3; i++)
        w->at[i] = behind ? w->hi[i] - 1 : w->lo[i];
    if (behind)
        step(w);
}

/* Lanes [from, to) are neighbours in a row of the output. */
static void lanes_fill(struct patch_panel *panel, const struct patch_image *im, const int32_t at[3],
                       unsigned from, unsigned to)
{
    const int32_t z = at[0] * im->stride[0] - im->pad[0], y = at[1] * im->stride[1] - im->pad[1];
    const int32_t stride = im->stride[2], x = at[2] * stride - im->pad[2];
    const uint32_t row = ((uint32_t)z * (uint32_t)im->in[1] + (uint32_t)y) * (uint32_t)im->in[2];
    const size_t pixel = ((size_t)at[0] * (size_t)im->out[1] + (size_t)at[1]) *
                             (size_t)im->out[2] + (size_t)at[2];

    for (unsigned l = from; l < to; l++) {
        const int32_t here = x + (int32_t)(l - from) * stride;
        panel->z[l] = z;
        panel->y[l] = y;
        panel->x[l] = here;
        panel->base[l] = row + (uint32_t)here;
        panel->pixel[l] = pixel + (l - from);
    }
}

void patch_panel_init(struct patch_panel *panel, const struct patch_image *im,
                      struct patch_walk *walk, unsigned n)
{
    const int32_t outside = -(1 << 30);

    panel->n = n;
    for (unsigned l = 0; l < n;) {
        const unsigned row = (unsigned)(walk->hi[2] - walk->at[2]);
        const unsigned end = row < n - l ? l + row : n;
        lanes_fill(panel, im, walk->at, l, end);
        walk->at[2] += (int32_t)(end - l) - 1;
        step(walk);
        l = end;
    }
    for (unsigned l = n; l < PATCH_LANES; l++) {
        panel->z[l] = panel->y[l] = panel->x[l] = outside;
        panel->base[l] = 0;
    }
}

static void pack_c(const struct patch_image *im, const struct patch_panel *panel, const float *x,
                   size_t k0, size_t k1, unsigned nr, float *out)
{
    const size_t kernel_x = (size_t)im->kernel[2], kernel_y = (size_t)im->kernel[1];
    const size_t plane = (size_t)im->in[0] * (size_t)im->in[1] * (size_t)im->in[2];

    for (size_t k = k0; k < k1;) {
        const size_t tap = k / im->channels, channel = k % im->channels;
        const size_t left = im->channels - channel, end = left < k1 - k ? k + left : k1;
        const int32_t dx = (int32_t)(tap % kernel_x) * im->dilation[2];
        const int32_t dy = (int32_t)(tap / kernel_x % kernel_y) * im->dilation[1];
        const int32_t dz = (int32_t)(tap / kernel_x / kernel_y) * im->dilation[0];
        const float *from = x + channel * plane;
        int64_t at[PATCH_LANES];

        for (unsigned l = 0; l < nr; l++) {
            const int32_t iz = panel->z[l] + dz, iy = panel->y[l] + dy, ix = panel->x[l] + dx;
            const int inside = (uint32_t)iz < (uint32_t)im->in[0] &&
                               (uint32_t)iy < (uint32_t)im->in[1] &&
                               (uint32_t)ix < (uint32_t)im->in[2];
            at[l] = inside ? ((int64_t)iz * im->in[1] + iy) * im->in[2] + ix : -1;
        }
        for (; k < end; k++, from += plane) {
            float *to = out + (k - k0) * nr;
            for (unsigned l = 0; l < nr; l++)
                to[l] = at[l] < 0 ? 0 : from[at[l]];
        }
    }
}

const struct patch_kernel patch_kernels[] = {
    {.name = "c", .level = CPU_C, .fn = pack_c},
#if defined(__x86_64__)
    {.name = "avx2", .level = CPU_AVX2, .fn = patch_pack_avx2},
    {.name = "avx512", .level = CPU_AVX512, .fn = patch_pack_avx512},
#elif defined(__aarch64__)
    {.name = "neon", .level = CPU_NEON, .fn = patch_pack_neon},
#endif
};
const unsigned patch_kernel_count = sizeof(patch_kernels) / sizeof(patch_kernels[0]);

const struct patch_kernel *patch_pick(void)
{
    unsigned i = patch_kernel_count - 1;
    while (i > 0 && !cpu_has(patch_kernels[i].level))
        i--;
    return &patch_kernels[i];
}
