/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing a result with what was expected: |got - want| <= atol + rtol * |want|, or type and shape alone. */
#pragma once

#include "core/err.h"
#include "runtime/infer.h"

enum compare_mode { COMPARE_ELEMENT, COMPARE_TENSOR, COMPARE_SHAPE };

struct compare {
    enum compare_mode mode; /* TENSOR: |want| is the tensor's largest finite magnitude */
    double rtol, atol;
    int64_t quantum;        /* 8- and 16-bit integers may differ by so much */
};

/* ERR_COMPARE says where the first difference is and how large the largest. */
int compare_values(const struct compare *c, const struct infer_value *got, const struct infer_value *want,
                   struct err *e) WARN_UNUSED;
