/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups: the folders that hold this process's limits, under version 1 or 2.
 *
 * Groups nest, and every one above ours binds too, so a limit is the least of all those visited.
 * Where the paths in /proc/self/cgroup are not visible (a container's own namespace) the mount's
 * root is. Allocates nothing; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Called with each folder of the process's group, from its own up to the mount's root. */
typedef void cgroup_visit_fn(void *arg, const char *folder, bool v2);

/* Visit the folders of `controller` ("memory", "cpu"), those of version 2 and of version 1. */
void cgroup_visit(const char *controller, cgroup_visit_fn *fn, void *arg);

/* The first number or two of "folder/file"; "max" reads as INT64_MAX. Returns how many were read.
 */
int cgroup_read(const char *folder, const char *file, int64_t out[2]);
