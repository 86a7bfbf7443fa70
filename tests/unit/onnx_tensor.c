/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/tensor.h"

#include <stdio.h>
#include <unistd.h>

#include "onnx/data.h"
#include "tests/unit/onnx_bytes.h"
#include "tests/unit/unit.h"

static int parse(struct bytes b, struct value *v, struct err *e)
{
    char name[16];
    *e = (struct err){0};
    int rc = data_parse(v, NULL, b.data, b.n, DATA_TENSOR, name, sizeof name, e);
    free(b.data);
    return rc;
}

static bool refused(struct bytes b, const char *what)
{
    struct value v;
    struct err e;
    int rc = parse(b, &v, &e);
    if (!rc)
        value_clear(&v);
    else if (!strstr(e.msg, what))
        printf("message: %s\n", e.msg);
    return rc == ERR_INPUT && strstr(e.msg, what);
}

/* n values of a type in an integer field, packed, with -1 among them. */
static void integers(void)
{
    static const struct {
        enum dtype dtype;
        int field;
    } rows[] = {{DTYPE_U8, 5},  {DTYPE_I8, 5},  {DTYPE_U16, 5}, {DTYPE_I16, 5}, {DTYPE_I32, 5},
                {DTYPE_I64, 7}, {DTYPE_U32, 11}, {DTYPE_U64, 11}, {DTYPE_BOOL, 5}, {DTYPE_F16, 5},
                {DTYPE_BF16, 5}, {DTYPE_F8E4M3FN, 5}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int n = 3; n <= 300; n += 297) {
            int64_t dims[] = {n};
            struct bytes t = tensor_bytes_of("x", rows[r].dtype, 1, dims, NULL, 0), list = {0};
            for (int i = 0; i < n; i++)
                bytes_varint(&list, i == 1 ? (uint64_t)-1 : (uint64_t)(i & 63));
            bytes_sub(&t, rows[r].field, list);
            struct value v;
            struct err e;
            if (!CHECK(parse(t, &v, &e) == 0)) {
                printf("%s: %s\n", dtype_name(rows[r].dtype), e.msg);
                continue;
            }
            uint64_t bits = 0, ones = ~0ull;
            size_t size = dtype_size(rows[r].dtype);
            memcpy(&bits, (char *)v.tensor.data + size, size);
            CHECK(rows[r].dtype == DTYPE_BOOL ? bits == 1 : !memcmp(&bits, &ones, size));
            bits = 0;
            memcpy(&bits, (char *)v.tensor.data + 2 * size, size);
            CHECK(bits == (rows[r].dtype == DTYPE_BOOL ? 1 : 2));
            value_clear(&v);
        }
}

static void floats(void)
{
    float f[100];
    double d[50];
    int64_t dims[] = {100}, half[] = {50};
    for (int i = 0; i < 100; i++)
        f[i] = (float)i / 3;
    for (int i = 0; i < 50; i++)
        d[i] = i / 3.0;
    struct value v;
    struct err e;
    struct bytes t = tensor_bytes_of("x", DTYPE_F32, 1, dims, NULL, 0);
    bytes_data(&t, 4, f, sizeof f);
    if (CHECK(parse(t, &v, &e) == 0))
        CHECK(!memcmp(v.tensor.data, f, sizeof f));
    value_clear(&v);
    t = tensor_bytes_of("x", DTYPE_C64, 1, half, NULL, 0);
    bytes_data(&t, 4, f, sizeof f);
    if (CHECK(parse(t, &v, &e) == 0))
        CHECK(!memcmp(v.tensor.data, f, sizeof f) && v.tensor.dtype == DTYPE_C64);
    value_clear(&v);
    t = tensor_bytes_of("x", DTYPE_F64, 1, half, NULL, 0);
    bytes_data(&t, 10, d, sizeof d);
    if (CHECK(parse(t, &v, &e) == 0))
        CHECK(!memcmp(v.tensor.data, d, sizeof d));
    value_clear(&v);
    /* One element a field, as files from before packing have them. */
    t = tensor_bytes_of("x", DTYPE_F32, 1, (int64_t[]){2}, NULL, 0);
    bytes_float(&t, 4, 1.5f);
    bytes_float(&t, 4, -2);
    if (CHECK(parse(t, &v, &e) == 0))
        CHECK(((float *)v.tensor.data)[0] == 1.5f && ((float *)v.tensor.data)[1] == -2);
    value_clear(&v);
}

static void narrow(void)
{
    int64_t dims[] = {3};
    struct value v;
    struct err e;
    if (CHECK(parse(tensor_bytes_of("x", DTYPE_I4, 1, dims, "\x2f\x08", 2), &v, &e) == 0)) {
        int8_t *p = v.tensor.data;
        CHECK(p[0] == -1 && p[1] == 2 && p[2] == -8);
        value_clear(&v);
    }
    struct bytes t = tensor_bytes_of("x", DTYPE_U4, 1, dims, NULL, 0), list = {0};
    bytes_varint(&list, 0x2f);
    bytes_varint(&list, 8);
    bytes_sub(&t, 5, list);
    if (CHECK(parse(t, &v, &e) == 0)) {
        uint8_t *p = v.tensor.data;
        CHECK(p[0] == 15 && p[1] == 2 && p[2] == 8);
        value_clear(&v);
    }
    CHECK(refused(tensor_bytes_of("x", DTYPE_I4, 1, dims, "\x2f", 1), "needs 2 bytes"));
}

static void strings(void)
{
    int64_t dims[] = {2};
    struct value v;
    struct err e;
    struct bytes t = tensor_bytes_of("x", DTYPE_STRING, 1, dims, NULL, 0);
    bytes_text(&t, 6, "one");
    bytes_data(&t, 6, "t\0o", 3);
    if (CHECK(parse(t, &v, &e) == 0)) {
        struct str *s = v.tensor.data;
        CHECK(s[0].size == 3 && s[1].size == 3 && !memcmp(s[1].data, "t\0o", 3));
        value_clear(&v);
    }
    CHECK(refused(tensor_bytes_of("x", DTYPE_STRING, 1, dims, "abcd", 4), "strings as raw data"));
    t = tensor_bytes_of("x", DTYPE_STRING, 1, dims, NULL, 0);
    bytes_text(&t, 6, "one");
    CHECK(refused(t, "needs 2 strings"));
}

static void refuses(void)
{
    float f[6] = {0};
    int64_t dims[] = {2, 3}, negative[] = {-2, 3}, huge[] = {1ll << 32, 1ll << 32}, none[] = {0, 3};
    CHECK(refused(tensor_bytes_of("w", 1, 2, dims, f, 20), "needs 24 bytes, the file has 20"));
    CHECK(refused(tensor_bytes_of("w", 1, 2, dims, f, 0), "needs 24 bytes"));
    CHECK(refused(tensor_bytes_of("w", 1, 2, dims, NULL, 0), "needs 24 bytes"));
    CHECK(refused(tensor_bytes_of("w", 1, 2, negative, f, 24), "negative"));
    CHECK(refused(tensor_bytes_of("w", 1, 2, huge, f, 24), "too large"));
    CHECK(refused(tensor_bytes_of("w", 1, 2, none, f, 24), "needs 0 bytes"));
    CHECK(refused(tensor_bytes_of("w", 99, 2, dims, f, 24), "element type 99"));
    struct bytes t = tensor_bytes_of("w", 1, 2, dims, f, 24);
    bytes_data(&t, 4, f, 24);
    CHECK(refused(t, "two fields"));
    t = tensor_bytes_of("w", 1, 2, dims, NULL, 0);
    bytes_data(&t, 7, "\1\2\3\4\5\6", 6);
    CHECK(refused(t, "field of another type"));
    t = tensor_bytes_of("w", 1, 2, dims, f, 24);
    bytes_data(&t, 3, "", 0);
    CHECK(refused(t, "segment"));
    t = tensor_bytes_of("w", 7, 1, (int64_t[]){300}, NULL, 0);
    struct bytes list = {0};
    for (int i = 0; i < 299; i++)
        bytes_varint(&list, 1);
    bytes_sub(&t, 7, list);
    CHECK(refused(t, "needs 300 values, the file has 299"));
}

/* ---- external data ------------------------------------------------------------------------- */

static struct bytes entry(const char *key, const char *value)
{
    struct bytes b = {0};
    bytes_text(&b, 1, key);
    bytes_text(&b, 2, value);
    return b;
}

static struct bytes external(const char *location, const char *offset, const char *length)
{
    struct bytes t = tensor_bytes_of("w", 1, 2, (int64_t[]){2, 3}, NULL, 0);
    bytes_sub(&t, 13, entry("location", location));
    if (offset)
        bytes_sub(&t, 13, entry("offset", offset));
    if (length)
        bytes_sub(&t, 13, entry("length", length));
    bytes_int(&t, 14, 1);
    return t;
}

static int open_tensor(const char *folder, struct bytes t, struct tensor *out, struct err *e)
{
    struct bytes g = {0};
    *e = (struct err){0};
    *out = (struct tensor){0};
    bytes_sub(&g, 5, t);
    struct bytes m = model_bytes(g, 17);
    struct onnx_options o = {.folder = folder};
    struct onnx_model *model = onnx_open_memory(NULL, m.data, m.n, &o, e);
    int rc = model ? onnx_tensor_read(&model->source, model->proto->graph->initializer[0], out, e)
                   : e->code;
    onnx_close(model);
    free(m.data);
    return rc;
}

static void outside(void)
{
    char folder[] = "/tmp/infer-onnx-XXXXXX", path[64];
    float f[16];
    if (!CHECK(mkdtemp(folder)))
        return;
    snprintf(path, sizeof path, "%s/w.bin", folder);
    for (int i = 0; i < 16; i++)
        f[i] = (float)i;
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(f, sizeof f, 1, file) == 1 && !fclose(file));
    struct tensor t;
    struct err e;
    CHECK(open_tensor(folder, external("w.bin", "8", "24"), &t, &e) == 0 &&
          !memcmp(t.data, f + 2, 24)); /* the model is closed: the view keeps its file */
    onnx_release_pages(&t);
    CHECK(t.data && ((float *)t.data)[0] == 2);
    tensor_clear(&t);
    CHECK(open_tensor(folder, external("w.bin", "6", NULL), &t, &e) == 0 &&
          !memcmp(t.data, (char *)f + 6, 24));
    tensor_clear(&t);
    CHECK(open_tensor(folder, external("w.bin", "41", "24"), &t, &e) == ERR_MODEL);
    CHECK(open_tensor(folder, external("w.bin", "18446744073709551608", NULL), &t, &e) ==
          ERR_MODEL);
    CHECK(open_tensor(folder, external("w.bin", "184467440737095516160", NULL), &t, &e) ==
          ERR_MODEL);
    CHECK(open_tensor(folder, external("w.bin", "-8", NULL), &t, &e) == ERR_MODEL);
    CHECK(open_tensor(folder, external("w.bin", "0", "20"), &t, &e) == ERR_MODEL);
    CHECK(open_tensor(folder, external("../w.bin", NULL, NULL), &t, &e) == ERR_FILE);
    CHECK(open_tensor(folder, external("/etc/passwd", NULL, NULL), &t, &e) == ERR_FILE);
    CHECK(open_tensor(folder, external("absent", NULL, NULL), &t, &e) == ERR_FILE);
    CHECK(open_tensor(NULL, external("w.bin", NULL, NULL), &t, &e) == ERR_MODEL);
    unlink(path);
    rmdir(folder);
}

/* ---- sparse -------------------------------------------------------------------------------- */

static int dense(int64_t dim, int rank, const int64_t *index_dims, const int64_t *index,
                 size_t index_bytes, struct tensor *out, struct err *e)
{
    static const float values[] = {5, 7};
    struct bytes s = {0}, g = {0};
    bytes_sub(&s, 1, tensor_bytes_of("w", 1, 1, (int64_t[]){2}, values, sizeof values));
    bytes_sub(&s, 2, tensor_bytes_of("i", 7, rank, index_dims, index, index_bytes));
    bytes_int(&s, 3, 3);
    bytes_int(&s, 3, dim);
    bytes_sub(&g, 15, s);
    struct bytes m = model_bytes(g, 17);
    *e = (struct err){0};
    struct onnx_model *model = onnx_open_memory(NULL, m.data, m.n, NULL, e);
    int rc =
        model ? onnx_sparse_read(&model->source, model->proto->graph->sparse_initializer[0], out, e)
              : e->code;
    onnx_close(model);
    free(m.data);
    return rc;
}

static void sparse(void)
{
    struct tensor t;
    struct err e;
    if (CHECK(dense(4, 1, (int64_t[]){2}, (int64_t[]){1, 11}, 16, &t, &e) == 0)) {
        const float *p = t.data;
        CHECK(p[0] == 0 && p[1] == 5 && p[11] == 7 && tensor_count(&t) == 12);
        tensor_clear(&t);
    }
    if (CHECK(dense(4, 2, (int64_t[]){2, 2}, (int64_t[]){0, 1, 2, 3}, 32, &t, &e) == 0)) {
        const float *p = t.data;
        CHECK(p[1] == 5 && p[11] == 7);
        tensor_clear(&t);
    }
    CHECK(dense(4, 1, (int64_t[]){2}, (int64_t[]){1, 12}, 16, &t, &e) == ERR_MODEL);
    CHECK(dense(4, 1, (int64_t[]){2}, (int64_t[]){-1, 1}, 16, &t, &e) == ERR_MODEL);
    CHECK(dense(4, 2, (int64_t[]){2, 2}, (int64_t[]){0, 1, 3, 0}, 32, &t, &e) == ERR_MODEL);
    CHECK(dense(4, 1, (int64_t[]){1}, (int64_t[]){1}, 8, &t, &e) == ERR_MODEL);
    CHECK(dense(1ll << 40, 1, (int64_t[]){2}, (int64_t[]){1, 11}, 16, &t, &e) == ERR_LIMIT);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(integers), TEST(floats), TEST(narrow), TEST(strings), TEST(refuses), TEST(outside),
        TEST(sparse),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
