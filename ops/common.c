/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/common.h"

#include <string.h>

#include "kernels/cast.h"

/* ---- tasks ----------------------------------------------------------------------------------- */

int64_t tasks_for(int64_t n, int64_t cost)
{
    int64_t work;
    if (n <= 1 || cost < 1)
        return 1;
    if (__builtin_mul_overflow(n, cost, &work))
        work = INT64_MAX;
    int64_t tasks = work / TASK_ELEMS + (work % TASK_ELEMS != 0);
    return tasks < n ? tasks : n;
}

/* ---- parts of scratch ------------------------------------------------------------------------ */

void *parts_take(struct parts *p, size_t n, size_t size)
{
    size_t bytes, aligned, end;
    if (!size_mul(n, size, &bytes) || !size_align(bytes, MEM_ALIGN, &aligned) ||
        !size_add(aligned, GUARD_BYTES, &aligned) || !size_add(p->bytes, aligned, &end)) {
        p->bytes = SIZE_MAX;
        return NULL;
    }
    char *at = p->base ? p->base + p->bytes : NULL;
    p->bytes = end;
    if (GUARD_BYTES && at)
        guards_add(p->guards, at + bytes, aligned - bytes);
    return at;
}

/* ---- dtypes ---------------------------------------------------------------------------------- */

/* The types that C has: X(dtype, C type, least and largest as int64_t). u64 is apart. */
#define C_INTS(X)                                                                                  \
    X(DTYPE_I8, int8_t, INT8_MIN, INT8_MAX)                                                        \
    X(DTYPE_U8, uint8_t, 0, UINT8_MAX)                                                             \
    X(DTYPE_I16, int16_t, INT16_MIN, INT16_MAX)                                                    \
    X(DTYPE_U16, uint16_t, 0, UINT16_MAX)                                                          \
    X(DTYPE_I32, int32_t, INT32_MIN, INT32_MAX)                                                    \
    X(DTYPE_U32, uint32_t, 0, UINT32_MAX)                                                          \
    X(DTYPE_U4, uint8_t, 0, 15)                                                                    \
    X(DTYPE_I4, int8_t, -8, 7)                                                                     \
    X(DTYPE_U2, uint8_t, 0, 3)                                                                     \
    X(DTYPE_I2, int8_t, -2, 1)

static const char *at(enum dtype t, const void *p, int64_t i)
{
    return (const char *)p + (size_t)i * dtype_size(t);
}

/* Where double lies above every int64_t or uint64_t. */
static const double two63 = 9223372036854775808.0, two64 = 18446744073709551616.0;

/* Truncated and held within [low, high]; NaN is 0. */
static int64_t truncate_f64(double v, int64_t low, int64_t high)
{
    if (v != v)
        return 0;
    if (v >= two63)
        return high;
    if (v <= -two63)
        return low;
    int64_t i = (int64_t)v;
    return i < low ? low : i > high ? high : i;
}

static uint64_t truncate_u64(double v)
{
    if (!(v > 0))
        return 0;
    return v >= two64 ? UINT64_MAX : (uint64_t)v;
}

/* The kernel that widens a type to f32; -1 where there is none. */
static int cast_to_f32(enum dtype t)
{
    switch (t) {
    case DTYPE_F16:
        return CAST_F16_F32;
    case DTYPE_BF16:
        return CAST_BF16_F32;
    case DTYPE_I32:
        return CAST_I32_F32;
    case DTYPE_I64:
        return CAST_I64_F32;
    case DTYPE_U8:
        return CAST_U8_F32;
    case DTYPE_I8:
        return CAST_I8_F32;
    default:
        return -1;
    }
}

void elems_to_f32(enum dtype t, const void *p, int64_t first, int64_t n, float *out)
{
    const char *in = at(t, p, first);
    size_t size = dtype_size(t);
    int cast = cast_to_f32(t);
    if (cast >= 0 && n > 0) {
        cast_pick((enum cast_op)cast)(in, out, (size_t)n);
        return;
    }
    switch (t) {
    case DTYPE_F32:
        if (n > 0)
            memcpy(out, in, (size_t)n * sizeof *out);
        break;
#define X(word, type, low, high)                                                                   \
    case word:                                                                                     \
        for (int64_t i = 0; i < n; i++)                                                            \
            out[i] = (float)((const type *)in)[i];                                                 \
        break;
        C_INTS(X)
        X(DTYPE_I64, int64_t, , )
        X(DTYPE_U64, uint64_t, , )
        X(DTYPE_F64, double, , )
#undef X
    default:
        for (int64_t i = 0; i < n; i++)
            out[i] = (float)dtype_load_f64(t, in + (size_t)i * size);
    }
}

void elems_from_f32(enum dtype t, void *p, int64_t first, int64_t n, const float *in)
{
    char *out = (char *)at(t, p, first);
    size_t size = dtype_size(t);
    switch (t) {
    case DTYPE_F32:
        if (n > 0)
            memcpy(out, in, (size_t)n * sizeof *in);
        break;
    case DTYPE_F64:
        for (int64_t i = 0; i < n; i++)
            ((double *)out)[i] = in[i];
        break;
    case DTYPE_F16:
        cast_pick(CAST_F32_F16)(in, out, (size_t)n);
        break;
    case DTYPE_BF16:
        cast_pick(CAST_F32_BF16)(in, out, (size_t)n);
        break;
    case DTYPE_BOOL:
        for (int64_t i = 0; i < n; i++)
            out[i] = in[i] != 0;
        break;
#define X(word, type, low, high)                                                                   \
    case word:                                                                                     \
        for (int64_t i = 0; i < n; i++)                                                            \
            ((type *)out)[i] = (type)truncate_f64(in[i], low, high);                               \
        break;
        C_INTS(X)
        X(DTYPE_I64, int64_t, INT64_MIN, INT64_MAX)
#undef X
    case DTYPE_U64:
        for (int64_t i = 0; i < n; i++)
            ((uint64_t *)out)[i] = truncate_u64(in[i]);
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            dtype_store_f64(t, out + (size_t)i * size, in[i]);
    }
}

void elems_to_f64(enum dtype t, const void *p, int64_t first, int64_t n, double *out)
{
    const char *in = at(t, p, first);
    size_t size = dtype_size(t);
    switch (t) {
    case DTYPE_F64:
        if (n > 0)
            memcpy(out, in, (size_t)n * sizeof *out);
        break;
    case DTYPE_F16:
        for (int64_t i = 0; i < n; i++)
            out[i] = cast_f16_to_f32(((const uint16_t *)in)[i]);
        break;
    case DTYPE_BF16:
        for (int64_t i = 0; i < n; i++)
            out[i] = cast_bf16_to_f32(((const uint16_t *)in)[i]);
        break;
#define X(word, type, low, high)                                                                   \
    case word:                                                                                     \
        for (int64_t i = 0; i < n; i++)                                                            \
            out[i] = (double)((const type *)in)[i];                                                \
        break;
        C_INTS(X)
        X(DTYPE_I64, int64_t, , )
        X(DTYPE_U64, uint64_t, , )
        X(DTYPE_F32, float, , )
#undef X
    default:
        for (int64_t i = 0; i < n; i++)
            out[i] = dtype_load_f64(t, in + (size_t)i * size);
    }
}

void elems_from_f64(enum dtype t, void *p, int64_t first, int64_t n, const double *in)
{
    char *out = (char *)at(t, p, first);
    size_t size = dtype_size(t);
    switch (t) {
    case DTYPE_F64:
        if (n > 0)
            memcpy(out, in, (size_t)n * sizeof *in);
        break;
    case DTYPE_F32:
        for (int64_t i = 0; i < n; i++)
            ((float *)out)[i] = (float)in[i];
        break;
    case DTYPE_BOOL:
        for (int64_t i = 0; i < n; i++)
            out[i] = in[i] != 0;
        break;
#define X(word, type, low, high)                                                                   \
    case word:                                                                                     \
        for (int64_t i = 0; i < n; i++)                                                            \
            ((type *)out)[i] = (type)truncate_f64(in[i], low, high);                               \
        break;
        C_INTS(X)
        X(DTYPE_I64, int64_t, INT64_MIN, INT64_MAX)
#undef X
    case DTYPE_U64:
        for (int64_t i = 0; i < n; i++)
            ((uint64_t *)out)[i] = truncate_u64(in[i]);
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            dtype_store_f64(t, out + (size_t)i * size, in[i]);
    }
}

void elems_to_i64(enum dtype t, const void *p, int64_t first, int64_t n, int64_t *out)
{
    const char *in = at(t, p, first);
    size_t size = dtype_size(t);
    switch (t) {
    case DTYPE_I64:
    case DTYPE_U64:
        if (n > 0)
            memcpy(out, in, (size_t)n * sizeof *out);
        break;
    case DTYPE_BOOL:
        for (int64_t i = 0; i < n; i++)
            out[i] = in[i] != 0;
        break;
#define X(word, type, low, high)                                                                   \
    case word:                                                                                     \
        for (int64_t i = 0; i < n; i++)                                                            \
            out[i] = ((const type *)in)[i];                                                        \
        break;
        C_INTS(X)
#undef X
    default:
        for (int64_t i = 0; i < n; i++)
            out[i] = truncate_f64(dtype_load_f64(t, in + (size_t)i * size), INT64_MIN, INT64_MAX);
    }
}

/* To a double that rounds on, to few bits, as the integer itself would: what does not fit in 53
 * bits is rounded to odd. */
static double to_odd_f64(int64_t v)
{
    if (v > -(INT64_C(1) << 53) && v < INT64_C(1) << 53)
        return (double)v;
    return (double)(v & 2047 ? (v & ~INT64_C(2047)) | 2048 : v);
}

void elems_from_i64(enum dtype t, void *p, int64_t first, int64_t n, const int64_t *in)
{
    char *out = (char *)at(t, p, first);
    size_t size = dtype_size(t);
    switch (t) {
    case DTYPE_I64:
    case DTYPE_U64:
        if (n > 0)
            memcpy(out, in, (size_t)n * sizeof *in);
        break;
    case DTYPE_BOOL:
        for (int64_t i = 0; i < n; i++)
            out[i] = in[i] != 0;
        break;
#define X(word, type)                                                                              \
    case word:                                                                                     \
        for (int64_t i = 0; i < n; i++)                                                            \
            ((type *)out)[i] = (type)in[i];                                                        \
        break;
        X(DTYPE_I8, int8_t)
        X(DTYPE_U8, uint8_t)
        X(DTYPE_I16, int16_t)
        X(DTYPE_U16, uint16_t)
        X(DTYPE_I32, int32_t)
        X(DTYPE_U32, uint32_t)
        X(DTYPE_F32, float)
        X(DTYPE_F64, double)
#undef X
    case DTYPE_I4:
    case DTYPE_U4:
    case DTYPE_I2:
    case DTYPE_U2:
        for (int64_t i = 0; i < n; i++)
            dtype_store_i64(t, out + i, in[i]);
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            dtype_store_f64(t, out + (size_t)i * size, to_odd_f64(in[i]));
    }
}

int64_t tensor_int(const struct tensor *t, int64_t i)
{
    int64_t v;
    elems_to_i64(t->dtype, t->data, i, 1, &v);
    return v;
}

double tensor_float(const struct tensor *t, int64_t i)
{
    double v;
    elems_to_f64(t->dtype, t->data, i, 1, &v);
    return v;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

int norm_index(int64_t i, int64_t n, const char *what, int64_t *out, struct err *e)
{
    if (i < -n || i >= n)
        return err_set(e, ERR_INPUT, "%s %lld is outside [%lld, %lld)", what, (long long)i,
                       (long long)-n, (long long)n);
    *out = i < 0 ? i + n : i;
    return 0;
}

void dims_strides(const int64_t *dims, int rank, int64_t *strides)
{
    int64_t step = 1;
    for (int k = rank - 1; k >= 0; k--) {
        strides[k] = step;
        /* A tensor without elements may have dims of any product. */
        if (__builtin_mul_overflow(step, dims[k], &step))
            step = 0;
    }
}

void broadcast_strides(const struct tensor *t, int rank, int64_t *strides)
{
    int64_t own[TENSOR_RANK_MAX];
    int missing = rank - t->rank;
    dims_strides(t->dims, t->rank, own);
    for (int k = 0; k < rank; k++)
        strides[k] = k < missing || t->dims[k - missing] == 1 ? 0 : own[k - missing];
}

int ints_length(const struct ints *a, int64_t n, const char *name, struct err *e)
{
    if (!a->v || a->n == n)
        return 0;
    return err_set(e, ERR_MODEL, "attribute %s has %lld numbers, not %lld", name, (long long)a->n,
                   (long long)n);
}
