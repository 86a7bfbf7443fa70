/* SPDX-License-Identifier: Apache-2.0 */
/* TensorProto to struct tensor: checked in every length, a view of the file where that is possible.
 *
 * Elements in raw_data, in a typed field or in external data; dims, type and length must agree
 * exactly. A view is made if the elements lie in the file as they lie in memory and aligned to
 * their size; it holds the file by its buffer (or, for a model in the caller's memory, borrows).
 * Everything else is copied: types narrower than a byte, varints, strings, booleans (which become 0
 * or 1). For one thread.
 */
#pragma once

#include "onnx/reader.h"

/* ERR_MODEL for what the file says wrongly, ERR_FILE for external data that cannot be opened. */
int onnx_tensor_read(struct onnx_source *s, const Onnx__TensorProto *p, struct tensor *out,
                     struct err *e) WARN_UNUSED;
/* A sparse tensor, made dense; at most ONNX_DENSE_MAX bytes. */
int onnx_sparse_read(struct onnx_source *s, const Onnx__SparseTensorProto *p, struct tensor *out,
                     struct err *e) WARN_UNUSED;
#define ONNX_DENSE_MAX ((size_t)1 << 30)

void onnx_externals_free(struct onnx_external *list);
