/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <tiffio.h>

#include "core/picture_format.h"

/* The file as libtiff reads it, and its first complaint. */
struct source {
    const uint8_t *data;
    uint64_t size, at;
    char text[160];
};

static tmsize_t on_read(thandle_t h, void *to, tmsize_t n)
{
    struct source *s = h;
    uint64_t left = s->at < s->size ? s->size - s->at : 0, take = (uint64_t)n < left ? (uint64_t)n : left;
    if (take)
        memcpy(to, s->data + s->at, take);
    s->at += take;
    return (tmsize_t)take;
}

static tmsize_t on_write(thandle_t h, void *from, tmsize_t n)
{
    return 0;
}

static toff_t on_seek(thandle_t h, toff_t to, int whence)
{
    struct source *s = h;
    s->at = whence == SEEK_SET ? to : whence == SEEK_CUR ? s->at + to : s->size + to;
    return s->at;
}

static int on_close(thandle_t h)
{
    return 0;
}

static toff_t on_size(thandle_t h)
{
    return ((struct source *)h)->size;
}

static int on_map(thandle_t h, void **base, toff_t *size)
{
    return 0;
}

static void on_unmap(thandle_t h, void *base, toff_t size)
{
}

static int on_error(TIFF *t, void *user, const char *where, const char *format, va_list list)
{
    struct source *s = user;
    if (!*s->text)
        vsnprintf(s->text, sizeof s->text, format, list);
    return 1;
}

static int on_warning(TIFF *t, void *user, const char *where, const char *format, va_list list)
{
    return 1;
}

static TIFF *open_source(struct source *s, size_t most)
{
    TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
    if (!o)
        return NULL;
    TIFFOpenOptionsSetErrorHandlerExtR(o, on_error, s);
    TIFFOpenOptionsSetWarningHandlerExtR(o, on_warning, s);
    TIFFOpenOptionsSetMaxSingleMemAlloc(o, (tmsize_t)most);
    TIFF *t = TIFFClientOpenExt("picture", "rm", s, on_read, on_write, on_seek, on_close, on_size, on_map, on_unmap, o);
    TIFFOpenOptionsFree(o);
    return t;
}

/* libtiff makes a raster of 4 bytes a pixel, from strips or tiles of any layout. */
static int decode(TIFF *t, struct source *s, struct picture *p, struct budget *b, struct err *e)
{
    char why[1024];
    size_t n = (size_t)p->width * (size_t)p->height;
    if (!TIFFRGBAImageOK(t, why))
        return err_set(e, ERR_UNSUPPORTED, "%.160s", why);
    uint32_t *raster = mem_alloc(b, n * sizeof *raster, e);
    if (!raster)
        return e && e->code ? e->code : ERR_MEMORY;
    int ok = TIFFReadRGBAImageOriented(t, (uint32_t)p->width, (uint32_t)p->height, raster, ORIENTATION_TOPLEFT, 1);
    for (size_t i = 0; i < n && ok; i++) {
        p->rgb[3 * i] = (uint8_t)TIFFGetR(raster[i]);
        p->rgb[3 * i + 1] = (uint8_t)TIFFGetG(raster[i]);
        p->rgb[3 * i + 2] = (uint8_t)TIFFGetB(raster[i]);
    }
    mem_free(raster);
    return ok ? 0 : err_set(e, ERR_INPUT, "%s", *s->text ? s->text : "the file is damaged");
}

int picture_read_tiff(struct picture *p, struct budget *b, const uint8_t *data, size_t size, struct err *e)
{
    struct source s = {.data = data, .size = size};
    uint32_t width = 0, height = 0;
    TIFF *t = open_source(&s, ((size_t)1 << 30) + 16 * size);
    if (!t)
        return err_set(e, ERR_INPUT, "%s", *s.text ? s.text : "the file is damaged");
    TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(t, TIFFTAG_IMAGELENGTH, &height);
    int rc = picture_make(p, b, width, height, e);
    rc = rc ? rc : decode(t, &s, p, b, e);
    TIFFClose(t);
    return rc;
}
