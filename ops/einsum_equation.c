/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/einsum_equation.h"

#include <string.h>

/* ---- reading ---------------------------------------------------------------------------------- */

static int letter(char ch)
{
    if (ch >= 'A' && ch <= 'Z')
        return ch - 'A';
    return ch >= 'a' && ch <= 'z' ? ch - 'a' + 26 : -1;
}

static char letter_of(int label)
{
    return (char)(label < 26 ? 'A' + label : 'a' + label - 26);
}

/* One character or ellipsis of a term; *at moves past it. */
static int read_label(struct str text, size_t *at, struct einsum_term *t, struct err *e)
{
    char ch = text.data[*at];
    int label = letter(ch);
    if (ch == '.') {
        if (text.size - *at < 3 || memcmp(text.data + *at, "...", 3) != 0)
            return err_set(e, ERR_MODEL, "equation: a dot at %zu is no ellipsis", *at);
        if (t->dots >= 0)
            return err_set(e, ERR_MODEL, "equation: a second ellipsis in one term at %zu", *at);
        t->dots = t->n;
        *at += 3;
        return 0;
    }
    if (label < 0)
        return err_set(e, ERR_MODEL, "equation: unexpected character %d at %zu",
                       (int)(unsigned char)ch, *at);
    if (t->n == TENSOR_RANK_MAX)
        return err_set(e, ERR_MODEL, "equation: a term has more than %d letters", TENSOR_RANK_MAX);
    t->label[t->n++] = (uint8_t)label;
    ++*at;
    return 0;
}

static int check_output(const struct einsum_equation *q, struct err *e)
{
    uint64_t known = 0, seen = 0;
    for (int i = 0; i < q->n; i++)
        for (int k = 0; k < q->in[i].n; k++)
            known |= UINT64_C(1) << q->in[i].label[k];
    for (int k = 0; k < q->out.n; k++) {
        uint64_t bit = UINT64_C(1) << q->out.label[k];
        if (!(known & bit))
            return err_set(e, ERR_MODEL, "equation: the output's '%c' is in no operand",
                           letter_of(q->out.label[k]));
        if (seen & bit)
            return err_set(e, ERR_MODEL, "equation: the output has '%c' twice",
                           letter_of(q->out.label[k]));
        seen |= bit;
    }
    return 0;
}

int einsum_parse(struct str text, struct einsum_equation *q, struct err *e)
{
    struct einsum_term *t = &q->in[0];
    *q = (struct einsum_equation){.n = 1, .out.dots = -1};
    t->dots = -1;
    for (size_t at = 0; at < text.size;) {
        char ch = text.data[at];
        if (ch == ' ') {
            at++;
        } else if (ch == ',' && !q->explicit) {
            if (q->n == EINSUM_OPERANDS)
                return err_set(e, ERR_UNSUPPORTED, "equation: more than %d operands", EINSUM_OPERANDS);
            t = &q->in[q->n++];
            t->dots = -1;
            at++;
        } else if (ch == '-' && !q->explicit && text.size - at >= 2 && text.data[at + 1] == '>') {
            q->explicit = true;
            t = &q->out;
            at += 2;
        } else {
            int rc = read_label(text, &at, t, e);
            if (rc < 0)
                return rc;
        }
    }
    return check_output(q, e);
}

/* ---- labels ----------------------------------------------------------------------------------- */

/* Write the labels of one term whose ellipsis stands for `dots` dims. */
static int expand(const struct einsum_term *t, int dots, uint8_t *out)
{
    int n = 0;
    for (int k = 0; k <= t->n; k++) {
        for (int d = dots; d > 0 && k == t->dots; d--)
            out[n++] = (uint8_t)(EINSUM_LABELS - d);
        if (k < t->n)
            out[n++] = t->label[k];
    }
    return n;
}

/* The implicit output: the ellipsis, then the letters that occur once, sorted. */
static void imply(const struct einsum_equation *q, int dots, struct einsum_labels *labels)
{
    int count[EINSUM_LETTERS] = {0};
    labels->out_rank = 0;
    for (int d = dots; d > 0; d--)
        labels->out[labels->out_rank++] = (uint8_t)(EINSUM_LABELS - d);
    for (int i = 0; i < q->n; i++)
        for (int k = 0; k < q->in[i].n; k++)
            count[q->in[i].label[k]]++;
    for (int l = 0; l < EINSUM_LETTERS; l++)
        if (count[l] == 1)
            labels->out[labels->out_rank++] = (uint8_t)l;
}

int einsum_bind(const struct einsum_equation *q, const int *ranks, struct einsum_labels *labels,
                struct err *e)
{
    int most = 0;
    for (int i = 0; i < q->n; i++) {
        int dots = ranks[i] - q->in[i].n;
        if (dots < 0 || (dots > 0 && q->in[i].dots < 0))
            return err_set(e, ERR_MODEL, "operand %d has rank %d, its term %d letters%s", i, ranks[i],
                           q->in[i].n, q->in[i].dots < 0 ? "" : " and an ellipsis");
        expand(&q->in[i], dots, labels->in[i]);
        most = dots > most ? dots : most;
    }
    if (q->explicit)
        labels->out_rank = expand(&q->out, most, labels->out);
    else
        imply(q, most, labels);
    return 0;
}
