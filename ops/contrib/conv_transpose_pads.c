/* SPDX-License-Identifier: Apache-2.0 */
/* ConvTransposeWithDynamicPads: ConvTranspose whose pads are an input. It runs ConvTranspose
 * itself, on attributes made from that input. */
#include "graph/attrs.h"
#include "ops/layout.h"
#include "ops/window.h"

extern const struct op op_convtranspose;

enum { IN_X, IN_W, IN_PADS, IN_BIAS };

static int check_pads(const int64_t *pads, int64_t n, int rank, struct err *e)
{
    if (n != 2 * (int64_t)(rank - 2))
        return err_set(e, ERR_INPUT, "%lld pads for %d dims", (long long)n, rank - 2);
    for (int64_t i = 0; i < n; i++)
        if (pads[i] < 0 || pads[i] > INT32_MAX)
            return err_set(e, ERR_INPUT, "pads hold %lld", (long long)pads[i]);
    return 0;
}

static int pads_infer(struct infer *c, struct err *e)
{
    struct attrs_conv_transpose a = *(const struct attrs_conv_transpose *)c->attrs;
    const struct fact *in[3] = {c->in[IN_X], c->in[IN_W],
                                c->n_in > IN_BIAS ? c->in[IN_BIAS] : NULL};
    int64_t n, dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, IN_X), r;
    struct infer plain = *c;
    plain.attrs = &a;
    plain.in = in;
    plain.n_in = in[2] ? 3 : 2;
    if (infer_has(c, IN_PADS)) {
        if ((r = infer_dtypes(c, IN_PADS, DT(I64), e)))
            return r;
        a.pads.v = infer_numbers(c, IN_PADS, &n);
        a.pads.n = n;
        if (a.pads.v && rank >= 0 && (r = check_pads(a.pads.v, n, rank, e)))
            return r;
    }
    if (infer_has(c, IN_PADS) && !a.pads.v && rank >= 2 && infer_rank(c, IN_W) == rank) {
        r = infer_dtypes(c, IN_X, DT_FLOATS, e);
        for (int k = 0; k < rank; k++)
            dims[k] = k == 0   ? infer_dim(c, IN_X, 0)
                      : k == 1 ? sym_mul(c->syms, infer_dim(c, IN_W, 1), a.group)
                               : infer_fresh(c);
        return r ? r : infer_set(c, 0, infer_dtype(c, IN_X), rank, dims, e);
    }
    r = op_convtranspose.infer(&plain, e);
    c->late |= plain.late;
    return r;
}

static int pads_prepare(struct prepare *p, struct err *e)
{
    return op_convtranspose.prepare(p, e);
}

/* The attributes and inputs as ConvTranspose has them. */
struct plain {
    struct attrs_conv_transpose attrs;
    struct value *in[3];
};

static int plain_call(const struct call *c, struct plain *p, struct call *out, struct err *e)
{
    const struct tensor *pads = call_in(c, IN_PADS);
    p->attrs = *(const struct attrs_conv_transpose *)c->attrs;
    p->in[0] = c->in[IN_X];
    p->in[1] = c->in[IN_W];
    p->in[2] = c->n_in > IN_BIAS ? c->in[IN_BIAS] : NULL;
    if (pads) {
        int r = check_pads(pads->data, tensor_count(pads), call_in(c, IN_X)->rank, e);
        if (r)
            return r;
        p->attrs.pads = (struct ints){pads->data, tensor_count(pads)};
    }
    *out = *c;
    out->attrs = &p->attrs;
    out->in = p->in;
    out->n_in = 3;
    return 0;
}

static size_t pads_scratch(const struct call *c, size_t *per_member)
{
    struct plain p;
    struct call plain;
    return plain_call(c, &p, &plain, NULL) ? 0 : op_convtranspose.scratch(&plain, per_member);
}

static int pads_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct plain p;
    struct call plain, own = *c;
    int r = plain_call(c, &p, &plain, e);
    if (r)
        return r;
    /* In place: what runs tasks knows this call by its address. */
    c->attrs = plain.attrs;
    c->in = plain.in;
    c->n_in = plain.n_in;
    r = op_convtranspose.run(c, begin, end, member, e);
    c->attrs = own.attrs;
    c->in = own.in;
    c->n_in = own.n_in;
    return r;
}

static const struct attr pads_attr_rows[] = {
    {"auto_pad", ATTR_STRING, offsetof(struct attrs_conv_transpose, auto_pad), .s = "NOTSET"},
    {"kernel_shape", ATTR_INTS, offsetof(struct attrs_conv_transpose, kernel_shape)},
    {"strides", ATTR_INTS, offsetof(struct attrs_conv_transpose, strides)},
    {"dilations", ATTR_INTS, offsetof(struct attrs_conv_transpose, dilations)},
    {"group", ATTR_INT, offsetof(struct attrs_conv_transpose, group), .i = 1},
    {"output_padding", ATTR_INTS, offsetof(struct attrs_conv_transpose, output_padding)},
    {NULL},
};

const struct op op_ms_convtransposewithdynamicpads = {
    .domain = "com.microsoft", .name = "ConvTransposeWithDynamicPads", .since = 1,
    .in_min = 2, .in_max = 4, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .host_in = 1 << IN_PADS,
    .attrs = pads_attr_rows, .attrs_size = sizeof(struct attrs_conv_transpose),
    .infer = pads_infer, .prepare = pads_prepare, .scratch = pads_scratch, .run = pads_run,
};
