/* SPDX-License-Identifier: Apache-2.0 */
/* The x86 rows of patch packing: see kernels/patch.h for the contract. */
#pragma once

#include "kernels/patch.h"

patch_pack_fn patch_pack_avx2, patch_pack_avx512;
