/* SPDX-License-Identifier: Apache-2.0 */
/* What the operators share: sets of dtypes, splitting into tasks, reading any dtype as one that
 * computes, checked indices, broadcasting. Everything here is for ops/ only; pure functions, any thread.
 */
#pragma once

#include "graph/op.h"

/* ---- sets of dtypes -------------------------------------------------------------------------- */

#define DT(word) DTYPE_BIT(DTYPE_##word)
#define DT_FLOAT16S (DT(F16) | DT(BF16))
#define DT_FLOATS (DT(F32) | DT(F64) | DT_FLOAT16S)
#define DT_SIGNED (DT(I8) | DT(I16) | DT(I32) | DT(I64))
#define DT_UNSIGNED (DT(U8) | DT(U16) | DT(U32) | DT(U64))
#define DT_INTS (DT_SIGNED | DT_UNSIGNED)
#define DT_NUMERIC (DT_FLOATS | DT_INTS)
#define DT_FLOAT8S (DT(F8E4M3FN) | DT(F8E4M3FNUZ) | DT(F8E5M2) | DT(F8E5M2FNUZ))
#define DT_COMPLEX (DT(C64) | DT(C128))
#define DT_ANY (~1u)

/* ---- tasks ------------------------------------------------------------------------------------ */

/* Elements a task for simple element-wise work: large enough to pay, small enough to share. */
enum { TASK_ELEMS = 16384 };

/* Tasks for n units of `cost` elements each, at TASK_ELEMS elements a task; at least 1. */
int64_t tasks_for(int64_t n, int64_t cost);
/* The units [*first, *last) of n that task t of `tasks` does: equal shares, the same for any team. */
static inline void task_range(int64_t t, int64_t tasks, int64_t n, int64_t *first, int64_t *last)
{
    int64_t each = n / tasks, rest = n % tasks;
    *first = t * each + (t < rest ? t : rest);
    *last = *first + each + (t < rest);
}

/* ---- parts of scratch ------------------------------------------------------------------------- */

/* Several parts in one piece of scratch, laid out by one function that is called to measure (no base, from
 * scratch()) and to place (from run): each part starts aligned to MEM_ALIGN and has a guard behind it in
 * builds with guards. The bytes are SIZE_MAX, which is refused, where a size overflows. */
struct parts {
    char *base;
    size_t bytes; /* so far */
    struct guards *guards;
};
static inline struct parts parts_shared(const struct call *c)
{
    return (struct parts){.base = c->guards ? c->scratch : NULL, .guards = c->guards};
}
static inline struct parts parts_member(const struct call *c, int member)
{
    return (struct parts){.base = c->guards ? call_member_scratch(c, member) : NULL, .guards = c->guards};
}
/* The next part, n elements of `size` bytes; NULL while measuring. */
void *parts_take(struct parts *p, size_t n, size_t size);

/* ---- dtypes ----------------------------------------------------------------------------------- */

/* n consecutive elements of any real dtype (from element `first` of p) as f32, f64 or i64, and back.
 * Narrowing rounds to nearest even once; integers from floats truncate and saturate at their range. */
void elems_to_f32(enum dtype t, const void *p, int64_t first, int64_t n, float *out);
void elems_from_f32(enum dtype t, void *p, int64_t first, int64_t n, const float *in);
void elems_to_f64(enum dtype t, const void *p, int64_t first, int64_t n, double *out);
void elems_from_f64(enum dtype t, void *p, int64_t first, int64_t n, const double *in);
void elems_to_i64(enum dtype t, const void *p, int64_t first, int64_t n, int64_t *out);
void elems_from_i64(enum dtype t, void *p, int64_t first, int64_t n, const int64_t *in);
/* Chunk for such conversions on the stack. */
enum { CHUNK_ELEMS = 512 };

/* ---- shapes ----------------------------------------------------------------------------------- */

/* A hostile index i in [-n, n) to [0, n); ERR_INPUT names it, `what`, and the range. */
int norm_index(int64_t i, int64_t n, const char *what, int64_t *out, struct err *e) WARN_UNUSED;
/* Product of dims [from, to) of a run-time tensor. */
static inline int64_t dims_product(const int64_t *dims, int from, int to)
{
    int64_t p = 1;
    for (int i = from; i < to; i++)
        p *= dims[i];
    return p;
}
/* Row-major strides in elements. */
void dims_strides(const int64_t *dims, int rank, int64_t *strides);
/* Strides, in elements, with which tensor t is read under the broadcast shape (0 where it repeats). */
void broadcast_strides(const struct tensor *t, int rank, int64_t *strides);
/* Attribute lists must have n entries (or be absent); ERR_MODEL names the attribute. */
int ints_length(const struct ints *a, int64_t n, const char *name, struct err *e) WARN_UNUSED;

/* The integer a scalar or one-element tensor of an integer dtype holds. */
int64_t tensor_int(const struct tensor *t, int64_t i);
double tensor_float(const struct tensor *t, int64_t i);
