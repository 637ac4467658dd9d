/* How sure a measured distribution is: confidence intervals, goodness of fit, and the distance from the target that
 * chance alone would give. All random numbers are keyed by constants: the same input gives the same output. */
#ifndef EQ_EVAL_INTERVALS_H
#define EQ_EVAL_INTERVALS_H

#include "base/error.h"
#include "equipoise/evaluate.h"

/* Wilson's score interval of a proportion, z = 1.96 (Wilson, JASA 22, 1927):
 *     (f + z^2/2n -+ z sqrt(f (1 - f)/n + z^2/4n^2)) / (1 + z^2/n),  f = count / n, n >= 1. */
eq_estimate eq_wilson(int count, int n);

/* The regularised upper incomplete gamma function Q(a, x) = Gamma(a, x) / Gamma(a), a > 0, x >= 0: by the series DLMF
 * 8.7.1 for x < a + 1, else by the continued fraction DLMF 8.9.2. Relative error about 1e-12. */
double eq_gamma_q(double a, double x);

/* Pearson's goodness-of-fit test: the probability that n images drawn from q [k] deviate from it as much as counts [k]
 * or more, Q(df/2, X^2/2) with X^2 = sum (counts - n q)^2 / (n q) and df one less than the classes with q > 0. 0 if
 * there is an image in a class with q = 0. An approximation, to be trusted where n q >= 5 in each class. */
double eq_chi2_test(const int *counts, const double *q, int k);

/* The k-th smallest of values such that a share p of them is not larger (nearest rank). Sorts values [n]; n >= 1. */
double eq_percentile(double *values, int n, double p);

/* q: [k], sums to 1; n >= 1. Exact up to 200,000 outcomes, i.e. for any two classes up to that n, for three up to
 * n = 630. */
eq_status eq_fd_noise_floor(eq_context *ctx, const double *q, int k, int n, eq_noise_floor *out);

/* counts: [k] of at least one image, q: [k]. */
eq_status eq_bootstrap_distances(eq_context *ctx, const int *counts, const double *q, int k, eq_distances *out);

/* What is computed from the mean row, mean: [k]. */
typedef double (*eq_statistic)(const double *mean, int k, const void *user);

/* A statistic of the mean of rows [n, k], n >= 1, with its percentile interval over 2,000 resamples of the rows. */
eq_status eq_bootstrap_mean(eq_context *ctx, const double *rows, int n, int k, eq_statistic statistic, const void *user,
                            eq_estimate *out);

#endif
