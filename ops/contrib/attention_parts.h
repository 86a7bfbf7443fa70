/* SPDX-License-Identifier: Apache-2.0 */
/* What the attention operators of com.microsoft share around ops/attention_core.h: shapes read the
 * same way on symbols and on numbers, integer masks, and staging: projected or given rows of heads
 * get their bias, norm and angles and go behind those of the past, into a present or into scratch,
 * from where the core reads them. For ops/ only.
 */
#pragma once

#include "ops/attention_core.h"

/* ---- shapes ---------------------------------------------------------------------------------- */

/* Dims of an input as infer or run know them; rank -1: absent, or unknown. */
struct view {
    bool here;
    int rank;
    const int64_t *dims;
};
struct view view_infer(const struct infer *c, int i);
struct view view_call(const struct call *c, int i);

/* ERR_MODEL, saying `what`, unless the numbers agree as far as is known. */
int dims_agree(struct syms *s, int64_t a, int64_t b, const char *what, struct err *e) WARN_UNUSED;
/* Input `what` has this rank, if it is known. */
int rank_is(struct view v, int rank, const char *what, struct err *e) WARN_UNUSED;
/* `heads` heads of `hidden` numbers: the size of one. */
int head_size(struct syms *s, int64_t hidden, int64_t heads, const char *what, int64_t *size,
              struct err *e) WARN_UNUSED;
int check_heads(int64_t heads, const char *name, struct err *e) WARN_UNUSED;

/* The one number of int32 input i: of infer (SYM_UNKNOWN where not known) and of a call. */
int64_t scalar_infer(struct infer *c, int i);
int64_t scalar_call(const struct call *c, int i);
int scalar_check(struct infer *c, int i, const char *what, struct err *e) WARN_UNUSED;
/* Input i has one of these types, if it is there; inputs of the type of `same` (-1: any) otherwise.
 */
int check_dtypes(struct infer *c, int first, uint32_t mask, const int *same, int n_same,
                 const int *ints, int n_ints, struct err *e) WARN_UNUSED;

/* ---- masks ----------------------------------------------------------------------------------- */

/* An integer mask in any of its forms: [batch] ends, [2 batch] ends and starts, [3 batch + 2]
 * lengths first, [batch, keys], [batch, rows, keys], [batch, 1, most, most], where keys are all (or
 * the new ones only); or one column, which masks nothing. mask_check() checks numbers; mask_bind()
 * also takes it up in mask 0. */
struct mask_shape {
    int64_t batch, rows, length, total;
};
int mask_check(struct view v, const struct mask_shape *s, struct err *e) WARN_UNUSED;
int mask_bind(struct attention *a, const struct tensor *t, const struct mask_shape *s, float hidden,
              struct err *e) WARN_UNUSED;
/* A bias [batch or 1, heads or 1, rows, keys], as mask 1 (or 0 if there is no mask 0). */
int bias_check(struct view v, const struct mask_shape *s, int64_t heads, struct err *e) WARN_UNUSED;
int bias_bind(struct attention *a, const struct tensor *t, const struct mask_shape *s,
              struct err *e) WARN_UNUSED;
/* Cache indirection [batch / width, width, at least `keys`]: checked and bound. */
int beams_bind(struct attention *a, const struct tensor *t, int64_t keys,
               struct err *e) WARN_UNUSED;

/* ---- staging --------------------------------------------------------------------------------- */

/* Angles of rows: row `r` of batch row `b` stands at ids[b][r], at ids[0] + r if one_id, or at its
 * place among the keys; row position - first of the caches is its. */
struct stage_turn {
    const struct tensor *cosine, *sine, *ids;
    int64_t half, columns, first;
    bool interleaved, one_id;
};

/* Rows [0, old) of every head of `to` come from `past`, `length` ones behind them from `from`;
 * further ones, up to `rows`, from the past if `keep`, or are zero. Batch row b keeps lengths[b] +
 * lengths_plus old rows. */
struct stage {
    struct attention_rows from, past, to;
    int64_t batch, heads, size, length, rows, past_rows;
    const struct tensor *lengths;
    int64_t lengths_plus, old;
    bool keep;
    bool alone;                /* the new rows go to `to` from row 0 on, without the old ones */
    const struct tensor *bias; /* [.., heads x size] from bias_first on; NULL: none */
    int64_t bias_first;
    const struct tensor *norm; /* RMS norm of a head, times this; NULL: none */
    float epsilon;
    const struct stage_turn *turn;
};

/* A call: stages first, then the core. */
struct staged {
    struct stage stages[3];
    int n_stages;
    struct stage_turn turn;
    struct attention core;
};
size_t staged_member_bytes(const struct staged *s);
int staged_run(struct call *c, const struct staged *s, struct err *e) WARN_UNUSED;
/* Every row that is turned has its angles. */
int stage_turn_check(const struct stage *s, struct err *e) WARN_UNUSED;

/* Shared scratch, taken piece by piece: with base NULL only counted. */
struct shelf {
    char *base;
    size_t used;
};
void *shelf_take(struct shelf *s, size_t elements, size_t each);
