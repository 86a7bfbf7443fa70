/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/stack.h"

#include <string.h>

#include "ops/common.h"

int stack_push(struct stack *s, struct budget *b, struct value *v, struct err *e)
{
    char have[160], first[160];
    int rc = 0;
    if (v->kind != VALUE_TENSOR)
        rc = err_set(e, ERR_MODEL, "a gathered output is not a tensor");
    else if (s->n && (v->tensor.dtype != s->items->dtype || v->tensor.rank != s->items->rank ||
                      memcmp(v->tensor.dims, s->items->dims,
                             (size_t)v->tensor.rank * sizeof(*v->tensor.dims)) != 0))
        rc = err_set(e, ERR_INPUT, "a trip gave %s, the first one %s",
                     tensor_describe(&v->tensor, have, sizeof(have)),
                     tensor_describe(s->items, first, sizeof(first)));
    else
        rc = mem_grow(b, (void **)&s->items, s->n, &s->capacity, sizeof(*s->items), e);
    if (rc < 0) {
        value_clear(v);
        return rc;
    }
    s->items[s->n++] = v->tensor;
    *v = (struct value){0};
    return 0;
}

int stack_join(const struct stack *s, int axis, bool reversed, const struct type *empty,
               struct budget *b, struct value *out, struct err *e)
{
    struct tensor item = {.dtype = empty->dtype, .rank = empty->rank < 0 ? 0 : empty->rank};
    for (int k = 0; k < item.rank; k++)
        item.dims[k] = sym_is_number(empty->dims[k]) ? empty->dims[k] : 0;
    if (s->n)
        item = s->items[0];
    if (item.rank + 1 > TENSOR_RANK_MAX)
        return err_set(e, ERR_LIMIT, "the gathered tensor would have more than %d dims", TENSOR_RANK_MAX);
    axis = axis < 0 ? axis + item.rank + 1 : axis;
    if (axis < 0 || axis > item.rank)
        return err_set(e, ERR_MODEL, "axis %d does not fit an output of rank %d", axis, item.rank + 1);
    int64_t dims[TENSOR_RANK_MAX];
    memcpy(dims, item.dims, (size_t)axis * sizeof(*dims));
    dims[axis] = (int64_t)s->n;
    memcpy(dims + axis + 1, item.dims + axis, (size_t)(item.rank - axis) * sizeof(*dims));
    out->kind = VALUE_TENSOR;
    int rc = tensor_new(&out->tensor, b, item.dtype, item.rank + 1, dims, e);
    if (rc < 0)
        return rc;
    int64_t outer = dims_product(item.dims, 0, axis);
    size_t run = (size_t)dims_product(item.dims, axis, item.rank) * dtype_size(item.dtype);
    for (size_t i = 0; i < s->n && run; i++) {
        const struct tensor *from = &s->items[reversed ? s->n - 1 - i : i];
        for (int64_t o = 0; o < outer; o++)
            memcpy((char *)out->tensor.data + ((size_t)o * s->n + i) * run,
                   (const char *)from->data + (size_t)o * run, run);
        if (item.dtype == DTYPE_STRING && from->buffer && rc == 0)
            rc = buffer_keep(out->tensor.buffer, from->buffer, e);
    }
    if (rc < 0)
        value_clear(out);
    return rc;
}

void stack_clear(struct stack *s)
{
    for (size_t i = 0; i < s->n; i++)
        tensor_clear(&s->items[i]);
    mem_free(s->items);
    *s = (struct stack){0};
}
