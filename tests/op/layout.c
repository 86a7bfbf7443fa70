/* SPDX-License-Identifier: Apache-2.0 */
/* Dims and the moving of elements: each result is an element of an input, found by its index. */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

#define ANY "f32 f64 f16 bf16 i8 i16 i32 i64 u8 u16 u32 u64 bool"
#define SIZES "f32 i8 f16 i64"

static void transpose(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int64_t perm[TENSOR_RANK_MAX], dims[TENSOR_RANK_MAX];
    int64_t to[TENSOR_RANK_MAX], from[TENSOR_RANK_MAX];
    if (op_ints(r, "perm", perm) == 0)
        for (int k = 0; k < x->rank; k++)
            perm[k] = x->rank - 1 - k;
    for (int k = 0; k < x->rank; k++)
        dims[k] = x->dims[perm[k]];
    struct op_tensor *y = op_out(r, 0, x->dtype, x->rank, dims);
    for (int64_t i = 0; i < y->n; i++) {
        op_unravel(i, dims, x->rank, to);
        for (int k = 0; k < x->rank; k++)
            from[perm[k]] = to[k];
        y->v[i] = x->v[op_place(x, from, x->rank)];
    }
}

#define TRANSPOSE(types_, attrs_, in_) \
    {.name = "Transpose", .attrs = attrs_, .in = in_, .types = types_, .ref = transpose}

static const struct op_case transpose_rows[] = {
    TRANSPOSE(ANY, "", "T[5,7]"), TRANSPOSE(SIZES, "", "T[20,20]"),
    TRANSPOSE(SIZES, "perm=0,2,1", "T[B,19,23]"),
    TRANSPOSE(SIZES, "perm=0,2,3,1", "T[B,5,6,7]"), TRANSPOSE(SIZES, "perm=0,3,1,2", "T[B,6,7,5]"),
    TRANSPOSE(SIZES, "perm=0,2,1,3", "T[B,6,4,8]"), TRANSPOSE("f32", "perm=0,1,2", "f32[B,3,4]"),
    TRANSPOSE("f32", "perm=4,0,3,1,2", "f32[2,3,4,5,3]"),
    TRANSPOSE("f32", "perm=1,0,2", "f32[5,B,7]"),
    TRANSPOSE("f32", "perm=0,2,1", "f32[B,130,140]"), TRANSPOSE("f32", "", "f32[1,5,1]"),
    TRANSPOSE("f32", "", "f32[7]"), TRANSPOSE("f32", "perm=0,1,3,5,2,4", "f32[B,2,3,4,5,6]"),
};

/* The same elements under dims that op finds. */
static void reshape(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int64_t dims[TENSOR_RANK_MAX], n = 1;
    int rank = (int)r->in[1].n, open = -1;
    for (int k = 0; k < rank; k++) {
        int64_t d = (int64_t)r->in[1].v[k];
        dims[k] = d == 0 && !op_int(r, "allowzero", 0) ? x->dims[k] : d;
        if (d < 0)
            open = k;
        else
            n *= dims[k];
    }
    if (open >= 0)
        dims[open] = x->n / n;
    memcpy(op_out(r, 0, x->dtype, rank, dims)->v, x->v, (size_t)x->n * sizeof *x->v);
}

static void flatten(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int axis = op_axis(op_int(r, "axis", 1), x->rank);
    int64_t dims[] = {op_product(x->dims, 0, axis), op_product(x->dims, axis, x->rank)};
    memcpy(op_out(r, 0, x->dtype, 2, dims)->v, x->v, (size_t)x->n * sizeof *x->v);
}

static void squeeze(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    bool more = strcmp(r->row->name, "Unsqueeze") == 0, hit[TENSOR_RANK_MAX] = {false};
    int rank = more ? x->rank + (int)r->in[1].n : x->rank, n = 0, from = 0;
    int64_t dims[TENSOR_RANK_MAX];
    for (int64_t i = 0; op_has(r, 1) && i < r->in[1].n; i++)
        hit[op_axis((int64_t)r->in[1].v[i], rank)] = true;
    for (int k = 0; k < rank; k++) {
        if (more)
            dims[n++] = hit[k] ? 1 : x->dims[from++];
        else if (op_has(r, 1) ? !hit[k] : x->dims[k] != 1)
            dims[n++] = x->dims[k];
    }
    memcpy(op_out(r, 0, x->dtype, n, dims)->v, x->v, (size_t)x->n * sizeof *x->v);
}

static void shape(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int64_t start = op_int(r, "start", 0), end = op_int(r, "end", x->rank);
    if (strcmp(r->row->name, "Size") == 0) {
        op_out(r, 0, DTYPE_I64, 0, NULL)->v[0] = (double)x->n;
        return;
    }
    start = start < 0 ? start + x->rank : start;
    end = end < 0 ? end + x->rank : end > x->rank ? x->rank : end;
    int64_t n = end > start ? end - start : 0;
    struct op_tensor *y = op_out(r, 0, DTYPE_I64, 1, &n);
    for (int64_t k = 0; k < n; k++)
        y->v[k] = (double)x->dims[start + k];
}

static const struct op_case view_rows[] = {
    {.name = "Reshape", .in = "T[B,4,6] i64[2]=-1,24", .types = ANY, .ref = reshape},
    {.name = "Reshape", .in = "f32[B,4,6] i64[3]=0,8,3", .ref = reshape},
    {.name = "Reshape", .in = "f32[B,4,6] i64[4]=0,2,-1,2", .ref = reshape},
    {.name = "Reshape", .in = "f32[0,4] i64[2]=0,2", .attrs = "allowzero=1", .ref = reshape},
    {.name = "Reshape", .in = "f32[1] i64[0]", .ref = reshape},
    {.name = "Flatten", .in = "f32[B,4,6]", .ref = flatten},
    {.name = "Flatten", .in = "f32[2,4,6]", .attrs = "axis=-1", .ref = flatten},
    {.name = "Flatten", .in = "f32[2,4]", .attrs = "axis=0", .ref = flatten},
    {.name = "Squeeze", .in = "f32[B,1,5,1] i64[2]=1,-1", .ref = squeeze},
    {.name = "Squeeze", .in = "f32[1,4,1]", .ref = squeeze, .leave_out = OP_NO_FRESH},
    {.name = "Unsqueeze", .in = "f32[B,5] i64[2]=1,-1", .ref = squeeze},
    {.name = "Unsqueeze", .in = "f32[] i64[1]=0", .ref = squeeze},
    {.name = "Shape", .in = "f32[3,4,5]", .ref = shape},
    {.name = "Shape", .in = "f32[3,4,5]", .attrs = "start=1 end=-1", .ref = shape},
    {.name = "Shape", .in = "f32[3,4,5]", .attrs = "start=-2 end=9", .ref = shape},
    {.name = "Size", .in = "f32[3,4,5]", .ref = shape},
};

static void concat(struct op_run *r)
{
    int axis = op_axis(op_int(r, "axis", 0), r->in[0].rank), rank = r->in[0].rank;
    int64_t dims[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX];
    memcpy(dims, r->in[0].dims, sizeof dims);
    for (int i = 1; i < r->n_in; i++)
        dims[axis] += r->in[i].dims[axis];
    struct op_tensor *y = op_out(r, 0, r->in[0].dtype, rank, dims);
    for (int64_t i = 0; i < y->n; i++) {
        int k = 0;
        op_unravel(i, dims, rank, index);
        while (index[axis] >= r->in[k].dims[axis])
            index[axis] -= r->in[k++].dims[axis];
        int64_t at = 0; /* not op_place: a dim of 1 is no broadcast here */
        for (int d = 0; d < rank; d++)
            at = at * r->in[k].dims[d] + index[d];
        y->v[i] = r->in[k].v[at];
    }
}

static void split(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int axis = op_axis(op_int(r, "axis", 0), x->rank);
    int64_t at = 0, whole = x->dims[axis], inner = op_product(x->dims, axis + 1, x->rank);
    int64_t each = (whole + r->n_out - 1) / r->n_out;
    for (int o = 0; o < r->n_out; o++) {
        int64_t dims[TENSOR_RANK_MAX];
        memcpy(dims, x->dims, sizeof dims);
        dims[axis] = op_has(r, 1) ? (int64_t)r->in[1].v[o] : whole - at < each ? whole - at : each;
        struct op_tensor *y = op_out(r, o, x->dtype, x->rank, dims);
        int64_t run = dims[axis] * inner;
        for (int64_t i = 0; i < y->n; i++)
            y->v[i] = x->v[i / run * whole * inner + at * inner + i % run];
        at += dims[axis];
    }
}

static const struct op_case join_rows[] = {
    {.name = "Concat", .in = "T[B,3] T[B,5] T[B,1]", .attrs = "axis=1", .types = ANY,
     .ref = concat},
    {.name = "Concat", .in = "T[2,3,4] T[1,3,4]", .attrs = "axis=0", .types = SIZES, .ref = concat},
    {.name = "Concat", .in = "f32[B,3,4] f32[B,3,0] f32[B,3,9]", .attrs = "axis=-1", .ref = concat},
    {.name = "Concat", .in = "f32[B,40,300] f32[B,20,300]", .attrs = "axis=1", .ref = concat},
    {.name = "Concat", .in = "f32[B,3]", .attrs = "axis=1", .ref = concat},
    {.name = "Split", .in = "T[B,9] i64[3]=2,4,3", .attrs = "axis=1", .outs = 3, .types = ANY,
     .ref = split},
    {.name = "Split", .in = "f32[B,7,5]", .attrs = "axis=1 num_outputs=3", .outs = 3, .ref = split},
    {.name = "Split", .in = "f32[6,5]", .attrs = "num_outputs=2", .outs = 2, .ref = split},
    {.name = "Split", .in = "f32[B,4,6] i64[2]=6,0", .attrs = "axis=-1", .outs = 2, .ref = split},
};

/* starts, ends, axes, steps are inputs 1 to 4. */
static void slice(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int64_t dims[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX];
    int64_t first[TENSOR_RANK_MAX] = {0}, step[TENSOR_RANK_MAX];
    for (int k = 0; k < x->rank; k++)
        dims[k] = x->dims[k], step[k] = 1;
    for (int64_t i = 0; i < r->in[1].n; i++) {
        int k = op_has(r, 3) ? op_axis((int64_t)r->in[3].v[i], x->rank) : (int)i;
        double n = (double)x->dims[k], s = op_has(r, 4) ? r->in[4].v[i] : 1;
        double from = r->in[1].v[i], to = r->in[2].v[i];
        from = fmin(fmax(from < 0 ? from + n : from, 0), s > 0 ? n : n - 1);
        to = fmin(fmax(to < 0 ? to + n : to, s > 0 ? 0 : -1), n);
        first[k] = (int64_t)from;
        step[k] = (int64_t)s;
        dims[k] = (int64_t)fmax(0, ceil((to - from) / s));
    }
    struct op_tensor *y = op_out(r, 0, x->dtype, x->rank, dims);
    for (int64_t i = 0; i < y->n; i++) {
        op_unravel(i, dims, x->rank, index);
        for (int k = 0; k < x->rank; k++)
            index[k] = first[k] + index[k] * step[k];
        y->v[i] = x->v[op_place(x, index, x->rank)];
    }
}

static const struct op_case slice_rows[] = {
    {.name = "Slice", .in = "T[B,9] i64[1]=2 i64[1]=7 i64[1]=1", .types = ANY, .ref = slice},
    {.name = "Slice", .in = "T[B,9,8] i64[2]=-2,1 i64[2]=-100,7 i64[2]=1,-1 i64[2]=-2,3",
     .types = SIZES,
     .ref = slice},
    {.name = "Slice", .in = "f32[6,7] i64[2]=1,2 i64[2]=1000,-1", .ref = slice},
    {.name = "Slice", .in = "f32[B,7] i64[1]=5 i64[1]=2 i64[1]=1", .ref = slice},
    {.name = "Slice", .in = "f32[B,7,4] i32[1]=0 i32[1]=9223372036854775807 i32[1]=1",
     .ref = slice},
    {.name = "Slice",
     .in = "f32[B,7] i64[1]=9223372036854775807 i64[1]=-9223372036854775807 i64[1]=1 i64[1]=-1",
     .ref = slice},
    {.name = "Slice", .in = "f32[B,30,40,20] i64[2]=3,5 i64[2]=28,39 i64[2]=1,2 i64[2]=1,2",
     .ref = slice},
};

static void expand(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor to = {.rank = (int)r->in[1].n};
    int64_t dims[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX];
    int rank = x->rank > to.rank ? x->rank : to.rank;
    for (int k = 0; k < rank; k++) {
        int a = k - (rank - x->rank), b = k - (rank - to.rank);
        int64_t da = a >= 0 ? x->dims[a] : 1, db = b >= 0 ? (int64_t)r->in[1].v[b] : 1;
        dims[k] = da == 1 ? db : da;
    }
    struct op_tensor *y = op_out(r, 0, x->dtype, rank, dims);
    for (int64_t i = 0; i < y->n; i++) {
        op_unravel(i, dims, rank, index);
        y->v[i] = x->v[op_place(x, index, rank)];
    }
}

static void tile(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int64_t dims[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX];
    for (int k = 0; k < x->rank; k++)
        dims[k] = x->dims[k] * (int64_t)r->in[1].v[k];
    struct op_tensor *y = op_out(r, 0, x->dtype, x->rank, dims);
    for (int64_t i = 0; i < y->n; i++) {
        op_unravel(i, dims, x->rank, index);
        for (int k = 0; k < x->rank; k++)
            index[k] %= x->dims[k];
        y->v[i] = x->v[op_place(x, index, x->rank)];
    }
}

/* Where index i of a padded dim of n comes from; -1: the constant. */
static int64_t pad_source(const struct op_run *r, int64_t i, int64_t n)
{
    if (i >= 0 && i < n)
        return i;
    if (op_is(r, "mode", "edge"))
        return i < 0 ? 0 : n - 1;
    if (op_is(r, "mode", "wrap"))
        return (i % n + n) % n;
    if (!op_is(r, "mode", "reflect"))
        return -1;
    int64_t period = 2 * (n - 1);
    i = (i % period + period) % period;
    return i < n ? i : period - i;
}

static void pad(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int64_t dims[TENSOR_RANK_MAX], index[TENSOR_RANK_MAX], begin[TENSOR_RANK_MAX] = {0};
    int64_t n = r->in[1].n / 2;
    memcpy(dims, x->dims, sizeof dims);
    for (int64_t i = 0; i < n; i++) {
        int k = op_has(r, 3) ? op_axis((int64_t)r->in[3].v[i], x->rank) : (int)i;
        begin[k] = (int64_t)r->in[1].v[i];
        dims[k] += begin[k] + (int64_t)r->in[1].v[n + i];
    }
    struct op_tensor *y = op_out(r, 0, x->dtype, x->rank, dims);
    for (int64_t i = 0; i < y->n; i++) {
        bool inside = true;
        op_unravel(i, dims, x->rank, index);
        for (int k = 0; k < x->rank; k++) {
            index[k] = pad_source(r, index[k] - begin[k], x->dims[k]);
            inside &= index[k] >= 0;
        }
        y->v[i] = inside ? x->v[op_place(x, index, x->rank)] : op_has(r, 2) ? r->in[2].v[0] : 0;
    }
}

#define PAD(attrs_, types_, in_) \
    {.name = "Pad", .attrs = attrs_, .in = in_, .types = types_, .ref = pad}

static const struct op_case grow_rows[] = {
    {.name = "Expand", .in = "T[B,1] i64[2]=1,5", .types = ANY, .ref = expand},
    {.name = "Expand", .in = "f32[B,1,4] i64[2]=3,1", .ref = expand},
    {.name = "Expand", .in = "f32[4,1] i64[3]=2,4,6", .ref = expand},
    {.name = "Expand", .in = "f32[] i64[2]=3,2", .ref = expand},
    {.name = "Expand", .in = "f32[3,1] i64[2]=3,0", .ref = expand},
    {.name = "Tile", .in = "T[B,3] i64[2]=1,4", .types = ANY, .ref = tile},
    {.name = "Tile", .in = "f32[2,3,4] i64[3]=2,1,3", .ref = tile},
    {.name = "Tile", .in = "f32[2,3] i64[2]=0,3", .ref = tile},
    PAD("", ANY, "T[B,5] i64[4]=0,2,0,3 T[]=1"),
    PAD("", "f32", "f32[B,3,5,6] i64[8]=0,0,1,2,0,0,3,1"),
    PAD("", "f32", "f32[4,5] i64[4]=-1,2,1,-2"), PAD("", SIZES, "T[B,5,4] i64[2]=1,2 - i64[1]=1"),
    PAD("mode=reflect", SIZES, "T[B,5,6] i64[6]=0,2,3,0,4,1"),
    PAD("mode=edge", SIZES, "T[B,5,6] i64[6]=0,2,3,0,4,1"),
    PAD("mode=wrap", SIZES, "T[B,5,6] i64[6]=0,2,3,0,4,7"),
    PAD("mode=reflect", "f32", "f32[B,3,40,30] i64[8]=0,0,3,3,0,0,3,3"),
};

static void space(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    int64_t s = op_int(r, "blocksize", 1), c = x->dims[1], h = x->dims[2], w = x->dims[3];
    bool deep = strcmp(r->row->name, "SpaceToDepth") == 0, crd = op_is(r, "mode", "CRD");
    int64_t k = deep ? c : c / (s * s), big = deep ? w : w * s, high = deep ? h : h * s;
    int64_t to_depth[] = {x->dims[0], c * s * s, h / s, w / s}, to_space[] = {x->dims[0], k, h * s,
                                                                              w * s};
    struct op_tensor *y = op_out(r, 0, x->dtype, 4, deep ? to_depth : to_space);
    int64_t low_h = high / s, low_w = big / s;
    for (int64_t i = 0; i < x->n; i++) { /* i in the one with large planes, at in the other */
        int64_t col = i % big, row = i / big % high, plane = i / big / high;
        int64_t channel = plane % k, b = plane / k;
        int64_t block = row % s * s + col % s;
        int64_t depth = crd ? channel * s * s + block : block * k + channel;
        int64_t at = ((b * k * s * s + depth) * low_h + row / s) * low_w + col / s;
        y->v[deep ? at : i] = x->v[deep ? i : at];
    }
}

static const struct op_case space_rows[] = {
    {.name = "DepthToSpace", .in = "T[B,12,3,4]", .attrs = "blocksize=2", .types = SIZES,
     .ref = space},
    {.name = "DepthToSpace", .in = "f32[B,18,3,4]", .attrs = "blocksize=3 mode=CRD", .ref = space},
    {.name = "SpaceToDepth", .in = "T[B,3,6,8]", .attrs = "blocksize=2", .types = SIZES,
     .ref = space},
};

OP_MAIN("op layout", OP_TABLE(transpose_rows), OP_TABLE(view_rows), OP_TABLE(join_rows),
        OP_TABLE(slice_rows),
        OP_TABLE(grow_rows), OP_TABLE(space_rows))
