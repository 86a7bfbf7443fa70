/* SPDX-License-Identifier: Apache-2.0 */
/* The random numbers of the operators that draw: the generator is a function of (seed, index),
 * namely the output function of SplitMix64 (Steele, Lea, Flood 2014) at seed + (index + 1) *
 * golden ratio, so element i is the same whatever the task and the thread. A node with a seed
 * draws the same numbers at every run; a node without draws others each time. Pure functions but
 * for random_seed(); any thread.
 */
#pragma once

#include <stdint.h>

/* A seed for this call: from the attribute if it is there (not NaN), else from the clock and a
 * count. */
uint64_t random_seed(float attribute);
/* The same for an integer attribute, ATTR_ABSENT if there is none. */
uint64_t random_seed_int(int64_t attribute);

static inline uint64_t random_bits(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* Uniform in [0, 1), a multiple of 2^-53. */
static inline double random_uniform(uint64_t seed, uint64_t index)
{
    return (double)(random_bits(seed, index) >> 11) * 0x1p-53;
}

/* Uniform in [0, 1), a multiple of 2^-24: exact in f32. */
static inline float random_uniform_f32(uint64_t seed, uint64_t index)
{
    return (float)(random_bits(seed, index) >> 40) * 0x1p-24f;
}
