/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 16 floats; the body is the same at every level. */
#include "kernels/x86/vec_avx512.h"
#include "kernels/vec/binary_body.h"
