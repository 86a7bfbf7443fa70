/* SPDX-License-Identifier: Apache-2.0 */
/* The wire pass and the reader, on any bytes: as a model, as a tensor. Whatever is read must have
 * consistent sizes, and all memory must be given back. */
#include <stdint.h>
#include <stdlib.h>

#include "onnx/reader.h"
#include "onnx/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tensors(struct onnx_model *m)
{
    const Onnx__GraphProto *g = m->proto->graph;
    for (size_t i = 0; i < g->n_initializer; i++) {
        struct tensor t = {0};
        struct err e = {0};
        if (onnx_tensor_read(&m->source, g->initializer[i], &t, &e) == 0) {
            volatile uint8_t sum = 0;
            for (size_t k = 0; t.dtype != DTYPE_STRING && k < tensor_bytes(&t); k++)
                sum += ((const uint8_t *)t.data)[k];
            tensor_clear(&t);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget b;
    struct err e = {0};
    struct wire w = {0};
    budget_init(&b, 64u << 20, NULL);
    for (int root = WIRE_MODEL; root < WIRE_COUNT; root += 3) {
        err_clear(&e);
        if (wire_reduce(&w, &b, root, data, size, &e) == 0)
            wire_clear(&w);
    }
    err_clear(&e);
    struct onnx_model *m = onnx_open_memory(&b, data, size, NULL, &e);
    if (m)
        read_tensors(m);
    onnx_close(m);
    if (b.used)
        abort();
    return 0;
}
