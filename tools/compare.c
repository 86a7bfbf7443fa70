/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/compare.h"

#include <math.h>
#include <string.h>

#include "core/dtype.h"
#include "tools/inputs.h"

/* Element i of a real or complex tensor: parts are counted as elements of their own. */
struct reader {
    enum dtype dtype;
    size_t size;
    const char *data;
    int64_t n;
};

static struct reader reader_for(const struct infer_value *v)
{
    struct reader r = {(enum dtype)infer_value_type(v), infer_type_size(infer_value_type(v)),
                       infer_value_data(v), infer_value_count(v)};
    if (dtype_kind(r.dtype) == 'C') {
        r.dtype = r.dtype == DTYPE_C64 ? DTYPE_F32 : DTYPE_F64;
        r.size /= 2;
        r.n *= 2;
    }
    return r;
}

static double at(const struct reader *r, int64_t i)
{
    return dtype_load_f64(r->dtype, r->data + (size_t)i * r->size);
}

static int compare_floats(const struct compare *c, const struct reader *got, const struct reader *want,
                          struct err *e)
{
    double rtol = got->dtype == DTYPE_BF16 && c->rtol < 0.015625 ? 0.015625 : c->rtol;
    double largest = 0, worst = 0;
    int64_t worst_at = -1;
    for (int64_t i = 0; c->mode == COMPARE_TENSOR && i < want->n; i++) {
        double w = fabs(at(want, i));
        if (isfinite(w) && w > largest)
            largest = w;
    }
    for (int64_t i = 0; i < want->n; i++) {
        double g = at(got, i), w = at(want, i);
        if (isnan(g) || isnan(w) || isinf(g) || isinf(w)) {
            if ((isnan(g) && isnan(w)) || g == w)
                continue;
            return err_set(e, ERR_COMPARE, "element %lld is %g, expected %g", (long long)i, g, w);
        }
        double over = fabs(g - w) - (c->atol + rtol * (c->mode == COMPARE_TENSOR ? largest : fabs(w)));
        if (over > worst) {
            worst = over;
            worst_at = i;
        }
    }
    if (worst_at < 0)
        return 0;
    return err_set(e, ERR_COMPARE, "element %lld is %.9g, expected %.9g", (long long)worst_at,
                   at(got, worst_at), at(want, worst_at));
}

static int compare_ints(const struct compare *c, const struct reader *got, const struct reader *want,
                        struct err *e)
{
    int64_t slack = got->size <= 2 && got->dtype != DTYPE_BOOL ? c->quantum : 0;
    for (int64_t i = 0; i < want->n; i++) {
        int64_t g = dtype_load_i64(got->dtype, got->data + (size_t)i * got->size);
        int64_t w = dtype_load_i64(want->dtype, want->data + (size_t)i * want->size);
        if (g != w && (slack == 0 || g - w > slack || w - g > slack))
            return err_set(e, ERR_COMPARE, "element %lld is %lld, expected %lld", (long long)i,
                           (long long)g, (long long)w);
    }
    return 0;
}

static int compare_strings(const struct infer_value *got, const struct infer_value *want, struct err *e)
{
    for (int64_t i = 0; i < infer_value_count(want); i++) {
        size_t ng, nw;
        const char *g = infer_value_string(got, i, &ng), *w = infer_value_string(want, i, &nw);
        if (ng != nw || memcmp(g, w, nw) != 0)
            return err_set(e, ERR_COMPARE, "element %lld is '%.*s', expected '%.*s'", (long long)i,
                           (int)(ng < 60 ? ng : 60), g, (int)(nw < 60 ? nw : 60), w);
    }
    return 0;
}

static int compare_tensors(const struct compare *c, const struct infer_value *got,
                           const struct infer_value *want, struct err *e)
{
    int rank = infer_value_rank(want);
    char have[160], need[160];
    if (infer_value_type(got) != infer_value_type(want) || infer_value_rank(got) != rank ||
        memcmp(infer_value_dims(got), infer_value_dims(want), (size_t)rank * sizeof(int64_t)) != 0)
        return err_set(e, ERR_COMPARE, "is %s, expected %s", value_describe(got, have, sizeof(have)),
                       value_describe(want, need, sizeof(need)));
    if (c->mode == COMPARE_SHAPE)
        return 0;
    if (infer_value_type(want) == INFER_STRING)
        return compare_strings(got, want, e);
    struct reader g = reader_for(got), w = reader_for(want);
    return dtype_is_float(g.dtype) ? compare_floats(c, &g, &w, e) : compare_ints(c, &g, &w, e);
}

int compare_values(const struct compare *c, const struct infer_value *got, const struct infer_value *want,
                   struct err *e)
{
    char have[160], need[160];
    enum infer_kind kind = infer_value_kind(want);
    int64_t n = infer_value_count(want);
    if (infer_value_kind(got) != kind || (kind != INFER_TENSOR && infer_value_count(got) != n))
        return err_set(e, ERR_COMPARE, "is %s, expected %s", value_describe(got, have, sizeof(have)),
                       value_describe(want, need, sizeof(need)));
    if (kind == INFER_TENSOR)
        return compare_tensors(c, got, want, e);
    int rc = 0;
    for (int64_t i = 0; i < (kind == INFER_MAP ? 2 : n) && rc == 0; i++) {
        struct infer_error inner = {0};
        struct infer_value *g = infer_value_item(got, i, &inner), *w = infer_value_item(want, i, &inner);
        rc = g && w ? compare_values(c, g, w, e) : from_infer(&inner, e);
        infer_value_free(g);
        infer_value_free(w);
        if (rc < 0)
            err_at(e, rc, "item %lld", (long long)i);
    }
    return rc;
}
