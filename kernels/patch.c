/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/patch.h"

#if defined(__x86_64__)
#include "kernels/x86/patch.h"
#endif

void patch_panel_init(struct patch_panel *panel, const struct patch_image *image,
                      const int64_t out[3], const int64_t stride[3], const int64_t pad[3],
                      size_t first, unsigned n)
{
    const int32_t outside = -(1 << 30);
    int64_t x = (int64_t)first % out[2];
    int64_t y = (int64_t)first / out[2] % out[1];
    int64_t z = (int64_t)first / out[2] / out[1];

    panel->n = n;
    for (unsigned l = 0; l < PATCH_LANES; l++) {
        if (l >= n) {
            panel->z[l] = panel->y[l] = panel->x[l] = outside;
            panel->base[l] = 0;
            continue;
        }
        panel->z[l] = (int32_t)(z * stride[0] - pad[0]);
        panel->y[l] = (int32_t)(y * stride[1] - pad[1]);
        panel->x[l] = (int32_t)(x * stride[2] - pad[2]);
        panel->base[l] = ((uint32_t)panel->z[l] * (uint32_t)image->in[1] + (uint32_t)panel->y[l]) *
                             (uint32_t)image->in[2] +
                         (uint32_t)panel->x[l];
        if (++x == out[2]) {
            x = 0;
            if (++y == out[1]) {
                y = 0;
                z++;
            }
        }
    }
}

static void pack_c(const struct patch_image *image, const struct patch_panel *panel, const float *x,
                   size_t k0, size_t k1, unsigned nr, float *out)
{
    const size_t kernel_x = (size_t)image->kernel[2], kernel_y = (size_t)image->kernel[1];
    const size_t taps = kernel_x * kernel_y * (size_t)image->kernel[0];
    const size_t plane = (size_t)image->in[0] * (size_t)image->in[1] * (size_t)image->in[2];

    for (size_t tap = 0; tap < taps; tap++) {
        const int32_t dx = (int32_t)(tap % kernel_x) * image->dilation[2];
        const int32_t dy = (int32_t)(tap / kernel_x % kernel_y) * image->dilation[1];
        const int32_t dz = (int32_t)(tap / kernel_x / kernel_y) * image->dilation[0];
        size_t k = k0 + (tap + taps - k0 % taps) % taps;
        int64_t at[PATCH_LANES];

        for (unsigned l = 0; l < nr; l++) {
            const int32_t iz = panel->z[l] + dz, iy = panel->y[l] + dy, ix = panel->x[l] + dx;
            const int inside = (uint32_t)iz < (uint32_t)image->in[0] &&
                               (uint32_t)iy < (uint32_t)image->in[1] &&
                               (uint32_t)ix < (uint32_t)image->in[2];
            at[l] = inside ? ((int64_t)iz * image->in[1] + iy) * image->in[2] + ix : -1;
        }
        for (; k < k1; k += taps) {
            const float *from = x + k / taps * plane;
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
