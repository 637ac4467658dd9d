/* The kernel distance between two sets of feature vectors. */
#ifndef EQ_EVAL_KID_H
#define EQ_EVAL_KID_H

#include "base/error.h"

enum { EQ_KID_SUBSETS = 100, EQ_KID_SUBSET_MAX = 1000, EQ_KID_LEAST = 10 };

typedef struct eq_kid {
    double whole;     /* the estimate from all pairs of vectors */
    double mean, std; /* of the same over the subsets; standard deviation over one less than their number */
    int subsets, subset;
} eq_kid;

/* The squared maximum mean discrepancy under the kernel k(x, y) = (x.y / d + 1)^3, without bias (Gretton et al., JMLR
 * 13, 2012, lemma 6; as KID in Inception features, Binkowski et al., "Demystifying MMD GANs", ICLR 2018):
 *     sum_{i != j} k(x_i, x_j) / n(n-1) + sum_{i != j} k(y_i, y_j) / m(m-1) - 2 sum_{i, j} k(x_i, y_j) / n m.
 * It may be negative where the sets are alike. Unlike the Frechet distance it has the same expectation for any number
 * of vectors. Its spread is that over EQ_KID_SUBSETS random subsets of min(EQ_KID_SUBSET_MAX, half of the smaller set)
 * vectors of each set, keyed by constants; each pair's kernel is computed once for all of them.
 *
 * x: [n, d], y: [m, d], finite. EQ_BAD_USAGE unless n and m are at least EQ_KID_LEAST. */
eq_status eq_kid_distance(eq_context *ctx, const float *x, int n, const float *y, int m, int d, eq_kid *out);

#endif
