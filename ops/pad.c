/* SPDX-License-Identifier: Apache-2.0 */
/* Pad. Negative pads cut first; the other pads are then made of what is left.
 *
 * The tensor is seen as rows: the last padded dim and all behind it are a row, of blocks of `inner`
 * elements; dims without pads are merged with their neighbours of the same kind.
 */
#include "ops/pad.h"

#include "graph/attrs.h"

static int read_mode(const struct attrs_pad *a, enum pad_mode *mode, struct err *e)
{
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    for (int i = 0; i < PAD_MODES; i++) {
        if (a->mode.size == strlen(names[i]) && memcmp(a->mode.data, names[i], a->mode.size) == 0) {
            *mode = (enum pad_mode)i;
            return 0;
        }
    }
    return err_set(e, ERR_MODEL, "mode '%.*s' is none of constant, reflect, edge, wrap",
                   (int)(a->mode.size < 32 ? a->mode.size : 32), a->mode.data ? a->mode.data : "");
}

/* ---- inference --------------------------------------------------------------------------------
 */

static int check_inputs(struct infer *c, struct err *e)
{
    enum pad_mode mode;
    int r = read_mode(c->attrs, &mode, e);
    if (r)
        return r;
    if (!infer_has(c, 1))
        return err_set(e, ERR_MODEL, "has no pads");
    r = infer_dtypes(c, 1, DT(I32) | DT(I64), e);
    if (!r && infer_has(c, 2))
        r = infer_same_dtype(c, 0, 2, e);
    if (!r && infer_has(c, 3))
        r = infer_dtypes(c, 3, DT(I32) | DT(I64), e);
    return r;
}

static int pad_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0), axes[TENSOR_RANK_MAX];
    int64_t n, dims[TENSOR_RANK_MAX];
    const int64_t *list = NULL;
    int r = check_inputs(c, e);
    if (r)
        return r;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    int known = layout_list(c, 3, &list, &n, e);
    if (known < 0)
        return known;
    for (int i = 0; i < rank; i++) {
        axes[i] = i;
        dims[i] = known ? infer_dim(c, 0, i) : infer_fresh(c);
    }
    if (!known)
        return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
    int64_t count = list ? n : rank;
    r = list ? layout_axes(list, n, rank, axes, e) : 0;
    if (r)
        return r;
    const int64_t *pads = infer_elems(c, 1, &n);
    if (pads && n != 2 * count)
        return err_set(e, ERR_MODEL, "%lld pads for %lld axes", (long long)n, (long long)count);
    for (int64_t i = 0; i < count; i++) {
        int64_t *d = &dims[axes[i]];
        *d = pads ? sym_add(c->syms, *d, sym_add(c->syms, pads[i], pads[count + i])) : SYM_UNKNOWN;
        *d = layout_dim(c, *d);
    }
    return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

/* ---- running ----------------------------------------------------------------------------------
 */

/* One dim: the input's elements [low, low + width) lie in the output from `begin` on. */
struct pad_dim {
    int64_t size, out, begin, low, width, stride; /* stride in elements of the input */
    bool plain;
};

struct pad {
    enum pad_mode mode;
    int rank; /* of dims: the last is the row's */
    struct pad_dim dims[TENSOR_RANK_MAX];
    int64_t inner, row;
    size_t size;
    const char *fill; /* an element, NULL: zero bytes */
};

/* The element of the input that output place o shows, -1 for the constant. */
static int64_t source(const struct pad_dim *d, enum pad_mode mode, int64_t o)
{
    int64_t i = o - d->begin, w = d->width;
    if (i >= 0 && i < w)
        return d->low + i;
    if (mode == PAD_CONSTANT)
        return -1;
    if (mode == PAD_EDGE)
        return d->low + (i < 0 ? 0 : w - 1);
    int64_t period = mode == PAD_WRAP ? w : w > 1 ? 2 * (w - 1) : 1;
    i %= period;
    i += i < 0 ? period : 0;
    return d->low + (i < w ? i : period - i);
}

static int make_dim(const struct pad *p, struct pad_dim *d, int64_t begin, int64_t end,
                    struct err *e)
{
    const int64_t limit = INT64_MAX / 4;
    int64_t out;
    if (begin < -limit || begin > limit || end < -limit || end > limit ||
        __builtin_add_overflow(d->size, begin, &out) || __builtin_add_overflow(out, end, &out) ||
        out != d->out)
        return err_set(e, ERR_INPUT, "pads %lld and %lld of a dim of %lld do not make %lld",
                       (long long)begin, (long long)end, (long long)d->size, (long long)d->out);
    d->plain = begin == 0 && end == 0;
    d->begin = begin > 0 ? begin : 0;
    d->low = begin < 0 ? -begin : 0;
    d->width = d->size - d->low - (end < 0 ? -end : 0);
    if (d->width < 0)
        d->width = 0;
    if (d->width == 0 && d->out > 0 && p->mode != PAD_CONSTANT)
        return err_set(e, ERR_INPUT, "a dim of %lld has nothing to make pads of",
                       (long long)d->size);
    return 0;
}

static int make_pad(const struct tensor *x, const struct tensor *y, const int64_t *begin,
                    const int64_t *end, struct pad *p, struct err *e)
{
    int r = 0;
    p->size = dtype_size(x->dtype);
    p->rank = 0;
    for (int i = 0; i < x->rank && !r; i++) {
        struct pad_dim *d = &p->dims[p->rank], *last = p->rank ? d - 1 : d;
        *d = (struct pad_dim){.size = x->dims[i], .out = y->dims[i]};
        r = make_dim(p, d, begin[i], end[i], e);
        if (p->rank && d->plain && last->plain)
            last->size = last->out = last->width = last->size * d->size;
        else
            p->rank++;
    }
    if (r)
        return r;
    /* What is behind the last padded dim is its block. */
    p->inner = 1;
    if (p->rank > 1 && p->dims[p->rank - 1].plain)
        p->inner = p->dims[--p->rank].size;
    if (p->rank == 0)
        p->dims[p->rank++] = (struct pad_dim){.size = 1, .out = 1, .width = 1, .plain = true};
    int64_t stride = p->inner;
    for (int i = p->rank - 1; i >= 0; i--) {
        p->dims[i].stride = stride;
        stride *= p->dims[i].size;
    }
    p->row = p->dims[p->rank - 1].out * p->inner;
    return 0;
}

static void put_fill(const struct pad *p, char *out, int64_t n)
{
    if (p->fill)
        move_fill(out, p->fill, n, p->size);
    else if (n > 0)
        memset(out, 0, (size_t)n * p->size);
}

/* Elements [from, to) of a row, of which none shows an element of the row's middle. */
static void put_border(const struct pad *p, const char *in, char *out, int64_t from, int64_t to)
{
    const struct pad_dim *d = &p->dims[p->rank - 1];
    if (p->mode == PAD_CONSTANT) {
        put_fill(p, out, to - from);
        return;
    }
    while (from < to) {
        int64_t at = from % p->inner, n = p->inner - at < to - from ? p->inner - at : to - from;
        int64_t i = source(d, p->mode, from / p->inner);
        move_bytes(out, in + (size_t)(i * p->inner + at) * p->size, (size_t)n * p->size);
        out += (size_t)n * p->size;
        from += n;
    }
}

/* Elements [from, to) of the row that shows the input's row at `in` (NULL: the constant). */
static void put_row(const struct pad *p, const char *in, char *out, int64_t from, int64_t to)
{
    const struct pad_dim *d = &p->dims[p->rank - 1];
    if (!in) {
        put_fill(p, out, to - from);
        return;
    }
    int64_t left = d->begin * p->inner, right = left + d->width * p->inner;
    int64_t a = left < from ? from : left > to ? to : left;
    int64_t b = right < a ? a : right > to ? to : right;
    put_border(p, in, out, from, a);
    if (b > a)
        memcpy(out + (size_t)(a - from) * p->size,
               in + (size_t)(a - left + d->low * p->inner) * p->size, (size_t)(b - a) * p->size);
    put_border(p, in, out + (size_t)(b - from) * p->size, b, to);
}

int pad_elements(const struct tensor *x, struct tensor *y, enum pad_mode mode, const int64_t *begin,
                 const int64_t *end, const void *fill, struct span s, struct err *e)
{
    struct pad p = {.mode = mode, .fill = fill};
    int r = make_pad(x, y, begin, end, &p, e);
    if (r || s.first >= s.last)
        return r;
    int64_t at[TENSOR_RANK_MAX], rest = s.first / p.row, from = s.first % p.row;
    for (int i = p.rank - 2; i >= 0; i--) {
        at[i] = rest % p.dims[i].out;
        rest /= p.dims[i].out;
    }
    char *o = tensor_at(y, s.first);
    for (int64_t left = s.last - s.first; left > 0; from = 0) {
        int64_t n = p.row - from < left ? p.row - from : left, offset = 0;
        bool inside = true;
        for (int i = 0; i < p.rank - 1 && inside; i++) {
            int64_t k = source(&p.dims[i], p.mode, at[i]);
            inside = k >= 0;
            offset += k * p.dims[i].stride;
        }
        put_row(&p, inside ? (const char *)x->data + (size_t)offset * p.size : NULL, o, from,
                from + n);
        o += (size_t)n * p.size;
        left -= n;
        for (int i = p.rank - 2; i >= 0 && ++at[i] == p.dims[i].out; i--)
            at[i] = 0;
    }
    return 0;
}

/* begin and end pads of every dim. */
static int read_pads(const struct call *c, int64_t *begin, int64_t *end, struct err *e)
{
    const struct tensor *x = call_in(c, 0), *pads = call_in(c, 1), *axes = call_in(c, 3);
    int64_t n = axes ? tensor_count(axes) : x->rank, k;
    for (int i = 0; i < x->rank; i++)
        begin[i] = end[i] = 0;
    if (tensor_count(pads) != 2 * n)
        return err_set(e, ERR_INPUT, "%lld pads for %lld axes", (long long)tensor_count(pads),
                       (long long)n);
    for (int64_t i = 0; i < n; i++) {
        int r = norm_index(axes ? index_at(axes, i) : i, x->rank, "axis", &k, e);
        if (r)
            return r;
        begin[k] = index_at(pads, i);
        end[k] = index_at(pads, n + i);
    }
    return 0;
}

static int64_t pad_tasks(const struct call *c)
{
    return span_tasks(c, 1);
}

static int pad_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *fill = call_in(c, 2);
    int64_t before[TENSOR_RANK_MAX], after[TENSOR_RANK_MAX];
    enum pad_mode mode = PAD_CONSTANT;
    int r = read_mode(c->attrs, &mode, e);
    if (!r)
        r = read_pads(c, before, after, e);
    if (!r && fill && mode == PAD_CONSTANT && tensor_count(fill) != 1)
        r = err_set(e, ERR_INPUT, "the constant has %lld elements, expected one",
                    (long long)tensor_count(fill));
    if (r)
        return r;
    return pad_elements(call_in(c, 0), call_out(c, 0), mode, before, after,
                        fill && mode == PAD_CONSTANT ? fill->data : NULL,
                        span_out(c, begin, end, 1), e);
}

static const struct attr pad_attrs[] = {
    {"mode", ATTR_STRING, offsetof(struct attrs_pad, mode), .s = "constant"},
    {"paddings", ATTR_INTS, .until = 1, .input = 1, .required = true},
    {"pads", ATTR_INTS, .since = 2, .until = 10, .input = 1, .required = true},
    {"value", ATTR_FLOAT, .until = 10, .input = 2, .as_in0 = true},
    {NULL},
};

const struct op op_pad = {
    .domain = "",
    .name = "Pad",
    .since = 1,
    .in_min = 1,
    .in_max = 4,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .host_in = 2 | 4 | 8,
    .attrs = pad_attrs,
    .attrs_size = sizeof(struct attrs_pad),
    .infer = pad_infer,
    .tasks = pad_tasks,
    .run = pad_run,
};

static const struct attr ms_pad_attrs[] = {
    {"mode", ATTR_STRING, offsetof(struct attrs_pad, mode), .s = "constant"},
    {NULL},
};

const struct op op_ms_pad = {
    .domain = "com.microsoft",
    .name = "Pad",
    .since = 1,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .host_in = 2 | 4,
    .attrs = ms_pad_attrs,
    .attrs_size = sizeof(struct attrs_pad),
    .infer = pad_infer,
    .tasks = pad_tasks,
    .run = pad_run,
};
