/* SPDX-License-Identifier: Apache-2.0 */
/* ai.onnx.preview.training: Adagrad, Adam, Momentum. After the learning rate and the number of updates
 * inputs are groups of tensors: all values X, all gradients G, all states V (and H); outputs the new X
 * and the new states. Everything computes in double and rounds once. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "ops/common.h"

enum { FIRST = 2, STATES_MAX = 2 };

struct step {
    const void *attrs;
    double rate;
    int64_t updates;
};

/* One step on n elements, in place. */
typedef void step_fn(const struct step *s, int64_t n, double *x, const double *g, double *const *state);

/* ---- Adagrad ------------------------------------------------------------------------------------ */

struct attrs_adagrad {
    float decay_factor, epsilon, norm_coefficient;
};

static const struct attr adagrad_attrs[] = {
    {"decay_factor", ATTR_FLOAT, offsetof(struct attrs_adagrad, decay_factor)},
    {"epsilon", ATTR_FLOAT, offsetof(struct attrs_adagrad, epsilon), .f = 1e-6f},
    {"norm_coefficient", ATTR_FLOAT, offsetof(struct attrs_adagrad, norm_coefficient)},
    {0},
};

static void adagrad_step(const struct step *s, int64_t n, double *x, const double *g, double *const *state)
{
    const struct attrs_adagrad *at = s->attrs;
    double rate = s->rate / (1 + (double)s->updates * at->decay_factor), *h = state[0];
    for (int64_t i = 0; i < n; i++) {
        double slope = at->norm_coefficient * x[i] + g[i];
        h[i] += slope * slope;
        x[i] -= rate * slope / (sqrt(h[i]) + at->epsilon);
    }
}

/* ---- Adam --------------------------------------------------------------------------------------- */

struct attrs_adam {
    float alpha, beta, epsilon, norm_coefficient, norm_coefficient_post;
};

static const struct attr adam_attrs[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_adam, alpha), .f = 0.9f},
    {"beta", ATTR_FLOAT, offsetof(struct attrs_adam, beta), .f = 0.999f},
    {"epsilon", ATTR_FLOAT, offsetof(struct attrs_adam, epsilon), .f = 1e-6f},
    {"norm_coefficient", ATTR_FLOAT, offsetof(struct attrs_adam, norm_coefficient)},
    {"norm_coefficient_post", ATTR_FLOAT, offsetof(struct attrs_adam, norm_coefficient_post)},
    {0},
};

static void adam_step(const struct step *s, int64_t n, double *x, const double *g, double *const *state)
{
    const struct attrs_adam *at = s->attrs;
    double rate = s->rate, t = (double)s->updates, *v = state[0], *h = state[1];
    double alpha = at->alpha, beta = at->beta;
    if (s->updates > 0)
        rate *= sqrt(1 - pow(beta, t)) / (1 - pow(alpha, t));
    for (int64_t i = 0; i < n; i++) {
        double slope = at->norm_coefficient * x[i] + g[i];
        v[i] = alpha * v[i] + (1 - alpha) * slope;
        h[i] = beta * h[i] + (1 - beta) * slope * slope;
        x[i] = (1 - (double)at->norm_coefficient_post) * (x[i] - rate * v[i] / (sqrt(h[i]) + at->epsilon));
    }
}

/* ---- Momentum ----------------------------------------------------------------------------------- */

struct attrs_momentum {
    float alpha, beta, norm_coefficient;
    struct str mode;
};

static const struct attr momentum_attrs[] = {
    {"alpha", ATTR_FLOAT, offsetof(struct attrs_momentum, alpha), .required = true},
    {"beta", ATTR_FLOAT, offsetof(struct attrs_momentum, beta), .required = true},
    {"mode", ATTR_STRING, offsetof(struct attrs_momentum, mode), .required = true},
    {"norm_coefficient", ATTR_FLOAT, offsetof(struct attrs_momentum, norm_coefficient), .required = true},
    {0},
};

static bool is_mode(const struct attrs_momentum *at, const char *word)
{
    return at->mode.size == strlen(word) && memcmp(at->mode.data, word, at->mode.size) == 0;
}

static void momentum_step(const struct step *s, int64_t n, double *x, const double *g, double *const *state)
{
    const struct attrs_momentum *at = s->attrs;
    double beta = s->updates > 0 ? at->beta : 1, *v = state[0];
    bool nesterov = is_mode(at, "nesterov");
    for (int64_t i = 0; i < n; i++) {
        double slope = at->norm_coefficient * x[i] + g[i];
        v[i] = at->alpha * v[i] + beta * slope;
        x[i] -= s->rate * (nesterov ? slope + at->alpha * v[i] : v[i]);
    }
}

static int momentum_check(struct node *n, struct err *e)
{
    const struct attrs_momentum *at = n->attrs;
    if (is_mode(at, "nesterov") || is_mode(at, "standard"))
        return 0;
    return err_set(e, ERR_MODEL, "mode is not nesterov or standard");
}

/* ---- what they share ---------------------------------------------------------------------------- */

extern const struct op op_adagrad, op_adam, op_momentum;

/* States that a tensor has, and the step. */
static const struct optimiser {
    const struct op *op;
    int states;
    step_fn *step;
} optimisers[] = {{&op_adagrad, 1, adagrad_step}, {&op_adam, 2, adam_step}, {&op_momentum, 1, momentum_step}};

static const struct optimiser *optimiser_of(const struct op *op)
{
    const struct optimiser *o = optimisers;
    while (o->op != op)
        o++;
    return o;
}

/* Tensors that are optimised. */
static int tensor_groups(int n_in, int states)
{
    return (n_in - FIRST) / (2 + states);
}

static int optimiser_infer(struct infer *c, struct err *e)
{
    int states = optimiser_of(c->node->op)->states, n = tensor_groups(c->n_in, states);
    int rc = infer_dtypes(c, 0, DT(F32) | DT(F64), e);
    rc = rc ? rc : infer_dtypes(c, 1, DT(I64), e);
    if (rc == 0 && (n < 1 || c->n_in != FIRST + n * (2 + states) || c->n_out > n * (1 + states)))
        rc = err_set(e, ERR_MODEL, "%d inputs and %d outputs; a tensor that is optimised takes %d and gives %d",
                     c->n_in, c->n_out, 2 + states, 1 + states);
    for (int i = 0; i < 2 && rc == 0; i++)
        for (int k = 0; k < infer_rank(c, i) && rc == 0; k++)
            if (sym_differ(c->syms, infer_dim(c, i, k), 1))
                rc = err_set(e, ERR_MODEL, "input %d must be a scalar", i);
    for (int i = FIRST; i < c->n_in && rc == 0; i++) {
        int x = FIRST + (i - FIRST) % n;
        rc = infer_dtypes(c, i, DT(F32) | DT(F64), e);
        rc = rc ? rc : infer_same_dtype(c, x, i, e);
        if (rc == 0 && infer_rank(c, x) >= 0 && infer_rank(c, i) >= 0 && infer_rank(c, x) != infer_rank(c, i))
            rc = err_set(e, ERR_MODEL, "inputs %d and %d must have one shape", x, i);
        for (int k = 0; rc == 0 && infer_rank(c, x) >= 0 && k < infer_rank(c, i); k++)
            if (sym_differ(c->syms, infer_dim(c, x, k), infer_dim(c, i, k)))
                rc = err_set(e, ERR_MODEL, "inputs %d and %d must have one shape", x, i);
    }
    for (int o = 0; o < c->n_out && rc == 0; o++)
        rc = infer_like(c, o, FIRST + o % n, infer_dtype(c, FIRST + o % n), e);
    return rc;
}

/* All elements of all tensors are one range of tasks. */
static int64_t optimiser_tasks(const struct call *c)
{
    int64_t total = 0;
    for (int i = 0; i < tensor_groups(c->n_in, optimiser_of(c->op)->states); i++)
        total += tensor_count(call_in(c, FIRST + i));
    return tasks_for(total, 8);
}

static void run_chunk(const struct call *c, const struct step *s, int tensor, int64_t first, int64_t n)
{
    int states = optimiser_of(c->op)->states, groups = tensor_groups(c->n_in, states);
    double x[CHUNK_ELEMS], g[CHUNK_ELEMS], memory[STATES_MAX][CHUNK_ELEMS], *state[] = {memory[0], memory[1]};
    const struct tensor *in = call_in(c, FIRST + tensor), *gradient = call_in(c, FIRST + groups + tensor);
    elems_to_f64(in->dtype, in->data, first, n, x);
    elems_to_f64(gradient->dtype, gradient->data, first, n, g);
    for (int k = 0; k < states; k++) {
        const struct tensor *v = call_in(c, FIRST + (2 + k) * groups + tensor);
        elems_to_f64(v->dtype, v->data, first, n, state[k]);
    }
    optimiser_of(c->op)->step(s, n, x, g, state);
    for (int k = 0; k <= states; k++) {
        const struct tensor *y = call_out(c, k * groups + tensor);
        if (y)
            elems_from_f64(y->dtype, y->data, first, n, k ? state[k - 1] : x);
    }
}

static int optimiser_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    int64_t total = 0, from, to, skip, tasks = optimiser_tasks(c), before = 0;
    int groups = tensor_groups(c->n_in, optimiser_of(c->op)->states);
    if (tensor_count(call_in(c, 0)) != 1 || tensor_count(call_in(c, 1)) != 1)
        return err_set(e, ERR_INPUT, "the learning rate and the number of updates must be scalars");
    for (int i = FIRST; i < c->n_in; i++)
        if (tensor_count(call_in(c, i)) != tensor_count(call_in(c, FIRST + (i - FIRST) % groups)))
            return err_set(e, ERR_INPUT, "inputs %d and %d must have one shape", FIRST + (i - FIRST) % groups, i);
    struct step s = {c->attrs, tensor_float(call_in(c, 0), 0), tensor_int(call_in(c, 1), 0)};
    for (int i = 0; i < groups; i++)
        total += tensor_count(call_in(c, FIRST + i));
    task_range(begin, tasks, total, &from, &skip);
    task_range(end - 1, tasks, total, &skip, &to);
    for (int i = 0; i < groups; i++) {
        int64_t n = tensor_count(call_in(c, FIRST + i));
        int64_t at = from > before ? from - before : 0, stop = to - before < n ? to - before : n;
        for (; at < stop; at += CHUNK_ELEMS)
            run_chunk(c, &s, i, at, stop - at < CHUNK_ELEMS ? stop - at : CHUNK_ELEMS);
        before += n;
    }
    return 0;
}

#define OPTIMISER_ROW(row_name, word, check)                                                          \
    {                                                                                                 \
        .domain = "ai.onnx.preview.training", .name = row_name, .since = 1, .in_min = 3,              \
        .in_max = -1, .out_min = 1, .out_max = -1, .flags = OP_PURE, .host_in = 3,                    \
        .attrs = word##_attrs, .attrs_size = sizeof(struct attrs_##word), .fix = check,               \
        .infer = optimiser_infer, .tasks = optimiser_tasks, .run = optimiser_run                      \
    }

const struct op op_adagrad = OPTIMISER_ROW("Adagrad", adagrad, NULL);
const struct op op_adam = OPTIMISER_ROW("Adam", adam, NULL);
const struct op op_momentum = OPTIMISER_ROW("Momentum", momentum, momentum_check);
