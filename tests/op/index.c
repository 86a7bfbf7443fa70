/* SPDX-License-Identifier: Apache-2.0 */
/* Gather and scatter in their forms, TopK, OneHot, NonZero, Compress, Trilu, ReverseSequence. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op/op_test.h"

#define ANY "f32 f64 f16 bf16 i8 i16 i32 i64 u8 u16 u32 u64 bool"
#define SIZES "f32 i8 f16 i64"
/* One addition or product after another, each rounded. */
#define TOL 4

static int64_t from_end(double index, int64_t n)
{
    return (int64_t)(index < 0 ? index + (double)n : index);
}

static void gather(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0], *index = &r->in[1];
    int axis = op_axis(op_int(r, "axis", 0), x->rank), rank = 0;
    int64_t dims[TENSOR_RANK_MAX], n = x->dims[axis], inner = op_product(x->dims, axis + 1,
                                                                         x->rank);
    for (int k = 0; k < axis; k++)
        dims[rank++] = x->dims[k];
    for (int k = 0; k < index->rank; k++)
        dims[rank++] = index->dims[k];
    for (int k = axis + 1; k < x->rank; k++)
        dims[rank++] = x->dims[k];
    struct op_tensor *y = op_out(r, 0, x->dtype, rank, dims);
    for (int64_t i = 0; i < y->n; i++) {
        int64_t outer = i / inner / index->n, at = from_end(index->v[i / inner % index->n], n);
        y->v[i] = x->v[(outer * n + at) * inner + i % inner];
    }
}

/* A position of indices (or updates) as one of data. */
static int64_t element_place(const struct op_tensor *x, const struct op_tensor *index, int64_t i,
                             int axis)
{
    int64_t at[TENSOR_RANK_MAX], place = 0;
    op_unravel(i, index->dims, x->rank, at);
    at[axis] = from_end(index->v[i], x->dims[axis]);
    for (int k = 0; k < x->rank; k++)
        place = place * x->dims[k] + at[k];
    return place;
}

static void gather_elements(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0], *index = &r->in[1];
    struct op_tensor *y = op_out(r, 0, x->dtype, index->rank, index->dims);
    int axis = op_axis(op_int(r, "axis", 0), x->rank);
    for (int64_t i = 0; i < y->n; i++)
        y->v[i] = x->v[element_place(x, index, i, axis)];
}

/* Row i of indices, whose last dim addresses x's dims from `batch` on: the first
 * element that it names. */
static int64_t row_place(const struct op_tensor *x, const struct op_tensor *index, int64_t i,
                         int batch,
                         int64_t slice)
{
    int64_t depth = index->dims[index->rank - 1], place = 0;
    int64_t per = op_product(index->dims, batch, index->rank - 1);
    for (int k = 0; k < depth; k++) {
        int64_t n = x->dims[batch + k];
        place = place * n + from_end(index->v[i * depth + k], n);
    }
    return (i / per * op_product(x->dims, batch, batch + (int)depth) + place) * slice;
}

static void gather_nd(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0], *index = &r->in[1];
    int batch = (int)op_int(r, "batch_dims",
                            0), depth = (int)index->dims[index->rank - 1], rank = 0;
    int64_t dims[TENSOR_RANK_MAX], slice = op_product(x->dims, batch + depth, x->rank);
    for (int k = 0; k < index->rank - 1; k++)
        dims[rank++] = index->dims[k];
    for (int k = batch + depth; k < x->rank; k++)
        dims[rank++] = x->dims[k];
    struct op_tensor *y = op_out(r, 0, x->dtype, rank, dims);
    for (int64_t i = 0; i < y->n; i++)
        y->v[i] = x->v[row_place(x, index, i / slice, batch, slice) + i % slice];
}

static double combine(const struct op_run *r, double old, double v)
{
    if (op_is(r, "reduction", "add"))
        return old + v;
    if (op_is(r, "reduction", "mul"))
        return old * v;
    if (op_is(r, "reduction", "max"))
        return fmax(old, v);
    return op_is(r, "reduction", "min") ? fmin(old, v) : v;
}

static struct op_tensor *copy_of_first(struct op_run *r)
{
    struct op_tensor *y = op_out_like(r, 0, 0);
    double *scale = op_scale(y);
    memcpy(y->v, r->in[0].v, (size_t)y->n * sizeof *y->v);
    for (int64_t i = 0; i < y->n; i++)
        scale[i] = fabs(y->v[i]);
    return y;
}

static void put(const struct op_run *r, struct op_tensor *y, int64_t at, double v)
{
    y->v[at] = combine(r, y->v[at], v);
    y->scale[at] = fmax(y->scale[at] + fabs(v), fabs(y->v[at]));
}

static void scatter_elements(struct op_run *r)
{
    struct op_tensor *y = copy_of_first(r);
    int axis = op_axis(op_int(r, "axis", 0), y->rank);
    for (int64_t i = 0; i < r->in[1].n; i++)
        put(r, y, element_place(y, &r->in[1], i, axis), r->in[2].v[i]);
}

static void scatter_nd(struct op_run *r)
{
    const struct op_tensor *index = &r->in[1];
    struct op_tensor *y = copy_of_first(r);
    int depth = (int)index->dims[index->rank - 1];
    int64_t slice = op_product(y->dims, depth, y->rank);
    for (int64_t i = 0; i < r->in[2].n; i++)
        put(r, y, row_place(y, index, i / slice, 0, slice) + i % slice, r->in[2].v[i]);
}

static const struct op_case gather_rows[] = {
    {.name = "Gather", .in = "T[9,5] i64[B]=3,-1,0", .types = ANY, .ref = gather},
    {.name = "Gather", .in = "T[9,5,3] i32[B,4]:-9:8", .types = SIZES, .ref = gather},
    {.name = "Gather", .in = "f32[B,9,5] i64[2,2]=1,-2,8,0", .attrs = "axis=1", .ref = gather},
    {.name = "Gather", .in = "f32[B,9] i64[]=-3", .attrs = "axis=-1", .ref = gather},
    {.name = "Gather", .in = "f32[1000,300] i64[B,70]:0:999", .ref = gather},
    {.name = "Gather", .in = "f32[4,5] i64[0]", .ref = gather},
    {.name = "GatherElements", .in = "T[B,9] i64[B,4]:-9:8", .attrs = "axis=1", .types = ANY,
     .ref = gather_elements},
    {.name = "GatherElements", .in = "f32[5,6,7] i32[3,6,5]:-5:4", .ref = gather_elements},
    {.name = "GatherND", .in = "T[4,5,6] i64[B,7,2]:-4:3", .types = ANY, .ref = gather_nd},
    {.name = "GatherND", .in = "f32[B,5,6] i64[B,7,1]:0:4", .attrs = "batch_dims=1",
     .ref = gather_nd},
    {.name = "GatherND", .in = "f32[4,5] i64[6,2]:0:3", .ref = gather_nd},
};

#define SCATTER(op, attrs_, types_, in_, ref_) \
    {.name = op, .attrs = attrs_, .in = in_, .types = types_, .ref = ref_, .tol = TOL}
#define REDUCED "f32 f64 f16 bf16 i32 i64"

static const struct op_case scatter_rows[] = {
    SCATTER("ScatterElements", "axis=1", ANY, "T[B,9] i64[B,3]=1,-1,4,0,5,2,8,7,-6 T[B,3]",
            scatter_elements),
    SCATTER("ScatterElements", "", "f32", "f32[5,6] i32[2,3]=1,0,2,3,4,-1 f32[2,3]",
            scatter_elements),
    SCATTER("ScatterElements", "axis=1 reduction=add", "f32 f64 i32 i64",
            "T[B,9] i64[B,20]:-9:8 T[B,20]", scatter_elements),
    SCATTER("ScatterElements", "axis=1 reduction=mul", "f32 f64 i64",
            "T[B,9]:1:2 i64[B,7]:0:8 T[B,7]:1:2", scatter_elements),
    SCATTER("ScatterElements", "axis=1 reduction=max", REDUCED, "T[B,9] i64[B,20]:0:8 T[B,20]",
            scatter_elements),
    SCATTER("ScatterElements", "reduction=min", REDUCED, "T[9,4] i64[12,3]:0:8 T[12,3]",
            scatter_elements),
    SCATTER("ScatterND", "", ANY, "T[8,5] i64[3,1]=1,-1,4 T[3,5]", scatter_nd),
    SCATTER("ScatterND", "", "f32", "f32[4,5,6] i64[2,2,2]=1,0,2,3,-1,-1,0,4 f32[2,2,6]",
            scatter_nd),
    SCATTER("ScatterND", "reduction=add", "f32 f64 i32 i64", "T[4,5] i64[9,1]:0:3 T[9,5]",
            scatter_nd),
    SCATTER("ScatterND", "reduction=max", "f32 i64", "T[4,5] i64[9,2]:0:3 T[9]", scatter_nd),
    SCATTER("ScatterND", "reduction=mul", "f32", "f32[4] i64[3,1]=1,2,3 f32[3]", scatter_nd),
};

struct entry {
    double v;
    int64_t at;
};

static int order(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->v != y->v ? (x->v < y->v) - (x->v > y->v) : (x->at > y->at) - (x->at < y->at);
}

static void topk(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int axis = op_axis(op_int(r, "axis", -1), x->rank);
    int64_t dims[TENSOR_RANK_MAX], n = x->dims[axis], k = (int64_t)r->in[1].v[0];
    int64_t inner = op_product(x->dims, axis + 1, x->rank);
    double sign = op_int(r, "largest", 1) ? 1 : -1;
    struct entry *list = malloc(((size_t)n + 1) * sizeof *list);
    memcpy(dims, x->dims, sizeof dims);
    dims[axis] = k;
    struct op_tensor *y = op_out(r, 0, x->dtype, x->rank, dims), *at = op_out(r, 1, DTYPE_I64,
                                                                              x->rank, dims);
    for (int64_t o = 0; o < x->n / n; o++) {
        int64_t from = o / inner * n * inner + o % inner, to = o / inner * k * inner + o % inner;
        for (int64_t i = 0; i < n; i++)
            list[i] = (struct entry){sign * x->v[from + i * inner], i};
        qsort(list, (size_t)n, sizeof *list, order);
        for (int64_t i = 0; i < k; i++) {
            y->v[to + i * inner] = sign * list[i].v;
            at->v[to + i * inner] = (double)list[i].at;
        }
    }
    free(list);
}

static void one_hot(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int rank = x->rank + 1, axis = op_axis(op_int(r, "axis", -1), rank);
    int64_t dims[TENSOR_RANK_MAX], depth = (int64_t)r->in[1].v[0];
    for (int k = 0; k < rank; k++)
        dims[k] = k < axis ? x->dims[k] : k == axis ? depth : x->dims[k - 1];
    struct op_tensor *y = op_out(r, 0, r->in[2].dtype, rank, dims);
    int64_t inner = op_product(dims, axis + 1, rank);
    for (int64_t i = 0; i < y->n; i++) {
        double v = x->v[i / inner / depth * inner + i % inner];
        bool on = v >= -(double)depth && v < (double)depth;
        on = on && from_end(v, depth) == i / inner % depth;
        y->v[i] = r->in[2].v[on];
    }
}

static void nonzero(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int64_t count = 0, at[TENSOR_RANK_MAX], done = 0;
    for (int64_t i = 0; i < x->n; i++)
        count += x->v[i] != 0;
    struct op_tensor *y = op_out(r, 0, DTYPE_I64, 2, (int64_t[]){x->rank, count});
    for (int64_t i = 0; i < x->n; i++) {
        op_unravel(i, x->dims, x->rank, at);
        for (int k = 0; k < x->rank && x->v[i] != 0; k++)
            y->v[k * count + done] = (double)at[k];
        done += x->v[i] != 0;
    }
}

static void compress(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0], *wanted = &r->in[1];
    bool flat = !op_text(r, "axis");
    int axis = flat ? 0 : op_axis(op_int(r, "axis", 0), x->rank), rank = flat ? 1 : x->rank;
    int64_t dims[TENSOR_RANK_MAX], keep[64], count = 0;
    int64_t n = flat ? x->n : x->dims[axis], inner = flat ? 1 : op_product(x->dims, axis + 1,
                                                                           x->rank);
    for (int64_t i = 0; i < wanted->n && i < n; i++)
        if (wanted->v[i] != 0)
            keep[count++] = i;
    memcpy(dims, x->dims, sizeof dims);
    dims[axis] = count;
    struct op_tensor *y = op_out(r, 0, x->dtype, rank, dims);
    for (int64_t i = 0; i < y->n; i++)
        y->v[i] = x->v[(i / inner / count * n + keep[i / inner % count]) * inner + i % inner];
}

static void trilu(struct op_run *r)
{
    struct op_tensor *y = op_out_like(r, 0, 0);
    int64_t h = y->dims[y->rank - 2], w = y->dims[y->rank - 1];
    int64_t k = op_has(r, 1) ? (int64_t)r->in[1].v[0] : 0;
    for (int64_t i = 0; i < y->n; i++) {
        int64_t d = i % w - i / w % h;
        y->v[i] = (op_int(r, "upper", 1) ? d >= k : d <= k) ? r->in[0].v[i] : 0;
    }
}

static void reverse_sequence(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor *y = op_out_like(r, 0, 0);
    int batch = (int)op_int(r, "batch_axis", 1), time = (int)op_int(r, "time_axis", 0);
    int64_t at[TENSOR_RANK_MAX];
    for (int64_t i = 0; i < y->n; i++) {
        op_unravel(i, x->dims, x->rank, at);
        int64_t length = (int64_t)r->in[1].v[at[batch]];
        if (at[time] < length)
            at[time] = length - 1 - at[time];
        y->v[i] = x->v[op_place(x, at, x->rank)];
    }
}

static const struct op_case other_rows[] = {
    {.name = "TopK", .in = "T[B,9] i64[1]=4", .types = "f32 f64 f16 bf16 i8 i32 i64 u8 u64",
     .outs = 2, .ref = topk},
    {.name = "TopK", .in = "f32[B,40,3] i64[1]=7", .attrs = "axis=1 largest=0", .outs = 2,
     .ref = topk},
    {.name = "TopK", .in = "i32[B,300] i64[1]=300", .outs = 2, .ref = topk},
    {.name = "TopK", .in = "f32[B,3000] i64[1]=50", .outs = 2, .ref = topk},
    {.name = "TopK", .in = "f32[B,5] i64[1]=0", .outs = 2, .ref = topk},
    {.name = "OneHot", .in = "i64[B,4]:-5:7 i64[]=5 f32[2]=2,7", .ref = one_hot},
    {.name = "OneHot", .in = "i32[B,4]:0:4 i64[]=5 i64[2]=0,1", .attrs = "axis=1", .ref = one_hot},
    {.name = "OneHot", .in = "f32[3]=1,2,0 f32[]=4 i8[2]=-1,1", .attrs = "axis=0", .ref = one_hot},
    {.name = "NonZero", .in = "T[4,5]", .types = "bool i64 i8 u8", .ref = nonzero},
    {.name = "NonZero", .in = "f32[7]=0,-0,nan,1,0,2", .ref = nonzero},
    {.name = "Compress", .in = "T[B,6,2] bool[5]=1,0,1,0,1", .attrs = "axis=1",
     .types = SIZES " bool", .ref = compress},
    {.name = "Compress", .in = "f32[3,4] bool[9]=0,1,1,0,0,0,1,1,1", .ref = compress},
    {.name = "Trilu", .in = "T[B,5,6]", .types = SIZES " bool", .ref = trilu},
    {.name = "Trilu", .in = "f32[B,5,6] i64[]=2", .attrs = "upper=0", .ref = trilu},
    {.name = "Trilu", .in = "f32[6,5] i64[]=-3", .ref = trilu},
    {.name = "ReverseSequence", .in = "T[7,3,2] i64[3]=7,1,4", .types = SIZES,
     .ref = reverse_sequence},
    {.name = "ReverseSequence", .in = "f32[B,7,2] i64[B]=7,0,4",
     .attrs = "batch_axis=0 time_axis=1",
     .ref = reverse_sequence},
};

OP_MAIN("op index", OP_TABLE(gather_rows), OP_TABLE(scatter_rows), OP_TABLE(other_rows))
