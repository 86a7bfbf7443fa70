/* SPDX-License-Identifier: Apache-2.0 */
/* QEmbedLayerNormalization: EmbedLayerNormalization of tables of bytes, each with a scale and a
 * zero point; so are gamma and beta. */
#include "kernels/norm.h"
#include "ops/contrib/qlinear.h"
#include "ops/span.h"

struct attrs_qembed {
    float epsilon;
};

enum { IN_IDS, IN_SEGMENTS, IN_WORD, IN_PLACE, IN_SEGMENT, IN_GAMMA, IN_BETA, IN_MASK };
/* From a table's input to its scale's and its zero point's. */
enum { SCALES = 8 - IN_WORD, ZEROS = 13 - IN_WORD };

/* Segments' inputs are there or not, all of them. */
static int check_group(struct infer *c, struct err *e)
{
    static const int required[] = {IN_WORD, IN_PLACE, IN_GAMMA, IN_BETA};
    bool segments = infer_has(c, IN_SEGMENTS);
    int count = segments + infer_has(c, IN_SEGMENT) + infer_has(c, IN_SEGMENT + SCALES) +
                infer_has(c, IN_SEGMENT + ZEROS);
    for (int i = 0; i < 4; i++)
        if (!infer_has(c, required[i]))
            return err_set(e, ERR_MODEL, "input %d is missing", required[i]);
    if (count != 0 && count != 4)
        return err_set(e, ERR_MODEL, "segment_ids, segment_embedding, its scale and its zero point "
                                     "must be given together");
    return 0;
}

static int qembed_infer(struct infer *c, struct err *e)
{
    static const int ids[] = {IN_IDS, IN_SEGMENTS, IN_MASK};
    int64_t dims[3];
    int r = check_group(c, e);
    for (int k = 0; k < 2; k++)
        dims[k] = infer_rank(c, IN_IDS) == 2 ? infer_dim(c, IN_IDS, k) : SYM_UNKNOWN;
    dims[2] = infer_rank(c, IN_WORD) == 2 ? infer_dim(c, IN_WORD, 1) : SYM_UNKNOWN;
    for (int i = 0; i < 3 && r == 0; i++) {
        if (!infer_has(c, ids[i]))
            continue;
        r = infer_dtypes(c, ids[i], DT(I32), e);
        if (r == 0 && infer_rank(c, ids[i]) >= 0 &&
            (infer_rank(c, ids[i]) != 2 || sym_differ(c->syms, infer_dim(c, ids[i], 0), dims[0]) ||
             sym_differ(c->syms, infer_dim(c, ids[i], 1), dims[1])))
            r = err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                        "input %d does not have the two dims of input_ids", ids[i]);
    }
    for (int i = IN_WORD; i <= IN_BETA && r == 0; i++) {
        int rank = i < IN_GAMMA ? 2 : 1;
        if (!infer_has(c, i))
            continue;
        r = qlinear_infer(c, i, i + SCALES, i + ZEROS, e);
        if (r == 0 && infer_rank(c, i) >= 0 &&
            (infer_rank(c, i) != rank ||
             sym_differ(c->syms, infer_dim(c, i, rank - 1), dims[2])))
            r = err_set(e, c->syms ? ERR_MODEL : ERR_INPUT,
                        "input %d does not fit the hidden size or has not rank %d", i, rank);
    }
    for (int k = 0; k < 3; k++)
        dims[k] = sym_is_unknown(dims[k]) ? infer_fresh(c) : dims[k];
    if (r || (r = infer_set(c, 0, DTYPE_F32, 3, dims, e)))
        return r;
    return infer_set(c, 1, DTYPE_I32, 1, dims, e);
}

/* Rows: the sum or a table's row, gamma, beta. */
static size_t qembed_scratch(const struct call *c, size_t *per_member)
{
    *per_member = (size_t)call_in(c, IN_WORD)->dims[1] * 3 * sizeof(float);
    return 0;
}

static int64_t qembed_tasks(const struct call *c)
{
    return tasks_for(tensor_count(call_in(c, IN_IDS)), call_in(c, IN_WORD)->dims[1] * 4);
}

/* Row `index` of a table, widened, into or onto `sum`. */
static int add_row(const struct tensor *table, const struct qlinear *q, int64_t index, bool first,
                   const char *what, float *sum, struct err *e)
{
    int64_t n = table->dims[1];
    if (index < 0 || index >= table->dims[0])
        return err_set(e, ERR_INPUT, "%s %lld is outside of [0, %lld)", what, (long long)index,
                       (long long)table->dims[0]);
    const uint8_t *row = (const uint8_t *)table->data + index * n;
    for (int64_t i = 0; i < n; i++)
        sum[i] = (first ? 0 : sum[i]) + qlinear_value(q, row[i]);
    return 0;
}

static int qembed_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *ids = call_in(c, IN_IDS), *segments = call_in(c, IN_SEGMENTS);
    const struct tensor *mask = call_in(c, IN_MASK);
    struct tensor *y = call_out(c, 0), *words = call_out(c, 1);
    struct span s = span_of(begin, end, qembed_tasks(c), tensor_count(ids));
    struct qlinear q[IN_BETA + 1] = {{0}};
    int64_t n = call_in(c, IN_WORD)->dims[1], length = ids->dims[1];
    float *sum = call_member_scratch(c, member);
    struct norm_args args = {.x = sum, .scale = sum + n, .bias = sum + 2 * n, .n = (size_t)n,
                             .epsilon = ((const struct attrs_qembed *)c->attrs)->epsilon};
    int r = 0;
    for (int i = IN_WORD; i <= IN_BETA && r == 0; i++)
        if (call_in(c, i))
            r = qlinear_read(c, i, i + SCALES, i + ZEROS, &q[i], e);
    for (int64_t b = 0; begin == 0 && words && b < ids->dims[0]; b++) {
        int32_t count = 0;
        for (int64_t i = 0; mask && i < length; i++)
            count += ((const int32_t *)mask->data)[b * length + i] == 1;
        ((int32_t *)words->data)[b] = count;
    }
    for (int i = IN_GAMMA; i <= IN_BETA && r == 0; i++)
        for (int64_t k = 0; k < n; k++)
            sum[(i - IN_GAMMA + 1) * n + k] =
                qlinear_value(&q[i], ((const uint8_t *)call_in(c, i)->data)[k]);
    for (int64_t i = s.first; i < s.last && r == 0; i++) {
        r = add_row(call_in(c, IN_WORD), &q[IN_WORD], tensor_int(ids, i), true, "word", sum, e);
        if (r == 0)
            r = add_row(call_in(c, IN_PLACE), &q[IN_PLACE], i % length, false, "place", sum, e);
        if (r == 0 && segments)
            r = add_row(call_in(c, IN_SEGMENT), &q[IN_SEGMENT], tensor_int(segments, i), false,
                        "segment", sum, e);
        if (r || !y)
            continue;
        args.y = (float *)y->data + i * n;
        norm_f32_pick()->layer(&args, 0, 1);
    }
    return r;
}

static const struct attr qembed_attrs[] = {
    {"epsilon", ATTR_FLOAT, offsetof(struct attrs_qembed, epsilon), .f = 1e-12f},
    {NULL},
};

const struct op op_ms_qembedlayernormalization = {
    .domain = "com.microsoft", .name = "QEmbedLayerNormalization", .since = 1,
    .in_min = 1, .in_max = 18, .out_min = 1, .out_max = 2, .flags = OP_PURE,
    .attrs = qembed_attrs, .attrs_size = sizeof(struct attrs_qembed),
    .infer = qembed_infer, .scratch = qembed_scratch, .tasks = qembed_tasks, .run = qembed_run,
    .kernels = "norm",
};
