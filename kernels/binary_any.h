/* SPDX-License-Identifier: Apache-2.0 */
/* The plain C functions of one type, included once for each: T is the element, U the type in which
 * integers wrap (T for floats), NAME(f) the name of a function, FLOATS 1 for floats. */

static inline T NAME(one_add)(T a, T b) { return (T)((U)a + (U)b); }
static inline T NAME(one_sub)(T a, T b) { return (T)((U)a - (U)b); }
static inline T NAME(one_mul)(T a, T b) { return (T)((U)a * (U)b); }
static inline T NAME(one_prelu)(T a, T b) { return a < 0 ? (T)((U)a * (U)b) : a; }

#if FLOATS
static inline T NAME(one_min)(T a, T b) { return a < b || a != a ? a : b; }
static inline T NAME(one_max)(T a, T b) { return a > b || a != a ? a : b; }
static inline T NAME(one_div)(T a, T b) { return a / b; }

/* The exponents that models use, as the vector rows take them. */
static inline T NAME(one_pow)(T a, T b)
{
    if (b == 2)
        return a * a;
    if (b == 3)
        return a * a * a;
    if (b == -1)
        return 1 / a;
    if (b == (T)0.5)
        return a == -INFINITY ? INFINITY : M(sqrt)(a + 0);
    return M(pow)(a, b);
}
#else
static inline T NAME(one_min)(T a, T b) { return a < b ? a : b; }
static inline T NAME(one_max)(T a, T b) { return a > b ? a : b; }
static inline T NAME(one_div)(T a, T b)
{
    return b == 0 ? 0 : b == -1 ? (T)(0 - (U)a) : a / b;
}

static inline T NAME(one_pow)(T a, T b)
{
    U power = 1, square = (U)a;
    if (b < 0)
        return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    for (; b > 0; b >>= 1) {
        if (b & 1)
            power *= square;
        square *= square;
    }
    return (T)power;
}
#endif

/* f is a constant where this is inlined. */
static inline __attribute__((always_inline)) void
NAME(each)(T (*f)(T a, T b), const T *a, const T *b, unsigned scalar, T *y, size_t n)
{
    if (n == 0)
        return;
    const T a0 = *a, b0 = *b;
    if (scalar == 0) {
        for (size_t i = 0; i < n; i++)
            y[i] = f(a[i], b[i]);
    } else if (scalar == BINARY_A_SCALAR) {
        for (size_t i = 0; i < n; i++)
            y[i] = f(a0, b[i]);
    } else if (scalar == BINARY_B_SCALAR) {
        for (size_t i = 0; i < n; i++)
            y[i] = f(a[i], b0);
    } else {
        for (size_t i = 0; i < n; i++)
            y[i] = f(a0, b0);
    }
}

#define ROW(name)                                                                          \
    static void NAME(name)(const void *a, const void *b, unsigned scalar, void *y, size_t n) \
    {                                                                                      \
        NAME(each)(NAME(one_##name), a, b, scalar, y, n);                                  \
    }
ROW(add) ROW(sub) ROW(mul) ROW(div) ROW(min) ROW(max) ROW(pow) ROW(prelu)
#undef ROW

#undef T
#undef U
#undef M
#undef NAME
#undef FLOATS
