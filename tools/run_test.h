/* SPDX-License-Identifier: Apache-2.0 */
/* infer-run --test: data sets in ONNX's layout, input_N.pb and output_N.pb. */
#pragma once

#include <stdbool.h>

#include "tools/compare.h"

/* Run every data set under dir (dir/test_data_set_N, or dir itself) and compare. Prints a line a set unless
 * quiet. ERR_COMPARE if one differs, ERR_INPUT if there is none. */
int run_tests(struct infer_model *m, const char *dir, const struct compare *c, int timeout_ms, bool quiet,
              struct err *e) WARN_UNUSED;
