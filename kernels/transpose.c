/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/transpose.h"

#include <string.h>

/* Bytes of a task; the side of a block that a 2-D task prefers, and the tile of the plain C row. */
enum { TASK = 1 << 16, SIDE = 128, TILE = 16 };

/* A constant size makes memcpy() one move. */
static inline __attribute__((always_inline)) void
tiles_run(size_t size, const unsigned char *x, size_t x_row, unsigned char *y, size_t y_row,
          size_t rows, size_t cols)
{
    for (size_t c0 = 0; c0 < cols; c0 += TILE) {
        const size_t c1 = cols - c0 < TILE ? cols : c0 + TILE;
        for (size_t r0 = 0; r0 < rows; r0 += TILE) {
            const size_t r1 = rows - r0 < TILE ? rows : r0 + TILE;
            for (size_t c = c0; c < c1; c++)
                for (size_t r = r0; r < r1; r++)
                    memcpy(y + (c * y_row + r) * size, x + (r * x_row + c) * size, size);
        }
    }
}

#define SIZED(size)                                                                            \
    static void transpose_##size(const void *x, size_t x_row, void *y, size_t y_row, size_t rows, \
                                 size_t cols)                                                  \
    {                                                                                          \
        tiles_run(size, x, x_row, y, y_row, rows, cols);                                       \
    }
SIZED(1) SIZED(2) SIZED(4) SIZED(8) SIZED(16)
#undef SIZED

static const struct transpose_kernel transpose_c = {
    .name = "c",
    .level = CPU_C,
    .fn = {transpose_1, transpose_2, transpose_4, transpose_8, transpose_16},
};

const struct transpose_kernel *const transpose_kernels[] = {
    &transpose_c,
#if defined(__x86_64__)
    &transpose_avx2,
    &transpose_avx512,
#elif defined(__aarch64__)
    &transpose_neon,
#endif
};
const unsigned transpose_kernel_count = sizeof(transpose_kernels) / sizeof(*transpose_kernels);

static int log2_of(size_t size)
{
    for (int i = 0; i < 5; i++)
        if (size == (size_t)1 << i)
            return i;
    return -1;
}

transpose_2d_fn *transpose_2d_pick(size_t size)
{
    const int at = log2_of(size);

    for (unsigned i = transpose_kernel_count; i-- > 1;)
        if (cpu_has(transpose_kernels[i]->level) && transpose_kernels[i]->fn[at])
            return transpose_kernels[i]->fn[at];
    return transpose_c.fn[at];
}

static size_t ceil_div(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The dims in y's order, without ones, merged where they stay together: extents and strides in x,
 * in elements. */
struct dims {
    unsigned rank;
    size_t extent[TRANSPOSE_RANK], stride[TRANSPOSE_RANK];
};

static bool dims_read(struct dims *m, unsigned rank, const int64_t *dims, const int64_t *perm,
                      size_t size, size_t *count)
{
    size_t stride[TRANSPOSE_RANK];
    bool seen[TRANSPOSE_RANK] = {false}, empty = false;

    *count = 1;
    m->rank = 0;
    for (unsigned d = 0; d < rank; d++) {
        if (dims[d] < 0 || perm[d] < 0 || perm[d] >= (int64_t)rank || seen[perm[d]])
            return false;
        seen[perm[d]] = true;
        empty = empty || dims[d] == 0;
    }
    if (empty) {
        *count = 0;
        return true;
    }
    for (unsigned d = rank; d-- > 0;) {
        stride[d] = *count;
        if ((uint64_t)dims[d] > PTRDIFF_MAX / size / *count)
            return false;
        *count *= (size_t)dims[d];
    }
    for (unsigned d = 0; d < rank; d++) {
        const size_t extent = (size_t)dims[perm[d]], step = stride[perm[d]];
        if (extent == 1)
            continue;
        if (m->rank > 0 && m->stride[m->rank - 1] == extent * step) {
            m->extent[m->rank - 1] *= extent;
        } else {
            m->extent[m->rank] = extent;
            m->rank++;
        }
        m->stride[m->rank - 1] = step;
    }
    return true;
}

/* The loops are all dims but the innermost and, if there is one, `skip`. */
static void loops_set(struct transpose *t, const struct dims *m, unsigned skip)
{
    size_t y_stride = t->size * m->extent[m->rank - 1];

    t->outer = 1;
    for (unsigned d = m->rank - 1, to = m->rank - 1 - (skip < m->rank); d-- > 0;) {
        if (d != skip) {
            to--;
            t->dims[to] = m->extent[d];
            t->x_stride[to] = m->stride[d] * t->size;
            t->y_stride[to] = y_stride;
            t->outer *= m->extent[d];
            t->rank++;
        } else {
            t->y_row = y_stride / t->size;
        }
        y_stride *= m->extent[d];
    }
}

static void runs_set(struct transpose *t, const struct dims *m)
{
    loops_set(t, m, TRANSPOSE_RANK);
    t->run = m->extent[m->rank - 1] * t->size;
    t->blocks = ceil_div(t->run, TASK);
    t->per_task = t->blocks > 1 ? 1 : TASK / t->run;
}

static void parts_set(struct transpose *t, const struct dims *m)
{
    unsigned skip = 0;
    size_t rows, cols;

    while (m->stride[skip] != 1)
        skip++;
    loops_set(t, m, skip);
    t->fn = transpose_2d_pick(t->size);
    t->rows = rows = m->extent[m->rank - 1];
    t->cols = cols = m->extent[skip];
    t->x_row = m->stride[m->rank - 1];
    if (rows <= TASK / t->size / cols) {
        t->row_block = rows;
        t->col_block = cols;
        t->per_task = TASK / (rows * cols * t->size);
    } else {
        const size_t elements = TASK / t->size;
        t->row_block = least(rows, SIDE);
        t->col_block = least(cols, elements / t->row_block / TILE * TILE);
        t->row_block = least(rows, elements / t->col_block);
        t->row_block = t->row_block < rows && t->row_block > TILE ? t->row_block / TILE * TILE
                                                                   : t->row_block;
        t->per_task = 1;
    }
    t->blocks = ceil_div(rows, t->row_block) * ceil_div(cols, t->col_block);
}

bool transpose_init(struct transpose *t, unsigned rank, const int64_t *dims, const int64_t *perm,
                    size_t size)
{
    struct dims m;
    size_t count;

    memset(t, 0, sizeof(*t));
    if (rank > TRANSPOSE_RANK || log2_of(size) < 0 ||
        !dims_read(&m, rank, dims, perm, size, &count))
        return false;
    t->size = size;
    if (count == 0)
        return true;
    if (m.rank == 0) {
        m.rank = 1;
        m.extent[0] = m.stride[0] = 1;
    }
    /* A short run is an element. */
    const size_t last = m.extent[m.rank - 1];
    if (m.rank > 1 && m.stride[m.rank - 1] == 1 && last <= 16 && log2_of(last * size) >= 0) {
        t->size = last * size;
        m.rank--;
        for (unsigned d = 0; d < m.rank; d++)
            m.stride[d] /= last;
    }
    if (m.stride[m.rank - 1] == 1)
        runs_set(t, &m);
    else
        parts_set(t, &m);
    t->tasks = t->blocks > 1 ? t->outer * t->blocks : ceil_div(t->outer, t->per_task);
    return true;
}

/* Where loop `index` of t->outer is in x and y, in bytes. */
static void loop_place(const struct transpose *t, size_t index, size_t *x, size_t *y)
{
    *x = *y = 0;
    for (unsigned d = t->rank; d-- > 0;) {
        const size_t at = index % t->dims[d];
        index /= t->dims[d];
        *x += at * t->x_stride[d];
        *y += at * t->y_stride[d];
    }
}

/* Block `block` of the run or the 2-D part at x and y. */
static void block_run(const struct transpose *t, const unsigned char *x, unsigned char *y,
                      size_t block)
{
    if (!t->fn) {
        const size_t at = block * TASK;
        memcpy(y + at, x + at, t->blocks > 1 ? least(t->run - at, TASK) : t->run);
        return;
    }
    const size_t across = ceil_div(t->rows, t->row_block);
    const size_t r = block % across * t->row_block, c = block / across * t->col_block;
    t->fn(x + (r * t->x_row + c) * t->size, t->x_row, y + (c * t->y_row + r) * t->size, t->y_row,
          least(t->rows - r, t->row_block), least(t->cols - c, t->col_block));
}

/* The runs or 2-D parts of loops [from, to), stepping through the last loop dim. */
static void loops_run(const struct transpose *t, const unsigned char *x, unsigned char *y,
                      size_t from, size_t to)
{
    while (from < to) {
        const unsigned last = t->rank > 0 ? t->rank - 1 : 0;
        size_t in, out, count = t->rank > 0 ? t->dims[last] - from % t->dims[last] : 1;
        loop_place(t, from, &in, &out);
        count = least(count, to - from);
        for (size_t i = 0; i < count; i++)
            block_run(t, x + in + (t->rank > 0 ? i * t->x_stride[last] : 0),
                      y + out + (t->rank > 0 ? i * t->y_stride[last] : 0), 0);
        from += count;
    }
}

void transpose_run(const struct transpose *t, const void *x, void *y, size_t from, size_t to)
{
    for (size_t task = from; task < to; task++) {
        if (t->blocks > 1) {
            size_t in, out;
            loop_place(t, task / t->blocks, &in, &out);
            block_run(t, (const unsigned char *)x + in, (unsigned char *)y + out, task % t->blocks);
        } else {
            const size_t first = task * t->per_task;
            loops_run(t, x, y, first, least(first + t->per_task, t->outer));
        }
    }
}
