/* SPDX-License-Identifier: Apache-2.0 */
/* infer-run: describe a model, run it on inputs, test it against expected outputs. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/dtype.h"
#include "core/file.h"
#include "core/threads.h"
#include "tools/compare.h"
#include "tools/inputs.h"
#include "tools/opt.h"
#include "tools/run_test.h"

static const char usage[] = "infer-run MODEL [--input NAME=FILE ...] [--random SEED] [--test DIR] [options]";
static const char about[] =
    "Runs an ONNX model. With no inputs it describes the model: inputs, outputs, symbols, operators,\n"
    "parameters, memory. Exit status: 0 done, 1 a comparison failed, 2 bad usage, 3 the model or an input\n"
    "is wrong, 4 not supported, 5 out of memory or over a limit, 6 deadline.";

struct settings {
    struct opt_list inputs;
    struct input_options how;
    const char *output, *labels, *random, *test, *compare, *trace, *dot, *save, *list;
    double rtol, atol;
    int64_t quantum, repeat, timeout;
    bool external, check, quiet, json, help, version;
};

/* ---- results --------------------------------------------------------------------------------------- */

/* Bytes outside [A-Za-z0-9._-] as %XX. */
static void file_name(const char *name, char *out, size_t size)
{
    size_t n = 0;
    for (const unsigned char *c = (const unsigned char *)name; *c && n + 4 < size; c++) {
        bool plain = (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') ||
                     (*c && strchr("._-", *c));
        n += (size_t)snprintf(out + n, size - n, plain ? "%c" : "%%%02X", *c);
    }
    out[n] = 0;
}

static int write_output(const struct settings *s, const struct infer_port *p, const struct infer_value *v,
                        struct err *e)
{
    char name[512], path[4096];
    struct infer_error inner = {0};
    file_name(p->name, name, sizeof(name));
    bool npy = infer_value_kind(v) == INFER_TENSOR && *dtype_npy((enum dtype)infer_value_type(v));
    snprintf(path, sizeof(path), "%s/%s.%s", s->output, name, npy ? "npy" : "pb");
    return infer_value_write_for(p, v, path, &inner) < 0 ? from_infer(&inner, e) : 0;
}

/* Line i of the labels, or "". */
static const char *label(const char *labels, int64_t i, int *length)
{
    *length = 0;
    while (labels && *labels && i-- > 0) {
        labels = strchr(labels, '\n');
        labels = labels ? labels + 1 : NULL;
    }
    if (!labels || !*labels)
        return "";
    *length = (int)strcspn(labels, "\r\n");
    return labels;
}

/* One row of class scores (every other dim 1, 10 to 100,000 classes): the five best. */
static bool print_best(const struct infer_value *v, const char *labels)
{
    int64_t n = infer_value_count(v);
    enum dtype t = (enum dtype)infer_value_type(v);
    bool row = infer_value_kind(v) == INFER_TENSOR && dtype_is_float(t) && n >= 10 && n <= 100000;
    for (int k = 0; row && k < infer_value_rank(v); k++)
        row = infer_value_dims(v)[k] == 1 || infer_value_dims(v)[k] == n;
    if (!row)
        return false;
    int64_t best[5];
    int found = 0;
    const char *data = infer_value_data(v);
    for (int64_t i = 0; i < n; i++) {
        int at = found;
        double x = dtype_load_f64(t, data + (size_t)i * dtype_size(t));
        while (at > 0 && x > dtype_load_f64(t, data + (size_t)best[at - 1] * dtype_size(t)))
            at--;
        if (at == 5)
            continue;
        found += found < 5;
        memmove(&best[at + 1], &best[at], (size_t)(found - at - 1) * sizeof(*best));
        best[at] = i;
    }
    for (int i = 0; i < found; i++) {
        int length;
        const char *text = label(labels, best[i], &length);
        printf("  %8.4f  %lld%s%.*s\n", dtype_load_f64(t, data + (size_t)best[i] * dtype_size(t)),
               (long long)best[i], length ? " " : "", length, text);
    }
    return true;
}

static void print_summary(const struct infer_value *v)
{
    enum dtype t = (enum dtype)infer_value_type(v);
    int64_t n = infer_value_kind(v) == INFER_TENSOR ? infer_value_count(v) : 0;
    const char *data = n ? infer_value_data(v) : NULL;
    if (n && t == DTYPE_STRING) {
        printf("  ");
        for (int64_t i = 0; i < n && i < 4; i++) {
            size_t size;
            const char *s = infer_value_string(v, i, &size);
            printf("\"%.*s\" ", (int)(size < 60 ? size : 60), s);
        }
        printf("%s\n", n > 4 ? "..." : "");
    }
    if (!data || dtype_kind(t) == 'C')
        return;
    double low = INFINITY, high = -INFINITY, sum = 0;
    int64_t odd = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = dtype_load_f64(t, data + (size_t)i * dtype_size(t));
        if (!isfinite(x)) {
            odd++;
            continue;
        }
        low = x < low ? x : low;
        high = x > high ? x : high;
        sum += x;
    }
    if (n <= 8) {
        printf(" ");
        for (int64_t i = 0; i < n; i++)
            printf(" %.6g", dtype_load_f64(t, data + (size_t)i * dtype_size(t)));
        printf("\n");
    } else if (odd < n) {
        printf("  min %.6g  mean %.6g  max %.6g%s", low, sum / (double)(n - odd), high, odd ? "  " : "\n");
        if (odd)
            printf("%lld not finite\n", (long long)odd);
    }
}

static void print_element(const struct infer_value *v, int64_t i)
{
    enum dtype t = (enum dtype)infer_value_type(v);
    size_t size;
    const char *s = infer_value_string(v, i, &size), *data = infer_value_data(v);
    if (s)
        printf("\"%.*s\"", (int)(size < 60 ? size : 60), s);
    else if (data && dtype_kind(t) != 'C')
        printf("%.6g", dtype_load_f64(t, data + (size_t)i * dtype_size(t)));
    else
        printf("...");
}

/* The first entries of a map, the first items of a sequence. */
static void print_parts(const struct infer_value *v)
{
    enum { SHOWN = 4 };
    bool map = infer_value_kind(v) == INFER_MAP;
    int64_t n = infer_value_count(v), shown = n < SHOWN ? n : SHOWN;
    if (map) {
        struct infer_value *keys = infer_value_item(v, 0, NULL), *values = infer_value_item(v, 1, NULL);
        printf("  {");
        for (int64_t i = 0; keys && values && i < shown; i++) {
            printf(i ? ", " : "");
            print_element(keys, i);
            printf(": ");
            print_element(values, i);
        }
        printf("%s}\n", n > shown ? ", ..." : "");
        infer_value_free(keys);
        infer_value_free(values);
        return;
    }
    for (int64_t i = 0; infer_value_kind(v) == INFER_SEQUENCE && i < shown; i++) {
        struct infer_value *item = infer_value_item(v, i, NULL);
        char text[200];
        if (item && infer_value_kind(item) == INFER_TENSOR)
            printf("  %s\n", value_describe(item, text, sizeof(text)));
        else if (item)
            print_parts(item);
        infer_value_free(item);
    }
    if (infer_value_kind(v) == INFER_SEQUENCE && n > shown)
        printf("  ...\n");
}

static void print_json_string(const char *s)
{
    putchar('"');
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if ((unsigned char)*s < 32)
            printf("\\u%04x", *s);
        else
            putchar(*s);
    putchar('"');
}

static void print_json(const struct infer_model *m, struct infer_value **out, double ms)
{
    static const char *const kinds[] = {
        [INFER_NONE] = "none", [INFER_SEQUENCE] = "sequence", [INFER_MAP] = "map"};
    printf("{\"ms\": %.3f, \"outputs\": [", ms);
    for (int i = 0; i < infer_model_outputs(m); i++) {
        printf("%s{\"name\": ", i ? ", " : "");
        print_json_string(infer_model_output(m, i)->name);
        if (infer_value_kind(out[i]) != INFER_TENSOR) {
            printf(", \"kind\": \"%s\", \"count\": %lld}", kinds[infer_value_kind(out[i])],
                   (long long)infer_value_count(out[i]));
            continue;
        }
        printf(", \"type\": \"%s\", \"shape\": [", infer_type_name(infer_value_type(out[i])));
        for (int k = 0; k < infer_value_rank(out[i]); k++)
            printf("%s%lld", k ? ", " : "", (long long)infer_value_dims(out[i])[k]);
        printf("]}");
    }
    printf("]}\n");
}

static int give_results(const struct settings *s, const struct infer_model *m, struct infer_value **out,
                        double ms, struct err *e)
{
    char *labels = NULL;
    int rc = 0;
    if (s->labels) {
        struct file *f = file_open(NULL, s->labels, false, e);
        if (!f)
            return e->code;
        labels = mem_strndup(NULL, (const char *)f->data, f->size, e);
        file_unref(f);
        if (!labels)
            return e->code;
    }
    for (int i = 0; i < infer_model_outputs(m) && s->output && rc == 0; i++)
        rc = write_output(s, infer_model_output(m, i), out[i], e);
    for (int i = 0; i < infer_model_outputs(m) && rc == 0 && !s->quiet && !s->json; i++) {
        char text[200];
        printf("%s: %s\n", infer_model_output(m, i)->name, value_describe(out[i], text, sizeof(text)));
        if (infer_value_kind(out[i]) != INFER_TENSOR)
            print_parts(out[i]);
        else if (!print_best(out[i], labels))
            print_summary(out[i]);
    }
    if (rc == 0 && s->json)
        print_json(m, out, ms);
    mem_free(labels);
    return rc;
}

/* ---- one run --------------------------------------------------------------------------------------- */

/* NAME=FILE, or FILE alone where the model has one input. */
static int which_input(const struct infer_model *m, const char *text, const char **path, struct err *e)
{
    int n = infer_model_inputs(m);
    const char *equals = strchr(text, '=');
    char name[512];
    if (equals && (size_t)(equals - text) < sizeof(name)) {
        memcpy(name, text, (size_t)(equals - text));
        name[equals - text] = 0;
        int i = infer_model_find_input(m, name);
        if (i >= 0) {
            *path = equals + 1;
            return i;
        }
    }
    if (n == 1 && (!equals || access(text, F_OK) == 0)) {
        *path = text;
        return 0;
    }
    char list[320] = "";
    size_t used = 0;
    for (int i = 0; i < n && used < sizeof(list) - 1; i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s %s", i ? ", " : "",
                                 infer_model_input(m, i)->name, infer_model_input(m, i)->text);
    return err_set(e, equals ? ERR_INPUT : ERR_USAGE, "--input %.100s: the model's inputs are %s", text,
                   list);
}

static int gather_inputs(const struct settings *s, const struct infer_model *m, struct infer_value **in,
                         struct err *e)
{
    int n = infer_model_inputs(m);
    for (int k = 0; k < s->inputs.n; k++) {
        const char *path = NULL;
        int i = which_input(m, s->inputs.items[k], &path, e);
        if (i < 0)
            return i;
        if (in[i])
            return err_set(e, ERR_USAGE, "input '%.100s' is given twice", infer_model_input(m, i)->name);
        in[i] = inputs_read(m, i, path, &s->how, e);
        if (!in[i])
            return e->code;
    }
    for (int i = 0; i < n; i++) {
        const struct infer_port *p = infer_model_input(m, i);
        if (in[i])
            continue;
        if (!s->random && !p->optional)
            return err_set(e, ERR_INPUT, "input '%.100s' is missing, expected %.200s (--input, or --random SEED)",
                           p->name, p->text);
        in[i] = inputs_random(m, i, &s->how, e);
        if (!in[i])
            return e->code;
    }
    return 0;
}

static int run_once(const struct settings *s, struct infer_model *m, struct infer_value **in,
                    struct infer_value **out, struct infer_trace *trace, struct err *e)
{
    struct infer_error inner = {0};
    struct infer_run_options o = {.size = sizeof(o), .timeout_ms = (int)s->timeout, .trace = trace};
    int rc = infer_run(m, (const struct infer_value *const *)in, infer_model_inputs(m), out,
                       infer_model_outputs(m), &o, &inner);
    return rc < 0 ? from_infer(&inner, e) : 0;
}

static int run_model(const struct settings *s, struct infer_model *m, struct err *e)
{
    int n_in = infer_model_inputs(m), n_out = infer_model_outputs(m), rc = 0;
    struct infer_value **in = mem_calloc(NULL, (size_t)n_in + 1, sizeof(*in), e);
    struct infer_value **out = mem_calloc(NULL, (size_t)n_out + 1, sizeof(*out), e);
    struct infer_error inner = {0};
    struct infer_trace *trace = s->trace ? infer_trace_new(&inner) : NULL;
    double best = INFINITY;
    rc = in && out ? gather_inputs(s, m, in, e) : ERR_MEMORY;
    if (rc == 0 && s->output)
        rc = file_make_folder(s->output, e);
    for (int64_t k = 0; k < s->repeat && rc == 0; k++) {
        for (int i = 0; i < n_out; i++) {
            infer_value_free(out[i]);
            out[i] = NULL;
        }
        int64_t begin = clock_ns();
        rc = run_once(s, m, in, out, trace, e);
        double ms = (double)(clock_ns() - begin) / 1e6;
        best = ms < best ? ms : best;
    }
    if (rc == 0)
        rc = give_results(s, m, out, best, e);
    if (rc == 0 && !s->quiet && !s->json && s->repeat > 1)
        printf("best of %lld runs: %.3f ms\n", (long long)s->repeat, best);
    if (rc == 0 && trace && infer_trace_write(trace, s->trace, &inner) < 0)
        rc = from_infer(&inner, e);
    infer_trace_free(trace);
    for (int i = 0; in && i < n_in; i++)
        infer_value_free(in[i]);
    for (int i = 0; out && i < n_out; i++)
        infer_value_free(out[i]);
    mem_free(in);
    mem_free(out);
    return rc;
}

/* ---- reports --------------------------------------------------------------------------------------- */

static int print_text(const struct infer_model *m, const char *what, struct err *e)
{
    struct infer_error inner = {0};
    char *text = infer_model_text(m, what, &inner);
    if (!text)
        return from_infer(&inner, e);
    fputs(text, stdout);
    infer_free(text);
    return 0;
}

/* What the model takes to run, with --dim's dims. */
static int print_memory(const struct settings *s, struct infer_model *m, struct err *e)
{
    struct infer_error inner = {0};
    struct infer_model_stats st = {.size = sizeof(st)};
    uint64_t planned = 0;
    int n;
    struct infer_dim *dims = inputs_list_dims(&s->how, &n, e);
    if (!dims)
        return e->code;
    int rc = infer_model_memory(m, dims, n, &planned, &inner);
    mem_free(dims);
    if (rc < 0)
        return from_infer(&inner, e);
    infer_model_stats(m, &st);
    printf("everything in this model is supported\nmemory: %.1f MiB of weights in the file, %.1f MiB packed, "
           "%.1f MiB for a run\n",
           (double)st.weight_bytes / 1048576, (double)st.packed_bytes / 1048576, (double)planned / 1048576);
    return 0;
}

static int check_model(const struct settings *s, struct infer_model *m, struct err *e)
{
    struct infer_error inner = {0};
    char *text = infer_model_text(m, "check", &inner);
    if (!text)
        return from_infer(&inner, e);
    bool missing = *text != 0;
    fputs(text, stdout);
    infer_free(text);
    if (!missing)
        return s->quiet ? 0 : print_memory(s, m, e);
    return err_set(e, ERR_UNSUPPORTED, "parts of this model are not supported (listed above)");
}

static int write_dot(const struct infer_model *m, const char *path, struct err *e)
{
    struct infer_error inner = {0};
    char *text = infer_model_text(m, "dot", &inner);
    if (!text)
        return from_infer(&inner, e);
    int rc = file_write(path, text, strlen(text), e);
    infer_free(text);
    return rc;
}

static int save_model(const struct settings *s, const struct infer_model *m, struct err *e)
{
    struct infer_error inner = {0};
    struct infer_save_options o = {.size = sizeof(o), .external_data = s->external};
    return infer_model_save(m, s->save, &o, &inner) < 0 ? from_infer(&inner, e) : 0;
}

static int list_rows(const char *what, struct err *e)
{
    struct infer_error inner = {0};
    char *text = infer_list(what, &inner);
    if (!text)
        return from_infer(&inner, e);
    fputs(text, stdout);
    infer_free(text);
    return 0;
}

/* ---- main ------------------------------------------------------------------------------------------ */

static int check_settings(struct settings *s, struct compare *c, struct err *e)
{
    char *end;
    c->rtol = s->rtol;
    c->atol = s->atol;
    c->quantum = s->quantum;
    c->mode = strcmp(s->compare, "tensor") == 0  ? COMPARE_TENSOR
              : strcmp(s->compare, "shape") == 0 ? COMPARE_SHAPE
                                                 : COMPARE_ELEMENT;
    if (c->mode == COMPARE_ELEMENT && strcmp(s->compare, "element") != 0)
        return err_set(e, ERR_USAGE, "--compare: '%.40s' is not element, tensor or shape", s->compare);
    if (s->random) {
        s->how.seed = strtoull(s->random, &end, 10);
        if (!*s->random || *end)
            return err_set(e, ERR_USAGE, "--random: '%.40s' is not a whole number", s->random);
    }
    return 0;
}

static struct infer_model *load(const struct settings *s, const char *path, struct err *e)
{
    struct infer_error inner = {0};
    struct infer_load_options o = {.size = sizeof(o), .timeout_ms = (int)s->timeout, .check = s->check};
    bool terminal = isatty(STDERR_FILENO) && !s->quiet;
    if (terminal)
        fprintf(stderr, "loading %s ...", path);
    struct infer_model *m = infer_model_load(path, &o, &inner);
    if (terminal)
        fprintf(stderr, "\r\033[K");
    if (!m)
        from_infer(&inner, e);
    return m;
}

/* --test without a model: DIR/model.onnx, and every DIR/x/model.onnx in order of names. */
static int test_folders(const struct settings *s, const struct compare *c, struct err *e)
{
    struct dirent **list;
    int n = scandir(s->test, &list, NULL, alphasort), models = 0, failed = 0;
    struct err first = {0};
    if (n < 0)
        return err_set(e, ERR_FILE, "cannot read the folder %.300s", s->test);
    for (int i = 0; i < n; i++) {
        char folder[4096], path[4200];
        struct err one = {0};
        snprintf(folder, sizeof(folder), "%s/%s", s->test, list[i]->d_name);
        snprintf(path, sizeof(path), "%s/model.onnx", folder);
        bool wanted = strcmp(list[i]->d_name, "..") != 0 && access(path, F_OK) == 0;
        free(list[i]);
        if (!wanted)
            continue;
        struct infer_model *m = load(s, path, &one);
        int rc = m ? run_tests(m, folder, c, (int)s->timeout, s->quiet, &one) : one.code;
        infer_model_free(m);
        models++;
        if (rc < 0 && !s->quiet)
            printf("%s: %s\n", folder, one.msg);
        if (rc < 0 && failed++ == 0)
            first = one;
    }
    free(list);
    if (models == 0)
        return err_set(e, ERR_USAGE, "expected a model, or a folder of models behind --test");
    if (!s->quiet)
        printf("%d models passed, %d failed\n", models - failed, failed);
    return failed ? err_set(e, (enum err_code)first.code, "%d of %d models failed: %.400s", failed, models,
                            first.msg)
                  : 0;
}

static int work(struct settings *s, const char *path, struct err *e)
{
    struct compare c;
    int rc = check_settings(s, &c, e);
    if (rc < 0)
        return rc;
    if (s->external && !s->save)
        return err_set(e, ERR_USAGE, "--external-data goes with --save FILE");
    if (s->list)
        return list_rows(s->list, e);
    if (!path && s->test)
        return test_folders(s, &c, e);
    if (!path)
        return err_set(e, ERR_USAGE, "expected a model: %s", usage);
    struct stat st;
    if (s->test && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return err_set(e, ERR_USAGE, "'%.200s' is a folder: expected a model file before --test", path);
    struct infer_model *m = load(s, path, e);
    if (!m)
        return e->code;
    rc = inputs_check_dims(m, &s->how, e);
    if (rc == 0 && s->dot)
        rc = write_dot(m, s->dot, e);
    if (rc == 0 && s->save)
        rc = save_model(s, m, e);
    if (rc == 0) {
        if (s->check)
            rc = check_model(s, m, e);
        else if (s->test)
            rc = run_tests(m, s->test, &c, (int)s->timeout, s->quiet, e);
        else if (s->inputs.n || s->random)
            rc = run_model(s, m, e);
        else if (!s->dot && !s->save)
            rc = print_text(m, "describe", e);
    }
    infer_model_free(m);
    return rc;
}

int main(int argc, char **argv)
{
    struct settings s = {.compare = "element", .rtol = 1e-3, .atol = 1e-5, .repeat = 1};
    const char *path[1] = {NULL};
    struct err e = {0};
    const struct opt rows[] = {
        {OPT_HEADING, "", NULL, "Inputs"},
        {OPT_LIST, "input", "NAME=FILE", ".npy, .npz, .pb, .txt or a picture; NAME= may be left out for one input", &s.inputs},
        {OPT_STRING, "random", "SEED", "make the inputs that are not given", &s.random},
        {OPT_LIST, "dim", "NAME=N", "the value of a symbolic dimension (1)", &s.how.dims},
        {OPT_STRING, "mean", "A,B,C", "pictures: subtract (0)", &s.how.mean},
        {OPT_STRING, "std", "A,B,C", "pictures: then divide by (255, or 1 with --mean)", &s.how.std},
        {OPT_STRING, "order", "rgb|bgr", "pictures: order of channels (rgb)", &s.how.order},
        {OPT_STRING, "layout", "nchw|nhwc", "pictures: layout (from the shape)", &s.how.layout},
        {OPT_HEADING, "", NULL, "Outputs"},
        {OPT_STRING, "output", "DIR", "write every output as NAME.npy (.pb where numpy has no such type)", &s.output},
        {OPT_STRING, "labels", "FILE", "class names, a line each, for class scores", &s.labels},
        {OPT_INT, "repeat", "N", "run N times (1)", &s.repeat, 1, 1000000000},
        {OPT_FLAG, "json", NULL, "the summary as JSON", &s.json},
        {OPT_FLAG, "quiet", NULL, "no summary", &s.quiet},
        {OPT_HEADING, "", NULL, "Tests"},
        {OPT_STRING, "test", "DIR", "run DIR/test_data_set_*/ (or DIR itself) and compare; without MODEL, DIR/*/model.onnx", &s.test},
        {OPT_FLOAT, "rtol", "R", "relative tolerance (1e-3)", &s.rtol},
        {OPT_FLOAT, "atol", "A", "absolute tolerance (1e-5)", &s.atol},
        {OPT_STRING, "compare", "HOW", "element, tensor (relative to the largest) or shape (element)", &s.compare},
        {OPT_INT, "quantum", "N", "8- and 16-bit integers may differ by N (0)", &s.quantum, 0, 65535},
        {OPT_HEADING, "", NULL, "Reports"},
        {OPT_FLAG, "check", NULL, "report everything that is not supported; run nothing", &s.check},
        {OPT_STRING, "dot", "FILE", "the graph after the passes, for Graphviz", &s.dot},
        {OPT_STRING, "save", "FILE", "the graph after the passes, as an ONNX model", &s.save},
        {OPT_FLAG, "external-data", NULL, "with --save: weights in FILE.data (always above 1 GiB)", &s.external},
        {OPT_STRING, "trace", "FILE", "what ran when, for chrome://tracing or Perfetto", &s.trace},
        {OPT_STRING, "list", "WHAT", "ops, kernels, passes or knobs", &s.list},
        {OPT_HEADING, "", NULL, "Running (each is a variable INFER_NAME, too)"},
        {OPT_KNOB, "threads", "N", "computing threads (as many as the process may use)"},
        {OPT_KNOB, "precision", "P", "f32"},
        {OPT_KNOB, "device", "D", "cpu, fake or cuda[:N]"},
        {OPT_KNOB, "passes", "LIST", "graph passes to switch off or on: -cse,-identity or none"},
        {OPT_KNOB, "memory", "BYTES", "limit on memory, K M G allowed (half of what is available)"},
        {OPT_KNOB, "cpu", "LEVEL", "hide kernels above a level: c, avx2, avx512, ..."},
        {OPT_KNOB, "links", "0|1", "external data may be links that leave the model's folder"},
        {OPT_INT, "timeout", "MS", "give up after so many milliseconds", &s.timeout, 0, INT32_MAX},
        {OPT_FLAG, "version", NULL, "print the version", &s.version},
        {OPT_FLAG, "help", NULL, "print this", &s.help},
        {0},
    };
    int n = opt_parse(rows, argc, argv, path, 1, &e);
    if (n < 0)
        return opt_fail("infer-run", &e);
    if (s.help) {
        opt_help(usage, about, rows);
        return 0;
    }
    if (s.version) {
        printf("infer-run %s\n", infer_version());
        return 0;
    }
    int rc = work(&s, path[0], &e);
    return rc < 0 ? opt_fail("infer-run", &e) : 0;
}
