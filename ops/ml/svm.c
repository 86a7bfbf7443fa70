/* SPDX-License-Identifier: Apache-2.0 */
/* SVMClassifier and SVMRegressor, after libsvm: kernel values of a row with all support vectors,
 * sums of them with coefficients; a classifier has such a sum for each pair of classes and counts
 * votes. Without support vectors the coefficients are planes. Probabilities are Platt's, coupled by
 * the second method of Wu, Lin and Weng, "Probability estimates for multi-class classification by
 * pairwise coupling", 2004.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernels/unary.h"
#include "ops/ml/scores.h"

struct attrs_svm {
    struct str kernel, post;
    struct floats params, coefficients, rho, vectors, prob_a, prob_b;
    int64_t n_supports, one_class;
    struct ints per_class, label_ints;
    struct strs label_strings;
};

#define AT(field) offsetof(struct attrs_svm, field)
#define SVM_ATTRS                                                                                \
    {"coefficients", ATTR_FLOATS, AT(coefficients)},                                             \
    {"kernel_params", ATTR_FLOATS, AT(params)},                                                  \
    {"kernel_type", ATTR_STRING, AT(kernel), .s = "LINEAR"},                                     \
    {"post_transform", ATTR_STRING, AT(post), .s = "NONE"},                                      \
    {"rho", ATTR_FLOATS, AT(rho)},                                                               \
    {"support_vectors", ATTR_FLOATS, AT(vectors)}

static const struct attr classifier_attrs[] = {
    SVM_ATTRS,
    {"classlabels_ints", ATTR_INTS, AT(label_ints)},
    {"classlabels_strings", ATTR_STRINGS, AT(label_strings)},
    {"prob_a", ATTR_FLOATS, AT(prob_a)},
    {"prob_b", ATTR_FLOATS, AT(prob_b)},
    {"vectors_per_class", ATTR_INTS, AT(per_class)},
    {0},
};

static const struct attr regressor_attrs[] = {
    SVM_ATTRS,
    {"n_supports", ATTR_INT, AT(n_supports)},
    {"one_class", ATTR_INT, AT(one_class)},
    {0},
};

enum kernel { KERNEL_LINEAR, KERNEL_POLY, KERNEL_RBF, KERNEL_SIGMOID, KERNEL_COUNT };

enum { PANEL = 16 }; /* support vectors side by side in RBF's layout: [panel][feature][PANEL] */

struct svm {
    enum kernel kernel;
    enum post post;
    float gamma, coef0, degree;
    int64_t n, k;       /* support vectors, or planes; features */
    bool planes;        /* no support vectors */
    int64_t classes, pairs, width; /* of a classifier; columns of the output */
    bool classifier, probabilities, positive; /* positive: no coefficient is negative */
    struct labels labels;
    struct projection p; /* all but RBF */
    const float *panels; /* RBF */
};

/* ---- attributes ------------------------------------------------------------------------------ */

static int kernel_init(struct svm *s, const struct attrs_svm *a, struct err *e)
{
    static const char *const words[] = {"LINEAR", "POLY", "RBF", "SIGMOID"};
    int i = 0;
    while (i < KERNEL_COUNT &&
           (a->kernel.size != strlen(words[i]) || memcmp(a->kernel.data, words[i], a->kernel.size)))
        i++;
    if (i == KERNEL_COUNT)
        return err_set(e, ERR_MODEL, "kernel_type is '%.*s', not LINEAR, POLY, RBF or SIGMOID",
                       (int)(a->kernel.size < 80 ? a->kernel.size : 80),
                       a->kernel.size ? a->kernel.data : "");
    if (a->params.n != 0 && a->params.n != 3)
        return err_set(e, ERR_MODEL, "kernel_params has %lld elements, expected 3",
                       (long long)a->params.n);
    s->kernel = s->planes ? KERNEL_LINEAR : (enum kernel)i;
    s->gamma = a->params.n ? a->params.v[0] : 0;
    s->coef0 = a->params.n ? a->params.v[1] : 0;
    s->degree = a->params.n ? a->params.v[2] : 0;
    return post_find(a->post, &s->post, e);
}

/* The n vectors have one length. */
static int vectors_init(struct svm *s, struct floats v, const char *what, struct err *e)
{
    s->k = v.n / s->n;
    return v.n % s->n || s->k == 0
               ? err_set(e, ERR_MODEL, "%lld elements of %s cannot be %lld vectors", (long long)v.n,
                         what, (long long)s->n)
               : 0;
}

static int check_count(struct floats v, const char *what, int64_t want, struct err *e)
{
    return v.n < want ? err_set(e, ERR_MODEL, "%s has %lld elements, expected %lld", what,
                                (long long)v.n, (long long)want)
                      : 0;
}

static int regressor_init(struct svm *s, const struct attrs_svm *a, struct err *e)
{
    *s = (struct svm){.n = a->n_supports, .width = 1, .planes = a->n_supports == 0};
    int rc = kernel_init(s, a, e);
    if (rc == 0 && s->n < 0)
        rc = err_set(e, ERR_MODEL, "n_supports is %lld", (long long)s->n);
    if (rc == 0)
        rc = check_count(a->coefficients, "coefficients", s->n, e);
    s->n = s->planes ? 1 : s->n;
    if (rc < 0)
        return rc;
    return s->planes ? vectors_init(s, a->coefficients, "coefficients", e)
                     : vectors_init(s, a->vectors, "support_vectors", e);
}

static int count_vectors(struct svm *s, const struct attrs_svm *a, struct err *e)
{
    for (int64_t i = 0; i < a->per_class.n; i++)
        if (a->per_class.v[i] < 0 || __builtin_add_overflow(s->n, a->per_class.v[i], &s->n))
            return err_set(e, ERR_MODEL, "class %lld has %lld support vectors", (long long)i,
                           (long long)a->per_class.v[i]);
    s->planes = s->n == 0;
    return 0;
}

static int pairs_init(struct svm *s, const struct attrs_svm *a, struct err *e)
{
    int64_t coefficients;
    s->pairs = s->classes * (s->classes - 1) / 2;
    s->width = s->probabilities ? s->classes : s->classes == 2 ? 2 : s->pairs;
    if (s->classes < 2 || a->per_class.n != s->classes)
        return err_set(e, ERR_MODEL, "%lld classes and %lld vectors_per_class",
                       (long long)s->classes, (long long)a->per_class.n);
    if (__builtin_mul_overflow(s->classes - 1, s->n, &coefficients))
        return err_set(e, ERR_MODEL, "%lld support vectors", (long long)s->n);
    int rc = vectors_init(s, a->vectors, "support_vectors", e);
    if (rc == 0)
        rc = check_count(a->coefficients, "coefficients", coefficients, e);
    if (rc == 0)
        rc = check_count(a->rho, "rho", s->pairs, e);
    if (rc == 0 && s->probabilities)
        rc = check_count(a->prob_a, "prob_a", s->pairs, e);
    return rc;
}

static int classifier_init(struct svm *s, const struct attrs_svm *a, struct err *e)
{
    *s = (struct svm){.classifier = true, .probabilities = a->prob_a.n > 0, .positive = true};
    int rc = labels_init(&s->labels, a->label_ints, a->label_strings, e);
    if (rc == 0)
        rc = count_vectors(s, a, e);
    if (rc == 0)
        rc = kernel_init(s, a, e);
    s->classes = s->labels.n;
    if (rc == 0 && (s->classes < 1 || s->classes > UINT16_MAX))
        rc = err_set(e, s->classes < 1 ? ERR_MODEL : ERR_LIMIT, "there are %lld class labels",
                     (long long)s->classes);
    if (rc == 0 && a->prob_a.n != a->prob_b.n)
        rc = err_set(e, ERR_MODEL, "prob_a has %lld elements, prob_b %lld", (long long)a->prob_a.n,
                     (long long)a->prob_b.n);
    for (int64_t i = 0; i < a->coefficients.n; i++)
        s->positive &= a->coefficients.v[i] >= 0;
    if (rc < 0 || !s->planes)
        return rc < 0 ? rc : pairs_init(s, a, e);
    s->n = s->width = s->classes;
    return vectors_init(s, a->coefficients, "coefficients", e);
}

static int svmclassifier_infer(struct infer *c, struct err *e)
{
    struct svm s;
    int rc = classifier_init(&s, c->attrs, e);
    return rc < 0 ? rc : classifier_infer(c, &s.labels, s.k, s.width, e);
}

static int regressor_infer(struct infer *c, struct err *e)
{
    struct svm s;
    int rc = infer_dtypes(c, 0, DT_FEATURES, e);
    if (rc == 0)
        rc = regressor_init(&s, c->attrs, e);
    return rc < 0 ? rc : scores_infer(c, 0, DTYPE_F32, s.k, s.width, e);
}

/* ---- kernels --------------------------------------------------------------------------------- */

static int64_t panels_of(const struct svm *s)
{
    return (s->n - 1) / PANEL + 1;
}

static int pack_panels(struct svm *s, const float *v, struct prepare *p, struct err *e)
{
    size_t bytes;
    if (!size_mul((size_t)panels_of(s) * PANEL, (size_t)s->k, &bytes) ||
        !size_mul(bytes, sizeof(float), &bytes))
        return err_set(e, ERR_LIMIT, "%lld vectors of %lld elements", (long long)s->n,
                       (long long)s->k);
    float *to = p->pack_alloc(p, bytes, e);
    if (!to)
        return e ? e->code : ERR_MEMORY;
    memset(to, 0, bytes);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t f = 0; f < s->k; f++)
            to[(i / PANEL * s->k + f) * PANEL + i % PANEL] = v[i * s->k + f];
    s->panels = to;
    return 0;
}

static int prepare(struct prepare *p, bool classifier, struct err *e)
{
    const struct attrs_svm *a = p->attrs;
    struct svm *s = arena_alloc(p->arena, sizeof *s, e);
    if (!s)
        return e ? e->code : ERR_MEMORY;
    int rc = classifier ? classifier_init(s, a, e) : regressor_init(s, a, e);
    if (rc < 0)
        return rc;
    p->prepared = s;
    return s->kernel == KERNEL_RBF
               ? pack_panels(s, a->vectors.v, p, e)
               : projection_init(&s->p, s->planes ? a->coefficients.v : a->vectors.v, s->n, s->k, p,
                                 e);
}

static int classifier_prepare(struct prepare *p, struct err *e)
{
    return prepare(p, true, e);
}

static int regressor_prepare(struct prepare *p, struct err *e)
{
    return prepare(p, false, e);
}

/* Squared distances of rows to all vectors, panel by panel: differences first, as |x|^2 - 2xy +
 * |y|^2 would cancel. */
static void distances(const struct svm *s, const float *x, int64_t rows, float *out)
{
    for (int64_t i = 0; i < s->n; i += PANEL) {
        const float *panel = s->panels + i * s->k;
        size_t bytes = (size_t)(s->n - i < PANEL ? s->n - i : PANEL) * sizeof(float);
        for (int64_t row = 0; row < rows; row++) {
            const float *in = x + row * s->k, *v = panel;
            float sum[PANEL] = {0};
            for (int64_t f = 0; f < s->k; f++, v += PANEL)
                for (int j = 0; j < PANEL; j++) {
                    float d = in[f] - v[j];
                    sum[j] += d * d;
                }
            memcpy(out + row * s->n + i, sum, bytes);
        }
    }
}

static float polynomial(const struct svm *s, float v)
{
    return s->degree == 2 ? v * v : s->degree == 3 ? v * v * v : powf(v, s->degree);
}

/* out[row][vector] */
static void kernel_values(const struct svm *s, const float *x, int64_t rows, float *out,
                          void *scratch)
{
    size_t n = (size_t)(rows * s->n);
    if (s->kernel == KERNEL_RBF) {
        distances(s, x, rows, out);
        for (size_t i = 0; i < n; i++)
            out[i] *= -s->gamma;
        unary_f32_pick(UNARY_EXP)(out, out, n, NULL);
        return;
    }
    projection_run(&s->p, x, rows, s->kernel == KERNEL_LINEAR ? 1 : s->gamma, NULL, out, scratch);
    for (size_t i = 0; i < n && s->kernel == KERNEL_POLY; i++)
        out[i] = polynomial(s, out[i] + s->coef0);
    if (s->kernel == KERNEL_SIGMOID) {
        for (size_t i = 0; i < n; i++)
            out[i] += s->coef0;
        unary_f32_pick(UNARY_TANH)(out, out, n, NULL);
    }
}

/* ---- scratch --------------------------------------------------------------------------------- */

/* A member's: kernel values of a block, a row of scores, work for probabilities, votes, the
 * product's own, a block of the input if it is not f32. */
struct layout {
    size_t row, work, votes, product, x, bytes;
};

static struct layout layout_of(const struct svm *s, const struct tensor *x)
{
    int64_t scores = s->pairs > s->width ? s->pairs : s->width;
    int64_t n = s->probabilities ? s->classes : 0;
    struct layout l;
    l.row = bytes_of(s->n, BLOCK_ROWS * sizeof(float));
    l.work = bytes_add(l.row, bytes_of(scores, sizeof(double)));
    l.votes = bytes_add(l.work, bytes_of(n * (2 * n + 2), sizeof(double)));
    l.product = bytes_add(l.votes, bytes_of(s->classes, sizeof(int32_t)));
    l.x = bytes_add(l.product, s->panels ? 0 : bytes_of((int64_t)projection_scratch(&s->p), 1));
    l.bytes = l.x;
    if (x->dtype != DTYPE_F32)
        l.bytes = bytes_add(l.x, bytes_of(s->k, BLOCK_ROWS * sizeof(float)));
    return l;
}

static size_t svm_scratch(const struct call *c, size_t *per_member)
{
    const struct svm *s = c->prepared;
    *per_member = layout_of(s, call_in(c, 0)).bytes;
    return s->classifier ? labels_scratch(&s->labels, rows_of(call_in(c, 0))) : 0;
}

static int64_t svm_tasks(const struct call *c)
{
    const struct svm *s = c->prepared;
    int64_t cost;
    if (__builtin_mul_overflow(s->n, s->k / 4 + s->classes + 4, &cost))
        cost = INT32_MAX;
    return tasks_for(rows_of(call_in(c, 0)), cost);
}

/* ---- probabilities --------------------------------------------------------------------------- */

/* One round over p, with q[i][j] p[j] summed in qp and p q p known. */
static void couple_round(int64_t n, const double *q, double *p, double *qp, double pqp)
{
    for (int64_t i = 0; i < n; i++) {
        double step = (pqp - qp[i]) / q[i * n + i], scale = 1 / (1 + step);
        p[i] += step;
        pqp = (pqp + step * (step * q[i * n + i] + 2 * qp[i])) * scale * scale;
        for (int64_t j = 0; j < n; j++) {
            qp[j] = (qp[j] + step * q[i * n + j]) * scale;
            p[j] *= scale;
        }
    }
}

/* p[i] of n classes from r[i][j], the probability of i where it is i or j. */
static void couple(int64_t n, const double *r, double *q, double *qp, double *p)
{
    enum { ROUNDS = 100 };
    for (int64_t i = 0; i < n; i++) {
        p[i] = 1.0 / (double)n;
        q[i * n + i] = 0;
        for (int64_t j = 0; j < n; j++) {
            if (j == i)
                continue;
            q[i * n + i] += r[j * n + i] * r[j * n + i];
            q[i * n + j] = -r[j * n + i] * r[i * n + j];
        }
    }
    for (int round = 0; round < ROUNDS; round++) {
        double pqp = 0, worst = 0;
        for (int64_t i = 0; i < n; i++) {
            qp[i] = 0;
            for (int64_t j = 0; j < n; j++)
                qp[i] += q[i * n + j] * p[j];
            pqp += p[i] * qp[i];
        }
        for (int64_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(qp[i] - pqp));
        if (worst < 0.005 / (double)n)
            return;
        couple_round(n, q, p, qp, pqp);
    }
}

/* The pairs' scores in `row` become the classes' probabilities. */
static void probabilities(const struct svm *s, const struct attrs_svm *a, double *row, double *work)
{
    const double least = 1e-7;
    int64_t n = s->classes, pair = 0;
    double *r = work, *q = r + n * n, *qp = q + n * n, *p = qp + n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++, pair++) {
            double v = 1 / (1 + exp(row[pair] * a->prob_a.v[pair] + a->prob_b.v[pair]));
            v = v < least ? least : v > 1 - least ? 1 - least : v;
            r[i * n + j] = v;
            r[j * n + i] = 1 - v;
        }
    couple(n, r, q, qp, p);
    memcpy(row, p, (size_t)n * sizeof *p);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* In a few chains, which do not wait for each other. */
static double dot(const float *a, const float *b, int64_t n)
{
    enum { CHAINS = 4 };
    double sum[CHAINS] = {0};
    int64_t i = 0;
    for (; i + CHAINS <= n; i += CHAINS)
        for (int j = 0; j < CHAINS; j++)
            sum[j] += (double)a[i + j] * b[i + j];
    for (; i < n; i++)
        sum[0] += (double)a[i] * b[i];
    return sum[0] + sum[1] + (sum[2] + sum[3]);
}

static int32_t greatest(const double *v, int64_t n)
{
    int32_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = v[i] > v[best] ? (int32_t)i : best;
    return best;
}

/* Scores of all pairs i < j to row; the class with the most votes. Coefficients lie as libsvm's:
 * those of class i against j in row j - 1, those of class j against i in row i, each vector in its
 * column. */
static int32_t vote(const struct svm *s, const struct attrs_svm *a, const float *value, double *row,
                    int32_t *votes)
{
    int64_t pair = 0, at_i = 0;
    int32_t best = 0;
    memset(votes, 0, (size_t)s->classes * sizeof *votes);
    for (int64_t i = 0; i < s->classes; at_i += a->per_class.v[i++]) {
        const float *row_i = a->coefficients.v + i * s->n;
        int64_t n_i = a->per_class.v[i], at_j = at_i + n_i;
        for (int64_t j = i + 1; j < s->classes; at_j += a->per_class.v[j++], pair++) {
            const float *row_j = a->coefficients.v + (j - 1) * s->n;
            double sum = dot(row_j + at_i, value + at_i, n_i) +
                         dot(row_i + at_j, value + at_j, a->per_class.v[j]) + a->rho.v[pair];
            row[pair] = (float)sum;
            votes[sum > 0 ? i : j]++;
        }
    }
    for (int32_t i = 1; i < s->classes; i++)
        best = votes[i] > votes[best] ? i : best;
    return best;
}

static int32_t finish_pairs(const struct svm *s, const struct attrs_svm *a, const float *value,
                            double *row, double *work, int32_t *votes)
{
    int32_t winner = vote(s, a, value, row, votes);
    if (s->probabilities)
        probabilities(s, a, row, work);
    if (s->classes == 2 && !s->probabilities)
        post_pair(s->post, row[0], false, row);
    else
        post_apply(s->post, row, s->width);
    return winner;
}

/* Of two planes the second wins wherever the greater score is like a yes: above a half where
 * coefficients are not negative, else above zero. */
static int32_t finish_planes(const struct svm *s, const struct attrs_svm *a, const float *value,
                             double *row)
{
    for (int64_t i = 0; i < s->classes; i++)
        row[i] = value[i] + (a->rho.n ? a->rho.v[0] : 0);
    int32_t winner = greatest(row, s->classes);
    if (s->classes == 2 && !s->probabilities &&
        (s->positive ? row[winner] >= 0.5 : row[winner] > 0))
        winner = 1;
    post_apply(s->post, row, s->classes);
    return winner;
}

static void finish_regression(const struct svm *s, const struct attrs_svm *a, const float *value,
                              double *row)
{
    double sum = s->planes ? value[0] : dot(a->coefficients.v, value, s->n);
    row[0] = (float)(sum + (a->rho.n ? a->rho.v[0] : 0));
    if (a->one_class)
        row[0] = row[0] > 0 ? 1 : -1;
    else
        post_apply(s->post, row, 1);
}

static void run_block(const struct call *c, int64_t first, int64_t rows, char *scratch)
{
    const struct svm *s = c->prepared;
    const struct attrs_svm *a = c->attrs;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, s->classifier);
    struct layout l = layout_of(s, x);
    const float *in = rows_as(x, false, first, rows, scratch + l.x);
    float *values = (float *)scratch;
    double *row = (double *)(scratch + l.row), *work = (double *)(scratch + l.work);
    kernel_values(s, in, rows, values, scratch + l.product);
    for (int64_t i = 0; i < rows; i++) {
        const float *value = values + i * s->n;
        if (!s->classifier)
            finish_regression(s, a, value, row);
        else
            labels_winners(c)[first + i] =
                s->planes ? finish_planes(s, a, value, row)
                          : finish_pairs(s, a, value, row, work, (int32_t *)(scratch + l.votes));
        if (y)
            elems_from_f64(DTYPE_F32, y->data, (first + i) * s->width, s->width, row);
    }
}

static int svm_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct span s = span_of(begin, end, svm_tasks(c), rows_of(call_in(c, 0)));
    for (int64_t i = s.first; i < s.last; i += BLOCK_ROWS)
        run_block(c, i, s.last - i < BLOCK_ROWS ? s.last - i : BLOCK_ROWS,
                  call_member_scratch(c, member));
    return 0;
}

static int classify(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    return svm_run(arg, begin, end, member, e);
}

static int classifier_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct svm *s = c->prepared;
    return labels_run(c, &s->labels, rows_of(call_in(c, 0)), svm_tasks(c), classify, c, e);
}

const struct op op_svmclassifier = {
    .domain = "ai.onnx.ml", .name = "SVMClassifier", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 2, .out_max = 2, .flags = OP_LEADER | OP_HOST,
    .attrs = classifier_attrs, .attrs_size = sizeof(struct attrs_svm),
    .infer = svmclassifier_infer, .prepare = classifier_prepare, .scratch = svm_scratch,
    .run = classifier_run,
    .kernels = "gemm unary",
};

const struct op op_svmregressor = {
    .domain = "ai.onnx.ml", .name = "SVMRegressor", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .attrs = regressor_attrs, .attrs_size = sizeof(struct attrs_svm),
    .infer = regressor_infer, .prepare = regressor_prepare, .scratch = svm_scratch,
    .tasks = svm_tasks, .run = svm_run,
    .kernels = "gemm unary",
};
