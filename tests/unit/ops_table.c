/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operators: every row is whole, and each version of a name has one row. */
#include <limits.h>

#include "graph/op.h"
#include "tests/unit/unit.h"

static const size_t attr_bytes[] = {
    [ATTR_INT] = sizeof(int64_t),          [ATTR_FLOAT] = sizeof(float),
    [ATTR_STRING] = sizeof(struct str),    [ATTR_TENSOR] = sizeof(void *),
    [ATTR_GRAPH] = sizeof(void *),         [ATTR_INTS] = sizeof(struct ints),
    [ATTR_FLOATS] = sizeof(struct floats), [ATTR_STRINGS] = sizeof(struct strs),
    [ATTR_SPARSE] = sizeof(void *),        [ATTR_TYPE] = sizeof(void *),
};

static bool attr_whole(const struct op *op, const struct attr *a)
{
    if (a->until && a->until < a->since)
        return false;
    if (a->ignore)
        return true;
    if (a->input > 0)
        return op->in_max < 0 || a->input < op->in_max;
    return a->offset + attr_bytes[a->kind] <= op->attrs_size;
}

static bool row_whole(const struct op *op)
{
    for (const struct attr *a = op->attrs; a && a->name; a++) {
        if (!attr_whole(op, a)) {
            printf("%s: attribute %s\n", op->name, a->name);
            return false;
        }
    }
    return op->domain && op->name && op->since >= 1 && (!op->until || op->until >= op->since) &&
           op->in_min >= 0 && (op->in_max < 0 || op->in_max >= op->in_min) && op->out_min >= 0 &&
           (op->out_max < 0 || op->out_max >= op->out_min) && op->infer &&
           (op->run || (op->flags & OP_VIEW) || strcmp(op->domain, "infer") == 0);
}

static void rows(void)
{
    size_t n = 0;
    int newer;
    for (const struct op *op; (op = op_row(n)); n++) {
        int last = op->until ? op->until : INT_MAX;
        bool found = op_find(op->domain, op->name, op->since, &newer) == op && newer == 0 &&
                     op_find(op->domain, op->name, last, NULL) == op;
        if (!CHECK(row_whole(op)) || !CHECK(found))
            printf("%s.%s %d\n", op->domain, op->name, op->since);
        op_find(op->domain, op->name, 0, &newer);
        CHECK(newer >= 1 && newer <= op->since);
    }
    CHECK(n > 100);
}

static void find(void)
{
    int newer = -1;
    CHECK(op_find("", "NoSuchOperator", 13, &newer) == NULL && newer == 0);
    CHECK(op_find("no.such.domain", "Add", 13, NULL) == NULL);
    CHECK(op_find("ai.onnx", "Add", 13, NULL) == op_find("", "Add", 13, NULL));
    CHECK(op_find("", "Trilu", 13, &newer) == NULL && newer == 14);
    CHECK(op_find("", "Trilu", 14, &newer) != NULL && newer == 0);
}

static const struct unit_test tests[] = {TEST(rows), TEST(find)};
UNIT_MAIN(tests)
