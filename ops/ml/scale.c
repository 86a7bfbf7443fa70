/* SPDX-License-Identifier: Apache-2.0 */
/* Binarizer, Imputer, Scaler, Normalizer: elements of tables of features, the last axis being the
 * features. f32 computes in f32, all else in double or whole numbers and rounds once. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "ops/common.h"

#define DT_FEATURES (DT(F32) | DT(F64) | DT(I64) | DT(I32))

/* Rows of features: tasks take whole rows. A scalar is one row of one. */
static int64_t row_length(const struct tensor *x)
{
    return x->rank ? x->dims[x->rank - 1] : 1;
}

static int64_t row_count(const struct tensor *x)
{
    return x->rank ? dims_product(x->dims, 0, x->rank - 1) : 1;
}

static int64_t row_tasks(const struct call *c)
{
    const struct tensor *x = call_in(c, 0);
    return tasks_for(row_count(x), row_length(x));
}

static void rows_of(const struct call *c, int64_t begin, int64_t end, int64_t *from, int64_t *to)
{
    const struct tensor *x = call_in(c, 0);
    int64_t skip, tasks = row_tasks(c);
    task_range(begin, tasks, row_count(x), from, &skip);
    task_range(end - 1, tasks, row_count(x), &skip, to);
}

/* A list has one number for all features or one each. */
static int check_length(int64_t n, int64_t features, const char *name, struct err *e)
{
    return n == 1 || n == features ? 0
                                   : err_set(e, ERR_MODEL, "%s has %lld numbers, expected 1 or %lld", name,
                                             (long long)n, (long long)features);
}

static int check_known(const struct infer *c, int64_t n, const char *name, struct err *e)
{
    int rank = infer_rank(c, 0);
    int64_t features = rank > 0 ? infer_dim(c, 0, rank - 1) : 1;
    return rank >= 0 && sym_is_number(features) ? check_length(n, features, name, e) : 0;
}

/* ---- Binarizer ---------------------------------------------------------------------------------- */

struct attrs_binarizer {
    float threshold;
};

static const struct attr binarizer_attrs[] = {
    {"threshold", ATTR_FLOAT, offsetof(struct attrs_binarizer, threshold)},
    {0},
};

static int binarizer_infer(struct infer *c, struct err *e)
{
    int rc = infer_dtypes(c, 0, DT_FEATURES, e);
    return rc ? rc : infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

/* Whole numbers are above t if they are above its floor. */
static void binarize_ints(int64_t *v, int64_t n, float t)
{
    float low = floorf(t);
    for (int64_t i = 0; i < n; i++)
        v[i] = low >= 0x1p63f || low != low ? 0 : low < -0x1p63f ? 1 : v[i] > (int64_t)low;
}

static int binarizer_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    float t = ((const struct attrs_binarizer *)c->attrs)->threshold;
    int64_t from, to, width = row_length(x), whole[CHUNK_ELEMS];
    double v[CHUNK_ELEMS];
    rows_of(c, begin, end, &from, &to);
    for (int64_t i = from * width; i < to * width; i += CHUNK_ELEMS) {
        int64_t n = to * width - i < CHUNK_ELEMS ? to * width - i : CHUNK_ELEMS;
        if (dtype_is_float(x->dtype)) {
            elems_to_f64(x->dtype, x->data, i, n, v);
            for (int64_t k = 0; k < n; k++)
                v[k] = v[k] > t;
            elems_from_f64(y->dtype, y->data, i, n, v);
        } else {
            elems_to_i64(x->dtype, x->data, i, n, whole);
            binarize_ints(whole, n, t);
            elems_from_i64(y->dtype, y->data, i, n, whole);
        }
    }
    return 0;
}

/* ---- Imputer ------------------------------------------------------------------------------------ */

struct attrs_imputer {
    struct floats imputed_value_floats;
    struct ints imputed_value_int64s;
    float replaced_value_float;
    int64_t replaced_value_int64;
};

static const struct attr imputer_attrs[] = {
    {"imputed_value_floats", ATTR_FLOATS, offsetof(struct attrs_imputer, imputed_value_floats)},
    {"imputed_value_int64s", ATTR_INTS, offsetof(struct attrs_imputer, imputed_value_int64s)},
    {"replaced_value_float", ATTR_FLOAT, offsetof(struct attrs_imputer, replaced_value_float)},
    {"replaced_value_int64", ATTR_INT, offsetof(struct attrs_imputer, replaced_value_int64)},
    {0},
};

static int64_t imputed_count(const struct attrs_imputer *at, enum dtype t)
{
    return dtype_is_float(t) ? at->imputed_value_floats.n : at->imputed_value_int64s.n;
}

static int imputer_infer(struct infer *c, struct err *e)
{
    const struct attrs_imputer *at = c->attrs;
    int rc = infer_dtypes(c, 0, DT_FEATURES, e);
    if (rc < 0)
        return rc;
    enum dtype t = infer_dtype(c, 0);
    const char *name = dtype_is_float(t) ? "imputed_value_floats" : "imputed_value_int64s";
    if (imputed_count(at, t) == 0)
        return err_set(e, ERR_MODEL, "%s is needed for an input of type %s", name, dtype_name(t));
    for (int64_t i = 0; t == DTYPE_I32 && i < at->imputed_value_int64s.n; i++)
        if (at->imputed_value_int64s.v[i] != (int32_t)at->imputed_value_int64s.v[i])
            return err_set(e, ERR_MODEL, "%s has %lld, which is no int32", name,
                           (long long)at->imputed_value_int64s.v[i]);
    rc = check_known(c, imputed_count(at, t), name, e);
    return rc ? rc : infer_like(c, 0, 0, t, e);
}

static void impute_floats(const struct attrs_imputer *at, int64_t first, int64_t n, double *v)
{
    float old = at->replaced_value_float;
    bool one = at->imputed_value_floats.n == 1;
    for (int64_t i = 0; i < n; i++)
        if (v[i] == old || (v[i] != v[i] && old != old))
            v[i] = at->imputed_value_floats.v[one ? 0 : first + i];
}

static void impute_ints(const struct attrs_imputer *at, int64_t first, int64_t n, int64_t *v)
{
    bool one = at->imputed_value_int64s.n == 1;
    for (int64_t i = 0; i < n; i++)
        if (v[i] == at->replaced_value_int64)
            v[i] = at->imputed_value_int64s.v[one ? 0 : first + i];
}

static int imputer_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_imputer *at = c->attrs;
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    int64_t from, to, width = row_length(x), whole[CHUNK_ELEMS];
    double v[CHUNK_ELEMS];
    int rc = check_length(imputed_count(at, x->dtype), width, "the list of imputed values", e);
    if (rc < 0)
        return rc;
    rows_of(c, begin, end, &from, &to);
    for (int64_t r = from; r < to; r++) {
        for (int64_t i = 0; i < width; i += CHUNK_ELEMS) {
            int64_t n = width - i < CHUNK_ELEMS ? width - i : CHUNK_ELEMS;
            if (dtype_is_float(x->dtype)) {
                elems_to_f64(x->dtype, x->data, r * width + i, n, v);
                impute_floats(at, i, n, v);
                elems_from_f64(y->dtype, y->data, r * width + i, n, v);
            } else {
                elems_to_i64(x->dtype, x->data, r * width + i, n, whole);
                impute_ints(at, i, n, whole);
                elems_from_i64(y->dtype, y->data, r * width + i, n, whole);
            }
        }
    }
    return 0;
}

/* ---- Scaler ------------------------------------------------------------------------------------- */

struct attrs_scaler {
    struct floats offset, scale;
};

static const struct attr scaler_attrs[] = {
    {"offset", ATTR_FLOATS, offsetof(struct attrs_scaler, offset)},
    {"scale", ATTR_FLOATS, offsetof(struct attrs_scaler, scale)},
    {0},
};

/* An empty list is as good as none. */
static int64_t scaler_count(const struct attrs_scaler *at)
{
    return at->scale.n ? at->scale.n : at->offset.n ? at->offset.n : 1;
}

static int scaler_infer(struct infer *c, struct err *e)
{
    const struct attrs_scaler *at = c->attrs;
    int rc = infer_dtypes(c, 0, DT_FEATURES, e);
    if (rc == 0 && at->scale.n && at->offset.n && at->scale.n != at->offset.n)
        rc = err_set(e, ERR_MODEL, "scale has %lld numbers, offset has %lld", (long long)at->scale.n,
                     (long long)at->offset.n);
    rc = rc ? rc : check_known(c, scaler_count(at), "scale and offset", e);
    return rc ? rc : infer_like(c, 0, 0, DTYPE_F32, e);
}

static void scale_f32(const struct attrs_scaler *at, bool one, int64_t n, const float *x, float *y)
{
    static const float zero = 0, unit = 1;
    const float *offset = at->offset.n ? at->offset.v : &zero, *scale = at->scale.n ? at->scale.v : &unit;
    if (one || (!at->offset.n && !at->scale.n))
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - *offset) * *scale;
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - offset[at->offset.n ? i : 0]) * scale[at->scale.n ? i : 0];
}

static void scale_row(const struct attrs_scaler *at, const struct tensor *x, int64_t first, int64_t width,
                      float *y)
{
    double v[CHUNK_ELEMS];
    bool one = scaler_count(at) == 1;
    for (int64_t i = 0; i < width; i += CHUNK_ELEMS) {
        int64_t n = width - i < CHUNK_ELEMS ? width - i : CHUNK_ELEMS;
        elems_to_f64(x->dtype, x->data, first + i, n, v);
        for (int64_t k = 0; k < n; k++) {
            int64_t at_feature = one ? 0 : i + k;
            double offset = at->offset.n ? at->offset.v[at_feature] : 0;
            y[i + k] = (float)((v[k] - offset) * (at->scale.n ? at->scale.v[at_feature] : 1));
        }
    }
}

static int scaler_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_scaler *at = c->attrs;
    const struct tensor *x = call_in(c, 0);
    float *y = call_out(c, 0)->data;
    int64_t from, to, width = row_length(x);
    int rc = check_length(scaler_count(at), width, "the list of scales or offsets", e);
    if (rc < 0)
        return rc;
    rows_of(c, begin, end, &from, &to);
    for (int64_t r = from; r < to; r++)
        if (x->dtype == DTYPE_F32)
            scale_f32(at, scaler_count(at) == 1, width, (const float *)x->data + r * width, y + r * width);
        else
            scale_row(at, x, r * width, width, y + r * width);
    return 0;
}

/* ---- Normalizer --------------------------------------------------------------------------------- */

struct attrs_normalizer {
    struct str norm;
};

static const struct attr normalizer_attrs[] = {
    {"norm", ATTR_STRING, offsetof(struct attrs_normalizer, norm), .s = "MAX"},
    {0},
};

enum norm { NORM_MAX, NORM_L1, NORM_L2, NORM_COUNT };

static enum norm norm_of(const struct attrs_normalizer *at)
{
    static const char *const words[NORM_COUNT] = {"MAX", "L1", "L2"};
    int k = 0;
    while (k < NORM_COUNT && (strlen(words[k]) != at->norm.size ||
                              memcmp(words[k], at->norm.data, at->norm.size) != 0))
        k++;
    return (enum norm)k;
}

static int normalizer_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0), rc = infer_dtypes(c, 0, DT_FEATURES, e);
    if (rc == 0 && norm_of(c->attrs) == NORM_COUNT)
        rc = err_set(e, ERR_MODEL, "norm is not MAX, L1 or L2");
    if (rc == 0 && (rank == 0 || rank > 2))
        rc = err_set(e, ERR_MODEL, "the input has rank %d, expected 1 or 2", rank);
    return rc ? rc : infer_like(c, 0, 0, DTYPE_F32, e);
}

/* What a row is divided by; 0 leaves it as it is. MAX is the largest number, not the largest
 * magnitude. */
static double divisor(enum norm norm, const struct tensor *x, int64_t first, int64_t width)
{
    double v[CHUNK_ELEMS], all = norm == NORM_MAX ? -INFINITY : 0;
    for (int64_t i = 0; i < width; i += CHUNK_ELEMS) {
        int64_t n = width - i < CHUNK_ELEMS ? width - i : CHUNK_ELEMS;
        elems_to_f64(x->dtype, x->data, first + i, n, v);
        for (int64_t k = 0; k < n; k++)
            all = norm == NORM_MAX ? (v[k] > all ? v[k] : all) : all + (norm == NORM_L1 ? fabs(v[k]) : v[k] * v[k]);
    }
    return norm == NORM_L2 ? sqrt(all) : all;
}

static int normalizer_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    enum norm norm = norm_of(c->attrs);
    int64_t from, to, width = row_length(x);
    double v[CHUNK_ELEMS];
    rows_of(c, begin, end, &from, &to);
    for (int64_t r = from; r < to; r++) {
        double d = divisor(norm, x, r * width, width);
        for (int64_t i = 0; i < width; i += CHUNK_ELEMS) {
            int64_t n = width - i < CHUNK_ELEMS ? width - i : CHUNK_ELEMS;
            elems_to_f64(x->dtype, x->data, r * width + i, n, v);
            for (int64_t k = 0; k < n && d != 0; k++)
                v[k] /= d;
            elems_from_f64(DTYPE_F32, y->data, r * width + i, n, v);
        }
    }
    return 0;
}

#define FEATURE_ROW(row_name, word)                                                                   \
    {                                                                                                 \
        .domain = "ai.onnx.ml", .name = row_name, .since = 1, .in_min = 1, .in_max = 1, .out_min = 1, \
        .out_max = 1, .flags = OP_PURE | OP_INPLACE0, .attrs = word##_attrs,                          \
        .attrs_size = sizeof(struct attrs_##word), .infer = word##_infer, .tasks = row_tasks,         \
        .run = word##_run                                                                             \
    }

const struct op op_binarizer = FEATURE_ROW("Binarizer", binarizer);
const struct op op_imputer = FEATURE_ROW("Imputer", imputer);
const struct op op_scaler = FEATURE_ROW("Scaler", scaler);
const struct op op_normalizer = FEATURE_ROW("Normalizer", normalizer);
