/* SPDX-License-Identifier: Apache-2.0 */
/* NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss. Scores are [N, C, D], targets [N, D]: sample by
 * sample in double (log-sum-exp first where scores are no log-probabilities yet); a reduction adds the
 * samples up in order, on the leader. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "ops/span.h"

enum { IN_SCORES, IN_TARGET, IN_WEIGHT };
enum { OUT_LOSS, OUT_LOG_PROB };
enum reduction { REDUCE_NONE, REDUCE_SUM, REDUCE_MEAN };

struct attrs_loss {
    struct str reduction;
    int64_t ignore_index;
};

static const struct attr loss_attrs[] = {
    {"reduction", ATTR_STRING, offsetof(struct attrs_loss, reduction), .s = "mean"},
    {"ignore_index", ATTR_INT, offsetof(struct attrs_loss, ignore_index), .i = ATTR_ABSENT},
    {0},
};

static bool is_word(struct str s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

static int reduction_of(const struct attrs_loss *at, enum reduction *r, struct err *e)
{
    if (is_word(at->reduction, "none"))
        *r = REDUCE_NONE;
    else if (is_word(at->reduction, "sum"))
        *r = REDUCE_SUM;
    else if (is_word(at->reduction, "mean"))
        *r = REDUCE_MEAN;
    else
        return err_set(e, ERR_MODEL, "reduction '%.*s' is not none, sum or mean",
                       (int)(at->reduction.size < 40 ? at->reduction.size : 40), at->reduction.data);
    return 0;
}

/* ---- inference -------------------------------------------------------------------------------- */

static int check_dims(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, IN_SCORES), targets = infer_rank(c, IN_TARGET), weights = infer_rank(c, IN_WEIGHT);
    if (rank >= 0 && rank < 2)
        return err_set(e, ERR_MODEL, "the scores have rank %d, need at least 2", rank);
    if (rank >= 0 && targets >= 0 && targets != rank - 1)
        return err_set(e, ERR_MODEL, "the targets have rank %d, expected %d", targets, rank - 1);
    for (int k = 0; k < targets && rank >= 0; k++)
        if (sym_differ(c->syms, infer_dim(c, IN_TARGET, k), infer_dim(c, IN_SCORES, k + (k > 0))))
            return err_set(e, ERR_MODEL, "dim %d of the targets is not that of the scores", k);
    if (weights >= 0 && (weights != 1 || (rank >= 0 && sym_differ(c->syms, infer_dim(c, IN_WEIGHT, 0),
                                                                  infer_dim(c, IN_SCORES, 1)))))
        return err_set(e, ERR_MODEL, "the weights are not one number a class");
    return 0;
}

static int loss_infer(struct infer *c, struct err *e)
{
    enum reduction reduction;
    int rc = reduction_of(c->attrs, &reduction, e);
    if (rc == 0)
        rc = infer_dtypes(c, IN_SCORES, DT_FLOATS, e);
    if (rc == 0)
        rc = infer_dtypes(c, IN_TARGET, DT(I32) | DT(I64), e);
    if (rc == 0)
        rc = infer_same_dtype(c, IN_SCORES, IN_WEIGHT, e);
    if (rc == 0)
        rc = check_dims(c, e);
    enum dtype t = rc == 0 ? infer_dtype(c, IN_SCORES) : DTYPE_NONE;
    if (rc == 0)
        rc = reduction == REDUCE_NONE ? infer_like(c, OUT_LOSS, IN_TARGET, t, e)
                                      : infer_set(c, OUT_LOSS, t, 0, NULL, e);
    return rc < 0 ? rc : infer_like(c, OUT_LOG_PROB, IN_SCORES, t, e);
}

/* ---- samples ---------------------------------------------------------------------------------- */

struct job {
    struct call *call;
    const struct tensor *scores, *target, *weight;
    struct tensor *loss, *log_prob;
    int64_t classes, inner, samples, tasks, ignore;
    double *losses; /* where a reduction adds them up; NULL: straight to the output */
    bool soft;
};

static struct job job_of(const struct call *c)
{
    const struct attrs_loss *at = c->attrs;
    struct job j = {.call = (struct call *)c, .scores = call_in(c, IN_SCORES), .target = call_in(c, IN_TARGET),
                    .weight = call_in(c, IN_WEIGHT), .loss = call_out(c, OUT_LOSS),
                    .log_prob = call_out(c, OUT_LOG_PROB), .ignore = at->ignore_index};
    j.classes = j.scores->dims[1];
    j.inner = dims_product(j.scores->dims, 2, j.scores->rank);
    j.samples = tensor_count(j.target);
    j.soft = c->op->name[0] == 'S';
    return j;
}

static double score(const struct job *j, int64_t i)
{
    return j->scores->dtype == DTYPE_F32 ? (double)((const float *)j->scores->data)[i] : tensor_float(j->scores, i);
}

/* log(sum(exp)) of a sample whose first score is at `at`. */
static double log_sum(const struct job *j, int64_t at)
{
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < j->classes; k++)
        most = fmax(most, score(j, at + k * j->inner));
    if (most == -INFINITY)
        return most;
    for (int64_t k = 0; k < j->classes; k++)
        sum += exp(score(j, at + k * j->inner) - most);
    return most + log(sum);
}

/* A sample's class in *out; false if it is ignored. */
static int class_of(const struct job *j, int64_t sample, int64_t *out, bool *counts, struct err *e)
{
    int64_t v = tensor_int(j->target, sample);
    *out = 0;
    *counts = j->ignore == ATTR_ABSENT || v != j->ignore;
    if (!*counts)
        return 0;
    *out = v;
    if (v < 0 || v >= j->classes)
        return err_set(e, ERR_INPUT, "target %lld is outside [0, %lld)", (long long)v, (long long)j->classes);
    return 0;
}

static int sample_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    struct span s = span_of(begin, end, j->tasks, j->samples);
    for (int64_t i = s.first; i < s.last; i++) {
        int64_t at = i / j->inner * j->classes * j->inner + i % j->inner, k;
        bool counts;
        double norm = j->soft ? log_sum(j, at) : 0, loss = 0;
        for (int64_t n = 0; n < j->classes && j->log_prob; n++) {
            double v = score(j, at + n * j->inner) - norm;
            elems_from_f64(j->log_prob->dtype, j->log_prob->data, at + n * j->inner, 1, &v);
        }
        int rc = class_of(j, i, &k, &counts, e);
        if (rc < 0)
            return rc;
        if (counts)
            loss = (norm - score(j, at + k * j->inner)) * (j->weight ? tensor_float(j->weight, k) : 1);
        if (j->losses)
            j->losses[i] = loss;
        else if (j->loss)
            elems_from_f64(j->loss->dtype, j->loss->data, i, 1, &loss);
    }
    return 0;
}

static int reduce(const struct job *j, bool mean, struct err *e)
{
    double sum = 0, weights = 0;
    for (int64_t i = 0; i < j->samples; i++) {
        int64_t k;
        bool counts;
        int rc = class_of(j, i, &k, &counts, e);
        if (rc < 0)
            return rc;
        sum += j->losses[i];
        if (counts)
            weights += j->weight ? tensor_float(j->weight, k) : 1;
    }
    if (mean)
        sum /= weights;
    elems_from_f64(j->loss->dtype, j->loss->data, 0, 1, &sum);
    return 0;
}

static size_t loss_scratch(const struct call *c, size_t *per_member)
{
    return ((size_t)tensor_count(call_in(c, IN_TARGET)) + 1) * sizeof(double);
}

static int loss_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job j = job_of(c);
    enum reduction reduction;
    int rc = reduction_of(c->attrs, &reduction, e);
    if (rc < 0)
        return rc;
    j.losses = reduction != REDUCE_NONE ? c->scratch : NULL;
    j.tasks = tasks_for(j.samples, j.soft ? j.classes * 16 : 16);
    if (j.samples)
        rc = call_tasks(c, j.tasks, sample_tasks, &j, e);
    return rc < 0 || !j.losses || !j.loss ? rc : reduce(&j, reduction == REDUCE_MEAN, e);
}

#define LOSS_ROW(row_name, n_out)                                                                    \
    {                                                                                                \
        .domain = "", .name = row_name, .since = 12, .in_min = 2, .in_max = 3, .out_min = 1,         \
        .out_max = n_out, .flags = OP_PURE | OP_LEADER, .attrs = loss_attrs,                         \
        .attrs_size = sizeof(struct attrs_loss), .infer = loss_infer, .scratch = loss_scratch,       \
        .run = loss_run,                                                                             \
    }
const struct op op_negativeloglikelihoodloss = LOSS_ROW("NegativeLogLikelihoodLoss", 1);
const struct op op_softmaxcrossentropyloss = LOSS_ROW("SoftmaxCrossEntropyLoss", 2);
