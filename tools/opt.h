/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines as tables: an option is a row; parsing, help and errors come from it.
 *
 * `--name value`, `--name=value` and, for flags, `--name` are understood; `--` ends options; the rest are
 * arguments. A row with a knob sets it. Used by main threads only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum opt_kind {
    OPT_FLAG,   /* bool * */
    OPT_STRING, /* const char ** */
    OPT_INT,    /* int64_t *, within [low, high] */
    OPT_FLOAT,  /* double *, finite and not negative */
    OPT_LIST,   /* struct opt_list *: may be given often */
    OPT_KNOB,   /* sets the knob of that name through infer_set_option */
    OPT_HEADING /* a line of the help */
};

struct opt_list {
    const char *items[256];
    int n;
};

struct opt {
    enum opt_kind kind;
    const char *name, *takes, *help;
    void *to;
    int64_t low, high;
};

/* Parse argv against rows (ended by a NULL name; headings have name ""). Arguments that are no options go
 * to args, at most max. Returns their number or a negative code. */
int opt_parse(const struct opt *rows, int argc, char **argv, const char **args, int max,
              struct err *e) WARN_UNUSED;
/* The help text on stdout. */
void opt_help(const char *usage, const char *about, const struct opt *rows);
/* Print "program: message" on stderr and return the exit status of the code. */
int opt_fail(const char *program, const struct err *e);
