/* SPDX-License-Identifier: Apache-2.0 */
/* C = clip(alpha * (A x B) + bias + beta * add): products of matrices.
 *
 * What is computed. K is cut into equal blocks of at most 256 (gemm_f32_k_block). Within a block every
 * element of C is one chain of fused multiply-adds over k, from zero, in order (row 0, plain C, rounds the
 * products as well); the blocks' sums are added in order. That is so at every level, whatever the tile, the
 * task, the panel or the packing that it falls into: vector lanes run along N only. So a row alone equals
 * the same row in any batch, bit for bit. Then, each step rounded once: times alpha, plus bias, plus beta *
 * add (fused as the chain is), max with lo, min with hi; NaN stays NaN through the clip. K = 0 gives zeros
 * before the epilogue; M = 0 or N = 0 touches nothing.
 *
 * Memory. No alignment is required beyond that of float. Nothing outside of the stated rows and columns is
 * read or written, except that packed buffers have the stated size. C overlaps no input. Scratch and packed
 * buffers are the caller's; 64-byte alignment makes them faster.
 *
 * Who calls. Operators make struct gemm_f32 once a run, ask for tasks, and run each task on any
 * thread with a scratch of its own. All functions are pure but for their outputs; any thread.
 */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

/* The last step. bias: NULL, or one value a column (by_row false) or a row (by_row true) of C. add:
 * NULL, or add[i * add_row + j * add_col] with add_col 0 or 1, so that 0 strides broadcast a row, a
 * column or a scalar. lo, hi: -INFINITY and INFINITY do nothing; 0 and INFINITY are Relu. */
struct gemm_epilogue {
    const float *bias, *add;
    size_t add_row, add_col;
    float alpha, beta, lo, hi;
    bool bias_by_row;
};
#define GEMM_EPILOGUE_NONE \
    ((struct gemm_epilogue){.alpha = 1, .beta = 1, .lo = -INFINITY, .hi = INFINITY})

/* One call of a micro-kernel: m rows (1 <= m <= mr) times any n columns.
 *   A[i][p] = a[i * a_row + p * a_k]
 *   B lies in panels of nr columns: B[p][j] = b[j / nr * b_panel + p * b_k + j % nr]; the last
 *   panel may be narrower: columns from n on are neither read nor written
 *   C[i][j] = c[i * c_row + j]
 * accumulate: the sums are added to what C holds. epilogue: NULL stores the bare sums;
 * row and col are the tile's place in the epilogue's vectors. k may be 0. */
struct gemm_f32_tile {
    const float *a, *b;
    float *c;
    size_t a_row, a_k, b_k, b_panel, c_row;
    size_t k, n;
    unsigned m;
    bool accumulate;
    const struct gemm_epilogue *epilogue;
    size_t row, col;
};
typedef void gemm_f32_fn(const struct gemm_f32_tile *tile);

/* A row of the table. peak runs `rounds` rounds of independent multiply-adds from registers and
 * returns the number of floating-point operations, to measure what this processor could do at this
 * level. */
struct gemm_f32_kernel {
    const char *name;
    enum cpu_level level;
    unsigned mr, nr;
    gemm_f32_fn *fn;
    double (*peak)(long rounds);
};
extern const struct gemm_f32_kernel gemm_f32_kernels[];
extern const unsigned gemm_f32_kernel_count;

/* The best usable row. */
const struct gemm_f32_kernel *gemm_f32_pick(void);

/* Packed B: ceil(N / nr) panels of K x nr, the last one padded with zeros. B[p][j] is read from
 * b[p * b_k + j * b_n], so that a transposed B (N x K) has b_k = 1 and b_n = its row stride.
 * gemm_f32_pack_b() packs the panels [from, to) of `out`; different ranges may run on different
 * threads. Sizes are in floats; false if they overflow. */
size_t gemm_f32_panels(const struct gemm_f32_kernel *kernel, size_t n);
bool gemm_f32_packed_b_size(const struct gemm_f32_kernel *kernel, size_t k, size_t n, size_t *size);
void gemm_f32_pack_b(const struct gemm_f32_kernel *kernel, const float *b, size_t b_k, size_t b_n,
                     size_t k, size_t n, size_t from, size_t to, float *out);

/* Packed A: panels of r rows, K x r each, where r = gemm_f32_panel_rows(kernel, m) divides M evenly
 * into as few panels as mr allows; the last one is padded with zeros. A[i][p] = a[i * a_row + p *
 * a_k]. Panels [from, to) as above; there are gemm_f32_a_panels(). */
size_t gemm_f32_panel_rows(const struct gemm_f32_kernel *kernel, size_t m);
size_t gemm_f32_a_panels(const struct gemm_f32_kernel *kernel, size_t m);
bool gemm_f32_packed_a_size(const struct gemm_f32_kernel *kernel, size_t m, size_t k, size_t *size);
void gemm_f32_pack_a(const struct gemm_f32_kernel *kernel, const float *a, size_t a_row, size_t a_k,
                     size_t m, size_t k, size_t from, size_t to, float *out);

/* A whole product. a_packed, b_packed: the operand has the layout above, and its strides are not
 * read. A plain B is read in place with row stride b_k (its columns are adjacent); a transposed B
 * must be packed. */
struct gemm_f32 {
    const struct gemm_f32_kernel *kernel;
    size_t m, n, k;
    const float *a, *b;
    float *c;
    size_t a_row, a_k, b_k, c_row;
    bool a_packed, b_packed;
    struct gemm_epilogue epilogue;
};

/* The grid of tasks: blocks of m_block x n_block of C, m_count x n_count of them, each of about 0.1
 * to 1 ms and within the second-level cache, and whether panels of a plain B are copied together
 * before tiles read them. Follows from the kernel, the shape and the cut alone; no bit of C depends on
 * it. */
struct gemm_tasks {
    size_t m_block, n_block, m_count, n_count;
    enum { GEMM_COPY_LONG, GEMM_COPY_NEVER, GEMM_COPY_ALWAYS } copy_b;
};

/* Ways to cut. Row 0 is for where nothing was measured: nearly square blocks, a copy of B where many
 * rows read it. `work` scales the operations a task; wide blocks are few rows of many
 * columns, tall ones the other way round. */
struct gemm_cut {
    const char *name;
    double work;
    enum { GEMM_SQUARE, GEMM_WIDE, GEMM_TALL } form;
    int copy_b;
};
enum { GEMM_CUTS = 8 };
extern const struct gemm_cut gemm_f32_cuts[GEMM_CUTS];

/* The grid of cut `cut` < GEMM_CUTS; and of cut 0. */
struct gemm_tasks gemm_f32_cut(const struct gemm_f32_kernel *kernel, size_t m, size_t n, size_t k,
                               unsigned cut);
struct gemm_tasks gemm_f32_tasks(const struct gemm_f32_kernel *kernel, size_t m, size_t n,
                                 size_t k);
/* The cuts (a bit each) whose tasks differ from those of all cuts before them. */
unsigned gemm_f32_cuts_worth(const struct gemm_f32_kernel *kernel, size_t m, size_t n, size_t k,
                             bool b_packed);

/* The K of one chain: long K is cut by this rule, which follows from K alone. */
size_t gemm_f32_k_block(size_t k);

/* Floats of scratch that one task needs, at most, for this K: the same for every M and N. */
size_t gemm_f32_scratch(const struct gemm_f32_kernel *kernel, size_t k);

/* Compute block (m_index, n_index) of the grid. scratch: gemm_f32_scratch() floats, one a
 * thread. */
void gemm_f32_run(const struct gemm_f32 *g, const struct gemm_tasks *tasks, size_t m_index,
                  size_t n_index, float *scratch);

/* Plain products of the other types that MatMul and Gemm allow, with general strides: C[i][j] is
 * the sum over p of a[i * a_row + p * a_k] * b[p * b_k + j * b_n], in order of p from zero.
 * Integers wrap, so the unsigned functions serve the signed types. Rows can be split among tasks by
 * the caller. */
void gemm_f64(size_t m, size_t n, size_t k, const double *a, size_t a_row, size_t a_k,
              const double *b, size_t b_k, size_t b_n, double *c, size_t c_row);
void gemm_u32(size_t m, size_t n, size_t k, const uint32_t *a, size_t a_row, size_t a_k,
              const uint32_t *b, size_t b_k, size_t b_n, uint32_t *c, size_t c_row);
void gemm_u64(size_t m, size_t n, size_t k, const uint64_t *a, size_t a_row, size_t a_k,
              const uint64_t *b, size_t b_k, size_t b_n, uint64_t *c, size_t c_row);
