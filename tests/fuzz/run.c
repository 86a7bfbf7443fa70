/* SPDX-License-Identifier: Apache-2.0 */
/* Small executions of any model: inputs of small dims, 64 MB of memory, a tenth of a second. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "runtime/infer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PORTS = 16, ELEMENTS_MAX = 1 << 16 };

static struct infer_value *input(const struct infer_port *p)
{
    int64_t dims[INFER_RANK_MAX], count = 1;
    if (p->optional)
        return infer_value_none(NULL);
    if (p->kind == INFER_SEQUENCE)
        return infer_value_sequence(p->type, NULL);
    for (int k = 0; k < p->rank; k++) {
        dims[k] = p->dims[k] >= 0 ? p->dims[k] : 2;
        if (dims[k] && count > ELEMENTS_MAX / dims[k])
            return NULL;
        count *= dims[k];
    }
    struct infer_value *v = infer_value_new(p->type, p->rank < 0 ? 1 : p->rank,
                                            p->rank < 0 ? (const int64_t[]){3} : dims, NULL);
    /* Small integers and ordinary floats: 1 in the lowest byte of each element, or 1.0f's bytes. */
    uint8_t *bytes = v ? infer_value_data(v) : NULL;
    size_t step = infer_type_size(p->type), n = v ? infer_value_bytes(v) : 0;
    for (size_t i = 0; bytes && step && i < n; i += step)
        if (p->type == INFER_FLOAT)
            memcpy(bytes + i, &(float){1.0f + (float)(i / step % 5)}, sizeof(float));
        else
            bytes[i] = i / step % 2;
    return v;
}

static void execute(struct infer_model *m)
{
    struct infer_value *in[PORTS] = {0}, *out[PORTS] = {0};
    struct infer_run_options o = {.size = sizeof o, .timeout_ms = 100};
    struct infer_error e = {0};
    int n_in = infer_model_inputs(m), n_out = infer_model_outputs(m);
    if (n_in > PORTS || n_out > PORTS)
        return;
    for (int i = 0; i < n_in; i++)
        in[i] = input(infer_model_input(m, i));
    for (int k = 0; k < 2; k++) { /* the second run has a plan and a context */
        int rc = infer_run(m, (const struct infer_value *const *)in, n_in, out, n_out, &o, &e);
        if (rc < 0 && !*e.message)
            abort();
        for (int i = 0; i < n_out; i++) {
            if (rc == 0 && !out[i])
                abort();
            infer_value_free(out[i]);
            out[i] = NULL;
        }
    }
    for (int i = 0; i < n_in; i++)
        infer_value_free(in[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct infer_load_options o = {.size = sizeof o, .threads = 1, .timeout_ms = 500};
    budget_process_limit(64u << 20);
    struct infer_model *m = infer_model_load_memory(data, size, &o, NULL);
    if (m)
        execute(m);
    infer_model_free(m);
    return 0;
}
