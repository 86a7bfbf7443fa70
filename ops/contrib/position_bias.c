/* SPDX-License-Identifier: Apache-2.0 */
/* RelativePositionBias: a bias for each head and distance, distances in buckets, as T5 has them.
 * GatedRelativePositionBias: such biases times a gate computed from the query.
 */
#include <math.h>
#include <string.h>

#include "ops/common.h"

/* ---- RelativePositionBias -------------------------------------------------------------------- */

struct bias_attrs {
    int64_t max_distance, is_bidirectional;
};

static int bias_infer(struct infer *c, struct err *e)
{
    const struct bias_attrs *a = c->attrs;
    int64_t n, dims[4] = {1, SYM_UNKNOWN, SYM_UNKNOWN, SYM_UNKNOWN};
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r)
        return r;
    if (a->max_distance < 1 || a->max_distance > INT32_MAX)
        return err_set(e, ERR_MODEL, "max_distance is %lld", (long long)a->max_distance);
    if (infer_rank(c, 0) >= 0 && infer_rank(c, 0) != 2)
        return err_set(e, ERR_MODEL, "the table has rank %d, expected 2", infer_rank(c, 0));
    if (infer_rank(c, 0) == 2)
        dims[1] = infer_dim(c, 0, 1);
    for (int i = 1; i < 3; i++) {
        if ((r = infer_dtypes(c, i, DT(I64), e)))
            return r;
        const int64_t *v = infer_elems(c, i, &n);
        if (v && n != 1)
            return err_set(e, ERR_MODEL, "input %d has %lld elements, expected one", i,
                           (long long)n);
        dims[1 + i] = v ? *v : SYM_UNKNOWN;
    }
    if (sym_differ(c->syms, dims[2], dims[3]))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "query and key have different lengths");
    return infer_set(c, 0, infer_dtype(c, 0), 4, dims, e);
}

/* The bucket of a distance: exact for half of them, then by its logarithm; in both directions, half
 * of all serve the keys that come later. */
static int64_t bucket_of(const struct bias_attrs *a, int64_t distance, int64_t buckets)
{
    int64_t first = 0;
    if (a->is_bidirectional) {
        buckets /= 2;
        first = distance > 0 ? buckets : 0;
    }
    distance = distance < 0 ? -distance : distance;
    int64_t exact = buckets / 2;
    if (distance < exact)
        return first + distance;
    float scale =
        logf((float)distance / (float)exact) / logf((float)a->max_distance / (float)exact);
    float more = scale * (float)(buckets - exact);
    int64_t far = more >= 0 && more < (float)buckets ? exact + (int64_t)more : buckets - 1;
    return first + (far < buckets - 1 ? far : buckets - 1);
}

static int64_t bias_tasks(const struct call *c)
{
    const struct tensor *y = call_out(c, 0);
    return tasks_for(y->dims[1] * y->dims[2], y->dims[3] * 4);
}

/* The table lies head by head, though its dims are [buckets, heads]. */
static int bias_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *table = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    int64_t buckets = table->dims[0], n = y->dims[3], rows = y->dims[1] * n, first, last, unused;
    size_t size = dtype_size(y->dtype);
    if (tensor_count(y) == 0)
        return 0;
    if (buckets < (((const struct bias_attrs *)c->attrs)->is_bidirectional ? 4 : 2))
        return err_set(e, ERR_INPUT, "%lld buckets are too few", (long long)buckets);
    task_range(begin, bias_tasks(c), rows, &first, &unused);
    task_range(end - 1, bias_tasks(c), rows, &unused, &last);
    for (int64_t row = first; row < last; row++)
        for (int64_t k = 0; k < n; k++) {
            int64_t at = row / n * buckets + bucket_of(c->attrs, k - row % n, buckets);
            memcpy((char *)y->data + (size_t)(row * n + k) * size,
                   (const char *)table->data + (size_t)at * size, size);
        }
    return 0;
}

static const struct attr bias_attr_rows[] = {
    {"max_distance", ATTR_INT, offsetof(struct bias_attrs, max_distance), .required = true},
    {"is_bidirectional", ATTR_INT, offsetof(struct bias_attrs, is_bidirectional)},
    {NULL},
};

const struct op op_ms_relativepositionbias = {
    .domain = "com.microsoft", .name = "RelativePositionBias", .since = 1,
    .in_min = 3, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE, .host_in = 6,
    .attrs = bias_attr_rows, .attrs_size = sizeof(struct bias_attrs),
    .infer = bias_infer, .tasks = bias_tasks, .run = bias_run,
};

/* ---- GatedRelativePositionBias --------------------------------------------------------------- */

struct gate_attrs {
    int64_t num_heads;
};

enum { IN_QUERY, IN_QUERY_BIAS, IN_BIAS, IN_WEIGHT, IN_GATE_BIAS, IN_ECO, IN_OFFSET };

static int check_dim(struct infer *c, int i, int k, int64_t want, struct err *e)
{
    if (infer_rank(c, i) < 0 || sym_is_unknown(want) ||
        !sym_differ(c->syms, infer_dim(c, i, k), want))
        return 0;
    return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "dim %d of input %d does not fit", k, i);
}

static int gate_infer(struct infer *c, struct err *e)
{
    static const int ranks[] = {3, 1, 4, 2, 1, 4};
    int64_t heads = ((const struct gate_attrs *)c->attrs)->num_heads, hidden = SYM_UNKNOWN;
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (heads < 1 || heads > INT32_MAX)
        return err_set(e, ERR_MODEL, "num_heads is %lld", (long long)heads);
    if (infer_has(c, IN_OFFSET))
        return err_set(e, ERR_UNSUPPORTED, "token_offset is not supported");
    for (int i = 0; i < 6 && r == 0; i++) {
        r = infer_same_dtype(c, 0, i, e);
        if (r == 0 && infer_rank(c, i) >= 0 && infer_rank(c, i) != ranks[i])
            r = err_set(e, ERR_MODEL, "input %d has rank %d, expected %d", i, infer_rank(c, i),
                        ranks[i]);
    }
    if (r)
        return r;
    int64_t dims[4] = {SYM_UNKNOWN, heads, SYM_UNKNOWN, SYM_UNKNOWN};
    if (infer_rank(c, 0) == 3) {
        dims[0] = infer_dim(c, 0, 0);
        dims[2] = dims[3] = infer_dim(c, 0, 1);
        hidden = infer_dim(c, 0, 2);
    }
    if (infer_rank(c, IN_WEIGHT) == 2) {
        int64_t wide = infer_dim(c, IN_WEIGHT, 1);
        if (sym_is_number(wide) && (wide < 2 || wide % 2 != 0))
            return err_set(e, ERR_MODEL, "the gate has %lld columns, an odd number",
                           (long long)wide);
        if ((r = check_dim(c, IN_GATE_BIAS, 0, wide, e)) ||
            (r = check_dim(c, IN_QUERY, 2, sym_mul(c->syms, infer_dim(c, IN_WEIGHT, 0), heads), e)))
            return r;
    }
    if ((r = check_dim(c, IN_QUERY_BIAS, 0, hidden, e)) ||
        (r = check_dim(c, IN_ECO, 1, heads, e)) || (r = check_dim(c, IN_ECO, 0, 1, e)) ||
        (r = check_dim(c, IN_ECO, 2, 1, e)) || (r = check_dim(c, IN_ECO, 3, 1, e)) ||
        (r = check_dim(c, IN_BIAS, 0, 1, e)) || (r = check_dim(c, IN_BIAS, 1, heads, e)) ||
        (r = check_dim(c, IN_BIAS, 2, dims[2], e)) || (r = check_dim(c, IN_BIAS, 3, dims[2], e)))
        return r;
    return infer_set(c, 0, infer_dtype(c, 0), 4, dims, e);
}

static int64_t gate_tasks(const struct call *c)
{
    const struct tensor *y = call_out(c, 0), *w = call_in(c, IN_WEIGHT);
    return tasks_for(dims_product(y->dims, 0, 3), y->dims[3] + tensor_count(w));
}

static double sigmoid(double v)
{
    return 1 / (1 + exp(-v));
}

/* What the biases of one place of the query and one head are multiplied with. */
static double gate_of(const struct call *c, int64_t batch, int64_t head, int64_t place)
{
    const struct tensor *q = call_in(c, IN_QUERY), *w = call_in(c, IN_WEIGHT);
    int64_t size = w->dims[0], wide = w->dims[1],
            at = (batch * q->dims[1] + place) * q->dims[2] + head * size;
    double sum[2] = {0, 0};
    for (int64_t k = 0; k < wide; k++)
        sum[k >= wide / 2] += tensor_float(call_in(c, IN_GATE_BIAS), k);
    for (int64_t i = 0; i < size; i++) {
        double v =
            tensor_float(q, at + i) + tensor_float(call_in(c, IN_QUERY_BIAS), head * size + i);
        for (int64_t k = 0; k < wide; k++)
            sum[k >= wide / 2] += v * tensor_float(w, i * wide + k);
    }
    return sigmoid(sum[0]) * (sigmoid(sum[1]) * tensor_float(call_in(c, IN_ECO), head) - 1) + 2;
}

static int gate_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *bias = call_in(c, IN_BIAS);
    struct tensor *y = call_out(c, 0);
    int64_t n = y->dims[3], heads = y->dims[1], first, last, unused, tasks = gate_tasks(c);
    double v[CHUNK_ELEMS];
    if (tensor_count(y) == 0)
        return 0;
    task_range(begin, tasks, dims_product(y->dims, 0, 3), &first, &unused);
    task_range(end - 1, tasks, dims_product(y->dims, 0, 3), &unused, &last);
    for (int64_t row = first; row < last; row++) {
        double gate = gate_of(c, row / n / heads, row / n % heads, row % n);
        for (int64_t k = 0, m; k < n; k += m) {
            m = n - k < CHUNK_ELEMS ? n - k : CHUNK_ELEMS;
            elems_to_f64(bias->dtype, bias->data, row % (heads * n) * n + k, m, v);
            for (int64_t i = 0; i < m; i++)
                v[i] *= gate;
            elems_from_f64(y->dtype, y->data, row * n + k, m, v);
        }
    }
    return 0;
}

static const struct attr gate_attr_rows[] = {
    {"num_heads", ATTR_INT, offsetof(struct gate_attrs, num_heads), .required = true},
    {NULL},
};

const struct op op_ms_gatedrelativepositionbias = {
    .domain = "com.microsoft", .name = "GatedRelativePositionBias", .since = 1,
    .in_min = 6, .in_max = 7, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = gate_attr_rows, .attrs_size = sizeof(struct gate_attrs),
    .infer = gate_infer, .tasks = gate_tasks, .run = gate_run,
};
