/* SPDX-License-Identifier: Apache-2.0 */
/* What the ways of kernels/conv.h to compute a convolution offer to conv.c, and the arithmetic that
 * they share. Product: a product of weights and patches. Depthwise: direct, one input channel a
 * group. Each fills the fields of struct conv_f32 that cut the work, once the others are set.
 */
#pragma once

#include "kernels/conv.h"

static inline size_t conv_divide_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static inline size_t conv_least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t conv_most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Operations that a task should have: a share of all, within bounds that suit the level. */
static inline double conv_task_work(const struct conv_f32 *c, double all, double lo, double hi)
{
    const double scale = c->kernel->level == CPU_C ? 0.2 : 1;
    const double target = all / 128;
    return target < lo * scale ? lo * scale : target > hi * scale ? hi * scale : target;
}

void conv_product_init(struct conv_f32 *c);
/* One group. */
void conv_product_pack(const struct conv_f32 *c, const float *w, float *out);
size_t conv_product_scratch(const struct conv_f32 *c);
void conv_product_run(const struct conv_f32 *c, const struct conv_f32_args *args, size_t task,
                      float *scratch);

void conv_depthwise_init(struct conv_f32 *c);
size_t conv_depthwise_scratch(const struct conv_f32 *c);
void conv_depthwise_run(const struct conv_f32 *c, const struct conv_f32_args *args, size_t task,
                        float *scratch);
