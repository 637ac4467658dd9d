/* Multinomial draws for the bootstrap and the noise floor. */
#ifndef EQ_EVAL_MULTINOMIAL_H
#define EQ_EVAL_MULTINOMIAL_H

#include "base/rng.h"

/* The number of successes in n trials of probability p in [0, 1], by inversion outwards from the mode: about
 * sqrt(n p (1 - p)) steps. */
int eq_binomial(eq_rng *rng, int n, double p);

/* counts: [k], n draws from p [k] (non-negative, sum 1). Classes with p = 0 get none. */
void eq_multinomial(eq_rng *rng, int n, const double *p, int k, int *counts);

#endif
