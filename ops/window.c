/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/window.h"

#include <string.h>

/* Bound of every attribute: sizes and positions then stay within 62 bits. */
static const int64_t far = INT64_C(1) << 30;

static int read_auto_pad(const struct str *s, enum auto_pad *out, struct err *e)
{
    static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    *out = AUTO_PAD_NOTSET;
    if (!s->data || s->size == 0)
        return 0;
    for (int i = 0; i < 4; i++) {
        if (s->size == strlen(names[i]) && memcmp(s->data, names[i], s->size) == 0) {
            *out = (enum auto_pad)i;
            return 0;
        }
    }
    return err_set(e, ERR_MODEL, "auto_pad is '%.*s', not NOTSET, SAME_UPPER, SAME_LOWER or VALID",
                   (int)(s->size < 40 ? s->size : 40), s->data);
}

/* `rank` numbers of a list, from place `first`, into the last entries of out; `other` stands in
 * front and where the list is absent. */
static int read_list(const struct ints *a, int64_t first, int rank, int64_t other, int64_t low,
                     const char *name, int64_t *out, struct err *e)
{
    for (int i = 0; i < WINDOW_DIMS; i++) {
        int k = i - (WINDOW_DIMS - rank);
        out[i] = k >= 0 && a->v ? a->v[first + k] : other;
        if (out[i] < low || out[i] >= far)
            return err_set(e, ERR_MODEL,
                           "attribute %s holds %lld, outside [%lld, %lld)", name, (long long)out[i],
                           (long long)low, (long long)far);
    }
    return 0;
}

static int read_kernel(struct window *w, const struct window_lists *a, const int64_t *kernel,
                       struct err *e)
{
    int skip = WINDOW_DIMS - w->rank;
    if (!kernel && !a->kernel_shape.v)
        return err_set(e, ERR_MODEL, "attribute kernel_shape is missing");
    int r = read_list(&a->kernel_shape, 0, w->rank, 1, 1, "kernel_shape", w->kernel, e);
    for (int i = 0; i < w->rank && kernel && r == 0; i++) {
        bool number = sym_is_number(kernel[i]);
        if (number && (kernel[i] < 1 || kernel[i] >= far))
            return err_set(e, ERR_MODEL, "the weights' spatial dim %d is %lld", i,
                           (long long)kernel[i]);
        if (!a->kernel_shape.v)
            w->kernel[skip + i] = kernel[i];
        else if (number && kernel[i] != w->kernel[skip + i])
            return err_set(e, ERR_MODEL, "kernel_shape has %lld where the weights have %lld",
                           (long long)w->kernel[skip + i], (long long)kernel[i]);
    }
    return r;
}

int window_read(struct window *w, const struct window_lists *a, int rank, const int64_t *kernel,
                struct err *e)
{
    *w = (struct window){.rank = rank};
    if (rank < 1)
        return err_set(e, ERR_MODEL, "the input has no spatial dims");
    if (rank > WINDOW_DIMS)
        return err_set(e, ERR_UNSUPPORTED, "%d spatial dims, more than %d", rank, WINDOW_DIMS);
    int r = ints_length(&a->kernel_shape, rank, "kernel_shape", e);
    if (r || (r = ints_length(&a->strides, rank, "strides", e)) ||
        (r = ints_length(&a->dilations, rank, "dilations", e)) ||
        (r = ints_length(&a->pads, 2 * (int64_t)rank, "pads", e)) ||
        (r = read_auto_pad(&a->auto_pad, &w->auto_pad, e)) || (r = read_kernel(w, a, kernel, e)) ||
        (r = read_list(&a->strides, 0, rank, 1, 1, "strides", w->stride, e)) ||
        (r = read_list(&a->dilations, 0, rank, 1, 1, "dilations", w->dilation, e)))
        return r;
    struct ints pads = w->auto_pad == AUTO_PAD_NOTSET ? a->pads : (struct ints){NULL, 0};
    r = read_list(&pads, 0, rank, 0, 0, "pads", w->pad, e);
    return r ? r : read_list(&pads, rank, rank, 0, 0, "pads", w->pad_end, e);
}

/* Elements that a window spans. */
static int64_t span(struct syms *s, const struct window *w, int i)
{
    return sym_add(s, sym_mul(s, sym_sub(s, w->kernel[i], 1), w->dilation[i]), 1);
}

/* As many windows as there are steps of the stride; with `ceil` one more for a rest, unless it
 * would start beyond the image and the pad before it. */
static int size_notset(struct window *w, struct syms *s, int i, struct err *e)
{
    int64_t wide = span(s, w, i), stride = w->stride[i];
    int64_t from_pad = sym_add(s, w->in[i], w->pad[i]);
    int64_t padded = sym_add(s, from_pad, w->pad_end[i]), room = sym_sub(s, padded, wide);
    bool numbers = sym_is_number(room) && sym_is_number(w->in[i]);
    if (numbers && room < 0) {
        if (w->in[i] > 0)
            return err_set(e, s ? ERR_MODEL : ERR_INPUT,
                           "a window over %lld elements does not fit into %lld with their pads",
                           (long long)wide, (long long)padded);
        w->out[i] = 0;
        return 0;
    }
    if (!w->ceil || w->auto_pad == AUTO_PAD_VALID) {
        w->out[i] = sym_add(s, sym_floor_div(s, room, stride), 1);
        return 0;
    }
    int64_t all = sym_add(s, sym_ceil_div(s, room, stride), 1);
    int64_t most = sym_ceil_div(s, from_pad, stride);
    w->out[i] = sym_max(s, sym_min(s, all, most), sym_sub(s, all, 1));
    return 0;
}

int window_size(struct window *w, struct syms *s, const int64_t *in, struct err *e)
{
    for (int i = 0; i < WINDOW_DIMS; i++) {
        int k = i - (WINDOW_DIMS - w->rank);
        w->in[i] = k >= 0 ? in[k] : 1;
        w->out[i] = 1;
        if (k < 0)
            continue;
        if (w->auto_pad == AUTO_PAD_SAME_UPPER || w->auto_pad == AUTO_PAD_SAME_LOWER) {
            w->out[i] = sym_ceil_div(s, w->in[i], w->stride[i]);
            continue;
        }
        int r = size_notset(w, s, i, e);
        if (r)
            return r;
    }
    return 0;
}

void window_place(struct window *w)
{
    for (int i = 0; i < WINDOW_DIMS; i++) {
        if (w->auto_pad != AUTO_PAD_SAME_UPPER && w->auto_pad != AUTO_PAD_SAME_LOWER)
            continue;
        int64_t covered = (w->out[i] - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1;
        int64_t total = covered > w->in[i] && w->out[i] > 0 ? covered - w->in[i] : 0;
        w->pad[i] = w->auto_pad == AUTO_PAD_SAME_UPPER ? total / 2 : total - total / 2;
        w->pad_end[i] = total - w->pad[i];
    }
}
