/* SPDX-License-Identifier: Apache-2.0 */
/* Attention on actual numbers: Y = softmax(softcap(scale * Q x K') + masks) x V, head by head, for
 * every operator that has scores, weights and values.
 *
 * The query heads that share a key head are more rows of one problem. A task is a block of its
 * rows: the score rows of the block are made panel by panel of keys (K is transposed while it is
 * packed), normalised, and multiplied with V, all on the chains of kernels/gemm.h, so that a row's
 * result depends neither on the block nor on the batch. A member needs O(block x keys) of scratch.
 * f32 and 16-bit types compute in f32; `wide` computes in double on plain loops.
 *
 * The caller fills a struct attention, whose tensors it has checked, calls attention_plan(), and
 * runs the tasks on any thread. For ops/ only.
 */
#pragma once

#include "ops/common.h"

/* Rows of heads: row `r` of head `h` of batch row `b` starts at element first + b * batch + h *
 * head + r * row and is contiguous. data NULL: no rows. */
struct attention_rows {
    enum dtype dtype;
    void *data;
    int64_t first, batch, head, row;
};

/* What is added to scores: a tensor's numbers, or `hidden` where a flag is not above 0. */
struct attention_mask {
    const struct tensor *t; /* NULL: none */
    int64_t first, step[4]; /* in elements, under [batch, head, row, key] */
    int64_t from, to;       /* the keys that it tells of; its element 0 is that of key `from` */
    bool flags;
    float hidden;
};

struct attention_place {
    int64_t batch, head, row;
};

/* What the qk output shows. */
enum attention_show { ATTENTION_RAW, ATTENTION_CAPPED, ATTENTION_BIASED, ATTENTION_WEIGHTS };

struct attention {
    struct attention_rows q, y;
    struct attention_rows past_k, past_v, k, v; /* keys [0, past) and [past, total) */
    int64_t batch, heads, kv_heads, rows, past, total, size, v_size;
    int64_t room_keys;             /* at least total: what scratch is made for; 0: total */
    float scale, softcap;          /* softcap 0: none */
    bool wide;

    /* Who sees whom. Batch row b has lengths[b] + lengths_plus keys, or total of them; its query
     * row r stands at key offset + r, or if from_end, at the last rows of its keys. */
    const struct tensor *lengths;
    int64_t lengths_plus, offset;
    bool from_end;
    int64_t left, right;           /* keys on either side that are seen; -1: all */
    int64_t limit;                 /* keys from here on are seen by none; -1: none are hidden so */
    struct attention_mask masks[2];
    const int32_t *ends, *starts; /* keys at or behind the end, or before the start, */
    float outside;                /* get this added */
    /* More keys that a row does not see: score -INFINITY; of keys [from, to), s[0] being key 0's.
     */
    void (*hide)(const struct attention *a, struct attention_place at, int64_t from, int64_t to,
                 float *s);
    const void *own;

    const struct tensor *sink;     /* a score a head that has no value; or, without it, */
    bool smooth;                   /* one of 0 */
    struct tensor *qk;             /* NULL or [batch, heads, rows, total] */
    enum attention_show show;
    bool unseen_zero;              /* there, what is not seen shows as 0 */

    /* Keys before beam_keys of batch row b lie in row b - b % beam_width + beams[b * beam_row +
     * key]. */
    const int32_t *beams;
    int64_t beam_width, beam_row, beam_keys;
    /* Packed: batch row b is the rows and keys [pack[b], pack[b + 1]) of batch row 0, `rows` at
     * most. */
    const int32_t *pack;

    int64_t group, block, blocks, pitch; /* attention_plan's */
};

void attention_plan(struct attention *a);
int64_t attention_tasks(const struct attention *a);
size_t attention_member_bytes(const struct attention *a);
void attention_run(const struct attention *a, int64_t task, void *scratch);

static inline int64_t attention_element(const struct attention_rows *l, int64_t batch, int64_t head,
                                        int64_t row)
{
    return l->first + batch * l->batch + head * l->head + row * l->row;
}
/* [batch, length, heads x size], and [batch, heads, length, size]. */
static inline struct attention_rows attention_flat(const struct tensor *t, int64_t length,
                                                   int64_t heads, int64_t size)
{
    return (struct attention_rows){.dtype = t->dtype,
                                   .data = t->data,
                                   .batch = length * heads * size,
                                   .head = size,
                                   .row = heads * size};
}
static inline struct attention_rows attention_apart(const struct tensor *t, int64_t length,
                                                    int64_t heads, int64_t size)
{
    return (struct attention_rows){.dtype = t->dtype,
                                   .data = t->data,
                                   .batch = length * heads * size,
                                   .head = length * size,
                                   .row = size};
}
/* A mask that broadcasts to [batch, heads, rows, keys], telling of keys from 0 on. */
void attention_mask_broadcast(struct attention_mask *m, const struct tensor *t);
