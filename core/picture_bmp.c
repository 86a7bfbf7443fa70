/* SPDX-License-Identifier: Apache-2.0 */
/* BMP: uncompressed 1, 4, 8, 16, 24 and 32 bits a pixel, with masks, and run-length coded 4 and 8 bits.
 *
 *   0 "BM"   10 offset of the pixels   14 size of the header that follows (12 or at least 40)
 *  18 width  22 height (negative: rows from the top)  28 bits a pixel  30 compression  46 colours
 *  54 masks of red, green, blue; then the palette, of 4 bytes a colour (3 after a header of 12)
 */
#include "core/picture_format.h"

#include <stdbool.h>
#include <string.h>

enum { COMPRESSION_NONE, COMPRESSION_RLE8, COMPRESSION_RLE4, COMPRESSION_MASKS, COMPRESSION_ALPHA_MASKS = 6 };

struct bmp {
    const uint8_t *data;
    size_t size, pixels, palette, entry; /* places in data; bytes of a colour */
    int64_t width, height;
    bool top_down;
    uint32_t bits, compression, colours, masks[3];
};

static uint32_t get(const uint8_t *p, int bytes)
{
    uint32_t v = 0;
    for (int i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static int cut_off(struct err *e)
{
    return err_set(e, ERR_INPUT, "the file is cut off");
}

static bool bits_known(const struct bmp *f)
{
    switch (f->compression) {
    case COMPRESSION_NONE:
        return f->bits == 1 || f->bits == 4 || f->bits == 8 || f->bits == 16 || f->bits == 24 || f->bits == 32;
    case COMPRESSION_RLE8:
        return f->bits == 8;
    case COMPRESSION_RLE4:
        return f->bits == 4;
    default:
        return (f->compression == COMPRESSION_MASKS || f->compression == COMPRESSION_ALPHA_MASKS) &&
               (f->bits == 16 || f->bits == 32);
    }
}

static void read_masks(struct bmp *f, size_t header)
{
    static const uint32_t five[] = {0x7c00, 0x3e0, 0x1f}, eight[] = {0xff0000, 0xff00, 0xff};
    memcpy(f->masks, f->bits == 16 ? five : eight, sizeof f->masks);
    if ((f->compression != COMPRESSION_MASKS && f->compression != COMPRESSION_ALPHA_MASKS) || f->size < 66)
        return;
    for (int i = 0; i < 3; i++)
        f->masks[i] = get(f->data + 54 + 4 * i, 4);
    f->palette += header == 40 ? 12 : 0;
}

static int read_header(struct bmp *f, struct err *e)
{
    const uint8_t *d = f->data;
    if (f->size < 26)
        return cut_off(e);
    size_t header = get(d + 14, 4);
    f->pixels = get(d + 10, 4);
    f->entry = header == 12 ? 3 : 4;
    if ((header != 12 && header < 40) || header > 4096)
        return err_set(e, ERR_INPUT, "a header of %zu bytes", header);
    if (f->size < 14 + header)
        return cut_off(e);
    if (header == 12) {
        f->width = get(d + 18, 2);
        f->height = get(d + 20, 2);
        f->bits = get(d + 24, 2);
    } else {
        f->width = (int32_t)get(d + 18, 4);
        f->height = (int32_t)get(d + 22, 4);
        f->bits = get(d + 28, 2);
        f->compression = get(d + 30, 4);
        f->colours = get(d + 46, 4);
    }
    f->top_down = f->height < 0;
    f->height = f->top_down ? -f->height : f->height;
    f->palette = 14 + header;
    if (!bits_known(f))
        return err_set(e, ERR_UNSUPPORTED, "%u bits a pixel with compression %u", f->bits, f->compression);
    read_masks(f, header);
    if (f->bits <= 8 && (f->colours == 0 || f->colours > 1u << f->bits))
        f->colours = 1u << f->bits;
    if (f->pixels > f->size || (f->bits <= 8 && f->palette + f->colours * f->entry > f->size))
        return cut_off(e);
    return 0;
}

/* An index outside the palette is black. */
static void put_index(const struct bmp *f, uint32_t index, uint8_t *to)
{
    const uint8_t *p = f->data + f->palette + index * f->entry;
    for (int c = 0; c < 3; c++)
        to[c] = index < f->colours ? p[2 - c] : 0;
}

/* The bits under a mask, scaled to 8. */
static uint8_t masked(uint32_t pixel, uint32_t mask)
{
    if (!mask)
        return 0;
    int shift = __builtin_ctz(mask);
    uint64_t most = mask >> shift;
    return (uint8_t)(((pixel & mask) >> shift) * (uint64_t)255 / most);
}

static void put_row(const struct bmp *f, const uint8_t *row, uint8_t *to)
{
    for (int64_t x = 0; x < f->width; x++, to += 3) {
        if (f->bits <= 8) {
            uint32_t per = 8 / f->bits, shift = 8 - f->bits * (uint32_t)(x % per + 1);
            put_index(f, row[x / per] >> shift & ((1u << f->bits) - 1), to);
        } else if (f->bits == 24) {
            for (int c = 0; c < 3; c++)
                to[c] = row[3 * x + 2 - c];
        } else {
            uint32_t pixel = get(row + x * (f->bits / 8), (int)f->bits / 8);
            for (int c = 0; c < 3; c++)
                to[c] = masked(pixel, f->masks[c]);
        }
    }
}

static uint8_t *row_of(const struct bmp *f, struct picture *p, int64_t y)
{
    return p->rgb + (size_t)(f->top_down ? y : f->height - 1 - y) * (size_t)f->width * 3;
}

static int read_plain(const struct bmp *f, struct picture *p, struct err *e)
{
    size_t stride = ((size_t)f->width * f->bits + 31) / 32 * 4;
    if ((f->size - f->pixels) / stride < (size_t)f->height)
        return cut_off(e);
    for (int64_t y = 0; y < f->height; y++)
        put_row(f, f->data + f->pixels + (size_t)y * stride, row_of(f, p, y));
    return 0;
}

/* Runs: (count, index) or (0, command): 0 end of row, 1 end, 2 move by (dx, dy), n >= 3 that many
 * indices, padded to two bytes. Pixels that no run reaches are index 0; what lies outside is let pass. */
static int read_runs(const struct bmp *f, struct picture *p, struct err *e)
{
    int64_t x = 0, y = 0;
    uint32_t half = f->bits == 4;
    for (int64_t i = 0; i < f->width * f->height; i++)
        put_index(f, 0, p->rgb + 3 * i);
    for (size_t at = f->pixels; at + 2 <= f->size && y < f->height;) {
        uint32_t count = f->data[at], value = f->data[at + 1];
        const uint8_t *list = NULL;
        at += 2;
        if (count == 0 && value < 3) {
            if (value == 1)
                return 0;
            if (value == 2 && at + 2 > f->size)
                return cut_off(e);
            x = value == 0 ? 0 : x + f->data[at];
            y += value == 0 ? 1 : f->data[at + 1];
            at += value == 2 ? 2 : 0;
            continue;
        }
        if (count == 0) {
            list = f->data + at;
            count = value;
            size_t bytes = half ? (count + 1) / 2 : count;
            at += (bytes + 1) / 2 * 2;
            if ((size_t)(list - f->data) + bytes > f->size)
                return cut_off(e);
        }
        for (uint32_t i = 0; i < count; i++, x++) {
            uint32_t byte = !list ? value : half ? list[i / 2] : list[i];
            if (x < f->width)
                put_index(f, half ? (i % 2 ? byte & 15 : byte >> 4) : byte, row_of(f, p, y) + 3 * x);
        }
    }
    return 0;
}

int picture_read_bmp(struct picture *p, struct budget *b, const uint8_t *data, size_t size, struct err *e)
{
    struct bmp f = {.data = data, .size = size};
    int rc = read_header(&f, e);
    rc = rc ? rc : picture_make(p, b, f.width, f.height, e);
    if (rc)
        return rc;
    bool runs = f.compression == COMPRESSION_RLE8 || f.compression == COMPRESSION_RLE4;
    return runs ? read_runs(&f, p, e) : read_plain(&f, p, e);
}
