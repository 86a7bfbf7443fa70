/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that are a transpose of input 0 (Transpose, DepthToSpace, SpaceToDepth): each says which one,
 * and its tasks and its run are these. For ops/ only; any thread.
 */
#pragma once

#include "kernels/transpose.h"
#include "ops/common.h"

/* The transpose that a call is. */
typedef int turn_fn(const struct call *c, struct transpose *t, struct err *e);

int64_t turn_tasks(const struct call *c, turn_fn *which);
int turn_run(struct call *c, turn_fn *which, int64_t begin, int64_t end, struct err *e) WARN_UNUSED;
