/* SPDX-License-Identifier: Apache-2.0 */
/* Files: read-only mappings, lookups confined to a folder, and whole-file writes.
 *
 * A mapping is reference-counted (weights are views into it) and any thread may read it. A mapped
 * file may be replaced by rename but must not be written in place; `private` reads it into memory
 * instead. Writes go to a temporary file beside the target and are renamed, so that nothing
 * half-written is ever seen.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/err.h"
#include "core/mem.h"

struct file {
    const uint8_t *data;
    size_t size;
    /* private: */
    _Atomic int refs;
    bool mapped;
    struct budget *budget;
    char *path;
};

/* Map (or read, if `in_memory`) a regular file. An empty file gives size 0. */
struct file *file_open(struct budget *b, const char *path, bool in_memory, struct err *e) WARN_UNUSED;
/* The same for `name`, a relative path that must stay inside folder `dir` ("" or NULL: the current
 * one): openat2 RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS, or where the kernel lacks it a walk by
 * components with O_NOFOLLOW. Symbolic links that leave the folder are refused unless
 * `allow_links`; backslashes, NUL and absolute names are refused always. */
struct file *file_open_beneath(struct budget *b, const char *dir, const char *name, bool allow_links,
                               bool in_memory, struct err *e) WARN_UNUSED;
struct file *file_ref(struct file *f);
void file_unref(struct file *f);
/* Tell the system that pages wholly inside [offset, offset+bytes) will not be read again soon; what
 * was resident of a mapping is given back. No effect on files read into memory. */
void file_release_pages(const struct file *f, size_t offset, size_t bytes);

/* A file written in pieces: under "<path>.tmp<pid>.<n>", renamed at the end. A device or a pipe is
 * written directly. After open: any number of puts (errors are kept for close), then close, then
 * place; close and place free the writer if they fail, place always does. abort, at any time, leaves
 * nothing behind. Several files that belong together are all closed before the first is placed. */
struct file_writer {
    FILE *stream;
    char *path, *temp; /* temp NULL: written directly, or nothing to take away */
    uint64_t size;     /* bytes put so far */
    int failed;        /* errno of the first failure */
};
int file_writer_open(struct file_writer *w, const char *path, struct err *e) WARN_UNUSED;
void file_writer_put(struct file_writer *w, const void *data, size_t size);
int file_writer_close(struct file_writer *w, struct err *e) WARN_UNUSED;
int file_writer_place(struct file_writer *w, struct err *e) WARN_UNUSED;
void file_writer_abort(struct file_writer *w);
/* A whole file in this way. */
int file_write(const char *path, const void *data, size_t size, struct err *e) WARN_UNUSED;
/* The folder part of a path, "" if none; allocated. */
char *file_folder(struct budget *b, const char *path, struct err *e) WARN_UNUSED;
/* Create a folder (and its parents); existing is fine. */
int file_make_folder(const char *path, struct err *e) WARN_UNUSED;
