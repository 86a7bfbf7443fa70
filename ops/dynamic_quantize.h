/* SPDX-License-Identifier: Apache-2.0 */
/* A tensor as 256 steps between its least and its largest number: what DynamicQuantizeLinear and
 * the operators that contain it share. For ops/ only; the leader of a call. */
#pragma once

#include "graph/op.h"
#include "ops/quant.h"

/* Bytes of scratch for n elements. */
size_t dynamic_quantize_scratch(int64_t n);
/* The steps of n elements of x, and the elements as them (y NULL: not wanted). */
int dynamic_quantize(struct call *c, const float *x, int64_t n, void *scratch, uint8_t *y,
                     struct quant_step *step, struct err *e) WARN_UNUSED;
