/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/file.h"
#include "core/knobs.h"
#include "kernels/cpu.h"
#include "runtime/tune.h"

enum { MACHINE_FIELDS = 6, SITE_FIELDS = 5, FIELDS = 16 };

/* A record, pointing into the cache's text. */
struct record {
    const char *site, *buckets, *name; /* site: SITE_FIELDS fields with their tabs */
    uint32_t set;
    size_t order;
};

struct tune_cache {
    char *text;
    struct record *records; /* sorted by site and buckets, the newest last */
    size_t n, capacity;
};

/* ---- words of a record -------------------------------------------------------------------------- */

void tune_machine(int threads, char out[TUNE_MACHINE_MAX])
{
    const struct cpu_cache *c = cpu_cache();
    char features[96] = "", cpu[80];
    size_t used = 0;
    for (int l = 0; l < CPU_LEVELS; l++)
        if (cpu_has((enum cpu_level)l) && used < sizeof(features) - 16)
            used += (size_t)snprintf(features + used, sizeof(features) - used, "%s%s", used ? "+" : "",
                                     cpu_level_name((enum cpu_level)l));
    snprintf(cpu, sizeof(cpu), "%s", cpu_name());
    for (char *s = cpu; *s; s++)
        if ((unsigned char)*s < ' ')
            *s = ' ';
    snprintf(out, TUNE_MACHINE_MAX, "t1\t%s\t%s\t%s\t%u/%u/%u\t%d", INFER_VERSION, cpu, features, c->l1,
             c->l2, c->l3, threads);
}

char *tune_path(struct budget *b)
{
    const char *given = knob_get(KNOB_TUNING_CACHE), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char path[4096];
    int n;
    if (*given)
        n = snprintf(path, sizeof(path), "%s", given);
    else if (xdg && *xdg == '/')
        n = snprintf(path, sizeof(path), "%s/infer/tuning.txt", xdg);
    else if (home && *home == '/')
        n = snprintf(path, sizeof(path), "%s/.cache/infer/tuning.txt", home);
    else
        return NULL;
    return n > 0 && (size_t)n < sizeof(path) ? mem_strndup(b, path, (size_t)n, NULL) : NULL;
}

uint32_t tune_set_hash(const struct tune_ask *a)
{
    uLong crc = crc32(0, NULL, 0);
    for (int i = 0; i < a->n_names; i++) {
        crc = crc32(crc, (const Bytef *)a->names[i], (uInt)strlen(a->names[i]));
        crc = crc32(crc, (const Bytef *)"\n", 1);
    }
    return (uint32_t)crc;
}

/* The smallest size of a bucket. */
static int64_t bucket_low(unsigned bucket)
{
    if (bucket < 8)
        return bucket;
    unsigned log = 3 + (bucket - 8) / 2;
    return log > 62 ? INT64_MAX : ((int64_t)2 + (bucket & 1)) << (log - 1);
}

static void print_site(const struct tune_ask *a, char *out, size_t size)
{
    int used = snprintf(out, size, "%s\t%s\t%s\t%s\t", a->op, dtype_name(a->dtype), a->layout, a->epilogue);
    for (int i = 0; i < a->n_dims && used > 0 && (size_t)used < size; i++) {
        const char *comma = i ? "," : "";
        if (a->dims[i] == TUNE_ANY)
            used += snprintf(out + used, size - (size_t)used, "%s%c~", comma, a->letters[i]);
        else
            used += snprintf(out + used, size - (size_t)used, "%s%c%lld", comma, a->letters[i],
                             (long long)a->dims[i]);
    }
}

static void print_buckets(const struct tune_ask *a, uint32_t where, char *out, size_t size)
{
    size_t used = 0;
    snprintf(out, size, "-");
    for (int i = 0; i < a->n_dims && used < size; i++)
        if (a->dims[i] == TUNE_ANY)
            used += (size_t)snprintf(out + used, size - used, "%s%c%lld", used ? "," : "", a->letters[i],
                                     (long long)bucket_low(where >> 8 * (a->n_dims - 1 - i) & 0xff));
}

/* What print_buckets wrote; false for anything else. */
static bool read_buckets(const struct tune_ask *a, const char *text, uint32_t *where)
{
    int64_t dims[TUNE_DIMS] = {0};
    char again[TUNE_DIMS * 24];
    const char *s = text;
    for (int i = 0; i < a->n_dims; i++) {
        if (a->dims[i] != TUNE_ANY)
            continue;
        char *end;
        s += *s == ',';
        if (*s++ != a->letters[i])
            return false;
        errno = 0;
        dims[i] = strtoll(s, &end, 10);
        if (errno || end == s || dims[i] < 0)
            return false;
        s = end;
    }
    *where = tune_where(a, dims);
    print_buckets(a, *where, again, sizeof(again));
    return strcmp(again, text) == 0;
}

void tune_key_print(const struct tune_ask *a, uint32_t where, char *out, size_t size)
{
    char site[512], buckets[TUNE_DIMS * 24];
    print_site(a, site, sizeof(site));
    print_buckets(a, where, buckets, sizeof(buckets));
    snprintf(out, size, "%s%s%s", site, strcmp(buckets, "-") ? " " : "", strcmp(buckets, "-") ? buckets : "");
    for (; *out; out++)
        if (*out == '\t')
            *out = ' ';
}

size_t tune_record(char out[TUNE_LINE_MAX], const char *machine, const struct tune_ask *a, uint32_t where,
                   int choice, double us)
{
    char site[512], buckets[TUNE_DIMS * 24];
    print_site(a, site, sizeof(site));
    print_buckets(a, where, buckets, sizeof(buckets));
    int n = snprintf(out, TUNE_LINE_MAX, "%s\t%s\t%s\t%s\t%.1f\t%08x", machine, site, buckets,
                     a->names[choice], us, tune_set_hash(a));
    if (n < 0 || n > TUNE_LINE_MAX - 11)
        return 0;
    uLong crc = crc32(crc32(0, NULL, 0), (const Bytef *)out, (uInt)n);
    return (size_t)(n + snprintf(out + n, TUNE_LINE_MAX - (size_t)n, "\t%08x\n", (unsigned)crc));
}

/* ---- reading ------------------------------------------------------------------------------------ */

static bool read_hex(const char *s, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 8; i++) {
        int digit = s[i] >= '0' && s[i] <= '9' ? s[i] - '0' : s[i] >= 'a' && s[i] <= 'f' ? s[i] - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        *out = *out << 4 | (uint32_t)digit;
    }
    return s[8] == 0;
}

/* A line [s, s + n), whose newline has become 0. The fields that matter are ended by 0 in place. */
static bool read_line(char *s, size_t n, const char *machine, struct record *r)
{
    size_t prefix = strlen(machine);
    char *field[FIELDS], *at = s;
    uint32_t crc;
    double us;
    if (n >= TUNE_LINE_MAX || n <= prefix || memchr(s, 0, n) || memcmp(s, machine, prefix) != 0)
        return false;
    for (int i = 0; i < FIELDS; i++) {
        field[i] = at;
        char *tab = strchr(at, '\t');
        if (!tab != (i == FIELDS - 1))
            return false;
        at = tab ? tab + 1 : at;
    }
    if (field[MACHINE_FIELDS] != s + prefix + 1 || !read_hex(field[15], &crc) ||
        crc != crc32(crc32(0, NULL, 0), (const Bytef *)s, (uInt)(field[15] - 1 - s)))
        return false;
    for (int i = MACHINE_FIELDS + SITE_FIELDS; i < FIELDS; i++)
        field[i][-1] = 0;
    char *end;
    us = strtod(field[13], &end);
    if (*end || end == field[13] || !isfinite(us) || us < 0 || !read_hex(field[14], &r->set))
        return false;
    r->site = field[MACHINE_FIELDS];
    r->buckets = field[11];
    r->name = field[12];
    return true;
}

static int in_order(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    int c = strcmp(x->site, y->site);
    if (c == 0)
        c = strcmp(x->buckets, y->buckets);
    return c ? c : (x->order > y->order) - (x->order < y->order);
}

/* Takes text over: size bytes and room for one more. */
static struct tune_cache *parse(char *text, size_t size, const char *machine, struct budget *b)
{
    struct tune_cache *c = mem_calloc(b, 1, sizeof(*c), NULL);
    if (!c) {
        mem_free(text);
        return NULL;
    }
    c->text = text;
    text[size] = 0;
    for (size_t at = 0; at < size;) {
        char *newline = memchr(text + at, '\n', size - at);
        if (!newline)
            break; /* still being written, or torn */
        struct record r = {.order = c->n};
        *newline = 0;
        if (read_line(text + at, (size_t)(newline - text) - at, machine, &r)) {
            if (mem_grow(b, (void **)&c->records, c->n, &c->capacity, sizeof(r), NULL) < 0)
                break;
            c->records[c->n++] = r;
        }
        at = (size_t)(newline - text) + 1;
    }
    if (c->n)
        qsort(c->records, c->n, sizeof(*c->records), in_order);
    return c;
}

struct tune_cache *tune_cache_parse(const char *text, size_t size, const char *machine, struct budget *b)
{
    char *copy = mem_alloc(b, size + 1, NULL);
    if (!copy)
        return NULL;
    memcpy(copy, text, size);
    return parse(copy, size, machine, b);
}

/* The last TUNE_FILE_MAX bytes of a file, with room for one more; NULL if it cannot be read. */
static char *read_end(int fd, off_t file_size, size_t *size, struct budget *b)
{
    off_t from = file_size > TUNE_FILE_MAX ? file_size - TUNE_FILE_MAX : 0;
    size_t want = (size_t)(file_size - from);
    char *text = mem_alloc(b, want + 1, NULL);
    for (*size = 0; text && *size < want;) {
        ssize_t n = pread(fd, text + *size, want - *size, from + (off_t)*size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        *size += (size_t)n;
    }
    return text;
}

struct tune_cache *tune_cache_read(const char *path, const char *machine, struct budget *b)
{
    struct tune_cache *c = NULL;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        size_t size;
        char *text = read_end(fd, st.st_size, &size, b);
        if (text)
            c = parse(text, size, machine, b);
    }
    close(fd);
    return c;
}

void tune_cache_free(struct tune_cache *c)
{
    if (!c)
        return;
    mem_free(c->records);
    mem_free(c->text);
    mem_free(c);
}

size_t tune_cache_size(const struct tune_cache *c)
{
    return c ? c->n : 0;
}

int tune_cache_find(const struct tune_cache *c, const struct tune_ask *a, struct tune_case *cases, int max)
{
    char site[512];
    int n = 0;
    uint32_t set = tune_set_hash(a), where;
    size_t low = 0, high = tune_cache_size(c);
    print_site(a, site, sizeof(site));
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(c->records[middle].site, site) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; c && low < c->n && strcmp(c->records[low].site, site) == 0; low++) {
        const struct record *r = &c->records[low];
        int choice = 0;
        while (choice < a->n_names && strcmp(a->names[choice], r->name) != 0)
            choice++;
        if (r->set != set || choice == a->n_names || !read_buckets(a, r->buckets, &where))
            continue;
        if (n && cases[n - 1].where == where)
            n--; /* an older record of the key */
        if (n < max)
            cases[n++] = (struct tune_case){where, choice};
    }
    return n;
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* Replace a full file by the newer half of its lines and the new ones. */
static int start_anew(const char *path, int fd, off_t file_size, const char *lines, size_t size,
                      struct err *e)
{
    size_t have, from;
    char *text = read_end(fd, file_size, &have, NULL);
    if (!text)
        return err_set(e, ERR_MEMORY, "no memory for the tuning cache");
    for (from = have > TUNE_FILE_MAX / 2 ? have - TUNE_FILE_MAX / 2 : 0; from < have; from++)
        if (from == 0 || text[from - 1] == '\n')
            break;
    char *all = mem_alloc(NULL, have - from + size + 1, e);
    if (!all) {
        mem_free(text);
        return ERR_MEMORY;
    }
    size_t n = have - from;
    memcpy(all, text + from, n);
    if (n && all[n - 1] != '\n')
        all[n++] = '\n';
    memcpy(all + n, lines, size);
    int rc = file_write(path, all, n + size, e);
    mem_free(all);
    mem_free(text);
    return rc;
}

static int append(const char *path, int fd, const char *lines, size_t size, struct err *e)
{
    struct stat st;
    char last = '\n';
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(e, ERR_FILE, "%s: no regular file", path);
    if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
        return err_set(e, ERR_FILE, "%s: cannot be read: %s", path, strerror(errno));
    if (st.st_size + (off_t)size >= TUNE_FILE_MAX)
        return start_anew(path, fd, st.st_size, lines, size, e);
    /* A writer that died within a line must not spoil the next one. */
    size_t mend = last != '\n';
    char *text = mem_alloc(NULL, size + 1, e);
    if (!text)
        return ERR_MEMORY;
    text[0] = '\n';
    memcpy(text + mend, lines, size);
    ssize_t n = write(fd, text, size + mend);
    int why = errno;
    mem_free(text);
    return n == (ssize_t)(size + mend)
               ? 0
               : err_set(e, ERR_FILE, "%s: cannot be written: %s", path, n < 0 ? strerror(why) : "no room");
}

int tune_cache_append(const char *path, const char *lines, size_t size, struct err *e)
{
    if (size >= TUNE_FILE_MAX / 2)
        return err_set(e, ERR_LIMIT, "too many tuning records at once");
    char *folder = file_folder(NULL, path, e);
    if (!folder)
        return ERR_MEMORY;
    int rc = *folder ? file_make_folder(folder, e) : 0;
    mem_free(folder);
    if (rc < 0)
        return rc;
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return err_set(e, ERR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    rc = append(path, fd, lines, size, e);
    close(fd);
    return rc;
}
