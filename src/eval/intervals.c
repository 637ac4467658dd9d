#include "eval/intervals.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "eval/counts.h"
#include "eval/multinomial.h"

/* The 97.5th percentile of the standard normal distribution. */
static const double Z = 1.959963984540054;

/* Keys of the random streams. */
enum { SEED_NOISE = 0x46446e6f, SEED_BOOTSTRAP = 0x426f6f74, SEED_ROWS = 0x526f7773 };

enum { NOISE_OUTCOMES = 200000, NOISE_DRAWS = 10000, RESAMPLES = 2000 };

eq_estimate eq_wilson(int count, int n)
{
    double f = (double)count / n, z2 = Z * Z / n;
    double middle = f + z2 / 2, width = Z * sqrt(f * (1 - f) / n + z2 / (4.0 * n));
    return (eq_estimate){
        .value = f,
        /* Exactly 0 and 1 at the ends, where rounding leaves 1e-17. */
        .low = count == 0 ? 0 : (middle - width) / (1 + z2),
        .high = count == n ? 1 : (middle + width) / (1 + z2),
    };
}

double eq_gamma_q(double a, double x)
{
    enum { MAX_TERMS = 100000 };
    if (x <= 0)
        return 1;
    if (!isfinite(x))
        return 0;
    int sign;
    double scale = exp(a * log(x) - x - lgamma_r(a, &sign)); /* x^a e^-x / Gamma(a) */
    if (x < a + 1) {
        /* P(a, x) = scale sum x^i / (a (a+1) ... (a+i)) */
        double term = 1 / a, sum = term;
        for (int i = 1; i < MAX_TERMS && term > sum * DBL_EPSILON; i++) {
            term *= x / (a + i);
            sum += term;
        }
        return fmax(1 - scale * sum, 0);
    }
    /* Q(a, x) = scale / (x+1-a - 1(1-a)/(x+3-a - 2(2-a)/(x+5-a - ...))), evaluated by Lentz's method as modified by
     * Thompson and Barnett: a running ratio of numerators c and of denominators d. */
    double b = x + 1 - a, c = 1 / DBL_MIN, d = 1 / b, fraction = d;
    for (int i = 1; i < MAX_TERMS; i++) {
        double numerator = -i * (i - a);
        b += 2;
        d = numerator * d + b;
        c = b + numerator / c;
        if (fabs(d) < DBL_MIN)
            d = DBL_MIN;
        if (fabs(c) < DBL_MIN)
            c = DBL_MIN;
        d = 1 / d;
        fraction *= c * d;
        if (fabs(c * d - 1) < DBL_EPSILON)
            break;
    }
    return scale * fraction;
}

double eq_chi2_test(const int *counts, const double *q, int k)
{
    double n = 0, statistic = 0;
    int classes = 0;
    for (int i = 0; i < k; i++)
        n += counts[i];
    for (int i = 0; i < k; i++) {
        if (q[i] > 0) {
            double expected = n * q[i];
            statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
            classes++;
        } else if (counts[i] > 0) {
            return 0;
        }
    }
    return classes < 2 ? 1 : eq_gamma_q((classes - 1) / 2.0, statistic / 2);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double eq_percentile(double *values, int n, double p)
{
    qsort(values, (size_t)n, sizeof(double), compare_doubles);
    int rank = (int)ceil(p * n - 1e-9);
    return values[rank < 1 ? 0 : rank > n ? n - 1 : rank - 1];
}

/* One outcome of n draws: its distance and its probability. */
typedef struct outcome {
    double fd, probability;
} outcome;

static int compare_outcomes(const void *a, const void *b)
{
    return compare_doubles(&((const outcome *)a)->fd, &((const outcome *)b)->fd);
}

/* How many ways there are to spread n images over k classes, C(n + k - 1, k - 1); anything above the limit is
 * NOISE_OUTCOMES + 1. */
static int count_outcomes(int n, int k)
{
    double ways = 1;
    for (int i = 1; i < k; i++) {
        ways *= (double)(n + i) / i;
        if (ways > NOISE_OUTCOMES + 0.5)
            return NOISE_OUTCOMES + 1;
    }
    return (int)lround(ways);
}

typedef struct enumeration {
    const double *q;
    int k, n;
    const double *log_factorial; /* [n + 1] */
    outcome *outcomes;
    int count;
} enumeration;

/* All ways to spread `left` images over the classes from `class` on. */
static void enumerate(enumeration *e, int class, int left, double log_probability, double squares)
{
    bool last = class + 1 == e->k;
    for (int x = last ? left : 0; x <= left; x++) {
        double deviation = (double)x / e->n - e->q[class];
        double log_p = log_probability + x * log(e->q[class]) - e->log_factorial[x];
        double sum = squares + deviation * deviation;
        if (last)
            e->outcomes[e->count++] = (outcome){.fd = sqrt(sum), .probability = exp(log_p)};
        else
            enumerate(e, class + 1, left - x, log_p, sum);
    }
}

/* q without zeros. */
static eq_status exact_noise_floor(eq_context *ctx, const double *q, int k, int n, int ways, eq_noise_floor *out)
{
    double *log_factorial = malloc(sizeof(double) * ((size_t)n + 1));
    outcome *outcomes = malloc(sizeof(outcome) * (size_t)ways);
    if (log_factorial == NULL || outcomes == NULL) {
        free(log_factorial);
        free(outcomes);
        return eq_fail_memory(ctx, "the sampling-noise floor");
    }
    log_factorial[0] = 0;
    for (int i = 1; i <= n; i++)
        log_factorial[i] = log_factorial[i - 1] + log(i);
    enumeration e = {.q = q, .k = k, .n = n, .log_factorial = log_factorial, .outcomes = outcomes};
    enumerate(&e, 0, n, log_factorial[n], 0);
    qsort(outcomes, (size_t)e.count, sizeof(outcome), compare_outcomes);
    *out = (eq_noise_floor){.p95 = outcomes[e.count - 1].fd, .exact = true};
    double below = 0;
    for (int i = 0; i < e.count; i++) {
        out->mean += outcomes[i].probability * outcomes[i].fd;
        if (below < 0.95 - 1e-9 && below + outcomes[i].probability >= 0.95 - 1e-9)
            out->p95 = outcomes[i].fd;
        below += outcomes[i].probability;
    }
    free(log_factorial);
    free(outcomes);
    return EQ_OK;
}

static eq_status drawn_noise_floor(eq_context *ctx, const double *q, int k, int n, eq_noise_floor *out)
{
    int *counts = malloc(sizeof(int) * (size_t)k);
    double *f = malloc(sizeof(double) * (size_t)k), *fd = malloc(sizeof(double) * NOISE_DRAWS);
    if (counts == NULL || f == NULL || fd == NULL) {
        free(counts);
        free(f);
        free(fd);
        return eq_fail_memory(ctx, "the sampling-noise floor");
    }
    *out = (eq_noise_floor){.exact = false};
    for (int draw = 0; draw < NOISE_DRAWS; draw++) {
        eq_rng rng = eq_rng_make(SEED_NOISE, (uint64_t)draw, 0);
        eq_multinomial(&rng, n, q, k, counts);
        eq_count_frequency(counts, k, f);
        fd[draw] = eq_fd(f, q, k);
        out->mean += fd[draw] / NOISE_DRAWS;
    }
    out->p95 = eq_percentile(fd, NOISE_DRAWS, 0.95);
    free(counts);
    free(f);
    free(fd);
    return EQ_OK;
}

eq_status eq_fd_noise_floor(eq_context *ctx, const double *q, int k, int n, eq_noise_floor *out)
{
    double *positive = malloc(sizeof(double) * (size_t)k);
    if (positive == NULL)
        return eq_fail_memory(ctx, "the sampling-noise floor");
    int classes = 0;
    for (int i = 0; i < k; i++)
        if (q[i] > 0)
            positive[classes++] = q[i];
    int ways = count_outcomes(n, classes);
    eq_status status = ways <= NOISE_OUTCOMES ? exact_noise_floor(ctx, positive, classes, n, ways, out)
                                              : drawn_noise_floor(ctx, positive, classes, n, out);
    free(positive);
    return status;
}

static eq_estimate percentile_interval(double value, double *resamples)
{
    return (eq_estimate){
        .value = value,
        .low = eq_percentile(resamples, RESAMPLES, 0.025),
        .high = eq_percentile(resamples, RESAMPLES, 0.975),
    };
}

eq_status eq_bootstrap_distances(eq_context *ctx, const int *counts, const double *q, int k, eq_distances *out)
{
    int *resample = malloc(sizeof(int) * (size_t)k), n = 0;
    double *frequency = malloc(sizeof(double) * (size_t)k * 2), *values = malloc(sizeof(double) * RESAMPLES * 5);
    if (resample == NULL || frequency == NULL || values == NULL) {
        free(resample);
        free(frequency);
        free(values);
        return eq_fail_memory(ctx, "the bootstrap");
    }
    double *f = frequency + k, *fd = values, *kl = fd + RESAMPLES, *tv = kl + RESAMPLES, *chi2 = tv + RESAMPLES;
    double *deviation = chi2 + RESAMPLES;
    for (int i = 0; i < k; i++)
        n += counts[i];
    eq_count_frequency(counts, k, frequency);
    for (int draw = 0; draw < RESAMPLES; draw++) {
        eq_rng rng = eq_rng_make(SEED_BOOTSTRAP, (uint64_t)draw, 0);
        eq_multinomial(&rng, n, frequency, k, resample);
        eq_count_frequency(resample, k, f);
        fd[draw] = eq_fd(f, q, k);
        kl[draw] = eq_kl(f, q, k);
        tv[draw] = eq_tv(f, q, k);
        chi2[draw] = eq_chi2(f, q, k);
        deviation[draw] = eq_deviation_ratio(f, q, k);
    }
    out->fd = percentile_interval(eq_fd(frequency, q, k), fd);
    out->kl = percentile_interval(eq_kl(frequency, q, k), kl);
    out->tv = percentile_interval(eq_tv(frequency, q, k), tv);
    out->chi2 = percentile_interval(eq_chi2(frequency, q, k), chi2);
    out->deviation = percentile_interval(eq_deviation_ratio(frequency, q, k), deviation);
    free(resample);
    free(frequency);
    free(values);
    return EQ_OK;
}

/* rows: [n, k] -> mean: [k] of n rows drawn with replacement. */
static void resample_mean(eq_rng *rng, const double *rows, int n, int k, double *mean)
{
    for (int j = 0; j < k; j++)
        mean[j] = 0;
    for (int i = 0; i < n; i++) {
        const double *row = rows + (size_t)eq_rng_below(rng, (uint32_t)n) * (size_t)k;
        for (int j = 0; j < k; j++)
            mean[j] += row[j];
    }
    for (int j = 0; j < k; j++)
        mean[j] /= n;
}

eq_status eq_bootstrap_mean(eq_context *ctx, const double *rows, int n, int k, eq_statistic statistic, const void *user,
                            eq_estimate *out)
{
    double *means = malloc(sizeof(double) * RESAMPLES * (size_t)k), *values = malloc(sizeof(double) * RESAMPLES);
    if (means == NULL || values == NULL) {
        free(means);
        free(values);
        return eq_fail_memory(ctx, "the bootstrap");
    }
#pragma omp parallel for schedule(static)
    for (int draw = 0; draw < RESAMPLES; draw++) {
        eq_rng rng = eq_rng_make(SEED_ROWS, (uint64_t)draw, 0);
        double *mean = means + (size_t)draw * (size_t)k;
        resample_mean(&rng, rows, n, k, mean);
        values[draw] = statistic(mean, k, user);
    }
    for (int j = 0; j < k; j++) {
        means[j] = 0;
        for (int i = 0; i < n; i++)
            means[j] += rows[(size_t)i * (size_t)k + (size_t)j];
        means[j] /= n;
    }
    *out = percentile_interval(statistic(means, k, user), values);
    free(means);
    free(values);
    return EQ_OK;
}
