/* SPDX-License-Identifier: Apache-2.0 */
/* Every row of every kernel table, for listings. Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "kernels/cpu.h"

struct kernel_row {
    const char *family, *name;
    enum cpu_level level;
};

/* Row i in the order of the families; false past the end. */
bool kernel_row(size_t i, struct kernel_row *row);
