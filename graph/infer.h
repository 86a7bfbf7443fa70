/* SPDX-License-Identifier: Apache-2.0 */
/* Inference: types, dims and small contents of every value, on symbols at load, on numbers at run
 * time.
 *
 * graph_infer() starts anew each time, from the types of the main graph's inputs and from
 * constants, and replaces the facts of all other values; what it finds lives until it is called
 * again. Dims that only running tells are the same symbols each time. One thread; node_infer_run()
 * only reads the graph and may be called by any number.
 */
#pragma once

#include "graph/op.h"

/* Infer every node of the graph and of the subgraphs that their owners ask for. The list must be in
 * order. Sets node->late and node->checked. An error names the node, its inputs and their types. */
int graph_infer(struct graph *main, struct err *e) WARN_UNUSED;

/* The same for a report: a node that is not supported does not end the inference, but is told of (a
 * negative result of that ends it). Nodes that read what is then of unknown type, or what has no
 * source, are counted in `behind`, not inferred. The caller sets the function only. */
struct infer_report {
    int (*unsupported)(struct infer_report *r, const struct node *n, const char *why, struct err *e);
    size_t told, behind;
};
int graph_infer_report(struct graph *main, struct infer_report *r, struct err *e) WARN_UNUSED;

/* Infer one node on values: `in` has n_in entries, NULL where absent; a tensor without data is one
 * whose elements are not known yet. `out` has n_out entries. *late is set if some dim stays
 * unknown; it is SYM_UNKNOWN then, or the rank -1. Allocates from `scratch` only, and mostly not at
 * all. */
int node_infer_run(const struct node *n, struct value *const *in, struct fact *out,
                   struct arena *scratch, bool *late, struct err *e) WARN_UNUSED;

/* For infer_fresh: the next symbol of this node. */
int64_t fresh_symbol(struct infer *c);
