/* SPDX-License-Identifier: Apache-2.0 */
/* Permutation of a tensor's dims, for elements of 1, 2, 4, 8 or 16 bytes.
 *
 * transpose_init() merges dims that stay together (no memory, any thread), then chooses: a copy of
 * runs, where the innermost dim stays innermost (a run of 1 to 16 bytes counts as an element), or
 * a 2-D transpose in tiles between the dim that is innermost in x and the one innermost in y,
 * looped over the other dims. transpose_run() does tasks [from, to) of t->tasks on any thread; a
 * task is about 64 KiB of output, or the whole tensor where that is smaller. Bytes are moved,
 * never interpreted.
 *
 * Memory. No alignment; x and y are contiguous, row-major, and do not overlap. A tensor with a dim
 * 0 has no tasks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

enum { TRANSPOSE_RANK = 12 };

/* y[c * y_row + r] = x[r * x_row + c] for r < rows, c < cols; strides in elements. */
typedef void transpose_2d_fn(const void *x, size_t x_row, void *y, size_t y_row, size_t rows,
                             size_t cols);

/* A row of the table; fn by log2 of the element size; a NULL function is taken from the row below.
 * */
struct transpose_kernel {
    const char *name;
    enum cpu_level level;
    transpose_2d_fn *fn[5];
};
extern const struct transpose_kernel *const transpose_kernels[];
extern const unsigned transpose_kernel_count;
extern const struct transpose_kernel transpose_avx2, transpose_avx512, transpose_neon;

/* The best usable 2-D transpose for elements of `size` bytes (1, 2, 4, 8, 16). */
transpose_2d_fn *transpose_2d_pick(size_t size);

struct transpose {
    size_t size;                        /* bytes an element (runs may have become elements) */
    size_t tasks;
    transpose_2d_fn *fn;                /* NULL: a copy of runs of `run` bytes */
    size_t run;
    unsigned rank;                      /* loops around the runs or the 2-D part */
    size_t dims[TRANSPOSE_RANK];        /* outermost first, in y's order */
    size_t x_stride[TRANSPOSE_RANK], y_stride[TRANSPOSE_RANK];   /* bytes */
    size_t rows, cols, x_row, y_row;    /* the 2-D part, strides in elements */
    size_t row_block, col_block, blocks;/* its tiles a task, and the number of them */
    size_t outer, per_task;             /* loops in all; runs or whole 2-D parts a task */
};

/* y's dim d is x's dim perm[d]. False if rank is above TRANSPOSE_RANK, perm is no permutation, a
 * dim is negative, the size is none of the five, or sizes overflow. */
bool transpose_init(struct transpose *t, unsigned rank, const int64_t *dims, const int64_t *perm,
                    size_t size);

void transpose_run(const struct transpose *t, const void *x, void *y, size_t from, size_t to);
