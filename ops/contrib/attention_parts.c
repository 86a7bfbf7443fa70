/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/contrib/attention_parts.h"

#include <math.h>
#include <string.h>

#include "ops/rotary.h"
#include "ops/span.h"

/* ---- shapes ---------------------------------------------------------------------------------- */

struct view view_infer(const struct infer *c, int i)
{
    if (!infer_has(c, i))
        return (struct view){.rank = -1};
    return (struct view){true, c->in[i]->type.rank, c->in[i]->type.dims};
}

struct view view_call(const struct call *c, int i)
{
    const struct tensor *t = call_in(c, i);
    return t ? (struct view){true, t->rank, t->dims} : (struct view){.rank = -1};
}

int dims_agree(struct syms *s, int64_t a, int64_t b, const char *what, struct err *e)
{
    if (!sym_differ(s, a, b))
        return 0;
    if (sym_is_number(a) && sym_is_number(b))
        return err_set(e, ERR_MODEL, "%s: %lld where %lld is expected", what, (long long)a,
                       (long long)b);
    return err_set(e, ERR_MODEL, "%s do not agree", what);
}

int rank_is(struct view v, int rank, const char *what, struct err *e)
{
    if (v.rank < 0 || v.rank == rank)
        return 0;
    return err_set(e, ERR_MODEL, "%s has rank %d, expected %d", what, v.rank, rank);
}

int head_size(struct syms *s, int64_t hidden, int64_t heads, const char *what, int64_t *size,
              struct err *e)
{
    if (sym_is_number(hidden) && hidden % heads != 0)
        return err_set(e, ERR_MODEL, "%s: %lld numbers do not make %lld heads", what,
                       (long long)hidden, (long long)heads);
    *size = sym_floor_div(s, hidden, heads);
    return 0;
}

int check_heads(int64_t heads, const char *name, struct err *e)
{
    if (heads >= 1 && heads <= INT32_MAX)
        return 0;
    return err_set(e, ERR_MODEL, "%s is %lld", name, (long long)heads);
}

int64_t scalar_infer(struct infer *c, int i)
{
    int64_t n = 0;
    const int64_t *v = infer_elems(c, i, &n);
    return v && n == 1 ? v[0] : SYM_UNKNOWN;
}

int64_t scalar_call(const struct call *c, int i)
{
    return tensor_int(call_in(c, i), 0);
}

int scalar_check(struct infer *c, int i, const char *what, struct err *e)
{
    int64_t n = 1;
    for (int k = 0; k < infer_rank(c, i); k++)
        n = sym_mul(c->syms, n, infer_dim(c, i, k));
    return infer_has(c, i) && infer_rank(c, i) >= 0 ? dims_agree(c->syms, n, 1, what, e) : 0;
}

int check_dtypes(struct infer *c, int first, uint32_t mask, const int *same, int n_same,
                 const int *ints, int n_ints, struct err *e)
{
    int rc = infer_dtypes(c, first, mask, e);
    for (int i = 0; i < n_same && rc == 0; i++)
        if (infer_has(c, same[i]))
            rc = infer_same_dtype(c, first, same[i], e);
    for (int i = 0; i < n_ints && rc == 0; i++)
        if (infer_has(c, ints[i]))
            rc = infer_dtypes(c, ints[i], DT(I32), e);
    return rc;
}

/* ---- masks ----------------------------------------------------------------------------------- */

enum mask_form {
    MASK_WRONG,
    MASK_NONE,
    MASK_ENDS,
    MASK_ENDS_STARTS,
    MASK_KEYS,
    MASK_NEW_KEYS,
    MASK_ROWS,
    MASK_SQUARE
};

static enum mask_form form_of(struct view v, const struct mask_shape *s)
{
    const int64_t *d = v.dims;
    switch (v.rank) {
    case 1:
        if (d[0] == s->batch || d[0] == 3 * s->batch + 2)
            return MASK_ENDS;
        return d[0] == 2 * s->batch ? MASK_ENDS_STARTS : MASK_WRONG;
    case 2:
        if (d[0] == s->batch && d[1] == s->total)
            return MASK_KEYS;
        if (d[0] == s->batch && d[1] == s->length)
            return MASK_NEW_KEYS;
        return (d[0] == s->batch || d[0] == 1) && d[1] == 1 ? MASK_NONE : MASK_WRONG;
    case 3:
        return d[0] == s->batch && d[1] == s->rows && d[2] == s->total ? MASK_ROWS : MASK_WRONG;
    case 4:
        return d[0] == s->batch && d[1] == 1 && d[2] == d[3] && d[2] >= s->total &&
                       s->total >= s->rows
                   ? MASK_SQUARE
                   : MASK_WRONG;
    default:
        return MASK_WRONG;
    }
}

static bool known(struct view v, const struct mask_shape *s)
{
    bool all = v.rank >= 0 && sym_is_number(s->batch) && sym_is_number(s->rows) &&
               sym_is_number(s->length) && sym_is_number(s->total);
    for (int k = 0; k < v.rank && all; k++)
        all = sym_is_number(v.dims[k]);
    return all;
}

int mask_check(struct view v, const struct mask_shape *s, struct err *e)
{
    if (!known(v, s) || form_of(v, s) != MASK_WRONG)
        return 0;
    return err_set(e, ERR_MODEL,
                   "the mask's shape is of no form known for batch %lld, %lld rows, %lld keys",
                   (long long)s->batch, (long long)s->rows, (long long)s->total);
}

int mask_bind(struct attention *a, const struct tensor *t, const struct mask_shape *s, float hidden,
              struct err *e)
{
    struct attention_mask *m = &a->masks[0];
    int rc = t ? mask_check((struct view){true, t->rank, t->dims}, s, e) : 0;
    if (!t || rc < 0)
        return rc;
    int64_t last = t->rank ? t->dims[t->rank - 1] : 0;
    switch (form_of((struct view){true, t->rank, t->dims}, s)) {
    case MASK_ENDS_STARTS:
        a->starts = (const int32_t *)t->data + s->batch;
        /* fall through */
    case MASK_ENDS:
        a->ends = t->data;
        a->outside = hidden;
        break;
    case MASK_NEW_KEYS:
        *m = (struct attention_mask){
            .t = t, .step = {last, 0, 0, 1}, .from = s->total - s->length, .to = s->total};
        break;
    case MASK_KEYS:
        *m = (struct attention_mask){.t = t, .step = {last, 0, 0, 1}, .to = s->total};
        break;
    case MASK_ROWS:
        *m = (struct attention_mask){.t = t, .step = {s->rows * last, 0, last, 1}, .to = s->total};
        break;
    case MASK_SQUARE:
        *m = (struct attention_mask){.t = t,
                                     .first = (s->total - s->rows) * last,
                                     .step = {last * last, 0, last, 1},
                                     .to = s->total};
        break;
    case MASK_NONE:
    case MASK_WRONG:
        break;
    }
    m->flags = true;
    m->hidden = hidden;
    return 0;
}

int bias_check(struct view v, const struct mask_shape *s, int64_t heads, struct err *e)
{
    int rc = rank_is(v, 4, "attention_bias", e);
    if (rc < 0 || !known(v, s))
        return rc;
    const int64_t *d = v.dims;
    if ((d[0] == s->batch || d[0] == 1) && (d[1] == heads || d[1] == 1) && d[2] == s->rows &&
        d[3] == s->total)
        return 0;
    return err_set(e, ERR_MODEL, "attention_bias is not [%lld or 1, %lld or 1, %lld, %lld]",
                   (long long)s->batch, (long long)heads, (long long)s->rows, (long long)s->total);
}

int bias_bind(struct attention *a, const struct tensor *t, const struct mask_shape *s,
              struct err *e)
{
    int rc = t ? bias_check((struct view){true, t->rank, t->dims}, s, a->heads, e) : 0;
    if (!t || rc < 0)
        return rc;
    struct attention_mask *m = &a->masks[a->masks[0].t != NULL];
    *m = (struct attention_mask){.to = s->total};
    attention_mask_broadcast(m, t);
    return 0;
}

int beams_bind(struct attention *a, const struct tensor *t, int64_t keys, struct err *e)
{
    if (!t)
        return 0;
    if (t->rank != 3 || t->dims[1] < 1 || t->dims[0] * t->dims[1] != a->batch || t->dims[2] < keys)
        return err_set(e, ERR_MODEL,
                       "cache_indirection does not tell of %lld keys of %lld batch rows",
                       (long long)keys, (long long)a->batch);
    const int32_t *beams = t->data;
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t k = 0; k < keys; k++) {
            int32_t beam = beams[b * t->dims[2] + k];
            if (beam < 0 || beam >= t->dims[1])
                return err_set(e, ERR_INPUT, "cache_indirection holds %d, outside of %lld beams",
                               (int)beam, (long long)t->dims[1]);
        }
    a->beams = beams;
    a->beam_width = t->dims[1];
    a->beam_row = t->dims[2];
    a->beam_keys = keys;
    return 0;
}

/* ---- staging --------------------------------------------------------------------------------- */

void *shelf_take(struct shelf *s, size_t elements, size_t each)
{
    void *at = s->base ? s->base + s->used : NULL;
    s->used += (elements * each + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    return at;
}

static int64_t old_of(const struct stage *s, int64_t batch)
{
    return s->lengths ? tensor_int(s->lengths, batch) + s->lengths_plus : s->old;
}

static int64_t angle_of(const struct stage *s, int64_t batch, int64_t row)
{
    const struct stage_turn *t = s->turn;
    int64_t at = old_of(s, batch) + row;
    if (t->ids)
        at = t->one_id ? tensor_int(t->ids, 0) + row : tensor_int(t->ids, batch * s->length + row);
    return at - t->first;
}

int stage_turn_check(const struct stage *s, struct err *e)
{
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t r = 0; r < s->length; r++) {
            int64_t at = angle_of(s, b, r);
            if (at < 0 || at >= s->turn->cosine->dims[0])
                return err_set(e, ERR_INPUT, "position %lld is outside of cos_cache's %lld",
                               (long long)at, (long long)s->turn->cosine->dims[0]);
        }
    return 0;
}

static void *rows_at(const struct attention_rows *l, int64_t batch, int64_t head, int64_t row)
{
    return (char *)l->data + (size_t)attention_element(l, batch, head, row) * dtype_size(l->dtype);
}

/* n rows from one place to another, unchanged but for their type. */
static void move_rows(const struct attention_rows *from, int64_t at,
                      const struct attention_rows *to, int64_t row, int64_t batch, int64_t head,
                      int64_t n, int64_t size, float *room)
{
    if (from->dtype == to->dtype && from->row == size && to->row == size) {
        memcpy(rows_at(to, batch, head, row), rows_at(from, batch, head, at),
               (size_t)(n * size) * dtype_size(to->dtype));
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (from->dtype == to->dtype) {
            memcpy(rows_at(to, batch, head, row + i), rows_at(from, batch, head, at + i),
                   (size_t)size * dtype_size(to->dtype));
            continue;
        }
        elems_to_f32(from->dtype, from->data, attention_element(from, batch, head, at + i), size,
                     room);
        elems_from_f32(to->dtype, to->data, attention_element(to, batch, head, row + i), size,
                       room);
    }
}

static void normalise(const struct stage *s, float *x, float *weight)
{
    double sum = 0;
    for (int64_t i = 0; i < s->size; i++)
        sum += (double)x[i] * x[i];
    float by = (float)(1 / sqrt(sum / (double)s->size + s->epsilon));
    elems_to_f32(s->norm->dtype, s->norm->data, 0, s->size, weight);
    for (int64_t i = 0; i < s->size; i++)
        x[i] = x[i] * by * weight[i];
}

/* A new row, finished. room: 3 * size floats. */
static void make_row(const struct stage *s, int64_t batch, int64_t head, int64_t new, int64_t row,
                     float *room)
{
    float *other = room + s->size;
    elems_to_f32(s->from.dtype, s->from.data, attention_element(&s->from, batch, head, new),
                 s->size, room);
    if (s->bias) {
        elems_to_f32(s->bias->dtype, s->bias->data, s->bias_first + head * s->size, s->size, other);
        for (int64_t i = 0; i < s->size; i++)
            room[i] += other[i];
    }
    if (s->norm)
        normalise(s, room, other);
    if (s->turn) {
        const struct stage_turn *t = s->turn;
        int64_t at = angle_of(s, batch, new) * t->columns;
        elems_to_f32(t->cosine->dtype, t->cosine->data, at, t->half, other);
        elems_to_f32(t->sine->dtype, t->sine->data, at, t->half, other + t->half);
        rotary_turn(room, other, other + t->half, t->half, t->interleaved, room);
    }
    elems_from_f32(s->to.dtype, s->to.data, attention_element(&s->to, batch, head, row), s->size,
                   room);
}

/* Rows [row, row + at most n) of a head of `to`; returns how many. */
static int64_t fill_rows(const struct stage *s, int64_t batch, int64_t head, int64_t row, int64_t n,
                         float *room)
{
    int64_t old = s->alone ? 0 : old_of(s, batch), new = row - old;
    if (row < old || (new >= s->length && s->keep && row < s->past_rows)) {
        int64_t end = row < old ? old : s->past_rows;
        n = end - row < n ? end - row : n;
        move_rows(&s->past, row, &s->to, row, batch, head, n, s->size, room);
        return n;
    }
    if (new < s->length) {
        n = s->length - new < n ? s->length - new : n;
        if (!s->bias && !s->norm && !s->turn)
            move_rows(&s->from, new, &s->to, row, batch, head, n, s->size, room);
        else
            for (int64_t i = 0; i < n; i++)
                make_row(s, batch, head, new + i, row + i, room);
        return n;
    }
    memset(rows_at(&s->to, batch, head, row), 0, (size_t)s->size * dtype_size(s->to.dtype));
    return 1;
}

static int64_t stage_units(const struct stage *s)
{
    return s->batch * s->heads * s->rows;
}

static int64_t all_units(const struct staged *s, int64_t *cost)
{
    int64_t n = 0;
    *cost = 1;
    for (int i = 0; i < s->n_stages; i++) {
        n += stage_units(&s->stages[i]);
        *cost = s->stages[i].size * 2 > *cost ? s->stages[i].size * 2 : *cost;
    }
    return n;
}

struct staging {
    struct call *c;
    const struct staged *s;
};

static int stage_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct staging *x = arg;
    int64_t cost, units = all_units(x->s, &cost), first = 0;
    struct span span = span_of(begin, end, tasks_for(units, cost), units);
    float *room = call_member_scratch(x->c, member);
    for (int i = 0; i < x->s->n_stages; i++) {
        const struct stage *s = &x->s->stages[i];
        int64_t behind = first + stage_units(s), to = span.last < behind ? span.last : behind;
        for (int64_t u = span.first > first ? span.first : first; u < to;) {
            int64_t row = (u - first) % s->rows, head = (u - first) / s->rows;
            int64_t n = s->rows - row < to - u ? s->rows - row : to - u;
            u += fill_rows(s, head / s->heads, head % s->heads, row, n, room);
        }
        first = behind;
    }
    return 0;
}

static int core_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct staging *x = arg;
    for (int64_t t = begin; t < end; t++)
        attention_run(&x->s->core, t, call_member_scratch(x->c, member));
    return 0;
}

size_t staged_member_bytes(const struct staged *s)
{
    size_t most = attention_member_bytes(&s->core);
    for (int i = 0; i < s->n_stages; i++) {
        size_t bytes = 3 * (size_t)s->stages[i].size * sizeof(float);
        most = bytes > most ? bytes : most;
    }
    return most;
}

int staged_run(struct call *c, const struct staged *s, struct err *e)
{
    struct staging x = {c, s};
    int64_t cost, units = all_units(s, &cost);
    int rc = units ? call_tasks(c, tasks_for(units, cost), stage_tasks, &x, e) : 0;
    return rc < 0 ? rc : call_tasks(c, attention_tasks(&s->core), core_tasks, &x, e);
}
