/* SPDX-License-Identifier: Apache-2.0 */
#include "core/text.h"

#include <stdio.h>
#include <string.h>

static bool reserve(struct text *t, size_t more)
{
    if (t->failed || more > SIZE_MAX / 4 - t->size)
        t->failed = true;
    if (t->failed || t->size + more + 1 <= t->capacity)
        return !t->failed;
    size_t capacity = t->capacity ? t->capacity : 256;
    while (capacity < t->size + more + 1)
        capacity *= 2;
    char *data = mem_realloc(t->budget, t->data, capacity, NULL);
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

void text_add(struct text *t, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n >= 0 && reserve(t, (size_t)n)) {
        vsnprintf(t->data + t->size, (size_t)n + 1, fmt, again);
        t->size += (size_t)n;
    }
    va_end(again);
}

void text_add_bytes(struct text *t, const char *s, size_t n)
{
    if (!reserve(t, n))
        return;
    for (size_t i = 0; i < n; i++)
        t->data[t->size + i] = (unsigned char)s[i] < 32 || s[i] == 127 ? '?' : s[i];
    t->size += n;
    t->data[t->size] = 0;
}

char *text_take(struct text *t, struct err *e)
{
    if (!reserve(t, 0)) {
        mem_free(t->data);
        *t = (struct text){.budget = t->budget};
        err_set(e, ERR_MEMORY, "no memory for a text");
        return NULL;
    }
    char *data = t->data;
    data[t->size] = 0;
    *t = (struct text){.budget = t->budget};
    return data;
}
