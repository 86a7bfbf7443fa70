/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/unary.h"

#include <math.h>

#define T float
#define M(function) function##f
#define NAME(f) f32_##f
#include "kernels/unary_any.h"
#undef T
#undef M
#undef NAME

#define T double
#define M(function) function
#define NAME(f) f64_##f
#include "kernels/unary_any.h"
#undef T
#undef M
#undef NAME

static const struct unary_f32_kernel unary_f32_c = {
    .name = "c",
    .level = CPU_C,
    .fn = {
#define UNARY(word, name, params) [UNARY_##word] = f32_##name,
#include "kernels/unary.def"
#undef UNARY
    },
};

const struct unary_f32_kernel *const unary_f32_kernels[] = {
    &unary_f32_c,
#if defined(__x86_64__)
    &unary_f32_avx2,
    &unary_f32_avx512,
#elif defined(__aarch64__)
    &unary_f32_neon,
#endif
};
const unsigned unary_f32_kernel_count = sizeof(unary_f32_kernels) / sizeof(*unary_f32_kernels);

static unary_f64_fn *const f64_fn[UNARY_COUNT] = {
#define UNARY(word, name, params) [UNARY_##word] = f64_##name,
#include "kernels/unary.def"
#undef UNARY
};

static const struct {
    const char *name;
    unsigned params;
} info[UNARY_COUNT] = {
#define UNARY(word, name, params) [UNARY_##word] = {#name, params},
#include "kernels/unary.def"
#undef UNARY
};

const char *unary_name(enum unary_op op)
{
    return info[op].name;
}

unsigned unary_params(enum unary_op op)
{
    return info[op].params;
}

unary_f32_fn *unary_f32_pick(enum unary_op op)
{
    for (unsigned i = unary_f32_kernel_count; i-- > 1;)
        if (cpu_has(unary_f32_kernels[i]->level) && unary_f32_kernels[i]->fn[op])
            return unary_f32_kernels[i]->fn[op];
    return unary_f32_c.fn[op];
}

unary_f64_fn *unary_f64_pick(enum unary_op op)
{
    return f64_fn[op];
}
