/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: one table, and exact conversions of the narrow floating-point types.
 *
 * In memory every element takes dtype_size() bytes: types narrower than a byte (int4, uint4, int2,
 * uint2, float4, float6) take one byte an element, sign-extended where signed, and are packed in files
 * only. A string element is a struct str. Pure functions, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
#define DTYPE(word, number, name, bits, kind, npy) DTYPE_##word = number,
#include "core/dtype.def"
#undef DTYPE
    DTYPE_COUNT,
};

/* A string element: bytes (any, not terminated) owned by the tensor's buffer or one that it keeps. */
struct str {
    const char *data;
    size_t size;
};

const char *dtype_name(enum dtype t);     /* "float", "int64", ... "?" if out of range */
enum dtype dtype_find(const char *name);  /* DTYPE_NONE if unknown */
bool dtype_valid(int64_t number);         /* a number of the table other than 0 */
size_t dtype_size(enum dtype t);          /* bytes an element in memory; 0 for none */
unsigned dtype_bits(enum dtype t);        /* bits an element in files; 0 for strings */
char dtype_kind(enum dtype t);            /* F I U B S C N, as in dtype.def */
const char *dtype_npy(enum dtype t);      /* numpy typestr, "" if numpy has none */
static inline bool dtype_is_float(enum dtype t) { return dtype_kind(t) == 'F'; }
static inline bool dtype_is_int(enum dtype t) { return dtype_kind(t) == 'I' || dtype_kind(t) == 'U'; }

/* Exact widening to f32, and narrowing with one rounding to nearest even. `saturate` is ONNX's
 * attribute of Cast and QuantizeLinear for the float8 types; float4, float6 always saturate;
 * float8e8m0 rounds up by default as Cast's round_mode "up" has it. */
float dtype_f16_to_f32(uint16_t h);
uint16_t dtype_f32_to_f16(float f);
float dtype_bf16_to_f32(uint16_t h);
uint16_t dtype_f32_to_bf16(float f);
float dtype_f8_to_f32(enum dtype t, uint8_t v);            /* any float of at most 8 bits */
uint8_t dtype_f32_to_f8(enum dtype t, float f, bool saturate);
/* The other modes of a Cast to float8e8m0; the sign is ignored (ONNX leaves negative values open). */
enum e8m0_round { E8M0_UP, E8M0_DOWN, E8M0_NEAREST };
uint8_t dtype_f32_to_e8m0(float f, enum e8m0_round round, bool saturate);

/* One element read or written as double or int64 (real types; bool is 0 or 1). Stores round to
 * nearest even once (f64 to f16 does not round twice) and saturate for narrow floats; integer stores
 * wrap like a C conversion through int64. For reference paths, not for kernels. */
double dtype_load_f64(enum dtype t, const void *p);
void dtype_store_f64(enum dtype t, void *p, double v);
int64_t dtype_load_i64(enum dtype t, const void *p);
void dtype_store_i64(enum dtype t, void *p, int64_t v);

/* Packed (file) form from and to memory form, for types narrower than a byte: elements fill a byte
 * from its low bits up; float6 runs over byte ends. Returns the packed bytes of n elements. */
size_t dtype_packed_bytes(enum dtype t, size_t n);
void dtype_unpack(enum dtype t, const uint8_t *packed, uint8_t *out, size_t n);
void dtype_pack(enum dtype t, const uint8_t *in, uint8_t *packed, size_t n);
