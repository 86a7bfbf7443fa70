/* SPDX-License-Identifier: Apache-2.0 */
#include "core/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A FIFO must not block the open, nor a terminal become ours; fstat refuses both afterwards. */
enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

static const uint8_t nothing[1];

static int code_of(const struct err *e, int fallback)
{
    return e && e->code ? e->code : fallback;
}

/* ---- Opening ---- */

static int read_whole(int fd, uint8_t *out, size_t size, const char *path, struct err *e)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = pread(fd, out + at, size - at, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, ERR_FILE, "cannot read %s: %s", path, strerror(errno));
        if (n == 0)
            return err_set(e, ERR_FILE, "%s became shorter while it was read", path);
        at += (size_t)n;
    }
    return 0;
}

static int fill(struct file *f, int fd, bool in_memory, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st))
        return err_set(e, ERR_FILE, "cannot stat %s: %s", f->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_FILE, "%s is %s, not a regular file", f->path,
                       S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
    if (st.st_size < 0 || (uint64_t)st.st_size > PTRDIFF_MAX)
        return err_set(e, ERR_LIMIT, "%s is larger than can be addressed", f->path);
    f->size = (size_t)st.st_size;
    if (!f->size)
        return 0;
    if (in_memory) {
        uint8_t *data = mem_alloc(f->budget, f->size, e);
        if (!data)
            return err_at(e, code_of(e, ERR_MEMORY), "%s", f->path);
        f->data = data;
        return read_whole(fd, data, f->size, f->path, e);
    }
    void *p = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_set(e, ERR_FILE, "cannot map %s: %s", f->path, strerror(errno));
    f->data = p;
    f->mapped = true;
    return 0;
}

/* A file around a descriptor, which is closed. The name for messages and the object are one block.
 */
static struct file *adopt(struct budget *b, int fd, const char *dir, const char *name,
                          bool in_memory, struct err *e)
{
    size_t room = strlen(dir) + strlen(name) + 2;
    struct file *f = mem_alloc(b, sizeof *f + room, e);
    if (!f) {
        close(fd);
        return NULL;
    }
    *f = (struct file){.budget = b, .path = (char *)(f + 1), .data = nothing};
    atomic_init(&f->refs, 1);
    snprintf(f->path, room, "%s%s%s", dir, *dir ? "/" : "", name);
    int rc = fill(f, fd, in_memory, e);
    close(fd);
    if (rc) {
        file_unref(f);
        return NULL;
    }
    return f;
}

struct file *file_open(struct budget *b, const char *path, bool in_memory, struct err *e)
{
    int fd = open(path, OPEN_FLAGS);
    if (fd < 0) {
        err_set(e, ERR_FILE, "cannot open %s: %s", path, strerror(errno));
        return NULL;
    }
    return adopt(b, fd, "", path, in_memory, e);
}

/* What a name may be before the system is asked: relative, and never above where it starts. */
static const char *name_fault(const char *name)
{
    if (!*name)
        return "is empty";
    if (*name == '/')
        return "is absolute";
    if (strchr(name, '\\'))
        return "has a backslash";
    int depth = 0;
    for (const char *p = name; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.')
            depth--;
        else if (n && !(n == 1 && *p == '.'))
            depth++;
        if (depth < 0)
            return "leaves its folder";
        p += n + (p[n] == '/');
    }
    return NULL;
}

/* Open one component, n bytes at p, without following it. ".." is refused: between two steps the
 * folder may have been moved elsewhere. */
static int open_step(int at, const char *p, size_t n, int flags)
{
    char part[NAME_MAX + 1];
    bool up = n == 2 && p[0] == '.' && p[1] == '.';
    if (up || n > NAME_MAX) {
        errno = up ? EXDEV : ENAMETOOLONG;
        return -1;
    }
    memcpy(part, p, n);
    part[n] = 0;
    return openat(at, part, O_NOFOLLOW | O_CLOEXEC | flags);
}

/* Open a name folder by folder, following no link at all. */
static int open_walk(int dir, const char *name)
{
    for (int at = dir;;) {
        size_t n = strcspn(name, "/"), gap = strspn(name + n, "/");
        bool last = !name[n + gap];
        int fd = open_step(at, name, n, last ? OPEN_FLAGS : O_PATH | O_DIRECTORY);
        int saved = errno;
        if (at != dir)
            close(at);
        errno = saved;
        if (fd < 0 || last)
            return fd;
        at = fd;
        name += n + gap;
    }
}

static int open_beneath(int dir, const char *name, bool allow_links)
{
    struct open_how how = {
        .flags = OPEN_FLAGS,
        .resolve = RESOLVE_NO_MAGICLINKS | (allow_links ? 0 : RESOLVE_BENEATH),
    };
    /* A rename elsewhere may disturb the look-up of "..": the system then asks for another try. */
    for (int tries = 0; tries < 8; tries++) {
        int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
        if (fd >= 0)
            return fd;
        if (errno == ENOSYS || errno == EPERM) /* an old kernel, or a filter of system calls */
            return allow_links ? openat(dir, name, OPEN_FLAGS) : open_walk(dir, name);
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -1;
}

struct file *file_open_beneath(struct budget *b, const char *dir, const char *name,
                               bool allow_links, bool in_memory, struct err *e)
{
    const char *fault = name_fault(name);
    if (fault) {
        err_set(e, ERR_FILE, "the file name \"%s\" %s", name, fault);
        return NULL;
    }
    dir = dir ? dir : "";
    int at = open(*dir ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0) {
        err_set(e, ERR_FILE, "cannot open the folder %s: %s", *dir ? dir : ".", strerror(errno));
        return NULL;
    }
    int fd = open_beneath(at, name, allow_links), saved = errno;
    close(at);
    if (fd >= 0)
        return adopt(b, fd, dir, name, in_memory, e);
    if (saved == EXDEV || saved == ELOOP)
        err_set(e, ERR_FILE, "%s%s%s is a link that leaves its folder", dir, *dir ? "/" : "", name);
    else
        err_set(e, ERR_FILE, "cannot open %s%s%s: %s", dir, *dir ? "/" : "", name, strerror(saved));
    return NULL;
}

/* ---- Life ---- */

struct file *file_ref(struct file *f)
{
    if (f)
        atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void file_unref(struct file *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (f->mapped)
        munmap((void *)f->data, f->size);
    else if (f->data != nothing)
        mem_free((void *)f->data);
    mem_free(f);
}

void file_release_pages(const struct file *f, size_t offset, size_t bytes)
{
    if (!f->mapped || offset >= f->size)
        return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), from, to;
    if (bytes > f->size - offset)
        bytes = f->size - offset;
    if (!size_align(offset, page, &from))
        return;
    /* What follows the file's end in its last page is nobody's. */
    to = offset + bytes;
    if (to < f->size)
        to &= ~(page - 1);
    if (to > from)
        madvise((void *)(f->data + from), to - from, MADV_DONTNEED);
}

/* ---- Writing ---- */

/* Two threads may write the same path. */
static char *temp_name(const char *path, struct err *e)
{
    static atomic_uint serial;
    size_t room = strlen(path) + 48;
    char *temp = mem_alloc(NULL, room, e);
    if (temp)
        snprintf(temp, room, "%s.tmp%ld.%u", path, (long)getpid(), atomic_fetch_add(&serial, 1));
    return temp;
}

static int cannot(const char *what, const char *path, int number, struct err *e)
{
    return err_set(e, ERR_FILE, "cannot %s %s: %s", what, path, strerror(number));
}

int file_writer_open(struct file_writer *w, const char *path, struct err *e)
{
    struct stat st;
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, fd;
    *w = (struct file_writer){0};
    /* A device or a pipe is written to; a rename would put a file in its place. */
    bool direct = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    w->path = mem_strndup(NULL, path, strlen(path), e);
    w->temp = w->path && !direct ? temp_name(path, e) : NULL;
    if (!w->path || (!direct && !w->temp)) {
        file_writer_abort(w);
        return code_of(e, ERR_MEMORY);
    }
    if (direct)
        fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    else if ((fd = open(w->temp, flags, 0666)) < 0 && errno == EEXIST && unlink(w->temp) == 0)
        fd = open(w->temp, flags, 0666); /* it was left behind by a process that had our number */
    if (fd >= 0 && !(w->stream = fdopen(fd, "wb")))
        close(fd);
    if (w->stream)
        return 0;
    int rc = cannot(direct ? "write" : "create", direct ? path : w->temp, errno, e);
    mem_free(w->temp);
    w->temp = NULL;
    file_writer_abort(w);
    return rc;
}

void file_writer_put(struct file_writer *w, const void *data, size_t size)
{
    errno = 0;
    if (!w->failed && size && fwrite(data, 1, size, w->stream) != size)
        w->failed = errno ? errno : EIO;
    w->size += size;
}

int file_writer_close(struct file_writer *w, struct err *e)
{
    if (fclose(w->stream) && !w->failed)
        w->failed = errno;
    w->stream = NULL;
    int rc = w->failed ? cannot("write", w->path, w->failed, e) : 0;
    if (rc)
        file_writer_abort(w);
    return rc;
}

int file_writer_place(struct file_writer *w, struct err *e)
{
    int rc = w->temp && rename(w->temp, w->path)
                 ? err_set(e, ERR_FILE, "cannot rename %s to %s: %s", w->temp, w->path, strerror(errno))
                 : 0;
    if (!rc) {
        mem_free(w->temp);
        w->temp = NULL;
    }
    file_writer_abort(w);
    return rc;
}

void file_writer_abort(struct file_writer *w)
{
    if (w->stream)
        fclose(w->stream);
    if (w->temp)
        unlink(w->temp);
    mem_free(w->temp);
    mem_free(w->path);
    *w = (struct file_writer){0};
}

int file_write(const char *path, const void *data, size_t size, struct err *e)
{
    struct file_writer w;
    int rc = file_writer_open(&w, path, e);
    if (rc)
        return rc;
    file_writer_put(&w, data, size);
    rc = file_writer_close(&w, e);
    return rc ? rc : file_writer_place(&w, e);
}

char *file_folder(struct budget *b, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (slash && n == 0)
        n = 1; /* the root keeps its slash */
    return mem_strndup(b, path, n, e);
}

int file_make_folder(const char *path, struct err *e)
{
    char *copy = mem_strndup(NULL, path, strlen(path), e);
    if (!copy)
        return code_of(e, ERR_MEMORY);
    int failed = 0;
    for (char *p = copy + strspn(copy, "/"); *p && !failed;) {
        p += strcspn(p, "/");
        char kept = *p;
        *p = 0;
        if (mkdir(copy, 0777) && errno != EEXIST)
            failed = errno;
        *p = kept;
        p += strspn(p, "/");
    }
    mem_free(copy);
    struct stat st;
    if (!failed && (stat(path, &st) || !S_ISDIR(st.st_mode)))
        failed = ENOTDIR;
    return failed ? err_set(e, ERR_FILE, "cannot make the folder %s: %s", path, strerror(failed))
                  : 0;
}
