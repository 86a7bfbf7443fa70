/* SPDX-License-Identifier: Apache-2.0 */
/* Generating tokens: what BeamSearch, WhisperBeamSearch, GreedySearch and Sampling of com.microsoft
 * share.
 *
 * A search keeps `rows` sequences, `beams` for each prompt of the batch, and repeats: score every
 * next token of every row from the logits of the last call of a subgraph (gen_score), choose (the
 * search's own), append (gen_append), call the decoder again (gen_next). How the subgraphs are
 * called is that of the kind of model:
 *
 *   decoder alone  decoder(ids, positions, mask, pasts...) -> logits, presents...
 *   two parts      encoder(ids, [mask], [first tokens]) -> [logits, hidden, selfs...], crosses...
 *                  decoder(ids, [encoder's ids, mask, hidden], selfs..., crosses...)
 *                      -> logits, presents...
 *
 * selfs and crosses being the pasts of its attention to its own tokens and to the encoder's.
 * Pasts follow their rows: where a row continues another one, so do its pasts. A row depends on
 * nothing but the rows of its own prompt. Everything here is for the leader of one call; struct gen
 * lives on its stack.
 */
#pragma once

#include "ops/common.h"

enum { GEN_GPT, GEN_T5, GEN_WHISPER };

/* What a decoder may read of its encoder's ends, and an encoder reads beside the prompts. */
enum gen_part { PART_IDS, PART_MASK, PART_HIDDEN, PART_TOKENS, PARTS };
enum { GEN_READS = 4, GEN_GIVEN = 3 };

/* What follows from a node and its subgraphs alone. */
struct gen_form {
    enum dtype past_dtype;    /* of a past that begins empty, or as */
    int64_t heads, head_size; /* the file says of its dims */
    int first_past;           /* the decoder's first input that is one */
    int n_self;               /* presents, which are carried on */
    bool shared; /* pasts have room for all tokens, the last input tells how many are there */
    bool whole;  /* the decoder reads all tokens so far, not the new ones alone */
    bool joint;  /* the encoder makes the first logits, too */
    enum gen_part reads[GEN_READS]; /* the decoder's inputs before pasts, from 1 on */
    enum gen_part given[GEN_GIVEN]; /* the encoder's, from 1 on */
};

struct attrs_generation {
    struct graph *decoder, *init_decoder, *encoder;
    int64_t model_type, eos, pad, start, ngram, vocab_size, early_stopping;
    int64_t custom, min_tokens_to_keep;
    float temperature, top_p, filter_value, presence_penalty;
    int64_t sot, solm, no_stamps, translate, transcribe, first_stamp, no_speech; /* tokens, or -1 */
    int64_t cross_qk;
    struct gen_form form; /* set by fix */
};

/* Rows of the attribute tables that all searches have. */
#define GEN_ATTR(text, kind, field, ...) \
    {text, kind, offsetof(struct attrs_generation, field), __VA_ARGS__}
#define GEN_ATTRS(model) \
    GEN_ATTR("decoder", ATTR_GRAPH, decoder, .required = true), \
    GEN_ATTR("init_decoder", ATTR_GRAPH, init_decoder, .required = false), \
    GEN_ATTR("encoder", ATTR_GRAPH, encoder, .required = false), \
    GEN_ATTR("model_type", ATTR_INT, model_type, .i = model), \
    GEN_ATTR("eos_token_id", ATTR_INT, eos, .required = true), \
    GEN_ATTR("pad_token_id", ATTR_INT, pad, .required = true), \
    GEN_ATTR("decoder_start_token_id", ATTR_INT, start, .i = -1), \
    GEN_ATTR("no_repeat_ngram_size", ATTR_INT, ngram, .i = 0), \
    GEN_ATTR("vocab_size", ATTR_INT, vocab_size, .i = -1)

/* Which input of a node is what; -1: it has none such. */
struct gen_inputs {
    int max_length, min_length, beams, returned, length_penalty, repetition, vocab_mask;
    int prefix_mask, attention_mask, first_tokens, processor, presence_mask, seed, temperature;
};

enum { GEN_BLOCKS = 24 };

struct gen {
    struct call *call;
    const struct attrs_generation *at;
    const struct gen_inputs *inputs;
    const struct gen_model *model;

    int64_t batch, beams, rows; /* rows = batch * beams */
    int64_t prompt, length;     /* tokens of a row at first and now */
    int64_t max_length, min_length;
    int64_t vocab; /* known after the first logits */
    float repetition, temperature;
    bool log;    /* scores are log-probabilities plus row_score, else logits */
    bool stamps; /* rules of time stamps apply */
    const int32_t *vocab_mask, *prefix_mask, *presence_mask; /* or NULL */

    int32_t *sequences, *spare; /* [rows][max_length] */
    int32_t *tokens, *origins;  /* [rows]: the next token, and the row that it continues */
    float *row_score;           /* [rows] */
    float *scores;              /* [rows][vocab] */
    uint8_t *seen; /* [rows][vocab], all 0 between uses; NULL without repetition penalty */

    /* The decoder's ends, and what some of its inputs are at every call. */
    struct value *in, *out, *kept;
    int32_t *mask, *positions; /* [rows][max_length], [rows]: of the decoder-only kind */

    void *blocks[GEN_BLOCKS];
    int n_blocks;
};

/* A kind of model. `first` and `next` leave the logits in g->out[0]. */
struct gen_model {
    int (*fix)(struct node *n, struct err *e);
    int (*infer)(struct infer *c, const struct gen_inputs *inputs, struct err *e);
    int (*first)(struct gen *g, struct err *e);
    int (*next)(struct gen *g, struct err *e);
};
extern const struct gen_model gen_gpt, gen_t5;

/* ---- of a search ----------------------------------------------------------------------------- */

int gen_fix(struct node *n, struct err *e) WARN_UNUSED;
/* Checks the inputs' types and infers the subgraphs; outputs are the search's. */
int gen_infer(struct infer *c, const struct gen_inputs *inputs, struct err *e) WARN_UNUSED;
/* The batch, and the number that input i is known to be, or a symbol. */
int64_t gen_batch(struct infer *c);
int64_t gen_number(struct infer *c, int i);

/* Read and check the inputs. The caller clears with gen_clear() whatever comes back. */
int gen_init(struct gen *g, struct call *c, const struct gen_inputs *inputs,
             struct err *e) WARN_UNUSED;
void gen_clear(struct gen *g);
/* A number from input i, or `otherwise` where it is absent. */
int gen_int(const struct gen *g, int i, int64_t otherwise, int64_t *out, struct err *e) WARN_UNUSED;
int gen_float(const struct gen *g, int i, float otherwise, float *out, struct err *e) WARN_UNUSED;
/* Zeroed memory that goes with g. */
void *gen_alloc(struct gen *g, size_t n, size_t size, struct err *e) WARN_UNUSED;

int gen_first(struct gen *g, struct err *e) WARN_UNUSED;
int gen_next(struct gen *g, struct err *e) WARN_UNUSED;
int gen_score(struct gen *g, struct err *e) WARN_UNUSED;
/* The probability of a token in the logits of row r as they came; while g->out[0] holds them. */
float gen_probability(const struct gen *g, int64_t r, int64_t token);
/* Row r becomes row origins[r] and tokens[r]. */
void gen_append(struct gen *g);

/* ---- of a kind of model ---------------------------------------------------------------------- */

/* The past `v` of the file: its dtype, and the numbers of its dims `heads` and `size`. */
int gen_past_form(struct gen_form *f, const struct graph_value *v, int rank, int heads, int size,
                  struct err *e) WARN_UNUSED;
/* A present may be the next call's past: ERR_MODEL if not. */
int gen_carried(const struct fact *past, const struct fact *present, int i,
                struct err *e) WARN_UNUSED;
/* The ends of the decoder. */
int gen_ends(struct gen *g, struct err *e) WARN_UNUSED;
/* *v becomes a new zeroed tensor. */
int gen_tensor(struct gen *g, struct value *v, enum dtype t, int rank, const int64_t *dims,
               struct err *e) WARN_UNUSED;
/* *v becomes int32 [rows][n], a copy of the first n of every row of `stride`. */
int gen_ints(struct gen *g, struct value *v, const int32_t *from, int64_t rows, int64_t stride,
             int64_t n, struct err *e) WARN_UNUSED;
/* Run a subgraph; `out` are cleared before. */
int gen_run(struct gen *g, const struct graph *graph, struct value *in, struct value *out,
            struct err *e) WARN_UNUSED;
/* *to becomes *from with row r of `axis` being its row from_row(r): origins[r] or, where `spread`,
 * r / beams. It may take *from over. */
int gen_pick(struct gen *g, struct value *from, struct value *to, int axis, bool spread,
             struct err *e) WARN_UNUSED;

/* ---- generation_process.c -------------------------------------------------------------------- */

/* Apply to row r of the scores what attributes and inputs ask for. */
void gen_process(const struct gen *g, int64_t r);
