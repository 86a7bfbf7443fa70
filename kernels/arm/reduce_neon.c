/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of 4 floats; the body is the same at every level. */
#include "kernels/arm/vec_neon.h"
#include "kernels/vec/reduce_body.h"
