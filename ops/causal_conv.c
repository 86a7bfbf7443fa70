/* SPDX-License-Identifier: Apache-2.0 */
/* CausalConvWithState: a depthwise convolution over the past and the new positions of every channel, and
 * the last k - 1 of them for the next call. A (batch, channel) row is a unit; f32 throughout. */
#include <stddef.h>
#include <string.h>

#include "kernels/unary.h"
#include "ops/span.h"

enum { IN_X, IN_WEIGHT, IN_BIAS, IN_PAST };
enum { OUT_Y, OUT_STATE };

struct attrs_causal {
    struct str activation;
};

static const struct attr causal_attrs[] = {
    {"activation", ATTR_STRING, offsetof(struct attrs_causal, activation), .s = "none"},
    {0},
};

static bool is_word(struct str s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

static bool is_silu(const struct attrs_causal *at)
{
    return is_word(at->activation, "silu") || is_word(at->activation, "swish");
}

/* ---- inference -------------------------------------------------------------------------------- */

static int expect(struct infer *c, int i, int rank, const int64_t *dims, struct err *e)
{
    if (infer_rank(c, i) < 0)
        return 0;
    if (infer_rank(c, i) != rank)
        return err_set(e, ERR_MODEL, "input %d has rank %d, expected %d", i, infer_rank(c, i), rank);
    for (int k = 0; k < rank; k++)
        if (sym_differ(c->syms, infer_dim(c, i, k), dims[k]))
            return err_set(e, ERR_MODEL, "dim %d of input %d does not fit the others", k, i);
    return 0;
}

static int causal_infer(struct infer *c, struct err *e)
{
    int rc = 0;
    if (!is_silu(c->attrs) && !is_word(((const struct attrs_causal *)c->attrs)->activation, "none"))
        return err_set(e, ERR_MODEL, "activation is not none, silu or swish");
    for (int i = 0; i <= IN_PAST && rc == 0; i++)
        if (i <= IN_WEIGHT || infer_has(c, i))
            rc = infer_dtypes(c, i, DT_FLOATS, e);
    for (int i = 1; i <= IN_PAST && rc == 0; i++)
        rc = infer_same_dtype(c, 0, i, e);
    if (rc < 0)
        return rc;
    int64_t dims[3] = {SYM_UNKNOWN, SYM_UNKNOWN, SYM_UNKNOWN}, kernel = SYM_UNKNOWN;
    if (infer_rank(c, IN_X) == 3)
        memcpy(dims, c->in[IN_X]->type.dims, sizeof dims);
    if (infer_rank(c, IN_WEIGHT) == 3)
        kernel = infer_dim(c, IN_WEIGHT, 2);
    if (sym_is_number(kernel) && kernel < 1)
        return err_set(e, ERR_MODEL, "the kernel is empty");
    int64_t state[3] = {dims[0], dims[1], sym_sub(c->syms, kernel, 1)};
    rc = expect(c, IN_X, 3, dims, e);
    if (rc == 0)
        rc = expect(c, IN_WEIGHT, 3, (int64_t[]){dims[1], 1, kernel}, e);
    if (rc == 0)
        rc = expect(c, IN_BIAS, 1, dims + 1, e);
    if (rc == 0)
        rc = expect(c, IN_PAST, 3, state, e);
    if (rc == 0)
        rc = infer_set(c, OUT_Y, infer_dtype(c, 0), 3, dims, e);
    return rc < 0 ? rc : infer_set(c, OUT_STATE, infer_dtype(c, 0), 3, state, e);
}

/* ---- running ---------------------------------------------------------------------------------- */

static int64_t kernel_of(const struct call *c)
{
    return call_in(c, IN_WEIGHT)->dims[2];
}

static int64_t causal_tasks(const struct call *c)
{
    const struct tensor *x = call_in(c, IN_X);
    return tasks_for(x->dims[0] * x->dims[1], (x->dims[2] + 1) * kernel_of(c));
}

/* Past and new positions, the taps, the sums. */
static size_t causal_scratch(const struct call *c, size_t *per_member)
{
    size_t length = (size_t)call_in(c, IN_X)->dims[2], k = (size_t)kernel_of(c);
    *per_member = (2 * length + 2 * k) * sizeof(float);
    return 0;
}

static void run_row(const struct call *c, int64_t row, float *room)
{
    const struct tensor *x = call_in(c, IN_X), *weight = call_in(c, IN_WEIGHT), *bias = call_in(c, IN_BIAS);
    const struct tensor *past = call_in(c, IN_PAST), *y = call_out(c, OUT_Y), *state = call_out(c, OUT_STATE);
    int64_t length = x->dims[2], channel = row % x->dims[1], k = kernel_of(c);
    float *all = room, *taps = all + length + k - 1, *sum = taps + k, start = 0;
    if (past)
        elems_to_f32(past->dtype, past->data, row * (k - 1), k - 1, all);
    else
        memset(all, 0, (size_t)(k - 1) * sizeof *all);
    elems_to_f32(x->dtype, x->data, row * length, length, all + k - 1);
    elems_to_f32(weight->dtype, weight->data, channel * k, k, taps);
    if (bias)
        elems_to_f32(bias->dtype, bias->data, channel, 1, &start);
    for (int64_t i = 0; i < length; i++)
        sum[i] = start;
    for (int64_t t = 0; t < k; t++)
        for (int64_t i = 0; i < length; i++)
            sum[i] += taps[t] * all[t + i];
    if (is_silu(c->attrs))
        unary_f32_pick(UNARY_SILU)(sum, sum, (size_t)length, NULL);
    if (y)
        elems_from_f32(y->dtype, y->data, row * length, length, sum);
    if (state)
        elems_from_f32(state->dtype, state->data, row * (k - 1), k - 1, all + length);
}

static int causal_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, IN_X);
    struct span s = span_of(begin, end, causal_tasks(c), x->dims[0] * x->dims[1]);
    for (int64_t row = s.first; row < s.last; row++)
        run_row(c, row, call_member_scratch(c, member));
    return 0;
}

const struct op op_causalconvwithstate = {
    .domain = "", .name = "CausalConvWithState", .since = 27,
    .in_min = 2, .in_max = 4, .out_min = 1, .out_max = 2,
    .flags = OP_PURE,
    .attrs = causal_attrs, .attrs_size = sizeof(struct attrs_causal),
    .infer = causal_infer, .scratch = causal_scratch, .tasks = causal_tasks, .run = causal_run,
    .kernels = "unary",
};

/* ---- com.microsoft ----------------------------------------------------------------------------- */

struct attrs_shaped {
    struct attrs_causal common; /* first */
    int64_t ndim, dilation, channels_last, state_window;
};

static int shaped_fix(struct node *n, struct err *e)
{
    const struct attrs_shaped *a = n->attrs;
    if (a->ndim == 1 && a->dilation == 1 && !a->channels_last && !a->state_window)
        return 0;
    return err_set(e, ERR_UNSUPPORTED, "ndim %lld, dilation %lld, channels_last %lld, state_window %lld; 1, 1, 0 and 0 are",
                   (long long)a->ndim, (long long)a->dilation, (long long)a->channels_last,
                   (long long)a->state_window);
}

#define SHAPED_AT(field) offsetof(struct attrs_shaped, field)
static const struct attr shaped_attrs[] = {
    {"activation", ATTR_STRING, offsetof(struct attrs_causal, activation), .s = "none"},
    {"ndim", ATTR_INT, SHAPED_AT(ndim), .i = 1},
    {"dilation", ATTR_INT, SHAPED_AT(dilation), .i = 1},
    {"channels_last", ATTR_INT, SHAPED_AT(channels_last)},
    {"state_window", ATTR_INT, SHAPED_AT(state_window)},
    {NULL},
};

const struct op op_ms_causalconvwithstate = {
    .domain = "com.microsoft", .name = "CausalConvWithState", .since = 1,
    .in_min = 2, .in_max = 4, .out_min = 1, .out_max = 2,
    .flags = OP_PURE,
    .attrs = shaped_attrs, .attrs_size = sizeof(struct attrs_shaped), .fix = shaped_fix,
    .infer = causal_infer, .scratch = causal_scratch, .tasks = causal_tasks, .run = causal_run,
    .kernels = "unary",
};
