/* SPDX-License-Identifier: Apache-2.0 */
/* Sliding windows: what convolutions and pools share. Attributes become numbers, three spatial dims
 * always (depth, height, width; missing ones stand in front with size, kernel, stride and dilation
 * 1 and no pads), and output sizes follow by ONNX's rules, on symbols as on numbers. For ops/ only;
 * pure functions, any thread.
 */
#pragma once

#include <string.h>

#include "ops/common.h"

enum { WINDOW_DIMS = 3 };

enum auto_pad { AUTO_PAD_NOTSET, AUTO_PAD_SAME_UPPER, AUTO_PAD_SAME_LOWER, AUTO_PAD_VALID };

/* The attributes as they stand in attrs.h. */
struct window_lists {
    struct str auto_pad;
    struct ints kernel_shape, strides, pads, dilations;
};
#define WINDOW_LISTS(a)                                                                            \
    ((struct window_lists){(a)->auto_pad, (a)->kernel_shape, (a)->strides, (a)->pads, \
                           (a)->dilations})

/* kernel may be symbolic before run time; pad and pad_end are the attribute's until
 * window_place(). */
struct window {
    int rank; /* spatial dims, 1 to WINDOW_DIMS; the last `rank` entries are theirs */
    enum auto_pad auto_pad;
    bool ceil;
    int64_t kernel[WINDOW_DIMS], stride[WINDOW_DIMS], dilation[WINDOW_DIMS];
    int64_t pad[WINDOW_DIMS], pad_end[WINDOW_DIMS];
    int64_t in[WINDOW_DIMS], out[WINDOW_DIMS];
};

/* Read and check the attributes for `rank` spatial dims. `kernel`: the dims of the weights (rank
 * of them, maybe symbolic), which kernel_shape must repeat; NULL: kernel_shape is required. */
int window_read(struct window *w, const struct window_lists *a, int rank, const int64_t *kernel,
                struct err *e) WARN_UNUSED;

/* Sizes of the output, from `in` (w->rank of them, maybe symbolic), into w->in and w->out. */
int window_size(struct window *w, struct syms *s, const int64_t *in, struct err *e) WARN_UNUSED;

/* With numbers in w->in and w->out: the pads that auto_pad stands for. */
void window_place(struct window *w);

/* The output's spatial sizes of a window, w->rank of them. */
static inline const int64_t *window_out(const struct window *w)
{
    return w->out + WINDOW_DIMS - w->rank;
}
static inline int64_t window_product(const int64_t v[WINDOW_DIMS])
{
    return v[0] * v[1] * v[2];
}

/* The taps [from, to) of window o that lie inside the image, and where the first of all taps
 * lies. */
struct window_reach {
    int64_t first, from, to;
};

static inline struct window_reach window_reach(const struct window *w, int i, int64_t o)
{
    int64_t first = o * w->stride[i] - w->pad[i], d = w->dilation[i];
    struct window_reach r = {first, first < 0 ? (-first + d - 1) / d : 0, w->kernel[i]};
    int64_t most = first < w->in[i] ? (w->in[i] - first + d - 1) / d : 0;
    r.to = r.to < most ? r.to : most;
    return r;
}

/* Taps of window o inside the image with its pads on both sides. */
static inline int64_t window_padded_taps(const struct window *w, int i, int64_t o)
{
    int64_t first = o * w->stride[i] - w->pad[i], d = w->dilation[i];
    int64_t most = (w->in[i] + w->pad_end[i] - first + d - 1) / d;
    return w->kernel[i] < most ? w->kernel[i] : most > 0 ? most : 0;
}

/* Dims of an image with the channel in its usual place, second, where it stands last (`last`);
 * and back. */
static inline void window_channels_first(const int64_t *in, int rank, bool last, int64_t *out)
{
    memcpy(out, in, (size_t)rank * sizeof *out);
    if (last && rank > 2) {
        out[1] = in[rank - 1];
        memcpy(out + 2, in + 1, (size_t)(rank - 2) * sizeof *out);
    }
}
static inline void window_channels_back(const int64_t *in, int rank, bool last, int64_t *out)
{
    memcpy(out, in, (size_t)rank * sizeof *out);
    if (last && rank > 2) {
        memcpy(out + 1, in + 2, (size_t)(rank - 2) * sizeof *out);
        out[rank - 1] = in[1];
    }
}
