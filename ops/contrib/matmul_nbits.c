/* SPDX-License-Identifier: Apache-2.0 */
/* MatMulNBits and MatMulBnb4: A times a weight of 2, 4 or 8 bits.
 *
 * The weight is packed for kernels/nbits.h, which widens it inside the product: once where it is
 * constant, else by every task for the columns that it makes. What does not come in columns of
 * blocks (a group index that is not k / block_size, blocks of MatMulBnb4 that run over the end of a
 * column, its transB = 0) is widened to f32, a task's columns in scratch, and multiplied on
 * kernels/gemm.h. A is never quantised, whatever accuracy_level: f32 is at least as accurate as any
 * level asks for.
 */
#include "kernels/gemm.h"
#include "kernels/nbits.h"
#include "ops/span.h"

enum { BLOCK_MIN = 16, ROWS = 48 };

struct attrs_nbits {
    int64_t k, n, bits, block, prepacked, quant_type, transposed;
};

enum { IN_A, IN_B, IN_SCALE, IN_ZERO, IN_GROUP, IN_BIAS };

/* The weight as the inputs hold it. */
struct source {
    bool bnb, by_column; /* by_column: a column's elements are adjacent */
    int64_t k, n, block, blocks; /* blocks a column; of MatMulBnb4, of everything */
    unsigned bits;
    const uint8_t *b;
    const struct tensor *scale, *zero, *group;
    const float *codes;
};

/* FP4: a sign, then the magnitudes of 3 bits; NF4: quantiles of the normal distribution. */
static const float fp4[16] = {
    0, 5.208333333e-03f, 0.66666667f, 1, 0.33333333f, 0.5f, 0.16666667f, 0.25f,
    -0.0f, -5.208333333e-03f, -0.66666667f, -1, -0.33333333f, -0.5f, -0.16666667f, -0.25f,
};
static const float nf4[16] = {
    -1, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
    -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0,
    0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1,
};

static bool is_bnb(const struct op *op)
{
    return op->name[6] == 'B';
}

/* ---- inference ------------------------------------------------------------------------------- */

/* Input i has `want` elements, if it is there and its size is known. */
static int check_size(struct infer *c, int i, int64_t want, const char *what, struct err *e)
{
    int64_t n = 1;
    if (!infer_has(c, i) || infer_rank(c, i) < 0)
        return 0;
    for (int k = 0; k < infer_rank(c, i); k++)
        n = sym_mul(c->syms, n, infer_dim(c, i, k));
    if (!sym_differ(c->syms, n, want))
        return 0;
    return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "%s does not have %lld elements", what,
                   (long long)want);
}

static int check_attrs(const struct attrs_nbits *a, bool bnb, int64_t *elements, struct err *e)
{
    if (a->k < 1 || a->n < 1 || a->block < BLOCK_MIN || (a->block & (a->block - 1)) ||
        a->block > INT32_MAX || __builtin_mul_overflow(a->k, a->n, elements) ||
        *elements > INT64_MAX / 64)
        return err_set(e, ERR_MODEL, "K is %lld, N is %lld, block_size is %lld", (long long)a->k,
                       (long long)a->n, (long long)a->block);
    if (!bnb && a->bits != 2 && a->bits != 4 && a->bits != 8)
        return err_set(e, ERR_UNSUPPORTED, "bits is %lld, not 2, 4 or 8", (long long)a->bits);
    if (a->prepacked != 0)
        return err_set(e, ERR_UNSUPPORTED, "weight_prepacked is %lld: a layout of another device",
                       (long long)a->prepacked);
    if (bnb && a->quant_type != 0 && a->quant_type != 1)
        return err_set(e, ERR_MODEL, "quant_type is %lld", (long long)a->quant_type);
    return 0;
}

static int infer_product(struct infer *c, int64_t k, int64_t n, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    int rank = infer_rank(c, IN_A);
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, IN_A), e);
    if (rank == 0)
        return err_set(e, ERR_MODEL, "A is a scalar");
    for (int i = 0; i < rank; i++)
        dims[i] = infer_dim(c, IN_A, i);
    if (sym_differ(c->syms, dims[rank - 1], k))
        return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "the last dim of A is not %lld",
                       (long long)k);
    dims[rank - 1] = n;
    return infer_set(c, 0, infer_dtype(c, IN_A), rank, dims, e);
}

static int nbits_infer(struct infer *c, struct err *e)
{
    const struct attrs_nbits *a = c->attrs;
    int64_t elements = 0, blocks, zeros;
    int r = check_attrs(a, false, &elements, e);
    if (r || (r = infer_dtypes(c, IN_A, DT(F32) | DT_FLOAT16S, e)) ||
        (r = infer_dtypes(c, IN_B, DT(U8), e)) || (r = infer_same_dtype(c, IN_A, IN_SCALE, e)) ||
        (infer_has(c, IN_GROUP) && (r = infer_dtypes(c, IN_GROUP, DT(I32), e))) ||
        (infer_has(c, IN_BIAS) && (r = infer_same_dtype(c, IN_A, IN_BIAS, e))))
        return r;
    blocks = (a->k - 1) / a->block + 1;
    if (__builtin_mul_overflow(blocks * a->n, a->block, &elements) || elements > INT64_MAX / 64)
        return err_set(e, ERR_MODEL, "N is %lld, block_size is %lld", (long long)a->n,
                       (long long)a->block);
    zeros = blocks * a->n;
    if (infer_has(c, IN_ZERO) && infer_dtype(c, IN_ZERO) == DTYPE_U8)
        zeros = (blocks * a->bits + 7) / 8 * a->n;
    else if (infer_has(c, IN_ZERO) && (r = infer_same_dtype(c, IN_A, IN_ZERO, e)))
        return r;
    if ((r = check_size(c, IN_B, elements / 8 * a->bits, "B", e)) ||
        (r = check_size(c, IN_SCALE, blocks * a->n, "scales", e)) ||
        (r = check_size(c, IN_ZERO, zeros, "zero_points", e)) ||
        (r = check_size(c, IN_BIAS, a->n, "bias", e)))
        return r;
    /* K numbers, or as many as the blocks have places. */
    if (infer_rank(c, IN_GROUP) == 1 &&
        sym_differ(c->syms, infer_dim(c, IN_GROUP, 0), blocks * a->block) &&
        (r = check_size(c, IN_GROUP, a->k, "g_idx", e)))
        return r;
    return infer_product(c, a->k, a->n, e);
}

static int bnb_infer(struct infer *c, struct err *e)
{
    const struct attrs_nbits *a = c->attrs;
    int64_t elements = 0;
    int r = check_attrs(a, true, &elements, e);
    if (r || (r = infer_dtypes(c, IN_A, DT(F32) | DT_FLOAT16S, e)) ||
        (r = infer_dtypes(c, IN_B, DT(U8), e)) || (r = infer_same_dtype(c, IN_A, IN_SCALE, e)) ||
        (r = check_size(c, IN_B, (elements + 1) / 2, "B", e)) ||
        (r = check_size(c, IN_SCALE, (elements - 1) / a->block + 1, "absmax", e)))
        return r;
    return a->transposed ? infer_product(c, a->k, a->n, e) : infer_product(c, a->n, a->k, e);
}

/* ---- the weight's elements ------------------------------------------------------------------- */

static void source_init(struct source *s, const struct op *op, const struct attrs_nbits *a,
                        const struct tensor *b, const struct tensor *scale,
                        const struct tensor *zero, const struct tensor *group)
{
    bool bnb = is_bnb(op), plain = !bnb || a->transposed;
    *s = (struct source){
        .bnb = bnb, .by_column = plain, .k = plain ? a->k : a->n, .n = plain ? a->n : a->k,
        .block = a->block, .bits = bnb ? 4 : (unsigned)a->bits, .b = b ? b->data : NULL,
        .scale = scale, .zero = zero, .group = group,
        .codes = !bnb ? NULL : a->quant_type == 0 ? fp4 : nf4,
    };
    s->blocks = bnb ? (a->k * a->n - 1) / a->block + 1 : (a->k - 1) / a->block + 1;
}

/* The zero point of a column's block. */
static float zero_at(const struct source *s, int64_t column, int64_t block)
{
    if (s->bnb)
        return 0;
    if (!s->zero)
        return (float)(1u << (s->bits - 1));
    if (s->zero->dtype != DTYPE_U8)
        return (float)tensor_float(s->zero, column * s->blocks + block);
    int64_t bit = block * s->bits, row = (s->blocks * s->bits + 7) / 8;
    unsigned byte = ((const uint8_t *)s->zero->data)[column * row + bit / 8];
    return (float)(byte >> bit % 8 & ((1u << s->bits) - 1));
}

/* A column as f32. */
static void column_widen(const struct source *s, int64_t column, float *out)
{
    const int32_t *group = s->group ? s->group->data : NULL;
    for (int64_t k = 0; k < s->k; k++) {
        if (s->bnb) { /* the first of two elements lies in the high bits */
            int64_t at = s->by_column ? column * s->k + k : k * s->n + column;
            unsigned code = s->b[at / 2] >> (at % 2 ? 0 : 4) & 15;
            out[k] = s->codes[code] * (float)tensor_float(s->scale, at / s->block);
            continue;
        }
        int64_t block = k / s->block, bit = (column * s->blocks * s->block + k) * s->bits;
        unsigned code = s->b[bit / 8] >> bit % 8 & ((1u << s->bits) - 1);
        block = group ? group[k] : block;
        out[k] = ((float)code - zero_at(s, column, block)) *
                 (float)tensor_float(s->scale, column * s->blocks + block);
    }
}

/* ---- preparation ----------------------------------------------------------------------------- */

struct prepared {
    struct nbits w;
};

/* The group index says what the block size says anyway. */
static bool group_is_plain(const struct tensor *group, int64_t k, int64_t block)
{
    for (int64_t i = 0; i < k; i++)
        if (((const int32_t *)group->data)[i] != i / block)
            return false;
    return true;
}

/* The weight's shape for the kernels; false if it is none of theirs. */
static bool packed_shape(const struct source *s, struct nbits *w)
{
    if ((s->group && !group_is_plain(s->group, s->k, s->block)) || !s->by_column ||
        (s->bnb && s->k % s->block != 0))
        return false;
    enum nbits_zero kind = s->bnb || !s->zero           ? NBITS_ZERO_ONE
                           : s->zero->dtype == DTYPE_U8 ? NBITS_ZERO_BYTES
                                                        : NBITS_ZERO_FLOATS;
    if (!nbits_init(w, (size_t)s->k, (size_t)s->n, (size_t)s->block, s->bits, kind))
        return false;
    w->codes = s->codes;
    if (s->bnb)
        w->mid = 0;
    return true;
}

/* Columns from `first` on to column 0 on of w. */
struct packing {
    const struct source *s;
    const struct nbits *w;
    int64_t first;
    void *data;
};

/* Codes of MatMulBnb4 with the first element in the low bits. */
static void put_swapped(const struct packing *p, int64_t column, int64_t block)
{
    const struct source *s = p->s;
    uint8_t codes[256];
    int64_t from = ((p->first + column) * s->k + block * s->block) / 2;
    int64_t bytes = (int64_t)p->w->block / 2, most = (s->k * s->n + 1) / 2 - from;
    bytes = bytes < most ? bytes : most;
    for (int64_t i = 0; i < bytes; i += (int64_t)sizeof codes) {
        int64_t n = bytes - i < (int64_t)sizeof codes ? bytes - i : (int64_t)sizeof codes;
        for (int64_t k = 0; k < n; k++)
            codes[k] = (uint8_t)(s->b[from + i + k] << 4 | s->b[from + i + k] >> 4);
        nbits_put_codes(p->w, (size_t)column, (size_t)block, (size_t)i, codes, (size_t)n, p->data);
    }
}

static int pack_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct packing *p = arg;
    const struct source *s = p->s;
    int64_t blob = s->block * s->bits / 8, blocks = (int64_t)nbits_blocks(p->w);
    for (int64_t panel = begin; panel < end; panel++) {
        nbits_clear(p->w, (size_t)panel, p->data);
        for (int64_t j = panel * NBITS_PANEL;
             j < (panel + 1) * NBITS_PANEL && j < (int64_t)p->w->n; j++) {
            for (int64_t b = 0; b < blocks; b++) {
                int64_t at = (p->first + j) * blocks + b;
                if (s->bnb)
                    put_swapped(p, j, b);
                else
                    nbits_put_codes(p->w, (size_t)j, (size_t)b, 0, s->b + at * blob, (size_t)blob,
                                    p->data);
                nbits_put_scale(p->w, (size_t)j, (size_t)b, (float)tensor_float(s->scale, at),
                                zero_at(s, p->first + j, b), p->data);
            }
        }
    }
    return 0;
}

static const struct tensor *constant(const struct prepare *p, int i)
{
    const struct tensor *t = i < p->n_in && p->in[i] ? p->in[i]->data : NULL;
    return t && t->data ? t : NULL;
}

static bool absent(const struct prepare *p, int i)
{
    return i >= p->n_in || !p->in[i];
}

static int weight_prepare(struct prepare *p, struct err *e)
{
    const struct attrs_nbits *a = p->attrs;
    const struct tensor *b = constant(p, IN_B), *scale = constant(p, IN_SCALE);
    const struct tensor *zero = constant(p, IN_ZERO), *group = constant(p, IN_GROUP);
    struct source s;
    struct nbits w;
    if (!b || !scale || (!zero && !absent(p, IN_ZERO)) || (!group && !absent(p, IN_GROUP)))
        return 0;
    source_init(&s, p->node->op, a, b, scale, zero, group);
    if (!packed_shape(&s, &w))
        return 0;
    struct prepared *own = arena_alloc(p->arena, sizeof *own, e);
    void *data = own ? p->pack_alloc(p, nbits_bytes(&w), e) : NULL;
    if (!data)
        return e && e->code ? e->code : ERR_MEMORY;
    struct packing job = {.s = &s, .w = &w, .data = data};
    w.data = data;
    own->w = w;
    p->prepared = own;
    int r = team_tasks(p->team, (int64_t)nbits_panels(&w), pack_tasks, &job, e);
    for (int i = IN_B; r == 0 && i <= IN_ZERO; i++)
        if (!absent(p, i))
            p->packed(p, i);
    return r;
}

/* ---- running --------------------------------------------------------------------------------- */

/* A call: C is cut into `row_blocks` x `column_blocks`, each of at most ROWS rows (all, where the
 * weight was not packed before) and `width` columns. */
struct job {
    struct call *call;
    const struct nbits *w;
    struct nbits own;                   /* to be packed by the tasks */
    bool pack;
    const struct gemm_f32_kernel *gemm; /* without w */
    struct source s;
    enum dtype dtype;
    int64_t m, k, n, rows, width, row_blocks, column_blocks;
    const float *a;
};

static void job_init(struct job *j, const struct call *c)
{
    const struct prepared *own = c->prepared;
    const struct tensor *a = call_in(c, IN_A);
    *j = (struct job){.w = own ? &own->w : NULL, .gemm = gemm_f32_pick(), .dtype = a->dtype};
    source_init(&j->s, c->op, c->attrs, call_in(c, IN_B), call_in(c, IN_SCALE),
                call_in(c, IN_ZERO), call_in(c, IN_GROUP));
    if (!own && packed_shape(&j->s, &j->own)) {
        j->w = &j->own;
        j->pack = true;
    }
    j->k = j->s.k;
    j->n = j->s.n;
    j->m = dims_product(a->dims, 0, a->rank - 1);
    j->rows = own && j->m > ROWS ? ROWS : j->m;
    /* About two million products a task, and whole runs of the panels that a kernel takes. */
    int64_t panels = j->pack ? 4 : (1 << 21) / (j->rows * j->k * NBITS_PANEL + 1);
    panels = panels < 1 ? 1 : panels >= 4 ? panels / 4 * 4 : panels;
    j->width = j->w ? panels * NBITS_PANEL : (int64_t)j->gemm->nr;
    j->width = j->width < j->n ? j->width : j->n;
    j->row_blocks = j->rows ? (j->m - 1) / j->rows + 1 : 0;
    j->column_blocks = (j->n - 1) / j->width + 1;
}

/* The weight's columns [.., + n) alone. */
static struct nbits part_of(const struct job *j, int64_t n, void *data)
{
    struct nbits part = *j->w;
    part.n = (size_t)n;
    part.data = data;
    return part;
}

/* Shared: A as f32. A member's: a block of C where that is not f32; then, without packed weights,
 * the columns of a task, packed; or widened twice, and the product's own. */
static size_t product_scratch(const struct call *c, size_t *per_member)
{
    struct job j;
    job_init(&j, c);
    size_t floats = 0, columns = 0, shared = 0;
    bool wide = j.dtype != DTYPE_F32;
    if (wide && !size_mul((size_t)j.rows, (size_t)j.width, &floats))
        return SIZE_MAX;
    if (j.pack) {
        struct nbits part = part_of(&j, j.width, NULL);
        columns = nbits_bytes(&part) / sizeof(float) + 1;
    } else if (!j.w && (!size_mul((size_t)j.k, 2 * (size_t)j.gemm->nr, &columns) ||
                        __builtin_add_overflow(columns, gemm_f32_scratch(j.gemm, (size_t)j.k),
                                               &columns))) {
        return SIZE_MAX;
    }
    if (__builtin_add_overflow(floats, columns, &floats) || floats > PTRDIFF_MAX / sizeof(float))
        return SIZE_MAX;
    *per_member = floats * sizeof(float);
    if (wide && (!size_mul((size_t)j.m, (size_t)j.k, &shared) ||
                 !size_mul(shared, sizeof(float), &shared)))
        return SIZE_MAX;
    return shared;
}

static int widen_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    struct span s = span_of(begin, end, tasks_for(j->m * j->k, 1), j->m * j->k);
    elems_to_f32(j->dtype, call_in(j->call, IN_A)->data, s.first, s.last - s.first,
                 (float *)j->call->scratch + s.first);
    return 0;
}

/* Columns [first, first + n), widened in scratch, times all rows. */
static void loose_product(const struct job *j, int64_t first, int64_t n, float *scratch, float *out,
                          size_t c_row)
{
    size_t nr = j->gemm->nr, k = (size_t)j->k;
    float *wide = scratch, *packed = wide + nr * k;
    for (int64_t i = 0; i < n; i++)
        column_widen(&j->s, first + i, wide + (size_t)i * k);
    gemm_f32_pack_b(j->gemm, wide, 1, k, k, (size_t)n, 0, 1, packed);
    struct gemm_f32 g = {.kernel = j->gemm, .m = (size_t)j->m, .n = (size_t)n, .k = k, .a = j->a,
                         .a_row = k, .a_k = 1, .b = packed, .b_packed = true, .c = out,
                         .c_row = c_row, .epilogue = GEMM_EPILOGUE_NONE};
    struct gemm_tasks t = gemm_f32_tasks(j->gemm, g.m, g.n, k);
    for (size_t i = 0; i < t.m_count * t.n_count; i++)
        gemm_f32_run(&g, &t, i / t.n_count, i % t.n_count, packed + nr * k);
}

/* The same, packed in scratch. */
static int packed_product(const struct job *j, int64_t first, int64_t n, float *scratch, float *out,
                          size_t c_row, struct err *e)
{
    struct nbits part = part_of(j, n, scratch);
    struct packing p = {.s = &j->s, .w = &part, .first = first, .data = scratch};
    int r = pack_tasks(&p, 0, (int64_t)nbits_panels(&part), 0, e);
    if (r == 0)
        nbits_pick()->fn(&part, j->a, (size_t)j->k, (size_t)j->m, 0, nbits_panels(&part), out,
                         c_row);
    return r;
}

/* Bias, and the rounding of rows that are not f32. */
static void finish(const struct job *j, int64_t row, int64_t m, int64_t column, int64_t n, float *c,
                   size_t c_row)
{
    const struct tensor *bias = call_in(j->call, IN_BIAS);
    struct tensor *y = call_out(j->call, 0);
    for (int64_t i = 0; i < m; i++, c += c_row) {
        float b[CHUNK_ELEMS];
        for (int64_t at = 0; bias && at < n; at += CHUNK_ELEMS) {
            int64_t some = n - at < CHUNK_ELEMS ? n - at : CHUNK_ELEMS;
            elems_to_f32(bias->dtype, bias->data, column + at, some, b);
            for (int64_t k = 0; k < some; k++)
                c[at + k] += b[k];
        }
        if (j->dtype != DTYPE_F32)
            elems_from_f32(j->dtype, y->data, (row + i) * j->n + column, n, c);
    }
}

static int block_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct job *j = arg;
    float *scratch = call_member_scratch(j->call, member);
    bool wide = j->dtype != DTYPE_F32;
    int r = 0;
    for (int64_t t = begin; t < end && r == 0; t++) {
        int64_t row = t / j->column_blocks * j->rows, column = t % j->column_blocks * j->width;
        int64_t m = j->m - row < j->rows ? j->m - row : j->rows;
        int64_t n = j->n - column < j->width ? j->n - column : j->width;
        float *out = wide ? scratch : (float *)call_out(j->call, 0)->data + row * j->n + column;
        float *behind = scratch + (wide ? j->rows * j->width : 0);
        size_t c_row = (size_t)(wide ? j->width : j->n);
        if (!j->w)
            loose_product(j, column, n, behind, out, c_row);
        else if (j->pack)
            r = packed_product(j, column, n, behind, out, c_row, e);
        else
            nbits_pick()->fn(j->w, j->a + row * j->k, (size_t)j->k, (size_t)m,
                             (size_t)(column / NBITS_PANEL),
                             (size_t)((column + n - 1) / NBITS_PANEL + 1), out, c_row);
        finish(j, row, m, column, n, out, c_row);
    }
    return r;
}

static int check_group(const struct job *j, struct err *e)
{
    const int32_t *group = j->s.group && !j->w ? j->s.group->data : NULL;
    for (int64_t k = 0; group && k < j->k; k++)
        if (group[k] < 0 || group[k] >= j->s.blocks)
            return err_set(e, ERR_INPUT, "g_idx[%lld] is %d, outside 0 to %lld", (long long)k,
                           group[k], (long long)j->s.blocks - 1);
    return 0;
}

static int product_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job j;
    job_init(&j, c);
    j.call = c;
    j.a = call_in(c, IN_A)->data;
    int r = check_group(&j, e);
    if (r || j.m == 0)
        return r;
    if (j.dtype != DTYPE_F32) {
        j.a = c->scratch;
        if ((r = call_tasks(c, tasks_for(j.m * j.k, 1), widen_tasks, &j, e)))
            return r;
    }
    return call_tasks(c, j.row_blocks * j.column_blocks, block_tasks, &j, e);
}

static const struct attr nbits_attrs[] = {
    {"K", ATTR_INT, offsetof(struct attrs_nbits, k), .required = true},
    {"N", ATTR_INT, offsetof(struct attrs_nbits, n), .required = true},
    {"block_size", ATTR_INT, offsetof(struct attrs_nbits, block), .required = true},
    {"bits", ATTR_INT, offsetof(struct attrs_nbits, bits), .i = 4},
    {"weight_prepacked", ATTR_INT, offsetof(struct attrs_nbits, prepacked)},
    {"accuracy_level", ATTR_INT, .ignore = true},
    {NULL},
};

static const struct attr bnb_attrs[] = {
    {"K", ATTR_INT, offsetof(struct attrs_nbits, k), .required = true},
    {"N", ATTR_INT, offsetof(struct attrs_nbits, n), .required = true},
    {"block_size", ATTR_INT, offsetof(struct attrs_nbits, block), .required = true},
    {"quant_type", ATTR_INT, offsetof(struct attrs_nbits, quant_type), .required = true},
    {"transB", ATTR_INT, offsetof(struct attrs_nbits, transposed), .i = 1},
    {"training_mode", ATTR_INT, .ignore = true},
    {NULL},
};

const struct op op_ms_matmulnbits = {
    .domain = "com.microsoft", .name = "MatMulNBits", .since = 1,
    .in_min = 3, .in_max = 6, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = nbits_attrs, .attrs_size = sizeof(struct attrs_nbits),
    .infer = nbits_infer, .prepare = weight_prepare, .scratch = product_scratch,
    .run = product_run,
    .kernels = "gemm nbits",
};

const struct op op_ms_matmulbnb4 = {
    .domain = "com.microsoft", .name = "MatMulBnb4", .since = 1,
    .in_min = 3, .in_max = 3, .out_min = 1, .out_max = 1, .flags = OP_PURE | OP_LEADER,
    .attrs = bnb_attrs, .attrs_size = sizeof(struct attrs_nbits),
    .infer = bnb_infer, .prepare = weight_prepare, .scratch = product_scratch, .run = product_run,
    .kernels = "gemm nbits",
};
