/* SPDX-License-Identifier: Apache-2.0 */
/* MoE: each token goes to the k experts that the router (softmax of its row) likes best; an expert
 * is FC2(activation(FC1)), or FC2(activation(FC1) * FC3), and the experts' results are added in
 * order of liking, times their probabilities.
 *
 * The pairs of token and expert are sorted by expert; then every step is one product for each
 * expert over its rows, all of them cut into tasks together:
 *
 *   rows [pairs, hidden] -FC1-> [pairs, wide] -activation-> [pairs, inter] -FC2-> [pairs, hidden]
 *
 * All is f32; f16 and bf16 are widened first and rounded last. Weights are packed at load where
 * they are constant, else at each call.
 */
#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/unary.h"
#include "ops/common.h"

enum { IN_X, IN_ROUTER, IN_FC1, IN_FC1_BIAS, IN_FC2, IN_FC2_BIAS, IN_FC3, IN_FC3_BIAS };
enum { LAYERS = 3 };
static const int weight_in[LAYERS] = {IN_FC1, IN_FC2, IN_FC3};

struct moe_attrs {
    int64_t k, normalize_routing_weights, swiglu_fusion, use_sparse_mixer;
    float alpha, beta, limit;
    struct str activation_type;
};

enum act { ACT_RELU, ACT_GELU, ACT_SILU, ACT_SWIGLU, ACT_IDENTITY, ACTS };

static int read_act(const struct moe_attrs *a, enum act *out, struct err *e)
{
    static const char *const names[ACTS] = {"relu", "gelu", "silu", "swiglu", "identity"};
    for (int i = 0; i < ACTS; i++)
        if (a->activation_type.size == strlen(names[i]) &&
            memcmp(a->activation_type.data, names[i], a->activation_type.size) == 0) {
            *out = (enum act)i;
            return 0;
        }
    return err_set(e, ERR_MODEL, "activation_type is none of relu, gelu, silu, swiglu, identity");
}

/* ---- inference ------------------------------------------------------------------------------- */

static int check_rank(struct infer *c, int i, int rank, struct err *e)
{
    if (infer_rank(c, i) < 0 || infer_rank(c, i) == rank)
        return 0;
    return err_set(e, ERR_MODEL, "input %d has rank %d, expected %d", i, infer_rank(c, i), rank);
}

/* Dim k of input i is `want`, where both are known. */
static int check_dim(struct infer *c, int i, int k, int64_t want, struct err *e)
{
    if (infer_rank(c, i) < 0 || !sym_differ(c->syms, infer_dim(c, i, k), want))
        return 0;
    return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "dim %d of input %d does not fit", k, i);
}

static int64_t dim_or_unknown(const struct infer *c, int i, int k)
{
    return infer_rank(c, i) < 0 ? SYM_UNKNOWN : infer_dim(c, i, k);
}

static int check_weights(struct infer *c, const struct moe_attrs *a, int64_t hidden, struct err *e)
{
    int64_t experts = dim_or_unknown(c, IN_FC2, 0), inter = dim_or_unknown(c, IN_FC2, 2);
    int64_t wide = sym_mul(c->syms, inter, a->swiglu_fusion ? 2 : 1);
    const int64_t want[][3] = {
        {experts, wide, hidden}, {experts, wide}, {experts, hidden, inter},
        {experts, hidden},       {experts, inter, hidden}, {experts, inter},
    };
    int r = check_dim(c, IN_ROUTER, 1, experts, e);
    for (int i = IN_FC1; i <= IN_FC3_BIAS && r == 0; i++)
        for (int k = 0; k < (i % 2 ? 2 : 3) && infer_has(c, i) && r == 0; k++)
            r = check_dim(c, i, k, want[i - IN_FC1][k], e);
    if (r == 0 && sym_is_number(experts) && (a->k < 1 || a->k > experts))
        r = err_set(e, ERR_MODEL, "k is %lld, of %lld experts", (long long)a->k,
                    (long long)experts);
    return r;
}

static int moe_infer(struct infer *c, struct err *e)
{
    const struct moe_attrs *a = c->attrs;
    int rank = infer_rank(c, IN_X), r = infer_dtypes(c, IN_X, DT(F32) | DT_FLOAT16S, e);
    enum act act = ACT_RELU;
    if (r || (r = read_act(a, &act, e)))
        return r;
    if (a->k < 1 || a->k > INT32_MAX)
        return err_set(e, ERR_MODEL, "k is %lld", (long long)a->k);
    if (a->use_sparse_mixer)
        return err_set(e, ERR_UNSUPPORTED, "use_sparse_mixer is not supported");
    if (a->swiglu_fusion < 0 || a->swiglu_fusion > 2 || (a->swiglu_fusion && act != ACT_SWIGLU) ||
        (act == ACT_SWIGLU && !a->swiglu_fusion && !infer_has(c, IN_FC3)) ||
        (a->swiglu_fusion && infer_has(c, IN_FC3)))
        return err_set(e, ERR_MODEL, "swiglu_fusion %lld does not go with the activation and FC3",
                       (long long)a->swiglu_fusion);
    if (!infer_has(c, IN_FC2))
        return err_set(e, ERR_MODEL, "FC2 has no weights");
    for (int i = IN_ROUTER; i < c->n_in && r == 0; i++)
        if (infer_has(c, i) && (r = infer_same_dtype(c, IN_X, i, e)) == 0)
            r = check_rank(c, i, i == IN_ROUTER || i % 2 ? 2 : 3, e);
    if (r)
        return r;
    if (rank >= 0 && rank != 2 && rank != 3)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 2 or 3", rank);
    int64_t tokens = rank < 0 ? SYM_UNKNOWN : infer_dim(c, IN_X, 0);
    if (rank == 3)
        tokens = sym_mul(c->syms, tokens, infer_dim(c, IN_X, 1));
    if ((r = check_dim(c, IN_ROUTER, 0, tokens, e)) ||
        (r = check_weights(c, a, rank < 0 ? SYM_UNKNOWN : infer_dim(c, IN_X, rank - 1), e)))
        return r;
    return infer_like(c, 0, IN_X, infer_dtype(c, IN_X), e);
}

/* ---- packing --------------------------------------------------------------------------------- */

/* A layer's weights: of each expert `size` floats. NULL data: not packed at load. */
struct packed {
    float *data;
    size_t size;
};

struct moe_prepared {
    struct packed layers[LAYERS];
};

static bool packed_size(const struct tensor *w, size_t *size, size_t *bytes)
{
    return gemm_f32_packed_b_size(gemm_f32_pick(), (size_t)w->dims[2], (size_t)w->dims[1], size) &&
           size_mul(*size, (size_t)w->dims[0], bytes) && size_mul(*bytes, sizeof(float), bytes);
}

/* Expert i of w [experts, n, k]; `wide` has room for one expert unless w is f32. */
static void pack_expert(const struct tensor *w, int64_t i, float *wide, const struct packed *to)
{
    const struct gemm_f32_kernel *kernel = gemm_f32_pick();
    size_t n = (size_t)w->dims[1], k = (size_t)w->dims[2];
    const float *from = (const float *)w->data + (w->dtype == DTYPE_F32 ? (size_t)i * n * k : 0);
    if (w->dtype != DTYPE_F32) {
        elems_to_f32(w->dtype, w->data, i * (int64_t)(n * k), (int64_t)(n * k), wide);
        from = wide;
    }
    gemm_f32_pack_b(kernel, from, 1, k, k, n, 0, gemm_f32_panels(kernel, n),
                    to->data + (size_t)i * to->size);
}

static int moe_prepare(struct prepare *p, struct err *e)
{
    struct moe_prepared *own = arena_alloc(p->arena, sizeof *own, e);
    if (!own)
        return ERR_MEMORY;
    *own = (struct moe_prepared){0};
    p->prepared = own;
    for (int l = 0; l < LAYERS; l++) {
        int i = weight_in[l];
        const struct tensor *w = i < p->n_in && p->in[i] ? p->in[i]->data : NULL;
        struct packed *to = &own->layers[l];
        size_t bytes;
        if (!w || !w->data || w->rank != 3)
            continue;
        if (!packed_size(w, &to->size, &bytes))
            return err_set(e, ERR_LIMIT, "the packed weights would be too large");
        to->data = p->pack_alloc(p, bytes, e);
        if (!to->data)
            return e && e->code ? e->code : ERR_MEMORY;
        float *wide = NULL;
        if (w->dtype != DTYPE_F32 &&
            !(wide = mem_calloc(p->budget, (size_t)(w->dims[1] * w->dims[2]), sizeof *wide, e)))
            return e && e->code ? e->code : ERR_MEMORY;
        for (int64_t k = 0; k < w->dims[0]; k++)
            pack_expert(w, k, wide, to);
        mem_free(wide);
        p->packed(p, i);
    }
    return 0;
}

/* ---- a call ---------------------------------------------------------------------------------- */

/* Places in the scratch are in floats; indices are int32 in places of floats. */
struct job {
    struct call *call;
    const struct moe_attrs *a;
    enum act act;
    int64_t tokens, experts, pairs, hidden, wide, inter;
    size_t pair_row, starts, weights, rows, first, third, middle, last, biases[LAYERS],
        packs[LAYERS];
    size_t wide_weights, floats; /* the last is the size of all */
    struct packed layers[LAYERS];
    float *base;
    int layer; /* that run_layer does */
};

static size_t take(struct job *j, bool wanted, int64_t a, int64_t b)
{
    size_t at = j->floats, n;
    if (!wanted)
        return at;
    if (!size_mul((size_t)a, (size_t)b, &n) || n > SIZE_MAX / 64 || j->floats > SIZE_MAX / 64)
        n = SIZE_MAX / 64;
    j->floats += (n + 15) & ~(size_t)15;
    return at;
}

static const struct tensor *bias_of(const struct call *c, int layer)
{
    return call_in(c, weight_in[layer] + 1);
}

static void job_init(struct job *j, const struct call *c)
{
    const struct tensor *x = call_in(c, IN_X), *fc1 = call_in(c, IN_FC1), *fc2 = call_in(c, IN_FC2);
    const struct moe_prepared *own = c->prepared;
    *j = (struct job){.a = c->attrs, .experts = fc2->dims[0], .hidden = fc2->dims[1],
                      .inter = fc2->dims[2], .wide = fc1->dims[1]};
    j->tokens = dims_product(x->dims, 0, x->rank - 1);
    j->pairs = j->tokens * j->a->k;
    j->pair_row = take(j, true, j->pairs, 1);
    j->starts = take(j, true, j->experts + 1, 1);
    j->weights = take(j, true, j->pairs, 1);
    j->rows = take(j, true, j->pairs, j->hidden);
    j->first = take(j, true, j->pairs, j->wide);
    j->third = take(j, call_in(c, IN_FC3) != NULL, j->pairs, j->inter);
    j->middle = take(j, true, j->pairs, j->inter);
    j->last = take(j, true, j->pairs, j->hidden);
    size_t widest = 0, bytes;
    for (int l = 0; l < LAYERS; l++) {
        const struct tensor *w = call_in(c, weight_in[l]), *bias = bias_of(c, l);
        j->biases[l] = take(j, bias && bias->dtype != DTYPE_F32, bias ? tensor_count(bias) : 0, 1);
        if (!w)
            continue;
        j->layers[l] = own ? own->layers[l] : (struct packed){0};
        if (j->layers[l].data)
            continue;
        if (!packed_size(w, &j->layers[l].size, &bytes))
            j->layers[l].size = SIZE_MAX / 64;
        j->packs[l] = take(j, true, (int64_t)j->layers[l].size, j->experts);
        if (w->dtype != DTYPE_F32 && (size_t)(w->dims[1] * w->dims[2]) > widest)
            widest = (size_t)(w->dims[1] * w->dims[2]);
    }
    j->wide_weights = take(j, widest > 0, (int64_t)widest, 1);
}

static size_t moe_scratch(const struct call *c, size_t *per_member)
{
    const struct gemm_f32_kernel *k = gemm_f32_pick();
    struct job j;
    job_init(&j, c);
    size_t a = gemm_f32_scratch(k, (size_t)j.hidden), b = gemm_f32_scratch(k, (size_t)j.inter);
    *per_member = (a > b ? a : b) * sizeof(float);
    return j.floats * sizeof(float);
}

/* ---- routing --------------------------------------------------------------------------------- */

/* The k greatest of a row of probabilities, the first of equals first; taken ones become -1. */
static void route_token(const struct job *j, int64_t token, double *p, int32_t *expert,
                        float *weight)
{
    const struct tensor *router = call_in(j->call, IN_ROUTER);
    double most = -INFINITY, sum = 0, chosen = 0;
    elems_to_f64(router->dtype, router->data, token * j->experts, j->experts, p);
    for (int64_t i = 0; i < j->experts; i++)
        most = p[i] > most ? p[i] : most;
    for (int64_t i = 0; i < j->experts; i++)
        sum += p[i] = exp(p[i] - most);
    for (int64_t n = 0; n < j->a->k; n++) {
        int64_t best = 0;
        for (int64_t i = 1; i < j->experts; i++)
            best = p[i] > p[best] ? i : best;
        expert[n] = (int32_t)best;
        weight[n] = (float)(p[best] / sum);
        chosen += p[best] / sum;
        p[best] = -1;
    }
    for (int64_t n = 0; n < j->a->k && j->a->normalize_routing_weights; n++)
        weight[n] = (float)(weight[n] / chosen);
}

/* Pairs sorted by expert: pair_row[pair] is its row; expert i has rows starts[i] to starts[i + 1]. */
static int route(struct job *j, struct err *e)
{
    int32_t *row = (int32_t *)(j->base + j->pair_row), *starts = (int32_t *)(j->base + j->starts);
    double *p = mem_calloc(j->call->budget, (size_t)j->experts, sizeof *p, e);
    if (!p)
        return e && e->code ? e->code : ERR_MEMORY;
    memset(starts, 0, (size_t)(j->experts + 1) * sizeof *starts);
    for (int64_t t = 0; t < j->tokens; t++)
        route_token(j, t, p, row + t * j->a->k, j->base + j->weights + t * j->a->k);
    mem_free(p);
    for (int64_t i = 0; i < j->pairs; i++)
        starts[row[i] + 1]++;
    for (int64_t i = 0; i < j->experts; i++)
        starts[i + 1] += starts[i];
    for (int64_t i = 0; i < j->pairs; i++)
        row[i] = starts[row[i]]++;
    for (int64_t i = j->experts; i > 0; i--)
        starts[i] = starts[i - 1];
    starts[0] = 0;
    return 0;
}

/* ---- steps ----------------------------------------------------------------------------------- */

enum { ROW_TASK = 16 };

static int gather_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    const struct tensor *x = call_in(j->call, IN_X);
    const int32_t *row = (const int32_t *)(j->base + j->pair_row);
    int64_t last = end * ROW_TASK < j->pairs ? end * ROW_TASK : j->pairs;
    for (int64_t i = begin * ROW_TASK; i < last; i++)
        elems_to_f32(x->dtype, x->data, i / j->a->k * j->hidden, j->hidden,
                     j->base + j->rows + row[i] * j->hidden);
    return 0;
}

static int pack_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    for (int64_t i = begin; i < end; i++)
        pack_expert(call_in(j->call, weight_in[j->layer]), i, j->base + j->wide_weights,
                    &j->layers[j->layer]);
    return 0;
}

/* The product of the job's layer for expert i; false: it has no rows. */
static bool expert_product(const struct job *j, int64_t i, struct gemm_f32 *g)
{
    const int32_t *starts = (const int32_t *)(j->base + j->starts);
    const struct tensor *w = call_in(j->call, weight_in[j->layer]),
                        *bias = bias_of(j->call, j->layer);
    const size_t in[LAYERS] = {j->rows, j->middle, j->rows},
                 out[LAYERS] = {j->first, j->last, j->third};
    size_t n = (size_t)w->dims[1], k = (size_t)w->dims[2], row = (size_t)starts[i];
    *g = (struct gemm_f32){
        .kernel = gemm_f32_pick(), .m = (size_t)(starts[i + 1] - starts[i]), .n = n, .k = k,
        .a = j->base + in[j->layer] + row * k, .a_row = k, .a_k = 1,
        .b = j->layers[j->layer].data + (size_t)i * j->layers[j->layer].size, .b_packed = true,
        .c = j->base + out[j->layer] + row * n, .c_row = n, .epilogue = GEMM_EPILOGUE_NONE,
    };
    if (bias)
        g->epilogue.bias =
            (bias->dtype == DTYPE_F32 ? (const float *)bias->data : j->base + j->biases[j->layer]) +
            (size_t)i * n;
    return g->m > 0 && n > 0;
}

/* Tasks of all experts in order. */
static int64_t count_tasks(const struct job *j)
{
    int64_t count = 0;
    struct gemm_f32 g;
    for (int64_t i = 0; i < j->experts; i++)
        if (expert_product(j, i, &g)) {
            struct gemm_tasks t = gemm_f32_tasks(g.kernel, g.m, g.n, g.k);
            count += (int64_t)(t.m_count * t.n_count);
        }
    return count;
}

static int product_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    int64_t at = 0;
    struct gemm_f32 g;
    for (int64_t i = 0; i < j->experts && at < end; i++) {
        if (!expert_product(j, i, &g))
            continue;
        struct gemm_tasks t = gemm_f32_tasks(g.kernel, g.m, g.n, g.k);
        int64_t count = (int64_t)(t.m_count * t.n_count);
        for (int64_t n = begin > at ? begin - at : 0; n < count && at + n < end; n++)
            gemm_f32_run(&g, &t, (size_t)n / t.n_count, (size_t)n % t.n_count,
                         call_member_scratch(j->call, member));
        at += count;
    }
    return 0;
}

static int run_layer(struct job *j, int layer, struct err *e)
{
    const struct tensor *bias = bias_of(j->call, layer);
    int r = 0;
    j->layer = layer;
    if (bias && bias->dtype != DTYPE_F32)
        elems_to_f32(bias->dtype, bias->data, 0, tensor_count(bias), j->base + j->biases[layer]);
    if (!j->layers[layer].data) {
        bool narrow = call_in(j->call, weight_in[layer])->dtype != DTYPE_F32;
        j->layers[layer].data = j->base + j->packs[layer];
        /* There is room for one expert's widened weights: one after another then. */
        if (narrow)
            pack_tasks(j, 0, j->experts, 0, e);
        else
            r = call_tasks(j->call, j->experts, pack_tasks, j, e);
    }
    int64_t tasks = count_tasks(j);
    return r || tasks == 0 ? r : call_tasks(j->call, tasks, product_tasks, j, e);
}

/* SwiGLU of gate and linear part, `step` apart in their rows. */
static void swiglu(const struct moe_attrs *a, const float *gate, const float *linear, size_t step,
                   float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float g = gate[(size_t)i * step], l = linear[(size_t)i * step];
        g = g > a->limit ? a->limit : g;
        l = l > a->limit ? a->limit : l < -a->limit ? -a->limit : l;
        out[i] = g / (1 + expf(-a->alpha * g)) * (l + a->beta);
    }
}

static int act_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    static const enum unary_op ops[ACTS] = {UNARY_RELU, UNARY_GELU_TANH, UNARY_SILU};
    const struct job *j = arg;
    bool third = call_in(j->call, IN_FC3) != NULL;
    int64_t last = end * ROW_TASK < j->pairs ? end * ROW_TASK : j->pairs, n = j->inter;
    for (int64_t i = begin * ROW_TASK; i < last; i++) {
        const float *in = j->base + j->first + i * j->wide, *more = j->base + j->third + i * n;
        float *out = j->base + j->middle + i * n;
        if (j->act == ACT_SWIGLU) {
            bool mixed = j->a->swiglu_fusion == 1;
            swiglu(j->a, in, third ? more : in + (mixed ? 1 : n), mixed ? 2 : 1, out, n);
            continue;
        }
        if (j->act == ACT_IDENTITY)
            memcpy(out, in, (size_t)n * sizeof *out);
        else
            unary_f32_pick(ops[j->act])(in, out, (size_t)n, NULL);
        for (int64_t k = 0; third && k < n; k++)
            out[k] *= more[k];
    }
    return 0;
}

static int combine_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    struct tensor *y = call_out(j->call, 0);
    const int32_t *row = (const int32_t *)(j->base + j->pair_row);
    int64_t last = end * ROW_TASK < j->tokens ? end * ROW_TASK : j->tokens;
    float sum[CHUNK_ELEMS];
    for (int64_t t = begin * ROW_TASK; t < last; t++)
        for (int64_t c = 0, n; c < j->hidden; c += n) {
            n = j->hidden - c < CHUNK_ELEMS ? j->hidden - c : CHUNK_ELEMS;
            memset(sum, 0, sizeof sum);
            for (int64_t i = t * j->a->k; i < (t + 1) * j->a->k; i++) {
                const float *from = j->base + j->last + row[i] * j->hidden + c;
                float weight = j->base[j->weights + (size_t)i];
                for (int64_t k = 0; k < n; k++)
                    sum[k] += weight * from[k];
            }
            elems_from_f32(y->dtype, y->data, t * j->hidden + c, n, sum);
        }
    return 0;
}

static int moe_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job j;
    if (tensor_count(call_out(c, 0)) == 0)
        return 0;
    job_init(&j, c);
    j.call = c;
    j.base = c->scratch;
    if (j.a->k < 1 || j.a->k > j.experts || j.pairs > INT32_MAX)
        return err_set(e, ERR_INPUT, "%lld of %lld experts for %lld tokens", (long long)j.a->k,
                       (long long)j.experts, (long long)j.tokens);
    int r = read_act(j.a, &j.act, e);
    int64_t pair_tasks = (j.pairs + ROW_TASK - 1) / ROW_TASK;
    r = r ? r : route(&j, e);
    r = r ? r : call_tasks(c, pair_tasks, gather_tasks, &j, e);
    r = r ? r : run_layer(&j, 0, e);
    if (r == 0 && call_in(c, IN_FC3))
        r = run_layer(&j, 2, e);
    r = r ? r : call_tasks(c, pair_tasks, act_tasks, &j, e);
    r = r ? r : run_layer(&j, 1, e);
    return r ? r : call_tasks(c, (j.tokens + ROW_TASK - 1) / ROW_TASK, combine_tasks, &j, e);
}

static const struct attr moe_attr_rows[] = {
    {"k", ATTR_INT, offsetof(struct moe_attrs, k), .i = 1},
    {"normalize_routing_weights", ATTR_INT, offsetof(struct moe_attrs, normalize_routing_weights)},
    {"use_sparse_mixer", ATTR_INT, offsetof(struct moe_attrs, use_sparse_mixer)},
    {"activation_type", ATTR_STRING, offsetof(struct moe_attrs, activation_type), .s = "relu"},
    {"activation_alpha", ATTR_FLOAT, offsetof(struct moe_attrs, alpha), .f = 1},
    {"activation_beta", ATTR_FLOAT, offsetof(struct moe_attrs, beta)},
    {"swiglu_fusion", ATTR_INT, offsetof(struct moe_attrs, swiglu_fusion)},
    {"swiglu_limit", ATTR_FLOAT, offsetof(struct moe_attrs, limit), .f = INFINITY},
    {NULL},
};

const struct op op_ms_moe = {
    .domain = "com.microsoft", .name = "MoE", .since = 1,
    .in_min = 3, .in_max = 8, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = moe_attr_rows, .attrs_size = sizeof(struct moe_attrs),
    .infer = moe_infer, .prepare = moe_prepare, .scratch = moe_scratch, .run = moe_run,
    .kernels = "gemm unary",
};
