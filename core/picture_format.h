/* SPDX-License-Identifier: Apache-2.0 */
/* What core/picture.c and its decoders share; a decoder's file is built if its library is there. */
#pragma once

#include "core/picture.h"

/* Decode into an empty picture; on failure the caller clears it. */
typedef int picture_read_fn(struct picture *p, struct budget *b, const uint8_t *data, size_t size,
                            struct err *e);
picture_read_fn picture_read_png, picture_read_jpeg, picture_read_webp, picture_read_tiff, picture_read_jpeg2000,
    picture_read_bmp, picture_read_pnm;

/* Check the dims and allocate: what every decoder does before it decodes. */
int picture_make(struct picture *p, struct budget *b, int64_t width, int64_t height,
                 struct err *e) WARN_UNUSED;
