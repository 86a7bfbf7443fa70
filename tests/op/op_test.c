/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/op/op_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/threads.h"
#include "kernels/cpu.h"
#include "tests/op/engine.h"

/* ---- inputs from text ------------------------------------------------------------------------ */

static enum dtype dtype_of_word(const char *word, size_t n)
{
    static const struct {
        const char *word;
        enum dtype dtype;
    } words[] = {
#define DTYPE(word, number, name, bits, kind, npy) {#word, DTYPE_##word},
#include "core/dtype.def"
#undef DTYPE
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i].word) == n && strncasecmp(words[i].word, word, n) == 0)
            return words[i].dtype;
    return DTYPE_NONE;
}

static _Noreturn void bad_row(const struct op_case *c, const char *why)
{
    fprintf(stderr, "%s, inputs \"%s\": %s\n", c->name, c->in, why);
    exit(2);
}

static double draw(enum dtype dtype, const char *range)
{
    double lo = -1, hi = 1;
    bool floats = dtype_is_float(dtype);
    if (dtype == DTYPE_BOOL)
        lo = 0;
    else if (!floats)
        lo = dtype_kind(dtype) == 'I' ? -5 : 0, hi = lo < 0 ? 5 : 10;
    if (*range == ':') {
        char *end;
        lo = strtod(range + 1, &end);
        hi = strtod(end + 1, NULL);
    }
    if (!floats)
        return lo + check_random_below((unsigned)(hi - lo + 1));
    return lo + (hi - lo) * ((double)(check_random() >> 11) * 0x1p-53);
}

static void store(enum dtype dtype, void *data, int64_t i, double v)
{
    char *p = (char *)data + i * (int64_t)dtype_size(dtype);
    if (dtype_is_float(dtype) || dtype == DTYPE_BOOL)
        dtype_store_f64(dtype, p, v);
    else
        dtype_store_i64(dtype, p, (int64_t)v);
}

static double load(const struct tensor *t, int64_t i)
{
    return dtype_load_f64(t->dtype, (const char *)t->data + i * (int64_t)dtype_size(t->dtype));
}

/* Give an input its elements' tensor and doubles. */
static void make_elements(struct op_tensor *x)
{
    struct err e = {0};
    if (tensor_new(&x->t, NULL, x->dtype, x->rank, x->dims, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        exit(2);
    }
    x->n = tensor_count(&x->t);
    x->v = malloc(((size_t)x->n + 1) * sizeof *x->v);
}

static void parse_input(const struct op_case *c, const char *word, size_t len, enum dtype each,
                        struct op_tensor *x)
{
    char text[400];
    snprintf(text, sizeof text, "%.*s", (int)len, word);
    *x = (struct op_tensor){0};
    if (strcmp(text, "-") == 0)
        return;
    char *p = strchr(text, '[');
    if (!p)
        bad_row(c, "an input needs [dims]");
    x->here = true;
    x->dtype = p == text + 1 && *text == 'T' ? each : dtype_of_word(text, (size_t)(p - text));
    if (x->dtype == DTYPE_NONE)
        bad_row(c, "a dtype is unknown");
    for (p++; *p && *p != ']'; p += *p == ',') {
        x->batch[x->rank] = *p == 'B';
        x->dims[x->rank++] = *p == 'B' ? 3 : strtoll(p, NULL, 10);
        p += strcspn(p, ",]");
    }
    make_elements(x);
    const char *range = p + 1, *next = range + 1;
    double v = 0;
    for (int64_t i = 0; i < x->n; i++) {
        if (*range != '=') {
            v = draw(x->dtype, range);
        } else if (*next) {
            char *end;
            v = strtod(next, &end);
            next = end + (*end == ',');
        }
        store(x->dtype, x->t.data, i, v);
        x->v[i] = load(&x->t, i);
    }
}

static void parse_inputs(struct op_run *r, enum dtype each)
{
    const char *p = r->row->in;
    while (*p) {
        size_t len = strcspn(p, " ");
        if (r->n_in == OP_ENDS)
            bad_row(r->row, "too many inputs");
        parse_input(r->row, p, len, each, &r->in[r->n_in++]);
        p += len + strspn(p + len, " ");
    }
}

/* The same inputs with `count` rows of the batch from `first` on. */
static void take_rows(const struct op_run *r, int64_t first, int64_t count, struct op_run *out)
{
    *out = *r;
    for (int i = 0; i < r->n_in; i++) {
        const struct op_tensor *x = &r->in[i];
        struct op_tensor *y = &out->in[i];
        int axis = 0;
        while (axis < x->rank && !x->batch[axis])
            axis++;
        if (!x->here || axis == x->rank)
            continue;
        y->dims[axis] = count;
        make_elements(y);
        size_t inner = (size_t)op_product(x->dims, axis + 1, x->rank) * dtype_size(x->dtype);
        int64_t outer = op_product(x->dims, 0, axis);
        for (int64_t o = 0; o < outer; o++)
            memcpy((char *)y->t.data + (size_t)(o * count) * inner,
                   (char *)x->t.data + (size_t)(o * x->dims[axis] + first) * inner,
                   (size_t)count * inner);
    }
}

static void drop_rows(const struct op_run *r, struct op_run *rows)
{
    for (int i = 0; i < r->n_in; i++)
        if (rows->in[i].v != r->in[i].v) {
            tensor_clear(&rows->in[i].t);
            free(rows->in[i].v);
        }
}

static void run_free(struct op_run *r)
{
    for (int i = 0; i < r->n_in; i++) {
        tensor_clear(&r->in[i].t);
        free(r->in[i].v);
    }
    for (int o = 0; o < r->n_out; o++) {
        free(r->out[o].v);
        free(r->out[o].scale);
    }
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void values_clear(struct value *v, int n)
{
    for (int i = 0; i < n; i++)
        value_clear(&v[i]);
}

static double allowed(const struct op_case *c, const struct op_tensor *want, int64_t i)
{
    double w = fabs(want->v[i]), scale = want->scale ? want->scale[i] : w;
    double eps = want->dtype == DTYPE_F64 ? 0x1p-53 : 0x1p-24;
    double own = want->dtype == DTYPE_F16    ? fmax(w * 0x1p-11, 0x1p-25)
                 : want->dtype == DTYPE_BF16 ? fmax(w * 0x1p-8, 0x1p-134)
                 : want->dtype == DTYPE_F32  ? w * 0x1p-24 + 0x1p-149
                                             : w * 0x1p-53;
    return c->atol + c->tol * eps * scale + (c->tol > 0 ? own : 0);
}

static bool near_enough(const struct op_case *c, const struct op_tensor *want, int64_t i,
                        double got)
{
    double w = want->v[i];
    if (want->dtype == DTYPE_F32 && fabs(w) >= 0x1.ffffffp127)
        w = copysign(INFINITY, w);
    if (isnan(w) || isnan(got))
        return isnan(w) && isnan(got);
    if (!dtype_is_float(want->dtype))
        return fabs(got - w) <= c->quantum;
    if (isinf(w) || isinf(got))
        return w == got;
    return fabs(got - w) <= allowed(c, want, i);
}

static void compare(const struct op_run *r, const struct value *got, const char *what)
{
    for (int o = 0; o < r->n_out; o++) {
        const struct op_tensor *want = &r->out[o];
        const struct tensor *t = &got[o].tensor;
        char have[160], dims[160];
        bool same = got[o].kind == VALUE_TENSOR && t->dtype == want->dtype && t->rank == want->rank;
        for (int k = 0; same && k < t->rank; k++)
            same = t->dims[k] == want->dims[k];
        if (!CHECK(same, "%s: output %d is %s, expected %s%s", what, o,
                   tensor_describe(t, have, sizeof have), dtype_name(want->dtype),
                   dims_describe(want->dims, want->rank, dims, sizeof dims)))
            return;
        for (int64_t i = 0; i < want->n; i++)
            if (!near_enough(r->row, want, i, load(t, i))) {
                CHECK(false,
                      "%s: output %d, element %lld of %s: %.9g, expected %.9g, apart %.3g > %.3g",
                      what, o, (long long)i, tensor_describe(t, have, sizeof have), load(t, i),
                      want->v[i], fabs(load(t, i) - want->v[i]), allowed(r->row, want, i));
                break;
            }
        CHECK(true, "counted");
    }
}

static bool tensors_same(const struct tensor *a, const struct tensor *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank ||
        memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) != 0)
        return false;
    return tensor_bytes(a) == 0 || memcmp(a->data, b->data, tensor_bytes(a)) == 0;
}

static void same_bits(const struct op_run *r, const struct value *a, const struct value *b,
                      const char *what, const char *against)
{
    for (int o = 0; o < r->n_out; o++) {
        const struct tensor *x = &a[o].tensor, *y = &b[o].tensor;
        char have[160];
        if (tensors_same(x, y)) {
            CHECK(true, "counted");
            continue;
        }
        int64_t i = 0;
        while (tensor_bytes(x) == tensor_bytes(y) && i < tensor_count(x) &&
               memcmp((char *)x->data + (size_t)i * dtype_size(x->dtype),
                      (char *)y->data + (size_t)i * dtype_size(x->dtype),
                      dtype_size(x->dtype)) == 0)
            i++;
        CHECK(false, "%s: output %d, %s, has other bits %s, from element %lld on", what, o,
              tensor_describe(x, have, sizeof have), against, (long long)i);
    }
}

/* ---- a row, in all ways ---------------------------------------------------------------------- */

static bool has_batch(const struct op_tensor *x)
{
    bool any = false;
    for (int k = 0; k < x->rank; k++)
        any |= x->batch[k];
    return any;
}

/* Row i of output `all` (of a batch of 3) against `one`: the axis is where their dims differ. */
static void same_row(const struct tensor *all, const struct tensor *one, int64_t row,
                     const char *what)
{
    int axis = -1;
    bool fits = all->rank == one->rank;
    for (int k = 0; fits && k < all->rank; k++)
        if (all->dims[k] != one->dims[k]) {
            fits = axis < 0 && all->dims[k] % 3 == 0 && all->dims[k] / 3 == one->dims[k];
            axis = k;
        }
    if (!CHECK(fits && axis >= 0, "%s: the dims of a row alone do not fit those of the batch",
               what))
        return;
    size_t inner = (size_t)op_product(all->dims, axis + 1, all->rank) * dtype_size(all->dtype);
    size_t own = (size_t)one->dims[axis] * inner;
    int64_t outer = op_product(all->dims, 0, axis);
    for (int64_t o = 0; o < outer; o++)
        if (!CHECK(memcmp((char *)all->data + ((size_t)o * 3 + (size_t)row) * own,
                          (char *)one->data + (size_t)o * own, own) == 0,
                   "%s: row %lld alone has other bits than in the batch", what, (long long)row))
            return;
}

static void check_rows(struct subject *s, const struct op_run *r, const struct value *all,
                       const char *what)
{
    struct value got[OP_ENDS];
    for (int64_t row = 0; row < 3; row++) {
        struct op_run one;
        take_rows(r, row, 1, &one);
        if (subject_run(s, &one, 1, got)) {
            for (int o = 0; o < r->n_out; o++)
                same_row(&all[o].tensor, &got[o].tensor, row, what);
            values_clear(got, r->n_out);
        }
        drop_rows(r, &one);
    }
    struct op_run none;
    take_rows(r, 0, 0, &none);
    if (subject_run(s, &none, 1, got)) {
        for (int o = 0; o < r->n_out; o++)
            CHECK(tensor_count(&got[o].tensor) == 0, "%s: a batch of 0 gives elements", what);
        values_clear(got, r->n_out);
    }
    drop_rows(r, &none);
}

/* One way of building. `base` are the bits to have, NULL: this is what sets them in `out`. */
static void run_way(const struct op_run *r, enum op_dims dims, uint64_t constants, bool middle,
                    const struct value *base, struct value *out, const char *label)
{
    char what[300];
    struct value got[OP_ENDS], again[OP_ENDS];
    bool batch = false;
    snprintf(what, sizeof what, "%s(%s) %s [%s] %s", r->row->name, r->row->in,
             r->row->attrs ? r->row->attrs : "", dtype_name(r->in[0].dtype), label);
    struct subject *s = subject_new(r, dims, constants, middle, what);
    for (int i = 0; i < r->n_in; i++)
        batch |= has_batch(&r->in[i]);
    if (s && subject_run(s, r, 1, got)) {
        if (base)
            same_bits(r, got, base, what, "than with dims as symbols and inputs at run time");
        else
            compare(r, got, what);
        subject_facts(s, r, got);
        if (subject_run(s, r, 3, again)) {
            same_bits(r, again, got, what, "with 3 threads");
            values_clear(again, r->n_out);
        }
        if (subject_alone(s, r, again)) {
            same_bits(r, again, got, what, "through node_run_alone");
            values_clear(again, r->n_out);
        }
        if (batch && dims == DIMS_BATCH)
            check_rows(s, r, got, what);
        if (out)
            memcpy(out, got, sizeof got);
        else
            values_clear(got, r->n_out);
    }
    subject_free(s);
}

static void run_row(const struct op_case *c, enum dtype each)
{
    struct op_run r = {.row = c, .n_out = c->outs ? c->outs : 1};
    struct value base[OP_ENDS] = {{0}};
    uint64_t constants = 0;
    bool batch = false;
    parse_inputs(&r, each);
    c->ref(&r);
    for (int i = 0; i < r.n_in; i++)
        batch |= has_batch(&r.in[i]);
    for (int i = 0; i < r.n_in; i++)
        if (r.in[i].here && !(batch ? has_batch(&r.in[i]) : i == 0))
            constants |= UINT64_C(1) << i;
    run_way(&r, DIMS_BATCH, 0, false, NULL, base, "");
    if (base[0].kind == VALUE_TENSOR) {
        if (!(c->leave_out & OP_NO_FRESH))
            run_way(&r, DIMS_FRESH, 0, false, base, NULL, "every dim a symbol");
        if (!(c->leave_out & OP_NO_UNKNOWN))
            run_way(&r, DIMS_UNKNOWN, 0, false, base, NULL, "unknown ranks");
        run_way(&r, DIMS_NUMBERS, 0, true, base, NULL, "in planned memory");
    }
    if (constants && !(c->leave_out & OP_NO_CONST)) {
        run_way(&r, DIMS_BATCH, constants, false, NULL, NULL, "constants");
        run_way(&r, DIMS_FRESH, constants, true, NULL, NULL, "constants, symbols, planned memory");
    }
    values_clear(base, r.n_out);
    run_free(&r);
}

static void run_case(const struct op_case *c)
{
    const char *p = c->types ? c->types : "f32";
    while (*p) {
        size_t n = strcspn(p, " ");
        enum dtype each = dtype_of_word(p, n);
        if (each == DTYPE_NONE)
            bad_row(c, "a type is unknown");
        run_row(c, each);
        p += n + strspn(p + n, " ");
    }
}

int op_main(const char *family, int argc, char **argv, const struct op_table *tables, size_t n)
{
    check_init(family, argc, argv);
    threads_cap_set(3);
    for (int l = -1; (l = check_level_next(l)) >= 0;)
        for (size_t t = 0; t < n; t++)
            for (size_t i = 0; i < tables[t].n; i++)
                run_case(&tables[t].rows[i]);
    return check_done();
}
