/* SPDX-License-Identifier: Apache-2.0 */
/* Padding and cropping of every dim of a tensor, shared by Pad and CenterCropPad. For ops/ only;
 * pure functions, any thread.
 */
#pragma once

#include "ops/layout.h"

enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP, PAD_MODES };

/* Write elements [s.first, s.last) of y, which is x with begin[i] and end[i] elements added to dim
 * i, or removed where negative. `fill` is an element or NULL for zero; only for PAD_CONSTANT.
 * ERR_INPUT where dims do not fit or there is nothing to make pads of. */
int pad_elements(const struct tensor *x, struct tensor *y, enum pad_mode mode, const int64_t *begin,
                 const int64_t *end, const void *fill, struct span s, struct err *e) WARN_UNUSED;
