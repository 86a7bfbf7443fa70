/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/utf8.h"

size_t utf8_next(struct str text, size_t at, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char c = (unsigned char)text.data[at];
    size_t n = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
    if (n == 0 || n > text.size - at)
        return 0;
    *code = n == 1 ? c : c & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        c = (unsigned char)text.data[at + i];
        if (c >> 6 != 2)
            return 0;
        *code = *code << 6 | (c & 0x3f);
    }
    return *code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : n;
}

int64_t utf8_length(struct str text)
{
    int64_t count = 0;
    uint32_t code;
    for (size_t at = 0, n; at < text.size; at += n, count++)
        if (!(n = utf8_next(text, at, &code)))
            return -1;
    return count;
}

size_t utf8_put(uint32_t code, char *out)
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[n] | code);
    return n;
}
