/* SPDX-License-Identifier: Apache-2.0 */
/* Generating tokens: what is done to a row of scores before the search chooses. A token that is out of the
 * question gets the lowest number, not -infinity, so that sums with it stay comparable. */
#include <float.h>
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

/* Whisper's tokens, counted from the end of text, and its rules of time stamps: they come in pairs, do not
 * fall, and the first is an early one. */
enum { STAMP_SOT = 1, STAMP_SOLM = 105, STAMP_NOT = 106, STAMP_FIRST = 107, STAMP_INITIAL = 50,
       STAMP_TRANSLATE = 50358, STAMP_TRANSCRIBE = 50359 };

static void stamps(const struct line *l, int64_t eos)
{
    int64_t first = eos + STAMP_FIRST, begin = 0, latest = -1;
    while (begin < l->length && l->t[begin++] < first)
        ;
    for (int64_t i = 0; i < l->length; i++)
        latest = l->t[i] >= first ? l->t[i] : latest;
    bool last = l->t[l->length - 1] >= first;
    bool paired = l->length <= begin || l->t[l->length - 2] >= first;
    forbid(l, eos + STAMP_NOT);
    forbid(l, eos + STAMP_SOLM);
    if (l->length > begin) {
        forbid(l, eos + STAMP_SOT);
        forbid(l, STAMP_TRANSLATE);
        forbid(l, STAMP_TRANSCRIBE);
    }
    if (last)
        forbid_range(l, paired ? first : 0, paired ? l->vocab : eos);
    if (latest >= 0)
        forbid_range(l, first, last && !paired ? latest : latest + 1);
    if (l->length == begin)
        forbid_range(l, first + STAMP_INITIAL + 1, l->vocab);
}

void gen_process(const struct gen *g, int64_t r)
{
    int64_t b = r / g->beams;
    struct line l = {g->scores + r * g->vocab, g->vocab, g->sequences + r * g->max_length, g->length};
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
        stamps(&l, g->at->eos);
}
