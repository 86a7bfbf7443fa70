/* SPDX-License-Identifier: Apache-2.0 */
#include "core/trace.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/threads.h"
#include "tests/unit/unit.h"

static char path[64];

static void text_of(const struct trace *t, char *out, size_t size)
{
    out[0] = 0;
    snprintf(path, sizeof path, "/tmp/infer-trace-%ld.json", (long)getpid());
    if (!CHECK(trace_write(t, path, NULL) == 0))
        return;
    struct file *f = file_open(NULL, path, true, NULL);
    if (CHECK(f && f->size < size)) {
        memcpy(out, f->data, f->size);
        out[f->size] = 0;
    }
    file_unref(f);
    unlink(path);
}

static void written(void)
{
    char text[4096];
    struct budget b;
    budget_init(&b, SIZE_MAX, NULL);
    struct trace *t = trace_new(&b, NULL);
    int64_t now = clock_ns();
    trace_span(t, "Conv_1", "Conv", 2, now, now + 1234567, "float[1,3]");
    trace_span(t, "a\"b\\\n\xff\xc3\xa9\xed\xa0\x80", "x", 0, now, now, NULL);
    text_of(t, text, sizeof text);
    CHECK(strstr(text,
                 "\"name\":\"Conv_1\",\"cat\":\"Conv\",\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":"));
    CHECK(strstr(text, "\"dur\":1234.567,\"args\":{\"detail\":\"float[1,3]\"}}"));
    CHECK(strstr(text, "a\\u0022b\\u005c\\u000a\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffd\""));
    CHECK(strstr(text, "\"lost\":0"));
    trace_free(t);
    trace_free(NULL);
    CHECK(b.used == 0);
}

static void *spans(void *arg)
{
    for (int i = 0; i < 500; i++)
        trace_span(arg, "span", "test", 1, i, i + 1, "detail");
    return NULL;
}

static void threads(void)
{
    pthread_t p[4];
    struct trace *t = trace_new(NULL, NULL);
    for (int i = 0; i < 4; i++)
        pthread_create(&p[i], NULL, spans, t);
    for (int i = 0; i < 4; i++)
        pthread_join(p[i], NULL);
    static char text[1 << 20];
    text_of(t, text, sizeof text);
    int count = 0;
    for (const char *s = text; (s = strstr(s, "\"span\"")); s++)
        count++;
    CHECK(count == 2000);
    trace_free(t);
}

static void faults(void)
{
    for (uint64_t n = 1; n < 200; n++) {
        struct budget b;
        struct err e = {0};
        budget_init(&b, SIZE_MAX, NULL);
        mem_fail_after(n, false);
        struct trace *t = trace_new(&b, &e);
        int rc = 0;
        if (t) {
            for (int i = 0; i < 20; i++)
                trace_span(t, "a longer name of a span", "category", 0, 1, 2, "detail");
            rc = trace_write(t, "/nonexistent/folder/x", &e);
        }
        bool reached = mem_fail_count() >= n;
        mem_fail_after(0, false);
        trace_free(t);
        CHECK(b.used == 0 && (t ? rc < 0 : e.code == ERR_MEMORY));
        if (!reached)
            break;
    }
}

static const struct unit_test tests[] = {TEST(written), TEST(threads), TEST(faults)};
UNIT_MAIN(tests)
