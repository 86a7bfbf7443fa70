/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm.h"

#define NAME gemm_f64
#define T double
#include "kernels/gemm_any.h"
#undef NAME
#undef T

#define NAME gemm_u32
#define T uint32_t
#include "kernels/gemm_any.h"
#undef NAME
#undef T

#define NAME gemm_u64
#define T uint64_t
#include "kernels/gemm_any.h"
