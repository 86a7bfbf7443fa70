/* SPDX-License-Identifier: Apache-2.0 */
/* Ensembles of decision trees: as files have them (struct tree_source), compiled (struct forest),
 * and run.
 *
 * All trees lie in one array of nodes, inner nodes first, in the order of a walk that takes true
 * branches first; then the leaves, each of which has itself as both children, so that several rows
 * can take a step together whether or not some have arrived. A child may have several parents.
 * Comparisons are brought to x <= value with the children swapped where needed; what a NaN does is
 * then a bit of the node.
 *
 * A forest is made at load, on one thread, and not changed after; running is pure, any thread.
 */
#pragma once

#include "graph/op.h"

/* ---- as in a file ---------------------------------------------------------------------------- */

/* The numbers are those of TreeEnsemble's attribute; TREE_LEAF is of the older operators. */
enum tree_mode { TREE_LEQ, TREE_LT, TREE_GTE, TREE_GT, TREE_EQ, TREE_NEQ, TREE_MEMBER, TREE_LEAF };

struct tree_entry {
    int64_t feature;
    double value;      /* compared with; TREE_MEMBER: the number of a set */
    uint32_t child[2]; /* entries: where the test fails, where it holds */
    uint8_t mode;
    bool missing; /* the test holds for NaN */
};

struct tree_vote {
    uint32_t entry; /* a leaf; votes of inner nodes do not count */
    uint32_t target;
    double weight;
};

struct tree_source {
    bool f64;   /* values, weights and scores are f64, not f32 */
    bool whole; /* nodes that no root leads to must not form circles either */
    struct tree_entry *entries;
    uint32_t n_entries;
    uint32_t *roots;
    uint32_t n_roots;
    struct tree_vote *votes;
    size_t n_votes;
    double *members;   /* of all sets */
    size_t *set_first; /* set i has members [set_first[i], set_first[i + 1]) */
    uint32_t n_sets;
};

void tree_source_clear(struct tree_source *s);

/* ---- compiled -------------------------------------------------------------------------------- */

struct tree_node_f32 {
    float value;
    uint32_t feature, child[2];
};
struct tree_node_f64 {
    double value;
    uint32_t feature, child[2];
};

/* Bits of a node's `side`; the rest is the number of a set. */
enum { SIDE_EQ = 1, SIDE_MEMBER = 2, SIDE_MISSING = 4, SIDE_SET = 3 };

/* Members that are integers in [0, 64) are bits of mask, and n is 0; else they are in ascending
 * order. */
struct tree_set {
    uint64_t mask;
    size_t first, n;
};

enum tree_walk { WALK_PLAIN, WALK_MISSING, WALK_ANY }; /* sides unused; only SIDE_MISSING; all */

struct forest {
    bool f64;
    enum tree_walk walk;
    uint32_t n_inner, n_roots;
    int64_t features; /* the rows must have as many */
    int64_t cost;     /* of a row, roughly, in simple operations */
    const void *nodes; /* struct tree_node_f32 or _f64 */
    const uint32_t *sides, *roots;
    const uint32_t *first, *target; /* votes of leaf i are [first[i], first[i + 1]), or, where first
                                       is NULL, vote i */
    const void *weight;             /* float or double, as `f64` says */
    const struct tree_set *sets;
    const void *members;
};

/* Compile. ERR_MODEL if a path leads in a circle. */
int forest_build(struct forest *f, const struct tree_source *s, struct prepare *p,
                 struct err *e) WARN_UNUSED;

/* The numbers are those of TreeEnsemble's attribute. */
enum tree_aggregate { TREE_AVERAGE, TREE_SUM, TREE_MIN, TREE_MAX };

/* Votes for `rows` rows of x, `stride` elements apart, tree by tree in order, into
 * score[row][target] and voted[row][target], both zero before. A target's votes are added
 * (TREE_AVERAGE: the caller divides). */
void forest_run_f32(const struct forest *f, const float *x, size_t stride, int64_t rows,
                    enum tree_aggregate how, float *score, uint8_t *voted, int64_t targets);
void forest_run_f64(const struct forest *f, const double *x, size_t stride, int64_t rows,
                    enum tree_aggregate how, double *score, uint8_t *voted, int64_t targets);
