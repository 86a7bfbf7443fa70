/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/letters.h"

#include <utf8proc.h>

uint32_t letter_lower(uint32_t code)
{
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

uint32_t letter_upper(uint32_t code)
{
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)code);
}
