/* SPDX-License-Identifier: Apache-2.0 */
/* The harness of the operator tests: one program a family, a table of rows, references in double.
 *
 * A row is an operator, its attributes and inputs as text, and a function of the test file that
 * computes shapes and values in double from the definition. At every usable CPU level the harness
 * runs each row as a graph of its own: with inputs given at run time and as constants, with dims
 * known as numbers, as symbols, or not at all, with planned memory before and behind (where work in
 * place happens), alone through node_run_alone, and with 1 and 3 threads. All of these must agree:
 * what is inferred on symbols with what is inferred on numbers, results with the reference within
 * the tolerance, and the results of all ways of running the same kernels bit for bit.
 *
 *   attrs   "axis=1 pads=1,1,0,0 mode=edge": kinds come from the operator's own table
 *   in      one word an input: "-" absent, or TYPE[dims] with
 *             =1,2,inf   these elements, the last one repeated
 *             :lo:hi     uniform in [lo, hi); by default [-1, 1) for floats, -5 .. 5 or 0 .. 10 for
 *                        integers (ends included)
 *           TYPE is a word of dtype.def in small letters, or T, which takes each of `types` in
 *           turn. A dim B is a batch: a symbol that is 3; then rows run alone must have the bits
 *           that they have in the batch, and a batch of 0 must run.
 *
 * A float result may differ from the reference by `tol` * eps * scale: eps is 2^-24 (2^-53 in f64),
 * scale |want|, or what the reference put in `scale` (a sum's terms, summed as magnitudes); 16-bit
 * floats get the half ulp of their one rounding on top. Integers must be equal, or at most
 * `quantum` apart. Options as in tests/kernel/check.h, whose CHECK() counts here too.
 */
#pragma once

#include "core/tensor.h"
#include "tests/kernel/check.h"

enum { OP_ENDS = 12 };

/* A tensor as references see it. */
struct op_tensor {
    bool here; /* false: absent */
    enum dtype dtype;
    int rank;
    int64_t dims[TENSOR_RANK_MAX];
    int64_t n;
    double *v;
    double *scale;                /* of an output, n magnitudes; NULL: |v| */
    bool batch[TENSOR_RANK_MAX];  /* of an input: which dims are B */
    struct tensor t;              /* of an input: the elements themselves */
};

struct op_case;
struct op_run {
    const struct op_case *row;
    int n_in, n_out;
    struct op_tensor in[OP_ENDS], out[OP_ENDS];
};

/* Fill r->out[0 .. n_out) through op_out(). */
typedef void op_reference_fn(struct op_run *r);

enum op_leave_out {
    OP_NO_UNKNOWN = 1, /* the rank must be known at load */
    OP_NO_CONST = 2,   /* nothing is gained by constants: one way of running fewer */
    OP_NO_FRESH = 4,   /* what the operator infers needs these dims as numbers */
};

struct op_case {
    const char *name, *domain; /* domain NULL: ai.onnx */
    int opset;                 /* 0: the newest that the operator has */
    const char *attrs, *in, *types;
    int outs;                  /* 0 means 1 */
    op_reference_fn *ref;
    double tol, atol, quantum;
    unsigned leave_out;
};

/* The program: all rows of all tables, at every level. Returns the exit status. */
struct op_table {
    const struct op_case *rows;
    size_t n;
};
int op_main(const char *family, int argc, char **argv, const struct op_table *tables, size_t n);
#define OP_TABLE(rows) {rows, sizeof(rows) / sizeof *(rows)}
#define OP_MAIN(family, ...)                                                               \
    int main(int argc, char **argv)                                                        \
    {                                                                                      \
        static const struct op_table tables[] = {__VA_ARGS__};                             \
        return op_main(family, argc, argv, tables, sizeof(tables) / sizeof *tables);       \
    }

/* ---- for references -------------------------------------------------------------------------- */

/* Output o with this type; v is zeroed. */
struct op_tensor *op_out(struct op_run *r, int o, enum dtype dtype, int rank, const int64_t *dims);
/* Like input i. */
struct op_tensor *op_out_like(struct op_run *r, int o, int i);
/* Ask for the magnitudes of an output; zeroed. */
double *op_scale(struct op_tensor *t);

/* Attributes by name. Lists: up to 16 numbers, returns how many (0: absent). */
int64_t op_int(const struct op_run *r, const char *name, int64_t absent);
double op_float(const struct op_run *r, const char *name, double absent);
int op_ints(const struct op_run *r, const char *name, int64_t *out);
bool op_is(const struct op_run *r, const char *name,
           const char *word); /* a string attribute is this */
/* The bytes of a string attribute, NULL if absent; in a buffer that the next call reuses. */
const char *op_text(const struct op_run *r, const char *name);

/* Input i is there. */
static inline bool op_has(const struct op_run *r, int i)
{
    return i < r->n_in && r->in[i].here;
}
static inline int op_axis(int64_t axis, int rank)
{
    return (int)(axis < 0 ? axis + rank : axis);
}
/* Elements of dims [from, to). */
int64_t op_product(const int64_t *dims, int from, int to);
/* Element `flat` of an output with these dims as an index a dim. */
void op_unravel(int64_t flat, const int64_t *dims, int rank, int64_t *index);
/* The flat place of an index in a tensor that is broadcast to `rank` dims. */
int64_t op_place(const struct op_tensor *t, const int64_t *index, int rank);
/* NumPy's broadcast of inputs [first, last): the rank. */
int op_broadcast(const struct op_run *r, int first, int last, int64_t *dims);
