/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/fft.h"

#include <math.h>
#include <string.h>

/* Above this prime a convolution is cheaper than plain sums. */
enum { PRIME_MAX = 31 };

static const double pi = 3.14159265358979323846;

/* The factors of n into out (ends with 0); false if a prime is too large. */
static bool factor(int64_t n, int *out)
{
    static const int radices[] = {4, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31};
    int count = 0;
    for (size_t i = 0; i < sizeof radices / sizeof *radices; i++)
        while (n % radices[i] == 0) {
            out[count++] = radices[i];
            n /= radices[i];
        }
    out[count] = 0;
    return n == 1;
}

/* A power of two of at least 2n - 1. */
static int64_t convolution_length(int64_t n)
{
    int64_t m = 1;
    while (m < 2 * n - 1)
        m *= 2;
    return m;
}

bool fft_sizes(int64_t n, size_t *table, size_t *work)
{
    int factors[FFT_FACTORS];
    if (n < 1 || n > INT64_C(1) << 48)
        return false;
    if (factor(n, factors)) {
        *table = 2 * (size_t)n;
        *work = 2;
        return true;
    }
    size_t m = (size_t)convolution_length(n);
    *table = 2 * (size_t)n + 4 * m;
    *work = 4 * m;
    return true;
}

/* ---- mixed radices ---------------------------------------------------------------------------- */

struct complex {
    double re, im;
};

static inline struct complex times(struct complex a, struct complex b)
{
    return (struct complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
static inline struct complex plus(struct complex a, struct complex b)
{
    return (struct complex){a.re + b.re, a.im + b.im};
}
static inline struct complex minus(struct complex a, struct complex b)
{
    return (struct complex){a.re - b.re, a.im - b.im};
}
static inline struct complex scaled(struct complex a, double s)
{
    return (struct complex){a.re * s, a.im * s};
}
/* a * -i */
static inline struct complex turned(struct complex a)
{
    return (struct complex){a.im, -a.re};
}

/* Each of these joins p transforms of length m, one behind the other in x, into one of length p * m;
 * step is the table's stride for that length. */
static void join_2(struct complex *x, const struct complex *w, int64_t m, int64_t step)
{
    for (int64_t k = 0; k < m; k++) {
        struct complex a = x[k], b = times(x[m + k], w[k * step]);
        x[k] = plus(a, b);
        x[m + k] = minus(a, b);
    }
}

static void join_3(struct complex *x, const struct complex *w, int64_t m, int64_t step)
{
    const double sine = 0.86602540378443864676;
    for (int64_t k = 0; k < m; k++) {
        struct complex b = times(x[m + k], w[k * step]), c = times(x[2 * m + k], w[2 * k * step]);
        struct complex sum = plus(b, c), side = scaled(turned(minus(b, c)), sine);
        struct complex mid = minus(x[k], scaled(sum, 0.5));
        x[k] = plus(x[k], sum);
        x[m + k] = plus(mid, side);
        x[2 * m + k] = minus(mid, side);
    }
}

static void join_4(struct complex *x, const struct complex *w, int64_t m, int64_t step)
{
    for (int64_t k = 0; k < m; k++) {
        struct complex a = x[k], b = times(x[m + k], w[k * step]);
        struct complex c = times(x[2 * m + k], w[2 * k * step]), d = times(x[3 * m + k], w[3 * k * step]);
        struct complex ac = plus(a, c), bd = plus(b, d), a_c = minus(a, c), b_d = turned(minus(b, d));
        x[k] = plus(ac, bd);
        x[m + k] = plus(a_c, b_d);
        x[2 * m + k] = minus(ac, bd);
        x[3 * m + k] = minus(a_c, b_d);
    }
}

static void join_5(struct complex *x, const struct complex *w, int64_t m, int64_t step)
{
    const double c1 = 0.30901699437494742410, c2 = -0.80901699437494742410;
    const double s1 = 0.95105651629515357212, s2 = 0.58778525229247312917;
    for (int64_t k = 0; k < m; k++) {
        struct complex a = x[k];
        struct complex b = times(x[m + k], w[k * step]), e = times(x[4 * m + k], w[4 * k * step]);
        struct complex c = times(x[2 * m + k], w[2 * k * step]), d = times(x[3 * m + k], w[3 * k * step]);
        struct complex be = plus(b, e), cd = plus(c, d), b_e = turned(minus(b, e)), c_d = turned(minus(c, d));
        struct complex near = plus(a, plus(scaled(be, c1), scaled(cd, c2)));
        struct complex far = plus(a, plus(scaled(be, c2), scaled(cd, c1)));
        struct complex near_side = plus(scaled(b_e, s1), scaled(c_d, s2));
        struct complex far_side = minus(scaled(b_e, s2), scaled(c_d, s1));
        x[k] = plus(a, plus(be, cd));
        x[m + k] = plus(near, near_side);
        x[2 * m + k] = plus(far, far_side);
        x[3 * m + k] = minus(far, far_side);
        x[4 * m + k] = minus(near, near_side);
    }
}

static void join_prime(struct complex *x, const struct complex *w, int64_t m, int64_t step, int p)
{
    struct complex in[PRIME_MAX];
    for (int64_t k = 0; k < m; k++) {
        for (int q = 0; q < p; q++)
            in[q] = times(x[q * m + k], w[q * k * step]);
        for (int r = 0; r < p; r++) {
            struct complex sum = in[0];
            for (int q = 1; q < p; q++)
                sum = plus(sum, times(in[q], w[q * r % p * m * step]));
            x[r * m + k] = sum;
        }
    }
}

/* n numbers of `in`, `stride` apart, to out; the table is for n * step. */
static void transform(const struct complex *w, int64_t n, int64_t step, const int *factors,
                      const struct complex *in, int64_t stride, struct complex *out)
{
    int p = factors[0];
    if (n == 1) {
        *out = *in;
        return;
    }
    int64_t m = n / p;
    for (int q = 0; q < p; q++)
        transform(w, m, step * p, factors + 1, in + q * stride, stride * p, out + q * m);
    if (p == 2)
        join_2(out, w, m, step);
    else if (p == 3)
        join_3(out, w, m, step);
    else if (p == 4)
        join_4(out, w, m, step);
    else if (p == 5)
        join_5(out, w, m, step);
    else
        join_prime(out, w, m, step, p);
}

static void radix_run(const struct fft_radix *r, const double *in, double *out)
{
    transform((const struct complex *)r->w, r->n, 1, r->factors, (const struct complex *)in, 1,
              (struct complex *)out);
}

static void roots(double *w, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        double angle = 2 * pi * (double)k / (double)n;
        w[2 * k] = cos(angle);
        w[2 * k + 1] = -sin(angle);
    }
}

/* ---- any length ------------------------------------------------------------------------------- */

void fft_init(struct fft *f, int64_t n, double *table, double *work)
{
    *f = (struct fft){.n = n, .base.n = n, .base.w = table};
    if (factor(n, f->base.factors)) {
        roots(table, n);
        return;
    }
    int64_t m = convolution_length(n);
    double *chirp = table, *spectrum = table + 2 * n, *w = spectrum + 2 * m;
    f->base = (struct fft_radix){.n = m, .w = w};
    factor(m, f->base.factors);
    roots(w, m);
    /* k^2 modulo 2n, step by step, keeps the angle small and exact. */
    for (int64_t k = 0, square = 0; k < n; k++) {
        double angle = pi * (double)square / (double)n;
        chirp[2 * k] = cos(angle);
        chirp[2 * k + 1] = -sin(angle);
        square = (square + 2 * k + 1) % (2 * n);
    }
    memset(work, 0, 2 * (size_t)m * sizeof *work);
    for (int64_t k = 0; k < n; k++) {
        int64_t mirror = k ? m - k : 0;
        work[2 * k] = work[2 * mirror] = chirp[2 * k];
        work[2 * k + 1] = work[2 * mirror + 1] = -chirp[2 * k + 1];
    }
    radix_run(&f->base, work, spectrum);
    f->chirp = chirp;
    f->spectrum = spectrum;
}

/* The convolution: jk = (j^2 + k^2 - (k - j)^2) / 2. */
static void chirp_run(const struct fft *f, const double *in, double *out, double *work)
{
    int64_t n = f->n, m = f->base.n;
    struct complex *a = (struct complex *)work, *b = a + m, *o = (struct complex *)out;
    const struct complex *x = (const struct complex *)in, *c = (const struct complex *)f->chirp;
    const struct complex *s = (const struct complex *)f->spectrum;
    memset(a + n, 0, (size_t)(m - n) * sizeof *a);
    for (int64_t k = 0; k < n; k++)
        a[k] = times(x[k], c[k]);
    radix_run(&f->base, work, (double *)b);
    /* Back: swap the parts, transform, swap again, over m. */
    for (int64_t k = 0; k < m; k++) {
        struct complex v = times(b[k], s[k]);
        a[k] = (struct complex){v.im, v.re};
    }
    radix_run(&f->base, work, (double *)b);
    for (int64_t k = 0; k < n; k++)
        o[k] = scaled(times((struct complex){b[k].im, b[k].re}, c[k]), 1 / (double)m);
}

void fft_run(const struct fft *f, const double *in, double *out, double *work)
{
    if (f->chirp)
        chirp_run(f, in, out, work);
    else
        radix_run(&f->base, in, out);
}
