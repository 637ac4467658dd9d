/* Fewer labels, or worse ones: how much predictors need, and how many mistakes they bear. */
#ifndef EQ_TRAIN_LABEL_CHOICE_H
#define EQ_TRAIN_LABEL_CHOICE_H

#include <stdint.h>

/* labels: [n] class indices in 0..classes-1, -1: unknown, changed in place. Keeps at most `per_class` images of each
 * class, which the seed picks; the others become unknown. */
void eq_labels_limit(int *labels, int64_t n, int classes, int64_t per_class, uint64_t seed);

/* Gives a share of the known labels, each with that probability, another class, all others equally likely. classes
 * >= 2. An image's draw depends on seed and position alone. Returns how many were changed. */
int64_t eq_labels_disturb(int *labels, int64_t n, int classes, double share, uint64_t seed);

#endif
