/* Whether two measurements differ by more than chance explains. */
#ifndef EQ_EVAL_NOISE_H
#define EQ_EVAL_NOISE_H

#include <stdbool.h>

#include "base/error.h"
#include "equipoise/evaluate.h"

/* The difference a - b of independent estimates with its 95% interval, recovered from theirs:
 *     low = a - b - sqrt((a - a.low)^2 + (b.high - b)^2),  high = a - b + sqrt((a.high - a)^2 + (b - b.low)^2)
 * (MOVER: Zou and Donner, Statistics in Medicine 27, 2008; for shares with Wilson intervals Newcombe's method 10,
 * Statistics in Medicine 17, 1998). An interval that does not hold its value, as the bootstrap's near a bound, counts
 * as reaching to it. Sets that share seeds or a reference are correlated, which makes the interval too wide rather than
 * too narrow. */
eq_estimate eq_difference(eq_estimate a, eq_estimate b);

/* Whether the interval of the difference holds 0, or one of the values is not finite. */
bool eq_inside_noise(eq_estimate a, eq_estimate b);

/* The mean of independent estimates, its interval by the same rule: half-widths sqrt(sum w^2) / count. count >= 1. */
eq_estimate eq_estimate_mean(const eq_estimate *estimates, int count);

/* A statistic of the rows of a set but those first..first + n - 1. */
typedef eq_status (*eq_left_out)(void *user, int first, int n, double *out);

enum { EQ_JACKKNIFE_GROUPS = 20 };

/* The statistic of n rows, n >= 2, with its interval by the delete-a-group jackknife over min(n, EQ_JACKKNIFE_GROUPS)
 * groups g of rows that follow each other (Kott, Journal of Official Statistics 17, 2001):
 *     variance = (G - 1) / G * sum (t_g - mean t)^2,
 * and Student's t with G - 1 degrees of freedom. For a mean that is the usual standard error. Unlike the bootstrap it
 * repeats no row, which the Frechet distance would take for less diversity. */
eq_status eq_jackknife(eq_left_out statistic, void *user, int n, eq_estimate *out);

/* Student's t: the 97.5% quantile at `freedom` >= 1 degrees of freedom. */
double eq_student_975(int freedom);

#endif
