/* SPDX-License-Identifier: Apache-2.0 */
/* Passes: rewrites of the graph before it is planned, listed in graph/passes.def.
 *
 * A pass is a function over one graph; graph_passes() calls it for the main graph and all below
 * it. It asks pass_allow() before each rewrite and returns their number, or a negative error code.
 * It leaves a valid graph in topological order, and gives facts to the values that it makes;
 * sharper facts come with the inference between the rounds. One thread a model.
 */
#pragma once

#include "graph/op.h"

enum {
#define PASS(name, fn, on, help) PASS_##name,
#include "graph/passes.def"
#undef PASS
    PASS_COUNT,
};

struct pass_report {
    uint64_t rewrites[PASS_COUNT];
    uint64_t nanoseconds[PASS_COUNT];
    uint64_t infer_nanoseconds;
    int rounds;
};

struct pass_context {
    const char *select; /* as the knob: "-cse,-identity", "none,+fold"; NULL or "": defaults */
    uint64_t limit;     /* rewrites to do at most, for bisection; 0: no limit */
    bool verify;        /* check the graph after each pass that changed something */
    /* Run n, whose inputs are all constant, and make its outputs constants: 1 done, 0 left alone.
     * NULL: nothing is folded. */
    int (*fold)(struct node *n, void *arg, struct err *e);
    /* Infer all facts again. NULL: they stay as they are. */
    int (*infer)(struct graph *main, void *arg, struct err *e);
    void *arg;
    struct pass_report *report; /* added to; may be NULL */
    const struct stop *stop;    /* polled before each pass; may be NULL */

    uint64_t done; /* rewrites so far */
};

typedef int pass_fn(struct graph *g, struct pass_context *c, struct err *e);

/* Run the selected passes on a model whose facts are inferred; 0 or a negative code. ERR_USAGE
 * names a pass of `select` that does not exist. */
int graph_passes(struct graph *main, struct pass_context *c, struct err *e) WARN_UNUSED;

/* The list, in order. */
int pass_count(void);
const char *pass_name(int i);
const char *pass_help(int i);
bool pass_on(int i); /* by default */

/* ---- for passes ----------------------------------------------------------------------------- */

/* The code of a failure that gave NULL. */
int pass_failed(const struct err *e);
/* One more rewrite is allowed, and is counted: the caller does it. */
bool pass_allow(struct pass_context *c);
/* Value `from` may become `to` everywhere without an Identity being put in its place. */
bool pass_can_replace(const struct graph_value *from, const struct graph_value *to);
/* Every reader of node n's output 0 reads `to` instead, and n goes. */
int pass_bypass(struct node *n, struct graph_value *to, struct err *e) WARN_UNUSED;
/* All dims of both types are certainly the same, and the dtypes too. */
bool pass_same_type(struct graph *g, const struct type *a, const struct type *b);
/* Output 0 is the only one that something reads. */
bool pass_only_first(const struct node *n);
/* Make n_in places for inputs of a node that has fewer. */
int pass_widen(struct node *n, int n_in, struct err *e) WARN_UNUSED;

pass_fn
#define PASS(name, fn, on, help) fn,
#include "graph/passes.def"
#undef PASS
    pass_none; /* ends the list; changes nothing */
