/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/letters.h"

uint32_t letter_lower(uint32_t code)
{
    return code >= 'A' && code <= 'Z' ? code + 32 : code;
}

uint32_t letter_upper(uint32_t code)
{
    return code >= 'a' && code <= 'z' ? code - 32 : code;
}
