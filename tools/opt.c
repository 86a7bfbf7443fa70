/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/opt.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/infer.h"

static const struct opt *find(const struct opt *rows, const char *name, size_t n)
{
    for (; rows->name; rows++)
        if (rows->kind != OPT_HEADING && strlen(rows->name) == n && memcmp(rows->name, name, n) == 0)
            return rows;
    return NULL;
}

static int store(const struct opt *o, const char *text, struct err *e)
{
    char *end;
    switch (o->kind) {
    case OPT_STRING:
        *(const char **)o->to = text;
        return 0;
    case OPT_LIST: {
        struct opt_list *list = o->to;
        if (list->n == (int)(sizeof(list->items) / sizeof(*list->items)))
            return err_set(e, ERR_USAGE, "--%s is given too often", o->name);
        list->items[list->n++] = text;
        return 0;
    }
    case OPT_INT: {
        errno = 0;
        long long v = strtoll(text, &end, 10);
        if (!*text || *end || errno || v < o->low || v > o->high)
            return err_set(e, ERR_USAGE, "--%s: '%.100s' is not a whole number from %lld to %lld", o->name,
                           text, (long long)o->low, (long long)o->high);
        *(int64_t *)o->to = v;
        return 0;
    }
    case OPT_FLOAT: {
        double v = strtod(text, &end);
        if (!*text || *end || !isfinite(v) || v < 0)
            return err_set(e, ERR_USAGE, "--%s: '%.100s' is not a number of at least 0", o->name, text);
        *(double *)o->to = v;
        return 0;
    }
    case OPT_KNOB: {
        struct infer_error inner = {0};
        if (infer_set_option(o->name, text, &inner) < 0)
            return err_set(e, inner.code, "%s", inner.message);
        return 0;
    }
    default:
        return err_set(e, ERR_INTERNAL, "option --%s has no kind", o->name);
    }
}

int opt_parse(const struct opt *rows, int argc, char **argv, const char **args, int max, struct err *e)
{
    int n = 0;
    bool options = true;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (options && strcmp(a, "--") == 0) {
            options = false;
            continue;
        }
        if (!options || a[0] != '-' || a[1] == 0) {
            if (n == max)
                return err_set(e, ERR_USAGE, "unexpected argument '%.100s' (see --help)", a);
            args[n++] = a;
            continue;
        }
        if (a[1] != '-')
            return err_set(e, ERR_USAGE, "unknown option '%.100s' (see --help)", a);
        const char *value = strchr(a, '=');
        size_t length = value ? (size_t)(value - a) - 2 : strlen(a) - 2;
        const struct opt *o = find(rows, a + 2, length);
        if (!o)
            return err_set(e, ERR_USAGE, "unknown option '%.100s' (see --help)", a);
        if (o->kind == OPT_FLAG) {
            if (value)
                return err_set(e, ERR_USAGE, "--%s takes no value", o->name);
            *(bool *)o->to = true;
            continue;
        }
        if (!value && i + 1 == argc)
            return err_set(e, ERR_USAGE, "--%s needs a value: %s", o->name, o->takes);
        int rc = store(o, value ? value + 1 : argv[++i], e);
        if (rc < 0)
            return rc;
    }
    return n;
}

void opt_help(const char *usage, const char *about, const struct opt *rows)
{
    printf("usage: %s\n\n%s\n", usage, about);
    for (; rows->name; rows++) {
        char left[64];
        if (rows->kind == OPT_HEADING) {
            printf("\n%s\n", rows->help);
            continue;
        }
        snprintf(left, sizeof(left), "--%s%s%s", rows->name, rows->takes ? " " : "",
                 rows->takes ? rows->takes : "");
        printf("  %-22s %s\n", left, rows->help);
    }
}

int opt_fail(const char *program, const struct err *e)
{
    fprintf(stderr, "%s: %s\n", program, *e->msg ? e->msg : err_text(e->code));
    return err_exit_status(e->code);
}
