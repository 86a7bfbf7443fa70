/* SPDX-License-Identifier: Apache-2.0 */
/* infer.Append: Concat of two tensors, the first of which may lie in a state.
 *
 * Without a state it is Concat to the bit. In a run with one, the executor gives the call a store
 * (call->store) that holds input 0's rows: the new rows are written behind them there, input 0's
 * own elements are not read, and the output is made from both.
 */
#pragma once

#include "graph/op.h"

extern const struct op op_append;

/* Concat's inference, in ops/concat.c. */
int concat_infer(struct infer *c, struct err *e) WARN_UNUSED;
