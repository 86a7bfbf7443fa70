/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/run_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "tools/inputs.h"

enum { NAME_BYTES = 1024, PATH_BYTES = 4096, SETS_MAX = 1000 };

/* The inputs or the outputs of a model, to be filled from files. */
struct side {
    const struct infer_model *model;
    bool outputs;
    int n;
    struct infer_value **values;
};

static const struct infer_port *port(const struct side *s, int i)
{
    return s->outputs ? infer_model_output(s->model, i) : infer_model_input(s->model, i);
}

/* Read file K of one side: its tensor goes where its name says, else to place K. */
static int read_one(const struct side *s, const char *path, int k, struct err *e)
{
    char name[NAME_BYTES] = "";
    struct infer_error inner = {0};
    int guess = k < s->n ? k : s->n - 1;
    struct infer_value *v = infer_value_read_for(port(s, guess), path, name, sizeof(name), &inner);
    int at = !v || !*name ? -1
             : s->outputs ? infer_model_find_output(s->model, name)
                          : infer_model_find_input(s->model, name);
    if (v && at >= 0 && at != guess && port(s, at)->kind != port(s, guess)->kind) {
        infer_value_free(v);
        v = infer_value_read_for(port(s, at), path, NULL, 0, &inner);
    }
    if (!v) {
        /* Sides may be listed in another order: try each port's kind. */
        for (int i = 0; i < s->n && !v; i++) {
            struct infer_error again = {0};
            v = infer_value_read_for(port(s, i), path, name, sizeof(name), &again);
            at = i;
        }
        if (!v)
            return from_infer(&inner, e);
    }
    if (at < 0)
        at = k;
    if (at >= s->n || s->values[at]) {
        infer_value_free(v);
        return err_set(e, ERR_INPUT, "'%.200s' fits no %s of the model", path,
                       s->outputs ? "output" : "input");
    }
    s->values[at] = v;
    return 0;
}

/* Read input_0.pb, input_1.pb, ... Returns how many. */
static int read_side(const struct side *s, const char *dir, struct err *e)
{
    int k = 0;
    for (; s->n > 0; k++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof(path), "%s/%s_%d.pb", dir, s->outputs ? "output" : "input", k);
        if (access(path, F_OK) != 0)
            break;
        int rc = read_one(s, path, k, e);
        if (rc < 0)
            return rc;
    }
    return k;
}

static int fill_missing(const struct side *s, struct err *e)
{
    for (int i = 0; i < s->n; i++) {
        struct infer_error inner = {0};
        if (s->values[i])
            continue;
        if (!port(s, i)->optional)
            return err_set(e, ERR_INPUT, "no file for input '%.100s'", port(s, i)->name);
        s->values[i] = infer_value_none(&inner);
        if (!s->values[i])
            return from_infer(&inner, e);
    }
    return 0;
}

static void free_side(struct side *s)
{
    for (int i = 0; s->values && i < s->n; i++)
        infer_value_free(s->values[i]);
    mem_free(s->values);
}

static int compare_side(const struct compare *c, const struct side *want, struct infer_value **got,
                        struct err *e)
{
    for (int i = 0; i < want->n; i++) {
        if (!want->values[i])
            continue;
        int rc = compare_values(c, got[i], want->values[i], e);
        if (rc < 0)
            return err_at(e, rc, "output '%.100s'", port(want, i)->name);
    }
    return 0;
}

static int run_set(struct infer_model *m, const char *dir, const struct compare *c, int timeout_ms,
                   struct err *e)
{
    struct side in = {m, false, infer_model_inputs(m), NULL}, want = {m, true, infer_model_outputs(m), NULL};
    struct side got = want;
    struct infer_run_options o = {.size = sizeof(o), .timeout_ms = timeout_ms};
    struct infer_error inner = {0};
    in.values = mem_calloc(NULL, (size_t)in.n + 1, sizeof(*in.values), e);
    want.values = mem_calloc(NULL, (size_t)want.n + 1, sizeof(*want.values), e);
    got.values = mem_calloc(NULL, (size_t)got.n + 1, sizeof(*got.values), e);
    int rc = in.values && want.values && got.values ? 0 : ERR_MEMORY, files = 0;
    if (rc == 0)
        rc = read_side(&in, dir, e);
    if (rc >= 0)
        rc = fill_missing(&in, e);
    if (rc >= 0)
        rc = files = read_side(&want, dir, e);
    if (rc >= 0 && files == 0)
        rc = err_set(e, ERR_INPUT, "'%.200s' has no output_0.pb", dir);
    if (rc >= 0 && infer_run(m, (const struct infer_value *const *)in.values, in.n, got.values, got.n, &o,
                             &inner) < 0)
        rc = from_infer(&inner, e);
    if (rc >= 0)
        rc = compare_side(c, &want, got.values, e);
    free_side(&in);
    free_side(&want);
    free_side(&got);
    return rc < 0 ? rc : 0;
}

int run_tests(struct infer_model *m, const char *dir, const struct compare *c, int timeout_ms, bool quiet,
              struct err *e)
{
    int sets = 0, failed = 0;
    struct err first = {0};
    for (int k = -1; k < SETS_MAX; k++) {
        char path[PATH_BYTES], probe[PATH_BYTES + 16];
        struct err one = {0};
        if (k < 0)
            snprintf(path, sizeof(path), "%s", dir);
        else
            snprintf(path, sizeof(path), "%s/test_data_set_%d", dir, k);
        snprintf(probe, sizeof(probe), "%s/output_0.pb", path);
        if (access(probe, F_OK) != 0)
            continue;
        sets++;
        int rc = run_set(m, path, c, timeout_ms, &one);
        if (!quiet)
            printf("%s: %s%s\n", path, rc == 0 ? "ok" : "", rc == 0 ? "" : one.msg);
        if (rc < 0) {
            failed++;
            err_at(&one, rc, "%s", path);
            if (first.code == 0)
                first = one;
        }
    }
    if (sets == 0)
        return err_set(e, ERR_INPUT, "'%.300s' holds no test_data_set_N with output_0.pb", dir);
    if (failed)
        return err_set(e, (enum err_code)first.code, "%d of %d data sets failed: %.400s", failed, sets,
                       first.msg);
    return 0;
}
