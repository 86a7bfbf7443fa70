/* SPDX-License-Identifier: Apache-2.0 */
/* The discrete Fourier transform of one complex signal of any length, in double.
 *
 *     out[k] = sum over j of in[j] * exp(-2 pi i j k / n)
 *
 * Lengths whose prime factors are small go through mixed radices (4, 2, 3, 5, then plain sums for a
 * prime); others are a convolution of a power-of-two length (Bluestein). An inverse is the forward
 * transform with real and imaginary parts swapped on both sides, over n. Complex numbers are adjacent
 * pairs. A struct fft points into memory that the caller owns and may be read by any number of threads;
 * each fft_run() needs work space of its own. A result depends on the signal and n alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FFT_FACTORS = 64 };

struct fft_radix {
    int64_t n;
    int factors[FFT_FACTORS];
    const double *w; /* exp(-2 pi i k / n), k < n */
};

struct fft {
    struct fft_radix base;  /* of length n, or of the convolution */
    int64_t n;
    const double *chirp;    /* Bluestein: exp(-pi i k^2 / n); NULL: base does all */
    const double *spectrum; /* of the conjugate chirp, over the convolution's length */
};

/* Doubles of table memory, and of work space a thread; false on overflow. n is at least 1. */
bool fft_sizes(int64_t n, size_t *table, size_t *work);
/* work: space as fft_run() needs it, free again afterwards. */
void fft_init(struct fft *f, int64_t n, double *table, double *work);
/* in and out are n complex numbers and do not overlap. */
void fft_run(const struct fft *f, const double *in, double *out, double *work);
