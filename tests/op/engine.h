/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's side of the operator tests: a row as a graph of one node, made ready and run.
 *
 * A subject is a loaded model made through graph/ instead of a file, without passes. It is made at
 * the CPU level of the moment and is for one thread. Failures are counted through CHECK();
 * functions then return NULL or false.
 */
#pragma once

#include "tests/op/op_test.h"

/* What the graph knows of the dims of run-time inputs. */
enum op_dims { DIMS_NUMBERS, DIMS_BATCH, DIMS_FRESH, DIMS_UNKNOWN, DIMS_KINDS };

struct subject;

/* `constants`: bit i makes input i one. `middle`: the node's values are planned memory on both
 * sides. */
struct subject *subject_new(const struct op_run *r, enum op_dims dims, uint64_t constants,
                            bool middle, const char *what);
void subject_free(struct subject *s);
/* Run on these inputs (those that are constants are not read); out are new references. */
bool subject_run(struct subject *s, const struct op_run *r, int threads, struct value *out);
/* The node by itself, through node_run_alone. */
bool subject_alone(struct subject *s, const struct op_run *r, struct value *out);
/* What was inferred at load, evaluated at the dims of r, is what came out; and what inference on
 * numbers finds is. */
bool subject_facts(struct subject *s, const struct op_run *r, const struct value *out);
