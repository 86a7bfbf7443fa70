/* SPDX-License-Identifier: Apache-2.0 */
#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static char top[64]; /* a folder of the test's own; the tests run inside it */

static bool reads(struct file *f, const char *want)
{
    bool same = f && f->size == strlen(want) && memcmp(f->data, want, f->size) == 0;
    file_unref(f);
    return same;
}

static bool put(const char *path, const char *text)
{
    return file_write(path, text, strlen(text), NULL) == 0;
}

static int entries(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n - 2;
}

static void write_and_read(void)
{
    CHECK(file_make_folder("w", NULL) == 0);
    CHECK(put("w/a", "hello") && reads(file_open(NULL, "w/a", false, NULL), "hello"));
    CHECK(put("w/a", "again") && reads(file_open(NULL, "w/a", true, NULL), "again"));
    CHECK(put("w/empty", "") && reads(file_open(NULL, "w/empty", false, NULL), ""));
    CHECK(reads(file_open(NULL, "w/empty", true, NULL), ""));
    /* A mapping outlives a file that is replaced. */
    struct file *old = file_open(NULL, "w/a", false, NULL);
    CHECK(put("w/a", "newer") && reads(file_ref(old), "again") && reads(old, "again"));
    CHECK(entries("w") == 2); /* nothing temporary is left */
    struct err e = {0};
    CHECK(file_write("w/none/x", "x", 1, &e) == ERR_FILE && strstr(e.msg, "No such file"));
    err_clear(&e);
    CHECK(file_write("w", "x", 1, &e) == ERR_FILE); /* a folder */
    CHECK(mkdir("w/full", 0777) == 0 && put("/dev/null", "x"));
    struct stat st;
    CHECK(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
}

static void refused(void)
{
    static const char *const paths[] = {"nothing", ".", "fifo", "/dev/null"};
    CHECK(mkfifo("fifo", 0666) == 0);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct err e = {0};
        CHECK(!file_open(NULL, paths[i], false, &e) && e.code == ERR_FILE &&
              strstr(e.msg, paths[i]));
    }
    struct budget b;
    struct err e = {0};
    budget_init(&b, 4096, NULL);
    CHECK(put("big", "") && truncate("big", 1 << 20) == 0);
    CHECK(!file_open(&b, "big", true, &e) && e.code == ERR_LIMIT && b.used == 0);
    struct file *f = file_open(&b, "big", false, NULL); /* a mapping does not count */
    CHECK(f && f->size == 1 << 20);
    file_unref(f);
    CHECK(b.used == 0);
}

static void layout(void)
{
    CHECK(file_make_folder("in/sub/deep", NULL) == 0 && file_make_folder("out", NULL) == 0);
    CHECK(put("in/f", "f") && put("in/sub/g", "g") && put("in/sub/deep/h", "h") &&
          put("out/o", "o"));
    CHECK(symlink("../out/o", "in/leaves") == 0 && symlink("../out", "in/folder") == 0);
    CHECK(symlink("sub/g", "in/stays") == 0 && symlink("/etc/passwd", "in/absolute") == 0);
}

static bool beneath(const char *name, bool links, const char *want)
{
    struct err e = {0};
    struct file *f = file_open_beneath(NULL, "in", name, links, false, &e);
    if (!f)
        return !want && e.code == ERR_FILE && e.msg[0];
    if (!want)
        printf("%s was opened\n", name);
    bool ok = want && reads(f, want);
    return ok;
}

static void common_rules(void)
{
    static const char *const never[] = {"", "/etc/passwd", "../out/o", "sub/../../out/o", "a\\b",
                                        "sub",  "none", "f/x", "..", "sub/deep/../../../in/f"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        for (int links = 0; links < 2; links++)
            CHECK(beneath(never[i], links, NULL));
    CHECK(beneath("f", false, "f") && beneath("./sub//g", false, "g"));
    CHECK(beneath("sub/deep/h", false, "h") && beneath("sub/deep/h", true, "h"));
    CHECK(beneath("leaves", false, NULL) && beneath("folder/o", false, NULL));
    CHECK(beneath("absolute", false, NULL));
    CHECK(beneath("leaves", true, "o") && beneath("folder/o", true, "o"));
}

static void confined(void)
{
    layout();
    common_rules();
    /* An emulator may lack the call, and the walk without it refuses more: see below. */
    if (syscall(SYS_openat2, AT_FDCWD, "in", NULL, 0) < 0 && errno == ENOSYS)
        unit_skip("no openat2 here");
    else
        CHECK(beneath("stays", false, "g") && beneath("sub/../f", false, "f"));
    struct file *f = file_open_beneath(NULL, NULL, "in/f", false, true, NULL);
    CHECK(reads(f, "f"));
    f = file_open_beneath(NULL, "", "in/f", false, true, NULL);
    CHECK(reads(f, "f"));
    struct err e = {0};
    CHECK(!file_open_beneath(NULL, "no such folder", "f", false, false, &e) && e.code == ERR_FILE);
    char self[64];
    snprintf(self, sizeof self, "/proc/%ld/fd", (long)getpid());
    CHECK(!file_open_beneath(NULL, self, "0", true, false, NULL)); /* a magic link */
}

/* The same where the system has no openat2: in a child whose calls of it are answered ENOSYS. */
static void without_openat2(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {4, code};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
            _exit(77);
        common_rules();
        CHECK(beneath("stays", false, NULL) && beneath("sub/../f", false, NULL));
        fflush(stdout);
        _exit(atomic_load(&unit_failures) != 0);
    }
    int status = 0;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        unit_skip("no filter of system calls here");
    else
        CHECK(WEXITSTATUS(status) == 0);
}

static size_t resident(const struct file *f, size_t page)
{
    size_t n = 0;
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool ours = false;
    unsigned long from, to, kib;
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            ours = from == (unsigned long)f->data;
        else if (ours && sscanf(line, "Rss: %lu", &kib) == 1)
            n = kib * 1024 / page;
    }
    if (maps)
        fclose(maps);
    return n;
}

static void pages_go_back(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 10 * page + 5;
    char *data = calloc(1, size);
    memset(data, 7, size);
    CHECK(file_write("pages", data, size, NULL) == 0);
    struct file *f = file_open(NULL, "pages", false, NULL);
    if (!CHECK(f != NULL)) {
        free(data);
        return;
    }
    CHECK(memcmp(f->data, data, size) == 0 && resident(f, page) == 11);
    file_release_pages(f, 1, page); /* no whole page */
    CHECK(resident(f, page) == 11);
    file_release_pages(f, page - 1, 3 * page); /* two whole ones */
    CHECK(resident(f, page) == 9);
    file_release_pages(f, size, 5);
    file_release_pages(f, 9 * page, SIZE_MAX);
    CHECK(resident(f, page) == 7);
    file_release_pages(f, 0, size);
    CHECK(resident(f, page) == 0 && memcmp(f->data, data, size) == 0);
    file_unref(f);
    f = file_open(NULL, "pages", true, NULL);
    file_release_pages(f, 0, size);
    CHECK(f && memcmp(f->data, data, size) == 0);
    file_unref(f);
    free(data);
}

static void folders(void)
{
    static const struct {
        const char *path, *want;
    } rows[] = {{"a", ""}, {"a/b", "a"}, {"/b", "/"}, {"a/b/c", "a/b"}, {"", ""}, {"a/", "a"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *s = file_folder(NULL, rows[i].path, NULL);
        CHECK(s && strcmp(s, rows[i].want) == 0);
        mem_free(s);
    }
    CHECK(file_make_folder("x/y//z/", NULL) == 0 && file_make_folder("x/y/z", NULL) == 0);
    struct err e = {0};
    CHECK(put("plain", "x") && file_make_folder("plain/q", &e) == ERR_FILE && e.msg[0]);
    CHECK(file_make_folder("plain", NULL) == ERR_FILE);
}

static int everything(struct budget *b, struct err *e)
{
    struct file *f = file_open(b, "in/f", true, e);
    if (!f)
        return e->code;
    file_unref(f);
    if (!(f = file_open_beneath(b, "in", "sub/g", false, false, e)))
        return e->code;
    file_unref(f);
    int rc = file_write("in/new", "x", 1, e);
    if (!rc)
        rc = file_make_folder("in/sub", e);
    char *folder = rc ? NULL : file_folder(b, "a/b", e);
    mem_free(folder);
    return rc ? rc : folder ? 0 : e->code;
}

static void faults(void)
{
    for (uint64_t n = 1; n < 100; n++) {
        struct budget b;
        struct err e = {0};
        budget_init(&b, SIZE_MAX, NULL);
        size_t before = budget_process()->used;
        mem_fail_after(n, false);
        int rc = everything(&b, &e);
        bool reached = mem_fail_count() >= n;
        mem_fail_after(0, false);
        CHECK(b.used == 0 && budget_process()->used == before && reached == (rc != 0));
        CHECK(!rc || rc == ERR_MEMORY);
        if (!rc)
            break;
    }
}

static const struct unit_test tests[] = {
    TEST(write_and_read), TEST(refused),       TEST(confined), TEST(without_openat2),
    TEST(pages_go_back),  TEST(folders),       TEST(faults),
};

int main(int argc, char **argv)
{
    snprintf(top, sizeof top, "/tmp/infer-file-XXXXXX");
    if (!mkdtemp(top) || chdir(top))
        return 1;
    int rc = unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", top);
    if (chdir("/") || system(command))
        rc = 1;
    return rc;
}
