/* SPDX-License-Identifier: Apache-2.0 */
/* Conv. f32 runs on kernels/conv.h, with the weights packed once where they are constant; f16 and
 * bf16 are widened to f32 as a whole and rounded once; f64 runs on plain loops.
 */
#include "ops/conv.h"

#include <math.h>
#include <string.h>

/* ---- shapes ---------------------------------------------------------------------------------- */

int conv_window(struct window *out, const struct attrs_conv *a, struct syms *s, int rank,
                const int64_t *x, const int64_t *w, struct err *e)
{
    enum err_code fault = s ? ERR_MODEL : ERR_INPUT;
    struct window_lists lists = WINDOW_LISTS(a);
    int r = window_read(out, &lists, rank - 2, rank > 2 ? w + 2 : NULL, e);
    if (r)
        return r;
    if (a->group < 1 || a->group > INT32_MAX)
        return err_set(e, ERR_MODEL, "group is %lld", (long long)a->group);
    if (sym_differ(s, x[1], sym_mul(s, w[1], a->group)))
        return err_set(e, fault,
                       "the channels of the input and of the weights do not agree, in %lld groups",
                       (long long)a->group);
    if (sym_is_number(w[0]) && w[0] % a->group != 0)
        return err_set(e, fault, "%lld output channels do not divide into %lld groups",
                       (long long)w[0], (long long)a->group);
    return window_size(out, s, x + 2, e);
}

int conv_infer_dims(struct infer *c, int w_in, int bias_in, enum dtype dtype, struct err *e)
{
    const struct type *x = &c->in[0]->type, *w = &c->in[w_in]->type;
    int64_t dims[TENSOR_RANK_MAX];
    struct window win;
    if (x->rank < 0 || w->rank < 0)
        return infer_unknown(c, 0, dtype, e);
    if (x->rank != w->rank)
        return err_set(e, ERR_MODEL, "an input of rank %d and weights of rank %d", x->rank,
                       w->rank);
    int r = conv_window(&win, c->attrs, c->syms, x->rank, x->dims, w->dims, e);
    if (r)
        return r;
    if (infer_rank(c, bias_in) >= 0 &&
        (infer_rank(c, bias_in) != 1 || sym_differ(c->syms, infer_dim(c, bias_in, 0), w->dims[0])))
        return err_set(e, ERR_MODEL, "the bias must have one number for each output channel");
    dims[0] = x->dims[0];
    dims[1] = w->dims[0];
    memcpy(dims + 2, window_out(&win), (size_t)win.rank * sizeof *dims);
    return infer_set(c, 0, dtype, x->rank, dims, e);
}

struct conv_shape conv_shape_of(const struct window *w, int64_t groups, int64_t batch,
                                int64_t channels, int64_t out_channels)
{
    struct conv_shape s = {.batch = batch, .channels = channels, .out_channels = out_channels,
                           .groups = groups};
    for (int i = 0; i < WINDOW_DIMS; i++) {
        s.in[i] = w->in[i];
        s.kernel[i] = w->kernel[i];
        s.out[i] = w->out[i];
        s.stride[i] = w->stride[i];
        s.dilation[i] = w->dilation[i];
        s.pad[i] = w->pad[i];
    }
    return s;
}

static int conv_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    if (r || (r = infer_same_dtype(c, 0, 1, e)) || (r = infer_same_dtype(c, 0, 2, e)))
        return r;
    return conv_infer_dims(c, 1, 2, infer_dtype(c, 0), e);
}

/* ---- preparation ----------------------------------------------------------------------------- */

/* Constant weights, packed. */
struct conv_prepared {
    float *weights;
};

/* Elements of a tensor as f32: in place, or widened into `to`. */
static const float *widen(const struct tensor *t, float *to)
{
    if (t->dtype == DTYPE_F32)
        return t->data;
    elems_to_f32(t->dtype, t->data, 0, tensor_count(t), to);
    return to;
}

/* The layout of packed weights depends on their shape alone, so any image serves. */
static int conv_prepare(struct prepare *p, struct err *e)
{
    const struct attrs_conv *a = p->attrs;
    const struct tensor *w = p->in[1]->data;
    struct window win;
    struct conv_f32 conv;
    struct window_lists lists = WINDOW_LISTS(a);
    int64_t channels;
    if (!w || !w->data || w->dtype == DTYPE_F64 || w->rank < 3 ||
        __builtin_mul_overflow(w->dims[1], a->group, &channels) ||
        window_read(&win, &lists, w->rank - 2, w->dims + 2, NULL) != 0)
        return 0;
    for (int i = 0; i < WINDOW_DIMS; i++) {
        win.in[i] = win.out[i] = 1;
        win.pad[i] = 0;
    }
    struct conv_shape shape = conv_shape_of(&win, a->group, 1, channels, w->dims[0]);
    if (!conv_f32_init(&conv, &shape))
        return 0;
    struct conv_prepared *own = arena_alloc(p->arena, sizeof *own, e);
    size_t bytes = conv_f32_packed_size(&conv) * sizeof(float);
    float *wide = NULL;
    if (!own || !(own->weights = p->pack_alloc(p, bytes, e)))
        return e && e->code ? e->code : ERR_MEMORY;
    if (w->dtype != DTYPE_F32 &&
        !(wide = mem_calloc(p->budget, (size_t)tensor_count(w), sizeof *wide, e)))
        return e && e->code ? e->code : ERR_MEMORY;
    conv_f32_pack(&conv, widen(w, wide), 0, a->group, own->weights);
    mem_free(wide);
    p->prepared = own;
    p->packed(p, 1);
    return 0;
}

/* ---- running --------------------------------------------------------------------------------- */

/* A call's description and places in its scratch; offsets in floats. */
struct conv_job {
    struct call *call;
    struct window win;
    struct conv_shape shape;
    struct conv_f32 conv;
    struct conv_f32_args args;
    size_t weights, wide_w, wide_bias, wide_x, wide_y;
    size_t scratch; /* all of it */
    float *base;
};

static int job_init(struct conv_job *j, const struct call *c, struct err *e)
{
    const struct attrs_conv *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *w = call_in(c, 1);
    int r = conv_window(&j->win, a, NULL, x->rank, x->dims, w->dims, e);
    if (r)
        return r;
    window_place(&j->win);
    j->shape = conv_shape_of(&j->win, a->group, x->dims[0], x->dims[1], w->dims[0]);
    return 0;
}

static size_t take(struct conv_job *j, bool wanted, int64_t floats)
{
    size_t at = j->scratch;
    if (wanted)
        j->scratch += ((size_t)floats + 15) & ~(size_t)15;
    return at;
}

static int job_init_f32(struct conv_job *j, const struct call *c, struct err *e)
{
    const struct tensor *bias = call_in(c, 2);
    bool narrow = call_in(c, 0)->dtype != DTYPE_F32;
    int r = job_init(j, c, e);
    if (r)
        return r;
    if (!conv_f32_init(&j->conv, &j->shape))
        return err_set(e, ERR_LIMIT, "the convolution is too large");
    j->scratch = 0;
    j->weights = take(j, !c->prepared, (int64_t)conv_f32_packed_size(&j->conv));
    j->wide_w = take(j, narrow && !c->prepared, tensor_count(call_in(c, 1)));
    j->wide_bias = take(j, narrow && bias, bias ? tensor_count(bias) : 0);
    j->wide_x = take(j, narrow, tensor_count(call_in(c, 0)));
    j->wide_y = take(j, narrow, tensor_count(call_out(c, 0)));
    return 0;
}

static size_t conv_scratch(const struct call *c, size_t *per_member)
{
    struct conv_job j;
    if (call_in(c, 0)->dtype == DTYPE_F64 || job_init_f32(&j, c, NULL) != 0)
        return 0;
    *per_member = conv_f32_scratch(&j.conv) * sizeof(float);
    return j.scratch * sizeof(float);
}

static int pack_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct conv_job *j = arg;
    const struct tensor *w = call_in(j->call, 1);
    const float *from = w->dtype == DTYPE_F32 ? w->data : j->base + j->wide_w;
    conv_f32_pack(&j->conv, from, begin, end, j->base + j->weights);
    return 0;
}

static int conv_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct conv_job *j = arg;
    float *scratch = call_member_scratch(j->call, member);
    for (int64_t t = begin; t < end; t++)
        conv_f32_run(&j->conv, &j->args, (size_t)t, scratch);
    return 0;
}

static int widen_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct conv_job *j = arg;
    const struct tensor *x = call_in(j->call, 0);
    int64_t n = tensor_count(x), first, last, unused;
    task_range(begin, tasks_for(n, 1), n, &first, &unused);
    task_range(end - 1, tasks_for(n, 1), n, &unused, &last);
    elems_to_f32(x->dtype, x->data, first, last - first, j->base + j->wide_x + first);
    return 0;
}

static int narrow_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct conv_job *j = arg;
    struct tensor *y = call_out(j->call, 0);
    int64_t n = tensor_count(y), first, last, unused;
    task_range(begin, tasks_for(n, 1), n, &first, &unused);
    task_range(end - 1, tasks_for(n, 1), n, &unused, &last);
    elems_from_f32(y->dtype, y->data, first, last - first, j->base + j->wide_y + first);
    return 0;
}

static int run_f32(struct call *c, struct err *e)
{
    const struct conv_prepared *own = c->prepared;
    const struct tensor *x = call_in(c, 0), *bias = call_in(c, 2);
    struct tensor *y = call_out(c, 0);
    struct conv_job j = {.call = c, .base = c->scratch};
    bool narrow = x->dtype != DTYPE_F32;
    int r = job_init_f32(&j, c, e);
    if (r)
        return r;
    j.args = (struct conv_f32_args){
        .x = narrow ? j.base + j.wide_x : x->data, .y = narrow ? j.base + j.wide_y : y->data,
        .weights = own ? own->weights : j.base + j.weights,
        .bias = bias ? widen(bias, j.base + j.wide_bias) : NULL, .lo = -INFINITY, .hi = INFINITY,
    };
    if (!own) {
        if (narrow)
            widen(call_in(c, 1), j.base + j.wide_w);
        r = call_tasks(c, j.shape.groups, pack_tasks, &j, e);
    }
    if (r == 0 && narrow && tensor_count(x) > 0)
        r = call_tasks(c, tasks_for(tensor_count(x), 1), widen_tasks, &j, e);
    if (r == 0 && j.conv.task_count > 0)
        r = call_tasks(c, (int64_t)j.conv.task_count, conv_tasks, &j, e);
    if (r == 0 && narrow)
        r = call_tasks(c, tasks_for(tensor_count(y), 1), narrow_tasks, &j, e);
    return r;
}

static int f64_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct conv_job *j = arg;
    const struct tensor *bias = call_in(j->call, 2);
    conv_f64(&j->shape, call_in(j->call, 0)->data, call_in(j->call, 1)->data,
             bias ? bias->data : NULL, call_out(j->call, 0)->data, begin, end);
    return 0;
}

static int conv_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct conv_job j = {.call = c};
    if (tensor_count(call_out(c, 0)) == 0)
        return 0;
    if (call_in(c, 0)->dtype != DTYPE_F64)
        return run_f32(c, e);
    int r = job_init(&j, c, e);
    return r ? r : call_tasks(c, j.shape.batch * j.shape.out_channels, f64_tasks, &j, e);
}

const struct attr conv_attrs[] = {
    {"auto_pad", ATTR_STRING, offsetof(struct attrs_conv, auto_pad), .s = "NOTSET"},
    {"kernel_shape", ATTR_INTS, offsetof(struct attrs_conv, kernel_shape)},
    {"strides", ATTR_INTS, offsetof(struct attrs_conv, strides)},
    {"pads", ATTR_INTS, offsetof(struct attrs_conv, pads)},
    {"dilations", ATTR_INTS, offsetof(struct attrs_conv, dilations)},
    {"group", ATTR_INT, offsetof(struct attrs_conv, group), .i = 1},
    {NULL},
};

const struct op op_conv = {
    .domain = "", .name = "Conv", .since = 1,
    .in_min = 2, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = conv_attrs, .attrs_size = sizeof(struct attrs_conv),
    .infer = conv_infer, .prepare = conv_prepare, .scratch = conv_scratch, .run = conv_run,
    .kernels = "conv",
};
