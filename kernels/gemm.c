/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm.h"

#include <string.h>

#if defined(__x86_64__)
#include "kernels/x86/gemm.h"
#elif defined(__aarch64__)
#include "kernels/arm/gemm.h"
#endif

enum { C_MR = 4, C_NR = 8 };

static float finish(const struct gemm_epilogue *e, float sum, size_t row, size_t col)
{
    float x = sum * e->alpha;
    if (e->bias)
        x += e->bias[e->bias_by_row ? row : col];
    if (e->add)
        x += e->beta * e->add[row * e->add_row + col * e->add_col];
    x = e->lo > x ? e->lo : x;
    return e->hi < x ? e->hi : x;
}

/* Four lanes of whatever vectors the base architecture has; any alignment. */
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

/* A whole tile: fixed bounds, so that the sums stay in registers. */
static void sum_whole(const struct gemm_f32_tile *t, const float *b, float sum[C_MR][C_NR])
{
    quad s[C_MR][2];

#pragma GCC unroll 4
    for (unsigned i = 0; i < C_MR; i++) {
        s[i][0] = *(const quad *)&sum[i][0];
        s[i][1] = *(const quad *)&sum[i][4];
    }
    for (size_t p = 0; p < t->k; p++) {
        const float *row = b + p * t->b_k;
        const quad left = *(const quad *)row, right = *(const quad *)(row + 4);
#pragma GCC unroll 4
        for (unsigned i = 0; i < C_MR; i++) {
            const float x = t->a[i * t->a_row + p * t->a_k];
            s[i][0] += left * x;
            s[i][1] += right * x;
        }
    }
#pragma GCC unroll 4
    for (unsigned i = 0; i < C_MR; i++) {
        *(quad *)&sum[i][0] = s[i][0];
        *(quad *)&sum[i][4] = s[i][1];
    }
}

static void gemm_f32_c(const struct gemm_f32_tile *t)
{
    for (size_t col = 0; col < t->n; col += C_NR) {
        const unsigned width = t->n - col < C_NR ? (unsigned)(t->n - col) : C_NR;
        const float *b = t->b + col / C_NR * t->b_panel;
        float sum[C_MR][C_NR] = {{0}};

        if (t->m == C_MR && width == C_NR) {
            sum_whole(t, b, sum);
        } else {
            for (size_t p = 0; p < t->k; p++)
                for (unsigned i = 0; i < t->m; i++)
                    for (unsigned j = 0; j < width; j++)
                        sum[i][j] += t->a[i * t->a_row + p * t->a_k] * b[p * t->b_k + j];
        }
        for (unsigned i = 0; i < t->m && t->accumulate; i++)
            for (unsigned j = 0; j < width; j++)
                sum[i][j] += t->c[i * t->c_row + col + j];
        for (unsigned i = 0; i < t->m; i++)
            for (unsigned j = 0; j < width; j++)
                t->c[i * t->c_row + col + j] =
                    t->epilogue ? finish(t->epilogue, sum[i][j], t->row + i, t->col + col + j)
                                : sum[i][j];
    }
}

static double peak_c(long rounds)
{
    enum { CHAINS = 32 };
    float sum[CHAINS];

    for (unsigned i = 0; i < CHAINS; i++)
        sum[i] = (float)i;
    for (long r = 0; r < rounds; r++)
        for (unsigned i = 0; i < CHAINS; i++)
            sum[i] = sum[i] * 0.5f + 0.5f;
    volatile float keep = 0;
    for (unsigned i = 0; i < CHAINS; i++)
        keep = keep + sum[i];
    return 2.0 * CHAINS * (double)rounds;
}

const struct gemm_f32_kernel gemm_f32_kernels[] = {
    {.name = "4x8", .level = CPU_C, .mr = C_MR, .nr = C_NR, .fn = gemm_f32_c, .peak = peak_c},
#if defined(__x86_64__)
    {.name = "6x16", .level = CPU_AVX2, .mr = 6, .nr = 16, .fn = gemm_f32_avx2,
     .peak = gemm_peak_avx2},
    {.name = "14x32", .level = CPU_AVX512, .mr = 14, .nr = 32, .fn = gemm_f32_avx512,
     .peak = gemm_peak_avx512},
#elif defined(__aarch64__)
    {.name = "8x12", .level = CPU_NEON, .mr = 8, .nr = 12, .fn = gemm_f32_neon,
     .peak = gemm_peak_neon},
#endif
};
const unsigned gemm_f32_kernel_count = sizeof(gemm_f32_kernels) / sizeof(gemm_f32_kernels[0]);

const struct gemm_f32_kernel *gemm_f32_pick(void)
{
    unsigned i = gemm_f32_kernel_count - 1;
    while (i > 0 && !cpu_has(gemm_f32_kernels[i].level))
        i--;
    return &gemm_f32_kernels[i];
}

static size_t divide_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t gemm_f32_panels(const struct gemm_f32_kernel *kernel, size_t n)
{
    return divide_up(n, kernel->nr);
}

bool gemm_f32_packed_b_size(const struct gemm_f32_kernel *kernel, size_t k, size_t n, size_t *size)
{
    return !__builtin_mul_overflow(gemm_f32_panels(kernel, n), (size_t)kernel->nr, size) &&
           !__builtin_mul_overflow(*size, k, size) && *size <= SIZE_MAX / sizeof(float);
}

/* Copy a K x width strip whose element [p][j] is at p * k_step + j * n_step into rows of `row`
 * floats, zeros from `width` on. Where k_step is 1 the source's lines run along K: short blocks of
 * K keep both sides in the first cache. */
static void strip_pack(const float *from, size_t k_step, size_t n_step, size_t k, size_t width,
                       size_t row, float *to)
{
    enum { BLOCK = 16 };

    for (size_t p = 0; p < k; p += BLOCK) {
        const size_t end = least(p + BLOCK, k);
        if (n_step == 1 && width % 4 == 0) {
            for (size_t q = p; q < end; q++) {
                const float *line = from + q * k_step;
                float *out = to + q * row;
                for (size_t j = 0; j < width / 8 * 8; j += 8)
                    memcpy(out + j, line + j, 8 * sizeof(float));
                if (width % 8)
                    memcpy(out + width - 4, line + width - 4, 4 * sizeof(float));
            }
        } else {
            for (size_t j = 0; j < width; j++)
                for (size_t q = p; q < end; q++)
                    to[q * row + j] = from[q * k_step + j * n_step];
        }
        if (width < row)
            for (size_t q = p; q < end; q++)
                memset(to + q * row + width, 0, (row - width) * sizeof(float));
    }
}

void gemm_f32_pack_b(const struct gemm_f32_kernel *kernel, const float *b, size_t b_k, size_t b_n,
                     size_t k, size_t n, size_t from, size_t to, float *out)
{
    const size_t nr = kernel->nr;
    for (size_t panel = from; panel < to; panel++)
        strip_pack(b + panel * nr * b_n, b_k, b_n, k, least(nr, n - panel * nr), nr,
                   out + panel * nr * k);
}

size_t gemm_f32_a_panels(const struct gemm_f32_kernel *kernel, size_t m)
{
    return divide_up(m, kernel->mr);
}

size_t gemm_f32_panel_rows(const struct gemm_f32_kernel *kernel, size_t m)
{
    return m > 0 ? divide_up(m, gemm_f32_a_panels(kernel, m)) : 1;
}

bool gemm_f32_packed_a_size(const struct gemm_f32_kernel *kernel, size_t m, size_t k, size_t *size)
{
    const size_t rows = gemm_f32_panel_rows(kernel, m);
    return !__builtin_mul_overflow(gemm_f32_a_panels(kernel, m), rows, size) &&
           !__builtin_mul_overflow(*size, k, size) && *size <= SIZE_MAX / sizeof(float);
}

void gemm_f32_pack_a(const struct gemm_f32_kernel *kernel, const float *a, size_t a_row, size_t a_k,
                     size_t m, size_t k, size_t from, size_t to, float *out)
{
    const size_t rows = gemm_f32_panel_rows(kernel, m);
    for (size_t panel = from; panel < to; panel++) {
        const size_t first = panel * rows;
        const size_t here = first < m ? least(rows, m - first) : 0;
        strip_pack(a + first * a_row, a_k, a_row, k, here, rows, out + first * k);
    }
}

/* Longer K is cut into equal blocks, whose sums are added: errors grow with the block, not with K, and a
 * block of B and the rows of A over it stay in the second cache. */
size_t gemm_f32_k_block(size_t k)
{
    enum { BLOCK = 256 };
    return k <= BLOCK ? k : divide_up(k, divide_up(k, BLOCK));
}

/* Rows of A that are taken (and copied) together, and floats between copied rows beyond K. */
enum { ROWS = 112, PAD = 16 };

const struct gemm_cut gemm_f32_cuts[GEMM_CUTS] = {
    {"auto", 1, GEMM_SQUARE, GEMM_COPY_LONG},     {"half", 0.5, GEMM_SQUARE, GEMM_COPY_LONG},
    {"double", 2, GEMM_SQUARE, GEMM_COPY_LONG},   {"fourfold", 4, GEMM_SQUARE, GEMM_COPY_LONG},
    {"wide", 1, GEMM_WIDE, GEMM_COPY_LONG},       {"tall", 1, GEMM_TALL, GEMM_COPY_LONG},
    {"uncopied", 1, GEMM_SQUARE, GEMM_COPY_NEVER}, {"copied", 1, GEMM_SQUARE, GEMM_COPY_ALWAYS},
};

/* Rows and columns of a task. A product of few rows is the reading of B: about a megabyte a task, whole
 * runs of the panels that the kernels take at once. Any other one is cut into nearly square blocks,
 * of as many operations as give some hundred tasks, within bounds: a task stays below a
 * millisecond. */
static void block_size(const struct gemm_f32_kernel *kernel, size_t m, size_t n, size_t k,
                       const struct gemm_cut *cut, double *rows, double *cols)
{
    const double r = (double)gemm_f32_panel_rows(kernel, m), nr = kernel->nr;
    const double scale = (kernel->level == CPU_C ? 0.1 : 1) * cut->work;
    double target = 2.0 * (double)m * (double)n * (double)(k + 1) / 128 * cut->work;

    target = target < 3e6 * scale ? 3e6 * scale : target > 3e7 * scale ? 3e7 * scale : target;
    if (m <= 8) {
        *rows = (double)m;
        *cols = ceil(262144.0 * cut->work / (double)(k + 1) / (4 * nr)) * (4 * nr);
        return;
    }
    const double area = target / (2.0 * (double)(k + 1));
    const double side = cut->form == GEMM_WIDE ? 0 : cut->form == GEMM_TALL ? area / nr : sqrt(area);
    *rows = fmin(ceil(fmax(side, area / (double)n) / r) * r, (double)m);
    *cols = ceil(area / *rows / nr) * nr;
}

struct gemm_tasks gemm_f32_cut(const struct gemm_f32_kernel *kernel, size_t m, size_t n, size_t k,
                               unsigned cut)
{
    const size_t r = gemm_f32_panel_rows(kernel, m), nr = kernel->nr;
    double rows, cols;

    if (m == 0 || n == 0)
        return (struct gemm_tasks){.m_block = 1, .n_block = 1};
    block_size(kernel, m, n, k, &gemm_f32_cuts[cut], &rows, &cols);
    struct gemm_tasks tasks = {
        .m_block = rows < (double)m ? (size_t)rows : m,
        .n_block = cols < (double)n ? (size_t)cols : n,
        .copy_b = gemm_f32_cuts[cut].copy_b,
    };
    tasks.m_count = divide_up(m, tasks.m_block);
    tasks.n_count = divide_up(n, tasks.n_block);
    /* The same number of tasks, of sizes more alike. */
    tasks.m_block = divide_up(divide_up(m, tasks.m_count), r) * r;
    tasks.n_block = divide_up(divide_up(n, tasks.n_count), nr) * nr;
    tasks.m_count = divide_up(m, tasks.m_block);
    tasks.n_count = divide_up(n, tasks.n_block);
    return tasks;
}

struct gemm_tasks gemm_f32_tasks(const struct gemm_f32_kernel *kernel, size_t m, size_t n, size_t k)
{
    return gemm_f32_cut(kernel, m, n, k, 0);
}

/* Does this task copy the panels of a plain B? They lie in rows far apart: it pays where enough tiles
 * read the copy. */
static bool copies_b(int copy_b, size_t rows, size_t r)
{
    return (copy_b == GEMM_COPY_ALWAYS && rows > r) || (copy_b == GEMM_COPY_LONG && rows > 8 * r);
}

unsigned gemm_f32_cuts_worth(const struct gemm_f32_kernel *kernel, size_t m, size_t n, size_t k,
                             bool b_packed)
{
    const size_t r = gemm_f32_panel_rows(kernel, m);
    struct gemm_tasks t[GEMM_CUTS];
    unsigned worth = 0;

    for (unsigned i = 0; i < GEMM_CUTS; i++) {
        bool same = false;
        t[i] = gemm_f32_cut(kernel, m, n, k, i);
        for (unsigned j = 0; j < i && !same; j++)
            same = t[i].m_block == t[j].m_block && t[i].n_block == t[j].n_block &&
                   (b_packed || copies_b(t[i].copy_b, least(t[i].m_block, ROWS), r) ==
                                    copies_b(t[j].copy_b, least(t[j].m_block, ROWS), r));
        worth |= same ? 0 : 1u << i;
    }
    return worth;
}

size_t gemm_f32_scratch(const struct gemm_f32_kernel *kernel, size_t k)
{
    const size_t block = gemm_f32_k_block(k);
    return block * kernel->nr + (size_t)ROWS * (block + PAD);
}

static bool copy_pays_a(const struct gemm_f32 *g, size_t k, size_t rows, size_t cols)
{
    /* Rows a multiple of 2 KiB apart fall into the same few sets of the first cache. */
    const size_t conflict = 512;
    return !g->a_packed && g->a_k == 1 && g->a_row % conflict == 0 && k > 1 && rows > 4 &&
           cols > g->kernel->nr;
}

/* One block of K over up to ROWS rows [i0, i1) and the columns [j0, j1). */
static void block_run(const struct gemm_f32 *g, struct gemm_f32_tile t, int copy_rule, size_t p,
                      size_t i0, size_t i1, size_t j0, size_t j1, float *scratch)
{
    const size_t r = gemm_f32_panel_rows(g->kernel, g->m), nr = g->kernel->nr;
    const bool copy_b = !g->b_packed && copies_b(copy_rule, i1 - i0, r);
    /* One tile of rows reads each panel once: the kernel may as well take them several at once. */
    const size_t step = i1 - i0 <= r ? j1 - j0 : nr;
    const float *a = g->a + (g->a_packed ? i0 * g->k : i0 * g->a_row) + p * t.a_k;
    size_t tile_step = g->a_packed ? r * g->k : r * g->a_row;

    if (copy_pays_a(g, t.k, i1 - i0, j1 - j0)) {
        float *copy = scratch + gemm_f32_k_block(g->k) * nr;
        t.a_row = t.k + PAD;
        tile_step = r * t.a_row;
        for (size_t i = i0; i < i1; i++)
            memcpy(copy + (i - i0) * t.a_row, a + (i - i0) * g->a_row, t.k * sizeof(float));
        a = copy;
    }
    for (size_t j = j0; j < j1; j += step) {
        t.n = least(step, j1 - j);
        t.col = j;
        t.b = g->b + j / nr * t.b_panel + p * t.b_k;
        struct gemm_f32_tile u = t;
        if (copy_b) {
            strip_pack(t.b, t.b_k, 1, t.k, t.n, nr, scratch);
            u.b = scratch;
            u.b_k = nr;
        }
        for (size_t i = i0; i < i1; i += r) {
            u.a = a + (i - i0) / r * tile_step;
            u.c = g->c + i * g->c_row + j;
            u.m = (unsigned)least(r, i1 - i);
            u.row = i;
            g->kernel->fn(&u);
        }
    }
}

void gemm_f32_run(const struct gemm_f32 *g, const struct gemm_tasks *tasks, size_t m_index,
                  size_t n_index, float *scratch)
{
    const size_t r = gemm_f32_panel_rows(g->kernel, g->m), nr = g->kernel->nr;
    const size_t rows = ROWS / r * r;
    const size_t i0 = m_index * tasks->m_block, i1 = least(i0 + tasks->m_block, g->m);
    const size_t j0 = n_index * tasks->n_block, j1 = least(j0 + tasks->n_block, g->n);
    const size_t block = gemm_f32_k_block(g->k);
    /* Few rows read each panel once: all of it before the next ones. */
    const size_t width = i1 - i0 <= r ? 4 * nr : j1 - j0;
    struct gemm_f32_tile t = {
        .a_row = g->a_packed ? 1 : g->a_row,
        .a_k = g->a_packed ? r : g->a_k,
        .b_k = g->b_packed ? nr : g->b_k,
        .b_panel = g->b_packed ? nr * g->k : nr,
        .c_row = g->c_row,
    };

    for (size_t j = j0; j < j1; j += width) {
        size_t p = 0;
        do {
            t.k = least(block, g->k - p);
            t.accumulate = p > 0;
            t.epilogue = p + t.k == g->k ? &g->epilogue : NULL;
            for (size_t i = i0; i < i1; i += rows)
                block_run(g, t, tasks->copy_b, p, i, least(i + rows, i1), j, least(j + width, j1),
                          scratch);
            p += t.k;
        } while (p < g->k);
    }
}
