/* SPDX-License-Identifier: Apache-2.0 */
/* The Arm rows of depthwise convolution: see kernels/dwconv.h for the contract. */
#pragma once

#include "kernels/dwconv.h"

dwconv_f32_fn dwconv_f32_neon;
dwconv_f32_plane_fn dwconv_f32_plane_neon;
