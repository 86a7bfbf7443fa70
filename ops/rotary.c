/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding: the first numbers of every head are pairs, each turned by an angle of its token.
 */
#include "ops/rotary.h"

#include <stddef.h>
#include <string.h>

#include "graph/attrs.h"
#include "ops/span.h"

enum { IN_X, IN_COS, IN_SIN, IN_POSITIONS };

static const struct attr rotary_attrs[] = {
    {"interleaved", ATTR_INT, offsetof(struct attrs_rotary, interleaved)},
    {"num_heads", ATTR_INT, offsetof(struct attrs_rotary, num_heads)},
    {"rotary_embedding_dim", ATTR_INT, offsetof(struct attrs_rotary, rotary_embedding_dim)},
    {0},
};

/* ---- inference ------------------------------------------------------------------------------- */

/* batch, tokens and head size of input X, whose rank is known. */
static int read_dims(struct infer *c, int64_t *batch, int64_t *tokens, int64_t *size, struct err *e)
{
    const struct attrs_rotary *at = c->attrs;
    const int64_t *d = c->in[IN_X]->type.dims;
    int rank = infer_rank(c, IN_X);
    *batch = d[0];
    *tokens = d[rank - 2];
    *size = d[rank - 1];
    if (rank == 4)
        return 0;
    if (at->num_heads < 1)
        return err_set(e, ERR_MODEL, "a 3-D input needs attribute num_heads");
    if (sym_is_number(d[2]) && d[2] % at->num_heads != 0)
        return err_set(e, ERR_MODEL, "%lld numbers do not make %lld heads", (long long)d[2],
                       (long long)at->num_heads);
    *size = sym_floor_div(c->syms, d[2], at->num_heads);
    return 0;
}

/* A cache is [positions, half] with position_ids, [batch, tokens, half] without. */
static int check_cache(struct infer *c, int i, int64_t batch, int64_t tokens, int64_t half,
                       struct err *e)
{
    int rank = infer_has(c, IN_POSITIONS) ? 2 : 3;
    if (infer_rank(c, i) < 0)
        return 0;
    if (infer_rank(c, i) != rank)
        return err_set(e, ERR_MODEL, "input %d has rank %d, expected %d", i, infer_rank(c, i),
                       rank);
    if (sym_differ(c->syms, infer_dim(c, i, rank - 1), half))
        return err_set(e, ERR_MODEL, "input %d does not have half as many columns as numbers turn",
                       i);
    if (rank == 3 && (sym_differ(c->syms, infer_dim(c, i, 0), batch) ||
                      sym_differ(c->syms, infer_dim(c, i, 1), tokens)))
        return err_set(e, ERR_MODEL, "input %d does not have the input's batch and tokens", i);
    return 0;
}

static int check_positions(struct infer *c, int64_t batch, int64_t tokens, struct err *e)
{
    int rc = infer_dtypes(c, IN_POSITIONS, DT(I64), e), rank = infer_rank(c, IN_POSITIONS);
    if (rc < 0 || rank < 0)
        return rc;
    if (rank != 2 || sym_differ(c->syms, infer_dim(c, IN_POSITIONS, 0), batch) ||
        sym_differ(c->syms, infer_dim(c, IN_POSITIONS, 1), tokens))
        return err_set(e, ERR_MODEL, "position_ids is not one number a token");
    return sym_differ(c->syms, infer_rank(c, IN_COS) == 2 ? infer_dim(c, IN_COS, 0) : SYM_UNKNOWN,
                      infer_rank(c, IN_SIN) == 2 ? infer_dim(c, IN_SIN, 0) : SYM_UNKNOWN)
               ? err_set(e, ERR_MODEL, "cos_cache and sin_cache have different lengths")
               : 0;
}

static int rotary_infer(struct infer *c, struct err *e)
{
    const struct attrs_rotary *at = c->attrs;
    int64_t batch, tokens, size, turned = at->rotary_embedding_dim;
    int rank = infer_rank(c, IN_X), rc = infer_dtypes(c, IN_X, DT_FLOATS, e);
    for (int i = IN_COS; i <= IN_SIN && rc == 0; i++) {
        rc = infer_dtypes(c, i, DT_FLOATS, e);
        if (rc == 0)
            rc = infer_same_dtype(c, IN_X, i, e);
    }
    if (rc < 0)
        return rc;
    if (rank < 0)
        return infer_unknown(c, 0, infer_dtype(c, IN_X), e);
    if (rank != 3 && rank != 4)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 3 or 4", rank);
    rc = read_dims(c, &batch, &tokens, &size, e);
    if (rc < 0)
        return rc;
    if (turned == 0)
        turned = size;
    if (sym_is_number(turned) &&
        (turned < 0 || turned % 2 != 0 || (sym_is_number(size) && turned > size)))
        return err_set(e, ERR_MODEL, "%lld numbers of a head cannot be turned in pairs",
                       (long long)turned);
    for (int i = IN_COS; i <= IN_SIN && rc == 0; i++)
        rc = check_cache(c, i, batch, tokens, sym_floor_div(c->syms, turned, 2), e);
    if (rc == 0 && infer_has(c, IN_POSITIONS))
        rc = check_positions(c, batch, tokens, e);
    if (rc < 0)
        return rc;
    return infer_like(c, 0, IN_X, infer_dtype(c, IN_X), e);
}

/* ---- rows ------------------------------------------------------------------------------------ */

void rotary_shape(struct rotary *r, int64_t heads)
{
    const struct tensor *x = r->x;
    r->flat = x->rank == 3;
    r->heads = r->flat ? heads : x->dims[1];
    r->tokens = x->dims[x->rank - 2];
    r->size = r->flat ? x->dims[2] / heads : x->dims[3];
    r->rows = x->dims[0] * r->heads * r->tokens;
}

int64_t rotary_tasks(const struct rotary *r)
{
    return tasks_for(r->rows, r->size * 2);
}

size_t rotary_room_bytes(const struct rotary *r)
{
    return 3 * (size_t)r->size * sizeof(float);
}

int64_t rotary_token(const struct rotary *r, int64_t row)
{
    int64_t token = r->flat ? row / r->heads % r->tokens : row % r->tokens;
    return row / (r->heads * r->tokens) * r->tokens + token;
}

void rotary_turn(const float *x, const float *cosine, const float *sine, int64_t half,
                 bool interleaved, float *y)
{
    int64_t step = interleaved ? 2 : 1, other = interleaved ? 1 : half;
    for (int64_t i = 0; i < half; i++) {
        float a = x[i * step], b = x[i * step + other];
        y[i * step] = cosine[i] * a - sine[i] * b;
        y[i * step + other] = sine[i] * a + cosine[i] * b;
    }
}

/* The same in double. */
static void turn_f64(const double *x, const double *cosine, const double *sine, int64_t half,
                     bool interleaved, double *y)
{
    int64_t step = interleaved ? 2 : 1, other = interleaved ? 1 : half;
    for (int64_t i = 0; i < half; i++) {
        double a = x[i * step], b = x[i * step + other];
        y[i * step] = cosine[i] * a - sine[i] * b;
        y[i * step + other] = sine[i] * a + cosine[i] * b;
    }
}

void rotary_row(const struct rotary *r, int64_t row, const struct tensor *cosine,
                const struct tensor *sine, int64_t angle, float *room)
{
    const struct tensor *x = r->x;
    int64_t half = r->turned / 2, first = row * r->size;
    size_t rest = (size_t)(r->size - r->turned) * dtype_size(x->dtype);
    if (x->data != r->y->data && rest)
        memcpy(tensor_at(r->y, first + r->turned), tensor_at(x, first + r->turned), rest);
    if (x->dtype == DTYPE_F64) {
        turn_f64((const double *)x->data + first, (const double *)cosine->data + angle,
                 (const double *)sine->data + angle, half, r->interleaved,
                 (double *)r->y->data + first);
        return;
    }
    if (x->dtype == DTYPE_F32 && cosine->dtype == DTYPE_F32) {
        rotary_turn((const float *)x->data + first, (const float *)cosine->data + angle,
                    (const float *)sine->data + angle, half, r->interleaved,
                    (float *)r->y->data + first);
        return;
    }
    float *turned = room + r->size, *angles = turned + r->size;
    elems_to_f32(x->dtype, x->data, first, r->turned, room);
    elems_to_f32(cosine->dtype, cosine->data, angle, half, angles);
    elems_to_f32(sine->dtype, sine->data, angle, half, angles + half);
    rotary_turn(room, angles, angles + half, half, r->interleaved, turned);
    elems_from_f32(x->dtype, r->y->data, first, r->turned, turned);
}

/* ---- the node -------------------------------------------------------------------------------- */

static struct rotary node_rotary(const struct call *c)
{
    const struct attrs_rotary *at = c->attrs;
    struct rotary r = {
        .x = call_in(c, IN_X), .y = call_out(c, 0), .interleaved = at->interleaved != 0};
    rotary_shape(&r, at->num_heads);
    r.turned = at->rotary_embedding_dim ? at->rotary_embedding_dim : r.size;
    return r;
}

static int64_t node_tasks(const struct call *c)
{
    struct rotary r = node_rotary(c);
    return rotary_tasks(&r);
}

static size_t node_scratch(const struct call *c, size_t *per_member)
{
    struct rotary r = node_rotary(c);
    *per_member = rotary_room_bytes(&r);
    return 0;
}

static int node_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *ids = call_in(c, IN_POSITIONS), *cosine = call_in(c, IN_COS),
                        *sine = call_in(c, IN_SIN);
    struct rotary r = node_rotary(c);
    struct span s = span_of(begin, end, rotary_tasks(&r), r.rows);
    for (int64_t row = s.first; row < s.last; row++) {
        int64_t at = rotary_token(&r, row);
        int rc =
            ids ? norm_index(((const int64_t *)ids->data)[at], cosine->dims[0], "position", &at, e)
                : 0;
        if (rc < 0)
            return rc;
        rotary_row(&r, row, cosine, sine, at * (r.turned / 2), call_member_scratch(c, member));
    }
    return 0;
}

const struct op op_rotaryembedding = {
    .domain = "", .name = "RotaryEmbedding", .since = 23,
    .in_min = 3, .in_max = 4, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_INPLACE0,
    .attrs = rotary_attrs, .attrs_size = sizeof(struct attrs_rotary),
    .infer = rotary_infer, .scratch = node_scratch, .tasks = node_tasks, .run = node_run,
};
