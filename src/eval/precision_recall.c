#include "eval/precision_recall.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "eval/intervals.h"

/* Of differences, not of products, so that equal vectors are at distance 0. a, b: [d] */
static double squared_distance(const float *a, const float *b, int d)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < d; i++) {
        double difference = (double)a[i] - b[i];
        sum += difference * difference;
    }
    return sum;
}

/* x: [n, d] -> radii: [n], the squared distance from each vector to its EQ_NEIGHBOURS-th nearest other one. */
static void find_radii(const float *x, int n, int d, double *radii)
{
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n; i++) {
        double nearest[EQ_NEIGHBOURS]; /* ascending */
        for (int k = 0; k < EQ_NEIGHBOURS; k++)
            nearest[k] = INFINITY;
        for (int j = 0; j < n; j++) {
            if (j == i)
                continue;
            double distance = squared_distance(x + (size_t)i * (size_t)d, x + (size_t)j * (size_t)d, d);
            int k = EQ_NEIGHBOURS;
            for (; k > 0 && distance < nearest[k - 1]; k--)
                if (k < EQ_NEIGHBOURS)
                    nearest[k] = nearest[k - 1];
            if (k < EQ_NEIGHBOURS)
                nearest[k] = distance;
        }
        radii[i] = nearest[EQ_NEIGHBOURS - 1];
    }
}

/* The number of x [n, d] within a ball around y [m, d] of squared radius radii [m]. */
static int count_covered(const float *x, int n, const float *y, const double *radii, int m, int d)
{
    int covered = 0;
#pragma omp parallel for schedule(static) reduction(+ : covered)
    for (int i = 0; i < n; i++) {
        bool inside = false;
        for (int j = 0; j < m && !inside; j++)
            inside = squared_distance(x + (size_t)i * (size_t)d, y + (size_t)j * (size_t)d, d) <= radii[j];
        covered += inside;
    }
    return covered;
}

eq_status eq_precision_recall(eq_context *ctx, const float *ours, int n, const float *theirs, int m, int d,
                              eq_estimate *precision, eq_estimate *recall)
{
    if (n <= EQ_NEIGHBOURS || m <= EQ_NEIGHBOURS || d < 1)
        return eq_fail(ctx, EQ_BAD_USAGE, "precision and recall of sets of %d and %d; each needs at least %d", n, m,
                       EQ_NEIGHBOURS + 1);
    double *radii = malloc(sizeof(double) * (size_t)(n > m ? n : m));
    if (radii == NULL)
        return eq_fail_memory(ctx, "precision and recall");
    find_radii(theirs, m, d, radii);
    *precision = eq_wilson(count_covered(ours, n, theirs, radii, m, d), n);
    find_radii(ours, n, d, radii);
    *recall = eq_wilson(count_covered(theirs, m, ours, radii, n, d), m);
    free(radii);
    return EQ_OK;
}
