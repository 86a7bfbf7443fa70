/* SPDX-License-Identifier: Apache-2.0 */
/* NonZero: coordinates of what is not zero, one column each, in row-major order. NaN is not zero.
 */
#include "ops/layout.h"

static int nonzero_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0);
    int64_t dims[2];
    int r = infer_dtypes(c, 0, DT_ANY, e);
    if (r)
        return r;
    dims[0] = rank < 0 ? infer_fresh(c) : rank == 0 ? 1 : rank;
    dims[1] = infer_fresh(c);
    return infer_set(c, 0, DTYPE_I64, 2, dims, e);
}

/* The bits of an element that make it other than zero: all of an integer's, all but the sign of a
 * float's. Written as bytes so that any size goes through one loop. */
static uint64_t value_mask(enum dtype t)
{
    switch (t) {
    case DTYPE_F16:
    case DTYPE_BF16:
        return 0x7fff;
    case DTYPE_F32:
        return 0x7fffffff;
    case DTYPE_F64:
        return INT64_MAX;
    case DTYPE_F8E4M3FN:
    case DTYPE_F8E5M2:
        return 0x7f;
    case DTYPE_F4E2M1:
        return 0x07;
    case DTYPE_F6E2M3:
    case DTYPE_F6E3M2:
        return 0x1f;
    default:
        return UINT64_MAX;
    }
}

static inline bool is_set(const struct tensor *x, uint64_t mask, size_t size, int64_t i)
{
    const char *p = (const char *)x->data + (size_t)i * size;
    uint64_t v[2] = {0, 0};
    if (x->dtype == DTYPE_STRING)
        return ((const struct str *)x->data)[i].size > 0;
    if (x->dtype == DTYPE_C64) {
        uint32_t part[2];
        memcpy(part, p, sizeof part);
        return ((part[0] | part[1]) & 0x7fffffff) != 0;
    }
    memcpy(v, p, size);
    if (x->dtype == DTYPE_C128)
        return ((v[0] | v[1]) & INT64_MAX) != 0;
    return (v[0] & mask) != 0;
}

static int nonzero_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    int64_t n = tensor_count(x), count = 0, at[TENSOR_RANK_MAX] = {0};
    size_t size = dtype_size(x->dtype);
    uint64_t mask = value_mask(x->dtype);
    int rank = x->rank ? x->rank : 1;
    for (int64_t i = 0; i < n; i++)
        count += is_set(x, mask, size, i);
    int r = call_output(c, 0, DTYPE_I64, 2, (const int64_t[]){rank, count}, e);
    if (r || !call_out(c, 0))
        return r;
    int64_t *out = call_out(c, 0)->data, k = 0;
    for (int64_t i = 0; i < n; i++) {
        if (is_set(x, mask, size, i)) {
            for (int d = 0; d < rank; d++)
                out[d * count + k] = at[d];
            k++;
        }
        for (int d = x->rank - 1; d >= 0 && ++at[d] == x->dims[d]; d--)
            at[d] = 0;
    }
    return 0;
}

const struct op op_nonzero = {
    .domain = "",
    .name = "NonZero",
    .since = 9,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_DYNAMIC,
    .infer = nonzero_infer,
    .run = nonzero_run,
};
