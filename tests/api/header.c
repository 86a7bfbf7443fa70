/* SPDX-License-Identifier: Apache-2.0 */
/* infer.h alone, first and twice, in strict C11: it must bring what it needs and nothing that
 * clashes. */
#include "infer.h"

#include "infer.h"

int main(void)
{
    struct infer_load_options load = {sizeof load};
    struct infer_run_options run = {sizeof run};
    struct infer_error e = {0};
    return load.threads + run.timeout_ms + e.code + INFER_OK;
}
