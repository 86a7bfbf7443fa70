/* SPDX-License-Identifier: Apache-2.0 */
/* Resize and Upsample. Nearest moves elements of any dtype; linear and cubic resample one axis
 * after the other, the last first, in f32 (f64 for f64), and convert once at the end. Where the
 * output's size follows from a scale, the product is taken in f32, as exporters take it.
 */
#include <math.h>

#include "ops/layout.h"
#include "ops/resample.h"

struct resize_attrs {
    struct str coordinate_transformation_mode, mode, nearest_mode, keep_aspect_ratio_policy;
    int64_t antialias, exclude_outside;
    struct ints axes;
    float cubic_coeff_a, extrapolation_value;
    float height_scale, width_scale; /* Upsample 1 */
};

/* ---- attributes -------------------------------------------------------------------------------
 */

struct word {
    const char *name;
    int value;
};

static int find_word(struct str s, const struct word *words, const char *what, int *value,
                     struct err *e)
{
    for (; words->name; words++) {
        if (s.size == strlen(words->name) && memcmp(s.data, words->name, s.size) == 0) {
            *value = words->value;
            return 0;
        }
    }
    return err_set(e, ERR_MODEL, "%s '%.*s' is not known", what, (int)(s.size < 40 ? s.size : 40),
                   s.data ? s.data : "");
}

static bool is_upsample(const struct node *n)
{
    return strcmp(n->op->name, "Upsample") == 0;
}

/* Versions before 11 (and Upsample) have neither regions nor modes of coordinates. */
static bool is_old(const struct node *n)
{
    return n->opset < 11 || is_upsample(n);
}

enum policy { POLICY_STRETCH, POLICY_NOT_LARGER, POLICY_NOT_SMALLER };

static int read_attrs(const struct node *n, const struct resize_attrs *a, struct resample *r,
                      int *policy, struct err *e)
{
    static const struct word filters[] = {{"nearest", RESAMPLE_NEAREST},
                                          {"linear", RESAMPLE_LINEAR},
                                          {"bilinear", RESAMPLE_LINEAR},
                                          {"cubic", RESAMPLE_CUBIC},
                                          {NULL}};
    static const struct word coords[] = {{"half_pixel", COORD_HALF_PIXEL},
                                         {"half_pixel_symmetric", COORD_HALF_PIXEL_SYMMETRIC},
                                         {"pytorch_half_pixel", COORD_PYTORCH_HALF_PIXEL},
                                         {"align_corners", COORD_ALIGN_CORNERS},
                                         {"asymmetric", COORD_ASYMMETRIC},
                                         {"tf_crop_and_resize", COORD_TF_CROP},
                                         {"tf_half_pixel_for_nn", COORD_TF_HALF_PIXEL_NN},
                                         {NULL}};
    static const struct word nearest[] = {{"round_prefer_floor", NEAREST_HALF_DOWN},
                                          {"round_prefer_ceil", NEAREST_HALF_UP},
                                          {"floor", NEAREST_FLOOR},
                                          {"ceil", NEAREST_CEIL},
                                          {NULL}};
    static const struct word policies[] = {{"stretch", POLICY_STRETCH},
                                           {"not_larger", POLICY_NOT_LARGER},
                                           {"not_smaller", POLICY_NOT_SMALLER},
                                           {NULL}};
    int f = RESAMPLE_NEAREST, c = COORD_ASYMMETRIC, m = NEAREST_SIMPLE;
    *policy = POLICY_STRETCH;
    int x = find_word(a->mode, filters, "mode", &f, e);
    if (!x && !is_old(n))
        x = find_word(a->coordinate_transformation_mode, coords, "coordinate_transformation_mode",
                      &c, e);
    if (!x && !is_old(n))
        x = find_word(a->nearest_mode, nearest, "nearest_mode", &m, e);
    if (!x && !is_old(n))
        x = find_word(a->keep_aspect_ratio_policy, policies, "keep_aspect_ratio_policy", policy, e);
    *r = (struct resample){.filter = (enum resample_filter)f,
                           .coord = (enum resample_coord)c,
                           .nearest = (enum resample_nearest)m,
                           .antialias = a->antialias != 0,
                           .exclude_outside = a->exclude_outside != 0,
                           .cubic_a = a->cubic_coeff_a};
    return x;
}

/* Inputs of scales, sizes and roi; -1 where the version has none. */
struct places {
    int scales, sizes, roi;
};

static struct places find_places(const struct node *n)
{
    if (is_upsample(n))
        return (struct places){n->opset < 7 ? -1 : 1, -1, -1};
    return n->opset < 11 ? (struct places){1, -1, -1} : (struct places){2, 3, 1};
}

static int read_axes(const struct resize_attrs *a, int rank, int *axes, int64_t *n, struct err *e)
{
    *n = a->axes.v ? a->axes.n : rank;
    for (int i = 0; i < rank; i++)
        axes[i] = i;
    return a->axes.v ? layout_axes(a->axes.v, a->axes.n, rank, axes, e) : 0;
}

/* ---- sizes ------------------------------------------------------------------------------------
 */

static bool good_scale(float s)
{
    return s > 0 && s <= 1e9f;
}

/* floor(d * scale), symbolic where the scale is an exact fraction of small numbers. */
static int64_t scaled_dim(struct syms *s, int64_t d, float scale)
{
    if (sym_is_unknown(d))
        return d;
    if (sym_is_number(d)) {
        float f = floorf((float)d * scale);
        return f < 0x1p62f ? (int64_t)f : SYM_UNKNOWN;
    }
    for (int64_t q = 1; q <= 64; q *= 2) {
        float p = scale * (float)q;
        if (p == floorf(p) && p < 0x1p20f)
            return sym_floor_div(s, sym_mul(s, d, (int64_t)p), q);
    }
    return SYM_UNKNOWN;
}

/* The common scale of all axes under a policy that keeps the aspect; 0 if a number is missing. */
static double common_scale(int policy, int64_t n, const int *axes, const int64_t *in,
                           const int64_t *sizes)
{
    double best = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t d = in[axes[i]];
        if (!sym_is_number(d) || !sym_is_number(sizes[i]) || d < 1)
            return 0;
        double s = (double)sizes[i] / (double)d;
        if (i == 0 || (policy == POLICY_NOT_LARGER ? s < best : s > best))
            best = s;
    }
    return best;
}

static int64_t round_dim(double v)
{
    return v < 0x1p62 ? (int64_t)floor(v + 0.5) : SYM_UNKNOWN;
}

/* Numbers as inputs hold them: scales or sizes, NULL where absent or empty. */
struct request {
    const struct tensor *scales;
    float pair[2]; /* Upsample 1 */
    bool has_pair;
};

static float scale_at(const struct request *q, int rank, int64_t i)
{
    if (!q->has_pair)
        return ((const float *)q->scales->data)[i];
    return i < rank - 2 ? 1 : q->pair[i - (rank - 2)];
}

static int read_scales(const struct resize_attrs *a, const struct node *n, const struct tensor *t,
                       int rank, int64_t count, struct request *q, struct err *e)
{
    *q = (struct request){.scales = t,
                          .pair = {a->height_scale, a->width_scale},
                          .has_pair = is_upsample(n) && n->opset < 7};
    if (q->has_pair && rank < 2)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected at least 2", rank);
    if (!q->has_pair && (t->dtype != DTYPE_F32 || tensor_count(t) != count))
        return err_set(e, ERR_MODEL, "%lld scales for %lld axes", (long long)tensor_count(t),
                       (long long)count);
    for (int64_t i = 0; i < count; i++)
        if (!good_scale(scale_at(q, rank, i)))
            return err_set(e, ERR_MODEL, "scale %lld is %g", (long long)i,
                           (double)scale_at(q, rank, i));
    return 0;
}

/* ---- inference --------------------------------------------------------------------------------
 */

/* Input i is there and not known to be empty. */
static bool given(const struct infer *c, int i)
{
    return i >= 0 && infer_has(c, i) && !(infer_rank(c, i) == 1 && infer_dim(c, i, 0) == 0);
}

static int dims_from_sizes(struct infer *c, int at, int policy, const int *axes, int64_t n,
                           int64_t *dims, struct err *e)
{
    int64_t count;
    int r = infer_dtypes(c, at, DT(I64), e);
    if (r)
        return r;
    const int64_t *sizes = infer_elems(c, at, &count);
    if (sizes && count != n)
        return err_set(e, ERR_MODEL, "%lld sizes for %lld axes", (long long)count, (long long)n);
    double scale = sizes && policy ? common_scale(policy, n, axes, dims, sizes) : 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t *d = &dims[axes[i]];
        if (policy)
            *d = scale > 0 ? round_dim(scale * (double)*d) : SYM_UNKNOWN;
        else
            *d = sizes ? sizes[i] : SYM_UNKNOWN;
    }
    return 0;
}

static int dims_from_scales(struct infer *c, int at, const int *axes, int64_t n, int64_t *dims,
                            struct err *e)
{
    int rank = infer_rank(c, 0);
    const struct tensor *t = at < 0 ? NULL : infer_data(c, at);
    struct request q;
    if (at >= 0) {
        int r = infer_dtypes(c, at, DT(F32), e);
        if (r)
            return r;
    }
    bool known = at < 0 || (t && (t->data || !tensor_count(t)));
    int r = known ? read_scales(c->attrs, c->node, t, rank, n, &q, e) : 0;
    for (int64_t i = 0; i < n && !r; i++) {
        int64_t *d = &dims[axes[i]];
        *d = known ? scaled_dim(c->syms, *d, scale_at(&q, rank, i)) : SYM_UNKNOWN;
    }
    return r;
}

static int resize_infer(struct infer *c, struct err *e)
{
    const struct resize_attrs *a = c->attrs;
    struct places p = find_places(c->node);
    struct resample r;
    int rank = infer_rank(c, 0), axes[TENSOR_RANK_MAX], policy;
    int64_t dims[TENSOR_RANK_MAX], n;
    int x = read_attrs(c->node, a, &r, &policy, e);
    if (x)
        return x;
    if (r.filter != RESAMPLE_NEAREST && (x = infer_dtypes(c, 0, DT_NUMERIC, e)))
        return x;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, 0), e);
    x = read_axes(a, rank, axes, &n, e);
    if (x)
        return x;
    memcpy(dims, c->in[0]->type.dims, sizeof dims);
    bool by_size = given(c, p.sizes), by_scale = given(c, p.scales) || p.scales < 0;
    if (by_size && by_scale && infer_rank(c, p.scales) == 1 &&
        sym_is_number(infer_dim(c, p.scales, 0)))
        return err_set(e, ERR_MODEL, "has both scales and sizes");
    if (!by_size && !by_scale)
        return err_set(e, ERR_MODEL, "has neither scales nor sizes");
    x = by_size ? dims_from_sizes(c, p.sizes, policy, axes, n, dims, e)
                : dims_from_scales(c, p.scales, axes, n, dims, e);
    for (int i = 0; i < rank; i++)
        dims[i] = layout_dim(c, dims[i]);
    return x ? x : infer_set(c, 0, infer_dtype(c, 0), rank, dims, e);
}

/* ---- running ----------------------------------------------------------------------------------
 */

struct resize {
    struct call *call;
    const struct tensor *x;
    struct tensor *y;
    struct resample how;
    int rank;
    struct resample_axis axis[TENSOR_RANK_MAX];
    double extrapolation;
    /* The pass in progress. */
    const struct resample_axis *pass;
    const void *from;
    void *to;
    int64_t inner, units, tasks;
    enum dtype compute;
};

/* Input i where it is there and not empty. */
static const struct tensor *filled(const struct call *c, int i)
{
    const struct tensor *t = i < 0 ? NULL : call_in(c, i);
    return t && tensor_count(t) ? t : NULL;
}

static int read_region(const struct call *c, struct resize *z, int at, const int *axes, int64_t n,
                       struct err *e)
{
    const struct tensor *t = filled(c, at);
    if (z->how.coord != COORD_TF_CROP)
        return 0;
    if (!t || tensor_count(t) != 2 * n || !dtype_is_float(t->dtype))
        return err_set(e, ERR_INPUT, "tf_crop_and_resize needs a roi of %lld numbers",
                       (long long)(2 * n));
    for (int64_t i = 0; i < n; i++) {
        elems_to_f64(t->dtype, t->data, i, 1, &z->axis[axes[i]].start);
        elems_to_f64(t->dtype, t->data, n + i, 1, &z->axis[axes[i]].end);
    }
    return 0;
}

static int make_resize(const struct call *c, struct resize *z, struct err *e)
{
    const struct resize_attrs *a = c->attrs;
    struct places p = find_places(c->node);
    int axes[TENSOR_RANK_MAX], policy;
    int64_t n;
    struct request q;
    memset(z, 0, sizeof *z);
    z->x = call_in(c, 0);
    z->y = call_out(c, 0);
    z->rank = z->x->rank;
    z->extrapolation = a->extrapolation_value;
    z->compute = z->x->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    const struct tensor *sizes = filled(c, p.sizes), *scales = filled(c, p.scales);
    int r = read_attrs(c->node, a, &z->how, &policy, e);
    if (!r)
        r = read_axes(a, z->rank, axes, &n, e);
    if (!r && !sizes && !scales && p.scales >= 0)
        r = err_set(e, ERR_INPUT, "has neither scales nor sizes");
    if (!r && sizes && tensor_count(sizes) != n)
        r = err_set(e, ERR_INPUT, "%lld sizes for %lld axes", (long long)tensor_count(sizes),
                    (long long)n);
    if (!r && !sizes)
        r = read_scales(a, c->node, scales, z->rank, n, &q, e);
    if (r)
        return r;
    for (int i = 0; i < z->rank; i++) {
        struct resample_axis *x = &z->axis[i];
        *x =
            (struct resample_axis){.in = z->x->dims[i], .out = z->y->dims[i], .scale = 1, .end = 1};
        x->width = (double)x->out;
    }
    double scale = policy && sizes ? common_scale(policy, n, axes, z->x->dims, sizes->data) : 0;
    for (int64_t i = 0; i < n; i++) {
        struct resample_axis *x = &z->axis[axes[i]];
        x->scale = !sizes      ? scale_at(&q, z->rank, i)
                   : scale > 0 ? scale
                   : x->in     ? (double)x->out / (double)x->in
                               : 1;
        x->width = sizes && !(scale > 0) ? (double)x->out : (double)x->in * x->scale;
    }
    for (int i = 0; i < z->rank; i++) {
        if (z->axis[i].in == 0 && z->axis[i].out > 0)
            return err_set(e, ERR_INPUT, "dim %d has nothing to resize", i);
        z->axis[i].taps = resample_taps(&z->how, &z->axis[i]);
    }
    return read_region(c, z, p.roi, axes, n, e);
}

/* The tables of the axes, and two buffers for what lies between passes. */
static bool lay_out(const struct call *c, struct resize *z, struct parts *p, char *buffers[2])
{
    int64_t dims[TENSOR_RANK_MAX], count;
    size_t most = 0, n;
    memcpy(dims, z->x->dims, sizeof dims);
    *p = parts_shared(c);
    for (int i = z->rank; i >= 0; i--) {
        if (i < z->rank) {
            struct resample_axis *a = &z->axis[i];
            dims[i] = a->out;
            if (!size_mul((size_t)a->out, (size_t)a->taps, &n))
                return false;
            a->index = parts_take(p, n, sizeof *a->index);
            a->weight = parts_take(p, n, sizeof *a->weight);
        }
        if (!dims_count(dims, z->rank, &count))
            return false;
        most = (size_t)count > most ? (size_t)count : most;
    }
    if (z->how.filter == RESAMPLE_NEAREST)
        most = 0;
    for (int i = 0; i < 2; i++)
        buffers[i] = parts_take(p, most, dtype_size(z->compute));
    return p->bytes != SIZE_MAX;
}

static size_t resize_scratch(const struct call *c, size_t *per_member)
{
    struct resize z;
    struct parts p;
    char *buffers[2];
    *per_member = 0;
    if (make_resize(c, &z, NULL) || tensor_count(z.y) == 0)
        return 0;
    return lay_out(c, &z, &p, buffers) ? p.bytes : SIZE_MAX;
}

static int pass_task(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct resize *z = arg;
    struct span s = span_of(begin, end, z->tasks, z->units);
    if (z->compute == DTYPE_F64)
        resample_f64(z->pass, z->from, z->to, z->inner, z->extrapolation, s.first, s.last);
    else
        resample_f32(z->pass, z->from, z->to, z->inner, (float)z->extrapolation, s.first, s.last);
    return 0;
}

static int load_task(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct resize *z = arg;
    struct span s = span_of(begin, end, z->tasks, z->units);
    if (s.first < s.last)
        elems_to_f32(z->x->dtype, z->x->data, s.first, s.last - s.first, (float *)z->to + s.first);
    return 0;
}

static int store_task(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct resize *z = arg;
    struct span s = span_of(begin, end, z->tasks, z->units);
    bool whole = !dtype_is_float(z->y->dtype);
    float chunk[CHUNK_ELEMS];
    for (int64_t i = s.first, n; i < s.last; i += n) {
        n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        const float *from = (const float *)z->from + i;
        for (int64_t k = 0; k < n; k++)
            chunk[k] = whole ? nearbyintf(from[k]) : from[k];
        elems_from_f32(z->y->dtype, z->y->data, i, n, chunk);
    }
    return 0;
}

static int step(struct resize *z, int64_t units, int64_t cost, task_fn *fn, struct err *e)
{
    z->units = units;
    z->tasks = tasks_for(units, cost);
    return units ? call_tasks(z->call, z->tasks, fn, z, e) : 0;
}

/* The axes that change, from the last to the first, from buffer to buffer; the last pass writes the
 * output where that is of the computing type. */
static int run_passes(struct resize *z, char *const buffers[2], struct err *e)
{
    bool convert = z->x->dtype != z->compute;
    int64_t dims[TENSOR_RANK_MAX];
    int left = 0, turn = 0, r = 0;
    for (int i = 0; i < z->rank; i++)
        left += !resample_same(&z->how, &z->axis[i]);
    memcpy(dims, z->x->dims, sizeof dims);
    z->from = z->x->data;
    if (left == 0) {
        memcpy(z->y->data, z->x->data, tensor_bytes(z->y));
        return 0;
    }
    if (convert) {
        z->to = buffers[0];
        r = step(z, tensor_count(z->x), 1, load_task, e);
        z->from = z->to;
        turn = 1;
    }
    for (int i = z->rank - 1; i >= 0 && !r; i--) {
        z->pass = &z->axis[i];
        if (resample_same(&z->how, z->pass))
            continue;
        dims[i] = z->pass->out;
        z->to = --left == 0 && !convert ? z->y->data : buffers[turn];
        z->inner = dims_product(dims, i + 1, z->rank);
        r = step(z, dims_product(dims, 0, i + 1), z->inner * z->pass->taps, pass_task, e);
        z->from = z->to;
        turn = !turn;
    }
    return !r && convert ? step(z, tensor_count(z->y), 1, store_task, e) : r;
}

/* Rows of the last axis that changes, in runs of the elements behind it. */
static int nearest_task(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct resize *z = arg;
    struct span s = span_of(begin, end, z->tasks, z->units);
    int last = (int)(z->pass - z->axis);
    size_t size = dtype_size(z->y->dtype), run = (size_t)z->inner * size;
    char fill[16] = {0};
    if (dtype_kind(z->y->dtype) != 'S' && dtype_kind(z->y->dtype) != 'C')
        elems_from_f64(z->y->dtype, fill, 0, 1, &z->extrapolation);
    char *o = (char *)z->y->data + (size_t)(s.first * z->pass->out) * run;
    for (int64_t row = s.first; row < s.last; row++) {
        int64_t rest = row, from = 0, stride = 1;
        bool outside = false;
        for (int i = last - 1; i >= 0; i--) {
            const struct resample_axis *a = &z->axis[i];
            int64_t k = a->index[rest % a->out];
            outside |= k < 0;
            from += k * stride;
            stride *= a->in;
            rest /= a->out;
        }
        const char *x =
            (const char *)z->x->data + (outside ? 0 : (size_t)(from * z->pass->in) * run);
        for (int64_t k = 0; k < z->pass->out; k++, o += run) {
            int64_t i = z->pass->index[k];
            if (outside || i < 0)
                move_fill(o, fill, z->inner, size);
            else
                move_bytes(o, x + (size_t)i * run, run);
        }
    }
    return 0;
}

static int run_nearest(struct resize *z, struct err *e)
{
    int last = z->rank - 1;
    if (z->rank == 0) {
        memcpy(z->y->data, z->x->data, tensor_bytes(z->y));
        return 0;
    }
    while (last > 0 && resample_same(&z->how, &z->axis[last]))
        last--;
    z->pass = &z->axis[last];
    z->inner = dims_product(z->y->dims, last + 1, z->rank);
    return step(z, dims_product(z->y->dims, 0, last), z->pass->out * z->inner, nearest_task, e);
}

static int resize_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct resize z;
    struct parts p;
    char *buffers[2];
    int r = make_resize(c, &z, e);
    if (r || tensor_count(z.y) == 0)
        return r;
    z.call = c;
    if (!lay_out(c, &z, &p, buffers))
        return err_set(e, ERR_LIMIT, "the tensor is too large");
    for (int i = 0; i < z.rank; i++)
        resample_table(&z.how, &z.axis[i]);
    return z.how.filter == RESAMPLE_NEAREST ? run_nearest(&z, e) : run_passes(&z, buffers, e);
}

/* ---- rows -------------------------------------------------------------------------------------
 */

#define AT(field) offsetof(struct resize_attrs, field)

static const struct attr resize_attr_rows[] = {
    {"mode", ATTR_STRING, AT(mode), .s = "nearest"},
    {"coordinate_transformation_mode", ATTR_STRING, AT(coordinate_transformation_mode), .since = 11,
     .s = "half_pixel"},
    {"nearest_mode", ATTR_STRING, AT(nearest_mode), .since = 11, .s = "round_prefer_floor"},
    {"cubic_coeff_a", ATTR_FLOAT, AT(cubic_coeff_a), .since = 11, .f = -0.75f},
    {"exclude_outside", ATTR_INT, AT(exclude_outside), .since = 11},
    {"extrapolation_value", ATTR_FLOAT, AT(extrapolation_value), .since = 11},
    {"antialias", ATTR_INT, AT(antialias), .since = 18},
    {"axes", ATTR_INTS, AT(axes), .since = 18},
    {"keep_aspect_ratio_policy", ATTR_STRING, AT(keep_aspect_ratio_policy), .since = 18,
     .s = "stretch"},
    {NULL},
};

const struct op op_resize = {
    .domain = "",
    .name = "Resize",
    .since = 10,
    .in_min = 1,
    .in_max = 4,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_LEADER,
    .host_in = 2 | 4 | 8,
    .attrs = resize_attr_rows,
    .attrs_size = sizeof(struct resize_attrs),
    .infer = resize_infer,
    .scratch = resize_scratch,
    .run = resize_run,
};

static const struct attr upsample_attr_rows[] = {
    {"mode", ATTR_STRING, AT(mode), .s = "nearest"},
    {"height_scale", ATTR_FLOAT, AT(height_scale), .until = 6, .required = true},
    {"width_scale", ATTR_FLOAT, AT(width_scale), .until = 6, .required = true},
    {"scales", ATTR_FLOATS, .since = 7, .until = 8, .input = 1, .required = true},
    {NULL},
};

const struct op op_upsample = {
    .domain = "",
    .name = "Upsample",
    .since = 1,
    .in_min = 1,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_LEADER,
    .host_in = 2,
    .attrs = upsample_attr_rows,
    .attrs_size = sizeof(struct resize_attrs),
    .infer = resize_infer,
    .scratch = resize_scratch,
    .run = resize_run,
};
