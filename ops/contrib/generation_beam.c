/* SPDX-License-Identifier: Apache-2.0 */
/* BeamSearch and WhisperBeamSearch: of each prompt the rows with the highest sums of
 * log-probabilities go on, and the best sentences are kept: a row that ends one, and at last the
 * rows as they are. A sentence's score is its sum over a power of its length. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ops/contrib/generation.h"

extern const struct op op_ms_whisperbeamsearch;

enum { IN_IDS, IN_MAX, IN_MIN, IN_BEAMS, IN_RETURNED, IN_LENGTH_PENALTY, IN_REPETITION,
       IN_VOCAB_MASK, IN_PREFIX_MASK, IN_ATTENTION_MASK, IN_FIRST_TOKENS, IN_PROCESSOR, INPUTS,
       IN_CROSS_QK = INPUTS, IN_EXTRA, IN_TEMPERATURE, WHISPER_INPUTS };
enum { OUT_SEQUENCES, OUT_SEQUENCES_SCORES, OUT_SCORES, OUTPUTS, OUT_CROSS_QK = OUTPUTS,
       OUT_NO_SPEECH, WHISPER_OUTPUTS };

#define COMMON_INPUTS                                                                              \
    .max_length = IN_MAX, .min_length = IN_MIN, .beams = IN_BEAMS, .returned = IN_RETURNED,        \
    .length_penalty = IN_LENGTH_PENALTY, .repetition = IN_REPETITION, .vocab_mask = IN_VOCAB_MASK, \
    .prefix_mask = IN_PREFIX_MASK, .attention_mask = IN_ATTENTION_MASK,                            \
    .first_tokens = IN_FIRST_TOKENS, .processor = IN_PROCESSOR, .presence_mask = -1, .seed = -1

static const struct gen_inputs beam_inputs = {COMMON_INPUTS, .temperature = -1};
static const struct gen_inputs whisper_inputs = {COMMON_INPUTS, .temperature = IN_TEMPERATURE};

#define STOPPING_ATTR GEN_ATTR("early_stopping", ATTR_INT, early_stopping, .i = 0)
#define TOKEN_ATTR(text, field) GEN_ATTR(text, ATTR_INT, field, .i = -1)

static const struct attr beam_attrs[] = {GEN_ATTRS(GEN_GPT), STOPPING_ATTR, {0}};
static const struct attr whisper_attrs[] = {
    GEN_ATTRS(GEN_WHISPER),
    STOPPING_ATTR,
    TOKEN_ATTR("translate_token_id", translate),
    TOKEN_ATTR("transcribe_token_id", transcribe),
    TOKEN_ATTR("start_of_lm_token_id", solm),
    TOKEN_ATTR("no_timestamps_token_id", no_stamps),
    TOKEN_ATTR("beginning_timestamp_token_id", first_stamp),
    TOKEN_ATTR("no_speech_token_id", no_speech),
    GEN_ATTR("decoder_output_cross_qk", ATTR_INT, cross_qk, .i = 0),
    {0},
};

static const struct gen_inputs *inputs_of(const struct node *n)
{
    return n->op == &op_ms_whisperbeamsearch ? &whisper_inputs : &beam_inputs;
}

static int beam_fix(struct node *n, struct err *e)
{
    struct attrs_generation *at = n->attrs;
    at->sot = at->solm = at->no_stamps = at->translate = at->transcribe = at->first_stamp =
        at->no_speech = -1;
    return gen_fix(n, e);
}

static int whisper_fix(struct node *n, struct err *e)
{
    struct attrs_generation *at = n->attrs;
    at->sot = at->start;
    if (at->model_type != GEN_WHISPER)
        return err_set(e, ERR_MODEL, "model_type is %lld, expected 2", (long long)at->model_type);
    if (at->cross_qk || (OUT_CROSS_QK < n->n_out && n->out[OUT_CROSS_QK]) ||
        (IN_EXTRA < n->n_in && n->in[IN_EXTRA]))
        return err_set(e, ERR_UNSUPPORTED, "the products of cross attention as an output");
    return gen_fix(n, e);
}

/* ---- inference ------------------------------------------------------------------------------- */

static enum dtype score_dtype(enum dtype length_penalty, enum dtype repetition)
{
    return length_penalty ? length_penalty : repetition ? repetition : DTYPE_F32;
}

static int beam_infer(struct infer *c, struct err *e)
{
    const struct attrs_generation *at = c->attrs;
    enum dtype t = score_dtype(
        infer_has(c, IN_LENGTH_PENALTY) ? infer_dtype(c, IN_LENGTH_PENALTY) : DTYPE_NONE,
        infer_has(c, IN_REPETITION) ? infer_dtype(c, IN_REPETITION) : DTYPE_NONE);
    int rc = gen_infer(c, inputs_of(c->node), e);
    if (rc < 0)
        return rc;
    int64_t batch = gen_batch(c), length = gen_number(c, IN_MAX),
            returned = gen_number(c, IN_RETURNED);
    rc = infer_set(c, OUT_SEQUENCES, DTYPE_I32, 3, (const int64_t[]){batch, returned, length}, e);
    if (rc == 0)
        rc = infer_set(c, OUT_SEQUENCES_SCORES, t, 2, (const int64_t[]){batch, returned}, e);
    if (rc == 0)
        rc = infer_set(c, OUT_SCORES, t, 4,
                       (const int64_t[]){infer_fresh(c), batch, gen_number(c, IN_BEAMS),
                                         at->vocab_size > 0 ? at->vocab_size : infer_fresh(c)},
                       e);
    if (rc == 0)
        rc = infer_set(c, OUT_NO_SPEECH, t, 1, (const int64_t[]){batch}, e);
    c->late = true;
    return rc;
}

/* ---- the search ------------------------------------------------------------------------------ */

struct sentence {
    float score;
    int64_t length;
    int32_t *tokens; /* room for max_length */
};

struct candidate {
    float score;
    int64_t at; /* row of the prompt times vocabulary plus token */
};

struct beam {
    struct gen g;
    int64_t returned;
    float length_penalty;
    struct sentence *best;  /* [batch][beams], falling */
    int64_t *found;         /* [batch] of them */
    uint8_t *done;          /* [batch] */
    struct candidate *next; /* [batch][2 * beams], falling */
    enum dtype dtype;       /* of the scores given */
    struct tensor *scores;  /* or NULL */
};

static int beam_init(struct beam *s, struct err *e)
{
    struct gen *g = &s->g;
    const struct tensor *lp = call_in(g->call, IN_LENGTH_PENALTY),
                        *rp = call_in(g->call, IN_REPETITION);
    int rc = gen_int(g, IN_RETURNED, 1, &s->returned, e);
    if (rc == 0)
        rc = gen_float(g, IN_LENGTH_PENALTY, 1, &s->length_penalty, e);
    if (rc < 0)
        return rc;
    if (s->returned < 1 || s->returned > g->beams)
        return err_set(e, ERR_INPUT, "%lld sequences to return of %lld beams",
                       (long long)s->returned, (long long)g->beams);
    s->dtype = score_dtype(lp ? lp->dtype : DTYPE_NONE, rp ? rp->dtype : DTYPE_NONE);
    g->log = true;
    size_t rows = (size_t)g->rows;
    s->best = gen_alloc(g, rows, sizeof *s->best, e);
    s->found = s->best ? gen_alloc(g, (size_t)g->batch, sizeof *s->found, e) : NULL;
    s->done = s->found ? gen_alloc(g, (size_t)g->batch, 1, e) : NULL;
    s->next = s->done ? gen_alloc(g, 2 * rows, sizeof *s->next, e) : NULL;
    int32_t *tokens =
        s->next ? gen_alloc(g, rows * (size_t)g->max_length, sizeof *tokens, e) : NULL;
    if (!tokens)
        return e ? e->code : ERR_MEMORY;
    for (int64_t r = 0; r < g->rows; r++) {
        s->best[r].tokens = tokens + r * g->max_length;
        g->row_score[r] =
            r % g->beams ? -1e9f : 0; /* so that rows that are the same at first do not stay so */
    }
    return 0;
}

/* The best 2 * beams of a prompt's candidates: even if each beam's best ends it, enough go on. Of
 * equal ones the first; a NaN is below all. */
static void choose(const struct beam *s, int64_t b, struct candidate *best)
{
    const struct gen *g = &s->g;
    const float *x = g->scores + b * g->beams * g->vocab;
    int64_t want = 2 * g->beams, n = 0;
    for (int64_t i = 0; i < g->beams * g->vocab; i++) {
        float v = isnan(x[i]) ? -INFINITY : x[i];
        if (n == want && !(v > best[n - 1].score))
            continue;
        int64_t k = n < want ? n++ : n - 1;
        for (; k > 0 && v > best[k - 1].score; k--)
            best[k] = best[k - 1];
        best[k] = (struct candidate){v, i};
    }
}

static float sentence_score(const struct beam *s, float sum, int64_t length)
{
    return sum / powf((float)length, s->length_penalty);
}

/* Row r is a sentence. */
static void keep(struct beam *s, int64_t r, float sum)
{
    const struct gen *g = &s->g;
    int64_t b = r / g->beams, k = s->found[b];
    struct sentence *best = s->best + b * g->beams;
    float score = sentence_score(s, sum, g->length);
    if (k == g->beams && !(score > best[--k].score))
        return;
    int32_t *tokens = best[k].tokens;
    s->found[b] += s->found[b] < g->beams;
    for (; k > 0 && score > best[k - 1].score; k--)
        best[k] = best[k - 1];
    memcpy(tokens, g->sequences + r * g->max_length, (size_t)g->length * sizeof *tokens);
    best[k] = (struct sentence){score, g->length, tokens};
}

/* One prompt's rows of the next step. */
static void advance(struct beam *s, int64_t b)
{
    struct gen *g = &s->g;
    int64_t first = b * g->beams, n = 0;
    struct candidate *c = s->next + 2 * first;
    if (s->done[b]) {
        for (int64_t r = first; r < first + g->beams; r++) {
            g->tokens[r] = (int32_t)g->at->pad;
            g->origins[r] = (int32_t)r;
            g->row_score[r] = 0;
        }
        return;
    }
    choose(s, b, c);
    for (int64_t j = 0; j < 2 * g->beams && n < g->beams; j++) {
        int64_t r = first + c[j].at / g->vocab, token = c[j].at % g->vocab;
        if (token == g->at->eos) {
            if (j < g->beams)
                keep(s, r, c[j].score);
            continue;
        }
        g->tokens[first + n] = (int32_t)token;
        g->origins[first + n] = (int32_t)r;
        g->row_score[first + n] = c[j].score;
        n++;
    }
    if (s->found[b] == g->beams)
        s->done[b] = g->at->early_stopping == 1 || !(s->best[first + g->beams - 1].score <
                                                     sentence_score(s, c[0].score, g->length));
}

static int advance_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    for (int64_t b = begin; b < end; b++)
        advance(arg, b);
    return 0;
}

static int give_scores(struct beam *s, struct err *e)
{
    const struct gen *g = &s->g;
    struct call *c = g->call;
    int rc = 0;
    if (OUT_SCORES >= c->n_out || !c->out[OUT_SCORES])
        return 0;
    if (!s->scores) {
        const int64_t dims[] = {g->max_length - g->prompt, g->batch, g->beams, g->vocab};
        rc = call_output(c, OUT_SCORES, s->dtype, 4, dims, e);
        if (rc < 0)
            return rc;
        s->scores = call_out(c, OUT_SCORES);
        if (tensor_bytes(s->scores))
            memset(s->scores->data, 0, tensor_bytes(s->scores));
    }
    int64_t n = g->rows * g->vocab;
    elems_from_f32(s->dtype, s->scores->data, (g->length - g->prompt) * n, n, g->scores);
    return 0;
}

/* The probability, in the first logits, of the token that says that nobody speaks. */
static int give_no_speech(struct beam *s, struct err *e)
{
    const struct gen *g = &s->g;
    int64_t token = g->at->no_speech;
    int rc = call_output(g->call, OUT_NO_SPEECH, s->dtype, 1, &g->batch, e);
    struct tensor *y = rc == 0 ? call_out(g->call, OUT_NO_SPEECH) : NULL;
    if (y && (token < 0 || token >= g->vocab))
        return err_set(e, ERR_MODEL, "no_speech_token_id is %lld of %lld", (long long)token,
                       (long long)g->vocab);
    for (int64_t b = 0; y && b < g->batch; b++) {
        float p = gen_probability(g, b * g->beams, token);
        elems_from_f32(s->dtype, y->data, b, 1, &p);
    }
    return rc;
}

static bool all_done(const struct beam *s)
{
    for (int64_t b = 0; b < s->g.batch; b++)
        if (!s->done[b])
            return false;
    return true;
}

static int search(struct beam *s, struct err *e)
{
    struct gen *g = &s->g;
    int rc = g->rows ? gen_first(g, e) : 0;
    while (rc == 0 && g->rows) {
        rc = gen_score(g, e);
        if (rc == 0 && g->length == g->prompt)
            rc = give_no_speech(s, e);
        if (rc == 0)
            rc = give_scores(s, e);
        if (rc == 0)
            rc = call_tasks(g->call, g->batch, advance_tasks, s, e);
        if (rc < 0)
            break;
        gen_append(g);
        if (g->length == g->max_length || all_done(s))
            break;
        rc = gen_next(g, e);
    }
    for (int64_t r = 0; r < g->rows && rc == 0; r++)
        if (!s->done[r / g->beams])
            keep(s, r, g->row_score[r]);
    return rc;
}

static int give_sentences(struct beam *s, struct err *e)
{
    const struct gen *g = &s->g;
    struct call *c = g->call;
    int rc = call_output(c, OUT_SEQUENCES, DTYPE_I32, 3,
                         (const int64_t[]){g->batch, s->returned, g->max_length}, e);
    if (rc == 0)
        rc = call_output(c, OUT_SEQUENCES_SCORES, s->dtype, 2,
                         (const int64_t[]){g->batch, s->returned}, e);
    if (rc < 0)
        return rc;
    struct tensor *y = call_out(c, OUT_SEQUENCES), *scores = call_out(c, OUT_SEQUENCES_SCORES);
    for (int64_t i = 0; i < g->batch * s->returned; i++) {
        const struct sentence *x = &s->best[i / s->returned * g->beams + i % s->returned];
        int32_t *to = y ? (int32_t *)y->data + i * g->max_length : NULL;
        for (int64_t k = 0; y && k < g->max_length; k++)
            to[k] = k < x->length ? x->tokens[k] : (int32_t)g->at->pad;
        if (scores)
            elems_from_f32(s->dtype, scores->data, i, 1, &x->score);
    }
    return 0;
}

/* What the steps give, where there were none for want of prompts. */
static int give_nothing(struct beam *s, struct err *e)
{
    const struct gen *g = &s->g;
    int64_t vocab = g->at->vocab_size > 0 ? g->at->vocab_size : 0;
    const int64_t dims[] = {g->max_length - g->prompt, 0, g->beams, vocab};
    int rc = call_output(g->call, OUT_SCORES, s->dtype, 4, dims, e);
    return rc ? rc : call_output(g->call, OUT_NO_SPEECH, s->dtype, 1, &g->batch, e);
}

static int beam_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct beam s = {0};
    int rc = gen_init(&s.g, c, inputs_of(c->node), e);
    if (rc == 0)
        rc = beam_init(&s, e);
    if (rc == 0)
        rc = search(&s, e);
    if (rc == 0)
        rc = give_sentences(&s, e);
    if (rc == 0 && s.g.batch == 0)
        rc = give_nothing(&s, e);
    gen_clear(&s.g);
    return rc;
}

const struct op op_ms_beamsearch = {
    .domain = "com.microsoft",
    .name = "BeamSearch",
    .since = 1,
    .in_min = 5,
    .in_max = INPUTS,
    .out_min = 1,
    .out_max = OUTPUTS,
    .flags = OP_DYNAMIC | OP_LEADER | OP_HOST,
    .kernels = "softmax",
    .attrs = beam_attrs,
    .attrs_size = sizeof(struct attrs_generation),
    .fix = beam_fix,
    .infer = beam_infer,
    .run = beam_run,
};

const struct op op_ms_whisperbeamsearch = {
    .domain = "com.microsoft",
    .name = "WhisperBeamSearch",
    .since = 1,
    .in_min = 5,
    .in_max = WHISPER_INPUTS,
    .out_min = 1,
    .out_max = WHISPER_OUTPUTS,
    .flags = OP_DYNAMIC | OP_LEADER | OP_HOST,
    .kernels = "softmax",
    .attrs = whisper_attrs,
    .attrs_size = sizeof(struct attrs_generation),
    .fix = whisper_fix,
    .infer = beam_infer,
    .run = beam_run,
};
