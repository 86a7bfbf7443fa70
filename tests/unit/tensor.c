/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tensor.h"

#include <string.h>

#include "tests/unit/unit.h"

static void counts(void)
{
    int64_t n;
    CHECK(dims_count(NULL, 0, &n) && n == 1);
    CHECK(dims_count((int64_t[]){2, 3, 4}, 3, &n) && n == 24);
    CHECK(dims_count((int64_t[]){INT64_MAX, INT64_MAX, 0}, 3, &n) && n == 0);
    CHECK(!dims_count((int64_t[]){INT64_MAX, 2}, 2, &n));
    CHECK(!dims_count((int64_t[]){0, -1}, 2, &n));
}

static void sizes_are_checked(void)
{
    struct tensor t;
    struct err e = {0};
    CHECK(tensor_new(&t, NULL, DTYPE_F64, 1, (int64_t[]){INT64_MAX / 4}, &e) == ERR_LIMIT);
    err_clear(&e);
    CHECK(tensor_new(&t, NULL, DTYPE_F32, 2, (int64_t[]){INT64_MAX, 16}, &e) == ERR_LIMIT);
    CHECK(strstr(e.msg, "float[9223372036854775807,16]") != NULL);
    err_clear(&e);
    CHECK(tensor_new(&t, NULL, DTYPE_F32, 13, (int64_t[13]){0}, &e) == ERR_LIMIT);
    err_clear(&e);
    CHECK(tensor_new(&t, NULL, DTYPE_NONE, 0, NULL, &e) == ERR_INTERNAL);
    tensor_clear(&t);
    CHECK(tensor_new(&t, NULL, DTYPE_I64, 3, (int64_t[]){0, INT64_MAX, INT64_MAX}, NULL) == 0);
    CHECK(tensor_count(&t) == 0 && tensor_bytes(&t) == 0 && t.data);
    tensor_clear(&t);
}

static void descriptions(void)
{
    char text[64], tiny[8];
    struct tensor t = {.dtype = DTYPE_BF16, .rank = 2, .dims = {2, 30}};
    CHECK(strcmp(tensor_describe(&t, text, sizeof text), "bfloat16[2,30]") == 0);
    CHECK(strcmp(tensor_describe(&t, tiny, sizeof tiny), "bfloat1") == 0);
    CHECK(strcmp(dims_describe(NULL, 0, text, sizeof text), "[]") == 0);
    CHECK(strlen(dims_describe((int64_t[]){123456789, 5}, 2, tiny, sizeof tiny)) == 7);
}

static void sharing(void)
{
    struct budget b;
    budget_init(&b, SIZE_MAX, NULL);
    struct tensor t, u, v;
    CHECK(tensor_new(&t, &b, DTYPE_I32, 1, (int64_t[]){4}, NULL) == 0);
    memcpy(t.data, (int32_t[]){1, 2, 3, 4}, 16);
    tensor_ref(&u, &t);
    CHECK(tensor_copy(&v, &t, &b, NULL) == 0 && v.data != t.data);
    tensor_clear(&t);
    CHECK(((int32_t *)u.data)[3] == 4 && memcmp(u.data, v.data, 16) == 0);
    tensor_clear(&u);
    tensor_clear(&v);
    CHECK(b.used == 0 && !u.buffer && !u.rank);
    tensor_clear(&u);
}

static void strings(void)
{
    struct budget b;
    budget_init(&b, SIZE_MAX, NULL);
    struct tensor t, u;
    CHECK(tensor_new(&t, &b, DTYPE_STRING, 1, (int64_t[]){3}, NULL) == 0);
    CHECK(((struct str *)t.data)[2].size == 0);
    CHECK(tensor_set_str(&t, 0, "a\0b", 3, NULL) == 0 && tensor_set_str(&t, 2, "", 0, NULL) == 0);
    CHECK(tensor_copy(&u, &t, &b, NULL) == 0);
    tensor_clear(&t);
    struct str *s = u.data;
    CHECK(s[0].size == 3 && memcmp(s[0].data, "a\0b", 3) == 0 && s[1].size == 0);
    /* A tensor of moved elements keeps the buffer that their bytes lie in. */
    struct tensor moved;
    CHECK(tensor_new(&moved, &b, DTYPE_STRING, 0, NULL, NULL) == 0);
    CHECK(buffer_keep(moved.buffer, u.buffer, NULL) == 0);
    CHECK(buffer_keep(moved.buffer, u.buffer, NULL) == 0 && moved.buffer->n_keeps == 1);
    CHECK(buffer_keep(moved.buffer, moved.buffer, NULL) == 0 && moved.buffer->n_keeps == 1);
    *(struct str *)moved.data = s[0];
    tensor_clear(&u);
    CHECK(memcmp(((struct str *)moved.data)->data, "a\0b", 3) == 0);
    tensor_clear(&moved);
    CHECK(b.used == 0);
}

static void long_chains(void)
{
    struct budget b;
    budget_init(&b, SIZE_MAX, NULL);
    struct buffer *last = buffer_new(&b, 1, NULL);
    for (int i = 0; i < 200000; i++) {
        struct buffer *next = buffer_new(&b, 1, NULL);
        CHECK(next && buffer_keep(next, last, NULL) == 0);
        buffer_unref(last);
        last = next;
    }
    buffer_unref(last);
    buffer_unref(NULL);
    CHECK(b.used == 0);
}

static int released;

static void on_release(struct buffer *buffer)
{
    released += buffer->owner == &released && buffer->bytes == 5;
}

static void wrapped(void)
{
    struct buffer *w = buffer_wrap(NULL, "bytes", 5, on_release, &released, NULL);
    buffer_unref(buffer_ref(w));
    CHECK(released == 0);
    buffer_unref(w);
    CHECK(released == 1);
}

static struct value number(struct budget *b, int32_t v, struct err *e)
{
    struct value out = {0};
    if (tensor_new(&out.tensor, b, DTYPE_I32, 0, NULL, e) == 0) {
        out.kind = VALUE_TENSOR;
        *(int32_t *)out.tensor.data = v;
    }
    return out;
}

static int32_t at(const struct seq *s, size_t i)
{
    return *(int32_t *)s->items[i].tensor.data;
}

static void sequences(void)
{
    struct budget b;
    budget_init(&b, SIZE_MAX, NULL);
    struct seq *s = seq_new(&b, DTYPE_I32, NULL);
    for (int i = 0; i < 10; i++) {
        struct value v = number(&b, i, NULL);
        CHECK(seq_insert(s, i % 2 ? 0 : s->count, &v, NULL) == 0 && v.kind == VALUE_NONE);
    }
    CHECK(s->count == 10 && at(s, 0) == 9 && at(s, 9) == 8);
    struct seq *copy = seq_clone(s, NULL);
    seq_erase(copy, 0);
    CHECK(copy->count == 9 && at(copy, 0) == 7 && s->count == 10);
    struct value v = {.kind = VALUE_SEQUENCE, .seq = s}, w, x;
    value_ref(&w, &v);
    CHECK(value_retain(&x, &v, &b, NULL) == 0);
    value_clear(&v);
    value_clear(&x);
    CHECK(at(w.seq, 9) == 8);
    seq_unref(copy);
    value_clear(&w);
    seq_unref(NULL);
    CHECK(b.used == 0);
}

static void maps_and_retain(void)
{
    struct budget b;
    budget_init(&b, SIZE_MAX, NULL);
    struct map *m = map_new(&b, NULL);
    CHECK(tensor_new(&m->keys, &b, DTYPE_I64, 1, (int64_t[]){1}, NULL) == 0);
    m->values = number(&b, 5, NULL);
    struct value v = {.kind = VALUE_MAP, .map = m}, w;
    value_ref(&w, &v);
    value_clear(&v);
    CHECK(*(int32_t *)w.map->values.tensor.data == 5);
    value_clear(&w);
    int32_t mine = 7;
    struct value lent = {.kind = VALUE_TENSOR, .tensor = {.dtype = DTYPE_I32, .data = &mine}};
    CHECK(value_retain(&w, &lent, &b, NULL) == 0);
    mine = 8;
    CHECK(w.tensor.buffer && *(int32_t *)w.tensor.data == 7);
    value_clear(&w);
    CHECK(b.used == 0);
}

static int everything(struct budget *b, struct err *e)
{
    struct tensor t = {0}, u = {0};
    struct value v = {0}, w = {0};
    struct seq *s = NULL, *c = NULL;
    int rc = tensor_new(&t, b, DTYPE_STRING, 1, (int64_t[]){2}, e);
    if (!rc)
        rc = tensor_set_str(&t, 1, "text", 4, e);
    if (!rc)
        rc = tensor_copy(&u, &t, b, e);
    if (!rc)
        rc = buffer_keep(u.buffer, t.buffer, e);
    if (!rc)
        rc = (s = seq_new(b, DTYPE_I32, e)) ? 0 : e->code;
    for (int i = 0; !rc && i < 6; i++) {
        v = number(b, i, e);
        rc = v.kind ? seq_insert(s, 0, &v, e) : e->code;
    }
    if (!rc)
        rc = (c = seq_clone(s, e)) ? 0 : e->code;
    if (!rc)
        rc = value_retain(&w, &(struct value){.kind = VALUE_TENSOR,
                          .tensor = {.dtype = DTYPE_F32, .data = &(float){1}}}, b, e);
    value_clear(&v);
    value_clear(&w);
    seq_unref(s);
    seq_unref(c);
    tensor_clear(&t);
    tensor_clear(&u);
    return rc;
}

static void faults(void)
{
    for (uint64_t n = 1;; n++) {
        struct budget b;
        struct err e = {0};
        budget_init(&b, SIZE_MAX, NULL);
        mem_fail_after(n, false);
        int rc = everything(&b, &e);
        bool reached = mem_fail_count() >= n;
        mem_fail_after(0, false);
        CHECK(b.used == 0 && reached == (rc != 0) && (!rc || e.code == ERR_MEMORY));
        if (!rc || n > 1000)
            break;
    }
}

static const struct unit_test tests[] = {
    TEST(counts),  TEST(sizes_are_checked), TEST(descriptions),    TEST(sharing),
    TEST(strings), TEST(long_chains),       TEST(wrapped),         TEST(sequences),
    TEST(faults),  TEST(maps_and_retain),
};
UNIT_MAIN(tests)
