/* SPDX-License-Identifier: Apache-2.0 */
#include "core/err.h"

#include <stddef.h>
#include <string.h>

#include "tests/unit/unit.h"

static void first_message_wins(void)
{
    struct err e = {0};
    CHECK(err_set(&e, ERR_MODEL, "node %d", 7) == ERR_MODEL);
    CHECK(err_set(&e, ERR_INPUT, "later") == ERR_MODEL);
    CHECK(e.code == ERR_MODEL && strcmp(e.msg, "node 7") == 0);
    CHECK(err_at(&e, e.code, "model %s", "a.onnx") == ERR_MODEL);
    CHECK(strcmp(e.msg, "model a.onnx: node 7") == 0);
    err_clear(&e);
    CHECK(e.code == 0 && !e.msg[0]);
}

static void null_is_allowed(void)
{
    CHECK(err_set(NULL, ERR_LIMIT, "x") == ERR_LIMIT);
    CHECK(err_at(NULL, ERR_LIMIT, "x") == ERR_LIMIT);
    err_clear(NULL);
}

static void at_without_message(void)
{
    struct err e = {0};
    CHECK(err_at(&e, ERR_MEMORY, "here") == ERR_MEMORY && e.code == ERR_MEMORY);
    CHECK(strcmp(e.msg, "here: out of memory") == 0);
}

static void control_characters(void)
{
    struct err e = {0};
    err_set(&e, ERR_MODEL, "%s", "a\x1b[31m\nb\x7f\xc2\x9b\xc3\xa9");
    CHECK(strcmp(e.msg, "a?[31m?b?\?\?\xc3\xa9") == 0);
}

static void long_texts(void)
{
    char text[3 * ERR_MSG_BYTES];
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof text - 2] = 0;
    struct err e = {0};
    err_set(&e, ERR_MODEL, "%s", text);
    size_t n = strlen(e.msg);
    CHECK(n < ERR_MSG_BYTES && n % 2 == 0); /* cut between characters */
    err_clear(&e);
    err_set(&e, ERR_MODEL, "the cause");
    err_at(&e, e.code, "%s", text);
    CHECK(strstr(e.msg, ": the cause") != NULL);
    for (int i = 0; i < 100; i++)
        err_at(&e, e.code, "level %d", i);
    CHECK(strlen(e.msg) < ERR_MSG_BYTES);
}

static void table(void)
{
    CHECK(err_exit_status(ERR_OK) == 0 && err_http_status(ERR_OK) == 200);
    CHECK(err_exit_status(ERR_LIMIT) == 5 && err_http_status(ERR_LIMIT) == 413);
    CHECK(err_exit_status(-999) == err_exit_status(ERR_INTERNAL));
    CHECK(strcmp(err_word(ERR_DEADLINE), "DEADLINE") == 0 &&
          strcmp(err_text(ERR_OK), "success") == 0);
    CHECK(strcmp(err_word(77), "INTERNAL") == 0);
}

static const struct unit_test tests[] = {
    TEST(first_message_wins), TEST(null_is_allowed), TEST(at_without_message),
    TEST(control_characters), TEST(long_texts),      TEST(table),
};
UNIT_MAIN(tests)
