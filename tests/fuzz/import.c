/* SPDX-License-Identifier: Apache-2.0 */
/* Loading up to plans, on any bytes: import, shape inference, passes, folding. Reports are made,
 * too. */
#include <stdint.h>
#include <stdlib.h>

#include "core/mem.h"
#include "runtime/infer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const reports[] = {"describe", "check", "dot"};
    struct infer_load_options o = {.size = sizeof o, .threads = 1, .check = 1, .timeout_ms = 500};
    struct infer_error e = {0};
    budget_process_limit(64u << 20);
    size_t before = budget_process()->used;
    struct infer_model *m = infer_model_load_memory(data, size, &o, &e);
    if (!m && (e.code >= 0 || !*e.message))
        abort();
    for (size_t i = 0; m && i < sizeof reports / sizeof *reports; i++)
        infer_free(infer_model_text(m, reports[i], &e));
    infer_model_free(m);
    static unsigned long calls; /* the first one leaves what the process keeps */
    if (calls++ && budget_process()->used != before)
        abort();
    return 0;
}
