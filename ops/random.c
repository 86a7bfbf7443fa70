/* SPDX-License-Identifier: Apache-2.0 */
/* RandomUniform, RandomNormal, their Like forms, Bernoulli and Multinomial. */
#include "ops/random.h"

#include <math.h>
#include <string.h>

#include "ops/span.h"

/* ---- seeds ---------------------------------------------------------------------------------- */

static uint64_t fresh_seed(void)
{
    static atomic_uint_fast64_t calls;
    return random_bits((uint64_t)clock_ns(), atomic_fetch_add(&calls, 1));
}

/* Near seeds must not give shifted sequences: their bits are mixed first. */
uint64_t random_seed(float attribute)
{
    uint32_t bits;
    if (isnan(attribute))
        return fresh_seed();
    memcpy(&bits, &attribute, sizeof bits);
    return random_bits(bits, 0);
}

uint64_t random_seed_int(int64_t attribute)
{
    return attribute == ATTR_ABSENT ? fresh_seed() : random_bits((uint64_t)attribute, 0);
}

/* ---- uniform and normal --------------------------------------------------------------------- */

struct random_attrs {
    int64_t dtype;
    struct ints shape;
    float seed, a, b; /* low and high; mean and scale */
};

/* The dtype of the attribute, or the input's; it must be in `mask`. */
static int output_dtype(const struct infer *c, int64_t attribute, uint32_t mask, enum dtype *out,
                        struct err *e)
{
    int64_t dtype = attribute == ATTR_ABSENT ? (int64_t)infer_dtype(c, 0) : attribute;
    if (!dtype_valid(dtype))
        return err_set(e, ERR_MODEL, "dtype %lld is not a type", (long long)dtype);
    *out = (enum dtype)dtype;
    if (!(DTYPE_BIT(dtype) & mask))
        return err_set(e, ERR_MODEL, "cannot make elements of dtype %s", dtype_name(*out));
    return 0;
}

static int random_infer(struct infer *c, struct err *e)
{
    const struct random_attrs *a = c->attrs;
    enum dtype dtype = DTYPE_F32;
    int r = output_dtype(c, a->dtype, DT_FLOATS, &dtype, e);
    if (r)
        return r;
    if (a->shape.n > TENSOR_RANK_MAX)
        return err_set(e, ERR_MODEL, "shape has %lld dims, at most %d are supported",
                       (long long)a->shape.n, TENSOR_RANK_MAX);
    return infer_set(c, 0, dtype, (int)a->shape.n, a->shape.v, e);
}

static int random_like_infer(struct infer *c, struct err *e)
{
    const struct random_attrs *a = c->attrs;
    enum dtype dtype = DTYPE_F32;
    int r = output_dtype(c, a->dtype, DT_FLOATS, &dtype, e);
    if (r)
        return r;
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, dtype, e);
    return infer_like(c, 0, 0, dtype, e);
}

enum { RANDOM_COST = 8 };

static int64_t random_tasks(const struct call *c)
{
    return span_tasks(c, RANDOM_COST);
}

static double draw_uniform(const struct random_attrs *a, uint64_t seed, int64_t i)
{
    return a->a + (a->b - a->a) * (double)random_uniform_f32(seed, (uint64_t)i);
}

/* Box and Muller (1958): of each pair of uniform numbers one normal one. */
static double draw_normal(const struct random_attrs *a, uint64_t seed, int64_t i)
{
    double u = 1 - random_uniform(seed, 2 * (uint64_t)i); /* in (0, 1] */
    double v = random_uniform(seed, 2 * (uint64_t)i + 1);
    return a->a + a->b * sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static int random_fill(struct call *c, int64_t begin, int64_t end,
                       double (*draw)(const struct random_attrs *, uint64_t, int64_t))
{
    const struct random_attrs *a = c->attrs;
    struct tensor *out = call_out(c, 0);
    struct span s = span_out(c, begin, end, RANDOM_COST);
    uint64_t seed = random_seed(a->seed);
    double v[CHUNK_ELEMS];
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        for (int64_t j = 0; j < n; j++)
            v[j] = draw(a, seed, i + j);
        elems_from_f64(out->dtype, out->data, i, n, v);
    }
    return 0;
}

static int uniform_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return random_fill(c, begin, end, draw_uniform);
}

static int normal_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return random_fill(c, begin, end, draw_normal);
}

#define AT(field) offsetof(struct random_attrs, field)

static const struct attr uniform_attr_rows[] = {
    {"dtype", ATTR_INT, AT(dtype), .i = DTYPE_F32},
    {"shape", ATTR_INTS, AT(shape), .required = true},
    {"seed", ATTR_FLOAT, AT(seed), .f = NAN},
    {"low", ATTR_FLOAT, AT(a)},
    {"high", ATTR_FLOAT, AT(b), .f = 1},
    {NULL},
};
static const struct attr normal_attr_rows[] = {
    {"dtype", ATTR_INT, AT(dtype), .i = DTYPE_F32},
    {"shape", ATTR_INTS, AT(shape), .required = true},
    {"seed", ATTR_FLOAT, AT(seed), .f = NAN},
    {"mean", ATTR_FLOAT, AT(a)},
    {"scale", ATTR_FLOAT, AT(b), .f = 1},
    {NULL},
};
static const struct attr uniform_like_attr_rows[] = {
    {"dtype", ATTR_INT, AT(dtype), .i = ATTR_ABSENT},
    {"seed", ATTR_FLOAT, AT(seed), .f = NAN},
    {"low", ATTR_FLOAT, AT(a)},
    {"high", ATTR_FLOAT, AT(b), .f = 1},
    {NULL},
};
static const struct attr normal_like_attr_rows[] = {
    {"dtype", ATTR_INT, AT(dtype), .i = ATTR_ABSENT},
    {"seed", ATTR_FLOAT, AT(seed), .f = NAN},
    {"mean", ATTR_FLOAT, AT(a)},
    {"scale", ATTR_FLOAT, AT(b), .f = 1},
    {NULL},
};

const struct op op_randomuniform = {
    .domain = "", .name = "RandomUniform", .since = 1,
    .out_min = 1, .out_max = 1,
    .attrs = uniform_attr_rows, .attrs_size = sizeof(struct random_attrs),
    .infer = random_infer, .tasks = random_tasks, .run = uniform_run,
};

const struct op op_randomnormal = {
    .domain = "", .name = "RandomNormal", .since = 1,
    .out_min = 1, .out_max = 1,
    .attrs = normal_attr_rows, .attrs_size = sizeof(struct random_attrs),
    .infer = random_infer, .tasks = random_tasks, .run = normal_run,
};

const struct op op_randomuniformlike = {
    .domain = "", .name = "RandomUniformLike", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_SHAPE_ONLY,
    .attrs = uniform_like_attr_rows, .attrs_size = sizeof(struct random_attrs),
    .infer = random_like_infer, .tasks = random_tasks, .run = uniform_run,
};

const struct op op_randomnormallike = {
    .domain = "", .name = "RandomNormalLike", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1, .flags = OP_SHAPE_ONLY,
    .attrs = normal_like_attr_rows, .attrs_size = sizeof(struct random_attrs),
    .infer = random_like_infer, .tasks = random_tasks, .run = normal_run,
};

/* ---- Bernoulli ------------------------------------------------------------------------------ */

struct bernoulli_attrs {
    int64_t dtype;
    float seed;
};

static int bernoulli_infer(struct infer *c, struct err *e)
{
    const struct bernoulli_attrs *a = c->attrs;
    enum dtype dtype = DTYPE_F32;
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = output_dtype(c, a->dtype, DT_NUMERIC | DT(BOOL), &dtype, e)))
        return r;
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, dtype, e);
    return infer_like(c, 0, 0, dtype, e);
}

static int bernoulli_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct bernoulli_attrs *a = c->attrs;
    const struct tensor *in = call_in(c, 0);
    struct tensor *out = call_out(c, 0);
    struct span s = span_out(c, begin, end, RANDOM_COST);
    uint64_t seed = random_seed(a->seed);
    double p[CHUNK_ELEMS];
    int64_t drawn[CHUNK_ELEMS];
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        elems_to_f64(in->dtype, in->data, i, n, p);
        for (int64_t j = 0; j < n; j++)
            drawn[j] = random_uniform(seed, (uint64_t)(i + j)) < p[j];
        elems_from_i64(out->dtype, out->data, i, n, drawn);
    }
    return 0;
}

static const struct attr bernoulli_attr_rows[] = {
    {"dtype", ATTR_INT, offsetof(struct bernoulli_attrs, dtype), .i = ATTR_ABSENT},
    {"seed", ATTR_FLOAT, offsetof(struct bernoulli_attrs, seed), .f = NAN},
    {NULL},
};

const struct op op_bernoulli = {
    .domain = "", .name = "Bernoulli", .since = 15,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .attrs = bernoulli_attr_rows, .attrs_size = sizeof(struct bernoulli_attrs),
    .infer = bernoulli_infer, .tasks = random_tasks, .run = bernoulli_run,
};

/* ---- Multinomial ---------------------------------------------------------------------------- */

struct multinomial_attrs {
    int64_t dtype, sample_size;
    float seed;
};

static int multinomial_infer(struct infer *c, struct err *e)
{
    const struct multinomial_attrs *a = c->attrs;
    enum dtype dtype = DTYPE_I32;
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = output_dtype(c, a->dtype, DT(I32) | DT(I64), &dtype, e)))
        return r;
    int rank = infer_rank(c, 0);
    if (rank >= 0 && rank != 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 2", rank);
    if (a->sample_size < 0)
        return err_set(e, ERR_MODEL, "sample_size is %lld", (long long)a->sample_size);
    int64_t dims[2] = {rank < 0 ? infer_fresh(c) : infer_dim(c, 0, 0), a->sample_size};
    return infer_set(c, 0, dtype, 2, dims, e);
}

static size_t multinomial_scratch(const struct call *c, size_t *per_member)
{
    /* A row is at most four times as wide as in the input, if there is any row. */
    const struct tensor *in = call_in(c, 0);
    *per_member = in->dims[0] == 0 ? 0 : (size_t)in->dims[1] * sizeof(double);
    return 0;
}

static int64_t multinomial_tasks(const struct call *c)
{
    const struct tensor *in = call_in(c, 0);
    int64_t cost = in->dims[1] < INT32_MAX ? in->dims[1] * RANDOM_COST : INT32_MAX;
    return tasks_for(in->dims[0], cost + 1);
}

/* Running sums of exp(x - max) over the classes of one row. */
static void row_sums(const struct tensor *in, int64_t row, int64_t n, double *sums)
{
    double top = -INFINITY, sum = 0;
    elems_to_f64(in->dtype, in->data, row * n, n, sums);
    for (int64_t i = 0; i < n; i++)
        top = sums[i] > top ? sums[i] : top;
    for (int64_t i = 0; i < n; i++) {
        sum += isinf(top) ? sums[i] == top : exp(sums[i] - top);
        sums[i] = sum;
    }
}

/* The first class whose running sum is above x. */
static int64_t row_find(const double *sums, int64_t n, double x)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (sums[mid] > x)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static int multinomial_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct multinomial_attrs *a = c->attrs;
    const struct tensor *in = call_in(c, 0);
    struct tensor *out = call_out(c, 0);
    int64_t classes = in->dims[1], samples = out->dims[1];
    struct span s = span_of(begin, end, multinomial_tasks(c), in->dims[0]);
    uint64_t seed = random_seed(a->seed);
    double *sums = call_member_scratch(c, member);
    if (classes == 0 && samples > 0 && s.first < s.last)
        return err_set(e, ERR_INPUT, "there are no classes to draw from");
    for (int64_t row = s.first; row < s.last; row++) {
        row_sums(in, row, classes, sums);
        for (int64_t j = 0; j < samples; j++) {
            double x = random_uniform(seed, (uint64_t)(row * samples + j)) * sums[classes - 1];
            dtype_store_i64(out->dtype, tensor_at(out, row * samples + j),
                            row_find(sums, classes, x));
        }
    }
    return 0;
}

static const struct attr multinomial_attr_rows[] = {
    {"dtype", ATTR_INT, offsetof(struct multinomial_attrs, dtype), .i = DTYPE_I32},
    {"sample_size", ATTR_INT, offsetof(struct multinomial_attrs, sample_size), .i = 1},
    {"seed", ATTR_FLOAT, offsetof(struct multinomial_attrs, seed), .f = NAN},
    {NULL},
};

const struct op op_multinomial = {
    .domain = "", .name = "Multinomial", .since = 7,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .attrs = multinomial_attr_rows, .attrs_size = sizeof(struct multinomial_attrs),
    .infer = multinomial_infer, .scratch = multinomial_scratch, .tasks = multinomial_tasks,
    .run = multinomial_run,
};
