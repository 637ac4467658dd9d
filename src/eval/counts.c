#include "eval/counts.h"

#include <math.h>
#include <stddef.h>

static int most_probable(const float *p, int k)
{
    int best = 0;
    for (int i = 1; i < k; i++)
        if (p[i] > p[best])
            best = i;
    return best;
}

void eq_hard_labels(const float *probabilities, int n, int k, int *labels)
{
    for (int i = 0; i < n; i++)
        labels[i] = most_probable(probabilities + (size_t)i * (size_t)k, k);
}

void eq_count_labels(const int *labels, int n, int k, int *counts)
{
    for (int i = 0; i < k; i++)
        counts[i] = 0;
    for (int i = 0; i < n; i++)
        counts[labels[i]]++;
}

void eq_count_frequency(const int *counts, int k, double *frequency)
{
    double n = 0;
    for (int i = 0; i < k; i++)
        n += counts[i];
    for (int i = 0; i < k; i++)
        frequency[i] = counts[i] / n;
}

void eq_mean_probabilities(const float *probabilities, int n, int k, double *mean)
{
    for (int j = 0; j < k; j++)
        mean[j] = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k; j++)
            mean[j] += probabilities[(size_t)i * (size_t)k + (size_t)j];
    for (int j = 0; j < k; j++)
        mean[j] /= n;
}

int eq_count_ambiguous(const float *probabilities, int n, int k)
{
    int ambiguous = 0;
    for (int i = 0; i < n; i++) {
        const float *p = probabilities + (size_t)i * (size_t)k;
        ambiguous += p[most_probable(p, k)] < EQ_AMBIGUOUS_BELOW;
    }
    return ambiguous;
}

void eq_joint_labels(const int *const *labels, const int *classes, int attributes, int n, int *cells)
{
    for (int i = 0; i < n; i++) {
        cells[i] = 0;
        for (int a = 0; a < attributes; a++)
            cells[i] = cells[i] * classes[a] + labels[a][i];
    }
}

double eq_fd(const double *f, const double *q, int k)
{
    double sum = 0;
    for (int i = 0; i < k; i++)
        sum += (f[i] - q[i]) * (f[i] - q[i]);
    return sqrt(sum);
}

double eq_kl(const double *f, const double *q, int k)
{
    double sum = 0;
    for (int i = 0; i < k; i++)
        if (f[i] > 0)
            sum += q[i] > 0 ? f[i] * log(f[i] / q[i]) : INFINITY;
    return fmax(sum, 0); /* rounding can leave -1e-17 */
}

double eq_tv(const double *f, const double *q, int k)
{
    double sum = 0;
    for (int i = 0; i < k; i++)
        sum += fabs(f[i] - q[i]);
    return sum / 2;
}

double eq_chi2(const double *f, const double *q, int k)
{
    double sum = 0;
    for (int i = 0; i < k; i++)
        if (f[i] != q[i])
            sum += q[i] > 0 ? (f[i] - q[i]) * (f[i] - q[i]) / q[i] : INFINITY;
    return sum;
}

double eq_deviation_ratio(const double *f, const double *q, int k)
{
    double largest = 0, least = 1;
    for (int i = 0; i < k; i++) {
        largest = fmax(largest, fabs(f[i] - q[i]));
        least = fmin(least, q[i]);
    }
    /* All images in the class asked for least: no other set deviates more in any class. */
    return k > 1 ? largest / (1 - least) : 0;
}
