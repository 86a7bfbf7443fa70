/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures: decoding PNG (libspng), JPEG (libjpeg-turbo), WebP (libwebp), TIFF (libtiff), JPEG 2000
 * (OpenJPEG), BMP and PNM to 8-bit RGB, resizing.
 *
 * The format is known from the bytes, not from a name. Each library is a build feature; a format that
 * was left out is ERR_UNSUPPORTED. Input is hostile: dims are limited before anything is allocated.
 * Alpha is dropped, grey is spread over three channels, 16 bits are scaled to 8. Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/mem.h"

enum { PICTURE_DIM_MAX = 32768 };

struct picture {
    int width, height;
    uint8_t *rgb; /* height * width * 3, mem_alloc'd */
};

/* True if the bytes begin like a picture of a known format. */
int picture_known(const void *data, size_t size);
int picture_decode(struct picture *p, struct budget *b, const void *data, size_t size,
                   struct err *e) WARN_UNUSED;
/* Bilinear with a triangle filter that widens when shrinking (as Pillow's BILINEAR), in float, rounded. */
int picture_resize(struct picture *out, const struct picture *in, int width, int height,
                   struct budget *b, struct err *e) WARN_UNUSED;
void picture_clear(struct picture *p);
