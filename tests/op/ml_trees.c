/* SPDX-License-Identifier: Apache-2.0 */
/* Ensembles of trees, support vector machines and linear models of ai.onnx.ml. TreeEnsemble, whose
 * attributes are tensors, and strings as labels stand in tests/peers/ml_trees.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op/op_test.h"

/* Sums of a few terms and an exponential in f32. */
#define TOL 32
#define TYPES "f32 f64 i32 i64"
enum { LIST = 32 };

static int floats_of(const struct op_run *r, const char *name, double *out)
{
    int n = 0;
    for (const char *p = op_text(r, name); p && *p && n < LIST; p += *p == ',') {
        out[n++] = strtof(p, NULL);
        p += strcspn(p, ",");
    }
    return n;
}

static int64_t rows_of(const struct op_tensor *x)
{
    return x->rank == 1 ? 1 : x->dims[0];
}

/* ---- the end of a row ------------------------------------------------------------------------ */

static void transform(const struct op_run *r, double *s, int64_t n)
{
    double max = s[0], sum = 0;
    for (int64_t i = 1; i < n; i++)
        max = fmax(max, s[i]);
    for (int64_t i = 0; i < n; i++)
        sum += exp(s[i] - max);
    for (int64_t i = 0; i < n; i++)
        if (op_is(r, "post_transform", "SOFTMAX"))
            s[i] = exp(s[i] - max) / sum;
        else if (op_is(r, "post_transform", "LOGISTIC"))
            s[i] = 1 / (1 + exp(-s[i]));
}

static struct op_tensor *labels_out(struct op_run *r, int64_t width)
{
    int64_t dims[2] = {rows_of(&r->in[0]), width};
    op_out(r, 0, DTYPE_I64, 1, dims);
    return op_out(r, 1, DTYPE_F32, 2, dims);
}

static void put_label(struct op_run *r, const char *name, int64_t row, int64_t winner)
{
    int64_t labels[16];
    r->out[0].v[row] = op_ints(r, name, labels) ? (double)labels[winner] : (double)winner;
}

static int64_t greatest(const double *s, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = s[i] > s[best] ? i : best;
    return best;
}

/* ---- trees ----------------------------------------------------------------------------------- */

/* Trees 0 and 1 of five nodes each: 0 tests, 1 is a leaf, 2 tests, 3 and 4 are leaves. */
#define TREES(mode)                                                                              \
    "nodes_treeids=0,0,0,0,0,1,1,1,1,1 nodes_nodeids=0,1,2,3,4,0,1,2,3,4 "                       \
    "nodes_featureids=0,0,3,0,0,2,0,1,0,0 nodes_values=0.5,0,-0.25,0,0,1,0,0,0,0 "               \
    "nodes_truenodeids=1,0,3,0,0,1,0,3,0,0 nodes_falsenodeids=2,0,4,0,0,2,0,4,0,0 "              \
    "nodes_modes=" mode ",LEAF," mode ",LEAF,LEAF," mode ",LEAF," mode ",LEAF,LEAF"
#define VOTES(prefix)                                                                            \
    " " prefix "_treeids=0,0,0,1,1,1 " prefix "_nodeids=1,3,4,1,3,4 " prefix "_ids=0,1,2,2,1,0 " \
    prefix "_weights=0.5,1.25,-2,0.75,3,-0.125"

static bool test_holds(const struct op_run *r, int node, double x)
{
    double v[LIST];
    char mode[256], *word = mode;
    floats_of(r, "nodes_values", v);
    snprintf(mode, sizeof mode, "%s", op_text(r, "nodes_modes"));
    for (int i = 0; i < node; i++)
        word = strchr(word, ',') + 1;
    word[strcspn(word, ",")] = '\0';
    return !strcmp(word, "BRANCH_LEQ")  ? x <= v[node]
           : !strcmp(word, "BRANCH_LT") ? x < v[node]
           : !strcmp(word, "BRANCH_GT") ? x > v[node]
           : !strcmp(word, "BRANCH_EQ") ? x == v[node]
                                        : x >= v[node];
}

/* The sums of votes of a row. */
static void add_votes(const struct op_run *r, const char *prefix, const double *x, double *s)
{
    int64_t feature[16], yes[16], no[16], tree[16], node[16], target[16];
    double weight[LIST];
    char name[40];
    op_ints(r, "nodes_featureids", feature);
    op_ints(r, "nodes_truenodeids", yes);
    op_ints(r, "nodes_falsenodeids", no);
    snprintf(name, sizeof name, "%s_treeids", prefix);
    int votes = op_ints(r, name, tree);
    snprintf(name, sizeof name, "%s_nodeids", prefix);
    op_ints(r, name, node);
    snprintf(name, sizeof name, "%s_ids", prefix);
    op_ints(r, name, target);
    snprintf(name, sizeof name, "%s_weights", prefix);
    floats_of(r, name, weight);
    for (int t = 0; t < 2; t++) {
        int64_t at = 0;
        while (at == 0 || at == 2) {
            int i = t * 5 + (int)at;
            at = test_holds(r, i, x[feature[i]]) ? yes[i] : no[i];
        }
        for (int i = 0; i < votes; i++)
            if (tree[i] == t && node[i] == at)
                s[target[i]] += weight[i];
    }
}

static void tree_regressor(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int64_t n = op_int(r, "n_targets", 1), dims[2] = {rows_of(x), n};
    struct op_tensor *y = op_out(r, 0, DTYPE_F32, 2, dims);
    double base[LIST];
    int bases = floats_of(r, "base_values", base);
    for (int64_t i = 0; i < dims[0]; i++) {
        double *s = y->v + i * n;
        add_votes(r, "target", x->v + i * 4, s);
        for (int64_t k = 0; k < n; k++) {
            s[k] /= op_is(r, "aggregate_function", "AVERAGE") ? 2 : 1;
            s[k] += k < bases ? base[k] : 0;
        }
        transform(r, s, n);
    }
}

static void tree_classifier(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor *z = labels_out(r, 3);
    double base[LIST] = {0};
    floats_of(r, "base_values", base);
    for (int64_t i = 0; i < rows_of(x); i++) {
        double *s = z->v + i * 3;
        add_votes(r, "class", x->v + i * 4, s);
        for (int k = 0; k < 3; k++)
            s[k] += base[k];
        put_label(r, "classlabels_int64s", i, greatest(s, 3));
        transform(r, s, 3);
    }
}

/* ---- linear models --------------------------------------------------------------------------- */

static double product(const double *x, const double *w, int64_t k)
{
    double sum = 0;
    for (int64_t i = 0; i < k; i++)
        sum += (double)(float)x[i] * w[i];
    return sum;
}

static void linear_classifier(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    double w[LIST], b[LIST];
    int64_t k = x->dims[x->rank - 1], n = floats_of(r, "intercepts", b), width = n == 1 ? 2 : n;
    floats_of(r, "coefficients", w);
    struct op_tensor *z = labels_out(r, width);
    for (int64_t i = 0; i < rows_of(x); i++) {
        double *s = z->v + i * width;
        for (int64_t j = 0; j < n; j++)
            s[j] = product(x->v + i * k, w + j * k, k) + b[j];
        put_label(r, "classlabels_ints", i, n == 1 ? s[0] > 0 : greatest(s, n));
        if (n == 1) {
            s[1] = s[0];
            s[0] = op_text(r, "post_transform") ? -s[1] : 1 - s[1];
        }
        transform(r, s, width);
    }
}

static void linear_regressor(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    double w[LIST], b[LIST] = {0};
    int64_t k = x->dims[x->rank - 1], n = op_int(r, "targets", 1), dims[2] = {rows_of(x), n};
    floats_of(r, "coefficients", w);
    floats_of(r, "intercepts", b);
    struct op_tensor *y = op_out(r, 0, DTYPE_F32, 2, dims);
    for (int64_t i = 0; i < dims[0]; i++) {
        for (int64_t j = 0; j < n; j++)
            y->v[i * n + j] = product(x->v + i * k, w + j * k, k) + b[j];
        transform(r, y->v + i * n, n);
    }
}

/* ---- support vectors ------------------------------------------------------------------------- */

static double kernel_value(const struct op_run *r, const double *x, const double *v, int64_t k)
{
    double p[LIST] = {0}, sum = 0;
    floats_of(r, "kernel_params", p);
    for (int64_t i = 0; i < k; i++)
        sum += ((float)x[i] - v[i]) * ((float)x[i] - v[i]);
    double dot = product(x, v, k);
    return op_is(r, "kernel_type", "RBF")       ? exp(-p[0] * sum)
           : op_is(r, "kernel_type", "POLY")    ? pow(p[0] * dot + p[1], p[2])
           : op_is(r, "kernel_type", "SIGMOID") ? tanh(p[0] * dot + p[1])
                                                : dot;
}

static void svm_regressor(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    double w[LIST], v[LIST], rho[LIST] = {0};
    int64_t k = x->dims[x->rank - 1], n = op_int(r, "n_supports", 0), dims[2] = {rows_of(x), 1};
    floats_of(r, "coefficients", w);
    floats_of(r, "support_vectors", v);
    floats_of(r, "rho", rho);
    struct op_tensor *y = op_out(r, 0, DTYPE_F32, 2, dims);
    double *scale = op_scale(y);
    for (int64_t i = 0; i < dims[0]; i++) {
        double sum = n ? rho[0] : product(x->v + i * k, w, k) + rho[0];
        scale[i] = 1 + fabs(sum);
        for (int64_t j = 0; j < n; j++) {
            double value = kernel_value(r, x->v + i * k, v + j * k, k);
            sum += w[j] * value;
            scale[i] += fabs(w[j] * value);
        }
        y->v[i] = op_int(r, "one_class", 0) ? (sum > 0 ? 1 : -1) : sum;
    }
}

/* Three classes of one vector each. */
static void svm_classifier(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    double w[LIST], v[LIST], rho[LIST];
    int64_t k = x->dims[x->rank - 1];
    floats_of(r, "coefficients", w);
    floats_of(r, "support_vectors", v);
    floats_of(r, "rho", rho);
    struct op_tensor *z = labels_out(r, 3);
    double *scale = op_scale(z);
    for (int64_t row = 0; row < rows_of(x); row++) {
        double value[3], votes[3] = {0};
        for (int i = 0; i < 3; i++)
            value[i] = kernel_value(r, x->v + row * k, v + i * k, k);
        for (int i = 0, pair = 0; i < 3; i++)
            for (int j = i + 1; j < 3; j++, pair++) {
                double a = w[(j - 1) * 3 + i] * value[i], b = w[i * 3 + j] * value[j];
                double s = a + b + rho[pair];
                z->v[row * 3 + pair] = s;
                scale[row * 3 + pair] = fabs(a) + fabs(b) + fabs(rho[pair]) + 1;
                votes[s > 0 ? i : j]++;
            }
        put_label(r, "classlabels_ints", row, greatest(votes, 3));
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

#define ML "ai.onnx.ml"
/* Thresholds are met exactly by some of these. */
#define X "T[B,4]=0.5,-0.25,1,0,2,-1,0.25,-0.5,1,1,-2,0.75"
#define IX "T[B,4]=0,-1,1,2,2,0,1,-3,1,1,-2,0"
#define LONG "T[43,4]"

static const struct op_case trees[] = {
    {"TreeEnsembleRegressor", ML, 3,
     TREES("BRANCH_LEQ") VOTES("target") " n_targets=3",
     X, "f32 f64", .ref = tree_regressor, .tol = 4},
    {"TreeEnsembleRegressor", ML, 3,
     TREES("BRANCH_LEQ") VOTES("target") " n_targets=3",
     IX, TYPES, .ref = tree_regressor, .tol = 4},
    {"TreeEnsembleRegressor", ML, 3,
     TREES("BRANCH_LT") VOTES("target") " n_targets=3 base_values=1,2,3",
     X, "f32", .ref = tree_regressor, .tol = 4},
    {"TreeEnsembleRegressor", ML, 1,
     TREES("BRANCH_GT") VOTES("target") " n_targets=3 aggregate_function=AVERAGE",
     X, "f32 f64", .ref = tree_regressor, .tol = 4},
    {"TreeEnsembleRegressor", ML, 3,
     TREES("BRANCH_GTE") VOTES("target") " n_targets=3 post_transform=LOGISTIC",
     X, "f32", .ref = tree_regressor, .tol = 8},
    {"TreeEnsembleRegressor", ML, 5,
     TREES("BRANCH_EQ") VOTES("target") " n_targets=3 post_transform=SOFTMAX",
     X, "f32", .ref = tree_regressor, .tol = 8},
    {"TreeEnsembleRegressor", ML, 3,
     TREES("BRANCH_GT") VOTES("target") " n_targets=3",
     LONG, "f32 f64", .ref = tree_regressor, .tol = 4},
    {"TreeEnsembleRegressor", ML, 3,
     TREES("BRANCH_LEQ") VOTES("target") " n_targets=3",
     "T[4]", "f32", .ref = tree_regressor, .tol = 4, .leave_out = OP_NO_UNKNOWN},
    {"TreeEnsembleClassifier", ML, 3,
     TREES("BRANCH_LEQ") VOTES("class") " classlabels_int64s=7,8,9 base_values=0.5,0.25,0",
     X, "f32 f64", 2, tree_classifier, 4},
    {"TreeEnsembleClassifier", ML, 1,
     TREES("BRANCH_LT") VOTES("class") " classlabels_int64s=7,8,9 base_values=0,0,0",
     IX, TYPES, 2, tree_classifier, 4},
    {"TreeEnsembleClassifier", ML, 5,
     TREES("BRANCH_GT") VOTES("class") " classlabels_int64s=7,8,9 base_values=0,0,0 "
     "post_transform=SOFTMAX",
     LONG, "f32 f64", 2, tree_classifier, 8},
};

#define PLANES " coefficients=0.5,-1,0.25,2,-0.5,1,1,-1,0.125,0.75,-2,1 intercepts=0.25,-0.5,1"
static const struct op_case linear[] = {
    {"LinearClassifier", ML, 1,
     "classlabels_ints=4,5,6" PLANES,
     X, "f32 f64", 2, linear_classifier, TOL, .atol = 1e-6},
    {"LinearClassifier", ML, 1,
     "classlabels_ints=4,5,6" PLANES,
     IX, TYPES, 2, linear_classifier, TOL, .atol = 1e-6},
    {"LinearClassifier", ML, 1,
     "classlabels_ints=4,5,6 post_transform=SOFTMAX" PLANES,
     LONG, "f32", 2, linear_classifier, TOL, .atol = 1e-6},
    {"LinearClassifier", ML, 1,
     "classlabels_ints=4,5 coefficients=0.5,-1,0.25,2 intercepts=0.125",
     X, "f32", 2, linear_classifier, TOL, .atol = 1e-6},
    {"LinearClassifier", ML, 1,
     "classlabels_ints=4,5 coefficients=0.5,-1,0.25,2 intercepts=0.125 "
     "post_transform=LOGISTIC",
     LONG, "f32", 2, linear_classifier, TOL, .atol = 1e-6},
    {"LinearRegressor", ML, 1,
     "targets=3" PLANES,
     X, "f32 f64", .ref = linear_regressor, .tol = TOL, .atol = 1e-6},
    {"LinearRegressor", ML, 1,
     "targets=3" PLANES,
     IX, TYPES, .ref = linear_regressor, .tol = TOL, .atol = 1e-6},
    {"LinearRegressor", ML, 1,
     "coefficients=0.5,-1,0.25,2 post_transform=LOGISTIC",
     LONG, "f32", .ref = linear_regressor, .tol = TOL, .atol = 1e-6},
};

#define VECTORS                                                                                  \
    " support_vectors=0.5,-1,0.25,1,-0.5,1,1,-1,0.125,0.75,-1,1 "                                \
    "coefficients=0.5,-1.5,2,1,-0.75,0.25"
static const struct op_case machines[] = {
    {"SVMRegressor", ML, 1,
     "n_supports=3 kernel_type=RBF kernel_params=0.5,0,0 rho=0.25" VECTORS,
     X, "f32 f64", .ref = svm_regressor, .tol = TOL},
    {"SVMRegressor", ML, 1,
     "n_supports=3 kernel_type=POLY kernel_params=0.5,0.25,3 rho=0.25" VECTORS,
     X, "f32", .ref = svm_regressor, .tol = 4 * TOL},
    {"SVMRegressor", ML, 1,
     "n_supports=3 kernel_type=SIGMOID kernel_params=0.25,0.5,0 rho=0.25" VECTORS,
     IX, TYPES, .ref = svm_regressor, .tol = TOL},
    {"SVMRegressor", ML, 1,
     "n_supports=3 kernel_type=LINEAR" VECTORS,
     LONG, "f32", .ref = svm_regressor, .tol = TOL},
    {"SVMRegressor", ML, 1,
     "n_supports=0 rho=-0.5 coefficients=1,2,-1,0.5",
     LONG, "f32", .ref = svm_regressor, .tol = TOL},
    {"SVMRegressor", ML, 1,
     "n_supports=3 kernel_type=RBF kernel_params=0.5,0,0 rho=0.25 one_class=1" VECTORS,
     LONG, "f32", .ref = svm_regressor},
    {"SVMClassifier", ML, 1,
     "classlabels_ints=4,5,6 vectors_per_class=1,1,1 kernel_type=RBF kernel_params=0.5,0,0 "
     "rho=0.25,-0.5,1" VECTORS,
     X, "f32 f64", 2, svm_classifier, TOL},
    {"SVMClassifier", ML, 1,
     "classlabels_ints=4,5,6 vectors_per_class=1,1,1 kernel_type=LINEAR "
     "rho=0.25,-0.5,1" VECTORS,
     LONG, "f32", 2, svm_classifier, TOL},
};

OP_MAIN("ml_trees", OP_TABLE(trees), OP_TABLE(linear), OP_TABLE(machines))
