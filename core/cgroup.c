/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Walk from mount + path up to mount. The visitor ignores folders that do not exist. */
static void climb(const char *mount, const char *path, bool v2, cgroup_visit_fn *fn, void *arg)
{
    char folder[PATH_MAX];
    int n = snprintf(folder, sizeof folder, "%s%s", mount, path);
    if (n < 0 || n >= (int)sizeof folder)
        return;
    size_t floor = strlen(mount);
    for (;;) {
        fn(arg, folder, v2);
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < floor)
            return;
        *slash = 0;
    }
}

/* True if the comma-separated list has the word. */
static bool listed(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == 0))
            return true;
    }
    return false;
}

/* A line is "number:controllers:path"; version 2's has the number 0 and no controllers. */
void cgroup_visit(const char *controller, cgroup_visit_fn *fn, void *arg)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return;
    char line[PATH_MAX + 256];
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *list++ = 0;
        *path++ = 0;
        if (strcmp(path, "/") == 0)
            path = "";
        if (!*list) {
            climb("/sys/fs/cgroup", path, true, fn, arg);
        } else if (listed(list, controller)) {
            char mount[64];
            snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", controller);
            climb(mount, path, false, fn, arg);
        }
    }
    fclose(f);
}

int cgroup_read(const char *folder, const char *file, int64_t out[2])
{
    char path[PATH_MAX + 32], text[64];
    int n = snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = n > 0 && n < (int)sizeof path ? fopen(path, "re") : NULL;
    if (!f)
        return 0;
    char *s = fgets(text, sizeof text, f);
    fclose(f);
    int count = 0;
    while (s && count < 2) {
        char *end;
        if (strncmp(s, "max", 3) == 0) {
            out[count] = INT64_MAX;
            end = s + 3;
        } else {
            out[count] = strtoll(s, &end, 10);
            if (end == s)
                break;
        }
        s = end;
        count++;
    }
    return count;
}
