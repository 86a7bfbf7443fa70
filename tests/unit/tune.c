/* SPDX-License-Identifier: Apache-2.0 */
/* The tuning cache: what is written is found, by its key alone; whatever is wrong is a miss. */
#include "runtime/tune.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/knobs.h"
#include "tests/unit/unit.h"

static const char *const names[] = {"auto", "half", "tall"};

static struct tune_cost no_cost(const struct tune_ask *a, const int64_t *dims)
{
    return (struct tune_cost){0};
}

static struct tune_ask ask_of(int64_t m, int64_t n)
{
    return (struct tune_ask){.op = "MatMul", .layout = "packed", .epilogue = "none", .dtype = DTYPE_F32,
                             .letters = "mn", .n_dims = 2, .n_names = 3, .dims = {m, n}, .names = names,
                             .cost = no_cost};
}

/* A folder of the test's own, gone at its end. */
static char folder[64], path[128];

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/infer-tune-XXXXXX");
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a/tuning.txt", folder);
}

static void end(void)
{
    char inner[128];
    snprintf(inner, sizeof inner, "%s/a", folder);
    unlink(path);
    rmdir(inner);
    rmdir(folder);
}

static void machine_of(char out[TUNE_MACHINE_MAX])
{
    tune_machine(2, out);
}

/* The choice in a text for dims; -1 for a miss. */
static int choice_in(const char *text, size_t size, const struct tune_ask *a, const int64_t *dims)
{
    char machine[TUNE_MACHINE_MAX];
    struct tune_case cases[TUNE_CASES];
    machine_of(machine);
    struct tune_cache *c = tune_cache_parse(text, size, machine, NULL);
    int n = tune_cache_find(c, a, cases, TUNE_CASES), found = -1;
    uint32_t where = tune_where(a, dims);
    for (int i = 0; i < n; i++)
        if (cases[i].where == where) {
            CHECK(found < 0);
            found = cases[i].choice;
        }
    tune_cache_free(c);
    return found;
}

static size_t record(char out[TUNE_LINE_MAX], const struct tune_ask *a, const int64_t *dims, int choice)
{
    char machine[TUNE_MACHINE_MAX];
    machine_of(machine);
    return tune_record(out, machine, a, tune_where(a, dims), choice, 12.5);
}

static void buckets(void)
{
    int last = -1;
    for (int64_t d = 0; d < 5000; d++) {
        int b = tune_bucket(d);
        CHECK(b == last || b == last + 1);
        last = b;
    }
    CHECK(tune_bucket(8) == tune_bucket(11) && tune_bucket(12) == tune_bucket(15));
    CHECK(tune_bucket(11) != tune_bucket(12) && tune_bucket(-1) == 0);
    CHECK(tune_bucket(INT64_MAX) > tune_bucket(INT64_MAX / 2));
    /* Every bucket's record is read back. */
    struct tune_ask a = ask_of(TUNE_ANY, 64);
    char line[TUNE_LINE_MAX];
    for (int64_t d = 0; d < INT64_MAX / 3; d += d / 4 + 1) {
        size_t n = record(line, &a, (int64_t[]){d, 64}, 1);
        CHECK(n > 0 && choice_in(line, n, &a, (int64_t[]){d, 64}) == 1);
    }
}

static void round_trip(void)
{
    struct tune_ask a = ask_of(TUNE_ANY, 768), fixed = ask_of(128, 768), other = ask_of(TUNE_ANY, 769);
    char text[8 * TUNE_LINE_MAX];
    size_t n = record(text, &a, (int64_t[]){128, 768}, 2);
    n += record(text + n, &a, (int64_t[]){1, 768}, 1);
    n += record(text + n, &fixed, (int64_t[]){128, 768}, 0);
    CHECK(choice_in(text, n, &a, (int64_t[]){128, 768}) == 2);
    CHECK(choice_in(text, n, &a, (int64_t[]){190, 768}) == 2); /* of its bucket */
    CHECK(choice_in(text, n, &a, (int64_t[]){192, 768}) == -1);
    CHECK(choice_in(text, n, &a, (int64_t[]){1, 768}) == 1);
    CHECK(choice_in(text, n, &fixed, (int64_t[]){128, 768}) == 0);
    CHECK(choice_in(text, n, &other, (int64_t[]){128, 769}) == -1);
    struct tune_ask changed = a;
    changed.layout = "plain";
    CHECK(choice_in(text, n, &changed, (int64_t[]){128, 768}) == -1);
    changed = a;
    changed.dtype = DTYPE_F64;
    CHECK(choice_in(text, n, &changed, (int64_t[]){128, 768}) == -1);
    changed = a;
    changed.epilogue = "add";
    CHECK(choice_in(text, n, &changed, (int64_t[]){128, 768}) == -1);
}

static void last_wins(void)
{
    struct tune_ask a = ask_of(TUNE_ANY, 768);
    const int64_t dims[] = {128, 768};
    char text[4 * TUNE_LINE_MAX];
    size_t n = record(text, &a, dims, 2);
    size_t second = n;
    n += record(text + n, &a, dims, 1);
    CHECK(choice_in(text, n, &a, dims) == 1);
    text[second + 20] ^= 1; /* the last good one */
    CHECK(choice_in(text, n, &a, dims) == 2);
}

static void broken(void)
{
    struct tune_ask a = ask_of(TUNE_ANY, 768);
    const int64_t dims[] = {128, 768};
    char text[TUNE_LINE_MAX], bad[2 * TUNE_LINE_MAX];
    size_t n = record(text, &a, dims, 1);
    for (size_t cut = 0; cut < n; cut++) /* torn; without its newline it may still be being written */
        CHECK(choice_in(text, cut, &a, dims) == -1);
    for (size_t i = 0; i < n; i++)
        for (int b = 0; b < 8; b++) {
            memcpy(bad, text, n);
            bad[i] ^= (char)(1 << b);
            CHECK(choice_in(bad, n, &a, dims) == -1);
        }
    for (size_t cut = 0; cut < n; cut += 7) { /* the next line is whole */
        memcpy(bad, text, cut);
        bad[cut] = '\n';
        memcpy(bad + cut + 1, text, n);
        CHECK(choice_in(bad, cut + 1 + n, &a, dims) == 1);
    }
    char *large = malloc(3 * TUNE_LINE_MAX);
    memset(large, '\t', 2 * TUNE_LINE_MAX);
    large[2 * TUNE_LINE_MAX] = '\n';
    memcpy(large + 2 * TUNE_LINE_MAX + 1, text, n);
    CHECK(choice_in(large, 2 * TUNE_LINE_MAX + 1 + n, &a, dims) == 1);
    free(large);
}

/* Records of another engine, processor, number of threads or set of candidates. */
static void stale(void)
{
    struct tune_ask a = ask_of(TUNE_ANY, 768), more = a;
    static const char *const four[] = {"auto", "half", "tall", "wide"};
    const int64_t dims[] = {128, 768};
    const uint32_t where = tune_where(&a, dims);
    char line[TUNE_LINE_MAX], machine[TUNE_MACHINE_MAX], changed[TUNE_MACHINE_MAX];
    machine_of(machine);
    CHECK(choice_in(line, tune_record(line, machine, &a, where, 1, 1), &a, dims) == 1);
    for (size_t i = 0; machine[i]; i++) { /* a character of the version, the name, a feature, ... */
        memcpy(changed, machine, sizeof changed);
        changed[i] = changed[i] == 'x' ? 'y' : 'x';
        CHECK(choice_in(line, tune_record(line, changed, &a, where, 1, 1), &a, dims) == -1);
    }
    tune_machine(3, changed);
    CHECK(choice_in(line, tune_record(line, changed, &a, where, 1, 1), &a, dims) == -1);
    more.names = four;
    more.n_names = 4;
    CHECK(tune_set_hash(&more) != tune_set_hash(&a));
    CHECK(choice_in(line, tune_record(line, machine, &more, where, 1, 1), &a, dims) == -1);
    CHECK(choice_in(line, tune_record(line, machine, &a, where, 1, 1), &more, dims) == -1);
}

static void file(void)
{
    struct tune_ask a = ask_of(TUNE_ANY, 768);
    const int64_t dims[] = {128, 768};
    char line[TUNE_LINE_MAX], machine[TUNE_MACHINE_MAX];
    struct tune_case cases[TUNE_CASES];
    struct err e = {0};
    begin();
    machine_of(machine);
    CHECK(!tune_cache_read(path, machine, NULL));
    size_t n = record(line, &a, dims, 1);
    CHECK(tune_cache_append(path, line, n, &e) == 0); /* makes the folder */
    int fd = open(path, O_WRONLY | O_APPEND);
    CHECK(write(fd, line, n / 2) == (ssize_t)(n / 2)); /* a writer that died */
    close(fd);
    n = record(line, &a, dims, 2);
    CHECK(tune_cache_append(path, line, n, &e) == 0);
    struct tune_cache *c = tune_cache_read(path, machine, NULL);
    CHECK(tune_cache_size(c) == 2);
    CHECK(tune_cache_find(c, &a, cases, TUNE_CASES) == 1 && cases[0].choice == 2);
    CHECK(tune_cache_find(c, &a, cases, 0) == 0);
    tune_cache_free(c);
    end();
}

static void bounded(void)
{
    struct tune_ask a = ask_of(TUNE_ANY, 768);
    const int64_t dims[] = {128, 768};
    char line[TUNE_LINE_MAX], machine[TUNE_MACHINE_MAX];
    struct tune_case cases[TUNE_CASES];
    struct stat st;
    size_t size = 0;
    begin();
    machine_of(machine);
    char *many = malloc(TUNE_FILE_MAX);
    while (size < TUNE_FILE_MAX / 2 - TUNE_LINE_MAX)
        size += record(many + size, &a, (int64_t[]){(int64_t)(size % 64), 768}, 1);
    for (int i = 0; i < 5; i++) {
        CHECK(tune_cache_append(path, many, size, NULL) == 0);
        CHECK(stat(path, &st) == 0 && st.st_size <= TUNE_FILE_MAX);
    }
    CHECK(tune_cache_append(path, line, record(line, &a, dims, 2), NULL) == 0);
    struct tune_cache *c = tune_cache_read(path, machine, NULL);
    int n = tune_cache_find(c, &a, cases, TUNE_CASES), found = -1;
    for (int i = 0; i < n; i++)
        if (cases[i].where == tune_where(&a, dims))
            found = cases[i].choice;
    CHECK(n > 1 && n <= TUNE_CASES && found == 2);
    tune_cache_free(c);
    CHECK(tune_cache_append(path, many, TUNE_FILE_MAX, NULL) == ERR_LIMIT);
    /* A file that something else made too large: its end is read. */
    CHECK(truncate(path, 3 * (off_t)TUNE_FILE_MAX) == 0);
    CHECK(tune_cache_append(path, line, record(line, &a, dims, 1), NULL) == 0);
    CHECK(stat(path, &st) == 0 && st.st_size <= TUNE_FILE_MAX);
    free(many);
    end();
}

/* Several processes append at once; nothing is lost or mixed. */
static void appenders(void)
{
    enum { WRITERS = 4, EACH = 50 };
    char line[TUNE_LINE_MAX], machine[TUNE_MACHINE_MAX];
    struct tune_case cases[TUNE_CASES];
    pid_t child[WRITERS];
    begin();
    machine_of(machine);
    fflush(stdout);
    for (int w = 0; w < WRITERS; w++) {
        child[w] = fork();
        if (child[w] != 0)
            continue;
        int failed = 0;
        for (int i = 0; i < EACH; i++) {
            struct tune_ask a = ask_of(w, i);
            size_t n = record(line, &a, a.dims, (w + i) % 3);
            failed |= tune_cache_append(path, line, n, NULL) < 0;
        }
        _exit(failed);
    }
    for (int w = 0; w < WRITERS; w++) {
        int status = 1;
        CHECK(child[w] > 0 && waitpid(child[w], &status, 0) == child[w] && status == 0);
    }
    struct tune_cache *c = tune_cache_read(path, machine, NULL);
    CHECK(tune_cache_size(c) == WRITERS * EACH);
    for (int w = 0; w < WRITERS; w++)
        for (int i = 0; i < EACH; i++) {
            struct tune_ask a = ask_of(w, i);
            CHECK(tune_cache_find(c, &a, cases, TUNE_CASES) == 1 && cases[0].choice == (w + i) % 3);
        }
    tune_cache_free(c);
    end();
}

static void unwritable(void)
{
    char machine[TUNE_MACHINE_MAX], wrong[160];
    struct err e = {0};
    begin();
    machine_of(machine);
    CHECK(tune_cache_append("/proc/nowhere/tuning.txt", "x\n", 2, &e) == ERR_FILE && *e.msg);
    CHECK(!tune_cache_read("/proc/nowhere/tuning.txt", machine, NULL));
    err_clear(&e);
    CHECK(tune_cache_append(folder, "x\n", 2, &e) == ERR_FILE && *e.msg); /* a folder */
    CHECK(!tune_cache_read(folder, machine, NULL));
    snprintf(wrong, sizeof wrong, "%s/fifo", folder);
    CHECK(mkfifo(wrong, 0600) == 0);
    err_clear(&e);
    CHECK(tune_cache_append(wrong, "x\n", 2, &e) == ERR_FILE && *e.msg); /* and does not hang */
    CHECK(!tune_cache_read(wrong, machine, NULL));
    unlink(wrong);
    end();
}

/* Where there is no cache, no answer: the heuristic. */
static void absent(void)
{
    struct tuner *t = NULL;
    struct tune_ask a = ask_of(TUNE_ANY, 768);
    char *found;
    CHECK(tune_choice(NULL, (int64_t[]){1, 768}) == 0);
    begin();
    knob_set(KNOB_TUNING_CACHE, path);
    CHECK(tuner_new(&t, false, 2, NULL, NULL) == 0 && !t);
    CHECK(!tuner_site(t, NULL, &a, NULL));
    tuner_free(t);
    knob_set(KNOB_TUNING_CACHE, "");
    setenv("XDG_CACHE_HOME", "/x", 1);
    CHECK((found = tune_path(NULL)) && strcmp(found, "/x/infer/tuning.txt") == 0);
    mem_free(found);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/y", 1);
    CHECK((found = tune_path(NULL)) && strcmp(found, "/y/.cache/infer/tuning.txt") == 0);
    mem_free(found);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    CHECK(!tune_path(NULL));
    CHECK(tuner_new(&t, false, 2, NULL, NULL) == 0 && !t);
    knob_set(KNOB_TUNING, "maybe");
    CHECK(tuner_new(&t, false, 2, NULL, NULL) == ERR_USAGE && !t);
    knob_set(KNOB_TUNING, NULL);
    knob_set(KNOB_TUNING_CACHE, NULL);
    end();
}

/* A site from records answers by the bucket; off asks nobody. */
static void site(void)
{
    struct tune_ask a = ask_of(TUNE_ANY, 768), wrong = a;
    char line[TUNE_LINE_MAX];
    struct tuner *t = NULL;
    struct arena arena;
    begin();
    arena_init(&arena, NULL);
    CHECK(tune_cache_append(path, line, record(line, &a, (int64_t[]){128, 768}, 2), NULL) == 0);
    CHECK(tune_cache_append(path, line, record(line, &a, (int64_t[]){5, 768}, 1), NULL) == 0);
    knob_set(KNOB_TUNING_CACHE, path);
    CHECK(tuner_new(&t, false, 2, NULL, NULL) == 0 && t);
    struct tune_site *s = tuner_site(t, NULL, &a, &arena);
    wrong.dims[1] = 5;
    CHECK(!tuner_site(t, NULL, &wrong, &arena));
    tuner_free(t); /* the site stands alone */
    CHECK(s && tune_choice(s, (int64_t[]){130, 768}) == 2 && tune_choice(s, (int64_t[]){5, 768}) == 1);
    CHECK(s && tune_choice(s, (int64_t[]){6, 768}) == 0);
    CHECK(tuner_new(&t, false, 3, NULL, NULL) == 0 && !t); /* another number of threads */
    knob_set(KNOB_TUNING, "off");
    CHECK(tuner_new(&t, false, 2, NULL, NULL) == 0 && !t);
    knob_set(KNOB_TUNING, NULL);
    knob_set(KNOB_TUNING_CACHE, NULL);
    arena_clear(&arena);
    end();
}

static const struct unit_test tests[] = {
    TEST(buckets), TEST(round_trip), TEST(last_wins), TEST(broken),     TEST(stale),  TEST(file),
    TEST(bounded), TEST(appenders),  TEST(absent),    TEST(unwritable), TEST(site),
};
UNIT_MAIN(tests)
