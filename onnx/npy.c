/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"

static const char magic[6] = "\x93NUMPY";

/* What a file's header says. */
struct header {
    char kind;          /* f i u b c U S */
    char order;         /* '<' or '>'; of one byte either */
    size_t item;        /* bytes; of U: code points */
    bool fortran;
    int rank;
    int64_t dims[TENSOR_RANK_MAX];
    size_t data;        /* where the elements begin */
};

static int code_of(const struct err *e)
{
    return e && e->code ? e->code : ERR_MEMORY;
}

bool npy_known(const void *data, size_t size)
{
    return size >= sizeof magic && !memcmp(data, magic, sizeof magic);
}

/* ---- the header: a Python dictionary of literals ------------------------------------------- */

struct scan {
    const char *at, *end;
};

static void skip(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take(struct scan *s, char c)
{
    skip(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool take_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);
    skip(s);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n))
        return false;
    s->at += n;
    return true;
}

/* A quoted string without escapes. */
static bool take_string(struct scan *s, char *buf, size_t size)
{
    skip(s);
    if (s->at == s->end || (*s->at != '\'' && *s->at != '"'))
        return false;
    char quote = *s->at++;
    size_t n = 0;
    while (s->at < s->end && *s->at != quote) {
        if (n + 1 >= size || *s->at == '\\')
            return false;
        buf[n++] = *s->at++;
    }
    buf[n] = 0;
    return s->at < s->end && s->at++;
}

static bool take_int(struct scan *s, int64_t *out)
{
    int64_t v = 0;
    skip(s);
    const char *begin = s->at;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s->at - '0', &v))
            return false;
    *out = v;
    bool any = s->at > begin;
    if (any && s->at < s->end && *s->at == 'L') /* as Python 2 wrote long integers */
        s->at++;
    return any;
}

static int take_shape(struct scan *s, struct header *h, struct err *e)
{
    h->rank = 0;
    if (!take(s, '('))
        return err_set(e, ERR_INPUT, "a .npy file: its shape is not a tuple");
    while (!take(s, ')')) {
        if (h->rank == TENSOR_RANK_MAX)
            return err_set(e, ERR_LIMIT, "a .npy file of a rank above %d", TENSOR_RANK_MAX);
        if (!take_int(s, &h->dims[h->rank++]) ||
            (!take(s, ',') && (s->at == s->end || *s->at != ')')))
            return err_set(e, ERR_INPUT, "a .npy file: a bad shape");
    }
    return 0;
}

static int take_type(struct scan *s, struct header *h, struct err *e)
{
    char text[32];
    skip(s);
    if (s->at < s->end && *s->at == '[')
        return err_set(e, ERR_UNSUPPORTED, "a .npy file of records");
    if (!take_string(s, text, sizeof text))
        return err_set(e, ERR_INPUT, "a .npy file: a bad element type");
    const char *p = text;
    h->order = '<';
    if (*p == '<' || *p == '>' || *p == '=' || *p == '|')
        h->order = *p++ == '>' ? '>' : '<';
    h->kind = *p ? *p++ : '?';
    struct scan digits = {p, p + strlen(p)};
    int64_t item;
    if (!strchr("fiubcUS", h->kind) || !take_int(&digits, &item) || digits.at != digits.end)
        return err_set(e, ERR_UNSUPPORTED, "a .npy file of element type '%s'", text);
    h->item = (size_t)item;
    return 0;
}

static int take_entry(struct scan *s, struct header *h, unsigned *seen, struct err *e)
{
    char key[32];
    if (!take_string(s, key, sizeof key) || !take(s, ':'))
        return err_set(e, ERR_INPUT, "a .npy file: a bad header");
    if (!strcmp(key, "descr")) {
        *seen |= 1;
        return take_type(s, h, e);
    }
    if (!strcmp(key, "shape")) {
        *seen |= 2;
        return take_shape(s, h, e);
    }
    if (strcmp(key, "fortran_order"))
        return err_set(e, ERR_INPUT, "a .npy file: an unknown entry '%s' in its header", key);
    *seen |= 4;
    h->fortran = take_word(s, "True");
    if (!h->fortran && !take_word(s, "False"))
        return err_set(e, ERR_INPUT, "a .npy file: fortran_order is neither True nor False");
    return 0;
}

static int read_header(struct header *h, const uint8_t *data, size_t size, struct err *e)
{
    *h = (struct header){0};
    if (size < 10 || !npy_known(data, size))
        return err_set(e, ERR_INPUT, "not a .npy file");
    bool first = data[6] == 1;
    size_t at = first ? 10 : 12;
    if (data[6] < 1 || data[6] > 3)
        return err_set(e, ERR_UNSUPPORTED, "a .npy file of version %d", data[6]);
    if (size < at)
        return err_set(e, ERR_INPUT, "a .npy file cut short");
    size_t length = data[8] | (size_t)data[9] << 8;
    if (!first)
        length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (length > size - at)
        return err_set(e, ERR_INPUT, "a .npy file cut short in its header");
    h->data = at + length;
    struct scan s = {(const char *)data + at, (const char *)data + h->data};
    unsigned seen = 0;
    if (!take(&s, '{'))
        return err_set(e, ERR_INPUT, "a .npy file: a bad header");
    while (!take(&s, '}')) {
        int rc = take_entry(&s, h, &seen, e);
        if (rc)
            return rc;
        if (!take(&s, ',') && (s.at == s.end || *s.at != '}'))
            return err_set(e, ERR_INPUT, "a .npy file: a bad header");
    }
    return seen == 7 ? 0 : err_set(e, ERR_INPUT, "a .npy file: an entry of its header is missing");
}

/* ---- elements ------------------------------------------------------------------------------ */

static enum dtype find_type(const struct header *h)
{
    if (h->kind == 'U' || h->kind == 'S')
        return DTYPE_STRING;
    for (int t = 1; t < DTYPE_COUNT; t++) {
        const char *npy = dtype_npy((enum dtype)t);
        if (*npy && npy[1] == h->kind && dtype_size((enum dtype)t) == h->item)
            return (enum dtype)t;
    }
    return DTYPE_NONE;
}

/* Walks the elements in row-major order; gives their place in the file. */
struct walk {
    const struct header *h;
    int64_t index[TENSOR_RANK_MAX], stride[TENSOR_RANK_MAX];
    int64_t place;
};

static void walk_init(struct walk *w, const struct header *h)
{
    int64_t stride = 1;
    *w = (struct walk){.h = h};
    for (int i = 0; i < h->rank; i++) {
        int k = h->fortran ? i : h->rank - 1 - i;
        w->stride[k] = stride;
        stride *= h->dims[k];
    }
}

static void walk_next(struct walk *w)
{
    for (int k = w->h->rank - 1; k >= 0; k--) {
        w->place += w->stride[k];
        if (++w->index[k] < w->h->dims[k])
            return;
        w->place -= w->index[k] * w->stride[k];
        w->index[k] = 0;
    }
}

static void swap_bytes(uint8_t *p, size_t bytes, size_t scalar)
{
    for (uint8_t *end = p + bytes; p < end; p += scalar)
        for (size_t i = 0; i < scalar / 2; i++) {
            uint8_t c = p[i];
            p[i] = p[scalar - 1 - i];
            p[scalar - 1 - i] = c;
        }
}

static void read_numbers(struct tensor *t, const struct header *h, const uint8_t *data)
{
    size_t n = (size_t)tensor_count(t), size = h->item;
    uint8_t *out = t->data;
    if (!h->fortran || h->rank < 2) {
        if (n)
            memcpy(out, data, n * size);
    } else {
        struct walk w;
        walk_init(&w, h);
        for (size_t i = 0; i < n; i++, walk_next(&w))
            memcpy(out + i * size, data + (size_t)w.place * size, size);
    }
    if (h->order == '>')
        swap_bytes(out, n * size, h->kind == 'c' ? size / 2 : size);
    for (size_t i = 0; t->dtype == DTYPE_BOOL && i < n; i++)
        out[i] = out[i] != 0;
}

static uint32_t code_point(const uint8_t *p, char order)
{
    return order == '>' ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                        : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Bytes of one code point as UTF-8; 0 if it is none. */
static size_t put_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        if (c >= 0xD800 && c < 0xE000)
            return 0;
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    if (c > 0x10FFFF)
        return 0;
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* One string, padded with NULs in the file. `buf` has four bytes a code point. */
static int read_string(struct tensor *t, int64_t i, const struct header *h, const uint8_t *p,
                       char *buf, struct err *e)
{
    size_t unit = h->kind == 'U' ? 4 : 1, n = h->item, bytes = 0;
    if (unit == 1) {
        while (n && !p[n - 1])
            n--;
        return tensor_set_str(t, i, (const char *)p, n, e);
    }
    while (n && !code_point(p + 4 * (n - 1), h->order))
        n--;
    for (size_t k = 0; k < n; k++) {
        size_t added = put_utf8(code_point(p + 4 * k, h->order), buf + bytes);
        if (!added)
            return err_set(e, ERR_INPUT, "a .npy file: element %" PRId64 " is not valid Unicode",
                           i);
        bytes += added;
    }
    return tensor_set_str(t, i, buf, bytes, e);
}

static int read_strings(struct tensor *t, const struct header *h, const uint8_t *data, size_t item,
                        struct err *e)
{
    struct walk w;
    int64_t n = tensor_count(t);
    char *buf = mem_alloc(NULL, item ? item : 1, e);
    int rc = buf ? 0 : code_of(e);
    walk_init(&w, h);
    for (int64_t i = 0; i < n && !rc; i++, walk_next(&w))
        rc = read_string(t, i, h, data + (size_t)w.place * item, buf, e);
    mem_free(buf);
    return rc;
}

int npy_parse(struct tensor *out, struct budget *b, const void *data, size_t size, struct err *e)
{
    struct header h;
    int64_t count;
    size_t item, bytes;
    char text[256];
    *out = (struct tensor){0};
    int rc = read_header(&h, data, size, e);
    if (rc)
        return rc;
    enum dtype dtype = find_type(&h);
    if (dtype == DTYPE_NONE)
        return err_set(e, ERR_UNSUPPORTED, "a .npy file of element type %c%zu", h.kind, h.item);
    if (!size_mul(h.item, h.kind == 'U' ? 4 : 1, &item) || !dims_count(h.dims, h.rank, &count) ||
        !size_mul((size_t)count, item, &bytes) || bytes != size - h.data)
        return err_set(e, ERR_INPUT, "a .npy file: %s elements of %zu bytes do not take %zu bytes",
                       dims_describe(h.dims, h.rank, text, sizeof text), item, size - h.data);
    /* Strings of no length cost memory without costing the file any. */
    if (dtype == DTYPE_STRING && (size_t)count > size && !item)
        return err_set(e, ERR_LIMIT, "a .npy file of %" PRId64 " empty strings", count);
    rc = tensor_new(out, b, dtype, h.rank, h.dims, e);
    if (rc)
        return rc;
    if (dtype == DTYPE_STRING)
        rc = read_strings(out, &h, (const uint8_t *)data + h.data, item, e);
    else
        read_numbers(out, &h, (const uint8_t *)data + h.data);
    if (rc)
        tensor_clear(out);
    return rc;
}

int npy_read(struct tensor *out, struct budget *b, const char *path, struct err *e)
{
    *out = (struct tensor){0};
    struct file *f = file_open(b, path, false, e);
    if (!f)
        return code_of(e);
    int rc = npy_parse(out, b, f->data, f->size, e);
    file_unref(f);
    return rc ? err_at(e, rc, "%s", path) : 0;
}

/* ---- writing ------------------------------------------------------------------------------- */

enum { NPY_ALIGN = 64, NPY_HEADER_MAX = 512 };

int npy_format(const struct tensor *t, struct budget *b, uint8_t **out, size_t *size, struct err *e)
{
    char text[NPY_HEADER_MAX];
    const char *type = dtype_npy(t->dtype);
    size_t bytes = tensor_bytes(t);
    if (!*type)
        return err_set(e, ERR_UNSUPPORTED, "NumPy has no element type %s", dtype_name(t->dtype));
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
    for (int i = 0; i < t->rank; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%" PRId64 "%s", t->dims[i],
                      i + 1 < t->rank ? ", " : t->rank == 1 ? "," : "");
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    /* Padded with blanks so that the elements are aligned, and ended by a newline. */
    size_t head = (size_t)(10 + n + 1 + NPY_ALIGN - 1) / NPY_ALIGN * NPY_ALIGN;
    if (!size_add(head, bytes, size))
        return err_set(e, ERR_LIMIT, "a tensor too large for a file");
    *out = mem_alloc(b, *size, e);
    if (!*out)
        return code_of(e);
    uint8_t *p = *out;
    memset(p, ' ', head);
    memcpy(p, magic, sizeof magic);
    p[6] = 1;
    p[7] = 0;
    p[8] = (uint8_t)(head - 10);
    p[9] = (uint8_t)((head - 10) >> 8);
    memcpy(p + 10, text, (size_t)n);
    p[head - 1] = '\n';
    if (bytes)
        memcpy(p + head, t->data, bytes);
    return 0;
}

int npy_write(const struct tensor *t, const char *path, struct err *e)
{
    uint8_t *data;
    size_t size;
    int rc = npy_format(t, NULL, &data, &size, e);
    if (rc)
        return rc;
    rc = file_write(path, data, size, e);
    mem_free(data);
    return rc;
}
