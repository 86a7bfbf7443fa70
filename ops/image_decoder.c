/* SPDX-License-Identifier: Apache-2.0 */
/* ImageDecoder: a picture's file to [height, width, channels] of uint8. What cannot be decoded gives an
 * empty [0, 0, channels], as the specification asks; a format that this build lacks is an error. */
#include <string.h>

#include "core/picture.h"
#include "ops/common.h"

struct attrs_decoder {
    struct str pixel_format;
};

enum pixels { PIXELS_RGB, PIXELS_BGR, PIXELS_GREY };

static int pixels_of(const struct attrs_decoder *a, enum pixels *out, struct err *e)
{
    static const char *const words[] = {"RGB", "BGR", "Grayscale"};
    for (int i = 0; i < 3; i++)
        if (a->pixel_format.size == strlen(words[i]) && !memcmp(a->pixel_format.data, words[i], a->pixel_format.size)) {
            *out = (enum pixels)i;
            return 0;
        }
    return err_set(e, ERR_MODEL, "pixel_format is '%.*s', expected RGB, BGR or Grayscale",
                   (int)(a->pixel_format.size < 40 ? a->pixel_format.size : 40), a->pixel_format.data);
}

static int decoder_infer(struct infer *c, struct err *e)
{
    enum pixels pixels = PIXELS_RGB;
    int rc = infer_dtypes(c, 0, DT(U8), e);
    rc = rc ? rc : pixels_of(c->attrs, &pixels, e);
    if (rc)
        return rc;
    if (infer_rank(c, 0) >= 0 && infer_rank(c, 0) != 1)
        return err_set(e, ERR_MODEL, "the file's bytes have rank %d, expected 1", infer_rank(c, 0));
    int64_t dims[] = {infer_fresh(c), infer_fresh(c), pixels == PIXELS_GREY ? 1 : 3};
    return infer_set(c, 0, DTYPE_U8, 3, dims, e);
}

/* Luma of ITU-R BT.601 in 16 bits, rounded. */
static uint8_t luma(const uint8_t *rgb)
{
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static void put_pixels(const struct picture *p, enum pixels pixels, uint8_t *out)
{
    size_t n = (size_t)p->width * (size_t)p->height;
    if (pixels == PIXELS_RGB && n)
        memcpy(out, p->rgb, 3 * n);
    for (size_t i = 0; i < n && pixels != PIXELS_RGB; i++) {
        const uint8_t *from = p->rgb + 3 * i;
        if (pixels == PIXELS_GREY)
            out[i] = luma(from);
        for (size_t c = 0; c < 3 && pixels == PIXELS_BGR; c++)
            out[3 * i + c] = from[2 - c];
    }
}

static int decoder_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct picture p = {0};
    enum pixels pixels = PIXELS_RGB;
    struct err local = {0};
    int rc = pixels_of(c->attrs, &pixels, e);
    if (!rc && x->rank != 1)
        rc = err_set(e, ERR_INPUT, "the file's bytes have rank %d, expected 1", x->rank);
    if (rc)
        return rc;
    rc = picture_decode(&p, c->budget, x->data, (size_t)x->dims[0], &local);
    if (rc && rc != ERR_INPUT)
        return err_set(e, (enum err_code)rc, "%s", local.msg);
    int64_t dims[] = {p.height, p.width, pixels == PIXELS_GREY ? 1 : 3};
    rc = call_output(c, 0, DTYPE_U8, 3, dims, e);
    if (!rc && call_out(c, 0))
        put_pixels(&p, pixels, call_out(c, 0)->data);
    picture_clear(&p);
    return rc;
}

static const struct attr decoder_attrs[] = {
    {"pixel_format", ATTR_STRING, offsetof(struct attrs_decoder, pixel_format), .s = "RGB"},
    {NULL},
};

const struct op op_imagedecoder = {
    .domain = "",
    .name = "ImageDecoder",
    .since = 20,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_HOST | OP_DYNAMIC,
    .host_in = 1,
    .attrs = decoder_attrs,
    .attrs_size = sizeof(struct attrs_decoder),
    .infer = decoder_infer,
    .run = decoder_run,
};
