/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dtype.h"

#include <math.h>
#include <string.h>

#include "tests/unit/dtype_data.h"
#include "tests/unit/unit.h"

static uint32_t bits_of(float f)
{
    uint32_t v;
    memcpy(&v, &f, sizeof v);
    return isnan(f) ? 0x7fc00000 : v;
}

static float from_bits(uint32_t v)
{
    float f;
    memcpy(&f, &v, sizeof f);
    return f;
}

static void table(void)
{
    CHECK(dtype_size(DTYPE_F32) == 4 && dtype_size(DTYPE_BOOL) == 1 &&
          dtype_size(DTYPE_C128) == 16);
    CHECK(dtype_size(DTYPE_I4) == 1 && dtype_bits(DTYPE_I4) == 4 && dtype_size(DTYPE_F6E3M2) == 1);
    CHECK(dtype_size(DTYPE_STRING) == sizeof(struct str) && dtype_bits(DTYPE_STRING) == 0);
    CHECK(dtype_size(DTYPE_NONE) == 0 && dtype_size(999) == 0 && dtype_size(-1) == 0);
    CHECK(dtype_kind(DTYPE_BOOL) == 'B' && dtype_kind(DTYPE_STRING) == 'S' &&
          dtype_kind(99) == 'N');
    CHECK(dtype_is_float(DTYPE_F4E2M1) && dtype_is_int(DTYPE_U2) && !dtype_is_int(DTYPE_BOOL));
    CHECK(!dtype_valid(0) && !dtype_valid(29) && !dtype_valid(-1) &&
          !dtype_valid((int64_t)1 << 32));
    CHECK(strcmp(dtype_npy(DTYPE_I64), "<i8") == 0 && strcmp(dtype_name(99), "?") == 0);
    for (int t = 1; t < DTYPE_COUNT; t++)
        CHECK(dtype_valid(t) && (int)dtype_find(dtype_name(t)) == t);
    CHECK(dtype_find("float64") == DTYPE_NONE);
}

static void widen_narrow(void)
{
    for (size_t i = 0; i < sizeof narrow_types / sizeof *narrow_types; i++) {
        enum dtype t = narrow_types[i].type;
        int codes = 1 << dtype_bits(t), bad = 0;
        for (int c = 0; c < codes; c++) {
            float f = dtype_f8_to_f32(t, (uint8_t)c);
            bad += bits_of(f) != narrow_types[i].wide[c];
            bad += isfinite(f) && dtype_f32_to_f8(t, f, true) != c;
        }
        if (!CHECK(bad == 0))
            printf("%d codes of %s\n", bad, dtype_name(t));
    }
}

static void narrow_widths(void)
{
    for (size_t i = 0; i < sizeof narrow_types / sizeof *narrow_types; i++) {
        enum dtype t = narrow_types[i].type;
        for (size_t k = 0; k < sizeof narrow_in / sizeof *narrow_in; k++) {
            for (int saturate = 0; saturate < 2; saturate++) {
                float f = from_bits(narrow_in[k]);
                int got = dtype_f32_to_f8(t, f, saturate),
                    want = narrow_types[i].narrow[saturate][k];
                if (!CHECK(got == want))
                    printf("%s of %a, saturate %d: %#x, not %#x\n", dtype_name(t), (double)f,
                           saturate, got, want);
            }
        }
    }
}

/* ONNX's tables of special values. */
static void specials(void)
{
    static const struct {
        enum dtype t;
        float in;
        uint8_t plain, saturated;
    } rows[] = {
        {DTYPE_F8E4M3FN, INFINITY, 0x7f, 0x7e},     {DTYPE_F8E4M3FN, -INFINITY, 0xff, 0xfe},
        {DTYPE_F8E4M3FN, 464, 0x7e, 0x7e},          {DTYPE_F8E4M3FN, 465, 0x7f, 0x7e},
        {DTYPE_F8E4M3FN, -0.0f, 0x80, 0x80},        {DTYPE_F8E4M3FNUZ, -0.0f, 0, 0},
        {DTYPE_F8E4M3FNUZ, INFINITY, 0x80, 0x7f},   {DTYPE_F8E4M3FNUZ, -1e9f, 0x80, 0xff},
        {DTYPE_F8E4M3FNUZ, -1e-9f, 0, 0},           {DTYPE_F8E5M2, INFINITY, 0x7c, 0x7b},
        {DTYPE_F8E5M2, -INFINITY, 0xfc, 0xfb},      {DTYPE_F8E5M2, 1e9f, 0x7c, 0x7b},
        {DTYPE_F8E5M2FNUZ, -INFINITY, 0x80, 0xff},  {DTYPE_F8E5M2FNUZ, 1e9f, 0x80, 0x7f},
        {DTYPE_F8E8M0, 0, 0, 0},                    {DTYPE_F8E8M0, INFINITY, 0xff, 0xfe},
        {DTYPE_F8E8M0, 3.4e38f, 0xff, 0xfe},        {DTYPE_F8E8M0, 1.5f, 0x80, 0x80},
        {DTYPE_F8E8M0, 0x1p-127f, 0, 0},            {DTYPE_F8E8M0, 0x1.8p-127f, 1, 1},
        {DTYPE_F4E2M1, 5, 6, 6},                    {DTYPE_F4E2M1, -100, 0xf, 0xf},
        {DTYPE_F4E2M1, 0.25f, 0, 0},                {DTYPE_F6E3M2, INFINITY, 0x1f, 0x1f},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK(dtype_f32_to_f8(rows[i].t, rows[i].in, false) == rows[i].plain);
        CHECK(dtype_f32_to_f8(rows[i].t, rows[i].in, true) == rows[i].saturated);
    }
    CHECK(dtype_f32_to_e8m0(1.5f, E8M0_DOWN, true) == 0x7f);
    CHECK(dtype_f32_to_e8m0(1.5f, E8M0_NEAREST, true) == 0x80);
    CHECK(dtype_f32_to_e8m0(1.49f, E8M0_NEAREST, true) == 0x7f);
}

/* By the definition of the fields, with the C library's arithmetic. */
static double half_value(unsigned h, int man, int bias)
{
    unsigned field = (h & 0x7fff) >> man, rest = h & ((1u << man) - 1);
    double v =
        field ? ldexp((1u << man) + rest, (int)field - bias - man) : ldexp(rest, 1 - bias - man);
    if (field == 0x7fffu >> man)
        v = rest ? (double)NAN : (double)INFINITY;
    return h & 0x8000 ? -v : v;
}

static uint16_t to16(bool bf, float f)
{
    return bf ? dtype_f32_to_bf16(f) : dtype_f32_to_f16(f);
}

static void sixteen_bits(void)
{
    for (int bf = 0; bf < 2; bf++) {
        int man = bf ? 7 : 10, bias = bf ? 127 : 15, bad = 0;
        unsigned inf = bf ? 0x7f80 : 0x7c00;
        enum dtype t = bf ? DTYPE_BF16 : DTYPE_F16;
        for (unsigned h = 0; h < 65536; h++) {
            double v = half_value(h, man, bias);
            float f = bf ? dtype_bf16_to_f32((uint16_t)h) : dtype_f16_to_f32((uint16_t)h);
            bad += isnan(v) ? !isnan(f) : bits_of(f) != bits_of((float)v);
            uint16_t back = to16(bf, f);
            bad += isnan(v) ? (back & 0x7fff) <= inf : back != h;
        }
        CHECK(bad == 0);
        bad = 0;
        /* Between neighbours: the tie goes to the even one, a little beside it to the nearer one.
         */
        for (unsigned h = 0; h < inf; h++) {
            double lower = half_value(h, man, bias), upper = half_value(h + 1, man, bias);
            double tie = isinf(upper) ? lower + (lower - half_value(h - 1, man, bias)) / 2
                                      : lower / 2 + upper / 2;
            unsigned even = h & 1 ? h + 1 : h;
            bad += to16(bf, (float)tie) != even || to16(bf, (float)-tie) != (even | 0x8000);
            bad += to16(bf, nextafterf((float)tie, 0)) != h;
            bad += to16(bf, nextafterf((float)tie, INFINITY)) != h + 1;
            uint16_t once[2];
            dtype_store_f64(t, &once[0], nextafter(tie, 0)); /* f32 has no room for these: */
            dtype_store_f64(t, &once[1], nextafter(tie, (double)INFINITY)); /* no rounding twice */
            bad += once[0] != h || once[1] != h + 1;
        }
        CHECK(bad == 0);
    }
}

static void elements(void)
{
    static const struct {
        enum dtype t;
        double in, out;
        int64_t whole;
    } rows[] = {
        {DTYPE_U8, 300.7, 44, 44},
        {DTYPE_I8, -129, 127, 127},
        {DTYPE_U4, 17, 1, 1},
        {DTYPE_I4, 9, -7, -7},
        {DTYPE_I2, 2, -2, -2},
        {DTYPE_U2, -1, 3, 3},
        {DTYPE_BOOL, 0.5, 1, 1},
        {DTYPE_BOOL, 0, 0, 0},
        {DTYPE_I32, -2.9, -2, -2},
        {DTYPE_U32, -1, 4294967295., 4294967295},
        {DTYPE_I16, 70000, 4464, 4464},
        {DTYPE_F32, 16777217, 16777216, 16777216},
        {DTYPE_F64, 0.1, 0.1, 0},
        {DTYPE_F8E4M3FN, 1000, 448, 448},
        {DTYPE_F16, 2049, 2048, 2048},
        {DTYPE_F4E2M1, -9, -6, -6},
        {DTYPE_U64, 0x1p63, 0x1p63, INT64_MIN},
        {DTYPE_I64, -0x1p63, -0x1p63, INT64_MIN},
        {DTYPE_I64, 1e30, -0x1p63, INT64_MIN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char raw[17]; /* at an odd address */
        dtype_store_f64(rows[i].t, raw + 1, rows[i].in);
        CHECK(dtype_load_f64(rows[i].t, raw + 1) == rows[i].out);
        CHECK(dtype_load_i64(rows[i].t, raw + 1) == rows[i].whole);
    }
    uint16_t h;
    float f;
    int64_t odd = ((int64_t)0x101 << 47) + 1; /* just above a tie of bf16; double cannot hold it */
    dtype_store_i64(DTYPE_BF16, &h, odd);
    CHECK(h == 0x5b01);
    dtype_store_i64(DTYPE_BF16, &h, odd - 1);
    CHECK(h == 0x5b00);
    dtype_store_i64(DTYPE_F32, &f, -16777217);
    CHECK(f == -16777216);
    double nan = (double)NAN;
    int32_t i32;
    dtype_store_f64(DTYPE_I32, &i32, nan);
    CHECK(i32 == 0);
}

static void packed(void)
{
    static const enum dtype types[] = {DTYPE_U4,     DTYPE_I4,     DTYPE_U2,    DTYPE_I2,
                                       DTYPE_F4E2M1, DTYPE_F6E2M3, DTYPE_F6E3M2};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        enum dtype t = types[i];
        unsigned bits = dtype_bits(t), mask = (1u << bits) - 1;
        for (size_t n = 0; n < 40; n++) {
            uint8_t in[40], pack[40], out[40];
            memset(pack, 0xaa, sizeof pack);
            for (size_t k = 0; k < n; k++) {
                uint8_t v = (uint8_t)(k * 37 + 11) & mask;
                in[k] = dtype_kind(t) == 'I' && v >> (bits - 1) ? (uint8_t)(v | ~mask) : v;
            }
            size_t bytes = dtype_packed_bytes(t, n);
            CHECK(bytes == (n * bits + 7) / 8);
            dtype_pack(t, in, pack, n);
            CHECK(pack[bytes] == 0xaa);
            dtype_unpack(t, pack, out, n);
            CHECK(memcmp(in, out, n) == 0);
        }
    }
    uint8_t four[] = {1, 2, 0xf, 8}, six[] = {1, 2, 3, 0x3f}, got[3];
    dtype_pack(DTYPE_U4, four, got, 4);
    CHECK(got[0] == 0x21 && got[1] == 0x8f);
    dtype_pack(DTYPE_F6E2M3, six, got, 4);
    CHECK(got[0] == 0x81 && got[1] == 0x30 && got[2] == 0xfc);
    CHECK(dtype_packed_bytes(DTYPE_F6E2M3, SIZE_MAX) > SIZE_MAX / 2);
}

static const struct unit_test tests[] = {
    TEST(table), TEST(widen_narrow), TEST(narrow_widths), TEST(specials),
    TEST(sixteen_bits), TEST(elements), TEST(packed),
};
UNIT_MAIN(tests)
