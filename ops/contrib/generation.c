/* SPDX-License-Identifier: Apache-2.0 */
/* Generating tokens: the state of a search, its inputs and its calls of subgraphs. */
#include "ops/contrib/generation.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/softmax.h"

enum { GEN_BEAMS_MAX = 128 };

static const struct gen_model *model_of(const struct attrs_generation *at)
{
    return at->model_type == GEN_GPT ? &gen_gpt : &gen_t5;
}

/* ---- inference ------------------------------------------------------------------------------- */

int gen_past_form(struct gen_form *f, const struct graph_value *v, int rank, int heads, int size,
                  struct err *e)
{
    const struct type *t = &v->fact.type;
    if (t->kind != TYPE_TENSOR || t->rank != rank || !sym_is_number(t->dims[heads]) ||
        !sym_is_number(t->dims[size]) || t->dims[heads] < 1 || t->dims[size] < 1)
        return err_set(
            e, ERR_MODEL,
            "the file must say %d dims of the decoder's '%.80s', dims %d and %d as numbers", rank,
            value_name(v), heads, size);
    f->past_dtype = t->dtype;
    f->heads = t->dims[heads];
    f->head_size = t->dims[size];
    return 0;
}

int gen_carried(const struct fact *past, const struct fact *present, int i, struct err *e)
{
    const struct type *a = &past->type, *b = &present->type;
    if (a->kind != TYPE_TENSOR || b->kind != TYPE_TENSOR || a->dtype != b->dtype ||
        (a->rank >= 0 && b->rank >= 0 && a->rank != b->rank))
        return err_set(e, ERR_MODEL, "present %d of the decoder is not of its past's type", i);
    return 0;
}

int gen_fix(struct node *n, struct err *e)
{
    const struct attrs_generation *at = n->attrs;
    if (at->model_type < GEN_GPT || at->model_type > GEN_WHISPER)
        return err_set(e, ERR_MODEL, "model_type is %lld, expected 0, 1 or 2",
                       (long long)at->model_type);
    if (at->eos > INT32_MAX || at->eos < INT32_MIN || at->pad > INT32_MAX || at->pad < INT32_MIN ||
        at->start > INT32_MAX || at->vocab_size > INT32_MAX)
        return err_set(e, ERR_MODEL, "a token's number does not fit 32 bits");
    if (at->ngram < 0)
        return err_set(e, ERR_MODEL, "no_repeat_ngram_size is %lld", (long long)at->ngram);
    return model_of(at)->fix(n, e);
}

int64_t gen_batch(struct infer *c)
{
    return infer_rank(c, 0) > 0 && !sym_is_unknown(infer_dim(c, 0, 0)) ? infer_dim(c, 0, 0)
                                                                       : infer_fresh(c);
}

int64_t gen_number(struct infer *c, int i)
{
    int64_t n;
    const int64_t *v = i >= 0 && infer_has(c, i) ? infer_numbers(c, i, &n) : NULL;
    return v && n == 1 ? v[0] : infer_fresh(c);
}

static int check_types(struct infer *c, const struct gen_inputs *in, struct err *e)
{
    const struct attrs_generation *at = c->attrs;
    const int ints[] = {in->max_length,     in->min_length,   in->beams,
                        in->returned,       in->vocab_mask,   in->prefix_mask,
                        in->attention_mask, in->first_tokens, in->processor,
                        in->presence_mask,  in->seed};
    const int floats[] = {in->length_penalty, in->repetition, in->temperature};
    int rank = at->model_type == GEN_WHISPER ? 3 : 2;
    int rc = infer_dtypes(c, 0, at->model_type == GEN_WHISPER ? DT(F32) | DT(F16) : DT(I32), e);
    for (size_t i = 0; i < sizeof ints / sizeof *ints && rc == 0; i++)
        if (ints[i] >= 0 && infer_has(c, ints[i]))
            rc = infer_dtypes(c, ints[i], DT(I32), e);
    for (size_t i = 0; i < sizeof floats / sizeof *floats && rc == 0; i++)
        if (floats[i] >= 0 && infer_has(c, floats[i]))
            rc = infer_dtypes(c, floats[i], DT(F32) | DT(F16), e);
    if (rc == 0 && infer_rank(c, 0) >= 0 && infer_rank(c, 0) != rank)
        rc = err_set(e, ERR_MODEL, "input 0 has rank %d, expected %d", infer_rank(c, 0), rank);
    return rc;
}

int gen_infer(struct infer *c, const struct gen_inputs *inputs, struct err *e)
{
    int rc = check_types(c, inputs, e);
    return rc ? rc : model_of(c->attrs)->infer(c, inputs, e);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static const struct tensor *input(const struct gen *g, int i)
{
    return i >= 0 ? call_in(g->call, i) : NULL;
}

int gen_int(const struct gen *g, int i, int64_t otherwise, int64_t *out, struct err *e)
{
    const struct tensor *t = input(g, i);
    if (t && tensor_count(t) != 1)
        return err_set(e, ERR_INPUT, "input %d has %lld elements, expected 1", i,
                       (long long)tensor_count(t));
    *out = t ? tensor_int(t, 0) : otherwise;
    return 0;
}

int gen_float(const struct gen *g, int i, float otherwise, float *out, struct err *e)
{
    const struct tensor *t = input(g, i);
    if (t && tensor_count(t) != 1)
        return err_set(e, ERR_INPUT, "input %d has %lld elements, expected 1", i,
                       (long long)tensor_count(t));
    *out = t ? (float)tensor_float(t, 0) : otherwise;
    return 0;
}

void *gen_alloc(struct gen *g, size_t n, size_t size, struct err *e)
{
    assert(g->n_blocks < GEN_BLOCKS);
    void *p = mem_calloc(g->call->budget, n ? n : 1, size, e);
    if (p)
        g->blocks[g->n_blocks++] = p;
    return p;
}

static int failed(const struct err *e)
{
    return e ? e->code : ERR_MEMORY;
}

/* A mask's dims; known after the first logits for those of the vocabulary. */
static int read_mask(const struct gen *g, int i, int64_t rows, int64_t columns, const int32_t **out,
                     struct err *e)
{
    const struct tensor *t = input(g, i);
    bool flat = rows < 0;
    *out = t ? t->data : NULL;
    if (t && (t->rank != (flat ? 1 : 2) || t->dims[t->rank - 1] != columns ||
              (!flat && t->dims[0] != rows)))
        return err_set(e, ERR_INPUT, "input %d does not fit a batch of %lld and %lld columns", i,
                       (long long)g->batch, (long long)columns);
    return 0;
}

static int read_limits(struct gen *g, struct err *e)
{
    const struct gen_inputs *in = g->inputs;
    int rc = gen_int(g, in->max_length, 0, &g->max_length, e);
    if (rc == 0)
        rc = gen_int(g, in->min_length, 0, &g->min_length, e);
    if (rc == 0)
        rc = gen_int(g, in->beams, 1, &g->beams, e);
    if (rc == 0)
        rc = gen_float(g, in->repetition, 1, &g->repetition, e);
    if (rc == 0)
        rc = gen_float(g, in->temperature, 1, &g->temperature, e);
    if (rc < 0)
        return rc;
    if (g->beams < 1 || g->beams > GEN_BEAMS_MAX)
        return err_set(e, g->beams < 1 ? ERR_INPUT : ERR_LIMIT, "%lld beams, expected 1 to %d",
                       (long long)g->beams, GEN_BEAMS_MAX);
    if (!(g->repetition > 0))
        return err_set(e, ERR_INPUT, "the repetition penalty is %g, expected more than 0",
                       (double)g->repetition);
    if (g->max_length <= g->prompt)
        return err_set(e, ERR_INPUT, "max_length is %lld, expected more than the %lld tokens given",
                       (long long)g->max_length, (long long)g->prompt);
    return 0;
}

/* Sequences as given: the prompts, the forced tokens, or the start token. */
static int begin_sequences(struct gen *g, struct err *e)
{
    size_t rows, count;
    const struct tensor *t =
        g->at->model_type == GEN_GPT ? input(g, 0) : input(g, g->inputs->first_tokens);
    if (__builtin_mul_overflow(g->batch, g->beams, &g->rows) || g->rows > INT32_MAX)
        return err_set(e, ERR_LIMIT, "%lld prompts of %lld beams are too many", (long long)g->batch,
                       (long long)g->beams);
    rows = (size_t)g->rows;
    if (!size_mul(rows, (size_t)g->max_length, &count))
        return err_set(e, ERR_LIMIT, "max_length is %lld", (long long)g->max_length);
    g->sequences = gen_alloc(g, count, sizeof(int32_t), e);
    g->spare = g->sequences ? gen_alloc(g, count, sizeof(int32_t), e) : NULL;
    g->tokens = g->spare ? gen_alloc(g, rows, sizeof(int32_t), e) : NULL;
    g->origins = g->tokens ? gen_alloc(g, rows, sizeof(int32_t), e) : NULL;
    g->row_score = g->origins ? gen_alloc(g, rows, sizeof(float), e) : NULL;
    if (!g->row_score)
        return failed(e);
    for (int64_t r = 0; r < g->rows; r++)
        for (int64_t k = 0; k < g->prompt; k++)
            g->sequences[r * g->max_length + k] =
                t ? ((const int32_t *)t->data)[r / g->beams * g->prompt + k]
                  : (int32_t)g->at->start;
    g->length = g->prompt;
    return 0;
}

int gen_init(struct gen *g, struct call *c, const struct gen_inputs *inputs, struct err *e)
{
    const struct attrs_generation *at = c->attrs;
    const struct tensor *ids = call_in(c, 0);
    int64_t processor = 0;
    *g = (struct gen){.call = c, .at = at, .inputs = inputs, .model = model_of(at)};
    int rank = at->model_type == GEN_WHISPER ? 3 : 2;
    if (ids->rank != rank)
        return err_set(e, ERR_INPUT, "input 0 has rank %d, expected %d", ids->rank, rank);
    g->batch = ids->dims[0];
    g->prompt = at->model_type == GEN_GPT ? ids->dims[1] : 1;
    const struct tensor *first = at->model_type == GEN_GPT ? NULL : input(g, inputs->first_tokens);
    if (first && (first->rank != 2 || first->dims[0] != g->batch || first->dims[1] < 1))
        return err_set(e, ERR_INPUT, "input %d does not fit a batch of %lld", inputs->first_tokens,
                       (long long)g->batch);
    if (first)
        g->prompt = first->dims[1];
    else if (at->model_type != GEN_GPT && at->start < 0)
        return err_set(e, ERR_MODEL,
                       "neither decoder_start_token_id nor decoder_input_ids are given");
    if (g->prompt < 1)
        return err_set(e, ERR_INPUT, "the prompts have no tokens");
    const struct tensor *mask = input(g, inputs->attention_mask);
    if (mask && (mask->rank != 2 || mask->dims[0] != g->batch || mask->dims[1] != ids->dims[1]) &&
        at->model_type != GEN_WHISPER)
        return err_set(e, ERR_INPUT, "the attention mask does not fit input 0");
    int rc = read_limits(g, e);
    if (rc == 0)
        rc = gen_int(g, inputs->processor, 0, &processor, e);
    g->stamps = processor == 1 && at->model_type == GEN_WHISPER;
    return rc ? rc : begin_sequences(g, e);
}

void gen_clear(struct gen *g)
{
    const struct graph *d = g->at->decoder;
    for (int i = 0; g->kept && i < d->n_inputs; i++) {
        value_clear(&g->in[i]);
        value_clear(&g->kept[i]);
    }
    for (int i = 0; g->kept && i < d->n_outputs; i++)
        value_clear(&g->out[i]);
    while (g->n_blocks)
        mem_free(g->blocks[--g->n_blocks]);
}

/* ---- subgraphs ------------------------------------------------------------------------------- */

int gen_ends(struct gen *g, struct err *e)
{
    const struct graph *d = g->at->decoder;
    g->in = gen_alloc(g, (size_t)d->n_inputs, sizeof(struct value), e);
    g->out = g->in ? gen_alloc(g, (size_t)d->n_outputs, sizeof(struct value), e) : NULL;
    g->kept = g->out ? gen_alloc(g, (size_t)d->n_inputs, sizeof(struct value), e) : NULL;
    return g->kept ? 0 : failed(e);
}

int gen_tensor(struct gen *g, struct value *v, enum dtype t, int rank, const int64_t *dims,
               struct err *e)
{
    value_clear(v);
    int rc = tensor_new(&v->tensor, g->call->budget, t, rank, dims, e);
    if (rc < 0)
        return rc;
    v->kind = VALUE_TENSOR;
    if (tensor_bytes(&v->tensor))
        memset(v->tensor.data, 0, tensor_bytes(&v->tensor));
    return 0;
}

int gen_ints(struct gen *g, struct value *v, const int32_t *from, int64_t rows, int64_t stride,
             int64_t n, struct err *e)
{
    int rc = gen_tensor(g, v, DTYPE_I32, 2, (const int64_t[]){rows, n}, e);
    for (int64_t r = 0; r < rows && n && rc == 0; r++)
        memcpy((int32_t *)v->tensor.data + r * n, from + r * stride, (size_t)n * sizeof *from);
    return rc;
}

int gen_run(struct gen *g, const struct graph *graph, struct value *in, struct value *out,
            struct err *e)
{
    const struct node *n = g->call->node;
    int index = 0;
    while (index < n->n_graphs && n->graphs[index] != graph)
        index++;
    assert(index < n->n_graphs);
    for (int o = 0; o < graph->n_outputs; o++)
        value_clear(&out[o]);
    int rc = call_poll(g->call, e);
    return rc ? rc : call_graph(g->call, index, in, graph->n_inputs, out, graph->n_outputs, e);
}

struct pick {
    const struct gen *g;
    const struct tensor *from;
    struct tensor *to;
    size_t bytes; /* of a row */
    bool spread;
};

static int pick_rows(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct pick *p = arg;
    int64_t rows = p->g->rows, given = p->spread ? p->g->batch : rows;
    for (int64_t i = begin; i < end; i++) {
        int64_t r = i % rows, s = p->spread ? r / p->g->beams : p->g->origins[r];
        memcpy((char *)p->to->data + (size_t)i * p->bytes,
               (const char *)p->from->data + (size_t)(i / rows * given + s) * p->bytes, p->bytes);
    }
    return 0;
}

int gen_pick(struct gen *g, struct value *from, struct value *to, int axis, bool spread,
             struct err *e)
{
    const struct tensor *x = &from->tensor;
    bool same = true;
    if (from->kind != VALUE_TENSOR || x->rank <= axis ||
        x->dims[axis] != (spread ? g->batch : g->rows))
        return err_set(e, ERR_MODEL, "a past of a subgraph does not have %lld rows on axis %d",
                       (long long)(spread ? g->batch : g->rows), axis);
    for (int64_t r = 0; r < g->rows && same; r++)
        same = spread ? g->beams == 1 : g->origins[r] == r;
    if (same) {
        value_clear(to);
        *to = *from;
        *from = (struct value){0};
        return 0;
    }
    int64_t dims[TENSOR_RANK_MAX];
    memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
    dims[axis] = g->rows;
    value_clear(to);
    int rc = tensor_new(&to->tensor, g->call->budget, x->dtype, x->rank, dims, e);
    if (rc < 0)
        return rc;
    to->kind = VALUE_TENSOR;
    struct pick p = {g, x, &to->tensor,
                     (size_t)dims_product(dims, axis + 1, x->rank) * dtype_size(x->dtype), spread};
    int64_t n = dims_product(dims, 0, axis + 1);
    return n && p.bytes ? call_tasks(g->call, n, pick_rows, &p, e) : 0;
}

int gen_first(struct gen *g, struct err *e)
{
    return g->model->first(g, e);
}

int gen_next(struct gen *g, struct err *e)
{
    return g->model->next(g, e);
}

/* ---- scores ---------------------------------------------------------------------------------- */

/* The last logits of row r. */
static void read_logits(const struct gen *g, int64_t r, int64_t first, int64_t n, float *out)
{
    const struct tensor *x = &g->out[0].tensor;
    int64_t row = x->dims[0] == g->rows ? r : r / g->beams;
    elems_to_f32(x->dtype, x->data, (row * x->dims[1] + x->dims[1] - 1) * x->dims[2] + first, n,
                 out);
}

float gen_probability(const struct gen *g, int64_t r, int64_t token)
{
    float x[CHUNK_ELEMS], own, top = -INFINITY;
    double sum = 0;
    read_logits(g, r, token, 1, &own);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = 0; k < g->vocab; k += CHUNK_ELEMS) {
            int64_t n = g->vocab - k < CHUNK_ELEMS ? g->vocab - k : CHUNK_ELEMS;
            read_logits(g, r, k, n, x);
            for (int64_t i = 0; i < n; i++) {
                top = pass == 0 && x[i] > top ? x[i] : top;
                sum += pass == 1 ? exp((double)x[i] - (double)top) : 0;
            }
        }
    return (float)(exp((double)own - (double)top) / sum);
}

static int score_rows(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct gen *g = arg;
    for (int64_t r = begin; r < end; r++) {
        float *s = g->scores + r * g->vocab;
        read_logits(g, r, 0, g->vocab, s);
        if (g->log)
            softmax_f32_pick()->rows(s, s, 1, (size_t)g->vocab, true);
        gen_process(g, r);
        for (int64_t k = 0; g->log && k < g->vocab; k++)
            s[k] += g->row_score[r];
    }
    return 0;
}

/* With the first logits the vocabulary is known, and what has its size can be checked and made. */
static int learn_vocab(struct gen *g, struct err *e)
{
    const struct gen_inputs *in = g->inputs;
    int64_t n = g->out[0].tensor.dims[2];
    size_t count;
    g->vocab = g->at->vocab_size > 0 ? g->at->vocab_size : n;
    if (g->vocab > n || g->vocab < 2 || g->vocab > INT32_MAX)
        return err_set(e, ERR_MODEL, "a vocabulary of %lld in %lld logits", (long long)g->vocab,
                       (long long)n);
    int rc = read_mask(g, in->vocab_mask, -1, g->vocab, &g->vocab_mask, e);
    if (rc == 0)
        rc = read_mask(g, in->prefix_mask, g->batch, g->vocab, &g->prefix_mask, e);
    if (rc == 0)
        rc = read_mask(g, in->presence_mask, g->batch, g->vocab, &g->presence_mask, e);
    if (rc < 0)
        return rc;
    if (!size_mul((size_t)g->rows, (size_t)g->vocab, &count))
        return err_set(e, ERR_LIMIT, "%lld rows of %lld scores", (long long)g->rows,
                       (long long)g->vocab);
    g->scores = gen_alloc(g, count, sizeof(float), e);
    if (g->scores && g->repetition != 1 && !(g->seen = gen_alloc(g, count, 1, e)))
        return failed(e);
    return g->scores ? 0 : failed(e);
}

int gen_score(struct gen *g, struct err *e)
{
    const struct value *v = &g->out[0];
    const struct tensor *x = &v->tensor;
    if (v->kind != VALUE_TENSOR || x->rank != 3 || x->dims[1] < 1 ||
        (x->dims[0] != g->rows && x->dims[0] != g->batch) || !(DT_FLOATS & DTYPE_BIT(x->dtype)))
        return err_set(e, ERR_MODEL, "a subgraph's first output are not logits of %lld rows",
                       (long long)g->rows);
    int rc = g->scores ? 0 : learn_vocab(g, e);
    if (rc == 0 && x->dims[2] < g->vocab)
        rc = err_set(e, ERR_MODEL, "%lld logits, %lld before", (long long)x->dims[2],
                     (long long)g->vocab);
    return rc ? rc : call_tasks(g->call, g->rows, score_rows, g, e);
}

void gen_append(struct gen *g)
{
    int32_t *from = g->sequences, *to = g->spare;
    for (int64_t r = 0; r < g->rows; r++) {
        memcpy(to + r * g->max_length, from + g->origins[r] * g->max_length,
               (size_t)g->length * sizeof *to);
        to[r * g->max_length + g->length] = g->tokens[r];
    }
    g->sequences = to;
    g->spare = from;
    g->length++;
}
