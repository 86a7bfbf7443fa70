/* SPDX-License-Identifier: Apache-2.0 */
/* Range: start, start + delta, ... before limit. Floats are computed in double and rounded once. */
#include <math.h>

#include "ops/span.h"

/* Elements of an integer range; -1 if delta is zero. Differences are exact in 128 bits. */
static int64_t count_ints(int64_t start, int64_t limit, int64_t delta)
{
    __int128 distance = (__int128)limit - start, step = delta;
    if (step == 0)
        return -1;
    if (step < 0) {
        distance = -distance;
        step = -step;
    }
    __int128 n = distance <= 0 ? 0 : (distance + step - 1) / step;
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

/* Elements of a float range; -1 if delta is zero or there is no such number. The difference is
 * rounded to f32 for f32 and the 16-bit types, as other engines do, so that counts agree. */
static int64_t count_floats(enum dtype dtype, double start, double limit, double delta)
{
    double distance = dtype == DTYPE_F64 ? limit - start : (double)((float)limit - (float)start);
    double n = ceil(distance / delta);
    if (delta == 0 || isnan(n) || n > 0x1p52)
        return -1;
    return n <= 0 ? 0 : (int64_t)n;
}

/* The symbolic count where delta is a number; SYM_UNKNOWN otherwise. */
static int64_t count_syms(struct syms *s, int64_t start, int64_t limit, int64_t delta)
{
    int64_t distance;
    if (!sym_is_number(delta) || delta == 0 || delta == INT64_MIN)
        return SYM_UNKNOWN;
    distance = delta > 0 ? sym_sub(s, limit, start) : sym_sub(s, start, limit);
    return sym_max(s, sym_ceil_div(s, distance, delta > 0 ? delta : -delta), 0);
}

/* The three inputs as symbolic integers; a delta that is left out is 1. */
static bool int_inputs(struct infer *c, int64_t v[3])
{
    v[2] = 1;
    for (int i = 0; i < 3 && infer_has(c, i); i++) {
        int64_t n;
        const int64_t *elems = infer_elems(c, i, &n);
        if (!elems || n != 1)
            return false;
        v[i] = elems[0];
    }
    return true;
}

static int infer_ints(struct infer *c, enum dtype dtype, struct err *e)
{
    int64_t v[3], n = SYM_UNKNOWN, elems[FACT_ELEMS_MAX];
    bool known = int_inputs(c, v);
    if (known && sym_is_number(v[0]) && sym_is_number(v[1]) && sym_is_number(v[2])) {
        n = count_ints(v[0], v[1], v[2]);
        if (n < 0)
            return err_set(e, ERR_MODEL, "delta is 0");
    } else if (known) {
        n = count_syms(c->syms, v[0], v[1], v[2]);
    }
    if (sym_is_unknown(n))
        n = infer_fresh(c);
    int r = infer_set(c, 0, dtype, 1, &n, e);
    if (r || !known || !sym_is_number(n) || n > FACT_ELEMS_MAX)
        return r;
    for (int64_t i = 0; i < n; i++)
        elems[i] = sym_add(c->syms, v[0], sym_mul(c->syms, i, v[2]));
    infer_set_elems(c, 0, elems, n);
    return 0;
}

static int range_infer(struct infer *c, struct err *e)
{
    enum dtype dtype = infer_dtype(c, 0);
    int r = infer_dtypes(c, 0, DT_FLOATS | DT_SIGNED, e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)) ||
        (infer_has(c, 2) && (r = infer_same_dtype(c, 0, 2, e))))
        return r;
    const struct tensor *t[3] = {NULL};
    bool known = true;
    for (int i = 0; i < 3 && infer_has(c, i); i++) {
        t[i] = infer_data(c, i);
        known &= t[i] != NULL;
        if (t[i] && tensor_count(t[i]) != 1)
            return err_set(e, ERR_MODEL, "input %d has %lld elements, expected one", i,
                           (long long)tensor_count(t[i]));
    }
    if (dtype_is_int(dtype))
        return infer_ints(c, dtype, e);
    double delta = t[2] ? tensor_float(t[2], 0) : 1;
    int64_t n = known ? count_floats(dtype, tensor_float(t[0], 0), tensor_float(t[1], 0),
                                     delta)
                      : infer_fresh(c);
    if (known && n < 0)
        return err_set(e, ERR_MODEL, "no range from %g to %g by %g", tensor_float(t[0], 0),
                       tensor_float(t[1], 0), delta);
    return infer_set(c, 0, dtype, 1, &n, e);
}

static int64_t range_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int range_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *start = call_in(c, 0), *delta = call_in(c, 2);
    struct tensor *out = call_out(c, 0);
    struct span s = span_out(c, begin, end, 1);
    bool ints = dtype_is_int(out->dtype);
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        union {
            int64_t i[CHUNK_ELEMS];
            double f[CHUNK_ELEMS];
        } v;
        if (ints) {
            uint64_t first = (uint64_t)tensor_int(start, 0), step = delta ? (uint64_t)tensor_int(delta, 0) : 1;
            for (int64_t j = 0; j < n; j++)
                v.i[j] = (int64_t)(first + (uint64_t)(i + j) * step);
            elems_from_i64(out->dtype, out->data, i, n, v.i);
        } else {
            double first = tensor_float(start, 0), step = delta ? tensor_float(delta, 0) : 1;
            for (int64_t j = 0; j < n; j++)
                v.f[j] = first + (double)(i + j) * step;
            elems_from_f64(out->dtype, out->data, i, n, v.f);
        }
    }
    return 0;
}

struct range_attrs {
    int64_t stash_type; /* the 16-bit types are computed in more than f32 anyway */
};

static const struct attr range_attr_rows[] = {
    {"stash_type", ATTR_INT, offsetof(struct range_attrs, stash_type), .since = 27, .i = 1},
    {NULL},
};

const struct op op_range = {
    .domain = "", .name = "Range", .since = 11,
    .in_min = 3, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE, .host_in = 7,
    .attrs = range_attr_rows, .attrs_size = sizeof(struct range_attrs),
    .infer = range_infer, .tasks = range_tasks, .run = range_run,
};

const struct op op_ms_range = {
    .domain = "com.microsoft", .name = "Range", .since = 1,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE, .host_in = 7,
    .infer = range_infer, .tasks = range_tasks, .run = range_run,
};
