/* Multinomial and Dirichlet draws for the bootstrap and the noise floor. */
#ifndef EQ_EVAL_MULTINOMIAL_H
#define EQ_EVAL_MULTINOMIAL_H

#include "base/rng.h"

/* The number of successes in n trials of probability p in [0, 1], by inversion outwards from the mode: about
 * sqrt(n p (1 - p)) steps. */
int eq_binomial(eq_rng *rng, int n, double p);

/* counts: [k], n draws from p [k] (non-negative, sum 1). Classes with p = 0 get none. */
void eq_multinomial(eq_rng *rng, int n, const double *p, int k, int *counts);

/* p: [k], frequencies as they may be behind counts [k]: Dirichlet with the parameters counts + 1/2, the posterior under
 * Jeffreys' prior. Counts are non-negative and finite. */
void eq_dirichlet_posterior(eq_rng *rng, const double *counts, int k, double *p);

#endif
