/* The Frechet distance between two sets of feature vectors. */
#ifndef EQ_EVAL_FRECHET_H
#define EQ_EVAL_FRECHET_H

#include <stdint.h>

#include "base/error.h"

enum { EQ_FEATURES_MAX = 16384 };

/* Mean and scatter of feature vectors that arrive in any number of pieces; memory O(d^2), whatever their number.
 * Made by eq_moments_new, freed by eq_moments_free. */
typedef struct eq_moments {
    int d;
    int64_t n;
    double *mean;    /* [d], owned */
    double *scatter; /* [d, d] sum (x - mean)(x - mean)^T, lower triangle, owned */
    double *rows;    /* scratch, owned */
} eq_moments;

/* d in 1..EQ_FEATURES_MAX. */
eq_status eq_moments_new(eq_context *ctx, int d, eq_moments *out);
void eq_moments_free(eq_moments *moments);

/* features: [n, d]. Pairwise update of Chan, Golub and LeVeque (1979), in double precision. EQ_BAD_INPUT for a value
 * that is not finite; the vectors before it, in whole pieces, may have been added then. */
eq_status eq_moments_add(eq_context *ctx, eq_moments *moments, const float *features, int n);

/* |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2), the squared Wasserstein-2 distance of the Gaussians with these
 * means and covariances (Dowson and Landau, 1982; as FID, Heusel et al., 2017), covariances over n - 1.
 *
 * The trace of the root is the sum of the singular values of S1^1/2 S2^1/2, which costs no precision when the
 * covariances are singular, as the eigenvalues of S1 S2 would. Biased upward for few vectors: compare sets of the same
 * size only. EQ_BAD_USAGE unless both have the same d and at least two vectors. */
eq_status eq_frechet_distance(eq_context *ctx, const eq_moments *a, const eq_moments *b, double *distance);

#endif
