/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/device.h"

#include <string.h>

int device_open(const char *name, struct device **out, struct err *e)
{
    if (!name || !*name || strcmp(name, "cpu") == 0) {
        *out = &device_cpu;
        return 0;
    }
    if (strcmp(name, "fake") == 0) {
        *out = &device_fake;
        return 0;
    }
    if (strncmp(name, "cuda", 4) == 0 && (name[4] == 0 || name[4] == ':'))
        return err_set(e, ERR_DEVICE, "device '%s': this build has no CUDA module", name);
    return err_set(e, ERR_USAGE, "device '%s': expected cpu, fake or cuda[:N]", name);
}
