/* SPDX-License-Identifier: Apache-2.0 */
/* What operators of two broadcast operands share: the shapes of ONNX's modern rule and of the one
 * before opset 7, the types in which they compute, and the contents of small integer tensors. For
 * ops/ only; pure functions, any thread.
 */
#pragma once

#include "kernels/broadcast.h"
#include "ops/span.h"

/* The attributes of versions below 7: with `broadcast`, B's dims are A's from `axis` on (at its
 * end if axis is ATTR_ABSENT), or B is one element. Structures of operators begin with it. */
struct pair_attrs {
    int64_t axis, broadcast;
};
#define PAIR_ATTR_ROWS                                                                             \
    {"axis", ATTR_INT, offsetof(struct pair_attrs, axis), .until = 6, .i = ATTR_ABSENT},           \
    {"broadcast", ATTR_INT, offsetof(struct pair_attrs, broadcast), .until = 6},                   \
    {"consumed_inputs", ATTR_INTS, .until = 5, .ignore = true}

/* Output 0 is of this dtype and has the dims that inputs 0 and 1 broadcast to. */
int pair_infer(struct infer *c, enum dtype dtype, const struct pair_attrs *legacy,
               struct err *e) WARN_UNUSED;
/* The same at run time, as a loop. */
int pair_broadcast(const struct call *c, const struct pair_attrs *legacy, struct broadcast *b,
                   struct err *e) WARN_UNUSED;

/* The shape of a tensor, and output 0's loop over inputs [first, first + count), count <= 3. */
struct broadcast_shape tensor_shape(const struct tensor *t);
int call_broadcast(const struct call *c, int first, int count, struct broadcast *b,
                   struct err *e) WARN_UNUSED;

/* One element of a result from one of each operand: maybe SYM_UNKNOWN. */
typedef int64_t elem_fn(struct syms *s, int64_t a, int64_t b);

/* Where both operands' contents are known, at most one-dimensional, and the output is int64, int32
 * or bool: its contents. */
void pair_elems(struct infer *c, enum dtype dtype, elem_fn *fn);
/* The same on lists: a of n_a and b of n_b to out (FACT_ELEMS_MAX); the count, -1 if they do not
 * fit. */
int64_t elems_combine(struct syms *s, enum dtype dtype, const int64_t *a, int64_t n_a,
                      const int64_t *b, int64_t n_b, elem_fn *fn, int64_t *out);

/* The type in which elements of any of two dtypes are computed: f64, f32, i64; u64 stays itself. */
enum dtype wide_dtype(enum dtype a, enum dtype b);
/* n elements of a real dtype as their wide type, and back (narrowing as elems_from_ does). */
union wide_chunk {
    float f32[CHUNK_ELEMS];
    double f64[CHUNK_ELEMS];
    int64_t i64[CHUNK_ELEMS];
};
void wide_load(enum dtype wide, enum dtype dtype, const void *p, int64_t n, union wide_chunk *out);
void wide_store(enum dtype wide, enum dtype dtype, void *p, int64_t n, const union wide_chunk *in);
