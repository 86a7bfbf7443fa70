/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's files: .npy (versions 1 to 3, either order, either byte order) and .npz, a zip of them.
 *
 * Reading gives tensors of bool, integers, floats of 16 to 64 bits, complex numbers, and strings
 * from 'U' (as UTF-8) and 'S'. Pickled objects, records and dates are refused. Files are hostile:
 * every length is checked, an archive's member may not expand beyond what deflate can do. What is
 * wrong is ERR_INPUT, what is not read or written here ERR_UNSUPPORTED. Any thread.
 */
#pragma once

#include "core/tensor.h"

/* By the first bytes. */
bool npy_known(const void *data, size_t size);
bool npz_known(const void *data, size_t size);

int npy_parse(struct tensor *out, struct budget *b, const void *data, size_t size,
              struct err *e) WARN_UNUSED;
int npy_read(struct tensor *out, struct budget *b, const char *path, struct err *e) WARN_UNUSED;

/* The member `name` (with or without .npy); NULL or "": the only one there is. */
int npz_parse(struct tensor *out, struct budget *b, const void *data, size_t size, const char *name,
              struct err *e) WARN_UNUSED;
int npz_read(struct tensor *out, struct budget *b, const char *path, const char *name,
             struct err *e) WARN_UNUSED;
/* The name of member i without .npy, into buf; false past the end. */
bool npz_name(const void *data, size_t size, size_t i, char *buf, size_t buf_size);

/* ERR_UNSUPPORTED for types that NumPy lacks, and for strings: write a .pb then. */
int npy_format(const struct tensor *t, struct budget *b, uint8_t **out, size_t *size,
               struct err *e) WARN_UNUSED;
int npy_write(const struct tensor *t, const char *path, struct err *e) WARN_UNUSED;
