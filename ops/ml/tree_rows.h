/* SPDX-License-Identifier: Apache-2.0 */
/* Rows through a forest to scores and winners: what the operators on trees share behind their
 * attributes. struct tree_rows is what they prepare; it lives with the model and is not changed
 * after. Functions on calls are for any thread.
 */
#pragma once

#include "ops/ml/scores.h"
#include "ops/ml/tree.h"

struct tree_rows {
    struct forest forest;
    enum post post;
    enum tree_aggregate how;
    int64_t targets;
    const double *base; /* n_base values, added in the end */
    int64_t n_base;
    /* Of classifiers. Two classes of which only one has votes: `single`, its number is `only`, and
     * like_probability tells that no weight is negative. */
    struct labels labels;
    bool classifier, single, like_probability;
    int64_t only;
};

/* A copy of n base values, f32 in `floats` or of any real dtype in `t`. */
int tree_rows_base(struct tree_rows *r, struct floats floats, const struct tensor *t,
                   struct prepare *p, struct err *e) WARN_UNUSED;

size_t tree_rows_scratch(const struct call *c, size_t *per_member);
int64_t tree_rows_tasks(const struct call *c);
/* Tasks [begin, end): scores to the last output, winners to c->scratch if this is a classifier. */
int tree_rows_run(struct call *c, int64_t begin, int64_t end, int member,
                  struct err *e) WARN_UNUSED;
