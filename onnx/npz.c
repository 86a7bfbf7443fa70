/* SPDX-License-Identifier: Apache-2.0 */
/* Zip archives as far as .npz files need them: the central directory, stored and deflated members,
 * the 64-bit fields of large ones. Numbers are little-endian; section numbers are those of
 * APPNOTE.TXT. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "core/file.h"
#include "onnx/npy.h"

enum {
    SIGN_LOCAL = 0x04034b50,  /* 4.3.7 */
    SIGN_MEMBER = 0x02014b50, /* 4.3.12 */
    SIGN_END = 0x06054b50,    /* 4.3.16 */
    SIGN_END64 = 0x06064b50,  /* 4.3.14 */
    SIGN_FIND64 = 0x07064b50, /* 4.3.15 */
    LOCAL_BYTES = 30,
    MEMBER_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    FIND64_BYTES = 20,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    DEFLATE_MOST = 1040, /* bytes that one byte of a deflate stream can become, rounded up */
};

struct zip {
    const uint8_t *data;
    size_t size;
    size_t at, end; /* of the central directory; `at` moves */
};

struct member {
    const char *name;
    size_t name_size;
    unsigned flags, method;
    uint32_t crc;
    uint64_t packed, unpacked, offset;
};

static int code_of(const struct err *e)
{
    return e && e->code ? e->code : ERR_MEMORY;
}

static uint64_t number(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

bool npz_known(const void *data, size_t size)
{
    return size >= 4 && (number(data, 4) == SIGN_LOCAL || number(data, 4) == SIGN_END);
}

/* ---- the directory ------------------------------------------------------------------------- */

/* The end record lies at the file's end, before a comment of at most 64 KiB. */
static bool find_end(const struct zip *z, size_t *at)
{
    size_t least = z->size > END_BYTES + 0xFFFF ? z->size - END_BYTES - 0xFFFF : 0;
    for (size_t i = z->size < END_BYTES ? 0 : z->size - END_BYTES + 1; i-- > least;)
        if (number(z->data + i, 4) == SIGN_END &&
            number(z->data + i + 20, 2) == z->size - i - END_BYTES) {
            *at = i;
            return true;
        }
    return false;
}

static bool zip_open(struct zip *z, const void *data, size_t size)
{
    size_t end;
    *z = (struct zip){.data = data, .size = size};
    if (size < END_BYTES || !find_end(z, &end))
        return false;
    uint64_t bytes = number(z->data + end + 12, 4), offset = number(z->data + end + 16, 4);
    if ((bytes == UINT32_MAX || offset == UINT32_MAX) && end >= FIND64_BYTES &&
        number(z->data + end - FIND64_BYTES, 4) == SIGN_FIND64) {
        uint64_t at = number(z->data + end - FIND64_BYTES + 8, 8);
        if (at > size || size - at < END64_BYTES || number(z->data + at, 4) != SIGN_END64)
            return false;
        bytes = number(z->data + at + 40, 8);
        offset = number(z->data + at + 48, 8);
    }
    if (offset > end || bytes > end - offset)
        return false;
    z->at = (size_t)offset;
    z->end = (size_t)(offset + bytes);
    return true;
}

/* The 64-bit values of those fields that hold all ones, in this order (4.5.3). */
static bool read_large(struct member *m, const uint8_t *p, size_t size)
{
    uint64_t *fields[] = {&m->unpacked, &m->packed, &m->offset};
    bool wanted = false;
    for (int i = 0; i < 3; i++)
        wanted |= *fields[i] == UINT32_MAX;
    while (wanted && size >= 4) {
        size_t id = number(p, 2), n = number(p + 2, 2);
        if (n > size - 4)
            return false;
        if (id != 1) {
            p += 4 + n;
            size -= 4 + n;
            continue;
        }
        p += 4;
        for (int i = 0; i < 3; i++) {
            if (*fields[i] != UINT32_MAX)
                continue;
            if (n < 8)
                return false;
            *fields[i] = number(p, 8);
            p += 8;
            n -= 8;
        }
        return true;
    }
    return true;
}

static bool next(struct zip *z, struct member *m)
{
    if (z->end - z->at < MEMBER_BYTES || number(z->data + z->at, 4) != SIGN_MEMBER)
        return false;
    const uint8_t *p = z->data + z->at;
    size_t name = number(p + 28, 2), extra = number(p + 30, 2), comment = number(p + 32, 2);
    size_t whole = MEMBER_BYTES + name + extra + comment;
    if (whole > z->end - z->at)
        return false;
    *m = (struct member){.name = (const char *)p + MEMBER_BYTES,
                         .name_size = name,
                         .flags = (unsigned)number(p + 8, 2),
                         .method = (unsigned)number(p + 10, 2),
                         .crc = (uint32_t)number(p + 16, 4),
                         .packed = number(p + 20, 4),
                         .unpacked = number(p + 24, 4),
                         .offset = number(p + 42, 4)};
    z->at += whole;
    return read_large(m, p + MEMBER_BYTES + name, extra);
}

/* The length of a name without .npy. */
static size_t stem(const struct member *m)
{
    size_t n = m->name_size;
    return n > 4 && !memcmp(m->name + n - 4, ".npy", 4) ? n - 4 : n;
}

bool npz_name(const void *data, size_t size, size_t i, char *buf, size_t buf_size)
{
    struct zip z;
    struct member m = {0};
    if (!zip_open(&z, data, size))
        return false;
    do {
        if (!next(&z, &m))
            return false;
    } while (i--);
    snprintf(buf, buf_size, "%.*s", (int)stem(&m), m.name);
    return true;
}

static int find(struct zip *z, const char *name, struct member *out, struct err *e)
{
    struct member m = {0};
    size_t count = 0, n = name ? strlen(name) : 0;
    while (z->at < z->end) {
        if (!next(z, &m))
            return err_set(e, ERR_INPUT, "a .npz file: its directory is damaged");
        count++;
        bool same = (m.name_size == n && !memcmp(m.name, name, n)) ||
                    (stem(&m) == n && !memcmp(m.name, name, n));
        if (!n || same)
            *out = m;
        if (n && same)
            return 0;
    }
    if (n)
        return err_set(e, ERR_INPUT, "a .npz file without a member '%.80s'", name);
    if (count != 1)
        return err_set(e, ERR_INPUT, "a .npz file of %zu members: say which one", count);
    return 0;
}

/* ---- members ------------------------------------------------------------------------------- */

/* Where a member's bytes begin: behind its own header, whose name and extra may differ in length.
 */
static int locate(const struct zip *z, const struct member *m, const uint8_t **out, struct err *e)
{
    if (m->offset > z->size || z->size - m->offset < LOCAL_BYTES ||
        number(z->data + m->offset, 4) != SIGN_LOCAL)
        return err_set(e, ERR_INPUT, "a .npz file: a member lies outside the file");
    const uint8_t *p = z->data + m->offset;
    size_t head = LOCAL_BYTES + number(p + 26, 2) + number(p + 28, 2),
           room = z->size - (size_t)m->offset;
    if (head > room || m->packed > room - head)
        return err_set(e, ERR_INPUT, "a .npz file: a member lies outside the file");
    *out = p + head;
    return 0;
}

static voidpf zip_alloc(voidpf budget, uInt n, uInt size)
{
    return mem_alloc(budget, (size_t)n * size, NULL);
}

static void zip_free(voidpf budget, voidpf p)
{
    mem_free(p);
}

/* Exactly `size` bytes from `packed` ones; zlib counts in int, so it is fed in pieces. */
static bool inflate_all(struct budget *b, const uint8_t *in, size_t packed, uint8_t *out,
                        size_t size)
{
    const uInt piece = 1u << 30;
    z_stream s = {.zalloc = zip_alloc, .zfree = zip_free, .opaque = b};
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK)
        return false;
    int rc = Z_OK;
    size_t in_left = packed, out_left = size;
    s.next_in = (Bytef *)in;
    s.next_out = out;
    while (rc == Z_OK) {
        uInt give = in_left > piece ? piece : (uInt)in_left;
        uInt room = out_left > piece ? piece : (uInt)out_left;
        s.avail_in = give;
        s.avail_out = room;
        rc = inflate(&s, Z_NO_FLUSH);
        in_left -= give - s.avail_in;
        out_left -= room - s.avail_out;
        if (rc == Z_OK && give == s.avail_in && room == s.avail_out)
            rc = Z_BUF_ERROR;
    }
    inflateEnd(&s);
    return rc == Z_STREAM_END && !out_left;
}

static bool crc_fits(const uint8_t *data, size_t size, uint32_t want)
{
    return crc32_z(crc32_z(0, NULL, 0), data, size) == want;
}

static int read_member(struct tensor *out, struct budget *b, const struct zip *z,
                       const struct member *m, struct err *e)
{
    const uint8_t *p = NULL;
    int rc = locate(z, m, &p, e);
    if (rc)
        return rc;
    if (m->flags & 1)
        return err_set(e, ERR_UNSUPPORTED, "an encrypted .npz file");
    if (m->method == METHOD_STORED) {
        if (m->packed != m->unpacked || !crc_fits(p, (size_t)m->packed, m->crc))
            return err_set(e, ERR_INPUT, "a .npz file: a member is damaged");
        return npy_parse(out, b, p, (size_t)m->packed, e);
    }
    if (m->method != METHOD_DEFLATED)
        return err_set(e, ERR_UNSUPPORTED, "a .npz file with compression method %u", m->method);
    if (m->unpacked / DEFLATE_MOST > m->packed)
        return err_set(e, ERR_INPUT, "a .npz file: a member claims more bytes than it can hold");
    uint8_t *data = mem_alloc(b, (size_t)m->unpacked, e);
    if (!data)
        return code_of(e);
    if (!inflate_all(b, p, (size_t)m->packed, data, (size_t)m->unpacked) ||
        !crc_fits(data, (size_t)m->unpacked, m->crc))
        rc = err_set(e, ERR_INPUT, "a .npz file: a member is damaged");
    else
        rc = npy_parse(out, b, data, (size_t)m->unpacked, e);
    mem_free(data);
    return rc;
}

int npz_parse(struct tensor *out, struct budget *b, const void *data, size_t size, const char *name,
              struct err *e)
{
    struct zip z;
    struct member m = {0};
    *out = (struct tensor){0};
    if (!zip_open(&z, data, size))
        return err_set(e, ERR_INPUT, "not a .npz file, or one cut short");
    int rc = find(&z, name, &m, e);
    return rc ? rc : read_member(out, b, &z, &m, e);
}

int npz_read(struct tensor *out, struct budget *b, const char *path, const char *name,
             struct err *e)
{
    *out = (struct tensor){0};
    struct file *f = file_open(b, path, false, e);
    if (!f)
        return code_of(e);
    int rc = npz_parse(out, b, f->data, f->size, name, e);
    file_unref(f);
    return rc ? err_at(e, rc, "%s", path) : 0;
}
