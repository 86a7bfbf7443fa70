/* SPDX-License-Identifier: Apache-2.0 */
/* Einsum's equations: reading one, and giving every dim of every operand its label.
 *
 * A label is a number: 0..25 are A..Z, 26..51 are a..z, and the last TENSOR_RANK_MAX ones are the dims
 * that an ellipsis stands for, counted from the right as broadcasting does, so that equal dims of
 * different operands meet. Increasing labels are thus the order of an implicit output, but for the
 * ellipsis, which comes first. Pure functions, any thread.
 */
#pragma once

#include "ops/common.h"

enum { EINSUM_LETTERS = 52, EINSUM_LABELS = EINSUM_LETTERS + TENSOR_RANK_MAX, EINSUM_OPERANDS = 32 };

/* The letters of one operand as written; dots: the place before which the ellipsis stands, or -1. */
struct einsum_term {
    int n, dots;
    uint8_t label[TENSOR_RANK_MAX];
};

struct einsum_equation {
    int n; /* operands */
    bool explicit;
    struct einsum_term in[EINSUM_OPERANDS], out;
};

/* Read the equation; ERR_MODEL tells what is wrong and where. */
int einsum_parse(struct str text, struct einsum_equation *q, struct err *e) WARN_UNUSED;

/* Labels dim by dim: operand i has ranks[i] of them, the output *out_rank. */
struct einsum_labels {
    uint8_t in[EINSUM_OPERANDS][TENSOR_RANK_MAX];
    uint8_t out[EINSUM_LABELS];
    int out_rank;
};

int einsum_bind(const struct einsum_equation *q, const int *ranks, struct einsum_labels *labels,
                struct err *e) WARN_UNUSED;
