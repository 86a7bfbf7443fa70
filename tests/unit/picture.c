/* SPDX-License-Identifier: Apache-2.0 */
#include "core/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "tests/unit/picture_data.h"
#include "tests/unit/unit.h"

/* Decode, and leave nothing behind if it fails. A format that the build lacks counts as skipped. */
static int decode(struct picture *p, const void *data, size_t size)
{
    struct budget b;
    struct err e = {0};
    budget_init(&b, SIZE_MAX, NULL);
    struct picture made;
    int rc = picture_decode(&made, &b, data, size, &e);
    if (rc) {
        CHECK(e.code == rc && e.msg[0] && b.used == 0 && !made.rgb);
        if (rc == ERR_UNSUPPORTED)
            unit_skip(e.msg);
        return rc;
    }
    CHECK(picture_known(data, size));
    *p = made;
    p->rgb = mem_alloc(NULL, mem_size(made.rgb), NULL); /* b ends here */
    memcpy(p->rgb, made.rgb, mem_size(made.rgb));
    picture_clear(&made);
    CHECK(b.used == 0);
    return 0;
}

static void expect(const void *data, size_t size, int width, int height, const uint8_t *rgb,
                   int slack)
{
    struct picture p;
    int rc = decode(&p, data, size);
    if (rc == ERR_UNSUPPORTED || !CHECK(rc == 0))
        return;
    if (CHECK(p.width == width && p.height == height))
        for (int i = 0; i < width * height * 3; i++)
            CHECK(abs(p.rgb[i] - rgb[i]) <= slack);
    picture_clear(&p);
}

static void png(void)
{
    expect(png_rgb, sizeof png_rgb, 3, 2,
           (uint8_t[]){10, 20, 30, 40, 50, 60, 70, 80, 90, 1, 2, 3, 4, 5, 6, 255, 0, 128}, 0);
    uint8_t grey[24];
    for (int i = 0; i < 24; i++)
        grey[i] = 0xb1 >> (7 - i / 3) & 1 ? 255 : 0;
    expect(png_grey1, sizeof png_grey1, 8, 1, grey, 0);
    expect(png_palette, sizeof png_palette, 2, 1, (uint8_t[]){200, 100, 50, 9, 8, 7}, 0);
    /* 128/257 = 0.498 and 129/257 = 0.502: rounded, not cut */
    expect(png_rgba16, sizeof png_rgba16, 2, 1, (uint8_t[]){0, 255, 128, 0, 1, 2}, 0);
}

static void solid(const void *data, size_t size, int side, int r, int g, int b)
{
    uint8_t rgb[16 * 16 * 3];
    for (int i = 0; i < side * side; i++) {
        rgb[i * 3] = (uint8_t)r;
        rgb[i * 3 + 1] = (uint8_t)g;
        rgb[i * 3 + 2] = (uint8_t)b;
    }
    expect(data, size, side, side, rgb, 4);
}

static void jpeg(void)
{
    solid(jpeg_rgb, sizeof jpeg_rgb, 8, 200, 100, 50);
    solid(jpeg_progressive, sizeof jpeg_progressive, 8, 200, 100, 50);
    solid(jpeg_grey, sizeof jpeg_grey, 8, 77, 77, 77);
    solid(jpeg_cmyk, sizeof jpeg_cmyk, 8, 200 * 230 / 255, 100 * 230 / 255, 50 * 230 / 255);
}

static void webp(void)
{
    uint8_t rgb[36];
    for (int i = 0; i < 12; i++) {
        rgb[i * 3] = (uint8_t)(i * 20);
        rgb[i * 3 + 1] = (uint8_t)(255 - i * 20);
        rgb[i * 3 + 2] = (uint8_t)i;
    }
    expect(webp_lossless, sizeof webp_lossless, 4, 3, rgb, 0);
    solid(webp_lossy, sizeof webp_lossy, 16, 200, 100, 50);
}

/* 60x, 80y and 40xy, mod 256. */
static void gradient(const void *data, size_t size)
{
    uint8_t rgb[36];
    for (int y = 0; y < 3; y++)
        for (int x = 0; x < 4; x++) {
            uint8_t *to = rgb + (y * 4 + x) * 3;
            to[0] = (uint8_t)(60 * x);
            to[1] = (uint8_t)(80 * y);
            to[2] = (uint8_t)(40 * x * y);
        }
    expect(data, size, 4, 3, rgb, 0);
}

static void palette(const void *data, size_t size, const uint8_t *indices)
{
    static const uint8_t colours[4][3] = {{10, 20, 30}, {200, 100, 50}, {0, 255, 0}, {7, 8, 9}};
    uint8_t rgb[36];
    for (int i = 0; i < 12; i++)
        memcpy(rgb + 3 * i, colours[indices[i]], 3);
    expect(data, size, 4, 3, rgb, 0);
}

static void bmp(void)
{
    gradient(bmp_rgb, sizeof bmp_rgb);
    palette(bmp_palette, sizeof bmp_palette, (uint8_t[]){0, 1, 2, 3, 3, 2, 1, 0, 1, 1, 2, 2});
    /* rows from the bottom: a run of two and two, four by name, a run of four */
    palette(bmp_runs, sizeof bmp_runs, (uint8_t[]){0, 0, 0, 0, 3, 2, 1, 0, 1, 1, 2, 2});
    uint8_t flipped[sizeof bmp_rgb];
    memcpy(flipped, bmp_rgb, sizeof bmp_rgb);
    memcpy(flipped + 22, "\xfd\xff\xff\xff", 4); /* a height of -3: rows from the top */
    struct picture p;
    if (CHECK(decode(&p, flipped, sizeof flipped) == 0)) {
        CHECK(p.height == 3 && p.rgb[1] == 160 && p.rgb[4 * 3 * 2 + 1] == 0);
        picture_clear(&p);
    }
}

static void pnm(void)
{
    uint8_t grey[36], bits[36];
    gradient(ppm, sizeof ppm);
    for (int i = 0; i < 36; i++) {
        grey[i] = (uint8_t)(i / 3 == 11 ? 255 : 17 * (i / 3));
        bits[i] = (0xa5f >> (11 - i / 3) & 1) ? 0 : 255; /* 1 is black */
    }
    expect(pgm_text, sizeof pgm_text, 4, 3, grey, 0);
    expect(pbm, sizeof pbm, 4, 3, bits, 0);
    static const char text[] = "P1 #c\n4 3 1010 0101\n1111", wide[] = "P5 1 2 65535\n\x80\x00\xff\xff";
    expect(text, sizeof text - 1, 4, 3, bits, 0);
    expect(wide, sizeof wide - 1, 1, 2, (uint8_t[]){128, 128, 128, 255, 255, 255}, 0);
    struct picture p;
    CHECK(decode(&p, "P5 1 1 0\n\1", 10) == ERR_INPUT);
    CHECK(decode(&p, "P5 0 1 255\n", 11) == ERR_INPUT);
    CHECK(decode(&p, "P2 1 1 15 16", 12) == ERR_INPUT);
    CHECK(decode(&p, "P6 99999 1 255\n", 15) == ERR_LIMIT);
}

static void tiff_and_jpeg2000(void)
{
    gradient(tiff_lzw, sizeof tiff_lzw);
    gradient(jpeg2000, sizeof jpeg2000);
}

#define BLOB(name) {name, sizeof name}
static const struct blob {
    const uint8_t *data;
    size_t size;
} blobs[] = {
    BLOB(png_rgb),  BLOB(png_rgba16), BLOB(jpeg_rgb),      BLOB(jpeg_progressive),
    BLOB(jpeg_grey), BLOB(jpeg_cmyk), BLOB(webp_lossless), BLOB(webp_lossy),
    BLOB(bmp_rgb),  BLOB(bmp_palette), BLOB(ppm),          BLOB(tiff_lzw),
    BLOB(jpeg2000),
};

/* Every proper prefix is an error, but for one that lacks no more than a PNG's last checksum or a
 * JPEG's end mark. A copy on the heap lets a sanitizer see reads beyond the end. */
static void cut_off(void)
{
    for (size_t i = 0; i < sizeof blobs / sizeof *blobs; i++) {
        for (size_t n = 0; n + 4 < blobs[i].size; n++) {
            uint8_t *copy = malloc(n + !n);
            struct picture p;
            memcpy(copy, blobs[i].data, n);
            int rc = decode(&p, copy, n);
            free(copy);
            if (rc == ERR_UNSUPPORTED)
                break;
            if (!CHECK(rc == ERR_INPUT)) {
                printf("picture %zu of %zu bytes at %zu\n", i, blobs[i].size, n);
                if (!rc)
                    picture_clear(&p);
            }
        }
    }
}

/* Bytes changed at random: any answer, no harm. */
static void damaged(void)
{
    unsigned seed = 12345;
    struct budget b;
    budget_init(&b, (size_t)64 << 20, NULL);
    for (size_t i = 0; i < sizeof blobs / sizeof *blobs; i++) {
        for (int round = 0; round < 400; round++) {
            uint8_t copy[2048];
            if (!CHECK(blobs[i].size <= sizeof copy))
                break;
            memcpy(copy, blobs[i].data, blobs[i].size);
            for (int k = 0; k < 1 + round % 3; k++) {
                seed = seed * 1103515245 + 12345;
                copy[(seed >> 8) % blobs[i].size] ^= (uint8_t)(1 + (seed >> 24) % 255);
            }
            struct picture p;
            if (picture_decode(&p, &b, copy, blobs[i].size, NULL) == 0)
                picture_clear(&p);
            CHECK(b.used == 0);
        }
    }
}

static void limits(void)
{
    struct picture p;
    struct err e = {0};
    CHECK(picture_decode(&p, NULL, "GIF89a, not a picture here", 20, &e) == ERR_INPUT && !p.rgb);
    CHECK(!picture_known("RIFF....WAVE", 12) && picture_known("RIFF....WEBP", 12));
    CHECK(picture_decode(&p, NULL, "", 0, NULL) == ERR_INPUT);
    /* A budget that is too small, and a process without memory. */
    struct budget b;
    budget_init(&b, 50, NULL);
    err_clear(&e);
    int rc = picture_decode(&p, &b, png_rgb, sizeof png_rgb, &e);
    CHECK(rc == ERR_LIMIT || rc == ERR_UNSUPPORTED);
    for (size_t i = 0; i < sizeof blobs / sizeof *blobs; i++) {
        for (uint64_t n = 1; n < 200; n++) {
            budget_init(&b, SIZE_MAX, NULL);
            size_t before = budget_process()->used;
            mem_fail_after(n, false);
            rc = picture_decode(&p, &b, blobs[i].data, blobs[i].size, NULL);
            bool reached = mem_fail_count() >= n;
            mem_fail_after(0, false);
            CHECK(!reached || rc < 0);
            picture_clear(&p);
            CHECK(b.used == 0 && budget_process()->used == before);
            if (!reached)
                break;
        }
    }
}

static double triangle(double in_per_out, int out_index, int in_index)
{
    double width = in_per_out > 1 ? in_per_out : 1;
    double v = 1 - fabs((in_index + 0.5 - (out_index + 0.5) * in_per_out) / width);
    return v > 0 ? v : 0;
}

/* The definition, in double and two-dimensional. */
static double resized(const struct picture *p, int w, int h, int x, int y, int c)
{
    double sum = 0, weight = 0, sx = (double)p->width / w, sy = (double)p->height / h;
    for (int j = 0; j < p->height; j++) {
        for (int i = 0; i < p->width; i++) {
            double v = triangle(sx, x, i) * triangle(sy, y, j);
            sum += v * p->rgb[((size_t)j * p->width + i) * 3 + c];
            weight += v;
        }
    }
    return sum / weight;
}

static void resize(void)
{
    static const int dims[][2] = {{13, 9}, {1, 1}, {7, 20}, {40, 3}, {26, 18}, {12, 10}, {200, 1}};
    struct picture in = {13, 9, mem_alloc(NULL, 13 * 9 * 3, NULL)}, out;
    unsigned seed = 5;
    for (int i = 0; i < 13 * 9 * 3; i++)
        in.rgb[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 20);
    for (size_t k = 0; k < sizeof dims / sizeof *dims; k++) {
        int w = dims[k][0], h = dims[k][1];
        if (!CHECK(picture_resize(&out, &in, w, h, NULL, NULL) == 0))
            continue;
        CHECK(out.width == w && out.height == h);
        for (int i = 0; i < w * h * 3; i++)
            CHECK(fabs(out.rgb[i] - resized(&in, w, h, i / 3 % w, i / 3 / w, i % 3)) < 0.501);
        if (k == 0)
            CHECK(memcmp(in.rgb, out.rgb, 13 * 9 * 3) == 0);
        picture_clear(&out);
    }
    CHECK(picture_resize(&out, &in, 0, 5, NULL, NULL) == ERR_INPUT);
    CHECK(picture_resize(&out, &in, 5, PICTURE_DIM_MAX + 1, NULL, NULL) == ERR_LIMIT);
    for (uint64_t n = 1; n < 100; n++) {
        struct budget b;
        budget_init(&b, SIZE_MAX, NULL);
        mem_fail_after(n, false);
        int rc = picture_resize(&out, &in, 20, 20, &b, NULL);
        mem_fail_after(0, false);
        if (rc == 0)
            picture_clear(&out);
        CHECK(b.used == 0);
        if (rc == 0)
            break;
    }
    picture_clear(&in);
}

static void photographs(void)
{
    static const struct {
        const char *name;
        int width, height;
    } files[] = {
        {"kitten_224.png", 224, 224}, {"fish.png", 0, 0}, {"bus.jpg", 0, 0}, {"wolves.jpg", 0, 0}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct err e = {0};
        struct file *f =
            file_open_beneath(NULL, TESTDATA "/models/media", files[i].name, true, false, &e);
        if (!f) {
            unit_skip(e.msg);
            continue;
        }
        struct picture p, small;
        int rc = decode(&p, f->data, f->size);
        if (rc != ERR_UNSUPPORTED && CHECK(rc == 0)) {
            CHECK(p.width > 100 && p.height > 100);
            CHECK(!files[i].width || (p.width == files[i].width && p.height == files[i].height));
            CHECK(picture_resize(&small, &p, 224, 224, NULL, NULL) == 0);
            picture_clear(&small);
            picture_clear(&p);
            CHECK(decode(&p, f->data, f->size / 2) == ERR_INPUT);
        }
        file_unref(f);
    }
}

static const struct unit_test tests[] = {
    TEST(png),     TEST(jpeg),   TEST(webp),   TEST(bmp),
    TEST(pnm),     TEST(tiff_and_jpeg2000), TEST(cut_off),
    TEST(damaged), TEST(limits), TEST(resize), TEST(photographs),
};
UNIT_MAIN(tests)
