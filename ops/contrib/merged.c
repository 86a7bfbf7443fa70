/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/contrib/merged.h"

#include "ops/span.h"

void merged_product_fill(struct merged_product *p, const struct call *c, bool bound,
                         struct shelf *room)
{
    bool wide = p->x->dtype != DTYPE_F32;
    p->product = (struct product){.dtype = DTYPE_F32,
                                  .m = p->m,
                                  .n = p->n,
                                  .k = p->k,
                                  .batch = 1,
                                  .a_row = p->k,
                                  .a_k = 1,
                                  .b_k = p->n,
                                  .b_n = 1,
                                  .epilogue = GEMM_EPILOGUE_NONE};
    if (bound)
        product_bind(&p->product, c);
    else
        p->product.kernel = gemm_f32_pick();
    p->out = shelf_take(room, (size_t)(p->m * p->n), sizeof(float));
    p->wide_x = wide ? shelf_take(room, (size_t)(p->m * p->k), sizeof(float)) : NULL;
    p->wide_weight =
        wide && !p->product.packed ? shelf_take(room, (size_t)(p->k * p->n), sizeof(float)) : NULL;
    p->wide_bias = wide && p->bias ? shelf_take(room, (size_t)p->n, sizeof(float)) : NULL;
    p->product.a = wide ? p->wide_x : p->x->data;
    p->product.b = wide ? p->wide_weight : p->weight->data;
    p->product.c = p->out;
    if (p->bias)
        p->product.epilogue.bias =
            wide ? p->wide_bias : (const float *)p->bias->data + p->bias_first;
}

struct work {
    struct call *c;
    const struct merged_product *p;
};

static int widen(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct work *w = arg;
    const struct merged_product *p = w->p;
    int64_t rows = p->m * p->k, all = rows + (p->wide_weight ? p->k * p->n : 0);
    struct span s = span_of(begin, end, tasks_for(all, 1), all);
    if (s.first < rows)
        elems_to_f32(p->x->dtype, p->x->data, s.first, (s.last < rows ? s.last : rows) - s.first,
                     p->wide_x + s.first);
    if (s.last > rows) {
        int64_t from = (s.first > rows ? s.first : rows) - rows;
        elems_to_f32(p->weight->dtype, p->weight->data, from, s.last - rows - from,
                     p->wide_weight + from);
    }
    return 0;
}

static int multiply(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct work *w = arg;
    product_run(&w->p->product, begin, end, call_member_scratch(w->c, member));
    return 0;
}

int merged_product_run(struct merged_product *p, struct call *c, struct err *e)
{
    struct work w = {c, p};
    int64_t all = p->m * p->k + (p->wide_weight ? p->k * p->n : 0);
    int rc = p->wide_x && all ? call_tasks(c, tasks_for(all, 1), widen, &w, e) : 0;
    if (p->wide_bias)
        elems_to_f32(p->bias->dtype, p->bias->data, p->bias_first, p->n, p->wide_bias);
    return rc < 0 ? rc : call_tasks(c, product_tasks(&p->product), multiply, &w, e);
}
