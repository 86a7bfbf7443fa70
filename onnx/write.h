/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as an ONNX file that other programs can read.
 *
 * Every node is written in the version of its operator set that the source file imports: attributes
 * that newer versions made inputs are attributes again where that version had them. What that
 * version cannot say (a node of a function that imported another version, say) becomes a call of a
 * function of the file's own, which imports the version it needs. Our own operators are written as
 * ONNX's. Weights lie in the file, or beside it in "<name>.data", each at a multiple of
 * ONNX_DATA_ALIGN. The graph is only read; one thread.
 */
#pragma once

#include "graph/graph.h"
#include "onnx/reader.h"

enum { ONNX_DATA_ALIGN = 4096 };
/* Above so many bytes of weights they never lie in the file itself (a protobuf message may have 2 GiB). */
#define ONNX_INLINE_MAX ((uint64_t)1 << 30)

/* `source` gives the operator sets and the metadata. Nothing is left behind on failure. */
int onnx_write(const struct graph *main, const struct onnx_model *source, const char *path,
               bool external, struct err *e) WARN_UNUSED;
