/* SPDX-License-Identifier: Apache-2.0 */
/* The activation that a fused operator (FusedConv, FusedGemm, FusedMatMulActivation) applies to its
 * output: a name and up to three numbers, which become a function of kernels/unary.h. For
 * ops/contrib only; pure functions, any thread.
 */
#pragma once

#include <string.h>

#include "kernels/unary.h"
#include "ops/span.h"

struct activation {
    bool some; /* false: none */
    enum unary_op op;
    float param[2];
};

static inline bool text_is(struct str s, const char *word)
{
    return s.size == strlen(word) && (s.size == 0 || memcmp(s.data, word, s.size) == 0);
}

/* An absent or empty name is none. `given` has n numbers, in the order alpha, beta, gamma; those
 * missing or NaN have ONNX's defaults. ERR_MODEL if the name is not known. */
int activation_read(struct str name, const float *given, int64_t n, struct activation *out,
                    struct err *e) WARN_UNUSED;

/* Output 0 becomes f(output 0 + z), in place, in tasks on c's team; z (of output 0's shape and
 * dtype) may be NULL. For OP_LEADER operators of float dtypes. */
int activation_finish(struct call *c, const struct activation *a, const struct tensor *z,
                      struct err *e) WARN_UNUSED;

/* y[i] = f(x[i] + bias[i]) for n floats; bias may be NULL, y may be x. */
void activation_f32(const struct activation *a, const float *x, const float *bias, float *y,
                    int64_t n);
void activation_f64(const struct activation *a, const double *x, const double *bias, double *y,
                    int64_t n);
