/* SPDX-License-Identifier: Apache-2.0 */
#include "core/knobs.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static void order(void)
{
    unsetenv("INFER_THREADS");
    CHECK(strcmp(knob_get(KNOB_THREADS), "0") == 0);
    setenv("INFER_THREADS", "3", 1);
    CHECK(strcmp(knob_get(KNOB_THREADS), "3") == 0);
    knob_set(KNOB_THREADS, "5");
    CHECK(strcmp(knob_get(KNOB_THREADS), "5") == 0);
    knob_set(KNOB_THREADS, NULL);
    setenv("INFER_THREADS", "", 1);
    CHECK(strcmp(knob_get(KNOB_THREADS), "0") == 0);
    unsetenv("INFER_THREADS");
    CHECK(strcmp(knob_row(KNOB_MEMORY)->name, "memory") == 0);
}

static void whole_numbers(void)
{
    static const char *const bad[] = {"",   "x", "3x", "-1", " 3", "101", "99999999999999999999",
                                      "1.5"};
    int64_t v;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        knob_set(KNOB_THREADS, bad[i]);
        CHECK(knob_int(KNOB_THREADS, 0, 100, &v, &e) == ERR_USAGE);
        CHECK(strstr(e.msg, "--threads") && strstr(e.msg, "0 to 100"));
    }
    knob_set(KNOB_THREADS, "100");
    CHECK(knob_int(KNOB_THREADS, 0, 100, &v, NULL) == 0 && v == 100);
    knob_set(KNOB_THREADS, NULL);
}

static void bytes(void)
{
    static const struct {
        const char *text;
        uint64_t want;
    } good[] = {{"0", 0}, {"12", 12}, {"4K", 4096}, {"3m", 3 << 20}, {"16G", (uint64_t)16 << 30}};
    static const char *const bad[] = {
        "", "K", "4KB", "-4", "1T", "99999999999G", "99999999999999999999"};
    uint64_t v;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        knob_set(KNOB_MEMORY, good[i].text);
        CHECK(knob_bytes(KNOB_MEMORY, &v, NULL) == 0 && v == good[i].want);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        knob_set(KNOB_MEMORY, bad[i]);
        CHECK(knob_bytes(KNOB_MEMORY, &v, NULL) == ERR_USAGE);
    }
    knob_set(KNOB_MEMORY, NULL);
}

static const struct unit_test tests[] = {TEST(order), TEST(whole_numbers), TEST(bytes)};
UNIT_MAIN(tests)
