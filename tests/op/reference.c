/* SPDX-License-Identifier: Apache-2.0 */
/* What references share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op/op_test.h"

struct op_tensor *op_out(struct op_run *r, int o, enum dtype dtype, int rank, const int64_t *dims)
{
    struct op_tensor *t = &r->out[o];
    *t = (struct op_tensor){.here = true, .dtype = dtype, .rank = rank, .n = 1};
    for (int k = 0; k < rank; k++) {
        t->dims[k] = dims[k];
        t->n *= dims[k];
    }
    t->v = calloc((size_t)t->n + 1, sizeof *t->v);
    return t;
}

struct op_tensor *op_out_like(struct op_run *r, int o, int i)
{
    return op_out(r, o, r->in[i].dtype, r->in[i].rank, r->in[i].dims);
}

double *op_scale(struct op_tensor *t)
{
    t->scale = calloc((size_t)t->n + 1, sizeof *t->scale);
    return t->scale;
}

const char *op_text(const struct op_run *r, const char *name)
{
    static char value[256];
    size_t n = strlen(name);
    for (const char *p = r->row->attrs; p && *p;) {
        size_t len = strcspn(p, " ");
        if (len > n && p[n] == '=' && strncmp(p, name, n) == 0) {
            snprintf(value, sizeof value, "%.*s", (int)(len - n - 1), p + n + 1);
            return value;
        }
        p += len + (p[len] == ' ');
    }
    return NULL;
}

int64_t op_int(const struct op_run *r, const char *name, int64_t absent)
{
    const char *s = op_text(r, name);
    return s ? strtoll(s, NULL, 10) : absent;
}

double op_float(const struct op_run *r, const char *name, double absent)
{
    const char *s = op_text(r, name);
    return s ? strtof(s, NULL) : absent;
}

int op_ints(const struct op_run *r, const char *name, int64_t *out)
{
    int n = 0;
    for (const char *p = op_text(r, name); p && *p && n < 16; p += *p == ',') {
        out[n++] = strtoll(p, NULL, 10);
        p += strcspn(p, ",");
    }
    return n;
}

bool op_is(const struct op_run *r, const char *name, const char *word)
{
    const char *s = op_text(r, name);
    return s && strcmp(s, word) == 0;
}

int64_t op_product(const int64_t *dims, int from, int to)
{
    int64_t p = 1;
    for (int k = from; k < to; k++)
        p *= dims[k];
    return p;
}

void op_unravel(int64_t flat, const int64_t *dims, int rank, int64_t *index)
{
    for (int k = rank - 1; k >= 0; k--) {
        index[k] = flat % dims[k];
        flat /= dims[k];
    }
}

int64_t op_place(const struct op_tensor *t, const int64_t *index, int rank)
{
    int64_t at = 0;
    for (int k = 0; k < t->rank; k++)
        at = at * t->dims[k] + (t->dims[k] == 1 ? 0 : index[rank - t->rank + k]);
    return at;
}

int op_broadcast(const struct op_run *r, int first, int last, int64_t *dims)
{
    int rank = 0;
    for (int i = first; i < last; i++)
        if (op_has(r, i) && r->in[i].rank > rank)
            rank = r->in[i].rank;
    for (int k = 0; k < rank; k++)
        dims[k] = 1;
    for (int i = first; i < last; i++)
        for (int k = 0; op_has(r, i) && k < r->in[i].rank; k++)
            if (r->in[i].dims[k] != 1)
                dims[rank - r->in[i].rank + k] = r->in[i].dims[k];
    return rank;
}
