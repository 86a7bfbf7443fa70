/* SPDX-License-Identifier: Apache-2.0 */
/* Conv or ConvTranspose, then BatchNormalization or a constant Mul, Div, Add or Sub by channel: the
 * scale goes into the weights and the shift into the bias.
 *
 *   s * (W x + b) + t = (s W) x + (s b + t)      s = scale / sqrt(var + epsilon), t = B - mean * s
 *
 * Factors are computed in double and rounded once a weight. Only f32 and f64: in narrower types the
 * rounded weights would lose more than the separate scale does.
 */
#include <math.h>
#include <string.h>

#include "graph/attrs.h"
#include "graph/match.h"
#include "graph/pass.h"

/* What becomes of a convolution's output, by channel. */
struct affine {
    int64_t channels;
    double *scale, *shift;
};

static double elem(const struct tensor *t, int64_t i)
{
    return t->dtype == DTYPE_F32 ? ((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static bool is_wide(enum dtype t)
{
    return t == DTYPE_F32 || t == DTYPE_F64;
}

/* ---- the convolution ------------------------------------------------------------------------ */

static bool transposed(const struct node *conv)
{
    return node_is(conv, "ConvTranspose");
}

static int64_t group_of(const struct node *conv)
{
    return transposed(conv) ? ((const struct attrs_conv_transpose *)conv->attrs)->group
                            : ((const struct attrs_conv *)conv->attrs)->group;
}

/* Output channels; -1 if weights or bias are not constants that fit each other. */
static int64_t channels_of(const struct node *conv)
{
    const struct tensor *w = conv->n_in > 1 ? match_constant(conv->in[1]) : NULL;
    int64_t group = group_of(conv), channels;
    if (!w || w->rank < 2 || !is_wide(w->dtype) || group < 1 || w->dims[0] < 1 ||
        w->dims[0] % group)
        return -1;
    channels = w->dims[0];
    if (transposed(conv) && __builtin_mul_overflow(w->dims[1], group, &channels))
        return -1;
    if (conv->n_in > 2 && conv->in[2]) {
        const struct tensor *b = match_constant(conv->in[2]);
        if (!b || b->dtype != w->dtype || b->rank != 1 || b->dims[0] != channels)
            return -1;
    }
    return channels;
}

/* The output channel that weights [block * size, (block + 1) * size) belong to: W is [M, C/g,
 * ...], or transposed [C, M/g, ...]. Returns size. */
static int64_t block_of(const struct node *conv, const struct tensor *w, int64_t block,
                        int64_t *channel)
{
    int64_t count = tensor_count(w);
    if (!transposed(conv)) {
        *channel = block;
        return count / w->dims[0];
    }
    int64_t per_group = w->dims[0] / group_of(conv), c = block / w->dims[1];
    *channel = c / per_group * w->dims[1] + block % w->dims[1];
    return count / (w->dims[0] * w->dims[1]);
}

static bool store(struct tensor *t, int64_t i, double v)
{
    if (t->dtype == DTYPE_F32)
        ((float *)t->data)[i] = (float)v;
    else
        ((double *)t->data)[i] = v;
    return t->dtype == DTYPE_F64 ? isfinite(v) : isfinite((float)v);
}

/* *finite is cleared where a weight was finite and is not any more. */
static int scale_weights(const struct node *conv, const struct affine *a, struct tensor *out,
                         bool *finite, struct err *e)
{
    const struct tensor *w = match_constant(conv->in[1]);
    int r = tensor_new(out, conv->graph->shared->budget, w->dtype, w->rank, w->dims, e);
    if (r)
        return r;
    int64_t count = tensor_count(w), channel, i = 0;
    for (int64_t block = 0; i < count; block++) {
        int64_t end = i + block_of(conv, w, block, &channel);
        for (; i < end; i++)
            *finite &= store(out, i, elem(w, i) * a->scale[channel]);
    }
    return 0;
}

static int shift_bias(const struct node *conv, const struct affine *a, struct tensor *out,
                      bool *finite, struct err *e)
{
    const struct tensor *b = conv->n_in > 2 && conv->in[2] ? match_constant(conv->in[2]) : NULL;
    int r = tensor_new(out, conv->graph->shared->budget, match_constant(conv->in[1])->dtype, 1,
                       &a->channels, e);
    if (r)
        return r;
    for (int64_t i = 0; i < a->channels; i++)
        *finite &= store(out, i, (b ? elem(b, i) * a->scale[i] : 0) + a->shift[i]);
    return 0;
}

static int set_constant(struct node *conv, int i, struct tensor *t, struct err *e)
{
    struct graph_value *old = i < conv->n_in ? conv->in[i] : NULL;
    struct graph_value *v = graph_constant(conv->graph, "", t, e);
    int r = v ? pass_widen(conv, i + 1, e) : pass_failed(e);
    if (r == 0)
        r = node_set_in(conv, i, v, e);
    /* The file's name says where the weight came from, in reports. */
    if (r == 0 && old && old->n_uses == 0 && old->graph == v->graph && !old->is_output) {
        v->name = old->name;
        old->name = "";
    }
    return r;
}

/* Put the affine map into conv and take out the node after it: 1, or 0 if that would overflow. */
static int apply(struct node *conv, struct node *after, const struct affine *a, struct err *e)
{
    struct tensor w = {0}, b = {0};
    bool finite = true;
    int r = scale_weights(conv, a, &w, &finite, e);
    if (r == 0)
        r = shift_bias(conv, a, &b, &finite, e);
    if (r || !finite) {
        tensor_clear(&w);
        tensor_clear(&b);
        return r;
    }
    r = set_constant(conv, 1, &w, e);
    if (r) {
        tensor_clear(&b);
        return r;
    }
    r = set_constant(conv, 2, &b, e);
    if (r == 0)
        r = pass_bypass(after, conv->out[0], e);
    return r ? r : 1;
}

/* ---- what comes after it -------------------------------------------------------------------- */

enum { ROOT, CONV, BY, MEAN, VAR, SHIFT, WEIGHT };

static const struct pat batchnorm[] = {
    [ROOT] = {"BatchNormalization", {CONV, BY, SHIFT, MEAN, VAR}},
    [CONV] = {"Conv|ConvTranspose", {[1] = WEIGHT}},
    [BY] = {.flags = MATCH_CONST},
    [SHIFT] = {.flags = MATCH_CONST},
    [MEAN] = {.flags = MATCH_CONST},
    [VAR] = {.flags = MATCH_CONST},
    [WEIGHT] = {.flags = MATCH_CONST},
};
static const struct pat commuting[] = {
    [ROOT] = {"Mul|Add", {CONV, BY}, MATCH_ANY_ORDER},
    [CONV] = {"Conv|ConvTranspose", {[1] = WEIGHT}},
    [BY] = {.flags = MATCH_CONST},
    [WEIGHT] = {.flags = MATCH_CONST},
};
static const struct pat ordered[] = {
    [ROOT] = {"Div|Sub", {CONV, BY}},
    [CONV] = {"Conv|ConvTranspose", {[1] = WEIGHT}},
    [BY] = {.flags = MATCH_CONST},
    [WEIGHT] = {.flags = MATCH_CONST},
};

static const struct tensor *by_channel(const struct match *m, int row, const struct affine *a)
{
    const struct tensor *t = match_constant(m->v[row]);
    return t && is_wide(t->dtype) && t->rank == 1 && t->dims[0] == a->channels ? t : NULL;
}

static bool read_batchnorm(const struct match *m, struct affine *a)
{
    const struct node *n = match_node(m, ROOT);
    const struct attrs_batchnorm *attrs = n->attrs;
    const struct tensor *scale = by_channel(m, BY, a), *shift = by_channel(m, SHIFT, a);
    const struct tensor *mean = by_channel(m, MEAN, a), *var = by_channel(m, VAR, a);
    if (!scale || !shift || !mean || !var || !pass_only_first(n) ||
        (n->opset >= 14 && attrs->training_mode) || (n->opset < 9 && !attrs->spatial))
        return false;
    for (int64_t i = 0; i < a->channels; i++) {
        a->scale[i] = elem(scale, i) / sqrt(elem(var, i) + (double)attrs->epsilon);
        a->shift[i] = elem(shift, i) - elem(mean, i) * a->scale[i];
    }
    return true;
}

/* The constant is one number, or one a channel: all dims are 1 but maybe the one of channels,
 * which is dim 1 of the convolution's `rank`. Then element i is of channel i * stride. */
static bool channel_stride(const struct tensor *t, int rank, int64_t channels, int64_t *stride)
{
    int at = t->rank - (rank - 1);
    *stride = 0;
    if (t->rank > rank)
        return false;
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] == 1)
            continue;
        if (i != at || t->dims[i] != channels)
            return false;
        *stride = 1;
    }
    return true;
}

static bool read_arithmetic(const struct match *m, struct affine *a)
{
    const struct node *n = match_node(m, ROOT), *conv = match_node(m, CONV);
    const struct tensor *t = match_constant(m->v[BY]), *w = match_constant(conv->in[1]);
    int64_t stride;
    if (t->dtype != w->dtype || !channel_stride(t, w->rank, a->channels, &stride))
        return false;
    bool scales = node_is(n, "Mul|Div"), inverse = node_is(n, "Div|Sub");
    for (int64_t i = 0; i < a->channels; i++) {
        double v = elem(t, i * stride);
        a->scale[i] = !scales ? 1 : inverse ? 1 / v : v;
        a->shift[i] = scales ? 0 : inverse ? -v : v;
    }
    return true;
}

static bool plain(const struct affine *a)
{
    for (int64_t i = 0; i < a->channels; i++)
        if (!isfinite(a->scale[i]) || !isfinite(a->shift[i]))
            return false;
    return true;
}

static int join(struct node *n, struct pass_context *c, struct err *e)
{
    struct match m;
    bool norm = match_find(batchnorm, n, &m);
    if (!norm && !match_find(commuting, n, &m) && !match_find(ordered, n, &m))
        return 0;
    struct node *conv = match_node(&m, CONV);
    struct affine a = {.channels = channels_of(conv)};
    if (a.channels < 1 || !pass_can_replace(n->out[0], conv->out[0]))
        return 0;
    a.scale = mem_calloc(n->graph->shared->budget, (size_t)a.channels, 2 * sizeof *a.scale, e);
    if (!a.scale)
        return pass_failed(e);
    a.shift = a.scale + a.channels;
    int r = 0;
    if ((norm ? read_batchnorm(&m, &a) : read_arithmetic(&m, &a)) && plain(&a) && pass_allow(c)) {
        r = apply(conv, n, &a, e);
        c->done -= r == 0; /* left alone */
    }
    mem_free(a.scale);
    return r;
}

int pass_conv_scale(struct graph *g, struct pass_context *c, struct err *e)
{
    int count = 0;
    struct node *next;
    for (struct node *n = g->first; n; n = next) {
        next = n->next;
        int r = join(n, c, e);
        if (r < 0)
            return r;
        count += r;
    }
    return count;
}
