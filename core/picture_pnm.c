/* SPDX-License-Identifier: Apache-2.0 */
/* PNM: PBM, PGM and PPM, as text (P1 to P3) and as bytes (P4 to P6); the first picture of a file. */
#include "core/picture_format.h"

#include <stdbool.h>

struct pnm {
    const uint8_t *data;
    size_t size, at;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* White space, and comments from # to the end of a line. */
static void skip(struct pnm *f)
{
    for (bool comment = false; f->at < f->size; f->at++) {
        uint8_t c = f->data[f->at];
        comment = comment ? c != '\n' && c != '\r' : c == '#';
        if (!comment && !is_space(c))
            return;
    }
}

/* A whole number of at most `most`; the picture's text, or its header. */
static int number(struct pnm *f, int64_t most, int64_t *out, struct err *e)
{
    skip(f);
    size_t from = f->at;
    for (*out = 0; f->at < f->size && f->data[f->at] >= '0' && f->data[f->at] <= '9' && *out <= most; f->at++)
        *out = *out * 10 + (f->data[f->at] - '0');
    if (f->at == from)
        return err_set(e, ERR_INPUT, f->at == f->size ? "the file is cut off" : "a number is expected at byte %zu",
                       f->at);
    return *out <= most ? 0 : err_set(e, ERR_INPUT, "a number above %lld at byte %zu", (long long)most, from);
}

/* One sample of the picture, scaled to 8 bits. */
static int sample(struct pnm *f, int kind, int64_t most, uint8_t *out, struct err *e)
{
    int64_t v;
    if (kind == 1) { /* digits may stand without space between */
        skip(f);
        if (f->at == f->size || (f->data[f->at] != '0' && f->data[f->at] != '1'))
            return err_set(e, ERR_INPUT, "a 0 or 1 is expected at byte %zu", f->at);
        *out = f->data[f->at++] == '0' ? 255 : 0;
        return 0;
    }
    int rc = number(f, most, &v, e);
    *out = rc ? 0 : (uint8_t)((v * 255 + most / 2) / most);
    return rc;
}

static int read_text(struct pnm *f, int kind, int64_t most, struct picture *p, struct err *e)
{
    size_t n = (size_t)p->width * (size_t)p->height;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        for (int c = 0; c < 3 && !rc; c++) {
            if (kind == 3 || c == 0)
                rc = sample(f, kind, most, &p->rgb[3 * i + (size_t)c], e);
            else
                p->rgb[3 * i + (size_t)c] = p->rgb[3 * i];
        }
    return rc;
}

static int read_bytes(struct pnm *f, int kind, int64_t most, struct picture *p, struct err *e)
{
    size_t bytes = most > 255 ? 2 : 1, channels = kind == 6 ? 3 : 1, width = (size_t)p->width;
    size_t stride = kind == 4 ? (width + 7) / 8 : width * channels * bytes;
    if ((f->size - f->at) / stride < (size_t)p->height)
        return err_set(e, ERR_INPUT, "the file is cut off");
    for (size_t y = 0; y < (size_t)p->height; y++) {
        const uint8_t *row = f->data + f->at + y * stride;
        for (size_t i = 0; i < 3 * width; i++) {
            size_t at = channels == 3 ? i : i / 3;
            uint32_t v = kind == 4    ? (row[at / 8] >> (7 - at % 8) & 1 ? 0 : 255)
                         : bytes == 2 ? (uint32_t)row[2 * at] << 8 | row[2 * at + 1]
                                      : row[at];
            v = v > (uint32_t)most ? (uint32_t)most : v;
            p->rgb[y * 3 * width + i] = (uint8_t)(((int64_t)v * 255 + most / 2) / most);
        }
    }
    return 0;
}

int picture_read_pnm(struct picture *p, struct budget *b, const uint8_t *data, size_t size, struct err *e)
{
    struct pnm f = {data, size, 2};
    int kind = data[1] - '0';
    int64_t width, height, most = 255;
    int rc = number(&f, INT32_MAX, &width, e);
    rc = rc ? rc : number(&f, INT32_MAX, &height, e);
    if (!rc && kind % 3 != 1) /* a bitmap has no largest value */
        rc = number(&f, 65535, &most, e);
    if (!rc && most < 1)
        rc = err_set(e, ERR_INPUT, "a largest value of 0");
    if (!rc && (f.at == size || !is_space(data[f.at])))
        rc = err_set(e, ERR_INPUT, "the file is cut off");
    rc = rc ? rc : picture_make(p, b, width, height, e);
    f.at++; /* one white space ends the header */
    if (rc)
        return rc;
    return kind <= 3 ? read_text(&f, kind, most, p, e) : read_bytes(&f, kind, most, p, e);
}
