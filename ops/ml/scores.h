/* SPDX-License-Identifier: Apache-2.0 */
/* What classifiers and regressors of ai.onnx.ml share: the last transform of scores, the two scores
 * that one stands for, labels, shapes, rows in blocks, and products of rows with a constant matrix.
 * For ops/ml only; pure but for their outputs, any thread; what says so is the leader's.
 */
#pragma once

#include "kernels/gemm.h"
#include "ops/common.h"
#include "ops/span.h"

/* ---- transforms ------------------------------------------------------------------------------ */

/* The numbers are those of TreeEnsemble's attribute. */
enum post { POST_NONE, POST_SOFTMAX, POST_LOGISTIC, POST_SOFTMAX_ZERO, POST_PROBIT, POST_COUNT };

int post_find(struct str word, enum post *out, struct err *e) WARN_UNUSED;
/* Transform the n >= 1 scores of a row. */
void post_apply(enum post post, double *s, int64_t n);
/* Scores of two classes where only the second has one. Untransformed, the first one's is 1 - s
 * where s is like a probability, else -s. */
void post_pair(enum post post, double s, bool like_probability, double pair[2]);

/* ---- labels ---------------------------------------------------------------------------------- */

struct labels {
    const int64_t *ints;
    const struct str *strings; /* NULL: integers */
    int64_t n;
};
/* The one of two attributes that is there; n is 0 if none is. */
int labels_init(struct labels *l, struct ints ints, struct strs strings, struct err *e) WARN_UNUSED;
/* Without labels, or with one that cannot be told from its absence: the integers 0 and 1. */
void labels_binary(struct labels *l);
/* Shared scratch of labels_run(). */
size_t labels_scratch(const struct labels *l, int64_t rows);
/* For a leader's run: run the tasks, each of which stores the winner of row i in winners[i], then
 * write the winners' labels to output 0. */
int labels_run(struct call *c, const struct labels *l, int64_t rows, int64_t tasks, task_fn *fn,
               void *arg, struct err *e) WARN_UNUSED;
/* Where tasks find winners: c->scratch. */
static inline int32_t *labels_winners(const struct call *c)
{
    return c->scratch;
}

/* ---- shapes and rows ------------------------------------------------------------------------- */

#define DT_FEATURES (DT(F32) | DT(F64) | DT(I32) | DT(I64))

/* Input 0 is [rows, features], or [features] as a single row. */
static inline int64_t rows_of(const struct tensor *x)
{
    return x->rank == 2 ? x->dims[0] : 1;
}
static inline int64_t features_of(const struct tensor *x)
{
    return x->dims[x->rank - 1];
}
/* Check input 0, with `features` features if that is not negative, and set output o to [rows,
 * width], or to [rows] if width is negative. */
int scores_infer(struct infer *c, int o, enum dtype dtype, int64_t features, int64_t width,
                 struct err *e) WARN_UNUSED;
/* Outputs 0 and 1 of a classifier: labels and `width` scores. */
int classifier_infer(struct infer *c, const struct labels *l, int64_t features, int64_t width,
                     struct err *e) WARN_UNUSED;

/* Rows are done in blocks; no bit of a row depends on its block. */
enum { BLOCK_ROWS = 32 };
/* `rows` rows of x from row `first` on as f32 or f64, in place where that is x's dtype, else in
 * scratch. */
const void *rows_as(const struct tensor *x, bool f64, int64_t first, int64_t rows, void *scratch);
/* Bytes of scratch: of n elements, rounded to MEM_ALIGN, and sums. SIZE_MAX where they overflow,
 * which the caller's scratch() then asks for in vain. */
size_t bytes_of(int64_t n, size_t size);
size_t bytes_add(size_t a, size_t b);

/* ---- products -------------------------------------------------------------------------------- */

/* out[row][j] = sum over p of x[row][p] * w[j][p], n of them, of k terms: w packed at load. */
struct projection {
    const struct gemm_f32_kernel *kernel;
    const float *packed;
    int64_t n, k;
};
int projection_init(struct projection *p, const float *w, int64_t n, int64_t k,
                    struct prepare *prepare, struct err *e) WARN_UNUSED;
size_t projection_scratch(const struct projection *p);
/* For at most BLOCK_ROWS rows; alpha and bias (n values, or NULL) as in kernels/gemm.h. */
void projection_run(const struct projection *p, const float *x, int64_t rows, float alpha,
                    const float *bias, float *out, void *scratch);
