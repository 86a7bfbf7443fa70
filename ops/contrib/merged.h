/* SPDX-License-Identifier: Apache-2.0 */
/* The product before attention: rows of f32 from x times a merged weight plus its bias, whatever
 * float they come in. The node's input 1 may have been packed by product_prepare(). For ops/ only.
 */
#pragma once

#include "ops/contrib/attention_parts.h"
#include "ops/product.h"

struct merged_product {
    const struct tensor *x, *weight, *bias; /* bias NULL: none */
    int64_t bias_first;                     /* its first element */
    int64_t m, k, n;
    float *out, *wide_x, *wide_weight,
        *wide_bias; /* wide_*: NULL where the input is f32 (or packed) */
    struct product product;
};

/* Give x, weight, bias, m, k and n their scratch. bound: the weight is input 1 of a node that was
 * prepared. */
void merged_product_fill(struct merged_product *p, const struct call *c, bool bound,
                         struct shelf *room);
int merged_product_run(struct merged_product *p, struct call *c, struct err *e) WARN_UNUSED;
