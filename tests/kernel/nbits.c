/* SPDX-License-Identifier: Apache-2.0 */
/* Products by packed weights: every row of the table against doubles, at all tails, bits, blocks
 * and kinds of zero points, between guard pages; the same bits for rows alone and for any split. */
#include "kernels/nbits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/check.h"

struct shape {
    size_t m, n, k, block;
    unsigned bits;
    enum nbits_zero zero;
    bool codes; /* looked up */
};

/* A case: operands in guarded memory, and the answer in double. */
struct product {
    struct nbits w;
    float *a, *c, codes[16];
    void *data;
    double *want, *size; /* size: the sum of the products' magnitudes */
};

/* A column's block of random codes, put into the packed data, and as numbers into `out`. */
static void column_fill(struct product *t, const struct shape *s, size_t column, size_t b,
                        double *out)
{
    const size_t block = t->w.block, bytes = block * s->bits / 8 + 3; /* at least 7 */
    const float scale = check_random_float(-1, 1);
    const unsigned codes_count = 1u << s->bits;
    const float zero = s->zero == NBITS_ZERO_ONE     ? t->w.mid
                       : s->zero == NBITS_ZERO_BYTES ? (float)check_random_below(codes_count)
                                                     : check_random_float(0, (float)codes_count);
    uint8_t *codes = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        codes[i] = (uint8_t)check_random();
    /* Bytes past the block are left out. */
    nbits_put_codes(&t->w, column, b, 0, codes, 4, t->data);
    nbits_put_codes(&t->w, column, b, 4, codes + 4, bytes - 4, t->data);
    nbits_put_scale(&t->w, column, b, scale, zero, t->data);
    for (size_t k = b * block; k < s->k && k < (b + 1) * block; k++) {
        const size_t bit = (k - b * block) * s->bits;
        const unsigned code = codes[bit / 8] >> bit % 8 & ((1u << s->bits) - 1);
        out[k] = ((s->codes ? (double)t->codes[code] : code) - (double)zero) * (double)scale;
    }
    free(codes);
}

static void product_init(struct product *t, const struct shape *s, int slack)
{
    double *column = malloc((s->k + 1) * sizeof(double));

    memset(t, 0, sizeof *t);
    CHECK(nbits_init(&t->w, s->k, s->n, s->block, s->bits, s->zero), "a shape is refused");
    check_random_fill(t->codes, 16, -8, 8);
    t->w.codes = s->codes ? t->codes : NULL;
    t->a = check_guard_alloc(s->m * s->k * sizeof(float), slack);
    t->c = check_guard_alloc(s->m * s->n * sizeof(float), slack);
    t->data = check_guard_alloc(nbits_bytes(&t->w), 0);
    t->want = calloc(2 * s->m * s->n + 1, sizeof(double));
    t->size = t->want + s->m * s->n;
    t->w.data = t->data;
    check_random_fill(t->a, s->m * s->k, -1, 1);
    for (size_t p = 0; p < nbits_panels(&t->w); p++)
        nbits_clear(&t->w, p, t->data);
    for (size_t j = 0; j < s->n; j++) {
        for (size_t b = 0; b < nbits_blocks(&t->w); b++)
            column_fill(t, s, j, b, column);
        for (size_t i = 0; i < s->m; i++)
            for (size_t k = 0; k < s->k; k++) {
                const double x = (double)t->a[i * s->k + k] * column[k];
                t->want[i * s->n + j] += x;
                t->size[i * s->n + j] += x < 0 ? -x : x;
            }
    }
    free(column);
}

static void product_clear(struct product *t)
{
    check_guard_free(t->a);
    check_guard_free(t->c);
    check_guard_free(t->data);
    free(t->want);
}

static void one_check(struct shape s, int slack)
{
    struct product t;
    char name[96];

    product_init(&t, &s, slack);
    nbits_pick()->fn(&t.w, t.a, s.k, s.m, 0, nbits_panels(&t.w), t.c, s.n);
    snprintf(name, sizeof name, "%zux%zux%zu block %zu bits %u zero %d codes %d", s.m, s.n, s.k,
             s.block, s.bits, (int)s.zero, s.codes);
    /* Chains of at most `block` products, then one a block. */
    for (size_t i = 0; i < s.m * s.n; i++)
        if (!check_near(t.c + i, t.want + i, 1, 0,
                        1e-30 + 6e-8 * (double)(t.w.block + nbits_blocks(&t.w) + 4) * t.size[i],
                        name))
            break;
    product_clear(&t);
}

static void tails_check(void)
{
    static const size_t ks[] = {1, 2, 3, 15, 16, 17, 31, 40, 64, 100};
    unsigned turn = 0;

    for (size_t m = 1; m <= 15; m++)
        for (size_t n = 1; n <= 81; n += n % 16 == 15 || n % 16 == 0 ? 1 : 7, turn++)
            one_check((struct shape){.m = m, .n = n, .k = ks[turn % 10],
                                     .block = turn % 3 ? 16 : 32, .bits = 2u << turn % 3,
                                     .zero = turn / 3 % 3, .codes = turn % 3 == 1 && turn % 2},
                      turn % 5 ? 0 : CHECK_BEGIN);
    for (unsigned bits = 2; bits <= 8; bits *= 2)
        for (int zero = 0; zero < 3; zero++)
            for (size_t i = 0; i < 10; i++)
                for (size_t m = 1; m <= 12; m += 11)
                    one_check((struct shape){.m = m, .n = 70, .k = ks[i], .block = 16,
                                             .bits = bits, .zero = (enum nbits_zero)zero},
                              4);
    one_check((struct shape){.m = 3, .n = 33, .k = 1000, .block = 128, .bits = 4,
                             .zero = NBITS_ZERO_BYTES}, 0);
    one_check((struct shape){.m = 3, .n = 33, .k = 1000, .block = 4096, .bits = 4,
                             .codes = true}, 0);
    one_check((struct shape){.m = 0, .n = 33, .k = 10, .block = 32, .bits = 4}, 0);
    one_check((struct shape){.m = 2, .n = 20, .k = 0, .block = 32, .bits = 4}, 0);
}

static void same_bits_check(struct shape s)
{
    struct product t;
    const size_t bytes = s.m * s.n * sizeof(float);
    float *first = malloc(bytes);

    product_init(&t, &s, 0);
    const size_t panels = nbits_panels(&t.w);
    nbits_pick()->fn(&t.w, t.a, s.k, s.m, 0, panels, t.c, s.n);
    memcpy(first, t.c, bytes);
    for (size_t p = 0; p < panels; p++)
        nbits_pick()->fn(&t.w, t.a, s.k, s.m, p, p + 1, t.c + p * NBITS_PANEL, s.n);
    check_same(t.c, first, bytes, "panel by panel");
    for (size_t rows = 1; rows <= s.m; rows++) {
        memset(t.c, 0, bytes);
        for (size_t i = 0; i < s.m; i += rows)
            nbits_pick()->fn(&t.w, t.a + i * s.k, s.k, s.m - i < rows ? s.m - i : rows, 0, panels,
                             t.c + i * s.n, s.n);
        check_same(t.c, first, bytes, "rows alone");
    }
    free(first);
    product_clear(&t);
}

static void refusals_check(void)
{
    struct nbits w;
    CHECK(!nbits_init(&w, 64, 64, 32, 3, NBITS_ZERO_ONE), "3 bits");
    CHECK(!nbits_init(&w, 64, 64, 32, 0, NBITS_ZERO_ONE), "no bits");
    CHECK(!nbits_init(&w, 64, 64, 0, 4, NBITS_ZERO_ONE), "no block");
    CHECK(!nbits_init(&w, 64, 64, 12, 4, NBITS_ZERO_ONE), "a block that splits a word");
    CHECK(!nbits_init(&w, SIZE_MAX / 2, 64, 32, 4, NBITS_ZERO_ONE), "an overflow is missed");
    CHECK(!nbits_init(&w, SIZE_MAX / 64, SIZE_MAX / 64, 32, 4, NBITS_ZERO_ONE), "an overflow");
}

struct bench {
    struct product t;
    struct shape s;
};

static void bench_run(void *arg)
{
    struct bench *b = arg;
    nbits_pick()->fn(&b->t.w, b->t.a, b->s.k, b->s.m, 0, nbits_panels(&b->t.w), b->t.c, b->s.n);
}

static void bench_all(void)
{
    static const struct shape rows[] = {
        {1, 4096, 1024, 32, 4, NBITS_ZERO_BYTES, false}, {1, 4096, 1024, 32, 4, 0, false},
        {1, 4096, 1024, 32, 2, 0, false},  {1, 4096, 1024, 32, 8, 0, false},
        {2, 4096, 1024, 32, 4, 0, false},  {4, 4096, 1024, 32, 4, 0, false},
        {12, 1024, 1024, 32, 4, 0, false}, {48, 1024, 1024, 32, 4, NBITS_ZERO_BYTES, false},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bench b = {.s = rows[i]};
        char name[64];
        snprintf(name, sizeof name, "%zux%zux%zu bits %u zero %d", b.s.m, b.s.n, b.s.k, b.s.bits,
                 (int)b.s.zero);
        if (!check_bench(name))
            continue;
        product_init(&b.t, &b.s, 0);
        check_report(name, check_time(bench_run, &b),
                     2.0 * (double)b.s.m * (double)b.s.n * (double)b.s.k,
                     (double)nbits_bytes(&b.t.w), 0);
        product_clear(&b.t);
    }
}

int main(int argc, char **argv)
{
    const struct nbits_kernel *last = NULL;

    check_init("nbits", argc, argv);
    refusals_check();
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        if (nbits_pick() == last)
            continue;
        last = nbits_pick();
        tails_check();
        same_bits_check((struct shape){.m = 31, .n = 150, .k = 200, .block = 32, .bits = 4,
                                       .zero = NBITS_ZERO_BYTES});
        same_bits_check((struct shape){.m = 9, .n = 70, .k = 90, .block = 16, .bits = 8,
                                       .zero = NBITS_ZERO_FLOATS});
        same_bits_check((struct shape){.m = 7, .n = 70, .k = 90, .block = 16, .bits = 2});
        if (check_bench(NULL))
            bench_all();
    }
    return check_done();
}
