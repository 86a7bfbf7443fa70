/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of equal type and dims, one a trip, that become one tensor with a new axis: what Loop and Scan
 * gather. A struct stack starts zeroed; it owns what was put in. */
#pragma once

#include "graph/op.h"

struct stack {
    struct tensor *items;
    size_t n, capacity;
};

/* Take a value over (also on failure): a tensor like those before. */
int stack_push(struct stack *s, struct budget *b, struct value *v, struct err *e) WARN_UNUSED;
/* One tensor with the items along a new `axis`, in order or reversed; `empty` is its type for no items (an
 * item's dtype and dims, unknown ones as 0). */
int stack_join(const struct stack *s, int axis, bool reversed, const struct type *empty,
               struct budget *b, struct value *out, struct err *e) WARN_UNUSED;
void stack_clear(struct stack *s);
