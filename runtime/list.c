/* SPDX-License-Identifier: Apache-2.0 */
/* What this build has, as text, and the small functions of infer.h that no other file owns. */
#include <string.h>

#include "core/knobs.h"
#include "core/text.h"
#include "kernels/list.h"
#include "runtime/model.h"

static void list_ops(struct text *t)
{
    const struct op *o;
    for (size_t i = 0; (o = op_row(i)) != NULL; i++) {
        text_add(t, "%-14s %-28s %2d..", *o->domain ? o->domain : "ai.onnx", o->name, o->since);
        if (o->until)
            text_add(t, "%d\n", o->until);
        else
            text_add(t, "\n");
    }
}

static void list_kernels(struct text *t)
{
    struct kernel_row r;
    for (size_t i = 0; kernel_row(i, &r); i++)
        text_add(t, "%-10s %-14s %-12s%s\n", r.family, r.name, cpu_level_name(r.level),
                 cpu_has(r.level) ? "" : "  (not here)");
}

static void list_passes(struct text *t)
{
    for (int i = 0; i < pass_count(); i++)
        text_add(t, "%-16s %s\n", pass_name(i), pass_help(i));
}

static void list_knobs(struct text *t)
{
    for (int k = 0; k < KNOB_COUNT; k++) {
        const struct knob_row *r = knob_row((enum knob)k);
        text_add(t, "%-10s %-6s %s (now '%s')\n", r->name, r->takes, r->help, knob_get((enum knob)k));
    }
}

char *infer_list(const char *what, struct infer_error *error)
{
    struct err *e = to_err(error);
    struct text t = {0};
    if (strcmp(what, "ops") == 0)
        list_ops(&t);
    else if (strcmp(what, "kernels") == 0)
        list_kernels(&t);
    else if (strcmp(what, "passes") == 0)
        list_passes(&t);
    else if (strcmp(what, "knobs") == 0)
        list_knobs(&t);
    else {
        err_set(e, ERR_USAGE, "'%.40s': expected ops, kernels, passes or knobs", what);
        return NULL;
    }
    return text_take(&t, e);
}

void infer_free(void *text)
{
    mem_free(text);
}

int infer_code_exit_status(int code)
{
    return err_exit_status(code);
}

int infer_code_http_status(int code)
{
    return err_http_status(code);
}

const char *infer_code_text(int code)
{
    return err_text(code);
}

const char *infer_version(void)
{
    return INFER_VERSION;
}

const char *infer_type_name(int type)
{
    return dtype_name((enum dtype)type);
}

size_t infer_type_size(int type)
{
    return dtype_valid(type) ? dtype_size((enum dtype)type) : 0;
}

struct infer_cancel *infer_cancel_new(struct infer_error *error)
{
    struct infer_cancel *c = mem_calloc(budget_process(), 1, sizeof(*c), to_err(error));
    if (c)
        atomic_init(&c->flag, false);
    return c;
}

void infer_cancel_set(struct infer_cancel *c)
{
    atomic_store(&c->flag, true);
}

void infer_cancel_free(struct infer_cancel *c)
{
    mem_free(c);
}

struct infer_trace *infer_trace_new(struct infer_error *error)
{
    return (struct infer_trace *)trace_new(budget_process(), to_err(error));
}

int infer_trace_write(const struct infer_trace *t, const char *path, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    return trace_write((const struct trace *)t, path, e);
}

void infer_trace_free(struct infer_trace *t)
{
    trace_free((struct trace *)t);
}
