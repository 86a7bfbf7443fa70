/* SPDX-License-Identifier: Apache-2.0 */
/* What this build has, as text, and the small functions of infer.h that no other file owns. */
#include <stdio.h>
#include <string.h>

#include "core/knobs.h"
#include "core/text.h"
#include "kernels/list.h"
#include "runtime/model.h"

enum { PROBE_INPUTS = 16 };

/* The types that an operator takes as input 0, from its own check; 0 if it has none (any type). */
static uint32_t types_of(struct graph *g, const struct op *op)
{
    struct err e = {0};
    struct fact fact = {.type = {.kind = TYPE_TENSOR, .dtype = DTYPE_F32, .rank = -1}}, out[PROBE_INPUTS];
    const struct fact *in[PROBE_INPUTS];
    struct infer_probe probe = {0};
    int n_in = op->in_min > 1 ? op->in_min : 1, n_out = op->out_min > 1 ? op->out_min : 1;
    struct node *n = graph_node_new(g, op, "", n_in, n_out, NULL, &e);
    if (!n || n_in > PROBE_INPUTS || n_out > PROBE_INPUTS)
        return 0;
    memset(out, 0, sizeof(out));
    for (int i = 0; i < n_in; i++)
        in[i] = &fact;
    struct infer c = {.node = n, .attrs = n->attrs, .syms = g->shared->syms, .arena = &g->shared->facts,
                      .in = in, .out = out, .n_in = n_in, .n_out = n_out, .probe = &probe};
    return op->flags & OP_HOST || op->infer(&c, &e) == 0 ? 0 : probe.types;
}

static void add_types(struct text *t, uint32_t types)
{
    const char *between = "";
    if (!types || types == (uint32_t)~1u)
        text_add(t, "any");
    for (int k = 1; k < DTYPE_COUNT && types && types != (uint32_t)~1u; k++)
        if (types & DTYPE_BIT(k)) {
            text_add(t, "%s%s", between, dtype_name((enum dtype)k));
            between = ",";
        }
}

/* domain, name, versions, types of the first input, families of kernels. */
static void list_ops(struct text *t, struct err *e)
{
    const struct op *o;
    struct graph *g = graph_new(budget_process(), e);
    for (size_t i = 0; g && (o = op_row(i)) != NULL; i++) {
        char versions[32];
        snprintf(versions, sizeof(versions), o->until ? "%d-%d" : "%d-", o->since, o->until);
        text_add(t, "%-14s %-28s %-6s ", *o->domain ? o->domain : "ai.onnx", o->name, versions);
        add_types(t, types_of(g, o));
        text_add(t, "%s%s\n", o->kernels ? "  kernels: " : "", o->kernels ? o->kernels : "");
    }
    graph_free(g);
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
        list_ops(&t, e);
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
