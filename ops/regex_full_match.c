/* SPDX-License-Identifier: Apache-2.0 */
/* RegexFullMatch: does the pattern match all of a string? */
#include "ops/common.h"
#include "ops/regex.h"

struct attrs_regex {
    struct str pattern;
};

enum { MATCH_COST = 64 }; /* of a string, in elements of plain work */

static int regex_infer(struct infer *c, struct err *e)
{
    int rc = infer_dtypes(c, 0, DT(STRING), e);
    return rc ? rc : infer_like(c, 0, 0, DTYPE_BOOL, e);
}

static int regex_prepare(struct prepare *p, struct err *e)
{
    const struct attrs_regex *a = p->attrs;
    return regex_new((struct regex **)&p->prepared, p->arena, a->pattern, e);
}

static int64_t regex_tasks(const struct call *c)
{
    return tasks_for(tensor_count(call_in(c, 0)), MATCH_COST);
}

static int regex_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct str *x = call_in(c, 0)->data;
    uint8_t *y = call_out(c, 0)->data;
    int64_t n = tensor_count(call_in(c, 0)), tasks = regex_tasks(c), first, last;
    for (int64_t t = begin; t < end; t++) {
        task_range(t, tasks, n, &first, &last);
        for (int64_t i = first; i < last; i++) {
            int yes = regex_matches(c->prepared, c->budget, x[i], e);
            if (yes < 0)
                return yes;
            y[i] = (uint8_t)yes;
        }
    }
    return 0;
}

static const struct attr regex_attrs[] = {
    {"pattern", ATTR_STRING, offsetof(struct attrs_regex, pattern)},
    {NULL},
};

const struct op op_regexfullmatch = {
    .domain = "",
    .name = "RegexFullMatch",
    .since = 20,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_HOST, /* not OP_PURE: it runs with what was prepared only */
    .attrs = regex_attrs,
    .attrs_size = sizeof(struct attrs_regex),
    .infer = regex_infer,
    .prepare = regex_prepare,
    .tasks = regex_tasks,
    .run = regex_run,
};
