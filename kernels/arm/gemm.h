/* SPDX-License-Identifier: Apache-2.0 */
/* The Arm rows of the f32 product: see struct gemm_f32_tile in kernels/gemm.h for the contract. */
#pragma once

#include "kernels/gemm.h"

gemm_f32_fn gemm_f32_neon;
double gemm_peak_neon(long rounds);
