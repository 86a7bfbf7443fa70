/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/ml/tree.h"

enum { LANES = 8 };

#define T float
#define NAME(f) f##_f32
#include "ops/ml/tree_walk.h"
#undef T
#undef NAME

#define T double
#define NAME(f) f##_f64
#include "ops/ml/tree_walk.h"
#undef T
#undef NAME
