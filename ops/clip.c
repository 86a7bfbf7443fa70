/* SPDX-License-Identifier: Apache-2.0 */
/* Clip: min(max(x, lo), hi); hi wins where lo > hi, NaN stays. */
#include <math.h>

#include "kernels/unary.h"
#include "ops/pair.h"

static int clip_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_NUMERIC, e);
    for (int i = 1; i <= 2 && !r; i++) {
        if (!infer_has(c, i))
            continue;
        r = infer_same_dtype(c, 0, i, e);
        if (!r && infer_data(c, i) && tensor_count(infer_data(c, i)) != 1)
            return err_set(e, ERR_MODEL, "input %d has %lld elements, expected one", i,
                           (long long)tensor_count(infer_data(c, i)));
    }
    if (r)
        return r;
    if (infer_rank(c, 0) < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    return infer_like(c, 0, 0, infer_dtype(c, 0), e);
}

static int64_t clip_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

#define CHUNK_FN(name, type)                                                                       \
    static void name(type *v, int64_t n, type lo, type hi)                                         \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type x = v[i] < lo ? lo : v[i];                                                        \
            v[i] = x > hi ? hi : x;                                                                \
        }                                                                                          \
    }
CHUNK_FN(clip_i64, int64_t)
CHUNK_FN(clip_u64, uint64_t)

/* The integer bounds; u64 as the bits of int64. */
static void clip_ints(const struct tensor *in, struct tensor *out, const struct tensor *lo,
                      const struct tensor *hi, struct span s)
{
    bool is_u64 = in->dtype == DTYPE_U64;
    int64_t low = lo ? tensor_int(lo, 0) : is_u64 ? 0 : INT64_MIN;
    int64_t high = hi ? tensor_int(hi, 0) : is_u64 ? -1 : INT64_MAX;
    union {
        int64_t i[CHUNK_ELEMS];
        uint64_t u[CHUNK_ELEMS];
    } v;
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        elems_to_i64(in->dtype, in->data, i, n, v.i);
        if (is_u64)
            clip_u64(v.u, n, (uint64_t)low, (uint64_t)high);
        else
            clip_i64(v.i, n, low, high);
        elems_from_i64(out->dtype, out->data, i, n, v.i);
    }
}

static void clip_floats(const struct tensor *in, struct tensor *out, const double bounds[2],
                        struct span s)
{
    float bounds_f32[2] = {(float)bounds[0], (float)bounds[1]}, v[CHUNK_ELEMS];
    unary_f32_fn *fn = unary_f32_pick(UNARY_CLIP);
    if (in->dtype == DTYPE_F64) {
        unary_f64_pick(UNARY_CLIP)(tensor_at(in, s.first), tensor_at(out, s.first),
                                   (size_t)(s.last - s.first), bounds);
        return;
    }
    if (in->dtype == DTYPE_F32) {
        fn(tensor_at(in, s.first), tensor_at(out, s.first), (size_t)(s.last - s.first), bounds_f32);
        return;
    }
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        elems_to_f32(in->dtype, in->data, i, n, v);
        fn(v, v, (size_t)n, bounds_f32);
        elems_from_f32(out->dtype, out->data, i, n, v);
    }
}

static int clip_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *in = call_in(c, 0), *lo = call_in(c, 1), *hi = call_in(c, 2);
    struct span s = span_out(c, begin, end, 1);
    if ((lo && tensor_count(lo) != 1) || (hi && tensor_count(hi) != 1))
        return err_set(e, ERR_INPUT, "min and max must have one element each");
    if (s.first >= s.last)
        return 0;
    if (dtype_is_int(in->dtype)) {
        clip_ints(in, call_out(c, 0), lo, hi, s);
    } else {
        double bounds[2] = {lo ? tensor_float(lo, 0) : -INFINITY,
                            hi ? tensor_float(hi, 0) : INFINITY};
        clip_floats(in, call_out(c, 0), bounds, s);
    }
    return 0;
}

/* Inputs since 11. */
static const struct attr clip_attr_rows[] = {
    {"min", ATTR_FLOAT, .until = 10, .input = 1, .as_in0 = true},
    {"max", ATTR_FLOAT, .until = 10, .input = 2, .as_in0 = true},
    {"consumed_inputs", ATTR_INTS, .until = 5, .ignore = true},
    {NULL},
};

const struct op op_clip = {
    .domain = "", .name = "Clip", .since = 1,
    .in_min = 1, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_INPLACE0,
    .host_in = 6,
    .attrs = clip_attr_rows,
    .infer = clip_infer, .tasks = clip_tasks, .run = clip_run,
    .kernels = "broadcast unary",
};
