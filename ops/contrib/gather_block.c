/* SPDX-License-Identifier: Apache-2.0 */
/* GatherBlockQuantized: rows of a block-quantised table, widened as they are picked. uint8 data
 * of 2 or 4 bits hold several elements a byte along the last axis, low bits first, and so do
 * their zero points; all dims here are those of elements. An index out of range picks zeros, as
 * the operator's text has it.
 */
#include <string.h>

#include "ops/layout.h"
#include "ops/span.h"

#define DT_CODES (DT(I4) | DT(U4) | DT(U8))
#define DT_NARROW_FLOATS (DT_FLOAT8S | DT(F4E2M1))

enum { BLOCK_MIN = 16 };

struct attrs_gather_block {
    int64_t bits, block, quantize_axis, gather_axis;
};

/* Elements a byte. */
static int64_t packed_in(enum dtype t, const struct attrs_gather_block *a)
{
    return t == DTYPE_U8 ? 8 / a->bits : 1;
}

/* ---- inference ------------------------------------------------------------------------------- */

static int check_attrs(const struct attrs_gather_block *a, enum dtype t, struct err *e)
{
    bool floats = !(DT_CODES & DTYPE_BIT(t));
    if (!(a->block == 0 && floats) &&
        (a->block < BLOCK_MIN || (a->block & (a->block - 1)) || a->block > INT32_MAX))
        return err_set(e, ERR_MODEL, "block_size is %lld", (long long)a->block);
    if (floats || a->bits == 4 || (t == DTYPE_U8 && (a->bits == 2 || a->bits == 8)))
        return 0;
    return err_set(e, ERR_MODEL, "%lld bits in data of type %s", (long long)a->bits, dtype_name(t));
}

/* Blocks along a dim of this many elements. */
static int64_t blocks_of(struct infer *c, int64_t d, int64_t block)
{
    if (block == 0)
        return 1;
    return sym_ceil_div(c->syms, d, block);
}

static int check_scales(struct infer *c, const int64_t *dims, int axis, int64_t each,
                        struct err *e)
{
    const struct attrs_gather_block *a = c->attrs;
    bool floats = !(DT_CODES & DTYPE_BIT(infer_dtype(c, 0)));
    int rank = infer_rank(c, 0);
    for (int i = 2; i < 4; i++) {
        if (infer_rank(c, i) < 0)
            continue;
        if (infer_rank(c, i) != rank)
            return err_set(e, ERR_MODEL, "%s of rank %d for data of rank %d",
                           i == 2 ? "scales" : "zero points", infer_rank(c, i), rank);
        for (int k = 0; k < rank; k++) {
            int64_t want = k == axis ? blocks_of(c, dims[k], a->block) : dims[k];
            if (floats && k != axis && infer_dim(c, i, k) == 1)
                continue;
            if (i == 3 && k == axis && each > 1)
                want = sym_ceil_div(c->syms, want, each);
            if (sym_differ(c->syms, infer_dim(c, i, k), want))
                return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                               "dim %d of the %s does not fit the data", k,
                               i == 2 ? "scales" : "zero points");
        }
    }
    return 0;
}

static int gather_infer(struct infer *c, struct err *e)
{
    const struct attrs_gather_block *a = c->attrs;
    int rank = infer_rank(c, 0), count = infer_rank(c, 1), gather, quantize, n = 0;
    int64_t dims[TENSOR_RANK_MAX], own[TENSOR_RANK_MAX];
    int r = infer_dtypes(c, 0, DT_CODES | DT_NARROW_FLOATS, e);
    if (r || (r = infer_dtypes(c, 1, DT(I32) | DT(I64), e)) ||
        (r = infer_dtypes(c, 2, DT(F32) | DT_FLOAT16S, e)) ||
        (r = check_attrs(a, infer_dtype(c, 0), e)) ||
        (infer_has(c, 3) && (r = infer_same_dtype(c, 0, 3, e))))
        return r;
    if (infer_has(c, 3) && !(DT_CODES & DTYPE_BIT(infer_dtype(c, 0))))
        return err_set(e, ERR_MODEL, "zero points for data of type %s",
                       dtype_name(infer_dtype(c, 0)));
    if (rank < 0 || count < 0)
        return infer_unknown(c, 0, infer_dtype(c, 2), e);
    if ((r = infer_axis(a->gather_axis, rank, &gather, e)) ||
        (r = infer_axis(a->quantize_axis, rank, &quantize, e)))
        return r;
    int64_t each = packed_in(infer_dtype(c, 0), a);
    if (each > 1 && (quantize != rank - 1 || gather == quantize))
        return err_set(e, ERR_MODEL,
                       "packed uint8 data with quantize_axis %d and gather_axis %d: blocks must "
                       "run along the last axis, indices along another one", quantize, gather);
    if (rank - 1 + count > TENSOR_RANK_MAX)
        return err_set(e, ERR_UNSUPPORTED, "an output of rank %d, at most %d is supported",
                       rank - 1 + count, TENSOR_RANK_MAX);
    for (int i = 0; i < rank; i++)
        own[i] = i == rank - 1 ? sym_mul(c->syms, infer_dim(c, 0, i), each) : infer_dim(c, 0, i);
    if ((r = check_scales(c, own, quantize, each, e)))
        return r;
    for (int i = 0; i < gather; i++)
        dims[n++] = own[i];
    for (int i = 0; i < count; i++)
        dims[n++] = infer_dim(c, 1, i);
    for (int i = gather + 1; i < rank; i++)
        dims[n++] = own[i];
    return infer_set(c, 0, infer_dtype(c, 2), n, dims, e);
}

/* ---- running --------------------------------------------------------------------------------- */

struct table {
    const struct tensor *data, *scale, *zero;
    int rank, axis; /* quantize_axis */
    int64_t dims[TENSOR_RANK_MAX], block, blocks;
    int64_t step[TENSOR_RANK_MAX]; /* of the scale, along each axis; of a block along `axis` */
    unsigned bits;                 /* 0: elements as they are */
};

static void table_init(struct table *t, const struct call *c)
{
    const struct attrs_gather_block *a = c->attrs;
    const struct tensor *data = call_in(c, 0), *scale = call_in(c, 2);
    int64_t each = packed_in(data->dtype, a);
    *t = (struct table){.data = data, .scale = scale, .zero = call_in(c, 3), .rank = data->rank,
                        .bits = each > 1 ? (unsigned)a->bits : 0};
    t->axis = (int)(a->quantize_axis < 0 ? a->quantize_axis + t->rank : a->quantize_axis);
    for (int i = 0; i < t->rank; i++)
        t->dims[i] = data->dims[i] * (i == t->rank - 1 ? each : 1);
    t->block = a->block ? a->block : t->dims[t->axis] ? t->dims[t->axis] : 1;
    t->blocks = scale->dims[t->axis];
    broadcast_strides(scale, t->rank, t->step);
    if (t->blocks == 1)
        t->step[t->axis] = 0;
}

/* The place of element `at`'s scale, how far the same or the next scales go on, and by what
 * step. */
static int64_t scale_place(const struct table *t, int64_t at, int64_t *length, int *step)
{
    int64_t place = 0, last = t->dims[t->rank - 1], x = at % last;
    for (int i = t->rank - 1; i >= 0; i--) {
        int64_t k = at % t->dims[i];
        place += (i == t->axis ? k / t->block : k) * t->step[i];
        at /= t->dims[i];
    }
    if (t->axis == t->rank - 1) {
        *length = t->block - x % t->block < last - x ? t->block - x % t->block : last - x;
        *step = 0;
    } else {
        *length = last - x;
        *step = t->step[t->rank - 1] != 0;
    }
    return place;
}

/* A zero point as it belongs to the scale at `place`. */
static float zero_at(const struct table *t, int64_t place)
{
    if (!t->zero)
        return t->data->dtype != DTYPE_U8 ? 0 : t->bits ? (float)(1u << (t->bits - 1)) : 128;
    if (t->bits == 0)
        return (float)tensor_float(t->zero, place);
    int64_t row = place / t->blocks, bit = place % t->blocks * t->bits;
    int64_t bytes = t->zero->dims[t->rank - 1];
    unsigned byte = ((const uint8_t *)t->zero->data)[row * bytes + bit / 8];
    return (float)(byte >> bit % 8 & ((1u << t->bits) - 1));
}

static void widen(const struct table *t, int64_t at, int64_t n, float *out)
{
    const uint8_t *bytes = t->data->data;
    if (t->bits == 0)
        elems_to_f32(t->data->dtype, t->data->data, at, n, out);
    for (int64_t i = 0; t->bits && i < n; i++) {
        int64_t bit = (at + i) * t->bits;
        out[i] = (float)(bytes[bit / 8] >> bit % 8 & ((1u << t->bits) - 1));
    }
}

/* Elements [at, at + n) of the table to elements [to, ...) of y. */
static void dequantize(const struct table *t, int64_t at, int64_t n, struct tensor *y, int64_t to)
{
    float v[CHUNK_ELEMS];
    while (n > 0) {
        int64_t some;
        int step;
        int64_t place = scale_place(t, at, &some, &step);
        some = some < n ? some : n;
        some = some < CHUNK_ELEMS ? some : CHUNK_ELEMS;
        widen(t, at, some, v);
        float scale = (float)tensor_float(t->scale, place), zero = zero_at(t, place);
        for (int64_t i = 0; i < some; i++) {
            if (step) {
                scale = (float)tensor_float(t->scale, place + i);
                zero = zero_at(t, place + i);
            }
            v[i] = (v[i] - zero) * scale;
        }
        elems_from_f32(y->dtype, y->data, to, some, v);
        at += some;
        to += some;
        n -= some;
    }
}

static int64_t gather_tasks(const struct call *c)
{
    return span_tasks(c, 2);
}

static int gather_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct attrs_gather_block *a = c->attrs;
    const struct tensor *indices = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, 2);
    struct table t;
    if (s.first >= s.last)
        return 0;
    table_init(&t, c);
    int axis = (int)(a->gather_axis < 0 ? a->gather_axis + t.rank : a->gather_axis);
    int64_t inner = dims_product(t.dims, axis + 1, t.rank), length = t.dims[axis];
    int64_t count = tensor_count(indices), unit = s.first / inner, skip = s.first % inner;
    for (int64_t to = s.first; to < s.last; unit++, skip = 0) {
        int64_t n = inner - skip < s.last - to ? inner - skip : s.last - to;
        int64_t k = index_at(indices, unit % count);
        k = k < 0 ? k + length : k;
        if (k < 0 || k >= length)
            memset(tensor_at(y, to), 0, (size_t)n * dtype_size(y->dtype));
        else
            dequantize(&t, (unit / count * length + k) * inner + skip, n, y, to);
        to += n;
    }
    return 0;
}

static const struct attr gather_attrs[] = {
    {"bits", ATTR_INT, offsetof(struct attrs_gather_block, bits), .i = 4},
    {"block_size", ATTR_INT, offsetof(struct attrs_gather_block, block), .i = 128},
    {"quantize_axis", ATTR_INT, offsetof(struct attrs_gather_block, quantize_axis), .i = 1},
    {"gather_axis", ATTR_INT, offsetof(struct attrs_gather_block, gather_axis)},
    {NULL},
};

const struct op op_ms_gatherblockquantized = {
    .domain = "com.microsoft", .name = "GatherBlockQuantized", .since = 1,
    .in_min = 3, .in_max = 4, .out_min = 1, .out_max = 1, .flags = OP_PURE,
    .attrs = gather_attrs, .attrs_size = sizeof(struct attrs_gather_block),
    .infer = gather_infer, .tasks = gather_tasks, .run = gather_run,
};
