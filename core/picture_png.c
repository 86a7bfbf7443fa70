/* SPDX-License-Identifier: Apache-2.0 */
#include <spng.h>
#include <string.h>

#include "core/picture_format.h"

/* spng's own memory (the inflater, rows, a few chunks) counts in the process's budget. */
static void *png_malloc(size_t size)
{
    return mem_alloc(NULL, size, NULL);
}

static void *png_realloc(void *p, size_t size)
{
    return mem_realloc(NULL, p, size, NULL);
}

static void *png_calloc(size_t n, size_t size)
{
    return mem_calloc(NULL, n, size, NULL);
}

enum {
    CHUNK_MOST = 4 << 20,  /* bytes of one ancillary chunk */
    CHUNKS_MOST = 16 << 20 /* of all of them */
};

static int fault(int rc, struct err *e)
{
    if (rc == SPNG_EMEM)
        return err_set(e, ERR_MEMORY, "no memory to decode");
    if (rc == SPNG_EUSER_WIDTH || rc == SPNG_EUSER_HEIGHT)
        return err_set(e, ERR_LIMIT, "more than %d pixels a side", PICTURE_DIM_MAX);
    if (rc == SPNG_IO_EOF || rc == SPNG_EIDAT_TOO_SHORT)
        return err_set(e, ERR_INPUT, "the file is cut off");
    return err_set(e, ERR_INPUT, "%s", spng_strerror(rc));
}

/* 16 bits a channel: decoded as they are, then v * 255 / 65535 rounded. */
static int read_deep(spng_ctx *ctx, struct picture *p, struct budget *b, struct err *e)
{
    size_t pixels = (size_t)p->width * (size_t)p->height;
    uint16_t *deep = mem_calloc(b, pixels, 4 * sizeof *deep, e);
    if (!deep)
        return e && e->code ? e->code : ERR_MEMORY;
    int rc = spng_decode_image(ctx, deep, pixels * 4 * sizeof *deep, SPNG_FMT_RGBA16, 0);
    for (size_t i = 0; !rc && i < pixels; i++)
        for (int c = 0; c < 3; c++)
            p->rgb[i * 3 + c] = (uint8_t)((deep[i * 4 + c] * 255u + 32767) / 65535);
    mem_free(deep);
    return rc ? fault(rc, e) : 0;
}

static int read_image(spng_ctx *ctx, struct picture *p, struct budget *b, struct err *e)
{
    struct spng_ihdr head;
    int rc = spng_get_ihdr(ctx, &head);
    if (rc)
        return fault(rc, e);
    rc = picture_make(p, b, head.width, head.height, e);
    if (rc)
        return rc;
    if (head.bit_depth == 16) {
        rc = read_deep(ctx, p, b, e);
    } else {
        rc = spng_decode_image(ctx, p->rgb, (size_t)p->width * p->height * 3, SPNG_FMT_RGB8, 0);
        rc = rc ? fault(rc, e) : 0;
    }
    if (rc)
        return rc;
    /* On to the end mark: its lack shows a file that was cut off after the picture. */
    rc = spng_decode_chunks(ctx);
    return rc == SPNG_IO_EOF ? fault(rc, e) : 0;
}

int picture_read_png(struct picture *p, struct budget *b, const uint8_t *data, size_t size,
                     struct err *e)
{
    struct spng_alloc alloc = {png_malloc, png_realloc, png_calloc, mem_free};
    spng_ctx *ctx = spng_ctx_new2(&alloc, 0);
    if (!ctx)
        return fault(SPNG_EMEM, e);
    spng_set_image_limits(ctx, PICTURE_DIM_MAX, PICTURE_DIM_MAX);
    spng_set_chunk_limits(ctx, CHUNK_MOST, CHUNKS_MOST);
    int rc = spng_set_png_buffer(ctx, data, size);
    rc = rc ? fault(rc, e) : read_image(ctx, p, b, e);
    spng_ctx_free(ctx);
    return rc;
}
