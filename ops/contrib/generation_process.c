/* SPDX-License-Identifier: Apache-2.0 */
/* Generating tokens: what is done to a row of scores before the search chooses. A token that is out
 * of the question gets the lowest number, not -infinity, so that sums with it stay comparable. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ops/contrib/generation.h"

/* A row: its scores and its tokens so far. */
struct line {
    float *s;
    int64_t vocab;
    const int32_t *t;
    int64_t length;
};

static void forbid(const struct line *l, int64_t token)
{
    if (token >= 0 && token < l->vocab)
        l->s[token] = -FLT_MAX;
}

static void forbid_range(const struct line *l, int64_t first, int64_t end)
{
    for (int64_t k = first < 0 ? 0 : first; k < end && k < l->vocab; k++)
        l->s[k] = -FLT_MAX;
}

/* Each token that occurred, once. */
static void repetition(const struct line *l, float penalty, uint8_t *seen)
{
    for (int64_t i = 0; i < l->length; i++) {
        int64_t k = l->t[i];
        if (k < 0 || k >= l->vocab || seen[k])
            continue;
        seen[k] = 1;
        l->s[k] = l->s[k] < 0 ? l->s[k] * penalty : l->s[k] / penalty;
    }
    for (int64_t i = 0; i < l->length; i++)
        if (l->t[i] >= 0 && l->t[i] < l->vocab)
            seen[l->t[i]] = 0;
}

/* Tokens that would end a run of n that has occurred. */
static void ngrams(const struct line *l, int64_t n)
{
    if (n > l->length)
        return;
    const int32_t *last = l->t + l->length - (n - 1);
    for (int64_t i = 0; i + n <= l->length; i++)
        if (memcmp(l->t + i, last, (size_t)(n - 1) * sizeof *last) == 0)
            forbid(l, l->t[i + n - 1]);
}

static void masked(const struct line *l, const int32_t *mask)
{
    for (int64_t k = 0; k < l->vocab; k++)
        if (mask[k] == 0)
            l->s[k] = -FLT_MAX;
}

/* Whisper's tokens where no attribute says them: counted from the end of text, and two as they are.
 */
enum { AFTER_SOT = 1, AFTER_SOLM = 105, AFTER_NO_STAMPS = 106, AFTER_STAMPS = 107,
       TRANSLATE = 50358, TRANSCRIBE = 50359, STAMP_INITIAL = 50 };

static int64_t token_or(int64_t token, int64_t otherwise)
{
    return token >= 0 ? token : otherwise;
}

/* What the row is allowed: time stamps come in pairs, and rise. `begin` is where the first one
 * ends. */
static void stamp_rules(const struct line *l, int64_t eos, int64_t first, int64_t begin)
{
    int64_t latest = -1;
    for (int64_t i = 0; i < l->length; i++)
        latest = l->t[i] >= first ? l->t[i] : latest;
    bool last = l->t[l->length - 1] >= first;
    bool paired = l->length <= begin || l->t[l->length - 2] >= first;
    if (last)
        forbid_range(l, paired ? first : 0, paired ? l->vocab : eos);
    if (latest >= 0)
        forbid_range(l, first, last && !paired ? latest : latest + 1);
    if (l->length == begin)
        forbid_range(l, first + STAMP_INITIAL + 1, l->vocab);
}

/* If all time stamps together are likelier than any other token, it must be one. */
static void stamp_sum(const struct line *l, int64_t first)
{
    float text = -FLT_MAX, top = -FLT_MAX, sum = 0;
    for (int64_t k = 0; k < l->vocab; k++) {
        float *best = k < first ? &text : &top;
        *best = l->s[k] > *best ? l->s[k] : *best;
    }
    for (int64_t k = first; k < l->vocab; k++)
        sum += l->s[k] > -FLT_MAX ? expf(l->s[k] - top) : 0;
    if (sum > 0 && logf(sum) + top > text)
        forbid_range(l, 0, first);
}

static void stamps(const struct line *l, const struct attrs_generation *at)
{
    int64_t first = token_or(at->first_stamp, at->eos + AFTER_STAMPS), begin = 0;
    while (begin < l->length && l->t[begin++] < first)
        ;
    forbid(l, token_or(at->no_stamps, at->eos + AFTER_NO_STAMPS));
    forbid(l, token_or(at->solm, at->eos + AFTER_SOLM));
    if (l->length > begin) {
        forbid(l, token_or(at->sot, at->eos + AFTER_SOT));
        forbid(l, token_or(at->translate, TRANSLATE));
        forbid(l, token_or(at->transcribe, TRANSCRIBE));
    }
    stamp_rules(l, at->eos, first, begin);
    stamp_sum(l, first);
}

void gen_process(const struct gen *g, int64_t r)
{
    int64_t b = r / g->beams;
    struct line l = {g->scores + r * g->vocab, g->vocab, g->sequences + r * g->max_length,
                     g->length};
    if (g->seen)
        repetition(&l, g->repetition, g->seen + r * g->vocab);
    if (g->at->ngram > 0)
        ngrams(&l, g->at->ngram);
    if (g->vocab_mask)
        masked(&l, g->vocab_mask);
    if (g->prefix_mask && g->length == g->prompt)
        masked(&l, g->prefix_mask + b * g->vocab);
    if (g->length < g->min_length)
        forbid(&l, g->at->eos);
    for (int64_t k = 0; g->temperature > 0 && g->temperature != 1 && k < l.vocab; k++)
        l.s[k] /= g->temperature;
    for (int64_t k = 0; g->presence_mask && g->at->presence_penalty != 0 && k < l.vocab; k++)
        l.s[k] -= (float)g->presence_mask[b * g->vocab + k] * g->at->presence_penalty;
    if (g->stamps)
        stamps(&l, g->at);
}
