/* SPDX-License-Identifier: Apache-2.0 */
/* External data: where a tensor's elements lie in another file of the model's folder. Each file is
 * opened once a model and stays in the source's list. For one thread. */
#pragma once

#include "onnx/reader.h"

/* The file, opened, and the range of `bytes` bytes in it, checked against the file's size. The
 * reference is the source's. */
int onnx_external_find(struct onnx_source *s, const Onnx__TensorProto *p, size_t bytes,
                       struct file **file, size_t *offset, struct err *e) WARN_UNUSED;
