/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/turn.h"

int64_t turn_tasks(const struct call *c, turn_fn *which)
{
    struct transpose t;
    return which(c, &t, NULL) == 0 ? (int64_t)t.tasks : 1;
}

int turn_run(struct call *c, turn_fn *which, int64_t begin, int64_t end, struct err *e)
{
    struct transpose t;
    int r = which(c, &t, e);
    if (r)
        return r;
    if (end > (int64_t)t.tasks)
        end = (int64_t)t.tasks;
    if (begin < end)
        transpose_run(&t, call_in(c, 0)->data, call_out(c, 0)->data, (size_t)begin, (size_t)end);
    return 0;
}
