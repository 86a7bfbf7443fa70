/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/product.h"

#include <stdio.h>
#include <string.h>

static bool widened(enum dtype t)
{
    return t == DTYPE_F16 || t == DTYPE_BF16;
}

/* ---- packing ------------------------------------------------------------------------------------ */

/* One matrix being packed, by runs of panels. */
struct packing {
    const struct gemm_f32_kernel *kernel;
    const float *b;
    float *out;
    size_t b_k, b_n, k, n, panels, each;
};

static int pack_panels(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct packing *x = arg;
    size_t from = (size_t)begin * x->each, to = (size_t)end * x->each;
    gemm_f32_pack_b(x->kernel, x->b, x->b_k, x->b_n, x->k, x->n, from, to < x->panels ? to : x->panels,
                    x->out);
    return 0;
}

static int pack_one(struct prepare *p, const struct packed_b *to, const struct tensor *t, int64_t which,
                    bool transposed, struct err *e)
{
    struct packing x = {.kernel = to->kernel, .k = (size_t)to->k, .n = (size_t)to->n,
                        .out = to->data + (size_t)which * to->size};
    float *wide = NULL;
    x.b_k = transposed ? 1 : x.n;
    x.b_n = transposed ? x.k : 1;
    x.b = (const float *)t->data + (size_t)which * x.k * x.n;
    if (t->dtype != DTYPE_F32) {
        wide = mem_alloc(p->budget, x.k * x.n * sizeof(*wide), e);
        if (!wide)
            return e ? e->code : ERR_MEMORY;
        elems_to_f32(t->dtype, t->data, which * to->k * to->n, to->k * to->n, wide);
        x.b = wide;
    }
    /* A task packs about a quarter of a megabyte. */
    size_t panel = x.k * to->kernel->nr + 1;
    x.panels = gemm_f32_panels(to->kernel, x.n);
    x.each = 65536 / panel + 1;
    int rc = team_tasks(p->team, (int64_t)((x.panels + x.each - 1) / x.each), pack_panels, &x, e);
    mem_free(wide);
    return rc;
}

static int pack(struct prepare *p, struct product_ready *own, bool transposed, struct err *e)
{
    const struct tensor *t = p->in[1] ? p->in[1]->data : NULL;
    if (!t || t->rank < 2 || !(DTYPE_BIT(t->dtype) & (DT(F32) | DT_FLOAT16S)))
        return 0;
    struct packed_b *to = arena_alloc(p->arena, sizeof(*to), e);
    if (!to)
        return ERR_MEMORY;
    to->kernel = own->kernel;
    to->k = t->dims[t->rank - (transposed ? 1 : 2)];
    to->n = t->dims[t->rank - (transposed ? 2 : 1)];
    to->count = dims_product(t->dims, 0, t->rank - 2);
    size_t bytes;
    if (!gemm_f32_packed_b_size(to->kernel, (size_t)to->k, (size_t)to->n, &to->size) ||
        !size_mul(to->size, (size_t)to->count, &bytes) || !size_mul(bytes, sizeof(float), &bytes))
        return err_set(e, ERR_LIMIT, "the packed weight would be too large");
    to->data = p->pack_alloc(p, bytes, e);
    if (!to->data)
        return e ? e->code : ERR_MEMORY;
    for (int64_t b = 0; b < to->count; b++) {
        int rc = pack_one(p, to, t, b, transposed, e);
        if (rc < 0)
            return rc;
    }
    p->packed(p, 1);
    own->packed = to;
    return 0;
}

/* ---- choosing a cut ----------------------------------------------------------------------------- */

static struct tune_cost cost_of(const struct tune_ask *a, const int64_t *dims)
{
    const struct product_ready *own = a->own;
    double b = (double)dims[0], m = (double)dims[1], n = (double)dims[2], k = (double)dims[3];
    return (struct tune_cost){
        .flops = 2 * b * m * n * k,
        .bytes = 4 * b * (m * k + k * n + m * n),
        .worth = gemm_f32_cuts_worth(own->kernel, (size_t)dims[1], (size_t)dims[2], (size_t)dims[3],
                                     own->packed != NULL),
    };
}

int product_prepare(struct prepare *p, bool transposed, const char *layout, const char *epilogue,
                    const int64_t dims[TUNE_DIMS], struct err *e)
{
    struct product_ready *own = arena_alloc(p->arena, sizeof(*own), e);
    if (!own)
        return ERR_MEMORY;
    own->kernel = gemm_f32_pick();
    p->prepared = own;
    int rc = pack(p, own, transposed, e);
    if (rc < 0 || p->in[0]->type.dtype != DTYPE_F32)
        return rc;
    snprintf(own->layout, sizeof(own->layout), "%s-%s-%s", own->packed ? "packed" : "plain", layout,
             own->kernel->name);
    for (int i = 0; i < GEMM_CUTS; i++)
        own->names[i] = gemm_f32_cuts[i].name;
    own->ask = (struct tune_ask){
        .op = p->node->op->name, .layout = own->layout, .epilogue = epilogue, .dtype = DTYPE_F32,
        .letters = "bmnk", .n_dims = TUNE_DIMS, .n_names = GEMM_CUTS, .names = own->names, .cost = cost_of,
        .own = own,
    };
    for (int i = 0; i < TUNE_DIMS; i++)
        own->ask.dims[i] = sym_is_number(dims[i]) && dims[i] >= 0 ? dims[i] : TUNE_ANY;
    own->site = prepare_tune(p, &own->ask);
    return 0;
}

void product_bind(struct product *x, const struct call *c)
{
    const struct product_ready *own = c->prepared;
    x->kernel = own ? own->kernel : gemm_f32_pick();
    x->packed = own ? own->packed : NULL;
    x->site = own ? own->site : NULL;
}

static struct gemm_tasks cut(const struct product *x)
{
    int choice = tune_choice(x->site, (const int64_t[]){x->batch, x->m, x->n, x->k});
    return gemm_f32_cut(x->kernel, (size_t)x->m, (size_t)x->n, (size_t)x->k, (unsigned)choice);
}

/* ---- tasks -------------------------------------------------------------------------------------- */

/* Rows of a task where rows are the only cut. */
static int64_t rows_a_task(const struct product *x)
{
    int64_t work = x->n * x->k, rows = work > 0 ? (1 << 20) / work : 1024;
    return rows < 1 ? 1 : rows > x->m ? (x->m ? x->m : 1) : rows;
}

static int64_t tasks_a_matrix(const struct product *x)
{
    if (x->m == 0 || x->n == 0)
        return 0;
    if (x->dtype == DTYPE_F32) {
        struct gemm_tasks t = cut(x);
        return (int64_t)(t.m_count * t.n_count);
    }
    int64_t rows = rows_a_task(x);
    return (x->m + rows - 1) / rows;
}

int64_t product_tasks(const struct product *x)
{
    return x->batch * tasks_a_matrix(x);
}

size_t product_scratch(const struct product *x)
{
    if (x->dtype != DTYPE_F32 && !widened(x->dtype))
        return 0;
    size_t floats = gemm_f32_scratch(x->kernel, (size_t)x->k);
    if (widened(x->dtype)) {
        size_t rows = (size_t)rows_a_task(x), b = x->packed ? 0 : (size_t)(x->k * x->n);
        floats += rows * (size_t)(x->k + x->n) + b + 64;
    }
    return floats * sizeof(float);
}

/* ---- running ------------------------------------------------------------------------------------ */

static void batch_offsets(const struct product *x, int64_t batch, int64_t *a, int64_t *b)
{
    *a = *b = 0;
    for (int k = x->batch_rank - 1; k >= 0; k--) {
        int64_t i = batch % x->batch_dims[k];
        batch /= x->batch_dims[k];
        *a += i * x->a_batch[k];
        *b += i * x->b_batch[k];
    }
}

static const float *packed_at(const struct product *x, int64_t b_offset)
{
    return x->packed->data + (size_t)(x->k > 0 && x->n > 0 ? b_offset / (x->k * x->n) : 0) * x->packed->size;
}

static struct gemm_f32 gemm_of(const struct product *x, const float *a, const float *b, bool packed)
{
    return (struct gemm_f32){
        .kernel = x->kernel, .m = (size_t)x->m, .n = (size_t)x->n, .k = (size_t)x->k, .a = a, .b = b,
        .a_row = (size_t)x->a_row, .a_k = (size_t)x->a_k, .b_k = (size_t)x->b_k, .c_row = (size_t)x->n,
        .b_packed = packed, .epilogue = x->epilogue,
    };
}

static void run_f32(const struct product *x, int64_t batch, int64_t from, int64_t to, void *scratch)
{
    int64_t a, b;
    batch_offsets(x, batch, &a, &b);
    struct gemm_f32 g = gemm_of(x, (const float *)x->a + a,
                                x->packed ? packed_at(x, b) : (const float *)x->b + b, x->packed);
    struct gemm_tasks t = cut(x);
    g.c = (float *)x->c + batch * x->m * x->n;
    for (int64_t i = from; i < to; i++)
        gemm_f32_run(&g, &t, (size_t)i / t.n_count, (size_t)i % t.n_count, scratch);
}

/* Rows of a 16-bit product: widen, multiply, round. */
static void run_widened(const struct product *x, int64_t batch, int64_t task, float *scratch)
{
    int64_t a, b, rows = rows_a_task(x), first = task * rows;
    int64_t m = first + rows > x->m ? x->m - first : rows;
    float *wide_a = scratch + gemm_f32_scratch(x->kernel, (size_t)x->k), *wide_c = wide_a + rows * x->k;
    float *wide_b = wide_c + rows * x->n;
    batch_offsets(x, batch, &a, &b);
    for (int64_t i = 0; i < m; i++)
        for (int64_t k = 0; k < x->k; k += x->a_k == 1 ? x->k : 1)
            elems_to_f32(x->dtype, x->a, a + (first + i) * x->a_row + k * x->a_k, x->a_k == 1 ? x->k : 1,
                         wide_a + i * x->k + k);
    for (int64_t k = 0; k < x->k && !x->packed; k++)
        for (int64_t n = 0; n < x->n; n += x->b_n == 1 ? x->n : 1)
            elems_to_f32(x->dtype, x->b, b + k * x->b_k + n * x->b_n, x->b_n == 1 ? x->n : 1,
                         wide_b + k * x->n + n);
    struct gemm_f32 g = gemm_of(x, wide_a, x->packed ? packed_at(x, b) : wide_b, x->packed);
    g.m = (size_t)m;
    g.a_row = (size_t)x->k;
    g.a_k = 1;
    g.b_k = (size_t)x->n;
    g.c = wide_c;
    if (g.epilogue.add)
        g.epilogue.add += (size_t)first * g.epilogue.add_row;
    struct gemm_tasks t = gemm_f32_tasks(g.kernel, g.m, g.n, g.k);
    for (size_t i = 0; i < t.m_count * t.n_count; i++)
        gemm_f32_run(&g, &t, i / t.n_count, i % t.n_count, scratch);
    elems_from_f32(x->dtype, x->c, (batch * x->m + first) * x->n, m * x->n, wide_c);
}

static void run_plain(const struct product *x, int64_t batch, int64_t task)
{
    int64_t a, b, rows = rows_a_task(x), first = task * rows;
    size_t m = (size_t)(first + rows > x->m ? x->m - first : rows), n = (size_t)x->n, k = (size_t)x->k;
    batch_offsets(x, batch, &a, &b);
    a += first * x->a_row;
    int64_t c = (batch * x->m + first) * x->n;
    switch (dtype_size(x->dtype)) {
    case 4:
        gemm_u32(m, n, k, (const uint32_t *)x->a + a, (size_t)x->a_row, (size_t)x->a_k,
                 (const uint32_t *)x->b + b, (size_t)x->b_k, (size_t)x->b_n, (uint32_t *)x->c + c, n);
        break;
    default:
        if (x->dtype == DTYPE_F64)
            gemm_f64(m, n, k, (const double *)x->a + a, (size_t)x->a_row, (size_t)x->a_k,
                     (const double *)x->b + b, (size_t)x->b_k, (size_t)x->b_n, (double *)x->c + c, n);
        else
            gemm_u64(m, n, k, (const uint64_t *)x->a + a, (size_t)x->a_row, (size_t)x->a_k,
                     (const uint64_t *)x->b + b, (size_t)x->b_k, (size_t)x->b_n, (uint64_t *)x->c + c,
                     n);
    }
}

void product_run(const struct product *x, int64_t begin, int64_t end, void *scratch)
{
    int64_t each = tasks_a_matrix(x);
    for (int64_t t = begin; t < end;) {
        int64_t batch = t / each, from = t % each, to = from + (end - t);
        to = to > each ? each : to;
        if (x->dtype == DTYPE_F32)
            run_f32(x, batch, from, to, scratch);
        else
            for (int64_t i = from; i < to; i++)
                widened(x->dtype) ? run_widened(x, batch, i, scratch) : run_plain(x, batch, i);
        t += to - from;
    }
}
