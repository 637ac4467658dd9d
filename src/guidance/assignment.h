/* Minimum-cost assignment of images to classes under exact quotas. */
#ifndef EQ_GUIDANCE_ASSIGNMENT_H
#define EQ_GUIDANCE_ASSIGNMENT_H

#include "base/error.h"

enum { EQ_ASSIGNMENT_CLASSES = 256 };

/* Gives each of n images one of k classes so that class j gets exactly quota[j] images and the sum of
 * cost[i, class_of[i]] is least.
 *
 * cost: [n, k], finite. quota: [k], non-negative, adding up to n. class_of: [n], output.
 * The result is optimal for the costs rounded to 2^-53 of the largest magnitude: differences below that, as beside a
 * huge "forbidden" cost, are lost. Among equal costs the choice is unspecified but always the same; whoever prefers
 * images to stay where they are says so by the costs.
 *
 * Successive shortest paths (Ahuja, Magnanti, Orlin, "Network Flows", 1993, section 9.7) on the graph of the k classes,
 * where a -> b costs what the cheapest image to move from a to b costs: O(n (k^3 + k^2 log n)) at worst, memory
 * O(n k). k <= EQ_ASSIGNMENT_CLASSES. EQ_BAD_USAGE for arguments other than described. */
eq_status eq_assign(eq_context *ctx, const double *cost, int n, int k, const int *quota, int *class_of);

#endif
