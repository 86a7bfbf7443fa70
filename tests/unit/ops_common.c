/* SPDX-License-Identifier: Apache-2.0 */
/* What the operators share: tasks, conversions of elements, strides, indices. */
#include "ops/common.h"

#include <math.h>

#include "tests/unit/unit.h"

static void tasks(void)
{
    CHECK(tasks_for(0, 1) == 1 && tasks_for(1, INT64_MAX) == 1);
    CHECK(tasks_for(TASK_ELEMS, 1) == 1 && tasks_for(TASK_ELEMS + 1, 1) == 2);
    CHECK(tasks_for(10, INT64_MAX) == 10 && tasks_for(INT64_MAX, INT64_MAX) > 1);
    for (int64_t n = 1; n < 50; n++) {
        for (int64_t t = 1; t <= n; t++) {
            int64_t at = 0, first, last;
            for (int64_t i = 0; i < t; i++) {
                task_range(i, t, n, &first, &last);
                CHECK(first == at && last > first);
                at = last;
            }
            CHECK(at == n);
        }
    }
}

/* Every real dtype: small integers survive all three ways, from any place in the array. */
static void round_trips(void)
{
    for (int t = 1; t < DTYPE_COUNT; t++) {
        char kind = dtype_kind((enum dtype)t);
        if ((kind != 'F' && kind != 'I' && kind != 'U' && kind != 'B') || t == DTYPE_F8E8M0)
            continue;
        int64_t in[2] = {1, kind == 'B' ? 0 : kind == 'U' || t == DTYPE_I2 ? 1 : 2}, back[2];
        double d[2], want[2] = {(double)in[0], (double)in[1]};
        float f[2], wanted[2] = {(float)in[0], (float)in[1]};
        unsigned char p[64] = {0};
        elems_from_i64((enum dtype)t, p, 1, 2, in);
        elems_to_i64((enum dtype)t, p, 1, 2, back);
        elems_to_f64((enum dtype)t, p, 1, 2, d);
        elems_to_f32((enum dtype)t, p, 1, 2, f);
        bool ok = memcmp(back, in, sizeof in) == 0 && d[1] == want[1] && f[1] == wanted[1];
        elems_from_f64((enum dtype)t, p, 2, 2, want);
        elems_to_f64((enum dtype)t, p, 2, 2, d);
        ok &= d[0] == want[0] && d[1] == want[1];
        elems_from_f32((enum dtype)t, p, 2, 2, wanted);
        elems_to_f32((enum dtype)t, p, 2, 2, f);
        ok &= f[0] == wanted[0] && f[1] == wanted[1];
        if (!CHECK(ok))
            printf("%s\n", dtype_name((enum dtype)t));
    }
}

static int64_t from_f64(enum dtype t, double v)
{
    int64_t p = 0, out;
    elems_from_f64(t, &p, 0, 1, &v);
    elems_to_i64(t, &p, 0, 1, &out);
    float f = (float)v;
    int64_t again;
    if (f == v || v != v) {
        elems_from_f32(t, &p, 0, 1, &f);
        elems_to_i64(t, &p, 0, 1, &again);
        CHECK(again == out);
    }
    return out;
}

static void saturation(void)
{
    CHECK(from_f64(DTYPE_I8, 127.9) == 127 && from_f64(DTYPE_I8, 1e9) == 127);
    CHECK(from_f64(DTYPE_I8, -1e30) == -128 && from_f64(DTYPE_I8, -1.9) == -1);
    CHECK(from_f64(DTYPE_U8, -3) == 0 && from_f64(DTYPE_U8, 300) == 255);
    CHECK(from_f64(DTYPE_I32, 3e9) == INT32_MAX && from_f64(DTYPE_I32, NAN) == 0);
    CHECK(from_f64(DTYPE_U32, 4294967295.0) == 4294967295);
    CHECK(from_f64(DTYPE_I64, 1e30) == INT64_MAX && from_f64(DTYPE_I64, -INFINITY) == INT64_MIN);
    CHECK((uint64_t)from_f64(DTYPE_U64, 1e30) == UINT64_MAX);
    CHECK((uint64_t)from_f64(DTYPE_U64, 9223372036854775808.0) == UINT64_C(1) << 63);
    CHECK(from_f64(DTYPE_U64, -1) == 0 && from_f64(DTYPE_U64, NAN) == 0);
    CHECK(from_f64(DTYPE_I4, 9) == 7 && from_f64(DTYPE_I4, -9) == -8);
    CHECK(from_f64(DTYPE_U4, 16) == 15 && from_f64(DTYPE_U2, 4) == 3 &&
          from_f64(DTYPE_I2, -3) == -2);
    CHECK(from_f64(DTYPE_BOOL, 0.25) == 1 && from_f64(DTYPE_BOOL, -0.0) == 0);
    CHECK(from_f64(DTYPE_BOOL, NAN) == 1);
}

static void rounding(void)
{
    uint16_t h;
    float f;
    double d;
    int64_t i;
    /* Half way in float16 and a little more: rounding to float first would lose the little. */
    d = 1 + 0x1p-11 + 0x1p-40;
    elems_from_f64(DTYPE_F16, &h, 0, 1, &d);
    CHECK(h == 0x3c01);
    d = 1 + 0x1p-11;
    elems_from_f64(DTYPE_F16, &h, 0, 1, &d);
    CHECK(h == 0x3c00);
    /* The same for a 64-bit integer on its way to bfloat16. */
    i = (INT64_C(1) << 62) + (INT64_C(1) << 54) + 1;
    elems_from_i64(DTYPE_BF16, &h, 0, 1, &i);
    CHECK(h == 0x5e81);
    i = -i;
    elems_from_i64(DTYPE_BF16, &h, 0, 1, &i);
    CHECK(h == 0xde81);
    i = (INT64_C(1) << 62) + (INT64_C(1) << 54);
    elems_from_i64(DTYPE_BF16, &h, 0, 1, &i);
    CHECK(h == 0x5e80);
    i = INT64_MIN;
    elems_from_i64(DTYPE_BF16, &h, 0, 1, &i);
    CHECK(h == 0xdf00);
    uint64_t u = UINT64_MAX;
    elems_to_f32(DTYPE_U64, &u, 0, 1, &f);
    CHECK(f == 18446744073709551616.0f);
    i = 0x1ff;
    int8_t small[1];
    elems_from_i64(DTYPE_I8, small, 0, 1, &i);
    CHECK(small[0] == -1);
}

/* Runs of every length convert as single elements do. */
static void runs(void)
{
    static const enum dtype types[] = {DTYPE_F16, DTYPE_BF16, DTYPE_I32, DTYPE_I64,   DTYPE_U8,
                                       DTYPE_I8,  DTYPE_F64,  DTYPE_U16, DTYPE_F8E5M2};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        for (int n = 0; n <= 70; n++) {
            float in[72], one, out[72] = {0};
            double wide[72] = {0};
            char p[72 * 8], q[72 * 8];
            memset(p, 0x5a, sizeof p);
            memcpy(q, p, sizeof q);
            for (int i = 0; i < n; i++)
                in[i] = (float)(i * 7 % 23) - (dtype_kind(types[k]) == 'U' ? 0 : 11.25f);
            elems_from_f32(types[k], p, 1, n, in);
            for (int i = 0; i < n; i++)
                elems_from_f32(types[k], q, 1 + i, 1, in + i);
            CHECK(memcmp(p, q, sizeof p) == 0);
            elems_to_f32(types[k], p, 1, n, out);
            elems_to_f64(types[k], p, 1, n, wide);
            for (int i = 0; i < n; i++) {
                elems_to_f32(types[k], p, 1 + i, 1, &one);
                CHECK(out[i] == one && wide[i] == one);
            }
            CHECK(out[n] == 0 && wide[n] == 0);
        }
    }
}

static void shapes(void)
{
    struct err e = {0};
    int64_t out, s[3];
    struct tensor t = {.dtype = DTYPE_I16, .rank = 2, .dims = {3, 1}};
    CHECK(norm_index(-3, 3, "index", &out, &e) == 0 && out == 0);
    CHECK(norm_index(2, 3, "index", &out, &e) == 0 && out == 2);
    CHECK(norm_index(3, 3, "index", &out, &e) == ERR_INPUT);
    CHECK(strcmp(e.msg, "index 3 is outside [-3, 3)") == 0);
    CHECK(norm_index(INT64_MIN, 3, "index", &out, NULL) == ERR_INPUT);
    CHECK(norm_index(0, 0, "index", &out, NULL) == ERR_INPUT);
    dims_strides((const int64_t[]){2, 3, 4}, 3, s);
    CHECK(s[0] == 12 && s[1] == 4 && s[2] == 1);
    broadcast_strides(&t, 3, s);
    CHECK(s[0] == 0 && s[1] == 1 && s[2] == 0);
    struct ints a = {s, 3}, none = {NULL, 0};
    CHECK(ints_length(&a, 3, "pads", NULL) == 0 && ints_length(&none, 9, "pads", NULL) == 0);
    CHECK(ints_length(&a, 2, "pads", NULL) == ERR_MODEL);
    int16_t v[] = {5, -6};
    t.data = v;
    CHECK(tensor_int(&t, 1) == -6 && tensor_float(&t, 0) == 5);
}

static const struct unit_test tests[] = {
    TEST(tasks), TEST(round_trips), TEST(saturation), TEST(rounding), TEST(runs), TEST(shapes),
};
UNIT_MAIN(tests)
