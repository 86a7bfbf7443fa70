/* SPDX-License-Identifier: Apache-2.0 */
/* GreedySearch and Sampling: a row for each prompt. The first takes the best token; the second
 * draws one of the smallest set of best tokens whose probabilities reach top_p. A row that has met
 * the end goes on with padding.
 *
 * Row r draws from a generator of its own, seeded by (seed, r), once a step: it gets the same
 * tokens whatever rows stand behind it, and row 0 the same as alone. */
#include <math.h>
#include <string.h>

#include "kernels/softmax.h"
#include "ops/contrib/generation.h"
#include "ops/random.h"

enum { IN_IDS, IN_MAX, IN_MIN, IN_REPETITION, IN_VOCAB_MASK, IN_PREFIX_MASK, IN_ATTENTION_MASK,
       IN_PRESENCE_MASK, IN_SEED, INPUTS };
enum { OUT_SEQUENCES, OUT_FILTERED, OUTPUTS };

#define COMMON_INPUTS                                                                              \
    .max_length = IN_MAX, .min_length = IN_MIN, .beams = -1, .returned = -1, .length_penalty = -1, \
    .repetition = IN_REPETITION, .vocab_mask = IN_VOCAB_MASK, .prefix_mask = IN_PREFIX_MASK,       \
    .attention_mask = IN_ATTENTION_MASK, .first_tokens = -1, .processor = -1, .temperature = -1

static const struct gen_inputs greedy_inputs = {COMMON_INPUTS, .presence_mask = -1, .seed = -1};
static const struct gen_inputs sampling_inputs = {COMMON_INPUTS, .presence_mask = IN_PRESENCE_MASK,
                                                  .seed = IN_SEED};

static const struct attr greedy_attrs[] = {GEN_ATTRS(GEN_GPT), {0}};
static const struct attr sampling_attrs[] = {
    GEN_ATTRS(GEN_GPT),
    GEN_ATTR("custom", ATTR_INT, custom, .i = 0),
    GEN_ATTR("min_tokens_to_keep", ATTR_INT, min_tokens_to_keep, .i = 0),
    GEN_ATTR("temperature", ATTR_FLOAT, temperature, .f = 1),
    GEN_ATTR("top_p", ATTR_FLOAT, top_p, .f = 0),
    GEN_ATTR("filter_value", ATTR_FLOAT, filter_value, .f = -1e20f),
    GEN_ATTR("presence_penalty", ATTR_FLOAT, presence_penalty, .f = 0),
    {0},
};

/* ---- inference ------------------------------------------------------------------------------- */

static int infer(struct infer *c, const struct gen_inputs *inputs, struct err *e)
{
    const struct attrs_generation *at = c->attrs;
    int rc = gen_infer(c, inputs, e);
    if (rc < 0)
        return rc;
    int64_t batch = gen_batch(c);
    rc = infer_set(c, OUT_SEQUENCES, DTYPE_I32, 2, (const int64_t[]){batch, gen_number(c, IN_MAX)},
                   e);
    if (rc == 0)
        rc = infer_set(
            c, OUT_FILTERED, DTYPE_F32, 2,
            (const int64_t[]){batch, at->vocab_size > 0 ? at->vocab_size : infer_fresh(c)}, e);
    c->late = true;
    return rc;
}

static int greedy_infer(struct infer *c, struct err *e)
{
    return infer(c, &greedy_inputs, e);
}

static int sampling_infer(struct infer *c, struct err *e)
{
    return infer(c, &sampling_inputs, e);
}

static int sampling_fix(struct node *n, struct err *e)
{
    const struct attrs_generation *at = n->attrs;
    if (!(at->temperature > 0) || !(at->top_p >= 0) || at->min_tokens_to_keep < 0 ||
        isnan(at->filter_value))
        return err_set(
            e, ERR_MODEL,
            "temperature %g, top_p %g, min_tokens_to_keep %lld or filter_value %g is out of range",
            (double)at->temperature, (double)at->top_p, (long long)at->min_tokens_to_keep,
            (double)at->filter_value);
    return gen_fix(n, e);
}

/* ---- choosing a token ------------------------------------------------------------------------ */

struct greedy {
    struct gen g;
    bool draw;
    uint64_t seed;
    uint8_t *done;  /* [rows] */
    int32_t *order; /* [rows][vocab] */
    float *sorted;  /* [rows][vocab] */
};

static int64_t best_of(const float *s, int64_t n)
{
    int64_t best = 0;
    for (int64_t k = 1; k < n; k++)
        if (s[k] > s[best] || (isnan(s[best]) && !isnan(s[k])))
            best = k;
    return best;
}

/* a goes before b: a higher score, then a lower number; a NaN last. */
static bool before(const float *s, int32_t a, int32_t b)
{
    float x = isnan(s[a]) ? -INFINITY : s[a], y = isnan(s[b]) ? -INFINITY : s[b];
    return x > y || (x == y && a < b);
}

static void sift(const float *s, int32_t *v, int64_t root, int64_t n)
{
    for (int64_t k; (k = 2 * root + 1) < n; root = k) {
        k += k + 1 < n && before(s, v[k], v[k + 1]);
        if (!before(s, v[root], v[k]))
            return;
        int32_t t = v[root];
        v[root] = v[k];
        v[k] = t;
    }
}

/* Tokens by falling score. */
static void sort(const float *s, int32_t *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = (int32_t)i;
    for (int64_t i = n / 2; i-- > 0;)
        sift(s, v, i, n);
    for (int64_t i = n - 1; i > 0; i--) {
        int32_t t = v[0];
        v[0] = v[i];
        v[i] = t;
        sift(s, v, 0, i);
    }
}

/* What is outside the set gets filter_value. The plain way sums probabilities from the least one
 * up, and always keeps min_tokens_to_keep and the best; the custom way sums from the best down. */
static void filter(const struct greedy *x, float *s, const int32_t *order, float *p)
{
    const struct attrs_generation *at = x->g.at;
    int64_t n = x->g.vocab, keep = at->min_tokens_to_keep > 1 ? at->min_tokens_to_keep : 1;
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        p[i] = s[order[i]];
    softmax_f32_pick()->rows(p, p, 1, (size_t)n, false);
    if (at->custom) {
        for (int64_t i = 0; i + 1 < n; i++) {
            sum += p[i];
            if (sum > at->top_p)
                s[order[i + 1]] = at->filter_value;
        }
        return;
    }
    for (int64_t i = n - 1; i >= keep; i--) {
        sum += p[i];
        if (!(sum <= 1 - at->top_p))
            break;
        s[order[i]] = at->filter_value;
    }
}

static int64_t draw(const struct greedy *x, const float *s, int64_t r)
{
    const struct gen *g = &x->g;
    double top = s[best_of(s, g->vocab)], sum = 0, at;
    for (int64_t k = 0; k < g->vocab; k++)
        sum += isnan(s[k]) ? 0 : exp((double)s[k] - top);
    if (!(sum > 0) || isinf(sum))
        return best_of(s, g->vocab);
    at = random_uniform(random_bits(x->seed, (uint64_t)r), (uint64_t)(g->length - g->prompt)) * sum;
    int64_t last = 0;
    for (int64_t k = 0; k < g->vocab; k++) {
        double w = isnan(s[k]) ? 0 : exp((double)s[k] - top);
        if (w > 0)
            last = k;
        if (w > at)
            return k;
        at -= w;
    }
    return last;
}

static int choose_rows(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct greedy *x = arg;
    struct gen *g = &x->g;
    for (int64_t r = begin; r < end; r++) {
        float *s = g->scores + r * g->vocab;
        int64_t token;
        if (x->draw) {
            sort(s, x->order + r * g->vocab, g->vocab);
            filter(x, s, x->order + r * g->vocab, x->sorted + r * g->vocab);
            token = draw(x, s, r);
        } else {
            token = best_of(s, g->vocab);
        }
        x->done[r] |= token == g->at->eos;
        g->tokens[r] = (int32_t)(x->done[r] ? g->at->pad : token);
        g->origins[r] = (int32_t)r;
    }
    return 0;
}

/* ---- the search ------------------------------------------------------------------------------ */

static int choose(struct greedy *x, struct err *e)
{
    struct gen *g = &x->g;
    size_t count = (size_t)g->rows * (size_t)g->vocab;
    if (x->draw && !x->order) {
        x->order = gen_alloc(g, count, sizeof *x->order, e);
        x->sorted = x->order ? gen_alloc(g, count, sizeof *x->sorted, e) : NULL;
        if (!x->sorted)
            return e ? e->code : ERR_MEMORY;
    }
    return call_tasks(g->call, g->rows, choose_rows, x, e);
}

static bool all_done(const struct greedy *x)
{
    for (int64_t r = 0; r < x->g.rows; r++)
        if (!x->done[r])
            return false;
    return true;
}

static int search(struct greedy *x, struct err *e)
{
    struct gen *g = &x->g;
    int rc = g->rows ? gen_first(g, e) : 0;
    while (rc == 0 && g->rows) {
        rc = gen_score(g, e);
        if (rc == 0)
            rc = choose(x, e);
        if (rc < 0)
            break;
        gen_append(g);
        if (g->length == g->max_length || all_done(x))
            break;
        rc = gen_next(g, e);
    }
    return rc;
}

static int give(struct greedy *x, struct err *e)
{
    const struct gen *g = &x->g;
    struct call *c = g->call;
    int64_t vocab = g->scores ? g->vocab : g->at->vocab_size > 0 ? g->at->vocab_size : 0;
    int rc =
        call_output(c, OUT_SEQUENCES, DTYPE_I32, 2, (const int64_t[]){g->batch, g->max_length}, e);
    if (rc == 0)
        rc = call_output(c, OUT_FILTERED, DTYPE_F32, 2, (const int64_t[]){g->batch, vocab}, e);
    if (rc < 0)
        return rc;
    struct tensor *y = call_out(c, OUT_SEQUENCES), *filtered = call_out(c, OUT_FILTERED);
    for (int64_t i = 0; y && i < g->rows * g->max_length; i++)
        ((int32_t *)y->data)[i] =
            i % g->max_length < g->length ? g->sequences[i] : (int32_t)g->at->pad;
    if (filtered && g->scores)
        memcpy(filtered->data, g->scores, tensor_bytes(filtered));
    return 0;
}

static int run(struct call *c, const struct gen_inputs *inputs, bool draws, struct err *e)
{
    const struct attrs_generation *at = c->attrs;
    struct greedy x = {.draw = draws};
    int64_t seed = 0;
    int rc = gen_init(&x.g, c, inputs, e);
    if (rc == 0)
        rc = gen_int(&x.g, inputs->seed, 0, &seed, e);
    if (rc == 0 && !(x.done = gen_alloc(&x.g, (size_t)x.g.rows, 1, e)))
        rc = e ? e->code : ERR_MEMORY;
    x.seed = (uint64_t)seed;
    if (draws)
        x.g.temperature = at->temperature;
    if (rc == 0)
        rc = search(&x, e);
    if (rc == 0)
        rc = give(&x, e);
    gen_clear(&x.g);
    return rc;
}

static int greedy_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run(c, &greedy_inputs, false, e);
}

static int sampling_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return run(c, &sampling_inputs, true, e);
}

const struct op op_ms_greedysearch = {
    .domain = "com.microsoft",
    .name = "GreedySearch",
    .since = 1,
    .in_min = 2,
    .in_max = IN_PRESENCE_MASK,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_DYNAMIC | OP_LEADER | OP_HOST,
    .kernels = "softmax",
    .attrs = greedy_attrs,
    .attrs_size = sizeof(struct attrs_generation),
    .fix = gen_fix,
    .infer = greedy_infer,
    .run = greedy_run,
};

const struct op op_ms_sampling = {
    .domain = "com.microsoft",
    .name = "Sampling",
    .since = 1,
    .in_min = 2,
    .in_max = INPUTS,
    .out_min = 1,
    .out_max = OUTPUTS,
    .flags = OP_DYNAMIC | OP_LEADER | OP_HOST,
    .kernels = "softmax",
    .attrs = sampling_attrs,
    .attrs_size = sizeof(struct attrs_generation),
    .fix = sampling_fix,
    .infer = sampling_infer,
    .run = sampling_run,
};
