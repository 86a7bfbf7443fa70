/* SPDX-License-Identifier: Apache-2.0 */
/* Sliding windows: what convolutions and pools share. Attributes become numbers, three spatial dims
 * always (depth, height, width; missing ones stand in front with size, kernel, stride and dilation
 * 1 and no pads), and output sizes follow by ONNX's rules, on symbols as on numbers. For ops/ only;
 * pure functions, any thread.
 */
#pragma once

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
