/* SPDX-License-Identifier: Apache-2.0 */
/* The x86 rows of depthwise convolution: see kernels/dwconv.h for the contract. */
#pragma once

#include "kernels/dwconv.h"

dwconv_f32_fn dwconv_f32_avx2, dwconv_f32_avx512;
