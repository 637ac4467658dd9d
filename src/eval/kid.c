#include "eval/kid.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/rng.h"

enum { SEED_SUBSETS = 0x4b494453 };

/* A set's vectors, and which of them the subsets hold. */
typedef struct sample {
    const float *x; /* [n, d] */
    int n;
    int *members;         /* [EQ_KID_SUBSETS, subset] */
    unsigned char *holds; /* [EQ_KID_SUBSETS, n] */
} sample;

static void sample_free(sample *s)
{
    free(s->members);
    free(s->holds);
}

/* side: 0 or 1, so that the two sets are drawn from independently. */
static eq_status draw_subsets(eq_context *ctx, int subset, uint32_t side, sample *s)
{
    size_t n = (size_t)s->n;
    uint32_t *order = malloc(n * sizeof(*order));
    s->members = malloc(sizeof(int) * EQ_KID_SUBSETS * (size_t)subset);
    s->holds = calloc(n, EQ_KID_SUBSETS);
    if (order == NULL || s->members == NULL || s->holds == NULL) {
        free(order);
        return eq_fail_memory(ctx, "the kernel distance");
    }
    for (size_t draw = 0; draw < EQ_KID_SUBSETS; draw++) {
        eq_rng rng = eq_rng_make(SEED_SUBSETS, draw, side);
        eq_rng_permutation(&rng, order, (uint32_t)n);
        for (int i = 0; i < subset; i++) {
            s->members[draw * (size_t)subset + (size_t)i] = (int)order[i];
            s->holds[draw * n + order[i]] = 1;
        }
    }
    free(order);
    return EQ_OK;
}

/* a, b: [d] */
static double kernel(const float *a, const float *b, int d)
{
    double dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int i = 0; i < d; i++)
        dot += (double)a[i] * b[i];
    double base = dot / d + 1;
    return base * base * base;
}

/* Adds up row i of the kernel matrix between a and b, leaving out the diagonal where they are the same set.
 * k: [b->n], scratch; sums: [EQ_KID_SUBSETS + 1], within each subset (0 where it does not hold i), then all of it. */
static void sum_row(const sample *a, const sample *b, int i, int d, int subset, double *k, double *sums)
{
    double all = 0;
    for (int j = 0; j < b->n; j++) {
        k[j] = a == b && i == j ? 0 : kernel(a->x + (size_t)i * (size_t)d, b->x + (size_t)j * (size_t)d, d);
        all += k[j];
    }
    for (size_t draw = 0; draw < EQ_KID_SUBSETS; draw++) {
        const int *members = b->members + draw * (size_t)subset;
        double sum = 0;
        for (int j = 0; j < subset && a->holds[draw * (size_t)a->n + (size_t)i]; j++)
            sum += k[members[j]];
        sums[draw] = sum;
    }
    sums[EQ_KID_SUBSETS] = all;
}

/* means: [EQ_KID_SUBSETS + 1] of the kernel between pairs, of each subset and of all. Rows are summed apart and added
 * in order, so that the result does not depend on threads. */
static eq_status mean_kernel(eq_context *ctx, const sample *a, const sample *b, int d, int subset, double *means)
{
    size_t width = EQ_KID_SUBSETS + 1, n = (size_t)a->n;
    double *sums = malloc(n * width * sizeof(double));
    bool failed = sums == NULL;
#pragma omp parallel if (!failed)
    {
        double *k = malloc((size_t)b->n * sizeof(double));
#pragma omp for schedule(static)
        for (int i = 0; i < a->n; i++) {
            if (k != NULL && sums != NULL) {
                sum_row(a, b, i, d, subset, k, sums + (size_t)i * width);
            } else {
#pragma omp atomic write
                failed = true;
            }
        }
        free(k);
    }
    if (failed) {
        free(sums);
        return eq_fail_memory(ctx, "the kernel distance");
    }
    bool same = a == b;
    for (size_t c = 0; c < width; c++) {
        double left = c < EQ_KID_SUBSETS ? subset : a->n, right = c < EQ_KID_SUBSETS ? subset : b->n;
        means[c] = 0;
        for (size_t i = 0; i < n; i++)
            means[c] += sums[i * width + c];
        means[c] /= left * (same ? right - 1 : right);
    }
    free(sums);
    return EQ_OK;
}

static eq_status measure(eq_context *ctx, sample *x, sample *y, int d, int subset, eq_kid *out)
{
    double xx[EQ_KID_SUBSETS + 1], yy[EQ_KID_SUBSETS + 1], xy[EQ_KID_SUBSETS + 1], mean = 0, squares = 0;
    EQ_TRY(draw_subsets(ctx, subset, 0, x));
    EQ_TRY(draw_subsets(ctx, subset, 1, y));
    EQ_TRY(mean_kernel(ctx, x, x, d, subset, xx));
    EQ_TRY(mean_kernel(ctx, y, y, d, subset, yy));
    EQ_TRY(mean_kernel(ctx, x, y, d, subset, xy));
    for (int i = 0; i <= EQ_KID_SUBSETS; i++)
        xx[i] += yy[i] - 2 * xy[i];
    for (int i = 0; i < EQ_KID_SUBSETS; i++)
        mean += xx[i] / EQ_KID_SUBSETS;
    for (int i = 0; i < EQ_KID_SUBSETS; i++)
        squares += (xx[i] - mean) * (xx[i] - mean);
    *out = (eq_kid){.whole = xx[EQ_KID_SUBSETS],
                    .mean = mean,
                    .std = sqrt(squares / (EQ_KID_SUBSETS - 1)),
                    .subsets = EQ_KID_SUBSETS,
                    .subset = subset};
    return EQ_OK;
}

eq_status eq_kid_distance(eq_context *ctx, const float *x, int n, const float *y, int m, int d, eq_kid *out)
{
    if (n < EQ_KID_LEAST || m < EQ_KID_LEAST || d < 1)
        return eq_fail(ctx, EQ_BAD_USAGE, "kernel distance between sets of %d and %d; each needs at least %d", n, m,
                       EQ_KID_LEAST);
    int half = (n < m ? n : m) / 2, subset = half < EQ_KID_SUBSET_MAX ? half : EQ_KID_SUBSET_MAX;
    sample ours = {.x = x, .n = n}, theirs = {.x = y, .n = m};
    eq_status status = measure(ctx, &ours, &theirs, d, subset, out);
    sample_free(&ours);
    sample_free(&theirs);
    return status;
}
