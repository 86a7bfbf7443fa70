/* SPDX-License-Identifier: Apache-2.0 */
/* DeformConv: a convolution whose taps read the image at places moved by an input, between pixels,
 * zero outside. A task samples the taps of some neighbouring outputs into columns (K x outputs, K =
 * channels of a group * taps), then multiplies the weights with them. f16 and bf16 are widened as a
 * whole.
 */
#include <math.h>
#include <string.h>

#include "ops/conv.h"
#include "ops/span.h"

enum { COLUMNS = 64 };

struct deform_attrs {
    struct attrs_conv conv; /* auto_pad is never set */
    int64_t offset_group;
};

static int deform_infer(struct infer *c, struct err *e)
{
    const struct deform_attrs *a = c->attrs;
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    for (int i = 1; i < 5 && r == 0; i++)
        r = infer_same_dtype(c, 0, i, e);
    if (r)
        return r;
    if (a->offset_group < 1 || a->offset_group > INT32_MAX)
        return err_set(e, ERR_MODEL, "offset_group is %lld", (long long)a->offset_group);
    if (infer_rank(c, 0) > 1 && sym_is_number(infer_dim(c, 0, 1)) &&
        infer_dim(c, 0, 1) % a->offset_group != 0)
        return err_set(e, ERR_MODEL, "%lld channels do not divide into %lld offset groups",
                       (long long)infer_dim(c, 0, 1), (long long)a->offset_group);
    return conv_infer_dims(c, 1, 3, infer_dtype(c, 0), e);
}

/* ---- running --------------------------------------------------------------------------------- */

/* A call; in the wide type, x, weights, offset, bias, mask. */
struct job {
    struct call *call;
    struct window w;
    struct conv_shape s;
    int64_t offset_group, taps, k, out, blocks;
    const void *in[5];
    void *y;
    bool narrow;
    struct parts scratch;
    float *wide[5], *wide_y; /* in scratch, if narrow */
};

static int job_init(struct job *j, const struct call *c, struct err *e)
{
    const struct deform_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *w = call_in(c, 1), *offset = call_in(c, 2);
    const struct tensor *mask = call_in(c, 4);
    int64_t want;
    *j = (struct job){.offset_group = a->offset_group, .scratch = parts_shared(c)};
    int r = conv_window(&j->w, &a->conv, NULL, x->rank, x->dims, w->dims, e);
    if (r)
        return r;
    j->s = conv_shape_of(&j->w, a->conv.group, x->dims[0], x->dims[1], w->dims[0]);
    j->taps = window_product(j->w.kernel);
    j->k = w->dims[1] * j->taps;
    j->out = window_product(j->w.out);
    j->blocks = (j->out + COLUMNS - 1) / COLUMNS;
    if (__builtin_mul_overflow(j->taps * a->offset_group, x->dims[0], &want) ||
        __builtin_mul_overflow(want, j->out, &want))
        return err_set(e, ERR_LIMIT, "the convolution is too large");
    if (mask && tensor_count(mask) != want)
        return err_set(e, ERR_INPUT, "the mask must be [%lld, %lld, output]", (long long)x->dims[0],
                       (long long)(j->taps * a->offset_group));
    if (tensor_count(offset) % j->w.rank != 0 || tensor_count(offset) / j->w.rank != want)
        return err_set(e, ERR_INPUT, "the offset must be [%lld, %lld, output]",
                       (long long)x->dims[0], (long long)(j->taps * a->offset_group * j->w.rank));
    j->narrow = x->dtype != DTYPE_F32 && x->dtype != DTYPE_F64;
    for (int i = 0; i < 5 && j->narrow; i++)
        if (call_in(c, i))
            j->wide[i] = parts_take(&j->scratch, (size_t)tensor_count(call_in(c, i)), sizeof(float));
    if (j->narrow)
        j->wide_y = parts_take(&j->scratch, (size_t)tensor_count(call_out(c, 0)), sizeof(float));
    return 0;
}

static size_t deform_scratch(const struct call *c, size_t *per_member)
{
    struct job j;
    if (tensor_count(call_out(c, 0)) == 0 || job_init(&j, c, NULL) != 0)
        return 0;
    *per_member = (size_t)j.k * COLUMNS * (call_in(c, 0)->dtype == DTYPE_F64 ? 8 : 4);
    return j.scratch.bytes;
}

/* The pixels around a place, with their weights; those outside the image are left out. */
struct place {
    int n;
    int64_t from[8];
    double weight[8];
};

static void place_of(const struct window *w, const double at[3], struct place *out)
{
    int64_t low[3];
    double share[3];
    out->n = 0;
    for (int i = 0; i < 3; i++) {
        if (!(at[i] > -1 && at[i] < (double)w->in[i]))
            return;
        low[i] = (int64_t)floor(at[i]);
        share[i] = at[i] - (double)low[i];
    }
    for (int corner = 0; corner < 8; corner++) {
        double weight = 1;
        int64_t from = 0;
        for (int i = 0; i < 3; i++) {
            int up = corner >> i & 1;
            int64_t p = low[i] + up;
            weight *= p < 0 || p >= w->in[i] ? 0 : up ? share[i] : 1 - share[i];
            from = from * w->in[i] + p;
        }
        if (weight != 0) {
            out->from[out->n] = from;
            out->weight[out->n++] = weight;
        }
    }
}

/* Where tap t of output o reads, before the offset. */
static void tap_place(const struct window *w, int64_t t, int64_t o, double at[3])
{
    int64_t tap[3] = {t / w->kernel[2] / w->kernel[1], t / w->kernel[2] % w->kernel[1],
                      t % w->kernel[2]};
    int64_t pixel[3] = {o / w->out[2] / w->out[1], o / w->out[2] % w->out[1], o % w->out[2]};
    for (int i = 0; i < 3; i++)
        at[i] = (double)(pixel[i] * w->stride[i] - w->pad[i] + tap[i] * w->dilation[i]);
}

#define DEFORM(columns, block, type)                                                               \
    /* Columns of channels [from, to), of one offset group; `to_column` is the first one's. */     \
    static void columns(const struct job *j, int64_t n, int64_t from, int64_t to, int64_t first,   \
                        int64_t count, type *to_column)                                            \
    {                                                                                              \
        const struct window *w = &j->w;                                                            \
        const type *x = j->in[0], *offset = j->in[2], *mask = j->in[4];                            \
        int64_t plane = window_product(w->in);                                                     \
        int64_t group = from / (j->s.channels / j->offset_group);                                  \
        for (int64_t t = 0; t < j->taps; t++) {                                                    \
            int64_t line = (n * j->offset_group + group) * j->taps + t;                            \
            for (int64_t p = 0; p < count; p++) {                                                  \
                int64_t o = first + p;                                                             \
                struct place place;                                                                \
                double at[3];                                                                      \
                tap_place(w, t, o, at);                                                            \
                for (int d = 0; d < w->rank; d++)                                                  \
                    at[3 - w->rank + d] += (double)offset[(line * w->rank + d) * j->out + o];      \
                place_of(w, at, &place);                                                           \
                for (int64_t c = from; c < to; c++) {                                              \
                    const type *image = x + (n * j->s.channels + c) * plane;                       \
                    double sum = 0;                                                                \
                    for (int i = 0; i < place.n; i++)                                              \
                        sum += place.weight[i] * (double)image[place.from[i]];                     \
                    if (mask)                                                                      \
                        sum *= (double)mask[line * j->out + o];                                    \
                    to_column[((c - from) * j->taps + t) * COLUMNS + p] = (type)sum;               \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void block(const struct job *j, int64_t n, int64_t first, int64_t count, type *cols)    \
    {                                                                                              \
        const type *weights = j->in[1], *bias = j->in[3];                                          \
        int64_t rows = j->s.out_channels / j->s.groups, channels = j->s.channels / j->s.groups;    \
        int64_t per_offset = j->s.channels / j->offset_group;                                      \
        for (int64_t g = 0; g < j->s.groups; g++) {                                                \
            /* Channels of this group, an offset group at a time. */                               \
            int64_t begin = g * channels, end = begin + channels;                                  \
            for (int64_t c = begin, next; c < end; c = next) {                                     \
                next = (c / per_offset + 1) * per_offset;                                          \
                next = next < end ? next : end;                                                    \
                columns(j, n, c, next, first, count, cols + (c - begin) * j->taps * COLUMNS);      \
            }                                                                                      \
            for (int64_t o = g * rows; o < (g + 1) * rows; o++) {                                  \
                type acc[COLUMNS] = {0}, *y = j->y;                                                \
                for (int64_t r = 0; r < j->k; r++)                                                 \
                    for (int64_t p = 0; p < count; p++)                                            \
                        acc[p] += weights[o * j->k + r] * cols[r * COLUMNS + p];                   \
                for (int64_t p = 0; p < count; p++)                                                \
                    y[(n * j->s.out_channels + o) * j->out + first + p] =                          \
                        acc[p] + (bias ? bias[o] : 0);                                             \
            }                                                                                      \
        }                                                                                          \
    }
DEFORM(columns_f32, block_f32, float)
DEFORM(columns_f64, block_f64, double)

static int block_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    void *cols = call_member_scratch(j->call, member);
    for (int64_t t = begin; t < end; t++) {
        int64_t first = t % j->blocks * COLUMNS, n = t / j->blocks;
        int64_t count = j->out - first < COLUMNS ? j->out - first : COLUMNS;
        if (call_in(j->call, 0)->dtype == DTYPE_F64)
            block_f64(j, n, first, count, cols);
        else
            block_f32(j, n, first, count, cols);
    }
    return 0;
}

static int deform_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct tensor *y = call_out(c, 0);
    struct job j;
    if (tensor_count(y) == 0)
        return 0;
    int r = job_init(&j, c, e);
    if (r)
        return r;
    j.call = c;
    j.y = j.narrow ? j.wide_y : y->data;
    for (int i = 0; i < 5; i++) {
        const struct tensor *t = call_in(c, i);
        if (t && j.narrow)
            elems_to_f32(t->dtype, t->data, 0, tensor_count(t), j.wide[i]);
        j.in[i] = !t ? NULL : j.narrow ? j.wide[i] : t->data;
    }
    r = call_tasks(c, j.s.batch * j.blocks, block_tasks, &j, e);
    if (r == 0 && j.narrow)
        elems_from_f32(y->dtype, y->data, 0, tensor_count(y), j.y);
    return r;
}

static const struct attr deform_attr_rows[] = {
    {"kernel_shape", ATTR_INTS, offsetof(struct attrs_conv, kernel_shape)},
    {"strides", ATTR_INTS, offsetof(struct attrs_conv, strides)},
    {"pads", ATTR_INTS, offsetof(struct attrs_conv, pads)},
    {"dilations", ATTR_INTS, offsetof(struct attrs_conv, dilations)},
    {"group", ATTR_INT, offsetof(struct attrs_conv, group), .i = 1},
    {"offset_group", ATTR_INT, offsetof(struct deform_attrs, offset_group), .i = 1},
    {NULL},
};

const struct op op_deformconv = {
    .domain = "", .name = "DeformConv", .since = 19,
    .in_min = 3, .in_max = 5, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = deform_attr_rows, .attrs_size = sizeof(struct deform_attrs),
    .infer = deform_infer, .scratch = deform_scratch, .run = deform_run,
    .kernels = "conv",
};
