/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding and MRotaryEmbedding of com.microsoft: positions come first, one to start from or
 * one a token; the second form takes three positions a token, each for its share of the angles.
 * `scale` and is_packed_batching change nothing where the caches hold every position, which they
 * must. */
#include <stddef.h>

#include "ops/contrib/attention_parts.h"
#include "ops/rotary.h"
#include "ops/span.h"

struct attrs_turn {
    int64_t interleaved, num_heads, dim, layout;
    struct ints sections;
};

static const struct attr rotary_attrs[] = {
    {"interleaved", ATTR_INT, offsetof(struct attrs_turn, interleaved)},
    {"num_heads", ATTR_INT, offsetof(struct attrs_turn, num_heads)},
    {"rotary_embedding_dim", ATTR_INT, offsetof(struct attrs_turn, dim)},
    {"is_packed_batching", ATTR_INT, .ignore = true},
    {"scale", ATTR_FLOAT, .ignore = true},
    {0},
};

static const struct attr mrotary_attrs[] = {
    {"interleaved", ATTR_INT, offsetof(struct attrs_turn, interleaved)},
    {"num_heads", ATTR_INT, offsetof(struct attrs_turn, num_heads)},
    {"rotary_embedding_dim", ATTR_INT, offsetof(struct attrs_turn, dim)},
    {"mrope_section", ATTR_INTS, offsetof(struct attrs_turn, sections), .required = true},
    {"mrope_layout", ATTR_INT, offsetof(struct attrs_turn, layout)},
    {"is_packed_batching", ATTR_INT, .ignore = true},
    {"scale", ATTR_FLOAT, .ignore = true},
    {0},
};

enum { IN_X, IN_POSITIONS, IN_COS, IN_SIN };
enum { STREAMS = 3 };

static bool is_streams(const struct op *op)
{
    return op->name[0] == 'M';
}

/* Heads of a flat input: as told, or as many as the caches' angles fill. */
static int64_t heads_of(const struct attrs_turn *at, int64_t hidden, int64_t columns)
{
    if (at->num_heads > 0)
        return at->num_heads;
    return sym_is_number(hidden) && sym_is_number(columns) && columns > 0 ? hidden / (2 * columns)
                                                                          : SYM_UNKNOWN;
}

static int check_heads_and_turned(const struct attrs_turn *at, struct view x, int64_t columns,
                                  struct err *e)
{
    int64_t size = x.dims[x.rank - 1], heads = heads_of(at, size, columns);
    if (at->num_heads < 0 || at->num_heads > INT32_MAX || at->dim < 0 || at->dim % 2 != 0 ||
        (at->dim > 0 && at->num_heads == 0 && x.rank == 3))
        return err_set(e, ERR_MODEL, "num_heads is %lld, rotary_embedding_dim %lld",
                       (long long)at->num_heads, (long long)at->dim);
    if (!sym_is_number(size) || !sym_is_number(columns))
        return 0;
    if (columns < 1)
        return err_set(e, ERR_MODEL, "cos_cache has no columns");
    if (x.rank == 3 && (heads < 1 || size % heads != 0))
        return err_set(e, ERR_MODEL, "%lld numbers do not make %lld heads", (long long)size,
                       (long long)heads);
    size = x.rank == 3 ? size / heads : size;
    int64_t turned = at->dim ? at->dim : 2 * columns;
    if (turned <= size && turned <= 2 * columns)
        return 0;
    return err_set(e, ERR_MODEL, "%lld numbers of a head of %lld cannot be turned by %lld angles",
                   (long long)turned, (long long)size, (long long)columns);
}

static int check_positions(struct infer *c, struct view x, struct err *e)
{
    struct view p = view_infer(c, IN_POSITIONS);
    int64_t tokens = x.dims[x.rank - 2];
    bool streams = is_streams(c->node->op);
    if (p.rank < 0)
        return 0;
    if (!streams && p.rank < 2)
        return scalar_check(c, IN_POSITIONS, "elements of position_ids", e);
    int rc = rank_is(p, streams ? 3 : 2, "position_ids", e);
    if (rc == 0 && streams)
        rc = dims_agree(c->syms, p.dims[0], STREAMS, "streams of position_ids", e);
    if (rc == 0)
        rc = dims_agree(c->syms, p.dims[p.rank - 2], x.dims[0], "batch of position_ids", e);
    return rc < 0 ? rc
                  : dims_agree(c->syms, p.dims[p.rank - 1], tokens, "tokens of position_ids", e);
}

static int check_sections(const struct attrs_turn *at, int64_t columns, struct err *e)
{
    int64_t half = at->dim ? at->dim / 2 : columns, sum = 0;
    int rc = ints_length(&at->sections, STREAMS, "mrope_section", e);
    for (int i = 0; i < STREAMS && rc == 0 && at->sections.v; i++) {
        if (at->sections.v[i] < 0 || at->sections.v[i] > INT32_MAX)
            return err_set(e, ERR_MODEL, "mrope_section holds %lld", (long long)at->sections.v[i]);
        sum += at->sections.v[i];
    }
    if (rc == 0 && (at->layout < 0 || at->layout > 1 || (sym_is_number(half) && sum != half)))
        rc = err_set(e, ERR_MODEL,
                     "mrope_section adds up to %lld of %lld angles, mrope_layout is %lld",
                     (long long)sum, (long long)half, (long long)at->layout);
    return rc;
}

static int rotary_infer(struct infer *c, struct err *e)
{
    static const int same[] = {IN_COS, IN_SIN};
    const struct attrs_turn *at = c->attrs;
    struct view x = view_infer(c, IN_X), cosine = view_infer(c, IN_COS),
                sine = view_infer(c, IN_SIN);
    int rc = check_dtypes(c, IN_X, DT(F32) | DT_FLOAT16S, same, 2, NULL, 0, e);
    if (rc == 0)
        rc = infer_dtypes(c, IN_POSITIONS, DT(I64), e);
    if (rc == 0)
        rc = rank_is(cosine, 2, "cos_cache", e);
    if (rc == 0)
        rc = rank_is(sine, 2, "sin_cache", e);
    for (int k = 0; k < 2 && rc == 0 && cosine.rank == 2 && sine.rank == 2; k++)
        rc = dims_agree(c->syms, sine.dims[k], cosine.dims[k], "dims of sin_cache", e);
    if (rc == 0 && x.rank >= 0 && x.rank != 3 && x.rank != 4)
        rc = err_set(e, ERR_MODEL, "the input has rank %d, expected 3 or 4", x.rank);
    if (rc == 0 && x.rank > 0)
        rc = check_heads_and_turned(at, x, cosine.rank == 2 ? cosine.dims[1] : SYM_UNKNOWN, e);
    if (rc == 0 && x.rank > 0)
        rc = check_positions(c, x, e);
    if (rc == 0 && is_streams(c->node->op))
        rc = check_sections(at, cosine.rank == 2 ? cosine.dims[1] : SYM_UNKNOWN, e);
    return rc < 0 ? rc : infer_like(c, 0, IN_X, infer_dtype(c, IN_X), e);
}

/* ---- running --------------------------------------------------------------------------------- */

static struct rotary rotary_of(const struct call *c)
{
    const struct attrs_turn *at = c->attrs;
    struct rotary r = {
        .x = call_in(c, IN_X), .y = call_out(c, 0), .interleaved = at->interleaved != 0};
    int64_t columns = call_in(c, IN_COS)->dims[1];
    rotary_shape(&r, r.x->rank == 3 ? heads_of(at, r.x->dims[2], columns) : 1);
    r.turned = at->dim ? at->dim : 2 * columns;
    return r;
}

static int64_t rotary_node_tasks(const struct call *c)
{
    struct rotary r = rotary_of(c);
    return rotary_tasks(&r);
}

static size_t rotary_scratch(const struct call *c, size_t *per_member)
{
    struct rotary r = rotary_of(c);
    *per_member =
        rotary_room_bytes(&r) + (is_streams(c->op) ? (size_t)r.turned * sizeof(float) : 0);
    return 0;
}

/* Which stream angle i follows. */
static int stream_of(const struct attrs_turn *at, int64_t i)
{
    const int64_t *n = at->sections.v;
    if (at->layout == 1)
        return i % 3 && i < 3 * n[i % 3] ? (int)(i % 3) : 0;
    return i < n[0] ? 0 : i < n[0] + n[1] ? 1 : 2;
}

/* The angles of a token, of three positions, as tensors of one row in `at`. */
static int mix_angles(const struct call *c, const struct rotary *r, int64_t token, float *mixed,
                      struct err *e)
{
    const struct tensor *cosine = call_in(c, IN_COS), *sine = call_in(c, IN_SIN),
                        *ids = call_in(c, IN_POSITIONS);
    int64_t half = r->turned / 2, tokens = ids->dims[1] * ids->dims[2], at[STREAMS];
    for (int s = 0; s < STREAMS; s++) {
        int64_t id = ((const int64_t *)ids->data)[s * tokens + token];
        if (id < 0 || id >= cosine->dims[0])
            return err_set(e, ERR_INPUT, "position %lld is outside of cos_cache's %lld",
                           (long long)id, (long long)cosine->dims[0]);
        at[s] = id * cosine->dims[1];
    }
    for (int64_t i = 0; i < half; i++) {
        int64_t from = at[stream_of(c->attrs, i)] + i;
        elems_to_f32(cosine->dtype, cosine->data, from, 1, mixed + i);
        elems_to_f32(sine->dtype, sine->data, from, 1, mixed + half + i);
    }
    return 0;
}

static int turn_streams(const struct call *c, const struct rotary *r, int64_t row, float *room,
                        struct err *e)
{
    float *mixed = room + 3 * r->size;
    struct tensor cosine = {.dtype = DTYPE_F32, .rank = 1, .dims = {r->turned / 2}, .data = mixed},
                  sine = cosine;
    int rc = mix_angles(c, r, rotary_token(r, row), mixed, e);
    sine.data = mixed + r->turned / 2;
    if (rc == 0)
        rotary_row(r, row, &cosine, &sine, 0, room);
    return rc;
}

static int turn_row(const struct call *c, const struct rotary *r, int64_t row, float *room,
                    struct err *e)
{
    const struct tensor *ids = call_in(c, IN_POSITIONS), *cosine = call_in(c, IN_COS);
    const int64_t *id = ids->data;
    int64_t token = rotary_token(r, row), at;
    if (ids->rank == 2)
        at = id[token];
    else if (__builtin_add_overflow(id[0], token % r->tokens, &at))
        at = -1;
    if (at < 0 || at >= cosine->dims[0])
        return err_set(e, ERR_INPUT, "position %lld is outside of cos_cache's %lld", (long long)at,
                       (long long)cosine->dims[0]);
    rotary_row(r, row, cosine, call_in(c, IN_SIN), at * cosine->dims[1], room);
    return 0;
}

static int rotary_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct rotary r = rotary_of(c);
    struct span s = span_of(begin, end, rotary_tasks(&r), r.rows);
    float *room = call_member_scratch(c, member);
    int rc = 0;
    for (int64_t row = s.first; row < s.last && rc == 0; row++)
        rc = is_streams(c->op) ? turn_streams(c, &r, row, room, e) : turn_row(c, &r, row, room, e);
    return rc;
}

const struct op op_ms_rotaryembedding = {
    .domain = "com.microsoft", .name = "RotaryEmbedding", .since = 1,
    .in_min = 4, .in_max = 4, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_INPLACE0,
    .attrs = rotary_attrs, .attrs_size = sizeof(struct attrs_turn),
    .infer = rotary_infer, .scratch = rotary_scratch, .tasks = rotary_node_tasks, .run = rotary_run,
    .kernels = "gemm softmax transpose unary",
};

const struct op op_ms_mrotaryembedding = {
    .domain = "com.microsoft", .name = "MRotaryEmbedding", .since = 1,
    .in_min = 4, .in_max = 4, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_INPLACE0,
    .attrs = mrotary_attrs, .attrs_size = sizeof(struct attrs_turn),
    .infer = rotary_infer, .scratch = rotary_scratch, .tasks = rotary_node_tasks, .run = rotary_run,
    .kernels = "gemm softmax transpose unary",
};
