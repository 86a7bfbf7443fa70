/* SPDX-License-Identifier: Apache-2.0 */
/* A model's messages into a graph: names resolved, operators chosen by domain and opset, attributes
 * filled, functions expanded.
 *
 * Operators' older versions are brought up here and by their `fix`. Nodes need not be in order.
 * What the build does not support does not stop the import: everything missing is gathered in a
 * report. The graph owns all that it needs, but for tensors of a model in the caller's memory. For
 * one thread.
 */
#pragma once

#include "graph/graph.h"
#include "onnx/reader.h"

enum import_kind {
    IMPORT_OPERATOR, /* no such operator here */
    IMPORT_VERSION,  /* the operator exists, but not in the opset that the model imports */
    IMPORT_OPSET,    /* an operator set newer than any known */
    IMPORT_TYPE,     /* a type of an input */
    IMPORT_NODE,     /* a form of an operator that exists; the name says which */
};

enum { IMPORT_NAMES_MAX = 3, IMPORT_ITEMS_MAX = 256 };

/* One thing that is missing, however many nodes want it. */
struct import_item {
    enum import_kind kind;
    const char *domain, *name; /* "ai.onnx" spelt out */
    int version;               /* imported */
    int other; /* IMPORT_VERSION: the first version known; IMPORT_OPSET: the last one */
    size_t count;
    const char *where[IMPORT_NAMES_MAX]; /* first nodes' names */
};

/* A zeroed report is empty. */
struct import_report {
    struct arena arena;
    struct import_item *items;
    size_t n, capacity;
    size_t more; /* items beyond IMPORT_ITEMS_MAX */
    const char *note; /* a last line; NULL: none */
};

/* 0 with a graph that is in order and whole; ERR_UNSUPPORTED with a graph that has its inputs,
 * outputs and known nodes only, to be described but not run, and a line that sums the report up;
 * ERR_MODEL in its place if all that is missing are operators that ONNX does not have; else *out is
 * NULL. */
int onnx_import(struct onnx_model *m, struct graph **out, struct import_report *report,
                struct err *e) WARN_UNUSED;

/* Count one more thing that is missing; `where` is a node's name. */
int import_report_add(struct import_report *r, enum import_kind kind, const char *domain,
                      const char *name, int version, int other, const char *where,
                      struct err *e) WARN_UNUSED;
/* A line an item; "" if nothing is missing; mem_alloc'd. */
char *import_report_text(const struct import_report *r, struct budget *b,
                         struct err *e) WARN_UNUSED;
/* The same in one line, as an error. */
int import_report_error(const struct import_report *r, struct err *e);
void import_report_clear(struct import_report *r);
