/* SPDX-License-Identifier: Apache-2.0 */
/* The program as data: graphs of nodes that read and write values.
 *
 * A model is one graph with subgraphs (of If, Loop, Scan) below it; all of them share one arena, one
 * table of symbols and one numbering. Values are in single assignment: an input, a constant or one
 * node's output. A subgraph reads an outer value through a capture: a value of its own whose `outer`
 * points to it. Nodes are a list in topological order. Everything lives in the model's arena and goes
 * with it; nothing is freed singly. Building and rewriting is for one thread; a finished graph is
 * read-only and may be read by any number.
 *
 *   graph ── inputs[] ─► value ◄─ in[] ── node ── out[] ─► value ◄── outputs[]
 *                          └ uses[]: (node, index)       └ producer
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/tensor.h"
#include "graph/sym.h"

struct op;
struct stop;
struct node;
struct graph;

enum type_kind { TYPE_UNKNOWN, TYPE_TENSOR, TYPE_SPARSE, TYPE_SEQUENCE, TYPE_OPTIONAL, TYPE_MAP };

/* The type of a value. dims hold symbolic integers. */
struct type {
    enum type_kind kind;
    enum dtype dtype; /* of the tensor; of a map's keys; DTYPE_NONE if unknown */
    int rank;         /* -1: unknown */
    int64_t dims[TENSOR_RANK_MAX];
    const struct type *elem; /* of a sequence, an optional, a map's values */
};

/* All that is known of a value before it is computed. */
struct fact {
    struct type type;
    const int64_t *elems;       /* the elements of a small integer tensor, symbolic; NULL if not carried */
    int64_t n_elems;
    const struct tensor *data;  /* the elements, where they are known numbers */
    const struct value *value;  /* at run time: the value itself (sequences and so on) */
};

enum { FACT_ELEMS_MAX = 256 };

/* Who reads a value: input `index` of a node; or, where index is -1, the subgraphs of a node through
 * the value `capture`. Being an output of the graph is no use: see is_output. */
struct use {
    struct node *node;
    int index;
    struct graph_value *capture;
};

struct graph_value {
    const char *name; /* unique in its graph; "" for captures, and values made by passes without one */
    uint32_t id;      /* dense, unique in the model */
    struct graph *graph;
    struct fact fact;
    struct node *producer;     /* NULL: an input, a constant or a capture */
    int producer_index;
    struct graph_value *outer; /* of a capture */
    struct tensor *constant;   /* elements that the model fixes (fact.data points here) */
    bool is_input, is_output;  /* of its graph */
    bool hint;                 /* fact.type was only claimed by the file */
    struct use *uses;
    size_t n_uses, cap_uses;
    size_t place;              /* in graph->values; SIZE_MAX once it was taken out */
};

struct node {
    const struct op *op;
    const char *name;   /* as in the file; may be "" */
    int opset;          /* version of the operator's set that the model imports */
    struct graph *graph;
    struct node *prev, *next;
    struct graph_value **in, **out; /* NULL: absent */
    int n_in, n_out;
    void *attrs;            /* the operator's own structure */
    struct graph **graphs;  /* subgraph attributes, in the order of the operator's attribute table */
    int n_graphs;
    bool late;              /* set by inference: output shapes are known only when it runs */
    bool checked;           /* set by inference: it took dims for equal that symbols cannot prove equal,
                               so it is inferred again on numbers before it runs */
    uint32_t id;            /* dense, unique in the model */
    void *prepared;         /* the operator's, made once by prepare */
    int device;             /* set by placement */
    struct fresh *fresh;    /* inference's own: the symbols it made for this node */
};

struct graph {
    struct graph *parent;       /* NULL for the main graph */
    struct node *owner;         /* the node whose attribute this is */
    struct graph_shared *shared;
    const char *name;
    struct graph_value **inputs, **outputs; /* inputs without those that are initializers */
    int n_inputs, n_outputs;
    struct graph_value **values; /* every value of this graph */
    size_t n_values, cap_values;
    struct node *first, *last;
};

/* What a model's graphs share. */
struct graph_shared {
    struct arena arena;
    struct arena facts; /* what inference found; emptied when it starts anew */
    struct budget *budget;
    struct syms *syms;
    uint32_t n_values, n_nodes; /* ids given so far */
    uint32_t sweep;             /* number of the inference */
    const struct stop *stop;    /* polled by what takes long while the model is loaded; NULL: nothing */
    int opset;                  /* of ONNX's own set, as the model imports it; 0: unknown */
    struct tensor **constants; /* cleared with the graph */
    size_t n_constants, cap_constants;
};

struct graph *graph_new(struct budget *b, struct err *e) WARN_UNUSED;   /* a main graph */
struct graph *graph_new_sub(struct graph *parent, struct err *e) WARN_UNUSED;
void graph_free(struct graph *main);                                   /* with everything below it */

/* Building. Strings are copied. The caller fills inputs through graph_add_input and so on. */
struct graph_value *graph_value_new(struct graph *g, const char *name, struct err *e) WARN_UNUSED;
/* The name, or that of what a capture captures: captures have none of their own. */
const char *value_name(const struct graph_value *v);
int graph_add_input(struct graph *g, struct graph_value *v, struct err *e) WARN_UNUSED;
int graph_add_output(struct graph *g, struct graph_value *v, struct err *e) WARN_UNUSED;
/* A constant; the tensor's reference is taken over, even on failure (*t is then zeroed). */
struct graph_value *graph_constant(struct graph *g, const char *name, struct tensor *t,
                                   struct err *e) WARN_UNUSED;
/* Make an existing value a constant (its producer, if any, loses it); takes the reference over. An
 * input of the graph cannot become one. */
int graph_make_constant(struct graph_value *v, struct tensor *t, struct err *e) WARN_UNUSED;
/* The capture of `outer` (a value of an enclosing graph) in g, made on first use at each level. */
struct graph_value *graph_capture(struct graph *g, struct graph_value *outer, struct err *e) WARN_UNUSED;
/* Let a capture read another value of the enclosing graph. */
int graph_set_outer(struct graph_value *capture, struct graph_value *outer,
                    struct err *e) WARN_UNUSED;
/* A node before `before` (NULL: at the end), with n_in and n_out empty places and zeroed attributes
 * filled with the operator's defaults, as the newest version that the row covers has them; the model's
 * own opset is the node's where it is one with that form. */
struct node *graph_node_new(struct graph *g, const struct op *op, const char *name, int n_in, int n_out,
                            struct node *before, struct err *e) WARN_UNUSED;
/* Set the version and fill every attribute with its default there. */
void node_set_opset(struct node *n, int opset);
/* v is of the node's graph, or NULL. An output's value must have no other source. */
int node_set_in(struct node *n, int i, struct graph_value *v, struct err *e) WARN_UNUSED;
void node_set_out(struct node *n, int i, struct graph_value *v);
/* Append a subgraph (made with graph_new_sub of the node's graph) to n->graphs; the captures that
 * it has by then become uses by this node. */
int node_add_graph(struct node *n, struct graph *sub, struct err *e) WARN_UNUSED;

/* Rewriting. */
/* Every use of `from`, captures and graph outputs included, reads `to` afterwards; `to` is of the same
 * graph or of an enclosing one. An output's name stays: where `from` is an output of its graph, `to`
 * takes its place and name, or if `to` cannot (it is an input, a constant, a capture, an output itself),
 * an Identity node is put between. Only an input that is itself an output stays that output. The
 * order is the caller's: where `to` is made after a use of `from`, call graph_sort. */
int graph_replace(struct graph_value *from, struct graph_value *to, struct err *e) WARN_UNUSED;
/* Take a node out, with its outputs and subgraphs; its outputs must have no uses. */
void graph_remove(struct node *n);
/* Take out a constant, a capture or a value without a source; it has no uses and is no output. */
void graph_drop(struct graph_value *v);
/* Put the nodes and values of n's subgraph `index`, which has no inputs, where n stands: what read n's
 * outputs reads the subgraph's, what it captured it reads itself. Its values lose their names. n goes. */
int graph_splice(struct node *n, int index, struct err *e) WARN_UNUSED;
/* Sort the list of this graph (not of those below) topologically, changing what is in order already as
 * little as possible; ERR_MODEL names a cycle. */
int graph_sort(struct graph *g, struct err *e) WARN_UNUSED;
/* Number of nodes, of this graph and all below it. */
size_t graph_count(const struct graph *g);

/* Check every invariant of this page (links both ways, order, captures, names); ERR_INTERNAL. */
int graph_verify(const struct graph *g, struct err *e) WARN_UNUSED;
/* The graph as text, a line a node, or as Graphviz dot; mem_alloc'd. */
char *graph_print(const struct graph *g, struct err *e) WARN_UNUSED;
char *graph_dot(const struct graph *g, struct err *e) WARN_UNUSED;
/* "float[batch,128]" of a type. */
const char *type_print(const struct type *t, const struct syms *s, char *buf, size_t size);
/* "node 'name' (Op, opset N)" for messages. */
const char *node_describe(const struct node *n, char *buf, size_t size);
