/* SPDX-License-Identifier: Apache-2.0 */
/* Resampling along one axis: which places of the input, with which weights, make a place of the
 * output. Resize does one axis after the other; nearest moves elements through the indices alone.
 * For ops/ only; pure functions, any thread.
 */
#pragma once

#include "ops/common.h"

enum resample_filter { RESAMPLE_NEAREST, RESAMPLE_LINEAR, RESAMPLE_CUBIC };

/* coordinate_transformation_mode; the first is that of the versions without the attribute. */
enum resample_coord {
    COORD_ASYMMETRIC,
    COORD_HALF_PIXEL,
    COORD_HALF_PIXEL_SYMMETRIC,
    COORD_PYTORCH_HALF_PIXEL,
    COORD_ALIGN_CORNERS,
    COORD_TF_CROP,
    COORD_TF_HALF_PIXEL_NN,
};

/* nearest_mode; the last is that of the versions without it: up where the scale is below 1, else
 * down. */
enum resample_nearest {
    NEAREST_HALF_DOWN,
    NEAREST_HALF_UP,
    NEAREST_FLOOR,
    NEAREST_CEIL,
    NEAREST_SIMPLE
};

struct resample {
    enum resample_filter filter;
    enum resample_coord coord;
    enum resample_nearest nearest;
    bool antialias, exclude_outside;
    double cubic_a;
};

struct resample_axis {
    int64_t in, out;
    double scale, width; /* width is in * scale, of which out is the whole part */
    double start, end;   /* of the region of interest, 0 and 1 */
    int64_t taps;
    int64_t *index; /* out * taps places of the input; -1 first: the extrapolation value */
    double *weight; /* as many; not for nearest */
};

/* The axis stays as it is. */
bool resample_same(const struct resample *r, const struct resample_axis *a);
/* Weights for a place of the output. */
int64_t resample_taps(const struct resample *r, const struct resample_axis *a);
/* Fill index and weight, which have room. */
void resample_table(const struct resample *r, const struct resample_axis *a);
/* in [outer, a->in, inner] to out [outer, a->out, inner]: units [first, last) of outer * a->out
 * runs of `inner` elements. Sums go in the order of the taps, in the elements' type. */
void resample_f32(const struct resample_axis *a, const float *in, float *out, int64_t inner,
                  float extrapolation, int64_t first, int64_t last);
void resample_f64(const struct resample_axis *a, const double *in, double *out, int64_t inner,
                  double extrapolation, int64_t first, int64_t last);
