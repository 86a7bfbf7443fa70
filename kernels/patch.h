/* SPDX-License-Identifier: Apache-2.0 */
/* Packing the patches of an image as a B panel of kernels/gemm.h, for convolution.
 *
 * A patch is what the filter covers at one output pixel: K = channels * taps values, in order
 * channel, depth, row, column. A call copies rows [k0, k1) of the patches of up to nr neighbouring
 * output pixels, zeros where a tap lies outside the image and in the lanes from n on. Only the
 * image's own bytes are read. A panel's pixels are described once (patch_panel_init) for any range
 * of K.
 *
 * Along an image's row, neighbouring pixels read inputs `stride` apart: a run of lanes. For each
 * tap only the mask of lanes that lie inside the image changes, for each channel only the address.
 * The vector rows load by runs; a vector of lanes with many runs, or stride above 2, is gathered.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

enum { PATCH_LANES = 32 };

/* The geometry: input size, taps, step between taps in each of depth, height, width. A channel's
 * image has less than 2^31 elements, and every coordinate below stays within +-2^30. */
struct patch_image {
    int32_t in[3], kernel[3], dilation[3];
    int32_t stride; /* along the width, between neighbouring output pixels of a row */
};

/* Lane l reads tap (0, 0, 0) at (z[l], y[l], x[l]) = base[l] in the image, modulo 2^32; lanes from
 * n on lie outside. */
struct patch_panel {
    int32_t z[PATCH_LANES], y[PATCH_LANES], x[PATCH_LANES];
    uint32_t base[PATCH_LANES];
    unsigned n;
};

/* Output pixels [first, first + n) of an output of the given size, n <= PATCH_LANES. */
void patch_panel_init(struct patch_panel *panel, const struct patch_image *image,
                      const int64_t out[3], const int64_t stride[3], const int64_t pad[3],
                      size_t first, unsigned n);

/* Rows [k0, k1) of nr lanes each to `out`. x is the first channel's image, channels lie side by
 * side. */
typedef void patch_pack_fn(const struct patch_image *image, const struct patch_panel *panel,
                           const float *x, size_t k0, size_t k1, unsigned nr, float *out);

struct patch_kernel {
    const char *name;
    enum cpu_level level;
    patch_pack_fn *fn;
};
extern const struct patch_kernel patch_kernels[];
extern const unsigned patch_kernel_count;

/* The best usable row. */
const struct patch_kernel *patch_pick(void);
