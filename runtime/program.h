/* SPDX-License-Identifier: Apache-2.0 */
/* Programs: what running a graph takes, worked out once a model and shared by all runs.
 *
 * A program lists the steps of one graph (nodes whose results are needed, in order) and its slots (the
 * values they read and write). It says for each slot where it lives and with whom it shares storage, for
 * each step what dies after it, and which symbolic expressions must be evaluated when. It holds no
 * numbers: those come from a plan (offsets for a range of sizes) and from the run itself. A model has a
 * program for its graph and one for each subgraph. Immutable once built; any thread may read it.
 */
#pragma once

#include "graph/graph.h"
#include "graph/op.h"

enum place {
    PLACE_CONST, /* the model's */
    PLACE_INPUT, /* the caller's */
    PLACE_OUTER, /* a slot of the enclosing program */
    PLACE_ELEMS, /* contents known as expressions: written when dims are set, no step computes it */
    PLACE_ARENA, /* planned memory */
    PLACE_HEAP,  /* allocated at its step: outputs, sizes known only then, sequences */
};

enum { SLOT_NONE = UINT32_MAX, STEP_ENDS_MAX = 64 };

struct slot {
    struct graph_value *value;
    enum place place;
    int device;
    uint32_t root;      /* the slot whose storage this one shares; itself if it has its own */
    bool late;          /* dims are not known when the frame starts */
    int first, last;    /* of a root: the steps between which it lives */
    uint32_t outer;     /* PLACE_OUTER: its slot in program->parent */
    int past, present;  /* of Append's output: the graph's input and output that a state may hold; or -1 */
    int spent;          /* the last step that reads it, which may be before `last` */
};

/* A new symbol that a step's output defines: dim `dim` of output `out` is its value. */
struct bind {
    uint32_t symbol;
    int out, dim;
};

/* Where the number of an expression goes when dims are set: a dim of a slot, or an element of its
 * contents. What is a number already is written once, when a context is made. */
struct write {
    uint32_t slot, at, expr;
};

struct step {
    struct node *node;
    const uint32_t *in, *out; /* slots; SLOT_NONE: absent */
    bool late;                /* infer on numbers when it runs, then allocate */
    bool inplace;             /* output 0 shares storage with an input */
    const struct bind *binds;
    int n_binds;
    const uint32_t *drop;     /* roots on the heap that die after this step */
    int n_drop;
    struct program **graphs;  /* of node->graphs */
};

struct program {
    struct graph *graph;
    struct program *parent;
    uint32_t index;           /* in struct programs */
    struct slot *slots;
    uint32_t n_slots;
    struct step *steps;
    int n_steps;
    const uint32_t *inputs, *outputs; /* slots */
    uint32_t *exprs;          /* evaluated when the frame starts, operands first */
    int64_t n_exprs;
    struct write *dim_writes, *elem_writes;
    uint32_t n_dim_writes, n_elem_writes;
    int *checks;              /* steps to infer on numbers before anything runs */
    int n_checks;
    struct bind *binds;       /* symbols that input dims define: `out` is the input's index */
    int n_binds;
};

struct programs {
    struct arena arena;
    struct program **list; /* list[0] is the main graph's */
    uint32_t n, capacity;
    uint32_t n_exprs;      /* size of evaluation tables */
};

/* The dims of this slot are known when a frame starts: set then, not by a step. */
static inline bool slot_preset(const struct slot *s)
{
    return !s->late && s->place != PLACE_CONST && s->place != PLACE_OUTER && s->place != PLACE_INPUT &&
           s->value->fact.type.kind == TYPE_TENSOR;
}

/* Build the programs of a model whose facts are inferred and whose nodes are placed. */
int programs_build(struct programs *p, struct graph *main, struct budget *b, struct err *e) WARN_UNUSED;
void programs_clear(struct programs *p);
