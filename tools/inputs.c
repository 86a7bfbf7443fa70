/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/inputs.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/dtype.h"
#include "core/file.h"
#include "core/picture.h"
#include "core/tensor.h"

int from_infer(const struct infer_error *inner, struct err *e)
{
    return err_set(e, (enum err_code)inner->code, "%s", inner->message);
}

const char *value_describe(const struct infer_value *v, char *buf, size_t size)
{
    switch (infer_value_kind(v)) {
    case INFER_TENSOR: {
        char dims[128];
        snprintf(buf, size, "%s%s", infer_type_name(infer_value_type(v)),
                 dims_describe(infer_value_dims(v), infer_value_rank(v), dims, sizeof(dims)));
        break;
    }
    case INFER_SEQUENCE:
        snprintf(buf, size, "sequence of %lld", (long long)infer_value_count(v));
        break;
    case INFER_MAP:
        snprintf(buf, size, "map of %lld", (long long)infer_value_count(v));
        break;
    default:
        snprintf(buf, size, "nothing");
    }
    return buf;
}

/* ---- dims ---------------------------------------------------------------------------------------- */

static bool split_dim(const char *text, size_t *name, int64_t *n)
{
    const char *equals = strrchr(text, '=');
    char *end;
    if (!equals || !equals[1])
        return false;
    long long v = strtoll(equals + 1, &end, 10);
    *name = (size_t)(equals - text);
    *n = v;
    return !*end && v >= 0 && v <= INT32_MAX;
}

static bool model_has_symbol(const struct infer_model *m, const char *name, size_t n)
{
    for (int i = 0; i < infer_model_inputs(m); i++) {
        const struct infer_port *p = infer_model_input(m, i);
        for (int k = 0; k < p->rank; k++)
            if (p->symbols[k] && strlen(p->symbols[k]) == n && memcmp(p->symbols[k], name, n) == 0)
                return true;
    }
    return false;
}

int inputs_check_dims(const struct infer_model *m, const struct input_options *o, struct err *e)
{
    for (int i = 0; i < o->dims.n; i++) {
        size_t name;
        int64_t n;
        if (!split_dim(o->dims.items[i], &name, &n))
            return err_set(e, ERR_USAGE, "--dim: '%.100s' is not NAME=N with N from 0 to 2147483647",
                           o->dims.items[i]);
        if (!model_has_symbol(m, o->dims.items[i], name))
            fprintf(stderr, "warning: the model has no symbolic dimension '%.*s'\n", (int)name,
                    o->dims.items[i]);
    }
    return 0;
}

struct infer_dim *inputs_list_dims(const struct input_options *o, int *n, struct err *e)
{
    size_t name, bytes = 0;
    for (int i = 0; i < o->dims.n; i++)
        bytes += strlen(o->dims.items[i]) + 1;
    struct infer_dim *list = mem_calloc(NULL, 1, ((size_t)o->dims.n + 1) * sizeof(*list) + bytes, e);
    char *text = list ? (char *)(list + o->dims.n + 1) : NULL;
    *n = 0;
    for (int i = 0; i < o->dims.n && list; i++) {
        if (!split_dim(o->dims.items[i], &name, &list[*n].value))
            continue;
        memcpy(text, o->dims.items[i], name);
        list[(*n)++].name = text;
        text += name + 1;
    }
    return list;
}

void inputs_dims(const struct infer_port *p, const struct input_options *o, int64_t *dims)
{
    for (int k = 0; k < p->rank; k++) {
        dims[k] = p->dims[k] >= 0 ? p->dims[k] : 1;
        for (int i = 0; p->dims[k] < 0 && i < o->dims.n; i++) {
            size_t name;
            int64_t n;
            if (split_dim(o->dims.items[i], &name, &n) && p->symbols[k] &&
                strlen(p->symbols[k]) == name && memcmp(p->symbols[k], o->dims.items[i], name) == 0)
                dims[k] = n;
        }
    }
}

/* ---- made from a seed ----------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) /* splitmix64 (Steele, Lea, Flood 2014) */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void fill_random(const struct infer_port *p, struct infer_value *v, uint64_t seed)
{
    uint64_t state = seed;
    for (const char *c = p->name; *c; c++)
        state = state * 31 + (unsigned char)*c;
    enum dtype t = (enum dtype)p->type;
    size_t size = dtype_size(t);
    char *data = infer_value_data(v);
    bool ones = strstr(p->name, "mask") != NULL, zeros = strstr(p->name, "type") != NULL;
    int64_t n = infer_value_count(v);
    if (!data || t == DTYPE_BOOL)
        return;
    if (dtype_kind(t) == 'C') {
        n *= 2;
        size /= 2;
        t = t == DTYPE_C64 ? DTYPE_F32 : DTYPE_F64;
    }
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = next_random(&state);
        if (dtype_is_float(t))
            dtype_store_f64(t, data + (size_t)i * size, (double)(r >> 40) / 16777216.0);
        else
            dtype_store_i64(t, data + (size_t)i * size, ones ? 1 : zeros ? 0 : (int64_t)(r % 100));
    }
}

static struct infer_value *empty_map(const struct infer_port *p, struct infer_error *e)
{
    struct infer_value *keys = infer_value_new(p->type, 1, (int64_t[]){0}, e), *map = NULL;
    struct infer_value *values = p->value_type ? infer_value_new(p->value_type, 1, (int64_t[]){0}, e)
                                               : infer_value_sequence(0, e);
    if (keys && values)
        map = infer_value_map(keys, values, e);
    infer_value_free(keys);
    infer_value_free(values);
    return map;
}

struct infer_value *inputs_random(const struct infer_model *m, int i, const struct input_options *o,
                                  struct err *e)
{
    const struct infer_port *p = infer_model_input(m, i);
    struct infer_error inner = {0};
    int64_t dims[INFER_RANK_MAX];
    struct infer_value *v = NULL;
    if (p->optional || p->kind == INFER_NONE) {
        v = infer_value_none(&inner);
    } else if (p->kind == INFER_MAP) {
        v = empty_map(p, &inner);
    } else if (p->kind == INFER_SEQUENCE) {
        v = infer_value_sequence(p->item == INFER_TENSOR ? p->type : 0, &inner);
    } else {
        inputs_dims(p, o, dims);
        v = infer_value_new(p->type, p->rank < 0 ? 0 : p->rank, dims, &inner);
    }
    if (!v) {
        from_infer(&inner, e);
        return NULL;
    }
    if (infer_value_kind(v) == INFER_TENSOR)
        fill_random(p, v, o->seed);
    return v;
}

/* ---- pictures ------------------------------------------------------------------------------------- */

static int three_numbers(const char *text, const char *what, double fallback, double out[3], struct err *e)
{
    out[0] = out[1] = out[2] = fallback;
    if (!text)
        return 0;
    char *end;
    int n = 0;
    for (const char *s = text; n < 3; s = end + 1) {
        out[n++] = strtod(s, &end);
        if (end == s || (*end && *end != ','))
            return err_set(e, ERR_USAGE, "--%s: '%.100s' is not A or A,B,C", what, text);
        if (!*end)
            break;
    }
    if (*end || n == 2)
        return err_set(e, ERR_USAGE, "--%s: '%.100s' is not A or A,B,C", what, text);
    if (n == 1)
        out[1] = out[2] = out[0];
    return 0;
}

struct picture_plan {
    bool channels_last, bgr;
    int channels, height, width;
    double mean[3], std[3];
};

static int plan_picture(const struct infer_port *p, const int64_t *dims, const struct input_options *o,
                        struct picture_plan *plan, struct err *e)
{
    int rc = three_numbers(o->mean, "mean", 0, plan->mean, e);
    if (rc == 0)
        rc = three_numbers(o->std, "std", o->mean ? 1 : 255, plan->std, e);
    if (rc < 0)
        return rc;
    for (int c = 0; c < 3; c++)
        if (plan->std[c] == 0)
            return err_set(e, ERR_USAGE, "--std: 0 cannot divide");
    if (o->order && strcmp(o->order, "rgb") != 0 && strcmp(o->order, "bgr") != 0)
        return err_set(e, ERR_USAGE, "--order: '%.40s' is not rgb or bgr", o->order);
    if (o->layout && strcmp(o->layout, "nchw") != 0 && strcmp(o->layout, "nhwc") != 0)
        return err_set(e, ERR_USAGE, "--layout: '%.40s' is not nchw or nhwc", o->layout);
    plan->bgr = o->order && strcmp(o->order, "bgr") == 0;
    if (p->rank != 3 && p->rank != 4)
        return err_set(e, ERR_INPUT, "input '%.100s' is %s: a picture needs 3 or 4 dims", p->name, p->text);
    const int64_t *d = dims + (p->rank - 3);
    bool last = d[2] == 1 || d[2] == 3, first = d[0] == 1 || d[0] == 3;
    plan->channels_last = o->layout ? o->layout[1] == 'h' : last && !first;
    int64_t channels = plan->channels_last ? d[2] : d[0];
    int64_t height = plan->channels_last ? d[0] : d[1], width = plan->channels_last ? d[1] : d[2];
    if ((channels != 1 && channels != 3) || height < 1 || width < 1 || height > PICTURE_DIM_MAX ||
        width > PICTURE_DIM_MAX || (p->rank == 4 && dims[0] != 1))
        return err_set(e, ERR_INPUT, "input '%.100s' is %s: a picture is one of 1 or 3 channels%s", p->name,
                       p->text, height == 1 && width == 1 ? " (give its size with --dim)" : "");
    plan->channels = (int)channels;
    plan->height = (int)height;
    plan->width = (int)width;
    return 0;
}

static void store_pixels(const struct picture *pic, const struct picture_plan *plan, enum dtype t,
                         char *data)
{
    size_t size = dtype_size(t), pixels = (size_t)plan->height * (size_t)plan->width;
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *rgb = pic->rgb + 3 * i;
        for (int c = 0; c < plan->channels; c++) {
            double v = plan->channels == 1 ? 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
                                           : rgb[plan->bgr ? 2 - c : c];
            size_t at = plan->channels_last ? i * (size_t)plan->channels + (size_t)c
                                            : (size_t)c * pixels + i;
            if (dtype_is_float(t))
                dtype_store_f64(t, data + at * size, (v - plan->mean[c]) / plan->std[c]);
            else
                dtype_store_i64(t, data + at * size, (int64_t)(v + 0.5));
        }
    }
}

static struct infer_value *read_picture(const struct infer_port *p, const struct file *f,
                                        const struct input_options *o, struct err *e)
{
    struct picture_plan plan;
    struct picture pic = {0}, fit = {0};
    struct infer_error inner = {0};
    struct infer_value *v = NULL;
    int64_t dims[INFER_RANK_MAX];
    inputs_dims(p, o, dims);
    if (plan_picture(p, dims, o, &plan, e) < 0 ||
        picture_decode(&pic, budget_process(), f->data, f->size, e) < 0)
        return NULL;
    if (picture_resize(&fit, &pic, plan.width, plan.height, budget_process(), e) == 0) {
        v = infer_value_new(p->type, p->rank, dims, &inner);
        if (!v)
            from_infer(&inner, e);
        else if (!infer_value_data(v))
            err_set(e, ERR_INPUT, "input '%.100s' is %s: no picture fits", p->name, p->text);
        else
            store_pixels(&fit, &plan, (enum dtype)p->type, infer_value_data(v));
    }
    picture_clear(&fit);
    picture_clear(&pic);
    return v;
}

/* ---- text ------------------------------------------------------------------------------------------ */

/* Numbers apart by white space or commas. A rank-1 symbolic input takes as many as there are. */
static struct infer_value *read_text(const struct infer_port *p, const struct file *f,
                                     const struct input_options *o, struct err *e)
{
    int64_t dims[INFER_RANK_MAX], want, got = 0;
    struct infer_error inner = {0};
    char *text = mem_strndup(NULL, (const char *)f->data, f->size, e);
    if (!text)
        return NULL;
    for (char *c = text; *c; c++)
        if (*c == ',' || isspace((unsigned char)*c))
            *c = ' ';
    char *s = text, *end;
    for (;; got++, s = end) {
        strtod(s, &end);
        if (end == s)
            break;
    }
    while (*s == ' ')
        s++;
    struct infer_value *v = NULL;
    inputs_dims(p, o, dims);
    for (int k = p->rank - 1; k >= 0; k--)
        if (p->dims[k] < 0 && dims_count(dims, p->rank, &want) && want == 1) {
            dims[k] = got; /* the last symbolic dim, if nothing else was said */
            break;
        }
    if (*s)
        err_set(e, ERR_INPUT, "input '%.100s': '%.20s' is not a number", p->name, s);
    else if (p->rank < 0 || !dims_count(dims, p->rank, &want) || want != got)
        err_set(e, ERR_INPUT, "input '%.100s' is %s: the text has %lld numbers", p->name, p->text,
                (long long)got);
    else if (!(v = infer_value_new(p->type, p->rank, dims, &inner)))
        from_infer(&inner, e);
    if (v && !infer_value_data(v)) {
        err_set(e, ERR_INPUT, "input '%.100s' takes strings: use a .npy or .pb file", p->name);
        infer_value_free(v);
        v = NULL;
    }
    s = text;
    size_t size = infer_type_size(p->type);
    for (int64_t i = 0; v && i < got; i++) {
        char *to = (char *)infer_value_data(v) + (size_t)i * size;
        if (dtype_is_float((enum dtype)p->type))
            dtype_store_f64((enum dtype)p->type, to, strtod(s, &end));
        else {
            long long n = strtoll(s, &end, 10);
            double x = strtod(s, &s);
            dtype_store_i64((enum dtype)p->type, to, end == s ? n : (int64_t)x);
            continue;
        }
        s = end;
    }
    mem_free(text);
    return v;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcasecmp(s + n - k, end) == 0;
}

struct infer_value *inputs_read(const struct infer_model *m, int i, const char *path,
                                const struct input_options *o, struct err *e)
{
    const struct infer_port *p = infer_model_input(m, i);
    struct infer_error inner = {0};
    struct infer_value *v;
    if (ends_with(path, ".npy") || ends_with(path, ".npz") || ends_with(path, ".pb")) {
        v = ends_with(path, ".pb") ? infer_value_read_for(p, path, NULL, 0, &inner)
                                   : infer_value_read(path, p->name, NULL, 0, &inner);
        if (!v)
            from_infer(&inner, e);
        return v;
    }
    struct file *f = file_open(NULL, path, false, e);
    if (!f)
        return NULL;
    if (picture_known(f->data, f->size))
        v = read_picture(p, f, o, e);
    else if (ends_with(path, ".txt"))
        v = read_text(p, f, o, e);
    else {
        v = NULL;
        err_set(e, ERR_INPUT, "'%.200s': expected .npy, .npz, .pb, .txt or a picture", path);
    }
    file_unref(f);
    return v;
}
