/* SPDX-License-Identifier: Apache-2.0 */
/* RNN, GRU, LSTM. One batch row in one direction is a task: it never sees the rows beside it.
 *
 * Products are f32 on kernels/gemm.h (f64 on plain loops); gates and states are double in between and
 * round to the tensor's type at the end. Formulas and gate orders (i | z r h | i o f c) are ONNX's.
 *
 * DynamicQuantizeLSTM is LSTM with weights of bytes, stored transposed. What it multiplies them with, the
 * inputs of a row and then each state, takes 256 steps between its least and largest number first, as in
 * DynamicQuantizeLinear; the steps less their zero are integers, whose products f32 adds. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernels/gemm.h"
#include "ops/common.h"
#include "ops/quant.h"

enum cell { CELL_RNN, CELL_GRU, CELL_LSTM };
enum { FUNCTIONS_MAX = 6 };

struct attrs_rnn {
    struct strs activations;
    struct floats alpha, beta;
    float clip;
    struct str direction;
    int64_t hidden_size, input_forget, layout, linear_before_reset;
};

#define RNN_ATTRS                                                                                  \
    {"activations", ATTR_STRINGS, offsetof(struct attrs_rnn, activations)},                        \
        {"activation_alpha", ATTR_FLOATS, offsetof(struct attrs_rnn, alpha)},                      \
        {"activation_beta", ATTR_FLOATS, offsetof(struct attrs_rnn, beta)},                        \
        {"clip", ATTR_FLOAT, offsetof(struct attrs_rnn, clip), .f = INFINITY},                     \
        {"direction", ATTR_STRING, offsetof(struct attrs_rnn, direction), .s = "forward"},         \
        {"hidden_size", ATTR_INT, offsetof(struct attrs_rnn, hidden_size), .i = ATTR_ABSENT},      \
        {"layout", ATTR_INT, offsetof(struct attrs_rnn, layout), .since = 14},                     \
        {"output_sequence", ATTR_INT, .ignore = true, .until = 6}
static const struct attr rnn_attrs[] = {RNN_ATTRS, {0}};
static const struct attr gru_attrs[] = {
    RNN_ATTRS,
    {"linear_before_reset", ATTR_INT, offsetof(struct attrs_rnn, linear_before_reset), .since = 3},
    {0},
};
static const struct attr lstm_attrs[] = {
    RNN_ATTRS,
    {"input_forget", ATTR_INT, offsetof(struct attrs_rnn, input_forget)},
    {0},
};

static const struct attr quantized_attrs[] = {
    {"activations", ATTR_STRINGS, offsetof(struct attrs_rnn, activations)},
    {"activation_alpha", ATTR_FLOATS, offsetof(struct attrs_rnn, alpha)},
    {"activation_beta", ATTR_FLOATS, offsetof(struct attrs_rnn, beta)},
    {"clip", ATTR_FLOAT, offsetof(struct attrs_rnn, clip), .f = INFINITY},
    {"direction", ATTR_STRING, offsetof(struct attrs_rnn, direction), .s = "forward"},
    {"hidden_size", ATTR_INT, offsetof(struct attrs_rnn, hidden_size), .i = ATTR_ABSENT},
    {"input_forget", ATTR_INT, offsetof(struct attrs_rnn, input_forget)},
    {0},
};

/* The further inputs of DynamicQuantizeLSTM. */
enum { IN_W_SCALE = 8, IN_W_ZERO, IN_R_SCALE, IN_R_ZERO };

/* ---- activations --------------------------------------------------------------------------------- */

struct function {
    double (*fn)(double x, double alpha, double beta);
    double alpha, beta;
};

static double f_relu(double x, double a, double b) { return x > 0 ? x : 0; }
static double f_tanh(double x, double a, double b) { return tanh(x); }
static double f_sigmoid(double x, double a, double b) { return 1 / (1 + exp(-x)); }
static double f_affine(double x, double a, double b) { return a * x + b; }
static double f_leaky(double x, double a, double b) { return x < 0 ? a * x : x; }
static double f_threshold(double x, double a, double b) { return x > a ? x : 0; }
static double f_scaled(double x, double a, double b) { return a * tanh(b * x); }
static double f_hard(double x, double a, double b) { return fmin(fmax(a * x + b, 0), 1); }
static double f_elu(double x, double a, double b) { return x < 0 ? a * expm1(x) : x; }
static double f_softsign(double x, double a, double b) { return x / (1 + fabs(x)); }
static double f_softplus(double x, double a, double b) { return log1p(exp(-fabs(x))) + fmax(x, 0); }

static const struct {
    const char *name;
    double (*fn)(double, double, double);
    int parameters; /* of activation_alpha, then of activation_beta, that it takes */
    double alpha, beta;
} functions[] = {
    {"Relu", f_relu, 0, 0, 0},
    {"Tanh", f_tanh, 0, 0, 0},
    {"Sigmoid", f_sigmoid, 0, 0, 0},
    {"Affine", f_affine, 2, 1, 0},
    {"LeakyRelu", f_leaky, 1, 0.01, 0},
    {"ThresholdedRelu", f_threshold, 1, 1, 0},
    {"ScaledTanh", f_scaled, 2, 1, 1},
    {"HardSigmoid", f_hard, 2, 0.2, 0.5},
    {"Elu", f_elu, 1, 1, 0},
    {"Softsign", f_softsign, 0, 0, 0},
    {"Softplus", f_softplus, 0, 0, 0},
};
enum { FUNCTIONS = sizeof(functions) / sizeof(*functions) };

static bool same_word(struct str s, const char *word)
{
    size_t n = strlen(word);
    if (s.size != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((s.data[i] | 32) != (word[i] | 32))
            return false;
    return true;
}

/* ---- the shape of a node -------------------------------------------------------------------------- */

static enum cell cell_of(const struct op *op)
{
    return op->name[0] == 'G' ? CELL_GRU : op->name[0] == 'R' ? CELL_RNN : CELL_LSTM;
}

static bool quantized(const struct op *op)
{
    return op->name[0] == 'D';
}

static const int gates_of[] = {[CELL_RNN] = 1, [CELL_GRU] = 3, [CELL_LSTM] = 4};
static const int per_direction[] = {[CELL_RNN] = 1, [CELL_GRU] = 2, [CELL_LSTM] = 3};

static int directions(const struct attrs_rnn *at)
{
    return same_word(at->direction, "bidirectional") ? 2 : 1;
}

/* The functions of all directions; defaults are Tanh, Sigmoid Tanh, Sigmoid Tanh Tanh. */
static int find_functions(const struct attrs_rnn *at, enum cell cell, struct function *out, struct err *e)
{
    static const char *const fallback[][3] = {
        [CELL_RNN] = {"Tanh"}, [CELL_GRU] = {"Sigmoid", "Tanh"}, [CELL_LSTM] = {"Sigmoid", "Tanh", "Tanh"}};
    int each = per_direction[cell], n = each * directions(at), next_a = 0, next_b = 0;
    if (at->activations.v && at->activations.n != n)
        return err_set(e, ERR_MODEL, "%lld activations, expected %d", (long long)at->activations.n, n);
    for (int i = 0; i < n; i++) {
        const char *word = fallback[cell][i % each];
        struct str given = at->activations.v ? at->activations.v[i] : (struct str){word, strlen(word)};
        int k = 0;
        while (k < FUNCTIONS && !same_word(given, functions[k].name))
            k++;
        if (k == FUNCTIONS)
            return err_set(e, ERR_MODEL, "activation '%.*s' is unknown",
                           (int)(given.size < 40 ? given.size : 40), given.data);
        out[i] = (struct function){functions[k].fn, functions[k].alpha, functions[k].beta};
        if (functions[k].parameters > 0 && next_a < at->alpha.n)
            out[i].alpha = at->alpha.v[next_a++];
        if (functions[k].parameters > 1 && next_b < at->beta.n)
            out[i].beta = at->beta.v[next_b++];
    }
    return 0;
}

/* ---- inference ------------------------------------------------------------------------------------ */

static int expect(struct infer *c, int i, int rank, const int64_t *dims, const char *what, struct err *e)
{
    if (!infer_has(c, i) || infer_rank(c, i) < 0)
        return 0;
    if (infer_rank(c, i) != rank)
        return err_set(e, ERR_MODEL, "%s has rank %d, expected %d", what, infer_rank(c, i), rank);
    for (int k = 0; k < rank; k++)
        if (sym_differ(c->syms, infer_dim(c, i, k), dims[k]))
            return err_set(e, ERR_MODEL, "%s: dim %d does not fit the other inputs", what, k);
    return 0;
}

static int check_dtypes(struct infer *c, struct err *e)
{
    bool bytes = quantized(c->node->op);
    int rc = infer_dtypes(c, 0, bytes ? DT(F32) : DT(F32) | DT(F16) | DT(F64) | DT(BF16), e);
    for (int i = 1; i < c->n_in && rc == 0; i++) {
        if (!infer_has(c, i))
            continue;
        if (i == 4)
            rc = infer_dtypes(c, 4, DT(I32), e);
        else if (bytes && (i < 3 || i == IN_W_ZERO || i == IN_R_ZERO))
            rc = i < 3 ? infer_dtypes(c, i, DT(U8) | DT(I8), e)
                       : infer_same_dtype(c, i == IN_W_ZERO ? 1 : 2, i, e);
        else
            rc = infer_same_dtype(c, 0, i, e);
    }
    return rc;
}

/* A scale or zero point is a number a direction, or a gate's of each. */
static int check_scales(struct infer *c, int64_t dirs, int64_t gates, struct err *e)
{
    for (int i = IN_W_SCALE; i <= IN_R_ZERO; i++) {
        int rank = infer_rank(c, i);
        if (!infer_has(c, i))
            return err_set(e, ERR_MODEL, "input %d is missing", i);
        if (rank > 2 || rank == 0 || (rank > 0 && sym_differ(c->syms, infer_dim(c, i, 0), dirs)) ||
            (rank == 2 && sym_differ(c->syms, infer_dim(c, i, 1), gates)))
            return err_set(e, ERR_MODEL, "input %d is neither [directions] nor [directions, gates]",
                           i);
    }
    return 0;
}

static int rnn_infer(struct infer *c, struct err *e)
{
    const struct attrs_rnn *at = c->attrs;
    enum cell cell = cell_of(c->node->op);
    bool bytes = quantized(c->node->op);
    struct function functions_of[FUNCTIONS_MAX];
    int rc = check_dtypes(c, e);
    if (rc == 0 && !same_word(at->direction, "forward") && !same_word(at->direction, "reverse") &&
        directions(at) == 1)
        rc = err_set(e, ERR_MODEL, "direction is not forward, reverse or bidirectional");
    if (rc == 0)
        rc = find_functions(at, cell, functions_of, e);
    if (rc < 0)
        return rc;
    int rank = infer_rank(c, 0), r_rank = infer_rank(c, 2), b = at->layout ? 0 : 1;
    if ((rank >= 0 && rank != 3) || (r_rank >= 0 && r_rank != 3))
        return err_set(e, ERR_MODEL, "X and R must have rank 3");
    if (rank < 0 || r_rank < 0) {
        rc = infer_unknown(c, 0, infer_dtype(c, 0), e);
        for (int o = 1; o < 3 && rc == 0; o++)
            rc = infer_unknown(c, o, infer_dtype(c, 0), e);
        return rc;
    }
    int64_t n = directions(at), g = gates_of[cell], h = infer_dim(c, 2, bytes ? 1 : 2), seq = infer_dim(c, 0, 1 - b);
    int64_t batch = infer_dim(c, 0, b), gh = sym_mul(c->syms, h, g);
    if (at->hidden_size != ATTR_ABSENT && sym_differ(c->syms, h, at->hidden_size))
        return err_set(e, ERR_MODEL, "hidden_size is %lld, R does not fit", (long long)at->hidden_size);
    int64_t in = infer_dim(c, 0, 2), w[] = {n, bytes ? in : gh, bytes ? gh : in};
    int64_t r[] = {n, bytes ? h : gh, bytes ? gh : h}, bias[] = {n, sym_mul(c->syms, gh, 2)};
    int64_t p[] = {n, sym_mul(c->syms, h, 3)}, lens[] = {batch};
    int64_t state[3] = {at->layout ? batch : n, at->layout ? n : batch, h};
    rc = expect(c, 1, 3, w, "W", e);
    rc = rc < 0 ? rc : expect(c, 2, 3, r, "R", e);
    rc = rc < 0 ? rc : expect(c, 3, 2, bias, "B", e);
    rc = rc < 0 ? rc : expect(c, 4, 1, lens, "sequence_lens", e);
    rc = rc < 0 ? rc : expect(c, 5, 3, state, "initial_h", e);
    rc = rc < 0 ? rc : expect(c, 6, 3, state, "initial_c", e);
    rc = rc < 0 ? rc : expect(c, 7, 2, p, "P", e);
    if (rc == 0 && bytes)
        rc = check_scales(c, n, gh, e);
    int64_t y[4] = {seq, n, batch, h};
    if (at->layout) {
        y[0] = batch;
        y[1] = seq;
        y[2] = n;
    }
    rc = rc < 0 ? rc : infer_set(c, 0, infer_dtype(c, 0), 4, y, e);
    for (int o = 1; o < (cell == CELL_LSTM ? 3 : 2) && rc == 0; o++)
        rc = infer_set(c, o, infer_dtype(c, 0), 3, state, e);
    return rc;
}

/* ---- a task --------------------------------------------------------------------------------------- */

struct shape {
    enum cell cell;
    int64_t seq, batch, input, hidden, n_dirs, gates;
    bool wide;  /* f64 products */
    bool bytes; /* quantised */
    enum dtype dtype;
    const struct gemm_f32_kernel *kernel;
    size_t pack_w, pack_r; /* floats, one direction */
};

static struct shape shape_of(const struct call *c)
{
    const struct attrs_rnn *at = c->attrs;
    const struct tensor *x = call_in(c, 0), *r = call_in(c, 2);
    struct shape s = {.cell = cell_of(c->op), .n_dirs = directions(at), .hidden = r->dims[2],
                      .bytes = quantized(c->op), .input = x->dims[2], .dtype = x->dtype, .wide = x->dtype == DTYPE_F64};
    if (s.bytes)
        s.hidden = r->dims[1];
    s.seq = x->dims[at->layout ? 1 : 0];
    s.batch = x->dims[at->layout ? 0 : 1];
    s.gates = gates_of[s.cell] * s.hidden;
    s.kernel = gemm_f32_pick();
    if (!gemm_f32_packed_b_size(s.kernel, (size_t)s.input, (size_t)s.gates, &s.pack_w) ||
        !gemm_f32_packed_b_size(s.kernel, (size_t)s.hidden, (size_t)s.gates, &s.pack_r))
        s.pack_w = s.pack_r = 0;
    return s;
}

static int64_t rnn_tasks(const struct shape *s)
{
    return s->n_dirs * s->batch;
}

/* Floats of scratch that the products of a task need. */
static size_t product_floats(const struct shape *s)
{
    return gemm_f32_scratch(s->kernel, (size_t)(s->hidden > s->input ? s->hidden : s->input));
}

/* Room for the f32 or f64 input of any product: all steps' inputs, or a state. */
static int64_t narrow_doubles(const struct shape *s)
{
    int64_t inputs = s->seq * s->input;
    return (inputs > s->hidden ? inputs : s->hidden) + 8;
}

/* Doubles of one task: pre-activations of all steps, a product's input, gates (with GRU's second product),
 * biases, states and peepholes, scratch; in the order of row_begin. */
static size_t task_doubles(const struct shape *s)
{
    return (size_t)(s->seq * s->gates + narrow_doubles(s) + (s->gates + 4 * s->hidden) + 2 * s->gates +
                    5 * s->hidden) +
           (product_floats(s) + 1) / 2 + 16;
}

/* Shared: weights packed for f32, or widened for f64. */
static size_t rnn_scratch(const struct call *c, size_t *per_member)
{
    struct shape s = shape_of(c);
    *per_member = task_doubles(&s) * sizeof(double);
    size_t wide = (size_t)((s.input > s.hidden ? s.input : s.hidden) * s.gates);
    return s.wide ? 0 : ((s.pack_w + s.pack_r) * (size_t)s.n_dirs + wide) * sizeof(float);
}

struct job {
    struct call *call;
    struct shape shape;
    struct function functions[FUNCTIONS_MAX];
    float *packed_w, *packed_r; /* of all directions */
};

/* What a task has while it runs. */
struct row {
    const struct job *j;
    int dir;
    int64_t b, steps;
    bool reverse;
    double *pre;          /* steps x gates, f32 in the same place for f32 products */
    double *h, *c;        /* states */
    double *gate;         /* gates of one step: from x, from h */
    double *bias_w, *bias_r, *peep;
    double *narrow;       /* f32 input of a product */
    float *scratch;
};

static double clip(double x, double limit)
{
    return fmin(fmax(x, -limit), limit);
}

static double apply(const struct row *r, int which, double x)
{
    const struct attrs_rnn *at = r->j->call->attrs;
    const struct function *f = &r->j->functions[r->dir * per_direction[r->j->shape.cell] + which];
    return f->fn(clip(x, at->clip), f->alpha, f->beta);
}

/* n floats become their steps, less the zero; the scale. */
static float quantize(float *x, int64_t n)
{
    const struct quant_range bytes = {0, 255};
    float low = 0, high = 0;
    for (int64_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    struct quant_step step = quant_step_of(low, high);
    for (int64_t i = 0; i < n; i++)
        x[i] = quant_round(x[i] / step.scale, step.zero, bytes) - step.zero;
    return step.scale;
}

/* Element i of a direction's scales or zero points, of which there are one or `gates` each. */
static float side_at(const struct call *c, int input, int dir, int64_t i)
{
    const struct tensor *t = call_in(c, input);
    return (float)tensor_float(t, t->rank == 2 ? dir * t->dims[1] + i : dir);
}

/* m rows of sums times the scales of their two factors. */
static void rescale(const struct row *r, int input, int64_t m, float scale, float *sums)
{
    const struct tensor *t = call_in(r->j->call, input);
    int64_t gates = r->j->shape.gates, step = t->rank == 2;
    const float *scales = (const float *)t->data + (step ? r->dir * gates : r->dir);
    for (int64_t k = 0; k < m; k++, sums += gates)
        for (int64_t i = 0; i < gates; i++)
            sums[i] *= scale * scales[i * step];
}

/* out (double) = r->narrow (m x k floats) times the transposed weight (gates x k) of this direction. */
static void product_f32(const struct row *r, bool recurrent, int64_t m, double *out)
{
    const struct shape *s = &r->j->shape;
    size_t k = (size_t)(recurrent ? s->hidden : s->input);
    float *result = (float *)out; /* widened in place afterwards, from the end */
    struct gemm_f32 g = {.kernel = s->kernel, .m = (size_t)m, .n = (size_t)s->gates, .k = k,
                         .a = (const float *)r->narrow, .a_row = k, .a_k = 1, .c = result,
                         .c_row = (size_t)s->gates,
                         .b = recurrent ? r->j->packed_r + (size_t)r->dir * s->pack_r
                                        : r->j->packed_w + (size_t)r->dir * s->pack_w,
                         .b_packed = true, .epilogue = GEMM_EPILOGUE_NONE};
    struct gemm_tasks t = gemm_f32_tasks(g.kernel, g.m, g.n, g.k);
    float scale = s->bytes ? quantize((float *)r->narrow, m * (int64_t)k) : 1;
    for (size_t i = 0; i < t.m_count * t.n_count; i++)
        gemm_f32_run(&g, &t, i / t.n_count, i % t.n_count, r->scratch);
    if (s->bytes)
        rescale(r, recurrent ? IN_R_SCALE : IN_W_SCALE, m, scale, result);
    for (int64_t i = m * s->gates - 1; i >= 0; i--)
        out[i] = result[i];
}

static void product_f64(const struct row *r, bool recurrent, const double *in, int64_t m, double *out)
{
    const struct shape *s = &r->j->shape;
    const struct tensor *w = call_in(r->j->call, recurrent ? 2 : 1);
    int64_t k = recurrent ? s->hidden : s->input;
    gemm_f64((size_t)m, (size_t)s->gates, (size_t)k, in, (size_t)k, 1,
             (const double *)w->data + (int64_t)r->dir * s->gates * k, 1, (size_t)k, out, (size_t)s->gates);
}

/* A state times the recurrent weight. */
static void product_state(const struct row *r, const double *state, double *out)
{
    const struct shape *s = &r->j->shape;
    if (s->wide) {
        product_f64(r, true, state, 1, out);
        return;
    }
    for (int64_t i = 0; i < s->hidden; i++)
        ((float *)r->narrow)[i] = (float)state[i];
    product_f32(r, true, 1, out);
}

static void step_rnn(struct row *r, const double *x, double *h)
{
    const struct shape *s = &r->j->shape;
    for (int64_t i = 0; i < s->hidden; i++)
        h[i] = apply(r, 0, x[i] + r->gate[i] + r->bias_w[i] + r->bias_r[i]);
}

static void step_gru(struct row *r, const double *x, double *h)
{
    const struct attrs_rnn *at = r->j->call->attrs;
    int64_t n = r->j->shape.hidden;
    double *z = r->gate, *reset = z + n, *g = reset + n, *gated = z + 3 * n;
    for (int64_t i = 0; i < 2 * n; i++)
        z[i] = apply(r, 0, x[i] + z[i] + r->bias_w[i] + r->bias_r[i]);
    if (!at->linear_before_reset) {
        for (int64_t i = 0; i < n; i++)
            gated[i] = reset[i] * h[i];
        /* The reset state times Rh: the other gates of this product are not used. */
        double *all = gated + n;
        product_state(r, gated, all);
        memcpy(g, all + 2 * n, (size_t)n * sizeof(*g));
    }
    for (int64_t i = 0; i < n; i++) {
        double sum = at->linear_before_reset ? reset[i] * (g[i] + r->bias_r[2 * n + i])
                                             : g[i] + r->bias_r[2 * n + i];
        g[i] = apply(r, 1, x[2 * n + i] + sum + r->bias_w[2 * n + i]);
    }
    for (int64_t i = 0; i < n; i++)
        h[i] = (1 - z[i]) * g[i] + z[i] * h[i];
}

static void step_lstm(struct row *r, const double *x, double *h)
{
    const struct attrs_rnn *at = r->j->call->attrs;
    int64_t n = r->j->shape.hidden;
    for (int64_t i = 0; i < n; i++) {
        double a[4];
        for (int g = 0; g < 4; g++)
            a[g] = x[g * n + i] + r->gate[g * n + i] + r->bias_w[g * n + i] + r->bias_r[g * n + i];
        double in = apply(r, 0, a[0] + r->peep[i] * r->c[i]);
        double forget = at->input_forget ? 1 - in : apply(r, 0, a[2] + r->peep[2 * n + i] * r->c[i]);
        double cell = forget * r->c[i] + in * apply(r, 1, a[3]);
        double out = apply(r, 0, a[1] + r->peep[n + i] * cell);
        const struct function *f = &r->j->functions[r->dir * 3 + 2];
        r->c[i] = cell;
        h[i] = out * f->fn(cell, f->alpha, f->beta);
    }
}

static void load(const struct row *r, int input, int64_t first, int64_t n, double *out)
{
    const struct tensor *t = call_in(r->j->call, input);
    if (t)
        elems_to_f64(t->dtype, t->data, first, n, out);
    else
        memset(out, 0, (size_t)n * sizeof(*out));
}

/* Element offset of this row's state in a [dirs, batch, hidden] or [batch, dirs, hidden] tensor. */
static int64_t state_at(const struct row *r)
{
    const struct attrs_rnn *at = r->j->call->attrs;
    const struct shape *s = &r->j->shape;
    return (at->layout ? r->b * s->n_dirs + r->dir : r->dir * s->batch + r->b) * s->hidden;
}

static void row_begin(struct row *r, double *memory)
{
    const struct shape *s = &r->j->shape;
    int64_t n = s->hidden;
    r->pre = memory;
    r->narrow = r->pre + s->seq * s->gates;
    r->gate = r->narrow + narrow_doubles(s);
    r->bias_w = r->gate + s->gates + 4 * n;
    r->bias_r = r->bias_w + s->gates;
    r->h = r->bias_r + s->gates;
    r->c = r->h + n;
    r->peep = r->c + n;
    r->scratch = (float *)(memory + task_doubles(s)) - product_floats(s);
    load(r, 3, r->dir * 2 * s->gates, s->gates, r->bias_w);
    load(r, 3, (r->dir * 2 + 1) * s->gates, s->gates, r->bias_r);
    load(r, 5, state_at(r), n, r->h);
    memset(r->peep, 0, 3 * (size_t)n * sizeof(*r->peep));
    memset(r->c, 0, (size_t)n * sizeof(*r->c));
    if (s->cell == CELL_LSTM) {
        load(r, 6, state_at(r), n, r->c);
        load(r, 7, r->dir * 3 * n, 3 * n, r->peep);
    }
}

static void row_steps(struct row *r)
{
    const struct attrs_rnn *at = r->j->call->attrs;
    const struct shape *s = &r->j->shape;
    struct tensor *y = call_out(r->j->call, 0);
    int64_t n = s->hidden;
    for (int64_t t = 0; t < r->steps; t++) {
        int64_t at_t = r->reverse ? r->steps - 1 - t : t;
        const double *x = r->pre + at_t * s->gates;
        product_state(r, r->h, r->gate);
        s->cell == CELL_LSTM  ? step_lstm(r, x, r->h)
        : s->cell == CELL_GRU ? step_gru(r, x, r->h)
                              : step_rnn(r, x, r->h);
        if (y)
            elems_from_f64(s->dtype, y->data,
                           at->layout ? ((r->b * s->seq + at_t) * s->n_dirs + r->dir) * n
                                      : ((at_t * s->n_dirs + r->dir) * s->batch + r->b) * n,
                           n, r->h);
    }
    for (int64_t t = r->steps; y && t < s->seq; t++) {
        int64_t first = at->layout ? ((r->b * s->seq + t) * s->n_dirs + r->dir) * n
                                   : ((t * s->n_dirs + r->dir) * s->batch + r->b) * n;
        memset((char *)y->data + (size_t)first * dtype_size(s->dtype), 0, (size_t)n * dtype_size(s->dtype));
    }
}

static int run_row(const struct job *j, int64_t task, double *memory, struct err *e)
{
    const struct attrs_rnn *at = j->call->attrs;
    const struct shape *s = &j->shape;
    const struct tensor *lens = call_in(j->call, 4);
    struct row r = {.j = j, .dir = (int)(task / s->batch), .b = task % s->batch, .steps = s->seq};
    r.reverse = r.dir == 1 || same_word(at->direction, "reverse");
    if (lens) {
        r.steps = tensor_int(lens, r.b);
        if (r.steps < 0 || r.steps > s->seq)
            return err_set(e, ERR_INPUT, "sequence_lens[%lld] is %lld, outside 0 to %lld", (long long)r.b,
                           (long long)r.steps, (long long)s->seq);
    }
    row_begin(&r, memory);
    /* This row's inputs, one after the other, then the products of all steps at once. */
    double *x = r.narrow;
    const struct tensor *in = call_in(j->call, 0);
    for (int64_t t = 0; t < r.steps; t++) {
        int64_t first = (at->layout ? r.b * s->seq + t : t * s->batch + r.b) * s->input;
        if (s->wide)
            elems_to_f64(in->dtype, in->data, first, s->input, x + t * s->input);
        else
            elems_to_f32(in->dtype, in->data, first, s->input, (float *)x + t * s->input);
    }
    if (s->wide)
        product_f64(&r, false, x, r.steps, r.pre);
    else
        product_f32(&r, false, r.steps, r.pre);
    row_steps(&r);
    struct tensor *y_h = call_out(j->call, 1), *y_c = call_out(j->call, 2);
    if (y_h)
        elems_from_f64(s->dtype, y_h->data, state_at(&r), s->hidden, r.h);
    if (y_c && s->cell == CELL_LSTM)
        elems_from_f64(s->dtype, y_c->data, state_at(&r), s->hidden, r.c);
    return 0;
}

static int run_rows(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    int rc = 0;
    for (int64_t t = begin; t < end && rc == 0; t++)
        rc = run_row(j, t, call_member_scratch(j->call, member), e);
    return rc;
}

/* Weights of bytes, less their zero points, of all directions as packed B: W is [dirs, k, gates]. */
static void pack_bytes(struct job *j, int input, size_t size, float *out, float *wide)
{
    const struct tensor *w = call_in(j->call, input);
    const struct shape *s = &j->shape;
    int64_t k = w->dims[1];
    for (int d = 0; d < s->n_dirs; d++) {
        elems_to_f32(w->dtype, w->data, d * s->gates * k, s->gates * k, wide);
        for (int64_t i = 0; i < s->gates; i++) {
            float zero = side_at(j->call, input == 1 ? IN_W_ZERO : IN_R_ZERO, d, i);
            for (int64_t p = 0; p < k && zero != 0; p++)
                wide[p * s->gates + i] -= zero;
        }
        gemm_f32_pack_b(s->kernel, wide, (size_t)s->gates, 1, (size_t)k, (size_t)s->gates, 0,
                        gemm_f32_panels(s->kernel, (size_t)s->gates), out + (size_t)d * size);
    }
}

/* Weights of all directions as packed B: W is [dirs, gates, k], so B is its transpose. */
static void pack(struct job *j, int input, size_t size, float *out, float *wide)
{
    const struct tensor *w = call_in(j->call, input);
    const struct shape *s = &j->shape;
    int64_t k = w->dims[2];
    for (int64_t d = 0; d < s->n_dirs; d++) {
        elems_to_f32(w->dtype, w->data, d * s->gates * k, s->gates * k, wide);
        gemm_f32_pack_b(s->kernel, wide, 1, (size_t)k, (size_t)k, (size_t)s->gates, 0,
                        gemm_f32_panels(s->kernel, (size_t)s->gates), out + (size_t)d * size);
    }
}

static int rnn_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job j = {.call = c, .shape = shape_of(c)};
    int rc = find_functions(c->attrs, j.shape.cell, j.functions, e);
    if (rc < 0)
        return rc;
    if (!j.shape.wide) {
        j.packed_w = c->scratch;
        j.packed_r = j.packed_w + j.shape.pack_w * (size_t)j.shape.n_dirs;
        float *wide = j.packed_r + j.shape.pack_r * (size_t)j.shape.n_dirs;
        (j.shape.bytes ? pack_bytes : pack)(&j, 1, j.shape.pack_w, j.packed_w, wide);
        (j.shape.bytes ? pack_bytes : pack)(&j, 2, j.shape.pack_r, j.packed_r, wide);
    }
    return call_tasks(c, rnn_tasks(&j.shape), run_rows, &j, e);
}

#define RNN_ROW(row_domain, row_name, n_in, n_out, table)                                              \
    {                                                                                                  \
        .domain = row_domain, .name = row_name, .since = 1, .in_min = 3, .in_max = n_in, .out_min = 0, \
        .out_max = n_out, .flags = OP_PURE | OP_LEADER, .attrs = table,                                \
        .attrs_size = sizeof(struct attrs_rnn), .infer = rnn_infer, .scratch = rnn_scratch,            \
        .kernels = "gemm", .run = rnn_run,                                                             \
    }
const struct op op_rnn = RNN_ROW("", "RNN", 6, 2, rnn_attrs);
const struct op op_gru = RNN_ROW("", "GRU", 6, 2, gru_attrs);
const struct op op_lstm = RNN_ROW("", "LSTM", 8, 3, lstm_attrs);
const struct op op_ms_dynamicquantizelstm =
    RNN_ROW("com.microsoft", "DynamicQuantizeLSTM", 12, 3, quantized_attrs);
