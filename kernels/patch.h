/* SPDX-License-Identifier: Apache-2.0 */
/* Packing the patches of an image as a panel of a product's operand, for convolution.
 *
 * A patch is what the filter covers at one output pixel: K = taps * channels values, a tap (depth,
 * row, column) after the other, in each the channels. A call copies rows [k0, k1) of the patches of
 * up to nr output pixels, zeros where a tap lies outside the image and in the lanes from n on. Only
 * the image's own bytes are read. A panel's pixels are described once (patch_panel_init) for any
 * range of K; they are taken from a walk over a box of output pixels, row by row.
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

/* The geometry, in order depth, height, width. A channel's image has less than 2^31 elements, and
 * every coordinate of an input or an output stays within +-2^30. */
struct patch_image {
    int32_t in[3], kernel[3], out[3], stride[3], dilation[3], pad[3];
    size_t channels;
};

/* Output pixels lo <= p < hi (in each dim), in order; `at` is the next one. */
struct patch_walk {
    int32_t lo[3], hi[3], at[3];
};

/* Lane l reads tap (0, 0, 0) at (z[l], y[l], x[l]) = base[l] in the image, modulo 2^32; lanes from
 * n on lie outside. Its output pixel is the pixel[l]-th. */
struct patch_panel {
    int32_t z[PATCH_LANES], y[PATCH_LANES], x[PATCH_LANES];
    uint32_t base[PATCH_LANES];
    size_t pixel[PATCH_LANES];
    unsigned n;
};

/* A walk over all output pixels, and over those for which a tap (its place in each dim) lies inside
 * the image. */
struct patch_walk patch_walk_all(const struct patch_image *image);
struct patch_walk patch_walk_tap(const struct patch_image *image, const int32_t tap[3]);
/* How many of the walk's pixels come before output pixel `limit`, at most one past the last. */
size_t patch_walk_count(const struct patch_walk *walk, const struct patch_image *image,
                        size_t limit);
/* Go to the walk's first pixel that is output pixel `first` or comes after it. */
void patch_walk_start(struct patch_walk *walk, const struct patch_image *image, size_t first);

/* The next n pixels, n <= PATCH_LANES; the walk has that many left. */
void patch_panel_init(struct patch_panel *panel, const struct patch_image *image,
                      struct patch_walk *walk, unsigned n);

/* Rows [k0, k1), k0 < k1, of nr lanes each to `out`, nr a multiple of the level's vectors. x is the
 * first channel's image, channels lie side by side. */
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
