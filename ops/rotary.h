/* SPDX-License-Identifier: Apache-2.0 */
/* Turning pairs of numbers by angles: what RotaryEmbedding of every domain and attention share. For
 * ops/ only; pure functions, any thread.
 */
#pragma once

#include "ops/common.h"

/* The first 2 * half numbers of x, in pairs (i, i + half), or (2i, 2i + 1) if interleaved. y
 * may be x. */
void rotary_turn(const float *x, const float *cosine, const float *sine, int64_t half,
                 bool interleaved, float *y);

/* A tensor [batch, heads, tokens, size], or [batch, tokens, heads x size] if flat, whose heads are
 * turned in their first `turned` numbers. */
struct rotary {
    const struct tensor *x;
    struct tensor *y; /* may lie where x does */
    int64_t rows, heads, tokens, size, turned;
    bool flat, interleaved;
};

/* Set rows, tokens and size from x, flat where x has rank 3; there `heads` is the caller's. */
void rotary_shape(struct rotary *r, int64_t heads);
int64_t rotary_tasks(const struct rotary *r);
size_t rotary_room_bytes(const struct rotary *r);
/* batch * tokens + token of a row. */
int64_t rotary_token(const struct rotary *r, int64_t row);
/* Turn a row by turned / 2 angles: elements [first, ...) of both caches. */
void rotary_row(const struct rotary *r, int64_t row, const struct tensor *cosine,
                const struct tensor *sine, int64_t first, float *room);
