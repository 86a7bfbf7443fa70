/* SPDX-License-Identifier: Apache-2.0 */
/* ConvInteger and QLinearConv, ONNX's and com.microsoft's, whose images may have the channel last.
 *
 * The sums are exact: with zero points taken off, bytes are at most 255 in size, so 256 products of
 * them sum below 2^24 and f32 holds every partial sum. The input channels of a group are cut into
 * parts of at most 256 taps, each an f32 convolution of kernels/conv.h on the widened image; the
 * parts' sums are added as 32-bit integers, which wrap. A filter of more than 256 taps in one
 * channel runs on plain loops. Weights are packed once where they and their zero points are
 * constant.
 */
#include <math.h>
#include <string.h>

#include "ops/conv.h"
#include "ops/quant.h"
#include "ops/span.h"

enum { TAPS_MAX = 256 };

/* Where the inputs stand. */
struct places {
    int w, x_zero, w_zero, bias;
};
static const struct places plain = {1, 2, 3, -1}, scaled = {3, 2, 5, 8};

struct attrs_ms_conv {
    struct attrs_conv conv;
    int64_t channels_last;
};

static bool channels_last(const struct op *op, const void *attrs)
{
    return op->domain[0] && ((const struct attrs_ms_conv *)attrs)->channels_last;
}

/* ---- inference ------------------------------------------------------------------------------- */

static int check_zero(struct infer *c, const struct places *p, struct err *e)
{
    int r = infer_dtypes(c, 0, DT(U8) | DT(I8), e);
    if (r || (r = infer_dtypes(c, p->w, DT(U8) | DT(I8), e)) ||
        (r = infer_same_dtype(c, 0, p->x_zero, e)))
        return r;
    return infer_same_dtype(c, p->w, p->w_zero, e);
}

static int integer_infer(struct infer *c, struct err *e)
{
    int r = check_zero(c, &plain, e);
    return r ? r : conv_infer_dims(c, plain.w, c->n_in, DTYPE_I32, e);
}

static int qlinear_infer(struct infer *c, struct err *e)
{
    int r = check_zero(c, &scaled, e);
    if (r || (r = infer_dtypes(c, 7, DT(U8) | DT(I8), e)) || (r = infer_dtypes(c, 1, DT(F32), e)) ||
        (r = infer_dtypes(c, 4, DT(F32), e)) || (r = infer_dtypes(c, 6, DT(F32), e)) ||
        (infer_has(c, 8) && (r = infer_dtypes(c, 8, DT(I32), e))))
        return r;
    if (!channels_last(c->node->op, c->attrs) || infer_rank(c, 0) < 0)
        return conv_infer_dims(c, scaled.w, scaled.bias, infer_dtype(c, 7), e);
    /* The same on an image with the channel first, whose result is turned. */
    const struct fact *in[9];
    struct fact x = *c->in[0];
    struct infer one = *c;
    int64_t dims[TENSOR_RANK_MAX];
    memcpy(in, c->in, (size_t)c->n_in * sizeof *in);
    in[0] = &x;
    one.in = in;
    window_channels_first(c->in[0]->type.dims, x.type.rank, true, dims);
    memcpy(x.type.dims, dims, sizeof dims);
    r = conv_infer_dims(&one, scaled.w, scaled.bias, infer_dtype(c, 7), e);
    c->late |= one.late;
    if (r || c->out[0].type.rank < 0)
        return r;
    window_channels_back(c->out[0].type.dims, c->out[0].type.rank, true, dims);
    return infer_set(c, 0, infer_dtype(c, 7), c->out[0].type.rank, dims, e);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static int byte_at(const struct tensor *t, int64_t i)
{
    return t->dtype == DTYPE_U8 ? ((const uint8_t *)t->data)[i] : ((const int8_t *)t->data)[i];
}

/* How a convolution is cut: all groups at once (`parts` 0), or each group in parts of `channels`
 * input channels, the last one maybe smaller. */
struct cut {
    int64_t taps, group_channels, group_rows, parts, channels;
    struct conv_f32 whole, part, last;
};

/* False if the kernel does not take it. */
static bool cut_init(struct cut *cut, const struct conv_shape *s)
{
    struct conv_shape one = *s;
    *cut = (struct cut){.taps = window_product(s->kernel)};
    cut->group_channels = s->channels / s->groups;
    cut->group_rows = s->out_channels / s->groups;
    if (cut->taps > TAPS_MAX)
        return false;
    if (cut->group_channels * cut->taps <= TAPS_MAX)
        return conv_f32_init(&cut->whole, s);
    one.batch = one.groups = 1;
    one.out_channels = cut->group_rows;
    one.channels = cut->channels = TAPS_MAX / cut->taps;
    cut->parts = (cut->group_channels - 1) / cut->channels + 1;
    if (!conv_f32_init(&cut->part, &one))
        return false;
    one.channels = cut->group_channels - (cut->parts - 1) * cut->channels;
    return conv_f32_init(&cut->last, &one);
}

/* Packed floats of a group, its parts one after the other; of all groups. */
static size_t cut_group_floats(const struct cut *cut)
{
    return (size_t)(cut->parts - 1) * conv_f32_packed_size(&cut->part) +
           conv_f32_packed_size(&cut->last);
}

static size_t cut_floats(const struct cut *cut, int64_t groups)
{
    return cut->parts ? cut_group_floats(cut) * (size_t)groups : conv_f32_packed_size(&cut->whole);
}

/* Weights of output channel o, input channels [from, from + n) of its group, less the zero
 * point. */
static void widen_weights(const struct cut *cut, const struct tensor *w, const struct tensor *zero,
                          int64_t o, int64_t from, int64_t n, float *out)
{
    int64_t at = (o * cut->group_channels + from) * cut->taps;
    float z = zero ? (float)byte_at(zero, o % tensor_count(zero)) : 0;
    for (int64_t i = 0; i < n * cut->taps; i++)
        out[i] = (float)byte_at(w, at + i) - z;
}

/* Pack all weights; `wide` has room for those of one part, or of all where there are no parts. */
static void pack_weights(const struct cut *cut, const struct tensor *w, const struct tensor *zero,
                         int64_t groups, float *wide, float *out)
{
    int64_t row = cut->group_channels * cut->taps;
    if (cut->parts == 0) {
        for (int64_t o = 0; o < groups * cut->group_rows; o++)
            widen_weights(cut, w, zero, o, 0, cut->group_channels, wide + o * row);
        conv_f32_pack(&cut->whole, wide, 0, groups, out);
        return;
    }
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t p = 0; p < cut->parts; p++) {
            const struct conv_f32 *conv = p + 1 < cut->parts ? &cut->part : &cut->last;
            int64_t n = conv->shape.channels;
            for (int64_t o = 0; o < cut->group_rows; o++)
                widen_weights(cut, w, zero, g * cut->group_rows + o, p * cut->channels, n,
                              wide + o * n * cut->taps);
            conv_f32_pack(conv, wide, 0, 1, out);
            out += conv_f32_packed_size(conv);
        }
    }
}

static size_t wide_floats(const struct cut *cut, int64_t groups)
{
    return (size_t)(cut->group_rows * cut->taps) *
           (size_t)(cut->parts ? cut->channels : cut->group_channels * groups);
}

/* ---- preparation ----------------------------------------------------------------------------- */

struct prepared {
    float *weights;
};

static int pack_constant(struct prepare *p, const struct places *at, const struct tensor *w,
                         const struct tensor *zero, struct err *e)
{
    const struct attrs_conv *a = p->attrs;
    struct window_lists lists = WINDOW_LISTS(a);
    struct window win;
    struct cut cut;
    int64_t channels;
    if (__builtin_mul_overflow(w->dims[1], a->group, &channels) || a->group < 1 ||
        window_read(&win, &lists, w->rank - 2, w->dims + 2, NULL) != 0)
        return 0;
    for (int i = 0; i < WINDOW_DIMS; i++) {
        win.in[i] = win.out[i] = 1;
        win.pad[i] = 0;
    }
    struct conv_shape shape = conv_shape_of(&win, a->group, 1, channels, w->dims[0]);
    if (w->dims[0] % a->group != 0 || !cut_init(&cut, &shape))
        return 0;
    struct prepared *own = arena_alloc(p->arena, sizeof *own, e);
    float *wide = NULL;
    if (own)
        own->weights = p->pack_alloc(p, cut_floats(&cut, a->group) * sizeof(float), e);
    if (own && own->weights)
        wide = mem_calloc(p->budget, wide_floats(&cut, a->group), sizeof *wide, e);
    if (!wide)
        return e && e->code ? e->code : ERR_MEMORY;
    pack_weights(&cut, w, zero, a->group, wide, own->weights);
    mem_free(wide);
    p->prepared = own;
    p->packed(p, at->w);
    return 0;
}

static int conv_prepare(struct prepare *p, const struct places *at, struct err *e)
{
    const struct tensor *w = p->in[at->w]->data, *zero = NULL;
    if (!w || !w->data || w->rank < 3)
        return 0;
    if (at->w_zero < p->n_in && p->in[at->w_zero]) {
        zero = p->in[at->w_zero]->data;
        if (!zero || !zero->data || (tensor_count(zero) != 1 && tensor_count(zero) != w->dims[0]))
            return 0;
    }
    return pack_constant(p, at, w, zero, e);
}

static int integer_prepare(struct prepare *p, struct err *e)
{
    return conv_prepare(p, &plain, e);
}

static int qlinear_prepare(struct prepare *p, struct err *e)
{
    return conv_prepare(p, &scaled, e);
}

/* ---- running --------------------------------------------------------------------------------- */

/* A call. Scratch, in order: the image as f32, a part's sums as f32, all sums, weights. */
struct job {
    struct call *call;
    const struct places *at;
    const struct tensor *x, *w, *x_zero, *w_zero;
    struct conv_shape shape;
    struct cut cut;
    bool direct; /* plain loops */
    bool last;   /* the channel is the innermost dim of x and y */
    int64_t pixels, outs;       /* elements of x and y */
    size_t part, sums, wide, weights; /* places, in floats */
    size_t floats;                    /* all of them */
    float *base;
    uint32_t *acc;
    const struct conv_f32 *conv;
    struct conv_f32_args args;
    int64_t first, count; /* of the sums that the part makes */
};

static size_t take(struct job *j, size_t floats)
{
    size_t at = j->floats;
    j->floats += (floats + 15) & ~(size_t)15;
    return at;
}

static int job_init(struct job *j, const struct call *c, const struct places *at, struct err *e)
{
    const struct attrs_conv *a = c->attrs;
    struct window win;
    *j = (struct job){.at = at, .x = call_in(c, 0), .w = call_in(c, at->w),
                      .x_zero = call_in(c, at->x_zero), .w_zero = call_in(c, at->w_zero)};
    int64_t dims[TENSOR_RANK_MAX];
    j->last = channels_last(c->op, a);
    window_channels_first(j->x->dims, j->x->rank, j->last, dims);
    int r = conv_window(&win, a, NULL, j->x->rank, dims, j->w->dims, e);
    if (r)
        return r;
    window_place(&win);
    j->shape = conv_shape_of(&win, a->group, dims[0], dims[1], j->w->dims[0]);
    j->pixels = tensor_count(j->x);
    j->outs = tensor_count(call_out(c, 0));
    if (j->outs == 0)
        return 0;
    j->direct = !cut_init(&j->cut, &j->shape);
    take(j, j->direct ? 0 : (size_t)j->pixels);
    j->part = take(j, 0);
    if (!j->direct)
        take(j, j->cut.parts ? (size_t)(j->outs / j->shape.batch / j->shape.groups)
                             : (size_t)j->outs);
    j->sums = take(j, at == &scaled ? (size_t)j->outs : 0);
    if (!j->direct && !c->prepared) {
        j->wide = take(j, wide_floats(&j->cut, a->group));
        j->weights = take(j, cut_floats(&j->cut, a->group));
    }
    return 0;
}

static size_t conv_scratch(const struct call *c, const struct places *at, size_t *per_member)
{
    struct job j;
    if (job_init(&j, c, at, NULL) != 0 || j.outs == 0)
        return 0;
    if (!j.direct && j.cut.parts == 0) {
        *per_member = conv_f32_scratch(&j.cut.whole) * sizeof(float);
    } else if (!j.direct) {
        size_t part = conv_f32_scratch(&j.cut.part), last = conv_f32_scratch(&j.cut.last);
        *per_member = (part > last ? part : last) * sizeof(float);
    }
    return j.floats * sizeof(float);
}

static size_t integer_scratch(const struct call *c, size_t *per_member)
{
    return conv_scratch(c, &plain, per_member);
}

static size_t qlinear_scratch(const struct call *c, size_t *per_member)
{
    return conv_scratch(c, &scaled, per_member);
}

/* The byte of a pixel of plane p (channel of an image) of x. */
static int64_t x_place(const struct job *j, int64_t p, int64_t pixel)
{
    int64_t channels = j->shape.channels, n = window_product(j->shape.in);
    return j->last ? (p / channels * n + pixel) * channels + p % channels : p * n + pixel;
}

static int widen_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    struct span s = span_of(begin, end, tasks_for(j->pixels, 1), j->pixels);
    float z = j->x_zero ? (float)byte_at(j->x_zero, 0) : 0;
    const uint8_t *u = j->x->data;
    const int8_t *i8 = j->x->data;
    int64_t plane = window_product(j->shape.in);
    if (j->last)
        for (int64_t i = s.first; i < s.last; i++)
            j->base[i] = (float)byte_at(j->x, x_place(j, i / plane, i % plane)) - z;
    else if (j->x->dtype == DTYPE_U8)
        for (int64_t i = s.first; i < s.last; i++)
            j->base[i] = (float)u[i] - z;
    else
        for (int64_t i = s.first; i < s.last; i++)
            j->base[i] = (float)i8[i] - z;
    return 0;
}

static int conv_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    for (int64_t t = begin; t < end; t++)
        conv_f32_run(j->conv, &j->args, (size_t)t, call_member_scratch(j->call, member));
    return 0;
}

static int add_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    struct span s = span_of(begin, end, tasks_for(j->count, 1), j->count);
    for (int64_t i = s.first; i < s.last; i++)
        j->acc[j->first + i] += (uint32_t)(int32_t)j->args.y[i];
    return 0;
}

/* Convolve and add the result to the sums from `first` on. */
static int run_part(struct job *j, const struct conv_f32 *conv, const float *x,
                    const float *weights, int64_t first, int64_t count, struct err *e)
{
    j->conv = conv;
    j->args = (struct conv_f32_args){.x = x, .weights = weights, .y = j->base + j->part,
                                     .lo = -INFINITY, .hi = INFINITY};
    j->first = first;
    j->count = count;
    int r = call_tasks(j->call, (int64_t)conv->task_count, conv_tasks, j, e);
    return r ? r : call_tasks(j->call, tasks_for(count, 1), add_tasks, j, e);
}

static int run_parts(struct job *j, const float *weights, struct err *e)
{
    const struct cut *cut = &j->cut;
    int64_t image = j->pixels / j->shape.batch / j->shape.channels, groups = j->shape.groups;
    int64_t count = j->outs / j->shape.batch / groups;
    int r = 0;
    if (cut->parts == 0)
        return run_part(j, &cut->whole, j->base, weights, 0, j->outs, e);
    for (int64_t i = 0; i < j->shape.batch * groups && r == 0; i++) {
        const float *w = weights + (size_t)(i % groups) * cut_group_floats(cut);
        for (int64_t p = 0; p < cut->parts && r == 0; p++) {
            const struct conv_f32 *conv = p + 1 < cut->parts ? &cut->part : &cut->last;
            int64_t channel = i * cut->group_channels + p * cut->channels;
            r = run_part(j, conv, j->base + channel * image, w, i * count, count, e);
            w += conv_f32_packed_size(conv);
        }
    }
    return r;
}

/* ---- plain loops ----------------------------------------------------------------------------- */

static uint32_t direct_pixel(const struct job *j, int64_t n, int64_t o, const int64_t at[3])
{
    const struct conv_shape *s = &j->shape;
    int64_t group = o / (s->out_channels / s->groups), channels = s->channels / s->groups;
    int zx = j->x_zero ? byte_at(j->x_zero, 0) : 0;
    int zw = j->w_zero ? byte_at(j->w_zero, o % tensor_count(j->w_zero)) : 0;
    int64_t w = o * channels * window_product(s->kernel);
    uint32_t sum = 0;
    for (int64_t c = 0; c < channels; c++) {
        int64_t plane = n * s->channels + group * channels + c;
        for (int64_t kz = 0; kz < s->kernel[0]; kz++)
            for (int64_t ky = 0; ky < s->kernel[1]; ky++)
                for (int64_t kx = 0; kx < s->kernel[2]; kx++, w++) {
                    int64_t z = at[0] * s->stride[0] - s->pad[0] + kz * s->dilation[0];
                    int64_t y = at[1] * s->stride[1] - s->pad[1] + ky * s->dilation[1];
                    int64_t x = at[2] * s->stride[2] - s->pad[2] + kx * s->dilation[2];
                    if (z < 0 || z >= s->in[0] || y < 0 || y >= s->in[1] || x < 0 || x >= s->in[2])
                        continue;
                    int64_t pixel = (z * s->in[1] + y) * s->in[2] + x;
                    int v = byte_at(j->x, x_place(j, plane, pixel)) - zx;
                    sum += (uint32_t)(v * (byte_at(j->w, w) - zw));
                }
    }
    return sum;
}

static int direct_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    const struct conv_shape *s = &j->shape;
    for (int64_t p = begin; p < end; p++) {
        uint32_t *to = j->acc + p * window_product(s->out);
        int64_t at[3];
        for (at[0] = 0; at[0] < s->out[0]; at[0]++)
            for (at[1] = 0; at[1] < s->out[1]; at[1]++)
                for (at[2] = 0; at[2] < s->out[2]; at[2]++)
                    *to++ = direct_pixel(j, p / s->out_channels, p % s->out_channels, at);
    }
    return 0;
}

/* ---- both operators -------------------------------------------------------------------------- */

/* All sums into j->acc. */
static int run_sums(struct job *j, struct err *e)
{
    struct call *c = j->call;
    const struct prepared *own = c->prepared;
    if (j->direct && own)
        return err_set(e, ERR_LIMIT, "the convolution is too large");
    if (j->direct)
        return call_tasks(c, j->shape.batch * j->shape.out_channels, direct_tasks, j, e);
    memset(j->acc, 0, (size_t)j->outs * sizeof *j->acc);
    if (!own)
        pack_weights(&j->cut, j->w, j->w_zero, j->shape.groups, j->base + j->wide,
                     j->base + j->weights);
    if (j->pixels == 0)
        return 0;
    int r = call_tasks(c, tasks_for(j->pixels, 1), widen_tasks, j, e);
    return r ? r : run_parts(j, own ? own->weights : j->base + j->weights, e);
}

static int check_count(const struct tensor *t, int64_t channels, const char *what, struct err *e)
{
    int64_t n = t ? tensor_count(t) : 1;
    if (n == 1 || n == channels)
        return 0;
    return err_set(e, ERR_INPUT, "%s has %lld elements, not 1 or %lld", what, (long long)n,
                   (long long)channels);
}

static int start(struct job *j, struct call *c, const struct places *at, struct err *e)
{
    int r = job_init(j, c, at, e);
    if (r)
        return r;
    j->call = c;
    j->base = c->scratch;
    if ((r = check_count(j->x_zero, 1, "the input's zero point", e)))
        return r;
    return check_count(j->w_zero, j->shape.out_channels, "the weights' zero point", e);
}

static int integer_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job j;
    int r = start(&j, c, &plain, e);
    if (r || j.outs == 0)
        return r;
    j.acc = call_out(c, 0)->data;
    return run_sums(&j, e);
}

/* Planes of sums to bytes: plus bias, times x_scale * w_scale / y_scale, rounded, plus zero. */
static int byte_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    const struct tensor *w_scale = call_in(j->call, 4), *zero = call_in(j->call, 7);
    const struct tensor *bias = call_in(j->call, 8);
    const struct quant_range range = zero->dtype == DTYPE_I8 ? (struct quant_range){-128, 127}
                                                             : (struct quant_range){0, 255};
    float sx = *(const float *)call_in(j->call, 1)->data;
    float sy = *(const float *)call_in(j->call, 6)->data, z = (float)byte_at(zero, 0);
    int64_t n = window_product(j->shape.out);
    for (int64_t p = begin; p < end; p++) {
        int64_t o = p % j->shape.out_channels;
        float factor = sx * ((const float *)w_scale->data)[o % tensor_count(w_scale)] / sy;
        uint32_t b = bias ? ((const uint32_t *)bias->data)[o] : 0;
        int64_t outs = j->shape.out_channels, step = j->last ? outs : 1;
        uint8_t *to = (uint8_t *)call_out(j->call, 0)->data +
                      (j->last ? p / outs * n * outs + o : p * n);
        for (int64_t i = 0; i < n; i++) {
            float sum = (float)(int32_t)(j->acc[p * n + i] + b);
            to[i * step] = (uint8_t)(int)quant_round(sum * factor, z, range);
        }
    }
    return 0;
}

static int qlinear_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job j;
    int r = start(&j, c, &scaled, e);
    if (r || j.outs == 0)
        return r;
    if ((r = check_count(call_in(c, 1), 1, "the input's scale", e)) ||
        (r = check_count(call_in(c, 4), j.shape.out_channels, "the weights' scale", e)) ||
        (r = check_count(call_in(c, 6), 1, "the output's scale", e)) ||
        (r = check_count(call_in(c, 7), 1, "the output's zero point", e)))
        return r;
    j.acc = (uint32_t *)(j.base + j.sums);
    r = run_sums(&j, e);
    return r ? r : call_tasks(c, j.shape.batch * j.shape.out_channels, byte_tasks, &j, e);
}

const struct op op_convinteger = {
    .domain = "", .name = "ConvInteger", .since = 10,
    .in_min = 2, .in_max = 4, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = conv_attrs, .attrs_size = sizeof(struct attrs_conv),
    .infer = integer_infer, .prepare = integer_prepare, .scratch = integer_scratch,
    .run = integer_run,
    .kernels = "conv",
};

const struct op op_qlinearconv = {
    .domain = "", .name = "QLinearConv", .since = 10,
    .in_min = 8, .in_max = 9, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = conv_attrs, .attrs_size = sizeof(struct attrs_conv),
    .infer = qlinear_infer, .prepare = qlinear_prepare, .scratch = qlinear_scratch,
    .run = qlinear_run,
    .kernels = "conv",
};

static const struct attr ms_conv_attrs[] = {
    {"auto_pad", ATTR_STRING, offsetof(struct attrs_ms_conv, conv.auto_pad), .s = "NOTSET"},
    {"kernel_shape", ATTR_INTS, offsetof(struct attrs_ms_conv, conv.kernel_shape)},
    {"strides", ATTR_INTS, offsetof(struct attrs_ms_conv, conv.strides)},
    {"pads", ATTR_INTS, offsetof(struct attrs_ms_conv, conv.pads)},
    {"dilations", ATTR_INTS, offsetof(struct attrs_ms_conv, conv.dilations)},
    {"group", ATTR_INT, offsetof(struct attrs_ms_conv, conv.group), .i = 1},
    {"channels_last", ATTR_INT, offsetof(struct attrs_ms_conv, channels_last)},
    {NULL},
};

const struct op op_ms_qlinearconv = {
    .domain = "com.microsoft", .name = "QLinearConv", .since = 1,
    .in_min = 8, .in_max = 9, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = ms_conv_attrs, .attrs_size = sizeof(struct attrs_ms_conv),
    .infer = qlinear_infer, .prepare = qlinear_prepare, .scratch = qlinear_scratch,
    .run = qlinear_run,
    .kernels = "conv",
};
