#include "eval/confusion.h"

#include <math.h>
#include <stdlib.h>

#include <lapacke.h>

#include "eval/counts.h"
#include "eval/multinomial.h"

static const double LEAST_SINGULAR_VALUE = 0.05;

enum { SEED_CORRECTION = 0x436f6e66, CORRECTION_RESAMPLES = 1000 };

/* counts [k, k] -> rates [k, k], each row divided by its sum. A row without images stays zero. */
static void normalise_rows(const double *counts, int k, double *rates)
{
    for (int i = 0; i < k; i++) {
        double sum = 0;
        for (int j = 0; j < k; j++)
            sum += counts[i * k + j];
        for (int j = 0; j < k; j++)
            rates[i * k + j] = sum > 0 ? counts[i * k + j] / sum : 0;
    }
}

eq_status eq_confusion_check(eq_context *ctx, const eq_confusion *confusion)
{
    int k = confusion->classes;
    if (k < 1 || k > EQ_CONFUSION_CLASSES)
        return eq_fail(ctx, EQ_BAD_INPUT, "a confusion matrix of %d classes; 1 to %d are possible", k,
                       EQ_CONFUSION_CLASSES);
    for (int i = 0; i < k; i++) {
        double sum = 0;
        for (int j = 0; j < k; j++) {
            double count = confusion->counts[i * k + j];
            if (!isfinite(count) || count < 0)
                return eq_fail(ctx, EQ_BAD_INPUT, "the confusion matrix has %g at row %d, column %d", count, i, j);
            sum += count;
        }
        if (!(sum > 0 && sum < 1e9))
            return eq_fail(ctx, EQ_BAD_INPUT,
                           "row %d of the confusion matrix holds %g validation images; 1 to 1e9 are possible", i, sum);
    }
    double rates[EQ_CONFUSION_CLASSES * EQ_CONFUSION_CLASSES], singular[EQ_CONFUSION_CLASSES], unused[1];
    normalise_rows(confusion->counts, k, rates);
    if (LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', k, k, rates, k, singular, unused, 1, unused, 1) != 0)
        return eq_fail(ctx, EQ_FAILED, "the singular values of the confusion matrix did not converge");
    if (singular[k - 1] < LEAST_SINGULAR_VALUE)
        return eq_fail(ctx, EQ_FAILED,
                       "the evaluator can hardly tell some classes apart (least singular value of its confusion matrix "
                       "%.3g, needed %g): its counts cannot be corrected",
                       singular[k - 1], LEAST_SINGULAR_VALUE);
    return EQ_OK;
}

/* observed: [k] frequencies, rates: [k, k], f: [k], starting point inside the simplex and result. Predicted classes
 * that no true class explains are left out. */
static void maximise_likelihood(const double *observed, const double *rates, int k, double *f)
{
    enum { MAX_ROUNDS = 20000 };
    double next[EQ_CONFUSION_CLASSES], ratio[EQ_CONFUSION_CLASSES], change = 1;
    for (int round = 0; round < MAX_ROUNDS && change > 1e-11; round++) {
        for (int j = 0; j < k; j++) {
            double expected = 0;
            for (int i = 0; i < k; i++)
                expected += f[i] * rates[i * k + j];
            ratio[j] = expected > 0 ? observed[j] / expected : 0;
        }
        double sum = 0;
        for (int i = 0; i < k; i++) {
            double gain = 0;
            for (int j = 0; j < k; j++)
                gain += rates[i * k + j] * ratio[j];
            sum += next[i] = f[i] * gain;
        }
        change = 0;
        for (int i = 0; i < k && sum > 0; i++) {
            change = fmax(change, fabs(next[i] / sum - f[i]));
            f[i] = next[i] / sum;
        }
    }
}

static void fill_uniform(double *f, int k)
{
    for (int i = 0; i < k; i++)
        f[i] = 1.0 / k;
}

/* Frequencies as they may be: behind an observed distribution and a matrix drawn anew from what was counted. */
static void redraw(uint64_t draw, const double *counts, const double *observed, int k, double *f)
{
    double rates[EQ_CONFUSION_CLASSES * EQ_CONFUSION_CLASSES], frequency[EQ_CONFUSION_CLASSES];
    eq_rng rng = eq_rng_make(SEED_CORRECTION, draw, 0);
    for (int i = 0; i < k; i++)
        eq_dirichlet_posterior(&rng, counts + i * k, k, rates + i * k);
    eq_dirichlet_posterior(&rng, observed, k, frequency);
    fill_uniform(f, k);
    maximise_likelihood(frequency, rates, k, f);
}

static eq_estimate estimate(double value, double *resamples)
{
    /* At the simplex's border all draws may lie to one side of the likeliest value. */
    return (eq_estimate){
        .value = value,
        .low = fmin(value, eq_percentile(resamples, CORRECTION_RESAMPLES, 0.025)),
        .high = fmax(value, eq_percentile(resamples, CORRECTION_RESAMPLES, 0.975)),
    };
}

eq_status eq_confusion_correct(eq_context *ctx, const eq_confusion *confusion, const int *observed,
                               const double *target, eq_estimate *frequency, eq_estimate *fd)
{
    EQ_TRY(eq_confusion_check(ctx, confusion));
    int k = confusion->classes;
    double rates[EQ_CONFUSION_CLASSES * EQ_CONFUSION_CLASSES] = {0}, observed_counts[EQ_CONFUSION_CLASSES];
    double observed_frequency[EQ_CONFUSION_CLASSES], f[EQ_CONFUSION_CLASSES], drawn[EQ_CONFUSION_CLASSES];
    double *resamples = malloc(sizeof(double) * CORRECTION_RESAMPLES * ((size_t)k + 1));
    if (resamples == NULL)
        return eq_fail_memory(ctx, "the intervals of a correction");

    normalise_rows(confusion->counts, k, rates);
    eq_count_frequency(observed, k, observed_frequency);
    fill_uniform(f, k);
    maximise_likelihood(observed_frequency, rates, k, f);
    for (int j = 0; j < k; j++)
        observed_counts[j] = observed[j];
    double *distances = resamples + (size_t)k * CORRECTION_RESAMPLES;
    for (int draw = 0; draw < CORRECTION_RESAMPLES; draw++) {
        redraw((uint64_t)draw, confusion->counts, observed_counts, k, drawn);
        for (int i = 0; i < k; i++)
            resamples[i * CORRECTION_RESAMPLES + draw] = drawn[i];
        distances[draw] = target != NULL ? eq_fd(drawn, target, k) : 0;
    }
    for (int i = 0; i < k; i++)
        frequency[i] = estimate(f[i], resamples + (size_t)i * CORRECTION_RESAMPLES);
    if (target != NULL)
        *fd = estimate(eq_fd(f, target, k), distances);
    free(resamples);
    return EQ_OK;
}
