/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "core/picture_format.h"

enum {
    SCANS_MOST = 500
}; /* a small progressive file may ask for very many passes over the picture */

/* All that a long jump may find half-done lives here and not in locals. */
struct job {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    struct budget *budget;
    struct err *err;
    int rc;
    size_t counted; /* the library's own memory, as counted in the budget */
    uint8_t *row;   /* of CMYK */
};

static void leave(struct job *j, int rc)
{
    j->rc = rc;
    longjmp(j->out, 1);
}

static void on_error(j_common_ptr common)
{
    struct job *j = common->client_data;
    char text[JMSG_LENGTH_MAX];
    bool memory = common->err->msg_code == JERR_OUT_OF_MEMORY;
    common->err->format_message(common, text);
    leave(j, err_set(j->err, memory ? ERR_MEMORY : ERR_INPUT, "%s", text));
}

/* Warnings are let pass, as other readers do, but for those that mean a file that was cut off. */
static void on_message(j_common_ptr common, int level)
{
    struct job *j = common->client_data;
    int code = common->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER))
        leave(j, err_set(j->err, ERR_INPUT, "the file is cut off or damaged"));
}

static void on_progress(j_common_ptr common)
{
    struct job *j = common->client_data;
    if (j->jpeg.input_scan_number > SCANS_MOST)
        leave(j, err_set(j->err, ERR_LIMIT, "more than %d scans", SCANS_MOST));
}

/* The library allocates behind our back; a progressive file needs all its coefficients at once. */
static int count_memory(struct job *j)
{
    const struct jpeg_decompress_struct *d = &j->jpeg;
    size_t pixels = ((size_t)d->image_width + 32) * ((size_t)d->image_height + 32);
    size_t bytes = jpeg_has_multiple_scans(&j->jpeg) ? pixels * d->num_components * sizeof(JCOEF)
                                                     : (size_t)d->image_width * 256;
    int rc = budget_take(j->budget, bytes, j->err);
    if (!rc)
        j->counted = bytes;
    return rc;
}

/* Adobe's files hold CMYK inverted; without its marker 0 means no ink. */
static void row_from_cmyk(const struct job *j, uint8_t *rgb)
{
    unsigned flip = j->jpeg.saw_Adobe_marker ? 0 : 255;
    const uint8_t *s = j->row;
    for (unsigned x = 0; x < j->jpeg.output_width; x++, s += 4, rgb += 3)
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(((s[c] ^ flip) * (s[3] ^ flip) + 127) / 255);
}

static void read_rows(struct job *j, struct picture *p)
{
    struct jpeg_decompress_struct *d = &j->jpeg;
    bool cmyk = d->out_color_space == JCS_CMYK;
    while (d->output_scanline < d->output_height) {
        uint8_t *rgb = p->rgb + (size_t)d->output_scanline * p->width * 3;
        JSAMPROW row = cmyk ? j->row : rgb;
        if (jpeg_read_scanlines(d, &row, 1) == 1 && cmyk)
            row_from_cmyk(j, rgb);
    }
}

static void decode(struct job *j, struct picture *p, const uint8_t *data, size_t size)
{
    struct jpeg_decompress_struct *d = &j->jpeg;
    jpeg_create_decompress(d);
    d->progress = &j->progress;
    j->progress.progress_monitor = on_progress;
    jpeg_mem_src(d, data, size);
    jpeg_read_header(d, TRUE);
    int rc = picture_make(p, j->budget, d->image_width, d->image_height, j->err);
    if (!rc)
        rc = count_memory(j);
    if (rc)
        leave(j, rc);
    bool cmyk = d->jpeg_color_space == JCS_CMYK || d->jpeg_color_space == JCS_YCCK;
    d->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    if (cmyk && !(j->row = mem_alloc(j->budget, (size_t)d->image_width * 4, j->err)))
        leave(j, j->err && j->err->code ? j->err->code : ERR_MEMORY);
    jpeg_start_decompress(d);
    read_rows(j, p);
    jpeg_finish_decompress(d);
}

int picture_read_jpeg(struct picture *p, struct budget *b, const uint8_t *data, size_t size,
                      struct err *e)
{
    struct job j = {.budget = b, .err = e};
    j.jpeg.err = jpeg_std_error(&j.errors);
    j.jpeg.client_data = &j;
    j.errors.error_exit = on_error;
    j.errors.emit_message = on_message;
    if (!setjmp(j.out))
        decode(&j, p, data, size);
    jpeg_destroy_decompress(&j.jpeg);
    mem_free(j.row);
    budget_give(b, j.counted);
    return j.rc;
}
