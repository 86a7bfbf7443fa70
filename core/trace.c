/* SPDX-License-Identifier: Apache-2.0 */
#include "core/trace.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "core/file.h"
#include "core/text.h"
#include "core/threads.h"

struct span {
    const char *name, *category, *detail;
    int64_t begin, end;
    int member;
};

struct trace {
    pthread_mutex_t lock; /* over all below */
    struct budget *budget;
    struct arena strings;
    struct span *spans;
    size_t count, capacity;
    uint64_t lost;
    int64_t start; /* the file's times count from here */
};

struct trace *trace_new(struct budget *b, struct err *e)
{
    struct trace *t = mem_calloc(b, 1, sizeof *t, e);
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->budget = b;
    t->start = clock_ns();
    arena_init(&t->strings, b);
    return t;
}

void trace_free(struct trace *t)
{
    if (!t)
        return;
    arena_clear(&t->strings);
    mem_free(t->spans);
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}

static bool append(struct trace *t, struct span s)
{
    void *spans = t->spans;
    if (mem_grow(t->budget, &spans, t->count, &t->capacity, sizeof s, NULL))
        return false;
    t->spans = spans;
    s.name = arena_strndup(&t->strings, s.name, SIZE_MAX, NULL);
    s.category = arena_strndup(&t->strings, s.category, SIZE_MAX, NULL);
    if (s.detail && !(s.detail = arena_strndup(&t->strings, s.detail, SIZE_MAX, NULL)))
        return false;
    if (!s.name || !s.category)
        return false;
    t->spans[t->count++] = s;
    return true;
}

void trace_span(struct trace *t, const char *name, const char *category, int member, int64_t begin,
                int64_t end, const char *detail)
{
    struct span s = {name, category, detail, begin, end, member};
    pthread_mutex_lock(&t->lock);
    t->lost += !append(t, s);
    pthread_mutex_unlock(&t->lock);
}

/* ---- Writing ---- */

/* Bytes of the UTF-8 character at s, 0 if it is none (overlong forms and surrogates are none). */
static int utf8_length(const unsigned char *s)
{
    int n = s[0] < 0x80   ? 1
            : s[0] < 0xc2 ? 0
            : s[0] < 0xe0 ? 2
            : s[0] < 0xf0 ? 3
            : s[0] < 0xf5 ? 4
                          : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
               (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f);
    return bad ? 0 : n;
}

/* A JSON string; names come from models, so any byte may be in them. */
static void put_string(struct text *x, const char *text)
{
    text_add(x, "\"");
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        int n = utf8_length(s);
        if (!n)
            text_add(x, "\\ufffd");
        else if (*s < 0x20 || *s == '"' || *s == '\\' || *s == 0x7f)
            text_add(x, "\\u%04x", *s);
        else
            text_add_bytes(x, (const char *)s, (size_t)n);
        s += n ? n : 1;
    }
    text_add(x, "\"");
}

static void put_micros(struct text *x, const char *key, int64_t ns)
{
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    text_add(x, ",\"%s\":%s%" PRIu64 ".%03u", key, ns < 0 ? "-" : "", v / 1000,
             (unsigned)(v % 1000));
}

static void put_span(struct text *x, const struct span *s, int64_t start)
{
    text_add(x, "{\"name\":");
    put_string(x, s->name);
    text_add(x, ",\"cat\":");
    put_string(x, s->category);
    text_add(x, ",\"ph\":\"X\",\"pid\":1,\"tid\":%d", s->member);
    put_micros(x, "ts", s->begin - start);
    put_micros(x, "dur", s->end - s->begin);
    if (s->detail) {
        text_add(x, ",\"args\":{\"detail\":");
        put_string(x, s->detail);
        text_add(x, "}");
    }
    text_add(x, "}");
}

int trace_write(const struct trace *t, const char *path, struct err *e)
{
    struct text x = {.budget = t->budget};
    pthread_mutex_t *lock = (pthread_mutex_t *)&t->lock; /* no part of what const promises */
    pthread_mutex_lock(lock);
    text_add(&x, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"lost\":%" PRIu64 "},", t->lost);
    text_add(&x, "\"traceEvents\":[");
    for (size_t i = 0; i < t->count; i++) {
        text_add(&x, i ? ",\n" : "\n");
        put_span(&x, &t->spans[i], t->start);
    }
    text_add(&x, "\n]}\n");
    pthread_mutex_unlock(lock);
    size_t size = x.size;
    char *data = text_take(&x, e);
    if (!data)
        return err_at(e, e && e->code ? e->code : ERR_MEMORY, "the trace %s", path);
    int rc = file_write(path, data, size, e);
    mem_free(data);
    return rc;
}
