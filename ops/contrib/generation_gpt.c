/* SPDX-License-Identifier: Apache-2.0 */
/* Generating tokens with a decoder alone, as of GPT-2: the first call reads the prompts, each later
 * one a token a row. A past is [2, rows, heads, tokens, size]. */
#include <string.h>

#include "ops/contrib/generation.h"

enum { IN_IDS, IN_POSITIONS, IN_MASK, IN_PAST };

static int gpt_check(const struct graph *d, const struct gen_form *f, struct err *e)
{
    int n = d->n_inputs - d->n_outputs - 2;
    if (d->n_outputs < 2 || n < 0)
        return err_set(
            e, ERR_MODEL,
            "a decoder of %d inputs and %d outputs, expected ids, positions, mask and pasts",
            d->n_inputs, d->n_outputs);
    if (n > 1)
        return err_set(e, ERR_UNSUPPORTED, "a decoder with %d inputs more than pasts", n);
    for (int i = 0; i < IN_PAST; i++)
        if (d->inputs[i]->fact.type.dtype != DTYPE_I32)
            return err_set(e, ERR_MODEL, "the decoder's input %d, '%.80s', is not of int32", i,
                           value_name(d->inputs[i]));
    return n != f->shared ? err_set(e, ERR_MODEL, "init_decoder and decoder differ in their pasts")
                          : 0;
}

static int gpt_fix(struct node *n, struct err *e)
{
    struct attrs_generation *at = n->attrs;
    struct gen_form *f = &at->form;
    if (at->encoder)
        return err_set(e, ERR_UNSUPPORTED, "an encoder with model_type 0");
    f->shared = at->decoder->n_inputs == at->decoder->n_outputs + 3;
    int rc = gpt_check(at->decoder, f, e);
    if (rc == 0 && at->init_decoder)
        rc = gpt_check(at->init_decoder, f, e);
    if (rc == 0 && at->init_decoder && at->init_decoder->n_outputs != at->decoder->n_outputs)
        rc = err_set(e, ERR_MODEL, "init_decoder and decoder differ in their pasts");
    f->first_past = IN_PAST;
    f->n_self = at->decoder->n_outputs - 1;
    return rc ? rc : gen_past_form(f, at->decoder->inputs[IN_PAST], 5, 2, 4, e);
}

static int gpt_infer(struct infer *c, const struct gen_inputs *inputs, struct err *e)
{
    const struct attrs_generation *at = c->attrs;
    const struct gen_form *f = &at->form;
    int64_t rows = infer_fresh(c), tokens = infer_fresh(c), past = infer_fresh(c);
    int64_t total = f->shared ? infer_fresh(c) : sym_add(c->syms, past, tokens);
    const struct graph *graphs[] = {at->decoder, at->init_decoder};
    struct fact *in = arena_array(c->arena, (size_t)at->decoder->n_inputs, sizeof *in, e);
    struct fact *out =
        in ? arena_array(c->arena, (size_t)at->decoder->n_outputs, sizeof *out, e) : NULL;
    if (!out)
        return e ? e->code : ERR_MEMORY;
    for (int i = 0; i < IN_PAST; i++)
        in[i].type = (struct type){.kind = TYPE_TENSOR,
                                   .dtype = DTYPE_I32,
                                   .rank = 2,
                                   .dims = {rows, i == IN_MASK ? total : tokens}};
    for (int i = 0; i < f->n_self; i++)
        in[IN_PAST + i].type = (struct type){.kind = TYPE_TENSOR,
                                             .dtype = f->past_dtype,
                                             .rank = 5,
                                             .dims = {2, rows, f->heads, past, f->head_size}};
    if (f->shared)
        in[IN_PAST + f->n_self].type =
            (struct type){.kind = TYPE_TENSOR, .dtype = DTYPE_I32, .rank = 1, .dims = {1}};
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        if (!graphs[i])
            continue;
        rc = c->graph(c, (struct graph *)graphs[i], in, graphs[i]->n_inputs, out,
                      graphs[i]->n_outputs, e);
        for (int k = 0; k < f->n_self && rc == 0; k++)
            rc = gen_carried(&in[IN_PAST + k], &out[1 + k], k, e);
    }
    return rc;
}

/* Positions count the tokens that are no padding; positions[r] keeps where a row's first new token
 * stands. */
static int first_inputs(struct gen *g, struct err *e)
{
    const struct tensor *mask =
        g->inputs->attention_mask >= 0 ? call_in(g->call, g->inputs->attention_mask) : NULL;
    int64_t n = g->prompt;
    size_t count = (size_t)g->rows * (size_t)g->max_length;
    g->mask = gen_alloc(g, count, sizeof(int32_t), e);
    g->positions = g->mask ? gen_alloc(g, (size_t)g->rows, sizeof(int32_t), e) : NULL;
    if (!g->positions)
        return e ? e->code : ERR_MEMORY;
    for (size_t i = 0; i < count; i++)
        g->mask[i] = 1;
    int rc = gen_ints(g, &g->in[IN_IDS], g->sequences, g->rows, g->max_length, n, e);
    if (rc == 0)
        rc = gen_ints(g, &g->in[IN_POSITIONS], g->sequences, g->rows, g->max_length, n, e);
    for (int64_t r = 0; r < g->rows && rc == 0; r++) {
        int32_t *p = (int32_t *)g->in[IN_POSITIONS].tensor.data + r * n,
                *m = g->mask + r * g->max_length, at = 0;
        for (int64_t k = 0; k < n; k++) {
            bool pad = p[k] == g->at->pad;
            p[k] = pad ? 0 : at++;
            m[k] = mask ? ((const int32_t *)mask->data)[r / g->beams * n + k] : !pad;
        }
        g->positions[r] = at;
    }
    return rc ? rc : gen_ints(g, &g->in[IN_MASK], g->mask, g->rows, g->max_length, n, e);
}

static int tell_past(struct gen *g, int64_t n, struct err *e)
{
    struct value *v = &g->in[IN_PAST + g->at->form.n_self];
    if (!g->at->form.shared)
        return 0;
    int rc = gen_tensor(g, v, DTYPE_I32, 1, (const int64_t[]){1}, e);
    if (rc == 0)
        *(int32_t *)v->tensor.data = (int32_t)n;
    return rc;
}

static int gpt_first(struct gen *g, struct err *e)
{
    const struct gen_form *f = &g->at->form;
    const int64_t dims[] = {2, g->rows, f->heads, f->shared ? g->max_length : 0, f->head_size};
    int rc = gen_ends(g, e);
    if (rc == 0)
        rc = first_inputs(g, e);
    for (int i = 0; i < f->n_self && rc == 0; i++)
        rc = gen_tensor(g, &g->in[IN_PAST + i], f->past_dtype, 5, dims, e);
    if (rc == 0)
        rc = tell_past(g, 0, e);
    return rc ? rc
              : gen_run(g, g->at->init_decoder ? g->at->init_decoder : g->at->decoder, g->in,
                        g->out, e);
}

static int gpt_next(struct gen *g, struct err *e)
{
    int rc = gen_ints(g, &g->in[IN_IDS], g->tokens, g->rows, 1, 1, e);
    if (rc == 0)
        rc = gen_ints(g, &g->in[IN_POSITIONS], g->positions, g->rows, 1, 1, e);
    for (int64_t r = 0; r < g->rows && rc == 0; r++)
        ((int32_t *)g->in[IN_POSITIONS].tensor.data)[r] += (int32_t)(g->length - g->prompt - 1);
    if (rc == 0)
        rc = gen_ints(g, &g->in[IN_MASK], g->mask, g->rows, g->max_length, g->length, e);
    for (int i = 0; i < g->at->form.n_self && rc == 0; i++)
        rc = gen_pick(g, &g->out[1 + i], &g->in[IN_PAST + i], 1, false, e);
    if (rc == 0)
        rc = tell_past(g, g->length - 1, e);
    return rc ? rc : gen_run(g, g->at->decoder, g->in, g->out, e);
}

const struct gen_model gen_gpt = {gpt_fix, gpt_infer, gpt_first, gpt_next};
