#include "eval/similarity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/frechet.h"
#include "eval/kid.h"

static eq_status frechet(eq_context *ctx, const float *ours, int n, const float *theirs, int m, int d, double *out)
{
    eq_moments a = {0}, b = {0};
    eq_status status;
    EQ_TRY_GOTO(status, eq_moments_new(ctx, d, &a), done);
    EQ_TRY_GOTO(status, eq_moments_new(ctx, d, &b), done);
    EQ_TRY_GOTO(status, eq_moments_add(ctx, &a, ours, n), done);
    EQ_TRY_GOTO(status, eq_moments_add(ctx, &b, theirs, m), done);
    if (n >= 2 && m >= 2)
        status = eq_frechet_distance(ctx, &a, &b, out);
done:
    eq_moments_free(&a);
    eq_moments_free(&b);
    return status;
}

static eq_status kid(eq_context *ctx, const float *ours, int n, const float *theirs, int m, int d, eq_similarity *out)
{
    eq_kid distance;
    if (n < EQ_KID_LEAST || m < EQ_KID_LEAST)
        return EQ_OK;
    EQ_TRY(eq_kid_distance(ctx, ours, n, theirs, m, d, &distance));
    out->kid = distance.whole;
    out->kid_std = distance.std;
    out->kid_subset = distance.subset;
    return EQ_OK;
}

eq_status eq_similarity_measure(eq_context *ctx, const float *ours, int n, const float *theirs, int m, int d,
                                eq_similarity *out)
{
    *out = (eq_similarity){.n = n, .reference_n = m, .frechet = NAN, .kid = NAN, .kid_std = NAN};
    EQ_TRY(frechet(ctx, ours, n, theirs, m, d, &out->frechet));
    return kid(ctx, ours, n, theirs, m, d, out);
}

/* The rows of x [n, d] with the label `class` -> rows: [n, d], as many as are returned. */
static int choose_rows(const float *x, const int *labels, int n, int d, int class, float *rows)
{
    int chosen = 0;
    for (int i = 0; i < n; i++)
        if (labels[i] == class)
            memcpy(rows + (size_t)chosen++ * (size_t)d, x + (size_t)i * (size_t)d, (size_t)d * sizeof(float));
    return chosen;
}

eq_status eq_similarity_by_class(eq_context *ctx, const float *ours, const int *labels, int n, const float *theirs,
                                 const int *reference_labels, int m, int d, int classes, eq_similarity *out)
{
    float *a = malloc(sizeof(float) * (size_t)n * (size_t)d), *b = malloc(sizeof(float) * (size_t)m * (size_t)d);
    eq_status status = a != NULL && b != NULL ? EQ_OK : eq_fail_memory(ctx, "the features of a class");
    for (int class = 0; status == EQ_OK && class < classes; class ++) {
        eq_similarity *s = &out[class];
        int n_class = choose_rows(ours, labels, n, d, class, a);
        int m_class = choose_rows(theirs, reference_labels, m, d, class, b);
        *s = (eq_similarity){.n = n_class, .reference_n = m_class, .frechet = NAN, .kid = NAN, .kid_std = NAN};
        if (n_class > d && m_class > d)
            status = frechet(ctx, a, n_class, b, m_class, d, &s->frechet);
        if (status == EQ_OK)
            status = kid(ctx, a, n_class, b, m_class, d, s);
    }
    free(a);
    free(b);
    return status;
}
