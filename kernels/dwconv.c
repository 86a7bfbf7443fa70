/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/dwconv.h"

#if defined(__x86_64__)
#include "kernels/x86/dwconv.h"
#elif defined(__aarch64__)
#include "kernels/arm/dwconv.h"
#endif

enum { STRIP = 16 };

/* Tap after tap over a strip of outputs, which the compiler can vectorise. */
static void strip_run(const struct dwconv_f32_tile *t, size_t r, size_t j, size_t n)
{
    float sum[STRIP] = {0};
    const float *w = t->w;

    for (size_t z = 0; z < t->kernel[0]; z++) {
        for (size_t y = 0; y < t->kernel[1]; y++) {
            const float *line = t->x + r * t->x_row + z * t->z_step + y * t->y_step + j;
            for (size_t x = 0; x < t->kernel[2]; x++, w++) {
                const size_t e = x * t->dilation;
                const float *in = line + e % t->stride * t->phase + e / t->stride;
                for (size_t i = 0; i < STRIP; i++)
                    sum[i] += *w * in[i];
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        float v = sum[i] + t->bias;
        if (t->add)
            v += t->add[r * t->y_row + j + i];
        v = t->lo > v ? t->lo : v;
        t->y[r * t->y_row + j + i] = t->hi < v ? t->hi : v;
    }
}

static void dwconv_f32_c(const struct dwconv_f32_tile *t)
{
    for (size_t r = 0; r < t->rows; r++)
        for (size_t j = 0; j < t->n; j += STRIP)
            strip_run(t, r, j, t->n - j < STRIP ? t->n - j : STRIP);
}

const struct dwconv_f32_kernel dwconv_f32_kernels[] = {
    {.name = "c", .level = CPU_C, .fn = dwconv_f32_c},
#if defined(__x86_64__)
    {.name = "avx2", .level = CPU_AVX2, .fn = dwconv_f32_avx2,
     .plane = dwconv_f32_plane_avx2},
    {.name = "avx512", .level = CPU_AVX512, .fn = dwconv_f32_avx512,
     .plane = dwconv_f32_plane_avx512},
#elif defined(__aarch64__)
    {.name = "neon", .level = CPU_NEON, .fn = dwconv_f32_neon,
     .plane = dwconv_f32_plane_neon},
#endif
};
const unsigned dwconv_f32_kernel_count =
    sizeof(dwconv_f32_kernels) / sizeof(dwconv_f32_kernels[0]);

const struct dwconv_f32_kernel *dwconv_f32_pick(void)
{
    unsigned i = dwconv_f32_kernel_count - 1;
    while (i > 0 && !cpu_has(dwconv_f32_kernels[i].level))
        i--;
    return &dwconv_f32_kernels[i];
}
