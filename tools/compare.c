/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/dtype.h"
#include "core/mem.h"
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

/* ---- maps, whose entries have no order -------------------------------------------------------------- */

static int order_keys(const void *a, const void *b, void *arg)
{
    const struct infer_value *keys = arg;
    int64_t i = *(const int64_t *)a, k = *(const int64_t *)b;
    if (infer_value_type(keys) == INFER_STRING) {
        size_t ni, nk;
        const char *x = infer_value_string(keys, i, &ni), *y = infer_value_string(keys, k, &nk);
        int order = memcmp(x, y, ni < nk ? ni : nk);
        if (order || ni != nk)
            return order ? order : ni < nk ? -1 : 1;
    } else {
        struct reader r = reader_for(keys);
        int64_t x = dtype_load_i64(r.dtype, r.data + (size_t)i * r.size);
        int64_t y = dtype_load_i64(r.dtype, r.data + (size_t)k * r.size);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return i < k ? -1 : i > k;
}

/* The elements or items of v in another order. */
static struct infer_value *pick(const struct infer_value *v, const int64_t *order, int64_t n,
                                struct infer_error *e)
{
    bool tensor = infer_value_kind(v) == INFER_TENSOR;
    struct infer_value *out = tensor ? infer_value_new(infer_value_type(v), 1, &n, e) : infer_value_sequence(0, e);
    size_t size = infer_type_size(infer_value_type(v));
    for (int64_t i = 0; out && i < n; i++) {
        int rc = 0;
        if (!tensor) {
            struct infer_value *item = infer_value_item(v, order[i], e);
            rc = item ? infer_value_append(out, item, e) : e->code;
            infer_value_free(item);
        } else if (infer_value_type(v) == INFER_STRING) {
            size_t length;
            const char *s = infer_value_string(v, order[i], &length);
            rc = infer_value_set_string(out, i, s, length, e);
        } else {
            memcpy((char *)infer_value_data(out) + (size_t)i * size,
                   (char *)infer_value_data(v) + (size_t)order[i] * size, size);
        }
        if (rc < 0) {
            infer_value_free(out);
            out = NULL;
        }
    }
    return out;
}

/* The keys and values of a map in order of the keys. */
static int sorted(const struct infer_value *map, struct infer_value *parts[2], struct err *e)
{
    struct infer_error inner = {0};
    int64_t n = infer_value_count(map), *order = mem_calloc(NULL, (size_t)n, sizeof(*order), e);
    bool moved = false;
    if (!order)
        return ERR_MEMORY;
    parts[0] = infer_value_item(map, 0, &inner);
    parts[1] = infer_value_item(map, 1, &inner);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    if (n > 1 && parts[0])
        qsort_r(order, (size_t)n, sizeof(*order), order_keys, parts[0]);
    for (int64_t i = 0; i < n; i++)
        moved |= order[i] != i;
    for (int k = 0; k < 2 && moved && parts[k]; k++) {
        struct infer_value *v = pick(parts[k], order, n, &inner);
        infer_value_free(parts[k]);
        parts[k] = v;
    }
    mem_free(order);
    return parts[0] && parts[1] ? 0 : from_infer(&inner, e);
}

static int compare_maps(const struct compare *c, const struct infer_value *got, const struct infer_value *want,
                        struct err *e)
{
    struct infer_value *g[2] = {NULL, NULL}, *w[2] = {NULL, NULL};
    if (infer_value_count(want) == 0) /* a file does not say what an empty map maps to */
        return 0;
    int rc = sorted(got, g, e);
    rc = rc ? rc : sorted(want, w, e);
    for (int k = 0; k < 2 && rc == 0; k++) {
        rc = compare_values(c, g[k], w[k], e);
        if (rc < 0)
            err_at(e, rc, "%s in order of the keys", k ? "values" : "keys");
    }
    for (int k = 0; k < 2; k++) {
        infer_value_free(g[k]);
        infer_value_free(w[k]);
    }
    return rc;
}

/* ---- values ------------------------------------------------------------------------------------------ */

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
    if (kind == INFER_MAP)
        return compare_maps(c, got, want, e);
    int rc = 0;
    for (int64_t i = 0; i < n && rc == 0; i++) {
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
