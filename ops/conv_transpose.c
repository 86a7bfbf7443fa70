/* SPDX-License-Identifier: Apache-2.0 */
/* ConvTranspose.
 *
 * Output o takes tap t of input i where o + pad = i * stride + t * dilation. Outputs whose o + pad
 * has the same remainder by the stride therefore read the same taps, at inputs that move on by one
 * with each of them: an ordinary convolution of stride 1 with those taps, turned round. So f32 runs
 * as one convolution (kernels/conv.h) for each remainder, whose results are then spread over the
 * output:
 *
 *   stride 2, 3 taps:   o + pad even: taps 2, 0      odd: tap 1
 *
 * Taps are packed by remainder, once where the weights are constant, whatever the pads. f16 and
 * bf16 are widened as a whole. f64, and strides of a great many remainders, run on plain loops.
 */
#include <math.h>
#include <string.h>

#include "ops/conv.h"
#include "ops/span.h"

enum { REMAINDERS_MAX = 1024 };

/* ---- shapes ---------------------------------------------------------------------------------- */

/* The total pad that leads to the output size `want`, from the size without pads, shared out. */
static void pads_for(struct window *w, int i, int64_t without, int64_t want)
{
    if (!sym_is_number(without) || !sym_is_number(want))
        return;
    int64_t total = without > want ? without - want : 0;
    w->pad[i] = w->auto_pad == AUTO_PAD_SAME_UPPER ? total / 2 : total - total / 2;
    w->pad_end[i] = total - w->pad[i];
}

static int check_lists(const struct attrs_conv_transpose *a, int rank, struct err *e)
{
    const struct ints *lists[] = {&a->output_padding, &a->output_shape};
    int r = ints_length(&a->output_padding, rank, "output_padding", e);
    if (r == 0 && a->output_shape.n != rank + 2)
        r = ints_length(&a->output_shape, rank, "output_shape", e);
    for (int k = 0; k < 2 && r == 0; k++)
        for (int64_t i = 0; lists[k]->v && i < lists[k]->n; i++)
            if (lists[k]->v[i] < 0 || lists[k]->v[i] >= INT64_C(1) << 40)
                return err_set(e, ERR_MODEL, "attribute %s holds %lld",
                               k ? "output_shape" : "output_padding", (long long)lists[k]->v[i]);
    return r;
}

/* The window with sizes and pads; dims maybe symbolic. */
static int transpose_window(struct window *w, const struct attrs_conv_transpose *a, struct syms *s,
                            int rank, const int64_t *x, const int64_t *weights, struct err *e)
{
    enum err_code fault = s ? ERR_MODEL : ERR_INPUT;
    struct window_lists lists = WINDOW_LISTS(a);
    int r = window_read(w, &lists, rank - 2, rank > 2 ? weights + 2 : NULL, e);
    if (r || (r = check_lists(a, w->rank, e)))
        return r;
    if (a->group < 1 || a->group > INT32_MAX)
        return err_set(e, ERR_MODEL, "group is %lld", (long long)a->group);
    if (sym_differ(s, x[1], weights[0]) || (sym_is_number(x[1]) && x[1] % a->group != 0))
        return err_set(e, fault,
                       "the channels of the input and of the weights do not agree, in %lld groups",
                       (long long)a->group);
    for (int i = 0; i < WINDOW_DIMS; i++) {
        int k = i - (WINDOW_DIMS - w->rank);
        w->in[i] = k >= 0 ? x[2 + k] : 1;
        w->out[i] = 1;
        if (k < 0)
            continue;
        int64_t wide = sym_add(s, sym_mul(s, sym_sub(s, w->kernel[i], 1), w->dilation[i]), 1);
        int64_t last = sym_mul(s, sym_sub(s, w->in[i], 1), w->stride[i]);
        int64_t more = a->output_padding.v ? a->output_padding.v[k] : 0;
        int64_t without = sym_add(s, sym_add(s, last, wide), more);
        if (a->output_shape.v) {
            w->out[i] = a->output_shape.v[a->output_shape.n - w->rank + k];
            pads_for(w, i, without, w->out[i]);
        } else if (w->auto_pad == AUTO_PAD_SAME_UPPER || w->auto_pad == AUTO_PAD_SAME_LOWER) {
            w->out[i] = sym_mul(s, w->in[i], w->stride[i]);
            pads_for(w, i, without, w->out[i]);
        } else {
            w->out[i] = sym_sub(s, without, w->pad[i] + w->pad_end[i]);
        }
        /* Nothing in gives nothing out. */
        if (sym_is_number(w->in[i]) && w->in[i] == 0 && sym_is_number(w->out[i]) && w->out[i] < 0)
            w->out[i] = 0;
    }
    return 0;
}

static int transpose_infer(struct infer *c, struct err *e)
{
    const struct attrs_conv_transpose *a = c->attrs;
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)) || (r = infer_same_dtype(c, 0, 2, e)))
        return r;
    const struct type *x = &c->in[0]->type, *w = &c->in[1]->type;
    int64_t dims[TENSOR_RANK_MAX];
    struct window win;
    if (x->rank < 0 || w->rank < 0)
        return infer_unknown(c, 0, x->dtype, e);
    if (x->rank != w->rank)
        return err_set(e, ERR_MODEL, "an input of rank %d and weights of rank %d", x->rank,
                       w->rank);
    if ((r = transpose_window(&win, a, c->syms, x->rank, x->dims, w->dims, e)))
        return r;
    dims[0] = x->dims[0];
    dims[1] = sym_mul(c->syms, w->dims[1], a->group);
    if (infer_rank(c, 2) >= 0 &&
        (infer_rank(c, 2) != 1 || sym_differ(c->syms, infer_dim(c, 2, 0), dims[1])))
        return err_set(e, ERR_MODEL, "the bias must have one number for each output channel");
    memcpy(dims + 2, window_out(&win), (size_t)win.rank * sizeof *dims);
    return infer_set(c, 0, x->dtype, x->rank, dims, e);
}

/* ---- remainders ------------------------------------------------------------------------------ */

/* One dim: the taps first, first + step, ... (count of them) of the outputs with o + pad = rest
 * modulo the stride; neighbouring taps lie `dilation` inputs apart. */
struct taps {
    int64_t rest, first, step, count, dilation;
};

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static struct taps taps_of(const struct window *w, int i, int64_t rest)
{
    int64_t s = w->stride[i], d = w->dilation[i], g = common_divisor(s, d);
    struct taps t = {.rest = rest, .step = s / g, .dilation = d / g};
    while (t.first < t.step && t.first * d % s != rest)
        t.first++;
    if (t.first < t.step && t.first < w->kernel[i])
        t.count = (w->kernel[i] - 1 - t.first) / t.step + 1;
    return t;
}

/* The convolution of one remainder in each dim. Its outputs before `skip` are not used; those
 * after go to first, first + stride, ... */
struct part {
    struct taps taps[WINDOW_DIMS];
    int64_t skip[WINDOW_DIMS], first[WINDOW_DIMS], count[WINDOW_DIMS];
    struct conv_shape shape;
    bool empty;   /* no taps: the bias alone */
    bool nothing; /* no outputs */
};

static int64_t remainders(const struct window *w)
{
    int64_t n = 1;
    for (int i = 0; i < WINDOW_DIMS; i++) {
        n = n > REMAINDERS_MAX ? n : n * w->stride[i];
        if (n > REMAINDERS_MAX)
            return 0;
    }
    return n;
}

static void part_init(struct part *p, const struct window *w, const struct conv_shape *whole,
                      int64_t index)
{
    *p = (struct part){.shape = *whole};
    for (int i = WINDOW_DIMS - 1; i >= 0; i--) {
        int64_t s = w->stride[i];
        struct taps t = taps_of(w, i, index % s);
        index /= s;
        /* The least output of this remainder. */
        int64_t q = ((t.rest - w->pad[i]) % s + s) % s;
        p->taps[i] = t;
        p->first[i] = q;
        p->count[i] = w->out[i] > q ? (w->out[i] - q - 1) / s + 1 : 0;
        p->nothing |= p->count[i] == 0;
        p->empty |= t.count == 0;
        /* Output q + j * stride reads tap u of input j + ahead - u * dilation. */
        int64_t ahead = (q + w->pad[i] - t.first * w->dilation[i]) / s;
        int64_t pad = (t.count - 1) * t.dilation - ahead;
        p->skip[i] = pad < 0 ? -pad : 0;
        p->shape.kernel[i] = t.count;
        p->shape.stride[i] = 1;
        p->shape.dilation[i] = t.dilation;
        p->shape.pad[i] = pad < 0 ? 0 : pad;
        p->shape.out[i] = p->count[i] + p->skip[i];
    }
}

/* Weights of the part as an ordinary convolution has them: [OC][IC / groups][taps], taps turned
 * round. */
static void part_weights(const struct part *p, const struct window *w, const float *from, float *to)
{
    const struct conv_shape *s = &p->shape;
    const struct taps *t = p->taps;
    int64_t ic = s->channels / s->groups, oc = s->out_channels / s->groups;
    int64_t all = window_product(w->kernel);
    for (int64_t o = 0; o < s->out_channels; o++) {
        for (int64_t i = 0; i < ic; i++) {
            const float *filter = from + ((o / oc * ic + i) * oc + o % oc) * all;
            for (int64_t z = t[0].count - 1; z >= 0; z--)
                for (int64_t y = t[1].count - 1; y >= 0; y--)
                    for (int64_t x = t[2].count - 1; x >= 0; x--)
                        *to++ = filter[((t[0].first + z * t[0].step) * w->kernel[1] + t[1].first +
                                        y * t[1].step) * w->kernel[2] + t[2].first + x * t[2].step];
        }
    }
}

/* ---- preparation ----------------------------------------------------------------------------- */

struct prepared {
    float *weights; /* of all remainders, those without taps left out */
};

/* Packed floats of all remainders; false if the kernel does not take one. Packs where `out` is
 * given; `wide` has room for the weights of one. */
static bool pack_all(const struct window *w, const struct conv_shape *whole, const float *from,
                     float *wide, float *out, size_t *floats)
{
    struct window near = *w;
    *floats = 0;
    for (int i = 0; i < WINDOW_DIMS; i++) { /* the layout depends on neither size nor pads */
        near.in[i] = near.out[i] = 1;
        near.pad[i] = 0;
    }
    for (int64_t index = 0; index < remainders(w); index++) {
        struct part p;
        struct conv_f32 conv;
        part_init(&p, &near, whole, index);
        if (p.empty)
            continue;
        for (int i = 0; i < WINDOW_DIMS; i++) {
            p.shape.in[i] = p.shape.out[i] = 1;
            p.shape.pad[i] = 0;
        }
        p.shape.batch = 1;
        if (!conv_f32_init(&conv, &p.shape))
            return false;
        if (out) {
            part_weights(&p, w, from, wide);
            conv_f32_pack(&conv, wide, 0, whole->groups, out + *floats);
        }
        *floats += conv_f32_packed_size(&conv);
    }
    return true;
}

static struct conv_shape whole_shape(const struct window *w, int64_t groups, const int64_t *x,
                                     const int64_t *weights)
{
    return conv_shape_of(w, groups, x[0], x[1], weights[1] * groups);
}

static int transpose_prepare(struct prepare *p, struct err *e)
{
    const struct attrs_conv_transpose *a = p->attrs;
    const struct tensor *w = p->in[1]->data;
    struct window_lists lists = WINDOW_LISTS(a);
    struct window win;
    size_t floats;
    if (!w || !w->data || w->dtype == DTYPE_F64 || w->rank < 3 || a->group < 1 ||
        a->group > INT32_MAX || w->dims[0] % a->group != 0 ||
        window_read(&win, &lists, w->rank - 2, w->dims + 2, NULL) != 0 || remainders(&win) == 0)
        return 0;
    int64_t image[2] = {1, w->dims[0]}, count = tensor_count(w);
    struct conv_shape whole = whole_shape(&win, a->group, image, w->dims);
    if (count == 0 || !pack_all(&win, &whole, NULL, NULL, NULL, &floats))
        return 0;
    struct prepared *own = arena_alloc(p->arena, sizeof *own, e);
    if (!own || !(own->weights = p->pack_alloc(p, floats * sizeof(float), e)))
        return e && e->code ? e->code : ERR_MEMORY;
    float *wide = mem_calloc(p->budget, (size_t)count * 2, sizeof *wide, e);
    if (!wide)
        return e && e->code ? e->code : ERR_MEMORY;
    elems_to_f32(w->dtype, w->data, 0, count, wide + count);
    pack_all(&win, &whole, wide + count, wide, own->weights, &floats);
    mem_free(wide);
    p->prepared = own;
    p->packed(p, 1);
    return 0;
}

/* ---- running --------------------------------------------------------------------------------- */

/* A call; what lies in its scratch is NULL where it is not needed. */
struct job {
    struct call *call;
    struct window w;
    struct conv_shape whole;
    bool direct;
    struct parts scratch;
    float *x, *y, *bias, *weights, *wide, *pack, *parts;
    size_t member;
    const float *bias_values;
    struct part part;
    struct conv_f32 conv;
    struct conv_f32_args args;
    float *out; /* y as f32 */
};

static float *take(struct job *j, bool wanted, int64_t floats)
{
    return wanted ? parts_take(&j->scratch, (size_t)floats, sizeof(float)) : NULL;
}

static int job_init(struct job *j, const struct call *c, struct err *e)
{
    const struct attrs_conv_transpose *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *w = call_in(c, 1), *bias = call_in(c, 2);
    bool narrow = x->dtype != DTYPE_F32;
    *j = (struct job){.scratch = parts_shared(c)};
    int r = transpose_window(&j->w, a, NULL, x->rank, x->dims, w->dims, e);
    if (r)
        return r;
    j->whole = whole_shape(&j->w, a->group, x->dims, w->dims);
    j->direct = x->dtype == DTYPE_F64 || remainders(&j->w) == 0;
    if (x->dtype == DTYPE_F64)
        return 0;
    size_t floats = 0, most = 0;
    for (int64_t i = 0; i < remainders(&j->w); i++) {
        struct part p;
        struct conv_f32 conv;
        part_init(&p, &j->w, &j->whole, i);
        if (p.empty || p.nothing)
            continue;
        if (!conv_f32_init(&conv, &p.shape))
            return err_set(e, ERR_LIMIT, "the convolution is too large");
        size_t out = (size_t)(p.shape.batch * p.shape.out_channels) * conv.out_pixels;
        most = out > most ? out : most;
        size_t scratch = conv_f32_scratch(&conv) * sizeof(float);
        j->member = scratch > j->member ? scratch : j->member;
    }
    bool own = c->prepared != NULL;
    if (!own && !j->direct && !pack_all(&j->w, &j->whole, NULL, NULL, NULL, &floats))
        return err_set(e, ERR_LIMIT, "the convolution is too large");
    j->x = take(j, narrow, tensor_count(x));
    j->y = take(j, narrow, tensor_count(call_out(c, 0)));
    j->bias = take(j, narrow && bias, bias ? tensor_count(bias) : 0);
    j->weights = take(j, narrow && !own, tensor_count(w));
    j->wide = take(j, !own && !j->direct, tensor_count(w));
    j->pack = take(j, !own && !j->direct, (int64_t)floats);
    j->parts = take(j, !j->direct, (int64_t)most);
    return 0;
}

static size_t transpose_scratch(const struct call *c, size_t *per_member)
{
    struct job j;
    if (tensor_count(call_out(c, 0)) == 0 || job_init(&j, c, NULL) != 0)
        return 0;
    *per_member = j.member;
    return j.scratch.bytes;
}

static int conv_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    for (int64_t t = begin; t < end; t++)
        conv_f32_run(&j->conv, &j->args, (size_t)t, call_member_scratch(j->call, member));
    return 0;
}

/* Planes of a part to their places in y. */
static int spread_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    const struct part *p = &j->part;
    const struct window *w = &j->w;
    const int64_t *n = p->shape.out;
    for (int64_t plane = begin; plane < end; plane++) {
        const float *from = p->empty ? NULL : j->args.y + plane * window_product(n);
        float *to = j->out + plane * window_product(w->out);
        float bias = j->bias_values ? j->bias_values[plane % p->shape.out_channels] : 0;
        for (int64_t z = 0; z < p->count[0]; z++) {
            for (int64_t y = 0; y < p->count[1]; y++) {
                int64_t at = ((p->first[0] + z * w->stride[0]) * w->out[1] + p->first[1] +
                              y * w->stride[1]) * w->out[2] + p->first[2];
                int64_t start = ((p->skip[0] + z) * n[1] + p->skip[1] + y) * n[2] + p->skip[2];
                const float *row = p->empty ? NULL : from + start;
                for (int64_t x = 0; x < p->count[2]; x++)
                    to[at + x * w->stride[2]] = row ? row[x] : bias;
            }
        }
    }
    return 0;
}

static int run_parts(struct job *j, const float *weights, struct err *e)
{
    int r = 0;
    for (int64_t i = 0; i < remainders(&j->w) && r == 0; i++) {
        struct part *p = &j->part;
        part_init(p, &j->w, &j->whole, i);
        j->args.y = j->parts;
        j->args.weights = weights;
        if (!p->empty) {
            /* The size of the packed weights is that of any image. */
            struct conv_shape near = p->shape;
            for (int k = 0; k < WINDOW_DIMS; k++)
                near.in[k] = near.out[k] = 1;
            near.batch = 1;
            if (!conv_f32_init(&j->conv, p->nothing ? &near : &p->shape))
                return err_set(e, ERR_LIMIT, "the convolution is too large");
            weights += conv_f32_packed_size(&j->conv);
        }
        if (p->nothing)
            continue;
        if (!p->empty && j->conv.task_count > 0)
            r = call_tasks(j->call, (int64_t)j->conv.task_count, conv_tasks, j, e);
        if (r == 0)
            r = call_tasks(j->call, p->shape.batch * p->shape.out_channels, spread_tasks, j, e);
    }
    return r;
}

/* ---- plain loops ----------------------------------------------------------------------------- */

/* The input that output o reads through tap t; -1 if none. */
static int64_t input_of(const struct window *w, int i, int64_t o, int64_t t)
{
    int64_t at = o + w->pad[i] - t * w->dilation[i], s = w->stride[i];
    return at < 0 || at % s != 0 || at / s >= w->in[i] ? -1 : at / s;
}

#define DIRECT(name, type)                                                                         \
    static void name(const struct job *j, const type *x, const type *weights, const type *bias,    \
                     type *y, int64_t plane)                                                       \
    {                                                                                              \
        const struct window *w = &j->w;                                                            \
        const struct conv_shape *s = &j->whole;                                                    \
        int64_t ic = s->channels / s->groups, oc = s->out_channels / s->groups;                    \
        int64_t n = plane / s->out_channels, o = plane % s->out_channels, g = o / oc;              \
        int64_t in = window_product(w->in), taps = window_product(w->kernel);                      \
        int64_t out = window_product(w->out);                                                      \
        for (int64_t p = 0; p < out; p++) {                                                        \
            int64_t at[3] = {p / w->out[2] / w->out[1], p / w->out[2] % w->out[1], p % w->out[2]}; \
            double sum = 0;                                                                        \
            for (int64_t t = 0; t < taps; t++) {                                                   \
                int64_t kx = t % w->kernel[2], ky = t / w->kernel[2] % w->kernel[1];               \
                int64_t iz = input_of(w, 0, at[0], t / w->kernel[2] / w->kernel[1]);               \
                int64_t iy = input_of(w, 1, at[1], ky), ix = input_of(w, 2, at[2], kx);            \
                if (iz < 0 || iy < 0 || ix < 0)                                                    \
                    continue;                                                                      \
                int64_t from = (iz * w->in[1] + iy) * w->in[2] + ix;                               \
                for (int64_t c = 0; c < ic; c++)                                                   \
                    sum += (double)x[(n * s->channels + g * ic + c) * in + from] *                 \
                           (double)weights[((g * ic + c) * oc + o % oc) * taps + t];               \
            }                                                                                      \
            y[plane * out + p] = (type)(sum + (bias ? (double)bias[o] : 0));                       \
        }                                                                                          \
    }
DIRECT(direct_f32, float)
DIRECT(direct_f64, double)

static int direct_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    const struct call *c = j->call;
    const struct tensor *bias = call_in(c, 2), *w = call_in(c, 1);
    for (int64_t p = begin; p < end; p++) {
        if (w->dtype == DTYPE_F64)
            direct_f64(j, call_in(c, 0)->data, w->data, bias ? bias->data : NULL,
                       call_out(c, 0)->data, p);
        else
            direct_f32(j, j->args.x, j->args.weights, j->bias_values, j->out, p);
    }
    return 0;
}

static int widen_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    const struct tensor *x = call_in(j->call, 0);
    int64_t n = tensor_count(x);
    struct span s = span_of(begin, end, tasks_for(n, 1), n);
    elems_to_f32(x->dtype, x->data, s.first, s.last - s.first, j->x + s.first);
    return 0;
}

static int narrow_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    struct tensor *y = call_out(j->call, 0);
    int64_t n = tensor_count(y);
    struct span s = span_of(begin, end, tasks_for(n, 1), n);
    elems_from_f32(y->dtype, y->data, s.first, s.last - s.first, j->y + s.first);
    return 0;
}

/* f32, or f16 and bf16 widened. */
static int run_f32(struct job *j, struct err *e)
{
    struct call *c = j->call;
    const struct prepared *own = c->prepared;
    const struct tensor *x = call_in(c, 0), *w = call_in(c, 1), *bias = call_in(c, 2);
    struct tensor *y = call_out(c, 0);
    bool narrow = x->dtype != DTYPE_F32;
    const float *weights = own ? own->weights : w->data;
    size_t floats;
    int r = 0;
    j->out = narrow ? j->y : y->data;
    j->args = (struct conv_f32_args){.x = narrow ? j->x : x->data, .lo = -INFINITY,
                                     .hi = INFINITY};
    j->bias_values = bias ? bias->data : NULL;
    if (narrow && bias) {
        elems_to_f32(bias->dtype, bias->data, 0, tensor_count(bias), j->bias);
        j->bias_values = j->bias;
    }
    if (narrow && !own) {
        elems_to_f32(w->dtype, w->data, 0, tensor_count(w), j->weights);
        weights = j->weights;
    }
    if (narrow && tensor_count(x) > 0)
        r = call_tasks(c, tasks_for(tensor_count(x), 1), widen_tasks, j, e);
    j->args.bias = j->bias_values;
    j->args.weights = weights;
    if (r == 0 && j->direct) {
        r = call_tasks(c, j->whole.batch * j->whole.out_channels, direct_tasks, j, e);
    } else if (r == 0) {
        if (!own) {
            pack_all(&j->w, &j->whole, weights, j->wide, j->pack, &floats);
            weights = j->pack;
        }
        r = run_parts(j, weights, e);
    }
    if (r == 0 && narrow)
        r = call_tasks(c, tasks_for(tensor_count(y), 1), narrow_tasks, j, e);
    return r;
}

static int transpose_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job j;
    if (tensor_count(call_out(c, 0)) == 0)
        return 0;
    int r = job_init(&j, c, e);
    if (r)
        return r;
    j.call = c;
    if (call_in(c, 0)->dtype == DTYPE_F64)
        return call_tasks(c, j.whole.batch * j.whole.out_channels, direct_tasks, &j, e);
    return run_f32(&j, e);
}

static const struct attr transpose_attrs[] = {
    {"auto_pad", ATTR_STRING, offsetof(struct attrs_conv_transpose, auto_pad), .s = "NOTSET"},
    {"kernel_shape", ATTR_INTS, offsetof(struct attrs_conv_transpose, kernel_shape)},
    {"strides", ATTR_INTS, offsetof(struct attrs_conv_transpose, strides)},
    {"pads", ATTR_INTS, offsetof(struct attrs_conv_transpose, pads)},
    {"dilations", ATTR_INTS, offsetof(struct attrs_conv_transpose, dilations)},
    {"group", ATTR_INT, offsetof(struct attrs_conv_transpose, group), .i = 1},
    {"output_padding", ATTR_INTS, offsetof(struct attrs_conv_transpose, output_padding)},
    {"output_shape", ATTR_INTS, offsetof(struct attrs_conv_transpose, output_shape)},
    {NULL},
};

const struct op op_convtranspose = {
    .domain = "", .name = "ConvTranspose", .since = 1,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = transpose_attrs, .attrs_size = sizeof(struct attrs_conv_transpose),
    .infer = transpose_infer, .prepare = transpose_prepare, .scratch = transpose_scratch,
    .run = transpose_run,
    .kernels = "conv",
};
