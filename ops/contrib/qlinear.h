/* SPDX-License-Identifier: Apache-2.0 */
/* What com.microsoft's QLinear operators share: tensors of bytes with one scale and one zero
 * point each, value = (byte - zero) * scale, and back with one rounding to even. For ops/ only;
 * pure functions, any thread.
 */
#pragma once

#include "ops/common.h"
#include "ops/quant.h"

#define DT_BYTES (DT(U8) | DT(I8))

struct qlinear {
    float scale, zero;
    bool is_signed;
};

/* Inputs `scale` (float) and `zero` (of the type of input `like`, which holds bytes; may be
 * absent) have one element each, as far as it is known. */
int qlinear_infer(struct infer *c, int like, int scale, int zero, struct err *e) WARN_UNUSED;
/* Them at run time. */
int qlinear_read(const struct call *c, int like, int scale, int zero, struct qlinear *q,
                 struct err *e) WARN_UNUSED;

/* A copy of c that sees the inputs which[0], which[1], ... only, for the infer of another
 * operator; its `late` is to be handed back. `in` has n entries. */
struct infer qlinear_pick(const struct infer *c, const int *which, int n, const struct fact **in);

/* Elements of bytes as integers; values; and values back as bytes. */
static inline int qlinear_int(const struct qlinear *q, uint8_t byte)
{
    return q->is_signed ? (int8_t)byte : byte;
}
static inline float qlinear_value(const struct qlinear *q, uint8_t byte)
{
    return ((float)qlinear_int(q, byte) - q->zero) * q->scale;
}
static inline struct quant_range qlinear_range(const struct qlinear *q)
{
    return q->is_signed ? (struct quant_range){-128, 127} : (struct quant_range){0, 255};
}
static inline uint8_t qlinear_byte(const struct qlinear *q, float value)
{
    return (uint8_t)(int)quant_round(value / q->scale, q->zero, qlinear_range(q));
}
/* n bytes less the zero point, as f32. */
void qlinear_load(const struct qlinear *q, const uint8_t *bytes, int64_t n, float *out);
/* What each byte of x becomes as a byte of y. */
void qlinear_table(const struct qlinear *x, const struct qlinear *y, uint8_t table[256]);
