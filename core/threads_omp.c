/* SPDX-License-Identifier: Apache-2.0 */
#include "core/threads_region.h"

#include <omp.h>

void region_run(int n, region_fn *fn, void *arg)
{
#pragma omp parallel num_threads(n)
    fn(arg, omp_get_thread_num(), omp_get_num_threads());
}
