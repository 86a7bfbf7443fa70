/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/data.h"

#include <stdlib.h>
#include <zlib.h>

#include "onnx/npy.h"
#include "tests/unit/unit.h"

/* ---- .npy ---------------------------------------------------------------------------------- */

/* A file of version 1 around a header and elements. */
static size_t npy(uint8_t *out, const char *header, const void *data, size_t size)
{
    size_t n = strlen(header);
    memcpy(out, "\x93NUMPY\1\0", 8);
    out[8] = (uint8_t)n;
    out[9] = (uint8_t)(n >> 8);
    memcpy(out + 10, header, n);
    memcpy(out + 10 + n, data, size);
    return 10 + n + size;
}

static int parse(struct tensor *t, const char *header, const void *data, size_t size, struct err *e)
{
    uint8_t file[2048];
    *e = (struct err){0};
    return npy_parse(t, NULL, file, npy(file, header, data, size), e);
}

static void orders(void)
{
    struct tensor t;
    struct err e;
    int32_t v[6] = {1, 2, 3, 4, 5, 6};
    if (CHECK(parse(&t, "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }\n", v, 24,
                    &e) == 0)) {
        CHECK(t.dtype == DTYPE_I32 && t.rank == 2 && t.dims[0] == 2 && !memcmp(t.data, v, 24));
        tensor_clear(&t);
    }
    static const int32_t want[6] = {1, 3, 5, 2, 4, 6};
    if (CHECK(parse(&t, "{'descr':'<i4','fortran_order':True,'shape':(2,3)}", v, 24, &e) == 0)) {
        CHECK(!memcmp(t.data, want, 24));
        tensor_clear(&t);
    }
    if (CHECK(parse(&t, "{\"descr\": '>u2', 'fortran_order': False, 'shape': (3L,)}",
                    "\0\1\1\0\2\3", 6, &e) == 0)) {
        const uint16_t *p = t.data;
        CHECK(p[0] == 1 && p[1] == 256 && p[2] == 0x203);
        tensor_clear(&t);
    }
    if (CHECK(parse(&t, "{'descr': '|b1', 'fortran_order': False, 'shape': ()}", "\7", 1, &e) ==
              0)) {
        CHECK(t.rank == 0 && *(uint8_t *)t.data == 1);
        tensor_clear(&t);
    }
}

static void texts(void)
{
    struct tensor t;
    struct err e;
    static const uint32_t u[4] = {'a', 0x20AC, 'b', 0};
    if (CHECK(parse(&t, "{'descr': '<U2', 'fortran_order': False, 'shape': (2,)}", u, 16, &e) ==
              0)) {
        const struct str *s = t.data;
        CHECK(s[0].size == 4 && !memcmp(s[0].data, "a\xE2\x82\xAC", 4) && s[1].size == 1);
        tensor_clear(&t);
    }
    if (CHECK(parse(&t, "{'descr': '|S3', 'fortran_order': False, 'shape': (2,)}", "abcd\0\0", 6,
                    &e) == 0)) {
        const struct str *s = t.data;
        CHECK(s[0].size == 3 && s[1].size == 1 && s[1].data[0] == 'd');
        tensor_clear(&t);
    }
    CHECK(parse(&t, "{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}", "\0\xd8\0\0", 4,
                &e) == ERR_INPUT);
}

static void bad_npy(void)
{
    static const struct {
        const char *header;
        size_t size;
        int code;
    } rows[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 7, ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 9, ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", 8, ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 8,
         ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 8,
         ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2}", 8, ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", 8, ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False}", 8, ERR_INPUT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", 8, ERR_INPUT},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 8, ERR_UNSUPPORTED},
        {"{'descr': '<f3', 'fortran_order': False, 'shape': (2,)}", 6, ERR_UNSUPPORTED},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", 8, ERR_UNSUPPORTED},
        {"{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,)}", 0, ERR_LIMIT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1)}", 4,
         ERR_LIMIT},
        {"", 0, ERR_INPUT},
    };
    static const uint8_t zeros[16];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tensor t;
        struct err e;
        if (!CHECK(parse(&t, rows[i].header, zeros, rows[i].size, &e) == rows[i].code))
            printf("row %zu: %s\n", i, e.msg);
        tensor_clear(&t);
    }
}

static void npy_round_trip(void)
{
    static const enum dtype types[] = {DTYPE_F32, DTYPE_F64,  DTYPE_F16, DTYPE_I8,
                                       DTYPE_U64, DTYPE_BOOL, DTYPE_C64, DTYPE_C128};
    int64_t dims[] = {3, 1, 2};
    for (int rank = 0; rank <= 3; rank++)
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            struct tensor t, back;
            struct err e = {0};
            uint8_t *file;
            size_t size;
            if (!CHECK(tensor_new(&t, NULL, types[i], rank, dims, &e) == 0))
                continue;
            memset(t.data, 1, tensor_bytes(&t));
            if (CHECK(npy_format(&t, NULL, &file, &size, &e) == 0)) {
                CHECK(size % 64 == tensor_bytes(&t) % 64);
                if (CHECK(npy_parse(&back, NULL, file, size, &e) == 0))
                    CHECK(back.dtype == t.dtype && back.rank == rank &&
                          !memcmp(back.data, t.data, tensor_bytes(&t)));
                tensor_clear(&back);
                mem_free(file);
            }
            tensor_clear(&t);
        }
    struct tensor t;
    struct err e = {0};
    uint8_t *file;
    size_t size;
    CHECK(tensor_new(&t, NULL, DTYPE_BF16, 1, dims, &e) == 0);
    CHECK(npy_format(&t, NULL, &file, &size, &e) == ERR_UNSUPPORTED);
    tensor_clear(&t);
}

/* ---- .npz ---------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++, v >>= 8)
        *p++ = (uint8_t)v;
    return p;
}

static uint8_t *put_fields(uint8_t *p, int method, const uint8_t *plain, size_t size, size_t packed,
                           const char *name)
{
    p = put(p, 20, 2);
    p = put(p, 0, 2);
    p = put(p, (uint64_t)method, 2);
    p = put(p, 0, 4);
    p = put(p, crc32(0, plain, (uInt)size), 4);
    p = put(p, packed, 4);
    p = put(p, size, 4);
    p = put(p, strlen(name), 2);
    return put(p, 0, 2);
}

/* An archive of one member, stored or deflated. */
static size_t zip(uint8_t *out, const char *name, const uint8_t *plain, size_t size, int method)
{
    uint8_t body[4096], *p = out;
    size_t packed = size;
    memcpy(body, plain, size);
    if (method) {
        z_stream s = {.next_in = (Bytef *)plain, .avail_in = (uInt)size, .next_out = body,
                      .avail_out = sizeof body};
        CHECK(deflateInit2(&s, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
        CHECK(deflate(&s, Z_FINISH) == Z_STREAM_END);
        packed = s.total_out;
        deflateEnd(&s);
    }
    p = put(p, 0x04034b50, 4);
    p = put_fields(p, method, plain, size, packed, name);
    memcpy(p, name, strlen(name));
    p += strlen(name);
    memcpy(p, body, packed);
    p += packed;
    size_t directory = (size_t)(p - out);
    p = put(p, 0x02014b50, 4);
    p = put(p, 20, 2);
    p = put_fields(p, method, plain, size, packed, name);
    p = put(p, 0, 2 + 2 + 2 + 4 + 4);
    memcpy(p, name, strlen(name));
    p += strlen(name);
    size_t bytes = (size_t)(p - out) - directory;
    p = put(p, 0x06054b50, 4);
    p = put(p, 0, 4);
    p = put(p, 1, 2);
    p = put(p, 1, 2);
    p = put(p, bytes, 4);
    p = put(p, directory, 4);
    return (size_t)(put(p, 0, 2) - out);
}

static void npz(void)
{
    static const float v[64] = {1, 2, 3};
    uint8_t file[2048], archive[8192];
    char name[16];
    size_t n = npy(file, "{'descr': '<f4', 'fortran_order': False, 'shape': (64,)}", v, sizeof v);
    for (int method = 0; method <= 8; method += 8) {
        struct tensor t;
        struct err e = {0};
        size_t size = zip(archive, "x.npy", file, n, method);
        CHECK(npz_known(archive, size) && npz_name(archive, size, 0, name, sizeof name));
        CHECK(!strcmp(name, "x") && !npz_name(archive, size, 1, name, sizeof name));
        const char *wanted[] = {NULL, "", "x", "x.npy"};
        for (int i = 0; i < 4; i++) {
            if (!CHECK(npz_parse(&t, NULL, archive, size, wanted[i], &e) == 0))
                printf("%s\n", e.msg);
            CHECK(t.data && !memcmp(t.data, v, sizeof v));
            tensor_clear(&t);
        }
        CHECK(npz_parse(&t, NULL, archive, size, "y", &e) == ERR_INPUT);
        /* Whatever single bit is wrong, it is an error or the same tensor. */
        for (size_t i = 0; i < size * 8; i++) {
            e = (struct err){0};
            archive[i / 8] ^= (uint8_t)(1 << (i & 7));
            if (!npz_parse(&t, NULL, archive, size, NULL, &e))
                CHECK(t.rank == 1 && !memcmp(t.data, v, sizeof v));
            tensor_clear(&t);
            archive[i / 8] ^= (uint8_t)(1 << (i & 7));
        }
        for (size_t i = 0; i < size; i++) {
            CHECK(npz_parse(&t, NULL, archive, i, NULL, &e) < 0);
            tensor_clear(&t);
        }
    }
}

/* The same archive as writers of large ones make it: sizes and places in 64-bit fields. */
static size_t zip_large(uint8_t *out, const char *name, const uint8_t *plain, size_t size)
{
    uint8_t *p = out + zip(out, name, plain, size, 0), *directory = p - 22 - 46 - strlen(name);
    put(directory + 20, UINT64_MAX, 8);
    put(directory + 30, 4 + 3 + 4 + 24, 2);
    put(directory + 42, UINT32_MAX, 4);
    p = put(p - 22, 0x7075, 2); /* a field of another kind */
    p = put(p, 3, 2);
    p = put(p, 0, 3);
    p = put(p, 1, 2);
    p = put(p, 24, 2);
    p = put(p, size, 8);
    p = put(p, size, 8);
    p = put(p, 0, 8);
    size_t at = (size_t)(p - out), from = (size_t)(directory - out);
    p = put(p, 0x06064b50, 4);
    p = put(p, 44, 8);
    p = put(p, 45, 4);
    p = put(p, 0, 8);
    p = put(p, 1, 8);
    p = put(p, 1, 8);
    p = put(p, at - from, 8);
    p = put(p, from, 8);
    p = put(p, 0x07064b50, 4);
    p = put(p, 0, 4);
    p = put(p, at, 8);
    p = put(p, 1, 4);
    p = put(p, 0x06054b50, 4);
    p = put(p, 0, 4);
    p = put(p, 1, 2);
    p = put(p, 1, 2);
    p = put(p, UINT64_MAX, 8);
    return (size_t)(put(p, 0, 2) - out);
}

static void npz_large(void)
{
    static const float v[8] = {1, 2, 3};
    uint8_t file[512], archive[2048];
    struct tensor t;
    struct err e = {0};
    size_t n = npy(file, "{'descr': '<f4', 'fortran_order': False, 'shape': (8,)}", v, sizeof v);
    size_t size = zip_large(archive, "x.npy", file, n);
    if (!CHECK(npz_parse(&t, NULL, archive, size, "x", &e) == 0))
        printf("%s\n", e.msg);
    CHECK(t.rank == 1 && t.data && !memcmp(t.data, v, sizeof v));
    tensor_clear(&t);
    /* A wrong bit is an error or changes nothing; the local header is not part of this. */
    for (size_t i = n * 8; i < size * 8; i++) {
        e = (struct err){0};
        archive[i / 8] ^= (uint8_t)(1 << (i & 7));
        if (!npz_parse(&t, NULL, archive, size, NULL, &e))
            CHECK(t.rank == 1 && !memcmp(t.data, v, sizeof v));
        tensor_clear(&t);
        archive[i / 8] ^= (uint8_t)(1 << (i & 7));
    }
}

/* ---- .pb ----------------------------------------------------------------------------------- */

static bool same(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == VALUE_TENSOR) {
        const struct tensor *x = &a->tensor, *y = &b->tensor;
        if (x->dtype != y->dtype || x->rank != y->rank || memcmp(x->dims, y->dims, sizeof x->dims))
            return false;
        if (x->dtype != DTYPE_STRING)
            return !memcmp(x->data, y->data, tensor_bytes(x));
        for (int64_t i = 0; i < tensor_count(x); i++) {
            const struct str *s = (const struct str *)x->data + i,
                             *t = (const struct str *)y->data + i;
            if (s->size != t->size || memcmp(s->data, t->data, s->size))
                return false;
        }
        return true;
    }
    if (a->kind == VALUE_MAP) {
        struct value k = {.kind = VALUE_TENSOR, .tensor = a->map->keys};
        struct value l = {.kind = VALUE_TENSOR, .tensor = b->map->keys};
        return same(&k, &l) && same(&a->map->values, &b->map->values);
    }
    for (size_t i = 0; a->kind == VALUE_SEQUENCE && i < a->seq->count; i++)
        if (a->seq->count != b->seq->count || !same(&a->seq->items[i], &b->seq->items[i]))
            return false;
    return true;
}

static void back_and_forth(const struct value *v, enum data_message as, bool optional)
{
    struct err e = {0};
    struct value back;
    uint8_t *data;
    size_t size;
    char name[8];
    if (!CHECK(data_format(v, "name", optional, NULL, &data, &size, &e) == 0))
        return;
    if (CHECK(data_parse(&back, NULL, data, size, as, name, sizeof name, &e) == 0)) {
        CHECK(same(v, &back) && !strcmp(name, "name"));
        value_clear(&back);
    } else {
        printf("as %d: %s\n", as, e.msg);
    }
    for (size_t i = 0; i < size; i++) {
        struct err local = {0};
        if (!data_parse(&back, NULL, data, i, as, NULL, 0, &local))
            value_clear(&back);
    }
    mem_free(data);
}

static struct value tensor_of(enum dtype dtype, int64_t n)
{
    struct value v = {.kind = VALUE_TENSOR};
    CHECK(tensor_new(&v.tensor, NULL, dtype, 1, &n, NULL) == 0);
    for (int64_t i = 0; i < n; i++) {
        if (dtype == DTYPE_STRING)
            CHECK(tensor_set_str(&v.tensor, i, "text", (size_t)(i % 5), NULL) == 0);
        else
            dtype_store_f64(dtype, (char *)v.tensor.data + (size_t)i * dtype_size(dtype),
                            (double)(i % 5));
    }
    return v;
}

static void tensors(void)
{
    static const enum dtype types[] = {DTYPE_F32, DTYPE_I64, DTYPE_BOOL, DTYPE_BF16, DTYPE_I4,
                                       DTYPE_F4E2M1, DTYPE_STRING, DTYPE_U2, DTYPE_F8E5M2};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int64_t n = 0; n < 1200; n = n * 5 + 1) {
            struct value v = tensor_of(types[i], n);
            back_and_forth(&v, DATA_TENSOR, false);
            back_and_forth(&v, DATA_GUESS, false);
            back_and_forth(&v, DATA_OPTIONAL, true);
            value_clear(&v);
        }
}

static void containers(void)
{
    struct value s = {.kind = VALUE_SEQUENCE, .seq = seq_new(NULL, DTYPE_F32, NULL)};
    back_and_forth(&s, DATA_SEQUENCE, false);
    back_and_forth(&s, DATA_GUESS, false);
    for (int i = 0; i < 3; i++) {
        struct value v = tensor_of(DTYPE_F32, 100 * i);
        CHECK(seq_insert(s.seq, s.seq->count, &v, NULL) == 0);
    }
    back_and_forth(&s, DATA_SEQUENCE, false);
    back_and_forth(&s, DATA_GUESS, false);
    back_and_forth(&s, DATA_OPTIONAL, true);
    value_clear(&s);

    static const enum dtype keys[] = {DTYPE_I64, DTYPE_STRING, DTYPE_I32};
    s = (struct value){.kind = VALUE_SEQUENCE, .seq = seq_new(NULL, DTYPE_NONE, NULL)};
    for (int i = 0; i < 3; i++) {
        struct value m = {.kind = VALUE_MAP, .map = map_new(NULL, NULL)};
        m.map->keys = tensor_of(keys[i], 1 + i).tensor;
        m.map->values = tensor_of(DTYPE_F32, 1 + i);
        back_and_forth(&m, DATA_MAP, false);
        back_and_forth(&m, DATA_GUESS, false);
        CHECK(seq_insert(s.seq, s.seq->count, &m, NULL) == 0);
    }
    back_and_forth(&s, DATA_SEQUENCE, false);
    back_and_forth(&s, DATA_GUESS, false);
    value_clear(&s);
    struct value none = {0};
    back_and_forth(&none, DATA_OPTIONAL, false);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(orders), TEST(texts), TEST(bad_npy), TEST(npy_round_trip), TEST(npz), TEST(npz_large), TEST(tensors),
        TEST(containers),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
