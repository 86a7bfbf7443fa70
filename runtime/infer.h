/* SPDX-License-Identifier: Apache-2.0 */
/* Infer: a tensor runtime and ONNX engine. The C interface.
 *
 * Load a model, give it values, run it:
 *
 *     struct infer_error e = {0};
 *     struct infer_model *m = infer_model_load("model.onnx", NULL, &e);
 *     struct infer_value *x = infer_value_new(INFER_FLOAT, 4, dims, &e), *y[1] = {NULL};
 *     memcpy(infer_value_data(x), pixels, infer_value_bytes(x));
 *     infer_run(m, (const struct infer_value *[]){x}, 1, y, 1, NULL, &e);
 *     const float *scores = infer_value_data(y[0]);
 *
 * Conventions. Functions that return int give 0 or a negative INFER_E code and fill the error (one line
 * that names what was expected; NULL is allowed). Functions that return a pointer give NULL on failure.
 * Sizes are bytes, dims are counts of elements, times are milliseconds, element types are numbered as
 * in ONNX's TensorProto.DataType. Strings are UTF-8 and owned by the object they were asked of.
 * Structures that a caller fills begin with their own size: `struct infer_load_options o =
 * {sizeof(o)};` zero means the default everywhere.
 * Threads. A model may be used by any number of threads at once; runs do not wait for each other except
 * for processors (a process-wide cap). A value belongs to one thread at a time while it is written; any
 * number may read it, and an input must not change while a run reads it. Freeing NULL is allowed.
 */
#ifndef INFER_H
#define INFER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define INFER_API __attribute__((visibility("default")))
#else
#define INFER_API
#endif

#define INFER_VERSION "0.1.0"
#define INFER_RANK_MAX 12

enum infer_code {
    INFER_OK = 0,
    INFER_E_COMPARE = -1,
    INFER_E_USAGE = -2,       /* a call or an option is wrong */
    INFER_E_MODEL = -3,       /* the model breaks ONNX's rules */
    INFER_E_INPUT = -4,       /* a name, type, shape or content of an input is wrong */
    INFER_E_FILE = -5,
    INFER_E_UNSUPPORTED = -6,
    INFER_E_DEVICE = -7,
    INFER_E_MEMORY = -8,
    INFER_E_LIMIT = -9,       /* the memory limit, or a limit on the model's size */
    INFER_E_DEADLINE = -10,
    INFER_E_CANCELLED = -11,
    INFER_E_INTERNAL = -12,
};

struct infer_error {
    int code;
    char message[640];
};

/* The exit status and HTTP status that go with a code, and a short text. */
INFER_API int infer_code_exit_status(int code);
INFER_API int infer_code_http_status(int code);
INFER_API const char *infer_code_text(int code);
INFER_API const char *infer_version(void);

/* Settings of the process, as the options of the tools have them ("threads", "memory", "cpu", ...; see
 * infer_list("knobs")). Call it before the first model is loaded. The value is copied. */
INFER_API int infer_set_option(const char *name, const char *value, struct infer_error *e);
/* What this build has: "ops", "kernels", "passes" or "knobs" as text, a line each; free with infer_free. */
INFER_API char *infer_list(const char *what, struct infer_error *e);
INFER_API void infer_free(void *text);

/* ---- values ---------------------------------------------------------------------------------- */

/* Element types, as in ONNX; infer_type_name() knows all of them. */
enum infer_type {
    INFER_FLOAT = 1, INFER_UINT8, INFER_INT8, INFER_UINT16, INFER_INT16, INFER_INT32, INFER_INT64,
    INFER_STRING, INFER_BOOL, INFER_FLOAT16, INFER_DOUBLE, INFER_UINT32, INFER_UINT64,
    INFER_COMPLEX64, INFER_COMPLEX128, INFER_BFLOAT16,
};
INFER_API const char *infer_type_name(int type);
INFER_API size_t infer_type_size(int type); /* bytes an element; types under a byte take one */

enum infer_kind { INFER_NONE, INFER_TENSOR, INFER_SEQUENCE, INFER_MAP };

/* A tensor, sequence, map, or nothing (an empty optional); reference-counted inside. */
struct infer_value;

/* A tensor with storage of its own; numbers are zero, strings empty. */
INFER_API struct infer_value *infer_value_new(int type, int rank, const int64_t *dims,
                                              struct infer_error *e);
/* A tensor over the caller's memory, without copying: `bytes` must be what type and dims need (not
 * strings). The memory must stay until release(arg) is called, when the last holder is gone; release may
 * be NULL. */
INFER_API struct infer_value *infer_value_wrap(int type, int rank, const int64_t *dims, void *data,
                                               size_t bytes, void (*release)(void *arg), void *arg,
                                               struct infer_error *e);
/* An empty optional; an empty sequence of tensors of a type, or with type 0 of whatever is appended. */
INFER_API struct infer_value *infer_value_none(struct infer_error *e);
INFER_API struct infer_value *infer_value_sequence(int type, struct infer_error *e);
/* Append an item (shared, not moved) to a sequence; items are of one kind, tensors also of one type. */
INFER_API int infer_value_append(struct infer_value *sequence, const struct infer_value *item,
                                 struct infer_error *e);
/* A map: keys is a 1-D tensor of integers or strings, values a 1-D tensor or a sequence of as many (both are
 * shared). Of keys that repeat the last counts. */
INFER_API struct infer_value *infer_value_map(const struct infer_value *keys,
                                              const struct infer_value *values, struct infer_error *e);
INFER_API void infer_value_free(struct infer_value *v);

INFER_API enum infer_kind infer_value_kind(const struct infer_value *v);
INFER_API int infer_value_type(const struct infer_value *v); /* of a tensor, or of a sequence's tensors */
INFER_API int infer_value_rank(const struct infer_value *v);
INFER_API const int64_t *infer_value_dims(const struct infer_value *v);
INFER_API int64_t infer_value_count(const struct infer_value *v); /* elements, or items of a sequence or map */
INFER_API void *infer_value_data(const struct infer_value *v);    /* NULL for strings and non-tensors */
INFER_API size_t infer_value_bytes(const struct infer_value *v);
/* Item i of a sequence, as a new reference. Of a map: 0 gives the keys, 1 the values. */
INFER_API struct infer_value *infer_value_item(const struct infer_value *v, int64_t i,
                                               struct infer_error *e);
/* Element i of a string tensor (not terminated), and setting it (copied). */
INFER_API const char *infer_value_string(const struct infer_value *v, int64_t i, size_t *size);
INFER_API int infer_value_set_string(struct infer_value *v, int64_t i, const char *s, size_t size,
                                     struct infer_error *e);

/* Files. Reading knows .npy, .npz (member `name`, or the only one) and ONNX .pb by content; the name that
 * a .pb carries goes to name_out if that is not NULL (at most name_size bytes). Writing chooses by the path's
 * ending, .npy or .pb, and is atomic. */
INFER_API struct infer_value *infer_value_read(const char *path, const char *name, char *name_out,
                                               size_t name_size, struct infer_error *e);
INFER_API int infer_value_write(const struct infer_value *v, const char *name, const char *path,
                                struct infer_error *e);

/* ---- models ---------------------------------------------------------------------------------- */

struct infer_model;

/* Where steps have several ways to the same bits: take what the user's tuning cache says (the knob
 * "tuning=off": do not look), or load for infer_model_tune(), which runs one at a time. */
enum infer_tuning { INFER_TUNING_CACHE, INFER_TUNING_MEASURE };

struct infer_load_options {
    size_t size;           /* sizeof(struct infer_load_options) */
    int threads;           /* a run uses at most so many; 0: the knob, then what the process may use */
    const char *device;    /* "cpu", "fake", "cuda[:N]"; NULL: the knob */
    const char *precision; /* "f32" */
    const char *passes;    /* as the knob; NULL: the knob */
    int in_memory;         /* read the file instead of mapping it: it may then be overwritten */
    int check;             /* do not fail for what would not run: see infer_model_text("check") */
    const char *folder;    /* of external data, for models loaded from memory */
    int timeout_ms;        /* for loading; 0: none */
    enum infer_tuning tuning;
};

/* The file must be a regular file; external data is looked for in its folder only. */
INFER_API struct infer_model *infer_model_load(const char *path, const struct infer_load_options *o,
                                               struct infer_error *e);
/* The bytes must stay until infer_model_free. */
INFER_API struct infer_model *infer_model_load_memory(const void *data, size_t bytes,
                                                      const struct infer_load_options *o,
                                                      struct infer_error *e);
/* Runs in flight must have ended; states and values may outlive the model. */
INFER_API void infer_model_free(struct infer_model *m);

/* An input or output. A dim is its number, or -1 with the symbol's name ("" if it has none). rank -1:
 * unknown. */
struct infer_port {
    const char *name;
    enum infer_kind kind;
    int optional; /* may be INFER_NONE */
    int type;     /* of a tensor, of a sequence's tensors, of a map's keys */
    int rank;
    int64_t dims[INFER_RANK_MAX];
    const char *symbols[INFER_RANK_MAX];
    const char *text; /* "float[batch,3,224,224]", "sequence(map(int64,float))" */
    enum infer_kind item; /* of a sequence's items */
    int value_type;       /* of a map's values, and where a sequence has maps of theirs; 0: no tensors */
};
INFER_API int infer_model_inputs(const struct infer_model *m);
INFER_API int infer_model_outputs(const struct infer_model *m);
INFER_API const struct infer_port *infer_model_input(const struct infer_model *m, int i);
INFER_API const struct infer_port *infer_model_output(const struct infer_model *m, int i);
/* A .pb file for a port: its kind says how to read the bytes (a sequence's can look like a tensor's). */
INFER_API struct infer_value *infer_value_read_for(const struct infer_port *p, const char *path,
                                                   char *name_out, size_t name_size,
                                                   struct infer_error *e);
/* To a file, as read_for reads it: a .pb of an optional port holds an optional. */
INFER_API int infer_value_write_for(const struct infer_port *p, const struct infer_value *v,
                                    const char *path, struct infer_error *e);
/* Index by name, or -1. */
INFER_API int infer_model_find_input(const struct infer_model *m, const char *name);
INFER_API int infer_model_find_output(const struct infer_model *m, const char *name);
/* "producer", "producer_version", "domain", "doc", "ir_version", "opset", "model_version", or a key of
 * the file's own metadata; NULL if absent. With key NULL: the i-th own key, NULL past the end. */
INFER_API const char *infer_model_metadata(const struct infer_model *m, const char *key, int i);

/* Reports as text, a line a fact; free with infer_free.
 * "describe"  inputs, outputs, symbols, operators, parameters, memory
 * "check"     everything that would not run, "" if nothing
 * "graph"     the graph after the passes, a node a line;  "dot": the same for Graphviz
 * "passes"    what the passes did, how long they took
 * "placement" where each node runs */
INFER_API char *infer_model_text(const struct infer_model *m, const char *what, struct infer_error *e);

/* A symbolic dim by its name, and its value. */
struct infer_dim {
    const char *name;
    int64_t value;
};
/* The planned memory, in bytes, of a run with these dims (those not named are 1), beside the weights; values
 * whose size only running tells are not in it. */
INFER_API int infer_model_memory(struct infer_model *m, const struct infer_dim *dims, int n, uint64_t *bytes,
                                 struct infer_error *e);

struct infer_save_options {
    size_t size;       /* sizeof(struct infer_save_options) */
    int external_data; /* weights in PATH.data (they always are above 1 GiB) */
};
/* Write the graph, as it is after the passes, as an ONNX model of the opset that the file imports. Nothing
 * is left half-written. */
INFER_API int infer_model_save(const struct infer_model *m, const char *path,
                               const struct infer_save_options *o, struct infer_error *e);

/* Measure the ways that the steps of a model loaded with INFER_TUNING_MEASURE have, by running it again and
 * again on these inputs for about `seconds`, and put what was best into the user's tuning cache (knob
 * "tuning-cache"), where later loads with as many threads find it. Results do not depend on it. INFER_E_FILE:
 * measured, but the cache cannot be written. */
struct infer_tune_options {
    size_t size;
    double seconds; /* 0: 10; each way is measured five times at least */
    struct infer_cancel *cancel;
};
INFER_API int infer_model_tune(struct infer_model *m, const struct infer_value *const *in, int n_in,
                               const struct infer_tune_options *o, struct infer_error *e);
/* What the last call found, a key (operator, layout, dims, ...) an entry; NULL past the end. */
struct infer_tuned {
    const char *key;
    int steps;                /* of a run that have it */
    int candidates;
    const char *const *names; /* 0: what is taken where nothing was measured */
    const double *us;         /* the least mean time of a step in microseconds; 0: not tried */
    int chosen;
    double bound_us;          /* what this processor's peaks allow */
};
INFER_API const struct infer_tuned *infer_model_tuned(const struct infer_model *m, int i);

struct infer_model_stats {
    size_t size;             /* set by the caller: sizeof */
    uint64_t parameters;     /* elements of all constants of the file */
    uint64_t weight_bytes;   /* their bytes */
    uint64_t packed_bytes;   /* copies in kernels' layouts */
    uint64_t nodes, runs, plans, contexts;
    uint64_t arena_bytes;    /* planned memory of the newest plan */
    double load_ms, plan_ms; /* plan_ms: making the newest plan */
    double dims_ms;          /* binding the newest dims to a plan */
};
INFER_API void infer_model_stats(const struct infer_model *m, struct infer_model_stats *s);

/* ---- running --------------------------------------------------------------------------------- */

/* A flag that any thread may set to stop runs that were given it. */
struct infer_cancel;
INFER_API struct infer_cancel *infer_cancel_new(struct infer_error *e);
INFER_API void infer_cancel_set(struct infer_cancel *c);
INFER_API void infer_cancel_free(struct infer_cancel *c); /* after the runs have ended */

struct infer_state;
struct infer_trace;

struct infer_run_options {
    size_t size;
    int timeout_ms;              /* 0: none */
    struct infer_cancel *cancel;
    struct infer_state *state;   /* its pairs are neither given nor returned; one run at a time */
    struct infer_trace *trace;   /* filled with what ran */
};

/* Run with inputs in the model's order; out[i] gets new values, in the order of the outputs. If out[i]
 * is not NULL on entry it must be a tensor of the right type and shape: the result is written into it.
 * Inputs of a state's pairs and their outputs may be NULL. */
INFER_API int infer_run(struct infer_model *m, const struct infer_value *const *in, int n_in,
                        struct infer_value **out, int n_out, const struct infer_run_options *o,
                        struct infer_error *e);
/* The same on a thread of the library; done(arg, error) is called on it at the end (error->code 0: fine),
 * after which `in`, `out` (the arrays, too) belong to the caller again. Fails at once if too many runs
 * wait. */
INFER_API int infer_submit(struct infer_model *m, const struct infer_value *const *in, int n_in,
                           struct infer_value **out, int n_out, const struct infer_run_options *o,
                           void (*done)(void *arg, const struct infer_error *e), void *arg,
                           struct infer_error *e);

INFER_API struct infer_trace *infer_trace_new(struct infer_error *e);
/* As a file in Chrome's trace event format. */
INFER_API int infer_trace_write(const struct infer_trace *t, const char *path, struct infer_error *e);
INFER_API void infer_trace_free(struct infer_trace *t);

/* ---- states ---------------------------------------------------------------------------------- */

/* What one run leaves for the next: output `present` becomes input `past`, growing along `axis`. Where the
 * model joins past and new rows itself (present = Concat(past, new)), the state has room for more rows and a
 * run writes the new ones behind those that are there; anything else that a model does is taken over as it
 * is. Either way a run gives the bits that passing past and present by hand gives, and a run that fails
 * leaves its state as it was. A state belongs to one thread at a time and serves one run at a time
 * (INFER_E_USAGE otherwise); different states, forks of one another too, may be used by any number of
 * threads at once. A state may outlive its model, but then only be saved, forked, truncated and freed. */
struct infer_state_pair {
    const char *past, *present;
    int axis;
};
/* Pairs of a model by the names that exporters give (past_key_values.N.key and present.N.key, past_N and
 * present_N, ...): their number; the first `max` go to pairs (names owned by the model). */
INFER_API int infer_model_find_state(const struct infer_model *m, struct infer_state_pair *pairs, int max);
/* An empty state for `batch` rows: every past has length 0 along its axis, and `batch` where its dims are
 * symbols. Pairs are of tensors that are no strings; no input or output is in two of them. */
INFER_API struct infer_state *infer_state_new(struct infer_model *m, const struct infer_state_pair *pairs,
                                              int n, int64_t batch, struct infer_error *e);
/* The length along the axis, of the shortest pair if they differ. */
INFER_API int64_t infer_state_length(const struct infer_state *s);
/* Keep the first `length` entries along the axis; nothing moves. */
INFER_API int infer_state_truncate(struct infer_state *s, int64_t length, struct infer_error *e);
/* A second state with the same contents; later runs of either do not touch the other. Contents are shared
 * until one of them runs. */
INFER_API struct infer_state *infer_state_fork(const struct infer_state *s, struct infer_error *e);
/* To and from a file (written as a whole or not at all). Loading checks that the pairs fit the model: one
 * with ports of the same names and types. INFER_E_INPUT: the file is no state or does not fit. */
INFER_API int infer_state_save(const struct infer_state *s, const char *path, struct infer_error *e);
INFER_API struct infer_state *infer_state_load(struct infer_model *m, const char *path,
                                               struct infer_error *e);
INFER_API void infer_state_free(struct infer_state *s);

#ifdef __cplusplus
}
#endif

#endif
