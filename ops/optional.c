/* SPDX-License-Identifier: Apache-2.0 */
/* Optional, OptionalHasElement, OptionalGetElement. At run time an optional is its element, or nothing. */
#include <stddef.h>

#include "ops/common.h"

struct attrs_optional {
    const struct type *type;
};

static const struct attr optional_attrs[] = {
    {"type", ATTR_TYPE, offsetof(struct attrs_optional, type)},
    {0},
};

static int optional_infer(struct infer *c, struct err *e)
{
    const struct type *given = ((const struct attrs_optional *)c->attrs)->type;
    struct type *elem = arena_alloc(c->arena, sizeof(*elem), e);
    if (!elem)
        return ERR_MEMORY;
    if (!infer_has(c, 0) && !given)
        return err_set(e, ERR_MODEL, "expected an input or the attribute 'type'");
    *elem = infer_has(c, 0) ? c->in[0]->type : *given;
    infer_set_type(c, 0, &(struct type){.kind = TYPE_OPTIONAL, .dtype = elem->dtype, .rank = -1, .elem = elem});
    c->late = true;
    return 0;
}

static int optional_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct value v = {0};
    if (c->n_in && c->in[0])
        call_take(c, 0, &v);
    return call_output_value(c, 0, &v, e);
}

static int has_infer(struct infer *c, struct err *e)
{
    return infer_set(c, 0, DTYPE_BOOL, 0, NULL, e);
}

static int has_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    *(uint8_t *)call_out(c, 0)->data = c->n_in && c->in[0] && c->in[0]->kind != VALUE_NONE;
    return 0;
}

static int get_infer(struct infer *c, struct err *e)
{
    const struct type *t = &c->in[0]->type;
    const struct type *elem = t->kind == TYPE_OPTIONAL ? t->elem : t;
    if (!elem)
        return err_set(e, ERR_MODEL, "the optional's element type is unknown");
    if (elem->kind == TYPE_TENSOR && t->kind == TYPE_OPTIONAL)
        return infer_unknown(c, 0, elem->dtype, e);
    infer_set_type(c, 0, elem);
    c->late = true;
    return 0;
}

static int get_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    struct value v = {0};
    if (c->in[0]->kind == VALUE_NONE)
        return err_set(e, ERR_INPUT, "the optional is empty");
    call_take(c, 0, &v);
    return call_output_value(c, 0, &v, e);
}

const struct op op_optional = {
    .domain = "", .name = "Optional", .since = 15,
    .in_min = 0, .in_max = 1, .out_min = 1, .out_max = 1,
    .flags = OP_DYNAMIC | OP_HOST, .host_in = 1,
    .attrs = optional_attrs, .attrs_size = sizeof(struct attrs_optional),
    .infer = optional_infer, .run = optional_run,
};

const struct op op_optionalhaselement = {
    .domain = "", .name = "OptionalHasElement", .since = 15,
    .in_min = 0, .in_max = 1, .out_min = 1, .out_max = 1,
    .flags = OP_HOST, .host_in = 1,
    .infer = has_infer, .run = has_run,
};

const struct op op_optionalgetelement = {
    .domain = "", .name = "OptionalGetElement", .since = 15,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .flags = OP_DYNAMIC | OP_HOST, .host_in = 1,
    .infer = get_infer, .run = get_run,
};
