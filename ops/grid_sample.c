/* SPDX-License-Identifier: Apache-2.0 */
/* GridSample: values at the places that a grid names, in any number of spatial dims. Nearest moves
 * elements of any dtype; linear and cubic compute in f64 and round once (complex numbers by their
 * parts). The padding applies to each place that a filter reads, so that reflection and border mean
 * the same for every mode.
 */
#include <math.h>

#include "ops/layout.h"

enum { SPACE_MAX = 3, TAPS_MAX = 4 };
enum mode { MODE_NEAREST, MODE_LINEAR, MODE_CUBIC };
enum padding { PADDING_ZEROS, PADDING_BORDER, PADDING_REFLECTION };

struct sample_attrs {
    int64_t align_corners;
    struct str mode, padding_mode;
};

static bool is_word(struct str s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

static int read_modes(const struct sample_attrs *a, enum mode *mode, enum padding *padding,
                      struct err *e)
{
    if (is_word(a->mode, "nearest"))
        *mode = MODE_NEAREST;
    else if (is_word(a->mode, "linear") || is_word(a->mode, "bilinear"))
        *mode = MODE_LINEAR;
    else if (is_word(a->mode, "cubic") || is_word(a->mode, "bicubic"))
        *mode = MODE_CUBIC;
    else
        return err_set(e, ERR_MODEL, "mode is none of nearest, linear, cubic");
    if (is_word(a->padding_mode, "zeros"))
        *padding = PADDING_ZEROS;
    else if (is_word(a->padding_mode, "border"))
        *padding = PADDING_BORDER;
    else if (is_word(a->padding_mode, "reflection"))
        *padding = PADDING_REFLECTION;
    else
        return err_set(e, ERR_MODEL, "padding_mode is none of zeros, border, reflection");
    return 0;
}

static int sample_infer(struct infer *c, struct err *e)
{
    int rank = infer_rank(c, 0), grid = infer_rank(c, 1);
    int64_t dims[SPACE_MAX + 2];
    enum mode mode;
    enum padding padding;
    int r = read_modes(c->attrs, &mode, &padding, e);
    if (!r && mode != MODE_NEAREST)
        r = infer_dtypes(c, 0, DT_NUMERIC | DT_COMPLEX, e);
    if (!r)
        r = infer_dtypes(c, 1, DT_FLOATS, e);
    if (r)
        return r;
    if (rank >= 0 && grid >= 0 && rank != grid)
        return err_set(e, ERR_MODEL, "X has rank %d, the grid %d", rank, grid);
    rank = rank < 0 ? grid : rank;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    if (rank < 3 || rank > SPACE_MAX + 2)
        return err_set(e, rank < 3 ? ERR_MODEL : ERR_UNSUPPORTED, "X has rank %d, expected 3 to %d",
                       rank, SPACE_MAX + 2);
    if (grid >= 0 && sym_differ(c->syms, infer_dim(c, 1, rank - 1), rank - 2))
        return err_set(e, ERR_MODEL, "the grid's last dim is not %d", rank - 2);
    if (grid >= 0 && infer_rank(c, 0) >= 0 &&
        sym_differ(c->syms, infer_dim(c, 0, 0), infer_dim(c, 1, 0)))
        return err_set(e, ERR_MODEL, "X and the grid have different batches");
    for (int i = 0; i < 2; i++)
        dims[i] = infer_rank(c, 0) < 0 ? infer_fresh(c) : infer_dim(c, 0, i);
    for (int i = 2; i < rank; i++)
        dims[i] = grid < 0 ? infer_fresh(c) : infer_dim(c, 1, i - 1);
    return infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

/* Where place i of n reads: -1 is a zero. Reflection is about the outer places' centres or edges.
 */
static int64_t pad_place(enum padding padding, bool align, double i, int64_t n)
{
    double last = (double)(n - 1), period = align ? 2 * last : 2 * (double)n;
    if (i >= 0 && i <= last)
        return (int64_t)i;
    if (padding == PADDING_ZEROS)
        return -1;
    if (padding == PADDING_BORDER || !isfinite(i) || period == 0)
        return i > 0 ? n - 1 : 0;
    i = fmod(i, period);
    i += i < 0 ? period : 0;
    if (i > last)
        i = align ? period - i : period - 1 - i;
    return (int64_t)i;
}

/* The taps of one dim: places (-1: zero) and weights. */
struct taps {
    int n;
    int64_t place[TAPS_MAX];
    double weight[TAPS_MAX];
};

static void make_taps(struct taps *t, enum mode mode, enum padding padding, bool align, double v,
                      int64_t n)
{
    const double a = -0.75;
    double x = align ? (v + 1) / 2 * (double)(n - 1) : ((v + 1) * (double)n - 1) / 2;
    double from = mode == MODE_NEAREST ? nearbyint(x) : floor(x), p = x - from, q = 1 - p;
    t->n = mode == MODE_NEAREST ? 1 : mode == MODE_LINEAR ? 2 : 4;
    if (mode == MODE_CUBIC) {
        from -= 1;
        t->weight[0] = ((a * (p + 1) - 5 * a) * (p + 1) + 8 * a) * (p + 1) - 4 * a;
        t->weight[1] = ((a + 2) * p - (a + 3)) * p * p + 1;
        t->weight[2] = ((a + 2) * q - (a + 3)) * q * q + 1;
        t->weight[3] = ((a * (q + 1) - 5 * a) * (q + 1) + 8 * a) * (q + 1) - 4 * a;
    } else {
        t->weight[0] = q;
        t->weight[1] = p;
    }
    for (int i = 0; i < t->n; i++)
        t->place[i] = pad_place(padding, align, from + i, n);
}

/* Numbers of a type, one or two of which are an element. */
struct numbers {
    const void *data;
    enum dtype type;
    int64_t parts, part;
};

static struct numbers numbers_of(const struct tensor *x)
{
    bool complex = dtype_kind(x->dtype) == 'C';
    enum dtype type = x->dtype == DTYPE_C64 ? DTYPE_F32 : complex ? DTYPE_F64 : x->dtype;
    return (struct numbers){x->data, type, complex ? 2 : 1, 0};
}

/* One output number: taps of each dim, outermost first, over a plane of the input. */
static double blend(const struct numbers *x, int64_t plane, const struct taps *t,
                    const int64_t *dims, int n)
{
    double sum = 0, v;
    if (n == 0) {
        elems_to_f64(x->type, x->data, plane * x->parts + x->part, 1, &v);
        return v;
    }
    for (int i = 0; i < t->n; i++)
        if (t->place[i] >= 0)
            sum += t->weight[i] * blend(x, plane * dims[0] + t->place[i], t + 1, dims + 1, n - 1);
    return sum;
}

static void put_blend(const struct tensor *x, struct tensor *y, int64_t at, int64_t plane,
                      const struct taps *t)
{
    struct numbers from = numbers_of(x);
    for (; from.part < from.parts; from.part++) {
        double v = blend(&from, plane, t, x->dims + 2, x->rank - 2);
        if (!dtype_is_float(from.type))
            v = nearbyint(v);
        elems_from_f64(from.type, y->data, at * from.parts + from.part, 1, &v);
    }
}

static int64_t sample_cost(const struct call *c)
{
    const struct sample_attrs *a = c->attrs;
    int n = call_in(c, 0)->rank - 2;
    return is_word(a->mode, "nearest")                                ? 4
           : is_word(a->mode, "cubic") || is_word(a->mode, "bicubic") ? 8 << (2 * n)
                                                                      : 8 << n;
}

/* Units are places of the grid: all channels of a place share its taps. */
static int64_t sample_units(const struct call *c)
{
    const struct tensor *y = call_out(c, 0);
    return y->dims[0] * dims_product(y->dims, 2, y->rank);
}

static int64_t sample_tasks(const struct call *c)
{
    return tasks_for(sample_units(c), sample_cost(c) * (call_out(c, 0)->dims[1] + 1));
}

static void put_sample(const struct tensor *x, struct tensor *y, int64_t at, int64_t plane,
                       const struct taps *t, enum mode mode)
{
    int n = x->rank - 2;
    size_t size = dtype_size(x->dtype);
    if (mode != MODE_NEAREST) {
        put_blend(x, y, at, plane, t);
        return;
    }
    for (int i = 0; i < n && plane >= 0; i++)
        plane = t[i].place[0] < 0 ? -1 : plane * x->dims[2 + i] + t[i].place[0];
    if (plane >= 0)
        move_bytes(tensor_at(y, at), tensor_at(x, plane), size);
    else
        memset(tensor_at(y, at), 0, size);
}

static int sample_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct sample_attrs *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *grid = call_in(c, 1);
    struct tensor *y = call_out(c, 0);
    struct span s = span_of(begin, end, sample_tasks(c), sample_units(c));
    int n = x->rank - 2;
    int64_t places = dims_product(y->dims, 2, y->rank), channels = y->dims[1];
    struct taps taps[SPACE_MAX];
    enum mode mode;
    enum padding padding;
    double v[SPACE_MAX];
    int r = read_modes(a, &mode, &padding, e);
    if (r || s.first >= s.last || tensor_count(y) == 0)
        return r;
    if (grid->dims[grid->rank - 1] != n || grid->dims[0] != x->dims[0])
        return err_set(e, ERR_INPUT, "the grid's dims %lld and %lld do not fit X",
                       (long long)grid->dims[0], (long long)grid->dims[grid->rank - 1]);
    if (tensor_count(x) == 0)
        return err_set(e, ERR_INPUT, "X has no elements");
    for (int64_t u = s.first; u < s.last; u++) {
        elems_to_f64(grid->dtype, grid->data, u * n, n, v);
        for (int i = 0; i < n; i++)
            make_taps(&taps[i], mode, padding, a->align_corners != 0, v[n - 1 - i], x->dims[2 + i]);
        int64_t batch = u / places, at = u % places;
        for (int64_t k = batch * channels; k < (batch + 1) * channels; k++)
            put_sample(x, y, k * places + at, k, taps, mode);
    }
    return 0;
}

static const struct attr sample_attr_rows[] = {
    {"align_corners", ATTR_INT, offsetof(struct sample_attrs, align_corners)},
    {"mode", ATTR_STRING, offsetof(struct sample_attrs, mode), .s = "linear"},
    {"padding_mode", ATTR_STRING, offsetof(struct sample_attrs, padding_mode), .s = "zeros"},
    {NULL},
};

const struct op op_gridsample = {
    .domain = "",
    .name = "GridSample",
    .since = 16,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = sample_attr_rows,
    .attrs_size = sizeof(struct sample_attrs),
    .infer = sample_infer,
    .tasks = sample_tasks,
    .run = sample_run,
};

const struct op op_ms_gridsample = {
    .domain = "com.microsoft",
    .name = "GridSample",
    .since = 1,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = sample_attr_rows,
    .attrs_size = sizeof(struct sample_attrs),
    .infer = sample_infer,
    .tasks = sample_tasks,
    .run = sample_run,
};
