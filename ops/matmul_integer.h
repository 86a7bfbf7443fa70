/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices of bytes with zero points, for all operators that are one: exact sums,
 * then what becomes of them. For ops/ only; `infer` and `prepare` on one thread, `run` by the
 * leader of a call.
 */
#pragma once

#include "ops/common.h"

/* Where the inputs stand; input 0 is A, -1 is no such input. With y_scale the sums become bytes:
 * times a_scale * b_scale / y_scale, rounded, plus y_zero. Else, with b_scale, floats: times
 * a_scale * b_scale, plus bias (one a column). Else they stay. Where y_scale may be absent and
 * is, they become floats. */
struct integer_places {
    int b, a_zero, b_zero, a_scale, b_scale, bias, y_scale, y_zero;
    int sum_bias; /* int32, added to the sums, broadcast to the result */
    bool dynamic; /* A is float and takes 256 steps first, as in DynamicQuantizeLinear */
    bool gemm;    /* the attributes are a struct attrs_qgemm; A and B are matrices */
};

struct attrs_qgemm {
    int64_t trans_a, trans_b;
    float alpha;
};

int integer_product_infer(struct infer *c, const struct integer_places *p, enum dtype to,
                          struct err *e) WARN_UNUSED;
int integer_product_prepare(struct prepare *p, const struct integer_places *at,
                            struct err *e) WARN_UNUSED;
size_t integer_product_scratch(const struct call *c, const struct integer_places *at,
                               size_t *per_member);
int integer_product_run(struct call *c, const struct integer_places *at, struct err *e) WARN_UNUSED;
/* The same into `y`, which has the product's dims, with `scratch` of as many bytes as the shared
 * ones. */
int integer_product_into(struct call *c, const struct integer_places *at, struct tensor *y,
                         void *scratch, struct err *e) WARN_UNUSED;
