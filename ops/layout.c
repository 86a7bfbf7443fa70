/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/layout.h"

/* ---- inference --------------------------------------------------------------------------------
 */

struct sign_search {
    struct syms *syms;
    bool negative;
};

static void sign_look(void *arg, int64_t symbol)
{
    struct sign_search *s = arg;
    s->negative |= sym_low(s->syms, symbol) < 0;
}

int64_t layout_dim(struct infer *c, int64_t elem)
{
    if (sym_is_unknown(elem))
        return infer_fresh(c);
    if (sym_is_number(elem))
        return elem;
    /* An integer that the model reads may be -1 or 0 with a meaning; a dim may not. */
    struct sign_search s = {c->syms, false};
    sym_each(c->syms, elem, sign_look, &s);
    return s.negative ? infer_fresh(c) : elem;
}

void layout_pass_elems(struct infer *c)
{
    int64_t n;
    const int64_t *elems = c->syms ? infer_elems(c, 0, &n) : NULL;
    if (elems)
        infer_set_elems(c, 0, elems, n);
}

void layout_move_elems(struct infer *c, int rank, const int64_t *dims, const int64_t *strides,
                       int64_t offset)
{
    int64_t n, count = 1, out[FACT_ELEMS_MAX];
    const int64_t *elems = c->syms ? infer_elems(c, 0, &n) : NULL;
    for (int i = 0; i < rank && elems; i++) {
        if (!sym_is_number(dims[i]) || dims[i] > FACT_ELEMS_MAX)
            return;
        count *= dims[i];
        if (count > FACT_ELEMS_MAX)
            return;
    }
    if (!elems)
        return;
    struct move m;
    move_init(&m, sizeof *elems, rank, dims, strides);
    if (count)
        move_run(&m, elems + offset, out, 0, count);
    infer_set_elems(c, 0, out, count);
}

int layout_axes(const int64_t *list, int64_t n, int rank, int *axes, struct err *e)
{
    unsigned seen = 0;
    if (n > rank)
        return err_set(e, ERR_MODEL, "%lld axes for a tensor of rank %d", (long long)n, rank);
    for (int64_t i = 0; i < n; i++) {
        int r = infer_axis(list[i], rank, &axes[i], e);
        if (r)
            return r;
        if (seen >> axes[i] & 1)
            return err_set(e, ERR_MODEL, "axis %lld is repeated", (long long)list[i]);
        seen |= 1u << axes[i];
    }
    return 0;
}

int layout_list(struct infer *c, int i, const int64_t **out, int64_t *n, struct err *e)
{
    *out = NULL;
    *n = -1;
    if (!infer_has(c, i))
        return 1;
    int r = infer_dtypes(c, i, DT(I32) | DT(I64), e);
    if (r)
        return r;
    int rank = infer_rank(c, i);
    if (rank > 1)
        return err_set(e, ERR_MODEL, "input %d has rank %d, expected 1", i, rank);
    int64_t length = rank == 0 ? 1 : rank == 1 ? infer_dim(c, i, 0) : -1;
    if (sym_is_number(length) && length > 2 * TENSOR_RANK_MAX)
        return err_set(e, ERR_MODEL, "input %d has %lld elements, at most %d are possible", i,
                       (long long)length, 2 * TENSOR_RANK_MAX);
    *out = infer_numbers(c, i, n);
    if (*out)
        return 1;
    *n = sym_is_number(length) ? length : -1;
    return 0;
}

int layout_shape(struct infer *c, int i, const int64_t **elems, int64_t *n, struct err *e)
{
    int rank = infer_rank(c, i);
    if (rank > 1)
        return err_set(e, ERR_MODEL, "the shape has rank %d, expected 1", rank);
    *elems = infer_elems(c, i, n);
    if (!*elems)
        *n = rank == 1 ? infer_dim(c, i, 0) : SYM_UNKNOWN;
    if (sym_is_number(*n) && *n > TENSOR_RANK_MAX)
        return err_set(e, ERR_MODEL, "a shape of %lld dims, at most %d are supported", (long long)*n,
                       TENSOR_RANK_MAX);
    return 0;
}

int64_t layout_min(struct syms *s, int64_t a, int64_t b)
{
    int64_t d = sym_sub(s, b, a);
    if (!sym_is_unknown(d)) {
        if (sym_low(s, d) >= 0)
            return a;
        if (sym_low(s, sym_sub(s, a, b)) >= 0)
            return b;
    }
    return sym_min(s, a, b);
}

int64_t layout_max(struct syms *s, int64_t a, int64_t b)
{
    int64_t d = sym_sub(s, b, a);
    if (!sym_is_unknown(d)) {
        if (sym_low(s, d) >= 0)
            return b;
        if (sym_low(s, sym_sub(s, a, b)) >= 0)
            return a;
    }
    return sym_max(s, a, b);
}

/* ---- moving -----------------------------------------------------------------------------------
 */

void move_init(struct move *m, size_t size, int rank, const int64_t *dims, const int64_t *strides)
{
    m->size = size;
    m->rank = 0;
    for (int i = 0; i < rank; i++) {
        int k = m->rank - 1;
        if (dims[i] == 1)
            continue;
        /* Two dims are one where a step of the outer is the inner's whole length. */
        if (k >= 0 && m->strides[k] == strides[i] * dims[i]) {
            m->dims[k] *= dims[i];
            m->strides[k] = strides[i];
        } else {
            m->dims[m->rank] = dims[i];
            m->strides[m->rank++] = strides[i];
        }
    }
    if (m->rank == 0) {
        m->rank = 1;
        m->dims[0] = 1;
        m->strides[0] = 1;
    }
}

void move_fill(void *out, const void *elem, int64_t n, size_t size)
{
    char *p = out;
    size_t all = (size_t)n * size;
    if (n <= 0)
        return;
    if (size == 1) {
        memset(p, *(const unsigned char *)elem, all);
        return;
    }
    memcpy(p, elem, size);
    /* Each round copies what is filled so far, up to a piece that stays in cache. */
    for (size_t done = size; done < all;) {
        size_t part = done < all - done ? done : all - done;
        if (part > 16384)
            part = 16384 / size * size;
        memcpy(p + done, p, part);
        done += part;
    }
}

#define ROW_LOOP(bytes)                                                                            \
    for (int64_t i = 0; i < n; i++, o += (bytes), p += step)                                       \
    memcpy(o, p, (bytes))

void move_row(void *out, const void *in, int64_t n, int64_t stride, size_t size)
{
    char *o = out;
    const char *p = in;
    ptrdiff_t step = (ptrdiff_t)stride * (ptrdiff_t)size;
    if (n <= 0)
        return;
    if (stride == 1) {
        memcpy(o, p, (size_t)n * size);
        return;
    }
    if (stride == 0) {
        move_fill(o, p, n, size);
        return;
    }
    switch (size) {
    case 1:
        ROW_LOOP(1);
        break;
    case 2:
        ROW_LOOP(2);
        break;
    case 4:
        ROW_LOOP(4);
        break;
    case 8:
        ROW_LOOP(8);
        break;
    default:
        ROW_LOOP(16);
    }
}

void move_run(const struct move *m, const void *in, void *out, int64_t first, int64_t last)
{
    int64_t at[MOVE_RANK] = {0}, offset = 0;
    int inner = m->rank - 1;
    if (first >= last)
        return;
    int64_t rest = first;
    for (int i = inner; i >= 0; i--) {
        at[i] = rest % m->dims[i];
        rest /= m->dims[i];
        offset += at[i] * m->strides[i];
    }
    char *o = (char *)out + (size_t)first * m->size;
    while (first < last) {
        int64_t n = m->dims[inner] - at[inner];
        if (n > last - first)
            n = last - first;
        move_row(o, (const char *)in + offset * (ptrdiff_t)m->size, n, m->strides[inner], m->size);
        o += (size_t)n * m->size;
        first += n;
        offset -= at[inner] * m->strides[inner];
        at[inner] = 0;
        for (int i = inner - 1; i >= 0; i--) {
            offset += m->strides[i];
            if (++at[i] < m->dims[i])
                break;
            offset -= m->dims[i] * m->strides[i];
            at[i] = 0;
        }
    }
}
