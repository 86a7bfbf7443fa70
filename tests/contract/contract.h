/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of contracts share: models by name, inputs from a seed, results compared bit by
 * bit.
 *
 * Dims are text, "batch=3,sequence=5"; a symbol that is not named there is 1. Everything here is
 * for tests: a function that fails prints why; its caller checks the result. A job is for one
 * thread at a time.
 */
#pragma once

#include <stdint.h>

#include "runtime/infer.h"
#include "tests/unit/unit.h"

enum { JOB_PORTS = 128 };

/* A model with inputs and results. */
struct job {
    struct infer_model *model;
    int n_in, n_out;
    struct infer_value *in[JOB_PORTS], *out[JOB_PORTS];
};

/* The path of a small model (tests/tiny.py), in a buffer that the next call on this thread reuses.
 */
const char *tiny_path(const char *name);
/* Load a model by its path; NULL options are the defaults. */
struct infer_model *model_load(const char *path, const struct infer_load_options *o);
struct infer_model *tiny_load(const char *name, int threads, const char *device);

/* The number that the dims give to a symbol, 1 if none. */
int64_t dims_find(const char *dims, const char *symbol);
/* A value for a port: floats in [-1, 1), integers in [0, 50), ones if the name has "mask", zeros if
 * it has "type", counting up if it has "position". NULL on failure. */
struct infer_value *port_value(const struct infer_port *p, const char *dims, uint64_t seed);

/* Make all inputs of m (NULL fails). A job that failed is to be cleared, too. */
bool job_init(struct job *j, struct infer_model *m, const char *dims, uint64_t seed);
/* Replace an input by the caller's value, which the job then owns (or frees, if it fails). */
bool job_set(struct job *j, const char *input, struct infer_value *v);
/* Run; results of an earlier run are dropped. The code, and the message in e. */
int job_run(struct job *j, const struct infer_run_options *o, struct infer_error *e);
/* Run without options. */
bool job_ok(struct job *j);
void job_drop(struct job *j);  /* the results */
void job_clear(struct job *j); /* inputs and results, not the model */

/* The same kinds, types, dims and bits. */
bool values_same(const struct infer_value *a, const struct infer_value *b);
bool jobs_same(const struct job *a, const struct job *b);
/* Rows row .. row + n - 1 of a tensor's axis 0, as a value of its own. */
struct infer_value *value_rows(const struct infer_value *v, int axis, int64_t row, int64_t n);

/* A float tensor from a list; an int64 one. */
struct infer_value *floats(int rank, const int64_t *dims, const float *from);
struct infer_value *int64s(int64_t count, const int64_t *from);
/* A rank-0 integer. */
struct infer_value *int64_scalar(int64_t v);
