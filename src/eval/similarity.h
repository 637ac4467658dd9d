/* A set of images beside a reference set, in features: as a whole and class by class. */
#ifndef EQ_EVAL_SIMILARITY_H
#define EQ_EVAL_SIMILARITY_H

#include "base/error.h"
#include "equipoise/evaluate.h"

/* Measures what the numbers of images allow; the rest is NaN: the Frechet distance needs two images of each side, the
 * kernel distance EQ_KID_LEAST. ours: [n, d], theirs: [m, d]. EQ_BAD_INPUT for features that are not finite. */
eq_status eq_similarity_measure(eq_context *ctx, const float *ours, int n, const float *theirs, int m, int d,
                                eq_similarity *out);

/* The same for each class's images alone, so that a set that is balanced at the cost of one class's looks shows it.
 * The Frechet distance is left out (NaN) where a side has no more images than features: its bias, which grows as
 * images get fewer, would be taken for a difference between the classes.
 * labels: [n], reference_labels: [m] in 0..classes-1; out: [classes]. */
eq_status eq_similarity_by_class(eq_context *ctx, const float *ours, const int *labels, int n, const float *theirs,
                                 const int *reference_labels, int m, int d, int classes, eq_similarity *out);

#endif
