/* SPDX-License-Identifier: Apache-2.0 */
/* ArrayFeatureExtractor and FeatureVectorizer: columns taken from a table, and tables side by side. */
#include <stddef.h>
#include <string.h>

#include "ops/common.h"

/* ---- ArrayFeatureExtractor ---------------------------------------------------------------------- */

/* A vector's result is a table of one row. */
static int extractor_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX] = {1}, picked = 1;
    int rank = infer_rank(c, 0), rc = infer_dtypes(c, 0, DT(F32) | DT(F64) | DT(I64) | DT(I32) | DT(STRING), e);
    rc = rc ? rc : infer_dtypes(c, 1, DT(I64), e);
    if (rc < 0)
        return rc;
    if (rank == 0)
        return err_set(e, ERR_MODEL, "the input has no axis to take from");
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    for (int k = 0; k < infer_rank(c, 1); k++)
        picked = sym_mul(c->syms, picked, infer_dim(c, 1, k));
    if (infer_rank(c, 1) < 0)
        picked = infer_fresh(c);
    int out = rank < 2 ? 2 : rank;
    if (rank > 1)
        memcpy(dims, c->in[0]->type.dims, (size_t)rank * sizeof *dims);
    dims[out - 1] = picked;
    return infer_set(c, 0, infer_dtype(c, 0), out, dims, e);
}

static int64_t extractor_tasks(const struct call *c)
{
    const struct tensor *y = call_out(c, 0);
    return tasks_for(dims_product(y->dims, 0, y->rank - 1), y->dims[y->rank - 1]);
}

static int extractor_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    const int64_t *indices = call_in(c, 1)->data;
    int64_t width = x->dims[x->rank - 1], picked = y->dims[y->rank - 1], from, to, skip, column;
    int64_t rows = dims_product(y->dims, 0, y->rank - 1), tasks = extractor_tasks(c);
    size_t size = dtype_size(x->dtype);
    task_range(begin, tasks, rows, &from, &skip);
    task_range(end - 1, tasks, rows, &skip, &to);
    for (int64_t k = 0; k < picked; k++) {
        int rc = indices[k] < 0 ? err_set(e, ERR_INPUT, "index %lld is negative", (long long)indices[k])
                                : norm_index(indices[k], width, "index", &column, e);
        if (rc < 0)
            return rc;
    }
    for (int64_t r = from; r < to; r++) {
        const char *in = (const char *)x->data + (size_t)(r * width) * size;
        char *out = (char *)y->data + (size_t)(r * picked) * size;
        for (int64_t k = 0; k < picked; k++)
            memcpy(out + (size_t)k * size, in + (size_t)indices[k] * size, size);
    }
    return 0;
}

/* ---- FeatureVectorizer -------------------------------------------------------------------------- */

struct attrs_vectorizer {
    struct ints inputdimensions;
};

static const struct attr vectorizer_attrs[] = {
    {"inputdimensions", ATTR_INTS, offsetof(struct attrs_vectorizer, inputdimensions)},
    {0},
};

/* The columns that input i gives; without the attribute all that it has. */
static int64_t given_width(const struct attrs_vectorizer *at, int i, int64_t has)
{
    return at->inputdimensions.v ? at->inputdimensions.v[i] : has;
}

static int check_widths(const struct infer *c, struct err *e)
{
    const struct ints *widths = &((const struct attrs_vectorizer *)c->attrs)->inputdimensions;
    int64_t all = 0;
    int rc = ints_length(widths, c->n_in, "inputdimensions", e);
    for (int64_t i = 0; rc == 0 && widths->v && i < widths->n; i++)
        if (widths->v[i] < 0 || __builtin_add_overflow(all, widths->v[i], &all))
            rc = err_set(e, ERR_MODEL, "inputdimensions has %lld", (long long)widths->v[i]);
    return rc || sym_is_number(all) ? rc : err_set(e, ERR_LIMIT, "%lld columns", (long long)all);
}

static int vectorizer_infer(struct infer *c, struct err *e)
{
    int64_t dims[2] = {SYM_UNKNOWN, 0};
    int first = -1, rc = check_widths(c, e);
    for (int i = 0; i < c->n_in && rc == 0; i++) {
        int rank = infer_rank(c, i);
        rc = infer_dtypes(c, i, DT(F32) | DT(F64) | DT(I64) | DT(I32), e);
        if (rc < 0 || rank < 0) {
            dims[1] = sym_add(c->syms, dims[1], given_width(c->attrs, i, SYM_UNKNOWN));
            continue;
        }
        if (rank != 1 && rank != 2)
            return err_set(e, ERR_MODEL, "input %d has rank %d, expected 1 or 2", i, rank);
        int64_t rows = rank == 2 ? infer_dim(c, i, 0) : 1;
        dims[1] = sym_add(c->syms, dims[1], given_width(c->attrs, i, infer_dim(c, i, rank - 1)));
        if (first >= 0 && sym_differ(c->syms, dims[0], rows))
            return err_set(e, ERR_MODEL, "inputs %d and %d have different numbers of rows", first, i);
        dims[0] = first < 0 || sym_is_number(rows) ? rows : dims[0];
        first = first < 0 ? i : first;
    }
    return rc ? rc : infer_set(c, 0, DTYPE_F32, 2, dims, e);
}

static int64_t vectorizer_tasks(const struct call *c)
{
    const struct tensor *y = call_out(c, 0);
    return tasks_for(y->dims[0], y->dims[1]);
}

/* Columns that are missing are zero, those that are too many are left out. */
static int vectorizer_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *y = call_out(c, 0);
    int64_t tasks = vectorizer_tasks(c), from, to, skip;
    float *out = y->data;
    task_range(begin, tasks, y->dims[0], &from, &skip);
    task_range(end - 1, tasks, y->dims[0], &skip, &to);
    memset(out + from * y->dims[1], 0, (size_t)((to - from) * y->dims[1]) * sizeof *out);
    int64_t column = 0;
    for (int i = 0; i < c->n_in; i++) {
        const struct tensor *x = call_in(c, i);
        int64_t has = x->dims[x->rank - 1], width = given_width(c->attrs, i, has);
        for (int64_t r = from; r < to; r++)
            elems_to_f32(x->dtype, x->data, r * has, has < width ? has : width,
                         out + r * y->dims[1] + column);
        column += width;
    }
    return 0;
}

const struct op op_arrayfeatureextractor = {
    .domain = "ai.onnx.ml", .name = "ArrayFeatureExtractor", .since = 1,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1,
    .flags = OP_PURE, .host_in = 2,
    .infer = extractor_infer, .tasks = extractor_tasks, .run = extractor_run,
};

const struct op op_featurevectorizer = {
    .domain = "ai.onnx.ml", .name = "FeatureVectorizer", .since = 1,
    .in_min = 1, .in_max = -1, .out_min = 1, .out_max = 1,
    .flags = OP_PURE,
    .attrs = vectorizer_attrs, .attrs_size = sizeof(struct attrs_vectorizer),
    .infer = vectorizer_infer, .tasks = vectorizer_tasks, .run = vectorizer_run,
};
