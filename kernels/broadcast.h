/* SPDX-License-Identifier: Apache-2.0 */
/* Broadcasting: an element-wise function of one to three tensors as calls on contiguous runs.
 *
 * broadcast_init() takes the shapes once (no memory, any thread), merges dims and describes the
 * output as a loop over runs; broadcast_run() computes the output elements [begin, end), which a
 * caller cuts anywhere: elements get the same bits in any range, as long as fn's results depend on
 * the operands alone. In a run each input is a contiguous vector or a single element; where runs
 * would be short, inputs are expanded into a block on the stack first, so that fn always sees
 * vectors worth its call. All tensors are contiguous, row-major, of 1 to 16 bytes an element; a
 * rank-0 tensor is one element. The output may be one of the inputs if that input has the output's
 * shape and element size.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BROADCAST_RANK = 12, BROADCAST_INPUTS = 3 };

/* n elements of a run. in[i]: the input's first element; bit i of `scalar`: input i is that one
 * element for the whole run (all bits may be set, as in Expand). n >= 1; no alignment beyond the
 * elements'. */
typedef void broadcast_fn(void *arg, const void *const *in, unsigned scalar, void *out, size_t n);

struct broadcast_shape {
    unsigned rank;
    const int64_t *dims;
    size_t size;         /* bytes an element */
};

struct broadcast {
    unsigned inputs, rank;
    size_t in_size[BROADCAST_INPUTS], out_size;
    size_t count;                                      /* elements of the output */
    size_t dims[BROADCAST_RANK];                       /* merged, the last one innermost */
    size_t stride[BROADCAST_INPUTS][BROADCAST_RANK];   /* in elements, 0 where broadcast */
    bool expand;                                       /* runs are short */
};

/* False if a rank is above BROADCAST_RANK, an input does not broadcast to `out`, a dim is
 * negative, an element size is not in 1..16, there are more than three inputs or none, or sizes
 * overflow. Shapes are aligned at their last dims, as in ONNX. */
bool broadcast_init(struct broadcast *b, const struct broadcast_shape *out, unsigned inputs,
                    const struct broadcast_shape *in);

/* Output elements [begin, end), 0 <= begin <= end <= b->count. `out` is the start of the tensor. */
void broadcast_run(const struct broadcast *b, const void *const *in, void *out, size_t begin,
                   size_t end, broadcast_fn *fn, void *arg);
