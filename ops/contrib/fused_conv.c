/* SPDX-License-Identifier: Apache-2.0 */
/* FusedConv: activation(Conv(X, W, B) + Z). NhwcConv and NhwcFusedConv: the same with X, Z and Y
 * laid out [N, spatial..., C]; they turn X round, convolve, and turn the result back. All run Conv
 * itself.
 */
#include <string.h>

#include "kernels/transpose.h"
#include "ops/contrib/activation.h"
#include "ops/conv.h"

extern const struct op op_conv;

/* Conv's attributes come first, so that its functions find them. */
struct fused_attrs {
    struct attrs_conv conv;
    struct str activation;
    struct floats activation_params;
};

static int read_activation(const struct fused_attrs *at, struct activation *a, struct err *e)
{
    return activation_read(at->activation, at->activation_params.v,
                           at->activation_params.v ? at->activation_params.n : 0, a, e);
}

/* Z has the dims of the output, which is set. */
static int check_z(struct infer *c, struct err *e)
{
    int r = infer_has(c, 3) ? infer_same_dtype(c, 0, 3, e) : 0;
    const struct type *y = &c->out[0].type;
    if (r || infer_rank(c, 3) < 0 || y->rank < 0)
        return r;
    bool same = infer_rank(c, 3) == y->rank;
    for (int k = 0; same && k < y->rank; k++)
        same = !sym_differ(c->syms, infer_dim(c, 3, k), y->dims[k]);
    return same ? 0
                : err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "Z has other dims than the output");
}

static int fused_infer(struct infer *c, struct err *e)
{
    struct activation a;
    int r = read_activation(c->attrs, &a, e);
    if (r == 0)
        r = op_conv.infer(c, e);
    return r ? r : check_z(c, e);
}

static int fused_prepare(struct prepare *p, struct err *e)
{
    return op_conv.prepare(p, e);
}

static size_t fused_scratch(const struct call *c, size_t *per_member)
{
    return op_conv.scratch(c, per_member);
}

static int fused_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct activation a;
    int r = read_activation(c->attrs, &a, e);
    if (r == 0)
        r = op_conv.run(c, begin, end, member, e);
    return r ? r : activation_finish(c, &a, call_in(c, 3), e);
}

/* ---- channels last --------------------------------------------------------------------------- */

/* Where dim i of a tensor of channels first lies in one of channels last. */
static int last_of(int i, int rank)
{
    return i == 0 ? 0 : i == 1 ? rank - 1 : i - 1;
}

/* A type of channels last as one of channels first. */
static void type_first(struct type *to, const struct type *from)
{
    *to = *from;
    for (int i = 0; i < from->rank; i++)
        to->dims[i] = from->dims[last_of(i, from->rank)];
}

/* Infer Conv on input 0 as channels first, and turn the output's dims back. */
static int nhwc_infer(struct infer *c, struct err *e)
{
    struct fact x = {0}, y = {0};
    const struct fact *in[3] = {&x, c->in[1], c->n_in > 2 ? c->in[2] : NULL};
    int64_t dims[TENSOR_RANK_MAX];
    struct activation a;
    int rank = infer_rank(c, 0), r = read_activation(c->attrs, &a, e);
    if (r || (r = infer_dtypes(c, 0, DT_FLOATS, e)))
        return r;
    type_first(&x.type, &c->in[0]->type);
    struct infer conv = *c;
    conv.in = in;
    conv.n_in = c->n_in > 3 ? 3 : c->n_in;
    conv.out = &y;
    conv.n_out = 1;
    if ((r = op_conv.infer(&conv, e)))
        return r;
    if (y.type.rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    c->late |= conv.late;
    for (int i = 0; i < rank; i++)
        dims[last_of(i, rank)] = y.type.dims[i];
    r = infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    return r ? r : check_z(c, e);
}

/* Prepare Conv with input 0 as channels first; the output's fact is left out. */
static int nhwc_prepare(struct prepare *p, struct err *e)
{
    const struct fact *const *in = p->in, *out = p->out;
    struct fact x = {0};
    const struct fact *first[3] = {&x, in[1], p->n_in > 2 ? in[2] : NULL};
    int n_in = p->n_in;
    type_first(&x.type, &in[0]->type);
    p->in = first;
    p->n_in = n_in > 3 ? 3 : n_in;
    p->out = NULL;
    int r = op_conv.prepare(p, e);
    p->in = in;
    p->n_in = n_in;
    p->out = out;
    return r;
}

/* The call as Conv sees it, and places in the node's scratch: X turned round, Y before it is
 * turned back, Conv's own. */
struct turned {
    struct value x, y, *in[3], *out[1];
    size_t x_bytes, y_bytes;
};

static size_t round_up(size_t bytes)
{
    return (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
}

static void value_first(struct value *to, const struct tensor *t)
{
    *to = (struct value){.kind = VALUE_TENSOR, .tensor = *t};
    for (int i = 0; i < t->rank; i++)
        to->tensor.dims[i] = t->dims[last_of(i, t->rank)];
}

static struct call conv_call(const struct call *c, struct turned *t)
{
    struct call conv = *c;
    value_first(&t->x, call_in(c, 0));
    value_first(&t->y, call_out(c, 0));
    t->x_bytes = round_up(tensor_bytes(&t->x.tensor));
    t->y_bytes = round_up(tensor_bytes(&t->y.tensor));
    t->in[0] = &t->x;
    t->in[1] = c->in[1];
    t->in[2] = c->n_in > 2 ? c->in[2] : NULL;
    t->out[0] = &t->y;
    conv.in = t->in;
    conv.n_in = c->n_in > 3 ? 3 : c->n_in;
    conv.out = t->out;
    return conv;
}

static size_t nhwc_scratch(const struct call *c, size_t *per_member)
{
    struct turned t;
    struct call conv = conv_call(c, &t);
    return t.x_bytes + t.y_bytes + op_conv.scratch(&conv, per_member);
}

struct turning {
    struct transpose plan;
    const void *x;
    void *y;
};

static int turn_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct turning *t = arg;
    transpose_run(&t->plan, t->x, t->y, (size_t)begin, (size_t)end);
    return 0;
}

static int turn(struct call *c, const struct tensor *x, void *y, bool to_first, struct err *e)
{
    struct turning t = {.x = x->data, .y = y};
    int64_t perm[TENSOR_RANK_MAX];
    for (int i = 0; i < x->rank; i++)
        perm[to_first ? i : last_of(i, x->rank)] = to_first ? last_of(i, x->rank) : i;
    if (!transpose_init(&t.plan, (unsigned)x->rank, x->dims, perm, dtype_size(x->dtype)))
        return err_set(e, ERR_LIMIT, "the tensor is too large");
    return t.plan.tasks ? call_tasks(c, (int64_t)t.plan.tasks, turn_tasks, &t, e) : 0;
}

static int nhwc_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct turned t;
    struct activation a;
    struct call conv = conv_call(c, &t), own = *c;
    int r = read_activation(c->attrs, &a, e);
    if (r || tensor_count(call_out(c, 0)) == 0)
        return r;
    t.x.tensor.data = c->scratch;
    t.y.tensor.data = (char *)c->scratch + t.x_bytes;
    if ((r = turn(c, call_in(c, 0), t.x.tensor.data, true, e)))
        return r;
    /* In place: what runs tasks knows this call by its address. */
    c->in = conv.in;
    c->n_in = conv.n_in;
    c->out = conv.out;
    c->scratch = (char *)own.scratch + t.x_bytes + t.y_bytes;
    r = op_conv.run(c, begin, end, member, e);
    c->in = own.in;
    c->n_in = own.n_in;
    c->out = own.out;
    c->scratch = own.scratch;
    if (r == 0)
        r = turn(c, &t.y.tensor, call_out(c, 0)->data, false, e);
    return r ? r : activation_finish(c, &a, call_in(c, 3), e);
}

#define CONV_ATTRS                                                                                 \
    {"auto_pad", ATTR_STRING, offsetof(struct attrs_conv, auto_pad), .s = "NOTSET"},               \
    {"kernel_shape", ATTR_INTS, offsetof(struct attrs_conv, kernel_shape)},                        \
    {"strides", ATTR_INTS, offsetof(struct attrs_conv, strides)},                                  \
    {"pads", ATTR_INTS, offsetof(struct attrs_conv, pads)},                                        \
    {"dilations", ATTR_INTS, offsetof(struct attrs_conv, dilations)},                              \
    {"group", ATTR_INT, offsetof(struct attrs_conv, group), .i = 1}

static const struct attr conv_attr_rows[] = {CONV_ATTRS, {NULL}};

static const struct attr fused_attr_rows[] = {
    CONV_ATTRS,
    {"activation", ATTR_STRING, offsetof(struct fused_attrs, activation)},
    {"activation_params", ATTR_FLOATS, offsetof(struct fused_attrs, activation_params)},
    {NULL},
};

const struct op op_ms_fusedconv = {
    .domain = "com.microsoft", .name = "FusedConv", .since = 1,
    .in_min = 2, .in_max = 4, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = fused_attr_rows, .attrs_size = sizeof(struct fused_attrs),
    .infer = fused_infer, .prepare = fused_prepare, .scratch = fused_scratch, .run = fused_run,
    .kernels = "binary conv transpose unary",
};

#define NHWC_ROW(word, most, table)                                                                \
    .domain = "com.microsoft", .name = word, .since = 1,                                           \
    .in_min = 2, .in_max = most, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,         \
    .attrs = table, .attrs_size = sizeof(struct fused_attrs),                                      \
    .infer = nhwc_infer, .prepare = nhwc_prepare, .scratch = nhwc_scratch, .run = nhwc_run

const struct op op_ms_nhwcconv = {NHWC_ROW("NhwcConv", 3, conv_attr_rows)};
const struct op op_ms_nhwcfusedconv = {NHWC_ROW("NhwcFusedConv", 4, fused_attr_rows)};
