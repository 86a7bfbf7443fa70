/* SPDX-License-Identifier: Apache-2.0 */
/* Traces: what ran when, written in the trace event format that Chrome and Perfetto open.
 *
 * A struct trace collects spans from any thread (a lock inside; it is on only when asked for) and is
 * written as JSON at the end. A NULL trace is off: callers test the pointer once.
 */
#pragma once

#include <stdint.h>

#include "core/err.h"
#include "core/mem.h"

struct trace;

struct trace *trace_new(struct budget *b, struct err *e) WARN_UNUSED;
void trace_free(struct trace *t);
/* A span on thread `member`, times of clock_ns(); name, category and detail are copied (detail may be
 * NULL). A span that finds no memory is counted as lost. */
void trace_span(struct trace *t, const char *name, const char *category, int member, int64_t begin,
                int64_t end, const char *detail);
int trace_write(const struct trace *t, const char *path, struct err *e) WARN_UNUSED;
