/* SPDX-License-Identifier: Apache-2.0 */
/* What Conv, ConvInteger, QLinearConv and their kin share: reading attributes and shapes. For ops/
 * only; pure functions, any thread.
 */
#pragma once

#include "graph/attrs.h"
#include "kernels/conv.h"
#include "ops/window.h"

/* The window of a convolution of x by w, both of this rank, dims maybe symbolic (s NULL:
 * numbers), with sizes computed and channels and groups checked. */
int conv_window(struct window *out, const struct attrs_conv *a, struct syms *s, int rank,
                const int64_t *x, const int64_t *w, struct err *e) WARN_UNUSED;
/* Output 0 of a convolution of input 0 by input w_in, with an optional bias as input bias_in. */
int conv_infer_dims(struct infer *c, int w_in, int bias_in, enum dtype dtype,
                    struct err *e) WARN_UNUSED;
/* The attribute table of struct attrs_conv. */
extern const struct attr conv_attrs[];
/* The kernel's description, of numbers; pads placed. */
struct conv_shape conv_shape_of(const struct window *w, int64_t groups, int64_t batch,
                                int64_t channels, int64_t out_channels);
