/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/contract.h"

#include <stdlib.h>

/* Checks count in the file of the test, so what fails here is told and left to the caller to check.
 */
static bool told(bool ok, const char *what, const struct infer_error *e)
{
    if (!ok)
        printf("%s: %s\n", what, e->message);
    return ok;
}

const char *tiny_path(const char *name)
{
    static _Thread_local char path[4096];
    snprintf(path, sizeof path, "%s/%s.onnx", TINY, name);
    return path;
}

struct infer_model *model_load(const char *path, const struct infer_load_options *o)
{
    struct infer_error e = {0};
    struct infer_model *m = infer_model_load(path, o, &e);
    told(m != NULL, path, &e);
    return m;
}

struct infer_model *tiny_load(const char *name, int threads, const char *device)
{
    struct infer_load_options o = {.size = sizeof o, .threads = threads, .device = device};
    return model_load(tiny_path(name), &o);
}

int64_t dims_find(const char *dims, const char *symbol)
{
    size_t n = strlen(symbol);
    for (const char *s = dims; n && s && *s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
        if (strncmp(s, symbol, n) == 0 && s[n] == '=')
            return strtoll(s + n + 1, NULL, 10);
    return 1;
}

static uint64_t next(uint64_t *state) /* xorshift64*, Vigna 2016 */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Du;
}

static void fill(const struct infer_port *p, struct infer_value *v, uint64_t seed)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    for (const char *c = p->name; *c; c++)
        state = state * 31 + (unsigned char)*c + 1;
    int rank = infer_value_rank(v);
    int64_t n = infer_value_count(v), row = rank ? infer_value_dims(v)[rank - 1] : 1;
    bool ones = strstr(p->name, "mask") != NULL, zeros = strstr(p->name, "type") != NULL;
    bool count = strstr(p->name, "position") != NULL;
    void *data = infer_value_data(v);
    for (int64_t i = 0; data && i < n; i++) {
        uint64_t r = next(&state);
        int64_t k = ones ? 1 : zeros ? 0 : count ? i % row : (int64_t)(r % 50);
        switch (p->type) {
        case INFER_FLOAT:
            ((float *)data)[i] = (float)(int64_t)(r >> 40) / 8388608.0f - 1;
            break;
        case INFER_INT64:
            ((int64_t *)data)[i] = k;
            break;
        case INFER_INT32:
            ((int32_t *)data)[i] = (int32_t)k;
            break;
        case INFER_UINT8:
        case INFER_INT8:
            ((uint8_t *)data)[i] = (uint8_t)k;
            break;
        case INFER_BOOL:
            ((uint8_t *)data)[i] = r & 1;
            break;
        default:
            return; /* zeros, empty strings */
        }
    }
}

struct infer_value *port_value(const struct infer_port *p, const char *dims, uint64_t seed)
{
    struct infer_error e = {0};
    int64_t numbers[INFER_RANK_MAX];
    for (int k = 0; k < p->rank; k++)
        numbers[k] =
            p->dims[k] >= 0 ? p->dims[k] : dims_find(dims, p->symbols[k] ? p->symbols[k] : "");
    struct infer_value *v = p->optional ? infer_value_none(&e)
                            : p->kind == INFER_SEQUENCE
                                ? infer_value_sequence(p->type, &e)
                                : infer_value_new(p->type, p->rank < 0 ? 0 : p->rank, numbers, &e);
    if (told(v != NULL, p->name, &e) && infer_value_kind(v) == INFER_TENSOR)
        fill(p, v, seed);
    return v;
}

bool job_init(struct job *j, struct infer_model *m, const char *dims, uint64_t seed)
{
    memset(j, 0, sizeof *j);
    if (!m)
        return false;
    j->model = m;
    j->n_in = infer_model_inputs(m);
    j->n_out = infer_model_outputs(m);
    if (j->n_in > JOB_PORTS || j->n_out > JOB_PORTS) {
        j->n_in = j->n_out = 0;
        return false;
    }
    for (int i = 0; i < j->n_in; i++)
        if (!(j->in[i] = port_value(infer_model_input(m, i), dims, seed)))
            return false;
    return true;
}

bool job_set(struct job *j, const char *input, struct infer_value *v)
{
    int i = infer_model_find_input(j->model, input);
    if (i < 0 || !v) {
        infer_value_free(v);
        return false;
    }
    infer_value_free(j->in[i]);
    j->in[i] = v;
    return true;
}

int job_run(struct job *j, const struct infer_run_options *o, struct infer_error *e)
{
    job_drop(j);
    return infer_run(j->model, (const struct infer_value *const *)j->in, j->n_in, j->out, j->n_out,
                     o, e);
}

bool job_ok(struct job *j)
{
    struct infer_error e = {0};
    return told(job_run(j, NULL, &e) == 0, "a run", &e);
}

void job_drop(struct job *j)
{
    for (int i = 0; i < j->n_out; i++) {
        infer_value_free(j->out[i]);
        j->out[i] = NULL;
    }
}

void job_clear(struct job *j)
{
    job_drop(j);
    for (int i = 0; i < j->n_in; i++)
        infer_value_free(j->in[i]);
    memset(j, 0, sizeof *j);
}

static bool strings_same(const struct infer_value *a, const struct infer_value *b)
{
    for (int64_t i = 0; i < infer_value_count(a); i++) {
        size_t n, k;
        const char *s = infer_value_string(a, i, &n), *t = infer_value_string(b, i, &k);
        if (n != k || memcmp(s, t, n) != 0)
            return false;
    }
    return true;
}

bool values_same(const struct infer_value *a, const struct infer_value *b)
{
    if (!a || !b)
        return a == b;
    if (infer_value_kind(a) != infer_value_kind(b) || infer_value_count(a) != infer_value_count(b))
        return false;
    if (infer_value_kind(a) == INFER_SEQUENCE) {
        bool same = true;
        for (int64_t i = 0; i < infer_value_count(a); i++) {
            struct infer_value *x = infer_value_item(a, i, NULL), *y = infer_value_item(b, i, NULL);
            same &= values_same(x, y);
            infer_value_free(x);
            infer_value_free(y);
        }
        return same;
    }
    if (infer_value_kind(a) != INFER_TENSOR)
        return true;
    int rank = infer_value_rank(a);
    if (infer_value_type(a) != infer_value_type(b) || rank != infer_value_rank(b) ||
        memcmp(infer_value_dims(a), infer_value_dims(b), (size_t)rank * sizeof(int64_t)) != 0)
        return false;
    if (infer_value_type(a) == INFER_STRING)
        return strings_same(a, b);
    return memcmp(infer_value_data(a), infer_value_data(b), infer_value_bytes(a)) == 0;
}

bool jobs_same(const struct job *a, const struct job *b)
{
    bool same = a->n_out == b->n_out;
    for (int i = 0; i < a->n_out && same; i++)
        same = values_same(a->out[i], b->out[i]);
    return same;
}

struct infer_value *value_rows(const struct infer_value *v, int axis, int64_t row, int64_t n)
{
    int64_t dims[INFER_RANK_MAX], outer = 1;
    size_t inner = infer_type_size(infer_value_type(v));
    int rank = infer_value_rank(v);
    memcpy(dims, infer_value_dims(v), (size_t)rank * sizeof *dims);
    for (int k = 0; k < rank; k++)
        if (k < axis)
            outer *= dims[k];
        else if (k > axis)
            inner *= (size_t)dims[k];
    size_t stride = inner * (size_t)dims[axis];
    dims[axis] = n;
    struct infer_value *part = infer_value_new(infer_value_type(v), rank, dims, NULL);
    for (int64_t i = 0; part && i < outer; i++)
        memcpy((char *)infer_value_data(part) + (size_t)i * (size_t)n * inner,
               (const char *)infer_value_data(v) + (size_t)i * stride + (size_t)row * inner,
               (size_t)n * inner);
    return part;
}

struct infer_value *floats(int rank, const int64_t *dims, const float *from)
{
    struct infer_value *v = infer_value_new(INFER_FLOAT, rank, dims, NULL);
    if (v && from)
        memcpy(infer_value_data(v), from, infer_value_bytes(v));
    return v;
}

struct infer_value *int64s(int64_t count, const int64_t *from)
{
    struct infer_value *v = infer_value_new(INFER_INT64, 1, &count, NULL);
    if (v)
        memcpy(infer_value_data(v), from, infer_value_bytes(v));
    return v;
}

struct infer_value *int64_scalar(int64_t n)
{
    struct infer_value *v = infer_value_new(INFER_INT64, 0, NULL, NULL);
    if (v)
        *(int64_t *)infer_value_data(v) = n;
    return v;
}
