/* SPDX-License-Identifier: Apache-2.0 */
/* LinearClassifier and LinearRegressor: scores are products with rows of coefficients, plus
 * intercepts. */
#include <stddef.h>

#include "ops/ml/scores.h"

struct attrs_linear {
    struct floats coefficients, intercepts;
    struct str post;
    int64_t targets;
    struct ints label_ints;
    struct strs label_strings;
};

#define AT(field) offsetof(struct attrs_linear, field)
static const struct attr classifier_attrs[] = {
    {"classlabels_ints", ATTR_INTS, AT(label_ints)},
    {"classlabels_strings", ATTR_STRINGS, AT(label_strings)},
    {"coefficients", ATTR_FLOATS, AT(coefficients), .required = true},
    {"intercepts", ATTR_FLOATS, AT(intercepts)},
    {"multi_class", ATTR_INT, .ignore = true},
    {"post_transform", ATTR_STRING, AT(post), .s = "NONE"},
    {0},
};

static const struct attr regressor_attrs[] = {
    {"coefficients", ATTR_FLOATS, AT(coefficients)},
    {"intercepts", ATTR_FLOATS, AT(intercepts)},
    {"post_transform", ATTR_STRING, AT(post), .s = "NONE"},
    {"targets", ATTR_INT, AT(targets), .i = 1},
    {0},
};

struct linear {
    struct projection p;
    enum post post;
    struct labels labels;
    const float *intercepts;
    int64_t n, k, width; /* rows of coefficients, features, columns of the output */
    bool classifier;
};

/* ---- attributes ------------------------------------------------------------------------------ */

static int linear_init(struct linear *l, const struct attrs_linear *a, struct err *e)
{
    int64_t given = a->intercepts.n;
    l->intercepts = given ? a->intercepts.v : NULL;
    l->k = l->n > 0 ? a->coefficients.n / l->n : 0;
    if (l->n < 1 || l->k < 1 || l->k * l->n != a->coefficients.n)
        return err_set(e, ERR_MODEL, "%lld coefficients for %lld scores",
                       (long long)a->coefficients.n, (long long)l->n);
    if (given && given != l->n)
        return err_set(e, ERR_MODEL, "%lld intercepts for %lld scores", (long long)given,
                       (long long)l->n);
    return post_find(a->post, &l->post, e);
}

static int regressor_init(struct linear *l, const struct attrs_linear *a, struct err *e)
{
    *l = (struct linear){.n = a->targets, .width = a->targets};
    return linear_init(l, a, e);
}

/* There are as many scores as intercepts. One score may have two labels or none. */
static int classifier_init(struct linear *l, const struct attrs_linear *a, struct err *e)
{
    *l = (struct linear){.classifier = true};
    int rc = labels_init(&l->labels, a->label_ints, a->label_strings, e);
    int64_t labels = l->labels.n;
    l->n = a->intercepts.n ? a->intercepts.n : labels ? labels : 1;
    l->width = l->n == 1 && labels == 2 ? 2 : l->n;
    if (rc == 0)
        rc = linear_init(l, a, e);
    if (rc == 0 && (l->n == 1 ? labels && labels != 2 : labels < l->n))
        rc = err_set(e, ERR_MODEL, "%lld labels for %lld scores", (long long)labels,
                     (long long)l->n);
    if (labels == 0)
        labels_binary(&l->labels);
    return rc;
}

/* Old files have inputs of fewer features than there are coefficients for: each class then takes as many
 * of them as there are features, one class's after the other's, and the rest is not read. */
static int64_t features_at_load(const struct linear *l, const struct fact *x)
{
    const struct type *t = &x->type;
    int64_t d = t->rank > 0 ? t->dims[t->rank - 1] : SYM_UNKNOWN;
    return sym_is_number(d) && d > 0 && d < l->k ? d : l->k;
}

static int linearclassifier_infer(struct infer *c, struct err *e)
{
    struct linear l;
    const struct linear *prepared = c->node->prepared;
    int rc = classifier_init(&l, c->attrs, e);
    int64_t k = rc < 0 ? 0 : c->syms ? features_at_load(&l, c->in[0]) : prepared ? prepared->k : l.k;
    return rc < 0 ? rc : classifier_infer(c, &l.labels, k, l.width, e);
}

static int regressor_infer(struct infer *c, struct err *e)
{
    struct linear l;
    int rc = infer_dtypes(c, 0, DT_FEATURES, e);
    if (rc == 0)
        rc = regressor_init(&l, c->attrs, e);
    return rc < 0 ? rc : scores_infer(c, 0, DTYPE_F32, l.k, l.width, e);
}

static int prepare(struct prepare *p, bool classifier, struct err *e)
{
    const struct attrs_linear *a = p->attrs;
    struct linear *l = arena_alloc(p->arena, sizeof *l, e);
    if (!l)
        return e ? e->code : ERR_MEMORY;
    int rc = classifier ? classifier_init(l, a, e) : regressor_init(l, a, e);
    if (rc == 0 && classifier)
        l->k = features_at_load(l, p->in[0]);
    if (rc == 0)
        rc = projection_init(&l->p, a->coefficients.v, l->n, l->k, p, e);
    p->prepared = l;
    return rc;
}

static int classifier_prepare(struct prepare *p, struct err *e)
{
    return prepare(p, true, e);
}

static int regressor_prepare(struct prepare *p, struct err *e)
{
    return prepare(p, false, e);
}

/* ---- running --------------------------------------------------------------------------------- */

/* A member's: a block of scores, a row in f64, the product's own, a block of the input if it is not
 * f32. */
struct layout {
    size_t row, product, x, bytes;
};

static struct layout layout_of(const struct linear *l, const struct tensor *x)
{
    struct layout at;
    at.row = bytes_of(l->n, BLOCK_ROWS * sizeof(float));
    at.product = bytes_add(at.row, bytes_of(l->width, sizeof(double)));
    at.x = bytes_add(at.product, bytes_of((int64_t)projection_scratch(&l->p), 1));
    at.bytes = at.x;
    if (x->dtype != DTYPE_F32)
        at.bytes = bytes_add(at.x, bytes_of(l->k, BLOCK_ROWS * sizeof(float)));
    return at;
}

static size_t linear_scratch(const struct call *c, size_t *per_member)
{
    const struct linear *l = c->prepared;
    *per_member = layout_of(l, call_in(c, 0)).bytes;
    return l->classifier ? labels_scratch(&l->labels, rows_of(call_in(c, 0))) : 0;
}

static int64_t linear_tasks(const struct call *c)
{
    const struct linear *l = c->prepared;
    return tasks_for(rows_of(call_in(c, 0)), l->n * (l->k / 8 + 4));
}

/* Scores to what the output holds; the winner. */
static int32_t finish(const struct linear *l, const float *score, double *s)
{
    int32_t best = 0;
    for (int64_t i = 0; i < l->n; i++) {
        s[i] = score[i];
        best = score[i] > score[best] ? (int32_t)i : best;
    }
    if (l->n == 1)
        best = score[0] > 0;
    if (l->width > l->n)
        post_pair(l->post, score[0], true, s);
    else
        post_apply(l->post, s, l->n);
    return best;
}

static void run_block(const struct call *c, int64_t first, int64_t rows, char *scratch)
{
    const struct linear *l = c->prepared;
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, l->classifier);
    struct layout at = layout_of(l, x);
    const float *in = rows_as(x, false, first, rows, scratch + at.x);
    float *score = (float *)scratch;
    double *s = (double *)(scratch + at.row);
    projection_run(&l->p, in, rows, 1, l->intercepts, score, scratch + at.product);
    for (int64_t i = 0; i < rows; i++) {
        int32_t winner = finish(l, score + i * l->n, s);
        if (l->classifier)
            labels_winners(c)[first + i] = winner;
        if (y)
            elems_from_f64(DTYPE_F32, y->data, (first + i) * l->width, l->width, s);
    }
}

static int linear_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct span s = span_of(begin, end, linear_tasks(c), rows_of(call_in(c, 0)));
    for (int64_t i = s.first; i < s.last; i += BLOCK_ROWS)
        run_block(c, i, s.last - i < BLOCK_ROWS ? s.last - i : BLOCK_ROWS,
                  call_member_scratch(c, member));
    return 0;
}

static int classify(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    return linear_run(arg, begin, end, member, e);
}

static int classifier_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct linear *l = c->prepared;
    return labels_run(c, &l->labels, rows_of(call_in(c, 0)), linear_tasks(c), classify, c, e);
}

const struct op op_linearclassifier = {
    .domain = "ai.onnx.ml", .name = "LinearClassifier", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 2, .out_max = 2, .flags = OP_LEADER | OP_HOST,
    .attrs = classifier_attrs, .attrs_size = sizeof(struct attrs_linear),
    .infer = linearclassifier_infer, .prepare = classifier_prepare, .scratch = linear_scratch,
    .run = classifier_run,
    .kernels = "gemm",
};

const struct op op_linearregressor = {
    .domain = "ai.onnx.ml", .name = "LinearRegressor", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .attrs = regressor_attrs, .attrs_size = sizeof(struct attrs_linear),
    .infer = regressor_infer, .prepare = regressor_prepare, .scratch = linear_scratch,
    .tasks = linear_tasks, .run = linear_run,
    .kernels = "gemm",
};
