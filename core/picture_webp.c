/* SPDX-License-Identifier: Apache-2.0 */
#include <webp/decode.h>

#include "core/picture_format.h"

static int fault(VP8StatusCode status, struct err *e)
{
    switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return err_set(e, ERR_MEMORY, "no memory to decode");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return err_set(e, ERR_UNSUPPORTED, "a feature that the decoder lacks");
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return err_set(e, ERR_INPUT, "the file is cut off");
    default:
        return err_set(e, ERR_INPUT, "the file is damaged");
    }
}

/* The library allocates behind our back: four bytes a pixel for lossless pictures, and alpha. */
static int decode(struct picture *p, struct budget *b, const uint8_t *data, size_t size,
                  struct err *e)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return err_set(e, ERR_UNSUPPORTED, "a libwebp of another version");
    size_t bytes = (size_t)p->width * p->height * 5;
    int rc = budget_take(b, bytes, e);
    if (rc)
        return rc;
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = p->rgb;
    config.output.u.RGBA.stride = p->width * 3;
    config.output.u.RGBA.size = (size_t)p->width * p->height * 3;
    VP8StatusCode status = WebPDecode(data, size, &config);
    WebPFreeDecBuffer(&config.output);
    budget_give(b, bytes);
    return status == VP8_STATUS_OK ? 0 : fault(status, e);
}

int picture_read_webp(struct picture *p, struct budget *b, const uint8_t *data, size_t size,
                      struct err *e)
{
    WebPBitstreamFeatures features;
    VP8StatusCode status = WebPGetFeatures(data, size, &features);
    if (status != VP8_STATUS_OK)
        return fault(status, e);
    if (features.has_animation)
        return err_set(e, ERR_UNSUPPORTED, "an animation, not a picture");
    int rc = picture_make(p, b, features.width, features.height, e);
    return rc ? rc : decode(p, b, data, size, e);
}
