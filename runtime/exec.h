/* SPDX-License-Identifier: Apache-2.0 */
/* The executor: one run in flight.
 *
 * A context holds what a run writes: the arena, the values of all frames (one a program), the numbers
 * of all symbolic expressions, scratch. It belongs to one run at a time and is kept in the model's pool
 * between runs; while plan and dims stay, a run allocates nothing but its outputs. Only the leader of
 * the team walks the steps.
 */
#pragma once

#include "core/trace.h"
#include "gpu/device.h"
#include "runtime/plan.h"

struct context;

/* What the executor needs of a model; immutable while contexts exist. */
struct runnable {
    const struct programs *programs;
    const struct graph_shared *shared;
    struct device *device;
    const struct tensor *device_constants; /* by value id: data on the other device, or NULL data */
    struct budget *budget;                 /* must outlive every output */
    const uint32_t *symbols;               /* that input dims define: indices of expressions */
    uint32_t n_symbols;
};

struct run_options {
    int threads;
    struct stop stop;
    struct trace *trace;
    struct infer_state *state; /* runtime/state.h; NULL: none */
    struct tuner *tuner;       /* runtime/tune.h; NULL: nobody measures */
};

struct context *context_new(const struct runnable *r, struct err *e) WARN_UNUSED;
void context_free(struct context *c);
/* Bytes that the context holds between runs. */
size_t context_bytes(const struct context *c);
/* How long setting new dims took the last time, in nanoseconds. */
int64_t context_dims_ns(const struct context *c);
/* The plan that the context was last bound to, or NULL. */
const struct plan *context_plan(const struct context *c);

/* Run the main graph: `symbols` are the numbers of r->symbols, in's types were checked against the
 * graph's inputs. Outputs become new references with storage of their own. */
int context_run(struct context *c, struct plan *plan, const int64_t *symbols, struct value *const *in,
                struct value *out, const struct run_options *o, struct err *e) WARN_UNUSED;

/* Run one node on values, outside any program: constant folding and tests. Outputs become new
 * references. The node's subgraphs must not be needed. */
int node_run_alone(const struct node *n, struct value *const *in, struct value *out, struct budget *b,
                   struct err *e) WARN_UNUSED;
