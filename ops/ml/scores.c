/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/ml/scores.h"

#include <math.h>
#include <string.h>

/* ---- transforms ------------------------------------------------------------------------------ */

int post_find(struct str word, enum post *out, struct err *e)
{
    static const char *const words[POST_COUNT] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO",
                                                  "PROBIT"};
    for (int i = 0; i < POST_COUNT; i++)
        if (word.size == strlen(words[i]) && memcmp(word.data, words[i], word.size) == 0) {
            *out = (enum post)i;
            return 0;
        }
    return err_set(e, ERR_MODEL,
                   "post_transform is '%.*s', not NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT",
                   (int)(word.size < 80 ? word.size : 80), word.size ? word.data : "");
}

static double logistic(double s)
{
    return 1 / (1 + exp(-s));
}

/* The inverse of the normal distribution with the inverse error function of S. Winitzki ("A handy
 * approximation for the error function and its inverse", 2008), which every engine takes here. */
static double probit(double s)
{
    const double a = 0.147, x = 2 * s - 1, l = log((1 - x) * (1 + x)), h = 2 / (M_PI * a) + l / 2;
    return copysign(sqrt(2 * (sqrt(h * h - l / a) - h)), x);
}

static double greatest(const double *s, int64_t n)
{
    double max = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        max = s[i] > max ? s[i] : max;
    return max;
}

/* `zero`: scores of zero stay so. Where all are, ONNX's reference has a half for each. */
static void softmax(double *s, int64_t n, bool zero)
{
    double max = greatest(s, n), sum = 0;
    for (int64_t i = 0; i < n; i++) {
        s[i] = zero && fabs(s[i]) <= 1e-7 ? 0 : exp(s[i] - max);
        sum += s[i];
    }
    for (int64_t i = 0; i < n; i++)
        s[i] = zero && sum == 0 ? 0.5 : s[i] / sum;
}

void post_apply(enum post post, double *s, int64_t n)
{
    if (post == POST_SOFTMAX || post == POST_SOFTMAX_ZERO)
        softmax(s, n, post == POST_SOFTMAX_ZERO);
    for (int64_t i = 0; i < n && post == POST_LOGISTIC; i++)
        s[i] = logistic(s[i]);
    for (int64_t i = 0; i < n && post == POST_PROBIT; i++)
        s[i] = probit(s[i]);
}

void post_pair(enum post post, double s, bool like_probability, double pair[2])
{
    pair[0] = post == POST_PROBIT || (post == POST_NONE && like_probability) ? 1 - s : -s;
    pair[1] = s;
    post_apply(post, pair, 2);
}

/* ---- labels ---------------------------------------------------------------------------------- */

int labels_init(struct labels *l, struct ints ints, struct strs strings, struct err *e)
{
    *l = (struct labels){ints.v, strings.n ? strings.v : NULL, strings.n ? strings.n : ints.n};
    if (ints.n && strings.n)
        return err_set(e, ERR_MODEL,
                       "there are %lld integer labels and %lld strings, expected one kind",
                       (long long)ints.n, (long long)strings.n);
    if (l->n > INT32_MAX)
        return err_set(e, ERR_LIMIT, "%lld labels", (long long)l->n);
    return 0;
}

void labels_binary(struct labels *l)
{
    static const int64_t binary[] = {0, 1};
    *l = (struct labels){binary, NULL, 2};
}

size_t labels_scratch(const struct labels *l, int64_t rows)
{
    size_t winners, copies;
    if (!size_mul((size_t)rows, sizeof(int32_t), &winners) ||
        !size_align(winners, _Alignof(struct str), &winners) ||
        !size_mul(l->strings ? (size_t)l->n : 0, sizeof(struct str), &copies))
        return SIZE_MAX;
    return bytes_add(winners, copies);
}

/* Each label is copied once into the output's buffer, at the first row that it wins. */
static int write_strings(const struct labels *l, struct tensor *y, int64_t rows,
                         const int32_t *winners, struct str *copies, struct err *e)
{
    struct str *to = y->data;
    memset(copies, 0, (size_t)l->n * sizeof *copies);
    for (int64_t i = 0; i < rows; i++) {
        int32_t w = winners[i] < l->n ? winners[i] : 0;
        if (!copies[w].data) {
            int rc = tensor_set_str(y, i, l->strings[w].data, l->strings[w].size, e);
            if (rc < 0)
                return rc;
            copies[w] = to[i];
        }
        to[i] = copies[w];
    }
    return 0;
}

int labels_run(struct call *c, const struct labels *l, int64_t rows, int64_t tasks, task_fn *fn,
               void *arg, struct err *e)
{
    struct tensor *y = call_out(c, 0);
    int32_t *winners = labels_winners(c);
    int rc = rows ? call_tasks(c, tasks, fn, arg, e) : 0;
    if (rc < 0 || !y)
        return rc;
    if (l->strings) {
        size_t bytes = (size_t)rows * sizeof *winners;
        bool fits = size_align(bytes, _Alignof(struct str), &bytes); /* labels_scratch() knew */
        return fits ? write_strings(l, y, rows, winners, (void *)((char *)c->scratch + bytes), e)
                    : err_set(e, ERR_LIMIT, "%lld rows", (long long)rows);
    }
    for (int64_t i = 0; i < rows; i++)
        ((int64_t *)y->data)[i] = l->ints[winners[i]];
    return 0;
}

/* ---- shapes and rows ------------------------------------------------------------------------- */

int scores_infer(struct infer *c, int o, enum dtype dtype, int64_t features, int64_t width,
                 struct err *e)
{
    int64_t dims[2] = {1, width};
    int rank = infer_rank(c, 0);
    if (rank == 0 || rank > 2)
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "the input has rank %d, expected 1 or 2",
                       rank);
    if (rank > 0 && features >= 0 && sym_differ(c->syms, infer_dim(c, 0, rank - 1), features))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                       "the input's rows do not have %lld features", (long long)features);
    if (rank != 1)
        dims[0] = rank < 0 ? infer_fresh(c) : infer_dim(c, 0, 0);
    return infer_set(c, o, dtype, width < 0 ? 1 : 2, dims, e);
}

int classifier_infer(struct infer *c, const struct labels *l, int64_t features, int64_t width,
                     struct err *e)
{
    int rc = infer_dtypes(c, 0, DT_FEATURES, e);
    if (rc == 0)
        rc = scores_infer(c, 0, l->strings ? DTYPE_STRING : DTYPE_I64, features, -1, e);
    return rc < 0 ? rc : scores_infer(c, 1, DTYPE_F32, features, width, e);
}

const void *rows_as(const struct tensor *x, bool f64, int64_t first, int64_t rows, void *scratch)
{
    int64_t width = features_of(x);
    if (x->dtype == (f64 ? DTYPE_F64 : DTYPE_F32))
        return (const char *)x->data + (size_t)(first * width) * dtype_size(x->dtype);
    if (f64)
        elems_to_f64(x->dtype, x->data, first * width, rows * width, scratch);
    else
        elems_to_f32(x->dtype, x->data, first * width, rows * width, scratch);
    return scratch;
}

size_t bytes_of(int64_t n, size_t size)
{
    size_t bytes;
    bool fits = size_mul((size_t)n, size, &bytes) && size_align(bytes, MEM_ALIGN, &bytes);
    return fits ? bytes : SIZE_MAX;
}

size_t bytes_add(size_t a, size_t b)
{
    return size_add(a, b, &a) ? a : SIZE_MAX;
}

/* ---- products -------------------------------------------------------------------------------- */

int projection_init(struct projection *p, const float *w, int64_t n, int64_t k,
                    struct prepare *prepare, struct err *e)
{
    size_t floats, bytes;
    *p = (struct projection){.kernel = gemm_f32_pick(), .n = n, .k = k};
    if (!gemm_f32_packed_b_size(p->kernel, (size_t)k, (size_t)n, &floats) ||
        !size_mul(floats, sizeof(float), &bytes))
        return err_set(e, ERR_LIMIT, "%lld vectors of %lld elements", (long long)n, (long long)k);
    float *packed = prepare->pack_alloc(prepare, bytes, e);
    if (!packed)
        return e ? e->code : ERR_MEMORY;
    gemm_f32_pack_b(p->kernel, w, 1, (size_t)k, (size_t)k, (size_t)n, 0,
                    gemm_f32_panels(p->kernel, (size_t)n), packed);
    p->packed = packed;
    return 0;
}

size_t projection_scratch(const struct projection *p)
{
    return gemm_f32_scratch(p->kernel, (size_t)p->k) * sizeof(float);
}

void projection_run(const struct projection *p, const float *x, int64_t rows, float alpha,
                    const float *bias, float *out, void *scratch)
{
    size_t n = (size_t)p->n, k = (size_t)p->k;
    struct gemm_f32 g = {.kernel = p->kernel, .m = (size_t)rows, .n = n, .k = k, .a = x, .a_row = k,
                         .a_k = 1, .b = p->packed, .b_packed = true, .c = out, .c_row = n,
                         .epilogue = GEMM_EPILOGUE_NONE};
    g.epilogue.alpha = alpha;
    g.epilogue.bias = bias;
    struct gemm_tasks t = gemm_f32_tasks(p->kernel, g.m, n, k);
    for (size_t i = 0; i < t.m_count * t.n_count; i++)
        gemm_f32_run(&g, &t, i / t.n_count, i % t.n_count, scratch);
}
