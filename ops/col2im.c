/* SPDX-License-Identifier: Apache-2.0 */
/* Col2Im: columns of blocks back into an image, overlaps added. Every element of the image adds up
 * its blocks in their order (in f32, f64 or int64), so that it rounds once and knows no split. Bools
 * are or-ed; a string comes from one block, or is empty where there is none.
 */
#include "ops/layout.h"

struct col2im_attrs {
    struct ints dilations, pads, strides;
};

/* x [N, C * block, columns], y [N, C, image...]. */
static int col2im_infer(struct infer *c, struct err *e)
{
    const struct col2im_attrs *a = c->attrs;
    const int64_t *image, *block;
    int64_t n, n_block, dims[TENSOR_RANK_MAX], size = 1;
    int r = infer_dtypes(c, 0, DT_NUMERIC | DT_COMPLEX | DT(BOOL) | DT(STRING), e);
    if (r)
        return r;
    int known = layout_list(c, 1, &image, &n, e);
    if (known < 0)
        return known;
    known = layout_list(c, 2, &block, &n_block, e);
    if (known < 0)
        return known;
    if (infer_rank(c, 0) >= 0 && infer_rank(c, 0) != 3)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 3", infer_rank(c, 0));
    if (n < 0)
        n = n_block;
    if (n < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (n < 1 || n > TENSOR_RANK_MAX - 2 || (n_block >= 0 && n_block != n))
        return err_set(e, ERR_MODEL, "an image of %lld dims with a block of %lld", (long long)n,
                       (long long)n_block);
    r = ints_length(&a->dilations, n, "dilations", e);
    if (!r)
        r = ints_length(&a->strides, n, "strides", e);
    if (!r)
        r = ints_length(&a->pads, 2 * n, "pads", e);
    if (r)
        return r;
    for (int64_t i = 0; i < n; i++) {
        if ((a->dilations.v && a->dilations.v[i] < 1) || (a->strides.v && a->strides.v[i] < 1))
            return err_set(e, ERR_MODEL, "a stride or a dilation is below 1");
        if (block && block[i] < 1)
            return err_set(e, ERR_MODEL, "block dim %lld is %lld", (long long)i,
                           (long long)block[i]);
        size = block ? sym_mul(c->syms, size, block[i]) : SYM_UNKNOWN;
        dims[i + 2] = image ? image[i] : infer_fresh(c);
    }
    dims[0] = infer_rank(c, 0) < 0 ? infer_fresh(c) : infer_dim(c, 0, 0);
    dims[1] = infer_rank(c, 0) < 0 ? SYM_UNKNOWN : infer_dim(c, 0, 1);
    if (sym_is_number(dims[1]) && sym_is_number(size) && dims[1] % size)
        return err_set(e, ERR_MODEL, "dim 1 is %lld, no multiple of the block's %lld elements",
                       (long long)dims[1], (long long)size);
    dims[1] = layout_dim(c, sym_is_unknown(dims[1]) ? SYM_UNKNOWN
                                                    : sym_floor_div(c->syms, dims[1], size));
    return infer_set(c, 0, infer_dtype(c, 0), (int)n + 2, dims, e);
}

enum { SPACE_MAX = TENSOR_RANK_MAX - 2 };

struct geometry {
    int n;
    int64_t image[SPACE_MAX], block[SPACE_MAX], columns[SPACE_MAX]; /* columns along each dim */
    int64_t stride[SPACE_MAX], dilation[SPACE_MAX], pad[SPACE_MAX];
    int64_t block_size, column_count, image_size;
};

static int read_geometry(const struct call *c, struct geometry *g, struct err *e)
{
    const struct col2im_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    g->n = y->rank - 2;
    g->block_size = g->column_count = g->image_size = 1;
    bool ok = tensor_count(call_in(c, 2)) == g->n && tensor_count(call_in(c, 1)) == g->n;
    for (int i = 0; i < g->n && ok; i++) {
        int64_t after = a->pads.v ? a->pads.v[g->n + i] : 0, span, room;
        g->image[i] = y->dims[2 + i];
        g->block[i] = index_at(call_in(c, 2), i);
        g->stride[i] = a->strides.v ? a->strides.v[i] : 1;
        g->dilation[i] = a->dilations.v ? a->dilations.v[i] : 1;
        g->pad[i] = a->pads.v ? a->pads.v[i] : 0;
        ok = g->block[i] >= 1 && index_at(call_in(c, 1), i) == g->image[i] &&
             !__builtin_mul_overflow(g->dilation[i], g->block[i] - 1, &span) &&
             !__builtin_add_overflow(g->image[i], g->pad[i], &room) &&
             !__builtin_add_overflow(room, after, &room) &&
             !__builtin_sub_overflow(room, span, &room) && room <= INT64_MAX / 4 &&
             g->pad[i] > -(INT64_MAX / 4);
        g->columns[i] = ok && room > 0 ? (room - 1) / g->stride[i] + 1 : 0;
        ok = ok && !__builtin_mul_overflow(g->column_count, g->columns[i], &g->column_count) &&
             !__builtin_mul_overflow(g->block_size, g->block[i], &g->block_size);
        g->image_size *= g->image[i];
    }
    if (!ok || x->dims[2] != g->column_count ||
        g->block_size != x->dims[1] / (y->dims[1] ? y->dims[1] : 1))
        return err_set(e, ERR_INPUT,
                       "%lld columns of %lld elements do not fit the image and the block",
                       (long long)x->dims[2], (long long)x->dims[1]);
    return 0;
}

/* Sums for one element of the image at `at` of plane `plane`, in the type that its dtype computes
 * in. */
struct sum {
    float f;
    double d[2];
    int64_t i;
    struct str s;
    int strings;
};

static void add_element(const struct tensor *x, int64_t at, struct sum *sum)
{
    if (x->dtype == DTYPE_F64) {
        sum->d[0] += ((const double *)x->data)[at];
    } else if (x->dtype == DTYPE_C64 || x->dtype == DTYPE_C128) {
        double v[2];
        elems_to_f64(x->dtype == DTYPE_C64 ? DTYPE_F32 : DTYPE_F64, x->data, 2 * at, 2, v);
        sum->d[0] += v[0];
        sum->d[1] += v[1];
    } else if (x->dtype == DTYPE_STRING) {
        sum->s = ((const struct str *)x->data)[at];
        sum->strings++;
    } else if (dtype_is_float(x->dtype)) {
        float v;
        elems_to_f32(x->dtype, x->data, at, 1, &v);
        sum->f += v;
    } else {
        int64_t v;
        elems_to_i64(x->dtype, x->data, at, 1, &v);
        sum->i = (int64_t)((uint64_t)sum->i + (uint64_t)v);
    }
}

static void sum_blocks(const struct tensor *x, const struct geometry *g, int64_t plane,
                       const int64_t *at, struct sum *sum)
{
    int64_t k[SPACE_MAX] = {0};
    for (int64_t b = 0; b < g->block_size; b++) {
        int64_t column = 0;
        bool hit = true;
        for (int i = 0; i < g->n && hit; i++) {
            int64_t p = at[i] + g->pad[i] - k[i] * g->dilation[i];
            hit = p >= 0 && p % g->stride[i] == 0 && p / g->stride[i] < g->columns[i];
            column = column * g->columns[i] + p / g->stride[i];
        }
        if (hit)
            add_element(x, (plane * g->block_size + b) * g->column_count + column, sum);
        for (int i = g->n - 1; i >= 0 && ++k[i] == g->block[i]; i--)
            k[i] = 0;
    }
}

static void put_sum(struct tensor *y, int64_t o, const struct sum *sum)
{
    if (y->dtype == DTYPE_STRING)
        ((struct str *)y->data)[o] = sum->s;
    else if (y->dtype == DTYPE_F64)
        ((double *)y->data)[o] = sum->d[0];
    else if (y->dtype == DTYPE_C64 || y->dtype == DTYPE_C128)
        elems_from_f64(y->dtype == DTYPE_C64 ? DTYPE_F32 : DTYPE_F64, y->data, 2 * o, 2, sum->d);
    else if (dtype_is_float(y->dtype))
        elems_from_f32(y->dtype, y->data, o, 1, &sum->f);
    else
        dtype_store_i64(y->dtype, tensor_at(y, o), sum->i);
}

static int64_t col2im_cost(const struct call *c)
{
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    return 4 * (y->dims[1] ? x->dims[1] / y->dims[1] + 1 : 1);
}

static int64_t col2im_tasks(const struct call *c)
{
    return span_tasks(c, col2im_cost(c));
}

static int col2im_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    struct span s = span_out(c, begin, end, col2im_cost(c));
    struct geometry g;
    int64_t at[SPACE_MAX];
    if (s.first >= s.last)
        return 0;
    int r = read_geometry(c, &g, e);
    if (r)
        return r;
    for (int64_t o = s.first; o < s.last; o++) {
        struct sum sum = {0};
        int64_t rest = o % g.image_size;
        for (int i = g.n - 1; i >= 0; i--) {
            at[i] = rest % g.image[i];
            rest /= g.image[i];
        }
        sum_blocks(x, &g, o / g.image_size, at, &sum);
        if (sum.strings > 1)
            return err_set(e, ERR_UNSUPPORTED, "blocks overlap, and strings cannot be added");
        put_sum(y, o, &sum);
    }
    return 0;
}

static const struct attr col2im_attr_rows[] = {
    {"dilations", ATTR_INTS, offsetof(struct col2im_attrs, dilations)},
    {"pads", ATTR_INTS, offsetof(struct col2im_attrs, pads)},
    {"strides", ATTR_INTS, offsetof(struct col2im_attrs, strides)},
    {NULL},
};

const struct op op_col2im = {
    .domain = "",
    .name = "Col2Im",
    .since = 18,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .host_in = 2 | 4,
    .attrs = col2im_attr_rows,
    .attrs_size = sizeof(struct col2im_attrs),
    .infer = col2im_infer,
    .tasks = col2im_tasks,
    .run = col2im_run,
};
