/* SPDX-License-Identifier: Apache-2.0 */
/* The walk in steps of eight elements that vector rows of kernels/cast.h share. A file defines
 * name_step(), then ROW(name, x_size, y_size), sizes in bytes. */
#pragma once

#include <string.h>

#include "kernels/cast.h"

enum { STEP = 8 };

/* STEP elements, unaligned. */
typedef void step_fn(const void *x, void *y);

static inline __attribute__((always_inline)) void steps_run(step_fn *f, const unsigned char *x,
                                                            size_t x_size, unsigned char *y,
                                                            size_t y_size, size_t n)
{
    size_t i = 0;

    for (; i + STEP <= n; i += STEP)
        f(x + i * x_size, y + i * y_size);
    if (i < n) {
        unsigned char in[STEP * 8] = {0}, out[STEP * 8];
        memcpy(in, x + i * x_size, (n - i) * x_size);
        f(in, out);
        memcpy(y + i * y_size, out, (n - i) * y_size);
    }
}

#define ROW(name, x_size, y_size)                            \
    static void name(const void *x, void *y, size_t n)       \
    {                                                        \
        steps_run(name##_step, x, x_size, y, y_size, n);     \
    }
