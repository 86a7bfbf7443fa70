/* SPDX-License-Identifier: Apache-2.0 */
#include "core/picture.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/picture_format.h"

/* ---- Formats ---- */

#ifndef HAVE_SPNG
#define picture_read_png NULL
#endif
#ifndef HAVE_JPEG
#define picture_read_jpeg NULL
#endif
#ifndef HAVE_WEBP
#define picture_read_webp NULL
#endif
#ifndef HAVE_TIFF
#define picture_read_tiff NULL
#endif
#ifndef HAVE_JPEG2000
#define picture_read_jpeg2000 NULL
#endif

/* A format's bytes begin with `magic` and, if there is one, have `tag` at byte 8. */
static const struct format {
    const char *name, *magic, *tag;
    size_t magic_size, tag_size;
    picture_read_fn *read; /* NULL: left out of this build */
} formats[] = {
    {"PNG", "\x89PNG\r\n\x1a\n", "", 8, 0, picture_read_png},
    {"JPEG", "\xff\xd8\xff", "", 3, 0, picture_read_jpeg},
    {"WebP", "RIFF", "WEBP", 4, 4, picture_read_webp},
    {"TIFF", "II*\0", "", 4, 0, picture_read_tiff},
    {"TIFF", "MM\0*", "", 4, 0, picture_read_tiff},
    {"JPEG 2000", "\0\0\0\x0cjP  \r\n\x87\n", "", 12, 0, picture_read_jpeg2000},
    {"JPEG 2000", "\xff\x4f\xff\x51", "", 4, 0, picture_read_jpeg2000},
    {"BMP", "BM", "", 2, 0, picture_read_bmp},
    {"PNM", "P1", "", 2, 0, picture_read_pnm},
    {"PNM", "P2", "", 2, 0, picture_read_pnm},
    {"PNM", "P3", "", 2, 0, picture_read_pnm},
    {"PNM", "P4", "", 2, 0, picture_read_pnm},
    {"PNM", "P5", "", 2, 0, picture_read_pnm},
    {"PNM", "P6", "", 2, 0, picture_read_pnm},
};

static const struct format *find(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const struct format *f = &formats[i];
        if (size >= f->magic_size && memcmp(data, f->magic, f->magic_size) == 0 &&
            (!f->tag_size || (size >= 8 + f->tag_size && memcmp(data + 8, f->tag, f->tag_size) == 0)))
            return f;
    }
    return NULL;
}

int picture_known(const void *data, size_t size)
{
    return find(data, size) != NULL;
}

int picture_make(struct picture *p, struct budget *b, int64_t width, int64_t height, struct err *e)
{
    if (width < 1 || height < 1)
        return err_set(e, ERR_INPUT, "a picture of %" PRId64 "x%" PRId64 " pixels", width, height);
    if (width > PICTURE_DIM_MAX || height > PICTURE_DIM_MAX)
        return err_set(e, ERR_LIMIT,
                       "a picture of %" PRId64 "x%" PRId64 " pixels; at most %d a side", width,
                       height, PICTURE_DIM_MAX);
    p->rgb = mem_alloc(b, (size_t)width * (size_t)height * 3, e);
    if (!p->rgb)
        return err_at(e, e && e->code ? e->code : ERR_MEMORY,
                      "a picture of %" PRId64 "x%" PRId64 " pixels", width, height);
    p->width = (int)width;
    p->height = (int)height;
    return 0;
}

int picture_decode(struct picture *p, struct budget *b, const void *data, size_t size,
                   struct err *e)
{
    *p = (struct picture){0};
    const struct format *f = find(data, size);
    if (!f)
        return err_set(e, ERR_INPUT, "neither PNG, JPEG, WebP, TIFF, JPEG 2000, BMP nor PNM");
    if (!f->read)
        return err_set(e, ERR_UNSUPPORTED, "%s pictures were left out of this build", f->name);
    int rc = f->read(p, b, data, size, e);
    if (rc) {
        picture_clear(p);
        return err_at(e, rc, "%s", f->name);
    }
    return 0;
}

void picture_clear(struct picture *p)
{
    mem_free(p->rgb);
    *p = (struct picture){0};
}

/* ---- Resizing ---- */

/* One axis of the filter: output i is the sum over k < count[i] of weight[i * taps + k] times input
 * first[i] + k. */
struct axis {
    int taps;
    int *first, *count;
    float *weight;
};

static void axis_clear(struct axis *a)
{
    mem_free(a->first);
    mem_free(a->count);
    mem_free(a->weight);
}

/* A triangle of half-width 1 in output pixels when shrinking, in input pixels when growing, centred
 * on the output pixel's centre, cut at the edges and normalised. */
static void axis_fill(struct axis *a, int in, int out)
{
    double scale = (double)in / out, width = scale > 1 ? scale : 1;
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, total = 0;
        int from = (int)floor(centre - width + 0.5), to = (int)floor(centre + width + 0.5);
        from = from < 0 ? 0 : from;
        to = to > in ? in : to;
        to = to - from > a->taps ? from + a->taps : to;
        float *w = a->weight + (size_t)i * a->taps;
        for (int k = 0; k < to - from; k++) {
            double away = fabs((from + k + 0.5 - centre) / width);
            double v = away < 1 ? 1 - away : 0;
            total += v;
            w[k] = (float)v;
        }
        for (int k = 0; k < to - from; k++)
            w[k] = (float)(w[k] / total);
        a->first[i] = from;
        a->count[i] = to - from;
    }
}

static int axis_init(struct axis *a, int in, int out, struct budget *b, struct err *e)
{
    double scale = (double)in / out;
    *a = (struct axis){.taps = 2 * (int)ceil(scale > 1 ? scale : 1) + 1};
    a->first = mem_calloc(b, out, sizeof *a->first, e);
    a->count = mem_calloc(b, out, sizeof *a->count, e);
    a->weight = mem_calloc(b, (size_t)out * a->taps, sizeof *a->weight, e);
    if (!a->first || !a->count || !a->weight)
        return e && e->code ? e->code : ERR_MEMORY; /* the caller clears what there is */
    axis_fill(a, in, out);
    return 0;
}

static void resize_row(const struct axis *a, const uint8_t *in, float *out, int width)
{
    for (int x = 0; x < width; x++) {
        const float *w = a->weight + (size_t)x * a->taps;
        const uint8_t *p = in + (size_t)a->first[x] * 3;
        float sum[3] = {0, 0, 0};
        for (int k = 0; k < a->count[x]; k++, p += 3)
            for (int c = 0; c < 3; c++)
                sum[c] += w[k] * p[c];
        memcpy(out + (size_t)x * 3, sum, sizeof sum);
    }
}

/* Rows that were resized across are kept in a ring of `taps` rows, so that memory follows the
 * output's width and not the input's height. Output row y needs input rows first[y].. which only
 * rise. */
static void resize_rows(struct picture *out, const struct picture *in, const struct axis *across,
                        const struct axis *down, float *ring, float *sum)
{
    size_t n = (size_t)out->width * 3;
    int done = 0;
    for (int y = 0; y < out->height; y++) {
        int first = down->first[y], last = first + down->count[y];
        for (done = done > first ? done : first; done < last; done++)
            resize_row(across, in->rgb + (size_t)done * in->width * 3,
                       ring + (size_t)(done % down->taps) * n, out->width);
        memset(sum, 0, n * sizeof *sum);
        for (int k = 0; k < down->count[y]; k++) {
            float w = down->weight[(size_t)y * down->taps + k];
            const float *row = ring + (size_t)((first + k) % down->taps) * n;
            for (size_t i = 0; i < n; i++)
                sum[i] += w * row[i];
        }
        uint8_t *to = out->rgb + (size_t)y * n;
        for (size_t i = 0; i < n; i++) {
            float v = sum[i] + 0.5f;
            to[i] = (uint8_t)(v > 255 ? 255 : v); /* weights are not negative: neither is v */
        }
    }
}

int picture_resize(struct picture *out, const struct picture *in, int width, int height,
                   struct budget *b, struct err *e)
{
    struct picture made = {0};
    struct axis across = {0}, down = {0};
    int rc = picture_make(&made, b, width, height, e);
    if (rc)
        return rc;
    float *ring = NULL, *sum = NULL;
    rc = axis_init(&across, in->width, width, b, e);
    if (!rc)
        rc = axis_init(&down, in->height, height, b, e);
    if (!rc) {
        ring = mem_calloc(b, (size_t)down.taps * width * 3, sizeof *ring, e);
        sum = mem_calloc(b, (size_t)width * 3, sizeof *sum, e);
        if (ring && sum)
            resize_rows(&made, in, &across, &down, ring, sum);
        else
            rc = e && e->code ? e->code : ERR_MEMORY;
    }
    mem_free(sum);
    mem_free(ring);
    axis_clear(&down);
    axis_clear(&across);
    if (rc)
        picture_clear(&made);
    else
        *out = made;
    return rc;
}
