/* SPDX-License-Identifier: Apache-2.0 */
/* DynamicQuantizeLinear: the range of the input, widened to hold zero, becomes 256 steps. */
#include "ops/dynamic_quantize.h"

#include "ops/span.h"

static int dynamic_infer(struct infer *c, struct err *e)
{
    int r = infer_dtypes(c, 0, DT(F32), e);
    if (r || (r = infer_like(c, 0, 0, DTYPE_U8, e)) ||
        (r = infer_set(c, 1, DTYPE_F32, 0, NULL, e)))
        return r;
    return infer_set(c, 2, DTYPE_U8, 0, NULL, e);
}

struct range {
    float low, high;
};

struct job {
    const float *x;
    uint8_t *y;
    int64_t n, tasks;
    struct range *ranges; /* one a task */
    struct quant_step step;
};

size_t dynamic_quantize_scratch(int64_t n)
{
    return (size_t)tasks_for(n, 1) * sizeof(struct range);
}

static size_t dynamic_scratch(const struct call *c, size_t *per_member)
{
    return dynamic_quantize_scratch(tensor_count(call_in(c, 0)));
}

/* Which way the maxima are taken together does not matter to them. */
static int range_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    struct job *j = arg;
    for (int64_t t = begin; t < end; t++) {
        struct span s = span_of(t, t + 1, j->tasks, j->n);
        struct range r = {0, 0};
        for (int64_t i = s.first; i < s.last; i++) {
            r.low = j->x[i] < r.low ? j->x[i] : r.low;
            r.high = j->x[i] > r.high ? j->x[i] : r.high;
        }
        j->ranges[t] = r;
    }
    return 0;
}

static int step_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct quant_range bytes = {0, 255};
    struct job *j = arg;
    struct span s = span_of(begin, end, j->tasks, j->n);
    for (int64_t i = s.first; i < s.last; i++) {
        j->y[i] = (uint8_t)(int)quant_round(j->x[i] / j->step.scale, j->step.zero, bytes);
    }
    return 0;
}

int dynamic_quantize(struct call *c, const float *x, int64_t n, void *scratch, uint8_t *y,
                     struct quant_step *step, struct err *e)
{
    struct job j = {.x = x, .y = y, .n = n, .tasks = tasks_for(n, 1), .ranges = scratch};
    struct range all = {0, 0};
    int r = call_tasks(c, j.tasks, range_tasks, &j, e);
    if (r)
        return r;
    for (int64_t t = 0; t < j.tasks; t++) {
        all.low = j.ranges[t].low < all.low ? j.ranges[t].low : all.low;
        all.high = j.ranges[t].high > all.high ? j.ranges[t].high : all.high;
    }
    *step = j.step = quant_step_of(all.low, all.high);
    return y ? call_tasks(c, j.tasks, step_tasks, &j, e) : 0;
}

static int dynamic_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tensor *x = call_in(c, 0);
    struct tensor *y = call_out(c, 0), *scale = call_out(c, 1), *zero = call_out(c, 2);
    struct quant_step step;
    int r = dynamic_quantize(c, x->data, tensor_count(x), c->scratch, y ? y->data : NULL, &step, e);
    if (r == 0 && scale)
        *(float *)scale->data = step.scale;
    if (r == 0 && zero)
        *(uint8_t *)zero->data = (uint8_t)(int)step.zero;
    return r;
}

const struct op op_dynamicquantizelinear = {
    .domain = "", .name = "DynamicQuantizeLinear", .since = 11,
    .in_min = 1, .in_max = 1, .out_min = 3, .out_max = 3, .flags = OP_PURE | OP_LEADER,
    .infer = dynamic_infer, .scratch = dynamic_scratch, .run = dynamic_run,
};
