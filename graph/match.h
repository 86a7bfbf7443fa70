/* SPDX-License-Identifier: Apache-2.0 */
/* Matching: a piece of graph as a table of rows, found from the node at its end.
 *
 *   enum { ROOT, X, SIGMOID };                    x ──► Sigmoid ─┐
 *   static const struct pat silu[] = {             └─────────► Mul ─►
 *       [ROOT] = {"Mul", {X, SIGMOID}, MATCH_ANY_ORDER},
 *       [SIGMOID] = {"Sigmoid", {X}},
 *       [X] = {NULL},
 *   };
 *
 * A row is a value: row 0 the one that the root makes, the others what nodes of the pattern read.
 * Rows with an operator are inside: all their readers must belong to the match too, and they must
 * not be outputs of the graph, so that a rewrite may take them away (MATCH_SHARED lifts that). A
 * row named twice is one value. A match only borrows the graph; nothing is allocated. One thread a
 * graph.
 */
#pragma once

#include "graph/graph.h"

enum { MATCH_ROWS = 32, MATCH_IN = 6 };

enum match_flag {
    MATCH_ANY_ORDER = 1, /* inputs 0 and 1 may be exchanged */
    MATCH_CONST = 2,     /* a constant (of an enclosing graph too) */
    MATCH_NUMBER = 4,    /* a constant, all of it `number` within its dtype's precision */
    MATCH_SHARED = 8,    /* may have other readers and be an output */
};

enum { MATCH_ABSENT = -1 }; /* for pat.in: this input must be left out */

struct pat {
    const char *op; /* names with '|' between them, of ai.onnx or "domain:Name"; NULL: any value */
    signed char in[MATCH_IN]; /* rows of the inputs; 0: whatever there is, or nothing */
    unsigned flags;
    double number;
    bool (*check)(const struct graph_value *v); /* NULL: no further condition */
};

struct match {
    struct graph_value *v[MATCH_ROWS]; /* by row; NULL for rows that were not reached */
};

/* Does the pattern end in output 0 of this node? */
bool match_find(const struct pat *rows, struct node *root, struct match *m);
/* The node that makes row i's value. */
static inline struct node *match_node(const struct match *m, int i)
{
    return m->v[i]->producer;
}

/* Is the node's operator one of these ("Add|Sub")? */
bool node_is(const struct node *n, const char *names);
/* The tensor behind a value if that is a constant, maybe captured; NULL otherwise. */
const struct tensor *match_constant(const struct graph_value *v);
/* All elements of v (at least one) are this number, as exactly as the dtype has it. */
bool match_number(const struct graph_value *v, double number);
