/* SPDX-License-Identifier: Apache-2.0 */
/* The Arm rows of patch packing: see patch_pack_fn in kernels/patch.h for the contract. */
#pragma once

#include "kernels/patch.h"

patch_pack_fn patch_pack_neon;
