/* SPDX-License-Identifier: Apache-2.0 */
/* Values from and to .pb files: TensorProto, SequenceProto, MapProto, OptionalProto.
 *
 * Which message a file holds it does not say; whoever knows the value's type does. DATA_GUESS tries
 * one after the other: what parses as a tensor is hardly ever anything else, but a sequence of one
 * tensor and an optional tensor have the same bytes (the sequence wins). What is read is the
 * caller's own, except that large tensors may be views of the file, which they hold. What is wrong
 * is ERR_INPUT. Any thread.
 */
#pragma once

#include "core/tensor.h"

enum data_message { DATA_GUESS, DATA_TENSOR, DATA_SEQUENCE, DATA_MAP, DATA_OPTIONAL };

/* The name that the message carries goes to `name` (at most name_size bytes with the NUL; "" if it
 * has none; NULL: not wanted). An optional without a value gives VALUE_NONE. */
int data_read(struct value *out, struct budget *b, const char *path, enum data_message as,
              char *name, size_t name_size, struct err *e) WARN_UNUSED;
/* From memory, which need not stay. */
int data_parse(struct value *out, struct budget *b, const void *data, size_t size,
               enum data_message as, char *name, size_t name_size, struct err *e) WARN_UNUSED;

/* The message of a value, mem_alloc'd: a tensor, a sequence, a map, or an empty optional;
 * `optional` wraps it into one. */
int data_format(const struct value *v, const char *name, bool optional, struct budget *b,
                uint8_t **out, size_t *size, struct err *e) WARN_UNUSED;
int data_write(const struct value *v, const char *name, bool optional, const char *path,
               struct err *e) WARN_UNUSED;

/* The message of a tensor, built in the arena around the tensor's own elements (a copy only where a
 * type narrower than a byte is packed). */
struct Onnx__TensorProto;
int data_tensor_message(struct arena *a, const struct tensor *t, const char *name,
                        struct Onnx__TensorProto **out, struct err *e) WARN_UNUSED;
