/* SPDX-License-Identifier: Apache-2.0 */
/* The x86 rows of depthwise convolution: see kernels/dwconv.h for the contract. */
#pragma once

#include <stdbool.h>

#include "kernels/dwconv.h"

dwconv_f32_fn dwconv_f32_avx2, dwconv_f32_avx512;
dwconv_f32_plane_fn dwconv_f32_plane_avx2, dwconv_f32_plane_avx512;
