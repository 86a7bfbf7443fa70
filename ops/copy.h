/* SPDX-License-Identifier: Apache-2.0 */
/* infer.Copy: a tensor from the host to the model's device or back; put in by placement, done by the
 * executor with the device's copy function. */
#pragma once

#include "graph/op.h"

extern const struct op op_copy_to_device, op_copy_to_host;
