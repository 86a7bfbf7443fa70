/* SPDX-License-Identifier: Apache-2.0 */
/* DepthToSpace and SpaceToDepth: transposes of six dims. Below, b is the block size:
 *
 *   DepthToSpace DCR  [N, b, b, C, H, W] -> [N, C, H, b, W, b]
 *   DepthToSpace CRD  [N, C, b, b, H, W] -> [N, C, H, b, W, b]
 *   SpaceToDepth      the way back
 */
#include "graph/attrs.h"
#include "ops/layout.h"
#include "ops/turn.h"

static int check_attrs(const struct attrs_depth_to_space *a, bool *crd, struct err *e)
{
    *crd = a->mode.size == 3 && memcmp(a->mode.data, "CRD", 3) == 0;
    if (a->mode.data && !*crd && !(a->mode.size == 3 && memcmp(a->mode.data, "DCR", 3) == 0))
        return err_set(e, ERR_MODEL, "mode is neither DCR nor CRD");
    if (a->blocksize < 1 || a->blocksize > 32768)
        return err_set(e, ERR_MODEL, "blocksize is %lld", (long long)a->blocksize);
    return 0;
}

static int space_infer(struct infer *c, bool to_space, struct err *e)
{
    const struct attrs_depth_to_space *a = c->attrs;
    int64_t b = a->blocksize, dims[4];
    bool crd;
    int r = check_attrs(a, &crd, e);
    if (r)
        return r;
    if (infer_rank(c, 0) >= 0 && infer_rank(c, 0) != 4)
        return err_set(e, ERR_MODEL, "the input has rank %d, expected 4", infer_rank(c, 0));
    for (int i = 0; i < 4; i++) {
        dims[i] = infer_rank(c, 0) < 0 ? infer_fresh(c) : infer_dim(c, 0, i);
        bool divide = i > 0 && to_space == (i == 1);
        int64_t by = i == 1 ? b * b : b;
        if (divide && sym_is_number(dims[i]) && dims[i] % by)
            return err_set(e, ERR_MODEL, "dim %d is %lld, no multiple of %lld", i,
                           (long long)dims[i], (long long)by);
        if (i > 0)
            dims[i] = divide ? sym_floor_div(c->syms, dims[i], by) : sym_mul(c->syms, dims[i], by);
        if (sym_is_unknown(dims[i]))
            dims[i] = infer_fresh(c);
    }
    return infer_set(c, 0, infer_dtype(c, 0), 4, dims, e);
}

static int to_space_infer(struct infer *c, struct err *e)
{
    return space_infer(c, true, e);
}

static int to_depth_infer(struct infer *c, struct err *e)
{
    return space_infer(c, false, e);
}

static int make_transpose(const struct call *c, struct transpose *t, struct err *e)
{
    static const int64_t perms[2][2][6] = {
        {{0, 3, 5, 1, 2, 4}, {0, 1, 3, 5, 2, 4}}, /* to depth: DCR, CRD */
        {{0, 3, 4, 1, 5, 2}, {0, 1, 4, 2, 5, 3}}, /* to space */
    };
    const struct attrs_depth_to_space *a = c->attrs;
    const struct tensor *x = call_in(c, 0), *y = call_out(c, 0);
    bool crd, to_space = strcmp(c->op->name, "DepthToSpace") == 0;
    int64_t b = a->blocksize, n = x->dims[0];
    int r = check_attrs(a, &crd, e);
    if (r)
        return r;
    int64_t dims[6] = {n, x->dims[1], x->dims[2] / b, b, x->dims[3] / b, b};
    if (to_space) {
        int64_t deep = x->dims[1] / (b * b);
        int64_t space[6] = {n, crd ? deep : b, b, crd ? b : deep, x->dims[2], x->dims[3]};
        memcpy(dims, space, sizeof dims);
    }
    if (dims_product(dims, 0, 6) != tensor_count(x) || tensor_count(y) != tensor_count(x))
        return err_set(e, ERR_INPUT, "dims are no multiples of blocksize %lld", (long long)b);
    if (!transpose_init(t, 6, dims, perms[to_space][crd], dtype_size(x->dtype)))
        return err_set(e, ERR_LIMIT, "the tensor is too large");
    return 0;
}

static int64_t space_tasks(const struct call *c)
{
    return turn_tasks(c, make_transpose);
}

static int space_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    return turn_run(c, make_transpose, begin, end, e);
}

static const struct attr to_space_attrs[] = {
    {"blocksize", ATTR_INT, offsetof(struct attrs_depth_to_space, blocksize), .required = true},
    {"mode", ATTR_STRING, offsetof(struct attrs_depth_to_space, mode), .since = 11, .s = "DCR"},
    {NULL},
};

static const struct attr to_depth_attrs[] = {
    {"blocksize", ATTR_INT, offsetof(struct attrs_depth_to_space, blocksize), .required = true},
    {"mode", ATTR_STRING, offsetof(struct attrs_depth_to_space, mode), .since = 28, .s = "DCR"},
    {NULL},
};

const struct op op_depthtospace = {
    .domain = "",
    .name = "DepthToSpace",
    .since = 1,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = to_space_attrs,
    .attrs_size = sizeof(struct attrs_depth_to_space),
    .infer = to_space_infer,
    .tasks = space_tasks,
    .run = space_run,
    .kernels = "transpose",
};

const struct op op_spacetodepth = {
    .domain = "",
    .name = "SpaceToDepth",
    .since = 1,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE,
    .attrs = to_depth_attrs,
    .attrs_size = sizeof(struct attrs_depth_to_space),
    .infer = to_depth_infer,
    .tasks = space_tasks,
    .run = space_run,
    .kernels = "transpose",
};
