/* SPDX-License-Identifier: Apache-2.0 */
/* Generating tokens with an encoder and a decoder, as of T5 and Whisper. The encoder runs once, on
 * prompts, and its results are then repeated for the rows; in one form of it, it also makes the
 * first logits and self pasts, in the other the decoder's first call starts from empty ones. A past
 * is [rows, heads, tokens, size]. */
#include <string.h>

#include "ops/contrib/generation.h"

static enum gen_part part_named(const struct graph_value *v)
{
    static const char *const names[PARTS] = {"encoder_input_ids", "encoder_attention_mask",
                                             "encoder_hidden_states", "decoder_input_ids"};
    enum gen_part p = PART_IDS;
    while (p < PARTS && strcmp(value_name(v), names[p]) != 0)
        p++;
    return p;
}

/* Names tell; where one is another, as in a graph that was written anew, types do. A past has 4
 * dims. */
static void decoder_parts(struct gen_form *f, const struct graph *d)
{
    for (f->first_past = 1; f->first_past < d->n_inputs && f->first_past < GEN_READS;
         f->first_past++) {
        const struct graph_value *v = d->inputs[f->first_past];
        const struct graph_value *next =
            f->first_past + 1 < d->n_inputs ? d->inputs[f->first_past + 1] : v;
        enum gen_part p = part_named(v);
        if (p == PARTS && v->fact.type.dtype == DTYPE_I32)
            p = next != v && next->fact.type.dtype == DTYPE_I32 ? PART_IDS : PART_MASK;
        else if (p == PARTS && v->fact.type.rank == 3)
            p = PART_HIDDEN;
        if (p >= PART_TOKENS)
            return;
        f->reads[f->first_past] = p;
    }
}

static int encoder_parts(struct gen_form *f, const struct graph *g, struct err *e)
{
    bool seen[PARTS] = {false};
    if (g->n_inputs < 1 || g->n_inputs > GEN_GIVEN)
        return err_set(e, ERR_MODEL, "the encoder has %d inputs, expected 1 to %d", g->n_inputs,
                       GEN_GIVEN);
    for (int i = 1; i < g->n_inputs; i++) {
        enum gen_part p = part_named(g->inputs[i]);
        if (p == PARTS)
            p = f->joint && i == g->n_inputs - 1 ? PART_TOKENS : PART_MASK;
        if ((p != PART_MASK && p != PART_TOKENS) || seen[p])
            return err_set(e, ERR_MODEL,
                           "the encoder's input %d, '%.80s', is neither a mask nor first tokens", i,
                           value_name(g->inputs[i]));
        seen[p] = true;
        f->given[i] = p;
    }
    return 0;
}

static int t5_fix(struct node *n, struct err *e)
{
    struct attrs_generation *at = n->attrs;
    struct gen_form *f = &at->form;
    const struct graph *d = at->decoder;
    if (!at->encoder || at->init_decoder)
        return err_set(e, ERR_MODEL, "model_type %lld needs an encoder, and no init_decoder",
                       (long long)at->model_type);
    if (d->n_inputs < 2 || d->n_outputs < 2)
        return err_set(e, ERR_MODEL, "a decoder of %d inputs and %d outputs", d->n_inputs,
                       d->n_outputs);
    if (d->inputs[0]->fact.type.dtype != DTYPE_I32)
        return err_set(e, ERR_MODEL, "the decoder's input 0 is not of int32");
    if (d->inputs[d->n_inputs - 1]->fact.type.dtype == DTYPE_I32)
        return err_set(e, ERR_UNSUPPORTED, "a decoder with '%.80s' behind its pasts",
                       value_name(d->inputs[d->n_inputs - 1]));
    decoder_parts(f, d);
    bool hidden = false;
    for (int i = 1; i < f->first_past; i++)
        hidden |= f->reads[i] == PART_HIDDEN;
    f->n_self = d->n_outputs - 1;
    int cross = d->n_inputs - f->first_past - f->n_self;
    f->joint = at->encoder->n_outputs == 2 + f->n_self + cross;
    const struct type *ids = &d->inputs[0]->fact.type;
    f->whole = ids->rank != 2 || ids->dims[1] != 1;
    if (cross < 0 || (!f->joint && at->encoder->n_outputs != cross))
        return err_set(e, ERR_MODEL,
                       "the encoder's %d outputs are not the %d pasts that the decoder reads",
                       at->encoder->n_outputs, d->n_inputs - f->first_past);
    if (!f->joint && hidden)
        return err_set(e, ERR_MODEL,
                       "the decoder reads hidden states, which the encoder does not give");
    int rc = encoder_parts(f, at->encoder, e);
    for (int i = f->first_past; i < d->n_inputs && rc == 0; i++)
        if (!dtype_is_float(d->inputs[i]->fact.type.dtype))
            rc = err_set(e, ERR_MODEL, "the decoder's input %d, '%.80s', is no past of floats", i,
                         value_name(d->inputs[i]));
    if (rc == 0 && !f->joint)
        rc = gen_past_form(f, d->inputs[f->first_past], 4, 1, 3, e);
    return rc;
}

/* ---- inference ------------------------------------------------------------------------------- */

static struct type ints(int64_t rows, int64_t n)
{
    return (struct type){.kind = TYPE_TENSOR, .dtype = DTYPE_I32, .rank = 2, .dims = {rows, n}};
}

/* A result of the encoder for prompts, as the decoder's input for rows. */
static struct type spread(struct infer *c, const struct type *given, int64_t rows)
{
    struct type t = *given;
    for (int k = 0; k < t.rank; k++)
        t.dims[k] = k == 0 ? rows : sym_is_unknown(t.dims[k]) ? infer_fresh(c) : t.dims[k];
    return t;
}

struct facts {
    struct fact *enc_in, *enc_out, *in, *out;
};

static int facts_init(struct infer *c, struct facts *f, struct err *e)
{
    const struct attrs_generation *at = c->attrs;
    f->enc_in = arena_array(c->arena, (size_t)at->encoder->n_inputs, sizeof *f->in, e);
    f->enc_out =
        f->enc_in ? arena_array(c->arena, (size_t)at->encoder->n_outputs, sizeof *f->in, e) : NULL;
    f->in =
        f->enc_out ? arena_array(c->arena, (size_t)at->decoder->n_inputs, sizeof *f->in, e) : NULL;
    f->out = f->in ? arena_array(c->arena, (size_t)at->decoder->n_outputs, sizeof *f->in, e) : NULL;
    return f->out ? 0 : e ? e->code : ERR_MEMORY;
}

static void decoder_facts(struct infer *c, struct facts *f, int64_t first)
{
    const struct attrs_generation *at = c->attrs;
    const struct gen_form *form = &at->form;
    int64_t rows = infer_fresh(c), past = infer_fresh(c);
    bool one = !form->whole && (form->joint || first == 1);
    f->in[0].type = ints(rows, one ? 1 : infer_fresh(c));
    for (int i = 1; i < form->first_past; i++) {
        enum gen_part p = form->reads[i];
        f->in[i].type = p == PART_HIDDEN ? spread(c, &f->enc_out[1].type, rows)
                        : p == PART_MASK ? ints(rows, f->enc_in[0].type.dims[1])
                                         : spread(c, &f->enc_in[0].type, rows);
    }
    for (int i = form->first_past; i < at->decoder->n_inputs; i++) {
        int k = i - form->first_past;
        struct type *t = &f->in[i].type;
        if (!form->joint && k < form->n_self) {
            *t = (struct type){.kind = TYPE_TENSOR,
                               .dtype = form->past_dtype,
                               .rank = 4,
                               .dims = {rows, form->heads, past, form->head_size}};
            continue;
        }
        *t = spread(c, &f->enc_out[form->joint ? 2 + k : k - form->n_self].type, rows);
        if (k < form->n_self && t->rank == 4)
            t->dims[2] = past;
    }
}

static int t5_infer(struct infer *c, const struct gen_inputs *inputs, struct err *e)
{
    const struct attrs_generation *at = c->attrs;
    struct facts f;
    int64_t batch = gen_batch(c), first = 1;
    int rank = at->model_type == GEN_WHISPER ? 3 : 2, rc = facts_init(c, &f, e);
    if (rc < 0)
        return rc;
    if (inputs->first_tokens >= 0 && infer_has(c, inputs->first_tokens))
        first = infer_rank(c, inputs->first_tokens) == 2 &&
                        !sym_is_unknown(infer_dim(c, inputs->first_tokens, 1))
                    ? infer_dim(c, inputs->first_tokens, 1)
                    : infer_fresh(c);
    struct type *ids = &f.enc_in[0].type;
    *ids = (struct type){
        .kind = TYPE_TENSOR, .dtype = infer_dtype(c, 0), .rank = rank, .dims = {batch}};
    for (int k = 1; k < rank; k++)
        ids->dims[k] = infer_rank(c, 0) == rank && !sym_is_unknown(infer_dim(c, 0, k))
                           ? infer_dim(c, 0, k)
                           : infer_fresh(c);
    for (int i = 1; i < at->encoder->n_inputs; i++)
        f.enc_in[i].type = ints(batch, at->form.given[i] == PART_MASK ? ids->dims[1] : first);
    rc = c->graph(c, at->encoder, f.enc_in, at->encoder->n_inputs, f.enc_out,
                  at->encoder->n_outputs, e);
    if (rc < 0)
        return rc;
    decoder_facts(c, &f, first);
    rc = c->graph(c, at->decoder, f.in, at->decoder->n_inputs, f.out, at->decoder->n_outputs, e);
    for (int k = 0; k < at->form.n_self && rc == 0; k++)
        rc = gen_carried(&f.in[at->form.first_past + k], &f.out[1 + k], k, e);
    return rc;
}

/* ---- running --------------------------------------------------------------------------------- */

/* The mask as given; or 0 for the padding on the left alone: a token of that number at the end may
 * be what the tokenizer ends a prompt with. */
static int encoder_mask(struct gen *g, struct value *v, struct err *e)
{
    const struct tensor *ids = call_in(g->call, 0);
    const struct tensor *given =
        g->inputs->attention_mask >= 0 ? call_in(g->call, g->inputs->attention_mask) : NULL;
    int64_t n = ids->dims[1];
    if (ids->dtype != DTYPE_I32)
        return err_set(e, ERR_UNSUPPORTED, "an encoder's mask without tokens");
    int rc = gen_ints(g, v, given ? given->data : ids->data, g->batch, n, n, e);
    for (int64_t b = 0; b < g->batch && !given && rc == 0; b++) {
        int32_t *m = (int32_t *)v->tensor.data + b * n, token = 0;
        for (int64_t k = 0; k < n; k++)
            m[k] = token |= m[k] != g->at->pad;
    }
    return rc;
}

struct encoder {
    const struct graph *graph;
    struct value *in, *out;
    struct value mask; /* of prompts */
};

static int encoder_run(struct gen *g, struct encoder *x, struct err *e)
{
    x->graph = g->at->encoder;
    x->in = gen_alloc(g, (size_t)x->graph->n_inputs, sizeof *x->in, e);
    x->out = x->in ? gen_alloc(g, (size_t)x->graph->n_outputs, sizeof *x->out, e) : NULL;
    if (!x->out)
        return e ? e->code : ERR_MEMORY;
    int rc = 0;
    bool masked = false;
    for (int i = 1; i < x->graph->n_inputs; i++)
        masked |= g->at->form.given[i] == PART_MASK;
    for (int i = 1; i < g->at->form.first_past; i++)
        masked |= g->at->form.reads[i] == PART_MASK;
    if (masked)
        rc = encoder_mask(g, &x->mask, e);
    x->in[0] = (struct value){.kind = VALUE_TENSOR, .tensor = *call_in(g->call, 0)};
    x->in[0].tensor.buffer = NULL;
    for (int i = 1; i < x->graph->n_inputs && rc == 0; i++) {
        if (g->at->form.given[i] == PART_MASK)
            value_ref(&x->in[i], &x->mask);
        else
            rc = gen_ints(g, &x->in[i], g->sequences, g->batch, g->beams * g->max_length, g->prompt,
                          e);
    }
    return rc ? rc : gen_run(g, x->graph, x->in, x->out, e);
}

/* The decoder's inputs from the encoder's ends: what stays goes to kept, self pasts to in. */
static int take_results(struct gen *g, struct encoder *x, struct err *e)
{
    const struct gen_form *f = &g->at->form;
    const struct graph *d = g->at->decoder;
    int rc = 0;
    for (int i = 1; i < f->first_past && rc == 0; i++) {
        enum gen_part p = f->reads[i];
        struct value v = {0};
        value_ref(&v, p == PART_HIDDEN ? &x->out[1] : p == PART_MASK ? &x->mask : &x->in[0]);
        rc = gen_pick(g, &v, &g->kept[i], 0, true, e);
        value_clear(&v);
    }
    for (int i = f->first_past; i < d->n_inputs && rc == 0; i++) {
        int k = i - f->first_past;
        bool self = k < f->n_self;
        if (self && !f->joint)
            rc = gen_tensor(g, &g->in[i], f->past_dtype, 4,
                            (const int64_t[]){g->rows, f->heads, 0, f->head_size}, e);
        else
            rc = gen_pick(g, &x->out[f->joint ? 2 + k : k - f->n_self],
                          self ? &g->in[i] : &g->kept[i], 0, true, e);
    }
    return rc;
}

static int decoder_run(struct gen *g, struct err *e)
{
    for (int i = 0; i < g->at->decoder->n_inputs; i++)
        if (g->kept[i].kind != VALUE_NONE) {
            value_clear(&g->in[i]);
            value_ref(&g->in[i], &g->kept[i]);
        }
    return gen_run(g, g->at->decoder, g->in, g->out, e);
}

static int t5_first(struct gen *g, struct err *e)
{
    struct encoder x = {0};
    int rc = gen_ends(g, e);
    if (rc == 0)
        rc = encoder_run(g, &x, e);
    if (rc == 0)
        rc = take_results(g, &x, e);
    if (rc == 0 && g->at->form.joint) {
        g->out[0] = x.out[0];
        x.out[0] = (struct value){0};
    } else if (rc == 0) {
        rc = gen_ints(g, &g->in[0], g->sequences, g->rows, g->max_length, g->prompt, e);
        if (rc == 0)
            rc = decoder_run(g, e);
    }
    for (int i = 0; x.out && i < x.graph->n_inputs; i++)
        value_clear(&x.in[i]);
    for (int i = 0; x.out && i < x.graph->n_outputs; i++)
        value_clear(&x.out[i]);
    value_clear(&x.mask);
    return rc;
}

/* After the encoder's own first step the pasts of all rows of a prompt are the same. */
static int t5_next(struct gen *g, struct err *e)
{
    const struct gen_form *f = &g->at->form;
    bool encoded = f->joint && g->length == g->prompt + 1;
    int rc = f->whole ? gen_ints(g, &g->in[0], g->sequences, g->rows, g->max_length, g->length, e)
                      : gen_ints(g, &g->in[0], g->tokens, g->rows, 1, 1, e);
    for (int i = 0; i < f->n_self && !encoded && rc == 0; i++)
        rc = gen_pick(g, &g->out[1 + i], &g->in[f->first_past + i], 0, false, e);
    return rc ? rc : decoder_run(g, e);
}

const struct gen_model gen_t5 = {t5_fix, t5_infer, t5_first, t5_next};
