/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/binary.h"

#include <math.h>

#define T float
#define U float
#define M(function) function##f
#define NAME(f) f32_##f
#define FLOATS 1
#include "kernels/binary_any.h"

#define T double
#define U double
#define M(function) function
#define NAME(f) f64_##f
#define FLOATS 1
#include "kernels/binary_any.h"

#define T int32_t
#define U uint32_t
#define NAME(f) i32_##f
#define FLOATS 0
#include "kernels/binary_any.h"

#define T int64_t
#define U uint64_t
#define NAME(f) i64_##f
#define FLOATS 0
#include "kernels/binary_any.h"

#define ROWS(type)                                                                             \
    {                                                                                          \
        [BINARY_ADD] = type##_add, [BINARY_SUB] = type##_sub, [BINARY_MUL] = type##_mul,       \
        [BINARY_DIV] = type##_div, [BINARY_MIN] = type##_min, [BINARY_MAX] = type##_max,       \
        [BINARY_POW] = type##_pow, [BINARY_PRELU] = type##_prelu,                              \
    }

static const struct binary_f32_kernel binary_f32_c = {
    .name = "c",
    .level = CPU_C,
    .fn = ROWS(f32),
};

const struct binary_f32_kernel *const binary_f32_kernels[] = {
    &binary_f32_c,
#if defined(__x86_64__)
    &binary_f32_avx2,
    &binary_f32_avx512,
#elif defined(__aarch64__)
    &binary_f32_neon,
#endif
};
const unsigned binary_f32_kernel_count = sizeof(binary_f32_kernels) / sizeof(*binary_f32_kernels);

static binary_fn *const f64_fn[BINARY_COUNT] = ROWS(f64);
static binary_fn *const i32_fn[BINARY_COUNT] = ROWS(i32);
static binary_fn *const i64_fn[BINARY_COUNT] = ROWS(i64);

const char *binary_name(enum binary_op op)
{
    static const char *const names[BINARY_COUNT] = {
        [BINARY_ADD] = "add", [BINARY_SUB] = "sub", [BINARY_MUL] = "mul", [BINARY_DIV] = "div",
        [BINARY_MIN] = "min", [BINARY_MAX] = "max", [BINARY_POW] = "pow",
        [BINARY_PRELU] = "prelu",
    };
    return names[op];
}

binary_fn *binary_f32_pick(enum binary_op op)
{
    for (unsigned i = binary_f32_kernel_count; i-- > 1;)
        if (cpu_has(binary_f32_kernels[i]->level) && binary_f32_kernels[i]->fn[op])
            return binary_f32_kernels[i]->fn[op];
    return binary_f32_c.fn[op];
}

binary_fn *binary_f64_pick(enum binary_op op)
{
    return f64_fn[op];
}

binary_fn *binary_i32_pick(enum binary_op op)
{
    return i32_fn[op];
}

binary_fn *binary_i64_pick(enum binary_op op)
{
    return i64_fn[op];
}

struct run {
    binary_fn *fn;
};

static void run_on(void *arg, const void *const *in, unsigned scalar, void *out, size_t n)
{
    const struct run *r = arg;
    r->fn(in[0], in[1], scalar, out, n);
}

void binary_broadcast(const struct broadcast *shape, binary_fn *fn, const void *a, const void *b,
                      void *y, size_t begin, size_t end)
{
    const void *const in[] = {a, b};
    struct run r = {fn};
    broadcast_run(shape, in, y, begin, end, run_on, &r);
}
