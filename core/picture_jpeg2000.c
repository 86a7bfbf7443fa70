/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <string.h>

#include <openjpeg.h>

#include "core/picture_format.h"

/* The file as OpenJPEG reads it, and the library's first complaint. */
struct source {
    const uint8_t *data;
    size_t size, at;
    char text[160];
};

static OPJ_SIZE_T on_read(void *to, OPJ_SIZE_T n, void *user)
{
    struct source *s = user;
    size_t left = s->size - s->at;
    n = n < left ? n : left;
    if (n == 0)
        return (OPJ_SIZE_T)-1;
    memcpy(to, s->data + s->at, n);
    s->at += n;
    return n;
}

static OPJ_OFF_T on_skip(OPJ_OFF_T n, void *user)
{
    struct source *s = user;
    if (n < 0 || (size_t)n > s->size - s->at)
        return -1;
    s->at += (size_t)n;
    return n;
}

static OPJ_BOOL on_seek(OPJ_OFF_T to, void *user)
{
    struct source *s = user;
    if (to < 0 || (size_t)to > s->size)
        return OPJ_FALSE;
    s->at = (size_t)to;
    return OPJ_TRUE;
}

static void on_error(const char *text, void *user)
{
    struct source *s = user;
    if (!*s->text) {
        strncpy(s->text, text, sizeof s->text - 1);
        s->text[strcspn(s->text, "\n")] = 0;
    }
}

/* A component's sample for a pixel, as 0 .. 255. */
static int sample(const opj_image_t *m, uint32_t c, uint32_t x, uint32_t y)
{
    const opj_image_comp_t *k = &m->comps[c];
    uint32_t sx = x / k->dx, sy = y / k->dy;
    sx = sx < k->w ? sx : k->w - 1;
    sy = sy < k->h ? sy : k->h - 1;
    int64_t v = k->data[(size_t)sy * k->w + sx], most = ((int64_t)1 << k->prec) - 1;
    v += k->sgnd ? (int64_t)1 << (k->prec - 1) : 0;
    v = v < 0 ? 0 : v > most ? most : v;
    return (int)((v * 255 + most / 2) / most);
}

static uint8_t clamp(double v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
}

/* Full-range YCbCr of ITU-R BT.601, as in JFIF. */
static void from_ycc(uint8_t *to)
{
    double y = to[0], cb = to[1] - 128.0, cr = to[2] - 128.0;
    to[0] = clamp(y + 1.402 * cr);
    to[1] = clamp(y - 0.344136286 * cb - 0.714136286 * cr);
    to[2] = clamp(y + 1.772 * cb);
}

static int check_components(const opj_image_t *m, struct err *e)
{
    uint32_t n = m->numcomps >= 3 ? 3 : 1;
    for (uint32_t c = 0; c < n; c++) {
        const opj_image_comp_t *k = &m->comps[c];
        if (m->numcomps == 0 || !k->data || k->w == 0 || k->h == 0 || k->dx == 0 || k->dy == 0 || k->prec < 1 ||
            k->prec > 31)
            return err_set(e, ERR_INPUT, "component %u is damaged or missing", c);
    }
    return 0;
}

static int convert(const opj_image_t *m, struct picture *p, struct err *e)
{
    bool colour = m->numcomps >= 3;
    int rc = m->numcomps ? check_components(m, e) : err_set(e, ERR_INPUT, "no components");
    for (uint32_t y = 0; y < (uint32_t)p->height && !rc; y++)
        for (uint32_t x = 0; x < (uint32_t)p->width; x++) {
            uint8_t *to = p->rgb + ((size_t)y * (size_t)p->width + x) * 3;
            for (uint32_t c = 0; c < 3; c++)
                to[c] = (uint8_t)(colour || c == 0 ? sample(m, colour ? c : 0, x, y) : to[0]);
            if (colour && m->color_space == OPJ_CLRSPC_SYCC)
                from_ycc(to);
        }
    return rc;
}

static int decode(opj_codec_t *codec, opj_stream_t *stream, struct source *s, struct picture *p, struct budget *b,
                  struct err *e)
{
    opj_image_t *m = NULL;
    opj_dparameters_t how;
    int rc = 0;
    opj_set_default_decoder_parameters(&how);
    opj_set_error_handler(codec, on_error, s);
    bool ok = opj_setup_decoder(codec, &how) && opj_read_header(stream, codec, &m);
    if (ok)
        rc = picture_make(p, b, (int64_t)m->x1 - m->x0, (int64_t)m->y1 - m->y0, e);
    /* The library allocates behind our back: 4 bytes a sample, and as much for the wavelets. */
    size_t bytes = ok && !rc ? (size_t)p->width * (size_t)p->height * (m->numcomps ? m->numcomps : 1) * 8 : 0;
    rc = rc ? rc : budget_take(b, bytes, e);
    if (ok && !rc) {
        ok = opj_decode(codec, stream, m) && opj_end_decompress(codec, stream);
        budget_give(b, bytes);
        rc = ok ? convert(m, p, e) : 0;
    }
    opj_image_destroy(m);
    return ok || rc ? rc : err_set(e, ERR_INPUT, "%s", *s->text ? s->text : "the file is damaged");
}

int picture_read_jpeg2000(struct picture *p, struct budget *b, const uint8_t *data, size_t size, struct err *e)
{
    struct source s = {.data = data, .size = size};
    opj_codec_t *codec = opj_create_decompress(data[0] == 0xff ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    opj_stream_t *stream = opj_stream_default_create(OPJ_TRUE);
    int rc = ERR_MEMORY;
    if (codec && stream) {
        opj_stream_set_read_function(stream, on_read);
        opj_stream_set_skip_function(stream, on_skip);
        opj_stream_set_seek_function(stream, on_seek);
        opj_stream_set_user_data(stream, &s, NULL);
        opj_stream_set_user_data_length(stream, size);
        rc = decode(codec, stream, &s, p, b, e);
    } else {
        err_set(e, ERR_MEMORY, "no memory to decode");
    }
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    return rc;
}
