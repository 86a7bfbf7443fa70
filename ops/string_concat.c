/* SPDX-License-Identifier: Apache-2.0 */
/* StringConcat: strings of two broadcast tensors, one behind the other. */
#include <string.h>

#include "ops/common.h"

static int concat_infer(struct infer *c, struct err *e)
{
    int64_t dims[TENSOR_RANK_MAX];
    int rank, rc = infer_dtypes(c, 0, DT(STRING), e);
    if (rc == 0)
        rc = infer_dtypes(c, 1, DT(STRING), e);
    if (rc == 0)
        rc = infer_broadcast(c, 0, 2, &rank, dims, e);
    return rc < 0 ? rc : infer_set(c, 0, DTYPE_STRING, rank, dims, e);
}

/* Element i of the output lies at *a and *b of the inputs. */
static void places(const struct tensor *y, const int64_t *sa, const int64_t *sb, int64_t i, int64_t *a, int64_t *b)
{
    *a = *b = 0;
    for (int k = y->rank - 1; k >= 0; k--) {
        *a += i % y->dims[k] * sa[k];
        *b += i % y->dims[k] * sb[k];
        i /= y->dims[k];
    }
}

static int concat_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct tensor *y = call_out(c, 0);
    const struct str *x0 = call_in(c, 0)->data, *x1 = call_in(c, 1)->data;
    int64_t sa[TENSOR_RANK_MAX], sb[TENSOR_RANK_MAX], n = tensor_count(y), a, b;
    broadcast_strides(call_in(c, 0), y->rank, sa);
    broadcast_strides(call_in(c, 1), y->rank, sb);
    for (int64_t i = 0; i < n; i++) {
        size_t size;
        places(y, sa, sb, i, &a, &b);
        if (!size_add(x0[a].size, x1[b].size, &size))
            return err_set(e, ERR_LIMIT, "a string would be too long");
        char *text = size ? arena_alloc(&y->buffer->strings, size, e) : "";
        if (!text)
            return e ? e->code : ERR_MEMORY;
        if (x0[a].size)
            memcpy(text, x0[a].data, x0[a].size);
        if (x1[b].size)
            memcpy(text + x0[a].size, x1[b].data, x1[b].size);
        ((struct str *)y->data)[i] = (struct str){text, size};
    }
    return 0;
}

const struct op op_stringconcat = {
    .domain = "", .name = "StringConcat", .since = 20,
    .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1,
    .flags = OP_PURE | OP_HOST, .host_in = ~0u,
    .infer = concat_infer, .run = concat_run,
};
