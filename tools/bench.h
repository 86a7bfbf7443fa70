/* SPDX-License-Identifier: Apache-2.0 */
/* infer-bench's subcommands, a file each: model is in bench.c. Main thread only. */
#pragma once

#include "tools/inputs.h"
#include "tools/opt.h"

/* argv[0] is the subcommand; the program's exit status. */
int bench_tune(int argc, char **argv);
int bench_kernel(int argc, char **argv);
extern const char bench_tune_usage[], bench_kernel_usage[];

/* A value for each input of m and a NULL, from a fixed seed; NULL with the error set. */
struct infer_value **bench_inputs(struct infer_model *m, const struct input_options *how, struct err *e);
void bench_inputs_free(struct infer_value **in);

/* Knobs of whatever loads a model, as rows of options. */
#define BENCH_KNOBS                                                                                      \
    {OPT_KNOB, "precision", "P", "f32"}, {OPT_KNOB, "device", "D", "cpu, fake or cuda[:N]"},             \
        {OPT_KNOB, "passes", "LIST", "graph passes to switch off or on: -cse,-identity or none"},        \
        {OPT_KNOB, "cpu", "LEVEL", "hide kernels above a level"},                                        \
        {OPT_KNOB, "memory", "BYTES", "limit on memory"},                                                \
        {OPT_KNOB, "tuning-cache", "FILE", "the tuning cache (infer/tuning.txt in the cache folder)"}
