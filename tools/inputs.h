/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs for the tools: from files, from pictures, or made from a seed. Values belong to the caller. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "runtime/infer.h"
#include "tools/opt.h"

/* How symbolic dims and pictures become numbers. */
struct input_options {
    struct opt_list dims;            /* NAME=N */
    const char *mean, *std;          /* a number or three with commas; NULL: 0 and 255 */
    const char *order, *layout;      /* "rgb" or "bgr"; "nchw", "nhwc"; NULL: rgb, from the shape */
    uint64_t seed;
};

/* Check every --dim: ERR_USAGE where it is malformed, a warning where the model has no such symbol. */
int inputs_check_dims(const struct infer_model *m, const struct input_options *o, struct err *e) WARN_UNUSED;
/* --dim's words as the library takes them: the number of them in *n; mem_free. */
struct infer_dim *inputs_list_dims(const struct input_options *o, int *n, struct err *e) WARN_UNUSED;
/* The dims of a port with --dim's numbers for its symbols, 1 where none is given. */
void inputs_dims(const struct infer_port *p, const struct input_options *o, int64_t *dims);
/* A value for input i: floats uniform in [0, 1), integers in [0, 100), ones if the name has "mask", zeros if
 * it has "type"; false; empty strings, sequences, maps and optionals. */
struct infer_value *inputs_random(const struct infer_model *m, int i, const struct input_options *o,
                                  struct err *e) WARN_UNUSED;
/* A value for input i from a file: .npy, .npz, .pb, .txt or a picture. */
struct infer_value *inputs_read(const struct infer_model *m, int i, const char *path,
                                const struct input_options *o, struct err *e) WARN_UNUSED;
/* "float[1,3]" of a value, into buf. */
const char *value_describe(const struct infer_value *v, char *buf, size_t size);
/* What infer.h reported, as the tools' error. */
int from_infer(const struct infer_error *inner, struct err *e);
