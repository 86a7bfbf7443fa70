/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of ai.onnx and com.microsoft: scores, masks, weights and values of one row at a time.
 */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* Errors of the sums of q x k shift exponents by their size, about 4; then sums of weights and of
 * values. */
#define TOL 96

enum { HEAD = 64, KEYS = 512 }; /* the longest */

/* One head: keys and values by row, what is added to a score (-INFINITY: not seen). */
struct head {
    int64_t keys, size, v_size;
    double q[HEAD], score[KEYS], k[KEYS][HEAD], v[KEYS][HEAD];
};

/* y[0 .. v_size), and the magnitudes of its terms. */
static void attend(struct head *h, double by, double *y, double *scale)
{
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < h->keys; j++) {
        double s = 0;
        for (int64_t i = 0; i < h->size; i++)
            s += h->q[i] * h->k[j][i];
        h->score[j] += s * by;
        most = fmax(most, h->score[j]);
    }
    for (int64_t j = 0; j < h->keys; j++)
        sum += exp(h->score[j] - most);
    for (int64_t j = 0; j < h->keys && most > -INFINITY; j++)
        for (int64_t i = 0; i < h->v_size; i++) {
            y[i] += exp(h->score[j] - most) / sum * h->v[j][i];
            scale[i] += exp(h->score[j] - most) / sum * fabs(h->v[j][i]);
        }
}

static double at4(const struct op_tensor *t, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return t->v[((a * t->dims[1] + b) * t->dims[2] + c) * t->dims[3] + d];
}

/* [batch, rows, heads x size] at head h. */
static double flat(const struct op_tensor *t, int64_t b, int64_t row, int64_t at)
{
    return t->v[(b * t->dims[1] + row) * t->dims[2] + at];
}

/* The number of a mask that broadcasts to [batch, heads, rows, keys]. */
static double mask_at(const struct op_tensor *t, int64_t b, int64_t h, int64_t row, int64_t key)
{
    int64_t index[4] = {b, h, row, key};
    return t->v[op_place(t, index, 4)];
}

/* ---- ai.onnx --------------------------------------------------------------------------------- */

static void plain(struct op_run *r)
{
    static struct head one;
    const struct op_tensor *q = &r->in[0], *k = &r->in[1], *v = &r->in[2];
    int64_t group = k->dims[1] ? q->dims[1] / k->dims[1] : 1,
            past = op_has(r, 4) ? r->in[4].dims[2] : 0;
    int64_t dims[4] = {q->dims[0], q->dims[1], q->dims[2], v->dims[3]};
    struct op_tensor *y = op_out(r, 0, q->dtype, 4, dims);
    double *scale = op_scale(y);
    for (int64_t n = 0; n < q->dims[0] * q->dims[1] * q->dims[2]; n++) {
        int64_t b = n / q->dims[2] / q->dims[1], h = n / q->dims[2] % q->dims[1],
                row = n % q->dims[2];
        one.keys = past + k->dims[2];
        one.size = q->dims[3];
        one.v_size = v->dims[3];
        for (int64_t i = 0; i < one.size; i++)
            one.q[i] = at4(q, b, h, row, i);
        for (int64_t j = 0; j < one.keys; j++) {
            one.score[j] = op_has(r, 3) ? mask_at(&r->in[3], b, h, row, j) : 0;
            if (op_int(r, "is_causal", 0) && j > past + row)
                one.score[j] = -INFINITY;
            for (int64_t i = 0; i < one.size; i++)
                one.k[j][i] = j < past ? at4(&r->in[4], b, h / group, j, i)
                                       : at4(k, b, h / group, j - past, i);
            for (int64_t i = 0; i < one.v_size; i++)
                one.v[j][i] = j < past ? at4(&r->in[5], b, h / group, j, i)
                                       : at4(v, b, h / group, j - past, i);
        }
        attend(&one, 1 / sqrt((double)one.size), y->v + n * one.v_size, scale + n * one.v_size);
    }
}

static const struct op_case plain_rows[] = {
    {"Attention", .in = "T[B,2,5,8] T[B,2,7,8] T[B,2,7,4]", .types = "f32 f16 bf16", .ref = plain,
     .tol = TOL},
    {"Attention", .attrs = "is_causal=1", .in = "f32[B,4,70,16] f32[B,2,70,16] f32[B,2,70,16]",
     .ref = plain, .tol = TOL},
    {"Attention", .attrs = "is_causal=1",
     .in = "f32[B,2,3,8] f32[B,2,3,8] f32[B,2,3,8] f32[1,1,3,300] "
           "f32[B,2,297,8] f32[B,2,297,8]",
     .ref = plain, .tol = TOL},
};

/* ---- MultiHeadAttention ---------------------------------------------------------------------- */

static double biased(const struct op_run *r, int part, int64_t b, int64_t row, int64_t at)
{
    const struct op_tensor *t = &r->in[part];
    int64_t before = part ? r->in[0].dims[2] + (part - 1) * r->in[1].dims[2] : 0;
    return flat(t, b, row, at) + (op_has(r, 3) ? r->in[3].v[before + at] : 0);
}

static void heads(struct op_run *r)
{
    static struct head one;
    const struct op_tensor *q = &r->in[0], *k = &r->in[1], *v = &r->in[2], *mask = &r->in[4];
    int64_t n = op_int(r, "num_heads", 1), rows = q->dims[1],
            past = op_has(r, 6) ? r->in[6].dims[2] : 0;
    int64_t dims[3] = {q->dims[0], rows, v->dims[2]};
    struct op_tensor *y = op_out(r, 0, q->dtype, 3, dims);
    double *scale = op_scale(y);
    one.size = q->dims[2] / n;
    one.v_size = v->dims[2] / n;
    one.keys = past + k->dims[1];
    for (int64_t u = 0; u < q->dims[0] * rows * n; u++) {
        int64_t b = u / n / rows, row = u / n % rows, h = u % n;
        for (int64_t i = 0; i < one.size; i++)
            one.q[i] = biased(r, 0, b, row, h * one.size + i);
        for (int64_t j = 0; j < one.keys; j++) {
            one.score[j] = op_has(r, 5) ? mask_at(&r->in[5], b, h, row, j) : 0;
            if (op_has(r, 4) &&
                (mask->rank == 1 ? j >= mask->v[b] : mask->v[b * one.keys + j] <= 0))
                one.score[j] += -10000;
            if (op_int(r, "unidirectional", 0) && j > past + row)
                one.score[j] = -INFINITY;
            for (int64_t i = 0; i < one.size; i++)
                one.k[j][i] = j < past ? at4(&r->in[6], b, h, j, i)
                                       : biased(r, 1, b, j - past, h * one.size + i);
            for (int64_t i = 0; i < one.v_size; i++)
                one.v[j][i] = j < past ? at4(&r->in[7], b, h, j, i)
                                       : biased(r, 2, b, j - past, h * one.v_size + i);
        }
        attend(&one, 1 / sqrt((double)one.size), y->v + u * one.v_size, scale + u * one.v_size);
    }
}

#define MS .domain = "com.microsoft"
static const struct op_case heads_rows[] = {
    {"MultiHeadAttention", MS, .attrs = "num_heads=2", .in = "T[B,5,16] T[B,7,16] T[B,7,8]",
     .types = "f32 f16 bf16", .ref = heads, .tol = TOL},
    {"MultiHeadAttention", MS, .attrs = "num_heads=2",
     .in = "T[B,5,16] T[B,7,16] T[B,7,8] T[40] i32[B]=5,3,7 T[1,2,5,7]", .types = "f32 f16",
     .ref = heads, .tol = TOL},
    {"MultiHeadAttention", MS, .attrs = "num_heads=2 unidirectional=1",
     .in = "f32[B,3,16] f32[B,3,16] f32[B,3,16] f32[48] - - f32[B,2,297,8] f32[B,2,297,8]",
     .ref = heads, .tol = TOL},
    {"MultiHeadAttention", MS, .attrs = "num_heads=1",
     .in = "f32[B,130,32] f32[B,200,32] f32[B,200,32] - i32[B,200]=1,1,0,1", .ref = heads,
     .tol = TOL},
};

/* ---- Attention of com.microsoft -------------------------------------------------------------- */

static double projected(const struct op_run *r, int64_t b, int64_t row, int64_t column)
{
    const struct op_tensor *w = &r->in[1];
    double sum = op_has(r, 2) ? r->in[2].v[column] : 0;
    for (int64_t i = 0; i < w->dims[0]; i++)
        sum += flat(&r->in[0], b, row, i) * w->v[i * w->dims[1] + column];
    return sum;
}

static void merged(struct op_run *r)
{
    static struct head one;
    const struct op_tensor *x = &r->in[0], *mask = &r->in[3];
    int64_t n = op_int(r, "num_heads", 1), rows = x->dims[1], hidden = r->in[1].dims[1] / 3;
    int64_t dims[3] = {x->dims[0], rows, hidden};
    struct op_tensor *y = op_out(r, 0, x->dtype, 3, dims);
    double *scale = op_scale(y);
    one.size = one.v_size = hidden / n;
    one.keys = rows;
    for (int64_t u = 0; u < x->dims[0] * rows * n; u++) {
        int64_t b = u / n / rows, row = u / n % rows, h = u % n;
        for (int64_t i = 0; i < one.size; i++)
            one.q[i] = projected(r, b, row, h * one.size + i);
        for (int64_t j = 0; j < one.keys; j++) {
            one.score[j] = op_has(r, 3) && mask->v[b * rows + j] <= 0 ? -10000 : 0;
            if (op_int(r, "unidirectional", 0) && j > row)
                one.score[j] = -INFINITY;
            for (int64_t i = 0; i < one.size; i++) {
                one.k[j][i] = projected(r, b, j, hidden + h * one.size + i);
                one.v[j][i] = projected(r, b, j, 2 * hidden + h * one.size + i);
            }
        }
        attend(&one, 1 / sqrt((double)one.size), y->v + u * one.size, scale + u * one.size);
        for (int64_t i = 0; i < one.size; i++)
            scale[u * one.size + i] += 1; /* the products' own errors */
    }
}

static const struct op_case merged_rows[] = {
    {"Attention", MS, .attrs = "num_heads=2", .in = "T[B,6,10] T[10,48] T[48] i32[B,6]=1,1,0,1,1",
     .types = "f32 f16 bf16", .ref = merged, .tol = TOL},
    {"Attention", MS, .attrs = "num_heads=2 unidirectional=1", .in = "f32[B,70,24] f32[24,48]",
     .ref = merged, .tol = TOL},
};

/* ---- GroupQueryAttention --------------------------------------------------------------------- */

/* Number i of head at `from`, turned to position `at` by caches 7 and 8. */
static double turned(const struct op_run *r, const double *from, int64_t size, int64_t i,
                     int64_t at)
{
    if (!op_int(r, "do_rotary", 0))
        return from[i];
    int64_t half = size / 2, angle = at * half + i % half;
    double c = r->in[7].v[angle], s = r->in[8].v[angle];
    return i < half ? from[i] * c - from[i + half] * s : from[i] * c + from[i - half] * s;
}

static void groups(struct op_run *r)
{
    static struct head one;
    const struct op_tensor *q = &r->in[0], *k = &r->in[1], *v = &r->in[2];
    int64_t n = op_int(r, "num_heads", 1), kv = op_int(r, "kv_num_heads", 1), rows = q->dims[1];
    int64_t window = op_int(r, "local_window_size", -1), size = q->dims[2] / n,
            total = (int64_t)r->in[6].v[0];
    struct op_tensor *y = op_out_like(r, 0, 0);
    double *scale = op_scale(y);
    one.size = one.v_size = size;
    for (int64_t u = 0; u < q->dims[0] * rows * n; u++) {
        int64_t b = u / n / rows, row = u / n % rows, h = u % n, g = h / (n / kv);
        int64_t keys = (int64_t)r->in[5].v[b] + 1, past = rows == total ? 0 : keys - rows;
        one.keys = keys;
        for (int64_t i = 0; i < size; i++)
            one.q[i] =
                turned(r, q->v + (b * rows + row) * n * size + h * size, size, i, past + row);
        for (int64_t j = 0; j < keys; j++) {
            bool hidden = j > past + row || (window > 0 && j <= past + row - window);
            int64_t new = ((b * rows + j - past) * kv + g) * size;
            one.score[j] = hidden ? -INFINITY : 0;
            for (int64_t i = 0; i < size; i++) {
                one.k[j][i] =
                    j < past ? at4(&r->in[3], b, g, j, i) : turned(r, k->v + new, size, i, j);
                one.v[j][i] = j < past ? at4(&r->in[4], b, g, j, i) : v->v[new + i];
            }
        }
        attend(&one, 1 / sqrt((double)size), y->v + u * size, scale + u * size);
    }
}

static const struct op_case groups_rows[] = {
    {"GroupQueryAttention", MS, .attrs = "num_heads=4 kv_num_heads=2",
     .in = "T[B,5,32] T[B,5,16] T[B,5,16] - - i32[B]=4,2,3 i32[1]=5", .types = "f32 f16",
     .ref = groups, .tol = TOL},
    {"GroupQueryAttention", MS, .attrs = "num_heads=4 kv_num_heads=2 do_rotary=1",
     .in = "f32[B,1,64] f32[B,1,32] f32[B,1,32] f32[B,2,299,16] f32[B,2,299,16] i32[B]=299,170,3 "
           "i32[1]=300 "
           "f32[300,8] f32[300,8]",
     .ref = groups, .tol = TOL},
    {"GroupQueryAttention", MS, .attrs = "num_heads=2 kv_num_heads=1 local_window_size=70",
     .in = "f32[B,150,32] f32[B,150,16] f32[B,150,16] - - i32[B]=149 i32[1]=150", .ref = groups,
     .tol = TOL},
};

OP_MAIN("attention", OP_TABLE(plain_rows), OP_TABLE(heads_rows), OP_TABLE(merged_rows),
        OP_TABLE(groups_rows))
