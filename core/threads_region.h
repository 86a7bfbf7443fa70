/* SPDX-License-Identifier: Apache-2.0 */
/* Regions: how core/threads gets its threads, and nothing else. One of threads_omp.c and
 * threads_pthread.c is built. */
#pragma once

/* Called on each thread of a region: index 0 is the caller; size is what the system gave, 1 to n.
 */
typedef void region_fn(void *arg, int index, int size);

/* Run fn on at most n threads at once and return when all have returned. */
void region_run(int n, region_fn *fn, void *arg);
