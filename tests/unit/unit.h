/* SPDX-License-Identifier: Apache-2.0 */
/* A small test harness: a table of test functions, checks that count, one line at the end.
 *
 * CHECK stays in builds with NDEBUG and may be used from any thread; a test with a failed check has
 * failed, the others still run. Arguments of the program name the tests to run (all by default).
 * Exit status 1 if any failed.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit_test {
    const char *name;
    void (*fn)(void);
};
#define TEST(fn) {#fn, fn}

static atomic_int unit_failures; /* of the test that runs */

static inline bool unit_check(bool ok, const char *text, const char *file, int line)
{
    if (!ok) {
        atomic_fetch_add(&unit_failures, 1);
        printf("%s:%d: failed: %s\n", file, line, text);
    }
    return ok;
}
#define CHECK(cond) unit_check((cond) ? true : false, #cond, __FILE__, __LINE__)

/* Say why something was left out; not a failure. */
static inline void unit_skip(const char *why)
{
    printf("skipped: %s\n", why);
}

static inline int unit_main(int argc, char **argv, const struct unit_test *tests, size_t n)
{
    int passed = 0, failed = 0;
    for (size_t i = 0; i < n; i++) {
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++)
            wanted |= strcmp(argv[k], tests[i].name) == 0;
        if (!wanted)
            continue;
        atomic_store(&unit_failures, 0);
        tests[i].fn();
        if (atomic_load(&unit_failures)) {
            printf("FAILED %s\n", tests[i].name);
            failed++;
        } else {
            passed++;
        }
        fflush(stdout);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}

#define UNIT_MAIN(tests)                                                     \
    int main(int argc, char **argv)                                          \
    {                                                                        \
        return unit_main(argc, argv, tests, sizeof(tests) / sizeof *(tests)); \
    }
