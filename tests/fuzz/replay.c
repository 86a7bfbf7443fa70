/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzzing target without a fuzzer: runs the files of the folders (or the files) that it is given,
 * each in memory of exactly its size. A target that does not crash has passed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *data = NULL;
    int ok = f && fstat(fileno(f), &st) == 0 &&
             (data = malloc(st.st_size ? (size_t)st.st_size : 1)) &&
             fread(data, 1, (size_t)st.st_size, f) == (size_t)st.st_size;
    if (f)
        fclose(f);
    if (ok) {
        fprintf(stderr, "%s\n", path); /* the last one before a crash */
        LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
    }
    free(data);
    return ok;
}

static int replay(const char *path)
{
    struct dirent *f;
    char child[4096];
    int n = 0;
    DIR *d = opendir(path);
    if (!d)
        return replay_file(path);
    while ((f = readdir(d)) != NULL) {
        if (f->d_name[0] == '.')
            continue;
        snprintf(child, sizeof child, "%s/%s", path, f->d_name);
        n += replay(child);
    }
    closedir(d);
    return n;
}

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++)
        n += replay(argv[i]);
    printf("%d passed, %d failed\n", n, n == 0);
    return n == 0;
}
