/* SPDX-License-Identifier: Apache-2.0 */
/* Products: every row of the table against doubles, at all tails, between guard pages; the same
 * bits for a row alone, for packed and plain operands, for one task and many. */
#include "kernels/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/check.h"

/* How a case lays out its operands. */
struct layout {
    bool a_packed, a_transposed, b_packed;
    int slack;
};

/* A case: dims, and operands in guarded memory, each the only thing between its pages. */
struct product {
    struct gemm_f32 g;
    float *a, *b, *c, *bias, *add, *packed_a, *packed_b, *scratch;
    double *want;
    size_t m, n, k;
    bool transposed;
};

static float *guarded(size_t n, int slack)
{
    float *x = check_guard_alloc(n * sizeof(float), slack);
    check_random_fill(x, n, -1, 1);
    return x;
}

static void product_init(struct product *t, size_t m, size_t n, size_t k, struct layout l)
{
    const struct gemm_f32_kernel *kernel = gemm_f32_pick();
    const size_t lda = l.a_transposed ? m : k;
    size_t size;

    *t = (struct product){.m = m, .n = n, .k = k, .transposed = l.a_transposed};
    t->a = guarded(m * k, l.slack);
    t->b = guarded(k * n, l.slack);
    t->c = check_guard_alloc(m * n * sizeof(float), l.slack);
    t->scratch = check_guard_alloc(gemm_f32_scratch(kernel, k) * sizeof(float), 0);
    t->g = (struct gemm_f32){
        .kernel = kernel, .m = m, .n = n, .k = k, .a = t->a, .b = t->b, .c = t->c,
        .a_row = l.a_transposed ? 1 : lda, .a_k = l.a_transposed ? lda : 1, .b_k = n, .c_row = n,
        .a_packed = l.a_packed, .b_packed = l.b_packed, .epilogue = GEMM_EPILOGUE_NONE,
    };
    if (l.a_packed && gemm_f32_packed_a_size(kernel, m, k, &size)) {
        t->packed_a = check_guard_alloc(size * sizeof(float), l.slack);
        gemm_f32_pack_a(kernel, t->a, t->g.a_row, t->g.a_k, m, k, 0, gemm_f32_a_panels(kernel, m),
                        t->packed_a);
        t->g.a = t->packed_a;
    }
    if (l.b_packed && gemm_f32_packed_b_size(kernel, k, n, &size)) {
        const size_t panels = gemm_f32_panels(kernel, n), half = panels / 2;
        t->packed_b = check_guard_alloc(size * sizeof(float), l.slack);
        gemm_f32_pack_b(kernel, t->b, n, 1, k, n, half, panels, t->packed_b);
        gemm_f32_pack_b(kernel, t->b, n, 1, k, n, 0, half, t->packed_b);
        t->g.b = t->packed_b;
    }
}

static void product_clear(struct product *t)
{
    check_guard_free(t->a);
    check_guard_free(t->b);
    check_guard_free(t->c);
    check_guard_free(t->bias);
    check_guard_free(t->add);
    check_guard_free(t->packed_a);
    check_guard_free(t->packed_b);
    check_guard_free(t->scratch);
    free(t->want);
}

static void product_run(struct product *t, struct gemm_tasks tasks)
{
    for (size_t i = 0; i < tasks.m_count; i++)
        for (size_t j = 0; j < tasks.n_count; j++)
            gemm_f32_run(&t->g, &tasks, i, j, t->scratch);
}

static double clip(double x, double lo, double hi)
{
    x = lo > x ? lo : x;
    return hi < x ? hi : x;
}

/* Sums of K products of numbers below 1 are off by at most K roundings of sums below K: the bound
 * uses K itself, which random signs undercut by far. */
static void product_check(struct product *t, const char *what)
{
    const struct gemm_epilogue *e = &t->g.epilogue;
    char name[128];

    t->want = malloc((t->m * t->n + 1) * sizeof(double));
    for (size_t i = 0; i < t->m; i++) {
        for (size_t j = 0; j < t->n; j++) {
            double sum = 0;
            for (size_t p = 0; p < t->k; p++) {
                const size_t at = t->transposed ? p * t->m + i : i * t->k + p;
                sum += (double)t->a[at] * t->b[p * t->n + j];
            }
            sum *= e->alpha;
            if (e->bias)
                sum += e->bias[e->bias_by_row ? i : j];
            if (t->add)
                sum += (double)e->beta * t->add[i * e->add_row + j * e->add_col];
            t->want[i * t->n + j] = clip(sum, e->lo, e->hi);
        }
    }
    snprintf(name, sizeof(name), "%s %zux%zux%zu", what, t->m, t->n, t->k);
    check_near(t->c, t->want, t->m * t->n, 1e-6, 1e-6 + 1.2e-7 * (double)t->k, name);
}

static void one_check(size_t m, size_t n, size_t k, struct layout l, const char *what)
{
    struct product t;
    product_init(&t, m, n, k, l);
    product_run(&t, gemm_f32_tasks(t.g.kernel, m, n, k));
    product_check(&t, what);
    product_clear(&t);
}

/* Every count of rows and columns around the tile, in every layout. */
static void tails_check(void)
{
    static const size_t ks[] = {0, 1, 2, 3, 17, 64};
    static const struct layout layouts[] = {
        {.slack = 0},
        {.slack = CHECK_BEGIN},
        {.slack = 4, .a_transposed = true},
        {.slack = 0, .b_packed = true},
        {.slack = 12, .a_packed = true},
        {.slack = 0, .a_packed = true, .b_packed = true},
        {.slack = 0, .a_packed = true, .a_transposed = true},
    };
    const struct gemm_f32_kernel *kernel = gemm_f32_pick();
    unsigned turn = 0;

    for (size_t m = 1; m <= 2 * kernel->mr + 1; m++) {
        for (size_t n = 1; n <= 2 * kernel->nr + 1; n++, turn++) {
            const struct layout *l = &layouts[turn % (sizeof(layouts) / sizeof(layouts[0]))];
            one_check(m, n, ks[check_random_below(6)], *l, "tails");
        }
    }
    for (unsigned i = 0; i < 7; i++) {
        for (unsigned j = 0; j < 6; j++) {
            one_check(kernel->mr, kernel->nr, ks[j], layouts[i], "whole tile");
            one_check(1, 9 * kernel->nr - 3, ks[j], layouts[i], "one row");
            one_check(3, 5 * kernel->nr + 1, ks[j], layouts[i], "three rows");
        }
    }
    one_check(0, 5, 7, layouts[0], "no rows");
    one_check(5, 0, 7, layouts[0], "no columns");
}

/* Blocks of K, copies of A and B, many tasks. */
static void large_check(void)
{
    one_check(45, 100, 1100, (struct layout){.slack = 0}, "K in blocks");
    one_check(130, 70, 512, (struct layout){.slack = 0}, "rows in conflict");
    one_check(117, 90, 1536, (struct layout){.slack = 8}, "rows in conflict, K in blocks");
    one_check(200, 150, 40, (struct layout){.b_packed = true}, "many rows");
    one_check(230, 75, 65, (struct layout){.slack = 0}, "B copied");
    one_check(2, 700, 1030, (struct layout){.b_packed = true}, "two rows, K in blocks");
}

static void epilogue_check(void)
{
    for (unsigned turn = 0; turn < 64; turn++) {
        struct product t;
        const size_t m = 1 + check_random_below(30), n = 1 + check_random_below(70);
        const size_t k = turn % 8 == 7 ? 1100 : check_random_below(20);
        product_init(&t, m, n, k, (struct layout){.slack = 0, .b_packed = turn % 2});
        struct gemm_epilogue *e = &t.g.epilogue;
        if (turn & 1) {
            e->bias_by_row = turn & 2;
            t.bias = guarded(e->bias_by_row ? m : n, 0);
            e->bias = t.bias;
        }
        if (turn & 4) {
            e->add_row = turn & 8 ? n : 0;
            e->add_col = turn & 16 ? 1 : 0;
            t.add = guarded((m - 1) * e->add_row + (n - 1) * e->add_col + 1, 0);
            e->add = t.add;
            e->beta = 0.75f;
        }
        if (turn & 32)
            e->lo = 0;
        if (turn % 3 == 1)
            e->hi = 0.5f;
        if (turn % 5 == 1)
            e->alpha = -1.5f;
        product_run(&t, gemm_f32_tasks(t.g.kernel, m, n, k));
        product_check(&t, "epilogue");
        product_clear(&t);
    }
}

/* NaN and infinities pass through, and the clip keeps NaN. */
static void special_check(void)
{
    struct product t;
    product_init(&t, 3, 37, 5, (struct layout){.slack = 0});
    t.g.epilogue.lo = 0;
    t.g.epilogue.hi = 6;
    t.a[1 * 5 + 2] = NAN;
    t.a[2 * 5 + 4] = INFINITY;
    product_run(&t, gemm_f32_tasks(t.g.kernel, 3, 37, 5));
    bool nan_kept = true, clipped = true;
    for (size_t j = 0; j < 37; j++) {
        nan_kept = nan_kept && isnan(t.c[37 + j]);
        clipped = clipped && (t.c[74 + j] == 0 || t.c[74 + j] == 6);
    }
    CHECK(nan_kept, "NaN is lost");
    CHECK(clipped, "an infinite sum is not clipped");
    product_clear(&t);
}

/* The whole, computed as tasks from both layouts of both operands and row by row, has the same
 * bits. */
static void same_bits_check(size_t m, size_t n, size_t k)
{
    struct product t, u;
    const struct gemm_f32_kernel *kernel = gemm_f32_pick();
    const size_t r = gemm_f32_panel_rows(kernel, m), bytes = m * n * sizeof(float);

    product_init(&t, m, n, k, (struct layout){.slack = 0});
    product_run(&t, gemm_f32_tasks(kernel, m, n, k));
    float *first = malloc(bytes);
    memcpy(first, t.c, bytes);

    struct gemm_tasks whole = {.m_block = m, .n_block = n, .m_count = 1, .n_count = 1};
    product_run(&t, whole);
    check_same(t.c, first, bytes, "one task");
    struct gemm_tasks small = {.m_block = r, .n_block = kernel->nr,
                               .m_count = (m + r - 1) / r,
                               .n_count = (n + kernel->nr - 1) / kernel->nr};
    product_run(&t, small);
    check_same(t.c, first, bytes, "the smallest tasks");
    unsigned worth = gemm_f32_cuts_worth(kernel, m, n, k, false);
    CHECK(worth & 1 && worth < 1u << GEMM_CUTS, "cuts of %zu x %zu x %zu", m, n, k);
    for (unsigned cut = 0; cut < GEMM_CUTS; cut++) {
        product_run(&t, gemm_f32_cut(kernel, m, n, k, cut));
        check_same(t.c, first, bytes, gemm_f32_cuts[cut].name);
    }

    product_init(&u, m, n, k, (struct layout){.a_packed = true, .b_packed = true});
    gemm_f32_pack_a(kernel, t.a, k, 1, m, k, 0, gemm_f32_a_panels(kernel, m), u.packed_a);
    gemm_f32_pack_b(kernel, t.b, n, 1, k, n, 0, gemm_f32_panels(kernel, n), u.packed_b);
    product_run(&u, gemm_f32_tasks(kernel, m, n, k));
    check_same(u.c, first, bytes, "packed A and B");

    for (size_t rows = 1; rows <= 8 && rows <= m; rows++) {
        const size_t i = check_random_below((unsigned)(m - rows + 1));
        struct gemm_f32 g = t.g;
        struct gemm_tasks tasks = gemm_f32_tasks(kernel, rows, n, k);
        g.m = rows;
        g.a = t.a + i * k;
        g.c = t.c;
        g.b = rows % 2 ? u.packed_b : t.b;
        g.b_packed = rows % 2;
        for (size_t j = 0; j < tasks.n_count; j++)
            gemm_f32_run(&g, &tasks, 0, j, t.scratch);
        check_same(t.c, first + i * n, rows * n * sizeof(float), "rows alone");
    }
    free(first);
    product_clear(&t);
    product_clear(&u);
}

/* Packing a transposed B equals packing B. */
static void transposed_check(void)
{
    const struct gemm_f32_kernel *kernel = gemm_f32_pick();
    const size_t n = 2 * kernel->nr + 5, k = 37;
    size_t size = 0;

    CHECK(gemm_f32_packed_b_size(kernel, k, n, &size), "a size overflows");
    float *b = guarded(n * k, 0), *bt = guarded(n * k, 0);
    float *p = guarded(size, 0), *q = guarded(size, 0);
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < n; j++)
            bt[j * k + i] = b[i * n + j];
    gemm_f32_pack_b(kernel, b, n, 1, k, n, 0, gemm_f32_panels(kernel, n), p);
    gemm_f32_pack_b(kernel, bt, 1, k, k, n, 0, gemm_f32_panels(kernel, n), q);
    check_same(p, q, size * sizeof(float), "packing a transposed B");
    CHECK(!gemm_f32_packed_b_size(kernel, SIZE_MAX / 4, 100, &size), "an overflow is missed");
    CHECK(!gemm_f32_packed_a_size(kernel, SIZE_MAX, 2, &size), "an overflow is missed");
    check_guard_free(b);
    check_guard_free(bt);
    check_guard_free(p);
    check_guard_free(q);
}

/* The other types, with a B transposed by its strides. */
static void any_check(void)
{
    enum { M = 5, N = 131, K = 23 };
    double a[M * K], b[N * K], c[M * N];
    uint32_t a32[M * K], b32[N * K], c32[M * N];
    uint64_t a64[M * K], b64[N * K], c64[M * N];

    for (unsigned i = 0; i < M * K; i++) {
        a[i] = check_random_float(-1, 1);
        a32[i] = (uint32_t)(a64[i] = check_random());
    }
    for (unsigned i = 0; i < N * K; i++) {
        b[i] = check_random_float(-1, 1);
        b32[i] = (uint32_t)(b64[i] = check_random());
    }
    for (unsigned transposed = 0; transposed < 2; transposed++) {
        const size_t b_k = transposed ? 1 : N, b_n = transposed ? K : 1;
        gemm_f64(M, N, K, a, K, 1, b, b_k, b_n, c, N);
        gemm_u32(M, N, K, a32, K, 1, b32, b_k, b_n, c32, N);
        gemm_u64(M, N, K, a64, K, 1, b64, b_k, b_n, c64, N);
        for (unsigned i = 0; i < M * N; i++) {
            double sum = 0;
            uint64_t sum64 = 0;
            uint32_t sum32 = 0;
            for (unsigned p = 0; p < K; p++) {
                const size_t at_a = i / N * K + p, at_b = p * b_k + i % N * b_n;
                sum += a[at_a] * b[at_b];
                sum32 += a32[at_a] * b32[at_b];
                sum64 += a64[at_a] * b64[at_b];
            }
            if (!CHECK(c[i] == sum && c32[i] == sum32 && c64[i] == sum64, "other types: [%u]", i))
                break;
        }
    }
}

struct peak {
    const struct gemm_f32_kernel *kernel;
    double flops;
};

static void peak_run(void *arg)
{
    struct peak *p = arg;
    p->flops = p->kernel->peak(100000);
}

struct bench {
    struct gemm_f32 g;
    struct gemm_tasks tasks;
    float *scratch;
};

static void bench_run(void *arg)
{
    struct bench *b = arg;
    for (size_t i = 0; i < b->tasks.m_count; i++)
        for (size_t j = 0; j < b->tasks.n_count; j++)
            gemm_f32_run(&b->g, &b->tasks, i, j, b->scratch);
}

static float *floats(size_t n)
{
    float *x = aligned_alloc(64, (n * sizeof(float) + 64) & ~(size_t)63);
    if (!x)
        abort();
    check_random_fill(x, n, -1, 1);
    return x;
}

static void bench(size_t m, size_t n, size_t k, bool packed, double peak)
{
    const struct gemm_f32_kernel *kernel = gemm_f32_pick();
    size_t size = 0;
    char name[64];

    snprintf(name, sizeof(name), "%zux%zux%zu %s", m, n, k, packed ? "packed B" : "plain B");
    if (!check_bench(name) || !gemm_f32_packed_b_size(kernel, k, n, &size))
        return;
    struct bench b = {
        .g = {.kernel = kernel, .m = m, .n = n, .k = k, .a = floats(m * k), .b = floats(size),
              .c = floats(m * n), .a_row = k, .a_k = 1, .b_k = n, .c_row = n, .b_packed = packed,
              .epilogue = GEMM_EPILOGUE_NONE},
        .tasks = gemm_f32_tasks(kernel, m, n, k),
        .scratch = floats(gemm_f32_scratch(kernel, k)),
    };
    const double flops = 2.0 * (double)m * (double)n * (double)k;
    check_report(name, check_time(bench_run, &b), flops, m <= 8 ? 4.0 * (double)(n * k) : 0, peak);
    free((void *)b.g.a);
    free((void *)b.g.b);
    free(b.g.c);
    free(b.scratch);
}

static void bench_all(void)
{
    static const struct {
        size_t m, n, k;
        bool packed;
    } rows[] = {
        {512, 768, 768, true},     {512, 3072, 768, true},   {512, 768, 3072, true},
        {1024, 1024, 1024, true},  {512, 768, 768, false},   {512, 3072, 768, false},
        {512, 768, 3072, false},   {1024, 1024, 1024, false}, {128, 64, 128, false},
        {128, 128, 64, false},     {1, 768, 768, true},      {1, 4096, 4096, true},
        {2, 4096, 4096, true},     {4, 4096, 4096, true},    {8, 4096, 4096, true},
        {16, 768, 768, true},      {32, 768, 768, true},     {1, 4096, 4096, false},
    };
    struct peak p = {.kernel = gemm_f32_pick()};

    if (!check_bench(NULL))
        return;
    const double seconds = check_time(peak_run, &p), peak = p.flops / seconds * 1e-9;
    check_report("peak", seconds, p.flops, 0, 0);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        bench(rows[i].m, rows[i].n, rows[i].k, rows[i].packed, peak);
}

int main(int argc, char **argv)
{
    const struct gemm_f32_kernel *last = NULL;

    check_init("gemm", argc, argv);
    any_check();
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        if (gemm_f32_pick() == last)
            continue;
        last = gemm_f32_pick();
        tails_check();
        large_check();
        epilogue_check();
        special_check();
        transposed_check();
        same_bits_check(2 * last->mr + 3, 3 * last->nr + 5, 33);
        same_bits_check(9 * last->mr - 2, 5 * last->nr - 7, 100);
        same_bits_check(40, 90, 1030);
        same_bits_check(17, 70, 1024);
        same_bits_check(260, 1100, 300); /* where the cuts differ */
        bench_all();
    }
    return check_done();
}
