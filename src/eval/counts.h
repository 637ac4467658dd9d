/* From an evaluator's probabilities to labels, counts and distances to a target. */
#ifndef EQ_EVAL_COUNTS_H
#define EQ_EVAL_COUNTS_H

/* An image counts as ambiguous when its most probable class has less than this. */
#define EQ_AMBIGUOUS_BELOW 0.9f

/* probabilities: [n, k] -> labels: [n], the most probable class, the lower of equals. */
void eq_hard_labels(const float *probabilities, int n, int k, int *labels);

/* labels: [n] in 0..k-1 -> counts: [k]. */
void eq_count_labels(const int *labels, int n, int k, int *counts);

/* counts: [k], at least one image in all -> frequency: [k]. */
void eq_count_frequency(const int *counts, int k, double *frequency);

/* probabilities: [n, k] -> mean: [k], the soft frequency; n >= 1. */
void eq_mean_probabilities(const float *probabilities, int n, int k, double *mean);

/* The number of ambiguous images among probabilities [n, k]. */
int eq_count_ambiguous(const float *probabilities, int n, int k);

/* labels: [attributes] arrays of [n]; classes: [attributes] -> cells: [n], the combination of each image, the last
 * attribute running fastest as in eq_target. */
void eq_joint_labels(const int *const *labels, const int *classes, int attributes, int n, int *cells);

/* Distances of a distribution f [k] from the target q [k].
 *   fd: sqrt(sum (f - q)^2), the fairness discrepancy (Choi et al., "Fair generative modeling via weak supervision",
 *       ICML 2020)
 *   kl: sum f log(f / q) in nats; infinite where f > 0 and q = 0
 *   tv: 1/2 sum |f - q|, the total variation, i.e. the share of images to be exchanged
 *   chi2: sum (f - q)^2 / q, Pearson's statistic per image; infinite where f > 0 and q = 0
 *   deviation ratio: max |f - q| over the largest it could be, 1 - min q (Li et al., "Self-discovering interpretable
 *       diffusion latent directions", CVPR 2024, for any target in place of the uniform one); 0 for a single class */
double eq_fd(const double *f, const double *q, int k);
double eq_kl(const double *f, const double *q, int k);
double eq_tv(const double *f, const double *q, int k);
double eq_chi2(const double *f, const double *q, int k);
double eq_deviation_ratio(const double *f, const double *q, int k);

#endif
