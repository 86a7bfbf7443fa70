/* SPDX-License-Identifier: Apache-2.0 */
/* Operators: what one is (a row), what it may ask and call (tables of functions).
 *
 * An operator is a `const struct op` at the end of its file in ops/, listed in ops/ops.def. Its life:
 *   fix      once a node at import: bring attributes of old versions up, check them
 *   infer    at load on symbols, again at run time on numbers where the load could not tell: types,
 *            dims and small integer contents of the outputs
 *   prepare  once a node and model, after all passes: choose kernels, pack constant inputs
 *   scratch, tasks   per call, on actual dims, cheap: bytes of scratch, number of tasks
 *   run      the work of tasks [begin, end); may be called from several threads at once
 * A row is immutable; infer and prepare run on one thread; run must be reentrant.
 */
#pragma once

#include <stddef.h>

#include "core/guard.h"
#include "core/tensor.h"
#include "core/threads.h"
#include "graph/graph.h"

/* ---- attributes ---------------------------------------------------------------------------- */

struct ints {
    const int64_t *v;
    int64_t n; /* v is NULL where the attribute is absent */
};
struct floats {
    const float *v;
    int64_t n;
};
struct strs {
    const struct str *v;
    int64_t n;
};

enum attr_kind {
    ATTR_INT,     /* int64_t */
    ATTR_FLOAT,   /* float */
    ATTR_STRING,  /* struct str; data NULL if absent */
    ATTR_TENSOR,  /* const struct tensor *; NULL if absent */
    ATTR_GRAPH,   /* struct graph *; also in node->graphs */
    ATTR_INTS,    /* struct ints */
    ATTR_FLOATS,  /* struct floats */
    ATTR_STRINGS, /* struct strs */
    ATTR_SPARSE,  /* const struct tensor *: a sparse tensor made dense */
    ATTR_TYPE,    /* const struct type * */
};

#define ATTR_ABSENT INT64_MIN /* default of an ATTR_INT that may be left out with a meaning */

/* One attribute. since/until bound the versions that have it (0: no bound). An attribute that a later
 * version made an input has `input` > 0, the input's index: import then adds a constant (a scalar or
 * 1-D tensor of int64, float or strings; of the type of input 0 if `as_in0`), and the structure gets
 * nothing. `ignore` reads and drops it. */
struct attr {
    const char *name;
    enum attr_kind kind;
    size_t offset;
    bool required, ignore, as_in0;
    int since, until, input;
    int64_t i;     /* default of ATTR_INT */
    float f;       /* of ATTR_FLOAT */
    const char *s; /* of ATTR_STRING; NULL: absent */
};

/* Does this version of the operator have the attribute? */
static inline bool attr_has(const struct attr *a, int opset)
{
    return opset >= a->since && (a->until == 0 || opset <= a->until);
}

/* ---- the row -------------------------------------------------------------------------------- */

enum op_flag {
    OP_PURE = 1,       /* same inputs, same outputs: may be folded and shared */
    OP_VIEW = 2,       /* output 0 is input 0's elements under other dims; run is not called */
    OP_INPLACE0 = 4,   /* output 0 may lie in input 0's place, if their bytes are as many */
    OP_INPLACE1 = 8,   /* or in input 1's */
    OP_DYNAMIC = 16,   /* run makes its outputs itself with call_output or call_output_value */
    OP_LEADER = 32,    /* run is called once, on the leader, and submits tasks itself */
    OP_HOST = 64,      /* never on another device than the CPU (control flow, strings, sequences) */
    OP_EXACT = 512,    /* infer compares symbolic dims with sym_differ and sym_broadcast alone: where those
                          leave nothing undecided, its dims hold for all numbers */
    OP_VALUES = 256,   /* takes sequences, optionals and maps too; without it or OP_HOST the inputs that
                          infer and run see are tensors */
    OP_SHAPE_ONLY = 128, /* reads no input's elements in run, only dims (Shape, Size) */
};

struct infer;
struct prepare;
struct call;

struct op {
    const char *domain, *name; /* domain "" is ai.onnx; "infer" is ours */
    int since, until;          /* first and last version of its set that has it; until 0: still there */
    int in_min, in_max;        /* in_max -1: any number */
    int out_min, out_max;
    unsigned flags;
    const char *kernels;       /* the families of kernels/ that it runs on, for listings; NULL: none */
    unsigned host_in;          /* bit i: infer (at run time) or run reads input i's contents on the host */
    const struct attr *attrs;  /* ends with a NULL name */
    size_t attrs_size;
    int (*fix)(struct node *n, struct err *e);
    int (*infer)(struct infer *c, struct err *e);
    int (*prepare)(struct prepare *p, struct err *e);
    size_t (*scratch)(const struct call *c, size_t *per_member); /* shared bytes; NULL: none */
    int64_t (*tasks)(const struct call *c);                      /* NULL: one */
    int (*run)(struct call *c, int64_t begin, int64_t end, int member, struct err *e);
};

/* The row for (domain, name) that a model importing `opset` of that domain gets; NULL if none. Sets
 * *newer to the row's first version if the name exists but not in this opset (then NULL is returned). */
const struct op *op_find(const char *domain, const char *name, int opset, int *newer);
/* Rows in the order of ops.def, for listings; NULL past the end. */
const struct op *op_row(size_t i);

/* ---- inference ------------------------------------------------------------------------------ */

/* For listings: infer_dtypes() notes which types input `input` may have and ends the inference. */
struct infer_probe {
    int input;
    uint32_t types; /* 0: it was not asked */
};

struct infer {
    const struct node *node;
    const void *attrs;
    struct syms *syms;   /* NULL at run time: every dim is a number then */
    struct arena *arena; /* for elems and nested types */
    const struct fact *const *in; /* NULL entries: absent */
    struct fact *out;             /* cleared before infer; entries of absent outputs are scratch */
    int n_in, n_out;
    bool late;           /* set by infer_fresh and infer_unknown */
    struct infer_probe *probe; /* NULL but for listings */
    struct fresh **fresh; /* the driver's: symbols that infer_fresh may use again; or NULL */
    /* Infer a subgraph: facts of its inputs in, copies of its outputs' facts out. Load time only. */
    int (*graph)(struct infer *c, struct graph *g, const struct fact *in, int n_in, struct fact *out,
                 int n_out, struct err *e);
};

/* An input is there. */
static inline bool infer_has(const struct infer *c, int i)
{
    return i < c->n_in && c->in[i] != NULL;
}
static inline enum dtype infer_dtype(const struct infer *c, int i)
{
    return c->in[i]->type.dtype;
}
/* Rank of input i, -1 unknown (or absent). */
static inline int infer_rank(const struct infer *c, int i)
{
    return infer_has(c, i) ? c->in[i]->type.rank : -1;
}
static inline int64_t infer_dim(const struct infer *c, int i, int k)
{
    return c->in[i]->type.dims[k];
}
/* Contents of integer (or bool) input i as symbolic integers, *n of them, each maybe SYM_UNKNOWN; NULL
 * if nothing is known. At run time all are numbers. */
const int64_t *infer_elems(struct infer *c, int i, int64_t *n);
/* All of them are numbers (then also usable as plain int64_t). */
const int64_t *infer_numbers(struct infer *c, int i, int64_t *n);
/* The elements of input i if known, of any dtype; NULL otherwise. */
const struct tensor *infer_data(const struct infer *c, int i);

/* Set output o: a tensor of this type (dims symbolic). Fails on a known negative dim, or if the rank is
 * above TENSOR_RANK_MAX. Does nothing if o >= n_out. */
int infer_set(struct infer *c, int o, enum dtype dtype, int rank, const int64_t *dims,
              struct err *e) WARN_UNUSED;
/* Output o has input i's dims, and this dtype. */
int infer_like(struct infer *c, int o, int i, enum dtype dtype, struct err *e) WARN_UNUSED;
/* Output o is a tensor of unknown rank (makes the node late). */
int infer_unknown(struct infer *c, int o, enum dtype dtype, struct err *e) WARN_UNUSED;
/* A type copied from elsewhere (sequences, optionals). */
void infer_set_type(struct infer *c, int o, const struct type *t);
/* Attach contents to integer output o (copied; ignored above FACT_ELEMS_MAX). */
void infer_set_elems(struct infer *c, int o, const int64_t *elems, int64_t n);
/* A dim that only running tells: a new symbol (makes the node late), SYM_UNKNOWN at run time. */
int64_t infer_fresh(struct infer *c);
/* Broadcast of inputs [first, first + count) (absent ones skipped) into rank and dims; rank -1 if one is
 * unknown. Known mismatches fail, naming both shapes. */
int infer_broadcast(struct infer *c, int first, int count, int *rank, int64_t *dims,
                    struct err *e) WARN_UNUSED;
/* axis in [-rank, rank) to [0, rank); ERR_MODEL otherwise. */
int infer_axis(int64_t axis, int rank, int *out, struct err *e) WARN_UNUSED;
/* Input i must have one of the dtypes of the mask (DTYPE_BIT); ERR_UNSUPPORTED names it. */
#define DTYPE_BIT(t) (1u << (t))
int infer_dtypes(const struct infer *c, int i, uint32_t mask, struct err *e) WARN_UNUSED;
/* Inputs i and j must have the same dtype. */
int infer_same_dtype(const struct infer *c, int i, int j, struct err *e) WARN_UNUSED;

/* ---- tuning ---------------------------------------------------------------------------------- */

enum { TUNE_DIMS = 4, TUNE_NAMES = 8 };

/* What a step takes at the least, and which candidates are worth a try (bit i; bit 0 is implied). */
struct tune_cost {
    double flops, bytes;
    unsigned worth;
};

/* A choice among candidates that give the same bits (rows, tiles, cuts of one order class): a key and names.
 * Words have no spaces or tabs, and live as long as the node's `prepared`. */
struct tune_ask {
    const char *op, *layout, *epilogue; /* the layout names the kernel's row as well */
    enum dtype dtype;
    const char *letters;                /* one a dim, as "mnk" */
    int n_dims, n_names;
    int64_t dims[TUNE_DIMS];            /* a number, or TUNE_ANY where only a call knows it */
    const char *const *names;           /* 0 is the heuristic's */
    struct tune_cost (*cost)(const struct tune_ask *a, const int64_t *dims); /* on actual dims */
    const void *own;                    /* of cost */
};
#define TUNE_ANY INT64_MIN

/* The answer for a node, one at most: its choice by the buckets of the dims that only a call knows.
 * Immutable, so that a run asks without a lock, unless the model was loaded for measuring. */
struct tune_site {
    const struct tune_ask *ask;
    int n;
    struct tune_case {
        uint32_t where;
        int choice;
    } *cases;
    int (*measure)(struct tune_site *s, const int64_t *dims); /* NULL: no measuring */
};

/* Sizes that a choice is shared by: 0 to 7 each their own, above that two buckets an octave. */
static inline uint8_t tune_bucket(int64_t dim)
{
    if (dim < 8)
        return dim > 0 ? (uint8_t)dim : 0;
    int log = 63 - __builtin_clzll((uint64_t)dim);
    return (uint8_t)(8 + 2 * (log - 3) + (int)(dim >> (log - 1) & 1));
}
static inline uint32_t tune_where(const struct tune_ask *a, const int64_t *dims)
{
    uint32_t where = 0;
    for (int i = 0; i < a->n_dims; i++)
        where = where << 8 | (a->dims[i] == TUNE_ANY ? tune_bucket(dims[i]) : 0);
    return where;
}
/* The candidate for a call with these dims (all of the ask's); s may be NULL. First asked on the leader
 * (in scratch or tasks); the same within a call. */
static inline int tune_choice(struct tune_site *s, const int64_t *dims)
{
    if (!s || (!s->n && !s->measure))
        return 0;
    if (s->measure)
        return s->measure(s, dims);
    uint32_t where = tune_where(s->ask, dims);
    for (int i = 0; i < s->n; i++)
        if (s->cases[i].where == where)
            return s->cases[i].choice;
    return 0;
}

/* ---- preparation ---------------------------------------------------------------------------- */

struct prepare {
    struct node *node;
    const void *attrs;
    struct arena *arena;   /* lives with the model: put `prepared` here */
    struct budget *budget;
    const struct fact *const *in; /* symbolic; in[i]->data is set for constants */
    const struct fact *out;       /* of output 0; NULL if it is absent */
    int n_in, n_out;
    void *prepared; /* set by prepare; call->prepared at run time */
    struct team *team; /* for packing in tasks */
    /* Memory for packed weights, MEM_ALIGN-aligned, owned by the model. */
    void *(*pack_alloc)(struct prepare *p, size_t bytes, struct err *e);
    /* Input i's elements were packed: run will not read them (in call, in[i]->data may be NULL), so that
     * their pages can be given back if no one else reads them. */
    void (*packed)(struct prepare *p, int i);
    /* Ask the tuner. NULL: no better answer than the heuristic's, ever. The ask must outlive the node. */
    struct tune_site *(*tune)(struct prepare *p, const struct tune_ask *a);
};
static inline struct tune_site *prepare_tune(struct prepare *p, const struct tune_ask *a)
{
    return p->tune ? p->tune(p, a) : NULL;
}

/* ---- running -------------------------------------------------------------------------------- */

/* What an operator may call while it runs (leader thread only). */
struct call_table {
    int (*output)(struct call *c, int o, enum dtype dtype, int rank, const int64_t *dims, struct err *e);
    int (*output_value)(struct call *c, int o, struct value *v, struct err *e);
    int (*tasks)(struct call *c, int64_t tasks, task_fn *fn, void *arg, struct err *e);
    int (*graph)(struct call *c, int index, struct value *in, int n_in, struct value *out, int n_out,
                 struct err *e);
    int (*poll)(struct call *c, struct err *e);
    void (*take)(struct call *c, int i, struct value *out);
};

/* Where a state keeps the rows that a call appends to: [dims before the axis][capacity][dims behind]. */
struct store {
    void *data;
    int64_t capacity;
};

struct call {
    const struct node *node;
    const struct op *op;
    const void *attrs;
    void *prepared;
    struct value *const *in; /* NULL: absent. Elements of tensors are row-major and contiguous */
    struct value *const *out; /* tensors are ready (type, dims, data) unless OP_DYNAMIC; NULL: absent */
    int n_in, n_out;
    void *scratch;          /* shared bytes as asked by scratch(), MEM_ALIGN-aligned */
    char *member_scratch;   /* team_size pieces of member_bytes each */
    size_t member_bytes;
    struct budget *budget;
    struct team *team;
    const struct call_table *table;
    const struct store *store; /* of Append in a run with a state; else NULL */
    struct guards *guards;     /* of the scratch (core/guard.h); NULL while it is measured */
};

/* Tensor i, or NULL if absent. */
static inline const struct tensor *call_in(const struct call *c, int i)
{
    return i < c->n_in && c->in[i] ? &c->in[i]->tensor : NULL;
}
static inline struct tensor *call_out(const struct call *c, int o)
{
    return o < c->n_out && c->out[o] ? &c->out[o]->tensor : NULL;
}
static inline void *call_member_scratch(const struct call *c, int member)
{
    return c->member_scratch + (size_t)member * c->member_bytes;
}
/* OP_DYNAMIC: make output tensor o (no-op if absent); its data is then in c->out[o]->tensor. */
static inline int call_output(struct call *c, int o, enum dtype dtype, int rank, const int64_t *dims,
                              struct err *e)
{
    return c->table->output(c, o, dtype, rank, dims, e);
}
/* OP_DYNAMIC: output o becomes *v (the reference is taken over, even on failure). */
static inline int call_output_value(struct call *c, int o, struct value *v, struct err *e)
{
    return c->table->output_value(c, o, v, e);
}
/* OP_LEADER: run tasks on the team and wait. */
static inline int call_tasks(struct call *c, int64_t tasks, task_fn *fn, void *arg, struct err *e)
{
    return c->table->tasks(c, tasks, fn, arg, e);
}
/* Run node->graphs[index]. `in` are the caller's references, but the graph may take them over (call_take):
 * those are VALUE_NONE afterwards. `out` are new references owned by the caller (tensors own their
 * storage). */
static inline int call_graph(struct call *c, int index, struct value *in, int n_in, struct value *out,
                             int n_out, struct err *e)
{
    return c->table->graph(c, index, in, n_in, out, n_out, e);
}
/* Input i as a reference of the caller's own. If nobody reads it later it is moved, so that a sequence
 * with one reference may be changed in place. */
static inline void call_take(struct call *c, int i, struct value *out)
{
    c->table->take(c, i, out);
}
/* Deadline and cancel flag, at each trip of a loop. */
static inline int call_poll(struct call *c, struct err *e)
{
    return c->table->poll(c, e);
}
