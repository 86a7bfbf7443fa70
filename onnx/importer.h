/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the import share: the importer, scopes of names, functions. Private to onnx/,
 * and gone when the import is over, with the arena that all of it lies in. */
#pragma once

#include <string.h>

#include "graph/op.h"
#include "onnx/import.h"
#include "onnx/tensor.h"

enum {
    IMPORT_DEPTH_MAX = 128,       /* subgraphs and function calls within each other */
    IMPORT_CALLS_MAX = 64,        /* function calls alone */
    IMPORT_NODES_MAX = 1 << 20,   /* nodes after expansion */
    IMPORT_CALL_ATTRS_MAX = 1024, /* attributes of a function call */
    IMPORT_OPSETS_MAX = 256,
    IMPORT_TYPE_DEPTH_MAX = 16,
    IMPORT_ATTR_ROWS_MAX = 64,    /* rows of an operator's attribute table */
};

/* Versions by domain, of the model or of a function. */
struct imports {
    Onnx__OperatorSetIdProto *const *list;
    size_t n;
};

struct name_slot {
    const char *name; /* NULL: free */
    struct graph_value *value; /* NULL: an input that the caller of a function left out */
    bool wanted;      /* a function's output: its maker is yet to come */
};

struct names {
    struct name_slot *slots;
    size_t n, capacity; /* a power of two */
};

struct scope;

/* An attribute as it is after references were followed, and the scope that its graphs see. */
struct bound {
    const char *name;
    const Onnx__AttributeProto *attr;
    const struct scope *scope;
};

/* A call of a function: what its body's references stand for. */
struct call_site {
    const struct bound *attrs;
    size_t n;
    const char *prefix; /* of its nodes' names */
};

/* The names of one graph, or of one function's body inside a graph. */
struct scope {
    const struct scope *parent; /* whose names are seen too; NULL in the main graph and in a body */
    struct graph *graph;
    struct names names;
    const struct imports *imports;
    const struct call_site *call; /* of the body that this is in; NULL: none */
    int depth;
};

struct function {
    const Onnx__FunctionProto *proto;
    struct imports imports;
    size_t nodes; /* after expansion */
    enum { FUNCTION_NEW, FUNCTION_OPEN, FUNCTION_DONE } state;
};

struct importer {
    struct onnx_model *model;
    struct graph *main;
    struct import_report *report;
    struct arena arena;
    struct imports imports;
    struct function *functions; /* by domain, name, overload */
    size_t n_functions;
    uint64_t seed;              /* of the name tables */
    size_t nodes, calls;        /* made so far */
};

/* What a node stands for: an operator or a function, or neither. */
struct target {
    const char *domain; /* "" for ai.onnx */
    int opset;
    const struct op *op;
    struct function *function;
    int newer;          /* the operator exists in this version only; 0: not at all */
};

static inline int err_code_of(const struct err *e, int fallback)
{
    return e && e->code ? e->code : fallback;
}
static inline const char *text_of(const char *s)
{
    return s ? s : "";
}
/* "" for ONNX's own domain, however it is written. */
static inline const char *plain_domain(const char *domain)
{
    domain = text_of(domain);
    return strcmp(domain, "ai.onnx") ? domain : "";
}

/* ---- scope.c: names ------------------------------------------------------------------------ */

struct name_slot *scope_own(const struct importer *m, const struct scope *s, const char *name);
/* A new name in the scope; ERR_MODEL if it is there already or is empty. */
int scope_put(struct importer *m, struct scope *s, const char *name, struct graph_value *v,
              bool wanted, struct err *e) WARN_UNUSED;
/* The value that a name stands for, captured into `into`; *out is NULL for "" and for what a caller
 * left out. ERR_MODEL if there is none. */
int scope_find(struct importer *m, const struct scope *s, struct graph *into, const char *name,
               struct graph_value **out, struct err *e) WARN_UNUSED;

/* ---- type.c: types ------------------------------------------------------------------------- */

/* `hint`: a claim, where what is missing or unnamed is unknown; else the type must be whole. */
int type_read(struct importer *m, const Onnx__TypeProto *p, bool hint, struct type *out,
              struct err *e) WARN_UNUSED;

/* ---- function.c: what nodes stand for, and expansion --------------------------------------- */

int functions_load(struct importer *m, struct err *e) WARN_UNUSED;
/* Check that nothing calls itself and that the whole expands to a bearable number of nodes. */
int functions_measure(struct importer *m, struct err *e) WARN_UNUSED;
void function_target(const struct importer *m, const struct imports *imports,
                     const Onnx__NodeProto *p, struct target *out);
/* Put a function's nodes in place of the call. */
int function_expand(struct importer *m, struct scope *s, struct function *f,
                    const Onnx__NodeProto *p, struct err *e) WARN_UNUSED;

/* ---- gradient.c -------------------------------------------------------------------------------- */

/* Put nodes that compute the derivatives in place of a Gradient node, whose outputs are declared and
 * whose graph has all its other nodes. ERR_UNSUPPORTED names an operator without a rule. */
int gradient_expand(struct importer *m, const struct scope *s, const Onnx__NodeProto *p,
                    struct err *e) WARN_UNUSED;

/* ---- attr.c: attributes -------------------------------------------------------------------- */

/* Follow a reference; out->attr is NULL if it leads to nothing. */
int attr_resolve(const struct scope *s, const Onnx__AttributeProto *p, struct bound *out,
                 struct err *e) WARN_UNUSED;
/* AttributeProto.AttributeType; found from the fields if the file does not say it. */
int attr_type(const Onnx__AttributeProto *p);
/* The attributes of a node by the rows of its operator's table; unknown ones, those of another
 * version and of another kind are refused, missing ones too. */
int attr_match(struct importer *m, const struct scope *s, const struct op *op, int opset,
               const Onnx__NodeProto *p, struct bound given[IMPORT_ATTR_ROWS_MAX],
               struct err *e) WARN_UNUSED;
/* The number of inputs that attributes become, counted from the first input. */
int attr_inputs(const struct op *op, const struct bound *given);
/* Into the node's structure, its subgraphs and its inputs. */
int attr_fill(struct importer *m, const struct scope *s, struct node *n, const struct bound *given,
              struct err *e) WARN_UNUSED;
/* The elements of a Constant. */
int attr_constant(struct importer *m, const struct scope *s, const Onnx__NodeProto *p,
                  struct tensor *out, struct err *e) WARN_UNUSED;

/* ---- import.c ------------------------------------------------------------------------------ */

int import_nodes(struct importer *m, struct scope *s, Onnx__NodeProto *const *nodes, size_t n,
                 struct err *e) WARN_UNUSED;
/* A subgraph of the graph that the node is in; names are looked for in `outer` too. */
int import_subgraph(struct importer *m, const struct scope *outer, struct graph *parent,
                    const Onnx__GraphProto *p, struct graph **out, struct err *e) WARN_UNUSED;
