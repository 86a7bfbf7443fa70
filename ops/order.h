/* SPDX-License-Identifier: Apache-2.0 */
/* Elements as unsigned integers of the same order, for TopK and Unique: -0 is 0, and every NaN is
 * the same and above all numbers. For ops/ only; pure functions, any thread.
 */
#pragma once

#include "ops/common.h"

#define DT_ORDERED (DT_NUMERIC | DT(BOOL))

/* Keys of n elements of p, from `first` on, `stride` elements apart. */
void order_keys(enum dtype t, const void *p, int64_t first, int64_t stride, int64_t n,
                uint64_t *keys);
