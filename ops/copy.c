/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/copy.h"

static int copy_infer(struct infer *c, struct err *e)
{
    infer_set_type(c, 0, &c->in[0]->type);
    return 0;
}

const struct op op_copy_to_device = {
    .domain = "infer", .name = "CopyToDevice", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .infer = copy_infer,
};

const struct op op_copy_to_host = {
    .domain = "infer", .name = "CopyToHost", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .infer = copy_infer,
};
