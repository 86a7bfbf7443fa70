/* SPDX-License-Identifier: Apache-2.0 */
/* Upper and lower case of a character, one to one, by Unicode's simple rules (utf8proc); ASCII letters only
 * in builds without it. Pure, any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t letter_lower(uint32_t code);
uint32_t letter_upper(uint32_t code);
