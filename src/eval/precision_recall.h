/* How much of one set of feature vectors lies where another one is. */
#ifndef EQ_EVAL_PRECISION_RECALL_H
#define EQ_EVAL_PRECISION_RECALL_H

#include "base/error.h"
#include "equipoise/evaluate.h"

enum { EQ_NEIGHBOURS = 3 };

/* Improved precision and recall (Kynkaanniemi et al., "Improved precision and recall metric for assessing generative
 * models", NeurIPS 2019, equations 1 and 2): a set's manifold is the union of balls around its vectors, each reaching
 * to its EQ_NEIGHBOURS-th nearest neighbour within the set. Precision is the share of `ours` in the manifold of
 * `theirs`, recall the reverse; Wilson intervals, which hold for the manifolds as they are. Both fall with fewer
 * vectors and depend on the features: compare only what was measured with the same numbers.
 *
 * ours: [n, d], theirs: [m, d], finite. EQ_BAD_USAGE unless n and m exceed EQ_NEIGHBOURS. */
eq_status eq_precision_recall(eq_context *ctx, const float *ours, int n, const float *theirs, int m, int d,
                              eq_estimate *precision, eq_estimate *recall);

#endif
