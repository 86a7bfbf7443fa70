/* SPDX-License-Identifier: Apache-2.0 */
/* The x86 rows of the f32 product: see struct gemm_f32_tile in kernels/gemm.h for the contract. */
#pragma once

#include "kernels/gemm.h"

gemm_f32_fn gemm_f32_avx2, gemm_f32_avx512;
double gemm_peak_avx2(long rounds);
double gemm_peak_avx512(long rounds);
