/* SPDX-License-Identifier: Apache-2.0 */
/* SumTo (ours): input 0 summed over what broadcasting would repeat to bring input 1 to its shape; the
 * output has input 1's shape. What differentiating a broadcast needs. Sums are taken in f64, in order.
 */
#include "ops/layout.h"

static int sum_to_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT_FLOATS, e);
    return r ? r : infer_like(c, 0, 1, infer_dtype(c, 0), e);
}

static int64_t sum_to_tasks(const struct call *c)
{
    int64_t n = tensor_count(call_out(c, 0));
    return tasks_for(n, n ? tensor_count(call_in(c, 0)) / n + 1 : 1);
}

static int sum_to_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0);
    int64_t n = tensor_count(y), terms = 1, first, last, past, steps[TENSOR_RANK_MAX], strides[TENSOR_RANK_MAX];
    int lead = x->rank - y->rank;
    if (lead < 0)
        return err_set(e, ERR_INPUT, "a tensor of rank %d cannot be summed to rank %d", x->rank, y->rank);
    for (int k = 0; k < x->rank; k++) {
        int64_t d = k < lead ? 1 : y->dims[k - lead];
        if (d != x->dims[k] && d != 1)
            return err_set(e, ERR_INPUT, "dim %d of %lld cannot be summed to %lld", k, (long long)x->dims[k],
                           (long long)d);
        steps[k] = d == x->dims[k] ? 1 : x->dims[k]; /* terms along this dim */
        terms *= steps[k];
    }
    dims_strides(x->dims, x->rank, strides);
    task_range(begin, sum_to_tasks(c), n, &first, &past);
    task_range(end - 1, sum_to_tasks(c), n, &past, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t start = 0, rest = i;
        for (int k = x->rank - 1; k >= lead; k--) {
            int64_t d = y->dims[k - lead];
            start += steps[k] == 1 ? rest % d * strides[k] : 0;
            rest /= d;
        }
        double sum = 0, term;
        for (int64_t t = 0; t < terms; t++) {
            int64_t at = start, left = t;
            for (int k = x->rank - 1; k >= 0; k--) {
                at += left % steps[k] * strides[k];
                left /= steps[k];
            }
            elems_to_f64(x->dtype, x->data, at, 1, &term);
            sum += term;
        }
        elems_from_f64(y->dtype, y->data, i, 1, &sum);
    }
    return 0;
}

const struct op op_sumto = {
    .domain = "infer",
    .name = "SumTo",
    .since = 1,
    .in_min = 2,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .infer = sum_to_infer,
    .tasks = sum_to_tasks,
    .run = sum_to_run,
};
