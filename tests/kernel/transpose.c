/* SPDX-License-Identifier: Apache-2.0 */
/* Permutations of random shapes against a walk by coordinates, tasks in any order; the 2-D rows at
 * all sizes around their tiles, between guard pages. */
#include "kernels/transpose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/check.h"

static void fill(unsigned char *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (unsigned char)check_random();
}

static void test_shape(unsigned rank, const int64_t *dims, const int64_t *perm, size_t size)
{
    struct transpose t;
    size_t count = 1, stride[TRANSPOSE_RANK];

    for (unsigned d = rank; d-- > 0;) {
        stride[d] = count;
        count *= (size_t)dims[d];
    }
    const int slack = (int)check_random_below(18) - 1;
    unsigned char *x = check_guard_alloc(count * size, slack);
    unsigned char *y = check_guard_alloc(count * size, slack);
    unsigned char *want = malloc(count * size + 1);

    fill(x, count * size);
    for (size_t k = 0; k < count; k++) {
        size_t rest = k, from = 0;
        for (unsigned d = rank; d-- > 0;) {
            from += rest % (size_t)dims[perm[d]] * stride[perm[d]];
            rest /= (size_t)dims[perm[d]];
        }
        memcpy(want + k * size, x + from * size, size);
    }
    if (CHECK(transpose_init(&t, rank, dims, perm, size), "transpose_init")) {
        const size_t cut = check_random_below((unsigned)t.tasks + 1);
        CHECK((t.tasks == 0) == (count == 0), "%zu tasks", t.tasks);
        transpose_run(&t, x, y, cut, t.tasks);
        transpose_run(&t, x, y, 0, cut);
        check_same(y, want, count * size, "transpose");
    }
    free(want);
    check_guard_free(x);
    check_guard_free(y);
}

static void test_random(void)
{
    int64_t dims[TRANSPOSE_RANK], perm[TRANSPOSE_RANK];
    const unsigned rank = check_random_below(check_random_below(5) ? 6 : TRANSPOSE_RANK + 1);
    const size_t size = (size_t)1 << check_random_below(5);
    size_t count = 1;

    for (unsigned d = 0; d < rank; d++) {
        dims[d] =
            check_random_below(60) ? 1 + check_random_below(check_random_below(3) ? 5 : 300) : 0;
        if (count * (size_t)dims[d] > 100000)
            dims[d] = 1;
        count *= (size_t)dims[d];
        perm[d] = d;
    }
    for (unsigned d = rank; d-- > 1;) {
        const unsigned with = check_random_below(d + 1);
        const int64_t swap = perm[d];
        perm[d] = perm[with];
        perm[with] = swap;
    }
    test_shape(rank, dims, perm, size);
}

static void test_2d(size_t size)
{
    for (int64_t rows = 1; rows < 36; rows++) {
        const int64_t dims[] = {rows, 1 + check_random_below(40)}, perm[] = {1, 0};
        test_shape(2, dims, perm, size);
    }
    const int64_t wide[] = {3, 40000}, tall[] = {40000, 3}, big[] = {300, 401}, perm[] = {1, 0};
    const int64_t same[] = {0, 1}, heads[] = {40, 12, 64}, heads_perm[] = {1, 0, 2};
    test_shape(2, wide, perm, size);
    test_shape(2, tall, perm, size);
    test_shape(2, big, perm, size);
    test_shape(2, big, same, size);
    test_shape(3, heads, heads_perm, size);
}

static void test_refused(void)
{
    const int64_t dims[] = {2, 3}, twice[] = {0, 0}, out[] = {0, 2}, minus[] = {-1, 0};
    const int64_t big[] = {INT64_MAX / 2, 4}, negative[] = {-1, 3}, perm[] = {1, 0};
    const int64_t empty[] = {0, INT64_MAX};
    struct transpose t;

    CHECK(!transpose_init(&t, 2, dims, twice, 4), "a dim twice");
    CHECK(!transpose_init(&t, 2, dims, out, 4), "a dim that is none");
    CHECK(!transpose_init(&t, 2, dims, minus, 4), "a negative place");
    CHECK(!transpose_init(&t, 2, negative, perm, 4), "a negative dim");
    CHECK(!transpose_init(&t, 2, big, perm, 4), "a size beyond memory");
    CHECK(!transpose_init(&t, 2, dims, perm, 3), "a size that is none");
    CHECK(!transpose_init(&t, TRANSPOSE_RANK + 1, dims, perm, 4), "a rank beyond");
    CHECK(transpose_init(&t, 2, empty, perm, 4) && t.tasks == 0, "an empty tensor");
}

struct run {
    struct transpose t;
    void *x, *y;
};

static void run(void *arg)
{
    const struct run *r = arg;
    transpose_run(&r->t, r->x, r->y, 0, r->t.tasks);
}

static void bench(unsigned rank, const int64_t *dims, const int64_t *perm, size_t size)
{
    struct run r;
    char name[64];
    size_t bytes = size;
    int at = snprintf(name, sizeof(name), "%zu bytes", size);

    for (unsigned d = 0; d < rank; d++) {
        bytes *= (size_t)dims[d];
        at += snprintf(name + at, sizeof(name) - (size_t)at, "%c%d", d ? 'x' : ' ', (int)dims[d]);
    }
    for (unsigned d = 0; d < rank; d++)
        at += snprintf(name + at, sizeof(name) - (size_t)at, "%c%d", d ? ',' : ' ', (int)perm[d]);
    if (!check_bench(name) || !transpose_init(&r.t, rank, dims, perm, size))
        return;
    r.x = aligned_alloc(64, (bytes + 63) / 64 * 64);
    r.y = aligned_alloc(64, (bytes + 63) / 64 * 64);
    memset(r.x, 1, bytes);
    memset(r.y, 1, bytes);
    check_report(name, check_time(run, &r), 0, 2.0 * (double)bytes, 0);
    free(r.x);
    free(r.y);
}

int main(int argc, char **argv)
{
    static const int64_t swap[] = {1, 0}, plain[] = {0, 1}, heads[] = {0, 2, 1, 3};
    static const int64_t last[] = {0, 2, 3, 1}, middle[] = {0, 2, 1};

    check_init("transpose", argc, argv);
    test_refused();
    for (int l = -1; (l = check_level_next(l)) >= 0;) {
        for (int i = 0; i < 300; i++)
            test_random();
        for (size_t size = 1; size <= 16; size *= 2) {
            test_2d(size);
            bench(2, (const int64_t[]){768, 768}, swap, size);
        }
        bench(2, (const int64_t[]){1024, 1024}, swap, 4);
        bench(2, (const int64_t[]){1000, 1000}, plain, 4);
        bench(4, (const int64_t[]){1, 128, 12, 64}, heads, 4);
        bench(4, (const int64_t[]){1, 3, 224, 224}, last, 4);
        bench(3, (const int64_t[]){1, 50176, 3}, middle, 4);
        bench(4, (const int64_t[]){1, 64, 56, 56}, last, 4);
        bench(4, (const int64_t[]){64, 64, 32, 2}, heads, 4);
    }
    return check_done();
}
