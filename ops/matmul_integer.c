/* SPDX-License-Identifier: Apache-2.0 */
/* Products of bytes: MatMulInteger and QLinearMatMul, and what others build on (matmul_integer.h).
 *
 * The sums are exact: with zero points taken off, bytes are at most 255 in size, so 256 products of
 * them sum below 2^24 and f32 holds every partial sum. The f32 micro-kernels of kernels/gemm.h
 * multiply blocks of 256 along K; the blocks' sums are added as 32-bit integers, which wrap. B is
 * packed once where it and its zero point are constant:
 *
 *   matrix:  K block 0: panel 0, panel 1, ...   K block 1: panel 0, ...
 *   panel:   k rows of nr columns
 */
#include "ops/matmul_integer.h"

#include <math.h>
#include <string.h>

#include "kernels/gemm.h"
#include "ops/dynamic_quantize.h"
#include "ops/span.h"

enum { K_BLOCK = 256, ROWS = 84, PANELS = 8, NR_MAX = 64 };

static const struct integer_places plain = {
    .b = 1, .a_zero = 2, .b_zero = 3, .a_scale = -1, .b_scale = -1, .bias = -1, .y_scale = -1,
    .y_zero = -1, .sum_bias = -1,
};
static const struct integer_places scaled = {
    .b = 3, .a_zero = 2, .b_zero = 5, .a_scale = 1, .b_scale = 4, .bias = -1, .y_scale = 6,
    .y_zero = 7, .sum_bias = -1,
};

/* Strides are in elements, within a matrix. */
struct shape {
    int64_t m, n, k, batch;
    int64_t a_row, a_k, b_k, b_n;
    int64_t a_matrices, b_matrices;
    int rank; /* of the batch */
    int64_t dims[TENSOR_RANK_MAX], a_step[TENSOR_RANK_MAX], b_step[TENSOR_RANK_MAX];
};

/* ---- inference ------------------------------------------------------------------------------- */

static int64_t row_dim(const struct type *t)
{
    return t->rank > 1 ? t->dims[t->rank - 2] : 1;
}

/* Both are matrices, maybe transposed. */
static int gemm_infer(struct infer *c, const struct integer_places *p, enum dtype to, struct err *e)
{
    const struct attrs_qgemm *g = c->attrs;
    const struct type *a = &c->in[0]->type, *b = &c->in[p->b]->type;
    if (a->rank < 0 || b->rank < 0)
        return infer_unknown(c, 0, to, e);
    if (a->rank != 2 || b->rank != 2)
        return err_set(e, ERR_MODEL, "factors of rank %d and %d, not 2", a->rank, b->rank);
    if (sym_differ(c->syms, a->dims[g->trans_a ? 0 : 1], b->dims[g->trans_b ? 1 : 0]))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "the inner dims do not agree");
    int64_t dims[2] = {a->dims[g->trans_a ? 1 : 0], b->dims[g->trans_b ? 0 : 1]};
    return infer_set(c, 0, to, 2, dims, e);
}

int integer_product_infer(struct infer *c, const struct integer_places *p, enum dtype to,
                          struct err *e)
{
    uint32_t types = DT(U8) | DT(I8) | (p == &scaled ? DT_FLOAT8S : 0);
    int r = infer_dtypes(c, 0, p->dynamic ? DT(F32) : types, e);
    if (r || (r = infer_dtypes(c, p->b, types, e)) ||
        (!p->dynamic && (r = infer_same_dtype(c, 0, p->a_zero, e))) ||
        (r = infer_same_dtype(c, p->b, p->b_zero, e)))
        return r;
    if (p->gemm)
        return gemm_infer(c, p, to, e);
    const struct type *a = &c->in[0]->type, *b = &c->in[p->b]->type;
    int64_t dims[TENSOR_RANK_MAX];
    if (a->rank < 0 || b->rank < 0)
        return infer_unknown(c, 0, to, e);
    if (a->rank == 0 || b->rank == 0)
        return err_set(e, ERR_MODEL, "a factor is a scalar");
    int64_t k = a->dims[a->rank - 1], b_k = b->dims[b->rank > 1 ? b->rank - 2 : 0];
    if (sym_differ(c->syms, k, b_k))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "the inner dims do not agree");
    int batch_a = a->rank > 2 ? a->rank - 2 : 0, batch_b = b->rank > 2 ? b->rank - 2 : 0;
    int rank = batch_a > batch_b ? batch_a : batch_b;
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - batch_a), ib = i - (rank - batch_b);
        int64_t da = ia >= 0 ? a->dims[ia] : 1, db = ib >= 0 ? b->dims[ib] : 1;
        dims[i] = sym_broadcast(c->syms, da, db);
        if (sym_is_number(da) && sym_is_number(db) && sym_is_unknown(dims[i]))
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "the batch dims do not broadcast");
    }
    if (a->rank > 1)
        dims[rank++] = row_dim(a);
    if (b->rank > 1)
        dims[rank++] = b->dims[b->rank - 1];
    return infer_set(c, 0, to, rank, dims, e);
}

static int integer_infer(struct infer *c, struct err *e)
{
    return integer_product_infer(c, &plain, DTYPE_I32, e);
}

static int qlinear_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 7, DT(U8) | DT(I8) | DT_FLOAT8S, e);
    for (int i = 1; i < 7 && r == 0; i++) {
        if (i == 1 || i == 4 || i == 6)
            r = infer_dtypes(c, i, DT(F32) | DT_FLOAT16S, e);
    }
    return r ? r : integer_product_infer(c, &scaled, infer_dtype(c, 7), e);
}

/* ---- shapes at run time ---------------------------------------------------------------------- */

static void shape_init(struct shape *s, const struct tensor *a, const struct tensor *b,
                       const struct attrs_qgemm *g)
{
    if (g) {
        bool ta = g->trans_a != 0, tb = g->trans_b != 0;
        *s = (struct shape){.m = a->dims[ta], .k = a->dims[!ta], .n = b->dims[!tb], .batch = 1,
                            .a_matrices = 1, .b_matrices = 1};
        s->a_row = ta ? 1 : s->k;
        s->a_k = ta ? s->m : 1;
        s->b_k = tb ? 1 : s->n;
        s->b_n = tb ? s->k : 1;
        return;
    }
    int batch_a = a->rank > 2 ? a->rank - 2 : 0, batch_b = b->rank > 2 ? b->rank - 2 : 0;
    *s = (struct shape){.m = a->rank > 1 ? a->dims[a->rank - 2] : 1, .k = a->dims[a->rank - 1],
                        .n = b->rank > 1 ? b->dims[b->rank - 1] : 1, .batch = 1};
    s->a_row = s->k;
    s->b_k = s->n;
    s->a_k = s->b_n = 1;
    s->a_matrices = dims_product(a->dims, 0, batch_a);
    s->b_matrices = dims_product(b->dims, 0, batch_b);
    s->rank = batch_a > batch_b ? batch_a : batch_b;
    if (s->b_matrices == 1) { /* one B: the batch of A is more rows */
        s->m *= s->a_matrices;
        s->rank = 0;
        return;
    }
    int64_t a_step = 1, b_step = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        int ia = i - (s->rank - batch_a), ib = i - (s->rank - batch_b);
        int64_t da = ia >= 0 ? a->dims[ia] : 1, db = ib >= 0 ? b->dims[ib] : 1;
        s->dims[i] = da == 1 ? db : da;
        s->a_step[i] = da == 1 ? 0 : a_step;
        s->b_step[i] = db == 1 ? 0 : b_step;
        a_step *= da;
        b_step *= db;
        s->batch *= s->dims[i];
    }
}

/* Which matrices of A and B matrix i of the result is the product of. */
static void factors(const struct shape *s, int64_t i, int64_t *a, int64_t *b)
{
    *a = *b = 0;
    for (int d = s->rank - 1; d >= 0; d--) {
        *a += i % s->dims[d] * s->a_step[d];
        *b += i % s->dims[d] * s->b_step[d];
        i /= s->dims[d];
    }
}

/* A zero point or scale: one number, one a row (column), or one a row (column) of each matrix. */
static int check_side(const struct tensor *t, int64_t lines, int64_t matrices, const char *what,
                      struct err *e)
{
    int64_t n = t ? tensor_count(t) : 1;
    if (n == 1 || n == lines || n == lines * matrices)
        return 0;
    return err_set(e, ERR_INPUT, "%s has %lld elements, not 1 or %lld", what, (long long)n,
                   (long long)lines);
}

/* Its place for line `line` counted over all matrices. */
static int64_t side_place(const struct tensor *t, int64_t line)
{
    return line % tensor_count(t);
}

static bool is_bytes(enum dtype t)
{
    return t == DTYPE_U8 || t == DTYPE_I8;
}

static int byte_at(const struct tensor *t, int64_t i)
{
    return t->dtype == DTYPE_U8 ? ((const uint8_t *)t->data)[i] : ((const int8_t *)t->data)[i];
}

/* ---- packing --------------------------------------------------------------------------------- */

static int64_t panels_of(const struct gemm_f32_kernel *g, int64_t n)
{
    return (int64_t)gemm_f32_panels(g, (size_t)n);
}

/* Panel p of matrix i of B, in all its K blocks; out is the matrix's place. */
static void pack_panel(const struct gemm_f32_kernel *g, const struct tensor *b,
                       const struct tensor *zero, const struct shape *s, int64_t i, int64_t p,
                       float *out)
{
    int64_t k = s->k, n = s->n;
    int64_t nr = g->nr, columns = n - p * nr < nr ? n - p * nr : nr, padded = panels_of(g, n) * nr;
    float z[NR_MAX];
    for (int64_t j = 0; j < columns; j++)
        z[j] = zero ? (float)byte_at(zero, side_place(zero, i * n + p * nr + j)) : 0;
    for (int64_t k0 = 0; k0 < k; k0 += K_BLOCK) {
        int64_t depth = k - k0 < K_BLOCK ? k - k0 : K_BLOCK;
        float *to = out + k0 * padded + p * nr * depth;
        for (int64_t r = 0; r < depth; r++, to += nr) {
            int64_t from = i * k * n + (k0 + r) * s->b_k + p * nr * s->b_n;
            for (int64_t j = 0; j < nr; j++)
                to[j] = j < columns ? (float)byte_at(b, from + j * s->b_n) - z[j] : 0;
        }
    }
}

struct prepared {
    float *b;
};

static bool packed_floats(const struct gemm_f32_kernel *g, const struct shape *s, size_t *floats)
{
    return size_mul((size_t)(panels_of(g, s->n) * g->nr), (size_t)s->k, floats) &&
           size_mul(*floats, (size_t)s->b_matrices, floats) &&
           *floats <= PTRDIFF_MAX / sizeof(float);
}

int integer_product_prepare(struct prepare *p, const struct integer_places *at, struct err *e)
{
    const struct gemm_f32_kernel *g = gemm_f32_pick();
    const struct tensor *b = p->in[at->b]->data, *zero = NULL;
    bool has_zero = at->b_zero < p->n_in && p->in[at->b_zero];
    struct shape s;
    size_t floats;
    if (!b || !b->data || b->rank < 1 || !is_bytes(b->dtype) ||
        (!at->dynamic && !is_bytes(p->in[0]->type.dtype)) ||
        (at == &scaled && !is_bytes(p->in[7]->type.dtype)))
        return 0;
    if (has_zero && (!(zero = p->in[at->b_zero]->data) || !zero->data))
        return 0;
    const struct attrs_qgemm *gemm = at->gemm ? p->attrs : NULL;
    if (gemm && b->rank != 2)
        return 0;
    struct tensor a = {.rank = 2, .dims = {1, b->dims[b->rank > 1 ? b->rank - 2 : 0]}};
    if (gemm) { /* one row */
        int64_t k = b->dims[gemm->trans_b != 0];
        a.dims[0] = gemm->trans_a ? k : 1;
        a.dims[1] = gemm->trans_a ? 1 : k;
    }
    shape_init(&s, &a, b, gemm);
    if (check_side(zero, s.n, s.b_matrices, "", NULL) != 0 || !packed_floats(g, &s, &floats) ||
        floats == 0)
        return 0;
    struct prepared *own = arena_alloc(p->arena, sizeof *own, e);
    if (!own || !(own->b = p->pack_alloc(p, floats * sizeof(float), e)))
        return e && e->code ? e->code : ERR_MEMORY;
    int64_t panels = panels_of(g, s.n), size = panels * g->nr * s.k;
    for (int64_t i = 0; i < s.b_matrices * panels; i++)
        pack_panel(g, b, zero, &s, i / panels, i % panels, own->b + i / panels * size);
    p->prepared = own;
    p->packed(p, at->b);
    return 0;
}

static int integer_prepare(struct prepare *p, struct err *e)
{
    return integer_product_prepare(p, &plain, e);
}

static int qlinear_prepare(struct prepare *p, struct err *e)
{
    return integer_product_prepare(p, &scaled, e);
}

/* ---- running --------------------------------------------------------------------------------- */

struct job {
    struct call *call;
    const struct integer_places *at;
    const struct gemm_f32_kernel *g;
    struct shape s;
    const struct tensor *a, *b, *a_zero, *b_zero, *a_scale, *b_scale, *y_scale;
    struct tensor *y;
    char *scratch;
    float *packed; /* B */
    int64_t panels, m_blocks, n_blocks;
    float alpha;
    /* Of a dynamic A: its steps, its zero point and its scale. */
    struct tensor own_a, own_zero, own_scale;
    struct quant_step step;
    uint8_t zero;
    struct broadcast_steps {
        int64_t row, column;
    } sum_bias;
};

static const struct tensor *side(const struct call *c, int i)
{
    return i >= 0 ? call_in(c, i) : NULL;
}

static void job_init(struct job *j, const struct call *c, const struct integer_places *at)
{
    const struct attrs_qgemm *gemm = at->gemm ? c->attrs : NULL;
    *j = (struct job){.at = at, .g = gemm_f32_pick(), .a = call_in(c, 0), .b = call_in(c, at->b),
                      .a_zero = side(c, at->a_zero), .b_zero = side(c, at->b_zero),
                      .a_scale = side(c, at->a_scale), .b_scale = side(c, at->b_scale),
                      .y_scale = side(c, at->y_scale), .alpha = gemm ? gemm->alpha : 1};
    shape_init(&j->s, j->a, j->b, gemm);
    j->panels = panels_of(j->g, j->s.n);
    j->m_blocks = (j->s.m + ROWS - 1) / ROWS;
    j->n_blocks = (j->panels + PANELS - 1) / PANELS;
}

/* Room for the steps of a dynamic A, and to find them. */
static size_t dynamic_bytes(const struct job *j)
{
    size_t n = (size_t)tensor_count(j->a);
    return j->at->dynamic ? (n + 63) / 64 * 64 + dynamic_quantize_scratch((int64_t)n) + 64 : 0;
}

/* Shared: a dynamic A, then B if it is not packed yet. */
size_t integer_product_scratch(const struct call *c, const struct integer_places *at,
                               size_t *per_member)
{
    struct job j;
    size_t floats = 0, bytes;
    job_init(&j, c, at);
    *per_member = ROWS * (K_BLOCK + 2 * (size_t)PANELS * j.g->nr) * sizeof(float);
    if (j.s.m * j.s.n * j.s.batch == 0)
        return 0;
    bytes = dynamic_bytes(&j) / 64 * 64;
    if (c->prepared)
        return bytes;
    if (!packed_floats(j.g, &j.s, &floats) ||
        __builtin_add_overflow(bytes, floats * sizeof(float), &bytes))
        return SIZE_MAX;
    return bytes;
}

static size_t integer_scratch(const struct call *c, size_t *per_member)
{
    return integer_product_scratch(c, &plain, per_member);
}

static size_t qlinear_scratch(const struct call *c, size_t *per_member)
{
    return integer_product_scratch(c, &scaled, per_member);
}

static int pack_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    int64_t size = j->panels * j->g->nr * j->s.k;
    for (int64_t i = begin; i < end; i++)
        pack_panel(j->g, j->b, j->b_zero, &j->s, i / j->panels, i % j->panels,
                   j->packed + i / j->panels * size);
    return 0;
}

/* Rows [row, row + m) of A, counted over all its matrices, at depth [k0, k0 + depth), as f32. */
static void load_a(const struct job *j, int64_t row, int64_t m, int64_t k0, int64_t depth,
                   float *out)
{
    int64_t step = j->s.a_k;
    for (int64_t i = 0; i < m; i++, out += depth) {
        const char *from = (const char *)j->a->data + (row + i) * j->s.a_row + k0 * step;
        float z = j->a_zero ? (float)byte_at(j->a_zero, side_place(j->a_zero, row + i)) : 0;
        if (step != 1)
            for (int64_t k = 0; k < depth; k++)
                out[k] = (float)(j->a->dtype == DTYPE_U8 ? (uint8_t)from[k * step]
                                                         : (int8_t)from[k * step]) - z;
        else if (j->a->dtype == DTYPE_U8)
            for (int64_t k = 0; k < depth; k++)
                out[k] = (float)(uint8_t)from[k] - z;
        else
            for (int64_t k = 0; k < depth; k++)
                out[k] = (float)(int8_t)from[k] - z;
    }
}

/* The sums of a block of the result: m rows from `row` of A on, n columns from panel `panel` on. */
static void block_sums(const struct job *j, int64_t row, int64_t m, int64_t b, int64_t panel,
                       int64_t n, float *scratch, uint32_t *sums)
{
    int64_t nr = j->g->nr, padded = j->panels * nr;
    const float *matrix = j->packed + b * padded * j->s.k;
    float *part = scratch + ROWS * K_BLOCK;
    memset(sums, 0, (size_t)(m * n) * sizeof *sums);
    for (int64_t k0 = 0; k0 < j->s.k; k0 += K_BLOCK) {
        int64_t depth = j->s.k - k0 < K_BLOCK ? j->s.k - k0 : K_BLOCK;
        struct gemm_f32_tile t = {
            .b = matrix + k0 * padded + panel * nr * depth, .a_row = (size_t)depth, .a_k = 1,
            .b_k = (size_t)nr, .b_panel = (size_t)(nr * depth), .c_row = (size_t)n,
            .k = (size_t)depth, .n = (size_t)n,
        };
        load_a(j, row, m, k0, depth, scratch);
        for (int64_t i = 0; i < m; i += j->g->mr) {
            t.a = scratch + i * depth;
            t.c = part + i * n;
            t.m = (unsigned)(m - i < j->g->mr ? m - i : j->g->mr);
            j->g->fn(&t);
        }
        for (int64_t i = 0; i < m * n; i++)
            sums[i] += (uint32_t)(int32_t)part[i];
    }
}

static float a_scale_of(const struct job *j, int64_t row)
{
    return (float)tensor_float(j->a_scale, side_place(j->a_scale, row)) * j->alpha;
}

/* A row of sums to bytes: times a_scale * b_scale / y_scale, rounded, plus zero. */
static void requantize(const struct job *j, const int32_t *sums, int64_t row, const float *b_scales,
                       int64_t n, uint8_t *to)
{
    const struct tensor *zero = side(j->call, j->at->y_zero);
    bool is_signed = j->y->dtype == DTYPE_I8;
    const struct quant_range range = is_signed ? (struct quant_range){-128, 127}
                                               : (struct quant_range){0, 255};
    float sa = a_scale_of(j, row), sy = (float)tensor_float(j->y_scale, 0);
    float z = zero ? (float)byte_at(zero, 0) : 0;
    for (int64_t i = 0; i < n; i++)
        to[i] = (uint8_t)(int)quant_round((float)sums[i] * (sa * b_scales[i] / sy), z, range);
}

/* A row of sums to floats: times a_scale * b_scale, plus bias, rounded to elements [at, at + n)
 * of y. */
static void to_floats(const struct job *j, const int32_t *sums, int64_t row, int64_t column,
                      const float *b_scales, int64_t n, int64_t at)
{
    const struct tensor *bias = side(j->call, j->at->bias);
    struct tensor *y = j->y;
    float v[PANELS * NR_MAX], sa = a_scale_of(j, row);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)sums[i] * (sa * b_scales[i]);
    for (int64_t i = 0; i < n && bias; i++)
        v[i] += (float)tensor_float(bias, column + i);
    elems_from_f32(y->dtype, y->data, at, n, v);
}

/* The scales of n columns of matrix b. */
static void load_b_scales(const struct job *j, int64_t b, int64_t column, int64_t n, float *out)
{
    for (int64_t i = 0; i < n && j->b_scale; i++)
        out[i] = (float)tensor_float(j->b_scale, side_place(j->b_scale, b * j->s.n + column + i));
}

static void add_bias(const struct job *j, int64_t row, int64_t column, int64_t n, uint32_t *sums)
{
    const struct tensor *bias = side(j->call, j->at->sum_bias);
    for (int64_t i = 0; i < n && bias; i++)
        sums[i] += ((const uint32_t *)bias->data)[row * j->sum_bias.row +
                                                  (column + i) * j->sum_bias.column];
}

static void block_run(const struct job *j, int64_t t, float *scratch)
{
    int64_t nr = j->g->nr, nb = t % j->n_blocks, mb = t / j->n_blocks % j->m_blocks;
    int64_t i = t / j->n_blocks / j->m_blocks, a, b;
    int64_t row = mb * ROWS, m = j->s.m - row < ROWS ? j->s.m - row : ROWS;
    int64_t column = nb * PANELS * nr, n = j->s.n - column;
    uint32_t *sums = (uint32_t *)(scratch + ROWS * (K_BLOCK + PANELS * nr));
    float b_scales[PANELS * NR_MAX];
    n = n < PANELS * nr ? n : PANELS * nr;
    factors(&j->s, i, &a, &b);
    load_b_scales(j, b, column, n, b_scales);
    block_sums(j, a * j->s.m + row, m, b, nb * PANELS, n, scratch, sums);
    for (int64_t k = 0; k < m; k++) {
        int64_t at = (i * j->s.m + row + k) * j->s.n + column;
        const int32_t *line = (const int32_t *)sums + k * n;
        add_bias(j, row + k, column, n, sums + k * n);
        if (j->y_scale)
            requantize(j, line, a * j->s.m + row + k, b_scales, n,
                       (uint8_t *)j->y->data + at);
        else if (j->b_scale)
            to_floats(j, line, a * j->s.m + row + k, column, b_scales, n, at);
        else
            memcpy((int32_t *)j->y->data + at, sums + k * n,
                   (size_t)n * sizeof *sums);
    }
}

static int block_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    for (int64_t t = begin; t < end; t++)
        block_run(j, t, call_member_scratch(j->call, member));
    return 0;
}

/* ---- float8 ---------------------------------------------------------------------------------- */

/* An element less its zero point. */
static double element(const struct tensor *t, const struct tensor *zero, int64_t i, int64_t line)
{
    return tensor_float(t, i) - (zero ? tensor_float(zero, side_place(zero, line)) : 0);
}

/* Rows of the result on plain loops, in double: where a factor or the result is no byte. */
static int plain_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    const struct tensor *a_scale = call_in(j->call, 1), *b_scale = call_in(j->call, 4);
    const struct tensor *zero = call_in(j->call, 7);
    struct tensor *y = j->y;
    int64_t m = j->s.m, n = j->s.n, k = j->s.k;
    for (int64_t r = begin; r < end; r++) {
        int64_t a, b;
        factors(&j->s, r / m, &a, &b);
        int64_t row = a * m + r % m;
        for (int64_t i = 0; i < n; i++) {
            double sum = 0, scale = tensor_float(a_scale, side_place(a_scale, row)) *
                                    tensor_float(b_scale, side_place(b_scale, b * n + i)) /
                                    tensor_float(call_in(j->call, 6), 0);
            for (int64_t p = 0; p < k; p++)
                sum += element(j->a, j->a_zero, row * k + p, row) *
                       element(j->b, j->b_zero, (b * k + p) * n + i, b * n + i);
            sum *= scale;
            sum = (is_bytes(y->dtype) ? rint(sum) : sum) + tensor_float(zero, 0);
            elems_from_f64(y->dtype, y->data, r * n + i, 1, &sum);
        }
    }
    return 0;
}

/* ---- both operators -------------------------------------------------------------------------- */

/* Rows of A and columns of B as the scales and zero points count them. */
static int check_sides(const struct job *j, struct err *e)
{
    int64_t rows = j->a->rank > 1 ? j->a->dims[j->a->rank - 2] : 1, columns = j->s.n;
    const struct tensor *bias = side(j->call, j->at->bias);
    if (j->at->gemm)
        rows = j->s.m;
    int r = check_side(j->a_zero, rows, j->s.a_matrices, "the zero point of A", e);
    if (r || (r = check_side(j->b_zero, columns, j->s.b_matrices, "the zero point of B", e)) ||
        (r = check_side(j->a_scale, rows, j->s.a_matrices, "the scale of A", e)) ||
        (r = check_side(j->b_scale, columns, j->s.b_matrices, "the scale of B", e)) ||
        (r = check_side(j->y_scale, 1, 1, "the output's scale", e)) ||
        (r = check_side(side(j->call, j->at->y_zero), 1, 1, "the output's zero point", e)))
        return r;
    if (bias && tensor_count(bias) != columns)
        return err_set(e, ERR_INPUT, "the bias has %lld elements, not %lld",
                       (long long)tensor_count(bias), (long long)columns);
    return 0;
}

/* How the bias of the sums is read for the result's rows and columns. */
static int place_bias(struct job *j, struct err *e)
{
    const struct tensor *bias = side(j->call, j->at->sum_bias);
    if (!bias)
        return 0;
    int64_t columns = bias->rank > 0 ? bias->dims[bias->rank - 1] : 1;
    int64_t rows = bias->rank > 1 ? bias->dims[bias->rank - 2] : 1;
    if (bias->rank > 2 || (columns != 1 && columns != j->s.n) || (rows != 1 && rows != j->s.m))
        return err_set(e, ERR_INPUT, "C does not broadcast to [%lld,%lld]", (long long)j->s.m,
                       (long long)j->s.n);
    j->sum_bias.row = rows == 1 ? 0 : columns;
    j->sum_bias.column = columns != 1;
    return 0;
}

/* A's steps take A's place. */
static int quantize_a(struct job *j, struct err *e)
{
    int64_t n = tensor_count(j->a);
    uint8_t *bytes = (uint8_t *)j->scratch;
    int r = dynamic_quantize(j->call, j->a->data, n, bytes + (n + 63) / 64 * 64, bytes, &j->step,
                             e);
    j->zero = (uint8_t)(int)j->step.zero;
    j->own_a = *j->a;
    j->own_a.dtype = DTYPE_U8;
    j->own_a.data = bytes;
    j->own_zero = (struct tensor){.dtype = DTYPE_U8, .data = &j->zero};
    j->own_scale = (struct tensor){.dtype = DTYPE_F32, .data = &j->step.scale};
    j->a = &j->own_a;
    j->a_zero = &j->own_zero;
    j->a_scale = &j->own_scale;
    return r;
}

int integer_product_into(struct call *c, const struct integer_places *at, struct tensor *y,
                         void *scratch, struct err *e)
{
    const struct prepared *own = c->prepared;
    struct job j;
    if (tensor_count(y) == 0)
        return 0;
    job_init(&j, c, at);
    j.call = c;
    j.y = y;
    j.scratch = scratch;
    size_t before = dynamic_bytes(&j) / 64 * 64;
    int r = at->dynamic ? quantize_a(&j, e) : 0;
    if (r || (r = check_sides(&j, e)) || (r = place_bias(&j, e)))
        return r;
    if (at == &scaled && !(is_bytes(j.a->dtype) && is_bytes(j.b->dtype) &&
                           is_bytes(y->dtype)))
        return call_tasks(c, j.s.batch * j.s.m, plain_tasks, &j, e);
    j.packed = own ? own->b : (float *)(j.scratch + before);
    if (!own && j.s.k > 0)
        r = call_tasks(c, j.s.b_matrices * j.panels, pack_tasks, &j, e);
    return r ? r : call_tasks(c, j.s.batch * j.m_blocks * j.n_blocks, block_tasks, &j, e);
}

int integer_product_run(struct call *c, const struct integer_places *at, struct err *e)
{
    return integer_product_into(c, at, call_out(c, 0), c->scratch, e);
}

static int integer_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return integer_product_run(c, &plain, e);
}

static int qlinear_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return integer_product_run(c, &scaled, e);
}

const struct op op_matmulinteger = {
    .domain = "", .name = "MatMulInteger", .since = 10,
    .in_min = 2, .in_max = 4, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .infer = integer_infer, .prepare = integer_prepare, .scratch = integer_scratch,
    .run = integer_run,
    .kernels = "gemm",
};

const struct op op_qlinearmatmul = {
    .domain = "", .name = "QLinearMatMul", .since = 10,
    .in_min = 8, .in_max = 8, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .infer = qlinear_infer, .prepare = qlinear_prepare, .scratch = qlinear_scratch,
    .run = qlinear_run,
    .kernels = "gemm",
};
