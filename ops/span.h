/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise operators as tasks: a run of consecutive tasks as a run of consecutive elements.
 * For ops/ only; pure functions, any thread.
 */
#pragma once

#include "ops/common.h"

/* Elements [first, last) of n that tasks [begin, end) of `tasks` do together. */
struct span {
    int64_t first, last;
};

static inline struct span span_of(int64_t begin, int64_t end, int64_t tasks, int64_t n)
{
    struct span s = {0, 0};
    int64_t unused;
    if (begin < end) {
        task_range(begin, tasks, n, &s.first, &unused);
        task_range(end - 1, tasks, n, &unused, &s.last);
    }
    return s;
}

/* Tasks for output 0, each element worth `cost` simple ones; and their elements. */
static inline int64_t span_tasks(const struct call *c, int64_t cost)
{
    return tasks_for(tensor_count(call_out(c, 0)), cost);
}
static inline struct span span_out(const struct call *c, int64_t begin, int64_t end, int64_t cost)
{
    return span_of(begin, end, span_tasks(c, cost), tensor_count(call_out(c, 0)));
}

/* Element i of a tensor. */
static inline void *tensor_at(const struct tensor *t, int64_t i)
{
    return (char *)t->data + (size_t)i * dtype_size(t->dtype);
}
