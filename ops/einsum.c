/* SPDX-License-Identifier: Apache-2.0 */
/* Einsum: operands are contracted pair by pair from the left.
 *
 * Labels that one operand has alone and the output lacks are summed first. A pair is then a batch of
 * products over its labels,
 *     batch: in both and needed later    K: in both, summed now    M: only in A    N: only in B
 * run by ops/product.h on strides, after a copy where strides do not merge; a pair without K, or
 * without both M and N, is a plain loop. Which way is taken follows from the equation alone, never
 * from sizes, so that a row of a batch equals the row alone. Types narrower than 32 bits compute in
 * f32 or u32 (integers wrap) and are narrowed once at the end. */
#include <string.h>

#include "ops/einsum_equation.h"
#include "ops/layout.h"
#include "ops/product.h"

#define DT_EINSUM (DT_FLOATS | DT_INTS)

struct attrs_einsum {
    struct str equation;
};

static const struct attr einsum_attrs[] = {
    {"equation", ATTR_STRING, offsetof(struct attrs_einsum, equation), .required = true},
    {0},
};

/* ---- inference -------------------------------------------------------------------------------- */

/* Let a label have this dim, broadcasting with those that it met. */
static int meet(struct infer *c, int64_t *have, int64_t dim, int operand, struct err *e)
{
    int64_t both = sym_broadcast(c->syms, *have, dim);
    if (sym_is_unknown(both) && sym_is_number(*have) && sym_is_number(dim))
        return err_set(e, ERR_MODEL, "operand %d: dim %lld meets %lld under one letter", operand,
                       (long long)dim, (long long)*have);
    *have = both;
    return 0;
}

static int einsum_infer(struct infer *c, struct err *e)
{
    const struct attrs_einsum *at = c->attrs;
    struct einsum_equation q;
    struct einsum_labels labels;
    int ranks[EINSUM_OPERANDS];
    int64_t dim[EINSUM_LABELS], dims[EINSUM_LABELS];
    int rc = einsum_parse(at->equation, &q, e);
    if (rc == 0 && q.n != c->n_in)
        rc = err_set(e, ERR_MODEL, "the equation has %d operands, the node %d", q.n, c->n_in);
    bool known = true;
    for (int i = 0; i < c->n_in && rc == 0; i++) {
        rc = infer_dtypes(c, i, DT_EINSUM, e);
        if (rc == 0)
            rc = infer_same_dtype(c, 0, i, e);
        if (rc < 0)
            return rc;
        ranks[i] = infer_rank(c, i);
        known = known && ranks[i] >= 0;
    }
    if (rc == 0 && !known)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rc == 0)
        rc = einsum_bind(&q, ranks, &labels, e);
    for (int l = 0; l < EINSUM_LABELS; l++)
        dim[l] = 1;
    for (int i = 0; i < c->n_in && rc == 0; i++)
        for (int k = 0; k < ranks[i] && rc == 0; k++)
            rc = meet(c, &dim[labels.in[i][k]], infer_dim(c, i, k), i, e);
    if (rc < 0)
        return rc;
    for (int k = 0; k < labels.out_rank; k++)
        dims[k] = dim[labels.out[k]];
    return infer_set(c, 0, infer_dtype(c, 0), labels.out_rank, dims, e);
}

/* ---- operands --------------------------------------------------------------------------------- */

/* A strided view; every label at most once (a repeated letter is the sum of its strides). */
struct operand {
    const void *data;
    int rank;
    uint8_t label[EINSUM_LABELS];
    int64_t stride[EINSUM_LABELS]; /* by label; 0 where absent or broadcast */
    uint64_t has;                  /* bit: the label is there */
};

/* One run, or (dry) the sizing of one: the same steps, but nothing is computed. */
struct work {
    struct call *call;
    bool dry;
    enum dtype dtype; /* that computes */
    int64_t dim[EINSUM_LABELS];
    struct parts parts;
    size_t member;
    struct err *e;
};

static uint64_t bit(int label)
{
    return UINT64_C(1) << label;
}

static enum dtype computes(enum dtype t)
{
    if (dtype_is_float(t))
        return t == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    return dtype_size(t) == 8 ? DTYPE_U64 : DTYPE_U32;
}

/* Room for n elements of the type that computes. */
static int take(struct work *w, int64_t n, void **out)
{
    *out = n < 0 ? NULL : parts_take(&w->parts, (size_t)n, dtype_size(w->dtype));
    if (n < 0 || w->parts.bytes == SIZE_MAX)
        return err_set(w->e, ERR_LIMIT, "an intermediate result would be too large");
    return 0;
}

static int count_labels(const struct work *w, const uint8_t *labels, int n, int64_t *count)
{
    *count = 1;
    for (int i = 0; i < n; i++)
        if (w->dim[labels[i]] == 0) {
            *count = 0;
            return 0;
        }
    for (int i = 0; i < n; i++)
        if (__builtin_mul_overflow(*count, w->dim[labels[i]], count))
            return err_set(w->e, ERR_LIMIT, "an intermediate result would be too large");
    return 0;
}

/* A contiguous operand of these labels. */
static void dense(const struct work *w, struct operand *o, const uint8_t *labels, int n, const void *data)
{
    *o = (struct operand){.data = data, .rank = n};
    int64_t step = 1;
    for (int i = n - 1; i >= 0; i--) {
        o->label[i] = labels[i];
        o->has |= bit(labels[i]);
        o->stride[labels[i]] = w->dim[labels[i]] == 1 ? 0 : step;
        if (__builtin_mul_overflow(step, w->dim[labels[i]], &step))
            step = 0;
    }
}

static void view(struct operand *o, const struct tensor *t, const uint8_t *labels)
{
    int64_t strides[TENSOR_RANK_MAX];
    *o = (struct operand){.data = t->data};
    dims_strides(t->dims, t->rank, strides);
    for (int k = 0; k < t->rank; k++) {
        if (!(o->has & bit(labels[k])))
            o->label[o->rank++] = labels[k];
        o->has |= bit(labels[k]);
        o->stride[labels[k]] += t->dims[k] == 1 ? 0 : strides[k];
    }
}

/* ---- widening and narrowing ------------------------------------------------------------------- */

struct convert {
    const void *in;
    void *out;
    enum dtype from, to;
    int64_t n, tasks;
};

static int convert_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct convert *v = arg;
    struct span s = span_of(begin, end, v->tasks, v->n);
    int64_t ints[CHUNK_ELEMS];
    for (int64_t i = s.first; i < s.last; i += CHUNK_ELEMS) {
        int64_t n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        if (v->to == DTYPE_F32) {
            elems_to_f32(v->from, v->in, i, n, (float *)v->out + i);
        } else if (v->from == DTYPE_F32) {
            elems_from_f32(v->to, v->out, i, n, (const float *)v->in + i);
        } else {
            size_t size = dtype_size(v->to);
            elems_to_i64(v->from, v->in, i, n, ints);
            for (int64_t k = 0; k < n; k++) /* low bytes first: the value modulo its width */
                memcpy((char *)v->out + (size_t)(i + k) * size, &ints[k], size);
        }
    }
    return 0;
}

static int convert(struct work *w, const void *in, enum dtype from, void *out, enum dtype to, int64_t n)
{
    struct convert v = {in, out, from, to, n, tasks_for(n, 1)};
    return w->dry ? 0 : call_tasks(w->call, v.tasks, convert_tasks, &v, w->e);
}

/* ---- sums and copies -------------------------------------------------------------------------- */

/* out[i] = sum over the inner dims of a (times b where it is there). */
struct sum {
    enum dtype dtype;
    const void *a, *b;
    void *out;
    int rank, inner; /* dims of out; dims that are summed, behind them */
    int64_t dims[EINSUM_LABELS], a_step[EINSUM_LABELS], b_step[EINSUM_LABELS];
    int64_t n, tasks;
};

/* The sum at one place: dims from `k` on. f32 sums in double. */
#define SUM(name, type, acc)                                                                       \
    static acc name(const struct sum *s, int k, const type *a, const type *b)                      \
    {                                                                                              \
        acc total = 0;                                                                             \
        if (k == s->rank + s->inner)                                                               \
            return b ? (acc)*a * (acc)*b : (acc)*a;                                                \
        int64_t n = s->dims[k], da = s->a_step[k], db = s->b_step[k];                              \
        if (k + 1 < s->rank + s->inner)                                                            \
            for (int64_t i = 0; i < n; i++)                                                        \
                total += name(s, k + 1, a + i * da, b ? b + i * db : NULL);                        \
        else if (b)                                                                                \
            for (int64_t i = 0; i < n; i++)                                                        \
                total += (acc)a[i * da] * (acc)b[i * db];                                          \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                        \
                total += (acc)a[i * da];                                                           \
        return total;                                                                              \
    }                                                                                              \
    static void name##_row(const struct sum *s, const void *a, const void *b, void *out, int64_t n)\
    {                                                                                              \
        const type *x = a, *y = b;                                                                 \
        type *o = out;                                                                             \
        int64_t da = s->rank ? s->a_step[s->rank - 1] : 0, db = s->rank ? s->b_step[s->rank - 1] : 0; \
        if (!s->inner && y)                                                                        \
            for (int64_t i = 0; i < n; i++)                                                        \
                o[i] = x[i * da] * y[i * db];                                                      \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                        \
                o[i] = (type)name(s, s->rank, x + i * da, y ? y + i * db : NULL);                  \
    }
SUM(sum_f32, float, double)
SUM(sum_f64, double, double)
SUM(sum_u32, uint32_t, uint32_t)
SUM(sum_u64, uint64_t, uint64_t)

/* Elements [first, last) of the output, by rows of its last dim. */
static int sum_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct sum *s = arg;
    struct span p = span_of(begin, end, s->tasks, s->n);
    size_t size = dtype_size(s->dtype);
    int64_t row = s->rank ? s->dims[s->rank - 1] : 1;
    for (int64_t i = p.first; i < p.last;) {
        int64_t in_row = i % row, n = row - in_row < p.last - i ? row - in_row : p.last - i;
        int64_t at_a = 0, at_b = 0, rest = i;
        for (int k = s->rank - 1; k >= 0; k--) {
            at_a += rest % s->dims[k] * s->a_step[k];
            at_b += rest % s->dims[k] * s->b_step[k];
            rest /= s->dims[k];
        }
        const void *a = (const char *)s->a + (ptrdiff_t)at_a * (ptrdiff_t)size;
        const void *b = s->b ? (const char *)s->b + (ptrdiff_t)at_b * (ptrdiff_t)size : NULL;
        void *out = (char *)s->out + (size_t)i * size;
        if (s->dtype == DTYPE_F32)
            sum_f32_row(s, a, b, out, n);
        else if (s->dtype == DTYPE_F64)
            sum_f64_row(s, a, b, out, n);
        else if (s->dtype == DTYPE_U32)
            sum_u32_row(s, a, b, out, n);
        else
            sum_u64_row(s, a, b, out, n);
        i += n;
    }
    return 0;
}

/* The dims of a sum: the output's labels, then the labels of `inner`. */
static void sum_dims(const struct work *w, struct sum *s, const struct operand *a, const struct operand *b,
                     const uint8_t *labels, int n, uint64_t inner)
{
    s->rank = s->inner = 0;
    for (int i = 0; i < n + a->rank; i++) {
        int l = i < n ? labels[i] : a->label[i - n];
        if (i >= n && !(inner & bit(l)))
            continue;
        int k = s->rank + s->inner;
        s->dims[k] = w->dim[l];
        s->a_step[k] = a->stride[l];
        s->b_step[k] = b ? b->stride[l] : 0;
        *(i < n ? &s->rank : &s->inner) += 1;
    }
}

static int run_sum(struct work *w, const struct operand *a, const struct operand *b, const uint8_t *labels,
                   int n, uint64_t inner, void *out)
{
    struct sum s = {.dtype = w->dtype, .a = a->data, .b = b ? b->data : NULL, .out = out};
    sum_dims(w, &s, a, b, labels, n, inner);
    int64_t each = 1;
    for (int k = s.rank; k < s.rank + s.inner; k++)
        if (__builtin_mul_overflow(each, s.dims[k], &each))
            each = INT64_MAX;
    int rc = count_labels(w, labels, n, &s.n);
    if (rc < 0 || w->dry || s.n == 0)
        return rc;
    s.tasks = tasks_for(s.n, each > 0 ? each : 1);
    return call_tasks(w->call, s.tasks, sum_tasks, &s, w->e);
}

struct moving {
    struct move m;
    const void *in;
    void *out;
    int64_t n, tasks;
};

static int move_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct moving *v = arg;
    struct span s = span_of(begin, end, v->tasks, v->n);
    move_run(&v->m, v->in, v->out, s.first, s.last);
    return 0;
}

/* Write `o` into `out` with these labels in this order; labels that it has besides are summed. */
static int arrange(struct work *w, const struct operand *o, const uint8_t *labels, int n, void *out)
{
    uint64_t rest = o->has;
    int64_t dims[EINSUM_LABELS], strides[EINSUM_LABELS];
    for (int i = 0; i < n; i++) {
        rest &= ~bit(labels[i]);
        dims[i] = w->dim[labels[i]];
        strides[i] = o->stride[labels[i]];
    }
    if (rest || n > MOVE_RANK)
        return run_sum(w, o, NULL, labels, n, rest, out);
    struct moving v = {.in = o->data, .out = out};
    int rc = count_labels(w, labels, n, &v.n);
    if (rc < 0 || w->dry || v.n == 0)
        return rc;
    move_init(&v.m, dtype_size(w->dtype), n, dims, strides);
    v.tasks = tasks_for(v.n, 1);
    return call_tasks(w->call, v.tasks, move_tasks, &v, w->e);
}

/* The same as a dense operand in scratch. */
static int arranged(struct work *w, struct operand *o, const uint8_t *labels, int n)
{
    int64_t count;
    void *out;
    int rc = count_labels(w, labels, n, &count);
    if (rc == 0)
        rc = take(w, count, &out);
    if (rc == 0)
        rc = arrange(w, o, labels, n, out);
    if (rc == 0)
        dense(w, o, labels, n, out);
    return rc;
}

/* ---- pairs ------------------------------------------------------------------------------------ */

/* Labels of o that are in `in` and not in `out`, those of the final output's order first. */
static int pick(const struct operand *o, uint64_t in, uint64_t out, const struct einsum_labels *final,
                uint8_t *labels)
{
    int n = 0;
    uint64_t want = o->has & in & ~out;
    for (int i = 0; i < final->out_rank; i++)
        if (want & bit(final->out[i]))
            labels[n++] = final->out[i];
    for (int i = 0; i < n; i++)
        want &= ~bit(labels[i]);
    for (int i = 0; i < o->rank; i++)
        if (want & bit(o->label[i]))
            labels[n++] = o->label[i];
    return n;
}

/* The one stride by which these labels walk an operand together; false if there is none. */
static bool merge(const struct work *w, const struct operand *o, const uint8_t *labels, int n,
                  int64_t *stride)
{
    bool any = false;
    int64_t next = 0;
    *stride = 1;
    for (int i = n - 1; i >= 0; i--) {
        int64_t dim = w->dim[labels[i]], step = o->stride[labels[i]];
        if (dim == 1)
            continue;
        if (any && step != next)
            return false;
        if (!any)
            *stride = step;
        any = true;
        if (__builtin_mul_overflow(step, dim, &next))
            return false;
    }
    return true;
}

struct pair {
    uint8_t batch[EINSUM_LABELS], m[EINSUM_LABELS], n[EINSUM_LABELS], k[EINSUM_LABELS];
    int batches, ms, ns, ks;
};

static int product_part(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    void *const *v = arg;
    product_run(v[0], begin, end, call_member_scratch(v[1], member));
    return 0;
}

/* Copy an operand to [batch, rows, cols] unless its strides do; they are returned. */
static int matrix(struct work *w, struct operand *o, const struct pair *p, const uint8_t *rows, int n_rows,
                  const uint8_t *cols, int n_cols, bool dense_cols, int64_t *row, int64_t *col)
{
    if (merge(w, o, rows, n_rows, row) && merge(w, o, cols, n_cols, col) &&
        (!dense_cols || *col == 1) && p->batches <= TENSOR_RANK_MAX)
        return 0;
    uint8_t labels[EINSUM_LABELS];
    int n = 0;
    for (int i = 0; i < p->batches; i++)
        labels[n++] = p->batch[i];
    for (int i = 0; i < n_rows; i++)
        labels[n++] = rows[i];
    for (int i = 0; i < n_cols; i++)
        labels[n++] = cols[i];
    int rc = arranged(w, o, labels, n);
    if (rc < 0)
        return rc;
    if (!merge(w, o, rows, n_rows, row) || !merge(w, o, cols, n_cols, col))
        return err_set(w->e, ERR_LIMIT, "an intermediate result would be too large");
    return 0;
}

static int run_product(struct work *w, struct operand *a, struct operand *b, const struct pair *p, void *out)
{
    struct product x = {.dtype = w->dtype, .kernel = gemm_f32_pick(), .c = out, .batch = 1,
                        .epilogue = GEMM_EPILOGUE_NONE};
    int rc = matrix(w, a, p, p->m, p->ms, p->k, p->ks, false, &x.a_row, &x.a_k);
    if (rc == 0)
        rc = matrix(w, b, p, p->k, p->ks, p->n, p->ns, true, &x.b_k, &x.b_n);
    if (rc == 0)
        rc = count_labels(w, p->m, p->ms, &x.m);
    if (rc == 0)
        rc = count_labels(w, p->n, p->ns, &x.n);
    if (rc == 0)
        rc = count_labels(w, p->k, p->ks, &x.k);
    if (rc == 0)
        rc = count_labels(w, p->batch, p->batches, &x.batch);
    if (rc < 0)
        return rc;
    x.a = a->data;
    x.b = b->data;
    if (p->batches <= TENSOR_RANK_MAX) {
        x.batch_rank = p->batches;
        for (int i = 0; i < p->batches; i++) {
            x.batch_dims[i] = w->dim[p->batch[i]];
            x.a_batch[i] = a->stride[p->batch[i]];
            x.b_batch[i] = b->stride[p->batch[i]];
        }
    } else { /* both were copied */
        x.batch_rank = 1;
        x.batch_dims[0] = x.batch;
        x.a_batch[0] = x.m * x.k;
        x.b_batch[0] = x.k * x.n;
    }
    size_t member = product_scratch(&x);
    w->member = member > w->member ? member : w->member;
    int64_t tasks = product_tasks(&x);
    void *arg[] = {&x, w->call};
    return w->dry || tasks == 0 ? 0 : call_tasks(w->call, tasks, product_part, arg, w->e);
}

/* Does the output's first label that only one of the two has belong to b? */
static bool swapped(const struct operand *a, const struct operand *b, const struct einsum_labels *final)
{
    for (int i = 0; i < final->out_rank; i++) {
        bool in_a = a->has & bit(final->out[i]), in_b = b->has & bit(final->out[i]);
        if (in_a != in_b)
            return in_b;
    }
    return false;
}

/* a becomes the contraction of a and b; `keep` are the labels needed later. out: where the final result
 * goes, if this may be it. */
static int contract(struct work *w, struct operand *a, struct operand *b, uint64_t keep,
                    const struct einsum_labels *final, void *out)
{
    struct pair p;
    if (swapped(a, b, final)) {
        struct operand t = *a;
        *a = *b;
        *b = t;
    }
    p.batches = pick(a, b->has & keep, 0, final, p.batch);
    p.ms = pick(a, ~b->has, 0, final, p.m);
    p.ns = pick(b, ~a->has, 0, final, p.n);
    p.ks = pick(a, b->has, keep, final, p.k);
    bool plain = p.ks == 0 || (p.ms == 0 && p.ns == 0);
    uint8_t labels[EINSUM_LABELS];
    int n = 0;
    for (int i = 0; i < p.batches; i++)
        labels[n++] = p.batch[i];
    for (int i = 0; i < p.ms; i++)
        labels[n++] = p.m[i];
    for (int i = 0; i < p.ns; i++)
        labels[n++] = p.n[i];
    if (plain && out && n == final->out_rank)
        memcpy(labels, final->out, (size_t)n);
    int64_t count;
    int rc = count_labels(w, labels, n, &count);
    bool direct = out && n == final->out_rank && memcmp(labels, final->out, (size_t)n) == 0;
    if (rc == 0 && !direct)
        rc = take(w, count, &out);
    if (rc == 0 && plain)
        rc = run_sum(w, a, b, labels, n, a->has & b->has & ~keep, out);
    else if (rc == 0)
        rc = run_product(w, a, b, &p, out);
    if (rc == 0)
        dense(w, a, labels, n, out);
    return rc;
}

/* ---- the node --------------------------------------------------------------------------------- */

/* Operand i as a view that computes, its own labels summed. */
static int load(struct work *w, int i, const struct einsum_labels *l, uint64_t others, struct operand *o)
{
    const struct tensor *t = call_in(w->call, i);
    int rc = 0;
    view(o, t, l->in[i]);
    if (dtype_size(t->dtype) != dtype_size(w->dtype)) {
        void *wide;
        int64_t n = tensor_count(t);
        rc = take(w, n, &wide);
        if (rc == 0)
            rc = convert(w, t->data, t->dtype, wide, w->dtype, n);
        o->data = wide;
    }
    if (rc == 0 && (o->has & ~others)) {
        uint8_t labels[EINSUM_LABELS];
        int n = 0;
        for (int k = 0; k < o->rank; k++)
            if (others & bit(o->label[k]))
                labels[n++] = o->label[k];
        rc = arranged(w, o, labels, n);
    }
    return rc;
}

/* The labels of the output and of operands [from, n) but `except`. */
static uint64_t labels_of(const struct einsum_labels *l, const int *ranks, int from, int n, int except)
{
    uint64_t set = 0;
    for (int k = 0; k < l->out_rank; k++)
        set |= bit(l->out[k]);
    for (int i = from; i < n; i++)
        for (int k = 0; k < ranks[i] && i != except; k++)
            set |= bit(l->in[i][k]);
    return set;
}

static int execute(struct work *w)
{
    const struct attrs_einsum *at = w->call->attrs;
    const struct tensor *y = call_out(w->call, 0);
    struct einsum_equation q;
    struct einsum_labels l;
    int ranks[EINSUM_OPERANDS], n = w->call->n_in;
    struct operand a, b;
    int rc = einsum_parse(at->equation, &q, w->e);
    for (int i = 0; i < n && rc == 0; i++)
        ranks[i] = call_in(w->call, i)->rank;
    if (rc == 0)
        rc = einsum_bind(&q, ranks, &l, w->e);
    if (rc < 0)
        return rc;
    w->dtype = computes(y->dtype);
    for (int k = 0; k < EINSUM_LABELS; k++)
        w->dim[k] = 1;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < ranks[i]; k++)
            if (call_in(w->call, i)->dims[k] != 1)
                w->dim[l.in[i][k]] = call_in(w->call, i)->dims[k];
    bool narrow = dtype_size(y->dtype) != dtype_size(w->dtype);
    void *out = y->data;
    if (narrow)
        rc = take(w, tensor_count(y), &out);
    if (rc == 0 && n > 1)
        rc = load(w, 0, &l, labels_of(&l, ranks, 1, n, 0), &a);
    else if (rc == 0)
        rc = load(w, 0, &l, ~UINT64_C(0), &a);
    for (int i = 1; i < n && rc == 0; i++) {
        rc = load(w, i, &l, labels_of(&l, ranks, 0, n, i), &b);
        if (rc == 0)
            rc = contract(w, &a, &b, labels_of(&l, ranks, i + 1, n, -1), &l, i == n - 1 ? out : NULL);
    }
    if (rc == 0 && (n == 1 || a.data != out || a.rank != l.out_rank))
        rc = arrange(w, &a, l.out, l.out_rank, out);
    if (rc == 0 && narrow)
        rc = convert(w, out, w->dtype, y->data, y->dtype, tensor_count(y));
    return rc;
}

static size_t einsum_scratch(const struct call *c, size_t *per_member)
{
    struct work w = {.call = (struct call *)c, .dry = true, .parts = parts_shared(c)};
    if (execute(&w) < 0)
        return SIZE_MAX;
    *per_member = w.member;
    return w.parts.bytes;
}

static int einsum_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct work w = {.call = c, .e = e, .parts = parts_shared(c)};
    return execute(&w);
}

const struct op op_einsum = {
    .domain = "", .name = "Einsum", .since = 12,
    .in_min = 1, .in_max = -1, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_LEADER,
    .attrs = einsum_attrs, .attrs_size = sizeof(struct attrs_einsum),
    .infer = einsum_infer, .scratch = einsum_scratch, .run = einsum_run,
    .kernels = "gemm",
};
