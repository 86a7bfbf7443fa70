/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/attention_core.h"

#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/softmax.h"
#include "kernels/transpose.h"
#include "kernels/unary.h"

/* Rows a block, at most; floats of its scores, where rows allow; keys of V a step; and keys to
 * whose multiple a block's first key is rounded, which keeps every score in its softmax chain. */
enum { BLOCK_ROWS = 64, BLOCK_SCORES = 1 << 18, V_KEYS = 128, KEY_ALIGN = 64, ROWS_MIN = 8 };

void attention_mask_broadcast(struct attention_mask *m, const struct tensor *t)
{
    int64_t strides[TENSOR_RANK_MAX];
    dims_strides(t->dims, t->rank, strides);
    m->t = t;
    for (int k = 0; k < t->rank; k++)
        m->step[4 - t->rank + k] = t->dims[k] == 1 ? 0 : strides[k];
}

static bool has_sink(const struct attention *a)
{
    return a->sink || a->smooth;
}

void attention_plan(struct attention *a)
{
    if (a->room_keys < a->total)
        a->room_keys = a->total;
    a->pitch = a->room_keys + (has_sink(a) ? KEY_ALIGN : 0);
    a->group = a->kv_heads ? a->heads / a->kv_heads : 0;
    a->block = BLOCK_ROWS;
    while (a->block > ROWS_MIN && a->block * a->pitch > BLOCK_SCORES)
        a->block /= 2;
    if (a->block > a->group * a->rows)
        a->block = a->group * a->rows;
    a->blocks = a->block ? (a->group * a->rows + a->block - 1) / a->block : 0;
}

int64_t attention_tasks(const struct attention *a)
{
    return a->batch * a->kv_heads * a->blocks;
}

/* ---- who sees whom --------------------------------------------------------------------------- */

static int64_t rows_of(const struct attention *a, int64_t batch)
{
    return a->pack ? a->pack[batch + 1] - a->pack[batch] : a->rows;
}

static int64_t keys_of(const struct attention *a, int64_t batch)
{
    if (a->pack)
        return rows_of(a, batch);
    return a->lengths ? tensor_int(a->lengths, batch) + a->lengths_plus : a->total;
}

/* The keys [*from, *to) that a row may see, masks apart. */
static void visible(const struct attention *a, int64_t batch, int64_t row, int64_t *from,
                    int64_t *to)
{
    int64_t keys = keys_of(a, batch), at = (a->from_end ? keys - a->rows : a->offset) + row,
            left = a->left;
    *from = 0;
    *to = keys < a->total ? keys : a->total;
    if (a->limit >= 0 && a->limit < *to)
        *to = a->limit;
    if (a->right >= 0 && a->right < a->total && at + a->right + 1 < *to)
        *to = at + a->right + 1;
    if (left >= 0 && left < at && at - left > *from)
        *from = at - left;
    if (*to < 0)
        *to = 0;
    if (*from > *to)
        *from = *to;
}

/* ---- masks and softmax ----------------------------------------------------------------------- */

/* n numbers of a mask from key `key` on, as what is added. */
static void mask_chunk(const struct attention_mask *m, struct attention_place at, int64_t key,
                       int64_t n, float *out)
{
    int64_t first = m->first + at.batch * m->step[0] + at.head * m->step[1] + at.row * m->step[2];
    if (m->step[3] == 0) {
        elems_to_f32(m->t->dtype, m->t->data, first, 1, out);
        for (int64_t i = 1; i < n; i++)
            out[i] = out[0];
    } else {
        elems_to_f32(m->t->dtype, m->t->data, first + key - m->from, n, out);
    }
    for (int64_t i = 0; i < n && m->flags; i++)
        out[i] = out[i] > 0 ? 0 : m->hidden;
}

/* Add the masks to the scores of keys [from, to); false if the row sees no key of a score above
 * -infinity. */
#define ADD_MASKS(name, type)                                                                      \
    static bool name(const struct attention *a, struct attention_place at, int64_t from,           \
                     int64_t to, type *s)                                                          \
    {                                                                                              \
        float chunk[CHUNK_ELEMS];                                                                  \
        int64_t first, last;                                                                       \
        visible(a, at.batch, at.row, &first, &last);                                               \
        for (int m = 0; m < 2 && a->masks[m].t; m++) {                                             \
            int64_t i = a->masks[m].from > from ? a->masks[m].from : from;                         \
            int64_t end = a->masks[m].to < to ? a->masks[m].to : to;                               \
            for (; i < end; i += CHUNK_ELEMS) {                                                    \
                int64_t n = end - i < CHUNK_ELEMS ? end - i : CHUNK_ELEMS;                         \
                mask_chunk(&a->masks[m], at, i, n, chunk);                                         \
                for (int64_t j = 0; j < n; j++)                                                    \
                    s[i + j] += chunk[j];                                                          \
            }                                                                                      \
        }                                                                                          \
        for (int64_t i = from; i < to && a->ends; i++)                                             \
            if (i >= a->ends[at.batch] || (a->starts && i < a->starts[at.batch]))                  \
                s[i] += a->outside;                                                                \
        for (int64_t i = from; i < to && i < first; i++)                                           \
            s[i] = -INFINITY;                                                                      \
        for (int64_t i = last > from ? last : from; i < to; i++)                                   \
            s[i] = -INFINITY;                                                                      \
        for (int64_t i = first > from ? first : from; i < to && i < last; i++)                     \
            if (s[i] != -INFINITY)                                                                 \
                return true;                                                                       \
        return false;                                                                              \
    }
ADD_MASKS(add_masks_f32, float)
ADD_MASKS(add_masks_f64, double)

/* What a row shows of itself, after it was written: nothing where it does not see. */
static void show_zeros(const struct attention *a, struct attention_place at, int64_t place)
{
    size_t each = dtype_size(a->qk->dtype);
    int64_t from, to;
    visible(a, at.batch, at.row, &from, &to);
    memset((char *)a->qk->data + (size_t)place * each, 0, (size_t)from * each);
    memset((char *)a->qk->data + (size_t)(place + to) * each, 0, (size_t)(a->total - to) * each);
}

#define SHOW(name, type, store)                                                                    \
    static void name(const struct attention *a, enum attention_show mode,                          \
                     struct attention_place at, const type *s)                                     \
    {                                                                                              \
        int64_t place = ((at.batch * a->heads + at.head) * a->rows + at.row) * a->total;           \
        if (!a->qk || a->show != mode)                                                             \
            return;                                                                                \
        store(a->qk->dtype, a->qk->data, place, a->total, s);                                      \
        if (a->unseen_zero)                                                                        \
            show_zeros(a, at, place);                                                              \
    }
SHOW(show_f32, float, elems_from_f32)
SHOW(show_f64, double, elems_from_f64)

/* Softmax over the keys [from, to). The sink stands KEY_ALIGN before the first, so that it opens a
 * chain and shifts no key to another. */
static void normalise(const struct attention *a, int64_t head, int64_t from, int64_t to, float *s)
{
    int64_t start = from;
    if (has_sink(a)) {
        start = from - KEY_ALIGN;
        for (int64_t i = start; i < from; i++)
            s[i] = -INFINITY;
        s[start] = a->sink ? (float)tensor_float(a->sink, head) : 0;
    }
    softmax_f32_pick()->rows(s + start, s + start, 1, (size_t)(to - start), false);
}

/* From raw scores to weights of the keys [from, to). False: the row sees no key, weights are 0. */
static bool weigh_f32(const struct attention *a, struct attention_place at, int64_t from,
                      int64_t to, float *s)
{
    show_f32(a, ATTENTION_RAW, at, s);
    if (a->softcap > 0) {
        for (int64_t i = from; i < to; i++)
            s[i] /= a->softcap;
        unary_f32_pick(UNARY_TANH)(s + from, s + from, (size_t)(to - from), NULL);
        for (int64_t i = from; i < to; i++)
            s[i] *= a->softcap;
    }
    show_f32(a, ATTENTION_CAPPED, at, s);
    if (a->hide)
        a->hide(a, at, from, to, s);
    bool any = add_masks_f32(a, at, from, to, s);
    show_f32(a, ATTENTION_BIASED, at, s);
    if (any)
        normalise(a, at.head, from, to, s);
    else
        memset(s + from, 0, (size_t)(to - from) * sizeof *s);
    show_f32(a, ATTENTION_WEIGHTS, at, s);
    return any;
}

static bool weigh_f64(const struct attention *a, struct attention_place at, double *s)
{
    double cap = a->softcap;
    show_f64(a, ATTENTION_RAW, at, s);
    for (int64_t i = 0; i < a->total && cap > 0; i++)
        s[i] = tanh(s[i] / cap) * cap;
    show_f64(a, ATTENTION_CAPPED, at, s);
    bool any = add_masks_f64(a, at, 0, a->total, s);
    show_f64(a, ATTENTION_BIASED, at, s);
    if (any)
        softmax_f64_axis(s, s, (size_t)a->total, 1, 0, 1, false);
    else
        memset(s, 0, (size_t)a->total * sizeof *s);
    show_f64(a, ATTENTION_WEIGHTS, at, s);
    return any;
}

/* ---- a block in f32 -------------------------------------------------------------------------- */

/* A block's part of a member's scratch. */
struct room {
    float *q, *scores, *out, *panel, *wide;
};

static size_t room_floats(const struct attention *a, const struct gemm_f32_kernel *g,
                          struct room *r, float *base)
{
    size_t block = (size_t)a->block, keys = g->nr > V_KEYS ? g->nr : V_KEYS;
    size_t most = (size_t)(a->size > a->v_size ? a->size : a->v_size);
    size_t sizes[] = {block * (size_t)a->size, block * (size_t)a->pitch, block * (size_t)a->v_size,
                      (size_t)g->nr * (size_t)a->size, keys * most};
    float **places[] = {&r->q, &r->scores, &r->out, &r->panel, &r->wide};
    size_t at = 0;
    for (int i = 0; i < 5; i++) {
        if (base)
            *places[i] = base + at;
        at += (sizes[i] + 15) / 16 * 16;
    }
    return at;
}

static struct attention_place place_of(const struct attention *a, int64_t batch, int64_t kv_head,
                                       int64_t row)
{
    return (struct attention_place){batch, kv_head * a->group + row / a->rows, row % a->rows};
}

static int64_t element(const struct attention *a, const struct attention_rows *l, int64_t batch,
                       int64_t head, int64_t row)
{
    return a->pack ? attention_element(l, 0, head, a->pack[batch] + row)
                   : attention_element(l, batch, head, row);
}

/* The batch row whose memory holds a key of `batch`. */
static int64_t beam_of(const struct attention *a, int64_t batch, int64_t key)
{
    if (!a->beams || key >= a->beam_keys)
        return batch;
    return batch - batch % a->beam_width + a->beams[batch * a->beam_row + key];
}

/* Keys (or values) [at, at + *n) of a head as f32 with row stride *stride; *n is cut at the end of
 * the past. */
static const float *keys_f32(const struct attention *a, const struct attention_rows *past,
                             const struct attention_rows *new, int64_t batch, int64_t head,
                             int64_t at, int64_t *n, int64_t size, float *wide, int64_t *stride)
{
    bool old = at < a->past;
    const struct attention_rows *l = old ? past : new;
    int64_t row = old ? at : at - a->past;
    if (old && at + *n > a->past)
        *n = a->past - at;
    *stride = l->row;
    if (l->dtype == DTYPE_F32 && !a->beams)
        return (const float *)l->data + element(a, l, batch, head, row);
    for (int64_t i = 0; i < *n; i++)
        elems_to_f32(l->dtype, l->data, element(a, l, beam_of(a, batch, at + i), head, row + i),
                     size, wide + i * size);
    *stride = size;
    return wide;
}

/* c (+)= a x b for rows of any number, over k. */
static void multiply(const struct gemm_f32_kernel *g, const float *a, int64_t a_row, const float *b,
                     int64_t b_k, float *c, int64_t c_row, int64_t m, int64_t n, int64_t k,
                     bool resume)
{
    struct gemm_f32_tile t = {.b = b,
                              .a_row = (size_t)a_row,
                              .a_k = 1,
                              .b_k = (size_t)b_k,
                              .b_panel = g->nr,
                              .c_row = (size_t)c_row,
                              .k = (size_t)k,
                              .n = (size_t)n,
                              .accumulate = resume};
    for (int64_t i = 0; i < m && n > 0; i += g->mr) {
        t.a = a + i * a_row;
        t.c = c + i * c_row;
        t.m = (unsigned)(m - i < (int64_t)g->mr ? m - i : (int64_t)g->mr);
        g->fn(&t);
    }
}

static void load_queries(const struct attention *a, int64_t batch, int64_t kv_head, int64_t first,
                         int64_t m, float *q)
{
    for (int64_t i = 0; i < m; i++) {
        struct attention_place at = place_of(a, batch, kv_head, first + i);
        elems_to_f32(a->q.dtype, a->q.data, element(a, &a->q, at.batch, at.head, at.row), a->size,
                     q + i * a->size);
        for (int64_t k = 0; k < a->size; k++)
            q[i * a->size + k] *= a->scale;
    }
}

/* The keys that some row of the block sees; all where the scores are an output. */
static void block_keys(const struct attention *a, int64_t batch, int64_t first, int64_t m,
                       int64_t *from, int64_t *to)
{
    *from = a->qk ? 0 : a->total;
    *to = a->qk ? a->total : 0;
    for (int64_t i = 0; i < m && !a->qk; i++) {
        int64_t low, high;
        visible(a, batch, (first + i) % a->rows, &low, &high);
        if (low == high)
            continue;
        *from = low < *from ? low : *from;
        *to = high > *to ? high : *to;
    }
    if (*from > *to)
        *from = *to;
    *from -= *from % KEY_ALIGN;
}

static void attend_f32(const struct attention *a, const struct gemm_f32_kernel *g, int64_t batch,
                       int64_t kv_head, int64_t first, int64_t m, const struct room *r)
{
    transpose_2d_fn *transpose = transpose_2d_pick(sizeof(float));
    float *scores = r->scores + (a->pitch - a->room_keys);
    int64_t from, to, stride;
    bool sees[BLOCK_ROWS];
    load_queries(a, batch, kv_head, first, m, r->q);
    block_keys(a, batch, first, m, &from, &to);
    for (int64_t j = from, n; j < to; j += n) {
        n = to - j < (int64_t)g->nr ? to - j : (int64_t)g->nr;
        const float *k =
            keys_f32(a, &a->past_k, &a->k, batch, kv_head, j, &n, a->size, r->wide, &stride);
        transpose(k, (size_t)stride, r->panel, g->nr, (size_t)n, (size_t)a->size);
        multiply(g, r->q, a->size, r->panel, g->nr, scores + j, a->pitch, m, n, a->size, false);
    }
    for (int64_t i = 0; i < m; i++)
        sees[i] =
            weigh_f32(a, place_of(a, batch, kv_head, first + i), from, to, scores + i * a->pitch);
    for (int64_t j = from, n; j < to; j += n) {
        n = to - j < V_KEYS ? to - j : V_KEYS;
        const float *v =
            keys_f32(a, &a->past_v, &a->v, batch, kv_head, j, &n, a->v_size, r->wide, &stride);
        multiply(g, scores + j, a->pitch, v, stride, r->out, a->v_size, m, a->v_size, n, j > from);
    }
    for (int64_t i = 0; i < m; i++) {
        struct attention_place at = place_of(a, batch, kv_head, first + i);
        if (!sees[i])
            memset(r->out + i * a->v_size, 0, (size_t)a->v_size * sizeof *r->out);
        elems_from_f32(a->y.dtype, a->y.data, element(a, &a->y, at.batch, at.head, at.row),
                       a->v_size, r->out + i * a->v_size);
    }
}

/* ---- a row in double ------------------------------------------------------------------------- */

static void key_f64(const struct attention *a, const struct attention_rows *past,
                    const struct attention_rows *new, int64_t batch, int64_t head, int64_t at,
                    int64_t size, double *out)
{
    bool old = at < a->past;
    const struct attention_rows *l = old ? past : new;
    elems_to_f64(l->dtype, l->data, element(a, l, batch, head, old ? at : at - a->past), size, out);
}

static size_t room_doubles(const struct attention *a)
{
    return (size_t)a->room_keys + 2 * (size_t)a->size + 2 * (size_t)a->v_size;
}

static void attend_f64(const struct attention *a, struct attention_place at, double *room)
{
    double *s = room, *q = s + a->total, *k = q + a->size, *v = k + a->size, *out = v + a->v_size;
    int64_t kv_head = at.head / a->group;
    elems_to_f64(a->q.dtype, a->q.data, element(a, &a->q, at.batch, at.head, at.row), a->size, q);
    for (int64_t j = 0; j < a->total; j++) {
        double sum = 0;
        key_f64(a, &a->past_k, &a->k, at.batch, kv_head, j, a->size, k);
        for (int64_t i = 0; i < a->size; i++)
            sum += q[i] * k[i];
        s[j] = sum * a->scale;
    }
    bool sees = weigh_f64(a, at, s);
    memset(out, 0, (size_t)a->v_size * sizeof *out);
    for (int64_t j = 0; j < a->total && sees; j++) {
        key_f64(a, &a->past_v, &a->v, at.batch, kv_head, j, a->v_size, v);
        for (int64_t i = 0; i < a->v_size; i++)
            out[i] += s[j] * v[i];
    }
    elems_from_f64(a->y.dtype, a->y.data, element(a, &a->y, at.batch, at.head, at.row), a->v_size,
                   out);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

size_t attention_member_bytes(const struct attention *a)
{
    struct room r = {0};
    return a->wide ? room_doubles(a) * sizeof(double)
                   : room_floats(a, gemm_f32_pick(), &r, NULL) * sizeof(float);
}

void attention_run(const struct attention *a, int64_t task, void *scratch)
{
    int64_t head = task / a->blocks, first = task % a->blocks * a->block;
    int64_t batch = head / a->kv_heads, kv_head = head % a->kv_heads;
    int64_t all = a->group * rows_of(a, batch), m = all - first < a->block ? all - first : a->block;
    const struct gemm_f32_kernel *g = gemm_f32_pick();
    struct room r = {0};
    for (int64_t i = 0; i < m && a->wide; i++)
        attend_f64(a, place_of(a, batch, kv_head, first + i), scratch);
    if (a->wide || m <= 0)
        return;
    room_floats(a, g, &r, scratch);
    attend_f32(a, g, batch, kv_head, first, m, &r);
}
