/* SPDX-License-Identifier: Apache-2.0 */
/* RNN, GRU, LSTM: step by step, a gate at a time. */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* Errors of a step's sums and functions travel through the next steps; values are of size 1. */
#define TOL 64

enum { UNITS = 128 }; /* of the longest state */

struct cell {
    const struct op_run *r;
    const struct op_tensor *x;
    int kind;                   /* gates: 1 RNN, 3 GRU, 4 LSTM */
    int64_t hidden, size, batch, steps, directions, d;
    bool by_row;                /* layout 1: batch first */
};

static double sigmoid(double v)
{
    return 1 / (1 + exp(-v));
}

/* Gate g of unit u: x's part (bias 0) or h's (bias 1). */
static double part(const struct cell *c, int which, const double *from, int64_t n, int g, int64_t u)
{
    const double *w = c->r->in[1 + which].v + ((c->d * c->kind + g) * c->hidden + u) * n;
    double sum = op_has(c->r, 3)
                     ? c->r->in[3].v[((c->d * 2 + which) * c->kind + g) * c->hidden + u] : 0;
    for (int64_t k = 0; k < n; k++)
        sum += w[k] * from[k];
    return sum;
}

static double both(const struct cell *c, const double *x, const double *h, int g, int64_t u)
{
    return part(c, 0, x, c->size, g, u) + part(c, 1, h, c->hidden, g, u);
}

static void step_gru(const struct cell *c, const double *x, const double *h, double *next)
{
    double reset[UNITS], gated[UNITS];
    bool linear = op_int(c->r, "linear_before_reset", 0);
    for (int64_t u = 0; u < c->hidden; u++) {
        reset[u] = sigmoid(both(c, x, h, 1, u));
        gated[u] = reset[u] * h[u];
    }
    for (int64_t u = 0; u < c->hidden; u++) {
        double z = sigmoid(both(c, x, h, 0, u));
        double n = part(c, 0, x, c->size, 2,
                        u) + (linear ? reset[u] * part(c, 1, h, c->hidden, 2, u)
                                                          : part(c, 1, gated, c->hidden, 2, u));
        next[u] = (1 - z) * tanh(n) + z * h[u];
    }
}

/* Gates i, o, f, c; peepholes i, o, f. */
static void step_lstm(const struct cell *c, const double *x, const double *h, double *cell,
                      double *next)
{
    const double *p = op_has(c->r, 7) ? c->r->in[7].v + c->d * 3 * c->hidden : NULL;
    for (int64_t u = 0; u < c->hidden; u++) {
        double i = sigmoid(both(c, x, h, 0, u) + (p ? p[u] * cell[u] : 0));
        double f = sigmoid(both(c, x, h, 2, u) + (p ? p[2 * c->hidden + u] * cell[u] : 0));
        cell[u] = f * cell[u] + i * tanh(both(c, x, h, 3, u));
        next[u] = sigmoid(both(c, x, h, 1,
                               u) + (p ? p[c->hidden + u] * cell[u] : 0)) * tanh(cell[u]);
    }
}

/* Where (direction, batch row, unit) lies in a state. */
static int64_t state_place(const struct cell *c, int64_t b, int64_t u)
{
    return (c->by_row ? b * c->directions + c->d : c->d * c->batch + b) * c->hidden + u;
}

static void run_row(const struct cell *c, struct op_run *r, int64_t b, bool back)
{
    double h[UNITS] = {0}, cell[UNITS] = {0}, next[UNITS];
    int64_t length = op_has(r, 4) ? (int64_t)r->in[4].v[b] : c->steps;
    for (int64_t u = 0; u < c->hidden; u++) {
        h[u] = op_has(r, 5) ? r->in[5].v[state_place(c, b, u)] : 0;
        cell[u] = c->kind == 4 && op_has(r, 6) ? r->in[6].v[state_place(c, b, u)] : 0;
    }
    for (int64_t s = 0; s < length; s++) {
        int64_t t = back ? length - 1 - s : s;
        const double *x = c->x->v + (c->by_row ? b * c->steps + t : t * c->batch + b) * c->size;
        if (c->kind == 4)
            step_lstm(c, x, h, cell, next);
        else if (c->kind == 3)
            step_gru(c, x, h, next);
        for (int64_t u = 0; u < c->hidden && c->kind == 1; u++)
            next[u] = tanh(both(c, x, h, 0, u));
        memcpy(h, next, sizeof h);
        int64_t at = c->by_row ? (b * c->steps + t) * c->directions + c->d
                               : (t * c->directions + c->d) * c->batch + b;
        memcpy(r->out[0].v + at * c->hidden, h, (size_t)c->hidden * sizeof *h);
    }
    for (int64_t u = 0; u < c->hidden; u++) {
        r->out[1].v[state_place(c, b, u)] = h[u];
        if (r->n_out > 2)
            r->out[2].v[state_place(c, b, u)] = cell[u];
    }
}

static void rnn(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct cell c = {.r = r, .x = x, .by_row = op_int(r, "layout", 0), .size = x->dims[2]};
    c.kind = r->row->name[0] == 'L' ? 4 : r->row->name[0] == 'G' ? 3 : 1;
    c.hidden = r->in[2].dims[2];
    c.directions = r->in[1].dims[0];
    c.steps = x->dims[c.by_row];
    c.batch = x->dims[!c.by_row];
    int64_t all[] = {c.steps, c.directions, c.batch, c.hidden}, rows[] = {c.batch, c.steps,
                                                                          c.directions, c.hidden};
    int64_t last[] = {c.directions, c.batch, c.hidden}, last_rows[] = {c.batch, c.directions,
                                                                       c.hidden};
    op_out(r, 0, x->dtype, 4, c.by_row ? rows : all);
    for (int o = 1; o < r->n_out; o++)
        op_out(r, o, x->dtype, 3, c.by_row ? last_rows : last);
    for (c.d = 0; c.d < c.directions; c.d++)
        for (int64_t b = 0; b < c.batch; b++)
            run_row(&c, r, b, c.d == 1 || op_is(r, "direction", "reverse"));
    for (int o = 0; o < r->n_out; o++) {
        double *scale = op_scale(&r->out[o]);
        for (int64_t i = 0; i < r->out[o].n; i++)
            scale[i] = 1;
    }
}

#define ROW(op, n, attrs_, in_) \
    {.name = op, .attrs = attrs_, .in = in_, .outs = n, .ref = rnn, .tol = TOL}

static const struct op_case rows[] = {
    ROW("LSTM", 3, "hidden_size=5", "f32[7,B,4] f32[1,20,4] f32[1,20,5]"),
    ROW("LSTM", 3, "hidden_size=5 direction=reverse",
        "f32[7,B,4] f32[1,20,4] f32[1,20,5] f32[1,40]"),
    ROW("LSTM", 3, "hidden_size=5 direction=bidirectional",
        "f32[7,B,4] f32[2,20,4] f32[2,20,5] f32[2,40] i32[B]=7,1,4 f32[2,B,5] "
        "f32[2,B,5] f32[2,15]"),
    ROW("LSTM", 3, "hidden_size=3 layout=1",
        "f32[B,6,4] f32[1,12,4] f32[1,12,3] f32[1,24] - f32[B,1,3] f32[B,1,3]"),
    ROW("LSTM", 3, "hidden_size=33", "f32[5,B,40] f32[1,132,40] f32[1,132,33] f32[1,264]"),
    /* States that are longer than all inputs of a row together. */
    ROW("LSTM", 3, "hidden_size=96", "f32[5,B,1] f32[1,384,1] f32[1,384,96] f32[1,768] - - - f32[1,288]"),
    ROW("GRU", 2, "hidden_size=70", "f32[1,B,2] f32[1,210,2] f32[1,210,70] f32[1,420]"),
    ROW("RNN", 2, "hidden_size=90", "f32[2,B,1] f32[1,90,1] f32[1,90,90] f32[1,180]"),
    ROW("GRU", 2, "hidden_size=5", "f32[7,B,4] f32[1,15,4] f32[1,15,5] f32[1,30]"),
    ROW("GRU", 2, "hidden_size=5 linear_before_reset=1 direction=bidirectional",
        "f32[7,B,4] f32[2,15,4] f32[2,15,5] f32[2,30] i32[B]=7,2,4 f32[2,B,5]"),
    ROW("GRU", 2, "hidden_size=20 layout=1", "f32[B,6,30] f32[1,60,30] f32[1,60,20]"),
    ROW("RNN", 2, "hidden_size=5", "f32[7,B,4] f32[1,5,4] f32[1,5,5] f32[1,10]"),
    ROW("RNN", 2, "hidden_size=5 direction=reverse",
        "f32[7,B,4] f32[1,5,4] f32[1,5,5] - i32[B]=3,7,1 f32[1,B,5]"),
};

OP_MAIN("op rnn", OP_TABLE(rows))
