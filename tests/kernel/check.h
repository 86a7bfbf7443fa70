/* SPDX-License-Identifier: Apache-2.0 */
/* The harness of the kernel tests: one program a family, which checks every row of the family's
 * table at every CPU level usable here, and with --bench measures it.
 *
 * A program's main() calls check_init(), walks the levels with check_level_next(), reports what it
 * finds through CHECK() and returns check_done(). Options: --seed N, --level NAME (this level
 * only), --bench, and --filter TEXT (bench lines whose name contains it). One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints the seed; exits with 2 on a wrong option. `family` stands in every message. */
void check_init(const char *family, int argc, char **argv);
/* Prints the counts; the program's exit status. */
int check_done(void);

/* Count one check; on failure print the place, the level and the message (the first 50 only).
 * Returns `ok`. */
bool check_that(bool ok, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#define CHECK(ok, ...) check_that((ok), __FILE__, __LINE__, __VA_ARGS__)

/* for (int l = -1; (l = check_level_next(l)) >= 0;): sets the mask to each usable level in turn;
 * after the last one lifts the mask and returns -1. */
int check_level_next(int level);

/* Seeded numbers: bits, an integer in [0, n), a float in [lo, hi), a whole buffer of them. */
uint64_t check_random(void);
unsigned check_random_below(unsigned n);
float check_random_float(float lo, float hi);
void check_random_fill(float *x, size_t n, float lo, float hi);

/* A buffer between two unreadable pages. slack >= 0: it ends `slack` bytes before the page behind
 * it, so slack 0 traps any access past its end and other values move its start through every
 * alignment. slack CHECK_BEGIN: it begins right after the page before it. Bytes in the pages around
 * the buffer hold a pattern that check_guard_free() verifies; contents start as the same pattern
 * (as f32, a NaN). Zero bytes are allowed: any access traps or breaks the pattern. */
enum { CHECK_BEGIN = -1 };
void *check_guard_alloc(size_t bytes, int slack);
void check_guard_free(void *p);

/* Compare with a reference: true if |got - want| <= atol + rtol * |want| for each of n elements,
 * NaN only against NaN and infinities alike; else reports the first difference with its index. */
bool check_near(const float *got, const double *want, size_t n, double rtol, double atol,
                const char *what);
/* Bit for bit. */
bool check_same(const void *got, const void *want, size_t bytes, const char *what);

/* --bench. check_bench(name) says whether this line is wanted; NULL asks whether any is.
 * check_time() is the least time in seconds that one call of fn(arg) took over about 0.3 s of
 * calls. check_report() prints the rate: GFLOP/s and the share of `peak` (GFLOP/s, 0 leaves the
 * share out) if flops > 0, GB/s if bytes > 0. */
bool check_bench(const char *name);
double check_time(void (*fn)(void *arg), void *arg);
void check_report(const char *name, double seconds, double flops, double bytes, double peak);
